"""The data of a trace: steps, the tensors they make, the arguments these fill."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import keras

from .nodes import (
    ancestors,
    call_of,
    filled_arguments,
    formal_arguments,
    history,
    is_graph,
    node_of,
)
from .record import Binding, Statement

SUBSCRIPTS = str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉")


@dataclass(frozen=True)
class Name:
    """A name that a line gave to a tensor.

    ``version`` counts from 1; ``label`` shows it (``x₂``) if the name was used for
    more than one tensor. ``line`` is None for a name from outside the function.
    ``order`` sorts all events of a trace.
    """

    name: str
    version: int
    label: str
    line: int | None
    source: str
    order: int


@dataclass(frozen=True)
class Output:
    """A symbolic tensor: ``id``, shape (None: any), dtype, and its names."""

    id: str
    index: int
    shape: tuple[int | None, ...]
    dtype: str
    names: tuple[Name, ...]


@dataclass(frozen=True)
class Edge:
    """A tensor fills an argument of a call.

    Args:
        argument: name in the signature of ``layer.call``, with the path inside a
            list or dict: ``query``, ``inputs[1]``, ``initial_state[0]``.
        tensor: id of the tensor; ``step``: id of the step that made it.
        default: the argument it was copied from, if the caller left it out.
        mask: whether Keras handed it on as the mask of another argument.
        formal: for a nested model, the name of its input layer.
        formal_tensor: id of the nested model's input tensor.
    """

    argument: str
    tensor: str
    step: str
    default: str | None = None
    mask: bool = False
    formal: str | None = None
    formal_tensor: str | None = None


@dataclass(frozen=True)
class Step:
    """One call of a layer, model or operation.

    Args:
        id: stable within the trace (``s3``); tensors are ``s3_0``, ``s3_1``.
        kind: ``input``, ``layer``, ``model`` or ``operation``.
        layer, layer_class: name and class of what was called.
        variable: the name that the function gave to the layer, if only one.
        call, calls: this is call number ``call`` of ``calls`` of that layer.
        line, source: the statement it belongs to (1 is the top of the function).
        inputs, outputs: filled arguments, and the tensors that came out.
        model: id of the model that was called, for a call of a nested model.
        inside: id of the nested model it belongs to, if the traced function
            itself didn't make the call.
    """

    id: str
    kind: str
    layer: str
    layer_class: str
    variable: str | None
    call: int
    calls: int
    line: int | None
    source: str
    order: int
    inputs: tuple[Edge, ...]
    outputs: tuple[Output, ...]
    model: str | None = None
    inside: str | None = None

    @property
    def called(self) -> str:
        """What was called: the layer's name, or its variable if Keras named it."""
        return self.variable if self.variable and _automatic(self) else self.layer

    @property
    def label(self) -> str:
        """Names of the tensors that came out, else what was called."""
        names = [_label(output) for output in self.outputs]
        return ", ".join(n or "·" for n in names) if any(names) else self.called

    @property
    def name(self) -> str | None:
        """First name of the first tensor, without its version."""
        names = self.outputs[0].names
        return names[0].name if names else None

    @property
    def shape(self) -> tuple[int | None, ...]:
        """Shape of the first tensor."""
        return self.outputs[0].shape

    @property
    def dtype(self) -> str:
        """Dtype of the first tensor."""
        return self.outputs[0].dtype


@dataclass(frozen=True)
class ModelBinding:
    """What ``keras.Model(inputs, outputs)`` tied together.

    ``inputs`` and ``outputs`` are ids of tensors; ``steps`` the ids of the calls
    between them. ``nested`` says whether it was called inside the trace.
    """

    id: str
    name: str
    variable: str | None
    line: int | None
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    steps: tuple[str, ...]
    nested: bool


@dataclass(frozen=True)
class Bound:
    """In call ``step`` of ``model``, the tensor ``actual`` stands for ``formal``."""

    step: str
    model: str
    argument: str
    actual: str
    formal: str


def _automatic(step: Step) -> bool:
    """Whether Keras made up the layer's name (``dense_3``) from its class."""
    stem = re.sub(r"(.)([A-Z][a-z0-9]+)", r"\1_\2", step.layer_class)
    stem = re.sub(r"([a-z])([A-Z])", r"\1_\2", stem).lower()
    return re.fullmatch(rf"{re.escape(stem)}(_\d+)?", step.layer) is not None


def _label(output: Output) -> str:
    """``x₂``, or ``x₂ = h`` for a tensor with two names; empty for none."""
    return " = ".join(dict.fromkeys(name.label for name in output.names))


class Builder:
    """Turn recorded bindings and Keras's own records into steps and models.

    Args:
        bindings: names given to tensors, in the order of events.
        places: for each call its statement, and how many bindings came before it.
        layers: names given to layers and models.
        models: ``(variable, model, statement)`` of the models to show.
    """

    def __init__(
        self,
        bindings: list[Binding],
        places: dict[tuple, tuple[Statement, int]],
        layers: list[tuple[str, Any, Statement]],
        models: list[tuple[str | None, Any, Statement]],
    ):
        self.bindings, self.layers, self.models = bindings, layers, models
        self.places = dict(places)
        self.tensor_of: dict[tuple, Any] = {}  # a call and one tensor of it
        self.inside: dict[tuple, Any] = {}  # a call and the nested model it is in
        self._collect()
        self._number()
        self._name()

    def _collect(self) -> None:
        """Gather every call: the function's own, then those in nested models."""
        for binding in self.bindings:
            if call_of(binding.tensor) in self.places:
                self._add(binding.tensor, None)
        for _, model, statement in self.models:
            if not self._is_called(model):
                for tensor in _ends(model):
                    self._add(tensor, None, statement)
        called = [t for t in self.tensor_of.values() if is_graph(history(t)[0])]
        while called:
            model = history(called.pop())[0]
            before = set(self.tensor_of)
            for tensor in _ends(model):
                self._add(tensor, model)
            fresh = [t for k, t in self.tensor_of.items() if k not in before]
            called += [t for t in fresh if is_graph(history(t)[0])]

    def _is_called(self, model: Any) -> bool:
        calls = {id(history(t)[0]) for t in self.tensor_of.values()}
        return id(model) in calls

    def _add(self, tensor: Any, model: Any, statement: Statement | None = None):
        """Add ``tensor`` and all behind it; ``model`` is the model around them."""
        for behind in ancestors(tensor):
            key = call_of(behind)
            if key not in self.tensor_of:
                self.tensor_of[key] = behind
                if model is not None and key not in self.places:
                    self.inside[key] = model
            place = (statement or Statement(None), len(self.bindings))
            self.places.setdefault(key, place)

    def _number(self) -> None:
        """Give every call an id and a number among the calls of its layer."""
        self.ids = {}
        order = [k for k in self.places if k in self.tensor_of]
        for number, key in enumerate(order, start=1):
            self.ids[key] = f"s{number}"
        self.calls: dict[int, list[int]] = {}
        for layer, number in sorted(self.ids, key=lambda key: key[1]):
            self.calls.setdefault(layer, []).append(number)
        self.model_ids: dict[int, str] = {}
        for _, model, _ in self.models:
            self.model_ids.setdefault(id(model), f"m{len(self.model_ids) + 1}")
        for tensor in self.tensor_of.values():
            model = history(tensor)[0]
            if is_graph(model):
                self.model_ids.setdefault(id(model), f"m{len(self.model_ids) + 1}")

    def _name(self) -> None:
        """Give every tensor its names, with versions, and every layer its variable."""
        reached = [
            (order, binding)
            for order, binding in enumerate(self.bindings)
            if call_of(binding.tensor) in self.tensor_of
        ]
        totals = Counter(binding.name for _, binding in reached)
        self.names: dict[tuple, list[Name]] = {}
        count: Counter[str] = Counter()
        for order, binding in reached:
            name, at = binding.name, binding.statement
            count[name] += 1
            subscript = str(count[name]).translate(SUBSCRIPTS)
            label = name + subscript if totals[name] > 1 else name
            key = (call_of(binding.tensor), history(binding.tensor)[2])
            self.names.setdefault(key, []).append(
                Name(name, count[name], label, at.line, at.text, order)
            )
        self.variables = _unambiguous(self.layers)

    def tensor_id(self, tensor: Any) -> str:
        """Return the id of a tensor: id of its call and its number in the output."""
        return f"{self.ids[call_of(tensor)]}_{history(tensor)[2]}"

    def steps(self) -> tuple[Step, ...]:
        """All steps, in the order of the calls."""
        return tuple(self._step(key) for key in self.places if key in self.tensor_of)

    def _step(self, key: tuple) -> Step:
        tensor = self.tensor_of[key]
        layer, number, _ = history(tensor)
        numbers = self.calls[key[0]]
        model = self.inside.get(key)
        statement, order = self.places[key]
        return Step(
            id=self.ids[key],
            kind=_kind(layer),
            layer=tensor.name if layer is None else layer.name,
            layer_class="KerasTensor" if layer is None else type(layer).__name__,
            variable=self.variables.get(id(layer)),
            call=1 if layer is None else numbers.index(number) + 1,
            calls=len(numbers),
            line=statement.line,
            source=statement.text,
            order=order,
            inputs=tuple(self._edges(tensor)),
            outputs=tuple(self._outputs(tensor)),
            model=self.model_ids.get(id(layer)) if is_graph(layer) else None,
            inside=None if model is None else self.model_ids[id(model)],
        )

    def _outputs(self, tensor: Any) -> Iterable[Output]:
        node = node_of(tensor)
        for index, output in enumerate([tensor] if node is None else node.outputs):
            yield Output(
                id=f"{self.ids[call_of(tensor)]}_{index}",
                index=index,
                shape=tuple(output.shape),
                dtype=str(output.dtype),
                names=tuple(self.names.get((call_of(tensor), index), ())),
            )

    def _edges(self, tensor: Any) -> Iterable[Edge]:
        formals = {path: formal for path, _, formal in formal_arguments(tensor)}
        for filled in filled_arguments(tensor):
            formal = formals.get(filled.argument)
            yield Edge(
                argument=filled.argument,
                tensor=self.tensor_id(filled.tensor),
                step=self.ids[call_of(filled.tensor)],
                default=filled.default,
                mask=filled.mask,
                formal=None if formal is None else _input_name(formal),
                formal_tensor=None if formal is None else self.tensor_id(formal),
            )

    def bindings_of_models(self) -> tuple[ModelBinding, ...]:
        """All models: those the function made or returned, and those it called."""
        known = {id(model): (None, model, Statement(None)) for model in self._called()}
        for name, model, statement in reversed(self.models):
            known[id(model)] = (name, model, statement)
        nested = {id(model) for model in self._called()}
        ordered = sorted(
            known.items(), key=lambda item: int(self.model_ids[item[0]][1:])
        )
        return tuple(self._model(*m, i in nested) for i, m in ordered)

    def _called(self) -> list[Any]:
        layers = [history(t)[0] for t in self.tensor_of.values()]
        return [layer for layer in layers if is_graph(layer)]

    def _model(self, name, model, statement: Statement, nested: bool) -> ModelBinding:
        outputs = _flat(model.outputs)
        calls = {call_of(t) for end in _ends(model) for t in ancestors(end)}
        return ModelBinding(
            id=self.model_ids[id(model)],
            name=model.name,
            variable=self.variables.get(id(model), name),
            line=statement.line,
            inputs=tuple(self.tensor_id(t) for t in _flat(model.inputs)),
            outputs=tuple(self.tensor_id(t) for t in outputs),
            steps=tuple(step for key, step in self.ids.items() if key in calls),
            nested=nested,
        )


def _flat(structure: Any) -> list[Any]:
    return list(keras.tree.flatten(structure))


def _ends(model: Any) -> list[Any]:
    """Inputs, also those that lead nowhere, and outputs."""
    return _flat(model.inputs) + _flat(model.outputs)


def _input_name(tensor: Any) -> str:
    layer = history(tensor)[0]
    return tensor.name if layer is None else layer.name


def _kind(layer: Any) -> str:
    if layer is None or isinstance(layer, keras.layers.InputLayer):
        return "input"
    if isinstance(layer, (keras.Function, keras.Model)):
        return "model"
    return "layer" if isinstance(layer, keras.Layer) else "operation"


def _unambiguous(layers: list[tuple[str, Any, Statement]]) -> dict[int, str]:
    """Name of each layer, unless the name was given to several layers."""
    holders: dict[str, set[int]] = {}
    for name, layer, _ in layers:
        holders.setdefault(name, set()).add(id(layer))
    found: dict[int, str] = {}
    for name, layer, _ in layers:
        if len(holders[name]) == 1:
            found.setdefault(id(layer), name)
    return found
