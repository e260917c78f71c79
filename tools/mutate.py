#!/usr/bin/env python3
"""Break the mathematics in one place at a time, and count how often a test notices.

``make mutate`` draws mutants of the mathematical modules with a fixed seed, gives each
module as many as fits its size, and runs the module's own tests on each. TensorFlow is
imported once: every mutant runs in a fork of that process. What came out is written to
``tests/mutation.md``; what was found out about a survivor stands in
``tests/mutation_notes.json``, by the line of the report that names it.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import importlib.abc
import importlib.util
import io
import json
import os
import random
import re
import signal
import sys
import tempfile
import time
import tokenize
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "code" / "advanced_keras"
REPORT = ROOT / "tests" / "mutation.md"
NOTES = ROOT / "tests" / "mutation_notes.json"

TESTED_BY = {
    "attention": ["attention"],
    "autoencoder": ["autoencoder"],
    "blocks": ["blocks"],
    "conv_transpose": ["conv_transpose"],
    "dense_threading": ["dense_threading"],
    "factor_models/autoencoder": ["factor_models"],
    "factor_models/classical": ["factor_models"],
    "factor_models/evaluation": ["factor_models"],
    "factor_models/ipca": ["factor_models"],
    "feature_visualization/ascent": ["feature_visualization"],
    "gan/losses": ["gan"],
    "gan/model": ["gan"],
    "gan/optimizers": ["gan"],
    "layers": ["layers"],
    "losses": ["losses"],
    "scores": ["scores"],
    "style_transfer/losses": ["style_transfer"],
    "training/standard": ["training"],
    "training/variants": ["training"],
    "transformer": ["transformer"],
    "translation/decoding": ["translation"],
    "translation/losses": ["translation"],
    "vae/linear": ["vae"],
    "vae/model": ["vae"],
    "vae/networks": ["vae"],
    "vae/sampling": ["vae"],
    "vae/study": ["vae"],
    "wgan_gp": ["wgan_gp"],
}
"""The mathematical modules, each with the test files that must notice."""

OPERATORS = {
    ast.Add: ("+", "-"),
    ast.Sub: ("-", "+"),
    ast.Mult: ("*", "/"),
    ast.Div: ("/", "*"),
    ast.FloorDiv: ("//", "*"),
    ast.Mod: ("%", "*"),
    ast.Pow: ("**", "*"),
    ast.MatMult: ("@", "*"),
    ast.BitAnd: ("&", "|"),
    ast.BitOr: ("|", "&"),
    ast.Lt: ("<", "<="),
    ast.LtE: ("<=", "<"),
    ast.Gt: (">", ">="),
    ast.GtE: (">=", ">"),
    ast.Eq: ("==", "!="),
    ast.NotEq: ("!=", "=="),
    ast.Is: ("is", "is not"),
    ast.IsNot: ("is not", "is"),
    ast.In: ("in", "not in"),
    ast.NotIn: ("not in", "in"),
    ast.And: ("and", "or"),
    ast.Or: ("or", "and"),
}

FUNCTIONS = {
    one: other
    for pair in (
        ("sum", "mean"),
        ("max", "min"),
        ("maximum", "minimum"),
        ("argmax", "argmin"),
        ("sin", "cos"),
        ("zeros", "ones"),
        ("zeros_like", "ones_like"),
        ("square", "abs"),
        ("log", "log1p"),
        ("exp", "expm1"),
        ("any", "all"),
        ("var", "std"),
        ("add", "subtract"),
        ("multiply", "divide"),
    )
    for one, other in (pair, pair[::-1])
}


@dataclass(frozen=True)
class Mutant:
    """One change: the text from ``start`` to ``end`` becomes ``new``."""

    module: str
    start: int
    end: int
    new: str
    line: int

    def apply(self, source: str) -> str:
        """The source with the change."""
        return source[: self.start] + self.new + source[self.end :]

    def describe(self, source: str) -> str:
        """Module, line number, and the line with ``[old → new]``."""
        begin = source.rfind("\n", 0, self.start) + 1
        stop = source.find("\n", self.end)
        old = source[self.start : self.end]
        before, after = source[begin : self.start], source[self.end : stop]
        text = f"{before}⟦{old} → {self.new}⟧{after}"
        return f"{self.module}: {' '.join(text.split())}"


# ------------------------------------------------------------------- the mutants


def mutants_of(module: str, source: str) -> list[Mutant]:
    """Every mutant of a module, in the order of the text.

    Left alone are docstrings, annotations, decorators, messages of errors and what
    stands at the top of the module outside of functions and classes but constants.
    """
    places = Places(source)
    found = []
    for node in judged(ast.parse(source)):
        for start, end, new in changes(node, places):
            line = source.count("\n", 0, start) + 1
            found.append(Mutant(module, start, end, new, line))
    return sorted(set(found), key=lambda each: (each.start, each.end, each.new))


def judged(tree: ast.AST) -> Iterator[ast.AST]:
    """The nodes that may be changed."""
    for field, value in ast.iter_fields(tree):
        if field in ("annotation", "returns", "decorator_list", "type_params"):
            continue
        for node in value if isinstance(value, list) else [value]:
            skipped = (ast.Raise, ast.Assert, ast.Import, ast.ImportFrom, ast.JoinedStr)
            if isinstance(node, ast.AST) and not isinstance(node, skipped):
                yield node
                yield from judged(node)


class Places:
    """Turns the lines and columns (in bytes) of nodes into places in the text."""

    def __init__(self, source: str):
        self.source = source
        self.lines = source.splitlines(keepends=True)
        self.starts = [0]
        for line in self.lines:
            self.starts.append(self.starts[-1] + len(line))

    def at(self, line: int, column: int) -> int:
        """Place of a line (from 1) and a column in bytes."""
        within = self.lines[line - 1].encode()[:column].decode()
        return self.starts[line - 1] + len(within)

    def span(self, node: ast.AST) -> tuple[int, int]:
        """First place of a node, and the one behind its last."""
        at = (node.lineno, node.col_offset)  # type: ignore[attr-defined]
        end = (node.end_lineno, node.end_col_offset)  # type: ignore[attr-defined]
        return self.at(*at), self.at(*end)

    def between(self, left: ast.AST, right: ast.AST, sign: str) -> tuple[int, int]:
        """Where an operator stands between its operands; comments don't count."""
        begin, end = self.span(left)[1], self.span(right)[0]
        gap = re.sub(r"#[^\n]*", lambda m: " " * len(m[0]), self.source[begin:end])
        pattern = r"\s+".join(map(re.escape, sign.split()))
        match = re.search(pattern, gap)
        assert match is not None, (sign, gap)
        return begin + match.start(), begin + match.end()


Change = tuple[int, int, str]


def changes(node: ast.AST, places: Places) -> Iterator[Change]:
    """The changes of one node."""
    if isinstance(node, (ast.BinOp, ast.AugAssign)):
        pair = (node.left, node.right) if isinstance(node, ast.BinOp) else None
        left, right = pair or (node.target, node.value)  # type: ignore[union-attr]
        yield from swapped(node.op, left, right, places)
    elif isinstance(node, ast.Compare):
        sides = [node.left, *node.comparators]
        for index, op in enumerate(node.ops):
            yield from swapped(op, sides[index], sides[index + 1], places)
    elif isinstance(node, ast.BoolOp):
        for left, right in zip(node.values, node.values[1:], strict=False):
            yield from swapped(node.op, left, right, places)
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, (ast.Not, ast.USub)):
        start, _ = places.span(node)
        yield start, places.span(node.operand)[0], ""
    elif isinstance(node, ast.Constant):
        yield from other_constant(node, places)
    elif isinstance(node, ast.Attribute) and node.attr in FUNCTIONS:
        end = places.span(node)[1]
        yield end - len(node.attr), end, FUNCTIONS[node.attr]
    elif isinstance(node, (ast.If, ast.IfExp)) and not isinstance(
        node.test, (ast.Compare, ast.BoolOp, ast.UnaryOp)
    ):
        start, end = places.span(node.test)
        yield start, end, f"(not {places.source[start:end]})"


def swapped(op: ast.AST, left: ast.AST, right: ast.AST, places: Places):
    """The operator's opposite."""
    if type(op) in OPERATORS:
        old, new = OPERATORS[type(op)]
        yield (*places.between(left, right, old), new)


def other_constant(node: ast.Constant, places: Places) -> Iterator[Change]:
    """Another number; the other truth value. Texts stay."""
    start, end = places.span(node)
    if isinstance(node.value, bool):
        yield start, end, str(not node.value)
    elif isinstance(node.value, int):
        yield start, end, str(node.value + 1)
    elif isinstance(node.value, float):
        yield start, end, repr(node.value * 2 if node.value else 1.0)


def is_python(source: str) -> bool:
    """Whether a source can be compiled at all."""
    try:
        compile(source, "mutant", "exec")
        list(tokenize.generate_tokens(io.StringIO(source).readline))
    except (SyntaxError, tokenize.TokenError):
        return False
    return True


def draw(pools: dict[str, list[Mutant]], count: int, seed: int) -> list[Mutant]:
    """``count`` mutants, of each module a share by its size, and at least two."""
    total = sum(map(len, pools.values()))
    chosen = []
    for module, pool in pools.items():
        share = min(len(pool), max(2, round(count * len(pool) / total)))
        chosen += random.Random(f"{seed} {module}").sample(pool, share)
    return sorted(chosen, key=lambda each: (each.module, each.start, each.new))


# ------------------------------------------------------------------- the running


class Replaced(importlib.abc.MetaPathFinder):
    """Finds the text of one module in another file."""

    def __init__(self, name: str, path: Path):
        self.name, self.path = name, path

    def find_spec(self, name, path=None, target=None):
        """The spec of the replacement."""
        if name == self.name:
            return importlib.util.spec_from_file_location(name, self.path)
        return None


def preload() -> None:
    """Import what takes long, and run nothing: a fork must start without threads."""
    import hypothesis  # noqa: F401
    import pytest  # noqa: F401
    import scipy.stats  # noqa: F401
    import sklearn.datasets  # noqa: F401

    sys.path.insert(0, str(PACKAGE.parent))  # not another copy that is installed
    import advanced_keras  # noqa: F401


def start(name: str, source: str, tests: list[Path], folder: Path) -> int:
    """Fork a process that runs the tests on a module with this text; its id."""
    path = folder / f"{name.replace('.', '-')}.py"
    path.write_text(source, encoding="utf-8")
    child = os.fork()
    if child:
        return child
    status = 99
    try:
        os.setsid()
        sink = os.open(os.devnull, os.O_WRONLY)
        os.dup2(sink, 1)
        os.dup2(sink, 2)
        sys.meta_path.insert(0, Replaced(name, path))
        status = run_tests(tests)
    finally:
        os._exit(status)


def run_tests(tests: list[Path]) -> int:
    """Run test files until the first failure, without what pytest keeps on disk."""
    import pytest

    options = "-x -q --hypothesis-seed=0 --assert=plain -p no:cacheprovider".split()
    return int(pytest.main([*options, *map(str, tests)]))


def wait(child: int, seconds: float) -> int | None:
    """The status of a child; None if it took too long and was ended."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.05)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return None


def judge(module: str, source: str, limit: float) -> tuple[str, float]:
    """``killed``, ``survived`` or ``timeout``, and the seconds that it took."""
    name = "advanced_keras." + module.replace("/", ".")
    tests = [ROOT / "tests" / f"test_{each}.py" for each in TESTED_BY[module]]
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        child = start(name, source, tests, Path(folder))
        status = wait(child, limit)
    verdict = {0: "survived", None: "timeout"}.get(status, "killed")
    return verdict, time.monotonic() - began


class Judges:
    """Judges mutants; first makes sure that the tests pass on the unbroken module."""

    def __init__(self, sources: dict[str, str], patience: float):
        self.sources, self.patience = sources, patience
        self.seconds: dict[tuple[str, ...], float] = {}

    def limit(self, module: str) -> float:
        """Seconds for a mutant: three times what the unbroken module takes, and more.

        Raises:
            RuntimeError: if the tests fail without a change.
        """
        tests = tuple(TESTED_BY[module])
        if tests not in self.seconds:
            verdict, seconds = judge(module, self.sources[module], self.patience)
            if verdict != "survived":
                raise RuntimeError(f"the tests of {module} fail on it as it is")
            print(f"{module}: unbroken, {seconds:.0f} s", flush=True)
            self.seconds[tests] = seconds
        return 3 * self.seconds[tests] + 60

    def __call__(self, mutant: Mutant) -> tuple[str, float]:
        """The verdict on a mutant, and the seconds that it took."""
        limit = self.limit(mutant.module)
        return judge(mutant.module, mutant.apply(self.sources[mutant.module]), limit)


# -------------------------------------------------------------------- the report


def report(rows: Iterable[tuple[str, str]], pools: dict, about: str) -> str:
    """The page: a table by module, then the survivors with what is known of them."""
    rows = list(rows)
    notes = json.loads(NOTES.read_text(encoding="utf-8")) if NOTES.exists() else {}
    survivors = [text for text, verdict in rows if verdict == "survived"]
    alike = [text for text in survivors if notes.get(text, "").startswith("equivalent")]
    killed = len(rows) - len(survivors)
    lines = [
        "# Mutation run",
        "",
        "Written by `make mutate`. Each mutant is one change in one mathematical "
        "module; it is killed if the tests of that module notice.",
        "",
        about,
        "",
        f"**{killed} of {len(rows)} killed: {killed / len(rows):.1%}.** "
        f"{len(alike)} of the {len(survivors)} survivors compute the same as the "
        "original; without them "
        f"{killed / max(len(rows) - len(alike), 1):.1%}.",
        "",
        "| module | possible | judged | killed |",
        "| --- | ---: | ---: | ---: |",
    ]
    for module, pool in pools.items():
        mine = [verdict for text, verdict in rows if text.split(":")[0] == module]
        if mine:
            dead = sum(verdict != "survived" for verdict in mine)
            lines.append(f"| {module} | {len(pool)} | {len(mine)} | {dead} |")
    lines += ["", "## Survivors", ""]
    for text in survivors:
        lines.append(f"- `{text}`  \n  {notes.get(text, 'not examined yet')}")
    return "\n".join(lines) + "\n"


def main(arguments: list[str] | None = None) -> int:
    """Draw, run, report; fails below the target."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=160, help="mutants in all")
    parser.add_argument("--seed", type=int, default=0, help="of the drawing")
    parser.add_argument("--only", nargs="*", help="modules, such as gan/losses")
    parser.add_argument("--patience", type=float, default=1200, help="seconds unbroken")
    parser.add_argument("--target", type=float, default=0.85, help="share to kill")
    parser.add_argument("--again", type=Path, help="only the survivors in this log")
    parser.add_argument("--log", type=Path, help="a line for each verdict as it comes")
    chosen = parser.parse_args(arguments)
    modules = chosen.only or list(TESTED_BY)
    sources = {
        each: (PACKAGE / f"{each}.py").read_text(encoding="utf-8") for each in TESTED_BY
    }
    pools = {
        module: [m for m in mutants_of(module, text) if is_python(m.apply(text))]
        for module, text in sources.items()
    }
    drawn = draw(pools, chosen.count, chosen.seed)  # the same with and without --only
    drawn = [mutant for mutant in drawn if mutant.module in modules]
    known = dict(read_log(chosen.again)) if chosen.again else {}
    preload()
    judged_by = Judges(sources, chosen.patience)
    rows = []
    for mutant in drawn:
        source = sources[mutant.module]
        text = mutant.describe(source)
        verdict, seconds = known.get(text, ""), 0.0
        if verdict in ("", "survived"):
            verdict, seconds = judged_by(mutant)
        rows.append((text, verdict))
        entry = f"{verdict}\t{seconds:.0f}\t{text}"
        print(entry, flush=True)
        if chosen.log:
            with chosen.log.open("a", encoding="utf-8") as log:
                log.write(entry + "\n")
    about = f"Seed {chosen.seed}; {len(drawn)} of {sum(map(len, pools.values()))}."
    if not chosen.only:
        REPORT.write_text(report(rows, pools, about), encoding="utf-8")
    share = sum(verdict != "survived" for _, verdict in rows) / len(rows)
    print(f"killed: {share:.1%}")
    return 0 if share >= chosen.target else 1


def read_log(path: Path) -> Iterator[tuple[str, str]]:
    """Texts and verdicts of an earlier run."""
    for line in path.read_text(encoding="utf-8").splitlines():
        verdict, _, text = line.split("\t", 2)
        yield text, verdict


if __name__ == "__main__":
    sys.exit(main())
