"""The whole family against golden, bit for bit: rounded products, lanes, outer accumulators, scales, results."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from macgen import MacgenError, MacSpec, emulate, golden
from macgen.emulate import dispatch as way
from macgen.emulate.random_numbers import draws
from macgen.numerics import FloatFormat, ScaleFormat
from tests.emulate.test_matmul import KINDS, assert_same, random_codes
from tests.strategies import family_specs

SLOW = [HealthCheck.too_slow, HealthCheck.filter_too_much]


def random_scales(rng, spec, shape, finite):
    """Return codes of scales, mostly about 1, where the spec has any."""
    if spec.scale is None:
        return None
    if isinstance(spec.scale, ScaleFormat):
        near = np.clip(spec.scale.bias + rng.integers(-3, 4, shape), 0, spec.scale.nan_code - finite)
    else:
        near = spec.scale.encode(spec.scale.quantize(np.ldexp(rng.uniform(1, 2, shape), rng.integers(-2, 3, shape))))
    if finite or rng.integers(2):
        return near
    return np.where(rng.integers(0, 4, shape), near, rng.integers(0, 1 << spec.scale.width, shape))


anything = given(
    spec=family_specs(max_exp_bits=5, max_man_bits=4, max_width=8, max_chunk=9, max_side=3)
    | family_specs(max_exp_bits=11, max_man_bits=12, max_width=20, max_chunk=9, max_side=3),
    kinds=st.tuples(st.sampled_from(KINDS), st.sampled_from(KINDS)),
    shape=st.tuples(st.integers(1, 7), st.integers(1, 20), st.integers(1, 7)),
    seed=st.integers(0, 2**32 - 1),
    threads=st.sampled_from([1, 2]),
    finite=st.booleans(),
)


def same_as_golden(spec, kinds, shape, seed, threads, finite):
    rng = np.random.default_rng(seed)
    m, k, n = shape
    a, b = random_codes(rng, spec.a, (m, k), kinds[0]), random_codes(rng, spec.b, (k, n), kinds[1])
    count = spec.scale_count(k)
    scales = [random_scales(rng, spec, of, finite) for of in ((m, count), (count, n))]
    assert_same(spec, a, b, scales if spec.scale is not None else None, threads=threads)


test_same_as_golden = settings(max_examples=150, suppress_health_check=SLOW)(anything(same_as_golden))
test_same_as_golden_often = pytest.mark.prove(
    settings(max_examples=700, suppress_health_check=SLOW)(anything(same_as_golden))
)


@settings(max_examples=150, suppress_health_check=SLOW)
@given(
    spec=family_specs(max_exp_bits=5, max_man_bits=4, max_width=8, max_chunk=9, max_side=3),
    kind=st.sampled_from(KINDS),
    shape=st.tuples(st.integers(1, 9), st.integers(1, 20)),
    seed=st.integers(0, 2**32 - 1),
)
def test_dots_are_the_same_as_golden(spec, kind, shape, seed):
    rng = np.random.default_rng(seed)
    a, b = (random_codes(rng, fmt, shape, kind) for fmt in (spec.a, spec.b))
    scales = [random_scales(rng, spec, (shape[0], spec.scale_count(shape[1])), False) for _ in range(2)]
    named = (
        {} if spec.scale is None else dict(zip(("A_scales", "B_scales"), map(spec.scale.decode, scales), strict=True))
    )
    per_dot = golden.draws(spec, shape[1])
    expected = []
    for t in range(shape[0]):
        of_dot = {} if spec.scale is None else {"a_scales": scales[0][t], "b_scales": scales[1][t]}
        expected.append(golden.dot(spec, a[t], b[t], start=t * per_dot, **of_dot)[0])
    expected = spec.out_format.decode(expected)
    values = emulate.dots(spec, spec.a.decode(a), spec.b.decode(b), **named)
    np.testing.assert_array_equal(values, expected)
    number = ~np.isnan(expected)
    np.testing.assert_array_equal(np.signbit(values)[number], np.signbit(expected)[number])


@given(spec=family_specs(max_chunk=9, max_side=3), length=st.integers(1, 100))
def test_random_numbers_are_counted_alike(spec, length):
    if spec.random_bits:
        assert draws(spec, length) == golden.draws(spec, length)


# Specs as papers and machines have them; each takes a way on arrays.
FAMILY = {
    "lba": MacSpec(
        a="e4m3fn",
        b="e4m3fn",
        product="e4m7finite:bias=12:none",
        acc="e4m7finite:bias=8:none",
        chunk=16,
        rounding="rtz",
    ),
    "mxfp8": MacSpec(a="e4m3fn", b="e4m3fn", scale="e8m0fnu", acc="e8m13", outer="fp32", chunk=32, out="bf16"),
    "nvfp4": MacSpec(a="e2m1finite", b="e2m1finite", scale="e4m3fn", acc="fix9.2", outer="fp32", chunk=16),
    "fp32 scales": MacSpec(a="e4m3fn", b="e4m3fn", scale="fp32", acc="e6m9", outer="fp32", chunk=8, out="bf16"),
    "fp32 scales, toward zero": MacSpec(
        a="e2m1finite", b="e2m1finite", scale="fp32", acc="fix9.2", outer="bf16", chunk=4, outer_rounding="rtz"
    ),
    "fp32 scales, at random": MacSpec(
        a="e4m3fn",
        b="e4m3fn",
        scale="fp32",
        acc="fp32",
        outer="fp16",
        chunk=4,
        outer_rounding="stochastic:9",
        overflow="infinity",
        rows=2,
        cols=3,
    ),
    "hopper": MacSpec(
        a="e4m3fn",
        b="e4m3fn",
        acc="e8m13",
        lanes=32,
        lane_sum="aligned:13",
        rounding="rtz",
        chunk=128,
        outer="fp32",
        outer_rounding="rne",
    ),
    "by exponents": MacSpec(
        a="e4m3fn",
        b="e4m3fn",
        acc="e8m13",
        lanes=32,
        lane_sum="exponents:13",
        rounding="rtz",
        overflow="to-infinity",
        chunk=128,
        outer="fp32",
        outer_rounding="rne",
    ),
    "by exponents, bf16": MacSpec(
        a="bf16", b="bf16", acc="fp32", lanes=16, lane_sum="exponents:25", rounding="rtz", overflow="to-infinity"
    ),
    "by exponents, to odd": MacSpec(a="e5m2", b="e4m3fn", acc="e6m9", lane_sum="exponents:9", rounding="odd", chunk=8),
    "in bulk": MacSpec(a="e5m2", b="e4m3fn", acc="e6m9", lanes=4, lane_sum="bulk:9", rounding="odd", chunk=8),
    "scales of lanes": MacSpec(
        a="e4m3fn",
        b="e5m2",
        acc="fp32",
        lanes=8,
        lane_sum="exponents:25",
        rounding="rtz",
        scale="e8m0fnu",
        scale_place="lanes",
        scale_block=4,
        chunk=16,
    ),
    "groups": MacSpec(
        a="e2m1finite",
        b="e2m1finite",
        acc="fp32",
        lanes=64,
        lane_sum="exponents:35/16",
        rounding="rtz",
        overflow="to-infinity",
        scale="e4m3fn",
        scale_place="lanes",
        scale_block=32,
    ),
    "to odd": MacSpec(a="e4m3fn", b="e4m3fn", acc="e6m9", out="fix9.2", rounding="odd", chunk=4, outer="e8m5"),
    "to infinity": MacSpec(a="e5m2", b="e5m2", acc="e5m4", rounding="rtz", overflow="to-infinity", chunk=4),
    "rtz into fp32": MacSpec(a="bf16", b="e5m2", acc="fp32", rounding="rtz", chunk=6),
    "aligned, folded": MacSpec(a="e5m2", b="e4m3fn", acc="e6m9", lanes=2, lane_sum="aligned:6", chunk=8),
    "fused": MacSpec(a="e4m3fn", b="e4m3fn", acc="e6m9", lanes=4, chunk=16),
    "fused, drop": MacSpec(a="e4m3fn", b="e4m3fn", acc="e6m9", lanes=4, rounding="drop"),
    "fused, fixed point": MacSpec(a="e4m3fn", b="e4m3fn", acc="fix24.12", lanes=4, chunk=12, overflow="wrap"),
    "tree": MacSpec(a="e5m2", b="e5m2", acc="e6m9", lanes=8, lane_sum="tree"),
    "tree, fixed point": MacSpec(a="e3m2", b="e3m2", acc="fix20.3", lanes=4, lane_sum="tree", rounding="rtz"),
    "tree, infinity": MacSpec(a="e5m2", b="e5m2", acc="e5m8", lanes=4, lane_sum="tree", overflow="infinity"),
    "wide outer": MacSpec(a="e5m2", b="e5m2", acc="e6m5", outer="e6m12", chunk=16),
    "fixed outer": MacSpec(a="int8", b="int8", acc="int20", outer="int32", chunk=16, out="bf16"),
    "outer rounding": MacSpec(a="e5m2", b="e5m2", acc="e6m5", chunk=8, outer_rounding="rtz"),
    "random chunks": MacSpec(a="e5m2", b="e5m2", acc="e6m5", chunk=8, outer_rounding="stochastic:5", rows=3, cols=2),
    "random results": MacSpec(
        a="e5m2", b="e5m2", acc="e6m9", out="e4m3", outer_rounding="stochastic:7", rows=3, cols=2, interleave=3
    ),
    "random steps": MacSpec(
        a="e4m3fn", b="e4m3fn", acc="e6m5", chunk=8, lanes=2, rounding="stochastic:13", rows=2, cols=2, interleave=2
    ),
    "random steps, aligned": MacSpec(
        a="e5m2", b="e5m2", acc="e6m5", lanes=2, lane_sum="aligned:9", rounding="stochastic:13", rows=2, cols=2
    ),
    "fixed product": MacSpec(a="e3m2", b="e3m2", product="fix12.3", acc="fix16.2", chunk=5),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", FAMILY)
def test_family(name, kind):
    """Several tiles, chunks that end early."""
    spec, rng = FAMILY[name], np.random.default_rng(3)
    m, k, n = 10, 2 * (spec.chunk or 8) + 3, 7
    a, b = random_codes(rng, spec.a, (m, k), kind), random_codes(rng, spec.b, (k, n), kind)
    count, scales = spec.scale_count(k), None
    if spec.scale is not None:
        scales = [random_scales(rng, spec, of, kind != "any") for of in ((m, count), (count, n))]
    assert_same(spec, a, b, scales)


NOT_ON_ARRAYS = ["by exponents", "by exponents, bf16", "by exponents, to odd", "in bulk", "scales of lanes", "groups"]
NOT_ON_ARRAYS += ["to odd"]
"""Without a compiler these are computed one by one."""


@pytest.mark.parametrize("name", [name for name in FAMILY if name not in NOT_ON_ARRAYS])
def test_family_takes_a_way_on_arrays(name):
    """Not a matter of results: the slow way would take hours for a network."""
    spec = FAMILY[name]
    assert way.choose(spec, 1024, 1e4, finite_scales=True) is not None
    assert spec.out is None or way.choose_out(spec) is not None


@pytest.mark.parametrize("subnormals", ["gradual", "flush", "none"])
def test_products_below_the_smallest_normal_number_are_cut_where_the_larger_one_ends(subnormals):
    """The one addition of `drop` that has two such terms is a tree's; theirs may reach that number, or not."""
    acc = FloatFormat(4, 2, bias=0, subnormals=subnormals)
    spec = MacSpec(a="e2m2finite", b="e2m2finite", acc=acc, lanes=2, lane_sum="tree", rounding="drop")
    rng = np.random.default_rng(2)
    a, b = rng.integers(0, 1 << 5, (2, 2000, 2))
    expected = [golden.dot(spec, x, y)[0] for x, y in zip(a, b, strict=True)]
    values = emulate.dots(spec, spec.a.decode(a), spec.b.decode(b))
    np.testing.assert_array_equal(values, acc.decode(expected))


def test_blocks_with_scales_in_either_direction():
    spec, rng = replace(FAMILY["mxfp8"], chunk=4), np.random.default_rng(5)
    for m, k, n in ((3, 9, 1100), (1100, 9, 3)):
        a, b = random_codes(rng, spec.a, (m, k), "finite"), random_codes(rng, spec.b, (k, n), "finite")
        assert_same(spec, a, b, [random_scales(rng, spec, of, True) for of in ((m, 3), (3, n))], threads=2)


@pytest.mark.parametrize("rounding", ["rne", "rtz", "stochastic:5"])
def test_long_products_that_cancel(rounding):
    """The second chunk takes away what the first one gave, but for its rounding: then the last of 58 bits count."""
    spec = MacSpec(
        a="e2m9",
        b="e2m1",
        acc="e6m9",
        scale="fp32",
        outer="fp32",
        chunk=1,
        outer_rounding=rounding,
        overflow="infinity",
    )
    rng, count = np.random.default_rng(6), 150
    a = np.repeat(1 + rng.integers(0, 1 << 9, (count, 1)) / (1 << 9), 2, axis=1)
    b = np.tile([1.0, -1.0], (count, 1))
    few = rng.integers(0, 2, (2, count, 1)) * rng.integers(0, 1 << 23, (2, count, 1))
    near = (few + rng.integers(0, 4, (2, count, 1))) % (1 << 23) / (1 << 23)
    of_a, of_b = np.repeat(1 + near, 2, axis=2)
    codes = [spec.a.encode(a), spec.b.encode(b), spec.scale.encode(of_a), spec.scale.encode(of_b)]
    expected = [
        golden.dot(spec, x, y, start=2 * t, a_scales=s, b_scales=r)[0]
        for t, (x, y, s, r) in enumerate(zip(*codes, strict=True))
    ]
    found = emulate.dots(spec, a, b, A_scales=of_a, B_scales=of_b)
    np.testing.assert_array_equal(found, spec.outer.decode(expected))
    assert len(set(found.tolist())) > 20


@pytest.mark.parametrize("outer", ["e8m23finite", "fp32", "e8m20fn"])
def test_chunk_sums_that_overflow_to_nan_meet_long_scales(outer):
    """448 * 448 * 2 exceeds E4M7's largest number, and E8M23's finite has no NaN for what that becomes."""
    spec = MacSpec(a="e4m3fn", b="e4m3fn", acc="e4m7fn", scale="fp32", outer=outer, chunk=2, overflow="nan")
    a, scales = np.full((1, 2), 448.0), np.full((1, 1), 1 + 2.0**-23)
    found = emulate.dots(spec, a, a, A_scales=scales, B_scales=scales)
    expected = (2 - 2.0**-23) * 2.0**128 if outer == "e8m23finite" else np.nan
    np.testing.assert_array_equal(found, [expected])


def least(fmt):
    return 2.0**fmt.lsb_exponent


@pytest.mark.parametrize("other", [{}, {"lane_sum": "aligned:4"}, {"lanes": 2}, {"product": True}, {"out": True}])
@pytest.mark.parametrize(("bias", "acc_bias"), [(55, -80), (255, -600)])
def test_the_least_negative_number_far_below_a_floors_unit(bias, acc_bias, other):
    """The least product over the unit in the last place is below float32's range, then below binary64's, yet not 0."""
    operand = FloatFormat(4, 3, bias=bias, encoding="finite")
    coarse = FloatFormat(3, 2, bias=acc_bias, encoding="finite")
    fields = {key: coarse if value is True else value for key, value in other.items()}
    acc = FloatFormat(9, 3, bias=2 * bias + 10, encoding="finite") if "out" in other else coarse
    spec = MacSpec(a=operand, b=operand, acc=acc, rounding="floor", **fields)
    a, b = np.full((1, 1), -least(operand)), np.full((1, 1), least(operand))
    np.testing.assert_array_equal(emulate.dots(spec, a, b), [-least(coarse)])
    np.testing.assert_array_equal(emulate.matmul(spec, -a, b), [[0.0]])


# -- refused input -----------------------------------------------------------------------------------------------

ONES = np.ones((2, 40)), np.ones((40, 3))


@pytest.mark.parametrize(
    ("scales", "message"),
    [
        ({}, r"A_scales is missing; accepted is values of e8m0fnu in the shape \(2, 2\)"),
        (
            {"A_scales": np.ones((2, 2)), "B_scales": np.ones((3, 2))},
            r"B_scales has the shape \(3, 2\); accepted is \(2, 3\), one scale for each chunk",
        ),
        (
            {"A_scales": np.full((2, 2), 3.0), "B_scales": np.ones((2, 3))},
            r"A_scales: value\[0, 0\] = 3.0 is not a value of format e8m0fnu; .*",
        ),
    ],
)
def test_wrong_scales(scales, message):
    with pytest.raises(MacgenError, match=f"^{message}$"):
        emulate.matmul(FAMILY["mxfp8"], *ONES, **scales)


def test_scales_where_there_are_none():
    with pytest.raises(MacgenError, match=r"^A_scales is given, but the spec has no scale; accepted is none$"):
        emulate.matmul(FAMILY["hopper"], *ONES, A_scales=np.ones((2, 1)))
