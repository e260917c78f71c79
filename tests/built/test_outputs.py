"""Widgets as a notebook gets them: several outputs, each with its style and scripts."""

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
    "tracer": [lambda: trace(build_whole), lambda: trace(build_part)],
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
    for number in range(4):
        widget = page.locator("ak-tracer").nth(number)
        widget.locator("[data-step]").first.click()
        assert widget.locator("g.step.ak-chosen").count() >= 1
        assert page.evaluate("location.hash") == ""
    arrow = page.locator("ak-tracer").first.locator(".ak-closed g.edge").first
    assert arrow.get_attribute("aria-label").startswith("Arrow from y to z")
    assert notebook.problems == []


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
    page.evaluate("document.querySelector('ak-film').remove()")
    assert notebook.problems == []
