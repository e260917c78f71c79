"""The players: small networks for points in the plane, a DCGAN for digits.

Chapter: *The GAN training loop*. The DCGAN follows Radford, Metz and Chintala (2016):
strided convolutions down, transposed ones up, no pooling; all but the ends normalized.
"""

from __future__ import annotations

from collections.abc import Sequence

import keras
import numpy as np
from keras import layers

from advanced_keras import _checks


def build_point_generator(
    latent_dim: int = 8, hidden: int = 64, seed: int | None = None
) -> keras.Model:
    """A generator of points: ``(batch, latent_dim)`` to ``(batch, 2)``.

    Args:
        latent_dim: length of z, m.
        hidden: units of each of the two hidden layers.
        seed: of the initial weights, an integer or a ``SeedGenerator``.
    """
    _checks.whole("latent_dim", latent_dim)
    _checks.whole("hidden", hidden)
    seeds = _seeds(seed)
    z = keras.Input((latent_dim,), name="z")
    hidden_1 = _dense(hidden, seeds)(z)
    hidden_2 = _dense(hidden, seeds)(hidden_1)
    return keras.Model(z, _dense(2, seeds, None)(hidden_2), name="generator")


def build_point_discriminator(hidden: int = 64, seed: int | None = None) -> keras.Model:
    """A discriminator of points: ``(batch, 2)`` to logits ``(batch, 1)``.

    Args:
        hidden: units of each of the two hidden layers.
        seed: of the initial weights, an integer or a ``SeedGenerator``.
    """
    _checks.whole("hidden", hidden)
    seeds = _seeds(seed)
    x = keras.Input((2,), name="x")
    hidden_1 = _dense(hidden, seeds)(x)
    hidden_2 = _dense(hidden, seeds)(hidden_1)
    return keras.Model(x, _dense(1, seeds, None)(hidden_2), name="discriminator")


def _dense(units, seeds, activation="relu"):
    start = keras.initializers.HeUniform(seed=next(seeds))
    return layers.Dense(units, activation, kernel_initializer=start)


def build_generator(
    latent_dim: int = 64, widths: Sequence[int] = (96, 32), seed: int | None = None
) -> keras.Model:
    """The DCGAN's generator: ``(batch, latent_dim)`` to images ``(batch, 28, 28, 1)``.

    Args:
        latent_dim: length of z, m.
        widths: channels of the 7 x 7 and of the 14 x 14 image.
        seed: of the initial weights, an integer or a ``SeedGenerator``.

    Example:
        >>> build_generator(latent_dim=16).output_shape
        (None, 28, 28, 1)
    """
    _checks.whole("latent_dim", latent_dim)
    _checks.widths("widths", widths, 2)
    seeds = _seeds(seed)
    up = {"kernel_size": 4, "strides": 2, "padding": "same"}
    z = keras.Input((latent_dim,), name="z")
    flat = layers.Dense(
        49 * widths[0], use_bias=False, kernel_initializer=_start(seeds), name="spread"
    )(z)
    quarter = layers.Reshape((7, 7, widths[0]), name="fold")(flat)
    quarter = layers.ReLU(name="relu_7")(_norm("norm_7")(quarter))
    half = layers.Conv2DTranspose(
        widths[1], **up, use_bias=False, kernel_initializer=_start(seeds), name="up_14"
    )(quarter)
    half = layers.ReLU(name="relu_14")(_norm("norm_14")(half))
    logits = layers.Conv2DTranspose(
        1, **up, kernel_initializer=_start(seeds), name="up_28"
    )(half)
    images = layers.Activation("sigmoid", dtype="float32", name="image")(logits)
    return keras.Model(z, images, name="generator")


def build_discriminator(
    widths: Sequence[int] = (32, 64, 128), dropout: float = 0.2, seed: int | None = None
) -> keras.Model:
    """The DCGAN's discriminator: ``(batch, 28, 28, 1)`` to logits ``(batch, 1)``.

    Args:
        widths: channels of the 14 x 14, the 7 x 7 and the 4 x 4 image.
        dropout: share of the last features that are dropped in training.
        seed: of the initial weights and the dropout, an integer or a
            ``SeedGenerator``.

    Example:
        >>> build_discriminator().output_shape
        (None, 1)
    """
    _checks.widths("widths", widths, 3)
    _checks.share("dropout", dropout)
    seeds = _seeds(seed)
    images = keras.Input((28, 28, 1), name="images")
    half = layers.LeakyReLU(0.2)(_down(widths[0], 4, seeds, "down_14")(images))
    quarter = _norm("norm_7")(_down(widths[1], 4, seeds, "down_7", False)(half))
    quarter = layers.LeakyReLU(0.2)(quarter)
    eighth = _norm("norm_4")(_down(widths[2], 3, seeds, "down_4", False)(quarter))
    flat = layers.Flatten(name="flatten")(layers.LeakyReLU(0.2)(eighth))
    kept = layers.Dropout(dropout, seed=next(seeds), name="dropout")(flat)
    logits = layers.Dense(
        1, kernel_initializer=_start(seeds), dtype="float32", name="logit"
    )(kept)
    return keras.Model(images, logits, name="discriminator")


def _down(filters, kernel_size, seeds, name, use_bias=True):
    """A convolution that halves rows and columns; before a norm it needs no bias."""
    return layers.Conv2D(
        filters,
        kernel_size,
        strides=2,
        padding="same",
        use_bias=use_bias,
        kernel_initializer=_start(seeds),
        name=name,
    )


def _norm(name):
    # a GAN is trained for few steps: the moving averages must keep up with it
    return layers.BatchNormalization(momentum=0.9, name=name)


def _start(seeds):
    return keras.initializers.RandomNormal(stddev=0.05, seed=next(seeds))


def _seeds(seed):
    """An endless supply of integers: layers must not all start with one seed.

    (``SeedGenerator.next`` gives ``[seed, count]``, whose first entry never changes.)
    """
    if isinstance(seed, keras.random.SeedGenerator):
        seed = np.array(seed.next())
    rng = np.random.default_rng(seed)
    return iter(lambda: int(rng.integers(2**31)), None)
