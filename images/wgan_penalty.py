"""Draws where the gradient penalty is taken, and the two tapes, one in the other."""

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from _drawing import SMALL, arrow, box, canvas, colour, frame, label, write

ALT = (
    "Left: a cloud of real examples in grey and one of generated examples in purple. A "
    "real example x and a generated one are joined by a straight line. On it lies a "
    "point, at the share alpha of the way, where the gradient of the critic is drawn "
    "as a red arrow; its length shall be one. Right: two nested frames. The outer tape "
    "watches the weights of the critic. Inside it the inner tape watches the point and "
    "gives the gradient of f with respect to the point. Out of its frame comes the "
    "penalty, lambda times the square of the length minus one. It is added to the "
    "score of the generated example minus that of the real one: that is the loss. The "
    "outer tape gives the gradient of the loss with respect to the weights."
)

REAL = [(40, 166), (58, 190), (30, 196), (72, 158), (50, 214), (84, 184)]
MADE = [(148, 66), (170, 90), (136, 96), (184, 58), (160, 44), (192, 106)]
X, G = (72.0, 158.0), (136.0, 96.0)
MIDDLE = (102.0, 128.9)


def draw() -> Figure:
    """The whole figure."""
    figure, axes = canvas(504, 262)
    _segment(axes)
    _tapes(axes)
    return figure


def _segment(axes: Axes) -> None:
    """Two clouds, a pair of examples, and the gradient at a point between."""
    for points, role in ((REAL, "data"), (MADE, "generator")):
        for x, y in points:
            axes.plot(x, y, "o", color=colour(role), markersize=6, clip_on=False)
    arrow(axes, [X, G], head=False, dashed=True, width=0.9)
    label(axes, 56, 236, r"real $\mathbf{x}$", fontsize=SMALL)
    label(axes, 166, 22, r"generated $G(\mathbf{z})$", fontsize=SMALL)
    axes.plot(*MIDDLE, "o", color=colour("critic"), markersize=7, clip_on=False)
    arrow(axes, [MIDDLE, (MIDDLE[0] - 27, MIDDLE[1] - 20)], "loss", width=1.8)
    label(axes, 48, 98, r"$\nabla f(\bar{\mathbf{x}})$", fontsize=SMALL)
    label(axes, 112, 140, r"$\bar{\mathbf{x}}$", fontsize=SMALL)
    words = r"$\bar{\mathbf{x}} = \mathbf{x} + \alpha\,(G(\mathbf{z}) - \mathbf{x})$"
    label(axes, 164, 166, words, fontsize=SMALL)
    label(axes, 164, 182, r"$\alpha \sim U(0, 1)$", fontsize=SMALL)


def _tapes(axes: Axes) -> None:
    """The frame of the inner tape inside that of the outer one."""
    frame(axes, 244, 8, 500, 206, "loss")
    label(axes, 372, 21, r"outer tape: watches $\Theta_f$", fontsize=SMALL)
    frame(axes, 254, 34, 392, 128, "critic")
    label(axes, 323, 47, r"inner tape: watches $\bar{\mathbf{x}}$", fontsize=SMALL)
    box(axes, (323, 72), (112, 22), r"$f(\bar{\mathbf{x}})$", "critic")
    box(
        axes,
        (323, 108),
        (112, 24),
        r"$\mathbf{g} = \nabla f(\bar{\mathbf{x}})$",
        "loss",
    )
    arrow(axes, [(323, 83), (323, 96)], "critic")
    gap = "minus the gap\n$f(G(\\mathbf{z}))$\n$-\\,f(\\mathbf{x})$"
    box(axes, (448, 84), (90, 60), gap, "critic", fontsize=SMALL)
    penalty = r"$\lambda\,(\|\mathbf{g}\| - 1)^2$"
    box(axes, (323, 152), (112, 26), penalty, "loss")
    arrow(axes, [(323, 120), (323, 139)], "loss")
    box(axes, (372, 190), (112, 22), "loss of the critic", "loss", fontsize=SMALL)
    arrow(axes, [(323, 165), (323, 172), (352, 172), (352, 179)], "loss")
    arrow(axes, [(448, 114), (448, 172), (392, 172), (392, 179)], "critic")
    words = r"$\partial\,$loss$\,/\,\partial\,\Theta_f$: a derivative of a derivative"
    box(axes, (372, 240), (244, 24), words, "loss", fontsize=SMALL)
    arrow(axes, [(372, 201), (372, 228)], "loss")


if __name__ == "__main__":
    write("wgan_penalty", draw())
