"""Outer accumulators with an adder of their own, scales, results in another format: every state they reach."""

import pytest

from macgen.spec import MacSpec
from tests.rtl.outer_stages import OuterProof, check_results
from tests.rtl.stages import DifferenceError, Proof

# Together: float and fixed sums into both, scales with and without zeros, infinities and quiet and signalling NaN,
# every rounding, results of each kind from each kind.
OUTER = [
    MacSpec(a="e2m1", b="e2m1", acc="e3m2", chunk=4, outer="e4m3", overflow="infinity", out="e3m1fnuz"),
    MacSpec(a="e2m1", b="e2m1", acc="e3m2", outer="e3m3fn", scale="e2m1", overflow="infinity"),
    MacSpec(a="e2m1finite", b="e2m1finite", acc="e3m3:flush", chunk=4, outer="e4m2", scale="e8m0fnu", rounding="drop"),
    MacSpec(a="e2m1", b="e2m1", acc="e3m2:none", chunk=4, outer="e4m2:none", scale="e2m1:none", out="e3m2fn:none"),
    MacSpec(a="int3", b="int3", acc="int6", chunk=4, outer="e4m3", scale="e2m1fn", outer_rounding="rtz", out="fix5.1"),
    MacSpec(a="e2m1", b="e2m1", acc="fix5.1", chunk=4, outer="fix4.2", scale="e5m0fnu", overflow="wrap", out="int3"),
    MacSpec(a="e2m1", b="e2m1", acc="e3m1", chunk=4, outer_rounding="stochastic:2"),
    MacSpec(a="e2m1", b="e2m1", acc="e3m2:none", chunk=4, outer="e4m2:none", scale="e2m1:none", out="e3m1fn:none"),
    MacSpec(a="int3", b="int3", acc="int7", chunk=4, outer="fix4.1", overflow="wrap", out="e2m1finite"),
    MacSpec(a="uint2", b="uint2", acc="ufix4.1", outer="ufix4.0", scale="e2m0fnu", outer_rounding="stochastic:2"),
    MacSpec(a="e2m1", b="e2m1", acc="e3m2", chunk=4, outer="e4m2", out="e3m1", rounding="floor", overflow="infinity"),
    MacSpec(a="e2m1", b="e2m1", acc="e3m2fn", chunk=4, outer="e3m2fnuz", scale="e2m1", out="e2m2fn", overflow="nan"),
    MacSpec(a="e2m1", b="e2m1", acc="e3m3fnuz:flush", chunk=4, outer="fix4.2", outer_rounding="floor", out="e2m1fn"),
    MacSpec(a="int3", b="int3", acc="fix6.2", chunk=4, outer="fix4.1", scale="e2m1fn", rounding="floor", out="fix3.0"),
    MacSpec(a="e2m1", b="e2m1", acc="e3m2", chunk=4, outer="e4m2", out="e3m1", rounding="odd", overflow="to-infinity"),
    MacSpec(a="int3", b="int3", acc="fix6.2", chunk=4, outer="fix4.1", scale="e2m1fn", rounding="odd", out="fix3.0"),
]


@pytest.mark.thinned(3)
@pytest.mark.parametrize("spec", OUTER, ids=lambda spec: f"{spec.acc}-{spec.outer_format}-{spec.out_format}")
def test_every_chunk_sum_scale_and_state(spec):
    inner = Proof(spec, most_pairs=20_000).run()
    outer = OuterProof(inner, most_pairs=40_000).run()
    assert outer.complete or outer.steps > 30_000
    if spec.out_format != spec.outer_format:
        assert check_results(outer) == len(outer.states)


@pytest.mark.parametrize(
    "spec",
    [
        MacSpec(a="e2m2", b="e2m2", acc="e4m3", out="e3m1", outer_rounding="stochastic:3", overflow="infinity"),
        MacSpec(a="int3", b="int3", acc="fix6.2", chunk=4, out="fix3.1", outer_rounding="drop", rounding="drop"),
    ],
    ids=lambda spec: str(spec.out),
)
def test_results_of_the_only_adder_in_another_format(spec):
    proof = Proof(spec, most_pairs=20_000).run()
    assert check_results(proof) == len(proof.states) << spec.random_bits


@pytest.mark.thinned(3)
@pytest.mark.parametrize(
    "changed", [{"outer": "e3m3finite"}, {"outer_rounding": "rtz"}, {"scale": "e2m1finite"}, {"overflow": "saturate"}]
)
def test_another_contract_would_be_seen(changed):
    fields = {"a": "e2m1", "b": "e2m1", "acc": "e3m2", "outer": "e3m3", "scale": "e2m1", "overflow": "infinity"}
    inner = Proof(MacSpec(**fields), most_pairs=2_000).run()
    contract = MacSpec(**(fields | changed | ({"overflow": "saturate"} if "outer" in changed else {})))
    with pytest.raises(DifferenceError):
        OuterProof(inner, most_pairs=5_000, contract=contract).run()
