"""One call of `matmul` or `dots`: its matrices, checked, and the rows that are computed together."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from macgen.emulate.random_numbers import States, band, dots_states, later, matmul_states
from macgen.errors import MacgenError
from macgen.numerics import FloatFormat, Format, ScaleFormat
from macgen.numerics.arrays import plain_array
from macgen.spec import MacSpec

RANDOM_RESULTS = 1 << 21
"""Most results whose registers of random numbers are kept at a time."""


@dataclass(frozen=True)
class Call:
    """Checked matrices of values, not yet compared with their grids.

    Attributes:
        spec: the array.
        a: (M, K).
        b: (N, K).
        a_scales: (M, chunks or blocks), where the spec has scales.
        b_scales: (chunks or blocks, N).
        pairwise: whether result i is of row i of both; else result (i, j) is of rows i and j.
        first: row of the caller's a with which this one begins.
        taken: random numbers that each register gave before.
        preload: start values, of the results' shape, where the spec has preloaded accumulators.
    """

    spec: MacSpec
    a: NDArray[Any]
    b: NDArray[Any]
    a_scales: NDArray[Any] | None
    b_scales: NDArray[Any] | None
    pairwise: bool
    first: int = 0
    taken: int = 0
    preload: NDArray[Any] | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the results."""
        return (len(self.a),) if self.pairwise else (len(self.a), len(self.b))

    def states(self) -> States | None:
        """Return the states of registers with which the results begin, where the spec has random numbers."""
        if not self.spec.random_bits:
            return None
        if self.pairwise:
            states = dots_states(self.spec, len(self.a), self.a.shape[1], self.first)
        else:
            states = matmul_states(self.spec, len(self.a), len(self.b), self.a.shape[1], self.first)
        return later(self.spec, states, self.taken)

    def parts(self) -> "Iterator[Call]":
        """Yield the rows of a, so many that the states of their results take little memory."""
        if not self.spec.random_bits or math.prod(self.shape) <= RANDOM_RESULTS:
            yield self
            return
        whole = 1 if self.pairwise else band(self.spec)
        count = max(RANDOM_RESULTS // (1 if self.pairwise else len(self.b)) // whole, 1) * whole
        for first in range(0, len(self.a), count):
            rows = slice(first, first + count)
            a_scales, b, b_scales = self.a_scales, self.b, self.b_scales
            if self.pairwise:
                b, b_scales = b[rows], None if b_scales is None else b_scales[:, rows]
            a_scales = None if a_scales is None else a_scales[rows]
            preload = None if self.preload is None else self.preload[rows]
            yield Call(self.spec, self.a[rows], b, a_scales, b_scales, self.pairwise, first, self.taken, preload)

    def named(self) -> list[tuple[str, NDArray[Any], Format | ScaleFormat]]:
        """Return the matrices as the caller gave them, with their names and formats."""
        turned = self.b_scales if self.b_scales is None or not self.pairwise else self.b_scales.T
        every = (
            ("A", self.a, self.spec.a),
            ("B", self.b if self.pairwise else self.b.T, self.spec.b),
            ("A_scales", self.a_scales, self.spec.scale),
            ("B_scales", turned, self.spec.scale),
        )
        return [(name, matrix, fmt) for name, matrix, fmt in every if matrix is not None and fmt is not None]


def matrix_of_values(name: str, values: ArrayLike, fmt: Format | ScaleFormat) -> NDArray[Any]:
    """Return a matrix of values of a real type of up to 64 bits, in this machine's byte order."""
    matrix = plain_array(name, values)
    if matrix.dtype.kind not in "biuf":
        raise MacgenError(f"{name} is not a matrix of real numbers; accepted are values on the grid of {fmt}")
    if matrix.ndim != 2 or 0 in matrix.shape:
        raise MacgenError(f"{name} has the shape {matrix.shape}; accepted are matrices with rows and columns")
    if matrix.dtype.itemsize > 8:
        with np.errstate(over="ignore"):
            rounded = matrix.astype(np.float64)
        off_grid = (rounded != matrix) & ~np.isnan(matrix)
        if off_grid.any():
            row, column = (int(i) for i in np.argwhere(off_grid)[0])
            raise MacgenError(
                f"{name}: value[{row}, {column}] = {matrix[row, column]!s} is not a value of format {fmt}; accepted "
                f"are values on its grid"
            )
        return rounded
    return matrix.astype(matrix.dtype.newbyteorder("="), copy=False)


def start_values(spec: MacSpec, values: ArrayLike | None, shape: tuple[int, ...]) -> NDArray[np.float64] | None:
    """Return the start values of a product's results, None without preloaded accumulators.

    Raises:
        MacgenError: they are missing or not the spec's, have another shape, or are not on the outer accumulator's grid.
    """
    if (values is None) == spec.preload:
        given = "missing" if values is None else "given, but the spec has no preloaded accumulators"
        wanted = f"values of {spec.outer_format} in the shape {shape}" if spec.preload else "none"
        raise MacgenError(f"preload is {given}; accepted is {wanted}")
    if values is None:
        return None
    plain = plain_array("preload", values)
    if plain.shape != shape or 0 in shape:
        raise MacgenError(f"preload has the shape {plain.shape}; accepted is {shape}, that of the results")
    matrix = matrix_of_values("preload", plain.reshape(shape[0], -1), spec.outer_format)
    return on_grid("preload", matrix, spec.outer_format).reshape(shape)


def on_grid(name: str, matrix: NDArray[Any], fmt: Format | ScaleFormat) -> NDArray[np.float64]:
    """Return values as doubles.

    Raises:
        MacgenError: one is not of the format.
    """
    x = matrix.astype(np.float64, order="C", copy=False)
    may_be_rounded = matrix.dtype.kind in "iu" and matrix.dtype.itemsize == 8
    if may_be_rounded or not (isinstance(fmt, FloatFormat) and _clearly_on_grid(x, fmt)):
        try:
            fmt.encode(matrix)
        except MacgenError as error:
            raise MacgenError(f"{name}: {error}") from None
    return x


def _clearly_on_grid(x: NDArray[np.float64], fmt: FloatFormat) -> bool:
    """Return whether all values are zeros or normal numbers of a float format; much quicker than encoding them."""
    extra_bits = np.uint64((1 << (52 - fmt.man_bits)) - 1)
    magnitude = np.abs(x)
    return bool(
        magnitude.max() <= fmt.max
        and magnitude.min(where=magnitude > 0, initial=np.inf) >= fmt.min_normal
        and not (x.view(np.uint64) & extra_bits).any()
    )


def scales_of_chunks(
    spec: MacSpec, a: tuple[ArrayLike | None, tuple[int, int]], b: tuple[ArrayLike | None, tuple[int, int]]
) -> tuple[NDArray[Any] | None, NDArray[Any] | None]:
    """Return the scales of both operands' chunks or blocks, given with the shapes that they have to have."""
    checked: list[NDArray[Any] | None] = []
    owner = "block" if spec.scales_lanes else "chunk"
    for name, (values, shape) in (("A_scales", a), ("B_scales", b)):
        if (values is None) != (spec.scale is None):
            given = "missing" if values is None else "given, but the spec has no scale"
            wanted = "none" if spec.scale is None else f"values of {spec.scale} in the shape {shape}"
            raise MacgenError(f"{name} is {given}; accepted is {wanted}")
        if values is None or spec.scale is None:
            checked.append(None)
            continue
        matrix = matrix_of_values(name, values, spec.scale)
        if matrix.shape != shape:
            raise MacgenError(f"{name} has the shape {matrix.shape}; accepted is {shape}, one scale for each {owner}")
        checked.append(matrix)
    return checked[0], checked[1]
