"""Fixed-point accumulators against fractions and plain integers, written from docs/arithmetic.md sections 2 to 4."""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from macgen import FixedFormat, MacSpec, emulate, golden
from macgen.numerics import SUM_ROUNDINGS
from tests.golden.by_definition import decode
from tests.strategies import codes, specs

OVERFLOW, INVALID = 1, 4


def value_of(fmt, code):
    """Return a code's value as a fraction; None for infinities and NaN."""
    if isinstance(fmt, FixedFormat):
        integer = code - 2**fmt.width if fmt.signed and code >= 2 ** (fmt.width - 1) else code
        return integer / Fraction(2) ** fmt.frac_bits
    sign, value = decode(fmt, code)
    return (-1) ** sign * value if isinstance(value, Fraction) else None


def finite_codes(fmt):
    return codes(fmt).filter(lambda code: value_of(fmt, code) is not None)


def rounded(spec, acc_value, addend, random=None):
    """Return (code, flags) of a sum."""
    acc = spec.acc
    if spec.rounding == "drop":
        unit = Fraction(2) ** -acc.frac_bits
        addend = math.trunc(addend / unit) * unit
    total = acc_value + addend
    units = total * Fraction(2) ** acc.frac_bits
    integer = {"rne": round, "floor": math.floor, "odd": to_odd}.get(spec.rounding, math.trunc)(units)
    if random is not None:
        _, bits, *nearest = spec.rounding.split(":")
        first_bits = (round if nearest else math.trunc)(abs(units - integer) * 2 ** int(bits))
        away = first_bits + random >= 2 ** int(bits)
        integer += away * (-1 if units < 0 else 1)
    lowest, largest = (
        (-(2 ** (acc.width - 1)) + acc.narrow, 2 ** (acc.width - 1) - 1) if acc.signed else (0, 2**acc.width - 1)
    )
    if lowest <= integer <= largest:
        return integer % 2**acc.width, 0
    if spec.overflow == "wrap":
        return integer % 2**acc.width, OVERFLOW
    return max(lowest, min(integer, largest)) % 2**acc.width, OVERFLOW


def to_odd(units):
    return math.floor(units) | (units.denominator != 1)


def random_number(data, spec):
    bits = spec.random_bits
    return data.draw(st.integers(0, 2**bits - 1)) if bits else None


def fixed_specs():
    return specs(max_side=1).filter(lambda spec: isinstance(spec.acc, FixedFormat))


@given(st.data())
def test_step(data):
    spec = data.draw(fixed_specs())
    for _ in range(20):
        acc, a, b = (data.draw(finite_codes(fmt)) for fmt in (spec.acc, spec.a, spec.b))
        product = value_of(spec.a, a) * value_of(spec.b, b)
        random = random_number(data, spec)
        assert golden.step(spec, acc, a, b, random) == rounded(spec, value_of(spec.acc, acc), product, random)


@given(st.data())
def test_fold(data):
    spec = data.draw(fixed_specs())
    for _ in range(20):
        outer, inner = data.draw(codes(spec.acc)), data.draw(codes(spec.acc))
        random, values = random_number(data, spec), (value_of(spec.acc, outer), value_of(spec.acc, inner))
        assert golden.fold(spec, outer, inner, random) == rounded(spec, *values, random)


@pytest.mark.parametrize("rounding", SUM_ROUNDINGS)
@pytest.mark.parametrize("overflow", ["saturate", "wrap"])
@pytest.mark.parametrize(
    ("a", "b", "acc"),
    [
        ("fix2.2", "fix2.1", "fix4.1"),
        ("ufix2.2", "uint2", "ufix4.0"),
        ("int3", "uint2", "int6"),
        ("fix1.3", "e2m1finite", "fix4.2"),
    ],
)
def test_every_step_of_small_formats(a, b, acc, overflow, rounding):
    spec = MacSpec(a=a, b=b, acc=acc, overflow=overflow, rounding=rounding)
    for c in range(2**spec.acc.width):
        for x in range(2**spec.a.width):
            for y in range(2**spec.b.width):
                expected = rounded(spec, value_of(spec.acc, c), value_of(spec.a, x) * value_of(spec.b, y))
                assert golden.step(spec, c, x, y) == expected, (spec, c, x, y)


@pytest.mark.parametrize("chunk", [None, 1, 37])
@pytest.mark.parametrize("acc", [np.int32, np.int16])
def test_integers_wrap_as_numpy_integers_do(acc, chunk):
    spec = MacSpec(a="int8", b="int8", acc=f"int{acc(0).itemsize * 8}", chunk=chunk, overflow="wrap")
    rng = np.random.default_rng(8)
    a, b = rng.integers(-128, 128, (9, 300)), rng.integers(-128, 128, (300, 7))
    a[0], b[:, 0] = -128, -128
    codes, flags = golden.matmul(spec, a.astype(np.int8).view(np.uint8), b.astype(np.int8).view(np.uint8))
    exact = a @ b
    np.testing.assert_array_equal(codes.view(acc), exact.astype(acc))
    if acc is np.int32:
        assert not flags.any()
    else:  # a sum that left the range and is outside at the end has raised its flag
        assert (flags[exact != exact.astype(acc)] == OVERFLOW).all()
        assert (flags == OVERFLOW).sum() >= 10


def test_saturated_sums_stay_at_the_end_of_the_range_until_the_sign_changes():
    spec = MacSpec(a="int8", b="int8", acc="int16", overflow="saturate")
    assert golden.dot(spec, [127] * 3, [127] * 3) == (32767, OVERFLOW)
    assert golden.dot(spec, [127] * 4, [127, 127, 127, 255]) == (32767 - 127, OVERFLOW)
    assert golden.dot(spec, [128] * 3, [127] * 3) == (0x8000, OVERFLOW)


@pytest.mark.parametrize("overflow", ["saturate", "wrap"])
def test_infinities_and_nans_of_float_operands(overflow):
    spec = MacSpec(a="e3m2", b="e3m2", acc="fix12.4", overflow=overflow)
    infinity, nan, signalling, minus = 0b11100, 0b11110, 0b11101, 0b100000
    for acc in (0, 5, 0xFFFF):
        assert golden.step(spec, acc, infinity, 1) == (0x7FFF, OVERFLOW)
        assert golden.step(spec, acc, 1 | minus, infinity) == (0x8000, OVERFLOW)
        for a, b in [(nan, 1), (signalling, 1), (infinity, 0), (0 | minus, infinity), (nan, infinity)]:
            assert golden.step(spec, acc, a, b) == (0x7FFF, INVALID)
    one = 0b01100
    assert golden.dot(spec, [nan, one], [one, one | minus]) == (0x7FFF - 16, INVALID)  # the next step goes on


def test_an_unsigned_accumulator_cannot_have_an_infinite_operand():
    with pytest.raises(ValueError, match="unsigned"):
        MacSpec(a="e3m2", b="e3m2", acc="ufix12.4")


@pytest.mark.parametrize(("rounding", "sixteenths"), [("floor", -3), ("rtz", -1)])
def test_floor_goes_down_where_truncation_goes_to_zero(rounding, sixteenths):
    """-1/128, 3/128 and -5/64 with 4 fraction bits, added up one after the other."""
    spec = MacSpec(a="fix1.7", b="int2", acc="fix4.4", rounding=rounding)
    code, flags = golden.dot(spec, [-1 % 256, 3, -10 % 256], [1, 1, 1])
    assert (code, flags) == (sixteenths % 256, golden.Flags(0))
    assert emulate.dots(spec, [[-1 / 128, 3 / 128, -5 / 64]], [[1, 1, 1]]).tolist() == [sixteenths / 16]
