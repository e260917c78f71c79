"""Whether an output still is what a build would make: then nothing has to be built.

An output is made from files: all of the book but what it makes itself. If their
contents are those of the last finished build, and the files that it wrote are as it
left them, it is up to date. Uses the standard library only, like ``book.py``.
"""

import hashlib
import json
import os
from pathlib import Path

OURS = {"_build", "notebooks", "__pycache__"}
"""Folders that the commands make. Hidden files and folders are left out, too."""


def is_ours(path):
    """Whether the commands, or other programs, made a file or a folder."""
    hidden = path.name.startswith(".")
    return hidden or path.name in OURS or path.name.endswith(".egg-info")


def walk(folder):
    """The files below a folder that belong to the book, in order."""
    for path in sorted(folder.iterdir()):
        if is_ours(path):
            continue
        if path.is_dir():
            yield from walk(path)
        else:
            yield path


def contents(folder):
    """A digest of the names and the contents of the files of a book."""
    digest = hashlib.sha256()
    for path in walk(folder):
        inside = hashlib.sha256(path.read_bytes()).hexdigest()
        digest.update(f"{path.relative_to(folder)} {inside}\n".encode())
    return digest.hexdigest()


def traces(folder):
    """A digest of names, sizes and times of the files of an output."""
    digest = hashlib.sha256()
    for place, folders, names in os.walk(str(folder)):
        folders.sort()
        for name in sorted(names):
            path = Path(place, name)
            seen = path.stat()
            line = f"{path} {seen.st_size} {seen.st_mtime_ns}\n"
            digest.update(line.encode())
    return digest.hexdigest()


class Record:
    """What an output was last made from, and what it was, in a file beside it.

    Args:
        root: folder of the book.
        output: folder of the output, in a folder that the commands make.
        tools: what else decides about the output, such as the mark of the environment.
    """

    def __init__(self, root, output, tools):
        self.output = output
        self.file = output.parent / f".made-{output.name}"
        self.source = contents(root) + tools

    def holds(self):
        """Whether the output is as a build would make it."""
        try:
            last = json.loads(self.file.read_text())
        except (OSError, ValueError):
            return False
        return last == self._state()

    def write(self):
        """Remember the output that was just made from what was there before."""
        new = self.file.with_name(self.file.name + ".new")
        new.write_text(json.dumps(self._state()))
        new.replace(self.file)

    def _state(self):
        return {"from": self.source, "made": traces(self.output)}
