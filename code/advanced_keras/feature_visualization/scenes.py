"""Digits in colour on pieces of photographs: small pictures with something behind.

The photographs are the two that come with scikit-learn. The left half of each serves
for training and the right half for testing, so no background is in both.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image

from advanced_keras._types import Tensor

from ..data.digits import SIZE, load_digits
from . import checks

PHOTOGRAPHS = ("china.jpg", "flower.jpg")
WIDTH, HEIGHT = 320, 214  # half of what they are, so that a piece shows something
CONTRAST = 0.4  # least distance of the ink from the mean background, in one channel


@dataclass(frozen=True)
class Scenes:
    """Pictures and what is known about them.

    Args:
        images: ``(count, 28, 28, 3)``, float32 from 0 to 1; red, green, blue.
        labels: ``(count,)``, int64 from 0 to 9.
        ink: ``(count, 28, 28)``, float32: how much of a pixel belongs to the digit.
    """

    images: np.ndarray
    labels: np.ndarray
    ink: np.ndarray

    def __len__(self) -> int:
        return len(self.images)


def load_scenes(
    num_train: int = 12_000, num_test: int = 2_000, seed: int = 0
) -> tuple[Scenes, Scenes]:
    """Draw digits on photographs, for training and for testing.

    Args:
        num_train, num_test: how many, at least 1.
        seed: of the digits, the pieces and the colours.

    Returns:
        Two :class:`Scenes`.

    Raises:
        ValueError: as :func:`advanced_keras.data.digits.load_digits`.
        ImportError: if scikit-learn is not installed.
    """
    parts = load_digits("drawn", num_train, num_test, seed)
    photographs = [_photograph(name) for name in PHOTOGRAPHS]
    halves = (
        [p[:, : WIDTH // 2] for p in photographs],
        [p[:, WIDTH // 2 :] for p in photographs],
    )
    train, test = (
        _compose(digits, half, np.random.default_rng([seed, part]))
        for part, (digits, half) in enumerate(zip(parts, halves, strict=True))
    )
    return train, test


def colour_metric(images: Tensor, share: float = 0.5) -> np.ndarray:
    """How the three channels vary together, mixed with the identity.

    A gradient times this matrix moves more along the colours that vary much, light
    and dark above all, and less along those that hardly occur. The matrix is
    symmetric and positive definite for ``share`` below 1: what was a way up remains
    one.

    Args:
        images: ``(count, rows, columns, channels)``.
        share: weight of the covariance, from 0 to 1; the rest is the identity.

    Returns:
        ``(channels, channels)``, float32, with a trace of ``channels``.

    Raises:
        ValueError: if ``share`` is not from 0 to 1, or the pictures are all one colour.
    """
    if checks.number("share", share) > 1:
        raise ValueError(f"share must be from 0 to 1, got {share!r}.")
    images = checks.pictures("images", images).astype("float64")
    pixels = images.reshape(-1, images.shape[-1])
    if not np.ptp(pixels, axis=0).any():
        raise ValueError("images must vary, got pictures that are all one colour.")
    covariance = np.atleast_2d(np.cov(pixels.T))
    channels = len(covariance)
    covariance *= channels / np.trace(covariance)
    mixed = share * covariance + (1 - share) * np.eye(channels)
    return mixed.astype("float32")


def _photograph(name: str) -> np.ndarray:
    """``(HEIGHT, WIDTH, 3)``, float32 from 0 to 1."""
    try:
        from sklearn.datasets import load_sample_image
    except ImportError as error:
        raise ImportError(
            "the photographs of the scenes come with scikit-learn, which is not "
            "installed: run pip install scikit-learn."
        ) from error
    picture = Image.fromarray(load_sample_image(name))
    small = picture.resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC)
    return np.asarray(small, "float32") / 255


def _compose(digits, photographs, rng) -> Scenes:
    ink = digits.images
    backgrounds = np.stack([_piece(photographs, rng) for _ in ink])
    colours = np.stack([_colour(piece.mean((0, 1)), rng) for piece in backgrounds])
    images = backgrounds * (1 - ink) + colours[:, None, None] * ink
    return Scenes(images.astype("float32"), digits.labels, ink[..., 0])


def _piece(photographs, rng) -> np.ndarray:
    """A square of one of the photographs, mirrored every other time."""
    photograph = photographs[rng.integers(len(photographs))]
    top, left = (rng.integers(0, side - SIZE + 1) for side in photograph.shape[:2])
    piece = photograph[top : top + SIZE, left : left + SIZE]
    return piece[:, ::-1] if rng.random() < 0.5 else piece


def _colour(background, rng) -> np.ndarray:
    """A colour that can be told from the mean of the background."""
    while True:
        colour = rng.random(3)
        if np.abs(colour - background).max() > CONTRAST:
            return colour
