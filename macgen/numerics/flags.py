"""The sticky flags of a result (docs/arithmetic.md section 5)."""

from enum import IntFlag


class Flags(IntFlag):
    """What happened on the way to a result; the values are the bits on the wires."""

    OVERFLOW = 1
    UNDERFLOW = 2
    INVALID = 4


FLAG_BITS = len(Flags)
"""Width of a result's flags."""
