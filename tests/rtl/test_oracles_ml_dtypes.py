"""Emitted Verilog against ml_dtypes and NumPy: what operand codes mean, and how sums are rounded to nearest."""

import ml_dtypes
import numpy as np
import pytest

from macgen import MacSpec
from macgen.numerics import Flags, FloatFormat
from tests.rtl.step import RtlStep, rtl_step, ties_to_odd

SEED = 2028
PAIRS = 400_000
LENGTH = 12

TYPES = {
    "bf16": ml_dtypes.bfloat16,
    "fp16": np.float16,
    "fp32": np.float32,
    "e3m4": ml_dtypes.float8_e3m4,
    "e4m3": ml_dtypes.float8_e4m3,
    "e4m3fnuz:bias=11": ml_dtypes.float8_e4m3b11fnuz,
    "e4m3fn": ml_dtypes.float8_e4m3fn,
    "e4m3fnuz": ml_dtypes.float8_e4m3fnuz,
    "e5m2": ml_dtypes.float8_e5m2,
    "e5m2fnuz": ml_dtypes.float8_e5m2fnuz,
    "e2m3finite": ml_dtypes.float6_e2m3fn,
    "e3m2finite": ml_dtypes.float6_e3m2fn,
    "e2m1finite": ml_dtypes.float4_e2m1fn,
}
OPERANDS = [
    ("e5m2", "e4m3fn"),
    ("e4m3fnuz", "e5m2fnuz"),
    ("e4m3", "e3m4"),
    ("e2m1finite", "e4m3fnuz:bias=11"),
    ("e3m2finite", "e2m3finite"),
    ("bf16", "fp16"),
]
"""Pairs in which every format but binary32 stands once."""

ACCUMULATORS = ["fp32", "bf16", "fp16", "e5m2", "e4m3", "e4m3fn", "e4m3fnuz", "e5m2fnuz", "e2m1finite"]


def their_values(name, codes):
    """Return what their type says that codes mean."""
    their_type = np.dtype(TYPES[name])
    with np.errstate(invalid="ignore"):
        return codes.astype(f"u{their_type.itemsize}").view(their_type).astype(np.float64)


def pairs(first, second, seed):
    """Return codes of both formats: every pair where both are small, else all codes with 1.0, and drawn pairs."""
    formats = FloatFormat.parse(first), FloatFormat.parse(second)
    if max(fmt.width for fmt in formats) <= 8:
        return [codes.ravel() for codes in np.meshgrid(*(np.arange(1 << fmt.width) for fmt in formats), indexing="ij")]
    rng = np.random.default_rng([SEED, seed])
    every = [np.arange(1 << fmt.width) if fmt.width <= 16 else np.zeros(0, np.int64) for fmt in formats]
    one = [fmt.encode(1.0).astype(np.int64) for fmt in formats]
    half = PAIRS // 2
    drawn = [rng.integers(0, 1 << fmt.width, half) for fmt in formats]
    # Half of the exponents' sums lie around the ends of the range, where any two codes seldom do.
    bias, top, reach = formats[0].bias, (1 << formats[0].exp_bits) - 1, formats[0].man_bits + 3
    field = rng.integers(0, top + 1, half)
    end = rng.choice([-bias, 0, bias], half) + rng.integers(-reach, 4, half)
    fields = field, np.clip(2 * bias - field + end, 0, top) % (1 << formats[1].exp_bits)
    steered = [
        ((rng.integers(0, 2, half) << fmt.exp_bits | exponents) << fmt.man_bits)
        + rng.integers(0, 1 << fmt.man_bits, half)
        for fmt, exponents in zip(formats, fields, strict=True)
    ]
    return (
        np.concatenate([every[0], np.full(every[1].size, one[0]), drawn[0], steered[0]]),
        np.concatenate([np.full(every[0].size, one[1]), every[1], drawn[1], steered[1]]),
    )


def to_odd(nearest, error):
    """Return what rounds like the exact number: of the two floats around it the one whose last place is odd.

    Rounding it once more to fewer bits is rounding the exact number once (S. Boldo, G. Melquiond, "Emulation of FMA
    and correctly rounded sums", IEEE Trans. Computers 57(4), 2008).

    Parameters:
        nearest: binary32 or binary64 numbers, rounded to nearest.
        error: the sign of exact number minus nearest one.
    """
    codes = nearest.view(f"u{nearest.itemsize}")
    inexact = (error != 0) & np.isfinite(nearest)
    below = codes - (np.signbit(error) != np.signbit(nearest)).astype(codes.dtype)
    return np.where(inexact, below | codes.dtype.type(1), codes).view(nearest.dtype)


def their_cast(spec, x, error=0.0):
    """Return what their type makes of x + error, at most half a unit beside x: codes, NaN as the canonical one."""
    their_type = TYPES[name_of(spec.acc)]
    exact = to_odd(x, np.broadcast_to(error, x.shape))
    with np.errstate(all="ignore"):
        if their_type.__module__ == "ml_dtypes":  # it casts from binary64 through binary32
            single = exact.astype(np.float32)
            beside = np.where(np.isinf(single), 0, exact - single.astype(np.float64))
            cast = to_odd(single, beside).astype(their_type)
        else:
            cast = exact.astype(their_type)
    codes, values = cast.view(f"u{cast.itemsize}").astype(np.uint64), cast.astype(np.float64)
    nan = np.isnan(values)
    if spec.overflow == "saturate":
        beyond = ~np.isfinite(values) & ~np.isnan(x)
        codes = np.where(beyond, np.where(np.signbit(x), spec.acc.largest_code(1), spec.acc.largest_code(0)), codes)
        nan &= ~beyond
    if spec.acc.has_nan:
        codes[nan] = spec.acc.nan_code
    codes[exact == 0] = 0  # the accumulator began with +0
    return codes


def name_of(fmt):
    return next(name for name in TYPES if FloatFormat.parse(name) == fmt)


def spec_of(a, b, acc):
    overflow = "infinity" if FloatFormat.parse(acc).has_infinity else "saturate"
    return MacSpec(a=a, b=b, acc=acc, overflow=overflow, rows=1, cols=1)


def limits(name):
    """Return what their type says of its range: largest, smallest normal and smallest subnormal number, and epsilon."""
    their_type = TYPES[name]
    info = ml_dtypes.finfo(their_type) if their_type.__module__ == "ml_dtypes" else np.finfo(their_type)
    return [float(x) for x in (info.max, info.smallest_normal, info.smallest_subnormal, info.eps)]


def expected_flags(spec, left, right, codes):
    """Return the flags of products of numbers whose cast has these codes."""
    largest, smallest_normal, smallest_subnormal, epsilon = limits(name_of(spec.acc))
    with np.errstate(invalid="ignore"):
        product = left * right
    finite, magnitude = np.isfinite(product), np.abs(product)
    place = epsilon * 2.0 ** (np.frexp(largest)[1] - 1)
    halfway = largest + place / 2
    overflow = (magnitude > halfway) | ((magnitude == halfway) & (largest / place % 2 == 1))
    # Tiny after rounding: with unbounded exponents the last place below the smallest normal number is half as large.
    tiny = magnitude < smallest_normal - smallest_subnormal / 4
    inexact = their_values(name_of(spec.acc), codes) != product
    return (
        Flags.OVERFLOW * (finite & overflow)
        | Flags.UNDERFLOW * (finite & tiny & inexact)
        | Flags.INVALID * np.isnan(product)
    )


def check_products(rtl, a, b):
    """Return how many products differ from their cast of the exact one, and all flags."""
    spec = rtl.spec
    left, right = their_values(name_of(spec.a), a), their_values(name_of(spec.b), b)
    assert spec.acc.has_infinity or not np.isinf([left, right]).any()  # their cast of an infinity would be NaN
    with np.errstate(invalid="ignore"):
        expected = their_cast(spec, left * right)
    codes, flags = rtl.sums(a[:, None], b[:, None])
    wrong = codes != expected
    # What NaN raises depends on its kind, which their types do not tell.
    numbers = ~np.isnan(left) & ~np.isnan(right)
    wrong |= numbers & (flags != expected_flags(spec, left, right, expected))
    return np.count_nonzero(wrong), np.bitwise_or.reduce(flags)


@pytest.mark.thinned(5)
@pytest.mark.parametrize(("a", "b"), OPERANDS)
def test_every_operand_code(a, b):
    """In binary32, where these products are exact unless they leave its range: 1.0 times a code is its value."""
    rtl = rtl_step(spec_of(a, b, "fp32"))
    codes = pairs(a, b, 1)
    wrong, _ = check_products(rtl, *codes)
    assert wrong == 0
    for left, right in ((a, b), (b, a)):
        every = np.arange(1 << FloatFormat.parse(left).width)
        one = np.full(every.size, FloatFormat.parse(right).encode(1.0))
        operands = (every, one) if (left, right) == (a, b) else (one, every)
        ours, _ = rtl.sums(*(codes[:, None] for codes in operands))
        values = ours.astype(np.uint32).view(np.float32)
        np.testing.assert_array_equal(values, their_values(left, every))


def test_the_pairs_name_every_type():
    assert sorted(name for pair in OPERANDS for name in pair) == sorted(set(TYPES) - {"fp32"})


def sums_differ(rtl, a, b):
    """Return how many dot products differ from theirs, a cast for each step; the share that overflows."""
    spec = rtl.spec
    products = their_values(name_of(spec.a), a) * their_values(name_of(spec.b), b)
    acc = np.zeros(a.shape[0])
    codes, _ = rtl.sums(a, b)
    for product in products.T:
        with np.errstate(invalid="ignore"):
            total = acc + product
            part = total - acc
            error = (acc - (total - part)) + (product - part)  # exact: D. Knuth's TwoSum
        expected = their_cast(spec, total, np.where(np.isfinite(total), error, 0))
        acc = their_values(name_of(spec.acc), expected)
    return np.count_nonzero(codes != expected), np.mean(np.abs(acc) >= spec.acc.max)


def operands(name, count, seed):
    """Return finite codes (count, LENGTH) of two factors: every row of products of similar size, anywhere."""
    fmt = FloatFormat.parse(name)
    rng = np.random.default_rng([SEED, fmt.width, seed])
    shape = count, LENGTH
    center = rng.uniform(fmt.min_exponent - fmt.man_bits, fmt.max_exponent - 1, (count, 1)) / 2
    factors = []
    for spread in (3.0, 0.0):
        x = np.exp2(center + rng.uniform(-spread, 0.5, shape)) * rng.uniform(1, 2, shape) * rng.choice([-1, 1], shape)
        factors.append(fmt.encode(fmt.quantize(x)).astype(np.int64))
    return factors


@pytest.mark.thinned(5)
@pytest.mark.parametrize("name", ACCUMULATORS)
def test_sums_are_rounded_as_their_cast_does(name):
    """Single products with their flags, then a cast for each addition of a dot product."""
    rtl = rtl_step(spec_of(name, name, name))
    wrong, flags = check_products(rtl, *pairs(name, name, 2))
    assert wrong == 0
    assert flags & Flags.OVERFLOW
    assert flags & Flags.UNDERFLOW
    wrong, overflows = sums_differ(rtl, *operands(name, 20_000, 3))
    assert wrong == 0
    assert 0 < overflows < 0.3


def test_a_wrong_tie_rule_is_seen():
    rtl = RtlStep(spec_of("e4m3", "e4m3", "e4m3"), ties_to_odd)
    a, b = pairs("e4m3", "e4m3", 2)
    wrong, _ = check_products(rtl, a, b)
    assert a.size / 50 < wrong < a.size / 2
    wrong, _ = sums_differ(rtl, *operands("e4m3", 10_000, 3))
    assert wrong > 3_000


def test_a_wrong_bias_is_seen():
    """E4M3 operands of one encoding read as those of the other."""
    rtl = rtl_step(spec_of("e4m3fnuz", "e5m2fnuz", "fp32"))
    every = np.arange(256)
    ours = rtl.sums(every[:, None], np.full((256, 1), rtl.spec.b.encode(1.0)))[0].astype(np.uint32).view(np.float32)
    assert np.count_nonzero(ours != their_values("e4m3fn", every)) > 200
