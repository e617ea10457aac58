"""The shift register of a PE: its numbers are the contract's, whenever its additions come."""

import numpy as np
import pytest

from macgen.golden.model import random_numbers
from macgen.numerics import Lfsr
from macgen.rtl.parts.hierarchy import Modules
from macgen.rtl.random_source import RandomSource
from macgen.spec import MacSpec
from tests.rtl.gates import from_rtlil

LANES = 64


@pytest.mark.thinned(5)
@pytest.mark.parametrize("fold", ["bubble", "overlap"])
@pytest.mark.parametrize("bits", [1, 2, 13, 14, 19, 20, 26, 32])
def test_numbers_are_the_contract_s(bits, fold):
    """Lanes are PEs; additions come at random, with `overlap` often two in a cycle; a reset begins anew."""
    spec = MacSpec(a="e5m2", b="e5m2", acc="e6m5", chunk=4, fold=fold, rounding=f"stochastic:{bits}")
    component = RandomSource(bits, loads=fold == "overlap")
    gates, rng = from_rtlil(Modules("random").convert(component), "random"), np.random.default_rng(bits)
    pes = [(int(row), int(col)) for row, col in rng.integers(0, 256, (LANES, 2))]
    seeds = np.array([Lfsr.of(bits).seed(*pe) for pe in pes], np.uint64)
    state = gates.random_state(LANES, rng)
    for _ in range(2):
        _, state = gates.clock(LANES, {"seed": seeds, "rst": 1, "adds": 1}, state)
        sequences = [random_numbers(spec, pe) for pe in pes]
        for _ in range(60):
            inputs = {name: rng.integers(0, 2, LANES) for name in ("adds", "loads") if name in gates.inputs}
            out, state = gates.clock(LANES, inputs | {"seed": seeds, "rst": 0}, state)
            for name, number in (("adds", "number"), ("loads", "load_number")):
                for lane in np.flatnonzero(inputs.get(name, 0)).tolist():
                    assert int(out[number][lane]) == next(sequences[lane])
