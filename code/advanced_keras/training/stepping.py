"""Step through a record on a page: what the widget ``<ak-stepper>`` is told.

Chapter: *A custom train step*. Everything is put into words and numbers here, so that
the script has only to show it.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from .._notation import written_out
from ..display import PALETTE
from ..interactive import widget
from .picture import by_name, counts, in_words, number, printed_table, table_of
from .recorder import Event
from .values import Change, Product

if TYPE_CHECKING:
    from .record import StepRecord


def bundle_of(record: StepRecord) -> dict[str, str]:
    """The record for a notebook: the widget around a table; on paper what counts."""
    static = table_of(record, silent=False, maths=bool(record.maths))
    page = static._repr_mimebundle_()["text/html"]
    page = f'<div class="ak-static">{page}</div>'
    bundle = record.table()._repr_mimebundle_()
    paper = printed_table(record)._repr_mimebundle_()["text/latex"]
    page = widget("stepper", page, data_of(record))
    return bundle | {"text/html": page, "text/latex": paper}


def data_of(record: StepRecord) -> dict[str, Any]:
    """The functions with their lines, and each event with what it did.

    Places are numbers: an event has ``function``, ``line`` and ``end``, the first and
    last line of its statement, and ``callers``, the events that are waiting for it.
    """
    functions = list(dict.fromkeys(event.function for event in record.events))
    maths = {key: written_out(latex) for key, latex in record.maths.items()}
    products = {each.id: each for e in record.events for each in e.produces}
    runs = Counter(_place(event) for event in record.events)
    seen: Counter = Counter()
    events: list[dict[str, Any]] = []
    stack: list[Event] = []
    after = [*(event.tapes for event in record.events[1:]), 0]
    for event, tapes in zip(record.events, after, strict=True):
        stack = stack[: event.depth]  # one event a depth: the line that called
        seen[_place(event)] += 1
        events.append(
            {
                "function": functions.index(event.function),
                "line": event.line,
                "end": event.line + event.text.count("\n"),
                "callers": [each.index for each in stack],
                "maths": maths.get(event.id),
                "taped": event.tapes > 0 and event.kind != "exit",
                "title": f"{event.function}, line {event.line}",
                "notes": _notes(event, tapes, seen[_place(event)], runs[_place(event)]),
                "say": _sentence(record, event),
                **_done(record, event, products),
            }
        )
        stack.append(event)
    return {
        "anchor": record.anchor,
        "step": record.name,
        "functions": [
            {"name": name, "lines": record.sources[name]} for name in functions
        ],
        "events": events,
    }


def _place(event: Event) -> tuple[str, int, str]:
    return event.function, event.line, event.kind


def _notes(event: Event, tapes: int, run: int, runs: int) -> list[str]:
    """What there is to say of an event beside what it computed."""
    usual = {
        "call": "The function is called.",
        "exit": "The block ends.",
        "return": "The function returns.",
    }
    notes = [usual[event.kind]] if event.kind in usual else []
    if runs > 1:
        notes.append(f"Run {run} of {runs} of this line.")
    if event.kind == "line" and tapes > event.tapes:
        notes.append("A tape starts to record.")
    elif event.kind == "exit" and tapes < event.tapes:
        notes.append("The tape stops recording.")
    elif event.tapes and event.kind != "exit":
        plural = event.tapes > 1
        notes.append(f"{event.tapes} tapes record." if plural else "A tape records.")
    return notes


def _done(
    record: StepRecord, event: Event, products: dict[str, Product]
) -> dict[str, Any]:
    """What came in, what was made, which variables changed."""
    read = [products[key] for key in event.reads if key in products]
    heads = {"call": "Comes in", "return": "Returns"}
    return {
        "uses": [in_words(*pair) for pair in by_name(read).items()],
        "head": heads.get(event.kind, "Makes"),
        "makes": [_row(each) for each in event.produces],
        "changes": [
            {
                "group": group,
                "color": PALETTE.get(group),
                "text": f"{n} of {len(record.groups[group])} variables",
                "norm": number(norm),
                "variables": [
                    _moved(each) for each in event.changes if each.group == group
                ],
            }
            for group, (n, norm) in counts(record, event).items()
        ],
    }


def _row(product: Product) -> list[str]:
    """Name, shape and size of a product; of a gradient, what it was taken by."""
    name = product.path
    if product.of is not None:
        sign = "∂/∂ " if product.kind == "gradient" else "is "
        name = f"{name}, {sign}{product.of}"
    shape = "" if product.shape is None else str(tuple(product.shape))
    if product.value is not None:
        size = f"= {number(product.value)}"
    elif product.norm is not None and product.mean is not None:
        size = f"norm {number(product.norm)}, mean {number(product.mean)}"
    else:
        size = "None" if product.kind == "none" else product.dtype
    return [name, shape, size]


def _moved(change: Change) -> list[str]:
    """Path and shape of a variable, and how far it moved."""
    how = "created" if change.created else f"by {number(change.norm)}"
    return [change.path, str(tuple(change.shape)), how]


def _sentence(record: StepRecord, event: Event) -> str:
    """The event for readers who listen."""
    does = [f"makes {in_words(*pair)}" for pair in by_name(event.produces).items()]
    for group, (n, norm) in counts(record, event).items():
        of = len(record.groups[group])
        does.append(f"changes {n} of {of} in {group}, by {number(norm)}")
    text = " ".join(event.text.split())
    place = f"{event.function}, line {event.line}: {text}"
    return f"{place}; {'; '.join(does)}." if does else f"{place}."
