"""Preloaded accumulators (docs/arithmetic.md section 11): the splitting law, the corner cases, what is refused."""

from fractions import Fraction

import numpy as np
import pytest

from macgen import MacSpec, emulate, golden
from macgen.errors import MacgenError
from macgen.golden.draws import draws
from macgen.numerics import parse_format

PLAIN = {"a": "e4m3", "b": "e4m3", "acc": "e5m3", "preload": True}
FIXED = PLAIN | {"a": "fix2.3", "b": "fix2.3", "acc": "fix5.4"}
OUTER = PLAIN | {"chunk": 4, "outer": "e6m5", "outer_rounding": "rtz"}
LAWFUL = {
    "no chunks": PLAIN,
    "infinity": PLAIN | {"acc": "e5m2", "overflow": "infinity"},
    "nan": PLAIN | {"acc": "e5m2fn", "overflow": "nan", "rounding": "floor"},
    "flush": PLAIN | {"acc": "e5m3:flush", "rounding": "odd", "lanes": 2},
    "tree": PLAIN | {"acc": "e4m3finite", "a": "e3m2", "b": "e3m2", "rounding": "rtz", "lanes": 2, "lane_sum": "tree"},
    "bulk": PLAIN | {"lanes": 2, "lane_sum": "bulk:5"},
    "drop": PLAIN | {"rounding": "drop", "product": "e5m3"},
    "chunks": PLAIN | {"chunk": 4},
    "random steps": PLAIN | {"rounding": "stochastic:3"},
    "random folds": PLAIN | {"rounding": "stochastic:3", "chunk": 4, "lanes": 2, "interleave": 2},
    "outer": OUTER,
    "random outer": OUTER | {"outer_rounding": "stochastic:4"},
    "scales": OUTER | {"scale": "e4m3"},
    "fixed": FIXED,
    "wrap": FIXED | {"overflow": "wrap", "chunk": 2},
    "fixed outer": FIXED | {"rounding": "rtz", "chunk": 2, "outer": "fix7.2"},
}


def operands(spec, rng, length, start):
    def codes(fmt, count):
        drawn = rng.integers(0, 1 << fmt.width, count)
        finite = np.isfinite(fmt.decode(drawn))
        return np.where(finite | (rng.random(count) < 0.03), drawn, fmt.zero_code()).tolist()

    scales = {}
    if spec.scale is not None:
        scales = {name: codes(spec.scale, spec.scale_count(length)) for name in ("a_scales", "b_scales")}
    return codes(spec.a, length), codes(spec.b, length), int(codes(spec.outer_format, 1)[0]) if start else None, scales


@pytest.mark.parametrize("name", LAWFUL)
def test_a_dot_product_split_at_a_chunk_or_step_is_the_undivided_one(name):
    spec, rng = MacSpec(**LAWFUL[name]), np.random.default_rng(5)
    unit, moved = spec.chunk or spec.lanes, 0
    for _ in range(60):
        first, second = unit * int(rng.integers(1, 4)), int(rng.integers(1, 4 * unit))
        a, b, start, scales = operands(spec, rng, first + second, start=True)
        chunks = spec.scale_count(first)
        taken = int(rng.integers(0, 9))
        whole = golden.dot(spec, a, b, (1, 2), taken, preload=start, **scales)
        heads, tails = ({key: of[part] for key, of in scales.items()} for part in (slice(chunks), slice(chunks, None)))
        code, flags = golden.dot(spec, a[:first], b[:first], (1, 2), taken, preload=start, **heads)
        taken += draws(spec, first) if spec.random_bits else 0
        split, more = golden.dot(spec, a[first:], b[first:], (1, 2), taken, preload=code, **tails)
        assert (split, flags | more) == whole
        other, _ = golden.dot(spec, a, b, (1, 2), taken, preload=spec.outer_format.zero_code(), **scales)
        moved += other != split
    assert moved > 10, "the start value has to matter"


@pytest.mark.parametrize("name", [*LAWFUL, "out"])
def test_emulate_equals_golden_on_start_values(name):
    spec, rng = MacSpec(**LAWFUL.get(name, OUTER | {"out": "e5m2"}) | {"rows": 2, "cols": 2}), np.random.default_rng(7)
    quiet = [spec.outer_format.nan_code] if getattr(spec.outer_format, "has_nan", False) else []
    for length in (1, 7, 12):
        draw = [operands(spec, rng, length, start=False) for _ in range(3)]
        a, b = (np.array([tile[side] for tile in draw]) for side in (0, 1))
        for codes, fmt in ((a, spec.a), (b, spec.b)):
            codes[~np.isfinite(fmt.decode(codes))] = fmt.zero_code()
        start = spec.outer_format.encode(spec.outer_format.quantize(rng.standard_normal((3, 3)) * 3)).astype(np.int64)
        start[0, : len(quiet)] = quiet
        codes_of_scales, values_of_scales = {}, {}
        if spec.scale is not None:
            one = np.full((3, spec.scale_count(length)), int(spec.scale.encode(1.5)))
            codes_of_scales = {"A_scales": one, "B_scales": one.T}
            values_of_scales = {key: spec.scale.decode(codes) for key, codes in codes_of_scales.items()}
        codes, flags = golden.matmul(spec, a, b.T, preload=start, **codes_of_scales)
        values, raised = emulate.matmul(
            *(spec, spec.a.decode(a), spec.b.decode(b.T)), flags=True, preload=spec.outer_format.decode(start),
            **values_of_scales,
        )  # fmt: skip
        np.testing.assert_array_equal(values, spec.out_format.decode(codes))
        np.testing.assert_array_equal(np.signbit(values), np.signbit(spec.out_format.decode(codes)))
        np.testing.assert_array_equal(raised, flags)


CORNERS = [  # fields, start value, products as pairs of values, result, flags
    ({}, "inf", [(-float("inf"), 1.0)], "nan", 4),
    ({}, "inf", [(1.0, 1.0)], "inf", 0),
    ({}, "nan", [(1.0, 1.0)], "nan", 0),
    ({}, "signalling", [(1.0, 1.0)], "nan", 4),
    ({"chunk": 4}, "signalling", [(1.0, 1.0)], "nan", 4),
    ({}, "largest", [(448.0, 448.0)], "largest", 1),
]


@pytest.mark.parametrize(("fields", "start", "pairs", "result", "flags"), CORNERS)
def test_infinities_and_nan_are_start_values(fields, start, pairs, result, flags):
    spec = MacSpec(**{**PLAIN, "a": "e5m2", "b": "e5m2", "acc": "e5m3", **fields})
    acc = spec.acc
    codes = {
        "inf": acc.infinity_code(0),
        "nan": acc.nan_code,
        "signalling": acc.infinity_code(0) + 1,
        "largest": acc.largest_code(0),
    }
    a, b = (spec.a.encode(spec.a.quantize([pair[side] for pair in pairs])).tolist() for side in (0, 1))
    assert golden.dot(spec, a, b, preload=codes[start]) == (codes[result], flags)


def test_zeros_and_what_products_cannot_reach():
    spec = MacSpec(a="e5m2", b="e5m2", acc="e6m3", preload=True)
    negative_zero = 1 << spec.acc.width - 1
    one, minus_zero = int(spec.a.encode(1.0)), int(spec.a.encode(-0.0))
    assert golden.dot(spec, [minus_zero], [one], preload=negative_zero) == (0, 0)
    assert golden.dot(spec, [one], [one], preload=1) == (int(spec.acc.encode(1.0)), 0)
    fixed = MacSpec(a="int4", b="int4", acc="fix12.4", preload=True)
    code, flags = golden.dot(fixed, [3], [1], preload=1)
    assert (Fraction(code, 16), flags) == (Fraction(49, 16), 0)
    wraps = MacSpec(a="int2", b="int2", acc="int8", overflow="wrap", preload=True)
    assert golden.dot(wraps, [1], [1], preload=127) == (128, 1)
    drops = MacSpec(a="e5m2", b="e5m2", acc="e6m3", rounding="drop", preload=True)
    tiny = int(drops.b.encode(-1.5 * 2.0**-4))
    assert golden.dot(drops, [one], [tiny], preload=int(drops.acc.encode(1.0))) == (int(drops.acc.encode(1.0)), 0)


def test_scales_do_not_multiply_the_start_value_and_out_is_not_its_format():
    spec = MacSpec(a="e4m3", b="e4m3", acc="e6m5", chunk=2, outer="fp32", scale="e8m0fnu", out="fp16", preload=True)
    one, two = (int(spec.a.encode(value)) for value in (1.0, 2.0))
    scales = {"a_scales": [129], "b_scales": [127]}
    start = int(parse_format("fp32").encode(1.0))
    code, flags = golden.dot(spec, [one], [two], preload=start, **scales)
    assert (float(spec.out_format.decode(code)), flags) == (9.0, 0)


def test_a_zero_start_value_draws_for_the_first_fold():
    fields = {"a": "e4m3", "b": "e4m3", "acc": "e5m3", "rounding": "stochastic:3", "chunk": 4}
    plain, preloaded = MacSpec(**fields), MacSpec(**fields, preload=True)
    assert [draws(plain, length) for length in (1, 4, 9)] == [1, 4, 11]
    assert [draws(preloaded, length) for length in (1, 4, 9)] == [2, 5, 12]
    assert [draws(preloaded, length, complete=False) for length in (3, 4, 9)] == [3, 5, 11]
    assert emulate.numbers_taken(preloaded, 1, 1, 9) == 12


@pytest.mark.parametrize(
    ("preload", "fields", "sentence"),
    [
        (None, PLAIN, "preload None does not fit the spec; accepted is a code of e5m3"),
        (3, PLAIN | {"preload": False}, "preload 3 does not fit the spec; accepted is none"),
        (512, PLAIN, "preload: code 512 is not from 0 to 511, the codes of e5m3"),
        (1.5, PLAIN, "preload 1.5 is not an integer; accepted are unsigned codes"),
    ],
)
def test_other_start_values_are_refused(preload, fields, sentence):
    with pytest.raises(MacgenError) as error:
        golden.dot(MacSpec(**fields), [0], [0], preload=preload)
    assert sentence in str(error.value)


def test_start_values_of_other_shapes_are_refused():
    spec = MacSpec(**PLAIN)
    for of, matrix in ((golden, [[0]]), (emulate, [[0.0]])):
        for preload in ([[0, 0]], [0], None):
            with pytest.raises(MacgenError, match=r"preload (has the shape|is missing)"):
                of.matmul(spec, matrix, matrix, preload=preload)
        with pytest.raises(MacgenError, match="preload is given"):
            of.matmul(spec.replace(preload=False), matrix, matrix, preload=matrix)
    with pytest.raises(MacgenError, match="preload: value"):
        emulate.dots(spec, [[0.0]], [[0.0]], preload=[1 / 3])
