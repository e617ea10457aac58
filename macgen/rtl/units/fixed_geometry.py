"""What the datapath of an integer or fixed-point accumulator is sized by."""

from dataclasses import dataclass, replace
from fractions import Fraction

from macgen.numerics import FixedFormat
from macgen.rtl.parts.hierarchy import NamedConstant
from macgen.rtl.units.exact_number import Addend
from macgen.rtl.units.rounded_sum import RoundedSum


@dataclass(frozen=True)
class FixedRange:
    """What a mode holds of the accumulator's numbers, in units of the accumulator's last bit.

    Attributes:
        dropped: how many of the last bits are zeros.
        missing: how many of the first ones repeat the sign (unsigned: are zeros).
        least, largest: the ends.
    """

    dropped: int
    missing: int
    least: int
    largest: int

    @classmethod
    def of(cls, fmt: FixedFormat, acc: FixedFormat) -> "FixedRange":
        """Return the range of a format that embeds in the accumulator's."""
        dropped = acc.frac_bits - fmt.frac_bits
        return cls(dropped, acc.int_bits - fmt.int_bits, fmt.min_integer << dropped, fmt.max_integer << dropped)


@dataclass(frozen=True)
class FixedGeometry:
    """What FixedAdder and its neighbours are sized by.

    Attributes:
        rounded_sum: what is added to what, and how it is rounded.
        acc: the accumulator's format.
        acc_bits: width of the accumulator.
        acc_signed: whether it is two's complement.
        extra_bits: bits of an operand below the accumulator's last one. Of a float product finer than that, two are
            kept, the lower one sticky (one more than rounding at random tells apart, with `floor` and `odd` the sticky
            one alone); of an integer product all. None with `drop`, and of an integer product with `floor`: then
            addends are rounded as they come, since the accumulator is on its grid.
        random_bits: bits of the random number that an addition takes; 0 where there is nothing to round.
        operand_bits: width of an operand, signed: a product or, where chunk sums are folded, an accumulator.
        clipped: whether an addend that is no integer can be too large for an operand. The operand's top bit then tells
            that it is, which takes every sum out of the accumulator's range; the bits below are right modulo its range.
        operand_infinite: whether an addend can be infinite.
        operand_nan: whether an addend can be NaN.
        modes: the range of the accumulator in each mode; one alone without modes.
    """

    rounded_sum: RoundedSum
    acc: FixedFormat
    acc_bits: int
    acc_signed: bool
    extra_bits: int
    random_bits: int
    operand_bits: int
    clipped: bool
    operand_infinite: bool
    operand_nan: bool
    modes: tuple["FixedRange", ...]

    @classmethod
    def of(cls, rounded_sum: RoundedSum) -> "FixedGeometry":
        """Derive the geometry of a sum in a fixed-point accumulator."""
        addend, acc = rounded_sum.addend, rounded_sum.acc
        assert isinstance(acc, FixedFormat)
        finer = max(0, acc.lsb_exponent - addend.lsb_exponent)
        below = 1 if rounded_sum.floors or rounded_sum.makes_odd else rounded_sum.bits_below + 1
        extra = finer if addend.integer_bits else min(finer, below)
        if rounded_sum.drops or (rounded_sum.floors and addend.integer_bits):
            extra = 0
        coarser = max(0, addend.lsb_exponent - acc.lsb_exponent)
        modes = tuple(FixedRange.of(fmt, acc) for fmt in rounded_sum.formats if isinstance(fmt, FixedFormat))
        rounds = extra > 0 or any(mode.dropped for mode in modes)
        clipped = not addend.integer_bits and addend.largest >= Fraction(2) ** acc.int_bits
        addend_bits = acc.width + extra + 1 + 2 * clipped
        if addend.integer_bits:
            addend_bits = addend.integer_bits + coarser
        return cls(
            rounded_sum=rounded_sum,
            acc=acc,
            acc_bits=acc.width,
            acc_signed=acc.signed,
            extra_bits=extra,
            random_bits=rounded_sum.random_bits if rounds else 0,
            operand_bits=max(addend_bits, acc.width + extra + 1) if rounded_sum.folds else addend_bits,
            clipped=clipped,
            operand_infinite=addend.infinite,
            operand_nan=addend.nan,
            modes=modes,
        )

    @property
    def loads_exactly(self) -> bool:
        """Whether every addend is a value of the accumulator: loading one into an empty accumulator needs no rounding.

        The accumulator then holds every product, but not every sum of them.
        """
        addend, acc = self.rounded_sum.addend, self.acc
        holds = addend.count == 1 or addend.largest <= acc.number(acc.largest_code(0)).to_fraction()
        return self.extra_bits == 0 and len(self.modes) == 1 and not self.operand_nan and holds

    @property
    def dropped(self) -> tuple[int, ...]:
        """Of each mode how many of the accumulator's last bits it does without."""
        return tuple(mode.dropped for mode in self.modes)

    @property
    def constants(self) -> dict[str, NamedConstant]:
        """Names for the ends of the accumulator's range."""
        least = self.acc.min_integer % (1 << self.acc_bits)
        return {
            "MAX_INTEGER": NamedConstant(self.acc_bits, self.acc.max_integer, "largest value"),
            "MIN_INTEGER": NamedConstant(self.acc_bits, least, "least value"),
        }

    def states(self, *, integer: bool) -> Addend:
        """Describe the accumulator's states as exact numbers.

        Parameters:
            integer: whether they shall be signed integers.
        """
        states = Addend.of_format(self.acc, integer=integer)
        return replace(states, integer_bits=self.acc.width + (not self.acc.signed)) if integer else states
