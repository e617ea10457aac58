"""Numbers that are rounded to a format before they are added: products, and the nodes of a tree of lanes."""

from dataclasses import replace

from amaranth.hdl import Const, Module, Mux
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from macgen.numerics import FixedFormat
from macgen.numerics.flags import FLAG_BITS
from macgen.rtl.parts.hierarchy import submodule
from macgen.rtl.parts.interfaces import connect_members
from macgen.rtl.parts.modes import mode_port
from macgen.rtl.units.conversion import Conversion
from macgen.rtl.units.exact_number import Addend, ExactNumber
from macgen.rtl.units.multiplier import connect_number, decoded


class RoundedNumber(wiring.Component):
    """Round an exact number to a format, and give what it then is.

    Parameters:
        conversion: the rounding.
        addend: the rounded numbers.

    Members:
        number: what is rounded; see ExactNumber.
        mode: the mode, where the formats of the modes differ.
        rounded: the rounded number; see ExactNumber.
        flags: raised by the rounding.
    """

    def __init__(self, conversion: Conversion, addend: Addend) -> None:
        self._conversion = conversion
        self._addend = addend
        super().__init__(
            {
                "number": In(ExactNumber(conversion.rounded_sum.addend)),
                **mode_port(conversion.rounded_sum.formats),
                "rounded": Out(ExactNumber(addend)),
                "flags": Out(FLAG_BITS),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()

        # -- Round: to a code of the format
        fmt, prefix = self._conversion.rounded_sum.acc, self._conversion.rounded_sum.prefix
        unit = submodule(m, platform, "conversion", f"{prefix}conversion", self._conversion.unit)
        connect_members(m, unit.number, self.number)
        m.d.comb += self.flags.eq(unit.flags)
        for name in mode_port(self._conversion.rounded_sum.formats):
            m.d.comb += unit.mode.eq(getattr(self, name))

        # -- Decode: the code is an exact number again
        if self._addend.integer_bits:
            is_signed = isinstance(fmt, FixedFormat) and fmt.signed
            m.d.comb += self.rounded.integer.eq(unit.code.as_signed() if is_signed else unit.code)
        else:
            value = decoded(m, unit.code, fmt, "code")
            assert value.significand is not None
            magnitude = Mux(value.infinite | value.nan, 0, value.significand)
            # Its NaN is the canonical one, which is quiet.
            connect_number(m, self.rounded, replace(value, significand=magnitude, signalling=Const(0, 1)))
        return m
