"""The default ``train_step`` and ``test_step`` of Keras, written out.

Chapter: *A custom train step*. Training a :class:`StandardModel` with ``fit`` gives
the weights, the metrics and the optimizer state that training a ``keras.Model`` gives.
"""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from advanced_keras import _checks


class StandardStep:
    """The steps themselves, to be put before ``keras.Model`` among the bases.

    ``class Mine(StandardStep, keras.Model)`` is a model with its own ``call``. For a
    functional model take :class:`StandardModel`.
    """

    def train_step(self, data: Any) -> dict[str, Any]:
        """Change the weights once, by one batch.

        Args:
            data: ``x``, ``(x, y)`` or ``(x, y, sample_weight)``, arrays or nested
                arrays of shapes ``(batch, ...)``, as ``fit`` hands them over.

        Returns:
            The running value of every metric of the epoch, the loss included.
        """
        x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
        with tf.GradientTape() as tape:
            y_pred = self(x, training=True)
            loss = self.compute_loss(x, y, y_pred, sample_weight, training=True)
            scaled_loss = self.optimizer.scale_loss(loss)
        self.track_loss(loss, x)
        gradients = tape.gradient(scaled_loss, self.trainable_variables)
        self.optimizer.apply(gradients, self.trainable_variables)
        return self.compute_metrics(x, y, y_pred, sample_weight)

    def test_step(self, data: Any) -> dict[str, Any]:
        """Measure one batch, and change no weight.

        Args:
            data: as for :meth:`train_step`.

        Returns:
            The running value of every metric, the loss included.
        """
        x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
        y_pred = self(x, training=False)
        loss = self.compute_loss(x, y, y_pred, sample_weight, training=False)
        self.track_loss(loss, x)
        return self.compute_metrics(x, y, y_pred, sample_weight)

    def track_loss(self, loss: Any, x: Any) -> None:
        """Add the loss of a batch to the mean that ``fit`` reports as ``loss``.

        A batch counts as many times as it has examples, so that a short last batch
        does not count like a full one. On several devices Keras divides the loss by
        their number; the report undoes that.

        Args:
            loss: the loss of the batch, a scalar.
            x: the inputs of the batch, for their number.
        """
        replicas = tf.distribute.get_strategy().num_replicas_in_sync
        self._loss_tracker.update_state(loss * replicas, sample_weight=batch_size(x))


@keras.saving.register_keras_serializable(package="advanced_keras")
class StandardModel(StandardStep, keras.Model):
    """A functional model whose steps are those of Keras, in the open.

    Build it with ``StandardModel(inputs, outputs)``, or subclass it and override the
    step, or the method, whose line you want to change.

    Example:
        >>> x = keras.Input((2,))
        >>> model = StandardModel(x, keras.layers.Dense(1)(x))
        >>> model.compile("sgd", "mse")
        >>> sorted(model.train_step((tf.ones((4, 2)), tf.ones((4, 1)))))
        ['loss']
    """


def batch_size(x: Any) -> Any:
    """Number of examples in a batch: the first axis of the first input.

    Args:
        x: an array, or arrays in lists and dicts, of shapes ``(batch, ...)``.

    Raises:
        ValueError: if ``x`` holds no array.
    """
    arrays = [each for each in keras.tree.flatten(x) if each is not None]
    if not arrays:
        raise ValueError(f"x must hold at least one array, got {x!r}.")
    _checks.axes(x=(arrays[0], "(batch, ...)"))
    return keras.ops.shape(arrays[0])[0]
