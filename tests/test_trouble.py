"""What goes wrong is met with a sentence.

Some failures are really made: pip against a port where nobody listens, children that
fail, a ``make`` without Python. For the others the test has words as pip, venv,
compilers and Jupyter print them: no test needs a network, or fills a disk.
"""

import builtins
import errno
import io
import os
import subprocess
import sys
from collections import namedtuple
from pathlib import Path

import pytest

import test_tools

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tools"))

import book  # noqa: E402
import trouble  # noqa: E402

away, command = test_tools.away, test_tools.command
Usage = namedtuple("Usage", "total used free")

PRINTED = {
    "the disk is full": [
        "ERROR: Could not install packages due to an OSError: [Errno 28] No space left "
        "on device",
    ],
    "the package index did not answer": [
        "WARNING: Retrying (Retry(total=4, connect=None, read=None, redirect=None, "
        "status=None)) after connection broken by 'NewConnectionError(\"Failed to "
        "establish a new connection: [Errno -3] Temporary failure in name "
        "resolution\")': /simple/absl-py/\nERROR: Could not find a version that "
        "satisfies the requirement absl-py==2.3.1 (from versions: none)\n"
        "ERROR: No matching distribution found for absl-py==2.3.1",
        "ReadTimeoutError: Read timed out. ConnectTimeoutError",
    ],
    "not the one that requirements.lock names": [
        "ERROR: THESE PACKAGES DO NOT MATCH THE HASHES FROM THE REQUIREMENTS FILE.",
    ],
    "no ready-made pygraphviz": [
        "pygraphviz/graphviz_wrap.c:9: fatal error: graphviz/cgraph.h: No such file\n"
        "error: command '/usr/bin/gcc' failed with exit code 1\n"
        "ERROR: Failed building wheel for pygraphviz",
        "error: command 'gcc' failed: No such file or directory\n"
        "ERROR: Failed to build installable wheels for some pyproject.toml based "
        "projects (pygraphviz)",
    ],
    "there is no tensorflow for this machine or this Python": [
        "ERROR: Could not find a version that satisfies the requirement "
        "tensorflow==2.21.0 (from versions: none)\n"
        "ERROR: No matching distribution found for tensorflow==2.21.0",
    ],
    "install a C compiler": [
        "error: command 'x86_64-linux-gnu-gcc' failed: No such file or directory",
        'error: Microsoft Visual C++ 14.0 or greater is required. Get it with "..."',
        "ERROR: Failed building wheel for something",
    ],
    "install it (Debian: apt-get install python3-venv)": [
        "The virtual environment was not created successfully because ensurepip is not "
        "available.  On Debian/Ubuntu systems, you need to install the python3-venv",
        "/usr/bin/python3: No module named venv",
    ],
    "most often because memory ran out": [
        "nbclient.exceptions.DeadKernelError: Kernel died",
    ],
}


@pytest.mark.parametrize(
    "sentence, printed",
    [(sentence, text) for sentence, texts in PRINTED.items() for text in texts],
)
def test_what_was_printed_gets_its_sentence(sentence, printed):
    said = trouble.why(printed)
    assert sentence in said
    assert "\n" not in said and len(said) < 400


def test_other_failures_keep_their_own_words():
    assert trouble.why("ERROR: something else") == ""
    assert trouble.why("") == ""


# ------------------------------------------------------------------- made for real


def failing_child(printed):
    code = f"import sys; sys.stderr.write({printed!r}); sys.exit(1)"
    return [sys.executable, "-c", code]


def test_the_sentence_is_the_last_line_after_the_childs_own(away, monkeypatch, capsys):
    printed = "before\nERROR: No matching distribution found for tensorflow==2\n"

    def install(python):
        book.explained(*failing_child(printed))

    monkeypatch.setattr(book, "install", install)
    status, said = command("setup", monkeypatch, capsys)
    assert status == 1
    assert printed in said.out, "nothing that pip said is lost"
    assert said.err.startswith("make setup: there is no tensorflow for this machine")
    assert len(said.err.strip().splitlines()) == 1


def test_a_failure_without_a_sentence_names_the_command(away):
    with pytest.raises(book.Stop, match=r"failed: .*python.* -c"):
        book.explained(*failing_child("who knows"))


def test_what_a_child_prints_is_shown_as_it_comes(away, capsys):
    book.explained(sys.executable, "-c", "print('one'); print('two')")
    assert capsys.readouterr().out.splitlines() == ["one", "two"]


def test_pip_without_network_is_explained(away):
    """pip itself, sent to a port where nobody listens."""
    environ = {
        **os.environ,
        "PIP_CONFIG_FILE": os.devnull,
        "PIP_RETRIES": "1",
        "PIP_NO_INDEX": "0",
        "PIP_FIND_LINKS": "",
        "PIP_EXTRA_INDEX" + "_URL": "",
        "PIP_INDEX" + "_URL": "http://127.0.0.1:9/simple",
    }
    done = subprocess.run(
        [sys.executable, "-m", "pip", "install", "--quiet", "no-such-package-here"],
        capture_output=True,
        text=True,
        env=environ,
    )
    assert done.returncode == 1
    assert "package index did not answer" in trouble.why(done.stdout + done.stderr)


def test_a_small_disk_stops_set_up_before_it_begins(away, monkeypatch, capsys):
    monkeypatch.setattr(
        trouble.shutil, "disk_usage", lambda folder: Usage(9, 8, 2 * trouble.GIGABYTE)
    )
    monkeypatch.setattr(book, "install", lambda python: pytest.fail("begun"))
    status, said = command("setup", monkeypatch, capsys)
    assert status == 1
    assert "2.0 GB are free on this disk and set-up needs 6 GB: make room" in said.err
    assert len(said.err.strip().splitlines()) == 1


def test_a_disk_that_fills_up_meanwhile_gets_one_line(monkeypatch, capsys):
    def full():
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setitem(book.COMMANDS, "html", (full, ""))
    status, said = command("html", monkeypatch, capsys)
    assert (status, said.err) == (1, "make html: the disk is full: make room\n")


def test_other_errors_of_the_system_are_not_hidden(monkeypatch, capsys):
    def other():
        raise OSError(errno.EACCES, "Permission denied")

    monkeypatch.setitem(book.COMMANDS, "html", (other, ""))
    with pytest.raises(OSError, match="Permission denied"):
        command("html", monkeypatch, capsys)


@pytest.fixture
def files(monkeypatch):
    """What Linux says about memory, played."""
    contents = {}

    def opened(path, *arguments, **options):
        if str(path) in contents:
            return io.StringIO(contents[str(path)])
        raise FileNotFoundError(path)

    monkeypatch.setattr(builtins, "open", opened)
    yield contents
    monkeypatch.undo()


def test_little_memory_is_said_and_does_not_stop(files):
    files["/proc/meminfo"] = "MemTotal: 8000000 kB\nMemAvailable:  1000000 kB\n"
    assert trouble.free_memory() == 1_024_000_000
    assert "1.0 GB of memory are free and the book needs about 3 GB" in trouble.memory()
    files["/proc/meminfo"] = "MemAvailable:  9000000 kB\n"
    assert trouble.memory() == ""


def test_a_container_may_have_less(files):
    files["/proc/meminfo"] = "MemAvailable:  9000000 kB\n"
    files["/sys/fs/cgroup/memory.max"] = "max\n"
    assert trouble.memory() == ""
    files["/sys/fs/cgroup/memory.max"] = "2000000000\n"
    files["/sys/fs/cgroup/memory.current"] = "500000000\n"
    assert trouble.free_memory() == 1_500_000_000
    assert "1.5 GB of memory are free" in trouble.memory()


def test_where_nobody_says_nothing_is_said(files):
    assert trouble.free_memory() is None
    assert trouble.memory() == ""


def test_the_build_notes_little_memory_and_explains_a_dead_kernel(
    away, monkeypatch, capsys
):
    monkeypatch.setattr(trouble, "memory", lambda: "1.0 GB of memory are free")
    monkeypatch.setattr(book, "setup", lambda: None)
    monkeypatch.setattr(book, "BIN", away)
    (away / ".venv").mkdir(exist_ok=True)
    (away / ".venv" / ".ready").write_text("mark")
    child = away / "jupyter-book"
    child.write_text("#!/bin/sh\necho 'DeadKernelError: Kernel died' >&2\nexit 1\n")
    child.chmod(0o755)
    status, said = command("html", monkeypatch, capsys)
    assert status == 1
    assert "Note: 1.0 GB of memory are free" in said.out
    assert "make html: the Python of a chapter was ended from outside" in said.err
    assert not (away / "_build" / "html").exists()


@pytest.mark.skipif(os.name == "nt", reason="make is not there")
def test_make_without_any_python_says_so():
    done = subprocess.run(
        [
            "make",
            "--file",
            Path(book.__file__).parents[1] / "Makefile",
            "html",
            "PYTHON=",
        ],
        capture_output=True,
        text=True,
    )
    assert done.returncode != 0
    assert "Python 3.11, 3.12 or 3.13 is needed: install one" in done.stderr
