"""Redraws every figure of this folder, or checks that none is out of date.

``python images/build.py`` writes the pictures; ``python images/build.py --check``
writes nothing and fails if a picture differs from what its script draws today.
"""

from __future__ import annotations

import importlib
import importlib.util
import re
import sys
from pathlib import Path
from types import ModuleType

FOLDER = Path(__file__).resolve().parent
NUMBER = re.compile(r"-?\d+(?:\.\d+)?(?:e[-+]?\d+)?")


def names() -> list[str]:
    """The figures: every script but this one and the helpers."""
    stems = {path.stem for path in FOLDER.glob("[!_]*.py")}
    return sorted(stems - {"build"})


def load(name: str) -> ModuleType:
    """Import the script of a figure, which has ``draw()`` and ``ALT``.

    Raises:
        ValueError: if there is no such figure.
    """
    if name not in names():
        raise ValueError(f"name must be one of {names()}, got {name!r}.")
    helpers()
    spec = importlib.util.spec_from_file_location(
        f"advanced_keras_images_{name}", FOLDER / f"{name}.py"
    )
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def helpers() -> ModuleType:
    """The module ``_drawing``, which all scripts share."""
    if str(FOLDER) not in sys.path:
        sys.path.append(str(FOLDER))  # at the end: a script must not hide a package
    return importlib.import_module("_drawing")


def same(left: str, right: str, tolerance: float = 0.02) -> bool:
    """Whether two SVG texts are equal, up to ``tolerance`` points in their numbers.

    The last digit of a coordinate depends on the machine's arithmetic.
    """
    if NUMBER.split(left) != NUMBER.split(right):
        return False
    pairs = zip(NUMBER.findall(left), NUMBER.findall(right), strict=True)
    return all(a == b or abs(float(a) - float(b)) <= tolerance for a, b in pairs)


def outdated() -> list[str]:
    """The figures whose committed SVG isn't what their script draws today."""
    stale = []
    for name in names():
        path, module = FOLDER / f"{name}.svg", load(name)
        drawn = helpers().svg(name, module.draw())
        if not path.is_file() or not same(path.read_text(encoding="utf-8"), drawn):
            stale.append(name)
    return stale


def redraw() -> list[Path]:
    """Draw every figure anew; returns the files."""
    written = []
    for name in names():
        module = load(name)
        width = getattr(module, "PNG_WIDTH", None)
        written.append(helpers().write(name, module.draw(), width))
    return written


def main(arguments: list[str]) -> int:
    """Run the command line; returns the exit status."""
    if arguments == ["--check"]:
        stale = outdated()
        for name in stale:
            print(f"images/{name}.svg is out of date: run python images/build.py")
        return 1 if stale else 0
    if arguments:
        print("usage: python images/build.py [--check]", file=sys.stderr)
        return 2
    for path in redraw():
        print(path.relative_to(FOLDER.parent))
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
