"""The commands of the book: set-up is whole or not at all, and says what is missing."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from jupyter_client.manager import start_new_kernel

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tools"))

import book  # noqa: E402
import made  # noqa: E402


@pytest.fixture
def away(tmp_path, monkeypatch):
    """The commands, pointed at an empty folder."""
    for name, path in {
        "ROOT": tmp_path,
        "VENV": tmp_path / ".venv",
        "BUILD": tmp_path / "_build",
        "LOCK": tmp_path / "requirements.lock",
        "PYTHON": tmp_path / ".venv" / "bin" / "python",
    }.items():
        monkeypatch.setattr(book, name, path)
    (tmp_path / "requirements.lock").write_text("")
    (tmp_path / "pyproject.toml").write_text("")
    return tmp_path


def command(name, monkeypatch, capsys, *arguments):
    monkeypatch.setattr(sys, "argv", ["book.py", name, *arguments])
    status = book.main()
    return status, capsys.readouterr()


def test_every_command_is_in_the_makefile_and_in_help(monkeypatch, capsys):
    status, printed = command("help", monkeypatch, capsys)
    targets = (ROOT / "Makefile").read_text()
    assert status == 0
    for name in book.COMMANDS:
        assert f"make {name} " in printed.out
        assert f" {name} " in targets


def test_unsuitable_python_gets_one_line(away, monkeypatch, capsys):
    monkeypatch.setattr(book, "version_of", lambda program: (3, 9))
    status, printed = command("setup", monkeypatch, capsys)
    assert status == 1
    assert "Python 3.11, 3.12 or 3.13 is needed" in printed.err
    assert len(printed.err.strip().splitlines()) == 1
    assert not (away / ".venv").exists()


def test_the_running_python_is_found():
    assert book.version_of(sys.executable) == sys.version_info[:2]
    assert book.version_of("no-such-python") is None
    assert book.find_python() == sys.executable


def test_failed_set_up_leaves_no_environment(away, monkeypatch, capsys):
    def half(python):
        (away / ".venv" / "lib").mkdir(parents=True)
        raise book.Stop("failed: pip")

    monkeypatch.setattr(book, "install", half)
    status, printed = command("setup", monkeypatch, capsys)
    assert status == 1 and "failed: pip" in printed.err
    assert not (away / ".venv").exists()


def test_interrupted_set_up_leaves_no_environment(away, monkeypatch, capsys):
    def half(python):
        (away / ".venv" / "lib").mkdir(parents=True)
        raise KeyboardInterrupt

    monkeypatch.setattr(book, "install", half)
    status, printed = command("setup", monkeypatch, capsys)
    assert status == 130 and "interrupted" in printed.err
    assert not (away / ".venv").exists()


def test_set_up_is_done_once_and_again_when_the_lock_changes(away, monkeypatch):
    made = []
    monkeypatch.setattr(book, "version_of", lambda program: (3, 12))

    def install(python):
        made.append(python)
        (away / ".venv").mkdir()

    monkeypatch.setattr(book, "install", install)
    book.setup()
    book.setup()
    assert len(made) == 1
    (away / "requirements.lock").write_text("new==1")
    book.setup()
    assert len(made) == 2


@pytest.mark.parametrize("tool", ["xelatex", "latexmk"])
def test_missing_latex_gets_one_line(tool, monkeypatch, capsys):
    which = book.shutil.which
    monkeypatch.setattr(book.shutil, "which", lambda n: None if n == tool else "x")
    status, printed = command("pdf", monkeypatch, capsys)
    monkeypatch.setattr(book.shutil, "which", which)
    assert status == 1
    assert f"{tool} is needed" in printed.err
    assert len(printed.err.strip().splitlines()) == 1


@pytest.mark.parametrize("error", [KeyboardInterrupt(), book.Stop("failed")])
def test_interrupted_build_leaves_no_pages(away, error):
    page = away / "_build" / "html" / "book" / "half.html"
    with pytest.raises(type(error)), book.whole_or_nothing("html"):
        page.parent.mkdir(parents=True)
        page.write_text("<html>")
        (away / "_build" / ".jupyter_cache").mkdir()
        raise error
    left = {p.name for p in (away / "_build").iterdir()}
    assert left == {".jupyter_cache"}, "only what was computed is kept"


def test_a_build_that_was_killed_is_cleared_by_the_next(away):
    (away / "_build" / "html").mkdir(parents=True)
    (away / "_build" / "html" / "half.html").touch()
    (away / "_build" / ".unfinished-html").touch()
    with book.whole_or_nothing("html"):
        assert not (away / "_build" / "html").exists()
    assert not (away / "_build" / ".unfinished-html").exists()


WORK = """
import os, sys
sys.path.insert(0, {tools!r})
import book
child = "import os, time; print(os.getpid(), flush=True); time.sleep(60)"
book.COMMANDS["setup"] = (lambda: book.run(sys.executable, "-c", child), "")
sys.argv = ["book.py", "setup"]
sys.exit(book.main())
"""


@pytest.mark.skipif(os.name == "nt", reason="Windows ends a process without a signal")
def test_a_command_that_is_ended_ends_its_children():
    script = WORK.format(tools=str(ROOT / "tools"))
    line = [sys.executable, "-c", script]
    with subprocess.Popen(line, stdout=subprocess.PIPE, text=True) as command:
        child = int(command.stdout.readline())
        command.terminate()
        assert command.wait(timeout=20) == 143
    with pytest.raises(ProcessLookupError):
        for _ in range(100):
            os.kill(child, 0)
            time.sleep(0.1)


@pytest.fixture
def built(away, monkeypatch):
    """A small book that is built by writing one page; how often is counted."""
    builds = []

    def write(builder):
        builds.append(builder)
        page = away / "_build" / "html" / "index.html"
        page.parent.mkdir(parents=True, exist_ok=True)
        page.write_text("<html>")

    (away / ".venv").mkdir()
    (away / ".venv" / ".ready").write_text("mark")
    (away / "code").mkdir()
    (away / "code" / "layer.py").write_text("x = 1")
    monkeypatch.setattr(book, "setup", lambda: None)
    monkeypatch.setattr(book, "jupyter_book", write)
    book.html()
    return away, builds


def test_what_has_not_changed_is_not_built_again(built):
    away, builds = built
    book.html()
    (away / ".git").mkdir()
    (away / ".git" / "index").touch()
    (away / "notebooks").mkdir()
    (away / "notebooks" / "vae.ipynb").touch()
    book.html()
    assert len(builds) == 1


@pytest.mark.parametrize(
    "change",
    [
        lambda away: (away / "code" / "layer.py").write_text("x = 2"),
        lambda away: (away / "code" / "layer.py").rename(away / "code" / "other.py"),
        lambda away: (away / "code" / "new.py").touch(),
        lambda away: (away / ".venv" / ".ready").write_text("another"),
        lambda away: (away / "_build" / "html" / "index.html").write_text("<html>!"),
        lambda away: (away / "_build" / "html" / "index.html").unlink(),
        lambda away: (away / "_build" / "html" / "more.html").touch(),
        lambda away: (away / "_build" / ".made-html").write_text("{"),
        lambda away: book.discard("html"),
    ],
)
def test_any_change_is_built(built, change):
    away, builds = built
    change(away)
    book.html()
    assert len(builds) == 2
    book.html()
    assert len(builds) == 2


def test_a_change_while_the_book_is_built_is_built_next(built, monkeypatch):
    away, builds = built
    write = book.jupyter_book

    def meanwhile(builder):
        write(builder)
        (away / "code" / "layer.py").write_text(f"x = {len(builds)}")

    (away / "code" / "layer.py").write_text("x = 0")
    monkeypatch.setattr(book, "jupyter_book", meanwhile)
    book.html()
    book.html()
    assert len(builds) == 3


def test_a_build_that_fails_is_not_taken_for_done(built, monkeypatch):
    away, builds = built

    def fail(builder):
        raise book.Stop("failed: a warning")

    (away / "code" / "layer.py").write_text("x = 3")
    write = book.jupyter_book
    monkeypatch.setattr(book, "jupyter_book", fail)
    with pytest.raises(book.Stop):
        book.html()
    monkeypatch.setattr(book, "jupyter_book", write)
    book.html()
    assert len(builds) == 2


def test_the_record_of_this_book_covers_what_its_pages_are_made_from():
    seen = {path.relative_to(ROOT).parts[0] for path in made.walk(ROOT)}
    needed = "book code images tests benchmarks tools _config.yml _toc.yml"
    assert set(needed.split()) <= seen
    assert not seen & {"_build", ".venv", ".git"}


def test_lock_is_replaced_only_when_it_is_whole(away, monkeypatch, capsys):
    monkeypatch.setattr(book, "setup", lambda: None)
    monkeypatch.setitem(book.COMMANDS, "lock", (book.lock, ""))
    book.LOCK.write_text("old==1")

    def with_address(*parts):
        (away / "requirements.lock.new").write_text("--find-links https://somewhere")

    monkeypatch.setattr(book, "run", with_address)
    status, _ = command("lock", monkeypatch, capsys)
    assert status == 1
    assert book.LOCK.read_text() == "old==1"
    assert not (away / "requirements.lock.new").exists()


@pytest.mark.parametrize("names", [(), ("vae", "no_such_chapter")])
def test_chapter_asks_for_names_that_exist(names, monkeypatch, capsys):
    monkeypatch.setattr(book, "setup", lambda: pytest.fail("begun"))
    status, printed = command("chapter", monkeypatch, capsys, *names)
    assert status == 1
    assert "name one or more of" in printed.err and " gan " in printed.err


def test_chapter_runs_only_what_is_named(away, monkeypatch, capsys):
    ran = []
    monkeypatch.setattr(book, "setup", lambda: None)
    monkeypatch.setattr(book, "chapters", lambda: [away / "vae.md", away / "gan.md"])
    monkeypatch.setattr(book, "run", lambda *words: ran.append(words))
    status, _ = command("chapter", monkeypatch, capsys, "gan")
    assert status == 0 and len(ran) == 1
    assert "--execute" in ran[0] and ran[0][-1] == away / "gan.md"


def test_unknown_command_shows_the_list():
    done = subprocess.run(
        [sys.executable, ROOT / "tools" / "book.py", "htlm"],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    assert "make html" in done.stdout


def test_a_kernel_of_a_build_keeps_quiet_about_its_transport_only(away, tmp_path):
    book.write_profile()
    heard = tmp_path / "heard.txt"
    with heard.open("w") as terminal:
        kernel, client = start_new_kernel(env=book.child_env(), stderr=terminal)
        cell = (
            "import warnings\nget_ipython().kernel.log.warning('the kernel warns')\n"
            "warnings.warn('the cell warns')"
        )
        said = []
        client.execute_interactive(cell, timeout=60, output_hook=said.append)
        client.stop_channels()
        kernel.shutdown_kernel(now=True)
    assert "the kernel warns" in heard.read_text()
    assert "encryption" not in heard.read_text()
    streams = [m["content"]["text"] for m in said if m["msg_type"] == "stream"]
    assert any("the cell warns" in text for text in streams)
