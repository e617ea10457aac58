"""The random numbers of rounding outside the arrays: one shift register a source, as the arrays' PEs have them."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from macgen.errors import check_integer
from macgen.numerics import Lfsr

States = NDArray[np.uint32]

PLACE_OF_UPDATES = 1000
"""Of the source that rounds an optimizer's weights: beyond the columns of arrays, whose PEs begin at those before."""

PLACE_OF_OPERANDS = 1001
"""Of the first source that rounds operands of a layer."""


class RandomSource:
    """A rounding unit's register (docs/arithmetic.md section 7): each number takes as many shifts as it has bits.

    Parameters:
        bits: of each number, 1 to 32.
        seed: from 0; sources of different seeds or places begin at different places of the register's sequence, as PEs
            of different rows and columns do.
        place: from 0.

    Attributes:
        state: of the register; it may be set to what it was.
    """

    def __init__(self, bits: int, seed: int = 0, place: int = 0) -> None:
        self.bits = check_integer("random bits", bits, 1, 32)
        lfsr = Lfsr.of(bits)
        row, col = check_integer("seed", seed, 0) % lfsr.period, check_integer("place", place, 0) % lfsr.period
        self.state = lfsr.seed(row, col)

    def take(self, count: int) -> States:
        """Return the next numbers, in their order."""
        if count == 0:
            return np.empty(0, np.uint32)
        states = np.array([self.state], np.uint32)
        while len(states) <= count:  # each pass doubles them; one more than asked for is the next state
            later = _moved(self.bits, len(states) * self.bits, states[: count + 1 - len(states)])
            states = np.concatenate([states, later])
        self.state = int(states[count])
        return states[:count] & np.uint32((1 << self.bits) - 1)


def _moved(bits: int, shifts: int, states: States) -> States:
    low, high = _tables(bits, shifts)
    moved: States = low[states & np.uint32(0xFFFF)]
    np.bitwise_xor(moved, high[states >> np.uint32(16)], out=moved)
    return moved


@lru_cache(64)
def _tables(bits: int, shifts: int) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return what becomes of the low and the high half of a state: linear over GF(2)."""
    lfsr, halves = Lfsr.of(bits), []
    for low in (0, 16):
        table = np.zeros(1, np.uint32)
        for position in range(low, min(low + 16, lfsr.width)):
            table = np.concatenate([table, table ^ np.uint32(lfsr.advance(1 << position, shifts))])
        halves.append(table)
    return halves[0], halves[1]
