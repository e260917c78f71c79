"""JupyterLab, as ``make lab`` starts it: a long run shows a bar, and leaves nothing."""

import os
import re
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import nbformat
import pytest

CELLS = [
    """
from advanced_keras.progress import Progress, progress
import time, keras, numpy as np

class Slow(keras.callbacks.Callback):
    def on_train_batch_end(self, batch, logs=None):
        time.sleep(0.05)

x = np.ones((320, 3), "float32")
model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
model.compile("sgd", "mse")
""",
    """
model.fit(x, x[:, :1], epochs=10, callbacks=[Slow(), Progress()], verbose=0)
for _ in progress(range(30), "counting"):
    time.sleep(0.05)
print("over")
""",
    "print('alone')",
]


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture
def address(tmp_path):
    """A JupyterLab with one notebook, on a free port, with settings of its own."""
    cells = [nbformat.v4.new_code_cell(cell.strip()) for cell in CELLS]
    notebook = nbformat.v4.new_notebook(cells=cells)
    notebook.metadata.kernelspec = {"name": "python3", "display_name": "Python 3"}
    (tmp_path / "notebooks").mkdir()
    nbformat.write(notebook, tmp_path / "notebooks" / "run.ipynb")
    folders = {"CONFIG_DIR": "config", "DATA_DIR": "data", "RUNTIME_DIR": "runtime"}
    own = {f"JUPYTER_{name}": str(tmp_path / f) for name, f in folders.items()}
    port = free_port()
    options = {
        "port": port,
        "ServerApp.root_dir": tmp_path / "notebooks",
        "IdentityProvider.token": "",
        "LabApp.news_url": None,
    }
    program = Path(sys.executable).with_name("jupyter-lab")
    command = [program, "--no-browser", "--allow-root"]
    command += [f"--{name}={value}" for name, value in options.items()]
    log = open(tmp_path / "log", "wb")  # noqa: SIM115
    server = subprocess.Popen(
        command, env={**os.environ, **own}, stdout=log, stderr=log
    )
    try:
        url = f"http://127.0.0.1:{port}/lab/tree/run.ipynb"
        wait_for(url, server)
        yield url
    finally:
        server.terminate()
        server.wait(30)
        log.close()


def wait_for(url, server):
    """Until the server answers."""
    for _ in range(120):
        assert server.poll() is None, "JupyterLab ended"
        try:
            return urllib.request.urlopen(url, timeout=5).close()
        except OSError:
            time.sleep(0.5)
    raise AssertionError("JupyterLab did not answer")


def test_a_bar_with_time_left_and_loss_that_leaves_nothing(browser, address, tmp_path):
    page = browser.new_page(viewport={"width": 1000, "height": 900})
    page.goto(address, timeout=90_000)
    cells = page.locator(".jp-Notebook .jp-CodeCell")
    cells.nth(2).wait_for(timeout=90_000)
    page.get_by_text("| Idle").wait_for(timeout=90_000)  # else nothing is run

    def run(place):
        cells.nth(place).locator(".cm-content").click()
        page.keyboard.press("Control+Enter")

    run(0)
    run(1)
    output = cells.nth(1).locator(".jp-OutputArea")
    output.locator(".widget-hprogress").wait_for(timeout=120_000)
    seen = [""]
    deadline = time.monotonic() + 120
    while seen[-1].strip() != "over" and time.monotonic() < deadline:
        seen.append(output.inner_text().replace("\u2007", " "))
        page.wait_for_timeout(100)
    said = "\n".join(seen)
    assert re.search(
        r"training, epoch \d+ of 10: +\d+%\s+\d+/100 \[\d\d:\d\d left, loss=[\d.]+",
        said,
    )
    assert re.search(r"counting: +\d+%\s+\d+/30 \[00:0\d left", said)
    assert seen[-1].strip() == "over"
    assert output.locator(".jupyter-widgets").count() == 0
    run(2)
    other = cells.nth(2).locator(".jp-OutputArea")
    other.get_by_text("alone").wait_for(timeout=30_000)
    heights = [area.bounding_box()["height"] for area in (output, other)]
    assert heights[0] == heights[1], "not even an empty line is left"
    page.keyboard.press("Control+s")
    saved = tmp_path / "notebooks" / "run.ipynb"
    deadline = time.monotonic() + 30
    while "alone\\n" not in saved.read_text() and time.monotonic() < deadline:
        page.wait_for_timeout(100)
    notebook = nbformat.read(saved, 4)
    left = [each for each in notebook.cells[1].outputs if each.get("data") != {}]
    assert [each["text"] for each in left] == ["over\n"], "no dead widget"
    assert "widgets" not in notebook.metadata
    page.close()
