"""What can go wrong around the book, and the sentence that says what to do.

Uses the standard library only, like ``book.py``, which asks here.
"""

import os
import re
import shutil
import threading

GIGABYTE = 10**9
ENVIRONMENT = 6 * GIGABYTE
"""Free disk for ``.venv`` (3.6 GB installed) and what pip unpacks meanwhile."""
MEMORY = 3 * GIGABYTE
"""Free memory for Sphinx and one chapter; each of them takes about one gigabyte."""

PLATFORMS = (
    "the book runs on Linux with glibc 2.28 or newer (x86-64 or ARM), on Macs with "
    "Apple silicon and on Windows (x86-64)"
)

SENTENCES = (
    (
        r"DeadKernelError|Kernel died",
        "the Python of a chapter was ended from outside, most often because memory ran "
        "out: close other programs, and say the same again (chapters that are finished "
        "are not run again)",
    ),
    (
        r"No space left on device|Errno 28|WinError 112",
        "the disk is full: make room for about "
        f"{ENVIRONMENT // GIGABYTE} GB, and say the same again",
    ),
    (
        r"NewConnectionError|name resolution|getaddrinfo|ConnectTimeout|ReadTimeout"
        r"|Network is unreachable|ProxyError|Connection (refused|reset|aborted)",
        "the package index did not answer: set-up is the one command that needs the "
        "network; check the connection (or pip's proxy settings), and say the same "
        "again",
    ),
    (
        r"DO NOT MATCH THE HASHES",
        "a package is not the one that requirements.lock names: it may have been "
        "damaged on the way, so say the same again; if that does not help, tell us",
    ),
    (
        r"graphviz/cgraph\.h|[Ff]ailed (building|to build).*pygraphviz",
        "there is no ready-made pygraphviz for this machine, and building one failed: "
        "install a C compiler and Graphviz with its headers (Debian: apt-get install "
        "build-essential python3-dev libgraphviz-dev), and say the same again; "
        + PLATFORMS,
    ),
    (
        r"No matching distribution found for ([\w.-]+)",
        "there is no {0} for this machine or this Python: " + PLATFORMS,
    ),
    (
        r"Microsoft Visual C\+\+|command '?\S*(gcc|cc|clang)\S*' failed"
        r"|[Ff]ailed (?:building|to build)",
        "a package has to be built here, and that failed: install a C compiler "
        "(Debian: apt-get install build-essential python3-dev), and say the same "
        "again; " + PLATFORMS,
    ),
    (
        r"ensurepip is not available|No module named '?(venv|ensurepip)",
        "this Python has no module venv: install it (Debian: apt-get install "
        "python3-venv), and say the same again",
    ),
)


def why(output):
    """The sentence for what a failed command printed; empty if there is none."""
    for pattern, sentence in SENTENCES:
        found = re.search(pattern, output)
        if found:
            return sentence.format(*found.groups())
    return ""


def disk(folder):
    """The sentence for a disk without room for the environment; empty if it fits."""
    free = shutil.disk_usage(folder).free
    if free >= ENVIRONMENT:
        return ""
    return (
        f"{free / GIGABYTE:.1f} GB are free on this disk and set-up needs "
        f"{ENVIRONMENT // GIGABYTE} GB: make room, and say the same again"
    )


def free_memory():
    """Bytes that a new program may use, or None where the system does not say."""
    try:
        with open("/proc/meminfo", encoding="ascii") as file:
            found = re.search(r"MemAvailable:\s+(\d+)", file.read())
    except OSError:  # not Linux
        return None
    if not found:
        return None
    free = int(found[1]) * 1024
    try:  # a container may have less than its machine
        with open("/sys/fs/cgroup/memory.max", encoding="ascii") as file:
            limit = int(file.read())
        with open("/sys/fs/cgroup/memory.current", encoding="ascii") as file:
            return min(free, limit - int(file.read()))
    except (OSError, ValueError):  # no limit
        return free


def memory():
    """The sentence for little memory; empty if there is enough, or nobody knows."""
    free = free_memory()
    if free is None or free >= MEMORY:
        return ""
    return (
        f"{free / GIGABYTE:.1f} GB of memory are free and the book needs about "
        f"{MEMORY // GIGABYTE} GB: close other programs if a chapter is killed"
    )


class Ear:
    """Stands between a child and our standard output: hands on, and remembers."""

    def __init__(self):
        self.heard, write = os.pipe()
        self.file = os.fdopen(write, "wb")
        self.said = bytearray()
        self.thread = threading.Thread(target=self._listen, daemon=True)
        self.thread.start()

    def fileno(self):
        """What ``subprocess`` gives to the child."""
        return self.file.fileno()

    def _listen(self):
        while part := os.read(self.heard, 4096):
            self.said += part
            print(part.decode(errors="replace"), end="", flush=True)
        os.close(self.heard)

    def close(self):
        """Wait for the last word; return all that was said."""
        if not self.file.closed:
            self.file.close()
            self.thread.join()
        return self.said.decode(errors="replace")
