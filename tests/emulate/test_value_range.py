"""The bounds on which the proofs of the quick ways stand."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from macgen import MacSpec
from macgen.emulate.value_range import ValueRange, magnitude_bound, sums_are_exact
from macgen.numerics import all_codes, parse_format
from tests.strategies import formats


def exact_magnitudes(fmt):
    values = fmt.decode(all_codes(fmt))
    return {abs(Fraction(value)) for value in values[np.isfinite(values)].tolist()} - {0}


@given(formats(5, 3, 6).filter(lambda fmt: fmt.width <= 6), formats(5, 3, 6).filter(lambda fmt: fmt.width <= 6))
def test_products_of_all_values(a, b):
    bounds = ValueRange.of_products(a, b)
    products = {x * y for x in exact_magnitudes(a) for y in exact_magnitudes(b)}
    for product in products:
        units = product / Fraction(2) ** bounds.lsb_exponent
        assert units.denominator == 1
        odd = units.numerator // (units.numerator & -units.numerator)
        assert odd.bit_length() <= bounds.precision
        assert product < Fraction(2) ** bounds.top_exponent


@pytest.mark.parametrize(
    ("a", "b", "precision", "lsb", "largest"),
    [
        ("e5m2", "e5m2", 6, -32, 57344.0**2),
        ("e4m3fn", "e2m1finite", 6, -10, 448.0 * 6),
        ("int8", "uint8", 15, 0, 128 * 255),
    ],
)
def test_products_of_known_formats(a, b, precision, lsb, largest):
    bounds = ValueRange.of_products(parse_format(a), parse_format(b))
    assert (bounds.precision, bounds.lsb_exponent) == (precision, lsb)
    assert 2.0**bounds.top_exponent / 4 <= largest < 2.0**bounds.top_exponent


@given(st.data())
def test_magnitude_bound(data):
    m, k, n = (data.draw(st.integers(1, 4)) for _ in range(3))
    values = st.floats(allow_nan=False, allow_infinity=False)
    a = np.array([[data.draw(values) for _ in range(k)] for _ in range(m)])
    b = np.array([[data.draw(values) for _ in range(n)] for _ in range(k)])
    bound = magnitude_bound(a, b)
    sums = [
        sum(abs(Fraction(x) * Fraction(y)) for x, y in zip(row, column, strict=True))
        for row in a.tolist()
        for column in b.T.tolist()
    ]
    assert not np.isfinite(bound) or all(Fraction(bound) >= total for total in sums)


@pytest.mark.parametrize(
    ("a", "b", "acc", "limit"),
    [
        ("e5m2", "e5m2", "e6m9", 2.0 ** (10 - 32)),  # 10 significand bits over multiples of 2**-32
        ("e5m2", "e5m2", "e5m9", None),  # its subnormals are multiples of 2**-23 only
        ("int4", "int4", "e6m9:flush", 2.0**10),
        ("e5m2", "e5m2", "e6m9:flush", None),  # 2**-32 is below the smallest normal number
        ("int4", "int4", "e4m9:bias=0", 2.0**10),
        ("int4", "int4", "e3m20", 15.999992370605469),  # its largest value
        ("int8", "int8", "int32", 2.0**31 - 1),
        ("int8", "int8", "int80", 2.0**53),
        ("fix4.4", "fix4.4", "fix10.8", 2.0**9 - 2.0**-8),
        ("fix4.4", "fix4.4", "fix10.7", None),
    ],
)
def test_sums_are_exact_up_to_a_bound(a, b, acc, limit):
    spec = MacSpec(a=a, b=b, acc=acc)
    if limit is None:
        assert not sums_are_exact(spec, 0.0)
    else:
        assert sums_are_exact(spec, limit)
        assert not sums_are_exact(spec, np.nextafter(limit, np.inf))
    assert not sums_are_exact(spec, np.inf)
    assert not sums_are_exact(spec, np.nan)
