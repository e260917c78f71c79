"""Decoding: no teacher, the decoder reads what it has written itself.

Three ways to the same sentences: the plain loop of the course notes, one with a
key/value cache for whole batches in a graph, and beam search.

Axes: B sentences, S source positions, T target positions, E width, H heads, d width of
a head, V vocabulary, k beams.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf

from advanced_keras import _checks
from advanced_keras.transformer import split_transformer
from advanced_keras.translation.text import PAD

NEVER = -1e30
"""Logit of a token that must not be written: finite, with probability exactly 0."""


def never_written(vocab_size: int, start: int) -> np.ndarray:
    """Return what is added to the logits: no target is ever `[start]` or padding.

    Args:
        vocab_size: V.
        start: id of `[start]`.

    Returns:
        float32 `(V,)`, 0 but for two entries of :data:`NEVER`.

    Raises:
        ValueError: if ``start`` is not from 0 to V - 1.
    """
    _checks.whole("vocab_size", vocab_size)
    _checks.at("start", start, vocab_size)
    bias = np.zeros(vocab_size, "float32")
    bias[[PAD, start]] = NEVER
    return bias


def decode_plain(
    transformer: keras.Model,
    source: Any,
    start: int,
    end: int,
    length: int,
    prefix: Sequence[int] = (),
) -> list[int]:
    """Decode one sentence as the course notes do: the whole model for every token.

    Every turn encodes the source again and computes all T positions of the decoder,
    to read one of them. Slow, and easy to believe: the others are checked against it.

    Args:
        transformer: the full model, from a pair of ids to logits.
        source: ids of one source sentence, `(1, S)`.
        start: id of `[start]`.
        end: id of `[end]`.
        length: T, most tokens to write.
        prefix: ids that count as written already; the model goes on from there.

    Returns:
        The ids written, `[end]` included if it was reached.
    """
    _checks.instance("transformer", transformer, keras.Model, "a model")
    _checks.whole("length", length)
    _checks.axes(source=(source, "(1, S)"))
    source, bias, written = tf.convert_to_tensor(source), None, list(prefix)
    for t in range(len(written), length):
        decoder_inputs = np.full((1, length), PAD)
        decoder_inputs[0, : t + 1] = [start, *written]
        logits = transformer([source, tf.constant(decoder_inputs)])[0, t].numpy()
        bias = never_written(len(logits), start) if bias is None else bias
        written.append(int(np.argmax(logits + bias)))
        if written[-1] == end:
            break
    return written


class Memory(NamedTuple):
    """What the decoder needs of the source, computed once for a sentence."""

    keys: tf.Tensor  # (B, H, S, d), of cross-attention
    values: tf.Tensor  # (B, H, S, d)
    mask: tf.Tensor  # (B, S), True at real tokens


class Decoding:
    """Cached decoding with a trained model, in batches, in graph mode.

    Args:
        transformer: a full model from :func:`advanced_keras.transformer.\
build_transformer`.
        start: id of `[start]`.
        end: id of `[end]`.

    Raises:
        ValueError: if ``start`` or ``end`` is not a token of the model.

    The graphs are traced at the first call and then reused for any batch size.
    """

    def __init__(self, transformer, start: int, end: int):
        self.encoder, decoder, _ = split_transformer(transformer)
        self.embedding = decoder.get_layer("decoder_embedding")
        self.layer = decoder.get_layer("transformer_decoder")
        self.head = decoder.get_layer("logits")
        self.length = self.embedding.sequence_length
        vocab_size = self.embedding.vocab_size
        for name, token in (("start", start), ("end", end)):
            _checks.whole(name, token, least=PAD + 1)
            if token >= vocab_size:
                raise ValueError(
                    f"{name} must be a token between 1 and {vocab_size - 1}, "
                    f"got {token!r}."
                )
        self.start, self.end, self.vocab_size = start, end, vocab_size
        self.bias = tf.constant(never_written(vocab_size, start))
        self._graphs: dict = {}

    def _graph(self, key, build):
        """Trace ``build`` for any batch, once; the loops need no AutoGraph."""
        if key not in self._graphs:
            ids = tf.TensorSpec((None, None), tf.int64)
            graph = tf.function(build, input_signature=[ids], autograph=False)
            self._graphs[key] = graph.get_concrete_function()
        return self._graphs[key]

    def read(self, source) -> Memory:
        """Encode the source and project its keys and values: once for all tokens.

        Args:
            source: ids `(B, S)`.

        Returns:
            A :class:`Memory`.
        """
        states = self.encoder(source, training=False)
        keys, values = self.layer.project_source(states)
        return Memory(keys, values, tf.not_equal(source, PAD))

    def step(self, tokens, position, cache, memory: Memory):
        """Compute the logits of one position.

        Args:
            tokens: y_(t-1), `(B,)`.
            position: t, counted from 0.
            cache: self-attention keys and values `(B, H, T, d)`, filled before t.
            memory: from :meth:`read`.

        Returns:
            Logits `(B, V)`, float32, and the cache with position t filled in.
        """
        embedded = self.embedding(tokens[:, None], start=position)
        states, cache = self.layer.decode_step(
            embedded,
            position,
            cache,
            (memory.keys, memory.values),
            source_mask=memory.mask,
        )
        logits = tf.cast(self.head(states)[:, 0], "float32")
        return logits + self.bias, cache

    def greedy(self, source) -> np.ndarray:
        """Write the most likely token, again and again, for a batch of sentences.

        Args:
            source: ids `(B, S)`.

        Returns:
            Ids `(B, T)`, 0 after `[end]`.
        """
        _checks.axes(source=(source, "(B, S)"))
        graph = self._graph("greedy", self._greedy)
        return graph(tf.cast(source, tf.int64)).numpy()

    def _greedy(self, source):
        """Build the loop of :meth:`greedy`."""
        memory, batch = self.read(source), tf.shape(source)[0]

        def some_go_on(position, tokens, ended, cache, written):
            return tf.logical_not(tf.reduce_all(ended))

        def write_one(position, tokens, ended, cache, written):
            logits, cache = self.step(tokens, position, cache, memory)
            tokens = tf.where(ended, tf.cast(PAD, tf.int64), tf.argmax(logits, -1))
            written = tf.tensor_scatter_nd_update(
                written, [[position]], tokens[None, :]
            )
            return position + 1, tokens, ended | (tokens == self.end), cache, written

        *_, written = tf.while_loop(
            some_go_on,
            write_one,
            (
                tf.constant(0),
                tf.fill([batch], tf.cast(self.start, tf.int64)),
                tf.fill([batch], False),
                self.layer.empty_cache(batch, self.length),
                tf.zeros([self.length, batch], tf.int64),
            ),
            maximum_iterations=self.length,
        )
        return tf.transpose(written)

    def beam(self, source, width: int = 4, length_penalty: float = 0.6):
        r"""Keep the k best beginnings of every sentence instead of one.

        A beginning of n tokens is ranked by its log probability over
        $((5 + n) / 6)^\alpha$, equation 14 of Wu et al., *Google's Neural Machine
        Translation System* (2016), without its coverage term: a sum of logarithms
        alone would favour short sentences. Width 1 is greedy decoding.

        Args:
            source: ids `(B, S)`.
            width: k.
            length_penalty: alpha; 0 ranks by the log probability itself.

        Returns:
            Ids `(B, k, T)`, the best first, and their scores `(B, k)`.

        Raises:
            ValueError: if ``width`` is not positive or ``length_penalty`` is negative.
        """
        _checks.axes(source=(source, "(B, S)"))
        if not isinstance(width, int) or width < 1:
            raise ValueError(f"width must be a positive integer, got {width!r}.")
        if length_penalty < 0:
            raise ValueError(f"length_penalty must not be < 0, got {length_penalty!r}.")
        key = (width, float(length_penalty))
        graph = self._graph(key, lambda source: self._beam(source, *key))
        written, scores = graph(tf.cast(source, tf.int64))
        return written.numpy(), scores.numpy()

    def _beam(self, source, width, alpha):
        """Build the loop of :meth:`beam`; the k beams are k rows of the batch."""
        batch = tf.shape(source)[0]
        memory = Memory(*(tf.repeat(part, width, axis=0) for part in self.read(source)))
        # At first the k beams are the same: let only the first one count.
        only_first = tf.constant([[0.0] + [NEVER] * (width - 1)])

        def some_go_on(position, beams, cache):
            return tf.logical_not(tf.reduce_all(beams.ended))

        def write_one(position, beams, cache):
            logits, cache = self.step(
                tf.reshape(beams.tokens, [-1]), position, cache, memory
            )
            log_p = tf.nn.log_softmax(logits)
            log_p = tf.reshape(log_p, [batch, width, self.vocab_size])
            beams, rows = _best_beams(beams, log_p, position, self.end, alpha)
            # A beam may come from another one: its keys and values come along.
            cache = tuple(tf.gather(part, rows) for part in cache)
            return position + 1, beams, cache

        shape = [batch, width]
        beams = Beams(
            tokens=tf.fill(shape, tf.cast(self.start, tf.int64)),
            ended=tf.fill(shape, False),
            log_p=tf.tile(only_first, [batch, 1]),
            scores=tf.zeros(shape),
            lengths=tf.zeros(shape),
            written=tf.zeros([*shape, self.length], tf.int64),
        )
        cache = self.layer.empty_cache(batch * width, self.length)
        _, beams, _ = tf.while_loop(
            some_go_on,
            write_one,
            (tf.constant(0), beams, cache),
            maximum_iterations=self.length,
        )
        return beams.written, beams.scores


class Beams(NamedTuple):
    """The k best beginnings of each of B sentences."""

    tokens: tf.Tensor  # (B, k), the last token of each
    ended: tf.Tensor  # (B, k), whether it was [end]
    log_p: tf.Tensor  # (B, k), log probability
    scores: tf.Tensor  # (B, k), log probability over the length penalty
    lengths: tf.Tensor  # (B, k), tokens written, [end] included
    written: tf.Tensor  # (B, k, T)


def _best_beams(beams: Beams, log_p, position, end: int, alpha: float):
    """Extend every beam by every token and keep the k best.

    Args:
        beams: the beginnings so far.
        log_p: log probabilities of the next token, `(B, k, V)`.
        position: where the next token is written.
        end: id of `[end]`.
        alpha: length penalty.

    Returns:
        The new beams, and the rows they come from, `(B k,)`, out of B k.
    """
    batch, width, vocab_size = tf.unstack(tf.shape(log_p))
    # A finished sentence has one continuation, padding, which costs nothing.
    stay = tf.where(tf.range(vocab_size) == PAD, 0.0, NEVER)
    log_p = tf.where(beams.ended[..., None], stay, log_p)
    total = beams.log_p[..., None] + log_p
    lengths = beams.lengths + tf.cast(~beams.ended, "float32")
    ranking = total / (((5.0 + lengths) / 6.0) ** alpha)[..., None]
    scores, best = tf.math.top_k(tf.reshape(ranking, [batch, -1]), width)
    parent = best // vocab_size
    tokens = tf.cast(best % vocab_size, tf.int64)

    def inherit(values):
        return tf.gather(values, parent, batch_dims=1)

    here = tf.one_hot(position, tf.shape(beams.written)[-1], dtype=tf.int64)
    new = Beams(
        tokens=tokens,
        ended=inherit(beams.ended) | (tokens == end),
        log_p=tf.gather(tf.reshape(total, [batch, -1]), best, batch_dims=1),
        scores=scores,
        lengths=inherit(lengths),
        written=inherit(beams.written) + tokens[..., None] * here,
    )
    rows = parent + width * tf.range(batch)[:, None]
    return new, tf.reshape(rows, [-1])


def cross_attention(
    transformer: keras.Model, source: Any, written: Any, start: int
) -> np.ndarray:
    """Return where the decoder looked in the source for each token it wrote.

    Args:
        transformer: the full model.
        source: ids `(B, S)`.
        written: ids the model wrote, `(B, T)`.
        start: id of `[start]`.

    Returns:
        Weights `(B, H, T, S)`; the row of token t is the one that chose it.
    """
    _checks.axes(source=(source, "(B, S)"), written=(written, "(B, T)"))
    encoder, decoder, _ = split_transformer(transformer)
    source = keras.ops.convert_to_tensor(source)
    first = np.full((len(written), 1), start)
    decoder_inputs = np.concatenate([first, np.asarray(written)[:, :-1]], axis=1)
    embedded = decoder.get_layer("decoder_embedding")(decoder_inputs)
    _, weights = decoder.get_layer("transformer_decoder").attention_scores(
        embedded,
        encoder(source),
        inputs_mask=keras.ops.not_equal(decoder_inputs, PAD),
        encoder_outputs_mask=keras.ops.not_equal(source, PAD),
    )
    return keras.ops.convert_to_numpy(weights)
