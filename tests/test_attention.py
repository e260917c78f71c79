"""`attention` against NumPy, against Keras's own layer, and against bad input."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import ops

from advanced_keras.attention import (
    MultiHeadAttention,
    attention_weights,
    causal_mask,
    scaled_dot_product_attention,
)

SMALL = settings(deadline=None, max_examples=15)
sizes = st.integers(1, 5)


def numpy_attention(query, key, value, mask=None):
    """Equation 1 of the paper, row by row, in float64."""
    context = np.zeros((*query.shape[:-1], value.shape[-1]))
    for index in np.ndindex(query.shape[:-1]):
        batch, t = index[:-1], index[-1]
        allowed = np.ones(key.shape[-2], bool) if mask is None else mask[*batch, t]
        if not allowed.any():
            continue
        scores = key[*batch] @ query[index] / np.sqrt(query.shape[-1])
        shares = np.exp(np.where(allowed, scores - scores[allowed].max(), -np.inf))
        context[index] = (shares / shares.sum()) @ value[*batch]
    return context


def twin_layers(num_heads, head_width, width, seed=0):
    """Our layer and Keras's, with the same random weights."""
    rng = np.random.default_rng(seed)
    ours = MultiHeadAttention(num_heads, head_width)
    stock = keras.layers.MultiHeadAttention(num_heads, head_width)
    ours.build((None, None, width))
    stock.build((None, None, width), (None, None, width))
    ours.set_weights([rng.normal(size=w.shape, scale=0.5) for w in ours.weights])
    pairs = zip(ours.get_weights(), stock.weights, strict=True)
    stock.set_weights([w.reshape(v.shape) for w, v in pairs])
    return ours, stock


@SMALL
@given(b=sizes, t=sizes, s=sizes, d=sizes, v=sizes, masked=st.booleans())
def test_scaled_dot_product_attention_agrees_with_numpy(b, t, s, d, v, masked):
    rng = np.random.default_rng(b + 7 * t + 49 * s)
    query, key = rng.normal(size=(b, t, d)), rng.normal(size=(b, s, d))
    value = rng.normal(size=(b, s, v))
    mask = rng.random((b, t, s)) < 0.6 if masked else None
    args = [ops.convert_to_tensor(a, "float32") for a in (query, key, value)]
    context, weights = scaled_dot_product_attention(*args, mask)
    assert context.shape == (b, t, v) and weights.shape == (b, t, s)
    expected = numpy_attention(query, key, value, mask)
    np.testing.assert_allclose(context, expected, atol=1e-5)


def test_weights_are_shares_and_0_where_forbidden():
    rng = np.random.default_rng(0)
    query, key = rng.normal(size=(2, 4, 3)), rng.normal(size=(2, 5, 3))
    mask = np.ones((2, 4, 5), bool)
    mask[0, 1, 2:] = False
    mask[1, 3] = False  # this query may look nowhere
    weights = ops.convert_to_numpy(
        attention_weights(*map(ops.array, (query, key)), mask)
    )
    assert np.all(weights[~mask] == 0)
    np.testing.assert_allclose(weights.sum(-1), mask.any(-1), atol=1e-6)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
def test_masks_hold_in_every_dtype(dtype):
    query = ops.cast(ops.reshape(ops.arange(12), (1, 4, 3)), dtype)
    weights = attention_weights(query, query, causal_mask(4))
    assert keras.backend.standardize_dtype(weights.dtype) == dtype
    late = np.triu(np.ones((4, 4), bool), 1)
    assert np.all(ops.convert_to_numpy(ops.cast(weights, "float32"))[0][late] == 0)


@pytest.mark.parametrize("size", [1e2, 1e4, 1e6])
def test_large_scores_do_not_overflow_and_keep_their_order(size):
    """exp(score) is inf, and so is the distance of the scores from a mask's -1000."""
    rng = np.random.default_rng(0)
    query = np.concatenate([rng.normal(size=(1, 4, 3)), -np.ones((1, 2, 3))], axis=1)
    key = np.abs(rng.normal(size=(1, 5, 3))) * size  # the last two queries: all < 0
    mask = np.arange(5) < np.array([[[3], [5], [1], [4], [3], [2]]])
    weights = attention_weights(*(ops.array(a, "float32") for a in (query, key)), mask)
    identity = np.eye(5)[None]
    expected = numpy_attention(query, key, identity, mask)  # the weights themselves
    np.testing.assert_allclose(weights, expected, atol=1e-3)
    np.testing.assert_allclose(ops.sum(weights, -1), np.ones((1, 6)), atol=1e-5)


def test_half_precision_is_scaled_first_and_summed_in_full():
    rng = np.random.default_rng(0)
    query = rng.normal(size=(1, 3, 64)).astype("float16") * np.float16(60)
    weights = attention_weights(*2 * [tf.constant(query)])  # Q K^T alone overflows
    assert np.all(np.isfinite(weights))
    # One rounding, of the result: half a unit of bfloat16's last place, 2^-8.
    query, key = (tf.constant(rng.normal(size=(1, 64, 8)), "bfloat16") for _ in "qk")
    scores = tf.matmul(query * 8**-0.5, key, transpose_b=True)
    expected = tf.nn.softmax(tf.cast(scores, "float64"))
    weights = tf.cast(attention_weights(query, key), "float64")
    np.testing.assert_allclose(weights, expected, rtol=2**-8)


def test_an_empty_batch_passes():
    assert MultiHeadAttention(2)(tf.zeros((0, 3, 4))).shape == (0, 3, 4)


def test_causal_mask_allows_the_present_and_the_past():
    expected = [[1, 0, 0], [1, 1, 0], [1, 1, 1]]
    np.testing.assert_array_equal(causal_mask(3), np.array(expected, bool))
    in_graph = tf.function(causal_mask)(tf.constant(3))
    np.testing.assert_array_equal(in_graph, np.array(expected, bool))


@SMALL
@given(
    b=sizes,
    t=sizes,
    s=st.integers(2, 5),
    h=sizes,
    d=st.integers(2, 4),
    seed=st.integers(0, 99),
)
def test_multi_head_attention_agrees_with_keras(b, t, s, h, d, seed):
    # Not d = 1: there Keras 3.15 departs from the formula when S = H (see below).
    rng = np.random.default_rng(seed)
    ours, stock = twin_layers(h, d, h * d, seed)
    query = ops.convert_to_tensor(rng.normal(size=(b, t, h * d)), "float32")
    value = ops.convert_to_tensor(rng.normal(size=(b, s, h * d)), "float32")
    mask = rng.random((b, t, s)) < 0.5
    mask[..., 0] = True  # Keras lets a row without keys look everywhere; ours doesn't
    ask = {"attention_mask": mask, "return_attention_scores": True}
    output, weights = ours(query, value, **ask)
    expected, expected_weights = stock(query, value, **ask)
    np.testing.assert_allclose(output, expected, atol=1e-5)
    np.testing.assert_allclose(weights, expected_weights, atol=1e-5)


@pytest.mark.parametrize("heads,length", [(2, 2), (4, 4), (2, 3)])
def test_heads_of_width_1_follow_the_formula(heads, length):
    """Keras's own layer gives other weights for the first two of these shapes."""
    layer, _ = twin_layers(heads, 1, heads)
    rng = np.random.default_rng(0)
    query, value = (
        ops.convert_to_tensor(rng.normal(size=(1, n, heads)), "float32")
        for n in (1, length)
    )
    _, weights = layer(query, value, return_attention_scores=True)
    by_head = [
        layer.split_heads(dense(states))
        for dense, states in ((layer.query_dense, query), (layer.key_dense, value))
    ]
    q, k = map(ops.convert_to_numpy, by_head)
    scores = np.exp(q @ k.swapaxes(-1, -2))
    expected = scores / scores.sum(-1, keepdims=True)
    np.testing.assert_allclose(weights, expected, atol=1e-6)


@pytest.mark.parametrize("causal", [False, True])
def test_self_attention_with_padding_agrees_with_keras(causal):
    ours, stock = twin_layers(2, 4, 8)
    states = ops.convert_to_tensor(
        np.random.default_rng(1).normal(size=(2, 5, 8)), "float32"
    )
    padding = np.arange(5) < np.array([[5], [3]])
    mine = ours(states, mask=ops.array(padding), use_causal_mask=causal)
    mask = np.broadcast_to(padding[:, None], (2, 5, 5))
    theirs = stock(states, states, attention_mask=mask, use_causal_mask=causal)
    np.testing.assert_allclose(mine, theirs, atol=1e-5)


def test_separate_keys_agree_with_keras():
    ours, stock = twin_layers(2, 3, 6)
    rng = np.random.default_rng(2)
    query, value, key = (
        ops.convert_to_tensor(rng.normal(size=(2, n, 6)), "float32") for n in (3, 4, 4)
    )
    np.testing.assert_allclose(
        ours(query, value, key), stock(query, value, key), atol=1e-5
    )


def test_gradients_agree_with_keras_and_with_finite_differences():
    ours, stock = twin_layers(2, 3, 6)
    states = tf.constant(np.random.default_rng(3).normal(size=(1, 4, 6)), tf.float32)
    gradients = []
    for layer in (ours, stock):
        with tf.GradientTape() as tape:
            tape.watch(states)
            out = layer(states, states, use_causal_mask=True)
            loss = tf.reduce_sum(out**2)
        wanted = [states, *layer.trainable_variables]
        gradients.append([g.numpy().ravel() for g in tape.gradient(loss, wanted)])
    for mine, theirs in zip(*gradients, strict=True):
        np.testing.assert_allclose(mine, theirs, atol=2e-4, rtol=1e-4)
    in_double = MultiHeadAttention(2, 3, dtype="float64")
    in_double.build((None, None, 6))
    in_double.set_weights(ours.get_weights())
    step = 1e-6 * np.eye(6)[0]
    ends = [
        tf.reduce_sum(
            in_double(tf.cast(states, "float64") + s, use_causal_mask=True) ** 2
        )
        for s in (step, -step)
    ]
    slope = (ends[0] - ends[1]) / 2e-6
    np.testing.assert_allclose(
        gradients[0][0].reshape(4, 6)[:, 0].sum(), slope, rtol=1e-3
    )


def test_a_query_without_keys_gives_finite_gradients():
    layer = MultiHeadAttention(2)
    states = tf.random.normal((1, 3, 4))
    with tf.GradientTape() as tape:
        tape.watch(states)
        loss = tf.reduce_sum(layer(states, mask=tf.zeros((1, 3), bool)) ** 2)
    assert np.all(np.isfinite(tape.gradient(loss, states)))


def test_number_of_weights_does_not_depend_on_the_number_of_heads():
    for heads in (1, 2, 4, 8):
        layer = MultiHeadAttention(heads)
        layer.build((None, None, 16))
        assert layer.count_params() == 4 * (16 * 16 + 16)


def test_attend_with_projected_keys_equals_a_call():
    layer = MultiHeadAttention(2)
    query, states = tf.random.normal((2, 3, 8)), tf.random.normal((2, 5, 8))
    layer.build(query.shape, states.shape)  # no first call needed
    keys, values = layer.project_keys_values(states)
    assert keys.shape == values.shape == (2, 2, 5, 4)
    np.testing.assert_array_equal(
        layer.attend(query, keys, values), layer(query, states)
    )


def test_keras_fills_in_the_masks():
    tokens = tf.constant([[1, 2, 0], [3, 0, 0]])
    states = keras.layers.Embedding(5, 8, mask_zero=True)(tokens)
    layer = MultiHeadAttention(2)
    alone = layer(states, return_attention_scores=True)[1]
    pair = layer(tf.random.normal((2, 4, 8)), states, return_attention_scores=True)[1]
    for weights in (alone, pair):
        assert np.all(weights.numpy()[1, :, :, 1:] == 0)
        assert np.all(weights.numpy()[0, :, :, 2] == 0)
    assert layer(states)._keras_mask is not None


def test_masks_given_by_hand():
    """Each of the names that Keras fills in, and the mask of the keys alone."""
    layer = MultiHeadAttention(2)
    states, keep = tf.random.normal((1, 3, 4)), tf.constant([[True, False, True]])
    for name in ("mask", "query_mask", "value_mask"):
        _, weights = layer(states, return_attention_scores=True, **{name: keep})
        assert np.all(weights.numpy()[..., 1] == 0)
    _, weights = layer(
        states, states, states, key_mask=keep, return_attention_scores=True
    )
    assert np.all(weights.numpy()[..., 1] == 0)
    with pytest.raises(ValueError, match="attention_mask must be the same for all"):
        layer(states, attention_mask=np.ones((1, 2, 3, 3)))


def test_attend_alone_drops_in_training_and_returns_weights_before_it():
    layer, states = MultiHeadAttention(2, dropout=0.5), tf.random.normal((1, 6, 4))
    layer.build(states.shape)
    keys, values = layer.project_keys_values(states)
    plain = layer.attend(states, keys, values)
    noisy, weights = layer.attend(
        states, keys, values, return_weights=True, training=True
    )
    assert np.abs(noisy - plain).max() > 0
    np.testing.assert_allclose(tf.reduce_sum(weights, -1), 1, atol=1e-6)


def test_dropout_follows_its_seed_and_is_off_outside_training():
    states = tf.random.normal((2, 6, 8))
    layer = MultiHeadAttention(2, dropout=0.5, seed=3)
    plain = layer(states)
    np.testing.assert_array_equal(plain, layer(states))
    again = MultiHeadAttention(2, dropout=0.5, seed=3)
    again.build(states.shape)
    again.set_weights(layer.get_weights())
    noisy = layer(states, training=True)
    assert np.abs(noisy - plain).max() > 0
    # the generator's state is one of the variables that set_weights doesn't copy
    fresh = MultiHeadAttention(2, dropout=0.5, seed=3)
    fresh.build(states.shape)
    fresh.set_weights(again.get_weights())
    np.testing.assert_array_equal(
        fresh(states, training=True), again(states, training=True)
    )


def test_symbolic_shapes():
    layer = MultiHeadAttention(2)
    query, value = keras.Input((None, 8)), keras.Input((5, 8))
    output, weights = layer(query, value, return_attention_scores=True)
    assert output.shape == (None, None, 8)
    assert weights.shape == (None, 2, None, 5)
    assert layer.compute_output_shape((3, 4, 8), (3, 5, 8)) == (3, 4, 8)


def test_save_and_load_without_custom_objects(tmp_path):
    inputs = keras.Input((None, 8))
    model = keras.Model(inputs, MultiHeadAttention(2, dropout=0.1, seed=1)(inputs))
    model.save(tmp_path / "attention.keras")
    loaded = keras.models.load_model(tmp_path / "attention.keras")
    states = np.random.default_rng(0).normal(size=(2, 3, 8))
    np.testing.assert_array_equal(model(states), loaded(states))


def test_every_argument_survives_and_has_its_effect():
    wanted = {"num_heads": 2, "key_dim": 3, "dropout": 0.25, "use_bias": False}
    layer = MultiHeadAttention(**wanted, seed=7, dtype="mixed_bfloat16")
    config = MultiHeadAttention.from_config(layer.get_config()).get_config()
    assert config == layer.get_config() and wanted.items() <= config.items()
    assert config["seed"] == layer.dropout_layer.seed == 7
    layer.build((None, None, 8))
    assert len(layer.trainable_weights) == 4  # kernels only
    policies = {part.dtype_policy.name for part in layer._flatten_layers()}
    assert policies == {"mixed_bfloat16"}


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"num_heads": 0}, "num_heads"),
        ({"num_heads": 2.0}, "num_heads"),
        ({"num_heads": 2, "key_dim": -1}, "key_dim"),
        ({"num_heads": True}, "num_heads"),
        ({"num_heads": 2, "dropout": 1.0}, "dropout"),
        ({"num_heads": 2, "dropout": "0.1"}, "dropout"),
    ],
)
def test_bad_arguments_are_named(arguments, named):
    with pytest.raises(ValueError, match=named):
        MultiHeadAttention(**arguments)


def test_bad_shapes_are_named():
    with pytest.raises(ValueError, match="multiple of num_heads"):
        MultiHeadAttention(3).build((None, None, 8))
    with pytest.raises(ValueError, match=r"key must have .* with d = 3 as in query"):
        scaled_dot_product_attention(*(ops.ones((1, 2, n)) for n in (3, 4, 4)))
    with pytest.raises(ValueError, match=r"value must have .* with S = 3 as in key"):
        scaled_dot_product_attention(*(ops.ones((1, n, 3)) for n in (2, 3, 4)))


def test_a_length_that_is_not_known_yet_fits_every_other():
    query, value = keras.Input((2, 8)), keras.Input((5, 8))
    key = keras.Input((None, 8))
    result, _ = scaled_dot_product_attention(query, key, value)
    assert result.shape == (None, 2, 8)
