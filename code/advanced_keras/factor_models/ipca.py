"""Betas linear in characteristics: instrumented principal component analysis.

Chapter: *Factor models*, section "Betas from characteristics". Kelly, Pruitt and Su
(2019): beta_{i,t-1} = Gamma' z_{i,t-1}; Gamma and the factors minimize the sum of
squared errors over all cells that are present.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from advanced_keras import _checks

from ..data.panel import Panel
from .classical import (
    _check_factors,
    _check_panel,
    cross_sectional_regression,
    managed_portfolios,
    moments,
    principal_components,
)
from .model import FactorModel


@dataclass(frozen=True)
class IPCA(FactorModel):
    """The fitted model.

    Args:
        gamma: ``(P, K)`` with orthonormal columns.
        iterations: how many it took.
    """

    gamma: np.ndarray
    iterations: int

    def betas(self, panel: Panel) -> np.ndarray:
        """``Z @ gamma``: one matrix, threaded over dates and tickers, ``(D, N, K)``."""
        return panel.characteristics @ self.gamma

    def factors(self, panel: Panel) -> np.ndarray:
        """The cross-sectional regression on the betas, ``(D, K)``."""
        return cross_sectional_regression(
            panel.returns, self.betas(panel), panel.present
        )


def fit_ipca(
    panel: Panel,
    num_factors: int,
    tolerance: float = 1e-8,
    max_iterations: int = 2000,
) -> IPCA:
    """Alternate two least squares: factors for given Gamma, Gamma for given factors.

    Args:
        panel: D dates, N tickers, P characteristics.
        num_factors: K, at most P.
        tolerance: stop when no entry of the projector on Gamma's columns moves more.
        max_iterations: and stop with an error after so many.

    Returns:
        An :class:`IPCA`, factors in the order of their variance.

    Raises:
        ValueError: for a K that is not from 1 to P.
        RuntimeError: if it does not converge.

    Example:
        >>> from advanced_keras.data.panel import simulate_panel
        >>> panel, _ = simulate_panel(num_dates=48, num_assets=30, seed=0)
        >>> fit_ipca(panel, num_factors=2).gamma.shape
        (10, 2)
    """
    _check_panel(panel)
    _check_factors(num_factors, len(panel.names))
    W, q = moments(panel.returns, panel.characteristics, panel.present)
    gamma = principal_components(managed_portfolios(panel), num_factors)
    for iteration in range(1, max_iterations + 1):
        before = gamma @ gamma.T
        gamma = np.linalg.qr(solve_gamma(W, q, solve_factors(W, q, gamma)))[0]
        if np.abs(gamma @ gamma.T - before).max() < tolerance:
            return IPCA(_by_variance(gamma, solve_factors(W, q, gamma)), iteration)
    raise RuntimeError(f"IPCA did not converge in {max_iterations} iterations.")


def solve_factors(W: np.ndarray, q: np.ndarray, gamma: np.ndarray) -> np.ndarray:
    """f_t = (Gamma' W_t Gamma)^-1 Gamma' q_t, ``(D, K)``; W_t = Z'Z, q_t = Z'r."""
    _checks.axes(W=(W, "(D, P, P)"), q=(q, "(D, P)"), gamma=(gamma, "(P, K)"))
    return np.linalg.solve(gamma.T @ W @ gamma, (q @ gamma)[..., None])[..., 0]


def solve_gamma(W: np.ndarray, q: np.ndarray, factors: np.ndarray) -> np.ndarray:
    """Solve sum_t W_t Gamma f_t f_t' = sum_t q_t f_t' for Gamma, ``(P, K)``."""
    _checks.axes(W=(W, "(D, P, P)"), q=(q, "(D, P)"), factors=(factors, "(D, K)"))
    P, K = q.shape[1], factors.shape[1]
    outer = factors[:, :, None] * factors[:, None, :]
    left = np.einsum("tpq,tkl->pkql", W, outer, optimize=True).reshape(P * K, P * K)
    return np.linalg.solve(left, (q.T @ factors).ravel()).reshape(P, K)


def _by_variance(gamma: np.ndarray, factors: np.ndarray) -> np.ndarray:
    """Turn Gamma so that the factors are uncorrelated, the most variable first."""
    order = np.linalg.svd(factors - factors.mean(0), full_matrices=False)[2]
    return gamma @ order.T
