"""What the methods of this package share: checks of their arguments, and the two levels of a chunked sum."""

import math

from macgen.errors import MacgenError, check_integer, is_real, shown

MAX_LENGTH = 1 << 40
"""Longest accumulation that the statistical methods take; the exact bounds take any."""

MAX_FORMULA_MAN_BITS = 64
"""Widest mantissa that the formulas take; accumulators end at `numerics.MAX_MAN_BITS`."""


def check_real(field: str, value: object, above: float, most: float) -> float:
    """Refuse what is no real number above one bound and at most another.

    Returns:
        The number as Python's.

    Raises:
        MacgenError: it is not.
    """
    if is_real(value):
        try:
            number = float(value)  # type: ignore[arg-type]
        except OverflowError:  # of an integer or a fraction
            number = math.inf
        if above < number <= most:
            return number
    raise MacgenError(f"{field} {shown(value)} is not a number above {above:g} and at most {most:g}")


def checked_lengths(n: int, chunk: int | None) -> tuple[int, int | None]:
    """Return a length and a chunk length as Python's integers.

    Raises:
        MacgenError: n is no integer from 1 to `MAX_LENGTH`, or chunk neither one nor None.
    """
    n = check_integer("n", n, 1, MAX_LENGTH)
    return n, None if chunk is None else check_integer("chunk", chunk, 1, MAX_LENGTH)


def levels(n: int, chunk: int | None) -> tuple[int, ...]:
    """Return the lengths of the sums of n addends: the chunk's and that of the chunk sums, or n where one chunk does.

    A last, shorter chunk counts as a whole one. Both lengths are checked ones.
    """
    return (n,) if chunk is None or chunk >= n else (chunk, -(-n // chunk))
