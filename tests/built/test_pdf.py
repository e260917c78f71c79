"""The PDF: every chapter, figure and trace, contents, numbered equations."""

import re

import pytest
import yaml
from bs4 import BeautifulSoup
from pypdf import PdfReader

from .conftest import HTML, PAGES, PDF, ROOT


@pytest.fixture(scope="module")
def pdf():
    return PdfReader(PDF)


@pytest.fixture(scope="module")
def text(pdf):
    return "\n".join(page.extract_text() for page in pdf.pages)


def squeezed(words):
    return re.sub(r"\W+", "", words)


def title(path):
    return BeautifulSoup(path.read_text(encoding="utf-8"), "html.parser").h1


def test_contents_name_every_chapter(pdf):
    outline = []

    def walk(entries):
        for entry in entries:
            if isinstance(entry, list):
                walk(entry)
            else:
                outline.append(squeezed(entry.title))

    walk(pdf.outline)
    toc = yaml.safe_load((ROOT / "_toc.yml").read_text())
    files = [c["file"] for part in toc["parts"] for c in part["chapters"]]
    for file in files:
        heading = title(HTML / f"{file}.html")
        for anchor in heading("a"):
            anchor.extract()
        assert any(squeezed(heading.get_text()) in entry for entry in outline), file


def test_every_numbered_figure_is_there(text):
    numbers = set()
    for path in PAGES:
        soup = BeautifulSoup(path.read_text(encoding="utf-8"), "html.parser")
        numbers |= {n.get_text() for n in soup.select("figcaption .caption-number")}
    found = re.findall(r"^Fig\. ?\d+(?:\.\d+)?:", text, flags=re.MULTILINE)
    assert len(numbers) > 5
    assert len(set(found)) == len(numbers)


def test_pictures_are_drawn_and_not_named(text):
    assert not re.search(r"<[\w.]+ (object )?at 0x[0-9a-f]+>", text)
    assert "oneDNN" not in text


def test_equations_are_numbered(text):
    assert len(set(re.findall(r"\((?:\d+\.)+\d+\)|\(\d+\)", text))) >= 5


def test_fonts_are_embedded(pdf):
    for page in pdf.pages:
        fonts = page["/Resources"].get("/Font", {})
        for font in fonts.values():
            font = font.get_object()
            if "/DescendantFonts" in font:
                font = font["/DescendantFonts"][0].get_object()
            if font["/Subtype"] == "/Type3":
                continue
            descriptor = font["/FontDescriptor"].get_object()
            assert any(k.startswith("/FontFile") for k in descriptor), font["/BaseFont"]


def test_no_line_runs_far_off_the_paper():
    log = PDF.with_suffix(".log").read_text(encoding="utf-8", errors="replace")
    wide = [float(w) for w in re.findall(r"Overfull \\hbox \(([\d.]+)pt too wide", log)]
    assert max(wide, default=0) < 60, sorted(wide)[-5:]
