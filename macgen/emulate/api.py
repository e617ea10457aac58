"""Matrix and dot products on values: checks, the choice of the fastest proved way, blocks and threads."""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from macgen.emulate import scalar
from macgen.emulate.fixed_adder import FixedAdder, FixedPlan
from macgen.emulate.float_adder import FloatAdder, FloatPlan
from macgen.emulate.products import magnitude_bound, products_bound, sums_are_exact
from macgen.emulate.random_numbers import RandomNumbers, States, dots_states, matmul_states
from macgen.errors import MacgenError
from macgen.numerics import FloatFormat, Format
from macgen.spec import MacSpec

_BLOCK_COLUMNS = 1024
_BLOCK_BYTES = 1 << 17  # of one array; the three to six of a block stay in a level-2 cache


class _Adder(Protocol):
    dtype: Any

    def step(self, acc: NDArray[Any], product: NDArray[Any], random: NDArray[Any] | None = None) -> None: ...

    def fold(self, outer: NDArray[Any], inner: NDArray[Any], random: NDArray[Any] | None = None) -> None: ...

    def values(self, acc: NDArray[Any]) -> NDArray[np.float64]: ...


_MakeAdder = Callable[[tuple[int, int]], _Adder]


def matmul(spec: MacSpec, A: ArrayLike, B: ArrayLike, threads: int | None = None) -> NDArray[np.float64]:
    """Return the product of two matrices as the array computes it, bit-equal to `golden.matmul` on their codes.

    Parameters:
        spec: the formats, rounding, overflow and chunk length; the shapes need not be the array's, which matters with
            stochastic rounding only.
        A: (M, K) values on the grid of `spec.a`, infinities and NaN where it has them.
        B: (K, N) values on the grid of `spec.b`.
        threads: how many blocks are computed at a time, at least 1; None: one per available processor.

    Returns:
        (M, N) values of `spec.acc`, the sign of zeros included (fixed point above 53 bits: the nearest doubles).

    Raises:
        MacgenError: the shapes do not fit or are empty, or a value is not on its operand's grid.
    """
    a, b = _operand("A", A, spec.a), _operand("B", B, spec.b)
    if a.shape[1] != b.shape[0]:
        raise MacgenError(
            f"B has {b.shape[0]} rows and A {a.shape[1]} columns; accepted are A of shape (M, K) and B of shape (K, N)"
        )
    threads = _thread_count(threads)
    bound = magnitude_bound(a, b) if _finite(a, b) else np.inf
    if sums_are_exact(spec, bound):
        return np.asarray(a @ b + 0.0)
    states = matmul_states(spec, a.shape[0], b.shape[1], a.shape[1]) if spec.random_bits else None
    if (way := _choose(spec, a.shape[1], bound)) is None:
        return scalar.matmul(spec, a, b, states)
    return _in_blocks(spec, way.make_adder, *way.operands(a, b), states, threads)


def dots(spec: MacSpec, A: ArrayLike, B: ArrayLike, threads: int | None = None) -> NDArray[np.float64]:
    """Return independent dot products, row by row, bit-equal to `golden.dot` on their codes.

    With stochastic rounding they are those of PE (0, 0), one after the other from a reset on.

    Parameters:
        spec: the formats, rounding, overflow and chunk length.
        A: (T, K) values on the grid of `spec.a`, infinities and NaN where it has them.
        B: (T, K) values on the grid of `spec.b`.
        threads: how many blocks of rows are computed at a time, at least 1; None: one per available processor.

    Returns:
        (T,) values of `spec.acc`, as `matmul`'s.

    Raises:
        MacgenError: the shapes differ or are empty, or a value is not on its operand's grid.
    """
    a, b = _operand("A", A, spec.a), _operand("B", B, spec.b)
    if a.shape != b.shape:
        raise MacgenError(f"B has the shape {b.shape} and A {a.shape}; accepted are equal shapes (T, K)")
    threads = _thread_count(threads)
    bound = products_bound(a, b) if _finite(a, b) else np.inf
    states = dots_states(spec, *a.shape) if spec.random_bits else None
    if (way := _choose(spec, a.shape[1], bound)) is None:
        parts = [slice(t, t + 1) for t in range(len(a))]
        begins = [None if states is None else states[np.newaxis, t] for t in parts]
        sums = [scalar.matmul(spec, a[t], b[t].T, begin) for t, begin in zip(parts, begins, strict=True)]
        return np.concatenate([row[0] for row in sums])
    a, b = (np.ascontiguousarray(x.T) for x in way.operands(a, b))
    rows = min(_BLOCK_BYTES // a.itemsize, -(-a.shape[1] // threads))
    values = np.empty(a.shape[1])

    def compute(first: int) -> None:
        block = slice(first, first + rows)
        part_a, part_b = a[:, block], b[:, block]
        shape = (1, part_a.shape[1])
        values[block] = _accumulate(
            spec,
            way.make_adder(shape),
            shape,
            len(a),
            lambda k, out: np.multiply(part_a[k], part_b[k], out=out[0]),
            None if states is None else states[np.newaxis, block],
        )[0]

    _side_by_side([partial(compute, first) for first in range(0, len(values), rows)], threads)
    return values


@dataclass(frozen=True)
class _Way:
    """A proved way to form sums: its adder, and how operands enter its arrays."""

    make_adder: _MakeAdder
    operands: Callable[[NDArray[np.float64], NDArray[np.float64]], tuple[NDArray[Any], NDArray[Any]]]


def _choose(spec: MacSpec, length: int, bound: float) -> _Way | None:
    """Return the fastest proved way, or None where none is; the bound is infinite where operands may be."""
    if isinstance(spec.acc, FloatFormat):
        float_plan = FloatPlan.choose(spec, length, bound)
        return None if float_plan is None else _Way(partial(FloatAdder, float_plan), float_plan.operands)
    fixed_plan = FixedPlan.choose(spec) if np.isfinite(bound) else None
    return None if fixed_plan is None else _Way(lambda _: FixedAdder(fixed_plan), fixed_plan.operands)


def _finite(*operands: NDArray[np.float64]) -> bool:
    return all(bool(np.isfinite(x).all()) for x in operands)


def _thread_count(threads: int | None) -> int:
    if threads is None:
        return _available_processors()
    if isinstance(threads, bool) or not isinstance(threads, int) or threads < 1:
        raise MacgenError(f"threads {threads!r} is not an integer from 1, or none")
    return threads


def _operand(name: str, values: ArrayLike, fmt: Format) -> NDArray[np.float64]:
    try:
        matrix = np.asarray(values)
        if matrix.dtype.kind not in "biuf":
            raise TypeError
    except (TypeError, ValueError):
        raise MacgenError(f"{name} is not a matrix of real numbers; accepted are values on the grid of {fmt}") from None
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
    spec: MacSpec, make_adder: _MakeAdder, A: NDArray[Any], B: NDArray[Any], states: States | None, threads: int
) -> NDArray[np.float64]:
    """Return the product of operands in the adder's type, (M, K) and (K, N), block by block of outputs."""
    if A.shape[0] > B.shape[1]:  # products commute, and long rows of outputs make long inner loops
        return _in_blocks(spec, make_adder, B.T, A.T, None if states is None else states.T, threads).T
    A, B = np.ascontiguousarray(A.T), np.ascontiguousarray(B)
    m, n = A.shape[1], B.shape[1]
    columns = min(n, _BLOCK_COLUMNS)
    rows = max(1, min(_BLOCK_BYTES // (columns * A.itemsize), -(-m // threads)))
    values = np.empty((m, n))

    def compute(top: int, left: int) -> None:
        block = slice(top, top + rows), slice(left, left + columns)
        a, b = A[:, block[0]], B[:, block[1]]
        shape = a.shape[1], b.shape[1]
        values[block] = _accumulate(
            spec,
            make_adder(shape),
            shape,
            len(a),
            lambda k, out: np.multiply(a[k][:, np.newaxis], b[k], out=out),
            None if states is None else states[block],
        )

    corners = [(top, left) for left in range(0, n, columns) for top in range(0, m, rows)]
    _side_by_side([partial(compute, *corner) for corner in corners], threads)
    return values


def _side_by_side(jobs: Sequence[Callable[[], None]], threads: int) -> None:
    """Do jobs in threads; the first failure or interrupt drops those that have not begun."""
    with ThreadPoolExecutor(threads) as pool:
        futures = [pool.submit(job) for job in jobs]
        try:
            for future in futures:
                future.result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _accumulate(
    spec: MacSpec,
    adder: _Adder,
    shape: tuple[int, int],
    length: int,
    multiply: Callable[[int, NDArray[Any]], object],
    states: States | None,
) -> NDArray[np.float64]:
    """Return one block of sums; `multiply(k, out)` writes the block's k-th products; states of random numbers."""
    random = (lambda: None) if states is None else RandomNumbers(spec.random_bits, states)
    chunk = spec.chunk or length
    inner, outer, product = (np.empty(shape, adder.dtype) for _ in range(3))
    with np.errstate(all="ignore"):  # infinities and NaN are wanted where they arise
        for start in range(0, length, chunk):
            inner.fill(0)
            for k in range(start, min(start + chunk, length)):
                multiply(k, product)
                adder.step(inner, product, random())
            if start == 0:
                outer[...] = inner
            else:
                adder.fold(outer, inner, random())
        return adder.values(outer)


def _available_processors() -> int:
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1
