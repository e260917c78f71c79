"""axe-core finds nothing on any page, light or dark, and no script complains."""

import pytest
from axe_playwright_python.base import AXE_SCRIPT

from .conftest import HTML, PAGES

# Beside the chapters: the start, the search, the index and the page for lost readers.
EVERY_PAGE = sorted({*PAGES, *HTML.glob("*.html")} - {HTML / "index.html"})

# Loading the style sheets again by XMLHttpRequest is refused for files. A theme changes
# colours and nothing else, so the other rules need not be tried twice.
OPTIONS = {
    "light": "resultTypes: ['violations'], preload: false",
    "dark": "resultTypes: ['violations'], preload: false, runOnly: "
    "['color-contrast', 'link-in-text-block']",
}


def described(violation):
    places = [" ".join(map(str, node["target"])) for node in violation["nodes"]]
    return f"{violation['id']}: {violation['help']}: {places[:4]}"


@pytest.mark.parametrize("path", EVERY_PAGE, ids=lambda p: p.stem)
def test_axe_finds_nothing(path, browser):
    context = browser.new_context(color_scheme="light", reduced_motion="reduce")
    page, problems = context.new_page(), []
    page.on("pageerror", lambda e: problems.append(str(e)))
    page.on("console", lambda m: problems.append(m.text) if m.type == "error" else None)
    page.goto(path.as_uri())
    page.evaluate("window.MathJax?.startup?.promise")
    page.evaluate(AXE_SCRIPT)
    found = []
    for theme, options in OPTIONS.items():
        page.evaluate(f"document.documentElement.dataset.theme = '{theme}'")
        here = page.evaluate(f"axe.run({{{options}}}).then(r => r.violations)")
        found += [f"{theme}: {described(violation)}" for violation in here]
    context.close()
    assert problems == []
    assert found == []
