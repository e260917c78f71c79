"""Checks of arguments: one sentence with the name, what came and what was expected."""

from __future__ import annotations

import math
from numbers import Integral, Real
from typing import Any

import numpy as np
from keras import ops


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


def at(name: str, value: Any, size: int) -> None:
    """Refuse what is not an integer of at least 0 and below ``size``."""
    whole(name, value, least=0)
    if value >= size:
        raise ValueError(f"{name} must be below {size}, got {value!r}.")


def texts(name: str, value: Any) -> None:
    """Refuse what is not a list or tuple of strings: a string would give letters."""
    if not isinstance(value, (tuple, list)):
        raise TypeError(f"{name} must be a list of strings, got {value!r}.")
    for each in value:
        if not isinstance(each, str):
            raise TypeError(f"{name} must be a list of strings, got {each!r} in it.")


def share(name: str, value: Any) -> None:
    """Refuse what is not a number of at least 0 and below 1."""
    if not is_real(value) or not 0 <= float(value) < 1:
        raise ValueError(f"{name} must be at least 0 and below 1, got {value!r}.")


# -- arrays: tensors of a graph have no values yet, so only their static shape is seen


def shape_of(name: str, value: Any) -> tuple[int | None, ...] | None:
    """Return the shape of an array, None if it has no known rank; refuse all else."""
    if not (hasattr(value, "shape") and hasattr(value, "dtype")):
        value = _as_array(name, value)
    kind = _kind(name, value)
    if not kind.startswith(("bool", "int", "uint", "float", "bfloat")):
        raise TypeError(f"{name} must hold numbers, got an array of {kind}.")
    if getattr(value.shape, "rank", 0) is None:
        return None
    return tuple(value.shape)


def axes(**arguments: tuple[Any, str]) -> None:
    """Refuse arrays whose axes don't fit.

    Each argument is a pair: the array, and its shape as docstrings write it, such as
    ``(batch, rows, columns, 3)`` or ``(..., T, d)``. A letter or word stands for the
    same size wherever it occurs; sizes that are not known yet fit everything.
    """
    known: dict[str, tuple[int, str]] = {}
    for name, (value, form) in arguments.items():
        shape = shape_of(name, value)
        reason = None if shape is None else _misfit(name, shape, form, known)
        if reason is not None:
            raise ValueError(f"{name} must have shape {form}{reason}, got {shape}.")


def alike(**arguments: Any) -> None:
    """Refuse arrays that have not all the same shape: they would broadcast."""
    shapes = {name: shape_of(name, value) for name, value in arguments.items()}
    first, *others = (shape for shape in shapes.values() if shape is not None)
    if not all(_agree(first, other) for other in others):
        raise ValueError(
            f"{' and '.join(shapes)} must have the same shape, got "
            f"{' and '.join(map(str, shapes.values()))}."
        )


def finite(**arguments: Any) -> None:
    """Refuse arrays that are empty, or that hold nan or inf."""
    for name, value in arguments.items():
        shape_of(name, value)
        array = np.asarray(value)
        if not array.size:
            raise ValueError(f"{name} must not be empty, got shape {array.shape}.")
        if not np.isfinite(array).all():
            raise ValueError(f"{name} must be finite, got nan or inf in it.")


def between(name: str, value: Any, least: float, most: float) -> None:
    """Refuse an array with numbers outside of ``least`` to ``most``, or without any."""
    finite(**{name: value})
    low, high = float(np.min(value)), float(np.max(value))
    if not least <= low <= high <= most:
        raise ValueError(
            f"{name} must be from {least:g} to {most:g}, got {low:.3g} to {high:.3g}."
        )


def flags(name: str, value: Any) -> None:
    """Refuse an array of anything but True and False."""
    if np.asarray(value).dtype != bool:
        raise TypeError(f"{name} must hold bool, got {np.asarray(value).dtype}.")


def floating(**arguments: Any) -> None:
    """Refuse arrays of integers or truth values, where fractions come out."""
    for name, value in arguments.items():
        kind = _kind(name, value)
        if not kind.startswith(("float", "bfloat")):
            raise TypeError(f"{name} must be floating-point, got an array of {kind}.")


def integers(name: str, value: Any) -> None:
    """Refuse an array of anything but integers."""
    kind = _kind(name, value)
    if not kind.startswith(("int", "uint")):
        raise TypeError(f"{name} must hold integers, got an array of {kind}.")


def leading(**arguments: Any) -> None:
    """Refuse arrays whose axes in front of the last two don't broadcast."""
    shapes = {name: shape_of(name, value) for name, value in arguments.items()}
    known = [shape[:-2] for shape in shapes.values() if shape is not None]
    most = max(map(len, known), default=0)
    filled = [(1,) * (most - len(shape)) + shape for shape in known]
    if any(len(set(sizes) - {None, 1}) > 1 for sizes in zip(*filled, strict=True)):
        raise ValueError(
            f"{' and '.join(shapes)} must fit in all axes but the last two, got "
            f"{' and '.join(map(str, shapes.values()))}."
        )


def mask(name: str, value: Any, form: str, shape: tuple[int | None, ...]) -> None:
    """Refuse a mask that does not broadcast to a shape, or is made of fractions.

    A mask of fractions may be one that is to be *added* to scores, 0 where something
    is allowed: read as truth values it would say the opposite.
    """
    kind, given = _kind(name, value), shape_of(name, value)
    if kind.startswith(("float", "bfloat")):
        raise TypeError(f"{name} must be boolean, got an array of {kind}.")
    if given is None:
        return
    last = shape[len(shape) - len(given) :]
    fits = len(given) <= len(shape) and all(
        one in (1, None) or two in (None, one)
        for one, two in zip(given, last, strict=True)
    )
    if not fits:
        raise ValueError(
            f"{name} must have shape {form} or broadcast to it, here {shape}, "
            f"got {given}."
        )


def as_tensors(*arrays: Any) -> list[Any]:
    """Turn lists and numbers into tensors; what has a shape and a dtype stays."""
    return [
        each
        if hasattr(each, "shape") and hasattr(each, "dtype")
        else ops.convert_to_tensor(each)
        for each in arrays
    ]


def instance(name: str, value: Any, kind: type | tuple[type, ...], what: str) -> None:
    """Refuse what is not of a class, which is told in words."""
    if not isinstance(value, kind):
        raise TypeError(f"{name} must be {what}, got {value!r}.")


def function(name: str, value: Any) -> None:
    """Refuse what can't be called."""
    if not callable(value):
        raise TypeError(f"{name} must be callable, got {value!r}.")


def _kind(name, value) -> str:
    """The name of a dtype: ``float32``."""
    if not hasattr(value, "dtype"):
        value = _as_array(name, value)
    return str(getattr(value.dtype, "name", value.dtype))


def _as_array(name, value) -> np.ndarray:
    """Lists and numbers as an array; no text, and no rows of unequal length."""
    try:
        if value is not None and not isinstance(value, (str, bytes, dict)):
            return np.asarray(value)
    except (TypeError, ValueError):
        pass
    raise TypeError(f"{name} must be an array of numbers, got {value!r}.")


def _misfit(name, shape, form, known) -> str | None:
    """Why a shape is not the wanted one; '' if it has too many or too few axes."""
    wanted = [word.strip() for word in form.strip("()").split(",") if word.strip()]
    if "..." in wanted:
        place, free = wanted.index("..."), len(shape) - len(wanted) + 1
        wanted[place : place + 1] = [""] * free
    if len(wanted) != len(shape):
        return ""
    for word, size in zip(wanted, shape, strict=True):
        if not word or size is None:
            continue
        if word.isdigit() and int(word) != size:
            return ""
        expected, where = known.setdefault(word, (size, name))
        if expected != size:
            return f", with {word} = {expected} as in {where}"
    return None


def _agree(one, other) -> bool:
    """Whether two static shapes can be the same; None agrees with any size."""
    return len(one) == len(other) and all(
        None in pair or pair[0] == pair[1] for pair in zip(one, other, strict=True)
    )
