"""Watch a function run and write down which line binds which symbolic tensor."""

from __future__ import annotations

import ast
import dis
import functools
import inspect
import linecache
import re
import sys
import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import CodeType, FrameType
from typing import Any

import keras

from .nodes import (
    ancestors,
    call_of,
    history,
    layers_with_input,
    models_in,
    symbolic,
)

MAX_CONTAINER = 1000
"""Longer lists and dicts are data, not collections of tensors: we don't look inside."""


@dataclass(frozen=True)
class Statement:
    """A statement of the traced function: first line (1 = the top of it) and text."""

    line: int | None
    text: str = ""


@dataclass(frozen=True)
class Binding:
    """The event "after this statement, this name stood for this tensor"."""

    name: str
    tensor: Any
    statement: Statement


class Source:
    """The text of a function, cut into statements.

    Args:
        code: the code object of the function, or of a module.

    Raises:
        ValueError: if the text of the function can't be found.
    """

    def __init__(self, code: CodeType):
        self.lines = linecache.getlines(code.co_filename)
        if not self.lines:
            raise ValueError(
                f"builder must have source text that can be read, got {code.co_name!r} "
                f"from {code.co_filename!r}."
            )
        self.first_line = max(code.co_firstlineno, 1)
        self.positions = list(code.co_positions())
        try:
            tree = ast.parse("".join(self.lines))
        except SyntaxError:  # a cell with magics: fall back on single lines
            tree = ast.Module([], [])
        self.statements = [n for n in ast.walk(tree) if isinstance(n, ast.stmt)]
        function = _function_in(tree, code)
        self.passing = _only_in_comprehensions(function)
        last = getattr(function, "end_lineno", None) or self._last_line(code)
        text = "".join(self.lines[self.first_line - 1 : last])
        self.text = textwrap.dedent(text)
        self.stores = {
            i.offset for i in dis.get_instructions(code) if i.opname.startswith("STORE")
        }

    def _last_line(self, code: CodeType) -> int:
        """Last line with an instruction of the code; of a module, all lines count."""
        if code.co_name == "<module>":
            return len(self.lines)
        return max(line for _, line, _, _ in self.positions if line is not None)

    def at(self, frame: FrameType) -> tuple[int, int | None] | None:
        """Line and column of the instruction that ``frame`` is about to run.

        None for what Python adds by itself, such as the end of an ``except``.
        """
        line, _, column, _ = self.positions[frame.f_lasti // 2]
        if line is not None:
            return line, column
        return None if frame.f_lineno is None else (frame.f_lineno, None)

    def node(self, line: int, column: int | None) -> ast.stmt | None:
        """Return the innermost statement at a place: the one that starts last."""

        def covers(node: ast.stmt) -> bool:
            if not node.lineno <= line <= (node.end_lineno or node.lineno):
                return False
            if column is None:
                return True
            start, end = (
                (node.lineno, node.col_offset),
                (
                    node.end_lineno,
                    node.end_col_offset,
                ),
            )
            return start <= (line, column) <= end

        around = [node for node in self.statements if covers(node)]
        return max(around, key=lambda n: (n.lineno, n.col_offset), default=None)

    def statement(self, line: int, column: int | None) -> Statement:
        """Return the statement at a place: its first line and its text."""
        node = self.node(line, column)
        if node is None:
            return Statement(self.within(line), self.lines[line - 1].strip())
        text = ast.get_source_segment("".join(self.lines), _head(node), padded=True)
        return Statement(self.within(node.lineno), textwrap.dedent(text or "").strip())

    def within(self, line: int) -> int:
        """Turn a line of the file into a line of the function, from 1."""
        return max(1, line - self.first_line + 1)


def _head(node: ast.stmt) -> ast.stmt:
    """Cut a compound statement (``if``, ``for``, ``def``) down to its first line."""
    body = getattr(node, "body", None)
    if not isinstance(body, list) or not body or body[0].lineno == node.lineno:
        return node
    head = ast.Pass()
    head.lineno, head.col_offset = node.lineno, node.col_offset
    head.end_lineno, head.end_col_offset = body[0].lineno - 1, 10_000
    return head


def _function_in(tree: ast.AST, code: CodeType) -> ast.AST:
    """Find the definition of a function in its file, for a module the whole file."""
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            first = min([node, *node.decorator_list], key=lambda n: n.lineno).lineno
            if (node.name, first) == (code.co_name, code.co_firstlineno):
                return node
    return tree


def _order_of_targets(node: ast.AST | None) -> dict[str, int]:
    """Names that a statement binds, numbered from left to right."""
    names = [] if node is None else [n for n in ast.walk(node) if hasattr(n, "ctx")]
    stored = [n for n in names if isinstance(n, ast.Name)]
    stored = [n for n in stored if isinstance(n.ctx, ast.Store)]
    stored.sort(key=lambda n: (n.lineno, n.col_offset), reverse=True)
    return {n.id: -place for place, n in enumerate(stored)}


def _only_in_comprehensions(tree: ast.AST) -> set[str]:
    """Names such as ``i`` in ``[f(i) for i in xs]``.

    From Python 3.12 on they are seen among the local variables while the list is
    made; before, they were not. They name nothing that outlives the expression.
    """
    nodes = list(ast.walk(tree))
    targets = [n.target for n in nodes if isinstance(n, ast.comprehension)]
    inside = {id(n) for target in targets for n in ast.walk(target)}
    stored = [
        n for n in nodes if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)
    ]
    passing = {n.id for n in stored if id(n) in inside}
    arguments = {n.arg for n in nodes if isinstance(n, ast.arg)}
    return passing - arguments - {n.id for n in stored if id(n) not in inside}


class Recorder:
    """Run a function and record every name it gives to a symbolic tensor.

    After the run: ``bindings`` in the order of events; ``places``, the statement
    at which each layer call was first seen and the number of bindings before it;
    ``layers``, the names of layers and models; ``result``.

    Args:
        code: the code whose frame is watched; calls made by it run untouched.
    """

    def __init__(self, code: CodeType):
        self.code = code
        self.source = Source(code)
        self.bindings: list[Binding] = []
        self.places: dict[tuple, tuple[Statement, int]] = {}
        self.layers: list[tuple[str, Any, Statement]] = []
        self.result: Any = None
        self._seen: dict[tuple, tuple[Statement, int]] = {}
        self.last = Statement(1, self.source.lines[self.source.first_line - 1].strip())
        self._frame: FrameType | None = None
        self._place: tuple[int, int | None] | None = None
        self._stored = False  # whether the instruction that just ran stored a name
        self._now: dict[str, Any] = {}
        self._named: set[int] = set()
        self._grown: dict[int, tuple[Any, Statement]] = {}  # layers of a Sequential

    def run(self, function, args, kwargs) -> Recorder:
        """Call ``function`` under the watch; restore whatever watched before."""
        before = sys.gettrace()
        # Python 3.12 looks only here, at the start, whether opcodes are asked for.
        sys._getframe().f_trace_opcodes = True
        sys.settrace(self._on_call)
        try:
            self.result = function(*args, **kwargs)
        finally:
            sys.settrace(before)
        self._place_grown()
        return self

    def _on_call(self, frame: FrameType, event: str, arg):
        """Start watching at the first call of the traced code, and only there."""
        if frame.f_code is not self.code or self._frame is not None:
            return None
        self._frame = frame
        frame.f_trace = self._on_event  # Python 3.13 wants it before the next line
        frame.f_trace_opcodes = True  # so that `a = f(); b = g()` is two events
        arguments = _argument_names(self.code)
        first = self.last
        self._look({k: v for k, v in frame.f_locals.items() if k in arguments})
        self.last = Statement(None)  # names from outside have no line in it
        self._look(dict(frame.f_locals))
        self._look_outside(frame.f_globals)
        self.last = first
        return self._on_event

    def _on_event(self, frame: FrameType, event: str, arg):
        """Compare the names before and after the instruction that just ran."""
        stored, self._stored = self._stored, frame.f_lasti in self.source.stores
        if stored and self._stored:
            return self._on_event  # in `a, b = ...` Python may store b first: wait
        if self._place is not None:
            self.last = self.source.statement(*self._place)
        passing = self.source.passing
        values = {k: v for k, v in frame.f_locals.items() if k not in passing}
        if self._place is not None:
            values.update(_attributes(self.source.node(*self._place), values))
        self._look(values)
        self._watch_growth(values)
        self._place = self.source.at(frame) or self._place
        return self._on_event

    def _watch_growth(self, values: Mapping[str, Any]) -> None:
        """Note the statement that adds a layer to a Sequential, as ``m.add`` does."""
        for model in values.values():
            if isinstance(model, keras.Sequential):
                for layer in layers_with_input(model):
                    self._grown.setdefault(id(layer), (layer, self.last))

    def _place_grown(self) -> None:
        """Say of the calls in such a model where their layers were added.

        The model calls them all anew for each layer that is added. A model that the
        function also calls is a nested one, and its calls are inside.
        """
        called = {layer for layer, _ in self.places}
        for model in models_in(self.result):
            if not isinstance(model, keras.Sequential) or id(model) in called:
                continue
            for tensor in ancestors(model.outputs[0]):
                layer, _, _ = history(tensor)
                if id(layer) in self._grown:
                    place = self._grown[id(layer)][1], len(self.bindings)
                    self.places.setdefault(call_of(tensor), place)

    def _look(self, values: Mapping[str, Any]) -> None:
        """Record the names whose tensor or layer is another than a moment ago."""
        now = dict(_leaves(values))
        # Attributes (`self.h`) are looked up only by the statement that sets them.
        now.update({k: v for k, v in self._now.items() if "." in k and k not in now})
        fresh = [item for item in now.items() if self._now.get(item[0]) is not item[1]]
        if len(fresh) > 1 and self._place is not None:
            place = _order_of_targets(self.source.node(*self._place))
            fresh.sort(key=lambda item: place.get(re.split(r"[.\[]", item[0])[0], 0))
        for name, value in fresh:
            self._bind(name, value)
        self._now = now

    def _bind(self, name: str, value: Any) -> None:
        if not symbolic(value):
            self.layers.append((name, value, self.last))
            self._see(value)
            return
        # `pair = [a, b]` gives no new name to a; `pair = [f(x), g(x)]` does.
        if "[" in name and id(value) in self._named:
            return
        self._named.add(id(value))
        for behind in ancestors(value):
            key = call_of(behind)
            here = (self.last, len(self.bindings))
            self.places.setdefault(key, self._seen.get(key, here))
        self.bindings.append(Binding(name, value, self.last))

    def _see(self, layer: Any) -> None:
        """Remember where a model came from: its tensors may be used later.

        If the function has named an input of it, it made the calls behind it, too.
        """
        here = (self.last, len(self.bindings))
        for model in models_in(layer):
            inputs = keras.tree.flatten(model.inputs)
            own = any(call_of(tensor) in self.places for tensor in inputs)
            for end in [*inputs, *keras.tree.flatten(model.outputs)]:
                for key in map(call_of, ancestors(end)):
                    self._seen.setdefault(key, here)
                    if own:
                        self.places.setdefault(key, self._seen[key])

    def _look_outside(self, values: Mapping[str, Any]) -> None:
        """Remember what the module around the function calls its tensors."""
        for name, value in list(values.items()):
            if name.startswith("_"):  # what IPython keeps: _, _5
                continue
            if symbolic(value) and id(value) not in self._named:
                self.bindings.append(Binding(name, value, self.last))
            elif isinstance(value, keras.Layer):
                self.layers.append((name, value, self.last))


def _argument_names(code: CodeType) -> tuple[str, ...]:
    extra = int(bool(code.co_flags & inspect.CO_VARARGS))
    extra += bool(code.co_flags & inspect.CO_VARKEYWORDS)
    return code.co_varnames[: code.co_argcount + code.co_kwonlyargcount + extra]


def code_of(builder: Any) -> CodeType:
    """Find the code that runs when ``builder`` is called.

    Raises:
        TypeError: if ``builder`` is not callable.
        ValueError: if it isn't written in Python.
    """
    if not callable(builder):
        raise TypeError(
            f"builder must be callable (a function that builds a model), "
            f"got {type(builder).__name__}."
        )
    target = builder
    while isinstance(target, functools.partial):
        target = target.func
    target = inspect.unwrap(target)
    if inspect.isclass(target):
        target = target.__init__
    elif not hasattr(target, "__code__") and not hasattr(target, "__func__"):
        target = type(target).__call__
    target = inspect.unwrap(getattr(target, "__func__", target))
    if not hasattr(target, "__code__"):
        raise ValueError(
            f"builder must have source text that can be read, got {builder!r}, "
            "which is not written in Python."
        )
    return target.__code__


def _leaves(values: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Every tensor, layer and model among ``values``, with the path to it."""
    for name, value in values.items():
        if not name.startswith("@"):
            yield from _inside(name, value, depth=3)


def _inside(path: str, value: Any, depth: int) -> Iterator[tuple[str, Any]]:
    if symbolic(value) or isinstance(value, keras.Operation):
        yield path, value
    elif depth and isinstance(value, (list, tuple)) and len(value) <= MAX_CONTAINER:
        for index, item in enumerate(value):
            yield from _inside(f"{path}[{index}]", item, depth - 1)
    elif depth and isinstance(value, dict) and len(value) <= MAX_CONTAINER:
        for key, item in list(value.items()):
            yield from _inside(f"{path}[{key!r}]", item, depth - 1)


def _attributes(node: ast.stmt | None, values: Mapping[str, Any]) -> dict[str, Any]:
    """What a statement such as ``self.h = layer(x)`` has just set."""
    targets = getattr(node, "targets", None) or [getattr(node, "target", None)]
    found = {}
    for target in targets:
        if isinstance(target, ast.Attribute) and isinstance(target.value, ast.Name):
            fields = getattr(values.get(target.value.id), "__dict__", {})
            value = fields.get(target.attr)
            if symbolic(value):
                found[f"{target.value.id}.{target.attr}"] = value
    return found


def models_of(recorder: Recorder) -> list[tuple[str | None, Any, Statement]]:
    """Models that the function bound to a name, then those it only returned."""
    found: list[tuple[str | None, Any, Statement]] = [
        (name, layer, statement)
        for name, layer, statement in recorder.layers
        if statement.line is not None and any(models_in(layer))
    ]
    known = {id(model) for _, model, _ in found}
    for model in models_in(recorder.result):
        if id(model) not in known:
            found.append((None, model, recorder.last))
    return found
