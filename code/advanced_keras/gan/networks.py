"""The players: small networks for points in the plane, a DCGAN for digits.

Chapter: *The GAN training loop*. The DCGAN follows Radford, Metz and Chintala (2016):
strided convolutions down, transposed ones up, no pooling; all but the ends normalized.
"""

from __future__ import annotations

import keras
from keras import layers


def build_point_generator(latent_dim=8, hidden=64, seed=None):
    """A generator of points: ``(batch, latent_dim)`` to ``(batch, 2)``.

    Args:
        latent_dim: length of z, m.
        hidden: units of each of the two hidden layers.
        seed: of the initial weights, an integer or a ``SeedGenerator``.
    """
    z = keras.Input((latent_dim,), name="z")
    hidden_1 = _dense(hidden, seed)(z)
    hidden_2 = _dense(hidden, seed)(hidden_1)
    return keras.Model(z, _dense(2, seed, None)(hidden_2), name="generator")


def build_point_discriminator(hidden=64, seed=None):
    """A discriminator of points: ``(batch, 2)`` to logits ``(batch, 1)``.

    Args:
        hidden: units of each of the two hidden layers.
        seed: of the initial weights, an integer or a ``SeedGenerator``.
    """
    x = keras.Input((2,), name="x")
    hidden_1 = _dense(hidden, seed)(x)
    hidden_2 = _dense(hidden, seed)(hidden_1)
    return keras.Model(x, _dense(1, seed, None)(hidden_2), name="discriminator")


def _dense(units, seed, activation="relu"):
    start = keras.initializers.HeUniform(seed=fresh(seed))
    return layers.Dense(units, activation, kernel_initializer=start)


def build_generator(latent_dim=64, width=64, seed=None):
    """The DCGAN's generator: ``(batch, latent_dim)`` to images ``(batch, 28, 28, 1)``.

    Args:
        latent_dim: length of z, m.
        width: channels of the 7 x 7 image that z becomes first.
        seed: of the initial weights, an integer or a ``SeedGenerator``.
    """
    z = keras.Input((latent_dim,), name="z")
    flat = layers.Dense(7 * 7 * width, use_bias=False, name="spread")(z)
    quarter = layers.ReLU()(_norm("norm_7")(layers.Reshape((7, 7, width))(flat)))
    up = {"strides": 2, "padding": "same"}
    half = layers.Conv2DTranspose(
        width // 2,
        4,
        **up,
        use_bias=False,
        kernel_initializer=_start(seed),
        name="up_14",
    )(quarter)
    half = layers.ReLU()(_norm("norm_14")(half))
    logits = layers.Conv2DTranspose(
        1, 4, **up, kernel_initializer=_start(seed), name="up_28"
    )(half)
    images = layers.Activation("sigmoid", dtype="float32", name="image")(logits)
    return keras.Model(z, images, name="generator")


def build_discriminator(width=32, dropout=0.3, seed=None):
    """The DCGAN's discriminator: ``(batch, 28, 28, 1)`` to logits ``(batch, 1)``.

    Args:
        width: channels of the 14 x 14 image; the 7 x 7 image has twice as many.
        dropout: share of the last features that are dropped in training.
        seed: of the initial weights and the dropout, an integer or a
            ``SeedGenerator``.
    """
    image = keras.Input((28, 28, 1), name="image")
    down = {"strides": 2, "padding": "same"}
    half = layers.Conv2D(
        width, 4, **down, kernel_initializer=_start(seed), name="down_14"
    )(image)
    half = layers.LeakyReLU(0.2)(half)
    quarter = layers.Conv2D(
        2 * width, 4, **down, kernel_initializer=_start(seed), name="down_7"
    )(half)
    quarter = layers.LeakyReLU(0.2)(quarter)
    flat = layers.Flatten()(quarter)
    kept = layers.Dropout(dropout, seed=fresh(seed))(flat)
    logits = layers.Dense(1, dtype="float32", name="logit")(kept)
    return keras.Model(image, logits, name="discriminator")


def _norm(name):
    # a GAN is trained for few steps: the moving averages must keep up with it
    return layers.BatchNormalization(momentum=0.9, name=name)


def _start(seed):
    return keras.initializers.RandomNormal(stddev=0.05, seed=fresh(seed))


def fresh(seed):
    """One more integer out of a ``SeedGenerator``; an integer or None as it is."""
    if isinstance(seed, keras.random.SeedGenerator):
        return int(keras.ops.convert_to_numpy(seed.next())[0])
    return seed
