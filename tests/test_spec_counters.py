"""Counters of a spec: what they are read from, and what goes with them (docs/arithmetic.md section 9)."""

import json

import pytest

from macgen import MacSpec
from macgen.bundle.verilog import to_verilog
from macgen.errors import MacgenError
from macgen.spec_counters import Counters

PLAIN = {"a": "e4m1", "b": "e4m1", "acc": "e5m3", "rows": 1, "cols": 2}
FIXED = PLAIN | {"a": "fix2.3", "b": "fix2.3", "acc": "fix6.3"}


def test_a_width_and_a_text_are_counters():
    for value, pe, edge, text in ((8, 8, 32, "8"), ("8", 8, 32, "8"), ("8/32", 8, 32, "8"), ("2/4", 2, 4, "2/4")):
        spec = MacSpec(**PLAIN, counters=value)
        assert spec.counters == Counters(pe, edge)
        assert str(spec.counters) == text
        assert json.loads(spec.to_json())["counters"] == text
        assert MacSpec.from_json(spec.to_json()) == spec == eval(repr(spec), {"MacSpec": MacSpec})
        assert f"counters {text}" in spec.extras
    for none in (None, "none"):
        assert MacSpec(**PLAIN, counters=none) == MacSpec(**PLAIN)
    assert "counters" not in json.loads(MacSpec(**PLAIN).to_json())


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        (0, "counters 0 is not an integer from 1 to 24"),
        ("25", "counters 25 is not an integer from 1 to 24"),
        ("8/7", "counters: bits at the edge 7 is not an integer from 8 to 64"),
        ("8/65", "counters: bits at the edge 65 is not an integer from 8 to 64"),
        ("8/", "counters '8/' is no text P or P/E; accepted are the bits of a PE's counters, such as 8, or with those "
               "of the edge's 8/32"),
        (True, "counters True is no text and no width; accepted are the bits of a PE's counters, such as 8, or with "
               "those of the edge's 8/32"),
        (Counters(99), "counters 99 is not an integer from 1 to 24"),
    ],
)  # fmt: skip
def test_other_counters_are_refused(value, sentence):
    with pytest.raises(MacgenError) as error:
        MacSpec(**PLAIN, counters=value)
    assert str(error.value) == sentence


WORKS = {
    "plain": PLAIN,
    "chunks": PLAIN | {"chunk": 4},
    "outer adder, scales, out": PLAIN | {"chunk": 4, "outer": "e6m5", "scale": "e4m1", "out": "e5m2"},
    "outer rounding": PLAIN | {"chunk": 4, "outer_rounding": "rtz", "fold": "overlap"},
    "out": PLAIN | {"out": "e5m2", "chunk": 4},
    "product": PLAIN | {"product": "e5m2"},
    "fused": PLAIN | {"lanes": 2, "interleave": 2, "pipeline": 2},
    "tree": PLAIN | {"lanes": 2, "lane_sum": "tree", "rounding": "floor"},
    "bulk": PLAIN | {"lanes": 2, "lane_sum": "bulk:4", "rounding": "odd", "fold": "overlap"},
    "random": PLAIN | {"rounding": "stochastic:3:nearest", "chunk": 2, "interleave": 3, "pipeline": 3},
    "drop": PLAIN | {"rounding": "drop", "overflow": "infinity"},
    "nan": PLAIN | {"acc": "e5m3fn", "overflow": "nan", "chunk": 2},
    "fixed": FIXED | {"overflow": "wrap", "chunk": 2},
    "exact": FIXED | {"acc": "fix6.6narrow", "modes": ["low:acc=fix6.6narrow"]},
    "modes": PLAIN | {"chunk": 4, "modes": ["low:acc=e5m1"]},
    "axi": PLAIN | {"interface": "axi-stream", "clock_enable": True, "reset": "async"},
    "reset": PLAIN | {"reset_active": "low"},
}
REFUSED = {
    "aligned": (PLAIN | {"lane_sum": "aligned:4"}, "lane_sum 'aligned:4', of whose products hardware has no exact sum; "
                                                  "accepted are fused, tree and bulk:F"),
    "exponents": (PLAIN | {"lane_sum": "exponents:9", "lanes": 2, "scale": "e8m0fnu", "scale_place": "lanes"},
                  "lane_sum 'exponents:9', of whose products hardware has no exact sum; accepted are fused, tree and "
                  "bulk:F"),
    "overlap": (PLAIN | {"chunk": 4, "fold": "overlap"}, "fold 'overlap' where chunks are folded in the accumulator's "
                                                         "adder; accepted is bubble"),
}  # fmt: skip


def test_the_table_of_pairs_has_every_field():
    fields = {name for spec in [*WORKS.values(), *(spec for spec, _ in REFUSED.values())] for name in spec}
    assert fields >= MacSpec(**PLAIN).to_dict().keys() - {"counters"}


@pytest.mark.thinned("outer adder, scales, out")
@pytest.mark.parametrize("pair", WORKS)
def test_what_goes_with_counters_has_them_in_its_verilog(pair):
    spec = MacSpec(**WORKS[pair], counters="3/9")
    verilog = to_verilog(spec, "mac")
    assert "count_clear" in verilog
    fixed, folds = pair in ("fixed", "exact"), spec.chunk is not None
    assert ("count_steps_flushed" in verilog) == (not fixed)
    assert ("count_steps_swamped" in verilog) == (pair != "exact")
    assert ("count_folds_saturated" in verilog) == folds
    without = to_verilog(MacSpec(**WORKS[pair]), "mac")
    assert "count_clear" not in without
    assert len(without) < len(verilog)


@pytest.mark.parametrize("pair", REFUSED)
def test_what_does_not_go_with_counters_is_refused(pair):
    fields, sentence = REFUSED[pair]
    assert MacSpec(**fields).counters is None
    with pytest.raises(MacgenError) as error:
        MacSpec(**fields, counters=8)
    assert str(error.value) == f"counters do not go with {sentence}"
