"""Pictures and tables show themselves on a page and on paper."""

import base64
import io
import re
import subprocess
import sys

import matplotlib.pyplot as plt
import pytest
from bs4 import BeautifulSoup
from hypothesis import given, settings
from hypothesis import strategies as st
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


def test_figure_is_the_same_each_time():
    first, second = (display.show(a_figure(), alt="line").svg for _ in range(2))
    assert first == second


def test_two_figures_on_a_page_share_no_clip_path():
    def clips(alt):
        return set(
            re.findall(r'clipPath id="(\w+)"', display.show(a_figure(), alt).svg)
        )

    assert clips("one") and not clips("one") & clips("two")


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
