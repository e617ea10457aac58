"""Operands of kernels: arrays of any type and strides, checked against their grid and packed in compiled code."""

import ctypes
import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from macgen.emulate.alignment import zero_reference
from macgen.emulate.elements import matrix_of
from macgen.emulate.kernel_cache import load
from macgen.emulate.value_range import OperandFacts
from macgen.numerics import FixedFormat, FloatFormat, Format

SOURCE = """#include "operands.h"
#include "references.h"

extern "C" void macgen_operand(const macgen::Matrix* matrix, const macgen::Grid* grid, const macgen::Packed* packed,
                               macgen::Facts* facts) {
    macgen::pack(*matrix, *grid, *packed, *facts);
}

extern "C" void macgen_reference_exponents(const macgen::Packing* packing) {
    if (packing->size == 4)
        macgen::refer<float>(*packing);
    else
        macgen::refer<double>(*packing);
}
"""

_INTO = {np.dtype(np.float32): 1, np.dtype(np.float64): 2, np.dtype(np.int16): 3}
_int64, _double = ctypes.c_int64, ctypes.c_double


class _Grid(ctypes.Structure):
    _fields_ = (
        *((name, _double) for name in ("largest", "lowest", "least_normal", "finest")),
        *((name, _int64) for name in ("extra", "gradual", "infinities", "nans", "whole")),
    )


class _Packed(ctypes.Structure):
    _fields_ = (
        ("data", ctypes.c_void_p),
        *((name, _int64) for name in ("into", "width", "stride")),
        ("scale", _double),
        ("threads", _int64),
    )


class _Facts(ctypes.Structure):
    _fields_ = (
        *((name, _double) for name in ("least", "largest", "sum")),
        *((name, _int64) for name in ("off_grid", "special")),
    )


class _Packing(ctypes.Structure):
    _fields_ = (
        ("data", ctypes.c_void_p),
        *((name, _int64) for name in ("size", "lines", "count", "stride", "least", "zero", "twice")),
        ("exponents", ctypes.c_void_p),
        ("threads", _int64),
    )


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
        array: (lines, products): rows of the left operand, or the right one's columns; of any real type of up to 64
            bits in this machine's byte order, with any strides.
        fmt: the format on whose grid its values are, of up to 32 bits.
    """

    array: NDArray[Any]
    fmt: Format

    def part(self, lines: slice, products: slice) -> "Operand":
        """Return some of it."""
        return Operand(self.array[lines, products], self.fmt)

    def look(self, threads: int) -> Seen:
        """Check it against its grid."""
        return self._pack(_Packed(None, 0, 1, 0, 1.0, threads))

    def rows(self, dtype: Any, threads: int, scale: float = 1.0) -> tuple[NDArray[Any], Seen]:
        """Return it (lines, products) in a kernel's type; of int16 with an even number of products.

        What a kernel can read as it is, is not copied.
        """
        array, (lines, products) = self.array, self.array.shape
        in_rows = array.strides[1] == array.itemsize and array.strides[0] % array.itemsize == 0
        if in_rows and array.flags.aligned and array.dtype == dtype and dtype is not np.int16:
            return array, self.look(threads)
        packed = np.empty((lines, products + products % _products_of_word(dtype)), dtype)
        words = packed.shape[1] // _products_of_word(dtype)
        return packed, self._pack(_Packed(packed.ctypes.data, _INTO[packed.dtype], 1, words, scale, threads))

    def panels(self, dtype: Any, width: int, threads: int, scale: float = 1.0) -> tuple[NDArray[Any], Seen]:
        """Return it (panels, products, width) in a kernel's type; of int16 two products of a line are side by side."""
        lines, products = self.array.shape
        packed = np.empty((-(-lines // width), products + products % _products_of_word(dtype), width), dtype)
        words = packed.shape[1] // _products_of_word(dtype)
        return packed, self._pack(_Packed(packed.ctypes.data, _INTO[packed.dtype], width, words, scale, threads))

    def _pack(self, packed: _Packed) -> Seen:
        grid, facts = _grid(self.fmt, _precision(self.array.dtype)), _Facts(math.inf, 0.0, 0.0, 0, 0)
        library = _library()
        assert library is not None
        references = map(ctypes.byref, (matrix_of(self.array), grid, packed, facts))
        library.macgen_operand(*references)
        known = OperandFacts(facts.least, facts.largest, not facts.special)
        return Seen(known, facts.sum * (1 + self.array.shape[1] * 2.0**-22), bool(facts.off_grid))


def reference_exponents(packed: NDArray[Any], fmt: Format, threads: int, *, twice: bool = False) -> NDArray[Any]:
    """Return the reference exponents of operands as `Operand` packs them (docs/arithmetic.md section 2).

    Parameters:
        packed: rows or panels of a carrier.
        fmt: their float format.
        threads: how many.
        twice: whether each exponent stands twice in a word of 32 bits; else they are of 16 bits.
    """
    assert isinstance(fmt, FloatFormat)
    lines = len(packed)
    exponents = np.empty(packed.shape, np.uint32 if twice else np.int16)
    packing = _Packing(
        data=packed.ctypes.data,
        size=packed.itemsize,
        lines=lines,
        count=packed.size // lines,
        stride=packed.strides[0],
        least=fmt.min_exponent,
        zero=zero_reference(fmt),
        twice=twice,
        exponents=exponents.ctypes.data,
        threads=threads,
    )
    library = _library()
    assert library is not None
    library.macgen_reference_exponents(ctypes.byref(packing))
    return exponents


@lru_cache(1)
def _library() -> ctypes.CDLL | None:
    return load(SOURCE, optimise="-O2")


def available() -> bool:
    """Return whether operands can be packed: a compiler is there."""
    return _library() is not None


def _products_of_word(dtype: Any) -> int:
    return 2 if dtype is np.int16 else 1


def _precision(dtype: np.dtype[Any]) -> int:
    """Return the significant bits of the type in which elements are looked at."""
    return 53 if dtype.itemsize > (4 if dtype.kind == "f" else 2) else 24


@lru_cache(256)
def _grid(fmt: Format, precision: int) -> _Grid:
    """Return `Grid` of grid.h for elements that are looked at in binary64 or, of 24 bits, binary32."""
    least, most = (-1022, 1023) if precision == 53 else (-126, 127)

    def power(exponent: int) -> float:
        return math.inf if exponent > most else 0.0 if exponent < least else math.ldexp(1.0, exponent)

    if isinstance(fmt, FixedFormat):
        finest = power(fmt.lsb_exponent + precision - 1)  # above, every number of the type is on the grid
        unit = math.ldexp(1.0, fmt.lsb_exponent)
        largest, lowest = (_cut(_cut(integer, 53) * unit, precision) for integer in (fmt.max_integer, fmt.min_integer))
        return _Grid(largest, lowest, finest, finest, 0, True, False, False, fmt.lsb_exponent <= 0)
    gradual = fmt.subnormals == "gradual"  # else nothing below the smallest normal value is left alone but zero
    finest = power(fmt.lsb_exponent + precision - 1 if gradual else fmt.min_exponent + precision + 1)
    largest, extra = _cut(fmt.max, precision), max(52 - fmt.man_bits, 0)
    return _Grid(largest, -largest, fmt.min_normal, finest, extra, gradual, fmt.has_infinity, fmt.has_nan, False)


def _cut(number: float, precision: int) -> float:
    """Return a number cut toward zero to binary64 or, of 24 bits, binary32: no limit is beyond the format's."""
    kind: Any = np.float64 if precision == 53 else np.float32
    with np.errstate(over="ignore", under="ignore"):
        near = kind(number)
    return float(np.nextafter(near, kind(0)) if abs(float(near)) > abs(number) else near)
