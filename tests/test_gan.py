"""The GAN: what each half of a step changes, the losses, saving, the ring.

Oracles: closed forms of Goodfellow et al. (2014), finite differences, the losses of
stock Keras, numerical maximization, SciPy's distances, and training that goes on.
"""

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from keras import layers, ops
from scipy.optimize import minimize_scalar
from scipy.spatial.distance import jensenshannon
from scipy.stats import multivariate_normal, norm

from advanced_keras.gan import (
    GAN,
    PairedOptimizer,
    Ring,
    build_discriminator,
    build_generator,
    build_point_discriminator,
    build_point_generator,
    discriminator_loss,
    jensen_shannon,
    minimax_loss,
    non_saturating_loss,
    observe,
    optimal_discriminator,
)
from advanced_keras.gan.model import _objective
from advanced_keras.training import record_step

# A busy machine may be slow; that is no reason to fail.
BUSY = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow]}
RING = Ring()
POINTS = RING.sample(64)


def fussy_players(seed=0):
    """Players with everything that has state: batch normalization and dropout."""
    seeds = keras.random.SeedGenerator(seed)
    z, x = keras.Input((4,)), keras.Input((2,))

    def dense(units):
        start = keras.initializers.GlorotUniform(seed=int(seeds.next()[0]))
        return layers.Dense(units, kernel_initializer=start)

    def hidden(inputs):
        normed = layers.BatchNormalization(momentum=0.5)(dense(8)(inputs))
        dropped = layers.Dropout(0.5, seed=int(seeds.next()[0]))
        return dropped(layers.LeakyReLU()(normed))

    return keras.Model(z, dense(2)(hidden(z))), keras.Model(x, dense(1)(hidden(x)))


def fussy(compiled=True, seed=0, rates=(1e-2, 1e-2), eager=True, **options):
    """A small GAN of such players. Eager steps spare the seconds of a graph."""
    gan = GAN(*fussy_players(seed), **options)
    if compiled:
        adams = [keras.optimizers.Adam(rate, beta_1=0.5) for rate in rates]
        gan.compile(*adams, run_eagerly=eager)
    return gan


def fit(gan, epochs=1, **options):
    return gan.fit(
        POINTS, batch_size=32, epochs=epochs, shuffle=False, verbose=0, **options
    )


def snapshot(variables):
    return [np.array(v) for v in variables]


def same(one, other):
    return all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


def changed(before, variables):
    """Names of the variables that are no longer what they were."""
    return {
        v.path
        for old, v in zip(before, variables, strict=True)
        if not np.array_equal(old, v)
    }


# ---------------------------------------------------------------- the two halves


def test_training_d_leaves_g_untouched():
    gan = fussy()
    before = snapshot(gan.generator.variables)
    moved = snapshot(gan.discriminator.variables)
    gan.train_discriminator(ops.convert_to_tensor(POINTS), gan.draw(64))
    assert same(before, gan.generator.variables)
    assert changed(moved, gan.discriminator.variables) == {
        v.path for v in gan.discriminator.variables
    }


def test_training_g_leaves_d_untouched():
    gan = fussy()
    before = snapshot(gan.discriminator.variables)
    moved = snapshot(gan.generator.variables)
    gan.train_generator(gan.draw(64))
    assert same(before, gan.discriminator.variables)
    assert changed(moved, gan.generator.variables) == {
        v.path for v in gan.generator.variables
    }


def test_each_half_uses_its_own_optimizer():
    gan = fussy()
    for half, mine, other in (
        (lambda: gan.train_generator(gan.draw(8)), gan.g_optimizer, gan.d_optimizer),
        (
            lambda: gan.train_discriminator(POINTS[:8], gan.draw(8)),
            gan.d_optimizer,
            gan.g_optimizer,
        ),
    ):
        before, mine_before = snapshot(other.variables), int(mine.iterations)
        half()
        assert same(before, other.variables)
        assert int(mine.iterations) == mine_before + 1


def test_moving_statistics_change_once_a_step_in_the_players_own_half():
    """The WGAN-GP example moves those of its generator four times a step."""
    gan = fussy()
    record = record_step(
        gan,
        POINTS[:16],
        groups={"generator": gan.generator, "discriminator": gan.discriminator},
        follow=[gan.train_discriminator, gan.train_generator, gan.judge],
    )
    for name in ("generator", "discriminator"):
        moves = [
            (event.function, change.path)
            for event, change in record.changes(name)
            if "moving" in change.path or "seed" in change.path
        ]
        half = "train_generator" if name == "generator" else "judge"
        assert {function for function, _ in moves} == {half}
        assert len(moves) == len({path for _, path in moves}) == 3


def test_recorded_step_is_the_order_of_the_notes():
    gan = fussy()
    players = {"generator": gan.generator, "discriminator": gan.discriminator}
    record = record_step(
        gan,
        POINTS[:16],
        groups=players,
        follow=[gan.train_discriminator, gan.train_generator],
    )
    trained = [
        change.group
        for event, change in record.changes()
        if "optimizer.apply" in event.text
    ]
    assert trained == sorted(trained)  # all of D first, then all of G
    assert set(trained) == {"generator", "discriminator"}
    z = [p.shape for p in record.products("z")]
    assert z == [(16, 4), (16, 4)]
    first, second = record.products("z")
    assert first.norm != second.norm  # fresh latent vectors


def test_g_is_trained_against_the_updated_d():
    """By hand: the step of G with D's new weights, on the z that comes next."""
    gan, twin = fussy(), fussy()
    gan.train_step(POINTS[:16])
    twin.train_discriminator(POINTS[:16], twin.draw(16))
    twin.train_generator(twin.draw(16))
    assert same(snapshot(gan.variables), twin.variables)
    other = fussy()  # G first, against the old D
    other.train_generator(other.draw(16))
    assert not same(snapshot(gan.generator.variables), other.generator.variables)


def test_gradients_of_both_losses_are_those_of_finite_differences():
    gan = fussy()
    x, z = POINTS[:16].astype("float64"), np.array(gan.draw(16))
    keras.utils.set_random_seed(0)
    for player, loss in (
        (
            gan.discriminator,
            lambda: gan.discriminator_loss(x, gan.generator(z), training=False),
        ),
        (
            gan.generator,
            lambda: gan.generator_loss(gan.discriminator(gan.generator(z))),
        ),
    ):
        kernel = player.trainable_variables[0]
        with tf.GradientTape() as tape:
            value = loss()
        gradient = np.array(tape.gradient(value, kernel.value))
        direction = gradient / np.linalg.norm(gradient)
        start, h = np.array(kernel), 1e-2
        ends = []
        for sign in (1, -1):
            kernel.assign(start + sign * h * direction)
            ends.append(float(loss()))
        kernel.assign(start)
        slope = (ends[0] - ends[1]) / (2 * h)
        assert slope == pytest.approx(np.linalg.norm(gradient), rel=2e-2)


def test_observe_reads_state_in_training_mode_and_writes_none():
    network = fussy_players()[1]
    before = snapshot(network.variables)
    first, again = observe(network, POINTS), observe(network, POINTS)
    assert same(before, network.variables)
    assert np.array_equal(first, again)  # the same units dropped
    assert not np.allclose(first, network(POINTS, training=False))
    assert np.allclose(first, network(POINTS, training=True))


def test_observe_lets_the_gradient_through():
    network = fussy_players()[1]
    x = tf.constant(POINTS)
    with tf.GradientTape() as tape:
        tape.watch(x)
        total = ops.sum(observe(network, x))
    assert float(ops.sum(ops.abs(tape.gradient(total, x)))) > 0


# ---------------------------------------------------------------- how often


@pytest.mark.parametrize("d, g", [(1, 1), (1, 3), (4, 1), (2, 2)])
def test_number_of_updates_of_each_player(d, g):
    gan = fussy(discriminator_updates=d, generator_updates=g)
    gan.train_step(POINTS[:16])
    assert int(gan.d_optimizer.iterations) == d
    assert int(gan.g_optimizer.iterations) == g


DEALER = fussy(compiled=False)


@given(st.integers(1, 40), st.integers(1, 6))
@settings(max_examples=40, **BUSY)
def test_a_batch_is_dealt_out_without_empty_or_repeated_parts(size, updates):
    DEALER.discriminator_updates = updates
    parts = DEALER.deal(np.arange(size))
    assert len(parts) == updates
    assert {len(part) for part in parts} == {max(size // updates, 1)}
    if size >= updates:
        rows = np.concatenate(parts)
        assert len(rows) == len(set(rows.tolist()))


def test_short_last_batch_gives_finite_weights():
    gan = fussy(discriminator_updates=2)
    gan.fit(POINTS[:17], batch_size=16, verbose=0)  # the last batch has one example
    assert all(np.isfinite(w).all() for w in gan.get_weights())


def test_together_and_apart_agree_without_batch_statistics():
    options = {"batch_size": 32, "shuffle": False, "verbose": 0}
    logs = []
    for together in (True, False):
        players = build_point_generator(seed=1), build_point_discriminator(seed=2)
        gan = GAN(*players, together=together)
        gan.compile(run_eagerly=True)
        logs.append(gan.fit(POINTS, **options).history)
    for name in logs[0]:
        assert logs[0][name] == pytest.approx(logs[1][name], rel=1e-4)


def test_batch_statistics_see_the_mixture_only_if_together():
    gan = fussy(compiled=False)
    D, z = gan.discriminator, gan.draw(64)
    norm_layer = next(
        each for each in D.layers if isinstance(each, layers.BatchNormalization)
    )
    far = np.array(gan.generator(z)) + 100
    gan.judge(POINTS, ops.convert_to_tensor(far), training=True)
    mixed = np.array(norm_layer.moving_variance).max()
    apart = fussy(compiled=False, together=False)
    apart.judge(POINTS, ops.convert_to_tensor(far), training=True)
    norm_layer = next(
        each
        for each in apart.discriminator.layers
        if isinstance(each, layers.BatchNormalization)
    )
    assert mixed > 100 * np.array(norm_layer.moving_variance).max()


# ---------------------------------------------------------------- losses and theory


@given(
    st.lists(st.floats(-60, 60), min_size=1, max_size=8),
    st.lists(st.floats(-60, 60), min_size=1, max_size=8),
    st.floats(0.5, 1.0),
)
@settings(max_examples=60, **BUSY)
def test_discriminator_loss_is_the_cross_entropy_of_keras(real, fake, target):
    real, fake = (np.array(a, "float32")[:, None] for a in (real, fake))
    bce = keras.losses.BinaryCrossentropy(from_logits=True)
    wanted = bce(np.full_like(real, target), real) + bce(np.zeros_like(fake), fake)
    got = discriminator_loss(real, fake, target)
    assert float(got) == pytest.approx(float(wanted), rel=1e-4, abs=1e-5)


def test_discriminator_that_knows_nothing_loses_log_4():
    zeros = np.zeros((5, 1), "float32")
    assert float(discriminator_loss(zeros, zeros)) == pytest.approx(np.log(4))


def test_generator_losses_and_their_gradients_in_closed_form():
    a = tf.constant(np.linspace(-12, 12, 49, dtype="float32")[:, None])
    D = 1 / (1 + np.exp(-np.array(a, float)))
    for loss, value, slope in (
        (minimax_loss, np.log(1 - D), -D),
        (non_saturating_loss, -np.log(D), D - 1),
    ):
        with tf.GradientTape() as tape:
            tape.watch(a)
            total = loss(a)
        assert float(total) == pytest.approx(value.mean(), rel=1e-5)
        gradient = len(D) * np.array(tape.gradient(total, a))
        assert np.allclose(gradient, slope, atol=1e-5)


def test_minimax_vanishes_where_d_is_sure_and_non_saturating_does_not():
    sure = tf.constant([[-30.0]])
    slopes = []
    for loss in (minimax_loss, non_saturating_loss):
        with tf.GradientTape() as tape:
            tape.watch(sure)
            value = loss(sure)
        slopes.append(abs(float(tape.gradient(value, sure)[0, 0])))
    assert slopes[0] < 1e-9 and slopes[1] == pytest.approx(1)


@given(st.floats(0.01, 5), st.floats(0.01, 5), st.floats(0.6, 1), st.floats(0, 0.4))
@settings(max_examples=60, **BUSY)
def test_optimal_discriminator_by_numerical_search(p, q, s, t):
    def minus_value(D):
        on_data = s * np.log(D) + (1 - s) * np.log(1 - D)
        on_model = t * np.log(D) + (1 - t) * np.log(1 - D)
        return -(p * on_data + q * on_model)

    best = minimize_scalar(minus_value, bounds=(1e-9, 1 - 1e-9), method="bounded").x
    assert optimal_discriminator(p, q, s, t) == pytest.approx(best, abs=2e-4)


def test_one_sided_smoothing_keeps_p_model_out_of_the_numerator():
    far = optimal_discriminator(1e-9, 1.0, real_target=0.9)
    assert far < 1e-8  # where only G draws, D still says fake
    both = optimal_discriminator(1e-9, 1.0, real_target=0.9, fake_target=0.1)
    assert both == pytest.approx(0.1)


@given(st.floats(-3, 3), st.floats(0.3, 2))
@settings(max_examples=30, **BUSY)
def test_jensen_shannon_is_that_of_scipy(mean, scale):
    grid = np.linspace(-15, 15, 3001)
    p, q = norm.pdf(grid), norm.pdf(grid, mean, scale)
    step = grid[1] - grid[0]
    assert jensen_shannon(p, q, step) == pytest.approx(
        jensenshannon(p, q) ** 2, abs=1e-6
    )


def test_jensen_shannon_ends():
    grid = np.linspace(-10, 10, 2001)
    p = norm.pdf(grid)
    assert jensen_shannon(p, p, 0.01) == pytest.approx(0)
    apart = np.where(grid < 0, 1, 0) / 10, np.where(grid < 0, 0, 1) / 10
    assert jensen_shannon(*apart, 0.01) == pytest.approx(np.log(2), rel=1e-2)


def test_value_of_the_best_discriminator_is_two_jsd_minus_log_4():
    grid = np.linspace(-12, 12, 4001)
    step = grid[1] - grid[0]
    p, q = norm.pdf(grid), norm.pdf(grid, 1.5, 0.7)
    D = optimal_discriminator(p, q)
    with np.errstate(divide="ignore"):
        on_fake = np.where(D < 1, q * np.log(1 - D), 0)
        on_real = np.where(D > 0, p * np.log(D), 0)
    value = np.sum(on_real + on_fake, where=np.isfinite(on_real + on_fake)) * step
    assert value == pytest.approx(2 * jensen_shannon(p, q, step) - np.log(4), abs=1e-4)


def test_a_trained_discriminator_comes_near_the_best_one():
    rng = np.random.default_rng(0)
    count = 8192
    p, q = norm(0, 1), norm(1.5, 0.7)
    x, xhat = p.rvs(count, random_state=rng), q.rvs(count, random_state=rng)
    keras.utils.set_random_seed(0)
    D = keras.Sequential([keras.Input((1,)), layers.Dense(32, "tanh"), layers.Dense(1)])
    D.compile(
        keras.optimizers.Adam(0.02),
        keras.losses.BinaryCrossentropy(from_logits=True),
        steps_per_execution=16,
    )
    both = np.concatenate([x, xhat])[:, None].astype("float32")
    D.fit(both, np.repeat([1.0, 0.0], count), batch_size=512, epochs=12, verbose=0)
    grid = np.linspace(-2, 3, 101)
    learned = ops.sigmoid(D(grid[:, None].astype("float32")))[:, 0]
    best = optimal_discriminator(p.pdf(grid), q.pdf(grid))
    assert np.abs(np.array(learned) - best).mean() < 0.03


# ---------------------------------------------------------------- Keras around it


def test_fit_evaluate_predict_in_every_form():
    gan = fussy()
    names = {"d_loss", "g_loss", "d_real", "d_fake"}
    data = tf.data.Dataset.from_tensor_slices(POINTS).batch(16)
    assert set(gan.fit(POINTS, verbose=0).history) == names
    assert set(gan.fit(POINTS, np.zeros(64), verbose=0).history) == names
    history = gan.fit(data, validation_data=data, shuffle=False, verbose=0).history
    assert set(history) == names | {f"val_{name}" for name in names}
    logs = gan.evaluate(POINTS, verbose=0, return_dict=True)
    assert set(logs) == names
    assert len(gan.evaluate(POINTS, verbose=0)) == 4
    z = np.zeros((3, 4), "float32")
    assert np.allclose(gan.predict(z, verbose=0), gan.generator(z), atol=1e-6)
    assert np.allclose(gan(z), gan.generator(z))
    assert gan.compute_output_shape((3, 4)) == (3, 2)


def test_logs_are_means_over_the_epoch_and_examples():
    gan = fussy(compiled=False)
    still = [keras.optimizers.SGD(0.0) for _ in range(2)]
    gan.compile(*still, run_eagerly=True)
    seen = []
    original = gan.discriminator_loss

    def spy(x, generated, training):
        loss = original(x, generated, training)
        seen.append((float(loss), len(x)))
        return loss

    gan.discriminator_loss = spy
    logs = gan.fit(POINTS[:40], batch_size=16, shuffle=False, verbose=0).history
    losses, counts = zip(*seen, strict=True)
    assert counts == (16, 16, 8)
    wanted = np.average(losses, weights=counts)
    assert logs["d_loss"][0] == pytest.approx(wanted, rel=1e-5)


def test_evaluate_changes_nothing_and_repeats():
    gan = fussy()
    before = snapshot(gan.variables)
    first = gan.evaluate(POINTS, verbose=0)
    assert gan.evaluate(POINTS, verbose=0) == first
    assert same(before, gan.variables)


def test_evaluate_repeats_without_a_seed():
    gan = fussy(seed=3)
    gan_without = GAN(gan.generator, gan.discriminator, seed=None)
    gan_without.compile(run_eagerly=True)
    one, two = (gan_without.evaluate(POINTS, verbose=0) for _ in range(2))
    assert one == two
    assert isinstance(gan_without.get_config()["seed"], int)
    assert GAN(gan.generator, gan.discriminator, seed=5).seed == 5


def test_same_seed_same_result():
    weights = []
    for seed, other_seed in ((0, 0), (0, 99), (1, 0)):
        keras.utils.set_random_seed(other_seed)
        gan = fussy(seed=seed)
        gan.train_step(POINTS[:16])
        weights.append(snapshot(gan.variables))
    assert same(weights[0], weights[1])
    assert not same(weights[0], weights[2])
    other = GAN(*fussy_players(), seed=7)
    assert not np.array_equal(other.draw(3), fussy().draw(3))


def test_save_and_load_restore_everything(tmp_path):
    gan = fussy(real_target=0.9, loss="minimax", together=False, seed=3)
    fit(gan)
    gan.save(tmp_path / "gan.keras")
    loaded = keras.models.load_model(tmp_path / "gan.keras")
    options = ("loss", "real_target", "together", "seed", "name")
    one, other = gan.get_config(), loaded.get_config()
    assert [one[name] for name in options] == [other[name] for name in options]
    assert other["loss"] == "minimax" and other["real_target"] == 0.9
    assert same(snapshot(gan.variables), loaded.variables)
    assert same(snapshot(gan.optimizer.variables), loaded.optimizer.variables)
    z = np.ones((5, 4), "float32")
    assert np.array_equal(gan.predict(z, verbose=0), loaded.predict(z, verbose=0))


@pytest.mark.parametrize("how", ["model", "weights"])
def test_resumed_training_is_uninterrupted_training(tmp_path, how):
    """Moving averages, optimizers, noise and dropout: all go on where they were."""
    graph = {"eager": how == "weights"}
    straight = fussy(**graph)
    fit(straight, epochs=4)
    first = fussy(**graph)
    fit(first, epochs=2)
    if how == "model":
        first.save(tmp_path / "gan.keras")
        second = keras.models.load_model(tmp_path / "gan.keras")
    else:
        first.save_weights(tmp_path / "gan.weights.h5")
        second = fussy(seed=5)  # other weights and noise, all overwritten
        second.load_weights(tmp_path / "gan.weights.h5")
    fit(second, epochs=2)
    assert same(snapshot(straight.variables), second.variables)
    assert same(snapshot(straight.optimizer.variables), second.optimizer.variables)


def test_model_checkpoint_keeps_the_best(tmp_path):
    gan = fussy()
    path = tmp_path / "best.keras"
    keep = keras.callbacks.ModelCheckpoint(
        path, monitor="val_d_loss", save_best_only=True, mode="min"
    )
    history = fit(gan, epochs=3, validation_data=(POINTS,), callbacks=[keep]).history
    best = keras.models.load_model(path).evaluate(POINTS, batch_size=32, verbose=0)
    names = ["d_loss", "g_loss", "d_real", "d_fake"]
    best = dict(zip(names, best, strict=True))
    assert best["d_loss"] == pytest.approx(min(history["val_d_loss"]), rel=1e-5)


def test_learning_rate_callbacks_reach_both_players():
    gan = fussy(rates=(0.01, 0.04))
    halve = keras.callbacks.LearningRateScheduler(lambda epoch, rate: rate / 2)
    logs = fit(gan, epochs=2, callbacks=[halve]).history
    assert logs["learning_rate"] == pytest.approx([0.005, 0.0025])
    rates = [float(o.learning_rate) for o in (gan.d_optimizer, gan.g_optimizer)]
    assert rates == pytest.approx([0.0025, 0.01])
    plateau = keras.callbacks.ReduceLROnPlateau(
        "d_loss", mode="min", factor=0.1, patience=1, min_delta=1e9
    )
    fit(gan, epochs=3, callbacks=[plateau])
    rates = [float(o.learning_rate) for o in (gan.d_optimizer, gan.g_optimizer)]
    assert rates[0] < 0.0025 and rates[1] == pytest.approx(4 * rates[0])


def test_pair_keeps_its_ratio_when_loaded(tmp_path):
    gan = fussy(rates=(0.01, 0.04))
    gan.optimizer.learning_rate = 0.0
    gan.save(tmp_path / "gan.keras")
    pair = keras.models.load_model(tmp_path / "gan.keras").optimizer
    pair.learning_rate = 0.02
    assert float(pair.generator.learning_rate) == pytest.approx(0.08)


def test_rates_of_loss_scaled_optimizers_can_be_set():
    gan = fussy(False)
    scaled = keras.optimizers.LossScaleOptimizer
    adams = [scaled(keras.optimizers.Adam(rate)) for rate in (1e-3, 2e-3)]
    gan.compile(*adams, run_eagerly=True)
    fit(gan, callbacks=[keras.callbacks.LearningRateScheduler(lambda epoch: 5e-4)])
    rates = [float(each.inner_optimizer.learning_rate) for each in adams]
    np.testing.assert_allclose(rates, [5e-4, 1e-3], rtol=1e-6)


def test_schedules_go_on_by_themselves_and_cannot_be_set():
    gan = fussy(compiled=False)
    rate = keras.optimizers.schedules.ExponentialDecay(0.1, 2, 0.5)
    gan.compile(keras.optimizers.SGD(rate), keras.optimizers.SGD(0.1), run_eagerly=True)
    fit(gan)
    assert float(gan.d_optimizer.learning_rate) == pytest.approx(0.05)
    with pytest.raises(TypeError, match="schedule"):
        gan.optimizer.learning_rate = 0.1


def test_averaged_weights_are_put_in_place_at_the_end_of_fit():
    gan = fussy(compiled=False)
    averaging = keras.optimizers.SGD(0.1, use_ema=True, ema_momentum=0.5)
    gan.compile(keras.optimizers.SGD(0.1), averaging, run_eagerly=True)
    path = gan.generator.trainable_variables[0]
    seen = [np.array(path)]
    note = keras.callbacks.LambdaCallback(
        on_train_batch_end=lambda batch, logs: seen.append(np.array(path))
    )
    fit(gan, callbacks=[note])
    average = seen[1]  # Keras starts with the weights after the first step
    for value in seen[2:]:
        average = 0.5 * average + 0.5 * value
    assert not np.allclose(path, seen[-1], atol=1e-6)
    assert np.allclose(path, average, atol=1e-5)


def test_a_pair_refuses_what_only_one_can_do():
    optimizer = keras.optimizers.Adam()
    with pytest.raises(ValueError, match="two objects"):
        PairedOptimizer(optimizer, optimizer)
    with pytest.raises(TypeError, match=r"discriminator\.apply"):
        fussy().optimizer.apply([], [])


def test_graph_and_xla_give_the_eager_step():
    """With one latent vector for all, since XLA draws other random numbers."""
    logs = []
    for options in (
        {"run_eagerly": True},
        {"jit_compile": False},
        {"jit_compile": True},
    ):
        G, D = build_point_generator(4, 4, seed=0), build_point_discriminator(4, seed=1)
        gan = GAN(G, D)
        gan.draw = lambda count: ops.ones((count, 4))
        gan.compile(keras.optimizers.SGD(0.1), keras.optimizers.SGD(0.1), **options)
        assert gan.jit_compile == options.get("jit_compile", False)
        logs.append(fit(gan).history)
    for name, value in logs[0].items():
        assert logs[1][name] == pytest.approx(value, rel=1e-4)
        assert logs[2][name] == pytest.approx(value, rel=1e-4)


def test_options_of_compile_survive_saving(tmp_path):
    gan = fussy(compiled=False)
    gan.compile(run_eagerly=True, steps_per_execution=2)
    gan.save(tmp_path / "gan.keras")
    loaded = keras.models.load_model(tmp_path / "gan.keras")
    assert loaded.run_eagerly and loaded.steps_per_execution == 2


def test_mixed_bfloat16(tmp_path):
    """Half precision inside, losses and weights in float32."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        gan = GAN(
            build_generator(8, (4, 4), seed=1),
            build_discriminator((4, 4, 4), seed=2),
        )
        gan.compile()
        x = np.random.default_rng(0).uniform(size=(8, 28, 28, 1)).astype("float32")
        logs = gan.fit(x, batch_size=4, verbose=0).history
        assert all(np.isfinite(value).all() for value in logs.values())
        assert gan.generator.get_layer("up_14").compute_dtype == "bfloat16"
        assert gan.discriminator_loss(x, gan(np.ones((8, 8))), False).dtype == "float32"
        gan.save(tmp_path / "gan.keras")
        loaded = keras.models.load_model(tmp_path / "gan.keras")
        z = np.ones((2, 8), "float32")
        assert np.array_equal(loaded.predict(z, verbose=0), gan.predict(z, verbose=0))
    finally:
        keras.config.set_dtype_policy(before)


def test_on_two_replicas_each_gives_half_of_the_gradient(monkeypatch):
    slopes = []
    for replicas in (1, 2):
        gan = fussy()
        gan.compile(keras.optimizers.SGD(1.0), keras.optimizers.SGD(1.0))
        strategy = type("Strategy", (), {"num_replicas_in_sync": replicas})
        with monkeypatch.context() as patch:
            patch.setattr(
                "advanced_keras.gan.model.tf.distribute.get_strategy", strategy
            )
            loss = gan.discriminator_loss(POINTS, gan(gan.draw(64)), training=False)
            slopes.append(float(_objective(loss, gan.discriminator)))
    assert slopes[1] == pytest.approx(slopes[0] / 2)


def test_each_player_minimizes_its_layers_own_losses():
    """With a learning rate of 1, L2 of weight c moves each weight by -2 c w more."""
    moved = []
    for weight in (0.0, 0.01):
        gan = fussy()
        for player in (gan.generator, gan.discriminator):
            dense = next(x for x in player.layers if isinstance(x, keras.layers.Dense))
            dense.kernel.regularizer = keras.regularizers.L2(weight)
        gan.compile(keras.optimizers.SGD(1.0), keras.optimizers.SGD(1.0))
        z = gan.draw(64)
        kernels = []
        for player, train in (
            (gan.discriminator, lambda: gan.train_discriminator(POINTS, z)),  # noqa: B023
            (gan.generator, lambda: gan.train_generator(z)),  # noqa: B023
        ):
            dense = next(x for x in player.layers if isinstance(x, keras.layers.Dense))
            before = dense.kernel.numpy()
            start = player.get_weights()
            train()
            kernels.append((before, dense.kernel.numpy()))
            player.set_weights(start)
        moved.append(kernels)
    for (before, plain), (_, decayed) in zip(*moved, strict=True):
        np.testing.assert_allclose(decayed - plain, -0.02 * before, atol=1e-6)
        assert np.abs(before).max() > 0.1


def test_optimizers_before_compile_say_so():
    players = fussy()
    gan = GAN(players.generator, players.discriminator)
    for name in ("d_optimizer", "g_optimizer"):
        with pytest.raises(AttributeError, match="after compile"):
            getattr(gan, name)


# ---------------------------------------------------------------- errata, one by one


def public_labels(count, rng):
    """The labels of the public DCGAN example: 1 generated, 0 real, noise on both."""
    labels = np.concatenate([np.ones((count, 1)), np.zeros((count, 1))])
    return labels + 0.05 * rng.uniform(size=labels.shape)


def test_erratum_labels_translate_by_the_sign_of_the_logit():
    """Fakeness F = 1 - D: the same losses, label for label, with the logit turned."""
    rng = np.random.default_rng(0)
    a = rng.normal(size=(12, 1)).astype("float32")  # 6 generated, then 6 real
    bce = keras.losses.BinaryCrossentropy(from_logits=True)
    fakeness = np.repeat([[1.0], [0.0]], 6, axis=0)
    theirs = 2 * float(bce(fakeness, -a))
    assert theirs == pytest.approx(float(discriminator_loss(a[6:], a[:6])), rel=1e-5)
    misleading = float(bce(np.zeros((6, 1)), -a[:6]))
    assert misleading == pytest.approx(float(non_saturating_loss(a[:6])), rel=1e-5)


def test_erratum_dropout_is_active_in_both_halves():
    """The public step calls D without training=True: its dropout never drops."""
    gan = fussy()
    seen = []
    call = layers.Dropout.call

    def spy(self, inputs, training=False):
        seen.append((self.name, training))
        return call(self, inputs, training=training)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(layers.Dropout, "call", spy)
        gan.train_discriminator(POINTS, gan.draw(64))
        gan.train_generator(gan.draw(64))
    assert len(seen) == 4 and all(training is True for _, training in seen)
    assert len({name for name, _ in seen}) == 2


def test_erratum_label_noise_makes_the_loss_negative_and_ours_is_bounded():
    """With targets above 1 the cross-entropy has no minimum; with 0.9 it has one."""
    labels = public_labels(64, np.random.default_rng(0))
    assert labels[:64].max() > 1
    logits = np.where(np.arange(128)[:, None] < 64, 100.0, -100.0)  # a sure D
    bce = keras.losses.BinaryCrossentropy(from_logits=True)
    assert float(bce(labels[:64], logits[:64])) < -1
    for scale in (1, 10, 100):
        sure = np.full((8, 1), float(scale))
        assert float(discriminator_loss(sure, -sure, 0.9)) > 0.3


def test_smoothed_loss_of_real_examples_is_least_at_log_9():
    certain = np.full((1, 1), -1e3)
    best = minimize_scalar(
        lambda a: float(discriminator_loss(np.full((1, 1), a), certain, 0.9)),
        bounds=(0, 5),
        method="bounded",
    )
    assert abs(best.x - np.log(9)) < 0.02


def test_erratum_smoothing_is_a_fixed_number_for_real_examples_only():
    real, fake = np.zeros((4, 1), "float32"), np.full((4, 1), -2.0, "float32")
    smooth = float(discriminator_loss(real + 2, fake, 0.9))
    rough = float(discriminator_loss(real + 2, fake, 1.0))
    assert smooth - rough == pytest.approx(0.1 * 2)  # (1 - s) a: softplus(a) - ...
    best = minimize_scalar(
        lambda a: float(discriminator_loss([[a]], [[-60.0]], 0.9)), bounds=(-5, 8)
    ).x
    assert 1 / (1 + np.exp(-best)) == pytest.approx(0.9, abs=1e-3)
    assert float(discriminator_loss(real + 2, fake, 0.9)) == smooth  # no noise


def test_erratum_no_optimizer_is_idle():
    """The public model's ``optimizer`` is an RMSprop that trains nothing."""
    gan = fussy()
    assert gan.optimizer.discriminator is gan.d_optimizer
    assert gan.optimizer.generator is gan.g_optimizer
    fit(gan)
    assert int(gan.optimizer.iterations) == 2


def test_erratum_metrics_before_compile():
    assert {m.name for m in fussy(compiled=False).metrics} == {
        "d_loss",
        "g_loss",
        "d_real",
        "d_fake",
    }


def test_erratum_weights_are_saved_after_fit_and_loaded(tmp_path):
    gan, other = fussy(), fussy(seed=3)
    fit(gan)
    gan.save_weights(tmp_path / "gan.weights.h5")
    other.load_weights(tmp_path / "gan.weights.h5")
    assert same(snapshot(gan.variables), other.variables)


# ---------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    "options, message",
    [
        ({"loss": "hinge"}, "loss must be one of"),
        ({"discriminator_updates": 0}, "discriminator_updates must be a positive"),
        ({"generator_updates": 1.5}, "generator_updates must be a positive"),
        ({"discriminator_updates": True}, "discriminator_updates must be a positive"),
        ({"real_target": 1.1}, "real_target must be a number above 0"),
        ({"real_target": 0.0}, "real_target must be a number above 0"),
        ({"real_target": True}, "real_target must be a number above 0"),
        ({"loss": ["minimax"]}, "loss must be one of"),
    ],
)
def test_bad_arguments(options, message):
    with pytest.raises(ValueError, match=message):
        GAN(*fussy_players(), **options)


def test_numbers_of_numpy_are_numbers():
    gan = fussy(False, generator_updates=np.int64(2), real_target=np.float32(0.9))
    assert type(gan.generator_updates) is int and type(gan.real_target) is float


@pytest.mark.parametrize("together", [True, False])
@pytest.mark.parametrize("shape", [(8,), (8, 1), (8, 3)])
def test_examples_of_another_shape_are_refused(together, shape):
    with pytest.raises(ValueError, match="x must have the shape"):
        fussy(together=together).train_step(np.zeros(shape, "float32"))


def test_players_must_be_built_models_that_fit():
    G, D = fussy_players()
    with pytest.raises(TypeError, match="generator must be a"):
        GAN(None, D)
    with pytest.raises(ValueError, match="discriminator must be built"):
        GAN(G, keras.Sequential([layers.Dense(1)]))
    with pytest.raises(ValueError, match="must fit"):
        GAN(D, G)
    with pytest.raises(ValueError, match="must fit"):
        GAN(G, build_discriminator((4, 4, 4)))


def test_bad_compile_and_bad_data():
    gan = fussy()
    with pytest.raises(TypeError, match="no loss"):
        gan.compile(loss="mse")
    with pytest.raises(TypeError, match="no optimizer"):
        gan.compile(optimizer="adam")
    with pytest.raises(ValueError, match="sample_weight"):
        gan.train_step((POINTS, None, np.ones(64)))


# ---------------------------------------------------------------- ring and networks


def test_ring_density_is_that_of_scipy_and_sums_to_one():
    ring = Ring(modes=5, radius=1.0, spread=0.2)
    points = np.random.default_rng(0).normal(size=(50, 2))
    wanted = np.mean(
        [multivariate_normal(c, 0.04).pdf(points) for c in ring.centers], axis=0
    )
    assert np.allclose(ring.density(points), wanted)
    axis = np.linspace(-3, 3, 301)
    grid = np.stack(np.meshgrid(axis, axis), axis=-1)
    assert ring.density(grid).sum() * 0.02**2 == pytest.approx(1, abs=1e-6)


def test_ring_samples_are_real_by_its_own_measure():
    points = RING.sample(20_000, seed=1)
    assert points.dtype == "float32"
    modes, share = RING.cover(points)
    assert modes == 8
    assert share == pytest.approx(1 - np.exp(-4.5), abs=0.005)  # Rayleigh, 3 sigma
    assert np.array_equal(points, RING.sample(20_000, seed=1))
    assert np.allclose(points.mean(0), 0, atol=0.05)


def test_ring_cover_counts():
    assert RING.cover(RING.centers[:3]) == (3, 1.0)
    assert RING.cover(np.repeat(RING.centers[:1], 50, axis=0)) == (1, 1.0)
    assert RING.cover(np.zeros((10, 2))) == (0, 0.0)
    outside = RING.centers[0] + [0.31, 0]
    assert RING.cover([outside]) == (0, 0.0)
    assert RING.cover([outside - [0.02, 0]]) == (1, 1.0)
    many = np.repeat(RING.centers[:1], 990, axis=0)
    few = np.repeat(RING.centers[1:2], 10, axis=0)
    assert RING.cover(np.concatenate([many, few]))[0] == 1


@pytest.mark.parametrize("points", [np.zeros((3, 3)), np.zeros((0, 2)), np.zeros(2)])
def test_ring_refuses_other_shapes(points):
    with pytest.raises(ValueError, match="points must have shape"):
        RING.cover(points)


def test_ring_refuses_bad_values():
    with pytest.raises(ValueError, match="finite"):
        RING.cover([[np.nan, 0.0]])
    with pytest.raises(ValueError, match="spread must be positive"):
        Ring(spread=0.0)
    with pytest.raises(TypeError, match="modes must be an integer"):
        Ring(modes=8.0)


def test_dcgan_mirrors_itself_and_fits():
    G, D = build_generator(), build_discriminator()
    up = [x for x in G.layers if isinstance(x, layers.Conv2DTranspose)]
    down = [x for x in D.layers if isinstance(x, layers.Conv2D)]
    down = [x for x in down if not isinstance(x, layers.Conv2DTranspose)]
    assert len(up) == 2 and len(down) == 3
    for one, other in zip(up, reversed(down[:2]), strict=True):
        assert one.input.shape[1:3] == other.output.shape[1:3]
        assert one.output.shape[1:3] == other.input.shape[1:3]
    images = np.array(G(np.random.default_rng(0).normal(size=(3, 64))))
    assert images.shape == (3, 28, 28, 1)
    assert images.min() >= 0 and images.max() <= 1
    assert D(images).shape == (3, 1)


@pytest.mark.parametrize(
    "build",
    [
        build_generator,
        build_discriminator,
        build_point_generator,
        build_point_discriminator,
    ],
)
def test_networks_are_seeded(build):
    one, two, other = build(seed=4), build(seed=4), build(seed=5)
    assert same(one.get_weights(), two.get_weights())
    assert not same(one.get_weights(), other.get_weights())
    seeds = keras.random.SeedGenerator(4)
    first, second = build(seed=seeds), build(seed=seeds)
    assert not same(first.get_weights(), second.get_weights())


def test_no_two_layers_start_alike():
    """One seed for all layers would draw the same numbers in each."""
    D = build_discriminator((8, 8, 8), seed=0)
    one, two = (D.get_layer(name).kernel for name in ("down_7", "down_4"))
    one, two = np.ravel(one)[:9], np.ravel(two)[:9]
    assert not np.allclose(one, two)


def test_player_learns_one_gaussian():
    """A short game that must be won: the mean and spread of a normal distribution."""
    x = np.random.default_rng(0).normal([1.0, -1.0], 0.5, (4096, 2)).astype("float32")
    gan = GAN(
        build_point_generator(2, 16, seed=0), build_point_discriminator(16, seed=1)
    )
    gan.compile(
        keras.optimizers.Adam(2e-3, beta_1=0.5),
        keras.optimizers.Adam(2e-3, beta_1=0.5),
        steps_per_execution=32,
    )
    gan.fit(x, batch_size=128, epochs=12, shuffle=False, verbose=0)
    made = gan.predict(np.random.default_rng(1).normal(size=(2000, 2)), verbose=0)
    assert np.allclose(made.mean(0), [1, -1], atol=0.5)
    assert 0.2 < made.std() / np.sqrt(1 + 0.25) < 2


def test_the_reported_score_is_the_mean_probability():
    gan = GAN(build_point_generator(), build_point_discriminator())
    logits = np.log(np.array([[1.0], [3.0], [9.0]]))  # odds of 1, 3 and 9
    np.testing.assert_allclose(gan.score(logits), np.mean([0.5, 0.75, 0.9]), rtol=1e-6)


def test_a_pair_of_optimizers_is_made_again_from_its_config():
    gan = GAN(build_point_generator(), build_point_discriminator())
    gan.compile(keras.optimizers.Adam(1e-3), keras.optimizers.SGD(1e-4))
    pair = gan.optimizer
    again = type(pair).from_config(pair.get_config())
    assert again.get_config() == pair.get_config()
    assert type(again.discriminator) is keras.optimizers.Adam
    assert type(again.generator) is keras.optimizers.SGD
