import itertools
import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from macgen.errors import MacgenError
from macgen.numerics import FixedFormat, FloatFormat, all_codes, parse_format
from macgen.width.bounds import (
    a2q_bits,
    a2q_bits_of_weights,
    bits,
    exact_bits,
    exact_bits_of_weights,
    exact_format,
    holds,
    kulisch_bits,
    l1_norm,
    operand_range,
    sum_range,
    sum_range_of_weights,
)
from tests.strategies import fixed_formats, formats

HUGE = st.integers(1, 1 << 300)


def all_fractions(fmt):
    numbers = [fmt.number(int(code)) for code in all_codes(fmt)]
    return [number.to_fraction() for number in numbers if number.kind == "finite"]


def partial_sums(values, n):
    """Every sum that an accumulator can hold after up to n addends."""
    sums = {0}
    for _ in range(n):
        sums |= {x + value for x in sums for value in values}
    return sums


def fits(integers, width):
    return all(-(1 << (width - 1)) <= x < 1 << (width - 1) for x in integers)


@given(st.integers(-(1 << 70), 1 << 70), st.integers(0, 1 << 70))
def test_bits_are_the_fewest(low, more):
    high = low + more
    width = bits((low, high))
    assert fits((low, high), width)
    assert width == 1 or not fits((low, high), width - 1)
    if low >= 0:
        unsigned = bits((low, high), signed=False)
        assert high < 1 << unsigned
        assert unsigned == 1 or high >= 1 << (unsigned - 1)


@pytest.mark.parametrize(
    ("sums", "width"),
    [((0, 0), 1), ((-1, 0), 1), ((0, 1), 2), ((-2, 1), 2), ((-3, 1), 3), ((-128, 127), 8), ((0, 128), 9)],
)
def test_bits_at_powers_of_two(sums, width):
    assert bits(sums) == width


@given(formats(max_exp_bits=4, max_man_bits=3, max_width=7))
def test_operand_range_is_that_of_all_values(fmt):
    values = all_fractions(fmt)
    unit = Fraction(2) ** fmt.lsb_exponent
    assert tuple(end * unit for end in operand_range(fmt)) == (min(values), max(values))
    assert all((value / unit).denominator == 1 for value in values)


SMALL_RANGES = st.tuples(st.integers(-9, 9), st.integers(-9, 9)).map(lambda ends: (min(ends), max(ends)))


@pytest.mark.parametrize(
    ("fmt", "values", "held"),
    [
        ("int8", (-128, 127), True),
        ("int8", (-129, 0), False),
        ("int8", (0, 128), False),
        ("uint8", (0, 255), True),
        ("uint8", (-1, 1), False),
        ("fix4.4", (-8, 7), True),
        ("fix4.4", (0, 8), False),
        ("int64", (-(2**63), 2**63 - 1), True),
        ("int64", (0, 2**63), False),  # which is the float next to 2^63 - 1
        ("uint256", (0, 2**256), False),
    ],
)
def test_what_a_format_holds(fmt, values, held):
    assert holds(parse_format(fmt), values) is held


@given(SMALL_RANGES, SMALL_RANGES, st.integers(1, 4))
def test_sum_range_is_that_of_all_sums(a, b, n):
    products = {x * y for x in range(a[0], a[1] + 1) for y in range(b[0], b[1] + 1)}
    sums = partial_sums(products, n)
    assert sum_range(a, b, n) == (min(sums), max(sums))


@given(st.lists(st.integers(-20, 20), max_size=4), SMALL_RANGES)
def test_sum_range_of_weights_is_that_of_all_sums(weights, x):
    inputs = {0, *range(x[0], x[1] + 1)}
    sums = {0}
    for weight in weights:
        sums = {s + weight * value for s in sums for value in inputs}
    assert sum_range_of_weights(weights, x) == (min(sums), max(sums))


SMALL_FORMATS = formats(max_exp_bits=3, max_man_bits=2, max_width=4).filter(lambda fmt: abs(fmt.lsb_exponent) < 90)


@given(SMALL_FORMATS, SMALL_FORMATS, st.integers(1, 3))
def test_exact_format_is_the_smallest(a, b, n):
    products = {x * y for x, y in itertools.product(all_fractions(a), all_fractions(b))}
    fmt = exact_format(a, b, n)
    unit = Fraction(2) ** -fmt.frac_bits
    # Every product is on the grid, and every sum, whose ends are n times those of the products, is in the range.
    assert all((p / unit).denominator == 1 for p in products)
    ends = (min(0, n * min(products)) / unit, max(0, n * max(products)) / unit)
    assert fmt.min_integer <= ends[0]
    assert ends[1] <= fmt.max_integer
    assert fmt.signed == any(isinstance(operand, FloatFormat) or operand.signed for operand in (a, b))
    # One bit less after the point misses a product, one less before it an end.
    if all(any((x / Fraction(2) ** f.lsb_exponent) % 2 for x in all_fractions(f)) for f in (a, b)):  # not e1m1fn:flush
        assert any((p / (2 * unit)).denominator != 1 for p in products)
    if fmt.width > 1:
        less = FixedFormat(fmt.int_bits - 1, fmt.frac_bits, fmt.signed)
        assert ends[0] < less.min_integer or ends[1] > less.max_integer


@given(fixed_formats(max_width=64), fixed_formats(max_width=64), HUGE)
def test_exact_bits_of_huge_sums(a, b, n):
    corners = [x * y * n for x in (a.min_integer, a.max_integer) for y in (b.min_integer, b.max_integer)]
    width = exact_bits(a, b, n)
    assert fits(corners, width)
    assert width == 1 or not fits(corners, width - 1)


@pytest.mark.parametrize(
    ("a", "b", "n", "expected"),
    [
        ("int8", "int8", 4608, "int28"),
        ("int8", "int8", 576, "int25"),
        ("int4", "int4", 576, "int17"),
        ("int8", "int8", 1, "int16"),
        ("uint8", "uint8", 1, "uint16"),
        ("uint8", "uint8", 256, "uint24"),
        ("uint8", "int8", 256, "int24"),
        ("uint8", "int8", 258, "int25"),
        ("fix4.4", "ufix0.8", 256, "fix12.12"),
        ("e5m2", "e5m2", 4608, "fix45.32"),
        ("e4m3fn", "e4m3fn", 4608, "fix31.18"),
        ("e2m3finite", "e2m3finite", 4608, "fix19.6"),
        ("e5m2", "int8", 10, "fix28.16"),
        ("int8", "int8narrow", 1024, "int25"),  # 1024 * 128 * 127 < 2^24
        ("int8", "int8narrow", 9, "int19"),  # 9 * 128 * 127 < 2^18
        ("int8", "int8", 1024, "int26"),
        ("int8", "int8", 9, "int19"),
        ("int2narrow", "int2narrow", 7, "int4"),
        ("fix12.-4", "ufix12.-4", 16, "fix28.-8"),
        ("fix-2.10", "fix-2.10", 1, "fix-4.20"),
        ("fix12.-4", "fix-2.10", 3, "fix11.6"),
        ("e2m1finite:bias=-3", "e2m1finite:bias=-3", 1, "fix15.-6"),
    ],
)
def test_exact_formats(a, b, n, expected):
    assert str(exact_format(parse_format(a), parse_format(b), n)) == expected


@pytest.mark.parametrize(
    ("a", "b", "n", "expected"), [("int8", "int8", 4608, 28), ("int8", "int8", 576, 25), ("int4", "int4", 576, 17)]
)
def test_golden_values_of_a2q(a, b, n, expected):
    x, w = parse_format(a), parse_format(b)
    assert a2q_bits(x, w, n) == exact_bits(x, w, n) == expected


@given(st.booleans(), st.integers(1, 20), st.integers(1, 20), st.integers(1, 1 << 16))
def test_a2q_is_the_papers_formula_in_real_numbers(signed, x_bits, w_bits, n):
    alpha = math.log2(n) + x_bits + w_bits - 1 - signed
    real = alpha + math.log2(1 + 2**-alpha) + 1
    # log2 cannot tell 2^alpha + 1 from 2^alpha beyond 2^52, and rounds at powers of two: the integers decide there.
    if abs(real - round(real)) > 1e-9:
        assert a2q_bits(FixedFormat(x_bits, signed=signed), FixedFormat(w_bits), n) == math.ceil(real)


@given(st.integers(1, 40), st.integers(1, 40), HUGE)
def test_a2q_is_exact_for_signed_inputs(x_bits, w_bits, n):
    x, w = FixedFormat(x_bits), FixedFormat(w_bits)
    assert a2q_bits(x, w, n) == exact_bits(x, w, n)


@given(st.integers(1, 40), st.integers(1, 40), HUGE)
def test_a2q_is_at_most_a_bit_too_large_for_unsigned_inputs(x_bits, w_bits, n):
    x, w = FixedFormat(x_bits, signed=False), FixedFormat(w_bits)
    assert a2q_bits(x, w, n) - exact_bits(x, w, n) in ((0, 1) if x_bits > 1 else (1, 2))


def test_a2q_asks_a_bit_too_much_at_a_power_of_two():
    x, w = FixedFormat(8, signed=False), FixedFormat(8)
    assert (a2q_bits(x, w, 256), exact_bits(x, w, 256)) == (25, 24)


@given(st.lists(st.integers(-(1 << 40), 1 << 40), max_size=20), fixed_formats(max_width=40))
def test_widths_of_known_weights(weights, x):
    width = exact_bits_of_weights(weights, x)
    low = sum(min(w * x.min_integer, w * x.max_integer) for w in weights)
    high = sum(max(w * x.min_integer, w * x.max_integer) for w in weights)
    assert fits((low, high), width)
    assert width == 1 or not fits((low, high), width - 1)
    assert l1_norm(weights) == sum(map(abs, weights))
    assert width <= a2q_bits_of_weights(l1_norm(weights), x)


@pytest.mark.parametrize(
    ("weights", "x", "exact", "formula"),
    [
        ([1], "int8", 8, 9),
        ([-1], "int8", 9, 9),
        ([3, -4, 5], "uint8", 12, 13),
        ([64, 64], "int8", 15, 16),
        ([0, 0], "uint8", 1, 1),
        ([], "int8", 1, 1),
    ],
)
def test_widths_of_some_weights(weights, x, exact, formula):
    fmt = parse_format(x)
    assert exact_bits_of_weights(weights, fmt) == exact
    assert a2q_bits_of_weights(l1_norm(weights), fmt) == formula


def test_weights_in_narrow_arrays_do_not_overflow():
    weights = np.full(1000, -128, dtype=np.int8)
    assert l1_norm(weights) == 128_000
    assert sum_range_of_weights(weights, (-128, 127)) == (-128_000 * 127, 128_000 * 128)


@pytest.mark.parametrize(("fmt", "expected"), [("e5m2", 80), ("e4m3", 50), ("e2m3", 26)])
def test_golden_values_of_kulisch(fmt, expected):
    float_format = parse_format(fmt)
    assert kulisch_bits(float_format, float_format, 4608) == expected


@given(
    st.tuples(st.integers(2, 5), st.integers(1, 4), st.sampled_from(["ieee", "fn", "fnuz", "finite"])),
    st.tuples(st.integers(2, 5), st.integers(1, 4), st.sampled_from(["ieee", "fn", "fnuz", "finite"])),
    HUGE,
)
def test_kulisch_is_enough_and_little_more(a, b, n):
    a, b = (FloatFormat(exp_bits, man_bits, encoding=encoding) for exp_bits, man_bits, encoding in (a, b))
    assert 0 <= kulisch_bits(a, b, n) - exact_bits(a, b, n) <= 3


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: sum_range((0, 1), (0, 1), 0), "n 0 is not an integer from 1"),
        (lambda: sum_range((0, 1), (1, 0), 1), "b (1, 0) is not a range; accepted are two integers, the lowest first"),
        (
            lambda: sum_range((0.0, 1), (0, 1), 1),
            "a (0.0, 1) is not a range; accepted are two integers, the lowest first",
        ),
        (lambda: sum_range_of_weights([1], (1,)), "x (1,) is not a range; accepted are two integers, the lowest first"),
        (lambda: bits((-1, 1), signed=False), "sums (-1, 1) are negative; accepted for unsigned are sums from 0"),
        (lambda: l1_norm([1, 2.0]), "weight[1] 2.0 is not an integer"),
        (lambda: l1_norm(np.ones(3)), "weight[0] 1.0 is not an integer"),
        (lambda: l1_norm(np.array([True])), "weight[0] True is not an integer"),
        (
            lambda: l1_norm(np.ones((2, 3), dtype=int)),
            "weights have the shape (2, 3); accepted are those of one dot product",
        ),
        (lambda: a2q_bits_of_weights(-1, FixedFormat(8)), "l1_norm -1 is not an integer from 0"),
        (
            lambda: a2q_bits(FixedFormat(8), FixedFormat(8, signed=False), 1),
            "w uint8 is unsigned; accepted are signed weights",
        ),
        (lambda: a2q_bits(FixedFormat(8), FixedFormat(8), 0), "n 0 is not an integer from 1"),
        (lambda: kulisch_bits(FloatFormat(5, 2), FloatFormat(5, 2), True), "n True is not an integer from 1"),
        (
            lambda: exact_format(FloatFormat(8, 7), FloatFormat(8, 7), 4608),
            "sums of 4608 products of a e8m7 and b e8m7 need 536 bits; accepted are up to 256",
        ),
    ],
)
def test_wrong_arguments(call, sentence):
    with pytest.raises(MacgenError) as caught:
        call()
    assert str(caught.value) == sentence


def test_an_enormous_length_is_shown_short():
    with pytest.raises(MacgenError) as caught:
        exact_format(FixedFormat(8), FixedFormat(8), 10**10_000)
    assert len(str(caught.value)) < 200
