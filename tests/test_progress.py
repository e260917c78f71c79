"""The bar: it shows what is true, to somebody who looks, and changes nothing.

How it is drawn is tqdm's. A front end without widgets is played by a kernel's shell of
four lines, one with widgets by a client of a real kernel, a terminal by a stream; that
JupyterLab shows the bar and keeps nothing of it is looked at in ``tests/built``.
"""

import io
import itertools
import os
import re
import sys
import time
import warnings
from types import SimpleNamespace

import keras
import nbclient
import nbformat
import numpy as np
import pytest
import tensorflow as tf
from jupyter_client.manager import run_kernel

from advanced_keras import progress as module
from advanced_keras.progress import Bar, Progress, progress


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture(autouse=True)
def nobody(monkeypatch):
    """Neither a notebook nor a terminal, and no wish of whoever runs the tests."""
    monkeypatch.delenv("ADVANCED_KERAS_PROGRESS", raising=False)
    monkeypatch.delitem(sys.modules, "IPython", raising=False)
    return standard_error(io.StringIO(), monkeypatch)


def standard_error(stream, monkeypatch):
    """As a fixture does: pytest puts its own stream back before a test begins."""
    own = SimpleNamespace(modules=sys.modules, stderr=stream)
    monkeypatch.setattr(module, "sys", own)
    plain = module.tqdm
    monkeypatch.setattr(module, "tqdm", lambda **o: plain(**{"file": stream, **o}))
    return stream


@pytest.fixture
def terminal(monkeypatch):
    return standard_error(Terminal(), monkeypatch)


@pytest.fixture
def no_pause(monkeypatch):
    """Every move is drawn."""
    monkeypatch.setattr(module, "EVERY", 0.0)


class Front:
    """What the bar uses of IPython: a cell's request, its events, display handles."""

    def __init__(self, allow_stdin, monkeypatch):
        self.content = {"allow_stdin": allow_stdin}
        self.kept, self.waiting = [], []
        self.kernel = SimpleNamespace(get_parent=self.get_parent)
        self.events = SimpleNamespace(register=self.add, unregister=self.remove)
        ipython = SimpleNamespace(get_ipython=lambda: self)
        display = SimpleNamespace(DisplayHandle=lambda: Handle(self))
        monkeypatch.setitem(sys.modules, "IPython", ipython)
        monkeypatch.setitem(sys.modules, "IPython.display", display)
        monkeypatch.setattr(module, "find_spec", lambda name: None)

    def get_parent(self, channel):
        assert channel == "shell"
        return {"content": self.content}

    def add(self, event, function):
        assert event == "post_run_cell"
        self.waiting.append(function)

    def remove(self, event, function):
        self.waiting.remove(function)

    def end_cell(self):
        for function in list(self.waiting):
            function(None)

    def clean(self):
        last = {id(handle): data for handle, data in self.kept}
        return not self.waiting and not any(last.values())


class Handle:
    def __init__(self, front):
        self.front = front

    def display(self, data, raw):
        assert raw
        self.front.kept.append((self, data))

    update = display


def said(front):
    return [data["text/plain"] for _, data in front.kept if data]


def build():
    keras.utils.set_random_seed(3)
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
    model.compile(keras.optimizers.Adam(0.1), "mse")
    return model


X = np.random.default_rng(0).normal(size=(64, 4)).astype("float32")


def fit(callbacks, model=None, **options):
    model = build() if model is None else model
    options = {"batch_size": 16, "epochs": 3, "verbose": 0, **options}
    history = model.fit(X, X[:, :3], callbacks=callbacks, **options)
    return model.get_weights(), history.history


# ------------------------------------------------------------------ changes nothing


@pytest.mark.parametrize("looks", [True, False])
def test_training_is_the_same_with_and_without(looks, monkeypatch, no_pause):
    if looks:
        Front(True, monkeypatch)
    plain, plain_log = fit([])
    watched, log = fit([Progress()])
    assert all(map(np.array_equal, plain, watched))
    assert plain_log == log


def test_items_are_handed_on_unchanged(terminal, no_pause):
    items = [object() for _ in range(5)]
    assert list(progress(items)) == items
    assert list(progress(iter(items), total=5)) == items
    assert list(progress([])) == []
    endless = progress(itertools.count())
    assert [next(endless) for _ in range(3)] == [0, 1, 2]


def test_a_generator_is_not_read_ahead(no_pause, terminal):
    taken = []

    def source():
        for n in range(3):
            taken.append(n)
            yield n

    for n in progress(source()):
        assert taken == list(range(n + 1))


# -------------------------------------------------------------------- who looks


def test_nobody_sees_and_keras_finds_no_hook(capfd, nobody):
    bar = Progress()
    assert not bar.bar.watched
    assert getattr(bar.on_train_batch_end, "_is_default", False)
    fit([bar])
    list(progress(range(3)))
    assert capfd.readouterr() == ("", "")
    assert nobody.getvalue() == ""


def test_a_program_that_runs_notebooks_sees_nothing(monkeypatch, no_pause):
    front = Front(False, monkeypatch)
    fit([Progress()])
    list(progress(range(3)))
    assert front.kept == [] and front.waiting == []


def test_the_variable_silences(monkeypatch, no_pause):
    front = Front(True, monkeypatch)
    monkeypatch.setenv("ADVANCED_KERAS_PROGRESS", "0")
    fit([Progress()])
    assert front.kept == []


def test_a_real_kernel_run_as_the_book_is_shows_nothing():
    """Also the guard of what the build relies on: nbclient says allow_stdin=False."""
    cell = """
import keras, numpy as np
from advanced_keras import progress
progress.EVERY = 0
x = np.ones((8, 2))
model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
model.compile("sgd", "mse")
model.fit(x, x[:, :1], callbacks=[progress.Progress()], verbose=0)
with progress.Bar("x", 3, after=0) as bar:
    bar.move(1)
request = get_ipython().kernel.get_parent("shell")["content"]
assert request["allow_stdin"] is False
"""
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell)])
    os.environ.setdefault("PYDEVD_DISABLE_FILE_VALIDATION", "1")
    nbclient.execute(notebook, timeout=300, kernel_name="python3")
    assert notebook.cells[0].outputs == []


# ------------------------------------------------------------------- what is shown


def test_a_notebook_sees_epoch_share_time_and_loss(monkeypatch, no_pause):
    front = Front(True, monkeypatch)
    _, log = fit([Progress("learning")])
    words = said(front)
    assert re.match(r"learning: +0%\|.*\| 0/12 ", words[0])
    steps = [
        re.match(r"learning, epoch (\d) of 3: +\d+%.* (\d+)/12 ", w) for w in words
    ]
    assert [int(m[2]) for m in steps if m] == sorted(int(m[2]) for m in steps if m)
    assert {(m[1], m[2]) for m in steps if m} >= {
        (str(1 + step // 4), str(step + 1)) for step in range(12)
    }
    assert re.search(r"100%\|█+\| 12/12 \[00:00 left, ", words[-1])
    assert words[-1].endswith(f"loss={log['loss'][-1]:.3g}]")
    assert front.clean()


def test_other_losses_are_shown_by_their_names(monkeypatch, no_pause):
    front = Front(True, monkeypatch)
    bar = Progress()
    bar.set_params({"epochs": 1, "steps": 4})
    bar.on_train_begin()
    bar.on_epoch_begin(0)
    bar.on_train_batch_end(0, {"d_loss": 0.5, "g_loss": tf.constant(2.0), "d_real": 1})
    assert re.match(r"training: +25%.*, d_loss=0.5, g_loss=2\]", said(front)[-1])
    bar.on_train_end()
    assert front.clean()


def test_steps_per_execution_and_a_later_start(monkeypatch, no_pause):
    front = Front(True, monkeypatch)
    model = build()
    model.compile("sgd", "mse", steps_per_execution=4)
    fit([Progress()], model, initial_epoch=1)
    shown = [re.search(r"epoch (\d) of 3: +\d+%.* (\d)/8 ", w) for w in said(front)]
    assert {(m[1], m[2]) for m in shown if m} >= {("2", "4"), ("3", "8")}


def test_data_of_unknown_length(monkeypatch, no_pause):
    front = Front(True, monkeypatch)
    data = tf.data.Dataset.from_tensor_slices((X, X[:, :3])).batch(16)
    data = data.filter(lambda x, y: True)
    with warnings.catch_warnings():  # Keras warns as the data end, with any callback
        warnings.simplefilter("ignore")
        build().fit(data, epochs=2, callbacks=[Progress()], shuffle=False, verbose=0)
    assert any(re.search(r"epoch 1 of 2: +50%.* 1/2 ", each) for each in said(front))
    assert re.search(r"epoch 2 of 2: +100%.* 2/2 ", said(front)[-1])


def test_nobody_knows_how_many(monkeypatch, no_pause):
    front = Front(True, monkeypatch)
    with Bar("going", after=0) as bar:
        bar.move(3)
    assert said(front)[-1].startswith("going: 3it [")


def test_an_interrupted_run_leaves_nothing(monkeypatch, no_pause):
    front = Front(True, monkeypatch)

    class Interrupt(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs):
            raise KeyboardInterrupt

    bar = Progress()
    with pytest.raises(KeyboardInterrupt):
        fit([bar, Interrupt()])
    assert front.kept[-1][1] and not front.clean()
    front.end_cell()
    assert front.clean()
    fit([bar])
    assert front.clean() and "12/12" in said(front)[-1]


def test_a_loop_that_fails_or_breaks_leaves_nothing(monkeypatch, no_pause):
    front = Front(True, monkeypatch)
    with pytest.raises(ZeroDivisionError), Bar("dividing", 2, after=0) as bar:
        bar.move(1)
        bar.move(1 / 0)
    assert said(front) and front.clean()
    bar.move(2)  # too late
    assert front.clean()
    front.kept.clear()
    monkeypatch.setattr(module.time, "perf_counter", itertools.count().__next__)
    for _ in progress(range(9)):
        if len(front.kept) > 5:
            break
    assert said(front) and front.clean()


def test_a_terminal_gets_one_line_and_keeps_none(terminal, no_pause):
    fit([Progress("a label")])
    text = terminal.getvalue()
    assert "\n" not in text
    assert "a label, epoch 3 of 3: 100%|" in text
    screen = ""
    for line in text.split("\r"):
        screen = line + screen[len(line) :]
    assert screen.strip() == ""


WATCHED = """
import keras, numpy as np, ipywidgets
from ipywidgets.widgets.widget import _instances
from advanced_keras import progress
progress.EVERY = 0
x = np.ones((8, 2))
model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
model.compile("sgd", "mse")
bar = progress.Progress("learning")
model.fit(x, x[:, :1], epochs=2, callbacks=[bar], verbose=0)
with progress.Bar("stopped", 3, after=0) as bar:
    bar.move(1)
assert not _instances, _instances
"""


def test_a_real_kernel_shows_widgets_and_leaves_none_alive():
    heard = []
    with run_kernel(kernel_name="python3") as client:
        client.execute_interactive(
            WATCHED, allow_stdin=True, output_hook=heard.append, timeout=300
        )
    kinds = [message["msg_type"] for message in heard]
    assert not {"stream", "error"} & set(kinds), heard
    shown = [m["content"]["data"] for m in heard if m["msg_type"] == "display_data"]
    assert len(shown) == 2
    assert all("application/vnd.jupyter.widget-view+json" in data for data in shown)
    ended = [m for m in heard if m["msg_type"] == "update_display_data"]
    assert [m["content"]["data"] for m in ended] == [{}, {}]
    assert kinds.count("comm_open") == kinds.count("comm_close") > 0
    words = str(heard).replace(r"\u2007", " ")
    assert "epoch 2 of 2: 100%" in words and ", loss=" in words


# ---------------------------------------------------------------------- what it costs


def test_short_runs_show_no_bar_and_draws_are_rare(terminal, monkeypatch):
    now = iter(np.arange(0, 1000, 0.01))
    monkeypatch.setattr(module.time, "perf_counter", lambda: float(next(now)))
    with Bar("short", 30) as bar:
        for step in range(30):
            bar.move(step + 1)
    assert terminal.getvalue() == ""
    with Bar("long", 1000) as bar:
        for step in range(1000):
            bar.move(step + 1)
    assert 0 < terminal.getvalue().count("long") < 5, "it took no time"


def test_numbers_are_computed_only_for_a_drawing(terminal, monkeypatch):
    monkeypatch.setattr(module, "EVERY", 0.02)
    asked = []

    def numbers():
        asked.append(1)
        return {"loss": 0.25}

    for _ in progress(range(1000), "long", numbers=numbers):
        time.sleep(0.001)
    assert 3 < len(asked) < 500
    assert "loss=0.25" in terminal.getvalue()


# -------------------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    "make, error, words",
    [
        (lambda: Bar(3), TypeError, "label must be a string, got int"),
        (lambda: Progress(None), TypeError, "label must be a string, got NoneType"),
        (lambda: Bar("x", 0), ValueError, "total must be None or a positive number"),
        (lambda: Bar("x", "9"), ValueError, "total must be None .* got '9'"),
        (lambda: Bar("x", True), ValueError, "total must be None .* got True"),
        (lambda: Bar("x", float("nan")), ValueError, "total must be .* got nan"),
        (lambda: Bar("x", 3, -1), ValueError, "after must be a number of seconds"),
        (lambda: Bar("x", 3, "1"), ValueError, "after must be a number of seconds"),
        (lambda: progress([], 3), TypeError, "label must be a string"),
        (lambda: progress([], total=-1), ValueError, "total must be None"),
        (
            lambda: progress([], numbers={}),
            TypeError,
            "numbers must be a function, got dict",
        ),
    ],
)
def test_bad_input_is_named_at_once(make, error, words):
    with pytest.raises(error, match=words):
        make()
