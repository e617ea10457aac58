"""What the methods of this package share: checks of their arguments, and the search of a width."""

import math

from macgen.errors import MacgenError, check_integer, is_real, shown
from macgen.numerics import RoundingKind
from macgen.width.formulas.noise import closed_form

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


def least_man_bits(kind: RoundingKind, n: int, target: float, chunk: int | None) -> int:
    """Return the smallest mantissa with which a rounding that only cuts makes no more noise than a target.

    Parameters:
        kind: of the rounding.
        n: length of the accumulation, 1 to 2**40.
        target: largest noise-to-signal ratio accepted, above 0 and at most 1.
        chunk: products per chunk, 1 to 2**40; None: no chunks.

    Raises:
        MacgenError: an argument is refused, or more than 64 bits are needed.
    """
    target = check_real("target", target, 0, 1)
    n, chunk = checked_lengths(n, chunk)
    if (m_acc := closed_form(kind).least_man_bits(n, target, chunk)) <= MAX_FORMULA_MAN_BITS:
        return m_acc
    raise MacgenError(
        f"target {target:g} needs more than {MAX_FORMULA_MAN_BITS} mantissa bits at n {n} with {kind.value}"
    )
