"""The symbols of the book as LaTeX macros, and formulas for those who lack them.

A page and the PDF are given the macros by ``book/_ext/house.py``. A notebook knows none
of them, so what a widget shows there is written out.
"""

from __future__ import annotations

import re

BOLD = "b e f g h k q r s u v x y z E F H K Q R S V W X Y Z".split()
MACROS = {
    **{letter: rf"\mathbf{{{letter}}}" for letter in BOLD},
    "hbar": r"\bar{\mathbf{h}}",
    "ybar": r"\bar{\mathbf{y}}",
    "yhat": r"\hat{\mathbf{y}}",
    "xhat": r"\hat{\mathbf{x}}",
    "tt": "t",
    "ll": "l",
    "loss": r"\mathcal{L}",
    "softmax": r"\operatorname{softmax}",
    "reals": r"\mathbb{R}",
    "ip": r"^{(\mathbf{i})}",
}
"""From the name of a macro to what it stands for; none takes an argument."""

_NAME = re.compile(r"\\([A-Za-z]+)")
_OPEN = ("^", r"\operatorname")
"""So begins what a brace would change: a superscript has its base before it, and an
operator its space around it."""


def written_out(latex: str) -> str:
    r"""A formula in LaTeX that any page can show.

    >>> written_out(r"\bar\x = \alpha \, \loss\ip")
    '\\bar{\\mathbf{x}} = \\alpha \\, {\\mathcal{L}}^{(\\mathbf{i})}'
    """
    return _NAME.sub(_body, latex)


def _body(match: re.Match) -> str:
    body = MACROS.get(match[1])
    if body is None:
        return match[0]
    return body if body.startswith(_OPEN) else f"{{{body}}}"
