"""The widths and constants of the float datapath, against what enumeration of small formats finds."""

from dataclasses import replace
from fractions import Fraction
from functools import lru_cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from macgen.errors import MacgenError
from macgen.golden import Model
from macgen.numerics import Encoding, FixedFormat, FloatFormat
from macgen.numerics.flags import Flags
from macgen.rtl import Design
from macgen.rtl.units.exact_number import significand_bits
from macgen.spec import MacSpec
from tests.strategies import float_formats

tiny_floats = float_formats(max_exp_bits=3, max_man_bits=2).filter(lambda fmt: abs(fmt.bias) < 12)
ROUNDINGS = ["rne", "rtz", "stochastic:1", "stochastic:2", "stochastic:1:nearest"]
tiny_integers = st.builds(
    lambda bits, frac, signed: FixedFormat(bits, frac, signed), st.integers(1, 3), st.integers(0, 2), st.booleans()
)


@st.composite
def tiny_specs(draw):
    """Specs with float accumulators small enough to enumerate every value that they can reach."""
    a = draw(tiny_floats | tiny_integers)
    b = draw(st.just(a) | tiny_floats | tiny_integers)
    acc = draw(float_formats(max_exp_bits=4, max_man_bits=3).filter(lambda fmt: abs(fmt.bias) < 20))
    overflow = draw(st.sampled_from(["saturate", "infinity"] if acc.has_infinity else ["saturate"]))
    try:
        return MacSpec(a=a, b=b, acc=acc, chunk=4, overflow=overflow, rounding=draw(st.sampled_from(ROUNDINGS)))
    except MacgenError:  # too narrow for these operands: move its range up to theirs
        bias = acc.bias - max(a.max_exponent, b.max_exponent) + acc.max_exponent
        acc = replace(acc, bias=bias)
        return MacSpec(a=a, b=b, acc=acc, chunk=4, overflow=overflow, rounding=draw(st.sampled_from(ROUNDINGS)))


@lru_cache(64)
def reach(spec):
    """Return products by pair of codes, the accumulator's codes that can be reached, and the flags that can be raised.

    A reached code is a sum of products or a fold of two reached ones.
    """
    model = Model(spec)
    pairs = {}
    for a in range(1 << spec.a.width):
        for b in range(1 << spec.b.width):
            x, y = spec.a.number(a), spec.b.number(b)
            kinds = (x.kind, y.kind)
            value = x.to_fraction() * y.to_fraction() if kinds == ("finite", "finite") else (kinds, x.sign ^ y.sign)
            zero_times_infinity = "infinite" in kinds and 0 in (x.significand + y.significand,)
            pairs.setdefault((value, zero_times_infinity), (a, b))
    reached, flags, frontier = {0}, 0, [0]
    while frontier:
        code = frontier.pop()
        numbers = range(1 << spec.random_bits)
        results = [model.step(code, a, b, random) for a, b in pairs.values() for random in numbers]
        results += [model.fold(code, other, random) for other in list(reached) for random in numbers]
        for result, raised in results:
            flags |= raised
            if result not in reached:
                reached.add(result)
                frontier.append(result)
    products = [value for (value, _) in pairs if isinstance(value, Fraction)]
    return products, pairs, reached, flags


def leading_exponent(value):
    """Return floor(log2 |value|)."""
    value = abs(value)
    exponent = value.numerator.bit_length() - value.denominator.bit_length()
    return exponent if value >= Fraction(2) ** exponent else exponent - 1


@settings(max_examples=60)
@given(tiny_specs())
def test_exponents_of_all_products_and_sums_fit(spec):
    geometry = Design(spec).steps.geometry
    products, _, reached, _ = reach(spec)
    acc = spec.acc
    sums = [acc.number(code).to_fraction() for code in reached if acc.number(code).kind == "finite"]
    # The format's exponent field plus the offset of the output.
    exponents = [leading_exponent(v) + acc.bias + geometry.field_offset for v in (*products, *sums) if v]
    # One above is needed for carries, and a negative significand may be -1.0 of the binade below.
    assert all(1 <= exponent < (1 << geometry.exponent_bits) - 1 for exponent in exponents)
    assert geometry.min_exponent == acc.min_exponent + acc.bias + geometry.field_offset
    assert geometry.max_exponent == acc.max_exponent + acc.bias + geometry.field_offset
    top = acc.number(acc.max_code)
    assert geometry.max_significand == top.significand
    assert geometry.precision == acc.precision
    bits = [(v / Fraction(2) ** leading_exponent(v)).denominator.bit_length() for v in products if v]
    assert max(bits, default=0) <= geometry.addend_bits <= geometry.window_bits


def odd_significands(fmt):
    """Whether the format's last bit is used: products are then multiples of nothing coarser than the product grid."""
    return isinstance(fmt, FixedFormat) or (fmt.subnormals == "gradual" and fmt.man_bits > 0 and fmt.max_code > 1)


def full_significands(fmt):
    """Whether an odd significand stands in a normal number, too: `e1m1fn` has NaN in its place."""
    return odd_significands(fmt) and fmt.max_code >> fmt.man_bits > 1


@settings(max_examples=60)
@given(tiny_specs())
def test_least_exponent_is_that_of_the_smallest_product(spec):
    geometry = Design(spec).steps.geometry
    products, *_ = reach(spec)
    exponents = [leading_exponent(v) + spec.acc.bias + geometry.field_offset for v in products if v]
    saturates_finer = spec.acc.max_exponent - spec.acc.man_bits < spec.a.lsb_exponent + spec.b.lsb_exponent
    assert geometry.least_exponent <= geometry.min_exponent
    if geometry.least_exponent < geometry.min_exponent:
        assert min(exponents, default=geometry.least_exponent) >= geometry.least_exponent
        if odd_significands(spec.a) and odd_significands(spec.b) and not saturates_finer:
            assert min(exponents) == geometry.least_exponent


@settings(max_examples=60)
@given(tiny_specs())
def test_exponents_are_as_narrow_and_as_high_as_can_be(spec):
    geometry = Design(spec).steps.geometry
    largest = max(geometry.max_exponent, geometry.rounded_sum.addend.largest_exponent + geometry.addend_offset)
    assert largest + 1 == (1 << geometry.exponent_bits) - 1
    assert geometry.least_exponent - 1 < 1 << (geometry.exponent_bits - 1)


@settings(max_examples=60)
@given(tiny_specs())
def test_hardware_is_there_for_what_can_occur_only(spec):
    geometry = Design(spec).steps.geometry
    _, _, reached, flags = reach(spec)
    acc = spec.acc
    kinds = {acc.number(code).kind for code in reached}
    assert "signalling" not in kinds
    if not geometry.nan:
        assert "nan" not in kinds
    if not geometry.infinite:
        assert "infinite" not in kinds
    negative_zero = acc.zero_code(1) in reached and acc.encoding != "fnuz"
    if not geometry.signed_zero:
        assert not negative_zero
    if not (geometry.capped or geometry.flush):
        assert not flags & Flags.UNDERFLOW
    if geometry.capped and odd_significands(spec.a) and odd_significands(spec.b):
        assert flags & Flags.UNDERFLOW
    if not (geometry.operand_nan or geometry.infinite):
        assert not flags & Flags.INVALID


@settings(max_examples=100)
@given(tiny_specs())
def test_loads_exactly_means_that_every_product_is_a_value(spec):
    model = Model(spec)
    _products, pairs, *_ = reach(spec)
    # A load is exact when the product comes back and no flag but that of an invalid product itself is raised.
    exact = True
    for (value, invalid), pair in pairs.items():
        code, flags = model.step(0, *pair)
        number = spec.acc.number(code)
        if isinstance(value, Fraction):
            exact &= number.kind == "finite" and number.to_fraction() == value and not flags
        elif "infinite" in value[0] and not invalid and not {"nan", "signalling"} & set(value[0]):
            exact &= number.kind == "infinite"
        else:
            exact &= number.kind == "nan"
    geometry = Design(spec).steps.geometry
    assert exact or not geometry.loads_exactly
    # The converse needs operands that use all their bits.
    if exact and all(isinstance(fmt, FloatFormat) and full_significands(fmt) for fmt in (spec.a, spec.b)):
        assert geometry.loads_exactly


@pytest.mark.parametrize(
    ("a", "acc", "exact"),
    [
        ("e5m2", "e6m5", True),
        ("e5m2", "e6m4", False),  # 6 bits of products do not fit
        ("e5m2", "e5m5", False),  # too large and too small
        ("e4m3fn", "fp32", True),
        ("e5m2", "e6m5finite", False),  # no infinity or NaN to load
        ("e4m3fn", "e6m7fn", True),
        ("e5m2", "e6m7fn", False),  # no infinity to load
        ("e2m1finite", "e6m5finite", True),
    ],
)
def test_loads_exactly_of_formats_in_use(a, acc, exact):
    spec = MacSpec(a=a, b=a, acc=acc, chunk=64)
    assert Design(spec).steps.geometry.loads_exactly is exact


@pytest.mark.parametrize("encoding", Encoding)
def test_significand_bits_hold_every_magnitude(encoding):
    fmt = FloatFormat(4, 3, encoding=encoding)
    assert significand_bits(fmt) == 4
    for text, bits in (("int8", 8), ("uint8", 8), ("int1", 1), ("uint1", 1), ("fix2.2", 4)):
        fmt = FixedFormat.parse(text)
        largest = max(abs(fmt.min_integer), fmt.max_integer)
        assert significand_bits(fmt) == bits == largest.bit_length()


def test_widths_of_the_default_preset():
    """E5M2 products have 6 significand bits, as many as E6M5 has: no bit is spent below the window but guard bits."""
    geometry = Design(MacSpec(a="e5m2", b="e5m2", acc="e6m5", chunk=64)).steps.geometry
    assert (geometry.precision, geometry.addend_bits, geometry.window_bits) == (6, 6, 6)
    assert geometry.guard_bits == 2
    assert not geometry.capped
    assert not geometry.signed_zero
