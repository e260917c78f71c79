"""Draws the two uses of a gradient: into the weights, and into the pixels."""

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from _drawing import SMALL, arrow, box, canvas, label, write

ALT = (
    "Two rows. Above, training: images x pass through the network, whose weights are "
    "Theta, to the loss. A dashed arrow, the gradient of the loss, leads back to the "
    "weights, which move. Below, feature visualization: pixels x pass through the same "
    "network, whose weights are fixed, to feature map j and its mean, the utility U. "
    "The dashed arrow, the gradient of U, leads back past the network to the pixels, "
    "which move."
)

LEFT, MIDDLE, RIGHT = 62.0, 214.0, 366.0  # the three columns
TOP, BOTTOM = 92.0, 252.0  # the two rows
WIDE, HIGH = 92.0, 46.0


def draw() -> Figure:
    """The whole figure."""
    figure, axes = canvas(430, 300)
    _row(axes, TOP, ("images $\\mathbf{x}$", "data", False), "loss $\\mathcal{L}$")
    _row(axes, BOTTOM, ("pixels $\\mathbf{x}$", "generator", True), "utility $U$")
    _titles(axes)
    _gradients(axes)
    return figure


def _row(axes: Axes, y: float, left: tuple[str, str, bool], goal: str) -> None:
    """Input, network and goal from left to right; what moves has a firm fill."""
    text, role, moves = left
    size = WIDE, HIGH
    box(axes, (LEFT, y), size, text, role, tint=0.3 if moves else 0.1)
    network = (MIDDLE, y), (WIDE + 20, HIGH)
    tint = 0.1 if moves else 0.3
    box(axes, *network, "network\nweights $\\mathbf{\\Theta}$", "source", tint=tint)
    box(axes, (RIGHT, y), size, goal, "loss", tint=0.1)
    half = WIDE / 2
    arrow(axes, [(LEFT + half, y), (MIDDLE - half - 10, y)])
    arrow(axes, [(MIDDLE + half + 10, y), (RIGHT - half, y)])
    if moves:
        place = (MIDDLE + half + 10 + RIGHT - half) / 2
        label(axes, place, y + 34, "mean of\nmap $j$", fontsize=SMALL)


def _titles(axes: Axes) -> None:
    """What the rows are."""
    style = {"ha": "left", "fontweight": "bold"}
    label(axes, LEFT - WIDE / 2, 14, "training", **style)
    label(axes, LEFT - WIDE / 2, 174, "feature visualization", **style)
    label(axes, LEFT, TOP + 34, "given", fontsize=SMALL)
    label(axes, MIDDLE, TOP + 34, "move", fontsize=SMALL)
    label(axes, LEFT, BOTTOM + 34, "move", fontsize=SMALL)
    label(axes, MIDDLE, BOTTOM + 34, "given", fontsize=SMALL)


def _gradients(axes: Axes) -> None:
    """Dashed: from the loss to the weights, from the utility to the pixels."""
    high = TOP - 44
    back = [(RIGHT, TOP - HIGH / 2), (RIGHT, high), (MIDDLE, high)]
    arrow(axes, [*back, (MIDDLE, TOP - HIGH / 2)], "loss", dashed=True)
    text = r"$\partial \mathcal{L} \,/\, \partial \mathbf{\Theta}$"
    label(axes, (MIDDLE + RIGHT) / 2, high - 12, text)
    high = BOTTOM - 44
    back = [(RIGHT, BOTTOM - HIGH / 2), (RIGHT, high), (LEFT, high)]
    arrow(axes, [*back, (LEFT, BOTTOM - HIGH / 2)], "loss", dashed=True)
    text = r"$\partial U \,/\, \partial \mathbf{x}$"
    label(axes, (MIDDLE + RIGHT) / 2, high - 12, text)


if __name__ == "__main__":
    write("feature_visualization", draw())
