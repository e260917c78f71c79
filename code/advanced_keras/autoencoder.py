"""Autoencoders: two models, one set of weights.

Chapter: *Autoencoder: two models, one set of weights*. An encoder maps an image to a
code, a decoder maps a code to an image, and the whole is the decoder called on what
the encoder returns. Each of the three is a functional model, and the whole has no
weights of its own.

The linear autoencoder is that of Bourlard and Kamp (1988) and Baldi and Hornik (1989).

Letters: B examples; h, w, c rows, columns and channels; m numbers in a code
(``latent_dim``); n numbers in a flat example.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import keras
import numpy as np
from keras import layers, ops

from advanced_keras import _checks
from advanced_keras._types import Tensor

FILTERS = (16, 32)
"""Channels after each halving of the image, on the way down."""

KERNEL_SIZE = 4
"""Of every convolution. The stride 2 divides it, so up-sampling overlaps evenly."""


def build_encoder(
    latent_dim: int,
    image_shape: Sequence[int] = (28, 28, 1),
    filters: Sequence[int] = FILTERS,
    seed: int | None = None,
    name: str = "encoder",
) -> keras.Model:
    """Return the model from an image to its code.

    Args:
        latent_dim: numbers in a code, m.
        image_shape: ``(rows, columns, channels)``; rows and columns can be halved
            as many times as there are ``filters``.
        filters: channels after each convolution of stride 2.
        seed: of the initial weights; None draws from Keras's global generator.
        name: of the model.

    Returns:
        Model ``(batch, rows, columns, channels)`` to ``(batch, latent_dim)``.

    Raises:
        ValueError: for a number that is not a positive integer, or an image that
            can't be halved that often.

    Example:
        >>> build_encoder(latent_dim=2).output_shape
        (None, 2)
    """
    _check_integer("latent_dim", latent_dim)
    _check_image_shape(image_shape, filters)
    start = initializers(seed)
    image = keras.Input(image_shape, name="image")
    features = extract_features(image, filters, start)
    to_code = layers.Dense(latent_dim, kernel_initializer=next(start), name="code")
    code = to_code(features)
    return keras.Model(image, code, name=name)


def build_decoder(
    latent_dim: int,
    image_shape: Sequence[int] = (28, 28, 1),
    filters: Sequence[int] = FILTERS,
    seed: int | None = None,
    name: str = "decoder",
) -> keras.Model:
    """Return the model from a code to the logits of an image's grey values.

    The way up mirrors the way down of :func:`build_encoder`, which takes the same
    arguments. A grey value is the sigmoid of its logit.

    Args:
        latent_dim, image_shape, filters, seed, name: see :func:`build_encoder`.

    Returns:
        Model ``(batch, latent_dim)`` to logits ``(batch, rows, columns, channels)``.

    Raises:
        ValueError: as :func:`build_encoder`.

    Example:
        >>> build_decoder(latent_dim=2).output_shape
        (None, 28, 28, 1)
    """
    _check_integer("latent_dim", latent_dim)
    _check_image_shape(image_shape, filters)
    start = initializers(seed)
    code = keras.Input((latent_dim,), name="code")
    logits = paint_image(code, image_shape, filters, start)
    return keras.Model(code, logits, name=name)


def build_autoencoder(
    encoder: keras.Model, decoder: keras.Model, name: str = "autoencoder"
) -> keras.Model:
    """Return the whole: the decoder, called on what the encoder returns.

    The parts are not copied. The whole owns no variable; its weights are those of the
    encoder, then those of the decoder, and ``get_layer`` gives each part by its name.

    Args:
        encoder: a model with one input and one output, the code.
        decoder: a model with one input, the code, and one output.
        name: of the model.

    Returns:
        Model from the encoder's input to the decoder's output.

    Raises:
        TypeError: if a part is not a Keras model.
        ValueError: if a part is not functional or sequential, has several inputs or
            outputs, the decoder does not take what the encoder gives, or both parts
            have the same name.

    Example:
        >>> encoder, decoder = build_encoder(latent_dim=2), build_decoder(latent_dim=2)
        >>> build_autoencoder(encoder, decoder).output_shape
        (None, 28, 28, 1)
    """
    _check_parts(encoder, decoder)
    shape, dtype = encoder.inputs[0].shape[1:], encoder.inputs[0].dtype
    example = keras.Input(shape, dtype=dtype, name="example")
    z = encoder(example)
    reconstruction = decoder(z)
    return keras.Model(example, reconstruction, name=name)


def build_linear_autoencoder(
    n: int, latent_dim: int, seed: int | None = None
) -> keras.Model:
    """Return an autoencoder of two matrices, without activations.

    The code is ``x @ W_e + b_e``, the reconstruction ``z @ W_d + b_d``. Trained on the
    squared error, the rows of ``W_d`` span the space of the first ``latent_dim``
    principal components (Bourlard and Kamp, 1988; Baldi and Hornik, 1989).

    Args:
        n: numbers in an example.
        latent_dim: numbers in a code, at most ``n``.
        seed: of the initial weights; None draws from Keras's global generator.

    Returns:
        Model ``(batch, n)`` to ``(batch, n)``, with the parts ``encoder`` and
        ``decoder``.

    Raises:
        ValueError: for a number that is not a positive integer, or
            ``latent_dim > n``.

    Example:
        >>> model = build_linear_autoencoder(4, 2)
        >>> tuple(model(np.ones((3, 4))).shape)
        (3, 4)
    """
    _check_integer("n", n)
    _check_integer("latent_dim", latent_dim, most=n)
    start = initializers(seed, keras.initializers.GlorotNormal)
    example = keras.Input((n,), name="example")
    code = keras.Input((latent_dim,), name="code")
    compress = layers.Dense(latent_dim, kernel_initializer=next(start), name="W_e")
    expand = layers.Dense(n, kernel_initializer=next(start), name="W_d")
    encoder = keras.Model(example, compress(example), name="encoder")
    decoder = keras.Model(code, expand(code), name="decoder")
    return build_autoencoder(encoder, decoder, name="linear_autoencoder")


def build_tied_autoencoder(
    n: int, latent_dim: int, seed: int | None = None
) -> keras.Model:
    """Return a linear autoencoder with one matrix: ``x @ W``, then ``z @ W.T``.

    The model is flat: its one layer is called twice, and no model is nested. Saved to
    a file, two nested models that share a layer would become two layers.

    Args:
        n: numbers in an example.
        latent_dim: numbers in a code, at most ``n``.
        seed: of the initial weights; None draws from Keras's global generator.

    Returns:
        Model ``(batch, n)`` to ``(batch, n)``, with the layer ``W``.

    Raises:
        ValueError: as :func:`build_linear_autoencoder`.

    Example:
        >>> build_tied_autoencoder(4, 2).count_params()
        8
    """
    _check_integer("n", n)
    _check_integer("latent_dim", latent_dim, most=n)
    start = initializers(seed, keras.initializers.GlorotNormal)
    matrix = ReversibleDense(n, latent_dim, kernel_initializer=next(start), name="W")
    example = keras.Input((n,), name="example")
    z = matrix(example)
    reconstruction = matrix(z, reverse=True)
    return keras.Model(example, reconstruction, name="tied_autoencoder")


def extract_features(
    image: Tensor, filters: Sequence[int] = FILTERS, start: Tensor | None = None
) -> Tensor:
    """The way down: halve the image once for each of ``filters``, then flatten.

    Args:
        image: symbolic ``(batch, rows, columns, channels)``.
        filters: channels after each convolution of stride 2.
        start: iterator over initializers; see :func:`initializers`.

    Returns:
        Symbolic ``(batch, features)``.
    """
    start = start or initializers()
    maps = image
    for step, channels in enumerate(filters, 1):
        down = layers.Conv2D(
            channels, KERNEL_SIZE, 2, "same", activation="relu",
            kernel_initializer=next(start), name=f"down_{step}",
        )  # fmt: skip
        maps = down(maps)
    return layers.Flatten(name="flatten")(maps)


def paint_image(
    code: Tensor,
    image_shape: Sequence[int] = (28, 28, 1),
    filters: Sequence[int] = FILTERS,
    start: Tensor | None = None,
) -> Tensor:
    """The way up: a small image from the code, doubled once for each of ``filters``.

    Args:
        code: symbolic ``(batch, latent_dim)``.
        image_shape: ``(rows, columns, channels)`` of what comes out.
        filters: channels on the way *down*; here they are gone through backwards.
        start: iterator over initializers; see :func:`initializers`.

    Returns:
        Symbolic logits ``(batch, rows, columns, channels)``.
    """
    start = start or initializers()
    h, w, c = image_shape
    parts = 2 ** len(filters)
    small = h // parts, w // parts, filters[-1]
    spread = layers.Dense(
        int(np.prod(small)), "relu", kernel_initializer=next(start), name="spread"
    )
    maps = layers.Reshape(small, name="fold")(spread(code))
    up = {"kernel_size": KERNEL_SIZE, "strides": 2, "padding": "same"}
    for step in range(len(filters) - 1, 0, -1):
        double = layers.Conv2DTranspose(
            filters[step - 1], activation="relu", **up,
            kernel_initializer=next(start), name=f"up_{step + 1}",
        )  # fmt: skip
        maps = double(maps)
    last = layers.Conv2DTranspose(
        c, **up, kernel_initializer=next(start), dtype="float32", name="up_1"
    )  # float32 also under a mixed policy: losses take logits
    return last(maps)


def initializers(
    seed: int | None = None, kind: Callable = keras.initializers.HeNormal
) -> Iterator[Any]:
    """Yield initializers without end, each with another seed drawn from ``seed``.

    Two layers of one shape, given the same integer, would start with equal weights.

    Args:
        seed: a non-negative integer; None leaves the choice to Keras's global
            generator, which ``keras.utils.set_random_seed`` sets.
        kind: class of the initializers.

    Raises:
        TypeError: if ``kind`` can't be called.
        ValueError: for another seed.
    """
    _checks.function("kind", kind)
    if seed is not None:
        _check_integer("seed", seed, least=0)
    return _draw_initializers(seed, kind)


def _draw_initializers(seed, kind):
    draws = np.random.default_rng(seed)
    while True:
        yield kind(seed=None if seed is None else int(draws.integers(2**31)))


@keras.saving.register_keras_serializable(package="advanced_keras")
class ReversibleDense(layers.Layer):
    """One matrix W, ``(n, units)``, that is used both ways: ``x @ W`` and ``z @ W.T``.

    Args:
        n: numbers in an example.
        units: numbers in a code.
        kernel_initializer: of W.

    Call arguments:
        inputs: ``(..., n)``, or ``(..., units)`` if ``reverse``.
        reverse: whether to multiply by the transpose.

    Returns:
        ``(..., units)``, or ``(..., n)`` if ``reverse``.

    Raises:
        ValueError: for a number that is not a positive integer, or another size of
            the last axis.

    Example:
        >>> layer = ReversibleDense(4, 2)
        >>> code = layer(np.ones((1, 4)))
        >>> tuple(code.shape), tuple(layer(code, reverse=True).shape)
        ((1, 2), (1, 4))
    """

    def __init__(self, n, units, kernel_initializer="glorot_normal", **kwargs):
        super().__init__(**kwargs)
        _check_integer("n", n)
        _check_integer("units", units)
        self.n, self.units = n, units
        self.kernel_initializer = keras.initializers.get(kernel_initializer)

    def build(self, inputs_shape):
        """Create W; its shape is known beforehand, whichever way comes first."""
        self.kernel = self.add_weight(
            shape=(self.n, self.units),
            initializer=self.kernel_initializer,
            name="kernel",
        )

    def call(self, inputs, reverse=False):
        """Multiply by W, or by its transpose."""
        wanted = self.units if reverse else self.n
        if inputs.shape[-1] != wanted:
            raise ValueError(
                f"inputs must have a last axis of {wanted} with reverse={reverse}, got "
                f"shape {tuple(inputs.shape)}."
            )
        W = ops.transpose(self.kernel) if reverse else self.kernel
        return ops.matmul(inputs, W)

    def get_config(self):
        """Return the arguments of the constructor."""
        return {
            **super().get_config(),
            "n": self.n,
            "units": self.units,
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
        }


@keras.saving.register_keras_serializable(package="advanced_keras")
def squared_error_from_logits(images: Tensor, logits: Tensor) -> Tensor:
    """Mean squared difference between grey values and the sigmoids of logits.

    Args:
        images: grey values from 0 to 1, ``(batch, ...)``.
        logits: of the same shape.

    Returns:
        ``(batch,)``: one error for each example.

    Example:
        >>> images, logits = np.ones((1, 2, 2, 1)), np.zeros((1, 2, 2, 1))
        >>> print(squared_error_from_logits(images, logits).numpy())
        [0.25]
    """
    _checks.alike(images=images, logits=logits)
    logits = ops.convert_to_tensor(logits)
    gap = ops.cast(images, logits.dtype) - ops.sigmoid(logits)
    return ops.mean(ops.square(gap), axis=tuple(range(1, len(gap.shape))))


@keras.saving.register_keras_serializable(package="advanced_keras")
def cross_entropy_from_logits(images: Tensor, logits: Tensor) -> Tensor:
    """Mean cross-entropy between grey values and the sigmoids of logits, in nats.

    A grey value x is read as the probability of ink. With a logit a, a pixel costs
    ``softplus(a) - x a``, which is least at ``sigmoid(a) = x``, and there it is the
    entropy of x: see :func:`grey_entropy`.

    Args:
        images: grey values from 0 to 1, ``(batch, ...)``.
        logits: of the same shape.

    Returns:
        ``(batch,)``: one value for each example.

    Example:
        >>> images, logits = np.ones((1, 2, 2, 1)), np.zeros((1, 2, 2, 1))
        >>> print(cross_entropy_from_logits(images, logits).numpy().round(3))
        [0.693]
    """
    _checks.alike(images=images, logits=logits)
    logits = ops.convert_to_tensor(logits)
    pixels = ops.softplus(logits) - ops.cast(images, logits.dtype) * logits
    return ops.mean(pixels, axis=tuple(range(1, len(pixels.shape))))


def grey_entropy(images: Tensor) -> np.ndarray:
    """The least cross-entropy that any reconstruction of the images can have, in nats.

    Args:
        images: grey values from 0 to 1, ``(batch, ...)``.

    Returns:
        ``(batch,)`` float64: the mean over the pixels of
        ``-x log x - (1 - x) log(1 - x)``.

    Raises:
        ValueError: for a value outside of 0 to 1.

    Example:
        >>> print(grey_entropy(np.array([[0.0, 0.5, 1.0]])).round(3))
        [0.231]
    """
    _checks.axes(images=(images, "(batch, ...)"))
    _checks.finite(images=images)
    x = np.asarray(images, dtype=float)
    if not (np.all(x >= 0) and np.all(x <= 1)):
        raise ValueError(
            f"images must be from 0 to 1, got values from {x.min()} to {x.max()}."
        )
    both = np.stack([x, 1 - x])
    entropy = -np.sum(both * np.log(np.where(both > 0, both, 1)), axis=0)
    return entropy.reshape(len(x), -1).mean(-1)


def _check_integer(name, value, least=1, most=None):
    whole = isinstance(value, (int, np.integer)) and not isinstance(value, bool)
    if not whole or value < least or (most is not None and value > most):
        between = f"of at least {least}" if most is None else f"from {least} to {most}"
        raise ValueError(f"{name} must be an integer {between}, got {value!r}.")


def _check_image_shape(image_shape, filters):
    if not isinstance(filters, (tuple, list)) or not filters:
        raise ValueError(
            f"filters must be a tuple of at least one integer, got {filters!r}."
        )
    for channels in filters:
        _check_integer("filters", channels)
    if not isinstance(image_shape, (tuple, list)) or len(image_shape) != 3:
        raise ValueError(
            f"image_shape must be (rows, columns, channels), got {image_shape!r}."
        )
    for size in image_shape:
        _check_integer("image_shape", size)
    parts = 2 ** len(filters)
    if image_shape[0] % parts or image_shape[1] % parts:
        raise ValueError(
            f"image_shape must have rows and columns that {parts} divides, because "
            f"{len(filters)} filters halve the image {len(filters)} times; got "
            f"{tuple(image_shape)}."
        )


def _check_parts(encoder, decoder):
    for name, part in (("encoder", encoder), ("decoder", decoder)):
        if not isinstance(part, keras.Model):
            raise TypeError(f"{name} must be a Keras model, got {part!r}.")
        ends = [len(getattr(part, end, None) or ()) for end in ("inputs", "outputs")]
        if ends != [1, 1]:
            raise ValueError(
                f"{name} must be functional or sequential and built, with one input "
                f"and one output; {part.name!r} has {ends[0]} and {ends[1]}."
            )
    if encoder.name == decoder.name:
        raise ValueError(
            "encoder and decoder must have different names, so that get_layer can "
            f"tell them apart; both are called {encoder.name!r}."
        )
    given, taken = encoder.outputs[0].shape[1:], decoder.inputs[0].shape[1:]
    if tuple(given) != tuple(taken):
        raise ValueError(
            f"decoder must take codes of shape {tuple(given)}, which the encoder "
            f"gives, but it takes {tuple(taken)}."
        )
