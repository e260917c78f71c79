"""Pixel gradients: closed forms, finite differences, NumPy, TensorFlow, invariances.

A linear network has its best picture, its saliency and its worst perturbation in
closed form. Everything else is compared with central differences in 64 bits. The
networks here are small and not trained, or trained for seconds.
"""

import functools
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from keras import layers, ops

from advanced_keras.feature_visualization import (
    Ascent,
    blur,
    build_network,
    channel_mean,
    colour_metric,
    feature_extractor,
    fgsm,
    load_network,
    load_scenes,
    mean_activations,
    pixel_gradient,
    predict,
    saliency,
    shuffled,
    total_variation,
    unit_step,
)

BUSY = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow]}
SOME = settings(max_examples=25, **BUSY)

sizes = st.tuples(
    st.integers(1, 3), st.integers(2, 7), st.integers(2, 7), st.integers(1, 3)
)


def normal(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


def uniform(*shape, seed=0):
    return np.random.default_rng(seed).uniform(size=shape).astype("float32")


@functools.cache
def untrained():
    """The book's network with random weights, moving statistics included."""
    keras.utils.set_random_seed(0)
    network = build_network()
    for layer in network.layers:
        if isinstance(layer, layers.BatchNormalization):
            count = layer.gamma.shape[0]
            layer.moving_mean.assign(0.2 * normal(count, seed=1))
            layer.moving_variance.assign(0.5 + uniform(count, seed=2))
    return network


@functools.cache
def scenes():
    return load_scenes(600, 60, seed=3)


@functools.cache
def smooth64():
    """A small network in 64 bits without a kink: differences are exact to 1e-8."""
    keras.utils.set_random_seed(1)
    images = keras.Input((None, None, 3), dtype="float64")
    options = {"padding": "same", "activation": "tanh", "dtype": "float64"}
    hidden = layers.Conv2D(5, 3, **options)(images)
    hidden = layers.AveragePooling2D(2, dtype="float64")(hidden)
    return keras.Model(images, layers.Conv2D(4, 3, **options)(hidden))


def convolution(kernel, padding="same"):
    """The extractor that is one convolution, without bias."""
    images = keras.Input((None, None, kernel.shape[2]))
    conv = layers.Conv2D(
        kernel.shape[3], kernel.shape[:2], padding=padding, use_bias=False
    )
    model = keras.Model(images, conv(images))
    conv.set_weights([kernel])
    return model


def classifier(w):
    """Logits ``x @ w`` of pictures ``(4, 4, 3)``."""
    images = keras.Input((4, 4, 3))
    dense = layers.Dense(w.shape[1], use_bias=False)
    model = keras.Model(images, dense(layers.Flatten()(images)))
    dense.set_weights([w])
    return model


def directional(f, x, v, h=1e-5):
    """The central difference of ``sum(f)`` in the direction v."""
    return float(ops.sum(f(x + h * v)) - ops.sum(f(x - h * v))) / (2 * h)


# ---- The gradient of the pixels -----------------------------------------------------


def test_gradient_against_finite_differences():
    extractor, filters = smooth64(), tf.constant([0, 3, 3])

    def utility(x):
        return channel_mean(extractor(x, training=False), filters)

    x = normal(3, 8, 8, 3)
    gradient = pixel_gradient(utility, x).numpy()
    for seed in range(5):
        v = normal(*x.shape, seed=seed + 10)
        slope = directional(utility, x, v)
        assert abs(np.sum(gradient * v) - slope) < 1e-8 * (1 + abs(slope))


def test_gradient_of_jittered_and_penalized_utility_against_finite_differences():
    extractor = smooth64()
    ascent = Ascent(extractor, tv=0.3)
    filters = tf.constant([1, 2])

    def penalized(x):
        utility = ascent.utility(x, filters, shift=(3, -2))
        return utility - 0.3 * total_variation(x) / (8 * 6 * 3)

    x, v = normal(2, 8, 6, 3), normal(2, 8, 6, 3, seed=5)
    gradient = pixel_gradient(penalized, x).numpy()
    assert abs(np.sum(gradient * v) - directional(penalized, x, v, 1e-7)) < 1e-6


def test_step_follows_the_gradient_of_the_penalized_utility():
    """The direction that step takes, against differences of what it should climb."""
    extractor = smooth64()
    ascent = Ascent(extractor, tv=0.7)
    x = 0.3 + 0.4 * uniform(1, 6, 6, 3).astype("float64")
    shift, filters = (1, 2), tf.constant([2])

    def penalized(x):
        moved = np.roll(np.asarray(x), shift, (1, 2))
        n = x[0].size
        rough = np.abs(np.diff(x, axis=1)).sum() + np.abs(np.diff(x, axis=2)).sum()
        return ops.mean(extractor(moved)[..., 2]) - 0.7 * rough / n

    moved, utility = ascent.step(tf.constant(x), filters, shift, 1e-3)
    plain = float(ops.mean(extractor(np.roll(x, shift, (1, 2)))[..., 2]))
    assert float(utility[0]) == pytest.approx(plain, abs=1e-12)
    by_hand = np.zeros_like(x)
    for index in np.ndindex(x.shape):
        v = np.zeros_like(x)
        v[index] = 1
        by_hand[index] = directional(penalized, x, v, 1e-6)
    by_hand /= np.sqrt(np.mean(by_hand**2))
    np.testing.assert_allclose((moved.numpy() - x) / 1e-3, by_hand, atol=1e-5)


def test_gradient_of_a_sum_keeps_pictures_apart():
    network, x = untrained(), uniform(3, 20, 20, 3)
    filters = np.array([1, 4, 4])

    def utility(x, f):
        return channel_mean(network(x, training=False), tf.constant(f))

    together = pixel_gradient(lambda x: utility(x, filters), x).numpy()
    for i in range(3):
        alone = pixel_gradient(
            lambda x, i=i: utility(x, filters[i : i + 1]), x[i : i + 1]
        )
        np.testing.assert_allclose(together[i], alone[0], atol=1e-6)


def test_without_watch_there_is_no_gradient():
    x = tf.constant([1.0, 2.0])
    with tf.GradientTape() as tape:
        y = tf.reduce_sum(x**2)
    assert tape.gradient(y, x) is None
    np.testing.assert_allclose(pixel_gradient(lambda x: x**2, x), [2, 4])


@pytest.mark.parametrize(
    "utility",
    [lambda x: tf.constant([1.0]), lambda x: tf.stop_gradient(x)],
    ids=["constant", "stopped"],
)
def test_a_utility_that_does_not_depend_on_the_pixels_is_an_error(utility):
    with pytest.raises(ValueError, match="utility must depend on images"):
        pixel_gradient(utility, tf.constant([1.0]))


def test_weights_are_not_watched_and_do_not_change():
    network = untrained()
    before = [w.copy() for w in network.get_weights()]
    seen = []

    def utility(x):
        return channel_mean(network(x, training=False), tf.constant([0]))

    original = tf.GradientTape.gradient

    def spy(tape, *args, **kwargs):
        seen.append(tape.watched_variables())
        return original(tape, *args, **kwargs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tf.GradientTape, "gradient", spy)
        pixel_gradient(utility, uniform(1, 12, 12, 3))
    assert seen == [()]
    Ascent(feature_extractor(network, "features_2")).run([0, 1], size=12, steps=3)
    assert all(
        np.array_equal(a, b) for a, b in zip(before, network.get_weights(), strict=True)
    )


# ---- The parts of a step ------------------------------------------------------------


@SOME
@given(sizes, st.integers(0, 99))
def test_total_variation_is_that_of_numpy_and_of_tensorflow(shape, seed):
    x = uniform(*shape, seed=seed)
    down, right = np.diff(x, axis=1), np.diff(x, axis=2)
    wanted = np.abs(down).sum((1, 2, 3)) + np.abs(right).sum((1, 2, 3))
    np.testing.assert_allclose(total_variation(x), wanted, rtol=1e-5)
    np.testing.assert_allclose(
        total_variation(x), tf.image.total_variation(tf.constant(x)), rtol=1e-5
    )


@SOME
@given(sizes, st.integers(0, 99))
def test_blur_is_a_periodic_convolution_with_weights_1_2_1(shape, seed):
    x = uniform(*shape, seed=seed)
    wanted = x
    for axis in (1, 2):
        n = shape[axis]
        line = np.zeros(n)
        for offset, weight in ((0, 0.5), (1, 0.25), (-1, 0.25)):
            line[offset % n] += weight
        spectrum = np.fft.fft(line)
        assert spectrum.real.min() > -1e-12  # never turns a way up into a way down
        extra = [1] * 4
        extra[axis] = n
        wanted = np.fft.ifft(
            np.fft.fft(wanted, axis=axis) * spectrum.reshape(extra), axis=axis
        ).real
    np.testing.assert_allclose(blur(x), wanted, atol=1e-6)
    np.testing.assert_allclose(blur(x, 2), blur(blur(x)), atol=1e-6)
    assert np.array_equal(blur(x, 0), x)


@SOME
@given(sizes, st.integers(0, 99))
def test_unit_step_has_length_one_for_each_picture(shape, seed):
    x = (
        normal(*shape, seed=seed)
        * np.array([1e-6, 1.0, 1e6])[: shape[0], None, None, None]
    )
    scaled = np.asarray(unit_step(ops.convert_to_tensor(x)))
    np.testing.assert_allclose(np.mean(scaled**2, axis=(1, 2, 3)), 1, rtol=1e-5)
    assert np.all(np.sign(scaled) == np.sign(x))


def test_unit_step_of_zero_is_zero():
    assert np.array_equal(unit_step(ops.zeros((2, 3, 3, 1))), np.zeros((2, 3, 3, 1)))


def test_a_large_gradient_takes_nothing_from_its_neighbours():
    """`tf.math.l2_normalize` of a whole batch, as in the public example, does."""
    x = normal(2, 4, 4, 3).astype("float32")
    x[1] *= 1e4
    alone = np.asarray(unit_step(x[:1]))
    np.testing.assert_allclose(np.asarray(unit_step(x))[0], alone[0], rtol=1e-5)
    public = tf.math.l2_normalize(x).numpy()
    assert np.abs(public[0]).max() < 1e-3 * np.abs(public[1]).max()


@SOME
@given(st.integers(1, 4), st.integers(1, 5), st.integers(1, 5), st.integers(1, 6))
def test_channel_mean_picks_one_map_for_each_picture(batch, h, w, c):
    features = normal(batch, h, w, c)
    filters = np.random.default_rng(1).integers(0, c, batch)
    wanted = [features[i, :, :, j].mean() for i, j in enumerate(filters)]
    got = channel_mean(ops.convert_to_tensor(features), tf.constant(filters))
    np.testing.assert_allclose(got, wanted, atol=1e-12)
    logits = features[:, 0, 0]
    got = channel_mean(ops.convert_to_tensor(logits), tf.constant(filters))
    np.testing.assert_allclose(got, logits[np.arange(batch), filters], atol=1e-12)


def test_channel_mean_of_half_precision_is_taken_in_float32():
    features = ops.cast(ops.full((1, 64, 64, 1), 1.0), "bfloat16")
    assert (
        keras.backend.standardize_dtype(channel_mean(features, tf.constant([0])).dtype)
        == "float32"
    )


def test_colours_of_the_metric_are_the_covariance_and_positive_definite():
    x = uniform(50, 6, 6, 3) * [1.0, 0.5, 0.1]
    x[..., 1] += x[..., 0]
    covariance = np.cov(x.reshape(-1, 3).T)
    pure = colour_metric(x, share=1)
    np.testing.assert_allclose(
        pure / np.trace(pure), covariance / np.trace(covariance), rtol=1e-4
    )
    mixed = colour_metric(x)
    np.testing.assert_allclose(mixed, (pure + np.eye(3)) / 2, atol=1e-6)
    assert np.linalg.eigvalsh(mixed)[0] > 0
    assert np.trace(mixed) == pytest.approx(3, rel=1e-5)


# ---- Cases that can be solved -------------------------------------------------------


def test_best_picture_of_a_position_of_a_linear_layer_is_the_filter():
    """Cauchy and Schwarz: the maximizer of unit norm is w / ||w||."""
    kernel = normal(5, 3, 2, 4).astype("float32")
    linear = convolution(kernel)

    def at_the_centre(x):
        return linear(x)[:, 4, 4, 2]

    w = pixel_gradient(at_the_centre, np.zeros((1, 9, 9, 2), "float32")).numpy()
    np.testing.assert_allclose(w[0, 2:7, 3:6], kernel[..., 2], atol=1e-6)
    assert np.sum(w != 0) == kernel[..., 2].size
    best = float(at_the_centre(w / np.linalg.norm(w))[0])
    assert best == pytest.approx(np.linalg.norm(kernel[..., 2]), rel=1e-5)
    others = normal(2000, 9, 9, 2, seed=1).astype("float32")
    others /= np.sqrt(np.sum(others**2, axis=(1, 2, 3), keepdims=True))
    assert float(ops.max(at_the_centre(others))) < best


def test_gradient_of_the_mean_of_a_linear_layer_is_the_sum_of_shifted_filters():
    kernel = normal(3, 3, 2, 3).astype("float32")
    linear, filters = convolution(kernel), tf.constant([0, 1, 2])
    gradient = pixel_gradient(
        lambda x: channel_mean(linear(x), filters), np.zeros((3, 7, 6, 2), "float32")
    ).numpy()
    wanted = np.zeros((3, 9, 8, 2))
    for p in range(7):
        for q in range(6):
            wanted[:, p : p + 3, q : q + 3] += kernel.transpose(3, 0, 1, 2) / 42
    np.testing.assert_allclose(gradient, wanted[:, 1:-1, 1:-1], atol=1e-6)


def test_ascent_on_a_linear_mean_ends_in_the_corner_of_the_box():
    """The maximum of a linear function over 0 to 1: 1 where the weight is positive."""
    kernel = normal(3, 3, 3, 4, seed=2).astype("float32")
    found = Ascent(convolution(kernel)).run(range(4), size=8, steps=150, rate=0.2)
    corner = (kernel.sum((0, 1)).T > 0).astype(float)
    inner = found.images[:, 1:-1, 1:-1]
    np.testing.assert_allclose(inner, corner[:, None, None] + 0 * inner, atol=1e-6)


# ---- The ascent ---------------------------------------------------------------------


def test_utility_rises_and_pixels_stay_in_the_box():
    ascent = Ascent(feature_extractor(untrained(), "features_3"))
    found = ascent.run(range(16), size=24, steps=30)
    assert found.images.shape == (16, 24, 24, 3) and found.history.shape == (30, 16)
    assert found.images.min() >= 0 and found.images.max() <= 1
    assert np.all(found.history[-1] > found.history[0])


def test_history_is_the_utility_before_each_step():
    extractor = feature_extractor(untrained(), "features_2")
    ascent = Ascent(extractor)
    start = uniform(2, 12, 12, 3)
    found = ascent.run([3, 7], steps=1, start=start)
    wanted = mean_activations(extractor, start)[[0, 1], [3, 7]]
    np.testing.assert_allclose(found.history[0], wanted, atol=1e-5)


def test_first_step_has_the_size_of_the_rate():
    ascent = Ascent(feature_extractor(untrained(), "features_2"))
    start = np.full((1, 12, 12, 3), 0.5, "float32")
    moved = ascent.run([1], steps=1, rate=0.01, start=start).images - start
    assert np.sqrt(np.mean(moved**2)) == pytest.approx(0.01, rel=1e-3)


def test_a_batch_of_filters_gives_what_each_filter_gives_alone():
    ascent = Ascent(
        feature_extractor(untrained(), "features_3"), tv=0.5, blur=1, jitter=4
    )
    together = ascent.run([2, 9, 30], size=20, steps=8).images
    for place, j in enumerate([2, 9, 30]):
        alone = ascent.run([j], size=20, steps=8).images[0]
        np.testing.assert_allclose(alone, together[place], atol=5e-3)


def test_one_trace_for_all_filters_batches_and_sizes():
    ascent = Ascent(
        feature_extractor(untrained(), "features_2"), tv=0.1, blur=1, jitter=2
    )
    assert ascent.traces == 0
    ascent.run(range(48), size=12, steps=2)
    for j in range(4):
        ascent.run([j], size=12, steps=1)
    ascent.run([1, 2, 3], size=20, steps=1)
    assert ascent.traces == 1


def test_a_python_filter_index_traces_for_each_filter_and_a_tensor_does_not():
    """The defect of the public example, and its cure."""
    extractor = feature_extractor(untrained(), "features_1")
    calls = []

    @tf.function
    def public(image, index):
        calls.append(index)
        return tf.reduce_mean(extractor(image, training=False)[..., index])

    image = tf.constant(uniform(1, 8, 8, 3))
    values = [float(public(image, j)) for j in range(4)]
    assert len(calls) == 4
    assert [float(public(image, tf.constant(j))) for j in range(4)] == values
    assert len(calls) == 5


def test_jitter_by_whole_pictures_changes_nothing():
    ascent = Ascent(feature_extractor(untrained(), "features_3"), tv=0.2)
    x, filters = tf.constant(uniform(2, 16, 12, 3)), tf.constant([3, 8])
    still = ascent.step(x, filters, (0, 0), 0.05)
    for shift in ((16, 0), (0, -12), (-32, 24)):
        moved = ascent.step(x, filters, shift, 0.05)
        for a, b in zip(moved, still, strict=True):
            assert np.array_equal(a, b)


def test_jitter_moves_the_picture_and_the_gradient_back():
    """On a torus (a 1 x 1 convolution has no edges) jitter makes no difference."""
    extractor = convolution(normal(1, 1, 3, 4).astype("float32"))
    still, moving = Ascent(extractor).run([0, 3], 10, 20), None
    moving = Ascent(extractor, jitter=5).run([0, 3], 10, 20)
    np.testing.assert_allclose(moving.images, still.images, atol=1e-6)


def test_the_rate_falls_to_a_tenth_and_jitter_goes_both_ways(monkeypatch):
    ascent, seen = Ascent(feature_extractor(untrained(), "features_1"), jitter=3), []

    def spy(images, filters, shift, rate):
        seen.append((shift.numpy(), float(rate)))
        return images, tf.zeros(1)

    monkeypatch.setattr(ascent, "_compiled", spy)
    ascent.run([0], size=8, steps=60, rate=0.1)
    shifts, rates = map(np.array, zip(*seen, strict=True))
    np.testing.assert_allclose(rates, 0.1 * (1 - 0.9 * np.arange(60) / 60), rtol=1e-5)
    assert all(set(axis) == set(range(-3, 4)) for axis in shifts.T)


def test_step_blurs_as_often_as_asked_and_mixes_the_colours():
    extractor, filters = feature_extractor(untrained(), "features_2"), tf.constant([3])
    x = tf.constant(0.3 + 0.4 * uniform(1, 12, 12, 3))
    colours = np.array([[2, 0.5, 0.1], [0.5, 1, 0.3], [0.1, 0.3, 1]], "float32")
    ascent = Ascent(extractor, blur=3, colours=colours)
    moved = ascent.step(x, filters, (0, 0), 0.01)[0] - x
    g = pixel_gradient(lambda x: channel_mean(extractor(x), filters), x)
    wanted = blur(blur(blur(g))).numpy() @ colours
    wanted *= 0.01 / np.sqrt(np.mean(wanted**2))
    np.testing.assert_allclose(moved, wanted, atol=1e-5)


def test_each_remedy_does_what_it_is_for():
    extractor = feature_extractor(untrained(), "features_2")

    def roughness(**settings):
        images = Ascent(extractor, **settings).run(range(12), size=20, steps=25).images
        return float(np.mean(total_variation(images)))

    plain = roughness()
    assert roughness(tv=1.0) < 0.9 * plain
    assert roughness(blur=2) < 0.9 * plain
    grey = np.full((3, 3), 1.0)
    images = (
        Ascent(extractor, colours=grey)
        .run([0, 5], start=np.full((2, 16, 16, 3), 0.5))
        .images
    )
    np.testing.assert_allclose(images, images[..., :1] + 0 * images, atol=1e-6)


def test_the_same_seed_gives_the_same_pictures():
    ascent = Ascent(feature_extractor(untrained(), "features_2"), jitter=3)
    one, two, other = (ascent.run([0, 1], 12, 6, seed=s).images for s in (4, 4, 5))
    assert np.array_equal(one, two) and not np.array_equal(one, other)


def test_found_pictures_beat_every_real_picture():
    """Of the same size, edges and all, for every filter of a trained network."""
    train = scenes()[0]
    network = load_network(train=train, epochs=2)
    for depth in (1, 4):
        extractor = feature_extractor(network, f"features_{depth}")
        filters = np.arange(extractor.output_shape[-1])
        found = Ascent(extractor).run(filters, size=28, steps=60).images
        drawn = mean_activations(extractor, found)[filters, filters]
        assert np.all(drawn > mean_activations(extractor, train.images).max(0))


def test_a_network_in_bfloat16_can_be_climbed():
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        keras.utils.set_random_seed(0)
        network = build_network()
    finally:
        keras.config.set_dtype_policy("float32")
    found = Ascent(feature_extractor(network, "features_2")).run([0, 1], 16, 10)
    assert found.images.dtype == np.float32 and np.isfinite(found.history).all()
    assert np.all(found.history[-1] > found.history[0])
    images, labels = scenes()[1].images[:4], scenes()[1].labels[:4]
    assert np.isfinite(saliency(network, images, labels)).all()
    assert np.abs(fgsm(network, images, labels, 0.1) - images).max() > 0.05


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"tv": -1.0}, "tv must be a finite number of at least 0, got -1.0"),
        ({"tv": "much"}, "tv must be a finite number"),
        ({"tv": float("nan")}, "tv must be a finite number"),
        ({"tv": float("inf")}, "tv must be a finite number"),
        ({"blur": 1.5}, "blur must be an integer of at least 0, got 1.5"),
        ({"jitter": True}, "jitter must be an integer"),
        ({"colours": np.eye(2)}, r"colours must be a symmetric matrix \(3, 3\)"),
        ({"colours": np.triu(np.ones((3, 3)))}, "colours must be a symmetric"),
        ({"colours": -np.eye(3)}, "colours must be positive semidefinite"),
    ],
)
def test_bad_settings(settings, message):
    with pytest.raises(ValueError, match=message):
        Ascent(feature_extractor(untrained(), "features_1"), **settings)


@pytest.mark.parametrize("filters", [[24], [-1], [0.5], 3, [[1]]])
def test_a_filter_that_does_not_exist(filters):
    ascent = Ascent(feature_extractor(untrained(), "features_1"))
    with pytest.raises(
        ValueError, match="filters must be a list of integers from 0 to 23"
    ):
        ascent.run(filters, size=8, steps=1)


NAN = np.full((2, 8, 8, 3), np.nan, "float32")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"start": uniform(3, 8, 8, 3)}, "start must have one picture for each of"),
        ({"start": NAN}, "start must be finite"),
        ({"start": uniform(8, 8, 3)}, r"start must be \(batch, rows, columns"),
        ({"start": 255 * uniform(2, 8, 8, 3)}, "start must be from 0 to 1, got"),
        ({"start": np.ones((2, 8, 8, 3), "uint8")}, "start must be .* uint8"),
        ({"start": uniform(2, 8, 8, 1)}, "start must fit the extractor, which takes"),
        ({"steps": -1}, "steps must be an integer of at least 0, got -1"),
        ({"size": 0}, "size must be an integer of at least 1, got 0"),
        ({"size": 1}, r"size must be large enough .* got \(1, 1\)"),
        ({"rate": float("nan")}, "rate must be a finite number of at least 0, got nan"),
        ({"seed": -1}, "seed must be an integer of at least 0, got -1"),
    ],
)
def test_bad_run(arguments, message):
    ascent = Ascent(feature_extractor(untrained(), "features_2"))
    with pytest.raises(ValueError, match=message):
        ascent.run([0, 1], **arguments)


def two_inputs():
    one, other = keras.Input((8, 8, 3)), keras.Input((8, 8, 3))
    return keras.Model([one, other], layers.Add(name="add")([one, other]))


def test_a_model_that_is_no_extractor():
    for model in (two_inputs(), "model", keras.Sequential([layers.Dense(3)])):
        with pytest.raises(ValueError, match=r"extractor must be a built .* one input"):
            Ascent(model)
        with pytest.raises(ValueError, match=r"network must be a built .* one input"):
            feature_extractor(model, "add")
    flat = keras.Sequential([keras.Input((8,)), layers.Dense(2)])
    with pytest.raises(ValueError, match=r"extractor must turn pictures \(batch"):
        Ascent(flat)
    whole = Ascent(untrained(), objective=lambda features, filters: ops.sum(features))
    with pytest.raises(ValueError, match="objective must give one number for each"):
        whole.run([0, 1], size=8, steps=1)
    assert Ascent(untrained()).run([0, 1], size=8, steps=0).history.shape == (0, 2)


def test_bad_pictures_and_labels():
    """Without the checks most of these would give a number."""
    network, x = untrained(), uniform(2, 8, 8, 3)
    for call in (
        lambda x: saliency(network, x, [1, 2]),
        lambda x: fgsm(network, x, [1, 2], 0.1),
        lambda x: predict(network, x),
        lambda x: mean_activations(network, x),
        colour_metric,
    ):
        with pytest.raises(ValueError, match="images must be finite"):
            call(NAN)
        for wrong in (x[0], x[:0], (255 * x).astype("uint8")):
            with pytest.raises(ValueError, match=r"images must be \(batch, rows"):
                call(wrong)
    for labels in ([1], [1, 2, 3], [1, 10], [-1, 2], [1.5, 2.0]):
        with pytest.raises(ValueError, match="labels must be 2 integers from 0 to 9"):
            saliency(network, x, labels)
        with pytest.raises(ValueError, match="labels must be 2 integers from 0 to 9"):
            fgsm(network, x, labels, 0.1)
    with pytest.raises(ValueError, match="images must be from 0 to 1, got"):
        fgsm(network, 255 * x, [1, 2], 8)
    with pytest.raises(ValueError, match="batch_size must be an integer of at least"):
        predict(network, x, batch_size=0)
    with pytest.raises(ValueError, match="images must be floating point, got uint8"):
        pixel_gradient(lambda x: x, np.ones((1, 2, 2, 3), "uint8"))
    with pytest.raises(ValueError, match="images must vary"):
        colour_metric(np.ones((2, 3, 3, 3), "float32"))
    for filters in ([1], [1, 4]):
        with pytest.raises(ValueError, match="filters must be 2 integers from 0 to 3"):
            channel_mean(ops.ones((2, 3, 3, 4)), tf.constant(filters))
    for part in (blur, total_variation, unit_step):
        with pytest.raises(ValueError, match=r"must be \(batch, rows, columns, chan"):
            part(x[0])


def test_bad_training():
    with pytest.raises(ValueError, match="epochs must be an integer of at least 1"):
        load_network(train=scenes()[0], epochs=0)
    with pytest.raises(ValueError, match="train must be Scenes, got ndarray"):
        load_network(train=uniform(2, 8, 8, 3))


# ---- Saliency and adversarial examples ----------------------------------------------


def test_saliency_of_a_linear_model_is_the_weight():
    w = normal(48, 5).astype("float32")
    images, labels = uniform(6, 4, 4, 3), np.array([0, 4, 2, 2, 1, 3])
    maps = saliency(classifier(w), images, labels, batch_size=4)
    wanted = np.abs(w.T.reshape(5, 4, 4, 3)).max(-1)[labels]
    np.testing.assert_allclose(maps, wanted, atol=1e-6)


def test_saliency_against_finite_differences():
    network, x = smooth64(), normal(1, 8, 8, 3)
    maps = saliency(network, x, np.array([1]))
    for place in [(0, 0), (3, 5), (7, 2)]:
        slopes = []
        for channel in range(3):
            v = np.zeros_like(x)
            v[0, *place, channel] = 1
            slopes.append(directional(lambda x: ops.mean(network(x)[..., 1]), x, v))
        assert maps[0, *place] == pytest.approx(np.abs(slopes).max(), rel=1e-6)


def test_fgsm_of_a_linear_model_has_its_closed_form():
    """eps * sign(w) raises the logit by eps * ||w||_1, and nothing does more."""
    w = np.c_[np.zeros(48), normal(48)].astype("float32")
    model, x, epsilon = classifier(w), np.full((1, 4, 4, 3), 0.5, "float32"), 0.07
    attack = fgsm(model, x, np.array([0]), epsilon)
    wanted = 0.5 + epsilon * np.sign(w[:, 1]).reshape(1, 4, 4, 3)
    np.testing.assert_allclose(attack, wanted, atol=1e-6)
    growth = float((model(attack) - model(x))[0, 1])
    assert growth == pytest.approx(epsilon * np.abs(w[:, 1]).sum(), rel=1e-4)
    signs = np.random.default_rng(0).choice([-1, 1], size=(2000, 4, 4, 3))
    noise = model((x + epsilon * signs).astype("float32"))[:, 1] - model(x)[0, 1]
    assert float(ops.max(noise)) < growth
    np.testing.assert_allclose(fgsm(model, x, [1], epsilon), 1 - attack, atol=1e-6)


def test_fgsm_raises_the_loss_and_stays_in_both_boxes():
    network, part = untrained(), scenes()[1]
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    attack = fgsm(network, part.images, part.labels, 0.01, batch_size=25)
    assert attack.dtype == np.float32 and attack.min() >= 0 and attack.max() <= 1
    assert np.abs(attack - part.images).max() <= 0.01 + 1e-6
    before, after = (loss(part.labels, network(x)) for x in (part.images, attack))
    assert after > before
    assert np.array_equal(fgsm(network, part.images, part.labels, 0), part.images)
    with pytest.raises(ValueError, match=r"epsilon must be a finite number .* got -1"):
        fgsm(network, part.images, part.labels, -1)


def test_saliency_and_fgsm_keep_pictures_apart():
    """In training mode batch normalization would mix them."""
    network, x, labels = untrained(), scenes()[1].images[:3], [1, 2, 3]
    maps, attack = saliency(network, x, labels), fgsm(network, x, labels, 0.1)
    for i in range(3):
        one = slice(i, i + 1)
        alone = saliency(network, x[one], labels[one])[0]
        np.testing.assert_allclose(maps[i], alone, atol=1e-3 * maps.max())
        alone = fgsm(network, x[one], labels[one], 0.1)[0]
        assert np.mean(np.abs(attack[i] - alone) > 1e-6) < 0.01  # signs of nearly 0


def test_predict_is_the_argmax_in_batches():
    network, images = untrained(), scenes()[1].images
    wanted = np.argmax(network(images, training=False), -1)
    assert np.array_equal(predict(network, images, batch_size=23), wanted)


def test_shuffled_layers_keep_their_numbers_and_the_others_their_weights():
    network = untrained()
    before = network.get_weights()
    copy = shuffled(network, ["conv_2", "logits"], seed=1)
    for layer in network.layers:
        for a, b in zip(
            layer.get_weights(), copy.get_layer(layer.name).get_weights(), strict=True
        ):
            if layer.name in ("conv_2", "logits"):
                assert np.array_equal(np.sort(a, None), np.sort(b, None))
                assert a.size <= 10 or not np.array_equal(a, b)
            else:
                assert np.array_equal(a, b)
    assert all(
        np.array_equal(a, b) for a, b in zip(before, network.get_weights(), strict=True)
    )
    other = shuffled(network, ["conv_2", "logits"], seed=2)
    assert not np.array_equal(other(scenes()[1].images), copy(scenes()[1].images))
    again = shuffled(network, ["conv_2", "logits"], seed=1)
    assert np.array_equal(again(scenes()[1].images), copy(scenes()[1].images))
    with pytest.raises(
        ValueError, match=r"names must be layers of the network, got \['x'\]"
    ):
        shuffled(network, ["conv_2", "x"])


def test_saliency_changes_when_the_network_forgets():
    """The check of Adebayo et al. (2018) can fail: other weights, another map."""
    network, part = untrained(), scenes()[1]
    maps = saliency(network, part.images[:8], part.labels[:8])
    other = saliency(shuffled(network, ["conv_1"]), part.images[:8], part.labels[:8])
    assert np.abs(maps - other).max() > 0.1 * maps.max()


# ---- Networks and scenes ------------------------------------------------------------


def test_extractor_shares_weights_and_takes_any_size():
    network = untrained()
    extractor = feature_extractor(network, "features_2")
    assert extractor.get_layer("conv_1") is network.get_layer("conv_1")
    assert extractor(uniform(1, 20, 36, 3)).shape == (1, 10, 18, 48)
    with pytest.raises(
        ValueError, match="layer must be the name of a layer of 'network', got 'x'"
    ):
        feature_extractor(network, "x")


def test_mean_activations_are_means_in_any_batches():
    extractor, images = feature_extractor(untrained(), "features_2"), scenes()[1].images
    wanted = np.mean(extractor(images, training=False), axis=(1, 2))
    for batch_size in (7, 60, 100):
        got = mean_activations(extractor, images, batch_size)
        np.testing.assert_allclose(got, wanted, atol=1e-5)
    logits = feature_extractor(untrained(), "logits")
    np.testing.assert_allclose(
        mean_activations(logits, images), logits(images), atol=1e-5
    )


def test_network_learns_and_survives_a_file(tmp_path):
    train, test = scenes()
    network = load_network(train=train, epochs=1, seed=5)
    again = load_network(train=train, epochs=1, seed=5)
    path = tmp_path / "network.keras"
    network.save(path)
    loaded = keras.saving.load_model(path)
    for other in (again, loaded):
        assert np.array_equal(
            other.predict(test.images, verbose=0),
            network.predict(test.images, verbose=0),
        )
    found = [
        Ascent(feature_extractor(m, "features_2")).run([4], 12, 4)
        for m in (network, loaded)
    ]
    assert np.array_equal(found[0].images, found[1].images)


def test_the_seed_chooses_the_first_weights(monkeypatch):
    from advanced_keras.feature_visualization import networks

    monkeypatch.setattr(networks, "_fit", lambda *args: None)
    one, two, other = (load_network(train=scenes()[0], seed=s) for s in (4, 4, 5))
    kernels = [m.get_layer("conv_1").kernel.numpy() for m in (one, two, other)]
    assert np.array_equal(*kernels[:2]) and not np.array_equal(*kernels[1:])


def test_no_strides_so_no_checkerboards():
    for layer in untrained().layers:
        if isinstance(layer, layers.Conv2D):
            assert layer.strides == (1, 1)


def test_resnet_goes_through_the_same_function():
    """The path of ImageNet with random weights: nothing is downloaded."""
    resnet = load_network("resnet50v2", weights=None)
    extractor = feature_extractor(resnet, "conv2_block1_out")
    x = uniform(1, 32, 32, 3)
    stock = keras.applications.ResNet50V2(include_top=False, weights=None)
    stock.set_weights(resnet.get_weights())
    inner = feature_extractor(stock, "conv2_block1_out")
    np.testing.assert_allclose(extractor(x), inner(2 * x - 1), atol=1e-5)
    ascent = Ascent(extractor, tv=0.1, blur=1, jitter=2)
    found = ascent.run([0, 200], size=32, steps=3)
    assert found.images.shape == (2, 32, 32, 3) and ascent.traces == 1


def test_a_failed_download_says_what_to_do(monkeypatch):
    def fail(*args, **kwargs):
        raise Exception("URL fetch failure\n on https://example.org")

    monkeypatch.setattr(keras.applications, "ResNet50V2", fail)
    with pytest.raises(
        OSError, match=r"could not download .* use load_network\('scenes'\)"
    ):
        load_network("resnet50v2")
    with pytest.raises(ValueError, match="source must be one of"):
        load_network("vgg19")


def test_scenes_are_digits_on_photographs():
    train, test = scenes()
    assert len(train) == 600 and len(test) == 60
    assert train.images.shape == (600, 28, 28, 3) and train.images.dtype == np.float32
    assert train.images.min() >= 0 and train.images.max() <= 1
    assert set(train.labels) == set(range(10)) and train.ink.shape == (600, 28, 28)
    for image, ink in zip(train.images[:50], train.ink[:50], strict=True):
        solid = image[ink == 1]
        if len(solid):
            assert np.ptp(solid, axis=0).max() < 1e-6  # one colour
            assert np.abs(solid[0] - image[ink == 0].mean(0)).max() > 0.2


def test_scenes_are_the_same_for_the_same_seed():
    again, other = load_scenes(20, 5, seed=3)[0], load_scenes(20, 5, seed=4)[0]
    assert np.array_equal(again.labels, scenes()[0].labels[:20])
    twice = load_scenes(20, 5, seed=3)[0]
    assert np.array_equal(again.images, twice.images)
    assert not np.array_equal(again.images, other.images)


def test_backgrounds_of_training_and_testing_come_from_different_halves():
    from advanced_keras.feature_visualization import scenes as module

    seen = []
    original = module._compose

    def spy(digits, photographs, rng):
        seen.append(photographs)
        return original(digits, photographs, rng)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_compose", spy)
        module.load_scenes(2, 2)
    for left, right, name in zip(*seen, module.PHOTOGRAPHS, strict=True):
        whole = module._photograph(name)
        assert np.array_equal(np.concatenate([left, right], axis=1), whole)


def test_bad_share_of_colours():
    with pytest.raises(ValueError, match="share must be from 0 to 1, got 2"):
        colour_metric(uniform(2, 3, 3, 3), share=2)


@pytest.mark.parametrize("name", ["num_train", "num_test", "seed"])
@pytest.mark.parametrize("value", [-1, 1.5, "9", True])
def test_scenes_are_refused(name, value):
    with pytest.raises(ValueError, match=name):
        load_scenes(**{"num_train": 4, "num_test": 2, name: value})


def test_scenes_without_scikit_learn_say_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    with pytest.raises(ImportError, match="pip install scikit-learn"):
        load_scenes(4, 2, seed=91)
