"""Accumulator states on their way to another adder or format: as exact numbers."""

from dataclasses import replace
from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal, Value, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from macgen.numerics import FixedFormat, FloatFormat
from macgen.numerics.flags import FLAG_BITS
from macgen.rtl.parts.bits import extend
from macgen.rtl.units.exact_number import Addend, Addition, ExactNumber
from macgen.rtl.units.fixed import FixedGeometry, FixedValue
from macgen.rtl.units.float_value import FloatValue, SettledMagnitude
from macgen.rtl.units.geometry import FloatGeometry


def float_sums(addition: Addition) -> Addend:
    """Describe the states of a float accumulator."""
    g, acc = FloatGeometry.of(addition), addition.acc
    assert isinstance(acc, FloatFormat)
    # Either no number lies below the smallest normal one's exponent, or all are kept normalised.
    least = g.min_exponent if g.capped or g.flush else g.least_exponent
    return Addend(
        significand_bits=g.precision,
        lsb_exponent=acc.lsb_exponent - g.min_exponent + least,
        least_exponent=least,
        largest_exponent=g.max_exponent,
        largest=acc.number(acc.max_code).to_fraction(),
        integer_bits=0,
        infinite=g.infinite,
        nan=g.nan,
        leading_zeros=g.precision - 1 if g.capped else 0,
        smallest_exponent=least,
    )


def fixed_sums(addition: Addition, *, integer: bool) -> Addend:
    """Describe the states of a fixed-point accumulator."""
    sums = Addend.of_format(addition.acc, integer=integer)
    return replace(sums, integer_bits=addition.acc.width + _is_unsigned(addition.acc)) if integer else sums


def _is_unsigned(fmt: Any) -> bool:
    return isinstance(fmt, FixedFormat) and not fmt.signed


class FloatNumber(wiring.Component):
    """The number that a state of a float accumulator is.

    Members:
        value: the state.
        number: see `float_sums`; never `invalid`.
        flags: raised by the addition that made the state, and not among that one's.
    """

    def __init__(self, addition: Addition) -> None:
        self._geometry = FloatGeometry.of(addition)
        super().__init__(
            {
                "value": In(FloatValue(self._geometry)),
                "number": Out(ExactNumber(float_sums(addition))),
                "flags": Out(FLAG_BITS),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        g, p, bits = self._geometry, self._geometry.precision, len(self.number.exponent)
        value = SettledMagnitude(m, g, self.value, "value")
        # The magnitude may be that of the next binade's 1.0.
        exponent: Value = value.exponent + extend(value.carry, bits)
        magnitude: Value = Cat(value.magnitude[: p - 1], value.magnitude[p - 1] | value.carry)
        if g.flush:
            exponent = Mux(value.flushed, g.zero_exponent, exponent)
            magnitude = Mux(value.flushed, 0, magnitude)
        if not g.overflow_infinite:
            exponent = Mux(value.outside, g.max_exponent, exponent)
            magnitude = Mux(value.outside, g.max_significand, magnitude)
        m.d.comb += [
            self.number.exponent.eq(exponent),
            self.number.magnitude.eq(Mux(value.specials.any, 0, magnitude)),
            self.number.negative.eq(value.negative),
            self.flags.eq(value.flags),
        ]
        for name in ("infinite", "nan"):
            if name in self.number.signature.members:
                m.d.comb += getattr(self.number, name).eq(getattr(value.specials, name))
        return m


class FixedNumber(wiring.Component):
    """The number that a state of a fixed-point accumulator is.

    Members:
        value: the state.
        number: see `fixed_sums`.
        flags: none.
    """

    def __init__(self, addition: Addition, *, integer: bool) -> None:
        self._integer = integer
        sums = fixed_sums(addition, integer=integer)
        super().__init__(
            {
                "value": In(FixedValue(FixedGeometry.of(addition))),
                "number": Out(ExactNumber(sums)),
                "flags": Out(FLAG_BITS),
            },
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        value = self.value.integer
        if self._integer:
            m.d.comb += self.number.integer.eq(value)
            return m
        negative = value[-1] if value.shape().signed else 0
        opposite = Signal(signed(len(value) + 1))
        m.d.comb += [
            opposite.eq(-value),
            self.number.negative.eq(negative),
            self.number.magnitude.eq(Mux(negative, opposite, value)),
            self.number.exponent.eq(1),
        ]
        return m
