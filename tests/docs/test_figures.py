"""The diagrams are what their scripts draw, well-formed, and the waveform shows true sums."""

import importlib
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from macgen import golden

FIGURES = Path(__file__).parents[2] / "docs" / "figures"
NAMES = ("array", "axi", "compress", "compress_waveform", "pe", "tiles", "waveform")
SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    output = tmp_path_factory.mktemp("figures")
    command = [sys.executable, str(FIGURES / "draw.py"), "--output", str(output)]
    subprocess.run(command, cwd=FIGURES.parents[1], check=True, timeout=120)
    return output


@pytest.fixture
def waveform(monkeypatch):
    monkeypatch.syspath_prepend(FIGURES)
    return importlib.import_module("waveform_figure")


def test_every_picture_is_drawn(drawn):
    assert sorted(path.name for path in drawn.iterdir()) == [f"{name}.svg" for name in NAMES]
    assert sorted(path.stem for path in FIGURES.glob("*.svg")) == list(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_the_committed_picture_is_what_the_script_draws(drawn, name):
    made, committed = ((folder / f"{name}.svg").read_bytes() for folder in (drawn, FIGURES))
    assert made == committed, "run python docs/figures/draw.py"


@pytest.mark.parametrize("name", NAMES)
def test_every_picture_has_a_title_a_white_ground_and_keeps_within_its_sheet(name):
    root = ElementTree.parse(FIGURES / f"{name}.svg").getroot()
    width, height = float(root.get("width")), float(root.get("height"))
    title, ground = root[0], root[1]
    assert title.tag == f"{SVG}title"
    assert title.text
    assert (ground.tag, ground.get("fill")) == (f"{SVG}rect", "#FFFFFF")
    assert (float(ground.get("width")), float(ground.get("height"))) == (width, height)
    for line in root.iter(f"{SVG}polyline"):
        for point in line.get("points").split():
            x, y = map(float, point.split(","))
            assert 0 <= x <= width
            assert 0 <= y <= height
    for text in root.iter(f"{SVG}text"):
        x, size = float(text.get("x")), float(text.get("font-size"))
        length = 0.55 * size * len(text.text)  # more than letters of the common sans-serif fonts take in the mean
        left = {"start": x, "middle": x - length / 2, "end": x - length}[text.get("text-anchor")]
        assert left >= 0, text.text
        assert left + length <= width, text.text


def test_the_waveform_shows_the_golden_model_s_sums(waveform):
    trace, spec = waveform.simulate(), waveform.SPEC
    rows = [
        word
        for word, valid, ready in zip(trace["c_data"], trace["c_valid"], trace["c_ready"], strict=True)
        if valid and ready
    ]
    wanted = []
    for a, b in waveform.TILES:
        codes, _ = golden.matmul(spec, spec.a.encode(a), spec.b.encode(b))
        wanted += [sum(int(code) << spec.acc.width * col for col, code in enumerate(row)) for row in codes]
    assert rows == wanted


def test_the_waveform_shows_what_its_legend_names(waveform):
    text = waveform.draw().svg()
    for colour, meaning in waveform.MEANINGS.items():
        assert meaning in text
        assert text.count(f'fill="{colour}"') > 1  # the legend's square, and a shade
