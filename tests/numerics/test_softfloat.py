"""Conversions into binary16 and binary32 against Berkeley SoftFloat: codes and flags."""

import math
import struct

import numpy as np
import pytest
import softfloatpy as sf

from macgen.numerics import parse_format
from tests.numerics.samples import values_around

MODES = {"rne": sf.RoundingMode.NEAR_EVEN, "rtz": sf.RoundingMode.MIN_MAG, "floor": sf.RoundingMode.MIN}
TYPES = {"fp16": sf.Float16, "fp32": sf.Float32}
RANDOM = 20_000


def doubles(fmt):
    rng = np.random.default_rng(16)
    any_bits = np.frombuffer(rng.bytes(8 * RANDOM), dtype=np.float64)
    in_range = np.ldexp(rng.uniform(-2, 2, RANDOM), rng.integers(fmt.lsb_exponent - 2, fmt.max_exponent + 2, RANDOM))
    x = np.concatenate([values_around(fmt, seed=17, count=1_000), any_bits, in_range])
    return x[np.isfinite(x)]


@pytest.fixture(autouse=True)
def _tininess_after_rounding():
    sf.set_tininess_mode(sf.TininessMode.AFTER_ROUNDING)
    yield
    sf.set_rounding_mode(sf.RoundingMode.NEAR_EVEN)


def their_conversion(target, source, data):
    sf.set_exception_flags(0)
    code = int.from_bytes(getattr(target, f"from_f{8 * len(data)}")(source.from_bytes(data)).to_bytes(), "big")
    flags = int(sf.get_exception_flags())
    return code, bool(flags & sf.ExceptionFlag.OVERFLOW), bool(flags & sf.ExceptionFlag.UNDERFLOW)


@pytest.mark.parametrize("rounding", MODES)
@pytest.mark.parametrize(
    ("name", "source"),
    [("fp16", sf.Float64), ("fp16", sf.Float32), ("fp32", sf.Float64)],
    ids=["f64-f16", "f32-f16", "f64-f32"],
)
def test_conversion(name, source, rounding):
    fmt, target = parse_format(name), TYPES[name]
    x = doubles(fmt)
    if source is sf.Float32:
        with np.errstate(over="ignore"):
            x = x.astype(np.float32)
        x = x[np.isfinite(x)].astype(np.float64)
    sf.set_rounding_mode(MODES[rounding])
    pack = struct.Struct(">f" if source is sf.Float32 else ">d").pack
    expected = [their_conversion(target, source, pack(value)) for value in x.tolist()]
    assert fmt.encode(fmt.quantize(x, rounding, "infinity")).tolist() == [code for code, _, _ in expected]
    for value, theirs in zip(x.tolist(), expected, strict=True):
        numerator, denominator = abs(value).as_integer_ratio()
        sign = int(math.copysign(1, value) < 0)
        ours = fmt.round(sign, numerator, 1 - denominator.bit_length(), rounding, "infinity")
        assert (ours.code, ours.overflow, ours.underflow) == theirs
    assert sum(overflows for _, overflows, _ in expected) > 100
    assert sum(underflows for _, _, underflows in expected) > 100


@pytest.mark.parametrize("value", [math.inf, -math.inf])
@pytest.mark.parametrize("name", TYPES)
def test_infinities(name, value):
    theirs = int.from_bytes(TYPES[name].from_f64(sf.Float64.from_float(value)).to_bytes(), "big")
    assert parse_format(name).encode(value) == theirs


@pytest.mark.parametrize("name", TYPES)
def test_decode(name):
    fmt, theirs = parse_format(name), TYPES[name]
    rng = np.random.default_rng(18)
    codes = np.arange(1 << 16) if fmt.width == 16 else rng.integers(0, 1 << 32, 50_000)
    size = fmt.width // 8
    expected = np.array([theirs.from_bytes(int(code).to_bytes(size, "big")).to_f64().to_float() for code in codes])
    np.testing.assert_array_equal(fmt.decode(codes), expected)
    for code in codes.tolist()[:: max(1, codes.size // 20_000)]:
        their_number = theirs.from_bytes(code.to_bytes(size, "big"))
        kind = fmt.number(code).kind
        assert (kind == "signalling") == their_number.is_signaling_nan()
        assert (kind in ("nan", "signalling")) == their_number.is_nan()
        assert (kind == "infinite") == their_number.is_inf()
