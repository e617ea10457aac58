"""The C++ model that drives exhaustive verification equals the golden model: on all small codes, and on wide ones."""

import ctypes
import itertools
import subprocess

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from macgen import MacSpec, presets
from macgen.errors import MacgenError
from macgen.flow import tools
from macgen.flow.exhaustive import PROVER, check_widths, spec_numbers
from macgen.golden import Model
from tests.strategies import codes, specs

LOW = (1 << 64) - 1


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    output = tmp_path_factory.mktemp("model") / "model.so"
    compiler = tools.require("g++").command
    flags = ["-std=gnu++17", "-O1", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC"]
    subprocess.run([*compiler, *flags, PROVER / "model_library.cpp", "-o", output], check=True, timeout=300)
    return ctypes.CDLL(str(output))


def words(values):
    """Return codes of up to 128 bits as pairs of 64-bit words."""
    return np.array([(value & LOW, value >> 64) for value in values], np.uint64)


def pointer(array):
    return array.ctypes.data_as(ctypes.c_void_p)


def numbers(spec):
    return np.array(spec_numbers(spec), np.int32)


def results(call, spec, count, *inputs):
    """Return the codes and flags that a function of the library gives."""
    out, flags = np.empty((count, 2), np.uint64), np.empty(count, np.uint8)
    call(pointer(numbers(spec)), ctypes.c_long(count), *map(pointer, inputs), pointer(out), pointer(flags))
    return [(low | high << 64, flag) for (low, high), flag in zip(out.tolist(), flags.tolist(), strict=True)]


def fits(spec):
    """Whether the model's integers hold a spec's."""
    try:
        check_widths(spec)
    except MacgenError:
        return False
    return True


def integers(values):
    return np.array(values, np.uint32)


def steps(library, spec, accs, a, b, random=None):
    """Steps of lists of operands, one for each lane in use."""
    counts = [len(codes) for codes in a]
    a, b = ([codes + [0] * (spec.lanes - len(codes)) for codes in lanes] for lanes in (a, b))
    random = random or [0] * len(accs)
    return results(
        library.model_steps, spec, len(accs), words(accs), *map(integers, (a, b, counts, random))
    )  # fmt: skip


def folds(library, spec, outer, inner, a_scales=None, b_scales=None, random=None):
    none = [0] * len(outer)
    rest = (integers(numbers or none) for numbers in (a_scales, b_scales, random))
    return results(library.model_folds, spec, len(outer), words(outer), words(inner), *rest)


def converted(library, spec, outer, random=None):
    random = integers(random or [0] * len(outer))
    return results(library.model_results, spec, len(outer), words(outer), random)


SMALL = [
    MacSpec(a="e2m1", b="e2m1", acc="e3m2", overflow="infinity"),
    MacSpec(a="e2m1", b="e3m1", acc="e4m1", rounding="rtz", overflow="infinity"),
    MacSpec(a="e2m1finite", b="e2m1finite", acc="e4m2fn", rounding="drop"),
    MacSpec(a="e2m2fnuz", b="e2m1fn", acc="e3m2fnuz"),
    MacSpec(a="e2m2", b="e2m1", acc="e3m2:flush", rounding="drop", overflow="infinity"),
    MacSpec(a="e3m0finite", b="e2m1", acc="e4m0finite"),
    MacSpec(a="e2m1", b="int3", acc="e3m1fnuz:flush", rounding="rtz"),
    MacSpec(a="e2m1", b="e2m1", acc="fix5.1"),
    MacSpec(a="e2m1", b="e2m1", acc="fix5.0", rounding="rtz", overflow="wrap"),
    MacSpec(a="fix2.2", b="uint2", acc="fix5.1", rounding="drop"),
    MacSpec(a="uint3", b="ufix1.2", acc="ufix5.1", overflow="wrap"),
    MacSpec(a="e2m1", b="e2m1", acc="e3m2", rounding="stochastic:3", overflow="infinity"),
    MacSpec(a="e2m1", b="e3m0finite", acc="e4m1", rounding="stochastic:1"),
    MacSpec(a="e2m1", b="e2m1", acc="e3m2fnuz:flush", rounding="stochastic:2"),
    MacSpec(a="e2m1", b="e2m0finite", acc="fix5.0", rounding="stochastic:2", overflow="wrap"),
]


def name_of(spec):
    return f"{spec.a}-{spec.b}-{spec.acc}-{spec.rounding}-{spec.overflow}"


def random_numbers(spec, place):
    return range(1 << spec.random_bits) if spec.random_place == place else [0]


@pytest.mark.parametrize("spec", SMALL, ids=name_of)
def test_every_step_and_fold_of_small_formats(library, spec):
    model = Model(spec)
    accs, a, b = (range(1 << fmt.width) for fmt in (spec.acc, spec.a, spec.b))
    cases = list(itertools.product(accs, a, b, random_numbers(spec, "steps")))
    acc, a, b, random = zip(*cases, strict=True)
    found = steps(library, spec, acc, [[code] for code in a], [[code] for code in b], random)
    assert found == [model.step(*case) for case in cases]
    cases = list(itertools.product(accs, accs, random_numbers(spec, "steps")))
    outer, inner, random = zip(*cases, strict=True)
    assert folds(library, spec, outer, inner, random=random) == [model.fold(*case) for case in cases]


@pytest.mark.parametrize("spec", [spec for spec in SMALL if spec.random_bits], ids=name_of)
def test_rounding_changes_at_no_other_random_numbers(library, spec):
    """Of every step: between numbers that are driven, the result is the same."""
    cases = list(itertools.product(*(range(1 << fmt.width) for fmt in (spec.acc, spec.a, spec.b))))
    acc, a, b = zip(*cases, strict=True)
    driven, counts = np.empty((len(cases), 6), np.uint32), np.empty(len(cases), np.uint32)
    inputs = words(acc), integers(a), integers(b)
    library.model_switches(pointer(numbers(spec)), ctypes.c_long(len(cases)), *map(pointer, (*inputs, driven, counts)))
    model, most = Model(spec), 1 << spec.random_bits
    inexact = 0
    for case, row, count in zip(cases, driven.tolist(), counts.tolist(), strict=True):
        some = sorted(row[:count])
        assert len(set(some)) == count
        assert (some[0], some[-1]) == (0, most - 1)
        every = [model.step(*case, number) for number in range(most)]
        changes = [number for number in range(1, most) if every[number] != every[number - 1]]
        assert {number - 1 for number in changes} | set(changes) <= set(some)
        inexact += bool(changes)
    assert inexact > 100


@settings(max_examples=1200, deadline=None, derandomize=True)
@given(data=st.data())
def test_any_spec(library, data):
    spec = data.draw(specs(max_exp_bits=11, max_man_bits=30, max_width=40).filter(fits))
    model = Model(spec)

    def some(*strategies):
        cases = data.draw(st.lists(st.tuples(*strategies), min_size=1, max_size=8))
        return cases, *zip(*cases, strict=True)

    random = st.integers(0, (1 << spec.random_bits) - 1)
    cases, acc, a, b, r = some(codes(spec.acc), codes(spec.a), codes(spec.b), random)
    found = steps(library, spec, acc, [[code] for code in a], [[code] for code in b], r)
    assert found == [model.step(*case) for case in cases]
    cases, outer, inner, r = some(codes(spec.acc), codes(spec.acc), random)
    assert folds(library, spec, outer, inner, random=r) == [model.fold(*case) for case in cases]


@pytest.mark.parametrize("name", presets)
def test_near_cancellation_and_ties_in_the_presets(library, name):
    """Sums whose terms are close, or far apart by about the accumulator's width: a random code is never that."""
    spec = presets[name]
    model, rng = Model(spec), np.random.default_rng(1)
    top = 1 << spec.acc.width - 1
    cases = []
    for outer in rng.integers(0, 2 * top, 4000).tolist():
        shift = int(rng.integers(-6, 40)) << getattr(spec.acc, "man_bits", 0)
        inner = ((outer ^ top) + shift + int(rng.integers(-3, 4))) % (2 * top)
        cases.append((outer, inner, int(rng.integers(0, 1 << spec.random_bits))))
    outer, inner, random = zip(*cases, strict=True)
    assert folds(library, spec, outer, inner, random=random) == [model.fold(*case) for case in cases]
