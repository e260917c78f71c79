"""What Keras remembers of a layer call, in one place.

A symbolic tensor (``KerasTensor``) knows the call that made it. Keras keeps this
in ``tensor._keras_history`` and ``layer._inbound_nodes``; no other module of this
book reads them.
"""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import keras

DEFAULTS: dict[type, dict[str, str]] = {
    keras.layers.MultiHeadAttention: {"key": "value"},
    keras.layers.GroupQueryAttention: {"key": "value"},
}
"""Arguments that a layer fills from another one when the caller leaves them out."""


@dataclass(frozen=True)
class Filled:
    """One tensor argument of a call: its name, and the tensor that filled it.

    ``default`` names the argument it was copied from when the caller left it out;
    ``mask`` says that Keras handed on the mask of another argument.
    """

    argument: str
    tensor: Any
    default: str | None = None
    mask: bool = False


def symbolic(value: Any) -> bool:
    """Whether ``value`` is a symbolic tensor."""
    return isinstance(value, keras.KerasTensor)


def history(tensor: Any) -> tuple[Any, int, int]:
    """Layer (or operation), number of its call, number of the output."""
    found = getattr(tensor, "_keras_history", None)
    return (None, 0, 0) if found is None or found[0] is None else tuple(found)


def call_of(tensor: Any) -> tuple[int, int]:
    """Key of the call that made ``tensor``: two calls of a layer have two keys."""
    layer, number, _ = history(tensor)
    return (id(tensor), -1) if layer is None else (id(layer), number)


def node_of(tensor: Any) -> Any:
    """Keras's record of the call that made ``tensor``; None for a bare tensor."""
    layer, number, _ = history(tensor)
    return None if layer is None else layer._inbound_nodes[number]


def ancestors(tensor: Any) -> list[Any]:
    """``tensor`` and all it was computed from, every argument before its result."""
    done, order, stack = set(), [], [(tensor, False)]
    while stack:
        current, expanded = stack.pop()
        if expanded:
            order.append(current)
        elif id(current) not in done:
            done.add(id(current))
            node = node_of(current)
            parents = [] if node is None else node.arguments.keras_tensors
            stack.append((current, True))
            stack.extend((parent, False) for parent in reversed(parents))
    return order


def is_graph(layer: Any) -> bool:
    """Whether ``layer`` is a model made of layer calls that we can look into."""
    return (
        isinstance(layer, (keras.Function, keras.Sequential))
        and bool(_tensors_of(layer, "inputs"))
        and bool(_tensors_of(layer, "outputs"))
    )


def _tensors_of(model: Any, which: str) -> list[Any]:
    try:
        return list(keras.tree.flatten(getattr(model, which)))
    except (AttributeError, ValueError):  # a Sequential that isn't built yet
        return []


def layers_with_input(model: keras.Sequential) -> list[Any]:
    """The layers added so far, the input layer included."""
    return list(model._layers)


def models_in(value: Any, depth: int = 3) -> Iterator[Any]:
    """Every model in ``value``: itself, or inside a list, dict, tuple, dataclass."""
    if is_graph(value):
        yield value
    elif depth and isinstance(value, Mapping):
        for item in value.values():
            yield from models_in(item, depth - 1)
    elif depth and isinstance(value, (list, tuple, set)):
        for item in value:
            yield from models_in(item, depth - 1)
    elif depth and dataclasses.is_dataclass(value) and not isinstance(value, type):
        for field in dataclasses.fields(value):
            yield from models_in(getattr(value, field.name), depth - 1)


def tensors_in(value: Any) -> list[tuple[str, Any]]:
    """Every symbolic tensor in an argument, with the path to it: ``[0]``, ``['a']``."""
    found = []
    for path, leaf in keras.tree.flatten_with_path(value):
        if symbolic(leaf):
            found.append(("".join(f"[{step!r}]" for step in path), leaf))
    return found


def filled_arguments(tensor: Any) -> list[Filled]:
    """Which argument of the call that made ``tensor`` each symbolic tensor filled."""
    node = node_of(tensor)
    if node is None:
        return []
    layer = history(tensor)[0]
    signature = inspect.signature(layer.call)
    arguments = _by_name(signature, node.arguments.args, node.arguments.kwargs)
    # Keras hands on the masks that it has attached to the other arguments.
    given = [leaf for value in arguments.values() for _, leaf in tensors_in(value)]
    masks = {id(getattr(leaf, "_keras_mask", None)) for leaf in given}
    filled = []
    for name, value in arguments.items():
        for path, leaf in tensors_in(value):
            handed_on = name.endswith("mask") and id(leaf) in masks
            filled.append(Filled(name + path, leaf, mask=handed_on))
    return filled + _defaults(layer, signature, filled)


def _by_name(signature: inspect.Signature, args, kwargs) -> dict[str, Any]:
    """Match a call's arguments to the names in the signature of ``layer.call``."""
    try:
        bound = signature.bind_partial(*args, **kwargs).arguments
    except TypeError:
        bound = {f"args[{i}]": value for i, value in enumerate(args)} | dict(kwargs)
    named = {}
    for name, value in bound.items():
        parameter = signature.parameters.get(name)
        if parameter is not None and parameter.kind is parameter.VAR_KEYWORD:
            named.update(value)
        else:
            named[name] = value
    return named


def _defaults(layer: Any, signature, filled: list[Filled]) -> list[Filled]:
    """Arguments that the layer fills from another one: ``key`` from ``value``.

    Only said of layers known to do so: those in :data:`DEFAULTS`, and those that
    say so themselves in a mapping ``argument_defaults``.
    """
    known = getattr(layer, "argument_defaults", None)
    if known is None:
        known = next((DEFAULTS[c] for c in type(layer).__mro__ if c in DEFAULTS), {})
    given = {item.argument: item.tensor for item in filled}
    added = []
    for name, other in known.items():
        if name in signature.parameters and name not in given and other in given:
            given[name] = given[other]
            added.append(Filled(name, given[other], default=other))
    return added


def formal_arguments(tensor: Any) -> list[tuple[str, Any, Any]]:
    """Argument path, actual tensor and formal tensor of a call of a nested model.

    Follows Keras's own rule: by position in the flattened structure, except that a
    dict given to a model that was declared on a list is matched by input names.
    """
    model, node = history(tensor)[0], node_of(tensor)
    if node is None or not is_graph(model):
        return []
    given = _by_name(
        inspect.signature(model.call), node.arguments.args, node.arguments.kwargs
    )
    name = "inputs" if "inputs" in given else next(iter(given))
    declared = getattr(model, "_inputs_struct", None)
    formals = _tensors_of(model, "inputs")
    if isinstance(given[name], dict) and not isinstance(declared, dict):
        by_name = {formal.name: formal for formal in formals}
        return [
            (f"{name}[{key!r}]", actual, by_name[key])
            for key, actual in given[name].items()
            if key in by_name and symbolic(actual)
        ]
    paths = keras.tree.flatten_with_path(given[name])
    return [
        (name + "".join(f"[{step!r}]" for step in path), actual, formal)
        for (path, actual), formal in zip(paths, formals, strict=False)
        if symbolic(actual)
    ]
