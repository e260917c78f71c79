"""What each page of the site gets from the build: a line under its title, metadata,
notebooks to download, a page for addresses that lead nowhere, and a map of the site.

The addresses of the repository and of the site are settings (``ak_repository`` and
``html_baseurl``). What needs one that isn't set is left out.
"""

from __future__ import annotations

import html
import re
import shutil
import string
from pathlib import Path
from urllib.parse import urlsplit

from docutils import nodes
from sphinx import addnodes
from sphinx.errors import ConfigError
from sphinx.transforms.post_transforms import SphinxPostTransform

import notebooks
from fresh import is_chapter
from house import in_words, recorded

COLAB = "https://colab.research.google.com/github"
LONGEST = 200  # letters of a description: search engines show about as many
COVER = Path(__file__).resolve().parents[2] / "images" / "cover.png"
NOT_FOUND = Path(__file__).resolve().parents[1] / "_templates" / "not_found.html"


def owner_and_name(repository: str) -> str:
    """``owner/name`` of an address at GitHub.

    >>> owner_and_name("https://github.com/owner/name.git")
    'owner/name'

    Raises:
        ConfigError: if it is no such address.
    """
    match = re.fullmatch(
        r"https://github\.com/([\w.-]+/[\w.-]+?)(?:\.git)?/?", repository
    )
    if not match:
        raise ConfigError(
            "ak_repository must be an address like https://github.com/OWNER/NAME, "
            f"got {repository!r}."
        )
    return match[1]


def _buttons(app, config):
    """The theme's own buttons for editing and reporting, if there is a repository."""
    if not config.ak_repository:
        return
    address = f"https://github.com/{owner_and_name(config.ak_repository)}"
    config.html_theme_options = {
        **config.html_theme_options,
        "repository_url": address,
        "repository_branch": config.ak_branch,
        "path_to_docs": "",
        "use_repository_button": True,
        "use_edit_page_button": True,
        "use_issues_button": True,
    }


# ---------------------------------------------------------- under the title


def line(name: str, seconds: float | None, repository: str) -> str:
    """The line of a chapter as HTML.

    Args:
        name: of the chapter's file, without its ending.
        seconds: that its cells take; None if nobody has recorded it.
        repository: address at GitHub, or empty.
    """
    items = [] if seconds is None else [f"Runs in {in_words(seconds)}"]
    items.append("Needs no download")
    items.append(f'<a href="../notebooks/{name}.ipynb" download>Notebook</a>')
    items.append(f'<a href="../_sources/book/{name}.md" download>MyST source</a>')
    if repository:
        where = f"{COLAB}/{owner_and_name(repository)}/blob/notebooks/{name}.ipynb"
        items.append(f'<a href="{where}">Open in Colab</a>')
    entries = "".join(f"<li>{item}</li>" for item in items)
    return f'<ul class="ak-chapter-line" aria-label="About this chapter">{entries}</ul>'


class ChapterLine(SphinxPostTransform):
    """Put the line of a chapter under its title."""

    default_priority = 403
    formats = ("html",)

    def run(self, **kwargs):
        docname = self.env.docname
        source = Path(self.env.doc2path(docname)).read_text(encoding="utf-8")
        title = self.document.next_node(nodes.title)
        if title is None or not is_chapter(source):
            return
        name = Path(docname).name
        page = line(name, recorded().get(name), self.config.ak_repository)
        raw = nodes.raw("", page, format="html")
        title.parent.insert(title.parent.index(title) + 1, raw)


# ---------------------------------------------------------------- imports


def imports_cell(document):
    """The first code cell of a chapter if all it does is to import and prepare.

    Such a cell shows nothing. In most chapters it fills the first screen.
    """
    cells = document.findall(
        lambda node: (
            isinstance(node, nodes.container) and node.get("nb_element") == "cell_code"
        )
    )
    first = next(cells, None)
    if first is None or not first.children:
        return None
    shown = any(part.get("nb_element") == "cell_code_output" for part in first.children)
    code = first.astext().lstrip()
    return first if not shown and code.startswith(("import ", "from ")) else None


class FoldedImports(SphinxPostTransform):
    """Fold the imports, so that a chapter begins with its picture.

    It is done to the page alone, by the means of MyST-NB for hidden cells: in the
    notebook and on paper the cell stands as it was written.
    """

    default_priority = 198  # just before MyST-NB hides what is to be hidden
    formats = ("html",)

    def run(self, **kwargs):
        source = Path(self.env.doc2path(self.env.docname)).read_text(encoding="utf-8")
        cell = imports_cell(self.document) if is_chapter(source) else None
        if cell is not None and not cell.get("hide_mode"):
            cell["hide_mode"] = "input"
            cell["prompt_show"] = "What this chapter imports"
            cell["prompt_hide"] = "What this chapter imports"


# ----------------------------------------------------------------- metadata


def description(doctree) -> str:
    """The first paragraph of a page, cut at the end of a sentence or a word."""
    paragraphs = (
        p for p in doctree.findall(nodes.paragraph) if not in_frame(p) and p.astext()
    )
    text = " ".join(next((p.astext() for p in paragraphs), "").split())
    if len(text) <= LONGEST:
        return text
    head = text[:LONGEST]
    sentence = head.rfind(". ")
    return head[: sentence + 1] if sentence > 60 else head.rsplit(" ", 1)[0] + " …"


def in_frame(paragraph) -> bool:
    """Whether a paragraph belongs to a table, a figure or a note."""
    frames = (nodes.table, nodes.figure, nodes.Admonition, addnodes.compact_paragraph)
    parent = paragraph.parent
    while parent is not None:
        if isinstance(parent, frames):
            return True
        parent = parent.parent
    return False


def _metadata(app, pagename, templatename, context, doctree):
    """Description and OpenGraph, for search engines and for previews of links."""
    if doctree is None:
        return
    words = description(doctree)
    title = re.sub(r"<[^>]+>", "", context.get("title", "")) or app.config.html_title
    properties = {
        "og:title": html.unescape(title),
        "og:type": "website" if pagename == app.config.root_doc else "article",
        "og:site_name": app.config.html_title,
        "og:description": words,
    }
    if app.config.html_baseurl:
        address = app.config.html_baseurl.rstrip("/")
        properties["og:url"] = f"{address}/{app.builder.get_target_uri(pagename)}"
        properties["og:image"] = f"{address}/_static/cover.png"
    tags = [f'<meta name="description" content="{html.escape(words)}"/>']
    tags += [
        f'<meta property="{name}" content="{html.escape(value)}"/>'
        for name, value in properties.items()
    ]
    context["metatags"] = context.get("metatags", "") + "\n".join(tags)


# ------------------------------------------------- files beside the pages


def not_found(config) -> str:
    """The page for an address that leads nowhere.

    It stands for itself, styles included, because it is shown at any depth; its links
    start at the root of the site.
    """
    root = urlsplit(config.html_baseurl).path.rstrip("/") + "/"
    page = string.Template(NOT_FOUND.read_text(encoding="utf-8"))
    start = root if config.html_baseurl else ""
    return page.substitute(
        title=html.escape(config.html_title), root=html.escape(start)
    )


def sitemap(baseurl: str, addresses: list[str]) -> str:
    """The map of the site, in the form of sitemaps.org; without dates."""
    base = baseurl.rstrip("/")
    places = "".join(
        f"  <url><loc>{html.escape(f'{base}/{a}')}</loc></url>\n" for a in addresses
    )
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        '<urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9">\n'
        f"{places}</urlset>\n"
    )


def _files(app, exception):
    """Write what stands beside the pages."""
    if exception or app.builder.name != "html":
        return
    folder = Path(app.outdir)
    notebooks.write(folder / "notebooks")
    (folder / "404.html").write_text(not_found(app.config), encoding="utf-8")
    if app.config.html_baseurl:
        shutil.copy(COVER, folder / "_static")
        names = sorted(app.env.found_docs)
        addresses = [app.builder.get_target_uri(name) for name in names]
        text = sitemap(app.config.html_baseurl, addresses)
        (folder / "sitemap.xml").write_text(text, encoding="utf-8")


def setup(app):
    """Connect to Sphinx."""
    app.add_config_value("ak_repository", "", "env", [str])
    app.add_config_value("ak_branch", "main", "env", [str])
    app.connect("config-inited", _buttons)
    app.connect("html-page-context", _metadata)
    app.connect("build-finished", _files)
    app.add_post_transform(ChapterLine)
    app.add_post_transform(FoldedImports)
    return {"version": "1", "parallel_read_safe": False}
