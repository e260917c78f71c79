"""Several processes on one machine, started and ended together."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import random
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path


def cluster_config(addresses: Sequence[str], index: int) -> str:
    """The text of ``TF_CONFIG`` for one process of a cluster of equal workers.

    Args:
        addresses: ``host:port`` of every worker, the same list in each process.
        index: which of them this process is. Number 0 is the chief.

    Returns:
        JSON, for the environment variable ``TF_CONFIG``.

    Raises:
        ValueError: if an address has no port or comes twice, or there is none, or
            ``index`` is not the number of a worker.
    """
    addresses = list(addresses)
    for address in addresses:
        host, _, port = str(address).rpartition(":")
        if not host or not port.isdigit():
            raise ValueError(f"addresses must be 'host:port', got {address!r}.")
    if not addresses or len(set(addresses)) < len(addresses):
        raise ValueError(
            f"addresses must name each worker once, at least one, got {addresses!r}."
        )
    if index not in range(len(addresses)):
        raise ValueError(
            f"index must be from 0 to {len(addresses) - 1}, one of the "
            f"{len(addresses)} addresses, got {index!r}."
        )
    task = {"type": "worker", "index": index}
    return json.dumps({"cluster": {"worker": addresses}, "task": task})


def launch(
    module: str,
    arguments: Sequence[str] = (),
    workers: int = 2,
    timeout: float = 600.0,
) -> None:
    """Run ``python -m module`` in several local processes, and wait for all of them.

    They are workers of one cluster on free ports of this machine. If one fails, or the
    time is over, all are ended before this returns: no process is left behind.

    Args:
        module: the program, by its name for ``python -m``.
        arguments: its command line, the same for each worker.
        workers: how many processes.
        timeout: seconds that all together may take.

    Raises:
        ValueError: if there is no such module, or ``workers`` or ``timeout`` is not
            positive.
        RuntimeError: if a worker fails; with the end of what it wrote.
        TimeoutError: if the workers do not end in time.
    """
    _check(module, workers, timeout)
    addresses = [f"127.0.0.1:{port}" for port in free_ports(workers)]
    command = [sys.executable, "-m", module, *map(str, arguments)]
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        logs = [Path(folder) / f"worker-{index}.log" for index in range(workers)]
        children = [
            stack.enter_context(_child(command, cluster_config(addresses, index), log))
            for index, log in enumerate(logs)
        ]
        _wait(children, logs, timeout)


def free_ports(count: int) -> list[int]:
    """Ports of this machine that nobody listens on, all different.

    Args:
        count: how many.

    Raises:
        RuntimeError: if there are not as many.
    """
    # A worker takes seconds to come and take its port. Systems give the ports from
    # 32768 on to whoever connects to somewhere, so we stay below. The draw is the
    # system's: after random.seed(0) two programs would draw the same ports.
    found: list[int] = []
    for port in random.SystemRandom().sample(range(20000, 32768), 1000):
        if len(found) < count and _is_free(port):
            found.append(port)
    if len(found) < count:
        raise RuntimeError(f"found {len(found)} free ports where {count} are needed.")
    return found


def _is_free(port: int) -> bool:
    with socket.socket() as trial:
        try:
            trial.bind(("", port))  # every interface, as the server of a worker does
        except OSError:
            return False
    return True


@contextlib.contextmanager
def _child(command, config, log):
    """A running process that is dead when the block is left, whatever happened."""
    with log.open("wb") as file:
        child = subprocess.Popen(
            command, env=_environment(config), stdout=file, stderr=file
        )
    try:
        yield child
    finally:
        child.kill()  # does nothing to a process that has ended
        child.wait()


def _environment(config: str) -> dict[str, str]:
    return {
        **os.environ,
        "TF_CONFIG": config,
        "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),  # finds what we find
        "CUDA_VISIBLE_DEVICES": "-1",  # local workers would fight for the same GPU
        "NO_PROXY": "127.0.0.1",
        "no_proxy": "127.0.0.1",
    }


def _wait(children, logs, timeout: float) -> None:
    """Return when all have ended well; raise at the first that has not."""
    end = time.monotonic() + timeout
    while True:
        codes = [child.poll() for child in children]
        for index, code in enumerate(codes):
            if code:  # neither None, running, nor 0, done
                raise RuntimeError(
                    f"worker {index} of {len(children)} ended with code {code}:\n"
                    + _tail(logs[index])
                )
        if None not in codes:
            return
        if time.monotonic() > end:
            late = [index for index, code in enumerate(codes) if code is None]
            raise TimeoutError(
                f"workers {late} of {len(children)} did not end within timeout = "
                f"{timeout} s and were stopped:\n" + _tail(logs[late[0]])
            )
        time.sleep(0.05)


def _tail(log: Path, lines: int = 12) -> str:
    text = log.read_text(encoding="utf-8", errors="replace")
    return "\n".join(text.splitlines()[-lines:])


def _check(module, workers, timeout) -> None:
    try:
        found = importlib.util.find_spec(module)
    except (ImportError, ValueError, TypeError, AttributeError):  # a.b without a; ""; 5
        found = None
    if found is None:
        raise ValueError(f"module must be importable, found no module {module!r}.")
    if isinstance(workers, bool) or not isinstance(workers, int) or workers < 1:
        raise ValueError(f"workers must be a positive integer, got {workers!r}.")
    if not timeout > 0:
        raise ValueError(f"timeout must be a positive number of s, got {timeout!r}.")
