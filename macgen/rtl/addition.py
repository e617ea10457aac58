"""One kind of addition, acc <- R(acc + addend): all that a datapath is derived from.

A PE may have several: products into the inner accumulator, chunk sums into the outer one.
"""

from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any, Self

from amaranth.hdl import signed
from amaranth.lib import wiring
from amaranth.lib.wiring import Out

from macgen.numerics import FixedFormat, FloatFormat, Format, Overflow, random_bits
from macgen.spec import MacSpec, Scale


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
        normalised: whether the magnitude's top bit is set in every number but 0.
    """

    significand_bits: int
    lsb_exponent: int
    least_exponent: int
    largest_exponent: int
    largest: Fraction
    integer_bits: int
    infinite: bool
    nan: bool
    normalised: bool = False

    @classmethod
    def of_format(cls, fmt: Format, *, integer: bool) -> Self:
        """Describe the values of a format.

        Parameters:
            fmt: the format.
            integer: whether an integer or fixed-point number shall be a signed integer.
        """
        ends = [abs(fmt.number(fmt.largest_code(sign)).to_fraction()) for sign in (0, 1)]
        return cls(
            significand_bits=significand_bits(fmt),
            lsb_exponent=fmt.lsb_exponent,
            least_exponent=1,
            largest_exponent=exponent_field_max(fmt),
            largest=max(ends),
            integer_bits=fmt.width + 1 if integer and isinstance(fmt, FixedFormat) else 0,
            infinite=fmt.has_infinity,
            nan=fmt.has_nan,
            normalised=isinstance(fmt, FloatFormat) and fmt.subnormals == "flush",
        )

    @classmethod
    def of_product(cls, a: Format, b: Format, *, integer: bool) -> Self:
        """Describe the exact products of two formats.

        Parameters:
            a, b: the formats.
            integer: whether the product of two integer or fixed-point numbers shall be a signed integer.
        """
        return cls.of_format(a, integer=integer).times(cls.of_format(b, integer=integer))

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
            normalised=True,
        )

    def times(self, other: Self) -> Self:
        """Describe the exact products of such numbers and others."""
        infinite = self.infinite or other.infinite
        integer = self.integer_bits > 0 and other.integer_bits > 0
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
            normalised=self.normalised and other.significand_bits == 0,
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
    """One kind of addition, or the rounding of single numbers.

    Attributes:
        addend: the exact numbers that are added.
        acc: the accumulator's format.
        rounding: a rounding of sums.
        overflow: `saturate`, `infinity` or `wrap`.
        folds: whether accumulator states are added, too, by the same adder.
        prefix: of the names of its modules, where a PE has several kinds.
    """

    addend: Addend
    acc: Format
    rounding: str
    overflow: Overflow
    folds: bool
    prefix: str = ""

    @classmethod
    def of_steps(cls, spec: MacSpec) -> Self:
        """Return the addition of a spec's products to its accumulators."""
        integer = isinstance(spec.acc, FixedFormat)
        if spec.product is None:
            addend = Addend.of_product(spec.a, spec.b, integer=integer)
        else:
            addend = cls.of_products(spec).rounded(integer=integer)
        folds = spec.chunk is not None and not spec.has_outer_adder
        return cls(addend, spec.acc, spec.rounding, spec.overflow, folds)

    @classmethod
    def of_products(cls, spec: MacSpec) -> Self:
        """Return the rounding of products to the spec's format of products: an addition to nothing."""
        fmt = spec.product
        assert fmt is not None
        addend = Addend.of_product(spec.a, spec.b, integer=isinstance(fmt, FixedFormat))
        return cls(addend, fmt, spec.rounding, spec.overflow_into(fmt), folds=False, prefix="rounding_")

    def rounded(self, *, integer: bool) -> Addend:
        """Describe the values that single addends are rounded to.

        Parameters:
            integer: whether integer or fixed-point ones shall be signed integers.
        """
        values, fmt = Addend.of_format(self.acc, integer=integer), self.acc
        infinite = self.addend.infinite or (self.overflow == "infinity" and self.rounds_up)
        return replace(values, infinite=fmt.has_infinity and infinite, nan=fmt.has_nan and self.addend.nan)

    @property
    def random_bits(self) -> int:
        """Bits of the random number that the rounding takes, else 0."""
        return random_bits(self.rounding)

    @property
    def rounds_up(self) -> bool:
        """Whether a sum can be rounded away from zero, and so to infinity."""
        return self.rounding == "rne" or self.random_bits > 0
