"""What the drawn figures share: a canvas measured in points, boxes, labels, arrows.

One unit is one typographic point (1/72 inch), and ``y`` grows downwards, as on a
page. Sizes and colours come from :mod:`advanced_keras.display`, so that a drawn
figure and a plotted one look alike. Importing this module draws nothing.
"""

from __future__ import annotations

import io
import re
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch, PathPatch, Polygon
from matplotlib.path import Path as Outline
from matplotlib.text import Text
from PIL import Image

from advanced_keras.display import INK, PALETTE, STYLE

FOLDER = Path(__file__).resolve().parent
FONT = STYLE["font.size"]
SMALL = FONT - 1
LINE = 0.75 * STYLE["lines.linewidth"]
SANS = STYLE["font.family"]
MONO = "DejaVu Sans Mono"
HEAD = 6.0  # length of an arrow's head
TINT = 0.16  # opacity of a box's fill: pale on white paper, dim on a dark page

Point = tuple[float, float]


class Box(FancyBboxPatch):
    """A rounded rectangle that remembers the label written in it, if any."""

    label: Text | None = None


class Arrow(PathPatch):
    """The line of an arrow; its head is a separate polygon."""


def colour(role: str | None) -> str:
    """The palette's colour for ``role``; None means the colour of text."""
    return INK if role is None else PALETTE[role]


def canvas(width: float, height: float) -> tuple[Figure, Axes]:
    """A transparent page of ``width`` by ``height`` points, the origin top left."""
    figure = Figure((width / 72, height / 72), facecolor="none", layout="none")
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, width), ylim=(height, 0))
    axes.axis("off")
    return figure, axes


def label(axes: Axes, x: float, y: float, text: str, **options: Any) -> Text:
    """Write ``text`` around the point (x, y), in the colour of text.

    Args:
        axes: where to write.
        x, y: the anchor, in points.
        text: words, with mathematics between dollars.
        options: passed on to ``Axes.text``; ``mono=True`` sets code.
    """
    family = MONO if options.pop("mono", False) else SANS
    settings = {"ha": "center", "va": "center", "fontsize": FONT, "color": INK}
    settings |= {"family": family, "math_fontfamily": "dejavusans", "linespacing": 1.25}
    return axes.text(x, y, text, **(settings | options))


def box(
    axes: Axes,
    centre: Point,
    size: Point,
    text: str = "",
    role: str | None = None,
    *,
    tint: float = TINT,
    dashed: bool = False,
    radius: float = 5,
    **options: Any,
) -> Box:
    """Draw a rounded box with a label in its middle.

    Args:
        axes: where to draw.
        centre: the middle of the box, in points.
        size: its width and height.
        text: the label; empty for none.
        role: a key of the palette, or None for the colour of text.
        tint: opacity of the fill.
        dashed: whether the edge is dashed.
        radius: of the corners.
        options: passed on to :func:`label`.
    """
    (x, y), (width, height) = centre, size
    patch = Box(
        (x - width / 2, y - height / 2),
        width,
        height,
        boxstyle=f"round,pad=0,rounding_size={radius}",
        facecolor=(colour(role), tint) if tint else "none",
        edgecolor=colour(role),
        linewidth=LINE,
        linestyle=(0, (3, 2)) if dashed else "-",
        clip_on=False,
    )
    axes.add_patch(patch)
    if text:
        patch.label = label(axes, x, y, text, **options)
    return patch


def frame(
    axes: Axes, left: float, top: float, right: float, bottom: float, role: str | None
) -> Box:
    """A large pale box behind others, given by its four sides."""
    centre = (left + right) / 2, (top + bottom) / 2
    size = right - left, bottom - top
    patch = box(axes, centre, size, role=role, tint=TINT / 3, radius=9)
    patch.set_linewidth(0.6 * LINE)
    patch.set_zorder(0)
    return patch


def arrow(
    axes: Axes,
    points: list[Point],
    role: str | None = None,
    *,
    head: bool = True,
    dashed: bool = False,
    radius: float = 6,
    width: float = LINE,
) -> Arrow:
    """Draw an arrow through ``points``, its corners rounded."""
    ends = list(points)
    if head:
        ends[-1] = _step(points[-1], points[-2], HEAD - 1)
        _head(axes, points[-2], points[-1], role)
    return _line(axes, _rounded(ends, radius), role, dashed, width)


def curve(
    axes: Axes,
    points: list[Point],
    role: str | None = None,
    *,
    head: bool = True,
    dashed: bool = False,
    width: float = LINE,
) -> Arrow:
    """Draw one cubic Bezier curve: start, two control points, end."""
    ends = list(points)
    if head:
        ends[-1] = _step(points[-1], points[-2], HEAD - 1)
        _head(axes, points[-2], points[-1], role)
    outline = Outline(ends, [Outline.MOVETO] + 3 * [Outline.CURVE4])
    return _line(axes, outline, role, dashed, width)


def _line(
    axes: Axes, outline: Outline, role: str | None, dashed: bool, width: float
) -> Arrow:
    patch = Arrow(
        outline,
        facecolor="none",
        edgecolor=colour(role),
        linewidth=width,
        linestyle=(0, (3, 2)) if dashed else "-",
        clip_on=False,
    )
    axes.add_patch(patch)
    return patch


def _step(start: Point, towards: Point, length: float) -> Point:
    """The point ``length`` away from ``start`` on the way ``towards`` another."""
    across, down = towards[0] - start[0], towards[1] - start[1]
    scale = length / max((across**2 + down**2) ** 0.5, 1e-9)
    return start[0] + scale * across, start[1] + scale * down


def _head(axes: Axes, before: Point, tip: Point, role: str | None) -> None:
    """A filled triangle with its tip at ``tip``, coming from ``before``."""
    x, y = _step(tip, before, HEAD)
    aside = (y - tip[1]) * 0.42, (tip[0] - x) * 0.42
    corners = [tip, (x + aside[0], y + aside[1]), (x - aside[0], y - aside[1])]
    axes.add_patch(
        Polygon(corners, facecolor=colour(role), edgecolor="none", clip_on=False)
    )


def _rounded(points: list[Point], radius: float) -> Outline:
    """A polyline whose inner corners are replaced by quadratic curves."""
    vertices, codes = [points[0]], [Outline.MOVETO]
    for before, corner, after in zip(points, points[1:], points[2:], strict=False):
        # Half a side at most, so that two neighbouring curves can't overlap.
        reach = min(radius, _length(before, corner) / 2, _length(corner, after) / 2)
        start, end = _step(corner, before, reach), _step(corner, after, reach)
        vertices += [start, corner, end]
        codes += [Outline.LINETO, Outline.CURVE3, Outline.CURVE3]
    return Outline([*vertices, points[-1]], [*codes, Outline.LINETO])


def _length(start: Point, end: Point) -> float:
    return ((start[0] - end[0]) ** 2 + (start[1] - end[1]) ** 2) ** 0.5


def svg(name: str, figure: Figure) -> str:
    """The figure as SVG text: the same text whenever the same figure is drawn.

    Ids get the figure's name as a prefix and the style sheet becomes attributes,
    because pages hold several drawings inline and must not mix them up.
    """
    buffer = io.StringIO()
    with matplotlib.rc_context({"svg.hashsalt": name, "svg.fonttype": "path"}):
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"\s*<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r"\s*<defs>\s*<style.*?</defs>", "", text, flags=re.DOTALL)
    text = re.sub(r'(\bid="|href="#|url\(#)', rf"\g<1>{name}-", text)
    text = text.replace("<svg", '<svg stroke-linejoin="round"', 1)
    return "\n".join(line.rstrip() for line in text.splitlines()) + "\n"


def write(name: str, figure: Figure, png_width: int | None = None) -> Path:
    """Write ``<name>.svg`` beside this file, and a PNG if it's given a width."""
    path = FOLDER / f"{name}.svg"
    path.write_text(svg(name, figure), encoding="utf-8")
    if png_width:
        png(figure, png_width).save(path.with_suffix(".png"), optimize=True)
    return path


def png(figure: Figure, width: int) -> Image.Image:
    """The figure ``width`` pixels wide, in 256 colours with their opacity."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=width / figure.get_figwidth())
    return Image.open(buffer).quantize(256, method=Image.Quantize.FASTOCTREE)
