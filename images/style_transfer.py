"""Draws style transfer: three images, one extractor, losses, the gradient to pixels."""

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from _drawing import SMALL, arrow, box, canvas, frame, label, write

ALT = (
    "Three rows from left to right. Style image, extractor, Gram matrices A; content "
    "image, extractor, features P. These two rows are in a frame marked: once, before "
    "the loop. Below, in a frame marked: in each step, the image x goes through the "
    "same extractor and gives features F and Gram matrices G. G and A enter the style "
    "loss, F and P the content loss. A dashed arrow in the colour of gradients leads "
    "from the losses back to the pixels of x."
)

STYLE, CONTENT, PIXELS = 50.0, 106.0, 206.0  # rows
IMAGE, EXTRACTOR, FEATURES, GRAMS, LOSS = 48.0, 148.0, 242.0, 318.0, 432.0


def draw() -> Figure:
    """The whole figure."""
    figure, axes = canvas(492, 286)
    _frames(axes)
    _fixed(axes)
    _trained(axes)
    _losses(axes)
    return figure


def _frames(axes: Axes) -> None:
    frame(axes, 8, 22, 356, 134, "data")
    frame(axes, 8, 170, 356, 242, "source")
    label(axes, 16, 12, "once, before the loop", ha="left", fontsize=SMALL)
    label(axes, 16, 160, "in each step", ha="left", fontsize=SMALL)


def _row(axes: Axes, y: float, words: str, features: str, role: str) -> None:
    """One image through the extractor."""
    box(axes, (IMAGE, y), (64, 38), words, role, fontsize=SMALL)
    box(axes, (EXTRACTOR, y), (76, 38), "extractor,\nfrozen", "source", fontsize=SMALL)
    box(axes, (FEATURES, y), (56, 38), features, "source", fontsize=SMALL)
    arrow(axes, [(IMAGE + 32, y), (EXTRACTOR - 38, y)])
    arrow(axes, [(EXTRACTOR + 38, y), (FEATURES - 28, y)])


def _gram(axes: Axes, y: float, name: str) -> None:
    box(axes, (GRAMS, y), (48, 38), f"Gram\n${name}$", "source", fontsize=SMALL)
    arrow(axes, [(FEATURES + 28, y), (GRAMS - 24, y)])


def _fixed(axes: Axes) -> None:
    """The rows of style and content."""
    _row(axes, STYLE, "style\nimage", "features", "data")
    _gram(axes, STYLE, "A")
    _row(axes, CONTENT, "content\nimage", "features\n$P$", "data")


def _trained(axes: Axes) -> None:
    """The row of the image that is trained."""
    _row(axes, PIXELS, "pixels\n$x$", "features\n$F$", "target")
    _gram(axes, PIXELS, "G")


def _losses(axes: Axes) -> None:
    """Two losses, what enters them, and the way back."""
    box(axes, (LOSS, STYLE), (76, 38), "style loss", "loss", fontsize=SMALL)
    box(axes, (LOSS, CONTENT), (76, 38), "content loss", "loss", fontsize=SMALL)
    arrow(axes, [(GRAMS + 24, STYLE), (LOSS - 38, STYLE)])
    arrow(axes, [(FEATURES + 28, CONTENT), (LOSS - 38, CONTENT)])
    arrow(
        axes,
        [
            (GRAMS + 24, PIXELS),
            (376, PIXELS),
            (376, STYLE + 11),
            (LOSS - 38, STYLE + 11),
        ],
    )
    arrow(
        axes,
        [
            (FEATURES, PIXELS - 19),
            (FEATURES, 148),
            (366, 148),
            (366, CONTENT + 11),
            (LOSS - 38, CONTENT + 11),
        ],
    )
    arrow(
        axes,
        [
            (LOSS + 20, CONTENT + 19),
            (LOSS + 20, 262),
            (IMAGE, 262),
            (IMAGE, PIXELS + 19),
        ],
        "loss",
        dashed=True,
    )
    arrow(
        axes,
        [(LOSS + 38, STYLE), (484, STYLE), (484, 262), (LOSS + 18, 262)],
        "loss",
        dashed=True,
        head=False,
    )
    label(axes, 250, 274, "gradient for the pixels", fontsize=SMALL)


if __name__ == "__main__":
    write("style_transfer", draw())
