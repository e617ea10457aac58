"""The float accumulator's loop: align, add, normalise, round once (docs/arithmetic.md sections 3 to 5).

Significands are two's complement, so that neither a swap by sign nor an absolute value stands in the loop, and
rounding to nearest even works on them as they are. A negative significand may be as low as -2**p, which is -1.0 of the
next binade.

A worked example, e3m1 products into e4m3, round to nearest even: p = 4 significand bits, a window of 4 bits, 2 guard
bits. The accumulator is 13, the product -1.125, the exact sum 11.875, and the result 12.

    Settle             acc_significand      001101     13, 1101 with its sign and a bit to spare
                       acc_settled_exponent 1010
    Compare exponents  operand__significand 10111      -1.001b, two's complement
                       operand__exponent    0111       3 less than the accumulator's
                       difference           01100      operand - accumulator - 1; no carry: the operand is smaller
    Align early        operand_near_1       11101110   one place right, by the last bit of the distance
    Select             larger               001101     the accumulator
                       smaller              1101110    the operand
                       distance             001        what is left, in units of two places
    Align              align_2              1111011    two places right; 10 fell off,
                       sticky               1          which the sticky bit remembers
    Add                exact_sum            00101111   001011.11, so 11.75; the sticky bit stands for the rest

FloatRounder goes on with the exact sum and the sticky bit.
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
from macgen.rtl.parts.modes import mode_port
from macgen.rtl.parts.pipeline import PipelineRegisters
from macgen.rtl.units.float_rounder import FloatRounder, connect_carried
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
        mode: the mode, where modes differ; when the addition begins.
        result: the rounded sum; when the addition ends.
        flags: raised by this addition, as far as `result` does not say so itself; when it ends.
        deferred_flags: raised by the addition that made `acc`, and not among its `flags`; at once.
    """

    def __init__(self, geometry: FloatGeometry, cycles: int = 1) -> None:
        self._registers_after = REGISTERS_AFTER[cycles]
        self._geometry = geometry
        self.constants = geometry.constants
        super().__init__(
            {
                "acc": In(FloatValue(geometry)),
                "operand": In(FloatOperand(geometry)),
                **random_port(geometry.random_bits),
                **mode_port(geometry.dropped),
                "result": Out(FloatValue(geometry)),
                "flags": Out(FLAG_BITS),
                "deferred_flags": Out(FLAG_BITS),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        g, rounded_sum = self._geometry, self._geometry.rounded_sum

        # -- Settle: the accumulator's rounding, which its register put off, is completed and clamped to the format
        mode = {name: getattr(self, name) for name in mode_port(g.dropped)}
        settled = Settled(m, g, self.acc, "acc", mode.get("mode"))
        m.d.comb += self.deferred_flags.eq(settled.flags)
        acc = Signal(signed(g.window_bits + 2))
        m.d.comb += acc.eq(settled.significand << (g.window_bits - g.precision))

        # -- Compare exponents: one subtraction tells which addend is larger, and how far the other one has to move
        # operand.exponent - acc.exponent - 1: its carry tells which is larger, its XOR gives the distance either way.
        # When the operand is larger, the 1 that is missing is made up by a constant shift.
        difference = Signal(g.exponent_bits + 1)
        operand_larger = Signal()
        m.d.comb += [
            difference.eq(self.operand.exponent + (~settled.exponent)[: g.exponent_bits]),
            operand_larger.eq(difference[-1]),
        ]

        # -- Align early: both addends move right by the last bits of the distance, which are known before its carry
        # Each moves as if it were the smaller one; the larger one is taken as it was.
        width = g.window_bits + 1 + g.guard_bits
        early_bits = min(preshift_stages(width), g.exponent_bits - 1)
        # A state that saturates has the largest exponent: where no addend has a larger one, it is not shifted.
        largest = rounded_sum.addend.largest_exponent + g.addend_offset
        shifted = settled.significand if g.flush or largest > g.max_exponent else settled.rounded
        acc_early = shifted << (g.window_bits - g.precision + g.guard_bits - 1)
        acc_near, acc_lost = shift_right_sticky(m, acc_early, difference[:early_bits], "acc_near")
        operand_near, operand_lost = shift_right_sticky(
            m, self.operand.significand << g.guard_bits, ~difference[:early_bits], "operand_near"
        )

        # -- Select: the larger addend, the smaller one, and what is left of the distance between them
        distance: Value = Signal(g.exponent_bits - early_bits, name="distance")
        larger: Value = Signal(signed(g.window_bits + 2), name="larger")
        smaller: Value = Signal(signed(width), name="smaller")
        lost: Value = Signal(name="lost")
        exponent: Value = Signal(g.exponent_bits, name="exponent")
        m.d.comb += [
            distance.eq(difference[early_bits:-1] ^ (~operand_larger).replicate(len(distance))),
            larger.eq(Mux(operand_larger, self.operand.significand, acc)),
            smaller.eq(Mux(operand_larger, acc_near, operand_near)),
            lost.eq(Mux(operand_larger, acc_lost, operand_lost)),
            exponent.eq(Mux(operand_larger, self.operand.exponent, settled.exponent)),
        ]

        # -- Infinities and NaN: what they make of the sum is known from the addends alone
        specials = sum_specials(m, g, settled, self.operand)
        pipeline = PipelineRegisters(m, self._registers_after, specials | mode)
        larger, smaller, lost, distance, exponent = pipeline.after(
            "compared", larger=larger, smaller=smaller, lost=lost, distance=distance, exponent=exponent
        )

        # -- Align: the smaller addend moves right by what is left of the distance; what falls off is the sticky bit
        aligned, far_lost = shift_right_sticky(m, smaller, distance, "align", unit=early_bits)
        sticky: Value = Signal(name="sticky")
        m.d.comb += sticky.eq(far_lost | lost)
        larger, aligned, sticky, exponent = pipeline.after(
            "aligned", larger=larger, smaller=aligned, sticky=sticky, exponent=exponent
        )

        # -- Add: two's complement, with a bit above for the carry and the guard bits below
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

        # -- Normalise and round: in a module of its own
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
        connect_carried(m, rounder, pipeline.carried)
        connect_members(m, self.result, rounder.result)
        return m
