"""Vector kernels against golden, bit for bit; where they are exhaustive or large, against arrays in NumPy."""

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings

from macgen import MacSpec, emulate, golden
from macgen.catalogue import presets
from macgen.emulate import numpy_products, vector_kernel, vectors
from macgen.emulate.integer_plan import IntegerPlan
from macgen.emulate.operands import Operand
from macgen.emulate.random_numbers import dots_states, matmul_states
from macgen.numerics import FloatFormat
from tests.emulate.test_family import FAMILY, random_scales
from tests.emulate.test_matmul import KINDS, random_codes
from tests.strategies import family_specs

NAMED = {**presets, **FAMILY}


@pytest.fixture(autouse=True)
def _compile_always(monkeypatch):
    monkeypatch.setattr(vectors, "COMPILED_FROM", 0)


def in_some_type(fmt, values):
    """Return values in one of the types that hold them, with the signs of zeros; which one depends on how many.

    Zeros of a format that is all above float32's range are in float64: else they are not clearly on its grid.
    """
    if isinstance(fmt, FloatFormat) and fmt.min_normal > float(np.finfo(np.float32).max):
        return values
    held = []
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        for element in ("float32", "float16", "float64", "int32", "int16", "int8"):
            same = values.astype(element).astype(np.float64)
            if np.array_equal(same, values, equal_nan=True) and np.array_equal(np.signbit(same), np.signbit(values)):
                held.append(element)
    return values.astype(held[values.size % len(held)])


def problem(spec, a, b, scales=None, *, pairs=False, threads=2):
    """Return the problem of codes (rows, K) and (columns, K), and of scales (rows, chunks) and (columns, chunks)."""
    states = None
    if spec.random_bits:
        states = dots_states(spec, *a.shape)[np.newaxis] if pairs else matmul_states(spec, len(a), len(b), a.shape[1])
    left, right = (Operand(in_some_type(fmt, fmt.decode(x)), fmt) for fmt, x in ((spec.a, a), (spec.b, b)))
    values = None if scales is None else tuple(map(spec.scale.decode, scales))
    return vectors.Problem(spec, left, right, pairs, values, states, threads)


def random_problem(rng, spec, shape, kinds, finite):
    """Return codes of both operands and of their scales."""
    rows, length, columns = shape
    a, b = random_codes(rng, spec.a, (rows, length), kinds[0]), random_codes(rng, spec.b, (columns, length), kinds[1])
    if finite:
        a, b = (np.where(np.isfinite(fmt.decode(x)), x, 0) for fmt, x in ((spec.a, a), (spec.b, b)))
    chunks = spec.scale_count(length)
    scales = None
    if spec.scale is not None:
        scales = [random_scales(rng, spec, (lines, chunks), finite) for lines in (rows, columns)]
    return a, b, scales


def expected(spec, a, b, scales, pairs):
    """Return golden's outer accumulators as values."""
    plain = spec if spec.random_place == "out" or spec.out is None else spec.replace(out=None)
    if not pairs:
        named = {} if scales is None else {"A_scales": scales[0], "B_scales": scales[1].T}
        return plain.outer_format.decode(golden.matmul(plain, a, b.T, **named)[0])
    draws = golden.draws(plain, a.shape[1]) if plain.random_bits else 0
    codes = []
    for t in range(len(a)):
        named = {} if scales is None else {"a_scales": scales[0][t], "b_scales": scales[1][t]}
        codes.append(golden.dot(plain, a[t], b[t], start=t * draws, **named)[0])
    return plain.outer_format.decode([codes])


def assert_same(values, right):
    np.testing.assert_array_equal(values, right)
    number = ~np.isnan(right)
    np.testing.assert_array_equal(np.signbit(values)[number], np.signbit(right)[number])


def plan_of(some):
    turned = some if some.pairs or some.shape[1] >= min(some.shape[0], 64) else some.turned()
    seen = turned.left.look(1), turned.right.look(1)
    return turned.spec, vectors._plan(turned, *seen)


def compile_together(problems):
    """Compile what problems need in few translation units."""
    texts = []
    for some in problems:
        spec, plan = plan_of(some)
        if plan is not None:
            texts.append(vector_kernel.kernel_text(spec, plan, pairs=some.pairs))
    texts = sorted(set(texts))
    for first in range(0, len(texts), 16):
        vector_kernel.prepare(texts[first : first + 16])


def check(cases):
    """Compare (spec, codes, scales, pairs) with golden; return how many had a plan."""
    problems = [problem(spec, a, b, scales, pairs=pairs) for spec, a, b, scales, pairs in cases]
    compile_together(problems)
    planned = 0
    for (spec, a, b, scales, pairs), some in zip(cases, problems, strict=True):
        if spec.random_place == "out":
            continue
        try:
            values = vectors.compute(some)
        except vectors.OffGridError:  # or not clearly on it, as with subnormals below float32's: the exact kernel's
            continue
        if values is not None and spec.outer_format.width <= 53:
            planned += 1
            assert_same(values, expected(spec, a, b, scales, pairs))
    return planned


def cases_of(rng, specs, repeats, most=(9, 26, 40)):
    cases = []
    for spec in specs:
        for repeat in range(repeats):
            finite, pairs = repeat % 4 != 3, repeat % 5 == 4
            shape = [int(rng.integers(1, side)) for side in most]
            if pairs:
                shape[0] = shape[2]
            a, b, scales = random_problem(rng, spec, shape, rng.choice(KINDS, 2), finite)
            cases.append((spec, a, b, scales, pairs))
    return cases


SOME = ("default", "fp16", "bf16-fp32", "int8-int32", "sr-e6m5", "lba-m7e4", "hopper", "mxfp8", "kulisch-e4m3",
        "rtz into fp32")  # fmt: skip


def test_classes_are_the_same_as_golden():
    """One preset of each way to compute, on codes over the whole of its formats."""
    assert check(cases_of(np.random.default_rng(1), [NAMED[name] for name in SOME], 3)) > 20


@pytest.mark.prove
def test_presets_and_family_are_the_same_as_golden():
    assert check(cases_of(np.random.default_rng(2), NAMED.values(), 6)) > 170


def drawn_specs(count, number):
    """Return so many specs of the strategy."""
    found = []

    @seed(number)
    @settings(max_examples=count, database=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck))
    @given(
        family_specs(max_exp_bits=5, max_man_bits=4, max_width=8, max_chunk=9, max_side=3)
        | family_specs(max_exp_bits=8, max_man_bits=10, max_width=16, max_chunk=9, max_side=3)
    )
    def collect(spec):
        found.append(spec)

    collect()
    return found


@pytest.mark.prove
def test_random_specs_are_the_same_as_golden():
    assert check(cases_of(np.random.default_rng(3), drawn_specs(200, 3), 6)) > 600


@pytest.mark.parametrize("fmt", ["e5m0fn", "e5m0fn:bias=126:flush"])
@pytest.mark.parametrize("overflow", ["saturate", "nan"])
def test_nan_stays_nan_beside_random_numbers(fmt, overflow):
    """With one significand bit, random numbers reach all bits that tell NaN from infinity."""
    spec = MacSpec(a=fmt, b=fmt, acc=fmt, rounding="stochastic:27", overflow=overflow, rows=3, cols=1)
    values = emulate.matmul(spec, np.full((40, 1), np.nan), np.full((1, 9), spec.b.max))
    assert np.isnan(values).all()


def test_products_far_below_a_format_of_large_numbers_are_zero():
    """What rounds them on the format's grid is beyond float32: infinite, and then NaN."""
    spec = MacSpec(a="e8m6:none", b="e8m6:none", acc="e8m6:none", product="e2m1:bias=-119", overflow="infinity")
    values = emulate.matmul(spec, np.full((40, 3), 1.5, np.float32), np.full((3, 9), -0.25, np.float32))
    np.testing.assert_array_equal(values, np.zeros((40, 9)))


# -- rules, exhaustively --------------------------------------------------------------------------------------------

ROUNDINGS = ("rne", "rtz", "drop", "stochastic:5", "stochastic:3:nearest")
ONE_STEP = {
    f"{acc}, {rounding}, {overflow}": MacSpec(a=operand, b=operand, acc=acc, rounding=rounding, overflow=overflow)
    for operand, acc in (
        ("e4m3", "e4m3"),
        ("e4m3fn", "e5m2fn"),
        ("e5m2", "e5m2:flush"),
        ("e3m3finite", "e4m4finite:none"),
    )
    for rounding in ROUNDINGS
    for overflow in ("saturate", "infinity")
    if overflow == "saturate" or ("fn" not in acc and "finite" not in acc)
}


def one_step(spec):
    """Return pairs of dot products of two elements: the first one's product is any operand's value, then any product.

    So the accumulator is any value that an operand has; where it has fewer bits, the first step rounds.
    """
    one = spec.b.encode(1.0)
    a = np.arange(1 << spec.a.width)
    a = a[np.isfinite(spec.a.decode(a))]
    values = spec.a.decode(a)
    products = np.multiply.outer(values, values)
    _, first = np.unique(products, return_index=True)
    left, right = a[first // len(a)], a[first % len(a)]
    states, which = np.meshgrid(a, np.arange(len(left)))
    return (
        np.stack([states.ravel(), left[which.ravel()]], axis=1),
        np.stack([np.full(states.size, int(one)), right[which.ravel()]], axis=1),
    )


def in_numpy(spec, a, b):
    """Return dot products of pairs as NumPy's way computes them."""
    states = dots_states(spec, *a.shape) if spec.random_bits else None
    return numpy_products.dots(spec, spec.a.decode(a), spec.b.decode(b), None, states, 1)[np.newaxis]


@pytest.mark.thinned(7)
@pytest.mark.parametrize("name", ONE_STEP)
def test_one_step_from_every_value_with_every_product(name):
    """All of it against arrays in NumPy, some of it against golden."""
    spec = ONE_STEP[name]
    a, b = one_step(spec)
    if spec.random_bits:  # so many states of registers take long
        a, b = a[::37], b[::37]
    values = vectors.compute(problem(spec, a, b, pairs=True))
    assert_same(values, in_numpy(spec, a, b))
    some = np.random.default_rng(0).permutation(len(a))[:300]
    if not spec.random_bits:
        assert_same(values[:, some], expected(spec, a[some], b[some], None, True))


@pytest.mark.thinned(5)
@pytest.mark.parametrize("man_bits", [0, 1, 4, 9, 10, 11, 12])
def test_all_significands_of_a_binade_are_rounded_to_nearest(man_bits):
    """Up to 11 bits in two operations of float32; Veltkamp's constant would be wrong near the binade's top."""
    spec = MacSpec(a="fp32", b="e3m0finite", acc=f"e8m{man_bits}{'fn' if man_bits == 0 else ''}")
    a = np.arange(127 << 23, 128 << 23, 1 if man_bits == 10 else 7, dtype=np.uint32)[:, np.newaxis]
    values = vectors.compute(problem(spec, a, np.full_like(a, int(spec.b.encode(1.0))), pairs=True))
    np.testing.assert_array_equal(values[0], spec.acc.quantize(spec.a.decode(a[:, 0])))


# -- blocks, shapes, types -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["wang2018", "sr-e6m5", "int8-int32", "hopper-e4m3", "groups", "mxfp8", "gupta2015"])
def test_blocks_of_products_carry_their_sums(name, monkeypatch):
    spec, rng = NAMED[name], np.random.default_rng(5)
    a, b, scales = random_problem(rng, spec, (20, 300, 70), ("near one", "near one"), True)
    for pairs in (False, True):
        rows = slice(None, 20) if pairs else slice(None)
        of = (a, b[rows], None if scales is None else [scales[0], scales[1][rows]])
        whole = vectors.compute(problem(spec, *of, pairs=pairs))
        with monkeypatch.context() as patch:
            patch.setattr(vectors, "OPERAND_BYTES", 1 << 12)
            patch.setattr(vectors, "BLOCK_PRODUCTS", 96)
            assert len(list(vectors._parts(problem(spec, *of, pairs=pairs), None))) > 3
            assert_same(vectors.compute(problem(spec, *of, pairs=pairs)), whole)


@pytest.mark.parametrize("pairs", [False, True])
def test_each_block_of_lines_has_the_plan_of_its_own_values(pairs, monkeypatch):
    """Ones of fp32 are packed as 16-bit integers, values that need float32 are not, and infinities need ends."""
    spec = MacSpec(a="fp32", b="fp32", acc="fp32", overflow="infinity")
    rng = np.random.default_rng(9)
    a = np.ones((700, 40), np.float32)
    a[300:500] = rng.standard_normal((200, 40))
    a[600, 5] = np.inf
    b = np.ones((700 if pairs else 70, 40), np.float32)

    def of(lines):
        left, right = Operand(a[lines], spec.a), Operand(b[lines] if pairs else b, spec.b)
        return vectors.Problem(spec, left, right, pairs, None, None, 1)

    separately = [of(slice(row, row + 1)) for row in (0, 299, 300, 499, 600, 601)]
    separately = np.concatenate([vectors.compute(some) for some in separately], axis=1 if pairs else 0)
    monkeypatch.setattr(vectors, "OPERAND_BYTES", 1 << 12)
    vectors.compute(of(slice(0, 256)))
    assert len(list(vectors._parts(of(slice(None)), vectors._layouts[spec, pairs]))) == 3
    values = vectors.compute(of(slice(None)))
    some = [0, 299, 300, 499, 600, 601]
    assert_same(values[:, some] if pairs else values[some], separately)


@pytest.mark.parametrize("name", ["wang2018", "int8-int32"])
def test_shapes_and_threads(name):
    """Tiles that are not full, one row, one column, more threads than tiles."""
    spec, rng = presets[name], np.random.default_rng(6)
    for shape in ((1, 7, 1), (1, 65, 100), (100, 33, 1), (13, 130, 131)):
        a, b, _ = random_problem(rng, spec, shape, ("near one", "near one"), True)
        values = [vectors.compute(problem(spec, a, b, threads=threads)) for threads in (1, 3)]
        assert_same(values[0], values[1])
        some = rng.integers(0, shape[0], 3)
        assert_same(values[0][some], vectors.compute(problem(spec, a[some], b)))
        assert_same(values[0][:1, :5], expected(spec, a[:1], b[:5], None, False))


def test_integers_are_summed_as_integers():
    spec = presets["int8-int32"]
    a, b, _ = random_problem(np.random.default_rng(7), spec, (5, 50, 64), ("any", "any"), True)
    assert isinstance(plan_of(problem(spec, a, b))[1], IntegerPlan)


def test_off_grid_values_are_left_to_the_caller():
    spec = presets["default"]
    left, right = Operand(np.full((2, 3), 1.1), spec.a), Operand(np.ones((2, 3)), spec.b)
    with pytest.raises(vectors.OffGridError):
        vectors.compute(vectors.Problem(spec, left, right, False, None, None, 1))


def test_a_copied_zero_is_not_negative_after_a_fold():
    """The first chunk's sum is copied with its sign; -0 + -0 is +0 (docs/arithmetic.md section 3)."""
    spec = MacSpec(a="e4m3", b="e4m3", acc="e4m3", chunk=1, rounding="rtz", lane_sum="aligned:9")
    a = np.full((1, 2), int(spec.a.encode(-(2.0**-9))))
    b = np.full((1, 2), int(spec.b.encode(2.0**-9)))
    values = vectors.compute(problem(spec, a, b))
    assert_same(values, expected(spec, a, b, None, False))
    assert not np.signbit(values).any()


@pytest.mark.parametrize("exponent", [-133, -128, -127, -126, 0, 120])
def test_float32_operands_at_the_ends_of_their_range(exponent):
    """What makes 16-bit integers of them may be infinite in float32."""
    spec = MacSpec(a="bf16", b="bf16", acc="fp32")
    a = Operand(np.full((3, 8), 2.0**exponent, np.float32), spec.a)
    b = Operand(np.ones((70, 8), np.float32), spec.b)
    for left, right in ((a, b), (b, a)):
        values = vectors.compute(vectors.Problem(spec, left, right, False, None, None, 1))
        assert (values == 8 * 2.0**exponent).all()


def test_operands_whose_reciprocals_float64_does_not_hold():
    spec, rng = MacSpec(a="e11m10", b="e11m10", acc="e11m40"), np.random.default_rng(0)
    a, b = rng.integers(-9, 10, (20, 8)), rng.integers(-3, 4, (8, 70))
    values = emulate.matmul(spec, np.ldexp(a, -1032), np.ldexp(b, 200))
    np.testing.assert_array_equal(values, np.ldexp(a @ b, 200 - 1032))


FLOORED = {"a": "e4m3", "b": "e4m3", "product": "e5m2", "rounding": "floor"}
ALIGNED = {"a": "e4m3", "b": "e4m3", "acc": "e4m2", "lanes": 2, "lane_sum": "aligned:4", "chunk": 2}
ZEROS = {
    "floor": MacSpec(**FLOORED, acc="fp32"),
    "floor, lanes": MacSpec(**FLOORED, acc="fp32", lanes=4),
    "floor, tree": MacSpec(**FLOORED, acc="fp32", lanes=4, lane_sum="tree", chunk=4),
    "floor, outer": MacSpec(**FLOORED, acc="e8m22", outer="fp32", chunk=4),
    "floor, fixed point": MacSpec(**FLOORED, acc="fix20.20"),
    **{
        f"aligned, {rounding}": MacSpec(**ALIGNED, rounding=rounding)
        for rounding in ("rtz", "stochastic:4", "stochastic:4:nearest", "floor")
    },
}


def test_signs_of_zeros():
    """Sums that cancel after products that are rounded down; chunk sums that round to zero from below."""
    rng, cases = np.random.default_rng(8), []
    for name, spec in ZEROS.items():
        if "aligned" in name:
            a, b = np.full((3, 8), -(2.0**-7)), np.full((20, 8), 2.0**-7)
        else:
            a, b = rng.integers(-2, 3, (6, 8)).astype(float), rng.integers(-2, 3, (20, 8)).astype(float)
        cases.append((spec, spec.a.encode(a), spec.b.encode(b), None, False))
    assert check(cases) >= 3
