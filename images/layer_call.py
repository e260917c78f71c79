"""Draws what happens between ``layer(x)`` and ``call``: the steps of ``__call__``."""

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from _drawing import SMALL, arrow, box, canvas, frame, label, write

ALT = (
    "What layer(x) does, as a path from x to y through a frame called __call__. Going "
    "down on the left: convert x to the layer's dtype; compare its shape with "
    "input_spec; build, at the first call only; find training; find the mask of x. "
    "In the middle at the bottom: your call. Going up on the right: add the activity "
    "regularizer to the losses; compute_mask, and put the mask on y; if x is "
    "symbolic, remember the call as a node of the graph."
)

LEFT, RIGHT = 128.0, 376.0
WIDTH, HEIGHT = 200.0, 24.0
TOP, STEP = 92.0, 34.0
CALL = 270.0
PALE = 0.06  # of the steps that you don't write
BEFORE = (
    ("1  convert x to the layer's dtype", {}),
    ("2  compare its shape with input_spec", {}),
    ("3  build(shape), first call only", {"dashed": True}),
    ("4  find training", {}),
    ("5  find the mask of x", {}),
)
AFTER = (
    (4, "7  activity regularizer to losses", {"role": "loss"}),
    (3, "8  compute_mask, mask put on y", {}),
    (2, "9  x symbolic? remember the call", {"dashed": True}),
)


def draw() -> Figure:
    """The whole figure."""
    figure, axes = canvas(504, 312)
    frame(axes, 14, 52, 490, 302, None)
    label(axes, 252, 70, "__call__", mono=True)
    _column(axes)
    _call(axes)
    _return(axes)
    return figure


def _row(place: int) -> float:
    """The height of the row number ``place``, from 0 at the top."""
    return TOP + STEP * place


def _column(axes: Axes) -> None:
    """What comes in, and the five steps before ``call``."""
    box(axes, (LEFT, 24), (28, 24), "x", "data", radius=12, mono=True)
    label(axes, LEFT + 22, 24, "an array or a tensor", ha="left", fontsize=SMALL)
    arrow(axes, [(LEFT, 36), (LEFT, TOP - HEIGHT / 2)], "data")
    for place, (text, options) in enumerate(BEFORE):
        y = _row(place)
        box(axes, (LEFT, y), (WIDTH, HEIGHT), text, tint=PALE, **options)
        if place:
            arrow(axes, [(LEFT, y - STEP + HEIGHT / 2), (LEFT, y - HEIGHT / 2)])


def _call(axes: Axes) -> None:
    """The one step that you write."""
    middle, left, right = (LEFT + RIGHT) / 2, LEFT - 60, RIGHT + 60
    text = "6  call(x, mask, training)"
    box(axes, (middle, CALL), (210, 30), text, tint=0.3)
    arrow(axes, [(left, _row(4) + HEIGHT / 2), (left, CALL), (middle - 105, CALL)])
    arrow(axes, [(middle + 105, CALL), (right, CALL), (right, _row(4) + HEIGHT / 2)])


def _return(axes: Axes) -> None:
    """The three steps after ``call``, and what comes out."""
    for place, text, options in AFTER:
        y = _row(place)
        box(axes, (RIGHT, y), (WIDTH, HEIGHT), text, tint=PALE, **options)
        end = 36 if place == 2 else y - STEP + HEIGHT / 2
        role = "data" if place == 2 else None
        arrow(axes, [(RIGHT, y - HEIGHT / 2), (RIGHT, end)], role)
    box(axes, (RIGHT, 24), (28, 24), "y", "data", radius=12, mono=True)
    label(axes, RIGHT + 22, 24, "a tensor", ha="left", fontsize=SMALL)


if __name__ == "__main__":
    write("layer_call", draw())
