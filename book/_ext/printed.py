"""The PDF: what paper needs and a screen does not."""

from __future__ import annotations

import re
from pathlib import Path

import matplotlib
from docutils import nodes
from sphinx.transforms.post_transforms import SphinxPostTransform
from sphinx.util.texescape import escape
from sphinx.writers.latex import LaTeXTranslator

SHORT = 25  # lines; a table that has no more stays on one page
CODE_FONT = "DejaVuSansMono"
PAGED = {"doc", "std-ref", "ak-paged"}
"""Classes of references to chapters, to sections and to solutions."""


MEASURED = (
    (r"\setlength{\tabcolsep}{3pt}", r"\setlength{\tabcolsep}{5pt}"),
    (r"\endhead", ""),
    (r"\end{longtable}", r"\end{tabulary}\end{center}\smallskip"),
)


def in_one_piece(table: str) -> str:
    r"""A ``longtable`` of ours as a table that stays on one page, if it is short.

    LaTeX measures the columns of that, too. A long table keeps the widths it came with.

    >>> spec = r"@{}>{\raggedleft\arraybackslash}p{0.5\linewidth}@{}"
    >>> print(in_one_piece(rf"\begin{{longtable}}{{{spec}}}\endhead n \\"))
    \begin{center}\begin{tabulary}{\linewidth}{@{}R@{}} n \\
    """
    if table.count("\\\\\n") > SHORT:
        return table
    table = re.sub(
        r"\\begin\{longtable\}\{(@\{\}.*?@\{\})\}",
        lambda m: (
            rf"\begin{{center}}\begin{{tabulary}}{{\linewidth}}{{{_sides(m[1])}}}"
        ),
        table,
    )
    for old, new in MEASURED:
        table = table.replace(old, new)
    return table


def _sides(spec: str) -> str:
    """Columns of a given width as columns that are measured."""
    for side, letter in (("raggedright", "L"), ("raggedleft", "R"), ("centering", "C")):
        width = r"p\{[\d.]+\\linewidth\}"
        spec = re.sub(rf">\{{\\{side}\\arraybackslash\}}{width}", letter, spec)
    return spec


class PrintedTables(SphinxPostTransform):
    """Our tables are LaTeX, not the equations that MyST-NB takes them for."""

    default_priority = 5  # right after MyST-NB's choice of the MIME type
    formats = ("latex",)

    def run(self, **kwargs):
        for block in list(self.document.findall(nodes.math_block)):
            if r"\begin{longtable}" in block.astext():
                table = in_one_piece(block.astext())
                block.replace_self(nodes.raw("", table, format="latex"))


class PrintedImages(SphinxPostTransform):
    """What a cell draws stands in the middle, as figures with a caption do."""

    default_priority = 6  # right after the tables
    formats = ("latex",)

    def run(self, **kwargs):
        for image in list(self.document.findall(nodes.image)):
            if "cell_output" in image.parent.get("classes", []):
                image["align"] = "center"


class PrintedAddresses(SphinxPostTransform):
    """A link that shows where it leads needs no footnote with the address."""

    default_priority = 399  # before Sphinx makes footnotes of addresses
    formats = ("latex",)

    def run(self, **kwargs):
        for link in list(self.document.findall(nodes.reference)):
            address, shown = link.get("refuri", ""), link.astext()
            if re.match(r"https?:", address) and shows(shown, address):
                target = re.sub(r"([%#])", r"\\\1", address)
                text = rf"\sphinxhref{{{target}}}{{{escape(shown, 'xelatex')}}}"
                link.replace_self(nodes.raw("", text, format="latex"))


def shows(text: str, address: str) -> bool:
    """Whether a text says an address: all of it, or what follows the site of papers.

    >>> shows("doi:10.1016/x", "https://doi.org/10.1016/x")
    True
    >>> shows("arXiv:1412.6572", "https://arxiv.org/abs/1412.6572")
    True
    >>> shows("the guide", "https://keras.io/guides")
    False
    """
    return address.endswith(re.sub(r"^(doi|arXiv):", "", text))


class PrintedNames(SphinxPostTransform):
    """The name of a chapter stays with the table of its results."""

    default_priority = 8
    formats = ("latex",)

    def run(self, **kwargs):
        for table in list(self.document.findall(nodes.table)):
            place = table.parent.index(table)
            before = table.parent.children[place - 1] if place else None
            if isinstance(before, nodes.paragraph) and is_strong(before):
                room = nodes.raw("", ROOM, format="latex")
                table.parent.insert(place - 1, room)


def is_strong(paragraph: nodes.paragraph) -> bool:
    """Whether all of a paragraph is emphasized: it serves as a heading."""
    return len(paragraph) == 1 and isinstance(paragraph[0], nodes.strong)


ROOM = r"\needspace{8\baselineskip}"


class PrintedBook(LaTeXTranslator):
    """Sphinx's LaTeX, with page numbers where it refers to chapters and sections."""

    def visit_reference(self, node):
        parts = [node, *node.children[:1]]
        classes = {
            c
            for part in parts
            if not isinstance(part, nodes.Text)
            for c in part.get("classes", [])
        }
        keep = self.config.latex_show_pagerefs
        self.config.latex_show_pagerefs = bool(PAGED & classes)
        try:
            super().visit_reference(node)
        finally:
            self.config.latex_show_pagerefs = keep

    def visit_figure(self, node):
        parent, boxed = node.parent, False
        while parent is not None:
            boxed = boxed or isinstance(parent, nodes.Admonition)
            parent = parent.parent
        self.no_latex_floats += boxed  # nothing floats out of a box
        super().visit_figure(node)
        self.no_latex_floats -= boxed


def _bring_font(app, config):
    """Give LaTeX the font of the code: Matplotlib has it wherever the book is built."""
    folder = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    config.latex_additional_files = [
        *config.latex_additional_files,
        *(str(path) for path in sorted(folder.glob(f"{CODE_FONT}*.ttf"))),
    ]


def _print(app):
    """Write LaTeX in our way.

    Where another builder works, no translator may be registered: the theme takes that
    for one of the pages, and gives up its own.
    """
    if app.builder.format == "latex":
        app.set_translator("latex", PrintedBook)


def setup(app):
    """Connect to Sphinx."""
    app.connect("config-inited", _bring_font)
    app.connect("builder-inited", _print)
    app.add_post_transform(PrintedTables)
    app.add_post_transform(PrintedImages)
    app.add_post_transform(PrintedAddresses)
    app.add_post_transform(PrintedNames)
    return {"version": "1", "parallel_read_safe": True}
