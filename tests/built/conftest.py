"""The site and the PDF as they were built, and a browser without network.

``make test`` skips these tests: it judges the code, in ten minutes. ``make check`` runs
them, and sets ``AK_MUST_LOOK``: where there is nothing to look at, or nothing to look
with, they fail.
"""

import os
import shutil
from pathlib import Path

import pytest
from playwright.sync_api import sync_playwright

ROOT = Path(__file__).resolve().parents[2]
HTML = ROOT / "_build" / "html"
PDF = ROOT / "_build" / "latex" / "advanced-keras.pdf"
PAGES = sorted((HTML / "book").rglob("*.html"))
PROGRAMS = ("chromium", "chromium-browser", "google-chrome", "chrome")
MUST_LOOK = bool(os.environ.get("AK_MUST_LOOK"))


def chromium() -> str | None:
    """Path of the browser, None if there is none."""
    return next(filter(None, map(shutil.which, PROGRAMS)), None)


def what_lacks(item) -> str:
    """Why a test can't look; empty if it can."""
    if item.path.stem == "test_pdf":
        return "" if PDF.exists() else "the PDF is not built: make pdf"
    if not PAGES:
        return "the site is not built: make html"
    if "browser" in item.fixturenames and not chromium():
        return "Chromium is needed to look at the pages: install it"
    return ""


def pytest_collection_modifyitems(items):
    """Skip what looks, where looking is not the purpose."""
    here = Path(__file__).parent
    for item in items:
        if item.path.is_relative_to(here) and not MUST_LOOK:
            item.add_marker(
                pytest.mark.skip(reason="make check looks at what is built")
            )


@pytest.fixture(autouse=MUST_LOOK)
def _must_look(request):
    """Fail a test that can't look, whatever else it would do."""
    lacks = what_lacks(request.node)
    assert not lacks, lacks


@pytest.fixture(scope="session")
def browser():
    """Headless Chromium."""
    quiet = "background-networking component-update sync gpu quic".split()
    arguments = ["--no-sandbox", "--no-first-run", *(f"--disable-{q}" for q in quiet)]
    with sync_playwright() as playwright:
        window = playwright.chromium.launch(
            executable_path=chromium(), args=arguments, timeout=90_000
        )
        yield window
        window.close()
