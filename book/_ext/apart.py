"""What a worker process of :mod:`ahead` does; it loads no more than that."""

from __future__ import annotations

import tempfile

from jupyter_cache.executors.utils import single_nb_execution


def run(job):
    """Run one notebook in an empty folder; in a process of its own."""
    docname, notebook, timeout = job
    with tempfile.TemporaryDirectory() as folder:
        result = single_nb_execution(
            notebook, cwd=folder, timeout=timeout, allow_errors=False
        )
    return docname, result.nb, result.time, result.exc_string
