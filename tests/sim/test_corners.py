from fractions import Fraction

import numpy as np
import pytest

from macgen import MacSpec, golden, presets
from macgen.numerics.flags import Flags
from sim.addends import Aim, exact_code
from sim.corners import Corner, corners, spread, to_tiles
from tests import representatives

FP16 = presets["fp16"]


def dot(spec, corner):
    a_codes, b_codes = zip(*corner.pairs, strict=True)
    if spec.scale is None:
        return golden.dot(spec, a_codes, b_codes)
    one = spec.scale.encode(1.0).item()
    scales = corner.scales or ((one, one),) * spec.scale_count(corner.length)
    a_scales, b_scales = zip(*scales, strict=True)
    return golden.dot(spec, a_codes, b_codes, a_scales=a_scales, b_scales=b_scales)


def value(fmt, code):
    return fmt.number(code).to_fraction()


@pytest.mark.parametrize("name", representatives.SPECS)
def test_every_preset_has_corners_of_both_signs_without_repetition(name):
    spec = presets[name]
    found = corners(spec)
    assert len(found) > 50
    assert len({(corner.pairs, corner.scales) for corner in found}) == len(found)
    short = [corner for corner in found if corner.length < 100]
    if spec.scales_lanes:  # each product has scales, and a step of its own
        short = [spread(spec, corner, spec.lanes, 1) for corner in short[:60]]
    results = [dot(spec, corner)[0] for corner in short]
    sign_bit = 1 << (spec.out_format.width - 1)
    assert any(code & sign_bit for code in results)
    assert any(not code & sign_bit for code in results)


def named(spec, name):
    found = [corner for corner in corners(spec) if corner.name == name]
    assert len(found) == 1, name
    return found[0]


def test_scales_of_lanes_carry_corners_to_the_ends_of_the_range():
    """FP4 products alone do not get there: 2^127 and the place of the cut 35 bits below one."""
    spec = presets["blackwell-mxfp4"]
    top = spread(spec, named(spec, "largest products until they overflow"), spec.lanes, 40)
    assert dot(spec, top) == (0x7F800000, Flags.OVERFLOW)
    cut = "cancellation, and what lies on the cut, 2^0"
    corner = spread(spec, named(spec, cut), spec.lanes, 40)
    assert value(spec.acc, dot(spec, corner)[0]) == Fraction(1, 2**35)
    # Products stand in lane 40, so that the second block of each step has the scales, and the others none.
    assert len(corner.scales) == spec.scale_count(corner.length)
    assert set(corner.scales[::2]) == {(0, 0)}


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


@pytest.mark.parametrize("b", ["int1", "uint1", "int4", "e2m1finite"])
@pytest.mark.parametrize("a", ["int1", "uint1"])
def test_operands_of_one_bit_have_corners_everywhere(a, b):
    for acc, fields in (("int8", {"chunk": 2}), ("e5m2", {"out": "int4"}), ("fix8.2", {"chunk": 2, "outer": "fp32"})):
        spec = MacSpec(a=a, b=b, acc=acc, overflow="saturate", **fields)
        found = {code for corner in corners(spec) for code, _ in [dot(spec, corner)]}
        assert len(found) > 1
        assert corners(spec, "folds")


@pytest.mark.parametrize("place", ["steps", "folds"])
@pytest.mark.parametrize(("a", "b"), [("e5m2", "e5m2"), ("e5m2", "e2m1finite"), ("int4", "e3m2")])
def test_infinities_and_nans_follow_each_other(a, b, place):
    spec = MacSpec(a=a, b=b, acc="e6m5", overflow="infinity", chunk=2)
    found = {}
    for corner in corners(spec, place):
        if corner.name.startswith("special: "):
            code, flags = dot(spec, spread(spec, corner, 2 if place == "folds" else 1))
            found[corner.name.removeprefix("special: ")] = (spec.acc.number(code).kind, flags)
    assert found["infinite, then -infinite"] == found["-infinite, then infinite"] == ("nan", Flags.INVALID)
    assert found["infinite, then infinite"] == found["largest, then infinite"] == ("infinite", Flags(0))
    assert found["nan, then -infinite"] == found["-infinite, then nan"] == ("nan", Flags(0))
    assert found["signalling, then largest"] == found["largest, then signalling"] == ("nan", Flags.INVALID)


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
    for corner in [corner for corner in corners(spec) if not corner.name.startswith("special: ")][::7]:
        folded = spread(spec, corner, 4)
        assert folded.length == 4 * (corner.length - 1) + 1
        assert folded.pairs[::4] == corner.pairs
        # A chunk that starts with a product which is not the accumulator's to hold is rounded before it is folded.
        if all(dot(steps, Corner("", (pair,)))[1] == 0 and is_exact(spec, pair) for pair in corner.pairs):
            assert dot(spec, folded) == dot(steps, corner)
            checked += 1
    assert checked > 50


SCALED = MacSpec(a="e2m1finite", b="e2m1finite", acc="fix12.2", scale="e8m0fnu", chunk=32, outer="fp32")


@pytest.mark.parametrize(
    "spec",
    [
        SCALED,
        MacSpec(a="e4m3fn", b="e4m3fn", acc="e6m9", scale="e4m3fn", chunk=4, outer="fp16", overflow="infinity"),
        MacSpec(a="int8", b="int8", acc="int28", scale="e5m0fnu", chunk=2, outer="e5m5:flush"),
    ],
    ids=lambda spec: str(spec.scale),
)
def test_corners_by_folds_meet_the_outer_accumulator(spec):
    """Each addend is a chunk sum times its scales, exactly: ties are ties of the outer format, and all flags appear."""
    outer, results = spec.outer_format, {}
    for corner in corners(spec, "folds"):
        if corner.length < 10:
            results[corner.name] = dot(spec, spread(spec, corner, spec.chunk))
    one = exact_code(outer, 0, 1, 0)
    assert results["tie, even accumulator, 2^0"] == (one, Flags(0))
    assert results["tie, odd accumulator, 2^0"] == (one + 2, Flags(0))
    assert results["just above a tie, 2^0"] == (one + 1, Flags(0))
    assert results["exact zero, 2^0"] == (0, Flags(0))
    assert results["subtracted, below a tie of the next binade, 2^0"] == (one, Flags(0))
    assert results["subtracted, above a tie of the next binade, 2^0"] == (one - 1, Flags(0))
    flags = {flag for _, flag in results.values()}
    assert Flags.UNDERFLOW in flags or outer.lsb_exponent <= Aim(spec, "folds").lowest
    assert Flags.OVERFLOW in flags


def test_results_of_their_own_format_are_rounded_at_their_ties():
    spec = MacSpec(a="fix8.8", b="fix8.8", acc="fix32.16", out="fix8.8")
    results = {corner.name: dot(spec, corner) for corner in corners(spec, "results") if corner.length < 10}
    assert results["tie, even accumulator, 2^0"] == (256, Flags(0))
    assert results["tie, odd accumulator, 2^0"] == (258, Flags(0))
    assert results["just below a tie, odd accumulator, 2^0"] == (257, Flags(0))
    assert {Flags.OVERFLOW, Flags(0)} == {flags for _, flags in results.values()}


@pytest.mark.parametrize("product", ["e4m7finite:bias=12:flush", "e3m2", "int9", "fix6.3"])
def test_products_are_rounded_at_their_own_ties_and_ends(product):
    spec = MacSpec(a="e3m4finite", b="e3m4finite", acc="fp32", product=product)
    exact = MacSpec(a="e3m4finite", b="e3m4finite", acc="fp32")
    ulp = 2.0**spec.product.lsb_exponent
    singles = [corner for corner in corners(spec) if corner.length == 1]
    ties, flags = 0, Flags(0)
    for corner in singles:
        code, raised = dot(spec, corner)
        flags |= raised
        before = spec.acc.decode(dot(exact, corner)[0])
        unit = ulp
        if product.startswith("e"):
            unit = max(ulp, 2.0 ** (np.floor(np.log2(abs(before))) - spec.product.man_bits))
        after = spec.acc.decode(code)
        ties += abs(before - after) == unit / 2 and not raised & Flags.OVERFLOW
    assert ties > 4
    assert Flags.OVERFLOW in flags
    assert Flags.UNDERFLOW in flags or not product.startswith("e")


@pytest.mark.parametrize("at", [0, 1, 3])
def test_spread_products_stand_in_one_lane(at):
    spec = MacSpec(a="e5m2", b="e5m2", acc="e6m5", lanes=4)
    steps = MacSpec(a="e5m2", b="e5m2", acc="e6m5")
    for corner in corners(spec)[::9]:
        alone = spread(spec, corner, 4, at)
        assert alone.pairs[at::4] == corner.pairs
        assert alone.length == 4 * (corner.length - 1) + 1 + at
        assert dot(spec, alone) == dot(steps, corner)


def test_aligned_sums_have_corners_at_their_cut():
    spec = MacSpec(a="fp16", b="fp16", acc="e8m23", lanes=4, lane_sum="aligned:9", rounding="rtz")
    results = {corner.name: dot(spec, corner) for corner in corners(spec) if corner.length <= 4}
    one = exact_code(spec.acc, 0, 1, 0)
    on, below = exact_code(spec.acc, 0, 2**9 + 1, -9), exact_code(spec.acc, 0, 2**10 + 1, -10)
    assert results["and what lies on the cut, 2^0"][0] == on
    assert results["and what lies below the cut, 2^0"][0] == one
    assert results["and twice what lies below the cut, 2^0"][0] == one
    assert results["cancellation, and what lies below the cut, 2^0"][0] == 0  # though 2^-10 remains of the sum
    assert below != one


def test_scaled_corners_stand_on_diagonals_with_their_scales():
    spec = MacSpec(
        a="e2m1finite", b="e2m1finite", acc="fix12.2", scale="e8m0fnu", chunk=2, outer="fp32", rows=2, cols=3
    )
    folds = [spread(spec, corner, 2) for corner in corners(spec, "folds") if corner.length < 4]
    wanted = {(corner.pairs, corner.scales) for corner in folds}
    for tile in to_tiles(spec, folds):
        assert tile.a_scales.shape == (2, -(-tile.length // 2))
        assert tile.b_scales.shape == (-(-tile.length // 2), 3)
        for index in range(2):
            pairs = tuple(zip(tile.a[index].tolist(), tile.b[:, index].tolist(), strict=True))
            scales = tuple(zip(tile.a_scales[index].tolist(), tile.b_scales[:, index].tolist(), strict=True))
            wanted.discard((pairs, scales))
    assert not wanted
    (tile,) = {tile.a_scales.tobytes(): tile for tile in to_tiles(spec, corners(spec)[:1])}.values()
    assert set(tile.a_scales.ravel()) == set(tile.b_scales.ravel()) == {127}


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
