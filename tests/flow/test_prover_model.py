"""The C++ model that drives exhaustive verification equals the golden model: on all small codes, and on wide ones."""

import ctypes
import itertools
import subprocess

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from macgen import MacSpec, presets
from macgen.flow import tools
from macgen.flow.exhaustive import MAX_FIXED_BITS, PROVER, spec_numbers
from macgen.golden import Model
from macgen.numerics import FixedFormat
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


def steps(library, spec, triples):
    acc, a, b = zip(*triples, strict=True)
    inputs = words(acc), np.array(a, np.uint32), np.array(b, np.uint32)
    return results(library.model_steps, spec, len(triples), *inputs)


def folds(library, spec, pairs):
    outer, inner = zip(*pairs, strict=True)
    return results(library.model_folds, spec, len(pairs), words(outer), words(inner))


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
]


@pytest.mark.parametrize(
    "spec", SMALL, ids=lambda spec: f"{spec.a}-{spec.b}-{spec.acc}-{spec.rounding}-{spec.overflow}"
)
def test_every_step_and_fold_of_small_formats(library, spec):
    model = Model(spec)
    triples = list(itertools.product(*(range(1 << fmt.width) for fmt in (spec.acc, spec.a, spec.b))))
    assert steps(library, spec, triples) == [model.step(*triple) for triple in triples]
    pairs = list(itertools.product(range(1 << spec.acc.width), repeat=2))
    assert folds(library, spec, pairs) == [model.fold(*pair) for pair in pairs]


@settings(max_examples=1200, deadline=None, derandomize=True)
@given(data=st.data())
def test_any_spec(library, data):
    spec = data.draw(
        specs(max_exp_bits=11, max_man_bits=30, max_width=40).filter(
            lambda spec: (
                not spec.random_bits and (not isinstance(spec.acc, FixedFormat) or spec.acc.width <= MAX_FIXED_BITS)
            )
        )
    )
    model = Model(spec)
    triples = data.draw(st.lists(st.tuples(codes(spec.acc), codes(spec.a), codes(spec.b)), min_size=1, max_size=8))
    assert steps(library, spec, triples) == [model.step(*triple) for triple in triples]
    pairs = data.draw(st.lists(st.tuples(codes(spec.acc), codes(spec.acc)), min_size=1, max_size=8))
    assert folds(library, spec, pairs) == [model.fold(*pair) for pair in pairs]


@pytest.mark.parametrize("name", [name for name, spec in presets.items() if not spec.random_bits])
def test_near_cancellation_and_ties_in_the_presets(library, name):
    """Sums whose terms are close, or far apart by about the accumulator's width: a random code is never that."""
    spec = presets[name]
    model, rng = Model(spec), np.random.default_rng(1)
    top = 1 << spec.acc.width - 1
    pairs = []
    for outer in rng.integers(0, 2 * top, 4000).tolist():
        shift = int(rng.integers(-6, 40)) << getattr(spec.acc, "man_bits", 0)
        inner = ((outer ^ top) + shift + int(rng.integers(-3, 4))) % (2 * top)
        pairs.append((outer, inner))
    assert folds(library, spec, pairs) == [model.fold(*pair) for pair in pairs]
