"""Rounding of exact integers: the one place where a rounding mode becomes a decision."""

from typing import Literal, get_args

Rounding = Literal["rne", "rtz"]
"""How one value is rounded: `rne`, to nearest, ties to even; `rtz`, toward zero (docs/arithmetic.md section 3)."""

SumRounding = Literal["rne", "rtz", "drop"]
"""How a sum is: as one value, or `drop`, its addends cut at the larger one's last place before they are added."""

Overflow = Literal["saturate", "infinity", "wrap"]
"""What becomes of a result that is too large (docs/arithmetic.md section 3)."""

Subnormals = Literal["gradual", "flush"]
"""Whether a float format has subnormal numbers (docs/arithmetic.md section 1)."""

ROUNDINGS: tuple[Rounding, ...] = get_args(Rounding)
SUM_ROUNDINGS: tuple[SumRounding, ...] = get_args(SumRounding)
OVERFLOWS: tuple[Overflow, ...] = get_args(Overflow)
SUBNORMALS: tuple[Subnormals, ...] = get_args(Subnormals)


def shift_right(magnitude: int, distance: int, rounding: Rounding) -> tuple[int, bool]:
    """Divide a magnitude by 2**distance and round to an integer.

    Parameters:
        magnitude: non-negative integer.
        distance: bits to drop; a negative distance multiplies exactly.
        rounding: `rne` or `rtz`.

    Returns:
        The rounded quotient and whether it is inexact.
    """
    if distance <= 0:
        return magnitude << -distance, False
    kept, dropped = magnitude >> distance, magnitude & ((1 << distance) - 1)
    half = 1 << (distance - 1)
    round_up = rounding == "rne" and (dropped > half or (dropped == half and kept & 1 == 1))
    return kept + round_up, dropped != 0
