"""Widgets: script and style come along, and data can't break out of its element."""

import json
import re

import pytest
from bs4 import BeautifulSoup
from hypothesis import given
from hypothesis import strategies as st

from advanced_keras import interactive

NAMES = interactive.names()
BASE = interactive.BASE.read_text()


def bare(code):
    """The lines of a script without comments."""
    code = re.sub(r"/\*.*?\*/|^//.*?$", "", code, flags=re.DOTALL | re.MULTILINE)
    return [line.strip() for line in code.splitlines() if line.strip()]


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda some: st.lists(some, max_size=3) | st.dictionaries(st.text(), some),
    max_leaves=8,
)


@pytest.mark.parametrize("name", NAMES)
def test_assets_bring_the_style_and_the_script(name):
    soup = BeautifulSoup(interactive.assets(name), "html.parser")
    style, script = soup.find_all(recursive=False)
    assert style.name == "style" and style["data-ak-asset"] == name
    assert script.name == "script" and script["data-ak-asset"] == name
    assert style.string == (interactive.FOLDER / f"{name}.css").read_text()
    own = (interactive.FOLDER / f"{name}.js").read_text()
    assert script.string == BASE + own


def test_each_script_but_the_shared_one_is_a_widget():
    scripts = {path.stem for path in interactive.FOLDER.glob("*.js")}
    assert {*NAMES} == scripts - {"base"} and len(NAMES) == 5
    with pytest.raises(ValueError, match="got 'base'"):
        interactive.assets("base")


def test_a_second_shared_script_changes_nothing():
    """The widgets of an earlier output are of the first one's class."""
    assert bare(BASE)[:2] == ["(() => {", "if (window.AkWidget) return;"]


@pytest.mark.parametrize("name", NAMES)
def test_a_script_stops_where_its_element_is_known(name):
    """In a notebook each output brings it again."""
    code = (interactive.FOLDER / f"{name}.js").read_text()
    assert bare(code)[:2] == [
        "(() => {",
        f'if (customElements.get("ak-{name}")) return;',
    ]


@pytest.mark.parametrize("name", NAMES)
def test_assets_load_nothing_and_end_no_element(name):
    style = (interactive.FOLDER / f"{name}.css").read_text()
    script = BASE + (interactive.FOLDER / f"{name}.js").read_text()
    for text, end in ((script, "</script"), (style, "</style")):
        assert end not in text.lower()
        for load in ("import(", "fetch(", "XMLHttpRequest", "@import", "url("):
            assert load not in text
        outside = text.replace("http://www.w3.org/2000/svg", "")  # a name, no address
        assert "://" not in outside


def test_an_unknown_widget_is_named_with_the_known_ones():
    with pytest.raises(ValueError, match=r"one of: .*threading.*; got 'none'"):
        interactive.assets("none")


def test_widget_is_the_static_form_and_the_data():
    page = interactive.widget("threading", "<p>still</p>", {"sizes": [1, 2]})
    soup = BeautifulSoup(page, "html.parser")
    element = soup.find("ak-threading")
    assert element.p.string == "still"
    assert json.loads(element.script.string) == {"sizes": [1, 2]}
    assert element.script["type"] == "application/json"
    assert len(soup.select("[data-ak-asset=threading]")) == 2
    assert not element.select("[data-ak-asset]")


@pytest.mark.parametrize(
    "text", ["</script><b>out</b>", "<!--<script>", "</SCRIPT >", "a & b < c"]
)
def test_data_cannot_end_the_element(text):
    page = interactive.widget("latent", "", {"words": text})
    element = BeautifulSoup(page, "html.parser").find("ak-latent")
    assert element.b is None
    assert json.loads(element.script.string) == {"words": text}
    assert "<" not in interactive.as_json(text)


@given(anything)
def test_json_comes_back_as_it_was(data):
    assert json.loads(interactive.as_json(data)) == data


def test_words_are_escaped_also_inside_quotes():
    assert interactive.escaped('<a "b" & c>') == "&lt;a &quot;b&quot; &amp; c&gt;"
