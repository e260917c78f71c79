"""`dense_threading`: each step of the derivation, each equivalence, each verdict.

Tolerances: float32 results are compared at 1e-5 of the largest value, float64 ones at
1e-12; statements about copying or renaming numbers are compared exactly.
"""

import functools
import itertools
import json
import math
import re
import zipfile
from collections import Counter
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import layers, ops

from advanced_keras.attention import MultiHeadAttention
from advanced_keras.dense_threading import (
    Thread,
    ThreadedDense,
    diagnose,
    flat_index,
    flatten,
    jacobian_blocks,
    leading_index,
    mixes_rows,
    thread,
    thread_gradients,
    threading_steps,
    unflatten,
)

SMALL = settings(deadline=None, max_examples=15)
FAST = settings(deadline=None, max_examples=60)
leadings = st.lists(st.integers(1, 4), min_size=1, max_size=4).map(tuple)
sizes = st.integers(1, 5)
seeds = st.integers(0, 2**16)


def draw(*shape, seed=0, dtype="float32"):
    return np.random.default_rng(seed).normal(size=shape).astype(dtype)


def close(a, b, tolerance=1e-5):
    a, b = np.asarray(a), np.asarray(b)
    assert a.shape == b.shape
    np.testing.assert_allclose(
        a, b, rtol=0, atol=tolerance * max(1, np.abs(b).max(initial=0))
    )


def filled(layer, *weights):
    """Give an already built layer these weights."""
    layer.set_weights([np.asarray(weight) for weight in weights])
    return layer


# -- step 1: the numbering of the rows


@FAST
@given(leadings)
def test_numbering_is_a_bijection_in_the_order_of_reshape(leading):
    indices = list(itertools.product(*map(range, leading)))
    numbers = [flat_index(i, leading) for i in indices]
    assert numbers == list(range(math.prod(leading)))
    assert [leading_index(m, leading) for m in numbers] == indices
    for i, m in zip(indices, numbers, strict=True):
        assert m == np.ravel_multi_index(i, leading)
        strides = [math.prod(leading[k + 1 :]) for k in range(len(leading))]
        assert m == sum(a * b for a, b in zip(i, strides, strict=True))


@pytest.mark.parametrize(
    "index",
    [(2, 0), (0, 3), (-1, 0), (0,), (0, 0, 0), (0.5, 0), (True, 0), ("0", 0), None, 1],
)
def test_numbering_refuses_an_index_outside(index):
    with pytest.raises(ValueError, match=r"index must .*got"):
        flat_index(index, (2, 3))


@pytest.mark.parametrize("m", [-1, 6])
def test_numbering_refuses_a_row_that_is_not_there(m):
    with pytest.raises(ValueError, match="one of 6 rows, got"):
        leading_index(m, (2, 3))
    for no_integer in (1.5, True, "1", None):
        with pytest.raises(ValueError, match="m must be an integer, got"):
            leading_index(no_integer, (2, 3))


@pytest.mark.parametrize("leading", [(2, 0), (2, -1), (2.5,), 3, (True,), (None, 2)])
def test_sizes_must_be_positive_integers(leading):
    with pytest.raises(ValueError, match="leading must be a sequence of positive"):
        threading_steps(leading, 3, 4)
    with pytest.raises(ValueError, match="leading must be a sequence of positive"):
        leading_index(0, leading)


# -- step 2: flatten and unflatten rename, and do nothing else


@FAST
@given(leadings, st.lists(sizes, min_size=1, max_size=3))
def test_flatten_renames_and_unflatten_undoes_it(leading, example):
    x = draw(*leading, *example)
    rows = np.asarray(flatten(x, rank=len(example)))
    assert rows.shape == (math.prod(leading), *example)
    for m in range(len(rows)):
        np.testing.assert_array_equal(rows[m], x[leading_index(m, leading)])
    np.testing.assert_array_equal(unflatten(rows, leading), x)


def test_flatten_keeps_an_empty_batch():
    assert flatten(np.zeros((0, 3, 4), "float32")).shape == (0, 4)
    assert ThreadedDense(2)(np.zeros((0, 3, 4), "float32")).shape == (0, 3, 2)
    assert thread(layers.Dense(2))(np.zeros((2, 0, 4), "float32")).shape == (2, 0, 2)


def test_flatten_refuses_what_has_no_leading_axis():
    with pytest.raises(ValueError, match=r"in front of the last 1, got shape \(3,\)"):
        flatten(np.zeros(3))
    with pytest.raises(ValueError, match="in front of the last 2"):
        flatten(np.zeros((3, 4)), rank=2)
    with pytest.raises(ValueError, match="rank must be a positive integer, got 0"):
        flatten(np.zeros((3, 4)), rank=0)


def test_unflatten_refuses_a_wrong_number_of_rows():
    with pytest.raises(ValueError, match=r"6 rows to fill leading=\(2, 3\).*\(5, 4\)"):
        unflatten(np.zeros((5, 4)), (2, 3))


# -- steps 3 and 4: the product, and the whole


@SMALL
@given(leadings, sizes, sizes, seeds)
def test_three_steps_are_the_dense_layer(leading, n, u, seed):
    x, kernel, bias = draw(*leading, n, seed=seed), draw(n, u), draw(u)
    dense = layers.Dense(u)
    dense.build((*leading, n))
    filled(dense, kernel, bias)
    by_index = np.empty((*leading, u), "float32")
    for i in np.ndindex(*leading):
        by_index[i] = [
            sum(x[i][j] * kernel[j, k] for j in range(n)) + bias[k] for k in range(u)
        ]
    close(dense(x), by_index)
    close(unflatten(flatten(x) @ kernel + bias, leading), by_index)
    close(ops.einsum("...n,nu->...u", x, kernel) + bias, by_index)
    close(np.matmul(x, kernel) + bias, by_index)
    close(thread(lambda rows: rows @ kernel + bias)(x), by_index)


@SMALL
@given(leadings, sizes, sizes, st.booleans(), st.sampled_from([None, "relu", "tanh"]))
def test_threaded_dense_is_stock_dense(leading, n, u, use_bias, activation):
    x = draw(*leading, n)
    stock = layers.Dense(u, activation=activation, use_bias=use_bias)
    ours = ThreadedDense(u, activation=activation, use_bias=use_bias)
    for layer in (stock, ours):
        layer.build(x.shape)
        filled(layer, *[draw(n, u), draw(u, seed=1)][: 1 + use_bias])
    expected = stock(x)
    close(ours(x), expected)
    assert [w.shape for w in ours.weights] == [w.shape for w in stock.weights]
    assert ours.compute_output_shape(x.shape) == tuple(expected.shape)


@SMALL
@given(leadings, leadings, sizes, sizes)
def test_weights_do_not_depend_on_the_threads(one, other, n, u):
    counts = set()
    for leading in (one, other):
        layer = ThreadedDense(u)
        layer.build((*leading, n))
        counts.add(layer.count_params())
        steps = threading_steps(leading, n, u)
        assert layer.count_params() == steps.parameters == n * u + u
        assert tuple(layer.kernel.shape) == steps.kernel_shape == (n, u)
    assert len(counts) == 1


def test_any_numbering_of_the_rows_gives_the_same():
    x, kernel = draw(2, 3, 4), draw(4, 5)
    order = np.random.default_rng(0).permutation(6)
    product = np.empty((6, 5), "float32")
    product[order] = np.asarray(flatten(x))[order] @ kernel
    close(unflatten(product, (2, 3)), x @ kernel)


def test_keras_itself_flattens_multiplies_once_and_unflattens():
    def types(layer):
        layer.build((None, 7, 4))
        call = tf.function(layer).get_concrete_function(tf.TensorSpec((2, 7, 4)))
        return Counter(each.type for each in call.graph.get_operations())

    for layer in (layers.Dense(3), ThreadedDense(3)):
        found = types(layer)
        assert (found["Reshape"], found["MatMul"]) == (2, 1)
    assert types(layers.TimeDistributed(layers.Dense(3)))["MatMul"] == 7


# -- equivalences


@SMALL
@given(sizes, sizes, sizes, sizes, seeds)
def test_the_same_function_under_five_names(batch, time, n, u, seed):
    x, kernel, bias = draw(batch, time, n, seed=seed), draw(n, u), draw(u)
    dense = layers.Dense(u)
    dense.build(x.shape)
    expected = filled(dense, kernel, bias)(x)

    loop = [[dense(x[i, t][None])[0] for t in range(time)] for i in range(batch)]
    close(np.array(loop), expected)

    distributed = layers.TimeDistributed(layers.Dense(u))
    distributed.build(x.shape)
    close(filled(distributed, kernel, bias)(x), expected)

    convolution = layers.Conv1D(u, 1)
    convolution.build(x.shape)
    close(filled(convolution, kernel[None], bias)(x), expected)

    einsum = layers.EinsumDense("btn,nu->btu", output_shape=(None, u), bias_axes="u")
    einsum.build(x.shape)
    close(filled(einsum, kernel, bias)(x), expected)

    wrapped = Thread(layers.Dense(u))
    wrapped.build(x.shape)
    close(filled(wrapped, kernel, bias)(x), expected)


@SMALL
@given(sizes, sizes, sizes, sizes, sizes)
def test_dense_on_channels_is_a_one_by_one_convolution(batch, height, width, c, u):
    x, kernel, bias = draw(batch, height, width, c), draw(c, u), draw(u)
    dense, convolution = layers.Dense(u), layers.Conv2D(u, 1)
    dense.build(x.shape)
    convolution.build(x.shape)
    filled(dense, kernel, bias)
    close(filled(convolution, kernel[None, None], bias)(x), dense(x))


# -- the gradient


def gradient_of_the_kernel(layer, x, weights):
    """Gradients of sum(weights * layer(x)), and delta, from a tape."""
    with tf.GradientTape(persistent=True) as tape:
        y = layer(x)
        tape.watch(y)
        loss = tf.reduce_sum(weights * y)
    kernel, bias = layer.trainable_variables
    return (*tape.gradient(loss, [kernel.value, bias.value]), tape.gradient(loss, y))


@SMALL
@given(leadings, sizes, sizes, seeds)
def test_gradient_of_the_kernel_is_the_sum_over_threads(leading, n, u, seed):
    x, weights = draw(*leading, n, seed=seed), draw(*leading, u)
    layer = layers.Dense(u)
    layer.build(x.shape)
    kernel, bias, delta = gradient_of_the_kernel(layer, x, weights)
    each = np.asarray(thread_gradients(x, delta))
    assert each.shape == (math.prod(leading), n, u)
    for m, i in enumerate(np.ndindex(*leading)):
        close(each[m], np.outer(x[i], weights[i]))
    close(each.sum(0), kernel)
    close(np.asarray(flatten(x)).T @ flatten(weights), kernel)
    close(np.asarray(flatten(delta)).sum(0), bias)


def test_each_thread_gets_its_own_gradient_from_a_tape():
    x, weights, kernel = draw(3, 4, 5), draw(3, 4, 2), draw(5, 2)
    copies = tf.Variable(np.tile(kernel, (12, 1, 1)))  # one kernel for each thread
    with tf.GradientTape() as tape:
        y = tf.einsum("mn,mnu->mu", flatten(x), copies)
        loss = tf.reduce_sum(flatten(weights) * y)
    close(thread_gradients(x, weights), tape.gradient(loss, copies))


@SMALL
@given(leadings, sizes, sizes, seeds)
def test_gradient_is_the_finite_difference(leading, n, u, seed):
    x = draw(*leading, n, seed=seed, dtype="float64")
    goal = draw(*leading, u, seed=seed + 1, dtype="float64")
    kernel = draw(n, u, dtype="float64")

    def loss(kernel):
        return ((x @ kernel - goal) ** 2).sum()

    gradient = np.asarray(thread_gradients(x, 2 * (x @ kernel - goal))).sum(0)
    h = 1e-4
    for j, k in np.ndindex(n, u):
        step = np.zeros((n, u))
        step[j, k] = h
        difference = (loss(kernel + step) - loss(kernel - step)) / (2 * h)
        assert difference == pytest.approx(gradient[j, k], rel=1e-6, abs=1e-6)


def test_sum_loss_grows_with_the_threads_and_mean_loss_does_not():
    x, goal = draw(1, 4, 3), draw(1, 4, 2)
    layer = layers.Dense(2)
    layer.build(x.shape)

    def gradient(x, goal, reduction):
        with tf.GradientTape() as tape:
            loss = keras.losses.MeanSquaredError(reduction)(goal, layer(x))
        return np.asarray(tape.gradient(loss, layer.kernel.value))

    many_x, many_goal = np.tile(x, (6, 5, 1)), np.tile(goal, (6, 5, 1))
    for reduction, factor in (("sum", 30), ("sum_over_batch_size", 1)):
        one = gradient(x, goal, reduction)
        close(gradient(many_x, many_goal, reduction), factor * one)


def test_thread_gradients_refuses_other_threads():
    with pytest.raises(ValueError, match=r"same leading axes, got \(2, 3, 4\) and"):
        thread_gradients(np.zeros((2, 3, 4)), np.zeros((3, 2, 5)))


# -- thread(function)


def test_thread_takes_examples_of_any_rank():
    x = draw(2, 3, 8, 8, 1)
    convolution = layers.Conv2D(4, 3)
    y = np.asarray(thread(convolution, rank=3)(x))
    assert y.shape == (2, 3, 6, 6, 4)
    close(y[1, 2], convolution(x[1, 2][None])[0])
    total = thread(lambda images: ops.sum(images, axis=(1, 2, 3)), rank=3)(x)
    close(total, x.sum((2, 3, 4)))


@SMALL
@given(leadings, sizes)
def test_thread_of_a_threading_layer_is_the_layer(leading, n):
    x = draw(*leading, n)
    norm = layers.LayerNormalization()
    close(thread(norm)(x), norm(x))


def test_thread_complains():
    with pytest.raises(TypeError, match="function must be callable, got int"):
        thread(3)
    with pytest.raises(ValueError, match="rank must be a positive integer, got -1"):
        thread(abs, rank=-1)
    with pytest.raises(ValueError, match=r"each of 6 rows, got shape \(1, 4\)"):
        thread(lambda rows: rows[:1])(draw(2, 3, 4))
    with pytest.raises(ValueError, match="in front of the last 2"):
        thread(abs, rank=2)(draw(3, 4))


# -- the layers as Keras layers


def model_of(layer, shape, **kwargs):
    inputs = keras.Input(shape, **kwargs)
    return keras.Model(inputs, layer(inputs))


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (lambda: ThreadedDense(3, activation="relu"), (None, 4)),
        (lambda: ThreadedDense(3, use_bias=False), (2, 5, 4)),
        (lambda: ThreadedDense(3), (4,)),
        (lambda: Thread(layers.Dense(3)), (None, 5, 4)),
        (lambda: Thread(layers.LSTM(3), rank=2), (None, 5, 4)),
        (lambda: Thread(layers.Conv2D(2, 2), rank=3), (3, 4, 4, 1)),
    ],
)
def test_layers_are_saved_and_loaded(layer, shape, tmp_path):
    model = model_of(layer(), shape)
    x = draw(2, *(size or 6 for size in shape))
    assert model.output_shape[0] is None
    model.save(tmp_path / "model.keras")
    assert zipfile.is_zipfile(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded(x), model(x))
    for said, found in zip(model.output_shape, model(x).shape, strict=True):
        assert said in (None, found)


@pytest.mark.parametrize(
    "make", [lambda: ThreadedDense(3), lambda: Thread(layers.Dense(3))]
)
def test_layers_train_and_pass_the_mask(make):
    tokens = np.array([[1, 2, 0, 0], [3, 1, 2, 0]])
    inputs = keras.Input((None,), dtype="int32")
    embedded = layers.Embedding(5, 4, mask_zero=True)(inputs)
    outputs = make()(embedded)
    model = keras.Model(inputs, outputs)
    np.testing.assert_array_equal(model(tokens)._keras_mask, tokens != 0)
    model.compile("sgd", "mse")
    before = model.get_weights()[1].copy()
    model.fit(tokens, np.ones((2, 4, 3)), verbose=0)
    assert np.abs(model.get_weights()[1] - before).max() > 0


def test_layers_follow_the_dtype_policy_and_xla():
    layer = ThreadedDense(3, dtype="mixed_bfloat16")
    y = layer(draw(2, 3, 4))
    assert (y.dtype, layer.kernel.dtype) == ("bfloat16", "float32")
    compiled = tf.function(ThreadedDense(3), jit_compile=True)
    assert compiled(draw(2, 3, 4)).shape == (2, 3, 3)


@SMALL
@given(sizes, sizes, st.integers(1, 4), sizes)
def test_thread_layer_is_time_distributed(dates, tickers, time, n):
    x = draw(dates, tickers, time, n)
    lstm = layers.LSTM(2)
    ours = Thread(lstm, rank=2)(x)
    close(ours, layers.TimeDistributed(lstm)(x))
    for d, t in np.ndindex(dates, tickers):
        close(ours[d, t], lstm(x[d, t][None])[0])


def test_layers_complain():
    for units in (0, -1, 2.5, True, "3", None):
        with pytest.raises(ValueError, match="units must be a positive integer, got"):
            ThreadedDense(units)
    with pytest.raises(ValueError, match=r"last axis of inputs must be known.*None"):
        ThreadedDense(3).build((2, None))
    with pytest.raises(ValueError, match=r"in front of the last 1, got shape \(4,\)"):
        ThreadedDense(3).build((4,))
    layer = ThreadedDense(3)
    layer(draw(2, 4))
    with pytest.raises(ValueError, match="expected axis -1 of input shape to have val"):
        layer(draw(2, 3, 5))
    with pytest.raises(TypeError, match="layer must be a keras Layer, got int"):
        Thread(3)
    with pytest.raises(ValueError, match="rank must be a positive integer, got 0"):
        Thread(layers.Dense(3), rank=0)
    with pytest.raises(ValueError, match="in front of the last 3"):
        Thread(layers.Conv2D(2, 2), rank=3)(draw(4, 4, 1))


# -- the diagnosis

SHAPE = (4, 5, 6)
PLACES = draw(5, 6, seed=9)


def with_training(layer, training):
    return lambda x: layer(x, training=training)


def self_attention(**options):
    layer = layers.MultiHeadAttention(2, 3)
    return lambda x: layer(x, x, **options)


def own_attention():
    layer = MultiHeadAttention(2)
    return lambda x: layer(x)


def flatten_dense():
    return keras.Sequential(
        [layers.Flatten(), layers.Dense(20), layers.Reshape((5, 4))]
    )


def own_kernels():
    return layers.EinsumDense("btn,tnu->btu", output_shape=(5, 4))


T, F, S, P, G = (
    "threads",
    "one function per row",
    "mixes rows, as a set",
    "mixes rows, by place",
    "axis gone",
)
VERDICTS = {  # verdicts over the batch, and over the rows of an example
    "Dense": (lambda: layers.Dense(4), T, T),
    "ThreadedDense": (lambda: ThreadedDense(4, "tanh"), T, T),
    "Thread": (lambda: Thread(layers.Dense(4)), T, T),
    "LayerNormalization": (layers.LayerNormalization, T, T),
    "LayerNormalization over rows": (lambda: layers.LayerNormalization(axis=1), T, S),
    "BatchNormalization, inference": (
        lambda: with_training(layers.BatchNormalization(), False),
        T,
        T,
    ),
    "BatchNormalization, training": (
        lambda: with_training(layers.BatchNormalization(), True),
        S,
        S,
    ),
    "Softmax": (layers.Softmax, T, T),
    "Softmax over rows": (lambda: layers.Softmax(axis=1), T, S),
    "1x1 convolution": (lambda: layers.Conv1D(4, 1), T, T),
    "convolution": (lambda: layers.Conv1D(4, 3, padding="same"), T, P),
    "attention": (self_attention, T, S),
    "our attention": (own_attention, T, S),
    "causal attention": (lambda: self_attention(use_causal_mask=True), T, P),
    "LSTM": (lambda: layers.LSTM(4, return_sequences=True), T, P),
    "GRU": (lambda: layers.GRU(4, return_sequences=True), T, P),
    "Flatten and Dense": (flatten_dense, T, P),
    "EinsumDense": (
        lambda: layers.EinsumDense("btn,nu->btu", output_shape=(None, 4)),
        T,
        T,
    ),
    "EinsumDense, own kernels": (own_kernels, T, F),
    "TimeDistributed": (lambda: layers.TimeDistributed(layers.Dense(4)), T, T),
    "positions": (lambda: lambda x: x + PLACES, T, F),
    "Dropout, inference": (lambda: with_training(layers.Dropout(0.5), False), T, T),
    "dropout, fixed mask": (
        lambda: lambda x: keras.random.dropout(x, 0.5, seed=3),
        F,
        F,
    ),
    "less the mean": (lambda: lambda x: x - ops.mean(x, axis=1, keepdims=True), T, S),
    "LSTM, last state": (lambda: layers.LSTM(4), T, G),
    "Flatten": (layers.Flatten, T, G),
    "constant": (lambda: lambda x: ops.zeros_like(x), T, T),
}


@pytest.mark.parametrize("name", VERDICTS)
def test_verdicts(name):
    make, batch, rows = VERDICTS[name]
    keras.utils.set_random_seed(0)
    function, x = make(), draw(*SHAPE)
    found = [diagnose(function, x, axis) for axis in (0, 1)]
    assert [each.verdict for each in found] == [batch, rows]
    assert [each.threads for each in found] == [batch == T, rows == T]


@pytest.mark.parametrize("name", [n for n, v in VERDICTS.items() if v[2] != G])
def test_threads_means_commuting_with_every_selection(name):
    """Another characterization: it commutes with permutations and repetitions."""
    make, _, rows = VERDICTS[name]
    keras.utils.set_random_seed(0)
    function, x = make(), draw(*SHAPE)
    y = np.asarray(function(x))
    rng = np.random.default_rng(1)
    gap = 0.0
    for _ in range(4):
        chosen = rng.integers(0, 5, 5)
        gap = max(gap, np.abs(np.asarray(function(x[:, chosen])) - y[:, chosen]).max())
    assert (gap < 1e-4) == (rows == T)


@pytest.mark.parametrize(
    "name", ["Dense", "attention", "positions", "Flatten and Dense"]
)
def test_jacobian_says_the_same(name):
    make, _, rows = VERDICTS[name]
    keras.utils.set_random_seed(0)
    function, x = make(), draw(5, 6)
    function(x[None])
    blocks = jacobian_blocks(function, x)
    assert blocks.shape[:2] == (5, 5)
    away = blocks[~np.eye(5, dtype=bool)]
    assert (np.abs(away).max() < 1e-6) == (rows in (T, F))
    assert mixes_rows(function, draw(*SHAPE)) == (rows not in (T, F))


@SMALL
@given(st.integers(1, 4), sizes, sizes, seeds)
def test_jacobian_of_dense_is_the_transposed_kernel_on_the_diagonal(m, n, u, seed):
    layer = layers.Dense(u)
    layer.build((None, m, n))
    filled(layer, draw(n, u, seed=seed), draw(u))
    blocks = jacobian_blocks(layer, draw(m, n))
    expected = np.einsum("mk,un->mkun", np.eye(m), layer.get_weights()[0].T)
    close(blocks, expected)


def test_jacobian_is_the_finite_difference():
    layer = keras.Sequential(
        [layers.Dense(3, "tanh"), layers.LSTM(2, return_sequences=True)]
    )
    x = draw(3, 4)
    layer(x[None])
    blocks, h = jacobian_blocks(layer, x), 1e-2
    for k, j in np.ndindex(3, 4):
        step = np.zeros((3, 4), "float32")
        step[k, j] = h
        difference = (layer((x + step)[None]) - layer((x - step)[None]))[0] / (2 * h)
        np.testing.assert_allclose(blocks[:, k, :, j], difference, atol=2e-4)


def test_diagnosis_of_a_partial_mix():
    """Only the first row looks at the last one: found, although four rows don't mix."""

    def peek(x):
        return x + np.eye(5, dtype="float32")[:, :1] * x[:, -1:]

    found = diagnose(peek, draw(*SHAPE))
    assert found.mixes and found.ordered


@pytest.mark.parametrize("seen", range(5))
def test_a_single_row_that_others_look_at_is_found(seen):
    found = diagnose(lambda x: x + x[:, seen : seen + 1], draw(*SHAPE))
    assert found.mixes


def test_both_permutations_are_needed():
    def circular(x):  # commutes with rotations, not with swaps
        return x + 2 * ops.roll(x, 1, axis=1)

    factors = np.array([[1], [1], [3], [4], [5]], "float32")  # commutes with the swap
    assert diagnose(circular, draw(*SHAPE)).verdict == P
    assert diagnose(lambda x: x * factors, draw(*SHAPE)).verdict == F


def test_leak_and_gap_in_a_closed_form():
    x = np.array([[[1.0], [2.0], [-4.0]]], "float32")
    rng = np.random.default_rng(0)
    steps = [(1 + np.std(x)) * rng.normal(size=(1, 1)) for _ in range(3)]
    less_mean = diagnose(lambda x: x - ops.mean(x, axis=1, keepdims=True), x)
    largest = max(abs(step[0, 0]) for step in steps) / 3
    scale = np.abs(x - x.mean()).max()
    assert less_mean.leak == pytest.approx(largest / scale, rel=1e-5)
    assert less_mean.gap < 1e-6
    places = diagnose(lambda x: x * np.array([[1.0], [2.0], [3.0]], "float32"), x)
    # swap: rows 2, 2 where it should be 4, 1; rotation: -4, 2, 6 for -12, 1, 4
    assert places.gap == pytest.approx(8 / 12)
    assert places.leak == 0


def test_negative_axes_count_from_the_end():
    x = draw(2, 3, 4)
    found = diagnose(layers.Softmax(), x, axis=-1)
    assert (found.axis, found.verdict) == (2, S)


def test_diagnosis_is_ready_for_json():
    found = diagnose(layers.Flatten(), draw(*SHAPE)).to_dict()
    assert json.loads(json.dumps(found, allow_nan=False))["verdict"] == G
    found = diagnose(layers.Dense(2), draw(*SHAPE)).to_dict()
    assert found["threads"] is True and found["leak"] == 0


def test_diagnosis_complains():
    x = draw(*SHAPE)
    with pytest.raises(TypeError, match="function must be callable, got NoneType"):
        diagnose(None, x)
    with pytest.raises(TypeError, match=r"x must be .*got dtype int64"):
        diagnose(layers.Dense(2), np.zeros((2, 3, 4), int))
    with pytest.raises(TypeError, match=r"float64.*, got dtype bfloat16"):
        diagnose(keras.layers.Dense(3), tf.ones((4, 6, 4), "bfloat16"))
    for axis in (3, -4):
        with pytest.raises(ValueError, match=rf"axis of x with shape .* got {axis}"):
            diagnose(layers.Dense(2), x, axis)
    with pytest.raises(TypeError, match=r"axis must be an integer, got 1\.5"):
        diagnose(layers.Dense(2), x, 1.5)
    with pytest.raises(ValueError, match="at least 2 rows along axis 1"):
        diagnose(layers.Dense(2), x[:, :1])
    with pytest.raises(ValueError, match="function must be deterministic"):
        diagnose(with_training(layers.Dropout(0.5), True), x)
    with pytest.raises(ValueError, match="finite numbers, got NaN"):
        diagnose(lambda x: x * np.float32("nan"), x)
    with pytest.raises(TypeError, match="must return one tensor, got list"):
        diagnose(lambda x: [x, x], x)
    with pytest.raises(ValueError, match="axis 1 with 5 rows, but that axis is gone"):
        mixes_rows(layers.Flatten(), x)


def test_jacobian_complains():
    with pytest.raises(ValueError, match=r"x must be one example .*\(4, 5, 6\)"):
        jacobian_blocks(layers.Dense(2), draw(*SHAPE))
    with pytest.raises(ValueError, match=r"must return \(1, rows, units\), got"):
        jacobian_blocks(layers.Flatten(), draw(5, 6))
    with pytest.raises(TypeError, match="function must be callable, got int"):
        jacobian_blocks(3, draw(5, 6))


# -- the steps in numbers


@SMALL
@given(st.lists(sizes, max_size=3).map(tuple), sizes, sizes, st.booleans())
def test_steps_are_those_of_the_layer(leading, n, u, use_bias):
    steps = threading_steps(leading, n, u, use_bias)
    x = draw(*leading, n)
    flat = np.reshape(x, (-1, n))
    product = flat @ draw(n, u)
    shapes = [x.shape, flat.shape, product.shape, (*leading, u)]
    assert [s[1] for s in steps.steps] + [steps.steps[-1][2]] == shapes
    assert [s[2] for s in steps.steps] == shapes[1:]
    assert steps.rows == len(flat)
    assert steps.multiplications == flat.size * u
    threaded, mixing = layers.Dense(u, use_bias=use_bias), None
    threaded.build((None, *leading, n))
    assert steps.parameters == threaded.count_params()
    mixing = layers.Dense(steps.rows * u, use_bias=use_bias)
    mixing.build((None, steps.rows * n))
    assert steps.mixing_parameters == mixing.count_params()


def test_steps_as_a_dict():
    found = json.loads(json.dumps(threading_steps((2, 3), 4, 5).to_dict()))
    assert found == {
        "leading": [2, 3],
        "features": 4,
        "units": 5,
        "use_bias": True,
        "rows": 6,
        "steps": [
            {"name": "flatten", "input": [2, 3, 4], "output": [6, 4]},
            {"name": "multiply", "input": [6, 4], "output": [6, 5]},
            {"name": "unflatten", "input": [6, 5], "output": [2, 3, 5]},
        ],
        "kernel_shape": [4, 5],
        "parameters": 25,
        "mixing_parameters": 750,
        "multiplications": 120,
    }


@pytest.mark.parametrize("name", ["features", "units"])
@pytest.mark.parametrize("value", [0, -2, 1.5, True, None, "4"])
def test_steps_complain(name, value):
    arguments = {"features": 3, "units": 4, name: value}
    with pytest.raises(ValueError, match=f"{name} must be a positive integer, got"):
        threading_steps((2,), **arguments)


# -- the functions in the solutions of the chapter


@functools.cache
def chapter_names(*wanted):
    """Run the imports and the cells of the chapter that have one of these texts."""
    path = Path(__file__).parents[1] / "book" / "dense_threading.md"
    cells = re.findall(
        r"```\{code-cell\} ipython3\n(.*?)```", path.read_text("utf-8"), re.DOTALL
    )
    names = {}
    for cell in cells[:1] + [c for c in cells if any(text in c for text in wanted)]:
        exec(cell, names)
        names["example"] = draw(1, 6, 4)
    return names


@SMALL
@given(sizes, sizes, sizes)
def test_solution_reshape_is_not_transpose(batch, time, width):
    names = chapter_names("def swap(x)", "def scale_mended(x)")
    x = draw(batch, time, width)
    np.testing.assert_array_equal(names["swap"](names["swap"](x)), x)
    exchanged = np.swapaxes(x, 0, 1)
    same = np.array_equal(names["swap"](x), exchanged)
    assert same == (batch == 1 or time == 1)
    expected = x / (x**2).sum(axis=(1, 2), keepdims=True)
    close(names["scale_mended"](x), expected)


def test_solution_set_layer_is_every_linear_map_that_commutes_with_permutations():
    names = chapter_names("class SetDense(")
    layer = names["SetDense"](2)
    x = draw(3, 5, 4)
    y = np.asarray(layer(x))
    own, others = layer.get_weights()
    close(y, x @ own + x.sum(1, keepdims=True) @ others)
    # The average of any linear map over all permutations is such a map, and its
    # blocks are of two kinds: one on the diagonal, one off it.
    blocks = draw(3, 3, 2, 4, dtype="float64")
    orders = [list(p) for p in itertools.permutations(range(3))]
    mean = sum(blocks[np.ix_(p, p)] for p in orders) / len(orders)
    for m, k in np.ndindex(3, 3):
        close(mean[m, k], mean[0, 0] if m == k else mean[0, 1], 1e-12)
