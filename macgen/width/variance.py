"""Variance retention ratio of a floating-point sum (Sakr et al., "Accumulation Bit-Width Scaling For Ultra-Low
Precision Training Of Deep Networks", ICLR 2019, arXiv 1901.06588): how much of a sum's variance swamping leaves.

The sums over i run to the length of the accumulation, millions in a weight gradient. Here they are formed by Gauss
quadrature of the sum itself, in a time that grows with the logarithm of the length; see `_sums`.
"""

import math
from fractions import Fraction
from functools import lru_cache
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from macgen.errors import check_choice, check_integer
from macgen.width.checks import MAX_FORMULA_MAN_BITS, MAX_LENGTH, check_real, checked_lengths, levels

Reading = Literal["per-level", "total"]
"""Which criterion a chunked sum has to pass: `per-level`, each of the two sums the criterion of its own length (what
the paper's tables show), or `total`, both together that of the whole length (1 to 4 bits more, the safe one)."""

READINGS: tuple[Reading, ...] = get_args(Reading)

LIMIT = 50.0
"""The paper's limit of v(n) = exp(n (1 - VRR)), below which a width is enough."""

MOST_LIMIT = 1e300
"""Largest limit that `min_man_bits` and `knee` take."""
_NODES = 32
_BLOCKS_PER_OCTAVE = 8
_LEAST_EXPONENT = 1500  # erfc(x) is 0 in binary64 where x^2 > 750


def vrr(m_acc: int, m_p: int, n: int, chunk: int | None = None, nzr: float = 1.0) -> float:
    """Return the variance retention ratio Var(swamped sum) / Var(ideal sum), Theorem 1 and section 4.3 of the paper.

    A chunked sum keeps the product of what its two levels keep: the chunk's own sum, and the sum of ceil(n / chunk)
    chunk sums, whose mantissas have min(m_acc, m_p + log2(chunk)) bits (the logarithm rounded up). A chunk of n or
    more is no chunk. A sum of one addend keeps everything.

    Sparsity: of each sum's length (n; chunked: chunk, also in the logarithm, and ceil(n / chunk)) only the share `nzr`
    is counted. A length so shortened is not rounded; the theorem's sum over i = 2 .. n - 1 then ends at the integer
    below or at it. That the chunk sums count so too is what the paper's table shows; few of them are zero.

    Parameters:
        m_acc: mantissa bits of the accumulator, without the hidden one, 1 to 64; its exponent is wide enough.
        m_p: mantissa bits of the products, 1 to 64 (5 for E5M2 times E5M2: 3-bit times 3-bit significands).
        n: length of the accumulation, 1 to 2**40.
        chunk: products per chunk, 1 to 2**40; None: no chunks.
        nzr: non-zero ratio, the share of products that are not zero, above 0 and at most 1.

    Returns:
        A ratio from 0 to 1. Near 1 use `loss`, which keeps its digits.

    Raises:
        MacgenError: an argument is refused.
    """
    return 1.0 - loss(m_acc, m_p, n, chunk, nzr)


def loss(m_acc: int, m_p: int, n: int, chunk: int | None = None, nzr: float = 1.0) -> float:
    """Return 1 - VRR to twelve digits, however small it is; parameters and errors as of `vrr`."""
    m_acc, m_p, n, chunk, nzr = _checked(m_acc, m_p, n, chunk, nzr)
    kept_losses = [level_loss for _, level_loss in _levels(m_acc, m_p, n, chunk, nzr)]
    return _joint(kept_losses)


def ln_v(
    m_acc: int, m_p: int, n: int, chunk: int | None = None, nzr: float = 1.0, reading: Reading = "per-level"
) -> float:
    """Return the logarithm of the criterion v = exp(n (1 - VRR)) (section 4.4 of the paper); v < 50 is good enough.

    Parameters:
        m_acc, m_p, n, chunk, nzr: as of `vrr`.
        reading: of a chunked sum; `per-level`: the larger one of the two levels, each with its own length and VRR;
            `total`: the whole length with the product of both VRRs.

    Raises:
        MacgenError: an argument is refused.
    """
    m_acc, m_p, n, chunk, nzr = _checked(m_acc, m_p, n, chunk, nzr)
    check_reading(reading)
    return _ln_v(m_acc, m_p, n, chunk, nzr, reading)


def min_man_bits(
    n: int,
    m_p: int,
    chunk: int | None = None,
    nzr: float = 1.0,
    reading: Reading = "per-level",
    limit: float = LIMIT,
    least: int | None = None,
) -> int:
    """Return the first accumulator mantissa width, counted upwards, with v below the limit.

    A wider one may fail again, for v is not monotone in the width: of m_p = 5 and n = 2 200 000, 15 bits pass and 16 do
    not. That is the theory's partial swamping, whose weights grow with the width, and no reason to go on.

    Parameters:
        n, m_p, chunk, nzr: as of `vrr`.
        reading: as of `ln_v`.
        limit: of v, above 1 and at most 1e300.
        least: width to begin with, 1 to 64; None: 1 without and m_p with chunks, as the paper's tables do.

    Raises:
        MacgenError: an argument is refused.
    """
    m_acc, m_p, n, chunk, nzr = _checked(1, m_p, n, chunk, nzr)
    check_reading(reading)
    limit = check_real("limit", limit, 1, MOST_LIMIT)
    if least is not None:
        m_acc = check_integer("least", least, 1, MAX_FORMULA_MAN_BITS)
    elif chunk is not None:
        m_acc = m_p
    while _ln_v(m_acc, m_p, n, chunk, nzr, reading) >= math.log(limit):  # ends: v falls to 1 in the end
        m_acc += 1
    return m_acc


def knee(m_acc: int, m_p: int, limit: float = LIMIT) -> int:
    """Return the largest length, at most 2**40, with v below the limit: where the VRR of a width leaves 1.

    Parameters:
        m_acc: mantissa bits of the accumulator, 1 to 64.
        m_p: mantissa bits of the products, 1 to 64.
        limit: of v, above 1 and at most 1e300.

    Raises:
        MacgenError: an argument is refused.
    """
    m_acc, m_p, *_ = _checked(m_acc, m_p, 1, None, 1.0)
    limit = check_real("limit", limit, 1, MOST_LIMIT)
    passes, fails = 1, MAX_LENGTH + 1
    while fails - passes > 1:
        # Upwards by doubling until a length fails, then by halving what is left.
        middle = 2 * passes if fails > MAX_LENGTH and 2 * passes < fails else (passes + fails) // 2
        if _ln_v(m_acc, m_p, middle, None, 1.0, "total") < math.log(limit):
            passes = middle
        else:
            fails = middle
    return passes


def vrr_full_swamping(m_acc: int, n: int) -> float:
    """Return the variance retention ratio where only full swamping counts, Lemma 1 of the paper.

    Parameters:
        m_acc: mantissa bits of the accumulator, 1 to 64.
        n: length of the accumulation, 1 to 2**40.

    Raises:
        MacgenError: an argument is refused.
    """
    return 1.0 - loss_full_swamping(m_acc, n)


def loss_full_swamping(m_acc: int, n: int) -> float:
    """Return 1 - VRR of Lemma 1 to twelve digits; parameters and errors as of `vrr_full_swamping`."""
    m_acc, _, n, *_ = _checked(m_acc, 1, n, None, 1.0)
    swamped, lost = _sums(m_acc, 2, n - 1, float(n))
    return lost / ((swamped + _within(m_acc, n)) * n)


# -- the two levels --------------------------------------------------------------------------------------------------


def _ln_v(m_acc: int, m_p: int, n: int, chunk: int | None, nzr: float, reading: Reading) -> float:
    results = _levels(m_acc, m_p, n, chunk, nzr)
    if reading == "total":
        return n * nzr * _joint([level_loss for _, level_loss in results])
    return max(length * level_loss for length, level_loss in results)


def _levels(m_acc: int, m_p: int, n: int, chunk: int | None, nzr: float) -> list[tuple[float, float]]:
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


# -- checks ----------------------------------------------------------------------------------------------------------


def _checked(m_acc: int, m_p: int, n: int, chunk: int | None, nzr: float) -> tuple[int, int, int, int | None, float]:
    """Return the arguments of `vrr`, each checked."""
    m_acc = check_integer("m_acc", m_acc, 1, MAX_FORMULA_MAN_BITS)
    m_p = check_integer("m_p", m_p, 1, MAX_FORMULA_MAN_BITS)
    return m_acc, m_p, *checked_lengths(n, chunk), check_real("nzr", nzr, 0, 1)


def check_reading(reading: object) -> None:
    """Refuse what is no reading.

    Raises:
        MacgenError: it is none of `READINGS`.
    """
    check_choice("reading", reading, READINGS)
