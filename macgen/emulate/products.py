"""Matrix and dot products on values: checks, and the choice between what computes them."""

from typing import Any, Literal, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from macgen.emulate import exact, numpy_products, scalar, vectors
from macgen.emulate.call import Call, matrix_of_values, on_grid, scales_of_chunks, start_values
from macgen.emulate.counts import Counts
from macgen.emulate.operands import Operand
from macgen.emulate.random_numbers import States, numbers_of_matmul
from macgen.emulate.side_by_side import available_processors
from macgen.errors import MacgenError, check_flag, check_integer
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
    taken: int = 0,
    preload: ArrayLike | None = None,
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
    taken: int = 0,
    preload: ArrayLike | None = None,
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
    taken: int = 0,
    preload: ArrayLike | None = None,
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
    taken: int = 0,
    preload: ArrayLike | None = None,
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
    taken: int = 0,
    preload: ArrayLike | None = None,
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
        taken: with stochastic rounding, how many random numbers each register has given before, as in an array that
            has computed other products since its reset; `numbers_taken` counts those of a product.
        preload: (M, N) start values on the grid of the outer accumulator's format, where the spec has preloaded
            accumulators; else None. Such products are computed one by one in Python.

    Returns:
        (M, N) values of `spec.out_format`, the sign of zeros included (fixed point above 53 bits: the nearest doubles).
        With `flags` a tuple of these and (M, N) bits of `numerics.Flags`; with `counts` `Counts` are its last member.

    Raises:
        MacgenError: the shapes do not fit or are empty, a value is not on its format's grid, or memory does not
            suffice.
    """
    check_spec(spec)
    a, b = matrix_of_values("A", A, spec.a), matrix_of_values("B", B, spec.b)
    if a.shape[1] != b.shape[0]:
        raise MacgenError(
            f"B has {b.shape[0]} rows and A {a.shape[1]} columns; accepted are A of shape (M, K) and B of shape (K, N)"
        )
    count = spec.scale_count(a.shape[1])
    scales = scales_of_chunks(spec, (A_scales, (a.shape[0], count)), (B_scales, (count, b.shape[1])))
    starts = start_values(spec, preload, (a.shape[0], b.shape[1]))
    call = Call(spec, a, b.T, *scales, pairwise=False, taken=check_integer("taken", taken, 0), preload=starts)
    return _results(call, threads, flags=flags, counts=counts)


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
    taken: int = 0,
    preload: ArrayLike | None = None,
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
    taken: int = 0,
    preload: ArrayLike | None = None,
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
    taken: int = 0,
    preload: ArrayLike | None = None,
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
    taken: int = 0,
    preload: ArrayLike | None = None,
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
    taken: int = 0,
    preload: ArrayLike | None = None,
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
        taken: as of `matmul`.
        preload: (T,) start values; see `matmul`.

    Returns:
        (T,) values of `spec.out_format`, flags and counts as of `matmul`.

    Raises:
        MacgenError: the shapes differ or are empty, a value is not on its format's grid, or memory does not suffice.
    """
    check_spec(spec)
    a, b = matrix_of_values("A", A, spec.a), matrix_of_values("B", B, spec.b)
    if a.shape != b.shape:
        raise MacgenError(f"B has the shape {b.shape} and A {a.shape}; accepted are equal shapes (T, K)")
    shape = len(a), spec.scale_count(a.shape[1])
    a_scales, b_scales = scales_of_chunks(spec, (A_scales, shape), (B_scales, shape))
    turned = None if b_scales is None else b_scales.T
    starts = start_values(spec, preload, (len(a),))
    call = Call(spec, a, b, a_scales, turned, pairwise=True, taken=check_integer("taken", taken, 0), preload=starts)
    return _results(call, threads, flags=flags, counts=counts)


def numbers_taken(spec: MacSpec, rows: int, cols: int, length: int) -> int:
    """Return how many random numbers a matrix product takes from each register: 0 without stochastic rounding.

    Parameters:
        spec: the array.
        rows, cols: of the results.
        length: of the dot products.

    Raises:
        MacgenError: one is no positive integer.
    """
    check_spec(spec)
    sizes = {"rows": rows, "cols": cols, "length": length}
    checked = [check_integer(name, size, 1) for name, size in sizes.items()]
    return numbers_of_matmul(spec, *checked) if spec.random_bits else 0


def _results(call: Call, threads: int | None, *, flags: bool, counts: bool) -> Any:
    """Return results as the caller asked for them."""
    threads, flags, counts = _thread_count(threads), check_flag("flags", flags), check_flag("counts", counts)
    parts = list(call.parts())
    try:
        if len(parts) == 1:
            values, raised, counted = _part_results(call, threads, flags=flags, counts=counts)
        else:
            values, raised, counted = np.empty(call.shape), np.empty(call.shape, np.uint8) if flags else None, Counts()
            for part in parts:
                rows = slice(part.first, part.first + len(part.a))
                values[rows], of_rows, some = _part_results(part, threads, flags=flags, counts=counts)
                if raised is not None and of_rows is not None:
                    raised[rows] = of_rows
                counted += some or Counts()
    except MemoryError:
        raise MacgenError(
            f"A and B give results of the shape {call.shape}, for which memory does not suffice; accepted are matrices "
            f"of which it does"
        ) from None
    except MacgenError:
        for name, matrix, fmt in call.named() if len(parts) > 1 else []:
            on_grid(name, matrix, fmt)  # says where in all of it
        raise
    if not (flags or counts):
        return values
    return (values, *([raised] if flags else []), *([counted] if counts else []))


def _part_results(
    call: Call, threads: int, *, flags: bool, counts: bool
) -> tuple[Values, FlagBits | None, Counts | None]:
    """Return results, with flags and counts if asked for."""
    states = call.states()
    if not (flags or counts or call.spec.preload):
        values = _vector_results(call, states, threads)
        if values is None and exact.kernel(call.spec) is None:
            values = _quick_results(call, states, threads)
        if values is not None:
            return values, None, None
    return _all_results(call, states, threads, flags=flags, counts=counts)


def _vector_results(call: Call, states: States | None, threads: int) -> Values | None:
    """Return results of vector kernels; None where they cannot be had, or a value is to be looked at closer."""
    spec, scales = call.spec, None
    if spec.bulk_bits is not None or not numpy_products.has_quick_out(spec):
        return None
    if call.a_scales is not None and call.b_scales is not None and spec.scale is not None:
        scales = on_grid("A_scales", call.a_scales, spec.scale), on_grid("B_scales", call.b_scales, spec.scale).T
    if states is not None and call.pairwise:
        states = states[np.newaxis]
    operands = Operand(call.a, spec.a), Operand(call.b, spec.b)
    try:
        values = vectors.compute(vectors.Problem(spec, *operands, call.pairwise, scales, states, threads))
    except vectors.OffGridError:
        on_grid("A", call.a, spec.a)
        on_grid("B", call.b if call.pairwise else call.b.T, spec.b)
        return None
    if values is None:
        return None
    results = numpy_products.converted(spec, values, states)
    return results[0] if call.pairwise else results


def _quick_results(call: Call, states: States | None, threads: int) -> Values | None:
    """Return results without flags and counts in NumPy; None where no quick way is proved."""
    spec = call.spec
    a, b = on_grid("A", call.a, spec.a), on_grid("B", call.b if call.pairwise else call.b.T, spec.b)
    scales = None
    if call.a_scales is not None and call.b_scales is not None and spec.scale is not None:
        b_scales = call.b_scales.T if call.pairwise else call.b_scales
        scales = on_grid("A_scales", call.a_scales, spec.scale), on_grid("B_scales", b_scales, spec.scale)
    of_shape = numpy_products.dots if call.pairwise else numpy_products.matmul
    return of_shape(spec, a, b, scales, states, threads)


def _all_results(
    call: Call, states: States | None, threads: int, *, flags: bool, counts: bool
) -> tuple[Values, FlagBits | None, Counts | None]:
    """Return results of any spec, with flags and counts if asked for: compiled, or else in Python."""
    spec, library = call.spec, exact.kernel(call.spec)
    given = call.named()
    if library is None:
        a, b, *scales = [on_grid(*of) for of in given]
        if not call.pairwise:
            b, scales = b.T, [scales[0], scales[1].T] if scales else []
        of_rows = (scales[0], scales[1]) if scales else None
        return scalar.dot_products(spec, a, b, of_rows, states, call.preload, pairwise=call.pairwise)
    for name, matrix, fmt in given:
        if not exact.is_on_grid(library, matrix, fmt):
            on_grid(name, matrix, fmt)
            raise AssertionError(f"a value of {name} is on the grid of {fmt}, but the kernel refuses it")
    operands = exact.Operands(call.a, call.b, call.a_scales, None if call.b_scales is None else call.b_scales.T)
    return exact.dot_products(
        library,
        spec,
        operands,
        states,
        call.preload,
        pairwise=call.pairwise,
        threads=threads,
        flags=flags,
        counts=counts,
    )


def _thread_count(threads: int | None) -> int:
    if threads is None:
        return available_processors()
    return check_integer("threads", threads, 1, also=", or none")
