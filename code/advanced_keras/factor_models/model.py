"""What all factor models have in common: betas, factors, and two kinds of prediction.

Chapter: *Factor models*.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from advanced_keras import _checks

from ..data.panel import Panel


class FactorModel:
    """Return of ticker i at date t = betas_{i,t-1} . factors_t + noise.

    A subclass says what betas and factors are. The rest follows.
    """

    def betas(self, panel: Panel) -> np.ndarray:
        """From what was known before the returns: ``(D, N, K)``."""
        raise NotImplementedError

    def factors(self, panel: Panel) -> np.ndarray:
        """From the returns of the same date: ``(D, K)``."""
        raise NotImplementedError

    def fitted(self, panel: Panel) -> np.ndarray:
        """betas_{i,t-1} . f_t, for the total R2: ``(D, N)``, NaN where missing."""
        return _dot(self.betas(panel), self.factors(panel), panel.present)

    def expected(self, panel: Panel) -> np.ndarray:
        """betas_{i,t-1} . lambda_{t-1}, for the predictive R2: ``(D, N)``.

        lambda_{t-1} is the mean of the factors up to date t-1. On the first date there
        is none, so the prediction is NaN, as for missing tickers.
        """
        premia = past_means(self.factors(panel))
        return _dot(self.betas(panel), premia, panel.present)


@dataclass(frozen=True)
class Ensemble(FactorModel):
    """Several models that predict together: the mean of their predictions.

    Each member has its own rotation of the factors, so betas and factors can't be
    averaged. Their products can.
    """

    members: tuple[FactorModel, ...]

    def __post_init__(self):
        if not self.members:
            raise ValueError("members must hold at least one model, got none.")

    def fitted(self, panel: Panel) -> np.ndarray:
        """The mean of the members' fitted returns."""
        return np.mean([each.fitted(panel) for each in self.members], axis=0)

    def expected(self, panel: Panel) -> np.ndarray:
        """The mean of the members' expected returns."""
        return np.mean([each.expected(panel) for each in self.members], axis=0)


def past_means(factors: np.ndarray) -> np.ndarray:
    """For each date the mean over all dates before it, ``(D, K)``; first NaN."""
    _checks.axes(factors=(factors, "(D, K)"))
    # Shifted, not "all so far, less today": rounding would carry today along.
    sums = np.cumsum(np.vstack([np.zeros_like(factors[:1]), factors[:-1]]), axis=0)
    count = np.arange(len(factors))[:, None]
    return np.where(count > 0, sums / np.maximum(count, 1), np.nan)


def _dot(betas, factors, present) -> np.ndarray:
    return np.where(present, np.einsum("dnk,dk->dn", betas, factors), np.nan)
