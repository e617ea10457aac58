"""Exact numbers on their way to an adder: what they can be, how they stand on wires, where they are cut."""

import math
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any, Self

from amaranth.hdl import Shape, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import Out

from macgen.numerics import FixedFormat, FloatFormat, Format
from macgen.spec_fields import Scale


def significand_bits(fmt: Format) -> int:
    """Return the bits of an operand's magnitude: the significand of a float, the absolute value of an integer."""
    return fmt.precision if isinstance(fmt, FloatFormat) else max(fmt.max_integer, -fmt.min_integer).bit_length()


def exponent_field_max(fmt: Format) -> int:
    """Return the largest effective exponent field of a finite operand; 1 for fixed point, whose grid is constant."""
    return fmt.max_code >> fmt.man_bits if isinstance(fmt, FloatFormat) else 1


def exponent_field_min(fmt: Format) -> int:
    """Return the effective exponent field that goes with units of 2**lsb_exponent; 1 for fixed point."""
    return fmt.least_normal_field if isinstance(fmt, FloatFormat) else 1


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
        leading_zeros: most zeros above the magnitude's highest one, in a number that is not 0.
        smallest_exponent: on the wires, of a number that is not 0; below the least where subnormals are normalised.
        count: of how many numbers it is the exact sum.
        has_tiny_pairs: it is a product, and that of two subnormal numbers is not normalised: it may have more leading
            zeros. All that a sum asks of one so small is its sign.
        has_zero_exponents: the exponents of zeros count, too, and may be smaller than those of other numbers.
    """

    significand_bits: int
    lsb_exponent: int
    least_exponent: int
    largest_exponent: int
    largest: Fraction
    integer_bits: int
    infinite: bool
    nan: bool
    leading_zeros: int
    smallest_exponent: int
    count: int = 1
    has_tiny_pairs: bool = False
    has_zero_exponents: bool = False

    @classmethod
    def of_format(cls, fmt: Format, *, integer: bool, normalised: bool = False) -> Self:
        """Describe the values of a format.

        Parameters:
            fmt: the format.
            integer: whether an integer or fixed-point number shall be a signed integer.
            normalised: whether the subnormal numbers of a float shall be normalised.
        """
        ends = [abs(fmt.number(fmt.largest_code(sign)).to_fraction()) for sign in (0, 1)]
        bits, least = significand_bits(fmt), exponent_field_min(fmt)
        is_float = isinstance(fmt, FloatFormat)
        has_subnormals = isinstance(fmt, FloatFormat) and fmt.subnormals == "gradual"
        return cls(
            significand_bits=bits,
            lsb_exponent=fmt.lsb_exponent,
            least_exponent=least,
            largest_exponent=exponent_field_max(fmt),
            largest=max(ends),
            integer_bits=fmt.width + 1 if integer and isinstance(fmt, FixedFormat) else 0,
            infinite=fmt.has_infinity,
            nan=fmt.has_nan,
            leading_zeros=0 if is_float and (normalised or not has_subnormals) else bits - 1,
            smallest_exponent=least - (bits - 1) if normalised and has_subnormals else least,
        )

    @classmethod
    def of_product(cls, a: Format, b: Format, *, integer: bool, normalised: bool = False) -> Self:
        """Describe the exact products of two formats.

        Parameters:
            a, b: the formats.
            integer: whether the product of two integer or fixed-point numbers shall be a signed integer.
            normalised: whether subnormal operands shall be normalised.
        """
        x, y = (cls.of_format(fmt, integer=integer, normalised=normalised) for fmt in (a, b))
        return x.times(y)

    @classmethod
    def of_scale(cls, scale: Scale) -> Self:
        """Describe scales. A power of two has no magnitude on the wires, its exponent is its code."""
        if isinstance(scale, FloatFormat):
            return cls.of_format(scale, integer=False)
        largest = scale.nan_code - 1
        return cls(
            significand_bits=0,
            lsb_exponent=-scale.bias,
            least_exponent=0,
            largest_exponent=largest,
            largest=scale.number(largest).to_fraction(),
            integer_bits=0,
            infinite=False,
            nan=True,
            leading_zeros=0,
            smallest_exponent=0,
        )

    def times(self, other: Self) -> Self:
        """Describe the exact products of such numbers and others."""
        infinite = self.infinite or other.infinite
        integer = self.integer_bits > 0 and other.integer_bits > 0
        both = self.significand_bits > 0 and other.significand_bits > 0
        return replace(
            self,
            significand_bits=self.significand_bits + other.significand_bits,
            lsb_exponent=self.lsb_exponent + other.lsb_exponent,
            least_exponent=self.least_exponent + other.least_exponent,
            largest_exponent=self.largest_exponent + other.largest_exponent,
            largest=self.largest * other.largest,
            integer_bits=self.integer_bits + other.integer_bits - 1 if integer else 0,
            infinite=infinite,
            nan=infinite or self.nan or other.nan,
            leading_zeros=self.leading_zeros + other.leading_zeros + both,
            smallest_exponent=self.smallest_exponent + other.smallest_exponent,
            count=1,
        )

    @classmethod
    def of_sum(cls, addend: Self, count: int, lsb_exponent: int | None = None) -> Self:
        """Describe exact sums of so many numbers, all with the same exponent on the wires.

        Parameters:
            addend: the numbers.
            count: how many at most.
            lsb_exponent: the place to which they are cut before they are added; None: they are not.
        """
        lsb = addend.lsb_exponent if lsb_exponent is None else lsb_exponent
        units = math.ceil(addend.largest / Fraction(2) ** lsb)
        return cls(
            significand_bits=(count * units).bit_length(),
            lsb_exponent=lsb,
            least_exponent=1,
            largest_exponent=1,
            largest=count * units * Fraction(2) ** lsb,
            integer_bits=addend.integer_bits + (count - 1).bit_length() if addend.integer_bits else 0,
            infinite=addend.infinite,
            nan=addend.nan or (addend.infinite and count > 1),
            leading_zeros=(count * units).bit_length() - 1,
            smallest_exponent=1,
            count=count,
        )

    @classmethod
    def of_window(cls, window: "Window") -> Self:
        """Describe the sums of a window's addends; the least exponent is that of the window's lowest position."""
        bits = window.magnitude_bits + (len(window.addends) - 1).bit_length()
        return cls(
            significand_bits=bits,
            lsb_exponent=window.lsb_exponent,
            least_exponent=1,
            largest_exponent=1 + max(window.highest - window.bits - window.lsb_exponent, 0),
            largest=sum((addend.largest for addend in window.addends), Fraction(0)),
            integer_bits=0,
            infinite=any(addend.infinite for addend in window.addends),
            nan=any(addend.nan or addend.infinite for addend in window.addends),
            leading_zeros=bits - 1,
            smallest_exponent=1,
        )

    @property
    def opposite(self) -> bool:
        """Whether it can be the NaN of infinities of both signs."""
        return self.infinite and self.count > 1

    @property
    def highest(self) -> int:
        """Exponent of the binade of the largest magnitude."""
        exponent = self.largest.numerator.bit_length() - self.largest.denominator.bit_length()
        return exponent if self.largest >= Fraction(2) ** exponent else exponent - 1


@dataclass(frozen=True)
class Window:
    """Where numbers are cut before they are added: a number of bits below the largest one's binade.

    Attributes:
        addends: the numbers.
        fraction_bits: bits that are kept below the largest exponent.
        lsb_exponent: place below which nothing is kept, whatever the largest exponent.
        sticky: whether the last bit that is kept is the OR of itself and all that is cut below it.
    """

    addends: tuple[Addend, ...]
    fraction_bits: int
    lsb_exponent: int
    sticky: bool = False

    @property
    def highest(self) -> int:
        """Largest exponent of an addend."""
        return max(addend.highest for addend in self.addends)

    @property
    def bits(self) -> int:
        """Bits below the largest exponent that are there: no more than the widest window has use for."""
        return min(self.fraction_bits, max(self.highest - self.lsb_exponent, 0))

    @property
    def magnitude_bits(self) -> int:
        """Width of a cut addend's magnitude."""
        return self.bits + 1

    @property
    def base(self) -> int:
        """Exponent that stands on the wires as 0: that of the smallest magnitude of an addend."""
        return min(self.lsb_exponent, *(addend.lsb_exponent for addend in self.addends))

    @property
    def lowest_top(self) -> int:
        """Exponent on the wires of the top bit in the window's lowest position."""
        return self.lsb_exponent + self.bits - self.base

    @property
    def exponent_bits(self) -> int:
        """Width of the exponents on the wires."""
        return max(self.highest - self.base, self.lowest_top, 1).bit_length()


class ExactNumber(wiring.Signature):
    """An exact number on its way to an adder, such as a product as the multiplier leaves it.

    An addend with `integer_bits` is one signed `integer` in units of 2**lsb_exponent. Otherwise the value is
    magnitude * 2**(exponent - least_exponent) in these units, and what can occur of the rest is there.

    Members:
        integer: two's complement, in units of its last bit.
        negative: sign.
        magnitude: absolute value without the exponent; 0 beside infinities and NaN.
        exponent: with an offset; from the addend's smallest to its largest.
        infinite: it is an infinity.
        nan: it is a NaN.
        invalid: it is the NaN of 0 times infinity or of a signalling NaN operand.
        opposite: it is the NaN of infinities of both signs, which is not invalid where it meets a NaN.
    """

    def __init__(self, addend: Addend) -> None:
        if addend.integer_bits:
            super().__init__({"integer": Out(signed(addend.integer_bits))})
            return
        members: dict[str, Any] = {
            "negative": Out(1),
            "magnitude": Out(addend.significand_bits),
            "exponent": Out(Shape.cast(range(min(addend.smallest_exponent, 0), addend.largest_exponent + 1))),
        }
        if addend.infinite:
            members["infinite"] = Out(1)
        if addend.nan:
            members |= {"nan": Out(1), "invalid": Out(1)}
        if addend.opposite:
            members["opposite"] = Out(1)
        super().__init__(members)
