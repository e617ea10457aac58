"""Where numbers enter and leave the float datapath: products become operands, accumulator states become codes."""

from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, signed, unsigned
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from macgen.numerics.flags import FLAG_BITS
from macgen.rtl.parts.bits import add_with_carry, count_leading_zeros, extend, shift_left
from macgen.rtl.parts.hierarchy import NamedConstant
from macgen.rtl.parts.interfaces import member
from macgen.rtl.parts.modes import by_mode, mode_port
from macgen.rtl.units.exact_number import Addend, ExactNumber
from macgen.rtl.units.float_value import FloatOperand, FloatValue, SettledMagnitude
from macgen.rtl.units.geometry import FloatGeometry
from macgen.rtl.units.specials import connect_specials


def normalise(m: Module, addend: Addend, number: Any, suffix: str = "") -> tuple[Value, Value, Value]:
    """Shift an exact number's magnitude left until its top bit is set; the suffix tells several signals apart.

    Returns:
        The distance, whether the number is not 0 (nor a product too small to be normalised), the shifted magnitude.
    """
    if not addend.leading_zeros:
        return Const(0, 1), number.magnitude[-1], number.magnitude

    # -- Normalise: count the zeros above the highest bit, and move left by them
    zeros, nonzero = count_leading_zeros(m, number.magnitude[-1 - addend.leading_zeros :], f"leading{suffix}")
    return zeros, nonzero, shift_left(m, number.magnitude, zeros, f"normalise{suffix}")


class FloatProduct(wiring.Component):
    """Normalise a product and align it to the top of the adder's window.

    Members:
        present: whether there is a product; without one the operand is all 0.
        product: the exact product; see ExactNumber.
        operand: what the adder takes; see FloatOperand.
    """

    def __init__(self, geometry: FloatGeometry) -> None:
        self._geometry = geometry
        super().__init__(
            {
                "present": In(1),
                "product": In(ExactNumber(geometry.rounded_sum.addend)),
                "operand": Out(FloatOperand(geometry)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        g = self._geometry

        # -- Normalise: the product moves left until its top bit is set
        zeros, nonzero, normalised = normalise(m, g.rounded_sum.addend, self.product)

        # -- Align: the product to the top of the window, two's complement, its exponent counted as the accumulator's
        some = Signal()  # a product too small to be normalised keeps its sign, and has the exponent of 0
        bits = g.exponent_bits
        cut = max(g.addend_bits - g.window_bits, 0)  # `drop` keeps no more than the accumulator's bits
        magnitude = Signal(g.addend_bits - cut)
        signed_magnitude = Signal(signed(g.addend_bits - cut + 1))
        correction = Signal(g.exponent_bits)
        exponent = Signal(g.exponent_bits)
        m.d.comb += [
            some.eq(self.present & nonzero),
            magnitude.eq(Mux(self.present, normalised[cut:], 0)),
            signed_magnitude.eq(Mux(self.product.negative, -magnitude, magnitude)),
            # The product's exponent + addend_offset - zeros.
            correction.eq(Const((g.addend_offset - 1) % (1 << bits), bits) - extend(Cat(Const(0, 1), zeros[1:]), bits)),
            exponent.eq(add_with_carry(extend(self.product.exponent, bits), correction, ~zeros[0])),
            self.operand.significand.eq(signed_magnitude << (g.window_bits - len(magnitude))),
            self.operand.exponent.eq(Mux(some, exponent, 0)),
        ]

        # -- Infinities and NaN: go along as they are
        connect_specials(m, self.operand, self.product, self.present)
        return m


class FloatOutput(wiring.Component):
    """Convert an accumulator state to the accumulator format's code.

    Members:
        value: the state.
        mode: the mode, where modes differ.
        code: its code.
        flags: raised by the addition that made it, and not among that one's.
    """

    def __init__(self, geometry: FloatGeometry) -> None:
        self._geometry, fmt = geometry, geometry.acc
        self.constants = dict(geometry.constants)
        self.constants["MAX_CODE"] = NamedConstant(
            fmt.width - 1, fmt.max_code, "of the largest number, without its sign"
        )
        if geometry.infinite:
            self.constants["INFINITY_CODE"] = NamedConstant(fmt.width - 1, fmt.infinity_code(0), "without its sign")
        if geometry.nan:
            self.constants["NAN_CODE"] = NamedConstant(fmt.width, fmt.nan_code, "of the NaN that is given")
        super().__init__(
            {
                "value": In(FloatValue(geometry)),
                **mode_port(geometry.dropped),
                "code": Out(geometry.acc.width),
                "flags": Out(FLAG_BITS),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        g, fmt = self._geometry, self._geometry.acc
        p, bits = g.precision, g.exponent_bits

        # -- Settle: the rounding that the state put off, as a magnitude
        value = SettledMagnitude(m, g, self.value, "value", getattr(self, "mode", None))
        m.d.comb += self.flags.eq(value.flags)

        # -- Subnormal numbers: where they are kept normalised, they move right to where the format has them
        below_normal = Signal()
        shifted: Value = value.magnitude
        if g.capped or g.flush:
            m.d.comb += below_normal.eq(~value.normal)
        else:
            # Below the grid of all sums their bits are 0.
            binades = g.min_exponent - g.least_exponent
            distance = Signal(range(binades + 2))
            m.d.comb += [
                below_normal.eq(value.exponent < g.min_exponent),
                distance.eq(Mux(below_normal, Const(g.min_exponent, bits) - value.exponent, 0)),
            ]
            low = max(p - 1 - binades, 0)
            moved = Signal(p + 1 - low, name="moved_magnitude")
            m.d.comb += moved.eq(value.magnitude[low:] >> distance)
            shifted = Cat(value.magnitude[:low], moved)

        # -- Exponent field: the exponent with the format's bias; of a subnormal number 0
        field = Signal(fmt.exp_bits)
        normal_field = Signal(bits)
        m.d.comb += [
            normal_field.eq(add_with_carry(value.exponent, Const(-g.field_offset % (1 << bits), bits), shifted[p])),
            field.eq(Mux(below_normal, shifted[p - 1], normal_field[: fmt.exp_bits])),
        ]

        # -- Code: fields together, unless it overflows, is flushed, infinite or NaN
        absolute: Value = Cat(shifted[: p - 1], field)
        if g.flush:
            absolute = Mux(value.flushed, 0, absolute)
        if value.saturated is not None:
            absolute = Mux(value.saturated, by_mode(member(self, "mode"), g.dropped, self._largest), absolute)
        if g.infinite:
            absolute = Mux(value.specials.infinite, fmt.infinity_code(0), absolute)
        code: Value = Cat(absolute[: fmt.width - 1], value.negative)
        if g.nan:
            code = Mux(value.specials.nan, Const(fmt.nan_code, unsigned(fmt.width)), code)
        m.d.comb += self.code.eq(code)
        return m

    def _largest(self, dropped: int) -> Value:
        """Return the code of the largest number that does without so many of the last bits, without its sign."""
        return Const(self._geometry.acc.max_code >> dropped << dropped)
