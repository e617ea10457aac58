"""Vector kernels of sums that are cut at one place: all exponents and ends, each way to add what is left."""

import platform
import subprocess

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings

from macgen import MacSpec, emulate
from macgen.catalogue import presets
from macgen.emulate import exact, vector_kernel, vectors
from macgen.emulate.compiler import HEADERS, compilers
from tests.emulate.test_exponents import specs_by_exponents
from tests.emulate.test_vectors import assert_same, cases_of, check, expected, plan_of, problem
from tests.golden.gpu_units import dots
from tests.golden.test_gpu_units import UNITS, drawn
from tests.strategies import corner_codes


@pytest.fixture(autouse=True)
def _compile_always(monkeypatch):
    monkeypatch.setattr(vectors, "COMPILED_FROM", 0)


def finite(fmt, codes):
    return np.where(np.isfinite(fmt.decode(codes)), codes, 0)


def compare_unit(name, count, number=1):
    """Compare so many dot products of a GPU's unit with the independent restatement of its rule."""
    spec, rng = presets[name], np.random.default_rng(number)
    for kind, share in (("corners", 0.3), ("any", 0.3), ("near", 0.4)):
        shape = int(count * share), 3 * spec.lanes
        a, b = (finite(fmt, drawn(rng, fmt, shape, kind)) for fmt in (spec.a, spec.b))
        scales = None
        if spec.scale is not None:
            of_blocks = shape[0], spec.scale_count(shape[1])
            scales = [finite(spec.scale, drawn(rng, spec.scale, of_blocks, kind)) for _ in "ab"]
        values = vectors.compute(problem(spec, a, b, scales, pairs=True))
        assert_same(values, dots(spec, a, b, scales or ())[0][np.newaxis])


@pytest.mark.thinned("ampere-bf16", "hopper-e4m3", "hopper-fp16-fp16", "blackwell-e5m2", "blackwell-nvfp4")
@pytest.mark.parametrize("name", UNITS)
def test_units(name):
    """Where sums may become infinite, too: those of BF16, and those into FP16."""
    compare_unit(name, 2000)


@pytest.mark.thinned(prove=2)
@pytest.mark.parametrize("name", UNITS)
def test_units_on_many_dot_products(name):
    for number in range(4):
        compare_unit(name, 25_000, number)


@pytest.mark.thinned(prove=2)
@pytest.mark.parametrize("name", [*UNITS, "deepseek-v3"])
def test_units_are_the_same_as_golden(name):
    assert check(cases_of(np.random.default_rng(4), [presets[name]], 12)) > 8


def drawn_specs(count, number):
    """Return so many specs of the strategy."""
    found = []

    @seed(number)
    @settings(max_examples=count, database=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck))
    @given(specs_by_exponents())
    def collect(spec):
        found.append(spec)

    collect()
    return found


@pytest.mark.prove
def test_random_specs_are_the_same_as_golden():
    assert check(cases_of(np.random.default_rng(5), drawn_specs(150, 4), 6)) > 250


# -- one step, from every accumulator --------------------------------------------------------------------------------

STEPS = {
    f"{acc}, {lane_sum}, {rounding}, {overflow}": MacSpec(
        a=a, b=b, acc=acc, lanes=2, lane_sum=lane_sum, rounding=rounding, overflow=overflow
    )
    for a, b, acc, overflow in (
        ("e3m1", "e2m2", "e4m3", "to-infinity"),
        ("e3m1fn", "e2m2", "e3m3fn:bias=3", "nan"),
        ("e3m1:flush", "e2m2finite", "e4m2:flush", "infinity"),
        ("e3m2finite:none", "e2m1finite", "e4m3finite:none", "saturate"),
    )
    for lane_sum in ("exponents:3", "exponents:22", "exponents:28", "exponents:40", "aligned:2", "aligned:29")
    for rounding in ("rne", "rtz", "floor", "stochastic:3", "stochastic:3:nearest")
}
"""Sums of 7, 26, 32 and 44 bits: integers, integers or halves, halves, values."""


def steps_of(spec, rng):
    """Return dot products of two steps: the first makes every value of `a` the accumulator, the second takes every
    product and a corner's or a random one.
    """
    a, b = (np.arange(1 << fmt.width) for fmt in (spec.a, spec.b))
    a, b = a[np.isfinite(spec.a.decode(a))], b[np.isfinite(spec.b.decode(b))]
    first, left, right = (part.ravel() for part in np.meshgrid(a, a, b))
    others = [finite(fmt, np.array(corner_codes(fmt))) for fmt in (spec.a, spec.b)]
    beside = [
        np.where(rng.random(first.size) < 0.5, rng.choice(of, first.size), rng.choice(every, first.size))
        for of, every in zip(others, (a, b), strict=True)
    ]
    nothing, one = np.zeros_like(first), np.full_like(first, int(spec.b.encode(1.0)))
    return np.stack([first, nothing, left, beside[0]], axis=1), np.stack([one, nothing, right, beside[1]], axis=1)


@pytest.mark.thinned(19)
@pytest.mark.parametrize("name", STEPS)
def test_one_step_from_every_value_with_every_product(name):
    """All of it against the exact kernel, some of it against golden."""
    spec, rng = STEPS[name], np.random.default_rng(0)
    a, b = steps_of(spec, rng)
    some = problem(spec, a, b, pairs=True)
    values = vectors.compute(some)
    operands = exact.Operands(spec.a.decode(a), spec.b.decode(b))
    states = None if some.states is None else some.states[0]
    asked = {"pairwise": True, "threads": 1, "flags": False, "counts": False}
    assert_same(values[0], exact.dot_products(exact.kernel(spec), spec, operands, states, **asked)[0])
    rows = slice(50) if spec.random_bits else rng.permutation(len(a))[:50]
    assert_same(values[:, rows], expected(spec, a[rows], b[rows], None, True))


# -- ends ------------------------------------------------------------------------------------------------------------

ENDS = {
    "to infinity": ({"acc": "e5m10", "rounding": "rtz", "overflow": "to-infinity"}, np.inf),
    "infinity": ({"acc": "fp16", "rounding": "rne", "overflow": "infinity"}, np.inf),
    "down to infinity": ({"acc": "fp16", "rounding": "floor", "overflow": "infinity"}, -np.inf),
    "largest": ({"acc": "fp16", "rounding": "rtz", "overflow": "infinity"}, 65504.0),
    "not a number": ({"acc": "e5m10fn", "rounding": "rne", "overflow": "nan"}, np.nan),
    "saturate": ({"acc": "e5m10", "rounding": "rne", "overflow": "saturate"}, 65504.0),
}


@pytest.mark.thinned(5)
@pytest.mark.parametrize("lane_sum", ["exponents:24", "aligned:20"])
@pytest.mark.parametrize("name", ENDS)
def test_sums_that_are_too_large(name, lane_sum):
    """What becomes of them meets further products: infinities and NaN stay, the largest number goes on."""
    fields, end = ENDS[name]
    spec, rng = MacSpec(a="fp16", b="fp16", lanes=2, lane_sum=lane_sum, **fields), np.random.default_rng(0)
    values = rng.choice([-1.0, 0.0, 2.0**-14, 1.0, 181.0, 60000.0], (30, 12))
    a, b = spec.a.encode(values), spec.b.encode(np.full((40, 12), 256.0) * rng.choice([-1, 1], (40, 1)))
    right = expected(spec, a, b, None, False)
    assert_same(vectors.compute(problem(spec, a, b)), right)
    assert np.isnan(right).any() if np.isnan(end) else (right == end).any()


def test_zeros_lead():
    """0 * 2^100 in BF16 counts as 2^-26: also where float32 or float64 hold the other products."""
    spec = presets["hopper-bf16"]
    a, b = np.zeros((80, 16), np.float32), np.zeros((16, 70), np.float32)
    b[0], a[:, 1], b[1] = 2.0**100, 1.0, 1.5 * 2.0**-51
    np.testing.assert_array_equal(emulate.matmul(spec, a, b), np.full((80, 70), 2.0**-51))
    b[2], a[:, 2] = 2.0**-60, 2.0**-90
    np.testing.assert_array_equal(emulate.matmul(spec, a, b), np.full((80, 70), 2.0**-51))


@pytest.mark.parametrize(
    ("name", "whole"),
    [
        ("hopper-e4m3", "integers"),
        ("ampere-tf32", "integers"),
        ("hopper-fp16", "halves"),
        ("hopper-fp16-fp16", "halves"),
        ("blackwell-e4m3", "halves"),
        ("deepseek-v3", "integers"),
    ],
)
def test_data_as_networks_have_it_takes_float32(name, whole):
    """Not a matter of results: float64 takes twice the time."""
    spec, rng = presets[name], np.random.default_rng(0)
    a, b = (fmt.encode(fmt.quantize(rng.normal(size=(64, 512)))) for fmt in (spec.a, spec.b))
    _, plan = plan_of(problem(spec, a, b))
    assert (plan.carrier.dtype.__name__, plan.inner.whole) == ("float32", whole)


PROCESSORS = ["x86-64", "x86-64-v3", "x86-64-v4"] if platform.machine() == "x86_64" else ["native"]


@pytest.mark.parametrize("processor", PROCESSORS)
def test_kernels_compile_for_every_width_of_vectors(processor, tmp_path):
    """What does not is compiled without that width, silently and with half the speed."""
    texts = []
    for name in ("hopper-e4m3", "hopper-fp16", "blackwell-nvfp4"):
        spec = presets[name]
        codes = np.full((64, 64), int(spec.a.encode(1.0)))
        scales = None if spec.scale is None else [np.full((64, spec.scale_count(64)), int(spec.scale.encode(1.0)))] * 2
        mirrored, plan = plan_of(problem(spec, codes, codes, scales))
        texts.append(vector_kernel.kernel_text(mirrored, plan, pairs=False))
    source = tmp_path / "kernels.cpp"
    source.write_text(vector_kernel.kernel_source(texts))
    command = [*next(compilers()).command, "-std=c++17", f"-march={processor}", "-fsyntax-only", f"-I{HEADERS}"]
    subprocess.run([*command, str(source)], check=True)
