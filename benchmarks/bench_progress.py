"""What the bar costs a run that somebody looks at.

A kernel is started and asked to train as JupyterLab asks: with ``allow_stdin``. The
model is small (64 features, one hidden layer of 256 units, batches of 128), so a step
is short and the bar weighs much. The share of the time of ``fit`` that is spent in the
callback, drawing included, is measured by a clock around its hook. Exit code 1 above
the target.

    python benchmarks/bench_progress.py
"""

import json
import sys

from _timing import verdict
from jupyter_client.manager import run_kernel

TARGET = 1.0  # per cent
EPOCHS = 40

CELL = """
import json, time
import numpy as np
from advanced_keras.progress import Progress
import keras

x = np.random.default_rng(0).normal(size=(128 * 100, 64)).astype("float32")
model = keras.Sequential([keras.Input((64,)), keras.layers.Dense(256, "relu"),
                          keras.layers.Dense(1)])
model.compile("adam", "mse")
model.fit(x, x[:, :1], batch_size=128, verbose=0)  # traces the step
bar = Progress()
assert bar.bar.watched
hook, spent = bar.on_train_batch_end, []

def clocked(batch, logs=None):
    begin = time.perf_counter()
    hook(batch, logs)
    spent.append(time.perf_counter() - begin)

bar.on_train_batch_end = clocked
begin = time.perf_counter()
model.fit(x, x[:, :1], batch_size=128, epochs=EPOCHS, callbacks=[bar], verbose=0)
whole = time.perf_counter() - begin
print(json.dumps([sum(spent), whole, len(spent)]))
"""


def measure() -> tuple[float, float, int]:
    """Seconds in the hook, seconds of ``fit``, number of steps."""
    printed, drawn = [], []

    def hear(message):
        content = message["content"]
        if message["msg_type"] == "stream":
            printed.append(content["text"])
        elif message["msg_type"] in ("comm_msg", "update_display_data"):
            drawn.append(content["data"])
        elif message["msg_type"] == "error":
            raise RuntimeError(content["evalue"])

    with run_kernel(kernel_name="python3") as client:
        cell = CELL.replace("EPOCHS", str(EPOCHS))
        client.execute_interactive(cell, allow_stdin=True, output_hook=hear)
    assert len(drawn) > 2 and {} in drawn, "drawn, and gone"
    return json.loads(printed[-1])


def main() -> int:
    """Print the share of the time that the bar took."""
    spent, whole, steps = measure()
    print(f"{steps} steps of {1e3 * whole / steps:.2f} ms")
    share = 100 * spent / whole
    return 0 if verdict("bench_progress", "per cent", share, TARGET, True) else 1


if __name__ == "__main__":
    sys.exit(main())
