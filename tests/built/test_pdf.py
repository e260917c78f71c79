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


def test_contents_name_every_part_once():
    contents = PDF.with_suffix(".toc").read_text(encoding="utf-8")
    found = re.findall(r"\\contentsline \{part\}\{(.*?)\}", contents)
    toc = yaml.safe_load((ROOT / "_toc.yml").read_text())
    assert found == [part["caption"] for part in toc["parts"]]


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
            assert font["/Subtype"] != "/Type3", font.get("/Name")
            descriptor = font["/FontDescriptor"].get_object()
            assert any(k.startswith("/FontFile") for k in descriptor), font["/BaseFont"]


def test_first_page_has_a_picture_and_no_date(pdf):
    first = pdf.pages[0]
    assert first["/Resources"].get("/XObject")
    assert "AdvancedKeras" in squeezed(first.extract_text())
    assert not re.search(r"\b20\d\d\b", first.extract_text())


def test_code_is_not_broken_where_it_fits_the_column():
    """What is wider than 88 letters, and that alone, goes on in a second line."""
    tex = PDF.with_suffix(".tex").read_text(encoding="utf-8")
    style = (PDF.parent / "house.sty").read_text(encoding="utf-8")
    scale = float(re.search(r"Scale = ([\d.]+)", style)[1])
    letter = 0.602 * 9 * scale  # DejaVu Sans Mono, of \\small
    assert r"\fvset{fontsize=\small}" in tex
    assert 88 * letter < 451  # the width of the text on A4


def test_headings_keep_their_letters(text):
    assert "CONV2DTRANSPOSE" not in text
    assert re.search(r"^Chapter\s*3$", text, flags=re.MULTILINE)


def test_references_name_the_page(text):
    assert len(re.findall(r"\(page\s*\d+\)", text)) > 300


def test_the_bibliography_has_one_heading(pdf):
    def titles(entries):
        for each in entries:
            yield from titles(each) if isinstance(each, list) else [each.title]

    assert sum("Bibliography" in each for each in titles(pdf.outline)) == 1


def test_no_markup_is_left(text):
    assert r"\*" not in text


@pytest.fixture(scope="module")
def log():
    """What LaTeX said, its lines of 79 letters joined."""
    lines = PDF.with_suffix(".log").read_text(encoding="utf-8", errors="replace")
    return re.sub(r"(?<=^.{79})\n", "", lines, flags=re.MULTILINE)


def test_no_line_runs_off_the_paper(log):
    wide = [float(w) for w in re.findall(r"Overfull \\hbox \(([\d.]+)pt too wide", log)]
    assert max(wide, default=0) <= 10, sorted(wide)[-5:]


def test_no_page_is_fuller_than_its_paper(log):
    """A caption under a figure that fills the page would stand in the foot."""
    high = [float(h) for h in re.findall(r"Overfull \\vbox \(([\d.]+)pt too high", log)]
    assert max(high, default=0) <= 20, sorted(high)[-5:]


def test_no_letter_is_missing_and_every_reference_is_resolved(log):
    assert re.findall(r"Missing character.*", log) == []
    assert re.findall(r".*(?:Reference|Citation).*undefined.*", log) == []
    assert "There were undefined references" not in log


def test_document_has_metadata_and_bookmarks(pdf):
    assert pdf.metadata.title == "Advanced Keras"
    assert "Advanced Keras" in pdf.metadata.author
    assert len(pdf.outline) >= 7


def test_every_link_of_the_contents_leads_to_a_page(pdf):
    def flat(items):
        for item in items:
            yield from flat(item) if isinstance(item, list) else [item]

    pages = [pdf.get_destination_page_number(item) for item in flat(pdf.outline)]
    assert len(pages) > 100
    assert pages == sorted(pages) and pages[0] >= 0
