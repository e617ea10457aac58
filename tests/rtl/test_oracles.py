"""What the oracles rely on: steps of a PE, driven from outside, are what the whole array computes."""

from itertools import islice

import numpy as np
import pytest

from macgen import MacSpec
from macgen.golden.model import random_numbers
from macgen.numerics import Flags
from tests.rtl.step import RtlArray, additions, rtl_step

SPECS = {
    "bubble": MacSpec(a="e4m3", b="e5m2", acc="e5m4", overflow="infinity", chunk=4, rows=1, cols=1),
    "loaded": MacSpec(a="e4m3fn", b="e4m3fn", acc="fix24.18", chunk=16, fold="overlap", rows=1, cols=1),
    "stochastic": MacSpec(
        a="e5m2", b="e5m2", acc="e6m5", rounding="stochastic:13", chunk=3, fold="overlap", rows=1, cols=1, pipeline=2
    ),
}


@pytest.mark.thinned(3)
@pytest.mark.parametrize("name", SPECS)
def test_steps_make_the_array(name):
    spec, count = SPECS[name], 3_000
    steps, array = rtl_step(spec), RtlArray(spec)
    for length in (1, 4, 21):
        rng = np.random.default_rng([2026, length])
        a, b = (rng.integers(0, 1 << fmt.width, (count, length)) for fmt in (spec.a, spec.b))
        numbers = None
        if spec.random_bits:
            taken = count * additions(spec, length)
            numbers = np.fromiter(islice(random_numbers(spec), taken), np.uint32).reshape(count, -1)
        codes, flags = steps.sums(a, b, numbers)
        array_codes, array_flags = array.sums(a, b)
        np.testing.assert_array_equal(codes, array_codes)
        np.testing.assert_array_equal(flags, array_flags)
        assert len(np.unique(codes)) > 50
        assert np.bitwise_or.reduce(flags) & Flags.INVALID
