"""Whatever comes for an argument: it is taken, or refused by its name.

For each public function a call that works, and for its arguments what they must be.
Hypothesis draws everything else.
"""

import math

import keras
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from advanced_keras import (
    attention,
    autoencoder,
    blocks,
    conv_transpose,
    dense_threading,
    display,
    feature_visualization,
    gan,
    layers,
    losses,
    style_transfer,
    training,
    transformer,
    translation,
    vae,
    wgan_gp,
)
from advanced_keras.data import digits, panel, sentences
from advanced_keras.factor_models import autoencoder as factor_autoencoder
from advanced_keras.factor_models import ipca

# -- what is drawn: wrong kinds, and numbers out of range

KINDS = st.one_of(
    st.text(max_size=3),
    st.binary(max_size=2),
    st.just(math.nan),
    st.just([]),
    st.just({}),
    st.builds(object),
)
TRUTHS = st.booleans()
FRACTIONS = st.floats(0.01, 9.99).filter(lambda x: x != int(x))
INFINITE = st.sampled_from([math.inf, -math.inf])
BELOW = st.integers(-(10**9), -1)


def at_least(least):
    """Anything but an integer of at least ``least``."""
    low = st.integers(-(10**9), least - 1)
    return st.one_of(KINDS, TRUTHS, FRACTIONS, INFINITE, low, st.none())


def or_none(strategy):
    """The same, where None has a meaning."""
    return strategy.filter(lambda value: value is not None)


whole = at_least(1)
positive = st.one_of(
    KINDS, st.none(), INFINITE, st.floats(max_value=0.0, allow_nan=False)
)
share = st.one_of(
    KINDS,
    st.none(),
    INFINITE,
    st.floats(max_value=-1e-9, allow_nan=False),
    st.floats(min_value=1.0, allow_nan=False),
)
name = st.one_of(st.text(max_size=3), st.just("nothing"))
sizes = st.one_of(
    st.integers(-3, 3),
    FRACTIONS,
    st.none(),
    st.just(()),
    st.lists(st.integers(-9, 0), min_size=1, max_size=4).map(tuple),
)

INPUT = keras.Input((2,))
OUTPUT = keras.layers.Dense(1)(INPUT)
PLAYERS = gan.build_point_generator(), gan.build_point_discriminator()
PANEL, _ = panel.simulate_panel(num_dates=24, num_assets=20, missing=0.0)
LINE = wgan_gp.build_line_critic()
POINTS = {"x": np.zeros((3, 1)), "generated": np.ones((3, 1))}
IMAGES = np.zeros((1, 8, 8, 1), "float32")
SMALL = {"image_shape": (8, 8, 1), "filters": (2,)}
CONV = dict.fromkeys(["kernel_size", "strides", "dilation_rate"], whole)

CASES = {
    attention.MultiHeadAttention: (
        {"num_heads": 2},
        {"num_heads": whole, "key_dim": or_none(whole), "dropout": share},
    ),
    autoencoder.build_encoder: (
        {"latent_dim": 2, **SMALL},
        {"latent_dim": whole, "image_shape": sizes, "filters": sizes},
    ),
    autoencoder.build_decoder: (
        {"latent_dim": 2, **SMALL},
        {"latent_dim": whole, "image_shape": sizes, "filters": sizes},
    ),
    autoencoder.build_linear_autoencoder: (
        {"n": 4, "latent_dim": 2},
        {"n": whole, "latent_dim": whole},
    ),
    autoencoder.build_tied_autoencoder: (
        {"n": 4, "latent_dim": 2},
        {"n": whole, "latent_dim": whole},
    ),
    autoencoder.ReversibleDense: (
        {"n": 4, "units": 2},
        {"n": whole, "units": whole},
    ),
    blocks.make_neighbours: (
        {"count": 2},
        {"count": whole, "length": whole, "symbols": whole},
    ),
    blocks.build_stack: (
        {"depth": 1, "embed_dim": 4, "dense_dim": 4},
        {
            **dict.fromkeys(["depth", "length", "symbols", "embed_dim"], whole),
            **dict.fromkeys(["dense_dim", "num_heads"], whole),
            "norm": name,
        },
    ),
    conv_transpose.conv_size: (
        {"input_size": 8, "kernel_size": 3},
        {"input_size": whole, **CONV, "padding": name},
    ),
    conv_transpose.conv_transpose_size: (
        {"output_size": 8, "kernel_size": 3},
        {"output_size": whole, **CONV, "padding": name},
    ),
    conv_transpose.conv_input_sizes: (
        {"output_size": 8, "kernel_size": 3},
        {"output_size": whole, **CONV, "padding": name},
    ),
    conv_transpose.taps: (
        {"input_size": 8, "kernel_size": 3},
        {"input_size": whole, **CONV, "padding": name},
    ),
    conv_transpose.overlap: (
        {"input_size": 8, "kernel_size": 3},
        {"input_size": whole, **CONV, "padding": name},
    ),
    conv_transpose.checkerboard_share: (
        {"images": IMAGES, "period": 2},
        {"period": whole},
    ),
    conv_transpose.ResizeConv: (
        {"filters": 2},
        {"filters": whole, "scale": whole, "interpolation": name},
    ),
    dense_threading.ThreadedDense: ({"units": 2}, {"units": whole}),
    dense_threading.Thread: (
        {"layer": keras.layers.Dense(2)},
        {"layer": whole, "rank": whole},
    ),
    dense_threading.threading_steps: (
        {"leading": (2, 3), "features": 4, "units": 2},
        {"features": whole, "units": whole},
    ),
    dense_threading.diagnose: (
        {"function": keras.layers.Dense(2), "x": np.ones((2, 3, 4))},
        {"tolerance": positive},
    ),
    digits.load_digits: (
        {"num_train": 2, "num_test": 2},
        {
            "source": name,
            "num_train": or_none(whole),
            "num_test": or_none(whole),
            "seed": at_least(0),
        },
    ),
    panel.simulate_panel: (
        {"num_dates": 12, "num_assets": 5, "num_characteristics": 6},
        {
            "design": name,
            "num_dates": at_least(2),
            "num_assets": at_least(5),
            "num_characteristics": at_least(5),
            "missing": share,
            "noise": st.one_of(KINDS, TRUTHS, st.none(), INFINITE, BELOW),
            "seed": at_least(0),
        },
    ),
    sentences.load_sentences: (
        {"num_pairs": 60},
        {
            "source": name,
            "num_pairs": or_none(whole),
            "validation_fraction": share,
            "test_fraction": share,
        },
    ),
    display.mosaic: (
        {"images": np.zeros((4, 8, 8)), "columns": 2},
        {"columns": whole, "gap": at_least(0)},
    ),
    factor_autoencoder.build_autoencoder: (
        {"num_characteristics": 3, "num_factors": 2, "hidden": (2,)},
        {
            "num_characteristics": whole,
            "num_factors": whole,
            "hidden": st.one_of(st.none(), st.integers(), st.just((0,))),
        },
    ),
    factor_autoencoder.fit_autoencoder: (
        {"train": PANEL, "validation": PANEL},
        {
            "num_factors": whole,
            "epochs": whole,
            "batch_size": whole,
            "patience": at_least(0),
            "learning_rate": positive,
        },
    ),
    ipca.fit_ipca: ({"panel": PANEL, "num_factors": 1}, {"num_factors": whole}),
    feature_visualization.load_network: ({}, {"source": name, "epochs": whole}),
    feature_visualization.blur: (
        {"images": np.zeros((1, 8, 8, 3), "float32")},
        {"passes": at_least(0)},
    ),
    gan.build_point_generator: ({}, {"latent_dim": whole, "hidden": whole}),
    gan.build_point_discriminator: ({}, {"hidden": whole}),
    gan.build_generator: ({}, {"latent_dim": whole, "widths": sizes}),
    gan.build_discriminator: ({}, {"widths": sizes, "dropout": share}),
    gan.GAN: (
        {"generator": PLAYERS[0], "discriminator": PLAYERS[1]},
        {
            "generator": whole,
            "discriminator": whole,
            "discriminator_updates": whole,
            "generator_updates": whole,
            "loss": name,
            "real_target": positive,
        },
    ),
    gan.Ring: ({}, {"modes": whole, "radius": positive, "spread": positive}),
    layers.Linear: ({"units": 2}, {"units": whole}),
    layers.LayerNorm: ({}, {"epsilon": positive}),
    layers.Noise: ({"stddev": 0.1}, {"stddev": st.one_of(KINDS, INFINITE, BELOW)}),
    layers.MovingStandardize: ({}, {"momentum": share, "epsilon": positive}),
    losses.PinballLoss: ({}, {"quantiles": share}),
    losses.BinaryFocalLoss: (
        {},
        {"gamma": st.one_of(KINDS, INFINITE, BELOW), "alpha": or_none(share)},
    ),
    losses.LinexLoss: ({}, {"a": st.one_of(KINDS, INFINITE, st.just(0))}),
    style_transfer.random_features: (
        {"scales": 1, "filters": 2, "kernel_size": 3},
        {"scales": whole, "filters": whole, "kernel_size": whole, "padding": name},
    ),
    style_transfer.noise_image: ({"shape": (1, 8, 8, 3)}, {"shape": sizes}),
    style_transfer.draw_strokes: (
        {"size": 16, "count": 2},
        {
            "size": whole,
            "count": or_none(whole),
            "length": positive,
            "width": positive,
        },
    ),
    style_transfer.draw_mosaic: ({"size": 16}, {"size": whole, "cells": whole}),
    style_transfer.draw_weave: ({"size": 16}, {"size": whole, "thread": whole}),
    training.make_payments: (
        {"count": 10, "seed": 0},
        {"count": whole, "fraud": share},
    ),
    training.ClippedModel: (
        {"inputs": INPUT, "outputs": OUTPUT},
        {"max_norm": st.one_of(KINDS, st.none(), BELOW, st.just(0.0))},
    ),
    training.AccumulatingModel: (
        {"inputs": INPUT, "outputs": OUTPUT},
        {"parts": whole},
    ),
    transformer.PositionalEmbedding: (
        {"sequence_length": 4, "vocab_size": 5, "embed_dim": 4},
        dict.fromkeys(["sequence_length", "vocab_size", "embed_dim"], whole),
    ),
    transformer.TransformerEncoder: (
        {"embed_dim": 4, "dense_dim": 4, "num_heads": 2},
        {
            **dict.fromkeys(["embed_dim", "dense_dim", "num_heads"], whole),
            "dropout": share,
        },
    ),
    translation.SentenceVectorization: (
        {"sequence_length": 4},
        {"sequence_length": whole, "max_tokens": or_none(whole)},
    ),
    translation.keep_short: (
        {"pairs": [("a", "b")], "sequence_length": 4},
        {"sequence_length": whole},
    ),
    vae.build_vae: (
        {"latent_dim": 2, "width": 4, **SMALL},
        {
            "latent_dim": whole,
            "width": whole,
            "image_shape": sizes,
            "filters": sizes,
            "beta": st.one_of(KINDS, INFINITE, BELOW),
        },
    ),
    vae.build_linear_vae: (
        {"n": 4, "latent_dim": 2},
        {"n": whole, "latent_dim": whole, "noise": or_none(positive)},
    ),
    vae.interpolate: (
        {"start": np.zeros(2), "stop": np.ones(2), "steps": 3},
        {"steps": whole},
    ),
    wgan_gp.WGANGP: (
        {"generator": PLAYERS[0], "critic": PLAYERS[1]},
        {
            "generator": whole,
            "critic": whole,
            "critic_updates": whole,
            "penalty_weight": positive,
        },
    ),
    wgan_gp.build_line_critic: ({}, {"dimensions": whole, "hidden": at_least(0)}),
    wgan_gp.build_critic: ({}, {"widths": sizes}),
    wgan_gp.Drawers: ({"count": 2}, {"count": at_least(2)}),
    wgan_gp.measure: ({"critic": LINE, **POINTS, "count": 5}, {"count": whole}),
    wgan_gp.train_critic: (
        {"critic": LINE, **POINTS},
        {"steps": whole, "batch": whole, "learning_rate": positive},
    ),
}

ARGUMENTS = [
    pytest.param(function, argument, id=f"{function.__name__}-{argument}")
    for function, (_, wrong) in CASES.items()
    for argument in wrong
]


@pytest.mark.parametrize(("function", "argument"), ARGUMENTS)
@settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_what_does_not_fit_is_refused_by_name(function, argument, data):
    good, wrong = CASES[function]
    value = data.draw(wrong[argument], label=argument)
    with pytest.raises((ValueError, TypeError), match=argument):
        function(**{**good, argument: value})


@pytest.mark.parametrize(
    "function",
    [f for f in CASES if f.__name__ not in ("fit_autoencoder", "load_network")],
    ids=lambda function: function.__name__,
)
def test_the_call_that_the_wrong_ones_are_made_from_works(function):
    if function is wgan_gp.train_critic:
        function(**{**CASES[function][0], "steps": 1, "batch": 2})
    else:
        function(**CASES[function][0])
