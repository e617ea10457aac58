"""The random numbers of stochastic rounding: shift by shift from the contract's words, and their statistics."""

import itertools
from math import isqrt

import numpy as np
import pytest

from macgen.numerics import Lfsr

WIDTHS = {19: [524287], 32: [3, 5, 17, 257, 65537]}
"""Prime factors of the period."""

SOURCES = {
    19: ((19, 18, 17, 14), 0x779B9, 427627, 247695),
    32: ((32, 30, 26, 25), 0x9E3779B9, 3242174888, 2447445413),
}


def shifted(state, width):
    """Return the state after a shift, position by position."""
    positions = {i: state >> (i - 1) & 1 for i in range(1, width + 1)}
    new = sum(positions[tap] for tap in SOURCES[width][0]) % 2
    moved = {1: new} | {i + 1: positions[i] for i in range(1, width)}
    return sum(bit << (i - 1) for i, bit in moved.items())


def numbers(bits, count, row=0, col=0):
    lfsr = Lfsr.of(bits)
    state, found = lfsr.seed(row, col), np.empty(count, np.int64)
    advance = lfsr.advancing(bits)
    for index in range(count):
        found[index] = state & ((1 << bits) - 1)
        state = advance(state)
    return found


@pytest.mark.parametrize("bits", range(1, 33))
def test_the_register_is_the_smallest_that_holds_the_number(bits):
    assert Lfsr.of(bits).width == (19 if bits <= 19 else 32)


@pytest.mark.parametrize("width", WIDTHS)
def test_shifts_are_those_of_the_contract(width):
    lfsr, state = Lfsr.of(width), Lfsr.of(width).origin
    assert (lfsr.taps, lfsr.origin, lfsr.row_distance, lfsr.col_distance) == SOURCES[width]
    for count in range(1, 200):
        state = shifted(state, width)
        assert lfsr.advance(lfsr.origin, count) == lfsr.advancing(count)(lfsr.origin) == state


@pytest.mark.parametrize("width", WIDTHS)
def test_the_length_is_maximal(width):
    """Period p, and p over none of its prime factors: for an irreducible polynomial that makes it primitive."""
    lfsr = Lfsr.of(width)
    assert np.prod(WIDTHS[width], dtype=object) == lfsr.period == 2**width - 1
    units = [1 << position for position in range(width)]

    def power(count):
        return [lfsr.advancing(count)(unit) for unit in units]

    half = power(lfsr.period // 2)
    assert [lfsr.advance(image, lfsr.period // 2 + 1) for image in half] == units
    for prime in WIDTHS[width]:
        assert power(lfsr.period // prime) != units


def test_every_state_of_the_short_register_comes_once():
    lfsr = Lfsr.of(13)
    state, seen, step = 1, np.zeros(1 << 19, bool), lfsr.advancing(1)
    for _ in range(lfsr.period):
        seen[state] = True
        state = step(state)
    assert state == 1
    assert seen.sum() == lfsr.period
    assert not seen[0]


@pytest.mark.parametrize("width", WIDTHS)
def test_seeds_of_all_pes_are_the_stated_ones_and_differ(width):
    lfsr = Lfsr.of(width)
    _, origin, rows, cols = SOURCES[width]
    positions = [(row * rows + col * cols) % lfsr.period for row, col in itertools.product(range(256), repeat=2)]
    assert len(set(positions)) == 1 << 16
    for row, col in [(0, 0), (0, 1), (1, 0), (3, 7), (255, 255)]:
        assert lfsr.seed(row, col) == lfsr.advance(origin, positions[row * 256 + col])
    for side in (2, 4, 16, 64, 256):
        here = sorted(positions[row * 256 + col] for row, col in itertools.product(range(side), repeat=2))
        least = min((b - a) % lfsr.period for a, b in itertools.pairwise([*here, here[0]]))
        assert least >= lfsr.period // (6 * side**2)
        stated = {4: 13388, 16: 823, 64: 41, 256: 3} if width == 19 else {}
        assert least == stated.get(side, least)


@pytest.mark.parametrize("bits", [1, 3, 4, 5, 13, 19, 20, 32])
def test_numbers_are_spread_evenly(bits):
    """Chi-square of the upper bits over a long run: its mean is its degrees of freedom n, its variance 2n."""
    count, shown = 1 << 16, min(bits, 8)
    cells = np.bincount(numbers(bits, count) >> (bits - shown), minlength=1 << shown)
    expected = count / len(cells)
    chi_square, freedom = ((cells - expected) ** 2 / expected).sum(), len(cells) - 1
    assert chi_square < freedom + 5 * (2 * freedom) ** 0.5


@pytest.mark.parametrize("bits", [4, 5, 13, 20, 32])
def test_numbers_do_not_depend_on_those_before(bits):
    """Correlations of a PE's numbers over the next lags, and with other PEs' of the same moment."""
    count = 1 << 14
    own = numbers(bits, count + 8) / 2.0**bits - 0.5
    others = [numbers(bits, count, row, col) / 2.0**bits - 0.5 for row, col in [(0, 1), (1, 0), (1, 1), (7, 3)]]
    for other in (*(own[lag : lag + count] for lag in range(1, 9)), *others):
        correlation = 12 * (own[:count] * other).mean()
        assert abs(correlation) < 4 / isqrt(count)
