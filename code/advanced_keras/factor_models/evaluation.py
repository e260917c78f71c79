"""Judge a factor model: two R2, the factor space, and only by what came later.

Chapter: *Factor models*, section "Out of sample".
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from advanced_keras import _checks

from ..data.panel import Panel
from .model import FactorModel


def panel_r2(returns: np.ndarray, predicted: np.ndarray, present: np.ndarray) -> float:
    """R2 = 1 - sum (r - predicted)^2 / sum r^2, over the cells that have both.

    With ``fitted`` returns it is the *total* R2, with ``expected`` returns the
    *predictive* R2 (Kelly, Pruitt and Su, 2019; Gu, Kelly and Xiu, 2021). It compares
    with predicting 0, not with predicting the mean.

    Args:
        returns, predicted, present: ``(D, N)``; a NaN prediction counts as no
            prediction.

    Raises:
        ValueError: if shapes differ or no cell has both.

    Example:
        >>> returns = np.array([[0.01, -0.02]])
        >>> panel_r2(returns, np.zeros((1, 2)), returns != 0)
        0.0
    """
    _checks.shape_of("returns", returns)
    _checks.shape_of("predicted", predicted)
    _checks.shape_of("present", present)
    _checks.flags("present", present)
    if not returns.shape == predicted.shape == present.shape:
        raise ValueError(
            "returns, predicted and present must have one shape, got "
            f"{returns.shape}, {predicted.shape} and {present.shape}."
        )
    both = present & ~np.isnan(predicted)
    if not both.any():
        raise ValueError("predicted must predict at least one return that is present.")
    error = returns[both] - predicted[both]
    return float(1 - np.sum(error**2) / np.sum(returns[both] ** 2))


def model_r2(
    model: FactorModel, panel: Panel, window: slice = slice(None)
) -> tuple[float, float]:
    """Total and predictive R2 of a model in a window of dates.

    Args:
        model: fitted to other dates, if the R2 are to be out of sample.
        panel: all dates; past factors, also those before the window, give the means.
        window: the dates to judge.
    """
    _checks.instance("model", model, FactorModel, "a FactorModel")
    _checks.instance("panel", panel, Panel, "a Panel")
    returns, present = panel.returns[window], panel.present[window]
    total, predictive = (
        panel_r2(returns, predicted[window], present)
        for predicted in (model.fitted(panel), model.expected(panel))
    )
    return total, predictive


def canonical_correlations(F: np.ndarray, G: np.ndarray) -> np.ndarray:
    """How far two sets of factors span the same space: one number each, 1 for yes.

    Factors are known up to an invertible mixture only, and these numbers don't change
    under one (Hotelling, 1936).

    Args:
        F: ``(D, K)``.
        G: ``(D, L)``.

    Returns:
        ``(min(K, L),)``, falling; 0 for a direction that one of the sets lacks, because
        its columns are constant or depend on each other.

    Raises:
        ValueError: if the two have not the same dates.

    Example:
        >>> x = np.arange(6.0).reshape(3, 2) ** 2
        >>> print(canonical_correlations(x, 3 * x).round(6))
        [1. 1.]
    """
    _checks.axes(F=(F, "(D, K)"), G=(G, "(D, L)"))
    _checks.finite(F=F, G=G)
    return np.clip(np.linalg.svd(_basis(F).T @ _basis(G), compute_uv=False), 0, 1)


def _basis(X: np.ndarray) -> np.ndarray:
    """Orthonormal columns that span the centred X; zeros for what it does not span."""
    X = np.asarray(X)
    U, s, _ = np.linalg.svd(X - X.mean(0), full_matrices=False)
    return U * (s > 1e-10 * np.linalg.norm(X))


@dataclass(frozen=True)
class Fold:
    """Three windows, one after the other: fit on, choose on, judge on."""

    train: slice
    validation: slice
    test: slice


def make_folds(
    num_dates: int, train: int, validation: int, test: int, expanding: bool = True
) -> list[Fold]:
    """Windows that move forward in time, each test window later than all it judges.

    Gu, Kelly and Xiu (2021) train on 18 years, validate on the next 12 and test on the
    next one; then they refit with one year more.

    Args:
        num_dates: D.
        train, validation, test: lengths of the windows of the first fold, in dates.
        expanding: whether training keeps its beginning, or drops ``test`` dates.

    Returns:
        The folds, oldest first; the last test window may be shorter.

    Raises:
        ValueError: for a length that is not a positive integer, or that leaves no date
            for testing.
    """
    lengths = {"train": train, "validation": validation, "test": test}
    for name, value in {"num_dates": num_dates, **lengths}.items():
        _checks.whole(name, value)
    first = train + validation
    if first >= num_dates:
        raise ValueError(
            f"train + validation must be less than the {num_dates} dates, got {first}."
        )
    found = []
    for start in range(first, num_dates, test):
        begin = 0 if expanding else start - first
        middle, end = start - validation, min(start + test, num_dates)
        found.append(
            Fold(slice(begin, middle), slice(middle, start), slice(start, end))
        )
    return found


@dataclass(frozen=True)
class WalkForward:
    """Predictions for the test windows, each by the model that its past made.

    Args:
        fitted, expected: ``(D, N)``; NaN outside of the test windows.
        models: one for each fold.
    """

    fitted: np.ndarray
    expected: np.ndarray
    models: tuple[FactorModel, ...]


def walk_forward(
    panel: Panel, folds: list[Fold], fit: Callable[[Panel, Panel], FactorModel]
) -> WalkForward:
    """Fit a new model for each fold and let it predict that fold's test window.

    Args:
        panel: all dates.
        folds: from :func:`make_folds`.
        fit: gets the training and the validation window and returns a model. It is
            called once for each fold and must start afresh.
    """
    _check_walk(panel, folds, fit)
    fitted = np.full(panel.returns.shape, np.nan)
    expected, models = fitted.copy(), []
    for fold in folds:
        model = fit(panel.take(fold.train), panel.take(fold.validation))
        past_and_test = panel.take(slice(0, fold.test.stop))
        fitted[fold.test] = model.fitted(panel.take(fold.test))
        expected[fold.test] = model.expected(past_and_test)[fold.test]
        models.append(model)
    return WalkForward(fitted, expected, tuple(models))


def _check_walk(panel, folds, fit) -> None:
    _checks.instance("panel", panel, Panel, "a Panel")
    _checks.instance("folds", folds, (list, tuple), "a list of folds")
    for fold in folds:
        _checks.instance("each of folds", fold, Fold, "a Fold")
    _checks.function("fit", fit)
