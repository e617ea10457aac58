import pickle
import re
from pathlib import Path

import pytest

import macgen
from macgen.catalogue import CATALOGUE, preset, presets
from macgen.errors import MacgenError
from macgen.spec import MacSpec
from macgen.width.bounds import exact_format


def test_the_presets_that_the_documents_name():
    expected = {
        "default": MacSpec(a="e5m2", b="e5m2", acc="e6m5", chunk=64, rounding="rne", overflow="saturate"),
        "wang2018": MacSpec(a="e5m2", b="e5m2", acc="e6m9", chunk=64),
        "fp16": MacSpec(a="e5m10", b="e5m10", acc="e5m10", overflow="infinity"),
        "bf16-fp32": MacSpec(a="e8m7", b="e8m7", acc="e8m23", overflow="infinity"),
        "int8-int32": MacSpec(a="int8", b="int8", acc="int32", overflow="wrap"),
        "sr-e6m5": MacSpec(a="e5m2", b="e5m2", acc="e6m5", rounding="stochastic:13"),
    }
    assert {name: presets[name] for name in expected} == expected


@pytest.mark.parametrize("name", ["int8", "int4", "kulisch-e4m3"])
def test_exact_presets_are_as_narrow_as_their_source_says(name):
    spec = presets[name]
    assert exact_format(spec.a, spec.b, 4608) == spec.acc
    assert exact_format(spec.a, spec.b, 2 * 4608).width > spec.acc.width


@pytest.mark.parametrize("name", CATALOGUE)
def test_the_page_of_the_presets_shows_every_one(name):
    page = (Path(__file__).parents[1] / "docs" / "presets.md").read_text()
    spec = presets[name]
    chunk = "none" if spec.chunk is None else spec.chunk
    start = f"| `{name}` | {spec.a} x {spec.b} | {spec.acc} | {chunk} | {spec.rounding}, {spec.overflow} |"
    assert start in page


def test_presets_are_the_catalogue():
    assert macgen.presets is presets
    assert dict(presets) == {name: entry.spec for name, entry in CATALOGUE.items()}


@pytest.mark.parametrize("name", CATALOGUE)
def test_every_preset(name):
    entry = CATALOGUE[name]
    assert preset(name) is entry.spec
    assert MacSpec.from_json(entry.spec.to_json()) == entry.spec
    assert pickle.loads(pickle.dumps(entry)) == entry
    assert re.fullmatch(r"[a-z0-9-]+", name)
    assert re.fullmatch(r"[^\n]{20,}\.", entry.source)


def test_no_two_presets_are_the_same():
    assert len(set(presets.values())) == len(presets)


def test_presets_cannot_be_changed():
    with pytest.raises(TypeError):
        presets["default"] = presets["fp16"]
    with pytest.raises(AttributeError):
        CATALOGUE["default"].spec = presets["fp16"]


@pytest.mark.parametrize("name", ["", "Default", "fp16 ", "nothing"])
def test_unknown_preset(name):
    with pytest.raises(MacgenError) as caught:
        preset(name)
    assert str(caught.value) == f"preset {name!r} is unknown; accepted are {', '.join(presets)}"
