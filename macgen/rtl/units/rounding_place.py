"""What stands below the place to which a sum is rounded, known while the sum is normalised and not after it.

The shift selects the place, so a rounding that looks at many bits, as one at random does, need not wait until they have
been shifted (docs/architecture.md).
"""

from collections.abc import Sequence
from functools import reduce
from operator import or_

from amaranth.hdl import Cat, Const, Module, Signal, Value

from macgen.rtl.parts.bits import is_zero


class BitsBelow:
    """The first bits below the place of rounding of a sum that normalisation shifts left.

    If the shift is short they come from the sum as it stands. A longer one means that most of the sum has cancelled and
    leaves few bits or none; those come from the normalised sum.

    Parameters:
        m: module that gets the logic.
        total: the sum.
        stops: ones at places of the sum, the top one first; normalisation brings the highest of them to the top. After
            a shift that is not short, nothing of the sum stands below the last of these places.
        precision: bits that the normalised sum keeps, next to its sign.
        count: how many bits below them are known one by one; of all others only whether there is a one.
        short: shifts by fewer places than this are short; 0: none is.

    Attributes:
        early: what is known before the normalised sum is.
    """

    def __init__(self, m: Module, total: Value, stops: Value, *, precision: int, count: int, short: int) -> None:
        self._count = count
        self.early: list[Value] = []
        if short == 0:
            return

        # -- Bits below: those below each place to which a short shift leads; the shift selects
        selected: list[Value] = []
        for shift in range(short):
            taken = Signal(name=f"shifted_by_{shift}")
            m.d.comb += taken.eq(stops[-1 - shift] & is_zero(stops[len(stops) - shift :]))
            selected.append(self._first(total[: len(total) - 1 - precision - shift]) & taken.replicate(count + 1))
        below = Signal(count + 1, name="below_short")
        m.d.comb += below.eq(reduce(or_, selected))
        self.early.append(below)
        self._rest = len(stops) - short - 1 - precision
        if self._rest > 0:
            self.early.append(is_zero(stops[-short:]))

    def _first(self, below: Value) -> Value:
        missing = self._count - len(below)
        if missing >= 0:
            return Cat(Const(0, missing + 1), below)
        return Cat(below[:-missing].any(), below[-missing:])

    def completed(self, early: Sequence[Value], normalised: Value) -> Value:
        """Return `count` bits, the first highest, and as the lowest bit whether a one stands beneath them.

        Parameters:
            early: the attribute, perhaps from registers.
            normalised: all that stands below the place in the normalised sum; needed where the shift is not short.
        """
        if not early:
            return self._first(normalised)
        below, *long = early
        if long:
            below = below | (self._first(normalised[-self._rest :]) & long[0].replicate(self._count + 1))
        return below
