"""What the book adds to Sphinx: its notation, its drawings, its running times."""

from __future__ import annotations

import gc
import hashlib
import importlib.util
import json
import re
import shutil
import sys
from pathlib import Path

import matplotlib
import yaml
from docutils import nodes
from sphinx import addnodes
from sphinx.transforms.post_transforms import SphinxPostTransform
from sphinx.util.docutils import SphinxRole

from advanced_keras import interactive
from advanced_keras._notation import MACROS
from advanced_keras.display import as_inline

ROOT = Path(__file__).resolve().parents[2]
TIMES = ROOT / "book" / "times.json"
"""Seconds of each chapter, as ``make times`` recorded them."""


def latex_macros() -> str:
    """The macros as LaTeX; a letter keeps its meaning as an accent outside math."""
    lines = []
    for name, body in MACROS.items():
        lines.append(
            rf"\expandafter\let\csname ak@{name}\expandafter\endcsname"
            rf"\csname {name}\endcsname"
            rf"\expandafter\protected\expandafter\def\csname {name}\endcsname"
            rf"{{\ifmmode {body}\else\csname ak@{name}\expandafter\endcsname\fi}}"
        )
    return "\\AtBeginDocument{%\n" + "%\n".join(lines) + "%\n}"


def _define_macros(app, config):
    mathjax = dict(config.mathjax3_config or {})
    tex = dict(mathjax.get("tex", {}))
    tex["macros"] = {**MACROS, **tex.get("macros", {})}
    config.mathjax3_config = {**mathjax, "tex": tex}
    elements = dict(config.latex_elements or {})
    elements["preamble"] = elements.get("preamble", "") + latex_macros()
    config.latex_elements = elements


def _collect_seldom(app):
    """Search for garbage seldom, and not among what stays.

    A parsed page is some ten thousand objects. To load one sets off Python's collector
    again and again, and each time that looks through Keras and TensorFlow, too.
    """
    gc.freeze()
    gc.set_threshold(500_000, 20, 50)


EVALUATED = re.compile(r"\{eval\}`([^`]+)`")


def _glue_values(app, docname, source):
    """Let ``{eval}`expression``` stand in prose although chapters run from a cache.

    MyST-NB evaluates in a running kernel, and a cached chapter has none. So a last,
    hidden cell glues the value of each expression, and the prose refers to that. The
    value is the one at the end of the chapter.
    """
    expressions = list(dict.fromkeys(EVALUATED.findall(source[0])))
    if not expressions:
        return
    names = {expression: f"value-{n}" for n, expression in enumerate(expressions)}
    cell = ["", "```{code-cell} ipython3", ":tags: [remove-cell]", ""]
    cell.append("from myst_nb import glue as _glue")
    cell += [f'_glue("{n}", {e}, display=False)' for e, n in names.items()]
    body = EVALUATED.sub(lambda m: f"{{glue:text}}`{names[m[1]]}`", source[0])
    source[0] = body.rstrip() + "\n" + "\n".join([*cell, "```", ""])


def recorded() -> dict[str, float]:
    """Seconds of each chapter when the times were last recorded.

    Pages show these and not the times of their own build: so the same book gives the
    same pages. ``make check`` compares the two.
    """
    return json.loads(TIMES.read_text(encoding="utf-8"))


def _remember_times(app, config):
    """Write pages again when the recorded times change."""
    config.ak_times = recorded()


def _remember_machinery(app, config):
    """Write pages again when what makes them changes; no cell is run for that."""
    digest = hashlib.sha256()
    parts = [ROOT / "book" / f"_{part}" for part in ("ext", "templates", "static")]
    for folder in [*parts, interactive.FOLDER]:
        for path in sorted(folder.rglob("*")):
            if path.is_file() and path.suffix != ".pyc":
                digest.update(path.name.encode() + path.read_bytes())
    config.ak_machinery = digest.hexdigest()


class runtime(nodes.Inline, nodes.TextElement):
    """The place of a chapter's measured running time."""


class RuntimeRole(SphinxRole):
    """``{runtime}`this chapter```: how long the cells of this chapter take."""

    def run(self):
        return [runtime(self.rawtext, docname=self.env.docname)], []


def in_words(seconds: float) -> str:
    """Seconds as a reader says them.

    >>> in_words(3.2), in_words(83.0)
    ('3 s', '1 min 23 s')
    """
    minutes, rest = divmod(max(1, round(seconds)), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


class FillRuntime(SphinxPostTransform):
    """Replace each :class:`runtime` by the recorded time."""

    default_priority = 400

    def run(self, **kwargs):
        for node in list(self.document.findall(runtime)):
            seconds = recorded().get(Path(node["docname"]).name)
            text = "an unmeasured time" if seconds is None else in_words(seconds)
            node.replace_self(nodes.Text(text))


class InlineDrawings(SphinxPostTransform):
    """On a page, put our SVG drawings into the text, so that they take its colour."""

    default_priority = 400
    formats = ("html",)

    def run(self, **kwargs):
        for image in list(self.document.findall(nodes.image)):
            path = Path(self.env.srcdir) / image["uri"]
            if path.suffix != ".svg" or path.parent != ROOT / "images":
                continue
            svg = as_inline(path.read_text(encoding="utf-8"), image.get("alt", ""))
            page = f'<div class="ak-picture">{svg}</div>'
            image.replace_self(nodes.raw("", page, format="html"))


ASSET = re.compile(r"<(style|script) data-ak-asset=.*?</\1>", re.DOTALL)


class SharedAssets(SphinxPostTransform):
    """Widgets bring script and style into each output; a site loads them once."""

    default_priority = 401
    formats = ("html",)

    def run(self, **kwargs):
        for raw in list(self.document.findall(nodes.raw)):
            if raw.get("format") == "html" and "data-ak-asset" in raw.astext():
                page = ASSET.sub("", raw.astext())
                raw.replace_self(nodes.raw("", page, format="html"))


def _static_anew(app):
    """Start without the static files of a build before.

    Sphinx writes a checksum behind the address of a file that is already there. Some
    extensions bring theirs when all pages are written: a second build would find them,
    and give other pages than a first.
    """
    if app.builder.format == "html":
        shutil.rmtree(Path(app.outdir) / "_static", ignore_errors=True)


def _share_assets(app):
    """Serve the scripts and styles of the widgets as files of the site."""
    app.config.html_static_path.append(str(interactive.FOLDER))
    first = 400  # scripts are loaded in the order of their priorities; 500 is usual
    app.add_js_file(interactive.BASE.name, first, loading_method="defer")
    for name in interactive.names():
        app.add_js_file(f"{name}.js", loading_method="defer")
        app.add_css_file(f"{name}.css")


def _without_thebe(app, pagename, templatename, context, doctree):
    """Drop the scripts of Thebe: it would run cells on somebody else's server."""

    def is_thebe(script):
        return "thebe" in f"{script} {getattr(script, 'attributes', '')}".lower()

    for kind in ("script_files", "css_files"):
        context[kind] = [each for each in context[kind] if not is_thebe(each)]


def _deferred(app, pagename, templatename, context, doctree):
    """Let no script hold up the first paint.

    Deferred scripts run in their order once the page is there. Only the options of the
    page, which a script within the page reads, stay ahead; and the page of the search
    has scripts of its own that wait for nobody.
    """

    def later(script):
        name = str(getattr(script, "filename", None) or "")
        if not name or name.endswith("documentation_options.js"):
            return script
        settings = {**script.attributes, "defer": "defer"}
        return type(script)(script.filename, priority=script.priority, **settings)

    if pagename != "search":
        context["script_files"] = [later(each) for each in context["script_files"]]


class PrintedDrawings(SphinxPostTransform):
    """In the PDF, draw the same pictures with their scripts, as PDF."""

    default_priority = 9  # before Sphinx looks for convertible images
    formats = ("latex",)

    def run(self, **kwargs):
        for image in list(self.document.findall(nodes.image)):
            path = Path(self.env.srcdir) / image["uri"]
            if path.suffix != ".svg" or path.parent != ROOT / "images":
                continue
            target = ROOT / "_build" / "drawings" / f"{path.stem}.pdf"
            _draw_pdf(path.with_suffix(".py"), target)
            uri = target.relative_to(self.env.srcdir).as_posix()
            self.env.images.add_file(self.env.docname, uri)
            image["uri"], image["candidates"] = uri, {"*": uri}


class PrintedParts(SphinxPostTransform):
    """The PDF has the parts that the contents of the site has."""

    default_priority = 6
    formats = ("latex",)

    def run(self, **kwargs):
        toc = yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf-8"))
        openers = {
            part["chapters"][0]["file"]: part["caption"] for part in toc["parts"]
        }
        for file in list(self.document.findall(addnodes.start_of_file)):
            caption = openers.get(file["docname"])
            if caption:
                part = nodes.raw("", unnumbered_part(caption), format="latex")
                file.parent.insert(file.parent.index(file), part)


def unnumbered_part(caption: str) -> str:
    """The page of a part: its number, if it has one, stands in its caption.

    Titlesec, which sets the headings, takes this part into the contents, too.
    """
    return rf"\cleardoublepage\part*{{{caption}}}"


def _draw_pdf(script: Path, target: Path) -> None:
    sys.path.insert(0, str(script.parent))
    try:
        spec = importlib.util.spec_from_file_location(script.stem, script)
        assert spec is not None and spec.loader is not None, script
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        figure = module.draw()
    finally:
        sys.path.remove(str(script.parent))
    target.parent.mkdir(parents=True, exist_ok=True)
    with matplotlib.rc_context({"pdf.fonttype": 42}):  # never Type 3
        figure.savefig(target, metadata={"CreationDate": None})


def setup(app):
    """Connect to Sphinx."""
    matplotlib.use("agg")
    app.add_config_value("ak_times", {}, "env", [dict])
    app.add_config_value("ak_machinery", "", "env", [str])
    app.connect("config-inited", _define_macros)
    app.connect("config-inited", _remember_times)
    app.connect("config-inited", _remember_machinery)
    app.connect("builder-inited", _collect_seldom)
    app.connect("builder-inited", _static_anew)
    app.connect("builder-inited", _share_assets)
    app.connect("source-read", _glue_values)
    app.connect("html-page-context", _without_thebe, priority=998)
    app.connect("html-page-context", _deferred, priority=999)
    app.add_node(runtime)
    app.add_role("runtime", RuntimeRole())
    for transform in (
        FillRuntime,
        InlineDrawings,
        SharedAssets,
        PrintedDrawings,
        PrintedParts,
    ):
        app.add_post_transform(transform)
    return {"version": "1", "parallel_read_safe": False}
