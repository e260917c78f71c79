"""Text, losses, decoding and scores, each against something independent."""

import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from advanced_keras.data.sentences import load_sentences
from advanced_keras.transformer import build_transformer
from advanced_keras.translation import (
    END,
    PAD,
    START,
    Decoding,
    MaskedCrossentropy,
    SentenceVectorization,
    TokenAccuracy,
    TokenLoss,
    Translator,
    bleu,
    cross_attention,
    decode_plain,
    exact_match,
    format_dataset,
    join_tokens,
    keep_short,
    make_dataset,
    make_vectorizations,
    mark,
    never_written,
    normalize,
    standardize_text,
    with_mistakes,
)

PAIRS = [
    ("The cat eats fish.", "El gato come pescado."),
    ("Where is the cat?", "¿Dónde está el gato?"),
    ("She sings well.", "Ella canta bien."),
    ("Ana sees the old house!", "¡Ana ve la casa vieja!"),
]
few = settings(deadline=None, max_examples=25)


# --- text -------------------------------------------------------------------


def test_standardize_keeps_accents_and_spanish_marks():
    text = standardize_text(tf.constant(["¿Él está AQUÍ, Ñato?"])).numpy()[0].decode()
    assert text.split() == ["¿", "él", "está", "aquí", ",", "ñato", "?"]


def test_keras_standardization_leaves_capital_accents_which_ours_does_not():
    plain = keras.layers.TextVectorization()
    plain.adapt(["Él"])
    assert "Él" in plain.get_vocabulary() and "él" not in plain.get_vocabulary()


def test_normalize_is_stable_and_composes_accents():
    once = normalize(["¿Dónde  está?", "Do\u0301nde", "don’t"])
    assert once == ["¿dónde está?", "dónde", "don't"]
    assert normalize(once) == once


@few
@given(st.text(st.sampled_from("aáñ ¿?¡!.,()'"), max_size=20))
def test_normalize_is_idempotent(text):
    (once,) = normalize([text])
    assert normalize([once]) == [once]


@pytest.mark.parametrize("space", ["\u00a0", "\u3000", "\u2009", "\u2028", "\x85"])
def test_words_end_at_any_space_that_unicode_has(space):
    """No-break and ideographic spaces come with real files."""
    source, _ = make_vectorizations([("the cat", "el gato")], 4)
    text = f"the{space}CAT{space}"
    assert source.to_text(source([text])) == normalize([text]) == ["the cat"]
    assert source.unknown_words(text) == []


def test_text_to_ids_and_back_is_the_normal_form():
    source, target = make_vectorizations(PAIRS, 8)
    sources, targets = zip(*PAIRS, strict=True)
    assert source.to_text(source(list(sources))) == normalize(sources)
    ids = target(mark(targets))
    assert ids.shape == (4, 9) and source(list(sources)).shape == (4, 8)
    assert target.to_text(ids) == normalize(targets)
    assert target.to_tokens(ids)[0] == [
        START,
        "el",
        "gato",
        "come",
        "pescado",
        ".",
        END,
    ]


def test_unknown_words_are_named():
    source, _ = make_vectorizations(PAIRS, 8)
    assert source.unknown_words("The DOG eats?") == ["dog"]
    assert source.to_tokens(source(["the dog"])) == [["the", "[UNK]"]]


def test_a_long_sentence_is_refused_in_eager_mode_and_in_a_graph():
    source, _ = make_vectorizations(PAIRS, 6)
    with pytest.raises(ValueError, match=r"7 tokens.*sequence_length is 6.*cat"):
        source(["the cat", "the cat sees the old house ."])
    mapped = tf.data.Dataset.from_tensors(["the cat sees the old house ."]).map(source)
    with pytest.raises(tf.errors.InvalidArgumentError, match="more than 6 tokens"):
        next(iter(mapped))
    with pytest.raises(ValueError, match="sequence_length is 6"):
        make_dataset([("a b c d e f g", "a")], source, source)


def test_a_sentence_of_just_the_length_is_accepted():
    source, target = make_vectorizations(PAIRS, 6)
    assert source(["the cat eats the fish ."]).shape == (1, 6)
    assert keep_short([("a b c d e f", "a b c d e")], 6)
    assert not keep_short([("a b c d e f g", "a")], 6)
    assert not keep_short([("a", "a b c d e f")], 6)
    make_dataset([("a b c d e f", "a b c d e")], source, target)


def test_vectorization_in_a_model_survives_saving(tmp_path):
    source, _ = make_vectorizations(PAIRS, 8)
    inputs = keras.Input((), dtype="string")
    model = keras.Model(inputs, source(inputs))
    model.save(tmp_path / "m.keras")
    again = keras.saving.load_model(tmp_path / "m.keras")
    texts = tf.constant(["¿The cat?", "fish"])
    np.testing.assert_array_equal(model(texts), again(texts))
    assert again.layers[-1].sequence_length == 8


@pytest.mark.parametrize("length", [0, -1, 2.5, "8"])
def test_a_bad_length_is_refused(length):
    with pytest.raises(ValueError, match="sequence_length"):
        SentenceVectorization(length)


def test_bad_text_arguments_are_refused():
    source, _ = make_vectorizations(PAIRS, 8)
    with pytest.raises(ValueError, match="marks"):
        mark(["[start] hola [end]"])
    with pytest.raises(ValueError, match="marks"):
        mark(["hola [END]"])  # standardization would make it [end]
    assert normalize([]) == []
    with pytest.raises(TypeError, match="reduction"):
        MaskedCrossentropy(reduction="sum")
    with pytest.raises(TypeError, match="texts"):
        normalize("hola")
    with pytest.raises(ValueError, match="pairs"):
        make_vectorizations([], 8)
    with pytest.raises(ValueError, match="token"):
        source.token_id("dog")


def test_bad_words_are_refused_by_name():
    source, target = make_vectorizations(PAIRS, 8)
    clean = make_dataset(PAIRS, source, target)
    for calls, words in (
        ([lambda: standardize_text(3)], "text must be made of strings"),
        ([lambda: join_tokens("hola")], "tokens must be a list of strings"),
        ([lambda: join_tokens([1])], "tokens must be a list of strings, got 1"),
        ([lambda: normalize([3]), lambda: mark("hola")], "texts must be a list"),
        ([lambda: mark([3])], "texts must be a list of strings, got 3"),
        ([lambda: make_vectorizations(None, 8)], "pairs must be a list"),
        ([lambda: make_vectorizations([("a",)], 8)], "pairs must hold"),
        ([lambda: make_vectorizations([("a", 1)], 8)], "each of pairs must"),
        ([lambda: make_vectorizations(PAIRS, 0)], "sequence_length"),
        ([lambda: make_vectorizations(PAIRS, 8, 1)], "max_tokens"),
        ([lambda: make_dataset([], source, target)], "pairs must hold at least"),
        ([lambda: make_dataset(PAIRS, len, target)], "source_vectorization must be"),
        ([lambda: make_dataset(PAIRS, source, len)], "target_vectorization must be"),
        ([lambda: make_dataset(PAIRS, source, target, 0)], "batch_size must be"),
        ([lambda: with_mistakes([], 9, 0.5, 5)], "dataset must be"),
        ([lambda: with_mistakes(clean, 2, 0.5, 5)], "vocab_size must be"),
        ([lambda: with_mistakes(clean, 9, "x", 5)], "share must be from 0 to 1"),
        ([lambda: with_mistakes(clean, 9, -0.1, 5)], "share must be from 0 to 1"),
        ([lambda: with_mistakes(clean, 9, 0.5, 0)], "steps must be"),
        ([lambda: never_written(0, 0)], "vocab_size must be"),
        ([lambda: never_written(5, 5)], "start must be below 5, got 5"),
    ):
        for call in calls:
            with pytest.raises((ValueError, TypeError), match=words):
                call()


# --- the shift --------------------------------------------------------------


def test_decoder_inputs_are_the_targets_shifted_by_one():
    source, target = make_vectorizations(PAIRS, 8)
    (batch,) = make_dataset(PAIRS, source, target)
    features, targets = batch
    inputs, targets = features["decoder_inputs"].numpy(), targets.numpy()
    assert inputs.shape == targets.shape == features["encoder_inputs"].shape == (4, 8)
    np.testing.assert_array_equal(inputs[:, 1:], targets[:, :-1])
    assert (inputs[:, 0] == target.token_id(START)).all()
    assert ((targets == target.token_id(END)).sum(axis=1) == 1).all()
    assert not any(START in tokens for tokens in target.to_tokens(targets))


@few
@given(st.integers(1, 5), st.integers(2, 9))
def test_format_dataset_for_any_ids(batch, length):
    ids = np.arange(batch * length).reshape(batch, length)
    features, targets = format_dataset(ids, ids)
    np.testing.assert_array_equal(features["decoder_inputs"], ids[:, :-1])
    np.testing.assert_array_equal(targets, ids[:, 1:])


def test_shuffling_is_seeded_and_new_in_every_epoch():
    pairs = [(f"w{i}", f"w{i}") for i in range(64)]
    source, target = make_vectorizations(pairs, 4)

    def epochs(seed):
        dataset = make_dataset(pairs, source, target, 64, shuffle_seed=seed)
        return [next(iter(dataset))[1].numpy()[:, 0].tolist() for _ in range(2)]

    first, second = epochs(1)
    assert epochs(1) == [first, second] and first != second and epochs(2)[0] != first
    assert sorted(first) == sorted(second)


def test_mistakes_spoil_inputs_only_and_grow_to_their_share():
    pairs = [(f"w{i % 50}", f"w{i % 50} w{i % 7} w{i % 3}") for i in range(640)]
    source, target = make_vectorizations(pairs, 5)
    clean = make_dataset(pairs, source, target)
    size = target.vocabulary_size()
    shares = []
    for before, after in zip(clean, with_mistakes(clean, size, 0.5, 5), strict=True):
        right = before[0]["decoder_inputs"].numpy()
        given = after[0]["decoder_inputs"].numpy()
        np.testing.assert_array_equal(before[1], after[1])
        assert (given[:, 0] == right[:, 0]).all() and (given[right == 0] == 0).all()
        shares.append((given != right)[:, 1:][right[:, 1:] != 0].mean())
    np.testing.assert_allclose(shares[:4], [0.1, 0.2, 0.3, 0.4], atol=0.1)
    assert abs(np.mean(shares[5:]) - 0.5) < 0.05
    with pytest.raises(ValueError, match="share"):
        with_mistakes(clean, size, 1.5, 5)


# --- the mask ---------------------------------------------------------------


def numpy_truth(y, logits, weights=None):
    """Loss and accuracy token by token, in plain Python."""
    loss = hits = count = total = 0.0
    for b, row in enumerate(y):
        for t, token in enumerate(row):
            if token == 0:
                continue
            weight = 1.0 if weights is None else weights[b]
            p = np.exp(logits[b, t] - logits[b, t].max())
            loss += -weight * np.log(p[token] / p.sum())
            hits += weight * (logits[b, t].argmax() == token)
            count += 1
            total += weight
    return loss, hits, count, total


@st.composite
def batches(draw):
    rng = np.random.default_rng(draw(st.integers(0, 10_000)))
    shape = draw(st.tuples(st.integers(1, 4), st.integers(1, 6)))
    y = rng.integers(1, 7, shape)
    y[rng.random(shape) < 0.4] = 0
    return y, rng.normal(0, 3, (*shape, 7)).astype("float32"), rng.random(shape[0])


@few
@given(batches())
def test_loss_and_metrics_against_numpy(batch):
    y, logits, weights = batch
    loss, hits, count, _ = numpy_truth(y, logits)
    expected = loss / max(count, 1)
    np.testing.assert_allclose(MaskedCrossentropy()(y, logits), expected, atol=1e-5)
    for metric, value in ((TokenLoss(), loss), (TokenAccuracy(), hits)):
        metric.update_state(y, logits)
        np.testing.assert_allclose(metric.result(), value / max(count, 1), atol=1e-5)
    loss, hits, count, total = numpy_truth(y, logits, weights)
    weighted = MaskedCrossentropy()(y, logits, sample_weight=weights)
    np.testing.assert_allclose(weighted, loss / max(count, 1), atol=1e-5)
    accuracy = TokenAccuracy()
    accuracy.update_state(y, logits, sample_weight=weights)
    np.testing.assert_allclose(accuracy.result(), hits / max(total, 1e-9), atol=1e-5)


def test_the_mask_that_arrives_with_the_logits_is_ignored():
    rng = np.random.default_rng(0)
    y, logits = np.array([[3, 2, 0, 0]]), rng.normal(size=(1, 4, 5)).astype("float32")
    masked = keras.ops.convert_to_tensor(logits)
    masked._keras_mask = keras.ops.convert_to_tensor([[True, True, True, False]])
    assert MaskedCrossentropy()(y, masked) == MaskedCrossentropy()(y, logits)
    keras_loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    assert abs(keras_loss(y, masked) - keras_loss(y, logits)) > 1e-3
    loss, hits, count, _ = numpy_truth(y, logits)
    for metric, value in ((TokenLoss(), loss), (TokenAccuracy(), hits)):
        metric.update_state(y, masked)
        np.testing.assert_allclose(metric.result(), value / count, rtol=1e-5)


def test_padding_positions_have_no_gradient():
    y = np.array([[3, 2, 0, 0]])
    logits = tf.Variable(np.random.default_rng(0).normal(size=(1, 4, 5)))
    with tf.GradientTape() as tape:
        loss = MaskedCrossentropy()(y, logits)
    gradient = tape.gradient(loss, logits).numpy()
    assert np.abs(gradient[:, :2]).min() > 0 and np.abs(gradient[:, 2:]).max() == 0


def test_nothing_but_padding_gives_zero_not_nan():
    y, logits = np.zeros((2, 3), int), np.ones((2, 3, 4), "float32")
    metric = TokenAccuracy()
    metric.update_state(y, logits)
    assert float(MaskedCrossentropy()(y, logits)) == float(metric.result()) == 0


def test_evaluate_weighs_every_token_alike_whatever_the_batches():
    rng = np.random.default_rng(1)
    x, y = rng.integers(1, 6, (10, 5)), rng.integers(1, 6, (10, 5))
    for row, length in enumerate([5, 5, 5, 5, 1, 1, 1, 1, 1, 2]):
        y[row, length:] = x[row, length:] = 0
    model = keras.Sequential(
        [keras.Input((5,)), keras.layers.Embedding(6, 6, mask_zero=True)]
    )
    model.set_weights([rng.normal(0, 2, (6, 6))])
    metrics = [TokenLoss(), TokenAccuracy()]
    model.compile(loss=MaskedCrossentropy(), weighted_metrics=metrics)
    loss, hits, count, _ = numpy_truth(y, model(x).numpy())
    for size in (1, 4, 10):
        logs = model.evaluate(x, y, batch_size=size, verbose=0, return_dict=True)
        np.testing.assert_allclose(logs["token_loss"], loss / count, rtol=1e-5)
        np.testing.assert_allclose(logs["token_accuracy"], hits / count, rtol=1e-5)
    # The mean of batch means, which Keras prints as "loss", is another number.
    logs = model.evaluate(x, y, batch_size=4, verbose=0, return_dict=True)
    assert abs(logs["loss"] - loss / count) > 1e-3


@pytest.mark.parametrize("cls", [MaskedCrossentropy, TokenLoss, TokenAccuracy])
def test_losses_and_metrics_are_registered(cls):
    again = keras.saving.deserialize_keras_object(
        keras.saving.serialize_keras_object(cls())
    )
    assert type(again) is cls and again.name == cls().name


# --- scores -----------------------------------------------------------------


def test_exact_match_and_bleu():
    right = ["¿Dónde está el gato?", "El gato come pescado fresco hoy."]
    assert exact_match(right, ["¿dónde está el gato?", "la casa"]) == 0.5
    assert bleu(right, right) == pytest.approx(100)
    assert bleu(["a b c d e f"], ["z y x"]) == 0
    # By hand: 5 of 6 unigrams, 4 of 5 bigrams, 3 of 4 trigrams, 2 of 3 4-grams.
    expected = 100 * (5 / 6 * 4 / 5 * 3 / 4 * 2 / 3) ** 0.25
    assert bleu(["a b c d e f"], ["a b c d e g"]) == pytest.approx(expected)


def test_an_unknown_word_is_not_a_match():
    assert exact_match(["el perro"], ["el [UNK]"]) == 0


@pytest.mark.parametrize("score", [exact_match, bleu])
def test_scores_refuse_what_does_not_pair(score):
    with pytest.raises(ValueError, match="equally many"):
        score(["a"], ["a", "b"])
    with pytest.raises(ValueError, match="not empty"):
        score([], [])
    with pytest.raises(TypeError, match="hypotheses"):
        score(["a"], "a")


# --- decoding ---------------------------------------------------------------


def small_model(source_vocab, target_vocab, length, seed=0):
    keras.utils.set_random_seed(seed)
    return build_transformer(
        sequence_length=length,
        source_vocab_size=source_vocab,
        target_vocab_size=target_vocab,
        embed_dim=32,
        dense_dim=64,
        num_heads=4,
        seed=0,
    ).transformer


def random_model(seed, vocab=11, length=7):
    """A model with large random weights: sentences of all lengths, no near ties."""
    model = small_model(vocab, vocab, length, seed)
    rng = np.random.default_rng(seed)
    for weight in model.trainable_weights:
        weight.assign(weight + rng.normal(0, 0.5, weight.shape))
    return model


def ragged(rng, batch, vocab=11, length=7):
    """Random source ids of different lengths, padded."""
    source = rng.integers(4, vocab, (batch, length))
    for row in source:
        row[rng.integers(1, length + 1) :] = PAD
    return source


@pytest.fixture(scope="module")
def pairs():
    return load_sentences(seed=1).train[:640]


@pytest.fixture(scope="module")
def translator(pairs):
    """Trained a little: it writes sentences, many of them wrong."""
    source, target = make_vectorizations(pairs, 13)
    model = small_model(source.vocabulary_size(), target.vocabulary_size(), 13)
    model.compile(keras.optimizers.Adam(5e-3), MaskedCrossentropy())
    dataset = make_dataset(pairs, source, target, shuffle_seed=0)
    losses = model.fit(dataset, epochs=8, verbose=0, shuffle=False).history["loss"]
    assert losses[-1] < 0.5 * losses[0]
    return Translator(model, source, target)


def test_plain_cached_and_batched_decoding_write_the_same(translator, pairs):
    texts = [english for english, _ in pairs[:40:4]]
    lengths = {len(text.split()) for text in texts}
    assert len(lengths) > 3
    plain = [translator.decode_plain(text) for text in texts]
    assert len(set(plain)) > 7
    assert translator.translate(texts) == plain
    for size in (1, 3, 5):
        assert translator.translate(texts, batch_size=size) == plain


@pytest.mark.parametrize("seed", range(2))
def test_plain_and_cached_ids_of_random_models_are_the_same(seed):
    model, source = random_model(seed), ragged(np.random.default_rng(seed), 8)
    decoding = Decoding(model, 2, 3)
    ids = decoding.greedy(source)
    assert ids.shape == (8, 7)
    for row, one in zip(ids, source, strict=True):
        written = decode_plain(model, one[None], 2, 3, 7)
        assert row[: len(written)].tolist() == written
        assert not row[len(written) :].any() and not {PAD, 2} & set(written)
        np.testing.assert_array_equal(decoding.greedy(one[None])[0], row)


def test_plain_decoding_goes_on_from_a_prefix():
    model, source = random_model(1), ragged(np.random.default_rng(1), 1)
    written = decode_plain(model, source, 2, 3, 7)
    assert decode_plain(model, source, 2, 3, 7, written[:2]) == written
    other = decode_plain(model, source, 2, 3, 7, [9, 9])
    assert other[:2] == [9, 9] and len(other) > 2


def test_random_models_end_early_late_and_never():
    """The test above is about something: all three happen."""
    lengths = set()
    for seed in range(4):
        source = ragged(np.random.default_rng(seed), 12)
        ids = Decoding(random_model(seed), 2, 3).greedy(source)
        lengths |= {(row != PAD).sum() for row in ids}
        lengths |= {"never" for row in ids if 3 not in row}
    assert "never" in lengths and len(lengths) > 2


def test_a_cached_step_computes_a_row_of_the_full_model():
    model, rng = random_model(5), np.random.default_rng(5)
    source, target = ragged(rng, 3), rng.integers(4, 11, (3, 7))
    full = model([tf.constant(source), tf.constant(target)]).numpy()
    decoding = Decoding(model, 2, 3)
    memory, cache = decoding.read(tf.constant(source)), None
    cache = decoding.layer.empty_cache(3, 7)
    for t in range(7):
        logits, cache = decoding.step(tf.constant(target[:, t]), t, cache, memory)
        may = [v for v in range(11) if v not in (PAD, 2)]
        np.testing.assert_allclose(logits.numpy()[:, may], full[:, t, may], atol=1e-4)


def test_greedy_is_exact_just_where_all_forced_tokens_are_right(translator, pairs):
    """The chapter's claim: exact match doesn't tell forced from free running."""
    source, target = translator.source_vectorization, translator.target_vectorization
    ((features, targets),) = make_dataset(pairs[:60], source, target)
    forced = translator(list(features.values())).numpy().argmax(-1)
    all_right = ((forced == targets) | (targets == PAD)).numpy().all(axis=1)
    free = translator.translate([english for english, _ in pairs[:60]])
    right = normalize([spanish for _, spanish in pairs[:60]])
    assert all_right.tolist() == [a == b for a, b in zip(free, right, strict=True)]
    assert 0 < all_right.mean() < 1


def test_beam_of_width_one_is_greedy(translator, pairs):
    texts = [english for english, _ in pairs[:30]]
    beams, _ = translator.decode_beam(texts, width=1)
    assert [row[0] for row in beams] == translator.translate(texts)
    for seed in range(2):
        model, source = random_model(seed), ragged(np.random.default_rng(seed), 8)
        decoding = Decoding(model, 2, 3)
        ids, _ = decoding.beam(source, 1)
        np.testing.assert_array_equal(ids[:, 0], decoding.greedy(source))


def every_sentence(model, source, length, alpha):
    """Score all sentences there are, with the full model: (score, ids), best first."""
    all_ids = np.array(list(itertools.product([1, 3, 4, 5, 6], repeat=length)))
    inputs = np.pad(all_ids[:, :-1], [(0, 0), (1, 0)], constant_values=2)
    sources = np.repeat(source, len(all_ids), axis=0)
    logits = model([tf.constant(sources), tf.constant(inputs)]).numpy()
    logits[..., [PAD, 2]] = -np.inf
    log_p = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    scored = {}
    for row, ids in enumerate(all_ids.tolist()):
        ids = tuple(ids[: ids.index(3) + 1] if 3 in ids else ids)
        total = sum(log_p[row, t, token] for t, token in enumerate(ids))
        scored[ids] = total / ((5 + len(ids)) / 6) ** alpha
    return sorted(((score, ids) for ids, score in scored.items()), reverse=True)


@pytest.mark.parametrize("alpha", [0.0, 1.0])
def test_a_wide_beam_finds_the_best_of_all_sentences(alpha):
    model, length = random_model(3, vocab=7, length=3), 3
    source = np.array([[4, 6, 5]])
    truth = every_sentence(model, source, length, alpha)
    ids, scores = Decoding(model, 2, 3).beam(source, 100, alpha)
    for row, score, (expected, best) in zip(
        ids[0], scores[0], truth[:10], strict=False
    ):
        assert row[row != PAD].tolist() == list(best)
        np.testing.assert_allclose(score, expected, rtol=1e-3)


def test_a_wider_beam_is_never_worse_here_and_batches_do_not_matter():
    model, source = random_model(1), ragged(np.random.default_rng(1), 6)
    decoding = Decoding(model, 2, 3)
    ids, scores = decoding.beam(source, 3)
    assert ids.shape == (6, 3, 7) and (np.diff(scores, axis=1) <= 0).all()
    for i in range(6):
        np.testing.assert_array_equal(decoding.beam(source[i : i + 1], 3)[0][0], ids[i])
    one = decoding.beam(source, 1)[1]
    assert scores[:, 0].mean() >= one[:, 0].mean() - 1e-4


def test_padding_the_source_changes_nothing():
    model, source = random_model(2), ragged(np.random.default_rng(2), 5)[:, :4]
    padded = np.pad(source, [(0, 0), (0, 3)])
    decoding = Decoding(model, 2, 3)
    np.testing.assert_array_equal(decoding.greedy(source), decoding.greedy(padded))


def test_an_end_at_once_stops_at_once():
    model = random_model(0)
    bias = model.get_layer("decoder").get_layer("logits").bias
    bias.assign(bias + 1000.0 * (np.arange(11) == 3))
    ids = Decoding(model, 2, 3).greedy(ragged(np.random.default_rng(0), 4))
    assert (ids[:, 0] == 3).all() and not ids[:, 1:].any()


def test_too_long_sentences_are_refused_by_every_decoder(translator):
    long = " ".join(["the"] * 14)
    for decode in (translator.translate, translator.decode_beam):
        with pytest.raises(ValueError, match="14 tokens"):
            decode([long])
    with pytest.raises(ValueError, match="14 tokens"):
        translator.decode_plain(long)
    with pytest.raises((ValueError, tf.errors.InvalidArgumentError), match="length"):
        translator.decoding.greedy(np.ones((1, 14), int))


def test_bad_decoding_arguments_are_refused(translator):
    with pytest.raises(ValueError, match="end"):
        Decoding(random_model(0), 2, 11)
    with pytest.raises(ValueError, match="width"):
        translator.decode_beam(["the cat"], width=0)
    with pytest.raises(ValueError, match="length_penalty"):
        translator.decode_beam(["the cat"], length_penalty=-1)
    target = translator.target_vectorization
    with pytest.raises(ValueError, match="source_vectorization"):
        Translator(translator.transformer, target, target)


def test_attention_rows_are_shares_of_real_source_tokens(translator, pairs):
    read, written, weights = translator.attention(pairs[0][0])
    assert read == pairs[0][0].lower().replace("?", " ?").split()
    assert weights.shape == (4, len(written), len(read))
    np.testing.assert_allclose(weights.sum(-1), 1, atol=1e-5)
    source = np.array([[5, 6, PAD, PAD]])
    weights = cross_attention(random_model(0), source, np.array([[4, 3]]), 2)
    assert weights.shape == (1, 4, 2, 4) and not weights[..., 2:].any()


def test_a_translator_is_saved_in_one_file_and_loaded(translator, pairs, tmp_path):
    translator.save(tmp_path / "translator.keras")
    again = keras.saving.load_model(tmp_path / "translator.keras")
    texts = [english for english, _ in pairs[:20]]
    assert isinstance(again, Translator)
    assert again.translate(texts) == translator.translate(texts)
    assert again.translate(texts, width=3) == translator.translate(texts, width=3)
    x = again.source_ids(texts)
    np.testing.assert_array_equal(x, translator.source_ids(texts))
    inputs = [x, x[:, :5]]
    np.testing.assert_array_equal(again(inputs), translator(inputs))
