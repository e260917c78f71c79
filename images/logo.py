"""Draws the logo and favicon: two blue words, two orange ones, joined by attention."""

from matplotlib.figure import Figure
from matplotlib.patches import Circle

from _drawing import canvas, curve, write
from advanced_keras.display import PALETTE

ALT = (
    "The logo of the book. Two blue dots on the left and two orange dots on the right "
    "are joined by crossing green threads, two of them thick and two of them thin."
)

SIZE, LEFT, RIGHT = 64.0, 14.0, 50.0
HEIGHTS = (17.0, 47.0)


def draw() -> Figure:
    """The whole figure."""
    figure, axes = canvas(SIZE, SIZE)
    for start, top in enumerate(HEIGHTS):
        for end, bottom in enumerate(HEIGHTS):
            width = 5.0 if start != end else 2.0
            points = [(LEFT, top), (32, top), (32, bottom), (RIGHT, bottom)]
            curve(axes, points, "attention", head=False, width=width)
    for side, role in ((LEFT, "source"), (RIGHT, "target")):
        for height in HEIGHTS:
            dot = Circle((side, height), 10, color=PALETTE[role], linewidth=0, zorder=5)
            axes.add_patch(dot)
    return figure


if __name__ == "__main__":
    write("logo", draw())
