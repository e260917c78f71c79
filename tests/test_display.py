"""Pictures and tables show themselves on a page and on paper."""

import base64
import io
import json
import re
import subprocess
import sys

import matplotlib.pyplot as plt
import numpy as np
import pytest
from bs4 import BeautifulSoup
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from pypdf import PdfReader

from advanced_keras import display

plt.switch_backend("agg")


@pytest.fixture(autouse=True)
def own_style():
    """What a test sets in Matplotlib does not reach the next one."""
    with plt.rc_context():
        yield


entries = st.text(
    st.characters(codec="utf-8", exclude_categories=["Cc", "Cs", "Zs", "Zl", "Zp"]),
    max_size=12,
)


def a_figure():
    display.use_style()
    figure, axes = plt.subplots()
    axes.plot([1, 2, 4])
    axes.set_xlabel("step")
    return figure


def pages(bundle):
    return PdfReader(io.BytesIO(base64.b64decode(bundle["application/pdf"]))).pages


def test_figure_is_svg_in_the_colour_of_the_text_and_pdf():
    bundle = display.show(a_figure(), alt="A rising line.")._repr_mimebundle_()
    svg = BeautifulSoup(bundle["text/html"], "html.parser").svg
    assert svg["role"] == "img" and svg["aria-label"] == "A rising line."
    assert "currentColor" in bundle["text/html"]
    assert display.INK not in bundle["text/html"]
    assert len(pages(bundle)) == 1
    assert bundle["text/plain"] == "A rising line."


def test_fonts_of_a_printed_figure_are_outlines_that_every_printer_takes():
    page = pages(display.show(a_figure(), alt="line")._repr_mimebundle_())[0]
    fonts = [each.get_object() for each in page["/Resources"]["/Font"].values()]
    assert fonts and "/Type3" not in {font["/Subtype"] for font in fonts}


def test_figure_is_the_same_each_time():
    first, second = (display.show(a_figure(), alt="line").svg for _ in range(2))
    assert first == second


def ids_of(svg):
    return set(re.findall(r'\sid="([^"]+)"', svg))


def test_two_figures_on_a_page_share_no_id_and_keep_their_references():
    first, second = a_figure(), a_figure()
    second.axes[0].set_xlabel("epoch")  # drawn otherwise, said alike
    svgs = [display.show(figure, "a line").svg for figure in (first, second)]
    assert not ids_of(svgs[0]) & ids_of(svgs[1])
    for svg in svgs:
        used = re.findall(r'href="#([^"]+)"|url\(#([^)]+)\)', svg)
        used = {name for pair in used for name in pair if name}
        assert used and used <= ids_of(svg)
        assert "clip-path" in svg


def test_two_graphs_share_no_id_and_say_no_names_of_graphviz():
    first, second = (
        display.draw_dot(f'digraph {{ a -> b [label="{x}"]; a [tooltip="A & b"] }}', x)
        for x in ("one", "two")
    )
    assert ids_of(first.svg) and not ids_of(first.svg) & ids_of(second.svg)
    soup = BeautifulSoup(first.svg, "html.parser")
    assert [title.get_text() for title in soup.find_all("title")] == ["A & b"]
    assert soup.find("a") is None
    assert soup.select_one("g.edge")["data-ends"] == "a->b"


def test_a_formula_in_a_table_is_typeset_and_counts_as_long_as_it_looks():
    rows = [(r"\boldsymbol{\Theta}_1 < \alpha", "some ten words_")]
    shown = display.table(rows, ["f", "w"], maths=["f"])._repr_mimebundle_()
    cell = BeautifulSoup(shown["text/html"], "html.parser").td
    assert cell.get_text() == r"\(\boldsymbol{\Theta}_1 < \alpha\)"
    assert cell.find_parent("div", class_="tex2jax_process")
    assert rf"${rows[0][0]}$ & some ten words\_" in shown["text/latex"]
    first, second = re.findall(r"p\{([\d.]+)", shown["text/latex"])
    assert float(first) < float(second)


def test_a_heading_without_words_is_a_cell():
    shown = display.table([("a", 1)], ["", "count"])._repr_mimebundle_()["text/html"]
    row = BeautifulSoup(shown, "html.parser").thead.tr
    assert [cell.name for cell in row.find_all(recursive=False)] == ["td", "th"]


def test_figure_is_closed_after_it_was_shown():
    figure = a_figure()
    display.show(figure, alt="line")
    assert figure.number not in plt.get_fignums()


@pytest.mark.parametrize("alt", ["", "   ", None])
def test_alt_is_required(alt):
    with pytest.raises(ValueError, match="alt must say"):
        display.show(a_figure(), alt=alt)


def test_show_names_what_came_instead_of_a_figure():
    with pytest.raises(TypeError, match=r"figure must be .* got list"):
        display.show([1, 2], alt="x")


def test_dot_needs_no_program_and_prints_no_noise():
    code = (
        "from advanced_keras import display\n"
        "p = display.draw_dot('digraph { a -> b [label=key] }', alt='a to b')\n"
        "assert 'key' in p.svg and p.pdf[:4] == b'%PDF'\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env={"PATH": ""}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""


def test_dot_says_what_is_wrong():
    with pytest.raises(ValueError, match="source must be a DOT graph, got 'no graph"):
        display.draw_dot("no graph at all", alt="x")


@given(st.lists(st.tuples(entries, entries), max_size=5))
@settings(deadline=None, max_examples=40)
def test_table_keeps_every_entry_on_the_page(rows):
    bundle = display.table(rows, ["one", "two"])._repr_mimebundle_()
    soup = BeautifulSoup(bundle["text/html"], "html.parser")
    found = [tuple(td.get_text() for td in tr("td")) for tr in soup.tbody("tr")]
    assert found == rows
    assert bundle["text/latex"].count(r" \\") == len(rows) + 1


def test_table_escapes_what_latex_would_read():
    latex = display.table([("50% of_a & {b}", "~^\\#$")], ["x", "y"])._latex()
    assert r"50\% of\_\allowbreak{}a \& \{b\}" in latex
    assert r"\textasciitilde{}\textasciicircum{}\textbackslash{}\#\$" in latex


def test_numbers_are_set_to_the_right():
    assert display.table([("a", 1), ("b", 2.5)], ["x", "y"]).align == "lr"


def test_table_names_the_row_that_does_not_fit():
    with pytest.raises(ValueError, match=r"rows\[1\] must have 2 entries"):
        display.table([(1, 2), (1, 2, 3)], ["x", "y"])
    with pytest.raises(ValueError, match="align must have 2 letters, got 'l'"):
        display.table([(1, 2)], ["x", "y"], align="l")


def test_importing_the_package_is_silent():
    done = subprocess.run(
        [sys.executable, "-c", "import advanced_keras, keras; keras.ops.ones(3)"],
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


# ---- Mosaics ------------------------------------------------------------------------


@given(
    st.integers(1, 7), st.integers(1, 4), st.integers(1, 4), st.integers(1, 3),
    st.integers(1, 5), st.integers(0, 2),
)  # fmt: skip
@settings(deadline=None, max_examples=40)
def test_mosaic_holds_every_image_at_its_place(count, h, w, c, columns, gap):
    images = np.random.default_rng(0).uniform(size=(count, h, w, c))
    picture = display.mosaic(images, columns, gap)
    rows = -(-count // columns)
    assert picture.shape[:2] == (rows * (h + gap) - gap, columns * (w + gap) - gap)
    assert picture.shape[2:] == (() if c == 1 else (c,))
    picture = picture.reshape(*picture.shape[:2], c)
    left_over = np.ones(picture.shape, bool)
    for place, image in enumerate(images):
        top, left = place // columns * (h + gap), place % columns * (w + gap)
        window = np.s_[top : top + h, left : left + w]
        assert np.array_equal(picture[window], image)
        left_over[window] = False
    assert np.all(picture[left_over] == (images.min() + images.max()) / 2)


def test_mosaic_takes_images_without_channels():
    images = np.arange(24.0).reshape(2, 3, 4)
    picture = display.mosaic(images, 2, gap=0)
    assert np.array_equal(picture, np.hstack(list(images)))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"images": np.ones((3, 4))}, "images must have shape"),
        ({"images": np.ones((0, 3, 4))}, r"none of them 0; got \(0, 3, 4, 1\)"),
        ({"columns": 0}, "columns must be at least 1, got 0"),
        ({"columns": 1.5}, "columns must be an integer, got 1.5"),
        ({"gap": -1}, "gap must be at least 0, got -1"),
        ({"gap": True}, "gap must be an integer, got True"),
    ],
)
def test_mosaic_names_what_is_wrong(arguments, words):
    with pytest.raises(ValueError, match=words):
        display.mosaic(**({"images": np.ones((2, 3, 4)), "columns": 2} | arguments))


# ---- Films --------------------------------------------------------------------------

FRAMES = np.random.default_rng(0).uniform(size=(5, 6, 8))
LABELS = [f"step {n}, loss {n / 3:.2f}" for n in range(5)]
NASTY = """<b>"5" & 'six'</b>"""


def page_of(film):
    return BeautifulSoup(film._repr_mimebundle_()["text/html"], "html.parser")


def test_the_sprite_of_a_film_holds_the_frames_below_each_other():
    image = page_of(display.film(FRAMES, LABELS, "noise")).img
    kind, data = image["src"].split(",")
    assert kind == "data:image/png;base64" and image["alt"] == "noise"
    pixels = np.asarray(Image.open(io.BytesIO(base64.b64decode(data))))
    assert pixels.shape == (5 * 6, 8) and pixels.dtype == np.uint8
    np.testing.assert_allclose(pixels.reshape(5, 6, 8) / 255, FRAMES, atol=0.5 / 255)


def data_of(soup):
    """What the script of a film is told."""
    script = soup.find("ak-film").find("script", type="application/json")
    return json.loads(script.string)


def test_a_film_shows_its_last_frame_until_it_is_moved():
    soup = page_of(display.film(FRAMES, LABELS, "noise", zoom=3))
    assert "translateY(-80.0%)" in soup.img["style"]
    assert soup.find("ak-film").output.get_text() == LABELS[-1]
    window = soup.img.parent["style"]
    assert "width:24px" in window and "aspect-ratio:8/6" in window
    assert data_of(soup) == {"labels": LABELS}


def test_without_scripts_a_film_offers_nothing_that_would_not_work():
    soup = page_of(display.film(FRAMES, LABELS, "noise"))
    assert not soup.find("ak-film").find_all(["input", "button"])
    handlers = [name for tag in soup(True) for name in tag.attrs if name[:2] == "on"]
    assert handlers == []


def test_the_labels_of_a_film_are_escaped():
    labels = [NASTY, "</script><b>", "three", "four", NASTY]
    soup = page_of(display.film(FRAMES, labels, NASTY))
    assert soup.find("b") is None
    assert data_of(soup)["labels"] == labels
    assert soup.img["alt"] == soup.output.get_text() == NASTY


@pytest.mark.parametrize("count", [1, 2, 5])
def test_a_film_is_one_page_of_a_few_frames_on_paper(count):
    film = display.film(FRAMES[:count], LABELS[:count], "noise", printed=3)
    bundle = film._repr_mimebundle_()
    (page,) = pages(bundle)
    text = page.extract_text()
    shown = {1: [0], 2: [0, 1], 5: [0, 2, 4]}[count]
    assert [n for n in range(count) if f"step {n}" in text] == shown
    assert bundle["text/plain"] == "noise"
    assert not plt.get_fignums()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"frames": FRAMES[0]}, r"frames must have shape .* got \(6, 8\)"),
        ({"frames": 2 * FRAMES}, "frames must be from 0"),
        ({"frames": np.full((5, 2, 2), np.nan)}, "frames must be from 0"),
        ({"labels": LABELS[:4]}, "each of the 5 frames, got 4"),
        ({"alt": " "}, "alt must say what the film shows"),
        ({"printed": 0}, "printed must be at least 1, got 0"),
        ({"zoom": 0.5}, "zoom must be an integer, got 0.5"),
    ],
)
def test_a_film_names_what_is_wrong(arguments, words):
    usual = {"frames": FRAMES, "labels": LABELS, "alt": "noise"}
    with pytest.raises(ValueError, match=words):
        display.film(**(usual | arguments))


def test_a_drawing_of_graphviz_has_no_date():
    pdf = display.draw_dot("digraph { a -> b }", "An arrow from box to box.").pdf
    assert re.findall(rb"CreationDate \(D:(\d+)", pdf) == [b"20000101000000"]
    assert PdfReader(io.BytesIO(pdf), strict=True).pages[0].extract_text()
