"""The two networks of the VAE: those of the autoencoder, with a second head.

Chapter: *VAE*. Everything convolutional is that of :mod:`advanced_keras.autoencoder`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import layers

from ..autoencoder import (
    FILTERS,
    _check_image_shape,
    extract_features,
    initializers,
    paint_image,
)
from .model import VAE


def build_encoder(
    latent_dim: int,
    image_shape: Sequence[int] = (28, 28, 1),
    filters: Sequence[int] = FILTERS,
    width: int = 128,
    seed: int | None = None,
    name: str = "encoder",
) -> keras.Model:
    """Return the model from an image to the pair (mean, log_var) of its code.

    Args:
        latent_dim: numbers in a code, m.
        image_shape: ``(rows, columns, channels)``.
        filters: channels after each convolution of stride 2.
        width: units of the hidden layer before the two heads.
        seed: of the initial weights; None draws from Keras's global generator.
        name: of the model.

    Returns:
        Model ``(batch, rows, columns, channels)`` to two outputs ``(batch,
        latent_dim)``: mu and log sigma^2, float32 under every dtype policy.

    Raises:
        ValueError: for a number that is not a positive integer, or an image that
            can't be halved once for each filter.
    """
    _check_integers(latent_dim=latent_dim, width=width)
    _check_image_shape(image_shape, filters)
    start = initializers(seed)
    image = keras.Input(image_shape, name="image")
    features = extract_features(image, filters, start)
    hide = layers.Dense(width, "relu", kernel_initializer=next(start), name="hide")
    hidden = hide(features)
    head = {"units": latent_dim, "dtype": "float32"}  # exp(log_var) wants precision
    mean = layers.Dense(**head, kernel_initializer=next(start), name="mean")(hidden)
    # with a kernel of zeros every sigma starts at 1, whatever the image
    log_var = layers.Dense(**head, kernel_initializer="zeros", name="log_var")(hidden)
    return keras.Model(image, (mean, log_var), name=name)


def build_decoder(
    latent_dim: int,
    image_shape: Sequence[int] = (28, 28, 1),
    filters: Sequence[int] = FILTERS,
    width: int = 128,
    seed: int | None = None,
    name: str = "decoder",
) -> keras.Model:
    """Return the model from a latent vector to the logits of an image's grey values.

    Args:
        latent_dim, image_shape, filters, width, seed, name: see
            :func:`build_encoder`.

    Returns:
        Model ``(batch, latent_dim)`` to logits ``(batch, rows, columns, channels)``.

    Raises:
        ValueError: as :func:`build_encoder`.
    """
    _check_integers(latent_dim=latent_dim, width=width)
    _check_image_shape(image_shape, filters)
    start = initializers(seed)
    z = keras.Input((latent_dim,), name="z")
    hide = layers.Dense(width, "relu", kernel_initializer=next(start), name="hide")
    hidden = hide(z)
    logits = paint_image(hidden, image_shape, filters, start)
    return keras.Model(z, logits, name=name)


def build_vae(
    latent_dim: int, beta: float = 1.0, seed: int | None = None, **options: Any
) -> VAE:
    """Return a :class:`~advanced_keras.vae.VAE` of these two networks, not compiled.

    Args:
        latent_dim: numbers in a code, m.
        beta: weight of the KL term.
        seed: of the initial weights and of the noise; None leaves them to Keras's
            global generator.
        **options: ``image_shape``, ``filters``, ``width`` of both networks.

    Raises:
        ValueError: as :func:`build_encoder`, or for another seed.

    Example:
        >>> vae = build_vae(latent_dim=2, seed=0)
        >>> [tuple(each.shape) for each in vae.encoder.outputs]
        [(None, 2), (None, 2)]
    """
    whole = isinstance(seed, int) and not isinstance(seed, bool)
    if seed is not None and not (whole and seed >= 0):
        raise ValueError(
            f"seed must be None or an integer of at least 0, got {seed!r}."
        )
    seeds = [None, None] if seed is None else [2 * seed, 2 * seed + 1]
    encoder = build_encoder(latent_dim, seed=seeds[0], **options)
    decoder = build_decoder(latent_dim, seed=seeds[1], **options)
    return VAE(encoder, decoder, beta=beta, seed=seed, name="vae")


def _check_integers(**sizes):
    for name, value in sizes.items():
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise ValueError(f"{name} must be a positive integer, got {value!r}.")
