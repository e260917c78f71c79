"""What a worker process of :mod:`ahead` does; it loads no more than that."""

from __future__ import annotations

import multiprocessing
import os
import tempfile
import threading
from typing import Any

from jupyter_cache.executors.utils import single_nb_execution


def begin():
    """End this process, and with it its kernel, when the build is killed."""

    build: Any = multiprocessing.parent_process()

    def watch():
        build.join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def run(job):
    """Run one notebook in an empty folder."""
    docname, notebook, timeout = job
    with tempfile.TemporaryDirectory() as folder:
        result = single_nb_execution(
            notebook, cwd=folder, timeout=timeout, allow_errors=False
        )
    return docname, result.nb, result.time, result.exc_string
