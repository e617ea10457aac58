from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from macgen import MacSpec, parse_format
from sim.addends import Addend, Aim, exact_code, factors_of, operands_of

SCALED = MacSpec(a="e2m1finite", b="e2m1finite", acc="fix12.2", scale="e8m0fnu", chunk=32, outer="fp32")


def value(fmt, code):
    return fmt.number(code).to_fraction()


@pytest.mark.parametrize("name", ["e5m2", "e4m3fnuz", "e2m1finite", "e5m2:flush", "int8", "uint4", "fix3.5"])
def test_exact_code_is_the_inverse_of_number(name):
    fmt = parse_format(name)
    for code in range(1 << fmt.width):
        number = fmt.number(code)
        if number.kind == "finite" and number.significand:
            assert value(fmt, exact_code(fmt, number.sign, number.significand, number.exponent)) == number.to_fraction()


def test_exact_code_refuses_what_the_format_does_not_have():
    fmt = parse_format("e5m2")
    assert exact_code(fmt, 0, 9, 0) is None
    assert exact_code(fmt, 0, 1, -17) is None
    assert exact_code(fmt, 0, 1, 16) is None
    assert exact_code(parse_format("uint4"), 1, 1, 0) is None
    assert exact_code(parse_format("e5m2:flush"), 0, 1, -16) is None


@given(
    st.sampled_from(["e5m2", "e4m3fn", "fp16", "int8", "uint4", "fix2.6", "e3m0finite"]),
    st.sampled_from(["e5m2", "e4m3fnuz", "fp16", "int8", "ufix0.4"]),
    st.integers(0, 1),
    st.integers(1, 300),
    st.integers(-40, 40),
)
def test_operands_have_the_product_asked_for(a, b, sign, significand, exponent):
    a, b = parse_format(a), parse_format(b)
    pair = operands_of(a, b, Addend(sign, significand, exponent))
    if pair is not None:
        product = value(a, pair[0]) * value(b, pair[1])
        assert product == (-1) ** sign * significand * Fraction(2) ** exponent


def test_a_format_without_a_positive_number_has_addends():
    """int1 is -1 or 0: int1 x int1 gives 0 and 1, int4 x int1 -7 to 8."""
    one_bit = Aim(MacSpec(a="int1", b="int1", acc="int2"), "steps")
    assert (one_bit.width, one_bit.largest, one_bit.largest_power, one_bit.repeats) == (1, 1, 0, 2)
    assert factors_of(one_bit, Addend(0, 1, 0)) == ((1, 1), (0, 0))
    assert factors_of(one_bit, Addend(1, 1, 0)) is None
    four_bits = Aim(MacSpec(a="int4", b="int1", acc="int6"), "steps")
    assert four_bits.width == 3
    assert factors_of(four_bits, Addend(1, 7, 0)) == ((7, 1), (0, 0))
    assert factors_of(four_bits, Addend(0, 1, 3)) == ((8, 1), (0, 0))  # -8 times -1


def test_powers_of_two_have_operands_over_the_whole_range():
    fmt = parse_format("e5m2")
    for exponent in range(-32, 31):
        assert operands_of(fmt, fmt, Addend(0, 1, exponent)) is not None
        assert operands_of(fmt, fmt, Addend(1, 1, exponent)) is not None
    assert operands_of(fmt, fmt, Addend(0, 1, -33)) is None


@given(st.integers(0, 1), st.integers(1, 64), st.integers(-250, 250), st.sampled_from(["e8m0fnu", "e4m3fn", "e5m0fnu"]))
def test_operands_and_scales_have_the_product_asked_for(sign, significand, exponent, scale):
    spec = MacSpec(a="e2m1finite", b="e4m3fn", acc="e8m20", scale=scale, chunk=4, outer="fp32")
    factors = factors_of(Aim(spec, "folds"), Addend(sign, significand, exponent))
    if factors is not None:
        (a, b), (a_scale, b_scale) = factors
        product = value(spec.a, a) * value(spec.b, b) * value(spec.scale, a_scale) * value(spec.scale, b_scale)
        assert product == (-1) ** sign * significand * Fraction(2) ** exponent


def test_scales_reach_every_power_of_two_between_the_ends():
    aim = Aim(SCALED, "folds")
    assert (aim.lowest, aim.highest) == (-2 - 254, 4 + 254)
    for exponent in range(aim.lowest, aim.highest + 1):
        assert factors_of(aim, Addend(1, 1, exponent)) is not None
    assert factors_of(aim, Addend(0, 1, aim.lowest - 1)) is None
