"""The multiplier on all pairs of codes, against fractions decoded from the contract's table."""

from fractions import Fraction

import numpy as np
import pytest
from amaranth.hdl import Shape

from macgen.numerics import FixedFormat
from macgen.rtl import Design
from macgen.rtl.parts.hierarchy import Modules
from macgen.rtl.units.exact_number import ExactNumber
from macgen.rtl.units.multiplier import Multiplier
from macgen.spec import MacSpec
from tests.golden.by_definition import INFINITY, NAN, SIGNALLING, decode
from tests.rtl.gates import from_rtlil

PAIRS = [
    ("e5m2", "e5m2", "fp32"),
    ("e4m3", "e3m4", "fp32"),
    ("e4m3fn", "e4m3fn", "fp32"),
    ("e4m3fnuz", "e5m2fnuz", "fp32"),
    ("e4m3fnuz", "e5m2", "fp32"),
    ("e5m2", "e3m4fnuz", "e6m9"),
    ("e5m2:flush", "e4m3fn:flush", "fp32"),
    ("e3m4fnuz:flush", "e2m5finite:flush", "fp32"),
    ("e3m4fnuz:none", "e5m2:none", "fp32"),
    ("e4m3fn:none", "e4m3finite:none", "fp32"),
    ("e3m4finite", "e2m5fn", "fp32"),
    ("e7m0fn", "e6m1finite", "e9m8"),
    ("e1m6fn", "e1m6fnuz", "fp32"),
    ("e4m3fn:bias=11", "e5m2:bias=3", "fp32"),
    ("e2m1finite", "e3m2finite", "e6m9"),
    ("int8", "e5m2", "fp32"),
    ("e4m3fn", "ufix4.4", "fp32"),
    ("fix2.6", "uint8", "fp32"),
    ("e5m2", "int8", "fix40.40"),
    ("int1", "e4m3", "fp32"),
    ("uint1", "e1m0fnuz", "fp32"),
]
TINY_PAIRS = [("e5m2", "e5m2", "fp16"), ("e4m3", "e2m5fnuz", "e4m3:bias=2"), ("e2m5finite", "e4m0fn", "e4m3:bias=2")]
INTEGERS = [("int8", "int8"), ("uint8", "int8"), ("uint8", "uint8"), ("fix4.4", "ufix1.7"), ("int1", "uint1")]


def all_pairs(spec):
    a, b = (np.arange(1 << fmt.width) for fmt in (spec.a, spec.b))
    return np.repeat(a, len(b)), np.tile(b, len(a))


def decoded(fmt, code):
    """Return sign and magnitude, straight from docs/arithmetic.md section 1."""
    if isinstance(fmt, FixedFormat):
        value = (code - (1 << fmt.width) * (fmt.signed and code >> (fmt.width - 1))) / Fraction(2) ** fmt.frac_bits
        return int(value < 0), abs(value)
    return decode(fmt, code)


def addend(spec):
    return Design(spec).product


def run(spec):
    component = Multiplier(spec.a, spec.b, addend(spec))
    gates = from_rtlil(Modules("multiplier").convert(component), "multiplier")
    a, b = all_pairs(spec)
    out = gates.evaluate(len(a), {"a": a, "b": b})
    numbers = {name.removeprefix("product__"): value.astype(np.int64) for name, value in out.items()}
    shape = Shape.cast(component.product.signature.members["exponent"].shape) if "exponent" in numbers else None
    if shape is not None and shape.signed:
        numbers["exponent"] -= (numbers["exponent"] >> (shape.width - 1)) << shape.width
    return numbers


@pytest.mark.thinned(5)
@pytest.mark.parametrize("formats", PAIRS + TINY_PAIRS, ids=" x ".join)
def test_float_products_are_exact(formats):
    spec = MacSpec(a=formats[0], b=formats[1], acc=formats[2])
    out = run(spec)
    tables = [[decoded(fmt, code) for code in range(1 << fmt.width)] for fmt in (spec.a, spec.b)]
    finite = [np.array([isinstance(value, Fraction) for _, value in table]) for table in tables]
    values = [np.array([float(v) if isinstance(v, Fraction) else 0.0 for _, v in table]) for table in tables]
    a, b = all_pairs(spec)
    both = finite[0][a] & finite[1][b]
    grid = spec.a.lsb_exponent + spec.b.lsb_exponent
    # Exact: products of 8-bit formats have few bits.
    magnitude = np.ldexp(out["magnitude"].astype(float), out["exponent"] - addend(spec).least_exponent + grid)
    assert (magnitude == np.where(both, values[0][a] * values[1][b], 0)).all()
    signs = [np.array([sign for sign, _ in table]) for table in tables]
    nonzero = magnitude != 0
    assert (out["negative"] == (signs[0][a] ^ signs[1][b]))[nonzero].all()

    special = np.flatnonzero(~both)
    zero = np.zeros(len(a), np.int64)
    got = [out.get(name, zero) for name in ("infinite", "nan", "invalid")]
    assert not any(flag[both].any() for flag in got)
    for index in special.tolist():
        (a_sign, a_value), (b_sign, b_value) = tables[0][a[index]], tables[1][b[index]]
        pair = (a_value, b_value)
        invalid = SIGNALLING in pair or (INFINITY in pair and 0 in pair)
        nan = invalid or NAN in pair
        assert [int(flag[index]) for flag in got] == [not nan, nan, invalid], (a[index], b[index])
        if not nan:
            assert out["negative"][index] == a_sign ^ b_sign


@pytest.mark.thinned(5)
@pytest.mark.parametrize("formats", PAIRS + TINY_PAIRS, ids=" x ".join)
def test_products_are_normalised_as_their_addend_says(formats):
    spec = MacSpec(a=formats[0], b=formats[1], acc=formats[2])
    described, out = addend(spec), run(spec)
    assert described.has_tiny_pairs == (formats in TINY_PAIRS)
    magnitude, exponent = out["magnitude"], out["exponent"]
    normalised = magnitude >> (described.significand_bits - 1 - described.leading_zeros) != 0
    in_range = (exponent >= described.smallest_exponent) & (exponent <= described.largest_exponent)
    expected = magnitude != 0
    assert in_range[expected].all()
    if described.has_tiny_pairs:
        subnormal = [
            np.array([code >> fmt.man_bits & ((1 << fmt.exp_bits) - 1) == 0 for code in range(1 << fmt.width)])
            for fmt in (spec.a, spec.b)
        ]
        a, b = all_pairs(spec)
        tiny = subnormal[0][a] & subnormal[1][b]
        assert (exponent[tiny] <= described.least_exponent).all()
        expected &= ~tiny
    assert normalised[expected].all()


@pytest.mark.parametrize("formats", INTEGERS, ids=" x ".join)
def test_integer_products_are_exact(formats):
    spec = MacSpec(a=formats[0], b=formats[1], acc="fix40.20")
    assert addend(spec).integer_bits
    integer = run(spec)["integer"]
    width = spec.a.width + spec.b.width + 1
    integer -= (integer >> (width - 1)) << width
    a, b = all_pairs(spec)
    values = [
        np.array([fmt.number(code).to_fraction() * 2**fmt.frac_bits for code in range(1 << fmt.width)], np.int64)
        for fmt in (spec.a, spec.b)
    ]
    assert (integer == values[0][a] * values[1][b]).all()


def test_what_cannot_occur_has_no_wire():
    assert set(ExactNumber(addend(MacSpec(a="e2m1finite", b="e2m1finite", acc="e5m2"))).members) == {
        "negative",
        "magnitude",
        "exponent",
    }
    assert "infinite" not in ExactNumber(addend(MacSpec(a="e4m3fn", b="e4m3fn", acc="fp32"))).members
    assert "infinite" in ExactNumber(addend(MacSpec(a="e4m3fn", b="e5m2", acc="fp32"))).members
