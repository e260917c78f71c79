"""Draws style transfer: three images, one extractor, losses, the gradient to pixels."""

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from _drawing import SMALL, arrow, box, canvas, frame, label, write

ALT = (
    "Three columns from top to bottom, narrow enough for a phone. Left, in a frame "
    "marked: once. Style image, extractor, features, Gram matrices A. Right, in a "
    "frame marked: once. Content image, extractor, features P. In the middle, in a "
    "frame marked: in each step. The pixels x go through the same extractor and give "
    "features F and Gram matrices G. Below, G and A enter the style loss, F and P the "
    "content loss. A dashed arrow in the colour of gradients leads from the losses "
    "back to the pixels."
)

STYLE, PIXELS, CONTENT = 42.0, 117.0, 192.0  # columns
IMAGE, EXTRACTOR, FEATURES, GRAMS, LOSS = 54.0, 108.0, 162.0, 216.0, 284.0  # rows
WIDE, HIGH = 60.0, 34.0  # of a box
HALF = HIGH / 2


def draw() -> Figure:
    """The whole figure."""
    figure, axes = canvas(228, 322)
    _columns(axes)
    _losses(axes)
    _gradient(axes)
    return figure


def _columns(axes: Axes) -> None:
    """The two fixed images, and between them the one that is trained."""
    _column(axes, STYLE, "once", ("style\nimage", "features", "Gram\n$A$"), "data")
    words = ("pixels\n$x$", "features\n$F$", "Gram\n$G$")
    _column(axes, PIXELS, "in each step", words, "target")
    _column(axes, CONTENT, "once", ("content\nimage", "features\n$P$"), "data")


def _column(axes: Axes, x: float, when: str, words: tuple[str, ...], role: str) -> None:
    """One image through the extractor."""
    fixed = role == "data"
    frame(axes, x - 34, 30, x + 34, 240, "data" if fixed else "source")
    label(axes, x - 30, 21, when, ha="left", fontsize=SMALL)
    rows = (IMAGE, EXTRACTOR, FEATURES, GRAMS)
    texts = (words[0], "extractor,\nfrozen", *words[1:])
    for i, (y, text) in enumerate(zip(rows, texts, strict=False)):
        colour = "source" if i else role
        box(axes, (x, y), (WIDE, HIGH), text, colour, fontsize=SMALL)
        if i:
            arrow(axes, [(x, rows[i - 1] + HALF), (x, y - HALF)])


def _losses(axes: Axes) -> None:
    """Two losses, and what enters them."""
    for x, words in ((STYLE, "style\nloss"), (CONTENT, "content\nloss")):
        box(axes, (x, LOSS), (WIDE, HIGH), words, "loss", fontsize=SMALL)
    arrow(axes, [(STYLE, GRAMS + HALF), (STYLE, LOSS - HALF)])
    arrow(axes, [(CONTENT, FEATURES + HALF), (CONTENT, LOSS - HALF)])
    arrow(
        axes,
        [
            (PIXELS, GRAMS + HALF),
            (PIXELS, 252),
            (STYLE + 14, 252),
            (STYLE + 14, LOSS - HALF),
        ],
    )
    arrow(
        axes,
        [
            (PIXELS + WIDE / 2, FEATURES),
            ((PIXELS + CONTENT) / 2, FEATURES),
            ((PIXELS + CONTENT) / 2, 252),
            (CONTENT - 14, 252),
            (CONTENT - 14, LOSS - HALF),
        ],
    )


def _gradient(axes: Axes) -> None:
    """The way back: out of both losses, around at the left, and down into x."""
    way = [(STYLE, LOSS + HALF), (STYLE, 310), (4, 310), (4, 8), (PIXELS + 22, 8)]
    tip = (PIXELS + 22, IMAGE - HALF)
    arrow(axes, [*way, tip], "loss", dashed=True)
    arrow(
        axes,
        [(CONTENT, LOSS + HALF), (CONTENT, 310), (STYLE, 310)],
        "loss",
        dashed=True,
        head=False,
    )
    label(axes, PIXELS, 300, "gradient", fontsize=SMALL)


if __name__ == "__main__":
    write("style_transfer", draw())
