"""What stands below the place to which a sum is rounded, known while the sum is normalised and not after it.

The shift selects the place, so a rounding that looks at many bits, as one at random does, need not wait until they have
been shifted (docs/architecture.md).
"""

from collections.abc import Sequence
from functools import reduce
from operator import or_

from amaranth.hdl import Cat, Const, Module, Signal, Value

from macgen.rtl.parts.bits import is_zero
from macgen.rtl.parts.modes import by_mode


class BitsBelow:
    """The first bits below the place of rounding of a sum that normalisation shifts left.

    If the shift is short they come from the sum as it stands. A longer one means that most of the sum has cancelled and
    leaves few bits or none; those come from the normalised sum.

    Parameters:
        m: module that gets the logic.
        total: the sum.
        stops: ones at places of the sum, the top one first; normalisation brings the highest of them to the top. After
            a shift that is not short, nothing of the sum stands below the last of these places.
        kept: bits that the normalised sum keeps, next to its sign, in each mode.
        mode: the mode, where they differ.
        count: how many bits below them are known one by one; of all others only whether there is a one.
        short: shifts by fewer places than this are short; 0: none is.

    Attributes:
        early: what is known before the normalised sum is.
    """

    def __init__(
        self,
        m: Module,
        total: Value,
        stops: Value,
        *,
        kept: Sequence[int],
        mode: Value | None,
        count: int,
        short: int,
    ) -> None:
        self._count, self._kept = count, kept
        self.early: list[Value] = []
        if short == 0:
            return

        # -- Bits below: those below each place to which a short shift leads; the shift selects
        selected: list[Value] = []
        for shift in range(short):
            taken = Signal(name=f"shifted_by_{shift}")
            m.d.comb += taken.eq(stops[-1 - shift] & is_zero(stops[len(stops) - shift :]))
            below_shifted = by_mode(mode, kept, lambda bits: self._first(total[: len(total) - 1 - bits - shift]))  # noqa: B023
            selected.append(below_shifted & taken.replicate(count + 1))
        below = Signal(count + 1, name="below_short")
        m.d.comb += below.eq(reduce(or_, selected))
        self.early.append(below)
        self._rest = len(stops) - short - 1
        if self._rest > min(kept):
            self.early.append(is_zero(stops[-short:]))

    def _first(self, below: Value) -> Value:
        missing = self._count - len(below)
        if missing >= 0:
            return Cat(Const(0, missing + 1), below)
        return Cat(below[:-missing].any(), below[-missing:])

    def completed(self, early: Sequence[Value], normalised: Value, mode: Value | None) -> Value:
        """Return `count` bits, the first highest, and as the lowest bit whether a one stands beneath them.

        Parameters:
            early: the attribute, perhaps from registers.
            normalised: the normalised sum; needed where the shift is not short.
            mode: the mode, where the places differ, when `normalised` is there.
        """
        if not early:
            return by_mode(mode, self._kept, lambda bits: self._first(normalised[: -bits - 1]))
        below, *long = early
        if long:
            below_long = by_mode(mode, self._kept, lambda bits: self._first_of_rest(normalised, bits))
            below = below | (below_long & long[0].replicate(self._count + 1))
        return below

    def _first_of_rest(self, normalised: Value, kept: int) -> Value:
        rest = self._rest - kept
        return self._first(normalised[: -kept - 1][-rest:]) if rest > 0 else Const(0, self._count + 1)
