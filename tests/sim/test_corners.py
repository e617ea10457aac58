from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from macgen import MacSpec, golden, parse_format, presets
from macgen.numerics.flags import Flags
from sim.corners import Corner, Term, at_chunk_starts, corners, exact_code, operands_of, to_tiles

FP16 = presets["fp16"]


def dot(spec, corner):
    a_codes, b_codes = zip(*corner.pairs, strict=True)
    return golden.dot(spec, a_codes, b_codes)


def value(fmt, code):
    return fmt.number(code).to_fraction()


@pytest.mark.parametrize("name", ["e5m2", "e4m3fnuz", "e2m1finite", "e5m2:flush", "int8", "uint4", "fix3.5"])
def test_exact_code_is_the_inverse_of_number(name):
    fmt = parse_format(name)
    for code in range(1 << fmt.width):
        number = fmt.number(code)
        if number.kind == "finite" and number.significand:
            assert value(fmt, exact_code(fmt, number.sign, number.significand, number.exponent)) == number.to_fraction()


def test_exact_code_refuses_what_the_format_does_not_have():
    fmt = parse_format("e5m2")
    assert exact_code(fmt, 0, 9, 0) is None
    assert exact_code(fmt, 0, 1, -17) is None
    assert exact_code(fmt, 0, 1, 16) is None
    assert exact_code(parse_format("uint4"), 1, 1, 0) is None
    assert exact_code(parse_format("e5m2:flush"), 0, 1, -16) is None


@given(
    st.sampled_from(["e5m2", "e4m3fn", "fp16", "int8", "uint4", "fix2.6", "e3m0finite"]),
    st.sampled_from(["e5m2", "e4m3fnuz", "fp16", "int8", "ufix0.4"]),
    st.integers(0, 1),
    st.integers(1, 300),
    st.integers(-40, 40),
)
def test_operands_have_the_product_asked_for(a, b, sign, significand, exponent):
    a, b = parse_format(a), parse_format(b)
    pair = operands_of(a, b, Term(sign, significand, exponent))
    if pair is not None:
        product = value(a, pair[0]) * value(b, pair[1])
        assert product == (-1) ** sign * significand * Fraction(2) ** exponent


def test_powers_of_two_have_operands_over_the_whole_range():
    fmt = parse_format("e5m2")
    for exponent in range(-32, 31):
        assert operands_of(fmt, fmt, Term(0, 1, exponent)) is not None
        assert operands_of(fmt, fmt, Term(1, 1, exponent)) is not None
    assert operands_of(fmt, fmt, Term(0, 1, -33)) is None


@pytest.mark.parametrize("name", presets)
def test_every_preset_has_corners_of_both_signs_without_repetition(name):
    spec = presets[name]
    found = corners(spec)
    assert len(found) > 50
    assert len({corner.pairs for corner in found}) == len(found)
    results = [dot(spec, corner)[0] for corner in found]
    sign_bit = 1 << (spec.acc.width - 1)
    assert any(code & sign_bit for code in results)
    assert any(not code & sign_bit for code in results)


def named(spec, name):
    found = [corner for corner in corners(spec) if corner.name == name]
    assert len(found) == 1, name
    return found[0]


def test_ties_are_ties():
    one = exact_code(FP16.acc, 0, 1, 0)
    assert dot(FP16, named(FP16, "tie, even accumulator, 2^0")) == (one, Flags(0))
    assert dot(FP16, named(FP16, "tie, odd accumulator, 2^0")) == (one + 2, Flags(0))
    assert dot(FP16, named(FP16, "all ones, carry out by a tie, 2^0"))[0] == exact_code(FP16.acc, 0, 1, 1)
    rtz = MacSpec(a="fp16", b="fp16", acc="fp16", rounding="rtz")
    assert dot(rtz, named(rtz, "tie, odd accumulator, 2^0")) == (one + 1, Flags(0))


def test_sticky_accumulators_decide_ties():
    names = {"a product that is a tie", "a product that is a tie, sticky accumulator"}
    names.add("a product that is a tie, negative sticky accumulator")
    by_name = {}
    for corner in corners(FP16):
        name, _, where = corner.name.rpartition(", ")
        if name in names and where == "2^0":
            by_name.setdefault(name, []).append(dot(FP16, corner)[0])
    assert by_name.keys() == names
    plain, above, below = (by_name[name] for name in sorted(names, key=len))
    assert any(up != tie for up, tie in zip(above, plain, strict=True))
    assert any(down != tie for down, tie in zip(below, plain, strict=True))
    assert all(up == down + 1 for up, down in zip(above, below, strict=True))


@pytest.mark.parametrize(
    ("spec", "flags"),
    [
        (presets["default"], {Flags.OVERFLOW}),
        (presets["wang2018"], {Flags.OVERFLOW}),
        (FP16, {Flags.OVERFLOW, Flags.UNDERFLOW}),
        (presets["bf16-fp32"], {Flags.OVERFLOW, Flags.UNDERFLOW}),
        (MacSpec(a="int8", b="int8", acc="int18", overflow="wrap"), {Flags.OVERFLOW}),
        (MacSpec(a="e4m3fn", b="e4m3fn", acc="e5m4:flush"), {Flags.OVERFLOW, Flags.UNDERFLOW}),
    ],
)
def test_corners_raise_every_flag_that_finite_operands_can(spec, flags):
    raised = {dot(spec, corner)[1] for corner in corners(spec)}
    assert flags <= raised


def test_extremes_overflow_in_both_directions():
    spec = MacSpec(a="int8", b="int8", acc="int18", overflow="saturate")
    results = {dot(spec, corner)[0] for corner in corners(spec)}
    assert {spec.acc.largest_code(0), spec.acc.largest_code(1)} <= results


@pytest.mark.parametrize("overflow", ["saturate", "wrap"])
@pytest.mark.parametrize("name", ["int14", "fix12.3"])
def test_sums_reach_the_ends_of_fixed_point_exactly(name, overflow):
    spec = MacSpec(a="int8", b="uint4" if name == "int14" else "fix2.3", acc=name, overflow=overflow, chunk=4)
    low, high = spec.acc.min_integer, spec.acc.max_integer
    ends = {corner.name: corner for corner in corners(spec)}
    for end, beyond in ((high, low), (low, high)):
        code = end & ((1 << spec.acc.width) - 1)
        wrapped = beyond & ((1 << spec.acc.width) - 1)
        assert dot(spec, ends[f"exactly {end}"]) == (code, Flags(0))
        one_more = dot(spec, ends[f"exactly {end}, and one more"])
        assert one_more == (wrapped if overflow == "wrap" else code, Flags.OVERFLOW)
        assert dot(spec, ends[f"exactly {end}, one more, and back"]) == (code, Flags(0))  # within a chunk


def test_folds_add_what_steps_add():
    spec = MacSpec(a="fp16", b="fp16", acc="fp16", chunk=4)
    steps = MacSpec(a="fp16", b="fp16", acc="fp16")
    checked = 0
    for corner in corners(spec)[::7]:
        folded = at_chunk_starts(spec, corner, 4)
        assert folded.length == 4 * (corner.length - 1) + 1
        assert folded.pairs[::4] == corner.pairs
        # A chunk that starts with a product which is not the accumulator's to hold is rounded before it is folded.
        if all(dot(steps, Corner("", (pair,)))[1] == 0 and is_exact(spec, pair) for pair in corner.pairs):
            assert dot(spec, folded) == dot(steps, corner)
            checked += 1
    assert checked > 50


def is_exact(spec, pair):
    product = value(spec.a, pair[0]) * value(spec.b, pair[1])
    return value(spec.acc, golden.dot(spec, [pair[0]], [pair[1]])[0]) == product


@pytest.mark.parametrize(("rows", "cols"), [(1, 1), (2, 3), (4, 4), (7, 2)])
def test_every_corner_stands_on_a_diagonal(rows, cols):
    spec = MacSpec(a="e5m2", b="e5m2", acc="e6m5", rows=rows, cols=cols)
    wanted = {corner.pairs for corner in corners(spec)}
    for tile in to_tiles(spec, corners(spec)):
        assert tile.a.shape == (rows, tile.length)
        assert tile.b.shape == (tile.length, cols)
        for index in range(min(rows, cols)):
            wanted.discard(tuple(zip(tile.a[index].tolist(), tile.b[:, index].tolist(), strict=True)))
    assert not wanted


def test_tiles_are_of_codes():
    spec = presets["int8-int32"]
    for tile in to_tiles(spec, corners(spec)):
        assert tile.a.dtype == np.int64
        assert tile.a.min() >= 0
        assert tile.b.max() < 256
