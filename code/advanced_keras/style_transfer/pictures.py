"""Pictures to start from: photographs, files of the reader's, and drawn styles.

All are float32 of shape ``(1, rows, columns, 3)``, red, green and blue, 0 to 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from advanced_keras import _checks

BUNDLED = ("china.jpg", "flower.jpg")
PAINT = [
    (18, 38, 92), (32, 78, 150), (70, 130, 190), (160, 200, 215),
    (240, 200, 70), (225, 150, 40), (24, 60, 80),
]  # fmt: skip
GLASS = [
    (178, 34, 34), (222, 135, 30), (245, 205, 90), (30, 100, 120),
    (20, 60, 110), (90, 140, 90), (235, 225, 200),
]  # fmt: skip
WOOL = [(150, 30, 40), (235, 215, 170), (40, 60, 90)]


def load_image(
    source: str | Path,
    width: int | None = None,
    crop: Sequence[int] | None = None,
    multiple: int = 8,
) -> np.ndarray:
    """Load a photograph.

    Args:
        source: ``"china.jpg"`` or ``"flower.jpg"``, which come with scikit-learn, or
            the path of any image file that Pillow reads.
        width: columns to shrink or enlarge to; None keeps the size.
        crop: ``(top, left, height, width)`` in pixels of the file, cut out first.
        multiple: both sides are trimmed, evenly, to a multiple of this.

    Returns:
        ``(1, rows, columns, 3)``, float32, 0 to 1.

    Raises:
        ImportError: if a bundled photograph is asked for without scikit-learn.
        ValueError: if there is no such file, it is no image, or a number is out of
            range.
    """
    picture = _bundled(source) if source in BUNDLED else _open(source)
    if crop is not None:
        picture = _cropped(picture, crop)
    if width is not None:
        _positive("width", width)
        height = max(1, round(picture.height * width / picture.width))
        picture = picture.resize((width, height), Image.Resampling.LANCZOS)
    _positive("multiple", multiple)
    h, w = (size // multiple * multiple for size in (picture.height, picture.width))
    if not h or not w:
        raise ValueError(
            f"source must give at least {multiple} rows and columns, got "
            f"{picture.height} and {picture.width}."
        )
    top, left = (picture.height - h) // 2, (picture.width - w) // 2
    picture = picture.crop((left, top, left + w, top + h))
    return np.asarray(picture, "float32")[None] / 255


def _bundled(name):
    try:
        from sklearn.datasets import load_sample_image
    except ImportError as error:
        raise ImportError(
            f"source={name!r} comes with scikit-learn, which is not installed: run "
            "pip install scikit-learn, or give the path of an image."
        ) from error
    return Image.fromarray(load_sample_image(name))


def _open(source):
    wanted = f"source must be one of {BUNDLED} or the path of an image"
    if not isinstance(source, (str, Path)):
        raise ValueError(f"{wanted}, got {source!r}.")
    if not Path(source).is_file():
        raise ValueError(f"{wanted}; there is no file {str(source)!r}.")
    try:
        return Image.open(source).convert("RGB")
    except (UnidentifiedImageError, OSError) as error:
        raise ValueError(f"{wanted}; {str(source)!r} is no image.") from error


def _cropped(picture, crop):
    top, left, height, width = crop
    inside = 0 <= top < top + height <= picture.height
    if not (inside and 0 <= left < left + width <= picture.width):
        raise ValueError(
            "crop must be (top, left, height, width) inside of "
            f"{picture.height} x {picture.width} pixels, got {tuple(crop)}."
        )
    return picture.crop((left, top, left + width, top + height))


def draw_strokes(
    size: int = 160,
    seed: int = 0,
    count: int | None = None,
    length: float = 22,
    width: float = 2.2,
) -> np.ndarray:
    """Paint short strokes along a smooth field of directions; the edges match.

    Args:
        size: rows and columns.
        seed: of the directions, places and colours.
        count: strokes; by default one for ten pixels.
        length, width: of a stroke, in pixels.

    Returns:
        ``(1, size, size, 3)``, float32, 0 to 1.
    """
    _positive("size", size)
    if count is not None:
        _positive("count", count)
    _checks.positive("length", length)
    _checks.positive("width", width)
    rng = np.random.default_rng(seed)
    colours = np.array(PAINT) / 255
    direction, tone = 3 * _waves(size, seed), _ranks(_waves(size, seed + 1))
    canvas = np.broadcast_to(colours[1], (size, size, 3)).copy()
    for y, x in rng.uniform(0, size, (count or size * size // 10, 2)):
        place = tone[int(y), int(x)] * len(colours) + 0.7 * rng.normal()
        colour = colours[int(np.clip(place, 0, len(colours) - 1))]
        colour = np.clip(colour + 0.06 * rng.normal(), 0, 1)
        _stroke(
            canvas, direction, y, x, colour, int(rng.uniform(0.5, 1) * length), width
        )
    return canvas[None].astype("float32")


def _stroke(canvas, direction, y, x, colour, length, width):
    """One stroke: a brush that follows the field and shades one side."""
    size, reach = len(canvas), int(np.ceil(width)) + 1
    dy, dx = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    for step in range(length):
        angle = direction[int(y) % size, int(x) % size]
        cy, cx = round(y), round(x)
        away = np.hypot(dy + cy - y, dx + cx - x)
        paint = np.clip(width * (1 - (step / length) ** 4) - away + 0.5, 0, 1)[
            ..., None
        ]
        side = np.clip((dx * np.sin(angle) - dy * np.cos(angle)) / width, -1, 1)
        tinted = np.clip(colour * (1 + 0.18 * side[..., None]), 0, 1)
        cells = (dy + cy) % size, (dx + cx) % size
        canvas[cells] = canvas[cells] * (1 - paint) + paint * tinted
        y, x = y + np.sin(angle), x + np.cos(angle)


def draw_mosaic(size: int = 160, seed: int = 0, cells: int = 16) -> np.ndarray:
    """Draw stained glass: the Voronoi cells of a jittered grid; the edges match.

    Args:
        size: rows and columns.
        seed: of the places and colours.
        cells: pieces of glass along a side.

    Returns:
        ``(1, size, size, 3)``, float32, 0 to 1.

    Example:
        >>> draw_mosaic(size=32).shape
        (1, 32, 32, 3)
    """
    _positive("size", size)
    _positive("cells", cells)
    rng = np.random.default_rng(seed)
    colours = np.array(GLASS) / 255
    grid = (np.indices((cells, cells)).reshape(2, -1).T + 0.5) * size / cells
    centres = grid + rng.uniform(-0.42, 0.42, grid.shape) * size / cells
    away = np.abs(np.indices((size, size))[None] - centres[:, :, None, None])
    away = np.hypot(*np.moveaxis(np.minimum(away, size - away), 1, 0))
    nearest, second = np.partition(away, 1, axis=0)[:2]
    tone = _ranks(_waves(size, seed + 1))[tuple(centres.astype(int).T % size)]
    place = tone * len(colours) + 1.2 * rng.normal(size=len(centres))
    pieces = colours[np.clip(place, 0, len(colours) - 1).astype(int)]
    pieces = pieces * (1 + 0.08 * rng.normal(size=(len(centres), 1)))
    glass = np.clip((second - nearest - 1.2) / 1.5, 0, 1)[..., None]
    picture = pieces[away.argmin(0)] * glass + 0.11 * (1 - glass)
    return np.clip(picture, 0, 1)[None].astype("float32")


def draw_weave(size: int = 160, seed: int = 0, thread: int = 8) -> np.ndarray:
    """Draw a cloth: threads in three colours, over and under.

    Args:
        size: rows and columns.
        seed: of the order of the colours down the cloth.
        thread: width of a thread in pixels.

    Returns:
        ``(1, size, size, 3)``, float32, 0 to 1.

    Example:
        >>> draw_weave(size=32).shape
        (1, 32, 32, 3)
    """
    _positive("size", size)
    _positive("thread", thread)
    rng = np.random.default_rng(seed)
    y, x = np.indices((size, size))
    colours = np.array(WOOL) / 255
    down = colours[rng.integers(0, 3, size // thread + 1)[x // thread]]
    across = colours[y // thread % 3]
    py, px = (((a % thread) + 0.5) / thread - 0.5 for a in (y, x))
    round_x, round_y = np.cos(np.pi * px), np.cos(np.pi * py)
    over = down * (np.sqrt(round_x) * (0.75 + 0.25 * round_y))[..., None]
    under = across * (np.sqrt(round_y) * (0.75 + 0.25 * round_x))[..., None]
    cloth = np.where(((y // thread + x // thread) % 2 == 1)[..., None], over, under)
    return np.clip(cloth, 0, 1)[None].astype("float32")


def _waves(size, seed):
    """A smooth periodic field: six plane waves."""
    rng = np.random.default_rng(seed)
    y, x = np.indices((size, size)) / size
    field = np.zeros((size, size))
    for _ in range(6):
        ky, kx = rng.integers(-3, 4, 2)
        phase = 2 * np.pi * (ky * y + kx * x) + rng.uniform(0, 2 * np.pi)
        field += np.cos(phase) / (1 + abs(ky) + abs(kx))
    return field


def _ranks(field):
    """Replace values by their ranks, from 0 to 1."""
    return field.ravel().argsort().argsort().reshape(field.shape) / field.size


def _positive(name, value):
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < 1:
        raise ValueError(f"{name} must be an integer of at least 1, got {value!r}.")
