"""The losses of the two players, from logits, and what theory says of them.

Chapter: *The GAN training loop*. A logit ``a`` stands for the probability
``D = 1 / (1 + exp(-a))`` that an example is real. Then ``-log D = softplus(-a)`` and
``-log(1 - D) = softplus(a)``: no probability is ever rounded to 0 or 1.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from keras import ops

from advanced_keras import _checks
from advanced_keras._types import Tensor


def discriminator_loss(
    real_logits: Tensor, fake_logits: Tensor, real_target: float = 1.0
) -> Tensor:
    """Minus the value function: ``-E[log D(x)] - E[log(1 - D(G(z)))]``.

    Goodfellow et al. (2014), equation 1. With ``real_target`` s below 1 the first
    term is ``-E[s log D(x) + (1 - s) log(1 - D(x))]``: one-sided label smoothing,
    Salimans et al. (2016), section 3.4.

    Args:
        real_logits: the discriminator's logits of real examples, ``(batch, 1)``.
        fake_logits: those of generated ones, ``(batch, 1)``.
        real_target: the probability that D shall give to a real example, s.

    Returns:
        A scalar, float32; ``log 4`` for a discriminator that always says 1/2.

    Example:
        >>> logits = np.zeros((2, 1))
        >>> print(discriminator_loss(logits, logits).numpy().round(4))
        1.3863
    """
    _checks.axes(real_logits=(real_logits, "(batch, ...)"))
    _checks.axes(fake_logits=(fake_logits, "(batch, ...)"))
    real, fake = _float32(real_logits), _float32(fake_logits)
    on_real = real_target * ops.softplus(-real) + (1 - real_target) * ops.softplus(real)
    return ops.mean(on_real) + ops.mean(ops.softplus(fake))


def minimax_loss(fake_logits: Tensor) -> Tensor:
    """What G minimizes in the game for two: ``E[log(1 - D(G(z)))]``.

    Goodfellow et al. (2014), equation 1.

    Args:
        fake_logits: the discriminator's logits of generated examples, ``(batch, 1)``.

    Example:
        >>> print(minimax_loss(np.zeros((2, 1))).numpy().round(4))
        -0.6931
    """
    _checks.axes(fake_logits=(fake_logits, "(batch, ...)"))
    return -ops.mean(ops.softplus(_float32(fake_logits)))


def non_saturating_loss(fake_logits: Tensor) -> Tensor:
    """What G minimizes in practice: ``-E[log D(G(z))]``.

    Goodfellow et al. (2014), section 3: the same fixed point, larger gradients early.

    Args:
        fake_logits: the discriminator's logits of generated examples, ``(batch, 1)``.

    Example:
        >>> print(non_saturating_loss(np.zeros((2, 1))).numpy().round(4))
        0.6931
    """
    _checks.axes(fake_logits=(fake_logits, "(batch, ...)"))
    return ops.mean(ops.softplus(-_float32(fake_logits)))


GENERATOR_LOSSES = {"non_saturating": non_saturating_loss, "minimax": minimax_loss}
"""The losses that :class:`~advanced_keras.gan.GAN` knows by name."""


def optimal_discriminator(
    p_data: Any, p_model: Any, real_target: float = 1.0, fake_target: float = 0.0
) -> np.ndarray:
    """Return the best D at points with known densities.

    ``(s p_data + t p_model) / (p_data + p_model)``: Goodfellow et al. (2014),
    proposition 1, where s = 1 and t = 0; Goodfellow (2016), section 4.2, otherwise.

    Args:
        p_data, p_model: densities, arrays of one shape.
        real_target, fake_target: the targets of real and generated examples, s and t.

    Example:
        >>> print(optimal_discriminator(np.array([1.0, 0.0]), np.array([1.0, 2.0])))
        [0.5 0. ]
    """
    _checks.alike(p_data=p_data, p_model=p_model)
    p_data, p_model = np.asarray(p_data, float), np.asarray(p_model, float)
    return (real_target * p_data + fake_target * p_model) / (p_data + p_model)


def jensen_shannon(p_data: Any, p_model: Any, step: float) -> float:
    """Return the Jensen-Shannon divergence of two densities on a grid, in nats.

    ``KL(p, m) / 2 + KL(q, m) / 2`` with ``m = (p + q) / 2``; from 0 to log 2.

    Args:
        p_data, p_model: densities on the points of an even grid, arrays of one shape.
        step: length (area, ...) of a cell of the grid.

    Example:
        >>> p = np.array([0.5, 0.5, 0.0])
        >>> float(jensen_shannon(p, p, step=1.0))
        0.0
    """
    _checks.alike(p_data=p_data, p_model=p_model)
    _checks.finite(p_data=p_data, p_model=p_model)
    _checks.positive("step", step)
    p_data, p_model = np.asarray(p_data, float), np.asarray(p_model, float)
    middle = (p_data + p_model) / 2
    return (_kl(p_data, middle, step) + _kl(p_model, middle, step)) / 2


def _kl(p, q, step) -> float:
    """The integral of p log(p / q); where p is 0, nothing."""
    inside = p > 0
    return float(np.sum(p[inside] * np.log(p[inside] / q[inside])) * step)


def _float32(logits):
    return ops.cast(logits, "float32")
