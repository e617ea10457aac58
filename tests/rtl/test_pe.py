"""One PE on its own: what passes through it, what it hands on. Its arithmetic is tested with the adders, loops
and arrays."""

import numpy as np
import pytest

from macgen.rtl import Control, Design
from macgen.rtl.parts.hierarchy import Modules
from macgen.rtl.pe import Pe
from macgen.spec import MacSpec
from tests.rtl.gates import from_rtlil

LANES = 128


def gates_of(spec):
    return from_rtlil(Modules("pe").convert(Pe(Design(spec))), "pe")


@pytest.mark.thinned(3)
@pytest.mark.parametrize("pipeline", [1, 2, 3])
@pytest.mark.parametrize("fold", ["bubble", "overlap"])
@pytest.mark.parametrize("chunk", [None, 4])
def test_operands_and_control_pass_on_a_cycle_later(chunk, fold, pipeline):
    spec = MacSpec(a="e3m2", b="int4", acc="e4m5", chunk=chunk, fold=fold, pipeline=pipeline)
    gates = gates_of(spec)
    rng = np.random.default_rng(1)
    state, before = gates.random_state(LANES, rng), None
    controls = [f"control_in__{name}" for name in Control(spec).members]
    for _ in range(20):
        inputs = {"a_in": rng.integers(0, 1 << 6, LANES), "b_in": rng.integers(0, 1 << 4, LANES)}
        inputs |= {name: rng.integers(0, 2, LANES) for name in controls}
        out, state = gates.clock(LANES, inputs, state)
        if before is not None:
            for name, value in before.items():
                assert (out[name.replace("_in", "_out")] == value).all()
        before = inputs


@pytest.mark.parametrize("acc", ["e4m5", "int12"])
def test_result_register_takes_the_one_from_below_when_shifted_only(acc):
    spec = MacSpec(a="int4", b="int4", acc=acc)
    gates = gates_of(spec)
    rng = np.random.default_rng(2)
    _, state = gates.clock(LANES, {"rst": 1}, gates.random_state(LANES, rng))
    expected = None
    for _ in range(30):
        below, shift = rng.integers(0, 1 << Design(spec).result_bits, LANES), rng.integers(0, 2, LANES)
        out, state = gates.clock(LANES, {"shift": shift, "result_in": below}, state)
        result = out["result_out"].astype(np.int64)
        if expected is not None:
            assert (result == expected).all()
        expected = np.where(shift == 1, below, result)
