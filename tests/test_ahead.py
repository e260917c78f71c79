"""Chapters run side by side, before Sphinx reads them."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from jupyter_cache import get_cache
from myst_nb.core.config import NbParserConfig
from myst_parser.config.main import MdParserConfig

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "book" / "_ext"))

import ahead  # noqa: E402
import fresh  # noqa: E402

CHAPTER = """---
file_format: mystnb
kernelspec:
  name: python3
  display_name: Python 3
---
# Title

```{{code-cell}} ipython3
{code}
```
"""


@pytest.fixture
def book(tmp_path):
    """A book of pages ``{name: code}`` with an empty cache."""

    def make(pages, **settings):
        for name, code in pages.items():
            text = CHAPTER.format(code=code) if code else "# No cells\n"
            (tmp_path / f"{name}.md").write_text(text)
        config = NbParserConfig(
            execution_mode="cache",
            execution_cache_path=str(tmp_path / "cache"),
            execution_timeout=60,
            **settings,
        )
        env = SimpleNamespace(
            mystnb_config=config,
            myst_config=MdParserConfig(),
            doc2path=lambda name: str(tmp_path / f"{name}.md"),
        )
        app = SimpleNamespace(env=env, config=SimpleNamespace(ak_jobs=2))
        app.emit = lambda event, name, source: fresh._sign(app, name, source)
        return app, get_cache(config.execution_cache_path)

    return make


def test_what_is_unknown_is_run_and_kept(book):
    app, cache = book({"a": "print(6 * 7)", "b": "1 + 1", "c": ""})
    ahead._run_ahead(app, app.env, ["a", "b", "c"])
    assert len(cache.list_cache_records()) == 2
    for name, output in (("a", "42"), ("b", "2")):
        notebook = ahead.notebook_of(app, name)
        assert ahead.is_known(cache, notebook)
        _, done = cache.merge_match_into_notebook(notebook)
        assert output in json.dumps(done.cells[-1].outputs)
    assert ahead.notebook_of(app, "c") is None


def test_a_chapter_that_fails_is_told_of_and_not_kept(book, monkeypatch):
    told = []
    monkeypatch.setattr(ahead.logger, "warning", lambda *a, **k: told.append(a))
    app, cache = book({"a": "1 / 0", "b": "1 + 1"})
    ahead._run_ahead(app, app.env, ["a", "b"])
    assert len(cache.list_cache_records()) == 1
    ((_, name, error),) = told
    assert name == "a" and "ZeroDivisionError" in error


def test_nothing_runs_twice_nor_where_it_was_left_out(book, monkeypatch):
    app, _ = book({"a": "1", "b": "2"})
    ahead._run_ahead(app, app.env, ["a", "b"])
    monkeypatch.setattr(ahead, "keep", lambda *a: pytest.fail("run again"))
    ahead._run_ahead(app, app.env, ["a", "b"])
    app, _ = book({"a": "4", "b": "5"}, execution_excludepatterns=("*.md",))
    ahead._run_ahead(app, app.env, ["a", "b"])


def test_long_chapters_start_first_and_unknown_ones_before_them(monkeypatch):
    monkeypatch.setattr(ahead, "recorded", lambda: {"short": 3.0, "long": 90.0})
    names = ["book/short", "book/new", "book/long"]
    assert ahead.longest_first(names) == ["book/new", "book/long", "book/short"]


KILLED = """
import multiprocessing, sys, time
sys.path.insert(0, {folder!r})
import apart
if __name__ == "__main__":
    spawn = multiprocessing.get_context("spawn")
    with spawn.Pool(1, initializer=apart.begin) as pool:
        print(pool.apply(apart.os.getpid), flush=True)
        pool.apply(time.sleep, [600])
"""


@pytest.mark.skipif(os.name == "nt", reason="kills as Unix does")
def test_a_worker_ends_with_a_build_that_is_killed(tmp_path):
    script = tmp_path / "killed.py"
    script.write_text(KILLED.format(folder=str(ROOT / "book" / "_ext")))
    build = subprocess.Popen([sys.executable, script], stdout=subprocess.PIPE)
    worker = int(build.stdout.readline())
    os.kill(worker, 0)
    build.stdout.close()
    build.kill()
    build.wait()
    for _ in range(100):
        try:
            os.kill(worker, 0)
        except ProcessLookupError:
            return
        time.sleep(0.1)
    os.kill(worker, signal.SIGKILL)
    pytest.fail("the worker lives on")
