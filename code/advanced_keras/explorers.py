"""What a reader explores: the shapes of threading, and a plane of decoded images.

Both are widgets of :mod:`advanced_keras.interactive` around a static form, which the
PDF, a printed page and a page without scripts show. No technique is imported: what was
computed comes in as an argument.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.patches import Polygon
from PIL import Image

from advanced_keras.display import PALETTE, Picture, mosaic, show
from advanced_keras.interactive import escaped, widget

__all__ = ["LatentPlane", "ThreadingExplorer", "latent_plane", "threading_explorer"]


# -- threading

AXES = 3
"""A tensor of the explorer has at most so many leading axes."""

GREATEST = 256
"""The largest size that a reader can choose, if ``limits`` does not say it."""

DRAWING = {
    "side": 8.0,  # of one number, at most
    "widest": 72.0,  # a block
    "tallest": 150.0,  # higher ones are cut
    "thinnest": 3.0,  # thinner ones are drawn so
    "ruled": 4.0,  # numbers of this side have lines between them
    "cards": 4,  # sheets of a pile
    "piles": 3,
    "offset": 5.0,  # of a card behind another one
    "gap": 8.0,  # between piles
}
"""How blocks are drawn, here and by the script; lengths in points or pixels."""

_TAKEN = (
    *("leading", "features", "units", "use_bias", "rows", "steps"),
    *("parameters", "multiplications"),
)


class ThreadingExplorer:
    """Flatten, multiply, unflatten with sizes that the reader chooses.

    Args:
        cases: from a title to ``(names, steps)``: what the leading axes are called, and
            what :func:`advanced_keras.dense_threading.threading_steps` says of the
            case. The first is shown to begin with, and on paper.
        limits: from the name of an axis, ``"features"`` or ``"units"`` to the largest
            size that can be chosen.

    Raises:
        TypeError: if ``cases`` or ``limits`` is no mapping, or a case is no such pair.
        ValueError: if there is no case, a case has more than three leading axes or
            another number of names, a size is above its limit, or a limit is not an
            integer of at least 1.
    """

    def __init__(self, cases, limits=None):
        if not isinstance(cases, Mapping):
            raise TypeError(
                f"cases must map titles to (names, steps), got {type(cases).__name__}."
            )
        if not cases:
            raise ValueError("cases must have at least one case, got none.")
        limits = _limits(limits)
        self.cases = [_case(title, case, limits) for title, case in cases.items()]

    @property
    def alt(self) -> str:
        """The first case in words."""
        case = self.cases[0]
        shapes = _shapes(case)
        return (
            f"{case['title']}: x {_said(shapes[0])}, flatten {_said(shapes[1])}, "
            f"multiply by W {_said(_kernel(case))} {_said(shapes[2])}, unflatten "
            f"{_said(shapes[3])}. {_counts(case)}"
        )

    def picture(self) -> Picture:
        """The first case, its blocks to scale."""
        return show(_threading_figure(self.cases[0]), self.alt)

    def _repr_mimebundle_(self, include=None, exclude=None) -> dict[str, str]:
        bundle = self.picture()._repr_mimebundle_()
        data = {"cases": self.cases, "greatest": GREATEST, "drawing": DRAWING}
        page = widget("threading", bundle["text/html"], data)
        return {**bundle, "text/html": page}


def threading_explorer(
    cases: Mapping[str, tuple[Sequence[str], Any]],
    limits: Mapping[str, int] | None = None,
) -> ThreadingExplorer:
    """A :class:`ThreadingExplorer` that begins with the first of ``cases``.

    >>> from advanced_keras.dense_threading import threading_steps
    >>> steps = threading_steps((32, 100), features=16, units=8)
    >>> panel = threading_explorer({"a panel": (("dates", "tickers"), steps)})
    >>> panel.alt[:36]
    'a panel: x (32, 100, 16), flatten (3'
    """
    return ThreadingExplorer(cases, limits)


def _limits(limits) -> dict[str, int]:
    if limits is None:
        return {}
    if not isinstance(limits, Mapping):
        raise TypeError(
            f"limits must map names of axes to integers, got {type(limits).__name__}."
        )
    for name, most in limits.items():
        integer = isinstance(most, (int, np.integer)) and not isinstance(most, bool)
        if not integer or most < 1:
            raise ValueError(
                f"limits[{name!r}] must be an integer of at least 1, got {most!r}."
            )
    return {str(name): int(most) for name, most in limits.items()}


def _case(title, case, limits) -> dict[str, Any]:
    """What the script has to know of a case."""
    try:
        names, steps = case
        found = steps.to_dict()
        known = {name: found[name] for name in _TAKEN}
    except (TypeError, ValueError, AttributeError, KeyError):
        raise TypeError(
            f"cases[{title!r}] must be (names, steps) with steps from "
            f"threading_steps, got {case!r}."
        ) from None
    leading = known["leading"]
    if isinstance(names, str) or len(names) != len(leading):
        raise ValueError(
            f"cases[{title!r}] must name each of its {len(leading)} leading axes, got "
            f"{names!r}."
        )
    if len(leading) > AXES:
        raise ValueError(
            f"cases[{title!r}] must have at most {AXES} leading axes, got "
            f"{len(leading)}."
        )
    names = [str(name) for name in names]
    sizes = [*leading, known["features"], known["units"]]
    most = []
    for name, size in zip([*names, "features", "units"], sizes, strict=True):
        most.append(limits.get(name, GREATEST))
        if size > most[-1]:
            raise ValueError(
                f"cases[{title!r}] must have {name} of at most {most[-1]}, as limits "
                f"says, got {size}."
            )
    return {"title": str(title), "names": names, "limits": most, **known}


def _shapes(case) -> list[Sequence[int]]:
    """The shapes between which the three steps lead."""
    return [case["steps"][0]["input"], *(step["output"] for step in case["steps"])]


def _kernel(case) -> tuple[int, int]:
    return case["features"], case["units"]


def _said(shape) -> str:
    """A shape as Python writes a tuple."""
    return str(tuple(shape))


def _counts(case) -> str:
    return (
        f"{case['rows']:,} rows, {case['parameters']:,} parameters, "
        f"{case['multiplications']:,} multiplications."
    )


def _threading_figure(case):
    """Five blocks in a line, their shapes below and the counts under all."""
    width, height, middle = 504.0, 236.0, 108.0
    size = width / 72, height / 72
    layout = ConstrainedLayoutEngine(w_pad=0, h_pad=0)
    figure, axes = plt.subplots(figsize=size, layout=layout)
    axes.set(xlim=(0, width), ylim=(height, 0))
    axes.set_axis_off()
    shapes, rows = _shapes(case), case["rows"]
    n, u = _kernel(case)
    side = min(DRAWING["side"], DRAWING["widest"] / max(n, u))
    places = dict(zip(("x", "X", "W", "Y", "y"), (50, 150, 240, 348, 447), strict=True))
    _pile(axes, places["x"], middle, case["leading"], n, side)
    _block(axes, places["X"], middle, rows, n, side)
    _block(axes, places["W"], middle, n, u, side)
    _block(axes, places["Y"], middle, rows, u, side)
    _pile(axes, places["y"], middle, case["leading"], u, side)
    said = dict(zip("xXYy", shapes, strict=True)) | {"W": (n, u)}
    for name, place in places.items():
        bold = rf"$\mathbf{{{name}}}$"
        axes.text(place, 204, bold, ha="center", va="baseline")
        axes.text(place, 216, _said(said[name]), ha="center", va="baseline", fontsize=7)
    for step, place in {"flatten": 100, "multiply": 240, "unflatten": 397}.items():
        axes.text(place, 12, step, ha="center", va="baseline")
        axes.annotate(
            "",
            (place + 22, 20),
            (place - 22, 20),
            arrowprops={"arrowstyle": "->", "color": PALETTE["data"]},
        )
    for sign, place in {r"$\times$": 195, r"$+\;\mathbf{b}\;=$": 294}.items():
        axes.text(place, middle, sign, ha="center", va="center")
    axes.text(width / 2, 232, _counts(case), ha="center", va="baseline", fontsize=8)
    return figure


def _block(axes: Axes, x, y, rows, columns, side, tallest=DRAWING["tallest"]) -> None:
    """``rows`` by ``columns`` numbers, centred; cut in the middle if too high."""
    w = max(columns * side, DRAWING["thinnest"])
    full = max(rows * side, DRAWING["thinnest"])
    h = min(full, tallest)
    left, top, cut = x - w / 2, y - h / 2, full > tallest
    parts = _halves(left, top, w, h) if cut else [_corners(left, top, w, h)]
    for part in parts:
        _fill(axes, part)
    if side < DRAWING["ruled"]:
        return
    for column in range(1, columns):
        place = left + column * side
        for start, end in [(top, y - 4), (y + 4, top + h)] if cut else [(top, top + h)]:
            axes.plot([place, place], [start, end], color=PALETTE["data"], lw=0.4)
    for row in range(1, 0 if cut else rows):
        place = top + row * side
        axes.plot([left, left + w], [place, place], color=PALETTE["data"], lw=0.4)


def _fill(axes: Axes, corners) -> None:
    data = PALETTE["data"]
    axes.add_patch(Polygon(corners, fc=data + "29", ec=data, lw=0.8))


def _corners(left, top, w, h) -> list[tuple[float, float]]:
    right, bottom = left + w, top + h
    return [(left, top), (right, top), (right, bottom), (left, bottom)]


def _halves(left, top, w, h) -> list[list[tuple[float, float]]]:
    """Upper and lower half with a zigzag between: higher than it is drawn."""
    places = np.linspace(left, left + w, 7)
    teeth = top + h / 2 + 2 * (-1.0) ** np.arange(7)
    above, below = (list(zip(places, teeth + s, strict=True)) for s in (-2, 2))
    return [
        [(left + w, top), (left, top), *above],
        [(left + w, top + h), (left, top + h), *below],
    ]


def _pile(axes: Axes, x, y, leading, columns, side) -> None:
    """Sheets behind each other for the last but one axis, piles for the one before."""
    piles, sheets, rows = ([1] * AXES + list(leading))[-AXES:]
    shown = min(piles, DRAWING["piles"])
    behind = (min(sheets, DRAWING["cards"]) - 1) * DRAWING["offset"]
    room = DRAWING["tallest"] / shown - DRAWING["gap"] * (shown > 1)
    w = max(columns * side, DRAWING["thinnest"])
    h = min(max(rows * side, DRAWING["thinnest"]), room - behind)
    pitch = h + behind + DRAWING["gap"]
    for pile in range(shown):
        front = y + pitch * (pile - (shown - 1) / 2) + behind / 2
        left, top = x - behind / 2 - w / 2, front - h / 2
        for card in range(int(behind / DRAWING["offset"])):
            _fill(axes, _behind(left, top, w, h, card * DRAWING["offset"]))
        _block(axes, x - behind / 2, front, rows, columns, side, room - behind)
    if piles > shown:
        axes.text(x, y + pitch * shown / 2 + 4, "⋮", ha="center", va="center")


def _behind(left, top, w, h, shift) -> list[tuple[float, float]]:
    """What is seen of a card behind another one: its upper and right edge."""
    d = DRAWING["offset"]
    left, right, top, bottom = left + shift, left + w + shift, top - shift, top + h
    bottom -= shift
    return [
        *((left + d, top), (left + d, top - d), (right + d, top - d)),
        *((right + d, bottom - d), (right, bottom - d), (right, top)),
    ]


# -- the latent plane

LEVELS = 64
"""Shades of grey that decoded images are sent with: a third less than 256."""

MOST_POINTS = 400
"""More codes than that hide the plane."""

COLOURS = (
    *("#77AADD", "#EE8866", "#EEDD88", "#FFAABB", "#99DDFF"),
    *("#44BB99", "#BBCC33", "#C0A9F0", "#DDDDDD", "#F0A040"),
)
"""Of the classes, light on the black of the plane; each point is also its label."""


class LatentPlane:
    """A plane of decoded images to move over, with the codes of known examples.

    Args:
        images: ``(rows, columns, h, w)`` grey images, 0 is black and 1 is white;
            ``images[i, j]`` is decoded from ``(z1[j], z2[i])``. A last axis of length 1
            is dropped.
        z1: ``(columns,)``, increasing: to the right.
        z2: ``(rows,)``, decreasing: the largest is at the top.
        alt: what the plane shows, in words.
        points: ``(count, 2)`` codes of examples, at most 400. Those off the plane are
            not drawn, and the page says how many these are.
        labels: for each point its class, one or two letters.

    Raises:
        ValueError: if a shape does not fit, a number is not finite, a grey value is not
            from 0 to 1, an axis runs the wrong way, or ``alt`` is empty.
    """

    def __init__(self, images, z1, z2, alt: str, points=None, labels=None):
        self.images = _decoded(images)
        rows, columns = self.images.shape[:2]
        self.z1 = _ticks("z1", z1, columns, "columns", rising=True)
        self.z2 = _ticks("z2", z2, rows, "rows", rising=False)
        if not isinstance(alt, str) or not alt.strip():
            raise ValueError(f"alt must say what the plane shows, got {alt!r}.")
        self.alt = alt
        self.points, self.labels = _points(points, labels)

    @property
    def kinds(self) -> list[str]:
        """The classes in order."""
        return sorted(set(self.labels))

    def picture(self) -> Picture:
        """The decoded images, and beside them the codes, on the same axes."""
        known = len(self.points) > 0
        figure, panels = plt.subplots(
            1, 1 + known, figsize=(6.4 if known else 3.6, 3.1), squeeze=False
        )
        plane, *others = panels[0]
        rows, columns, h, w = self.images.shape
        extent = (-0.5, columns - 0.5, rows - 0.5, -0.5)
        tiles = mosaic(self.images.reshape(-1, h, w), columns, gap=0)
        plane.imshow(tiles, cmap="gray", vmin=0, vmax=1, extent=extent, aspect=h / w)
        for codes in others:
            codes.set(facecolor="black", aspect=h / w)
            codes.set(xlim=extent[:2], ylim=extent[2:])
            self._write_codes(codes)
        for ax in panels[0]:
            self._name_axes(ax)
        return show(figure, self.alt)

    def _name_axes(self, ax: Axes) -> None:
        across, up = (_few(len(ticks)) for ticks in (self.z1, self.z2))
        ax.set_xticks(across, [f"{self.z1[j]:.3g}" for j in across])
        ax.set_yticks(up, [f"{self.z2[i]:.3g}" for i in up])
        ax.set(xlabel="$z_1$", ylabel="$z_2$")

    def _write_codes(self, ax: Axes) -> None:
        for (x, y), label in zip(self._places(), self.labels, strict=True):
            if np.isfinite([x, y]).all():
                colour = self._colour(label)
                ax.text(x, y, label, color=colour, fontsize=6, ha="center", va="center")

    def _colour(self, label: str) -> str:
        return COLOURS[self.kinds.index(label) % len(COLOURS)]

    def _places(self) -> np.ndarray:
        """Of each point its column and row as fractions; NaN if off the plane."""
        across = _between(self.points[:, 0], self.z1)
        down = len(self.z2) - 1 - _between(self.points[:, 1], self.z2[::-1])
        return np.stack([across, down], axis=-1)

    def _repr_mimebundle_(self, include=None, exclude=None) -> dict[str, str]:
        return {
            "text/html": widget("latent", self._static(), self._data()),
            "application/pdf": base64.b64encode(self.picture().pdf).decode(),
            "text/plain": self.alt,
        }

    def _static(self) -> str:
        rows, columns, h, w = self.images.shape
        size = f'width="{columns * w}" height="{rows * h}"'
        ends = [f"{z:.3g}" for z in (self.z1[0], self.z1[-1], self.z2[-1], self.z2[0])]
        return (
            '<div class="ak-latent-static">'
            '<img class="dark-light" '  # the theme adds no frame on dark pages
            f'src="{self._sprite()}" alt="{escaped(self.alt)}" {size}>'
            f"<p>First latent number from {ends[0]} at the left to {ends[1]} at the "
            f"right, second from {ends[2]} at the bottom to {ends[3]} at the top.</p>"
            "</div>"
        )

    def _data(self) -> dict[str, Any]:
        h, w = self.images.shape[2:]
        colours = {kind: self._colour(kind) for kind in self.kinds}
        return {
            "tile": [w, h],
            "z1": [round(float(z), 4) for z in self.z1],
            "z2": [round(float(z), 4) for z in self.z2],
            "points": [[round(float(z), 4) for z in point] for point in self.points],
            "labels": self.labels,
            "colours": colours,
        }

    def _sprite(self) -> str:
        """All images as one PNG, in the order of the plane."""
        rows, columns, h, w = self.images.shape
        shades = np.round(self.images * (LEVELS - 1)) / (LEVELS - 1)
        pixels = (255 * shades).round().astype("uint8")
        pixels = pixels.transpose(0, 2, 1, 3).reshape(rows * h, columns * w)
        data = io.BytesIO()
        Image.fromarray(pixels).save(data, format="PNG", optimize=True)
        return "data:image/png;base64," + base64.b64encode(data.getvalue()).decode()


def latent_plane(
    images: Any, z1: Any, z2: Any, alt: str, points: Any = None, labels: Any = None
) -> LatentPlane:
    """A :class:`LatentPlane` of decoded ``images``."""
    return LatentPlane(images, z1, z2, alt, points=points, labels=labels)


def _decoded(images) -> np.ndarray:
    images = np.asarray(images, dtype=float)
    if images.ndim == 5 and images.shape[-1] == 1:
        images = images[..., 0]
    if images.ndim != 4 or 0 in images.shape or min(images.shape[:2]) < 2:
        raise ValueError(
            "images must have shape (rows, columns, h, w) with at least 2 rows and 2 "
            f"columns, got {images.shape}."
        )
    if not (np.isfinite(images).all() and images.min() >= 0 and images.max() <= 1):
        raise ValueError(
            f"images must be from 0 (black) to 1 (white), got {images.min():.3g} to "
            f"{images.max():.3g}."
        )
    return images


def _ticks(name, values, count, of, rising) -> np.ndarray:
    values = np.asarray(values, dtype=float)
    if values.shape != (count,):
        raise ValueError(
            f"{name} must have one number for each of the {count} {of} of images, got "
            f"shape {values.shape}."
        )
    steps = np.diff(values) if rising else -np.diff(values)
    if not (np.isfinite(values).all() and (steps > 0).all()):
        way = "increase" if rising else "decrease"
        raise ValueError(f"{name} must {way} from one to the next, got {values}.")
    return values


def _points(points, labels) -> tuple[np.ndarray, list[str]]:
    if points is None and labels is None:
        return np.zeros((0, 2)), []
    if points is None or labels is None:
        missing, given = ("points", "labels")[:: 1 if points is None else -1]
        raise ValueError(f"{missing} must be given together with {given}, got None.")
    points = np.asarray(points, dtype=float)
    if points.ndim != 2 or points.shape[1] != 2 or not np.isfinite(points).all():
        raise ValueError(
            f"points must be finite and have shape (count, 2), got {points.shape}."
        )
    if len(points) > MOST_POINTS:
        raise ValueError(
            f"points must be at most {MOST_POINTS}, or they hide the plane; got "
            f"{len(points)}."
        )
    labels = [str(label) for label in labels]
    if len(labels) != len(points) or not all(1 <= len(label) <= 2 for label in labels):
        raise ValueError(
            f"labels must be one or two letters for each of the {len(points)} points, "
            f"got {labels[:5]} (of {len(labels)})."
        )
    return points, labels


def _between(values, ticks) -> np.ndarray:
    """Place of each value among increasing ticks, in steps; NaN if off the plane.

    The outermost tiles reach half a step beyond their ticks.
    """
    first = ticks[0] - (ticks[1] - ticks[0]) / 2
    last = ticks[-1] + (ticks[-1] - ticks[-2]) / 2
    ends = [first, *ticks, last]
    places = [-0.5, *range(len(ticks)), len(ticks) - 0.5]
    return np.interp(values, ends, places, left=np.nan, right=np.nan)


def _few(count: int) -> list[int]:
    """About five of ``count`` places, the ends among them."""
    return sorted({int(p) for p in np.linspace(0, count - 1, 5).round()})
