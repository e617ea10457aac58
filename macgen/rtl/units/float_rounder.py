"""The end of a float addition: normalise an exact sum and round it once (docs/arithmetic.md sections 3 to 5).

The worked example of FloatAdder goes on, with its sum 001011.11, the sticky bit and the exponent 1010:

    Find the leading bit   transitions          0111001   ones where a bit differs from the one above; 7 top bits
    Bits below             below                11        the first bit below the place, and whether more follow
    Count leading bits     leading_zeros        001       one place
    Normalise              kept                 01011     sign and 4 bits: 1011b, 11
    Exponent               normalised_exponent  1010      the larger addend's, as one place was to spare
    Round                  up                   1         more than a half lies below: 11 becomes 12

The result stays as 01011 with the bit `round_up`; whoever reads it adds that (FloatAdder's first stage).
"""

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from macgen.numerics.flags import FLAG_BITS
from macgen.rtl.parts.bits import count_leading_zeros, extend, is_zero, rounds_away, shift_left
from macgen.rtl.parts.interfaces import member, random_port
from macgen.rtl.parts.modes import by_mode, dropped_places, is_any_of, mode_port
from macgen.rtl.parts.pipeline import PipelineRegisters
from macgen.rtl.units.float_value import FloatValue, SumSpecials
from macgen.rtl.units.geometry import SHORT_SHIFTS, FloatGeometry
from macgen.rtl.units.rounding_place import BitsBelow
from macgen.rtl.units.specials import SPECIALS, Specials


class FloatRounder(wiring.Component):
    """Normalise and round an exact sum, unless infinities and NaN make something else of it; raise flags.

    Parameters:
        geometry: of the sum.
        cycles: 1, or 2 with registers between the counting of leading bits and the shift.
        of_two: whether it is a sum of two addends, the one of the larger exponent aligned to the top of the window.

    Members:
        sum: the exact sum, two's complement: two bits above the window's magnitude, then the window, the guard bits
            and the sticky bit.
        exponent: of the sum, were it normalised with one bit to spare.
        specials: what infinities and NaN among the addends make of it.
        random: with stochastic rounding the random number.
        mode: the mode, where modes differ; like `specials` when the sum is there.
        result: the rounded sum.
        flags: raised by the rounding, as far as `result` does not say so itself.
    """

    def __init__(self, geometry: FloatGeometry, cycles: int = 1, *, of_two: bool = False) -> None:
        self._registers_after = ("counted",) if cycles == 2 else ()
        self._of_two = of_two
        self._geometry = g = geometry
        self.constants = geometry.constants
        self.sum_bits = g.window_bits + 2 + g.guard_bits + 1
        super().__init__(
            {
                "sum": In(signed(self.sum_bits)),
                "exponent": In(g.exponent_bits),
                "specials": In(SumSpecials(g)),
                **random_port(g.random_bits),
                **mode_port(g.dropped),
                "result": Out(FloatValue(g)),
                "flags": Out(FLAG_BITS),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        g, rounding, never_adds = (
            self._geometry,
            self._geometry.rounded_sum.rounding,
            self._geometry.rounded_sum.never_adds,
        )
        carried = {name: getattr(self.specials, name) for name in self.specials.signature.members}
        carried |= {name: getattr(self, name) for name in mode_port(g.dropped)}
        pipeline = PipelineRegisters(m, self._registers_after, carried)
        kept, below, exponent, nonzero = self._normalise(m, pipeline)
        mode = pipeline.carried.pop("mode", None)

        # -- Round: the bits below decide whether one is to be added to the last place; the next reader does that
        p = g.precision
        inexact = Signal()
        up = Signal()
        m.d.comb += inexact.eq(below.any())
        last_place = by_mode(mode, g.dropped, lambda low: kept[low])
        if rounding == "rne":
            m.d.comb += up.eq(below[-1] & (below[:-1].any() | last_place))
        elif g.random_bits:
            m.d.comb += up.eq(self._rounds_away(below, kept[-1]))
        elif rounding == "odd" and not never_adds:
            m.d.comb += up.eq(inexact & ~last_place)
        elif not never_adds:  # a cut sum is rounded down, which is toward zero where it is positive
            m.d.comb += up.eq(kept[-1] & inexact)
        if rounding == "drop":
            # The exponent decides what is cut from the other addend: -1.0 of the next binade has to say so.
            lowest = Signal()
            m.d.comb += lowest.eq(kept[-1] & is_zero(kept[:-1]) & ~inexact)
            m.d.comb += [
                self.result.significand.eq(Mux(lowest, Const(-(1 << (p - 1)) - 1, signed(p + 1)), kept)),
                self.result.round_up.eq(up | lowest),
                self.result.exponent.eq(exponent + extend(lowest, g.exponent_bits)),
            ]
        else:
            # With `odd` one of the two neighbours is odd, and it is the lower one or has the lower one's other bits.
            makes_odd = rounding == "odd" and never_adds
            significand = Cat(kept[0] | inexact if makes_odd else kept[0], kept[1:])
            if any(g.dropped):
                significand = self._cut(kept, mode, inexact if makes_odd else Const(0, 1))
            m.d.comb += [self.result.significand.eq(significand), self.result.exponent.eq(exponent)]
            if not never_adds:
                m.d.comb += self.result.round_up.eq(up)

        # -- Underflow: an inexact sum below the smallest normal number, unless rounding at full precision reaches it
        specials = SimpleNamespace(**pipeline.carried)
        clamped = member(specials, "clamped")
        underflow: Value = Const(0, 1)
        if g.capped:
            tiny = inexact & (kept[-1] == kept[-2]) & ~self._reaches_normal(kept, below, mode)
            underflow = tiny & ~(Specials(m, specials, "sum").any | clamped)

        # -- Infinities and NaN: they take the sum's place; without a code for them the largest number does
        for name in SPECIALS:
            if name in self.result.signature.members:
                m.d.comb += getattr(self.result, name).eq(getattr(specials, name))
        if "clamped" in self.specials.signature.members:
            negative = member(specials, "negative")
            with m.If(clamped):
                largest: Value = Const(g.max_exponent, g.exponent_bits)
                if never_adds:
                    m.d.comb += self.result.significand.eq(
                        by_mode(
                            mode,
                            g.dropped,
                            lambda low: Mux(negative, Const(g.least(low)[0], signed(p + 1)), g.largest(low)),
                        )
                    )
                    exponents = tuple(g.least(low)[1] for low in g.dropped)
                    if exponents != (g.max_exponent,) * len(exponents):
                        least = by_mode(mode, exponents, lambda exponent: Const(exponent, g.exponent_bits))
                        largest = Mux(negative, least, g.max_exponent)
                else:
                    m.d.comb += [
                        self.result.significand.eq(by_mode(mode, g.dropped, lambda low: self._largest(low, negative))),
                        self.result.round_up.eq(negative),
                    ]
                m.d.comb += self.result.exponent.eq(largest)
        if "negative" in self.result.signature.members:
            of_zero = ~nonzero & ~clamped
            m.d.comb += self.result.negative.eq(specials.negative & of_zero)
        m.d.comb += self.flags.eq(Cat(member(specials, "overflow"), underflow, member(specials, "invalid")))
        return m

    def _normalise(self, m: Module, pipeline: PipelineRegisters) -> tuple[Signal, Signal, Signal, Value]:
        """Shift the sum left until its sign bit and the next differ, or its exponent is the smallest normal number's.

        Returns the top bits that are kept, what is below them (see BitsBelow), the exponent and whether it is not 0.
        """
        g, p = self._geometry, self._geometry.precision

        # -- Find the leading bit: the highest place at which a bit differs from the one above it
        # With a single guard bit nothing is gained: what cancels is then as long as all sums are.
        early = self._of_two and g.guard_bits > 1
        bits = g.cancelling_bits if early else self.sum_bits
        head = self.sum[-bits:]
        transitions = Signal(bits)
        m.d.comb += transitions.eq(head ^ Cat(Const(0, 1), head[:-1]))
        stops: Value = transitions
        if g.capped:
            # -- Stop at subnormal numbers: a one where the exponent is that of the smallest normal number
            room = Signal(g.exponent_bits)
            marker = Signal(bits)
            m.d.comb += room.eq(self.exponent - g.min_exponent)
            m.d.comb += Cat(*reversed(marker[:-1])).eq(Cat(*(room == i for i in range(bits - 1))))
            stops = Signal(bits)
            m.d.comb += stops.eq(transitions | marker)

        # -- Bits below: those that rounding looks at, from the sum as it stands where its shift is short
        # As many as rounding looks at; tininess is a matter of the place below.
        count = g.rounded_sum.rounding.bits_below + g.capped
        kept_bits = tuple(p - low for low in g.dropped)
        short = SHORT_SHIFTS if early else 0
        mode = pipeline.carried.get("mode")
        places = BitsBelow(m, self.sum, stops, kept=kept_bits, mode=mode, count=count, short=short)

        # -- Count leading bits: that is how far the sum moves left
        distance, found = count_leading_zeros(m, stops, "leading")
        nonzero = Signal()
        m.d.comb += nonzero.eq(transitions.any() if g.capped else found)
        places_early = {f"early_{place}": value for place, value in enumerate(places.early)}
        unshifted, distance, largest, not_zero, *known = pipeline.after(
            "counted",
            sum=head.as_unsigned(),
            distance=distance,
            exponent=self.exponent,
            nonzero=nonzero,
            **places_early,
        )

        # -- Normalise: the sum moves left until its sign and the next bit differ
        normalised = shift_left(m, unshifted, distance, "normalise")
        kept = Signal(signed(p + 1))
        below = Signal(count + 1)
        m.d.comb += [
            kept.eq(normalised[-p - 1 :].as_signed()),
            below.eq(places.completed(known, normalised, pipeline.carried.get("mode"))),
        ]

        # -- Exponent: of the normalised sum; of zero the least, so that any other addend is the larger one
        exponent = Signal(g.exponent_bits, name="normalised_exponent")
        # Here it is known early; from the significand the next comparison of exponents would have to wait for it.
        with m.If(not_zero):
            m.d.comb += exponent.eq(largest + Const(1, g.exponent_bits) - extend(distance, g.exponent_bits))
        with m.Else():
            m.d.comb += exponent.eq(g.zero_exponent)
        return kept, below, exponent, not_zero

    def _rounds_away(self, below: Value, negative: Value) -> Value:
        """Whether a sum with these bits below its last place moves up with this addition's random number."""
        return rounds_away(below, self.random, negative, to_nearest=self._geometry.rounded_sum.nearest_beneath)

    def _largest(self, dropped: int, negative: Value) -> Value:
        """Return the significand of the largest number of a sign, one still to be added where it is negative."""
        g = self._geometry
        bits = (g.largest(dropped) >> dropped) ^ negative.replicate(g.precision + 1 - dropped)
        return Cat(Const(0, dropped), bits) if dropped else bits

    def _cut(self, kept: Value, mode: Value | None, odd: Value) -> Value:
        """Return the significand with zeros in the places that the mode drops.

        Parameters:
            kept: the significand, cut.
            mode: the mode.
            odd: whether the last place becomes a one.
        """
        # -- Cut: the places that the mode does without
        dropped = dropped_places(mode, self._geometry.dropped)
        bits = []
        for place in range(len(kept)):
            last = [number for number, low in enumerate(self._geometry.dropped) if low == place]
            bit = kept[place] | (odd & is_any_of(mode, last)) if last and mode is not None else kept[place]
            bits.append(bit & ~dropped[place] if place < len(dropped) else bit)
        return Cat(*bits)

    def _reaches_normal(self, kept: Value, below: Value, mode: Value | None) -> Value:
        """Whether an inexact sum below the smallest normal number rounds up to it at full precision: not tiny then."""
        p = self._geometry.precision
        ones = zeros = kept  # with the places that the mode drops, which are among those below
        if any(self._geometry.dropped):
            dropped = dropped_places(mode, self._geometry.dropped)
            ones = (kept | dropped).as_signed()
            zeros = Cat(kept[: len(dropped)] & ~dropped, kept[len(dropped) :]).as_signed()
        if self._geometry.random_bits:
            # At full precision the last place is one lower: below[-1], which a magnitude short of one unit has set.
            away = self._rounds_away(below[:-1], kept[-1])
            positive = (ones == (1 << (p - 1)) - 1) & below[-1] & away
            negative = (zeros == -(1 << (p - 1))) & ~below[-1] & ~away
            return positive | negative
        if self._geometry.rounded_sum.floors:  # away from zero where it is negative, by less than half a unit here
            return (zeros == -(1 << (p - 1))) & ~below[-1]
        if self._geometry.rounded_sum.rounding != "rne":
            return Const(0, 1)
        positive = (ones == (1 << (p - 1)) - 1) & below[-2:].all()
        negative = (zeros == -(1 << (p - 1))) & ~below[-1] & (~below[-2] | ~below[:-2].any())
        return positive | negative


def connect_carried(m: Module, rounder: Any, carried: Mapping[str, Value]) -> None:
    """Give a rounder what went along with its sum: what infinities and NaN make of it, and the mode if it takes one."""
    for name, value in carried.items():
        target = rounder.mode if name == "mode" else getattr(rounder.specials, name)
        m.d.comb += target.eq(value)
