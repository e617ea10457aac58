"""Sequences of steps, special values by name, and the checks of inputs."""

import itertools
import math
import operator
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from macgen import MacgenError, MacSpec, emulate, golden
from macgen.catalogue import presets
from macgen.golden import Flags
from macgen.golden.model import random_numbers
from tests import representatives
from tests.strategies import codes, corner_codes, specs

FP16 = presets["fp16"]
STOCHASTIC = presets["sr-e6m5"]
ONE, MINUS_ONE, MINUS_ZERO, INF, MINUS_INF, NAN, SIGNALLING = 0x3C00, 0xBC00, 0x8000, 0x7C00, 0xFC00, 0x7E00, 0x7C01


def test_flags_are_the_bits_on_the_wires():
    assert (int(Flags.OVERFLOW), int(Flags.UNDERFLOW), int(Flags.INVALID)) == (1, 2, 4)


# -- chunks ------------------------------------------------------------------------------------------------------


@given(st.data())
def test_dot_is_its_steps_and_folds(data):
    spec = data.draw(specs(max_side=1, max_chunk=12))
    length = data.draw(st.integers(1, 30))
    a = [data.draw(codes(spec.a)) for _ in range(length)]
    b = [data.draw(codes(spec.b)) for _ in range(length)]
    pe, before = (data.draw(st.integers(0, 255)), data.draw(st.integers(0, 255))), data.draw(st.integers(0, 1 << 40))
    numbers = map(int, random_numbers(spec, pe, before)) if spec.random_bits else itertools.repeat(None)
    sums, flags = [], Flags(0)
    for start in range(0, length, spec.chunk or length):
        inner = spec.acc.zero_code()
        for k in range(start, min(start + (spec.chunk or length), length)):
            inner, raised = golden.step(spec, inner, a[k], b[k], next(numbers))
            flags |= raised
        sums.append(inner)
        if len(sums) == 1:
            outer = inner
        else:  # as soon as the chunk is complete
            outer, raised = golden.fold(spec, outer, inner, next(numbers))
            flags |= raised
    assert golden.dot(spec, a, b, pe, before) == (outer, flags)


@pytest.mark.parametrize("length", [1, 3, 4, 5, 8, 9, 63])
def test_chunks_of_four_ones(length):
    """In 4 significand bits 1 + 1 + ... stops at 16; sums of 4 go on to 60, where the short last one is lost."""
    spec = MacSpec(a="e3m2", b="e3m2", acc="e6m3", chunk=4, rounding="rtz")
    one, value = spec.a.encode(1.0).item(), 0.0
    for chunk in range(0, length, 4):
        value = spec.acc.quantize(value + min(4, length - chunk), "rtz").item()
    code, flags = golden.dot(spec, [one] * length, [one] * length)
    assert (spec.acc.decode(code), flags) == (value, Flags(0))
    assert value == {1: 1, 3: 3, 4: 4, 5: 5, 8: 8, 9: 9, 63: 60}[length]


def test_the_first_chunk_is_copied_and_the_next_ones_are_added():
    spec = MacSpec(a="e3m2", b="e3m2", acc="e3m2", chunk=1)
    least, minus = 1, 0b100000
    assert golden.dot(spec, [least | minus], [least]) == (minus, Flags.UNDERFLOW)  # -2^-8 rounds to -0 and stays so
    assert golden.dot(spec, [least | minus] * 2, [least] * 2) == (0, Flags.UNDERFLOW)  # -0 + -0


def test_flags_are_sticky():
    big = FP16.acc.max_code
    code, flags = golden.dot(FP16, [big, 1, INF, ONE], [big, 1, 0, ONE])
    assert (code, flags) == (FP16.acc.nan_code, Flags.OVERFLOW | Flags.INVALID)
    code, flags = golden.dot(FP16, [1, big, INF, ONE], [1, big, 0, ONE])
    assert (code, flags) == (FP16.acc.nan_code, Flags.OVERFLOW | Flags.UNDERFLOW | Flags.INVALID)


# -- zeros, infinities, NaN --------------------------------------------------------------------------------------


@pytest.mark.parametrize("rounding", ["rne", "rtz"])
def test_an_exact_zero_is_positive(rounding):
    spec = MacSpec(a="fp16", b="fp16", acc="fp16", rounding=rounding)
    for acc, a, b in [(0, 0, 0), (MINUS_ZERO, MINUS_ZERO, ONE), (ONE, MINUS_ONE, ONE), (MINUS_ONE, ONE, ONE)]:
        assert golden.step(spec, acc, a, b) == (0, Flags(0))


@pytest.mark.parametrize(
    ("acc", "a", "b", "result", "flags"),
    [
        (ONE, 0, INF, NAN, Flags.INVALID),
        (ONE, MINUS_INF, MINUS_ZERO, NAN, Flags.INVALID),
        (NAN, 0, INF, NAN, Flags.INVALID),
        (ONE, SIGNALLING, NAN, NAN, Flags.INVALID),
        (SIGNALLING, ONE, ONE, NAN, Flags.INVALID),
        (ONE, NAN | 0x8000, ONE, NAN, Flags(0)),
        (ONE, NAN, INF, NAN, Flags(0)),
        (0x7FFF, ONE, ONE, NAN, Flags(0)),
        (INF, MINUS_INF, ONE, NAN, Flags.INVALID),
        (INF, INF, ONE, INF, Flags(0)),
        (MINUS_INF, ONE, ONE, MINUS_INF, Flags(0)),
        (ONE, INF, MINUS_ONE, MINUS_INF, Flags(0)),
    ],
)
def test_special_values(acc, a, b, result, flags):
    assert golden.step(FP16, acc, a, b) == (result, flags)


def test_an_infinite_product_in_an_accumulator_without_infinities():
    for name in ("e5m2fn", "e5m2fnuz", "e6m3finite"):
        spec = MacSpec(a="e5m2", b="e5m2", acc=name)
        infinity, minus_one = 0b11111 << 2, 0b101111 << 2
        assert golden.step(spec, 3, infinity, minus_one) == (spec.acc.largest_code(1), Flags.OVERFLOW)


def test_nan_in_an_accumulator_without_nan_is_the_largest_value_and_the_sum_goes_on():
    spec = MacSpec(a="e5m2", b="e5m2", acc="e6m3finite")
    quiet, largest = 0b1111110, 0b1111011
    assert golden.step(spec, 3, quiet, 0) == (spec.acc.largest_code(0), Flags.INVALID)
    code, flags = golden.dot(spec, [quiet, largest | 0x80], [0, largest])
    assert (spec.acc.decode(code), flags) == (spec.acc.quantize(spec.acc.max - spec.a.max**2), Flags.INVALID)
    assert spec.acc.decode(code) < spec.acc.max


def test_corner_codes_hold_every_kind_of_value():
    kinds = {(number.kind, number.sign) for code in corner_codes(FP16.acc) for number in [FP16.acc.number(code)]}
    assert kinds == set(itertools.product(("finite", "infinite", "nan", "signalling"), (0, 1)))


@pytest.mark.parametrize(
    ("inner", "a_scale", "b_scale", "flags"),
    [
        ("one", "zero", "inf", Flags.INVALID),
        ("one", "inf", "zero", Flags.INVALID),
        ("zero", "inf", "one", Flags.INVALID),
        ("zero", "one", "inf", Flags.INVALID),
        ("inf", "zero", "one", Flags.INVALID),
        ("inf", "one", "zero", Flags.INVALID),
        ("zero", "inf", "nan", Flags.INVALID),
        ("inf", "zero", "nan", Flags.INVALID),
        ("nan", "zero", "inf", Flags(0)),
        ("nan", "inf", "zero", Flags(0)),
        ("zero", "nan", "inf", Flags(0)),
        ("inf", "nan", "zero", Flags(0)),
        ("nan", "zero", "signalling", Flags.INVALID),
        ("signalling", "nan", "nan", Flags.INVALID),
        ("one", "nan", "one", Flags(0)),
    ],
)
def test_a_chunk_sum_times_its_scales_is_formed_from_the_left(inner, a_scale, b_scale, flags):
    """Section 4: a quiet NaN that is met first hides what would be 0 times infinity after it."""
    spec = MacSpec(a="e5m2", b="e5m2", acc="e5m2", scale="e5m2", chunk=4, outer="fp16")
    code = {"zero": 0, "one": 0x3C, "inf": 0x7C, "nan": 0x7E, "signalling": 0x7D}
    wanted = NAN, flags
    assert golden.fold(spec, 0, code[inner], a_scale=code[a_scale], b_scale=code[b_scale]) == wanted


# -- what rounds folds -------------------------------------------------------------------------------------------


def test_folds_by_the_accumulators_own_adder_take_its_rounding():
    """Section 2: 1 + 1 is 2, no number of `outer_rounding` stochastic:1; without chunks that is of `out` alone."""
    spec = MacSpec(a="e5m2", b="e5m2", acc="e5m2", rounding="stochastic:12", outer_rounding="stochastic:1")
    assert not spec.has_outer_adder
    assert golden.fold(spec, 0x3C, 0x3C, 4095) == (0x40, Flags(0))
    cut = MacSpec(a="e5m2", b="e5m2", acc="e5m2", rounding="rtz", outer_rounding="rne", out="e5m1")
    assert golden.fold(cut, 0x3C, 0x2B) == (0x3C, Flags(0))  # 1 + 0.21875: 0.875 of the way to 1.25
    assert golden.convert(cut, 0x3D | 2) == (0x20, Flags(0))  # 1.75 to nearest: 2


# -- matrices ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", representatives.SPECS)
def test_matmul_is_dot_for_every_element(name):
    spec = presets[name]
    rng = np.random.default_rng(5)
    a = rng.integers(0, 1 << spec.a.width, (3, 70))
    b = rng.integers(0, 1 << spec.b.width, (70, 2))
    chunks = spec.scale_count(70)
    codes = 1 << spec.scale.width if spec.scale is not None else 1
    a_scales, b_scales = rng.integers(0, codes, (3, chunks)), rng.integers(0, codes, (chunks, 2))
    scales = {"A_scales": a_scales, "B_scales": b_scales} if chunks else {}
    result, flags = golden.matmul(spec, a, b, **scales)
    assert (result.shape, flags.shape, flags.dtype) == ((3, 2), (3, 2), np.uint8)
    assert result.dtype.itemsize * 8 == next(bits for bits in (8, 16, 32, 64) if bits >= spec.out_format.width)
    for m, n in itertools.product(range(3), range(2)):
        of_dot = {"a_scales": a_scales[m], "b_scales": b_scales[:, n]}
        # A column's results are rounded at random row by row.
        pe, start = ((0, n), m) if spec.random_place == "out" else ((m, n), 0)
        assert (result[m, n], flags[m, n]) == golden.dot(spec, a[m], b[:, n], pe, start, **of_dot)
    again, _ = golden.matmul(spec, a.tolist(), b.astype(np.uint64), **scales)
    np.testing.assert_array_equal(again, result)


def test_tiles_follow_each_other_in_the_random_sequence():
    """5 x 4 results by 2 x 3 PEs: three rows of two tiles, those at the edge as long as any other."""
    spec = replace(STOCHASTIC, rows=2, cols=3, chunk=4)
    rng = np.random.default_rng(6)
    a, b = rng.integers(0, 256, (5, 10)), rng.integers(0, 256, (10, 4))
    assert golden.draws(spec, 10) == 12
    result, flags = golden.matmul(spec, a, b, start=7)
    for m, n in itertools.product(range(5), range(4)):
        tile = m // 2 * 2 + n // 3
        wanted = golden.dot(spec, a[m].tolist(), b[:, n].tolist(), (m % 2, n % 3), 7 + 12 * tile)
        assert (result[m, n], flags[m, n]) == wanted


@pytest.mark.parametrize(
    ("chunk", "length", "complete", "dropped"),
    [
        (None, 5, 5, 5),
        (4, 1, 1, 1),
        (4, 4, 4, 4),
        (4, 5, 6, 5),
        (4, 8, 9, 9),
        (4, 9, 11, 10),
        (1, 3, 5, 5),
        (4, 0, 0, 0),
    ],
)
def test_additions(chunk, length, complete, dropped):
    spec = replace(STOCHASTIC, chunk=chunk)
    assert golden.draws(spec, length) == complete
    assert golden.draws(spec, length, complete=False) == dropped


@pytest.mark.parametrize("rounding", ["stochastic:4", "stochastic:13", "stochastic:32"])
def test_errors_average_out(rounding):
    """1 + x in 6 significant bits, where x has 4 bits below the last place: the mean is that of the exact sums."""
    spec = MacSpec(a="e5m2", b="e8m9", acc="e8m5", rounding=rounding, chunk=1)
    count, one, acc = 4000, spec.a.encode(1.0).item(), spec.acc.encode(1.0).item()
    for sixteenths in (-15, -4, -1, 1, 5, 8, 15):
        x = sixteenths * 2.0**-9
        share = sixteenths / 16 if x > 0 else sixteenths / 8  # below 1 the unit is half as large
        share -= math.floor(share)
        numbers = random_numbers(spec, (0, 0), 1000 * sixteenths + 20_000)
        code = spec.b.encode(x).item()
        sums = [golden.step(spec, acc, one, code, number)[0] for number in itertools.islice(numbers, count)]
        unit = 2.0**-5 if x > 0 else 2.0**-6
        errors = (spec.acc.decode(sums) - (1 + x)) / unit
        deviation = (share * (1 - share) / count) ** 0.5
        assert abs(errors.mean()) < 4 * deviation
        assert np.unique(sums).size == 2


def test_wide_accumulators_give_python_integers():
    spec = MacSpec(a="int32", b="int32", acc="int100")
    result, _ = golden.matmul(spec, [[2**31]], [[1]])
    assert result.dtype == object
    assert result[0, 0] == 2**100 - 2**31


# -- refused input -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: golden.step(FP16, 65536, 0, 0), "acc: code 65536 is not from 0 to 65535, the codes of e5m10"),
        (lambda: golden.step(FP16, 0, -1, 0), "a: code -1 is not from 0 to 65535, the codes of e5m10"),
        (lambda: golden.step(FP16, 0, 0, 1.0), "b_code 1.0 is not an integer; accepted are unsigned codes"),
        (lambda: golden.step(FP16, True, 0, 0), "acc_code True is not an integer; accepted are unsigned codes"),
        (
            lambda: golden.step(FP16, 0, (False,), (0,)),
            "a_code is not a sequence of integers; accepted are unsigned codes",
        ),
        (lambda: golden.dot(FP16, [1], np.array([True])), "b_codes is not a sequence of integers; accepted are .*"),
        (lambda: golden.matmul(FP16, [[True]], [[1]]), "A is not a sequence of integers; accepted are unsigned codes"),
        (lambda: golden.matmul(FP16, [[1]], [[1]], True), "start True is not an integer; accepted are unsigned codes"),
        (lambda: golden.draws(STOCHASTIC, True), "length True is not an integer from 0"),
        (lambda: golden.fold(FP16, "0", 0), "outer_code '0' is not an integer; accepted are unsigned codes"),
        (lambda: golden.fold(FP16, 0, 1 << 16), "acc: code 65536 is not from 0 to 65535, the codes of e5m10"),
        (
            lambda: golden.dot(FP16, [], []),
            "a_codes and b_codes are empty; accepted are dot products of at least one product",
        ),
        (
            lambda: golden.dot(FP16, [1, 2], [1]),
            "b_codes has 1 codes and a_codes 2; accepted are sequences of equal length",
        ),
        (lambda: golden.dot(FP16, 5, [1]), "a_codes is not a sequence of integers; accepted are unsigned codes"),
        (lambda: golden.dot(FP16, [1.5], [1]), "a_codes is not a sequence of integers; accepted are unsigned codes"),
        (
            lambda: golden.matmul(FP16, [[1, 2], [3]], [[1]]),
            "rows of A differ in length; accepted are equal lengths",
        ),
        (
            lambda: golden.matmul(FP16, [1, 2], [[1]]),
            r"A has the shape \(2,\); accepted are matrices with rows and columns",
        ),
        (
            lambda: golden.matmul(FP16, np.zeros((2, 0), int), np.zeros((0, 2), int)),
            r"A has the shape \(2, 0\); accepted are matrices with rows and columns",
        ),
        (
            lambda: golden.matmul(FP16, [[1, 2]], [[1]]),
            r"B has 1 rows and A 2 columns; accepted are A of shape \(M, K\) and B of shape \(K, N\)",
        ),
        (lambda: golden.fold(FP16, -1, 0), "outer: code -1 is not from 0 to 65535, the codes of e5m10"),
        (lambda: golden.convert(FP16, 10**9), "outer: code 1000000000 is not from 0 to 65535, the codes of e5m10"),
        (lambda: golden.convert(presets["default"], -1), "outer: code -1 is not from 0 to 4095, the codes of e6m5"),
        (
            lambda: golden.convert(presets["gupta2015"], -1, 0),
            f"outer: code -1 is not from 0 to {2**48 - 1}, the codes of fix32.16",
        ),
        (lambda: golden.Model(FP16).convert(1 << 16), "outer: code 65536 is not from 0 to 65535, the codes of e5m10"),
        (lambda: golden.draws(STOCHASTIC, -1), "length -1 is not an integer from 0"),
        (lambda: golden.draws(STOCHASTIC, 1.5), "length 1.5 is not an integer from 0"),
        (lambda: golden.step(FP16, 0, 0, 0, 0), "random 0 does not go with rounding 'rne'; accepted is none"),
        (
            lambda: golden.step(STOCHASTIC, 0, 0, 0),
            "random None is not from 0 to 8191, the random numbers of stochastic:13",
        ),
        (
            lambda: golden.fold(STOCHASTIC, 0, 0, 8192),
            "random 8192 is not from 0 to 8191, the random numbers of stochastic:13",
        ),
        (lambda: golden.fold(STOCHASTIC, 0, 0, 1.0), "random 1.0 is not an integer; accepted are unsigned codes"),
        (lambda: golden.dot(STOCHASTIC, [1], [1], (0, 256)), r"pe \(0, 256\) is not a row and a column from 0 to 255"),
        (lambda: golden.dot(STOCHASTIC, [1], [1], 5), "pe 5 is not a row and a column from 0 to 255"),
        (lambda: golden.dot(STOCHASTIC, [1], [1], start=-1), "start -1 is not an integer from 0"),
        (lambda: golden.matmul(STOCHASTIC, [[1]], [[1]], -1), "start -1 is not an integer from 0"),
        (lambda: golden.matmul(FP16, [[1.0]], [[1]]), "A is not a sequence of integers; accepted are unsigned codes"),
        (lambda: golden.matmul(FP16, [[1]], [[1 << 16]]), "b: code 65536 is not from 0 to 65535, the codes of e5m10"),
    ],
)
def test_refused(call, message):
    with pytest.raises(MacgenError, match=f"^{message}$"):
        call()


def test_numpy_integers_are_codes():
    assert golden.step(FP16, np.uint16(ONE), np.int64(ONE), np.uint8(0)) == (ONE, Flags(0))
    assert isinstance(golden.step(FP16, np.uint16(ONE), np.int64(ONE), np.uint8(0))[0], int)
    assert operator.index(golden.dot(FP16, np.array([ONE]), np.array([ONE], np.uint16))[0]) == ONE


def test_the_code_that_a_narrow_operand_lacks_is_refused():
    spec = MacSpec(a="int8", b="int8narrow", acc="int19", out="int8narrow")
    with pytest.raises(MacgenError, match=r"^b: code 128 is no number of int8narrow; accepted are all others of 8 "):
        golden.dot(spec, [1], [128])
    assert golden.dot(spec, [128], [127]) == (129, golden.Flags.OVERFLOW)  # -128 x 127 becomes -127, the lowest value
    with pytest.raises(MacgenError, match=r"^B: value\[0, 0\] = -128.0 is not a value of format int8narrow; "):
        emulate.matmul(spec, [[1.0]], [[-128.0]])
    assert emulate.matmul(spec, [[-128.0]], [[127.0]]) == -127
