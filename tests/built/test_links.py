"""Links inside the site lead somewhere, downloads open, no page is heavy."""

import base64
import gzip
import os
import re
from pathlib import Path
from urllib.parse import unquote, urlsplit

import nbclient
import nbformat
import pytest
from bs4 import BeautifulSoup
from jupyter_cache import get_cache

from .conftest import HTML, PAGES, ROOT

EVERY_PAGE = sorted({*PAGES, *HTML.glob("*.html")})
NOTEBOOKS = sorted((HTML / "notebooks").glob("*.ipynb"))
RAN = ROOT / "_build" / "jupyter_execute" / "book"
EVERY = bool(os.environ.get("AK_EVERY_NOTEBOOK"))  # about as long as `make html`
QUICK = ("motivation", "functional_model")
RUN = [path for path in NOTEBOOKS if EVERY or path.stem in QUICK]
MOST = 1_000_000  # bytes of a page over the wire, with the pictures that are its own


@pytest.fixture(scope="module")
def soups():
    return {
        p: BeautifulSoup(p.read_text(encoding="utf-8"), "html.parser")
        for p in EVERY_PAGE
    }


@pytest.fixture(scope="module")
def anchors(soups):
    return {
        path: {tag["id"] for tag in soup(id=True)}
        | {tag["name"] for tag in soup("a", attrs={"name": True})}
        for path, soup in soups.items()
    }


def targets(path, soup):
    """File and anchor of each link that stays inside the site."""
    for tag in soup(["a", "link", "img", "image", "script"]):
        address = tag.get("href") or tag.get("src") or tag.get("xlink:href") or ""
        parts = urlsplit(address)
        if parts.scheme or parts.netloc or not address:
            continue
        file = (path.parent / unquote(parts.path)).resolve() if parts.path else path
        yield address, file, unquote(parts.fragment)


@pytest.mark.parametrize("path", EVERY_PAGE, ids=lambda p: p.stem)
def test_every_link_leads_somewhere(path, soups, anchors):
    lost = []
    for address, file, anchor in targets(path, soups[path]):
        known = anchors.get(file, {anchor})
        if not file.exists() or (anchor and anchor not in known):
            lost.append(address)
    assert lost == []


@pytest.mark.parametrize("path", EVERY_PAGE, ids=lambda p: p.stem)
def test_ids_are_unique(path, soups):
    ids = [tag["id"] for tag in soups[path](id=True)]
    assert sorted(i for i in set(ids) if ids.count(i) > 1) == []


def test_every_chapter_offers_its_notebook_and_source(soups):
    offered = set()
    for path in PAGES:
        for link in soups[path].select(".ak-chapter-line a[download]"):
            offered.add((path.parent / link["href"]).resolve())
    assert {p for p in offered if p.suffix == ".ipynb"} == set(NOTEBOOKS)
    assert {p.stem for p in offered if p.suffix == ".md"} == {p.stem for p in NOTEBOOKS}


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_notebook_opens_unrun(path):
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert cells
    assert all(cell.outputs == [] for cell in cells)


def executed(name):
    """A chapter's notebook with its outputs, as the build keeps it."""
    cache = get_cache(ROOT / "_build" / ".jupyter_cache")
    records = [r for r in cache.list_cache_records() if Path(r.uri).stem == name]
    newest = max(records, key=lambda record: record.created)
    return cache.get_cache_bundle(newest.pk).nb


def code_of(path):
    cells = nbformat.read(path, as_version=4).cells
    return [cell.source for cell in cells if cell.cell_type == "code"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_notebook_is_what_the_build_ran(path):
    ran = code_of(RAN / path.name)
    ours = code_of(path)
    assert ran[: len(ours)] == ours
    assert all("_glue" in rest for rest in ran[len(ours) :])  # values in the prose


@pytest.mark.parametrize("path", RUN, ids=lambda p: p.stem)
def test_a_downloaded_notebook_gives_what_the_page_shows(path, tmp_path):
    notebook = nbformat.read(path, as_version=4)
    nbclient.NotebookClient(
        notebook, timeout=600, resources={"metadata": {"path": str(tmp_path)}}
    ).execute()
    built = executed(path.stem)
    shown = [cell.outputs for cell in built.cells if cell.cell_type == "code"]
    again = [cell.outputs for cell in notebook.cells if cell.cell_type == "code"]
    assert any(shown) and again == shown[: len(again)]


@pytest.mark.parametrize("path", PAGES, ids=lambda p: p.stem)
def test_page_is_light(path, soups):
    weight = len(gzip.compress(path.read_bytes()))
    inside = soups[path].find("article")
    own = {tag["src"] for tag in inside.select("img[src]")}
    own |= {tag["xlink:href"] for tag in inside("image")}
    for address in own:
        if not address.startswith("data:"):
            weight += (path.parent / address).resolve().stat().st_size
    assert weight <= MOST


@pytest.mark.parametrize("path", PAGES, ids=lambda p: p.stem)
def test_page_says_what_it_is_about(path, soups):
    tags = soups[path]("meta")
    said = {t.get("name") or t.get("property"): t.get("content") for t in tags}
    assert 20 <= len(said["description"]) <= 202
    assert said["og:description"] == said["description"]
    assert said["og:title"] and said["og:site_name"]


def is_picture(kind, data):
    return data[1:4] == b"PNG" if kind == "png" else data[8:12] == b"WEBP"


def test_pictures_can_be_decoded(soups):
    found = 0
    for path in PAGES:
        for kind, data in re.findall(
            r"data:image/(png|webp);base64,([\w+/=\s]+)", str(soups[path])
        ):
            assert is_picture(kind, base64.b64decode(data)), path
            found += 1
    files = [*(HTML / "_images").glob("*.webp"), *(HTML / "_images").glob("*.png")]
    assert all(is_picture(file.suffix[1:], file.read_bytes()) for file in files)
    assert found > 10 and len(files) > 50


def test_no_picture_is_left_from_an_earlier_build(soups):
    used = {
        Path(tag.get("xlink:href") or tag.get("src") or "").name
        for soup in soups.values()
        for tag in soup(["image", "img"])
    }
    assert {file.name for file in (HTML / "_images").iterdir()} <= used
