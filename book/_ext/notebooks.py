"""Every chapter as a plain notebook, run by nobody.

The site offers them for download. ``python book/_ext/notebooks.py FOLDER --repository
URL`` writes them with a first cell that installs the package, for Colab: the workflow
``notebooks.yml`` publishes those to the branch ``notebooks``.
"""

from __future__ import annotations

import argparse
import hashlib
import re
from pathlib import Path

import jupytext
import nbformat

from fresh import is_chapter

ROOT = Path(__file__).resolve().parents[2]

# What only the book can resolve, and what stands in a notebook in its place.
READABLE = [
    (re.compile(r"^\([\w-]+\)=\n", re.MULTILINE), ""),
    (re.compile(r"\{(?:term|index)\}`([^`<]+?)(?: <[^`]*>)?`"), r"\1"),
    (re.compile(r"\{indexed\}`[^`]*`"), ""),
    (re.compile(r"\{py:obj\}`~?(?:\w+\.)*(\w+)`"), r"`\1`"),
]


def readable(text: str) -> str:
    """Text without the marks of glossary, index and reference.

    >>> readable("A {term}`logit <logits>`{indexed}`logits`, {py:obj}`~a.gan.GAN`")
    'A logit, `GAN`'
    """
    for mark, plainly in READABLE:
        text = mark.sub(plainly, text)
    return text


def plain(text: str) -> nbformat.NotebookNode:
    """The notebook of a chapter: no outputs, the same ids whenever it is made."""
    notebook = jupytext.reads(text, fmt="md:myst")
    for place, cell in enumerate(notebook.cells):
        if cell.cell_type == "markdown":
            cell.source = readable(cell.source)
        key = f"{place}:{cell.source}".encode()
        cell.id = hashlib.sha256(key).hexdigest()[:8]
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    return notebook


def with_install(notebook: nbformat.NotebookNode, repository: str):
    """The notebook after a cell that installs the package from its repository."""
    source = f'%pip install --quiet "advanced-keras @ git+{repository}"'
    cell = nbformat.v4.new_code_cell(source, id="install")
    notebook.cells.insert(0, cell)
    return notebook


def write(folder: Path, repository: str = "") -> list[Path]:
    """Write the notebooks of all chapters into ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for chapter in sorted((ROOT / "book").glob("*.md")):
        text = chapter.read_text(encoding="utf-8")
        if not is_chapter(text):
            continue
        notebook = plain(text)
        if repository:
            notebook = with_install(notebook, repository)
        nbformat.validate(notebook)
        target = folder / f"{chapter.stem}.ipynb"
        nbformat.write(notebook, target)
        written.append(target)
    return written


def main():
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--repository", default="", help="address that git can clone")
    chosen = parser.parse_args()
    written = write(chosen.folder, chosen.repository)
    print(f"{len(written)} notebooks are in {chosen.folder}")


if __name__ == "__main__":
    main()
