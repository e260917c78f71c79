"""Give an output a script: what a page needs to make a static picture answer.

A widget is a custom element, ``<ak-tracer>`` for instance, around a static form that
stands for itself: on paper, and where scripts don't run. Its script and its style are
the files ``tracer.js`` and ``tracer.css`` in this folder, plain and without a library.
In a notebook :func:`widget` puts them into the output, so that it works there; the site
loads each of them once for all pages.
"""

from __future__ import annotations

import html
import json
from functools import cache
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent


@cache
def assets(name: str) -> str:
    """The style and the script of a widget as HTML.

    Args:
        name: ``tracer`` for the element ``<ak-tracer>``.

    Raises:
        ValueError: if there is no such widget.
    """
    script, style = (FOLDER / f"{name}.{kind}" for kind in ("js", "css"))
    if not script.exists():
        known = ", ".join(sorted(path.stem for path in FOLDER.glob("*.js")))
        raise ValueError(f"name must be a widget, one of: {known}; got {name!r}.")
    rules, code = (path.read_text(encoding="utf-8") for path in (style, script))
    return (
        f'<style data-ak-asset="{name}">{rules}</style>'
        f'<script data-ak-asset="{name}">{code}</script>'
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
