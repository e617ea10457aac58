"""Packing of operands: every type, order and layout, and which values are seen as on their grid."""

import math
from fractions import Fraction

import numpy as np
import pytest

from macgen.emulate.elements import TYPES
from macgen.emulate.operands import Operand
from macgen.errors import MacgenError
from macgen.numerics import FixedFormat, as_format

ELEMENTS = [np.dtype(name).name for name in TYPES]


def in_order(x, order):
    """Return the same matrix in C or Fortran order, with gaps, or backwards in memory."""
    match order:
        case "F":
            return np.asfortranarray(x)
        case "gaps":
            spread = np.zeros((2 * x.shape[0], 3 * x.shape[1]), x.dtype)
            spread[::2, ::3] = x
            return spread[::2, ::3]
        case "backwards":
            return x[::-1, ::-1].copy()[::-1, ::-1]
    return x


@pytest.mark.parametrize("order", ["C", "F", "gaps", "backwards"])
@pytest.mark.parametrize("element", ELEMENTS)
def test_packing(element, order):
    fmt = as_format("a", "e5m2" if element[0] == "f" else "int8" if element[0] == "i" else "uint8")
    rng = np.random.default_rng(0)
    for lines, products in ((1, 1), (40, 33), (33, 1030), (65, 515)):
        values = fmt.decode(rng.integers(0, 1 << fmt.width, (lines, products)))
        if lines == 33:
            values = np.where(np.isfinite(values), values, 0)
        x = in_order(values.astype(element), order)
        operand, finite = Operand(x, fmt), np.isfinite(values)
        magnitudes = np.where(finite, np.abs(values), 0)
        for dtype in (np.float32, np.float64) if element[0] == "f" else (np.float32, np.int16):
            rows, seen = operand.rows(dtype, 2)
            even = products + (products % 2 if dtype is np.int16 else 0)
            assert rows.shape == (lines, even)
            np.testing.assert_array_equal(rows[:, :products], values.astype(dtype))
            assert not rows[:, products:].any()
            for some in (seen, operand.look(1)):
                assert not some.off_grid
                assert some.facts.finite == finite.all()
                assert some.facts.largest == magnitudes.max()
                assert some.facts.least == magnitudes.min(where=magnitudes > 0, initial=np.inf)
                assert some.sum >= magnitudes.sum(axis=1).max() * (1 - 1e-12)
            for width in (16, 128):
                panels, _ = operand.panels(dtype, width, 2)
                full = np.zeros((panels.shape[0] * width, even), dtype)
                full[:lines, :products] = values.astype(dtype)
                pair = 2 if dtype is np.int16 else 1
                by_panel = full.reshape(-1, width, even // pair, pair).transpose(0, 2, 1, 3)
                np.testing.assert_array_equal(panels.ravel(), by_panel.ravel())


def test_scaled_to_integers():
    x = np.random.default_rng(1).integers(-500, 500, (7, 33)) / 2
    for element in (np.float32, np.float64):
        rows, _ = Operand(x.astype(element), as_format("a", "fix12.1")).rows(np.int16, 1, scale=2.0)
        np.testing.assert_array_equal(rows[:, :33], 2 * x)


FORMATS = (
    *("e5m2", "e4m3fn", "e4m3fnuz", "e2m1finite", "e4m3:flush", "e4m7finite:bias=10:none", "fp16", "bf16", "e8m3"),
    *("int8", "uint8", "fix8.8", "ufix3.5", "fix1.20", "int32", "e11m4", "e4m3:bias=900"),
)


@pytest.mark.parametrize("text", FORMATS)
def test_values_beside_the_grid_are_seen(text):
    """Every value is on the grid; its neighbours in the array's type are not, unless encoding them says so."""
    fmt, rng = as_format("a", text), np.random.default_rng(2)
    codes = np.arange(1 << fmt.width) if fmt.width <= 16 else rng.integers(0, 1 << fmt.width, 5000)
    values = fmt.decode(codes)
    assert not Operand(values[np.newaxis], fmt).look(1).off_grid
    for element in ("float64", "float32", "float16"):
        with np.errstate(over="ignore", under="ignore"):
            near = np.nextafter(values.astype(element), np.array(np.inf, element))
        for x in near[rng.integers(0, len(near), 100)]:
            try:
                fmt.encode(np.float64(x))
            except MacgenError:
                assert Operand(np.array([[x]]), fmt).look(1).off_grid, (text, x)


def just_outside(fmt, element):
    """Return the first value above a format's largest one and below its lowest one, of those that an array has."""
    largest = fmt.max_integer if isinstance(fmt, FixedFormat) else fmt.max
    lowest = fmt.min_integer if isinstance(fmt, FixedFormat) else -fmt.max
    unit = Fraction(2) ** fmt.lsb_exponent if isinstance(fmt, FixedFormat) else 1
    kind = np.dtype(element).type
    for limit, way in ((largest * unit, 1), (lowest * unit, -1)):
        if np.dtype(element).kind != "f":
            x = math.floor(limit) + 1 if way > 0 else math.ceil(limit) - 1
            if np.iinfo(element).min <= x <= np.iinfo(element).max:
                yield kind(x)
            continue
        with np.errstate(over="ignore", under="ignore"):
            x = kind(float(limit))
            while np.isfinite(x) and (Fraction(float(x)) - Fraction(limit)) * way <= 0:
                x = np.nextafter(x, kind(way * np.inf))
        if np.isfinite(x):
            yield x


LIMITED = (
    *("int32", "uint32", "int31narrow", "int40", "int64", "fix2.30", "fix40.-8", "ufix1.24", "int8", "uint16"),
    *("e5m26finite", "e5m24", "fp32", "e8m30finite", "e5m10", "e4m3fn", "e5m2"),
)


@pytest.mark.parametrize("element", ELEMENTS)
def test_values_just_outside_a_format_are_seen(element):
    for text in LIMITED:
        fmt = as_format("a", text)
        for x in just_outside(fmt, element):
            assert Operand(np.array([[x]]), fmt).look(1).off_grid, (text, x)


@pytest.mark.parametrize("x", [2**53 + 1, -(2**53) - 1, 2**60 + 1])
def test_large_integers_that_doubles_round_are_not_taken_for_others(x):
    assert Operand(np.array([[x]]), as_format("a", "fp32")).look(1).off_grid


@pytest.mark.parametrize("element", ELEMENTS)
def test_elements_that_are_not_aligned(element):
    right = np.arange(30, dtype=element).reshape(5, 6)
    x = np.frombuffer(b"-" + right.tobytes(), element, offset=1).reshape(5, 6)
    operand = Operand(x, as_format("a", "fix9.0"))
    assert (element[-1] == "8" and "64" not in element) or not x.flags.aligned
    np.testing.assert_array_equal(operand.rows(np.float32, 1)[0], right)
    np.testing.assert_array_equal(operand.panels(np.float32, 16, 1)[0][0, :, :5], right.T)


@pytest.mark.parametrize("spaced", [False, True])
def test_rows_that_a_kernel_can_read_are_not_copied(spaced):
    x = np.ones((5, 12), np.float32)[:: 2 if spaced else 1]
    rows, seen = Operand(x, as_format("a", "e4m3")).rows(np.float32, 1)
    assert rows is x
    assert (seen.facts.least, seen.facts.largest, seen.off_grid) == (1.0, 1.0, False)
    assert Operand(x[:, ::2], as_format("a", "e4m3")).rows(np.float32, 1)[0].flags.c_contiguous


@pytest.mark.parametrize("element", ["int8", "int16", "uint8", "float32"])
def test_the_least_integers_of_formats_and_types(element):
    """-128 is a value of int8, and of int8narrow it is none; 128 is neither's."""
    for text, lowest, largest in (("int8", -128, 127), ("int8narrow", -127, 127), ("uint8", 0, 255), ("int4", -8, 7)):
        for x in (-129, -128, -127, -9, -8, -1, 0, 7, 8, 127, 128, 255, 256):
            if element == "float32" or np.iinfo(element).min <= x <= np.iinfo(element).max:
                for dtype in (np.int16, np.float32):
                    matrix = np.zeros((3, 700), element)
                    matrix[1, 600] = x
                    _, seen = Operand(matrix, as_format("a", text)).rows(dtype, 1)
                    assert seen.off_grid == (not lowest <= x <= largest), (text, x)
                    assert seen.off_grid or seen.facts.largest == abs(x)
