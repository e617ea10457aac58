"""What truncating every sum toward zero (`rtz`) does to it: it shrinks, step by step; a closed form.

Each addition takes part of the last place off the sum, on average 0.36 of 2^-m_acc of its magnitude, as long as the
addends have bits below that place. A product that takes part in j additions, its own among them, keeps
(1 - 0.36 2^-m_acc)^j of its weight. How much a cut takes off varies; these errors add up as those of rounding do.
"""

import math

from macgen.errors import MacgenError, check_integer
from macgen.width.checks import MAX_FORMULA_MAN_BITS, check_real, checked_lengths, levels

_LOSS = 0.5 / math.log(4)
"""Half a unit in the last place, over a significand that is log-uniform between 1 and 2: 1/2 * E[1/significand]."""

_SPREAD = 0.541 / 3 - _LOSS**2
"""Variance of a cut, over 4^-m_acc and the sum's mean square: a third of the last place's mean square (see
`macgen.width.nsr`) less the square of the mean."""

_SMALL = 1e-5


def vrr(n: int, m_acc: int, chunk: int | None = None) -> float:
    """Return Var(sum) / Var(ideal sum); see `nsr`."""
    m_acc = check_integer("m_acc", m_acc, 1, MAX_FORMULA_MAN_BITS)
    return _moments(_loss(m_acc), levels(*checked_lengths(n, chunk)))[1]


def nsr(n: int, m_acc: int, chunk: int | None = None) -> float:
    """Return E[(s - s_ideal)^2] / Var(s_ideal) of a sum that is truncated at every step.

    An upper bound. Where the products' mantissas are longer than the accumulator's by a few bits, it is within 3 %
    from one product on; with chunks up to 10 % too large for long chunks and 30 % for the shortest, whose sums leave
    the folds little to truncate. Shorter products leave little everywhere: it is then larger still.

    Parameters:
        n: length of the accumulation, 1 to 2**40.
        m_acc: mantissa bits of the accumulator, 1 to 64.
        chunk: products per chunk; None: no chunks.

    Raises:
        MacgenError: an argument is refused.
    """
    m_acc = check_integer("m_acc", m_acc, 1, MAX_FORMULA_MAN_BITS)
    loss, lengths = _loss(m_acc), levels(*checked_lengths(n, chunk))
    mean, square = _moments(loss, lengths)
    cuts = (sum(lengths) + 1) / 2  # that a product meets, on average
    spread = math.ldexp(_SPREAD, -2 * m_acc) * cuts * square
    if loss * 2 * cuts < _SMALL:  # the series' first term, too large by no more than that; 1 - 2 + 1 keeps no digits
        return loss**2 * (cuts**2 + sum((length - 1) * (length + 1) for length in lengths) / 12) + spread
    return min(1 - 2 * mean + square + spread, 1.0)


def min_man_bits(n: int, target: float, chunk: int | None = None) -> int:
    """Return the smallest accumulator mantissa whose noise-to-signal ratio is at most the target.

    Raises:
        MacgenError: an argument is refused, or more than 64 bits are needed.
    """
    target = check_real("target", target, 0, 1)
    for m_acc in range(1, MAX_FORMULA_MAN_BITS + 1):
        if nsr(n, m_acc, chunk) <= target:
            return m_acc
    raise MacgenError(f"target {target:g} needs more than {MAX_FORMULA_MAN_BITS} mantissa bits at n {n} with rtz")


def _moments(loss: float, lengths: tuple[int, ...]) -> tuple[float, float]:
    """Return the mean of the products' final weights and of their squares.

    Of n additions, a product meets 1 to n. A fold counts half a cut less: the first one cuts nothing.
    """

    def mean(loss: float) -> float:
        terms = (math.expm1(-loss * length) / (length * math.expm1(-loss)) for length in lengths)
        return math.exp(-loss * (len(lengths) + 1) / 2) * math.prod(terms)

    return mean(loss), mean(2 * loss)


def _loss(m_acc: int) -> float:
    """Return the share that a cut takes off a sum, as an exponent."""
    return math.ldexp(_LOSS, -m_acc)
