"""The VAE: its layer, its steps, its bound, its files, and what its code tells.

Oracles: SciPy's integrals and normal distribution, finite differences in float64,
NumPy's formula of the loss, scikit-learn's PCA, functions with known Sobol indices.

Keras computes in float32. A loss is a sum over up to 784 pixels of terms near 1, so
it agrees with float64 within 1e-5 relative; gradients within 1e-4 relative.
"""

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from keras import layers, ops
from scipy import integrate, stats
from scipy.special import expit, logsumexp
from sklearn.decomposition import PCA

from advanced_keras.autoencoder import cross_entropy_from_logits
from advanced_keras.data.digits import JITTER, Digits, load_digits
from advanced_keras.tracing import trace
from advanced_keras.training import record_step
from advanced_keras.vae import (
    FACTORS,
    VAE,
    GaussianVAE,
    LinearGaussian,
    Sampling,
    active_dimensions,
    build_decoder,
    build_encoder,
    build_linear_vae,
    build_vae,
    encode,
    factors_of,
    interpolate,
    kl_by_dimension,
    kl_divergence,
    kl_shares,
    latent_plane,
    log_weights,
    new_values,
    redraw,
    sample_prior,
    share_alone,
    share_redrawn,
)

BUSY = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow]}
SMALL = {"filters": (4, 8), "width": 16}


@pytest.fixture(scope="module")
def digits():
    return load_digits(num_train=192, num_test=80)


def make(m=3, seed=1, optimizer=None, **options):
    """A small VAE, compiled."""
    vae = build_vae(m, seed=seed, **{**SMALL, **options})
    vae.compile(optimizer or keras.optimizers.Adam(2e-3))
    return vae


@pytest.fixture(scope="module")
def trained(digits):
    """One VAE after one epoch, and what fit reported; no test may train it further."""
    vae = make()
    return vae, fit(vae, digits[0].images)


def fit(vae, *data, **options):
    """Train without shuffling; the history."""
    options = {"batch_size": 64, "epochs": 1, "shuffle": False, **options}
    return vae.fit(*data, verbose=0, **options).history


def scores(vae, *data, **options):
    return vae.evaluate(*data, batch_size=64, verbose=0, return_dict=True, **options)


def assert_close(one, other, atol):
    for a, b in zip(one.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, atol=atol)


def same_weights(one, other):
    pairs = zip(one.get_weights(), other.get_weights(), strict=True)
    return all(np.array_equal(a, b) for a, b in pairs)


def numpy_loss(images, logits, mean, log_var, beta=1.0):
    """The formula, in float64: reconstruction and KL of each image."""
    x, a, mu, v = (np.asarray(each, float) for each in (images, logits, mean, log_var))
    pixels = np.logaddexp(0, a) - x * a
    kl = 0.5 * (mu**2 + np.exp(v) - v - 1).sum(-1)
    return pixels.reshape(len(x), -1).sum(-1), kl


# ---- The KL term --------------------------------------------------------------------


@settings(max_examples=30, **BUSY)
@given(st.floats(-3, 3), st.floats(-4, 3))
def test_kl_is_the_integral(mu, log_var):
    """Numerical integration of q log(q / p) over the real line."""
    q, p = stats.norm(mu, np.exp(log_var / 2)), stats.norm(0, 1)
    low, high = mu - 12 * q.std(), mu + 12 * q.std()
    wanted = integrate.quad(
        lambda z: q.pdf(z) * (q.logpdf(z) - p.logpdf(z)), low, high, points=[mu]
    )[0]
    found = kl_divergence(np.array([[mu]]), np.array([[log_var]]))
    np.testing.assert_allclose(found, [wanted], rtol=1e-6, atol=1e-7)


def test_kl_is_the_monte_carlo_mean_and_adds_up_over_dimensions():
    mean, log_var = np.array([[0.5, -1.0, 2.0]]), np.array([[0.0, -2.0, 0.7]])
    rng = np.random.default_rng(0)
    z = mean + np.exp(log_var / 2) * rng.normal(size=(400_000, 3))
    log_q = stats.norm(mean, np.exp(log_var / 2)).logpdf(z).sum(-1)
    ratio = log_q - stats.norm(0, 1).logpdf(z).sum(-1)
    error = ratio.std() / np.sqrt(len(z))
    found = float(kl_divergence(mean, log_var)[0])
    assert abs(found - ratio.mean()) < 4 * error
    parts = ops.convert_to_numpy(kl_by_dimension(mean, log_var))
    assert found == pytest.approx(parts.sum()) and parts.shape == (1, 3)


def test_kl_is_zero_only_at_the_prior_and_exact_nearby():
    assert float(kl_divergence(np.zeros((1, 4)), np.zeros((1, 4)))[0]) == 0
    tiny = np.full((1, 1), 1e-4, "float32")
    found = float(kl_divergence(np.zeros((1, 1), "float32"), tiny)[0])
    assert found >= 0 and found == pytest.approx(0.25e-8, abs=4e-12)


# ---- The layer that draws -----------------------------------------------------------


def pair(count=64, m=3, seed=0):
    rng = np.random.default_rng(seed)
    return tuple(rng.normal(size=(2, count, m)).astype("float32"))


def test_draws_have_the_mean_and_the_variance():
    mean = np.full((40_000, 1), 1.5, "float32")
    log_var = np.full((40_000, 1), np.log(0.25), "float32")
    z = ops.convert_to_numpy(Sampling(0)((mean, log_var), training=True)).ravel()
    assert stats.kstest(z, stats.norm(1.5, 0.5).cdf).pvalue > 1e-3


def test_gradient_reaches_mean_and_log_var():
    mean, log_var = map(tf.Variable, pair())
    with tf.GradientTape() as tape:
        z = Sampling(0)((mean, log_var), training=True)
        total = tf.reduce_sum(z)
    to_mean, to_log_var = tape.gradient(total, [mean, log_var])
    np.testing.assert_array_equal(to_mean, np.ones_like(mean))
    # d z / d log_var = sigma epsilon / 2 = (z - mean) / 2
    np.testing.assert_allclose(to_log_var, (z - mean) / 2, atol=1e-6)


def test_sampling_is_silent_at_inference():
    """errata, VAE: Sampling draws at inference, so two predicts differ."""
    mean, log_var = pair()
    layer = Sampling(0)
    for training in (None, False):
        assert np.array_equal(layer((mean, log_var), training=training), mean)
    assert not np.array_equal(layer((mean, log_var), training=True), mean)


def test_two_layers_draw_different_noise():
    """errata, VAE: a hard-coded seed gives two layers the same noise."""
    one, other = Sampling(), Sampling()
    assert not np.array_equal(one(pair(), training=True), other(pair(), training=True))
    assert not np.array_equal(one(pair(), training=True), one(pair(), training=True))


def test_set_random_seed_reproduces_the_noise():
    """errata, VAE: with a hard-coded seed set_random_seed does nothing."""
    draws = []
    for seed in (3, 3, 4):
        keras.utils.set_random_seed(seed)
        draws.append(ops.convert_to_numpy(Sampling()(pair(), training=True)))
    assert np.array_equal(draws[0], draws[1])
    assert not np.array_equal(draws[0], draws[2])


def test_same_seed_same_noise_another_seed_another():
    a, b, c = (Sampling(seed)(pair(), training=True) for seed in (5, 5, 6))
    assert np.array_equal(a, b) and not np.array_equal(a, c)


def test_sampling_in_half_precision():
    layer = Sampling(0, dtype="mixed_bfloat16")
    z = layer(pair(), training=True)
    assert z.dtype == "bfloat16" and np.all(np.isfinite(ops.cast(z, "float32")))


def test_sampling_has_no_weights_and_keeps_its_seed():
    layer = Sampling(7, name="draw")
    layer(pair())
    again = Sampling.from_config(layer.get_config())
    assert (again.seed, again.name, layer.get_weights()) == (7, "draw", [])
    assert layer.compute_output_shape([(None, 3), (None, 3)]) == (None, 3)


@pytest.mark.parametrize("seed", [1.5, "1", True])
def test_sampling_refuses_seed(seed):
    with pytest.raises(TypeError, match="seed must be an integer or None, got"):
        Sampling(seed)


def test_sampling_refuses_what_is_no_pair():
    mean, log_var = pair()
    for inputs in [(mean, log_var[:, :2]), (mean,), (mean, log_var, mean), mean]:
        with pytest.raises(ValueError, match="inputs must be a pair"):
            Sampling()(inputs)


# ---- The networks -------------------------------------------------------------------


def test_encoder_returns_a_pair_and_decoder_logits():
    encoder, decoder = build_encoder(5, **SMALL), build_decoder(5, **SMALL)
    assert [tuple(each.shape) for each in encoder.outputs] == [(None, 5)] * 2
    assert [layer.name for layer in encoder.layers][-2:] == ["mean", "log_var"]
    assert decoder.output_shape == (None, 28, 28, 1)
    ups = [each for each in decoder.layers if isinstance(each, layers.Conv2DTranspose)]
    assert len(ups) == 2 and ups[-1].activation is keras.activations.linear
    logits = ops.convert_to_numpy(decoder(np.full((1, 5), 30.0, "float32")))
    assert logits.min() < 0 or logits.max() > 1


def test_every_sigma_starts_at_one(digits):
    _, log_var = encode(make(), digits[1].images)
    assert np.array_equal(log_var, np.zeros_like(log_var))


def test_networks_can_be_traced():
    traced = trace(build_encoder, 4, **SMALL)
    assert {"features", "hidden", "mean", "log_var"} <= {
        name.name for step in traced.steps for out in step.outputs for name in out.names
    }
    assert trace(build_decoder, 4, **SMALL).result.output_shape == (None, 28, 28, 1)


@pytest.mark.parametrize("bad", [0, -1, 2.0, "2", True, None])
def test_networks_refuse_sizes(bad):
    for build in (build_encoder, build_decoder):
        with pytest.raises(ValueError, match="latent_dim must be a positive integer"):
            build(bad)
        with pytest.raises(ValueError, match="width must be a positive integer"):
            build(2, width=bad)
    with pytest.raises(ValueError, match="n must be a positive integer"):
        build_linear_vae(bad, 2)
    with pytest.raises(ValueError, match="latent_dim must be a positive integer"):
        build_linear_vae(4, bad)


def test_networks_refuse_images_that_cannot_be_halved():
    with pytest.raises(ValueError, match="rows and columns that 4 divides"):
        build_vae(2, image_shape=(30, 30, 1))


# ---- The loss -----------------------------------------------------------------------


def test_loss_is_the_formula(digits):
    """Sum over pixels, mean over the batch, from logits; noise as it was drawn."""
    images = digits[0].images[:32]
    vae = make(beta=2.5)
    mean, log_var = vae.encoder(images)
    z = Sampling(1)((mean, log_var), training=True)  # the same seed, so the same noise
    logits = vae.decode(z)
    logs = vae.train_step((tf.constant(images),))
    reconstruction, kl = numpy_loss(images, logits, mean, log_var)
    found = [float(logs[name]) for name in ("reconstruction", "kl", "loss")]
    wanted = reconstruction.mean(), kl.mean(), (reconstruction + 2.5 * kl).mean()
    np.testing.assert_allclose(found, wanted, rtol=1e-5)


def test_reconstruction_is_the_autoencoders_cross_entropy_times_pixels(digits):
    images = digits[0].images[:8]
    vae = make()
    logits = vae(images)
    np.testing.assert_allclose(
        vae.reconstruction(images, logits),
        784 * np.asarray(cross_entropy_from_logits(images, logits)),
        rtol=1e-5,
    )


def test_gradient_of_the_step_is_that_of_finite_differences(digits):
    """Along random directions in the weights, the noise held fixed, in float64."""
    images = digits[0].images[:4].astype("float64")
    with_double = {"dtype": "float64"}
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("float64")
    try:
        n, m = 12, 2
        x = keras.Input((n,), **with_double)
        pair = [layers.Dense(m)(layers.Dense(8, "tanh")(x)) for _ in range(2)]
        z = keras.Input((m,), **with_double)
        vae = VAE(keras.Model(x, pair), keras.Model(z, layers.Dense(n)(z)), beta=0.7)
    finally:
        keras.config.set_dtype_policy(before)
    vae.decode = lambda z, training=None: vae.decoder(z)  # no cast to float32
    batch = images.reshape(4, -1)[:, 300 : 300 + n]
    epsilon = np.random.default_rng(0).normal(size=(4, m))

    def loss():
        mean, log_var = vae.encoder(batch)
        logits = vae.decode(mean + ops.exp(log_var / 2) * epsilon)
        each = vae.reconstruction(batch, logits)
        return ops.mean(each) + vae.beta * ops.mean(kl_divergence(mean, log_var))

    weights = vae.trainable_variables
    with tf.GradientTape() as tape:
        value = loss()
    gradients = tape.gradient(value, weights)
    rng = np.random.default_rng(1)
    for _ in range(5):
        ways = [rng.normal(size=w.shape) for w in weights]
        slope = sum(float(np.sum(g * d)) for g, d in zip(gradients, ways, strict=True))
        ends = []
        for step in (1e-5, -1e-5):
            for w, d in zip(weights, ways, strict=True):
                w.assign_add(step * d)
            ends.append(float(loss()))
            for w, d in zip(weights, ways, strict=True):
                w.assign_sub(step * d)
        assert (ends[0] - ends[1]) / 2e-5 == pytest.approx(slope, rel=1e-6, abs=1e-7)


def test_loss_from_logits_does_not_saturate():
    """errata, VAE: a wrong pixel with logit -40 must cost 40 and pull with 1."""
    logits = tf.Variable([[[[-40.0]]]])
    with tf.GradientTape() as tape:
        loss = make().reconstruction(np.ones((1, 1, 1, 1), "float32"), logits)
    assert float(loss[0]) == pytest.approx(40)
    assert float(tape.gradient(loss, logits)[0, 0, 0, 0]) == pytest.approx(-1)


def test_what_keras_makes_of_probabilities_now():
    """errata, VAE: 16.1 and gradient 0, unless the sigmoid's output comes directly."""

    def of(output):
        logits = tf.Variable([[-40.0]])
        with tf.GradientTape() as tape:
            loss = keras.losses.binary_crossentropy(np.ones((1, 1)), output(logits))
        return float(loss[0]), float(tape.gradient(loss, logits)[0, 0])

    assert of(keras.ops.sigmoid) == pytest.approx((40, -1))
    after = of(lambda a: ops.reshape(keras.ops.sigmoid(a), (1, 1)))
    assert after == pytest.approx((16.118, 0), abs=1e-3)


def test_beta_zero_leaves_the_reconstruction(digits):
    vae = make(beta=0)
    logs = fit(vae, digits[0].images)
    assert logs["loss"] == pytest.approx(logs["reconstruction"])
    assert logs["kl"][0] > 0


def test_losses_of_layers_count(digits):
    """A regularizer in a part is part of the loss, in both steps."""
    vae = make()
    vae.decoder.get_layer("hide").kernel.regularizer = keras.regularizers.L2(3.0)
    kernel = ops.convert_to_numpy(vae.decoder.get_layer("hide").kernel)
    logs = scores(vae, digits[1].images)
    penalty = 3.0 * np.sum(kernel.astype(float) ** 2)
    gap = logs["loss"] - logs["reconstruction"] - logs["kl"]
    assert gap == pytest.approx(penalty, rel=1e-3)


# ---- fit, evaluate, predict ---------------------------------------------------------


def test_fit_lowers_the_loss_and_reports_three_numbers(digits):
    vae = make(optimizer=keras.optimizers.Adam(5e-3))
    logs = fit(vae, digits[0].images, epochs=4, validation_data=(digits[1].images,))
    names = {"loss", "reconstruction", "kl"}
    assert set(logs) == names | {f"val_{name}" for name in names}
    assert logs["loss"][-1] < 0.8 * logs["loss"][0]
    for prefix in ("", "val_"):
        total = np.add(logs[f"{prefix}reconstruction"], logs[f"{prefix}kl"])
        np.testing.assert_allclose(logs[f"{prefix}loss"], total, rtol=1e-5)


def test_fit_with_y_and_with_weights(digits, trained):
    """errata, VAE: fit(x, y) fails."""
    images = digits[0].images
    with_y, (without, logs) = make(), trained
    assert fit(with_y, images, images) == logs
    assert same_weights(with_y, without)
    half, none = np.repeat([[1.0, 0.0], [0.0, 0.0]], 32, axis=1).astype("float32")
    logs = make().test_step((images[:64], images[:64], half))
    whole = make().test_step((images[:32],))
    for name in ("loss", "reconstruction", "kl"):
        assert float(logs[name]) == pytest.approx(float(whole[name]) / 2, rel=1e-5)
    still = make(optimizer=keras.optimizers.SGD(0.1))
    still.train_step((images[:64], images[:64], none))
    assert same_weights(still, make())


def test_denoising_needs_nothing_but_y(digits):
    clean = digits[0].images
    noise = np.random.default_rng(0).uniform(size=clean.shape)
    noisy = np.where(noise < 0.2, 0, clean).astype("float32")
    logs = fit(make(), noisy, clean, validation_data=(noisy[:64], clean[:64]))
    assert np.isfinite(list(logs.values())).all()


def test_fit_takes_a_dataset_and_several_steps_at_a_time(digits, trained):
    """Three batches; two are run at once, and one is left over."""
    arrays, logs = trained
    data = make()
    data.compile(keras.optimizers.Adam(2e-3), steps_per_execution=2)
    batches = tf.data.Dataset.from_tensor_slices(digits[0].images).batch(64)
    found = data.fit(batches, shuffle=False, verbose=0).history
    for name, values in logs.items():
        assert found[name] == pytest.approx(values, rel=1e-5)
    assert_close(arrays, data, atol=1e-5)


def test_evaluate_predict_and_call(digits):
    """errata, VAE: no call, so evaluate, predict and model(x) raise."""
    images = digits[1].images
    vae = make()
    logits = vae.predict(images, verbose=0)
    assert logits.shape == images.shape
    np.testing.assert_allclose(vae(images), logits, atol=1e-5)
    logs = scores(vae, images)
    reconstruction, kl = numpy_loss(images, logits, *encode(vae, images))
    assert logs["loss"] == pytest.approx((reconstruction + kl).mean(), rel=1e-5)
    assert logs == scores(vae, images, images)
    assert vae.compute_output_shape((None, 28, 28, 1)) == (None, 28, 28, 1)


def test_two_predicts_are_equal(digits):
    """errata, VAE: noise at inference; here it is drawn in training only."""
    vae = make()
    one, other = (vae.predict(digits[1].images, verbose=0) for _ in range(2))
    assert np.array_equal(one, other)
    noisy = [vae(digits[1].images, training=True) for _ in range(2)]
    assert not np.array_equal(*noisy)


def test_logs_are_means_over_the_examples_of_the_epoch(digits):
    """A short last batch counts by its examples; nothing is the last batch's value."""
    images = digits[1].images[:70]
    still = make(optimizer=keras.optimizers.SGD(0.0))
    whole = scores(still, images)
    in_parts = still.evaluate(images, batch_size=32, verbose=0, return_dict=True)
    for name in whole:
        assert in_parts[name] == pytest.approx(whole[name], rel=1e-5)
    kl = [float(k) for k in kl_divergence(*still.encoder(images))]
    logs = fit(still, images, batch_size=32)
    assert logs["kl"][0] == pytest.approx(np.mean(kl), rel=1e-5)
    assert fit(still, images, batch_size=32)["kl"] == logs["kl"]  # reset in between


def test_metrics_and_callbacks(digits):
    """Metrics exist before compile; compile's own are updated; callbacks see lr."""
    vae = build_vae(2, seed=0, **SMALL)
    assert [metric.name for metric in vae.metrics] == ["reconstruction", "kl"]
    vae.compile("adam", metrics=[keras.metrics.MeanSquaredError(name="mse")])
    rate = keras.callbacks.LearningRateScheduler(lambda epoch: 1e-3 / (epoch + 1))
    logs = fit(vae, digits[0].images, epochs=2, callbacks=[rate])
    assert "mse" in logs and float(vae.optimizer.learning_rate) == pytest.approx(5e-4)


def test_the_two_other_ways_train_the_same(digits, trained):
    """compute_loss overridden, and add_loss: the same weights as with train_step."""
    for cls in (ByComputeLoss, ByAddLoss):
        vae = make()
        other = cls(vae.encoder, vae.decoder, seed=1)
        other.compile(keras.optimizers.Adam(2e-3))
        fit(other, digits[0].images)
        assert_close(trained[0], other, atol=2e-5)


class ByComputeLoss(keras.Model):
    """The loss in compute_loss; y_pred carries all that it needs."""

    def __init__(self, encoder, decoder, seed):
        super().__init__()
        self.encoder, self.decoder, self.draw = encoder, decoder, Sampling(seed)

    def call(self, images, training=None):
        mean, log_var = self.encoder(images)
        logits = self.decoder(self.draw((mean, log_var), training=training))
        return logits, mean, log_var

    def compute_loss(self, x, y=None, y_pred=None, sample_weight=None, training=True):
        logits, mean, log_var = y_pred
        pixels = ops.softplus(logits) - x * logits
        each = ops.sum(pixels, axis=(1, 2, 3)) + kl_divergence(mean, log_var)
        return ops.mean(each)


class ByAddLoss(ByComputeLoss):
    """The loss added in call."""

    def call(self, images, training=None):
        logits, mean, log_var = super().call(images, training)
        pixels = ops.softplus(logits) - images * logits
        self.add_loss(ops.mean(ops.sum(pixels, axis=(1, 2, 3))))
        self.add_loss(ops.mean(kl_divergence(mean, log_var)))
        return logits

    def compute_loss(self, x, y=None, y_pred=None, sample_weight=None, training=True):
        return sum(self.losses)


# ---- The recorded step --------------------------------------------------------------


def test_one_line_trains_and_one_line_draws(digits):
    vae = make()
    record = record_step(vae, (digits[0].images[:32],))
    trained = {event.text for event, _ in record.changes("weights")}
    assert trained == {"self.optimizer.apply(gradients, self.trainable_variables)"}
    assert record.unchanged("weights") == ()
    drawn = {event.text for event, _ in record.changes("state")}
    assert drawn == {"z = self.sampling((mean, log_var), training=True)"}
    (tape,) = record.at("kl = average")
    assert tape.tapes == 1


def test_test_step_changes_metrics_only(digits):
    vae = make()
    data = (tf.constant(digits[0].images[:32]),)
    record = record_step(vae.test_step, *[data], groups={
        "weights": vae.trainable_variables,
        "state": vae.non_trainable_variables,
    })  # fmt: skip
    assert record.changes() == []


# ---- Files and seeds ----------------------------------------------------------------


def test_save_and_load_model(digits, tmp_path):
    """errata, VAE: no get_config, save raises."""
    vae = make(beta=0.5)
    fit(vae, digits[0].images)
    vae.save(tmp_path / "vae.keras")
    again = keras.saving.load_model(tmp_path / "vae.keras")
    x = digits[1].images
    assert np.array_equal(vae.predict(x, verbose=0), again.predict(x, verbose=0))
    assert again.beta == 0.5 and scores(vae, x) == scores(again, x)


def test_resumed_training_is_uninterrupted_training(digits, trained, tmp_path):
    """Weights, optimizer, and how far the noise has run: all from one file."""
    images = digits[0].images
    straight = make()
    fit(straight, images, epochs=3)
    trained[0].save(tmp_path / "vae.keras")
    again = keras.saving.load_model(tmp_path / "vae.keras")
    fit(again, images, epochs=2)
    assert same_weights(straight, again)


def test_keras_would_forget_the_noise(digits, tmp_path):
    """Why Sampling writes its state: a seed generator is in no file of Keras."""
    dropout = layers.Dropout(0.5, seed=1)
    model = keras.Sequential([keras.Input((4,)), dropout])
    model(np.ones((1, 4)), training=True)
    model.save(tmp_path / "plain.keras")
    again = keras.saving.load_model(tmp_path / "plain.keras")
    count = [int(m.layers[0].seed_generator.state[1]) for m in (model, again)]
    assert count == [1, 0]


def test_save_weights_and_load_weights(digits, trained, tmp_path):
    vae, other = trained[0], make(seed=2)
    other.optimizer.build(other.trainable_variables)  # its state is in the file, too
    vae.save_weights(tmp_path / "vae.weights.h5")
    other.load_weights(tmp_path / "vae.weights.h5")
    x = digits[1].images
    assert np.array_equal(vae.predict(x, verbose=0), other.predict(x, verbose=0))
    noise = [np.asarray(each(x[:4], training=True)) for each in (vae, other)]
    assert np.array_equal(*noise)


def test_checkpoint_callbacks(digits, tmp_path):
    path = tmp_path / "{epoch}.weights.h5"
    keep = keras.callbacks.ModelCheckpoint(path, save_weights_only=True)
    vae = make()
    fit(vae, digits[0].images, epochs=2, callbacks=[keep])
    other = make(seed=3)
    other.optimizer.build(other.trainable_variables)
    other.load_weights(tmp_path / "2.weights.h5")
    assert same_weights(vae, other)


def test_same_seed_same_result(digits, trained):
    again = make()
    assert fit(again, digits[0].images) == trained[1]
    assert same_weights(again, trained[0])
    assert not same_weights(make(seed=4), make(seed=5))


def test_without_a_seed_set_random_seed_decides(digits):
    """Weights and noise alike."""
    runs = []
    for seed in (8, 8, 9):
        keras.utils.set_random_seed(seed)
        vae = make(seed=None)
        vae.train_step((tf.constant(digits[0].images[:64]),))
        runs.append(vae)
    assert same_weights(runs[0], runs[1]) and not same_weights(runs[0], runs[2])
    assert runs[0].sampling.seed is None


def test_mixed_bfloat16(digits):
    """errata, VAE: fails under mixed_bfloat16."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        vae = make()
        assert vae.encoder.get_layer("hide").compute_dtype == "bfloat16"
    finally:
        keras.config.set_dtype_policy(before)
    mean, log_var = vae.encoder(digits[1].images)
    logits = vae(digits[1].images)
    assert mean.dtype == log_var.dtype == logits.dtype == "float32"
    wanted = scores(make(), digits[1].images)["loss"]  # the same weights in float32
    assert scores(vae, digits[1].images)["loss"] == pytest.approx(wanted, rel=0.02)
    logs = fit(vae, digits[0].images, epochs=2)
    assert np.isfinite(logs["loss"]).all() and logs["loss"][1] < logs["loss"][0]


# ---- Bad input ----------------------------------------------------------------------


def test_refuses_parts():
    encoder, decoder = build_encoder(2, **SMALL), build_decoder(2, **SMALL)
    with pytest.raises(TypeError, match="encoder must be a Keras model, got 3"):
        VAE(3, decoder)
    with pytest.raises(TypeError, match="decoder must be a Keras model"):
        VAE(encoder, len)
    with pytest.raises(ValueError, match=r"encoder must return a pair"):
        VAE(decoder, encoder)
    with pytest.raises(ValueError, match=r"decoder must take codes of shape \(None, 2"):
        VAE(encoder, build_decoder(3, **SMALL))
    z = keras.Input((2,))
    with pytest.raises(ValueError, match="decoder must return the encoder's input"):
        VAE(encoder, keras.Model(z, layers.Dense(7)(z)))


@pytest.mark.parametrize("seed", [-1, 1.5, "1", True])
def test_build_vae_names_the_seed_that_came(seed):
    with pytest.raises(ValueError, match=f"seed must be .*got {seed!r}"):
        build_vae(2, seed=seed, **SMALL)


def test_refuses_parts_without_known_shapes():
    """A subclassed part has no inputs: one clear message, no AttributeError."""

    class Sub(keras.Model):
        def call(self, x):
            return x

    encoder, decoder = build_encoder(2, **SMALL), build_decoder(2, **SMALL)
    with pytest.raises(ValueError, match="encoder must be functional or sequential"):
        VAE(Sub(), decoder)
    with pytest.raises(ValueError, match="decoder must be functional or sequential"):
        VAE(encoder, keras.Sequential([layers.Dense(7)]))


@pytest.mark.parametrize("beta", [-0.1, "1", None, True, np.nan, np.inf])
def test_refuses_beta(beta):
    with pytest.raises(ValueError, match="beta must be a number of at least 0, got"):
        make(beta=beta)


def test_refuses_labels_and_a_loss(digits):
    with pytest.raises(ValueError, match="y must be what to reconstruct"):
        fit(make(), digits[0].images, digits[0].labels)
    vae = make()
    vae.compile("adam", loss="mse")
    with pytest.raises(ValueError, match="loss must not be given to compile"):
        fit(vae, digits[0].images)


@pytest.mark.parametrize("noise", [0, -1.0, "1", True])
def test_refuses_noise(noise):
    with pytest.raises(ValueError, match="noise must be None or a positive number"):
        build_linear_vae(3, 1, noise=noise)


# ---- The oracle: probabilistic PCA --------------------------------------------------


@pytest.fixture(scope="module")
def cloud():
    """Six correlated numbers with two large directions."""
    rng = np.random.default_rng(0)
    W = rng.normal(size=(6, 2)) * [2.0, 1.0]
    x = rng.normal(size=(600, 2)) @ W.T + 0.5 * rng.normal(size=(600, 6)) + 1.0
    return x.astype("float32")


@pytest.fixture(scope="module")
def linear(cloud):
    vae = build_linear_vae(6, 2, seed=0)
    rate = keras.optimizers.schedules.CosineDecay(0.05, 1500, alpha=0.01)
    vae.compile(keras.optimizers.Adam(rate), steps_per_execution=50)
    draws = tf.data.Dataset.from_tensor_slices(cloud).cache().shuffle(600, seed=0)
    data = draws.repeat().batch(200)
    vae.fit(data, steps_per_epoch=1500, shuffle=False, verbose=0)
    return vae


def test_linear_vae_reaches_the_likelihood_of_ppca(cloud, linear):
    """Within 0.01 nats an example of scikit-learn's PCA.score, and not above it."""
    model = LinearGaussian.of(linear)
    wanted = PCA(2).fit(cloud).score(cloud)
    reached = model.log_likelihood(cloud).mean()
    assert wanted - 0.01 < reached < wanted + 0.001
    # the posterior of the linear model is what q can be, so the bound is tight
    elbo = model.elbo(cloud, *encode(linear, cloud)).mean()
    assert reached - 0.01 < elbo <= reached + 1e-6


def test_linear_vae_finds_the_principal_directions(cloud, linear):
    """Not only the subspace: the columns of W are the components, one by one."""
    W = LinearGaussian.of(linear).W
    directions = W / np.linalg.norm(W, axis=0)
    alike = np.abs(PCA(2).fit(cloud).components_ @ directions)
    assert alike.max(axis=1).min() > 0.995


def test_likelihood_is_scipys_and_elbo_is_the_mean_of_the_weights(cloud, linear):
    model, x = LinearGaussian.of(linear), cloud[:20]
    wanted = stats.multivariate_normal(model.b, model.covariance).logpdf(x)
    np.testing.assert_allclose(model.log_likelihood(x), wanted, rtol=1e-9)
    weights = log_weights(linear, x, draws=200)
    elbo = model.elbo(x, *encode(linear, x))
    error = weights.std(0) / np.sqrt(200)
    assert np.all(np.abs(weights.mean(0) - elbo) < 5 * error + 1e-3)


def test_bounds_are_in_order(cloud):
    """ELBO <= importance weighted bound <= log p(x), for an untrained model too."""
    vae = build_linear_vae(6, 2, noise=0.5, seed=3)
    x = cloud[:100]
    weights = log_weights(vae, x, draws=50)
    elbo, tighter = weights.mean(), (logsumexp(weights, axis=0) - np.log(50)).mean()
    truth = LinearGaussian.of(vae).log_likelihood(x).mean()
    assert elbo < tighter < truth + 0.01


def test_fixed_noise_is_fixed_and_saved(cloud, tmp_path):
    vae = build_linear_vae(6, 2, noise=0.3, seed=0)
    vae.compile("adam")
    vae.fit(cloud[:64], verbose=0)
    assert LinearGaussian.of(vae).noise == pytest.approx(0.3)
    vae.save(tmp_path / "linear.keras")
    again = keras.saving.load_model(tmp_path / "linear.keras")
    assert isinstance(again, GaussianVAE) and again.noise == 0.3
    assert np.array_equal(vae(cloud), again(cloud))


# ---- Looking at the code ------------------------------------------------------------


def test_shares_of_a_known_function():
    """f = 3 u + v + 2 w s, independent, variances 1: Sobol's indices are known."""
    rng = np.random.default_rng(0)
    u, v, w, s = rng.normal(size=(4, 20_000))
    codes = np.stack([3 * u + v, 2 * w * s], axis=1)  # variance 9 + 1 + 4
    found = [share_alone(codes, each, bins=60) for each in (u, v, w)]
    np.testing.assert_allclose(found, [9 / 14, 1 / 14, 0], atol=0.02)
    classes = rng.integers(0, 5, 20_000)
    assert share_alone(classes[:, None].astype(float), classes) == pytest.approx(1)
    assert abs(share_alone(codes, classes)) < 0.003


def test_unsigned_labels_are_classes():
    """Labels of MNIST are uint8; cut into bins as numbers they would mix."""
    labels = np.random.default_rng(0).integers(0, 10, 500)
    codes = np.random.default_rng(1).normal(size=(10, 2))[labels]
    for kind in ("int64", "uint8"):
        assert share_alone(codes, labels.astype(kind)) == pytest.approx(1)


def test_share_redrawn_counts_interactions():
    """The left edge of the ink times the top: neither place alone explains much."""
    digits = load_digits(num_train=1, num_test=600)[1]
    rows = np.arange(28) - 13.5

    def product(images):
        ink = np.asarray(images, float)[..., 0]
        total = ink.sum((1, 2))
        right, down = (ink.sum(axis) @ rows / total for axis in (1, 2))
        return (right * down)[:, None]

    for name in ("right", "down"):
        alone = share_alone(product(digits.images), digits.jitter[name], bins=10)
        assert share_redrawn(product, digits, name) > 0.5 > 0.2 > alone


def test_share_redrawn_is_all_where_nothing_else_varies():
    """One digit, moved to the right only: redrawing that loses all of the variance."""
    digits = load_digits(num_train=1, num_test=400)[1]
    rest = {name: 0.0 for name in JITTER if name not in ("right", "size")}
    digits = redraw(digits, label=3, font=0, size=20.0, **rest)

    def column(images):
        return images.sum((1, 3), dtype=float) @ np.arange(28)[:, None]

    assert share_redrawn(column, digits, "right") == pytest.approx(1, abs=0.15)
    assert share_redrawn(column, digits, "down") < 0.01


def test_share_redrawn_of_a_code_that_counts_ink():
    digits = load_digits(num_train=1, num_test=300)[1]

    def ink(images):
        return np.asarray(images, float).sum((1, 2, 3))[:, None]

    def column(images):
        return (images.sum((1, 3)) * np.arange(28)).sum(1, keepdims=True) / ink(images)

    assert share_redrawn(column, digits, "right") > 0.6
    assert share_redrawn(column, digits, "down") < 0.02
    assert share_redrawn(ink, digits, "weight") > 10 * share_redrawn(
        ink, digits, "rotation"
    )


def test_redraw_replaces_one_factor_and_keeps_the_rest(digits):
    test = digits[1]
    assert np.array_equal(redraw(test).images, test.images)
    turned = redraw(test, rotation=0.0)
    assert not np.array_equal(turned.images, test.images)
    assert set(turned.jitter["rotation"]) == {0.0}
    for name in FACTORS:
        if name != "rotation":
            assert np.array_equal(factors_of(turned)[name], factors_of(test)[name])
    back = redraw(turned, rotation=test.jitter["rotation"])
    assert np.array_equal(back.images, test.images)


def test_new_values_are_like_the_old_ones():
    for name in FACTORS:
        values = new_values(name, 4000, seed=1)
        if name in JITTER:
            low, high = JITTER[name]
            assert low <= values.min() < values.max() <= high
        else:
            assert values.dtype.kind == "i" and values.min() == 0
            assert values.max() == (9 if name == "label" else 13)


def test_factors_are_refused_where_there_are_none(digits):
    plain = Digits(digits[1].images, digits[1].labels)
    with pytest.raises(ValueError, match="digits must be drawn ones"):
        factors_of(plain)
    with pytest.raises(ValueError, match=r"factors must be among .* got 'colour'"):
        redraw(digits[1], colour=1)
    with pytest.raises(ValueError, match=r"name must be one of .* got 'colour'"):
        new_values("colour", 3)
    with pytest.raises(ValueError, match="count must be an integer"):
        new_values("label", 0)
    with pytest.raises(
        ValueError, match=r"label must be one value, .* got shape \(3,\)"
    ):
        redraw(digits[1], label=[1, 2, 3])
    with pytest.raises(ValueError, match="digits must be drawn ones"):
        share_redrawn(len, plain, "label")
    with pytest.raises(TypeError, match="digits must be Digits"):
        share_redrawn(len, None, "label")
    with pytest.raises(TypeError, match="encoder must be callable"):
        share_redrawn(None, digits[1], "label")
    with pytest.raises(ValueError, match="name must be one of"):
        share_redrawn(len, digits[1], "colour")


def test_interpolation_goes_straight_from_one_end_to_the_other():
    start, stop = np.array([1.0, -2.0]), np.array([3.0, 4.0])
    line = interpolate(start, stop, steps=5)
    np.testing.assert_array_equal(line[[0, 2, 4]], [start, [2.0, 1.0], stop])
    np.testing.assert_allclose(np.diff(line, axis=0), [(stop - start) / 4] * 4)
    np.testing.assert_array_equal(interpolate(start, stop, steps=1), [start])


def test_active_dimensions_and_their_kl(digits):
    """One dimension ignores the image: it is not active, and its KL is constant."""
    vae = make(m=3)
    head = vae.encoder.get_layer("mean")
    kernel, bias = head.get_weights()
    kernel[:, 1], bias[1] = 0, 0
    head.set_weights([kernel, bias])
    assert active_dimensions(vae, digits[1].images) == 2
    shares = kl_shares(vae, digits[1].images)
    assert shares[1] == 0 and shares[0] > 0
    whole = scores(vae, digits[1].images)["kl"]
    assert shares.sum() == pytest.approx(whole, rel=1e-5)


def test_latent_plane_is_a_grid_of_quantiles():
    plane = latent_plane(4)
    assert plane.shape == (16, 2) and plane.dtype == "float32"
    ticks = stats.norm.ppf([0.125, 0.375, 0.625, 0.875])
    np.testing.assert_allclose(plane[:4, 0], ticks, rtol=1e-6)
    np.testing.assert_allclose(plane[::4, 1], ticks[::-1], rtol=1e-6)
    for bad in (1, 2.0, True):
        with pytest.raises(ValueError, match="points must be an integer of at least 2"):
            latent_plane(bad)


def test_samples_are_grey_values_and_have_a_seed():
    vae = make()
    one, other, third = (sample_prior(vae, 5, seed) for seed in (0, 0, 1))
    assert np.array_equal(one, other) and not np.array_equal(one, third)
    assert one.shape == (5, 28, 28, 1) and 0 <= one.min() <= one.max() <= 1
    z = np.random.default_rng(0).normal(size=(5, 3)).astype("float32")
    np.testing.assert_allclose(one, expit(vae.decoder(z)), atol=1e-6)


def test_gaussian_vae_generates_means_without_a_sigmoid():
    vae = build_linear_vae(5, 2, seed=0)
    W, b = vae.decoder.get_weights()
    z = np.random.default_rng(0).normal(size=(4, 2)).astype("float32")
    np.testing.assert_allclose(vae.generate(3 * z), 3 * z @ W + b, atol=1e-5)


def test_interpolation_is_a_straight_line():
    line = interpolate(np.zeros(2), np.array([1.0, -2.0]), 5)
    np.testing.assert_allclose(line[2], [0.5, -1.0])
    np.testing.assert_allclose(line[[0, -1]], [[0, 0], [1, -2]])


def test_importance_weights_are_seeded(digits):
    vae = make()
    one, other = (log_weights(vae, digits[1].images[:5], 3, seed=2) for _ in range(2))
    assert np.array_equal(one, other) and one.shape == (3, 5)


# -- grey values are from 0 to 1


def small():
    return build_vae(2, image_shape=(8, 8, 1), filters=(2,), width=4, seed=0)


BAD = [(0.0, 255.0), (-1.0, 1.0), (0.0, 1.001), (-0.001, 0.5), (np.nan, 0.5)]


@pytest.mark.parametrize("ends", BAD)
@pytest.mark.parametrize("method", ["fit", "evaluate", "train_step", "test_step"])
def test_other_grey_values_are_refused(method, ends):
    vae = small()
    vae.compile("adam", run_eagerly=True)
    x = np.resize(np.array(ends, "float32"), (2, 8, 8, 1))
    data = (tf.constant(x),) if method.endswith("step") else x
    with pytest.raises(ValueError, match=r"x must hold grey values from 0 to 1, got"):
        getattr(vae, method)(data)


@pytest.mark.parametrize("method", ["fit", "evaluate"])
def test_it_is_the_target_that_must_be_grey(method):
    vae = small()
    vae.compile("adam", run_eagerly=True)
    grey, noisy = np.full((2, 8, 8, 1), 0.5), np.full((2, 8, 8, 1), -3.0)
    getattr(vae, method)(noisy, grey, verbose=0)
    with pytest.raises(ValueError, match=r"y must hold grey values .* got -3 to -3"):
        getattr(vae, method)(grey, noisy, verbose=0)


def test_the_limits_themselves_rounding_and_nothing_at_all_are_taken():
    vae = small()
    vae.compile("adam", run_eagerly=True)
    x = np.resize(np.array([-1e-7, 1 + 1e-7]), (2, 8, 8, 1))
    assert np.isfinite(vae.evaluate(x, verbose=0, return_dict=True)["loss"])
    vae.unpack((tf.zeros((0, 8, 8, 1)),))


def test_a_gaussian_vae_takes_any_number():
    vae = build_linear_vae(4, 2, seed=0)
    vae.compile("adam", run_eagerly=True)
    history = vae.fit(np.full((2, 4), -7.0), verbose=0).history
    assert np.isfinite(history["loss"][0])
