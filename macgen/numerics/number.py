"""One decoded code, exactly: what the scalar codecs return and the golden model computes with."""

from fractions import Fraction
from typing import Literal, NamedTuple

from macgen.errors import MacgenError, is_integer, shown

Kind = Literal["finite", "infinite", "nan", "signalling"]


class Number(NamedTuple):
    """A number, an infinity or a NaN.

    Attributes:
        kind: `finite`, `infinite`, `nan` (quiet) or `signalling` (NaN).
        sign: 1 for negative (a zero and a NaN have one too).
        significand: non-negative integer; the magnitude is `significand * 2**exponent`. 0 unless finite.
        exponent: power of two of the significand's last bit.
    """

    kind: Kind
    sign: int
    significand: int = 0
    exponent: int = 0

    @property
    def is_nan(self) -> bool:
        """Whether this is a quiet or signalling NaN."""
        return self.kind in ("nan", "signalling")

    def to_fraction(self) -> Fraction:
        """Return the exact value of a finite number."""
        if self.kind != "finite":
            raise ValueError(f"{self.kind} has no value as a fraction")
        magnitude = Fraction(self.significand) * Fraction(2) ** self.exponent
        return -magnitude if self.sign else magnitude


class Rounded(NamedTuple):
    """A code that an exact value was rounded to, with what happened on the way (docs/arithmetic.md section 3)."""

    code: int
    overflow: bool = False
    underflow: bool = False


def checked_code(code: object, width: int, name: str) -> int:
    """Return a code as a Python integer.

    Parameters:
        code: any integer, NumPy's too.
        width: bits of the format.
        name: what a refusal calls it.

    Raises:
        MacgenError: it is no integer, or none of so many bits.
    """
    largest = (1 << width) - 1
    if not is_integer(code):
        raise MacgenError(f"code {shown(code)} is not an integer from 0 to {largest}, the codes of {name}")
    integer: int = int(code)  # type: ignore[call-overload]
    if not 0 <= integer <= largest:
        raise MacgenError(f"code {shown(integer)} is not from 0 to {largest}, the codes of {name}")
    return integer
