"""`losses` against closed forms, SciPy, scikit-learn and Keras's own, and bad input.

Tolerances: float32 has a relative precision of 6e-8; sums of a few terms are compared
at 1e-5, optima that a search finds at the precision of the search.
"""

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from keras import layers, ops
from scipy import optimize, special, stats
from sklearn.metrics import mean_pinball_loss

from advanced_keras.losses import (
    BinaryFocalLoss,
    LinexLoss,
    NegativeSharpe,
    PinballLoss,
    align,
    binary_focal,
    focal_probability,
    linex,
    pinball,
    sharpe_ratio,
)

SMALL = settings(deadline=None, max_examples=15)
sizes = st.integers(1, 5)
seeds = st.integers(0, 10**6)
shapes = st.lists(sizes, min_size=2, max_size=4).map(tuple)
gammas = st.sampled_from([0.0, 0.5, 1.0, 2.0, 5.0])
alphas = st.sampled_from([None, 0.1, 0.25, 0.5, 0.9])


def slope(function, at):
    """The gradient of a scalar function of one tensor."""
    at = tf.constant(at, "float32")
    with tf.GradientTape() as tape:
        tape.watch(at)
        value = function(at)
    return tape.gradient(value, at).numpy()


def same(value, as_many_as):
    """One value for each example, `(batch, 1)`."""
    return value * tf.ones(as_many_as.shape)


def close(actual, expected, rtol=1e-5, atol=1e-6):
    np.testing.assert_allclose(np.array(actual), expected, rtol=rtol, atol=atol)


# -- shapes


@SMALL
@given(shape=shapes)
def test_align_keeps_equal_shapes_and_mends_one(shape):
    y_true, y_pred = align(np.ones(shape, "int64"), np.ones(shape, "float32"))
    assert y_true.shape == y_pred.shape == shape
    assert y_true.dtype == y_pred.dtype == tf.float32
    flat, column = align(np.ones(shape), np.ones((*shape, 1), "float16"))
    assert flat.shape == column.shape == (*shape, 1)
    assert flat.dtype == tf.float16


@pytest.mark.parametrize(
    "y_true, y_pred", [((4,), (4, 2)), ((4, 1), (4,)), ((3, 2), (4, 2)), ((), ())]
)
def test_align_refuses_what_would_be_broadcast(y_true, y_pred):
    with pytest.raises(
        ValueError, match=r"y_true must have the shape of (logits|y_pred)"
    ):
        align(np.ones(y_true), np.ones(y_pred, "float32"))


def test_align_makes_floats_of_integer_predictions():
    y_true, y_pred = align([[0.5]], [[1]])
    assert y_true.dtype == y_pred.dtype == tf.float32 and y_true[0, 0] == 0.5


@pytest.mark.parametrize("loss", [BinaryFocalLoss(), LinexLoss(), PinballLoss(0.5)])
def test_flat_targets_are_not_broadcast(loss):
    y_true, y_pred = np.array([0.0, 1.0, 1.0]), np.array([[0.2], [0.5], [-1.0]])
    close(loss(y_true, y_pred), loss(y_true[:, None], y_pred))


# -- quantiles

levels = st.lists(st.floats(0.01, 0.99), min_size=1, max_size=4)


@SMALL
@given(shape=st.lists(sizes, min_size=1, max_size=3).map(tuple), q=levels, seed=seeds)
def test_pinball_agrees_with_numpy_and_scikit_learn(shape, q, seed):
    rng = np.random.default_rng(seed)
    y_true = rng.normal(size=shape).astype("float32")
    y_pred = rng.normal(size=(*shape, len(q))).astype("float32")
    each = pinball(y_true, y_pred, q)
    assert each.shape == shape
    close(pinball(y_true[..., None], y_pred, q), each)
    e = y_true[..., None] - y_pred
    close(each, np.where(e > 0, np.multiply(q, e), np.multiply(q, e) - e).mean(-1))
    theirs = [
        mean_pinball_loss(y_true.ravel(), y_pred[..., j].ravel(), alpha=level)
        for j, level in enumerate(q)
    ]
    close(PinballLoss(q)(y_true, y_pred), np.mean(theirs))


@SMALL
@given(level=st.floats(0.02, 0.98), seed=seeds)
def test_pinball_is_cheapest_at_the_quantile(level, seed):
    y = np.random.default_rng(seed).normal(size=(2001, 1)).astype("float32")
    target = np.quantile(y, level, method="inverted_cdf")

    def cost(answer):
        answer = np.full_like(y, answer)
        return float(ops.mean(pinball(y, answer, level)))

    assert cost(target) <= min(cost(target - 0.05), cost(target + 0.05))


@pytest.mark.parametrize("level", [0.01, 0.05, 0.5, 0.9])
def test_slope_of_the_pinball_loss_is_share_below_minus_level(level):
    y = stats.norm.ppf((np.arange(10_000) + 0.5) / 10_000)[:, None]  # exact normal
    for answer in (-1.5, 0.0, 0.7):
        got = slope(lambda a: ops.mean(pinball(y, same(a, y), level)), answer)
        assert abs(got - (stats.norm.cdf(answer) - level)) < 2e-4


def test_pinball_of_one_half_is_half_the_absolute_error():
    rng = np.random.default_rng(0)
    y_true, y_pred = rng.normal(size=(2, 9, 1)).astype("float32")
    absolute = keras.losses.MeanAbsoluteError()(y_true, y_pred)
    close(PinballLoss(0.5)(y_true, y_pred), absolute / 2)


def test_pinball_finds_the_value_at_risk_of_each_group():
    """A table of two groups, trained, against the quantiles of the two samples."""
    rng = np.random.default_rng(0)
    group = rng.integers(0, 2, 4000)
    y = (np.array([0.5, 3.0])[group] * rng.standard_t(4, 4000)).astype("float32")
    keras.utils.set_random_seed(0)
    table = keras.Sequential([keras.Input((), dtype="int32"), layers.Embedding(2, 2)])
    rate = keras.optimizers.schedules.CosineDecay(0.3, 200)
    loss = PinballLoss([0.05, 0.5])
    table.compile(keras.optimizers.Adam(rate), loss=loss, steps_per_execution=50)
    steps = np.tile(group, 200), np.tile(y, 200)  # 200 steps, each on all examples
    table.fit(*steps, batch_size=4000, shuffle=False, verbose=0)
    for g in (0, 1):
        below = (y[group == g, None] <= table.get_weights()[0][g]).mean(0)
        np.testing.assert_allclose(below, [0.05, 0.5], atol=0.01)


# -- rare classes


def numpy_focal(y, z, gamma, alpha=None):
    """Equation 5 of the paper in float64, from probabilities."""
    p_t = np.where(y == 1, special.expit(z), special.expit(-z))
    other = np.where(y == 1, special.expit(-z), special.expit(z))  # 1 - p_t, exactly
    weight = 1.0 if alpha is None else np.where(y == 1, alpha, 1 - alpha)
    return -weight * other**gamma * np.log(p_t)


def labels_and_logits(shape, seed):
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 2, shape).astype("float32")
    return y, rng.normal(scale=4, size=shape).astype("float32")


@SMALL
@given(shape=shapes, gamma=gammas, alpha=alphas, seed=seeds)
def test_focal_agrees_with_the_paper_and_with_keras(shape, gamma, alpha, seed):
    y, z = labels_and_logits(shape, seed)
    each = binary_focal(y, z, gamma, alpha)
    assert each.shape == shape[:-1]
    close(each, numpy_focal(y, z.astype("float64"), gamma, alpha).mean(-1), rtol=2e-5)
    stock = keras.losses.BinaryFocalCrossentropy(
        alpha is not None, alpha=alpha or 0.25, gamma=gamma, from_logits=True
    )
    # Keras forms 1 - p_t in float32, which has an absolute error of 6e-8
    close(BinaryFocalLoss(gamma, alpha)(y, z), stock(y, z), rtol=1e-3, atol=1e-5)


@SMALL
@given(shape=shapes, seed=seeds)
def test_focal_without_focus_is_the_cross_entropy(shape, seed):
    y, z = labels_and_logits(shape, seed)
    soft = np.abs(y - 0.1)
    entropy = keras.losses.BinaryCrossentropy(from_logits=True)
    for target in (y, soft):
        close(BinaryFocalLoss(0.0)(target, z), entropy(target, z))


@SMALL
@given(gamma=gammas, seed=seeds)
def test_focal_slope_is_that_of_the_appendix(gamma, seed):
    y, z = labels_and_logits((6, 1), seed)
    got = slope(lambda x: ops.sum(binary_focal(y, x, gamma)), z)
    sign, wide = 2 * y - 1, z.astype("float64")
    p_t, other = special.expit(sign * wide), special.expit(-sign * wide)
    closed = sign * other**gamma * (gamma * p_t * np.log(p_t) - other)
    close(got, closed, rtol=1e-4)
    h = 1e-4
    ahead, behind = (numpy_focal(y, wide + d, gamma) for d in (h, -h))
    close(got, (ahead - behind) / (2 * h), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0])
@pytest.mark.parametrize("z", [-1e4, -100.0, -40.0, 40.0, 100.0, 1e4])
def test_focal_never_saturates(gamma, z):
    for y in (0.0, 1.0):
        wrong = (z < 0) == (y == 1)
        value = float(binary_focal([[y]], [[z]], gamma)[0])
        grad = slope(lambda x, y=y: binary_focal([[y]], x, gamma)[0], [[z]])[0, 0]
        assert np.isclose(value, abs(z) if wrong else 0, atol=1e-6)
        assert np.isclose(grad, np.sign(z) if wrong else 0, atol=1e-6)


@SMALL
@given(eta=st.floats(0.01, 0.99), gamma=gammas, alpha=alphas)
def test_focal_probability_undoes_the_focus(eta, gamma, alpha):
    def expected(z):
        ones = numpy_focal(np.array(1), z, gamma, alpha)
        return eta * ones + (1 - eta) * numpy_focal(np.array(0), z, gamma, alpha)

    best = optimize.minimize_scalar(expected, bounds=(-30, 30), method="bounded",
                                    options={"xatol": 1e-9}).x  # fmt: skip
    assert abs(float(focal_probability(best, gamma, alpha)) - eta) < 1e-4


def test_focal_probability_rises_keeps_one_half_and_has_ends():
    z = np.linspace(-12, 12, 97, dtype="float32")
    close(focal_probability(z, 0.0), special.expit(z))
    for gamma in (0.5, 2.0):
        p = focal_probability(z, gamma).numpy()
        assert np.all(np.diff(p) >= 0) and np.isclose(p[48], 0.5)
        close(p + p[::-1], 1.0)
        ends = focal_probability(np.array([-300.0, 300.0]), gamma)
        close(ends, [0.0, 1.0])


# -- errors of unequal cost


@SMALL
@given(shape=shapes, a=st.sampled_from([-2.0, -0.1, 0.3, 1.5]), seed=seeds)
def test_linex_agrees_with_numpy(shape, a, seed):
    y_true, y_pred = np.random.default_rng(seed).normal(size=(2, *shape))
    e = y_pred - y_true
    expected = (np.exp(a * e) - a * e - 1).mean(-1)
    each = linex(y_true, y_pred.astype("float32"), a)
    assert each.shape == shape[:-1]
    close(each, expected, rtol=1e-4)
    close(linex(-y_true, -y_pred.astype("float32"), -a), each)


@pytest.mark.parametrize("a", [-1.0, 0.5, 2.0])
def test_linex_is_cheapest_below_the_mean_by_half_a_variance(a):
    mean, sigma = 1.0, 0.7
    y = stats.norm.ppf((np.arange(20_000) + 0.5) / 20_000, mean, sigma)[:, None]
    best = mean - a * sigma**2 / 2

    def slope_at(answer):
        at = tf.constant(answer)
        return slope(lambda b: ops.mean(linex(y, same(b, y), a)), at)

    assert abs(slope_at(best)) < 2e-3  # the tails are cut at 1/40000
    assert slope_at(best - 0.05) < -5e-3 and slope_at(best + 0.05) > 5e-3


def test_linex_of_a_small_error_is_the_squared_error():
    close(linex([[0.0]], [[1e-3]], 2.0), [2e-6], rtol=0.05, atol=0)


# -- a statistic of the whole batch


def varied(earned):
    """Whether float32 knows the standard deviation to five digits."""
    return earned.std() > 0.02 * np.abs(earned).max()


@SMALL
@given(b=st.integers(2, 9), n=sizes, seed=seeds)
def test_sharpe_agrees_with_numpy_and_knows_no_scale_or_order(b, n, seed):
    rng = np.random.default_rng(seed)
    returns, hold = rng.normal(size=(2, b, n)).astype("float32")
    earned = (returns * hold).sum(1)
    assume(varied(earned))
    expected = -earned.mean() / earned.std()
    loss = NegativeSharpe()
    assert loss(returns, hold).shape == ()
    close(loss(returns, hold), expected, rtol=1e-4, atol=1e-5)
    close(loss(returns, 7 * hold), expected, rtol=1e-4, atol=1e-5)
    close(loss(returns[::-1], hold[::-1]), expected, rtol=1e-4, atol=1e-5)
    along = slope(lambda h: loss(returns, h), hold)
    assert abs((along * hold).sum()) < 1e-3 * (1 + np.abs(along).max())  # Euler


@SMALL
@given(counts=st.lists(st.integers(0, 3), min_size=3, max_size=8), seed=seeds)
def test_weights_of_dates_are_repetitions(counts, seed):
    rng = np.random.default_rng(seed)
    counts[0] = counts[1] = 1  # at least two dates
    returns, hold = rng.normal(size=(2, len(counts), 3)).astype("float32")
    repeated = [np.repeat(a, counts, axis=0) for a in (returns, hold)]
    assume(varied((repeated[0] * repeated[1]).sum(1)))
    expected = NegativeSharpe()(*repeated)
    weights = np.array(counts, "float32")
    for w in (weights, weights[:, None], 5 * weights):
        close(NegativeSharpe()(returns, hold, w), expected, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("r", [[0.3], [0.2, 0.2, 0.2], [0.0, 0.0]])
def test_without_variance_there_is_no_sharpe_ratio(r):
    assert float(sharpe_ratio(np.array(r, "float32"))) == 0
    assert np.all(slope(sharpe_ratio, r) == 0)
    none = sharpe_ratio(np.array(r, "float32"), np.zeros(len(r)))
    assert float(none) == 0


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
@pytest.mark.parametrize("level", [0.01, 0.6233, 1.7])  # rounding makes them vary
def test_a_constant_series_is_seen_in_every_precision(dtype, level):
    for count in (3, 7, 301):
        ratio = sharpe_ratio(ops.cast([level] * count, dtype))
        assert ratio.dtype == tf.float32 and float(ratio) == 0


def test_a_small_variance_is_a_variance():
    close(sharpe_ratio(np.tile([1.001, 0.999], 4).astype("float32")), 1e3, rtol=1e-2)


def test_a_missing_return_is_not_taken_for_a_constant_series():
    holes = np.array([[0.1], [np.nan], [0.3]], "float32")
    assert np.isnan(float(NegativeSharpe()(holes, np.ones_like(holes))))


def test_functions_take_integers_and_lists():
    close(sharpe_ratio([1, 2, 3]), 2 / np.sqrt(2 / 3))
    close(pinball([3.0], [[2]], 0.9), [0.9])
    close(pinball([1], [[2]], 0.9), [0.1])


@SMALL
@given(n=st.integers(2, 5), seed=seeds)
def test_best_holdings_are_the_closed_form(n, seed):
    rng = np.random.default_rng(seed)
    turned = np.linalg.qr(rng.normal(size=(n, n)))[0]  # correlated, but not nearly
    returns = rng.normal(0.3, 1, (50, n)) * rng.uniform(0.5, 2, n) @ turned  # singular
    mu, sigma = returns.mean(0), np.atleast_2d(np.cov(returns.T, bias=True))
    w = np.linalg.solve(sigma, mu)
    w /= np.linalg.norm(w)
    best = np.sqrt(mu @ np.linalg.solve(sigma, mu))

    def loss(holdings):
        each = tf.ones((50, 1)) * holdings
        return NegativeSharpe()(returns, each)

    close(loss(w.astype("float32")), -best, rtol=1e-3, atol=1e-4)
    assert np.abs(slope(loss, w)).max() < 2e-3 * (1 + best)
    for _ in range(5):
        other = w + 0.1 * rng.normal(size=n)
        assert loss(other.astype("float32")) >= -best * (1 + 1e-3) - 1e-4


def test_weights_reach_the_sharpe_ratio_through_fit():
    rng = np.random.default_rng(0)
    returns = rng.normal(0.1, 1, (12, 3)).astype("float32")
    hold = rng.normal(size=(12, 3)).astype("float32")
    weight = rng.uniform(size=12).astype("float32")
    model = keras.Sequential([keras.Input((3,)), layers.Identity()])
    model.compile(loss=NegativeSharpe())
    got = model.evaluate(hold, returns, sample_weight=weight, batch_size=12, verbose=0)
    close(got, NegativeSharpe()(returns, hold, weight))


# -- all of them, as Keras uses them

LOSSES = {
    "pinball": (PinballLoss([0.1, 0.6]), 2),
    "pinball of one": (PinballLoss(0.3, reduction="sum"), 1),
    "focal": (BinaryFocalLoss(1.5, 0.3), 2),
    "focal, no alpha": (BinaryFocalLoss(0.5), 1),
    "linex": (LinexLoss(-0.7), 1),
    "sharpe": (NegativeSharpe(), 2),
}


def example(units, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(8, 3)).astype("float32")
    return x, rng.integers(0, 2, (8, units)).astype("float32")


def targets_for(name, y):
    return y[:, :1] if name == "pinball" else y


@pytest.mark.parametrize("name", LOSSES)
def test_compiled_model_is_saved_and_loaded_without_custom_objects(name, tmp_path):
    loss, units = LOSSES[name]
    x, y = example(units)
    model = keras.Sequential([keras.Input((3,)), layers.Dense(units)])
    model.compile("sgd", loss=loss)
    before = model.evaluate(x, targets_for(name, y), batch_size=8, verbose=0)
    model.save(tmp_path / "m.keras")
    loaded = keras.saving.load_model(tmp_path / "m.keras")
    assert type(loaded.loss) is type(loss)
    assert loaded.loss.get_config() == loss.get_config()
    after = loaded.evaluate(x, targets_for(name, y), batch_size=8, verbose=0)
    assert before == after
    again = keras.losses.deserialize(keras.losses.serialize(loss))
    assert again.get_config() == loss.get_config()


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("how", [{"jit_compile": True}, {"run_eagerly": True}])
def test_trains_in_every_mode_and_gets_better(name, how):
    loss, units = LOSSES[name]
    x, y = example(units)
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((3,)), layers.Dense(units)])
    model.compile(keras.optimizers.SGD(0.02), loss=loss, **how)
    history = model.fit(x, targets_for(name, y), batch_size=8, epochs=4, verbose=0)
    values = history.history["loss"]
    assert np.all(np.isfinite(values)) and values[-1] < values[0]


@pytest.mark.parametrize("name", LOSSES)
def test_half_precision_predictions_are_lifted_to_the_dtype_of_the_loss(name):
    loss, units = LOSSES[name]
    _, y = example(units)
    half = ops.cast(np.linspace(-1, 1, y.size).reshape(y.shape), "bfloat16")
    value = loss(targets_for(name, y), half)
    assert value.dtype == tf.float32
    close(value, loss(targets_for(name, y), ops.cast(half, "float32")))


@pytest.mark.parametrize("name", [n for n in LOSSES if n != "sharpe"])
def test_weights_multiply_the_value_of_each_example(name):
    loss, units = LOSSES[name]
    config = loss.get_config()
    each = type(loss).from_config({**config, "reduction": "none"})
    _, y = example(units)
    y_pred, weight = example(units, 1)[1] - 0.4, np.arange(8.0)
    y = targets_for(name, y)
    assert each(y, y_pred).shape == (8,)
    close(each(y, y_pred, weight), each(y, y_pred) * weight)
    mean = type(loss).from_config({**config, "reduction": "sum_over_batch_size"})
    close(mean(y, y_pred, weight), np.mean(each(y, y_pred) * weight))


@pytest.mark.parametrize(
    "make", [PinballLoss, BinaryFocalLoss, LinexLoss, NegativeSharpe]
)
def test_float64_on_request_also_after_loading(make):
    loss = make(dtype="float64")
    for each in (loss, keras.losses.deserialize(keras.losses.serialize(loss))):
        assert each(np.ones((2, 1)), np.zeros((2, 1))).dtype == tf.float64
    stock = keras.losses.MeanSquaredError(dtype="float64")  # the chapter says so
    again = keras.losses.deserialize(keras.losses.serialize(stock))
    assert (stock.dtype, again.dtype) == ("float64", "float32")


# -- bad input

BAD_NUMBERS = [
    (
        PinballLoss,
        {"quantiles": 0},
        ValueError,
        "quantiles must lie strictly between 0",
    ),
    (PinballLoss, {"quantiles": [0.5, 1.0]}, ValueError, "quantiles.*got 1.0"),
    (PinballLoss, {"quantiles": float("nan")}, ValueError, "quantiles.*got nan"),
    (PinballLoss, {"quantiles": []}, ValueError, "at least one level, got none"),
    (PinballLoss, {"quantiles": "0.5"}, TypeError, "quantiles must be a number or a"),
    (PinballLoss, {"quantiles": [None]}, TypeError, "quantiles must be a number, got"),
    (PinballLoss, {"quantiles": True}, TypeError, "got True"),
    (BinaryFocalLoss, {"gamma": -1}, ValueError, "gamma must be at least 0, got -1"),
    (BinaryFocalLoss, {"gamma": float("inf")}, ValueError, "gamma must lie strictly"),
    (BinaryFocalLoss, {"gamma": "2"}, TypeError, "gamma must be a number, got '2'"),
    (BinaryFocalLoss, {"alpha": 1}, ValueError, "alpha must lie strictly between 0"),
    (BinaryFocalLoss, {"alpha": [0.5]}, TypeError, "alpha must be a number"),
    (LinexLoss, {"a": 0}, ValueError, "a must not be 0"),
    (LinexLoss, {"a": float("nan")}, ValueError, "a must lie strictly"),
    (LinexLoss, {"a": None}, TypeError, "a must be a number, got None"),
    (LinexLoss, {"reduction": "average"}, ValueError, "reduction"),
    (NegativeSharpe, {"reduction": "sum"}, TypeError, "reduction"),
]


@pytest.mark.parametrize("make, arguments, error, message", BAD_NUMBERS)
def test_bad_parameters_are_refused_at_construction(make, arguments, error, message):
    with pytest.raises(error, match=message):
        make(**arguments)


def test_functions_refuse_bad_parameters_too():
    one = np.ones((2, 1), "float32")
    with pytest.raises(ValueError, match="quantiles"):
        pinball(one, one, 2)
    with pytest.raises(ValueError, match="gamma"):
        binary_focal(one, one, -2)
    with pytest.raises(ValueError, match="alpha"):
        focal_probability(one, 2, 0)
    with pytest.raises(TypeError, match="gamma"):
        focal_probability(one, None)
    with pytest.raises(ValueError, match="a must not be 0"):
        linex(one, one, 0)


@SMALL
@given(units=st.integers(1, 5), count=st.integers(1, 5))
def test_pinball_wants_one_unit_a_level(units, count):
    q = [0.5] * count
    y_true, y_pred = np.ones((3,)), np.ones((3, units), "float32")
    if units == count:
        assert pinball(y_true, y_pred, q).shape == (3,)
    else:
        with pytest.raises(ValueError, match=rf"each of the {count} levels.*{units}\)"):
            pinball(y_true, y_pred, q)


def test_bad_shapes_are_named():
    square, flat = np.ones((4, 2), "float32"), np.ones(4, "float32")
    with pytest.raises(ValueError, match=r"y_pred must have one prediction.*\(4,\)"):
        pinball(flat, flat, 0.5)
    with pytest.raises(
        ValueError, match=r"\(4, 2\) for y_true and \(4, 1\) for y_pred"
    ):
        pinball(square, flat[:, None], 0.5)
    for loss in (BinaryFocalLoss(), LinexLoss(), NegativeSharpe()):
        with pytest.raises(
            ValueError, match=r"y_true must have the shape of (logits|y_pred)"
        ):
            loss(flat, square)
    with pytest.raises(ValueError, match=r"y_pred must hold one weight a ticker"):
        NegativeSharpe()(square[None], square[None])
    with pytest.raises(ValueError, match=r"one weight a date, \(4,\), got \(3,\)"):
        NegativeSharpe()(square, square, np.ones(3))
    with pytest.raises(ValueError, match=r"returns must have shape \(batch,\)"):
        sharpe_ratio(square)


# -- what the chapter says of Keras itself

VALUES = np.array([[1.0], [2.0], [3.0], [4.0]])
WEIGHTS = np.array([2.0, 0.0, 1.0, 2.0])


@SMALL
@given(b=st.integers(1, 6), seed=seeds)
def test_denominators_of_the_reductions(b, seed):
    rng = np.random.default_rng(seed)
    v, w = rng.normal(size=(b, 1)), rng.uniform(0.1, 2, b)
    each = np.abs(v[:, 0]) * w
    expected = {
        "sum_over_batch_size": each.sum() / b,
        "mean": each.sum() / b,
        "mean_with_sample_weight": each.sum() / w.sum(),
        "sum": each.sum(),
        "none": each,
        None: each,
    }
    for reduction, value in expected.items():
        loss = keras.losses.MeanAbsoluteError(reduction=reduction)
        close(loss(v, 0 * v, w), value)


def test_masked_entries_leave_the_denominator_and_weightless_ones_do_not():
    tensor = layers.Masking(9.0)(np.array([[[1.0], [2.0], [9.0], [9.0]]]))
    target = np.zeros((1, 4, 1))
    loss = keras.losses.MeanAbsoluteError()
    assert float(loss(target, tensor)) == 1.5
    weight = np.array([[1.0, 1.0, 0.0, 0.0]])
    assert float(loss(target, tensor.numpy(), weight)) == 0.75
    assert float(keras.losses.MeanAbsoluteError("sum")(target, tensor)) == 3.0


def compiled(loss, values=VALUES, **weights):
    model = keras.Sequential([keras.Input((1,)), layers.Identity()])
    model.compile(loss=loss, run_eagerly=True)
    return model.evaluate(values, 0 * values, verbose=0, **weights)


def test_a_function_gets_two_arguments_and_weights_come_after():
    seen = []

    def spy(*args, **kwargs):
        seen.append((len(args), kwargs, args[0].shape, args[0].dtype))
        return ops.mean(ops.abs(args[0] - args[1]), axis=-1)

    assert compiled(spy, sample_weight=WEIGHTS) == 3.25
    assert seen[-1] == (2, {}, (4, 1), tf.float32)
    by_class = compiled(lambda t, p: spy(t, p))
    assert by_class == 2.5


def test_class_weight_arrives_as_sample_weight():
    seen = []

    class Spy(keras.losses.Loss):
        def __call__(self, y_true, y_pred, sample_weight=None):
            seen.append(sample_weight)
            return super().__call__(y_true, y_pred, sample_weight)

        def call(self, y_true, y_pred):
            return ops.mean(ops.abs(y_true - y_pred), axis=-1)

    model = keras.Sequential([keras.Input((1,)), layers.Dense(1)])
    model.compile(loss=Spy(), run_eagerly=True)
    y = np.array([0, 1, 1, 0])
    model.fit(VALUES, y, class_weight={0: 2.0, 1: 7.0}, verbose=0, shuffle=False)
    close(seen[-1], [2, 7, 7, 2])


def test_a_function_that_returns_one_number_makes_weights_void():
    def one_number(y_true, y_pred):
        return ops.mean(ops.abs(y_true - y_pred))

    for weight in np.eye(4) * 4:
        assert compiled(one_number, sample_weight=weight) == 2.5


def test_a_subclass_broadcasts_flat_targets_and_a_function_does_not():
    class Naive(keras.losses.Loss):
        def call(self, y_true, y_pred):
            return ops.mean(ops.square(y_true - y_pred), axis=-1)

    flat, column = np.array([1.0, -1.0]), np.array([[1.0], [-1.0]])
    assert float(Naive()(column, column)) == 0
    assert float(Naive()(flat, column)) == 2  # every prediction with every target
    assert float(keras.losses.MeanSquaredError()(flat, column)) == 0


def test_one_weight_an_example_is_taken_by_step_when_there_are_as_many_steps():
    loss = keras.losses.MeanAbsoluteError("none")
    ones, weight = np.ones((2, 2, 1)), np.array([1.0, 5.0])
    assert loss(0 * ones, ones, weight).numpy().tolist() == [[1, 5], [1, 5]]
    assert loss(0 * ones, ones, weight[:, None]).numpy().tolist() == [[1, 1], [5, 5]]
    with pytest.raises(tf.errors.InvalidArgumentError):
        loss(np.zeros((2, 3, 1)), np.ones((2, 3, 1)), weight)


def test_weights_b_1_are_summed_before_they_are_broadcast():
    loss = keras.losses.MeanAbsoluteError("mean_with_sample_weight")
    ones, weight = np.ones((2, 3, 1)), np.array([[1.0], [5.0]])
    assert float(loss(0 * ones, ones, weight)) == 3.0  # sum over 18, divided by 6
    assert float(loss(0 * ones, ones, np.repeat(weight, 3, axis=1))) == 1.0


def test_a_probability_that_lost_its_logits_saturates():
    entropy = keras.losses.BinaryCrossentropy
    one, z = tf.ones((1, 1)), tf.constant([[-40.0]])

    def cast(p):
        return ops.cast(ops.cast(p, "bfloat16"), "float32")

    routes = {
        "logits": lambda x: entropy(from_logits=True)(one, x),
        "remembered": lambda x: entropy()(one, ops.sigmoid(x)),
        "reshape": lambda x: entropy()(one, ops.reshape(ops.sigmoid(x), (1, 1))),
        "slice": lambda x: entropy()(one, ops.sigmoid(x)[:1]),
        "average": lambda x: entropy()(one, (ops.sigmoid(x) + ops.sigmoid(x)) / 2),
        "precision": lambda x: entropy()(one, cast(ops.sigmoid(x))),
    }
    got = {n: (float(f(z)), float(slope(f, z)[0, 0])) for n, f in routes.items()}
    assert got["logits"] == got["remembered"] == (40.0, -1.0)
    for lost in ("reshape", "slice", "average", "precision"):
        assert got[lost] == (pytest.approx(-np.log(1e-7), abs=1e-4), 0.0)


@pytest.mark.parametrize("dtype, after", [("mixed_bfloat16", 1.0), ("float32", 0.6)])
def test_in_half_precision_the_probability_loses_its_logits(dtype, after):
    dense = layers.Dense(1, "sigmoid", kernel_initializer="ones", dtype=dtype)
    model = keras.Sequential([keras.Input((1,)), dense])
    model.compile(keras.optimizers.SGD(0.01), loss="binary_crossentropy")
    model.fit(np.array([[-40.0]]), np.array([[1.0]]), verbose=0)
    assert float(model.get_weights()[0][0, 0]) == pytest.approx(after, abs=1e-5)


def test_keras_focal_loss_has_a_nan_slope_where_ours_has_none():
    stock = keras.losses.BinaryFocalCrossentropy(gamma=0.5, from_logits=True)
    one, at = tf.ones((1, 1)), tf.constant([[20.0]])
    assert np.isnan(slope(lambda z: stock(one, z), at)).all()
    assert np.isfinite(slope(lambda z: BinaryFocalLoss(0.5)(one, z), at)).all()


def test_a_registered_loss_without_config_loads_with_its_default(tmp_path):
    @keras.saving.register_keras_serializable(package="test_losses")
    class Forgetful(keras.losses.Loss):
        def __init__(self, level=0.5, **kwargs):
            super().__init__(**kwargs)
            self.level = level

        def call(self, y_true, y_pred):
            return pinball(y_true, y_pred, self.level)

    @keras.saving.register_keras_serializable(package="test_losses")
    def nine(y_true, y_pred):
        return pinball(y_true, y_pred, 0.9)

    def again(loss):
        model = keras.Sequential([keras.Input((1,)), layers.Dense(1)])
        model.compile("sgd", loss=loss)
        model.save(tmp_path / "m.keras")
        return keras.saving.load_model(tmp_path / "m.keras").loss

    assert again(Forgetful(0.9)).level == 0.5
    assert again(PinballLoss(0.9)).quantiles == (0.9,)
    assert again(nine) is nine
    with pytest.raises(TypeError, match="Could not locate function"):
        again(unregistered)


def unregistered(y_true, y_pred):
    return ops.mean(ops.abs(y_true - y_pred), axis=-1)
