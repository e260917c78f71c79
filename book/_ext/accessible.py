"""Pages for everybody: what the stock page gets wrong for a screen reader, and weight.

The rules are those of axe-core, which ``tests/built/test_accessibility.py`` runs on
every page.
"""

from __future__ import annotations

import base64
import hashlib
import io
import re
from pathlib import Path

from docutils import nodes
from PIL import Image
from sphinx.transforms.post_transforms import SphinxPostTransform
from sphinx.util.osutil import relative_uri

EMPTY_HEADING = re.compile(r"<th(\s[^>]*)?>\s*</th>")
EMBEDDED_PNG = re.compile(r"data:image/png;base64,([A-Za-z0-9+/=\s]+)")
LIGHT = 40_000
"""Bytes up to which a picture keeps every pixel exactly."""


def without_empty_headings(page: str) -> str:
    """The corner of a table is a cell and no heading: it names nothing.

    >>> without_empty_headings('<tr><th class="a"></th><th>b</th></tr>')
    '<tr><td class="a"></td><th>b</th></tr>'
    """
    return EMPTY_HEADING.sub(lambda m: f"<td{m[1] or ''}></td>", page)


def as_webp(png: bytes) -> bytes:
    """The same picture as WebP: exact if it is grey or light, else at high quality.

    Grey are the sprites of films and planes, which scripts show pixel by pixel.
    """
    stored = Image.open(io.BytesIO(png))
    grey = stored.mode in ("1", "L", "P")
    picture = stored.convert("RGBA" if "A" in stored.getbands() else "RGB")
    exact, near = io.BytesIO(), io.BytesIO()
    picture.save(exact, "WEBP", lossless=True, quality=80, method=4)
    if grey or len(exact.getvalue()) <= LIGHT:
        return exact.getvalue()
    picture.save(near, "WEBP", quality=90, method=4)
    return min(exact.getvalue(), near.getvalue(), key=len)


def lighter(page: str) -> str:
    """Embedded PNG pictures as WebP where that saves bytes."""

    def smaller(match):
        png = base64.b64decode(match[1])
        webp = as_webp(png)
        if len(webp) >= len(png):
            return match[0]
        return "data:image/webp;base64," + base64.b64encode(webp).decode()

    return EMBEDDED_PNG.sub(smaller, page)


EMBEDDED = re.compile(r'xlink:href="data:image/(png|webp);base64,([A-Za-z0-9+/=\s]+)"')
SHOWN = re.compile(r'_images/([^"?#]+)')
SMALL = 4_000
"""Bytes up to which a picture stays in the page: a request costs more."""


def apart(page: str, folder: Path, address: str) -> str:
    """Put the pictures inside drawings into files, so that the text comes first.

    Args:
        page: HTML with SVG drawings.
        folder: where the files go; they are named by their content.
        address: of that folder, seen from the page.
    """

    def as_file(match):
        data = base64.b64decode(match[2])
        if len(data) <= SMALL:
            return match[0]
        name = f"{hashlib.sha256(data).hexdigest()[:20]}.{match[1]}"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
        return f'xlink:href="{address}/{name}"'

    return EMBEDDED.sub(as_file, page)


IDENTITY = re.compile(r'(\sid="|href="#|url\(#)')
TIED = re.compile(r"<ak-(tracer|stepper)")
"""Widgets whose scripts know their pictures' ids, which are their own already."""


def with_own_ids(page: str, prefix: str) -> str:
    """A picture whose ids no other picture of the page has.

    Matplotlib and Graphviz count from one in each picture; only the page knows the
    neighbours.

    >>> with_own_ids('<svg><path id="a"/><use href="#a"/></svg>', "p1-")
    '<svg><path id="p1-a"/><use href="#p1-a"/></svg>'
    """
    page = IDENTITY.sub(rf"\g<1>{prefix}", page)
    seen: dict[str, int] = {}

    def once(match):
        # Matplotlib names an image by its pixels: equal ones may share a reference.
        count = seen[match[1]] = seen.get(match[1], 0) + 1
        return match[0] if count == 1 else f' id="{match[1]}-{count}"'

    return re.sub(r'\sid="([^"]*)"', once, page)


class RawPages(SphinxPostTransform):
    """Mend the HTML that cells put out: ours, and that of pandas."""

    default_priority = 402  # after the drawings and the widgets are in place
    formats = ("html",)

    def run(self, **kwargs):
        for place, raw in enumerate(list(self.document.findall(nodes.raw))):
            if raw.get("format") == "html":
                page = lighter(without_empty_headings(raw.astext()))
                page = apart(page, *self.pictures())
                if "<svg" in page and not TIED.search(page):
                    page = with_own_ids(page, f"p{place}-")
                raw.replace_self(nodes.raw("", page, format="html"))

    def pictures(self) -> tuple[Path, str]:
        """The folder of the pictures, and its address from this page."""
        here = self.app.builder.get_target_uri(self.env.docname)
        return Path(self.app.outdir, "_images"), relative_uri(here, "_images")


def _drop_old_pictures(app, exception):
    """Remove the pictures that no page shows any more."""
    pages, folder = Path(app.outdir).rglob("*.html"), Path(app.outdir, "_images")
    if exception or app.builder.name != "html" or not folder.is_dir():
        return
    shown = set()
    for page in pages:
        shown.update(SHOWN.findall(page.read_text(encoding="utf-8")))
    for picture in folder.iterdir():
        if picture.name not in shown:
            picture.unlink()


class ExerciseIds(SphinxPostTransform):
    """Every exercise of sphinx-exercise has the same id inside: it becomes a class."""

    default_priority = 404
    formats = ("html",)
    shared = frozenset({"exercise-content", "solution-content"})

    def run(self, **kwargs):
        for section in self.document.findall(nodes.section):
            taken = [name for name in section["ids"] if name in self.shared]
            section["ids"] = [name for name in section["ids"] if name not in taken]
            section["classes"] += taken


def visit_entry(translator, node):
    """A heading of a table without words is an ordinary cell."""
    start = len(translator.body)
    type(translator).visit_entry(translator, node)
    heading = isinstance(node.parent.parent, nodes.thead)
    if heading and not node.astext().strip():
        opened = translator.body[start:]
        translator.body[start:] = [part.replace("<th", "<td") for part in opened]
        translator.context[-1] = translator.context[-1].replace("</th", "</td")


def depart_entry(translator, node):
    """Close what :func:`visit_entry` opened."""
    type(translator).depart_entry(translator, node)


def visit_citation(translator, node):
    """No ``doc-biblioentry``: ARIA gave it up, and a ``div`` may not have it."""
    if not isinstance(node.previous_sibling(), nodes.citation):
        translator.body.append('<div class="citation-list">\n')
    translator.body.append(translator.starttag(node, "div", classes=["citation"]))


def depart_citation(translator, node):
    """Close the entry, and after the last one the list."""
    translator.body.append("</div>\n")
    following = node.next_node(descend=False, siblings=True)
    if not isinstance(following, nodes.citation):
        translator.body.append("</div>\n")


def setup(app):
    """Connect to Sphinx."""
    app.add_post_transform(RawPages)
    app.add_post_transform(ExerciseIds)
    app.add_node(nodes.citation, override=True, html=(visit_citation, depart_citation))
    app.add_node(nodes.entry, override=True, html=(visit_entry, depart_entry))
    app.connect("build-finished", _drop_old_pictures)
    app.add_js_file("house.js", loading_method="defer")
    return {"version": "1", "parallel_read_safe": False}
