"""What the array must answer, by the golden model, packed into beats as they stand on the wires."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from macgen import golden
from macgen.numerics.flags import FLAG_BITS
from macgen.spec import MacSpec
from sim.operands import Tile, distinct


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
    """The results of one tile.

    Attributes:
        tile: the operands.
        codes: (rows, cols) result codes.
        flags: (rows, cols) flags.
        beats: the data and flags words of each output beat, row 0 first.
    """

    tile: Tile
    codes: NDArray[Any]
    flags: NDArray[Any]
    beats: tuple[tuple[int, int], ...]


def golden_steps(spec: MacSpec, tile: Tile) -> int:
    """Return the golden steps that a tile's expectation takes."""
    return tile.a.shape[0] * tile.b.shape[1] * tile.length if spec.random_bits else tile.steps


def expected(spec: MacSpec, tile: Tile, start: int = 0) -> Expected:
    """Return what the golden model says of a tile, each PE having done some additions since the reset."""
    if spec.random_bits:  # no two PEs take the same random numbers
        return from_results(spec, tile, *golden.matmul(spec, tile.a, tile.b, start))
    rows, row_of = distinct(tile.a)
    cols, col_of = distinct(tile.b.T)
    where = np.ix_(row_of, col_of)
    codes, flags = golden.matmul(spec, tile.a[rows], tile.b[:, cols])
    return from_results(spec, tile, codes[where], flags[where])


def from_results(spec: MacSpec, tile: Tile, codes: NDArray[Any], flags: NDArray[Any]) -> Expected:
    """Return a tile's expectation from results that are known already."""
    data_words = pack_columns(codes.T, spec.acc.width)
    flag_words = pack_columns(flags.T, FLAG_BITS)
    return Expected(tile, codes, flags, tuple(zip(data_words, flag_words, strict=True)))
