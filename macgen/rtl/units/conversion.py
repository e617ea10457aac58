"""Rounding of single exact numbers to a format, R(0 + x): products with a format of their own, results with another."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from macgen.numerics import FloatFormat
from macgen.numerics.flags import FLAG_BITS
from macgen.rtl.parts.bits import extend, is_zero, rounds_away, shift_right_sticky
from macgen.rtl.parts.hierarchy import submodule
from macgen.rtl.parts.interfaces import connect_members, member, random_port
from macgen.rtl.parts.modes import by_mode, dropped_places, mode_port
from macgen.rtl.units.exact_number import ExactNumber
from macgen.rtl.units.fixed import FixedAdder, FixedOutput, FixedProduct
from macgen.rtl.units.fixed_geometry import FixedGeometry
from macgen.rtl.units.float_ports import normalise
from macgen.rtl.units.rounded_sum import RoundedSum


@dataclass(frozen=True)
class Conversion:
    """What rounds single numbers to codes of a format.

    Attributes:
        rounded_sum: the rounding, of numbers that are added to nothing.
    """

    rounded_sum: RoundedSum

    @cached_property
    def _geometry(self) -> FixedGeometry:
        """Of the conversion to a fixed-point format."""
        return FixedGeometry.of(self.rounded_sum)

    @property
    def random_bits(self) -> int:
        """Bits of the random number that it takes; 0: it takes none."""
        is_float = isinstance(self.rounded_sum.acc, FloatFormat)
        return self.rounded_sum.random_bits if is_float else self._geometry.random_bits

    def unit(self) -> wiring.Component:
        """Make the component; see FloatConversion for its members."""
        if isinstance(self.rounded_sum.acc, FloatFormat):
            return FloatConversion(self.rounded_sum)
        return FixedConversion(self._geometry)


def _ports(rounded_sum: RoundedSum, random_bits: int) -> dict[str, Any]:
    """Return the members of a conversion."""
    return {
        "number": In(ExactNumber(rounded_sum.addend)),
        **random_port(random_bits),
        **mode_port(rounded_sum.formats),
        "code": Out(rounded_sum.acc.width),
        "flags": Out(FLAG_BITS),
    }


class FloatConversion(wiring.Component):
    """Round an exact number to a float format.

    Members:
        number: what is rounded; see ExactNumber.
        random: with stochastic rounding the random number.
        mode: the mode, where the formats of the modes differ.
        code: of the format.
        flags: raised by the rounding.
    """

    def __init__(self, rounded_sum: RoundedSum) -> None:
        self._rounded_sum = rounded_sum
        super().__init__(_ports(rounded_sum, rounded_sum.random_bits))

    def elaborate(self, platform: object) -> Module:
        m = Module()
        addend, fmt = self._rounded_sum.addend, self._rounded_sum.acc
        assert isinstance(fmt, FloatFormat)
        p, gradual = fmt.precision, fmt.subnormals == "gradual"
        mode, lows = member(self, "mode"), self._dropped

        # -- Normalise: the number moves left until its top bit is set
        zeros, nonzero, normalised = normalise(m, addend, self.number)

        # -- Exponent field: without bounds; of a normalised number whose exponent is e it is e + offset - zeros
        top = addend.significand_bits - 1
        offset = addend.lsb_exponent - addend.least_exponent + top + fmt.bias
        lowest, highest = addend.least_exponent + offset - top, addend.largest_exponent + offset
        bits = max((-lowest).bit_length(), highest.bit_length(), fmt.exp_bits) + 2
        field = Signal(signed(bits))
        m.d.comb += field.eq(extend(self.number.exponent, bits) + Const(offset, signed(bits)) - extend(zeros, bits))

        # -- Significand: with the bits below it, at least one, or all that rounding at random tells apart
        width = max(top + 1, p + self._rounded_sum.bits_below)
        magnitude = Signal(width)
        m.d.comb += magnitude.eq(normalised << (width - top - 1))
        kept, below = magnitude[width - p :], magnitude[: width - p]

        # -- Subnormal numbers: below the smallest normal number the significand moves right
        sticky: Value = Const(0, 1)
        below_normal = Signal()  # below the smallest normal number, not yet rounded
        reaches = Signal()  # but rounded up to it, with a significand of full precision
        least = fmt.least_normal_field
        m.d.comb += below_normal.eq(field < least)
        if lowest < least and fmt.subnormals != "none":
            m.d.comb += reaches.eq((field == 0) & by_mode(mode, lows, lambda low: self._carries(kept, below, low)))
            if gradual:
                distance = Signal(max((1 - lowest).bit_length(), 1))
                m.d.comb += distance.eq(Mux(below_normal, 1 - field, 0))
                shifted, sticky = shift_right_sticky(m, Cat(magnitude, Const(0, 1)).as_signed(), distance, "align")
                kept, below = shifted[width - p : width], shifted[: width - p]

        # -- Round: the next larger magnitude has the next code; the code may have more bits than the format
        code_bits = max(highest, 1).bit_length() + fmt.man_bits + 1
        chopped = Signal(code_bits)
        rounded = Signal(code_bits)
        least_field = Const(0, bits) if gradual else field
        away: Value = by_mode(mode, lows, lambda low: self._away(kept[low], Cat(below, kept[:low]), sticky))
        fraction: Value = kept[:-1]
        if any(lows):
            # -- Cut: the places that the mode does without; ones where one is to be added, which carries beyond them
            cut = dropped_places(mode, lows)
            goes_up = Signal()
            m.d.comb += goes_up.eq(away)
            away = goes_up
            fraction = Cat(kept[: len(cut)] & ~cut | (cut & away.replicate(len(cut))), kept[len(cut) : -1])
        m.d.comb += [
            chopped.eq(Cat(fraction, Mux(below_normal, least_field, field))),
            rounded.eq(chopped + extend(away, code_bits)),
        ]

        # -- Range: what is too small or too large for the format, and the flags
        # Without subnormals the code 0 is not that of the power of two in its place.
        below_least: Value = is_zero(rounded) if fmt.subnormals == "none" and lowest < 1 else Const(0, 1)
        tiny = Signal()
        too_large = Signal()
        flushed: Value = Const(0, 1)
        underflow: Value = tiny
        m.d.comb += [
            tiny.eq(nonzero & (below_least | (below_normal & ~reaches))),
            too_large.eq(nonzero & ~tiny & (rounded > fmt.max_code)),
        ]
        if gradual:
            underflow = tiny & (by_mode(mode, lows, lambda low: Cat(below, kept[:low]).any()) | sticky)
        else:
            flushed = tiny
        infinite, nan = member(self.number, "infinite"), member(self.number, "nan")
        overflow = too_large | (Const(0, 1) if fmt.has_infinity else infinite)
        largest = by_mode(mode, lows, self._end)

        # -- Code: sign and magnitude, the largest number in place of a larger one, infinities and NaN
        absolute = Signal(fmt.width - 1)
        remains = Signal()  # it is neither 0 nor flushed
        m.d.comb += remains.eq(nonzero & ~flushed)
        negative = self.number.negative & ~(is_zero(absolute) if fmt.encoding == "fnuz" else Const(0, 1))
        m.d.comb += absolute.eq(Mux(too_large, largest, Mux(remains, rounded[: fmt.width - 1], 0)))
        code: Value = Cat(absolute, negative & remains)
        if self._rounded_sum.overflow_nan:
            code = Mux(overflow, Const(fmt.nan_code, fmt.width), code)
        elif addend.infinite:
            of_infinity = by_mode(
                mode,
                (0,) if fmt.has_infinity else lows,
                lambda low: Const((fmt.max_code >> low << low) + fmt.has_infinity, fmt.width - 1),
            )
            code = Mux(infinite, Cat(of_infinity, self.number.negative), code)
        if addend.nan:
            of_nan = by_mode(
                mode,
                (0,) if fmt.has_nan else lows,
                lambda low: Const(fmt.nan_code if fmt.has_nan else fmt.max_code >> low << low, fmt.width),
            )
            code = Mux(nan, of_nan, code)
        invalid = member(self.number, "invalid") if fmt.has_nan else nan
        m.d.comb += [self.code.eq(code), self.flags.eq(Cat(overflow, underflow, invalid))]
        return m

    @property
    def _dropped(self) -> tuple[int, ...]:
        """How many of the last mantissa bits each mode does without."""
        formats = self._rounded_sum.formats
        return tuple(self._man_bits - fmt.man_bits for fmt in formats if isinstance(fmt, FloatFormat))

    @property
    def _man_bits(self) -> int:
        fmt = self._rounded_sum.acc
        assert isinstance(fmt, FloatFormat)
        return fmt.man_bits

    def _end(self, low: int) -> Value:
        """Return what becomes of a number that is too large, without its sign, in a mode without so many last bits."""
        fmt = self._rounded_sum.acc
        assert isinstance(fmt, FloatFormat)
        ends = []
        for sign in (False, True):
            infinite = self._rounded_sum.overflown(negative=sign) == "infinity"
            ends.append(Const(fmt.max_code + 1 if infinite else fmt.max_code >> low << low, fmt.width - 1))
        return ends[0] if ends[0].value == ends[1].value else Mux(self.number.negative, ends[1], ends[0])

    def _carries(self, kept: Value, below: Value, low: int) -> Value:
        """Return whether a magnitude that is all ones is rounded up, without so many of its last bits."""
        return kept[low:].all() & self._away(kept[low], Cat(below, kept[:low]), Const(0, 1))

    def _away(self, last: Value, below: Value, sticky: Value) -> Value:
        """Return whether a magnitude is rounded up: its last bit, those below it, and whether there are more."""
        if self._rounded_sum.rounding == "rne":
            return below[-1] & (below[:-1].any() | sticky | last)
        if self._rounded_sum.random_bits:
            return rounds_away(
                Cat(sticky, below), self.random, Const(0, 1), to_nearest=self._rounded_sum.nearest_beneath
            )
        if self._rounded_sum.makes_odd:
            return ~last & (below.any() | sticky)
        if self._rounded_sum.floors:
            return self.number.negative & (below.any() | sticky)
        return Const(0, 1)


class FixedConversion(wiring.Component):
    """Round an exact number to an integer or fixed-point format.

    Members:
        number: what is rounded; see ExactNumber.
        random: with stochastic rounding the random number.
        mode: the mode, where the formats of the modes differ.
        code: of the format.
        flags: raised by the rounding.
    """

    def __init__(self, geometry: FixedGeometry) -> None:
        self._geometry = geometry
        super().__init__(_ports(geometry.rounded_sum, geometry.random_bits))

    def elaborate(self, platform: object) -> Module:
        m = Module()
        g, prefix = self._geometry, self._geometry.rounded_sum.prefix

        # -- Round: as an addition to an empty accumulator
        operand: Any = submodule(m, platform, "operand", f"{prefix}operand", lambda: FixedProduct(g))
        adder = submodule(m, platform, "adder", f"{prefix}adder", lambda: FixedAdder(g))
        output = submodule(m, platform, "code_output", f"{prefix}output", lambda: FixedOutput(g))
        connect_members(m, operand.product, self.number)
        m.d.comb += operand.present.eq(1)
        connect_members(m, adder.operand, operand.operand)
        m.d.comb += adder.acc.integer.eq(0)
        if g.random_bits:
            m.d.comb += adder.random.eq(self.random)
        for name in mode_port(g.modes):
            m.d.comb += adder.mode.eq(getattr(self, name))
        connect_members(m, output.value, adder.result)
        m.d.comb += [self.code.eq(output.code), self.flags.eq(adder.flags)]
        return m
