"""The site and the PDF as they were built, and a browser without network."""

import shutil
from pathlib import Path

import pytest
from playwright.sync_api import sync_playwright

ROOT = Path(__file__).resolve().parents[2]
HTML = ROOT / "_build" / "html"
PDF = ROOT / "_build" / "latex" / "advanced-keras.pdf"
PAGES = sorted((HTML / "book").rglob("*.html"))


@pytest.fixture(scope="session")
def browser():
    """Headless Chromium."""
    programs = ("chromium", "chromium-browser", "google-chrome", "chrome")
    program = next(filter(None, map(shutil.which, programs)), None)
    assert program, "Chromium is needed to look at the pages: install it"
    quiet = "background-networking component-update sync gpu quic".split()
    arguments = ["--no-sandbox", "--no-first-run", *(f"--disable-{q}" for q in quiet)]
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(
            executable_path=program, args=arguments, timeout=90_000
        )
        yield chromium
        chromium.close()
