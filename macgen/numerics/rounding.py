"""Rounding of exact integers: the one place where a rounding mode becomes a decision."""

import re
from dataclasses import dataclass
from typing import Literal, get_args

from macgen.errors import MacgenError, shown

Rounding = Literal["rne", "rtz"]
"""How one value is rounded: `rne`, to nearest, ties to even; `rtz`, toward zero (docs/arithmetic.md section 3)."""

SumRounding = Literal["rne", "rtz", "drop"]
"""How a sum is: as one value, or `drop`, its addends cut at the larger one's last place before they are added. There is
`stochastic:r` besides, see `random_bits`."""

Overflow = Literal["saturate", "infinity", "wrap"]
"""What becomes of a result that is too large (docs/arithmetic.md section 3)."""

Subnormals = Literal["gradual", "flush", "none"]
"""What a float format's codes of the exponent field 0 mean: `gradual`, subnormal numbers; `flush`, zero; `none`, normal
numbers, but for the least one, which is zero (docs/arithmetic.md section 1)."""

ROUNDINGS: tuple[Rounding, ...] = get_args(Rounding)
SUM_ROUNDINGS: tuple[SumRounding, ...] = get_args(SumRounding)
OVERFLOWS: tuple[Overflow, ...] = get_args(Overflow)
SUBNORMALS: tuple[Subnormals, ...] = get_args(Subnormals)

MAX_RANDOM_BITS = 32

_STOCHASTIC = re.compile(r"stochastic:([1-9][0-9]?)")


@dataclass(frozen=True, slots=True)
class Stochastic:
    """How one value is rounded by `stochastic:r` with one random number (docs/arithmetic.md section 3).

    Attributes:
        bits: r.
        number: N, from 0 to 2**r - 1.
    """

    bits: int
    number: int


def random_bits(rounding: object) -> int:
    """Return r of a sum's rounding `stochastic:r`, r from 1 to 32, and 0 for everything else."""
    match = _STOCHASTIC.fullmatch(rounding) if isinstance(rounding, str) else None
    bits = int(match[1]) if match else 0
    return bits if bits <= MAX_RANDOM_BITS else 0


def check_sum_rounding(rounding: object, field: str = "rounding") -> None:
    """Refuse what is no rounding of a sum; the sentence names the field.

    Raises:
        MacgenError: it is neither one of `SUM_ROUNDINGS` nor `stochastic:r`.
    """
    if rounding not in SUM_ROUNDINGS and not random_bits(rounding):
        raise MacgenError(
            f"{field} {shown(rounding)} is not one of {', '.join(SUM_ROUNDINGS)}, stochastic:r with r from 1 to "
            f"{MAX_RANDOM_BITS}"
        )


def shift_right(magnitude: int, distance: int, rounding: Rounding | Stochastic) -> tuple[int, bool]:
    """Divide a magnitude by 2**distance and round to an integer.

    Parameters:
        magnitude: non-negative integer.
        distance: bits to drop; a negative distance multiplies exactly.
        rounding: `rne`, `rtz` or a random number.

    Returns:
        The rounded quotient and whether it is inexact.
    """
    if distance <= 0:
        return magnitude << -distance, False
    kept, dropped = magnitude >> distance, magnitude & ((1 << distance) - 1)
    if isinstance(rounding, Stochastic):
        cut, _ = shift_right(magnitude, distance - rounding.bits, "rtz")
        return (cut + rounding.number) >> rounding.bits, dropped != 0
    half = 1 << (distance - 1)
    round_up = rounding == "rne" and (dropped > half or (dropped == half and kept & 1 == 1))
    return kept + round_up, dropped != 0
