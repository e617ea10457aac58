"""Exponent bits of a float accumulator: what its sums reach, and where underflow would be noise."""

import math
import sys
from dataclasses import dataclass
from statistics import NormalDist

from macgen.errors import MacgenError
from macgen.numerics import FixedFormat, FloatFormat, Format, RoundingKind
from macgen.width.formulas.noise import closed_form

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


def least_exponent(
    a: Format, b: Format, n: int, man_bits: int, chunk: int | None, rms: float, nzr: float, probability: float
) -> Exponent:
    """Return the exponent bits that an accumulator with gradual underflow needs.

    Parameters:
        a, b: formats of the operands, whose largest exponents it has to reach.
        n, man_bits, chunk: products, mantissa bits of the accumulator, products a chunk (None: no chunks).
        rms, nzr: of the products, and the share of them that are not zero.
        probability: of an overflow in a dot product.

    Raises:
        MacgenError: 11 exponent bits are not enough.
    """
    noise = closed_form(RoundingKind.RNE).nsr(n, man_bits, chunk)
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


def products_rms(a: Format, b: Format, nzr: float) -> float:
    """Return the rms of products of operands of which nothing but the share of zeros is known."""
    return default_rms(a) * default_rms(b) * math.sqrt(nzr)


def default_rms(fmt: Format) -> float:
    """Return the rms of operands of which nothing is known: 1 for floats, a quarter of the largest for fixed point."""
    return fmt.max / SIGMAS_OF_RANGE if isinstance(fmt, FixedFormat) else 1.0


def largest_sum(n: int, rms: float, probability: float, nzr: float) -> float:
    """Return what the partial sums of n products stay below but for the probability; `width.exponent` derives it."""
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
