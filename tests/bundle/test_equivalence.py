"""Printed Verilog is the netlist that came out of Amaranth, for every preset and for what changes its structure."""

import re
from dataclasses import replace

import pytest

from macgen.bundle.verilog import to_verilog
from macgen.catalogue import presets
from macgen.errors import MacgenError
from macgen.rtl import ArrayCore, Design, Modules
from macgen.spec import MacSpec
from tests.bundle.equivalence import modules_of, prove_equal
from tests.bundle.fixtures import OTHER, SPEC
from tests.mutants import drive
from tests.representatives import BUILT, UNITS

NAMES = [name for name in BUILT if presets[name].lanes <= 16 and presets[name].bulk_bits is None]
"""But RISC-V's units and those of many lanes, which are too wide for these proofs; small arrays have their parts."""

SMALL = {
    "bulk": MacSpec(a="e3m2", b="e3m1", acc="e4m3", lanes=2, lane_sum="bulk:4", rounding="odd", rows=1, cols=1),
    "lane scales": MacSpec(
        a="e2m1finite", b="e2m1finite", acc="e4m3", lanes=4, lane_sum="exponents:6/2", scale="e3m1",
        scale_place="lanes", scale_block=2, rounding="rtz", overflow="to-infinity", rows=2, cols=1,
    ),
    "scaled lanes": MacSpec(
        a="e3m2", b="e2m1", acc="e4m3", lanes=2, lane_sum="exponents:5", scale="e4m0fnu", scale_place="lanes",
        rows=1, cols=2,
    ),
}  # fmt: skip

_proved = set()
"""Texts of modules in RTLIL and Verilog: many presets have the same."""


def rtlil_of(spec):
    return Modules("dut").convert(ArrayCore(Design(spec)))


def prove_modules(spec):
    rtlil, verilog = rtlil_of(spec), to_verilog(spec, "dut")
    golds, gates = modules_of(rtlil), modules_of(verilog)
    assert golds.keys() == gates.keys()
    new = {name: (golds[name], re.sub(r"//[^\n]*", "", gates[name])) for name in golds}
    prove_equal(rtlil, verilog, [name for name, texts in new.items() if texts not in _proved])
    _proved.update(new.values())


@pytest.mark.thinned("default", "int4", "sr-e6m5", "lba-m7e4", "gupta2015", "mxfp8", "volta-fp16")
@pytest.mark.parametrize("name", NAMES)
def test_modules_of_presets(name):
    prove_modules(presets[name] if presets[name].lanes > 1 else replace(presets[name], rows=4, cols=4))


VARIANTS = (
    {"interleave": 2},
    {"pipeline": 3},
    {"fold": "overlap"},
    {"interleave": 4},
    {"pipeline": 2},
    {"rows": 1, "cols": 3},
)


def variants():
    names = [name for name in NAMES if name not in UNITS or name == "volta-fp16"]  # the others are proved as they are
    for index, name in enumerate(names):
        # All of the first one; of the rest, of which neighbours are alike, one half or the other in turn.
        half = VARIANTS[3 * (index % 2) :][:3] if index else VARIANTS
        for fields in half:
            try:
                changed = replace(presets[name], **fields)
            except MacgenError:  # what does not go together
                continue
            yield pytest.param(changed, id=f"{name}-{'-'.join(map('{0[0]}={0[1]}'.format, fields.items()))}")
    for name, spec in SMALL.items():
        yield pytest.param(spec, id=name)


@pytest.mark.thinned("default-interleave=2", "default-fold=overlap", "int8-pipeline=3", prove=2)
@pytest.mark.parametrize("spec", list(variants()))
def test_modules_of_variants(spec):
    prove_modules(spec)


@pytest.mark.thinned("default", "int4", prove=2)
@pytest.mark.parametrize("name", [name for name in NAMES if name not in UNITS])
def test_arrays_of_one_pe_flattened(name):
    spec = replace(presets[name], rows=1, cols=1)
    prove_equal(rtlil_of(spec), to_verilog(spec, "dut"), (), top="dut")


@pytest.mark.parametrize(
    ("spec", "module", "signal", "expression"),
    [
        (SPEC, "dut_rounder", "result__round_up", "~({})"),
        (SPEC, "dut_adder", "exact_sum", "({}) ^ 1"),
        (OTHER, "dut_sequencer", "accept", "({}) & ~last"),
    ],
)
def test_what_is_wrong_is_not_proved(spec, module, signal, expression):
    wrong = drive(to_verilog(spec, "dut"), signal, expression, module=module).verilog
    with pytest.raises(AssertionError, match="Yosys failed"):
        prove_equal(rtlil_of(spec), wrong, [module])


def test_another_value_after_power_up_is_not_equal():
    text = to_verilog(SPEC, "dut")
    wrong = text.replace("fresh = 1'b1;", "fresh = 1'b0;")
    assert wrong != text
    with pytest.raises(AssertionError, match="dut_sequencer"):
        prove_equal(rtlil_of(SPEC), wrong, ["dut_sequencer"])
