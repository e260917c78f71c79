"""Draws the conditional autoencoder: beta side, factor side, dot product."""

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from _drawing import SMALL, TINT, arrow, box, canvas, frame, label, write

ALT = (
    "Two columns that meet below. Left, the beta side, in blue: a table of six tickers "
    "with four characteristics each goes through Dense with ReLU, batch normalization "
    "and Dense(K), and becomes a table of six tickers with three betas each. Right, "
    "the factor side, in orange: a column of returns goes through Dense(K) and becomes "
    "three factors. Dot with axes (2, 1) multiplies each row of betas with the factors "
    "and adds up: one return for each of the six tickers. The row of one ticker is "
    "marked in the characteristics, in the betas and in the result."
)

CELL = 12.0
TICKERS, CHARACTERISTICS, FACTORS = 6, 4, 3
MARKED = 1  # the ticker that is followed
BETA, FACTOR, MIDDLE = 130.0, 345.0, 237.0  # middles of the columns
TOP = 84.0  # middle of the inputs
HIDDEN, NORM, DENSE = 152.0, 188.0, 224.0  # middles of the layers
SIDES, DOT, RESULT = 292.0, 358.0, 425.0


def draw() -> Figure:
    """The whole figure."""
    figure, axes = canvas(474, 474)
    frame(axes, 12, 8, 252, 338, "source")
    frame(axes, 262, 8, 462, 338, "target")
    label(axes, BETA, 22, "beta side: what was known before")
    label(axes, FACTOR + 17, 22, "factor side: the returns")
    _beta_side(axes)
    _factor_side(axes)
    _dot(axes)
    return figure


def _grid(axes: Axes, x: float, y: float, rows: int, columns: int, role: str) -> None:
    """A table centred at (x, y); the row of the marked ticker is in strong colour."""
    for row in range(rows):
        for column in range(columns):
            place = (
                x + CELL * (column - (columns - 1) / 2),
                y + CELL * (row - (rows - 1) / 2),
            )
            marked = rows == TICKERS and row == MARKED and role != "target"
            shade = role if marked or role == "target" else "data"
            tint = 3 * TINT if marked else TINT
            box(axes, place, (CELL, CELL), role=shade, tint=tint, radius=1)


def _layer(axes: Axes, x: float, y: float, text: str, kernel: str, role: str) -> None:
    """A layer, and beside it the shape of what it owns."""
    box(axes, (x, y), (112, 21), text, role)
    label(axes, x + 60, y, kernel, ha="left", fontsize=SMALL)


def _down(axes: Axes, x: float, start: float, end: float, role: str) -> None:
    arrow(axes, [(x, start), (x, end)], role)


def _beta_side(axes: Axes) -> None:
    half = CELL * TICKERS / 2
    _grid(axes, BETA, TOP, TICKERS, CHARACTERISTICS, "source")
    label(axes, BETA - 32, TOP - 8, "$\\mathbf{Z}_{t-1}$", ha="right")
    label(axes, BETA - 32, TOP + 8, "$(N, P)$", ha="right", fontsize=SMALL)
    label(axes, BETA + 32, TOP - 18, "one ticker", ha="left", fontsize=SMALL)
    _layer(axes, BETA, HIDDEN, "Dense, ReLU", "$(P, 8)$", "source")
    _layer(axes, BETA, NORM, "BatchNormalization", "$4 \\times 8$", "source")
    _layer(axes, BETA, DENSE, "Dense(K)", "$(8, K)$", "source")
    _grid(axes, BETA, SIDES, TICKERS, FACTORS, "source")
    label(axes, BETA - 28, SIDES - 8, "betas", ha="right")
    label(axes, BETA - 28, SIDES + 8, "$(N, K)$", ha="right", fontsize=SMALL)
    _down(axes, BETA, TOP + half + 2, HIDDEN - 12, "source")
    _down(axes, BETA, HIDDEN + 12, NORM - 12, "source")
    _down(axes, BETA, NORM + 12, DENSE - 12, "source")
    _down(axes, BETA, DENSE + 12, SIDES - half - 2, "source")


def _factor_side(axes: Axes) -> None:
    half, short = CELL * TICKERS / 2, CELL * FACTORS / 2
    _grid(axes, FACTOR, TOP, TICKERS, 1, "target")
    label(axes, FACTOR + 14, TOP - 9, "notes: $\\mathbf{r}_t$, $(N)$", ha="left")
    label(axes, FACTOR + 14, TOP + 9, "paper: $\\mathbf{x}_t$, $(P)$", ha="left")
    _layer(axes, FACTOR, DENSE, "Dense(K)", "$(N, K)$", "target")
    _grid(axes, FACTOR, SIDES, FACTORS, 1, "target")
    label(axes, FACTOR + 14, SIDES - 8, "factors $\\mathbf{f}_t$", ha="left")
    label(axes, FACTOR + 14, SIDES + 8, "$(K)$", ha="left", fontsize=SMALL)
    _down(axes, FACTOR, TOP + half + 2, DENSE - 12, "target")
    _down(axes, FACTOR, DENSE + 12, SIDES - short - 2, "target")


def _dot(axes: Axes) -> None:
    half, short = CELL * TICKERS / 2, CELL * FACTORS / 2
    box(axes, (MIDDLE, DOT), (112, 21), "Dot(axes=(2, 1))")
    start, end = (BETA, SIDES + half + 2), (FACTOR, SIDES + short + 2)
    arrow(axes, [start, (BETA, DOT), (MIDDLE - 57, DOT)], "source")
    arrow(axes, [end, (FACTOR, DOT), (MIDDLE + 57, DOT)], "target")
    _grid(axes, MIDDLE, RESULT, TICKERS, 1, "source")
    arrow(axes, [(MIDDLE, DOT + 12), (MIDDLE, RESULT - half - 2)])
    label(axes, MIDDLE + 14, RESULT - 8, "$\\hat{\\mathbf{r}}_t$", ha="left")
    label(axes, MIDDLE + 14, RESULT + 8, "$(N)$", ha="left", fontsize=SMALL)


if __name__ == "__main__":
    write("factor_models", draw())
