"""Preloaded accumulators in compiled code and in Python, against golden: values, flags and counts."""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from macgen import MacgenError, MacSpec, emulate, golden
from macgen.catalogue import presets
from macgen.emulate import call, exact, scalar
from macgen.numerics import FloatFormat
from tests.emulate.by_steps import canonical, expected_matmul
from tests.emulate.test_exact import KINDS_OF_BOTH, LARGE, SLOW, SMALL, WIDE, decoded, draw_codes
from tests.emulate.test_matmul import random_codes


@st.composite
def preloaded(draw, specs):
    """Those of some specs that go with start values."""
    try:
        return draw(specs).replace(preload=True)
    except MacgenError:
        assume(False)


def assert_same(found, codes, spec):
    """Compare values bit by bit; of NaN there is one."""
    expected = spec.out_format.decode(codes)
    np.testing.assert_array_equal(found, expected)
    number = ~np.isnan(expected)
    np.testing.assert_array_equal(np.signbit(found)[number], np.signbit(expected)[number])


def start_codes(spec, shape, seed, kind):
    """Return codes of start values as values tell them: NaN is the canonical one, and doubles hold them all."""
    fmt, rng = spec.outer_format, np.random.default_rng([seed, 1])
    if isinstance(fmt, FloatFormat) and fmt.width > 53:
        return canonical(fmt, rng.integers(0, 1 << fmt.width, shape, np.uint64))
    if fmt.width <= 53:
        return canonical(fmt, random_codes(rng, fmt, shape, kind))
    least = -(1 << 50) if fmt.signed else 0
    units = rng.integers(least, 1 << 50, shape) * 2.0 ** rng.integers(0, fmt.width - 51, shape)
    return fmt.encode(units * 2.0**fmt.lsb_exponent)


CASES = given(
    spec=preloaded(SMALL | LARGE | WIDE),
    kinds=KINDS_OF_BOTH,
    start=st.sampled_from(["any", "corners"]),
    shape=st.tuples(st.integers(1, 3), st.integers(1, 20), st.integers(1, 10)),
    seed=st.integers(0, 2**32 - 1),
)


def same_as_golden(spec, kinds, start, shape, seed):
    operands, scales = draw_codes(spec, kinds, shape, seed)
    starts = start_codes(spec, (shape[0], shape[2]), seed, start)
    codes, flags, counts = expected_matmul(spec, *operands, *scales, starts)
    values, named = decoded(spec, operands, scales)
    preload = spec.outer_format.decode(starts)
    found = emulate.matmul(spec, *values, 1, **named, flags=True, counts=True, preload=preload)
    assert_same(found[0], codes, spec)
    np.testing.assert_array_equal(found[1], flags)
    assert found[2] == counts


def refused(*_args, **_options):
    raise AssertionError("no kernel was taken")


def compiled_is_the_same(**case):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scalar, "dot_products", refused)
        same_as_golden(**case)


def python_is_the_same(**case):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(exact, "kernel", lambda _: None)
        same_as_golden(**case)


test_compiled_code_is_the_same = settings(max_examples=100, **SLOW)(CASES(compiled_is_the_same))
test_compiled_code_is_the_same_often = pytest.mark.prove(
    settings(max_examples=400, **SLOW)(CASES(compiled_is_the_same))
)
test_python_is_the_same = settings(max_examples=60, **SLOW)(CASES(python_is_the_same))


def some_presets():
    """Each preset that goes with start values, as it is, and with chunks where it has none, or the other way round."""
    for name, spec in presets.items():
        for chunk in (spec.chunk, None if spec.chunk else 3 * spec.lanes):
            try:
                yield pytest.param(spec.replace(chunk=chunk, preload=True), id=f"{name}-{chunk}")
            except MacgenError:
                continue


@pytest.mark.thinned(5, prove=2)
@pytest.mark.parametrize("spec", list(some_presets()))
def test_presets(spec, monkeypatch):
    monkeypatch.setattr(scalar, "dot_products", refused)
    for start in ("any", "corners", "near one"):
        same_as_golden(spec, ("near one", "finite"), start, (3, 5 * spec.lanes + 1, 4), 3)


@pytest.mark.parametrize(
    "fields", [{}, {"chunk": 1}, {"outer": "e3m3"}, {"rounding": "drop"}, {"acc": "fix5.2"}], ids=str
)
def test_every_start_value_with_every_product(fields, monkeypatch):
    monkeypatch.setattr(scalar, "dot_products", refused)
    spec = MacSpec(**{"a": "e2m1", "b": "e2m0finite", "acc": "e3m2", "preload": True} | fields)
    formats = spec.outer_format, spec.a, spec.b
    every = [np.unique(canonical(fmt, np.arange(1 << fmt.width))) for fmt in formats]
    starts, a, b = (codes.ravel() for codes in np.meshgrid(*every))
    expected = [
        golden.dot(spec, [x], [y], preload=start)
        for start, x, y in zip(starts.tolist(), a.tolist(), b.tolist(), strict=True)
    ]
    values, flags = emulate.dots(
        *(spec, spec.a.decode(a)[:, None], spec.b.decode(b)[:, None]), flags=True, preload=formats[0].decode(starts)
    )
    assert_same(values, [code for code, _ in expected], spec)
    np.testing.assert_array_equal(flags, [raised.value for _, raised in expected])


def test_start_values_beyond_64_bits():
    """Fixed point that has more bits than doubles, and more than a machine's words."""
    spec = MacSpec(a="int8", b="int8", acc="fix100.28", preload=True)
    start = np.array([[2.0**99 - 2.0**47, -(2.0**99)], [-(2.0**-28), 2.0**20 + 2.0**-28]])
    found = emulate.matmul(spec, [[1], [-1]], [[3, 0]], preload=start)
    np.testing.assert_array_equal(found, [[2.0**99 - 2.0**47, -(2.0**99)], [-3 - 2.0**-28, 2.0**20 + 2.0**-28]])


@pytest.mark.parametrize("pairwise", [False, True])
def test_tiles_segments_threads_and_parts(pairwise, monkeypatch):
    """The splitting law, on more rows, columns and products than are taken at a time, whose random numbers run on."""
    fields = {"rounding": "stochastic:5", "chunk": 300, "rows": 5, "cols": 7, "lanes": 2, "preload": True}
    spec, rng = MacSpec(a="e3m2", b="e3m2", acc="e5m4", **fields), np.random.default_rng(3)
    shapes = ((70, 2050), (70, 2050)) if pairwise else ((5, 2050), (2050, 7))
    a, b = (spec.a.decode(random_codes(rng, spec.a, shape, "finite")) for shape in shapes)
    start = spec.acc.decode(random_codes(rng, spec.acc, 70 if pairwise else (5, 7), "near one"))
    function = emulate.dots if pairwise else emulate.matmul
    whole, counts = function(spec, a, b, preload=start, counts=True)
    assert counts.folds.additions == whole.size * 7
    for threads in (2, 5):
        np.testing.assert_array_equal(function(spec, a, b, threads, preload=start), whole)
    if pairwise:
        monkeypatch.setattr(call, "RANDOM_RESULTS", 30)
        np.testing.assert_array_equal(function(spec, a, b, preload=start), whole)
    else:
        head = function(spec, a[:, :1200], b[:1200], preload=start)
        taken = emulate.numbers_taken(spec, 5, 7, 1200)
        np.testing.assert_array_equal(function(spec, a[:, 1200:], b[1200:], preload=head, taken=taken), whole)
