"""What the methods of this package share: checks of their arguments, and the two levels of a chunked sum."""

from macgen.errors import MacgenError, check_integer, shown

MAX_LENGTH = 1 << 40
"""Longest accumulation that the statistical methods take; the exact bounds take any."""

MAX_FORMULA_MAN_BITS = 64
"""Widest mantissa that the formulas take; accumulators end at `numerics.MAX_MAN_BITS`."""


def check_real(field: str, value: object, above: float, most: float) -> None:
    """Refuse what is no real number above one bound and at most another.

    Raises:
        MacgenError: it is not.
    """
    if isinstance(value, bool) or not isinstance(value, int | float) or not above < value <= most:
        raise MacgenError(f"{field} {shown(value)} is not a number above {above:g} and at most {most:g}")


def levels(n: int, chunk: int | None) -> tuple[int, ...]:
    """Return the lengths of the sums of n addends: the chunk's and that of the chunk sums, or n where one chunk does.

    A last, shorter chunk counts as a whole one.

    Raises:
        MacgenError: n is no integer from 1 to `MAX_LENGTH`, or chunk neither one nor None.
    """
    check_integer("n", n, 1, MAX_LENGTH)
    if chunk is None:
        return (n,)
    check_integer("chunk", chunk, 1, MAX_LENGTH)
    return (n,) if chunk >= n else (chunk, -(-n // chunk))
