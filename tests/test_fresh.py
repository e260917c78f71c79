"""No stale output: a chapter runs again if, and only if, what it imports changed."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "book" / "_ext"))

import fresh  # noqa: E402

JUPYTER_BOOK = "from jupyter_book.cli.main import main; main()"

CHAPTER = """---
jupytext:
  text_representation:
    extension: .md
    format_name: myst
kernelspec:
  display_name: Python 3
  language: python
  name: python3
---
# {title}

```{{code-cell}} ipython3
{code}
```
"""

CONFIG = """
title: mini
only_build_toc_files: true
execute: {execute_notebooks: cache, stderr_output: error, show_tb: true}
sphinx: {local_extensions: {fresh: book/_ext}}
"""

TOC = """
format: jb-book
root: book/one
chapters: [{file: book/two}]
"""


class MiniBook:
    """Two chapters on a package of three modules, built by the real machinery.

    Chapter one imports ``a``, which imports ``b``; chapter two imports ``c``.
    """

    def __init__(self, root: Path):
        self.root = root
        for name, text in {
            "code/advanced_keras/__init__.py": "",
            "code/advanced_keras/a.py": "from advanced_keras.b import SHADE\n",
            "code/advanced_keras/b.py": "SHADE = 'crimson'\n",
            "code/advanced_keras/c.py": "SHAPE = 'hexagon'\n",
            "_config.yml": CONFIG,
            "_toc.yml": TOC,
            "requirements.lock": "one==1\n",
        }.items():
            self.write(name, text)
        self.chapter("one", "from advanced_keras import a\nprint('saw', a.SHADE)")
        self.chapter("two", "from advanced_keras.c import SHAPE\nprint('saw', SHAPE)")
        shutil.copytree(ROOT / "book" / "_ext", root / "book" / "_ext")

    def write(self, name, text):
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")

    def chapter(self, name, code):
        self.write(f"book/{name}.md", CHAPTER.format(title=name, code=code))

    def build(self):
        """Build as ``make html`` does; return the process and the chapters run."""
        command = [sys.executable, "-c", JUPYTER_BOOK, "build", "."]
        done = subprocess.run(
            [*command, "-n", "-W", "--keep-going"],
            cwd=self.root,
            env={**os.environ, "PYTHONPATH": str(self.root / "code")},
            capture_output=True,
            text=True,
        )
        done.log = done.stdout + done.stderr
        names = ("one", "two")
        return done, {n for n in names if f"{n}.md: Executed notebook" in done.log}

    def page(self, name):
        return (self.root / "_build" / "html" / "book" / f"{name}.html").read_text()


@pytest.fixture(scope="module")
def book(tmp_path_factory):
    return MiniBook(tmp_path_factory.mktemp("mini"))


def test_a_changed_module_runs_its_chapters_again_and_no_others(book):
    done, ran = book.build()
    assert done.returncode == 0, done.log
    assert ran == {"one", "two"}
    assert "saw crimson" in book.page("one")

    done, ran = book.build()
    assert done.returncode == 0 and ran == set(), "an unchanged book was run again"

    book.write("code/advanced_keras/b.py", "SHADE = 'turquoise'\n")
    done, ran = book.build()
    assert done.returncode == 0 and ran == {"one"}, done.log
    assert "saw turquoise" in book.page("one")
    assert "saw hexagon" in book.page("two")

    book.write("requirements.lock", "one==2\n")
    done, ran = book.build()
    assert done.returncode == 0 and ran == {"one", "two"}


def test_a_failing_cell_fails_the_build_with_its_traceback(book):
    book.chapter("two", "from advanced_keras.c import SHAPE\nSHAPE.no_such_method()")
    done, _ = book.build()
    book.chapter("two", "from advanced_keras.c import SHAPE\nprint('saw', SHAPE)")
    assert done.returncode != 0
    for part in ("two.md", "SHAPE.no_such_method()", "AttributeError"):
        assert part in done.log


def test_log_noise_fails_the_build(book):
    noise = "from advanced_keras.c import SHAPE\nimport sys; sys.stderr.write('hm')"
    book.chapter("two", noise)
    done, _ = book.build()
    assert done.returncode != 0
    assert "stderr was found" in done.log


def test_closure_follows_imports_through_modules():
    code = "from advanced_keras.translation import Translator"
    found = fresh.modules_of(code)
    assert {"advanced_keras.transformer", "advanced_keras.attention"} <= found
    assert "advanced_keras" in found, "the package's own __init__ is run too"
    assert fresh.modules_of("import numpy") == set()
    assert "advanced_keras.transformer" not in fresh.modules_of(
        "from advanced_keras import display"
    )


def test_fingerprint_depends_on_the_python_version(monkeypatch):
    text = CHAPTER.format(title="x", code="import advanced_keras")
    before = fresh.fingerprint(text)
    monkeypatch.setattr(fresh.platform, "python_version", lambda: "3.11.99")
    fresh._environment.cache_clear()
    assert fresh.fingerprint(text) != before
    fresh._environment.cache_clear()


def test_magics_do_not_hide_imports():
    text = CHAPTER.format(title="x", code="%time 1\nfrom advanced_keras import display")
    assert "advanced_keras.display" in fresh.modules_of(fresh.code_of(text))
