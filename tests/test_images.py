"""The drawn figures: up to date, small, in the book's colours, with nothing in the way.

The layout is judged on the rendered picture: Matplotlib's Agg renderer says how much
room each label takes.
"""

import importlib.util
import io
import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.transforms import Bbox
from PIL import Image

from advanced_keras.display import INK, PALETTE

ROOT = Path(__file__).resolve().parents[1]
IMAGES = ROOT / "images"
MARGIN = 2.0  # points between a label and the edge of its box


def _import(path):
    spec = importlib.util.spec_from_file_location(f"images_{path.stem}", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


build = _import(IMAGES / "build.py")
drawing = build.helpers()
NAMES = build.names()


@pytest.fixture(scope="module", params=NAMES)
def name(request):
    return request.param


@pytest.fixture(scope="module")
def module(name):
    return build.load(name)


@pytest.fixture(scope="module")
def figure(module):
    figure = module.draw()
    FigureCanvasAgg(figure).draw()
    return figure


@pytest.fixture
def committed(name):
    return (IMAGES / f"{name}.svg").read_text(encoding="utf-8")


def in_points(figure, extent):
    """A rectangle of pixels, as left, top, right, bottom in points."""
    axes = figure.axes[0]
    return Bbox(axes.transData.inverted().transform(extent.get_points()))


def labels(figure):
    texts = [text for text in figure.findobj(Text) if text.get_text()]
    return {text: in_points(figure, text.get_window_extent()) for text in texts}


def outline(figure, patch):
    return in_points(figure, patch.get_window_extent())


def grown(bounds, margin):
    (left, right), (top, bottom) = sorted(bounds.intervalx), sorted(bounds.intervaly)
    return Bbox.from_extents(
        left - margin, top - margin, right + margin, bottom + margin
    )


def holds(outer, inner):
    outer, inner = grown(outer, 0), grown(inner, 0)
    return (outer.min <= inner.min).all() and (outer.max >= inner.max).all()


def crowded(figure):
    """Labels that leave their box or the page, or lie on an edge, an arrow, a label."""
    found, extents = [], labels(figure)
    page = Bbox.from_extents(0, 0, *(72 * figure.get_size_inches()))
    boxes = {box: outline(figure, box) for box in figure.findobj(drawing.Box)}
    for box, bounds in boxes.items():
        inside = box.label is None or holds(grown(bounds, -MARGIN), extents[box.label])
        found += [] if inside else [f"{box.label.get_text()!r} leaves its box"]
    for text, extent in extents.items():
        words = repr(text.get_text())
        for bounds in boxes.values():
            if not holds(bounds, extent) and grown(bounds, 1).overlaps(
                grown(extent, 0)
            ):
                found.append(f"{words} lies on the edge of a box")
        for line in figure.findobj(drawing.Arrow):
            if line.get_path().intersects_bbox(grown(extent, 0.5), filled=False):
                found.append(f"{words} lies on an arrow")
        if not holds(page, extent):
            found.append(f"{words} leaves the page")
    for (one, first), (other, second) in combinations(extents.items(), 2):
        if grown(first, 0.5).overlaps(grown(second, 0)):
            found.append(f"{one.get_text()!r} touches {other.get_text()!r}")
    return found


def colours(svg):
    """Every colour that an SVG text mentions, in whatever notation."""
    root = ET.fromstring(svg)
    found = set()
    for element in root.iter():
        style = element.get("style", "")
        declared = dict(re.findall(r"([\w-]+)\s*:\s*([^;]+)", style)) | element.attrib
        found |= {
            declared[key].strip().upper()
            for key in ("fill", "stroke", "color", "stop-color")
            if key in declared
        }
    return found


ALLOWED = {"NONE", INK.upper()} | {colour.upper() for colour in PALETTE.values()}


def test_the_five_figures_are_there():
    wanted = {"cover", "teacher_forcing", "three_models", "transformer"}
    assert wanted | {"transformer_layer"} <= set(NAMES)


def test_no_picture_without_a_script():
    pictures = {path.stem for path in IMAGES.iterdir() if path.suffix != ".py"}
    assert pictures - {"__pycache__"} <= set(NAMES)


def test_no_script_hides_a_module_of_python():
    # `python images/threading.py` would make Matplotlib import that file as threading.
    assert not {path.stem for path in IMAGES.glob("*.py")} & sys.stdlib_module_names


def test_committed_svg_is_what_the_script_draws(name, module, committed):
    drawn = drawing.svg(name, module.draw())
    assert build.same(committed, drawn), f"run python images/build.py: {name} changed"


def test_drawing_twice_gives_the_same_bytes(name, module):
    assert drawing.svg(name, module.draw()) == drawing.svg(name, module.draw())


def test_svg_is_small_and_within_the_column(name, committed):
    root = ET.fromstring(committed)
    assert len(committed.encode()) < 250_000
    assert float(root.get("width").removesuffix("pt")) <= 7 * 72
    assert root.get("viewBox")


def test_only_colours_of_the_book(committed):
    found = colours(committed)
    assert found <= ALLOWED
    assert len(found) > 2
    assert not re.search(r"rgba?\(|hsla?\(", committed)


def test_black_by_omission_is_not_used_for_shapes(committed):
    # An element without fill and stroke is black, on a dark page too.
    root = ET.fromstring(committed)
    space = "{http://www.w3.org/2000/svg}"
    glyphs = {id(path) for defs in root.iter(f"{space}defs") for path in defs.iter()}
    parents = {child: parent for parent in root.iter() for child in parent}

    def coloured(element):
        while element is not None:
            if re.search(r"(fill|stroke)\s*:", element.get("style", "")):
                return True
            element = parents.get(element)
        return False

    for tag in ("path", "use", "rect"):
        for element in root.iter(f"{space}{tag}"):
            if id(element) not in glyphs and element.get("d") != "":
                assert coloured(element), ET.tostring(element)[:200]


def test_ids_are_unique_and_carry_the_name(name, committed):
    ids = re.findall(r'\bid="([^"]*)"', committed)
    assert len(ids) == len(set(ids))
    assert all(identifier.startswith(f"{name}-") for identifier in ids)
    used = re.findall(r'href="#([^"]*)"', committed) + re.findall(
        r"url\(#([^)]*)\)", committed
    )
    assert set(used) <= set(ids)
    assert "<style" not in committed and "<metadata" not in committed


def test_labels_have_room(figure):
    assert crowded(figure) == []


def test_lettering_is_eight_to_ten_points(figure):
    assert {text.get_fontsize() for text in labels(figure)} <= {8.0, 9.0, 10.0}


def test_no_title_and_transparent(figure):
    assert not any(axes.get_title() for axes in figure.axes)
    assert figure.get_facecolor()[3] == 0


def test_alternative_text_says_what_is_shown(module):
    assert 150 < len(module.ALT) < 800
    assert module.ALT.endswith(".") and "  " not in module.ALT


def test_draws_a_figure_also_for_paper(figure):
    assert isinstance(figure, Figure)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="pdf")
    assert buffer.getvalue().startswith(b"%PDF")


def test_names_of_the_three_models_are_those_of_the_package():
    source = (ROOT / "code/advanced_keras/transformer.py").read_text(encoding="utf-8")
    figure = build.load("three_models").draw()
    names = {
        t.get_text() for t in figure.findobj(Text) if drawing.MONO in t.get_family()
    }
    assert "encoded_seq_inputs" in names
    unknown = {name for name in names if not re.search(rf"\b{name}\b", source)}
    assert not unknown


def test_cover_png_shows_the_cover():
    png = IMAGES / "cover.png"
    assert png.stat().st_size < 150_000
    module = build.load("cover")
    stored = np.asarray(Image.open(png).convert("RGBA"), dtype=float)
    drawn = drawing.png(module.draw(), module.PNG_WIDTH).convert("RGBA")
    drawn = np.asarray(drawn, dtype=float)
    assert stored.shape == drawn.shape
    assert np.abs(stored - drawn).mean() < 1
    assert stored[0, 0, 3] == 0  # transparent: fits a light and a dark page


# The judges themselves: each must object to what it is there to find.


def spoiled(text, size, centre=(100, 50)):
    figure, axes = drawing.canvas(200, 100)
    drawing.box(axes, centre, size, text, "source")
    return figure, axes


def judged(figure):
    FigureCanvasAgg(figure).draw()
    return " ".join(crowded(figure))


def test_judge_of_room_accepts_a_good_box():
    assert judged(spoiled("short", (80, 30))[0]) == ""


def test_judge_of_room_sees_a_label_too_long():
    assert "leaves its box" in judged(spoiled("much too long", (50, 30))[0])


@pytest.mark.parametrize(
    ("x", "y", "complaint"),
    [
        (110, 54, "'short' touches 'more'"),
        (60, 50, "'more' lies on the edge of a box"),
        (100, 80, "'more' lies on an arrow"),
        (195, 10, "'more' leaves the page"),
    ],
)
def test_judge_of_room_sees_a_label_in_the_way(x, y, complaint):
    figure, axes = spoiled("short", (80, 30))
    drawing.arrow(axes, [(100, 65), (100, 95)])
    drawing.label(axes, x, y, "more")
    assert judged(figure) == complaint


def test_judge_of_colours_sees_a_foreign_colour():
    figure, axes = spoiled("x", (80, 30))
    axes.plot([0, 100], [0, 50], color="red")
    assert "#FF0000" in colours(drawing.svg("spoiled", figure))


def test_same_tolerates_digits_only():
    assert build.same("M 1.001 2 L -3", "M 1.002 2 L -3")
    assert not build.same("M 1.001 2 L -3", "M 1.101 2 L -3")
    assert not build.same("M 1 2", "L 1 2")
    assert not build.same("M 1 2", "M 1 2 3")


def test_load_refuses_an_unknown_figure():
    with pytest.raises(ValueError, match=r"name must be one of .*nonesuch"):
        build.load("nonesuch")


def test_outdated_names_the_changed_figure(tmp_path, monkeypatch):
    for path in [*IMAGES.glob("*.py"), *IMAGES.glob("*.svg")]:
        (tmp_path / path.name).write_bytes(path.read_bytes())
    changed = tmp_path / "three_models.svg"
    changed.write_text(
        changed.read_text().replace(PALETTE["source"].lower(), "#123456")
    )
    (tmp_path / "transformer.svg").unlink()
    monkeypatch.setattr(build, "FOLDER", tmp_path)
    assert build.outdated() == ["three_models", "transformer"]


def test_command_line_checks(capsys, monkeypatch):
    assert build.main(["--check"]) == 0
    monkeypatch.setattr(build, "outdated", lambda: ["cover"])
    assert build.main(["--check"]) == 1
    assert "images/cover.svg is out of date" in capsys.readouterr().out
    assert build.main(["--nonsense"]) == 2
    assert "usage" in capsys.readouterr().err


@pytest.mark.parametrize("script", ["transformer.py", "build.py"])
def test_runs_as_a_script(script, tmp_path):
    for path in IMAGES.glob("*.py"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    run = subprocess.run(
        [sys.executable, tmp_path / script], capture_output=True, text=True, timeout=120
    )
    assert (run.returncode, run.stderr) == (0, "")
    fresh = (tmp_path / "transformer.svg").read_text(encoding="utf-8")
    committed = (IMAGES / "transformer.svg").read_text(encoding="utf-8")
    assert build.same(committed, fresh)


def test_importing_a_script_writes_nothing(name, tmp_path):
    for path in IMAGES.glob("*.py"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    before = {path.name for path in tmp_path.iterdir()}
    _import(tmp_path / f"{name}.py").draw()
    after = {path.name for path in tmp_path.iterdir()}
    assert after - before <= {"__pycache__"}
