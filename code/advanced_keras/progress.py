"""A bar for long runs: shown while somebody looks, gone when the run is over.

Three forms of the same bar: :class:`Progress` for ``fit``, :func:`progress` for a loop,
:class:`Bar` for all else. Each shows how far the run is, how long it will still take,
and the current losses.

Who looks is asked when the bar is made. In a notebook the front end says with each cell
whether it could answer ``input()``: JupyterLab and its like can, for somebody sits
there; a program that runs notebooks (the build of the book, nbconvert, papermill)
cannot. In a plain Python it is a terminal at the standard error. Else nothing is shown
and nothing is computed. The environment variable ``ADVANCED_KERAS_PROGRESS=0`` silences
all bars.
"""

from __future__ import annotations

import html
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sized
from numbers import Real
from typing import Any

import keras

EVERY = 0.5
"""Seconds between two drawings, at least."""

LENGTH = 20
"""Characters of a bar in a terminal."""


class Bar:
    """A bar that the caller moves, for the length of a ``with`` block.

    Args:
        label: what runs, in a word or two.
        total: how many units of work there are; None if nobody knows.
        after: seconds of patience: a run that is over before shows no bar.

    Raises:
        TypeError: if ``label`` is not a string.
        ValueError: if ``total`` is neither None nor a positive number, or ``after``
            is negative.

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
        self.screen = _screen()
        self._next, self._done = float("inf"), 0

    @property
    def watched(self) -> bool:
        """Whether anybody looks."""
        return self.screen is not None

    def __enter__(self):
        if self.watched:
            self.close()  # of a run before, if that was interrupted
            self._first, self._next = None, time.perf_counter() + self.after
            self._done = 0
            self.screen.open(self.close)
            if not self.after:
                self._draw(0, {}, time.perf_counter())
        return self

    def __exit__(self, *_):
        self.close()

    def move(self, done: float | None = None, note: str = "", **numbers: Any) -> None:
        """Say how far the run is. Most calls return at once: see ``EVERY``.

        Args:
            done: units of work that are done, at most ``total``; by default one more
                than before.
            note: words to show, such as "epoch 2 of 9".
            numbers: what to show besides, such as ``loss=0.3``: scalars of any library,
                turned into floats only when they are drawn.
        """
        if self.watched:
            self._go_to(done, note, lambda: numbers)

    def _go_to(self, done, note, numbers):
        now = time.perf_counter()
        self._done = done = self._done + 1 if done is None else done
        if self._first is None:  # takes longer than the others: Keras traces its step
            self._first = (done, now)
        if now >= self._next:
            self._draw(done, numbers(), now, note)

    def close(self) -> None:
        """Take the bar away; a second time does nothing."""
        if self.watched:
            self._next = float("inf")
            self.screen.close()

    def _draw(self, done, numbers, now, note=""):
        share = min(done / self.total, 1.0) if self.total else None
        words = [self.label, *([note] if note else [])]
        if share is not None:
            words.append(f"{100 * share:.0f} %")
            left = self._left(done, now)
            words += [] if left is None else [f"{in_words(left)} left"]
        words += [f"{name} {float(number):.4g}" for name, number in numbers.items()]
        self.screen.draw(share, " · ".join(words))
        self._next = time.perf_counter() + EVERY

    def _left(self, done, now):
        """Seconds to the end at the pace since the first move; None too early."""
        if self._first is None or done <= self._first[0]:
            return None
        pace = (now - self._first[1]) / (done - self._first[0])
        return pace * max(self.total - done, 0)


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
        numbers: a function without arguments that returns what to show, a dictionary
            such as ``{"loss": 0.3}``. It is called when the bar is drawn, not before.

    Returns:
        An iterator over the same items.

    Raises:
        TypeError: if ``label`` is not a string or ``numbers`` is not a function.
        ValueError: if ``total`` is not positive.

    Example:
        >>> sum(progress(range(4), "adding"))
        6
    """
    if numbers is not None and not callable(numbers):
        raise TypeError(
            "numbers must be a function without arguments, got "
            f"{type(numbers).__name__}."
        )
    if total is None and isinstance(iterable, Sized):
        total = len(iterable) or None
    return _behind(Bar(label, total), iterable, numbers)


def _behind(bar, iterable, numbers):
    if not bar.watched:
        yield from iterable
        return
    with bar:
        for item in iterable:
            yield item
            bar._go_to(None, "", numbers or dict)


class Progress(keras.callbacks.Callback):
    """A bar for ``fit``: the epoch, the share that is done, time left and losses.

    It changes nothing that is computed. The losses are those that ``fit`` gives to its
    callbacks: means over the epoch so far, unless a train step of your own reports
    something else. If nobody looks, Keras finds no hook for batches here and trains as
    without the callback.

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
        self._epoch = self._start = -1
        if self.bar.watched:  # Keras looks whether there is a hook, not what it does
            self.on_train_batch_end = self._after_batch

    def on_train_begin(self, logs=None):
        """Open the bar."""
        self._epoch = self._start = -1
        self.bar.total = None
        self.bar.__enter__()

    def on_epoch_begin(self, epoch, logs=None):
        """Learn where ``fit`` stands, and, in the first epoch, where it began."""
        if self._epoch < 0:
            self._start = epoch
        self._epoch = epoch
        epochs, steps = self.params.get("epochs"), self.params.get("steps")
        self.bar.total = (epochs - self._start) * (steps or 1) if epochs else None

    def on_epoch_end(self, epoch, logs=None):
        """Move to the end of the epoch, for runs whose steps nobody can count."""
        steps = self.params.get("steps") or 1
        self._move((epoch + 1 - self._start) * steps, logs)

    def on_train_end(self, logs=None):
        """Take the bar away."""
        self.bar.close()

    def _after_batch(self, batch, logs=None):
        steps = self.params.get("steps")
        within = batch + 1 if steps else 0
        self._move((self._epoch - self._start) * (steps or 1) + within, logs)

    def _move(self, done, logs):
        epochs = self.params.get("epochs") or 1
        note = f"epoch {self._epoch + 1} of {epochs}" if epochs > 1 else ""
        losses = {n: v for n, v in (logs or {}).items() if n.endswith("loss")}
        self.bar.move(done, note, **{n.replace("_", " "): losses[n] for n in losses})


def in_words(seconds: float) -> str:
    """A time for people: "3 s", "2 min 05 s", "1 h 20 min"."""
    whole = max(round(seconds), 1)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


# ------------------------------------------------------------------- where to draw


def _screen():
    """Where somebody looks: a notebook, a terminal, or None."""
    if os.environ.get("ADVANCED_KERAS_PROGRESS") == "0":
        return None
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython else None
    kernel = getattr(shell, "kernel", None)
    if kernel is None:
        return _Terminal() if sys.stderr.isatty() else None
    request = kernel.get_parent("shell") or {}
    if not request.get("content", {}).get("allow_stdin"):
        return None
    return _Notebook(shell)


def _is_number(value):
    return isinstance(value, Real) and not isinstance(value, bool)


class _Terminal:
    """One line, written again and again."""

    width = 0

    def open(self, close):
        self.width = 0

    def draw(self, share, words):
        bar = ""
        if share is not None:
            full = round(LENGTH * share)
            bar = "[" + "#" * full + " " * (LENGTH - full) + "] "
        line = (bar + words)[: shutil.get_terminal_size().columns - 1]
        self._write("\r" + line.ljust(self.width))
        self.width = len(line)

    def close(self):
        if self.width:
            self._write("\r" + " " * self.width + "\r")
        self.width = 0

    def _write(self, text):
        sys.stderr.write(text)
        sys.stderr.flush()


class _Notebook:
    """One output of the cell, replaced again and again, and empty at the end.

    A front end has no means to remove one output alone. So the bars that a cell shows
    one after the other share an output.
    """

    spare: tuple[Any, Any] | None = None

    def __init__(self, shell):
        self.shell, self.cell, self.handle, self._ended = shell, "", None, None

    def open(self, close):
        self.cell = str(self.shell.kernel.get_parent("shell")["header"]["msg_id"])
        # ``fit`` tells its callbacks nothing when it is interrupted: the cell does
        self._ended = lambda *_: close()
        self.shell.events.register("post_run_cell", self._ended)

    def draw(self, share, words):
        from IPython.display import DisplayHandle

        value = "" if share is None else f' value="{share:.4f}"'
        bar = f'<progress{value} style="width: 16em; accent-color: #0072B2"></progress>'
        data = {"text/html": f"<label>{bar} {html.escape(words)}</label>"}
        data["text/plain"] = words
        if self.handle is None and _Notebook.spare and _Notebook.spare[0] == self.cell:
            self.handle, _Notebook.spare = _Notebook.spare[1], None
        if self.handle is None:
            self.handle = DisplayHandle()
            self.handle.display(data, raw=True)
        else:
            self.handle.update(data, raw=True)

    def close(self):
        if self._ended is not None:
            self.shell.events.unregister("post_run_cell", self._ended)
            self._ended = None
        if self.handle is not None:
            self.handle.update({}, raw=True)
            _Notebook.spare, self.handle = (self.cell, self.handle), None
