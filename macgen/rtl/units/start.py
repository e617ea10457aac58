"""Start values of preloaded accumulators: codes become accumulator states."""

from typing import Any

from amaranth.hdl import Const, Module, Mux, Signal, Value, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from macgen.numerics import FloatFormat
from macgen.rtl.units.datapath import AnyDatapath, FloatDatapath
from macgen.rtl.units.multiplier import Factor, decoded


def start_signals(arithmetic: AnyDatapath) -> bool:
    """Return whether a start value can be a signalling NaN."""
    fmt = arithmetic.rounded_sum.acc
    return isinstance(fmt, FloatFormat) and fmt.encoding == "ieee"


class StartValue(wiring.Component):
    """Convert the code of a start value to an accumulator state (docs/arithmetic.md section 11).

    Parameters:
        arithmetic: of the accumulator.

    Members:
        code: the start value.
        value: the state.
        invalid: it is a signalling NaN, for which the flag invalid is raised.
    """

    def __init__(self, arithmetic: AnyDatapath) -> None:
        self._arithmetic = arithmetic
        signals: dict[str, Any] = {"invalid": Out(1)} if start_signals(arithmetic) else {}
        super().__init__(
            {"code": In(arithmetic.rounded_sum.acc.width), "value": Out(arithmetic.value), **signals},
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        if isinstance(self._arithmetic, FloatDatapath):
            self._load_float(m, self._arithmetic)
        else:
            # -- State: the integer as it is
            is_signed = self._arithmetic.geometry.acc_signed
            m.d.comb += self.value.integer.eq(self.code.as_signed() if is_signed else self.code)
        return m

    def _load_float(self, m: Module, arithmetic: FloatDatapath) -> None:
        g, p = arithmetic.geometry, arithmetic.geometry.precision
        number = decoded(m, self.code, g.acc, "code", normalises=not g.capped)
        assert number.significand is not None

        # -- State: two's complement; a negative power of two is -1.0 of the binade below it
        # Where normalisation stops there is no binade below the smallest normal number's. With `drop` the exponent
        # decides what is cut from the other addend, and stays: the number below it is rounded up.
        magnitude = Signal(p, name="magnitude")
        exponent = Signal(g.exponent_bits, name="exponent")
        moves_down = Signal(name="moves_down")
        empty = Signal(name="empty")  # no magnitude
        m.d.comb += [
            empty.eq(number.nan | number.infinite | number.zero),
            magnitude.eq(Mux(empty, 0, number.significand)),
            exponent.eq(number.exponent + g.field_offset),
            moves_down.eq(number.negative & (magnitude == 1 << (p - 1)) & self._has_binade_below(exponent, g)),
        ]
        opposite = Signal(signed(p + 1), name="opposite")
        drops = arithmetic.rounded_sum.drops
        lowest = Const(-(1 << (p - 1)) - 1 if drops else -1 << p, signed(p + 1))
        lowered = exponent if drops else exponent - moves_down
        m.d.comb += [
            opposite.eq(-magnitude),
            self.value.significand.eq(Mux(moves_down, lowest, Mux(number.negative, opposite, magnitude))),
            self.value.exponent.eq(Mux(empty, g.zero_exponent, lowered)),
        ]
        if drops:
            m.d.comb += self.value.round_up.eq(moves_down)
        self._load_specials(m, number)

    def _has_binade_below(self, exponent: Value, geometry: Any) -> Value:
        return exponent != geometry.min_exponent if geometry.capped else Const(1, 1)

    def _load_specials(self, m: Module, number: Factor) -> None:
        # -- Infinities and NaN: as the accumulator holds them
        found = {
            "positive_infinity": number.nan | (number.infinite & ~number.negative),
            "negative_infinity": number.nan | (number.infinite & number.negative),
            "nan": number.nan,
        }
        for name, value in found.items():
            if name in self.value.signature.members:
                m.d.comb += getattr(self.value, name).eq(value)
        if "invalid" in self.signature.members:
            m.d.comb += self.invalid.eq(number.signalling)
