"""Operands of kernels: arrays of any type and strides, checked against their grid and packed in compiled code."""

import ctypes
import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from macgen.emulate.kernel_cache import load
from macgen.emulate.value_range import OperandFacts
from macgen.numerics import FixedFormat, Format, ScaleFormat

SOURCE = """#include "operands.h"

extern "C" void macgen_operand(const macgen::Matrix* matrix, const macgen::Packed* packed, macgen::Facts* facts) {
    macgen::pack(*matrix, *packed, *facts);
}
"""

ELEMENTS = ("float16", "float32", "float64", "int8", "uint8", "int16", "uint16", "int32", "uint32")
"""Types that are read as they are, in the order of `Element` in operands.h."""

_INTO = {np.dtype(np.float32): 1, np.dtype(np.float64): 2, np.dtype(np.int16): 3}
_int64, _double, _pointer = ctypes.c_int64, ctypes.c_double, ctypes.c_void_p


class _Matrix(ctypes.Structure):
    _fields_ = [
        ("data", _pointer),
        *((name, _int64) for name in ("element", "lines", "products", "line_stride", "product_stride")),
        *((name, _double) for name in ("largest", "lowest", "least_normal", "grid")),
        *((name, _int64) for name in ("extra", "infinities", "nans")),
    ]


class _Packed(ctypes.Structure):
    _fields_ = [
        ("data", _pointer),
        *((name, _int64) for name in ("into", "width", "stride")),
        ("scale", _double),
        ("threads", _int64),
    ]


class _Facts(ctypes.Structure):
    _fields_ = [
        *((name, _double) for name in ("least", "largest", "sum")),
        *((name, _int64) for name in ("off_grid", "special")),
    ]


@dataclass(frozen=True)
class Seen:
    """What packing saw of an operand.

    Attributes:
        facts: of its values.
        sum: no line has a larger sum of magnitudes.
        off_grid: whether some value is not clearly on the format's grid.
    """

    facts: OperandFacts
    sum: float
    off_grid: bool


@dataclass(frozen=True)
class Operand:
    """One operand of a kernel.

    Attributes:
        array: (lines, products): rows of the left operand, or the right one's columns; any strides.
        fmt: the format on whose grid its values are.
        rounded: whether they may not be those that were given.
    """

    array: NDArray[Any]
    fmt: Format | ScaleFormat
    rounded: bool = False

    @classmethod
    def of(cls, array: NDArray[Any], fmt: Format | ScaleFormat) -> "Operand":
        """Return the operand of an array of real numbers, as it is where its type is read."""
        if array.dtype == np.bool_:
            array = array.view(np.uint8)
        misplaced = not array.flags.aligned or any(stride % array.itemsize for stride in array.strides)
        rounded = False
        if array.dtype.name not in ELEMENTS or not array.dtype.isnative or misplaced:
            values = array.astype(np.float64)
            rounded = array.dtype.kind in "iu" and bool((np.abs(values) >= 2.0**53).any())  # 2**53 + 1 became 2**53
            array = values
        return cls(array, fmt, rounded)

    def part(self, lines: slice, products: slice) -> "Operand":
        """Return some of it."""
        return Operand(self.array[lines, products], self.fmt, self.rounded)

    def look(self, threads: int) -> Seen:
        """Check it against its grid."""
        return self._pack(_Packed(None, 0, 1, 0, 1.0, threads))

    def rows(self, dtype: Any, threads: int, *, scale: float = 1.0) -> tuple[NDArray[Any], Seen]:
        """Return it (lines, products) in a kernel's type; of int16 with an even number of products."""
        lines, products = self.array.shape
        packed = np.empty((lines, products + (products % 2 if dtype is np.int16 else 0)), dtype)
        into = _Packed(packed.ctypes.data, _INTO[packed.dtype], 1, packed.shape[1], scale, threads)
        return packed, self._pack(into)

    def panels(self, dtype: Any, width: int, threads: int, *, scale: float = 1.0) -> tuple[NDArray[Any], Seen]:
        """Return it (panels, products, width) in a kernel's type; of int16 two products of a line are side by side."""
        lines, products = self.array.shape
        products += products % 2 if dtype is np.int16 else 0
        packed = np.empty((-(-lines // width), products, width), dtype)
        into = _Packed(packed.ctypes.data, _INTO[packed.dtype], width, products, scale, threads)
        return packed, self._pack(into)

    def _pack(self, packed: _Packed) -> Seen:
        array = self.array
        lines, products = (stride // array.itemsize for stride in array.strides)
        element = ELEMENTS.index(array.dtype.name)
        matrix = _Matrix(array.ctypes.data, element, *array.shape, lines, products, *_grid(self.fmt, array.dtype.name))
        facts = _Facts(math.inf, 0.0, 0.0, 0, 0)
        library = _library()
        assert library is not None
        library.macgen_operand(ctypes.byref(matrix), ctypes.byref(packed), ctypes.byref(facts))
        known = OperandFacts(facts.least, facts.largest, not facts.special)
        return Seen(known, facts.sum * (1 + array.shape[1] * 2.0**-22), bool(facts.off_grid) or self.rounded)


@lru_cache(1)
def _library() -> ctypes.CDLL | None:
    return load(SOURCE, optimise="-O2")


def available() -> bool:
    """Return whether operands can be packed: a compiler is there."""
    return _library() is not None


@lru_cache(256)
def _grid(fmt: Format | ScaleFormat, element: str) -> tuple[float, float, float, float, int, int, int]:
    """Return largest, lowest, least_normal, grid, extra, infinities and nans of `Matrix` in operands.h."""
    precision, least, most = (53, -1022, 1023) if element in ("float64", "int32", "uint32") else (24, -126, 127)

    def power(exponent: int) -> float:
        return math.inf if exponent > most else 0.0 if exponent < least else math.ldexp(1.0, exponent)

    if isinstance(fmt, FixedFormat):
        finest = power(fmt.lsb_exponent + precision - 1)  # above, every number of the type is on the grid
        unit = math.ldexp(1.0, fmt.lsb_exponent)
        largest, lowest = (_cut(_cut(integer, 53) * unit, precision) for integer in (fmt.max_integer, fmt.min_integer))
        return largest, lowest, finest, finest, 0, 0, 0
    if isinstance(fmt, ScaleFormat):
        return power(fmt.bias), math.ldexp(1.0, -fmt.bias), math.ldexp(1.0, -fmt.bias), 0.0, 52, 0, 1
    extra = max(52 - fmt.man_bits, 0)
    if fmt.subnormals == "gradual":
        grid = power(fmt.lsb_exponent + precision - 1)
    else:  # nothing below the smallest normal value is left alone but zero
        grid = power(fmt.min_exponent + precision + 1)
    largest = _cut(fmt.max, precision)
    return largest, -largest, fmt.min_normal, grid, extra, int(fmt.has_infinity), int(fmt.has_nan)


def _cut(number: float, precision: int) -> float:
    """Return a number cut toward zero to binary64 or, of 24 bits, binary32: no limit is beyond the format's."""
    kind: Any = np.float64 if precision == 53 else np.float32
    with np.errstate(over="ignore", under="ignore"):
        near = kind(number)
    return float(np.nextafter(near, kind(0)) if abs(float(near)) > abs(number) else near)


__all__ = ["Operand", "Seen", "available"]
