"""What is committed: complete, in one style, without addresses of package indexes."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from sphinx.util import parselinenos

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "book" / "_ext"))

import house  # noqa: E402
from advanced_keras.display import PALETTE  # noqa: E402

CHAPTERS = sorted((ROOT / "book").glob("*.md"))
# Words that have only the form in -ise; of any other word ours is the one in -ize.
NEVER_IZE = set(
    """advertise advise appraise bruise chastise circumcise compromise
    comprise concise demise despise devise disguise enterprise excise exercise
    expertise franchise improvise incise liaise merchandise paradise practise
    praise precise imprecise premise promise revise supervise unsupervise
    surprise televise treatise turquoise""".split()
)
ISE = re.compile(r"([A-Z]?[a-z]*is)(?:e|es|ed|ing|ers?|ations?)(?![a-z])")
TESTED_AS = {
    "functional_model": "test_tracing",
    "transformer_models": "test_transformer",
    "teacher_forcing": "test_translation",
    "custom_loss": "test_losses",
    "custom_train_step": "test_training",
    "distributed_step": "test_distributed",
    "custom_layers": "test_layers",
    "dense_threading": "test_dense_threading",
    "conv_transpose": "test_conv_transpose",
    "attention": "test_blocks",
    "autoencoder": "test_autoencoder",
    "vae": "test_vae",
    "gan": "test_gan",
    "wgan_gp": "test_wgan_gp",
    "feature_visualization": "test_feature_visualization",
    "style_transfer": "test_style_transfer",
    "factor_models": "test_factor_models",
}


def toc_pages():
    toc = yaml.safe_load((ROOT / "_toc.yml").read_text())
    chapters = [c for part in toc["parts"] for c in part["chapters"]]
    sections = [s for c in chapters for s in c.get("sections", [])]
    return [toc["root"], *(entry["file"] for entry in [*chapters, *sections])]


def tracked():
    names = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split("\0")
    return [ROOT / name for name in names if name and (ROOT / name).is_file()]


def test_toc_and_pages_agree():
    pages = (ROOT / "book").rglob("*.md")
    assert {str(p.relative_to(ROOT).with_suffix("")) for p in pages} == set(toc_pages())


def test_lock_is_hashed_universal_and_without_addresses():
    lock = (ROOT / "requirements.lock").read_text()
    assert "://" not in lock and "--index" not in lock and "--find-links" not in lock
    pins = re.findall(r"^[A-Za-z0-9._-]+==\S+.*(?:\n    .*)*", lock, flags=re.MULTILINE)
    assert len(pins) > 50
    assert all("--hash=sha256:" in pin for pin in pins)
    assert "sys_platform" in lock


def test_no_package_index_is_named():
    # Joined here, so that this file names none of the hosts either.
    hosts = [".".join(("pypi", "org")), "".join(("python", "hosted"))]
    hosts.append(".".join(("registry", "npmjs")))
    pattern = re.compile("|".join(["index[-]url", *map(re.escape, hosts)]))
    assert all(map(pattern.search, ["-".join(("index", "url")), *hosts]))
    for path in tracked():
        if path.suffix in {".png", ".svg"}:
            continue
        text = path.read_text(encoding="utf-8")
        for line in text.splitlines():
            allowed = "no-emit-index-url" in line
            assert allowed or not pattern.search(line), f"{path}: {line}"


def in_ise(text):
    """The words of ``text``, inside of names too, that are written -ise, not -ize."""
    for found in ISE.finditer(text):
        stem = found[1].lower() + "e"
        regular = stem.endswith(("noise", "wise")) or stem in NEVER_IZE
        if not regular and len(stem) > 5:  # shorter: arise, raise, rise, wise
            yield found[0]


def test_one_spelling_is_told_from_the_other():
    ours = "StuckNoise noisiest likewise raising exercises denoiser minimize analysed"
    theirs = ["minim" + "ise", "Special" + "ising", "normal" + "isation"]
    assert not list(in_ise(ours))
    assert list(in_ise(f"{ours} {' '.join(theirs)}")) == theirs


def test_one_spelling_throughout():
    """-ize where a word has both forms; titles of papers stay as they were given."""
    for path in tracked():
        if path.suffix not in {".png", ".svg", ".bib", ".lock"}:
            words = list(in_ise(path.read_text(encoding="utf-8")))
            assert not words, f"{path}: {words}"


def test_no_large_files():
    for path in tracked():
        assert path.stat().st_size < 1_000_000, path


@pytest.mark.parametrize("chapter", CHAPTERS, ids=lambda c: c.stem)
def test_figures_have_alternative_texts(chapter):
    text = chapter.read_text(encoding="utf-8")
    assert "![](" not in text
    for block in re.findall(r"```\{(?:figure|image)\}.*?```", text, flags=re.DOTALL):
        assert re.search(r"^:alt: \S.{20,}", block, flags=re.MULTILINE), block


@pytest.mark.parametrize("name", sorted(TESTED_AS))
def test_chapter_has_its_tests_and_exercises(name):
    assert (ROOT / "tests" / f"{TESTED_AS[name]}.py").exists()
    text = (ROOT / "book" / f"{name}.md").read_text(encoding="utf-8")
    exercises = set(re.findall(r"^:label: (ex-\S+)", text, flags=re.MULTILINE))
    solutions = set(re.findall(r"\{solution(?:-start)?\} (ex-\S+)", text))
    assert len(exercises) >= 3
    assert exercises == solutions


@pytest.mark.parametrize("chapter", CHAPTERS, ids=lambda c: c.stem)
def test_code_fits_the_column(chapter):
    text = chapter.read_text(encoding="utf-8")
    for cell in re.findall(r"```\{code-cell\}.*?```", text, flags=re.DOTALL):
        code = re.split(r"\n---\n|\n\n", cell, maxsplit=1)[-1]
        if "hide-input" in cell or "remove-" in cell:
            continue
        for line in code.splitlines():
            assert len(line) <= 88, f"{chapter.stem}: {line}"


CUT_OUT = [
    (chapter.stem, *found)
    for chapter in CHAPTERS
    for found in re.findall(
        r"^```\{literalinclude\} (\S+)\n:pyobject: (\S+)\n(?::.*\n)*?:lines: (\S+)$",
        chapter.read_text(encoding="utf-8"),
        flags=re.MULTILINE,
    )
]


@pytest.mark.parametrize("chapter, path, name, lines", CUT_OUT)
def test_lines_cut_out_of_a_function_are_a_program(chapter, path, name, lines):
    """Who shortens a docstring must not move the lines that a chapter shows."""
    source = (ROOT / "book" / path).read_text(encoding="utf-8")
    (function,) = (
        node
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.FunctionDef) and node.name == name
    )
    whole = ast.get_source_segment(source, function).splitlines()
    chosen = parselinenos(lines, len(whole))
    shown = "\n".join(whole[number] for number in chosen)
    (cut,) = ast.parse(shown).body
    statements = [ast.dump(statement) for statement in function.body]
    assert ast.get_docstring(cut) is None
    assert [ast.dump(line) for line in cut.body] == statements[-len(cut.body) :]


def test_macros_serve_pages_and_paper():
    latex = house.latex_macros()
    for name, body in house.MACROS.items():
        assert rf"\csname {name}\endcsname" in latex
        assert body in latex


def test_palette_of_the_notation_page_is_that_of_the_figures():
    css = (ROOT / "book" / "_static" / "house.css").read_text(encoding="utf-8")
    colours = dict(
        re.findall(r"^\.ak-(\w+) \{ --colour: (#\w+); \}", css, re.MULTILINE)
    )
    assert colours == {role: colour.lower() for role, colour in PALETTE.items()}
    notation = (ROOT / "book" / "notation.md").read_text(encoding="utf-8")
    assert set(re.findall(r"\{\.ak-(\w+)\}", notation)) == set(PALETTE)


def test_times_are_said_in_words():
    assert house.in_words(0.2) == "1 s"
    assert house.in_words(41.4) == "41 s"
    assert house.in_words(83.0) == "1 min 23 s"


def test_stdlib_code_is_not_hidden():
    """``code/`` must not be a package, or the debugger loses the module ``code``."""
    assert not (ROOT / "code" / "__init__.py").exists()
    done = subprocess.run(
        [sys.executable, "-c", "import code; print(code.InteractiveConsole.__name__)"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.stdout.strip() == "InteractiveConsole"
