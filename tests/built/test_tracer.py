"""The tracer on its pages: by mouse, by keyboard, by address, and on a phone."""

import re

import pytest

from .conftest import HTML

WITH_A_TRACER = [
    "functional_model",
    "transformer_models",
    "autoencoder",
    "vae",
    "feature_visualization",
    "style_transfer",
    "factor_models",
]


@pytest.fixture
def tab(browser):
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    yield page
    page.close()


def tracer(page, chapter="functional_model", number=0, fragment=""):
    page.goto((HTML / "book" / f"{chapter}.html").as_uri() + fragment)
    page.wait_for_selector(".ak-tracer-bar")
    return page.locator("ak-tracer").nth(number)


def lit(widget, kind="ak-lit"):
    """What is marked in each panel: lines, tensors, steps of the graph in view."""
    return widget.evaluate(
        f"""w => [
            [...w.querySelectorAll('.ak-line.{kind}')].map(e => +e.dataset.line),
            [...w.querySelectorAll('[data-step].{kind}')].map(e => e.dataset.step),
            [...w.querySelectorAll('.ak-picture:not([hidden]) g.step.{kind}')]
              .map(e => e.id.split('-').pop())]"""
    )


@pytest.mark.parametrize("chapter", WITH_A_TRACER)
def test_each_of_these_chapters_has_a_tracer(chapter, tab):
    widget = tracer(tab, chapter)
    widget.scroll_into_view_if_needed()
    rows = widget.locator("[data-step]:visible")
    rows.last.hover()
    lines, tensors, nodes = lit(widget)
    assert lines and tensors == nodes and len(nodes) == 1


def test_source_tensor_box_and_arrow_light_the_other_panels(tab):
    widget = tracer(tab)
    widget.locator(".ak-line", has_text="both = layers.Concatenate").hover()
    (line,), (step,), nodes = lit(widget)
    assert nodes == [step]
    row = widget.locator(f"[data-step={step}]")
    assert row.locator("code").inner_text() == "both"
    row.hover()
    assert lit(widget) == [[line], [step], [step]]
    widget.locator(f".ak-closed g.step.{step}").hover()
    assert lit(widget) == [[line], [step], [step]]
    # an arrow into the box lights both of its ends, and itself
    arrow = widget.locator(f".ak-closed g.edge.{step}-in0")
    arrow.locator("text").hover()
    lines, tensors, nodes = lit(widget)
    assert step in tensors and len(tensors) == 2 and len(lines) == 2
    assert "ak-lit" in arrow.get_attribute("class")
    tab.mouse.move(0, 0)
    assert lit(widget) == [[], [], []]


def test_a_walk_back_ends_at_the_inputs(tab):
    widget = tracer(tab)
    widget.locator("[data-step] code", has_text=re.compile("^height$")).click()
    status = widget.locator(".ak-tracer-status")
    assert re.match(r"Line \d+: height \(B, 1\) comes from height", status.inner_text())
    back = widget.locator("[data-action=back]")
    for _ in range(9):
        back.click()
    assert re.search(r"(is an input|are inputs): the walk is", status.inner_text())
    names = widget.locator("[data-step].ak-chosen code").all_inner_texts()
    assert {"signal", "gain", "height"} <= set(names) and "period" not in names
    # and from an input forward to all that depends on it
    widget.locator("[data-step] code", has_text=re.compile("^gain$")).click()
    for _ in range(9):
        widget.locator("[data-action=forward]").click()
    names = widget.locator("[data-step].ak-chosen code").all_inner_texts()
    assert "height" in names and "signal" not in names


def test_keyboard_alone(tab):
    widget = tracer(tab)
    first = widget.locator("[data-step]").first
    first.focus()
    assert first.get_attribute("tabindex") == "0"
    tab.keyboard.press("ArrowDown")
    tab.keyboard.press("ArrowDown")
    third = widget.locator("[data-step]").nth(2)
    focused = "document.activeElement.dataset.step"
    assert tab.evaluate(focused) == third.get_attribute("data-step")
    assert lit(widget)[2] == [third.get_attribute("data-step")]
    tab.keyboard.press("Enter")
    assert lit(widget, "ak-chosen")[1] == [third.get_attribute("data-step")]
    assert third.get_attribute("aria-selected") == "true"
    tab.keyboard.press("End")
    assert tab.evaluate(focused) == widget.locator("[data-step]").last.get_attribute(
        "data-step"
    )
    # each panel is one stop of the Tab key: the graph is the next
    tab.keyboard.press("Tab")
    assert "step" in tab.evaluate("document.activeElement.getAttribute('class')")


def test_every_item_has_a_name_and_status_is_announced(tab):
    widget = tracer(tab)
    unnamed = "w => [...w.querySelectorAll('.ak-item:not([aria-label])')].length"
    assert widget.evaluate(unnamed) == 0
    status = widget.locator(".ak-tracer-status")
    assert status.get_attribute("role") == "status"
    assert widget.locator(".ak-picture svg").first.get_attribute("role") == "group"


def nested(tab):
    """The tracer of the chapter that has a model called twice."""
    widget = tracer(tab)
    opened = tab.locator("ak-tracer").filter(has=tab.locator(".ak-opened"))
    assert widget.locator("[data-action=open]").is_hidden()
    return opened.last


def test_a_nested_model_opens_in_place_and_says_what_is_bound(tab):
    widget = nested(tab)
    toggle = widget.locator("[data-action=open]")
    assert toggle.get_attribute("aria-expanded") == "true"
    assert widget.locator(".ak-opened").is_visible()
    toggle.click()
    assert widget.locator(".ak-closed").is_visible()
    assert widget.locator(".ak-opened").is_hidden()
    widget.locator("[data-step] code", has_text=re.compile("^old$")).click()
    words = widget.locator(".ak-tracer-status").inner_text()
    assert "yesterday is bound to one_signal" in words
    # closed, one step back is the actual argument; open, it is inside the model
    widget.locator("[data-action=back]").click()
    assert lit(widget, "ak-front")[1] == [step_of(widget, "yesterday")]
    toggle.click()
    widget.locator("[data-step] code", has_text=re.compile("^old$")).click()
    widget.locator("[data-action=back]").click()
    assert lit(widget, "ak-front")[1] == [step_of(widget, "summary")]


def step_of(widget, name):
    row = widget.locator("[data-step]").filter(
        has=widget.page.locator("code", has_text=re.compile(f"^{name}$"))
    )
    return row.get_attribute("data-step")


def test_address_opens_a_step_and_follows_the_choice(tab):
    widget = tracer(tab)
    widget.locator("[data-step]").nth(3).click()
    fragment = tab.evaluate("location.hash")
    step = widget.locator("[data-step]").nth(3).get_attribute("data-step")
    assert re.fullmatch(rf"#trace-[0-9a-f]+-{step}", fragment)
    tab.goto("about:blank")
    again = tracer(tab, fragment=fragment)
    assert lit(again, "ak-chosen")[1] == [step]


def test_shapes_in_letters_and_in_numbers(tab):
    widget = tracer(tab, "factor_models")
    shapes = widget.locator(".ak-shape")
    letters = shapes.all_inner_texts()
    widget.locator("[data-action=numbers]").click()
    numbers = shapes.all_inner_texts()
    assert "(B, N, P)" in letters and "(B, N, P)" not in numbers
    assert all(re.fullmatch(r"\([B·\d, ]+\)", shape) for shape in numbers)
    widget.locator("[data-action=numbers]").click()
    assert shapes.all_inner_texts() == letters


def test_usable_on_a_phone(browser):
    page = browser.new_page(viewport={"width": 360, "height": 780}, has_touch=True)
    widget = tracer(page, "transformer_models")
    widget.locator("[data-step]").first.tap()
    assert lit(widget, "ak-chosen")[1]
    assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
    page.close()


def test_stands_without_scripts(browser):
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto((HTML / "book" / "functional_model.html").as_uri())
    widget = page.locator("ak-tracer").first
    for panel in (".ak-tracer-code", ".ak-tracer-tensors", ".ak-tracer-graph svg"):
        assert widget.locator(panel).first.is_visible()
    assert page.locator(".ak-tracer-bar").count() == 0
    context.close()


def test_script_and_style_are_loaded_once(tab):
    tracer(tab, "transformer_models")
    sources = (
        "[...document.scripts].map(s => s.src).filter(s => s.includes('tracer.js'))"
    )
    assert len(tab.evaluate(sources)) == 1
    assert tab.evaluate("document.querySelectorAll('[data-ak-asset]').length") == 0
