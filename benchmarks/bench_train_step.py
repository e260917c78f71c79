"""The default train step written out against the one that Keras hides.

Two models with the same weights: ``keras.Model`` and our ``StandardModel``, whose
``train_step`` is in the open. Each trains on the same data with ``fit``: 784 features,
two dense layers of 512 units, ten classes, batches of 128. Rounds of the two are timed
in turn, so that other load on the machine falls on both. Exit code 1 above the target.

    python benchmarks/bench_train_step.py
"""

import sys
from functools import partial

import numpy as np

from advanced_keras.training import StandardModel

# isort: split
import keras
from _timing import medians, seconds, verdict
from keras import layers

TARGET = 1.05
ROUNDS, STEPS, BATCH = 15, 40, 128


def build(cls):
    """The same network, with the same weights, for both classes."""
    keras.utils.set_random_seed(0)
    inputs = keras.Input((784,))
    hidden = layers.Dense(512, activation="relu", kernel_regularizer="l2")(inputs)
    hidden = layers.Dense(512, activation="relu")(layers.Dropout(0.2)(hidden))
    model = cls(inputs, layers.Dense(10)(hidden))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("adam", loss=loss, metrics=["accuracy"])
    return model


def seconds_per_step(model, x, y):
    """Seconds per step of one epoch."""
    return seconds(lambda: model.fit(x, y, batch_size=BATCH, verbose=0)) / STEPS


def main() -> int:
    """Time both in turn, print the ratio of the medians."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(STEPS * BATCH, 784)).astype("float32")
    y = rng.integers(0, 10, STEPS * BATCH)
    stock, ours = build(keras.Model), build(StandardModel)
    for model in (stock, ours):
        seconds_per_step(model, x, y)  # traces the step
    ways = [partial(seconds_per_step, model, x, y) for model in (stock, ours)]
    plain, open_step = medians(ways, ROUNDS)
    ratio = open_step / plain
    print(f"stock {1e3 * plain:.2f} ms, ours {1e3 * open_step:.2f} ms per step")
    return 0 if verdict("bench_train_step", "ratio", ratio, TARGET, at_most=True) else 1


if __name__ == "__main__":
    sys.exit(main())
