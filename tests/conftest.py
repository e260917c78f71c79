"""Let coverage see the code that runs inside Python's own trace function.

The recorders of `tracing` and `training` watch with ``sys.settrace``. So does coverage,
up to Python 3.13: while a recorder watches, coverage is blind, and what runs inside a
trace function is never traced at all. Here, only if coverage is measuring, the function
that is watched waits while a second thread, which coverage sees, runs the recorder.
"""

import queue
import sys
import threading

import pytest

WATCHING = ("advanced_keras.tracing.record", "advanced_keras.training.recorder")


class Relay:
    """Stands for the module ``sys`` in a recorder, whose trace function it relays."""

    def __init__(self):
        self.asked, self.answered = queue.SimpleQueue(), queue.SimpleQueue()
        threading.Thread(target=self.work, daemon=True).start()

    def __getattr__(self, name):
        return getattr(sys, name)

    def work(self):
        for function, arguments in iter(self.asked.get, None):
            try:
                self.answered.put((function(*arguments), None))
            except BaseException as error:
                self.answered.put((None, error))

    def settrace(self, function):
        owner = getattr(function, "__self__", None)
        if type(owner).__module__ not in WATCHING:
            sys.settrace(function)
            return
        codes = getattr(owner, "sources", None) or [owner.code]

        def relayed(frame, event, argument):
            if frame.f_code not in codes:
                return None
            call = owner._on_call if event == "call" else owner._on_event
            self.asked.put((call, (frame, event, argument)))
            answer, error = self.answered.get()
            if error is not None:
                raise error
            return answer and relayed

        sys.settrace(relayed)


@pytest.fixture(autouse=True)
def seen_by_coverage(monkeypatch):
    """Relay the recorders' work to a thread that is traced, if coverage traces."""
    if type(sys.gettrace()).__module__.partition(".")[0] != "coverage":
        yield
        return
    relay = Relay()
    for name in WATCHING:
        if name in sys.modules:
            monkeypatch.setattr(sys.modules[name], "sys", relay)
    yield
    relay.asked.put(None)
