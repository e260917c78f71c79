"""The gradient of the pixels taken once: saliency, and an adversarial example."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from advanced_keras._types import Tensor

from . import checks
from .ascent import channel_mean, pixel_gradient


def predict(network: keras.Model, images: Tensor, batch_size: int = 500) -> np.ndarray:
    """The class with the largest logit, NumPy ``(batch,)``."""
    images = checks.pictures("images", images)
    checks.fitting("network", network, images)
    checks.number("batch_size", batch_size, least=1, whole=True)
    return np.concatenate(
        [
            np.argmax(network(images[begin : begin + batch_size], training=False), -1)
            for begin in range(0, len(images), batch_size)
        ]
    )


def saliency(
    network: keras.Model, images: Tensor, labels: Any, batch_size: int = 500
) -> np.ndarray:
    """How much one logit of each picture depends on each pixel.

    It is the map of Simonyan et al. (2014), section 3.1: the gradient of the class
    score, its largest absolute value over the channels.

    Args:
        network: a model from pictures to logits.
        images: ``(batch, rows, columns, channels)``.
        labels: ``(batch,)``, integers: whose logit.
        batch_size: how many pictures go through the network at a time.

    Returns:
        NumPy ``(batch, rows, columns)``, not negative.

    Raises:
        ValueError: if images, labels or batch_size do not fit.
    """

    def score(images, labels):
        return channel_mean(network(images, training=False), labels)

    gradient = _gradients(score, network, images, labels, batch_size)
    return np.abs(gradient).max(axis=-1)


def fgsm(
    network: keras.Model,
    images: Tensor,
    labels: Any,
    epsilon: float,
    batch_size: int = 500,
) -> np.ndarray:
    """Move every value by ``epsilon`` in the direction that raises the loss.

    The fast gradient sign method of Goodfellow et al. (2015), section 4:
    ``x + epsilon * sign(dL/dx)``, clipped to 0 and 1.

    Args:
        network: a model from pictures from 0 to 1 to logits.
        images: ``(batch, rows, columns, channels)``.
        labels: ``(batch,)``, integers: the true classes.
        epsilon: the most that a value changes, at least 0.
        batch_size: how many pictures go through the network at a time.

    Returns:
        NumPy, of the shape of ``images``.

    Raises:
        ValueError: if an argument does not fit, such as pictures from 0 to 255.
    """
    checks.number("epsilon", epsilon)
    images = checks.pictures("images", images, boxed=True)

    def loss(images, labels):
        logits = ops.cast(network(images, training=False), "float32")
        return keras.losses.sparse_categorical_crossentropy(
            labels, logits, from_logits=True
        )

    gradient = _gradients(loss, network, images, labels, batch_size)
    return np.clip(images + epsilon * np.sign(gradient), 0, 1).astype("float32")


def shuffled(
    network: keras.Model, names: Sequence[str], seed: int | None = 0
) -> keras.Model:
    """A copy of a network in which some layers have lost what they had learned.

    The entries of each of their weights are put into a random order: the same numbers
    as before, and nothing in them. It is for the check of Adebayo et al. (2018).

    Args:
        network: a built functional model; it does not change.
        names: the layers.
        seed: of the order.

    Raises:
        ValueError: if there is no layer of a name.
    """
    checks.one_input("network", network)
    names = [names] if isinstance(names, str) else list(names)
    known = {layer.name for layer in network.layers}
    if not set(names) <= known:
        missing = sorted(set(names) - known)
        raise ValueError(f"names must be layers of the network, got {missing}.")
    copy = keras.models.clone_model(network)
    copy.set_weights(network.get_weights())
    rng = np.random.default_rng(seed)
    for name in names:
        layer = copy.get_layer(name)
        layer.set_weights(
            [rng.permutation(w.ravel()).reshape(w.shape) for w in layer.get_weights()]
        )
    return copy


def _gradients(utility, network, images, labels, batch_size):
    """The gradients of ``utility(images, labels)``, a batch at a time."""
    checks.one_input("network", network)
    images = checks.pictures("images", images)
    checks.fitting("network", network, images)
    labels = checks.channels("labels", labels, len(images), network.output_shape[-1])
    checks.number("batch_size", batch_size, least=1, whole=True)
    parts = []
    for begin in range(0, len(images), batch_size):
        here = slice(begin, begin + batch_size)
        now = ops.convert_to_tensor(labels[here], "int32")
        parts.append(pixel_gradient(lambda x, y=now: utility(x, y), images[here]))
    return np.concatenate([ops.convert_to_numpy(part) for part in parts])
