"""`lane_sum = bulk:F`: the contract's table of corners, and steps of many formats against plain fractions."""

import math

import numpy as np
import pytest

from macgen import MacSpec, golden
from macgen.numerics import Flags
from tests.golden.by_definition import Definition
from tests.golden.test_exponents import FORMATS, _some_codes

INFINITY, NAN = math.inf, math.nan
NONE, OVERFLOW, UNDERFLOW, INVALID = Flags(0), Flags.OVERFLOW, Flags.UNDERFLOW, Flags.INVALID
U = 2.0**-149
E4M3, BF16 = (
    MacSpec(a=fmt, b=fmt, acc="fp32", lanes=4, lane_sum="bulk:25", rounding="odd", overflow="to-infinity")
    for fmt in ("e4m3fn", "bf16")
)
TOP = 2.0**127


@pytest.mark.parametrize(
    ("spec", "products", "acc", "value", "flags"),
    [
        (E4M3, [(1, 1), (2**-9, 2**-9)], 0, 1 + 2**-18, NONE),
        (E4M3, [(256, 256), (1.125 * 2**-6, 2**-6)], 0, 2**16 + 2**-7, NONE),
        (E4M3, [(256, 256), (-256, 256), (2**-9, 2**-9)], 0, 2**-9, NONE),
        (E4M3, [(256, 256), (-256, 256), (2**-9, 2**-9), (-(2**-9), 2**-9)], 0, 0.0, NONE),
        (E4M3, [(1, 1)], 2**25, 2**25 + 4, NONE),
        (E4M3.replace(rounding="rne"), [(1, 1)], 2**25, 2**25, NONE),
        (BF16, [(0, 2.0**100), (2.0**-60, 2.0**-60)], 0, 2.0**-120, NONE),
        (BF16, [(2.0**-100, 2.0**-100), (-0.0, 1)], 0, U, UNDERFLOW),
        (BF16, [(-(2.0**-100), 2.0**-100)], U, 0.0, UNDERFLOW),
        (BF16, [(-0.0, 1), (0, 2)], 0, 0.0, NONE),
        (BF16, [(-0.0, 1)], -0.0, 0.0, NONE),
        (BF16, [(TOP, 2), (-TOP, 1)], 0, TOP, NONE),
        (BF16, [(TOP, 2)], -TOP, INFINITY, OVERFLOW),
        (BF16, [(TOP, 2)], -INFINITY, NAN, OVERFLOW | INVALID),
        (BF16, [(TOP, 2)], NAN, NAN, OVERFLOW),
        (BF16, [(INFINITY, 1), (-INFINITY, 1)], NAN, NAN, INVALID),
        (BF16, [(INFINITY, 1), (-INFINITY, 1), (NAN, 1)], 0, NAN, INVALID),
        (BF16, [(INFINITY, 1), (NAN, 1)], 0, NAN, NONE),
        (BF16, [(INFINITY, 0), (NAN, 1)], 0, NAN, INVALID),
        (BF16, [(INFINITY, 1), (-TOP, TOP)], 0, INFINITY, NONE),
    ],
)
def test_the_corners_of_the_contract(spec, products, acc, value, flags):
    a, b = (spec.a.encode([pair[side] for pair in products]).tolist() for side in (0, 1))
    code, raised = golden.step(spec, int(spec.acc.encode(acc)), a, b)
    found = float(spec.acc.decode(code))
    assert (math.isnan(found), raised) == (math.isnan(value), flags)
    assert math.isnan(value) or (found, math.copysign(1, found)) == (value, math.copysign(1, value))


@pytest.mark.thinned(5)
@pytest.mark.parametrize("rounding", ["rne", "rtz", "floor", "odd"])
@pytest.mark.parametrize(("a", "b", "acc", *"xy"), FORMATS)
def test_steps_of_many_formats(a, b, acc, x, y, rounding):
    """Corner codes and any others, on full steps and short ones, also beyond what the accumulator reaches."""
    rng = np.random.default_rng(2)
    for overflow, bits, lanes in ((x, 1, 3), (y, 4, 5), (y, 40, 2)):
        spec = MacSpec(a=a, b=b, acc=acc, rounding=rounding, overflow=overflow, lanes=lanes, lane_sum=f"bulk:{bits}")
        definition = Definition(spec)
        for trial in range(90):
            count = 1 + trial % lanes
            drawn = [_some_codes(rng, fmt, count) for fmt in (spec.a, spec.b)]
            (total,) = _some_codes(rng, spec.acc, 1)
            found = golden.step(spec, total, *drawn)
            assert found == definition.step(total, *drawn, 0), (spec, total, drawn)


def test_many_steps_of_two_products_of_a_tiny_format():
    """With a trace in most of them, on an accumulator that is empty and on one that is not."""
    spec = MacSpec(a="e3m0finite", b="e2m1", acc="e5m2", rounding="odd", overflow="to-infinity", lanes=2,
                   lane_sum="bulk:2")  # fmt: skip
    definition = Definition(spec)
    codes = range(16)
    for acc in (0, 0b1_01111_01):
        for a in codes:
            for b in codes:
                for c in codes[::4]:
                    for d in codes[::3]:
                        assert golden.step(spec, acc, (a, c), (b, d)) == definition.step(acc, (a, c), (b, d), 0)
