"""Factors given, betas given, neither given: the classical estimates.

Chapter: *Factor models*, sections "Factors given" to "Neither given". All three fit the
same equation, r_{i,t} = beta_i' f_t + e_{i,t}; they differ in what is known.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from advanced_keras import _checks

from ..data.panel import Panel
from .model import FactorModel

LARGEST_CONDITION = 1e12


def time_series_regression(
    returns: np.ndarray,
    factors: np.ndarray,
    present: np.ndarray,
    intercept: bool = True,
) -> tuple[np.ndarray, np.ndarray]:
    """Factors given: one regression for each ticker, over its dates.

    Args:
        returns: ``(D, N)``.
        factors: ``(D, K)``.
        present: ``(D, N)``; other cells are not read.
        intercept: whether to estimate alpha; else it is 0.

    Returns:
        alpha ``(N,)`` and beta ``(N, K)``; NaN for a ticker with fewer dates than
        coefficients.

    Raises:
        ValueError: if a shape does not fit.

    Example:
        >>> factors = np.array([[1.0], [2.0], [3.0]])
        >>> returns = 0.5 + 2 * factors
        >>> alpha, beta = time_series_regression(returns, factors, returns > 0)
        >>> print(alpha.round(6), beta.round(6))
        [0.5] [[2.]]
    """
    _check_shapes(returns, present, factors=factors)
    ones = np.full((len(factors), int(intercept)), 1.0)
    X = np.concatenate([ones, factors], axis=1)
    solution = np.full((returns.shape[1], X.shape[1]), np.nan)
    for i, seen in enumerate(present.T):
        if seen.sum() >= X.shape[1]:
            solution[i] = np.linalg.lstsq(X[seen], returns[seen, i], rcond=None)[0]
    if intercept:
        return solution[:, 0], solution[:, 1:]
    return np.where(np.isnan(solution[:, 0]), np.nan, 0.0), solution


def cross_sectional_regression(
    returns: np.ndarray, betas: np.ndarray, present: np.ndarray
) -> np.ndarray:
    """Betas given: one regression for each date, over its tickers.

    f_t = (B_t' B_t)^-1 B_t' r_t, where B_t has the rows of the tickers present.

    Args:
        returns: ``(D, N)``.
        betas: ``(D, N, K)``.
        present: ``(D, N)``; other cells are not read.

    Returns:
        ``(D, K)``: the factors, each the return of a portfolio.

    Raises:
        ValueError: if a shape does not fit, or if on some date the tickers don't
            determine the factors; the message says which.
    """
    _check_shapes(returns, present, betas=betas)
    W, q = moments(returns, betas, present)
    # In units of each column's length: a market value in dollars is no reason to fail.
    length = np.sqrt(np.maximum(np.diagonal(W, axis1=1, axis2=2), 1e-300))
    W, q = W / (length[:, :, None] * length[:, None, :]), q / length
    bad = np.linalg.cond(W) > LARGEST_CONDITION
    if bad.any():
        t = int(np.flatnonzero(bad)[0])
        raise ValueError(
            f"betas must have full rank on every date; on date {t} there are "
            f"{int(present[t].sum())} tickers for {betas.shape[-1]} columns, or the "
            f"columns depend on each other ({int(bad.sum())} such dates)."
        )
    return np.linalg.solve(W, q[..., None])[..., 0] / length


def managed_portfolios(panel: Panel) -> np.ndarray:
    """The characteristic-managed portfolios, x_t = (Z_{t-1}' Z_{t-1})^-1 Z_{t-1}' r_t.

    A cross-sectional regression again, on the characteristics themselves. Gu, Kelly
    and Xiu (2021) feed these to the factor network in place of the single returns.

    Returns:
        ``(D, P)``.

    Raises:
        ValueError: see :func:`cross_sectional_regression`.
    """
    _check_panel(panel)
    return cross_sectional_regression(
        panel.returns, panel.characteristics, panel.present
    )


def moments(
    returns: np.ndarray, X: np.ndarray, present: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """For each date X'X ``(D, K, K)`` and X'r ``(D, K)``, over the tickers present."""
    _checks.axes(
        returns=(returns, "(D, N)"), X=(X, "(D, N, K)"), present=(present, "(D, N)")
    )
    _checks.flags("present", present)
    X = np.where(present[..., None], X, 0.0)
    r = np.where(present, returns, 0.0)
    return X.swapaxes(1, 2) @ X, np.einsum("dnk,dn->dk", X, r)


@dataclass(frozen=True)
class Premia:
    """Estimates of the expected factors, with standard errors and t statistics."""

    mean: np.ndarray
    error: np.ndarray

    @property
    def t(self) -> np.ndarray:
        """How many standard errors the mean is away from 0."""
        return self.mean / self.error


def fama_macbeth(returns: np.ndarray, betas: np.ndarray, present: np.ndarray) -> Premia:
    """Regress on each date, then take the mean over dates (Fama and MacBeth, 1973).

    Args:
        returns, betas, present: see :func:`cross_sectional_regression`.

    Returns:
        Premia ``(K,)``; the error is the standard deviation of the slopes over dates,
        divided by sqrt(D). It needs no model of how the tickers' noises move together,
        and takes it that dates are independent of each other.

    Raises:
        ValueError: for fewer than two dates; see also
            :func:`cross_sectional_regression`.

    Example:
        >>> betas = np.array([[[1.0], [2.0]], [[1.0], [2.0]]])
        >>> returns = np.array([[0.01, 0.02], [0.03, 0.06]])
        >>> print(fama_macbeth(returns, betas, returns > 0).mean)
        [0.02]
    """
    slopes = cross_sectional_regression(returns, betas, present)
    if len(slopes) < 2:
        raise ValueError(f"returns must have at least 2 dates, got {len(slopes)}.")
    return Premia(slopes.mean(0), slopes.std(0, ddof=1) / np.sqrt(len(slopes)))


def principal_components(x: np.ndarray, num_factors: int) -> np.ndarray:
    """Neither given: the directions of a complete table with the largest variance.

    Args:
        x: ``(D, P)``, without gaps.
        num_factors: K.

    Returns:
        Weights ``(P, K)`` with orthonormal columns; the factors are ``x @ weights``.

    Raises:
        ValueError: for a gap in ``x``, or a K that is not from 1 to min(D, P).
    """
    _checks.axes(x=(x, "(D, P)"))
    x = np.asarray(x)
    if not np.isfinite(x).all():
        raise ValueError("x must have no gaps: fill or aggregate it first.")
    _check_factors(num_factors, min(x.shape))
    return np.linalg.svd(x - x.mean(0), full_matrices=False)[2][:num_factors].T


@dataclass(frozen=True)
class StaticModel(FactorModel):
    """Factors are fixed mixtures of managed portfolios; a ticker's betas never change.

    Args:
        weights: ``(P, K)``.
        static: ``(N, K)``, the betas.
    """

    weights: np.ndarray
    static: np.ndarray

    def betas(self, panel: Panel) -> np.ndarray:
        """The same for all dates, ``(D, N, K)``."""
        return np.broadcast_to(self.static, (len(panel), *self.static.shape))

    def factors(self, panel: Panel) -> np.ndarray:
        """``(D, K)``."""
        return managed_portfolios(panel) @ self.weights


def fit_static(panel: Panel, weights: np.ndarray) -> StaticModel:
    """Betas of each ticker on given portfolios, by time-series regression, alpha 0.

    A ticker with fewer than 24 dates gets the mean betas of the others.

    Raises:
        ValueError: if there are no others.
    """
    _check_panel(panel)
    _checks.axes(weights=(weights, f"({len(panel.names)}, K)"))
    _checks.finite(weights=weights)
    known = panel.present.sum(0) >= 24
    if not known.any():
        raise ValueError("panel must have a ticker that is there on 24 dates or more.")
    factors = managed_portfolios(panel) @ weights
    beta = time_series_regression(
        panel.returns, factors, panel.present, intercept=False
    )[1]
    return StaticModel(weights, np.where(known[:, None], beta, beta[known].mean(0)))


def fit_market(panel: Panel) -> StaticModel:
    """One factor, given: the managed portfolio of the constant, which holds all."""
    _check_panel(panel)
    return fit_static(panel, np.eye(len(panel.names), 1))


def fit_pca(panel: Panel, num_factors: int) -> StaticModel:
    """Neither given: principal components of the managed portfolios."""
    return fit_static(
        panel, principal_components(managed_portfolios(panel), num_factors)
    )


def _check_factors(num_factors, most: int) -> None:
    whole = isinstance(num_factors, (int, np.integer))
    if not whole or isinstance(num_factors, bool) or not 1 <= num_factors <= most:
        raise ValueError(
            f"num_factors must be an integer from 1 to {most}, got {num_factors!r}."
        )


def _check_shapes(returns, present, **others) -> None:
    _checks.axes(returns=(returns, "(D, N)"), present=(present, "(D, N)"))
    _checks.flags("present", present)
    for name, array in others.items():
        form = "(D, K)" if name == "factors" else "(D, N, K)"
        _checks.axes(returns=(returns, "(D, N)"), **{name: (array, form)})
        if name == "factors":
            _checks.finite(factors=array)


def _check_panel(panel, name: str = "panel") -> None:
    _checks.instance(name, panel, Panel, "a Panel")
