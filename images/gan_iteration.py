"""Draws one iteration of a GAN: the discriminator's half, then the generator's."""

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from _drawing import SMALL, arrow, box, canvas, frame, label, write

ALT = (
    "Two rows, one below the other. First half: latent vectors z go through the "
    "generator G, which is frozen, and become generated examples. These and real "
    "examples x go into the discriminator D, then into its loss. The gradient goes "
    "back from the loss to D, whose weights are updated. Second half: fresh z go "
    "through G, then through the updated D, which is frozen now, into the loss of G. "
    "The gradient goes back through D to G, whose weights are updated."
)

Z, G, MADE, D, LOSS = 46.0, 144.0, 236.0, 344.0, 458.0  # columns
FIRST, REAL, SECOND = 97.0, 47.0, 236.0  # rows
TALL = 44.0
BACK = 44.0  # how far below its row a gradient runs


def draw() -> Figure:
    """The whole figure."""
    figure, axes = canvas(504, 304)
    _first(axes)
    _second(axes)
    _handover(axes)
    return figure


def _player(axes: Axes, x: float, y: float, name: str, weights: str, updated: bool):
    """A network with its weights: solid if it is updated, dashed if it is frozen."""
    role = "generator" if name == "G" else "critic"
    text = f"${name}$\n$\\Theta_{{{name},{weights}}}$"
    options = {} if updated else {"tint": 0, "dashed": True}
    patch = box(axes, (x, y), (74, TALL), text, role, **options)
    if updated:
        patch.set_linewidth(2)
    word = "updated" if updated else "frozen"
    label(axes, x, y - TALL / 2 - 9, word, fontsize=SMALL)


def _thing(axes: Axes, x: float, y: float, text: str, role: str) -> None:
    box(axes, (x, y), (46, 26), text, role)


def _flow(axes: Axes, y: float, z: str) -> None:
    """z to G to a generated example to D to the loss."""
    _thing(axes, Z, y, z, "data")
    _thing(axes, MADE, y, r"$\hat{\mathbf{x}}$", "generator")
    arrow(axes, [(Z + 23, y), (G - 37, y)], "data")
    arrow(axes, [(G + 37, y), (MADE - 23, y)], "generator")
    arrow(axes, [(MADE + 23, y), (D - 37, y)], "generator")
    arrow(axes, [(D + 37, y), (LOSS - 23, y)], "critic")


def _gradient(axes: Axes, y: float, x: float) -> None:
    """From the loss back below the row, and up into the network that learns."""
    low = y + BACK
    path = [(LOSS, y + 13), (LOSS, low), (x, low), (x, y + TALL / 2)]
    arrow(axes, path, "loss", dashed=True)


def _first(axes: Axes) -> None:
    """Real and generated examples; D learns."""
    frame(axes, 6, 6, 498, 154, "critic")
    label(axes, 16, 20, "1  Train $D$ on real and generated examples", ha="left")
    _flow(axes, FIRST, r"$\mathbf{z}$")
    _player(axes, G, FIRST, "G", "(t-1)", updated=False)
    _player(axes, D, FIRST, "D", "(t-1)", updated=True)
    _thing(axes, MADE, REAL, r"$\mathbf{x}$", "data")
    path = [(MADE + 23, REAL), (288, REAL), (288, FIRST - 10), (D - 37, FIRST - 10)]
    arrow(axes, path, "data")
    _thing(axes, LOSS, FIRST, r"$\mathcal{L}_D$", "loss")
    _gradient(axes, FIRST, D)


def _second(axes: Axes) -> None:
    """Generated examples only; G learns."""
    frame(axes, 6, 168, 498, 298, "generator")
    label(axes, 16, 182, "2  Train $G$ on fresh latent vectors", ha="left")
    _flow(axes, SECOND, r"$\mathbf{z}'$")
    _player(axes, G, SECOND, "G", "(t-1)", updated=True)
    _player(axes, D, SECOND, "D", "(t)", updated=False)
    _thing(axes, LOSS, SECOND, r"$\mathcal{L}_G$", "loss")
    _gradient(axes, SECOND, G)
    label(axes, D, SECOND + BACK - 9, "through $D$", fontsize=SMALL)


def _handover(axes: Axes) -> None:
    """The second half uses the weights that the first has made."""
    x = D + 50
    path = [(D + 37, FIRST + 12), (x, FIRST + 12), (x, SECOND - 12)]
    arrow(axes, [*path, (D + 37, SECOND - 12)], "critic")
    label(axes, x + 6, 185, r"$\Theta_{D,(t)}$", ha="left", fontsize=SMALL)


if __name__ == "__main__":
    write("gan_iteration", draw())
