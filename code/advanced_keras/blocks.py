"""Encoder blocks with parts that can be taken out, and measures of a deep stack.

Chapter: *Attention, skip connections, layer norm*. The block is that of Vaswani et al.,
*Attention Is All You Need* (2017), section 3.1; where its layer normalization stands is
the subject of Xiong et al., *On Layer Normalization in the Transformer Architecture*
(2020).

Axes: B examples, S positions, E model width, H heads, V vocabulary, L blocks.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf

from advanced_keras import _checks
from advanced_keras.attention import _positive_int
from advanced_keras.transformer import PositionalEmbedding, TransformerEncoder

QUESTIONS = ("before", "mirrored")
"""What is asked about each position: see :func:`make_neighbours`."""


@keras.saving.register_keras_serializable(package="advanced_keras")
class EncoderBlock(TransformerEncoder):
    """The encoder layer, with a choice of norm and a skip connection to take out.

    For each of its two sub-layers F (attention, feed-forward), with x its input:

    ============  ===========================  =====================
    ``norm``      ``residual=True``            ``residual=False``
    ============  ===========================  =====================
    ``"post"``    ``norm(x + F(x))``           ``norm(F(x))``
    ``"pre"``     ``x + F(norm(x))``           ``F(norm(x))``
    ``None``      ``x + F(x)``                 ``F(x)``
    ============  ===========================  =====================

    The first cell is Vaswani et al. (2017), and :class:`TransformerEncoder`.

    Args:
        embed_dim: E.
        dense_dim: width of the hidden layer of the feed-forward network.
        num_heads: H; ``embed_dim`` must be a multiple of it.
        norm: ``"post"``, ``"pre"`` or None.
        residual: whether a sub-layer's input is added to its output.
        dropout: share of each sub-layer's output dropped in training.
        seed: seed of the dropout.

    Call arguments:
        inputs: ``(B, S, E)``.
        mask: padding mask ``(B, S)``; Keras fills it in.

    Returns:
        ``(B, S, E)``, with the mask of the input.

    Raises:
        ValueError: for an argument out of range.
    """

    def __init__(
        self,
        embed_dim,
        dense_dim,
        num_heads,
        norm="post",
        residual=True,
        dropout=0.0,
        seed=None,
        **kwargs,
    ):
        if norm not in ("post", "pre", None):
            raise ValueError(f"norm must be 'post', 'pre' or None, got {norm!r}.")
        if not isinstance(residual, bool):
            raise ValueError(f"residual must be True or False, got {residual!r}.")
        # First, because super().__init__ makes the sub-layers and asks for it.
        self.norm = norm
        super().__init__(embed_dim, dense_dim, num_heads, dropout, seed, **kwargs)
        self.residual = residual

    def _norm(self, name):
        """Make a layer normalization, or a layer that does nothing."""
        if self.norm is None:
            return keras.layers.Identity(dtype=self.dtype_policy, name=name)
        return super()._norm(name)

    def call(self, inputs, mask=None, training=None):
        """Return one state for each position."""

        def attend(x):
            return self.self_attention(x, mask=mask, training=training)

        def feed_forward(x):
            return self.output_dense(self.hidden_dense(x))

        attended = self._around(attend, self.self_attention_norm, inputs, training)
        return self._around(feed_forward, self.feed_forward_norm, attended, training)

    def _around(self, sublayer, norm, x, training):
        """One cell of the table: a sub-layer with what stands around it."""
        update = sublayer(norm(x) if self.norm == "pre" else x)
        update = self.dropout_layer(update, training=training)
        y = x + update if self.residual else update
        return norm(y) if self.norm == "post" else y

    def attention_weights(self, inputs, mask=None):
        """Return the weights A ``(B, H, S, S)`` of the block, for looking at them."""
        x = self.self_attention_norm(inputs) if self.norm == "pre" else inputs
        return self.self_attention(x, mask=mask, return_attention_scores=True)[1]

    def get_config(self):
        """Return the arguments of the constructor."""
        return {**super().get_config(), "norm": self.norm, "residual": self.residual}


@keras.saving.register_keras_serializable(package="advanced_keras")
class FusedAdam(keras.optimizers.Adam):
    """Keras's Adam, with TensorFlow's own operation for each variable's update.

    Keras writes the update of Kingma and Ba (2015) as a dozen operations a variable. A
    deep stack has hundreds of variables, and most of the time until its first step is
    spent on building them. The numbers are the same.

    Args:
        learning_rate: a number or a schedule.
        **kwargs: as for ``keras.optimizers.Adam``, without ``amsgrad``.

    Raises:
        ValueError: for ``amsgrad=True``, which the operation does not know.
    """

    def __init__(self, learning_rate=0.001, **kwargs):
        if kwargs.get("amsgrad"):
            raise ValueError(
                "amsgrad must be False for FusedAdam; use keras.optimizers.Adam, got "
                f"amsgrad={kwargs['amsgrad']!r}."
            )
        super().__init__(learning_rate, **kwargs)

    def update_step(self, gradient, variable, learning_rate):
        """Apply algorithm 1 of Kingma and Ba (2015) to one variable."""
        number = self._get_variable_index(variable)
        step = tf.cast(self.iterations.value + 1, variable.dtype)
        tf.raw_ops.ResourceApplyAdam(
            var=variable.handle,
            m=self._momentums[number].value.handle,
            v=self._velocities[number].value.handle,
            beta1_power=tf.pow(tf.cast(self.beta_1, variable.dtype), step),
            beta2_power=tf.pow(tf.cast(self.beta_2, variable.dtype), step),
            lr=tf.cast(learning_rate, variable.dtype),
            beta1=self.beta_1,
            beta2=self.beta_2,
            epsilon=self.epsilon,
            grad=gradient,
        )


class Neighbours(NamedTuple):
    """Sequences and the answers to two questions about each position.

    ``tokens`` is ``(B, S)``; ``answers`` has one such array for each of
    :data:`QUESTIONS`. All hold 1 to ``symbols``.
    """

    tokens: np.ndarray
    answers: dict[str, np.ndarray]


def make_neighbours(
    count: int, length: int = 10, symbols: int = 10, seed: int | None = 0
) -> Neighbours:
    """Make sequences of random tokens, and ask at each position for two others.

    ``before``: which token stands one place before (for the first: the last one)?
    ``mirrored``: which token stands at the mirrored place, as far from the end as this
    one from the beginning?

    Args:
        count: B, the number of sequences.
        length: S.
        symbols: the number of different tokens; they are 1 to ``symbols``, since 0 is
            padding.
        seed: seed of the tokens.

    Returns:
        A :class:`Neighbours`.

    Raises:
        ValueError: if ``count``, ``length`` or ``symbols`` is no positive integer.

    Example:
        >>> data = make_neighbours(count=1, length=4)
        >>> data.tokens.tolist(), data.answers["mirrored"].tolist()
        ([[9, 7, 6, 3]], [[3, 6, 7, 9]])
    """
    _positive_int("count", count)
    _positive_int("length", length)
    _positive_int("symbols", symbols)
    rng = np.random.default_rng(seed)
    tokens = rng.integers(1, symbols + 1, (count, length))
    answers = {"before": np.roll(tokens, 1, axis=1), "mirrored": tokens[:, ::-1]}
    return Neighbours(tokens, answers)


def build_stack(
    depth: int,
    *,
    length: int = 10,
    symbols: int = 10,
    embed_dim: int = 32,
    dense_dim: int = 64,
    num_heads: int = 2,
    norm: str = "post",
    residual: bool = True,
    positions: bool = True,
    learning_rate: float = 1e-3,
) -> keras.Model:
    """Build a model for :func:`make_neighbours`: L blocks between embedding and logits.

    The embedded tokens are normalized once, as in BERT, so that every variant of the
    block gets states of variance 1. With ``norm="pre"`` the last states are normalized,
    too: nothing in the blocks has done it (Xiong et al., 2020, table 1).

    Args:
        depth: L, the number of blocks.
        length: S.
        symbols: the number of different tokens; V is one more, for padding.
        embed_dim: E.
        dense_dim: width of the hidden layer of the feed-forward networks.
        num_heads: H.
        norm: see :class:`EncoderBlock`.
        residual: see :class:`EncoderBlock`.
        positions: whether tokens know their place; else the table of positions is 0
            and stays so.
        learning_rate: of the optimizer, :class:`FusedAdam`.

    Returns:
        A compiled model from tokens ``(B, S)`` to logits ``(B, S, V)`` for each of
        :data:`QUESTIONS`.

    Raises:
        ValueError: for an argument out of range.

    Example:
        >>> stack = build_stack(depth=2)
        >>> [block.name for block in blocks_of(stack)]
        ['block_1', 'block_2']
    """
    _positive_int("length", length)
    vocabulary = _positive_int("symbols", symbols) + 1
    tokens = keras.Input((length,), dtype="int64", name="tokens")
    embedding = PositionalEmbedding(length, vocabulary, embed_dim, name="embedding")
    states = embedding(tokens)
    states = keras.layers.LayerNormalization(name="embedding_norm")(states)
    for number in range(1, _positive_int("depth", depth) + 1):
        block = EncoderBlock(
            embed_dim, dense_dim, num_heads, norm, residual, name=f"block_{number}"
        )
        states = block(states)
    if norm == "pre":
        states = keras.layers.LayerNormalization(name="last_norm")(states)
    logits = {q: keras.layers.Dense(vocabulary, name=q)(states) for q in QUESTIONS}
    model = keras.Model(tokens, logits, name="stack")
    if not positions:
        table = embedding.position_embedding
        table.embeddings.assign(0 * table.embeddings)
        table.trainable = False
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(
        optimizer=FusedAdam(learning_rate),
        loss=dict.fromkeys(QUESTIONS, loss),
        metrics={question: ["accuracy"] for question in QUESTIONS},
    )
    # Its variables exist from now on: a saved model is complete before it is trained,
    # and `fit` need not trace its step a second time.
    model.optimizer.build(model.trainable_variables)
    return model


def blocks_of(stack: keras.Model) -> list[EncoderBlock]:
    """Return the blocks of a model from :func:`build_stack`, from input to output."""
    _checks.instance("stack", stack, keras.Model, "a model from build_stack")
    return [layer for layer in stack.layers if isinstance(layer, EncoderBlock)]


def _states(stack):
    """Return the symbols of the states before the first block and after each one."""
    first = stack.get_layer("embedding_norm").output
    return [first, *(block.output for block in blocks_of(stack))]


def states_by_depth(stack: keras.Model, tokens: Any) -> list[np.ndarray]:
    """Return the states before the first block, and after each one.

    Args:
        stack: a model from :func:`build_stack`.
        tokens: ``(B, S)``.

    Returns:
        A list of L + 1 arrays ``(B, S, E)``.

    Example:
        >>> stack = build_stack(depth=2)
        >>> [state.shape for state in states_by_depth(stack, np.ones((1, 10), int))]
        [(1, 10, 32), (1, 10, 32), (1, 10, 32)]
    """
    _check_tokens(stack, tokens)
    states = keras.Model(stack.input, _states(stack))(tf.convert_to_tensor(tokens))
    return [np.asarray(state) for state in states]


class GradientNorms(NamedTuple):
    """Lengths of gradients of the loss, from the input of a stack to its output.

    ``states``: by the states before block 1, ..., before block L, and after it
    (L + 1 numbers). ``weights``: by the second matrix of the feed-forward network of
    each block (L numbers), which is what Xiong et al. (2020, figure 3) plot.
    """

    states: np.ndarray
    weights: np.ndarray


def gradient_norms(stack: keras.Model, tokens: Any, answers: Any) -> GradientNorms:
    """Measure what gradient arrives at each depth of a stack.

    Args:
        stack: a model from :func:`build_stack`.
        tokens: ``(B, S)``.
        answers: ``(B, S)`` for each of :data:`QUESTIONS`.

    Returns:
        A :class:`GradientNorms`.

    Example:
        >>> stack, data = build_stack(depth=2), make_neighbours(count=8)
        >>> norms = gradient_norms(stack, *data)
        >>> norms.states.shape, norms.weights.shape
        ((3,), (2,))
    """
    _check_tokens(stack, tokens)
    _check_answers(answers, tokens)
    opened = keras.Model(stack.input, [_states(stack), stack.output])
    kernels = [block.output_dense.kernel.value for block in blocks_of(stack)]
    with tf.GradientTape() as tape:
        states, logits = opened(tf.convert_to_tensor(tokens))
        loss = stack.compute_loss(y=answers, y_pred=logits)
    by_states, by_weights = tape.gradient(loss, [states, kernels])
    return GradientNorms(
        np.array([float(tf.norm(gradient)) for gradient in by_states]),
        np.array([float(tf.norm(gradient)) for gradient in by_weights]),
    )


def _check_tokens(stack, tokens):
    """Refuse tokens that the stack can't read."""
    _checks.instance("stack", stack, keras.Model, "a model from build_stack")
    _checks.axes(tokens=(tokens, f"(B, {stack.input_shape[1]})"))


def _check_answers(answers, tokens):
    """Refuse answers that are not one array for each question."""
    if not isinstance(answers, dict) or set(answers) != set(QUESTIONS):
        raise ValueError(
            f"answers must be a dict with the keys {QUESTIONS}, got {answers!r}."
        )
    for answer in answers.values():
        _checks.axes(tokens=(tokens, "(B, S)"), answers=(answer, "(B, S)"))
