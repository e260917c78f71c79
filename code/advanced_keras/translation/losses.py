"""One mask for the loss and the accuracy: the real tokens of the target.

Keras carries a mask along with a tensor (`_keras_mask`) and multiplies it into
losses and metrics by itself. What arrives with the logits is the mask of the
decoder's *input*. The classes here take their mask from the target, and only there.
"""

from __future__ import annotations

import keras
from keras import ops

from advanced_keras import _checks
from advanced_keras._types import Tensor
from advanced_keras.translation.text import PAD


def target_mask(y_true: Tensor) -> Tensor:
    """Return 1 where the target is a real token and 0 where it is padding.

    Args:
        y_true: target ids, `(B, T)`.

    Returns:
        float32 `(B, T)`.

    Example:
        >>> print(target_mask(ops.array([[5, 3, 0]])).numpy())
        [[1. 1. 0.]]
    """
    _checks.axes(y_true=(y_true, "(B, T)"))
    return ops.cast(ops.not_equal(y_true, PAD), "float32")


def token_crossentropy(y_true: Tensor, logits: Tensor) -> Tensor:
    """Return -log p(y_t) for every position, from logits.

    Args:
        y_true: target ids, `(B, T)`.
        logits: `(B, T, V)`.

    Returns:
        float32 `(B, T)`.

    Example:
        >>> logits = ops.zeros((1, 2, 4))
        >>> print(token_crossentropy(ops.array([[1, 0]]), logits).numpy().round(3))
        [[1.386 1.386]]
    """
    _checks.axes(y_true=(y_true, "(B, T)"), logits=(logits, "(B, T, V)"))
    logits = ops.cast(logits, "float32")
    return ops.sparse_categorical_crossentropy(y_true, logits, from_logits=True)


def token_hits(y_true: Tensor, logits: Tensor) -> Tensor:
    """Return 1 where the most likely token is the target, else 0.

    Args:
        y_true: target ids, `(B, T)`.
        logits: `(B, T, V)`.

    Returns:
        float32 `(B, T)`.

    Example:
        >>> logits = ops.array([[[0.0, 1.0], [1.0, 0.0]]])
        >>> print(token_hits(ops.array([[1, 1]]), logits).numpy())
        [[1. 0.]]
    """
    _checks.axes(y_true=(y_true, "(B, T)"), logits=(logits, "(B, T, V)"))
    y_true, logits = _checks.as_tensors(y_true, logits)
    guess = ops.cast(ops.argmax(logits, axis=-1), y_true.dtype)
    return ops.cast(ops.equal(y_true, guess), "float32")


def _weights(y_true, sample_weight):
    """Return the target mask, times the caller's weights for sentences or tokens."""
    mask = target_mask(y_true)
    if sample_weight is None:
        return mask
    sample_weight = ops.cast(sample_weight, "float32")
    if len(sample_weight.shape) == 1:
        sample_weight = sample_weight[:, None]
    return mask * sample_weight


@keras.saving.register_keras_serializable(package="advanced_keras")
class MaskedCrossentropy(keras.losses.Loss):
    r"""Mean cross-entropy over the real target tokens of a batch.

    $\sum_{b,t} m_{bt} \, (-\log p_{bt}) / \sum_{b,t} m_{bt}$, where $m$ is 1 on real
    target tokens. It replaces `Loss.__call__`, because that is where Keras would
    multiply by the mask that arrives with ``y_pred``.

    Args:
        name: of the loss.

    Called with target ids `(B, T)`, logits `(B, T, V)`, and optional weights `(B,)`
    or `(B, T)`, which scale the terms of the sum. Returns a scalar, 0 if the batch
    holds nothing but padding.
    """

    def __init__(self, name: str = "masked_crossentropy"):
        super().__init__(name=name, reduction="none")  # __call__ takes the mean itself

    def __call__(self, y_true, y_pred, sample_weight=None):
        """Return the mean over real target tokens, a scalar."""
        y_true = ops.convert_to_tensor(y_true)
        terms = self.call(y_true, y_pred) * _weights(y_true, sample_weight)
        return ops.sum(terms) / ops.maximum(ops.sum(target_mask(y_true)), 1.0)

    def call(self, y_true, y_pred):
        """Return the cross-entropy of every position, unmasked, `(B, T)`."""
        return token_crossentropy(y_true, ops.convert_to_tensor(y_pred))

    def get_config(self):
        """Return what rebuilds the loss."""
        return {"name": self.name}


class _TokenMean(keras.metrics.Metric):
    """A mean over all real target tokens seen since the last reset.

    Sums and counts are kept apart, so batches with more tokens count for more. The
    `loss` that `evaluate` prints is a mean of batch means, which is not the same.
    """

    def __init__(self, name: str, dtype="float32", **kwargs):
        super().__init__(name=name, dtype=dtype, **kwargs)
        self.total = self.add_variable((), "zeros", name="total")
        self.count = self.add_variable((), "zeros", name="count")

    def values(self, y_true, y_pred):
        """Return what is averaged, one value per position, `(B, T)`."""
        raise NotImplementedError

    def update_state(self, y_true, y_pred, sample_weight=None):
        """Add a batch: ids `(B, T)`, logits `(B, T, V)`, weights `(B,)` or `(B, T)`."""
        y_true, y_pred = ops.convert_to_tensor(y_true), ops.convert_to_tensor(y_pred)
        weights = _weights(y_true, sample_weight)
        self.total.assign_add(ops.sum(self.values(y_true, y_pred) * weights))
        self.count.assign_add(ops.sum(weights))

    def result(self):
        """Return the mean so far, 0 before the first token."""
        return ops.divide_no_nan(self.total, self.count)


@keras.saving.register_keras_serializable(package="advanced_keras")
class TokenLoss(_TokenMean):
    """Cross-entropy per real target token, over all batches.

    Args:
        name: of the metric.
        dtype: of its variables.
    """

    def __init__(self, name: str = "token_loss", dtype="float32", **kwargs):
        super().__init__(name=name, dtype=dtype, **kwargs)

    def values(self, y_true, y_pred):
        """Return -log p(y_t), `(B, T)`."""
        return token_crossentropy(y_true, y_pred)


@keras.saving.register_keras_serializable(package="advanced_keras")
class TokenAccuracy(_TokenMean):
    """Share of real target tokens that are the most likely token.

    Args:
        name: of the metric.
        dtype: of its variables.
    """

    def __init__(self, name: str = "token_accuracy", dtype="float32", **kwargs):
        super().__init__(name=name, dtype=dtype, **kwargs)

    def values(self, y_true, y_pred):
        """Return 1 for a hit and 0 for a miss, `(B, T)`."""
        return token_hits(y_true, y_pred)
