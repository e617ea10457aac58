"""Widths and constants of a float datapath, all of which follow from the formats.

The accumulator is held as significand * 2**(exponent + grid), the significand in two's complement. Exponents are not
negative, and as high as their width allows: the exponent of a sum above all numbers has ones in all places, so that
overflow, which is found at the start of the loop, is a matter of leading ones.
"""

from dataclasses import dataclass
from functools import cached_property

from macgen.numerics import FloatFormat
from macgen.rtl.parts.hierarchy import NamedConstant
from macgen.rtl.units.exact_number import Addend
from macgen.rtl.units.rounded_sum import RoundedSum

SHORT_SHIFTS = 3
"""Normalisation shifts a sum of two addends, the exponents of which differ by two or more, by fewer places than this.

The larger one is at least half of the window's magnitude, the other at most a quarter of it. So at least a quarter is
left: two places below the top, as a sum has a bit to spare. (Where that is negative and no more than a quarter, it
moves a place further, but is a power of two.) Zero, or a subnormal number that stops normalisation, is the larger one
only at the smallest normal number's exponent, from which a sum moves by one place at most."""


@dataclass(frozen=True)
class FloatGeometry:
    """What FloatAdder and its neighbours are sized by.

    Attributes:
        rounded_sum: what is added to what, and how it is rounded.
        acc: the accumulator's format.
        precision: p, significand bits of the accumulator.
        addend_bits: w, significand bits of an exact addend.
        window_bits: magnitude bits to which both addends are left-aligned, max(p, w); p where they are cut before
            the sum (`drop`).
        guard_bits: bits below the window that a shifted addend keeps, before the sticky bit: one for the left shift
            of a sum that cancels, then the ones that rounding looks at.
        random_bits: bits of the random number that an addition takes.
        exponent_bits: width of all exponents.
        least_exponent: exponent of the smallest exact sum that is not 0, or of the smallest normal number if that is
            less.
        field_offset: what the output takes from exponents to give the format's exponent field.
        min_exponent: exponent of the smallest normal number.
        max_exponent: exponent of the largest finite number.
        max_significand: significand of the largest finite number.
        addend_offset: what is added to an addend's exponent on the wires, minus its leading zeros.
        capped: whether results can be inexact below the smallest normal number, so that normalisation has to stop
            there. Where every sum lies on the subnormal grid anyway, subnormal numbers are kept normalised and only
            the output converts them.
        flush: whether results below the smallest normal number become zero.
        least_missing: whether 2**min_exponent is no number: its code means zero.
        signed_zero: whether a result can be -0.
        nan: whether the accumulator can become NaN and stay so.
        infinite: whether the accumulator can become infinite and stay so.
        overflow_infinite: whether finite numbers can make it so.
        overflow_nan: whether numbers that are too large, and infinite addends, make it NaN.
        operand_infinite: whether an addend can be infinite.
        operand_nan: whether an addend can be NaN.
        operand_opposite: whether it can be one that is invalid only beside a number or an infinity.
        dropped: how many of the accumulator's last significand bits each mode does without; 0 alone without modes.
    """

    rounded_sum: RoundedSum
    acc: FloatFormat
    precision: int
    addend_bits: int
    window_bits: int
    guard_bits: int
    random_bits: int
    exponent_bits: int
    least_exponent: int
    field_offset: int
    min_exponent: int
    max_exponent: int
    max_significand: int
    addend_offset: int
    capped: bool
    flush: bool
    least_missing: bool
    signed_zero: bool
    nan: bool
    infinite: bool
    overflow_infinite: bool
    overflow_nan: bool
    operand_infinite: bool
    operand_nan: bool
    operand_opposite: bool
    dropped: tuple[int, ...] = (0,)

    @property
    def constants(self) -> dict[str, NamedConstant]:
        """Names for the ends of the accumulator's range."""
        places, largest = self.precision + 2, self.max_significand
        return {
            "MAX_EXPONENT": NamedConstant(self.exponent_bits, self.max_exponent, "of the largest number"),
            "MIN_EXPONENT": NamedConstant(self.exponent_bits, self.min_exponent, "of the smallest normal number"),
            "MAX_SIGNIFICAND": NamedConstant(places, largest, "of the largest number"),
            "LEAST_SIGNIFICAND": NamedConstant(places, (1 << places) - largest, "of the largest negative number"),
        }

    @property
    def zero_exponent(self) -> int:
        """Exponent that goes with a zero significand, so that the other addend is aligned without loss."""
        return self.min_exponent if self.capped else 0

    def largest(self, dropped: int) -> int:
        """Return the significand of the largest number that does without so many of the last bits."""
        return self.max_significand >> dropped << dropped

    def least(self, dropped: int) -> tuple[int, int]:
        """Return significand and exponent of its negative, normalised: its sign and the next bit differ.

        Of a power of two that is -1.0 of the binade below, but where normalisation stops at the same exponent.
        """
        largest = self.largest(dropped)
        power = largest == 1 << (self.precision - 1)
        if power and not (self.capped and self.max_exponent == self.min_exponent):
            return -2 * largest, self.max_exponent - 1
        return -largest, self.max_exponent

    @property
    def cancelling_bits(self) -> int:
        """Top bits of a sum of two addends below which nothing stands where its shift is no short one.

        Their exponents then differ by less than two, so that they reach one bit below the window.
        """
        return self.window_bits + 3

    @classmethod
    def of(cls, rounded_sum: RoundedSum) -> "FloatGeometry":
        """Derive the geometry of a sum in a float accumulator."""
        addend, acc = rounded_sum.addend, rounded_sum.acc
        assert isinstance(acc, FloatFormat)
        p, w = acc.precision, addend.significand_bits
        drops = rounded_sum.drops
        window = p if drops else max(p, w)
        sum_lsb = rounded_sum.lsb_exponent
        gradual = acc.subnormals == "gradual"
        dropped = tuple(p - fmt.precision for fmt in rounded_sum.formats if isinstance(fmt, FloatFormat))
        capped = gradual and sum_lsb < acc.lsb_exponent + max(dropped)
        # First as if the smallest normal number's exponent were 0.
        least = min(0, sum_lsb - (acc.lsb_exponent + p - 1))
        addend_offset = addend.lsb_exponent - addend.least_exponent - acc.lsb_exponent + (w - p)
        max_exponent = (acc.max_code >> acc.man_bits) - acc.least_normal_field
        largest = max(max_exponent, addend.largest_exponent + addend_offset)
        # A sum may have one more than the largest; the exponent below the least is that of zero and of -1.0 beneath it.
        exponent_bits = (largest + 1 - (least - 1)).bit_length()
        min_exponent = (1 << exponent_bits) - 1 - (largest + 1)
        infinite = acc.has_infinity and (addend.infinite or rounded_sum.overflow_infinite or rounded_sum.preloads)
        return cls(
            rounded_sum=rounded_sum,
            acc=acc,
            precision=p,
            addend_bits=w,
            window_bits=window,
            guard_bits=1 if drops else max(w + 1, p + 1 + rounded_sum.bits_below) - window,
            random_bits=rounded_sum.random_bits,
            exponent_bits=exponent_bits,
            least_exponent=min_exponent + least,
            field_offset=min_exponent - acc.least_normal_field,
            min_exponent=min_exponent,
            max_exponent=min_exponent + max_exponent,
            max_significand=(1 << acc.man_bits) | (acc.max_code & ((1 << acc.man_bits) - 1)),
            addend_offset=min_exponent + addend_offset,
            capped=capped,
            flush=not gradual,
            least_missing=acc.subnormals == "none",
            signed_zero=capped
            and acc.encoding != "fnuz"
            and not drops
            and not rounded_sum.floors
            and not rounded_sum.makes_odd,
            nan=acc.has_nan and (addend.nan or infinite or rounded_sum.overflow_nan or rounded_sum.preloads),
            infinite=infinite,
            overflow_infinite=rounded_sum.overflow_infinite,
            overflow_nan=rounded_sum.overflow_nan,
            operand_infinite=addend.infinite,
            operand_nan=addend.nan,
            operand_opposite=addend.opposite,
            dropped=dropped,
        )

    @property
    def loads_exactly(self) -> bool:
        """Whether every addend, infinities and NaN included, is a value of the accumulator: loading needs no rounding.

        May be false for a few formats without odd significands whose products happen to be values.
        """
        addend, acc = self.rounded_sum.addend, self.acc
        return (
            self.addend_bits <= self.precision
            and (self.nan or not self.operand_nan)
            and (self.infinite or not self.operand_infinite)
            and not self.capped
            and addend.largest <= acc.number(acc.max_code).to_fraction()
            and (not self.flush or addend.lsb_exponent >= acc.sum_exponent)
        )

    @cached_property
    def states(self) -> Addend:
        """What the accumulator's states are as exact numbers."""
        # Either no number lies below the smallest normal one's exponent, or all are kept normalised.
        least = self.min_exponent if self.capped or self.flush else self.least_exponent
        return Addend(
            significand_bits=self.precision,
            lsb_exponent=self.acc.lsb_exponent - self.min_exponent + least,
            least_exponent=least,
            largest_exponent=self.max_exponent,
            largest=self.acc.number(self.acc.max_code).to_fraction(),
            integer_bits=0,
            infinite=self.infinite,
            nan=self.nan,
            leading_zeros=self.precision - 1 if self.capped else 0,
            smallest_exponent=least,
        )
