"""Draws one Transformer layer over time: encoder states and decoder outputs."""

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from _drawing import SMALL, arrow, box, canvas, curve, label, write

ALT = (
    "One Transformer layer at decoding step t. On the left the encoder, in blue, turns "
    "all source positions x_1 to x_S at once into the encoder states h-bar_1 to "
    "h-bar_S. On the right the decoder, in orange: its self-attention reads the start "
    "token and the outputs y_1 to y_(t-1), which are allowed because t' < t, and none "
    "of y_t to y_(T-1), which are masked because t' >= t. Its cross-attention, in "
    "green, reads every encoder state. It emits y_t, and an arrow takes y_t back to "
    "the inputs, where step t + 1 will read it."
)

TOP, MIDDLE, STATES, LOWER, BOTTOM = 56.0, 124.0, 190.0, 230.0, 312.0
SOURCE = [(24.0 + 38 * i) for i in range(5)]  # the middle of each source position
TARGET = [(254.0 + 38 * i) for i in range(7)]  # and of each decoder input
STEP = 292.0  # the middle of the decoder's boxes
CELL = (32.0, 26.0)
SOURCE_NAMES = ("1", "2", "3", "", "S")
TARGET_NAMES = ("0", "1", "", "t-1", "t", "", "T-1")
ALLOWED = 4  # how many of the decoder's inputs step t may read


def draw() -> Figure:
    """The whole figure."""
    figure, axes = canvas(504, 334)
    _encoder(axes)
    _inputs(axes)
    _decoder(axes)
    _cross_attention(axes)
    _feedback(axes)
    return figure


def _cell(axes: Axes, x: float, y: float, text: str, role: str, **options) -> None:
    """One position of a sequence; an empty text stands for those in between."""
    if text:
        box(axes, (x, y), CELL, f"${text}$", role, **options)
    else:
        label(axes, x, y, "$\\cdots$")


def _encoder(axes: Axes) -> None:
    middle, width = (SOURCE[0] + SOURCE[-1]) / 2, SOURCE[-1] - SOURCE[0] + CELL[0]
    label(axes, middle, 23, "source, all positions at once", va="baseline")
    box(
        axes,
        (middle, MIDDLE),
        (width, 30),
        "encoder: self-attention, no mask",
        "source",
    )
    for x, name in zip(SOURCE, SOURCE_NAMES, strict=True):
        token = rf"\mathbf{{x}}_{{{name}}}" if name else ""
        state = rf"\bar{{\mathbf{{h}}}}_{{{name}}}" if name else ""
        _cell(axes, x, TOP, token, "source")
        _cell(axes, x, STATES, state, "source", radius=13)
        if name:
            arrow(axes, [(x, TOP + 13), (x, MIDDLE - 15)], "source")
            arrow(axes, [(x, MIDDLE + 15), (x, STATES - 13)], "source")


def _inputs(axes: Axes) -> None:
    """The decoder's inputs: a prefix that step t may read, and the masked rest."""
    for place, (x, name) in enumerate(zip(TARGET, TARGET_NAMES, strict=True)):
        masked = place >= ALLOWED
        token = rf"\mathbf{{y}}_{{{name}}}" if name else ""
        role = "data" if masked else "target"
        _cell(axes, x, TOP, token, role, dashed=masked, tint=0 if masked else 0.16)
    for first, last, text, role in (
        (0, ALLOWED - 1, "allowed: $t' < t$ ($\\mathbf{y}_0$ is [start])", "attention"),
        (ALLOWED, len(TARGET) - 1, "masked: $t' \\geq t$", "data"),
    ):
        left, right = TARGET[first] - 16, TARGET[last] + 16
        arrow(
            axes, [(left, 38), (left, 32), (right, 32), (right, 38)], role, head=False
        )
        label(axes, (left + right) / 2, 23, text, va="baseline")


def _decoder(axes: Axes) -> None:
    box(axes, (STEP, MIDDLE), (130, 30), "causal self-attention", "attention")
    box(axes, (STEP, LOWER), (130, 30), "cross-attention", "attention")
    text = "feed-forward, Dense"
    box(axes, (STEP, LOWER + 42), (130, 24), text, "target")
    _cell(axes, STEP, BOTTOM, r"\mathbf{y}_{t}", "target")
    for place in range(ALLOWED):
        if not TARGET_NAMES[place]:
            continue
        x, end = TARGET[place], STEP + 0.5 * (TARGET[place] - STEP)
        points = [(x, TOP + 13), (x, TOP + 34), (end, TOP + 32), (end, MIDDLE - 15)]
        curve(axes, points, "attention")
    arrow(axes, [(STEP, MIDDLE + 15), (STEP, LOWER - 15)], "target")
    arrow(axes, [(STEP, LOWER + 15), (STEP, LOWER + 30)], "target")
    arrow(axes, [(STEP, LOWER + 54), (STEP, BOTTOM - 13)], "target")
    label(axes, STEP + 8, 165, "decoder, step $t$", ha="left")


def _cross_attention(axes: Axes) -> None:
    """Every encoder state is read, at every step."""
    edge = STEP - 65
    shown = [x for x, name in zip(SOURCE, SOURCE_NAMES, strict=True) if name]
    for place, x in enumerate(shown):
        y = LOWER + 9 - 6 * place
        points = [(x, STATES + 13), (x, y + 2), (x + 34, y), (edge, y)]
        curve(axes, points, "attention")
    middle = (SOURCE[0] + SOURCE[-1]) / 2
    label(axes, middle, 266, "every state is read at every step")


def _feedback(axes: Axes) -> None:
    """The output of step t becomes an input of step t + 1."""
    x = TARGET[ALLOWED]
    path = [(STEP + 16, BOTTOM), (x, BOTTOM), (x, TOP + 13)]
    arrow(axes, path, "target", dashed=True)
    text = "appended:\nan input\nof step $t+1$"
    label(axes, x + 10, 200, text, ha="left", fontsize=SMALL)


if __name__ == "__main__":
    write("transformer_layer", draw())
