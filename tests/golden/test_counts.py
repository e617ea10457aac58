"""What is counted of additions: the corner cases of docs/arithmetic.md section 9, and golden against emulate."""

import numpy as np
import pytest

from macgen import MacSpec, emulate, golden
from macgen.golden import Model
from tests.emulate.by_steps import canonical
from tests.emulate.test_matmul import random_codes

NOTHING, SATURATED, FLUSHED, SWAMPED = (False,) * 3, (True, False, False), (False, True, False), (False, False, True)
E6M3 = {"a": "e6m3", "b": "e6m3", "acc": "e6m3"}
INT8 = {"a": "int4", "b": "int4", "acc": "int8"}
X, M, U = 1.875 * 2.0**31, 2.0**-30, 2.0**-33


def code(fmt, value):
    return int(fmt.encode(np.array([value]))[0])


@pytest.mark.parametrize(
    ("fields", "acc", "products", "expected"),
    [
        (E6M3, 0.0, [(1, 2.0**-30)], NOTHING),
        (E6M3, 0.0, [(2.0**-20, 2.0**-20)], FLUSHED),
        (E6M3, 1.0, [(1, 2.0**-4)], SWAMPED),
        (E6M3, 1.0, [(1, 0.0)], NOTHING),
        (E6M3, 1.0, [(1, -0.0)], NOTHING),
        (E6M3, 1.0, [(1, 2.0**-3)], NOTHING),
        (E6M3 | {"lanes": 2}, 1.0, [(1, 2.0**-9), (-1, 2.0**-9)], NOTHING),
        (E6M3 | {"lanes": 3}, 1.0, [(1, 1), (-1, 1), (1, 2.0**-9)], SWAMPED),
        (E6M3 | {"lanes": 2, "lane_sum": "tree"}, 1.0, [(1, 1), (-1, 1)], NOTHING),
        (E6M3 | {"lanes": 2, "lane_sum": "bulk:4"}, 1.0, [(1, 2.0**-9), (1, 2.0**-9)], SWAMPED),
        (E6M3 | {"lanes": 2, "lane_sum": "aligned:4"}, 1.0, [(1, 2.0**-9), (1, 2.0**-9)], SWAMPED),
        (E6M3 | {"lanes": 2, "lane_sum": "exponents:4"}, 1.0, [(1, 2.0**-9), (-1, 2.0**-9)], NOTHING),
        (E6M3, X, [(1, 1.0)], SWAMPED),
        (E6M3, X, [(2.0**31, 1.0)], SATURATED),
        (E6M3, float("inf"), [(1, 1)], NOTHING),
        (E6M3, float("nan"), [(1, 1)], NOTHING),
        (E6M3, 1.0, [(float("inf"), 1)], NOTHING),
        (E6M3, 1.0, [(float("nan"), 1)], NOTHING),
        (E6M3 | {"acc": "e6m3finite"}, 1.0, [(float("inf"), 1)], SATURATED),
        (E6M3, 2 * U, [(1, U)], NOTHING),
        (E6M3, 2 * U, [(2.0**-15, 2.0**-20)], FLUSHED),
        (E6M3 | {"acc": "e6m3:flush"}, M, [(-1, M / 2)], FLUSHED),
        (E6M3 | {"rounding": "drop"}, 1.0, [(1, 2.0**-9)], SWAMPED),
        (E6M3 | {"rounding": "odd"}, 1.125, [(1, 2.0**-9)], SWAMPED),
        (INT8 | {"overflow": "wrap"}, 127.0, [(1, 1)], SATURATED),
        (INT8 | {"overflow": "wrap", "lanes": 8}, 1.0, [(-8, -8)] * 4, SATURATED),
        (INT8, 127.0, [(1, 1)], SATURATED),
        (INT8, 5.0, [(1, 0)], NOTHING),
        ({"a": "fix4.4", "b": "fix4.4", "acc": "fix8.4"}, 1.0, [(0.125, 0.125)], SWAMPED),
    ],
)  # fmt: skip
def test_events_of_a_step(fields, acc, products, expected):
    spec = MacSpec(**fields)
    a, b = ([code(fmt, pair[side]) for pair in products] for side, fmt in enumerate((spec.a, spec.b)))
    assert Model(spec).step_events(code(spec.acc, acc), a, b) == expected


def test_copies_are_no_additions_and_first_folds_are_some():
    chunked = MacSpec(**E6M3, chunk=1)
    one, small = code(chunked.a, 1.0), code(chunked.a, 2.0**-9)
    _, _, counts = golden.dot_counts(chunked, [one, small, small], [one, one, one])
    np.testing.assert_array_equal(counts, [[0, 0, 0], [0, 0, 2]])
    # An adder of the outer accumulator's own: the first fold, too, is an addition, to +0.
    outer = chunked.replace(outer="e5m2finite")
    _, _, counts = golden.dot_counts(outer, [code(chunked.a, 2.0**20)], [one])
    np.testing.assert_array_equal(counts, [[0, 0, 0], [1, 0, 0]])


@pytest.mark.parametrize(
    "spec",
    [
        MacSpec(a="e4m3", b="e4m3", acc="e5m2", chunk=3, rows=2, cols=2),
        MacSpec(a="e4m3", b="e4m3", acc="e5m2", chunk=4, outer="e4m3fn", scale="e4m3", lanes=2, rows=2, cols=2),
        MacSpec(a="fix2.3", b="fix2.3", acc="fix4.2", rounding="stochastic:3", chunk=2, rows=2, cols=2, interleave=2),
        MacSpec(a="e4m3", b="e4m3", acc="e5m2", lanes=3, lane_sum="bulk:3", rounding="odd", rows=2, cols=2),
    ],
    ids=str,
)  # fmt: skip
def test_counts_are_those_of_emulation(spec):
    rng, (m, k, n) = np.random.default_rng(7), (4, 24, 4)
    a = canonical(spec.a, random_codes(rng, spec.a, (m, k), "near one"))
    b = canonical(spec.b, random_codes(rng, spec.b, (k, n), "finite"))
    scales, values = {}, {}
    if spec.scale is not None:
        drawn = (
            random_codes(rng, spec.scale, shape, "near one")
            for shape in ((m, spec.scale_count(k)), (spec.scale_count(k), n))
        )
        scales = dict(zip(("A_scales", "B_scales"), drawn, strict=True))
        values = {name: spec.scale.decode(codes) for name, codes in scales.items()}
    codes, flags, counts = golden.matmul_counts(spec, a, b, **scales)
    by_matmul = golden.matmul(spec, a, b, **scales)
    np.testing.assert_array_equal(codes, by_matmul[0])
    np.testing.assert_array_equal(flags, by_matmul[1])
    *_, found = emulate.matmul(spec, spec.a.decode(a), spec.b.decode(b), 1, **values, counts=True)
    for index, events in enumerate((found.steps, found.folds)):
        assert counts[..., index, :].sum((0, 1)).tolist() == [events.saturated, events.flushed, events.swamped]
    assert counts.sum() > 5
