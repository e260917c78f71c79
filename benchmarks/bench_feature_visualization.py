"""A grid of 64 filters: one batch with one trace, against a Python index per filter.

Both draw the pictures of the 64 filters of the third block of the book's network (its
weights don't matter for the time), 48 x 48 pixels, 30 steps, with the same step. One
way is that of ``Ascent``: all filters in one batch. The other is the common one: a
``tf.function`` of a picture and a filter number, called in a loop over the filters. A
Python number is a constant of the graph, so TensorFlow traces it for each filter.
Rounds of the two are timed in turn, each from a fresh function, so that both pay for
their traces. For comparison, the same loop with the number as a tensor. Exit code 1
below the target.

    python benchmarks/bench_feature_visualization.py
"""

import sys

import numpy as np

from advanced_keras.feature_visualization import (
    Ascent,
    build_network,
    feature_extractor,
    pixel_gradient,
    unit_step,
)

# isort: split
import keras
import tensorflow as tf
from _timing import medians, seconds, verdict
from keras import ops

TARGET = 3.0
ROUNDS, FILTERS, SIZE, STEPS, RATE = 3, 64, 48, 30, 0.05


def batched(extractor, start):
    """All filters at once; how often the step was traced."""
    ascent = Ascent(extractor)
    images = np.repeat(start, FILTERS, axis=0)
    ascent.run(range(FILTERS), steps=STEPS, rate=RATE, start=images)
    return ascent.traces


def one_by_one(extractor, start, as_index):
    """A loop over the filters, the index as it comes from ``as_index``."""
    traces = 0

    @tf.function
    def step(image, index, rate):
        nonlocal traces
        traces += 1  # Python comes here only when TensorFlow traces

        def utility(image):
            return ops.mean(extractor(image, training=False)[..., index], axis=(1, 2))

        direction = unit_step(pixel_gradient(utility, image))
        return ops.clip(image + rate * direction, 0.0, 1.0)

    for number in range(FILTERS):
        image, index = tf.constant(start), as_index(number)
        for count in range(STEPS):
            image = step(image, index, tf.constant(RATE * (1 - 0.9 * count / STEPS)))
    return traces


def main() -> int:
    """Time the ways in turn, print the ratio of the medians."""
    tf.get_logger().setLevel("ERROR")  # it warns of what is measured here
    keras.utils.set_random_seed(0)
    extractor = feature_extractor(build_network(), "features_3")
    start = np.random.default_rng(0).uniform(0.4, 0.6, (1, SIZE, SIZE, 3))
    start = start.astype("float32")
    ways = {
        "one batch": lambda: batched(extractor, start),
        "Python index": lambda: one_by_one(extractor, start, int),
        "tensor index": lambda: one_by_one(extractor, start, tf.constant),
    }
    traces = {}
    clocks = [
        lambda name=name, way=way: seconds(lambda: traces.update({name: way()}))
        for name, way in ways.items()
    ]
    times = medians(clocks, ROUNDS)
    for name, took in zip(ways, times, strict=True):
        print(f"{name}: {took:.2f} s, {traces[name]} traces")
    batch, python, tensor = times
    print(f"a tensor index takes {tensor / batch:.2f} times as long as one batch")
    ratio = python / batch
    return 0 if verdict("bench_feature_visualization", "ratio", ratio, TARGET) else 1


if __name__ == "__main__":
    sys.exit(main())
