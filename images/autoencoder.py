"""Draws the autoencoder: encoder and decoder as boxes inside the box of the whole."""

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from _drawing import SMALL, arrow, box, canvas, frame, label, write

ALT = (
    "A large box, autoencoder, holds two smaller ones. The tensor example, B by 28 by "
    "28 by 1, enters the encoder, where it becomes 14 by 14 by 16, then 7 by 7 by 32, "
    "then 1568 numbers, then the code z, B by m. The code leaves the encoder at its "
    "narrowest place and enters the decoder, which goes the same way back: 1568 "
    "numbers, 7 by 7 by 32, 14 by 14 by 16, and the reconstruction, B by 28 by 28 by 1."
)

# shapes of the tensors on the way down, and how tall their bars are
DOWN = (("14·14·16", 96.0), ("7·7·32", 66.0), ("1568", 44.0))
CALLS_DOWN = ("down_1", "down_2", "flatten", "code")
CALLS_UP = ("spread", "fold", "up_2", "up_1")
MIDDLE, WIDE, BAR = 132.0, 504.0, 13.0
PITCH = 46.0  # from one bar to the next


def draw() -> Figure:
    """The whole figure."""
    figure, axes = canvas(WIDE, 252)
    _frames(axes)
    _half(axes, -1, "source", CALLS_DOWN[::-1], "$B$·28·28·1", "example")
    _half(axes, 1, "target", CALLS_UP, "$B$·28·28·1", "reconstruction")
    _code(axes)
    return figure


def _frames(axes: Axes) -> None:
    """The three models."""
    frame(axes, 4, 4, WIDE - 4, 246, None)
    frame(axes, 42, 34, 238, 201, "source")
    frame(axes, 266, 34, 462, 201, "target")
    style = {"mono": True, "ha": "left", "fontweight": "bold"}
    label(axes, 16, 18, "autoencoder", **style)
    label(axes, 54, 50, "encoder", **style)
    label(axes, 278, 50, "decoder", **style)


def _half(axes: Axes, side: int, role: str, calls: tuple, shape: str, name: str):
    """One way: bars from the code outwards; ``side`` is -1 for left, 1 for right."""
    centre = WIDE / 2
    places = [centre + side * (38 + PITCH * step) for step in range(4)]
    bars = list(DOWN[::-1])
    for x, (text, height) in zip(places[1:], bars, strict=True):
        x -= side * 8
        box(axes, (x, MIDDLE), (BAR, height), "", role, radius=2)
        label(axes, x, MIDDLE + height / 2 + 9, text, fontsize=SMALL)
    outer = centre + side * 220
    box(axes, (outer, MIDDLE), (BAR, 122), "", "data", radius=2)
    label(axes, outer - side * 4, MIDDLE + 82, shape, fontsize=SMALL)
    label(axes, outer - side * 10, MIDDLE + 100, name, mono=True, fontsize=SMALL)
    edges = [centre + side * 7] + [x - side * 8 for x in places[1:]] + [outer]
    _calls(axes, edges, side, role, calls)


def _calls(axes: Axes, edges: list, side: int, role: str, calls: tuple) -> None:
    """The arrows between neighbouring bars, each with the name of its layer."""
    for number, call in enumerate(calls):
        near, far = edges[number], edges[number + 1]
        gap = side * (BAR / 2 + 1)
        ends = [(near + gap, MIDDLE), (far - gap, MIDDLE)]
        arrow(axes, ends if side > 0 else ends[::-1], role)
        x = (near + far) / 2 - side * 2 * (number == 3)
        drop = 0 if number % 2 else 12
        label(axes, x, 66 + drop, call, mono=True, fontsize=SMALL)
        rule = [(x, 71 + drop), (x, MIDDLE - 4)]
        arrow(axes, rule, "data", head=False, dashed=True, width=0.5)


def _code(axes: Axes) -> None:
    """The narrowest place, between the two models."""
    x = WIDE / 2
    box(axes, (x, MIDDLE), (BAR, 22), "", None, radius=2)
    label(axes, x, MIDDLE + 20, r"$\mathbf{z}$", fontsize=SMALL + 2)
    label(axes, x, MIDDLE + 34, "$B$·$m$", fontsize=SMALL)


if __name__ == "__main__":
    write("autoencoder", draw())
