"""A recorded step gone through on its page, and the film: by mouse and by keyboard."""

import contextlib
import json
from datetime import datetime

import pytest

from .conftest import HTML

ANCHORS = {"custom_train_step": "train-step", "gan": "gan", "wgan_gp": "wgan-gp"}
PACE, CALM = 400, 1200  # milliseconds a frame, in film.js

every_stepper = pytest.mark.parametrize("chapter", ANCHORS)


@contextlib.contextmanager
def opened(browser, chapter, fragment="", clock=False, **options):
    """A page of the book; at the end no script may have complained."""
    options = {"viewport": {"width": 1280, "height": 900}, **options}
    context = browser.new_context(**options)
    page, problems = context.new_page(), []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("console", lambda m: problems.append(m.text) if m.type == "error" else None)
    if clock:  # ours: it goes on when it is told to
        page.clock.install(time=datetime(2030, 1, 1))
    page.goto((HTML / "book" / f"{chapter}.html").as_uri() + fragment)
    if clock:
        page.clock.pause_at(datetime(2030, 1, 2))
    yield page
    assert problems == []
    context.close()


def told(page):
    """The data of the first stepper."""
    data = page.locator("ak-stepper > script[type='application/json']").first
    return json.loads(data.text_content())


def place(page):
    """Number of the current step, from 1, where everything agrees on it."""
    stepper = page.locator("ak-stepper").first
    shown = int(stepper.locator(".ak-place").inner_text().split(" of ")[0])
    assert int(stepper.locator("input").input_value()) == shown - 1
    event = told(page)["events"][shown - 1]
    assert stepper.locator(".ak-title").inner_text() == event["title"]
    marked = stepper.locator("[aria-current=step]")
    lines = [int(each.get_attribute("data-line")) for each in marked.all()]
    assert lines[0] == event["line"] and lines[-1] <= event["end"]
    return shown


def fragment(page):
    return page.evaluate("location.hash")


def press(page, name):
    button = page.locator("ak-stepper").first.get_by_role("button", name=name)
    button.click(force=True)  # also where it leads nowhere


def focused(page):
    return page.evaluate("document.activeElement.textContent")


def step_where(page, wanted):
    """Number of the first step whose event is as wanted."""
    events = told(page)["events"]
    return next(n for n, event in enumerate(events, 1) if wanted(event))


# -- the stepper


@every_stepper
def test_buttons_go_through_the_step(chapter, browser):
    with opened(browser, chapter) as page:
        count = len(told(page)["events"])
        before = page.evaluate("history.length")
        assert (place(page), fragment(page)) == (1, "")
        for name, expected in [
            ("Next", 2),
            ("Next", 3),
            ("Previous", 2),
            ("Last", count),
            ("Next", count),
            ("First", 1),
            ("Previous", 1),
        ]:
            press(page, name)
            assert place(page) == expected
            assert fragment(page) == f"#step-{ANCHORS[chapter]}-{expected}"
        assert page.evaluate("history.length") == before


@every_stepper
def test_keys_go_through_the_step(chapter, browser):
    with opened(browser, chapter) as page:
        button = page.locator("ak-stepper").first.get_by_role("button", name="Next")
        button.focus()
        page.keyboard.press("Enter")
        assert place(page) == 2
        page.keyboard.press("ArrowRight")
        assert place(page) == 3
        page.keyboard.press("ArrowLeft")
        assert place(page) == 2 and focused(page) == "Next"
        page.keyboard.press("Tab")
        page.keyboard.press("Enter")
        count = len(told(page)["events"])
        assert place(page) == count and focused(page) == "Last"
        page.keyboard.press("Tab")  # the slider: one step a key, and not two
        page.keyboard.press("ArrowLeft")
        assert place(page) == count - 1
        page.keyboard.press("Home")
        assert (place(page), fragment(page)) == (1, f"#step-{ANCHORS[chapter]}-1")
        page.keyboard.press("Tab")
        assert focused(page) == "All as a table"
        page.keyboard.press("Tab")
        label = "document.activeElement.getAttribute('aria-label')"
        assert page.evaluate(label) == "The code"  # it scrolls
        for _ in range(page.locator("ak-stepper").first.locator(".ak-maths").count()):
            page.keyboard.press("Tab")  # MathJax makes each formula a stop
        page.keyboard.press("Tab")
        assert page.evaluate(label) == "What the line did"
        page.keyboard.press("Shift+ArrowRight")
        assert place(page) == 1
        page.keyboard.press("ArrowRight")
        assert place(page) == 2


@every_stepper
def test_line_and_mathematics_are_marked_together(chapter, browser):
    with opened(browser, chapter) as page:
        page.wait_for_selector("ak-stepper .ak-maths mjx-container")
        assert page.locator("ak-stepper mjx-merror").count() == 0
        formulas = {e["maths"] for e in told(page)["events"] if e["maths"]}
        rows = page.locator("ak-stepper").first.locator("li:has(mjx-container)")
        assert rows.count() >= len(formulas) > 3
        number = step_where(page, lambda event: event["maths"])
        page.evaluate(f"location.hash = 'step-{ANCHORS[chapter]}-{number}'")
        page.wait_for_selector("ak-stepper li[aria-current] .ak-maths mjx-container")
        assert place(page) == number


@every_stepper
def test_every_step_is_shown_and_fits_a_phone(chapter, browser):
    phone = {"viewport": {"width": 360, "height": 800}}
    with opened(browser, chapter, **phone) as page:
        for number, event in enumerate(told(page)["events"], 1):
            assert place(page) == number
            panel = page.locator("ak-stepper .ak-panel").first.inner_text()
            for change in event["changes"]:
                assert f"Changes {change['group']}" in panel
                assert f"{change['text']}; the norm of all" in panel
                assert f"these changes is {change['norm']}" in panel
            for row in event["makes"]:
                assert all(text in panel for text in row)
            view = page.evaluate(
                """() => {
                  const box = document.querySelector('ak-stepper .ak-code');
                  const row = box.querySelector('[aria-current]');
                  const [b, r] = [box, row].map(e => e.getBoundingClientRect());
                  return [r.top - b.top, b.bottom - r.top,
                          document.documentElement.scrollWidth - innerWidth];
                }"""
            )
            assert view[0] >= -1 and view[1] > 10 and view[2] <= 0
            press(page, "Next")


def test_whose_weights_change_in_a_gan(browser):
    with opened(browser, "gan") as page:
        for half, group, other in [
            ("train_discriminator", "D weights", "G weights"),
            ("train_generator", "G weights", "D weights"),
        ]:
            number = step_where(
                page,
                lambda e, half=half: half in e["title"] and ".apply(" in e["say"],
            )
            page.evaluate(f"location.hash = 'step-gan-{number}'")
            page.wait_for_function(
                f"document.querySelector('.ak-place').textContent[0] && "
                f"document.querySelector('ak-stepper').index === {number - 1}"
            )
            panel = page.locator("ak-stepper .ak-panel").first.inner_text()
            assert f"Changes {group}" in panel and other not in panel
            waits = page.locator("ak-stepper li[data-waits]").all_inner_texts()
            assert len(waits) == 1 and f"self.{half}(" in waits[0]


@every_stepper
def test_an_address_opens_a_step(chapter, browser):
    anchor = ANCHORS[chapter]
    with opened(browser, chapter, f"#step-{anchor}-5") as page:
        assert place(page) == 5
        page.wait_for_load_state()
        page.evaluate("window.MathJax.startup.promise")
        page.wait_for_timeout(100)
        top = page.locator("ak-stepper").first.bounding_box()["y"]
        assert 0 <= top < 150
        for wrong in ("0", "9999", "x", "1.5", ""):
            page.evaluate(f"location.hash = 'step-{anchor}-{wrong}'")
            page.wait_for_timeout(50)
            assert place(page) == 5
        assert page.locator("ak-stepper .ak-voice").first.inner_text() == ""


def test_an_address_does_not_pull_back_a_reader_who_moved_on(browser):
    with opened(browser, "gan") as page:
        page.evaluate(
            """() => {  // an address that is opened while formulas are still to come
              const stepper = document.querySelector('ak-stepper');
              const { startup } = window.MathJax;
              startup.promise = new Promise(done => { window.typeset = done; });
              stepper.stayInPlace();
            }"""
        )
        page.mouse.wheel(0, 300)
        page.wait_for_function("scrollY > 200")
        before = page.evaluate("scrollY")
        page.evaluate("window.typeset()")
        page.wait_for_timeout(100)
        assert abs(page.evaluate("scrollY") - before) < 150


def test_a_click_on_a_line_goes_to_its_next_run(browser):
    with opened(browser, "gan") as page:
        lines = [(e["function"], e["line"]) for e in told(page)["events"]]
        twice = next(each for each in lines if lines.count(each) == 2)
        places = [n for n, each in enumerate(lines, 1) if each == twice]
        function, line = twice
        row = page.locator("ak-stepper ol").nth(function)
        for expected in (*places, places[0]):
            row.locator(f"li[data-line='{line}']").click()
            assert place(page) == expected


def test_what_happens_is_said_once(browser):
    with opened(browser, "gan") as page:
        voice = page.locator("ak-stepper .ak-voice").first
        assert voice.get_attribute("aria-live") == "polite"
        assert voice.text_content() == ""
        press(page, "Next")
        said = told(page)["events"][1]["say"]
        assert voice.text_content() == said
        slider = page.locator("ak-stepper input").first
        assert slider.get_attribute("aria-valuetext").endswith(said)
        slider.focus()
        page.keyboard.press("ArrowRight")  # the slider speaks for itself
        assert voice.text_content() == said


@every_stepper
def test_the_table_is_there_on_demand_on_paper_and_without_scripts(chapter, browser):
    with opened(browser, chapter) as page:
        table = page.locator("ak-stepper > .ak-static").first
        button = page.get_by_role("button", name="All as a table").first
        assert not table.is_visible()
        button.click()
        assert table.is_visible() and button.get_attribute("aria-expanded") == "true"
        button.click()
        assert not table.is_visible()
        page.emulate_media(media="print")
        assert table.is_visible()
        assert not page.locator("ak-stepper .ak-live").first.is_visible()
    with opened(browser, chapter, java_script_enabled=False) as page:
        assert page.locator("ak-stepper > .ak-static table").first.is_visible()
        assert page.locator("ak-stepper button").count() == 0


def test_two_on_a_page_keep_apart(browser):
    with opened(browser, "gan") as page:
        page.evaluate(
            """() => {
              const [first] = document.querySelectorAll('ak-stepper');
              const second = document.createElement('ak-stepper');
              for (const part of first.children) {
                if (!part.matches('.ak-live')) second.append(part.cloneNode(true));
              }
              first.after(second);
            }"""
        )
        second = page.locator("ak-stepper").nth(1)
        second.get_by_role("button", name="Last").click()
        count = len(told(page)["events"])
        assert second.locator(".ak-place").inner_text() == f"{count} of {count}"
        assert place(page) == 1
        formulas = "ak-stepper:nth-of-type(2) .ak-maths"
        page.wait_for_selector(f"{formulas} mjx-container")  # it came after MathJax
        owned = page.locator("ak-stepper .ak-switch")
        names = {each.get_attribute("aria-controls") for each in owned.all()}
        assert len(names) == 2
        page.evaluate("location.hash = 'step-gan-4'")  # the first one answers
        page.wait_for_function("document.querySelector('ak-stepper').index === 3")
        assert second.locator(".ak-place").inner_text() == f"{count} of {count}"


# -- the film


def frame(page):
    """Number of the frame that is shown, where everything agrees on it."""
    film = page.locator("ak-film")
    labels = json.loads(film.locator("script").text_content())["labels"]
    index = int(film.locator("input").input_value())
    assert film.locator("output").inner_text() == labels[index]
    assert film.locator("input").get_attribute("aria-valuetext") == labels[index]
    shift = film.locator("img").evaluate("image => image.style.transform")
    percent = float(shift.removeprefix("translateY(").removesuffix("%)"))
    assert abs(percent + 100 * index / len(labels)) < 1e-3
    return index, len(labels) - 1


def test_a_film_plays_pauses_and_starts_again(browser):
    with opened(browser, "gan", clock=True) as page:
        button = page.locator("ak-film").get_by_role("button")
        _, last = frame(page)
        page.clock.run_for(10 * PACE)  # nothing moves by itself
        assert frame(page) == (last, last) and button.inner_text() == "Play"
        button.click()
        assert frame(page) == (0, last) and button.inner_text() == "Pause"
        page.clock.run_for(3 * PACE)
        assert frame(page)[0] == 3
        button.focus()
        page.keyboard.press("Space")
        assert button.inner_text() == "Play"
        page.clock.run_for(10 * PACE)
        assert frame(page)[0] == 3
        page.keyboard.press("Enter")
        page.clock.run_for((last + 5) * PACE)
        assert frame(page) == (last, last) and button.inner_text() == "Play"
        page.keyboard.press("Enter")
        assert frame(page)[0] == 0


def test_a_slider_takes_the_film_over(browser):
    with opened(browser, "gan", clock=True) as page:
        film = page.locator("ak-film")
        film.get_by_role("button").click()
        page.clock.run_for(2 * PACE)
        film.locator("input").focus()
        page.keyboard.press("ArrowRight")
        assert frame(page)[0] == 3
        assert film.get_by_role("button").inner_text() == "Play"
        page.clock.run_for(10 * PACE)
        assert frame(page)[0] == 3
        page.keyboard.press("Home")
        assert frame(page)[0] == 0
        box = film.locator("input").bounding_box()
        page.mouse.click(box["x"] + box["width"] - 2, box["y"] + box["height"] / 2)
        index, last = frame(page)
        assert index == last


def test_a_film_is_calm_for_those_who_ask(browser):
    with opened(browser, "gan", clock=True, reduced_motion="reduce") as page:
        page.locator("ak-film").get_by_role("button").click()
        page.clock.run_for(CALM - 1)
        assert frame(page)[0] == 0
        page.clock.run_for(CALM)
        assert frame(page)[0] == 1


def test_while_a_film_plays_its_labels_are_not_read_out(browser):
    with opened(browser, "gan", clock=True) as page:
        film = page.locator("ak-film")
        film.get_by_role("button").click()
        assert film.locator("output").get_attribute("aria-live") == "off"
        film.get_by_role("button").click()
        assert film.locator("output").get_attribute("aria-live") == "polite"


def test_a_film_without_scripts_is_its_last_frame(browser):
    with opened(browser, "gan", java_script_enabled=False) as page:
        film = page.locator("ak-film")
        assert film.locator("img").is_visible()
        assert film.locator("output").inner_text().startswith("step ")
        assert film.locator("input, button").count() == 0


def test_a_film_fits_a_phone(browser):
    phone = {"viewport": {"width": 360, "height": 800}}
    with opened(browser, "gan", **phone) as page:
        for part in ("img", "input", "button"):
            box = page.locator(f"ak-film {part}").bounding_box()
            assert box["x"] >= 0 and box["x"] + box["width"] <= 360


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_frame_fills_the_window_of_a_film(scheme, browser):
    with opened(browser, "gan", color_scheme=scheme) as page:
        window, image = page.evaluate(
            """() => [...document.querySelectorAll('ak-film .ak-window, ak-film img')]
                       .map(each => each.getBoundingClientRect().height)"""
        )
        assert abs(image / (frame(page)[1] + 1) - window) < 0.5
        assert (
            page.locator("ak-film img").evaluate(
                "image => getComputedStyle(image).padding"
            )
            == "0px"
        )
