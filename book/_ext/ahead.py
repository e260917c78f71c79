"""Run the chapters that must be run before Sphinx reads them, several side by side.

Sphinx reads one page after the other, and MyST-NB runs a chapter as it is read. But a
chapter keeps only one core busy for much of its time: in Python, in Keras' tracing, in
XLA's compiler. So what the cache doesn't know is run here first, ``ak_jobs`` chapters
at a time, and put into the cache, where MyST-NB finds it. Whether a chapter was run
here or there makes no difference to its outputs.
"""

from __future__ import annotations

import json
import multiprocessing
import os
from pathlib import Path, PurePath

from jupyter_cache import get_cache
from jupyter_cache.base import CacheBundleIn
from myst_nb.core.read import create_nb_reader
from myst_nb.sphinx_ import NbMetadataCollector
from sphinx.util import logging

from apart import begin, run
from fresh import is_chapter
from house import recorded

logger = logging.getLogger(__name__)


def notebook_of(app, docname: str):
    """The notebook as MyST-NB will see it, after what other extensions do to it."""
    env, path = app.env, app.env.doc2path(docname)
    source = [Path(path).read_text(encoding="utf-8")]
    left_out = env.mystnb_config.execution_excludepatterns
    if not is_chapter(source[0]) or any(map(PurePath(path).match, left_out)):
        return None
    app.emit("source-read", docname, source)
    reader = create_nb_reader(path, env.myst_config, env.mystnb_config, source[0])
    notebook = reader and reader.read(source[0])
    for place, cell in enumerate(notebook.cells if notebook else ()):
        cell["id"] = f"cell-{place}"  # as read, they are drawn anew each time
    return notebook


def is_known(cache, notebook) -> bool:
    """Whether the cache has the outputs of a notebook."""
    try:
        cache.match_cache_notebook(notebook)
    except KeyError:
        return False
    return True


def longest_first(docnames) -> list[str]:
    """Chapters by their recorded time; unknown ones first, for they may be long."""
    times = recorded()
    return sorted(docnames, key=lambda d: (-times.get(Path(d).name, 1e9), d))


def _run_ahead(app, env, docnames):
    """Run what will be read and isn't known; keep what ran to its end."""
    config = env.mystnb_config
    if config.execution_mode != "cache" or app.config.ak_jobs < 2:
        return
    cache = get_cache(config.execution_cache_path)
    jobs = []
    for docname in longest_first(docnames):
        notebook = notebook_of(app, docname)
        if notebook is not None and not is_known(cache, notebook):
            jobs.append((docname, notebook, config.execution_timeout))
    # Whoever interrupts the build ends the workers: leaving `with` terminates them.
    if len(jobs) > 1:
        spawn = multiprocessing.get_context("spawn")
        with spawn.Pool(app.config.ak_jobs, initializer=begin) as pool:
            for result in pool.imap_unordered(run, jobs):
                keep(cache, env, *result)


def keep(cache, env, docname, notebook, seconds, error):
    """Put a chapter that ran to its end into the cache; tell of one that did not."""
    if error:
        logger.warning("%s failed: %s", docname, error, type="mystnb", subtype="exec")
        return
    logger.info("Executed notebook %s in %.2f seconds", docname, seconds)
    path = env.doc2path(docname)
    record = CacheBundleIn(notebook, path, data={"execution_seconds": seconds})
    cache.cache_notebook_bundle(record, check_validity=False, overwrite=True)


def _chapters(app) -> list[str]:
    """The pages that were run, now or for the cache."""
    has_run = NbMetadataCollector.get_exec_data
    return [d for d in sorted(app.env.found_docs) if has_run(app.env, d)]


def _write_times(app, exception):
    """Leave the times of this build where ``make times`` finds them."""
    if exception or app.builder.name != "html":
        return
    data = {d: NbMetadataCollector.get_exec_data(app.env, d) for d in _chapters(app)}
    times = {Path(d).name: round(found["runtime"], 1) for d, found in data.items()}
    text = json.dumps(times, indent=2) + "\n"
    (Path(app.outdir).parent / "times.json").write_text(text, encoding="utf-8")


def setup(app):
    """Connect to Sphinx."""
    jobs = int(os.environ.get("AK_JOBS", min(2, os.cpu_count() or 1)))
    app.add_config_value("ak_jobs", jobs, "", [int])
    app.connect("env-before-read-docs", _run_ahead)
    app.connect("build-finished", _write_times)
    return {"version": "1", "parallel_read_safe": False}
