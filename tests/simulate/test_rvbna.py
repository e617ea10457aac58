"""The Verilog of RISC-V bulk normalisation in a simulator, against a restatement of Spike."""

import numpy as np
import pytest

from macgen import build, presets
from macgen.simulate.matmul import run_matmul
from tests.golden.rvbna import dots
from tests.golden.test_rvbna import RAISED, STEPS, drawn, kind_and_n
from tests.optional import need


def compare(name, side, simulator, directory):
    """Compare as many rows times as many columns, of three steps each."""
    spec, rng = presets[name].replace(rows=1, cols=1), np.random.default_rng(5)
    a, b = (drawn(rng, spec.a, (side, STEPS * spec.lanes)) for _ in "ab")
    build(spec, directory / "dut")
    found = run_matmul(directory / "dut", a, b.T, simulator=simulator, workdir=directory)
    for row in range(side):
        codes, flags = dots(*kind_and_n(name), np.repeat(a[row : row + 1], side, axis=0), b)
        np.testing.assert_array_equal(found.codes[row], codes)
        np.testing.assert_array_equal(found.flags[row] & RAISED, flags)


@pytest.mark.prove
@pytest.mark.parametrize("name", ["rvbna-e4m3-n4", "rvbna-e5m2-n8", "rvbna-bf16-n4"])
def test_a_thousand_dot_products_under_icarus(name, tmp_path):
    need("iverilog")
    compare(name, 32, "icarus", tmp_path)
