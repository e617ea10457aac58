"""The float accumulator's loop: align, add, normalise, round once (docs/arithmetic.md sections 3 to 5).

Significands are two's complement, so that neither a swap by sign nor an absolute value stands in the loop, and
rounding to nearest even works on them as they are. A negative significand may be as low as -2**p, which is -1.0 of the
next binade.
"""

from amaranth.hdl import Const, Module, Mux, Signal, Value, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from macgen.numerics.flags import FLAG_BITS
from macgen.rtl.parts.bits import (
    extend,
    preshift_stages,
    shift_right_sticky,
)
from macgen.rtl.parts.hierarchy import submodule
from macgen.rtl.parts.interfaces import connect_members, random_port
from macgen.rtl.parts.pipeline import PipelineRegisters
from macgen.rtl.units.float_rounder import FloatRounder
from macgen.rtl.units.float_value import FloatOperand, FloatValue, Settled, sum_specials
from macgen.rtl.units.geometry import FloatGeometry

REGISTERS_AFTER: dict[int, tuple[str, ...]] = {
    1: (),
    2: ("aligned",),
    3: ("compared", "added"),
    4: ("compared", "added", "counted"),
}
"""After which stages of an addition registers stand if it takes so many cycles, where they shorten its path most:
exponents compared, smaller addend aligned, exact sum, leading bits counted."""


class FloatAdder(wiring.Component):
    """Add an operand to the accumulator and round once.

    Parameters:
        geometry: its widths and what follows from them.
        cycles: 1 to 4; an addition may begin in each, and ends `cycles` - 1 later.

    Members:
        acc: the accumulator.
        operand: the other addend.
        random: with stochastic rounding the random number; taken when the addition ends.
        result: the rounded sum; when the addition ends.
        flags: raised by this addition, as far as `result` does not say so itself; when it ends.
        deferred_flags: raised by the addition that made `acc`, and not among its `flags`; at once.
    """

    def __init__(self, geometry: FloatGeometry, cycles: int = 1) -> None:
        self._registers_after = REGISTERS_AFTER[cycles]
        self._geometry = geometry
        super().__init__(
            {
                "acc": In(FloatValue(geometry)),
                "operand": In(FloatOperand(geometry)),
                **random_port(geometry.random_bits),
                "result": Out(FloatValue(geometry)),
                "flags": Out(FLAG_BITS),
                "deferred_flags": Out(FLAG_BITS),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        g, rounded_sum = self._geometry, self._geometry.rounded_sum
        settled = Settled(m, g, self.acc, "acc")
        m.d.comb += self.deferred_flags.eq(settled.flags)
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
        largest = rounded_sum.addend.largest_exponent + g.addend_offset
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
        specials = sum_specials(m, g, settled, self.operand)

        pipeline = PipelineRegisters(m, self._registers_after, specials)
        larger, smaller, lost, away, exponent = pipeline.after(
            "compared", larger=larger, smaller=smaller, lost=lost, distance=distance, exponent=exponent
        )
        aligned, far_lost = shift_right_sticky(m, smaller, away, "align", unit=ahead)
        sticky: Value = Signal(name="sticky")
        m.d.comb += sticky.eq(far_lost | lost)
        larger, aligned, sticky, exponent = pipeline.after(
            "aligned", larger=larger, smaller=aligned, sticky=sticky, exponent=exponent
        )
        sum_bits = g.window_bits + 2 + g.guard_bits
        exact_sum = Signal(signed(sum_bits))
        if rounded_sum.drops:
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

        added, sticky, exponent = pipeline.after("added", sum=exact_sum, sticky=sticky, exponent=exponent)
        rounder = submodule(
            m,
            platform,
            "rounder",
            f"{rounded_sum.prefix}rounder",
            lambda: FloatRounder(g, cycles=1 + ("counted" in self._registers_after), of_two=True),
        )
        m.d.comb += [
            rounder.sum[0].eq(Const(0, 1) if rounded_sum.drops else sticky),
            rounder.sum[1:].eq(added),
            rounder.exponent.eq(exponent),
            self.flags.eq(rounder.flags),
        ]
        if g.random_bits:
            m.d.comb += rounder.random.eq(self.random)
        for name, value in pipeline.carried.items():
            m.d.comb += getattr(rounder.specials, name).eq(value)
        connect_members(m, self.result, rounder.result)
        return m
