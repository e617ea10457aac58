"""The golden model as functions of a spec and codes, with their inputs checked."""

import operator
from collections.abc import Iterable
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from macgen.errors import MacgenError
from macgen.golden.model import Model
from macgen.numerics import Flags
from macgen.numerics.arrays import code_dtype
from macgen.spec import MacSpec

_FLAGS = tuple(Flags(bits) for bits in range(8))

_model = lru_cache(maxsize=64)(Model)


def step(spec: MacSpec, acc_code: int, a_code: int, b_code: int) -> tuple[int, Flags]:
    """Return one step of the accumulator, R(acc + a * b) (docs/arithmetic.md sections 2 to 4).

    Parameters:
        spec: the formats, rounding and overflow.
        acc_code: code of the accumulator before the step.
        a_code: code of the left operand.
        b_code: code of the right operand.

    Returns:
        The accumulator's code after the step, and the flags that this step raises.

    Raises:
        MacgenError: a code is no integer or not one of its format's.
    """
    codes = _integer("acc_code", acc_code), _integer("a_code", a_code), _integer("b_code", b_code)
    code, flags = _model(spec).step(*codes)
    return code, _FLAGS[flags]


def fold(spec: MacSpec, outer_code: int, inner_code: int) -> tuple[int, Flags]:
    """Return the sum R(outer + inner) of two accumulators (docs/arithmetic.md sections 2 to 4).

    Parameters:
        spec: the accumulator's format, rounding and overflow.
        outer_code: code of the sum of the chunks before.
        inner_code: code of the finished chunk's sum.

    Returns:
        The outer accumulator's code after the fold, and the flags that this fold raises.

    Raises:
        MacgenError: a code is no integer or not one of the accumulator's.
    """
    code, flags = _model(spec).fold(_integer("outer_code", outer_code), _integer("inner_code", inner_code))
    return code, _FLAGS[flags]


def dot(spec: MacSpec, a_codes: Iterable[int], b_codes: Iterable[int]) -> tuple[int, Flags]:
    """Return a dot product, chunk by chunk (docs/arithmetic.md section 2).

    Parameters:
        spec: the formats, rounding, overflow and chunk length.
        a_codes: K codes of left operands.
        b_codes: K codes of right operands.

    Returns:
        The outer accumulator's code, and the sticky flags.

    Raises:
        MacgenError: K is 0, the lengths differ, or a code is no integer or not one of its format's.
    """
    a, b = _integers("a_codes", a_codes), _integers("b_codes", b_codes)
    if len(a) != len(b):
        raise MacgenError(f"b_codes has {len(b)} codes and a_codes {len(a)}; accepted are sequences of equal length")
    if not a:
        raise MacgenError("a_codes and b_codes are empty; accepted are dot products of at least one product")
    code, flags = _model(spec).dot(a, b)
    return code, _FLAGS[flags]


def matmul(spec: MacSpec, A: ArrayLike, B: ArrayLike) -> tuple[NDArray[Any], NDArray[np.uint8]]:
    """Return the product of two matrices of codes, each element by `dot`.

    Parameters:
        spec: the formats, rounding, overflow and chunk length; the shapes need not be the array's.
        A: (M, K) codes of left operands, nested sequences or an integer array.
        B: (K, N) codes of right operands.

    Returns:
        (M, N) codes in the smallest unsigned NumPy type that holds them (Python integers above 64 bits), and
        (M, N) flags.

    Raises:
        MacgenError: the shapes do not fit or are empty, or a code is no integer or not one of its format's.
    """
    a, b = _matrix("A", A), _matrix("B", B)
    if a.shape[1] != b.shape[0]:
        raise MacgenError(
            f"B has {b.shape[0]} rows and A {a.shape[1]} columns; accepted are A of shape (M, K) and B of shape (K, N)"
        )
    model = _model(spec)
    a_rows = [_integers("A", row) for row in a.tolist()]
    b_columns = [_integers("B", column) for column in b.T.tolist()]
    codes = np.empty((len(a_rows), len(b_columns)), dtype=code_dtype(spec.acc.width))
    flags = np.empty(codes.shape, dtype=np.uint8)
    for m, row in enumerate(a_rows):
        for n, column in enumerate(b_columns):
            codes[m, n], flags[m, n] = model.dot(row, column)
    return codes, flags


def _integer(name: str, code: int) -> int:
    try:
        return operator.index(code)
    except TypeError:
        raise MacgenError(f"{name} {code!r} is not an integer; accepted are unsigned codes") from None


def _integers(name: str, codes: Iterable[int]) -> list[int]:
    """Return codes as a list of Python integers."""
    try:
        values = codes.tolist() if isinstance(codes, np.ndarray) else list(codes)
        return [operator.index(code) for code in values]
    except TypeError:
        raise MacgenError(f"{name} is not a sequence of integers; accepted are unsigned codes") from None


def _matrix(name: str, codes: ArrayLike) -> NDArray[Any]:
    try:
        matrix = np.asarray(codes)
    except ValueError:
        raise MacgenError(f"{name} has rows of different lengths; accepted are matrices") from None
    if matrix.ndim != 2 or 0 in matrix.shape:
        raise MacgenError(f"{name} has the shape {matrix.shape}; accepted are matrices with rows and columns")
    return matrix
