"""Between what sums lie exactly, and how many bits hold them. Python integers only."""

from fractions import Fraction

from macgen.errors import MacgenError, shown
from macgen.numerics import FixedFormat, FloatFormat, Format
from macgen.numerics.fixed_format import MAX_WIDTH

Range = tuple[int, int]
"""Lowest and largest value of an operand or a sum, in units of its last bit."""


def operand_range(fmt: Format) -> Range:
    """Return the lowest and the largest finite value of a format in units of 2**lsb_exponent."""
    ends = []
    for sign in (1, 0):
        number = fmt.number(fmt.largest_code(sign))
        magnitude = number.significand << (number.exponent - fmt.lsb_exponent)
        ends.append(-magnitude if number.sign else magnitude)
    return ends[0], ends[1]


def holds(fmt: FixedFormat, values: Range) -> bool:
    """Return whether a fixed-point format reaches both ends of a range of integers."""
    unit = Fraction(2) ** fmt.lsb_exponent
    return fmt.min_integer * unit <= values[0] and values[1] <= fmt.max_integer * unit


def carries(fmt: FixedFormat, values: Range) -> bool:
    """Return whether every integer of a range is a number of a fixed-point format."""
    between = fmt.lsb_exponent > 0 and (values[0] != values[1] or values[0] % (1 << fmt.lsb_exponent) != 0)
    return holds(fmt, values) and not between


def sum_range(a: Range, b: Range, n: int) -> Range:
    """Return the lowest and the largest sum of up to n products of operands from two ranges, zero among them."""
    products = [x * y for x in a for y in b]
    return n * min(0, *products), n * max(0, *products)


def bits(sums: Range, signed: bool) -> int:
    """Return the smallest width whose integers hold a range, at least 1; unsigned ones from 0."""
    low, high = sums
    if not signed:
        return max(high.bit_length(), 1)
    return max(high.bit_length() if high > 0 else 0, (-low - 1).bit_length() if low < 0 else 0) + 1


def exact_format(a: Format, b: Format, n: int) -> FixedFormat:
    """Return the smallest fixed-point format that holds every sum of up to n products of two formats exactly.

    Raises:
        MacgenError: it would have more bits than `FixedFormat` takes.
    """
    low, high = sum_range(operand_range(a), operand_range(b), n)
    lsb_exponent = a.lsb_exponent + b.lsb_exponent
    signed = any(isinstance(fmt, FloatFormat) or fmt.signed for fmt in (a, b))
    width = bits((low, high), signed)
    if width > MAX_WIDTH:
        raise MacgenError(
            f"sums of {shown(n)} products of a {a} and b {b} need {width} bits; accepted are up to {MAX_WIDTH}"
        )
    if max(abs(lsb_exponent), abs(width + lsb_exponent)) > MAX_WIDTH:
        raise MacgenError(
            f"sums of {shown(n)} products of a {a} and b {b} reach from 2^{lsb_exponent} to 2^{width + lsb_exponent}; "
            f"accepted are fixed-point numbers from 2^-{MAX_WIDTH} to 2^{MAX_WIDTH}"
        )
    return FixedFormat(width + lsb_exponent, -lsb_exponent, signed)
