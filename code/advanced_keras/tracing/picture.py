"""Show a trace: tables, and a graph in the DOT language."""

from __future__ import annotations

import hashlib
import html
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import keras

from .. import display
from ..display import INK, PALETTE
from .steps import Edge, Output, Step, _label

if TYPE_CHECKING:
    from . import Trace


@dataclass(frozen=True)
class Style:
    """How a trace is shown; see ``Trace.styled``.

    Raises:
        ValueError: if two letters of ``axes`` stand for the same size.
    """

    axes: Mapping[str, int] = field(default_factory=dict)
    shapes: Mapping[str, str] = field(default_factory=dict)
    colors: Mapping[str, str] = field(default_factory=dict)
    masks: bool = False

    def __post_init__(self):
        sizes = list(self.axes.values())
        if len(set(sizes)) < len(sizes):
            raise ValueError(
                f"axes must give each size one letter, got {dict(self.axes)!r}."
            )


def shape_text(output: Output, style: Style) -> str:
    """Write a shape with letters: ``(B, ·, 64)``, or ``(B, S, E)`` if told so.

    B is the batch, a dot an axis of any length.
    """
    for name in output.names:
        for key in (name.label, name.name):
            if key in style.shapes:
                return f"({', '.join(style.shapes[key].replace(',', ' ').split())})"
    letters = {size: letter for letter, size in style.axes.items()}
    shown = [
        ("B" if axis == 0 else "·") if size is None else str(letters.get(size, size))
        for axis, size in enumerate(output.shape)
    ]
    return f"({', '.join(shown)})"


def call_text(step: Step) -> str:
    """``shared (Dense), call 2 of 3``."""
    text = f"{step.called} ({step.layer_class})"
    if step.kind == "operation":
        text = step.called
    return text + (f", call {step.call} of {step.calls}" if step.calls > 1 else "")


def tensor_text(trace: Trace, tensor: str) -> str:
    """One name of a tensor; for a nameless one, what was called to make it."""
    step = _owner(trace, tensor)
    output = next(o for o in step.outputs if o.id == tensor)
    if output.names:
        return plain_name(output)
    text = step.called + (f" call {step.call}" if step.calls > 1 else "")
    return text + (f"[{output.index}]" if len(step.outputs) > 1 else "")


def plain_name(output: Output) -> str:
    """First name of a tensor that is not a place in a list: ``h``, not ``s[0]``."""
    labels = [name.label for name in output.names]
    return next((label for label in labels if "[" not in label), labels[0])


def _owner(trace: Trace, tensor: str) -> Step:
    return next(s for s in trace.all_steps if any(o.id == tensor for o in s.outputs))


def argument_text(trace: Trace, edge: Edge) -> str:
    """``query``; ``key (= value)``; for a nested model its own name for the tensor."""
    if edge.formal_tensor is not None:
        return formal_text(trace, edge)
    return edge.argument + (f" (= {edge.default})" if edge.default else "")


def formal_text(trace: Trace, edge: Edge) -> str:
    """What the nested model calls its input: its variable, else its input layer."""
    names = [n for o in trace._outputs() if o.id == edge.formal_tensor for n in o.names]
    return names[0].label if names else str(edge.formal)


def visible(trace: Trace, step: Step) -> list[Edge]:
    """The filled arguments to show: masks only if asked for."""
    return [edge for edge in step.inputs if trace.style.masks or not edge.mask]


def inputs_text(trace: Trace, step: Step) -> str:
    """``query ← x₁, value ← h``."""
    return ", ".join(
        f"{argument_text(trace, edge)} ← {tensor_text(trace, edge.tensor)}"
        for edge in visible(trace, step)
    )


COLUMNS = ["line", "variable", "shape", "dtype", "call", "inputs"]


def step_rows(trace: Trace) -> list[tuple[str, ...]]:
    """One row for each name and for each nameless call, in the order of the lines."""
    rows = []
    for number, step in enumerate(trace.steps):
        named = [o for o in step.outputs if o.names]
        for output in named or step.outputs[:1]:
            first = output.names[0] if output.names else None
            label, line = (first.label, first.line) if first else ("", step.line)
            several = f" → {output.index}" if len(step.outputs) > 1 else ""
            size = (shape_text(output, trace.style), output.dtype)
            cells = (*size, call_text(step) + several, inputs_text(trace, step))
            event = first.order if first else step.order
            order = (event, 0, number, output.index)
            rows.append((order, (_line(line), label, *cells)))
            for other in output.names[1:]:
                same = (*size, f"= {label}", "")
                order = (other.order, 1, number, 0)
                rows.append((order, (_line(other.line), other.label, *same)))
    return [cells for _, cells in sorted(rows)]


def _line(line: int | None) -> str:
    return "" if line is None else str(line)


def step_table(trace: Trace) -> display.Table:
    """Table of :func:`step_rows`; without lines and names if there are none."""
    rows, columns = step_rows(trace), COLUMNS
    keep = [i for i, _ in enumerate(columns) if i > 1 or any(row[i] for row in rows)]
    return display.table(
        [tuple(row[i] for i in keep) for row in rows],
        [columns[i] for i in keep],
        align="".join("rlllll"[i] for i in keep),
        code=("variable",),
    )


def binding_rows(trace: Trace) -> list[tuple[str, ...]]:
    """One row for each argument of a call of a nested model."""
    rows: list[tuple[str, ...]] = []
    for bound in trace.bindings:
        step = next(s for s in trace.all_steps if s.id == bound.step)
        if step.inside:
            continue
        edge = next(e for e in step.inputs if e.argument == bound.argument)
        line, formal = _line(step.line), formal_text(trace, edge)
        actual = tensor_text(trace, bound.actual)
        layer = edge.formal or ""
        rows.append((line, call_text(step), bound.argument, actual, formal, layer))
    return rows


def binding_table(trace: Trace) -> display.Table:
    """Table of :func:`binding_rows`."""
    return display.table(
        binding_rows(trace),
        ["line", "call", "argument", "actual", "formal", "input layer"],
        align="rlllll",
        code=("actual", "formal"),
    )


def model_rows(trace: Trace) -> list[tuple[str, ...]]:
    """One row for each model: what goes in, what comes out."""
    return [
        (
            _line(model.line),
            model.variable or "",
            model.name,
            ", ".join(tensor_text(trace, t) for t in model.inputs),
            ", ".join(tensor_text(trace, t) for t in model.outputs),
        )
        for model in trace.models
    ]


def model_table(trace: Trace) -> display.Table:
    """Table of :func:`model_rows`."""
    columns = ["line", "variable", "model", "inputs", "outputs"]
    code = ("variable", "inputs", "outputs")
    return display.table(model_rows(trace), columns, align="rllll", code=code)


def tables_html(trace: Trace) -> str:
    """The table of steps and, if models are nested, that of their arguments."""
    tables = [step_table(trace)]
    if binding_rows(trace):
        tables.append(binding_table(trace))
    return "".join(table._repr_mimebundle_()["text/html"] for table in tables)


def text(trace: Trace) -> str:
    """The table of steps as plain text."""
    rows = [tuple(COLUMNS), *step_rows(trace)]
    widths = [max(len(row[i]) for row in rows) for i in range(len(COLUMNS))]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        for row in rows
    ]
    return "\n".join(line.rstrip() for line in lines)


def words(trace: Trace) -> str:
    """Say what the graph shows, for readers who can't see it."""
    parts = []
    for step in trace.steps:
        inputs = inputs_text(trace, step)
        made = f"{step.label} from {call_text(step)}" if step.inputs else step.label
        parts.append(made + (f" with {inputs}" if inputs else ""))
    return f"Graph of {trace.name}, {len(parts)} calls: " + "; ".join(parts) + "."


def dot(trace: Trace, *, expand: bool = False) -> str:
    """Write the graph in DOT: one node a call, one edge a filled argument.

    Ids: the node of step ``s3`` is ``<picture>-s3``, the edge that fills its second
    argument ``<picture>-s3-in1``; classes repeat the part after the picture's name.
    """
    drawn = trace.all_steps if expand else trace.steps
    hidden = set() if trace.style.masks else trace._mask_steps()
    steps = [step for step in drawn if step.id not in hidden]
    shown = {step.id for step in steps}
    salt = repr((trace.name, trace.all_steps, trace.style, expand)).encode()
    prefix = f"trace-{hashlib.sha1(salt).hexdigest()[:8]}"
    lines = [_node(trace, step, prefix) for step in steps]
    for step in steps:
        for number, edge in enumerate(step.inputs):
            if edge.step in shown and (trace.style.masks or not edge.mask):
                lines.append(_edge(trace, step, edge, number, prefix))
    if expand:
        lines += _binding_edges(trace, shown, prefix)
    return "\n".join(["digraph trace {", _HEAD.format(prefix=prefix), *lines, "}"])


def folded(trace: Trace, columns: int) -> str | None:
    """A chain of calls in DOT, cut into columns side by side; None if it is no chain.

    Args:
        trace: what to draw, nested models closed.
        columns: how many there are, as long as each other but for the last.
    """
    ids = [step.id for step in trace.steps]
    links = [(e.step, step.id) for step in trace.steps for e in visible(trace, step)]
    if links != list(pairwise(ids)):
        return None
    length = -(-len(ids) // columns)
    heads, source = ids[::length], dot(trace)
    for index, head in enumerate(heads[1:], start=1):  # the arrow to the next column
        arrow = f"{ids[index * length - 1]} -> {head} ["
        source = source.replace(arrow, f"{arrow}constraint=false, ")
    straight = [f"{each} [group=column{n // length}];" for n, each in enumerate(ids)]
    aside = f"{{rank=same; {' -> '.join(heads)} [style=invis]}}"
    return source.removesuffix("}") + "\n".join([*straight, aside, "}"])


def plot_model(model: keras.Model, alt: str, **options: Any) -> display.Picture:
    """Draw what ``keras.utils.plot_model`` draws, without the program ``dot``.

    Args:
        model: a functional or built sequential model.
        alt: what the drawing shows, in words.
        **options: handed to ``keras.utils.model_to_dot``, such as ``show_shapes``.
    """
    options = {"show_shapes": True, "show_layer_names": True, "dpi": 72} | options
    source = keras.utils.model_to_dot(model, **options).to_string()
    # Keras names nodes by addresses in memory: number them, and draw the same each time
    for number, address in enumerate(dict.fromkeys(re.findall(r"\b\d{9,}\b", source))):
        source = source.replace(address, f"n{number}")
    source = _LONE_CELL.sub("", source.replace("Helvetica", '"DejaVu Sans"'))
    return display.draw_dot(source.replace("{", "{\n" + _KERAS_STYLE, 1), alt)


_LONE_CELL = re.compile(
    r'colspan="2"(?=[^\n]*</tr><tr><td bgcolor="white"><font[^/]*Output)'
)
"""Of an input Keras writes one shape, under a heading two cells wide: a gap is left."""

_KERAS_STYLE = f"""size="6.4,30"; margin=0; ranksep=0.35; bgcolor="transparent";
edge [color="{INK}"];"""


_HEAD = f"""
graph [id="{{prefix}}", rankdir=TB, bgcolor="transparent", nodesep=0.3, ranksep=0.35,
  margin=0];
node [shape=box, style="rounded,filled", fontname="DejaVu Sans", fontsize=9,
  fontcolor="{INK}", penwidth=1, margin="0.06,0.02", height=0.3];
edge [fontname="DejaVu Sans", fontsize=8, fontcolor="{INK}", color="{INK}",
  arrowsize=0.6, penwidth=0.8];"""


_TABLE = '<table border="0" cellborder="0" cellspacing="0" cellpadding="1">'


def _node(trace: Trace, step: Step, prefix: str) -> str:
    """Write a node: the names, what was called, the shape."""
    names = [_label(output) for output in step.outputs]
    head = f"<b>{_escape(step.label)}</b>" if any(names) else ""
    shapes = [shape_text(o, trace.style) for o in step.outputs]
    kind = step.outputs[0].dtype
    tail = " ".join(shapes) + ("" if kind == keras.config.floatx() else f" {kind}")
    where = f"line {step.line}: " if step.line else ""
    rows = [head, _escape(call_text(step)), _escape(tail)]
    cells = "".join(f"<tr><td>{row}</td></tr>" for row in rows if row)
    color = _color(step, trace.style)
    return (
        f'{step.id} [id="{prefix}-{step.id}", class="step {step.kind} {step.id}", '
        f"label=<{_TABLE}{cells}</table>>, "
        f'tooltip="{_quote(where + step.source)}", '
        f'color="{color}", fillcolor="{color}1F"];'
    )


def _color(step: Step, style: Style) -> str:
    """Colour by name of the tensor, else of the layer, else of the class."""
    keys: list[Any] = [
        k for o in step.outputs for n in o.names for k in (n.label, n.name)
    ]
    keys += [step.id, step.layer, step.variable, step.layer_class]
    return next((style.colors[k] for k in keys if k in style.colors), PALETTE["data"])


def _edge(trace: Trace, step: Step, edge: Edge, number: int, prefix: str) -> str:
    """Write an edge with the argument it fills."""
    owner = _owner(trace, edge.tensor)
    label = argument_text(trace, edge)
    if len(owner.outputs) > 1:  # say which of the tensors goes this way
        output = next(o for o in owner.outputs if o.id == edge.tensor)
        tail = plain_name(output) if output.names else f"[{output.index}]"
        label = f"{tail} → {label}"
    style = ', style="dashed"' if edge.mask or edge.default else ""
    name = f"{step.id}-in{number}"
    return (
        f'{edge.step} -> {step.id} [id="{prefix}-{name}", class="edge {name}", '
        f'label=" {_quote(label)} "{style}];'
    )


def _binding_edges(trace: Trace, shown: set[str], prefix: str) -> list[str]:
    """Dotted edges: from the actual to the formal tensor, and back out."""
    lines = []
    for number, bound in enumerate(trace.bindings):
        actual, formal = bound.actual.split("_")[0], bound.formal.split("_")[0]
        if actual != formal and {actual, formal} <= shown:
            lines.append(_dotted(actual, formal, f"{prefix}-bind{number}", "binds"))
    returned = {(b.step, b.model) for b in trace.bindings}
    for step, model in sorted(returned):
        outputs = next(m.outputs for m in trace.models if m.id == model)
        for index, tensor in enumerate(outputs):
            inner = tensor.split("_")[0]
            if {inner, step} <= shown:
                name = f"{prefix}-{step}-out{index}"
                lines.append(_dotted(inner, step, name, "returns"))
    return lines


def _dotted(tail: str, head: str, name: str, label: str) -> str:
    color = PALETTE["attention"]
    return (
        f'{tail} -> {head} [id="{name}", class="edge", style="dotted", penwidth=1.4, '
        f'color="{color}", label=" {label} "];'
    )


def _escape(words: str) -> str:
    return html.escape(words, quote=False)


def _quote(words: str) -> str:
    """Escape for a quoted DOT string."""
    return words.replace("\\", "\\\\").replace('"', '\\"').replace("\n", " ")
