"""Show the record of a step: a table, and a figure with a row a line."""

from __future__ import annotations

import math
import re
import textwrap
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch, Rectangle

from .._notation import written_out
from ..display import INK, PALETTE, Picture, Table, show, table
from .recorder import Event
from .values import Product

if TYPE_CHECKING:
    from .record import StepRecord

MONO, SANS = "DejaVu Sans Mono", "DejaVu Sans"
CODE, TEXT = 7.4, 7.6  # sizes of letters
LETTER = 0.602 * CODE  # width of one letter of code, in points
WIDTH = 43  # letters in a line of code
ROW = 12.0  # height of a line
LEFT, GAP = 26.0, 8.0
MAKES, GROUP = 116.0, 46.0  # widths of columns, of a group at least


def shown(record: StepRecord, silent: bool) -> list[Event]:
    """The events to show: without those that did nothing, unless asked for."""
    return [
        event
        for event in record.events
        if silent or event.kind == "call" or event.produces or event.changes
    ]


def made(event: Event) -> list[tuple[str, str | None]]:
    """What a line made, one text a name, each with the role of its colour."""
    return [
        (in_words(name, products), _role(event, products))
        for name, products in by_name(event.produces).items()
    ]


def by_name(products: Iterable[Product]) -> dict[str, list[Product]]:
    """The products under each name, in order."""
    found: dict[str, list[Product]] = {}
    for each in products:
        found.setdefault(each.name, []).append(each)
    return found


def in_words(name: str, products: list[Product]) -> str:
    """One name in words: ``loss = 0.69``, ``y_pred (32, 1)``, ``gradients: 4, ...``."""
    first = products[0]
    if len(products) == 1 and first.path == name:
        return f"{name} {_one(first)}"
    values = [each.value for each in products if each.value is not None]
    if len(values) == len(products):
        inner = [
            f"{_key(each)} {number(value)}"
            for each, value in zip(products, values, strict=True)
        ]
        return f"{name}: {', '.join(inner)}"
    if len(products) <= 3 and all(each.kind == "tensor" for each in products):
        return f"{name} {', '.join(_one(each) for each in products)}"
    norms = [each.norm for each in products if each.norm is not None]
    kinds = " variables" * (first.kind == "variable")
    missing = sum(each.kind == "none" for each in products)
    count = f"{len(products)}{kinds}" + f", {missing} None" * bool(missing)
    if not norms:
        return f"{name}: {count}"
    norm = math.sqrt(sum(each**2 for each in norms))
    return f"{name}: {count}, norm {number(norm)}"


def _one(product: Product) -> str:
    if product.kind == "none":
        return "= None"
    if product.value is not None:
        return f"= {number(product.value)}"
    if product.kind == "object":
        return f"({product.dtype})"
    return str(product.shape)


def _key(product: Product) -> str:
    inner = product.path[len(product.name) :]
    return inner.strip("[]").replace("'", "") or product.name


def number(value: float) -> str:
    """Three digits: what a reader can compare."""
    return f"{value:.3g}"


def _role(event: Event, products: list[Product]) -> str | None:
    """Losses and gradients are vermilion, what comes in is grey."""
    if event.kind == "call":
        return "data"
    if any(each.kind == "gradient" or "loss" in each.name for each in products):
        return "loss"
    return None


def counts(record: StepRecord, event: Event | None) -> dict[str, tuple[int, float]]:
    """For each group: how many variables changed, and by what length together.

    Without an event: in the whole step, and no length.
    """
    if event is None:
        return {group: (len(record.changed(group)), 0.0) for group in record.groups}
    result = {}
    for group in record.groups:
        norms = [change.norm for change in event.changes if change.group == group]
        if norms:
            result[group] = (len(norms), math.sqrt(sum(each**2 for each in norms)))
    return result


def code_text(event: Event) -> str:
    """The statement in one line, indented as in the source."""
    text = " ".join(event.text.split())
    if event.kind == "exit":
        text = "(end of the block)"
    return " " * (event.indent + 2 * event.depth) + text


def _margin(events: list[Event]) -> dict[str, int]:
    """For each function the indentation of its ``def``."""
    margin: dict[str, int] = {}
    for event in events:
        margin[event.function] = min(
            event.indent, margin.get(event.function, event.indent)
        )
    return margin


def _lines(event: Event, margin: Mapping[str, int], width: int = WIDTH) -> list[str]:
    """The statement, dedented and broken into lines that fit the column."""
    text = code_text(event)
    text = text[margin[event.function] :]
    indent = len(text) - len(text.lstrip())
    return _wrap(text.lstrip(), width, " " * indent)


def _wrap(text: str, width: int, margin: str) -> list[str]:
    """Break code at blanks; a word that is too long, behind its first bracket."""
    room = width - len(margin) - 2
    parts = [p.replace("(", "(\0 ", 1) if len(p) > room else p for p in text.split()]
    parts = " ".join(parts).split(" ")
    parts = [p.replace(".", ".\0 ") if len(p) > room else p for p in parts]
    text, deeper = " ".join(parts), margin + "  "
    lines = textwrap.wrap(text, width, initial_indent=margin, subsequent_indent=deeper)
    return [line.replace("\0 ", "").replace("\0", "") for line in lines]


def table_of(record: StepRecord, *, silent: bool, maths: bool = False) -> Table:
    """One row a line; with ``maths`` its formula beside it.

    Then a line that has a formula is never left out.
    """
    seen = {event.index for event in shown(record, silent)}
    if maths:
        seen |= {event.index for event in record.events if event.id in record.maths}
    events = [record.events[index] for index in sorted(seen)]
    margin = _margin(events)
    many = len(margin) > 1
    rows = []
    for event in events:
        text = "\n".join(_lines(event, margin, 42)).replace(" ", "\u00a0")
        changes = [
            f"{group}: {n} of {len(record.groups[group])}, by {number(size)}"
            for group, (n, size) in counts(record, event).items()
        ]
        place = f"{event.function} {event.line}" if many else str(event.line)
        words = "\n".join(text for text, _ in made(event))
        row = [place, text, words, "\n".join(changes)]
        if maths:
            row.insert(2, written_out(record.maths.get(event.id, "")))
        rows.append(row)
    columns = ["line", "statement", "makes", "changes"]
    if maths:
        columns.insert(2, "mathematics")
    align = "l" * len(columns)
    formulas = ("mathematics",) if maths else ()
    return table(rows, columns, align, code=("statement",), maths=formulas)


def printed_table(record: StepRecord) -> Table:
    """What paper shows of a record that is stepped through on a page.

    The lines that have a formula, each with what it came to in this step, below the
    name of their function; without formulas :func:`table_of` the record.
    """
    if not record.maths:
        return table_of(record, silent=False)
    rows: list[tuple] = []
    function = None
    for event in record.events:
        if event.kind == "call":
            function = None  # its name stands above each run
        if event.id not in record.maths:
            continue
        if event.function != function:
            function = event.function
            rows.append(("", f"{function}:", "", ""))
        does = [text for text, _ in made(event)]
        for group, (n, size) in counts(record, event).items():
            of = len(record.groups[group])
            does.append(f"changes {n} of {of} in {group}, by {number(size)}")
        rows.append(
            (event.line, _in_one_line(event), record.maths[event.id], "\n".join(does))
        )
    columns = ["", "statement", "mathematics", "in this step"]
    return table(rows, columns, "rlll", code=("statement",), maths=("mathematics",))


def _in_one_line(event: Event) -> str:
    """``f(x, y)``, also where the source has an argument a line."""
    text = re.sub(r"([([{])\s+", r"\1", " ".join(event.text.split()))
    return re.sub(r",?\s+([)\]}])", r"\1", text)


def words(record: StepRecord) -> str:
    """The record as one text, for readers who can't see the figure."""
    parts = []
    for event in shown(record, False):
        text = f"line {event.line}, {' '.join(event.text.split())}"
        does = [f"makes {each}" for each, _ in made(event)]
        for group, (n, _) in counts(record, event).items():
            does.append(f"changes {n} of {len(record.groups[group])} in {group}")
        parts.append(f"{text}: {'; '.join(does)}" if does else text)
    return f"The step {record.name}, line by line. " + ". ".join(parts) + "."


def figure_of(
    record: StepRecord, colors: Mapping[str, str], silent: bool, alt: str | None
) -> Picture:
    """The rows of the table as a drawing with a column for each group."""
    events = shown(record, silent)
    margin = _margin(events)
    groups = [group for group, keys in record.groups.items() if keys]
    cells = [(_lines(event, margin), _wrapped(event)) for event in events]
    heights = [ROW * max(len(code), len(makes), 1) + 5 for code, makes in cells]
    right = LEFT + WIDTH * LETTER + GAP + MAKES
    middles, width = _columns(groups, right)
    top = ROW * max(len(_heading(group)) for group in groups or [""])
    height = top + sum(heights) + ROW + 26
    figure, axes = _canvas(width, height)
    tints = {group: colors.get(group, PALETTE.get(group, INK)) for group in groups}
    _head(axes, middles, tints, right)
    y = top + 10.0
    for event, (code, makes), tall in zip(events, cells, heights, strict=True):
        _row(axes, event, code, makes, y, tall)
        _marks(axes, record, middles, tints, counts(record, event), y + tall / 2)
        y += tall
        _rule(axes, y, width)
    _text(axes, right - 6, y + ROW, "in the whole step", ha="right")
    total = counts(record, None)
    _marks(axes, record, middles, tints, total, y + ROW, total=True)
    with rc_context({"figure.constrained_layout.use": False}):
        return show(figure, alt or words(record))


def _canvas(width: float, height: float) -> tuple[Figure, Axes]:
    """A page of ``width`` by ``height`` points, the origin top left."""
    with rc_context({"figure.constrained_layout.use": False}):
        figure = Figure((width / 72, height / 72), facecolor="none")
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, width), ylim=(height, 0))
    axes.axis("off")
    return figure, axes


def _wrapped(event: Event) -> list[tuple[str, str | None]]:
    """What a line made, broken into lines, each with its role."""
    found = []
    for text, role in made(event):
        pieces = textwrap.wrap(text, 26, subsequent_indent="   ")
        found += [(piece, role) for piece in pieces]
    return found


def _heading(group: str) -> list[str]:
    """The name of a group, broken behind underscores: ``critic_`` ``optimizer``."""
    return group.replace("_", "_ ").split()


def _columns(groups: list[str], right: float) -> tuple[dict[str, float], float]:
    """The middle of each group's column, as wide as its name, and the last edge."""
    middles = {}
    for group in groups:
        letters = max(map(len, _heading(group)))
        wide = max(GROUP, 0.7 * TEXT * letters + 6)
        middles[group] = right + wide / 2
        right += wide
    return middles, right + 4


def _head(
    axes: Axes, middles: Mapping[str, float], tints: Mapping[str, str], right: float
) -> None:
    last = max((len(_heading(group)) for group in middles), default=1) - 1
    y = ROW / 2 + 2
    _text(axes, LEFT, y + ROW * last, "the line", weight="bold")
    _text(axes, right - MAKES, y + ROW * last, "makes", weight="bold")
    for group, x in middles.items():
        style = {"color": tints[group], "ha": "center", "weight": "bold"}
        lines = _heading(group)
        for index, line in enumerate(lines, last + 1 - len(lines)):
            _text(axes, x, y + ROW * index, line, **style)


def _row(axes: Axes, event: Event, code, makes, y: float, tall: float) -> None:
    """Number, statement and products of one line; a bar while a tape records."""
    if event.tapes and event.kind != "exit":
        bar = (LEFT - 5, y), 2, tall
        axes.add_patch(Rectangle(*bar, facecolor=PALETTE["loss"], edgecolor="none"))
    style = {"family": MONO, "size": CODE}
    start = y + tall / 2 - ROW * (len(code) - 1) / 2
    _text(axes, LEFT - 9, start, str(event.line), ha="right", color=PALETTE["data"])
    for index, line in enumerate(code):
        _text(axes, LEFT, start + ROW * index, line.replace(" ", "\u00a0"), **style)
    start = y + tall / 2 - ROW * (len(makes) - 1) / 2
    for index, (text, role) in enumerate(makes):
        x, tint = LEFT + WIDTH * LETTER + GAP, PALETTE[role] if role else INK
        _text(axes, x, start + ROW * index, text, color=tint)


def _marks(axes: Axes, record, middles, tints, found, y: float, total=False) -> None:
    """A box with the number of changed variables, or a dot where none changed."""
    for group, x in middles.items():
        n, _ = found.get(group, (0, 0.0))
        if n or total:
            text = f"{n} of {len(record.groups[group])}"
            _text(axes, x, y, text, ha="center")
        else:
            _text(axes, x, y, "·", ha="center", color=PALETTE["data"])
        if n:
            _box(axes, x, y, tints[group])


def _box(axes: Axes, x: float, y: float, color: str) -> None:
    style = "round,pad=0,rounding_size=3"
    box = FancyBboxPatch((x - 21, y - 6.5), 42, 13, boxstyle=style)
    box.set(facecolor=(color, 0.14), edgecolor=color, linewidth=0.9)
    axes.add_patch(box)


def _rule(axes: Axes, y: float, width: float) -> None:
    axes.plot([0, width], [y, y], color=(PALETTE["data"], 0.35), linewidth=0.4)


def _text(axes: Axes, x: float, y: float, text: str, **style) -> None:
    usual: dict[str, Any] = {
        "size": TEXT,
        "family": SANS,
        "color": INK,
        "va": "center_baseline",
    }
    axes.text(x, y, text, **(usual | style))
