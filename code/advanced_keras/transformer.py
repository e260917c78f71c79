"""The Transformer: its layers, and the three models of the course notes.

Chapter: *Three models: the Transformer, traced*. Architecture of Vaswani et al.,
*Attention Is All You Need* (2017), section 3, one encoder and one decoder layer, with
learned positions and layer normalization after each residual sum.

Axes: B examples, S source positions, T target positions, E model width, H heads,
d width of a head, V vocabulary. Token 0 is padding (PAD).
"""

from __future__ import annotations

from numbers import Integral
from typing import Any, NamedTuple

import keras
import tensorflow as tf
from keras import ops

from advanced_keras import _checks
from advanced_keras.attention import MultiHeadAttention, _positive_int, _share

PAD = 0
"""The token that fills a sentence up to the length of its batch."""


@keras.saving.register_keras_serializable(package="advanced_keras")
class PositionalEmbedding(keras.layers.Layer):
    """Look up a vector for each token and add a vector for its position.

    ``x[t] = W_token[token[t]] + W_position[start + t]``. Learned positions, as in
    Gehring et al. (2017); Vaswani et al. (2017, section 3.5) found them as good as
    sinusoids. The layer also makes the mask: True where the token is not PAD.

    Args:
        sequence_length: the number of positions; longer sentences are refused.
        vocab_size: V, the number of different tokens, PAD included.
        embed_dim: E.

    Call arguments:
        tokens: integers ``(B, T)``.
        start: position of the first column, an integer or a scalar tensor. Decoding
            embeds one token at a time and needs it.

    Returns:
        ``(B, T, E)``, with the mask ``tokens != 0``.

    Raises:
        ValueError: for a non-positive argument, a negative ``start``, or a sentence
            longer than ``sequence_length`` if its length is known when the layer is
            called.
        tensorflow.errors.InvalidArgumentError: for a longer sentence whose length is
            known only when the graph runs.
        TypeError: if ``tokens``, or ``start``, are not integers.

    Example:
        >>> layer = PositionalEmbedding(sequence_length=8, vocab_size=10, embed_dim=4)
        >>> tuple(layer(ops.array([[1, 2, 0]])).shape)
        (1, 3, 4)
    """

    def __init__(self, sequence_length, vocab_size, embed_dim, **kwargs):
        super().__init__(**kwargs)
        self.sequence_length = _positive_int("sequence_length", sequence_length)
        self.vocab_size = _positive_int("vocab_size", vocab_size)
        self.embed_dim = _positive_int("embed_dim", embed_dim)
        self.supports_masking = True
        self.input_spec = keras.layers.InputSpec(ndim=2)
        self.token_embedding = keras.layers.Embedding(
            vocab_size, embed_dim, dtype=self.dtype_policy, name="token"
        )
        self.position_embedding = keras.layers.Embedding(
            sequence_length, embed_dim, dtype=self.dtype_policy, name="position"
        )

    def build(self, tokens_shape):
        """Create the two tables."""
        self.token_embedding.build(tokens_shape)
        self.position_embedding.build(tokens_shape)

    def call(self, tokens, start=0):
        """Embed ``tokens``, the first of them at position ``start``."""
        _checks.integers("tokens", tokens)  # 1.9 would be looked up as 1
        _checks.integers("start", start)
        self._refuse_longer(tokens.shape, start)
        token_vectors = self.token_embedding(tokens)
        return token_vectors + self._position_vectors(ops.shape(tokens)[1], start)

    def _position_vectors(self, length, start):
        """Return rows ``start`` to ``start + length`` of the position table.

        A slice, not a lookup: XLA drops assertions and clamps the indices of a lookup,
        but it refuses a slice that is larger than the table.
        """
        table = ops.cast(self.position_embedding.embeddings, self.compute_dtype)
        if isinstance(start, Integral) and isinstance(length, int):
            return table[start : start + length]  # checked already
        start = ops.cast(start, "int32")
        end = start + length
        # keras.ops has no assertion, so TensorFlow's is used. XLA drops it: there the
        # slice itself is refused, and the name of the scope shows in the message.
        message = self._too_long("a longer one")
        checked = tf.debugging.assert_less_equal(
            end, self.sequence_length, message=message
        )
        scope = f"sentence_longer_than_sequence_length_{self.sequence_length}"
        with tf.control_dependencies([checked]), tf.name_scope(scope):
            rows = tf.slice(table, (start, 0), (length, self.embed_dim))
        # If XLA doesn't know `start` it moves a late slice back into the table.
        return ops.where(end <= self.sequence_length, rows, float("nan"))

    def _refuse_longer(self, tokens_shape, start=0):
        """Raise if the sentence is known to be longer than the table."""
        if isinstance(start, Integral) and start < 0:
            raise ValueError(f"{self.name}: start must not be < 0, got {start}.")
        length = tokens_shape[1]
        if length is None or not isinstance(start, Integral):
            return  # known only when the graph runs: see _position_vectors
        if start + length > self.sequence_length:
            raise ValueError(self._too_long(f"{start + length} positions"))

    def _too_long(self, received):
        """Word the complaint about a long sentence."""
        return (
            f"{self.name}: tokens must have at most sequence_length="
            f"{self.sequence_length} positions, got {received}."
        )

    def compute_mask(self, tokens, previous_mask=None):
        """Return ``(B, T)``: True where there is a word, False where there is PAD."""
        return ops.not_equal(tokens, PAD)

    def compute_output_shape(self, tokens_shape):
        """Return ``(B, T, E)``; refuse a length that is known to be too long."""
        self._refuse_longer(tokens_shape)
        return (*tokens_shape, self.embed_dim)

    def get_config(self):
        """Return the arguments of the constructor."""
        return {
            **super().get_config(),
            "sequence_length": self.sequence_length,
            "vocab_size": self.vocab_size,
            "embed_dim": self.embed_dim,
        }


class _TransformerLayer(keras.layers.Layer):
    """What an encoder and a decoder layer share.

    Args:
        embed_dim: E, the width of what comes in and of what goes out.
        dense_dim: width of the hidden layer of the feed-forward network.
        num_heads: H; ``embed_dim`` must be a multiple of it.
        dropout: share of each sub-layer's output dropped in training, before it is
            added to the sub-layer's input.
        seed: seed of the dropout. Initial weights follow
            ``keras.utils.set_random_seed``.
    """

    def __init__(
        self, embed_dim, dense_dim, num_heads, dropout=0.0, seed=None, **kwargs
    ):
        super().__init__(**kwargs)
        self.embed_dim = _positive_int("embed_dim", embed_dim)
        self.dense_dim = _positive_int("dense_dim", dense_dim)
        self.num_heads = _positive_int("num_heads", num_heads)
        if self.embed_dim % self.num_heads:
            raise ValueError(
                "embed_dim must be a multiple of num_heads, got "
                f"embed_dim={embed_dim} and num_heads={num_heads}."
            )
        self.dropout = _share("dropout", dropout)
        self.seed = seed
        self.supports_masking = True
        self.input_spec = keras.layers.InputSpec(ndim=3)
        self._make_sublayers()

    def _make_sublayers(self):
        """Create the sub-layers common to both; subclasses add theirs."""
        self.self_attention = self._attention("self_attention")
        self.self_attention_norm = self._norm("self_attention_norm")
        self.hidden_dense = keras.layers.Dense(
            self.dense_dim, activation="relu", dtype=self.dtype_policy, name="hidden"
        )
        self.output_dense = keras.layers.Dense(
            self.embed_dim, dtype=self.dtype_policy, name="output"
        )
        self.feed_forward_norm = self._norm("feed_forward_norm")
        # One layer, called after every sub-layer: its generator moves on each time.
        self.dropout_layer = keras.layers.Dropout(
            self.dropout, seed=self.seed, dtype=self.dtype_policy, name="dropout"
        )

    def _attention(self, name):
        """Make a multi-head attention with heads of width ``E / H``."""
        return MultiHeadAttention(
            self.num_heads,
            self.embed_dim // self.num_heads,
            dtype=self.dtype_policy,
            name=name,
        )

    def _norm(self, name):
        """Make a layer normalization over the last axis."""
        return keras.layers.LayerNormalization(
            epsilon=1e-6, dtype=self.dtype_policy, name=name
        )

    def _build_sublayers(self, states_shape):
        """Give weights to the sub-layers common to both."""
        if states_shape[-1] != self.embed_dim:
            raise ValueError(
                f"{self.name}: inputs must have width embed_dim={self.embed_dim}, "
                f"got shape {tuple(states_shape)}."
            )
        self.self_attention.build(states_shape)
        self.self_attention_norm.build(states_shape)
        self.hidden_dense.build(states_shape)
        self.output_dense.build((*states_shape[:-1], self.dense_dim))
        self.feed_forward_norm.build(states_shape)
        self.input_spec = keras.layers.InputSpec(ndim=3, axes={-1: self.embed_dim})

    def _add_and_norm(self, norm, states, update, training):
        """Residual connection, then layer normalization: ``norm(states + update)``."""
        return norm(states + self.dropout_layer(update, training=training))

    def _feed_forward(self, states, training):
        """Equation 2 of Vaswani et al. (2017), with its residual and its norm."""
        update = self.output_dense(self.hidden_dense(states))
        return self._add_and_norm(self.feed_forward_norm, states, update, training)

    def get_config(self):
        """Return the arguments of the constructor."""
        return {
            **super().get_config(),
            "embed_dim": self.embed_dim,
            "dense_dim": self.dense_dim,
            "num_heads": self.num_heads,
            "dropout": self.dropout,
            "seed": self.seed,
        }


@keras.saving.register_keras_serializable(package="advanced_keras")
class TransformerEncoder(_TransformerLayer):
    """One encoder layer: self-attention, then a feed-forward network.

    Vaswani et al. (2017), section 3.1, left half of figure 1. Each sub-layer is
    followed by a residual sum and a layer normalization.

    Args:
        embed_dim: E.
        dense_dim: width of the hidden layer of the feed-forward network.
        num_heads: H; ``embed_dim`` must be a multiple of it.
        dropout: share of each sub-layer's output dropped in training.
        seed: seed of the dropout.

    Call arguments:
        inputs: embedded source, ``(B, S, E)``.
        mask: padding mask ``(B, S)`` of the source; Keras fills it in.

    Returns:
        The encoder states hbar, ``(B, S, E)``, with the mask of the source.

    Raises:
        ValueError: for an argument out of range.

    Example:
        >>> layer = TransformerEncoder(embed_dim=4, dense_dim=8, num_heads=2)
        >>> tuple(layer(ops.ones((1, 3, 4))).shape)
        (1, 3, 4)
    """

    def build(self, inputs_shape):
        """Create all weights, from the shape ``(B, S, E)`` alone."""
        self._build_sublayers(inputs_shape)

    def call(self, inputs, mask=None, training=None):
        """Return one state for each position of the source."""
        _checks.floating(inputs=inputs)
        attended = self.self_attention(inputs, mask=mask, training=training)
        states = self._add_and_norm(
            self.self_attention_norm, inputs, attended, training
        )
        return self._feed_forward(states, training)

    def compute_output_shape(self, inputs_shape):
        """Return the shape of the input."""
        return tuple(inputs_shape)


@keras.saving.register_keras_serializable(package="advanced_keras")
class TransformerDecoder(_TransformerLayer):
    """One decoder layer: causal self-attention, cross-attention, feed-forward.

    Vaswani et al. (2017), section 3.1, right half of figure 1. Self-attention looks at
    target positions up to its own; cross-attention looks at all encoder states of the
    *source*, so its mask is the source's padding mask.

    Args:
        embed_dim: E.
        dense_dim: width of the hidden layer of the feed-forward network.
        num_heads: H; ``embed_dim`` must be a multiple of it.
        dropout: share of each sub-layer's output dropped in training.
        seed: seed of the dropout.

    Call arguments:
        inputs: embedded target, ``(B, T, E)``.
        encoder_outputs: encoder states hbar, ``(B, S, E)``.
        inputs_mask: padding mask ``(B, T)`` of the target; Keras fills it in.
        encoder_outputs_mask: padding mask ``(B, S)`` of the source; Keras fills it in.

    Returns:
        Decoder states, ``(B, T, E)``, with the mask of the target.

    Raises:
        ValueError: for an argument out of range.

    Example:
        >>> layer = TransformerDecoder(embed_dim=4, dense_dim=8, num_heads=2)
        >>> tuple(layer(ops.ones((1, 3, 4)), ops.ones((1, 5, 4))).shape)
        (1, 3, 4)
    """

    def _make_sublayers(self):
        """Add the attention that looks at the encoder states."""
        super()._make_sublayers()
        self.cross_attention = self._attention("cross_attention")
        self.cross_attention_norm = self._norm("cross_attention_norm")

    def build(self, inputs_shape, encoder_outputs_shape=None):
        """Create all weights, from the shapes alone."""
        self._build_sublayers(inputs_shape)
        source = encoder_outputs_shape
        if source is not None and (len(source) != 3 or source[-1] != self.embed_dim):
            raise ValueError(
                f"{self.name}: encoder_outputs must have shape (B, S, E) with "
                f"embed_dim={self.embed_dim} as E, got {tuple(source)}."
            )
        self.cross_attention.build(inputs_shape, encoder_outputs_shape)
        self.cross_attention_norm.build(inputs_shape)

    def call(
        self,
        inputs,
        encoder_outputs,
        inputs_mask=None,
        encoder_outputs_mask=None,
        training=None,
    ):
        """Return one state for each position of the target."""
        _checks.floating(inputs=inputs, encoder_outputs=encoder_outputs)
        self._check_masks(inputs, encoder_outputs, inputs_mask, encoder_outputs_mask)
        attended = self.self_attention(
            inputs, mask=inputs_mask, use_causal_mask=True, training=training
        )
        states = self._add_and_norm(
            self.self_attention_norm, inputs, attended, training
        )
        crossed = self.cross_attention(
            states, encoder_outputs, value_mask=encoder_outputs_mask, training=training
        )
        informed = self._add_and_norm(
            self.cross_attention_norm, states, crossed, training
        )
        return self._feed_forward(informed, training)

    def _check_masks(self, inputs, encoder_outputs, inputs_mask, encoder_outputs_mask):
        """Refuse what the attentions would refuse too, by the names it has here."""
        fitting = {
            "inputs": (inputs, "(B, T, E)"),
            "encoder_outputs": (encoder_outputs, "(B, S, E)"),
            "inputs_mask": (inputs_mask, "(B, T)"),
            "encoder_outputs_mask": (encoder_outputs_mask, "(B, S)"),
        }
        _checks.axes(**{k: pair for k, pair in fitting.items() if pair[0] is not None})

    def attention_scores(
        self, inputs, encoder_outputs, inputs_mask=None, encoder_outputs_mask=None
    ):
        """Return the weights of both attentions, for looking at them.

        Args:
            inputs: embedded target, ``(B, T, E)``.
            encoder_outputs: encoder states, ``(B, S, E)``.
            inputs_mask: padding mask ``(B, T)`` of the target.
            encoder_outputs_mask: padding mask ``(B, S)`` of the source.

        Returns:
            The pair ``(self_weights, cross_weights)``: ``(B, H, T, T)`` and
            ``(B, H, T, S)``.
        """
        attended, self_weights = self.self_attention(
            inputs,
            mask=inputs_mask,
            use_causal_mask=True,
            return_attention_scores=True,
        )
        states = self.self_attention_norm(inputs + attended)
        _, cross_weights = self.cross_attention(
            states,
            encoder_outputs,
            value_mask=encoder_outputs_mask,
            return_attention_scores=True,
        )
        return self_weights, cross_weights

    def empty_cache(self, batch_size, length):
        """Make room for the self-attention keys and values of a decoding.

        Args:
            batch_size: B.
            length: T, the number of positions that will be decoded at most.

        Returns:
            The pair ``(K, V)`` of zeros, each ``(B, H, T, d)``.
        """
        d = self.embed_dim // self.num_heads
        shape = (batch_size, self.num_heads, length, d)
        empty = ops.zeros(shape, dtype=self.compute_dtype)
        return empty, empty

    def project_source(self, encoder_outputs):
        """Make the cross-attention keys and values, once for a whole decoding.

        Args:
            encoder_outputs: ``(B, S, E)``.

        Returns:
            The pair ``(K, V)``, each ``(B, H, S, d)``.
        """
        return self.cross_attention.project_keys_values(encoder_outputs)

    def decode_step(self, inputs, position, cache, source, mask=None, source_mask=None):
        """Compute one row of :meth:`call`, from what earlier steps left in the cache.

        Args:
            inputs: the embedded token at ``position``, ``(B, 1, E)``.
            position: t, an integer or a scalar integer tensor.
            cache: the pair ``(K, V)`` of self-attention, each ``(B, H, T, d)``, filled
                before ``position``; start with :meth:`empty_cache`.
            source: the pair ``(K, V)`` from :meth:`project_source`.
            mask: padding mask ``(B, T)`` of the target so far, or None.
            source_mask: padding mask ``(B, S)`` of the source, or None.

        Returns:
            The pair ``(outputs, cache)``: the state ``(B, 1, E)`` and the cache with
            ``position`` filled in.
        """
        cache = self._extend_cache(cache, inputs, position)
        # Row t of the causal mask: True at t' <= t, (1, 1, T).
        allowed = (ops.arange(ops.shape(cache[0])[2]) <= position)[None, None, :]
        if mask is not None:
            allowed = ops.logical_and(allowed, mask[:, None, :])
        attended = self.self_attention.attend(inputs, *cache, allowed)
        states = self.self_attention_norm(inputs + attended)
        seen = None if source_mask is None else source_mask[:, None, :]
        crossed = self.cross_attention.attend(states, *source, seen)
        informed = self.cross_attention_norm(states + crossed)
        return self._feed_forward(informed, training=False), cache

    def _extend_cache(self, cache, inputs, position):
        """Write the keys and values of one position into the cache."""
        new = self.self_attention.project_keys_values(inputs)
        start = (0, 0, position, 0)
        return tuple(
            ops.slice_update(old, start, row)
            for old, row in zip(cache, new, strict=True)
        )

    def compute_output_shape(self, inputs_shape, encoder_outputs_shape=None):
        """Return the shape of ``inputs``."""
        return tuple(inputs_shape)


@keras.saving.register_keras_serializable(package="advanced_keras")
class DecoderModel(keras.Model):
    """A functional model of (target tokens, encoder states) that accepts masks.

    A functional model warns that it "does not support masking" when its input carries
    a mask, although it hands the mask to the layers inside. This one doesn't warn.
    """

    def compute_mask(self, inputs, previous_mask=None):
        """Leave the mask of the output to the layers inside, which know it."""
        return None


class Transformer(NamedTuple):
    """The three models of the notes. They share their layers: train one, train all."""

    encoder: keras.Model
    decoder: keras.Model
    transformer: keras.Model


def build_encoder(
    *,
    sequence_length: int | None,
    vocab_size: int,
    embed_dim: int,
    dense_dim: int,
    num_heads: int,
    dropout: float = 0.0,
    seed: int | None = None,
) -> keras.Model:
    """Build the first model of the notes: source tokens to encoder states.

    Args:
        sequence_length: the longest source sentence, in tokens.
        vocab_size: V of the source language.
        embed_dim: E.
        dense_dim: hidden width of the feed-forward network.
        num_heads: H.
        dropout: share dropped after each sub-layer, in training.
        seed: seed of the dropout.

    Returns:
        A model from ``encoder_inputs`` ``(B, S)`` to states ``(B, S, E)``. The states
        carry the padding mask of the source.

    Example:
        >>> sizes = {"vocab_size": 10, "embed_dim": 4, "dense_dim": 8, "num_heads": 2}
        >>> build_encoder(sequence_length=6, **sizes).output_shape
        (None, None, 4)
    """
    encoder_inputs = keras.Input(shape=(None,), dtype="int64", name="encoder_inputs")
    embedded_source = PositionalEmbedding(
        sequence_length, vocab_size, embed_dim, name="encoder_embedding"
    )(encoder_inputs)
    encoder_outputs = TransformerEncoder(
        embed_dim, dense_dim, num_heads, dropout, seed, name="transformer_encoder"
    )(embedded_source)
    return keras.Model(encoder_inputs, encoder_outputs, name="encoder")


def build_decoder(
    *,
    sequence_length: int | None,
    vocab_size: int,
    embed_dim: int,
    dense_dim: int,
    num_heads: int,
    dropout: float = 0.0,
    seed: int | None = None,
) -> keras.Model:
    """Build the second model of the notes: (target tokens, states) to logits.

    The padding of the source must reach cross-attention. States that come from calling
    the encoder carry their mask with them. If they don't (an array, say), pass it::

        decoder([decoder_inputs, states], mask=[None, source_tokens != 0])

    Args:
        sequence_length: the longest target sentence, in tokens.
        vocab_size: V of the target language.
        embed_dim: E.
        dense_dim: hidden width of the feed-forward network.
        num_heads: H.
        dropout: share dropped after each sub-layer and before the logits, in training.
        seed: seed of the dropout.

    Returns:
        A model from the pair ``decoder_inputs`` ``(B, T)``, ``decoder_state_inputs``
        ``(B, S, E)`` to logits ``(B, T, V)``.
    """
    decoder_inputs = keras.Input(shape=(None,), dtype="int64", name="decoder_inputs")
    encoded_seq_inputs = keras.Input(
        shape=(None, embed_dim), name="decoder_state_inputs"
    )
    embedded_target = PositionalEmbedding(
        sequence_length, vocab_size, embed_dim, name="decoder_embedding"
    )(decoder_inputs)
    decoder_states = TransformerDecoder(
        embed_dim, dense_dim, num_heads, dropout, seed, name="transformer_decoder"
    )(embedded_target, encoded_seq_inputs)
    thinned_states = keras.layers.Dropout(
        dropout, seed=None if seed is None else seed + 1, name="decoder_dropout"
    )(decoder_states)
    # Logits keep full precision under a mixed policy: the loss exponentiates them.
    full = keras.config.dtype_policy().variable_dtype
    decoder_outputs = keras.layers.Dense(vocab_size, dtype=full, name="logits")(
        thinned_states
    )
    return DecoderModel(
        [decoder_inputs, encoded_seq_inputs], decoder_outputs, name="decoder"
    )


def build_transformer(
    *,
    sequence_length: int | None,
    source_vocab_size: int,
    target_vocab_size: int,
    embed_dim: int,
    dense_dim: int,
    num_heads: int,
    dropout: float = 0.0,
    seed: int | None = None,
) -> Transformer:
    """Build the third model of the notes, and the two that it consists of.

    Args:
        sequence_length: the longest sentence, in tokens, of either language.
        source_vocab_size: V of the source language.
        target_vocab_size: V of the target language.
        embed_dim: E.
        dense_dim: hidden width of the feed-forward networks.
        num_heads: H.
        dropout: share dropped after each sub-layer and before the logits, in training.
        seed: seed of the dropout.

    Returns:
        A :class:`Transformer`. Its ``transformer`` maps the pair ``encoder_inputs``
        ``(B, S)``, ``decoder_inputs`` ``(B, T)`` to logits ``(B, T, V)``.

    Example:
        >>> sizes = {"embed_dim": 4, "dense_dim": 8, "num_heads": 2}
        >>> vocabularies = {"source_vocab_size": 10, "target_vocab_size": 12}
        >>> models = build_transformer(sequence_length=6, **vocabularies, **sizes)
        >>> models.transformer.output_shape
        (None, None, 12)
    """
    sizes: dict[str, Any] = {
        "sequence_length": sequence_length,
        "embed_dim": embed_dim,
        "dense_dim": dense_dim,
        "num_heads": num_heads,
        "dropout": dropout,
    }
    encoder = build_encoder(vocab_size=source_vocab_size, seed=seed, **sizes)
    decoder_seed = None if seed is None else seed + 2
    decoder = build_decoder(vocab_size=target_vocab_size, seed=decoder_seed, **sizes)
    encoder_inputs, encoder_outputs = encoder.input, encoder.output
    decoder_inputs = keras.Input(shape=(None,), dtype="int64", name="decoder_inputs")
    decoder_outputs = decoder([decoder_inputs, encoder_outputs])
    transformer = keras.Model(
        [encoder_inputs, decoder_inputs], decoder_outputs, name="transformer"
    )
    return Transformer(encoder, decoder, transformer)


def split_transformer(transformer: keras.Model) -> Transformer:
    """Find the encoder and the decoder inside a full model, one just loaded, say.

    Args:
        transformer: a model from :func:`build_transformer`.

    Returns:
        A :class:`Transformer` whose models share the layers of ``transformer``.

    Raises:
        ValueError: if ``transformer`` has no layers ``transformer_encoder`` and
            ``decoder``.
    """
    _checks.instance("transformer", transformer, keras.Model, "a model")
    encoder_outputs = transformer.get_layer("transformer_encoder").output
    encoder = keras.Model(transformer.inputs[0], encoder_outputs, name="encoder")
    return Transformer(encoder, transformer.get_layer("decoder"), transformer)
