"""Matrix and dot products on values: checks, the choice of the fastest proved kernels, blocks and threads."""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from macgen.emulate import long_products, scalar
from macgen.emulate.block import accumulate
from macgen.emulate.dispatch import KernelChoice, choose, choose_out
from macgen.emulate.random_numbers import RandomNumbers, States, dots_states, matmul_states, shifts_to_next
from macgen.emulate.value_range import magnitude_bound, products_bound, sums_are_exact
from macgen.errors import MacgenError, check_integer
from macgen.numerics import FloatFormat, Format, ScaleFormat
from macgen.numerics.arrays import plain_array
from macgen.spec import MacSpec, check_spec

Values = NDArray[np.float64]

_BLOCK_COLUMNS = 1024
_BLOCK_BYTES = 1 << 17  # of one array; the three to six of a block stay in a level-2 cache


def matmul(
    spec: MacSpec,
    A: ArrayLike,
    B: ArrayLike,
    threads: int | None = None,
    *,
    A_scales: ArrayLike | None = None,
    B_scales: ArrayLike | None = None,
) -> Values:
    """Return the product of two matrices as the array computes it, bit-equal to `golden.matmul` on their codes.

    Parameters:
        spec: the formats, roundings, overflow, chunk length and lanes; the shapes need not be the array's, which
            matters with stochastic rounding only.
        A: (M, K) values on the grid of `spec.a`, infinities and NaN where it has them.
        B: (K, N) values on the grid of `spec.b`.
        threads: how many blocks are computed at a time, at least 1; None: one per available processor.
        A_scales: (M, chunks) values on the grid of `spec.scale`, NaN too where it has it; None where the spec has no
            scales.
        B_scales: (chunks, N) values.

    Returns:
        (M, N) values of `spec.out_format`, the sign of zeros included (fixed point above 53 bits: the nearest doubles).

    Raises:
        MacgenError: the shapes do not fit or are empty, or a value is not on its format's grid.
    """
    check_spec(spec)
    a, b = _operand("A", A, spec.a), _operand("B", B, spec.b)
    if a.shape[1] != b.shape[0]:
        raise MacgenError(
            f"B has {b.shape[0]} rows and A {a.shape[1]} columns; accepted are A of shape (M, K) and B of shape (K, N)"
        )
    chunks = -(-a.shape[1] // (spec.chunk or a.shape[1]))
    scales = _scales(spec, (A_scales, (a.shape[0], chunks)), (B_scales, (chunks, b.shape[1])))
    threads = _thread_count(threads)
    bound = magnitude_bound(a, b) if _finite(a, b) else np.inf
    states = matmul_states(spec, a.shape[0], b.shape[1], a.shape[1]) if spec.random_bits else None
    if sums_are_exact(spec, bound) and _has_quick_out(spec):
        return _converted(spec, np.asarray(a @ b + 0.0), states)
    kernels = choose(spec, a.shape[1], bound, finite_scales=scales is None or _finite(*scales))
    if kernels is None or not _has_quick_out(spec):
        return scalar.matmul(spec, a, b, states, scales)
    return _converted(spec, _in_blocks(spec, kernels, *kernels.operands(a, b), scales, states, threads), states)


def dots(
    spec: MacSpec,
    A: ArrayLike,
    B: ArrayLike,
    threads: int | None = None,
    *,
    A_scales: ArrayLike | None = None,
    B_scales: ArrayLike | None = None,
) -> Values:
    """Return independent dot products, row by row, bit-equal to `golden.dot` on their codes.

    With stochastic rounding they are those of turn 0 of PE (0, 0), one after the other from a reset on.

    Parameters:
        spec: the formats, roundings, overflow, chunk length and lanes.
        A: (T, K) values on the grid of `spec.a`, infinities and NaN where it has them.
        B: (T, K) values on the grid of `spec.b`.
        threads: how many blocks of rows are computed at a time, at least 1; None: one per available processor.
        A_scales: (T, chunks) values on the grid of `spec.scale`; None where the spec has no scales.
        B_scales: (T, chunks) values.

    Returns:
        (T,) values of `spec.out_format`, as `matmul`'s.

    Raises:
        MacgenError: the shapes differ or are empty, or a value is not on its format's grid.
    """
    check_spec(spec)
    a, b = _operand("A", A, spec.a), _operand("B", B, spec.b)
    if a.shape != b.shape:
        raise MacgenError(f"B has the shape {b.shape} and A {a.shape}; accepted are equal shapes (T, K)")
    shape = len(a), -(-a.shape[1] // (spec.chunk or a.shape[1]))
    scales = _scales(spec, (A_scales, shape), (B_scales, shape))
    threads = _thread_count(threads)
    bound = products_bound(a, b) if _finite(a, b) else np.inf
    states = dots_states(spec, *a.shape) if spec.random_bits else None
    kernels = choose(spec, a.shape[1], bound, finite_scales=scales is None or _finite(*scales))
    if kernels is None or not _has_quick_out(spec):
        parts = [slice(t, t + 1) for t in range(len(a))]
        begins = [None if states is None else states[np.newaxis, t] for t in parts]
        of_parts = [None if scales is None else (scales[0][t], scales[1][t].T) for t in parts]
        sums = [
            scalar.matmul(spec, a[t], b[t].T, begin, some)
            for t, begin, some in zip(parts, begins, of_parts, strict=True)
        ]
        return np.concatenate([row[0] for row in sums])
    a, b = (np.ascontiguousarray(x.T) for x in kernels.operands(a, b))
    rows = min(_BLOCK_BYTES // a.itemsize, -(-a.shape[1] // threads))
    values = np.empty(a.shape[1])

    def compute(first: int) -> None:
        block = slice(first, first + rows)
        part_a, part_b = a[:, block], b[:, block]
        shape = (1, part_a.shape[1])

        def scale(chunk: int, sums: NDArray[Any]) -> NDArray[Any] | None:
            assert scales is not None
            return _scaled(kernels, sums, *(of_operand[block, chunk] for of_operand in scales))

        values[block] = accumulate(
            spec,
            kernels,
            shape,
            len(a),
            lambda k, out: np.multiply(part_a[k], part_b[k], out=out[0]),
            None if scales is None else scale,
            None if states is None else states[np.newaxis, block],
        )[0]

    _side_by_side([partial(compute, first) for first in range(0, len(values), rows)], threads)
    return _converted(spec, values, states)


def _has_quick_out(spec: MacSpec) -> bool:
    """Whether outer accumulators can be made results on arrays."""
    return spec.out_format == spec.outer_format or choose_out(spec) is not None


def _converted(spec: MacSpec, values: Values, states: States | None) -> Values:
    """Return outer accumulators as results."""
    if spec.out_format == spec.outer_format:
        return values
    make = choose_out(spec)
    assert make is not None
    random = None
    if states is not None and spec.random_place == "out":
        random = RandomNumbers(spec.random_bits, shifts_to_next(spec), states)()
    rounder = make((0, 0))
    results = values.astype(rounder.dtype)
    with np.errstate(all="ignore"):
        rounder.round(results, random)
    return results.astype(np.float64)


def _scales(
    spec: MacSpec, a: tuple[ArrayLike | None, tuple[int, int]], b: tuple[ArrayLike | None, tuple[int, int]]
) -> tuple[Values, Values] | None:
    """Return the scales of both operands, given with the shapes that they have to have."""
    checked = []
    for name, (values, shape) in (("A_scales", a), ("B_scales", b)):
        if (values is None) != (spec.scale is None):
            given = "missing" if values is None else "given, but the spec has no scale"
            wanted = "none" if spec.scale is None else f"values of {spec.scale} in the shape {shape}"
            raise MacgenError(f"{name} is {given}; accepted is {wanted}")
        if values is not None and spec.scale is not None:
            checked.append(_operand(name, values, spec.scale))
            if checked[-1].shape != shape:
                raise MacgenError(
                    f"{name} has the shape {checked[-1].shape}; accepted is {shape}, one scale for each chunk"
                )
    return (checked[0], checked[1]) if checked else None


def _finite(*operands: NDArray[np.float64]) -> bool:
    return all(bool(np.isfinite(x).all()) for x in operands)


def _thread_count(threads: int | None) -> int:
    if threads is None:
        return _available_processors()
    return check_integer("threads", threads, 1, also=", or none")


def _operand(name: str, values: ArrayLike, fmt: Format | ScaleFormat) -> Values:
    matrix = plain_array(name, values)
    if matrix.dtype.kind not in "biuf":
        raise MacgenError(f"{name} is not a matrix of real numbers; accepted are values on the grid of {fmt}")
    if matrix.ndim != 2 or 0 in matrix.shape:
        raise MacgenError(f"{name} has the shape {matrix.shape}; accepted are matrices with rows and columns")
    x = matrix.astype(np.float64, order="C", copy=False)
    if not (isinstance(fmt, FloatFormat) and _clearly_on_grid(x, fmt)):
        try:
            fmt.encode(x)
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


def _in_blocks(
    spec: MacSpec,
    kernels: KernelChoice,
    A: NDArray[Any],
    B: NDArray[Any],
    scales: tuple[Values, Values] | None,
    states: States | None,
    threads: int,
) -> Values:
    """Return the outer accumulators of operands in the kernels' type, (M, K) and (K, N), block by block of outputs."""
    if A.shape[0] > B.shape[1]:  # products commute, and long rows of outputs make long inner loops
        swapped = None if scales is None else (scales[1].T, scales[0].T)
        return _in_blocks(spec, kernels, B.T, A.T, swapped, None if states is None else states.T, threads).T
    A, B = np.ascontiguousarray(A.T), np.ascontiguousarray(B)
    m, n = A.shape[1], B.shape[1]
    columns = min(n, _BLOCK_COLUMNS)
    rows = max(1, min(_BLOCK_BYTES // (columns * A.itemsize), -(-m // threads)))
    values = np.empty((m, n))

    def compute(top: int, left: int) -> None:
        block = slice(top, top + rows), slice(left, left + columns)
        a, b = A[:, block[0]], B[:, block[1]]
        shape = a.shape[1], b.shape[1]

        def scale(chunk: int, sums: NDArray[Any]) -> NDArray[Any] | None:
            assert scales is not None
            return _scaled(kernels, sums, scales[0][block[0], chunk, np.newaxis], scales[1][chunk, block[1]])

        values[block] = accumulate(
            spec,
            kernels,
            shape,
            len(a),
            lambda k, out: np.multiply(a[k][:, np.newaxis], b[k], out=out),
            None if scales is None else scale,
            None if states is None else states[block],
        )

    corners = [(top, left) for left in range(0, n, columns) for top in range(0, m, rows)]
    _side_by_side([partial(compute, *corner) for corner in corners], threads)
    return values


def _scaled(kernels: KernelChoice, sums: NDArray[Any], first: Values, second: Values) -> NDArray[Any] | None:
    """Multiply chunk sums by both scales in place; return what remains of the products where the kernels split them."""
    np.multiply(sums, first, out=sums, casting="same_kind")
    if kernels.split:
        return long_products.multiply(sums, second)
    np.multiply(sums, second, out=sums, casting="same_kind")
    return None


def _side_by_side(jobs: Sequence[Callable[[], None]], threads: int) -> None:
    """Do jobs in threads; the first failure or interrupt drops those that have not begun."""
    with ThreadPoolExecutor(threads) as pool:
        futures = [pool.submit(job) for job in jobs]
        try:
            for future in futures:
                future.result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _available_processors() -> int:
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1
