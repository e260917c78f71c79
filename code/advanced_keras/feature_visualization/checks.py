"""Checks of arguments: one sentence with the name, what came and what was expected."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from advanced_keras import _checks


def number(name: str, value: Any, least: float = 0, whole: bool = False) -> Any:
    """A finite number, or an integer, of at least ``least``."""
    kinds = (int, np.integer) if whole else (int, float, np.number)
    fits = isinstance(value, kinds) and not isinstance(value, bool)
    if not fits or not least <= value < np.inf:
        kind = "an integer" if whole else "a finite number"
        raise ValueError(f"{name} must be {kind} of at least {least}, got {value!r}.")
    return value


def pictures(name: str, images: Any, boxed: bool = False) -> np.ndarray:
    """An array of finite pictures in floating point, if ``boxed`` from 0 to 1."""
    _checks.shape_of(name, images)
    images = keras.ops.convert_to_numpy(images)
    if images.ndim != 4 or not images.size or images.dtype.kind != "f":
        raise ValueError(
            f"{name} must be (batch, rows, columns, channels), floating point and not "
            f"empty, got {images.shape}, {images.dtype}."
        )
    least, most = images.min(), images.max()
    if not np.isfinite(least + most):
        raise ValueError(f"{name} must be finite, got NaN or infinity in it.")
    if boxed and not -1e-6 <= least <= most <= 1 + 1e-6:
        raise ValueError(f"{name} must be from 0 to 1, got {least:.3g} to {most:.3g}.")
    return images


def channels(name: str, values: Any, count: int, most: int) -> np.ndarray:
    """``count`` integers from 0 to ``most - 1``."""
    _checks.shape_of(name, values)
    values = np.asarray(values)
    fits = values.shape == (count,) and values.dtype.kind in "iu"
    if not fits or not np.all((values >= 0) & (values < most)):
        raise ValueError(
            f"{name} must be {count} integers from 0 to {most - 1}, one for each "
            f"picture, got {values!r}."
        )
    return values


def one_input(name: str, model: Any) -> keras.Model:
    """A built model with one input."""
    try:
        count = len(model.inputs)
    except (AttributeError, TypeError, ValueError):  # not a model, or not built
        count = 0
    if count != 1:
        raise ValueError(
            f"{name} must be a built functional model with one input, got "
            f"{type(model).__name__} with {count}."
        )
    return model


def fitting(network: str, model: Any, images: np.ndarray) -> None:
    """Pictures with as many channels as a model wants."""
    one_input(network, model)
    wanted = model.input_shape[-1]
    if wanted is not None and images.shape[-1] != wanted:
        raise ValueError(
            f"images must have the {wanted} channels that {network} takes, got "
            f"{images.shape}."
        )
