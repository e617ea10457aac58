"""What the array must answer, by the golden model, packed into beats as they stand on the wires."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from macgen import golden
from macgen.numerics.arrays import code_dtype
from macgen.numerics.events import ADDITIONS, EVENTS
from macgen.numerics.flags import FLAG_BITS
from macgen.spec import MacSpec
from sim.modes import results_on_wires
from sim.operands import Tile

COUNTS = (len(ADDITIONS), len(EVENTS))
"""The shape of what is counted of a dot product."""


def pack(lanes: Iterable[int], bits: int) -> int:
    """Return lanes as one integer, lane 0 in the lowest bits."""
    return sum(int(code) << (lane * bits) for lane, code in enumerate(lanes))


def unpack(word: int, bits: int, lanes: int) -> list[int]:
    """Return the lanes of one integer."""
    return [word >> (lane * bits) & ((1 << bits) - 1) for lane in range(lanes)]


def pack_columns(codes: NDArray[Any], bits: int) -> list[int]:
    """Return each column of a matrix of codes as one integer, row 0 in the lowest bits; shape (lanes, K) to K."""
    words = np.zeros(codes.shape[1], dtype=object)
    for lane, row in enumerate(codes):
        words += row.astype(object) << (lane * bits)
    return [int(word) for word in words]


@dataclass(frozen=True)
class Expected:
    """The results of the tiles that an array computes at a time.

    Attributes:
        tiles: the operands, a tile for each turn; all are of one mode.
        codes: (turns, rows, cols) result codes.
        flags: (turns, rows, cols) flags.
        counts: (turns, rows, cols, 2, 3) counts of events of steps and folds; None where the array has no counters.
        beats: the data and flags words of each output beat, row 0 first, and of each row turn 0.
    """

    tiles: tuple[Tile, ...]
    codes: NDArray[Any]
    flags: NDArray[Any]
    beats: tuple[tuple[int, int], ...]
    counts: NDArray[np.int64] | None = None


def golden_steps(spec: MacSpec, tile: Tile) -> int:
    """Return the golden steps that a tile's expectation takes."""
    alike = not (spec.random_bits or spec.preload)
    return tile.steps if alike else tile.a.shape[0] * tile.b.shape[1] * tile.length


def expected(spec: MacSpec, tiles: Sequence[Tile], start: int = 0) -> Expected:
    """Return what the golden model says of tiles, each register having given some numbers to each turn before."""
    array, spec = spec, spec.mode(tiles[0].mode)
    results = [_one_by_one(spec, tile, start, turn) if spec.random_bits else _distinct_ones(spec, tile)
               for turn, tile in enumerate(tiles)]  # fmt: skip
    codes, flags, counts = (np.stack(parts) for parts in zip(*results, strict=True))
    codes = results_on_wires(codes, spec.out_format, array.out_format)
    return from_results(array, tiles, codes, flags, counts)


Results = tuple[NDArray[Any], NDArray[np.uint8], NDArray[np.int64]]
"""Codes, flags and, of an array with counters, counts."""


def _distinct_ones(spec: MacSpec, tile: Tile) -> Results:
    """Return results, equal rows and columns computed once."""
    if spec.preload:
        return product(spec, tile.a, tile.b, tile.a_scales, tile.b_scales, starts_of(spec, tile))
    (rows, row_of), (cols, col_of) = tile.distinct_rows, tile.distinct_columns
    a_scales = None if tile.a_scales is None else tile.a_scales[rows]
    b_scales = None if tile.b_scales is None else tile.b_scales[:, cols]
    codes, flags, counts = product(spec, tile.a[rows], tile.b[:, cols], a_scales, b_scales)
    where = np.ix_(row_of, col_of)
    return codes[where], flags[where], counts[where]


def starts_of(spec: MacSpec, tile: Tile) -> NDArray[Any]:
    """Return the codes of a tile's start values, +0 where it says none."""
    if tile.starts is not None:
        return tile.starts
    return np.full((tile.a.shape[0], tile.b.shape[1]), spec.outer_format.zero_code(), dtype=object)


def product(
    spec: MacSpec,
    a: NDArray[Any],
    b: NDArray[Any],
    a_scales: NDArray[Any] | None,
    b_scales: NDArray[Any] | None,
    starts: NDArray[Any] | None = None,
) -> Results:
    """Return golden's product; without counters its counts are 0."""
    if spec.counters is not None:
        return golden.matmul_counts(spec, a, b, A_scales=a_scales, B_scales=b_scales)
    codes, flags = golden.matmul(spec, a, b, A_scales=a_scales, B_scales=b_scales, preload=starts)
    return codes, flags, np.zeros((*codes.shape, *COUNTS), np.int64)


def _one_by_one(spec: MacSpec, tile: Tile, start: int, turn: int) -> Results:
    """Return results; no two PEs take the same random numbers."""
    shape = tile.a.shape[0], tile.b.shape[1]
    codes, flags = np.empty(shape, dtype=code_dtype(spec.out_format.width)), np.empty(shape, dtype=np.uint8)
    counts = np.zeros((*shape, *COUNTS), np.int64)
    starts = starts_of(spec, tile) if spec.preload else None
    for row, col in np.ndindex(shape):
        scales: dict[str, Any] = {}
        if tile.a_scales is not None and tile.b_scales is not None:
            scales = {"a_scales": tile.a_scales[row].tolist(), "b_scales": tile.b_scales[:, col].tolist()}
        if starts is not None:
            scales["preload"] = int(starts[row, col])
        # The register of a column's conversion gives a number for each row.
        before = start + row if spec.random_place == "out" else start
        operands = (spec, tile.a[row], tile.b[:, col], (row, col), before, turn)
        if spec.counters is None:
            codes[row, col], flags[row, col] = golden.dot(*operands, **scales)
        else:
            codes[row, col], flags[row, col], counts[row, col] = golden.dot_counts(*operands, **scales)
    return codes, flags, counts


def from_results(
    spec: MacSpec,
    tiles: Sequence[Tile],
    codes: NDArray[Any],
    flags: NDArray[Any],
    counts: NDArray[np.int64] | None = None,
) -> Expected:
    """Return the expectation of tiles whose results, (turns, rows, cols), are known already."""
    in_order = [values.swapaxes(0, 1).reshape(-1, values.shape[2]) for values in (codes, flags)]
    data_words = pack_columns(in_order[0].T, spec.out_format.width)
    flag_words = pack_columns(in_order[1].T, FLAG_BITS)
    of_counters = None if spec.counters is None else counts
    return Expected(tuple(tiles), codes, flags, tuple(zip(data_words, flag_words, strict=True)), of_counters)
