"""What follows from a spec is worked out once, in `Design`, and the same everywhere."""

import ast
from collections import Counter
from pathlib import Path

import pytest

from macgen.bundle.manifest import Manifest
from macgen.catalogue import presets
from macgen.prove.exhaustive.step_wrapper import step_wrapper
from macgen.prove.formal.prover import HARNESSES
from macgen.rtl import ArrayCore, Design, MacArray, Modules
from macgen.rtl.parts.hierarchy import ports_of
from macgen.rtl.units.fixed_geometry import FixedGeometry
from macgen.rtl.units.geometry import FloatGeometry
from macgen.spec import MacSpec

PACKAGE = Path(__file__).parents[2] / "macgen"

GEOMETRIES = {
    "default": 1,
    "sr-e6m5": 1,
    "int8": 1,
    "kulisch-e4m3": 1,
    "gupta2015": 2,
    "mxfp8": 2,
    "nvfp4": 2,
}
"""Presets of each kind, and the accumulators and fixed-point roundings that each has."""


@pytest.fixture
def built(monkeypatch):
    """Every geometry that is worked out, and how often."""
    found = Counter()
    for geometry in (FloatGeometry, FixedGeometry):
        make = geometry.of.__func__

        def counted(cls, rounded_sum, make=make):
            found[rounded_sum] += 1
            return make(cls, rounded_sum)

        monkeypatch.setattr(geometry, "of", classmethod(counted))
    return found


@pytest.mark.parametrize("preset", GEOMETRIES)
def test_an_elaboration_works_out_each_geometry_once(preset, built):
    Modules("array").convert(ArrayCore(Design(presets[preset])))
    assert list(built.values()) == [1] * GEOMETRIES[preset]


def test_every_rounding_of_a_spec_is_worked_out_once(built):
    """An outer accumulator, rounded products and results, all of fixed point; a tree."""
    spec = MacSpec(
        a="e4m3",
        b="e4m3",
        product="fix8.4",
        acc="fix16.6",
        chunk=8,
        outer="fix18.6",
        out="fix12.4",
        lanes=4,
        lane_sum="tree",
    )
    Modules("array").convert(ArrayCore(Design(spec)))
    assert set(built.values()) == {1}
    prefixes = ["", "lane_", "lane_first_", "out_", "outer_", "rounding_"]
    assert sorted(rounded_sum.prefix for rounded_sum in built) == prefixes


def test_the_component_s_design_is_the_one_of_its_spec():
    array = MacArray(presets["default"])
    Modules("array").convert(array)
    assert array.design == Design(array.spec)


# -- others that describe the array ------------------------------------------------------------------------------------


def test_the_manifest_follows_the_design(monkeypatch):
    monkeypatch.setattr(Design, "latency", 1234)
    assert Manifest.of(presets["default"], "array").latency == 1234


@pytest.mark.parametrize("preset", GEOMETRIES)
def test_proofs_take_the_design_that_they_are_given(preset, built):
    array, modules = ArrayCore(Design(presets[preset])), Modules("array")
    modules.convert(array)
    ports = {
        module: {name: ("input" if is_input else "output", len(net)) for name, is_input, net in ports_of(unit)}
        for module, unit in modules.components.items()
    }
    for make in HARNESSES:
        make(array.design, "array", ports)
    step_wrapper(array.design, "array")
    assert list(built.values()) == [1] * GEOMETRIES[preset]


def test_only_the_design_is_made_of_a_spec():
    """No other function or component of the hardware takes a spec to work out its own numbers."""
    takers = set()
    for path in (PACKAGE / "rtl").rglob("*.py"):
        for outer in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            for node in ast.iter_child_nodes(outer):
                if isinstance(node, ast.FunctionDef) and any(
                    isinstance(item.annotation, ast.Name) and item.annotation.id == "MacSpec" for item in node.args.args
                ):
                    takers.add(outer.name if isinstance(outer, ast.ClassDef) else node.name)
    assert takers == {"Control", "MacArray"}
