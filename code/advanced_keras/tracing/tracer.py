"""Show a trace so that it answers: source, tensors and graph that point at each other.

The static form has all three; ``interactive/tracer.js`` connects them. Elements are
tied together by the ids of steps: a line of the source has ``data-steps="s3 s4"``, a
tensor ``data-step="s3"``, and the graph carries the ids by itself.
"""

from __future__ import annotations

import ast
import math
import re
from typing import TYPE_CHECKING, Any

from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import PythonLexer

from ..display import Picture, draw_dot
from ..interactive import escaped, widget
from . import picture
from .steps import Edge, Name, Output, Step

if TYPE_CHECKING:
    from . import Trace


TALLEST = 600.0
"""Points: a higher graph would shrink on paper until nobody can read it."""


class Tracer:
    """A trace as a widget; on paper, its graph, a long chain in columns.

    Args:
        trace: what to show.
        opened: whether nested models are open at first, and on paper.
        alt: alternative text of the graph; by default the steps in words.

    Raises:
        ValueError: if ``opened`` is asked for and no model is nested.
    """

    def __init__(self, trace: Trace, opened: bool = False, alt: str | None = None):
        self.trace = trace
        self.alt = alt or picture.words(trace)
        self.closed = draw_dot(trace.dot(), self.alt)
        self.opened = self._opened()
        if opened and self.opened is None:
            raise ValueError(
                f"opened must be False: {trace.name!r} has no nested model to open."
            )
        self.graph = self.opened if opened and self.opened else self.closed

    def _opened(self) -> Picture | None:
        """The graph with the insides of nested models, if there are any."""
        if not self.trace.bindings:
            return None
        words = f"{self.alt} Nested models are opened."
        return draw_dot(self.trace.dot(expand=True), words)

    def printed(self) -> Picture:
        """The graph on paper: a chain that is higher than a page in columns."""
        size = re.search(r'height="([\d.]+)pt"', self.graph.svg)
        height = float(size[1]) if size else 0.0
        if height <= TALLEST or self.graph is self.opened:
            return self.graph
        columns = picture.folded(self.trace, math.ceil(height / TALLEST))
        return self.graph if columns is None else draw_dot(columns, self.alt)

    def _repr_mimebundle_(self, include=None, exclude=None) -> dict[str, str]:
        return {
            "text/html": self.html(),
            "application/pdf": self.printed()._repr_mimebundle_()["application/pdf"],
            "text/plain": str(self.trace),
        }

    def html(self) -> str:
        """The widget around its static form."""
        graphs = _graph(self.closed, "closed", self.graph is self.closed)
        if self.opened is not None:
            graphs += _graph(self.opened, "opened", self.graph is self.opened)
        tensors = tensors_html(self.trace, self.graph is self.opened)
        static = (
            f'<div class="ak-tracer-panels">{source_html(self.trace)}{tensors}'
            f'<div class="ak-tracer-graph">{graphs}</div></div>'
        )
        return widget("tracer", static, describe(self.trace))


def steps_of(trace: Trace) -> list[Step]:
    """All steps to show, also those inside nested models; in the order of events."""
    hidden = set() if trace.style.masks else trace._mask_steps()
    return [step for step in trace.all_steps if step.id not in hidden]


def describe(trace: Trace) -> dict[str, Any]:
    """What the script needs to know, as plain lists and dicts.

    ``steps`` maps an id to the ``name`` of what it made, to what its line did, in
    words (``says``), and to the steps that its arguments came from (``inputs``). For
    a call of a nested model ``opens`` lists the steps inside, and ``binds`` says which
    actual tensor stands for which formal one.
    """
    steps = steps_of(trace)
    shown = {step.id for step in steps}
    inner = {model.id: [s for s in model.steps if s in shown] for model in trace.models}
    return {
        "name": trace.name,
        "steps": {
            step.id: {
                "name": ", ".join(
                    picture.tensor_text(trace, o.id) for o in step.outputs
                ),
                "says": says(trace, step),
                "inputs": [e.step for e in picture.visible(trace, step)],
                "inside": step.inside,
                "opens": inner.get(step.model, []) if step.model else [],
                "ends": _ends(trace, step),
                "binds": [_bound(trace, step, e) for e in step.inputs if e.formal],
            }
            for step in steps
        },
    }


def _ends(trace: Trace, step: Step) -> list[str]:
    """Inside a nested model, the steps whose tensors the call returns."""
    models = [model for model in trace.models if model.id == step.model]
    return [picture._owner(trace, t).id for m in models for t in m.outputs]


def _bound(trace: Trace, step: Step, edge: Edge) -> dict[str, str]:
    """One argument of a nested model: in words, and the step of the formal tensor."""
    actual = picture.tensor_text(trace, edge.tensor)
    formal = picture.formal_text(trace, edge)
    bound = {"says": f"{actual} is bound to {formal}", "actual": edge.step}
    if edge.formal_tensor is not None:
        bound["formal"] = picture._owner(trace, edge.formal_tensor).id
    return bound


def says(trace: Trace, step: Step) -> str:
    """A step in a sentence, for the line below the panels and for screen readers."""
    made = ", ".join(_made(trace, step, output) for output in step.outputs)
    several = len(step.outputs) > 1
    if not step.inputs:
        return f"{_place(step)}{made} {'are inputs' if several else 'is an input'}."
    edges = picture.visible(trace, step)
    given = ", ".join(_given(trace, edge) for edge in edges)
    call = f"{picture.call_text(step)} with {given}"
    if several or step.outputs[0].names:
        return f"{_place(step)}{made} {'come' if several else 'comes'} from {call}."
    shape = picture.shape_text(step.outputs[0], trace.style)
    return f"{_place(step)}{call} makes a tensor {shape} without a name."


def _given(trace: Trace, edge: Edge) -> str:
    tensor = picture.tensor_text(trace, edge.tensor)
    return f"{tensor} as {picture.argument_text(trace, edge)}"


def _place(step: Step) -> str:
    """The line that named the first tensor, else the line of the call."""
    lines = [name.line for output in step.outputs for name in output.names]
    line = next(filter(None, [*lines, step.line]), None)
    return f"Line {line}: " if line and not step.inside else ""


def _made(trace: Trace, step: Step, output: Output) -> str:
    name = picture.tensor_text(trace, output.id)
    return f"{name} {picture.shape_text(output, trace.style)}"


# -- the three panels


def source_html(trace: Trace) -> str:
    """The source, a line each, tied to the steps that its statement made."""
    if not trace.source:
        return ""
    steps, described = _steps_by_line(trace), _docstring_lines(trace.source)
    code = highlight(
        trace.source, PythonLexer(stripnl=False), HtmlFormatter(nowrap=True)
    )
    lines = []
    for number, line in enumerate(code.rstrip("\n").split("\n"), start=1):
        if number in described:
            continue
        ties = f' data-steps="{" ".join(steps[number])}"' if number in steps else ""
        lines.append(
            f'<span class="ak-line" data-line="{number}"{ties}>{line or " "}</span>'
        )
    label = f"Source of {escaped(trace.name)}"
    return (
        f'<div class="ak-tracer-code highlight" role="group" aria-label="{label}">'
        f"<pre>{''.join(lines)}</pre></div>"
    )


def _docstring_lines(source: str) -> range:
    """Lines of the docstring of a function: it says nothing about its tensors."""
    try:
        parsed = ast.parse(source)
    except SyntaxError:
        return range(0)
    function = parsed.body[0] if parsed.body else parsed
    if not isinstance(function, (ast.FunctionDef, ast.ClassDef)):
        return range(0)
    if ast.get_docstring(function) is None:
        return range(0)
    first = function.body[0]
    return range(first.lineno, (first.end_lineno or first.lineno) + 1)


def _steps_by_line(trace: Trace) -> dict[int, list[str]]:
    """For each line of the source the steps of its statement, over all its lines."""
    found: dict[int, list[str]] = {}
    for step in steps_of(trace):
        names = [name for output in step.outputs for name in output.names]
        places: list[Step | Name] = [step, *names]
        for at in places:  # the call, and the lines that named its tensors
            if at.line is None or step.inside:
                continue
            for line in range(at.line, at.line + at.source.count("\n") + 1):
                ties = found.setdefault(line, [])
                if step.id not in ties:
                    ties.append(step.id)
    return found


def tensors_html(trace: Trace, opened: bool = False) -> str:
    """Names and shapes in the order of events, in letters and in numbers."""
    attributes = ' class="ak-inside"' + ("" if opened else " hidden")
    rows = []
    for step in steps_of(trace):
        for output in step.outputs:
            name = picture.tensor_text(trace, output.id)
            letters = picture.shape_text(output, trace.style)
            numbers = picture.shape_text(output, picture.Style())
            inside = attributes if step.inside else ""
            rows.append(
                f'<li data-step="{step.id}"{inside}><code>{escaped(name)}</code> '
                f'<span class="ak-shape" data-numbers="{escaped(numbers)}">'
                f"{escaped(letters)}</span></li>"
            )
    return (
        '<ol class="ak-tracer-tensors" aria-label="Tensors and their shapes">'
        f"{''.join(rows)}</ol>"
    )


def _graph(drawn: Picture, kind: str, shown: bool) -> str:
    attribute = "" if shown else " hidden"
    return f'<div class="ak-picture ak-{kind}"{attribute}>{drawn.svg}</div>'
