"""Whatever comes where numbers are expected: it is taken, or refused by its name.

`test_arguments` draws wrong numbers and names. Here are the arrays (images, points,
returns, logits, masks), the models and functions, and the list of all that is public,
so that nothing is forgotten: each argument has a case, or a reason why it has none.
"""

import ast
import importlib
import inspect
import re
from pathlib import Path

import keras
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from keras import ops

from advanced_keras import (
    attention,
    autoencoder,
    blocks,
    conv_transpose,
    dense_threading,
    display,
    factor_models,
    feature_visualization,
    gan,
    layers,
    losses,
    scores,
    style_transfer,
    training,
    transformer,
    translation,
    vae,
    wgan_gp,
)
from advanced_keras.data import digits, panel
from test_arguments import CASES as NUMBERS

ROOT = Path(__file__).resolve().parents[1]

# -- what is drawn: no numbers at all, and a good array spoilt in one way

NOTHING = st.none()
FOREIGN = st.one_of(
    st.text(max_size=3),
    st.builds(object),
    st.just({}),
    st.just(np.array(["a", "b"])),
    st.just(np.array([object()])),
    st.just([[1.0], [1.0, 2.0]]),
)


def more_axes(good):
    """Too many axes."""
    return st.integers(1, 3).map(lambda n: good.reshape((1,) * n + good.shape))


def fewer_axes(good):
    """One axis too few."""
    return st.integers(0, good.ndim - 1).map(lambda axis: good.take(0, axis))


def longer(axis):
    """Another size on one axis."""

    def spoil(good):
        first = good.take([0], axis)
        return st.integers(1, 3).map(
            lambda n: np.concatenate([good] + [first] * n, axis)
        )

    return spoil


def empty(good):
    """No examples."""
    return st.just(good[:0])


def one_number(*values):
    """One number, anywhere, that can't be there."""

    def spoil(good):
        def put(place, value):
            bad = good.astype(float)
            bad.flat[place] = value
            return bad

        return st.builds(put, st.integers(0, good.size - 1), st.sampled_from(values))

    return spoil


RANK, MORE, FEWER = (more_axes, fewer_axes), (more_axes,), (fewer_axes,)
FIRST, SECOND, LAST = (longer(0),), (longer(1),), (longer(-1),)
EMPTY = (empty,)
FINITE = (one_number(np.nan, np.inf, -np.inf),)
SHADES = (*FINITE, one_number(-0.5, 1.5, 255.0))


def wrong_arrays(good, ways, optional):
    """Anything but numbers, and ``good`` spoilt in each of the ways."""
    some = [FOREIGN] if optional else [FOREIGN, NOTHING]
    return st.one_of(*some, *(way(np.asarray(good)) for way in ways))


def numbers(*shape, seed=0):
    """Numbers from 0 to 1."""
    return np.random.default_rng(seed).random(shape).astype("float32")


# -- good calls, and for each argument how it is spoilt

ROWS, PAIR = numbers(3, 4), numbers(3, 2)
IMAGES, LOGIT = numbers(2, 8, 8, 3), numbers(3, 1)
SQUARE = numbers(2, 4, 4)
QUERY, KEY, VALUE = numbers(2, 3, 4), numbers(2, 5, 4), numbers(2, 5, 6)
TOKENS = np.array([[1, 2, 3], [2, 1, 0]])
DIGITS = digits.draw_digits(6, seed=0)
PANEL, TRUTH = panel.simulate_panel(num_dates=30, num_assets=20, missing=0.0)
RETURNS, PRESENT = PANEL.returns, PANEL.present
FACTORS, BETAS = TRUTH.factors, TRUTH.betas
MOMENTS, CROSS = factor_models.moments(RETURNS, PANEL.characteristics, PRESENT)
GAMMA = np.eye(len(PANEL.names), 2)
RING, LINE = gan.Ring(), wgan_gp.build_line_critic(dimensions=2)
JUDGE = object.__new__(scores.Judge)
JUDGE.model = scores.build_judge(0)
VAE = vae.build_vae(latent_dim=2, filters=(2,), image_shape=(8, 8, 1), width=4)
GREY = numbers(3, 8, 8, 1)
LINEAR_VAE = vae.build_linear_vae(n=4, latent_dim=2)
GAUSSIAN = vae.LinearGaussian.of(LINEAR_VAE)
NETWORK = feature_visualization.build_network()
EXTRACTOR = style_transfer.build_extractor("random", scales=1, filters=2, kernel_size=3)
SIZES = {"embed_dim": 4, "dense_dim": 4, "num_heads": 2, "sequence_length": 4}
MODELS = transformer.build_transformer(
    source_vocab_size=9, target_vocab_size=9, **SIZES
)
DECODING = translation.Decoding(MODELS.transformer, start=1, end=2)
STACK = blocks.build_stack(depth=1, length=3, symbols=5, embed_dim=4, dense_dim=4)
ANSWERS = dict.fromkeys(blocks.QUESTIONS, TOKENS)
LABELS = np.array([1, 0])
CODES = {"mean": PAIR, "log_var": PAIR}
TWO_SETS = {"x": PAIR, "generated": PAIR + 1}
REGRESSION = {"returns": RETURNS, "present": PRESENT}

ARRAYS = {
    attention.attention_weights: (
        {"query": QUERY, "key": KEY},
        {"query": LAST, "key": LAST},
    ),
    attention.scaled_dot_product_attention: (
        {"query": QUERY, "key": KEY, "value": VALUE},
        {"query": LAST, "key": LAST + SECOND, "value": SECOND},
    ),
    autoencoder.squared_error_from_logits: (
        {"images": GREY, "logits": GREY},
        {"images": RANK + LAST, "logits": RANK + LAST},
    ),
    autoencoder.cross_entropy_from_logits: (
        {"images": GREY, "logits": GREY},
        {"images": RANK + LAST, "logits": RANK + LAST},
    ),
    autoencoder.grey_entropy: ({"images": GREY}, {"images": SHADES}),
    blocks.states_by_depth: ({"stack": STACK, "tokens": TOKENS}, {"tokens": RANK}),
    blocks.gradient_norms: (
        {"stack": STACK, "tokens": TOKENS, "answers": ANSWERS},
        {"tokens": RANK, "answers": ()},
    ),
    conv_transpose.conv_matrix: (
        {"kernel": numbers(3, 2, 2), "input_size": 8},
        {"kernel": FEWER + EMPTY},
    ),
    conv_transpose.checkerboard_share: (
        {"images": GREY, "period": 2},
        {"images": RANK + FINITE},
    ),
    digits.Digits: (
        {"images": DIGITS.images, "labels": DIGITS.labels},
        {"images": RANK + LAST + FIRST, "labels": RANK + FIRST},
    ),
    panel.Panel: (
        {name: getattr(PANEL, name) for name in (*panel.BY_DATE, "assets", "names")},
        {
            "returns": RANK + FIRST + LAST + FINITE,
            "characteristics": RANK + FIRST + LAST + FINITE,
            "present": RANK + FIRST + LAST,
        },
    ),
    panel.true_betas: (
        {"Z": PANEL.characteristics, "design": "linear"},
        {"Z": ()},
    ),
    panel.rank_transform: (
        {"characteristics": PANEL.characteristics, "present": PRESENT},
        {"characteristics": RANK + FIRST, "present": RANK + FIRST},
    ),
    dense_threading.flatten: ({"x": QUERY}, {"x": ()}),
    dense_threading.unflatten: (
        {"rows": numbers(6, 2), "leading": (2, 3)},
        {"rows": FIRST},
    ),
    dense_threading.thread_gradients: (
        {"x": QUERY, "delta": numbers(2, 3, 5)},
        {"x": MORE + FIRST, "delta": MORE + FIRST},
    ),
    dense_threading.diagnose: (
        {"function": ops.square, "x": QUERY},
        {"x": FINITE},
    ),
    dense_threading.mixes_rows: (
        {"function": ops.square, "x": QUERY},
        {"x": FINITE},
    ),
    dense_threading.jacobian_blocks: (
        {"function": ops.square, "x": numbers(2, 3)},
        {"x": RANK},
    ),
    display.mosaic: ({"images": GREY, "columns": 2}, {"images": EMPTY + FINITE}),
    display.Film: (
        {"frames": GREY[..., 0], "labels": ["a", "b", "c"], "alt": "three"},
        {"frames": RANK + EMPTY + SHADES},
    ),
    display.film: (
        {"frames": GREY[..., 0], "labels": ["a", "b", "c"], "alt": "three"},
        {"frames": RANK + EMPTY + SHADES},
    ),
    factor_models.masked_error: (
        {"y_true": ROWS, "y_pred": ROWS},
        {"y_true": RANK + LAST, "y_pred": RANK + LAST},
    ),
    factor_models.time_series_regression: (
        {**REGRESSION, "factors": FACTORS},
        {
            "returns": RANK + FIRST + LAST,
            "factors": RANK + FIRST + FINITE,
            "present": RANK + FIRST + LAST,
        },
    ),
    factor_models.cross_sectional_regression: (
        {**REGRESSION, "betas": BETAS},
        {
            "returns": RANK + FIRST + LAST,
            "betas": RANK + FIRST + SECOND,
            "present": RANK + FIRST + LAST,
        },
    ),
    factor_models.fama_macbeth: (
        {**REGRESSION, "betas": BETAS},
        {
            "returns": RANK + FIRST + LAST,
            "betas": RANK + FIRST + SECOND,
            "present": RANK + FIRST + LAST,
        },
    ),
    factor_models.moments: (
        {**REGRESSION, "X": PANEL.characteristics},
        {
            "returns": RANK + FIRST + LAST,
            "X": RANK + FIRST + SECOND,
            "present": RANK + FIRST + LAST,
        },
    ),
    factor_models.panel_r2: (
        {**REGRESSION, "predicted": 0 * RETURNS},
        dict.fromkeys(["returns", "predicted", "present"], RANK + FIRST + LAST),
    ),
    factor_models.canonical_correlations: (
        {"F": FACTORS, "G": FACTORS},
        {"F": RANK + FIRST + FINITE, "G": RANK + FIRST + FINITE},
    ),
    factor_models.principal_components: (
        {"x": FACTORS, "num_factors": 1},
        {"x": RANK + FINITE},
    ),
    factor_models.past_means: ({"factors": FACTORS}, {"factors": RANK}),
    factor_models.solve_factors: (
        {"W": MOMENTS, "q": CROSS, "gamma": GAMMA},
        {"W": RANK + FIRST + LAST, "q": RANK + FIRST + LAST, "gamma": RANK + FIRST},
    ),
    factor_models.solve_gamma: (
        {"W": MOMENTS, "q": CROSS, "factors": FACTORS},
        {"W": RANK + FIRST + LAST, "q": RANK + FIRST + LAST, "factors": RANK + FIRST},
    ),
    factor_models.fit_static: (
        {"panel": PANEL, "weights": GAMMA},
        {"weights": RANK + FIRST + FINITE},
    ),
    feature_visualization.channel_mean: (
        {"features": IMAGES, "filters": LABELS},
        {"features": (), "filters": RANK + FIRST},
    ),
    feature_visualization.total_variation: ({"images": IMAGES}, {"images": RANK}),
    feature_visualization.blur: ({"images": IMAGES}, {"images": RANK}),
    feature_visualization.unit_step: ({"gradient": IMAGES}, {"gradient": RANK}),
    feature_visualization.pixel_gradient: (
        {"utility": lambda x: ops.sum(x**2, axis=(1, 2, 3)), "images": IMAGES},
        {"images": ()},
    ),
    feature_visualization.colour_metric: ({"images": IMAGES}, {"images": RANK}),
    feature_visualization.predict: (
        {"network": NETWORK, "images": IMAGES},
        {"images": RANK + LAST + EMPTY + FINITE},
    ),
    feature_visualization.mean_activations: (
        {"extractor": NETWORK, "images": IMAGES},
        {"images": RANK + LAST + EMPTY + FINITE},
    ),
    feature_visualization.saliency: (
        {"network": NETWORK, "images": IMAGES, "labels": LABELS},
        {"images": RANK + LAST + EMPTY + FINITE, "labels": RANK + FIRST},
    ),
    feature_visualization.fgsm: (
        {"network": NETWORK, "images": IMAGES, "labels": LABELS, "epsilon": 0.1},
        {"images": RANK + LAST + EMPTY + SHADES, "labels": RANK + FIRST},
    ),
    gan.discriminator_loss: (
        {"real_logits": LOGIT, "fake_logits": LOGIT},
        {"real_logits": (), "fake_logits": ()},
    ),
    gan.minimax_loss: ({"fake_logits": LOGIT}, {"fake_logits": ()}),
    gan.non_saturating_loss: ({"fake_logits": LOGIT}, {"fake_logits": ()}),
    gan.optimal_discriminator: (
        {"p_data": ROWS, "p_model": ROWS},
        {"p_data": RANK + LAST, "p_model": RANK + LAST},
    ),
    gan.jensen_shannon: (
        {"p_data": ROWS, "p_model": ROWS, "step": 0.1},
        {"p_data": RANK + LAST + FINITE, "p_model": RANK + LAST + FINITE},
    ),
    RING.density: ({"points": PAIR}, {"points": LAST}),
    RING.cover: ({"points": PAIR}, {"points": RANK + LAST + EMPTY + FINITE}),
    losses.align: ({"y_true": ROWS, "y_pred": ROWS}, {"y_true": RANK, "y_pred": RANK}),
    losses.pinball: (
        {"y_true": LOGIT, "y_pred": PAIR, "quantiles": [0.1, 0.9]},
        {"y_true": MORE + LAST, "y_pred": MORE + LAST},
    ),
    losses.binary_focal: (
        {"y_true": ROWS, "logits": ROWS},
        {"y_true": RANK + LAST, "logits": RANK + LAST},
    ),
    losses.focal_probability: ({"logits": ROWS}, {"logits": ()}),
    losses.linex: (
        {"y_true": ROWS, "y_pred": ROWS},
        {"y_true": RANK + LAST, "y_pred": RANK + LAST},
    ),
    losses.sharpe_ratio: (
        {"returns": numbers(5), "sample_weight": numbers(5)},
        {"returns": RANK, "sample_weight": FIRST},
    ),
    scores.moments: ({"features": ROWS}, {"features": RANK + EMPTY + FINITE}),
    JUDGE.features: (
        {"images": DIGITS.images},
        {"images": RANK + LAST + EMPTY + SHADES},
    ),
    JUDGE.probabilities: (
        {"images": DIGITS.images},
        {"images": RANK + LAST + EMPTY + SHADES},
    ),
    style_transfer.gram: ({"features": IMAGES}, {"features": RANK}),
    style_transfer.style_loss: (
        {"G": SQUARE, "A": SQUARE},
        {"G": RANK + LAST, "A": RANK + LAST},
    ),
    style_transfer.content_loss: (
        {"F": IMAGES, "P": IMAGES},
        {"F": RANK + LAST, "P": RANK + LAST},
    ),
    style_transfer.total_variation: ({"images": IMAGES}, {"images": RANK}),
    style_transfer.StyleObjective: (
        {"extractor": EXTRACTOR, "style": IMAGES[:1], "content": IMAGES[:1]},
        {
            "style": RANK + FIRST + LAST + SHADES,
            "content": RANK + FIRST + LAST + SHADES,
        },
    ),
    training.batch_size: ({"x": ROWS}, {"x": ()}),
    translation.target_mask: ({"y_true": TOKENS}, {"y_true": RANK}),
    translation.token_crossentropy: (
        {"y_true": TOKENS, "logits": numbers(2, 3, 9)},
        {"y_true": RANK + LAST, "logits": RANK + SECOND},
    ),
    translation.token_hits: (
        {"y_true": TOKENS, "logits": numbers(2, 3, 9)},
        {"y_true": RANK + LAST, "logits": RANK + SECOND},
    ),
    translation.cross_attention: (
        {
            "transformer": MODELS.transformer,
            "source": TOKENS,
            "written": TOKENS,
            "start": 1,
        },
        {"source": RANK + FIRST, "written": RANK + FIRST},
    ),
    translation.decode_plain: (
        {
            "transformer": MODELS.transformer,
            "source": TOKENS[:1],
            "start": 1,
            "end": 2,
            "length": 2,
        },
        {"source": RANK + FIRST},
    ),
    translation.format_dataset: (
        {"source_ids": TOKENS, "target_ids": TOKENS},
        {"source_ids": RANK + FIRST, "target_ids": RANK + FIRST},
    ),
    DECODING.greedy: ({"source": TOKENS}, {"source": RANK}),
    DECODING.beam: ({"source": TOKENS, "width": 2}, {"source": RANK}),
    vae.average: (
        {"each": numbers(3), "sample_weight": numbers(3)},
        {"each": RANK, "sample_weight": FIRST},
    ),
    vae.kl_divergence: (CODES, {"mean": RANK + LAST, "log_var": RANK + LAST}),
    vae.kl_by_dimension: (CODES, {"mean": RANK + LAST, "log_var": RANK + LAST}),
    vae.encode: (
        {"vae": VAE, "images": GREY},
        {"images": RANK + LAST + EMPTY + FINITE},
    ),
    vae.log_weights: (
        {"vae": VAE, "images": GREY, "draws": 2},
        {"images": RANK + LAST + EMPTY + SHADES},
    ),
    vae.active_dimensions: (
        {"vae": VAE, "images": GREY},
        {"images": RANK + LAST + EMPTY + FINITE},
    ),
    vae.kl_shares: (
        {"vae": VAE, "images": GREY},
        {"images": RANK + LAST + EMPTY + FINITE},
    ),
    VAE.generate: ({"z": PAIR}, {"z": RANK + LAST}),
    vae.share_alone: (
        {"codes": numbers(8, 2), "values": np.arange(8) % 2},
        {"codes": FIRST + FINITE, "values": RANK + FIRST},
    ),
    vae.interpolate: (
        {"start": numbers(2), "stop": numbers(2), "steps": 3},
        {"start": RANK + LAST + FINITE, "stop": RANK + LAST + FINITE},
    ),
    GAUSSIAN.log_likelihood: ({"x": ROWS}, {"x": RANK + LAST}),
    GAUSSIAN.elbo: (
        {"x": ROWS, **CODES},
        {"x": RANK + LAST, "mean": RANK + LAST, "log_var": RANK + LAST},
    ),
    vae.LinearGaussian: (
        {"W": numbers(4, 2), "b": numbers(4), "noise": 1.0},
        {"W": RANK + FIRST + FINITE, "b": RANK + FIRST + FINITE},
    ),
    wgan_gp.interpolation_weights: ({"x": PAIR}, {"x": ()}),
    wgan_gp.interpolate: (
        {**TWO_SETS, "alpha": LOGIT},
        {"x": RANK + LAST, "generated": RANK + LAST, "alpha": RANK + FIRST},
    ),
    wgan_gp.safe_norm: ({"gradients": PAIR}, {"gradients": ()}),
    wgan_gp.slopes: ({"critic": LINE, "x": PAIR}, {"x": LAST}),
    wgan_gp.gradient_penalty: ({"norms": numbers(3)}, {"norms": MORE}),
    wgan_gp.one_sided_penalty: ({"norms": numbers(3)}, {"norms": MORE}),
    wgan_gp.train_critic: (
        {"critic": LINE, **TWO_SETS, "steps": 1, "batch": 2},
        {"x": RANK + LAST + EMPTY + FINITE, "generated": RANK + LAST + EMPTY + FINITE},
    ),
    wgan_gp.measure: (
        {"critic": LINE, **TWO_SETS, "count": 4},
        {"x": RANK + LAST + EMPTY + FINITE, "generated": RANK + LAST + EMPTY + FINITE},
    ),
    wgan_gp.steepest_rise: (
        {"scores": numbers(3), "generated_scores": numbers(3), **TWO_SETS},
        {
            "scores": RANK + FIRST + FINITE,
            "generated_scores": RANK + FIRST + FINITE,
            "x": MORE + LAST + FIRST,
            "generated": MORE + LAST + FIRST,
        },
    ),
}
OPTIONAL = {"sample_weight", "content"}
LIGHT = settings(
    max_examples=12, deadline=None, suppress_health_check=list(HealthCheck)
)
PAIRS = [
    pytest.param(function, argument, id=f"{function.__qualname__}-{argument}")
    for function, (_, wrong) in ARRAYS.items()
    for argument in wrong
]


@pytest.mark.parametrize(("function", "argument"), PAIRS)
@LIGHT
@given(data=st.data())
def test_an_array_that_does_not_fit_is_refused_by_name(function, argument, data):
    good, wrong = ARRAYS[function]
    strategy = wrong_arrays(good[argument], wrong[argument], argument in OPTIONAL)
    value = data.draw(strategy, label=argument)
    with pytest.raises((ValueError, TypeError), match=rf"\b{argument}\b"):
        function(**{**good, argument: value})


@pytest.mark.parametrize("function", ARRAYS, ids=lambda f: f.__qualname__)
def test_the_arrays_that_are_spoilt_are_taken_unspoilt(function):
    function(**ARRAYS[function][0])


# -- models, layers, functions, tables of returns: anything else is refused

OTHER_KINDS = st.one_of(
    st.none(), st.text(max_size=3), st.integers(-3, 3), st.builds(object)
)
WALK = {
    "panel": PANEL,
    "folds": factor_models.make_folds(30, train=12, validation=6, test=6),
    "fit": lambda train, validation: factor_models.fit_pca(train, 1),
}
DENSE = keras.layers.Dense(2)
CONV = keras.layers.Conv1D(2, 3)
CONV.build((None, 8, 1))
ENCODER = autoencoder.build_encoder(2, image_shape=(8, 8, 1), filters=(2,))
DECODER = autoencoder.build_decoder(2, image_shape=(8, 8, 1), filters=(2,))
BATCHES = [(ROWS, LOGIT)]
BY_HAND = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
DECODED = {"transformer": MODELS.transformer, "source": TOKENS[:1], "start": 1}
SENTENCES = {"references": ["el gato"], "hypotheses": ["el gato"]}

OBJECTS = {
    autoencoder.build_autoencoder: (
        {"encoder": ENCODER, "decoder": DECODER},
        ["encoder", "decoder"],
    ),
    blocks.blocks_of: ({"stack": STACK}, ["stack"]),
    blocks.states_by_depth: ({"stack": STACK, "tokens": TOKENS}, ["stack"]),
    blocks.gradient_norms: (
        {"stack": STACK, "tokens": TOKENS, "answers": ANSWERS},
        ["stack"],
    ),
    conv_transpose.transpose_of: ({"conv": CONV, "input_size": 8}, ["conv"]),
    dense_threading.diagnose: ({"function": DENSE, "x": QUERY}, ["function"]),
    dense_threading.mixes_rows: ({"function": DENSE, "x": QUERY}, ["function"]),
    dense_threading.jacobian_blocks: (
        {"function": ops.square, "x": ROWS},
        ["function"],
    ),
    dense_threading.thread: ({"function": DENSE}, ["function"]),
    factor_models.managed_portfolios: ({"panel": PANEL}, ["panel"]),
    factor_models.examples: ({"panel": PANEL}, ["panel"]),
    factor_models.fit_market: ({"panel": PANEL}, ["panel"]),
    factor_models.fit_pca: ({"panel": PANEL, "num_factors": 1}, ["panel"]),
    factor_models.fit_ipca: ({"panel": PANEL, "num_factors": 1}, ["panel"]),
    factor_models.fit_static: ({"panel": PANEL, "weights": GAMMA}, ["panel"]),
    factor_models.model_r2: (
        {"model": factor_models.fit_market(PANEL), "panel": PANEL},
        ["model", "panel"],
    ),
    factor_models.walk_forward: (WALK, ["panel", "folds", "fit"]),
    feature_visualization.pixel_gradient: (
        {"utility": lambda x: ops.sum(x, axis=(1, 2, 3)), "images": IMAGES},
        ["utility"],
    ),
    feature_visualization.Ascent: (
        {"extractor": feature_visualization.feature_extractor(NETWORK, "logits")},
        ["extractor", "objective"],
    ),
    feature_visualization.feature_extractor: (
        {"network": NETWORK, "layer": "logits"},
        ["network", "layer"],
    ),
    feature_visualization.shuffled: (
        {"network": NETWORK, "names": ["logits"]},
        ["network"],
    ),
    feature_visualization.predict: (
        {"network": NETWORK, "images": IMAGES},
        ["network"],
    ),
    gan.observe: ({"network": LINE, "inputs": PAIR}, ["network"]),
    layers.Residual: ({"inner": DENSE}, ["inner"]),
    scores.frechet_distance: (
        {"one": (np.zeros(2), np.eye(2)), "other": (np.zeros(2), np.eye(2))},
        ["one", "other"],
    ),
    style_transfer.pick: (
        {"model": BY_HAND, "names": [BY_HAND.layers[0].name]},
        ["model"],
    ),
    style_transfer.StyleObjective: (
        {"extractor": EXTRACTOR, "style": IMAGES[:1]},
        ["extractor"],
    ),
    training.train_by_hand: (
        {
            "model": BY_HAND,
            "optimizer": keras.optimizers.SGD(),
            "loss_fn": keras.losses.MeanSquaredError(),
            "batches": BATCHES,
            "epochs": 1,
        },
        ["model", "loss_fn", "batches"],
    ),
    transformer.split_transformer: (
        {"transformer": MODELS.transformer},
        ["transformer"],
    ),
    translation.decode_plain: (
        {**DECODED, "end": 2, "length": 2},
        ["transformer"],
    ),
    translation.cross_attention: ({**DECODED, "written": TOKENS[:1]}, ["transformer"]),
    translation.Decoding: (
        {"transformer": MODELS.transformer, "start": 1, "end": 2},
        ["transformer"],
    ),
    translation.bleu: (SENTENCES, ["references", "hypotheses"]),
    translation.exact_match: (SENTENCES, ["references", "hypotheses"]),
    vae.VAE: (
        {"encoder": VAE.encoder, "decoder": VAE.decoder},
        ["encoder", "decoder"],
    ),
    vae.encode: ({"vae": VAE, "images": GREY}, ["vae"]),
    vae.sample_prior: ({"vae": VAE, "count": 2}, ["vae"]),
    vae.factors_of: ({"digits": DIGITS}, ["digits"]),
    wgan_gp.slopes: ({"critic": LINE, "x": PAIR}, ["critic"]),
    wgan_gp.measure: ({"critic": LINE, **TWO_SETS, "count": 4}, ["critic"]),
    wgan_gp.train_critic: (
        {"critic": LINE, **TWO_SETS, "steps": 1, "batch": 2},
        ["critic", "penalty"],
    ),
}
OBJECT_PAIRS = [
    pytest.param(function, argument, id=f"{function.__qualname__}-{argument}")
    for function, (_, wrong) in OBJECTS.items()
    for argument in wrong
]


@pytest.mark.parametrize(("function", "argument"), OBJECT_PAIRS)
@LIGHT
@given(value=OTHER_KINDS)
def test_an_object_of_another_kind_is_refused_by_name(function, argument, value):
    good = OBJECTS[function][0]
    with pytest.raises((ValueError, TypeError), match=rf"\b{argument}\b"):
        function(**{**good, argument: value})


# -- nothing is forgotten

RECORD = "a record that functions of the package fill and return"
KERAS = "its arguments are those of a Keras class, which checks them"
LOOKS = "shows or traces what it is given; refusals in the tests of its module"
WORDS = "words of a grammar; refusals in test_data_sentences"
FILES = "reads a file or a download; refusals in the tests of its module"
GRAPH = "symbolic tensors go straight into layers of Keras"
PROCESSES = "needs devices or processes of its own; see test_distributed"
SETTLED = "settings that reach a function or layer which is drawn here"


def rules(test):
    """Refusals one by one, in a test of its module: ``test_gan::test_...``."""
    return f"refusals one by one in {test}"


TEXTS = rules("test_translation::test_bad_words_are_refused_by_name")
FACTORS_OF = rules("test_vae::test_factors_are_refused_where_there_are_none")

REASONS = {
    "attention": {"causal_mask": rules("test_layer_calls::test_a_length_is_refused")},
    "autoencoder": {
        **dict.fromkeys(["extract_features", "paint_image"], GRAPH),
        "initializers": rules("test_autoencoder::test_initializers_are_refused"),
    },
    "blocks": {
        **dict.fromkeys(["Neighbours", "GradientNorms"], RECORD),
        "EncoderBlock": SETTLED,
        "FusedAdam": KERAS,
    },
    "conv_transpose": {
        "output_padding_for": rules("test_conv_transpose::test_bad_input_is_named")
    },
    "data.sentences": {
        **dict.fromkeys(
            "Noun Verb Phrase SentenceRecord SentencePairs plural agree contract "
            "english_verb spanish_verb generate split_records".split(),
            WORDS,
        ),
        "read_pairs": FILES,
    },
    "data.digits": {
        "draw_digits": rules("test_data_digits::test_digits_name_a_bad_count"),
        "draw_digit": rules("test_data_digits::test_one_digit_names_what_is_wrong"),
    },
    "data.panel": {"Truth": RECORD, "load_panel": FILES},
    "dense_threading": {
        **dict.fromkeys(["Diagnosis", "ThreadingSteps"], RECORD),
        "flat_index": rules(
            "test_dense_threading::test_numbering_refuses_an_index_outside"
        ),
        "leading_index": rules(
            "test_dense_threading::test_numbering_refuses_a_row_that_is_not_there"
        ),
    },
    "display": dict.fromkeys(
        "use_style Picture show draw_dot Table table as_inline".split(), LOOKS
    ),
    "distributed": dict.fromkeys(
        "GlobalMeanModel GlobalMeanStep ReplicaSeed all_reduce clip_sum "
        "cluster_config distribute launch mirrored split_cpu train".split(),
        PROCESSES,
    ),
    "explorers": dict.fromkeys(
        "LatentPlane ThreadingExplorer latent_plane threading_explorer".split(), LOOKS
    ),
    "factor_models": {
        **dict.fromkeys(
            "IPCA Autoencoder Ensemble FactorModel Fold Premia StaticModel "
            "WalkForward".split(),
            RECORD,
        ),
        "FillMissing": GRAPH,
        "MaskedMeanSquaredError": KERAS,
        "make_folds": rules("test_factor_models::test_windows_are_refused"),
        "make_model": "the model of the notes, line by line: Keras checks",
        "minibatches": SETTLED,
    },
    "feature_visualization": {
        **dict.fromkeys(["Found", "Scenes"], RECORD),
        "build_network": "has no arguments",
        "load_scenes": rules("test_feature_visualization::test_scenes_are_refused"),
    },
    "gan": {"PairedOptimizer": KERAS},
    "interactive": dict.fromkeys("names assets widget as_json escaped".split(), LOOKS),
    "layers": dict.fromkeys(["MaskMissing", "MaskedMean"], "has no arguments"),
    "losses": {"NegativeSharpe": KERAS},
    "progress": dict.fromkeys("Bar progress Progress".split(), LOOKS),
    "scores": {
        "Score": RECORD,
        "Judge": rules("test_scores::test_the_judge_refuses"),
        "build_judge": SETTLED,
    },
    "style_transfer": {
        **dict.fromkeys(
            ["Pad", "Painter"], rules("test_style_transfer::test_bad_input_is_named")
        ),
        "VGGPreprocessing": "has no arguments",
        "build_extractor": SETTLED,
        "load_image": FILES,
        "vgg19_features": FILES,
    },
    "tracing": {
        **dict.fromkeys("Bound Edge ModelBinding Name Output Step".split(), RECORD),
        **dict.fromkeys(
            "Style Trace Tracer plot_model trace trace_model trace_source".split(),
            LOOKS,
        ),
    },
    "training": {
        **dict.fromkeys("Change Event Payments Product StepRecord".split(), RECORD),
        **dict.fromkeys(["StandardModel", "StandardStep"], KERAS),
        "WeightedModel": rules("test_training::test_bad_class_weight"),
        "global_norm": rules("test_training::test_bad_input_of_functions"),
        "record_step": LOOKS,
    },
    "transformer": {
        "Transformer": RECORD,
        "DecoderModel": KERAS,
        **dict.fromkeys(
            "TransformerDecoder build_encoder build_decoder build_transformer".split(),
            SETTLED,
        ),
    },
    "translation": {
        **dict.fromkeys("MaskedCrossentropy TokenAccuracy TokenLoss".split(), KERAS),
        "Translator": rules(
            "test_translation::test_bad_decoding_arguments_are_refused"
        ),
        **dict.fromkeys(
            "join_tokens make_dataset make_vectorizations mark never_written normalize "
            "standardize_text with_mistakes".split(),
            TEXTS,
        ),
    },
    "vae": {
        "GaussianVAE": SETTLED,
        "Sampling": rules("test_vae::test_sampling_refuses_what_is_no_pair"),
        **dict.fromkeys(["build_encoder", "build_decoder"], SETTLED),
        "latent_plane": rules("test_vae::test_latent_plane_is_a_grid_of_quantiles"),
        **dict.fromkeys("redraw new_values share_redrawn".split(), FACTORS_OF),
    },
    "wgan_gp": {"Distance": RECORD},
}


def public():
    """Every function and class of the API pages, by module and name."""
    pages = sorted((ROOT / "book" / "api").glob("*.md"))
    text = "\n".join(page.read_text(encoding="utf-8") for page in pages)
    for module in re.findall(r"automodule:: (\S+)", text):
        found = vars(importlib.import_module(module))
        own = [n for n in found if getattr(found[n], "__module__", None) == module]
        for name in found.get("__all__", own):
            if name[0] != "_" and callable(found[name]):
                yield module.removeprefix("advanced_keras."), name, found[name]


def defined_tests(file):
    """Each test of a file: its name, and its text with what is drawn for it."""
    text = (ROOT / "tests" / f"{file}.py").read_text(encoding="utf-8")
    for node in ast.parse(text).body:
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
            yield node.name, ast.unparse(node)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        pytest.param(name, reason, id=f"{module}.{name}")
        for module, names in REASONS.items()
        for name, reason in names.items()
        if "::" in reason
    ],
)
def test_the_test_that_a_reason_names_is_there(name, reason):
    """And it calls the function, and expects to be refused."""
    file, test = reason.split()[-1].split("::")
    text = dict(defined_tests(file))[test]
    assert re.search(rf"\b{name}\b", text) and "pytest.raises" in text


def test_every_public_function_is_drawn_or_has_a_reason():
    drawn = {id(getattr(f, "__func__", f)) for f in (*NUMBERS, *ARRAYS, *OBJECTS)}
    found = list(public())
    assert len(found) > 250
    forgotten, idle = [], {(m, n) for m, names in REASONS.items() for n in names}
    for module, name, value in found:
        excused = name in REASONS.get(module, {})
        idle.discard((module, name))
        if (id(value) in drawn) == excused:
            forgotten.append(f"{module}.{name}: {'both' if excused else 'neither'}")
    assert not forgotten, forgotten
    assert not idle, f"reasons without a function: {sorted(idle)}"


# -- seeds


def seeds():
    """Each public function with a seed that has a default, and this default."""
    for module, name, value in public():
        known = inspect.signature(value).parameters
        if "seed" in known and known["seed"].default is not inspect.Parameter.empty:
            yield f"{module}.{name}", known["seed"].default


def test_a_seed_is_0_if_none_is_given():
    """Or None, where Keras's own generator is to decide: never a number of its own."""
    found = dict(seeds())
    assert len(found) > 30
    assert {name: s for name, s in found.items() if s not in (0, None)} == {}
    assert all(type(seed) in (int, type(None)) for seed in found.values())


# with 0, twice the same numbers: a seed that is read is one that is used
SEEDED = {
    "vae.log_weights": lambda **seed: vae.log_weights(VAE, GREY, 2, **seed),
    "vae.new_values": lambda **seed: vae.new_values("label", 9, **seed),
    "vae.sample_prior": lambda **seed: vae.sample_prior(VAE, 3, **seed),
    "vae.share_redrawn": lambda **seed: vae.share_redrawn(
        lambda images: images.reshape(len(images), -1), DIGITS, "label", **seed
    ),
    "data.panel.simulate_panel": lambda **seed: (
        panel.simulate_panel(num_dates=12, num_assets=5, **seed)[0].returns
    ),
    "style_transfer.noise_image": lambda **seed: style_transfer.noise_image(
        (1, 8, 8, 3), **seed
    ),
}


@pytest.mark.parametrize("name", SEEDED)
def test_the_seed_that_is_not_given_is_0(name):
    call = SEEDED[name]
    assert dict(seeds())[name] == 0
    np.testing.assert_array_equal(call(), call(seed=0))
    assert not np.array_equal(call(), call(seed=1))
