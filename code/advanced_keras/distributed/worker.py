"""The program of one worker: the same file is started in each process.

    TF_CONFIG=... python -m advanced_keras.distributed.worker --out results

Without ``TF_CONFIG`` it trains in this process alone, on the same data with the same
global batch. Chapter: *One step on several devices*.
"""

from __future__ import annotations

import argparse
import faulthandler
import os
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from advanced_keras.distributed.devices import quiet_strategies
from advanced_keras.distributed.loop import distribute, train
from advanced_keras.distributed.step import GlobalMeanModel


def main(arguments: list[str] | None = None) -> None:
    """Train this worker's copy, and write what came out to ``worker-INDEX.npz``.

    Args:
        arguments: the command line; by default the one of the process.
    """
    options = parse(arguments)
    strategy = make_strategy()  # first of all: it starts the server of this worker
    x, y = make_data(options.rows)
    batches = tf.data.Dataset.from_tensor_slices((x, y)).batch(options.batch)
    model = make_model(strategy)
    history = train(model, batches, options.epochs)
    results = {f"weight_{i}": w for i, w in enumerate(model.get_weights())}
    results.update({name: np.array(values) for name, values in history.items()})
    results["sizes"] = local_sizes(strategy, batches)
    if options.try_fit:
        results["fit"] = try_fit(make_model(strategy), batches)
    write(options.out / f"worker-{worker_index(strategy)}.npz", results)


def make_strategy() -> tf.distribute.Strategy:
    """The strategy of the cluster that ``TF_CONFIG`` describes, or of one device."""
    quiet_strategies()
    if "TF_CONFIG" in os.environ:
        return tf.distribute.MultiWorkerMirroredStrategy()
    return tf.distribute.get_strategy()


def make_data(rows: int) -> tuple[np.ndarray, np.ndarray]:
    """Inputs ``(rows, 3)`` and targets ``(rows, 1)``, the same in every process.

    Args:
        rows: the number of examples.
    """
    rng = np.random.default_rng(0)
    x = rng.normal(size=(rows, 3))
    y = x @ [[1.0], [2.0], [-1.0]] + 0.1 * rng.normal(size=(rows, 1))
    return x.astype("float32"), y.astype("float32")


def make_model(
    strategy: tf.distribute.Strategy, kind: type[keras.Model] = GlobalMeanModel
) -> keras.Model:
    """A small network, compiled, with the same first weights in every process.

    Args:
        strategy: where its weights live.
        kind: the class of the model, and so its train step.
    """
    with strategy.scope():
        keras.utils.set_random_seed(0)
        inputs = keras.Input((3,), name="inputs")
        hidden = keras.layers.Dense(8, activation="tanh", name="hidden")(inputs)
        outputs = keras.layers.Dense(1, name="outputs")(hidden)
        model = kind(inputs, outputs)
        model.compile(keras.optimizers.Adam(0.01), loss="mse", metrics=["mae"])
    return model


def local_sizes(
    strategy: tf.distribute.Strategy, batches: tf.data.Dataset
) -> np.ndarray:
    """How many examples the first local replica gets at each step.

    Args:
        strategy: the strategy.
        batches: the dataset of global batches.
    """
    parts = [
        strategy.experimental_local_results(x)[0]
        for x, _ in distribute(strategy, batches)
    ]
    return np.array([len(part) for part in parts])


def try_fit(model: keras.Model, batches: tf.data.Dataset) -> str:
    """What ``fit`` says: the error, or that it trained.

    Args:
        model: a compiled model.
        batches: the dataset of global batches.
    """
    try:
        model.fit(batches, verbose=0)
    except ValueError as error:
        return f"{type(error).__name__}: {error}"
    return "trained"


def worker_index(strategy: tf.distribute.Strategy) -> int:
    """The number of this process in the cluster; 0 if it is alone.

    Args:
        strategy: the strategy.
    """
    resolver = strategy.cluster_resolver
    return 0 if resolver is None else resolver.task_id or 0


def write(path: Path, arrays: dict) -> None:
    """Write arrays to an ``.npz`` file that exists whole or not at all.

    Args:
        path: the file.
        arrays: by name.
    """
    partial = path.with_suffix(".partial")
    with partial.open("wb") as file:
        np.savez(file, **arrays)
    os.replace(partial, path)


def parse(arguments: list[str] | None) -> argparse.Namespace:
    """The command line.

    Args:
        arguments: its words; by default those of the process.
    """
    parser = argparse.ArgumentParser(description="Train as one worker of a cluster.")
    parser.add_argument("--out", type=Path, required=True, help="folder of the result")
    parser.add_argument("--rows", type=positive, default=61, help="examples")
    parser.add_argument("--batch", type=positive, default=16, help="global batch size")
    parser.add_argument("--epochs", type=positive, default=3)
    parser.add_argument("--try-fit", action="store_true", help="and say what fit does")
    parser.add_argument("--seconds", type=positive, default=900, help="then give up")
    options = parser.parse_args(arguments)
    if not options.out.is_dir():
        parser.error(f"--out must be a folder that exists, got {str(options.out)!r}")
    return options


def positive(text: str) -> int:
    """An integer of 1 or more, from the command line.

    Args:
        text: what was given.

    Raises:
        argparse.ArgumentTypeError: if it is something else.
    """
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"must be a positive integer, got {text!r}")
    return int(text)


if __name__ == "__main__":
    # Ends this process, and no other, whatever it waits for: a partner that never came,
    # or one that the end of the interpreter waits for.
    faulthandler.dump_traceback_later(parse(None).seconds, exit=True)
    main()
