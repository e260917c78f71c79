"""Give an output a script: what a page needs to make a static picture answer.

A widget is a custom element, ``<ak-tracer>`` for instance, around a static form that
stands for itself: on paper, and where scripts don't run. Its script and its style are
the files ``tracer.js`` and ``tracer.css`` in this folder, plain and without a library.
In a notebook :func:`widget` puts them into the output, so that it works there; the site
loads each of them once for all pages. What the scripts share is in ``base.js``, which
runs before each of them.
"""

from __future__ import annotations

import html
import json
from functools import cache
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent
BASE = FOLDER / "base.js"


def names() -> list[str]:
    """The widgets there are: ``film``, ``tracer`` and so on."""
    return sorted(path.stem for path in FOLDER.glob("*.js") if path != BASE)


@cache
def assets(name: str) -> str:
    """The style and the script of a widget as HTML, the shared script before its own.

    Args:
        name: ``tracer`` for the element ``<ak-tracer>``.

    Raises:
        ValueError: if there is no such widget.
    """
    if name not in names():
        known = ", ".join(names())
        raise ValueError(f"name must be a widget, one of: {known}; got {name!r}.")
    files = FOLDER / f"{name}.css", BASE, FOLDER / f"{name}.js"
    rules, base, code = (path.read_text(encoding="utf-8") for path in files)
    return (
        f'<style data-ak-asset="{name}">{rules}</style>'
        f'<script data-ak-asset="{name}">{base}{code}</script>'
    )


def widget(name: str, static: str, data: Any) -> str:
    """An element that a script will bring to life.

    Args:
        name: of the widget, see :func:`assets`.
        static: HTML that is shown until then, and without scripts for ever.
        data: what the script needs, plain lists and dicts.

    Returns:
        HTML for a notebook's output.
    """
    return (
        f"<ak-{name}>{static}"
        f'<script type="application/json">{as_json(data)}</script></ak-{name}>'
        f"{assets(name)}"
    )


def as_json(data: Any) -> str:
    """JSON that can stand inside a ``<script>``: nothing in it can end the element."""
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    return text.replace("<", "\\u003c")


def escaped(words: Any) -> str:
    """Text as HTML, also inside quotes."""
    return html.escape(str(words), quote=True)
