import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from macgen import MacSpec
from macgen.errors import MacgenError
from macgen.width.flooring import best_chunk, drift, min_man_bits, nsr
from macgen.width.monte_carlo import simulate

NORMAL = np.random.default_rng(9).standard_normal(1 << 16)
LENGTHS = st.integers(1, 1 << 40)
LOSS = 0.25 / math.log(2)  # of 2^-m_acc: half a last place over a log-uniform significand


@pytest.mark.parametrize(
    ("n", "m_acc", "chunk"), [(1, 5, None), (2, 5, None), (4, 5, None), (16, 6, None), (64, 9, None), (512, 9, None)]
)
def test_is_the_noise_of_long_products(n, m_acc, chunk):
    """The stated 5 %, and 4 % for the trials."""
    spec = MacSpec(a="e6m14", b="e2m1", acc=f"e8m{m_acc}", rounding="floor")
    found = simulate(spec, n, trials=4000, samples=(NORMAL, [1.0])).nsr
    assert found.value == pytest.approx(nsr(n, m_acc, chunk), rel=0.09)


@pytest.mark.parametrize(("n", "m_acc", "chunk"), [(64, 6, 2), (16, 6, 4), (64, 6, 8), (64, 7, 32), (512, 8, 32)])
def test_bounds_chunks(n, m_acc, chunk):
    spec = MacSpec(a="e6m14", b="e2m1", acc=f"e8m{m_acc}", chunk=chunk, rounding="floor")
    found = simulate(spec, n, trials=4000, samples=(NORMAL, [1.0])).nsr
    assert found.low < nsr(n, m_acc, chunk) < 1.4 * found.value


@pytest.mark.parametrize(("n", "m_acc", "chunk"), [(256, 9, None), (1024, 9, 16)])
def test_short_products_drift_less(n, m_acc, chunk):
    spec = MacSpec(a="e6m5", b="e2m1", acc=f"e8m{m_acc}", chunk=chunk, rounding="floor")
    assert simulate(spec, n, trials=1000, samples=(NORMAL, [1.0])).nsr.high < nsr(n, m_acc, chunk)


@pytest.mark.parametrize(("n", "m_acc"), [(1, 5), (2, 3), (300, 12)])
def test_drift_is_what_the_sums_magnitudes_lose(n, m_acc):
    magnitudes = np.sqrt(2 * np.arange(1, n + 1) / math.pi)  # of sums of so many addends of unit variance
    assert drift(n, m_acc) == pytest.approx(LOSS / 2**m_acc * magnitudes.sum() / math.sqrt(n), rel=1e-3)


@given(LENGTHS, st.integers(1, 64), st.none() | st.integers(1, 1 << 40))
def test_noise_and_drift_fall_with_the_width(n, m_acc, chunk):
    assert 0 < drift(n, m_acc, chunk) ** 2 < nsr(n, m_acc, chunk)
    if m_acc > 1:
        assert nsr(n, m_acc, chunk) < nsr(n, m_acc - 1, chunk)
    if chunk is not None and chunk >= n:
        assert nsr(n, m_acc, chunk) == nsr(n, m_acc)


@given(st.integers(1, 1 << 30), st.floats(1e-20, 1.0), st.none() | st.integers(1, 1 << 20))
def test_width_is_the_smallest_that_passes(n, target, chunk):
    found = min_man_bits(n, target, chunk)
    assert nsr(n, found, chunk) <= target
    assert found == 1 or nsr(n, found - 1, chunk) > target


@given(st.integers(64, 1 << 40))
def test_no_other_power_of_two_is_a_better_chunk(n):
    found = best_chunk(n)
    assert 0.5 < found / (4 * n) ** (1 / 3) < 2
    at_best = nsr(n, 30, found)
    assert all(nsr(n, 30, 1 << k) >= at_best * (1 - 0.02) for k in range(n.bit_length()))


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: nsr(0, 5), "n 0 is not an integer from 1 to 2^40"),
        (lambda: drift(True, 5), "n True is not an integer from 1 to 2^40"),
        (lambda: best_chunk(0), "n 0 is not an integer from 1 to 2^40"),
        (lambda: nsr(10, 65), "m_acc 65 is not an integer from 1 to 64"),
        (lambda: drift(10, 5, 0), "chunk 0 is not an integer from 1 to 2^40"),
        (lambda: min_man_bits(10, 0.0), "target 0.0 is not a number above 0 and at most 1"),
        (
            lambda: min_man_bits(1 << 40, 1e-30),
            "target 1e-30 needs more than 64 mantissa bits at n 1099511627776 with floor",
        ),
    ],
)
def test_wrong_arguments(call, sentence):
    with pytest.raises(MacgenError) as caught:
        call()
    assert str(caught.value) == sentence
