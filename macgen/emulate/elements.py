"""Matrices as compiled code reads them: any real type of up to 64 bits, any strides."""

import ctypes
from typing import Any

from numpy.typing import NDArray

TYPES = ("f8", "f4", "f2", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8")
"""NumPy's names of the types, in the order of `Element` in cpp/elements.h."""


class Matrix(ctypes.Structure):
    """`Matrix` of cpp/elements.h."""

    _fields_ = (
        ("data", ctypes.c_void_p),
        *((name, ctypes.c_int64) for name in ("element", "lines", "products", "line_stride", "product_stride")),
    )


def matrix_of(values: NDArray[Any]) -> Matrix:
    """Return the record of a matrix (lines, products) in this machine's byte order; its memory has to stay."""
    kind = "u" if values.dtype.kind == "b" else values.dtype.kind
    element = TYPES.index(f"{kind}{values.itemsize}")
    return Matrix(values.ctypes.data, element, *values.shape, *values.strides)
