"""The random bits of stochastic rounding: the shift register in each PE (docs/arithmetic.md section 7)."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

from macgen.errors import check_integer


@dataclass(frozen=True)
class Lfsr:
    """A Fibonacci register of maximal length; states are integers from 1, position 1 of the register in bit 0.

    A shift moves the bit at position i to i + 1 and the XOR of the tapped positions to position 1.

    Attributes:
        width: w, positions.
        taps: the tapped positions. (19, 18, 17, 14) and (32, 30, 26, 25): R. Ward, T. Molteno, "Table of linear
            feedback shift registers", University of Otago, 2007. All lie high, so that the next bits depend on each
            other as little as possible.
        origin: seed of PE (0, 0), the low bits of the golden ratio's fraction.
        row_distance: shifts between the seeds of PEs of neighbouring rows.
        col_distance: shifts between the seeds of PEs of neighbouring columns.
    """

    width: int
    taps: tuple[int, ...]
    origin: int
    row_distance: int
    col_distance: int

    @classmethod
    def of(cls, random_bits: int) -> "Lfsr":
        """Return the register of the PEs that round with this many random bits, 1 to 32.

        Raises:
            MacgenError: they are more or fewer.
        """
        random_bits = check_integer("random_bits", random_bits, 1, _LFSRS[-1].width)
        return next(lfsr for lfsr in _LFSRS if lfsr.width >= random_bits)

    @property
    def period(self) -> int:
        """Shifts after which a state returns; it passes through all states but 0."""
        return (1 << self.width) - 1

    def seed(self, row: int, col: int) -> int:
        """Return the state of PE (row, col) after a reset."""
        return self.advance(self.origin, row * self.row_distance + col * self.col_distance)

    def advance(self, state: int, shifts: int) -> int:
        """Return the state after any number of shifts."""
        shifts %= self.period
        for power in range(shifts.bit_length()):
            if shifts >> power & 1:
                state = _doubled(self, power)(state)
        return state

    def advancing(self, shifts: int) -> Callable[[int], int]:
        """Return `advance` by a fixed number of shifts, faster."""
        return _advancing(self, shifts)


# The distances keep the PEs of an array of n x n at least about a fifth of period / n^2 shifts apart, for every n: the
# first by search; of the second the period over the plastic number and over its square.
_LFSRS = (
    Lfsr(19, (19, 18, 17, 14), 0x779B9, 427627, 247695),
    Lfsr(32, (32, 30, 26, 25), 0x9E3779B9, 3242174888, 2447445413),
)


@lru_cache(64)
def _advancing(lfsr: Lfsr, shifts: int) -> Callable[[int], int]:
    return _linear([lfsr.advance(1 << position, shifts) for position in range(lfsr.width)])


@lru_cache(64)
def _doubled(lfsr: Lfsr, power: int) -> Callable[[int], int]:
    """Return the map of 2**power shifts."""
    units = [1 << position for position in range(lfsr.width)]
    if power == 0:
        tapped = sum(1 << (tap - 1) for tap in lfsr.taps)
        return _linear([unit << 1 & lfsr.period | (unit & tapped != 0) for unit in units])
    half = _doubled(lfsr, power - 1)
    return _linear([half(half(unit)) for unit in units])


def _linear(images: Sequence[int]) -> Callable[[int], int]:
    """Return the linear map over GF(2) with these images of the bits of up to four bytes."""
    tables = []
    for low in range(0, 32, 8):
        table = [0]
        for image in images[low : low + 8]:
            table += [entry ^ image for entry in table]
        tables.append(table)
    first, second, third, fourth = tables

    def apply(state: int) -> int:
        return first[state & 255] ^ second[state >> 8 & 255] ^ third[state >> 16 & 255] ^ fourth[state >> 24]

    return apply
