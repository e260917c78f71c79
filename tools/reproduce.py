#!/usr/bin/env python3
"""Build the book twice from scratch and compare the two, byte for byte.

The second build is killed at several moments and started again each time: an
interrupted build must end as an undisturbed one does. Both are made in fresh clones of
the last commit, in folders of different names, with the environment of this one.
"""

import argparse
import contextlib
import filecmp
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def clone(folder: Path) -> Path:
    """A fresh clone that borrows our environment."""
    subprocess.run(["git", "clone", "--quiet", ROOT, folder], check=True)
    (folder / ".venv").symlink_to(ROOT / ".venv")
    return folder


def start(folder: Path) -> subprocess.Popen:
    """``make html`` in a process group of its own."""
    environment = {**os.environ, "PYTHONPATH": str(folder / "code")}
    return subprocess.Popen(
        [sys.executable, "tools/book.py", "html"],
        cwd=folder,
        env=environment,
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    )


def build(folder: Path, killed_after=()) -> float:
    """Build to the end, after being killed at the given seconds; return its time."""
    for seconds in killed_after:
        child = start(folder)
        time.sleep(seconds)
        os.killpg(child.pid, signal.SIGKILL)
        child.wait()
        print(f"killed after {seconds:.1f} s", flush=True)
    began = time.monotonic()
    if start(folder).wait():
        raise SystemExit(f"the build in {folder.name} failed")
    return time.monotonic() - began


def files(folder: Path) -> set[Path]:
    """What a build is compared by: the site and the executed notebooks.

    Left out is Sphinx's note of its settings, for the folder's name is among them.
    """
    site = folder / "_build" / "html"
    ran = folder / "_build" / ".jupyter_cache" / "executed"
    found = [*site.rglob("*"), *ran.rglob("*.ipynb")]
    kept = (path for path in found if path.is_file() and path.name != ".buildinfo")
    return {path.relative_to(folder) for path in kept}


def differences(one: Path, other: Path) -> list[str]:
    """Files that only one of two builds has, or that are not the same."""
    here, there = files(one), files(other)
    lone = [f"only in one: {path}" for path in sorted(here ^ there)]
    unequal = [
        f"different: {path}"
        for path in sorted(here & there)
        if not filecmp.cmp(one / path, other / path, shallow=False)
    ]
    return lone + unequal


def moments(count: int, whole: float, seed: int) -> list[float]:
    """When to kill a build: early, while it starts, and later, while chapters run.

    Every second moment is within the first tenth of ``whole`` seconds, the others are
    anywhere up to half of it.
    """
    draw = random.Random(seed).uniform
    return [draw(1, whole / (10 if n % 2 == 0 else 2)) for n in range(count)]


def main() -> int:
    """Build, kill, build again, compare."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=4, help="of the second build")
    parser.add_argument("--seed", type=int, default=0, help="of the moments of killing")
    parser.add_argument("--into", type=Path, help="a folder that keeps both builds")
    chosen = parser.parse_args()
    with contextlib.ExitStack() as stack:
        place = chosen.into or stack.enter_context(tempfile.TemporaryDirectory())
        calm, disturbed = clone(Path(place, "calm")), clone(Path(place, "disturbed"))
        whole = build(calm)
        print(f"undisturbed: {whole:.0f} s", flush=True)
        kills = moments(chosen.kills, whole, chosen.seed)
        print(f"to the end: {build(disturbed, kills):.0f} s", flush=True)
        found = differences(calm, disturbed)
        print("\n".join(found) or f"{len(files(calm))} files, all the same")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
