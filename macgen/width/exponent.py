"""Exponent bits of a float accumulator: no overflow at a stated probability, underflow below the rounding error."""

import math
import sys
from dataclasses import dataclass
from statistics import NormalDist

from macgen.errors import MacgenError
from macgen.numerics import FixedFormat, FloatFormat, Format
from macgen.width import nsr
from macgen.width.arguments import MAX_LENGTH, check_chunk, check_integer, check_real

OVERFLOW_PROBABILITY = 1e-6
UNDERFLOW_SHARE = 0.1
"""Underflow may add this share of the rounding noise."""

SIGMAS_OF_RANGE = 4
"""Fixed-point operands of which nothing is known are taken to reach their largest value at this many times their
rms."""

_MIN_EXP_BITS, _MAX_EXP_BITS = 2, 11
MAX_MAN_BITS = 52
"""Widest mantissa of a float accumulator."""


@dataclass(frozen=True)
class Exponent:
    """The smallest exponent that does.

    Attributes:
        bits: exponent bits of an `ieee` accumulator with the usual bias.
        reason: what asks for as many.
    """

    bits: int
    reason: str


def default_rms(fmt: Format) -> float:
    """Return the rms of operands of which nothing is known: 1 for floats, a quarter of the largest for fixed point."""
    return fmt.max / SIGMAS_OF_RANGE if isinstance(fmt, FixedFormat) else 1.0


def largest_sum(n: int, rms: float, probability: float) -> float:
    """Return what the partial sums of n zero-mean products stay below but for the probability.

    The largest of the partial sums of a symmetric random walk exceeds x at most twice as often as the last one (Levy's
    inequality), which is normal: P = 4 Q(x / (rms sqrt(n))).

    Parameters:
        n: length of the accumulation.
        rms: of the products, zeros included.
        probability: of at least one overflow in a dot product, above 0 and at most 0.5.
    """
    return rms * math.sqrt(n) * -NormalDist().inv_cdf(probability / 4)


def choose(
    a: Format,
    b: Format,
    n: int,
    man_bits: int,
    *,
    chunk: int | None = None,
    rms: float | None = None,
    probability: float = OVERFLOW_PROBABILITY,
) -> Exponent:
    """Return the exponent bits that an accumulator with gradual underflow needs.

    Parameters:
        a, b: formats of the operands, whose largest exponents it has to reach.
        n: length of the accumulation, 1 to 2**40.
        man_bits: mantissa bits of the accumulator, 1 to 52.
        chunk: products per chunk; None: no chunks.
        rms: of the products, zeros included; None: `default_rms` of both operands.
        probability: of an overflow in a dot product, above 0 and at most 0.5.

    Raises:
        MacgenError: an argument is refused, or 11 exponent bits are not enough.
    """
    check_integer("n", n, 1, MAX_LENGTH)
    check_integer("man_bits", man_bits, 1, MAX_MAN_BITS)
    check_chunk(chunk)
    check_real("probability", probability, 0, 0.5)
    rms = default_rms(a) * default_rms(b) if rms is None else rms
    check_real("rms", rms, 0, sys.float_info.max)
    top = largest_sum(n, rms, probability)
    noise = nsr.estimate(n, man_bits, "rne", chunk).nsr
    finest = rms * math.sqrt(12 * UNDERFLOW_SHARE * noise)
    operand_exponent = max(a.max_exponent, b.max_exponent)
    product_lsb = a.lsb_exponent + b.lsb_exponent

    def missing(acc: FloatFormat) -> str | None:
        if acc.max < top:
            return f"sums reach {top:.3g} with probability {probability:g}"
        if acc.lsb_exponent > product_lsb and math.ldexp(1.0, acc.lsb_exponent) > finest:
            return f"underflow has to stay below {UNDERFLOW_SHARE:.0%} of the rounding noise"
        if acc.max_exponent < operand_exponent:
            return f"operands reach 2^{operand_exponent}"
        return None

    reason = "the narrowest is enough"
    for bits in range(_MIN_EXP_BITS, _MAX_EXP_BITS + 1):
        lack = missing(FloatFormat(bits, man_bits))
        if lack is None:
            return Exponent(bits, reason)
        reason = lack
    raise MacgenError(f"rms {rms:g} of the products asks for more than {_MAX_EXP_BITS} exponent bits: {reason}")
