"""The explorers: their static forms, their data, and what they refuse."""

import base64
import io
import json

import matplotlib.pyplot as plt
import numpy as np
import pytest
from bs4 import BeautifulSoup
from PIL import Image
from pypdf import PdfReader

from advanced_keras import explorers
from advanced_keras.dense_threading import threading_steps
from advanced_keras.display import use_style
from advanced_keras.explorers import latent_plane, threading_explorer

plt.switch_backend("agg")


@pytest.fixture(autouse=True)
def style_of_the_book():
    with plt.rc_context():
        use_style()
        yield


def parts(explorer, name):
    """The bundle, the element and its data."""
    bundle = explorer._repr_mimebundle_()
    element = BeautifulSoup(bundle["text/html"], "html.parser").find(f"ak-{name}")
    return bundle, element, json.loads(element.find("script").string)


def words_of(bundle):
    pdf = PdfReader(io.BytesIO(base64.b64decode(bundle["application/pdf"])))
    assert len(pdf.pages) == 1
    return pdf.pages[0].extract_text()


# -- threading


PANEL = (("dates", "tickers"), threading_steps((32, 100), 16, 10))
ROWS = ((), threading_steps((), 4, 2, use_bias=False))


def test_the_script_gets_what_the_package_computed():
    explorer = threading_explorer(
        {"panel": PANEL, "one row": ROWS}, limits={"dates": 64, "units": 12}
    )
    _, _, data = parts(explorer, "threading")
    panel, row = data["cases"]
    for key in ("leading", "features", "units", "use_bias", "rows", "steps"):
        assert panel[key] == PANEL[1].to_dict()[key]
    assert panel["title"] == "panel" and panel["names"] == ["dates", "tickers"]
    assert panel["limits"] == [64, explorers.GREATEST, explorers.GREATEST, 12]
    assert row["leading"] == [] and row["limits"] == [explorers.GREATEST, 12]
    assert data["drawing"] == explorers.DRAWING


def test_the_static_form_says_shapes_and_counts():
    bundle, element, _ = parts(threading_explorer({"panel": PANEL}), "threading")
    for said in (
        *("(32, 100, 16)", "(3200, 16)", "(16, 10)", "(3200, 10)", "(32, 100, 10)"),
        "3,200 rows, 170 parameters, 512,000 multiplications",
    ):
        assert said in bundle["text/plain"]
        assert said in element.svg["aria-label"]
        assert said in words_of(bundle)
    assert element.find("script", recursive=False) is not None
    assert "currentColor" in str(element.svg)


@pytest.mark.parametrize(
    "leading,features,units",
    [((), 1, 1), ((1,), 256, 1), ((2, 3), 4, 2), ((256, 256, 256), 1, 256)],
)
def test_any_size_can_be_drawn(leading, features, units):
    names = [f"axis {k}" for k in range(len(leading))]
    steps = threading_steps(leading, features, units)
    explorer = threading_explorer({"case": (names, steps)})
    assert f"{steps.rows:,} rows" in words_of(explorer._repr_mimebundle_())


def block(rows, columns, side):
    _, axes = plt.subplots()
    explorers._block(axes, 0, 0, rows, columns, side)
    spans = [np.ptp(patch.get_xy(), axis=0) for patch in axes.patches]
    plt.close(axes.figure)
    return spans


def test_blocks_are_to_scale_until_they_are_cut():
    ((w, h),) = block(6, 4, 8.0)
    assert (w, h) == (32.0, 48.0)
    ((w, h),) = block(1, 256, 72 / 256)
    assert (w, h) == (72.0, explorers.DRAWING["thinnest"])
    halves = block(1000, 4, 8.0)
    assert len(halves) == 2  # with a break between
    assert all(w == 32 and h <= explorers.DRAWING["tallest"] / 2 for w, h in halves)


@pytest.mark.parametrize(
    "shown,drawn",
    [((5,), 1), ((1, 5), 1), ((3, 5), 3), ((9, 5), 4), ((2, 3, 5), 6), ((9, 9, 5), 12)],
)
def test_a_pile_has_a_card_for_each_sheet_up_to_a_few(shown, drawn):
    _, axes = plt.subplots()
    explorers._pile(axes, 0, 0, shown, 4, 2.0)
    cards, more = len(axes.patches), [text.get_text() for text in axes.texts]
    plt.close(axes.figure)
    assert cards == drawn
    assert more == (["⋮"] if len(shown) == 3 and shown[0] > 3 else [])


@pytest.mark.parametrize("cases", [[PANEL], "panel", None])
def test_cases_must_be_a_mapping(cases):
    with pytest.raises(TypeError, match=r"cases must map titles .* got "):
        threading_explorer(cases)


@pytest.mark.parametrize("case", [None, (("a",), (32,)), ("a",), (("a",), {"rows": 1})])
def test_a_case_must_come_from_threading_steps(case):
    with pytest.raises(TypeError, match=r"cases\['c'\] must be \(names, steps\)"):
        threading_explorer({"c": case})


@pytest.mark.parametrize("names", ["ab", (), ("a", "b", "c")])
def test_each_axis_needs_a_name(names):
    with pytest.raises(ValueError, match=r"name each of its 2 leading axes, got "):
        threading_explorer({"c": (names, threading_steps((2, 3), 4, 2))})


def test_more_than_three_axes_are_refused():
    with pytest.raises(ValueError, match="at most 3 leading axes, got 4"):
        threading_explorer({"c": ("a b c d".split(), threading_steps([2] * 4, 4, 2))})


def test_no_case_is_refused():
    with pytest.raises(ValueError, match="at least one case, got none"):
        threading_explorer({})


def test_a_size_above_its_limit_is_named():
    with pytest.raises(ValueError, match=r"must have dates of at most 31, .* got 32"):
        threading_explorer({"c": PANEL}, limits={"dates": 31})
    with pytest.raises(ValueError, match="must have features of at most 256"):
        threading_explorer({"c": ((), threading_steps((), 257, 1))})


@pytest.mark.parametrize("most", [0, 1.5, True, "9"])
def test_a_limit_must_be_an_integer(most):
    with pytest.raises(ValueError, match=r"limits\['dates'\] must be an integer"):
        threading_explorer({"c": PANEL}, limits={"dates": most})


def test_limits_must_be_a_mapping():
    with pytest.raises(TypeError, match=r"limits must map names .* got list"):
        threading_explorer({"c": PANEL}, limits=[64])


# -- the latent plane

Z1, Z2 = np.array([-2.0, 0.0, 1.0]), np.array([1.5, -1.5])
ALT = "Two rows of three images of noise."


def images(rows=2, columns=3, h=5, w=4, seed=0):
    return np.random.default_rng(seed).uniform(size=(rows, columns, h, w))


def sprite(element):
    head, data = element.img["src"].split(",")
    assert head == "data:image/png;base64"
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(data)))) / 255


@pytest.mark.parametrize("last", [(), (1,)])
def test_every_image_has_its_place_in_the_sprite(last):
    decoded = images()
    plane = latent_plane(decoded.reshape(*decoded.shape, *last), Z1, Z2, ALT)
    _, element, data = parts(plane, "latent")
    picture = sprite(element)
    assert picture.shape == (10, 12)
    for i, j in np.ndindex(2, 3):
        tile = picture[5 * i : 5 * i + 5, 4 * j : 4 * j + 4]
        rounding = 0.5 / (explorers.LEVELS - 1) + 0.5 / 255
        assert np.abs(tile - decoded[i, j]).max() <= rounding + 1e-9
    assert data["tile"] == [4, 5]
    assert data["z1"] == Z1.tolist() and data["z2"] == Z2.tolist()
    assert data["points"] == [] and data["labels"] == []
    assert element.img["alt"] == ALT


def test_a_plane_of_digits_weighs_little():
    """21 by 21 blurs of 28 by 28, as a decoder gives them, with 400 codes."""
    y, x = np.mgrid[-1:1:28j, -1:1:28j]
    shift = np.linspace(-0.4, 0.4, 21)
    centre = shift[:, None, None, None], shift[None, :, None, None]
    ring = np.hypot(y - centre[0], x - centre[1]) - 0.4
    decoded = np.exp(-((ring / 0.15) ** 2))
    ticks = np.linspace(-3, 3, 21)
    codes = np.random.default_rng(0).normal(size=(400, 2))
    plane = latent_plane(decoded, ticks, ticks[::-1], ALT, codes, [7] * 400)
    bundle, element, _ = parts(plane, "latent")
    assert len(str(element)) < 250_000
    assert len(base64.b64decode(bundle["application/pdf"])) < 250_000


def test_points_keep_their_class_and_have_colours():
    points = [(-2.0, 1.5), (1.0, -1.5), (0.0, 0.0)]
    plane = latent_plane(images(), Z1, Z2, ALT, points, [3, 1, 3])
    bundle, _, data = parts(plane, "latent")
    assert data["points"] == [list(p) for p in points]
    assert data["labels"] == ["3", "1", "3"]
    assert set(data["colours"]) == {"1", "3"}
    assert len(set(data["colours"].values())) == 2
    assert bundle["text/plain"] == ALT
    assert words_of(bundle).count("z") == 4  # two axes with two panels


def test_colours_are_legible_on_black():
    def light(colour):
        parts = [int(colour[k : k + 2], 16) / 255 for k in (1, 3, 5)]
        lin = [
            c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts
        ]
        return np.dot(lin, (0.2126, 0.7152, 0.0722))

    for colour in explorers.COLOURS:
        assert (light(colour) + 0.05) / 0.05 > 7, colour
    assert len(set(explorers.COLOURS)) == 10


def test_places_follow_ticks_that_are_not_equally_far_apart():
    points = [(-2, 1.5), (-1, 0), (0.5, -1.5), (-3, 3), (-3.01, 0), (0, -3.1)]
    plane = latent_plane(images(), Z1, Z2, ALT, points, "abcdef")
    expected = [(0, 0), (0.5, 0.5), (1.5, 1), (-0.5, -0.5)]
    places = plane._places()
    assert np.allclose(places[:4], expected)
    assert np.isnan(places[4, 0]) and np.isnan(places[5, 1])  # off the plane


def test_without_points_paper_shows_one_panel():
    bundle, _, _ = parts(latent_plane(images(), Z1, Z2, ALT), "latent")
    assert words_of(bundle).count("z") == 2


@pytest.mark.parametrize(
    "shape", [(2, 3, 5), (1, 3, 5, 4), (2, 3, 5, 4, 3), (2, 3, 0, 4)]
)
def test_images_must_be_a_grid_of_grey_images(shape):
    with pytest.raises(ValueError, match=r"images must have shape .* got \("):
        latent_plane(np.zeros(shape), Z1, Z2, ALT)


@pytest.mark.parametrize("value", [-0.1, 1.1, np.nan])
def test_grey_is_from_0_to_1(value):
    decoded = images()
    decoded[0, 0, 0, 0] = value
    with pytest.raises(ValueError, match=r"images must be from 0 .* got "):
        latent_plane(decoded, Z1, Z2, ALT)


@pytest.mark.parametrize(
    "z1,z2,said",
    [
        (Z1[:2], Z2, r"z1 must have one number for each of the 3 columns .* \(2,\)"),
        (Z1, Z1, r"z2 must have one number for each of the 2 rows"),
        (Z1[::-1], Z2, "z1 must increase"),
        (Z1, Z2[::-1], "z2 must decrease"),
        ([0, 0, 1], Z2, "z1 must increase"),
        ([0, np.nan, 1], Z2, "z1 must increase"),
    ],
)
def test_axes_fit_and_run_the_right_way(z1, z2, said):
    with pytest.raises(ValueError, match=said):
        latent_plane(images(), z1, z2, ALT)


@pytest.mark.parametrize(
    "points,labels,said",
    [
        ([(0, 0)], None, "labels must be given together with points"),
        (None, "a", "points must be given together with labels"),
        ([(0, 0, 0)], "a", r"points must be finite and have shape .* \(1, 3\)"),
        ([(0, np.inf)], "a", "points must be finite"),
        ([(0, 0)], "ab", "labels must be one or two letters for each of the 1 points"),
        ([(0, 0)], ["seven"], "labels must be one or two letters"),
        (np.zeros((401, 2)), ["a"] * 401, "points must be at most 400.* got 401"),
    ],
)
def test_points_and_labels_fit(points, labels, said):
    with pytest.raises(ValueError, match=said):
        latent_plane(images(), Z1, Z2, ALT, points, labels)


@pytest.mark.parametrize("alt", ["", "  ", None])
def test_the_plane_is_described(alt):
    with pytest.raises(ValueError, match="alt must say"):
        latent_plane(images(), Z1, Z2, alt)
