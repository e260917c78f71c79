"""A training loop over ``strategy.run``: for one device, several, several processes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import keras
import tensorflow as tf


def distribute(
    strategy: tf.distribute.Strategy, batches: tf.data.Dataset
) -> Iterable[Any]:
    """Deal a dataset of global batches out to the replicas.

    Args:
        strategy: the strategy, of one process or several.
        batches: a dataset that ends, batched by the global batch size; the same, in
            the same order, in each process.

    Returns:
        An iterable of the replicas' parts.

    Raises:
        TypeError: if ``batches`` is not a ``tf.data.Dataset``.
    """
    if not isinstance(batches, tf.data.Dataset):
        raise TypeError(
            "batches must be a tf.data.Dataset of global batches, "
            f"got {type(batches).__name__}."
        )
    options = tf.data.Options()
    policy = tf.data.experimental.AutoShardPolicy.DATA  # every process has all the data
    options.experimental_distribute.auto_shard_policy = policy
    return strategy.experimental_distribute_dataset(batches.with_options(options))


def train(
    model: keras.Model, batches: tf.data.Dataset, epochs: int
) -> dict[str, list[float]]:
    """Train a compiled model with its own ``train_step``, under its own strategy.

    What ``fit`` does, without callbacks, and without what fails in ``fit`` when there
    are several processes.

    Args:
        model: built and compiled under ``strategy.scope()``.
        batches: a dataset that ends, of global batches of ``(x, y)`` or ``(x, y,
            sample_weight)``, the first axis ``(global batch, ...)``.
        epochs: how many times to go through ``batches``.

    Returns:
        The metrics at the end of every epoch, as ``History.history`` has them.

    Raises:
        ValueError: if ``epochs`` is not a positive integer, the model is not
            compiled or not built, or ``batches`` never ends or holds nothing.
        TypeError: if ``batches`` is not a ``tf.data.Dataset``.
    """
    _check(model, epochs)
    strategy = model.distribute_strategy
    dealt = distribute(strategy, batches)
    with strategy.scope():  # make the variables of metrics and optimizer, as fit does,
        model._symbolic_build(data_batch=_first(batches))  # from a plain batch

    @tf.function
    def step(batch):
        strategy.run(model.train_step, args=(batch,))

    history: dict[str, list[float]] = {}
    for _ in range(epochs):
        model.reset_metrics()
        for batch in dealt:
            step(batch)
        for name, value in model.get_metrics_result().items():
            history.setdefault(name, []).append(float(value))
    return history


def _first(batches: tf.data.Dataset):
    """A batch that is not dealt out."""
    if batches.cardinality() == tf.data.INFINITE_CARDINALITY:
        raise ValueError("batches must end, got a dataset that repeats for ever.")
    first = next(iter(batches), None)
    if first is None:
        raise ValueError("batches must hold at least one batch, got an empty dataset.")
    return first


def _check(model, epochs) -> None:
    if isinstance(epochs, bool) or not isinstance(epochs, int) or epochs < 1:
        raise ValueError(f"epochs must be a positive integer, got {epochs!r}.")
    if not model.compiled:
        raise ValueError("model must be compiled, got one that is not.")
    if not model.built:
        raise ValueError(
            "model must be built before it is trained: its weights must exist, "
            "got one without. Give it an Input, or call it once under the scope."
        )
