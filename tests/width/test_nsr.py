import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from macgen.errors import MacgenError
from macgen.spec import MacSpec
from macgen.width import monte_carlo, nsr
from macgen.width.nsr import best_chunk, estimate, min_man_bits

LENGTHS = st.integers(1, 1 << 40)


def simulate(n, m_acc, rounding, chunk=None, trials=4000, seed=1):
    """The ratio of an accumulator with m_acc mantissa bits, on normally distributed addends with 5."""
    rng = np.random.default_rng(seed)

    def add(acc, addend):
        fraction, exponent = np.frexp(acc + addend)  # exact: both are short
        scaled = np.ldexp(fraction, m_acc + 1)
        rounded = np.rint(scaled) if rounding == "rne" else np.floor(scaled + rng.random(trials))
        return np.ldexp(rounded, exponent - m_acc - 1)

    exact, outer, inner = np.zeros(trials), np.zeros(trials), np.zeros(trials)
    for k in range(n):
        fraction, exponent = np.frexp(rng.standard_normal(trials))
        addend = np.ldexp(np.rint(fraction * 64), exponent - 6)
        exact += addend
        inner = add(inner, addend)
        if chunk is not None and (k + 1) % chunk == 0:
            outer, inner = add(outer, inner), np.zeros(trials)
    return np.mean((outer + inner - exact) ** 2) / np.var(exact)


@pytest.mark.parametrize(
    ("n", "m_acc", "measured"),
    [(256, 4, 2.2e-2), (1024, 5, 2.3e-2), (4096, 6, 2.2e-2), (1024, 6, 5.7e-3), (4096, 8, 1.5e-3)],
)
def test_golden_values(n, m_acc, measured):
    assert estimate(n, m_acc).nsr == pytest.approx(measured, rel=0.08)
    assert estimate(n, m_acc).nsr == pytest.approx(0.0225 * (n + 1) / 4**m_acc, rel=0.002)


@pytest.mark.parametrize("rounding", ["rne", "stochastic"])
@pytest.mark.parametrize(("n", "m_acc", "chunk"), [(256, 5, None), (1024, 6, None), (1024, 5, 32), (1024, 4, 64)])
def test_accumulators_have_that_noise(n, m_acc, rounding, chunk):
    """The 7 and 12 % of the closed form, and 5 % for the 4000 trials."""
    expected = estimate(n, m_acc, rounding, chunk)
    assert expected.valid
    assert simulate(n, m_acc, rounding, chunk) == pytest.approx(expected.nsr, rel=0.12 if chunk is None else 0.17)


def test_validity_ends_at_a_twentieth():
    limit = 0.05 * 24 / 0.541 * 4**6 - 1
    assert estimate(math.floor(limit), 6).valid
    assert not estimate(math.ceil(limit), 6).valid
    assert estimate(math.ceil(limit), 6).nsr == pytest.approx(0.05, rel=1e-3)


@given(LENGTHS, st.integers(1, 64), st.none() | st.integers(1, 1 << 20))
def test_stochastic_is_twice_and_a_bit_a_factor_of_four(n, m_acc, chunk):
    rne = estimate(n, m_acc, "rne", chunk)
    assert estimate(n, m_acc, "stochastic", chunk).nsr == 2 * rne.nsr
    assert estimate(n, m_acc, "stochastic:13", chunk).nsr == 2 * rne.nsr
    if m_acc > 1:
        assert estimate(n, m_acc - 1, "rne", chunk).nsr == 4 * rne.nsr


@given(LENGTHS, st.integers(1, 1 << 20), st.integers(1, 30))
def test_chunks_add_both_lengths(n, chunk, m_acc):
    length = n + 1 if chunk >= n else chunk + 1 + math.ceil(n / chunk) + 1
    assert estimate(n, m_acc, chunk=chunk).nsr == pytest.approx(0.541 * length / (24 * 4**m_acc), rel=1e-12)


@pytest.mark.parametrize(
    ("n", "target", "rounding", "chunk", "expected"),
    [
        (4608, 0.01, "rne", None, 7),
        (4608, 0.01, "stochastic", None, 8),
        (4608, 0.01, "rne", 64, 5),
        (1, 1.0, "rne", None, 1),
        (1 << 40, 1e-3, "rne", None, 23),
    ],
)
def test_widths(n, target, rounding, chunk, expected):
    assert min_man_bits(n, target, rounding, chunk) == expected


@given(LENGTHS, st.floats(1e-12, 1.0), st.sampled_from([("rne", 0.0), ("stochastic", 0.5)]))
def test_widths_are_the_inverse(n, target, case):
    rounding, extra = case
    found = min_man_bits(n, target, rounding)
    assert estimate(n, found, rounding).nsr <= target
    assert found == 1 or estimate(n, found - 1, rounding).nsr > target
    real = 0.5 * math.log2(0.541 / 24 * (n + 1) / target) + extra
    assert found == max(1, math.ceil(real)) or abs(real - round(real)) < 1e-9


def test_no_width_reaches_a_tiny_target():
    with pytest.raises(MacgenError) as caught:
        min_man_bits(4608, 1e-40)
    assert str(caught.value) == (
        "target 1e-40 needs more than 64 mantissa bits at n 4608; accepted are targets from 3.1e-37"
    )


@given(st.integers(1, 5000))
def test_best_chunk_is_the_best_power_of_two(n):
    cost = {1 << e: (1 << e) + math.ceil(n / (1 << e)) for e in range(20)}
    found = best_chunk(n)
    assert cost[found] == min(cost.values())
    assert all(chunk <= found for chunk in cost if cost[chunk] == cost[found])


@pytest.mark.parametrize(
    ("n", "expected"), [(1, 1), (2, 2), (576, 32), (4608, 64), (3211264, 2048), (1 << 40, 1 << 20)]
)
def test_best_chunks(n, expected):
    assert best_chunk(n) == expected
    if n > 1:
        assert 0.5 <= expected / math.sqrt(n) <= 2


def test_truncation_has_its_closed_form_elsewhere():
    for refused in (lambda: estimate(100, 5, "rtz"), lambda: min_man_bits(100, 0.01, "rtz")):
        with pytest.raises(MacgenError, match=r"^rounding 'rtz' has another closed form.*macgen.width.truncation"):
            refused()


@pytest.mark.parametrize(("n", "m_acc", "chunk"), [(1024, 7, None), (4608, 6, 64), (1024, 5, 32)])
def test_drop_stays_below_its_bound(n, m_acc, chunk):
    spec = MacSpec(a="e6m5", b="e2m1", acc=f"e6m{m_acc}", chunk=chunk, rounding="drop")
    normal = np.random.default_rng(2).normal(size=100_000)
    measured = monte_carlo.simulate(spec, n, trials=1000, samples=(normal, [1.0])).nsr
    bound = estimate(n, m_acc, "drop", chunk).nsr
    assert measured.high < bound < 3 * measured.low


LONG = {"a": "e6m14", "b": "e2m1"}
"""Formats of which the products are longer than the accumulators below."""

NORMAL = np.random.default_rng(6).normal(size=100_000)


@pytest.mark.parametrize("n", [1, 2, 3, 4, 8, 9])
@pytest.mark.parametrize("product", [(LONG, (NORMAL, [1.0])), ({"a": "fp16", "b": "fp16"}, (NORMAL, NORMAL[::-1]))])
def test_short_sums(n, product):
    """Also the first product is rounded. The 7 % of the closed form, and 3 % for the trials."""
    formats, samples = product
    measured = monte_carlo.simulate(MacSpec(**formats, acc="e8m5"), n, trials=30_000, samples=samples).nsr
    assert measured.value == pytest.approx(estimate(n, 5).nsr, rel=0.1)


@pytest.mark.parametrize(("n", "chunk"), [(4, 2), (9, 3), (16, 4), (64, 8)])
def test_short_chunks(n, chunk):
    spec = MacSpec(**LONG, acc="e8m5", chunk=chunk)
    measured = monte_carlo.simulate(spec, n, trials=20_000, samples=(NORMAL, [1.0])).nsr
    assert measured.value == pytest.approx(estimate(n, 5, chunk=chunk).nsr, rel=0.15)


@pytest.mark.parametrize(
    ("n", "m_acc", "chunk"),
    [(1, 5, None), (2, 8, None), (3, 5, None), (4, 5, None), (64, 7, None), (16, 5, 4), (256, 9, 16), (1024, 9, 32)],
)
def test_drop_of_long_products_stays_below_its_bound(n, m_acc, chunk):
    spec = MacSpec(**LONG, acc=f"e8m{m_acc}", chunk=chunk, rounding="drop")
    trials = min(30_000, 4_000_000 // n)
    measured = monte_carlo.simulate(spec, n, trials=trials, samples=(NORMAL, [1.0])).nsr
    assert measured.value < estimate(n, m_acc, "drop", chunk).nsr < 2.1 * measured.value


@pytest.mark.parametrize("rounding", ["nearest", "stochasticly", "", None, 3])
def test_wrong_rounding(rounding):
    with pytest.raises(MacgenError) as caught:
        estimate(100, 5, rounding)
    assert str(caught.value) == f"rounding {rounding!r} is not one of rne, drop, stochastic"


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: estimate(0, 5), "n 0 is not an integer from 1 to 2^40"),
        (lambda: estimate(10, 0), "m_acc 0 is not an integer from 1 to 64"),
        (lambda: estimate(10, 5, chunk=0), "chunk 0 is not an integer from 1 to 2^40"),
        (lambda: min_man_bits(10, 0.0), "target 0.0 is not a number above 0 and at most 1"),
        (lambda: min_man_bits(10, 1.5), "target 1.5 is not a number above 0 and at most 1"),
        (lambda: best_chunk(2.0), "n 2.0 is not an integer from 1 to 2^40"),
    ],
)
def test_wrong_arguments(call, sentence):
    with pytest.raises(MacgenError) as caught:
        call()
    assert str(caught.value) == sentence


def test_estimates_are_immutable():
    with pytest.raises(AttributeError):
        nsr.NoiseEstimate(0.1).nsr = 0.2
