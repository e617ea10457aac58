"""The exact kernel against golden: values, flags and counts of every kind of spec, in integers of every width."""

import ctypes
import itertools

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from macgen import MacgenError, MacSpec, emulate, golden
from macgen.catalogue import presets
from macgen.emulate import Counts, Events, exact, exact_records, numpy_products, scalar
from macgen.numerics import FixedFormat, FloatFormat, parse_format
from tests import representatives
from tests.emulate.by_steps import canonical, expected_matmul
from tests.emulate.test_family import FAMILY, random_scales
from tests.emulate.test_matmul import KINDS, random_codes, with_chunk
from tests.strategies import corner_codes, family_specs, specs

SPECS = {**representatives.SPECS, **FAMILY}


def draw_codes(spec, kinds, shape, seed, finite=False):
    """Return codes of two matrices, and of their scales; NaN is the canonical one."""
    rng, (m, k, n) = np.random.default_rng(seed), shape
    drawn = (random_codes(rng, spec.a, (m, k), kinds[0]), random_codes(rng, spec.b, (k, n), kinds[1]))
    operands = [canonical(fmt, codes) for fmt, codes in zip((spec.a, spec.b), drawn, strict=True)]
    count = spec.scale_count(k)
    scales = [random_scales(rng, spec, of, finite) for of in ((m, count), (count, n))]
    return operands, [None if codes is None else canonical(spec.scale, codes) for codes in scales]


def decoded(spec, operands, scales):
    a, b = (fmt.decode(codes) for fmt, codes in zip((spec.a, spec.b), operands, strict=True))
    if spec.scale is None:
        return (a, b), {}
    return (a, b), dict(zip(("A_scales", "B_scales"), map(spec.scale.decode, scales), strict=True))


def assert_all_the_same(spec, operands, scales, threads=1):
    """Compare values (bit by bit), flags and counts with golden's."""
    codes, flags, counts = expected_matmul(spec, *operands, *scales)
    values, named = decoded(spec, operands, scales)
    found = emulate.matmul(spec, *values, threads, **named, flags=True, counts=True)
    expected = spec.out_format.decode(codes)
    np.testing.assert_array_equal(found[0], expected)
    number = ~np.isnan(expected)
    np.testing.assert_array_equal(np.signbit(found[0])[number], np.signbit(expected)[number])
    np.testing.assert_array_equal(found[1], flags)
    assert found[2] == counts
    assert (found[0].dtype, found[1].dtype) == (np.float64, np.uint8)


KINDS_OF_BOTH = st.tuples(st.sampled_from(KINDS), st.sampled_from(KINDS))
SMALL = family_specs(max_exp_bits=5, max_man_bits=4, max_width=8, max_chunk=9, max_side=3)
LARGE = family_specs(max_exp_bits=11, max_man_bits=12, max_width=20, max_chunk=9, max_side=3)
WIDE = specs(11, 23, 31, max_chunk=9, max_side=3)

anything = given(
    spec=SMALL | LARGE | WIDE,
    kinds=KINDS_OF_BOTH,
    shape=st.tuples(st.integers(1, 3), st.integers(1, 20), st.integers(1, 10)),
    seed=st.integers(0, 2**32 - 1),
    finite=st.booleans(),
)


def same_as_golden(spec, kinds, shape, seed, finite):
    assert_all_the_same(spec, *draw_codes(spec, kinds, shape, seed, finite))


SLOW = {"suppress_health_check": [HealthCheck.too_slow, HealthCheck.filter_too_much]}
test_same_as_golden = settings(max_examples=60, **SLOW)(anything(same_as_golden))
test_same_as_golden_often = pytest.mark.prove(settings(max_examples=600, **SLOW)(anything(same_as_golden)))


@pytest.mark.thinned(7)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", SPECS)
def test_of_every_preset_and_family(name, kind):
    spec = with_chunk(SPECS[name], 3) if SPECS[name].chunk else SPECS[name]
    shape = 3, 3 * spec.lanes + 2, 9
    assert_all_the_same(spec, *draw_codes(spec, (kind, kind), shape, 5, finite=kind != "any"))


@pytest.mark.thinned(3)
@pytest.mark.parametrize("bits", [64, 128, 384])
@pytest.mark.parametrize("name", FAMILY)
def test_integers_of_every_width_say_the_same(name, bits, monkeypatch):
    spec = FAMILY[name]
    (a, b), scales = draw_codes(spec, ("corners", "any"), (5, 40, 9), 2)
    values, named = decoded(spec, (a, b), scales)
    expected = emulate.matmul(spec, *values, **named, flags=True, counts=True)
    monkeypatch.setattr(exact, "sum_bits", lambda spec: max(bits, exact_records.sum_bits(spec)))
    found = emulate.matmul(spec, *values, **named, flags=True, counts=True)
    for one, other in zip(found[:2], expected[:2], strict=True):
        np.testing.assert_array_equal(one, other)
    assert found[2] == expected[2]


@settings(max_examples=60, **SLOW)
@given(spec=family_specs(max_exp_bits=11, max_man_bits=23, max_width=32) | specs(11, 30, 32))
def test_every_spec_has_a_kernel(spec):
    """No spec of the strategies is left to Python where there is a compiler."""
    assert exact_records.sum_bits(spec) <= exact._INTEGERS[-1][0]


def test_every_spec_takes_the_kernel(monkeypatch):
    """The same, by taking it: neither Python's way nor, where flags are asked for, NumPy's."""

    def refused(*_args, **_options):
        raise AssertionError("no kernel was taken")

    monkeypatch.setattr(scalar, "dot_products", refused)
    monkeypatch.setattr(numpy_products, "matmul", lambda *_: None)

    @settings(max_examples=40, **SLOW)
    @given(spec=SMALL | LARGE | WIDE)
    def taken(spec):
        (a, b), scales = draw_codes(spec, ("any", "any"), (1, 3, 2), 1)
        values, named = decoded(spec, (a, b), scales)
        emulate.matmul(spec, *values, 1, **named)

    taken()


@pytest.mark.parametrize(
    ("spec", "bits"),
    [
        (MacSpec(a="e5m2", b="e5m2", acc="e6m9"), 64),
        (MacSpec(a="fp32", b="fp32", acc="fp32"), 64),
        (MacSpec(a="fp32", b="fp32", acc="fp64"), 64),
        (MacSpec(a="fp32", b="fp32", acc="fp64", rounding="stochastic:32"), 128),
        (MacSpec(a="int32", b="uint32", acc="int64"), 128),
        (MacSpec(a="int32", b="int32", acc="int256"), 384),
        (MacSpec(a="e8m7", b="e8m7", acc="e8m7", lanes=4, lane_sum="aligned:60"), 128),
        (MacSpec(a="int8", b="int8", acc="int256", scale="e5m2", outer="int256", rounding="rtz"), 384),
    ],
    ids=str,
)
def test_how_wide_the_integers_are(spec, bits):
    assert next(width for width, _ in exact._INTEGERS if width >= exact_records.sum_bits(spec)) == bits


# -- what hides from random operands -----------------------------------------------------------------------------


@pytest.mark.thinned(9)
@pytest.mark.parametrize("rounding", ["rne", "rtz", "drop", "stochastic:2", "stochastic:2:nearest"])
@pytest.mark.parametrize(
    "formats",
    [
        {"a": "e2m1", "b": "e2m0finite", "acc": "e3m1"},
        {"a": "e2m1finite", "b": "e2m0finite", "acc": "e2m1fn"},
        {"a": "e2m1fnuz", "b": "e2m0finite", "acc": "e3m1fnuz"},
        {"a": "e2m1finite:none", "b": "e2m0finite", "acc": "e3m2finite:none"},
        {"a": "e2m1:flush", "b": "e2m0finite:flush", "acc": "e3m1:flush", "overflow": "infinity"},
        {"a": "e2m1finite", "b": "e2m0finite", "acc": "fix6.1", "overflow": "wrap"},
        {"a": "fix2.1", "b": "fix2.1", "acc": "fix4.1"},
    ],
    ids=lambda formats: f"{formats['a']} {formats['acc']}",
)
def test_every_sum_of_two_products(formats, rounding):
    """All codes of all four operands: every state of the accumulator that a product can make, with every product."""
    spec = MacSpec(**formats, rounding=rounding)
    a, b = (canonical(fmt, np.arange(1 << fmt.width)) for fmt in (spec.a, spec.b))
    pairs = np.array(list(itertools.product(a, b)))
    first, second = (x.ravel() for x in np.meshgrid(np.arange(len(pairs)), np.arange(len(pairs))))
    left = np.stack([pairs[first, 0], pairs[second, 0]], axis=1)
    right = np.stack([pairs[first, 1], pairs[second, 1]], axis=1)
    numbers = golden.draws(spec, 2) if spec.random_bits else 0
    some = slice(None) if not spec.random_bits else slice(0, None, 7)
    left, right = left[some], right[some]
    expected = [
        golden.dot(spec, x, y, start=t * numbers)
        for t, (x, y) in enumerate(zip(left.tolist(), right.tolist(), strict=True))
    ]
    values, flags = emulate.dots(spec, spec.a.decode(left), spec.b.decode(right), flags=True)
    decoded_values = spec.acc.decode([code for code, _ in expected])
    np.testing.assert_array_equal(values, decoded_values)
    number = ~np.isnan(decoded_values)
    np.testing.assert_array_equal(np.signbit(values)[number], np.signbit(decoded_values)[number])
    np.testing.assert_array_equal(flags, [raised.value for _, raised in expected])


def near_ties(acc):
    """Return pairs of values whose sums lie at and beside ties and ends of a float format, or cancel."""
    for x in acc.decode(corner_codes(acc)).tolist():
        if np.isfinite(x):
            unit = acc.ulp(x).item()
            for part in (0.5, 0.25, 0.75, 0.5 + 2.0**-17, 0.5 - 2.0**-17, 2.0**-17, 1 - 2.0**-17, 1.5, 2.0**-60):
                yield x, part * unit
                yield x, -part * unit
            yield x, -x


@pytest.mark.parametrize("rounding", ["rne", "rtz", "drop", "stochastic:11", "stochastic:11:nearest"])
@pytest.mark.parametrize("acc", ["e5m10", "e4m3fn", "e6m9:flush", "e5m6finite:none", "e5m1fnuz", "fp32"])
def test_ties_cancellation_and_ends(acc, rounding):
    acc = parse_format(acc)
    operand = FloatFormat(8, 23, encoding="finite")
    operand = FloatFormat(8, 23, encoding="finite", bias=operand.bias + operand.max_exponent - acc.max_exponent)
    spec = MacSpec(a=operand, b="int2", acc=acc, rounding=rounding)
    pairs = np.array(list(near_ties(acc)))
    pairs = pairs[(operand.quantize(pairs) == pairs).all(axis=1)]
    assert len(pairs) > 80
    ones = np.ones_like(pairs)
    a, b = operand.encode(pairs), spec.b.encode(ones)
    numbers = golden.draws(spec, 2)
    expected = [golden.dot(spec, x, y, start=t * numbers) for t, (x, y) in enumerate(zip(a, b, strict=True))]
    values, flags = emulate.dots(spec, pairs, ones, flags=True)
    np.testing.assert_array_equal(values, acc.decode([code for code, _ in expected]))
    np.testing.assert_array_equal(flags, [raised.value for _, raised in expected])


# -- Python's way, which does without a compiler -----------------------------------------------------------------

scalar_cases = given(
    spec=SMALL | LARGE | WIDE,
    kinds=KINDS_OF_BOTH,
    shape=st.tuples(st.integers(1, 2), st.integers(1, 12), st.integers(1, 3)),
    seed=st.integers(0, 2**32 - 1),
)


def scalar_is_the_same(spec, kinds, shape, seed):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(exact, "kernel", lambda _: None)
        assert_all_the_same(spec, *draw_codes(spec, kinds, shape, seed))


test_pythons_way_is_the_same = settings(max_examples=60, **SLOW)(scalar_cases(scalar_is_the_same))
test_pythons_way_is_the_same_often = pytest.mark.prove(
    settings(max_examples=500, **SLOW)(scalar_cases(scalar_is_the_same))
)


def test_without_a_compiler_the_results_are_the_same(monkeypatch):
    """Of a spec for which NumPy has no way."""
    spec = MacSpec(a="fp16", b="fp16", acc="fp64")
    (a, b), _ = draw_codes(spec, ("any", "any"), (3, 5, 2), 1)
    values = spec.a.decode(a), spec.b.decode(b)
    expected = emulate.matmul(spec, *values)
    monkeypatch.setattr(exact, "kernel", lambda _: None)
    np.testing.assert_array_equal(emulate.matmul(spec, *values), expected)
    paired = values[0], values[1][:, :1].T.repeat(3, axis=0)
    by_python = emulate.dots(spec, *paired, flags=True, counts=True)
    monkeypatch.undo()
    for one, other in zip(by_python, emulate.dots(spec, *paired, flags=True, counts=True), strict=True):
        np.testing.assert_equal(one, other)


# -- what is asked for -------------------------------------------------------------------------------------------


def test_what_is_returned():
    spec = presets["default"]
    ones = np.ones((2, 3)), np.ones((3, 4))
    values = emulate.matmul(spec, *ones)
    assert isinstance(values, np.ndarray)
    of_flags, of_counts = emulate.matmul(spec, *ones, flags=True), emulate.matmul(spec, *ones, counts=True)
    assert [type(member) for member in of_flags] == [np.ndarray, np.ndarray]
    assert [type(member) for member in of_counts] == [np.ndarray, Counts]
    everything = emulate.matmul(spec, *ones, flags=True, counts=True)
    assert [member.shape for member in everything[:2]] == [(2, 4), (2, 4)]
    everything = emulate.dots(spec, ones[0], ones[0], flags=True, counts=True)
    assert [member.shape for member in everything[:2]] == [(2,), (2,)]
    assert everything[2] == Counts(Events(additions=6))


def test_counts_of_a_swamped_sum():
    """1024 ones in an accumulator of four significant bits: from 16 on each one is lost, a tie that rounds to even."""
    spec = MacSpec(a="int2", b="int2", acc="e6m3")
    values, flags, counts = emulate.matmul(spec, np.ones((1, 1024)), np.ones((1024, 1)), flags=True, counts=True)
    assert (values.item(), flags.item()) == (16, 0)
    assert counts == Counts(Events(additions=1024, swamped=1024 - 16))


def test_counts_with_chunks():
    """Chunks of 8 reach 8, and their sums 16, where a chunk sum more is 24: nothing is lost up to 128 = 16 x 8."""
    spec = MacSpec(a="int2", b="int2", acc="e6m3", chunk=8)
    values, counts = emulate.matmul(spec, np.ones((1, 1024)), np.ones((1024, 1)), counts=True)
    assert values.item() == 128
    assert counts == Counts(Events(additions=1024), Events(additions=127, swamped=127 - 15))


@pytest.mark.parametrize(
    ("operand", "acc", "values", "steps"),
    [
        ("int4", "int6", [7, 7, 7, 7, 7, -8], Events(additions=6, saturated=1)),
        ("e4m6", "e4m3", [2.0**-9, 2.0**-12, 1.0], Events(additions=3, flushed=1)),
        ("e3m4", "e3m2:flush", [0.25, -0.1875, 0.5], Events(additions=3, flushed=1)),
        ("e3m4", "e6m9", [0.0, 0.0], Events(additions=2)),
        ("e4m3fn", "e4m3fn", [448.0, 0.0, np.nan, 1.0], Events(additions=4)),
        ("e4m3fn", "e4m3fn", [448.0, 448.0, 1.0, -32.0], Events(additions=4, saturated=1, swamped=1)),
    ],
)
def test_counts_of_each_event(operand, acc, values, steps):
    spec = MacSpec(a=operand, b="int2", acc=acc)
    _, counts = emulate.matmul(spec, [values], np.ones((len(values), 1)), counts=True)
    assert counts == Counts(steps)


def test_lanes_whose_products_cancel_swamp_nothing():
    """Products of any range: an exact sum of theirs would have a thousand bits."""
    spec = MacSpec(a="e8m7", b="e8m7", acc="e8m7", lanes=4, lane_sum="aligned:8")
    big, tiny = 2.0**100, 2.0**-100
    steps = [[1, 0, 0, 0], [big, tiny, -big, -tiny], [big, tiny, -big, 0], [tiny, 0, tiny, 0]]
    for second, swamped in ((steps[1], 0), (steps[2], 0), (steps[3], 1)):
        values = np.array([steps[0] + second])
        _, counts = emulate.matmul(spec, values, np.ones((8, 1)), counts=True)
        codes = spec.a.encode(values), spec.b.encode(np.ones((8, 1)))
        assert counts == expected_matmul(spec, *codes)[2]
        assert counts.steps.swamped == swamped


def test_counts_add_up():
    one = Counts(Events(4, 3, 2, 1), Events(8, 7, 6, 5))
    assert one + Counts() == one
    assert one + one == Counts(Events(8, 6, 4, 2), Events(16, 14, 12, 10))
    assert one.all == Events(12, 10, 8, 6)


@pytest.mark.parametrize("pairwise", [False, True])
def test_tiles_segments_and_threads(pairwise):
    """More rows, columns and products than are taken at a time; with random numbers, whose order shows mistakes."""
    spec = MacSpec(a="e3m2", b="e3m2", acc="e5m4", rounding="stochastic:5", chunk=300, rows=5, cols=7, lanes=2)
    rng = np.random.default_rng(3)
    shapes = ((70, 2050), (70, 2050)) if pairwise else ((37, 1030), (1030, 70))
    a, b = (spec.a.decode(random_codes(rng, spec.a, shape, "finite")) for shape in shapes)
    function = emulate.dots if pairwise else emulate.matmul
    quick = function(spec, a, b)  # NumPy's way
    for threads in (1, 2, 5):
        values, flags, counts = function(spec, a, b, threads, flags=True, counts=True)
        np.testing.assert_array_equal(values, quick)
        assert counts.steps.additions == quick.size * shapes[0][1] // 2
        assert counts.folds.additions == quick.size * (-(-shapes[0][1] // 300) - 1)
        assert flags.shape == quick.shape


# -- operands of every type and layout ---------------------------------------------------------------------------


@pytest.mark.parametrize("way", ["kernel", "python"])
@pytest.mark.parametrize(
    "dtype", ["f8", "f4", "f2", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "?", ">f4", ">i2", "g"]
)
def test_types(dtype, way, monkeypatch):
    if way == "python":
        monkeypatch.setattr(exact, "kernel", lambda _: None)
    spec = MacSpec(a="int5", b="e4m3fn", acc="e6m9")
    a, b = np.array([[0, 1, 1], [1, 1, 0]]), np.array([[1, 0], [0, 1], [1, 1]])
    expected = emulate.matmul(spec, a, b, flags=True)
    found = emulate.matmul(spec, a.astype(dtype), b.astype(dtype), flags=True)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one, other)
    np.testing.assert_array_equal(found[0], a @ b)


@pytest.mark.parametrize("dtype", ["f8", "f4", "f2"])
def test_every_value_of_a_type(dtype):
    """Each code of fp16 in types that hold it, read bit by bit."""
    spec = MacSpec(a="fp16", b="fp16", acc="fp32")
    values = np.arange(1 << 16, dtype=np.uint16).view(np.float16)
    values = np.where(np.isnan(values), np.float16(np.nan), values).astype(dtype).reshape(-1, 1)
    found, _ = emulate.dots(spec, values, np.ones_like(values), flags=True)
    np.testing.assert_array_equal(found, values[:, 0].astype(np.float64))


@pytest.mark.parametrize(
    "layout",
    [
        lambda x: x,
        np.asfortranarray,
        lambda x: x[::-1, ::-1].copy()[::-1, ::-1],
        lambda x: np.repeat(np.repeat(x, 2, axis=0), 3, axis=1)[::2, ::3],
        lambda x: np.ascontiguousarray(x.T).T,
    ],
    ids=["C", "Fortran", "backwards", "strided", "transposed"],
)
@pytest.mark.parametrize("operand", [0, 1])
def test_layouts(layout, operand):
    spec = MacSpec(a="e3m2", b="e3m2", acc="e5m4", chunk=2, scale="e4m0fnu")
    (a, b), scales = draw_codes(spec, ("any", "any"), (5, 7, 11), 4)
    values, named = decoded(spec, (a, b), scales)
    expected = emulate.matmul(spec, *values, **named, flags=True)
    changed = [layout(x) if i == operand else x for i, x in enumerate(values)]
    named = {name: layout(x) for name, x in named.items()}
    for one, other in zip(emulate.matmul(spec, *changed, **named, flags=True), expected, strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_row_for_all():
    spec = presets["default"]
    a = np.broadcast_to(np.array([[1.0, 2.0, 0.5]]), (4, 3))
    values, _ = emulate.matmul(spec, a, np.ones((3, 2)), flags=True)
    np.testing.assert_array_equal(values, np.full((4, 2), 3.5))


# -- refused input -----------------------------------------------------------------------------------------------

OFF_GRID = [
    ("int8", [0.5, 128, -129, np.nan, np.inf, 1e300, 5e-324]),
    ("uint8", [-1, 256, 0.5]),
    ("fix2.3", [0.0625, 2, -2.125]),
    ("e2m1finite", [np.inf, np.nan, 8.0, 0.25, 5.0]),
    ("e4m3fn", [np.inf, 480.0, 2.0**-10]),
    ("e4m3fnuz", [np.inf, 256.0, 2.0**-11]),
    ("e4m3:flush", [2.0**-8, 2.0**-7, 1.0625, 256.0]),
    ("e4m3finite:none", [2.0**-7, 2.0**-8, 1.0625]),
    ("fp16", [2.0**-25, 65536.0, 1 + 2.0**-11]),
    ("bf16", [2.0**128, 2.0**-134, 257.0]),
]


@pytest.mark.parametrize(("fmt", "value"), [(fmt, value) for fmt, values in OFF_GRID for value in values])
def test_off_grid_values(fmt, value):
    fmt = parse_format(fmt)
    acc = f"fix{2 * fmt.int_bits + 4}.8" if isinstance(fmt, FixedFormat) else "fp64"
    spec = MacSpec(a=fmt, b=fmt, acc=acc)
    for options in ({}, {"flags": True}):
        with pytest.raises(MacgenError, match=r"^B: value\[1, 0\] = .* is not a value of format"):
            emulate.matmul(spec, [[1, 1]], np.array([[1], [value]]), **options)


@pytest.mark.parametrize("value", [(1 << 53) + 1, -(1 << 62) - 1])
def test_integers_that_doubles_do_not_hold(value):
    spec = MacSpec(a="e11m20", b="e11m20", acc="fp64")
    for options in ({}, {"flags": True}):
        with pytest.raises(MacgenError, match=r"^A: value\[0, 1\] = -?\d+ is not exact in binary64; accepted are"):
            emulate.matmul(spec, [[1, value]], [[1], [1]], **options)


def test_a_long_double_that_is_no_double():
    x = np.array([[1, np.longdouble(1) + np.finfo(np.longdouble).eps]])
    for options in ({}, {"flags": True}):
        with pytest.raises(MacgenError, match=r"^A: value\[0, 1\] = 1\.0{10,}\d+ is not a value of format e8m23"):
            emulate.matmul(MacSpec(a="fp32", b="fp32", acc="fp32"), x, [[1], [1]], **options)


@pytest.mark.parametrize("name", ["A_scales", "B_scales"])
def test_scales_off_their_grid(name):
    spec = FAMILY["mxfp8"]
    scales = {"A_scales": np.ones((2, 2)), "B_scales": np.ones((2, 3))}
    scales[name] = np.where(np.arange(scales[name].size).reshape(scales[name].shape) == 1, 3.0, 1.0)
    for options in ({}, {"flags": True}):
        with pytest.raises(MacgenError, match=rf"^{name}: value\[0, 1\] = 3.0 is not a value of format e8m0fnu; .*"):
            emulate.matmul(spec, np.ones((2, 40)), np.ones((40, 3)), **scales, **options)


@pytest.mark.parametrize("function", [emulate.matmul, emulate.dots])
@pytest.mark.parametrize("shape", [(0, 3), (3, 0), (0, 0)])
def test_empty_matrices(function, shape):
    with pytest.raises(MacgenError, match=r"^A has the shape \(\d, \d\); accepted are matrices with rows and columns$"):
        function(presets["default"], np.ones(shape), np.ones(shape[::-1]), counts=True)


@pytest.mark.parametrize("options", [{}, {"flags": True}])
def test_results_for_which_memory_does_not_suffice(options):
    row = np.broadcast_to(np.ones((1, 1), np.float32), (1 << 22, 1))
    with pytest.raises(MacgenError, match=r"^A and B give results of the shape \(4194304, 4194304\), for which memory"):
        emulate.matmul(presets["default"], row, row.T, **options)


def test_a_tile_for_which_memory_does_not_suffice(monkeypatch):
    class Kernel:
        check_values = staticmethod(lambda *_: 1)
        dot_products = staticmethod(lambda *_: 1)

    monkeypatch.setattr(exact, "kernel", lambda _: Kernel())
    with pytest.raises(MacgenError, match="for which memory does not suffice"):
        emulate.matmul(presets["default"], np.ones((2, 2)), np.ones((2, 2)), flags=True)


def test_the_records_of_python_and_c_are_of_one_size():
    """A member too many or too few would move all that follow."""
    spec = FAMILY["mxfp8"]
    library = exact.kernel(spec)
    assert library.spec_size() == exact_records.spec_record(spec).nbytes
    assert library.spec_size() == exact_records.spec_record(presets["default"]).nbytes
    assert library.job_size() == ctypes.sizeof(exact._Job)
