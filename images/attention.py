"""Draws attention with its shapes: split in heads, one head at work, heads joined."""

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from _drawing import SMALL, TINT, arrow, box, canvas, label, write

ALT = (
    "Four rows. First, a table with T rows and E columns is cut into H bands of d "
    "columns: the heads. Second, in one head: Q, with T rows and d columns, times K "
    "transposed, with d rows and S columns, gives the scores, with T rows and S "
    "columns; the last column is crossed out by the mask. Third, the scores are "
    "divided by the root of d and go through a softmax into the weights A, of the same "
    "shape, paler and darker green, 0 in the masked column; A times V, with S rows and "
    "d columns, gives the context C, with T rows and d columns. Fourth, the contexts "
    "of the H heads are put side by side into a table with T rows and E columns."
)

CELL = 20.0
T, S, D, H = 3, 4, 2, 3
SHARES = ((0.7, 0.2, 0.1, 0), (0.1, 0.6, 0.3, 0), (0.3, 0.1, 0.6, 0))
ROWS = (40.0, 164.0, 284.0, 424.0)  # where the four parts begin
MIDDLE = 186.0  # left edge of scores and weights
PALE, STRONG = 0.12, 0.4


def draw() -> Figure:
    """The whole figure."""
    figure, axes = canvas(430, 520)
    _split(axes, ROWS[0])
    _scores(axes, ROWS[1])
    _context(axes, ROWS[2])
    _join(axes, ROWS[3])
    return figure


def _grid(
    axes: Axes,
    left: float,
    top: float,
    size: tuple[int, int],
    role: str,
    tint=lambda row, column: TINT,
) -> None:
    """A table of empty cells, ``size`` rows and columns, its corner at (left, top)."""
    for row in range(size[0]):
        for column in range(size[1]):
            centre = left + CELL * (column + 0.5), top + CELL * (row + 0.5)
            box(axes, centre, (CELL, CELL), role=role, tint=tint(row, column), radius=1)


def _named(axes: Axes, left: float, top: float, width: int, name: str) -> None:
    """The name of a table, above it."""
    label(axes, left + CELL * width / 2, top - 13, name)


def _shaped(
    axes: Axes, left: float, top: float, size: tuple[int, int], text: str
) -> None:
    """The shape of a table, below it."""
    x, y = left + CELL * size[1] / 2, top + CELL * size[0] + 12
    label(axes, x, y, text, fontsize=SMALL)


def _band(row: int, column: int) -> float:
    """The opacity of a cell of the whole table: bands that can be told apart."""
    return (PALE, STRONG, 0.24)[column // D]


def _heads(axes: Axes, top: float, role: str, name: str, shift: float) -> None:
    """The bands of a table, apart, each with the name of its head."""
    for head in range(H):
        left = shift + head * (D * CELL + 26)
        _grid(axes, left, top, (T, D), role, lambda r, c, h=head: _band(r, h * D))
        _named(axes, left, top, D, f"${name}_{head + 1}$")
        _shaped(axes, left, top, (T, D), "(T, d)")


def _split(axes: Axes, top: float) -> None:
    """One projection for all heads, cut into bands of columns."""
    _grid(axes, 24, top, (T, H * D), "target", _band)
    _named(axes, 24, top, H * D, r"$\mathbf{Z}\,\mathbf{W}_Q$")
    _shaped(axes, 24, top, (T, H * D), "(T, E), with E = H d")
    arrow(axes, [(154, top + 30), (222, top + 30)])
    label(axes, 186, top + 18, "split", fontsize=SMALL)
    _heads(axes, top, "target", r"\mathbf{Q}", 234)


def _scores(axes: Axes, top: float) -> None:
    """One head: every query with every key."""
    _grid(axes, 24, top, (T, D), "target")
    _named(axes, 24, top, D, r"$\mathbf{Q}$")
    _shaped(axes, 24, top, (T, D), "(T, d)")
    label(axes, 75, top + 30, r"$\cdot$")
    _grid(axes, 86, top, (D, S), "source")
    _named(axes, 86, top, S, r"$\mathbf{K}^\top$")
    _shaped(axes, 86, top, (D, S), "(d, S)")
    label(axes, 176, top + 30, "$=$")
    _grid(axes, MIDDLE, top, (T, S), "attention", lambda row, column: 0.05)
    _named(axes, MIDDLE, top, S, "scores (T, S)")
    for row in range(T):
        _cross(axes, MIDDLE + CELL * (S - 1), top + CELL * row)
    label(axes, 284, top + 20, "crossed out:", ha="left", fontsize=SMALL)
    label(axes, 284, top + 34, "masked, here PAD", ha="left", fontsize=SMALL)


def _cross(axes: Axes, left: float, top: float) -> None:
    """Cross out one cell."""
    near, far = 5, CELL - 5
    for start, end in (((near, near), (far, far)), ((near, far), (far, near))):
        points = [(left + x, top + y) for x, y in (start, end)]
        arrow(axes, points, "attention", head=False)


def _context(axes: Axes, top: float) -> None:
    """One head: scores to shares, and the mean of the values with these shares."""
    middle = MIDDLE + CELL * S / 2
    arrow(axes, [(middle, ROWS[1] + CELL * T + 4), (middle, top - 24)], "attention")
    y = (ROWS[1] + CELL * T + top - 20) / 2
    label(axes, middle + 10, y, r"divide by $\sqrt{d}$, softmax", ha="left")
    _grid(axes, MIDDLE, top, (T, S), "attention", lambda r, c: SHARES[r][c])
    _named(axes, MIDDLE, top, S, r"$\mathbf{A}$")
    _shaped(axes, MIDDLE, top, (T, S), "(T, S)")
    label(axes, 174, top + 30, "each row sums to 1", ha="right", fontsize=SMALL)
    label(axes, 277, top + 30, r"$\cdot$")
    _grid(axes, 288, top, (S, D), "source")
    _named(axes, 288, top, D, r"$\mathbf{V}$")
    _shaped(axes, 288, top, (S, D), "(S, d)")
    label(axes, 341, top + 30, "$=$")
    _grid(axes, 354, top, (T, D), "attention")
    _named(axes, 354, top, D, r"$\mathbf{C}$")
    _shaped(axes, 354, top, (T, D), "(T, d)")


def _join(axes: Axes, top: float) -> None:
    """The contexts of all heads side by side."""
    _heads(axes, top, "attention", r"\mathbf{C}", 24)
    arrow(axes, [(206, top + 30), (272, top + 30)])
    label(axes, 238, top + 18, "join", fontsize=SMALL)
    _grid(axes, 284, top, (T, H * D), "attention", _band)
    names = r"$[\mathbf{C}_1, \mathbf{C}_2, \mathbf{C}_3]$"
    _named(axes, 284, top, H * D, names)
    _shaped(axes, 284, top, (T, H * D), r"(T, E), then times $\mathbf{W}_O$")


if __name__ == "__main__":
    write("attention", draw())
