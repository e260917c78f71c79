"""Losses that say what a problem is about; chapter `custom_loss`.

Each loss comes twice: as a function that shows the mathematics, and as a registered
`keras.losses.Loss` that carries the parameters and survives saving.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from numbers import Real

import keras
from keras import ops

from advanced_keras import _checks
from advanced_keras._types import Tensor

# -- what may come in


def _number(name: str, value, low: float = -math.inf, high: float = math.inf) -> float:
    """Return ``value`` as a float if it is a number with low < value < high."""
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(f"{name} must be a number, got {value!r}.")
    if not low < value < high:  # type: ignore[operator]  # Real is ordered
        raise ValueError(
            f"{name} must lie strictly between {low} and {high}, got {value}."
        )
    return float(value)


def _levels(quantiles) -> tuple[float, ...]:
    """Return one level or several as a tuple of floats in (0, 1)."""
    if isinstance(quantiles, Real):
        quantiles = [quantiles]
    if not isinstance(quantiles, (list, tuple)):
        raise TypeError(
            f"quantiles must be a number or a list of numbers, got {quantiles!r}."
        )
    if not quantiles:
        raise ValueError("quantiles must hold at least one level, got none.")
    return tuple(_number("quantiles", q, 0, 1) for q in quantiles)


def _gamma(gamma) -> float:
    """Return the focusing parameter as a float, at least 0."""
    gamma = _number("gamma", gamma)
    if gamma < 0:
        raise ValueError(f"gamma must be at least 0, got {gamma}.")
    return gamma


def _class_weights(alpha) -> tuple[float, float]:
    """Return the weights of class 1 and of class 0; 1 and 1 if alpha is None."""
    if alpha is None:
        return 1.0, 1.0
    alpha = _number("alpha", alpha, 0, 1)
    return alpha, 1.0 - alpha


def _nonzero(a) -> float:
    """Return the asymmetry as a float that is not 0."""
    if _number("a", a) == 0:
        raise ValueError("a must not be 0: without asymmetry there is no linex loss.")
    return float(a)


def _agree(shape, other) -> bool:
    """Whether two static shapes can be the same; None agrees with any size."""
    return len(shape) == len(other) and all(
        m is None or n is None or m == n for m, n in zip(shape, other, strict=True)
    )


def _floating(x):
    """Return a float tensor: floats as they are, integers in Keras's own dtype."""
    x = ops.convert_to_tensor(x)
    if keras.backend.is_float_dtype(keras.backend.standardize_dtype(x.dtype)):
        return x
    return ops.cast(x, keras.backend.floatx())


def align(
    y_true: Tensor, y_pred: Tensor, name: str = "y_pred"
) -> tuple[Tensor, Tensor]:
    """Return both as float tensors of one shape, or refuse.

    `(batch,)` beside `(batch, 1)` is the one difference that is mended. Without this
    the difference of the two would have the shape `(batch, batch)`, and no error.

    Args:
        y_true: targets, `(batch, ...)`.
        y_pred: predictions, `(batch, ..., units)`.
        name: what ``y_pred`` is called where it is refused.

    Returns:
        The two tensors, in the dtype of ``y_pred`` (if that is a float).

    Raises:
        ValueError: if the shapes still differ.
    """
    _checks.axes(y_true=(y_true, "(...)"), **{name: (y_pred, "(...)")})
    y_pred = _floating(y_pred)
    y_true = ops.cast(y_true, y_pred.dtype)
    if len(y_true.shape) + 1 == len(y_pred.shape) and y_pred.shape[-1] == 1:
        y_true = ops.expand_dims(y_true, -1)
    if len(y_pred.shape) == 0 or not _agree(y_true.shape, y_pred.shape):
        raise ValueError(
            f"y_true must have the shape of {name}, with at least a batch axis: got "
            f"{tuple(y_true.shape)} for y_true and {tuple(y_pred.shape)} for {name}."
        )
    return y_true, y_pred


# -- quantiles


def pinball(
    y_true: Tensor, y_pred: Tensor, quantiles: float | Sequence[float]
) -> Tensor:
    r"""Return the pinball (quantile) loss of each example.

    $\max(q\,e, (q - 1)\,e)$ with $e = y - \hat y$, averaged over the levels $q$. Its
    mean is smallest where $\hat y$ is the $q$-quantile of $y$ (Koenker and Bassett
    1978, "Regression Quantiles"). Chapter `custom_loss`.

    Args:
        y_true: targets, `(batch, ...)` or `(batch, ..., 1)`.
        y_pred: one prediction a level, `(batch, ..., levels)`, in units of ``y_true``.
        quantiles: a level in (0, 1), or a list of levels.

    Returns:
        `(batch, ...)`, in units of ``y_true``.

    Raises:
        ValueError: for levels outside (0, 1) or shapes that don't fit.
        TypeError: if ``quantiles`` are not numbers.

    Example:
        >>> y_true, y_pred = [[1.0], [1.0]], [[0.0], [2.0]]
        >>> print(pinball(y_true, y_pred, quantiles=0.9).numpy().round(2))
        [0.9 0.1]
    """
    _checks.axes(y_true=(y_true, "(...)"), y_pred=(y_pred, "(...)"))
    levels = _levels(quantiles)
    y_pred = _floating(y_pred)
    if len(y_pred.shape) < 2 or y_pred.shape[-1] != len(levels):
        raise ValueError(
            f"y_pred must have one prediction for each of the {len(levels)} levels on "
            f"its last axis, (batch, ..., {len(levels)}), got {tuple(y_pred.shape)}."
        )
    y_true, _ = align(y_true, y_pred[..., :1])  # one target for all levels
    q = ops.convert_to_tensor(levels, dtype=y_pred.dtype)
    e = y_true - y_pred
    return ops.mean(ops.maximum(q * e, (q - 1) * e), axis=-1)


@keras.saving.register_keras_serializable(package="advanced_keras")
class PinballLoss(keras.losses.Loss):
    """The pinball loss, for one quantile or several; chapter `custom_loss`.

    Args:
        quantiles: a level in (0, 1), or a list of levels. The model has one output
            unit a level.
        name: of the loss.
        **kwargs: ``reduction`` and ``dtype``, as of `keras.losses.Loss`.

    Raises:
        ValueError: for levels outside (0, 1).
        TypeError: if ``quantiles`` are not numbers.

    Example:
        >>> loss = PinballLoss(quantiles=[0.1, 0.9])
        >>> print(loss([[1.0]], [[0.0, 2.0]]).numpy().round(2))
        0.1
    """

    def __init__(self, quantiles=0.5, name="pinball", **kwargs):
        super().__init__(name=name, **kwargs)
        self.quantiles = _levels(quantiles)

    def call(self, y_true, y_pred):
        """Return the loss of each example; see :func:`pinball`."""
        return pinball(y_true, y_pred, self.quantiles)

    def get_config(self):
        """Return what rebuilds the loss: the levels, and the dtype that Keras omits."""
        own = {"quantiles": list(self.quantiles), "dtype": self.dtype}
        return {**super().get_config(), **own}


# -- rare classes


def binary_focal(
    y_true: Tensor, logits: Tensor, gamma: float = 2.0, alpha: float | None = None
) -> Tensor:
    r"""Return the focal loss of each example, from logits.

    $-\alpha_t (1 - p_t)^\gamma \log p_t$, equation 5 of Lin et al. 2017, "Focal Loss
    for Dense Object Detection", with $p_t$ the probability given to the true class.
    Both factors are taken from logarithms, so nothing saturates and $(1 - p_t)^\gamma$
    has a gradient at $p_t = 1$ for every $\gamma$. Chapter `custom_loss`.

    Args:
        y_true: 0 or 1 (or a probability), `(batch, ..., units)`.
        logits: log-odds of class 1, same shape.
        gamma: how much less an easy example counts; 0 gives the cross-entropy.
        alpha: weight of class 1, class 0 has ``1 - alpha``; None weighs both with 1.

    Returns:
        `(batch, ...)`, the mean over the last axis, in nats.

    Raises:
        ValueError: for gamma below 0, alpha outside (0, 1), or unequal shapes.
        TypeError: if gamma or alpha is not a number.

    Example:
        >>> print(binary_focal([[1.0]], [[0.0]], gamma=0.0).numpy().round(4))
        [0.6931]
    """
    _checks.axes(y_true=(y_true, "(...)"), logits=(logits, "(...)"))
    gamma, (weight_1, weight_0) = _gamma(gamma), _class_weights(alpha)
    y_true, logits = align(y_true, logits, "logits")
    minus_log_p = ops.softplus(-logits)  # p = sigmoid(logits)
    minus_log_1_p = ops.softplus(logits)
    loss_1 = weight_1 * ops.exp(-gamma * minus_log_1_p) * minus_log_p
    loss_0 = weight_0 * ops.exp(-gamma * minus_log_p) * minus_log_1_p
    return ops.mean(y_true * loss_1 + (1 - y_true) * loss_0, axis=-1)


@keras.saving.register_keras_serializable(package="advanced_keras")
class BinaryFocalLoss(keras.losses.Loss):
    """The focal loss from logits; chapter `custom_loss`.

    Args:
        gamma: how much less an easy example counts, at least 0.
        alpha: weight of class 1 in (0, 1), or None for equal weights.
        name: of the loss.
        **kwargs: ``reduction`` and ``dtype``, as of `keras.losses.Loss`.

    Raises:
        ValueError: for gamma below 0 or alpha outside (0, 1).
        TypeError: if gamma or alpha is not a number.

    Example:
        >>> loss = BinaryFocalLoss(gamma=2.0)
        >>> print(loss([[1.0]], [[0.0]]).numpy().round(4))
        0.1733
    """

    def __init__(self, gamma=2.0, alpha=None, name="binary_focal", **kwargs):
        super().__init__(name=name, **kwargs)
        self.gamma = _gamma(gamma)
        self.alpha = None if alpha is None else _class_weights(alpha)[0]

    def call(self, y_true, y_pred):
        """Return the loss of each example; see :func:`binary_focal`."""
        return binary_focal(y_true, y_pred, self.gamma, self.alpha)

    def get_config(self):
        """Return what rebuilds the loss: gamma, alpha and the dtype."""
        own = {"gamma": self.gamma, "alpha": self.alpha, "dtype": self.dtype}
        return {**super().get_config(), **own}


def focal_probability(
    logits: Tensor, gamma: float = 2.0, alpha: float | None = None
) -> Tensor:
    r"""Return the probability of class 1 that a model trained with focal loss means.

    The focal loss is smallest not where $p = \eta$, the true probability, but where

    $\eta\,\alpha\,\ell'(p) = (1 - \eta)(1 - \alpha)\,\ell'(1 - p)$,
    $\ell(p) = -(1 - p)^\gamma \log p$.

    This solves for $\eta$. Without alpha it is in Charoenphakdee et al. 2021, "On
    Focal Loss for Class-Posterior Probability Estimation: A Theoretical Perspective".
    Chapter `custom_loss`.

    Args:
        logits: outputs of the model, any shape.
        gamma: of the loss it was trained with.
        alpha: of the loss it was trained with.

    Returns:
        Probabilities, same shape; ``sigmoid(logits)`` for gamma 0 without alpha.

    Raises:
        ValueError: for gamma below 0 or alpha outside (0, 1).
        TypeError: if gamma or alpha is not a number.

    Example:
        >>> print(focal_probability([[0.0], [2.0]]).numpy().round(3))
        [[0.5  ]
         [0.995]]
    """
    _checks.axes(logits=(logits, "(...)"))
    gamma, (weight_1, weight_0) = _gamma(gamma), _class_weights(alpha)
    z = ops.cast(logits, keras.backend.floatx())
    p, q = ops.sigmoid(z), ops.sigmoid(-z)
    slope_1 = q + gamma * p * ops.softplus(-z)  # -dl(p)/dz = q^gamma * slope_1
    slope_0 = p + gamma * q * ops.softplus(z)
    odds = gamma * z + ops.log(slope_0) - ops.log(slope_1)
    return ops.sigmoid(odds + math.log(weight_0 / weight_1))


# -- errors of unequal cost


def linex(y_true: Tensor, y_pred: Tensor, a: float = 1.0) -> Tensor:
    r"""Return the linex loss of each example.

    $e^{a e} - a e - 1$ with $e = \hat y - y$: exponential on one side, linear on the
    other (Zellner 1986). For $y$ normal with mean $\mu$ and variance $\sigma^2$ it is
    smallest at $\mu - a \sigma^2 / 2$. Chapter `custom_loss`.

    Args:
        y_true: targets, `(batch, ..., units)`.
        y_pred: predictions, same shape and units.
        a: not 0; above 0 predicting too high is the costly side. In float32 the loss
            overflows where ``a * e`` exceeds 88: scale the targets.

    Returns:
        `(batch, ...)`, the mean over the last axis, without units.

    Raises:
        ValueError: if ``a`` is 0 or infinite, or the shapes are unequal.
        TypeError: if ``a`` is not a number.

    Example:
        >>> print(linex([[1.0], [-1.0]], [[0.0], [0.0]]).numpy().round(4))
        [0.3679 0.7183]
    """
    _checks.axes(y_true=(y_true, "(...)"), y_pred=(y_pred, "(...)"))
    a = _nonzero(a)
    y_true, y_pred = align(y_true, y_pred)
    scaled = a * (y_pred - y_true)
    return ops.mean(ops.expm1(scaled) - scaled, axis=-1)


@keras.saving.register_keras_serializable(package="advanced_keras")
class LinexLoss(keras.losses.Loss):
    """The linex loss; chapter `custom_loss`.

    Args:
        a: not 0; above 0 predicting too high is the costly side.
        name: of the loss.
        **kwargs: ``reduction`` and ``dtype``, as of `keras.losses.Loss`.

    Raises:
        ValueError: if ``a`` is 0 or infinite.
        TypeError: if ``a`` is not a number.

    Example:
        >>> print(LinexLoss(a=2.0)([[1.0]], [[1.0]]).numpy())
        0.0
    """

    def __init__(self, a=1.0, name="linex", **kwargs):
        super().__init__(name=name, **kwargs)
        self.a = _nonzero(a)

    def call(self, y_true, y_pred):
        """Return the loss of each example; see :func:`linex`."""
        return linex(y_true, y_pred, self.a)

    def get_config(self):
        """Return what rebuilds the loss: ``a`` and the dtype."""
        return {**super().get_config(), "a": self.a, "dtype": self.dtype}


# -- a statistic of the whole batch


def sharpe_ratio(returns: Tensor, sample_weight: Tensor | None = None) -> Tensor:
    r"""Return mean over standard deviation of a series of returns.

    $m / s$ with $m = \sum_b v_b r_b$, $s^2 = \sum_b v_b (r_b - m)^2$ and $v$ the
    weights, scaled to sum to 1. Per period, not per year. A series without variance
    has no Sharpe ratio; it counts as 0, with gradient 0. Chapter `custom_loss`.

    Args:
        returns: excess returns, `(batch,)`, one a date.
        sample_weight: how much each date counts, `(batch,)` or `(batch, 1)`.

    Returns:
        A scalar, at least in float32: half precision can't tell a constant series.

    Raises:
        ValueError: if ``returns`` or ``sample_weight`` has another shape.

    Example:
        >>> print(sharpe_ratio([0.01, 0.02, 0.03]).numpy().round(3))
        2.449
    """
    _checks.axes(returns=(returns, "(batch,)"))
    r = _floating(returns)
    r = ops.cast(r, keras.backend.result_type(r.dtype, "float32"))
    v = _shares(sample_weight, r)
    mean = ops.sum(v * r)
    variance = ops.sum(v * ops.square(r - mean))
    constant = variance <= 1e-10 * ops.sum(v * ops.square(r))  # not so for NaN
    spread = ops.sqrt(ops.where(constant, 1.0, variance))  # sqrt has no slope at 0
    return ops.where(constant, 0.0, mean / spread)


def _shares(sample_weight, r):
    """Return the weights of the dates, `(batch,)`, scaled to sum to 1."""
    if sample_weight is None:
        v = ops.ones_like(r)
    else:
        _checks.axes(sample_weight=(sample_weight, "(batch, ...)"))
        v = ops.cast(sample_weight, r.dtype)
        if len(v.shape) == 2 and v.shape[-1] == 1:
            v = ops.squeeze(v, -1)
        if not _agree(v.shape, r.shape):
            raise ValueError(
                f"sample_weight must have one weight a date, {tuple(r.shape)}, got "
                f"{tuple(v.shape)}."
            )
    return ops.divide_no_nan(v, ops.sum(v))


@keras.saving.register_keras_serializable(package="advanced_keras")
class NegativeSharpe(keras.losses.Loss):
    """Minus the Sharpe ratio of a batch of dates; chapter `custom_loss`.

    It replaces `Loss.__call__`, because a Sharpe ratio is no mean over examples: the
    weights belong inside its moments, and there is nothing left to reduce. Called with
    asset returns `(batch, tickers)`, holdings `(batch, tickers)`, and optional weights
    of the dates `(batch,)`. Returns a scalar, one for the batch. It knows no masks: a
    missing return must be 0, not NaN. On several devices each has a ratio of its own.

    Args:
        name: of the loss.
        dtype: of its computations.
    """

    def __init__(self, name="negative_sharpe", dtype=None):
        super().__init__(name=name, reduction="none", dtype=dtype)

    def __call__(self, y_true, y_pred, sample_weight=None):
        """Return minus the Sharpe ratio of the batch, a scalar."""
        y_true = ops.convert_to_tensor(y_true, self.dtype)
        y_pred = ops.convert_to_tensor(y_pred, self.dtype)
        return -sharpe_ratio(self.call(y_true, y_pred), sample_weight)

    def call(self, y_true, y_pred):
        """Return the return of the portfolio on each date, `(batch,)`.

        Raises:
            ValueError: if the shapes are not both `(batch, tickers)`.
        """
        y_true, y_pred = align(y_true, y_pred)
        if len(y_pred.shape) != 2:
            raise ValueError(
                "y_pred must hold one weight a ticker and date, (batch, tickers), got "
                f"{tuple(y_pred.shape)}."
            )
        return ops.sum(y_true * y_pred, axis=-1)

    def get_config(self):
        """Return what rebuilds the loss."""
        return {"name": self.name, "dtype": self.dtype}
