"""`layers` against Keras's own layers, NumPy, finite differences, and bad input."""

import json
import re
import warnings
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import ops

from advanced_keras.attention import MultiHeadAttention
from advanced_keras.layers import (
    LayerNorm,
    Linear,
    MaskedMean,
    MaskMissing,
    MovingStandardize,
    Noise,
    Residual,
)

SMALL = settings(deadline=None, max_examples=15)
sizes = st.integers(1, 5)
shapes = st.lists(sizes, min_size=2, max_size=4).map(tuple)
seeds = st.integers(0, 999)
EXACT = 1e-6  # the same operations in another order, in float32
CLOSE = 1e-5  # sums over a few dozen numbers, or a gradient


def normal(shape, seed=0, loc=0.0, scale=1.0):
    return np.random.default_rng(seed).normal(loc, scale, shape).astype("float32")


def twins(ours, stock, shape, seed=0):
    """Both layers, built, with the same random weights."""
    for layer in (ours, stock):
        layer.build(shape)
    values = [normal(w.shape, seed + i) for i, w in enumerate(ours.weights)]
    ours.set_weights(values)
    stock.set_weights(values)
    return ours, stock


def gradients(layer, x, upstream):
    """The derivative of ``sum(upstream * layer(x))``: by x, and by each weight."""
    x = tf.constant(x)
    with tf.GradientTape() as tape:
        tape.watch(x)
        total = ops.sum(layer(x) * upstream)
    variables = [w.value for w in layer.trainable_variables]
    return [g.numpy() for g in tape.gradient(total, [x, *variables])]


def agree(ours, stock, x, seed=0):
    """Outputs and all gradients agree."""
    upstream = normal(ours(x).shape, seed + 99)
    np.testing.assert_allclose(ours(x), stock(x), atol=CLOSE)
    pairs = zip(
        gradients(ours, x, upstream), gradients(stock, x, upstream), strict=True
    )
    for mine, theirs in pairs:
        np.testing.assert_allclose(mine, theirs, atol=2e-4, rtol=1e-4)


# ---- Linear ----------------------------------------------------------------------


@SMALL
@given(shape=shapes, units=sizes, use_bias=st.booleans(), seed=seeds)
def test_linear_is_dense(shape, units, use_bias, seed):
    for activation in (None, "tanh"):
        ours = Linear(units, activation, use_bias)
        stock = keras.layers.Dense(units, activation, use_bias)
        agree(*twins(ours, stock, shape, seed), normal(shape, seed), seed)
        assert ours.compute_output_shape(shape) == (*shape[:-1], units)


def test_linear_begins_like_dense():
    """Glorot's uniform kernel and a zero bias, from the same seed."""
    made = []
    for kind in (Linear, keras.layers.Dense):
        keras.utils.set_random_seed(3)  # before the constructor: Dense draws there
        layer = kind(5)
        layer.build((None, 4))
        made.append(layer.get_weights())
    for mine, theirs in zip(*made, strict=True):
        np.testing.assert_array_equal(mine, theirs)


def test_linear_makes_its_weights_once():
    layer = Linear(2)
    assert layer.weights == [] and not layer.built
    layer(normal((4, 3)))
    first = layer.W
    layer(normal((7, 3)))
    assert layer.W is first and len(layer.weights) == 2


@pytest.mark.parametrize("shape", [(2, 4), (2, 5, 4)])
def test_linear_refuses_another_width(shape):
    layer = Linear(2)
    layer(normal((2, 3)))
    with pytest.raises(ValueError, match="expected axis -1"):
        layer(normal(shape))


# ---- LayerNorm -------------------------------------------------------------------


@SMALL
@given(
    shape=st.lists(st.integers(2, 5), min_size=2, max_size=4).map(tuple),
    data=st.data(),
    epsilon=st.sampled_from([1e-6, 1e-3, 0.5]),
    seed=seeds,
)
def test_layer_norm_is_layer_normalization(shape, data, epsilon, seed):
    inner = st.sampled_from(range(1, len(shape)))
    axes = data.draw(st.lists(inner, min_size=1, unique=True))
    if data.draw(st.booleans()):
        axes = [a - len(shape) for a in axes]
    if max(shape[a] for a in axes) < 3:
        epsilon = 1e-3  # two equal numbers and no epsilon: a gradient without bound
    ours = LayerNorm(axes, epsilon)
    stock = keras.layers.LayerNormalization(axis=sorted(axes), epsilon=epsilon)
    agree(*twins(ours, stock, shape, seed), normal(shape, seed), seed)


@SMALL
@given(shape=shapes, seed=seeds)
def test_layer_norm_standardizes_each_example(shape, seed):
    x = normal((*shape, 16), seed, loc=5.0, scale=3.0)
    y = ops.convert_to_numpy(LayerNorm(epsilon=1e-9)(x))
    np.testing.assert_allclose(y.mean(-1), 0, atol=CLOSE)
    np.testing.assert_allclose(y.std(-1), 1, atol=CLOSE)


@SMALL
@given(shift=st.floats(-5, 5), factor=st.floats(0.5, 5), seed=seeds)
def test_layer_norm_ignores_shift_and_scale_of_an_example(shift, factor, seed):
    layer, x = LayerNorm(epsilon=1e-9), normal((3, 8), seed)
    np.testing.assert_allclose(layer(factor * x + shift), layer(x), atol=1e-4)


def test_layer_norm_gradient_is_the_formula_and_the_finite_difference():
    """(gamma g - mean(gamma g) - xhat mean(gamma g xhat)) / sigma, in float64."""
    layer = LayerNorm(epsilon=1e-3, dtype="float64")
    x, g = (np.random.default_rng(s).normal(size=(2, 5)) for s in (0, 1))
    layer.build(x.shape)
    layer.set_weights([np.linspace(0.5, 2, 5), np.linspace(-1, 1, 5)])
    sigma = np.sqrt(x.var(-1, keepdims=True) + 1e-3)
    xhat = (x - x.mean(-1, keepdims=True)) / sigma
    a = g * layer.get_weights()[0]
    inside = a - a.mean(-1, keepdims=True) - xhat * (a * xhat).mean(-1, keepdims=True)
    found, by_gamma, by_beta = gradients(layer, x, g)
    np.testing.assert_allclose(found, inside / sigma, atol=1e-12)
    np.testing.assert_allclose(by_gamma, (g * xhat).sum(0), atol=1e-12)
    np.testing.assert_allclose(by_beta, g.sum(0), atol=1e-12)
    for index in np.ndindex(x.shape):
        step = np.zeros_like(x)
        step[index] = 1e-6
        moved = [np.sum(g * layer(x + sign * step).numpy()) for sign in (1, -1)]
        assert found[index] == pytest.approx((moved[0] - moved[1]) / 2e-6, abs=1e-7)


def test_layer_norm_sums_in_float32():
    """The squares, and their sum, are beyond float16, which ends at 65504."""
    x = np.float32([[-600, 600, 0, 300], [3e4, 6e4, 6e4, 4e4]])
    low = LayerNorm(dtype="mixed_float16")(x)
    np.testing.assert_allclose(low, LayerNorm()(x), atol=2e-3)


def test_layer_norm_keeps_its_weights_in_float32():
    """1.001 and 1.003 are 1 in bfloat16, and their difference would be lost."""
    layer = LayerNorm(epsilon=1e-9, dtype="mixed_bfloat16")
    layer.build((None, 2))
    layer.set_weights([np.full(2, 1.001), np.full(2, -1.003)])
    y = layer(np.float32([[1, -1]]))
    assert float(y[0, 0]) == pytest.approx(-0.002, rel=0.01)


def test_layer_norm_of_a_constant_example_is_beta():
    y = LayerNorm()(np.full((2, 4), 7.0, "float32"))
    np.testing.assert_array_equal(y, np.zeros((2, 4)))


# ---- Residual --------------------------------------------------------------------


def stock_residual(norm_first, width, hidden):
    """The residual block of stock layers, as a functional model."""
    inputs = keras.Input((None, width))
    norm = keras.layers.LayerNormalization()
    inner = keras.Sequential(
        [keras.layers.Dense(hidden, activation="relu"), keras.layers.Dense(width)]
    )
    if norm_first:
        outputs = keras.layers.Add()([inputs, inner(norm(inputs))])
    else:
        outputs = norm(keras.layers.Add()([inputs, inner(inputs)]))
    return keras.Model(inputs, outputs), norm, inner


@SMALL
@given(b=sizes, t=sizes, width=st.integers(3, 6), first=st.booleans(), seed=seeds)
def test_residual_is_the_block_of_stock_layers(b, t, width, first, seed):
    ours = Residual([Linear(7, "relu"), Linear(width)], first)
    ours.build((None, None, width))
    stock, norm, inner = stock_residual(first, width, 7)
    weights = [normal(w.shape, seed + i) for i, w in enumerate(ours.weights)]
    ours.set_weights(weights)
    norm.set_weights(ours.norm.get_weights())
    inner.set_weights([w for layer in ours.inner for w in layer.get_weights()])
    x, upstream = normal((b, t, width), seed), normal((b, t, width), seed + 50)
    np.testing.assert_allclose(ours(x), stock(x), atol=1e-4, rtol=1e-4)
    mine, theirs = gradients(ours, x, upstream)[0], gradients(stock, x, upstream)[0]
    np.testing.assert_allclose(mine, theirs, atol=1e-3, rtol=1e-3)


def test_residual_jacobian_is_identity_plus_that_of_the_update():
    layer = Residual(Linear(4, "tanh"))
    x = tf.constant(normal((1, 4)))
    layer(x)
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(x)
        y, update = layer(x), layer.inner[0](layer.norm(x))
    whole = tape.jacobian(y, x)[0, :, 0]
    inner = tape.jacobian(update, x)[0, :, 0]
    np.testing.assert_allclose(whole, np.eye(4) + inner, atol=EXACT)


def test_residual_of_zero_is_the_identity():
    layer = Residual(Linear(4))
    x = normal((3, 4))
    layer(x)
    layer.inner[0].set_weights([np.zeros((4, 4)), np.zeros(4)])
    np.testing.assert_array_equal(layer(x), x)


def test_residual_weights_are_found_and_trained():
    layer = Residual([Linear(8, "relu"), Linear(4)])
    layer(normal((3, 4)))
    assert len(layer.trainable_weights) == 6
    assert all(np.any(g) for g in gradients(layer, normal((9, 4)), normal((9, 4), 1)))


@pytest.mark.parametrize("units", [1, 5])
def test_residual_refuses_another_shape(units):
    """With 1 unit a bare sum would broadcast and say nothing."""
    with pytest.raises(ValueError, match=r"inner must return the shape of its input"):
        Residual(Linear(units))(normal((2, 4)))


def test_training_reaches_the_layer_inside():
    layer = Residual(Noise(1.0, seed=0))
    x = normal((2, 4))
    silent = layer(x)
    np.testing.assert_array_equal(silent, layer(x, training=False))
    assert np.any(layer(x, training=True) != silent)


@pytest.mark.parametrize("norm_first", [True, False])
def test_mask_reaches_the_layer_inside(norm_first):
    """Attention inside a residual: what stands at a masked position can't matter."""
    keras.utils.set_random_seed(0)
    inputs = keras.Input((None, 4))
    states = Residual(MultiHeadAttention(2), norm_first)(MaskMissing()(inputs))
    model = keras.Model(inputs, MaskedMean()(states))
    x = normal((2, 5, 4))
    longer = np.concatenate([x, np.full((2, 3, 4), np.nan, "float32")], axis=1)
    np.testing.assert_allclose(model(longer), model(x), atol=CLOSE)


# ---- Noise -----------------------------------------------------------------------


@SMALL
@given(shape=shapes, stddev=st.floats(0, 1), seed=seeds)
def test_noise_is_gaussian_noise(shape, stddev, seed):
    ours, stock = Noise(stddev, seed), keras.layers.GaussianNoise(stddev, seed)
    x = normal(shape, seed)
    for _ in range(2):
        np.testing.assert_allclose(
            ours(x, training=True), stock(x, training=True), atol=EXACT
        )
    np.testing.assert_array_equal(ours(x), x)


def test_noise_has_its_moments():
    z = Noise(0.5, seed=0)(np.zeros((400, 250), "float32"), training=True).numpy()
    # Standard errors of the mean and the deviation of 100 000 draws: 0.0016, 0.0011.
    assert abs(z.mean()) < 0.007 and abs(z.std() - 0.5) < 0.005
    rows = np.corrcoef(z.ravel()[:-1], z.ravel()[1:])[0, 1]
    assert abs(rows) < 0.015


def test_noise_is_silent_at_inference_and_in_predict():
    model = keras.Sequential([keras.Input((3,)), Noise(1.0)])
    x = normal((6, 3))
    np.testing.assert_array_equal(model.predict(x, verbose=0), x)


def draw(layer):
    return layer(np.zeros((2, 8), "float32"), training=True).numpy()


def test_noise_is_reproducible_and_different_between_calls_and_layers():
    assert np.array_equal(draw(Noise(1.0, seed=4)), draw(Noise(1.0, seed=4)))
    layer = Noise(1.0, seed=4)
    assert not np.array_equal(draw(layer), draw(layer))
    keras.utils.set_random_seed(0)
    first = [draw(Noise(1.0)), draw(Noise(1.0))]
    keras.utils.set_random_seed(0)
    again = [draw(Noise(1.0)), draw(Noise(1.0))]
    assert np.array_equal(first, again) and not np.array_equal(*first)


def test_noise_differs_between_steps_of_a_compiled_function():
    layer = Noise(1.0, seed=0)
    step = tf.function(lambda x: layer(x, training=True))
    x = tf.zeros((2, 4))
    assert not np.array_equal(step(x), step(x))


def test_the_state_of_noise_is_not_saved_as_in_keras(tmp_path):
    """A loaded model draws from the beginning again, ours and Keras's alike."""
    for noise in (Noise(1.0, seed=0), keras.layers.GaussianNoise(1.0, seed=0)):
        model = keras.Sequential([keras.Input((4,)), noise])
        x = np.zeros((2, 4), "float32")
        first, second = model(x, training=True), model(x, training=True)
        model.save(tmp_path / "model.keras")
        again = keras.models.load_model(tmp_path / "model.keras")(x, training=True)
        assert np.array_equal(again, first) and not np.array_equal(again, second)


def test_noise_has_one_state_and_nothing_to_train():
    layer = Noise(1.0)
    assert layer.trainable_variables == [] and layer.weights == []
    assert len(layer.variables) == 1


# ---- MovingStandardize -----------------------------------------------------------


def stock_standardize(momentum, epsilon=1e-3):
    return keras.layers.BatchNormalization(
        momentum=momentum, epsilon=epsilon, scale=False, center=False
    )


@SMALL
@given(
    shape=st.lists(st.integers(2, 5), min_size=2, max_size=3).map(tuple),
    momentum=st.floats(0, 0.95),
    masked=st.booleans(),
    seed=seeds,
)
def test_standardize_is_batch_normalization(shape, momentum, masked, seed):
    ours, stock = MovingStandardize(momentum), stock_standardize(momentum)
    rng = np.random.default_rng(seed)
    mask = None
    if masked and len(shape) == 3:
        mask = rng.random(shape[:2]) < 0.7
        mask[0, 0] = True
    for step in range(3):
        x = normal(shape, seed + step, loc=2.0)
        mine = ours(x, mask=mask, training=True)
        np.testing.assert_allclose(mine, stock(x, mask=mask, training=True), atol=1e-4)
    pairs = zip(ours.get_weights(), stock.get_weights(), strict=True)
    for mine, theirs in pairs:
        np.testing.assert_allclose(mine, theirs, atol=CLOSE)
    np.testing.assert_allclose(ours(x), stock(x), atol=1e-4)


def test_standardize_has_the_gradient_of_batch_normalization():
    x, g = normal((6, 3)), normal((6, 3), 1)
    found = []
    for layer in (MovingStandardize(), stock_standardize(0.99)):
        tensor = tf.constant(x)
        with tf.GradientTape() as tape:
            tape.watch(tensor)
            total = ops.sum(layer(tensor, training=True) * g)
        found.append(tape.gradient(total, tensor).numpy())
    np.testing.assert_allclose(*found, atol=CLOSE)


@SMALL
@given(steps=st.integers(0, 6), momentum=st.floats(0, 0.95), seed=seeds)
def test_moving_averages_have_their_closed_form(steps, momentum, seed):
    layer = MovingStandardize(momentum)
    layer.build((None, 3))
    batches = [normal((8, 3), seed + s, loc=4.0, scale=2.0) for s in range(steps)]
    for batch in batches:
        layer(batch, training=True)
    shares = (1 - momentum) * momentum ** np.arange(steps)[::-1]
    start = momentum**steps
    mean = 0 * start + sum(s * b.mean(0) for s, b in zip(shares, batches, strict=True))
    variance = start + sum(s * b.var(0) for s, b in zip(shares, batches, strict=True))
    np.testing.assert_allclose(layer.moving_mean, mean + np.zeros(3), atol=CLOSE)
    np.testing.assert_allclose(layer.moving_variance, variance, atol=1e-4)


def test_standardize_moves_in_training_only():
    layer, x = MovingStandardize(0.5), normal((8, 3), loc=3.0)
    layer(x)
    np.testing.assert_array_equal(layer.moving_mean, np.zeros(3))
    layer.trainable = False
    layer(x, training=True)
    np.testing.assert_array_equal(layer.moving_mean, np.zeros(3))
    layer.trainable = True
    layer(x, training=True)
    np.testing.assert_allclose(layer.moving_mean, 0.5 * x.mean(0), atol=EXACT)
    assert layer.trainable_weights == [] and len(layer.weights) == 2


def test_a_batch_without_anything_moves_nothing():
    layer, x = MovingStandardize(0.5), normal((2, 3, 4), loc=3.0)
    y = layer(x, mask=np.zeros((2, 3), bool), training=True)
    assert np.all(np.isfinite(y))
    np.testing.assert_array_equal(layer.moving_mean, np.zeros(4))
    np.testing.assert_array_equal(layer.moving_variance, np.ones(4))


def test_standardize_learns_in_fit_and_not_in_evaluate():
    model = keras.Sequential([keras.Input((3,)), MovingStandardize(0.0), Linear(1)])
    model.compile("sgd", "mse")
    x, y = normal((32, 3), loc=3.0), normal((32, 1))
    model.fit(x, y, batch_size=32, epochs=1, verbose=0)
    moved = model.layers[0].get_weights()
    np.testing.assert_allclose(moved[0], x.mean(0), atol=CLOSE)
    np.testing.assert_allclose(moved[1], x.var(0), atol=CLOSE)
    model.evaluate(x + 100, y, verbose=0)
    for before, after in zip(moved, model.layers[0].get_weights(), strict=True):
        np.testing.assert_array_equal(before, after)


def test_standardize_keeps_its_averages_in_float32():
    """1.001 is 1 in bfloat16: a value of 1 would stand on the mean, not below it."""
    layer = MovingStandardize(epsilon=1e-9, dtype="mixed_bfloat16")
    layer.build((None, 1))
    layer.set_weights([np.float32([1.001]), np.float32([1])])
    assert float(layer(np.float32([[1]]))[0, 0]) == pytest.approx(-0.001, rel=0.01)


def test_standardize_does_not_look_at_masked_positions():
    x = normal((2, 6, 3))
    mask = np.arange(6) < np.array([[4], [6]])
    found = []
    for junk in (0.0, 1e3):
        layer = MovingStandardize(0.5)
        y = layer(np.where(mask[..., None], x, junk), mask=mask, training=True)
        found.append([y.numpy()[mask], *layer.get_weights()])
    for one, other in zip(*found, strict=True):
        np.testing.assert_allclose(one, other, atol=EXACT)


# ---- Masks -----------------------------------------------------------------------


@SMALL
@given(b=sizes, t=sizes, n=sizes, seed=seeds)
def test_mask_missing_is_masking(b, t, n, seed):
    rng = np.random.default_rng(seed)
    x, gone = normal((b, t, n), seed), rng.random((b, t)) < 0.4
    ours = MaskMissing()(np.where(gone[..., None], np.nan, x).astype("float32"))
    stock = keras.layers.Masking(-99.0)(
        np.where(gone[..., None], -99.0, x).astype("float32")
    )
    np.testing.assert_array_equal(ours, stock)
    np.testing.assert_array_equal(ours._keras_mask, stock._keras_mask)


def test_one_missing_feature_masks_the_position():
    x = normal((1, 3, 2))
    x[0, 1, 0] = np.nan
    y = MaskMissing()(x)
    assert y._keras_mask.numpy().tolist() == [[True, False, True]]
    np.testing.assert_array_equal(y[0, 1], [0, 0])
    np.testing.assert_array_equal(y[0, ::2], x[0, ::2])


def test_an_earlier_mask_stays():
    x = keras.layers.Masking(9.0)(np.float32([[[9, 9], [1, 2], [np.nan, 3]]]))
    assert MaskMissing()(x)._keras_mask.numpy().tolist() == [[False, True, False]]


@SMALL
@given(b=sizes, t=sizes, n=sizes, masked=st.booleans(), seed=seeds)
def test_masked_mean_is_global_average_pooling(b, t, n, masked, seed):
    x, mask = normal((b, t, n), seed), None
    if masked:
        mask = np.random.default_rng(seed).random((b, t)) < 0.6
        mask[:, 0] = True
    stock = keras.layers.GlobalAveragePooling1D()(x, mask=mask)
    np.testing.assert_allclose(MaskedMean()(x, mask=mask), stock, atol=EXACT)


@SMALL
@given(extra=st.integers(1, 6), seed=seeds)
def test_padding_changes_nothing(extra, seed):
    """Through every layer that passes a mask on, in a functional model."""
    inputs = keras.Input((None, 3))
    hidden = MaskMissing()(inputs)
    for layer in (Linear(4), LayerNorm(), Residual(Linear(4)), Noise(1.0)):
        hidden = layer(hidden)
    model = keras.Model(inputs, MaskedMean()(MovingStandardize()(hidden)))
    x = normal((2, 4, 3), seed)
    longer = np.pad(x, ((0, 0), (0, extra), (0, 0)), constant_values=np.nan)
    np.testing.assert_allclose(model(longer), model(x), atol=CLOSE)


def test_masked_mean_of_nothing_is_0_and_its_gradient_too():
    x = tf.constant(np.full((1, 3, 2), np.nan, "float32"))
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = MaskedMean()(x, mask=np.zeros((1, 3), bool))
    assert np.all(y.numpy() == 0) and np.all(tape.gradient(y, x).numpy() == 0)


def test_masked_mean_counts_exactly_in_low_precision():
    """bfloat16 can't count to 257: the mean of 256 ones and a zero would be 1."""
    x = np.ones((1, 257, 1), "float32")
    x[0, -1] = 0
    found = float(MaskedMean(dtype="mixed_bfloat16")(x)[0, 0])
    assert found == float(ops.cast(256 / 257, "bfloat16")) != 1.0


def test_masked_mean_uses_the_mask_up():
    assert getattr(
        MaskedMean()(MaskMissing()(normal((2, 3, 4)))), "_keras_mask", 0
    ) in (
        0,
        None,
    )


def test_a_layer_without_supports_masking_warns_and_loses_the_mask():
    class Forgetful(keras.layers.Layer):
        def call(self, inputs):
            return 2 * inputs

    with pytest.warns(UserWarning, match="does not support masking"):
        y = Forgetful()(MaskMissing()(normal((2, 3, 4))))
    assert getattr(y, "_keras_mask", None) is None


# ---- What every layer promises ---------------------------------------------------


def named(settings, name):
    """The settings of an inner layer: those of the outer one, under another name."""
    return {**settings, "name": name}


def as_text(layer):
    """The config as it is written into a file, where a tuple is a list."""
    return json.dumps(layer.get_config())


MAKERS = {
    "linear": lambda **k: Linear(4, "relu", **k),
    "no bias": lambda **k: Linear(4, use_bias=False, **k),
    "norm": lambda **k: LayerNorm(**k),
    "norm of two": lambda **k: LayerNorm((-1, 1), epsilon=1e-2, **k),
    "residual": lambda **k: Residual(
        [Linear(6, "relu", **named(k, "a")), Linear(4, **named(k, "b"))], False, **k
    ),
    "nested": lambda **k: Residual(
        Residual(Linear(4, **named(k, "a")), **named(k, "b")), epsilon=1e-4, **k
    ),
    "noise": lambda **k: Noise(0.1, seed=1, **k),
    "standardize": lambda **k: MovingStandardize(0.5, 1e-2, **k),
    "missing": lambda **k: MaskMissing(**k),
    "mean": lambda **k: MaskedMean(**k),
}
every_layer = pytest.mark.parametrize("name", MAKERS)


@every_layer
def test_saved_and_loaded_without_custom_objects(name, tmp_path):
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((5, 4)), MAKERS[name](name="it")])
    x = normal((3, 5, 4))
    model(x, training=True)  # moves states
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded(x), model(x))
    assert type(loaded.layers[-1]) is type(model.layers[-1])
    assert as_text(loaded.layers[-1]) == as_text(model.layers[-1])


@every_layer
def test_config_makes_the_same_layer(name):
    layer = MAKERS[name](name="it", trainable=False)
    again = type(layer).from_config(layer.get_config())
    assert as_text(again) == as_text(layer)
    x = normal((2, 5, 4))
    layer(x), again(x)
    again.set_weights(layer.get_weights())
    np.testing.assert_array_equal(again(x), layer(x))


@every_layer
def test_shape_is_known_before_and_right_after(name):
    layer = MAKERS[name]()
    expected = layer.compute_output_shape((2, 5, 4))
    symbolic = layer(keras.KerasTensor((None, 5, 4)))
    assert tuple(symbolic.shape) == (None, *expected[1:])
    assert tuple(layer(normal((2, 5, 4))).shape) == tuple(expected)


@every_layer
def test_mixed_precision(name):
    """bfloat16 carries 8 bits: 2^-7 relative, and sums of a few such terms."""
    keras.utils.set_random_seed(0)
    low, full = MAKERS[name](dtype="mixed_bfloat16"), MAKERS[name]()
    x = normal((3, 5, 4))
    full(x)
    y = low(x, training=False)
    assert keras.backend.standardize_dtype(y.dtype) == "bfloat16"
    assert {w.dtype for w in low.weights} <= {"float32"}
    low.set_weights(full.get_weights())
    y = low(x, training=True), full(x, training=True)
    low_y, full_y = (np.asarray(ops.cast(v, "float32")) for v in y)
    np.testing.assert_allclose(low_y, full_y, atol=0.08, rtol=0.03)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "mixed_float16", "float64"])
@every_layer
def test_every_dtype(name, dtype):
    """Weights in that dtype too; how exact each is, the test before this one asks."""
    layer, x = MAKERS[name](dtype=dtype), normal((3, 5, 4))
    for training in (True, False):
        y = layer(x, training=training)
        assert keras.backend.standardize_dtype(y.dtype) == layer.compute_dtype
        assert np.all(np.isfinite(ops.cast(y, "float32")))


def test_standardize_with_a_mask_compiled():
    x, mask = normal((2, 6, 3)), np.arange(6) < np.array([[4], [6]])
    eager, layer = MovingStandardize(0.5), MovingStandardize(0.5)
    expected = eager(x, mask=mask, training=True)
    layer.build((None, None, 3))

    @tf.function(
        input_signature=[
            tf.TensorSpec((None, None, 3)),
            tf.TensorSpec((None, None), tf.bool),
        ],
        jit_compile=True,
    )
    def step(x, mask):
        return layer(x, mask=mask, training=True)

    np.testing.assert_allclose(step(x, mask), expected, atol=CLOSE)
    for mine, theirs in zip(layer.get_weights(), eager.get_weights(), strict=True):
        np.testing.assert_allclose(mine, theirs, atol=EXACT)


@every_layer
def test_compiled_and_eager_agree(name):
    keras.utils.set_random_seed(0)
    layer, x = MAKERS[name](), normal((3, 5, 4))
    eager = layer(x)
    np.testing.assert_allclose(tf.function(layer)(x), eager, atol=EXACT)
    any_shape = [tf.TensorSpec((None, 5, 4))]
    compiled = tf.function(layer, input_signature=any_shape, jit_compile=True)
    np.testing.assert_allclose(compiled(x), eager, atol=CLOSE)


@every_layer
def test_layers_pass_masks_on_except_the_mean(name):
    layer = MAKERS[name]()
    x = MaskMissing()(normal((2, 5, 4)))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        y = layer(x)
    mask = getattr(y, "_keras_mask", None)
    assert mask is None if name == "mean" else np.all(mask)


# ---- Bad input -------------------------------------------------------------------


@pytest.mark.parametrize("units", [0, -3])
def test_linear_refuses_units_out_of_range(units):
    with pytest.raises(ValueError, match=f"units must be positive, got {units}"):
        Linear(units)


@pytest.mark.parametrize("units", [2.0, "3", None, True])
def test_linear_refuses_units_of_another_type(units):
    with pytest.raises(TypeError, match="units must be an integer, got"):
        Linear(units)


@pytest.mark.parametrize("layer", [Linear(2), MovingStandardize()])
def test_an_unknown_width_is_refused(layer):
    with pytest.raises(ValueError, match="known number of features"):
        layer.build((None, None))


def test_switches_must_be_booleans():
    with pytest.raises(TypeError, match="use_bias must be True or False, got 1"):
        Linear(2, use_bias=1)
    with pytest.raises(TypeError, match="norm_first must be True or False, got <Lin"):
        Residual(Linear(2), Linear(2))  # two layers, but not in a list


@pytest.mark.parametrize("shape", [(2, 3, 4), (2, 4), (3,), ()])
@pytest.mark.parametrize("kind", [MovingStandardize, MaskedMean])
def test_masks_of_another_shape_are_refused(kind, shape):
    training = {"training": True} if kind is MovingStandardize else {}
    with pytest.raises(ValueError, match=r"mask must have the leading axes of inputs"):
        kind()(normal((2, 3, 4)), mask=np.ones(shape, bool), **training)


def test_a_mean_over_time_needs_a_mask_of_time():
    with pytest.raises(ValueError, match=r"mask must have .* got shape \(2,\)"):
        MaskedMean()(normal((2, 3, 4)), mask=np.ones(2, bool))


@SMALL
@given(axis=st.sampled_from([0, -2, 2, -3, (1, 1), (1, -1), (0, 1)]))
def test_layer_norm_refuses_axes_that_do_not_fit(axis):
    with pytest.raises(ValueError, match="axis must name different axes"):
        LayerNorm(axis).build((None, 4))


@pytest.mark.parametrize(
    ("axis", "kind", "what"),
    [
        ([], ValueError, "at least one"),
        (1.0, TypeError, "axis must be an integer"),
        (["a"], TypeError, "axis must be an integer"),
    ],
)
def test_layer_norm_refuses_axes_that_are_none(axis, kind, what):
    with pytest.raises(kind, match=what):
        LayerNorm(axis)


def test_layer_norm_refuses_an_unknown_length():
    with pytest.raises(ValueError, match="known length"):
        LayerNorm(1).build((None, None, 3))


BAD_EPSILON = [0, -1e-3, float("nan"), float("inf")]


@pytest.mark.parametrize("epsilon", BAD_EPSILON)
@pytest.mark.parametrize(
    "make",
    [LayerNorm, MovingStandardize, lambda epsilon: Residual(Linear(1), True, epsilon)],
)
def test_epsilon_must_be_positive(make, epsilon):
    with pytest.raises(ValueError, match="epsilon must be positive and finite, got"):
        make(epsilon=epsilon)
    with pytest.raises(TypeError, match="epsilon must be a number, got"):
        make(epsilon="small")


@SMALL
@given(momentum=st.floats().filter(lambda m: not 0 <= m < 1))
def test_momentum_must_be_a_share(momentum):
    with pytest.raises(ValueError, match=r"momentum must be in \[0, 1\), got"):
        MovingStandardize(momentum)


@SMALL
@given(stddev=st.floats().filter(lambda s: not 0 <= s < float("inf")))
def test_stddev_must_not_be_negative(stddev):
    with pytest.raises(ValueError, match="stddev must be 0 or more, and finite, got"):
        Noise(stddev)


def test_noise_refuses_other_types():
    with pytest.raises(TypeError, match="stddev must be a number, got 'a'"):
        Noise("a")
    with pytest.raises(TypeError, match=r"seed must be an integer, got 1\.5"):
        Noise(1.0, seed=1.5)


def test_residual_refuses_what_is_no_layer():
    for inner in (lambda x: x, [Linear(2), "relu"], None):
        with pytest.raises(TypeError, match="inner must be made of Keras layers, got"):
            Residual(inner)
    with pytest.raises(ValueError, match="inner must have at least one layer"):
        Residual([])


@pytest.mark.parametrize("layer", [MaskMissing(), MaskedMean()], ids=lambda a: a.name)
def test_masks_need_a_time_axis(layer):
    with pytest.raises(ValueError, match="ndim=3"):
        layer(normal((2, 3)))


# ---- What the chapter says of Keras ----------------------------------------------

CHAPTER = Path(__file__).resolve().parents[1] / "book" / "custom_layers.md"


def from_chapter(*names):
    """The classes of the chapter, made by running its code."""
    text = CHAPTER.read_text(encoding="utf-8")
    space = {"keras": keras, "layers": keras.layers, "ops": ops, "tf": tf}
    space |= {"Noise": Noise}
    for name in names:
        start = text.index(f"class {name}(")
        code = re.split(r"\n\n\n|\n```", text[start:])[0]
        exec(code, space)
    return [space[name] for name in names]


X, Y = normal((64, 3)), normal((64, 3), 1) @ normal((3, 2), 2)


def losses(layer, run_eagerly):
    model = keras.Sequential([keras.Input((3,)), layer, Linear(2)])
    model.compile(keras.optimizers.Adam(0.01), "mse", run_eagerly=run_eagerly)
    return model.fit(X, Y, epochs=3, verbose=0).history["loss"]


@pytest.mark.parametrize("run_eagerly", [True, False])
def test_a_layer_made_in_the_constructor_learns(run_eagerly):
    (right,) = from_chapter("Right")
    layer = right(2)
    layer(X)
    before = layer.get_weights()
    losses(layer, run_eagerly)
    assert len(layer.trainable_weights) == 2
    assert all(np.any(a != b) for a, b in zip(before, layer.get_weights(), strict=True))


def test_a_layer_made_in_call_is_silent_in_eager_mode_and_refused_when_compiled():
    (made,) = from_chapter("MadeInCall")
    layer = made(2)
    assert not np.array_equal(layer(X), layer(X)) and layer.weights == []
    losses(layer, run_eagerly=True)  # no warning: the head can be trained
    with pytest.raises(ValueError, match="only supports singleton"):
        losses(made(2), run_eagerly=False)


def test_a_layer_kept_in_call_is_refused():
    _, kept = from_chapter("MadeInCall", "KeptInCall")
    with pytest.raises(ValueError, match="cannot add new elements of state"):
        kept(2)(X)


@pytest.mark.parametrize("run_eagerly", [True, False])
def test_a_raw_variable_is_silently_frozen(run_eagerly):
    _, raw = from_chapter("MadeInCall", "RawVariable")
    layer = raw(2)
    layer(X)
    before = layer.W.numpy()
    losses(layer, run_eagerly)
    assert layer.weights == [] and np.array_equal(layer.W.numpy(), before)


def test_call_makes_a_model_without_weights():
    layer, x = Linear(2), keras.Input((3,))
    layer.build((None, 3))
    assert keras.Model(x, layer.call(x)).weights == []
    assert len(keras.Model(x, layer(x)).weights) == 2


def test_sequential_warns_of_masks_without_need():
    layer = keras.Sequential([Linear(4), Linear(4)])
    x = MaskMissing()(normal((2, 3, 4)))
    with pytest.warns(UserWarning, match="does not support masking"):
        y = layer(x)
    assert np.all(y._keras_mask)


@SMALL
@given(shape=shapes, seed=seeds)
def test_solution_rms_norm_is_rms_normalization(shape, seed):
    (rms,) = from_chapter("RMSNorm")
    stock = keras.layers.RMSNormalization(epsilon=1e-3)
    agree(*twins(rms(epsilon=1e-3), stock, shape, seed), normal(shape, seed), seed)


def test_solution_transposed_shares_one_matrix():
    (transposed,) = from_chapter("Transposed")
    encode, x = Linear(2), keras.Input((3,))
    model = keras.Model(x, transposed(encode)(encode(x)))
    assert model.count_params() == 3 * 2 + 2 + 3
    expected = X @ encode.W.numpy() @ encode.W.numpy().T
    np.testing.assert_allclose(model(X), expected, atol=CLOSE)


def test_solution_resumed_noise_goes_on(tmp_path):
    (resumed,) = from_chapter("ResumedNoise")
    resumed = keras.saving.register_keras_serializable("test_layers")(resumed)
    model = keras.Sequential([keras.Input((4,)), resumed(1.0, seed=0)])
    zeros = np.zeros((2, 4), "float32")
    model(zeros, training=True)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    for _ in range(2):
        again, expected = loaded(zeros, training=True), model(zeros, training=True)
        np.testing.assert_array_equal(again, expected)


def test_a_mask_may_leave_out_whole_examples():
    layer = MovingStandardize(momentum=0.0, epsilon=1e-6)
    layer(ops.array([[1.0], [3.0], [99.0]]), mask=ops.array([1, 1, 0]), training=True)
    np.testing.assert_allclose(layer.moving_mean, [2.0])
    np.testing.assert_allclose(layer.moving_variance, [1.0])
