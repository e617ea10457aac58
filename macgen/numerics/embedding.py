"""Formats whose numbers are all numbers of a wider one, and their codes there (docs/arithmetic.md section 10)."""

from typing import Any

from macgen.numerics.fixed_format import FixedFormat
from macgen.numerics.float_format import FloatFormat
from macgen.numerics.late_numpy import np

AnyFormat = FloatFormat | FixedFormat


def obstacle(narrow: AnyFormat, wide: AnyFormat) -> str | None:
    """Return why a format does not embed in another one, as a clause on the narrow one; None where it does."""
    if isinstance(narrow, FloatFormat) and isinstance(wide, FloatFormat):
        return _obstacle_of_floats(narrow, wide)
    if isinstance(narrow, FixedFormat) and isinstance(wide, FixedFormat):
        return _obstacle_of_integers(narrow, wide)
    return "it is a float" if isinstance(narrow, FloatFormat) else "it is fixed point"


def _obstacle_of_floats(narrow: FloatFormat, wide: FloatFormat) -> str | None:
    for what, mine, other in (
        ("exponent bits", narrow.exp_bits, wide.exp_bits),
        ("the bias", narrow.bias, wide.bias),
        ("the encoding", str(narrow.encoding), str(wide.encoding)),
        ("subnormals", str(narrow.subnormals), str(wide.subnormals)),
    ):
        if mine != other:
            return f"it has {mine} as {what}, not {other}"
    if narrow.man_bits > wide.man_bits:
        return f"its mantissa bit {wide.man_bits + 1} does not fit"
    if narrow.man_bits < wide.man_bits and narrow.encoding == "fn":
        return "its NaN would become a number"
    return None


def _obstacle_of_integers(narrow: FixedFormat, wide: FixedFormat) -> str | None:
    if narrow.signed != wide.signed:
        return f"it is {'signed' if narrow.signed else 'unsigned'}"
    if narrow.frac_bits > wide.frac_bits:
        return f"its last bit, 2^-{narrow.frac_bits}, does not fit".replace("2^--", "2^")
    if narrow.int_bits > wide.int_bits:
        return f"its first bit, 2^{narrow.int_bits - 1}, does not fit"
    if narrow.min_integer << (wide.frac_bits - narrow.frac_bits) < wide.min_integer:
        return "its lowest value does not fit"
    return None


def low_bits(narrow: AnyFormat, wide: AnyFormat) -> int:
    """Return how many of the wide format's last bits are zeros in the codes of one that embeds in it."""
    if isinstance(narrow, FloatFormat) and isinstance(wide, FloatFormat):
        return wide.man_bits - narrow.man_bits
    assert isinstance(narrow, FixedFormat)
    assert isinstance(wide, FixedFormat)
    return wide.frac_bits - narrow.frac_bits


def embedded(codes: Any, narrow: AnyFormat, wide: AnyFormat) -> Any:
    """Return codes of a format that embeds, or one, as codes of the wide one.

    Parameters:
        codes: an integer, or an array of integers.
        narrow, wide: the formats.

    Returns:
        an integer, or an array of int64, of Python integers where they do not hold the wide codes.
    """
    if isinstance(codes, np.ndarray):
        codes = codes.astype(np.int64 if wide.width < 64 else object)
    shifted = codes << low_bits(narrow, wide)
    if isinstance(wide, FloatFormat) or not wide.signed:
        return shifted
    missing = wide.width - narrow.width - low_bits(narrow, wide)
    front = ((1 << missing) - 1) << (wide.width - missing)
    return shifted | (codes >> (narrow.width - 1)) * front
