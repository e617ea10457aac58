"""The datapath of an integer or fixed-point accumulator (docs/arithmetic.md section 3)."""

from types import SimpleNamespace
from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, signed, unsigned
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from macgen.numerics.flags import FLAG_BITS
from macgen.rtl.parts.bits import extend, rounds_away, shift_right_sticky
from macgen.rtl.parts.interfaces import random_port
from macgen.rtl.parts.modes import by_mode, dropped_places, mode_port
from macgen.rtl.parts.pipeline import delay
from macgen.rtl.units.exact_number import ExactNumber
from macgen.rtl.units.fixed_geometry import FixedGeometry, FixedRange
from macgen.rtl.units.specials import Specials, connect_specials, special_members


class FixedValue(wiring.Signature):
    """An accumulator state.

    Members:
        integer: the value in units of the accumulator's last bit.
    """

    def __init__(self, geometry: FixedGeometry) -> None:
        shape = signed(geometry.acc_bits) if geometry.acc_signed else unsigned(geometry.acc_bits)
        super().__init__({"integer": Out(shape)})


class FixedOperand(wiring.Signature):
    """The other addend: a product, or a chunk sum that is folded.

    Members:
        integer: its value, with some bits below the accumulator's last one. They are extra_bits.
        positive_infinity: it is infinite; with the next one: NaN. The integer is 0 beside them, see `SPECIALS`.
        negative_infinity: it is infinite; with the one before: NaN.
        nan: it is NaN; there are no infinities then.
    """

    def __init__(self, geometry: FixedGeometry) -> None:
        members: dict[str, Any] = {"integer": Out(signed(geometry.operand_bits))}
        members |= special_members(infinite=geometry.operand_infinite, nan=geometry.operand_nan)
        super().__init__(members)


class FixedAdder(wiring.Component):
    """Add an operand to the accumulator, round once, saturate or wrap.

    Parameters:
        geometry: its widths.
        cycles: see FloatAdder. All but the last add a part of the bits each, the last one rounds.

    Members:
        acc: the accumulator.
        operand: the other addend.
        random: with stochastic rounding the random number; taken when the addition ends.
        mode: the mode, where modes differ; when the addition begins.
        result: the rounded sum; when the addition ends.
        flags: raised by this addition; when it ends.
        deferred_flags: none.
    """

    def __init__(self, geometry: FixedGeometry, cycles: int = 1) -> None:
        self._cycles = cycles
        self._geometry = g = geometry
        self.constants = geometry.constants
        super().__init__(
            {
                "acc": In(FixedValue(g)),
                "operand": In(FixedOperand(g)),
                **random_port(g.random_bits),
                **mode_port(g.modes),
                "result": Out(FixedValue(g)),
                "flags": Out(FLAG_BITS),
                "deferred_flags": Out(FLAG_BITS),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        g, rounded_sum = self._geometry, self._geometry.rounded_sum

        # -- Add: exactly, with the bits below the last place
        sum_bits = max(g.operand_bits, g.acc_bits + g.extra_bits + (not g.acc_signed)) + 1
        total, operand = self._sum(m, sum_bits)
        mode = getattr(operand, "mode", None)

        # -- Round: the bits below the last place decide whether one is added
        kept = Signal(signed(sum_bits - g.extra_bits))
        increment = Signal()
        rounded = Signal(signed(len(kept) + (g.extra_bits > 0 or any(g.dropped))))
        m.d.comb += [
            kept.eq(total[g.extra_bits :].as_signed()),
            rounded.eq(kept + increment),
        ]
        if any(g.dropped):
            # -- Cut: the places that the mode does without; ones where one is to be added, which carries beyond them
            cut = dropped_places(mode, g.dropped)
            places = total[g.extra_bits : g.extra_bits + len(cut)]
            m.d.comb += kept[: len(cut)].eq((places & ~cut) | (cut & increment.replicate(len(cut))))
        if g.extra_bits or any(g.dropped):
            m.d.comb += increment.eq(by_mode(mode, g.dropped, lambda low: self._increment(total, low, operand)))

        # -- Range: sums that the accumulator does not hold, infinities and NaN
        # Told by the bits above the accumulator's: a comparison would be another carry chain behind the sum's.
        beyond = by_mode(mode, g.modes, lambda ends: self._beyond(rounded, ends))
        specials = Specials(m, operand, "operand")
        outside = Signal()
        overflow = Signal()
        m.d.comb += [
            outside.eq(beyond),
            overflow.eq((outside & ~specials.nan) | specials.infinite),
            self.flags.eq(Cat(overflow, Const(0, 1), specials.nan)),
        ]

        # -- Saturate: the nearest end of the range, or wrap
        clamp: Value = specials.any
        clamp_negative: Value = specials.negative_infinity & ~specials.nan
        if rounded_sum.overflow == "saturate":
            clamp = clamp | outside
            clamp_negative = clamp_negative | (~specials.any & rounded[-1])
        ends = by_mode(mode, g.modes, lambda ends: Mux(clamp_negative, ends.least, ends.largest))
        wrapped = rounded[: g.acc_bits]
        if rounded_sum.overflow == "wrap":
            wrapped = by_mode(mode, g.modes, lambda ends: self._wrapped(rounded, ends))
        m.d.comb += self.result.integer.eq(Mux(clamp, ends, wrapped))
        return m

    def _increment(self, total: Value, low: int, operand: Any) -> Value:
        """Return whether one is added to the sum without so many of the accumulator's last bits."""
        g, rounded_sum = self._geometry, self._geometry.rounded_sum
        dropped, last = total[: g.extra_bits + low], total[g.extra_bits + low]
        if not len(dropped):
            return Const(0, 1)
        if rounded_sum.rounding == "rne":
            return dropped[-1] & (dropped[:-1].any() | last)
        if rounded_sum.makes_odd:
            return ~last & dropped.any()
        if g.random_bits:
            return rounds_away(dropped, self.random, total[-1], to_nearest=rounded_sum.nearest_beneath)
        if rounded_sum.floors:
            return Const(0, 1)
        # The accumulator has none of these bits; `drop` cuts those of the addend, toward zero.
        return (operand.cut_negative if rounded_sum.drops else total[-1]) & dropped.any()

    def _beyond(self, rounded: Value, ends: FixedRange) -> Value:
        """Return whether a rounded sum is outside of a range."""
        bits = self._geometry.acc_bits - ends.missing
        above = rounded[bits:]
        if not self._geometry.acc_signed:
            return above.any()
        beyond = (above ^ rounded[bits - 1].replicate(len(above))).any()
        lowest = -1 << (bits - 1)
        return beyond if ends.least == lowest else beyond | (rounded[:bits] == lowest % (1 << bits))

    def _wrapped(self, rounded: Value, ends: FixedRange) -> Value:
        """Return the bits of a rounded sum modulo a range."""
        bits = self._geometry.acc_bits - ends.missing
        sign = rounded[bits - 1] if self._geometry.acc_signed else Const(0, 1)
        return Cat(rounded[:bits], sign.replicate(ends.missing))

    def _sum(self, m: Module, bits: int) -> tuple[Value, Any]:
        """Return the exact sum, and what the operand is beside a number."""
        addends = [extend(self.acc.integer << self._geometry.extra_bits, bits), extend(self.operand.integer, bits)]
        names = [name for name in self.operand.signature.members if name != "integer"]
        carried = {name: getattr(self.operand, name) for name in names}
        if mode_port(self._geometry.modes):
            carried["mode"] = self.mode
            if self._geometry.rounded_sum.drops:
                carried["cut_negative"] = self.operand.integer[-1]

        # -- Add: in each cycle a part of the bits, from the lowest on, with the carry of the part before
        stages = max(self._cycles - 1, 1)
        low = 0
        done: list[Value] = []
        carry: Value = Const(0, 1)
        for stage in range(stages):
            part = Signal((stage + 1) * bits // stages - low + 1, name=f"sum_{stage}")
            width = len(part) - 1
            x, y = (Value.cast(addend)[:width] for addend in addends)
            m.d.comb += part.eq(extend(x, width + 1) + extend(y, width + 1) + extend(carry, width + 1))
            done, carry, low = [*done, part[:width]], part[width], low + width
            addends = [Value.cast(addend)[width:] for addend in addends]
            if self._cycles > 1:
                done = [Cat(*done)]
                left = {"carry": carry, "sum": done[0], "acc": addends[0], "operand": addends[1]}
                carry, done[0], *addends = delay(m, f"part_{stage}", **left)
                carried = dict(zip(carried, delay(m, f"part_{stage}", **carried), strict=True))
        return Cat(*done).as_signed(), SimpleNamespace(**carried)


class FixedProduct(wiring.Component):
    """Put a product on the accumulator's grid; what a float product has below it becomes a guard and a sticky bit.

    Members:
        present: whether there is a product; without one the operand is 0.
        product: the exact product; see ExactNumber.
        operand: what the adder takes; see FixedOperand.
    """

    def __init__(self, geometry: FixedGeometry) -> None:
        self._geometry = geometry
        super().__init__(
            {
                "present": In(1),
                "product": In(ExactNumber(geometry.rounded_sum.addend)),
                "operand": Out(FixedOperand(geometry)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        g, addend = self._geometry, self._geometry.rounded_sum.addend
        grid = g.acc.lsb_exponent - g.extra_bits
        value: Value
        if addend.integer_bits:
            # -- Align: an integer product to the accumulator's grid
            finer = max(grid - addend.lsb_exponent, 0)
            value = self.product.integer << max(addend.lsb_exponent - grid, 0)
            if finer:  # of a product that lies below the grid altogether its sign is left
                negative, lost = value[-1], value[:finer].any()
                value = value[min(finer, len(value) - 1) :].as_signed()
                if not g.rounded_sum.floors:  # `drop` cuts toward zero, the shift toward minus infinity
                    value = value + extend(negative & lost, 2).as_signed()
            value = Mux(self.present, value, 0)
        else:
            # -- Align: a float product to the accumulator's grid; what falls off is the sticky bit
            # The largest exponents need no shift; products with smaller ones move right from there.
            largest, least = addend.largest_exponent, addend.least_exponent
            highest = largest - least + addend.lsb_exponent - grid
            left, right = max(highest, 0), max(-highest, 0)
            exponent, excess = self.product.exponent, max(left - g.operand_bits, 0)
            far: Value = Const(0, 1)
            if g.clipped and excess:  # of larger exponents nothing is left below the top bit
                left, largest = left - excess, largest - excess
                far = Signal(name="far")
                m.d.comb += far.eq(exponent > largest)
                exponent = Mux(far, largest, exponent)
            # Negated while it is short: behind the shift that would be a carry chain as wide as the accumulator.
            magnitude = Signal.like(self.product.magnitude, name="magnitude")
            number = Signal(signed(len(magnitude) + 1))
            wide = Signal(signed(len(number) + left))
            distance = Signal(max((largest - least + right).bit_length(), 1))
            m.d.comb += [
                magnitude.eq(Mux(self.present, self.product.magnitude, 0)),
                number.eq(Mux(self.product.negative, -magnitude, magnitude)),
                wide.eq(number << left),
                distance.eq(largest + right - exponent),
            ]
            aligned, sticky = shift_right_sticky(m, wide, distance, "align")
            value = aligned
            if addend.lsb_exponent < grid:
                # An odd number is nearer to what was cut than both its neighbours, whatever the sign.
                value = Cat(aligned[0] | sticky, aligned[1:]).as_signed()
                if not g.extra_bits:  # `drop` cuts toward zero, the shift toward minus infinity
                    value = aligned + extend(number[-1] & sticky, 2).as_signed()
            if g.clipped:
                # -- Clip: the top bit differs from the sign where bits above the others do
                kept, negative, beyond = g.operand_bits - 2, value[-1], Signal()
                above = value[kept:]
                m.d.comb += beyond.eq((above ^ negative.replicate(len(above))).any() | (far & magnitude.any()))
                low = extend(value, kept)[:kept] & (~far).replicate(kept)
                value = Cat(low, beyond ^ negative, negative).as_signed()

        # -- Operand: two's complement; 0 without a product
        m.d.comb += self.operand.integer.eq(value)
        connect_specials(m, self.operand, self.product, self.present)
        return m


class FixedOutput(wiring.Component):
    """Give an accumulator state's code.

    Members:
        value: the state.
        code: its code.
        flags: none.
    """

    def __init__(self, geometry: FixedGeometry) -> None:
        super().__init__(
            {
                "value": In(FixedValue(geometry)),
                "code": Out(geometry.acc_bits),
                "flags": Out(FLAG_BITS),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()

        # -- Code: the state itself
        m.d.comb += self.code.eq(self.value.integer)
        return m
