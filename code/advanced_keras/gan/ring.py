"""Eight Gaussians on a ring: data of which every mode is known.

Chapter: *The GAN training loop*. The test of a GAN that can be seen with the eye;
Metz et al. (2017), *Unrolled Generative Adversarial Networks*, section 3.1.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from advanced_keras import _checks


@dataclass(frozen=True)
class Ring:
    """Equally likely normal distributions with centres evenly on a circle.

    Args:
        modes: how many.
        radius: of the circle.
        spread: standard deviation of each, in both directions.
    """

    modes: int = 8
    radius: float = 2.0
    spread: float = 0.1

    def __post_init__(self):
        if isinstance(self.modes, bool) or not isinstance(self.modes, int):
            raise TypeError(f"modes must be an integer, got {self.modes!r}.")
        for name in ("modes", "radius", "spread"):
            value = getattr(self, name)
            if not _checks.is_real(value) or not 0 < value < np.inf:
                raise ValueError(
                    f"{name} must be positive, got {getattr(self, name)!r}."
                )

    @property
    def centers(self):
        """The centres, ``(modes, 2)``."""
        angles = 2 * np.pi * np.arange(self.modes) / self.modes
        return self.radius * np.stack([np.cos(angles), np.sin(angles)], axis=-1)

    def sample(self, count, seed=0):
        """Draw points, ``(count, 2)`` float32."""
        _checks.whole("count", count)
        rng = np.random.default_rng(seed)
        modes = rng.integers(0, self.modes, count)
        noise = rng.normal(0, self.spread, (count, 2))
        return (self.centers[modes] + noise).astype("float32")

    def density(self, points):
        """The density at points, ``(..., 2)`` to ``(...)``."""
        _checks.axes(points=(points, "(..., 2)"))
        squares = np.sum(
            (np.asarray(points, float)[..., None, :] - self.centers) ** 2, axis=-1
        )
        peak = 1 / (2 * np.pi * self.spread**2)
        return np.mean(peak * np.exp(-squares / (2 * self.spread**2)), axis=-1)

    def cover(self, points):
        """Judge generated points, ``(count, 2)``.

        A point is good if it lies within three spreads of the nearest centre; 98.9% of
        real ones do. A mode is covered if at least a tenth of its fair share of all
        points are good ones of its own.

        Returns:
            The number of modes covered, and the share of good points.

        Raises:
            ValueError: if ``points`` has another shape, is empty, or is not finite.
        """
        _checks.shape_of("points", points)
        points = np.asarray(points, float)
        if points.ndim != 2 or points.shape[1:] != (2,) or not len(points):
            raise ValueError(f"points must have shape (count, 2), got {points.shape}.")
        if not np.isfinite(points).all():
            raise ValueError("points must be finite, got nan or inf among them.")
        distances = np.linalg.norm(points[:, None] - self.centers, axis=-1)
        good = distances.min(axis=1) <= 3 * self.spread
        counts = np.bincount(distances.argmin(axis=1)[good], minlength=self.modes)
        covered = np.sum(counts >= 0.1 * len(points) / self.modes)
        return int(covered), float(good.mean())
