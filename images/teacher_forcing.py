"""Draws teacher forcing: two shifted views of one sentence, training and inference."""

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from _drawing import SMALL, TINT, arrow, box, canvas, colour, frame, label, write

ALT = (
    "Top: the row y = [start] el gato duerme [end] between its two shifted views. "
    "Above it decoder_inputs = y[:, :-1] drops [end]; below it targets = y[:, 1:] "
    "drops [start], so that at each position the target is the word after the input. "
    "Bottom left, training: all inputs come from the data, the decoder gives all its "
    "outputs at once, and the loss compares them with the targets. Bottom right, "
    "inference: only [start] is given, and each output is fed back as the next input."
)

WORDS = ("[start]", "el", "gato", "duerme", "[end]")
LEFT, PITCH = 202.0, 62.0  # the first column above, and the distance of columns
WIDE, NARROW = (54.0, 22.0), (46.0, 22.0)
ROWS = (24.0, 68.0, 112.0)  # inputs, sentence, targets
INPUTS, NET, OUTPUTS, GOALS = 206.0, 252.0, 298.0, 344.0  # rows of both panels
STEP = 56.0  # distance of the columns of both panels


def draw() -> Figure:
    """The whole figure."""
    figure, axes = canvas(504, 366)
    _views(axes)
    _training(axes, 36)
    _inference(axes, 300)
    return figure


def _word(
    axes: Axes, x: float, y: float, text: str, role: str, size=WIDE, **options
) -> None:
    """One word; all words of a row stand on one line, with or without descenders."""
    style = {"mono": True, "fontsize": SMALL, "va": "center_baseline"}
    box(axes, (x, y), size, text, role, **style, **options)


def _views(axes: Axes) -> None:
    """The sentence, and above and below it the same sentence without one end."""
    last = len(WORDS) - 1
    for place in range(last):
        x = LEFT + PITCH * place
        band = frame(axes, x - 30, ROWS[0] - 15, x + 30, ROWS[2] + 15, "data")
        band.set(edgecolor="none", facecolor=(colour("data"), TINT / 2))
        label(axes, x, ROWS[2] + 25, f"$t={place + 1}$", fontsize=SMALL)
    for place, word in enumerate(WORDS):
        x = LEFT + PITCH * place
        _word(axes, x, ROWS[1], word, "data")
        if place < last:
            _word(axes, x, ROWS[0], word, "target")
            arrow(axes, [(x, ROWS[1] - 11), (x, ROWS[0] + 11)], "data")
        if place:
            _word(axes, x - PITCH, ROWS[2], word, "target")
            path = [(x - 14, ROWS[1] + 11), (x - PITCH + 14, ROWS[2] - 11)]
            arrow(axes, path, "data")
    names = ("decoder_inputs = y[:, :-1]", "y", "targets = y[:, 1:]")
    for y, name in zip(ROWS, names, strict=True):
        label(axes, LEFT - 38, y, name, ha="right", mono=True, fontsize=SMALL)


def _training(axes: Axes, left: float) -> None:
    """All positions at once, whatever the decoder says."""
    middle = left + 1.5 * STEP
    label(axes, middle, INPUTS - 31, "training: inputs from the data")
    box(
        axes,
        (middle, NET),
        (3 * STEP + 46, 26),
        "decoder, all positions at once",
        "target",
    )
    for place in range(4):
        x = left + STEP * place
        _word(axes, x, INPUTS, WORDS[place], "data", NARROW)
        arrow(axes, [(x, INPUTS + 11), (x, NET - 13)], "data")
        box(axes, (x, OUTPUTS), NARROW, rf"$\hat{{y}}_{place + 1}$", "target")
        arrow(axes, [(x, NET + 13), (x, OUTPUTS - 11)], "target")
        _word(axes, x, GOALS, WORDS[place + 1], "data", NARROW)
        arrow(axes, [(x, OUTPUTS + 11), (x, GOALS - 11)], "loss", head=False)
    label(axes, middle, (OUTPUTS + GOALS) / 2, "loss", fontsize=SMALL)


def _inference(axes: Axes, left: float) -> None:
    """One position after the other, each output the next input."""
    label(axes, left + 1.5 * STEP, INPUTS - 31, "inference: outputs fed back")
    for place in range(4):
        x = left + STEP * place
        role = "target" if place else "data"
        _word(axes, x, INPUTS, WORDS[place], role, NARROW)
        arrow(axes, [(x, INPUTS + 11), (x, NET - 13)], role)
        box(axes, (x, NET), (44, 26), "decoder", "target", fontsize=SMALL)
        arrow(axes, [(x, NET + 13), (x, OUTPUTS - 11)], "target")
        _word(axes, x, OUTPUTS, WORDS[place + 1], "target", NARROW)
        if place < 3:
            bend = x + STEP / 2
            path = [(x, OUTPUTS + 11), (x, OUTPUTS + 22), (bend, OUTPUTS + 22)]
            path += [(bend, INPUTS - 19), (x + STEP, INPUTS - 19)]
            arrow(
                axes, [*path, (x + STEP, INPUTS - 11)], "target", dashed=True, radius=4
            )


if __name__ == "__main__":
    write("teacher_forcing", draw())
