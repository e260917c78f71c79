"""Read a functional model: which line made which tensor, from which, by which call.

Chapter: *The functional model*. :func:`trace` runs a function that builds a model
and writes down, for every line that names a symbolic tensor, the name, the shape,
the layer *call*, and which argument of it each input filled. :func:`trace_model`
does what can be done without the function. Both return a :class:`Trace`.

Modules: ``record`` watches the function, ``nodes`` reads what Keras remembers of a
call, ``steps`` puts the two together, ``picture`` draws, ``tracer`` lets you
click through.
"""

from __future__ import annotations

import dataclasses
import linecache
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import keras

from ..display import Picture, draw_dot
from . import picture
from .nodes import call_of, history, is_graph, symbolic
from .picture import Style, plot_model
from .record import Recorder, Statement, code_of, models_of
from .steps import Bound, Builder, Edge, ModelBinding, Name, Output, Step
from .tracer import Tracer

__all__ = [
    "Bound",
    "Edge",
    "ModelBinding",
    "Name",
    "Output",
    "Step",
    "Style",
    "Trace",
    "Tracer",
    "plot_model",
    "trace",
    "trace_model",
    "trace_source",
]


@dataclass(frozen=True)
class Trace:
    """The steps of a model-building function; shows itself in a notebook.

    Args:
        name: name of the function or model.
        all_steps: every call, also those inside nested models.
        models: what each ``keras.Model(inputs, outputs)`` ties together.
        style: letters for sizes, colours; see :meth:`styled`.
        source: text of the function; empty for a finished model.
        result: what the function returned.
    """

    name: str
    all_steps: tuple[Step, ...]
    models: tuple[ModelBinding, ...]
    style: Style = field(default_factory=Style)
    source: str = ""
    result: Any = field(default=None, repr=False, compare=False)
    _builder: Any = field(default=None, repr=False, compare=False)

    @property
    def steps(self) -> tuple[Step, ...]:
        """The calls that the function made itself, in order, masks' calls left out."""
        hidden = set() if self.style.masks else self._mask_steps()
        return tuple(s for s in self.all_steps if not s.inside and s.id not in hidden)

    @property
    def bindings(self) -> tuple[Bound, ...]:
        """For each call of a nested model: actual tensor and formal tensor."""
        return tuple(
            Bound(step.id, step.model, edge.argument, edge.tensor, edge.formal_tensor)
            for step in self.all_steps
            for edge in step.inputs
            if step.model is not None and edge.formal_tensor is not None
        )

    def step(self, target: Any) -> Step:
        """Find a step; ``target`` as for :meth:`output`."""
        tensor = self.output(target).id
        return next(s for s in self.all_steps if any(o.id == tensor for o in s.outputs))

    def output(self, target: Any) -> Output:
        """Find a tensor.

        Args:
            target: a name (``"x"``: the last of that name; ``"x₂"``: the second),
                a pair ``("x", 2)``, an id, a layer's name, or the tensor itself.

        Raises:
            ValueError: if there is no such tensor in this trace.
        """
        if symbolic(target):
            target = self._id_of(target)
        if isinstance(target, tuple) and len(target) == 2:
            named = [o for o in self._outputs() if target in _versions(o)]
        else:
            named = self._find(target)
        if not named:
            known = ", ".join(dict.fromkeys(n for s in self.steps for n in _labels(s)))
            raise ValueError(
                f"target must name a tensor of {self.name!r}, one of: {known}; "
                f"got {target!r}."
            )
        return named[-1]

    def _find(self, target: Any) -> list[Output]:
        """Try label, name, id, then the layer's name: the first that fits wins."""
        outputs = sorted(self._outputs(), key=lambda o: [n.order for n in o.names])
        tests = (
            lambda o: any(n.label == target for n in o.names),
            lambda o: o.id == target,
            lambda o: o.id == f"{target}_0",
        )
        for test in tests:
            if found := [o for o in outputs if test(o)]:
                return found
        named = [(n.order, o) for o in outputs for n in o.names if n.name == target]
        if named:
            return [max(named, key=lambda pair: pair[0])[1]]
        return [s.outputs[0] for s in self.all_steps if target in (s.layer, s.variable)]

    def _outputs(self) -> list[Output]:
        return [output for step in self.all_steps for output in step.outputs]

    def _id_of(self, tensor: Any) -> str:
        ids = {} if self._builder is None else self._builder.ids
        return f"{ids.get(call_of(tensor))}_{history(tensor)[2]}"

    def back(self, target: Any, *, through_models: bool = False) -> Trace:
        """Walk from a tensor back to the inputs: the trace of all it depends on.

        Args:
            target: see :meth:`output`.
            through_models: also go into nested models, from what a call returns
                to the tensors inside that it was computed from.

        Raises:
            ValueError: if there is no such tensor in this trace.
        """
        steps = {step.id: step for step in self.all_steps}
        inner = {model.id: model.steps for model in self.models}
        todo, kept = [self.step(target).id], set()
        while todo:
            current = todo.pop()
            if current in kept:
                continue
            kept.add(current)
            todo += [edge.step for edge in steps[current].inputs]
            model = steps[current].model
            if through_models and model is not None:
                todo += inner[model]
        return self._keep(kept)

    def _keep(self, ids: set[str]) -> Trace:
        """Return the trace of some of the steps, under the same ids."""
        steps = tuple(step for step in self.all_steps if step.id in ids)
        models = tuple(m for m in self.models if set(m.steps) <= ids)
        return dataclasses.replace(self, all_steps=steps, models=models)

    def inside(self, model: str) -> Trace:
        """Return the trace of one model: the steps between its inputs and outputs.

        Args:
            model: its variable, its name or its id.

        Raises:
            ValueError: if there is no such model in this trace.
        """
        for found in self.models:
            if model in (found.variable, found.name, found.id):
                kept = self._keep(set(found.steps))
                steps = tuple(_outside(s, found.id) for s in kept.all_steps)
                return dataclasses.replace(kept, all_steps=steps, name=str(model))
        known = ", ".join(m.variable or m.name for m in self.models)
        raise ValueError(
            f"model must be a model of {self.name!r}, one of: {known}; got {model!r}."
        )

    def styled(self, **style: Any) -> Trace:
        """Return the same trace, shown with other letters and colours.

        Args:
            axes: letter and size of an axis, ``{"E": 64}``: shows E for 64.
            shapes: letters of one tensor, ``{"encoder_inputs": "B S"}``.
            colors: colour of a tensor, layer or class: ``{"decoder": "#E69F00"}``.
            masks: show the masks that Keras hands on by itself.
        """
        return dataclasses.replace(self, style=dataclasses.replace(self.style, **style))

    def table(self):
        """One row for each name: line, name, shape, dtype, call, inputs."""
        return picture.step_table(self)

    def bindings_table(self):
        """One row for each argument of a nested model: actual and formal tensor."""
        return picture.binding_table(self)

    def models_table(self):
        """One row for each model: its inputs and outputs, which are tensors."""
        return picture.model_table(self)

    def dot(self, *, expand: bool = False) -> str:
        """Return the graph in the DOT language; nodes and edges carry the ids."""
        return picture.dot(self, expand=expand)

    def graph(self, *, expand: bool = False, alt: str | None = None) -> Picture:
        """Draw the calls as nodes and the filled arguments as edges.

        Args:
            expand: also draw what is inside nested models, and bind actual to
                formal arguments by dotted edges.
            alt: alternative text; by default the steps in words.
        """
        return draw_dot(self.dot(expand=expand), alt or picture.words(self))

    def tracer(self, *, opened: bool = False, alt: str | None = None) -> Tracer:
        """Source, tensors and graph in one widget, to click through.

        Args:
            opened: whether nested models are open at first, and on paper.
            alt: alternative text of the graph; by default the steps in words.

        Raises:
            ValueError: if ``opened`` is asked for and no model is nested.
        """
        return Tracer(self, opened, alt)

    def to_dict(self) -> dict[str, Any]:
        """Return everything but the result as plain lists and dicts, ready for JSON."""
        return {
            "name": self.name,
            "steps": [dataclasses.asdict(step) for step in self.all_steps],
            "models": [dataclasses.asdict(model) for model in self.models],
            "bindings": [dataclasses.asdict(bound) for bound in self.bindings],
        }

    def __str__(self) -> str:
        return picture.text(self)

    def _mask_steps(self) -> set[str]:
        """Calls that do nothing but compute masks which Keras hands on."""
        hidden: set[str] = set()
        users: dict[str, list[tuple[str, bool]]] = {}
        for step in self.all_steps:
            for edge in step.inputs:
                users.setdefault(edge.step, []).append((step.id, edge.mask))
        for step in reversed(self._topological()):
            named = any(output.names for output in step.outputs)
            used = users.get(step.id, [])
            if used and not named and all(mask or u in hidden for u, mask in used):
                hidden.add(step.id)
        return hidden

    def _topological(self) -> list[Step]:
        """Steps, every one after those it depends on."""
        steps, done, order = {s.id: s for s in self.all_steps}, set(), []

        def visit(step: Step) -> None:
            if step.id not in done:
                done.add(step.id)
                for edge in step.inputs:
                    if edge.step in steps:
                        visit(steps[edge.step])
                order.append(step)

        for step in self.all_steps:
            visit(step)
        return order

    def _repr_mimebundle_(self, include=None, exclude=None) -> dict[str, str]:
        shown = self.tracer()._repr_mimebundle_()
        tables = picture.tables_html(self)
        page = f'<div class="ak-trace">{tables}{shown["text/html"]}</div>'
        return {**shown, "text/html": page}


def trace(builder: Callable, *args: Any, **kwargs: Any) -> Trace:
    """Run a function that builds a model, and record what its lines do.

    Only the lines of ``builder`` itself are watched; a tensor made in a function
    that it calls counts as made by the line with the call. Lines are counted from
    the top of ``builder``, decorators included. A tensor that never gets a name
    is a step too.

    Args:
        builder: a function, method, lambda, partial or class, written in Python.
        *args: its arguments.
        **kwargs: its keyword arguments.

    Raises:
        TypeError: if ``builder`` is not callable, or a model that is built already.
        ValueError: if its source can't be found or it makes no symbolic tensor, for
            instance because its model is a subclass with a ``call`` of its own.
    """
    if isinstance(builder, keras.Operation):
        raise TypeError(
            "builder must be a function that builds a model, got a "
            f"{type(builder).__name__} that is built already: read it with "
            "trace_model(model)."
        )
    recorder = Recorder(code_of(builder)).run(builder, args, kwargs)
    name = getattr(builder, "__name__", None) or code_of(builder).co_name
    return _assemble(name, recorder)


def trace_source(source: str, namespace: Mapping[str, Any] | None = None) -> Trace:
    """Run lines of Python, as typed into a cell, and record what they do.

    Args:
        source: the text.
        namespace: names it may use; ``keras`` is always there.

    Raises:
        TypeError: if ``source`` is not text.
        ValueError: if it makes no symbolic tensor.

    Example:
        >>> lines = "x = keras.Input((4,)); y = keras.layers.Dense(2)(x)"
        >>> [step.layer_class for step in trace_source(lines).steps]
        ['InputLayer', 'Dense']
    """
    if not isinstance(source, str):
        raise TypeError(f"source must be a str, got {type(source).__name__}.")
    filename = f"<trace {abs(hash(source))}>"
    lines = source.splitlines(keepends=True)
    linecache.cache[filename] = (len(source), None, lines, filename)
    code = compile(source, filename, "exec")
    names = {"keras": keras, **(namespace or {})}
    return _assemble("cell", Recorder(code).run(exec, (code, names), {}))


def trace_model(model: Any) -> Trace:
    """Trace a finished model, for instance a loaded one: no lines, no variables.

    Args:
        model: a functional model or a built ``Sequential``.

    Raises:
        TypeError: if ``model`` has no graph of layer calls.

    Example:
        >>> x = keras.Input((4,))
        >>> trace_model(keras.Model(x, keras.layers.Dense(2)(x))).steps[-1].layer_class
        'Dense'
    """
    if not is_graph(model):
        raise TypeError(
            "model must be a functional model or a built Sequential, "
            f"got {type(model).__name__}."
        )
    builder = Builder([], {}, [], [(None, model, Statement(None))])
    steps, models = builder.steps(), builder.bindings_of_models()
    return Trace(model.name, steps, models, result=model, _builder=builder)


def _assemble(name: str, recorder: Recorder) -> Trace:
    """Put names and calls together."""
    builder = Builder(
        recorder.bindings, recorder.places, recorder.layers, models_of(recorder)
    )
    steps = builder.steps()
    if not steps:
        raise ValueError(
            f"builder must create symbolic tensors (start with keras.Input), "
            f"got none from {name!r}{_why(recorder.result)}."
        )
    models = builder.bindings_of_models()
    return Trace(
        name,
        steps,
        models,
        source=recorder.source.text,
        result=recorder.result,
        _builder=builder,
    )


def _why(result: Any) -> str:
    """Why a model has no symbolic tensors, if it is one."""
    kind = type(result).__name__
    if isinstance(result, keras.Sequential):
        return f": its {kind} isn't built yet, give it a keras.Input first"
    if isinstance(result, keras.Model):
        return f": the call of its {kind} is ordinary Python, which no graph records"
    return ""


def _outside(step: Step, model: str) -> Step:
    """Show a step as the model's own when we stand inside that model."""
    return dataclasses.replace(step, inside=None) if step.inside == model else step


def _versions(output: Output) -> list[tuple[str, int]]:
    return [(name.name, name.version) for name in output.names]


def _labels(step: Step) -> list[str]:
    return [n.label for o in step.outputs for n in o.names] or [step.called]
