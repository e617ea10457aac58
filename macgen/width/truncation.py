"""What truncating every sum toward zero (`rtz`) does to it: it shrinks, step by step; a closed form.

Each addition takes part of the last place off the sum, on average 0.36 of 2^-m_acc of its magnitude, as long as the
addends have bits below that place. A product that takes part in j additions, its own among them, keeps
(1 - 0.36 2^-m_acc)^j of its weight. How much a cut takes off varies; these errors add up as those of rounding do.
"""

from macgen.errors import check_integer
from macgen.numerics import RoundingKind
from macgen.width.checks import MAX_FORMULA_MAN_BITS, checked_lengths, least_man_bits
from macgen.width.formulas.noise import closed_form, kept_by_truncation


def vrr(n: int, m_acc: int, chunk: int | None = None) -> float:
    """Return Var(sum) / Var(ideal sum); see `nsr`."""
    m_acc = check_integer("m_acc", m_acc, 1, MAX_FORMULA_MAN_BITS)
    n, chunk = checked_lengths(n, chunk)
    return kept_by_truncation(n, m_acc, chunk)


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
    n, chunk = checked_lengths(n, chunk)
    return closed_form(RoundingKind.RTZ).nsr(n, m_acc, chunk)


def min_man_bits(n: int, target: float, chunk: int | None = None) -> int:
    """Return the smallest accumulator mantissa whose noise-to-signal ratio is at most the target.

    Raises:
        MacgenError: an argument is refused, or more than 64 bits are needed.
    """
    return least_man_bits(RoundingKind.RTZ, n, target, chunk)
