"""emulate.matmul against golden.matmul, bit for bit: all formats, shapes, chunk tails, special values."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from macgen import MacgenError, MacSpec, emulate, golden
from macgen.catalogue import presets
from macgen.emulate import call, vectors
from macgen.numerics import SUM_ROUNDINGS, FixedFormat
from tests import representatives
from tests.strategies import corner_codes, specs

KINDS = ["any", "finite", "corners", "near one", "few values"]


def random_codes(rng, fmt, shape, kind):
    """Return codes of a format: of any value, of numbers, of corners, of numbers around 1, or of only four numbers."""
    codes = rng.integers(0, 1 << fmt.width, shape)
    if isinstance(fmt, FixedFormat) and fmt.narrow:
        codes[codes == fmt.missing_code] = 0
    if kind == "any":
        return codes
    if kind == "corners":
        return rng.choice(corner_codes(fmt), shape)
    if kind == "near one":
        return fmt.encode(fmt.quantize(rng.standard_normal(shape)))
    finite = np.isfinite(fmt.decode(codes))
    codes = np.where(finite, codes, 0)
    return codes if kind == "finite" else rng.choice(codes.ravel()[:4], shape)


def scales_of_one(spec, m, k, n):
    """Return codes of scales for a product of matrices, all 1, where the spec has any."""
    count = spec.scale_count(k)
    return None if spec.scale is None else [spec.scale.encode(np.ones(of)) for of in ((m, count), (count, n))]


def with_chunk(spec, chunk):
    """Return the spec with chunks of so many steps; as it is, if only its results are rounded at random."""
    return spec if spec.random_place == "out" else replace(spec, chunk=chunk * spec.lanes)


def assert_same(spec, a_codes, b_codes, scales=None, **options):
    """Compare the values of both models, and the codes where doubles hold them exactly; scales are 1 unless given."""
    scales = scales_of_one(spec, *a_codes.shape, b_codes.shape[1]) if scales is None else scales
    named = {} if scales is None else dict(zip(("A_scales", "B_scales"), scales, strict=True))
    codes, _ = golden.matmul(spec, a_codes, b_codes, **named)
    options |= {name: spec.scale.decode(some) for name, some in named.items()}
    values = emulate.matmul(spec, spec.a.decode(a_codes), spec.b.decode(b_codes), **options)
    expected = spec.out_format.decode(codes)
    assert (values.dtype, values.shape) == (np.float64, codes.shape)
    np.testing.assert_array_equal(values, expected)
    number = ~np.isnan(expected)
    np.testing.assert_array_equal(np.signbit(values)[number], np.signbit(expected)[number])
    if spec.out_format.width <= 53:
        np.testing.assert_array_equal(spec.out_format.encode(values), codes)


SLOW = [HealthCheck.too_slow, HealthCheck.filter_too_much]

anything = given(
    spec=specs(max_chunk=9, max_side=3) | specs(11, 23, 31, max_chunk=9, max_side=3),
    kinds=st.tuples(st.sampled_from(KINDS), st.sampled_from(KINDS)),
    shape=st.tuples(st.integers(1, 5), st.integers(1, 25), st.integers(1, 5)),
    seed=st.integers(0, 2**32 - 1),
    threads=st.sampled_from([1, 2]),
)


def same_as_golden(spec, kinds, shape, seed, threads):
    rng = np.random.default_rng(seed)
    m, k, n = shape
    a = random_codes(rng, spec.a, (m, k), kinds[0])
    b = random_codes(rng, spec.b, (k, n), kinds[1])
    assert_same(spec, a, b, threads=threads)


test_same_as_golden = settings(max_examples=200, suppress_health_check=SLOW)(anything(same_as_golden))
test_same_as_golden_often = pytest.mark.prove(
    settings(max_examples=1000, suppress_health_check=SLOW)(anything(same_as_golden))
)


@settings(max_examples=150, suppress_health_check=SLOW)
@given(
    spec=specs(max_chunk=9, max_side=3) | specs(11, 23, 31, max_chunk=9, max_side=3),
    kinds=st.tuples(st.sampled_from(KINDS), st.sampled_from(KINDS)),
    shape=st.tuples(st.integers(1, 9), st.integers(1, 25)),
    seed=st.integers(0, 2**32 - 1),
    threads=st.sampled_from([1, 2]),
)
def test_dots_are_the_same_as_golden(spec, kinds, shape, seed, threads):
    rng = np.random.default_rng(seed)
    a, b = (random_codes(rng, fmt, shape, kind) for fmt, kind in zip((spec.a, spec.b), kinds, strict=True))
    before = [t * golden.draws(spec, shape[1]) for t in range(shape[0])]
    expected = spec.acc.decode([golden.dot(spec, a[t], b[t], start=start)[0] for t, start in enumerate(before)])
    values = emulate.dots(spec, spec.a.decode(a), spec.b.decode(b), threads)
    assert (values.dtype, values.shape) == (np.float64, expected.shape)
    np.testing.assert_array_equal(values, expected)
    number = ~np.isnan(expected)
    np.testing.assert_array_equal(np.signbit(values)[number], np.signbit(expected)[number])


def test_dots_are_refused_where_the_shapes_differ():
    with pytest.raises(MacgenError, match=r"^B has the shape \(2, 4\) and A \(2, 3\); accepted are equal shapes"):
        emulate.dots(presets["default"], np.ones((2, 3)), np.ones((2, 4)))


def test_dots_of_more_rows_than_a_block_holds():
    spec = presets["default"]
    rng = np.random.default_rng(4)
    a, b = (random_codes(rng, spec.a, (70_000, 3), "finite") for _ in range(2))
    values = emulate.dots(spec, spec.a.decode(a), spec.b.decode(b))
    some = rng.integers(0, len(values), 300)
    np.testing.assert_array_equal(values[some], [spec.acc.decode(golden.dot(spec, a[t], b[t])[0]).item() for t in some])


# -- shapes ------------------------------------------------------------------------------------------------------


@pytest.mark.thinned(4)
@pytest.mark.parametrize("length", [1, 15, 16, 17, 31, 32, 33, 160, 163])
@pytest.mark.parametrize("name", representatives.BUILT)
def test_chunk_tails(name, length):
    spec = with_chunk(presets[name], 16)
    rng = np.random.default_rng(length)
    for kind in KINDS:
        assert_same(spec, random_codes(rng, spec.a, (4, length), kind), random_codes(rng, spec.b, (length, 3), kind))


@pytest.mark.thinned(3)
@pytest.mark.parametrize("threads", [None, 1, 2, 3])
@pytest.mark.parametrize("shape", [(1, 5, 2100), (2100, 5, 1), (70, 3, 70), (33, 4, 1025), (1025, 4, 33)])
def test_blocks(shape, threads):
    """More outputs than a block holds, in either direction; rows of blocks that end early."""
    spec = presets["default"]
    m, k, n = shape
    rng = np.random.default_rng(3)
    a, b = random_codes(rng, spec.a, (m, k), "finite"), random_codes(rng, spec.b, (k, n), "finite")
    assert_same(spec, a, b, threads=threads)


def test_transposed_and_strided_operands():
    spec = presets["wang2018"]
    rng = np.random.default_rng(6)
    a, b = random_codes(rng, spec.a, (9, 40), "finite"), random_codes(rng, spec.b, (80, 7), "finite")[::2]
    expected = emulate.matmul(spec, spec.a.decode(a), spec.b.decode(b))
    values_a, values_b = spec.a.decode(a.T.copy()).T, np.repeat(spec.b.decode(b), 2, axis=0)[::2]
    np.testing.assert_array_equal(emulate.matmul(spec, values_a, values_b), expected)
    np.testing.assert_array_equal(emulate.matmul(spec, values_a.astype(np.float32), values_b.tolist()), expected)


# -- the ways: each on operands for which it is taken ------------------------------------------------------------


@pytest.mark.thinned(5)
@pytest.mark.parametrize(
    ("a", "b", "acc", "overflow"),
    [
        ("fp16", "fp16", "fp64", "infinity"),
        ("fp32", "fp32", "fp32", "infinity"),
        ("fp32", "fp32", "e11m50", "saturate"),
        ("e11m4", "e11m4", "e11m6:flush", "saturate"),
        ("int32", "uint32", "int64", "wrap"),
        ("uint32", "uint32", "uint64", "wrap"),
        ("int32", "int32", "int64", "saturate"),
        ("int32", "int32", "int100", "wrap"),
        ("fix8.24", "fix8.24", "fix16.20", "saturate"),
        ("ufix8.8", "ufix0.16", "ufix10.4", "wrap"),
        ("e5m2", "int8", "fix30.0", "saturate"),
        ("e5m2", "e5m2", "fix40.60", "wrap"),
        ("int8", "e4m3fn", "e6m7fnuz", "saturate"),
        ("e2m1finite", "e2m1finite", "fp32", "infinity"),
        ("int8", "int8", "int17", "saturate"),
        ("int8", "int8", "fp32", "saturate"),
    ],
)
@pytest.mark.parametrize("rounding", [*SUM_ROUNDINGS, "stochastic:3", "stochastic:13", "stochastic:3:nearest"])
@pytest.mark.parametrize("kind", KINDS)
def test_formats_of_every_way(a, b, acc, overflow, rounding, kind):
    spec = MacSpec(a=a, b=b, acc=acc, overflow=overflow, rounding=rounding, chunk=9)
    rng = np.random.default_rng(12)
    assert_same(spec, random_codes(rng, spec.a, (6, 40), kind), random_codes(rng, spec.b, (40, 5), kind))


def test_sums_proved_exact_are_one_numpy_product():
    """int8 into int32 cannot leave the range here, so even a large product must be quick and right."""
    spec = presets["int8-int32"]
    rng = np.random.default_rng(14)
    a, b = rng.integers(-128, 128, (200, 3000)), rng.integers(-128, 128, (3000, 150))
    np.testing.assert_array_equal(emulate.matmul(spec, a, b), a @ b)


@pytest.mark.parametrize("count", [63, 64, 65, 66])
def test_sums_at_the_edge_of_exactness(count):
    """6 significant bits hold 64 ones but not 65; the last ones are then lost, which a plain product would not do."""
    spec = MacSpec(a="int2", b="int2", acc="e8m5", rounding="rtz")
    values = emulate.matmul(spec, np.ones((1, count)), np.ones((count, 1)))
    assert values.item() == min(count, 64)


@pytest.mark.parametrize("scale", [0.99, 1.0, 1.01])
def test_the_largest_value_is_met_and_exceeded(scale):
    """Sums around the end of the range, where the proof that nothing overflows must fail in time."""
    spec = MacSpec(a="e5m2", b="e5m2", acc="e5m5", overflow="infinity", chunk=8)
    values = spec.a.quantize(np.full((1, 64), (spec.acc.max * scale / 64) ** 0.5))
    for a in (values, np.abs(values) * np.where(np.arange(64) % 9, 1, -1)):
        codes = spec.a.encode(a)
        assert_same(spec, codes, spec.b.encode(values.T))


def test_roundings_alone_can_lead_to_overflow():
    """The magnitudes sum to 11.75 and the largest value is 12, but every rounding is upwards: 3, 6, 8, 12, infinity."""
    spec = MacSpec(a="e3m3", b="e3m3", acc="e3m1", overflow="infinity")
    a = np.array([[3, 2.5, 1.5, 2.5, 2.25]])
    assert (np.abs(a).sum(), spec.acc.max) == (11.75, 12)
    assert emulate.matmul(spec, a, np.ones((5, 1))).item() == np.inf
    assert_same(spec, spec.a.encode(a), spec.b.encode(np.ones((5, 1))))


# -- refused input -----------------------------------------------------------------------------------------------

ONES = [[1.0, 1.0]]


@pytest.mark.parametrize(
    ("a", "b", "options", "message"),
    [
        (
            [[1.0, 1.1]],
            [[1.0], [1.0]],
            {},
            r"A: value\[0, 1\] = 1.1 is not a value of format e5m2; accepted are values on its grid",
        ),
        (ONES, [[1.0], [1e9]], {}, r"B: value\[1, 0\] = 1000000000.0 is not a value of format e5m2; .*"),
        (ONES, ONES, {}, r"B has 1 rows and A 2 columns; accepted are A of shape \(M, K\) and B of shape \(K, N\)"),
        (1.0, ONES, {}, r"A has the shape \(\); accepted are matrices with rows and columns"),
        (np.zeros((0, 2)), ONES, {}, r"A has the shape \(0, 2\); accepted are matrices with rows and columns"),
        ([[1.0], [1.0, 2.0]], ONES, {}, "rows of A differ in length; accepted are equal lengths"),
        ([["1"]], ONES, {}, "A is not a matrix of real numbers; accepted are values on the grid of e5m2"),
        ([[1j]], ONES, {}, "A is not a matrix of real numbers; accepted are values on the grid of e5m2"),
        (ONES, [[1.0], [1.0]], {"threads": 0}, "threads 0 is not an integer from 1, or none"),
    ],
)
def test_refused(a, b, options, message):
    with pytest.raises(MacgenError, match=f"^{message}$"):
        emulate.matmul(presets["default"], a, b, **options)


@pytest.mark.parametrize(
    ("fmt", "value"),
    [
        ("int8", 0.5),
        ("int8", 128),
        ("int8", np.nan),
        ("e2m1finite", np.inf),
        ("e4m3:flush", 2.0**-8),
        ("fp16", 2.0**-25),
        ("fp16", 65536.0),
    ],
)
def test_off_grid_values(fmt, value):
    acc = "fix40.30" if fmt == "int8" else "fp32"
    with pytest.raises(MacgenError, match=r"^B: value\[1, 0\] = .* is not a value of format"):
        emulate.matmul(MacSpec(a=fmt, b=fmt, acc=acc), [[1, 1]], [[1], [value]])


# -- random numbers, some rows at a time ------------------------------------------------------------------------------

PARTS = {
    "steps": MacSpec(a="e5m2", b="e5m2", acc="e6m5", rounding="stochastic:13", rows=2, cols=3, interleave=3, chunk=4),
    "chunks": MacSpec(a="e5m2", b="e5m2", acc="e6m5", chunk=4, outer_rounding="stochastic:5", rows=3, cols=2),
    "out": MacSpec(a="e5m2", b="e5m2", acc="e6m9", out="e4m3", outer_rounding="stochastic:7", rows=2, interleave=2),
    "scales": MacSpec(
        a="e4m3fn",
        b="e4m3fn",
        scale="e8m0fnu",
        acc="e6m9",
        chunk=4,
        outer_rounding="stochastic:9",
        outer="fp16",
        rows=4,
    ),
}


@pytest.mark.parametrize("compiled_from", [0, 1 << 22], ids=["vector kernel", "exact kernel"])
@pytest.mark.parametrize("name", PARTS)
def test_random_results_are_the_same_in_parts(name, compiled_from, monkeypatch):
    """Golden draws all numbers in one sequence; here only those of a few rows are known at a time."""
    spec, rng = PARTS[name], np.random.default_rng(4)
    monkeypatch.setattr(vectors, "COMPILED_FROM", compiled_from)
    monkeypatch.setattr(call, "RANDOM_RESULTS", 30)
    a, b = random_codes(rng, spec.a, (29, 9), "near one"), random_codes(rng, spec.b, (9, 5), "near one")
    scales = None
    if spec.scale is not None:
        scales = [spec.scale.bias + rng.integers(-3, 4, shape) for shape in ((29, 3), (3, 5))]
    assert_same(spec, a, b, scales)
    named = {} if scales is None else dict(zip(("A_scales", "B_scales"), map(spec.scale.decode, scales), strict=True))
    values, flags, counts = emulate.matmul(spec, spec.a.decode(a), spec.b.decode(b), flags=True, counts=True, **named)
    golden_codes = {} if scales is None else {"A_scales": scales[0], "B_scales": scales[1]}
    codes, raised = golden.matmul(spec, a, b, **golden_codes)
    np.testing.assert_array_equal(values, spec.out_format.decode(codes))
    np.testing.assert_array_equal(flags, raised)
    assert counts.steps.additions == 29 * 5 * 9


def test_random_dots_are_the_same_in_parts(monkeypatch):
    spec, rng = PARTS["steps"], np.random.default_rng(5)
    a, b = (spec.a.decode(random_codes(rng, spec.a, (50, 9), "near one")) for _ in "ab")
    whole = emulate.dots(spec, a, b)
    monkeypatch.setattr(call, "RANDOM_RESULTS", 7)
    np.testing.assert_array_equal(emulate.dots(spec, a, b), whole)


def test_a_wrong_value_in_a_later_part_is_named_where_it_is(monkeypatch):
    monkeypatch.setattr(call, "RANDOM_RESULTS", 30)
    a = np.ones((29, 9))
    a[27, 3] = 1.1
    with pytest.raises(MacgenError, match=r"^A: value\[27, 3\] = 1.1 is not a value of format e5m2"):
        emulate.matmul(PARTS["steps"], a, np.ones((9, 5)))


# -- products one after the other ----------------------------------------------------------------------------------


@pytest.mark.parametrize("compiled_from", [0, 1 << 22], ids=["vector kernel", "exact kernel"])
@pytest.mark.parametrize("name", ["steps", "chunks", "out"])
def test_random_numbers_go_on_from_product_to_product(name, compiled_from, monkeypatch):
    """Rows that fill whole rounds of tiles, then others: golden's product of all of them."""
    spec, rng = PARTS[name], np.random.default_rng(4)
    monkeypatch.setattr(vectors, "COMPILED_FROM", compiled_from)
    first = 2 * spec.rows * spec.interleave
    a, b = random_codes(rng, spec.a, (first + 7, 9), "near one"), random_codes(rng, spec.b, (9, 5), "near one")
    expected = spec.out_format.decode(golden.matmul(spec, a, b)[0])
    x, y = spec.a.decode(a), spec.b.decode(b)
    taken = emulate.numbers_taken(spec, first, 5, 9)
    np.testing.assert_array_equal(emulate.matmul(spec, x[:first], y), expected[:first])
    np.testing.assert_array_equal(emulate.matmul(spec, x[first:], y, taken=taken), expected[first:])
    values, flags = emulate.matmul(spec, x[first:], y, taken=taken, flags=True)
    np.testing.assert_array_equal(values, expected[first:])
    assert flags.shape == values.shape


def test_random_numbers_go_on_from_dot_product_to_dot_product():
    spec, rng = PARTS["steps"].replace(interleave=1), np.random.default_rng(5)
    a, b = (spec.a.decode(random_codes(rng, spec.a, (50, 9), "near one")) for _ in "ab")
    whole = emulate.dots(spec, a, b)
    taken = 20 * emulate.numbers_taken(spec.replace(rows=1, cols=1), 1, 1, 9)
    np.testing.assert_array_equal(emulate.dots(spec, a[20:], b[20:], taken=taken), whole[20:])


def test_numbers_taken_are_checked():
    assert emulate.numbers_taken(MacSpec(a="int8", b="int8", acc="int32"), 4, 4, 4) == 0
    with pytest.raises(MacgenError, match="taken -1 is not an integer from 0"):
        emulate.matmul(PARTS["steps"], [[1]], [[1]], taken=-1)
    with pytest.raises(MacgenError, match="rows 0 is not an integer from 1"):
        emulate.numbers_taken(PARTS["steps"], 0, 1, 1)
