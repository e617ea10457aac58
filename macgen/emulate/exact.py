"""The exact kernel: compiled dot products of any spec, addition by addition, with flags and counts."""

import ctypes
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from macgen.emulate.counts import Counts, Events
from macgen.emulate.elements import Matrix, matrix_of
from macgen.emulate.exact_records import format_record, spec_record, sum_bits
from macgen.emulate.kernel_cache import load
from macgen.emulate.random_numbers import States
from macgen.emulate.side_by_side import side_by_side
from macgen.numerics import Format
from macgen.spec import MacSpec
from macgen.spec_fields import Scale

_INTEGERS = ((64, "Word"), (128, "Double"), (384, "Long<6>"))
"""How many bits the integers have in which sums can be formed, and their names in cpp/integers.h."""

_TILE_ROWS, _TILE_COLUMNS = 32, 64
_TILE_PRODUCTS = 1 << 16  # of pairwise dot products; what is read of them stays in a level-2 cache


@dataclass(frozen=True)
class Operands:
    """Two matrices of values, and their scales where a spec has any.

    Attributes:
        a: (M, K) values of any real type of up to 64 bits in this machine's byte order, with any strides.
        b: (N, K) values; B transposed.
        a_scales: (M, chunks) values.
        b_scales: (N, chunks) values.
    """

    a: NDArray[Any]
    b: NDArray[Any]
    a_scales: NDArray[Any] | None = None
    b_scales: NDArray[Any] | None = None


_ARRAYS = ("states", "starts", "values", "flags")
"""What there is one of for each result."""


class _Job(ctypes.Structure):
    _fields_ = (
        *((name, Matrix) for name in ("a", "b", "a_scales", "b_scales")),
        *((name, ctypes.c_void_p) for name in _ARRAYS),
        *((f"{name}_{line}", ctypes.c_int64) for name in _ARRAYS for line in ("row", "column")),
        ("length", ctypes.c_int64),
        ("pairwise", ctypes.c_int64),
    )


@lru_cache(256)
def _record(spec: MacSpec) -> NDArray[np.int64]:
    return spec_record(spec)


def kernel(spec: MacSpec) -> ctypes.CDLL | None:
    """Return the compiled kernel whose integers are wide enough for a spec; None where there is no compiler."""
    needed = sum_bits(spec)
    integer = next(name for bits, name in _INTEGERS if bits >= needed)
    # Loops over words in each of many places would take the compiler six seconds.
    inline = "#define INLINE inline\n" if integer.startswith("Long") else ""
    return load(f'{inline}#include "exact.h"\nEXACT_KERNEL({integer})\n', optimise="-O2")


def is_on_grid(library: ctypes.CDLL, values: NDArray[Any], fmt: Format | Scale) -> bool:
    """Return whether all values of a matrix are of a format."""
    record = format_record(fmt)
    return bool(library.check_values(ctypes.c_void_p(record.ctypes.data), ctypes.byref(matrix_of(values))))


def dot_products(
    library: ctypes.CDLL,
    spec: MacSpec,
    operands: Operands,
    states: States | None,
    starts: NDArray[np.float64] | None = None,
    *,
    pairwise: bool,
    threads: int,
    flags: bool,
    counts: bool,
) -> tuple[NDArray[np.float64], NDArray[np.uint8] | None, Counts | None]:
    """Return results as values, with their flags and counts if asked for.

    Parameters:
        library: of `kernel`.
        spec: the array.
        operands: values on their grids.
        states: of the registers of random numbers, where the spec has any, of the results' shape.
        starts: start values of the results' shape, where the spec has preloaded accumulators.
        pairwise: whether result i is of row i of a and of row i of b, (M,); else results are (M, N).
        threads: how many parts are computed at a time.
        flags: whether flags are asked for.
        counts: whether counts are asked for.
    """
    rows, length = operands.a.shape
    columns = 1 if pairwise else len(operands.b)
    values = np.empty((rows, columns))
    raised = np.empty((rows, columns), np.uint8) if flags else None
    if states is not None:
        states = states.reshape(rows, columns)
    if starts is not None:
        starts = starts.reshape(rows, columns)
    job = _Job(length=length, pairwise=pairwise)
    for name in ("a", "b", "a_scales", "b_scales"):
        if (matrix := getattr(operands, name)) is not None:
            setattr(job, name, matrix_of(matrix))
    for name, array in zip(_ARRAYS, (states, starts, values, raised), strict=True):
        if array is not None:
            setattr(job, name, array.ctypes.data)
            setattr(job, f"{name}_row", array.strides[0] // array.itemsize)
            setattr(job, f"{name}_column", array.strides[1] // array.itemsize)
    record = _record(spec)
    tallies: list[NDArray[np.int64]] = []

    def compute(top: int, left: int) -> None:
        tally = np.zeros((2, 4), np.int64) if counts else None
        sizes = min(tile_rows, rows - top), min(tile_columns, columns - left)
        places = (ctypes.c_int64(number) for number in (top, sizes[0], left, sizes[1]))
        failed = library.dot_products(
            ctypes.c_void_p(record.ctypes.data),
            ctypes.byref(job),
            *places,
            ctypes.c_void_p(None if tally is None else tally.ctypes.data),
        )
        if failed:
            raise MemoryError
        if tally is not None:
            tallies.append(tally)

    if pairwise:
        tile_rows, tile_columns = max(8, min(_TILE_PRODUCTS // min(length, 1024), -(-rows // threads))), 1
    else:
        tile_rows, tile_columns = max(1, min(_TILE_ROWS, -(-rows // threads))), _TILE_COLUMNS
    side_by_side(
        [(compute, (top, left)) for top in range(0, rows, tile_rows) for left in range(0, columns, tile_columns)],
        threads,
    )
    if pairwise:
        values, raised = values[:, 0], None if raised is None else raised[:, 0]
    return values, raised, _counts(np.sum(tallies, axis=0)) if counts else None


def _counts(tally: NDArray[np.int64]) -> Counts:
    steps, folds = (Events(*map(int, row)) for row in tally)
    return Counts(steps, folds)
