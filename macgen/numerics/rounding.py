"""Rounding of exact integers: the one place where a rounding mode becomes a decision."""

from dataclasses import dataclass
from typing import Literal, get_args

PlainRounding = Literal["rne", "rtz", "floor", "odd"]
"""How one number is rounded without a random number: `rne`, to nearest, ties to even; `rtz`, toward zero; `floor`,
toward minus infinity; `odd`, to the odd one of its two neighbours (docs/arithmetic.md section 3)."""

PLAIN_ROUNDINGS: tuple[PlainRounding, ...] = get_args(PlainRounding)


@dataclass(frozen=True, slots=True)
class Stochastic:
    """How one number is rounded by `stochastic:r` with one random number (docs/arithmetic.md section 3).

    Attributes:
        bits: r.
        number: N, from 0 to 2**r - 1.
        beneath: how the number is rounded to the r bits to which N is added: `rtz`, or `rne` with `:nearest`.
    """

    bits: int
    number: int
    beneath: PlainRounding = "rtz"


NumberRounding = PlainRounding | Stochastic
"""How one number is rounded."""


def shift_right(magnitude: int, distance: int, rounding: NumberRounding, *, negative: bool = False) -> tuple[int, bool]:
    """Divide a magnitude by 2**distance and round to an integer.

    Parameters:
        magnitude: non-negative integer.
        distance: bits to drop; a negative distance multiplies exactly.
        rounding: `rne`, `rtz`, `floor`, `odd` or a random number.
        negative: whether it is that of a negative number, which `floor` alone asks.

    Returns:
        The rounded quotient and whether it is inexact.
    """
    if distance <= 0:
        return magnitude << -distance, False
    kept, dropped = magnitude >> distance, magnitude & ((1 << distance) - 1)
    if isinstance(rounding, Stochastic):
        first, _ = shift_right(magnitude, distance - rounding.bits, rounding.beneath)
        return (first + rounding.number) >> rounding.bits, dropped != 0
    if rounding == "floor":
        return kept + (negative and dropped != 0), dropped != 0
    if rounding == "odd":
        return kept | (dropped != 0), dropped != 0
    half = 1 << (distance - 1)
    round_up = rounding == "rne" and (dropped > half or (dropped == half and kept & 1 == 1))
    return kept + round_up, dropped != 0
