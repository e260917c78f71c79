"""Draws flatten, multiply, unflatten: what a dense layer does to leading axes."""

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from _drawing import SMALL, TINT, arrow, box, canvas, curve, label, write

ALT = (
    "Left: an input of shape (2, 3, 4), drawn as two sheets of three rows with four "
    "numbers each. Middle: flatten stacks the six rows into a matrix of six rows, "
    "numbered 0 to 5; multiply takes it times the one kernel W of shape (4, 2) and "
    "gives a matrix of six rows with two numbers each. Right: unflatten puts the rows "
    "back into two sheets of three rows. The row with index (1, 0) is blue on its way "
    "in: it is row 3 of the matrix. Only this row and W make the orange row (1, 0) of "
    "the output."
)

CELL = 15.0  # side of one number
SHEETS, ROWS, FEATURES, UNITS = 2, 3, 4, 2
MARKED = (1, 0)  # the row that is followed
MIDDLE = 118.0  # the line on which everything is centred
TITLE, SHAPE = 17.0, 204.0
LEFT, FLAT, KERNEL, PRODUCT, RIGHT = 62.0, 184.0, 278.0, 340.0, 442.0  # middles
APART = 26.0  # between two sheets


def draw() -> Figure:
    """The whole figure."""
    figure, axes = canvas(504, 220)
    _sheets(axes, LEFT, FEATURES, "source", "x")
    _matrix(axes, FLAT, FEATURES, "source", numbers=True)
    _kernel(axes)
    _matrix(axes, PRODUCT, UNITS, "target")
    _sheets(axes, RIGHT, UNITS, "target", "y")
    _signs(axes)
    _follow(axes)
    return figure


def _row(axes: Axes, x: float, y: float, cells: int, role: str, marked: bool) -> None:
    """One row of numbers, centred at (x, y)."""
    for cell in range(cells):
        centre = (x + CELL * (cell - (cells - 1) / 2), y)
        tint = 3 * TINT if marked else TINT
        box(axes, centre, (CELL, CELL), role=role, tint=tint, radius=1)


def _height(number: int) -> float:
    """The middle of row ``number`` of a flat matrix."""
    return MIDDLE + CELL * (number - (SHEETS * ROWS - 1) / 2)


def _sheet_height(sheet: int, row: int) -> float:
    """The middle of row ``row`` of a sheet."""
    return _height(ROWS * sheet + row) + APART * (sheet - (SHEETS - 1) / 2)


def _sheets(axes: Axes, x: float, cells: int, role: str, name: str) -> None:
    """A tensor with two leading axes."""
    for sheet in range(SHEETS):
        for row in range(ROWS):
            marked = (sheet, row) == MARKED
            shade = role if marked else "data"
            _row(axes, x, _sheet_height(sheet, row), cells, shade, marked)
        top = _sheet_height(sheet, 0) - CELL / 2 - 8
        label(axes, x, top, f"$i_1 = {sheet}$", fontsize=SMALL)
    label(axes, x, SHAPE, rf"$\mathbf{{{name}}}$: (2, 3, {cells})")


def _matrix(axes: Axes, x: float, cells: int, role: str, numbers=False) -> None:
    """The rows of both sheets, one under the other."""
    for number in range(SHEETS * ROWS):
        marked = number == ROWS * MARKED[0] + MARKED[1]
        _row(axes, x, _height(number), cells, role if marked else "data", marked)
        if numbers:
            aside = x + CELL * cells / 2 + 9
            label(axes, aside, _height(number), str(number), fontsize=SMALL)
    label(axes, x, SHAPE, f"(6, {cells})")


def _kernel(axes: Axes) -> None:
    """The one matrix that all rows share."""
    for row in range(FEATURES):
        y = MIDDLE + CELL * (row - (FEATURES - 1) / 2)
        _row(axes, KERNEL, y, UNITS, None, marked=False)
    label(axes, KERNEL, SHAPE, r"$\mathbf{W}$: (4, 2)")


def _signs(axes: Axes) -> None:
    steps = {"flatten": (FLAT + LEFT) / 2, "multiply": KERNEL}
    steps["unflatten"] = (PRODUCT + RIGHT) / 2
    for step, x in steps.items():
        label(axes, x, TITLE, step, va="baseline")
        arrow(axes, [(x - 24, TITLE + 11), (x + 24, TITLE + 11)], "data")
    label(axes, KERNEL - 28, MIDDLE, "$\\times$")
    label(axes, (KERNEL + PRODUCT) / 2, MIDDLE, "=")


def _follow(axes: Axes) -> None:
    """The marked row: into the matrix on the left, out of it on the right."""
    flat, sheet = _height(ROWS * MARKED[0] + MARKED[1]), _sheet_height(*MARKED)
    half = CELL / 2
    start, end = LEFT + FEATURES * half + 3, FLAT - FEATURES * half - 3
    bend = (end - start) / 2
    way = [(start, sheet), (start + bend, sheet), (end - bend, flat), (end, flat)]
    curve(axes, way, "source")
    start, end = PRODUCT + UNITS * half + 3, RIGHT - UNITS * half - 3
    bend = (end - start) / 2
    way = [(start, flat), (start + bend, flat), (end - bend, sheet), (end, sheet)]
    curve(axes, way, "target")


if __name__ == "__main__":
    write("dense_threading", draw())
