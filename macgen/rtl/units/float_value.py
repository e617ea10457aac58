"""Accumulator states and addends of the float datapath, and what a state is as a number once it is settled."""

from types import SimpleNamespace
from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, signed, unsigned
from amaranth.lib import wiring
from amaranth.lib.wiring import Out

from macgen.rtl.parts.bits import extend, is_zero
from macgen.rtl.parts.interfaces import member
from macgen.rtl.parts.modes import by_mode, dropped_places
from macgen.rtl.units.geometry import FloatGeometry
from macgen.rtl.units.specials import Specials, special_members


class FloatValue(wiring.Signature):
    """An accumulator state, the rounding of which the next addition completes (see `Settled`).

    Members:
        significand: two's complement, rounded down. It has p + 1 bits; the two top bits differ in normal numbers only.
            The last bits that the mode does without are 0.
        round_up: one is still to be added to the significand. Not there where none ever is, with `floor` and mostly
            with `odd`. Of a significand without its last bits it is added to the last one that the mode has.
        exponent: with an offset, so that none is negative. See FloatGeometry:
            `zero_exponent` where the significand is not normal, but beside infinities and NaN, where it does not
            matter. Beyond the range of the format it stands for what overflow or flushing makes of it.
        positive_infinity: it is infinite; with the next one: NaN. Those that can occur are there, see `SPECIALS`.
        negative_infinity: it is infinite; with the one before: NaN.
        nan: it is NaN; there are no infinities then.
        negative: sign of a zero, where it has one.
    """

    def __init__(self, geometry: FloatGeometry) -> None:
        members: dict[str, Any] = {
            "significand": Out(signed(geometry.precision + 1)),
            "round_up": Out(1),
            "exponent": Out(unsigned(geometry.exponent_bits)),
        }
        if geometry.rounded_sum.never_adds:
            del members["round_up"]
        members |= special_members(infinite=geometry.infinite, nan=geometry.nan)
        if geometry.signed_zero:
            members["negative"] = Out(1)
        super().__init__(members)


class FloatOperand(wiring.Signature):
    """The other addend: a product, or a chunk sum that is folded.

    Members:
        significand: two's complement, aligned to the top of the adder's window. It has window_bits + 1 bits.
        exponent: with the same offset; of a product of 0 it is 0. See FloatGeometry: 0 also of products that are not
            normalised (see Addend.has_tiny_pairs), `zero_exponent` of a state that is 0.
        positive_infinity: it is infinite; with the next one: NaN. The significand does not matter beside them.
        negative_infinity: it is infinite; with the one before: NaN.
        nan: it is NaN; there are no infinities then.
        invalid: it is a NaN that raises the flag invalid. See ExactNumber.
        opposite: it is the NaN of infinities of both signs.
        present: whether there is an addend in this cycle; without one everything else is 0.
    """

    def __init__(self, geometry: FloatGeometry) -> None:
        members: dict[str, Any] = {
            "significand": Out(signed(geometry.window_bits + 1)),
            "exponent": Out(unsigned(geometry.exponent_bits)),
        }
        members |= special_members(
            infinite=geometry.operand_infinite or geometry.infinite, nan=geometry.operand_nan or geometry.nan
        )
        if geometry.operand_nan:
            members["invalid"] = Out(1)
        if geometry.operand_opposite:
            members["opposite"] = Out(1)
        if geometry.signed_zero:
            members["present"] = Out(1)
        super().__init__(members)


class SumSpecials(wiring.Signature):
    """What infinities and NaN among the addends make of a sum. Members are there where they can occur.

    Members:
        positive_infinity: it is infinite; with the next one: NaN.
        negative_infinity: it is infinite; with the one before: NaN.
        nan: it is NaN; there are no infinities then.
        clamped: it is the largest magnitude, for want of an infinity or NaN.
        negative: sign of that magnitude; otherwise that of a sum of 0.
        overflow, invalid: flags that this raises.
    """

    def __init__(self, geometry: FloatGeometry) -> None:
        g = geometry
        clamped = (g.operand_infinite and not g.infinite and not g.overflow_nan) or (g.operand_nan and not g.nan)
        present = {
            "clamped": clamped,
            "negative": g.signed_zero or clamped,
            "overflow": g.operand_infinite and not g.infinite,
            "invalid": g.operand_nan or g.infinite,
        }
        members = {name: Out(1) for name, is_there in present.items() if is_there}
        super().__init__(special_members(infinite=g.infinite, nan=g.nan) | members)


def sum_specials(m: Module, geometry: FloatGeometry, acc: "Settled | None", operand: Any) -> dict[str, Value]:
    """Return the members of SumSpecials.

    Parameters:
        m: module that gets the logic.
        geometry: of the adder.
        acc: the accumulator; None where it is among what `operand` tells of.
        operand: the other addend, see FloatOperand.
    """
    g = geometry
    # -- Infinities and NaN: both infinities together are NaN, which is invalid where they were one of either addend
    old = acc.specials if acc else Specials(m, None, "acc")
    added = Specials(m, operand, "operand")
    positive = old.positive_infinity | added.positive_infinity
    negative = old.negative_infinity | added.negative_infinity
    nan, clamped = old.nan | added.nan, Const(0, 1)
    if g.overflow_nan:
        nan = nan | added.infinite
    elif not g.infinite:
        clamped = added.infinite
    if not g.nan:  # an encoding without NaN takes its largest value instead
        clamped = clamped | added.nan
    opposite = Signal()
    m.d.comb += opposite.eq(positive & negative & ~old.nan & ~added.nan)
    invalid = member(operand, "invalid") | opposite | (member(operand, "opposite") & ~old.nan)
    sign_of_zero = acc.negative & ~operand.present if acc and g.signed_zero else Const(0, 1)
    found = {
        "positive_infinity": positive,
        "negative_infinity": negative,
        "nan": nan,
        "clamped": clamped,
        "negative": (added.negative_infinity & ~added.nan) | sign_of_zero,
        "overflow": added.infinite & ~old.nan,
        "invalid": invalid if g.nan else added.nan,
    }
    return {name: value for name, value in found.items() if name in SumSpecials(g).members}


class SettledRange:
    """Where the number that `round_up` makes of an accumulator state stands in the format's range.

    The range ends at the same power of two in every mode, whose largest numbers alone differ.

    Parameters:
        m: module that gets the logic.
        geometry, value: of the state, and the state.
        name: prefix of the signals made.
        mode: the mode, where the geometry's modes differ.

    Attributes:
        normal: the significand, without `round_up`, is normalised.
        carry: with it, its magnitude is 2**p.
        beyond: the exponent is above the largest.
        outside: the number overflows.
        saturated: it does so and becomes the largest of its sign; None where none does.
        flushed: it becomes 0.
        exponent: see FloatGeometry; neither saturated nor flushed.
        specials: what stands beside it, an infinity by overflow included.
        kept: the significand, with ones in the places that the mode does without where one is to be added: it carries
            beyond them.
        flags: those that the rounding raised.
    """

    def __init__(self, m: Module, geometry: FloatGeometry, value: Any, name: str, mode: Value | None = None) -> None:
        g, p = geometry, geometry.precision
        kept, up, negative = value.significand, member(value, "round_up"), value.significand[-1]
        if any(g.dropped) and not g.rounded_sum.never_adds:
            # -- Fill: ones in the places that the mode does without, so that a pending increment carries beyond them
            kept = Signal(signed(p + 1), name=f"{name}_kept")
            ones = dropped_places(mode, g.dropped)
            m.d.comb += kept.eq(value.significand | (ones & up.replicate(len(ones))))
        self.kept = kept
        self.exponent: Value = value.exponent

        # -- Settle: what the pending increment makes of the significand
        self.normal = Signal(name=f"{name}_normal")
        self.carry = Signal(name=f"{name}_carry")
        self.beyond = Signal(name=f"{name}_beyond")
        # The magnitude is this plus one if `away`.
        chopped = Signal(p, name=f"{name}_chopped")
        away = Signal(name=f"{name}_away")
        m.d.comb += [
            self.normal.eq(negative ^ kept[-2] if g.capped else negative | kept[-2]),
            self.carry.eq(Mux(negative, is_zero(kept[:-1]) & ~up, kept[:-1].all() & up)),
            self.beyond.eq(value.exponent > g.max_exponent),
            chopped.eq(kept[:-1] ^ negative.replicate(p)),
            away.eq(up ^ negative),
        ]

        # -- Range: above the largest number the sum overflows; without subnormals it becomes 0 below the smallest
        self.outside = Signal(name=f"{name}_outside")
        self.flushed = Signal(name=f"{name}_flushed")
        at_limit: Value = self.carry
        if g.max_significand != (1 << p) - 1:
            at_limit = (chopped > g.max_significand) | ((chopped == g.max_significand) & away)
        at_largest = value.exponent == g.max_exponent
        m.d.comb += self.outside.eq(self.beyond | (at_largest & at_limit))
        if g.flush:
            if g.least_missing:  # 2**min_exponent itself has no code
                is_power = (chopped == 1 << (p - 1)) & ~away
                below = (value.exponent < g.min_exponent) | ((value.exponent == g.min_exponent) & is_power)
            else:
                below = (value.exponent < g.min_exponent) & ~(self.carry & (value.exponent == g.min_exponent - 1))
            m.d.comb += self.flushed.eq(self.normal & below)

        # -- Infinities and NaN: those of the state, and the infinities that overflow makes
        overflow = Signal(name=f"{name}_overflow")
        self.specials = Specials(m, value, name)
        finite = ~self.specials.any
        m.d.comb += overflow.eq(self.outside & finite)
        above, below = (g.rounded_sum.overflown(negative=sign) for sign in (False, True))
        self.saturated: Value | None = self.outside
        if above == below == "infinity":
            self.saturated = None
            positive = Signal(name=f"{name}_settled_positive_infinity")
            negative_infinity = Signal(name=f"{name}_settled_negative_infinity")
            m.d.comb += [
                positive.eq(value.positive_infinity | (overflow & ~negative)),
                negative_infinity.eq(value.negative_infinity | (overflow & negative)),
            ]
            overflown = SimpleNamespace(positive_infinity=positive, negative_infinity=negative_infinity)
            self.specials = Specials(m, overflown, f"{name}_settled")
        elif below == "infinity":
            self.saturated = Signal(name=f"{name}_saturated")
            m.d.comb += self.saturated.eq(self.outside & ~negative)
            overflown = SimpleNamespace(
                positive_infinity=value.positive_infinity,
                negative_infinity=value.negative_infinity | (overflow & negative),
            )
            self.specials = Specials(m, overflown, f"{name}_settled")
        elif g.overflow_nan:
            self.saturated = None
            self.specials = Specials(m, SimpleNamespace(nan=value.nan | overflow), f"{name}_settled")
        self.flags = Cat(overflow, self.flushed & finite if g.flush else Const(0, 1), Const(0, 1))
        self._chopped, self._away = chopped, away


class Settled(SettledRange):
    """An accumulator state as a two's complement number.

    Attributes:
        rounded: p + 2 bits, two's complement, from -2**p to 2**p; neither saturated nor flushed.
        significand: the same, saturated and flushed.
        exponent: see FloatGeometry.
        negative: sign of a number or of a zero that has one.
        Others: see SettledRange.
    """

    def __init__(self, m: Module, geometry: FloatGeometry, value: Any, name: str, mode: Value | None = None) -> None:
        super().__init__(m, geometry, value, name, mode)
        g, p = geometry, geometry.precision
        kept, exponent = self.kept, self.exponent

        # -- Round: the pending increment is added
        self.rounded = Signal(signed(p + 2), name=f"{name}_rounded")
        m.d.comb += self.rounded.eq(extend(kept, p + 2) + extend(member(value, "round_up"), p + 2))

        # -- Saturate: the largest number in place of one above it, 0 in place of one below the smallest
        significand: Value = self.rounded
        if self.saturated is not None:
            exponent = Mux(self.beyond, g.max_exponent, exponent)
            largest = by_mode(
                mode, g.dropped, lambda low: Mux(kept[-1], Const(-g.largest(low), signed(p + 2)), g.largest(low))
            )
            significand = Mux(self.saturated, largest, significand)
        if g.flush:
            exponent = Mux(self.flushed, g.zero_exponent, exponent)
            significand = Mux(self.flushed, 0, significand)
        self.exponent = Signal(g.exponent_bits, name=f"{name}_settled_exponent")
        self.significand = Signal(signed(p + 2), name=f"{name}_significand")
        self.negative = kept[-1] & ~self.flushed | member(value, "negative")
        m.d.comb += [self.exponent.eq(exponent), self.significand.eq(significand)]


class SettledMagnitude(SettledRange):
    """An accumulator state as sign and magnitude.

    Attributes:
        magnitude: p + 1 bits, from 0 to 2**p; neither saturated nor flushed.
        negative: sign, also of an infinity and, where it has one, of a zero.
        Others: see SettledRange.
    """

    def __init__(self, m: Module, geometry: FloatGeometry, value: Any, name: str, mode: Value | None = None) -> None:
        super().__init__(m, geometry, value, name, mode)
        g, p = geometry, geometry.precision

        # -- Magnitude: of the bits that were kept and the pending increment, in one step
        self.magnitude = Signal(p + 1, name=f"{name}_magnitude")
        m.d.comb += self.magnitude.eq(self._chopped + self._away)
        negative = value.significand[-1] & ~self.flushed
        if g.signed_zero:
            negative = negative | value.negative
        elif g.capped:
            negative = negative & self.magnitude.any()
        if g.infinite:
            negative = Mux(self.specials.infinite, self.specials.negative_infinity, negative)
        self.negative = negative
