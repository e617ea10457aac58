"""The golden model as functions of a spec and codes, with their inputs checked."""

from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from macgen.errors import MacgenError, check_integer, shown
from macgen.golden.arguments import (
    as_integer,
    as_integers,
    as_matrix,
    check_scale_count,
    codes_of_lanes,
    numbers_before,
    place_of_pe,
    random_number,
    scale_rows,
    start_value,
    start_values,
)
from macgen.golden.draws import draws, random_numbers
from macgen.golden.model import Model, Tally
from macgen.numerics import Flags
from macgen.numerics.arrays import code_dtype
from macgen.numerics.events import EVENTS
from macgen.spec import MacSpec, check_spec
from macgen.spec_fields import RandomPlace

_FLAGS = tuple(Flags(bits) for bits in range(8))

_model = lru_cache(maxsize=64)(Model)


def step(
    spec: MacSpec,
    acc_code: int,
    a_code: int | Sequence[int],
    b_code: int | Sequence[int],
    random: int | None = None,
    a_scales: Sequence[int] = (),
    b_scales: Sequence[int] = (),
) -> tuple[int, Flags]:
    """Return one step of the accumulator, R(acc + a * b) (docs/arithmetic.md sections 2 to 4).

    Parameters:
        spec: the formats, rounding, overflow and lanes.
        acc_code: code of the accumulator before the step.
        a_code: code of the left operand, or up to as many as there are lanes.
        b_code: as many codes of right operands.
        random: where steps round at random the random number, 0 to 2**r - 1; else None.
        a_scales: with `scale_place = lanes` one code for each block of the lanes in use; else none.
        b_scales: as many.

    Returns:
        The accumulator's code after the step, and the flags that this step raises.

    Raises:
        MacgenError: a code is no integer or not one of its format's, the lanes or scales do not fit, or the random
            number does not fit the rounding.
    """
    check_spec(spec)
    acc = as_integer("acc_code", acc_code)
    a, b = (codes_of_lanes(spec, *named) for named in (("a_code", a_code), ("b_code", b_code)))
    if len(a) != len(b):
        raise MacgenError(f"b_code has {len(b)} codes and a_code {len(a)}; accepted are as many")
    scales = [as_integers(name, codes) for name, codes in (("a_scales", a_scales), ("b_scales", b_scales))]
    wanted = spec.scale_count(len(a)) if spec.scales_lanes else 0
    for name, codes in zip(("a_scales", "b_scales"), scales, strict=True):
        if len(codes) != wanted:
            raise MacgenError(f"{name} has {len(codes)} scales for a step; accepted are {wanted}, one for each block")
    code, flags = _model(spec).step(acc, a, b, random_number(spec, random, "steps"), *scales)
    return code, _FLAGS[flags]


def fold(
    spec: MacSpec,
    outer_code: int,
    inner_code: int,
    random: int | None = None,
    a_scale: int | None = None,
    b_scale: int | None = None,
) -> tuple[int, Flags]:
    """Return the sum R(outer + inner) of the outer accumulator and a chunk sum (docs/arithmetic.md sections 2 to 4).

    Parameters:
        spec: the accumulators' formats, roundings and overflow.
        outer_code: code of the sum of the chunks before, +0 where there are none.
        inner_code: code of the finished chunk's sum.
        random: as of `step`, where folds round at random.
        a_scale: code of the chunk's scale of a, where the spec has scales of chunks; else None.
        b_scale: code of its scale of b.

    Returns:
        The outer accumulator's code after the fold, and the flags that this fold raises.

    Raises:
        MacgenError: a code is no integer or not one of its format's, scales are missing or not the spec's, or the
            random number does not fit the rounding.
    """
    check_spec(spec)
    codes = as_integer("outer_code", outer_code), as_integer("inner_code", inner_code)
    scales: list[int | None] = []
    for name, scale in (("a_scale", a_scale), ("b_scale", b_scale)):
        if (scale is not None) != spec.scales_chunks:
            wanted = f"a code of {spec.scale}" if spec.scales_chunks else "none"
            raise MacgenError(f"{name} {shown(scale)} does not fit the spec; accepted is {wanted}")
        scales.append(None if scale is None else as_integer(name, scale))
    place: RandomPlace = "chunks" if spec.has_outer_adder else "steps"
    code, flags = _model(spec).fold(*codes, random_number(spec, random, place), *scales)
    return code, _FLAGS[flags]


def convert(spec: MacSpec, outer_code: int, random: int | None = None) -> tuple[int, Flags]:
    """Return the result that an outer accumulator's code becomes (docs/arithmetic.md section 2).

    Parameters:
        spec: the format of the results, rounding and overflow.
        outer_code: code of the outer accumulator.
        random: as of `step`, where results round at random.

    Returns:
        The code of the result, and the flags that the conversion raises.

    Raises:
        MacgenError: the code is no integer or not one of the format's, or the random number does not fit the rounding.
    """
    check_spec(spec)
    code, flags = _model(spec).convert(as_integer("outer_code", outer_code), random_number(spec, random, "out"))
    return code, _FLAGS[flags]


def dot(
    spec: MacSpec,
    a_codes: Iterable[int],
    b_codes: Iterable[int],
    pe: tuple[int, int] = (0, 0),
    start: int = 0,
    turn: int = 0,
    *,
    a_scales: Iterable[int] = (),
    b_scales: Iterable[int] = (),
    preload: int | None = None,
) -> tuple[int, Flags]:
    """Return a dot product, chunk by chunk (docs/arithmetic.md section 2).

    Parameters:
        spec: the formats, roundings, overflow, chunk length and lanes.
        a_codes: K codes of left operands.
        b_codes: K codes of right operands.
        pe: row and column of the PE whose random numbers stochastic rounding takes (section 7).
        start: random numbers that its register has given to this turn since the reset; see `draws`.
        turn: which of the interleaved accumulations it is.
        a_scales: one code for each chunk or, with `scale_place = lanes`, block, where the spec has scales; else none.
        b_scales: as many.
        preload: code of the start value, of the outer accumulator's format, where the spec has preloaded accumulators;
            else None (section 11).

    Returns:
        The result's code, and the sticky flags.

    Raises:
        MacgenError: K is 0, the lengths differ, a code is no integer or not one of its format's, or there is no such
            PE, start or turn.
    """
    return _dot(spec, a_codes, b_codes, pe, start, turn, a_scales, b_scales, None, preload)


def dot_counts(
    spec: MacSpec,
    a_codes: Iterable[int],
    b_codes: Iterable[int],
    pe: tuple[int, int] = (0, 0),
    start: int = 0,
    turn: int = 0,
    *,
    a_scales: Iterable[int] = (),
    b_scales: Iterable[int] = (),
    preload: int | None = None,
) -> tuple[int, Flags, NDArray[np.int64]]:
    """Return a dot product as `dot` does, and what is counted of its additions (docs/arithmetic.md section 9).

    Parameters and errors: see `dot`.

    Returns:
        The result's code, the sticky flags, and (2, 3) counts: of steps and folds those that are saturated, flushed,
        swamped.
    """
    tally = _empty_tally()
    code, flags = _dot(spec, a_codes, b_codes, pe, start, turn, a_scales, b_scales, tally, preload)
    return code, flags, np.array(tally)


def _dot(
    spec: MacSpec,
    a_codes: Iterable[int],
    b_codes: Iterable[int],
    pe: tuple[int, int],
    start: int,
    turn: int,
    a_scales: Iterable[int],
    b_scales: Iterable[int],
    tally: Tally | None,
    preload: int | None,
) -> tuple[int, Flags]:
    check_spec(spec)
    a, b = as_integers("a_codes", a_codes), as_integers("b_codes", b_codes)
    if len(a) != len(b):
        raise MacgenError(f"b_codes has {len(b)} codes and a_codes {len(a)}; accepted are sequences of equal length")
    if not a:
        raise MacgenError("a_codes and b_codes are empty; accepted are dot products of at least one product")
    scales = [as_integers(name, codes) for name, codes in (("a_scales", a_scales), ("b_scales", b_scales))]
    for name, codes in zip(("a_scales", "b_scales"), scales, strict=True):
        check_scale_count(spec, name, len(codes), len(a))
    turn = check_integer("turn", turn, 0, spec.interleave - 1)
    row, col = place_of_pe(pe)
    numbers = random_numbers(spec, (0 if spec.random_place == "out" else row, col), numbers_before(start), turn)
    a_codes_of_scales, b_codes_of_scales = scales
    code, flags = _model(spec).dot(
        a, b, numbers, a_codes_of_scales, b_codes_of_scales, tally, start_value(spec, preload)
    )
    return code, _FLAGS[flags]


def matmul(
    spec: MacSpec,
    A: ArrayLike,
    B: ArrayLike,
    start: int = 0,
    *,
    A_scales: ArrayLike | None = None,
    B_scales: ArrayLike | None = None,
    preload: ArrayLike | None = None,
) -> tuple[NDArray[Any], NDArray[np.uint8]]:
    """Return the product of two matrices of codes, each element by `dot`.

    With stochastic rounding the elements come tile by tile of rows x cols, row by row of tiles, `interleave` tiles at a
    time, from the PEs of the array (docs/arithmetic.md section 7).

    Parameters:
        spec: the formats, roundings, overflow, chunk length and lanes; the shapes need not be the array's.
        A: (M, K) codes of left operands, nested sequences or an integer array.
        B: (K, N) codes of right operands.
        start: random numbers that each register has given to each turn since the reset; see `draws`.
        A_scales: (M, chunks) codes or, with `scale_place = lanes`, (M, blocks), where the spec has scales; else None.
        B_scales: (chunks, N) or (blocks, N) codes.
        preload: (M, N) codes of start values, of the outer accumulator's format, where the spec has preloaded
            accumulators; else None.

    Returns:
        (M, N) codes in the smallest unsigned NumPy type that holds them (Python integers above 64 bits), and
        (M, N) flags.

    Raises:
        MacgenError: the shapes do not fit or are empty, a code is no integer or not one of its format's, or there is no
            such start.
    """
    codes, flags, _ = _matmul(spec, A, B, start, A_scales, B_scales, preload, counts=False)
    return codes, flags


def matmul_counts(
    spec: MacSpec,
    A: ArrayLike,
    B: ArrayLike,
    start: int = 0,
    *,
    A_scales: ArrayLike | None = None,
    B_scales: ArrayLike | None = None,
    preload: ArrayLike | None = None,
) -> tuple[NDArray[Any], NDArray[np.uint8], NDArray[np.int64]]:
    """Return a product as `matmul` does, and what is counted of its additions (docs/arithmetic.md section 9).

    Parameters and errors: see `matmul`.

    Returns:
        (M, N) codes, (M, N) flags, and (M, N, 2, 3) counts: of steps and folds those that are saturated, flushed,
        swamped.
    """
    return _matmul(spec, A, B, start, A_scales, B_scales, preload, counts=True)


def _matmul(
    spec: MacSpec,
    A: ArrayLike,
    B: ArrayLike,
    start: int,
    A_scales: ArrayLike | None,
    B_scales: ArrayLike | None,
    preload: ArrayLike | None,
    *,
    counts: bool,
) -> tuple[NDArray[Any], NDArray[np.uint8], NDArray[np.int64]]:
    check_spec(spec)
    a, b = as_matrix("A", A), as_matrix("B", B)
    if a.shape[1] != b.shape[0]:
        raise MacgenError(
            f"B has {b.shape[0]} rows and A {a.shape[1]} columns; accepted are A of shape (M, K) and B of shape (K, N)"
        )
    model = _model(spec)
    a_rows = [as_integers("A", row) for row in a.tolist()]
    b_columns = [as_integers("B", column) for column in b.T.tolist()]
    a_scales = scale_rows(spec, "A_scales", A_scales, len(a_rows), a.shape[1])
    b_scales = scale_rows(spec, "B_scales", B_scales, len(b_columns), a.shape[1])
    starts = start_values(spec, preload, (len(a_rows), len(b_columns)))
    codes = np.empty((len(a_rows), len(b_columns)), dtype=code_dtype(spec.out_format.width))
    flags = np.empty(codes.shape, dtype=np.uint8)
    counted = np.zeros((*codes.shape, 2, 3), dtype=np.int64)
    done, of_tile, tile_columns = numbers_before(start), draws(spec, a.shape[1]), -(-len(b_columns) // spec.cols)
    for m, row in enumerate(a_rows):
        tile_row, pe_row = divmod(m, spec.rows)
        for n, column in enumerate(b_columns):
            tile_column, pe_column = divmod(n, spec.cols)
            tiles_before, turn = divmod(tile_row * tile_columns + tile_column, spec.interleave)
            before = done + tiles_before * of_tile
            if spec.random_place == "out":
                numbers = random_numbers(spec, (0, pe_column), before + pe_row, turn)
            else:
                numbers = random_numbers(spec, (pe_row, pe_column), before, turn)
            tally = _empty_tally() if counts else None
            operands = (row, column, numbers, a_scales[m], b_scales[n])
            codes[m, n], flags[m, n] = model.dot(*operands, tally, starts[m][n])
            if tally is not None:
                counted[m, n] = tally
    return codes, flags, counted


def _empty_tally() -> Tally:
    return [0] * len(EVENTS), [0] * len(EVENTS)
