"""What truncating every sum toward zero (`rtz`) does to it: it shrinks, step by step; a closed form.

Each addition takes part of the last place off the sum, on average 0.36 of 2^-m_acc of its magnitude, as long as the
addends have bits below that place. A product that is followed by r more additions keeps (1 - 0.36 2^-m_acc)^r of its
weight.
"""

import math

from macgen.errors import MacgenError
from macgen.width.arguments import MAX_LENGTH, MAX_MAN_BITS, check_chunk, check_integer, check_real, levels

_LOSS = 0.5 / math.log(4)
"""Half a unit in the last place, over a significand that is log-uniform between 1 and 2: 1/2 * E[1/significand]."""

_SMALL = 1e-5


def vrr(n: int, m_acc: int, chunk: int | None = None) -> float:
    """Return Var(sum) / Var(ideal sum); see `nsr`."""
    return _moments(n, m_acc, chunk)[1]


def nsr(n: int, m_acc: int, chunk: int | None = None) -> float:
    """Return E[(s - s_ideal)^2] / Var(s_ideal) of a sum that is truncated at every step.

    Within 5 % (10 % with chunks) where the products' mantissas are longer than the accumulator's by a few bits. For
    shorter products it is an upper bound, since many sums then have no bits to truncate.

    Parameters:
        n: length of the accumulation, 1 to 2**40.
        m_acc: mantissa bits of the accumulator, 1 to 64.
        chunk: products per chunk; None: no chunks.

    Raises:
        MacgenError: an argument is refused.
    """
    mean, square = _moments(n, m_acc, chunk)
    decays = _decays(n, m_acc, chunk)
    if sum(decays) < _SMALL:  # the series' first term, too large by no more than that; 1 - 2 + 1 would keep no digits
        return sum(decays) ** 2 / 4 + sum(decay**2 for decay in decays) / 12
    return 1 - 2 * mean + square


def min_man_bits(n: int, target: float, chunk: int | None = None) -> int:
    """Return the smallest accumulator mantissa whose noise-to-signal ratio is at most the target.

    Raises:
        MacgenError: an argument is refused, or more than 64 bits are needed.
    """
    check_real("target", target, 0, 1)
    for m_acc in range(1, MAX_MAN_BITS + 1):
        if nsr(n, m_acc, chunk) <= target:
            return m_acc
    raise MacgenError(f"target {target:g} needs more than {MAX_MAN_BITS} mantissa bits at n {n} with rtz")


def _moments(n: int, m_acc: int, chunk: int | None) -> tuple[float, float]:
    """Return the mean of the products' final weights and of their squares."""
    mean = square = 1.0
    for decay in _decays(n, m_acc, chunk):
        mean *= -math.expm1(-decay) / decay
        square *= -math.expm1(-2 * decay) / (2 * decay)
    return mean, square


def _decays(n: int, m_acc: int, chunk: int | None) -> list[float]:
    """Return the share that each level takes off its first product, as an exponent: exp(-decay) is left."""
    check_integer("n", n, 1, MAX_LENGTH)
    check_integer("m_acc", m_acc, 1, MAX_MAN_BITS)
    check_chunk(chunk)
    return [_LOSS * math.ldexp(1.0, -m_acc) * length for length in levels(n, chunk)]
