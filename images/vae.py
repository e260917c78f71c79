"""Draws a VAE: two networks, noise between them, and the way of the gradient back."""

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from _drawing import SMALL, arrow, box, canvas, frame, label, write

ALT = (
    "A flow from left to right. The images x enter the encoder, which gives a pair: "
    "the mean mu and log sigma squared. Noise epsilon, drawn from N(0, 1), comes in "
    "from above, and z = mu + sigma epsilon is computed. The decoder turns z into "
    "logits. Below stand two losses: KL takes the pair, reconstruction takes the "
    "logits and the images. Dashed arrows in the colour of gradients lead from the "
    "reconstruction through the logits, the decoder and z to the pair, from KL to the "
    "pair, and from the pair to the encoder. None leads to the noise."
)

ROW = 96.0  # of the networks
FORTH, BACK = ROW - 9, ROW + 9  # arrows of the forward pass, of the gradient
IMAGES, ENCODER, PAIR, DRAW, DECODER, LOGITS = 28.0, 108.0, 200.0, 300.0, 398.0, 475.0
LOSSES, FLOOR = 190.0, 226.0


def draw() -> Figure:
    """The whole figure."""
    figure, axes = canvas(504, 262)
    _boxes(axes)
    _forward(axes)
    _gradient(axes)
    _legend(axes)
    return figure


def _boxes(axes: Axes) -> None:
    """Networks, the pair between them, the noise, the losses."""
    box(axes, (IMAGES, ROW), (48, 40), "$x$\nimages", "data", fontsize=SMALL)
    box(axes, (ENCODER, ROW), (70, 60), "encoder", "source")
    frame(axes, PAIR - 34, ROW - 46, PAIR + 34, ROW + 46, "source")
    box(axes, (PAIR, ROW - 22), (56, 32), r"$\mu$", "source")
    box(axes, (PAIR, ROW + 22), (56, 32), r"$\log \sigma^2$", "source")
    box(axes, (DRAW, ROW), (92, 44), r"$z = \mu + \sigma\,\varepsilon$")
    noise = r"noise $\varepsilon \sim N(0, 1)$"
    box(axes, (DRAW, 24), (112, 28), noise, "data", dashed=True, fontsize=SMALL)
    box(axes, (DECODER, ROW), (70, 60), "decoder", "target")
    box(axes, (LOGITS, ROW), (48, 40), "$a$\nlogits", "target", fontsize=SMALL)
    box(axes, (PAIR, LOSSES), (56, 32), "KL", "loss")
    box(axes, (LOGITS - 42, LOSSES), (112, 32), "reconstruction", "loss")


def _forward(axes: Axes) -> None:
    """Solid arrows: what is computed from what."""
    arrow(axes, [(IMAGES + 24, ROW), (ENCODER - 35, ROW)])
    for start, end in [
        (ENCODER + 35, PAIR - 34),
        (PAIR + 34, DRAW - 46),
        (DRAW + 46, DECODER - 35),
        (DECODER + 35, LOGITS - 24),
    ]:
        arrow(axes, [(start, FORTH), (end, FORTH)])
    arrow(axes, [(DRAW, 38), (DRAW, ROW - 22)], "data")
    arrow(axes, [(PAIR - 9, ROW + 46), (PAIR - 9, LOSSES - 16)])
    arrow(axes, [(LOGITS - 9, ROW + 20), (LOGITS - 9, LOSSES - 16)])
    end = LOGITS - 42
    path = [(IMAGES, ROW + 20), (IMAGES, FLOOR), (end, FLOOR), (end, LOSSES + 16)]
    arrow(axes, path, "data")


def _gradient(axes: Axes) -> None:
    """Dashed arrows: the way back, from the losses to the weights."""
    for start, end in [
        (LOGITS - 24, DECODER + 35),
        (DECODER - 35, DRAW + 46),
        (DRAW - 46, PAIR + 34),
        (PAIR - 34, ENCODER + 35),
    ]:
        arrow(axes, [(start, BACK), (end, BACK)], "loss", dashed=True)
    for x, start, end in [(PAIR + 9, LOSSES - 16, 46), (LOGITS + 9, LOSSES - 16, 20)]:
        arrow(axes, [(x, start), (x, ROW + end)], "loss", dashed=True)


def _legend(axes: Axes) -> None:
    """What the two kinds of arrows mean."""
    y = 248
    arrow(axes, [(96, y), (126, y)])
    label(axes, 132, y, "forward", ha="left", fontsize=SMALL)
    arrow(axes, [(214, y), (244, y)], "loss", dashed=True)
    words = "gradient: none reaches the noise"
    label(axes, 250, y, words, ha="left", fontsize=SMALL)


if __name__ == "__main__":
    write("vae", draw())
