"""Images of digits: drawn from the fonts that Matplotlib ships, or MNIST on request.

The built-in digits need no download. A digit, a font and six jitters make an image:
the glyph is drawn large, then turned, slanted, resized, moved, made thicker, and
brought down to 28 x 28 pixels. All of it is known, so a model that is said to have
learned what varies in the images can be asked whether it has.

The same loader gives MNIST and Fashion-MNIST, where only the label is known.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from advanced_keras import _checks

SIZE = 28
SOURCES = ("drawn", "mnist", "fashion_mnist")
MAX_DRAWN = 200_000

FONTS = (
    "DejaVuSans",
    "DejaVuSans-Bold",
    "DejaVuSans-Oblique",
    "DejaVuSansMono",
    "DejaVuSerif",
    "DejaVuSerif-Bold",
    "DejaVuSerif-Italic",
    "STIXGeneral",
    "STIXGeneralBol",
    "STIXGeneralItalic",
    "cmb10",
    "cmr10",
    "cmss10",
    "cmtt10",
)
"""Files in Matplotlib's folder of fonts. `Digits.fonts` counts along this tuple."""

JITTER = {
    "rotation": (-15.0, 15.0),  # degrees, counter-clockwise
    "slant": (-0.25, 0.25),  # columns to the right for each row upwards
    "size": (17.0, 22.0),  # height of the upright glyph, in pixels
    "right": (-2.0, 2.0),  # pixels
    "down": (-2.0, 2.0),  # pixels
    "weight": (0.0, 1.5),  # pixels added to the width of a stroke
}
"""What varies beside the digit and the font, and between which bounds (uniform)."""

_LARGE = 88  # canvas on which a glyph is drawn, in pixels
_GLYPH = 60.0  # height of the glyph on it
_FINE = 3  # pixels of the fine grid for each pixel of the image, on each axis
_STROKES = 7  # steps of the weight that are drawn


@dataclass(frozen=True)
class Digits:
    """Images and what is known about them.

    Args:
        images: ``(count, 28, 28, 1)``, float32 from 0 (paper) to 1 (ink).
        labels: ``(count,)``, int64 from 0 to 9.
        fonts: ``(count,)``, int64, places in :data:`FONTS`; None if not drawn here.
        jitter: for each name in :data:`JITTER` the values, ``(count,)`` float64, in
            its units; empty if not drawn here.
    """

    images: np.ndarray
    labels: np.ndarray
    fonts: np.ndarray | None = None
    jitter: dict[str, np.ndarray] | None = None

    def __post_init__(self):
        _checks.axes(
            images=(self.images, "(count, 28, 28, 1)"),
            labels=(self.labels, "(count,)"),
        )

    def __len__(self) -> int:
        return len(self.images)

    def take(self, index) -> Digits:
        """Some of the digits: ``index`` is a slice, or an array of places or flags."""
        fonts = None if self.fonts is None else self.fonts[index]
        jitter = {name: values[index] for name, values in (self.jitter or {}).items()}
        return Digits(self.images[index], self.labels[index], fonts, jitter)


def load_digits(
    source: str = "drawn",
    num_train: int | None = None,
    num_test: int | None = None,
    seed: int = 0,
) -> tuple[Digits, Digits]:
    """Load digits for training and for testing.

    Args:
        source: "drawn" for digits made here; "mnist" or "fashion_mnist" for the
            data sets of these names, which are downloaded through ``keras.datasets``
            the first time.
        num_train: how many for training; by default 12,000 drawn, or all.
        num_test: how many for testing; by default 2,000 drawn, or all.
        seed: of the drawing. The first images of a longer list are those of a
            shorter one. Of a data set it chooses nothing: its order is kept.

    Returns:
        Two :class:`Digits`, which have no image in common.

    Raises:
        ValueError: for an unknown ``source``, a number that is not an integer of at
            least 1 or exceeds what the source has, or a negative ``seed``.
        OSError: if a data set can't be downloaded; the message says what to do.

    Example:
        >>> train, test = load_digits(num_train=3, num_test=2)
        >>> train.images.shape, test.labels.shape
        ((3, 28, 28, 1), (2,))
    """
    if source not in SOURCES:
        raise ValueError(f"source must be one of {SOURCES}, got {source!r}.")
    _check_number("seed", seed, least=0)
    for name, number in (("num_train", num_train), ("num_test", num_test)):
        if number is not None:
            _check_number(name, number, least=1, most=MAX_DRAWN)
    if source == "drawn":
        sizes = num_train or 12_000, num_test or 2_000
        train, test = (draw_digits(n, [seed, part]) for part, n in enumerate(sizes))
        return train, test
    return _load_set(source, num_train, num_test)


def draw_digits(count: int, seed: int | Sequence[int]) -> Digits:
    """Draw ``count`` digits, all classes, fonts and jitters equally likely.

    Args:
        count: how many.
        seed: an integer, or a sequence of integers, as ``numpy.random.default_rng``
            takes it.

    Raises:
        ValueError: if ``count`` is not an integer of at least 1.

    Example:
        >>> digits = draw_digits(2, seed=0)
        >>> digits.images.shape, digits.labels.dtype
        ((2, 28, 28, 1), dtype('int64'))
    """
    _check_number("count", count, least=1, most=MAX_DRAWN)
    draws = np.random.default_rng(seed).uniform(size=(count, 2 + len(JITTER)))
    labels = (10 * draws[:, 0]).astype("int64")
    fonts = (len(FONTS) * draws[:, 1]).astype("int64")
    jitter = {
        name: low + (high - low) * draws[:, 2 + column]
        for column, (name, (low, high)) in enumerate(JITTER.items())
    }
    rows = zip(labels, fonts, *jitter.values(), strict=True)
    images = np.stack([draw_digit(*row) for row in rows])[..., None]
    return Digits(images, labels, fonts, jitter)


def draw_digit(
    label: int,
    font: int,
    rotation: float = 0.0,
    slant: float = 0.0,
    size: float = 20.0,
    right: float = 0.0,
    down: float = 0.0,
    weight: float = 0.0,
) -> np.ndarray:
    """Draw one digit.

    Args:
        label: the digit, 0 to 9.
        font: a place in :data:`FONTS`.
        rotation, slant, size, right, down, weight: see :data:`JITTER`.

    Returns:
        ``(28, 28)``, float32 from 0 (paper) to 1 (ink).

    Raises:
        ValueError: for another digit or font, a jitter that is not finite, a size
            that is not positive, or a weight outside of its bounds.
    """
    _check_number("label", label, least=0, most=9)
    _check_number("font", font, least=0, most=len(FONTS) - 1)
    _check_jitter(
        rotation=rotation, slant=slant, size=size, right=right, down=down, weight=weight
    )
    stroke = round(weight / JITTER["weight"][1] * (_STROKES - 1))
    glyph = _glyph(int(label), FONTS[font], stroke)
    matrix = _to_glyph(rotation, slant, size / _GLYPH * _FINE, right, down)
    fine = glyph.transform(
        (SIZE * _FINE, SIZE * _FINE),
        Image.Transform.AFFINE,
        matrix,
        resample=Image.Resampling.BILINEAR,
    )
    return np.asarray(fine.reduce(_FINE), dtype="float32") / 255


def _to_glyph(rotation, slant, scale, right, down) -> tuple[float, ...]:
    """The affine map from the fine grid to the canvas of the glyph, row by row.

    A point of the glyph, seen from the middle, is slanted, turned and scaled. Pillow
    asks for the inverse: where on the canvas does this pixel come from?
    """
    angle = np.deg2rad(rotation)
    # rows grow downwards, so a counter-clockwise turn has the minus below
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    lean = np.array([[1.0, -slant], [0.0, 1.0]])
    back = np.linalg.inv(scale * turn @ lean)
    middle = _FINE * (SIZE / 2 + np.array([right, down]))
    offset = _LARGE / 2 - back @ middle
    return (*back[0], offset[0], *back[1], offset[1])


@functools.cache
def _glyph(label: int, font: str, stroke: int) -> Image.Image:
    """A digit in the middle of a large canvas, white on black, _GLYPH high.

    ``stroke`` runs from 0 to _STROKES - 1, the largest jitter of the weight. It adds
    half of its width on each side, in pixels of the canvas.
    """
    text, points = str(label), 128
    face = ImageFont.truetype(_font_path(font), points)
    top, bottom = face.getbbox(text)[1::2]
    face = ImageFont.truetype(_font_path(font), points * _GLYPH / (bottom - top))
    widest = JITTER["weight"][1] / 20.0 * _GLYPH / 2
    width = widest * stroke / (_STROKES - 1)
    canvas = Image.new("L", (_LARGE, _LARGE))
    left, top, right, bottom = face.getbbox(text)
    place = (_LARGE - left - right) / 2, (_LARGE - top - bottom) / 2
    ImageDraw.Draw(canvas).text(place, text, 255, face, stroke_width=width)
    return canvas


def _font_path(font: str) -> str:
    return str(Path(matplotlib.get_data_path(), "fonts", "ttf", f"{font}.ttf"))


def _load_set(source: str, num_train, num_test) -> tuple[Digits, Digits]:
    """MNIST or Fashion-MNIST, through the cache of Keras."""
    import keras  # here: drawing must not need Keras

    try:
        parts = getattr(keras.datasets, source).load_data()
    except Exception as error:  # get_file raises a bare Exception
        reason = " ".join(str(error).split())
        raise OSError(
            f"could not download {source} ({reason}): connect to the network once, "
            "or use load_digits('drawn'), which needs none."
        ) from None
    found = []
    for name, number, (images, labels) in zip(
        ("num_train", "num_test"), (num_train, num_test), parts, strict=True
    ):
        if number is not None:
            _check_number(name, number, least=1, most=len(images))
        images = images[:number, ..., None].astype("float32") / 255
        found.append(Digits(images, labels[:number].astype("int64")))
    train, test = found
    return train, test


def _check_number(name: str, value, least: int, most: int | None = None) -> None:
    whole = isinstance(value, (int, np.integer)) and not isinstance(value, bool)
    if not whole or value < least or (most is not None and value > most):
        between = f"of at least {least}" if most is None else f"from {least} to {most}"
        raise ValueError(f"{name} must be an integer {between}, got {value!r}.")


def _check_jitter(**jitter) -> None:
    for name, value in jitter.items():
        if not np.isfinite(value):
            raise ValueError(f"{name} must be finite, got {value!r}.")
    if jitter["size"] <= 0:
        raise ValueError(f"size must be positive, got {jitter['size']!r}.")
    low, high = JITTER["weight"]
    if not low <= jitter["weight"] <= high:
        raise ValueError(
            f"weight must be from {low} to {high}, got {jitter['weight']!r}."
        )
