"""What goes in decides what comes out: the shapes that the docstrings promise.

Hypothesis draws sizes that are all different kinds of small. Every layer says the
same three times: called, by ``compute_output_shape``, and for a symbolic batch.
"""

import keras
import numpy as np
import pytest
from hypothesis import given, settings
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
    transformer,
    translation,
    vae,
    wgan_gp,
)

size = st.integers(1, 5)
even = st.sampled_from([4, 8, 12])
many = settings(max_examples=25, deadline=None)
few = settings(max_examples=10, deadline=None)


def some(*shape):
    """Numbers from 0 to 1."""
    return np.random.default_rng(0).random(shape).astype("float32")


def shape(tensor):
    """A shape to compare."""
    return tuple(tensor.shape)


# -- layers

IMAGE = ("B", 6, 6, "n")
LAYERS = {
    "linear": (lambda s: layers.Linear(s["u"]), [("B", "T", "n")], ("B", "T", "u")),
    "norm": (lambda s: layers.LayerNorm(), [("B", "T", "n")], ("B", "T", "n")),
    "residual": (
        lambda s: layers.Residual(keras.layers.Dense(s["n"])),
        [("B", "T", "n")],
        ("B", "T", "n"),
    ),
    "noise": (lambda s: layers.Noise(0.1), [("B", "T", "n")], ("B", "T", "n")),
    "standardize": (
        lambda s: layers.MovingStandardize(),
        [("B", "T", "n")],
        ("B", "T", "n"),
    ),
    "missing": (lambda s: layers.MaskMissing(), [("B", "T", "n")], ("B", "T", "n")),
    "mean": (lambda s: layers.MaskedMean(), [("B", "T", "n")], ("B", "n")),
    "threaded": (
        lambda s: dense_threading.ThreadedDense(s["u"]),
        [("B", "T", "S", "n")],
        ("B", "T", "S", "u"),
    ),
    "thread": (
        lambda s: dense_threading.Thread(keras.layers.Dense(s["u"])),
        [("B", "T", "n")],
        ("B", "T", "u"),
    ),
    "reversible": (
        lambda s: autoencoder.ReversibleDense(s["n"], s["u"]),
        [("B", "n")],
        ("B", "u"),
    ),
    "resize": (
        lambda s: conv_transpose.ResizeConv(s["u"], scale=2),
        [IMAGE],
        ("B", 12, 12, "u"),
    ),
    "pad": (lambda s: style_transfer.Pad(2), [IMAGE], ("B", 10, 10, "n")),
    "vgg": (
        lambda s: style_transfer.VGGPreprocessing(),
        [("B", 6, 6, 3)],
        ("B", 6, 6, 3),
    ),
    "sampling": (
        lambda s: vae.Sampling(),
        [[("B", "n"), ("B", "n")]],
        ("B", "n"),
    ),
    "drawers": (lambda s: wgan_gp.Drawers(2), [("B", 7)], ("B", 7)),
    "fill": (
        lambda s: factor_models.FillMissing(),
        [("B", "T", "n"), ("B", "T")],
        ("B", "T", "n"),
    ),
    "attention": (
        lambda s: attention.MultiHeadAttention(s["u"]),
        [("B", "T", "E"), ("B", "S", "E")],
        ("B", "T", "E"),
    ),
    "encoder": (
        lambda s: transformer.TransformerEncoder(s["E"], 3, s["u"]),
        [("B", "T", "E")],
        ("B", "T", "E"),
    ),
    "decoder": (
        lambda s: transformer.TransformerDecoder(s["E"], 3, s["u"]),
        [("B", "T", "E"), ("B", "S", "E")],
        ("B", "T", "E"),
    ),
    "block": (
        lambda s: blocks.EncoderBlock(s["E"], 3, s["u"]),
        [("B", "T", "E")],
        ("B", "T", "E"),
    ),
}


def filled(form, sizes, batch):
    """The numbers for the letters of a shape."""
    if isinstance(form, list):
        return [filled(each, sizes, batch) for each in form]
    known = {**sizes, "B": batch}
    return tuple(known.get(each, each) for each in form)


def inputs_of(forms, sizes, symbolic):
    """Inputs of these shapes, with numbers or without."""

    def one(form):
        if isinstance(form, list):
            return [one(each) for each in form]
        whole = filled(form, sizes, sizes["B"])
        return (
            keras.Input(whole[1:]) if symbolic else ops.convert_to_tensor(some(*whole))
        )

    return [one(form) for form in forms]


@pytest.mark.parametrize("name", LAYERS)
@many
@given(st.data())
def test_layers_return_what_they_say(name, data):
    make, forms, out = LAYERS[name]
    sizes = {letter: data.draw(size, label=letter) for letter in "BTSnu"}
    sizes["E"] = sizes["u"] * data.draw(st.integers(1, 2), label="head width")
    layer = make(sizes)
    shapes = [filled(form, sizes, sizes["B"]) for form in forms]
    expected = filled(out, sizes, sizes["B"])
    assert shape(layer(*inputs_of(forms, sizes, symbolic=False))) == expected
    if type(layer).compute_output_shape is not keras.Layer.compute_output_shape:
        assert tuple(layer.compute_output_shape(*shapes)) == expected
    symbolic = layer(*inputs_of(forms, sizes, symbolic=True))
    assert shape(symbolic) == (None, *expected[1:])


@many
@given(size, size, size, st.booleans())
def test_positions(batch, length, width, symbolic):
    layer = transformer.PositionalEmbedding(5, 9, width)
    tokens = np.ones((batch, length), "int64")
    assert shape(layer(tokens)) == (batch, length, width)
    assert layer.compute_output_shape((batch, length)) == (batch, length, width)
    unknown = layer(keras.Input((None,), dtype="int64"))
    assert shape(unknown) == (None, None, width)


# -- attention


@many
@given(size, size, size, size, size, st.sampled_from(["S", "TS", "BTS"]))
def test_attention(batch, t, s, d, v, form):
    masks = {"S": (s,), "TS": (t, s), "BTS": (batch, t, s)}
    mask = np.ones(masks[form], bool)
    query, key, value = some(batch, t, d), some(batch, s, d), some(batch, s, v)
    weights = attention.attention_weights(query, key, mask)
    assert shape(weights) == (batch, t, s)
    both = attention.scaled_dot_product_attention(query, key, value, mask)
    assert [shape(each) for each in both] == [(batch, t, v), (batch, t, s)]
    assert shape(attention.causal_mask(t)) == (t, t)


@many
@given(size, size, size, size, size)
def test_heads(batch, t, s, heads, d):
    layer, width = attention.MultiHeadAttention(heads), heads * d
    states = some(batch, t, width), some(batch, s, width)
    output, weights = layer(*states, return_attention_scores=True)
    assert (shape(output), shape(weights)) == (
        (batch, t, width),
        (batch, heads, t, s),
    )
    symbolic = [keras.Input(each.shape[1:]) for each in states]
    _, weights = layer(*symbolic, return_attention_scores=True)
    assert shape(weights) == (None, heads, t, s)
    keys, values = layer.project_keys_values(states[1])
    assert shape(keys) == shape(values) == (batch, heads, s, d)


# -- losses


@many
@given(size, size, size)
def test_losses(batch, n, levels):
    y, many_levels = some(batch, n), some(batch, n, levels)
    quantiles = list(np.linspace(0.1, 0.9, levels))
    assert shape(losses.pinball(y, many_levels, quantiles)) == (batch, n)
    assert shape(losses.binary_focal(y, y)) == (batch,)
    assert shape(losses.linex(y, y)) == (batch,)
    assert shape(losses.focal_probability(y)) == (batch, n)
    assert shape(losses.sharpe_ratio(some(batch + 1))) == ()
    for loss in (losses.BinaryFocalLoss(), losses.LinexLoss()):
        assert shape(loss(y, y)) == ()
    assert shape(losses.PinballLoss(quantiles)(y, many_levels)) == ()
    assert all(shape(each) == (batch, 1) for each in losses.align(y[:, 0], y[:, :1]))


@many
@given(size, size, size)
def test_losses_of_images_and_codes(batch, n, m):
    images = some(batch, n, n, 1)
    for loss in (
        autoencoder.squared_error_from_logits,
        autoencoder.cross_entropy_from_logits,
    ):
        assert shape(loss(images, images)) == (batch,)
    assert shape(autoencoder.grey_entropy(images)) == (batch,)
    codes = some(batch, m)
    assert shape(vae.kl_divergence(codes, codes)) == (batch,)
    assert shape(vae.kl_by_dimension(codes, codes)) == (batch, m)
    assert shape(vae.average(codes[:, 0], codes[:, 0])) == ()
    assert vae.interpolate(codes[0], codes[0], n).shape == (n, m)


@many
@given(size, size, size)
def test_losses_of_tokens(batch, length, words):
    ids = np.zeros((batch, length), "int64")
    logits = some(batch, length, words)
    for each in (
        translation.target_mask(ids),
        translation.token_crossentropy(ids, logits),
        translation.token_hits(ids, logits),
    ):
        assert shape(each) == (batch, length)
    features, answers = translation.format_dataset(ids, some(batch, length + 1))
    assert shape(features["encoder_inputs"]) == (batch, length)
    assert shape(features["decoder_inputs"]) == shape(answers) == (batch, length)
    assert translation.never_written(words + 1, 1).shape == (words + 1,)


@many
@given(size, size)
def test_losses_of_players(batch, n):
    logits = some(batch, 1)
    assert shape(gan.discriminator_loss(logits, logits)) == ()
    assert shape(gan.minimax_loss(logits)) == ()
    assert shape(gan.non_saturating_loss(logits)) == ()
    p = some(batch, n)
    assert shape(gan.optimal_discriminator(p, p)) == (batch, n)
    assert isinstance(gan.jensen_shannon(p, p, step=0.1), float)
    assert shape(gan.Ring().density(some(batch, 2))) == (batch,)


# -- threading


@many
@given(st.lists(size, min_size=1, max_size=3), size, size)
def test_threads(leading, n, u):
    x, rows = some(*leading, n), int(np.prod(leading))
    flat = dense_threading.flatten(x)
    assert shape(flat) == (rows, n)
    assert shape(dense_threading.unflatten(flat, leading)) == (*leading, n)
    threaded = dense_threading.thread(keras.layers.Dense(u))
    assert shape(threaded(ops.convert_to_tensor(x))) == (*leading, u)
    gradients = dense_threading.thread_gradients(x, some(*leading, u))
    assert shape(gradients) == (rows, n, u)
    steps = dense_threading.threading_steps(leading, n, u)
    assert steps.steps[-1][-1] == (*leading, u)


@few
@given(size, size)
def test_blocks_of_a_jacobian(rows, n):
    found = dense_threading.jacobian_blocks(ops.square, some(rows, n))
    assert found.shape == (rows, rows, n, n)


# -- convolutions, against the layers of Keras


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_convolutions_have_the_sizes_of_keras(data):
    padding = data.draw(st.sampled_from(["valid", "same"]))
    kernel, stride = data.draw(st.integers(1, 4)), data.draw(st.integers(1, 3))
    dilation = 1 if stride > 1 else data.draw(st.integers(1, 2))
    length = data.draw(st.integers(dilation * (kernel - 1) + 1, 12))
    options = {"strides": stride, "padding": padding, "dilation_rate": dilation}
    conv = keras.layers.Conv1D(2, kernel, **options)
    smaller = conv_transpose.conv_size(length, kernel, **options)
    assert shape(conv(some(1, length, 1))) == (1, smaller, 2)
    larger = conv_transpose.conv_transpose_size(smaller, kernel, **options)
    up = keras.layers.Conv1DTranspose(2, kernel, **options)
    assert tuple(up.compute_output_shape((1, smaller, 1))) == (1, larger, 2)
    assert shape(up(some(1, smaller, 1))) == (1, larger, 2)
    assert length in conv_transpose.conv_input_sizes(smaller, kernel, **options)
    matrix = conv_transpose.conv_matrix(some(kernel, 1, 2), length, **options)
    assert matrix.shape == (smaller * 2, length)


# -- models


@few
@given(size, even, st.sampled_from([(2,), (2, 3)]), size, size)
def test_autoencoders(batch, side, filters, m, channels):
    sizes = {"image_shape": (side, side, channels), "filters": filters}
    images = some(batch, side, side, channels)
    encoder = autoencoder.build_encoder(m, **sizes)
    decoder = autoencoder.build_decoder(m, **sizes)
    assert encoder.output_shape == (None, m)
    assert decoder.output_shape == (None, side, side, channels)
    assert shape(encoder(images)) == (batch, m)
    assert shape(decoder(some(batch, m))) == images.shape
    whole = autoencoder.build_autoencoder(encoder, decoder)
    assert shape(whole(images)) == images.shape


@few
@given(size, st.integers(3, 6), st.integers(1, 3))
def test_linear_autoencoders(batch, n, m):
    for build in (
        autoencoder.build_linear_autoencoder,
        autoencoder.build_tied_autoencoder,
    ):
        assert shape(build(n, m)(some(batch, n))) == (batch, n)
    model = vae.build_linear_vae(n, m)
    gaussian = vae.LinearGaussian.of(model)
    x, codes = some(batch, n), some(batch, m)
    assert gaussian.log_likelihood(x).shape == (batch,)
    assert gaussian.elbo(x, codes, codes).shape == (batch,)


@few
@given(size, st.sampled_from([4, 8]), size, size)
def test_variational_autoencoders(batch, side, m, draws):
    model = vae.build_vae(m, image_shape=(side, side, 1), filters=(2,), width=3)
    images = some(batch, side, side, 1)
    mean, log_var = vae.encode(model, images)
    assert mean.shape == log_var.shape == (batch, m)
    assert vae.log_weights(model, images, draws).shape == (draws, batch)
    assert vae.kl_shares(model, images).shape == (m,)
    assert vae.sample_prior(model, batch).shape == images.shape
    assert shape(model(images)) == images.shape
    assert vae.latent_plane(draws + 1).shape == ((draws + 1) ** 2, 2)


@few
@given(size, size, size)
def test_players_of_points(batch, m, hidden):
    generator = gan.build_point_generator(m, hidden)
    assert shape(generator(some(batch, m))) == (batch, 2)
    judged = gan.build_point_discriminator(hidden)(some(batch, 2))
    assert shape(judged) == (batch, 1)
    critic = wgan_gp.build_line_critic(dimensions=m, hidden=hidden)
    assert shape(critic(some(batch, m))) == (batch, 1)
    assert shape(wgan_gp.slopes(critic, some(batch, m))) == (batch,)


@settings(max_examples=3, deadline=None)
@given(size, size)
def test_players_of_images(batch, m):
    images = gan.build_generator(m, widths=(3, 2))(some(batch, m))
    assert shape(images) == (batch, 28, 28, 1)
    for judge in (
        gan.build_discriminator(widths=(2, 3, 4)),
        wgan_gp.build_critic(widths=(2, 3, 4)),
    ):
        assert shape(judge(images)) == (batch, 1)
        assert judge.output_shape == (None, 1)


@many
@given(size, size)
def test_penalties(batch, n):
    x = some(batch, n, n)
    alpha = wgan_gp.interpolation_weights(x)
    assert shape(alpha) == (batch, 1, 1)
    assert shape(wgan_gp.interpolate(x, x, alpha)) == x.shape
    norms = wgan_gp.safe_norm(x)
    assert shape(norms) == (batch,)
    for penalty in (wgan_gp.gradient_penalty, wgan_gp.one_sided_penalty):
        assert shape(penalty(norms)) == ()


@few
@given(size, size, size, size, size)
def test_transformers(batch, s, t, heads, d):
    models = transformer.build_transformer(
        sequence_length=6,
        source_vocab_size=7,
        target_vocab_size=8,
        embed_dim=heads * d,
        dense_dim=3,
        num_heads=heads,
    )
    source, target = ops.ones((batch, s), "int64"), ops.ones((batch, t), "int64")
    states = models.encoder(source)
    assert shape(states) == (batch, s, heads * d)
    assert shape(models.decoder([target, states])) == (batch, t, 8)
    assert shape(models.transformer([source, target])) == (batch, t, 8)
    assert models.transformer.output_shape == (None, None, 8)
    layer = models.decoder.get_layer("transformer_decoder")
    memory, cache = layer.project_source(states), layer.empty_cache(batch, t)
    assert [shape(each) for each in memory] == [(batch, heads, s, d)] * 2
    row, cache = layer.decode_step(states[:, :1], 0, cache, memory)
    assert shape(row) == (batch, 1, heads * d)
    assert [shape(each) for each in cache] == [(batch, heads, t, d)] * 2
    own, cross = layer.attention_scores(some(batch, t, heads * d), states)
    assert shape(own) == (batch, heads, t, t)
    assert shape(cross) == (batch, heads, t, s)


@few
@given(size, st.integers(2, 5), st.integers(1, 3))
def test_stacks(batch, length, depth):
    stack = blocks.build_stack(
        depth=depth, length=length, symbols=5, embed_dim=4, dense_dim=3
    )
    tokens = np.ones((batch, length), "int64")
    states = blocks.states_by_depth(stack, tokens)
    assert [shape(each) for each in states] == [(batch, length, 4)] * (depth + 1)
    assert len(blocks.blocks_of(stack)) == depth


# -- pictures


@many
@given(size, st.integers(2, 6), size, size)
def test_features(batch, side, channels, columns):
    images = some(batch, side, side, channels)
    square = style_transfer.gram(images)
    assert shape(square) == (batch, channels, channels)
    assert shape(style_transfer.style_loss(square, square)) == ()
    assert shape(style_transfer.content_loss(images, images)) == ()
    assert shape(style_transfer.total_variation(images)) == ()
    assert shape(feature_visualization.total_variation(images)) == (batch,)
    assert shape(feature_visualization.blur(images)) == images.shape
    assert shape(feature_visualization.unit_step(images)) == images.shape
    filters = np.zeros(batch, int)
    assert shape(feature_visualization.channel_mean(images, filters)) == (batch,)
    metric = feature_visualization.colour_metric(images)
    assert metric.shape == (channels, channels)


@many
@given(size, size, size, st.integers(0, 2), st.sampled_from([(), (1,), (3,)]))
def test_mosaics_and_films(count, side, columns, gap, channels):
    images = some(count, side, side + 1, *channels)
    rows, across = -(-count // columns), columns
    picture = display.mosaic(images, columns=columns, gap=gap)
    assert picture.shape[:2] == (
        rows * (side + gap) - gap,
        across * (side + 1 + gap) - gap,
    )
    frames = some(count, side, side)
    film = display.film(frames, labels=["x"] * count, alt="frames")
    assert film.frames.shape == frames.shape


# -- tables


@many
@given(st.integers(8, 12), st.integers(5, 8), st.integers(1, 3))
def test_factors(dates, assets, k):
    generator = np.random.default_rng(0)
    returns, X = (
        generator.normal(size=s) for s in [(dates, assets), (dates, assets, 4)]
    )
    present = np.ones((dates, assets), bool)
    W, q = factor_models.moments(returns, X, present)
    assert W.shape == (dates, 4, 4) and q.shape == (dates, 4)
    gamma = np.linalg.qr(generator.normal(size=(4, k)))[0]
    F = factor_models.solve_factors(W, q, gamma)
    assert F.shape == (dates, k)
    assert factor_models.solve_gamma(W, q, F).shape == (4, k)
    assert factor_models.past_means(F).shape == (dates, k)
    weights = factor_models.principal_components(q, k)
    assert weights.shape == (4, k)
    found = factor_models.canonical_correlations(F, q[:, :2])
    assert found.shape == (min(k, 2),)
    assert shape(factor_models.masked_error(returns, returns)) == (dates,)
    betas = factor_models.cross_sectional_regression(returns, X[..., :k], present)
    assert betas.shape[0] == dates


@many
@given(st.integers(2, 9), size)
def test_moments_of_features(count, n):
    mean, covariance = scores.moments(some(count, n))
    assert mean.shape == (n,) and covariance.shape == (n, n)
