"""An import that cannot work says in one sentence what to do: each failure is made."""

import os
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from advanced_keras import _needs

ROOT = Path(__file__).resolve().parents[1]
IMPORT = "import advanced_keras, keras; print('backend', keras.config.backend())"


def python(code, *path, **environ):
    """Run code in a fresh Python whose settings are only those given here."""
    ours = {"KERAS_BACKEND", "TF_USE_LEGACY_KERAS", "KERAS_HOME"}
    clean = {name: value for name, value in os.environ.items() if name not in ours}
    folders = [*map(str, path), str(ROOT / "code")]
    environ = {**clean, "PYTHONPATH": os.pathsep.join(folders), **environ}
    return subprocess.run(
        [sys.executable, "-c", code], env=environ, capture_output=True, text=True
    )


def last_line(done):
    return done.stderr.strip().splitlines()[-1]


def test_another_backend_in_the_environment():
    done = python(IMPORT, KERAS_BACKEND="jax")
    assert done.returncode == 1
    assert last_line(done) == (
        "ImportError: advanced_keras needs Keras on TensorFlow, and the environment "
        "variable KERAS_BACKEND is 'jax': unset it, or set it to 'tensorflow'."
    )


def test_another_backend_in_the_file_is_overruled(tmp_path):
    (tmp_path / "keras.json").write_text('{"backend": "numpy"}')
    done = python(IMPORT, KERAS_HOME=str(tmp_path), KERAS_BACKEND="")
    assert done.stdout.strip() == "backend tensorflow"
    assert done.stderr == ""


def test_keras_was_there_first_with_another_backend():
    """Played: the other backends are not installed here."""
    config = SimpleNamespace(backend=lambda: "torch")
    with pytest.raises(ImportError) as raised:
        _needs.after_keras(SimpleNamespace(config=config), {})
    assert "imported before with the backend 'torch'" in str(raised.value)
    assert "set it to 'tensorflow' and start Python again" in str(raised.value)


def test_keras_2_is_too_old(tmp_path):
    (tmp_path / "keras-2.15.0.dist-info").mkdir()
    (tmp_path / "keras-2.15.0.dist-info" / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: keras\nVersion: 2.15.0\n"
    )
    (tmp_path / "keras.py").write_text("1 / 0  # must not be reached")
    done = python(IMPORT, tmp_path)
    assert last_line(done) == (
        "ImportError: advanced_keras needs Keras 3.13 or newer, and this is Keras "
        '2.15.0: pip install "keras>=3.13"'
    )


@pytest.mark.parametrize(
    "name, said", [("keras", "Keras"), ("tensorflow", "TensorFlow")]
)
def test_what_is_not_installed_is_named(name, said, tmp_path):
    absent = f"raise ModuleNotFoundError('none', name={name!r})"
    (tmp_path / f"{name}.py").write_text(absent)
    done = python(IMPORT, tmp_path)
    assert last_line(done) == (
        f"ModuleNotFoundError: advanced_keras needs {said}, which is not installed "
        f"here: pip install {name}"
    )


def test_other_missing_modules_keep_their_own_words():
    error = ModuleNotFoundError("No module named 'optree'", name="optree")
    assert _needs.missing(error) is error


def test_settings_that_break_a_part_are_warned_of(tmp_path):
    (tmp_path / "keras.json").write_text('{"image_data_format": "channels_first"}')
    done = python(IMPORT, KERAS_HOME=str(tmp_path), TF_USE_LEGACY_KERAS="1")
    assert done.returncode == 0
    images, legacy = re.findall("UserWarning: (.*)", done.stderr)
    assert "set_image_data_format('channels_last')" in images
    assert legacy.startswith("TF_USE_LEGACY_KERAS is set, so tf.keras is Keras 2")


def test_old_python():
    words = "needs Python 3.11 or newer, and this is 3.9: run it with a newer one"
    with pytest.raises(ImportError, match=words):
        _needs.before_keras((3, 9, 1), {})


def test_the_numbers_are_those_of_pyproject():
    text = (ROOT / "pyproject.toml").read_text()
    oldest = _needs._dotted(_needs.OLDEST_PYTHON)
    assert f'requires-python = ">={oldest},' in text
    assert f'"keras>={_needs._dotted(_needs.OLDEST_KERAS)},' in text
