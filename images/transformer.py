"""Draws the Transformer, encoder and decoder side by side."""

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from _drawing import SMALL, arrow, box, canvas, frame, label, write

ALT = (
    "The Transformer as two columns, read from top to bottom. On the left the encoder, "
    "in blue: source token ids of shape (B, S) pass through PositionalEmbedding, "
    "self-attention and a feed-forward network, each of the last two followed by add "
    "and norm, and come out as encoder states of shape (B, S, E). On the right the "
    "decoder, in orange: target token ids shifted right, of shape (B, T), pass through "
    "PositionalEmbedding, causal self-attention, cross-attention that takes its keys "
    "and values from the encoder states, a feed-forward network, and a Dense layer "
    "that gives logits of shape (B, T, V). Attention layers are green."
)

ENCODER, DECODER = 126.0, 378.0  # the middle of each column
WIDTH = 132.0
FAN = 40.0  # between the arrows of query, key and value


def draw() -> Figure:
    """The whole figure."""
    figure, axes = canvas(504, 466)
    frame(axes, 8, 92, 206, 268, "source")
    frame(axes, 298, 92, 496, 356, "target")
    name = {"rotation": 90, "mono": True, "fontsize": SMALL}
    label(axes, 22, 180, "TransformerEncoder", **name)
    label(axes, 482, 224, "TransformerDecoder", **name)
    source = "source token ids\n$\\mathbf{x}_{(1..S)}$"
    target = "target token ids, shifted\nright: $\\mathbf{y}_{(0..T-1)}$"
    _embedding(axes, ENCODER, source, "S", "source")
    _embedding(axes, DECODER, target, "T", "target")
    _encoder(axes)
    _decoder(axes)
    _bridge(axes)
    _letters(axes)
    return figure


def _embedding(axes: Axes, x: float, text: str, length: str, role: str) -> None:
    """Token ids, the layer that embeds them, and the fan of query, key, value."""
    box(axes, (x, 18), (WIDTH, 30), text, role, radius=15, fontsize=SMALL)
    box(
        axes,
        (x, 62),
        (WIDTH, 24),
        "PositionalEmbedding",
        role,
        mono=True,
        fontsize=SMALL,
    )
    arrow(axes, [(x, 33), (x, 50)], role)
    _shape(axes, x, 41, f"(B, {length})")
    arrow(axes, [(x, 74), (x, 124)], role)
    _shape(axes, x, 83, f"(B, {length}, E)")
    for side in (-1, 1):
        bend = [(x, 104), (x + side * FAN, 104), (x + side * FAN, 124)]
        arrow(axes, bend, role)
    for offset, letter in zip((-FAN, 0, FAN), "QKV", strict=True):
        _letter(axes, x + offset + 8, 114, letter)


def _encoder(axes: Axes) -> None:
    x, role = ENCODER, "source"
    box(axes, (x, 138), (WIDTH, 28), "self-attention", "attention")
    _add_and_norm(axes, x, 152, 174, role, skip=(98, -1))
    box(axes, (x, 216), (WIDTH, 24), "feed-forward", role)
    arrow(axes, [(x, 185), (x, 204)], role)
    _add_and_norm(axes, x, 228, 250, role, skip=(192, -1))
    arrow(axes, [(x, 261), (x, 290)], role)
    _shape(axes, x, 277, "(B, S, E)")
    states = r"encoder states $\bar{\mathbf{h}}_{(1..S)}$"
    box(axes, (x, 302), (WIDTH, 24), states, role, radius=12)


def _decoder(axes: Axes) -> None:
    x, role = DECODER, "target"
    box(axes, (x, 138), (WIDTH, 28), "causal self-attention", "attention")
    _add_and_norm(axes, x, 152, 174, role, skip=(98, 1))
    box(axes, (x, 222), (WIDTH, 32), "cross-attention", "attention")
    arrow(axes, [(x, 185), (x, 206)], role)
    _letter(axes, x - 9, 194, "Q")
    _add_and_norm(axes, x, 238, 260, role, skip=(192, 1))
    box(axes, (x, 302), (WIDTH, 24), "feed-forward", role)
    arrow(axes, [(x, 271), (x, 290)], role)
    _add_and_norm(axes, x, 314, 336, role, skip=(278, 1))
    arrow(axes, [(x, 347), (x, 380)], role)
    _shape(axes, x, 365, "(B, T, E)")
    box(axes, (x, 392), (WIDTH, 24), "Dense(V)", role, mono=True, fontsize=SMALL)
    arrow(axes, [(x, 404), (x, 430)], role)
    _shape(axes, x, 415, "(B, T, V)")
    logits = r"logits $\hat{\mathbf{y}}_{(1..T)}$"
    box(axes, (x, 444), (WIDTH, 28), logits, role, radius=14)


def _add_and_norm(
    axes: Axes, x: float, top: float, y: float, role: str, skip: tuple[float, int]
) -> None:
    """The sum with the skipped input, normalized; ``skip`` = (its height, its side)."""
    start, side = skip
    edge = x + side * WIDTH / 2
    box(axes, (x, y), (WIDTH, 22), "add & norm", role)
    arrow(axes, [(x, top), (x, y - 11)], role)
    outside = edge + side * 14
    arrow(axes, [(x, start), (outside, start), (outside, y), (edge, y)], role)


def _bridge(axes: Axes) -> None:
    """Keys and values: the encoder states on their way to cross-attention."""
    left, right = ENCODER + WIDTH / 2, DECODER - WIDTH / 2
    for y, letter in ((214, "K"), (230, "V")):
        path = [(left, 302), (252, 302), (252, y), (right, y)]
        arrow(axes, path, "source")
        _letter(axes, 284, y - 6 if letter == "K" else y + 7, letter)
    label(axes, 227, 293, "(B, S, E)", fontsize=SMALL)


def _letters(axes: Axes) -> None:
    """What the letters of the shapes count."""
    lines = (
        ("B", "sentences in a batch"),
        ("S", "source positions"),
        ("T", "target positions"),
        ("E", "width of the model"),
        ("V", "tokens in the vocabulary"),
    )
    for row, (letter, meaning) in enumerate(lines):
        y = 392 + 15 * row
        label(axes, 40, y, letter, fontsize=SMALL)
        label(axes, 54, y, meaning, fontsize=SMALL, ha="left")


def _shape(axes: Axes, x: float, y: float, text: str) -> None:
    label(axes, x + 7, y, text, fontsize=SMALL, ha="left")


def _letter(axes: Axes, x: float, y: float, letter: str) -> None:
    label(axes, x, y + 3, rf"$\mathbf{{{letter}}}$", fontsize=SMALL, va="baseline")


if __name__ == "__main__":
    write("transformer", draw())
