"""What the back of the book gathers: exercises, entries of the index, and tests.

All exercises stand on one page, in the order of the book, each with its solution.
"""

from __future__ import annotations

import re
from pathlib import Path

from docutils import nodes
from sphinx import addnodes
from sphinx.transforms.post_transforms import SphinxPostTransform
from sphinx.util.docutils import SphinxDirective, SphinxRole
from sphinx.util.nodes import process_index_entry
from sphinx_exercise.nodes import is_exercise_node, is_solution_node

from status import contents, kept, link

ROOT = Path(__file__).resolve().parents[2]
SENTENCE = re.compile(r".*?[.?!](?=\s|$)", re.DOTALL)
ENOUGH = 60  # letters; a shorter first sentence gets company


class exercise_list(nodes.General, nodes.Element):
    """The place of the list."""


class ExercisesDirective(SphinxDirective):
    """``{exercises}``: the list of all exercises and solutions."""

    def run(self):
        return [exercise_list("")]


def beginning(paragraph: nodes.paragraph) -> list[nodes.Node]:
    """The nodes of a paragraph up to the end of its first sentence, or a later one."""
    found: list[nodes.Node] = []
    length = 0
    for child in paragraph.children:
        if isinstance(child, addnodes.index | nodes.target) or is_citation(child):
            continue
        text = child.astext()
        ends = [match.end() for match in SENTENCE.finditer(text)]
        ends = [end for end in ends if length + end >= ENOUGH]
        if isinstance(child, nodes.Text) and ends:
            return [*found, nodes.Text(text[: ends[0]])]
        copy = child.deepcopy()
        for node in copy.findall(nodes.Element):
            node["ids"] = []  # the page of the exercise has them
            if isinstance(node, addnodes.pending_xref):
                node["refdoc"] = "book/solutions"  # its links start from there
        found.append(copy)
        length += len(text)
    return found


def is_citation(node: nodes.Node) -> bool:
    """Whether a node is a citation, which belongs to the page of the exercise."""
    return isinstance(node, addnodes.pending_xref) and node["refdomain"] == "cite"


def collect(app, doctree):
    """Keep what the page needs of a chapter: labels, and how each exercise begins."""
    env = app.env
    solved = {n["target_label"]: n["label"] for n in doctree.findall(is_solution_node)}
    rows = []
    for node in doctree.findall(is_exercise_node):
        begin = node.next_node(nodes.paragraph)
        said = beginning(begin) if begin is not None else []
        rows.append((node["label"], solved.get(node["label"]), said))
    if rows:
        kept(env, "exercises")[env.docname] = rows


def to(label: str, words: str | None = None) -> addnodes.pending_xref:
    """A link to a label, which shows its number if no words are given."""
    return addnodes.pending_xref(
        "",
        nodes.inline("", words or label, classes=["std", "std-ref"]),
        refdoc="book/solutions",
        refdomain="std",
        reftype="ref" if words else "numref",
        reftarget=label,
        refexplicit=bool(words),
        refwarn=True,
    )


def anchor(label: str) -> str:
    """The id of the solution of an exercise; its own has a slash, which scripts refuse.

    >>> anchor("ex-gan-order")
    'solution-gan-order'
    """
    return f"solution-{label.removeprefix('ex-')}"


def entry(label, said, solution) -> nodes.list_item:
    """One exercise: its number, its beginning, and a link to its solution."""
    line = nodes.paragraph("", "", to(label), nodes.Text(": "), *said)
    line += [nodes.Text(" "), solution, nodes.Text(".")]
    return nodes.list_item("", line)


class SolutionIds(SphinxPostTransform):
    """On a page, a solution has an id by which it can be linked."""

    default_priority = 24
    formats = ("html",)

    def run(self, **kwargs):
        for node in self.document.findall(is_solution_node):
            node["ids"].append(anchor(node["target_label"]))


class FillExercises(SphinxPostTransform):
    """Put the list in place, once all pages are read."""

    default_priority = 3  # before references are resolved, here and in sphinx-exercise

    def run(self, **kwargs):
        found = kept(self.env, "exercises")
        for node in list(self.document.findall(exercise_list)):
            parts = []
            for docname in contents(self.env):
                if docname in found:
                    rows = [
                        entry(label, said, self.link(docname, label, solution))
                        for label, solution, said in found[docname]
                    ]
                    parts.append(nodes.paragraph("", "", link(docname)))
                    parts.append(nodes.bullet_list("", *rows, bullet="-"))
            node.replace_self(parts)
            # A page without formulas of its own is not given the script that sets them.
            self.env.get_domain("math").data["has_equations"][self.env.docname] = True

    def link(self, docname, label, solution):
        """A link to the solution of an exercise."""
        if self.app.builder.format != "html":
            return to(solution, "Solution")
        page = self.app.builder.get_relative_uri(self.env.docname, docname)
        words = nodes.Text("Solution")
        address = f"{page}#{anchor(label)}"
        return nodes.reference(
            "", "", words, internal=True, refuri=address, classes=["ak-paged"]
        )


class PrintedNumbers(SphinxPostTransform):
    """On paper, the number of an exercise in another chapter.

    Sphinx-exercise leaves the number to LaTeX there, which does not know it.
    """

    default_priority = 23  # after sphinx-exercise
    formats = ("latex",)

    def run(self, **kwargs):
        registry = getattr(self.env, "sphinx_exercise_registry", {})
        for node in list(self.document.findall(addnodes.number_reference)):
            label = node.get("refuri", "").rpartition("#")[2]
            if label in registry and is_exercise_node(registry[label]["node"]):
                known = self.env.toc_fignumbers[registry[label]["docname"]]
                number = ".".join(map(str, known["exercise"][label]))
                words = self.config.numfig_format["exercise"] % number
                link = rf"\hyperref[exercise:{label}]{{{words}}}"
                node.replace_self(nodes.raw("", link, format="latex"))


class IndexedRole(SphinxRole):
    """``{indexed}`entry```: an entry of the index, and no text.

    Sphinx's own ``{index}`` takes plain words into the text; what is code there, or
    mathematics, gets its entry in this way.
    """

    def run(self):
        name = f"index-{self.env.new_serialno('index')}"
        target = nodes.target("", "", ids=[name])
        self.inliner.document.note_explicit_target(target)
        index = addnodes.index(entries=process_index_entry(self.text, name))
        self.set_source_info(index)
        return [index, target], []


def defined_tests(path: Path) -> set[str]:
    """Names of the test functions of a file."""
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    return set(re.findall(r"^def (test_\w+)", text, flags=re.MULTILINE))


class CheckedRole(SphinxRole):
    """``{checked}`test_gan::test_it_learns```: a test, or a benchmark, that shows it.

    The name of a test reads as a sentence, and is written as one. What does not exist
    is an error of the build.
    """

    def run(self):
        file, _, name = self.text.partition("::")
        if file.startswith("bench_"):
            known = not name and (ROOT / "benchmarks" / f"{file}.py").exists()
        else:
            known = name in defined_tests(ROOT / "tests" / f"{file}.py")
        if not known:
            where = f"{self.text!r} is no test and no benchmark of this book."
            message = self.inliner.reporter.warning(where, line=self.lineno)
            return [], [message]
        shown = [nodes.literal("", file)]
        if name:
            sentence = name.removeprefix("test_").replace("_", " ")
            shown.append(nodes.Text(f" ({sentence})"))
        return shown, []


def _again(app, env):
    """The page is written anew when an exercise of any chapter may have changed."""
    return [d for d in env.found_docs if d.endswith("/solutions")]


def flat_contents(app, config):
    """Pages below a page of the back are reached from it, not from the contents.

    The theme would fold them there behind a button without a name.
    """
    config.html_theme_options = {**config.html_theme_options, "max_navbar_depth": 1}


def setup(app):
    """Connect to Sphinx."""
    app.connect("config-inited", flat_contents)
    app.add_node(exercise_list)
    app.add_directive("exercises", ExercisesDirective)
    app.add_role("indexed", IndexedRole())
    app.add_role("checked", CheckedRole())
    app.add_post_transform(FillExercises)
    app.add_post_transform(PrintedNumbers)
    app.add_post_transform(SolutionIds)
    app.connect("doctree-read", collect)
    app.connect("env-updated", _again)
    return {"version": "1", "env_version": 3, "parallel_read_safe": False}
