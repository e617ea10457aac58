"""The float accumulator's loop: align, add, normalise, round once (docs/arithmetic.md sections 3 to 5).

Significands are two's complement, so that neither a swap by sign nor an absolute value stands in the loop, and
rounding to nearest even works on them as they are. A negative significand may be as low as -2**p, which is -1.0 of the
next binade.
"""

from types import SimpleNamespace
from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from macgen.numerics import FloatFormat
from macgen.numerics.flags import FLAG_BITS
from macgen.rtl.addition import Addition
from macgen.rtl.bits import (
    count_leading_zeros,
    extend,
    is_zero,
    preshift_stages,
    rounds_away,
    shift_left,
    shift_right_sticky,
)
from macgen.rtl.cuts import Cuts, delay
from macgen.rtl.float_value import FloatOperand, FloatValue, Settled, SumSpecials, member, sum_specials
from macgen.rtl.geometry import SHORT_SHIFTS, FloatGeometry
from macgen.rtl.hierarchy import submodule
from macgen.rtl.rounding_place import BitsBelow

CUTS: dict[int, tuple[str, ...]] = {
    1: (),
    2: ("aligned",),
    3: ("compared", "added"),
    4: ("compared", "added", "counted"),
}
"""After which parts of an addition registers stand if it takes so many cycles, where they shorten its path most. Parts:
exponents compared, smaller addend aligned, exact sum, leading bits counted."""


class FloatAdder(wiring.Component):
    """Add an operand to the accumulator and round once.

    Parameters:
        addition: what is added to what.
        cycles: 1 to 4; an addition may begin in each, and ends `cycles` - 1 later.

    Members:
        acc: the accumulator.
        operand: the other addend.
        random: with stochastic rounding the random number; taken when the addition ends.
        result: the rounded sum; when the addition ends.
        flags: raised by this addition, as far as `result` does not say so itself; when it ends.
        settled: raised by the addition that made `acc`, and not among its `flags`; at once.
    """

    def __init__(self, addition: Addition, cycles: int = 1) -> None:
        self._addition = addition
        self._cuts = CUTS[cycles]
        self._geometry = FloatGeometry.of(addition)
        super().__init__(
            {
                "acc": In(FloatValue(self._geometry)),
                "operand": In(FloatOperand(self._geometry)),
                **random_port(self._geometry.random_bits),
                "result": Out(FloatValue(self._geometry)),
                "flags": Out(FLAG_BITS),
                "settled": Out(FLAG_BITS),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        g = self._geometry
        settled = Settled(m, g, self.acc, "acc")
        m.d.comb += self.settled.eq(settled.flags)
        acc = Signal(signed(g.window_bits + 2))
        m.d.comb += acc.eq(settled.significand << (g.window_bits - g.precision))

        # operand.exponent - acc.exponent - 1: its carry tells which is larger, its XOR gives the distance either way.
        # When the operand is larger, the 1 that is missing is made up by a constant shift.
        difference = Signal(g.exponent_bits + 1)
        operand_larger = Signal()
        m.d.comb += [
            difference.eq(self.operand.exponent + (~settled.exponent)[: g.exponent_bits]),
            operand_larger.eq(difference[-1]),
        ]
        # The last bits of the distance are known before the carry: both addends are shifted by them, as if smaller.
        width = g.window_bits + 1 + g.guard_bits
        ahead = min(preshift_stages(width), g.exponent_bits - 1)
        # A state that saturates has the largest exponent: where no addend has a larger one, it is not shifted.
        largest = self._addition.addend.largest_exponent + g.addend_offset
        shifted = settled.significand if g.flush or largest > g.max_exponent else settled.rounded
        acc_ahead = shifted << (g.window_bits - g.precision + g.guard_bits - 1)
        acc_near, acc_lost = shift_right_sticky(m, acc_ahead, difference[:ahead], "acc_near")
        operand_near, operand_lost = shift_right_sticky(
            m, self.operand.significand << g.guard_bits, ~difference[:ahead], "operand_near"
        )
        distance = Signal(g.exponent_bits - ahead)
        larger: Value = Signal(signed(g.window_bits + 2), name="larger")
        smaller: Value = Signal(signed(width), name="smaller")
        lost: Value = Signal(name="lost")
        exponent: Value = Signal(g.exponent_bits, name="exponent")
        m.d.comb += [
            distance.eq(difference[ahead:-1] ^ (~operand_larger).replicate(len(distance))),
            larger.eq(Mux(operand_larger, self.operand.significand, acc)),
            smaller.eq(Mux(operand_larger, acc_near, operand_near)),
            lost.eq(Mux(operand_larger, acc_lost, operand_lost)),
            exponent.eq(Mux(operand_larger, self.operand.exponent, settled.exponent)),
        ]
        beside = sum_specials(m, g, settled, self.operand)

        cuts = Cuts(m, self._cuts, beside)
        larger, smaller, lost, away, exponent = cuts.after("compared", larger, smaller, lost, distance, exponent)
        aligned, far_lost = shift_right_sticky(m, smaller, away, "align", unit=ahead)
        sticky: Value = Signal(name="sticky")
        m.d.comb += sticky.eq(far_lost | lost)
        larger, aligned, sticky, exponent = cuts.after("aligned", larger, aligned, sticky, exponent)
        sum_bits = g.window_bits + 2 + g.guard_bits
        exact_sum = Signal(signed(sum_bits))
        if self._addition.rounding == "drop":
            # What lies below the larger addend's last place is cut, which moves a negative addend up.
            kept = Signal(signed(g.window_bits + 1))
            raised = Signal()
            m.d.comb += [
                kept.eq(aligned[g.guard_bits :].as_signed()),
                raised.eq(aligned[-1] & (aligned[: g.guard_bits].any() | sticky)),
                exact_sum[g.guard_bits :].eq(
                    extend(larger, g.window_bits + 2)
                    + extend(kept, g.window_bits + 2)
                    + extend(raised, g.window_bits + 2)
                ),
            ]
        else:
            m.d.comb += exact_sum.eq(extend(larger << g.guard_bits, sum_bits) + extend(aligned, sum_bits))

        added, sticky, exponent = cuts.after("added", exact_sum, sticky, exponent)
        rounder = submodule(
            m,
            platform,
            "rounder",
            f"{self._addition.prefix}rounder",
            lambda: FloatRounder(self._addition, cycles=1 + ("counted" in self._cuts), of_two=True),
        )
        m.d.comb += [
            rounder.sum[0].eq(Const(0, 1) if self._addition.rounding == "drop" else sticky),
            rounder.sum[1:].eq(added),
            rounder.exponent.eq(exponent),
            self.flags.eq(rounder.flags),
        ]
        if g.random_bits:
            m.d.comb += rounder.random.eq(self.random)
        for name, value in cuts.beside.items():
            m.d.comb += getattr(rounder.beside, name).eq(value)
        connect_members(m, self.result, rounder.result)
        return m


def random_port(bits: int) -> dict[str, Any]:
    """Return the member of an adder that takes a random number, if it has any bits."""
    return {"random": In(bits)} if bits else {}


def connect_specials(m: Module, operand: Any, product: Any, present: Value) -> None:
    """Drive the members of an operand that stand beside its number from a raw product's."""
    for name in ("infinite", "nan", "invalid", "opposite", "negative"):
        if name in operand.signature.members:
            m.d.comb += getattr(operand, name).eq(member(product, name) & present)
    if "present" in operand.signature.members:
        m.d.comb += operand.present.eq(present)


def connect_members(m: Module, target: Any, source: Any) -> None:
    """Drive every member of an interface object that the target has from the source's of the same name."""
    for name in target.signature.members:
        m.d.comb += getattr(target, name).eq(member(source, name))


class FloatRounder(wiring.Component):
    """Normalise and round an exact sum, unless infinities and NaN make something else of it; raise flags.

    Parameters:
        addition: what is added to what.
        cycles: 1, or 2 with registers between the counting of leading bits and the shift.
        of_two: whether it is a sum of two addends, the one of the larger exponent aligned to the top of the window.

    Members:
        sum: the exact sum, two's complement: two bits above the window's magnitude, then the window, the guard bits
            and the sticky bit.
        exponent: of the sum, were it normalised with one bit to spare.
        beside: what the addends make of it.
        random, result, flags: see FloatAdder.
    """

    def __init__(self, addition: Addition, cycles: int = 1, *, of_two: bool = False) -> None:
        self._addition = addition
        self._cycles = cycles
        self._of_two = of_two
        self._geometry = g = FloatGeometry.of(addition)
        self.sum_bits = g.window_bits + 2 + g.guard_bits + 1
        super().__init__(
            {
                "sum": In(signed(self.sum_bits)),
                "exponent": In(g.exponent_bits),
                "beside": In(SumSpecials(g)),
                **random_port(g.random_bits),
                "result": Out(FloatValue(g)),
                "flags": Out(FLAG_BITS),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        g, acc_format = self._geometry, self._addition.acc
        assert isinstance(acc_format, FloatFormat)
        kept, below, exponent, nonzero = self._normalise(m)

        p = g.precision
        inexact = Signal()
        up = Signal()
        m.d.comb += inexact.eq(below.any())
        if self._addition.rounding == "rne":
            m.d.comb += up.eq(below[-1] & (below[:-1].any() | kept[0]))
        elif g.random_bits:
            m.d.comb += up.eq(rounds_away(below, self.random, kept[-1]))
        else:
            m.d.comb += up.eq(kept[-1] & inexact)
        if self._addition.rounding == "drop":
            # The exponent decides what is cut from the other addend: -1.0 of the next binade has to say so.
            lowest = Signal()
            m.d.comb += lowest.eq(kept[-1] & is_zero(kept[:-1]) & ~inexact)
            m.d.comb += [
                self.result.significand.eq(Mux(lowest, Const(-(1 << (p - 1)) - 1, signed(p + 1)), kept)),
                self.result.up.eq(up | lowest),
                self.result.exponent.eq(exponent + extend(lowest, g.exponent_bits)),
            ]
        else:
            m.d.comb += [self.result.significand.eq(kept), self.result.up.eq(up), self.result.exponent.eq(exponent)]

        beside = self._beside(m)
        clamped = member(beside, "clamped")
        underflow: Value = Const(0, 1)
        if g.capped:
            special = member(beside, "nan") | member(beside, "infinite") | clamped
            tiny = inexact & (kept[-1] == kept[-2]) & ~self._reaches_normal(kept, below)
            underflow = tiny & ~special
        for name in ("nan", "infinite"):
            if name in self.result.signature.members:
                m.d.comb += getattr(self.result, name).eq(getattr(beside, name))
        if "clamped" in self.beside.signature.members:
            with m.If(clamped):
                m.d.comb += [
                    self.result.significand.eq(g.max_significand ^ member(beside, "negative").replicate(p + 1)),
                    self.result.up.eq(member(beside, "negative")),
                    self.result.exponent.eq(g.max_exponent),
                ]
        if "negative" in self.result.signature.members:
            of_zero = ~nonzero & ~clamped
            m.d.comb += self.result.negative.eq(beside.negative & (member(beside, "infinite") | of_zero))
        m.d.comb += self.flags.eq(Cat(member(beside, "overflow"), underflow, member(beside, "invalid")))
        return m

    def _beside(self, m: Module) -> Any:
        """Return what the sum is beside a number, when the rounding takes place."""
        names = list(self.beside.signature.members)
        values = [getattr(self.beside, name) for name in names]
        if self._cycles == 2:
            values = delay(m, "counted_beside", *values)
        return SimpleNamespace(**dict(zip(names, values, strict=True)))

    def _normalise(self, m: Module) -> tuple[Signal, Signal, Signal, Signal]:
        """Shift the sum left until its sign bit and the next differ, or its exponent is the least.

        Returns the top bits that are kept, what is below them (see BitsBelow), the exponent and whether it is not 0.
        """
        g, p = self._geometry, self._geometry.precision
        # With a single guard bit nothing is gained: what cancels is then as long as all sums are.
        early = self._of_two and g.guard_bits > 1
        bits = g.cancelling_bits if early else self.sum_bits
        head = self.sum[-bits:]
        transitions = Signal(bits)
        m.d.comb += transitions.eq(head ^ Cat(Const(0, 1), head[:-1]))
        stops: Value = transitions
        if g.capped:
            # A one where normalisation has to stop: the exponent is then that of the smallest normal number.
            room = Signal(g.exponent_bits)
            marker = Signal(bits)
            m.d.comb += room.eq(self.exponent - g.min_exponent)
            m.d.comb += Cat(*reversed(marker[:-1])).eq(Cat(*(room == i for i in range(bits - 1))))
            stops = transitions | marker
        # As many bits as rounding looks at; tininess is a matter of the place below.
        count = (g.random_bits or int(self._addition.rounding == "rne")) + g.capped
        places = BitsBelow(m, self.sum, stops, precision=p, count=count, short=SHORT_SHIFTS if early else 0)
        distance, found = count_leading_zeros(m, stops, "leading")
        nonzero = Signal()
        m.d.comb += nonzero.eq(transitions.any() if g.capped else found)
        before = [head.as_unsigned(), distance, self.exponent, nonzero, *places.early]
        if self._cycles == 2:
            before = delay(m, "counted", *before)
        unshifted, distance, largest, nonzero, *known = before
        normalised = shift_left(m, unshifted, distance, "normalise")
        kept = Signal(signed(p + 1))
        below = Signal(count + 1)
        exponent = Signal(g.exponent_bits, name="normalised_exponent")
        m.d.comb += [
            kept.eq(normalised[-p - 1 :].as_signed()),
            below.eq(places.completed(known, normalised[: -p - 1])),
            exponent.eq(largest + Const(1, g.exponent_bits) - extend(distance, g.exponent_bits)),
        ]
        return kept, below, exponent, nonzero

    def _reaches_normal(self, kept: Value, below: Value) -> Value:
        """Whether an inexact sum below the smallest normal number rounds up to it at full precision: not tiny then."""
        p = self._geometry.precision
        if self._geometry.random_bits:
            # At full precision the last place is one lower: below[-1], which a magnitude short of one unit has set.
            away = rounds_away(below[:-1], self.random, kept[-1])
            positive = (kept == (1 << (p - 1)) - 1) & below[-1] & away
            negative = (kept == -(1 << (p - 1))) & ~below[-1] & ~away
            return positive | negative
        if self._addition.rounding != "rne":
            return Const(0, 1)
        positive = (kept == (1 << (p - 1)) - 1) & below[-2:].all()
        negative = (kept == -(1 << (p - 1))) & ~below[-1] & (~below[-2] | ~below[:-2].any())
        return positive | negative
