"""The bar: it shows what is true, to somebody who looks, and changes nothing.

A front end is played by a kernel's shell of four lines, a terminal by a stream; that
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

from advanced_keras import progress as module
from advanced_keras.progress import Bar, Progress, in_words, progress


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
    """Only for the bar: pytest puts its own stream back before a test begins."""
    own = SimpleNamespace(modules=sys.modules, stderr=stream)
    monkeypatch.setattr(module, "sys", own)
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
        self.content, self.cell = {"allow_stdin": allow_stdin}, "cell 1"
        self.outputs, self.kept, self.waiting = {}, [], []
        self.kernel = SimpleNamespace(get_parent=self.get_parent)
        self.events = SimpleNamespace(register=self.add, unregister=self.remove)
        ipython = SimpleNamespace(get_ipython=lambda: self)
        display = SimpleNamespace(DisplayHandle=lambda: Handle(self))
        monkeypatch.setitem(sys.modules, "IPython", ipython)
        monkeypatch.setitem(sys.modules, "IPython.display", display)
        monkeypatch.setattr(module._Notebook, "spare", None)

    def get_parent(self, channel):
        assert channel == "shell"
        return {"content": self.content, "header": {"msg_id": self.cell}}

    def add(self, event, function):
        assert event == "post_run_cell"
        self.waiting.append(function)

    def remove(self, event, function):
        self.waiting.remove(function)

    def end_cell(self):
        for function in list(self.waiting):
            function(None)


class Handle:
    def __init__(self, front):
        self.front = front

    def display(self, data, raw):
        assert raw
        self.front.outputs[id(self)] = data
        self.front.kept.append((self, data))

    def update(self, data, raw):
        assert id(self) in self.front.outputs
        self.display(data, raw)


def said(front):
    return [data.get("text/plain") for _, data in front.kept]


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
    assert words[0] == "learning"
    assert words[-1] is None, "the bar is gone"
    first = re.fullmatch(r"learning · epoch 1 of 3 · 8 % · loss [\d.]+", words[1])
    assert first, "1 of 12 steps; no time yet"
    last = words[-2]
    assert "epoch 3 of 3 · 100 %" in last and "1 s left" in last
    assert last.endswith(f"loss {log['loss'][-1]:.4g}")
    shares = [int(re.search(r"(\d+) %", each)[1]) for each in words[1:-1]]
    assert shares == sorted(shares) and len(set(shares)) == 12
    assert "<progress" in front.kept[1][1]["text/html"]
    assert 'value="0.0833"' in front.kept[1][1]["text/html"]
    assert front.waiting == []


def test_other_losses_are_shown_by_their_names(monkeypatch, no_pause):
    front = Front(True, monkeypatch)
    bar = Progress()
    bar.set_params({"epochs": 1, "steps": 4})
    bar.on_train_begin()
    bar.on_epoch_begin(0)
    bar.on_train_batch_end(0, {"d_loss": 0.5, "g_loss": tf.constant(2.0), "d_real": 1})
    assert said(front)[-1] == "training · 25 % · d loss 0.5 · g loss 2"
    bar.on_train_end()


def test_steps_per_execution_and_a_later_start(monkeypatch, no_pause):
    front = Front(True, monkeypatch)
    model = build()
    model.compile("sgd", "mse", steps_per_execution=4)
    fit([Progress()], model, initial_epoch=1)
    shares = [
        re.search(r"epoch (\d) of 3 · (\d+) %", each) for each in said(front)[1:-1]
    ]
    assert [(m[1], m[2]) for m in shares] == [
        ("2", "50"),
        ("2", "50"),
        ("3", "100"),
        ("3", "100"),
    ]


def test_data_of_unknown_length(monkeypatch, no_pause):
    front = Front(True, monkeypatch)
    data = tf.data.Dataset.from_tensor_slices((X, X[:, :3])).batch(16)
    data = data.filter(lambda x, y: True)
    with warnings.catch_warnings():  # Keras warns as the data end, with any callback
        warnings.simplefilter("ignore")
        build().fit(data, epochs=2, callbacks=[Progress()], shuffle=False, verbose=0)
    assert any("epoch 1 of 2 · 50 %" in (each or "") for each in said(front))
    assert "epoch 2 of 2 · 100 %" in said(front)[-2]


def test_bars_of_one_cell_share_an_output(monkeypatch, no_pause):
    front = Front(True, monkeypatch)
    bar = Progress()
    fit([bar])
    fit([bar])
    with Bar("more", 2, after=0):
        pass
    assert len(front.outputs) == 1
    front.cell = "cell 2"
    fit([bar])
    assert len(front.outputs) == 2
    with Bar("outer", 2, after=0), Bar("inner", 2, after=0):
        pass
    assert len(front.outputs) == 3, "two at once need two"
    last = {id(handle): data for handle, data in front.kept}
    assert set(map(str, last.values())) == {"{}"}


def test_an_interrupted_run_leaves_nothing(monkeypatch, no_pause):
    front = Front(True, monkeypatch)

    class Interrupt(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs):
            raise KeyboardInterrupt

    bar = Progress()
    with pytest.raises(KeyboardInterrupt):
        fit([bar, Interrupt()])
    assert front.kept[-1][1] != {}
    front.end_cell()
    assert front.kept[-1][1] == {} and front.waiting == []
    fit([bar])
    assert front.kept[-1][1] == {} and front.waiting == []


def test_a_loop_that_fails_or_breaks_leaves_nothing(monkeypatch, no_pause):
    front = Front(True, monkeypatch)
    with pytest.raises(ZeroDivisionError), Bar("dividing", 2, after=0) as bar:
        bar.move(1)
        bar.move(1 / 0)
    assert front.kept[-1][1] == {}
    monkeypatch.setattr(time, "perf_counter", itertools.count().__next__)
    for _ in progress(range(9)):
        if len(front.kept) > 5:
            break
    assert front.kept[-1][1] == {} and front.waiting == []


def test_names_are_escaped(monkeypatch):
    front = Front(True, monkeypatch)
    with Bar("<b>&", 2, after=0):
        pass
    assert "&lt;b&gt;&amp;" in front.kept[0][1]["text/html"]


def test_a_terminal_gets_one_line_and_keeps_none(terminal, no_pause):
    fit([Progress("a label that is long")])
    text = terminal.getvalue()
    assert "\n" not in text
    assert "[####################] a label" in text and "epoch 3 of 3" in text
    screen = ""
    for line in text.split("\r"):
        screen = line + screen[len(line) :]
    assert screen.strip() == ""


def test_a_narrow_terminal_is_not_wrapped(terminal, no_pause, monkeypatch):
    monkeypatch.setenv("COLUMNS", "30")
    fit([Progress("a label that is long")])
    assert max(map(len, terminal.getvalue().split("\r"))) <= 29


def test_time_left_is_that_of_the_pace_after_the_first_step(terminal, monkeypatch):
    clock = iter([0.0, 100.0, 100.0, 110.0, 110.0, 120.0, 120.0])
    monkeypatch.setattr(time, "perf_counter", lambda: next(clock))
    with Bar("going", 12, after=0.5) as bar:
        bar.move(1)  # at 100 s: the first is slow
        drawn = terminal.getvalue()
        assert "8 %" in drawn and "left" not in drawn
        bar.move(2)  # at 110 s; drawn; 10 left
        assert "1 min 40 s left" in terminal.getvalue()
        bar.move(3)
        assert "1 min 30 s left" in terminal.getvalue()


# ---------------------------------------------------------------------- what it costs


def test_short_runs_show_no_bar_and_draws_are_rare(terminal, monkeypatch):
    now = iter(np.arange(0, 100, 0.01))
    monkeypatch.setattr(time, "perf_counter", lambda: float(next(now)))
    with Bar("short", 30) as bar:
        for step in range(30):
            bar.move(step + 1)
    assert terminal.getvalue() == ""
    with Bar("long", 1000) as bar:
        for step in range(1000):
            bar.move(step + 1)
    assert 10 < terminal.getvalue().count("long") < 45


def test_numbers_are_computed_only_for_a_drawing(terminal, monkeypatch):
    now = iter(np.arange(0, 1000, 0.01))
    monkeypatch.setattr(time, "perf_counter", lambda: float(next(now)))
    asked = []

    def numbers():
        asked.append(1)
        return {"loss": 0.25}

    list(progress(range(1000), "long", numbers=numbers))
    assert 10 < len(asked) < 100
    assert "loss 0.25" in terminal.getvalue()


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
            "numbers must be a function .* dict",
        ),
    ],
)
def test_bad_input_is_named_at_once(make, error, words):
    with pytest.raises(error, match=words):
        make()


def test_times_are_said_in_words():
    assert [in_words(s) for s in (0, 1.4, 59.4, 65, 3599, 4800)] == [
        "1 s",
        "1 s",
        "59 s",
        "1 min 05 s",
        "59 min 59 s",
        "1 h 20 min",
    ]
