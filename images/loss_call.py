"""Draws the call of a loss object: what you write, and what Keras does around it."""

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from _drawing import SMALL, arrow, box, canvas, frame, label, write

ALT = (
    "A flow from left to right. The target y_true and the prediction y_pred, both of "
    "shape (B, u), enter the box call, which gives one value an example, shape (B,). "
    "The values meet the sample weights, shape (B,), which have passed by call, in a "
    "box that multiplies them. The box reduction turns the products into one number. A "
    "frame around call, multiplication and reduction is labelled __call__, the method "
    "of the loss object. A plain function takes the place of call only."
)

INPUTS, CALL, TIMES, REDUCE, RESULT = 48.0, 172.0, 280.0, 376.0, 470.0
TARGET, MIDDLE, PREDICTION, WEIGHT = 62.0, 86.0, 110.0, 158.0


def draw() -> Figure:
    """The whole figure."""
    figure, axes = canvas(504, 186)
    frame(axes, 110, 12, 430, 180, "data")
    label(axes, 270, 25, "__call__", mono=True)
    _given(axes)
    _steps(axes)
    return figure


def _given(axes: Axes) -> None:
    """What the caller hands in."""
    for y, name, shape in [
        (TARGET, "y_true", "(B, u)"),
        (PREDICTION, "y_pred", "(B, u)"),
        (WEIGHT, "sample_weight", "(B,)"),
    ]:
        box(axes, (INPUTS, y), (88, 36), f"{name}\n{shape}", "data", fontsize=SMALL,
            mono=True)  # fmt: skip
    for y, end in ((TARGET, MIDDLE - 9), (PREDICTION, MIDDLE + 9)):
        arrow(axes, [(INPUTS + 44, y), (CALL - 38, end)], "data")
    path = [(INPUTS + 44, WEIGHT), (TIMES, WEIGHT), (TIMES, MIDDLE + 18)]
    arrow(axes, path, "data")


def _steps(axes: Axes) -> None:
    """The three steps of the call, and the number that comes out."""
    box(axes, (CALL, MIDDLE), (76, 40), "call", "loss", mono=True)
    label(axes, CALL, MIDDLE - 32, "you write this", fontsize=SMALL)
    box(axes, (TIMES, MIDDLE), (44, 36), "times")
    box(axes, (REDUCE, MIDDLE), (76, 36), "reduction")
    box(
        axes, (RESULT, MIDDLE), (48, 36), "loss\n( )", "loss", fontsize=SMALL, mono=True
    )
    arrow(axes, [(CALL + 38, MIDDLE), (TIMES - 22, MIDDLE)], "loss")
    arrow(axes, [(TIMES + 22, MIDDLE), (REDUCE - 38, MIDDLE)], "loss")
    arrow(axes, [(REDUCE + 38, MIDDLE), (RESULT - 24, MIDDLE)], "loss")
    for x in ((CALL + TIMES + 16) / 2, (TIMES + REDUCE - 16) / 2):
        label(axes, x, MIDDLE - 10, "(B,)", mono=True, fontsize=SMALL)


if __name__ == "__main__":
    write("loss_call", draw())
