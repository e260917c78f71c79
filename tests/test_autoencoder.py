"""The autoencoder: parts that share weights, the linear case, losses, files.

Oracles: identity of variables, scikit-learn's PCA, SciPy's principal angles, the
closed forms of the losses, finite differences, stock Keras.
"""

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from keras import layers
from scipy.linalg import subspace_angles
from scipy.special import log_expit, xlogy
from scipy.stats import entropy
from sklearn.decomposition import PCA

from advanced_keras.autoencoder import (
    ReversibleDense,
    build_autoencoder,
    build_decoder,
    build_encoder,
    build_linear_autoencoder,
    build_tied_autoencoder,
    cross_entropy_from_logits,
    grey_entropy,
    initializers,
    squared_error_from_logits,
)
from advanced_keras.tracing import trace

# A busy machine may be slow; that is no reason to fail.
BUSY = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow]}
SMALL = {"image_shape": (8, 8, 1), "filters": (3, 4)}
RNG = np.random.default_rng(0)
IMAGES = RNG.uniform(size=(16, 8, 8, 1)).astype("float32")


def small(latent_dim=3, seed=0):
    """A small whole with its parts."""
    encoder = build_encoder(latent_dim, **SMALL, seed=seed)
    decoder = build_decoder(latent_dim, **SMALL, seed=seed + 1)
    return build_autoencoder(encoder, decoder), encoder, decoder


def compiled(model):
    # Two small batches: to trace a graph would take longer than the steps.
    optimizer = keras.optimizers.Adam(0.01)
    model.compile(optimizer, cross_entropy_from_logits, run_eagerly=True)
    return model


def train(model, epochs=1):
    compiled(model)
    model.fit(IMAGES, IMAGES, batch_size=8, epochs=epochs, shuffle=False, verbose=0)
    return model


def values(model):
    return [np.array(weight) for weight in model.weights]


def differ(before, after):
    return [not np.array_equal(a, b) for a, b in zip(before, after, strict=True)]


# ---- Two models, one set of weights -------------------------------------------------


def test_the_whole_owns_nothing():
    whole, encoder, decoder = small()
    parts = encoder.weights + decoder.weights
    assert len(whole.weights) == len(parts) == 12
    assert all(a is b for a, b in zip(whole.weights, parts, strict=True))
    assert whole.get_layer("encoder") is encoder
    assert whole.get_layer("decoder") is decoder


def test_training_the_whole_trains_both_parts():
    whole, encoder, decoder = small()
    before = values(encoder), values(decoder)
    train(whole)
    assert all(differ(before[0], values(encoder)))
    assert all(differ(before[1], values(decoder)))
    z = encoder(IMAGES)
    np.testing.assert_allclose(decoder(z), whole(IMAGES), atol=1e-6)


def test_training_a_part_is_seen_in_the_whole_and_not_in_the_other_part():
    whole, encoder, decoder = small()
    outputs, theirs = np.array(whole(IMAGES)), values(decoder)
    encoder.compile("sgd", "mse", run_eagerly=True)
    encoder.fit(IMAGES, np.ones((16, 3)), verbose=0)
    assert not any(differ(theirs, values(decoder)))
    assert not np.allclose(outputs, whole(IMAGES))


def test_trace_tells_formal_from_actual_argument():
    _, encoder, decoder = small()
    bindings = trace(build_autoencoder, encoder, decoder).bindings_table().rows
    assert [row[3:5] for row in bindings] == [("example", "image"), ("z", "code")]


def test_two_wholes_may_share_one_decoder():
    """As a part is only called, nothing ties it to the first whole."""
    whole, _, decoder = small()
    other = build_autoencoder(build_encoder(3, **SMALL, seed=9), decoder, "other")
    before = np.array(other(IMAGES))
    train(whole)
    assert not np.allclose(before, other(IMAGES))


# ---- What can be done with Sequential -----------------------------------------------


def flat():
    stack = [layers.Flatten(), layers.Dense(3, name="code"), layers.Dense(64)]
    return keras.Sequential([keras.Input((8, 8, 1)), *stack, layers.Reshape((8, 8, 1))])


def test_slices_of_a_sequential_share_its_weights():
    model = flat()
    first = keras.Sequential(model.layers[:2])
    last = keras.Sequential(model.layers[2:])
    np.testing.assert_allclose(last(first(IMAGES)), model(IMAGES), atol=1e-6)
    assert first.weights[0] is model.weights[0]


def test_a_bare_slice_is_refused_as_a_part_and_one_with_input_is_taken():
    model = flat()
    bare = keras.Sequential(model.layers[:2], name="encoder")
    last = keras.Sequential([keras.Input((3,)), *model.layers[2:]], name="decoder")
    with pytest.raises(ValueError, match="encoder must be functional or sequential"):
        build_autoencoder(bare, last)
    first = keras.Sequential(
        [keras.Input((8, 8, 1)), *model.layers[:2]], name="encoder"
    )
    whole = build_autoencoder(first, last)
    assert whole.weights[0] is model.weights[0]
    np.testing.assert_allclose(whole(IMAGES), model(IMAGES), atol=1e-6)


def test_a_sequential_can_not_fork():
    image = keras.Input((4,))
    pair = keras.Model(image, [layers.Dense(2)(image), layers.Dense(2)(image)])
    with pytest.raises(ValueError, match="expects 1 input"):
        keras.Sequential([keras.Input((4,)), pair, layers.Dense(3)])


# ---- Shapes, seeds, bad input -------------------------------------------------------


@settings(max_examples=12, **BUSY)
@given(
    st.integers(1, 5), st.integers(1, 3), st.integers(1, 3), st.integers(1, 3),
    st.lists(st.integers(1, 4), min_size=1, max_size=2),
)  # fmt: skip
def test_shapes(latent_dim, rows, columns, channels, filters):
    parts = 2 ** len(filters)
    shape = rows * parts, columns * parts, channels
    encoder = build_encoder(latent_dim, shape, filters)
    decoder = build_decoder(latent_dim, shape, filters)
    assert encoder.output_shape == (None, latent_dim)
    assert decoder.output_shape == (None, *shape)
    assert build_autoencoder(encoder, decoder)(np.zeros((2, *shape))).shape == (
        2,
        *shape,
    )


def test_the_way_up_mirrors_the_way_down():
    encoder, decoder = build_encoder(8), build_decoder(8)
    assert [layer.output.shape[1:] for layer in encoder.layers] == [
        layer.output.shape[1:] for layer in decoder.layers[::-1]
    ]


def test_outputs_are_logits():
    assert build_decoder(2).layers[-1].activation is keras.activations.linear
    wide = 50 * RNG.normal(size=(20, 2)).astype("float32")
    logits = np.asarray(build_decoder(2, seed=0)(wide))
    assert logits.min() < 0 and logits.max() > 1


def test_same_seed_same_weights_and_no_two_layers_alike():
    one, other, third = (build_decoder(3, **SMALL, seed=s) for s in (5, 5, 6))
    assert not any(differ(values(one), values(other)))
    assert any(differ(values(one), values(third)))
    draws = initializers(0)
    first, second = next(draws), next(draws)
    assert not np.array_equal(first((4, 4)), second((4, 4)))


def test_without_a_seed_the_global_one_decides():
    def drawn(seed):
        keras.utils.set_random_seed(seed)
        return values(build_encoder(3, **SMALL))

    assert not any(differ(drawn(1), drawn(1))) and any(differ(drawn(1), drawn(2)))


def test_same_seed_same_training():
    assert not any(differ(values(train(small()[0], 2)), values(train(small()[0], 2))))


@pytest.mark.parametrize("build", [build_encoder, build_decoder])
@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"latent_dim": 0}, "latent_dim must be an integer of at least 1, got 0"),
        ({"latent_dim": 2.0}, "latent_dim must be an integer .* got 2.0"),
        ({"latent_dim": True}, "latent_dim must be an integer .* got True"),
        ({"filters": ()}, r"filters must be a tuple .* got \(\)"),
        ({"filters": 16}, "filters must be a tuple .* got 16"),
        ({"filters": (16, -1)}, "filters must be an integer .* got -1"),
        ({"image_shape": (28, 28)}, "image_shape must be .*rows, columns, channels"),
        ({"image_shape": (0, 28, 1)}, "image_shape must be an integer .* got 0"),
        ({"image_shape": (28, 30, 1)}, r"that 4 divides.*got \(28, 30, 1\)"),
        ({"seed": -1}, "seed must be an integer of at least 0, got -1"),
        ({"seed": "x"}, "seed must be an integer"),
    ],
)
def test_bad_numbers(build, arguments, words):
    with pytest.raises(ValueError, match=words):
        build(**({"latent_dim": 2} | arguments))


def test_initializers_are_refused():
    for seed in (-1, 1.5, "0", True):
        with pytest.raises(ValueError, match="seed must be an integer of at least 0"):
            initializers(seed)
    with pytest.raises(TypeError, match="kind must be callable, got 'he'"):
        initializers(0, "he")


def test_bad_parts():
    encoder, decoder = build_encoder(3, **SMALL), build_decoder(4, **SMALL)
    with pytest.raises(TypeError, match="encoder must be a Keras model, got <Dense"):
        build_autoencoder(layers.Dense(3), decoder)
    with pytest.raises(ValueError, match=r"codes of shape \(3,\).*takes \(4,\)"):
        build_autoencoder(encoder, decoder)
    with pytest.raises(ValueError, match=r"different names.* 'encoder'"):
        build_autoencoder(encoder, build_decoder(3, **SMALL, name="encoder"))
    pair = keras.Model(encoder.input, [encoder.output, encoder.output], name="pair")
    with pytest.raises(ValueError, match="'pair' has 1 and 2"):
        build_autoencoder(pair, decoder)


def test_linear_bad_numbers():
    for build in (build_linear_autoencoder, build_tied_autoencoder):
        with pytest.raises(ValueError, match=r"latent_dim must be .* 1 to 4, got 5"):
            build(4, 5)
    with pytest.raises(ValueError, match="units must be an integer"):
        ReversibleDense(4, 0)
    with pytest.raises(ValueError, match="last axis of 4 with reverse=False"):
        ReversibleDense(4, 2)(np.ones((3, 2), "float32"))
    with pytest.raises(ValueError, match="last axis of 2 with reverse=True"):
        ReversibleDense(4, 2)(np.ones((3, 4), "float32"), reverse=True)


# ---- Linear: the principal subspace -------------------------------------------------

LATENT = 3
SPREADS = np.array([4, 3, 2, 1, 0.7, 0.5, 0.3, 0.2])


def data():
    """Centred rows with known, well separated spreads along random axes."""
    rng = np.random.default_rng(1)
    axes = np.linalg.qr(rng.normal(size=(8, 8)))[0]
    rows = rng.normal(size=(400, 8)) * SPREADS @ axes
    return (rows - rows.mean(0)).astype("float32")


def best(x):
    pca = PCA(LATENT).fit(x)
    return pca, np.mean((x - pca.inverse_transform(pca.transform(x))) ** 2)


def fit_linear(model, x, steps=400):
    rate = keras.optimizers.schedules.CosineDecay(0.1, steps)
    model.compile(keras.optimizers.Adam(rate), "mse", steps_per_execution=100)
    batches = tf.data.Dataset.from_tensors((x, x)).repeat()
    model.fit(batches, steps_per_epoch=steps, shuffle=False, verbose=0)
    return model


def linear_parts(model):
    W_e = model.get_layer("encoder").get_layer("W_e")
    W_d = model.get_layer("decoder").get_layer("W_d")
    return np.array(W_e.kernel), np.array(W_d.kernel)


@pytest.mark.parametrize("shift", [0.0, 0.5])
def test_linear_autoencoder_spans_the_principal_subspace(shift):
    """Within half a degree, error within 0.1%; the biases take the mean."""
    x = data() + np.float32(shift)
    model = fit_linear(build_linear_autoencoder(8, LATENT, seed=0), x, 1500)
    _, W_d = linear_parts(model)
    pca, error = best(x)
    angles = np.rad2deg(subspace_angles(W_d.T, pca.components_.T))
    assert angles.max() < 0.5
    mine = np.mean((x - np.asarray(model(x))) ** 2)
    assert -1e-4 < mine / error - 1 < 1e-3


def test_its_axes_are_not_the_components():
    x = data()
    W_e, W_d = linear_parts(fit_linear(build_linear_autoencoder(8, LATENT, seed=0), x))
    pca, _ = best(x)
    mixing = W_d @ pca.components_.T
    assert np.sum(np.diag(mixing) ** 2) < 0.9 * np.sum(mixing**2)
    recovered = PCA(LATENT).fit(x @ W_e @ W_d).components_
    cosines = np.abs(np.sum(recovered * pca.components_, axis=1))
    assert cosines.min() > 0.999


@settings(max_examples=15, **BUSY)
@given(st.integers(0, 10**6))
def test_any_invertible_matrix_between_leaves_the_least_loss(seed):
    x = data()
    pca, error = best(x)
    A = np.random.default_rng(seed).normal(size=(LATENT, LATENT)) + 3 * np.eye(LATENT)
    V = pca.components_.T
    model = build_linear_autoencoder(8, LATENT)
    weights = V @ A, np.zeros(LATENT), np.linalg.inv(A) @ V.T, np.zeros(8)
    model.set_weights(weights)
    assert np.mean((x - np.asarray(model(x))) ** 2) == pytest.approx(error, rel=1e-3)


def test_other_components_are_saddles():
    """No slope at components 1, 2 and 4; a way down towards 3 (Baldi and Hornik)."""
    x = data()
    V = PCA(8).fit(x).components_
    model = build_linear_autoencoder(8, LATENT)

    def loss_and_slope(turn):
        last = np.cos(turn) * V[3] + np.sin(turn) * V[2]
        axes = np.stack([V[0], V[1], last])
        model.set_weights([axes.T, np.zeros(LATENT), axes, np.zeros(8)])
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean((x - model(x)) ** 2)
        return float(loss), tf.linalg.global_norm(tape.gradient(loss, model.weights))

    start, turned = loss_and_slope(0.0), loss_and_slope(0.2)
    assert start[1] < 1e-4 < 1e-2 < turned[1] and turned[0] < start[0]


def test_tied_weights_become_orthonormal_and_span_the_subspace():
    x = data()
    model = fit_linear(build_tied_autoencoder(8, LATENT, seed=0), x)
    W = np.array(model.get_layer("W").kernel)
    assert W.shape == (8, LATENT) and len(model.weights) == 1
    np.testing.assert_allclose(W.T @ W, np.eye(LATENT), atol=1e-2)
    pca, error = best(x)
    assert np.rad2deg(subspace_angles(W, pca.components_.T)).max() < 0.5
    assert np.mean((x - np.asarray(model(x))) ** 2) == pytest.approx(error, rel=1e-3)


def test_reversible_dense_is_its_own_transpose():
    layer = ReversibleDense(5, 2)
    x, z = RNG.normal(size=(3, 5)), RNG.normal(size=(3, 2))
    back = np.asarray(layer(z.astype("float32"), reverse=True))  # built by the way back
    forward = np.asarray(layer(x.astype("float32")))
    assert np.sum(forward * z) == pytest.approx(np.sum(x * back), rel=1e-4)
    assert len(layer.weights) == 1


# ---- Losses -------------------------------------------------------------------------


def test_losses_are_the_closed_forms():
    x = RNG.uniform(size=(4, 6, 5, 1)).astype("float32")
    a = 3 * RNG.normal(size=x.shape).astype("float32")
    p = 1 / (1 + np.exp(-a.astype(float)))
    squared = np.mean((x - p) ** 2, axis=(1, 2, 3))
    crossed = -np.mean(x * np.log(p) + (1 - x) * np.log(1 - p), axis=(1, 2, 3))
    np.testing.assert_allclose(squared_error_from_logits(x, a), squared, rtol=1e-5)
    np.testing.assert_allclose(cross_entropy_from_logits(x, a), crossed, rtol=1e-5)
    keras_says = keras.losses.BinaryCrossentropy(from_logits=True)(x, a)
    assert np.mean(crossed) == pytest.approx(float(keras_says), rel=1e-5)


@settings(max_examples=60, **BUSY)
@given(st.floats(0, 1), st.floats(-30, 30))
def test_cross_entropy_is_entropy_plus_divergence(x, a):
    # log_expit(a) is log p, and log_expit(-a) is log(1 - p), without cancellation
    divergence = xlogy(x, x) - x * log_expit(a)
    divergence += xlogy(1 - x, 1 - x) - (1 - x) * log_expit(-a)
    floor = float(grey_entropy([[x]])[0])
    assert floor == pytest.approx(entropy([x, 1 - x]), abs=1e-9)
    crossed = float(cross_entropy_from_logits(np.array([[x]]), np.array([[a]]))[0])
    assert crossed == pytest.approx(floor + divergence, abs=1e-4)
    assert crossed >= floor - 1e-5


def test_entropy_is_the_least_cross_entropy_and_zero_for_black_and_white():
    x = RNG.uniform(0.01, 0.99, size=(3, 4, 4, 1))
    least = cross_entropy_from_logits(x, np.log(x / (1 - x)))
    np.testing.assert_allclose(grey_entropy(x), least, rtol=1e-4)
    assert np.all(grey_entropy(np.round(x)) == 0)
    assert grey_entropy([0.5])[0] == pytest.approx(np.log(2))
    for bad in ([1.1], [-0.1], [np.nan]):
        with pytest.raises(ValueError, match=r"images must be (finite|from 0 to 1)"):
            grey_entropy(bad)


@pytest.mark.parametrize("loss", [squared_error_from_logits, cross_entropy_from_logits])
def test_gradients_against_finite_differences(loss):
    x = RNG.uniform(size=(2, 3))
    a = tf.constant(RNG.normal(size=(2, 3)))  # float64 is kept
    with tf.GradientTape() as tape:
        tape.watch(a)
        total = tf.reduce_sum(loss(x, a))
    slopes = tape.gradient(total, a).numpy()
    for place in np.ndindex(2, 3):
        step = np.zeros((2, 3))
        step[place] = 1e-5
        up, down = (float(np.sum(loss(x, a.numpy() + s * step))) for s in (1, -1))
        assert slopes[place] == pytest.approx((up - down) / 2e-5, abs=1e-7)


def test_a_sure_and_wrong_pixel_learns_from_the_cross_entropy_only():
    a = tf.constant([[-40.0]])
    for loss, value, slope in (
        (cross_entropy_from_logits, 40.0, -1.0),
        (squared_error_from_logits, 1.0, 0.0),
    ):
        with tf.GradientTape() as tape:
            tape.watch(a)
            cost = loss(tf.ones((1, 1)), a)
        assert float(cost[0]) == pytest.approx(value)
        assert float(tape.gradient(cost, a)[0, 0]) == pytest.approx(slope, abs=1e-6)


# ---- Files --------------------------------------------------------------------------


def test_loaded_whole_gives_parts_that_share(tmp_path):
    whole = train(small()[0])
    whole.save(tmp_path / "whole.keras")
    loaded = keras.models.load_model(tmp_path / "whole.keras")
    np.testing.assert_allclose(loaded(IMAGES), whole(IMAGES), atol=1e-6)
    encoder, decoder = loaded.get_layer("encoder"), loaded.get_layer("decoder")
    parts = encoder.weights + decoder.weights
    assert all(a is b for a, b in zip(loaded.weights, parts, strict=True))
    before = values(encoder)
    loaded.fit(IMAGES, IMAGES, verbose=0)
    assert all(differ(before, values(encoder)))
    np.testing.assert_allclose(decoder(encoder(IMAGES)), loaded(IMAGES), atol=1e-6)


def test_parts_loaded_apart_share_nothing(tmp_path):
    whole, encoder, _ = small()
    encoder.save(tmp_path / "encoder.keras")
    loaded = keras.models.load_model(tmp_path / "encoder.keras")
    np.testing.assert_allclose(loaded(IMAGES), encoder(IMAGES), atol=1e-6)
    assert loaded.weights[0] is not whole.weights[0]


def test_weights_files_and_config():
    whole = train(small()[0])
    copy = keras.Model.from_config(whole.get_config())
    assert [layer.name for layer in copy.layers] == ["example", "encoder", "decoder"]
    copy.set_weights(whole.get_weights())
    np.testing.assert_allclose(copy(IMAGES), whole(IMAGES), atol=1e-6)


def test_save_weights_and_load_weights(tmp_path):
    whole, other = train(small()[0]), small(seed=7)[0]
    whole.save_weights(tmp_path / "some.weights.h5")
    other.load_weights(tmp_path / "some.weights.h5")
    np.testing.assert_allclose(other(IMAGES), whole(IMAGES), atol=1e-6)


def test_resumed_training_equals_uninterrupted_training(tmp_path):
    straight = train(small()[0], epochs=4)
    half = train(small()[0], epochs=2)
    half.save(tmp_path / "half.keras")
    again = keras.models.load_model(tmp_path / "half.keras")
    again.fit(IMAGES, IMAGES, batch_size=8, epochs=2, shuffle=False, verbose=0)
    for a, b in zip(values(straight), values(again), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)


def test_the_flat_tied_model_stays_tied_in_a_file(tmp_path):
    model = build_tied_autoencoder(8, 3, seed=0)
    model.save(tmp_path / "tied.keras")
    loaded = keras.models.load_model(tmp_path / "tied.keras")
    assert len(loaded.weights) == 1
    np.testing.assert_allclose(loaded(data()), model(data()), atol=1e-5)


@pytest.mark.filterwarnings("ignore:Skipping")
def test_keras_unties_nested_models_that_share_a_layer(tmp_path):
    """If this fails, Keras has changed: mend the chapter and nest the tied model."""
    matrix = ReversibleDense(8, 3)
    example, z = keras.Input((8,)), keras.Input((3,))
    encoder = keras.Model(example, matrix(example), name="encoder")
    decoder = keras.Model(z, matrix(z, reverse=True), name="decoder")
    whole = build_autoencoder(encoder, decoder)
    assert len(whole.weights) == 1
    assert len(keras.Model.from_config(whole.get_config()).weights) == 2
    whole.save(tmp_path / "nested.keras")
    with pytest.raises(ValueError, match="could not be loaded"):
        keras.models.load_model(tmp_path / "nested.keras")


def test_mixed_precision():
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        whole, encoder, _ = small()
        train(whole)
        assert encoder.compute_dtype == "bfloat16"
        assert whole(IMAGES).dtype == "float32"
        assert all(np.isfinite(each).all() for each in values(whole))
    finally:
        keras.config.set_dtype_policy(before)
