"""What the golden model's functions accept: codes, scales, start values, random numbers, places in the array."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from macgen.errors import MacgenError, is_integer, shown
from macgen.numerics.arrays import plain_array
from macgen.spec import MacSpec
from macgen.spec_fields import MAX_SIDE, RandomPlace


def start_value(spec: MacSpec, preload: int | None) -> int | None:
    """Return the code of a dot product's start value, None without preloaded accumulators."""
    if (preload is not None) != spec.preload:
        wanted = f"a code of {spec.outer_format}" if spec.preload else "none"
        raise MacgenError(f"preload {shown(preload)} does not fit the spec; accepted is {wanted}")
    return None if preload is None else as_integer("preload", preload)


def start_values(spec: MacSpec, preload: ArrayLike | None, shape: tuple[int, int]) -> Sequence[Sequence[int | None]]:
    """Return those of a matrix product, row by row."""
    if (preload is not None) != spec.preload:
        given = "given, but the spec has no preloaded accumulators" if preload is not None else "missing"
        wanted = f"codes of {spec.outer_format} of shape {shape}" if spec.preload else "None"
        raise MacgenError(f"preload is {given}; accepted is {wanted}")
    if preload is None:
        return [[None] * shape[1]] * shape[0]
    # As objects: NumPy makes floats of a list of 64-bit integers.
    matrix = as_matrix(
        "preload", preload if isinstance(preload, np.ndarray) else plain_array("preload", preload, object)
    )
    if matrix.shape != shape:
        raise MacgenError(f"preload has the shape {matrix.shape}; accepted is {shape}, that of the results")
    return [as_integers("preload", row) for row in matrix.tolist()]


def check_scale_count(spec: MacSpec, name: str, count: int, length: int) -> None:
    """Refuse another number of scales than a dot product has."""
    wanted, owner = spec.scale_count(length), "block" if spec.scales_lanes else "chunk"
    if count != wanted:
        raise MacgenError(
            f"{name} has {count} scales for each dot product; accepted are {wanted}, one for each {owner}"
        )


def scale_rows(spec: MacSpec, name: str, scales: ArrayLike | None, count: int, length: int) -> list[list[int]]:
    """Return the scales of each dot product's operand, those of B transposed."""
    if scales is None:
        check_scale_count(spec, name, 0, length)
        return [[]] * count
    matrix = as_matrix(name, scales)
    matrix = matrix if name == "A_scales" else matrix.T
    if len(matrix) != count:
        raise MacgenError(f"{name} has scales for {len(matrix)} dot products; accepted are {count}")
    check_scale_count(spec, name, matrix.shape[1], length)
    return [as_integers(name, row) for row in matrix.tolist()]


def codes_of_lanes(spec: MacSpec, name: str, codes: int | Sequence[int]) -> list[int]:
    """Return an operand's codes, one for each lane in use."""
    if not isinstance(codes, Sequence):
        return [as_integer(name, codes)]
    if not 1 <= len(codes) <= spec.lanes:
        raise MacgenError(f"{name} has {len(codes)} codes; accepted are 1 to {spec.lanes}, the lanes")
    return as_integers(name, codes)


def random_number(spec: MacSpec, number: int | None, place: RandomPlace) -> int:
    """Return the random number of a rounding, 0 where it takes none."""
    bits = spec.random_bits if spec.random_place == place else 0
    rounding = spec.rounding if place == "steps" else spec.fold_rounding
    if not bits:
        if number is not None:
            raise MacgenError(f"random {shown(number)} does not go with rounding {rounding!r}; accepted is none")
        return 0
    if number is None or isinstance(number, bool) or not 0 <= as_integer("random", number) < 1 << bits:
        largest = (1 << bits) - 1
        raise MacgenError(f"random {shown(number)} is not from 0 to {largest}, the random numbers of {rounding}")
    return as_integer("random", number)


def place_of_pe(pe: tuple[int, int]) -> tuple[int, int]:
    """Return row and column of a PE."""
    if isinstance(pe, tuple) and len(pe) == 2:
        row, col = (as_integer("pe", index) for index in pe)
        if 0 <= row < MAX_SIDE and 0 <= col < MAX_SIDE:
            return row, col
    raise MacgenError(f"pe {shown(pe)} is not a row and a column from 0 to {MAX_SIDE - 1}")


def numbers_before(start: int) -> int:
    """Return how many random numbers were taken before."""
    if as_integer("start", start) < 0:
        raise MacgenError(f"start {shown(start)} is not an integer from 0")
    return as_integer("start", start)


def as_integer(name: str, code: int) -> int:
    """Return a code as a Python integer."""
    if not is_integer(code):
        raise MacgenError(f"{name} {shown(code)} is not an integer; accepted are unsigned codes")
    return int(code)


def as_integers(name: str, codes: Iterable[int]) -> list[int]:
    """Return codes as a list of Python integers."""
    try:
        values = codes.tolist() if isinstance(codes, np.ndarray) else list(codes)
        integers = all(map(is_integer, values))
    except TypeError:
        integers = False
    if not integers:
        raise MacgenError(f"{name} is not a sequence of integers; accepted are unsigned codes")
    return list(map(int, values))


def as_matrix(name: str, codes: ArrayLike) -> NDArray[Any]:
    """Return a matrix with rows and columns."""
    matrix = plain_array(name, codes)
    if matrix.ndim != 2 or 0 in matrix.shape:
        raise MacgenError(f"{name} has the shape {matrix.shape}; accepted are matrices with rows and columns")
    return matrix
