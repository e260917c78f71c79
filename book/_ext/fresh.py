"""No stale output: a chapter runs again when the code that it imports changes.

Jupyter Book's cache knows a chapter by its code cells and its kernel specification.
This extension writes a fingerprint into the kernel's display name as the chapter is
read: a hash of every module that the chapter imports, directly or through another
module, of ``requirements.lock`` and of the Python version. Another fingerprint is
another key, so the cache can't answer with an old output. Nothing has to be deleted,
and a build that is interrupted leaves nothing wrong behind.
"""

from __future__ import annotations

import ast
import hashlib
import platform
import re
from functools import cache
from pathlib import Path

import grimp
import jupytext

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = "advanced_keras"
DISPLAY_NAME = re.compile(r"^(  display_name: )(.*)$", re.MULTILINE)


@cache
def _import_graph() -> grimp.ImportGraph:
    return grimp.build_graph(PACKAGE, cache_dir=None)


@cache
def _environment() -> bytes:
    lock = (ROOT / "requirements.lock").read_bytes()
    return lock + platform.python_version().encode()


def imported_names(code: str) -> set[str]:
    """Dotted names of what a piece of Python imports from the package."""
    names = set()
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return {name for name in names if name.split(".")[0] == PACKAGE}


def modules_of(code: str) -> set[str]:
    """Every module of the package that ``code`` loads, through others too."""
    graph = _import_graph()
    direct = set()
    for name in imported_names(code):
        parts = name.split(".")
        prefixes = {".".join(parts[: n + 1]) for n in range(len(parts))}
        direct |= prefixes & graph.modules
    upstream = {up for module in direct for up in graph.find_upstream_modules(module)}
    loaded = direct | upstream
    packages = {m.rsplit(".", 1)[0] for m in loaded if "." in m}
    return loaded | (packages & graph.modules)


def source_of(module: str) -> Path:
    """The file of a module of the package."""
    path = ROOT / "code" / Path(*module.split("."))
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


def code_of(text: str) -> str:
    """The code cells of a MyST chapter, IPython magics commented out."""
    notebook = jupytext.reads(text, fmt="md:myst")
    cells = [cell.source for cell in notebook.cells if cell.cell_type == "code"]
    lines = "\n".join(cells).splitlines()
    return "\n".join("pass" if re.match(r"[%!]", line) else line for line in lines)


def fingerprint(text: str) -> str:
    """Hash of all that the outputs of a chapter depend on, besides its own cells."""
    digest = hashlib.sha256(_environment())
    for module in sorted(modules_of(code_of(text))):
        digest.update(module.encode() + source_of(module).read_bytes())
    return digest.hexdigest()[:16]


def is_chapter(text: str) -> bool:
    """Whether a page has cells to run (MyST-NB's own rule: a kernel is named)."""
    return text.startswith("---") and "\nkernelspec:" in text.split("\n---", 1)[0]


def _outdated(app, env, added, changed, removed):
    """Chapters whose code changed since they were last read."""
    known = getattr(env, "advanced_keras_fingerprints", {})
    stale = []
    for docname in known.keys() & env.found_docs:
        text = Path(env.doc2path(docname)).read_text(encoding="utf-8")
        if is_chapter(text) and fingerprint(text) != known[docname]:
            stale.append(docname)
    return stale


def _sign(app, docname, source):
    """Put the fingerprint where the cache looks."""
    if not is_chapter(source[0]):
        return
    mark = fingerprint(source[0])
    source[0] = DISPLAY_NAME.sub(rf"\g<1>Python 3 ({mark})", source[0], count=1)
    env = app.env
    if not hasattr(env, "advanced_keras_fingerprints"):
        env.advanced_keras_fingerprints = {}
    env.advanced_keras_fingerprints[docname] = mark


def setup(app):
    """Connect to Sphinx."""
    app.connect("env-get-outdated", _outdated)
    app.connect("source-read", _sign)
    return {"version": "1", "parallel_read_safe": False}
