"""The feed-forward part of a PE: two operand codes become an exact product."""

from amaranth.hdl import Const, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from macgen.numerics import FixedFormat, FloatFormat, Format
from macgen.rtl.addition import Addend, ExactNumber, significand_bits
from macgen.rtl.bits import extend, is_zero


class Multiplier(wiring.Component):
    """Multiply two codes of any formats exactly.

    Parameters:
        a, b: the formats.
        addend: of their products.

    Members:
        a, b: operand codes.
        product: see ExactNumber.
    """

    def __init__(self, a: Format, b: Format, addend: Addend) -> None:
        self._formats = (a, b)
        self._is_integer = addend.integer_bits > 0
        super().__init__({"a": In(a.width), "b": In(b.width), "product": Out(ExactNumber(addend))})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        if self._is_integer:
            a_value, b_value = (
                code.as_signed() if isinstance(fmt, FixedFormat) and fmt.signed else code
                for code, fmt in zip((self.a, self.b), self._formats, strict=True)
            )
            width = len(self.product.integer)
            m.d.comb += self.product.integer.eq(extend(a_value, width) * extend(b_value, width))
            return m
        a, b = (
            _Operand(m, code, fmt, name) for code, fmt, name in zip((self.a, self.b), self._formats, "ab", strict=True)
        )
        finite = Signal()
        zero_times_infinity = Signal()
        m.d.comb += [
            finite.eq(~(a.infinite | a.nan | b.infinite | b.nan)),
            zero_times_infinity.eq((a.infinite & b.zero) | (a.zero & b.infinite)),
        ]
        bits, width = len(self.product.exponent), len(self.product.magnitude)
        products = {
            "negative": a.negative ^ b.negative,
            "magnitude": Mux(finite, extend(a.significand, width) * extend(b.significand, width), 0),
            "exponent": extend(a.exponent, bits) + extend(b.exponent, bits),
            "infinite": (a.infinite & ~b.nan & ~b.zero) | (b.infinite & ~a.nan & ~a.zero),
            "nan": a.nan | b.nan | zero_times_infinity,
            "invalid": a.signalling | b.signalling | zero_times_infinity,
        }
        for name in self.product.signature.members:
            m.d.comb += getattr(self.product, name).eq(products[name])
        return m


class _Operand:
    """A code taken apart into named signals; what a format does not have is constant 0."""

    def __init__(self, m: Module, code: Value, fmt: Format, name: str) -> None:
        self.negative: Value = code[-1]
        self.infinite: Value = Const(0, 1)
        self.nan: Value = Const(0, 1)
        self.signalling: Value = Const(0, 1)
        self.significand = Signal(significand_bits(fmt), name=f"{name}_significand")
        self.exponent: Value = Const(1, 1)
        self.zero = Signal(name=f"{name}_zero")
        if isinstance(fmt, FloatFormat):
            self._decode_float(m, code, fmt, name)
        else:
            self._decode_fixed(m, code, fmt)
        m.d.comb += self.zero.eq(is_zero(self.significand) & ~self.nan & ~self.infinite)

    def _decode_fixed(self, m: Module, code: Value, fmt: FixedFormat) -> None:
        if fmt.signed:
            m.d.comb += self.significand.eq(Mux(code[-1], -code.as_signed(), code))
        else:
            self.negative = Const(0, 1)
            m.d.comb += self.significand.eq(code)

    def _decode_float(self, m: Module, code: Value, fmt: FloatFormat, name: str) -> None:
        field, mantissa = code[fmt.man_bits : -1], code[: fmt.man_bits]
        normal = Signal(name=f"{name}_normal")
        m.d.comb += normal.eq(field != 0)
        kept = mantissa if fmt.subnormals == "gradual" else mantissa & normal.replicate(fmt.man_bits)
        self.exponent = Signal(fmt.exp_bits, name=f"{name}_exponent")
        m.d.comb += [
            self.significand[: fmt.man_bits].eq(kept),
            self.significand[fmt.man_bits].eq(normal),
            self.exponent.eq(field | ~normal),
        ]
        if fmt.has_nan:
            self.nan = Signal(name=f"{name}_nan")
        match fmt.encoding:
            case "ieee":
                self.infinite = Signal(name=f"{name}_infinite")
                self.signalling = Signal(name=f"{name}_signalling")
                m.d.comb += [
                    self.infinite.eq(field.all() & ~mantissa.any()),
                    self.nan.eq(field.all() & mantissa.any()),
                    self.signalling.eq(self.nan & ~mantissa[-1]),
                ]
            case "fn":
                m.d.comb += self.nan.eq(code[:-1].all())  # mantissa.all() would be 0 in Verilog where it has no bits
            case "fnuz":
                m.d.comb += self.nan.eq(code == fmt.nan_code)
