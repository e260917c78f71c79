"""Scaled dot-product attention and multi-head attention, from scratch.

Chapters: *Attention* and *Three models: the Transformer, traced*. The equations are
those of Vaswani et al., *Attention Is All You Need* (2017), sections 3.2.1 and 3.2.2.

Axes: B examples, T query positions, S key positions, E model width, H heads,
d width of a head. A mask is boolean and says what *may* be attended to.
"""

from __future__ import annotations

from numbers import Integral, Real
from typing import ClassVar

import keras
from keras import ops

from advanced_keras import _checks
from advanced_keras._types import Tensor

MASKED_SCORE = -1e30
"""The score of a forbidden position: finite, and its exponential is exactly 0."""


def causal_mask(length: Tensor) -> Tensor:
    """Say which positions each position of a sequence may look at: no later ones.

    Args:
        length: T, an integer or a scalar tensor.

    Returns:
        A boolean tensor ``(T, T)``, True at ``[t, t']`` where ``t' <= t``.

    Raises:
        TypeError: if ``length`` is a tensor of anything but integers.
        ValueError: if ``length`` is negative, no integer, or not a single one.

    Example:
        >>> print(causal_mask(3).numpy().astype(int))
        [[1 0 0]
         [1 1 0]
         [1 1 1]]
    """
    if hasattr(length, "dtype"):
        _checks.axes(length=(length, "()"))
        _checks.integers("length", length)
    else:
        _checks.whole("length", length, least=0)
    positions = ops.arange(length)
    return positions[:, None] >= positions[None, :]


def attention_weights(query: Tensor, key: Tensor, mask: Tensor | None = None) -> Tensor:
    """Compare every query with every key and turn the scores into shares.

    Equation 1 of Vaswani et al. (2017) without its last factor:
    ``softmax(Q K^T / sqrt(d))``. The softmax runs in float32 at least.

    Args:
        query: Q, ``(..., T, d)``.
        key: K, ``(..., S, d)``.
        mask: boolean, broadcastable to ``(..., T, S)``; True where attention is
            allowed. A query that may look nowhere gets weights 0, not 1/S each.

    Returns:
        Weights ``(..., T, S)``, in the dtype of ``query``.

    Raises:
        TypeError: if ``query`` or ``key`` is not floating-point, or ``mask`` is.
        ValueError: if the shapes of ``query``, ``key`` and ``mask`` don't fit.

    Example:
        >>> query = key = keras.ops.eye(2)[None]
        >>> print(attention_weights(query, key).numpy().round(2))
        [[[0.67 0.33]
          [0.33 0.67]]]
    """
    _checks.axes(query=(query, "(..., T, d)"), key=(key, "(..., S, d)"))
    _checks.leading(query=query, key=key)
    query, key = _checks.as_tensors(query, key)
    _checks.floating(query=query, key=key)
    # Scaled before the product: in float16 the product itself may overflow.
    scaled = query * query.shape[-1] ** -0.5
    scores = ops.matmul(scaled, ops.swapaxes(key, -1, -2))
    scores = ops.cast(scores, keras.backend.result_type(scores.dtype, "float32"))
    if mask is not None:
        _checks.mask("mask", mask, "(..., T, S)", tuple(scores.shape))
        scores = ops.where(mask, scores, MASKED_SCORE)
    # The softmax, written out. Subtracting the largest score changes nothing but keeps
    # the exponentials from overflowing. An empty batch has no largest score: `initial`.
    highest = ops.max(scores, axis=-1, keepdims=True, initial=MASKED_SCORE)
    highest = ops.stop_gradient(highest)
    shares = ops.exp(scores - highest)
    if mask is not None:
        # Matters for a row without any allowed key: there all scores are equal, and
        # the row would look everywhere. Now its shares are 0, and 0 / tiny is 0.
        shares = ops.where(mask, shares, 0.0)
    total = ops.maximum(ops.sum(shares, axis=-1, keepdims=True), 1e-30)
    return ops.cast(shares / total, query.dtype)


def scaled_dot_product_attention(
    query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Average the values, each weighted by how well its key fits the query.

    Equation 1 of Vaswani et al. (2017): ``softmax(Q K^T / sqrt(d)) V``.

    Args:
        query: Q, ``(..., T, d)``.
        key: K, ``(..., S, d)``.
        value: V, ``(..., S, d_v)``.
        mask: boolean, broadcastable to ``(..., T, S)``; True where attention is
            allowed. A query that may look nowhere gets a context of zeros.

    Returns:
        The pair ``(context, weights)``: ``(..., T, d_v)`` and ``(..., T, S)``.

    Raises:
        TypeError: if ``query`` or ``key`` is not floating-point, or ``mask`` is.
        ValueError: if the widths of ``query`` and ``key``, or the lengths of ``key``
            and ``value``, differ, or other axes don't fit.

    Example:
        >>> query = key = value = keras.ops.ones((1, 3, 8))
        >>> result, weights = scaled_dot_product_attention(query, key, value)
        >>> tuple(result.shape), tuple(weights.shape)
        ((1, 3, 8), (1, 3, 3))
    """
    _checks.axes(
        query=(query, "(..., T, d)"),
        key=(key, "(..., S, d)"),
        value=(value, "(..., S, d_v)"),
    )
    _checks.leading(query=query, key=key, value=value)
    query, key, value = _checks.as_tensors(query, key, value)
    weights = attention_weights(query, key, mask)
    return ops.matmul(weights, value), weights


def _positive_int(name, value):
    """Return ``value`` if it is a positive integer, else complain about ``name``."""
    if isinstance(value, bool) or not isinstance(value, Integral) or value <= 0:
        raise ValueError(f"{name} must be a positive integer, got {value!r}.")
    return int(value)


def _share(name, value):
    """Return ``value`` if it is a number in [0, 1), else complain about ``name``."""
    fits = isinstance(value, Real) and 0 <= value < 1  # type: ignore[operator]
    if not fits:
        raise ValueError(f"{name} must be in [0, 1), got {value!r}.")
    return float(value)


@keras.saving.register_keras_serializable(package="advanced_keras")
class MultiHeadAttention(keras.layers.Layer):
    """H attentions side by side, each on its own projection of the inputs.

    Vaswani et al. (2017), section 3.2.2: ``Concat(head_1, ..., head_H) W_O`` with
    ``head_i = Attention(Q W_Q_i, K W_K_i, V W_V_i)``. The H matrices of a role are
    kept side by side in one ``Dense`` kernel ``(E, H d)``: one product instead of H.

    Args:
        num_heads: H.
        key_dim: d, the width of a head. None means ``E // num_heads``, as in the
            paper, so that the number of weights does not depend on H.
        dropout: share of the attention weights dropped in training.
        use_bias: whether the four projections add a bias.
        seed: seed of the dropout. Initial weights follow
            ``keras.utils.set_random_seed``.

    Call arguments:
        query: ``(B, T, E)``.
        value: ``(B, S, E)``, or of another width; None means self-attention.
        key: ``(B, S, E)``, or of another width; None means ``value``.
        mask: padding mask ``(B, T)`` of ``query``; used in self-attention, where Keras
            fills it in by itself.
        query_mask: accepted because Keras fills it in; used in self-attention only.
            The row of a padded query is computed like any other: masking it would
            make it look nowhere, and nobody reads it.
        value_mask: padding mask ``(B, S)`` of ``value``; Keras fills it in.
        key_mask: padding mask ``(B, S)`` of ``key``; Keras fills it in.
        attention_mask: boolean ``(B, T, S)`` or broadcastable to it.
        use_causal_mask: whether position t may look at positions up to t only.
        return_attention_scores: return ``(output, weights)``, weights ``(B, H, T, S)``.

    Raises:
        TypeError: if a mask is made of fractions.
        ValueError: if ``num_heads``, ``key_dim`` or ``dropout`` is out of range, E is
            not a multiple of ``num_heads`` when ``key_dim`` is None, or the shapes of
            a call don't fit.

    Example:
        >>> attention = MultiHeadAttention(num_heads=2)
        >>> attention(keras.ops.ones((1, 3, 8))).shape
        TensorShape([1, 3, 8])
    """

    # A trace (advanced_keras.tracing) says of what a left-out argument is a copy.
    argument_defaults: ClassVar = {"value": "query", "key": "value"}

    def __init__(
        self, num_heads, key_dim=None, dropout=0.0, use_bias=True, seed=None, **kwargs
    ):
        super().__init__(**kwargs)
        self.num_heads = _positive_int("num_heads", num_heads)
        self.key_dim = key_dim if key_dim is None else _positive_int("key_dim", key_dim)
        self.dropout = _share("dropout", dropout)
        self.use_bias = use_bias
        self.seed = seed
        self.supports_masking = True
        self.dropout_layer = keras.layers.Dropout(
            self.dropout, seed=seed, dtype=self.dtype_policy, name="dropout"
        )

    def build(self, query_shape, value_shape=None, key_shape=None):
        """Create the four projections, from shapes alone."""
        value_shape = query_shape if value_shape is None else value_shape
        key_shape = value_shape if key_shape is None else key_shape
        shapes = {"query": query_shape, "value": value_shape, "key": key_shape}
        for name, shape in shapes.items():
            if len(shape) != 3:
                axes = "(B, T, E)" if name == "query" else "(B, S, E)"
                raise ValueError(f"{name} must have shape {axes}, got {tuple(shape)}.")
        width = query_shape[-1]
        if self.key_dim is None and width % self.num_heads:
            raise ValueError(
                "the width of query must be a multiple of num_heads when key_dim is "
                f"None, got width {width} and num_heads {self.num_heads}."
            )
        self.head_width = self.key_dim or width // self.num_heads
        all_heads = self.num_heads * self.head_width
        self.query_dense = self._projection(all_heads, query_shape, "query")
        self.key_dense = self._projection(all_heads, key_shape, "key")
        self.value_dense = self._projection(all_heads, value_shape, "value")
        self.output_dense = self._projection(width, (None, None, all_heads), "output")
        self.input_spec = keras.layers.InputSpec(ndim=3, axes={-1: width})

    def _projection(self, units, input_shape, name):
        """Make one ``Dense`` layer and give it its weights."""
        dense = keras.layers.Dense(
            units, use_bias=self.use_bias, dtype=self.dtype_policy, name=name
        )
        dense.build(input_shape)
        return dense

    def split_heads(self, projected):
        """Unflatten: ``(B, S, H d)`` becomes ``(B, H, S, d)``."""
        length = ops.shape(projected)[1]
        heads = ops.reshape(projected, (-1, length, self.num_heads, self.head_width))
        return ops.transpose(heads, (0, 2, 1, 3))

    def join_heads(self, heads):
        """Flatten: ``(B, H, T, d)`` becomes ``(B, T, H d)``."""
        length = ops.shape(heads)[2]
        rows = ops.transpose(heads, (0, 2, 1, 3))
        return ops.reshape(rows, (-1, length, self.num_heads * self.head_width))

    def project_keys_values(self, states, key_states=None):
        """Make the keys and values of a sequence, once for any number of queries.

        Args:
            states: ``(B, S, E)``.
            key_states: ``(B, S, E)`` if the keys come from elsewhere.

        Returns:
            The pair ``(K, V)``, each ``(B, H, S, d)``.
        """
        key_states = states if key_states is None else key_states
        keys = self.split_heads(self.key_dense(key_states))
        values = self.split_heads(self.value_dense(states))
        return keys, values

    def attend(
        self,
        query_states,
        keys,
        values,
        mask=None,
        return_weights=False,
        training=None,
    ):
        """Let query states look at keys and values that are already projected.

        Args:
            query_states: ``(B, T, E)``, not yet projected.
            keys: K, ``(B, H, S, d)``, from :meth:`project_keys_values`.
            values: V, ``(B, H, S, d)``.
            mask: boolean, broadcastable to ``(B, T, S)``.
            return_weights: return the weights ``(B, H, T, S)`` too.
            training: whether dropout is active.

        Returns:
            The output ``(B, T, E)``, or the pair ``(output, weights)``.
        """
        queries = self.split_heads(self.query_dense(query_states))
        if mask is not None:
            mask = ops.expand_dims(mask, -3)  # the same for every head: (B, 1, T, S)
        weights = attention_weights(queries, keys, mask)
        dropped = self.dropout_layer(weights, training=training)
        context = ops.matmul(dropped, values)
        output = self.output_dense(self.join_heads(context))
        return (output, weights) if return_weights else output

    def call(
        self,
        query,
        value=None,
        key=None,
        mask=None,
        query_mask=None,
        value_mask=None,
        key_mask=None,
        attention_mask=None,
        use_causal_mask=False,
        return_attention_scores=False,
        training=None,
    ):
        """Attend from ``query`` to ``value``; see the class for the arguments."""
        _check_call(query, value, key, attention_mask)
        of_query = {"mask": mask, "query_mask": query_mask}
        _check_padding(query, of_query, "(B, T)")
        of_value = {"value_mask": value_mask, "key_mask": key_mask}
        _check_padding(query if value is None else value, of_value, "(B, S)")
        if value is None:
            value = query
            own_masks = (value_mask, mask, query_mask)
            value_mask = next((m for m in own_masks if m is not None), None)
        allowed = _all_of(
            _as_row(value_mask),
            _as_row(key_mask),
            None if attention_mask is None else ops.cast(attention_mask, "bool"),
            causal_mask(ops.shape(query)[1]) if use_causal_mask else None,
        )
        keys, values = self.project_keys_values(value, key)
        return self.attend(
            query, keys, values, allowed, return_attention_scores, training
        )

    def compute_mask(self, query, previous_mask=None):
        """Pass the mask of ``query`` on: the output has one row per query."""
        return previous_mask

    def compute_output_shape(self, query_shape, value_shape=None, key_shape=None):
        """Return the shape of the output: that of the query."""
        return tuple(query_shape)

    def compute_output_spec(
        self, query, value=None, *args, return_attention_scores=False, **kwargs
    ):
        """Describe the output, and the weights if they are asked for."""
        output = keras.KerasTensor(query.shape, dtype=self.compute_dtype)
        if not return_attention_scores:
            return output
        length = (query if value is None else value).shape[1]
        shape = (query.shape[0], self.num_heads, query.shape[1], length)
        return output, keras.KerasTensor(shape, dtype=self.compute_dtype)

    def get_config(self):
        """Return the arguments of the constructor."""
        return {
            **super().get_config(),
            "num_heads": self.num_heads,
            "key_dim": self.key_dim,
            "dropout": self.dropout,
            "use_bias": self.use_bias,
            "seed": self.seed,
        }


def _check_call(query, value, key, attention_mask):
    """Refuse states, and a mask for the scores, whose shapes don't fit."""
    value = query if value is None else value
    key = value if key is None else key
    _checks.axes(
        query=(query, "(B, T, E)"),
        value=(value, "(B, S, E_value)"),
        key=(key, "(B, S, E_key)"),
    )
    if attention_mask is None:
        return
    given = _checks.shape_of("attention_mask", attention_mask)
    if given is not None and len(given) > 3:
        raise ValueError(
            "attention_mask must be the same for all heads, (B, T, S) or "
            f"broadcastable to it, got shape {given}."
        )
    shape = (*query.shape[:2], value.shape[1])
    _checks.mask("attention_mask", attention_mask, "(B, T, S)", shape)


def _check_padding(states, masks, form):
    """Refuse padding masks of another shape than the states they belong to."""
    for name, mask in masks.items():
        if mask is not None:
            _checks.mask(name, mask, form, tuple(states.shape[:2]))


def _as_row(padding_mask):
    """Say that every query sees the same keys: ``(B, S)`` becomes ``(B, 1, S)``."""
    if padding_mask is None:
        return None
    return ops.expand_dims(ops.cast(padding_mask, "bool"), 1)


def _all_of(*masks):
    """Allow what every mask allows; None stands for "everything"."""
    allowed = None
    for mask in masks:
        if mask is not None:
            allowed = mask if allowed is None else ops.logical_and(allowed, mask)
    return allowed
