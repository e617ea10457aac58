"""Rounding at random on arrays: `round` of each format with the same numbers, which is written apart from it."""

import math
from fractions import Fraction

import numpy as np
import pytest

from macgen.errors import MacgenError
from macgen.numerics import Rounding, parse_format
from macgen.numerics.at_random import quantize_at_random

RANDOM = np.random.default_rng(11)


@pytest.mark.parametrize("name", [
    "e5m2", "e4m3fn", "e4m3fnuz", "e4m3fnuz:flush", "e3m2finite:flush", "e4m7finite:bias=10:none",
    "e8m7", "fix8.8", "int8",
    "fix2.6narrow", "uint4", "fix12.-4",
])  # fmt: skip
@pytest.mark.parametrize("rounding", ["stochastic:1", "stochastic:4", "stochastic:13", "stochastic:3:nearest"])
def test_as_round_does_with_the_same_numbers(name, rounding):
    fmt, rounding = parse_format(name), Rounding(rounding)
    x = np.concatenate([fmt.max * RANDOM.normal(size=150) * 2.0 ** RANDOM.integers(-20, 2, 150), [0.0, -0.0, fmt.max]])
    numbers = RANDOM.integers(0, 1 << rounding.random_bits, x.size)
    found = quantize_at_random(fmt, x, rounding, numbers)
    for value, number, rounded in zip(x.tolist(), numbers.tolist(), found.tolist(), strict=True):
        exact = Fraction(value)
        exponent = 1 - exact.denominator.bit_length()
        sign = int(math.copysign(1, value) < 0)
        code = fmt.round(sign, abs(exact.numerator), exponent, rounding.with_random(number), "saturate").code
        expected = float(fmt.decode(np.array([code]))[0])
        assert (rounded, math.copysign(1, rounded)) == (expected, math.copysign(1, expected)), (value, number)


def test_infinities_are_the_ends_and_nan_is_refused():
    fmt = parse_format("fix4.4")
    np.testing.assert_array_equal(
        quantize_at_random(fmt, np.array([np.inf, -np.inf]), Rounding("stochastic:4"), np.array([3, 3])), [7.9375, -8]
    )
    with pytest.raises(MacgenError, match="hold NaN"):
        quantize_at_random(fmt, np.array([np.nan]), Rounding("stochastic:4"), np.array([0]))
    with pytest.raises(MacgenError, match=r"takes 85 bits; accepted are up to 52"):
        quantize_at_random(parse_format("fp64"), np.zeros(1), Rounding("stochastic:32"), np.zeros(1))


def test_right_in_the_mean():
    fmt, rounding = parse_format("e4m3fn"), Rounding("stochastic:10")
    numbers = np.arange(1 << 10)
    x = np.full(numbers.shape, 1.0 + 3 / 64)  # between 1 and 1.125
    assert quantize_at_random(fmt, x, rounding, numbers).mean() == 1.0 + 3 / 64


@pytest.mark.parametrize(("x", "mean"), [
    (1 + 1 / 64, 1.0), (1 + 3 / 64, 1 + 4 / 64), (1 + 5 / 64, 1 + 4 / 64), (1 + 7 / 64, 1.125),
    (1 + 17 / 1024, 1 + 2 / 64), (1 + 111 / 1024, 1 + 6 / 64),
])  # fmt: skip
def test_to_nearest_beneath_two_bits(x, mean):
    """Between 1 and 1.125 two bits tell 1/32 apart: ties go to the even one of those, all else to the nearer one."""
    fmt, rounding = parse_format("e4m3fn"), Rounding("stochastic:2:nearest")
    for sign in (1, -1):
        found = quantize_at_random(fmt, np.full(4, sign * x), rounding, np.arange(4))
        assert found.mean() == sign * mean
