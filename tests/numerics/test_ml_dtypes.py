"""Every format of ml_dtypes, and NumPy's own: codes, casts and limits against theirs."""

import ml_dtypes
import numpy as np
import pytest

from macgen.numerics import FixedFormat, FloatFormat, ScaleFormat, all_codes, all_values, parse_format
from tests.numerics.samples import values_around

FLOATS = {
    "bfloat16": "bf16",
    "float16": "fp16",
    "float32": "fp32",
    "float8_e3m4": "e3m4",
    "float8_e4m3": "e4m3",
    "float8_e4m3b11fnuz": "e4m3fnuz:bias=11",
    "float8_e4m3fn": "e4m3fn",
    "float8_e4m3fnuz": "e4m3fnuz",
    "float8_e5m2": "e5m2",
    "float8_e5m2fnuz": "e5m2fnuz",
    "float6_e2m3fn": "e2m3finite",
    "float6_e3m2fn": "e3m2finite",
    "float4_e2m1fn": "e2m1finite",
}
INTEGERS = {"int1": "int1", "int2": "int2", "int4": "int4", "uint1": "uint1", "uint2": "uint2", "uint4": "uint4"}
SCALES = {"float8_e8m0fnu": ScaleFormat()}
MISSING = {"float8_e5m3fnu"}
"""What macgen has no counterpart of: unsigned floats with a mantissa, since 0.7."""


def their_type(name):
    return getattr(ml_dtypes, name, None) or getattr(np, name)


def is_offered(name):
    return hasattr(ml_dtypes, name) or hasattr(np, name)


def bits(array):
    return array.view(f"u{array.dtype.itemsize}")


def test_the_tables_name_every_format_of_ml_dtypes():
    theirs = {
        name
        for name in dir(ml_dtypes)
        if isinstance(getattr(ml_dtypes, name), type) and issubclass(getattr(ml_dtypes, name), np.generic)
    }
    assert len(theirs) > 12
    assert {name for name in theirs if "complex" not in name} <= {*FLOATS, *INTEGERS, *SCALES, *MISSING}


@pytest.fixture(params=FLOATS)
def float_pair(request):
    return parse_format(FLOATS[request.param]), their_type(request.param)


def codes_of(fmt):
    """All codes, of binary32 every 4099th and the ends of the range."""
    if fmt.width <= 16:
        return all_codes(fmt)
    ends = np.array([base + step for base in (0, fmt.max_code, 1 << 31) for step in range(64)], dtype=np.uint32)
    return np.concatenate([np.arange(0, 1 << 32, 4099, dtype=np.uint32), ends])


def test_decode(float_pair):
    fmt, theirs = float_pair
    codes = codes_of(fmt)
    with np.errstate(invalid="ignore"):
        expected = codes.view(theirs).astype(np.float64)
    ours = fmt.decode(codes)
    np.testing.assert_array_equal(ours, expected)
    np.testing.assert_array_equal(np.signbit(ours)[~np.isnan(ours)], np.signbit(expected)[~np.isnan(ours)])


def test_encode_inverts_decode(float_pair):
    fmt, theirs = float_pair
    codes = codes_of(fmt)
    values = fmt.decode(codes)
    encoded = fmt.encode(values)
    numbers = ~np.isnan(values)
    assert encoded.dtype == codes.dtype
    np.testing.assert_array_equal(encoded[numbers], codes[numbers])
    if fmt.has_nan:
        assert set(encoded[~numbers].tolist()) == {fmt.nan_code}
        assert np.isnan(np.array(fmt.nan_code, dtype=codes.dtype).view(theirs).astype(np.float64))


def as_binary32(x):
    """ml_dtypes casts from binary64 through binary32 and so rounds twice; from binary32 it rounds once."""
    with np.errstate(over="ignore"):
        y = x.astype(np.float32).astype(np.float64)
    return y[np.isfinite(y)]


def test_quantize_rounds_as_their_cast_does(float_pair):
    fmt, theirs = float_pair
    x = values_around(fmt, seed=1, count=20_000)
    if fmt.width <= 8:
        grid = all_values(fmt)
        x = np.concatenate([x, grid, (grid[1:] + grid[:-1]) / 2, np.linspace(-2 * fmt.max, 2 * fmt.max, 20_001)])
    if theirs.__module__ == "ml_dtypes":
        x = as_binary32(x)
    x = np.concatenate([x, [np.inf, -np.inf]])
    with np.errstate(all="ignore"):
        expected = x.astype(theirs)
    nan = np.isnan(expected.astype(np.float64))
    for overflow in ["infinity", "nan"] if fmt.encoding in ("fn", "fnuz") else ["infinity"]:
        ours = fmt.encode(fmt.quantize(x, overflow=overflow))
        np.testing.assert_array_equal(ours[~nan], bits(expected)[~nan])
        assert np.isnan(fmt.decode(ours[nan])).all()
    assert nan.any() == (fmt.encoding in ("fn", "fnuz"))


def test_saturation_clamps_what_their_cast_lets_overflow(float_pair):
    fmt, theirs = float_pair
    x = values_around(fmt, seed=2, count=2_000)
    if theirs.__module__ == "ml_dtypes":
        x = as_binary32(x)
    with np.errstate(all="ignore"):
        expected = x.astype(theirs).astype(np.float64)
    expected = np.where(np.isfinite(expected), expected, np.copysign(fmt.max, x))
    np.testing.assert_array_equal(fmt.quantize(x), expected)


def test_nan_is_kept_or_refused(float_pair):
    fmt, theirs = float_pair
    if fmt.has_nan:
        assert np.isnan(fmt.quantize(np.nan))
        assert np.isnan(np.array(fmt.encode(np.nan)).view(theirs).astype(np.float64))
    else:
        with pytest.raises(ValueError, match=f"^value is NaN, which format {fmt} cannot hold; accepted are "):
            fmt.quantize(np.nan)


def test_limits(float_pair):
    fmt, theirs = float_pair
    info = ml_dtypes.finfo(theirs) if theirs.__module__ == "ml_dtypes" else np.finfo(theirs)
    assert fmt.width == info.bits
    assert fmt.max == float(info.max)
    assert -fmt.max == float(info.min)
    assert fmt.min_normal == float(info.smallest_normal)
    assert fmt.min_subnormal == float(info.smallest_subnormal)
    assert fmt.epsilon == float(info.eps)
    assert fmt.ulp(1.0) == float(info.eps)
    assert fmt.exp_bits == info.nexp if hasattr(info, "nexp") else info.iexp
    assert fmt.man_bits == info.nmant


@pytest.fixture(params=[name for name in INTEGERS if is_offered(name)])
def integer_pair(request):
    return parse_format(INTEGERS[request.param]), their_type(request.param)


def test_integer_codes(integer_pair):
    fmt, theirs = integer_pair
    codes = all_codes(fmt)
    values = codes.view(theirs).astype(np.float64)
    np.testing.assert_array_equal(fmt.decode(codes), values)
    np.testing.assert_array_equal(fmt.encode(values), codes)
    assert (fmt.min, fmt.max) == (float(ml_dtypes.iinfo(theirs).min), float(ml_dtypes.iinfo(theirs).max))


def test_integer_casts_wrap(integer_pair):
    fmt, theirs = integer_pair
    x = np.arange(-100, 101)
    np.testing.assert_array_equal(fmt.quantize(x, overflow="wrap"), x.astype(theirs).astype(np.float64))


@pytest.mark.parametrize("name", ["int8", "uint8", "int16", "uint16", "int32", "uint32"])
def test_integers_of_numpy(name):
    fmt, info = parse_format(name), np.iinfo(name)
    rng = np.random.default_rng(3)
    codes = rng.integers(0, 1 << fmt.width, 10_000, dtype=f"u{info.bits // 8}")
    np.testing.assert_array_equal(fmt.decode(codes), codes.view(name).astype(np.float64))
    np.testing.assert_array_equal(fmt.encode(codes.view(name)), codes)
    assert (fmt.min_integer, fmt.max_integer) == (info.min, info.max)


@pytest.mark.parametrize("name", SCALES)
def test_scales(name):
    fmt, theirs = SCALES[name], their_type(name)
    codes = all_codes(fmt)
    values = codes.view(theirs).astype(np.float64)
    np.testing.assert_array_equal(fmt.decode(codes), values)
    np.testing.assert_array_equal(fmt.encode(values), codes)


def test_the_kinds_of_format():
    assert all(isinstance(parse_format(name), FloatFormat) for name in FLOATS.values())
    assert all(isinstance(parse_format(name), FixedFormat) for name in INTEGERS.values())
