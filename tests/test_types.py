"""The public functions say what they take; the package says that it has types."""

import ast
from importlib import resources
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "code" / "advanced_keras"
MODULES = sorted(PACKAGE.rglob("*.py"))


def untyped(function):
    """Names of the arguments without a type, and ``return``."""
    arguments = function.args
    every = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
    every += [each for each in (arguments.vararg, arguments.kwarg) if each]
    missing = [each.arg for each in every if each.annotation is None]
    return missing + ["return"] * (function.returns is None)


@pytest.mark.parametrize(
    "module", MODULES, ids=lambda path: str(path.relative_to(PACKAGE))
)
def test_public_functions_are_annotated(module):
    tree = ast.parse(module.read_text(encoding="utf-8"))
    functions = [node for node in tree.body if isinstance(node, ast.FunctionDef)]
    public = [each for each in functions if not each.name.startswith("_")]
    assert {each.name: untyped(each) for each in public if untyped(each)} == {}


def test_the_package_is_marked_as_typed():
    assert resources.files("advanced_keras").joinpath("py.typed").is_file()


def test_silenced_types_name_their_error_and_are_few():
    lines = [line for path in MODULES for line in path.read_text().splitlines()]
    silenced = [line for line in lines if "type: ignore" in line]
    assert all("type: ignore[" in line for line in silenced)
    assert len(silenced) <= 5
