"""The explorers on their pages and in a notebook: by mouse, finger and keyboard.

What the threading explorer says is compared with the package and with a Keras layer;
what the latent plane enlarges, with the image that lies under the pointer.
"""

import base64
import io
import math
import re

import keras
import numpy as np
import pytest
from PIL import Image

from advanced_keras.dense_threading import leading_index, threading_steps
from advanced_keras.explorers import LEVELS, latent_plane, threading_explorer

from .conftest import HTML

THREADING = HTML / "book" / "dense_threading.html"
PLANE = HTML / "book" / "vae.html"


@pytest.fixture
def visit(browser):
    """Opens pages, and closes them after they ran without an error."""
    contexts, problems = [], []

    def open_page(path, **options):
        size = {"width": 1280, "height": 900}
        context = browser.new_context(**{"viewport": size, **options})
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.goto(path.as_uri())
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert problems == []


def in_a_notebook(tmp_path, *explorers):
    """A page of outputs, each with its script and style, as nbconvert writes them."""
    outputs = "".join(each._repr_mimebundle_()["text/html"] for each in explorers)
    page = (
        '<!doctype html><html lang="en"><meta charset="utf-8"><title>notebook</title>'
    )
    path = tmp_path / "notebook.html"
    path.write_text(f"{page}<body>{outputs}</body></html>", encoding="utf-8")
    return path


def announced(page, explorer, words):
    """Wait until the region for screen readers says these words."""
    said = explorer.locator("[aria-live=polite]")
    said.filter(has_text=words).wait_for(state="attached", timeout=5000)
    return said.inner_text()


# -- threading


def numbers(text):
    return tuple(int(n) for n in re.findall(r"\d+", text.replace(",", " ")))


def shown(explorer):
    """The five shapes of the picture and the three counts below it."""
    shapes = explorer.locator(".ak-threading-stage code").all_inner_texts()
    counts = {
        each.get_attribute("data-count"): int(
            each.inner_text().split("=")[-1].replace(",", "")
        )
        for each in explorer.locator("dd").all()
    }
    return [numbers(shape) for shape in shapes], counts


def expected(leading, n, u):
    steps = threading_steps(leading, n, u)
    x, flat, product, y = [s[1] for s in steps.steps] + [steps.steps[-1][2]]
    counts = {
        "rows": steps.rows,
        "parameters": steps.parameters,
        "multiplications": steps.multiplications,
    }
    return [x, flat, steps.kernel_shape, product, y], counts


def set_sizes(explorer, leading, n, u):
    """Choose the number of axes, then type the sizes."""
    explorer.get_by_role("radio", name=str(len(leading)), exact=True).check()
    fields = explorer.locator("input[type=number]")
    for place, size in enumerate([*leading, n, u]):
        fields.nth(place).fill(str(size))


@pytest.mark.parametrize(
    "leading,n,u",
    [
        ((1,), 1, 1),
        ((7,), 5, 3),
        ((2, 3), 4, 2),
        ((64, 200), 16, 8),
        ((5, 28, 28), 3, 10),
        ((256, 64, 200), 256, 256),
        ((), 16, 4),
    ],
)
def test_the_formulas_are_those_of_the_package_and_of_keras(leading, n, u, visit):
    page = visit(THREADING)
    explorer = page.locator("ak-threading")
    set_sizes(explorer, leading, n, u)
    assert shown(explorer) == expected(leading, n, u)
    dense = keras.layers.Dense(u)
    dense.build((*(leading or (1,)), n))
    assert shown(explorer)[1]["parameters"] == dense.count_params()
    if leading:
        assert dense.compute_output_shape((*leading, n)) == shown(explorer)[0][-1]
    if leading and math.prod(leading) < 10_000:
        y = dense(np.zeros((*leading, n), "float32"))
        assert tuple(y.shape) == shown(explorer)[0][-1]


def test_keras_wants_the_leading_axis_that_the_explorer_asks_for(visit):
    page = visit(THREADING)
    explorer = page.locator("ak-threading")
    set_sizes(explorer, (), 16, 4)
    assert "batch of one, (1, 16)" in explorer.inner_text()
    with pytest.raises(ValueError, match="min_ndim=2"):
        keras.layers.Dense(4)(np.zeros(16, "float32"))
    assert keras.layers.Dense(4)(np.zeros((1, 16), "float32")).shape == (1, 4)


def test_every_example_of_the_page(visit):
    page = visit(THREADING)
    explorer = page.locator("ak-threading")
    options = explorer.locator("select option:not([hidden])").all_inner_texts()
    assert len(options) == 4
    for option in options:
        explorer.locator("select").select_option(option)
        (x, *_, y), _ = found = shown(explorer)
        assert found == expected(x[:-1], x[-1], y[-1])
        fields = explorer.locator("input[type=number]").all()
        sizes = [int(field.input_value()) for field in fields]
        assert sizes == [*x, y[-1]]
    axes = {len(re.findall("[A-Za-z]", re.search(r"\((.*)\)", o)[1])) for o in options}
    assert axes == {2, 3, 4}


def test_parameters_stay_while_the_rows_grow_by_keyboard(visit):
    page = visit(THREADING)
    explorer = page.locator("ak-threading")
    before = shown(explorer)[1]
    sizes = explorer.locator(".ak-threading-size input[type=range]")
    sizes.first.focus()
    for key in ("ArrowRight", "ArrowRight", "ArrowLeft", "End"):
        page.keyboard.press(key)
    most = int(sizes.first.get_attribute("max"))
    shapes, after = shown(explorer)
    assert shapes[0][0] == most
    assert after["parameters"] == before["parameters"]
    assert after["rows"] > before["rows"]
    assert after["multiplications"] / after["rows"] == shapes[2][0] * shapes[2][1]
    said = announced(page, explorer, f"{after['multiplications']:,} multiplications")
    assert f"{after['parameters']:,} parameters" in said
    assert explorer.locator("select").input_value() == "your own sizes"


def test_axes_are_chosen_by_keyboard_too(visit):
    page = visit(THREADING)
    explorer = page.locator("ak-threading")
    explorer.get_by_role("radio", name="2", exact=True).focus()
    page.keyboard.press("ArrowRight")
    assert len(shown(explorer)[0][0]) == 4
    page.keyboard.press("Tab")
    focused = page.evaluate("document.activeElement.getAttribute('aria-label')")
    assert focused.startswith("new axis")
    explorer.get_by_role("radio", name="3", exact=True).focus()
    for _ in range(3):
        page.keyboard.press("ArrowLeft")
    (x, *_), _ = shown(explorer)
    assert len(x) == 1


@pytest.mark.parametrize("wrong", ["0", "-3", "2.5", "100000", ""])
def test_what_cannot_be_a_size_is_refused(wrong, visit):
    page = visit(THREADING)
    explorer = page.locator("ak-threading")
    before = shown(explorer)
    field = explorer.locator("input[type=number]").first
    good = field.input_value()
    field.fill(wrong)
    assert field.get_attribute("aria-invalid") == "true"
    assert shown(explorer) == before
    field.blur()
    assert field.input_value() == good
    assert field.get_attribute("aria-invalid") is None


@pytest.mark.parametrize("leading", [(7,), (5, 6), (3, 4, 5)])
def test_the_followed_row_has_the_index_of_the_package(leading, visit):
    page = visit(THREADING)
    explorer = page.locator("ak-threading")
    set_sizes(explorer, leading, 4, 2)
    slider = explorer.get_by_label("Row to follow")
    rows = math.prod(leading)
    assert slider.get_attribute("max") == str(rows - 1)
    for m in (0, rows // 2, rows - 1):
        slider.fill(str(m))
        number, *index = numbers(explorer.locator(".ak-threading-place").inner_text())
        assert number == m
        assert tuple(index) == leading_index(m, leading)
    slider.focus()
    page.keyboard.press("Home")
    assert "row 0 of X" in slider.get_attribute("aria-valuetext")


def test_blocks_are_to_scale(visit):
    page = visit(THREADING)
    explorer = page.locator("ak-threading")
    set_sizes(explorer, (2, 3), 8, 4)
    x, flat, kernel, product, _ = (
        {side: float(svg.get_attribute(side)) - 2 for side in ("width", "height")}
        for svg in explorer.locator(".ak-threading-stage svg").all()
    )
    assert flat["width"] == kernel["height"] == 2 * product["width"]
    assert flat["height"] / flat["width"] == 6 / 8
    assert x["width"] > flat["width"]  # a second sheet behind the first one
    assert "To scale." in explorer.inner_text()
    set_sizes(explorer, (20, 30), 8, 4)
    assert "breaks" in explorer.inner_text()
    flat = explorer.locator(".ak-threading-stage svg").nth(1)
    assert flat.locator("polygon").count() == 2


@pytest.mark.parametrize("width", [1280, 700, 360])
def test_the_largest_sizes_fit_the_column(width, visit):
    page = visit(THREADING, viewport={"width": width, "height": 900})
    explorer = page.locator("ak-threading")
    set_sizes(explorer, (256, 64, 200), 256, 256)
    assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
    flow = explorer.locator(".ak-threading-flow")
    assert flow.evaluate("f => f.scrollWidth - f.clientWidth") <= 0
    for code in flow.locator("code").all():
        assert code.evaluate("c => c.scrollWidth - c.clientWidth") <= 0


def test_two_explorers_in_a_notebook_do_not_disturb_each_other(visit, tmp_path):
    case = {"c": (("a", "b"), threading_steps((2, 3), 4, 2))}
    explorer = threading_explorer(case)
    page = visit(in_a_notebook(tmp_path, explorer, explorer))
    first, second = page.locator("ak-threading").all()
    before = shown(second)
    assert before == expected((2, 3), 4, 2)
    set_sizes(first, (5,), 6, 7)
    assert shown(first) == expected((5,), 6, 7)
    assert shown(second) == before
    assert second.get_by_role("radio", name="2", exact=True).is_checked()


# -- the latent plane


class Plane:
    """The widget on a page, beside what the sprite says it must show."""

    def __init__(self, page):
        self.page = page
        self.explorer = page.locator("ak-latent").first
        self.pad = self.explorer.locator(".ak-latent-plane")
        self.data = self.explorer.evaluate(
            "e => JSON.parse(e.querySelector('script[type=\"application/json\"]').text)"
        )
        self.columns, self.rows = len(self.data["z1"]), len(self.data["z2"])
        source = self.explorer.locator(".ak-latent-static img").get_attribute("src")
        image = Image.open(io.BytesIO(base64.b64decode(source.split(",")[1])))
        self.sprite = np.asarray(image.convert("L"))
        self.pad.scroll_into_view_if_needed()
        page.wait_for_timeout(200)

    def middle_of(self, column, row):
        box = self.pad.bounding_box()
        return (
            box["x"] + (column + 0.5) * box["width"] / self.columns,
            box["y"] + (row + 0.5) * box["height"] / self.rows,
        )

    def z(self):
        text = self.explorer.locator(".ak-latent-place").inner_text()
        return [float(n) for n in re.findall(r"-?\d+\.\d+", text.replace("−", "-"))]

    def enlarged(self):
        pixels = self.explorer.evaluate(
            "e => { const c = e.querySelector('canvas'); return Array.from(c.getContext"
            "('2d').getImageData(0, 0, c.width, c.height).data) }"
        )
        width, height = self.data["tile"]
        return np.reshape(pixels, (height, width, 4))[..., 0]

    def check(self, column, row):
        """The place, its numbers, and the image there."""
        expected = self.data["z1"][column], self.data["z2"][row]
        assert np.allclose(self.z(), expected, atol=0.0051)
        width, height = self.data["tile"]
        tile = self.sprite[
            row * height : (row + 1) * height, column * width : (column + 1) * width
        ]
        assert np.array_equal(self.enlarged(), tile)
        here = self.explorer.locator(".ak-latent-here")
        units = [float(here.get_attribute(a)) for a in ("x", "y")]
        assert np.allclose(np.divide(units[0], 1000 / self.columns), column)
        box = self.explorer.locator(".ak-latent-plane svg").get_attribute("viewBox")
        assert np.allclose(units[1], row * float(box.split()[3]) / self.rows)


def test_the_page_has_a_light_plane_of_digits(visit):
    plane = Plane(visit(PLANE))
    assert (plane.columns, plane.rows) == (21, 21)
    assert plane.data["tile"] == [28, 28]
    assert plane.sprite.shape == (588, 588)
    assert len(np.unique(plane.sprite)) <= LEVELS
    weight = plane.explorer.evaluate("e => e.querySelector('img').src.length")
    assert weight < 250_000
    assert plane.sprite.std() > 30  # digits, not one grey


def test_the_pointer_chooses_the_image(visit):
    plane = Plane(visit(PLANE))
    plane.check(10, 10)
    for column, row in [(0, 0), (20, 20), (3, 17), (12, 5)]:
        plane.page.mouse.move(*plane.middle_of(column, row))
        plane.check(column, row)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 360])
def test_images_fill_the_plane(scheme, width, visit):
    """No frame of the theme between the pointer and the images."""
    size = {"width": width, "height": 800}
    plane = Plane(visit(PLANE, color_scheme=scheme, viewport=size))
    image = plane.explorer.locator(".ak-latent-plane img")
    assert image.bounding_box() == plane.pad.bounding_box()
    assert image.evaluate("i => getComputedStyle(i).padding") == "0px"
    box = plane.pad.bounding_box()
    assert abs(box["width"] - box["height"]) < 1
    assert box["width"] > 280


def test_a_finger_chooses_the_image(visit):
    phone = {"width": 360, "height": 740}
    page = visit(PLANE, viewport=phone, has_touch=True, is_mobile=True)
    plane = Plane(page)
    for column, row in [(4, 4), (15, 9)]:
        page.touchscreen.tap(*plane.middle_of(column, row))
        plane.check(column, row)
    assert page.evaluate("document.documentElement.scrollWidth") <= 360


def test_a_drag_off_the_edge_stays_at_the_edge(visit):
    plane = Plane(visit(PLANE))
    plane.page.mouse.move(*plane.middle_of(5, 5))
    plane.page.mouse.down()
    x, y = plane.middle_of(0, 8)
    plane.page.mouse.move(x - 60, y)
    plane.page.mouse.up()
    plane.check(0, 8)


def test_arrow_keys_move_and_the_page_does_not(visit):
    plane = Plane(visit(PLANE))
    plane.pad.focus()
    before = plane.page.evaluate("scrollY")
    press = plane.page.keyboard.press
    press("ArrowRight"), press("ArrowUp"), press("ArrowUp")
    plane.check(11, 8)
    press("Shift+ArrowLeft"), press("ArrowDown")
    plane.check(6, 9)
    for _ in range(5):
        press("Shift+ArrowUp")
    plane.check(6, 0)
    press("Home")
    plane.check(10, 10)
    assert plane.page.evaluate("scrollY") == before
    outline = "getComputedStyle(document.activeElement).outlineStyle"
    assert plane.page.evaluate(outline) == "solid"
    press("Tab")  # nothing holds the focus
    label = plane.page.evaluate("document.activeElement.getAttribute('aria-label')")
    assert label == "z₁"


def test_sliders_move_as_the_keys_do(visit):
    plane = Plane(visit(PLANE))
    across, up = (plane.explorer.get_by_label(f"z{k}", exact=True) for k in "₁₂")
    across.focus()
    plane.page.keyboard.press("ArrowLeft")
    up.focus()
    plane.page.keyboard.press("ArrowUp")  # more is up
    plane.check(9, 9)
    z = plane.data["z2"][9]
    assert float(up.get_attribute("aria-valuetext").replace("−", "-")) == round(z, 2)


def test_a_place_is_announced_with_the_nearest_code(visit):
    plane = Plane(visit(PLANE))
    plane.page.mouse.move(*plane.middle_of(14, 3))
    here = np.array([plane.data["z1"][14], plane.data["z2"][3]])
    apart = np.linalg.norm(np.array(plane.data["points"]) - here, axis=1)
    nearest = plane.data["labels"][int(apart.argmin())]
    said = announced(plane.page, plane.explorer, "nearest")
    assert f"of class {nearest}, {apart.min():.2f} away" in said
    assert "z = (" in said


def test_codes_stand_where_they_belong_as_their_class(visit):
    plane = Plane(visit(PLANE))
    z1, z2 = np.array(plane.data["z1"]), np.array(plane.data["z2"])
    step = z1[1] - z1[0]
    points = np.array(plane.data["points"])
    assert 100 <= len(points) < 400
    on = (np.abs(points) <= z1[-1] + step / 2).all(axis=1)
    letters = plane.explorer.locator("svg text")
    assert letters.count() == on.sum()
    found = letters.evaluate_all(
        "l => l.map(t => [t.textContent, +t.getAttribute('x'), +t.getAttribute('y'),"
        " t.getAttribute('fill')])"
    )
    wanted = [
        label for label, there in zip(plane.data["labels"], on, strict=True) if there
    ]
    assert [text for text, *_ in found] == wanted
    places = np.array([each[1:3] for each in found])
    share = (points[on] - [z1[0], z2[0]]) / step * [1, -1] + 0.5
    assert np.allclose(places, share * 1000 / 21, atol=0.5)
    assert all(fill == plane.data["colours"][text] for text, *_, fill in found)
    if not on.all():
        off = plane.explorer.locator(".ak-latent-off").inner_text()
        assert off.startswith(f"{(~on).sum()} of them ")


def test_images_and_codes_can_be_hidden(visit):
    plane = Plane(visit(PLANE))
    images, codes = plane.explorer.get_by_role("checkbox").all()
    letter = plane.explorer.locator("svg text").first
    picture = plane.explorer.locator(".ak-latent-plane img")
    dim = float(picture.evaluate("i => getComputedStyle(i).opacity"))
    codes.uncheck()
    assert not letter.is_visible()
    assert float(picture.evaluate("i => getComputedStyle(i).opacity")) == 1 > dim
    codes.focus()
    plane.page.keyboard.press("Space")
    assert letter.is_visible()
    size = plane.pad.bounding_box()
    images.uncheck()
    assert not picture.is_visible()
    assert plane.pad.bounding_box() == size
    plane.page.mouse.move(*plane.middle_of(2, 2))
    plane.check(2, 2)


def test_two_planes_in_a_notebook_also_without_codes(visit, tmp_path):
    noise = np.random.default_rng(0).uniform(size=(4, 3, 6, 5))
    z1, z2 = [-1.0, 0.0, 2.0], [3.0, 1.0, 0.0, -1.0]
    plane = latent_plane(noise, z1, z2, "Four rows of three images of noise.")
    coded = latent_plane(noise, z1, z2, plane.alt, [(1.0, 2.0), (0.0, 9.0)], "ab")
    page = visit(in_a_notebook(tmp_path, plane, coded))
    first = Plane(page)
    page.mouse.move(*first.middle_of(2, 3))
    first.check(2, 3)
    other = page.locator("ak-latent").nth(1)
    assert "z = (0.00, 0.00)" in other.inner_text()
    assert "nearest" not in first.explorer.inner_text()
    letters = other.locator("svg text")
    assert letters.all_text_contents() == ["a"]
    x, y = (float(letters.get_attribute(a)) for a in "xy")
    assert np.isclose(x, 2000 / 3)  # half way from the second column to the third
    assert np.isclose(y, 1000 * 24 / 15 * 1 / 4)  # and from the first row to the second
    assert "1 of them is off the plane" in other.inner_text()


# -- both


def test_an_output_that_comes_later_starts_and_starts_once(visit, tmp_path):
    """As in JupyterLab: put in by a script, run again, moved."""
    steps = threading_steps((2, 3), 4, 2)
    noise = np.random.default_rng(0).uniform(size=(2, 2, 4, 4))
    explorers = (
        threading_explorer({"c": (("a", "b"), steps)}),
        latent_plane(noise, [0, 1], [1, 0], "Two rows of two images of noise."),
    )
    page = visit(in_a_notebook(tmp_path, *explorers))
    for explorer in explorers:
        output = explorer._repr_mimebundle_()["text/html"]
        page.evaluate("o => document.body.insertAdjacentHTML('beforeend', o)", output)
    page.evaluate(
        "document.querySelectorAll('ak-threading, ak-latent').forEach("
        "(e) => document.body.prepend(e))"
    )
    for name in ("threading", "latent"):
        assert page.locator(f"ak-{name}").count() == 2
        for each in page.locator(f"ak-{name}").all():
            assert each.locator(f".ak-{name}-live").count() == 1
    set_sizes(page.locator("ak-threading").first, (5,), 6, 7)
    assert shown(page.locator("ak-threading").first) == expected((5,), 6, 7)


@pytest.mark.parametrize(
    "path,name",
    [(THREADING, "threading"), (PLANE, "latent")],
    ids=lambda p: str(p)[-9:],
)
def test_without_scripts_and_on_paper_the_static_form_stands(path, name, visit):
    plain = visit(path, java_script_enabled=False)
    static = plain.locator(
        f"ak-{name} .ak-picture svg, ak-{name} .ak-latent-static img"
    )
    assert static.is_visible()
    page = visit(path)
    static = page.locator(f"ak-{name} > :first-child")
    live = page.locator(f"ak-{name} > .ak-{name}-live")
    assert live.is_visible() and not static.is_visible()
    page.emulate_media(media="print")
    assert static.is_visible() and not live.is_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("path,name", [(THREADING, "threading"), (PLANE, "latent")])
def test_words_have_contrast(path, name, scheme, visit):
    page = visit(path, color_scheme=scheme)
    faint = page.locator(f"ak-{name}").evaluate(
        """element => {
          const light = (color) => {
            const parts = color.match(/[\\d.]+/g).slice(0, 3).map((c) => c / 255);
            const lin = parts.map((c) =>
              c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
            return 0.2126 * lin[0] + 0.7152 * lin[1] + 0.0722 * lin[2];
          };
          const ground = (node) => {
            const color = getComputedStyle(node).backgroundColor;
            const clear = color.endsWith(', 0)') || color === 'transparent';
            return clear && node.parentElement ? ground(node.parentElement) : color;
          };
          const found = [];
          for (const node of element.querySelectorAll(
            'span, code, dt, dd, label, p, legend, select, input[type=number]')) {
            const a = light(getComputedStyle(node).color), b = light(ground(node));
            const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
            if (ratio < 4.5) found.push(`${node.tagName} ${ratio.toFixed(1)}`);
          }
          return found;
        }"""
    )
    assert faint == []
