"""Factor models: textbook estimates, IPCA, the autoencoder, and no look-ahead.

Oracles: NumPy's lstsq, scikit-learn's regression and PCA, the package ``ipca``, loops
of the definitions, finite differences, the simulation's truth, and invariances.
"""

import contextlib
import dataclasses
import io
import os

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from keras import layers
from sklearn.decomposition import PCA
from sklearn.linear_model import LinearRegression

from advanced_keras.data.panel import simulate_panel
from advanced_keras.dense_threading import diagnose
from advanced_keras.factor_models import (
    DEPTHS,
    IPCA,
    Ensemble,
    FactorModel,
    FillMissing,
    MaskedMeanSquaredError,
    build_autoencoder,
    canonical_correlations,
    cross_sectional_regression,
    examples,
    fama_macbeth,
    fit_autoencoder,
    fit_ipca,
    fit_market,
    fit_pca,
    make_folds,
    make_model,
    managed_portfolios,
    minibatches,
    model_r2,
    moments,
    panel_r2,
    past_means,
    principal_components,
    solve_factors,
    solve_gamma,
    time_series_regression,
    walk_forward,
)

BUSY = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow]}
K = 3


@pytest.fixture(scope="module")
def small():
    """48 dates, 40 tickers, 10 characteristics."""
    return simulate_panel("nonlinear", num_dates=48, num_assets=40, seed=5)[0]


@pytest.fixture(scope="module")
def linear():
    return simulate_panel("linear", num_dates=200, num_assets=300, seed=2)


@pytest.fixture(scope="module")
def quick(small):
    """A network that is trained a little."""
    return tiny_fit(small)


def tiny_fit(panel, seed=1, **options):
    window = panel.take(slice(0, 32)), panel.take(slice(32, 40))
    options = {"num_factors": 2, "hidden": (6,), "epochs": 6} | options
    return fit_autoencoder(*window, seed=seed, **options)


def change_future(panel, first):
    """Other returns from date ``first`` on, other characteristics after it."""
    rng = np.random.default_rng(9)
    returns, Z = panel.returns.copy(), panel.characteristics.copy()
    returns[first:] = rng.normal(size=returns[first:].shape)
    Z[first + 1 :] = rng.uniform(-1, 1, Z[first + 1 :].shape)
    return dataclasses.replace(panel, returns=returns, characteristics=Z)


def equal(one, other):
    np.testing.assert_array_equal(one, other)


# ---- Factors given, betas given, neither given --------------------------------------


@pytest.mark.parametrize("intercept", [True, False])
def test_time_series_regression_is_ols_of_each_ticker(linear, intercept):
    panel, truth = linear
    alpha, beta = time_series_regression(
        panel.returns, truth.factors, panel.present, intercept
    )
    for i in (0, 1, 17, 299):
        seen = panel.present[:, i]
        ols = LinearRegression(fit_intercept=intercept)
        ols.fit(truth.factors[seen], panel.returns[seen, i])
        np.testing.assert_allclose(beta[i], ols.coef_, atol=1e-10)
        np.testing.assert_allclose(alpha[i], ols.intercept_, atol=1e-10)


def test_one_factor_has_the_textbook_beta(linear):
    panel, truth = linear
    f = truth.factors[:, :1]
    alpha, beta = time_series_regression(panel.returns, f, panel.present)
    seen = panel.present[:, 3]
    r, f = panel.returns[seen, 3], f[seen, 0]
    slope = np.mean((r - r.mean()) * (f - f.mean())) / f.var()
    np.testing.assert_allclose(beta[3, 0], slope, atol=1e-10)
    np.testing.assert_allclose(alpha[3], r.mean() - slope * f.mean(), atol=1e-10)


def test_ticker_with_too_few_dates_has_no_beta():
    returns, present = np.ones((5, 2)), np.ones((5, 2), bool)
    present[2:, 1] = False
    factors = np.random.default_rng(0).normal(size=(5, 2))
    alpha, beta = time_series_regression(returns, factors, present)
    assert np.isfinite(beta[0]).all() and np.isnan(beta[1]).all() and np.isnan(alpha[1])


def test_cross_sectional_regression_is_ols_of_each_date(linear):
    panel, truth = linear
    found = cross_sectional_regression(panel.returns, truth.betas, panel.present)
    for t in (0, 50, 199):
        here = panel.present[t]
        ols = np.linalg.lstsq(truth.betas[t, here], panel.returns[t, here], rcond=None)
        np.testing.assert_allclose(found[t], ols[0], atol=1e-10)


def test_managed_portfolios_are_regressions_on_characteristics(linear):
    panel, _ = linear
    x = managed_portfolios(panel)
    for t in (0, 100):
        here = panel.present[t]
        Z, r = panel.characteristics[t, here], panel.returns[t, here]
        np.testing.assert_allclose(x[t], np.linalg.inv(Z.T @ Z) @ Z.T @ r, atol=1e-10)


def test_columns_of_any_size(small):
    """A market value in dollars beside a ratio is no collinearity."""
    sizes = np.geomspace(1e-6, 1e12, 10)
    scaled = dataclasses.replace(small, characteristics=small.characteristics * sizes)
    x = managed_portfolios(small)
    np.testing.assert_allclose(managed_portfolios(scaled) * sizes, x, rtol=1e-9)


def test_fama_macbeth_by_hand():
    returns = np.array([[1.0, 2.0], [3.0, 4.0], [2.0, 2.0]])
    betas = np.broadcast_to(np.array([[1.0], [1.0]]), (3, 2, 1))
    found = fama_macbeth(returns, betas, np.ones((3, 2), bool))
    slopes = np.array([1.5, 3.5, 2.0])
    np.testing.assert_allclose(found.mean, [slopes.mean()])
    np.testing.assert_allclose(found.error, [slopes.std(ddof=1) / np.sqrt(3)])
    np.testing.assert_allclose(found.t, found.mean / found.error)


def test_fama_macbeth_finds_the_premia(linear):
    panel, truth = linear
    found = fama_macbeth(panel.returns, truth.betas, panel.present)
    assert (np.abs(found.mean - truth.factors.mean(0)) < 0.002).all()
    assert (np.abs(found.mean - truth.premia) < 3.5 * found.error).all()


@pytest.mark.parametrize("num_factors", [1, 3, 10])
def test_principal_components_are_scikit_learns(linear, num_factors):
    x = managed_portfolios(linear[0])
    weights = principal_components(x, num_factors)
    theirs = PCA(num_factors).fit(x)
    signs = np.sign(np.sum(weights * theirs.components_.T, axis=0))
    np.testing.assert_allclose(weights * signs, theirs.components_.T, atol=1e-6)
    np.testing.assert_allclose(
        (x @ weights).var(0, ddof=1), theirs.explained_variance_, rtol=1e-6
    )


def test_static_models_give_constant_betas(small):
    for model in (fit_market(small), fit_pca(small, 2)):
        betas = model.betas(small)
        assert betas.shape[:2] == small.returns.shape and np.isfinite(betas).all()
        equal(betas[0], betas[-1])
        assert 0 < panel_r2(small.returns, model.fitted(small), small.present) < 1
    x = managed_portfolios(small)
    equal(fit_market(small).factors(small), x[:, :1])


def test_static_betas_are_regressions_without_alpha(small):
    """And who was there for less than 24 dates gets the mean of the others."""
    panel = small.take(slice(0, 32))
    model = fit_pca(panel, 2)
    F, days = model.factors(panel), panel.present.sum(0)
    assert 0 < np.sum(days < 24) < 40
    for i in np.flatnonzero(days >= 24)[:3]:
        here = panel.present[:, i]
        ols = np.linalg.lstsq(F[here], panel.returns[here, i], rcond=None)[0]
        np.testing.assert_allclose(model.static[i], ols, atol=1e-10)
    others = model.static[days >= 24].mean(0)
    for betas in model.static[days < 24]:
        np.testing.assert_allclose(betas, others)


def test_estimates_ignore_fillers(small):
    for filler in (-2.0, 1e6):
        other = small.filled(filler)
        equal(managed_portfolios(other), managed_portfolios(small))
        equal(fit_ipca(other, 2).gamma, fit_ipca(small, 2).gamma)
        equal(fit_pca(other, 2).static, fit_pca(small, 2).static)


@pytest.mark.parametrize(
    ("call", "match"),
    [
        (lambda p: time_series_regression(p.returns, np.ones((3, 1)), p.present),
         "factors must have shape"),
        (lambda p: cross_sectional_regression(
            p.returns, np.ones((48, 9, 1)), p.present),
         "betas must have shape"),
        (lambda p: cross_sectional_regression(p.returns[0], None, p.present),
         "returns must have shape"),
        (lambda p: cross_sectional_regression(
            p.returns, np.ones((48, 40, 2)), p.present), "full rank.*date 0"),
        (lambda p: principal_components(p.returns, 1), "no gaps"),
        (lambda p: principal_components(managed_portfolios(p), 11), "from 1 to 10"),
        (lambda p: fit_ipca(p, 0), "num_factors.*from 1 to 10, got 0"),
        (lambda p: fit_ipca(p, 2.0), "num_factors"),
        (lambda p: panel_r2(p.returns, p.returns[1:], p.present), "one shape"),
        (lambda p: panel_r2(p.returns, np.nan * p.returns, p.present), "at least one"),
        (lambda p: make_folds(20, 10, 10, 1), "less than the 20 dates"),
        (lambda p: make_folds(20, 0, 10, 1), "train must be an integer"),
        (lambda p: build_autoencoder(5, 6), "num_factors"),
        (lambda p: build_autoencoder(5, 2, hidden=(8, 0)), "hidden.*got 0"),
        (lambda p: fit_autoencoder(p, p, 2, epochs=0), "epochs.*at least 1, got 0"),
        (lambda p: fit_autoencoder(p, p, 2, batch_size=0), "batch_size"),
        (lambda p: fit_autoencoder(p, p.take(slice(0, 0)), 2), "48 dates.* and 0 of"),
        (lambda p: fit_autoencoder(p, simulate_panel(num_dates=2,
                                                     num_characteristics=5)[0], 2),
         "same characteristics"),
        (lambda p: fit_pca(p.take(slice(0, 20)), 2), "24 dates"),
        (lambda p: fama_macbeth(p.returns[:1], p.characteristics[:1], p.present[:1]),
         "at least 2 dates, got 1"),
        (lambda p: canonical_correlations(np.ones((9, 2)), np.ones((8, 2))),
         "with D = 9 as in F"),
        (lambda p: Ensemble(()), "members.*none"),
    ],
)  # fmt: skip
def test_bad_input_is_refused(small, call, match):
    with pytest.raises(ValueError, match=match):
        call(small)


def test_hidden_must_be_a_tuple():
    with pytest.raises(TypeError, match="tuple of units, got 8"):
        build_autoencoder(5, 2, hidden=8)


# ---- IPCA ---------------------------------------------------------------------------


def test_ipca_is_the_packages(linear):
    os.environ["NUMBA_DISABLE_JIT"] = "1"  # compiling takes longer than running
    from ipca import InstrumentedPCA

    panel = linear[0].take(slice(0, 60))
    t, i = np.nonzero(panel.present)
    theirs = InstrumentedPCA(n_factors=K, iter_tol=1e-9, max_iter=5000)
    X, y = panel.characteristics[t, i], panel.returns[t, i]
    quiet = io.StringIO()
    with contextlib.redirect_stdout(quiet), contextlib.redirect_stderr(quiet):
        theirs.fit(X=X, y=y, indices=np.stack([i, t], axis=1))
    gamma, factors = theirs.get_factors()
    ours = fit_ipca(panel, K)
    projector = gamma @ np.linalg.pinv(gamma)
    np.testing.assert_allclose(ours.gamma @ ours.gamma.T, projector, atol=1e-6)
    fitted = np.einsum("dnp,pk,kd->dn", panel.characteristics, gamma, factors)
    np.testing.assert_allclose(ours.fitted(panel), fitted, atol=1e-6)


def test_ipca_solves_both_regressions(small):
    """Each block, given the other, is the least squares of all cells at once."""
    model = fit_ipca(small, 2)
    F, (t, i) = model.factors(small), np.nonzero(small.present)
    Z, r = small.characteristics[t, i], small.returns[t, i]
    X = (Z[:, :, None] * F[t][:, None, :]).reshape(len(r), -1)
    vec_gamma = np.linalg.lstsq(X, r, rcond=None)[0]
    np.testing.assert_allclose(vec_gamma.reshape(10, 2), model.gamma, atol=1e-5)
    W, q = moments(small.returns, small.characteristics, small.present)
    np.testing.assert_allclose(solve_factors(W, q, model.gamma), F, atol=1e-10)
    np.testing.assert_allclose(solve_gamma(W, q, F), model.gamma, atol=1e-5)


def test_ipca_normalization(small):
    model = fit_ipca(small, 3)
    np.testing.assert_allclose(model.gamma.T @ model.gamma, np.eye(3), atol=1e-10)
    covariance = np.cov(model.factors(small).T)
    off = covariance - np.diag(np.diag(covariance))
    assert np.abs(off).max() < 1e-8 and (np.diff(np.diag(covariance)) < 0).all()


def test_ipca_finds_gamma_without_noise():
    panel, truth = simulate_panel("linear", 40, 60, noise=0, seed=3)
    model = fit_ipca(panel, K)
    np.testing.assert_allclose(model.fitted(panel), panel.returns, atol=1e-6)
    projector = truth.gamma @ np.linalg.pinv(truth.gamma)
    np.testing.assert_allclose(model.gamma @ model.gamma.T, projector, atol=1e-6)


def test_ipca_mixes_the_portfolios_anew_on_each_date(small):
    """f_t = (G' W G)^-1 G' W x_t: CA0's fixed mixture only if W is always the same."""

    def rest(panel):
        model = fit_ipca(panel, 2)
        x, F = managed_portfolios(panel), model.factors(panel)
        W = moments(panel.returns, panel.characteristics, panel.present)[0]
        WG = W @ model.gamma
        mixture = np.linalg.solve(model.gamma.T @ WG, WG.swapaxes(1, 2))
        np.testing.assert_allclose(np.einsum("dkp,dp->dk", mixture, x), F, atol=1e-9)
        fixed = x @ np.linalg.lstsq(x, F, rcond=None)[0]
        return np.abs(fixed - F).max()

    still = np.broadcast_to(
        small.filled(0).characteristics[20], small.characteristics.shape
    )
    never_changes = dataclasses.replace(
        small,
        returns=small.filled(0.05).returns,
        characteristics=still,
        present=np.ones_like(small.present),
    )
    assert rest(never_changes) < 1e-9
    assert rest(small) > 1e-3


def test_ipca_that_does_not_converge_says_so(small):
    with pytest.raises(RuntimeError, match="1 iterations"):
        fit_ipca(small, 2, max_iterations=1)


# ---- The notes' network -------------------------------------------------------------


def test_notes_model_shapes_and_kernels():
    """Dense threads over tickers; its kernel is (P, u), not (u, P)."""
    model = make_model(7, 5, hidden_units=8, n_factors=2)
    layer = model.get_layer
    assert tuple(layer("hidden_layer").kernel.shape) == (5, 8)
    assert tuple(layer("output_beta").kernel.shape) == (8, 2)
    assert tuple(layer("output_factor").kernel.shape) == (7, 2)
    assert layer("output_beta").output.shape == (None, 7, 2)
    assert layer("output_factor").output.shape == (None, 2)
    assert model.output_shape == (None, 7)
    beta_side = keras.Model(model.inputs[0], layer("output_beta").output)
    example = np.random.default_rng(0).normal(size=(2, 7, 5)).astype("float32")
    assert diagnose(beta_side, example).threads


def test_notes_model_by_hand():
    """ReLU, normalization, linear betas; linear factors; their products."""
    rng = np.random.default_rng(0)
    model = make_model(7, 5, hidden_units=4, n_factors=2)
    model.set_weights([abs(rng.normal(size=w.shape)) for w in model.get_weights()])
    Z, r = rng.normal(size=(3, 7, 5)), rng.normal(size=(3, 7))
    hidden, norm, beta, factor = (
        [np.asarray(w, float) for w in model.get_layer(name).weights]
        for name in ("hidden_layer", "batch_norm", "output_beta", "output_factor")
    )
    code = normalized(np.maximum(Z @ hidden[0] + hidden[1], 0), norm)
    wanted = np.einsum(
        "bnk,bk->bn", code @ beta[0] + beta[1], r @ factor[0] + factor[1]
    )
    np.testing.assert_allclose(model([Z, r], training=False), wanted, rtol=1e-3)
    assert model.loss == "mse"
    assert isinstance(model.optimizer, keras.optimizers.Adam)


def normalized(x, weights):
    """Batch normalization at inference, with Keras's own epsilon."""
    gamma, beta, mean, variance = weights
    return gamma * (x - mean) / np.sqrt(variance + 1e-3) + beta


def test_dot_contracts_factors():
    """Dot(axes=(2, 1)): (B, N, K) with (B, K) gives (B, N)."""
    rng = np.random.default_rng(0)
    B, f = rng.normal(size=(4, 7, 3)), rng.normal(size=(4, 3))
    found = layers.Dot(axes=(2, 1))([B.astype("float32"), f.astype("float32")])
    np.testing.assert_allclose(found, np.einsum("bnk,bk->bn", B, f), atol=1e-5)


# ---- The paper's network: layers, loss, model ---------------------------------------


def test_fill_missing_chooses_and_never_multiplies():
    Z = np.array([[[1.0, 2.0], [np.nan, -2.0]]], "float32")
    found = FillMissing()(Z, np.array([[True, False]]))
    equal(found, [[[1, 2], [0, 0]]])
    assert FillMissing().compute_output_shape((None, 7, 2)) == (None, 7, 2)


@settings(max_examples=30, **BUSY)
@given(st.integers(1, 5), st.integers(1, 6), st.integers(0, 999))
def test_masked_loss_is_the_mean_over_what_is_there(B, N, seed):
    rng = np.random.default_rng(seed)
    y, p = rng.normal(size=(2, B, N)).astype("float32")
    seen = rng.uniform(size=(B, N)) < 0.7
    seen[0, 0] = True
    if seen.sum() < B:  # fewer than one a date: the divisor has a floor
        return
    loss = MaskedMeanSquaredError()(np.where(seen, y, np.nan), p)
    np.testing.assert_allclose(loss, np.mean((y[seen] - p[seen]) ** 2), rtol=1e-4)


def test_masked_loss_gradient_against_finite_differences():
    rng = np.random.default_rng(0)
    y, p = rng.normal(size=(2, 3, 4))
    y[0, 1] = y[2, 3] = np.nan
    loss = MaskedMeanSquaredError(dtype="float64")
    variable = tf.constant(p)
    with tf.GradientTape() as tape:
        tape.watch(variable)
        value = loss(y, variable)
    gradient = tape.gradient(value, variable).numpy()
    for place in np.ndindex(p.shape):
        step = np.zeros_like(p)
        step[place] = 1e-5
        slope = (float(loss(y, p + step)) - float(loss(y, p - step))) / 2e-5
        assert abs(slope - gradient[place]) < 1e-7
    assert gradient[0, 1] == gradient[2, 3] == 0


def test_loss_of_nothing_is_zero():
    assert (
        float(MaskedMeanSquaredError()(np.full((2, 3), np.nan), np.ones((2, 3)))) == 0
    )


@pytest.mark.parametrize(
    ("name", "units"), zip(DEPTHS, [[], [32], [32, 16], [32, 16, 8]], strict=True)
)
def test_depths_have_the_papers_layers(name, units):
    model = build_autoencoder(10, 3, DEPTHS[name])
    assert [x.units for x in model.layers if x.name.startswith("hidden")] == units
    assert name == f"CA{len(units)}"
    assert model.get_layer("factors").kernel.shape == (10, 3)
    assert not model.get_layer("factors").use_bias
    assert model.output_shape == (None, None)


def test_paper_model_by_hand(small, quick):
    """The betas of the trained network, and the penalty, in NumPy."""
    layer = quick.model.get_layer
    hidden, norm, betas = (
        [np.asarray(w, float) for w in layer(name).weights]
        for name in ("hidden_1", "batch_norm_1", "betas")
    )
    Z = small.filled(0.0).characteristics
    code = normalized(np.maximum(Z @ hidden[0] + hidden[1], 0), norm)
    wanted = code @ betas[0] + betas[1]
    found = quick.betas(small)[small.present]
    np.testing.assert_allclose(found, wanted[small.present], rtol=1e-3, atol=1e-4)
    penalty = 1e-5 * (np.abs(hidden[0]).sum() + np.abs(betas[0]).sum())
    np.testing.assert_allclose(sum(map(float, quick.model.losses)), penalty, rtol=1e-4)
    assert build_autoencoder(10, 2, l1=0.0).losses == []


def with_a_missing_ticker(panel):
    D, _, P = panel.characteristics.shape
    Z, r = np.full((D, 1, P), np.nan), np.full((D, 1), np.nan)
    return dataclasses.replace(
        panel,
        assets=np.append(panel.assets, "new"),
        returns=np.append(panel.returns, r, axis=1),
        characteristics=np.append(panel.characteristics, Z, axis=1),
        present=np.append(panel.present, np.zeros((D, 1), bool), axis=1),
    )


def test_weights_do_not_depend_on_tickers(small, quick):
    """A ticker that is added changes nothing for the others."""
    more = with_a_missing_ticker(small)
    np.testing.assert_allclose(
        quick.fitted(more)[:, :40], quick.fitted(small), atol=1e-6
    )


def test_missing_rows_do_not_enter_batch_normalization(small):
    """In training, when a batch is normalized by its own mean and variance."""
    model = build_autoencoder(10, 2, (6,), seed=3)
    outputs = [
        np.asarray(model(examples(panel)[0], training=True))
        for panel in (small, with_a_missing_ticker(small))
    ]
    seen = small.present
    np.testing.assert_allclose(outputs[1][:, :40][seen], outputs[0][seen], atol=1e-5)


def test_tickers_have_no_names(small, quick):
    order = np.random.default_rng(0).permutation(40)
    other = dataclasses.replace(
        small,
        returns=small.returns[:, order],
        characteristics=small.characteristics[:, order],
        present=small.present[:, order],
    )
    np.testing.assert_allclose(
        quick.fitted(other), quick.fitted(small)[:, order], atol=1e-6
    )


def test_factors_are_homogeneous_in_returns(small, quick):
    percent = dataclasses.replace(small, returns=100 * small.returns)
    np.testing.assert_allclose(
        quick.fitted(percent), 100 * quick.fitted(small), rtol=1e-6
    )
    np.testing.assert_allclose(
        tiny_fit(percent).fitted(small), quick.fitted(small), atol=1e-4
    )


def test_the_keras_model_and_its_two_sides_agree(small, quick):
    inputs, _ = examples(small)
    whole = np.asarray(quick.model(inputs, training=False))
    fitted = quick.fitted(small)
    np.testing.assert_allclose(whole[small.present], fitted[small.present], atol=1e-5)


def test_examples_mark_missing_targets(small):
    inputs, targets = examples(small.filled(-2.0), scale=10.0)
    equal(np.isnan(targets), ~small.present)
    seen = small.present
    np.testing.assert_allclose(targets[seen], 10 * small.returns[seen], rtol=1e-6)
    x = 10 * managed_portfolios(small)
    np.testing.assert_allclose(inputs["portfolios"], x, rtol=1e-4, atol=1e-5)


def test_minibatches_visit_each_date_once_an_epoch():
    places = np.arange(10)
    batches = [b for _, b in minibatches(({"a": places}, places), 5, epochs=3, seed=0)]
    assert [len(b) for b in batches] == [5] * 6
    for epoch in range(3):
        assert sorted(np.concatenate(batches[2 * epoch : 2 * epoch + 2])) == list(
            places
        )
    assert not np.array_equal(batches[0], batches[2])


def test_same_seed_same_network_whatever_the_global_seed(small, quick):
    keras.utils.set_random_seed(123)
    again = tiny_fit(small)
    for one, two in zip(
        quick.model.get_weights(), again.model.get_weights(), strict=True
    ):
        equal(one, two)
    one, two = (build_autoencoder(10, 2, seed=seed).get_weights() for seed in (1, 2))
    assert not np.array_equal(one[0], two[0])
    order = [
        np.concatenate([b for _, b in minibatches(({}, np.arange(9)), 3, 1, seed)])
        for seed in (1, 1, 2)
    ]
    equal(order[0], order[1])
    assert not np.array_equal(order[0], order[2])


def test_save_and_load(small, quick, tmp_path):
    inputs, targets = examples(small)
    expected = np.asarray(quick.model(inputs, training=False))
    quick.model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    equal(loaded(inputs, training=False), expected)
    quick.model.save_weights(tmp_path / "model.weights.h5")
    fresh = build_autoencoder(10, 2, (6,), seed=77)
    fresh.load_weights(tmp_path / "model.weights.h5")
    equal(fresh(inputs, training=False), expected)
    assert isinstance(loaded.loss, MaskedMeanSquaredError)
    loaded.evaluate(inputs, targets, verbose=0)


def test_resumed_training_equals_uninterrupted(small, tmp_path):
    inputs, targets = examples(small, 10.0)

    def compiled():
        model = build_autoencoder(10, 2, (6,), seed=3)
        model.compile(
            keras.optimizers.Adam(0.01), MaskedMeanSquaredError(), run_eagerly=True
        )
        return model

    def train(model, epochs):
        model.fit(inputs, targets, epochs=epochs, shuffle=False, verbose=0)
        return model

    whole = train(compiled(), 4)
    train(compiled(), 2).save(tmp_path / "half.keras")
    resumed = train(keras.saving.load_model(tmp_path / "half.keras"), 2)
    for one, two in zip(whole.get_weights(), resumed.get_weights(), strict=True):
        np.testing.assert_allclose(one, two, atol=1e-6)


def test_early_stopping_keeps_the_best_epoch(small):
    model = tiny_fit(small, epochs=30, patience=3, learning_rate=0.05)
    errors = model.history["val_masked_error"]
    assert len(errors) < 30
    scale = 1 / np.std(small.returns[:32][small.present[:32]])
    valid = small.take(slice(32, 40))
    error = np.nanmean((valid.returns - model.fitted(valid)) ** 2) * scale**2
    np.testing.assert_allclose(error, min(errors), rtol=1e-3)


# ---- Evaluation ---------------------------------------------------------------------


def test_r2_is_the_definition():
    r = np.array([[1.0, -2.0], [3.0, 9.0]])
    p = np.array([[0.5, -1.0], [np.nan, 7.0]])
    present = np.array([[True, True], [True, False]])
    assert panel_r2(r, p, present) == 1 - (0.25 + 1) / (1 + 4)
    assert panel_r2(r, np.zeros((2, 2)), present) == 0
    assert panel_r2(r, r, present) == 1


def test_both_r2_by_loops_over_cells(small):
    """As in the paper: betas of t-1 with f_t, and with the mean of f up to t-1."""
    model, window = fit_ipca(small.take(slice(0, 30)), 2), slice(30, 48)
    betas, factors = model.betas(small), model.factors(small)
    squares, total, predictive = 0.0, 0.0, 0.0
    for t in range(30, 48):
        premia = factors[:t].mean(0)
        for i in np.flatnonzero(small.present[t]):
            r = small.returns[t, i]
            squares += r**2
            total += (r - betas[t, i] @ factors[t]) ** 2
            predictive += (r - betas[t, i] @ premia) ** 2
    found = model_r2(model, small, window)
    np.testing.assert_allclose(found, (1 - total / squares, 1 - predictive / squares))


def test_canonical_correlations_by_the_eigenvalues_of_the_textbook():
    rng = np.random.default_rng(0)
    F = rng.normal(size=(60, 3))
    G = F[:, :2] @ rng.normal(size=(2, 2)) + rng.normal(size=(60, 2))
    S = np.cov(np.hstack([F, G]).T)
    FF, FG, GG = S[:3, :3], S[:3, 3:], S[3:, 3:]
    M = np.linalg.solve(GG, FG.T) @ np.linalg.solve(FF, FG)
    squares = np.sort(np.linalg.eigvals(M).real)[::-1]
    np.testing.assert_allclose(canonical_correlations(F, G) ** 2, squares, atol=1e-10)


def test_canonical_correlations_do_not_invent_a_direction():
    """Two copies, or a constant, span less than two factors: the rest is 0."""
    f, g = np.random.default_rng(0).normal(size=(2, 60, 2))
    twice = np.repeat(f[:, :1], 2, axis=1)
    np.testing.assert_allclose(canonical_correlations(twice, f), [1, 0], atol=1e-10)
    dead = np.column_stack([f[:, 0], np.full(60, 0.3)])
    np.testing.assert_allclose(canonical_correlations(f, dead), [1, 0], atol=1e-10)
    equal(canonical_correlations(np.ones((60, 2)), g), [0, 0])
    tiny = canonical_correlations(1e-9 * f, f)
    np.testing.assert_allclose(tiny, 1, atol=1e-10)


@settings(max_examples=40, **BUSY)
@given(st.integers(1, 4), st.integers(0, 999))
def test_canonical_correlations_do_not_see_mixtures(num_factors, seed):
    rng = np.random.default_rng(seed)
    F, G = rng.normal(size=(2, 30, num_factors))
    A = rng.normal(size=(num_factors, num_factors)) + 3 * np.eye(num_factors)
    np.testing.assert_allclose(canonical_correlations(F, F @ A + 7), 1, atol=1e-8)
    np.testing.assert_allclose(
        canonical_correlations(F @ A, G), canonical_correlations(F, G), atol=1e-8
    )


def test_past_means_use_the_past():
    F = np.random.default_rng(0).normal(size=(6, 2))
    found = past_means(F)
    assert np.isnan(found[0]).all()
    for t in range(1, 6):
        np.testing.assert_allclose(found[t], F[:t].mean(0))


@settings(max_examples=60, **BUSY)
@given(st.integers(2, 60), st.integers(1, 20), st.integers(1, 20), st.integers(1, 20),
       st.booleans())  # fmt: skip
def test_folds_move_forward_and_test_each_later_date_once(
    num_dates, train, validation, test, expanding
):
    if train + validation >= num_dates:
        return
    folds = make_folds(num_dates, train, validation, test, expanding)
    tested = [t for fold in folds for t in range(num_dates)[fold.test]]
    assert tested == list(range(train + validation, num_dates))
    for fold in folds:
        assert fold.train.stop == fold.validation.start
        assert fold.validation.stop == fold.test.start
        assert fold.validation.stop - fold.validation.start == validation
        size = fold.train.stop - fold.train.start
        assert fold.train.start == 0 if expanding else size == train
        assert size >= train


def test_folds_of_the_paper():
    """18, 12 and 1 years from 1957 on: the last test year is 2016."""
    folds = make_folds(60, 18, 12, 1)
    assert len(folds) == 30
    assert folds[0].test == slice(30, 31) and folds[-1].test == slice(59, 60)


def fit_linear(train, validation):
    return fit_ipca(train.then(validation), 2)


def fit_network(train, validation):
    return fit_autoencoder(train, validation, 2, (4,), epochs=5, seed=3)


@pytest.mark.parametrize(
    ("fit", "s", "length"), [(fit_linear, 33, 10), (fit_linear, 40, 10),
                             (fit_network, 40, 20)]
)  # fmt: skip
def test_future_leaves_past_predictions_unchanged(small, fit, s, length):
    """No look-ahead: other returns from date s on, other characteristics after s.

    With s = 33 the change is in the past of the second model, and must not be in that
    of the first.
    """
    folds = make_folds(48, 20, 8, length)
    past = walk_forward(small, folds, fit)
    other = walk_forward(change_future(small, s), folds, fit)
    assert np.isnan(past.fitted[:28]).all() and np.isfinite(past.expected[28:]).any()
    equal(past.fitted[:s], other.fitted[:s])
    equal(past.expected[: s + 1], other.expected[: s + 1])
    assert np.nanmax(np.abs(past.fitted[s] - other.fitted[s])) > 0.01


def test_shuffled_future_leaves_past_predictions_unchanged(small):
    order = np.arange(48)
    order[38:] = np.random.default_rng(0).permutation(order[38:])
    shuffled = dataclasses.replace(
        small,
        returns=small.returns[order],
        characteristics=small.characteristics[order],
        present=small.present[order],
    )
    folds = make_folds(48, 20, 8, 10)
    one, other = (walk_forward(p, folds, fit_linear) for p in (small, shuffled))
    equal(one.fitted[:38], other.fitted[:38])
    equal(one.expected[:38], other.expected[:38])


def test_ensemble_averages_predictions(small):
    models = fit_market(small), fit_ipca(small, 2)
    both = Ensemble(models)
    for name in ("fitted", "expected"):
        one, two = (getattr(m, name)(small) for m in models)
        np.testing.assert_allclose(getattr(both, name)(small), (one + two) / 2)


def test_models_say_what_they_lack(small):
    with pytest.raises(NotImplementedError):
        FactorModel().fitted(small)


# ---- What the chapter claims --------------------------------------------------------

TRAIN, VALIDATION, TEST = slice(0, 110), slice(110, 140), slice(140, 200)


def total(panel, model, window=TEST):
    fitted = model if isinstance(model, np.ndarray) else model.fitted(panel)
    return panel_r2(panel.returns[window], fitted[window], panel.present[window])


@pytest.mark.parametrize("name", ["IPCA", "CA0", "CA1"])
def test_linear_design_is_recovered(linear, name):
    """Smallest canonical correlation >= 0.9, total R2 within 0.02 of the truth's."""
    panel, truth = linear
    train, validation = panel.take(TRAIN), panel.take(VALIDATION)
    if name == "IPCA":
        model = fit_ipca(train.then(validation), K)
    else:
        model = fit_autoencoder(train, validation, K, DEPTHS[name])
    space = canonical_correlations(model.factors(panel), truth.factors)
    assert space.min() >= 0.9
    exact = np.einsum("dnk,dk->dn", truth.betas, truth.factors)
    for window in (slice(0, 140), TEST):
        assert abs(total(panel, model, window) - total(panel, exact, window)) <= 0.02


@pytest.mark.parametrize("seed", range(5))
def test_network_beats_ipca_on_the_nonlinear_design(seed):
    """Out of sample, by at least 0.03 of total R2, on five panels."""
    panel, _ = simulate_panel("nonlinear", 200, 150, noise=0.06, seed=10 + seed)
    train, validation = panel.take(TRAIN), panel.take(VALIDATION)
    network = fit_autoencoder(train, validation, K, seed=seed, epochs=25)
    linear = fit_ipca(train.then(validation), K)
    assert total(panel, network) - total(panel, linear) >= 0.03


def test_factor_network_is_blind_for_even_betas():
    """An exercise: a beta without a linear part is in no managed portfolio."""
    rng = np.random.default_rng(4)
    Z = rng.uniform(-1, 1, (100, 1500, 2))
    Z[..., 0] = 1.0
    f = 0.03 * rng.normal(size=(100, 1))
    even = 2 * np.abs(Z[..., 1]) - 1
    r = even * f + 0.1 * rng.normal(size=even.shape)
    seen = np.ones(r.shape, bool)
    with_even = np.concatenate([Z, np.abs(Z[..., 1:])], axis=-1)
    blind, sees = (
        canonical_correlations(cross_sectional_regression(r, X, seen), f)[0]
        for X in (Z, with_even)
    )
    assert blind < 0.4 and sees > 0.95


def test_averaged_betas_need_a_common_rotation(small):
    """An exercise: F A with B inv(A)' is the same model."""
    model = fit_ipca(small, 2)
    A = np.array([[0.0, 2.0], [1.0, 1.0]])
    turned = IPCA(model.gamma @ np.linalg.inv(A).T, 0)
    np.testing.assert_allclose(
        turned.factors(small), model.factors(small) @ A, atol=1e-8
    )
    np.testing.assert_allclose(turned.fitted(small), model.fitted(small), atol=1e-8)


# ---- Defects of the public example, and that ours has none --------------------------


def public_model(tickers, seed=0, **options):
    keras.utils.set_random_seed(seed)
    model = make_model(tickers, 10, **options)
    model.run_eagerly = True  # a few steps take less time than a trace
    return model


def test_defect_filler_enters_loss_and_inputs_unmasked():
    """Worse than predicting 0 on the cells that were observed; masked, better."""
    panel, _ = simulate_panel("nonlinear", 120, 60, missing=0.45, seed=0)
    filled = panel.filled(-2.0)
    model = public_model(60, hidden_units=32)
    for window in 4 * [slice(0, 40), slice(40, 80), slice(80, 120)]:
        inputs = [filled.characteristics[window], filled.returns[window]]
        model.train_on_batch(inputs, filled.returns[window])
    predicted = np.asarray(model([filled.characteristics, filled.returns]))
    assert panel_r2(panel.returns, predicted, panel.present) < -0.5
    window = panel.take(slice(0, 90)), panel.take(slice(90, 120))
    ours = fit_autoencoder(*window, K, hidden=(), epochs=12)
    assert total(panel, ours, slice(0, 120)) > 0.1


def test_defect_filler_changes_nothing_here(small, quick):
    """Exactly 0 difference in weights and predictions, whatever the cells held."""
    rng, Z = np.random.default_rng(0), small.characteristics
    fillers = np.array([-2.0, 1e6, 0.0, np.inf, np.nan])
    filled = dataclasses.replace(
        small,
        returns=np.where(
            small.present, small.returns, rng.choice(fillers, small.returns.shape)
        ),
        characteristics=np.where(
            small.present[..., None], Z, rng.choice(fillers, Z.shape)
        ),
    )
    other = tiny_fit(filled)
    for one, two in zip(
        quick.model.get_weights(), other.model.get_weights(), strict=True
    ):
        equal(one, two)
    equal(quick.fitted(small), other.fitted(filled))
    equal(quick.expected(small), other.expected(filled))


def test_defect_one_model_for_all_folds_newest_first():
    """Here each fold gets a new model and never sees a date of its test window."""
    rng, few = np.random.default_rng(0), 30
    Z, r = rng.uniform(-1, 1, (60, few, 10)), rng.normal(0, 0.1, (61, few))

    def score(windows):
        model = public_model(few, hidden_units=32, n_factors=6)
        model.optimizer.learning_rate = 0.03
        for w in windows:
            for _ in range(12):
                model.train_on_batch([Z[w], r[:-1][w]], r[1:][w])
        judged = slice(40, 60)
        predicted = np.asarray(model([Z[judged], r[:-1][judged]], training=False))
        return panel_r2(r[1:][judged], predicted, np.ones((20, few), bool))

    leaking, honest = score([slice(0, 60), slice(0, 40)]), score([slice(0, 40)])
    assert leaking > honest + 0.05


def test_defect_folds_here_are_fresh_and_in_order(small):
    seen = []

    def spy(train, validation):
        seen.append((train.dates, validation.dates))
        return fit_linear(train, validation)

    folds = make_folds(48, 20, 8, 10)
    walked = walk_forward(small, folds, spy)
    assert len(set(map(id, walked.models))) == len(seen) == len(folds) == 2
    for (train, validation), fold in zip(seen, folds, strict=True):
        tested = small.dates[fold.test]
        assert train.max() < validation.min() and validation.max() < tested.min()


def test_defect_raw_returns_in_the_factor_side(small, quick):
    """One ticker's filler moves the others' predictions; here it moves nothing."""
    model = public_model(40)
    one = small.filled(-2.0)
    zero = np.where(small.present, small.returns, 0.0)
    other = dataclasses.replace(one, returns=zero)
    answers = [
        np.asarray(model([p.characteristics, p.returns], training=False))
        for p in (one, other)
    ]
    assert np.abs(answers[0] - answers[1])[small.present].max() > 0.05
    equal(quick.fitted(one), quick.fitted(other))
    assert model.get_layer("output_factor").kernel.shape[0] == 40
    assert quick.model.get_layer("factors").kernel.shape[0] == 10


def test_defect_one_fit_per_epoch_is_not_needed(small):
    """A run of three epochs holds the models of one and two, bit by bit."""
    filled = small.filled(0.0)
    inputs = [filled.characteristics, filled.returns]

    class Keep(keras.callbacks.Callback):
        def on_train_begin(self, logs=None):
            self.kept = []

        def on_epoch_end(self, epoch, logs=None):
            self.kept.append(self.model.get_weights())

    def run(epochs):
        model, keep = public_model(40), Keep()
        model.fit(inputs, filled.returns, shuffle=False, epochs=epochs, verbose=0,
                  callbacks=[keep])  # fmt: skip
        return keep.kept

    for one, two in zip(run(2)[-1], run(3)[1], strict=True):
        equal(one, two)
    counts = range(50, 80)  # the example's
    assert 24 < sum(counts) / max(counts) < 25


def test_windows_grow_unless_said_otherwise():
    folds = make_folds(10, train=4, validation=2, test=2)
    assert [fold.train for fold in folds] == [
        fold.train for fold in make_folds(10, 4, 2, 2, expanding=True)
    ]
    assert folds[0].train != make_folds(10, 4, 2, 2, expanding=False)[-1].train


def test_a_batch_may_be_a_single_date():
    panel, _ = simulate_panel(num_dates=8, num_assets=10, missing=0.0)
    fitted = fit_autoencoder(panel, panel, 1, hidden=(), epochs=1, batch_size=1)
    assert fitted.expected(panel).shape == panel.returns.shape


@pytest.mark.parametrize("name", ["num_dates", "train", "validation", "test"])
@pytest.mark.parametrize("value", [0, -1, 1.5, True, "9", None])
def test_windows_are_refused(name, value):
    lengths = {"num_dates": 20, "train": 8, "validation": 4, "test": 2}
    with pytest.raises(ValueError, match=f"{name} must be an integer of at least 1"):
        make_folds(**{**lengths, name: value})
