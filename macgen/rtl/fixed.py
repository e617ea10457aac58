"""The datapath of an integer or fixed-point accumulator (docs/arithmetic.md section 3)."""

from dataclasses import dataclass
from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, signed, unsigned
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from macgen.numerics import FixedFormat
from macgen.numerics.flags import FLAG_BITS
from macgen.rtl.bits import extend, rounds_away, shift_right_sticky
from macgen.rtl.float_adder import connect_specials, member, random_port
from macgen.rtl.geometry import exponent_field_max
from macgen.rtl.multiplier import RawProduct
from macgen.spec import MacSpec


@dataclass(frozen=True)
class FixedGeometry:
    """What FixedAdder and its neighbours are sized by.

    Attributes:
        acc_bits: width of the accumulator.
        acc_signed: whether it is two's complement.
        extra_bits: bits of an operand below the accumulator's last one. Of a float product finer than that, two are
            kept, the lower one sticky (with stochastic rounding one more than random bits); of an integer product all.
            None with `drop`.
        random_bits: bits of the random number that an addition takes; 0 where there is nothing to round.
        operand_bits: width of an operand, signed: a product or, where chunk sums are folded, an accumulator.
        operand_infinite: whether a product can be infinite.
        operand_nan: whether a product can be NaN.
    """

    acc_bits: int
    acc_signed: bool
    extra_bits: int
    random_bits: int
    operand_bits: int
    operand_infinite: bool
    operand_nan: bool

    @classmethod
    def of(cls, spec: MacSpec) -> "FixedGeometry":
        """Derive the geometry of a spec with a fixed-point accumulator."""
        a, b, acc = spec.a, spec.b, spec.acc
        assert isinstance(acc, FixedFormat)
        integer = isinstance(a, FixedFormat) and isinstance(b, FixedFormat)
        finer = max(0, acc.lsb_exponent - (a.lsb_exponent + b.lsb_exponent))
        extra = 0 if spec.rounding == "drop" else finer if integer else min(finer, max(spec.random_bits, 1) + 1)
        infinite = a.has_infinity or b.has_infinity
        coarser = max(0, a.lsb_exponent + b.lsb_exponent - acc.lsb_exponent)
        product_bits = a.width + b.width + 1 + coarser if integer else acc.width + extra + 1
        return cls(
            acc_bits=acc.width,
            acc_signed=acc.signed,
            extra_bits=extra,
            random_bits=spec.random_bits if extra else 0,
            operand_bits=product_bits if spec.chunk is None else max(product_bits, acc.width + extra + 1),
            operand_infinite=infinite,
            operand_nan=infinite or a.has_nan or b.has_nan,
        )


class FixedValue(wiring.Signature):
    """An accumulator state.

    Members:
        integer: the value in units of the accumulator's last bit.
    """

    def __init__(self, geometry: FixedGeometry) -> None:
        shape = signed(geometry.acc_bits) if geometry.acc_signed else unsigned(geometry.acc_bits)
        super().__init__({"integer": Out(shape)})


class FixedOperand(wiring.Signature):
    """The other addend: a product, or a chunk sum that is folded.

    Members:
        integer: its value, with extra_bits below the accumulator's last bit.
        infinite, nan, invalid: of a product, see Multiplier; the integer is 0 beside them.
        negative: sign of an infinity.
    """

    def __init__(self, geometry: FixedGeometry) -> None:
        members: dict[str, Any] = {"integer": Out(signed(geometry.operand_bits))}
        if geometry.operand_infinite:
            members |= {"infinite": Out(1), "negative": Out(1)}
        if geometry.operand_nan:
            members |= {"nan": Out(1), "invalid": Out(1)}
        super().__init__(members)


class FixedAdder(wiring.Component):
    """Add an operand to the accumulator, round once, saturate or wrap.

    Members:
        acc, operand, random, result, flags: see FloatAdder.
    """

    def __init__(self, spec: MacSpec) -> None:
        self._spec = spec
        self._geometry = g = FixedGeometry.of(spec)
        super().__init__(
            {
                "acc": In(FixedValue(g)),
                "operand": In(FixedOperand(g)),
                **random_port(g.random_bits),
                "result": Out(FixedValue(g)),
                "flags": Out(FLAG_BITS),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        g, fmt = self._geometry, self._spec.acc
        assert isinstance(fmt, FixedFormat)
        sum_bits = max(g.operand_bits, g.acc_bits + g.extra_bits + 1) + 1
        total = Signal(signed(sum_bits))
        kept = Signal(signed(sum_bits - g.extra_bits))
        increment = Signal()
        rounded = Signal(signed(sum_bits - g.extra_bits + 1))
        m.d.comb += [
            total.eq((self.acc.integer << g.extra_bits) + self.operand.integer),
            kept.eq(total[g.extra_bits :].as_signed()),
            rounded.eq(kept + increment),
        ]
        if g.extra_bits:
            dropped = total[: g.extra_bits]
            if self._spec.rounding == "rne":
                m.d.comb += increment.eq(dropped[-1] & (dropped[:-1].any() | kept[0]))
            elif g.random_bits:
                m.d.comb += increment.eq(rounds_away(dropped, self.random, total[-1]))
            else:
                m.d.comb += increment.eq(kept[-1] & dropped.any())
        infinite, nan = member(self.operand, "infinite"), member(self.operand, "nan")
        outside = Signal()
        overflow = Signal()
        m.d.comb += [
            outside.eq((rounded > fmt.max_integer) | (rounded < fmt.min_integer)),
            overflow.eq((outside & ~nan) | infinite),
            self.flags.eq(Cat(overflow, Const(0, 1), nan)),
        ]
        clamp: Value = infinite | nan
        clamp_negative: Value = infinite & member(self.operand, "negative")
        if self._spec.overflow == "saturate":
            clamp = clamp | outside
            clamp_negative = clamp_negative | (~infinite & ~nan & rounded[-1])
        m.d.comb += self.result.integer.eq(
            Mux(clamp, Mux(clamp_negative, fmt.min_integer, fmt.max_integer), rounded[: g.acc_bits])
        )
        return m


class FixedProduct(wiring.Component):
    """Put a product on the accumulator's grid; what a float product has below it becomes a guard and a sticky bit.

    Members:
        present: whether there is a product; without one the operand is 0.
        product: see RawProduct.
        operand: see FixedOperand.
    """

    def __init__(self, spec: MacSpec) -> None:
        self._spec = spec
        self._geometry = FixedGeometry.of(spec)
        self._raw = RawProduct(spec)
        super().__init__({"present": In(1), "product": In(self._raw), "operand": Out(FixedOperand(self._geometry))})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        g, spec = self._geometry, self._spec
        product_lsb = spec.a.lsb_exponent + spec.b.lsb_exponent
        grid = spec.acc.lsb_exponent - g.extra_bits
        value: Value
        if self._raw.is_integer:
            finer = max(grid - product_lsb, 0)
            value = self.product.integer << max(product_lsb - grid, 0)
            if finer:  # `drop` cuts toward zero, the shift toward minus infinity
                negative, lost = value[-1], value[:finer].any()
                value = value[finer:].as_signed() + extend(negative & lost, 2).as_signed()
        else:
            # The largest exponents need no shift; products with smaller ones move right from there.
            largest = exponent_field_max(spec.a) + exponent_field_max(spec.b)
            highest = largest - 2 + product_lsb - grid
            left, right = max(highest, 0), max(-highest, 0)
            wide = Signal(signed(len(self.product.magnitude) + left + 1))
            distance = Signal(max((largest - 2 + right).bit_length(), 1))
            m.d.comb += [
                wide.eq(self.product.magnitude << left),
                distance.eq(largest + right - self.product.exponent),
            ]
            aligned, sticky = shift_right_sticky(m, wide, distance, "align")
            magnitude = Signal(g.operand_bits - 1)
            m.d.comb += magnitude.eq(aligned)
            if g.extra_bits and product_lsb < grid:
                m.d.comb += magnitude[0].eq(aligned[0] | sticky)
            value = Mux(self.product.negative, -magnitude, magnitude)
        m.d.comb += self.operand.integer.eq(Mux(self.present, value, 0))
        connect_specials(m, self.operand, self.product, self.present)
        return m


class FixedOutput(wiring.Component):
    """Give an accumulator state's code.

    Members:
        value: the state.
        code: its code.
    """

    def __init__(self, spec: MacSpec) -> None:
        super().__init__({"value": In(FixedValue(FixedGeometry.of(spec))), "code": Out(spec.acc.width)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.d.comb += self.code.eq(self.value.integer)
        return m
