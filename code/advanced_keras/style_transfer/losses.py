"""Gram matrices and the three losses of style transfer (Gatys et al., 2016)."""

from __future__ import annotations

from keras import ops

from advanced_keras import _checks
from advanced_keras._types import Tensor

TINY = 1e-12  # keeps a relative error finite where a target is zero


def gram(features: Tensor) -> Tensor:
    """Return which feature maps are active together, averaged over all places.

    ``G[i, j]`` is the mean over places of map ``i`` times map ``j``: Gatys et al.
    (2016), equation 3, divided by the number of places, so that images of different
    sizes can be compared.

    Args:
        features: ``(batch, rows, columns, channels)``.

    Returns:
        ``(batch, channels, channels)``, symmetric.

    Raises:
        ValueError: if ``features`` does not have four axes.

    Example:
        >>> features = ops.reshape(ops.arange(8.0), (1, 2, 2, 2))
        >>> print(gram(features).numpy())
        [[[14. 17.]
          [17. 21.]]]
    """
    _checks.axes(features=(features, "(batch, rows, columns, channels)"))
    (features,) = _checks.as_tensors(features)
    batch, h, w, _ = ops.shape(features)
    F = ops.reshape(features, (batch, h * w, features.shape[-1]))
    places = ops.cast(h * w, F.dtype)
    return ops.matmul(ops.transpose(F, (0, 2, 1)), F) / places


def style_loss(G: Tensor, A: Tensor) -> Tensor:
    """Return the squared relative error of a Gram matrix.

    Gatys et al. (2016), equation 4, with the weight chosen such that the loss is 1
    for ``G = 0`` in every layer, whatever the scale of its features.

    Args:
        G, A: Gram matrices ``(batch, channels, channels)``; ``A`` is the target.

    Example:
        >>> A = ops.eye(2)[None]
        >>> print(style_loss(2 * A, A).numpy())
        1.0
    """
    _checks.axes(
        G=(G, "(batch, channels, channels)"), A=(A, "(batch, channels, channels)")
    )
    G, A = _checks.as_tensors(G, A)
    return ops.sum((G - A) ** 2) / (ops.sum(A**2) + TINY)


def content_loss(F: Tensor, P: Tensor) -> Tensor:
    """Return the squared error of features, in units of the target's variance.

    Gatys et al. (2016), equation 1, divided such that the loss is 1 if ``F`` is the
    mean of ``P`` everywhere.

    Args:
        F, P: features ``(batch, rows, columns, channels)``; ``P`` is the target.

    Example:
        >>> P = ops.array([[[[1.0], [3.0]]]])
        >>> print(content_loss(2 * P, P).numpy())
        5.0
    """
    _checks.axes(
        F=(F, "(batch, rows, columns, channels)"),
        P=(P, "(batch, rows, columns, channels)"),
    )
    F, P = _checks.as_tensors(F, P)
    return ops.mean((F - P) ** 2) / (ops.var(P) + TINY)


def total_variation(images: Tensor) -> Tensor:
    """Return the sum of absolute differences of neighbours, for each pixel value.

    ``tf.image.total_variation``, divided by the number of rows, columns and channels.

    Args:
        images: ``(batch, rows, columns, channels)``.

    Returns:
        The mean over the batch, a scalar.

    Example:
        >>> print(total_variation(ops.ones((1, 4, 4, 3))).numpy())
        0.0
    """
    _checks.axes(images=(images, "(batch, rows, columns, channels)"))
    (images,) = _checks.as_tensors(images)
    down = ops.abs(images[:, 1:] - images[:, :-1])
    across = ops.abs(images[:, :, 1:] - images[:, :, :-1])
    size = ops.cast(ops.size(images), images.dtype)
    return (ops.sum(down) + ops.sum(across)) / size
