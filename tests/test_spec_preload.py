"""Preloaded accumulators of a spec: what goes with them (docs/arithmetic.md section 11)."""

import json

import pytest

from macgen import MacSpec
from macgen.bundle.verilog import to_verilog
from macgen.errors import MacgenError

PLAIN = {"a": "e4m1", "b": "e4m1", "acc": "e5m3", "rows": 1, "cols": 2}
FIXED = PLAIN | {"a": "fix2.3", "b": "fix2.3", "acc": "fix6.3"}


def test_a_flag_is_what_preload_is():
    spec = MacSpec(**PLAIN, preload=True)
    assert json.loads(spec.to_json())["preload"] is True
    assert MacSpec.from_json(spec.to_json()) == spec == eval(repr(spec), {"MacSpec": MacSpec})
    assert "preloaded accumulators" in spec.extras
    assert "preload" not in json.loads(MacSpec(**PLAIN).to_json())
    with pytest.raises(MacgenError, match="preload 'yes' is not"):
        MacSpec(**PLAIN, preload="yes")


WORKS = {
    "plain": PLAIN,
    "chunks": PLAIN | {"chunk": 4},
    "outer adder, scales, out": PLAIN | {"chunk": 4, "outer": "e6m5", "scale": "e4m1", "out": "e5m2"},
    "outer rounding": PLAIN | {"chunk": 4, "outer_rounding": "rtz", "fold": "overlap"},
    "outer of one sum": PLAIN | {"outer": "e5m2"},
    "product": PLAIN | {"product": "e5m2"},
    "fused": PLAIN | {"lanes": 2, "interleave": 2, "pipeline": 2},
    "tree": PLAIN | {"lanes": 2, "lane_sum": "tree", "rounding": "floor"},
    "bulk": PLAIN | {"lanes": 2, "lane_sum": "bulk:4", "rounding": "odd"},
    "random": PLAIN | {"rounding": "stochastic:3:nearest", "chunk": 2, "interleave": 3, "pipeline": 3},
    "drop": PLAIN | {"rounding": "drop", "overflow": "infinity"},
    "nan": PLAIN | {"acc": "e5m3fn", "overflow": "nan", "chunk": 2},
    "fixed": FIXED | {"overflow": "wrap", "chunk": 2},
    "exact": FIXED | {"acc": "fix6.6narrow"},
    "reset": PLAIN | {"reset": "async", "reset_active": "low", "clock_enable": True},
}
LANES = {"lane_sum": "exponents:9", "lanes": 2, "scale": "e8m0fnu", "scale_place": "lanes", "scale_block": 2}
REFUSED = {
    "aligned": (PLAIN | {"lane_sum": "aligned:4"}, "lane_sum 'aligned:4'; accepted are fused, tree and bulk:F"),
    "exponents": (PLAIN | LANES, "lane_sum 'exponents:9'; accepted are fused, tree and bulk:F"),
    "overlap": (
        PLAIN | {"chunk": 4, "fold": "overlap"},
        "fold 'overlap' where chunks are folded in the accumulator's adder; accepted is bubble",
    ),
    "axi": (PLAIN | {"interface": "axi-stream"}, "interface 'axi-stream'; accepted is native"),
    "modes": (PLAIN | {"modes": ["low:acc=e5m1"]}, "modes full, low; accepted is an array without modes"),
    "counters": (PLAIN | {"counters": "4/8"}, "counters 4/8; accepted is an array without counters"),
}


def test_the_table_of_pairs_has_every_field():
    fields = {name for spec in [*WORKS.values(), *(spec for spec, _ in REFUSED.values())] for name in spec}
    assert fields >= MacSpec(**PLAIN).to_dict().keys() - {"preload"}


@pytest.mark.thinned("outer adder, scales, out")
@pytest.mark.parametrize("pair", WORKS)
def test_what_goes_with_preload_has_its_stream_in_the_verilog(pair):
    verilog = to_verilog(MacSpec(**WORKS[pair], preload=True), "mac")
    without = to_verilog(MacSpec(**WORKS[pair]), "mac")
    for port in ("d_valid", "d_ready", "d_data"):
        assert port in verilog
        assert port not in without
    assert len(without) < len(verilog)


@pytest.mark.parametrize("pair", REFUSED)
def test_what_does_not_go_with_preload_is_refused(pair):
    fields, sentence = REFUSED[pair]
    assert not MacSpec(**fields).preload
    with pytest.raises(MacgenError) as error:
        MacSpec(**fields, preload=True)
    assert str(error.value) == f"preload does not go with {sentence}"
