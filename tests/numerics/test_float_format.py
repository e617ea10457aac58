import math
import pickle
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from macgen.errors import MacgenError
from macgen.numerics import ALIASES, PLAIN_ROUNDINGS, FloatFormat, Number, all_codes, all_values, parse_format
from tests.numerics.samples import values_around
from tests.strategies import float_formats

SMALL = float_formats(max_exp_bits=4, max_man_bits=4)
SEEDS = st.integers(0, 2**32 - 1)


def refuses(message, *args, **kwargs):
    with pytest.raises(MacgenError) as caught:
        FloatFormat(*args, **kwargs)
    assert str(caught.value) == message


# -- construction ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [0, 12, -1, 2.0, True, "5", None])
def test_init_wrong_exp_bits(value):
    refuses(f"exp_bits {value!r} is not an integer from 1 to 11 (encoding 'fn')", value, 3, encoding="fn")


def test_init_wrong_exp_bits_ieee():
    refuses("exp_bits 1 is not an integer from 2 to 11 (encoding 'ieee')", 1, 3)


@pytest.mark.parametrize("value", [-1, 53, 2.0, False, "2", None])
def test_init_wrong_man_bits(value):
    refuses(f"man_bits {value!r} is not an integer from 0 to 52 (encoding 'finite')", 5, value, encoding="finite")


def test_init_wrong_man_bits_ieee():
    refuses("man_bits 0 is not an integer from 1 to 52 (encoding 'ieee')", 5, 0)


def test_init_wrong_man_bits_fn():
    refuses("man_bits 0 leaves e1m0fn no number but zero; accepted are 1 to 52", 1, 0, encoding="fn")


@pytest.mark.parametrize("value", [1.5, "15", False])
def test_init_wrong_bias_type(value):
    refuses(f"bias {value!r} is not an integer", 5, 2, bias=value)


@pytest.mark.parametrize("bias", [-994, 1074, 10**9])
def test_init_wrong_bias(bias):
    refuses(
        f"bias {bias} puts values of e5m2 outside binary64; accepted are biases that keep every value within 2^-1074 "
        f"to 2^1023",
        5,
        2,
        bias=bias,
    )


def test_init_bias_limits():
    assert FloatFormat(5, 2, bias=-993).max == 1.75 * 2.0**1023
    assert FloatFormat(5, 2, bias=1073).min_subnormal == 5e-324


def test_init_wrong_encoding():
    refuses("encoding 'ocp' is not one of ieee, fn, fnuz, finite, quiet", 5, 2, encoding="ocp")


def test_init_wrong_subnormals():
    refuses("subnormals True is not one of gradual, flush, none", 5, 2, subnormals=True)


@pytest.mark.parametrize("encoding", ["fn", "fnuz", "finite"])
def test_init_no_subnormals_and_no_mantissa(encoding):
    refuses(
        "man_bits 0 leaves no number of exponent field 0, which subnormals 'none' would add; accepted are 1 to 52, or "
        "subnormals 'flush'",
        4,
        0,
        encoding=encoding,
        subnormals="none",
    )


@pytest.mark.parametrize("field", ["exp_bits", "man_bits", "bias"])
def test_init_enormous_integers_are_refused_in_a_short_sentence(field):
    with pytest.raises(MacgenError) as caught:
        FloatFormat(**({"exp_bits": 5, "man_bits": 2} | {field: 10**10_000}))
    assert len(str(caught.value)) < 200


@given(float_formats())
def test_every_format_is_immutable_hashable_and_picklable(fmt):
    copy = pickle.loads(pickle.dumps(fmt))
    assert copy == fmt
    assert hash(copy) == hash(fmt)
    with pytest.raises(AttributeError):
        fmt.exp_bits = 3
    assert fmt == FloatFormat(
        fmt.exp_bits, fmt.man_bits, bias=fmt.bias, encoding=fmt.encoding, subnormals=fmt.subnormals
    )


# -- names -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "fmt"),
    [
        ("e5m2", FloatFormat(5, 2)),
        ("e4m3fn", FloatFormat(4, 3, encoding="fn")),
        ("e4m3fnuz", FloatFormat(4, 3, encoding="fnuz", bias=8)),
        ("e2m1finite", FloatFormat(2, 1, encoding="finite")),
        ("e6m9:flush", FloatFormat(6, 9, subnormals="flush")),
        ("e4m3fnuz:bias=11", FloatFormat(4, 3, encoding="fnuz", bias=11)),
        ("e4m3fn:bias=-5:flush", FloatFormat(4, 3, encoding="fn", bias=-5, subnormals="flush")),
        ("fp16", FloatFormat(5, 10)),
        ("bf16", FloatFormat(8, 7)),
        ("fp32", FloatFormat(8, 23)),
        ("fp64", FloatFormat(11, 52)),
        ("bf16:flush", FloatFormat(8, 7, subnormals="flush")),
        ("e5m2:none", FloatFormat(5, 2, subnormals="none")),
        ("e4m7finite:bias=10:none", FloatFormat(4, 7, encoding="finite", bias=10, subnormals="none")),
        ("fp16:bias=20", FloatFormat(5, 10, bias=20)),
        ("e5m2quiet:bias=12:flush", FloatFormat(5, 2, encoding="quiet", bias=12, subnormals="flush")),
    ],
)
def test_parse(text, fmt):
    assert FloatFormat.parse(text) == fmt
    assert parse_format(text) == fmt


@pytest.mark.parametrize(
    "text",
    [
        *("", "e", "e5", "e5m", "m2e5", "E5M2", "e5m2 ", " e5m2", "e5m2\n", "e5m2fnu", "e5m2ieee", "fp8", "bf17"),
        *("e5m2:", "e5m2:flush:bias=1", "e5m2:bias=", "e5m2:bias=x", "e-5m2", "e5.0m2", "e5m2:gradual", "fp16fn"),
        *("e٥m٢", "e5m2:bias=1234567", "e5m2:flush:none", "e5m2:none:flush"),
    ],
)
def test_parse_wrong_text(text):
    with pytest.raises(MacgenError) as caught:
        FloatFormat.parse(text)
    assert str(caught.value) == (
        f"format {text!r} is not a float format; accepted are eXmY with an optional fn, fnuz, finite or quiet, "
        f"then :bias=N, then :flush or :none, or fp16, bf16, fp32, fp64"
    )


def test_parse_out_of_range():
    with pytest.raises(MacgenError, match=r"^exp_bits 12 is not an integer from 2 to 11 \(encoding 'ieee'\)$"):
        FloatFormat.parse("e12m3")


def test_parse_text_of_any_length_is_refused_in_a_short_sentence():
    with pytest.raises(MacgenError) as caught:
        FloatFormat.parse("e5m2" * 100_000)
    assert len(str(caught.value)) < 300


@given(float_formats())
def test_print_and_parse(fmt):
    assert FloatFormat.parse(str(fmt)) == fmt
    assert parse_format(str(fmt)) == fmt


def test_aliases_print_as_what_they_mean():
    assert {alias: str(parse_format(alias)) for alias in ALIASES} == ALIASES


# -- decoding ----------------------------------------------------------------------------------------------------


def contract_number(fmt, code):
    """docs/arithmetic.md section 1, written down again from the tables: (kind, sign, magnitude)."""
    text = f"{code:0{fmt.width}b}"
    s, x, f = int(text[0]), int(text[1 : 1 + fmt.exp_bits], 2), int(text[1 + fmt.exp_bits :] or "0", 2)
    all_ones = "0" not in text[1:]
    if fmt.encoding in ("ieee", "quiet") and "0" not in text[1 : 1 + fmt.exp_bits]:
        if f == 0:
            return "infinite", s, 0
        is_quiet = fmt.encoding == "quiet" or text[1 + fmt.exp_bits] == "1"
        return "nan" if is_quiet else "signalling", s, 0
    if fmt.encoding == "fn" and all_ones:
        return "nan", s, 0
    if fmt.encoding == "fnuz" and s and x == 0 and f == 0:
        return "nan", s, 0
    if fmt.subnormals == "none" and x == 0 and f != 0:
        return "finite", s, (2**fmt.man_bits + f) * Fraction(2) ** (-fmt.bias - fmt.man_bits)
    if x == 0:
        f = 0 if fmt.subnormals == "flush" else f
        s = 0 if fmt.encoding == "fnuz" and f == 0 else s
        return "finite", s, f * Fraction(2) ** (1 - fmt.bias - fmt.man_bits)
    return "finite", s, (2**fmt.man_bits + f) * Fraction(2) ** (x - fmt.bias - fmt.man_bits)


def some_codes(fmt, seed, count=100):
    """All codes of a small format, of a large one random ones and the special ones."""
    if fmt.width <= 8:
        return range(1 << fmt.width)
    rng = np.random.default_rng(seed)
    exponents = [0, 1, (1 << fmt.exp_bits) - 2, (1 << fmt.exp_bits) - 1]
    mantissas = [0, 1, (1 << fmt.man_bits) // 2, (1 << fmt.man_bits) - 1]
    corners = [((s << fmt.exp_bits | x) << fmt.man_bits) | f for s in (0, 1) for x in exponents for f in mantissas]
    return corners + [int.from_bytes(rng.bytes(8), "big") >> (64 - fmt.width) for _ in range(count)]


@given(float_formats(), SEEDS)
def test_number_and_decode_follow_the_contract(fmt, seed):
    codes = some_codes(fmt, seed)
    decoded = fmt.decode(np.array(codes, dtype=np.uint64))
    for code, value in zip(codes, decoded.tolist(), strict=True):
        kind, sign, magnitude = contract_number(fmt, code)
        number = fmt.number(code)
        assert (number.kind, number.sign) == (kind, sign)
        if kind == "finite":
            assert abs(number.to_fraction()) == magnitude
            assert Fraction(value) == number.to_fraction()
            assert math.copysign(1, value) == (-1) ** sign
        else:
            assert math.isinf(value) if kind == "infinite" else math.isnan(value)
            assert math.isnan(value) or (value < 0) == sign
            with pytest.raises(ValueError, match=f"^{kind} has no value as a fraction$"):
                number.to_fraction()
        assert number.is_nan == (kind in ("nan", "signalling"))


@given(float_formats())
def test_limits_are_the_ends_of_what_the_codes_mean(fmt):
    positive = [fmt.number(code) for code in (1, 2, 1 << fmt.man_bits)]
    smallest = min(number.to_fraction() for number in positive if number.kind == "finite" and number.significand)
    assert Fraction(fmt.min_subnormal) == smallest
    if fmt.subnormals == "none":
        assert fmt.number(1).to_fraction() == Fraction(fmt.min_normal)
        assert fmt.min_normal == (1 + fmt.epsilon) * 2.0**fmt.min_exponent
        assert fmt.min_exponent == -fmt.bias
    else:
        assert fmt.number(1 << fmt.man_bits).to_fraction() == Fraction(fmt.min_normal)
        assert fmt.min_normal == 2.0**fmt.min_exponent
        assert fmt.min_exponent == 1 - fmt.bias
    assert fmt.number(fmt.max_code).to_fraction() == Fraction(fmt.max)
    assert fmt.max_code == (1 << (fmt.width - 1)) - 1 or fmt.number(fmt.max_code + 1).kind in ("infinite", "nan")
    assert 2.0**fmt.max_exponent <= fmt.max
    assert Fraction(fmt.max) < Fraction(2) ** (fmt.max_exponent + 1)
    assert fmt.precision == fmt.man_bits + 1
    assert fmt.lsb_exponent == fmt.min_exponent - fmt.man_bits
    assert fmt.epsilon == 2.0**-fmt.man_bits


@given(float_formats())
def test_special_codes(fmt):
    for sign in (0, 1):
        largest, zero = fmt.number(fmt.largest_code(sign)), fmt.number(fmt.zero_code(sign))
        assert largest.sign == sign
        assert largest.to_fraction() == (-1) ** sign * Fraction(fmt.max)
        assert (zero.kind, zero.significand) == ("finite", 0)
        assert zero.sign == (sign and fmt.encoding != "fnuz")
        if fmt.has_infinity:
            assert fmt.number(fmt.infinity_code(sign)) == Number("infinite", sign)
    if fmt.has_nan:
        assert fmt.number(fmt.nan_code).kind == "nan"


@pytest.mark.parametrize(
    ("text", "code"),
    [("e5m2", 0b0_11111_10), ("e4m3", 0b0_1111_100), ("e4m3fn", 0b0_1111_111), ("e4m3fnuz", 0x80), ("e3m1", 0b0_111_1)],
)
def test_canonical_nan(text, code):
    assert parse_format(text).nan_code == code


def test_what_an_encoding_has_not():
    with pytest.raises(MacgenError, match=r"^format e2m1finite has no NaN; accepted are ieee, quiet, fn and fnuz "):
        _ = parse_format("e2m1finite").nan_code
    with pytest.raises(MacgenError, match=r"^format e4m3fn has no infinity; accepted are the ieee and quiet enc"):
        parse_format("e4m3fn").infinity_code(0)


@pytest.mark.parametrize("code", [-1, 256, 1 << 70])
def test_codes_that_do_not_fit(code):
    fmt = parse_format("e5m2")
    with pytest.raises(MacgenError, match=rf"^code {code} is not from 0 to 255, the codes of e5m2$"):
        fmt.number(code)
    with pytest.raises(MacgenError, match=rf"^code\[1, 0\] = {code} is not from 0 to 255, the codes of e5m2$"):
        fmt.decode([[0, 1], [code, 2]])


# -- order, enumeration, ULPs ------------------------------------------------------------------------------------


@given(SMALL)
def test_all_values_are_what_the_codes_mean_in_order(fmt):
    numbers = [contract_number(fmt, code) for code in range(1 << fmt.width)]
    expected = sorted({(-1) ** sign * value for kind, sign, value in numbers if kind == "finite"})
    values = all_values(fmt)
    assert [Fraction(value) for value in values.tolist()] == expected
    assert not np.signbit(values[values == 0]).any()


@given(SMALL)
def test_ulp_is_the_gap_to_the_next_larger_value(fmt):
    assume(fmt.lsb_exponent > -1074)  # else binary64 does not hold the midpoints
    values = all_values(fmt)
    values = values[values >= 0]
    gaps = np.diff(values)
    np.testing.assert_array_equal(fmt.ulp(values[:-1]), gaps)
    np.testing.assert_array_equal(fmt.ulp(-values[:-1]), gaps)
    np.testing.assert_array_equal(fmt.ulp(values[:-1] / 2 + values[1:] / 2), gaps)
    assert (
        fmt.ulp(fmt.max)
        == fmt.ulp(1e300 if fmt.max_exponent < 900 else fmt.max)
        == 2.0 ** (fmt.max_exponent - fmt.man_bits)
    )


@given(float_formats())
def test_ulp_at_the_limits(fmt):
    assert fmt.ulp(fmt.min_normal) == 2.0**fmt.lsb_exponent
    assert fmt.ulp(0.0) == fmt.min_subnormal
    assert fmt.ulp(fmt.min_normal / 2) == fmt.min_subnormal
    assert np.isnan(fmt.ulp([np.inf, -np.inf, np.nan])).all()
    assert fmt.ulp([[0.0, 1.0]]).shape == (1, 2)


@given(SMALL)
def test_from_the_sum_exponent_on_every_multiple_is_a_value(fmt):
    values = set(all_values(fmt).tolist())

    def all_are_values(exponent):
        multiples = [n * 2.0**exponent for n in range(1 << fmt.precision)]
        return values.issuperset(x for x in multiples if x <= fmt.max)

    assume(fmt.sum_exponent > -1074)
    assert all_are_values(fmt.sum_exponent)
    assert fmt.max_exponent < fmt.sum_exponent or not all_are_values(fmt.sum_exponent - 1)


def test_all_codes_of_wide_formats_are_refused():
    with pytest.raises(
        MacgenError, match=r"^format e8m23 has 2\^32 codes, too many to enumerate; accepted are up to 24"
    ):
        all_codes(parse_format("fp32"))


# -- rounding one value ------------------------------------------------------------------------------------------


def nearest_odd(x):
    """Return a fraction's own integer or, of the two beside it, the odd one."""
    return int(x) if x == int(x) else 2 * math.floor(x / 2) + 1


def contract_round(fmt, value, rounding, overflow):
    """R of docs/arithmetic.md section 3 on fractions: (value or infinity, sign, overflow, underflow)."""
    sign, magnitude = int(value < 0), abs(value)
    to_integer = {"rne": round, "rtz": int, "floor": math.ceil if sign else math.floor, "odd": nearest_odd}[rounding]
    exponent = 0
    while Fraction(2) ** exponent > magnitude:
        exponent -= 1
    while Fraction(2) ** (exponent + 1) <= magnitude:
        exponent += 1
    quantum = Fraction(2) ** (exponent - fmt.man_bits)
    unbounded = to_integer(magnitude / quantum) * quantum
    if unbounded > Fraction(fmt.max):
        if overflow == "nan":
            return math.nan, sign, True, False
        infinite = overflow == "infinity" and (rounding == "rne" or (rounding == "floor" and sign == 1))
        return math.inf if infinite or overflow == "to-infinity" else Fraction(fmt.max), sign, True, False
    if unbounded < Fraction(fmt.min_normal):
        if fmt.subnormals != "gradual":
            return Fraction(0), 0, False, True
        grid = Fraction(2) ** fmt.lsb_exponent
        result = to_integer(magnitude / grid) * grid
        return result, sign, False, result != magnitude
    return unbounded, sign, False, False


def overflows_of(fmt):
    return ["saturate", *(["infinity", "to-infinity"] if fmt.has_infinity else ["nan"] if fmt.has_nan else [])]


@given(
    st.data(), float_formats(max_exp_bits=6), st.integers(1, 1 << 70), st.booleans(), st.sampled_from(PLAIN_ROUNDINGS)
)
def test_round_follows_the_contract(data, fmt, significand, sign, rounding):
    overflow = data.draw(st.sampled_from(overflows_of(fmt)))
    top = significand.bit_length()
    exponent = data.draw(st.integers(fmt.lsb_exponent - top - 3, fmt.max_exponent - top + 3))
    value = (-1) ** sign * significand * Fraction(2) ** exponent
    rounded = fmt.round(int(sign), significand, exponent, rounding, overflow)
    expected, expected_sign, overflows, underflows = contract_round(fmt, value, rounding, overflow)
    number = fmt.number(rounded.code)
    assert (rounded.overflow, rounded.underflow) == (overflows, underflows)
    if expected is math.nan:
        assert rounded.code == fmt.nan_code
        return
    if expected == math.inf:
        assert number.kind == "infinite"
    else:
        assert number.kind == "finite"
        assert abs(number.to_fraction()) == expected
    assert number.sign == (expected_sign if expected or fmt.encoding != "fnuz" else 0)


@given(SMALL, st.integers(1, 1 << 12), st.integers(-30, 10), st.sampled_from(PLAIN_ROUNDINGS))
def test_round_gives_a_neighbour_and_the_nearest_one(fmt, significand, exponent, rounding):
    value = significand * Fraction(2) ** (exponent + fmt.lsb_exponent)
    code = fmt.round(0, significand, exponent + fmt.lsb_exponent, rounding, "saturate").code
    result = fmt.number(code).to_fraction()
    grid = [Fraction(x) for x in all_values(fmt).tolist() if x >= 0]
    below = max(x for x in grid if x <= value)
    above = min((x for x in grid if x >= value), default=below)
    assert result in (below, above)
    if rounding == "odd":
        flushed = not result and fmt.subnormals != "gradual"
        assert code & 1 or result in (value, grid[-1]) or flushed or not fmt.man_bits
    elif rounding != "rne":
        assert result == below or fmt.subnormals == "flush"
    elif value >= Fraction(fmt.min_normal) or fmt.subnormals == "gradual":
        assert abs(result - value) == min(value - below, above - value) or value > grid[-1]


@given(float_formats(), st.booleans(), st.integers(-3000, 3000), st.sampled_from(PLAIN_ROUNDINGS))
def test_round_zero(fmt, sign, exponent, rounding):
    rounded = fmt.round(int(sign), 0, exponent, rounding, "saturate")
    assert (rounded.overflow, rounded.underflow) == (False, False)
    assert rounded.code == fmt.zero_code(int(sign))


@pytest.mark.parametrize("rounding", PLAIN_ROUNDINGS)
@pytest.mark.parametrize("overflow", ["saturate", "infinity", "to-infinity"])
def test_round_infinitely_large_and_small(rounding, overflow):
    fmt = parse_format("e5m2")
    huge = fmt.round(1, 1, 100_000, rounding, overflow)
    assert huge.overflow
    stays = overflow == "saturate" or (overflow == "infinity" and rounding in ("rtz", "odd"))
    assert huge.code == (0xFB if stays else 0xFC)
    tiny = fmt.round(1, 1, -100_000, rounding, overflow)
    assert (tiny.code, tiny.underflow) == (0x81 if rounding in ("floor", "odd") else 0x80, True)


# -- arrays against single values --------------------------------------------------------------------------------


def scalar_round(fmt, value, rounding, overflow):
    if value == 0:
        return fmt.zero_code(int(math.copysign(1, value) < 0))
    numerator, denominator = abs(Fraction(value)).as_integer_ratio()
    return fmt.round(int(value < 0), numerator, 1 - denominator.bit_length(), rounding, overflow).code


@given(st.data(), float_formats(), SEEDS, st.sampled_from(PLAIN_ROUNDINGS))
def test_quantize_equals_round(data, fmt, seed, rounding):
    overflow = data.draw(st.sampled_from(overflows_of(fmt)))
    x = values_around(fmt, seed, count=12)
    codes = fmt.encode(fmt.quantize(x, rounding, overflow))
    assert codes.tolist() == [scalar_round(fmt, value, rounding, overflow) for value in x.tolist()]


@given(float_formats(), SEEDS, st.integers(0, 4))
def test_quantize_of_arrays_without_extremes_equals_round(fmt, seed, power):
    """They take a few operations; one number near binary64's end lets all take the others."""
    x = values_around(fmt, seed, count=12)
    x = x[np.abs(x) < 2.0 ** (1000 - 60 * power)]
    if x.size:
        codes = fmt.encode(fmt.quantize(x))
        assert codes.tolist() == [scalar_round(fmt, value, "rne", "saturate") for value in x.tolist()]
        zeros = np.array([0.0, -0.0])
        np.testing.assert_array_equal(np.signbit(fmt.quantize(zeros)), [False, fmt.encoding != "fnuz"])


@pytest.mark.parametrize(
    "text", ["e3m0finite:bias=-1016", "e3m0finite:bias=-900", "e2m3:bias=980", "e8m2:bias=1000:flush"]
)
def test_quantize_to_formats_near_the_ends_of_binary64(text):
    fmt = parse_format(text)
    x = np.array([1.5, -1.25, 0.0, -0.0, 3e-7, fmt.min_normal, fmt.max])
    assert fmt.encode(fmt.quantize(x)).tolist() == [scalar_round(fmt, v, "rne", "saturate") for v in x.tolist()]


@given(float_formats(), SEEDS)
def test_encode_inverts_decode(fmt, seed):
    codes = [code for code in some_codes(fmt, seed) if not fmt.number(code).is_nan]
    encoded = fmt.encode(fmt.decode(codes)).tolist()
    for code, back in zip(codes, encoded, strict=True):
        assert back == code or (fmt.number(code) == fmt.number(back) and fmt.subnormals == "flush")


@given(float_formats(), SEEDS)
def test_quantize_keeps_what_is_on_the_grid(fmt, seed):
    values = fmt.decode([code for code in some_codes(fmt, seed) if fmt.number(code).kind == "finite"])
    for rounding in PLAIN_ROUNDINGS:
        for overflow in overflows_of(fmt):
            kept = fmt.quantize(values, rounding, overflow)
            np.testing.assert_array_equal(kept, values)
            np.testing.assert_array_equal(np.signbit(kept), np.signbit(values))


@given(float_formats(), SEEDS)
def test_encode_refuses_what_is_off_the_grid(fmt, seed):
    x = values_around(fmt, seed, count=5)
    off_grid = x[fmt.quantize(x) != x]
    for value in off_grid[::7].tolist():
        with pytest.raises(MacgenError) as caught:
            fmt.encode([0.0, value])
        assert str(caught.value) == (
            f"value[1] = {value!r} is not a value of format {fmt}; accepted are values on its grid"
        )


@pytest.mark.parametrize(
    ("overflow", "rounding"),
    [("saturate", "floor"), ("saturate", "rne"), ("infinity", "rne"), ("infinity", "rtz"), ("nan", "floor")],
)
def test_infinities_where_the_encoding_has_none(overflow, rounding):
    e4m3fn, finite = parse_format("e4m3fn"), parse_format("e2m1finite")
    expected = 448.0 if overflow == "saturate" else np.nan
    np.testing.assert_array_equal(e4m3fn.quantize([np.inf, -np.inf], rounding, overflow), [expected, -expected])
    if overflow != "nan":
        np.testing.assert_array_equal(finite.quantize([np.inf, -np.inf], rounding, overflow), [6.0, -6.0])


def test_infinities_stay_where_the_encoding_has_them():
    np.testing.assert_array_equal(parse_format("e5m2").quantize([np.inf, -np.inf]), [np.inf, -np.inf])
    np.testing.assert_array_equal(parse_format("e5m2").encode([np.inf, -np.inf]), [0x7C, 0xFC])


def test_negative_zero_has_no_code_of_its_own_in_fnuz():
    fmt = parse_format("e4m3fnuz")
    np.testing.assert_array_equal(fmt.encode([-0.0, 0.0]), [0, 0])
    assert not np.signbit(fmt.quantize([-0.0, -1e-30])).any()


@pytest.mark.parametrize("text", ["e4m3fnuz:flush", "e5m10fnuz:flush"])
def test_flushed_subnormals_of_fnuz_are_plus_zero(text):
    fmt = parse_format(text)
    code = fmt.nan_code + 1
    assert not np.signbit(fmt.decode(code))
    assert fmt.number(code).sign == 0


@pytest.mark.parametrize("method", ["quantize", "encode", "ulp"])
def test_ragged_values(method):
    with pytest.raises(MacgenError, match=r"^rows of values differ in length; accepted are equal lengths$"):
        getattr(parse_format("e5m2"), method)([[1.0], [1.0, 2.0]])


@pytest.mark.parametrize("bad", ["x", [1.0, "x"], 1j, [None, object()], 10**400])
@pytest.mark.parametrize("method", ["quantize", "encode", "ulp"])
def test_values_that_are_no_numbers(method, bad):
    with pytest.raises(MacgenError, match=r"^values .* accepted are real numbers"):
        getattr(parse_format("e5m2"), method)(bad)


@pytest.mark.parametrize("bad", [1.0, "x", [[1], [1, 2]], None, True, [1.5, 1 << 80], [None], ["a", 2], np.ones(2)])
def test_codes_that_are_no_integers(bad):
    with pytest.raises(MacgenError, match=r"^codes of e5m2 are not all integers; accepted are unsigned integers$"):
        parse_format("e5m2").decode(bad)


def test_integers_that_binary64_does_not_hold_are_refused():
    fmt = parse_format("fp64")
    with pytest.raises(MacgenError, match=r"^value\[1\] = 9007199254740993 is not exact in binary64; accepted are "):
        fmt.quantize(np.array([2**53, 2**53 + 1]))


@pytest.mark.parametrize("empty", [[], np.zeros((0, 3))])
def test_empty_arrays(empty):
    fmt = parse_format("e5m2")
    shape = np.shape(empty)
    assert fmt.decode(empty).shape == fmt.encode(empty).shape == fmt.quantize(empty).shape == shape
    assert fmt.decode(fmt.encode(empty)).dtype == np.float64


def test_codes_of_64_bits():
    fmt = parse_format("fp64")
    codes = [0, 1, 0x3FF0_0000_0000_0000, 0x7FEF_FFFF_FFFF_FFFF, 0x7FF0_0000_0000_0000, 0x8000_0000_0000_0001]
    values = [0.0, 5e-324, 1.0, np.finfo(float).max, np.inf, -5e-324]
    assert fmt.decode(codes).tolist() == fmt.decode(np.array(codes, dtype=np.uint64)).tolist() == values
    assert [float(fmt.decode(code)) for code in codes] == values
    assert fmt.encode(values).tolist() == codes


def test_shapes_and_types():
    fmt = parse_format("e6m9")
    values = np.ones((2, 3, 4), dtype=np.float32)
    codes = fmt.encode(values)
    assert (codes.shape, codes.dtype) == ((2, 3, 4), np.uint16)
    assert fmt.decode(codes.tolist()).shape == (2, 3, 4)
    assert fmt.quantize(1).shape == fmt.encode(1).shape == fmt.decode(1).shape == ()
    assert [parse_format(text).encode(1.0).dtype for text in ("e5m2", "fp16", "fp32", "fp64", "e5m11")] == [
        np.uint8,
        np.uint16,
        np.uint32,
        np.uint64,
        np.uint32,
    ]


def test_quantize_wrong_rounding():
    with pytest.raises(MacgenError, match=r"^rounding 'up' is not one of rne, rtz, floor, odd$"):
        parse_format("e5m2").quantize(1.0, "up")


def test_quantize_wrong_overflow():
    for text, overflow, accepted in [
        ("e5m2", "wrap", "saturate, infinity, to-infinity"),
        ("e5m2", "nan", "saturate, infinity, to-infinity"),
        ("e2m1finite", "nan", "saturate, infinity"),
        ("e4m3fn", "wrap", "saturate, infinity, nan"),
    ]:
        message = rf"^overflow '{overflow}' is not one of {accepted} \(formats with a float encoding\)$"
        with pytest.raises(MacgenError, match=message):
            parse_format(text).quantize(1.0, overflow=overflow)


def test_quantize_nan_without_nan():
    with pytest.raises(MacgenError, match=r"^value\[0, 1\] is NaN, which format e2m1finite cannot hold; accepted are"):
        parse_format("e2m1finite").quantize([[0.0, np.nan]])
