"""What the closed forms of roundings share that only cut: the share that a cut takes off, the search of a width."""

import math
from collections.abc import Callable

from macgen.errors import MacgenError
from macgen.width.checks import MAX_FORMULA_MAN_BITS, check_real

LOSS = 0.5 / math.log(4)
"""Half a unit in the last place, over a significand that is log-uniform between 1 and 2: 1/2 * E[1/significand]."""


def least_man_bits(nsr: Callable[[int], float], target: float, n: int, rounding: str) -> int:
    """Return the smallest mantissa whose noise-to-signal ratio is at most a target.

    Parameters:
        nsr: the ratio at so many mantissa bits.
        target: the largest ratio accepted, above 0 and at most 1.
        n, rounding: of the sum, for a refusal; `nsr` refuses a length that is none.

    Raises:
        MacgenError: the target is refused, or more than 64 bits are needed.
    """
    target = check_real("target", target, 0, 1)
    for m_acc in range(1, MAX_FORMULA_MAN_BITS + 1):
        if nsr(m_acc) <= target:
            return m_acc
    raise MacgenError(
        f"target {target:g} needs more than {MAX_FORMULA_MAN_BITS} mantissa bits at n {n} with {rounding}"
    )
