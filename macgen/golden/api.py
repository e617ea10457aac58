"""The golden model as functions of a spec and codes, with their inputs checked."""

import operator
from collections.abc import Iterable
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from macgen.errors import MacgenError, shown
from macgen.golden.model import Model, additions, random_numbers
from macgen.numerics import Flags
from macgen.numerics.arrays import code_dtype
from macgen.spec import MAX_SIDE, MacSpec

_FLAGS = tuple(Flags(bits) for bits in range(8))

_model = lru_cache(maxsize=64)(Model)


def step(spec: MacSpec, acc_code: int, a_code: int, b_code: int, random: int | None = None) -> tuple[int, Flags]:
    """Return one step of the accumulator, R(acc + a * b) (docs/arithmetic.md sections 2 to 4).

    Parameters:
        spec: the formats, rounding and overflow.
        acc_code: code of the accumulator before the step.
        a_code: code of the left operand.
        b_code: code of the right operand.
        random: with `stochastic:r` the random number, 0 to 2**r - 1; else None.

    Returns:
        The accumulator's code after the step, and the flags that this step raises.

    Raises:
        MacgenError: a code is no integer or not one of its format's, or the random number does not fit the rounding.
    """
    codes = _integer("acc_code", acc_code), _integer("a_code", a_code), _integer("b_code", b_code)
    code, flags = _model(spec).step(*codes, _random(spec, random))
    return code, _FLAGS[flags]


def fold(spec: MacSpec, outer_code: int, inner_code: int, random: int | None = None) -> tuple[int, Flags]:
    """Return the sum R(outer + inner) of two accumulators (docs/arithmetic.md sections 2 to 4).

    Parameters:
        spec: the accumulator's format, rounding and overflow.
        outer_code: code of the sum of the chunks before.
        inner_code: code of the finished chunk's sum.
        random: as of `step`.

    Returns:
        The outer accumulator's code after the fold, and the flags that this fold raises.

    Raises:
        MacgenError: a code is no integer or not one of the accumulator's, or the random number does not fit the
            rounding.
    """
    codes = _integer("outer_code", outer_code), _integer("inner_code", inner_code)
    code, flags = _model(spec).fold(*codes, _random(spec, random))
    return code, _FLAGS[flags]


def dot(
    spec: MacSpec, a_codes: Iterable[int], b_codes: Iterable[int], pe: tuple[int, int] = (0, 0), start: int = 0
) -> tuple[int, Flags]:
    """Return a dot product, chunk by chunk (docs/arithmetic.md section 2).

    Parameters:
        spec: the formats, rounding, overflow and chunk length.
        a_codes: K codes of left operands.
        b_codes: K codes of right operands.
        pe: row and column of the PE whose random numbers stochastic rounding takes (section 7).
        start: additions that this PE has done since the reset.

    Returns:
        The outer accumulator's code, and the sticky flags.

    Raises:
        MacgenError: K is 0, the lengths differ, a code is no integer or not one of its format's, or there is no such PE
            or start.
    """
    a, b = _integers("a_codes", a_codes), _integers("b_codes", b_codes)
    if len(a) != len(b):
        raise MacgenError(f"b_codes has {len(b)} codes and a_codes {len(a)}; accepted are sequences of equal length")
    if not a:
        raise MacgenError("a_codes and b_codes are empty; accepted are dot products of at least one product")
    code, flags = _model(spec).dot(a, b, random_numbers(spec, _pe(pe), _start(start)))
    return code, _FLAGS[flags]


def matmul(spec: MacSpec, A: ArrayLike, B: ArrayLike, start: int = 0) -> tuple[NDArray[Any], NDArray[np.uint8]]:
    """Return the product of two matrices of codes, each element by `dot`.

    With stochastic rounding the elements come tile by tile of rows x cols, row by row of tiles, from the PEs of the
    array (docs/arithmetic.md section 7).

    Parameters:
        spec: the formats, rounding, overflow and chunk length; the shapes need not be the array's.
        A: (M, K) codes of left operands, nested sequences or an integer array.
        B: (K, N) codes of right operands.
        start: additions that each PE has done since the reset.

    Returns:
        (M, N) codes in the smallest unsigned NumPy type that holds them (Python integers above 64 bits), and
        (M, N) flags.

    Raises:
        MacgenError: the shapes do not fit or are empty, a code is no integer or not one of its format's, or there is no
            such start.
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
    done, of_tile, tile_columns = _start(start), additions(spec, a.shape[1]), -(-len(b_columns) // spec.cols)
    for m, row in enumerate(a_rows):
        tile_row, pe_row = divmod(m, spec.rows)
        for n, column in enumerate(b_columns):
            tile_column, pe_column = divmod(n, spec.cols)
            before = done + (tile_row * tile_columns + tile_column) * of_tile
            numbers = random_numbers(spec, (pe_row, pe_column), before)
            codes[m, n], flags[m, n] = model.dot(row, column, numbers)
    return codes, flags


def _random(spec: MacSpec, number: int | None) -> int:
    bits = spec.random_bits
    if not bits:
        if number is not None:
            raise MacgenError(f"random {shown(number)} does not go with rounding {spec.rounding!r}; accepted is none")
        return 0
    if number is None or isinstance(number, bool) or not 0 <= _integer("random", number) < 1 << bits:
        largest = (1 << bits) - 1
        raise MacgenError(f"random {shown(number)} is not from 0 to {largest}, the random numbers of {spec.rounding}")
    return _integer("random", number)


def _pe(pe: tuple[int, int]) -> tuple[int, int]:
    if isinstance(pe, tuple) and len(pe) == 2:
        row, col = (_integer("pe", index) for index in pe)
        if 0 <= row < MAX_SIDE and 0 <= col < MAX_SIDE:
            return row, col
    raise MacgenError(f"pe {shown(pe)} is not a row and a column from 0 to {MAX_SIDE - 1}")


def _start(start: int) -> int:
    if _integer("start", start) < 0:
        raise MacgenError(f"start {shown(start)} is not an integer from 0")
    return _integer("start", start)


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
