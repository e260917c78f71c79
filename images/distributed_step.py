"""Draws one train step on two replicas: the batch dealt out, the gradients added up."""

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from _drawing import SMALL, arrow, box, canvas, frame, label, write

ALT = (
    "From left to right: a global batch of B examples is dealt out to two replicas, b1 "
    "examples to the first and b2 to the second. Each replica has a copy of the same "
    "weights, computes its part of the loss and the gradient of that part. The "
    "two gradients meet in an all-reduce, which adds them up and gives their sum to "
    "both replicas. Each applies the same update, so the copies stay equal."
)

TOP, BOTTOM = 58.0, 174.0  # the rows of the two replicas
MIDDLE = (TOP + BOTTOM) / 2
BATCH, PART, LOSS, GRADIENT, REDUCE, UPDATE = 36.0, 128.0, 216.0, 288.0, 364.0, 452.0


def draw() -> Figure:
    """The whole figure."""
    figure, axes = canvas(504, 220)
    box(axes, (BATCH, MIDDLE), (56, 116), "global\nbatch\n$B$ rows", "data")
    for y, name in ((TOP, "1"), (BOTTOM, "2")):
        _replica(axes, y, name)
    box(
        axes,
        (REDUCE, MIDDLE),
        (64, 116),
        "all-\nreduce\n$\\nabla\\mathcal{L}_1 + \\nabla\\mathcal{L}_2$",
        "loss",
    )
    return figure


def _replica(axes: Axes, y: float, name: str) -> None:
    """One copy of the model, its part of the batch, and the same update."""
    frame(axes, 84, y - 42, 320, y + 36, None)
    label(axes, 202, y - 31, f"replica {name}", fontsize=SMALL)
    side = 1 if y > MIDDLE else -1
    arrow(axes, [(BATCH + 28, MIDDLE + 40 * side), (PART - 33, y)], "data")
    box(axes, (PART, y), (66, 44), f"$b_{name}$ rows", "data")
    loss = rf"\mathcal{{L}}_{name}"
    weights = "copy of $\\mathbf{\\Theta}$"
    box(axes, (LOSS, y), (66, 44), f"{weights}\nloss ${loss}$", "loss")
    box(axes, (GRADIENT, y), (38, 32), rf"$\nabla{loss}$", "loss")
    arrow(axes, [(PART + 33, y), (LOSS - 33, y)], "data")
    arrow(axes, [(LOSS + 33, y), (GRADIENT - 19, y)], "loss")
    arrow(axes, [(GRADIENT + 19, y), (REDUCE - 32, MIDDLE + 40 * side)], "loss")
    arrow(axes, [(REDUCE + 32, MIDDLE + 40 * side), (UPDATE - 40, y)], "loss")
    box(axes, (UPDATE, y), (80, 44), f"same update\nof copy {name}")


if __name__ == "__main__":
    write("distributed_step", draw())
