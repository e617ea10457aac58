"""The C++ model that drives exhaustive verification equals the golden model: on all small codes, and on wide ones."""

import ctypes
import dataclasses
import itertools
import re
import subprocess

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from macgen import MacSpec, presets, tools
from macgen.errors import MacgenError
from macgen.golden import Model
from macgen.numerics import Encoding, LaneSumKind, Overflow, RoundingKind, Subnormals, all_codes
from macgen.prove.exhaustive.program import PROVER, check_widths, spec_numbers
from tests import representatives
from tests.strategies import codes, float_formats, formats, roundings, specs

LOW = (1 << 64) - 1


@pytest.mark.parametrize("choices", [Encoding, Subnormals, RoundingKind, Overflow, LaneSumKind])
def test_choices_have_the_numbers_that_the_header_gives_them(choices):
    """A spec is passed as numbers: the places of its choices."""
    name = {"RoundingKind": "Rounding", "LaneSumKind": "LaneSum"}.get(choices.__name__, choices.__name__)
    (members,) = re.findall(rf"^enum {name} {{ (.*?) }};$", (PROVER / "numbers.h").read_text(), re.MULTILINE)
    listed = [member.rstrip("_") for member in members.split(", ")]  # INFINITY_ and NAN_: the others are C's macros
    assert listed == [choice.name for choice in choices] + ["POWER"] * (choices is Encoding)


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


def steps(library, spec, accs, a, b, random=None, *scales):
    """Steps of lists of operands, one for each lane in use, and of lists of scales, one for each block in use."""
    counts = [len(codes) for codes in a]
    a, b = ([codes + [0] * (spec.lanes - len(codes)) for codes in lanes] for lanes in (a, b))
    random = random or [0] * len(accs)
    blocks = spec.scales_in_beat if spec.scales_lanes else 0
    scales = [[codes + [0] * (blocks - len(codes)) for codes in side] for side in scales or [[[]] * len(accs)] * 2]
    inputs = map(integers, (a, b, counts, random, *scales))
    return results(library.model_steps, spec, len(accs), words(accs), *inputs)


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
    MacSpec(a="e2m1finite:none", b="e2m1fn:none", acc="e4m1finite:bias=7:none"),
    MacSpec(a="e2m1fnuz:none", b="e2m1", acc="e3m2:none", rounding="drop", overflow="infinity"),
    MacSpec(a="e2m1", b="e2m1", acc="fix5.1"),
    MacSpec(a="e2m1", b="e2m1", acc="fix5.0", rounding="rtz", overflow="wrap"),
    MacSpec(a="fix2.2", b="uint2", acc="fix5.1", rounding="drop"),
    MacSpec(a="fix5.-2", b="ufix-1.3", acc="fix5.-1"),
    MacSpec(a="fix-1.4", b="fix-2.5", acc="fix-2.7", rounding="drop", overflow="wrap"),
    MacSpec(a="int4", b="uint2", acc="fix6.0narrow", rounding="rtz"),
    MacSpec(a="uint3", b="ufix1.2", acc="ufix5.1", overflow="wrap"),
    MacSpec(a="e2m1", b="e2m1", acc="e3m2", rounding="stochastic:3", overflow="infinity"),
    MacSpec(a="e2m1", b="e3m0finite", acc="e4m1", rounding="stochastic:1"),
    MacSpec(a="e2m1", b="e2m1", acc="e3m2fnuz:flush", rounding="stochastic:2"),
    MacSpec(a="e2m1", b="e2m0finite", acc="fix5.0", rounding="stochastic:2", overflow="wrap"),
    MacSpec(a="e2m1", b="e2m1", acc="e3m2", rounding="stochastic:2:nearest", overflow="infinity"),
    MacSpec(a="e2m1", b="e2m1", acc="fix5.0", rounding="stochastic:1:nearest"),
    MacSpec(a="e2m1", b="e3m1", acc="e4m1", rounding="floor", overflow="infinity"),
    MacSpec(a="e2m1", b="e2m1", acc="e3m2fnuz:flush", rounding="floor", overflow="nan"),
    MacSpec(a="e2m1", b="e2m1", acc="e3m1fn", overflow="nan"),
    MacSpec(a="e2m1", b="e2m1", acc="fix5.1", rounding="floor"),
    MacSpec(a="e2m1", b="e3m1", acc="e4m1", rounding="odd", overflow="to-infinity"),
    MacSpec(a="e2m1", b="e2m1", acc="e3m0fn", rounding="odd", overflow="nan"),
    MacSpec(a="e2m1", b="e2m1", acc="fix5.1", rounding="odd"),
    MacSpec(a="e2m1", b="e3m1", acc="e4m2", lane_sum="exponents:3", rounding="rtz", overflow="to-infinity"),
    MacSpec(a="e2m1:flush", b="e3m1fn:none", acc="e4m2:none", lane_sum="exponents:2", rounding="odd"),
    MacSpec(a="e8m0finite:bias=140", b="e1m0finite", acc="e8m1:bias=130", lane_sum="exponents:3", overflow="infinity"),
    MacSpec(a="e2m1", b="e3m1", acc="e4m2", lane_sum="bulk:2", rounding="odd", overflow="to-infinity"),
    MacSpec(a="e2m1:flush", b="e3m1fn:none", acc="e4m2:none", lane_sum="bulk:1"),
    MacSpec(a="e2m2quiet", b="e2m1", acc="e3m2quiet", overflow="infinity"),
]


def name_of(spec):
    return f"{spec.a}-{spec.b}-{spec.acc}-{spec.rounding}-{spec.overflow}"


def random_numbers(spec, place):
    return range(1 << spec.random_bits) if spec.random_place == place else [0]


@pytest.mark.thinned(3)
@pytest.mark.parametrize("spec", SMALL, ids=name_of)
def test_every_step_and_fold_of_small_formats(library, spec):
    model = Model(spec)
    accs, a, b = (all_codes(fmt).tolist() for fmt in (spec.acc, spec.a, spec.b))
    cases = list(itertools.product(accs, a, b, random_numbers(spec, "steps")))
    acc, a, b, random = zip(*cases, strict=True)
    found = steps(library, spec, acc, [[code] for code in a], [[code] for code in b], random)
    assert found == [model.step(*case) for case in cases]
    cases = list(itertools.product(accs, accs, random_numbers(spec, "steps")))
    outer, inner, random = zip(*cases, strict=True)
    assert folds(library, spec, outer, inner, random=random) == [model.fold(*case) for case in cases]
    assert results(library.model_starts, spec, len(accs), words(accs)) == [model.start(code) for code in accs]


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


def aligned(kind):
    return st.integers(1, 64).map(f"{kind}:{{}}".format)


@st.composite
def families(draw):
    """Specs with some of: products in a format, several lanes, scales, an outer accumulator, results in a format."""
    exp_bits = draw(st.sampled_from([4, 5, 8, 11]))
    spec = draw(specs(max_exp_bits=exp_bits, max_man_bits=30, max_width=40))
    some = draw(st.sets(st.sampled_from(["product", "lanes", "scale", "outer", "out", "rounding"])))
    cut = aligned("aligned") | aligned("exponents") | aligned("bulk")
    fields = {"lane_sum": draw(st.sampled_from(["fused", "tree", "tree"]) | cut)}
    if "lanes" in some:
        fields |= {"lanes": draw(st.integers(2, 64) | st.sampled_from([2, 4, 8])), "chunk": None}
    for name, formats_of in (("product", (5, 12, 20)), ("outer", (9, 30, 60)), ("out", (8, 20, 40))):
        if name in some:
            fields[name] = draw(formats(*formats_of))
    if "scale" in some:
        powers = st.integers(2, 8).map("e{}m0fnu".format)
        fields["scale"] = draw(powers | float_formats(11, 23).filter(lambda fmt: fmt.width <= 32).map(str))
        if fields["lane_sum"].startswith("exponents") and draw(st.booleans()):
            group, blocks = draw(st.sampled_from([1, 1, 2, 4, 7])), draw(st.integers(1, 4))
            block = draw(st.integers(1, 3)) * group
            fields |= {"scale_place": "lanes", "scale_block": block, "lanes": block * blocks, "chunk": None}
            fields["lane_sum"] += f"/{group}" if group > 1 else ""
            if group > 1:
                finite = float_formats(5, 6).map(lambda fmt: dataclasses.replace(fmt, encoding="finite"))
                fields |= {"a": draw(finite), "b": draw(finite)}
    if "rounding" in some:
        fields["outer_rounding"] = draw(roundings())
        if spec.random_bits:
            fields["rounding"] = draw(st.sampled_from(["rne", "rtz", "drop"]))
    try:
        spec = dataclasses.replace(spec, **fields)
    except MacgenError:
        assume(False)
    assume(fits(spec))
    return spec


@settings(max_examples=400, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.filter_too_much])
@given(
    data=st.data(),
    spec=specs(11, 30, 40).filter(fits) | families(),
)
def test_any_spec(library, data, spec):
    model = Model(spec)

    def random(place):
        return st.integers(0, (1 << spec.random_bits) - 1 if spec.random_place == place else 0)

    def some(*strategies):
        cases = data.draw(st.lists(st.tuples(*strategies), min_size=1, max_size=8))
        return cases, *zip(*cases, strict=True)

    lanes = st.lists(st.tuples(codes(spec.a), codes(spec.b)), min_size=1, max_size=spec.lanes)
    cases, acc, products, r = some(codes(spec.acc), lanes, random("steps"))
    sides = [[[product[side] for product in step] for step in products] for side in (0, 1)]
    scales = [[], []]
    if spec.scales_lanes:
        blocks = [-(-len(step) // spec.block) for step in products]
        scale = st.integers(0, (1 << spec.scale.width) - 1)
        scales = [[data.draw(st.lists(scale, min_size=n, max_size=n)) for n in blocks] for _ in "ab"]
    each = zip(*scales, strict=True) if spec.scales_lanes else [()] * len(cases)
    expected = [
        model.step(acc, *zip(*step, strict=True), number, *codes)
        for (acc, step, number), codes in zip(cases, each, strict=True)
    ]
    assert steps(library, spec, acc, *sides, r, *(scales if spec.scales_lanes else ())) == expected

    scales = [] if not spec.scales_chunks else [st.integers(0, (1 << spec.scale.width) - 1)] * 2
    number = random("chunks" if spec.has_outer_adder else "steps")
    cases, outer, inner, r, *scale_codes = some(codes(spec.outer_format), codes(spec.acc), number, *scales)
    expected = [model.fold(*case) for case in cases]
    assert folds(library, spec, outer, inner, *(scale_codes or (None, None)), r) == expected

    if spec.out_format != spec.outer_format:
        cases, outer, r = some(codes(spec.outer_format), random("out"))
        assert converted(library, spec, outer, r) == [model.convert(*case) for case in cases]


@pytest.mark.parametrize("name", representatives.SPECS)
def test_near_cancellation_and_ties_in_the_presets(library, name):
    """Sums whose terms are close, or far apart by about the accumulator's width: a random code is never that."""
    spec = presets[name]
    model, rng = Model(spec), np.random.default_rng(1)
    top, most_random = 1 << spec.outer_format.width - 1, 1 << spec.random_bits
    draws = ("chunks" if spec.has_outer_adder else "steps") == spec.random_place

    def opposite(code):
        shift = int(rng.integers(-6, 40)) << getattr(spec.outer_format, "man_bits", 0)
        return ((code ^ top) + shift + int(rng.integers(-3, 4))) % (2 * top)

    cases = []
    for inner in rng.integers(0, 1 << spec.acc.width, 3000).tolist():
        scales, number = [], int(rng.integers(0, most_random)) if draws else 0
        if spec.scales_chunks:
            middle = 1 << spec.scale.width - 1
            scales = np.clip(rng.normal(middle, middle / 4, 2), 0, 2 * middle - 1).astype(int).tolist()
        outer = model.fold(0, inner, number, *scales)[0] if spec.has_outer_adder else inner
        cases.append((opposite(outer), inner, number, *scales))
    outer, inner, random, *scales = zip(*cases, strict=True)
    found = folds(library, spec, outer, inner, *(scales or (None, None)), random)
    assert found == [model.fold(*case) for case in cases]


UNITS = {
    "hopper": MacSpec(a="e4m3fn", b="e4m3fn", acc="fp32", lanes=32, lane_sum="exponents:13", rounding="rtz"),
    "bf16": MacSpec(a="bf16", b="bf16", acc="fp32", lanes=8, lane_sum="exponents:25", overflow="to-infinity"),
    "fp16": MacSpec(a="fp16", b="fp16", acc="fp16", lanes=8, lane_sum="exponents:24", rounding="odd"),
}


@pytest.mark.parametrize("name", [*(name for name, spec in representatives.SPECS.items() if spec.lanes > 1), *UNITS])
def test_lanes_of_the_presets(library, name):
    """Sums of lanes of one magnitude, in pairs that cancel nearly, into what an earlier step left."""
    spec = UNITS[name] if name in UNITS else presets[name]
    model, rng = Model(spec), np.random.default_rng(1)
    acc, cases = 0, []
    for _ in range(1000):
        count = int(rng.integers(1, spec.lanes + 1))
        a, b = (rng.integers(0, 1 << fmt.width, count) for fmt in (spec.a, spec.b))
        if rng.integers(0, 2):
            a[1::2] = a[: count - count % 2 : 2] ^ 1 << spec.a.width - 1
            b[1::2] = b[: count - count % 2 : 2] ^ (rng.integers(0, 8, count // 2) == 0)
        cases.append((acc, a.tolist(), b.tolist()))
        acc = 0 if rng.integers(0, 4) == 0 else model.step(*cases[-1])[0]
        acc = acc if spec.acc.number(acc).kind == "finite" else 0
    assert steps(library, spec, *map(list, zip(*cases, strict=True))) == [model.step(*case) for case in cases]
