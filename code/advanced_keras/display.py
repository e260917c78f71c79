"""The house style of every figure: one palette, one size of lettering, light and dark.

A figure in the book is shown with :func:`show` (Matplotlib) or :func:`draw_dot`
(Graphviz). Both return a :class:`Picture`, which a notebook shows as inline SVG
that takes the colour of the surrounding text, and which a PDF shows as vector
graphics. Both insist on an alternative text.
"""

from __future__ import annotations

import atexit
import base64
import functools
import hashlib
import html
import io
import os
import re
import shutil
import tempfile
from pathlib import Path
from typing import Any

import matplotlib
import matplotlib.pyplot as plt
from matplotlib.figure import Figure

from advanced_keras._quiet import quiet_stderr

INK = "#010203"
"""Stands for "the colour of text": black on paper, ``currentColor`` on a page."""

PALETTE = {
    "source": "#0072B2",  # source sentence, encoder
    "target": "#E69F00",  # target sentence, decoder
    "attention": "#009E73",
    "loss": "#D55E00",  # losses and gradients
    "data": "#7F7F7F",
    "generator": "#CC79A7",
    "critic": "#56B4E9",  # discriminator or critic
}
"""What each colour means, in the whole book (Okabe and Ito's colour-blind set)."""

_INKED = (
    "text.color",
    "axes.edgecolor",
    "axes.labelcolor",
    "xtick.color",
    "ytick.color",
    "patch.edgecolor",
    "hatch.color",
)

STYLE: dict[str, Any] = {
    "figure.figsize": (6.4, 3.2),
    "figure.facecolor": "none",
    "figure.constrained_layout.use": True,
    "savefig.facecolor": "none",
    "axes.facecolor": "none",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.prop_cycle": matplotlib.cycler(
        color=[PALETTE[k] for k in ("source", "target", "attention", "loss")]
        + [PALETTE[k] for k in ("generator", "critic", "data")]
    ),
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "axes.titlesize": 9,
    "legend.frameon": False,
    "lines.linewidth": 1.6,
    "svg.fonttype": "path",
    **dict.fromkeys(_INKED, INK),
}


def use_style() -> None:
    """Make Matplotlib draw in the style of the book."""
    plt.rcParams.update(STYLE)


class Picture:
    """A drawing that shows itself: inline SVG on a page, PDF on paper.

    Args:
        svg: the drawing as SVG text; the colour :data:`INK` becomes ``currentColor``.
        pdf: the same drawing as PDF bytes.
        alt: what the picture shows, in words.
    """

    def __init__(self, svg: str, pdf: bytes, alt: str):
        if not isinstance(alt, str) or not alt.strip():
            raise ValueError(f"alt must say what the picture shows, got {alt!r}.")
        self.svg = as_inline(svg, alt)
        self.pdf = pdf
        self.alt = alt

    def _repr_mimebundle_(self, include=None, exclude=None) -> dict[str, str]:
        return {
            "text/html": f'<div class="ak-picture">{self.svg}</div>',
            "application/pdf": base64.b64encode(self.pdf).decode(),
            "text/plain": self.alt,
        }


def show(figure: Figure, alt: str) -> Picture:
    """Turn a Matplotlib figure into a :class:`Picture` and close it.

    Args:
        figure: the figure to show.
        alt: what it shows, in words, for readers who can't see it.

    Raises:
        TypeError: if ``figure`` is not a Matplotlib figure.
        ValueError: if ``alt`` is empty.
    """
    if not isinstance(figure, Figure):
        raise TypeError(
            f"figure must be a matplotlib Figure, got {type(figure).__name__}."
        )
    salt = hashlib.sha1(str(alt).encode()).hexdigest()[:8]
    with plt.rc_context({"svg.hashsalt": salt, "svg.fonttype": "path"}):
        svg, pdf = io.StringIO(), io.BytesIO()
        figure.savefig(svg, format="svg", metadata={"Date": None})
        figure.savefig(pdf, format="pdf", metadata={"CreationDate": None})
    plt.close(figure)
    return Picture(svg.getvalue(), pdf.getvalue(), alt)


def draw_dot(source: str, alt: str) -> Picture:
    """Lay out a graph with Graphviz and turn it into a :class:`Picture`.

    Graphviz comes inside the ``pygraphviz`` package; no ``dot`` program is needed.

    Args:
        source: the graph in the DOT language. Draw with :data:`INK` and
            :data:`PALETTE`; colours with an alpha channel (``#0072B222``) are fine.
        alt: what it shows, in words.

    Raises:
        ValueError: if ``source`` is not DOT, or ``alt`` is empty.
    """
    _use_bundled_fonts()
    import pygraphviz

    try:
        graph = pygraphviz.AGraph(string=source)
    except Exception as error:
        raise ValueError(f"source must be a DOT graph, got {source[:80]!r}.") from error
    with quiet_stderr():  # fontconfig comments on the machine's own settings
        svg = graph.draw(format="svg", prog="dot").decode()
        pdf = graph.draw(format="pdf", prog="dot")
    return Picture(svg, pdf, alt)


class Table:
    """A small table that shows itself on a page and on paper.

    Args:
        rows: the rows; every entry is shown with ``str``.
        columns: the headings, as many as a row has entries.
        align: one letter a column, ``l``, ``r`` or ``c``; numbers right by default.
        code: names of the columns that are set in the font of code.

    Raises:
        ValueError: if a row has another length than ``columns``.
    """

    def __init__(self, rows, columns, align=None, code=()):
        self.columns = [str(column) for column in columns]
        rows = [tuple(row) for row in rows]
        for index, row in enumerate(rows):
            if len(row) != len(self.columns):
                raise ValueError(
                    f"rows[{index}] must have {len(self.columns)} entries, one for "
                    f"each of columns, got {len(row)}."
                )
        self.align = align or _alignment(rows, len(self.columns))
        if len(self.align) != len(self.columns):
            raise ValueError(
                f"align must have {len(self.columns)} letters, got {self.align!r}."
            )
        self.rows = [tuple(str(entry) for entry in row) for row in rows]
        self.code = frozenset(code)

    def _repr_mimebundle_(self, include=None, exclude=None) -> dict[str, str]:
        return {
            "text/html": self._html(),
            "text/latex": self._latex(),
            "text/plain": str(self),
        }

    def __str__(self) -> str:
        lines = [self.columns, *self.rows]
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        pad = {"l": str.ljust, "r": str.rjust, "c": str.center}
        return "\n".join(
            "  ".join(
                pad[a](e, w) for e, w, a in zip(line, widths, self.align, strict=True)
            ).rstrip()
            for line in lines
        )

    def _html(self) -> str:
        def cell(tag, column, entry, align):
            side = {"l": "left", "r": "right", "c": "center"}[align]
            text = html.escape(entry).replace("\n", "<br>")
            if tag == "td" and column in self.code and entry:
                text = f"<code>{text}</code>"
            keep = " text-nowrap" if len(entry) <= 14 else ""
            return f'<{tag} class="text-{side}{keep}">{text}</{tag}>'

        def line(tag, entries):
            cells = zip(self.columns, entries, self.align, strict=True)
            return f"<tr>{''.join(cell(tag, *each) for each in cells)}</tr>"

        body = "".join(line("td", row) for row in self.rows)
        return (
            '<div class="ak-table"><table class="table">'
            f"<thead>{line('th', self.columns)}</thead><tbody>{body}</tbody>"
            "</table></div>"
        )

    def _latex(self) -> str:
        def line(entries, code):
            return " & ".join(
                rf"\texttt{{{_tex(entry)}}}" if column in code else _tex(entry)
                for column, entry in zip(self.columns, entries, strict=True)
            )

        head = " & ".join(rf"\textbf{{{_tex(c)}}}" for c in self.columns)
        body = "\n".join(line(row, self.code) + r" \\" for row in self.rows)
        widths = _column_widths([self.columns, *self.rows])
        ragged = {"l": r"\raggedright", "r": r"\raggedleft", "c": r"\centering"}
        spec = "".join(
            rf">{{{ragged[a]}\arraybackslash}}p{{{w:.3f}\linewidth}}"
            for a, w in zip(self.align, widths, strict=True)
        )
        return (
            "\\begingroup\\small\\setlength{\\tabcolsep}{3pt}\n"
            f"\\begin{{longtable}}{{@{{}}{spec}@{{}}}}\n\\toprule\n"
            f"{head} \\\\\n\\midrule\\endhead\n{body}\n"
            "\\bottomrule\n\\end{longtable}\\endgroup"
        )


def table(rows, columns, align=None, code=()) -> Table:
    """A :class:`Table` of ``rows`` under the headings ``columns``."""
    return Table(rows, columns, align=align, code=code)


def _alignment(rows, width: int) -> str:
    """Right for a column of numbers, left for the rest."""

    def numeric(column):
        return bool(rows) and all(isinstance(row[column], (int, float)) for row in rows)

    return "".join("r" if numeric(column) else "l" for column in range(width))


def _column_widths(lines) -> list[float]:
    """Share the line among the columns by their longest entries, tables included."""
    longest = [max(4, *map(len, column)) for column in zip(*lines, strict=True)]
    room = 1 - 0.014 * len(longest)
    scale = min(room / sum(longest), 0.0135)
    return [length * scale for length in longest]


def _tex(text: str) -> str:
    """Escape what LaTeX would read as markup; let long names break at underscores."""
    special = {
        "\\": r"\textbackslash{}",
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        "_": r"\_\allowbreak{}",
        "\n": r"\newline{}",
        **{c: "\\" + c for c in "#$%&{}"},
    }
    return "".join(special.get(c, c) for c in text)


def as_inline(svg: str, alt: str) -> str:
    """SVG text to stand in a page: no prologue, ``alt`` as label, ink as the text's."""
    body = svg[svg.index("<svg") :]
    body = re.sub(r"<metadata>.*?</metadata>", "", body, flags=re.DOTALL)
    body = body.replace(INK, "currentColor")
    label = html.escape(alt, quote=True)
    return body.replace("<svg", f'<svg role="img" aria-label="{label}"', 1).strip()


@functools.cache
def _use_bundled_fonts() -> None:
    """Measure text in Graphviz with Matplotlib's fonts: same picture on any machine."""
    fonts = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    folder = Path(tempfile.mkdtemp(prefix="advanced-keras-fonts-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    (folder / "fonts.conf").write_text(
        f"<fontconfig><dir>{fonts}</dir><cachedir>{folder}</cachedir></fontconfig>"
    )
    os.environ["FONTCONFIG_FILE"] = str(folder / "fonts.conf")
