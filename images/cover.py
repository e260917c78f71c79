"""Draws the cover: the attention of a Transformer as threads between two sentences."""

from math import exp

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Circle

from _drawing import canvas, curve, write
from advanced_keras.display import PALETTE

ALT = (
    "An abstract picture of a Transformer. A column of blue dots on the left and one "
    "of orange dots on the right, each dot a word, are joined by green threads that "
    "grow thicker where a word attends more strongly to another. Blue and orange arcs "
    "at the outer sides join the words of each sentence to one another."
)
PNG_WIDTH = 1000  # pixels

ORDER = (0, 2, 1, 3, 4, 7, 5, 6, 8, 10, 9, 11)  # the source word of each target word
LEFT, RIGHT = 170.0, 334.0
TOP, PITCH = 22.0, 19.0


def draw() -> Figure:
    """The whole figure."""
    figure, axes = canvas(504, 2 * TOP + PITCH * (len(ORDER) - 1))
    for target in range(len(ORDER)):
        for source in range(len(ORDER)):
            _thread(axes, source, target)
    for start in range(len(ORDER)):
        for end in range(start + 1, len(ORDER)):
            _arc(axes, LEFT, start, end, -1, "source")
            _arc(axes, RIGHT, start, end, 1, "target")
    for place in range(len(ORDER)):
        _dot(axes, LEFT, place, "source")
        _dot(axes, RIGHT, place, "target")
    return figure


def _height(place: int) -> float:
    return TOP + PITCH * place


def _fade(distance: float, reach: float) -> float:
    """How strongly two words are joined: 1 at no distance, then less and less."""
    return exp(-((distance / reach) ** 2))


def _thread(axes: Axes, source: int, target: int) -> None:
    """Cross-attention: strongest to the word that is translated."""
    weight = _fade(source - ORDER[target], 1.7)
    start, end = _height(source), _height(target)
    third = (RIGHT - LEFT) * 0.45
    points = [(LEFT, start), (LEFT + third, start), (RIGHT - third, end), (RIGHT, end)]
    if weight > 0.02:
        line = curve(axes, points, "attention", head=False, width=0.5 + 2.2 * weight)
        line.set_alpha(0.25 + 0.7 * weight)
        line.set_zorder(weight)


def _arc(axes: Axes, x: float, start: int, end: int, side: int, role: str) -> None:
    """Self-attention: an arc between two words of one sentence."""
    weight = _fade(end - start, 5.5)
    out = x + side * 17.5 * (end - start)
    points = [(x, _height(start)), (out, _height(start)), (out, _height(end))]
    points.append((x, _height(end)))
    line = curve(axes, points, role, head=False, width=0.5 + 0.9 * weight)
    line.set_alpha(0.2 + 0.6 * weight)
    line.set_zorder(weight)


def _dot(axes: Axes, x: float, place: int, role: str) -> None:
    circle = Circle(
        (x, _height(place)), 5.2, facecolor=PALETTE[role], edgecolor="none", zorder=3
    )
    axes.add_patch(circle)


if __name__ == "__main__":
    write("cover", draw(), PNG_WIDTH)
