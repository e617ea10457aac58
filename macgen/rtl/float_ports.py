"""Where numbers enter and leave the float datapath: products become operands, accumulator states become codes."""

from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, signed, unsigned
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from macgen.numerics import FloatFormat
from macgen.numerics.flags import FLAG_BITS
from macgen.rtl.addition import Addend, Addition, ExactNumber
from macgen.rtl.bits import count_leading_zeros, extend, shift_left
from macgen.rtl.float_value import FloatOperand, FloatValue, SettledMagnitude
from macgen.rtl.geometry import FloatGeometry
from macgen.rtl.interfaces import connect_specials


def normalise(m: Module, addend: Addend, number: Any, suffix: str = "") -> tuple[Value, Value, Value]:
    """Shift an exact number's magnitude left until its top bit is set; the suffix tells several signals apart.

    Returns:
        The distance, whether the number is not 0, and the shifted magnitude.
    """
    if not addend.leading_zeros:
        return Const(0, 1), number.magnitude[-1], number.magnitude
    zeros, nonzero = count_leading_zeros(m, number.magnitude[-1 - addend.leading_zeros :], f"leading{suffix}")
    return zeros, nonzero, shift_left(m, number.magnitude, zeros, f"normalise{suffix}")


class FloatProduct(wiring.Component):
    """Normalise a product and align it to the top of the adder's window.

    Members:
        present: whether there is a product; without one the operand is all 0.
        product: see ExactNumber.
        operand: see FloatOperand.
    """

    def __init__(self, addition: Addition) -> None:
        self._addend = addition.addend
        self._geometry = FloatGeometry.of(addition)
        super().__init__(
            {
                "present": In(1),
                "product": In(ExactNumber(addition.addend)),
                "operand": Out(FloatOperand(self._geometry)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        g = self._geometry
        zeros, nonzero, normalised = normalise(m, self._addend, self.product)
        some = Signal()
        bits = g.exponent_bits
        cut = max(g.addend_bits - g.window_bits, 0)  # `drop` keeps no more than the accumulator's bits
        magnitude = Signal(g.addend_bits - cut)
        signed_magnitude = Signal(signed(g.addend_bits - cut + 1))
        exponent = Signal(g.exponent_bits)
        m.d.comb += [
            some.eq(self.present & nonzero),
            magnitude.eq(normalised[cut:]),
            signed_magnitude.eq(Mux(self.product.negative, -magnitude, magnitude)),
            exponent.eq(
                extend(self.product.exponent, bits) + Const(g.addend_offset % (1 << bits), bits) - extend(zeros, bits)
            ),
            self.operand.significand.eq(Mux(some, signed_magnitude, 0) << (g.window_bits - len(magnitude))),
            self.operand.exponent.eq(Mux(some, exponent, 0)),
        ]
        connect_specials(m, self.operand, self.product, self.present)
        return m


class FloatOutput(wiring.Component):
    """Convert an accumulator state to the accumulator format's code.

    Members:
        value: the state.
        code: its code.
        flags: raised by the addition that made it, and not among that one's.
    """

    def __init__(self, addition: Addition) -> None:
        assert isinstance(addition.acc, FloatFormat)
        self._format = addition.acc
        self._geometry = FloatGeometry.of(addition)
        super().__init__(
            {"value": In(FloatValue(self._geometry)), "code": Out(addition.acc.width), "flags": Out(FLAG_BITS)}
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        g, fmt = self._geometry, self._format
        p, bits = g.precision, g.exponent_bits
        value = SettledMagnitude(m, g, self.value, "value")
        m.d.comb += self.flags.eq(value.flags)
        # The field is that of the number's significand without its hidden bit, plus that bit, plus the carry.
        least = Signal()  # the hidden bit counts nothing, or is clear
        field = Signal(fmt.exp_bits)
        shifted: Value = value.magnitude
        if g.capped:
            m.d.comb += least.eq(~value.normal)
        else:
            # Subnormal numbers are kept normalised: shift them back.
            distance = Signal(range(g.offset + 2))
            m.d.comb += [
                least.eq(value.exponent < Const(g.min_exponent, bits)),
                distance.eq(Mux(least, Const(g.min_exponent, bits) - value.exponent, 0)),
            ]
            shifted = value.magnitude >> distance
        m.d.comb += field.eq(Mux(least, 0, value.exponent - Const(g.field_offset + 1, bits)) + shifted[p - 1 :])
        absolute: Value = Cat(shifted[: p - 1], field)
        if g.flush:
            absolute = Mux(value.flushed, 0, absolute)
        if not g.overflow_infinite:
            absolute = Mux(value.outside, fmt.max_code, absolute)
        if g.infinite:
            absolute = Mux(value.infinite, fmt.infinity_code(0), absolute)
        code: Value = Cat(absolute[: fmt.width - 1], value.negative)
        if g.nan:
            code = Mux(value.nan, Const(fmt.nan_code, unsigned(fmt.width)), code)
        m.d.comb += self.code.eq(code)
        return m
