"""The judge of generated digits, and the Fréchet distance of its features.

Oracles: SciPy's matrix root, the closed forms for equal and for commuting covariances,
one-dimensional Wasserstein distances by quantiles, invariances, real test digits.
"""

import random

import keras
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy.linalg import sqrtm
from scipy.stats import norm, ortho_group

from advanced_keras.data.digits import load_digits
from advanced_keras.scores import Judge, Score, build_judge, frechet_distance, moments

BUSY = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow]}
SOME = settings(max_examples=40, **BUSY)


@pytest.fixture(scope="module")
def digits():
    return load_digits(num_train=6000, num_test=1000)


@pytest.fixture(scope="module")
def judge(digits):
    return Judge(digits[0])


def normals(seed, n):
    """Means and covariances of two normal distributions."""
    rng = np.random.default_rng(seed)
    roots = rng.normal(size=(2, n, n))
    return [(rng.normal(size=n), root @ root.T) for root in roots]


cases = st.builds(normals, st.integers(0, 10**6), st.integers(1, 6))


# ---- The distance -------------------------------------------------------------------


@SOME
@given(cases)
def test_distance_by_the_matrix_root_of_scipy(case):
    (m1, C1), (m2, C2) = case
    root = np.real(sqrtm(C1 @ C2))
    wanted = np.sum((m1 - m2) ** 2) + np.trace(C1 + C2 - 2 * root)
    assert frechet_distance(*case) == pytest.approx(wanted, rel=1e-4, abs=1e-4)


@SOME
@given(cases)
def test_equal_covariances_leave_the_means(case):
    (m1, C), (m2, _) = case
    distance = frechet_distance((m1, C), (m2, C))
    assert distance == pytest.approx(np.sum((m1 - m2) ** 2), abs=1e-6)


@SOME
@given(st.integers(0, 10**6), st.integers(2, 6))
def test_commuting_covariances_compare_their_spreads(seed, n):
    rng = np.random.default_rng(seed)
    axes = ortho_group.rvs(n, random_state=seed)
    a, b = rng.uniform(0, 3, (2, n))
    zero = np.zeros(n)
    one, other = (zero, axes * a**2 @ axes.T), (zero, axes * b**2 @ axes.T)
    wanted = np.sum((a - b) ** 2)
    assert frechet_distance(one, other) == pytest.approx(wanted, abs=1e-6)


def test_in_one_dimension_it_is_the_squared_wasserstein_distance():
    """The mean squared gap between quantiles."""
    p = (np.arange(200_000) + 0.5) / 200_000
    gap = norm.ppf(p, 1.0, 2.0) - norm.ppf(p, -0.5, 0.7)
    one, other = ([1.0], [[4.0]]), ([-0.5], [[0.49]])
    assert frechet_distance(one, other) == pytest.approx(np.mean(gap**2), rel=1e-3)


@SOME
@given(cases, st.integers(0, 10**6))
def test_invariances(case, seed):
    """Symmetric, zero to itself, and the same after a shift, a turn or a mirror."""
    one, other = case
    n = len(one[0])
    distance = frechet_distance(one, other)
    assert distance >= 0
    assert frechet_distance(one, one) == pytest.approx(0, abs=1e-6)
    assert frechet_distance(other, one) == pytest.approx(distance, rel=1e-6, abs=1e-6)
    Q = ortho_group.rvs(n, random_state=seed) if n > 1 else -np.eye(1)
    moved = [(Q @ m + 3, Q @ C @ Q.T) for m, C in case]
    assert frechet_distance(*moved) == pytest.approx(distance, rel=1e-6, abs=1e-6)
    scaled = [(2 * m, 4 * C) for m, C in case]
    assert frechet_distance(*scaled) == pytest.approx(4 * distance, rel=1e-6, abs=1e-6)


def test_a_singular_covariance_is_no_trouble():
    flat = np.diag([1.0, 0.0])
    assert frechet_distance((np.zeros(2), flat), (np.zeros(2), np.eye(2))) == 1.0


def test_moments_are_those_of_numpy_also_with_one_feature():
    rows = np.random.default_rng(0).normal(size=(50, 4))
    mean, C = moments(rows)
    gap = rows - rows.mean(0)
    np.testing.assert_allclose(mean, rows.mean(0))
    np.testing.assert_allclose(C, gap.T @ gap / 49)
    assert moments(rows[:, :1])[1].shape == (1, 1)


@pytest.mark.parametrize(
    "rows", [np.ones((1, 3)), np.ones(3), np.ones((3, 0, 2)), [[0.0], [np.nan]]]
)
def test_moments_refuse(rows):
    with pytest.raises(ValueError, match="features must be finite, of shape"):
        moments(rows)


def test_distance_refuses_what_does_not_fit():
    two, three = (np.zeros(2), np.eye(2)), (np.zeros(3), np.eye(3))
    for bad in ((two, three), (two, (np.zeros(2), np.eye(3))), ((0.0, 1.0), two)):
        with pytest.raises(ValueError, match="one and other must be a mean"):
            frechet_distance(*bad)


# ---- The judge ----------------------------------------------------------------------


def test_the_judge_reads_digits_that_it_has_not_seen(judge, digits):
    assert judge.accuracy(digits[1]) >= 0.98


def test_real_digits_are_near_and_confident(judge, digits):
    score = judge.score(digits[1].images)
    assert score.classes == 10 and score.counts.sum() == 1000
    assert score.confident > 0.95 and score.frechet < 2
    true = np.bincount(digits[1].labels, minlength=10)
    assert np.abs(score.counts - true).sum() <= 40


def test_noise_is_far_and_missing_classes_are_seen(judge, digits):
    test = digits[1]
    real = judge.score(test.images).frechet
    noise = np.random.default_rng(0).uniform(size=(500, 28, 28, 1)).astype("float32")
    assert judge.score(noise).frechet > 20 * real
    half = judge.score(test.take(test.labels < 5).images)
    assert half.classes <= 6 and half.frechet > 5 * real
    blurred = (test.images + np.roll(test.images, 3, axis=2)) / 2
    assert judge.score(blurred).frechet > 5 * real


def test_the_score_does_not_depend_on_the_order(judge, digits):
    images = digits[1].images[:300]
    one, other = judge.score(images), judge.score(images[::-1])
    assert np.array_equal(one.counts, other.counts)
    assert one.confident == other.confident
    assert one.frechet == pytest.approx(other.frechet, rel=1e-4)


def test_probabilities_and_features(judge, digits):
    images = digits[1].images[:20]
    p, features = judge.probabilities(images), judge.features(images)
    assert p.shape == (20, 10) and features.shape == (20, 32)
    np.testing.assert_allclose(p.sum(1), 1)
    logits = judge.model(images)["logits"]
    np.testing.assert_allclose(p, keras.ops.softmax(logits), atol=1e-5)


def test_a_judge_has_its_own_random_numbers(digits):
    """It moves nobody else's, and its seed alone makes it."""
    few = digits[0].take(slice(128))

    def draws():
        values = keras.random.uniform((2,))
        legacy = np.random.uniform()  # noqa: NPY002
        return [random.random(), legacy, *np.asarray(values)]

    keras.utils.set_random_seed(1)
    wanted = draws()
    keras.utils.set_random_seed(1)
    first = Judge(few, epochs=1, seed=4)
    assert draws() == wanted
    second = Judge(few, epochs=1, seed=4)
    for one, other in zip(first.model.weights, second.model.weights, strict=True):
        assert np.array_equal(one, other)
    kernels = [np.array(build_judge(seed).weights[0]) for seed in (1, 1, 2)]
    assert np.array_equal(*kernels[:2]) and not np.array_equal(*kernels[1:])


@pytest.mark.parametrize(
    "images",
    [
        np.zeros((3, 28, 28)),
        np.zeros((1, 28, 28, 1)),
        np.zeros((3, 28, 28, 3)),
        np.full((3, 28, 28, 1), 1.1),
        np.full((3, 28, 28, 1), -0.1),
        np.full((3, 28, 28, 1), np.nan),
    ],
)
def test_the_judge_refuses(judge, digits, images):
    with pytest.raises(ValueError, match="images must"):
        judge.score(images)
    with pytest.raises(TypeError, match="digits must have images and labels"):
        Judge(images)
    with pytest.raises(ValueError, match="epochs must be an integer of at least 1"):
        Judge(digits[0], epochs=0)


def test_classes_need_a_tenth_of_a_fair_share():
    counts = np.array([1, 2, 0, 50, 50, 50, 50, 50, 50, 50])
    assert Score(counts, 1.0, 0.0).classes == 7
    assert Score(np.full(10, 5), 1.0, 0.0).classes == 10
    assert Score(np.array([50] + [0] * 9), 1.0, 0.0).classes == 1


def test_two_examples_have_moments_and_one_has_none():
    mean, covariance = moments(np.array([[0.0, 1.0], [2.0, 5.0]]))
    np.testing.assert_allclose(mean, [1.0, 3.0])
    np.testing.assert_allclose(covariance, [[2.0, 4.0], [4.0, 8.0]])
    with pytest.raises(ValueError, match="features"):
        moments(np.array([[0.0, 1.0]]))
