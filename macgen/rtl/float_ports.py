"""Where numbers enter and leave the float datapath: products become operands, accumulator states become codes."""

from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, signed, unsigned
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from macgen.numerics import FloatFormat
from macgen.numerics.flags import FLAG_BITS
from macgen.rtl.addition import Addend, Addition, ExactNumber
from macgen.rtl.bits import count_leading_zeros, extend, is_zero, shift_left
from macgen.rtl.float_adder import FloatOperand, FloatValue, Settled, connect_specials
from macgen.rtl.geometry import FloatGeometry


def normalise(m: Module, addend: Addend, number: Any, suffix: str = "") -> tuple[Value, Value, Value]:
    """Shift an exact number's magnitude left until its top bit is set; the suffix tells several signals apart.

    Returns:
        The distance, whether the number is not 0, and the shifted magnitude.
    """
    if addend.normalised:
        return Const(0, 1), number.magnitude[-1], number.magnitude
    zeros, nonzero = count_leading_zeros(m, number.magnitude, f"leading{suffix}")
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
        value = Settled(m, g, self.value, "value")
        m.d.comb += self.flags.eq(value.flags)
        negative = Signal()
        absolute = Signal(p + 1)
        carry = Signal()
        exponent = Signal(g.exponent_bits)
        magnitude = Signal(p)
        m.d.comb += [
            negative.eq(value.significand[-1]),
            absolute.eq(Mux(negative, -value.significand, value.significand)),
            carry.eq(absolute[p]),
            magnitude.eq(Cat(absolute[: p - 1], absolute[p - 1] | carry)),
            exponent.eq(value.exponent + extend(carry, bits)),
        ]
        field = Signal(fmt.exp_bits)
        mantissa = Signal(fmt.man_bits)
        if g.capped:
            # The exponent never lies below the smallest normal number's; a clear hidden bit tells a subnormal number.
            hidden: Value = magnitude[p - 1]
            m.d.comb += [
                field.eq(Mux(hidden, exponent - Const(g.field_offset, bits), 0)),
                mantissa.eq(magnitude[: p - 1]),
            ]
        else:
            # Subnormal numbers are kept normalised: shift them back.
            below = Signal()
            distance = Signal(range(g.offset + 2))
            m.d.comb += [
                below.eq(exponent < Const(g.min_exponent, bits)),
                distance.eq(Mux(below, Const(g.min_exponent, bits) - exponent, 0)),
                field.eq(Mux(below, 0, exponent - Const(g.field_offset, bits))),
                mantissa.eq(magnitude >> distance),
            ]
        nan, infinite = value.nan, value.infinite
        zero_sign = value.negative & is_zero(magnitude)
        code: Value = Cat(mantissa, field, negative | zero_sign)
        if g.infinite:
            sign = Const(1 << (fmt.width - 1), fmt.width) & value.negative.replicate(fmt.width)
            code = Mux(infinite, sign | fmt.infinity_code(0), code)
        if g.nan:
            code = Mux(nan, Const(fmt.nan_code, unsigned(fmt.width)), code)
        m.d.comb += self.code.eq(code)
        return m
