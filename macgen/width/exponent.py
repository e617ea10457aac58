"""Exponent bits of a float accumulator: no overflow at a stated probability, underflow below the rounding error."""

import sys

from macgen.errors import check_integer
from macgen.numerics import MAX_MAN_BITS, Format, as_format
from macgen.width.checks import MAX_LENGTH, check_real, checked_lengths
from macgen.width.formulas import exponents
from macgen.width.formulas.exponents import Exponent as Exponent

OVERFLOW_PROBABILITY = 1e-6


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
    n, chunk = checked_lengths(n, chunk)
    nzr = check_real("nzr", nzr, 0, 1)
    rms = exponents.products_rms(a, b, nzr) if rms is None else rms
    rms = check_real("rms", rms, 0, sys.float_info.max)
    probability = check_real("probability", probability, 0, 0.5)
    return exponents.least_exponent(a, b, n, man_bits, chunk, rms, nzr, probability)


def default_rms(fmt: Format) -> float:
    """Return the rms of operands of which nothing is known: 1 for floats, a quarter of the largest for fixed point."""
    return exponents.default_rms(as_format("format", fmt))


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
    return exponents.largest_sum(n, rms, probability, nzr)
