"""Digits drawn here: what is known of them is what is in the image.

The jitters are measured by moments of the ink: its centre, and its covariance C in
columns to the right and rows upwards. A linear map M of the glyph makes it M C M'.
Drawing on a grid of thirds of a pixel leaves an error of a few percent.
"""

import re

import keras
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare, kstest

from advanced_keras.data.digits import (
    FONTS,
    JITTER,
    MAX_DRAWN,
    Digits,
    draw_digit,
    draw_digits,
    load_digits,
)

# A busy machine may be slow; that is no reason to fail.
BUSY = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow]}
SOME = settings(max_examples=40, **BUSY)
labels_and_fonts = st.integers(0, 9), st.integers(0, len(FONTS) - 1)


@pytest.fixture(scope="module")
def digits():
    return draw_digits(2500, seed=3)


def centre(image):
    """Columns to the right and rows upwards of the middle, weighted by ink."""
    row, column = np.mgrid[:28, :28] - 13.5
    return np.array([np.sum(image * column), np.sum(image * -row)]) / image.sum()


def covariance(image):
    """``(2, 2)``, of columns to the right and rows upwards."""
    row, column = np.mgrid[:28, :28] - 13.5
    gap = np.stack([column, -row]) - centre(image)[:, None, None]
    return np.einsum("iyx,jyx,yx->ij", gap, gap, image) / image.sum()


def mapped(M, image):
    return M @ covariance(image) @ M.T


def alike(one, other, image):
    """Equal within 4% of the extent, and what one pixel's width adds."""
    np.testing.assert_allclose(one, other, atol=0.04 * np.trace(covariance(image)))


def turn(degrees):
    c, s = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
    return np.array([[c, -s], [s, c]])


# ---- What varies --------------------------------------------------------------------


@SOME
@given(*labels_and_fonts, st.floats(-2, 2), st.floats(-2, 2))
def test_right_and_down_move_the_centre(label, font, right, down):
    plain, moved = (
        draw_digit(label, font),
        draw_digit(label, font, 0, 0, 20, right, down),
    )
    step = centre(moved) - centre(plain)
    np.testing.assert_allclose(step, [right, -down], atol=0.1)


@SOME
@given(*labels_and_fonts, st.floats(-15, 15))
def test_rotation_is_counter_clockwise_in_degrees(label, font, rotation):
    plain, turned = draw_digit(label, font), draw_digit(label, font, rotation)
    alike(covariance(turned), mapped(turn(rotation), plain), plain)


@SOME
@given(*labels_and_fonts, st.floats(-0.25, 0.25))
def test_slant_moves_the_upper_rows_to_the_right(label, font, slant):
    plain, slanted = draw_digit(label, font), draw_digit(label, font, 0, slant)
    lean = np.array([[1, slant], [0, 1]])
    alike(covariance(slanted), mapped(lean, plain), plain)


@SOME
@given(*labels_and_fonts, st.floats(-15, 15), st.floats(-0.25, 0.25))
def test_first_the_slant_then_the_rotation(label, font, rotation, slant):
    plain, both = draw_digit(label, font), draw_digit(label, font, rotation, slant)
    M = turn(rotation) @ np.array([[1, slant], [0, 1]])
    alike(covariance(both), mapped(M, plain), plain)


def test_a_large_turn_is_seen_with_its_sign():
    """The tolerance above must not hide a turn the other way."""
    plain, turned = draw_digit(1, 0), draw_digit(1, 0, 15)
    wrong = covariance(turned) - mapped(turn(-15), plain)
    assert np.abs(wrong).max() > 0.1 * np.trace(covariance(plain))
    slanted = draw_digit(1, 0, 0, 0.25)
    assert covariance(slanted)[0, 1] > covariance(plain)[0, 1] + 0.1


@SOME
@given(*labels_and_fonts, st.floats(17, 22))
def test_size_is_the_height_in_pixels(label, font, size):
    image = draw_digit(label, font, size=size)
    rows = np.flatnonzero(image.max(1) > 0.02)
    assert rows[-1] - rows[0] + 1 == pytest.approx(size, abs=2.05)
    plain = draw_digit(label, font)
    alike(covariance(image), mapped(size / 20 * np.eye(2), plain), plain)


@pytest.mark.parametrize("font", range(len(FONTS)))
def test_weight_adds_ink_and_moves_nothing(font):
    for label in range(10):
        images = [draw_digit(label, font, weight=w) for w in np.linspace(0, 1.5, 7)]
        ink = [image.sum() for image in images]
        assert np.all(np.diff(ink) > 0) and ink[-1] > 1.2 * ink[0]
        np.testing.assert_allclose(centre(images[-1]), centre(images[0]), atol=0.75)


def test_weight_is_added_to_the_width_of_a_stroke():
    """The stem of a sans-serif 1, half way up."""
    widths = [draw_digit(1, 0, weight=w)[14].sum() for w in (0, 0.75, 1.5)]
    np.testing.assert_allclose(np.diff(widths), 0.75, atol=0.15)


def test_hardly_any_ink_leaves_the_page(digits):
    """One digit in twenty touches the edge; it loses a little of a corner at most."""
    border = np.ones((28, 28), bool)
    border[1:-1, 1:-1] = False
    touches = digits.images[:, border].max((1, 2)) > 0.05
    assert touches.mean() < 0.08
    for i in np.flatnonzero(touches):
        jitter = {name: values[i] for name, values in digits.jitter.items()}
        inside = draw_digit(
            digits.labels[i], digits.fonts[i], **(jitter | {"right": 0, "down": 0})
        )
        assert digits.images[i].sum() > 0.97 * inside.sum()


def test_ten_digits_and_fourteen_fonts_are_different_images():
    images = [draw_digit(n, f).ravel() for f in range(len(FONTS)) for n in range(10)]
    assert len(np.unique(images, axis=0)) == 10 * len(FONTS)


# ---- A set of them ------------------------------------------------------------------


def test_types_and_ranges(digits):
    assert digits.images.shape == (2500, 28, 28, 1)
    assert digits.images.dtype == np.float32
    assert digits.images.min() == 0 and 0.9 < digits.images.max() <= 1
    assert digits.labels.dtype == digits.fonts.dtype == np.int64
    assert list(digits.jitter) == list(JITTER) and len(digits) == 2500
    for name, (low, high) in JITTER.items():
        values = digits.jitter[name]
        assert values.shape == (2500,)
        assert low <= values.min() and values.max() <= high


def test_all_digits_fonts_and_jitters_are_equally_likely(digits):
    """Each fails by chance once in 10,000 seeds; the seed is fixed."""
    assert chisquare(np.bincount(digits.labels, minlength=10)).pvalue > 1e-4
    assert chisquare(np.bincount(digits.fonts, minlength=len(FONTS))).pvalue > 1e-4
    for name, (low, high) in JITTER.items():
        spread = (digits.jitter[name] - low) / (high - low)
        assert kstest(spread, "uniform").pvalue > 1e-4
    columns = [digits.labels, digits.fonts, *digits.jitter.values()]
    together = np.corrcoef(columns) - np.eye(len(columns))
    assert np.abs(together).max() < 0.1


def test_what_is_known_draws_the_image_again(digits):
    for i in (0, 17, 2499):
        jitter = {name: values[i] for name, values in digits.jitter.items()}
        again = draw_digit(digits.labels[i], digits.fonts[i], **jitter)
        assert np.array_equal(again, digits.images[i, ..., 0])


def test_same_seed_same_digits_and_a_prefix_stays():
    train, test = load_digits(num_train=60, num_test=30, seed=5)
    longer, other = load_digits(num_train=90, num_test=40, seed=5)
    assert np.array_equal(train.images, longer.images[:60])
    assert np.array_equal(test.images, other.images[:30])
    assert np.array_equal(train.jitter["slant"], longer.jitter["slant"][:60])
    elsewhere, _ = load_digits(num_train=60, num_test=30, seed=6)
    assert not np.array_equal(train.labels, elsewhere.labels)


def test_train_and_test_share_no_image():
    train, test = load_digits(num_train=800, num_test=400)
    rows = np.concatenate([train.images, test.images]).reshape(1200, -1)
    assert len(np.unique(rows, axis=0)) == 1200


def test_drawing_leaves_the_global_random_state_alone():
    np.random.seed(1)  # noqa: NPY002
    wanted = np.random.uniform()  # noqa: NPY002
    np.random.seed(1)  # noqa: NPY002
    draw_digits(3, 0)
    assert np.random.uniform() == wanted  # noqa: NPY002


def test_take(digits):
    some = digits.take(digits.labels == 4)
    assert set(some.labels) == {4} and len(some) == len(some.fonts)
    assert len(some.jitter["size"]) == len(some) > 100
    assert np.array_equal(digits.take(slice(5)).images, digits.images[:5])
    bare = Digits(digits.images, digits.labels).take([3, 1])
    assert bare.fonts is None and bare.jitter == {}
    assert np.array_equal(bare.labels, digits.labels[[3, 1]])


# ---- Bad input ----------------------------------------------------------------------

not_counts = st.one_of(
    st.integers(max_value=0), st.integers(MAX_DRAWN + 1), st.booleans(),
    st.floats(), st.text(max_size=3), st.just([]),
)  # fmt: skip


@given(st.sampled_from(["num_train", "num_test"]), not_counts)
@settings(**BUSY)
def test_a_bad_number_is_named(name, value):
    words = f"{name} must be an integer from 1 to {MAX_DRAWN}, got "
    with pytest.raises(ValueError, match=re.escape(words)):
        load_digits(**{name: value})


@given(st.one_of(st.integers(max_value=-1), st.booleans(), st.floats(), st.none()))
@settings(**BUSY)
def test_a_bad_seed_is_named(seed):
    with pytest.raises(ValueError, match="seed must be an integer of at least 0"):
        load_digits(num_train=1, num_test=1, seed=seed)


def test_a_bad_source_is_named():
    with pytest.raises(ValueError, match=r"source must be one of \('drawn',.*'MNIST'"):
        load_digits("MNIST")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"label": 10}, "label must be an integer from 0 to 9, got 10"),
        ({"label": -1}, "label must be an integer from 0 to 9, got -1"),
        ({"label": 1.5}, "label must be an integer from 0 to 9, got 1.5"),
        ({"font": 14}, "font must be an integer from 0 to 13, got 14"),
        ({"font": -1}, "font must be an integer from 0 to 13, got -1"),
        ({"weight": 2.0}, "weight must be from 0.0 to 1.5, got 2.0"),
        ({"weight": -0.1}, "weight must be from 0.0 to 1.5, got -0.1"),
        ({"size": 0.0}, "size must be positive, got 0.0"),
        ({"slant": np.nan}, "slant must be finite, got nan"),
        ({"rotation": np.inf}, "rotation must be finite, got inf"),
    ],
)
def test_one_digit_names_what_is_wrong(arguments, words):
    with pytest.raises(ValueError, match=re.escape(words)):
        draw_digit(**({"label": 3, "font": 0} | arguments))


@pytest.mark.parametrize("count", [0, -1, 2.0, True])
def test_digits_name_a_bad_count(count):
    with pytest.raises(ValueError, match="count must be an integer from 1 to"):
        draw_digits(count, 0)


# ---- MNIST on request ---------------------------------------------------------------


@pytest.mark.parametrize("source", ["mnist", "fashion_mnist"])
def test_a_data_set_comes_through_keras(monkeypatch, source):
    rng = np.random.default_rng(0)

    def load_data():
        return tuple(
            (rng.integers(0, 256, (n, 28, 28), "uint8"), np.arange(n, dtype="uint8"))
            for n in (7, 4)
        )

    monkeypatch.setattr(getattr(keras.datasets, source), "load_data", load_data)
    train, test = load_digits(source, num_train=5)
    assert train.images.shape == (5, 28, 28, 1) and len(test) == 4
    assert train.images.dtype == np.float32 and train.labels.dtype == np.int64
    assert train.images.min() >= 0 and 0.5 < train.images.max() <= 1
    assert list(train.labels) == [0, 1, 2, 3, 4]
    assert train.fonts is None and not train.jitter
    with pytest.raises(ValueError, match=r"num_test must be .* from 1 to 4, got 9"):
        load_digits(source, num_test=9)


def test_a_failed_download_says_what_to_do(monkeypatch):
    def load_data():
        raise Exception("URL fetch failure\non host: no route")

    monkeypatch.setattr(keras.datasets.mnist, "load_data", load_data)
    with pytest.raises(OSError, match=r"could not download mnist \(URL fetch.*'drawn'"):
        load_digits("mnist")
