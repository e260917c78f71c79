"""The whole training loop, written by hand: no ``compile``, no ``fit``."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import keras
import tensorflow as tf

from advanced_keras import _checks

from .standard import batch_size


def train_by_hand(
    model: keras.Model,
    optimizer: keras.optimizers.Optimizer,
    loss_fn: Callable,
    batches: Iterable,
    epochs: int,
) -> list[float]:
    """Train a model; what ``fit`` does without callbacks, metrics and validation.

    Chapter: *A custom train step*.

    Args:
        model: a built model.
        optimizer: changes its weights.
        loss_fn: from ``y`` and ``y_pred`` to a scalar.
        batches: pairs ``(x, y)`` of shapes ``(batch, ...)``; it is run through once
            an epoch, so an iterator that can be used only once won't do.
        epochs: how many times.

    Returns:
        The mean loss of each epoch.

    Raises:
        ValueError: if the model isn't built, or ``batches`` is empty.
        TypeError: if ``batches`` can be run through only once.
    """
    _check(model, loss_fn, batches, epochs)
    optimizer.build(model.trainable_variables)
    mean = keras.metrics.Mean()

    @tf.function
    def step(x, y):
        with tf.GradientTape() as tape:
            y_pred = model(x, training=True)
            loss = loss_fn(y, y_pred) + sum(model.losses)
        gradients = tape.gradient(loss, model.trainable_variables)
        optimizer.apply(gradients, model.trainable_variables)
        mean.update_state(loss, sample_weight=batch_size(x))

    history = []
    for _ in range(epochs):
        mean.reset_state()
        for x, y in batches:
            step(x, y)
        history.append(float(mean.result()))
    return history


def _check(model: Any, loss_fn: Any, batches: Any, epochs: Any) -> None:
    _checks.instance("model", model, keras.layers.Layer, "a model")
    _checks.function("loss_fn", loss_fn)
    _checks.whole("epochs", epochs)
    if isinstance(batches, str) or not hasattr(batches, "__iter__"):
        raise TypeError(f"batches must be pairs (x, y), got {batches!r}.")
    if not model.built:
        raise ValueError("model must be built before it is trained by hand.")
    if iter(batches) is batches:
        raise TypeError(
            "batches must be a dataset or a list, which can be run through once an "
            f"epoch, got {type(batches).__name__}, which can be used only once."
        )
    if not any(True for _ in batches):
        raise ValueError("batches must hold at least one pair (x, y), got none.")
