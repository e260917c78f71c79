"""Widgets as a notebook gets them: several outputs, each with its style and scripts."""

import re
from types import SimpleNamespace

import keras
import numpy as np
import pytest
from keras import layers

from advanced_keras.dense_threading import threading_steps
from advanced_keras.display import film
from advanced_keras.explorers import latent_plane, threading_explorer
from advanced_keras.tracing import trace
from advanced_keras.training import record_step


def build_part():
    x = keras.Input((4,), name="x")
    return keras.Model(x, layers.Dense(3, name="inner")(x), name="part")


def build_whole():
    y = keras.Input((4,), name="y")
    z = build_part()(y)
    return keras.Model(y, z * 2)


def build_twice():
    """A model that is called on its own result."""
    part_in = keras.Input((4,), name="part_in")
    part = keras.Model(part_in, layers.Dense(4, name="inner")(part_in), name="part")
    x = keras.Input((4,), name="x")
    once = part(x)
    twice = part(once)
    return keras.Model(x, twice + once)


def build_nested_twice():
    """A model in a model in a model."""
    part = build_part()
    m = keras.Input((4,), name="m")
    middle = keras.Model(m, keras.ops.relu(part(m)), name="middle")
    x = keras.Input((4,), name="x")
    return keras.Model(x, middle(x))


def a_step():
    model = keras.Sequential([keras.Input((2,)), layers.Dense(1)])
    model.compile("sgd", "mse")
    maths = {"loss = self._compute_loss(": r"\loss(\bar\x), \yhat"}
    batch = np.ones((4, 2)), np.ones((4, 1))
    return record_step(model, batch, maths=maths, anchor="one")


def a_plane():
    images = np.linspace(0, 1, 3 * 3 * 4 * 4).reshape(3, 3, 4, 4)
    ticks = np.array([-1.0, 0.0, 1.0])
    return latent_plane(images, ticks, ticks[::-1], "A plane.", [(0.2, 0.1)], ["a"])


OUTPUTS = {
    "tracer": [
        lambda: trace(build_whole),
        lambda: trace(build_part),
        lambda: trace(build_twice),
        lambda: trace(build_nested_twice),
    ],
    "threading": [
        lambda: threading_explorer({"c": (("d",), threading_steps((3,), 4, 2))})
    ],
    "film": [lambda: film(np.zeros((3, 2, 2)), "abc", "A film.")],
    "latent": [a_plane],
    "stepper": [a_step],
}
LIVE = {
    "tracer": ".ak-tracer-bar",
    "threading": ".ak-threading-live",
    "film": "input",
    "latent": ".ak-latent-live",
    "stepper": ".ak-live",
}


def html_of(output):
    return output._repr_mimebundle_()["text/html"]


@pytest.fixture(scope="module")
def outputs():
    """Twice the same outputs, as when all cells of a notebook are run again."""
    shown = [html_of(make()) for made in OUTPUTS.values() for make in made]
    return [*shown, *shown]


@pytest.fixture
def notebook(browser, outputs):
    """A page that puts outputs in as JupyterLab does: the HTML, then its scripts."""
    page, problems = browser.new_page(), []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.set_content("<!doctype html><title>t</title><main></main>")
    page.evaluate(
        """outputs => { for (const html of outputs) {
          const area = document.createElement("div");
          area.className = "jp-OutputArea";
          document.querySelector("main").append(area);
          area.innerHTML = html;
          for (const old of area.querySelectorAll("script")) {
            const fresh = document.createElement("script");
            for (const a of old.attributes) fresh.setAttribute(a.name, a.value);
            fresh.textContent = old.textContent;
            old.replaceWith(fresh);
          }
        } }""",
        outputs,
    )
    yield SimpleNamespace(page=page, problems=problems)
    page.close()


@pytest.mark.parametrize("name", OUTPUTS)
def test_every_widget_of_a_notebook_starts(name, notebook):
    count = 2 * len(OUTPUTS[name])
    live = notebook.page.locator(f"ak-{name} {LIVE[name]}").all()
    holders = notebook.page.locator(f"ak-{name}:has({LIVE[name]})")
    assert holders.count() == count and len(live) >= count
    assert notebook.problems == []


def test_no_two_pictures_of_a_notebook_share_an_id(notebook):
    """Also not the same trace, shown twice; other pictures twice are one picture."""
    ids = notebook.page.evaluate(
        "[...document.querySelectorAll('ak-tracer [id]')].map(e => e.id)"
    )
    assert ids and len(ids) == len(set(ids))


def test_the_tracers_of_a_notebook_answer_each_by_itself(notebook):
    page = notebook.page
    for number in range(8):
        widget = page.locator("ak-tracer").nth(number)
        widget.locator("[data-step]").first.click()
        assert widget.locator("g.step.ak-chosen").count() >= 1
        assert page.evaluate("location.hash") == ""
    arrow = page.locator("ak-tracer").first.locator(".ak-closed g.edge").first
    assert arrow.get_attribute("aria-label").startswith("Arrow from y to z")
    assert notebook.problems == []


def walk(widget, start, action):
    """The names at the front of a walk, press by press, until it is complete."""
    names = widget.locator("[data-step] code")
    widget.locator("[data-step]").filter(
        has=widget.page.locator("code", has_text=re.compile(f"^{start}$"))
    ).first.click()
    status, way = widget.locator(".ak-tracer-status"), []
    for _ in range(12):
        widget.locator(f"[data-action={action}]").click()
        if "complete" in status.inner_text():
            return way, status.inner_text()
        way.append(widget.locator("[data-step].ak-front code").all_inner_texts())
    raise AssertionError(f"no end after {way} of {names.all_inner_texts()}")


def test_a_walk_leaves_a_nested_model_by_the_call_that_led_into_it(notebook):
    widget = notebook.page.locator("ak-tracer").nth(2)
    assert walk(widget, "once", "back")[0] == [["x"]]
    widget.locator("[data-action=open]").click()
    way, end = walk(widget, "once", "back")
    assert way == [["inner"], ["part_in"], ["x"]]
    assert end == "x is an input: the walk is complete."
    way, _ = walk(widget, "twice", "back")
    assert way == [*way[:2], ["once"], *way[:2], ["x"]]
    # the other way: from `once` into the second call and through the sum
    way, end = walk(widget, "once", "forward")
    assert way[0] == ["part_in", "add"] and way[-1] == ["add"] and ["twice"] in way
    assert end == "Nothing uses add any further: the walk is complete."


def test_a_walk_goes_through_two_levels_of_nested_models(notebook):
    widget = notebook.page.locator("ak-tracer").nth(3)
    widget.locator("[data-action=open]").click()
    way, end = walk(widget, "middle", "back")
    assert [names[0] for names in way] == ["relu", "part", "inner", "x", "m", "x"]
    assert "input" in end and notebook.problems == []


def test_a_formula_of_a_notebook_has_no_macro_of_ours(notebook):
    formula = notebook.page.locator("ak-stepper .ak-live .ak-maths").first
    expected = r"\({\mathcal{L}}(\bar{\mathbf{x}}), {\hat{\mathbf{y}}}\)"
    assert formula.text_content() == expected


def test_a_widget_that_comes_back_into_view_goes_on(notebook):
    """JupyterLab takes cells that are out of sight off the page, and puts them back."""
    page = notebook.page
    found = page.evaluate(
        """() => ["tracer", "threading", "film", "latent", "stepper"].map(name => {
          const widget = document.querySelector(`ak-${name}`);
          const place = widget.parentNode;
          const before = widget.innerHTML;
          widget.remove();
          place.append(widget);
          return before === widget.innerHTML;
        })"""
    )
    assert found == [True] * 5
    film_ = page.locator("ak-film").first
    film_.get_by_role("button").click()
    assert film_.get_by_role("button").inner_text() == "Pause"
    page.evaluate(
        """() => {
          const film = document.querySelector("ak-film"), place = film.parentNode;
          film.remove();
          place.append(film);
        }"""
    )
    assert film_.get_by_role("button").inner_text() == "Play"  # nobody saw it play
    assert notebook.problems == []
