import math
import pickle
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from macgen.errors import MacgenError
from macgen.numerics import PLAIN_ROUNDINGS, FixedFormat, all_codes, all_values, parse_format
from tests.numerics.samples import values_around
from tests.strategies import fixed_formats

OVERFLOWS = ("saturate", "wrap")
SEEDS = st.integers(0, 2**32 - 1)


@pytest.mark.parametrize("field", ["int_bits", "frac_bits"])
@pytest.mark.parametrize("value", [-257, 257, 2.0, True, "8", None])
def test_init_wrong_bits(field, value):
    with pytest.raises(MacgenError) as caught:
        FixedFormat(**({"int_bits": 8, "frac_bits": 8} | {field: value}))
    assert str(caught.value) == f"{field} {value!r} is not an integer from -256 to 256"


def test_init_wrong_signed():
    with pytest.raises(MacgenError, match=r"^signed 1 is not true or false$"):
        FixedFormat(8, signed=1)


@pytest.mark.parametrize(
    ("args", "signed", "name", "width"),
    [
        ((0, 0), False, "uint0", 0),
        ((4, -4), True, "fix4.-4", 0),
        ((-8, 6), True, "fix-8.6", -2),
        ((200, 57), True, "fix200.57", 257),
    ],
)
def test_init_wrong_width(args, signed, name, width):
    with pytest.raises(MacgenError) as caught:
        FixedFormat(*args, signed=signed)
    summed = ", the sum of its two numbers" if args[1] else ""
    assert str(caught.value) == f"format {name} has {width} bits{summed}; accepted are 1 to 256"


@pytest.mark.parametrize("field", ["int_bits", "frac_bits"])
def test_init_enormous_integers_are_refused_in_a_short_sentence(field):
    with pytest.raises(MacgenError) as caught:
        FixedFormat(**({"int_bits": 8} | {field: 10**10_000}))
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize(
    ("text", "fmt"),
    [
        ("int8", FixedFormat(8)),
        ("uint4", FixedFormat(4, signed=False)),
        ("fix8.8", FixedFormat(8, 8)),
        ("fix8.0", FixedFormat(8)),
        ("ufix0.8", FixedFormat(0, 8, signed=False)),
        ("fix0.8", FixedFormat(0, 8)),
        ("fix12.-4", FixedFormat(12, -4)),
        ("fix-2.10", FixedFormat(-2, 10)),
        ("ufix12.-4", FixedFormat(12, -4, signed=False)),
        ("ufix-2.10", FixedFormat(-2, 10, signed=False)),
        ("int1", FixedFormat(1)),
        ("int256", FixedFormat(256)),
    ],
)
def test_parse(text, fmt):
    assert FixedFormat.parse(text) == fmt
    assert parse_format(text) == fmt


@pytest.mark.parametrize(
    "text",
    [
        "",
        "int",
        "int-8",
        "int8.8",
        "fix8",
        "fix8.",
        "fix.8",
        "fix--1.8",
        "fix8.-",
        "sint8",
        "INT8",
        "int8 ",
        "int8\n",
        "int٨",
    ],
)
def test_parse_wrong_text(text):
    with pytest.raises(MacgenError) as caught:
        FixedFormat.parse(text)
    assert str(caught.value) == (
        f"format {text!r} is not an integer or fixed-point format; accepted are intN, uintN, fixI.F and ufixI.F "
        f"(I and F may be negative and add up to the bits), intNnarrow and fixI.Fnarrow"
    )


@given(fixed_formats())
def test_print_and_parse(fmt):
    assert FixedFormat.parse(str(fmt)) == parse_format(str(fmt)) == fmt


@given(fixed_formats())
def test_every_format_is_immutable_hashable_and_picklable(fmt):
    copy = pickle.loads(pickle.dumps(fmt))
    assert copy == fmt
    assert hash(copy) == hash(fmt)
    with pytest.raises(AttributeError):
        fmt.int_bits = 3


def contract_value(fmt, code):
    integer = code - (1 << fmt.width) if fmt.signed and code >> (fmt.width - 1) else code
    return Fraction(integer) / Fraction(2) ** fmt.frac_bits


@given(fixed_formats(), st.data())
def test_number_and_decode_follow_the_contract(fmt, data):
    code = data.draw(st.integers(0, (1 << fmt.width) - 1))
    expected = contract_value(fmt, code)
    number = fmt.number(code)
    assert number.kind == "finite"
    assert number.to_fraction() == expected
    assert number.sign == (expected < 0)
    decoded = fmt.decode(code)
    assert decoded.dtype == np.float64
    assert float(decoded) == float(expected)


@given(fixed_formats())
def test_limits(fmt):
    values = [contract_value(fmt, fmt.largest_code(sign)) for sign in (0, 1)]
    assert values == [Fraction(n) * Fraction(2) ** fmt.lsb_exponent for n in (fmt.max_integer, fmt.min_integer)]
    assert fmt.max_integer - fmt.min_integer == (1 << fmt.width) - 1
    assert (fmt.max, fmt.min) == (float(values[0]), float(values[1]))
    largest = max(map(abs, values))
    assert Fraction(2) ** fmt.max_exponent <= largest < Fraction(2) ** (fmt.max_exponent + 1)
    assert not fmt.has_infinity
    assert not fmt.has_nan
    assert fmt.number(fmt.zero_code(1)).significand == 0


@given(fixed_formats(max_width=10))
def test_all_values_are_what_the_codes_mean_in_order(fmt):
    expected = sorted(contract_value(fmt, code) for code in range(1 << fmt.width))
    assert [Fraction(value) for value in all_values(fmt).tolist()] == expected
    assert all_codes(fmt).tolist() == list(range(1 << fmt.width))


@given(fixed_formats(max_width=10))
def test_ulp_is_the_gap_between_values(fmt):
    values = all_values(fmt)
    np.testing.assert_array_equal(fmt.ulp(values[:-1]), np.diff(values))
    assert fmt.ulp([[1e300]]).tolist() == [[2.0**-fmt.frac_bits]]
    assert np.isnan(fmt.ulp([np.inf, np.nan])).all()


def nearest_odd(x):
    """Return a fraction's own integer or, of the two beside it, the odd one."""
    return int(x) if x == int(x) else 2 * math.floor(x / 2) + 1


def contract_round(fmt, value, rounding, overflow):
    """R of docs/arithmetic.md section 3 on fractions: (value, overflow)."""
    scaled = value * Fraction(2) ** fmt.frac_bits
    integer = {"rne": round, "rtz": int, "floor": math.floor, "odd": nearest_odd}[rounding](scaled)
    if fmt.min_integer <= integer <= fmt.max_integer:
        return integer, False
    if overflow == "saturate":
        return min(max(integer, fmt.min_integer), fmt.max_integer), True
    wrapped = integer % (1 << fmt.width)
    return wrapped - (1 << fmt.width) if wrapped > fmt.max_integer else wrapped, True


@given(
    st.data(),
    fixed_formats(),
    st.integers(0, 1 << 300),
    st.booleans(),
    st.sampled_from(PLAIN_ROUNDINGS),
    st.sampled_from(OVERFLOWS),
)
def test_round_follows_the_contract(data, fmt, significand, sign, rounding, overflow):
    exponent = data.draw(st.integers(-fmt.frac_bits - 310, 20 - min(fmt.frac_bits, 0)))
    value = (-1) ** sign * significand * Fraction(2) ** exponent
    rounded = fmt.round(int(sign), significand, exponent, rounding, overflow)
    integer, overflows = contract_round(fmt, value, rounding, overflow)
    assert fmt.number(rounded.code).to_fraction() == Fraction(integer) / Fraction(2) ** fmt.frac_bits
    assert (rounded.overflow, rounded.underflow) == (overflows, False)


@given(fixed_formats(max_width=53), SEEDS, st.sampled_from(PLAIN_ROUNDINGS), st.sampled_from(OVERFLOWS))
def test_quantize_equals_round(fmt, seed, rounding, overflow):
    x = values_around(fmt, seed, count=12)
    codes = fmt.encode(fmt.quantize(x, rounding, overflow))
    expected = []
    for value in x.tolist():
        numerator, denominator = abs(Fraction(value)).as_integer_ratio()
        sign = int(math.copysign(1, value) < 0)
        expected.append(fmt.round(sign, numerator, 1 - denominator.bit_length(), rounding, overflow).code)
    assert codes.tolist() == expected


@given(fixed_formats(), SEEDS, st.sampled_from(PLAIN_ROUNDINGS), st.sampled_from(OVERFLOWS))
def test_quantize_gives_values_of_the_format_at_any_width(fmt, seed, rounding, overflow):
    x = values_around(fmt, seed, count=12)
    quantized = fmt.quantize(x, rounding, overflow)
    np.testing.assert_array_equal(fmt.decode(fmt.encode(quantized)), quantized)
    for value, result in zip(x.tolist(), quantized.tolist(), strict=True):
        integer, _ = contract_round(fmt, Fraction(value), rounding, overflow)
        exact = Fraction(integer) / Fraction(2) ** fmt.frac_bits
        assert abs(Fraction(result) - exact) <= abs(exact) * Fraction(2) ** -53


@given(fixed_formats(max_width=53), st.data())
def test_encode_inverts_decode(fmt, data):
    codes = data.draw(st.lists(st.integers(0, (1 << fmt.width) - 1), min_size=1, max_size=20))
    assert fmt.encode(fmt.decode(codes)).tolist() == codes


@given(fixed_formats(), SEEDS)
def test_encode_refuses_what_is_off_the_grid(fmt, seed):
    x = values_around(fmt, seed, count=5)
    for value in [*x[fmt.quantize(x) != x][::7].tolist(), math.inf, -math.inf, math.nan, 1e308]:
        with pytest.raises(MacgenError) as caught:
            fmt.encode([0.0, value])
        assert str(caught.value) == (
            f"value[1] = {value!r} is not a value of format {fmt}; accepted are values on its grid"
        )


@pytest.mark.parametrize(
    ("text", "x", "expected"),
    [
        ("int8", 128, -128),
        ("int8", -129, 127),
        ("int8", 1e300, 0),
        ("uint8", -1, 255),
        ("fix4.4", 8.0, -8.0),
        ("fix4.4", 1e308, 0.0),
        ("int64", -1, -1),
        ("int64", 2.0**63, -(2.0**63)),
        ("int64", -(2.0**63) - 2048, 2.0**63 - 2048),
        ("fix12.-4", 2048.0, -2048.0),
        ("fix12.-4", 1e300, 0.0),
        ("fix-2.10", 0.125, -0.125),
    ],
)
def test_wrap(text, x, expected):
    assert parse_format(text).quantize(x, overflow="wrap") == expected


@pytest.mark.parametrize(
    ("text", "low", "high"),
    [
        ("int8", -128, 127),
        ("uint8", 0, 255),
        ("fix4.4", -8, 7.9375),
        ("int64", -(2.0**63), 2.0**63 - 1024),
        ("fix12.-4", -2048, 2032),
        ("fix-2.10", -0.125, 0.125 - 2.0**-10),
        ("ufix-2.10", 0, 0.25 - 2.0**-10),
    ],
)
def test_saturate(text, low, high):
    np.testing.assert_array_equal(parse_format(text).quantize([-np.inf, -1e308, 1e308, np.inf]), [low, low, high, high])


def test_every_code_of_formats_whose_point_is_beyond_their_bits():
    """The three formats of docs/arithmetic.md, against integers times a power of two."""
    codes = np.arange(256)
    signed = np.where(codes > 127, codes - 256, codes)
    for text, integers, unit in (
        ("fix12.-4", signed, 16.0),
        ("fix-2.10", signed, 2.0**-10),
        ("ufix12.-4", codes, 16.0),
    ):
        fmt = parse_format(text)
        assert fmt.width == 8
        np.testing.assert_array_equal(fmt.decode(codes), integers * unit)
        np.testing.assert_array_equal(fmt.encode(integers * unit), codes)
        assert str(fmt) == text


@pytest.mark.parametrize(
    ("text", "lowest", "largest", "missing"),
    [
        ("int8narrow", -127, 127, 128),
        ("fix4.4narrow", -7.9375, 7.9375, 128),
        ("fix-2.10narrow", -127 / 1024, 127 / 1024, 128),
        ("fix12.-4narrow", -2032, 2032, 128),
        ("int2narrow", -1, 1, 2),
    ],
)
def test_narrow_formats_lack_the_lowest_code(text, lowest, largest, missing):
    fmt = parse_format(text)
    assert str(fmt) == text
    assert (fmt.min, fmt.max) == (lowest, largest)
    codes = [code for code in range(1 << fmt.width) if code != missing]
    assert all_codes(fmt).tolist() == codes
    assert fmt.encode(fmt.decode(codes)).tolist() == codes
    wide = FixedFormat(fmt.int_bits, fmt.frac_bits)
    assert [fmt.number(code) for code in codes] == [wide.number(code) for code in codes]
    for refused in (fmt.number, fmt.decode):
        with pytest.raises(MacgenError, match=rf"^code.* {missing} is no number of {text}; accepted are all others"):
            refused(missing)
    with pytest.raises(MacgenError, match=rf"is not a value of format {text}; accepted are values on its grid$"):
        fmt.encode(wide.min)
    # Rounding stops at the lowest value of the range, which is symmetric.
    assert fmt.quantize([-np.inf, wide.min, lowest]).tolist() == [lowest] * 3
    rounded = fmt.round(1, -wide.min_integer, -fmt.frac_bits, "rne", "saturate")
    assert (rounded.code, rounded.overflow) == (missing + 1, True)


@pytest.mark.parametrize("text", ["uint8narrow", "int1narrow", "ufix4.4narrow"])
def test_formats_that_cannot_be_narrow(text):
    with pytest.raises(MacgenError) as caught:
        FixedFormat.parse(text)
    assert str(caught.value) == f"format {text} cannot be narrow; accepted are signed formats of at least 2 bits"


def test_narrow_formats_do_not_wrap():
    with pytest.raises(MacgenError, match=r"^overflow 'wrap' is not one of saturate \(narrow formats\)$"):
        parse_format("int8narrow").quantize(1.0, overflow="wrap")


def test_init_wrong_narrow():
    with pytest.raises(MacgenError, match=r"^narrow 1 is not true or false$"):
        FixedFormat(8, narrow=1)


def test_values_too_small_for_binary64_once_scaled_are_off_the_grid():
    with pytest.raises(MacgenError, match=r"^value = 5e-324 is not a value of format fix12\.-4; "):
        parse_format("fix12.-4").encode(5e-324)


def test_zeros_are_positive():
    assert not np.signbit(parse_format("fix4.4").quantize([-0.0, -0.001])).any()


def test_quantize_wrong_rounding():
    with pytest.raises(MacgenError, match=r"^rounding 'up' is not one of rne, rtz, floor, odd$"):
        parse_format("int8").quantize(1.0, "up")


def test_quantize_wrong_overflow():
    message = r"^overflow 'infinity' is not one of saturate, wrap \(integer and fixed-point formats\)$"
    with pytest.raises(MacgenError, match=message):
        parse_format("int8").quantize(1.0, overflow="infinity")


@pytest.mark.parametrize(("overflow", "value"), [("saturate", math.nan), ("wrap", math.nan), ("wrap", math.inf)])
def test_quantize_what_cannot_be_held(overflow, value):
    with pytest.raises(MacgenError) as caught:
        parse_format("int8").quantize([0.0, value], overflow=overflow)
    accepted = "numbers and infinities" if overflow == "saturate" else "finite numbers"
    assert str(caught.value) == f"value[1] = {value!r} cannot be held by format int8; accepted are {accepted}"


@pytest.mark.parametrize("method", ["quantize", "encode", "ulp"])
def test_values_that_are_no_numbers(method):
    with pytest.raises(MacgenError, match=r"^values .* accepted are real numbers"):
        getattr(parse_format("int8"), method)(["x"])


def test_integers_that_binary64_does_not_hold_are_refused():
    with pytest.raises(MacgenError, match=r"^value\[0\] = 9007199254740993 is not exact in binary64; accepted are "):
        parse_format("int64").encode([2**53 + 1])


@pytest.mark.parametrize("code", [-1, 256, 1 << 70])
def test_codes_that_do_not_fit(code):
    with pytest.raises(MacgenError, match=rf"^code {code} is not from 0 to 255, the codes of int8$"):
        parse_format("int8").number(code)
    with pytest.raises(MacgenError, match=rf"^code\[1\] = {code} is not from 0 to 255, the codes of int8$"):
        parse_format("int8").decode([0, code])


def test_shapes_and_types():
    assert parse_format("int8").encode(np.ones((2, 3))).dtype == np.uint8
    assert parse_format("int32").encode(-1).tolist() == 2**32 - 1
    assert parse_format("int64").encode(-1).dtype == np.uint64
    wide = parse_format("int100").encode([-1.0, 1.0])
    assert wide.dtype == object
    assert wide.tolist() == [2**100 - 1, 1]
    assert parse_format("int100").decode(wide).tolist() == [-1.0, 1.0]
    assert parse_format("int8").decode([]).shape == parse_format("int100").encode([]).shape == (0,)
