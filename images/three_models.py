"""Draws the three models: encoder, decoder, and the Transformer that calls both."""

import itertools

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from _drawing import SMALL, arrow, box, canvas, frame, label, write

ALT = (
    "Three models. Above, the Transformer: the tensor encoder_inputs goes through the "
    "encoder's layers, and their result encoder_outputs goes, together with "
    "decoder_inputs, into a call of the model decoder, which returns decoder_outputs. "
    "Below, what the two models are made of. Encoder: PositionalEmbedding, "
    "TransformerEncoder. Decoder: PositionalEmbedding, TransformerDecoder, Dropout, "
    "Dense. A dashed arrow binds the actual argument encoder_outputs of the call to "
    "the decoder's formal argument encoded_seq_inputs, the second input of "
    "TransformerDecoder."
)

LAYER = (126.0, 24.0)
TENSOR = (104.0, 20.0)
ENCODER, FIRST, SECOND = 96.0, 282.0, 430.0  # columns of the two models' layers
CALL = 92.0  # the row of the two calls in the Transformer
ROWS = (220.0, 264.0, 308.0, 352.0, 396.0, 440.0)  # of the two models' layers


def draw() -> Figure:
    """The whole figure."""
    figure, axes = canvas(504, 464)
    _transformer(axes)
    _encoder(axes)
    _decoder(axes)
    _binding(axes)
    _legend(axes)
    return figure


def _tensor(axes: Axes, x: float, y: float, name: str, role: str | None) -> None:
    """A tensor under its name: a pill."""
    box(axes, (x, y), TENSOR, name, role, radius=10, mono=True, fontsize=SMALL, tint=0)


def _layer(
    axes: Axes, x: float, y: float, name: str, role: str | None, size=LAYER
) -> None:
    """A layer, or a model that is called like one."""
    box(axes, (x, y), size, name, role, mono=True, fontsize=SMALL)


def _model(axes: Axes, sides: tuple, name: str, role: str | None) -> None:
    """The frame around a model: ``sides`` are its left, top, right and bottom."""
    frame(axes, *sides, role)
    x, y = sides[0] + 12, sides[1] + 14
    label(axes, x, y, name, mono=True, ha="left", fontweight="bold")


def _transformer(axes: Axes) -> None:
    """The full model: the encoder's own layers, and a call of the decoder."""
    _model(axes, (4, 4, 500, 118), "transformer", None)
    for x, name, role in ((69, "encoder", "source"), (313, "decoder", "target")):
        _tensor(axes, x, 46, f"{name}_inputs", role)
        _tensor(axes, x + 122, CALL, f"{name}_outputs", role)
        arrow(axes, [(x, 56), (x, CALL - 14)], role)
        arrow(axes, [(x + 42, CALL), (x + 70, CALL)], role)
    arrow(axes, [(243, CALL), (271, CALL)], "source")
    # The full model is built on the encoder's tensors: no call of the encoder.
    style = {"dashed": True, "fontsize": SMALL}
    box(axes, (69, CALL), (84, 28), "encoder's layers", "source", **style)
    _layer(axes, 313, CALL, "decoder", "target", (84, 28))


def _encoder(axes: Axes) -> None:
    _model(axes, (4, 176, 188, 376), "encoder", "source")
    layers = ("PositionalEmbedding", "TransformerEncoder")
    _column(axes, ENCODER, "encoder", layers, ("embedded_source",), "source")


def _decoder(axes: Axes) -> None:
    """The decoder has two inputs; the second enters in the middle."""
    _model(axes, (204, 176, 500, 460), "decoder", "target")
    layers = ("PositionalEmbedding", "TransformerDecoder", "Dropout", "Dense")
    between = ("embedded_target", "decoder_states", "thinned_states")
    _column(axes, FIRST, "decoder", layers, between, "target")
    _tensor(axes, SECOND, ROWS[0], "encoded_seq_inputs", "source")
    edge = FIRST + LAYER[0] / 2
    path = [(SECOND, ROWS[0] + 10), (SECOND, ROWS[2]), (edge, ROWS[2])]
    arrow(axes, path, "source")


def _column(
    axes: Axes, x: float, model: str, layers: tuple, between: tuple, role: str
) -> None:
    """A model from input to output; ``between`` names the tensors between layers."""
    rows = ROWS[: len(layers) + 2]
    for above, below in itertools.pairwise(rows):
        start = above + (TENSOR if above == rows[0] else LAYER)[1] / 2
        end = below - (TENSOR if below == rows[-1] else LAYER)[1] / 2
        arrow(axes, [(x, start), (x, end)], role)
    _tensor(axes, x, rows[0], f"{model}_inputs", role)
    _tensor(axes, x, rows[-1], f"{model}_outputs", role)
    for y, layer in zip(rows[1:-1], layers, strict=True):
        _layer(axes, x, y, layer, role)
    for y, name in zip(rows[1:-2], between, strict=True):
        middle = y + (rows[1] - rows[0]) / 2
        label(axes, x + 8, middle, name, ha="left", mono=True, fontsize=SMALL)


def _binding(axes: Axes) -> None:
    """From the actual argument of the call to the formal one of the model."""
    x, y = 191, 147
    path = [(x, CALL + 10), (x, y), (SECOND, y), (SECOND, ROWS[0] - 10)]
    arrow(axes, path, dashed=True)
    text = "the actual argument is bound to the formal argument"
    label(axes, (x + SECOND) / 2, y - 10, text, fontsize=SMALL)


def _legend(axes: Axes) -> None:
    """What the shapes mean."""
    for y, text, shape in (
        (400, "a tensor, by its name", {"radius": 7, "tint": 0}),
        (424, "a call of a layer or a model", {"radius": 4}),
        (448, "layers, with no call around them", {"radius": 4, "dashed": True}),
    ):
        box(axes, (21, y), (30, 14), **shape)
        label(axes, 44, y, text, ha="left", fontsize=SMALL)


if __name__ == "__main__":
    write("three_models", draw())
