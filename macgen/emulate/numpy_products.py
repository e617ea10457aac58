"""Matrix and dot products on NumPy's arrays, block by block, where a proved way is found."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from macgen.emulate import long_products
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
_CONVERTED_TOGETHER = 1 << 16


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
    if not has_quick_out(spec):
        return None
    bound = magnitude_bound(a, b) if _finite(a, b) else np.inf
    if sums_are_exact(spec, bound):
        return converted(spec, np.asarray(a @ b + 0.0), states)
    kernels = choose(spec, a.shape[1], bound, finite_scales=scales is None or _finite(*scales))
    if kernels is None:
        return None
    return converted(spec, _in_blocks(spec, kernels, *kernels.operands(a, b), scales, states, threads), states)


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
    if not has_quick_out(spec):
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

    side_by_side([(compute, (first,)) for first in range(0, len(values), rows)], threads)
    return converted(spec, values, states)


def has_quick_out(spec: MacSpec) -> bool:
    """Whether outer accumulators can be made results on arrays."""
    return spec.out_format == spec.outer_format or choose_out(spec) is not None


def converted(spec: MacSpec, values: Values, states: States | None) -> Values:
    """Return outer accumulators (1 or 2 axes) as results, in the same memory."""
    if spec.out_format == spec.outer_format:
        return values
    make = choose_out(spec)
    assert make is not None
    rounder = make((0, 0))
    random = states if spec.random_place == "out" else None
    lines, random_lines = np.atleast_2d(values), None if random is None else np.atleast_2d(random)
    if lines.strides[0] < lines.strides[1]:  # a transposed one
        lines, random_lines = lines.T, None if random_lines is None else random_lines.T
    columns = min(lines.shape[1], _CONVERTED_TOGETHER)
    rows = _CONVERTED_TOGETHER // columns
    for top in range(0, lines.shape[0], rows):
        for left in range(0, lines.shape[1], columns):
            block = slice(top, top + rows), slice(left, left + columns)
            numbers = None
            if random_lines is not None:
                numbers = RandomNumbers(spec.random_bits, shifts_to_next(spec), random_lines[block])()
            results = lines[block].astype(rounder.dtype)
            with np.errstate(all="ignore"):
                rounder.round(results, numbers)
            lines[block] = results
    return values


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

    side_by_side(
        [(compute, (top, left)) for left in range(0, n, columns) for top in range(0, m, rows)],
        threads,
    )
    return values


def _scaled(kernels: KernelChoice, sums: NDArray[Any], first: Values, second: Values) -> NDArray[Any] | None:
    """Multiply chunk sums by both scales in place; return what remains of the products where the kernels split them."""
    np.multiply(sums, first, out=sums, casting="same_kind")
    if kernels.split:
        return long_products.multiply(sums, second)
    np.multiply(sums, second, out=sums, casting="same_kind")
    return None
