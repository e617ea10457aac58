"""Sums of products of 16-bit integers in 32 bits: exact, or modulo a power of two where the accumulator wraps."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from macgen.emulate.value_range import OperandFacts, ValueRange, grown_bound
from macgen.emulate.vector_rounding import Constants
from macgen.numerics import FixedFormat
from macgen.spec import MacSpec

MOST_SCALED = 126
"""Largest exponent of what operands are multiplied with: a normal number, as its reciprocal is, in float32, too."""


@dataclass(frozen=True)
class IntegerPlan:
    """How a matrix product is computed whose operands are 16-bit integers times powers of two.

    No addition rounds, so chunks and lanes do not matter, and either none overflows or all of them wrap, which the
    last one may do for all.

    Attributes:
        scales: what makes integers of the left and the right operands.
        constants: what makes values of the sums: `unit`; `random_shift`, the bits of 32 that the accumulator lacks;
            `keep`, whether it is signed.
    """

    scales: tuple[float, float]
    constants: Constants

    dtype: Any = np.int16


def choose_integers(spec: MacSpec, length: int, a: OperandFacts, b: OperandFacts, bound: float) -> IntegerPlan | None:
    """Return the plan for a spec and its data, or None where it is not proved right; the parameters of
    `choose_vectors`."""
    if spec.product is not None or spec.aligns or spec.has_outer_adder:
        return None
    if not (a.finite and b.finite):
        return None
    ranges = ValueRange.of_values(spec.a, a), ValueRange.of_values(spec.b, b)
    if any(some.top_exponent - some.lsb_exponent > 15 for some in ranges):
        return None
    if any(abs(some.lsb_exponent) > MOST_SCALED for some in ranges):
        return None
    unit = sum(some.lsb_exponent for some in ranges)
    acc, unused, signed = spec.acc, 0, True
    if isinstance(acc, FixedFormat):
        exact = unit >= acc.lsb_exponent
    else:
        exact = unit >= acc.sum_exponent and bound <= math.ldexp(1.0, min(acc.precision + unit, 1023))
    if not exact:
        return None
    if not bound < math.ldexp(1.0, 31 + unit) or grown_bound(bound, length, spec) == math.inf:
        if not isinstance(acc, FixedFormat) or spec.overflow_into(acc) != "wrap" or spec.outer_format != acc:
            return None
        bits = acc.width + acc.lsb_exponent - unit
        if not 1 <= bits <= 32:
            return None
        unused, signed = 32 - bits, acc.signed
    constants = Constants(unit=math.ldexp(1.0, unit), random_shift=unused, keep=int(signed))
    left, right = (math.ldexp(1.0, -some.lsb_exponent) for some in ranges)
    return IntegerPlan((left, right), constants)
