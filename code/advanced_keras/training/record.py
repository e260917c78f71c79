"""A record of one training step: which line computed what, and which variable changed.

Chapter: *A custom train step*. :func:`record_step` works for any step, also one with
several models and optimizers, and needs no change to it.
"""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import keras
import numpy as np

from ..display import Picture, Table
from . import picture, stepping
from .recorder import Event, Recorder, plain
from .values import Change, Groups, Product, groups_of, path_of

__all__ = ["Change", "Event", "Product", "StepRecord", "record_step"]


@dataclass(frozen=True)
class StepRecord:
    """What one step did; shows itself in a notebook line by line, to step through.

    Where scripts don't run, it is a table. So it is on paper, of the lines that have a
    formula, if there are any.

    Args:
        name: name of the step's function.
        events: the lines that ran, in order.
        groups: for each group the ids of its variables, ``weights[0]``.
        paths: for each id the path of the variable in Keras, ``dense/kernel``.
        result: what the step returned.
        sources: for each function that ran the numbers and texts of its lines.
        maths: for ids of events what the line is in mathematics, as LaTeX.
        anchor: the name in addresses of a step: ``gan`` in ``#step-gan-7``.
    """

    name: str
    events: tuple[Event, ...]
    groups: Mapping[str, tuple[str, ...]]
    paths: Mapping[str, str]
    result: Any = field(default=None, repr=False, compare=False)
    sources: Mapping[str, tuple[tuple[int, str], ...]] = field(
        default_factory=dict, repr=False
    )
    maths: Mapping[str, str] = field(default_factory=dict)
    anchor: str = "step"

    def changes(self, group: str | None = None) -> list[tuple[Event, Change]]:
        """Every change of the variables of a group (of all), with its event.

        Raises:
            ValueError: if there is no such group.
        """
        self._check(group)
        return [
            (event, change)
            for event in self.events
            for change in event.changes
            if group in (None, change.group)
        ]

    def changed(self, group: str | None = None) -> tuple[str, ...]:
        """Paths of the variables of a group (of all) that the step changed."""
        ids = {change.variable for _, change in self.changes(group)}
        return tuple(path for key, path in self.paths.items() if key in ids)

    def unchanged(self, group: str | None = None) -> tuple[str, ...]:
        """Paths of the variables of a group (of all) that it left alone."""
        ids = {change.variable for _, change in self.changes(group)}
        groups = self.groups if group is None else [group]
        keys = [key for name in groups for key in self.groups[name]]
        return tuple(self.paths[key] for key in keys if key not in ids)

    def at(self, text: str) -> tuple[Event, ...]:
        """Events whose statement contains ``text``.

        Raises:
            ValueError: if no statement does.
        """
        found = tuple(event for event in self.events if text in event.text)
        if not found:
            raise ValueError(
                f"text must be part of a line that {self.name!r} ran, got {text!r}."
            )
        return found

    def products(self, name: str) -> tuple[Product, ...]:
        """What the step called ``name``, each time it was bound.

        Raises:
            ValueError: if no line bound that name.
        """
        made = [product for event in self.events for product in event.produces]
        found = tuple(each for each in made if name in (each.name, each.path))
        if not found:
            known = ", ".join(dict.fromkeys(product.name for product in made))
            raise ValueError(
                f"name must be bound by {self.name!r}, one of: {known}; got {name!r}."
            )
        return found

    def table(self, *, silent: bool = False) -> Table:
        """One row a line: its number, its text, what it made, what it changed.

        Args:
            silent: also show lines that made nothing and changed nothing.
        """
        return picture.table_of(self, silent=silent)

    def figure(
        self,
        *,
        colors: Mapping[str, str] | None = None,
        silent: bool = False,
        alt: str | None = None,
    ) -> Picture:
        """Draw the step: a row a line, a column a group, a mark where it changed.

        Args:
            colors: colours of groups; by default those of the palette that bear the
                group's name, such as generator and critic.
            silent: also draw lines that made nothing and changed nothing.
            alt: alternative text; by default the step in words.
        """
        return picture.figure_of(self, colors or {}, silent, alt)

    def to_dict(self) -> dict[str, Any]:
        """Everything but the result as plain lists and dicts, ready for JSON.

        Ids are the same in every run of the same step. Numbers that JSON lacks (nan,
        inf) are written as text.
        """
        variables = {
            group: [{"id": key, "path": self.paths[key]} for key in keys]
            for group, keys in self.groups.items()
        }
        events = [dataclasses.asdict(event) for event in self.events]
        return _plain(
            {
                "name": self.name,
                "groups": variables,
                "events": events,
                "sources": self.sources,
                "maths": self.maths,
            }
        )

    def _check(self, group: str | None) -> None:
        if group is not None and group not in self.groups:
            raise ValueError(
                f"group must be one of {', '.join(self.groups)}; got {group!r}."
            )

    def __str__(self) -> str:
        return str(self.table())

    def _repr_mimebundle_(self, include=None, exclude=None) -> dict[str, str]:
        return stepping.bundle_of(self)


def record_step(
    step: keras.Model | Callable,
    *args: Any,
    groups: Mapping[str, Any] | None = None,
    follow: Sequence[Callable] = (),
    restore: bool = False,
    maths: Mapping[str | tuple[str, str], str] | None = None,
    anchor: str | None = None,
) -> StepRecord:
    """Run one training step, without a graph, and record what each line did.

    The step really happens: the variables are changed as ``fit`` would change them,
    unless ``restore`` is set.

    Args:
        step: a compiled model, whose ``train_step`` runs; or any function.
        *args: its arguments; for a model one, the batch: ``(x, y)`` or
            ``(x, y, sample_weight)`` with shapes ``(batch, ...)``.
        groups: named groups of variables. A group is a list of variables, an object
            that has ``variables`` (model, layer, optimizer), or a function that
            returns a list. By default :func:`~.values.groups_of` the model.
        follow: functions and methods that the step calls whose lines are recorded too.
        restore: give the variables of all groups the values back that they had before,
            also if the step fails.
        maths: what lines are in mathematics: from a part of a statement to LaTeX,
            ``{"loss = ": r"\\ell(\\theta)"}``. If several functions have the
            statement, say which is meant: ``("train_step", "loss = ")``.
        anchor: letters, digits, ``-`` and ``_`` that name the record in addresses:
            with ``gan``, ``#step-gan-7`` opens its seventh step on a page. By default
            the name of the function.

    Raises:
        TypeError: if ``step`` can't be called, if a group holds no variables, or if
            ``maths`` isn't such a mapping.
        ValueError: if a model isn't compiled, if the groups of a function are missing,
            if a variable is in two groups, if there is no source text, if ``restore``
            is set and the step made new variables, if no line that ran has a statement
            of ``maths`` or one has two, or if ``anchor`` has other characters.

    Example:
        >>> line = keras.layers.Dense(1, name="line")
        >>> model = keras.Sequential([keras.Input((2,)), line], name="model")
        >>> model.compile("sgd", "mse")
        >>> record = record_step(model, (np.ones((4, 2)), np.ones((4, 1))))
        >>> record.changed("weights")
        ('model/line/kernel', 'model/line/bias')
    """
    _check_anchor(anchor)
    _check_maths(maths)
    function, args, groups = _prepared(step, args, groups)
    watched = Groups(groups)
    recorder = Recorder([function, *follow], watched)
    try:
        recorder.run(function, args)
    finally:
        if restore:
            _put_back(watched, recorder.before)
    if not recorder.events:
        raise ValueError(
            f"step must run when it is called, got {function!r}, which ran another "
            "function in its place."
        )
    variables = watched.now()
    ids = {
        name: tuple(key for key, (group, _) in variables.items() if group == name)
        for name in groups
    }
    paths = {key: path_of(variable) for key, (_, variable) in variables.items()}
    name, events = recorder.events[0].function, tuple(recorder.events)
    return StepRecord(
        name,
        events,
        ids,
        paths,
        recorder.result,
        recorder.texts(),
        _maths_of(events, maths or {}),
        re.sub(r"[^\w-]", "-", name, flags=re.ASCII) if anchor is None else anchor,
    )


def _check_anchor(anchor: Any) -> None:
    fits = isinstance(anchor, str) and re.fullmatch(r"[\w-]+", anchor, re.ASCII)
    if anchor is not None and not fits:
        raise ValueError(
            f"anchor must be letters, digits, - and _, such as 'gan'; got {anchor!r}."
        )


def _check_maths(maths: Any) -> None:
    """Before the step runs, since it changes variables."""
    if maths is None:
        return
    if not isinstance(maths, Mapping):
        raise TypeError(
            "maths must be a dict from parts of statements to LaTeX, got "
            f"{type(maths).__name__}."
        )
    for key, latex in maths.items():
        words = key if isinstance(key, tuple) else ("", key)
        if len(words) != 2 or not all(isinstance(w, str) for w in (*words, latex)):
            raise TypeError(
                "maths must map part of a statement, or (function, part), to LaTeX; "
                f"got {key!r}: {latex!r}."
            )


def _maths_of(events: Sequence[Event], maths: Mapping) -> dict[str, str]:
    """For ids of events the LaTeX of the one entry that means them.

    The end of a ``with`` block is the same line once more, and has none.
    """
    found: dict[str, str] = {}
    owners: dict[str, Any] = {}
    for key, latex in maths.items():
        function, text = key if isinstance(key, tuple) else (None, key)
        meant = [
            event.id
            for event in events
            if text in event.text
            and event.kind in ("line", "return")
            and function in (None, event.function)
        ]
        if not meant:
            raise ValueError(f"maths must name a line that ran, got {key!r}.")
        for each in meant:
            if each in owners:
                raise ValueError(
                    f"maths must name a line once, got {owners[each]!r} and {key!r} "
                    f"for {each!r}."
                )
        owners |= dict.fromkeys(meant, key)
        found |= dict.fromkeys(meant, latex)
    return found


def _prepared(step: Any, args: tuple, groups: Any) -> tuple[Callable, tuple, Any]:
    """The function to run, its arguments as ``fit`` would give them, the groups."""
    if isinstance(step, keras.Model):
        if not step.compiled:
            raise ValueError("step must be a compiled model, got one without compile.")
        if len(args) != 1:
            raise ValueError(f"a model needs one batch of data, got {len(args)}.")
        data = keras.tree.map_structure(_as_fit_does, args[0])
        default = groups_of(step) if groups is None else groups
        return step.train_step, (data,), default
    if not callable(plain(step)):
        raise TypeError(
            f"step must be a compiled model or a function, got {type(step).__name__}."
        )
    if groups is None:
        raise ValueError("groups must be given when step is a function, got None.")
    return step, args, groups


def _as_fit_does(array: Any) -> Any:
    """A tensor; numbers with a fraction in Keras's default precision."""
    if array is None:
        return None
    real = np.issubdtype(np.asarray(array).dtype, np.floating)
    return keras.ops.convert_to_tensor(array, keras.config.floatx() if real else None)


def _put_back(groups: Groups, before: Mapping[str, np.ndarray]) -> None:
    created = []
    for key, (_, variable) in groups.now().items():
        if key in before:
            variable.assign(before[key])
        else:
            created.append(path_of(variable))
    if created:
        raise ValueError(
            "restore=True needs a step that makes no variables (build the model and "
            f"its optimizer first), but this one made {', '.join(created)}."
        )


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value
