"""What is a generated digit worth? A small classifier judges it.

Chapters: *The GAN training loop* and *WGAN-GP*. The judge is trained on real digits.
Of generated ones it tells how many classes they cover, how sure it is, and how far
their features lie from those of real digits: the Fréchet distance that Heusel et al.
(2017), *GANs Trained by a Two Time-Scale Update Rule*, equation 6, measure in the
features of another network.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from keras import layers

from advanced_keras import _checks
from advanced_keras.progress import progress

CLASSES = 10


@dataclass(frozen=True)
class Score:
    """What a judge says of a set of images.

    Args:
        counts: how many images fall into each class, ``(10,)`` integers.
        confident: share of images whose most likely class has a probability of at
            least 0.8.
        frechet: squared Fréchet distance to the judge's reference images, in the
            judge's features; 0 is best.
    """

    counts: np.ndarray
    confident: float
    frechet: float

    @property
    def classes(self) -> int:
        """Classes that get at least a tenth of a fair share of the images."""
        return int(np.sum(self.counts >= 0.1 * self.counts.sum() / CLASSES))


class Judge:
    """A classifier of 28 x 28 digits, with the features behind its answers.

    Args:
        digits: what it learns from, a :class:`advanced_keras.data.digits.Digits`.
        epochs: how many times it sees them.
        seed: of the initial weights, and of the order of the digits.

    Attributes:
        model: from ``(batch, 28, 28, 1)``, 0 to 1, to a dict with ``features``,
            ``(batch, 32)``, and ``logits``, ``(batch, 10)``.
    """

    def __init__(self, digits, epochs: int = 4, seed: int = 0):
        _check_digits(digits)
        _checks.whole("epochs", epochs)
        # its own generators only: training a judge moves nobody else's random numbers
        seeds = keras.random.SeedGenerator(seed)
        self.model = build_judge(seeds)
        order = np.random.default_rng(seed)
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        trained = keras.Model(self.model.input, self.model.output["logits"])
        trained.compile(keras.optimizers.Adam(2e-3), loss)
        trained.optimizer.build(trained.trainable_variables)  # or fit traces twice
        for _ in progress(range(epochs), "training a judge"):
            place = order.permutation(len(digits.images))
            trained.fit(
                digits.images[place],
                digits.labels[place],
                batch_size=128,
                shuffle=False,
                verbose=0,
            )
        self._reference = moments(self.features(digits.images))

    def features(self, images) -> np.ndarray:
        """Features of images: ``(count, 28, 28, 1)`` to ``(count, 32)``, float64."""
        return self._answers(images)["features"].astype(float)

    def probabilities(self, images) -> np.ndarray:
        """Probability of each class: ``(count, 28, 28, 1)`` to ``(count, 10)``."""
        logits = self._answers(images)["logits"].astype(float)
        powers = np.exp(logits - logits.max(-1, keepdims=True))
        return powers / powers.sum(-1, keepdims=True)

    def accuracy(self, digits) -> float:
        """Share of digits whose most likely class is their label."""
        _check_digits(digits)
        guesses = self.probabilities(digits.images).argmax(-1)
        return float(np.mean(guesses == digits.labels))

    def score(self, images) -> Score:
        """Judge images ``(count, 28, 28, 1)``, 0 to 1, against the digits learned.

        Raises:
            ValueError: if ``images`` has another shape, fewer than two images, or
                values that are not finite or not from 0 to 1.
        """
        p = self.probabilities(images)
        counts = np.bincount(p.argmax(-1), minlength=CLASSES)
        distance = frechet_distance(moments(self.features(images)), self._reference)
        return Score(counts, float(np.mean(p.max(-1) >= 0.8)), distance)

    def _answers(self, images) -> dict[str, np.ndarray]:
        images = _check_images("images", images, least=2)
        return self.model.predict(images, batch_size=500, verbose=0)


def build_judge(seeds: Sequence[int] | None = None) -> keras.Model:
    """The judge's network, untrained.

    Args:
        seeds: an integer or ``keras.random.SeedGenerator`` for the initial weights.
    """

    def start():
        return keras.initializers.HeNormal(seed=_next(seeds))

    images = keras.Input((28, 28, 1), name="images")
    half = layers.Conv2D(
        16, 5, 2, "same", activation="relu", kernel_initializer=start()
    )(images)
    quarter = layers.Conv2D(
        32, 3, 2, "same", activation="relu", kernel_initializer=start()
    )(half)
    flat = layers.Flatten()(quarter)
    features = layers.Dense(32, "relu", kernel_initializer=start(), name="features")(
        flat
    )
    logits = layers.Dense(CLASSES, kernel_initializer=start(), name="logits")(features)
    return keras.Model(images, {"features": features, "logits": logits})


def moments(features: Any) -> tuple[np.ndarray, np.ndarray]:
    """Mean and covariance of features: ``(count, n)`` to ``(n,)`` and ``(n, n)``.

    Raises:
        ValueError: if there are not at least two rows, or a value is not finite.

    Example:
        >>> mean, covariance = moments(np.array([[0.0, 1.0], [2.0, 3.0], [4.0, 2.0]]))
        >>> print(mean, covariance.shape)
        [2. 2.] (2, 2)
    """
    _checks.shape_of("features", features)
    features = np.asarray(features, dtype=float)
    if features.ndim != 2 or len(features) < 2 or not np.isfinite(features).all():
        raise ValueError(
            "features must be finite, of shape (count, n), with at least two rows; "
            f"got shape {features.shape}."
        )
    return features.mean(0), np.atleast_2d(np.cov(features, rowvar=False))


def frechet_distance(one: Any, other: Any) -> float:
    """Squared Fréchet (2-Wasserstein) distance between two normal distributions.

    ``|m_1 - m_2|^2 + Tr(C_1 + C_2 - 2 (C_1 C_2)^(1/2))``: Dowson and Landau (1982),
    equation 4; Heusel et al. (2017), equation 6. With ``R`` the root of ``C_1``, the
    last trace is that of the root of the symmetric ``R C_2 R``.

    Args:
        one, other: mean ``(n,)`` and covariance ``(n, n)``, see :func:`moments`.

    Raises:
        ValueError: if the shapes do not fit.

    Example:
        >>> one = (np.zeros(2), np.eye(2))
        >>> float(frechet_distance(one, (np.array([3.0, 4.0]), np.eye(2))))
        25.0
    """
    _check_moments("one", one)
    _check_moments("other", other)
    (m1, C1), (m2, C2) = (map(np.asarray, each) for each in (one, other))
    if not m1.shape * 2 == m2.shape * 2 == C1.shape == C2.shape:
        raise ValueError(
            "one and other must be a mean (n,) and a covariance (n, n) with the same "
            f"n, got {m1.shape}, {C1.shape} and {m2.shape}, {C2.shape}."
        )
    root = _root(C1)
    spread = np.sqrt(np.linalg.eigvalsh(root @ C2 @ root).clip(0)).sum()
    distance = np.sum((m1 - m2) ** 2) + np.trace(C1) + np.trace(C2) - 2 * spread
    return float(max(distance, 0.0))  # rounding may leave it just below 0


def _root(C: np.ndarray) -> np.ndarray:
    """The symmetric root of a covariance matrix."""
    squares, axes = np.linalg.eigh(C)
    return (axes * np.sqrt(squares.clip(0))) @ axes.T


def _next(seeds):
    """One more integer seed out of a generator; an integer or None stays as it is."""
    if isinstance(seeds, keras.random.SeedGenerator):
        return int(np.asarray(seeds.next())[0])
    return seeds


def _check_digits(digits) -> None:
    for part in ("images", "labels"):
        if not hasattr(digits, part):
            raise TypeError(f"digits must have images and labels, got {digits!r}.")
    _check_images("digits.images", digits.images, least=2)


def _check_moments(name: str, pair) -> None:
    if not isinstance(pair, (tuple, list)) or len(pair) != 2:
        raise TypeError(f"{name} must be a mean and a covariance, got {pair!r}.")
    for part in pair:
        _checks.finite(**{name: part})


def _check_images(name: str, images, least: int) -> np.ndarray:
    _checks.shape_of(name, images)
    images = np.asarray(images)
    if images.ndim != 4 or images.shape[1:] != (28, 28, 1) or len(images) < least:
        raise ValueError(
            f"{name} must have shape (count, 28, 28, 1) with at least {least} images, "
            f"got {images.shape}."
        )
    inside = np.isfinite(images).all() and images.min() >= 0 and images.max() <= 1
    if not inside:
        raise ValueError(
            f"{name} must be from 0 (paper) to 1 (ink), got {images.min():.3g} to "
            f"{images.max():.3g}."
        )
    return images
