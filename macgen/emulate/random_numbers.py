"""The random numbers of many PEs at a time (docs/arithmetic.md section 7): states of their registers as arrays."""

from collections.abc import Callable
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from macgen.numerics import Lfsr
from macgen.spec import MacSpec

States = NDArray[np.uint32]
"""States of shift registers, one for each result."""


def draws(spec: MacSpec, length: int) -> int:
    """Return how many numbers a turn takes from each register for a tile of dot products of a length."""
    if spec.random_place == "out":
        return spec.rows
    chunk = spec.chunk or length
    whole, rest = divmod(length, chunk)
    chunks = whole + (rest > 0)
    if spec.random_place == "chunks":
        return chunks
    folds = 0
    if spec.chunk is not None and not spec.has_outer_adder:
        folds = chunks if spec.preload else chunks - 1
    return whole * -(-chunk // spec.lanes) + -(-rest // spec.lanes) + folds


def matmul_states(spec: MacSpec, rows: int, cols: int, length: int, first: int = 0) -> States:
    """Return the states with which some rows of results of a matrix product begin.

    Parameters:
        spec: with random numbers.
        rows, cols: of the results.
        length: of the dot products.
        first: row of the product with which these begin, a multiple of `band`.
    """
    lfsr = Lfsr.of(spec.random_bits)
    number, turns = shifts_to_next(spec), spec.interleave
    tile_rows, tile_cols = -(-rows // spec.rows), -(-cols // spec.cols)
    used = min(spec.rows, rows), min(spec.cols, cols)
    if spec.random_place == "out":  # a column's register serves its rows one after the other
        top = np.array([lfsr.seed(0, col) for col in range(used[1])], np.uint32)
        seeds = _following(lfsr, top, number, used[0])
    else:
        seeds = np.array([[lfsr.seed(row, col) for col in range(used[1])] for row in range(used[0])], np.uint32)
    between = number * draws(spec, length)
    seeds = _map(lfsr, between * (first // band(spec)) * tile_cols)(seeds)  # the rounds before
    rounds = -(-tile_rows * tile_cols // turns)
    states = _following(lfsr, seeds, between, rounds)  # (round, PE row, PE column)
    states = _following(lfsr, states, spec.random_bits, turns).swapaxes(0, 1)  # (round, turn, PE row, PE column)
    tiles = states.reshape(-1, *used)[: tile_rows * tile_cols].reshape(tile_rows, tile_cols, *used)
    ordered = tiles.swapaxes(1, 2).reshape(tile_rows * used[0], tile_cols * used[1])
    return np.ascontiguousarray(ordered[:rows, :cols])


def later(spec: MacSpec, states: States, taken: int) -> States:
    """Return the states of registers after so many more numbers from each."""
    if not taken:
        return states
    move = _map.__wrapped__(Lfsr.of(spec.random_bits), shifts_to_next(spec) * taken)  # once only: it is not kept
    return np.asarray(move(states))


def numbers_of_matmul(spec: MacSpec, rows: int, cols: int, length: int) -> int:
    """Return how many numbers a matrix product takes from each register."""
    tiles = -(-rows // spec.rows) * -(-cols // spec.cols)
    return -(-tiles // spec.interleave) * draws(spec, length)


def band(spec: MacSpec) -> int:
    """Return of how many rows of results whole rounds of tiles are made: all turns take a row of tiles each."""
    return spec.rows * spec.interleave


def dots_states(spec: MacSpec, count: int, length: int, first: int = 0) -> States:
    """Return the states with which dot products begin, from the `first` one on, that turn 0 of PE (0, 0) computes one
    after the other."""
    lfsr, shifts = Lfsr.of(spec.random_bits), shifts_to_next(spec) * draws(spec, length)
    return _following(lfsr, np.uint32(lfsr.advance(lfsr.seed(0, 0), shifts * first)), shifts, count)


def shifts_to_next(spec: MacSpec) -> int:
    """Return how far a register moves from one number to the next of the same turn."""
    return spec.random_bits * spec.interleave


class RandomNumbers:
    """The random numbers of one block of results, one for each at a time.

    Parameters:
        bits: of each number.
        shifts: from one number to the next.
        states: with which the results begin.
    """

    def __init__(self, bits: int, shifts: int, states: States) -> None:
        self._states = states
        self._mask = np.uint32((1 << bits) - 1)
        self._advance = _map(Lfsr.of(bits), shifts)

    def __call__(self) -> States:
        """Return the next numbers."""
        numbers = self._states & self._mask
        self._states = self._advance(self._states)
        return numbers


def _following(lfsr: Lfsr, first: States | np.uint32, shifts: int, count: int) -> States:
    """Return (count, ...) states: the first ones, those a number of shifts later, and so on."""
    states = np.array([first], np.uint32)
    while len(states) < count:  # each pass doubles them
        later = _map(lfsr, shifts * len(states))(states[: count - len(states)])
        states = np.concatenate([states, later])
    return states


@lru_cache(48)  # of half a megabyte each; products of one shape ask for the same ones
def _map(lfsr: Lfsr, shifts: int) -> Callable[[States], States]:
    """Return the map of states that a number of shifts is: linear over GF(2), a table for each half of the bits."""
    halves = []
    for low in (0, 16):
        table = np.zeros(1, np.uint32)
        for position in range(low, min(low + 16, lfsr.width)):
            table = np.concatenate([table, table ^ np.uint32(lfsr.advance(1 << position, shifts))])
        halves.append(table)
    low_half, high_half = halves

    def apply(states: States) -> States:
        moved: States = low_half[states & np.uint32(0xFFFF)]
        np.bitwise_xor(moved, high_half[states >> np.uint32(16)], out=moved)
        return moved

    return apply
