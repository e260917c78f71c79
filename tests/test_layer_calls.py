"""Layers refuse what they can't take, and name it, in whatever order calls come.

Each is called with something good first: `build` looks at the first call only. Where
Keras itself looks, through ``input_spec``, its message names the layer and what it
expected.
"""

import re

import keras
import numpy as np
import pytest
from keras import ops

from advanced_keras import (
    autoencoder,
    blocks,
    dense_threading,
    factor_models,
    feature_visualization,
    losses,
    style_transfer,
    translation,
    vae,
)
from advanced_keras.attention import (
    MultiHeadAttention,
    attention_weights,
    causal_mask,
    scaled_dot_product_attention,
)
from advanced_keras.autoencoder import ReversibleDense
from advanced_keras.conv_transpose import ResizeConv
from advanced_keras.dense_threading import Thread, ThreadedDense
from advanced_keras.layers import (
    LayerNorm,
    Linear,
    MaskedMean,
    MaskMissing,
    MovingStandardize,
    Noise,
    Residual,
)
from advanced_keras.style_transfer import Pad, VGGPreprocessing
from advanced_keras.transformer import (
    PositionalEmbedding,
    TransformerDecoder,
    TransformerEncoder,
)


def ones(*shape, dtype="float32"):
    return np.ones(shape, dtype)


TOKENS, STATES, SOURCE = ones(2, 3, dtype="int64"), ones(2, 3, 4), ones(2, 5, 4)
IMAGES = ones(2, 8, 8, 3)
GOOD = {
    PositionalEmbedding: (
        {"sequence_length": 8, "vocab_size": 9, "embed_dim": 4},
        [TOKENS],
    ),
    MultiHeadAttention: ({"num_heads": 2}, [STATES, SOURCE]),
    TransformerEncoder: ({"embed_dim": 4, "dense_dim": 4, "num_heads": 2}, [STATES]),
    TransformerDecoder: (
        {"embed_dim": 4, "dense_dim": 4, "num_heads": 2},
        [STATES, SOURCE],
    ),
    blocks.EncoderBlock: ({"embed_dim": 4, "dense_dim": 4, "num_heads": 2}, [STATES]),
    Linear: ({"units": 2}, [STATES]),
    LayerNorm: ({}, [STATES]),
    Residual: ({"inner": keras.layers.Dense(4)}, [STATES]),
    Noise: ({"stddev": 0.1}, [STATES]),
    MovingStandardize: ({}, [STATES]),
    MaskMissing: ({}, [STATES]),
    MaskedMean: ({}, [STATES]),
    vae.Sampling: ({}, [[ones(2, 3), ones(2, 3)]]),
    ThreadedDense: ({"units": 2}, [STATES]),
    Thread: ({"layer": keras.layers.Dense(2)}, [STATES]),
    ReversibleDense: ({"n": 4, "units": 2}, [STATES]),
    ResizeConv: ({"filters": 2}, [IMAGES]),
    Pad: ({"width": 1}, [IMAGES]),
    VGGPreprocessing: ({}, [IMAGES]),
    factor_models.FillMissing: ({}, [STATES, ones(2, 3, dtype=bool)]),
}


def spec(name, expected):
    """What Keras says, from ``input_spec``."""
    return f"of layer '{name}[_0-9]*' is incompatible.*expected {expected}"


def rank(name, n):
    return spec(name, f"(min_)?ndim={n}")


def width(name, n):
    return spec(name, f"axis (-1|2) of input shape to have value {n}")


BAD = [
    # ranks
    (PositionalEmbedding, [TOKENS[0]], rank("positional_embedding", 2)),
    (PositionalEmbedding, [TOKENS[None]], rank("positional_embedding", 2)),
    (MultiHeadAttention, [STATES[0], SOURCE], rank("multi_head_attention", 3)),
    (MultiHeadAttention, [STATES[None], SOURCE], rank("multi_head_attention", 3)),
    (MultiHeadAttention, [STATES, SOURCE[0]], r"value must have shape .* got \(5, 4\)"),
    (TransformerEncoder, [STATES[0]], rank("transformer_encoder", 3)),
    (TransformerEncoder, [STATES[None]], rank("transformer_encoder", 3)),
    (TransformerDecoder, [STATES[0], SOURCE], rank("transformer_decoder", 3)),
    (TransformerDecoder, [STATES, SOURCE[0]], "encoder_outputs must have shape"),
    (Linear, [STATES[0, 0]], rank("linear", 2)),
    (LayerNorm, [STATES[0]], rank("layer_norm", 3)),
    (MovingStandardize, [STATES[0, 0]], rank("moving_standardize", 2)),
    (MaskMissing, [STATES[0]], rank("mask_missing", 3)),
    (MaskedMean, [STATES[0]], rank("masked_mean", 3)),
    (MaskedMean, [STATES[None]], rank("masked_mean", 3)),
    (ThreadedDense, [STATES[0, 0]], rank("threaded_dense", 2)),
    (ResizeConv, [IMAGES[0]], rank("resize_conv", 4)),
    (Pad, [IMAGES[0]], rank("pad", 4)),
    (VGGPreprocessing, [IMAGES[0]], rank("vgg_preprocessing", 4)),
    (
        factor_models.FillMissing,
        [STATES[0], ones(2, 3)],
        "characteristics must have shape",
    ),
    # last axis, and axes that two inputs share
    (MultiHeadAttention, [ones(2, 3, 6), SOURCE], width("multi_head_attention", 4)),
    (MultiHeadAttention, [STATES, ones(2, 5, 6)], width("key", 4)),
    (MultiHeadAttention, [STATES, ones(3, 5, 4)], "value must .* with B = 2"),
    (MultiHeadAttention, [STATES, SOURCE, ones(2, 4, 4)], "key must .* with S = 5"),
    (TransformerEncoder, [ones(2, 3, 1)], width("transformer_encoder", 4)),
    (TransformerDecoder, [ones(2, 3, 1), SOURCE], width("transformer_decoder", 4)),
    (TransformerDecoder, [STATES, ones(2, 5, 1)], "encoder_outputs must .* E = 4"),
    (TransformerDecoder, [STATES, ones(3, 5, 4)], "encoder_outputs must .* B = 2"),
    (Linear, [ones(2, 3, 5)], width("linear", 4)),
    (LayerNorm, [ones(2, 3, 1)], width("layer_norm", 4)),
    (Residual, [ones(2, 3, 1)], width("norm", 4)),
    (MovingStandardize, [ones(2, 3, 5)], width("moving_standardize", 4)),
    (vae.Sampling, [[ones(2, 3), ones(2, 1)]], "inputs must be a pair"),
    (vae.Sampling, [ones(2, 3)], "inputs must be a pair"),  # its rows: a pair too
    (vae.Sampling, [[ones(2, 3)] * 3], "inputs must be a pair"),
    (ThreadedDense, [ones(2, 5)], width("threaded_dense", 4)),
    (Thread, [ones(2, 5)], width("dense", 4)),
    (ReversibleDense, [ones(2, 3)], "inputs must have a last axis of 4"),
    (ResizeConv, [ones(2, 8, 8, 2)], width("resize_conv", 3)),
    (VGGPreprocessing, [ones(2, 8, 8, 1)], width("vgg_preprocessing", 3)),
    (factor_models.FillMissing, [STATES, ones(2, 1)], "present must .* N = 3"),
    # dtypes
    (PositionalEmbedding, [TOKENS + 0.9], "tokens must hold integers"),
    (PositionalEmbedding, [TOKENS > 0], "tokens must hold integers"),
    (PositionalEmbedding, [TOKENS, np.array(1.5)], "start must hold integers"),
    (TransformerEncoder, [STATES.astype(int)], "inputs must be floating-point"),
    (TransformerDecoder, [STATES, SOURCE.astype(int)], "encoder_outputs must be fl"),
    (Noise, [STATES.astype(int)], "inputs must be floating-point, got int64"),
    (Noise, [np.array([["a"]])], "inputs must be floating-point, got string"),
    (vae.Sampling, [[ones(2, 3), ones(2, 3, dtype=int)]], "log_var must be floating"),
]


@pytest.mark.parametrize(("kind", "bad", "words"), BAD)
def test_a_call_that_does_not_fit_is_refused_by_name(kind, bad, words):
    options, good = GOOD[kind]
    layer = kind(**options)
    layer(*good)
    with pytest.raises((ValueError, TypeError)) as refused:
        layer(*bad)
    assert re.search(words, str(refused.value), flags=re.DOTALL), refused.value


@pytest.mark.parametrize(
    ("kind", "bad", "words"),
    [
        (MultiHeadAttention, [STATES[0]], "query must have shape"),
        (MultiHeadAttention, [STATES, SOURCE[0]], "value must have shape"),
        (TransformerEncoder, [ones(2, 3, 6)], "inputs must have width embed_dim=4"),
        (TransformerDecoder, [STATES, ones(2, 5, 6)], "encoder_outputs must have sh"),
        (PositionalEmbedding, [TOKENS[0]], rank("positional_embedding", 2)),
    ],
)
@pytest.mark.parametrize("symbolic", [False, True])
def test_the_first_call_is_refused_too(kind, bad, words, symbolic):
    if symbolic:
        bad = [keras.KerasTensor(each.shape, each.dtype.name) for each in bad]
    with pytest.raises(ValueError, match=words):
        kind(**GOOD[kind][0])(*bad)


LONG = ones(2, 4, dtype=bool)
MASKS = {
    "mask": LONG,
    "query_mask": LONG,
    "value_mask": LONG,
    "key_mask": LONG,
    "attention_mask": ones(2, 3, 4, dtype=bool),
}


@pytest.mark.parametrize("name", MASKS)
def test_masks_of_another_shape_or_of_fractions_are_refused(name):
    layer = MultiHeadAttention(2)
    layer(STATES, SOURCE)
    with pytest.raises(ValueError, match=f"(?s){name} must have shape"):
        layer(STATES, SOURCE, **{name: MASKS[name]})
    # -inf for "forbidden" would be read as True: allowed
    additive = np.where(MASKS[name], 0.0, -np.inf)
    with pytest.raises(TypeError, match=f"(?s){name} must be boolean"):
        layer(STATES, SOURCE, **{name: additive})


@pytest.mark.parametrize("name", ["inputs_mask", "encoder_outputs_mask"])
def test_a_decoder_names_its_own_masks(name):
    layer = TransformerDecoder(4, 4, 2)
    with pytest.raises(ValueError, match=f"(?s){name} must have shape"):
        layer(STATES, SOURCE, **{name: LONG})


@pytest.mark.parametrize(
    ("mask", "error", "words"),
    [
        (ones(2, 3, 4, dtype=bool), ValueError, r"mask must .*\(2, 3, 5\), got \(2, 3"),
        (ones(7, 2, 3, 5, dtype=bool), ValueError, "mask must have shape"),
        (ones(2, 3, 5), TypeError, "mask must be boolean, got an array of float32"),
        ("yes", TypeError, "mask must be an array of numbers"),
    ],
)
def test_masks_of_attention_are_refused(mask, error, words):
    with pytest.raises(error, match=words):
        attention_weights(STATES, SOURCE, mask)
    with pytest.raises(error, match=words):
        scaled_dot_product_attention(STATES, SOURCE, SOURCE, mask)


def test_masks_may_broadcast_and_may_be_lists():
    allowed = [True, True, False, True, True]
    expected = attention_weights(STATES, SOURCE, np.tile(allowed, (2, 3, 1)))
    for mask in (allowed, [[allowed]], np.array(allowed, int)):
        np.testing.assert_array_equal(attention_weights(STATES, SOURCE, mask), expected)


def test_attention_refuses_other_leading_axes_and_integers():
    with pytest.raises(ValueError, match="query and key must fit"):
        attention_weights(STATES, ones(3, 5, 4))
    with pytest.raises(ValueError, match="query and key and value must fit"):
        scaled_dot_product_attention(STATES, SOURCE, ones(3, 5, 4))
    assert attention_weights(STATES, SOURCE[0]).shape == (2, 3, 5)  # broadcasts
    for pair in ((STATES.astype(int), SOURCE), (STATES, SOURCE.astype(int))):
        with pytest.raises(TypeError, match="must be floating-point"):
            attention_weights(*pair)


@pytest.mark.parametrize("length", [-1, 2.5, "3", None, True, [3], np.array([2, 3])])
def test_a_length_is_refused(length):
    with pytest.raises(ValueError, match="length must"):
        causal_mask(length)
    with pytest.raises(TypeError, match="length must hold integers"):
        causal_mask(ops.convert_to_tensor(2.5))


# -- lists stand for arrays wherever a check takes them

ROW, SQUARE, PICTURE = [[0.5, 1.0]], [[[0.5, 1.0], [2.0, 0.0]]], [[[[0.5], [1.0]]]]
LISTS = [
    (attention_weights, [SQUARE, SQUARE]),
    (scaled_dot_product_attention, [SQUARE, SQUARE, SQUARE]),
    (dense_threading.flatten, [SQUARE]),
    (lambda rows: dense_threading.unflatten(rows, (1, 1)), [ROW]),
    (dense_threading.thread_gradients, [SQUARE, SQUARE]),
    (style_transfer.gram, [PICTURE]),
    (style_transfer.style_loss, [SQUARE, SQUARE]),
    (style_transfer.content_loss, [PICTURE, PICTURE]),
    (style_transfer.total_variation, [PICTURE]),
    (feature_visualization.total_variation, [PICTURE]),
    (feature_visualization.blur, [PICTURE]),
    (feature_visualization.unit_step, [PICTURE]),
    (lambda x: feature_visualization.channel_mean(x, [0]), [PICTURE]),
    (vae.average, [ROW[0], ROW[0]]),
    (vae.kl_divergence, [ROW, ROW]),
    (factor_models.masked_error, [ROW, ROW]),
    (factor_models.canonical_correlations, [SQUARE[0], SQUARE[0]]),
    (lambda x: factor_models.principal_components(x, 1), [SQUARE[0]]),
    (lambda logits: translation.token_hits([[1, 0]], logits), [SQUARE]),
    (losses.linex, [ROW, ROW]),
    (losses.binary_focal, [ROW, ROW]),
    (autoencoder.squared_error_from_logits, [ROW, ROW]),
]


@pytest.mark.parametrize(("function", "lists"), LISTS)
def test_lists_give_what_arrays_give(function, lists):
    found = function(*lists)
    expected = function(*(np.asarray(each, "float32") for each in lists))
    for one, other in zip(
        found if isinstance(found, tuple) else [found],
        expected if isinstance(expected, tuple) else [expected],
        strict=True,
    ):
        np.testing.assert_allclose(one, other, rtol=1e-6)


def test_codes_of_integers_are_refused():
    for name in ("mean", "log_var"):
        codes = {"mean": ones(2, 3), "log_var": ones(2, 3), name: ones(2, 3, dtype=int)}
        with pytest.raises(TypeError, match=f"{name} must be floating-point"):
            vae.kl_divergence(**codes)
