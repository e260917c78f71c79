"""The Transformer's layers and its three models: causality, masks, lengths, saving."""

import re

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import ops

from advanced_keras.transformer import (
    PositionalEmbedding,
    TransformerDecoder,
    TransformerEncoder,
    build_decoder,
    build_encoder,
    build_transformer,
    split_transformer,
)

SMALL = settings(deadline=None, max_examples=10)
SIZES = {"sequence_length": 8, "embed_dim": 16, "dense_dim": 32, "num_heads": 4}
SOURCE = np.array([[3, 4, 5, 0, 0], [6, 7, 8, 9, 1]])
TARGET = np.array([[2, 3, 4, 0], [2, 5, 6, 7]])
ANY = tf.TensorSpec((None, None), tf.int64)


def make(**changes):
    vocabularies = {"source_vocab_size": 20, "target_vocab_size": 25}
    return build_transformer(**{**SIZES, **vocabularies, **changes})


@pytest.fixture(scope="module")
def models():
    keras.utils.set_random_seed(0)
    return make()


def logits(model, source, target):
    return ops.convert_to_numpy(model([np.asarray(source), np.asarray(target)]))


# ---- What may influence what ------------------------------------------------------


@SMALL
@given(seed=st.integers(0, 999), length=st.integers(2, 8))
def test_decoder_is_causal_to_the_last_bit(models, seed, length):
    """Padded rows and sentences that begin with padding included."""
    rng = np.random.default_rng(seed)
    source, target = rng.integers(0, 20, (3, 5)), rng.integers(0, 25, (3, length))
    target[0, 0] = 0
    position = rng.integers(1, length)
    changed = target.copy()
    changed[:, position:] = rng.integers(0, 25, (3, length - position))
    before = logits(models.transformer, source, target)[:, :position]
    after = logits(models.transformer, source, changed)[:, :position]
    assert np.array_equal(before, after)


def test_every_earlier_position_does_influence_later_ones(models):
    target = np.array([[2, 5, 6, 7, 8]])
    base = logits(models.transformer, SOURCE[1:], target)
    for position in range(5):
        changed = target.copy()
        changed[0, position] = 11
        moved = np.abs(logits(models.transformer, SOURCE[1:], changed) - base).max(-1)
        assert np.all(moved[0, :position] == 0)
        assert np.all(moved[0, position:] > 0)


@SMALL
@given(extra=st.integers(1, 3))
def test_padding_the_source_changes_nothing(models, extra):
    padded = np.pad(SOURCE, ((0, 0), (0, extra)))
    before = logits(models.transformer, SOURCE, TARGET)
    after = logits(models.transformer, padded, TARGET)
    np.testing.assert_allclose(before, after, atol=1e-5)
    states = models.encoder(SOURCE)[:, :3], models.encoder(padded)[:, :3]
    np.testing.assert_allclose(*states, atol=1e-5)


@SMALL
@given(extra=st.integers(1, 4))
def test_padding_the_target_changes_nothing_before_it(models, extra):
    padded = np.pad(TARGET, ((0, 0), (0, extra)))
    before = logits(models.transformer, SOURCE, TARGET)
    after = logits(models.transformer, SOURCE, padded)[:, :4]
    np.testing.assert_allclose(before, after, atol=1e-5)


def test_a_source_of_padding_only_gives_finite_logits(models):
    assert np.all(np.isfinite(logits(models.transformer, 0 * SOURCE, TARGET)))


def test_cross_attention_is_masked_by_the_source(models):
    embedding, layer = (
        models.decoder.get_layer(n)
        for n in ("decoder_embedding", "transformer_decoder")
    )
    embedded, states = embedding(tf.constant(TARGET)), models.encoder(SOURCE)
    own, cross = layer.attention_scores(embedded, states, TARGET != 0, SOURCE != 0)
    assert own.shape == (2, 4, 4, 4) and cross.shape == (2, 4, 4, 5)
    assert np.all(cross.numpy()[0, :, :, 3:] == 0)  # source padding
    assert np.all(cross.numpy()[0, :, :, 2] > 0)
    assert np.all(own.numpy()[0, :, 3, 3] == 0)  # target padding
    late = np.triu(np.ones((4, 4), bool), 1)
    assert np.all(own.numpy()[..., late] == 0)


def test_encoder_without_positions_is_permutation_equivariant():
    keras.utils.set_random_seed(1)
    layer = TransformerEncoder(16, 32, 4)
    states = np.random.default_rng(0).normal(size=(2, 6, 16)).astype("float32")
    order = np.array([3, 0, 5, 1, 4, 2])
    shuffled = layer(states[:, order])
    np.testing.assert_allclose(shuffled, layer(states).numpy()[:, order], atol=1e-5)


def test_positions_break_the_symmetry(models):
    order = np.array([4, 2, 0, 1, 3])
    shuffled = models.encoder(SOURCE[1:, order]).numpy()
    assert np.abs(shuffled - models.encoder(SOURCE[1:]).numpy()[:, order]).max() > 1e-2


def test_positions_do_not_make_causality(models, monkeypatch):
    """Erratum 1: it is the causal mask that does."""
    changed = TARGET.copy()
    changed[1, 2] = 11
    monkeypatch.setattr(
        "advanced_keras.attention.causal_mask", lambda n: ops.ones((n, n), "bool")
    )
    before = logits(models.transformer, SOURCE, TARGET)
    after = logits(models.transformer, SOURCE, changed)
    assert np.abs(before - after)[1, :2].max() > 1e-3


# ---- The paper's equations, in NumPy from the weights alone ------------------------


def numpy_dense(layer, x):
    kernel, bias = (w.numpy().astype("float64") for w in layer.weights)
    return x @ kernel + bias


def numpy_norm(layer, x):
    gamma, beta = (w.numpy() for w in layer.weights)
    centred = x - x.mean(-1, keepdims=True)
    return gamma * centred / np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-6) + beta


def numpy_attend(layer, query, value, allowed):
    """Sections 3.2.1 and 3.2.2 of the paper, one head after the other."""
    d, context, shares = query.shape[-1] // layer.num_heads, [], []
    q = numpy_dense(layer.query_dense, query)
    k, v = (numpy_dense(dense, value) for dense in (layer.key_dense, layer.value_dense))
    for first in range(0, q.shape[-1], d):
        columns = slice(first, first + d)
        scores = q[..., columns] @ k[..., columns].swapaxes(1, 2) / np.sqrt(d)
        weights = np.exp(scores) * allowed
        shares.append(weights / weights.sum(-1, keepdims=True))
        context.append(shares[-1] @ v[..., columns])
    return numpy_dense(layer.output_dense, np.concatenate(context, -1)), shares


def numpy_layer(layer, x, mask, states=None, states_mask=None):
    """Figure 1 of the paper: an encoder layer, with ``states`` a decoder layer."""
    allowed = mask[:, None, :]
    if states is not None:
        allowed = allowed & np.tril(np.ones((x.shape[1],) * 2, bool))
    update, own = numpy_attend(layer.self_attention, x, x, allowed)
    x, cross = numpy_norm(layer.self_attention_norm, x + update), None
    if states is not None:
        seen = states_mask[:, None, :]
        update, cross = numpy_attend(layer.cross_attention, x, states, seen)
        x = numpy_norm(layer.cross_attention_norm, x + update)
    hidden = np.maximum(numpy_dense(layer.hidden_dense, x), 0)
    update = numpy_dense(layer.output_dense, hidden)
    return numpy_norm(layer.feed_forward_norm, x + update), own, cross


def test_encoder_and_decoder_layers_agree_with_numpy():
    rng = np.random.default_rng(0)
    x, states = rng.normal(size=(2, 4, 16)), rng.normal(size=(2, 5, 16))
    x = 1e-3 * x  # so that the norm's epsilon shows
    masks = TARGET != 0, SOURCE != 0
    layers = TransformerEncoder(16, 32, 4), TransformerDecoder(16, 32, 4)
    layers[0].build(x.shape)
    layers[1].build(x.shape, states.shape)
    for weight in (w for layer in layers for w in layer.weights):
        small = 1e-3 if weight.path.endswith("bias") else 0.3
        weight.assign(weight + small * rng.normal(size=weight.shape))
    a, b = (ops.convert_to_tensor(t, "float32") for t in (x, states))
    encoded = layers[0](a, mask=masks[0])
    np.testing.assert_allclose(
        encoded, numpy_layer(layers[0], x, masks[0])[0], atol=1e-4
    )
    expected, own, cross = numpy_layer(layers[1], x, masks[0], states, masks[1])
    decoded = layers[1](a, b, inputs_mask=masks[0], encoder_outputs_mask=masks[1])
    np.testing.assert_allclose(decoded, expected, atol=1e-4)
    weights = layers[1].attention_scores(a, b, *map(ops.array, masks))
    for got, truth in zip(weights, (own, cross), strict=True):
        np.testing.assert_allclose(got, np.stack(truth, 1), atol=1e-5)


def test_dropout_is_where_it_should_be_and_nowhere_at_inference():
    full = make(dropout=0.5, seed=3)
    encoder = full.encoder.get_layer("transformer_encoder")
    decoder = full.decoder.get_layer("transformer_decoder")
    last = full.decoder.get_layer("decoder_dropout")
    # All differ, and stay what they are: a seed is to give the same run next year.
    assert (encoder.seed, decoder.seed, last.seed) == (3, 5, 6)
    assert encoder.dropout == decoder.dropout == last.rate == 0.5
    assert TransformerEncoder.from_config(encoder.get_config()).dropout == 0.5
    assert TransformerEncoder.from_config(encoder.get_config()).seed == encoder.seed
    states = tf.random.normal((1, 4, 16))
    for layer, inputs in ((encoder, [states]), (decoder, [states, states])):
        plain, noisy = layer(*inputs), layer(*inputs, training=True)
        np.testing.assert_array_equal(plain, layer(*inputs))
        assert np.abs(plain - noisy).max() > 1e-3


# ---- Masks on their way through the models ----------------------------------------


def test_compute_mask_is_where_there_are_words():
    embedding = PositionalEmbedding(8, 20, 16)
    np.testing.assert_array_equal(embedding.compute_mask(SOURCE), SOURCE != 0)
    np.testing.assert_array_equal(embedding(SOURCE)._keras_mask, SOURCE != 0)


def test_masks_go_with_the_tensors(models):
    np.testing.assert_array_equal(models.encoder(SOURCE)._keras_mask, SOURCE != 0)
    outputs = models.transformer([SOURCE, TARGET])
    np.testing.assert_array_equal(outputs._keras_mask, TARGET != 0)


def test_the_pair_of_models_equals_the_full_one(models):
    full = logits(models.transformer, SOURCE, TARGET)
    states = models.encoder(SOURCE)
    with_mask = models.decoder([tf.constant(TARGET), states])
    np.testing.assert_array_equal(full, with_mask)
    stripped = states.numpy()
    by_hand = models.decoder([TARGET, stripped], mask=[None, SOURCE != 0])
    np.testing.assert_array_equal(full, by_hand)
    without = models.decoder([TARGET, stripped])
    assert np.abs(full - without)[0].max() > 1e-3  # the padding is seen
    np.testing.assert_allclose(full[1], without[1], atol=1e-5)  # there is none


def test_padding_inside_a_target_is_masked_in_every_mode(models, tmp_path):
    """Causality would hide a forgotten mask if all padding were at the end.

    Keras doesn't record this mask in the graph: it fills it in when the model runs.
    """
    source, target = tf.constant(SOURCE), tf.constant([[2, 0, 5, 6], [0, 2, 0, 3]])
    embedding, layer, head = (
        models.decoder.get_layer(n)
        for n in ("decoder_embedding", "transformer_decoder", "logits")
    )
    embedded = ops.convert_to_tensor(embedding(target).numpy())  # carries no mask
    states = models.encoder(source).numpy()
    masks = {"inputs_mask": target != 0, "encoder_outputs_mask": source != 0}
    expected = head(layer(embedded, states, **masks))
    del masks["inputs_mask"]
    assert np.abs(expected - head(layer(embedded, states, **masks))).max() > 1e-2
    model = models.transformer
    model.save(tmp_path / "model.keras")
    found = [
        model([source, target]),
        model.predict([source, target], verbose=0),
        tf.function(model)([source, target]),
        tf.function(model, jit_compile=True)([source, target]),
        keras.models.load_model(tmp_path / "model.keras")([source, target]),
    ]
    for outputs in found:
        np.testing.assert_allclose(outputs, expected, atol=1e-5)


def test_dict_pair_and_graph_agree(models):
    full = logits(models.transformer, SOURCE, TARGET)
    named = {"encoder_inputs": SOURCE, "decoder_inputs": TARGET}
    np.testing.assert_array_equal(full, models.transformer(named))
    predicted = models.transformer.predict(named, verbose=0)
    np.testing.assert_allclose(full, predicted, atol=1e-5)
    for options in ({}, {"jit_compile": True}):
        step = tf.function(lambda s, t: models.transformer([s, t]), **options)
        outputs = step(tf.constant(SOURCE), tf.constant(TARGET))
        np.testing.assert_allclose(full, outputs, atol=1e-5)


# ---- One position at a time -------------------------------------------------------


@pytest.mark.parametrize("options", [None, {}, {"jit_compile": True}])
def test_decode_step_equals_the_full_model(models, options):
    decoder = models.decoder
    layer = decoder.get_layer("transformer_decoder")
    embedding, head = (decoder.get_layer(n) for n in ("decoder_embedding", "logits"))
    source_mask, target = tf.constant(SOURCE != 0), tf.constant(TARGET)

    def run(states):
        cache, rows = layer.empty_cache(2, 4), []
        source = layer.project_source(states)
        for t in range(4):
            position = tf.constant(t)
            token = embedding(target[:, t : t + 1], start=position)
            row, cache = layer.decode_step(
                token, position, cache, source, target != 0, source_mask
            )
            rows.append(head(row))
        return tf.concat(rows, axis=1)

    step = run if options is None else tf.function(run, **options)
    full = logits(models.transformer, SOURCE, TARGET)
    np.testing.assert_allclose(step(models.encoder(SOURCE)), full, atol=1e-5)


def test_decode_step_drops_nothing():
    """A layer with dropout decodes step by step what it returns at inference."""
    rng = np.random.default_rng(0)
    target, states = (ops.convert_to_tensor(rng.normal(size=(2, n, 16)), "float32")
                      for n in (4, 5))  # fmt: skip
    layer = TransformerDecoder(16, 32, 4, dropout=0.5)
    expected = layer(target, states, training=False)
    source, cache, rows = layer.project_source(states), layer.empty_cache(2, 4), []
    for t in range(4):
        row, cache = layer.decode_step(target[:, t : t + 1], t, cache, source)
        rows.append(row)
    np.testing.assert_allclose(ops.concatenate(rows, axis=1), expected, atol=1e-5)


def test_embedding_from_a_later_start():
    embedding = PositionalEmbedding(8, 20, 16)
    whole = embedding(SOURCE)
    later = SOURCE[:, 2:]
    np.testing.assert_array_equal(embedding(later, start=2), whole[:, 2:])
    for start in (np.int64(2), tf.constant(2), tf.constant(2, "int64")):
        np.testing.assert_array_equal(embedding(later, start=start), whole[:, 2:])
    with pytest.raises(ValueError, match="start must not be < 0"):
        embedding(SOURCE[:, :1], start=-1)  # table[-1:0] would be an empty slice


def test_an_empty_batch_and_sizes_from_numpy(models):
    assert logits(models.transformer, SOURCE[:0], TARGET[:0]).shape == (0, 4, 25)
    layer = TransformerEncoder(*np.array([16, 32, 4]))
    assert layer.get_config()["num_heads"] == 4
    assert type(layer.get_config()["embed_dim"]) is int


# ---- Sentences that are too long --------------------------------------------------

LONG = np.ones((2, 9), "int64")
STATIC = "at most sequence_length=8 positions, got 9"


def test_long_sentences_are_refused_when_the_length_is_known(models):
    for pair in ([LONG, TARGET], [SOURCE, LONG]):
        with pytest.raises(ValueError, match=STATIC):
            models.transformer(pair)
        with pytest.raises(ValueError, match=STATIC):
            models.transformer.predict(pair, verbose=0)
        with pytest.raises(ValueError, match=STATIC):
            tf.function(models.transformer)([tf.constant(p) for p in pair])
        with pytest.raises(ValueError, match=STATIC):
            compiled = tf.function(models.transformer, jit_compile=True)
            compiled([tf.constant(p) for p in pair])
    with pytest.raises(ValueError, match=STATIC):
        PositionalEmbedding(8, 20, 16)(keras.Input((9,), dtype="int64"))
    with pytest.raises(ValueError, match=STATIC):
        PositionalEmbedding(8, 20, 16)(LONG[:, :2], start=7)


def test_long_sentences_are_refused_when_the_graph_runs(models):
    def call(source, target):
        return models.transformer([source, target])

    short, long = tf.constant(SOURCE), tf.constant(LONG)
    in_graph = tf.function(call, input_signature=[ANY, ANY])
    full = logits(models.transformer, SOURCE, TARGET)
    np.testing.assert_allclose(in_graph(short, tf.constant(TARGET)), full, atol=1e-5)
    for pair in ((long, short), (short, long)):
        with pytest.raises(tf.errors.InvalidArgumentError, match="sequence_length=8"):
            in_graph(*pair)


def test_long_sentences_are_refused_under_xla(models):
    def call(source, target):
        return models.transformer([source, target])

    compiled = tf.function(call, input_signature=[ANY, ANY], jit_compile=True)
    full = logits(models.transformer, SOURCE, TARGET)
    short, long = tf.constant(SOURCE), tf.constant(LONG)
    np.testing.assert_allclose(compiled(short, tf.constant(TARGET)), full, atol=1e-5)
    message = "longer_than_sequence_length_8"
    for pair in ((long, short), (short, long)):
        with pytest.raises(tf.errors.InvalidArgumentError, match=message):
            compiled(*pair)


def test_a_late_start_is_never_silent():
    embedding = PositionalEmbedding(8, 20, 16)
    embedding.build((None, None))

    def call(start):
        return embedding(tf.constant([[3]]), start=start)

    assert np.all(np.isfinite(call(tf.constant(7))))
    with pytest.raises(tf.errors.InvalidArgumentError, match="sequence_length=8"):
        tf.function(call)(tf.constant(8))
    with pytest.raises(tf.errors.InvalidArgumentError, match="sequence_length_8"):
        tf.function(call, jit_compile=True)(tf.constant(8))

    def call_in_loop():  # a start that XLA's compiler doesn't know
        rows = tf.TensorArray(tf.float32, 10, element_shape=(1, 1, 16))
        for t in tf.range(10):
            rows = rows.write(t, call(t))
        return rows.stack()

    rows = tf.function(call_in_loop, jit_compile=True)().numpy()
    assert np.all(np.isfinite(rows[:8])) and np.all(np.isnan(rows[8:]))


# ---- Sizes, saving, precision, seeds ----------------------------------------------


def encoder_size(e, m):
    """Four projections, two dense layers, two norms."""
    return 4 * (e * e + e) + (e * m + m) + (m * e + e) + 2 * 2 * e


@SMALL
@given(heads=st.integers(1, 4), d=st.integers(1, 4), m=st.integers(1, 9))
def test_parameter_counts(heads, d, m):
    e, v, n = heads * d, 11, 7
    sizes = {"sequence_length": n, "embed_dim": e, "dense_dim": m, "num_heads": heads}
    encoder = build_encoder(vocab_size=v, **sizes)
    decoder = build_decoder(vocab_size=v, **sizes)
    embedding = v * e + n * e
    assert encoder.count_params() == embedding + encoder_size(e, m)
    cross = 4 * (e * e + e) + 2 * e
    head = e * v + v
    assert decoder.count_params() == embedding + encoder_size(e, m) + cross + head


@SMALL
@given(
    b=st.integers(1, 3),
    s=st.integers(1, 8),
    t=st.integers(1, 8),
    seed=st.integers(0, 9),
)
def test_shapes(models, b, s, t, seed):
    rng = np.random.default_rng(seed)
    outputs = logits(
        models.transformer, rng.integers(0, 20, (b, s)), rng.integers(0, 25, (b, t))
    )
    assert outputs.shape == (b, t, 25) and np.all(np.isfinite(outputs))


def test_outputs_are_logits(models):
    outputs = logits(models.transformer, SOURCE, TARGET)
    assert outputs.min() < 0 and np.abs(outputs.sum(-1) - 1).max() > 0.1


@pytest.mark.parametrize("name", ["encoder", "decoder", "transformer"])
def test_save_and_load_without_custom_objects(models, tmp_path, name):
    model = getattr(models, name)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    states = models.encoder(SOURCE).numpy()
    inputs = {
        "encoder": SOURCE,
        "decoder": [TARGET, states],
        "transformer": [SOURCE, TARGET],
    }[name]
    np.testing.assert_array_equal(model(inputs), loaded(inputs))


def test_a_loaded_model_can_be_taken_apart(models, tmp_path):
    models.transformer.save(tmp_path / "model.keras")
    loaded = split_transformer(keras.models.load_model(tmp_path / "model.keras"))
    states = loaded.encoder(SOURCE)
    outputs = loaded.decoder([tf.constant(TARGET), states])
    np.testing.assert_array_equal(outputs, logits(models.transformer, SOURCE, TARGET))


def test_mixed_precision_trains_and_gives_full_precision_logits(models):
    previous = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        mixed = make(dropout=0.1)
    finally:
        keras.config.set_dtype_policy(previous)
    outputs = mixed.transformer([SOURCE, TARGET])
    assert outputs.dtype == "float32"
    padded = np.pad(SOURCE, ((0, 0), (0, 3)))
    np.testing.assert_allclose(outputs, mixed.transformer([padded, TARGET]), atol=0.05)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    mixed.transformer.compile(optimizer="adam", loss=loss)
    losses = [
        mixed.transformer.train_on_batch([SOURCE, TARGET], TARGET) for _ in range(9)
    ]
    assert np.all(np.isfinite(losses)) and losses[-1] < losses[0]


def test_every_weight_gets_a_gradient(models):
    model = models.transformer
    with tf.GradientTape() as tape:
        loss = ops.mean(model([SOURCE, TARGET]) ** 2)
    gradients = tape.gradient(loss, model.trainable_variables)
    without = [
        v.path
        for v, g in zip(model.trainable_variables, gradients, strict=True)
        if g is None
    ]
    assert not without


def test_dropout_follows_its_seed():
    def noisy():
        keras.utils.set_random_seed(0)
        return make(dropout=0.5, seed=5).transformer([SOURCE, TARGET], training=True)

    first, second = noisy(), noisy()
    np.testing.assert_array_equal(first, second)
    layer = TransformerEncoder(8, 8, 2, dropout=0.5, seed=1)
    ones = tf.ones((1, 4, 8))
    drawn = [layer.dropout_layer(ones, training=True).numpy() for _ in range(2)]
    assert not np.array_equal(*drawn)  # the two sub-layers don't share their noise


def test_names_are_those_of_the_notes(models):
    assert [t.name for t in models.encoder.inputs] == ["encoder_inputs"]
    names = [t.name for t in models.decoder.inputs]
    assert names == ["decoder_inputs", "decoder_state_inputs"]
    names = [t.name for t in models.transformer.inputs]
    assert names == ["encoder_inputs", "decoder_inputs"]


# ---- Erratum 3: what plot_model draws ---------------------------------------------


def drawn_edges(model):
    """Edges of Keras's drawing, as pairs of layer names."""
    dot = keras.utils.model_to_dot(model, show_layer_names=True)
    names = {}
    for node in dot.get_nodes():
        found = re.search(r"<b>([\w]+)</b>", node.get("label") or "")
        if found:
            names[node.get_name()] = found.group(1)
    return [
        (names[e.get_source()], names[e.get_destination()]) for e in dot.get_edges()
    ]


def test_plot_model_draws_the_arrow_from_the_states(models):
    edges = drawn_edges(models.decoder)
    assert ("decoder_state_inputs", "transformer_decoder") in edges
    assert ("decoder_embedding", "transformer_decoder") in edges


def test_a_graph_that_uses_encoder_outputs_directly_is_refused():
    """The public example declares one tensor and uses another."""
    states = keras.Input((None, 16), name="encoder_outputs")
    declared = keras.Input((None, 16), name="decoder_state_inputs")
    tokens = keras.Input((None,), dtype="int64")
    embedded = PositionalEmbedding(8, 20, 16)(tokens)
    outputs = TransformerDecoder(16, 32, 4)(embedded, states)
    with pytest.raises(ValueError, match=r"connected|available"):
        keras.Model([tokens, declared], outputs)


# ---- Bad input --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make_layer", "named"),
    [
        (lambda: PositionalEmbedding(0, 20, 16), "sequence_length"),
        (lambda: PositionalEmbedding(8, "20", 16), "vocab_size"),
        (lambda: PositionalEmbedding(8, 20, 1.5), "embed_dim"),
        (lambda: TransformerEncoder(16, 32, 3), "num_heads=3"),
        (lambda: TransformerEncoder(16, 0, 4), "dense_dim"),
        (lambda: TransformerDecoder(16, 32, 4, dropout=1.5), "dropout"),
        (lambda: TransformerDecoder(-16, 32, 4), "embed_dim"),
        (lambda: TransformerEncoder(16, 32, 4).build((None, None, 8)), "width"),
    ],
)
def test_bad_arguments_are_named(make_layer, named):
    with pytest.raises(ValueError, match=named):
        make_layer()
