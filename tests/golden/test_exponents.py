"""`lane_sum = exponents:F`: the contract's table of corners, and steps of many formats against plain fractions."""

import math

import numpy as np
import pytest

from macgen import MacgenError, MacSpec, golden
from macgen.numerics import Flags
from tests.golden.by_definition import Definition
from tests.strategies import corner_codes

INFINITY, NAN = math.inf, math.nan
NONE, OVERFLOW, UNDERFLOW, INVALID = Flags(0), Flags.OVERFLOW, Flags.UNDERFLOW, Flags.INVALID
U = 2.0**-149
LARGEST = (2 - 2.0**-23) * 2.0**127


def unit(operand, lane_sum, acc="fp32", **fields):
    fields = {"rounding": "rtz", "overflow": "to-infinity", "lanes": 2} | fields
    return MacSpec(a=operand, b=operand, acc=acc, lane_sum=lane_sum, **fields)


E4M3, BF16, FP16 = unit("e4m3fn", "exponents:13"), unit("bf16", "exponents:25"), unit("fp16", "exponents:24")
HALF = unit("fp16", "exponents:24", "fp16", rounding="rne")
BLOCKS = {"scale_place": "lanes", "scale_block": 2, "lanes": 4}
MX, NV = (unit("e2m1finite", "exponents:35/2", scale=scale, **BLOCKS) for scale in ("e8m0fnu", "e4m3fn"))


def step(spec, products, acc, scales=((), ())):
    """Return the value and the flags of a step of values."""
    a, b = (spec.a.encode([pair[side] for pair in products]).tolist() for side in (0, 1))
    of_blocks = [spec.scale.encode(values).tolist() if values else () for values in scales]
    code, flags = golden.step(spec, int(spec.acc.encode(acc)), a, b, None, *of_blocks)
    return float(spec.acc.decode(code)), flags


@pytest.mark.parametrize(
    ("spec", "products", "acc", "value", "flags"),
    [
        (E4M3, [(1.75, 1.75)], 2**-13, 3.0625 + 2**-13, NONE),
        (E4M3, [(1.75, 1.75)], 2**-14, 3.0625, NONE),
        (E4M3, [(-1, 1), (2**-6, 2**-6)], 1, 2**-12, NONE),
        (E4M3, [(-1, 1), (2**-6, 2**-8)], 1, 0.0, NONE),
        (E4M3, [(-1, 2**-6), (2**-6, 2**-9)], 1, 1 - 2**-6, NONE),
        (E4M3, [(-(2**-9), 2**-9)], 1, 1, NONE),
        (E4M3.replace(rounding="floor"), [(-(2**-9), 2**-9)], 1, 1, NONE),
        (E4M3, [(2**-9, 2**-9)], 0, 2**-18, NONE),
        (E4M3, [(2**-9, 1.875), (2**-9, 2**-9)], 0, 2**-9 * 1.875 + 2**-18, NONE),
        (BF16, [(0, 2.0**100)], 2**-60, 0.0, NONE),
        (BF16, [(0, 2.0**100)], 1.5 * 2**-51, 2**-51, NONE),
        (BF16, [(2.0**-100, 2.0**-100)], 0, 0.0, NONE),
        (BF16, [(2.0**-75, 2.0**-75)], 0, 0.0, UNDERFLOW),
        (BF16, [(2.0**-75, 2.0**-75)], U, U, UNDERFLOW),
        (FP16, [(0, 2**15)], U, 0.0, NONE),
        (FP16, [(0, 0)], U, U, NONE),
        (FP16, [(2**-12, 2**-12)], 1, 1, NONE),
        (FP16.replace(rounding="odd"), [(2**-12, 2**-12)], 1, 1 + 2**-23, NONE),
        (FP16, [(2**-12, 2**-13)], 1, 1, NONE),
        (FP16.replace(rounding="odd"), [(2**-12, 2**-13)], 1, 1, NONE),
        (HALF, [(0, 0)], 2**-24, 2**-24, NONE),
        (BF16, [(2.0**52, 2.0**51)], LARGEST, LARGEST, NONE),
        (BF16, [(2.0**52, 2.0**52)], LARGEST, INFINITY, OVERFLOW),
        (BF16, [(-(2.0**52), 2.0**52)], -LARGEST, -INFINITY, OVERFLOW),
        (BF16.replace(overflow="infinity"), [(2.0**52, 2.0**52)], LARGEST, LARGEST, OVERFLOW),
        (BF16, [(2.0**127, 2), (-(2.0**127), 2)], 1, 0.0, NONE),
        (BF16, [(INFINITY, 0), (1, 1)], 1, NAN, INVALID),
        (BF16, [(INFINITY, 1), (-INFINITY, 1)], NAN, NAN, NONE),
        (BF16, [(INFINITY, 1), (-INFINITY, 1)], 1, NAN, INVALID),
        (BF16, [(INFINITY, 1), (2.0**127, -(2.0**127))], 1, INFINITY, NONE),
    ],
)
def test_the_corners_of_the_contract(spec, products, acc, value, flags):
    found, raised = step(spec, products, acc)
    assert (found, math.copysign(1, found), raised) == (pytest.approx(value, nan_ok=True, abs=0, rel=0),
                                                        math.copysign(1, value), flags)  # fmt: skip


@pytest.mark.parametrize(
    ("spec", "products", "scales", "value"),
    [
        (MX, [(1, 1), (-1, 1), (1, 0.5), (0, 0)], ((2**20, 4), (2**20, 4)), 0.0),
        (MX, [(6, 6), (6, 6), (-0.5, 0.5), (-0.5, 0.5)], ((1, 2**-17), (1, 2**-17)), 72 - 2**-17),
        (NV, [(1, 1), (0, 0)], ((1.5,), (2**-9,)), 1.5 * 2**-9),
        (NV, [(1, 1), (0, 0)], ((NAN,), (1,)), NAN),
    ],
)
def test_the_corners_of_groups_with_scales(spec, products, scales, value):
    found, raised = step(spec, products, 0, scales)
    assert (found, raised) == (pytest.approx(value, nan_ok=True, abs=0, rel=0), NONE)


def test_scales_of_single_lanes_join_the_reference_exponents():
    """0 * 1 counts as -126 + 0 before its block's scales, so that it leads only with 2^127 twice."""
    spec = unit("e4m3fn", "exponents:13", scale="e8m0fnu", scale_place="lanes", scale_block=1)
    assert step(spec, [(0, 1), (1, 1)], 0, ((2.0**100, 1), (2.0**26, 1))) == (1, NONE)
    assert step(spec, [(0, 1), (1, 1)], 0, ((2.0**100, 1), (2.0**40, 1))) == (0, NONE)
    assert step(spec, [(1.5, 1), (1, 1)], 0, ((4, 2**-12), (2, 1))) == (12 + 2**-9 - 2**-9, NONE)
    assert step(spec, [(1.5, 1), (1, 1)], 0, ((4, 2**-10), (2, 1))) == (12 + 2**-10, NONE)


FORMATS = [
    ("e3m1", "e3m1", "e4m3", "infinity", "to-infinity"),
    ("e3m2fn", "e2m2fnuz", "e4m2fnuz:flush", "nan", "saturate"),
    ("e2m1finite", "e3m1:flush", "e4m3fn", "nan", "saturate"),
    ("e3m2:none", "e2m2finite:bias=4:none", "e4m2finite:none", "saturate", "saturate"),
    ("e8m1finite:bias=140", "e3m1", "e8m2:bias=130", "infinity", "to-infinity"),
    ("e2m0finite", "e3m0fnuz", "e4m0finite", "saturate", "saturate"),
]


@pytest.mark.thinned(5)
@pytest.mark.parametrize("rounding", ["rne", "rtz", "floor", "odd", "stochastic:3"])
@pytest.mark.parametrize(("a", "b", "acc", *"xy"), FORMATS)
def test_steps_of_many_formats(a, b, acc, x, y, rounding):
    """Corner codes and any others, on full steps and short ones, also beyond what the accumulator reaches."""
    rng = np.random.default_rng(2)
    for overflow, bits, lanes in ((x, 1, 3), (y, 6, 5), (y, 40, 2)):
        spec = MacSpec(a=a, b=b, acc=acc, rounding=rounding, overflow=overflow, lanes=lanes,
                       lane_sum=f"exponents:{bits}")  # fmt: skip
        definition = Definition(spec)
        for trial in range(90):
            count = 1 + trial % lanes
            drawn = [_some_codes(rng, fmt, count) for fmt in (spec.a, spec.b)]
            (total,) = _some_codes(rng, spec.acc, 1)
            random = int(rng.integers(8)) if rounding[0] == "s" else None
            found = golden.step(spec, total, *drawn, random)
            assert found == definition.step(total, *drawn, random or 0), (spec, total, drawn)


@pytest.mark.thinned(4)
@pytest.mark.parametrize("lane_sum", ["exponents:2", "exponents:9", "exponents:5/2", "exponents:14/4"])
@pytest.mark.parametrize("scale", ["e3m0fnu", "e8m0fnu", "e2m2", "e3m1fn:flush", "e2m1finite:none"])
def test_steps_with_scales_of_lanes(lane_sum, scale):
    rng = np.random.default_rng(3)
    for block, rounding in ((4, "rtz"), (None, "rne")):
        spec = MacSpec(a="e2m1finite", b="e3m1finite", acc="e6m4", rounding=rounding, overflow="to-infinity", lanes=8,
                       lane_sum=lane_sum, scale=scale, scale_place="lanes", scale_block=block)  # fmt: skip
        definition = Definition(spec)
        for trial in range(150):
            count = 1 + trial % 8
            drawn = [_some_codes(rng, fmt, count) for fmt in (spec.a, spec.b)]
            scales = [_some_codes(rng, spec.scale, -(-count // (block or 8))) for _ in "ab"]
            (total,) = _some_codes(rng, spec.acc, 1)
            found = golden.step(spec, total, *drawn, None, *scales)
            assert found == definition.step(total, *drawn, 0, *scales), (spec, total, drawn, scales)


def _some_codes(rng, fmt, count):
    """Codes of which half are corners."""
    codes = rng.integers(0, 1 << fmt.width, count)
    if hasattr(fmt, "man_bits"):
        codes = np.where(rng.random(count) < 0.5, rng.choice(corner_codes(fmt), count), codes)
    return codes.tolist()


def test_wrong_scales_of_a_step():
    with pytest.raises(MacgenError) as caught:
        golden.step(MX, 0, [0, 0, 0], [0, 0, 0], None, [0], [0, 0])
    assert str(caught.value) == "a_scales has 1 scales for a step; accepted are 2, one for each block"
    with pytest.raises(MacgenError) as caught:
        golden.step(E4M3, 0, [0], [0], None, (), [0])
    assert str(caught.value) == "b_scales has 1 scales for a step; accepted are 0, one for each block"


def test_wrong_scales_of_dot_products():
    with pytest.raises(MacgenError) as caught:
        golden.dot(MX, [0] * 5, [0] * 5, a_scales=[0], b_scales=[0] * 3)
    assert str(caught.value) == "a_scales has 1 scales for each dot product; accepted are 3, one for each block"
    with pytest.raises(MacgenError) as caught:
        golden.fold(MX, 0, 0, None, 3, 3)
    assert str(caught.value) == "a_scale 3 does not fit the spec; accepted is none"
