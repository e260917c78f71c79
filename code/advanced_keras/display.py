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
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from matplotlib.rcsetup import cycler
from PIL import Image

from advanced_keras import _checks
from advanced_keras._quiet import quiet_stderr
from advanced_keras.interactive import escaped, widget

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
    "axes.prop_cycle": cycler(
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
    plt.rcParams.update(STYLE)  # type: ignore[arg-type]  # any subset of the names


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
    svg, pdf = io.StringIO(), io.BytesIO()
    with plt.rc_context({"svg.hashsalt": salt, "svg.fonttype": "path"}):
        figure.savefig(svg, format="svg", metadata={"Date": None})
    with plt.rc_context({"pdf.fonttype": 42}):  # TrueType: printers refuse type 3
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
    # Of the same length, since a PDF counts its bytes.
    pdf = re.sub(rb"(?<=/CreationDate \(D:)\d{14}", b"20000101000000", pdf)
    return Picture(_for_pages(svg), pdf, alt)


_TITLE = re.compile(r'(<g id="[^"]*" class="(?:graph|node)[^>]*>)\s*<title>.*?</title>')
_ENDS = re.compile(r'(<g id="[^"]*" class="edge[^>]*)>\s*<title>(.*?)</title>')
_TOOLTIP = re.compile(
    r'<g id="a_[^"]*"><a xlink:title="([^"]*)">(.*?)</a>\s*</g>', re.DOTALL
)


def _for_pages(svg: str) -> str:
    """Graphviz's SVG without what only Graphviz needs.

    A name such as ``s1`` is no title that a reader should meet; of an edge the two
    names become ``data-ends``. A tooltip is a title, and not a link that leads nowhere.
    """
    svg = re.sub(r"<!--.*?-->\s*", "", svg, flags=re.DOTALL).replace("&#45;", "-")
    svg = _ENDS.sub(r'\1 data-ends="\2">', _TITLE.sub(r"\1", svg))
    return _TOOLTIP.sub(r"<g><title>\1</title>\2</g>", svg)


def mosaic(images: Any, columns: int, gap: int = 1) -> np.ndarray:
    """Lay images side by side, row by row, as one picture for ``imshow``.

    Args:
        images: ``(count, rows, columns, channels)``, or without the last axis; any
            range. One channel is dropped.
        columns: images in a row; the last row is filled up.
        gap: pixels between neighbours.

    Returns:
        ``(rows, columns)`` or ``(rows, columns, channels)``; gaps and places that
        are left over have the mean of the smallest and largest value.

    Raises:
        ValueError: if ``images`` has another shape or is empty, or ``columns`` is
            not an integer of at least 1, or ``gap`` of at least 0.

    Example:
        >>> mosaic(np.zeros((4, 28, 28)), columns=2).shape
        (57, 57)
    """
    _checks.axes(images=(images, "(count, ...)"))
    images = np.asarray(images)
    if images.ndim == 3:
        images = images[..., None]
    if images.ndim != 4 or 0 in images.shape:
        raise ValueError(
            "images must have shape (count, rows, columns, channels) or (count, rows, "
            f"columns), none of them 0; got {images.shape}."
        )
    _checks.finite(images=images)
    _check_integer("columns", columns, 1)
    _check_integer("gap", gap, 0)
    count, h, w, c = images.shape
    rows = -(-count // columns)
    shape = rows * (h + gap) - gap, columns * (w + gap) - gap, c
    picture = np.full(shape, (images.min() + images.max()) / 2, dtype=float)
    for place, image in enumerate(images):
        top, left = place // columns * (h + gap), place % columns * (w + gap)
        picture[top : top + h, left : left + w] = image
    return picture[..., 0] if c == 1 else picture


class Film:
    """Pictures over time: played on a page, a strip of a few of them on paper.

    Args:
        frames: grey pictures ``(count, rows, columns)``, 0 is black and 1 is white;
            see :func:`mosaic`.
        labels: for each frame what it is, in words: ``step 200, loss 0.61``.
        alt: what the film shows, in words.
        printed: how many frames the strip has, first and last included.
        zoom: screen pixels for each pixel of a frame.

    Raises:
        ValueError: if a length does not fit or a value is not from 0 to 1.
    """

    def __init__(self, frames, labels, alt: str, printed: int = 4, zoom: int = 1):
        _checks.axes(frames=(frames, "(count, ...)"))
        frames = np.asarray(frames, dtype=float)
        if frames.ndim != 3 or 0 in frames.shape:
            raise ValueError(
                f"frames must have shape (count, rows, columns), got {frames.shape}."
            )
        if not (np.isfinite(frames).all() and frames.min() >= 0 and frames.max() <= 1):
            raise ValueError(
                f"frames must be from 0 (black) to 1 (white), got {frames.min():.3g} "
                f"to {frames.max():.3g}."
            )
        if len(labels) != len(frames):
            raise ValueError(
                f"labels must have one text for each of the {len(frames)} frames, got "
                f"{len(labels)}."
            )
        if not isinstance(alt, str) or not alt.strip():
            raise ValueError(f"alt must say what the film shows, got {alt!r}.")
        _check_integer("printed", printed, 1)
        _check_integer("zoom", zoom, 1)
        self.frames, self.alt, self.zoom = frames, alt, zoom
        self.labels = [str(label) for label in labels]
        self.printed = min(printed, len(frames))

    def strip(self) -> Picture:
        """The frames that are printed, side by side, each with its label below."""
        places = np.linspace(0, len(self.frames) - 1, self.printed).round().astype(int)
        h, w = self.frames.shape[1:]
        wide = 6.4 / len(places)
        figure, axes = plt.subplots(
            1, len(places), figsize=(6.4, wide * h / w + 0.35), squeeze=False
        )
        for ax, place in zip(axes[0], places, strict=True):
            ax.imshow(self.frames[place], cmap="gray", vmin=0, vmax=1)
            ax.set(xticks=[], yticks=[])
            ax.set_xlabel(self.labels[place].replace(", ", "\n"), fontsize=7)
        return show(figure, self.alt)

    def _repr_mimebundle_(self, include=None, exclude=None) -> dict[str, str]:
        strip = self.strip()
        return {
            "text/html": self._html(),
            "application/pdf": base64.b64encode(strip.pdf).decode(),
            "text/plain": self.alt,
        }

    def _html(self) -> str:
        """All frames below each other in one image; a window shows one of them.

        Without scripts the window shows the last frame, and there are no controls.
        """
        count, h, w = self.frames.shape
        static = (
            f'<div class="ak-window" style="width:{w * self.zoom}px;max-width:100%;'
            f'aspect-ratio:{w}/{h};overflow:hidden;margin:0 auto">'
            '<img class="dark-light" '  # the theme adds no frame on dark pages
            f'src="{self._sprite()}" alt="{escaped(self.alt)}" '
            'style="width:100%;max-width:none;height:auto;display:block;'
            "image-rendering:pixelated;"
            f'transform:translateY(-{100 * (count - 1) / count}%)"></div>'
            f"<output>{escaped(self.labels[-1])}</output>"
        )
        return widget("film", static, {"labels": self.labels})

    def _sprite(self) -> str:
        count, h, w = self.frames.shape
        pixels = (255 * self.frames).round().astype("uint8").reshape(count * h, w)
        data = io.BytesIO()
        Image.fromarray(pixels).save(data, format="PNG", optimize=True)
        return "data:image/png;base64," + base64.b64encode(data.getvalue()).decode()


def film(
    frames: Sequence[Any],
    labels: Sequence[Any],
    alt: str,
    printed: int = 4,
    zoom: int = 1,
) -> Film:
    """A :class:`Film` of ``frames`` with their ``labels``."""
    return Film(frames, labels, alt, printed=printed, zoom=zoom)


def _check_integer(name: str, value, least: int) -> None:
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
        raise ValueError(f"{name} must be an integer, got {value!r}.")
    if value < least:
        raise ValueError(f"{name} must be at least {least}, got {value}.")


class Table:
    """A small table that shows itself on a page and on paper.

    Args:
        rows: the rows; every entry is shown with ``str``.
        columns: the headings, as many as a row has entries.
        align: one letter a column, ``l``, ``r`` or ``c``; numbers right by default.
        code: names of the columns that are set in the font of code.
        maths: names of the columns whose entries are formulas in LaTeX.

    Raises:
        ValueError: if a row has another length than ``columns``.
    """

    def __init__(self, rows, columns, align=None, code=(), maths=()):
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
        self.code, self.maths = frozenset(code), frozenset(maths)

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
            if not entry.strip():
                tag = "td"  # a heading without words names nothing
            text = html.escape(entry).replace("\n", "<br>")
            if tag == "td" and column in self.code and entry:
                text = f"<code>{text}</code>"
            if tag == "td" and column in self.maths and entry:
                text = rf"\({text}\)"
            keep = " text-nowrap" if len(entry) <= 14 else ""
            return f'<{tag} class="text-{side}{keep}">{text}</{tag}>'

        def line(tag, entries):
            cells = zip(self.columns, entries, self.align, strict=True)
            return f"<tr>{''.join(cell(tag, *each) for each in cells)}</tr>"

        body = "".join(line("td", row) for row in self.rows)
        # under this class a page's MathJax looks for formulas
        typeset = " tex2jax_process" if self.maths else ""
        return (
            f'<div class="ak-table{typeset}"><table class="table">'
            f"<thead>{line('th', self.columns)}</thead><tbody>{body}</tbody>"
            "</table></div>"
        )

    def _as_printed(self, row) -> list[str]:
        """Entries about as long as they are printed: a command is one sign."""
        sign = re.compile(r"\\[A-Za-z]+|[{}_^]|\\.")
        return [
            sign.sub(lambda m: "x" * m[0][1:].isalpha(), entry)
            if column in self.maths
            else entry
            for column, entry in zip(self.columns, row, strict=True)
        ]

    def _latex(self) -> str:
        def cell(column, entry):
            if column in self.maths and entry:
                return f"${entry}$"
            text = _tex(entry)
            return rf"\texttt{{{text}}}" if column in self.code else text

        def line(entries):
            return " & ".join(map(cell, self.columns, entries))

        head = " & ".join(rf"\textbf{{{_tex(c)}}}" for c in self.columns)
        body = "\n".join(line(row) + r" \\" for row in self.rows)
        widths = _column_widths([self.columns, *map(self._as_printed, self.rows)])
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


def table(
    rows: Sequence[Sequence[Any]],
    columns: Sequence[str],
    align: str | None = None,
    code: Sequence[str] = (),
    maths: Sequence[str] = (),
) -> Table:
    """A :class:`Table` of ``rows`` under the headings ``columns``.

    Example:
        >>> print(table([(1, "one"), (2, "two")], ["n", "name"]))
        n  name
        1  one
        2  two
    """
    return Table(rows, columns, align=align, code=code, maths=maths)


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
    """Escape what LaTeX would read as markup; let long names and calls break."""
    special = {
        "\\": r"\textbackslash{}",
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        "_": r"\_\allowbreak{}",
        "(": r"(\allowbreak{}",
        "[": r"{[}\allowbreak{}",  # in braces: a row must not begin like an option
        "\n": r"\newline{}",
        **{c: "\\" + c for c in "#$%&{}"},
    }
    return "".join(special.get(c, c) for c in text)


_IDENTITY = re.compile(r'(\sid="|href="#|url\(#)(?!trace-)')


def as_inline(svg: str, alt: str) -> str:
    """SVG text to stand in a page: no prologue, ``alt`` as label, ink as the text's.

    Its ids get a prefix made from the drawing: Matplotlib and Graphviz count from one
    in each, and several stand in a notebook. Those of a trace are its own already.
    """
    body = svg[svg.index("<svg") :]
    body = re.sub(r"<metadata>.*?</metadata>", "", body, flags=re.DOTALL)
    body = body.replace(INK, "currentColor")
    mark = hashlib.sha1((alt + body).encode()).hexdigest()[:8]
    body = _IDENTITY.sub(rf"\g<1>p{mark}-", body)
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
