"""Draws a strided convolution and its transpose as matrices, entry by entry."""

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from _drawing import SMALL, arrow, box, canvas, label, write

ALT = (
    "Two equations between small matrices. Above, the convolution y = C x: C has "
    "three rows and seven columns; each row holds W0, W1, W2, two columns further "
    "right than in the row above, and empty cells are zero. Seven numbers become "
    "three. Below, the transposed convolution, C transposed times y: the same matrix "
    "with rows and columns exchanged, seven rows and three columns. Three numbers "
    "become seven. Its rows hold one, one, two, one, two, one and one entries."
)

CELL = 25.0
SIZE, TAPS, STRIDE, OUT = 7, 3, 2, 3
TOP, BOTTOM = 44.0, 204.0  # the first rows of the two equations
LEFT = 128.0  # the matrices' first column


def draw() -> Figure:
    """The whole figure."""
    figure, axes = canvas(430, 396)
    _convolution(axes)
    _transpose(axes)
    return figure


def _cell(axes: Axes, x: float, y: float, text: str, role: str | None) -> None:
    """One entry of a matrix or vector, its corner at (x, y); empty is zero."""
    centre = (x + CELL / 2, y + CELL / 2)
    style = {"fontsize": SMALL} if text else {}
    patch = box(
        axes,
        centre,
        (CELL, CELL),
        text,
        role if text else "data",
        tint=0.22 if text else 0,
        radius=1,
        **style,
    )
    if not text:
        patch.set_linewidth(0.4)


def _vector(axes: Axes, x: float, y: float, name: str, length: int, role: str) -> None:
    """A column of numbered entries."""
    for place in range(length):
        _cell(axes, x, y + CELL * place, f"${name}_{place}$", role)


def _entry(row: int, column: int) -> str:
    """The entry of C: the tap by which output ``row`` reads input ``column``."""
    tap = column - STRIDE * row
    return f"$W_{tap}$" if 0 <= tap < TAPS else ""


def _convolution(axes: Axes) -> None:
    """Seven positions become three: y = C x."""
    middle = TOP + CELL * OUT / 2
    _vector(axes, 60, TOP, "y", OUT, "critic")
    label(axes, 107, middle, "$=$")
    for row in range(OUT):
        for column in range(SIZE):
            x, y = LEFT + CELL * column, TOP + CELL * row
            _cell(axes, x, y, _entry(row, column), "critic")
    _vector(axes, 330, TOP - 2 * CELL + 12, "x", SIZE, "data")
    label(axes, LEFT + CELL * SIZE / 2, TOP - 16, r"$\mathbf{C}$: 3 rows, 7 columns")
    end = LEFT + CELL * SIZE
    arrow(axes, [(LEFT, TOP + 86), (LEFT + 2 * CELL, TOP + 86)], "critic")
    label(axes, LEFT + 2 * CELL + 28, TOP + 86, "stride 2", fontsize=SMALL)
    label(axes, (end + 330) / 2, middle, r"$\cdot$")


def _transpose(axes: Axes) -> None:
    """Three positions become seven: C transposed times y."""
    middle = BOTTOM + CELL * SIZE / 2
    _vector(axes, 60, BOTTOM, r"\tilde{x}", SIZE, "generator")
    label(axes, 107, middle, "$=$")
    for row in range(SIZE):
        for column in range(OUT):
            x, y = LEFT + CELL * column, BOTTOM + CELL * row
            _cell(axes, x, y, _entry(column, row), "generator")
    end = LEFT + CELL * OUT
    label(
        axes,
        LEFT + CELL * OUT / 2,
        BOTTOM - 15,
        r"$\mathbf{C}^\top$: 7 rows, 3 columns",
    )
    label(axes, end + 14, middle, r"$\cdot$")
    _vector(axes, end + 28, middle - CELL * OUT / 2, "y", OUT, "data")
    _counts(axes, end + 80)


def _counts(axes: Axes, left: float) -> None:
    """Beside each row of the transpose, how many terms it adds up."""
    for row in range(SIZE):
        terms = sum(bool(_entry(column, row)) for column in range(OUT))
        words = "2 terms" if terms == 2 else "1 term"
        label(axes, left, BOTTOM + CELL * (row + 0.5), words, ha="left", fontsize=SMALL)


if __name__ == "__main__":
    write("conv_transpose", draw())
