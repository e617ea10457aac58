"""Matrix and dot products on values: checks, and the choice between what computes them."""

from dataclasses import dataclass
from typing import Any, Literal, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from macgen.emulate import exact, numpy_products, scalar, vectors
from macgen.emulate.counts import Counts
from macgen.emulate.operands import Operand
from macgen.emulate.random_numbers import States, dots_states, matmul_states
from macgen.emulate.side_by_side import available_processors
from macgen.errors import MacgenError, check_flag, check_integer
from macgen.numerics import FloatFormat, Format, ScaleFormat
from macgen.numerics.arrays import plain_array
from macgen.spec import MacSpec, check_spec

Values = NDArray[np.float64]
FlagBits = NDArray[np.uint8]


@overload
def matmul(
    spec: MacSpec,
    A: ArrayLike,
    B: ArrayLike,
    threads: int | None = None,
    *,
    A_scales: ArrayLike | None = None,
    B_scales: ArrayLike | None = None,
    flags: Literal[False] = False,
    counts: Literal[False] = False,
) -> Values: ...
@overload
def matmul(
    spec: MacSpec,
    A: ArrayLike,
    B: ArrayLike,
    threads: int | None = None,
    *,
    A_scales: ArrayLike | None = None,
    B_scales: ArrayLike | None = None,
    flags: Literal[True],
    counts: Literal[False] = False,
) -> tuple[Values, FlagBits]: ...
@overload
def matmul(
    spec: MacSpec,
    A: ArrayLike,
    B: ArrayLike,
    threads: int | None = None,
    *,
    A_scales: ArrayLike | None = None,
    B_scales: ArrayLike | None = None,
    flags: Literal[False] = False,
    counts: Literal[True],
) -> tuple[Values, Counts]: ...
@overload
def matmul(
    spec: MacSpec,
    A: ArrayLike,
    B: ArrayLike,
    threads: int | None = None,
    *,
    A_scales: ArrayLike | None = None,
    B_scales: ArrayLike | None = None,
    flags: Literal[True],
    counts: Literal[True],
) -> tuple[Values, FlagBits, Counts]: ...


def matmul(
    spec: MacSpec,
    A: ArrayLike,
    B: ArrayLike,
    threads: int | None = None,
    *,
    A_scales: ArrayLike | None = None,
    B_scales: ArrayLike | None = None,
    flags: bool = False,
    counts: bool = False,
) -> Any:
    """Return the product of two matrices as the array computes it, bit-equal to `golden.matmul` on their codes.

    Parameters:
        spec: the formats, roundings, overflow, chunk length and lanes; the shapes need not be the array's, which
            matters with stochastic rounding only.
        A: (M, K) values on the grid of `spec.a`, of any real type; infinities and (quiet) NaN where it has them.
        B: (K, N) values on the grid of `spec.b`.
        threads: how many blocks are computed at a time, at least 1; None: one per available processor.
        A_scales: (M, chunks) or, with `scale_place = lanes`, (M, blocks) values on the grid of `spec.scale`, NaN too
            where it has it; None where the spec has no scales.
        B_scales: (chunks, N) or (blocks, N) values.
        flags: whether to return flags, too.
        counts: whether to return counts, too.

    Returns:
        (M, N) values of `spec.out_format`, the sign of zeros included (fixed point above 53 bits: the nearest doubles).
        With `flags` a tuple of these and (M, N) bits of `numerics.Flags`; with `counts` `Counts` are its last member.

    Raises:
        MacgenError: the shapes do not fit or are empty, a value is not on its format's grid, or memory does not
            suffice.
    """
    check_spec(spec)
    a, b = _matrix("A", A, spec.a), _matrix("B", B, spec.b)
    if a.shape[1] != b.shape[0]:
        raise MacgenError(
            f"B has {b.shape[0]} rows and A {a.shape[1]} columns; accepted are A of shape (M, K) and B of shape (K, N)"
        )
    count = spec.scale_count(a.shape[1])
    scales = _scales(spec, (A_scales, (a.shape[0], count)), (B_scales, (count, b.shape[1])))
    return _results(_Call(spec, a, b.T, *scales, pairwise=False), threads, flags=flags, counts=counts)


@overload
def dots(
    spec: MacSpec,
    A: ArrayLike,
    B: ArrayLike,
    threads: int | None = None,
    *,
    A_scales: ArrayLike | None = None,
    B_scales: ArrayLike | None = None,
    flags: Literal[False] = False,
    counts: Literal[False] = False,
) -> Values: ...
@overload
def dots(
    spec: MacSpec,
    A: ArrayLike,
    B: ArrayLike,
    threads: int | None = None,
    *,
    A_scales: ArrayLike | None = None,
    B_scales: ArrayLike | None = None,
    flags: Literal[True],
    counts: Literal[False] = False,
) -> tuple[Values, FlagBits]: ...
@overload
def dots(
    spec: MacSpec,
    A: ArrayLike,
    B: ArrayLike,
    threads: int | None = None,
    *,
    A_scales: ArrayLike | None = None,
    B_scales: ArrayLike | None = None,
    flags: Literal[False] = False,
    counts: Literal[True],
) -> tuple[Values, Counts]: ...
@overload
def dots(
    spec: MacSpec,
    A: ArrayLike,
    B: ArrayLike,
    threads: int | None = None,
    *,
    A_scales: ArrayLike | None = None,
    B_scales: ArrayLike | None = None,
    flags: Literal[True],
    counts: Literal[True],
) -> tuple[Values, FlagBits, Counts]: ...


def dots(
    spec: MacSpec,
    A: ArrayLike,
    B: ArrayLike,
    threads: int | None = None,
    *,
    A_scales: ArrayLike | None = None,
    B_scales: ArrayLike | None = None,
    flags: bool = False,
    counts: bool = False,
) -> Any:
    """Return independent dot products, row by row, bit-equal to `golden.dot` on their codes.

    With stochastic rounding they are those of turn 0 of PE (0, 0), one after the other from a reset on.

    Parameters:
        spec: the formats, roundings, overflow, chunk length and lanes.
        A: (T, K) values on the grid of `spec.a`, of any real type; infinities and (quiet) NaN where it has them.
        B: (T, K) values on the grid of `spec.b`.
        threads: how many blocks of rows are computed at a time, at least 1; None: one per available processor.
        A_scales: (T, chunks) or, with `scale_place = lanes`, (T, blocks) values on the grid of `spec.scale`; None where
            the spec has no scales.
        B_scales: as many values.
        flags: whether to return flags, too.
        counts: whether to return counts, too.

    Returns:
        (T,) values of `spec.out_format`, flags and counts as of `matmul`.

    Raises:
        MacgenError: the shapes differ or are empty, a value is not on its format's grid, or memory does not suffice.
    """
    check_spec(spec)
    a, b = _matrix("A", A, spec.a), _matrix("B", B, spec.b)
    if a.shape != b.shape:
        raise MacgenError(f"B has the shape {b.shape} and A {a.shape}; accepted are equal shapes (T, K)")
    shape = len(a), spec.scale_count(a.shape[1])
    a_scales, b_scales = _scales(spec, (A_scales, shape), (B_scales, shape))
    call = _Call(spec, a, b, a_scales, None if b_scales is None else b_scales.T, pairwise=True)
    return _results(call, threads, flags=flags, counts=counts)


@dataclass(frozen=True)
class _Call:
    """Checked matrices of values, not yet compared with their grids.

    Attributes:
        spec: the array.
        a: (M, K).
        b: (N, K).
        a_scales: (M, chunks), where the spec has scales.
        b_scales: (chunks, N).
        pairwise: whether result i is of row i of both; else result (i, j) is of rows i and j.
    """

    spec: MacSpec
    a: NDArray[Any]
    b: NDArray[Any]
    a_scales: NDArray[Any] | None
    b_scales: NDArray[Any] | None
    pairwise: bool

    def states(self) -> States | None:
        """Return the states of registers with which the results begin, where the spec has random numbers."""
        if not self.spec.random_bits:
            return None
        if self.pairwise:
            return dots_states(self.spec, *self.a.shape)
        return matmul_states(self.spec, len(self.a), len(self.b), self.a.shape[1])


def _results(call: _Call, threads: int | None, *, flags: bool, counts: bool) -> Any:
    """Return results as the caller asked for them."""
    threads, flags, counts = _thread_count(threads), check_flag("flags", flags), check_flag("counts", counts)
    try:
        states = call.states()
        if not (flags or counts):
            values = _vector_results(call, states, threads)
            if values is None and exact.kernel(call.spec) is None:
                values = _quick_results(call, states, threads)
            if values is not None:
                return values
        values, raised, counted = _all_results(call, states, threads, flags=flags, counts=counts)
    except MemoryError:
        shape = (len(call.a),) if call.pairwise else (len(call.a), len(call.b))
        raise MacgenError(
            f"A and B give results of the shape {shape}, for which memory does not suffice; accepted are matrices of "
            f"which it does"
        ) from None
    if not (flags or counts):
        return values
    return (values, *([raised] if flags else []), *([counted] if counts else []))


def _vector_results(call: _Call, states: States | None, threads: int) -> Values | None:
    """Return results of vector kernels; None where they cannot be had, or a value is to be looked at closer."""
    spec, scales = call.spec, None
    if spec.exponent_bits is not None or not numpy_products.has_quick_out(spec):
        return None
    if call.a_scales is not None and call.b_scales is not None and spec.scale is not None:
        scales = _on_grid("A_scales", call.a_scales, spec.scale), _on_grid("B_scales", call.b_scales, spec.scale).T
    if states is not None and call.pairwise:
        states = states[np.newaxis]
    operands = Operand.of(call.a, spec.a), Operand.of(call.b, spec.b)
    try:
        values = vectors.compute(vectors.Problem(spec, *operands, call.pairwise, scales, states, threads))
    except vectors.OffGridError:
        _on_grid("A", call.a, spec.a)
        _on_grid("B", call.b if call.pairwise else call.b.T, spec.b)
        return None
    if values is None:
        return None
    results = numpy_products.converted(spec, values, states)
    return results[0] if call.pairwise else results


def _quick_results(call: _Call, states: States | None, threads: int) -> Values | None:
    """Return results without flags and counts in NumPy; None where no quick way is proved."""
    spec = call.spec
    a, b = _on_grid("A", call.a, spec.a), _on_grid("B", call.b if call.pairwise else call.b.T, spec.b)
    scales = None
    if call.a_scales is not None and call.b_scales is not None and spec.scale is not None:
        b_scales = call.b_scales.T if call.pairwise else call.b_scales
        scales = _on_grid("A_scales", call.a_scales, spec.scale), _on_grid("B_scales", b_scales, spec.scale)
    of_shape = numpy_products.dots if call.pairwise else numpy_products.matmul
    return of_shape(spec, a, b, scales, states, threads)


def _all_results(
    call: _Call, states: States | None, threads: int, *, flags: bool, counts: bool
) -> tuple[Values, FlagBits | None, Counts | None]:
    """Return results of any spec, with flags and counts if asked for: compiled, or else in Python."""
    spec, library = call.spec, exact.kernel(call.spec)
    b_scales = None if call.b_scales is None else call.b_scales.T
    named = (
        ("A", call.a, spec.a),
        ("B", call.b if call.pairwise else call.b.T, spec.b),
        ("A_scales", call.a_scales, spec.scale),
        ("B_scales", b_scales if call.pairwise else call.b_scales, spec.scale),
    )
    given = [(name, matrix, fmt) for name, matrix, fmt in named if matrix is not None and fmt is not None]
    if library is None:
        a, b, *scales = [_on_grid(*of) for of in given]
        if not call.pairwise:
            b, scales = b.T, [scales[0], scales[1].T] if scales else []
        of_rows = (scales[0], scales[1]) if scales else None
        return scalar.dot_products(spec, a, b, of_rows, states, pairwise=call.pairwise)
    for name, matrix, fmt in given:
        if not exact.is_on_grid(library, matrix, fmt):
            _on_grid(name, matrix, fmt)
            raise AssertionError(f"a value of {name} is on the grid of {fmt}, but the kernel refuses it")
    operands = exact.Operands(call.a, call.b, call.a_scales, b_scales)
    return exact.dot_products(
        library, spec, operands, states, pairwise=call.pairwise, threads=threads, flags=flags, counts=counts
    )


def _scales(
    spec: MacSpec, a: tuple[ArrayLike | None, tuple[int, int]], b: tuple[ArrayLike | None, tuple[int, int]]
) -> tuple[NDArray[Any] | None, NDArray[Any] | None]:
    """Return the scales of both operands, given with the shapes that they have to have."""
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
        matrix = _matrix(name, values, spec.scale)
        if matrix.shape != shape:
            raise MacgenError(f"{name} has the shape {matrix.shape}; accepted is {shape}, one scale for each {owner}")
        checked.append(matrix)
    return checked[0], checked[1]


def _thread_count(threads: int | None) -> int:
    if threads is None:
        return available_processors()
    return check_integer("threads", threads, 1, also=", or none")


def _matrix(name: str, values: ArrayLike, fmt: Format | ScaleFormat) -> NDArray[Any]:
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


def _on_grid(name: str, matrix: NDArray[Any], fmt: Format | ScaleFormat) -> Values:
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


def _clearly_on_grid(x: Values, fmt: FloatFormat) -> bool:
    """Return whether all values are zeros or normal numbers of a float format; much quicker than encoding them."""
    extra_bits = np.uint64((1 << (52 - fmt.man_bits)) - 1)
    magnitude = np.abs(x)
    return bool(
        magnitude.max() <= fmt.max
        and magnitude.min(where=magnitude > 0, initial=np.inf) >= fmt.min_normal
        and not (x.view(np.uint64) & extra_bits).any()
    )
