"""The back of the book: glossary, index, coverage, source notes, reference, exercises.

What a page promises is compared with what it is about: chapters, tests, the package.
"""

import ast
import doctest
import importlib
import pkgutil
import re
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from docutils import nodes
from sphinx import addnodes

import advanced_keras

ROOT = Path(__file__).resolve().parents[1]
BOOK = ROOT / "book"
sys.path.insert(0, str(BOOK / "_ext"))

import gathered  # noqa: E402
import notebooks  # noqa: E402
import printed  # noqa: E402
import reference  # noqa: E402

PAGES = {
    p.relative_to(BOOK).with_suffix("").as_posix(): p.read_text(encoding="utf-8")
    for p in sorted(BOOK.rglob("*.md"))
}
CHAPTERS = {name: text for name, text in PAGES.items() if "{code-cell}" in text}
LABELS = {"genindex"} | {
    label
    for text in PAGES.values()
    for label in re.findall(
        r"^\(([\w-]+)\)=$|^:(?:label|name): (\S+)$|^ +name: (\S+)$",
        text,
        flags=re.MULTILINE,
    )
    for label in label
    if label
}


def roles(text, name):
    """What stands in a role, without the words that are shown in its place."""
    found = re.findall(rf"\{{{name}\}}`([^`]+)`", text)
    return [re.sub(r"^.*<(.*)>$", r"\1", each) for each in found]


def rows(text):
    """The rows of all tables of a page, without their headings."""
    found = []
    for table in re.findall(r"```\{list-table\}\n.*?\n\n(.*?)\n```", text, re.DOTALL):
        cells = re.split(r"^(?:\* |  )- ", table, flags=re.MULTILINE)[1:]
        width = len(re.split(r"^\* - ", table, flags=re.MULTILINE)[1].split("\n  - "))
        lines = [cells[i : i + width] for i in range(0, len(cells), width)]
        found += [[cell.strip() for cell in line] for line in lines[1:]]
    return found


def exists(page, target):
    """Whether a link to a page leads somewhere."""
    name = target.removeprefix("/book/")
    return name in PAGES or f"{Path(page).parent}/{name}".removeprefix("./") in PAGES


# ------------------------------------------------------------------- coverage

# The headings of the notes, in their order.
NOTES = """\
Advanced Keras: motivation
Functional model: the basics, illustrated by the Transformer
First model: the Encoder side of the Transformer
Second model: The Decoder side of the Transformer
Third model: the full Transformer -- Encoder + Decoder
Note: Where does "Teacher Forcing" happen ?
Summary
Model specialization
Custom loss (passing in a loss function)
Custom train step (override `train_step`)
`Layer` specialization
Studying advanced models
Transformer: Custom layers, Skip connections, Layer Norm
Custom layers: subtle point
Other custom layers of interest
VAE: Custom Model -- Custom Layer, Training Loop, the Gradient Tape
Visualizing what CNN's learn: Gradient Ascent and the Gradient Tape
Factor Models and Autoencoders: Threading
Threading
Neural Style Transfer: Feature extractor, Training Loop
Autoencoder: Functional model
GAN
Custom `train_step`
`Conv2DTranspose`: Inverting a Convolution
Wasserstein GAN with Gradient Penalty
""".splitlines()


def test_every_section_of_the_notes_is_covered():
    page = PAGES["coverage"]
    assert re.findall(r"^## (.*)$", page, flags=re.MULTILINE) == NOTES
    for section in re.split(r"^## ", page, flags=re.MULTILINE)[1:]:
        assert rows(section), section


def test_every_point_of_the_notes_leads_into_a_chapter():
    points = rows(PAGES["coverage"])
    assert len(points) > 120
    for point, places in points:
        labels, chapters = roles(places, "ref"), roles(places, "doc")
        assert labels, point
        assert set(chapters) <= set(CHAPTERS), point
        for label in labels:
            homes = [c for c in CHAPTERS if f"\n({label})=\n" in CHAPTERS[c]]
            assert len(homes) == 1 and homes[0] in chapters, (point, label)


def test_every_chapter_but_the_one_that_goes_further_is_covered():
    named = set(roles(PAGES["coverage"], "doc")) & set(CHAPTERS)
    assert set(CHAPTERS) - named == {"distributed_step"}


# ---------------------------------------------------------------------- links


@pytest.mark.parametrize("page", PAGES)
def test_labels_pages_and_words_exist(page):
    text = re.sub(r"^```\{code-cell\}.*?^```$", "", PAGES[page], flags=re.M | re.S)
    assert [t for t in roles(text, "ref") if t not in LABELS] == []
    assert [t for t in roles(text, "doc") if not exists(page, t)] == []
    assert [t for t in roles(text, "term") if t not in glossary()] == []


def test_labels_are_given_once():
    found = re.findall(r"^\(([\w-]+)\)=$", "\n".join(PAGES.values()), re.MULTILINE)
    assert sorted(label for label in set(found) if found.count(label) > 1) == []


# ------------------------------------------------------------------- glossary


def glossary():
    """Words of the glossary, with what they mean."""
    block = re.search(r"```\{glossary\}\n(.*?)\n```", PAGES["glossary"], re.DOTALL)[1]
    return dict(re.findall(r"^(\S.*)\n {2}(.*)$", block, flags=re.MULTILINE))


def test_the_glossary_is_in_order_and_short():
    words = list(glossary())
    assert len(words) >= 90
    assert words == sorted(words, key=str.lower)
    for word, meaning in glossary().items():
        prose = re.sub(r" See \{doc\}.*$", "", meaning)
        assert len(re.findall(r"[.?!](?:\s|$|\))", prose)) <= 4, word
        assert meaning.endswith((".", ")")), word


def test_chapters_link_to_the_glossary_and_the_index_leads_into_them():
    for name, text in CHAPTERS.items():
        assert len(roles(text, "term")) >= 2, name
        assert len(roles(text, "index")) + len(roles(text, "indexed")) >= 4, name
        cells = re.findall(r"```\{code-cell\}.*?```", text, flags=re.DOTALL)
        assert not re.search(r"\{(term|index|indexed|py:obj)\}`", "".join(cells)), name


def test_the_index_has_a_useful_size():
    marks = [roles(t, "index") + roles(t, "indexed") for t in CHAPTERS.values()]
    assert 150 <= sum(map(len, marks)) <= 400


# --------------------------------------------------------------- bibliography


def test_every_reference_is_cited_and_every_citation_has_its_reference():
    keys = re.findall(r"^@\w+\{([^,]+),", (BOOK / "references.bib").read_text(), re.M)
    cited = {
        key.strip()
        for text in PAGES.values()
        for entry in re.findall(r"\{cite(?::\w+)?\}`([^`]+)`", text)
        for key in entry.split(",")
    }
    assert len(keys) == len(set(keys))
    assert set(keys) == cited


# --------------------------------------------------------------- source notes

# Each erratum that is known, by words of its row.
ERRATA = {
    "positions-not-causal": "positional embedding is added",
    "input-layer": "inputs and outputs are of type `Layer`",
    "missing-arrow": "no arrow from the encoder states",
    "causal-index": "where $t > (t-1)$",
    "cross-attention-padding": "Padding the source changes",
    "gan-labels": "labels of the code are 1 for generated",
    "generator-loss": "$G$ is a minimizer",
    "conv-transpose": "`Conv2DTranspose` inverts a convolution",
    "kernel-shape": r"$\W_\beta$ has the shape",
    "threading-output": "output of threading",
    "dot-axes": "`Dot(axes=(2, 1))`",
    "loss-signature": "loss function has the signature",
    "factor-minibatch": '"Minibatch"',
    "key-dim": "`key_dim=embed_dim`",
    "translation-tile": "does not build on Keras 3.13",
    "translation-declared": "The decoder can't be drawn",
    "translation-swapped": "translates in the wrong direction",
    "translation-pad-rows": "Padded query rows see",
    "translation-accuracy": "The reported accuracy and the loss",
    "translation-length": "sentence that is too long",
    "translation-registered": "without `custom_objects`",
    "translation-slow": "slow to train",
    "translation-probabilities": "Confident mistakes stop",
    "translation-decoding": "Translating one sentence",
    "vae-no-call": "`evaluate`, `predict`, `validation_data`",
    "vae-save": "`save` raises an error",
    "vae-fit-y": "`fit(x, y)` fails",
    "vae-bfloat16": "fails under `mixed_bfloat16`",
    "vae-probabilities": "A confident wrong pixel",
    "vae-draws-at-inference": "Two calls of `predict` differ",
    "vae-seed": "Two `Sampling` layers",
    "gan-dropout": "Dropout never drops",
    "gan-label-noise": "The discriminator's loss goes below 0",
    "gan-optimizer": "A learning-rate callback",
    "gan-rest-of-keras": "`metrics` before `compile` raises",
    "wgan-normal": "Two thirds of the points",
    "wgan-nan": "All weights become NaN",
    "wgan-last-batch": "The logged losses jump",
    "wgan-statistics": "moving averages move four times",
    "wgan-dropout": "critic that drops units",
    "wgan-bfloat16": "fails under `mixed_bfloat16`",
    "panel-filler": "worse than predicting 0",
    "panel-folds": "The scores by which units",
    "panel-raw-returns": "One ticker's filler",
    "panel-epochs": "24 times too long",
    "style-recomputed": "takes three times as long",
    "features-retraced": "warns of retracing",
}


@pytest.mark.parametrize("erratum", ERRATA)
def test_every_known_erratum_has_its_row(erratum):
    words = ERRATA[erratum]
    found = [row for row in rows(PAGES["source_notes"]) if words in row[0]]
    assert len(found) == (2 if "bfloat16" in words else 1)


def test_every_row_of_the_source_notes_leads_to_its_check():
    for symptom, _, places in rows(PAGES["source_notes"]):
        checks = roles(places, "checked")
        assert checks or roles(places, "doc") or roles(places, "ref"), symptom
        for check in checks:
            file, _, name = check.partition("::")
            if name:
                known = gathered.defined_tests(ROOT / "tests" / f"{file}.py")
                assert name in known, check
            else:
                assert (ROOT / "benchmarks" / f"{file}.py").exists(), check


# ------------------------------------------------------------------ reference


def public_modules():
    """All modules of the package whose names are public, those of packages excepted.

    What a package has in ``__all__`` is listed under the package.
    """
    found = []
    for module in pkgutil.iter_modules(advanced_keras.__path__):
        if module.name == "data":
            inside = pkgutil.iter_modules([f"{advanced_keras.__path__[0]}/data"])
            found += [f"data.{each.name}" for each in inside]
        elif not module.name.startswith("_"):
            found.append(module.name)
    return found


def test_every_module_has_its_page_and_its_line():
    listed = [
        name
        for page, text in PAGES.items()
        if page.startswith("api/")
        for name in re.findall(r"automodule:: advanced_keras\.(\S+)", text)
    ]
    assert sorted(listed) == sorted(public_modules())
    for module in public_modules():
        path = ROOT / "code" / "advanced_keras" / module.replace(".", "/")
        path = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
        first = ast.get_docstring(ast.parse(path.read_text())).split("\n")[0]
        assert first.split(";")[0].rstrip(".") in PAGES["api"], module
        assert f"`{module} <api/" in PAGES["api"], module


@pytest.mark.parametrize("page", [p for p in PAGES if p.startswith("api/")])
def test_reference_and_chapters_point_at_each_other(page):
    named = [t.removeprefix("/book/") for t in roles(PAGES[page], "doc")]
    chapters = [c for c in named if c in CHAPTERS]
    alone = page in ("api/data", "api/display", "api/progress")
    assert chapters or alone
    back = [c for c in chapters if f"{{doc}}`{page}`" in PAGES[c]]
    assert back or alone or page in ("api/scores", "api/widgets")


def test_links_to_the_package_name_what_is_public():
    for page, text in PAGES.items():
        for target in roles(text, "py:obj"):
            module, _, name = target.lstrip("~").rpartition(".")
            found = importlib.import_module(module)
            assert hasattr(found, name), (page, target)
            assert name in getattr(found, "__all__", [name]), (page, target)


def test_docstrings_become_what_autodoc_reads():
    lines = ["Do it.", "", "Args:", "    n: H.", "    x: `(B, T)`.", ""]
    lines += ["Returns:", "    The pair ``(a, b)``: both are |y|.", ""]
    reference.read(SimpleNamespace(config=None), "method", "m.C.f", None, None, lines)
    text = "\n".join(lines)
    assert ":param n: \\H." in text  # no list that begins with H
    assert "``(B, T)``" in text
    assert ":returns: The pair ``(a, b)``: both are \\|y\\|." in text


def test_examples_in_docstrings_are_code_to_the_letter():
    example = ">>> f(**x, a=|y|)\n(`1`, $2$)"
    read = reference.marked_up(f"Of **x.\n\n{example}\n\nAnd |y|.")
    assert read == f"Of \\*\\*x.\n\n{example}\n\nAnd \\|y\\|."


def test_a_short_table_is_printed_in_one_piece_and_a_long_one_is_not():
    left = r">{\raggedright\arraybackslash}p{0.3\linewidth}"
    right = r">{\raggedleft\arraybackslash}p{0.1\linewidth}"
    head = (
        rf"\begin{{longtable}}{{@{{}}{left}{right}@{{}}}}" + "\nn & m \\\\\n\\endhead\n"
    )
    tail = "\\end{longtable}"
    short = printed.in_one_piece(head + "a & 1 \\\\\n" + tail)
    assert "longtable" not in short and "endhead" not in short
    assert r"\begin{tabulary}{\linewidth}{@{}LR@{}}" in short
    long = head + "a & 1 \\\\\n" * printed.SHORT + tail
    assert printed.in_one_piece(long) == long


@pytest.mark.parametrize("module", [gathered, notebooks, printed, reference])
def test_examples_of_the_extensions(module):
    assert doctest.testmod(module).failed == 0


def test_a_member_is_named_on_paper_and_told_on_the_site():
    def described(kind, name, *inside):
        signature = addnodes.desc_signature("", "", addnodes.desc_name("", name))
        content = addnodes.desc_content("", *inside)
        return addnodes.desc("", signature, content, objtype=kind)

    says = [nodes.paragraph("", "What it is for.")]
    layer = described(
        "class",
        "Layer",
        *says,
        addnodes.index(entries=[]),
        described("method", "call", nodes.paragraph("", "Do it.")),
        described("property", "rank", nodes.paragraph("", "How many.")),
    )
    content = layer.next_node(addnodes.desc_content)
    reference.name_members(content)
    words = [child.astext() for child in content.children]
    assert words == ["What it is for.", "Members: call, rank."]
    reference.name_members(content)
    assert len(content.children) == 2


def test_a_module_does_not_name_its_chapter_twice():
    lines = ["A tape.", "", "Chapter: *A custom", "train step*. More.", ""]
    assert "\n".join(reference.without_chapter(lines)).split() == [
        "A",
        "tape.",
        "More.",
    ]


def test_chapters_of_a_name_are_those_that_import_or_show_it():
    assert reference.chapters_of()["advanced_keras.gan", "GAN"] == ["gan", "wgan_gp"]
    code = "from advanced_keras.gan import (\n    GAN,\n    observe as look,\n)\n"
    names = {("advanced_keras.gan", "GAN"), ("advanced_keras.gan", "observe")}
    assert reference.imports(code) == names
    shown = (
        "{literalinclude} ../code/advanced_keras/gan/model.py\n:pyobject: GAN.judge\n"
    )
    assert reference.shown(shown) == {("advanced_keras.gan.model", "GAN")}


def test_private_bases_are_passed_over():
    class Public:
        pass

    class _Private(Public):
        pass

    class Mine(_Private):
        pass

    assert reference.public_bases(Mine) == [Public]


# ------------------------------------------------------------------ exercises


def test_an_exercise_begins_with_a_sentence_that_says_something():
    short = nodes.paragraph(
        "", "", nodes.Text("Why? Because the mask of it is gone. No.")
    )
    begin = gathered.beginning(short)
    assert "".join(n.astext() for n in begin) == short.astext()
    long = "A sentence that is long enough to stand for all that follows after it."
    text = nodes.paragraph("", "", nodes.Text(f"{long} The rest is left out."))
    assert [n.astext() for n in gathered.beginning(text)] == [long]


def test_the_beginning_of_an_exercise_has_no_ids_and_no_citations():
    word = nodes.emphasis("", "loss", ids=["id4"])
    source = addnodes.pending_xref("", nodes.Text("Who"), refdomain="cite")
    text = nodes.paragraph("", "", nodes.Text("Write the "), word, source)
    begin = gathered.beginning(text)
    assert [n.astext() for n in begin] == ["Write the ", "loss"]
    assert begin[1]["ids"] == [] and word["ids"] == ["id4"]


def test_every_exercise_of_the_book_is_solved():
    text = "\n".join(CHAPTERS.values())
    exercises = re.findall(r"^:label: (ex-\S+)", text, flags=re.MULTILINE)
    solutions = re.findall(r"\{solution(?:-start)?\} (ex-\S+)", text)
    assert sorted(exercises) == sorted(solutions)
    assert len(exercises) > 50


# ------------------------------------------------------------------ notebooks


def test_notebooks_have_no_marks_of_the_back():
    for text in CHAPTERS.values():
        for cell in notebooks.plain(text).cells:
            if cell.cell_type == "markdown":
                marks = r"\{(term|index|indexed|py:obj)\}|^\([\w-]+\)=$"
                assert not re.search(marks, cell.source, flags=re.MULTILINE)
