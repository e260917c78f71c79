"""A bar for long runs: shown while somebody looks, gone when the run is over.

Three ways to a bar of tqdm: :class:`Progress` for ``fit``, :func:`progress` for a loop,
:class:`Bar` for all else. It shows how far the run is, the time left, and the losses.

Who looks is asked when the bar is made. In a notebook the front end says with each cell
whether it could answer ``input()``: JupyterLab and its like can, for somebody sits
there; a program that runs notebooks (the build of the book, nbconvert, papermill)
cannot. In a plain Python it is a terminal at the standard error. Else nothing is shown
and nothing is computed. ``ADVANCED_KERAS_PROGRESS=0`` in the environment silences all.
"""

import io
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sized
from contextlib import ExitStack
from importlib.util import find_spec
from numbers import Real
from typing import Any

import keras
from tqdm import tqdm

EVERY = 0.5
"""Seconds between two drawings, at least."""

COUNT = "{n_fmt}/{total_fmt} [{remaining} left{postfix}]"
FORMAT = "{desc}: {percentage:.0f}%|{bar}| " + COUNT
"""tqdm's own adds time spent and rate, which leave the bar no width in a cell."""


class Bar:
    """A bar that the caller moves, for the length of a ``with`` block.

    Args:
        label: what runs, in a word or two.
        total: how many units of work there are; None if nobody knows.
        after: seconds of patience: a run that is over before shows no bar.

    Raises:
        TypeError: if ``label`` is not a string.
        ValueError: if ``total`` is neither None nor positive, or ``after`` is negative.

    Example:
        >>> with Bar("searching", 100) as bar:
        ...     for step in range(100):
        ...         bar.move(loss=1 / (step + 1))
    """

    def __init__(self, label: str, total: int | None = None, after: float = 0.5):
        if not isinstance(label, str):
            raise TypeError(f"label must be a string, got {type(label).__name__}.")
        if total is not None and not (_is_number(total) and total > 0):
            raise ValueError(f"total must be None or a positive number, got {total!r}.")
        if not (_is_number(after) and after >= 0):
            raise ValueError(f"after must be a number of seconds, got {after!r}.")
        self.label, self.total, self.after = label, total, after
        self.watched = _somebody_looks()
        self._undo = ExitStack()
        self.close()

    def __enter__(self):
        self.close()  # of a run before, if that was interrupted
        self._begin = time.perf_counter()
        if self.watched and not self.after:
            self._tqdm = _open(self, self._undo)
        return self

    def __exit__(self, *_):
        self.close()

    def close(self) -> None:
        """Take the bar away; a second time does nothing."""
        self._undo.close()
        self._tqdm, self._done, self._begin = None, 0, float("inf")

    def move(self, done: float | None = None, note: str = "", **numbers: Any) -> None:
        """Say how far the run is. Most calls return at once: see ``EVERY``.

        Args:
            done: units of work that are done; by default one more than before.
            note: words to show, such as "epoch 2 of 9".
            numbers: what to show besides, such as ``loss=0.3``: scalars of any library,
                turned into floats only when they are drawn.
        """
        if self.watched:
            self._go_to(done, note, lambda: numbers)

    def _go_to(self, done, note, numbers):
        self._done = self._done + 1 if done is None else done
        if self._tqdm is None and time.perf_counter() >= self._begin + self.after:
            self._tqdm = _open(self, self._undo)
        if self._tqdm is not None and self._tqdm.update(self._done - self._tqdm.n):
            words = f"{self.label}, {note}" if note else self.label
            self._tqdm.set_description_str(words, refresh=False)
            self._tqdm.set_postfix({n: float(v) for n, v in numbers().items()})


def progress(
    iterable: Iterable,
    label: str = "running",
    total: int | None = None,
    numbers: Callable[[], dict] | None = None,
) -> Iterator:
    """Go through an iterable behind a bar.

    Args:
        iterable: what to go through; its items are handed on unchanged.
        label: what runs, in a word or two.
        total: how many items there are; by default what ``len`` says, if it can.
        numbers: a function that returns what to show, a dictionary such as
            ``{"loss": 0.3}``. It is called when the bar is drawn, not before.

    Raises:
        TypeError: if ``label`` is not a string or ``numbers`` is not a function.
        ValueError: if ``total`` is not positive.

    Example:
        >>> sum(progress(range(4), "adding"))
        6
    """
    if numbers is not None and not callable(numbers):
        raise TypeError(f"numbers must be a function, got {type(numbers).__name__}.")
    if total is None and isinstance(iterable, Sized):
        total = len(iterable) or None
    bar = Bar(label, total)
    return _behind(bar, iterable, numbers or dict) if bar.watched else iter(iterable)


def _behind(bar, iterable, numbers):
    with bar:
        for item in iterable:
            yield item
            bar._go_to(None, "", numbers)


class Progress(keras.callbacks.Callback):
    """A bar for ``fit``: the epoch, the share that is done, time left and losses.

    It changes nothing that is computed. The losses are what ``fit`` tells callbacks:
    means over the epoch so far, or what a train step of your own reports. If nobody
    looks, Keras finds no hook for batches here and trains as without the callback.

    Args:
        label: what runs, in a word or two.

    Raises:
        TypeError: if ``label`` is not a string.

    Example:
        >>> model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
        >>> model.compile("sgd", "mse")
        >>> x = keras.ops.ones((8, 3))
        >>> history = model.fit(x, x[:, :1], callbacks=[Progress()], verbose=0)
    """

    def __init__(self, label: str = "training"):
        super().__init__()
        self.bar = Bar(label, after=0)
        if self.bar.watched:  # Keras looks whether there is a hook, not what it does
            self.on_train_batch_end = self._after_batch

    def on_train_begin(self, logs=None):
        """Forget the run before."""
        self._first = None

    def on_epoch_begin(self, epoch, logs=None):
        """Learn where ``fit`` stands; in the first epoch open the bar."""
        self._epoch, self._steps = epoch, self.params.get("steps")
        if self._first is None:
            self._first, epochs = epoch, self.params.get("epochs")
            self.bar.total = epochs and (epochs - epoch) * (self._steps or 1)
            self.bar.__enter__()

    def on_epoch_end(self, epoch, logs=None):
        """Move to the end of the epoch, for runs whose steps nobody can count."""
        self._move(self._steps or 1, logs)

    def on_train_end(self, logs=None):
        """Take the bar away."""
        self.bar.close()

    def _after_batch(self, batch, logs=None):
        self._move(batch + 1 if self._steps else 0, logs)

    def _move(self, within, logs):
        epochs = self.params.get("epochs") or 1
        note = f"epoch {self._epoch + 1} of {epochs}" if epochs > 1 else ""
        losses = {n: v for n, v in (logs or {}).items() if n.endswith("loss")}
        done = (self._epoch - self._first) * (self._steps or 1) + within
        self.bar.move(done, note, **losses)


def _is_number(value):
    return isinstance(value, Real) and not isinstance(value, bool)


def _shell():
    """IPython's shell in a notebook, else None."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython else None
    return shell if hasattr(shell, "kernel") else None


def _somebody_looks():
    if os.environ.get("ADVANCED_KERAS_PROGRESS") == "0":
        return False
    if (shell := _shell()) is None:
        return sys.stderr.isatty()
    request = shell.kernel.get_parent("shell") or {}
    return bool(request.get("content", {}).get("allow_stdin"))


def _open(bar, undo):
    """A bar of tqdm; ``undo`` learns how to take it away."""
    options = {"desc": bar.label, "total": bar.total, "initial": bar._done}
    options |= {"mininterval": EVERY, "miniters": 0, "leave": False}
    options["bar_format"] = FORMAT if bar.total else None
    if (shell := _shell()) is None:
        return undo.enter_context(tqdm(**options))
    from IPython.display import DisplayHandle

    drawn: Any
    output = DisplayHandle()
    if find_spec("ipywidgets"):
        from tqdm.notebook import tqdm_notebook

        drawn = tqdm_notebook(display=False, **options)
        output.display(drawn.container)
        parts = [drawn.container, *drawn.container.children]
        parts += [part.layout for part in parts] + [part.style for part in parts[1:]]
        for part in parts:
            undo.callback(part.close)
    else:
        output.display({}, raw=True)
        drawn = tqdm(file=_Text(output), ascii=False, **options)
    # tqdm would keep a bar that is stopped, and a dead widget would be saved
    undo.callback(output.update, {}, raw=True)
    undo.callback(drawn.close)
    ended = ("post_run_cell", lambda *_: bar.close())  # fit tells of no interruption
    shell.events.register(*ended)
    undo.callback(shell.events.unregister, *ended)
    return drawn


class _Text(io.StringIO):
    """An output of a notebook as a file: it shows the last line."""

    def __init__(self, output):
        super().__init__()
        self.output = output

    def write(self, text):
        if text.strip():
            self.output.update({"text/plain": text.strip()}, raw=True)
        return len(text)
