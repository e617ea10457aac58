"""Results converted to `out`: block by block, with each result's own random number."""

import tracemalloc

import numpy as np
import pytest

from macgen import MacSpec, golden
from macgen.emulate import numpy_products, random_numbers


@pytest.mark.parametrize("together", [1, 4, 1 << 16])
@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("rounding", ["rne", "stochastic:6", "stochastic:6:nearest"])
def test_blocks_of_results_are_converted_as_golden_does(rounding, turned, together, monkeypatch):
    monkeypatch.setattr(numpy_products, "_CONVERTED_TOGETHER", together)
    spec = MacSpec(a="e4m3", b="e4m3", acc="fp32", out="e5m2", outer_rounding=rounding, rows=2, cols=2)
    rng = np.random.default_rng(3)
    a, b = spec.a.encode(rng.integers(-8, 9, (5, 4)) / 4), spec.b.encode(rng.integers(-8, 9, (4, 7)) / 4)
    states = random_numbers.matmul_states(spec, 5, 7, 4) if spec.random_bits else None
    sums = spec.a.decode(a) @ spec.b.decode(b)  # exact
    values = np.array(sums, order="F" if turned else "C")
    expected = spec.out_format.decode(golden.matmul(spec, a, b)[0])
    assert numpy_products.converted(spec, values, states).tolist() == expected.tolist()


def test_dot_products_are_converted_in_blocks(monkeypatch):
    spec = MacSpec(a="e4m3", b="e4m3", acc="fp32", out="e5m2")
    values = np.array([1.0, 1.125, 1.375, 9.0, -65.0])
    monkeypatch.setattr(numpy_products, "_CONVERTED_TOGETHER", 2)
    assert numpy_products.converted(spec, values, None).tolist() == [1.0, 1.0, 1.5, 8.0, -64.0]


@pytest.mark.parametrize("rounding", ["rne", "stochastic:6", "stochastic:6:nearest"])
def test_converting_takes_little_memory(rounding):
    spec = MacSpec(a="e4m3", b="e4m3", acc="fp32", out="e5m2", outer_rounding=rounding)
    values = np.ones((2000, 1000))
    states = np.ones(values.shape, np.uint32) if spec.random_bits else None
    tracemalloc.start()
    try:
        numpy_products.converted(spec, values, states)
        assert tracemalloc.get_traced_memory()[1] < 4 << 20
    finally:
        tracemalloc.stop()
