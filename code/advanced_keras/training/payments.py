"""Card payments, a few of them fraudulent: an imbalanced problem, made here."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from advanced_keras import _checks


class Payments(NamedTuple):
    """Features ``(count, 6)``, labels ``(count,)`` (1 is fraud), amounts in euros."""

    x: np.ndarray
    y: np.ndarray
    amount: np.ndarray


FEATURES = (
    "log of the amount",
    "sine of the hour",
    "cosine of the hour",
    "log of the distance from home",
    "log of the hours since the last payment",
    "the card was present",
)


def make_payments(count: int, seed: int, fraud: float = 0.015) -> Payments:
    """Draw card payments.

    Fraud happens more often at night, far from home, soon after another payment and
    without the card, and its amounts are higher. All of it overlaps with honest
    payments, as it does in life.

    Args:
        count: how many.
        seed: of the random numbers.
        fraud: the share that is fraudulent, between 0 and 1.

    Raises:
        ValueError: if ``count`` isn't positive or ``fraud`` isn't between 0 and 1.

    Example:
        >>> payments = make_payments(100, seed=0)
        >>> payments.x.shape, payments.y.shape
        ((100, 6), (100,))
    """
    _checks.whole("count", count)
    if not _checks.is_real(fraud) or not 0 < fraud < 1:
        raise ValueError(f"fraud must be between 0 and 1, got {fraud!r}.")
    rng = np.random.default_rng(seed)
    y = (rng.uniform(size=count) < fraud).astype("int32")
    log_amount = rng.normal(3.4 + 0.9 * y, 0.9)
    night = rng.uniform(size=count) < 0.15 + 0.4 * y
    hour = np.where(night, rng.uniform(0, 6, count), rng.uniform(6, 24, count))
    angle = 2 * np.pi * hour / 24
    distance = rng.normal(1.5 + 1.5 * y, 1.1)
    since = rng.normal(2.0 - 1.3 * y, 1.0)
    present = rng.uniform(size=count) < 0.7 - 0.5 * y
    columns = [log_amount, np.sin(angle), np.cos(angle), distance, since, present]
    x = np.stack(columns, axis=1).astype("float32")
    return Payments(x, y, np.exp(log_amount).astype("float32"))
