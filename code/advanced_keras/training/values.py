"""What a recorder writes down of a value: tensors, numbers, variables, and groups."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import tensorflow as tf

MAX_LEAVES = 1000
"""Longer lists are data, not collections of tensors: we don't look inside."""


@dataclass(frozen=True)
class Product:
    """One value that a line gave a name to.

    Args:
        id: id of the event, a slash, and the path.
        name: the local variable, or ``return``.
        path: where in it: ``gradients[2]``, ``data['x']``; else the name.
        kind: tensor, gradient, variable, number, none or object.
        shape: its shape; None for an object.
        dtype: its dtype, or the class of an object.
        value: the number, if it is one number.
        norm: square root of the sum of squares of its entries.
        mean: mean of its entries.
        of: what a gradient was taken by; the path of a variable.
    """

    id: str
    name: str
    path: str
    kind: str
    shape: tuple[int, ...] | None
    dtype: str
    value: float | None = None
    norm: float | None = None
    mean: float | None = None
    of: str | None = None


@dataclass(frozen=True)
class Change:
    """One variable that a line changed, or made.

    Args:
        id: id of the event, a slash, and the id of the variable.
        group: name of its group.
        variable: its id, ``weights[0]``.
        path: its path in Keras, ``dense/kernel``.
        shape: its shape.
        norm: length of the change, the square root of the sum of squares.
        entries: how many of its entries changed.
        created: the variable did not exist before the line.
    """

    id: str
    group: str
    variable: str
    path: str
    shape: tuple[int, ...]
    norm: float
    entries: int
    created: bool = False


def is_variable(value: Any) -> bool:
    """Whether it is a variable of Keras or of TensorFlow."""
    return isinstance(value, (keras.Variable, tf.Variable))


def is_array(value: Any) -> bool:
    """Whether it is a tensor with numbers in it, or an array."""
    kinds = (tf.Tensor, tf.IndexedSlices, np.ndarray, np.generic)
    return isinstance(value, kinds) and not tf.is_symbolic_tensor(value)


def leaves(path: str, value: Any, depth: int = 4) -> Iterator[tuple[str, Any]]:
    """Everything inside nested lists, tuples and dicts, with the path to it."""
    container = isinstance(value, (list, tuple, dict))
    if not container:
        yield path, value
    elif depth and len(value) <= MAX_LEAVES:
        pairs = value.items() if isinstance(value, dict) else enumerate(value)
        for key, item in pairs:
            yield from leaves(f"{path}[{key!r}]", item, depth - 1)


def entries_of(variable: Any) -> np.ndarray:
    """The entries of a variable as a copy, in its own dtype.

    Also where a layer's half precision would round what it reads, and where a graph
    is being built.
    """
    if isinstance(variable, keras.Variable) and variable._value is not None:
        variable = variable._value  # what is stored: never autocast
    with tf.init_scope():
        return np.array(variable.numpy())


def numbers(value: Any) -> np.ndarray:
    """The entries of a tensor or array as a copy, in double precision if they can."""
    if isinstance(value, tf.IndexedSlices):  # the sparse gradient of an embedding
        value = tf.convert_to_tensor(value)
    array = np.array(value.numpy() if hasattr(value, "numpy") else value)
    if array.dtype.kind == "c":
        return array.astype("complex128")
    try:
        return array.astype("float64")
    except (TypeError, ValueError):  # strings
        return array


def length(array: np.ndarray) -> float:
    """Square root of the sum of squares; inf or nan if the entries are."""
    with np.errstate(all="ignore"):
        return float(np.sqrt(np.sum(np.abs(array) ** 2)))


def describe(value: Any) -> dict[str, Any]:
    """Kind, shape, dtype and summary of a value, as fields of a :class:`Product`."""
    if value is None:
        return {"kind": "none", "shape": None, "dtype": "None"}
    if isinstance(value, (bool, int, float)):
        dtype, number = type(value).__name__, float(value)
        return {"kind": "number", "shape": (), "dtype": dtype, "value": number}
    if is_variable(value):
        fields = {"kind": "variable", "shape": tuple(value.shape)}
        return fields | {"dtype": _dtype(value), "of": path_of(value)}
    if not is_array(value):
        return {"kind": "object", "shape": None, "dtype": type(value).__name__}
    array = numbers(value)
    fields = {"kind": "tensor", "shape": array.shape, "dtype": _dtype(value)}
    return fields | summary(array)


def summary(array: np.ndarray) -> dict[str, float | None]:
    """Value, norm and mean of real numbers; nothing for others and empty arrays."""
    if array.dtype.kind != "f" or not array.size:
        return {}
    value = float(array.reshape(-1)[0]) if array.size == 1 else None
    with np.errstate(all="ignore"):  # a step that diverges is worth a look, too
        mean = float(array.mean())
    return {"value": value, "norm": length(array), "mean": mean}


def _dtype(value: Any) -> str:
    return getattr(value.dtype, "name", str(value.dtype))


def path_of(variable: Any) -> str:
    """Name of a variable with that of its layer: ``dense/kernel``."""
    return getattr(variable, "path", None) or variable.name


class Groups:
    """Variables in named groups, looked up anew each time: some are made in the step.

    A variable keeps the group and the id under which it was first seen, even if the
    step sets ``trainable`` of a layer, which moves its variables to another list.

    Args:
        sources: for each name a list of variables, an object that has ``variables``
            (model, layer, optimizer, metric), or a function that returns a list.

    Raises:
        TypeError: if it isn't such a mapping.
        ValueError: if a variable is in two groups.
    """

    def __init__(self, sources: Mapping[str, Any]):
        if not isinstance(sources, Mapping) or not sources:
            raise TypeError(
                "groups must be a dict from names to variables, such as "
                f"{{'weights': model.trainable_variables}}, got {sources!r}."
            )
        self.sources = dict(sources)
        self._found: dict[str, tuple[str, Any]] = {}
        self._owner: dict[int, str] = {}
        self.now(first=True)

    def now(self, *, first: bool = False) -> dict[str, tuple[str, Any]]:
        """Id of each variable, with its group and the variable itself."""
        for name, source in self.sources.items():
            count = sum(group == name for group, _ in self._found.values())
            for variable in _variables(name, source):
                new = id(variable) not in self._owner
                other = self._owner.setdefault(id(variable), name)
                if first and other != name:
                    raise ValueError(
                        f"groups must not share variables, got {path_of(variable)!r} "
                        f"in {other!r} and in {name!r}."
                    )
                if new:
                    self._found[f"{name}[{count}]"] = (name, variable)
                    count += 1
        return dict(self._found)

    def snapshot(self) -> dict[str, np.ndarray]:
        """A copy of every variable's entries."""
        return {key: entries_of(variable) for key, (_, variable) in self.now().items()}


def _variables(name: str, source: Any) -> list[Any]:
    if hasattr(source, "variables"):
        found = source.variables
    else:
        found = source() if callable(source) else source
    if not isinstance(found, (list, tuple)) or not all(map(is_variable, found)):
        raise TypeError(
            f"groups[{name!r}] must be variables, an object that has .variables, or a "
            f"function that returns variables, got {type(source).__name__}."
        )
    return list(found)


def groups_of(model: keras.Model) -> dict[str, Callable[[], list[Any]]]:
    """The groups of a compiled model: weights, state, metrics and its optimizers.

    ``state`` is what changes without a gradient, such as the moving averages of batch
    normalization and the counters of random generators. Every optimizer that the
    model holds is a group under the name of its attribute.
    """
    groups: dict[str, Any] = {
        "weights": lambda: model.trainable_variables,
        "state": lambda: model.non_trainable_variables,
    }
    for name, optimizer in _optimizers(model).items():
        groups[name] = optimizer
    return groups | {"metrics": lambda: model.metrics_variables}


def _optimizers(model: keras.Model) -> dict[str, Any]:
    held = {"optimizer": getattr(model, "optimizer", None), **vars(model)}
    found: dict[str, Any] = {}
    for name, value in held.items():
        known = any(value is each for each in found.values())
        if isinstance(value, keras.optimizers.Optimizer) and not known:
            found[name.lstrip("_")] = value
    return found
