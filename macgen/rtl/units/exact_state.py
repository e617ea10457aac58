"""Accumulator states on their way to another adder or format: as exact numbers."""

from dataclasses import replace

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from macgen.numerics.flags import FLAG_BITS
from macgen.rtl.parts.bits import extend
from macgen.rtl.parts.interfaces import member
from macgen.rtl.parts.modes import by_mode, mode_port
from macgen.rtl.units.exact_number import Addend, ExactNumber
from macgen.rtl.units.fixed import FixedValue
from macgen.rtl.units.fixed_geometry import FixedGeometry
from macgen.rtl.units.float_value import FloatValue, SettledMagnitude
from macgen.rtl.units.geometry import FloatGeometry


def cut_states(geometry: FloatGeometry, dropped: int) -> Addend:
    """Describe a float accumulator's states without so many of their significands' last bits."""
    states = geometry.states
    return replace(
        states,
        significand_bits=states.significand_bits - dropped,
        lsb_exponent=states.lsb_exponent + dropped,
        leading_zeros=max(states.leading_zeros - dropped, 0),
    )


class FloatNumber(wiring.Component):
    """The number that a state of a float accumulator is.

    Parameters:
        geometry: of the accumulator.
        dropped: so many of the significand's last bits are cut, as they would be later on.

    Members:
        value: the state.
        mode: the mode, where modes differ.
        number: the same as an exact number, never `invalid`; see `FloatGeometry.states`.
        flags: raised by the addition that made the state, and not among that one's.
    """

    def __init__(self, geometry: FloatGeometry, dropped: int = 0) -> None:
        self._geometry = geometry
        self._dropped = dropped
        self.constants = geometry.constants
        super().__init__(
            {
                "value": In(FloatValue(geometry)),
                **mode_port(geometry.dropped),
                "number": Out(ExactNumber(cut_states(geometry, dropped))),
                "flags": Out(FLAG_BITS),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        g, p, bits = self._geometry, self._geometry.precision, len(self.number.exponent)

        # -- Settle: the rounding that the state put off, as a magnitude
        value = SettledMagnitude(m, g, self.value, "value", getattr(self, "mode", None))

        # -- Number: clamped to the format
        # The magnitude may be that of the next binade's 1.0.
        exponent: Value = value.exponent + extend(value.carry, bits)
        magnitude: Value = Cat(value.magnitude[: p - 1], value.magnitude[p - 1] | value.carry)
        if g.flush:
            exponent = Mux(value.flushed, g.zero_exponent, exponent)
            magnitude = Mux(value.flushed, 0, magnitude)
        if value.saturated is not None:
            exponent = Mux(value.saturated, g.max_exponent, exponent)
            largest = by_mode(member(self, "mode"), g.dropped, lambda low: Const(g.largest(low), p))
            magnitude = Mux(value.saturated, largest, magnitude)
        m.d.comb += [
            self.number.exponent.eq(exponent),
            self.number.magnitude.eq(Mux(value.specials.any, 0, magnitude[self._dropped :])),
            self.number.negative.eq(value.negative),
            self.flags.eq(value.flags),
        ]

        # -- Infinities and NaN: go along
        for name in ("infinite", "nan"):
            if name in self.number.signature.members:
                m.d.comb += getattr(self.number, name).eq(getattr(value.specials, name))
        return m


class FixedNumber(wiring.Component):
    """The number that a state of a fixed-point accumulator is.

    Parameters:
        geometry: of the accumulator.
        integer: whether it shall be a signed integer.

    Members:
        value: the state.
        number: the same as an exact number; see `FixedGeometry.states`.
        flags: none.
    """

    def __init__(self, geometry: FixedGeometry, *, integer: bool) -> None:
        self._integer = integer
        super().__init__(
            {
                "value": In(FixedValue(geometry)),
                "number": Out(ExactNumber(geometry.states(integer=integer))),
                "flags": Out(FLAG_BITS),
            },
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        value = self.value.integer
        if self._integer:
            # -- Number: the integer itself
            m.d.comb += self.number.integer.eq(value)
            return m

        # -- Number: sign and magnitude
        negative = value[-1] if value.shape().signed else 0
        opposite = Signal(signed(len(value) + 1))
        m.d.comb += [
            opposite.eq(-value),
            self.number.negative.eq(negative),
            self.number.magnitude.eq(Mux(negative, opposite, value)),
            self.number.exponent.eq(1),
        ]
        return m
