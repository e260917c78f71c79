"""Train steps that differ from the default in one thing each.

Chapter: *A custom train step*. Each class is written as a difference from
:class:`~advanced_keras.training.StandardModel`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from advanced_keras import _checks

from .standard import StandardModel, batch_size


class _Variant(StandardModel):
    """A standard model with settings that are saved and loaded with it."""

    settings: tuple[str, ...] = ()

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {
            name: getattr(self, name) for name in self.settings
        }

    @classmethod
    def from_config(cls, config, custom_objects=None):
        config = dict(config)
        kept = {name: config.pop(name) for name in cls.settings if name in config}
        model = super().from_config(config, custom_objects)
        for name, value in kept.items():
            setattr(model, name, tuple(value) if isinstance(value, list) else value)
        return model


@keras.saving.register_keras_serializable(package="advanced_keras")
class WeightedModel(_Variant):
    """Gives each example the weight of its class, inside the train step.

    ``fit(class_weight=...)`` does the same, outside of it.

    Args:
        *args: inputs and outputs, as for ``keras.Model``.
        class_weight: the weight of class 0, of class 1, and so on; the labels are
            integers of shape ``(batch,)`` or ``(batch, 1)``.
        **kwargs: as for ``keras.Model``.

    Raises:
        ValueError: if ``class_weight`` isn't a sequence of at least two finite
            numbers, none of them negative.

    Example:
        >>> x = keras.Input((2,))
        >>> model = WeightedModel(x, keras.layers.Dense(1)(x), class_weight=(1.0, 9.0))
        >>> model.get_config()["class_weight"]
        (1.0, 9.0)
    """

    settings = ("class_weight",)

    def __init__(self, *args, class_weight: Sequence[float] = (1.0, 1.0), **kwargs):
        super().__init__(*args, **kwargs)
        self.class_weight = _weights(class_weight)

    def train_step(self, data: Any) -> dict[str, Any]:
        """The default step, with the weights of the examples among the data."""
        x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
        weight = self.weights_of(y)
        if sample_weight is not None:
            weight = weight * keras.ops.reshape(sample_weight, (-1,))
        return super().train_step((x, y, weight))

    def weights_of(self, y: Any) -> Any:
        """Look up the weight of each example's class, ``(batch,)``.

        Raises:
            ValueError: if ``y`` isn't one array of labels.
        """
        shape = getattr(y, "shape", None)
        if shape is None or len(shape) > 2 or (len(shape) == 2 and shape[1] != 1):
            got = type(y).__name__ if shape is None else f"shape {tuple(shape)}"
            raise ValueError(
                f"y must be labels of shape (batch,) or (batch, 1), got {got}."
            )
        labels = keras.ops.cast(keras.ops.reshape(y, (-1,)), "int32")
        return keras.ops.take(keras.ops.convert_to_tensor(self.class_weight), labels)


@keras.saving.register_keras_serializable(package="advanced_keras")
class ClippedModel(_Variant):
    """Shortens the gradient to at most ``max_norm``, and reports how long it was.

    The metric ``gradient_norm`` is the mean over the epoch of the length before
    clipping (Pascanu, Mikolov and Bengio, 2013).

    Args:
        *args: inputs and outputs, as for ``keras.Model``.
        max_norm: the greatest length of the gradient of all weights together.
        **kwargs: as for ``keras.Model``.

    Raises:
        ValueError: if ``max_norm`` isn't a positive number.

    Example:
        >>> x = keras.Input((2,))
        >>> model = ClippedModel(x, keras.layers.Dense(1)(x), max_norm=0.5)
        >>> model.get_config()["max_norm"]
        0.5
    """

    settings = ("max_norm",)

    def __init__(self, *args, max_norm: float = 1.0, **kwargs):
        super().__init__(*args, **kwargs)
        self.max_norm = _positive("max_norm", max_norm)
        self.norm_tracker = keras.metrics.Mean(name="gradient_norm")

    def train_step(self, data: Any) -> dict[str, Any]:
        """The default step, with the gradients clipped before they are applied."""
        x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
        with tf.GradientTape() as tape:
            y_pred = self(x, training=True)
            loss = self.compute_loss(x, y, y_pred, sample_weight, training=True)
            scaled_loss = self.optimizer.scale_loss(loss)
        self.track_loss(loss, x)
        gradients = tape.gradient(scaled_loss, self.trainable_variables)
        norm = global_norm(gradients) / self.optimizer.scale_loss(1.0)
        factor = keras.ops.minimum(1.0, self.max_norm / norm)
        clipped = scale_gradients(gradients, factor)
        self.norm_tracker.update_state(norm)
        self.optimizer.apply(clipped, self.trainable_variables)
        return self.compute_metrics(x, y, y_pred, sample_weight)

    def test_step(self, data: Any) -> dict[str, Any]:
        """The default step; it takes no gradient, so it reports no length."""
        logs = super().test_step(data)
        return {key: value for key, value in logs.items() if key != "gradient_norm"}


@keras.saving.register_keras_serializable(package="advanced_keras")
class AccumulatingModel(_Variant):
    """Takes a batch in several parts and changes the weights once, by their mean.

    The memory that a step needs is that of a part; the update is that of the batch,
    if no layer looks at the batch as a whole as batch normalization does.

    Args:
        *args: inputs and outputs, as for ``keras.Model``.
        parts: into how many parts a batch is cut. No batch should have fewer examples,
            the last one included: in a graph, whose batches have no fixed size, some
            parts would be empty. Losses of Keras take that, ``ops.mean`` doesn't.
        **kwargs: as for ``keras.Model``.

    Raises:
        ValueError: if ``parts`` isn't a positive integer.

    Example:
        >>> x = keras.Input((2,))
        >>> model = AccumulatingModel(x, keras.layers.Dense(1)(x), parts=4)
        >>> model.get_config()["parts"]
        4
    """

    settings = ("parts",)

    def __init__(self, *args, parts: int = 1, **kwargs):
        super().__init__(*args, **kwargs)
        if isinstance(parts, bool) or not isinstance(parts, int) or parts < 1:
            raise ValueError(f"parts must be a positive integer, got {parts!r}.")
        self.parts = parts

    def train_step(self, data: Any) -> dict[str, Any]:
        """Several gradients, one update."""
        x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
        size = batch_size(x)
        parts = min(self.parts, size) if isinstance(size, int) else self.parts
        total = [0.0 for _ in self.trainable_variables]
        for part in range(parts):
            start, stop = size * part // parts, size * (part + 1) // parts
            piece = rows((x, y, sample_weight), start, stop)
            gradients, logs = self.gradients_of(piece)
            share = (stop - start) / size
            total = add(total, scale_gradients(gradients, share))
        self.optimizer.apply(total, self.trainable_variables)
        return logs

    def gradients_of(self, piece: Any) -> tuple[list[Any], dict[str, Any]]:
        """The default step up to the gradients, and the metrics."""
        x, y, sample_weight = piece
        with tf.GradientTape() as tape:
            y_pred = self(x, training=True)
            loss = self.compute_loss(x, y, y_pred, sample_weight, training=True)
            scaled_loss = self.optimizer.scale_loss(loss)
        self.track_loss(loss, x)
        gradients = tape.gradient(scaled_loss, self.trainable_variables)
        return gradients, self.compute_metrics(x, y, y_pred, sample_weight)


def global_norm(gradients: Sequence[Any]) -> Any:
    """Length of all gradients together, as if they were one long vector.

    Args:
        gradients: tensors of any shapes; None for a weight without a gradient.

    Raises:
        ValueError: if there is no gradient at all.

    Example:
        >>> print(global_norm([np.array([3.0]), np.array([4.0])]).numpy())
        5.0
    """
    if not isinstance(gradients, (list, tuple)):
        raise TypeError(f"gradients must be a list of tensors, got {gradients!r}.")
    for each in gradients:
        if each is not None:
            _checks.shape_of("each of gradients", each)
    dense = [keras.ops.convert_to_tensor(g) for g in gradients if g is not None]
    if not dense:
        raise ValueError("gradients must hold at least one tensor, got none.")
    squares = [keras.ops.sum(keras.ops.square(g)) for g in dense]
    return keras.ops.sqrt(keras.ops.sum(keras.ops.stack(squares)))


def scale_gradients(gradients: Sequence[Any], factor: Any) -> list[Any]:
    """Multiply every gradient by a number; None stays None."""
    dense = [None if g is None else keras.ops.convert_to_tensor(g) for g in gradients]
    return [None if g is None else g * keras.ops.cast(factor, g.dtype) for g in dense]


def add(total: Sequence[Any], gradients: Sequence[Any]) -> list[Any]:
    """Add gradients to a running total, one by one; None stays None."""
    pairs = zip(total, gradients, strict=True)
    return [None if g is None else t + g for t, g in pairs]


def rows(data: Any, start: Any, stop: Any) -> Any:
    """The examples from ``start`` to ``stop`` of every array in ``data``."""
    return keras.tree.map_structure(
        lambda array: None if array is None else array[start:stop], data
    )


def _positive(name: str, value: Any) -> float:
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not number or not value > 0:
        raise ValueError(f"{name} must be a positive number, got {value!r}.")
    return float(value)


def _weights(values: Any) -> tuple[float, ...]:
    try:
        array = np.asarray(values, dtype="float64")
    except (TypeError, ValueError):
        array = np.zeros(0)
    right = np.all(np.isfinite(array) & (array >= 0))
    if array.ndim != 1 or len(array) < 2 or not right:
        raise ValueError(
            "class_weight must be at least two finite numbers >= 0, the weight of "
            f"class 0, of class 1, and so on, got {values!r}."
        )
    return tuple(float(value) for value in array)
