"""The built pages: served from themselves, silent, described, and fit for a phone."""

import json
import re
from urllib.parse import urlparse

import pytest
import yaml
from bs4 import BeautifulSoup

from .conftest import HTML, PAGES, ROOT

page_of_the_site = pytest.mark.parametrize("path", PAGES, ids=lambda p: p.stem)


@pytest.fixture(scope="module")
def soups():
    return {
        p: BeautifulSoup(p.read_text(encoding="utf-8"), "html.parser") for p in PAGES
    }


def test_every_page_of_the_contents_was_built():
    toc = yaml.safe_load((ROOT / "_toc.yml").read_text())
    chapters = [c for part in toc["parts"] for c in part["chapters"]]
    files = [e["file"] for c in chapters for e in [c, *c.get("sections", [])]]
    assert {HTML / f"{f}.html" for f in [toc["root"], *files]} == set(PAGES)
    assert (HTML / "index.html").exists()


def test_no_chapter_takes_twice_its_share_of_the_time():
    # Shares of the whole, so that a slow machine is no failure. Ten seconds more are
    # none either: a short chapter waits for the machine as long as a long one does.
    before = json.loads((ROOT / "book" / "times.json").read_text())
    now = json.loads((ROOT / "_build" / "times.json").read_text())
    assert now.keys() == before.keys(), "make times records the times of new chapters"
    pace = sum(now.values()) / sum(before.values())
    limits = {name: 2 * pace * seconds + 10 for name, seconds in before.items()}
    assert {n: s for n, s in now.items() if s > limits[n]} == {}


@page_of_the_site
def test_nothing_is_loaded_from_elsewhere(path, soups):
    loads = {"script": "src", "link": "href", "img": "src", "iframe": "src"}
    for tag, attribute in loads.items():
        for node in soups[path](tag):
            if tag == "link" and set(node.get("rel", [])) & {
                "canonical",
                "next",
                "prev",
            }:
                continue
            address = node.get(attribute) or ""
            assert not urlparse(address).netloc, f"{tag} loads {address}"


@page_of_the_site
def test_no_noise_and_no_addresses_of_objects(path, soups):
    article = soups[path].find("article")
    assert not article.select(".output.stderr, .output.traceback")
    text = article.get_text()
    for noise in ("oneDNN", "absl::", "WARNING", "Deprecat", "cuda", "Executing op"):
        assert noise not in text
    assert not re.search(r"<[\w.]+ (object )?at 0x[0-9a-f]+>", text)


@page_of_the_site
def test_every_picture_is_described(path, soups):
    article = soups[path].find("article")
    for image in article("img"):
        assert len(image.get("alt", "")) > 20, image
    for drawing in article.select(".ak-picture svg"):
        assert len(drawing.get("aria-label", "")) > 20


@page_of_the_site
def test_prose_shows_values_and_not_their_sources(path, soups):
    text = soups[path].find("article").get_text()
    for left_over in ("{eval}", "{glue", "{numref}", "{eq}", "{doc}", "an unmeasured"):
        assert left_over not in text


@pytest.mark.parametrize(
    "scheme,width", [("light", 1280), ("dark", 1280), ("light", 360)]
)
@page_of_the_site
def test_page_stands_without_a_network(path, scheme, width, browser):
    context = browser.new_context(
        viewport={"width": width, "height": 800}, color_scheme=scheme
    )
    page, problems = context.new_page(), []
    page.on("request", lambda r: problems.append(r.url) if "//" in r.url[5:8] else None)
    page.on("requestfailed", lambda r: problems.append(f"failed: {r.url}"))
    page.on("pageerror", lambda e: problems.append(f"script: {e}"))
    page.on("console", lambda m: problems.append(m.text) if m.type == "error" else None)
    page.goto(path.as_uri())
    page.wait_for_function("!document.querySelector('.math') || window.MathJax")
    page.evaluate("window.MathJax?.startup?.promise")
    outside = [p for p in problems if not p.startswith("file://")]
    assert outside == []
    too_wide = page.evaluate("document.documentElement.scrollWidth - innerWidth")
    assert too_wide <= 0, f"the page is {too_wide} px wider than the screen"
    formulas = page.evaluate("document.querySelectorAll('.math').length")
    typeset = page.evaluate("document.querySelectorAll('.math mjx-container').length")
    assert typeset >= formulas
    assert page.evaluate("document.querySelectorAll('mjx-merror').length") == 0
    context.close()


def test_one_search_box_stands_in_view(browser):
    page = browser.new_page(viewport={"width": 1280, "height": 800})
    page.goto((HTML / "book" / "reading.html").as_uri())
    visible = "b => b.getBoundingClientRect().width > 0"
    boxes = "[...document.querySelectorAll('.search-button-field')]"
    assert page.evaluate(f"{boxes}.filter({visible}).length") == 1
    page.close()


def test_search_shows_the_text_of_pages(browser):
    """As on a server: from files a browser lets no script read another page."""
    page, problems = browser.new_page(), []
    page.on("pageerror", lambda e: problems.append(str(e)))
    page.route(
        "http://book.invalid/**",
        lambda route: route.fulfill(path=HTML / urlparse(route.request.url).path[1:]),
    )
    page.goto("http://book.invalid/search.html?q=gradient+penalty")
    contexts = page.locator("#search-results p.context")
    contexts.nth(4).wait_for()
    found = contexts.all_inner_texts()
    assert any(text.startswith("gradient penalty: A term of a loss") for text in found)
    assert not any("Contents" in text for text in found)
    assert problems == []
    page.close()


def test_chapters_begin_with_their_imports_folded(browser):
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    page.goto((HTML / "book" / "functional_model.html").as_uri())
    fold = page.locator("article details").first
    assert fold.locator("summary").inner_text().strip() == "What this chapter imports"
    assert not fold.locator("pre").is_visible()
    fold.locator("summary").click()
    assert "import keras" in fold.locator("pre").inner_text()
    page.close()


def test_a_stop_stays_with_its_formula(browser):
    page = browser.new_page(viewport={"width": 360, "height": 800})
    page.goto((HTML / "book" / "functional_model.html").as_uri())
    stops = page.evaluate(
        """[...document.querySelectorAll(".bd-article span.math")]
        .filter((formula) => /^[.,;:?]/.test(formula.nextSibling?.data ?? ""))
        .map((formula) => formula.parentElement.style.whiteSpace)"""
    )
    assert stops and set(stops) == {"nowrap"}
    page.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_drawings_take_the_colour_of_the_text(scheme, browser):
    context = browser.new_context(color_scheme=scheme)
    page = context.new_page()
    page.goto((HTML / "book" / "transformer_models.html").as_uri())
    inked = "[fill=currentColor], .ak-picture svg [style*=currentColor]"
    ink = page.evaluate(
        f"getComputedStyle(document.querySelector('.ak-picture svg {inked}')).color"
    )
    red, green, blue = map(int, re.findall(r"\d+", ink)[:3])
    dark_ink = (red + green + blue) / 3 < 128
    assert dark_ink == (scheme == "light")
    context.close()
