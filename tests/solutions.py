"""Run the code in the solutions of the exercises, so that tests can judge it."""

import re
from pathlib import Path

BOOK = Path(__file__).resolve().parents[1] / "book"


def run_solution(chapter, label, **names):
    """What the first cell of a solution defines, by running it.

    Args:
        chapter: name of the chapter, without its suffix.
        label: of the exercise.
        **names: what the cells before it have defined.
    """
    text = (BOOK / f"{chapter}.md").read_text(encoding="utf-8")
    marks = rf"\{{solution-start\}} {label}\n(.*?)\{{solution-end\}}"
    (block,) = re.findall(marks, text, re.S)
    code = re.findall(r"```\{code-cell\} ipython3\n(.*?)```", block, re.S)[0]
    exec(compile(code, f"{chapter}.md, {label}", "exec"), names)
    return names
