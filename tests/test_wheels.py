"""The wheel: complete, and usable where the checkout is not."""

import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tools"))

import wheels  # noqa: E402


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    return wheels.build(tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def python(built, tmp_path_factory):
    return wheels.install(built, tmp_path_factory.mktemp("away") / "environment")


def test_every_file_of_the_package_is_in_it_and_nothing_else(built):
    with zipfile.ZipFile(built) as archive:
        names = set(archive.namelist())
    here = {
        path.relative_to(ROOT / "code").as_posix()
        for path in wheels.PACKAGE.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert here == {name for name in names if ".dist-info/" not in name}
    assert sum(name.endswith((".js", ".css")) for name in here) >= 8
    assert any(name.endswith("licenses/LICENSE") for name in names)


def test_two_builds_are_the_same_bytes(built, tmp_path):
    assert wheels.build(tmp_path).read_bytes() == built.read_bytes()


def test_every_module_is_imported_and_a_widget_finds_its_scripts(
    built, python, tmp_path
):
    code = """
from advanced_keras.tracing import trace_source
x = trace_source("x = keras.Input((3,)); y = keras.layers.Dense(2)(x)")
print("<script" in x.tracer().html(), "<style" in x.tracer().html())
"""
    code = wheels.without_strangers(wheels.IMPORTS + code, built)
    assert wheels.run(python, code, tmp_path) == "True True\n"


def test_only_what_pip_installs_with_the_wheel_is_found(built, python, tmp_path):
    assert {"keras", "tensorflow", "numpy", "sacrebleu"} <= wheels.required(built)
    assert not {"scikit-learn", "pytest", "sphinx"} & wheels.required(built)
    with pytest.raises(RuntimeError, match="No module named 'sklearn'"):
        wheels.run(python, wheels.without_strangers("import sklearn", built), tmp_path)


def test_the_first_example_prints_what_it_says(built, python, tmp_path):
    code = wheels.examples((ROOT / "README.md").read_text(encoding="utf-8"))
    assert len(code) == 1
    printed = wheels.run(python, wheels.without_strangers(code[0], built), tmp_path)
    assert f"# {printed.strip()}\n" in code[0]


def test_a_failing_example_is_an_error(python, tmp_path):
    with pytest.raises(RuntimeError, match="ZeroDivisionError"):
        wheels.run(python, "1 / 0", tmp_path)
    with pytest.raises(RuntimeError, match="a warning"):
        wheels.run(python, "import sys; sys.stderr.write('a warning')", tmp_path)
