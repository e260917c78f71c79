#!/usr/bin/env python3
"""Build the wheel, install it where nothing else of the book is, and run an example.

    .venv/bin/python tools/wheels.py FOLDER

leaves the wheel in FOLDER. The environment it is tried in is made for that and thrown
away: the wheel, and by a path file the packages of the lock, but not the checkout.
"""

import contextlib
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import zipfile
from email import message_from_bytes
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "code" / "advanced_keras"
ABSENT = """
import sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name in NAMES:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Absent())
"""
IMPORTS = """
import pathlib, pkgutil, sys
import advanced_keras
home = pathlib.Path(advanced_keras.__file__).parent
assert home.is_relative_to(sys.prefix), home
for module in pkgutil.walk_packages([str(home)], "advanced_keras."):
    __import__(module.name)
"""


def build(folder: Path) -> Path:
    """Build the wheel from what git would commit; return its path.

    Raises:
        subprocess.CalledProcessError: if the build fails.
    """
    folder = folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel"]
    subprocess.run([*command, "-d", str(folder)], cwd=ROOT, check=True)
    return max(folder.glob("*.whl"), key=lambda path: path.stat().st_mtime)


def install(wheel: Path, folder: Path) -> Path:
    """Install the wheel in a new environment in ``folder``; return its Python."""
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    bin_folder = folder / ("Scripts" if sys.platform == "win32" else "bin")
    python = bin_folder / ("python.exe" if sys.platform == "win32" else "python")
    pip = [str(python), "-m", "pip", "install", "--quiet", "--no-deps", "--no-index"]
    subprocess.run([*pip, "--disable-pip-version-check", str(wheel)], check=True)
    # A path file is not read for other path files: the checkout stays out.
    site = subprocess.run(
        [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout.strip()
    lines = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
    (Path(site) / "locked.pth").write_text("\n".join(sorted(lines)))
    return python


def required(wheel: Path) -> set[str]:
    """The distributions that pip installs with a wheel, by their normal names."""
    with zipfile.ZipFile(wheel) as archive:
        (name,) = [n for n in archive.namelist() if n.endswith("dist-info/METADATA")]
        waiting = message_from_bytes(archive.read(name)).get_all("Requires-Dist", [])
    found: set[str] = set()
    while waiting:
        need = Requirement(waiting.pop())
        here = canonicalize_name(need.name)
        if here in found or (need.marker and not need.marker.evaluate({"extra": ""})):
            continue
        found.add(here)
        with contextlib.suppress(metadata.PackageNotFoundError):
            waiting += metadata.requires(here) or []
    return found


def without_strangers(code: str, wheel: Path) -> str:
    """Code that finds only what pip installs with the wheel, not the whole lock."""
    ours = required(wheel) | {"advanced-keras"}
    names = {
        module
        for module, distributions in metadata.packages_distributions().items()
        if not ours & {canonicalize_name(each) for each in distributions}
    }
    return f"NAMES = {sorted(names)!r}\n{ABSENT}\n{code}"


def examples(text: str) -> list[str]:
    """The Python examples of a Markdown text."""
    return re.findall(r"^```python\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)


def run(python: Path, code: str, folder: Path) -> str:
    """Run code in a folder outside the checkout; return what it printed.

    Raises:
        RuntimeError: if it fails or says anything on the standard error.
    """
    # -I: no PYTHONPATH and no current folder, which may lead to the checkout
    done = subprocess.run(
        [python, "-I", "-c", code], cwd=folder, capture_output=True, text=True
    )
    if done.returncode or done.stderr:
        raise RuntimeError(f"an example failed:\n{code}\n{done.stderr}")
    return done.stdout


def main() -> int:
    """Build, install, import every module, run the examples of README.md."""
    target = Path(sys.argv[1] if len(sys.argv) > 1 else ROOT / "_build" / "wheel")
    wheel = build(target)
    away = Path(tempfile.mkdtemp())
    try:
        python = install(wheel, away / "environment")
        run(python, without_strangers(IMPORTS, wheel), away)
        for code in examples((ROOT / "README.md").read_text(encoding="utf-8")):
            print(run(python, without_strangers(code, wheel), away), end="")
    finally:
        shutil.rmtree(away, ignore_errors=True)
    print(f"{wheel} was installed and used")
    return 0


if __name__ == "__main__":
    sys.exit(main())
