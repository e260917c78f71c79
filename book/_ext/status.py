"""The page that says what this copy was made with and how long each chapter took.

No dates and no names of machines: the same book gives the same page.
"""

from __future__ import annotations

import itertools
import platform
from importlib.metadata import version
from pathlib import Path

from docutils import nodes
from jupytext import reads
from sphinx import addnodes
from sphinx.transforms.post_transforms import SphinxPostTransform
from sphinx.util.docutils import SphinxDirective

from fresh import code_of, is_chapter
from house import in_words, recorded

PACKAGES = {
    "Keras": "keras",
    "TensorFlow": "tensorflow",
    "NumPy": "numpy",
    "pandas": "pandas",
    "Matplotlib": "matplotlib",
    "Jupyter Book": "jupyter-book",
    "MyST-NB": "myst-nb",
    "Sphinx": "sphinx",
    "Advanced Keras": "advanced-keras",
}


KINDS = ("versions", "chapters", "results")
MEASURED = "ak-measured"
"""Class of the table in which a chapter says what it measured, against what."""


class status_table(nodes.General, nodes.Element):
    """The place of a table: ``kind`` is one of ``KINDS``."""


class StatusDirective(SphinxDirective):
    """``{status} versions``, ``{status} chapters`` or ``{status} results``."""

    required_arguments = 1

    def run(self):
        kind = self.arguments[0]
        if kind not in KINDS:
            raise self.error(f"status must be one of {', '.join(KINDS)}, got {kind!r}.")
        return [status_table("", kind=kind)]


def versions() -> list[tuple[str, str]]:
    """Name and version of what the book is made with."""
    rows = [(name, version(package)) for name, package in PACKAGES.items()]
    return [("Python", platform.python_version()), *rows]


def chapters(env) -> list[tuple[str, int, int, str]]:
    """Page, cells, lines of code and running time of each chapter, in order."""
    rows, times = [], recorded()
    for docname in contents(env):
        text = Path(env.doc2path(docname)).read_text(encoding="utf-8")
        if not is_chapter(text):
            continue
        cells = [c for c in reads(text, fmt="md:myst").cells if c.cell_type == "code"]
        seconds = times.get(Path(docname).name)
        lines = sum(1 for each in code_of(text).splitlines() if each.strip())
        spent = "not recorded" if seconds is None else in_words(seconds)
        rows.append((docname, len(cells), lines, spent))
    return rows


def contents(env) -> list[str]:
    """All pages in the order of the table of contents."""
    found, stack = [], [env.config.root_doc]
    while stack:
        page = stack.pop(0)
        found.append(page)
        stack = [
            p for p in env.toctree_includes.get(page, []) if p not in found
        ] + stack
    return found


def collect(app, doctree):
    """Keep what a page measured: the entries of its own table."""
    rows = []
    for table in doctree.findall(nodes.table):
        if MEASURED in table["classes"]:
            for row in next(iter(table.findall(nodes.tbody))).children:
                rows.append([words(entry) for entry in row.children])
    if rows:
        kept(app.env)[app.env.docname] = rows


def kept(env, what: str = "measured") -> dict:
    """What was collected while pages were read, by page."""
    if not hasattr(env, "ak_kept"):
        env.ak_kept = {}
    return env.ak_kept.setdefault(what, {})


def purge(app, env, docname):
    """Forget all that was kept of a page that is read again."""
    for pages in getattr(env, "ak_kept", {}).values():
        pages.pop(docname, None)


def results(env) -> list[tuple]:
    """What each chapter measured, in order: its page, then an entry of its table."""
    return [
        (docname, *(nodes.inline("", "", *copies(cell)) for cell in row))
        for docname in contents(env)
        for row in kept(env).get(docname, [])
    ]


def copies(cell: list[nodes.Node]) -> list[nodes.Node]:
    """The nodes once more: what is put into a page belongs to that page."""
    return [node.deepcopy() for node in cell]


def words(entry: nodes.entry) -> list[nodes.Node]:
    """What the paragraphs of an entry of a table say, as copies."""
    paragraphs = entry.findall(nodes.paragraph)
    return [part.deepcopy() for each in paragraphs for part in each.children]


def grid(headings, rows, widths=None) -> nodes.table:
    """A table of text and nodes, with columns as wide as they need or as is said."""

    def line(entries):
        row = nodes.row()
        for each in entries:
            content = each if isinstance(each, nodes.Node) else nodes.Text(str(each))
            row += nodes.entry("", nodes.paragraph("", "", content))
        return row

    group = nodes.tgroup(cols=len(headings))
    group += [nodes.colspec(colwidth=w) for w in widths or [1] * len(headings)]
    group += nodes.thead("", line(headings))
    group += nodes.tbody("", *map(line, rows))
    table = nodes.table("", group)
    if widths:
        table["classes"] += ["colwidths-given"]
    return table


def link(docname: str) -> addnodes.pending_xref:
    """A link to a page that shows its title."""
    return addnodes.pending_xref(
        "",
        nodes.inline("", docname, classes=["doc"]),
        refdoc="book/status",
        refdomain="std",
        reftype="doc",
        reftarget=f"/{docname}",
        refexplicit=False,
        refwarn=True,
    )


class FillStatus(SphinxPostTransform):
    """Put the tables in place, once all pages are read."""

    default_priority = 4  # before references are resolved

    def run(self, **kwargs):
        for node in list(self.document.findall(status_table)):
            node.replace_self(self.tables(node["kind"]))

    def tables(self, kind: str) -> list[nodes.Node]:
        """What stands for one kind."""
        if kind == "versions":
            return [grid(["what", "version"], versions())]
        if kind == "chapters":
            heads = ["chapter", "cells", "lines of code", "time to run"]
            return [grid(heads, [(link(r[0]), *r[1:]) for r in chapters(self.env)])]
        # A page without formulas of its own is not given the script that sets them.
        self.env.get_domain("math").data["has_equations"][self.env.docname] = True
        made: list[nodes.Node] = []
        for docname, rows in itertools.groupby(results(self.env), lambda row: row[0]):
            made.append(nodes.paragraph("", "", nodes.strong("", "", link(docname))))
            heads = ["what", "measured", "compared with"]
            made.append(grid(heads, [r[1:] for r in rows], widths=[46, 22, 32]))
        return made


def _again(app, env):
    """The page is written anew in each build: any chapter may have been run."""
    return [d for d in env.found_docs if Path(d).name == "status"]


def setup(app):
    """Connect to Sphinx."""
    app.add_node(status_table)
    app.add_directive("status", StatusDirective)
    app.add_post_transform(FillStatus)
    app.connect("doctree-read", collect)
    app.connect("env-purge-doc", purge)
    app.connect("env-updated", _again)
    return {"version": "1", "env_version": 2, "parallel_read_safe": False}
