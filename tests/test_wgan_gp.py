"""WGAN-GP: the penalty and its second derivative, the distance, the train step.

Oracles: closed forms, finite differences in float64, SciPy's Wasserstein distance and
Kolmogorov-Smirnov test, plain nested tapes, and stock Keras.

The critics are trained for a few hundred updates on batches of 256, so distances are
compared within 5%. Single gradients in float32 agree within 1e-4.
"""

import re
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from keras import layers, ops
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist
from scipy.stats import kstest, wasserstein_distance

from advanced_keras.gan import (
    GAN,
    Ring,
    build_discriminator,
    build_generator,
    build_point_discriminator,
    build_point_generator,
    observe,
)
from advanced_keras.training import record_step
from advanced_keras.wgan_gp import (
    WGANGP,
    Distance,
    Drawers,
    build_critic,
    build_line_critic,
    gradient_penalty,
    interpolate,
    interpolation_weights,
    measure,
    one_sided_penalty,
    safe_norm,
    slopes,
    steepest_rise,
    train_critic,
)

# A busy machine may be slow; that is no reason to fail.
BUSY = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow]}
SOME = settings(max_examples=30, derandomize=True, **BUSY)
POINTS = Ring().sample(512, seed=0)


def normal(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def make(critic_updates=2, compiled=True, critic=None, generator=None, **options):
    """A small WGAN-GP for points."""
    keras.utils.set_random_seed(0)
    model = WGANGP(
        generator or build_point_generator(4, 16, seed=1),
        critic or build_point_discriminator(16, seed=2),
        critic_updates=critic_updates,
        **options,
    )
    if compiled:
        model.compile()
    return model


def fit(model, x=POINTS, batch_size=64, epochs=1, **options):
    options = {"shuffle": False, "verbose": 0} | options
    return model.fit(x, batch_size=batch_size, epochs=epochs, **options).history


def same(one, other, atol=0.0):
    for a, b in zip(one.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, atol=atol, rtol=0)


# ---- Interpolation ------------------------------------------------------------------


def test_interpolation_weights_are_uniform_on_0_1_not_normal():
    """Erratum: the public example drew them from N(0, 1)."""
    alpha = np.ravel(interpolation_weights(np.zeros((20_000, 2)), seed=0))
    assert alpha.min() >= 0 and alpha.max() <= 1
    assert kstest(alpha, "uniform").pvalue > 0.01
    wrong = np.random.default_rng(0).normal(size=20_000)
    outside = np.mean((wrong < 0) | (wrong > 1))
    assert outside == pytest.approx(0.659, abs=0.01)


@SOME
@given(st.integers(1, 5), st.lists(st.integers(1, 4), min_size=1, max_size=3))
def test_one_interpolation_weight_for_each_example(count, inner):
    x, generated = normal(count, *inner), normal(count, *inner, seed=1)
    alpha = interpolation_weights(x, seed=0)
    assert alpha.shape == (count, *[1] * len(inner))
    between = np.asarray(interpolate(x, generated, alpha))
    assert between.shape == x.shape
    for i in range(count):
        a = float(np.ravel(alpha)[i])
        wanted = (1 - a) * x[i] + a * generated[i]
        np.testing.assert_allclose(between[i], wanted, atol=1e-5)


def test_interpolation_weights_in_a_graph_whose_batch_is_unknown():
    @tf.function(input_signature=[tf.TensorSpec((None, 28, 28, 1))])
    def draw(x):
        return interpolation_weights(x, seed=0)

    assert draw(np.zeros((3, 28, 28, 1), "float32")).shape == (3, 1, 1, 1)


def test_interpolation_is_in_float32():
    x = ops.cast(normal(4, 3), "bfloat16")
    assert interpolate(x, x, np.ones((4, 1), "float32")).dtype == "float32"


# ---- The norm -----------------------------------------------------------------------


def gradient_of_norm(norm, g):
    g = tf.constant(g, "float32")
    with tf.GradientTape() as tape:
        tape.watch(g)
        total = tf.reduce_sum(tf.square(norm(g) - 1.0))
    return tape.gradient(total, g).numpy()


def test_zero_gradient_of_the_critic_gives_no_nan():
    """Erratum: the derivative of the root at zero."""
    g = np.array([[0.0, 0.0], [3.0, 4.0]])
    plain = gradient_of_norm(lambda g: tf.sqrt(tf.reduce_sum(tf.square(g), 1)), g)
    assert np.isnan(plain[0]).all()
    safe = gradient_of_norm(safe_norm, g)
    np.testing.assert_array_equal(safe[0], 0)
    np.testing.assert_allclose(safe[1], 2 * 4 * np.array([0.6, 0.8]), rtol=1e-5)


@SOME
@given(st.integers(1, 4), st.integers(1, 5), st.integers(0, 99))
def test_safe_norm_is_the_norm(count, size, seed):
    g = normal(count, size, 2, seed=seed)
    wanted = np.linalg.norm(g.reshape(count, -1), axis=1)
    np.testing.assert_allclose(safe_norm(g), wanted, atol=2e-6, rtol=1e-5)


def test_a_dead_critic_stays_finite_in_training():
    critic = build_point_discriminator(16, seed=2)
    critic.layers[1].bias.assign(np.full(16, -100.0))  # every ReLU is off
    assert float(ops.max(slopes(critic, POINTS))) <= 1.1e-6
    model = make(critic=critic)
    model.compile(run_eagerly=True)
    fit(model, POINTS[:128])
    assert all(np.isfinite(w).all() for w in model.get_weights())


# ---- Slopes and their penalty -------------------------------------------------------


def test_slopes_of_a_linear_critic():
    critic = build_line_critic(3, hidden=0)
    a = critic.layers[-1].kernel.numpy()[:, 0]
    np.testing.assert_allclose(slopes(critic, normal(5, 3)), np.linalg.norm(a), 1e-5)


def test_slopes_by_finite_differences_of_a_convolutional_critic():
    critic = build_critic((4, 4, 4))
    x = np.random.default_rng(0).uniform(size=(2, 28, 28, 1)).astype("float32")
    with tf.GradientTape() as tape:
        image = tf.constant(x)
        tape.watch(image)
        scores = critic(image)
    direction = tape.gradient(scores, image).numpy()
    length = np.sqrt((direction**2).sum((1, 2, 3)))
    unit = direction / length[:, None, None, None]
    step = 1e-2  # of a piecewise linear function
    ahead, behind = critic(x + step * unit), critic(x - step * unit)
    by_differences = np.ravel(ahead - behind) / (2 * step)
    np.testing.assert_allclose(slopes(critic, x), by_differences, rtol=0.05)


def tanh_critic():
    """A critic f(x) = v tanh(x W + b), smooth, and its penalty in float64."""
    critic = keras.Sequential(
        [keras.Input((3,)), layers.Dense(4, "tanh"), layers.Dense(1)]
    )
    shapes = [w.shape for w in critic.trainable_variables]
    critic.set_weights([normal(*shape, seed=i) for i, shape in enumerate(shapes)])

    def penalty(x, W, b, v, _):
        inner = v[:, 0] * (1 - np.tanh(x @ W + b) ** 2)  # (batch, 4)
        return np.mean((np.linalg.norm(inner @ W.T, axis=1) - 1) ** 2)

    return critic, penalty


def test_second_derivative_of_the_penalty_by_finite_differences():
    """d penalty / d weights goes through both tapes."""
    critic, by_numpy = tanh_critic()
    x = normal(6, 3, seed=9)
    with tf.GradientTape() as tape:
        penalty = gradient_penalty(slopes(critic, x))
    weights = [w.numpy().astype("float64") for w in critic.trainable_variables]
    assert float(penalty) == pytest.approx(by_numpy(x, *weights), rel=1e-5)
    found = tape.gradient(penalty, critic.trainable_variables)
    assert found[3] is None  # the last bias does not move a slope
    for place, gradient in enumerate(found[:3]):
        wanted = np.zeros_like(weights[place])
        for index in np.ndindex(wanted.shape):
            ends = []
            for step in (1e-5, -1e-5):
                moved = [w.copy() for w in weights]
                moved[place][index] += step
                ends.append(by_numpy(x, *moved))
            wanted[index] = (ends[0] - ends[1]) / 2e-5
        np.testing.assert_allclose(gradient, wanted, atol=1e-4)
    assert np.abs(found[0]).max() > 0.1


def test_gradient_of_the_whole_critic_loss_by_finite_differences():
    """-gap + lambda * penalty of the model, at fixed interpolation weights."""
    critic, penalty = tanh_critic()
    generator = build_point_generator(4, 16, seed=1)
    generator = keras.Model(generator.input, layers.Dense(3)(generator.output))
    model = make(critic=critic, generator=generator, penalty_weight=3.0)
    x, generated = normal(6, 3), normal(6, 3, seed=1)
    alpha = interpolation_weights(x, model.seed + 1)  # what `training=False` draws
    between = np.asarray(interpolate(x, generated, alpha), "float64")

    def by_numpy(W, b, v, c):
        scores = [np.tanh(each @ W + b) @ v for each in (x, generated)]
        return scores[1].mean() - scores[0].mean() + 3 * penalty(between, W, b, v, c)

    with tf.GradientTape() as tape:
        loss = model.discriminator_loss(x, generated, training=False)
    weights = [w.numpy().astype("float64") for w in critic.trainable_variables]
    assert float(loss) == pytest.approx(by_numpy(*weights), rel=1e-5)
    W_gradient = tape.gradient(loss, critic.trainable_variables[0]).numpy()
    for index in np.ndindex(W_gradient.shape):
        ends = []
        for step in (1e-5, -1e-5):
            moved = [w.copy() for w in weights]
            moved[0][index] += step
            ends.append(by_numpy(*moved))
        assert W_gradient[index] == pytest.approx((ends[0] - ends[1]) / 2e-5, abs=1e-3)


def test_penalties_of_given_slopes():
    norms = np.array([0.0, 0.5, 1.0, 3.0], "float32")
    assert float(gradient_penalty(norms)) == pytest.approx((1 + 0.25 + 0 + 4) / 4)
    assert float(one_sided_penalty(norms)) == pytest.approx(4 / 4)


def test_penalty_is_computed_without_dropout():
    """Erratum: it was computed with dropout on."""
    critic, calm = (
        keras.Sequential(
            [
                keras.Input((2,)),
                layers.Dense(16, "relu"),
                layers.Dropout(rate),
                layers.Dense(1),
            ]
        )
        for rate in (0.5, 0.0)
    )
    calm.set_weights(critic.get_weights()[: len(calm.weights)])
    states = [v.numpy() for v in critic.non_trainable_variables]
    first, second = slopes(critic, POINTS), slopes(critic, POINTS)
    np.testing.assert_array_equal(first, second)
    np.testing.assert_allclose(first, slopes(calm, POINTS), rtol=1e-5)
    for state, variable in zip(states, critic.non_trainable_variables, strict=True):
        np.testing.assert_array_equal(state, variable)
    # The scores of a training step do have dropout.
    model = make(critic=critic, compiled=False)
    x = ops.convert_to_tensor(POINTS)
    one, other = (model.judge(x, x, training=True)[0] for _ in range(2))
    assert not np.allclose(one, other)


def test_slope_of_an_example_does_not_depend_on_its_batch():
    critic = keras.Sequential(
        [
            keras.Input((2,)),
            layers.Dense(8, "tanh"),
            layers.LayerNormalization(),
            layers.Dense(1),
        ]
    )
    together = np.asarray(slopes(critic, POINTS[:8]))
    alone = [float(slopes(critic, POINTS[i : i + 1])[0]) for i in range(8)]
    np.testing.assert_allclose(together, alone, rtol=1e-5)
    make(critic=critic, compiled=False)  # layer normalization is welcome


@pytest.mark.parametrize("nested", [False, True])
def test_batch_normalization_in_the_critic_is_refused(nested):
    inner = keras.Sequential([keras.Input((2,)), layers.BatchNormalization(name="bn")])
    x = keras.Input((2,))
    h = inner(x) if nested else layers.BatchNormalization(name="bn")(x)
    with pytest.raises(ValueError, match="critic must treat each example by itself"):
        make(critic=keras.Model(x, layers.Dense(1)(h)), compiled=False)


# ---- The distance -------------------------------------------------------------------


@pytest.mark.parametrize(("lam", "W"), [(1.0, 0.5), (1.0, 2.0), (10.0, 2.0)])
def test_a_shift_gives_a_linear_critic_the_slope_1_plus_W_over_2_lambda(lam, W):
    critic = build_line_critic(2, hidden=0)
    x = normal(1000, 2)
    shifted = x + W * np.array([0.6, 0.8], "float32")
    train_critic(critic, x, shifted, 300, penalty_weight=lam, learning_rate=0.05)
    found = measure(critic, x, shifted)
    assert found.slope == pytest.approx(1 + W / (2 * lam), rel=0.02)
    assert found.estimate == pytest.approx(W, rel=0.01)
    assert found.gap == pytest.approx(W * found.slope, rel=0.01)
    # f is high on real examples, so it falls in the direction of the shift.
    a = critic.layers[-1].kernel.numpy()[:, 0]
    np.testing.assert_allclose(a / np.linalg.norm(a), [-0.6, -0.8], atol=0.07)


def hinge_critic(knots):
    """Linear between fixed knots: its loss is as simple as a loss can be."""
    x = keras.Input((1,))
    start = keras.initializers.Constant(-0.1)
    hinges = ops.relu(x - knots.astype("float32"))
    return keras.Model(x, layers.Dense(1, kernel_initializer=start)(hinges))


def test_slope_in_one_dimension_is_1_plus_delta_over_2_lambda_r():
    """A point at 0 against points at 1 and 3: 1 + 3 / (4 lam), then 1 + 3 / (2 lam)."""
    x = np.zeros((1000, 1))
    generated = np.where(np.arange(1000) % 2, 3.0, 1.0)[:, None]
    critic = hinge_critic(np.array([0.0, 0.5, 1.0, 1.5, 2.0, 2.5]))
    train_critic(critic, x, generated, 500, penalty_weight=2.0, learning_rate=0.03)
    found = slopes(critic, np.array([[0.2], [0.7], [1.2], [1.7], [2.2]]))
    wanted = [1.375, 1.375, 1.75, 1.75, 1.75]
    np.testing.assert_allclose(found, wanted, rtol=0.02)
    distance = measure(critic, x, generated)
    assert distance.slope == pytest.approx(1 + 2 / 4, rel=0.01)  # 1 + W / (2 lam)
    assert distance.least <= 2 <= distance.estimate <= 2 * 1.05


LINE = {
    "shift": (normal(2000), normal(2000, seed=1) + 1.5),
    "scale": (normal(2000), 2 * normal(2000, seed=1)),
    "two humps": (np.r_[normal(1000) * 0.3 - 2, normal(1000) * 0.3 + 2], normal(2000)),
}


@pytest.mark.parametrize("name", LINE)
def test_distance_on_the_line_is_that_of_scipy(name):
    p, q = LINE[name]
    critic = build_line_critic(1, seed=0)
    train_critic(critic, p[:, None], q[:, None], 300, penalty_weight=(0.1, 1.0, 10.0))
    found = measure(critic, p[:, None], q[:, None])
    W = wasserstein_distance(p, q)
    assert found.estimate == pytest.approx(W, rel=0.05)
    assert found.least <= W * 1.005
    assert found.slope == pytest.approx(1 + W / 20, rel=0.02)


PLANE = {
    "shift": (normal(2000, 2), normal(2000, 2) + np.array([1.2, -0.9], "float32"), 1.5),
    "scale": (normal(2000, 2), 2 * normal(2000, 2), np.sqrt(np.pi / 2)),
}


@pytest.mark.parametrize("name", PLANE)
def test_distance_in_the_plane_is_the_closed_form(name):
    p, q, W = PLANE[name]
    critic = build_line_critic(2, seed=0)
    train_critic(critic, p, q, 500)
    found = measure(critic, p, q)
    # of the sample: the optimal critic is known, so its gap is the sample's distance
    if name == "scale":
        W = float(np.linalg.norm(q, axis=1).mean() - np.linalg.norm(p, axis=1).mean())
    assert found.estimate == pytest.approx(W, rel=0.05)
    assert found.least <= W * 1.005


def test_the_gap_of_an_optimal_critic_is_told_by_its_slopes():
    """Scale f by t: at the optimum t = 1, so gap = 2 lam E[s (s - 1)]."""
    p, q, _ = PLANE["shift"]
    critic = build_line_critic(2, hidden=0)
    train_critic(critic, p, q, 300, penalty_weight=1.0, learning_rate=0.05)
    s = measure(critic, p, q).slope  # constant
    assert measure(critic, p, q).gap == pytest.approx(2 * s * (s - 1), rel=0.05)


def test_two_sided_penalty_traps_a_slope_of_the_wrong_sign():
    p, q = (each[:, None] for each in LINE["shift"])
    critics = [build_line_critic(1, hidden=0) for _ in range(2)]
    for critic, penalty in zip(
        critics, (gradient_penalty, one_sided_penalty), strict=True
    ):
        critic.layers[-1].kernel.assign([[1.0]])  # it should fall: q is to the right
        options = {"penalty": penalty, "learning_rate": 0.05}
        train_critic(critic, p, q, 300, penalty_weight=10.0, **options)
    trapped, free = (float(critic.layers[-1].kernel[0, 0]) for critic in critics)
    assert trapped > 0.5 and free < -0.5


# ---- What any critic certifies ------------------------------------------------------


@SOME
@given(st.integers(1, 6), st.integers(1, 6), st.integers(1, 3), st.integers(0, 99))
def test_steepest_rise_by_all_pairs(count, other_count, size, seed):
    x, y = (
        normal(count, size, 2, seed=seed),
        normal(other_count, size, 2, seed=seed + 1),
    )
    f, g = normal(count, seed=seed + 2), normal(other_count, seed=seed + 3)
    distances = cdist(x.reshape(count, -1), y.reshape(other_count, -1))
    wanted = np.max((f[:, None] - g) / distances)
    found = steepest_rise(f, g, x, y)
    assert found == pytest.approx(max(wanted, 1e-12), rel=1e-3, abs=1e-3)
    assert found > 0


def test_steepest_rise_counts_from_generated_to_real_only():
    """f = -x rises to the left; no plan ever asks for the other direction."""
    left, right = np.array([[0.0], [1.0]]), np.array([[2.0], [5.0]])
    falls = [-np.ravel(each) for each in (left, right)]
    assert steepest_rise(*falls, left, right) == pytest.approx(1.0, rel=1e-4)
    rises = [np.ravel(each) for each in (left, right)]
    assert steepest_rise(*rises, left, right) == pytest.approx(0, abs=1e-6)


def test_steepest_rise_is_not_fooled_by_rounding_of_points_that_nearly_meet():
    critic = build_line_critic(1, hidden=0)
    x = np.r_[normal(500, 1), np.ones((1, 1), "float32")]
    near = np.r_[normal(500, 1, seed=1), np.ones((1, 1), "float32") + 1e-7, x[:5]]
    slope = abs(float(critic.layers[-1].kernel[0, 0]))
    critic.layers[-1].bias.assign([1000.0])
    assert measure(critic, x, near).steepest <= 1.05 * slope


@pytest.mark.parametrize("dimensions", [1, 2, 5])
def test_every_critic_certifies_a_lower_bound(dimensions):
    """Trained or not; the distance of two samples by SciPy's assignment of points."""
    x, generated = normal(200, dimensions), 2.0 + normal(200, dimensions, seed=1)
    cost = cdist(x, generated)
    W = cost[linear_sum_assignment(cost)].mean()
    for seed in range(5):
        critic = build_line_critic(dimensions, 16, seed)
        assert measure(critic, x, generated).least <= W
    train_critic(critic, x, generated, 150, penalty_weight=(0.1, 10.0))
    assert 0.4 * W < measure(critic, x, generated).least <= W


def test_an_optimal_function_certifies_the_whole_distance():
    p, q = (each[:, None] for each in LINE["shift"])
    critic = build_line_critic(1, hidden=0)
    critic.layers[-1].kernel.assign([[-3.0]])  # any slope will do
    found = measure(critic, p, q + 9)  # nothing overlaps: all mass goes to the right
    W = wasserstein_distance(p[:, 0], q[:, 0] + 9)
    assert found.least == pytest.approx(W, rel=1e-4)
    assert found.slope == pytest.approx(3.0)
    assert found.steepest == pytest.approx(3.0, rel=1e-4)


def test_measure_pairs_at_random_with_a_seed():
    """Paired in order, these lie on flat ground; at random, half of them do not."""
    x = np.array([[0.0], [10.0]], "float32")
    ramp = keras.Sequential([keras.Input((1,)), layers.ReLU(max_value=1)])
    found = measure(ramp, x, x)
    # a pair of 0 and 10 has a tenth of its line on the ramp, and half of the pairs are
    assert found.slope == pytest.approx(0.05, abs=0.005)
    assert measure(ramp, x, x).slope == found.slope
    assert measure(ramp, x, x, seed=1).slope != found.slope


def test_training_a_critic_repeats_with_its_seed():
    def kernel(seed):
        critic = build_line_critic(1, 8)
        train_critic(critic, *(p[:, None] for p in LINE["shift"]), 5, seed=seed)
        return critic.layers[1].kernel.numpy()

    np.testing.assert_array_equal(kernel(0), kernel(0))
    assert not np.allclose(kernel(0), kernel(1))


def test_distance_divides_the_slope_out():
    assert Distance(3.0, 1.5, 2.0).estimate == 2.0
    assert Distance(3.0, 1.5, 2.0).least == 1.5


# ---- The train step -----------------------------------------------------------------


def test_train_step_is_that_of_plain_nested_tapes():
    """One critic update and one of the generator, by hand, with the same draws."""
    model, other = make(1), make(1)
    model.compile(keras.optimizers.SGD(0.1), keras.optimizers.SGD(0.1))
    x = tf.constant(POINTS[:64])
    noise = keras.random.SeedGenerator(0)
    z = keras.random.normal((64, 4), seed=noise)
    alpha = keras.random.uniform((64, 1), seed=noise)
    f, G = other.critic, other.generator
    with tf.GradientTape() as tape:
        generated = tf.stop_gradient(G(z, training=True))
        between = (1 - alpha) * x + alpha * generated
        with tf.GradientTape() as inner:
            inner.watch(between)
            scores = f(between)
        g = inner.gradient(scores, between)
        lengths = tf.sqrt(tf.reduce_sum(g**2, 1))
        penalty = tf.reduce_mean((lengths - 1) ** 2)
        gap = tf.reduce_mean(f(x)) - tf.reduce_mean(f(generated))
        loss = -gap + 10 * penalty
    weights = f.trainable_variables
    for w, gradient in zip(weights, tape.gradient(loss, weights), strict=True):
        w.assign_sub(0.1 * gradient)
    z = keras.random.normal((64, 4), seed=noise)
    with tf.GradientTape() as tape:
        g_loss = -tf.reduce_mean(f(G(z, training=True)))
    weights = G.trainable_variables
    for w, gradient in zip(weights, tape.gradient(g_loss, weights), strict=True):
        w.assign_sub(0.1 * gradient)
    model.run_eagerly = True
    logs = fit(model, POINTS[:64])
    same(model.critic, f, atol=1e-5)
    same(model.generator, G, atol=1e-5)
    assert logs["d_loss"][0] == pytest.approx(float(loss), rel=1e-4)
    assert logs["g_loss"][0] == pytest.approx(float(g_loss), rel=1e-4)
    assert logs["penalty"][0] == pytest.approx(float(penalty), rel=1e-4)
    slope = float(tf.reduce_mean(lengths))
    assert logs["slope"][0] == pytest.approx(slope, rel=1e-4)
    assert logs["wasserstein"][0] == pytest.approx(float(gap) / slope, rel=1e-3)


def one_step(critic_optimizer, decay=0.0):
    """The model after one step of the critic, and what it reported."""
    model = make(1)
    if decay:
        model.critic.layers[1].kernel.regularizer = keras.regularizers.L2(decay)
    model.compile(critic_optimizer, keras.optimizers.SGD(0.1), run_eagerly=True)
    return model, fit(model, POINTS[:64])


def test_the_critic_minimizes_its_layers_own_losses_too():
    (plain, logs), (decayed, other) = (
        one_step(keras.optimizers.SGD(0.1), decay) for decay in (0.0, 0.5)
    )
    start = make(1).critic.layers[1].kernel.numpy()
    change = decayed.critic.layers[1].kernel - plain.critic.layers[1].kernel
    np.testing.assert_allclose(change, -0.1 * 2 * 0.5 * start, atol=1e-5)
    assert other["d_loss"][0] == pytest.approx(logs["d_loss"][0], rel=1e-4)


def test_a_scaled_loss_trains_the_critic_alike():
    scaled = keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(0.1))
    (plain, _), (other, _) = one_step(keras.optimizers.SGD(0.1)), one_step(scaled)
    same(plain.critic, other.critic, atol=1e-5)


def record(model, x):
    players = {"generator": model.generator, "critic": model.critic}
    groups = {name: player.trainable_variables for name, player in players.items()}
    groups["state"] = model.generator.non_trainable_variables
    follow = [slopes, model.update_discriminator, model.train_generator]
    return record_step(model, x, groups=groups, follow=follow, restore=True)


def test_recorded_step_who_moves_when_and_the_tape_inside():
    model = make(critic_updates=3)
    events = record(model, POINTS[:96])
    movers = [(event.function, change.group) for event, change in events.changes()]
    order = list(dict.fromkeys(movers))
    assert order == [
        ("update_discriminator", "critic"),
        ("train_generator", "generator"),
    ]
    updates = [event for event in events.events if "d_optimizer.apply" in event.text]
    assert len(updates) == 3
    assert all({c.group for c in each.changes} == {"critic"} for each in updates)
    assert len(events.at("g_optimizer.apply")) == 1
    inside = events.at("scores = critic(x, training=False)")
    assert len(inside) == 3 and all(event.tapes == 2 for event in inside)


def test_batch_statistics_of_the_generator_move_once_a_step():
    """Erratum: they were updated four times a step."""
    generator = keras.Sequential(
        [
            keras.Input((4,)),
            layers.Dense(8),
            layers.BatchNormalization(),
            layers.ReLU(),
            layers.Dense(2),
        ]
    )
    model = make(critic_updates=3, generator=generator)
    changes = [c for _, c in record(model, POINTS[:96]).changes("state")]
    assert len(changes) == 2  # the mean and the variance, once each


def test_examples_of_all_critic_updates_are_generated_in_one_call():
    sizes = []

    @keras.saving.register_keras_serializable(package="test_wgan_gp")
    class Spy(layers.Layer):
        def call(self, z):
            sizes.append(z.shape[0])
            return z

    z = keras.Input((4,))
    model = make(3, generator=keras.Model(z, layers.Dense(2)(Spy()(z))))
    model.compile(run_eagerly=True)
    sizes.clear()
    fit(model, POINTS[:96], batch_size=96)
    assert sizes == [96, 32]


def test_logs_are_means_over_the_epoch_not_of_the_last_batch():
    """Erratum: the last batch's losses were logged. Weights stand still here."""
    model = make()
    still = [keras.optimizers.SGD(0.0) for _ in range(2)]
    model.compile(*still, run_eagerly=True)
    order = np.argsort(np.ravel(model.critic(POINTS)))
    x = POINTS[order][: 64 * 7 + 32]  # a short last batch counts by its examples
    logs = fit(model, x)
    scores = np.ravel(model.critic(x))
    assert logs["d_real"][0] == pytest.approx(scores.mean(), abs=1e-4)
    assert abs(scores[-32:].mean() - scores.mean()) > 0.1
    gap = logs["d_real"][0] - logs["d_fake"][0]
    wanted = -gap + 10 * logs["penalty"][0]
    assert logs["d_loss"][0] == pytest.approx(wanted, abs=1e-4)


def test_each_critic_update_sees_its_own_examples():
    seen = []

    class Spy(WGANGP):
        def update_discriminator(self, x, generated):
            seen.append(np.asarray(x))
            super().update_discriminator(x, generated)

    players = build_point_generator(4, 8, seed=1), build_point_discriminator(8, seed=2)
    model = Spy(*players, critic_updates=3)
    model.compile(run_eagerly=True)
    fit(model, POINTS[:96], batch_size=96)
    np.testing.assert_array_equal(np.concatenate(seen), POINTS[:96])


@pytest.fixture(scope="module")
def trained_once():
    """One epoch, one critic update a step; the steps that Python ran are counted."""

    class Counting(WGANGP):
        traces = 0

        def train_step(self, data):
            Counting.traces += 1
            return super().train_step(data)

    plain = make(1, compiled=False)
    model = Counting(plain.generator, plain.critic, critic_updates=1)
    model.compile()
    fit(model)
    return model


def test_train_step_is_traced_once(trained_once):
    assert int(trained_once.g_optimizer.iterations) == len(POINTS) // 64
    assert trained_once.traces <= 2


def test_steps_per_execution_trains_alike(trained_once):
    four = make(1)
    four.compile(steps_per_execution=4)
    fit(four)
    same(trained_once, four, atol=1e-6)


def test_mixed_bfloat16():
    """Erratum: the public example fails under this policy."""
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        critic = build_critic((4, 4, 4))
        model = make(1, critic=critic, generator=build_generator(4, (8, 4), seed=1))
        model.compile(run_eagerly=True)
        images = np.random.default_rng(0).uniform(size=(64, 28, 28, 1))
        logs = fit(model, images.astype("float32"), batch_size=32)
        norms = slopes(critic, images[:4])
    finally:
        keras.config.set_dtype_policy("float32")
    assert all(np.isfinite(v).all() for v in logs.values())
    assert norms.dtype == "float32"
    assert all(w.dtype == "float32" for w in model.trainable_variables)


def test_generator_moves_to_the_data():
    z = keras.Input((2,))
    generator = keras.Model(z, layers.Dense(2)(z))
    model = make(3, generator=generator, critic=build_line_critic(2, 16))
    model.compile(*(keras.optimizers.Adam(0.03, beta_1=0.5) for _ in range(2)))
    data = normal(3072, 2) * 0.1 + np.array([2.0, -1.0], "float32")
    logs = fit(model, data, batch_size=96, epochs=5)
    np.testing.assert_allclose(generator.layers[-1].bias, [2, -1], atol=0.3)
    assert logs["wasserstein"][-1] < 0.5 * logs["wasserstein"][0]


# ---- The networks -------------------------------------------------------------------


def test_drawers_by_numpy():
    z = normal(200, 7)
    out = np.asarray(Drawers(5)(z))
    np.testing.assert_array_equal(out[:, 5:], z[:, 5:])
    wanted = np.sqrt(5) * np.eye(5)[z[:, :5].argmax(1)]
    np.testing.assert_allclose(out[:, :5], wanted, rtol=1e-6)
    assert np.mean(out[:, :5] ** 2) == pytest.approx(1)
    shares = np.bincount(z[:, :5].argmax(1), minlength=5) / 200
    assert shares.min() > 0.1  # all drawers are equally likely


def test_drawers_save_and_refuse(tmp_path):
    z = keras.Input((7,))
    generator = keras.Model(z, layers.Dense(2)(Drawers(5)(z)))
    generator.save(tmp_path / "g.keras")
    again = keras.saving.load_model(tmp_path / "g.keras")
    np.testing.assert_array_equal(again(normal(3, 7)), generator(normal(3, 7)))
    assert Drawers(5).compute_output_shape((None, 7)) == (None, 7)
    for count in (1, 2.0, True):
        with pytest.raises(ValueError, match="count must be an integer"):
            Drawers(count)
    with pytest.raises(ValueError, match="z must have more than count=5"):
        Drawers(5)(normal(3, 5))


def test_critic_of_digits_looks_at_one_image_at_a_time_and_is_seeded():
    one, two, other = build_critic(), build_critic(), build_critic(seed=1)
    same(one, two)
    x = np.random.default_rng(0).uniform(size=(4, 28, 28, 1)).astype("float32")
    assert not np.allclose(one(x), other(x))
    together, alone = one(x, training=True), one(x[:1], training=True)
    np.testing.assert_allclose(together[0], alone[0], atol=1e-5)
    kernels = [layer.kernel for layer in one.layers if hasattr(layer, "kernel")]
    assert len({float(ops.max(kernel)) for kernel in kernels}) == len(kernels)


def test_critic_is_the_discriminator_without_norm_and_dropout():
    critic, discriminator = build_critic(), build_discriminator()

    def layers_of(model):
        kept = (keras.layers.BatchNormalization, keras.layers.Dropout)
        return [
            (type(layer), layer.output.shape, getattr(layer, "strides", None))
            for layer in model.layers
            if not isinstance(layer, kept)
        ]

    assert layers_of(critic) == layers_of(discriminator)
    assert len(critic.layers) < len(discriminator.layers)


# ---- Keras's own methods ------------------------------------------------------------


@pytest.fixture(scope="module")
def trained():
    model = make()
    fit(model)
    return model


def test_save_and_load(trained, tmp_path):
    trained.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    z = normal(5, 4)
    np.testing.assert_array_equal(again.predict(z, verbose=0), trained(z))
    np.testing.assert_array_equal(again.critic(POINTS), trained.critic(POINTS))
    players = "generator", "critic"
    one, other = (
        {k: v for k, v in model.get_config().items() if k not in players}
        for model in (trained, again)
    )
    assert one == other
    assert again.penalty_weight == 10.0 and again.discriminator_updates == 2


def test_config_keeps_every_argument():
    model = make(4, compiled=False, penalty_weight=3.0, seed=5, generator_updates=2)
    config = WGANGP.from_config(model.get_config()).get_config()
    kept = {"critic_updates": 4, "penalty_weight": 3.0, "seed": 5}
    assert config | kept | {"generator_updates": 2} == config


def test_generator_is_updated_as_often_as_asked_for():
    model = make(2, generator_updates=3)
    model.compile(run_eagerly=True)
    fit(model, POINTS[:64])
    assert int(model.g_optimizer.iterations) == 3
    assert int(model.d_optimizer.iterations) == 2


def test_save_and_load_weights(trained, tmp_path):
    trained.save_weights(tmp_path / "m.weights.h5")
    again = make()
    again.load_weights(tmp_path / "m.weights.h5")
    np.testing.assert_array_equal(again(normal(5, 4)), trained(normal(5, 4)))


def test_resumed_training_is_uninterrupted_training(trained, tmp_path):
    """`trained` has seen one epoch; both ways of storing it, and the second epoch."""
    trained.save(tmp_path / "m.keras")
    trained.save_weights(tmp_path / "m.weights.h5")
    whole = keras.saving.load_model(tmp_path / "m.keras")
    weights = make()
    weights.load_weights(tmp_path / "m.weights.h5")
    for model in (trained, whole, weights):
        fit(model)
    for resumed in (whole, weights):
        same(trained.generator, resumed.generator, atol=1e-6)
        same(trained.critic, resumed.critic, atol=1e-6)


def test_same_seed_same_result_other_seed_another():
    one, two, three = make(), make(), make(seed=1)
    for model in (one, two, three):
        model.compile(run_eagerly=True)
        fit(model, POINTS[:128])
    same(one, two)
    assert not np.allclose(one(normal(2, 4)), three(normal(2, 4)))


def test_evaluate_repeats_and_changes_nothing(trained):
    before = [np.copy(w) for w in trained.get_weights()]
    states = [np.copy(s) for s in trained.seed_states]
    first = trained.evaluate(POINTS, verbose=0, return_dict=True)
    second = trained.evaluate(POINTS, verbose=0, return_dict=True)
    assert first == second
    for a, b in zip(before, trained.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    for a, b in zip(states, trained.seed_states, strict=True):
        np.testing.assert_array_equal(a, b)
    assert set(first) == {
        "d_loss", "g_loss", "d_real", "d_fake", "penalty", "slope", "wasserstein",
    }  # fmt: skip
    assert first["g_loss"] == pytest.approx(-first["d_fake"], abs=1e-5)


def test_evaluate_draws_latent_vectors_and_interpolation_from_different_bits(
    monkeypatch,
):
    """With one seed for both, log(alpha) is minus half the square of a pair of z."""
    drawn = []

    def spy(x, seed=None):
        drawn.append(interpolation_weights(x, seed))
        return drawn[-1]

    monkeypatch.setattr("advanced_keras.wgan_gp.interpolation_weights", spy)
    model = make()
    model.test_step(POINTS)
    z = keras.random.normal((len(POINTS), model.latent_dim), seed=model.seed)
    squares = np.sum(np.reshape(z, (-1, 2)) ** 2, axis=1)
    log_alpha = np.log(np.ravel(drawn[0]))
    for start in (0, 1):
        logs = log_alpha[start::2]
        assert abs(np.corrcoef(logs, squares[: len(logs)])[0, 1]) < 0.3


def test_fit_with_labels_validation_and_callbacks(tmp_path):
    model = make(1)
    halve = keras.callbacks.LearningRateScheduler(lambda epoch, rate: rate / 2)
    path = str(tmp_path / "best.weights.h5")
    best = keras.callbacks.ModelCheckpoint(
        path, "val_wasserstein", mode="min", save_best_only=True, save_weights_only=True
    )
    labels = np.zeros(len(POINTS))
    history = model.fit(
        POINTS, labels, epochs=2, batch_size=64, verbose=0,
        validation_data=(POINTS, labels), callbacks=[halve, best],
    ).history  # fmt: skip
    assert "val_wasserstein" in history and Path(path).exists()
    for optimizer in (model.d_optimizer, model.g_optimizer):
        assert float(optimizer.learning_rate) == pytest.approx(1e-3 / 4)


def test_a_dataset_and_a_batch_smaller_than_the_number_of_updates():
    data = tf.data.Dataset.from_tensor_slices(POINTS[:66]).batch(64)
    model = make(3)
    model.compile(run_eagerly=True)
    assert np.isfinite(fit(model, data, batch_size=None)["d_loss"]).all()


def test_it_is_a_gan_with_other_defaults():
    model = make()
    assert isinstance(model, GAN) and model.critic is model.discriminator
    assert model.d_optimizer is not model.g_optimizer
    assert model.d_optimizer.beta_2 == 0.9
    assert make(critic_updates=5, compiled=False).discriminator_updates == 5


BAD = [
    ({"penalty_weight": 0}, ValueError, "penalty_weight must be a positive number"),
    ({"penalty_weight": "10"}, ValueError, "penalty_weight must be a positive number"),
    ({"penalty_weight": float("nan")}, ValueError, "penalty_weight"),
    ({"penalty_weight": True}, ValueError, "penalty_weight"),
    ({"critic_updates": 0}, ValueError, "critic_updates must be a positive integer"),
    ({"critic_updates": 1.5}, ValueError, "critic_updates must be a positive integer"),
    ({"loss": "minimax"}, TypeError, "loss is not an argument of WGANGP"),
    ({"real_target": 0.9}, TypeError, "real_target is not an argument of WGANGP"),
    ({"generator": "G"}, TypeError, "generator must be a keras.Model"),
    ({"critic": build_line_critic(3)}, ValueError, "must fit"),
]


@pytest.mark.parametrize(("options", "error", "message"), BAD)
def test_bad_input(options, error, message):
    with pytest.raises(error, match=re.escape(message)):
        make(compiled=False, **options)


def test_compile_refuses_losses():
    with pytest.raises(TypeError, match="losses of a GAN are its methods"):
        make(compiled=False).compile(loss="mse")


def test_observe_lets_the_gradient_through():
    """The generator learns through the critic, which is only looked at."""
    model = make()
    with tf.GradientTape() as tape:
        generated = model.generator(normal(8, 4))
        loss = model.generator_loss(observe(model.critic, generated))
    gradients = tape.gradient(loss, model.generator.trainable_variables)
    assert all(g is not None and np.abs(g).max() > 0 for g in gradients)


def test_a_critic_is_trained_alike_line_by_line_and_in_a_graph():
    def trained():
        critic = build_line_critic(2, hidden=4, seed=0)
        x, generated = np.zeros((5, 2)), np.ones((5, 2))
        train_critic(critic, x, generated, steps=3, batch=4, penalty_weight=[1.0, 2.0])
        return critic.get_weights()

    in_a_graph = trained()
    tf.config.run_functions_eagerly(True)
    try:
        by_line = trained()
    finally:
        tf.config.run_functions_eagerly(False)
    for one, other in zip(by_line, in_a_graph, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-6)
