"""The reference of the package, from its docstrings, linked with the chapters.

Sphinx's autodoc finds the public names. Here the docstrings become what it reads (their
sections are those that Keras uses), each name says which chapters use it, and names in
them become links where the book has a target.
"""

from __future__ import annotations

import functools
import inspect
import re
from pathlib import Path
from typing import Any

import yaml
from docutils import nodes
from sphinx import addnodes
from sphinx.ext.napoleon import Config
from sphinx.ext.napoleon.docstring import GoogleDocstring
from sphinx.pycode import ModuleAnalyzer
from sphinx.transforms import SphinxTransform
from sphinx.transforms.post_transforms import SphinxPostTransform
from sphinx.util.inspect import stringify_signature
from sphinx.util.nodes import make_refnode

from fresh import code_of, is_chapter

ROOT = Path(__file__).resolve().parents[2]
CODE = ROOT / "code"

# Every layer and model of Keras has these; to list them again would say nothing.
KERAS_OWN = frozenset(
    "build get_config from_config compute_output_shape compute_output_spec "
    "get_build_config build_from_config get_compile_config compile_from_config "
    "save_own_variables load_own_variables".split()
)
PLACES = "Chapters:"
MANY = 5  # chapters; what more of them use is used nearly everywhere
LETTER = re.compile(r"^( +[\w*, ]+: )(?=[A-Za-z]{1,3}[.)](?:\s|$))", re.MULTILINE)
SECTIONS = Config(
    napoleon_use_rtype=False,
    napoleon_custom_sections=[("Call arguments", "params_style")],
)


# ---------------------------------------------------------------- docstrings


class Docstring(GoogleDocstring):
    """Sections as in Keras; what is returned is prose and names no type."""

    def _consume_returns_section(self, preprocess_types=False):
        lines = self._dedent(self._consume_to_next_section())
        return [("", "", lines)] if any(lines) else []


def marked_up(text: str) -> str:
    r"""A docstring as reStructuredText.

    One backtick means code in our docstrings, too, and dollars mathematics; a bar and
    stars are what they are.

    >>> marked_up("`x` of |y|, **z, `a`; :class:`GAN`, ``b``, $m/s$")
    '``x`` of \\|y\\|, \\*\\*z, ``a``; :class:`GAN`, ``b``, :math:`m/s`'
    >>> marked_up(">>> f(**x)")
    '>>> f(**x)'
    """
    shares = re.split(r"(^ *>>> .*(?:\n *\S.*)*)", text, flags=re.MULTILINE)
    shares[::2] = map(_marked_prose, shares[::2])  # an example is code to the letter
    return "".join(shares)


def _marked_prose(text: str) -> str:
    text = LETTER.sub(r"\1\\", text)
    text = re.sub(r"\$([^$`]+)\$", r":math:`\1`", text)
    parts = re.split(r"(``.+?``|:[\w:]+:`[^`]+`)", text, flags=re.DOTALL)
    for place in range(0, len(parts), 2):  # outside of markup that is finished
        inside = re.sub(r"`([^`\n]+)`", r"``\1``", parts[place])
        pieces = re.split(r"(``.+?``)", inside)
        pieces[::2] = [re.sub(r"\*\*(?=\w)|\|", escaped, p) for p in pieces[::2]]
        parts[place] = "".join(pieces)
    return "".join(parts)


def escaped(match: re.Match) -> str:
    """Each character of a match behind a backslash."""
    return "".join("\\" + c for c in match[0])


def without_chapter(lines: list[str]) -> list[str]:
    """The docstring of a module without the sentence that names its chapter.

    The page has it as a link.
    """
    text = "\n".join(lines)
    named = re.compile(r"; chapter `\w+`|Chapters?: .*?\.(?:\s|$)", re.DOTALL)
    return named.sub("", text, count=1).split("\n")


def read(app, what, name, obj, options, lines):
    """Turn a docstring into what autodoc parses, and add where the name is used."""
    if what == "module":
        lines[:] = without_chapter(lines)
    if what == "data":
        lines[:] = constant(name)
    lines[:] = marked_up("\n".join(lines)).split("\n")
    if what not in ("attribute", "data", "property"):  # these have no sections
        settings: Any = SECTIONS  # napoleon's own kind of settings, as it wants them
        made = Docstring(lines, settings, app, what, name, obj, options)
        lines[:] = made.lines()
    if what in ("function", "class", "data", "exception"):
        lines += ["", *origin(obj), "", *places(name), ""]


def constant(name: str) -> list[str]:
    """What stands below a constant, in the module of a package that defines it."""
    module, _, name = name.rpartition(".")
    folder = CODE.joinpath(*module.split("."))
    for path in [folder.with_suffix(".py"), *sorted(folder.glob("*.py"))]:
        if path.exists():
            inside = path.relative_to(CODE).with_suffix("").as_posix()
            analyzer = ModuleAnalyzer.for_file(str(path), inside.replace("/", "."))
            found = analyzer.find_attr_docs().get(("", name))
            if found:
                return list(found)
    return []


def origin(obj) -> list[str]:
    """A sentence that says what a class inherits from."""
    names = ", ".join(dict.fromkeys(map(reference, public_bases(obj))))
    return [f"Inherits from {names}."] if names else []


def public_bases(obj) -> list[type]:
    """The bases of a class; in the place of a private one, its own."""
    found: list[type] = []
    for base in getattr(obj, "__bases__", ()):
        private = base.__name__.startswith("_")
        found += public_bases(base) if private else [base]
    return [base for base in found if base is not object]


def reference(base: type) -> str:
    """A class as a link if it is ours, and else by the name that Keras gives it."""
    if base.__module__.startswith("advanced_keras."):
        return f":py:class:`~{page_of(base.__module__)}.{base.__name__}`"
    public = base.__dict__.get("_api_export_path", f"{base.__module__}.{base.__name__}")
    return f"``{public if isinstance(public, str) else public[-1]}``"


def places(name: str) -> list[str]:
    """A sentence that says which chapters use a name, unless nearly all do."""
    module, _, name = name.rpartition(".")
    found = chapters_of().get((module, name), [])
    if not 0 < len(found) <= MANY:
        return []
    return [f"{PLACES} " + ", ".join(f":doc:`/book/{c}`" for c in found) + "."]


def sign(app, what, name, obj, options, signature, returned):
    """The arguments of a layer; Keras hides them behind a ``__new__`` of its own."""
    if what == "class" and signature == "(*args, **kwargs)":
        arguments = inspect.signature(obj.__init__)
        _, *rest = arguments.parameters.values()
        plain = [p.replace(annotation=p.empty) for p in rest]
        signature = stringify_signature(arguments.replace(parameters=plain))
    return signature, returned


def skip(app, what, name, obj, skipped, options):
    """Leave out what every layer has, and fields that say only which they are."""
    alias = str(getattr(obj, "__doc__", "")).startswith("Alias for field number")
    return True if name in KERAS_OWN or alias else None


def resolve(app, env, node, contnode):
    """A short name in a docstring leads to the one object that has it."""
    target = node.get("reftarget", "")
    if node.get("refdomain") != "py":
        return None
    if target.split(".")[0] in ("keras", "tensorflow", "tf"):
        return contnode
    objects = env.get_domain("py").objects
    ends = [n for n in objects if n == target or n.endswith("." + target)]
    ends = [n for n in ends if not objects[n].aliased]
    if not ends and target.rpartition(".")[2] in defined():
        return contnode  # a name that its package keeps to itself
    if len(ends) != 1:
        return None
    found = objects[ends[0]]
    builder, here = app.builder, node["refdoc"]
    return make_refnode(builder, here, found.docname, found.node_id, contnode, ends[0])


@functools.cache
def defined() -> set[str]:
    """All that is defined anywhere in the package, public or not."""
    pattern = re.compile(r"^\s*(?:def|class) (\w+)|^(\w+) =", re.MULTILINE)
    texts = (path.read_text(encoding="utf-8") for path in CODE.rglob("*.py"))
    return {a or b for text in texts for a, b in pattern.findall(text)}


# -------------------------------------------------------------- who uses what


def imports(code: str) -> set[tuple[str, str]]:
    """Module and name of all that a chapter's cells import from the package.

    >>> sorted(imports("from advanced_keras.gan import GAN, observe as o"))
    [('advanced_keras.gan', 'GAN'), ('advanced_keras.gan', 'observe')]
    """
    pattern = r"^\s*from (advanced_keras[\w.]*) import (\([^)]*\)|[^\n]*)"
    return {
        (module, name)
        for module, names in re.findall(pattern, code, flags=re.MULTILINE)
        for name in re.findall(r"(?<!as )\b(?!as\b)\w+", names)
    }


def shown(text: str) -> set[tuple[str, str]]:
    """File, as a module, and class or function of each excerpt in a chapter."""
    pattern = r"\{literalinclude\} \.\./code/([\w/]+)\.py\n((?::.*\n)*)"
    found = set()
    for file, options in re.findall(pattern, text):
        name = re.search(r"^:pyobject: (\w+)", options, flags=re.MULTILINE)
        if name:
            found.add((file.replace("/", "."), name[1]))
    return found


def chapter_uses() -> dict[str, set[tuple[str, str]]]:
    """For each chapter the names of the package that it imports or shows."""
    found = {}
    for path in sorted((ROOT / "book").glob("*.md")):
        text = path.read_text(encoding="utf-8")
        if is_chapter(text):
            found[path.stem] = imports(code_of(text)) | shown(text)
    return found


def page_of(module: str) -> str:
    """The module under which the reference lists a module's public names.

    >>> page_of("advanced_keras.gan.model"), page_of("advanced_keras.data.digits")
    ('advanced_keras.gan', 'advanced_keras.data.digits')
    """
    parts = module.split(".")
    return ".".join(parts[: 3 if "data" in parts else 2])


def in_order() -> list[str]:
    """The names of all pages, as the table of contents has them."""
    toc = yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf-8"))
    return [Path(c["file"]).name for part in toc["parts"] for c in part["chapters"]]


@functools.cache
def chapters_of() -> dict[tuple[str, str], list[str]]:
    """For each public name, by module, the chapters that import it or show it."""
    uses = chapter_uses()
    found: dict[tuple[str, str], list[str]] = {}
    for chapter in filter(uses.get, in_order()):
        for module, name in sorted(uses[chapter]):
            places = found.setdefault((page_of(module), name), [])
            if chapter not in places:
                places.append(chapter)
    return found


# ------------------------------------------------------- index, and the printed form

MEMBERS = frozenset({"method", "classmethod", "staticmethod", "property", "attribute"})


class ShortIndex(SphinxTransform):
    """Functions, classes and constants are in the index, by the names of their modules.

    A member is found with its class.
    """

    default_priority = 840  # right before Sphinx collects the entries

    def apply(self, **kwargs):
        for index in list(self.document.findall(addnodes.index)):
            following = index.next_node(descend=False, siblings=True)
            is_object = isinstance(following, addnodes.desc)
            if is_object and following["objtype"] in MEMBERS:
                index["entries"] = []
            else:
                index["entries"] = [
                    (kind, text.replace("advanced_keras.", ""), *rest)
                    for kind, text, *rest in index["entries"]
                    if not (kind == "pair" and text.startswith("module;"))
                ]


class PrintedReference(SphinxPostTransform):
    """On paper the reference is small, and has of members the names only.

    The chapters stand at the head of each module.
    """

    default_priority = 7
    formats = ("latex",)

    def run(self, **kwargs):
        for file in list(self.document.findall(addnodes.start_of_file)):
            if file["docname"].startswith("book/api/"):
                for content in list(file.findall(addnodes.desc_content)):
                    name_members(content)
                for line in list(file.findall(nodes.paragraph)):
                    if line.astext().startswith(PLACES):  # as at the top of the page
                        line.parent.remove(line)
                file.insert(0, nodes.raw("", SMALL, format="latex"))
                file.append(nodes.raw("", r"\endgroup", format="latex"))


class UnlinkMembers(SphinxPostTransform):
    """On paper, what would link to a member that is only named there is plain text."""

    default_priority = 12  # after references are resolved
    formats = ("latex",)

    def run(self, **kwargs):
        objects = self.env.get_domain("py").get_objects()
        members = {name for name, _, kind, *_ in objects if kind in MEMBERS}
        for link in list(self.document.findall(nodes.reference)):
            target = link.get("refuri", "").partition("#")[2] or link.get("refid")
            if target in members:
                link.replace_self(link.children)


def name_members(content: addnodes.desc_content) -> None:
    """Put one line with the names of its members in the place of a class's members."""
    members = [
        child
        for child in content.children
        if isinstance(child, addnodes.desc) and child["objtype"] in MEMBERS
    ]
    if not members:
        return
    line = nodes.paragraph("", "Members: ")
    for place, member in enumerate(members):
        name = member.next_node(addnodes.desc_name).astext()
        line += [nodes.Text(", " if place else ""), nodes.literal("", name)]
    line += nodes.Text(".")
    kept = [child for child in content.children if child not in members]
    targets = [child for child in kept if isinstance(child, addnodes.index)]
    content.children = [child for child in kept if child not in targets]
    content += line


SMALL = r"\begingroup\aksmall "
PREAMBLE = r"""
\renewcommand{\sphinxstyleindexentry}[1]{#1}
\makeatletter
\newcommand{\ak@list}[2]{\leftmargin#1\labelwidth#1\advance\labelwidth-\labelsep
  \topsep#2\partopsep0pt\parsep1pt\itemsep0pt}
\newcommand{\aksmall}{\small\setlength{\parskip}{2pt plus 1pt}%
  \def\@listi{\ak@list{\leftmargini}{2pt}}\let\@listI\@listi
  \def\@listii{\ak@list{\leftmarginii}{1pt}}%
  \def\@listiii{\ak@list{\leftmarginiii}{0pt}}%
  \def\@listiv{\ak@list{\leftmarginiv}{0pt}}%
  \titleformat{\subsubsection}{\small\bfseries}{}{0pt}{}%
  \titlespacing*{\subsubsection}{0pt}{2pt}{0pt}}
\makeatother
"""


def print_small(app, config):
    """What the printed reference and the index look like."""
    elements = dict(config.latex_elements or {})
    elements["preamble"] = elements.get("preamble", "") + PREAMBLE
    config.latex_elements = elements


def setup(app):
    """Connect to Sphinx."""
    app.setup_extension("sphinx.ext.autodoc")
    app.connect("config-inited", print_small)
    app.add_transform(ShortIndex)
    app.add_post_transform(PrintedReference)
    app.add_post_transform(UnlinkMembers)
    app.connect("builder-inited", lambda app: chapters_of.cache_clear())
    app.connect("autodoc-process-docstring", read)
    app.connect("autodoc-process-signature", sign)
    app.connect("autodoc-skip-member", skip)
    app.connect("missing-reference", resolve)
    return {"version": "1", "parallel_read_safe": False}
