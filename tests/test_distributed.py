"""One step on several devices against one device, with the same global batches.

Devices can't be split once TensorFlow has started, and here it has. So a child process
runs this file as a program: it does all that needs several devices, and writes down
what came out. The tests judge it.
"""

import faulthandler
import json
import os
import random
import re
import socket
import subprocess
import sys
import time
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import ops

from advanced_keras.distributed import (
    GlobalMeanModel,
    ReplicaSeed,
    all_reduce,
    clip_sum,
    cluster_config,
    distribute,
    launch,
    mirrored,
    split_cpu,
    train,
    worker,
)
from advanced_keras.distributed.processes import _environment, _is_free, free_ports
from advanced_keras.distributed.step import share
from advanced_keras.training import StandardModel

CLOSE = 1e-5  # float32, and sums in another order
APART = 1e-3


# -- what the child does


class GuideModel(keras.Model):
    """The step of the public guide: the report is the loss that is differentiated."""

    def train_step(self, data):
        x, y = data
        with tf.GradientTape() as tape:
            y_pred = self(x, training=True)
            loss = self.compute_loss(x, y, y_pred)
        gradients = tape.gradient(loss, self.trainable_variables)
        self.optimizer.apply(gradients, self.trainable_variables)
        for metric in self.metrics:
            if metric.name == "loss":
                metric.update_state(loss)
            else:
                metric.update_state(y, y_pred)
        return {metric.name: metric.result() for metric in self.metrics}


class OwnLoss(StandardModel):
    def compute_loss(self, x=None, y=None, y_pred=None, *args, **kwargs):
        return ops.mean(ops.square(y - y_pred))


class DividedLoss(OwnLoss):
    def compute_loss(self, *args, **kwargs):
        replicas = tf.distribute.get_strategy().num_replicas_in_sync
        return super().compute_loss(*args, **kwargs) / replicas


class KeptSteps(GlobalMeanModel):
    def count_terms(self, x, y, sample_weight):
        return ops.sum(ops.cast(ops.any(x != 0, axis=-1), "float32"))


class Clipped(GlobalMeanModel):
    def update(self, gradients):
        super().update(clip_sum(gradients, norm=0.5))


def small(strategy, kind, optimizer=None, penalty=None, middle=None, **switches):
    with strategy.scope():
        keras.utils.set_random_seed(0)
        inputs = keras.Input((3,))
        hidden = keras.layers.Dense(4, "tanh", kernel_regularizer=penalty)(inputs)
        hidden = hidden if middle is None else middle()(hidden)
        model = kind(inputs, keras.layers.Dense(1)(hidden))
        rule = optimizer() if optimizer else keras.optimizers.SGD(0.1)
        model.compile(rule, loss="mse", metrics=["mae"], **switches)
    return model


def fitted(strategy, kind, rows=33, weights=None, **options):
    """Two epochs of batches of 16: with 33 rows the last one has a single row."""
    model = small(strategy, kind, **options)
    x, y = worker.make_data(rows)
    log = model.fit(
        x, y, batch_size=16, epochs=2, shuffle=False, verbose=0, sample_weight=weights
    )
    return summary(model, log.history)


def summary(model, history):
    weights = np.concatenate([w.ravel() for w in model.get_weights()])
    return {"weights": weights.tolist(), **history}


def padded(strategy, kind):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(8, 6, 2)).astype("float32") + 3
    x[4:, 1:] = 0
    y = x.sum(-1, keepdims=True) + rng.normal(size=(8, 6, 1)).astype("float32")
    with strategy.scope():
        keras.utils.set_random_seed(0)
        inputs = keras.Input((6, 2))
        model = kind(inputs, keras.layers.Dense(1)(keras.layers.Masking()(inputs)))
        model.compile(keras.optimizers.SGD(0.01), loss="mse")
    log = model.fit(x, y, batch_size=8, epochs=2, shuffle=False, verbose=0)
    return summary(model, log.history)


def looped(strategy, rows):
    model = worker.make_model(strategy)
    x, y = worker.make_data(rows)
    batches = tf.data.Dataset.from_tensor_slices((x, y)).batch(16)
    return summary(model, train(model, batches, 2))


def evaluated(strategy):
    model = small(strategy, GlobalMeanModel)
    loss, mae = model.evaluate(*worker.make_data(33), batch_size=16, verbose=0)
    return [float(loss), float(mae)]


def saved(strategy, folder):
    model = small(strategy, GlobalMeanModel)
    x, _ = worker.make_data(8)
    path = Path(folder) / "model.keras"
    model.save(path)
    loaded = keras.saving.load_model(path)
    gap = np.abs(model.predict(x, verbose=0) - loaded.predict(x, verbose=0)).max()
    return [type(loaded).__name__, float(gap)]


def replicas(strategy, function, rows):
    data = tf.data.Dataset.from_tensor_slices(rows).batch(len(rows))
    part = next(iter(strategy.experimental_distribute_dataset(data)))
    said = strategy.run(function, args=(part,))
    return [
        np.array(each).tolist() for each in strategy.experimental_local_results(said)
    ]


def shares(strategy, count):
    rows = np.ones((count, 1), "float32")
    return replicas(strategy, lambda x: share(ops.shape(x)[0]), rows)


def clipped(strategy):
    """Replica 1 has the gradient (3, 0), replica 2 (0, 4); each also has a None."""

    def clip(x):
        (known, none) = clip_sum([x[0], None], norm=1.0)
        assert none is None
        return known

    return replicas(strategy, clip, np.array([[3.0, 0.0], [0.0, 4.0]], "float32"))


def draws(strategy, kind):
    with strategy.scope():
        generator = kind(0)
    rows = np.ones((2, 1), "float32")

    def draw(x):
        return keras.random.uniform((4,), seed=generator)

    return [replicas(strategy, draw, rows) for _ in range(2)]


def moving_mean(strategy, synchronized):
    with strategy.scope():
        norm = keras.layers.BatchNormalization(momentum=0.0, synchronized=synchronized)
        norm.build((None, 1))
    rows = np.arange(8, dtype="float32")[:, None]
    replicas(strategy, lambda x: norm(x, training=True), rows)
    return float(norm.moving_mean.numpy()[0])


def refusal(function, *arguments, **options):
    try:
        function(*arguments, **options)
    except (ValueError, RuntimeError, tf.errors.InvalidArgumentError) as error:
        return f"{type(error).__name__}: {error}"
    return "accepted"


def under_scope(strategy):
    with strategy.scope():
        return refusal(all_reduce, tf.constant(1.0))


def child_of_three():
    """On its own: two groups of different sizes in one process abort each other."""
    names = split_cpu(3)
    one, three = tf.distribute.get_strategy(), mirrored(3)
    return {
        "names": names,
        "looped": [looped(s, 49) for s in (one, three)],
        "shares": [shares(three, rows) for rows in (9, 4, 1)],
        "uneven": refusal(fitted, three, StandardModel),
    }


def child_of_two(folder):
    names = split_cpu(2)
    one, two = tf.distribute.get_strategy(), mirrored(2)
    weights = np.random.default_rng(1).uniform(0, 3, 33).astype("float32")
    sync = {"middle": lambda: keras.layers.BatchNormalization(synchronized=True)}
    clip = {"optimizer": lambda: keras.optimizers.SGD(0.1, global_clipnorm=0.5)}
    return {
        "names": names,
        "guide": [fitted(s, GuideModel, 32) for s in (one, two)],
        "standard": fitted(two, StandardModel),
        "global": [fitted(s, GlobalMeanModel) for s in (one, two)],
        "weighted": [
            fitted(s, GlobalMeanModel, weights=weights, penalty="l2")
            for s in (one, two)
        ],
        "sync": [fitted(s, GlobalMeanModel, 32, **sync) for s in (one, two)],
        "own": [
            fitted(s, kind, 32)
            for s, kind in [(one, OwnLoss), (two, OwnLoss), (two, DividedLoss)]
        ],
        "clip": [
            fitted(one, GlobalMeanModel, **clip),
            fitted(two, GlobalMeanModel, **clip),
            fitted(two, Clipped),
        ],
        "padded": [
            padded(one, StandardModel),
            padded(two, GlobalMeanModel),
            padded(two, KeptSteps),
        ],
        "evaluated": [evaluated(s) for s in (one, two)],
        "saved": saved(two, folder),
        "shares": [shares(two, rows) for rows in (8, 5, 1)],
        "clipped": clipped(two),
        "draws": [draws(two, k) for k in (keras.random.SeedGenerator, ReplicaSeed)],
        "following": draws(two, lambda seed: keras.random.SeedGenerator(seed + 1)),
        "moving": [moving_mean(two, each) for each in (False, True)],
        "uneven": refusal(fitted, two, StandardModel, 5),
        "switches": [
            refusal(fitted, two, keras.Model, 32, **switch)
            for switch in ({"jit_compile": True}, {"steps_per_execution": 2})
        ],
        "scope": under_scope(two),
        "late": refusal(split_cpu, 3),
        "again": refusal(split_cpu, 2),
        "many": refusal(mirrored, 3),
    }


if __name__ == "__main__":
    out = Path(sys.argv[1])
    said = child_of_three() if out.stem == "three" else child_of_two(out.parent)
    out.write_text(json.dumps(said))


# -- one device and several


def run_child(out):
    path = os.pathsep.join(filter(None, sys.path))
    run = subprocess.run(
        [sys.executable, __file__, out],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=1800,  # a busy machine
    )
    assert run.returncode == 0, run.stderr[-4000:]
    assert "tf.distribute" not in run.stderr and "nccl" not in run.stderr  # quiet
    return json.loads(out.read_text())


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    return run_child(tmp_path_factory.mktemp("devices") / "two.json")


@pytest.fixture(scope="module")
def found_three(tmp_path_factory):
    return run_child(tmp_path_factory.mktemp("devices") / "three.json")


def gap(a, b, key="weights"):
    return float(np.abs(np.array(a[key]) - np.array(b[key])).max())


def same(a, b):
    return all(gap(a, b, key) < CLOSE for key in ("weights", "loss", "mae"))


def test_three_devices_train_as_one(found_three):
    assert found_three["names"] == ["CPU:0", "CPU:1", "CPU:2"]
    assert same(*found_three["looped"])
    nine, four, single = found_three["shares"]
    assert np.allclose(nine, [1, 1, 1]) and np.allclose(single, [3, 0, 0])
    assert np.isclose(np.sum(four), 3) and set(np.round(four, 6)) == {0.0, 1.5}


def test_fit_needs_a_first_batch_that_divides(found, found_three):
    """Keras adds up the replicas' first inputs; the loop of the chapter does not."""
    for each in (found, found_three):
        assert "must have the same size and shape" in each["uneven"]


def test_two_switches_of_compile_do_not_work_on_two_devices(found):
    """If this goes green the other way, it was mended: rewrite the chapter."""
    assert all(each.startswith("InvalidArgumentError") for each in found["switches"])


def test_the_guides_step_has_the_weights_of_one_device_and_half_its_loss(found):
    one, two = found["guide"]
    assert gap(one, two) < CLOSE and gap(one, two, "mae") < CLOSE
    np.testing.assert_allclose(two["loss"], np.array(one["loss"]) / 2, rtol=1e-5)


def test_the_standard_step_is_off_by_a_short_batch_and_the_global_one_is_not(found):
    single, pair = found["global"]  # the single one is checked against NumPy below
    assert same(single, pair)
    assert gap(single, found["standard"]) > APART


def test_the_global_step_against_sums_written_out_in_numpy(found):
    x, y = (a.astype("float64") for a in worker.make_data(33))
    model = small(tf.distribute.get_strategy(), GlobalMeanModel)
    w, b, v, c = (a.astype("float64") for a in model.get_weights())
    for _ in range(2):
        for start in range(0, 33, 16):
            rows, goals = x[start : start + 16], y[start : start + 16]
            h = np.tanh(rows @ w + b)
            e = 2 * (h @ v + c - goals) / len(rows)
            back = e @ v.T * (1 - h**2)
            steps = (rows.T @ back, back.sum(0), h.T @ e, e.sum(0))
            w, b, v, c = (p - 0.1 * s for p, s in zip((w, b, v, c), steps, strict=True))
    truth = np.concatenate([p.ravel() for p in (w, b, v, c)])
    for result in found["global"]:
        np.testing.assert_allclose(result["weights"], truth, atol=CLOSE)


@pytest.mark.parametrize("case", ["weighted", "sync"])
def test_weights_penalties_and_synchronized_statistics(found, case):
    one, *others = found[case]
    assert all(same(one, each) for each in others)


def test_a_loss_without_a_loss_object_must_be_divided(found):
    one, wrong, mended = found["own"]
    assert gap(one, wrong) > APART and gap(one, mended) < CLOSE
    assert wrong["loss"][0] > 1.5 * one["loss"][0]
    assert gap(one, mended, "loss") < CLOSE


def test_a_masked_loss_counts_the_steps_that_are_kept(found):
    one, rows, steps = found["padded"]
    assert gap(one, rows) > APART and gap(one, steps) < CLOSE
    assert gap(one, steps, "loss") < 1e-4


def test_clipping_belongs_after_the_sum(found):
    one, wrong, mended = found["clip"]
    assert gap(one, wrong) > APART and gap(one, mended) < CLOSE
    both = np.array(found["clipped"])
    assert np.allclose(both, np.array([0.6, 0.8]) / 2)  # (3, 4) to norm 1, over R


def test_evaluate_reports_the_same(found):
    np.testing.assert_allclose(*found["evaluated"], rtol=1e-5)


def test_shares(found):
    eight, five, single = found["shares"]
    assert np.allclose(eight, [1, 1])
    assert np.allclose(five, [2 * 3 / 5, 2 * 2 / 5])
    assert np.allclose(single, [2, 0])


def test_replicas_share_a_seed_unless_it_is_their_own(found):
    shared, own = (np.array(each) for each in found["draws"])  # call, replica, draw
    assert np.array_equal(shared[:, 0], shared[:, 1])
    assert len(np.unique(own.reshape(4, -1), axis=0)) == 4  # no two alike
    following = np.array(found["following"])  # the next seed, for the next layer
    assert not (own[:, 1, None] == following[None, :, 0]).all(-1).any()
    assert np.array_equal(own[:, 0], shared[:, 0])  # the first is as it would be


def test_statistics_are_those_of_the_first_replica_unless_synchronized(found):
    assert found["moving"] == [1.5, 3.5]


def test_the_model_survives_saving(found):
    assert found["saved"] == ["GlobalMeanModel", 0.0]


def test_what_the_child_was_refused(found):
    assert found["scope"].startswith("RuntimeError: all_reduce must be called by a")
    assert found["late"].startswith("RuntimeError: split_cpu(3) must run before")
    assert "2 CPU device(s)" in found["late"]
    assert found["again"] == "accepted"  # it is as it was asked to be
    assert found["many"] == (
        "ValueError: count must be at most the number of CPU devices, 2, got 3."
    )


# -- several processes


@pytest.fixture(scope="module")
def workers(tmp_path_factory):
    folder = tmp_path_factory.mktemp("workers")
    words = ["--out", folder, "--rows", "49", "--epochs", "2", "--try-fit"]
    launch("advanced_keras.distributed.worker", words, workers=2)
    assert sorted(path.name for path in folder.iterdir()) == [
        "worker-0.npz",
        "worker-1.npz",
    ]
    return [dict(np.load(folder / f"worker-{index}.npz")) for index in range(2)]


def test_two_processes_train_as_one(workers, tmp_path, monkeypatch):
    # Called as a function, main must not set the clock that ends the whole process.
    monkeypatch.setattr(faulthandler, "dump_traceback_later", None)
    words = ["--out", str(tmp_path), "--rows", "49", "--epochs", "2"]
    worker.main(words)
    alone = np.load(tmp_path / "worker-0.npz")
    for key in ("weight_0", "weight_1", "weight_2", "weight_3", "loss", "mae"):
        assert np.array_equal(workers[0][key], workers[1][key])
        np.testing.assert_allclose(workers[0][key], alone[key], atol=CLOSE, rtol=0)


def test_the_two_processes_share_each_global_batch(workers):
    assert workers[0]["sizes"].tolist() == [8, 8, 8, 1]
    assert workers[1]["sizes"].tolist() == [8, 8, 8, 0]


def test_fit_in_two_processes_still_fails(workers):
    """If this goes green the other way, Keras mended it: rewrite the chapter."""
    for each in workers:
        assert re.match(r"ValueError: .*PerReplica", str(each["fit"]))
        assert "unsupported type" in str(each["fit"])


def write_module(folder, monkeypatch, text):
    (folder / "a_worker.py").write_text(text)
    monkeypatch.syspath_prepend(folder)  # the workers find what this process finds


NOTE = "import os, sys, time, json\nopen(sys.argv[1] + '/' + str(os.getpid()), 'w')\n"


def gone(folder):
    """Two processes noted their numbers, and neither is running."""
    noted = [int(path.name) for path in folder.iterdir()]
    return len(noted) == 2 and not any(is_running(pid) for pid in noted)


def is_running(pid):
    if os.name == "nt":  # there os.kill would end it
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_one_worker_fails_and_the_other_is_ended(tmp_path, monkeypatch):
    text = NOTE + (
        "index = json.loads(os.environ['TF_CONFIG'])['task']['index']\n"
        "while len(os.listdir(sys.argv[1])) < 2: time.sleep(0.1)\n"
        "if index == 1: sys.exit('no such file: prices.csv')\n"
        "time.sleep(300)\n"
    )
    write_module(tmp_path, monkeypatch, text)
    notes = tmp_path / "notes"
    notes.mkdir()
    with pytest.raises(
        RuntimeError, match=r"worker 1 of 2 ended with code 1:\nno such"
    ):
        launch("a_worker", [str(notes)], timeout=300)
    assert gone(notes)


def test_workers_that_take_too_long_are_ended(tmp_path, monkeypatch):
    write_module(tmp_path, monkeypatch, NOTE + "time.sleep(300)\n")
    notes = tmp_path / "notes"
    notes.mkdir()
    start = time.monotonic()
    with pytest.raises(TimeoutError, match=r"workers \[0, 1\] of 2 did not end within"):
        launch("a_worker", [str(notes)], timeout=8)  # long enough to start them
    assert time.monotonic() - start < 120 and gone(notes)


def test_a_worker_without_partner_ends_itself(tmp_path):
    """What is left if the process that started it is killed."""
    addresses = [f"127.0.0.1:{port}" for port in free_ports(2)]
    run = subprocess.run(
        [sys.executable, "-m", worker.__name__, "--out", tmp_path, "--seconds", "2"],
        env=_environment(cluster_config(addresses, 0)),
        capture_output=True,
        text=True,
        timeout=900,
    )
    assert run.returncode == 1 and "Timeout (0:00:02)!" in run.stderr
    assert list(tmp_path.iterdir()) == []


def test_each_worker_is_told_its_place(tmp_path, monkeypatch):
    text = (
        "import os, sys, json\n"
        "config = json.loads(os.environ['TF_CONFIG'])\n"
        "place = config['task']['index']\n"
        "open(f'{sys.argv[1]}/{place}', 'w').write(json.dumps(config['cluster']))\n"
    )
    write_module(tmp_path, monkeypatch, text)
    out = tmp_path / "out"
    out.mkdir()
    launch("a_worker", [out], workers=3)
    clusters = [json.loads((out / str(i)).read_text())["worker"] for i in range(3)]
    assert clusters[0] == clusters[1] == clusters[2] and len(set(clusters[0])) == 3


@settings(deadline=None, max_examples=20)
@given(st.integers(1, 6))
def test_ports_are_free_and_different(count):
    ports = free_ports(count)
    assert len(set(ports)) == count and all(20000 <= port < 32768 for port in ports)


def test_a_port_in_use_is_not_free():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        assert not _is_free(taken.getsockname()[1])
    with pytest.raises(RuntimeError, match="free ports where 2000 are needed"):
        free_ports(2000)


def test_two_programs_with_one_seed_draw_different_ports():
    drawn = []
    for _ in range(2):
        random.seed(0)
        drawn.append(free_ports(6))
    assert drawn[0] != drawn[1]


@settings(deadline=None, max_examples=30)
@given(st.lists(st.integers(1, 65535), min_size=1, unique=True), st.data())
def test_cluster_config(ports, data):
    index = data.draw(st.integers(0, len(ports) - 1))
    addresses = [f"host:{port}" for port in ports]
    config = json.loads(cluster_config(addresses, index))
    assert config["cluster"]["worker"] == addresses
    assert config["task"] == {"type": "worker", "index": index}


# -- bad input


@pytest.mark.parametrize(
    "addresses, index, message",
    [
        (["host"], 0, "must be 'host:port', got 'host'"),
        (["host:port"], 0, "must be 'host:port', got 'host:port'"),
        ([":22"], 0, "must be 'host:port', got ':22'"),
        ([], 0, "name each worker once, at least one"),
        (["a:1", "a:1"], 0, "name each worker once"),
        (["a:1", "b:1"], 2, "index must be from 0 to 1"),
        (["a:1"], -1, "index must be from 0 to 0"),
        (["a:1"], "0", "index must be from 0 to 0"),
    ],
)
def test_cluster_config_refuses(addresses, index, message):
    with pytest.raises(ValueError, match=message):
        cluster_config(addresses, index)


@pytest.mark.parametrize("count", [0, -1, 1.5, "2", True, None])
def test_counts_must_be_positive_integers(count):
    for function in (split_cpu, mirrored):
        with pytest.raises(ValueError, match="count must be a positive integer, got"):
            function(count)


@pytest.mark.parametrize(
    "options, message",
    [
        ({"module": "no_such_module_xyz"}, "found no module 'no_such_module_xyz'"),
        ({"module": "no_such.module"}, "found no module 'no_such.module'"),
        ({"module": ""}, "found no module ''"),
        ({"module": 5}, "found no module 5"),
        ({"workers": 0}, "workers must be a positive integer, got 0"),
        ({"workers": 2.0}, "workers must be a positive integer, got 2.0"),
        ({"timeout": 0}, "timeout must be a positive number of s, got 0"),
        ({"timeout": float("nan")}, "timeout must be a positive number"),
    ],
)
def test_launch_refuses(options, message):
    with pytest.raises(ValueError, match=message):
        launch(**{"module": "json.tool", **options})


def test_train_refuses():
    model = worker.make_model(tf.distribute.get_strategy())
    batches = tf.data.Dataset.from_tensor_slices(worker.make_data(4)).batch(4)
    for epochs in (0, 1.0, True):
        with pytest.raises(ValueError, match="epochs must be a positive integer"):
            train(model, batches, epochs)
    with pytest.raises(TypeError, match=r"batches must be a tf\.data\.Dataset"):
        train(model, worker.make_data(4), 1)
    with pytest.raises(TypeError, match="got list"):
        distribute(tf.distribute.get_strategy(), [])
    with pytest.raises(ValueError, match="model must be compiled"):
        train(keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)]), batches, 1)
    with pytest.raises(ValueError, match="batches must end"):
        train(model, batches.repeat(), 1)
    with pytest.raises(ValueError, match="batches must hold at least one batch"):
        train(model, batches.take(0), 1)
    unbuilt = keras.Sequential([keras.layers.Dense(1)])
    unbuilt.compile("sgd", loss="mse")
    with pytest.raises(ValueError, match="model must be built"):
        train(unbuilt, batches, 1)


@pytest.mark.parametrize("norm", [0.0, -1.0, float("nan"), float("inf"), "1"])
def test_clip_sum_refuses(norm):
    with pytest.raises(ValueError, match="norm must be a positive, finite number"):
        clip_sum([tf.ones(2)], norm)


@pytest.mark.parametrize(
    "words, message",
    [
        (["--out", "no/such/folder"], "--out must be a folder that exists"),
        (["--out", ".", "--rows", "0"], "--rows: must be a positive integer, got '0'"),
        (["--out", ".", "--batch", "x"], "--batch: must be a positive integer"),
        ([], "required: --out"),
    ],
)
def test_the_worker_refuses(words, message, capsys):
    with pytest.raises(SystemExit):
        worker.main(words)
    assert message in capsys.readouterr().err


def test_a_result_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    def broken(file, **arrays):
        file.write(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(np, "savez", broken)
    with pytest.raises(OSError, match="disk full"):
        worker.write(tmp_path / "result.npz", {"a": np.ones(1)})
    assert not (tmp_path / "result.npz").exists()
