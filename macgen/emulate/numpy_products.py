"""Matrix and dot products on NumPy's arrays, block by block, where a proved way is found."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from macgen.emulate.block import accumulate
from macgen.emulate.dispatch import KernelChoice, choose, choose_out
from macgen.emulate.random_numbers import RandomNumbers, States, shifts_to_next
from macgen.emulate.side_by_side import side_by_side
from macgen.emulate.value_range import magnitude_bound, products_bound, sums_are_exact
from macgen.spec import MacSpec

Values = NDArray[np.float64]
Scales = tuple[Values, Values]

_BLOCK_COLUMNS = 1024
_BLOCK_BYTES = 1 << 17  # of one array; the three to six of a block stay in a level-2 cache


def matmul(
    spec: MacSpec, a: Values, b: Values, scales: Scales | None, states: States | None, threads: int
) -> Values | None:
    """Return the product of (M, K) and (K, N) values as (M, N) ones; None where no way is proved.

    Parameters:
        spec: the array.
        a, b: values on their grids.
        scales: (M, chunks) and (chunks, N), where the spec has any.
        states: (M, N) of registers of random numbers, where it has any.
        threads: how many blocks are computed at a time.
    """
    if not _has_quick_out(spec):
        return None
    bound = magnitude_bound(a, b) if _finite(a, b) else np.inf
    if sums_are_exact(spec, bound):
        return _converted(spec, np.asarray(a @ b + 0.0), states)
    kernels = choose(spec, a.shape[1], bound, finite_scales=scales is None or _finite(*scales))
    if kernels is None:
        return None
    return _converted(spec, _in_blocks(spec, kernels, *kernels.operands(a, b), scales, states, threads), states)


def dots(
    spec: MacSpec, a: Values, b: Values, scales: Scales | None, states: States | None, threads: int
) -> Values | None:
    """Return the dot products of the rows of (T, K) values as (T,) ones; None where no way is proved.

    Parameters:
        spec: the array.
        a, b: values on their grids.
        scales: (T, chunks) each, where the spec has any.
        states: (T,) of registers of random numbers, where it has any.
        threads: how many blocks of rows are computed at a time.
    """
    if not _has_quick_out(spec):
        return None
    bound = products_bound(a, b) if _finite(a, b) else np.inf
    kernels = choose(spec, a.shape[1], bound, finite_scales=scales is None or _finite(*scales))
    if kernels is None:
        return None
    a, b = (np.ascontiguousarray(x.T) for x in kernels.operands(a, b))
    rows = min(_BLOCK_BYTES // a.itemsize, -(-a.shape[1] // threads))
    values = np.empty(a.shape[1])

    def compute(first: int) -> None:
        block = slice(first, first + rows)
        part_a, part_b = a[:, block], b[:, block]
        shape = (1, part_a.shape[1])

        def scale(chunk: int, sums: NDArray[Any]) -> None:
            for of_operand in scales or ():
                np.multiply(sums, of_operand[block, chunk], out=sums, casting="same_kind")

        values[block] = accumulate(
            spec,
            kernels,
            shape,
            len(a),
            lambda k, out: np.multiply(part_a[k], part_b[k], out=out[0]),
            None if scales is None else scale,
            None if states is None else states[np.newaxis, block],
        )[0]

    side_by_side([(compute, (first,)) for first in range(0, len(values), rows)], threads)
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


def _finite(*operands: Values) -> bool:
    return all(bool(np.isfinite(x).all()) for x in operands)


def _in_blocks(
    spec: MacSpec,
    kernels: KernelChoice,
    A: NDArray[Any],
    B: NDArray[Any],
    scales: Scales | None,
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

        def scale(chunk: int, sums: NDArray[Any]) -> None:
            assert scales is not None
            np.multiply(sums, scales[0][block[0], chunk, np.newaxis], out=sums, casting="same_kind")
            np.multiply(sums, scales[1][chunk, block[1]], out=sums, casting="same_kind")

        values[block] = accumulate(
            spec,
            kernels,
            shape,
            len(a),
            lambda k, out: np.multiply(a[k][:, np.newaxis], b[k], out=out),
            None if scales is None else scale,
            None if states is None else states[block],
        )

    side_by_side(
        [(compute, (top, left)) for left in range(0, n, columns) for top in range(0, m, rows)],
        threads,
    )
    return values
