"""The variance retention ratio of a sum: Theorem 1 and Lemma 1 of the paper that `macgen.width.variance` tells of."""

import math
from fractions import Fraction
from functools import lru_cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from macgen.width.formulas.chunks import levels

Reading = Literal["per-level", "total"]
"""Which criterion a chunked sum has to pass: `per-level`, each of the two sums the criterion of its own length (what
the paper's tables show), or `total`, both together that of the whole length (1 to 4 bits more, the safe one)."""

_NODES = 32
_BLOCKS_PER_OCTAVE = 8
_LEAST_EXPONENT = 1500  # erfc(x) is 0 in binary64 where x^2 > 750


def loss(m_acc: int, m_p: int, n: int, chunk: int | None, nzr: float) -> float:
    """Return 1 - VRR."""
    return _joint([level_loss for _, level_loss in _levels_lost(m_acc, m_p, n, chunk, nzr)])


def least_man_bits(
    n: int, m_p: int, chunk: int | None, nzr: float, reading: Reading, limit: float, first: int | None = None
) -> int:
    """Return the first mantissa width, counted upwards from `first` (1 without and m_p with chunks), with v below the
    limit.
    """
    m_acc = first if first is not None else 1 if chunk is None else m_p
    most = math.log(limit)
    while ln_v(m_acc, m_p, n, chunk, nzr, reading) >= most:  # ends: v falls to 1 in the end
        m_acc += 1
    return m_acc


def loss_full_swamping(m_acc: int, n: int) -> float:
    """Return 1 - VRR of Lemma 1."""
    swamped, lost = _sums(m_acc, 2, n - 1, float(n))
    return lost / ((swamped + _within(m_acc, n)) * n)


def ln_v(m_acc: int, m_p: int, n: int, chunk: int | None, nzr: float, reading: Reading) -> float:
    """Return the logarithm of the criterion v = exp(n (1 - VRR))."""
    results = _levels_lost(m_acc, m_p, n, chunk, nzr)
    if reading == "total":
        return n * nzr * _joint([level_loss for _, level_loss in results])
    return max(length * level_loss for length, level_loss in results)


def _levels_lost(m_acc: int, m_p: int, n: int, chunk: int | None, nzr: float) -> list[tuple[float, float]]:
    """Return (length, 1 - VRR) of each level; sparsity shortens both."""
    first, *rest = (length * nzr for length in levels(n, chunk))
    result = [(first, _theorem_loss(m_acc, m_p, first))]
    for second in rest:
        grown = m_p + max(_ceil_log2(first), 0)
        result.append((second, _theorem_loss(m_acc, min(m_acc, grown), second)))
    return result


def _ceil_log2(value: float) -> int:
    fraction, exponent = math.frexp(value)
    return exponent - (fraction == 0.5)


def _joint(losses: list[float]) -> float:
    """Return 1 - prod(1 - loss), without subtracting from 1."""
    kept, lost = 1.0, 0.0
    for level_loss in losses:
        lost += kept * level_loss
        kept *= 1.0 - level_loss
    return lost


# -- Theorem 1 -------------------------------------------------------------------------------------------------------


@lru_cache(maxsize=1 << 14)
def _theorem_loss(m_acc: int, m_p: int, n: float) -> float:
    """Return 1 - VRR of Theorem 1: every term of its numerator replaced by what it lacks to n."""
    if n <= 1:
        return 0.0
    *stages, a = _thresholds(m_acc, m_p)
    k, lost = _sums(m_acc, max(math.floor(a) + 1, 2), math.floor(n) - 1, n + float(a))
    for j, a_j in enumerate(stages, start=2):
        if n > a_j:
            exponent = m_acc - m_p + j
            q = math.ldexp(_beyond(exponent - 1, n) * _within(exponent, n), exponent)
            k += q
            lost += float(a_j) * q
    k += _within(m_acc - m_p + 1, n)
    return lost / (k * n)


def _thresholds(m_acc: int, m_p: int) -> list[Fraction]:
    """Return a_2 .. a_m_p, the lengths at which each partial swamping begins, and a, that of the full one."""
    result, total = [], 0
    for t in range(1, m_p + 1):
        total += (1 << t) * ((1 << t) - 1) * ((1 << (t + 1)) - 1)
        result.append(Fraction(total, 3) * Fraction(2) ** (m_acc - 3 * m_p))
    return result


def _beyond(exponent: int, n: float) -> float:
    """Return 2 Q(2^exponent / sqrt(n)), the probability that a sum of n unit variances exceeds 2^exponent."""
    return math.erfc(math.ldexp(1.0, exponent) / math.sqrt(2 * n))


def _within(exponent: int, n: float) -> float:
    """Return 1 - 2 Q(2^exponent / sqrt(n))."""
    return math.erf(math.ldexp(1.0, exponent) / math.sqrt(2 * n))


# -- sums over the length --------------------------------------------------------------------------------------------


def _sums(m_acc: int, first: int, last: int, end: float) -> tuple[float, float]:
    """Return the sums of q_i and of (end - i) q_i over i = first .. last, q_i the weight of swamping from i on.

    The integers are cut into blocks of an eighth of an octave. Up to 32 are summed one by one; a longer block takes a
    32-point Gauss rule of the *sum* (`_rule`), exact for polynomials of degree 63. On a block from s of length
    L <= s / 8, with A = 2^m_acc, the summand (end - x) erfc(A / sqrt(2 x)) erf(A / sqrt(2 (x - 1))) is analytic inside
    the Bernstein ellipse with rho = 4, where |erfc(z)| <= exp(-Re z^2) since Re z > 0. Up to factors that stay below
    1e8 together, its largest magnitude there is e^(0.053 U) times that at the block's end, U = A^2 / (2 s) <= 750. The
    rule's error is 4^-64 of it, 3e-39 * 2e17 * 1e8 < 1e-13 of the block's sum; binary64 adds about as much.
    """
    first = max(first, (1 << 2 * m_acc) // _LEAST_EXPONENT)  # all terms before are 0 in binary64
    if first > last:
        return 0.0, 0.0
    blocks = _blocks(first, last)
    rules = [_rule(length) for _, length in blocks]
    x = np.concatenate([start + nodes for (start, _), (nodes, _) in zip(blocks, rules, strict=True)])
    weights = np.concatenate([weights for _, weights in rules])
    scale = math.ldexp(1.0, m_acc) / math.sqrt(2)
    beyond = np.array([math.erfc(z) for z in (scale / np.sqrt(x)).tolist()])
    within = np.array([math.erf(z) for z in (scale / np.sqrt(x - 1)).tolist()])
    terms = weights * beyond * within
    return float(terms.sum()), float((terms * (end - x)).sum())


def _blocks(first: int, last: int) -> list[tuple[int, int]]:
    """Return (start, length) of blocks that cover first .. last; all but the ends are powers of two, aligned."""
    blocks = []
    start = first
    while start <= last:
        octave = 1 << (start.bit_length() - 1)
        step = max(octave // _BLOCKS_PER_OCTAVE, _NODES)
        stop = min((start // step + 1) * step, last + 1)
        blocks.append((start, stop - start))
        start = stop
    return blocks


@lru_cache(maxsize=1 << 10)
def _rule(length: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return nodes in [0, length - 1] and weights with sum(w f(x)) = f(0) + ... + f(length - 1) to degree 63.

    Golub and Welsch's eigenvalues, with the recurrence of the discrete Chebyshev (Gram) polynomials.
    """
    if length <= _NODES:
        return np.arange(length, dtype=np.float64), np.ones(length)
    k = np.arange(1.0, _NODES)
    # Recurrence of the polynomials on [-1, 1]; scaled, so that long blocks lose no digits.
    off_diagonal = np.sqrt(k**2 * (1 - (k / length) ** 2) / (4 * k**2 - 1))
    nodes, vectors = np.linalg.eigh(np.diag(off_diagonal, -1))  # eigh reads the lower triangle alone
    return (length - 1) / 2 + nodes * (length / 2), length * vectors[0] ** 2
