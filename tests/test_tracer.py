"""The widget of a trace: what is tied to what, and what stands without scripts."""

import base64
import io
import json
import re

import keras
import pytest
from bs4 import BeautifulSoup
from keras import layers
from pypdf import PdfReader

from advanced_keras.tracing import trace, trace_model, trace_source
from advanced_keras.tracing.tracer import TALLEST, describe


def build_part():
    x = keras.Input((4,), name="x")
    return keras.Model(x, layers.Dense(3, name="inner")(x), name="part")


def build_whole():
    """A model that calls one
    which another function has built."""
    y = keras.Input((4,), name="y")
    part = build_part()
    z = part(
        y,
    )
    end = z * 2
    return keras.Model(y, end)


def build_both():
    """The same in one function."""
    x = keras.Input((4,), name="x")
    part = keras.Model(x, layers.Dense(3, name="inner")(x), name="part")
    y = keras.Input((4,), name="y")
    return keras.Model(y, part(y))


def page(found, **options):
    html = found.tracer(**options)._repr_mimebundle_()["text/html"]
    return BeautifulSoup(html, "html.parser")


def ties(soup):
    """Steps of each line of the source."""
    lines = soup.select(".ak-line")
    return {int(i["data-line"]): i["data-steps"] for i in lines if i.get("data-steps")}


def test_every_line_of_a_statement_is_tied_to_its_steps():
    found = {4: "s1", 6: "s2", 7: "s2", 8: "s2", 9: "s3"}
    assert ties(page(trace(build_whole))) == found
    assert ties(page(trace(build_both))) == {3: "s1", 4: "s2", 5: "s3", 6: "s4"}
    assert ties(page(trace(build_both).inside("part"))) == {3: "s1", 4: "s2"}


def test_source_is_whole_but_for_the_docstring():
    lines = page(trace(build_whole)).select(".ak-line")
    assert [int(line["data-line"]) for line in lines] == [1, *range(4, 11)]
    assert lines[0].get_text() == "def build_whole():"
    assert lines[-1].get_text() == "    return keras.Model(y, end)"


def test_names_and_shapes_in_letters_and_in_numbers():
    soup = page(trace(build_whole).styled(axes={"F": 4}))
    rows = soup.select("[data-step]")
    shown = [(r["data-step"], r.code.get_text(), r.span.get_text()) for r in rows]
    assert shown[:3] == [
        ("s1", "y", "(B, F)"),
        ("s2", "z", "(B, 3)"),
        ("s3", "end", "(B, 3)"),
    ]
    assert rows[0].span["data-numbers"] == "(B, 4)"
    assert [r.has_attr("hidden") for r in rows] == [False] * 3 + [True] * 2


def test_description_has_what_a_walk_needs():
    steps = describe(trace(build_whole))["steps"]
    assert {k: s["inputs"] for k, s in steps.items()} == {
        "s1": [], "s2": ["s1"], "s3": ["s2"], "s4": [], "s5": ["s4"],
    }  # fmt: skip
    assert steps["s2"]["opens"] == ["s4", "s5"] and steps["s2"]["ends"] == ["s5"]
    bound = {"says": "y is bound to x", "actual": "s1", "formal": "s4"}
    assert steps["s2"]["binds"] == [bound]
    assert [s["inside"] for s in steps.values()][:4] == [None] * 3 + ["m1"]
    assert steps["s1"]["says"] == "Line 4: y (B, 4) is an input."
    assert steps["s2"]["name"] == "z" and steps["s5"]["name"] == "inner"
    says = "Line 6: z (B, 3) comes from part (Functional) with y as x."
    assert steps["s2"]["says"] == says


def test_tensors_without_a_name_and_several_at_once_are_said_in_words():
    def build():
        x = keras.Input((4,), name="x")
        first, second = keras.ops.split(x, 2, axis=-1)
        return keras.Model(x, keras.ops.relu(first) + second)

    steps = describe(trace(build))["steps"]
    assert [step["says"] for step in steps.values()] == [
        "Line 2: x (B, 4) is an input.",
        "Line 3: first (B, 2), second (B, 2) come from split with x as x.",
        "Line 4: relu with first as x makes a tensor (B, 2) without a name.",
        "Line 4: add with relu as x1, second as x2 makes a tensor (B, 2) without a "
        "name.",
    ]
    names = [step["name"] for step in steps.values()]
    assert names == ["x", "first, second", "relu", "add"]


def test_every_step_is_in_the_graph_that_shows_it():
    soup = page(trace(build_whole))
    for kind, steps in (("closed", "123"), ("opened", "12345")):
        names = [g["id"] for g in soup.select(f".ak-{kind} g.step")]
        assert sorted(name.split("-")[-1] for name in names) == [f"s{n}" for n in steps]
    ids = [element["id"] for element in soup.select("[id]")]
    assert len(ids) == len(set(ids))


def test_opened_shows_the_other_graph_and_prints_it():
    found = trace(build_whole)
    closed, opened = page(found), page(found, opened=True)
    assert opened.select_one(".ak-closed").has_attr("hidden")
    assert not opened.select_one(".ak-opened").has_attr("hidden")
    assert closed.select_one(".ak-opened").has_attr("hidden")
    paper = [found.tracer(opened=o)._repr_mimebundle_() for o in (False, True)]
    assert paper[0]["application/pdf"] != paper[1]["application/pdf"]
    with pytest.raises(ValueError, match="opened must be False: 'part' has no nested"):
        trace(build_both).inside("part").tracer(opened=True)


def test_parts_made_in_the_function_are_always_shown():
    soup = page(trace(build_both))
    assert not soup.select(".ak-inside")
    assert len(soup.select(".ak-closed g.step")) == 4
    dotted = [len(soup.select(f".ak-{k} g.edge")) for k in ("closed", "opened")]
    assert dotted == [2, 4]  # opened: also actual to formal, and the way back


def build_skip():
    x = start = keras.Input((4,), name="x")
    for number in range(12):
        x = layers.Activation("tanh", name=f"bend_{number}")(x)
    return keras.Model(start, layers.Add()([x, start]))


def size(drawn):
    width, height = re.search(r'width="(.*?)pt" height="(.*?)pt"', drawn.svg).groups()
    return float(width), float(height)


def middles(drawn):
    """The middle of each box, in the order of the steps."""
    found = {}
    for box in BeautifulSoup(drawn.svg, "html.parser").select("g.step"):
        numbers = list(map(float, re.findall(r"-?[\d.]+", box.path["d"])))
        ends = [(min(each), max(each)) for each in (numbers[::2], numbers[1::2])]
        place = tuple(round(sum(pair) / 2) for pair in ends)
        found[int(box["id"].rpartition("-s")[2])] = place
    return [found[number] for number in sorted(found)]


def test_on_paper_a_long_chain_stands_in_columns():
    def chain():
        x = first = keras.Input((4,), name="x")
        for number in range(12):
            x = layers.Activation("tanh", name=f"bend_{number}")(x)
        return keras.Model(first, x)

    drawn = trace(chain).tracer()
    (wide, tall), (_, before) = size(drawn.printed()), size(drawn.closed)
    assert before > TALLEST >= tall and wide < 450
    steps = [
        len(re.findall('class="node step', d.svg))
        for d in (drawn.closed, drawn.printed())
    ]
    assert steps == [13, 13]
    places = middles(drawn.printed())
    left, right = places[:7], places[7:]
    assert len({x for x, _ in left}) == len({x for x, _ in right}) == 1
    assert left[0][0] < right[0][0] and left[0][1] == right[0][1]
    for column in (left, right):
        assert [y for _, y in column] == sorted(y for _, y in column)
    paper = base64.b64decode(drawn._repr_mimebundle_()["application/pdf"])
    assert float(PdfReader(io.BytesIO(paper)).pages[0].mediabox.height) == tall


def test_on_paper_a_short_chain_and_a_graph_with_forks_stay_as_they_are():
    for builder in (build_part, build_skip):
        drawn = trace(builder).tracer()
        assert drawn.printed() is drawn.closed


def test_masks_are_left_out_unless_asked_for():
    def masked():
        tokens = keras.Input((5,), name="tokens")
        states = layers.Embedding(9, 4, mask_zero=True)(tokens)
        return keras.Model(tokens, layers.LSTM(3)(states))

    found = trace(masked)
    plain, all_steps = (describe(f)["steps"] for f in (found, found.styled(masks=True)))
    assert len(plain) == 3 < len(all_steps)


def test_data_cannot_end_the_script():
    found = trace_source("a = keras.Input((3,), name='a')  # </script><b>\nb = a * 2\n")
    soup = page(found)
    assert (
        soup.find("b") is None
        and "</script><b>" in soup.select(".ak-line")[0].get_text()
    )
    data = json.loads(soup.select_one("script[type='application/json']").string)
    assert set(data["steps"]) == {"s1", "s2"}


def test_model_from_a_file_has_no_source_panel(tmp_path):
    trace(build_whole).result.save(tmp_path / "whole.keras")
    soup = page(trace_model(keras.saving.load_model(tmp_path / "whole.keras")))
    assert soup.select(".ak-line") == [] and soup.select("[data-step]")


def test_a_trace_shows_itself_as_tables_and_widget():
    html = trace(build_whole)._repr_mimebundle_()["text/html"]
    assert "<table" in html and "<ak-tracer>" in html
    assert len(re.findall("<script data-ak-asset", html)) == 1


class Builder:
    """A source that is indented where it stands."""

    def build(self):
        """Build."""
        x = keras.Input((2,), name="x")
        return keras.Model(x, layers.Dense(1, name="y")(x))


@pytest.mark.parametrize(
    ("builder", "first"),
    [
        (Builder().build, "def build(self):"),
        (lambda: keras.Model(x := keras.Input((2,)), layers.Dense(1)(x)), "(lambda"),
    ],
)
def test_source_of_methods_and_lambdas(builder, first):
    lines = page(trace(builder)).select(".ak-line")
    assert lines[0].get_text().startswith(first)
    assert any(line.get("data-steps") for line in lines)
