"""Variance retention ratio of a floating-point sum (Sakr et al., "Accumulation Bit-Width Scaling For Ultra-Low
Precision Training Of Deep Networks", ICLR 2019, arXiv 1901.06588): how much of a sum's variance swamping leaves.

The sums over i run to the length of the accumulation, millions in a weight gradient. Here they are formed by Gauss
quadrature of the sum itself, in a time that grows with the logarithm of the length; see `formulas.retention`.
"""

import math
from typing import get_args

from macgen.errors import check_choice, check_integer
from macgen.width.checks import MAX_FORMULA_MAN_BITS, MAX_LENGTH, check_real, checked_lengths
from macgen.width.formulas import retention
from macgen.width.formulas.retention import Reading as Reading

READINGS: tuple[Reading, ...] = get_args(Reading)

LIMIT = 50.0
"""The paper's limit of v(n) = exp(n (1 - VRR)), below which a width is enough."""

MOST_LIMIT = 1e300
"""Largest limit that `min_man_bits` and `knee` take."""


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
    return retention.loss(*_checked(m_acc, m_p, n, chunk, nzr))


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
    return retention.ln_v(m_acc, m_p, n, chunk, nzr, reading)


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
    _, m_p, n, chunk, nzr = _checked(1, m_p, n, chunk, nzr)
    check_reading(reading)
    limit = check_real("limit", limit, 1, MOST_LIMIT)
    if least is not None:
        least = check_integer("least", least, 1, MAX_FORMULA_MAN_BITS)
    return retention.least_man_bits(n, m_p, chunk, nzr, reading, limit, least)


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
        if retention.ln_v(m_acc, m_p, middle, None, 1.0, "total") < math.log(limit):
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
    return retention.loss_full_swamping(m_acc, n)


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
