"""Checks of arguments: one sentence with the name, what came and what was expected."""

from __future__ import annotations

import math
from numbers import Integral, Real
from typing import Any


def is_real(value: Any) -> bool:
    """Whether a value is a number that can be compared: not a truth value, not nan."""
    number = isinstance(value, Real) and not isinstance(value, bool)
    return number and not math.isnan(value)


def whole(name: str, value: Any, least: int = 1) -> None:
    """Refuse what is not an integer of at least ``least``."""
    number = isinstance(value, Integral) and not isinstance(value, bool)
    if not number or int(value) < least:
        raise ValueError(
            f"{name} must be an integer of at least {least}, got {value!r}."
        )


def widths(name: str, value: Any, count: int) -> None:
    """Refuse what is not a tuple or list of so many positive integers."""
    if not isinstance(value, (tuple, list)) or len(value) != count:
        raise ValueError(f"{name} must be {count} positive integers, got {value!r}.")
    for each in value:
        whole(f"each of {name}", each)


def positive(name: str, value: Any) -> None:
    """Refuse what is not a positive, finite number."""
    if not is_real(value) or not 0 < float(value) < math.inf:
        raise ValueError(f"{name} must be a positive, finite number, got {value!r}.")


def share(name: str, value: Any) -> None:
    """Refuse what is not a number of at least 0 and below 1."""
    if not is_real(value) or not 0 <= float(value) < 1:
        raise ValueError(f"{name} must be at least 0 and below 1, got {value!r}.")
