"""The number format that a model itself states for an operand, in macgen's words."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class OperandFormat:
    """A format that holds every value of an operand, zero points subtracted.

    Attributes:
        name: of the format, such as `int4`, `uint8` or `e4m3fn`.
        narrow: of a signed integer, whether its most negative value never occurs.
    """

    name: str
    narrow: bool = False

    def __str__(self) -> str:
        return f"{self.name}narrow" if self.narrow else self.name


def integer_format(low: int, high: int) -> OperandFormat:
    """Return the smallest integer format that holds all integers from `low` to `high`."""
    if low >= 0:
        return OperandFormat(f"uint{max(1, high.bit_length())}")
    bits = max((-low - 1).bit_length(), max(high, 0).bit_length()) + 1
    # One bit has no positive number, so that -1 and 1 take two bits, and not all of them.
    return OperandFormat(f"int{bits}", narrow=bits > 1 and low > -(1 << (bits - 1)))
