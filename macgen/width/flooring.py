"""What rounding every sum toward minus infinity (`floor`) does to it: it drifts down, step by step; a closed form.

Each addition takes part of the last place off the sum, on average 0.36 of 2^-m_acc of its magnitude, as long as the
addends have bits below that place: as much as truncation does. But it takes it off whatever the sum's sign. So errors
do not shrink a sum, they move it, and those of chunks do not depend on the chunks' signs: all of them add up.

Sums of i independent addends of unit variance are about normal, their magnitudes on average sqrt(2 i / pi). The drift
of n additions is c 2^-m_acc times the sum of these magnitudes, c = 0.36. Its mean grows with n^1.5, its mean square is
c^2 3/8 n^3: 3/8 is that of the area under the magnitude of a Brownian motion (M. Kac, "On some connections between
probability theory and differential and integral equations", 1951). How much a cut takes off varies beside that; these
errors add up as those of rounding do.
"""

import math

from macgen.errors import MacgenError, check_integer
from macgen.width import nsr as rounding_noise
from macgen.width.checks import MAX_FORMULA_MAN_BITS, MAX_LENGTH, check_real, checked_lengths, levels

_LOSS = 0.5 / math.log(4)
"""Half a unit in the last place, over a significand that is log-uniform between 1 and 2: 1/2 * E[1/significand]."""

_MEAN_MAGNITUDE = math.sqrt(2 / math.pi)
"""Of a normal number of unit variance."""

_ZETA = 0.2079
"""-zeta(-1/2), the constant of the sum of square roots (Euler and Maclaurin)."""


def nsr(n: int, m_acc: int, chunk: int | None = None) -> float:
    """Return E[(s - s_ideal)^2] / Var(s_ideal) of a sum that is rounded toward minus infinity at every step.

    Good where it gives less than 0.05; sums that have drifted further are larger, and drift faster than it says. Where
    the products' mantissas are longer than the accumulator's by a few bits, it is within 5 %; with chunks up to a
    third too large, since short chunks leave the folds little to cut. Shorter products leave little everywhere: it is
    then larger still, and up to three times too large with chunks. Products are independent with zero mean, and the
    exponent range is wide enough.

    Parameters:
        n: length of the accumulation, 1 to 2**40.
        m_acc: mantissa bits of the accumulator, 1 to 64.
        chunk: products per chunk; None: no chunks.

    Raises:
        MacgenError: an argument is refused.
    """
    m_acc = check_integer("m_acc", m_acc, 1, MAX_FORMULA_MAN_BITS)
    n, chunk = checked_lengths(n, chunk)
    return math.ldexp(_at_no_bits(n, chunk), -2 * m_acc) + rounding_noise.estimate(n, m_acc, "rne", chunk).nsr


def drift(n: int, m_acc: int, chunk: int | None = None) -> float:
    """Return by how many standard deviations of the ideal sum the mean of the sums is too low; see `nsr`."""
    m_acc = check_integer("m_acc", m_acc, 1, MAX_FORMULA_MAN_BITS)
    n, chunk = checked_lengths(n, chunk)
    return math.ldexp(sum(_means(n, levels(n, chunk))) / math.sqrt(n), -m_acc)


def min_man_bits(n: int, target: float, chunk: int | None = None) -> int:
    """Return the smallest accumulator mantissa whose noise-to-signal ratio is at most the target.

    Raises:
        MacgenError: an argument is refused, or more than 64 bits are needed.
    """
    target = check_real("target", target, 0, 1)
    for m_acc in range(1, MAX_FORMULA_MAN_BITS + 1):
        if nsr(n, m_acc, chunk) <= target:
            return m_acc
    raise MacgenError(f"target {target:g} needs more than {MAX_FORMULA_MAN_BITS} mantissa bits at n {n} with floor")


def best_chunk(n: int) -> int:
    """Return the power of two as a chunk length that makes the noise least, near (4 n)^(1/3); of two the larger one.

    Chunks drift all the same way. So they are shorter than those that are best for other roundings.

    Parameters:
        n: length of the accumulation, 1 to 2**40.

    Raises:
        MacgenError: n is refused.
    """
    n = check_integer("n", n, 1, MAX_LENGTH)
    powers = (1 << exponent for exponent in range((n - 1).bit_length() + 1))
    return min(powers, key=lambda chunk: (_at_no_bits(n, chunk), -chunk))


def _at_no_bits(n: int, chunk: int | None) -> float:
    """Return the mean square of the drift over the variance of the sum, at m_acc = 0."""
    lengths = levels(n, chunk)
    spread = _mean_square(lengths[0]) - _mean(lengths[0]) ** 2
    if len(lengths) == 1:
        return _mean_square(n) / n
    inner, outer = lengths
    spread = spread * n / inner + inner * (_mean_square(outer) - _mean(outer) ** 2)
    return (sum(_means(n, lengths)) ** 2 + spread) / n


def _means(n: int, lengths: tuple[int, ...]) -> tuple[float, ...]:
    """Return the mean drifts of the chunks, all together, and of the folds, of which the first one cuts nothing."""
    if len(lengths) == 1:
        return (_mean(n),)
    inner, outer = lengths
    return _mean(inner) * n / inner, (_mean(outer) - _mean(1)) * math.sqrt(inner)


def _mean(length: int) -> float:
    """Return the mean drift of the sum of so many addends of unit variance, at m_acc = 0."""
    root = math.sqrt(length)
    roots = length * root * 2 / 3 + root / 2 - _ZETA + 1 / (24 * root)
    return _LOSS * _MEAN_MAGNITUDE * roots


def _mean_square(length: int) -> float:
    """Return its mean square: the double sum of the mean products of two sums' magnitudes."""
    return _LOSS**2 * length * (6 * length**2 + 9 * length + 1) / 16
