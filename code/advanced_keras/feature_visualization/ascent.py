"""Gradient ascent on pixels: many filters at once, one trace for all of them.

To climb is from Erhan et al. (2009), who ask for one unit; the mean of a feature map
is the objective of the Keras example. Jitter, smoothing and decorrelated colours are
among the remedies that Olah et al. (2017) compare.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from advanced_keras import _checks
from advanced_keras._types import Tensor

from ..progress import progress
from . import checks

EPSILON = 1e-12


def pixel_gradient(utility: Callable, images: Tensor) -> Tensor:
    """The gradient of a utility with respect to the pixels.

    Args:
        utility: a function from pictures to one number for each of them,
            ``(batch,)``. No picture may influence another one's number.
        images: ``(batch, rows, columns, channels)``, floating point.

    Returns:
        A tensor of the shape of ``images``.

    Raises:
        ValueError: if the utility does not depend on the pixels, or they are integers.

    Example:
        >>> images = np.full((1, 2, 2, 1), 3.0, "float32")
        >>> double = pixel_gradient(lambda x: ops.sum(x**2, axis=(1, 2, 3)), images)
        >>> print(np.unique(double))
        [6.]
    """
    _checks.function("utility", utility)
    images = _floating(images)
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(images)
        total = ops.sum(utility(images))
    gradient = tape.gradient(total, images)
    if gradient is None:
        raise ValueError(
            "utility must depend on images through operations that have a gradient; "
            "the tape found no way from one to the other."
        )
    return gradient


def channel_mean(features: Tensor, filters: Tensor) -> Tensor:
    """The mean of one feature map of each picture.

    Args:
        features: ``(batch, ..., channels)``: maps, or logits.
        filters: ``(batch,)``, integers: which channel counts for which picture.

    Returns:
        ``(batch,)``, at least float32.

    Example:
        >>> features = np.arange(8.0).reshape(1, 2, 2, 2)
        >>> print(channel_mean(features, [1]).numpy())
        [4.]
    """
    _checks.axes(features=(features, "(batch, ..., channels)"))
    _checks.shape_of("filters", filters)
    (features,) = _checks.as_tensors(features)
    features, filters = _matched(_at_least_float32(features), filters)
    means = ops.mean(features, axis=tuple(range(1, len(features.shape) - 1)))
    return ops.take_along_axis(means, filters[:, None], axis=1)[:, 0]


def total_variation(images: Tensor) -> Tensor:
    """The sum of absolute differences between neighbouring pixels of each picture.

    Args:
        images: ``(batch, rows, columns, channels)``.

    Returns:
        ``(batch,)``.

    Example:
        >>> print(total_variation(np.ones((1, 4, 4, 3), "float32")).numpy())
        [0.]
    """
    images = _four_axes("images", images)
    down = ops.abs(images[:, 1:] - images[:, :-1])
    right = ops.abs(images[:, :, 1:] - images[:, :, :-1])
    return ops.sum(down, axis=(1, 2, 3)) + ops.sum(right, axis=(1, 2, 3))


def blur(images: Tensor, passes: int = 1) -> Tensor:
    """Mix each pixel with its neighbours, 1 : 2 : 1 along rows and along columns.

    The picture has no edges: right of the last column comes the first. As a matrix
    the blur is symmetric, with eigenvalues from 0 to 1.

    Args:
        images: ``(batch, rows, columns, channels)``.
        passes: how often.

    Example:
        >>> dot = np.zeros((1, 3, 3, 1), "float32")
        >>> dot[0, 1, 1, 0] = 16
        >>> print(np.asarray(blur(dot))[0, ..., 0])
        [[1. 2. 1.]
         [2. 4. 2.]
         [1. 2. 1.]]
    """
    images = _four_axes("images", images)
    checks.number("passes", passes, whole=True)
    for _ in range(passes):
        for axis in (1, 2):
            both = ops.roll(images, 1, axis=axis) + ops.roll(images, -1, axis=axis)
            images = images / 2 + both / 4
    return images


def unit_step(gradient: Tensor) -> Tensor:
    """Scale the gradient of each picture to a root mean square of 1.

    A gradient of zero stays zero.

    Example:
        >>> step = unit_step(np.array([[[[3.0], [4.0]]]], "float32"))
        >>> print(np.ravel(step).round(2))
        [0.85 1.13]
    """
    gradient = _four_axes("gradient", gradient)
    square = ops.mean(ops.square(gradient), axis=(1, 2, 3), keepdims=True)
    return gradient / ops.sqrt(square + EPSILON**2)


class Found(NamedTuple):
    """What an ascent has found.

    Args:
        images: NumPy ``(count, rows, columns, channels)``, from 0 to 1.
        history: NumPy ``(steps, count)``: the utility before each step.
    """

    images: np.ndarray
    history: np.ndarray


class Ascent:
    """Looks for the pictures that excite given filters most.

    Each step adds ``rate`` times the direction to the pictures and clips them to 0
    and 1. The direction is the gradient of ``U - tv * (total variation per value)``,
    blurred, its colours decorrelated, scaled to a root mean square of 1.

    Args:
        extractor: a model from pictures from 0 to 1, ``(batch, rows, columns, c)``, to
            features ``(batch, ..., channels)``; it must accept the ``size`` of
            :meth:`run`.
        objective: a function of features and filters that gives ``(batch,)``.
        tv: the price of total variation; 0 for none.
        blur: how often the gradient is blurred.
        jitter: the most pixels by which the picture is moved before each step.
        colours: ``(c, c)``, symmetric and positive semidefinite, multiplies the
            gradient's channels; None for the identity.

    Attributes:
        traces: how often TensorFlow has traced the step. It stays 1, whatever filters,
            numbers of pictures and sizes come.

    Raises:
        ValueError: if a setting is negative, ``colours`` does not fit, or the
            extractor has not one input of pictures and one output.
    """

    def __init__(
        self,
        extractor,
        objective=channel_mean,
        tv=0.0,
        blur=0,
        jitter=0,
        colours=None,
    ):
        _checks.function("objective", objective)
        self.extractor, self.objective = _pictures_in(extractor), objective
        self.tv = checks.number("tv", tv)
        self.blur = checks.number("blur", blur, whole=True)
        self.jitter = checks.number("jitter", jitter, whole=True)
        self.channels = extractor.input_shape[-1]
        self.colours = _metric(colours, self.channels)
        self.traces = 0
        self._compiled = tf.function(
            self.step,
            input_signature=(
                tf.TensorSpec((None, None, None, self.channels), tf.float32),
                tf.TensorSpec((None,), tf.int32),
                tf.TensorSpec((2,), tf.int32),
                tf.TensorSpec((), tf.float32),
            ),
        )

    def utility(self, images, filters, shift=(0, 0)):
        """The objective of pictures that are moved by ``shift`` pixels, ``(batch,)``.

        What leaves a picture on one side comes back on the other.
        """
        moved = tf.roll(images, shift, axis=(1, 2))
        values = self.objective(self.extractor(moved, training=False), filters)
        if len(values.shape) != 1:
            raise ValueError(
                "objective must give one number for each picture, (batch,), got "
                f"{tuple(values.shape)}."
            )
        return values

    def step(self, images, filters, shift, rate):
        """One step for all pictures; also the utility before the step."""
        self.traces += 1  # Python comes here only when TensorFlow traces
        utilities = []

        def penalized(images):
            utilities.append(self.utility(images, filters, shift))
            pixels = ops.cast(ops.prod(ops.shape(images)[1:]), images.dtype)
            return utilities[0] - self.tv * total_variation(images) / pixels

        gradient = blur(pixel_gradient(penalized, images), self.blur)
        if self.colours is not None:
            gradient = ops.matmul(gradient, self.colours)
        images = ops.clip(images + rate * unit_step(gradient), 0.0, 1.0)
        return images, utilities[0]

    def run(self, filters, size=48, steps=60, rate=0.05, seed=0, start=None):
        """Climb.

        Args:
            filters: integers ``(count,)``, one picture for each.
            size: rows and columns of the pictures.
            steps: how many.
            rate: root mean square of the first step, before clipping; it falls
                linearly to a tenth.
            seed: of the first picture and of the jitter.
            start: pictures ``(count, size, size, c)`` from 0 to 1 to start from; by
                default grey with a little noise, the same for each filter.

        Raises:
            ValueError: if a filter does not exist, or the settings do not fit.
        """
        filters = self._check(filters)
        checks.number("rate", rate)
        checks.number("steps", steps, whole=True)
        rng = np.random.default_rng(checks.number("seed", seed, whole=True))
        if start is None:
            checks.number("size", size, least=1, whole=True)
            grey = 0.5 + 0.05 * rng.normal(size=(1, size, size, self.channels))
            start = np.repeat(np.clip(grey, 0, 1), len(filters), axis=0)
        images = tf.constant(self._fitting(start, len(filters)), tf.float32)
        history: list[np.ndarray] = []
        bar = progress(
            range(steps), "climbing", numbers=lambda: {"utility": history[-1].mean()}
        )
        for number in bar:
            shift = rng.integers(-self.jitter, self.jitter + 1, size=2)
            now = rate * (1 - 0.9 * number / steps)
            images, utility = self._compiled(
                images,
                filters,
                tf.constant(shift, tf.int32),
                tf.constant(now, tf.float32),
            )
            history.append(utility.numpy())
        return Found(images.numpy(), np.reshape(history, (steps, len(filters))))

    def _fitting(self, start, count):
        """Pictures that the extractor takes, one for each filter."""
        start = checks.pictures("start", start, boxed=True)
        if len(start) != count:
            raise ValueError(
                f"start must have one picture for each of the {count} filters, "
                f"got {len(start)}."
            )
        wanted = self.extractor.input_shape[1:]
        pairs = zip(start.shape[1:], wanted, strict=True)
        if any(want not in (None, have) for have, want in pairs):
            raise ValueError(
                f"size and start must fit the extractor, which takes {wanted}, got "
                f"{start.shape[1:]}."
            )
        try:
            features = self.extractor.compute_output_shape((1, *start.shape[1:]))
        except ValueError:  # of a layer, which knows no argument of ours
            features = (0,)
        if 0 in features:
            raise ValueError(
                "size must be large enough for a feature of the extractor, got "
                f"{start.shape[1:3]}."
            )
        return start

    def _check(self, filters):
        filters = np.asarray(filters)
        channels = self.extractor.output_shape[-1]
        whole = filters.ndim == 1 and filters.dtype.kind in "iu"
        if not whole or not all((filters >= 0) & (filters < channels)):
            raise ValueError(
                f"filters must be a list of integers from 0 to {channels - 1}, got "
                f"{filters!r}."
            )
        return tf.constant(filters, tf.int32)


def _at_least_float32(features):
    """Sums over a map need more digits than half precision has."""
    half = keras.backend.standardize_dtype(features.dtype) in ("bfloat16", "float16")
    return ops.cast(features, "float32") if half else features


def _four_axes(name, images):
    """The images. Without a batch axis, rows and columns would be taken for others."""
    _checks.shape_of(name, images)
    (images,) = _checks.as_tensors(images)
    if len(images.shape) != 4:
        raise ValueError(
            f"{name} must be (batch, rows, columns, channels), got "
            f"{tuple(images.shape)}."
        )
    return images


def _floating(images):
    """A tensor with a derivative: integers have none."""
    _checks.axes(images=(images, "(batch, ...)"))
    images = tf.convert_to_tensor(images)
    if not images.dtype.is_floating:
        raise ValueError(f"images must be floating point, got {images.dtype.name}.")
    return images


def _matched(features, filters):
    """The same, and filters as a tensor: as many as pictures, each of them there."""
    filters = tf.convert_to_tensor(filters)
    known = tf.get_static_value(filters)  # None while TensorFlow traces
    if known is not None and None not in (features.shape[0], features.shape[-1]):
        checks.channels("filters", known, features.shape[0], features.shape[-1])
    return features, filters


def _pictures_in(extractor):
    """A model with one input of pictures and one output."""
    checks.one_input("extractor", extractor)
    rank, outputs = len(extractor.input_shape), len(extractor.outputs)
    if rank != 4 or extractor.input_shape[-1] is None or outputs != 1:
        raise ValueError(
            "extractor must turn pictures (batch, rows, columns, channels) into one "
            f"output, got an input {extractor.input_shape} and {outputs} outputs."
        )
    return extractor


def _metric(colours, channels):
    if colours is None:
        return None
    colours = np.asarray(colours, "float32")
    square = colours.shape == (channels, channels)
    if not square or not np.allclose(colours, colours.T, atol=1e-5):
        raise ValueError(
            f"colours must be a symmetric matrix ({channels}, {channels}), got "
            f"{colours!r}."
        )
    least = np.linalg.eigvalsh(colours)[0]
    if least < -1e-5:
        raise ValueError(
            "colours must be positive semidefinite, or a step could lead downhill; "
            f"its smallest eigenvalue is {least:.3g}."
        )
    return colours
