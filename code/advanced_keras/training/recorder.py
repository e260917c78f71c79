"""Watch one training step run, line by line, and write down what each line did.

Nothing in the step has to be prepared for it. While :func:`record_step` runs the step
once, without a graph, Python reports every line of it. After each line we compare two
things with what they were before: the local variables of the function, and the
variables of the model, the optimizer and the metrics.
"""

from __future__ import annotations

import ast
import contextlib
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from types import CodeType, FrameType
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from ..tracing.record import Source, _argument_names, code_of
from .values import (
    Change,
    Groups,
    Product,
    describe,
    entries_of,
    is_array,
    is_variable,
    leaves,
    length,
    numbers,
    path_of,
)


@dataclass
class Event:
    """One execution of one statement of a watched function.

    Args:
        id: function, line and how many times the line has run: ``train_step:5#1``.
        index: place in the record; events are in the order in which they start.
        kind: ``call`` (the arguments arrive), ``line``, ``exit`` (a ``with`` block
            ends) or ``return``.
        function: name of the function.
        depth: 0 for the step, 1 for a function that it calls, and so on.
        line: line in the function, from 1.
        indent: columns by which the statement is indented.
        text: the statement; of a compound one, its first line.
        tapes: how many gradient tapes are recording when it starts.
        reads: ids of the products that it uses by name.
        produces: what it gave a name to.
        changes: which variables it changed.
    """

    id: str
    index: int
    kind: str
    function: str
    depth: int
    line: int
    indent: int
    text: str
    tapes: int = 0
    reads: tuple[str, ...] = ()
    produces: tuple[Product, ...] = ()
    changes: tuple[Change, ...] = ()


@dataclass
class _Frame:
    """A watched function while it runs."""

    source: Source
    function: str
    depth: int
    node: ast.stmt = field(init=False)
    event: Event = field(init=False)
    returning: Event | None = None
    values: dict[str, Any] = field(default_factory=dict)
    made: dict[str, list[str]] = field(default_factory=dict)


class Recorder:
    """Run a function under the watch; afterwards ``events`` and ``result`` are there.

    Args:
        functions: the functions whose lines are recorded.
        groups: the variables that are compared after each line.
    """

    def __init__(self, functions: list[Callable], groups: Groups):
        codes = list(dict.fromkeys(map(_code, functions)))
        names = Counter(code.co_name for code in codes)
        self.sources = {code: _source(code) for code in codes}
        self.names = {
            c: c.co_name if names[c.co_name] == 1 else _qualified(c) for c in codes
        }
        self.groups = groups
        self.before = groups.snapshot()
        self.now = dict(self.before)
        self.events: list[Event] = []
        self.result: Any = None
        self._frames: dict[FrameType, _Frame] = {}
        self._counts: Counter = Counter()
        self._old: dict[tuple[int, str], np.ndarray | None] = {}
        self._gradients: dict[int, tuple[Any, str]] = {}
        self._labels: dict[int, tuple[Any, str]] = {}
        self._tapes = 0

    def run(self, function: Callable, args: tuple) -> Recorder:
        """Call ``function``; restore whatever watched before."""
        before = sys.gettrace()
        with _eager(), self._watched_tapes():
            sys.settrace(self._on_call)
            try:
                self.result = function(*args)
            finally:
                sys.settrace(before)
        return self

    def texts(self) -> dict[str, tuple[tuple[int, str], ...]]:
        """For each function that ran its lines, see :func:`_lines`."""
        ran = {event.function for event in self.events}
        return {
            name: _lines(self.sources[code], _definition(self.sources[code], code))
            for code, name in self.names.items()
            if name in ran
        }

    # -- what Python reports

    def _on_call(self, frame: FrameType, event: str, arg: Any):
        """Enter a watched function; leave all others alone."""
        if frame.f_code not in self.sources:
            return None
        if self._frames:  # what the calling line has changed so far is its own
            self._flush(next(reversed(self._frames.values())).event)
        code, depth = frame.f_code, len(self._frames)
        state = _Frame(self.sources[code], self.names[code], depth)
        self._frames[frame] = state
        self._open(state, _definition(state.source, code), "call")
        self._bind(state, frame)
        return self._on_event

    def _on_event(self, frame: FrameType, event: str, arg: Any):
        """Close the statement that has just run, and open the next."""
        state = self._frames[frame]
        if event == "line":
            node = _statement(state.source, frame.f_lineno)
            if node is not state.node or state.event.kind == "call":
                self._close(state, frame)
                self._open(state, node, _kind(node, state.node))
        elif event == "return":
            self._close(state, frame)
            if arg is not None:
                # a `with` block may end between the statement and the return
                state.event = state.returning or state.event
                self._make(state, "return", list(leaves("return", arg)))
            del self._frames[frame]
        return self._on_event

    def _open(self, state: _Frame, node: ast.stmt, kind: str) -> None:
        line = state.source.within(node.lineno)
        place = f"{state.function}:{line}" + ("/" + kind) * (kind in ("call", "exit"))
        self._counts[place] += 1
        state.node = node
        state.event = Event(
            id=f"{place}#{self._counts[place]}",
            index=len(self.events),
            kind=kind,
            function=state.function,
            depth=state.depth,
            line=line,
            indent=node.col_offset,
            text=_text(state.source, node),
            tapes=self._tapes,
            reads=_reads(node, state.made) if kind in ("line", "return") else (),
        )
        self.events.append(state.event)
        if kind == "return":
            state.returning = state.event

    def _close(self, state: _Frame, frame: FrameType) -> None:
        if state.event.kind != "call":  # its arguments were bound when it opened
            self._bind(state, frame)
        self._flush(state.event)

    # -- what a line gave a name to

    def _bind(self, state: _Frame, frame: FrameType) -> None:
        """Record the names that stand for something else than a moment ago."""
        new: dict[str, list[tuple[str, Any]]] = {}
        passing = state.source.passing
        for name, value in frame.f_locals.items():
            if name in ("self", "cls") or name[0] in "@." or name in passing:
                continue
            for path, leaf in leaves(name, value):
                if path in state.values and _same(state.values[path], leaf):
                    continue
                state.values[path] = leaf
                if path != name and describe(leaf)["kind"] == "object":
                    continue
                new.setdefault(name, []).append((path, leaf))
        for name, found in new.items():
            if state.event.kind == "call":  # not what comes from around the function
                given = name in _argument_names(frame.f_code)
                found = [pair for pair in found if given and _is_data(pair[1])]
            self._make(state, name, found)

    def _make(self, state: _Frame, name: str, found: list[tuple[str, Any]]) -> None:
        """Write down the values found under a name."""
        made = []
        for path, value in found:
            fields = describe(value)
            if id(value) in self._gradients:
                of = self._gradients[id(value)][1]
                fields |= {"kind": "gradient", "of": of}
            made.append(Product(f"{state.event.id}/{path}", name, path, **fields))
            if is_array(value):
                self._labels.setdefault(id(value), (value, path))
        state.event.produces += tuple(made)
        if made:
            state.made[name] = [each.id for each in made]

    # -- which variables a line changed

    def _flush(self, event: Event) -> None:
        """Compare all variables with the last look, and book changes on ``event``."""
        found = {change.variable: change for change in event.changes}
        for key, (group, variable) in self.groups.now().items():
            value, last = entries_of(variable), self.now.get(key)
            if last is not None and _equal(last, value).all():
                continue
            self.now[key] = value
            old = self._old.setdefault((event.index, key), last)
            size, entries = _difference(old, value)
            if not entries and value.size:  # there and back again
                found.pop(key, None)
                continue
            found[key] = Change(
                id=f"{event.id}/{key}",
                group=group,
                variable=key,
                path=path_of(variable),
                shape=value.shape,
                norm=size,
                entries=entries,
                created=old is None,
            )
        event.changes = tuple(found.values())

    @contextlib.contextmanager
    def _watched_tapes(self) -> Iterator[None]:
        """Note what each gradient was taken by, and when a tape is recording."""
        tape = tf.GradientTape
        saved = tape.gradient, tape.__enter__, tape.__exit__

        def gradient(tape, target, sources, *args, **kwargs):
            result = _apart(saved[0](tape, target, sources, *args, **kwargs))
            pairs = zip(_flat(result), _flat(sources), strict=True)
            for value, source in pairs:
                if value is not None:
                    self._gradients[id(value)] = (value, self._label(source))
            return result

        def enter(tape):
            self._tapes += 1
            return saved[1](tape)

        def leave(tape, *error):
            self._tapes -= 1
            return saved[2](tape, *error)

        tape.gradient, tape.__enter__, tape.__exit__ = gradient, enter, leave
        try:
            yield
        finally:
            tape.gradient, tape.__enter__, tape.__exit__ = saved

    def _label(self, source: Any) -> str:
        if is_variable(source):
            return path_of(source)
        return self._labels.get(id(source), (None, "a tensor"))[1]


def plain(function: Any) -> Any:
    """The Python function inside a ``tf.function``; others as they are."""
    return getattr(function, "python_function", function)


def _code(function: Callable) -> CodeType:
    """The code that is watched when a function is.

    Raises:
        ValueError: if it isn't a function with a ``def`` in Python.
    """
    try:
        return code_of(plain(function))
    except ValueError:
        raise ValueError(
            f"step and follow must be written in Python, got {function!r}."
        ) from None


def _source(code: CodeType) -> Source:
    """The text of a function.

    Raises:
        ValueError: if it can't be found, or holds no ``def``.
    """
    try:
        source = Source(code)
        _definition(source, code)
    except ValueError:
        raise ValueError(
            "step and follow must be functions with a def whose source text can be "
            f"read, got {code.co_name!r} from {code.co_filename!r}."
        ) from None
    return source


def _qualified(code: CodeType) -> str:
    """The name with its class: ``Critic.train_step``."""
    return code.co_qualname.rpartition("<locals>.")[2]


@contextlib.contextmanager
def _eager() -> Iterator[None]:
    """Run ``tf.function``s as plain Python, so that their lines can be seen."""
    before = tf.config.functions_run_eagerly()
    tf.config.run_functions_eagerly(True)
    try:
        yield
    finally:
        tf.config.run_functions_eagerly(before)


def _definition(source: Source, code: CodeType) -> ast.FunctionDef:
    """The ``def`` of a function; a decorator stands on an earlier line."""
    found = [
        node
        for node in source.statements
        if isinstance(node, ast.FunctionDef)
        and node.name == code.co_name
        and node.lineno >= source.first_line
    ]
    return min(found, key=lambda node: node.lineno)


def _lines(source: Source, node: ast.FunctionDef) -> tuple[tuple[int, str], ...]:
    """Numbers and texts of a function's lines, dedented; of a docstring the first."""
    doc, skipped = node.body[0], range(0)
    if ast.get_docstring(node) is not None:
        skipped = range(doc.lineno + 1, _end(doc) + 1)
    found = []
    for place in range(source.first_line, _end(node) + 1):
        text = source.lines[place - 1].rstrip()
        margin = min(node.col_offset, len(text) - len(text.lstrip()))
        if skipped and place == doc.lineno:
            text += ' …"""'
        if place not in skipped:
            found.append((source.within(place), text[margin:]))
    return tuple(found)


def _statement(source: Source, line: int) -> ast.stmt:
    """The statement on a line; of several on one line the first stands for all."""
    node = source.node(line, None)
    assert node is not None, f"line {line} ran, so a statement stands on it"
    return min(_neighbours(source, node), key=lambda each: each.col_offset)


def _end(node: ast.stmt) -> int:
    """The last line of a statement; only one that no parser made has none."""
    return node.end_lineno or node.lineno


def _neighbours(source: Source, node: ast.stmt) -> list[ast.stmt]:
    return [each for each in source.statements if each.lineno == node.lineno]


def _text(source: Source, node: ast.stmt) -> str:
    """The source of a statement: its head, or the line if several share it."""
    together = _neighbours(source, node)
    if len(together) > 1 and all(each.end_lineno == node.lineno for each in together):
        end = max(each.end_col_offset or 0 for each in together)
        line = source.lines[node.lineno - 1].encode()
        return line[node.col_offset : end].decode()
    return source.statement(node.lineno, node.col_offset).text


def _kind(node: ast.stmt, before: ast.stmt) -> str:
    """``exit`` when a ``with`` is met again from inside: its block has ended."""
    if isinstance(node, ast.Return):
        return "return"
    inside = node.lineno < before.lineno <= _end(node)
    return "exit" if isinstance(node, ast.With) and inside else "line"


def _reads(node: ast.stmt, made: dict[str, list[str]]) -> tuple[str, ...]:
    """Ids of the products whose names a statement uses."""
    parts: list[ast.AST | None] = [node]
    if isinstance(node, (ast.With, ast.For, ast.While, ast.If, ast.Try)):
        parts = [getattr(node, name, None) for name in ("iter", "test")]
        parts += [item.context_expr for item in getattr(node, "items", [])]
    walked = [n for part in parts if part for n in ast.walk(part)]
    names = [n.id for n in walked if isinstance(n, ast.Name) and _is_load(n)]
    if isinstance(node, ast.AugAssign) and isinstance(node.target, ast.Name):
        names.append(node.target.id)
    return tuple(each for name in dict.fromkeys(names) for each in made.get(name, ()))


def _is_data(value: Any) -> bool:
    """Whether an argument is worth a mention when a function is called."""
    return is_array(value) or isinstance(value, (bool, int, float))


def _is_load(node: ast.Name) -> bool:
    return isinstance(node.ctx, ast.Load)


def _same(one: Any, other: Any) -> bool:
    if isinstance(other, (bool, int, float)):
        return type(one) is type(other) and one == other
    return one is other


def _equal(old: np.ndarray, new: np.ndarray) -> np.ndarray:
    """Which entries are the same; nan equals nan. Another shape: none is."""
    if old.shape != new.shape:
        return np.zeros((), bool)
    return (old == new) | ((old != old) & (new != new))


def _difference(old: np.ndarray | None, new: np.ndarray) -> tuple[float, int]:
    """Length of the change of a variable, and how many entries changed."""
    if old is None or old.shape != new.shape:
        return 0.0, int(new.size)
    changed = ~_equal(old, new)
    before, after = numbers(old)[changed], numbers(new)[changed]
    if after.dtype.kind not in "fc":  # strings
        return 0.0, int(changed.sum())
    return length(after - before), int(changed.sum())


def _apart(gradients: Any) -> Any:
    """The same gradients, each a tensor of its own: in a + b, TensorFlow shares one."""
    seen: set[int] = set()
    found = []
    for value in _flat(gradients):
        found.append(tf.identity(value) if id(value) in seen else value)
        seen |= set() if value is None else {id(value)}
    return keras.tree.pack_sequence_as(gradients, found)


def _flat(value: Any) -> list[Any]:
    return keras.tree.flatten(value)
