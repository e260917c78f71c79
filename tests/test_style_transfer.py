"""Style transfer: Gram matrices, losses, gradients, extractors, and the loop.

Oracles: NumPy's einsum, TensorFlow's total variation, the gradient in closed form
(Gatys et al., 2016, equation 6), finite differences, the layers called one by one,
``keras.applications``, invariances.
"""

import functools

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from keras import layers, ops
from PIL import Image

from advanced_keras import style_transfer
from advanced_keras.style_transfer import (
    Pad,
    Painter,
    StyleObjective,
    VGGPreprocessing,
    build_extractor,
    content_loss,
    draw_mosaic,
    draw_strokes,
    draw_weave,
    gram,
    load_image,
    noise_image,
    pick,
    random_features,
    style_loss,
    total_variation,
    vgg19_features,
)
from advanced_keras.style_transfer.extractors import Sides
from solutions import run_solution

BUSY = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow]}
SOME = settings(max_examples=40, **BUSY)
SHAPES = st.tuples(*(st.integers(1, 6) for _ in range(4)))


def normal(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def picture(h=16, w=24, seed=0):
    return np.random.default_rng(seed).uniform(0, 1, (1, h, w, 3)).astype("float32")


@functools.cache
def small_extractor(padding="reflect"):
    return random_features(scales=3, filters=5, kernel_size=3, padding=padding)


def objective(content=True, **options):
    content = picture(seed=1) if content else None
    return StyleObjective(small_extractor(), picture(24, 16), content, **options)


class Count(layers.Layer):
    """Counts the images that go through, also inside of a compiled function."""

    def __init__(self):
        super().__init__()
        self.images = tf.Variable(0)

    def call(self, images):
        self.images.assign_add(tf.shape(images)[0])
        return images


def counted():
    counter, inputs = Count(), keras.Input((None, None, 3))
    return keras.Model(inputs, small_extractor()(counter(inputs))), counter


# ---- Gram matrices and losses -------------------------------------------------------


@SOME
@given(SHAPES, st.integers(0, 99))
def test_gram_is_einsum(shape, seed):
    F = normal(*shape, seed=seed)
    wanted = np.einsum("bhwi,bhwj->bij", F, F) / (shape[1] * shape[2])
    np.testing.assert_allclose(gram(F), wanted, atol=1e-5)


@SOME
@given(SHAPES, st.integers(0, 99))
def test_gram_forgets_places_and_content_does_not(shape, seed):
    b, h, w, c = shape
    F = normal(*shape, seed=seed)
    order = np.random.default_rng(seed).permutation(h * w)
    shuffled = F.reshape(b, h * w, c)[:, order].reshape(shape)
    np.testing.assert_allclose(gram(shuffled), gram(F), atol=1e-5)
    moved = not np.array_equal(F, shuffled)
    assert (float(content_loss(shuffled, F)) > 1e-6) == moved


def test_gram_of_an_orthogonal_mix_is_mixed():
    F = normal(1, 4, 5, 6)
    Q = np.linalg.qr(normal(6, 6, seed=1))[0]
    np.testing.assert_allclose(gram(F @ Q), Q.T @ gram(F)[0] @ Q[None], atol=1e-5)
    assert np.linalg.eigvalsh(np.asarray(gram(F))).min() > -1e-6


def test_losses_have_their_units():
    A = gram(normal(1, 5, 5, 3))
    assert float(style_loss(A, A)) == 0
    assert float(style_loss(0 * A, A)) == pytest.approx(1)
    P = normal(1, 5, 6, 3)
    assert float(content_loss(P, P)) == 0
    mean = np.full_like(P, P.mean())
    assert float(content_loss(mean, P)) == pytest.approx(1, rel=1e-5)
    flat = np.ones((1, 3, 3, 2), "float32")
    assert float(content_loss(flat, flat)) == 0  # a target without variance


@SOME
@given(SHAPES, st.integers(0, 99))
def test_total_variation_is_tensorflows(shape, seed):
    x = normal(*shape, seed=seed)
    wanted = np.asarray(tf.image.total_variation(tf.constant(x))).sum() / x.size
    assert float(total_variation(x)) == pytest.approx(wanted, abs=1e-5)
    by_numpy = np.abs(np.diff(x, axis=1)).sum() + np.abs(np.diff(x, axis=2)).sum()
    assert float(total_variation(x)) == pytest.approx(by_numpy / x.size, abs=1e-5)


# ---- Gradients ----------------------------------------------------------------------


@SOME
@given(SHAPES, st.integers(0, 99))
def test_gradient_of_the_gram_loss_in_closed_form(shape, seed):
    """Gatys et al. (2016), equation 6, in our units: 4 F (G - A) / (M |A|^2)."""
    F, A = normal(*shape, seed=seed), gram(normal(*shape, seed=seed + 1))
    assume(np.sum(np.asarray(A) ** 2) > 1e-5)  # far above what guards against 0 / 0
    F = tf.constant(F)
    with tf.GradientTape() as tape:
        tape.watch(F)
        loss = style_loss(gram(F), A)
    flat = np.reshape(F, (shape[0], -1, shape[3]))
    difference = np.asarray(gram(F) - A)
    wanted = 4 * flat @ difference / flat.shape[1] / np.sum(np.asarray(A) ** 2)
    got = np.reshape(tape.gradient(loss, F), flat.shape)
    np.testing.assert_allclose(got, wanted, atol=1e-5, rtol=1e-3)


def test_gradient_of_the_gram_loss_by_finite_differences():
    F = normal(1, 3, 4, 2).astype("float64")
    A = np.asarray(gram(normal(1, 3, 4, 2, seed=1).astype("float64")))
    x = tf.constant(F)
    with tf.GradientTape() as tape:
        tape.watch(x)
        loss = style_loss(gram(x), A)
    got = np.asarray(tape.gradient(loss, x))
    step = 1e-5
    for place in np.ndindex(F.shape):
        e = np.zeros_like(F)
        e[place] = step
        rise = float(style_loss(gram(F + e), A)) - float(style_loss(gram(F - e), A))
        assert got[place] == pytest.approx(rise / 2 / step, rel=1e-6, abs=1e-9)


@pytest.mark.parametrize("weights", [(0.5, 0.0), (0.0, 0.3), (1.0, 0.1)])
def test_gradient_of_the_objective_by_finite_differences(weights):
    content_weight, variation_weight = weights
    ours = objective(content_weight=content_weight, variation_weight=variation_weight)
    logits = normal(1, 16, 24, 3, seed=3)
    gradient = np.asarray(ours.value_and_gradient(tf.constant(logits))[1], float)
    steepest = gradient * np.sqrt(gradient.size) / np.linalg.norm(gradient)
    others = [normal(*logits.shape, seed=10 + seed) for seed in range(2)]
    for direction in (steepest.astype("float32"), *others):
        step = 2e-3  # the losses are float32: not too small
        up, down = (
            float(
                ours.value_and_gradient(tf.constant(logits + s * direction))[0]["loss"]
            )
            for s in (step, -step)
        )
        slope = np.sum(gradient * direction)
        scale = np.linalg.norm(gradient) * np.linalg.norm(direction)
        assert abs((up - down) / 2 / step - slope) < 2e-3 * scale


# ---- Extractors ---------------------------------------------------------------------


def test_outputs_are_the_layers_called_one_by_one():
    model, images = small_extractor(), picture()
    outputs = model(images)

    def call(name, *x):
        return model.get_layer(name)(*x)

    rest = call("colours", images)
    for i in range(3):
        band = rest
        if i < 2:
            half = call(f"halve_{i}", call(f"edge_{i}", rest))
            coarse = call(f"crop_{i}", call(f"double_{i}", call(f"around_{i}", half)))
            band, rest = rest - coarse, half
        wanted = call(f"random_{i}", call(f"pad_{i}", band))
        np.testing.assert_allclose(outputs[f"style_{i}"], wanted, atol=1e-6)
        assert outputs[f"style_{i}"].shape == (1, 16 >> i, 24 >> i, 5)
        if i:
            content = outputs[f"content_{i}"]
            np.testing.assert_allclose(content, band[..., :1], atol=1e-6)
    assert set(outputs) == {"style_0", "style_1", "style_2", "content_1", "content_2"}


def test_bands_of_a_grey_image_are_empty():
    outputs = small_extractor()(np.full((1, 16, 24, 3), 0.4, "float32"))
    assert np.abs(outputs["style_0"]).max() < 1e-5
    assert np.abs(outputs["content_1"]).max() < 1e-5
    # The last band keeps what is left, the light itself.
    np.testing.assert_allclose(outputs["content_2"], 0.4, atol=1e-5)


def test_wrapped_extractor_moves_with_the_image():
    model, images = small_extractor("wrap"), picture()
    moved = model(np.roll(images, (4, 8), (1, 2)))
    for name, F in model(images).items():
        shift = tuple(s // (16 // F.shape[1]) for s in (4, 8))
        np.testing.assert_allclose(moved[name], np.roll(F, shift, (1, 2)), atol=1e-5)
        if name[:5] == "style":
            np.testing.assert_allclose(gram(moved[name]), gram(F), atol=1e-5)


def test_extractor_is_frozen_seeded_and_survives_saving(tmp_path):
    model, images = small_extractor(), picture()
    assert not model.trainable_weights
    same = random_features(scales=3, filters=5, kernel_size=3)
    other = random_features(scales=3, filters=5, kernel_size=3, seed=9)
    model.save(tmp_path / "extractor.keras")
    loaded = keras.models.load_model(tmp_path / "extractor.keras")
    for name, F in model(images).items():
        assert np.array_equal(F, same(images)[name])
        assert np.array_equal(F, loaded(images)[name])
        if name[:5] == "style":
            assert not np.allclose(F, other(images)[name])


@pytest.mark.parametrize("mode", ["reflect", "wrap"])
@pytest.mark.parametrize("width", [0, 1, 3])
def test_pad_is_numpys(mode, width):
    x = normal(2, 5, 6, 3)
    p = (width, width)
    layer = Pad(width, mode)
    assert np.array_equal(layer(x), np.pad(x, [(0, 0), p, p, (0, 0)], mode=mode))
    assert layer.compute_output_shape(x.shape) == layer(x).shape
    assert layer.compute_output_shape((None, None, 6, 3)) == (
        None,
        None,
        6 + 2 * width,
        3,
    )
    again = Pad.from_config(layer.get_config())
    assert (again.width, again.mode) == (width, mode)
    assert Sides.from_config(Sides(4).get_config()).multiple == 4


def test_pick_shares_the_layers():
    inputs = keras.Input((8, 8, 3))
    a = layers.Conv2D(2, 3, name="a")(inputs)
    b = layers.Conv2D(4, 3, name="b")(a)
    model = keras.Model(inputs, layers.Flatten()(b))
    picked, x = pick(model, ("b", "a")), normal(1, 8, 8, 3)
    outputs = picked(x)
    first = model.get_layer("a")(x)
    assert np.array_equal(outputs["a"], first)
    assert np.array_equal(outputs["b"], model.get_layer("b")(first))
    assert picked.get_layer("a") is model.get_layer("a")


def test_vgg_preprocessing_is_that_of_imagenet():
    x = picture()
    wanted = keras.applications.vgg19.preprocess_input(255 * x)
    np.testing.assert_allclose(VGGPreprocessing()(x), wanted, atol=1e-3)


def test_vgg19_without_weights_through_the_same_function():
    model = build_extractor("vgg19", weights=None, style_layers=("block1_conv1",))
    x = picture(32, 32)
    outputs = model(x)
    assert set(outputs) == {"style_0", "content_0"} and not model.trainable_weights
    assert outputs["style_0"].shape == (1, 32, 32, 64)
    assert outputs["content_0"].shape == (1, 4, 4, 512)
    network = model.get_layer("vgg19_picked")
    first = network.get_layer("block1_conv1")(VGGPreprocessing()(x))
    np.testing.assert_allclose(outputs["style_0"], first, rtol=1e-4, atol=1e-3)
    ours = StyleObjective(model, picture(32, 32, seed=1), x)
    painter = Painter(ours, x, "adam")
    painter.run(3)
    assert painter.history[-1]["loss"] < painter.history[0]["loss"]


def test_a_download_that_fails_is_explained(monkeypatch):
    def fail(**_):
        raise Exception("URL fetch failure on https://...: None -- no network")

    monkeypatch.setattr(keras.applications, "VGG19", fail)
    with pytest.raises(OSError, match=r"Without a connection use build_extractor"):
        vgg19_features(weights="imagenet")


# ---- The objective and the loop -----------------------------------------------------


def test_fixed_images_go_through_the_extractor_once():
    """The public example sends content and style through it in every step."""
    model, counter = counted()
    ours = StyleObjective(model, picture(), picture(seed=1))
    assert int(counter.images) == 2
    painter = Painter(ours, picture(seed=1), "adam")
    painter.run(7)
    assert int(counter.images) == 2 + 7


def test_loss_is_that_of_recomputing_everything():
    style, content, image = (picture(seed=seed) for seed in range(3))
    model = small_extractor()
    ours = StyleObjective(model, style, content, 0.3, 0.2).terms(image)
    F = {
        k: np.asarray(v)
        for k, v in model(np.concatenate([style, content, image])).items()
    }
    wanted = 0.2 * float(total_variation(image))
    for name in ("style_0", "style_1", "style_2"):
        A, _, G = (np.asarray(gram(f[None]), float)[0] for f in F[name])
        wanted += np.sum((G - A) ** 2) / np.sum(A**2) / 3
    for name in ("content_1", "content_2"):
        _, P, f = F[name]
        wanted += 0.3 * np.mean((f - P) ** 2) / P.var() / 2
    assert float(ours["loss"]) == pytest.approx(wanted, rel=1e-4)


def test_layer_weights_choose_and_share():
    image = picture(seed=5)
    parts = [
        float(objective(False, layer_weights={f"style_{i}": 3}).terms(image)["style"])
        for i in range(2)
    ]
    both = objective(False, layer_weights={"style_0": 1, "style_1": 3, "style_2": 0})
    wanted = parts[0] / 4 + 3 * parts[1] / 4
    assert float(both.terms(image)["style"]) == pytest.approx(wanted, rel=1e-4)


@pytest.mark.parametrize("optimizer", ["lbfgs", "adam"])
def test_loss_falls_and_pixels_stay_in_range_and_weights_stay(optimizer):
    style = draw_weave(32, thread=4)
    model = small_extractor()
    before = model.get_weights()
    ours = StyleObjective(model, style)
    painter = Painter(ours, noise_image((1, 32, 32, 3)), optimizer)
    image = painter.run(30 if optimizer == "lbfgs" else 80)
    losses = [row["loss"] for row in painter.history]
    assert losses[-1] < 0.05 * losses[0]
    assert image.min() >= 0 and image.max() <= 1 and image.shape == (1, 32, 32, 3)
    assert float(ours.terms(image)["loss"]) == pytest.approx(min(losses), rel=0.2)
    for was, now in zip(before, model.get_weights(), strict=True):
        assert np.array_equal(was, now)


@pytest.mark.parametrize("optimizer", ["lbfgs", "adam"])
def test_same_seed_same_result(optimizer):
    one, two = (
        Painter(objective(), noise_image((1, 16, 24, 3), 4), optimizer).run(5)
        for _ in range(2)
    )
    np.testing.assert_allclose(one, two, atol=1e-5)
    other = Painter(objective(), noise_image((1, 16, 24, 3), 5), optimizer).run(5)
    assert np.abs(one - other).max() > 1e-3


def test_resumed_loop_equals_uninterrupted_loop(tmp_path):
    ours, start = objective(), picture(seed=1)
    straight = Painter(ours, start, "adam").run(9)
    paused = Painter(ours, start, "adam")
    paused.run(4)
    paused.save(tmp_path / "state.npz")
    np.testing.assert_allclose(paused.run(5), straight, atol=1e-5)
    resumed = Painter(ours, start, "adam")
    resumed.restore(tmp_path / "state.npz")
    np.testing.assert_allclose(resumed.run(5), straight, atol=1e-5)
    paused.save(tmp_path / "no_suffix")  # the name that was given, nothing appended
    resumed.restore(tmp_path / "no_suffix")
    np.testing.assert_array_equal(resumed.image, paused.image)


def test_lbfgs_goes_on_from_where_it_was():
    painter = Painter(objective(), picture(seed=1))
    painter.run(6)
    first = len(painter.history)
    best = float(painter.objective.terms(painter.image)["loss"])
    painter.run(6)
    assert painter.history[first]["loss"] == pytest.approx(best, rel=1e-3)
    assert painter.history[-1]["loss"] < best


def test_painter_takes_an_optimizer_of_keras():
    painter = Painter(objective(), picture(seed=1), keras.optimizers.SGD(1.0))
    painter.run(3)
    assert painter.history[-1]["loss"] < painter.history[0]["loss"]


def test_objective_is_float32_also_with_an_extractor_in_bfloat16():
    keras.mixed_precision.set_global_policy("mixed_bfloat16")
    try:
        model = random_features(scales=3, filters=5, kernel_size=3)
    finally:
        keras.mixed_precision.set_global_policy("float32")
    assert model(picture())["style_0"].dtype == "bfloat16"
    ours = StyleObjective(model, picture(24, 16), picture(seed=1))
    painter = Painter(ours, picture(seed=2), "adam")
    painter.run(np.int64(3))
    assert all(A.dtype == "float32" for A in ours.grams.values())
    exact = Painter(objective(), picture(seed=2), "adam")
    exact.run(1)
    first = exact.history[0]["loss"]
    assert painter.history[0]["loss"] == pytest.approx(first, rel=0.1)


def test_objective_compiles_once():
    ours = objective()
    painter = Painter(ours, picture(seed=1), "adam")
    painter.run(3)
    assert ours.value_and_gradient.experimental_get_tracing_count() == 1


# ---- Pictures -----------------------------------------------------------------------


@pytest.mark.parametrize("draw", [draw_strokes, draw_mosaic, draw_weave])
def test_drawn_styles(draw):
    image = draw(48, seed=1)
    assert image.shape == (1, 48, 48, 3) and image.dtype == "float32"
    assert image.min() >= 0 and image.max() <= 1 and image.std() > 0.05
    assert np.array_equal(image, draw(48, seed=1))
    assert not np.array_equal(image, draw(48, seed=2))


def test_bundled_photographs():
    image = load_image("china.jpg", width=64)
    assert image.shape == (1, 40, 64, 3) and 0 <= image.min() < image.max() <= 1
    crop = load_image("flower.jpg", crop=(100, 200, 32, 48))
    from sklearn.datasets import load_sample_image

    wanted = load_sample_image("flower.jpg")[100:132, 200:248] / 255
    np.testing.assert_allclose(crop[0], wanted, atol=1e-6)


def test_files_of_the_reader(tmp_path):
    grey = np.arange(20 * 17, dtype="uint8").reshape(20, 17)
    Image.fromarray(grey).save(tmp_path / "grey.png")
    image = load_image(tmp_path / "grey.png")
    assert image.shape == (1, 16, 16, 3)
    np.testing.assert_allclose(image[0, ..., 1] * 255, grey[2:18, :16], atol=1e-4)
    assert load_image(str(tmp_path / "grey.png"), width=8, multiple=1).shape[2] == 8


def test_files_that_are_no_images(tmp_path):
    text = tmp_path / "text.png"
    text.write_text("no image")
    with pytest.raises(ValueError, match=r"text.png' is no image"):
        load_image(text)
    with pytest.raises(ValueError, match=r"there is no file .*none.jpg"):
        load_image(tmp_path / "none.jpg")


def test_missing_packages_are_named(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    with pytest.raises(ImportError, match="pip install scikit-learn"):
        load_image("china.jpg")
    monkeypatch.setitem(sys.modules, "scipy.optimize", None)
    with pytest.raises(ImportError, match="use optimizer='adam'"):
        Painter(objective(), picture(seed=1)).run(1)


# ---- Bad input ----------------------------------------------------------------------


def run_painter(steps):
    Painter(objective(), picture(seed=1), "adam").run(steps)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: gram(np.ones((3, 4, 5))), r"got \(3, 4, 5\)"),
        (lambda: random_features(scales=0), "scales must be at least 1, got 0"),
        (lambda: random_features(filters=1.5), "filters must be an integer, got 1.5"),
        (lambda: random_features(kernel_size=4), "kernel_size must be odd, got 4"),
        (
            lambda: random_features(padding="same"),
            "padding must be 'reflect' or 'wrap'",
        ),
        (lambda: small_extractor()(picture(18, 24)), "multiples of 4, got"),
        (lambda: build_extractor("resnet"), "source must be 'random' or 'vgg19'"),
        (lambda: pick(small_extractor(), ("nose",)), r"got \['nose'\]"),
        (lambda: pick(small_extractor(), ()), r"got \[\]"),
        (lambda: Pad(-1), "width must be at least 0, got -1"),
        (lambda: load_image(3), "source must be one of"),
        (lambda: load_image("china.jpg", width=0), "width must be an integer of at"),
        (lambda: load_image("china.jpg", width=4), "at least 8 rows and columns"),
        (lambda: load_image("china.jpg", crop=(0, 0, 999, 9)), "inside of 427 x 640"),
        (lambda: draw_strokes(0), "size must be an integer of at least 1, got 0"),
        (lambda: draw_mosaic(32, cells=0), "cells must be an integer of at least 1"),
        (lambda: objective(content_weight=-1), "content_weight must be at least 0"),
        (lambda: objective(variation_weight=-1), "variation_weight must be at least"),
        (lambda: objective(layer_weights={"x": 1}), "layer_weights must give style_0"),
        (lambda: objective(layer_weights={"style_0": 0}), "not all 0"),
        (
            lambda: StyleObjective(pick(small_extractor(), ("pad_0",)), picture()),
            r"extractor must return .* got \['pad_0'\]",
        ),
        (lambda: StyleObjective(layers.Flatten(), picture()), "extractor must return"),
        (lambda: StyleObjective(small_extractor(), picture()[0]), "style must have sh"),
        (
            lambda: StyleObjective(small_extractor(), 2 + picture()),
            "from 0 to 1, got 2",
        ),
        (
            lambda: StyleObjective(small_extractor(), picture(), picture() * np.nan),
            "con",
        ),
        (lambda: Painter(objective(), picture(16, 16)), "start must have the shape of"),
        (
            lambda: Painter(objective(), picture(), "newton"),
            "optimizer must be 'lbfgs'",
        ),
        (lambda: run_painter(0), "steps must be an integer of at least 1, got 0"),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_restore_refuses_another_state(tmp_path):
    one = Painter(objective(), picture(seed=1), "adam")
    one.save(tmp_path / "state.npz")
    with pytest.raises(ValueError, match="path must hold 1 arrays"):
        Painter(objective(), picture(seed=1)).restore(tmp_path / "state.npz")


# ---- The solutions of the exercises -------------------------------------------------


@functools.cache
def solution(label):
    """What a solution defines."""
    names = {name: getattr(style_transfer, name) for name in style_transfer.__all__}
    names |= {"np": np, "tf": tf, "ops": ops, "keras": keras}
    return run_solution("style_transfer", label, **names)


def test_solution_keep_colours():
    content, painted = picture(seed=1), picture(seed=2)
    mixed = solution("ex-style-colours")["keep_colours"](painted, content)
    assert mixed.shape == content.shape and mixed.min() >= 0 and mixed.max() <= 1
    inside = ((mixed > 0) & (mixed < 1)).all(-1)
    assert inside.any()
    light = np.mean(painted, -1)
    np.testing.assert_allclose(mixed.mean(-1)[inside], light[inside], atol=1e-5)
    chroma = content - content.mean(-1, keepdims=True)
    ours = mixed - mixed.mean(-1, keepdims=True)
    np.testing.assert_allclose(ours[inside], chroma[inside], atol=1e-5)


def test_solution_seam():
    seam = solution("ex-style-wallpaper")["seam"]
    ramp = np.broadcast_to(np.linspace(0, 1, 16)[None, None, :, None], (1, 16, 16, 3))
    assert seam(ramp) == pytest.approx(15, rel=1e-4)
    assert seam(draw_mosaic(64)) < 1.5


def test_solution_closed_form():
    gradient = solution("ex-style-gradient")["gatys_gradient"]
    F, A = normal(7, 3), normal(3, 3, seed=1)
    A = A + A.T
    x = tf.constant(F)
    with tf.GradientTape() as tape:
        tape.watch(x)
        loss = tf.reduce_sum((tf.transpose(x) @ x - A) ** 2) / (4 * 3**2 * 7**2)
    np.testing.assert_allclose(gradient(F, A), tape.gradient(loss, x), rtol=1e-4)


def test_solution_mixed_style():
    mixed = solution("ex-style-mix")["MixedObjective"]
    model = small_extractor()
    styles = picture(seed=3), picture(seed=4)
    image = picture(seed=5)
    for share, style in ((0.0, styles[0]), (1.0, styles[1])):
        wanted = StyleObjective(model, style).terms(image)["style"]
        got = mixed(model, *styles, share).terms(image)["style"]
        assert float(got) == pytest.approx(float(wanted), rel=1e-5)
