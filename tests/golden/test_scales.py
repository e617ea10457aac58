"""Scales with a float format: every code of FP16, and the corners of docs/arithmetic.md section 1, decoded by NumPy."""

from fractions import Fraction

import numpy as np
import pytest

from macgen import MacSpec, emulate, golden
from macgen.golden import Flags

DECODED = {
    "fp16": lambda codes: np.asarray(codes, np.uint16).view(np.float16),
    "bf16": lambda codes: (np.asarray(codes, np.uint32) << 16).view(np.float32),
    "fp32": lambda codes: np.asarray(codes, np.uint32).view(np.float32),
}
"""What the codes of a scale mean."""


def scales_of(name):
    """Codes of scales: of FP16 all."""
    if name == "fp16":
        return np.arange(1 << 16)
    width = 16 if name == "bf16" else 32
    rng = np.random.default_rng(width)
    near_one = (127 + rng.integers(-12, 13, 3000) << width - 9) + rng.integers(0, 1 << width - 9, 3000)
    return np.concatenate([rng.integers(0, 1 << width, 3000), near_one + (rng.integers(0, 2, 3000) << width - 1)])


@pytest.mark.parametrize("name", DECODED)
def test_the_product_of_a_chunk_sum_and_two_scales_is_exact_and_rounded_once(name):
    spec = MacSpec(a="int8", b="int8", acc="int18", scale=name, outer="fix24.12")
    rng = np.random.default_rng(1)
    a_codes = scales_of(name)
    b_codes = rng.permutation(a_codes)
    sums, totals = rng.integers(-(2**17), 2**17, len(a_codes)), rng.integers(-(2**35), 2**35, len(a_codes))
    with np.errstate(invalid="ignore"):  # signalling NaN
        a_values, b_values = (DECODED[name](codes).astype(np.float64) for codes in (a_codes, b_codes))
    finite = np.isfinite(a_values) & np.isfinite(b_values) & (sums != 0)
    for index in np.flatnonzero(finite).tolist():
        factors = (int(sums[index]), Fraction(a_values[index]), Fraction(b_values[index]))
        integer = round(int(totals[index]) + factors[0] * factors[1] * factors[2] * 2**12)
        held = min(max(integer, -(2**35)), 2**35 - 1)
        codes = int(totals[index]) % 2**36, int(sums[index]) % 2**18
        scales = {"a_scale": int(a_codes[index]), "b_scale": int(b_codes[index])}
        flags = Flags.OVERFLOW if held != integer else Flags(0)
        assert golden.fold(spec, *codes, **scales) == (held % 2**36, flags), scales


ONE, MINUS_TWO, ZERO, MINUS_ZERO = 0x3F800000, 0xC0000000, 0, 0x80000000
TINY, INFINITY, NAN, SIGNALLING = 1, 0x7F800000, 0x7FC00000, 0x7F800001
INVALID = Flags.INVALID


@pytest.mark.parametrize(
    ("total", "chunk_sum", "a_scale", "b_scale", "expected", "flags"),
    [
        (1.0, 3.0, MINUS_TWO, ONE, -5.0, 0),
        (1.0, 3.0, MINUS_TWO, MINUS_TWO, 13.0, 0),
        (1.0, 3.0, ZERO, ONE, 1.0, 0),
        (1.0, 3.0, ONE, MINUS_ZERO, 1.0, 0),
        (0.0, 3.0, MINUS_ZERO, ONE, 0.0, 0),  # +0, as every exact zero sum
        (0.0, 2.0, TINY, ONE, 2.0**-148, 0),
        (0.0, 2.0, TINY, TINY, 0.0, Flags.UNDERFLOW),
        (0.0, 1.0, 0x7F000000, 0x00800000, 2.0, 0),  # 2^127 x 2^-126
        (0.0, 1.0, 0x7F7FFFFF, 0x7F7FFFFF, float(np.finfo(np.float32).max), Flags.OVERFLOW),
        (1.0, 3.0, INFINITY, ONE, np.inf, 0),
        (1.0, -3.0, INFINITY, ONE, -np.inf, 0),
        (1.0, 0.0, INFINITY, ONE, np.nan, INVALID),
        (1.0, 3.0, ZERO, INFINITY, np.nan, INVALID),
        (-np.inf, 3.0, INFINITY, ONE, np.nan, INVALID),
        (1.0, 3.0, NAN, ONE, np.nan, 0),
        (1.0, 3.0, ONE, SIGNALLING, np.nan, INVALID),
    ],
)
def test_corners_of_scales(total, chunk_sum, a_scale, b_scale, expected, flags):
    spec = MacSpec(a="e5m2", b="e5m2", acc="e6m5", scale="fp32", outer="fp32")
    codes = int(spec.outer_format.encode(total)), int(spec.acc.encode(chunk_sum))
    code, raised = golden.fold(spec, *codes, a_scale=a_scale, b_scale=b_scale)
    np.testing.assert_array_equal(spec.outer_format.decode(code), expected)
    assert not np.signbit(expected) or np.signbit(spec.outer_format.decode(code))
    assert raised == flags
    if total == 0:
        scales = (spec.scale.decode([[scale]]) for scale in (a_scale, b_scale))
        A_scales, B_scales = scales
        found = emulate.matmul(spec, [[chunk_sum]], [[1.0]], A_scales=A_scales, B_scales=B_scales)
        np.testing.assert_array_equal(found, [[expected]])
