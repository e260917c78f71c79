"""The back of the book as built: index, exercises, reference, in HTML and PDF."""

import importlib
import inspect
import re
import zlib
from pathlib import Path

import pytest
from bs4 import BeautifulSoup
from pypdf import PdfReader

from .conftest import HTML, PDF, ROOT

MODULES = sorted(
    name
    for path in (ROOT / "book" / "api").glob("*.md")
    for name in re.findall(r"automodule:: (\S+)", path.read_text(encoding="utf-8"))
)
MOST_PAGES = 80  # of the printed reference, with its examples


def soup(name):
    return BeautifulSoup((HTML / name).read_text(encoding="utf-8"), "html.parser")


@pytest.fixture(scope="module")
def objects():
    """Names in the inventory of the site, with their pages."""
    packed = (HTML / "objects.inv").read_bytes().split(b"\n", 4)[4]
    lines = zlib.decompress(packed).decode().splitlines()
    found = re.findall(r"^(\S+) py:\w+ -?\d+ (\S+) ", "\n".join(lines), re.MULTILINE)
    return dict(found)


@pytest.fixture(scope="module")
def outline():
    """Titles of the PDF with their pages."""
    reader, found = PdfReader(PDF), {}

    def walk(entries):
        for entry in entries:
            if isinstance(entry, list):
                walk(entry)
            else:
                found[entry.title] = reader.get_destination_page_number(entry)

    walk(reader.outline)
    return reader, found


@pytest.mark.parametrize("name", MODULES)
def test_every_public_name_is_in_the_reference(name, objects):
    module = importlib.import_module(name)
    public = getattr(module, "__all__", None)
    if public is None:
        public = [
            n
            for n, each in vars(module).items()
            if not n.startswith("_")
            and (inspect.isfunction(each) or inspect.isclass(each))
            and each.__module__ == name
        ]
    assert [n for n in public if f"{name}.{n}" not in objects] == []


def test_nothing_private_and_nothing_of_keras_is_in_the_reference(objects):
    names = [n.rpartition(".")[2] for n in objects]
    assert [n for n in names if n.startswith("_")] == []
    own = {"build", "get_config", "compute_output_shape", "add_weight", "summary"}
    assert own.isdisjoint(names)
    assert all(n.startswith("advanced_keras") for n in objects)


def test_every_name_leads_to_a_chapter(objects):
    pages = {Path(a.split("#")[0]) for n, a in objects.items() if n.count(".") > 1}
    assert len(pages) > 20
    for page in pages:
        links = [a["href"] for a in soup(page).select("article a.reference.internal")]
        assert any(link.startswith("../") and ".html" in link for link in links), page


def test_the_index_leads_into_the_chapters_and_is_in_the_contents():
    index = soup("genindex.html")
    rows = index.select("table.genindextable a[href^='book/']")
    chapters = [a for a in rows if not a["href"].startswith("book/api/")]
    assert len(chapters) >= 250
    words = index.select_one("table.genindextable").find_parent().get_text(" ")
    for word in ("causal mask", "ELBO", "Gram matrix", "look-ahead", "threading"):
        assert word in words
    assert "../genindex.html" in {
        a.get("href") for a in soup("book/gan.html").select("nav[aria-label=Index] a")
    }


def test_all_exercises_are_gathered_in_the_order_of_the_book():
    page = soup("book/solutions.html")
    links = [li("a", class_="internal") for li in page.select("article li")]
    links = [pair for pair in links if pair and "#ex-" in pair[0]["href"]]
    text = "".join(p.read_text() for p in sorted((ROOT / "book").glob("*.md")))
    assert len(links) == len(re.findall(r"^:label: ex-", text, flags=re.MULTILINE))
    numbers = [int(pair[0].get_text().split()[-1]) for pair in links]
    assert numbers == list(range(1, len(numbers) + 1))
    for pair in links:
        assert pair[-1].get_text() == "Solution"
        assert pair[0]["href"].split("#")[0] == pair[-1]["href"].split("#")[0]


def test_words_of_the_glossary_are_reached():
    page = soup("book/gan.html")
    links = [a["href"] for a in page.select("article a[href^='glossary.html#term-']")]
    assert "glossary.html#term-GradientTape" in links


def test_the_pdf_has_an_index(outline):
    reader, titles = outline
    first = titles["Index"]
    text = "\n".join(page.extract_text() for page in reader.pages[first:])
    text = re.sub(r"\s", "", text)  # narrow gaps between words get lost
    for word in ("causal mask", "ELBO", "Gram matrix", "look-ahead", "threading"):
        assert word.replace(" ", "") in text, word
    assert len(reader.pages) - first <= 12


def test_the_printed_reference_is_of_a_sensible_length(outline):
    _, titles = outline
    pages = titles["Glossary"] - titles["Reference of the package"]
    assert 20 <= pages <= MOST_PAGES


def test_exercises_have_their_numbers_in_print(outline):
    reader, titles = outline
    first, last = titles["Exercises and solutions"], titles["Reference of the package"]
    text = "\n".join(page.extract_text() for page in reader.pages[first:last])
    assert "??" not in text
    assert len(set(re.findall(r"Exercise\s*(\d+):", text))) > 50
