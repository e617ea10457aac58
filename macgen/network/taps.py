"""Which taps of a strided kernel meet in one sum: the sums of transposed convolutions and of input gradients.

A transposed convolution adds input i, times tap t, to position stride * i + dilation * t. With a stride, not every tap
finds an input for a position: the products of different taps meet where their positions are equal.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass

from macgen.errors import check_integer

_MOST_LOOKED_AT = 1 << 20


@dataclass(frozen=True, slots=True)
class Scatter:
    """One dimension of a transposed convolution.

    Parameters:
        kernel: taps.
        stride: positions between neighbouring inputs.
        dilation: positions between neighbouring taps.
        size: inputs.
        first: the first position that is kept, counted from that of input 0 and tap 0: the padding that is cut off.
        kept: positions that are kept.

    Raises:
        MacgenError: kernel, stride, dilation, size or kept is no positive integer, or first is negative.
    """

    kernel: int
    stride: int
    dilation: int
    size: int
    first: int
    kept: int

    def __post_init__(self) -> None:
        for name in ("kernel", "stride", "dilation", "size", "kept"):
            check_integer(name, getattr(self, name), 1)
        check_integer("first", self.first, 0)

    @property
    def step(self) -> int:
        """Taps between two that meet: the least number whose dilations are a multiple of the stride."""
        return self.stride // math.gcd(self.stride, self.dilation)

    def at(self, position: int) -> range:
        """Return the taps that meet at a position, in ascending order."""
        divisor = math.gcd(self.stride, self.dilation)
        if position < 0 or position % divisor:
            return range(0)
        step = self.step
        # tap * dilation = position (modulo stride)
        residue = position // divisor * pow(self.dilation // divisor, -1, step) % step
        lowest = max(0, -(-(position - (self.size - 1) * self.stride) // self.dilation))
        lowest += (residue - lowest) % step
        highest = min(self.kernel - 1, position // self.dilation)
        return range(lowest, highest + 1, step)

    def most(self) -> int:
        """Return how many taps meet at most, at least 1.

        (Where no tap's first position is kept, of kernels with more than 2**20 taps this is an upper bound.)
        """
        last = self.first + self.kept - 1
        within = (self.size - 1) * self.stride // math.lcm(self.stride, self.dilation) + 1
        top = min(self.kernel - 1, last // self.dilation)
        if top * self.dilation >= self.first:  # the highest tap meets the most where it meets input 0
            return min(top // self.step + 1, within)
        if self.kernel > _MOST_LOOKED_AT:
            return min(-(-self.kernel // self.step), within)
        return max((len(taps) for taps in self.sets()), default=1)

    def sets(self) -> tuple[range, ...]:
        """Return the sets of taps that meet at some position, without those that are parts of others."""
        last = self.first + self.kept - 1
        positions = set()
        for tap in range(self.kernel):
            own = tap * self.dilation
            earliest = self.first + (own - self.first) % self.stride
            # What meets at the next positions, up to one where a further tap begins, is a part of what meets here.
            positions |= {position for position in (own, earliest) if self.first <= position <= last}
        found = {taps for position in positions if (taps := self.at(position))}
        return tuple(_without_parts(found, self.step))


def _without_parts(ranges: Iterable[range], step: int) -> list[range]:
    """Return the ranges of one step that are no part of another."""
    kept: list[range] = []
    for taps in sorted(ranges, key=lambda taps: (taps[0] % step, taps[0], -taps[-1])):
        if not kept or kept[-1][0] % step != taps[0] % step or taps[-1] > kept[-1][-1]:
            kept.append(taps)
    return kept
