"""One kind of addition, acc <- R(acc + addend): all that a datapath is derived from.

A PE may have several: products into the inner accumulator, chunk sums into the outer one.
"""

from dataclasses import dataclass, replace
from functools import cached_property

from macgen.numerics import FloatFormat, Format, Overflow, Rounding
from macgen.rtl.units.exact_number import Addend


@dataclass(frozen=True)
class RoundedSum:
    """One kind of addition, or the rounding of single numbers: R(0 + addend).

    Attributes:
        addend: the exact numbers that are added.
        acc: the accumulator's format.
        rounding: a rounding of sums.
        overflow: what becomes of sums that are too large.
        folds: whether accumulator states are added, too, by the same adder.
        prefix: of the names of its modules, where a PE has several kinds.
        modes: the accumulator's format in each mode, `acc` first, where they differ; else none.
        preloads: whether the accumulator may start at any of the format's codes.
    """

    addend: Addend
    acc: Format
    rounding: Rounding
    overflow: Overflow
    folds: bool = False
    prefix: str = ""
    modes: tuple[Format, ...] = ()
    preloads: bool = False

    @property
    def formats(self) -> tuple[Format, ...]:
        """The accumulator's format in each mode; `acc` alone where modes do not matter."""
        return self.modes or (self.acc,)

    @cached_property
    def random_bits(self) -> int:
        """Bits of the random number that the rounding takes, else 0."""
        return self.rounding.random_bits

    @property
    def bits_below(self) -> int:
        """How many bits below the last place rounding tells apart, at least one: of those beneath, whether one is
        set."""
        return max(self.rounding.bits_below, 1)

    @property
    def nearest_beneath(self) -> bool:
        """Whether what lies beneath the bits that meet the random number is rounded to nearest, instead of cut."""
        return self.rounding.beneath == "rne"

    def overflown(self, *, negative: bool) -> Overflow:
        """Return what becomes of a sum of a sign that is too large: `infinity` only where it is rounded that way."""
        if self.overflow == "to-infinity":
            return Overflow.INFINITY
        toward_infinity = self.rounding == "rne" or self.random_bits > 0 or (self.floors and negative)
        return Overflow.SATURATE if self.overflow == "infinity" and not toward_infinity else self.overflow

    @property
    def overflow_infinite(self) -> bool:
        """Whether finite numbers can make a sum infinite."""
        return any(self.overflown(negative=negative) == "infinity" for negative in (False, True))

    @property
    def overflow_nan(self) -> bool:
        """Whether what is too large, infinite addends too, makes a sum NaN."""
        return self.overflow == "nan"

    @property
    def floors(self) -> bool:
        """Whether sums are rounded toward minus infinity, which is to cut what is two's complement."""
        return self.rounding == "floor"

    @property
    def makes_odd(self) -> bool:
        """Whether sums are rounded to odd: what is two's complement is cut, and its last bit set if that changed it."""
        return self.rounding == "odd"

    @property
    def never_adds(self) -> bool:
        """Whether no rounding adds one to a cut float significand in two's complement.

        Of a significand of one bit the last bit is the leading one, beneath which a negative one moves up.
        """
        precise = all(isinstance(fmt, FloatFormat) and fmt.precision > 1 for fmt in self.formats)
        return self.floors or (self.makes_odd and precise)

    @property
    def drops(self) -> bool:
        """Whether the addends are cut at the larger one's last place before they are added."""
        return self.rounding == "drop"

    @property
    def lsb_exponent(self) -> int:
        """Exponent of which all sums in a float accumulator are multiples.

        That of the addends' grid or, after saturation, of the largest number's last bit; of a start value that of the
        format.
        """
        assert isinstance(self.acc, FloatFormat)
        if self.preloads:
            return min(self.addend.lsb_exponent, self.acc.lsb_exponent)
        return min(self.addend.lsb_exponent, self.acc.max_exponent - self.acc.man_bits)

    @property
    def states(self) -> Addend:
        """What an accumulator can become that starts at 0 and to which the addends are added."""
        infinite = self.acc.has_infinity and (self.addend.infinite or self.overflow_infinite)
        values = Addend.of_format(self.acc, integer=True)
        nan = infinite or self.addend.nan or self.overflow_nan
        return replace(values, infinite=infinite, nan=self.acc.has_nan and nan)

    def rounded(self, *, integer: bool) -> Addend:
        """Describe the values that single addends are rounded to.

        Parameters:
            integer: whether integer or fixed-point ones shall be signed integers.
        """
        values, fmt = Addend.of_format(self.acc, integer=integer), self.acc
        infinite, nan = self.addend.infinite or self.overflow_infinite, self.addend.nan or self.overflow_nan
        return replace(values, infinite=fmt.has_infinity and infinite, nan=fmt.has_nan and nan)
