"""The feed-forward part of a PE: two operand codes become an exact product; numbers are multiplied by their scales."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import reduce
from operator import add, mul, or_
from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from macgen.numerics import FixedFormat, FloatFormat, Format, ScaleFormat
from macgen.rtl.parts.bits import count_leading_zeros, extend, is_zero, shift_left
from macgen.rtl.parts.interfaces import member
from macgen.rtl.units.exact_number import Addend, ExactNumber, significand_bits
from macgen.spec_fields import Scale

SHORT_BITS = 4
"""Up to so many bits of both significands the multiplier is a few LUTs, and a DSP block would be a waste and slower."""


class Multiplier(wiring.Component):
    """Multiply two codes of any formats exactly.

    Short significands stay out of DSP blocks: the module then has the attribute `use_dsp = "no"`.

    Parameters:
        a, b: the formats.
        addend: of their products.
        zeros: for each operand the exponent on the wires of a zero, or None: that of a subnormal number. Where they are
            given, no operand is normalised.
        zeros_last: a product that is zero has the least exponent.

    Attributes:
        attributes: of the module in the Verilog.

    Members:
        a, b: operand codes.
        product: their exact product; see ExactNumber.
    """

    def __init__(
        self,
        a: Format,
        b: Format,
        addend: Addend,
        zeros: Sequence[int | None] | None = None,
        *,
        zeros_last: bool = False,
    ) -> None:
        self._formats = (a, b)
        self._zeros = zeros
        self._exponent_of_zero = addend.least_exponent if zeros_last else None
        self._is_integer = addend.integer_bits > 0
        # One of two operands: the product, so that its zeros are counted meanwhile. Both: before they are multiplied.
        self._normalises_product = addend.has_tiny_pairs
        lower = addend.smallest_exponent < addend.least_exponent
        self._normalises_operands = zeros is None and not addend.has_tiny_pairs and lower
        is_short = max(significand_bits(a), significand_bits(b)) <= SHORT_BITS
        self.attributes = {"use_dsp": "no"} if is_short else {}
        super().__init__({"a": In(a.width), "b": In(b.width), "product": Out(ExactNumber(addend))})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        if self._is_integer:
            # -- Multiply: integers, with their signs
            a_value, b_value = (
                code.as_signed() if isinstance(fmt, FixedFormat) and fmt.signed else code
                for code, fmt in zip((self.a, self.b), self._formats, strict=True)
            )
            width = len(self.product.integer)
            m.d.comb += self.product.integer.eq(extend(a_value, width) * extend(b_value, width))
            return m

        # -- Decode: codes become signs, significands and exponents
        codes = zip((self.a, self.b), self._formats, "ab", strict=True)
        factors = [decoded(m, *code, normalises=self._normalises_operands) for code in codes]
        factors = with_zeros(factors, self._zeros or (None, None))
        zeros = _zeros_of_subnormal(m, *factors) if self._normalises_product else None

        # -- Multiply: significands are multiplied, exponents added
        connect_product(m, self.product, factors, zeros, self._exponent_of_zero)
        return m


class Scaler(wiring.Component):
    """Multiply a number by two scales exactly.

    Parameters:
        addend: the number.
        scale: the scales' format.
        zero: the exponent on the wires of a scale that is 0; None: as its code says.

    Members:
        number: what is scaled; see ExactNumber.
        a_scale, b_scale: codes of the scales.
        scaled: the exact product of all three; see ExactNumber.
    """

    def __init__(self, addend: Addend, scale: Scale, zero: int | None = None) -> None:
        self._scale, self._zero = scale, zero
        super().__init__(
            {
                "number": In(ExactNumber(addend)),
                "a_scale": In(scale.width),
                "b_scale": In(scale.width),
                "scaled": Out(ExactNumber(self.scaled_addend(addend, scale, zero))),
            }
        )

    @staticmethod
    def scaled_addend(addend: Addend, scale: Scale, zero: int | None = None) -> Addend:
        """Describe the products; parameters as of the class."""
        scales = Addend.of_scale(scale)
        if zero is not None:
            scales = replace(scales, smallest_exponent=zero)
        return addend.times(scales).times(scales)

    def elaborate(self, platform: object) -> Module:
        m = Module()

        # -- Decode: the scales' codes
        scales = [
            decoded(m, code, self._scale, name) for code, name in ((self.a_scale, "a_scale"), (self.b_scale, "b_scale"))
        ]
        scales = with_zeros(scales, [self._zero] * len(scales))

        # -- Multiply: the number by both scales
        connect_product(m, self.scaled, [of_number(self.number), *scales])
        return m


@dataclass(frozen=True)
class Factor:
    """A number to be multiplied, taken apart; what it cannot be is constant 0.

    Attributes:
        negative: sign.
        significand: of a finite number, where floats are normalised also of 0 with the top bit set; None of a power of
            two, which has none.
        exponent: see Addend.
        zero, infinite, nan: what it is, instead of another finite number.
        signalling: it is a NaN that raises `invalid`.
    """

    negative: Value
    significand: Value | None
    exponent: Value
    zero: Value
    infinite: Value
    nan: Value
    signalling: Value


def _zeros_of_subnormal(m: Module, a: Factor, b: Factor) -> Value:
    """Count the zeros above the highest one of the subnormal of two factors, of the first if both are; 0 if none is."""
    assert a.significand is not None
    assert b.significand is not None
    width = max(len(a.significand), len(b.significand))
    a_top, b_top = (Cat(Const(0, width - len(value)), value) for value in (a.significand, b.significand))

    # -- Count zeros: of the subnormal operand, by which the product then moves left
    subnormal = Signal(width)
    m.d.comb += subnormal.eq(Mux(a_top[-1], b_top, a_top))
    return count_leading_zeros(m, subnormal, "leading")[0]


def connect_product(
    m: Module,
    product: Any,
    factors: Sequence[Factor],
    zeros: Value | None = None,
    exponent_of_zero: int | None = None,
) -> None:
    """Drive an ExactNumber, no integer, with the product of two factors or more.

    What is no number comes from the factors in their order, the first two and then the others, as of two operands each
    time (docs/arithmetic.md section 4).

    Parameters:
        m: module that gets the logic.
        product: to be driven.
        factors: to be multiplied.
        zeros: by how many places the product is shifted left.
        exponent_of_zero: of a product that is zero; None: the sum of the factors' exponents.
    """
    bits, width = len(product.exponent), len(product.magnitude)

    # -- Infinities and NaN: which of them the product is, or else whether it is 0
    vanishes = Signal()  # the magnitude is 0
    m.d.comb += vanishes.eq(reduce(or_, (f.infinite | f.nan | f.zero for f in factors)))
    special = factors[0]
    for index, factor in enumerate(factors[1:], 1):
        special = _multiplied(m, special, factor, "zero_times_infinity" if index == 1 else f"product_{index}_invalid")

    # -- Multiply: significands are multiplied, exponents added
    first, *others = (extend(factor.significand, width) for factor in factors if factor.significand is not None)
    magnitude = first * reduce(mul, others) if others else first
    exponent: Value = reduce(add, (extend(factor.exponent, bits) for factor in factors))
    if exponent_of_zero is not None:
        # -- Zeros: never lead where exponents are compared
        is_zero_product = reduce(or_, (factor.zero for factor in factors))
        exponent = Mux(is_zero_product, Const(exponent_of_zero, bits), exponent[:bits])
    if zeros is not None:
        # -- Normalise: the product moves left by the zeros of its subnormal operand
        multiplied = Signal(width)
        m.d.comb += multiplied.eq(magnitude)
        magnitude, exponent = shift_left(m, multiplied, zeros, "normalise"), exponent - extend(zeros, bits)

    # -- Product: no magnitude beside zero, infinity and NaN
    magnitude = Mux(vanishes, 0, magnitude)
    connect_number(m, product, replace(special, significand=magnitude, exponent=exponent))


def with_zeros(factors: Sequence[Factor], zeros: Sequence[int | None]) -> list[Factor]:
    """Return factors with other exponents of zeros; None: they stay as they are."""
    # -- Zeros: take part in the comparison of exponents with one of their own
    return [
        factor if zero is None else replace(factor, exponent=Mux(factor.zero, _constant(zero), factor.exponent))
        for factor, zero in zip(factors, zeros, strict=True)
    ]


def _constant(number: int) -> Const:
    return Const(number, signed(number.bit_length() + 1) if number < 0 else max(number.bit_length(), 1))


def connect_number(m: Module, number: Any, factor: Factor) -> None:
    """Drive an ExactNumber, no integer, with what a factor is."""
    assert factor.significand is not None
    members = {
        "negative": factor.negative,
        "magnitude": factor.significand,
        "exponent": factor.exponent,
        "infinite": factor.infinite,
        "nan": factor.nan,
        "invalid": factor.signalling,
    }
    for name in number.signature.members:
        m.d.comb += getattr(number, name).eq(members[name])


def _multiplied(m: Module, a: Factor, b: Factor, name: str) -> Factor:
    """Return the product of two factors but for its number."""
    # -- Infinities and NaN: zero times infinity is an invalid NaN
    invalid = Signal(name=name)
    m.d.comb += invalid.eq((a.infinite & b.zero) | (a.zero & b.infinite))
    return Factor(
        negative=a.negative ^ b.negative,
        significand=None,
        exponent=Const(0, 1),
        zero=(a.zero & ~b.nan & ~b.infinite) | (b.zero & ~a.nan & ~a.infinite),
        infinite=(a.infinite & ~b.nan & ~b.zero) | (b.infinite & ~a.nan & ~a.zero),
        nan=a.nan | b.nan | invalid,
        signalling=a.signalling | b.signalling | invalid,
    )


def of_number(number: Any) -> Factor:
    """Return an ExactNumber that is no integer as a factor."""
    infinite, nan = member(number, "infinite"), member(number, "nan")
    return Factor(
        negative=number.negative,
        significand=number.magnitude,
        exponent=number.exponent,
        zero=is_zero(number.magnitude) & ~infinite & ~nan,
        infinite=infinite,
        nan=nan,
        signalling=member(number, "invalid"),
    )


def decoded(m: Module, code: Value, fmt: Format | ScaleFormat, name: str, *, normalises: bool = False) -> Factor:
    """Return the number that a code is as a factor.

    Parameters:
        m: module that gets the logic.
        code, fmt: the number.
        name: prefix of the signals made.
        normalises: subnormal numbers of a float are normalised.
    """
    none = Const(0, 1)
    if isinstance(fmt, ScaleFormat):
        # -- Decode: a scale is an exponent alone, or NaN
        is_nan = Signal(name=f"{name}_is_nan")
        m.d.comb += is_nan.eq(code.all())
        return Factor(none, None, code, zero=none, infinite=none, nan=is_nan, signalling=none)
    # -- Decode: sign, significand and exponent of an operand
    significand = Signal(significand_bits(fmt), name=f"{name}_significand")
    zero = Signal(name=f"{name}_zero")
    if isinstance(fmt, FloatFormat):
        normalises = normalises and fmt.subnormals == "gradual" and fmt.man_bits > 0
        factor = _decoded_float(m, code, fmt, name, significand, zero, normalises)
    else:
        normalises = False
        negative: Value = none
        if fmt.signed:
            negative = code[-1]
            m.d.comb += significand.eq(Mux(code[-1], -code.as_signed(), code))
        else:
            m.d.comb += significand.eq(code)
        factor = Factor(negative, significand, Const(1, 1), zero, none, none, none)
    if not normalises:
        m.d.comb += zero.eq(is_zero(significand) & ~factor.nan & ~factor.infinite)
    return factor


def _decoded_float(
    m: Module, code: Value, fmt: FloatFormat, name: str, significand: Signal, zero: Signal, normalises: bool
) -> Factor:
    # -- Decode: fields, and the hidden bit of a normal number
    field, mantissa = code[fmt.man_bits : -1], code[: fmt.man_bits]
    normal = Signal(name=f"{name}_normal")
    # Without subnormals the field is the exponent as it is, and only zero has no hidden bit.
    has_binade = fmt.subnormals == "none"
    m.d.comb += normal.eq((code[:-1] if has_binade else field) != 0)
    kept = mantissa & normal.replicate(fmt.man_bits) if fmt.subnormals == "flush" else mantissa
    nan: Value = Signal(name=f"{name}_nan") if fmt.has_nan else Const(0, 1)
    exponent: Signal
    if normalises:
        # -- Normalise: a subnormal operand moves left until its top bit is set
        # The field of a subnormal number is 0, and its exponent 0 or less, by the zeros above its highest one.
        zeros, hidden = count_leading_zeros(m, mantissa, f"{name}_leading")
        shifted = Cat(Const(0, 1), shift_left(m, mantissa, zeros, f"{name}_normalise")[:-1])
        exponent = Signal(range(1 - fmt.man_bits, 1 << fmt.exp_bits), name=f"{name}_exponent")
        no_bits = ~normal & ~hidden
        subnormal_exponent = Signal(signed(len(zeros) + 1), name=f"{name}_subnormal_exponent")  # 0 of a normal number
        m.d.comb += [
            significand.eq(Cat(Mux(normal, mantissa, shifted), Const(1, 1))),
            subnormal_exponent.eq(Mux(normal, 0, -zeros)),
            exponent.eq(field | subnormal_exponent),
            zero.eq(no_bits & ~nan if fmt.encoding == "fnuz" else no_bits),  # whose NaN is the code of -0
        ]
    else:
        exponent = Signal(fmt.exp_bits, name=f"{name}_exponent")
        m.d.comb += [
            significand.eq(Cat(kept, normal)),
            exponent.eq(field if has_binade else field | ~normal),
        ]

    # -- Infinities and NaN: codes that are no numbers
    infinite: Value = Const(0, 1)
    signalling: Value = Const(0, 1)
    match fmt.encoding:
        case "ieee" | "quiet":
            infinite = Signal(name=f"{name}_infinite")
            if fmt.encoding == "ieee":
                signalling = Signal(name=f"{name}_signalling")
            field_all_ones = Signal(name=f"{name}_field_all_ones")
            mantissa_nonzero = Signal(name=f"{name}_mantissa_nonzero")
            m.d.comb += [
                field_all_ones.eq(field.all()),
                mantissa_nonzero.eq(mantissa.any()),
                infinite.eq(field_all_ones & ~mantissa_nonzero),
                nan.eq(field_all_ones & mantissa_nonzero),
            ]
            if fmt.encoding == "ieee":
                m.d.comb += signalling.eq(nan & ~mantissa[-1])
        case "fn":
            m.d.comb += nan.eq(code[:-1].all())  # mantissa.all() would be 0 in Verilog where it has no bits
        case "fnuz":
            m.d.comb += nan.eq(code == fmt.nan_code)
    return Factor(code[-1], significand, exponent, zero, infinite, nan, signalling)
