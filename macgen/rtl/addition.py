"""One kind of addition, acc <- R(acc + addend): all that a datapath is derived from.

A PE may have several: products into the inner accumulator, chunk sums into the outer one.
"""

from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Self

from amaranth.hdl import signed
from amaranth.lib import wiring
from amaranth.lib.wiring import Out

from macgen.numerics import FixedFormat, FloatFormat, Format, Overflow, random_bits
from macgen.spec import MacSpec


def significand_bits(fmt: Format) -> int:
    """Return the bits of an operand's magnitude: the significand of a float, the absolute value of an integer."""
    return fmt.precision if isinstance(fmt, FloatFormat) else max(fmt.max_integer, -fmt.min_integer).bit_length()


def exponent_field_max(fmt: Format) -> int:
    """Return the largest effective exponent field of a finite operand; 1 for fixed point, whose grid is constant."""
    return fmt.max_code >> fmt.man_bits if isinstance(fmt, FloatFormat) else 1


@dataclass(frozen=True)
class Addend:
    """What the exact numbers can be that an adder takes; how they stand on wires, see ExactNumber.

    Attributes:
        significand_bits: width of the magnitude.
        lsb_exponent: all are multiples of 2**lsb_exponent.
        least_exponent: on the wires, of a number whose magnitude counts units of 2**lsb_exponent.
        largest_exponent: on the wires, of a finite number.
        largest: largest finite magnitude.
        integer_bits: width of the signed integer in units of 2**lsb_exponent, where one stands on the wires; else 0.
        infinite: whether it can be an infinity.
        nan: whether it can be NaN.
    """

    significand_bits: int
    lsb_exponent: int
    least_exponent: int
    largest_exponent: int
    largest: Fraction
    integer_bits: int
    infinite: bool
    nan: bool

    @classmethod
    def of_product(cls, a: Format, b: Format, *, integer: bool) -> Self:
        """Describe the exact products of two formats.

        Parameters:
            a, b: the formats.
            integer: whether the product of two integer or fixed-point numbers shall be a signed integer.
        """
        ends = [[abs(fmt.number(fmt.largest_code(sign)).to_fraction()) for sign in (0, 1)] for fmt in (a, b)]
        infinite = a.has_infinity or b.has_infinity
        integer = integer and isinstance(a, FixedFormat) and isinstance(b, FixedFormat)
        return cls(
            significand_bits=significand_bits(a) + significand_bits(b),
            lsb_exponent=a.lsb_exponent + b.lsb_exponent,
            least_exponent=2,
            largest_exponent=exponent_field_max(a) + exponent_field_max(b),
            largest=max(ends[0]) * max(ends[1]),
            integer_bits=a.width + b.width + 1 if integer else 0,
            infinite=infinite,
            nan=infinite or a.has_nan or b.has_nan,
        )


class ExactNumber(wiring.Signature):
    """An exact number on its way to an adder, such as a product as the multiplier leaves it.

    An addend with `integer_bits` is one signed `integer` in units of 2**lsb_exponent. Otherwise the value is
    magnitude * 2**(exponent - least_exponent) in these units, and what can occur of the rest is there.

    Members:
        negative: sign.
        magnitude: not normalised; 0 beside infinities and NaN.
        exponent: from the addend's least to its largest.
        infinite, nan: it is an infinity, a NaN.
        invalid: it is the NaN of 0 times infinity or of a signalling NaN operand.
    """

    def __init__(self, addend: Addend) -> None:
        if addend.integer_bits:
            super().__init__({"integer": Out(signed(addend.integer_bits))})
            return
        members: dict[str, Any] = {
            "negative": Out(1),
            "magnitude": Out(addend.significand_bits),
            "exponent": Out(addend.largest_exponent.bit_length()),
        }
        if addend.infinite:
            members["infinite"] = Out(1)
        if addend.nan:
            members |= {"nan": Out(1), "invalid": Out(1)}
        super().__init__(members)


@dataclass(frozen=True)
class Addition:
    """One kind of addition.

    Attributes:
        addend: the exact numbers that are added.
        acc: the accumulator's format.
        rounding: a rounding of sums.
        overflow: `saturate`, `infinity` or `wrap`.
        folds: whether accumulator states are added, too, by the same adder.
    """

    addend: Addend
    acc: Format
    rounding: str
    overflow: Overflow
    folds: bool

    @classmethod
    def of_steps(cls, spec: MacSpec) -> Self:
        """Return the addition of a spec's products to its accumulators."""
        addend = Addend.of_product(spec.a, spec.b, integer=isinstance(spec.acc, FixedFormat))
        return cls(addend, spec.acc, spec.rounding, spec.overflow, folds=spec.chunk is not None)

    @property
    def random_bits(self) -> int:
        """Bits of the random number that the rounding takes, else 0."""
        return random_bits(self.rounding)

    @property
    def rounds_up(self) -> bool:
        """Whether a sum can be rounded away from zero, and so to infinity."""
        return self.rounding == "rne" or self.random_bits > 0
