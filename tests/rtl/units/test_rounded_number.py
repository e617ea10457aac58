"""Steps whose products are rounded first: every state that small accumulators reach with every product."""

import pytest

from macgen.spec import MacSpec
from tests.rtl.stages import DifferenceError, Proof

SPECS = [
    MacSpec(a="e2m1", b="e3m2", acc="e4m3", product="e3m1", chunk=4, overflow="infinity"),
    MacSpec(a="e2m2finite", b="e2m1finite", acc="e3m3:flush", product="e2m2fnuz:flush", chunk=4, rounding="rtz"),
    MacSpec(a="e3m2", b="e2m1", acc="e4m2finite", product="fix5.1", rounding="drop"),
    MacSpec(a="e2m2", b="int3", acc="fix6.1", product="e3m2fn", chunk=4, overflow="wrap"),
    MacSpec(a="int3", b="uint3", acc="fix8.0", product="fix3.1", chunk=4, overflow="wrap"),
]


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: f"{spec.product}-{spec.acc}")
def test_every_state_and_operand(spec):
    proof = Proof(spec, most_pairs=40_000).run()
    assert proof.complete or len(proof.states) >= 50


@pytest.mark.parametrize("product", [None, "e3m1:flush", "e3m2"])
def test_another_rounding_would_be_seen(product):
    """The proof itself: where golden rounds products in another way, or does not, it finds a difference."""
    hardware = MacSpec(a="e2m1", b="e3m2", acc="e4m3", product="e3m1", chunk=4)
    contract = MacSpec(a="e2m1", b="e3m2", acc="e4m3", product=product, chunk=4)
    with pytest.raises(DifferenceError):
        Proof(hardware, most_pairs=40_000, contract=contract).run()
