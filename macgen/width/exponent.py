"""Exponent bits of a float accumulator: no overflow at a stated probability, underflow below the rounding error."""

import math
import sys
from dataclasses import dataclass
from statistics import NormalDist

from macgen.errors import MacgenError, check_integer
from macgen.numerics import MAX_MAN_BITS, FixedFormat, FloatFormat, Format, as_format
from macgen.width import nsr
from macgen.width.checks import MAX_LENGTH, check_real

OVERFLOW_PROBABILITY = 1e-6
UNDERFLOW_SHARE = 0.1
"""Underflow may add this share of the rounding noise."""

SIGMAS_OF_RANGE = 4
"""Fixed-point operands of which nothing is known are taken to reach their largest value at this many times their
rms."""

_LEAST_TILT, _MOST_TILT = 1e-40, 460.0
_BISECTIONS = 64

_MIN_EXP_BITS, _MAX_EXP_BITS = 2, 11


@dataclass(frozen=True)
class Exponent:
    """The smallest exponent that does.

    Attributes:
        bits: exponent bits of an `ieee` accumulator with the usual bias.
        reason: what asks for as many.
    """

    bits: int
    reason: str


def choose(
    a: Format,
    b: Format,
    n: int,
    man_bits: int,
    *,
    chunk: int | None = None,
    rms: float | None = None,
    nzr: float = 1.0,
    probability: float = OVERFLOW_PROBABILITY,
) -> Exponent:
    """Return the exponent bits that an accumulator with gradual underflow needs.

    Parameters:
        a, b: formats of the operands, whose largest exponents it has to reach.
        n: length of the accumulation, 1 to 2**40.
        man_bits: mantissa bits of the accumulator, 1 to 52.
        chunk: products per chunk; None: no chunks.
        rms: of the products, zeros included; None: `default_rms` of both operands times sqrt(nzr).
        nzr: share of products that are not zero, above 0 and at most 1.
        probability: of an overflow in a dot product, above 0 and at most 0.5.

    Raises:
        MacgenError: an argument is refused, or 11 exponent bits are not enough.
    """
    a, b = as_format("a", a), as_format("b", b)
    man_bits = check_integer("man_bits", man_bits, 1, MAX_MAN_BITS)
    noise = nsr.estimate(n, man_bits, "rne", chunk).nsr
    nzr = check_real("nzr", nzr, 0, 1)
    rms = default_rms(a) * default_rms(b) * math.sqrt(nzr) if rms is None else rms
    rms = check_real("rms", rms, 0, sys.float_info.max)
    top = largest_sum(n, rms, probability, nzr)
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


def default_rms(fmt: Format) -> float:
    """Return the rms of operands of which nothing is known: 1 for floats, a quarter of the largest for fixed point."""
    fmt = as_format("format", fmt)
    return fmt.max / SIGMAS_OF_RANGE if isinstance(fmt, FixedFormat) else 1.0


def largest_sum(n: int, rms: float, probability: float, nzr: float = 1.0) -> float:
    """Return what the partial sums of n products stay below but for the probability.

    The largest magnitude of the partial sums of a symmetric random walk, those within chunks too, exceeds x at most
    twice as often as that of the last one (Levy's inequality): P <= 4 P(sum > x). The products are those of two normal
    operands, of which a share is zero; with the logarithm of their moment generating function, K(t) = ln(1 + nzr ((1 -
    t^2)^(-1/2) - 1)), the tail is taken as Q(w), w^2 / 2 = max over t of t x - n K(t), which is Chernoff's exponent in
    the normal tail. That is exact for long sums. For short and sparse ones it is 1.1 to 5 times the true tail, and more
    where almost no sum has a product that is not zero.

    Parameters:
        n: length of the accumulation, 1 to 2**40.
        rms: of the products, zeros included, above 0.
        probability: of at least one overflow in a dot product, above 0 and at most 0.5.
        nzr: share of products that are not zero, above 0 and at most 1.

    Raises:
        MacgenError: an argument is refused.
    """
    n, rms = check_integer("n", n, 1, MAX_LENGTH), check_real("rms", rms, 0, sys.float_info.max)
    probability, nzr = check_real("probability", probability, 0, 0.5), check_real("nzr", nzr, 0, 1)
    wanted = NormalDist().inv_cdf(max(probability / 4, sys.float_info.min)) ** 2 / 2
    low, high = _LEAST_TILT, _MOST_TILT
    for _ in range(_BISECTIONS):
        middle = math.sqrt(low * high)
        _, chernoff = _tilted(n, nzr, middle)
        low, high = (middle, high) if chernoff < wanted else (low, middle)
    return rms / math.sqrt(nzr) * _tilted(n, nzr, high)[0]


def _tilted(n: int, nzr: float, tilt: float) -> tuple[float, float]:
    """Return the x whose maximum of t x - n K(t) lies at t^2 = 1 - exp(-tilt), and that maximum.

    Both grow with the tilt; the exponential keeps the digits near t = 1, where short and sparse sums have it.
    """
    t = math.sqrt(-math.expm1(-tilt))
    grown = nzr * math.expm1(tilt / 2)
    x = n * t * nzr * math.exp(1.5 * tilt) / (1 + grown)
    return x, t * x - n * math.log1p(grown)
