"""Threading a dense layer through one product against a Python loop over the rows.

The loop calls the same layer once for each row, as the definition of threading says it.
The input is a minibatch of the factor model: 32 dates, 100 tickers, 16 characteristics
in, 8 units out, so 3200 rows. Also timed: the same two ways in NumPy, where a call
costs little, and ``TimeDistributed``, which loops over the tickers.

    python benchmarks/bench_threading.py

The ways are timed in turn, so that other load on the machine falls on all.
"""

import sys
from functools import partial

import numpy as np

import advanced_keras  # noqa: F401  (quiets TensorFlow before it is imported)

# isort: split
import keras
from _timing import medians, seconds, verdict

from advanced_keras.dense_threading import thread

TARGET = 100
REPETITIONS = 7
DATES, TICKERS, CHARACTERISTICS, UNITS = 32, 100, 16, 8


def keras_loop(dense, x):
    """Call the layer on one row after the other."""
    rows = keras.ops.reshape(x, (-1, 1, CHARACTERISTICS))
    results = [dense(row) for row in rows]
    return keras.ops.reshape(keras.ops.concatenate(results), (*x.shape[:-1], UNITS))


def numpy_loop(kernel, bias, x):
    """Multiply one row after the other."""
    rows = x.reshape(-1, CHARACTERISTICS)
    return np.stack([row @ kernel + bias for row in rows]).reshape(*x.shape[:-1], UNITS)


def ways():
    """Return the five ways of computing the same thing."""
    x = np.random.default_rng(0).normal(size=(DATES, TICKERS, CHARACTERISTICS))
    x = keras.ops.convert_to_tensor(x.astype("float32"))
    dense = keras.layers.Dense(UNITS)
    threaded = thread(dense)
    dense.build(x.shape)
    distributed = keras.layers.TimeDistributed(dense)
    kernel, bias = dense.get_weights()
    array = np.asarray(x)
    return {
        "one product": lambda: threaded(x),
        "loop": lambda: keras_loop(dense, x),
        "TimeDistributed": lambda: distributed(x),
        "NumPy, one product": lambda: array @ kernel + bias,
        "NumPy, loop": lambda: numpy_loop(kernel, bias, array),
    }


def main():
    """Time all, print the factors, and fail below the target."""
    keras.utils.set_random_seed(0)
    found = ways()
    expected = np.asarray(found["one product"]())
    for name, way in found.items():
        np.testing.assert_allclose(way(), expected, atol=1e-5, err_msg=name)
    clocks = [partial(seconds, lambda w=way: np.asarray(w())) for way in found.values()]
    median = dict(zip(found, medians(clocks, REPETITIONS), strict=True))
    for name, value in median.items():
        print(f"{name}: {1e3 * value:.3f} ms")
    in_numpy = median["NumPy, loop"] / median["NumPy, one product"]
    distributed = median["TimeDistributed"] / median["one product"]
    print(
        f"in NumPy the factor is {in_numpy:.0f}, for TimeDistributed {distributed:.0f}"
    )
    ratio = median["loop"] / median["one product"]
    return 0 if verdict("bench_threading", "ratio", ratio, TARGET) else 1


if __name__ == "__main__":
    sys.exit(main())
