"""The train step whose sum over the replicas is the step on one device."""

from __future__ import annotations

import math
import numbers
from typing import Any

import keras
import tensorflow as tf
from keras import ops

from advanced_keras.training import StandardStep, batch_size


class GlobalMeanStep(StandardStep):
    """The standard step, with the loss as a mean over the *global* batch.

    Keras gives a replica the mean over its own examples, divided by the number of
    replicas. That is right if all replicas have equally many. Here a replica's mean
    counts by how many terms it has, as the chapter derives, so that short and
    even empty batches are right too.

    Put it before ``keras.Model`` among the bases of a model with its own ``call``; for
    a functional model take :class:`GlobalMeanModel`.
    """

    def train_step(self, data: Any) -> dict[str, Any]:
        """Change the weights once, by this replica's part of one global batch.

        Args:
            data: this replica's ``x``, ``(x, y)`` or ``(x, y, sample_weight)``, arrays
                or nested arrays of shapes ``(per-replica batch, ...)``.

        Returns:
            The running value of every metric of the epoch, over all replicas.
        """
        x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
        with tf.GradientTape() as tape:
            y_pred = self(x, training=True)
            loss = self.compute_loss(x, y, y_pred, sample_weight, training=True)
            part = loss * share(self.count_terms(x, y, sample_weight))
            scaled_part = self.optimizer.scale_loss(part)
        self.track_loss(all_reduce(part, "MEAN"), x)
        gradients = tape.gradient(scaled_part, self.trainable_variables)
        self.update(gradients)
        return self.compute_metrics(x, y, y_pred, sample_weight)

    def compute_loss(self, *args, **kwargs):
        """The loss of :class:`keras.Model`, 0 where it is the mean of nothing.

        Args:
            *args: as for ``keras.Model.compute_loss``.
            **kwargs: as for ``keras.Model.compute_loss``.
        """
        # A batch that is known to be empty has a loss of shape (0,), not a scalar.
        return ops.sum(super().compute_loss(*args, **kwargs))

    def count_terms(self, x: Any, y: Any, sample_weight: Any) -> Any:
        """How many terms this replica's loss is the mean of; here, its examples.

        Override it where the loss is a mean over something else, such as the words
        that a mask keeps.

        Args:
            x: inputs, of shapes ``(per-replica batch, ...)``.
            y: targets, the same.
            sample_weight: weights of the examples, or None.
        """
        return batch_size(x)

    def update(self, gradients: list) -> None:
        """Give this replica's gradients to the optimizer, which adds up all replicas'.

        Args:
            gradients: one a trainable variable, of this replica's part of the loss.
        """
        self.optimizer.apply(gradients, self.trainable_variables)


@keras.saving.register_keras_serializable(package="advanced_keras")
class GlobalMeanModel(GlobalMeanStep, keras.Model):
    """A functional model that steps as :class:`GlobalMeanStep`.

    Build it with ``GlobalMeanModel(inputs, outputs)`` under the strategy's scope.
    """


def all_reduce(value: Any, how: str = "SUM") -> Any:
    """Add ``value`` up over all replicas; each of them gets the result.

    Args:
        value: a tensor, or a list of tensors, of this replica.
        how: ``"SUM"`` or ``"MEAN"``.

    Raises:
        RuntimeError: if it is called outside ``strategy.run``, where there is no
            replica to speak of.
    """
    context = tf.distribute.get_replica_context()
    if context is None:
        raise RuntimeError(
            "all_reduce must be called by a replica, inside strategy.run or fit; "
            "it was called directly under strategy.scope()."
        )
    return context.all_reduce(tf.distribute.ReduceOp[how], value)


def share(terms: Any) -> Any:
    """What a replica's mean, divided by R, counts in the mean over all: R b_r / B.

    Args:
        terms: the number of terms of this replica's mean, b_r.

    Returns:
        A float32 scalar, 1 where all replicas have equally many terms. It is 0 if no
        replica has any.
    """
    terms = ops.cast(terms, "float32")
    replicas = tf.distribute.get_strategy().num_replicas_in_sync
    return ops.divide_no_nan(terms * replicas, all_reduce(terms))


def clip_sum(gradients: list, norm: float) -> list:
    """Clip the global gradient, where ``global_clipnorm`` clips each replica's.

    Args:
        gradients: this replica's, of its part of the loss, not scaled for float16;
            None stays None.
        norm: the largest norm of all gradients together, after the sum.

    Returns:
        The clipped sum over the replicas, divided by their number: what an optimizer
        wants that will add up all replicas' gradients.

    Raises:
        ValueError: if ``norm`` is not a positive, finite number.
    """
    if not isinstance(norm, numbers.Real) or not 0 < norm < math.inf:
        raise ValueError(f"norm must be a positive, finite number, got {norm!r}.")
    known = [index for index, each in enumerate(gradients) if each is not None]
    sums = all_reduce([tf.convert_to_tensor(gradients[index]) for index in known])
    clipped, _ = tf.clip_by_global_norm(sums, norm)
    replicas = tf.distribute.get_strategy().num_replicas_in_sync
    result = list(gradients)
    for index, each in zip(known, clipped, strict=True):
        result[index] = each / replicas
    return result


@keras.saving.register_keras_serializable(package="advanced_keras")
class ReplicaSeed(keras.random.SeedGenerator):
    """A seed generator that gives each replica a seed of its own.

    The replicas of a model share the state of a ``keras.random.SeedGenerator``, and so
    draw the same numbers. In a layer of your own, take this one in its place.

    Args:
        seed: an integer, or None for a random one.
    """

    def next(self, ordered: bool = True) -> Any:
        """A seed of shape ``(2,)``, for this replica only.

        Args:
            ordered: as for ``keras.random.SeedGenerator``.
        """
        state = super().next(ordered=ordered)
        context = tf.distribute.get_replica_context()
        replica = 0 if context is None else context.replica_id_in_sync_group
        # The second entry counts the draws: adding there would give replica 1 now what
        # replica 0 draws next. So the replica goes into the first, in strides: seed + 1
        # is likely the seed of the next layer.
        return state + ops.cast(ops.stack([replica * 1_000_003, 0]), state.dtype)
