"""The mutants: one change each, in what computes; and a fork that judges them."""

import ast
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tools"))

import mutate  # noqa: E402

SOURCE = '''"""A module with 1 + 1 in its text."""

from typing import Any

SCALE = 2.0


def f(x: list | None, flag: bool = True) -> Any:
    """Adds 1 + 1."""
    if x is None and not flag:
        raise ValueError(f"x must be {1 + 1}")
    é = -x[0] * SCALE  # a letter of two bytes; a * comes
    return np.sum((é + 1) // 2, axis=-1) <= 3
'''


def described():
    return [each.describe(SOURCE) for each in mutate.mutants_of("m", SOURCE)]


def test_each_mutant_is_one_change_that_compiles():
    found = mutate.mutants_of("m", SOURCE)
    changed = [each.apply(SOURCE) for each in found]
    assert len(set(changed)) == len(found) > 10
    for text in changed:
        assert text.count("\n") == SOURCE.count("\n")
        assert ast.dump(ast.parse(text)) != ast.dump(ast.parse(SOURCE))
        assert mutate.is_python(text)


@pytest.mark.parametrize(
    "change",
    [
        "SCALE = ⟦2.0 → 4.0⟧",
        "flag: bool = ⟦True → False⟧",
        "x ⟦is → is not⟧ None",
        "None ⟦and → or⟧ not",
        "and ⟦not → ⟧flag",
        "= ⟦- → ⟧x[0]",
        "x[⟦0 → 1⟧]",
        "x[0] ⟦* → /⟧ SCALE",
        "np.⟦sum → mean⟧(",
        "(é ⟦+ → -⟧ 1)",
        "⟦// → *⟧ 2",
        "⟦<= → <⟧ 3",
    ],
)
def test_what_computes_is_changed(change):
    assert any(change in text for text in described()), described()


def test_texts_annotations_errors_and_comments_are_left_alone():
    for text in described():
        place = text.split("⟦")[0]
        assert "raise" not in text and "1 + 1" not in text
        assert not place.endswith(("list ", "-> "))


def test_the_draw_has_a_seed_and_a_share_for_each_module():
    pools = {name: mutate.mutants_of(name, SOURCE) for name in ("a", "b")}
    pools["c"] = mutate.mutants_of("c", SOURCE)[:2]
    chosen = mutate.draw(pools, 12, seed=0)
    assert chosen == mutate.draw(pools, 12, seed=0)
    assert chosen != mutate.draw(pools, 12, seed=1)
    counts = [sum(each.module == name for each in chosen) for name in ("a", "b")]
    assert counts[0] == counts[1] >= 5 and len(set(chosen)) == len(chosen)


def test_every_module_and_its_tests_exist():
    for module, tests in mutate.TESTED_BY.items():
        assert (mutate.PACKAGE / f"{module}.py").is_file()
        for name in tests:
            assert (ROOT / "tests" / f"test_{name}.py").is_file()


def test_the_report_counts_and_names_the_survivors(tmp_path, monkeypatch):
    notes = tmp_path / "notes.json"
    notes.write_text('{"m: b": "equivalent: it is the same"}')
    monkeypatch.setattr(mutate, "NOTES", notes)
    rows = [("m: a", "killed"), ("m: b", "survived"), ("m: c", "timeout")]
    page = mutate.report(rows, {"m": [1, 2, 3, 4]}, "About.")
    assert "**2 of 3 killed: 66.7%.**" in page and "100.0%" in page
    assert "| m | 4 | 3 | 2 |" in page
    assert "- `m: b`  \n  equivalent: it is the same" in page


def test_a_log_is_read_back(tmp_path):
    log = tmp_path / "log"
    log.write_text("killed\t3\tm: a\tb\nsurvived\t9\tm: c\n")
    assert list(mutate.read_log(log)) == [("m: a\tb", "killed"), ("m: c", "survived")]
