#!/usr/bin/env python3
"""The commands of the book: what ``make html``, ``make test`` and the others run.

Uses the standard library only, and only syntax that an old Python can read far enough
to say which one is needed.
"""

import argparse
import contextlib
import errno
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import made
import trouble

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
BUILD = ROOT / "_build"
LOCK = ROOT / "requirements.lock"
BIN = VENV / ("Scripts" if os.name == "nt" else "bin")
PYTHON = BIN / ("python.exe" if os.name == "nt" else "python")
OLDEST, NEWEST = (3, 11), (3, 13)


class Stop(Exception):
    """Ends the command with one line for the reader."""


# ---------------------------------------------------------------- environment


def child_env():
    """Environment of every child: quiet logs, nobody else's IPython profile."""
    settings = {
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "PYDEVD_DISABLE_FILE_VALIDATION": "1",
        "IPYTHONDIR": str(BUILD / "ipython"),
        "JUPYTER_PREFER_ENV_PATH": "1",
        "PATH": str(BIN) + os.pathsep + os.environ.get("PATH", ""),
        "VIRTUAL_ENV": str(VENV),
    }
    return {**os.environ, **settings}


KERNEL = """\
# Written by tools/book.py. A kernel says at its start that it is not encrypted. Those
# of a build talk to their own machine only. What else a kernel or a cell says is heard.
import logging

logging.getLogger("IPKernelApp").addFilter(
    lambda record: "TCP without encryption" not in record.getMessage()
)
"""


def write_profile():
    """The IPython profile of every child, in the build folder."""
    profile = BUILD / "ipython" / "profile_default"
    profile.mkdir(parents=True, exist_ok=True)
    config = profile / "ipython_kernel_config.py"
    if not config.exists() or config.read_text(encoding="utf-8") != KERNEL:
        config.write_text(KERNEL, encoding="utf-8")


def run(*command, **options):
    """Run a child to its end; its failure is ours."""
    line = [str(part) for part in command]
    write_profile()
    done = subprocess.run(line, cwd=ROOT, env=child_env(), **options)
    if done.returncode:
        raise Stop("failed: " + " ".join(Path(c).name for c in line[:4]) + " ...")


def version_of(program):
    """``(3, 12)`` for a Python that runs, None for one that does not."""
    code = "import sys; print(*sys.version_info[:2])"
    try:
        answer = subprocess.run(
            [program, "-c", code], capture_output=True, text=True, timeout=60
        )
        return tuple(int(n) for n in answer.stdout.split()) or None
    except (OSError, ValueError, subprocess.SubprocessError):
        return None


def find_python():
    """A Python that the book runs on: this one, or the newest that is installed."""
    names = ["python3.13", "python3.12", "python3.11", "python3", "python"]
    for program in [sys.executable, *names]:
        found = version_of(program)
        if found and OLDEST <= found <= NEWEST:
            return program
    raise Stop(
        "Python 3.11, 3.12 or 3.13 is needed and none was found: install one, "
        "or name it: make PYTHON=/path/to/python3.12 html"
    )


def lock_mark(version):
    """What a finished environment was made from."""
    parts = (LOCK.read_bytes(), (ROOT / "pyproject.toml").read_bytes())
    return hashlib.sha256(b"".join(parts) + repr(version).encode()).hexdigest()


def setup():
    """Make ``.venv`` from the lock, whole or not at all."""
    ready = VENV / ".ready"
    python = PYTHON if ready.exists() and version_of(PYTHON) else find_python()
    mark = lock_mark(version_of(python))
    if ready.exists() and ready.read_text() == mark:
        return
    python = find_python()
    mark = lock_mark(version_of(python))
    if trouble.disk(ROOT):
        raise Stop(trouble.disk(ROOT))
    print(
        "Setting up .venv from requirements.lock (once; some minutes) ...", flush=True
    )
    shutil.rmtree(VENV, ignore_errors=True)
    try:
        install(python)
    except BaseException:
        shutil.rmtree(VENV, ignore_errors=True)
        raise
    ready.write_text(mark)


def install(python):
    """Create the environment, the locked packages, and ours in editable mode."""
    explained(python, "-m", "venv", VENV)
    pip = [PYTHON, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    explained(*pip, "--no-deps", "--require-hashes", "-r", LOCK)
    explained(*pip, "--no-deps", "--no-build-isolation", "--editable", ROOT)


def explained(*command):
    """Run a child that says at length why it fails; add the sentence that helps."""
    heard = trouble.Ear()
    try:
        run(*command, stdout=heard, stderr=subprocess.STDOUT)
    except Stop:
        if trouble.why(heard.close()):
            raise Stop(trouble.why(heard.close())) from None
        raise
    finally:
        heard.close()


# ------------------------------------------------------------------- the book


@contextlib.contextmanager
def whole_or_nothing(output):
    """A build that fails or is interrupted leaves no half-written pages behind.

    What the chapters computed stays in the cache: that is kept by content.
    """
    mark = BUILD / (".unfinished-" + output)
    if mark.exists():
        discard(output)
    BUILD.mkdir(exist_ok=True)
    mark.touch()
    try:
        yield
    except BaseException:
        discard(output)
        raise
    finally:
        mark.unlink()


def discard(output):
    """Remove an output and the parsed pages that it was made from."""
    shutil.rmtree(BUILD / output, ignore_errors=True)
    shutil.rmtree(BUILD / ".doctrees", ignore_errors=True)


def jupyter_book(builder):
    """Build the book; each warning is an error, and all of them are shown."""
    strict = ["-n", "-W", "--keep-going"]
    if trouble.memory():
        print("Note: " + trouble.memory(), flush=True)
    explained(BIN / "jupyter-book", "build", ROOT, "--builder", builder, *strict)


def build(output, builder):
    """Build an output, unless the last build of the same book left it as it is."""
    setup()
    record = made.Record(ROOT, BUILD / output, (VENV / ".ready").read_text())
    if record.holds():
        print("Nothing has changed since the last build.")
        return
    with whole_or_nothing(output):
        jupyter_book(builder)
    record.write()


def html():
    """Build the site."""
    build("html", "html")
    print(f"\nThe book is at {BUILD / 'html' / 'index.html'}")


def reproduce(*arguments):
    """Build the book twice from scratch, once disturbed, and compare."""
    setup()
    run(PYTHON, ROOT / "tools" / "reproduce.py", *arguments)


def times():
    """Record the times of the last build, against which ``make check`` compares."""
    last = BUILD / "times.json"
    if not last.exists():
        raise Stop("no build has been timed: run make html first")
    shutil.copy(last, ROOT / "book" / "times.json")
    print(f"The times of {last} are now those of book/times.json")


def links():
    """Follow every link of the book (the one command that needs the network)."""
    setup()
    run(BIN / "jupyter-book", "build", ROOT, "--builder", "linkcheck")


def pdf():
    """Build the PDF."""
    for tool in ("xelatex", "latexmk", "make"):
        if not shutil.which(tool):
            raise Stop(
                f"{tool} is needed for the PDF: install TeX Live with xelatex and "
                "latexmk (Debian: apt-get install texlive-xetex texlive-latex-extra "
                "latexmk fonts-freefont-otf; macOS: MacTeX; Windows: MiKTeX)"
            )
    build("latex", "pdflatex")
    print(f"\nThe PDF is at {BUILD / 'latex' / 'advanced-keras.pdf'}")


def test(*arguments):
    """Run the tests."""
    setup()
    run(BIN / "ruff", "check", "--quiet", ".")
    run(BIN / "ruff", "format", "--check", "--quiet", ".")
    run(BIN / "lint-imports", "--no-cache")
    run(BIN / "codespell")
    run(PYTHON, "-m", "mypy")
    (BUILD / "coverage").mkdir(parents=True, exist_ok=True)
    run(PYTHON, "-m", "pytest", *(arguments or WHOLE))


WHOLE = ("-n", "2", "--dist", "loadfile", "--cov", "--cov-report", "term-missing")
"""How all tests run: files dealt to two processes, lines and branches counted."""


def mutate(*arguments):
    """Break the mathematics in many places, and count what the tests notice."""
    setup()
    run(PYTHON, "tools/mutate.py", *arguments)


def check():
    """Look at the site and the PDF that were built; not being able to is a failure."""
    setup()
    os.environ["AK_MUST_LOOK"] = "1"
    run(PYTHON, "-m", "pytest", "tests/built", "-n", "2")


def bench():
    """Measure every claim about speed."""
    setup()
    failed = []
    for script in sorted((ROOT / "benchmarks").glob("bench_*.py")):
        try:
            run(PYTHON, script)
        except Stop:
            failed.append(script.name)
    if failed:
        raise Stop("below target: " + ", ".join(failed))


def chapters():
    """The chapters that have cells."""
    pages = sorted((ROOT / "book").glob("*.md"))
    return [p for p in pages if "\nkernelspec:" in p.read_text(encoding="utf-8")]


def chapter(*names):
    """Run single chapters outside the book, results in ``_build/chapters``."""
    known = {path.stem: path for path in chapters()}
    if not names or not set(names) <= set(known):
        raise Stop("name one or more of: make chapter ARGS=vae; " + " ".join(known))
    setup()
    target = BUILD / "chapters"
    target.mkdir(parents=True, exist_ok=True)
    for name in names:
        output = ["-o", target / (name + ".ipynb"), "--run-path", target]
        run(BIN / "jupytext", "--to", "ipynb", "--execute", *output, known[name])


def notebooks():
    """Write every chapter as an .ipynb file into notebooks/."""
    setup()
    target = ROOT / "notebooks"
    target.mkdir(exist_ok=True)
    for chapter in chapters():
        output = target / (chapter.stem + ".ipynb")
        run(BIN / "jupytext", "--quiet", "--to", "ipynb", "-o", output, chapter)
    print(f"{len(chapters())} notebooks are in {target}")


def lab():
    """Open the chapters in JupyterLab."""
    setup()
    viewers = {"markdown": "Jupytext Notebook", "myst": "Jupytext Notebook"}
    settings = VENV / "share" / "jupyter" / "lab" / "settings" / "overrides.json"
    settings.parent.mkdir(parents=True, exist_ok=True)
    key = "@jupyterlab/docmanager-extension:plugin"
    settings.write_text(json.dumps({key: {"defaultViewers": viewers}}))
    run(BIN / "jupyter-lab", "--notebook-dir", ROOT / "book")


def lock(*arguments):
    """Resolve the dependencies again, for every platform, into requirements.lock."""
    setup()
    new = ROOT / "requirements.lock.new"
    shutil.copy(LOCK, new)
    options = "--all-extras --universal --generate-hashes --no-emit-index-url".split()
    options += ["--no-emit-find-links", "--no-header", "--quiet"]
    options += ["--python-version", "3.11", "--output-file", str(new)]
    try:
        run(BIN / "uv", "pip", "compile", "pyproject.toml", *options, *arguments)
        if "://" in new.read_text():
            raise Stop("the new lock names an address; requirements.lock is unchanged")
        new.replace(LOCK)
    finally:
        new.unlink(missing_ok=True)


def clean():
    """Remove all that was built here, the environment included."""
    caches = ".pytest_cache .ruff_cache .hypothesis notebooks".split()
    for path in (BUILD, VENV, *(ROOT / name for name in caches)):
        shutil.rmtree(path, ignore_errors=True)


COMMANDS = {
    "html": (html, "build the book as a site on built-in data"),
    "test": (test, "run the tests of the package and of the book's machinery"),
    "pdf": (pdf, "build the book as a PDF (needs xelatex and latexmk)"),
    "lab": (lab, "open the chapters in JupyterLab"),
    "chapter": (chapter, "run one chapter alone: make chapter ARGS=vae"),
    "notebooks": (notebooks, "write every chapter as an .ipynb file"),
    "bench": (bench, "measure the claims about speed, as ratios"),
    "mutate": (mutate, "break the mathematics, and count what the tests notice"),
    "check": (check, "look at the built site and PDF"),
    "reproduce": (reproduce, "build twice, once killed on the way; compare all bytes"),
    "times": (times, "record how long each chapter took in the last make html"),
    "links": (links, "follow every link of the book (needs the network)"),
    "lock": (lock, "resolve the dependencies again into requirements.lock"),
    "setup": (setup, "only make the environment .venv"),
    "clean": (clean, "remove the environment and all that was built"),
}


def usage():
    """The list of commands."""
    rows = (f"  make {name:<10} {text}" for name, (_, text) in COMMANDS.items())
    return "\n".join(
        ["The commands of the book:", *rows, "  make help       this list"]
    )


def ended(*_):
    """End as after an interruption, and not without the children."""
    sys.exit(143)


def main():
    """Run one command."""
    parser = argparse.ArgumentParser(usage=usage(), add_help=False)
    parser.add_argument("command", nargs="?", default="help")
    parser.add_argument("arguments", nargs=argparse.REMAINDER)
    chosen = parser.parse_args()
    if chosen.command not in COMMANDS:
        print(usage())
        return 0 if chosen.command == "help" else 2
    signal.signal(signal.SIGTERM, ended)
    try:
        COMMANDS[chosen.command][0](*chosen.arguments)
    except Stop as stop:
        print(f"make {chosen.command}: {stop}", file=sys.stderr)
        return 1
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        print(f"make {chosen.command}: the disk is full: make room", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"make {chosen.command}: interrupted", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
