"""What the build adds to pages: the line, metadata, notebooks, files beside them."""

import base64
import builtins
import io
import re
import symtable
import sys
from pathlib import Path
from types import SimpleNamespace

import jupytext
import nbformat
import numpy as np
import pytest
from docutils import nodes
from docutils.core import publish_doctree
from PIL import Image
from sphinx.errors import ConfigError

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "book" / "_ext"))

import accessible  # noqa: E402
import fresh  # noqa: E402
import house  # noqa: E402
import notebooks  # noqa: E402
import pages  # noqa: E402
import status  # noqa: E402

REPOSITORY = "https://github.com/owner/name"
BOOK = {p.stem: p.read_text(encoding="utf-8") for p in (ROOT / "book").glob("*.md")}
CHAPTERS = sorted(name for name, text in BOOK.items() if fresh.is_chapter(text))
MEASURED = re.compile(
    r"^```\{list-table\}\n:class: ak-measured\n(.*?)^```$", re.DOTALL | re.MULTILINE
)


def test_line_offers_time_notebook_and_source():
    text = pages.line("gan", 83.0, "")
    assert "Runs in 1 min 23 s" in text
    assert 'href="../notebooks/gan.ipynb"' in text
    assert 'href="../_sources/book/gan.md"' in text
    assert "Colab" not in text


def test_line_leads_to_colab_only_with_a_repository():
    text = pages.line("gan", None, REPOSITORY + ".git")
    assert f"{pages.COLAB}/owner/name/blob/notebooks/gan.ipynb" in text
    assert "Runs in" not in text


def a_cell(code, *, shows=False):
    """A code cell as MyST-NB hands it on."""
    source = nodes.container("", nb_element="cell_code_source")
    source += nodes.literal_block(code, code)
    cell = nodes.container("", source, nb_element="cell_code")
    if shows:
        cell += nodes.container("", nb_element="cell_code_output")
    return cell


def test_imports_are_folded_and_nothing_else():
    imports, work = a_cell("from a import b\n\nb()"), a_cell("import c\nc.d")
    chapter = publish_doctree("words")
    chapter += [imports, work]
    assert pages.imports_cell(chapter) is imports
    for other in (a_cell("import c\nc.d", shows=True), a_cell("x = 1")):
        page = publish_doctree("words")
        page += [other, a_cell("import c")]
        assert pages.imports_cell(page) is None
    assert pages.imports_cell(publish_doctree("words")) is None


@pytest.mark.parametrize("name", CHAPTERS)
def test_every_chapter_begins_with_its_imports(name):
    cell = re.search(r"^```\{code-cell\}.*?\n(.*?)^```$", BOOK[name], re.M | re.S)
    assert cell[1].lstrip().startswith(("import ", "from "))


@pytest.mark.parametrize("address", ["owner/name", "https://example.org/a/b", "x"])
def test_repository_must_be_an_address(address):
    with pytest.raises(ConfigError, match="ak_repository must be"):
        pages.owner_and_name(address)


def test_buttons_need_a_repository():
    config = SimpleNamespace(ak_repository="", ak_branch="main", html_theme_options={})
    pages._buttons(None, config)
    assert config.html_theme_options == {}
    config.ak_repository = REPOSITORY
    pages._buttons(None, config)
    assert config.html_theme_options["repository_url"] == REPOSITORY
    assert config.html_theme_options["use_edit_page_button"]


def test_description_is_the_first_paragraph_cut_at_a_sentence():
    tree = publish_doctree("Title\n=====\n\nFirst one. Second one.\n\nAnother.")
    assert pages.description(tree) == "First one. Second one."
    long = "A sentence that is long enough to stand for a description of it all. "
    tree = publish_doctree("Title\n=====\n\n" + long * 4)
    assert pages.description(tree) == (long * 2).strip()


def test_description_passes_over_tables():
    tree = publish_doctree("= =\na b\n= =\n\nThe text.")
    assert pages.description(tree) == "The text."


def test_sitemap_names_every_page_without_dates():
    text = pages.sitemap("https://example.org/book/", ["index.html", "a&b.html"])
    assert "<loc>https://example.org/book/index.html</loc>" in text
    assert "a&amp;b.html" in text
    assert "lastmod" not in text


@pytest.mark.parametrize(
    "baseurl,start", [("", "index.html"), ("https://example.org/book", "/book/index")]
)
def test_page_for_lost_readers_leads_home(baseurl, start):
    page = pages.not_found(SimpleNamespace(html_baseurl=baseurl, html_title="A & B"))
    assert f'href="{start}' in page
    assert "A &amp; B" in page and "$" not in page


def test_notebooks_are_plain_and_reproducible(tmp_path):
    written = notebooks.write(tmp_path / "one")
    again = notebooks.write(tmp_path / "two")
    assert {p.stem for p in written} >= {"gan", "motivation"}
    for left, right in zip(written, again, strict=True):
        assert left.read_bytes() == right.read_bytes()
        cells = nbformat.read(left, as_version=4).cells
        assert len({cell.id for cell in cells}) == len(cells)


def test_notebooks_for_colab_install_the_package_first(tmp_path):
    path = notebooks.write(tmp_path, REPOSITORY)[0]
    first = nbformat.read(path, as_version=4).cells[0]
    assert first.source == f'%pip install --quiet "advanced-keras @ git+{REPOSITORY}"'


def test_ids_follow_their_picture():
    page = '<svg><path id="a"/><use xlink:href="#a"/><g clip-path="url(#a)"/></svg>'
    assert accessible.with_own_ids(page, "p1-").count("p1-a") == 3


def test_equal_pictures_in_a_picture_get_two_ids():
    page = '<svg><image id="a"/><image id="a"/><use href="#a"/></svg>'
    mended = accessible.with_own_ids(page, "p1-")
    assert mended == (
        '<svg><image id="p1-a"/><image id="p1-a-2"/><use href="#p1-a"/></svg>'
    )


def test_only_empty_headings_become_cells():
    page = '<tr><th class="x"></th><th>b</th></tr>'
    mended = accessible.without_empty_headings(page)
    assert mended == '<tr><td class="x"></td><th>b</th></tr>'


def test_small_pictures_keep_every_pixel():
    pixels = np.random.default_rng(0).integers(0, 256, (20, 20, 3), dtype=np.uint8)
    png = io.BytesIO()
    Image.fromarray(pixels).save(png, "PNG")
    webp = Image.open(io.BytesIO(accessible.as_webp(png.getvalue()))).convert("RGB")
    assert (np.asarray(webp) == pixels).all()


def test_grey_sprites_keep_every_pixel_however_large():
    pixels = np.random.default_rng(0).integers(0, 64, (400, 400), dtype=np.uint8)
    png = io.BytesIO()
    Image.fromarray(pixels).save(png, "PNG")
    webp = accessible.as_webp(png.getvalue())
    assert len(webp) > accessible.LIGHT
    assert (np.asarray(Image.open(io.BytesIO(webp)).convert("L")) == pixels).all()


def test_large_pictures_become_lighter_and_stay_close():
    rows, columns = np.mgrid[0:400, 0:400]
    noise = np.random.default_rng(0).normal(0, 6, (400, 400))
    grey = (128 + 60 * np.sin(rows / 30) + 40 * np.cos(columns / 40) + noise).clip(
        0, 255
    )
    png = io.BytesIO()
    Image.fromarray(np.repeat(grey[..., None], 3, -1).astype("uint8")).save(png, "PNG")
    address = "data:image/png;base64," + base64.b64encode(png.getvalue()).decode()
    light = accessible.lighter(f'<img src="{address}">')
    assert len(light) < len(address) / 2
    data = base64.b64decode(light.split("base64,")[1].split('"')[0])
    close = np.asarray(Image.open(io.BytesIO(data)).convert("L"), float)
    assert abs(close - grey).mean() < 6


def test_versions_are_those_that_are_installed():
    rows = dict(status.versions())
    assert rows["Python"].count(".") == 2
    assert rows["Keras"][0] == "3"


def page_with_results(*entries):
    """A page with one table of results."""
    rows = [nodes.row("", *(nodes.entry("", nodes.paragraph("", e)) for e in entries))]
    group = nodes.tgroup("", nodes.thead(), nodes.tbody("", *rows), cols=3)
    return nodes.section("", nodes.table("", group, classes=[status.MEASURED]))


def test_results_of_all_chapters_are_gathered_in_the_order_of_the_book():
    found = {"index": nodes.section(""), "a": page_with_results("gap", "1e-6", "Keras")}
    found["b"] = nodes.section("", nodes.table("", nodes.tgroup(cols=0)))
    found["c"] = page_with_results("time", "3 s", "none")
    env = SimpleNamespace(
        config=SimpleNamespace(root_doc="index"),
        toctree_includes={"index": ["c", "b", "a"]},
    )
    for env.docname, page in found.items():
        status.collect(SimpleNamespace(env=env), page)
    rows = [(page, [e.astext() for e in row]) for page, *row in status.results(env)]
    assert rows == [("c", ["time", "3 s", "none"]), ("a", ["gap", "1e-6", "Keras"])]
    status.purge(None, env, "c")
    assert [page for page, *_ in status.results(env)] == ["a"]


def measured(text):
    """The rows of a chapter's only table of what was measured, the headings first."""
    (table,) = MEASURED.findall(text)
    rows = re.split(r"^\* - ", table, flags=re.MULTILINE)[1:]
    return [re.split(r"^  - ", row, flags=re.MULTILINE) for row in rows]


def names_asked_for(expression):
    """The names that an expression must find in the chapter."""
    table = symtable.symtable(expression, "expression", "eval")
    names = {symbol.get_name() for symbol in table.get_symbols()}
    inner = table.get_children()
    while inner:
        scope = inner.pop()
        names |= {s.get_name() for s in scope.get_symbols() if s.is_global()}
        inner += scope.get_children()
    return names - set(dir(builtins))


def names_bound(text):
    """The names that the cells of a chapter bind, outside of functions and classes."""
    names = set()
    for cell in jupytext.reads(text, fmt="md:myst").cells:
        if cell.cell_type == "code":
            symbols = symtable.symtable(cell.source, "cell", "exec").get_symbols()
            bound = (s for s in symbols if s.is_assigned() or s.is_imported())
            names |= {s.get_name() for s in bound}
    return names


def test_names_of_expressions_are_found():
    expression = "max(a[n] for n in [f(k) for k in rows]) + b.c"
    assert names_asked_for(expression) == {"a", "b", "f", "rows"}
    cell = (
        "import x.y as z\nfor a, b in [(c, 1) for c in d]:\n    def e():\n        f = 1"
    )
    text = f"---\njupytext: {{}}\n---\n\n```{{code-cell}} ipython3\n{cell}\n```\n"
    assert names_bound(text) == {"z", "a", "b", "e"}


@pytest.mark.parametrize("name", CHAPTERS)
def test_chapter_says_what_was_measured(name):
    headings, *rows = measured(BOOK[name])
    assert [each.strip() for each in headings] == ["what", "measured", "compared with"]
    assert 3 <= len(rows) <= 7
    for row in rows:
        assert len(row) == 3 and all(cell.strip() for cell in row)
        assert house.EVALUATED.search(row[1]), row[0]
    below = BOOK[name].split("\n## What was measured\n")[1]  # so it stands once
    assert measured(below) == [headings, *rows]
    after = set(re.findall(r"^## (.*)$", below, re.MULTILINE))
    assert after <= {"Summary", "References"}


@pytest.mark.parametrize("name", CHAPTERS)
def test_expressions_find_their_names_in_the_chapter(name):
    bound = names_bound(BOOK[name])
    for expression in house.EVALUATED.findall(BOOK[name]):
        assert "\n" not in expression
        missing = names_asked_for(expression) - bound
        assert not missing, f"{expression} needs {missing}"


def test_pictures_in_drawings_become_files(tmp_path):
    data = base64.b64encode(b"\x89PNG" + bytes(accessible.SMALL)).decode()
    small = base64.b64encode(b"\x89PNG").decode()
    drawn = '<image xlink:href="data:image/png;base64,{}"/>'
    page = drawn.format(data) + drawn.format(small)
    mended = accessible.apart(page, tmp_path / "_images", "../_images")
    (file,) = (tmp_path / "_images").iterdir()
    assert base64.b64decode(data) == file.read_bytes()
    assert f'xlink:href="../_images/{file.name}"' in mended
    assert drawn.format(small) in mended
