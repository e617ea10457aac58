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

from macgen.errors import check_integer
from macgen.numerics import RoundingKind
from macgen.width.checks import MAX_FORMULA_MAN_BITS, MAX_LENGTH, checked_lengths, least_man_bits
from macgen.width.formulas import noise
from macgen.width.formulas.noise import closed_form


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
    return closed_form(RoundingKind.FLOOR).nsr(n, m_acc, chunk)


def drift(n: int, m_acc: int, chunk: int | None = None) -> float:
    """Return by how many standard deviations of the ideal sum the mean of the sums is too low; see `nsr`."""
    m_acc = check_integer("m_acc", m_acc, 1, MAX_FORMULA_MAN_BITS)
    n, chunk = checked_lengths(n, chunk)
    return noise.drift(n, m_acc, chunk)


def min_man_bits(n: int, target: float, chunk: int | None = None) -> int:
    """Return the smallest accumulator mantissa whose noise-to-signal ratio is at most the target.

    Raises:
        MacgenError: an argument is refused, or more than 64 bits are needed.
    """
    return least_man_bits(RoundingKind.FLOOR, n, target, chunk)


def best_chunk(n: int) -> int:
    """Return the power of two as a chunk length that makes the noise least, near (4 n)^(1/3); of two the larger one.

    Chunks drift all the same way. So they are shorter than those that are best for other roundings.

    Parameters:
        n: length of the accumulation, 1 to 2**40.

    Raises:
        MacgenError: n is refused.
    """
    return closed_form(RoundingKind.FLOOR).choose_chunk(check_integer("n", n, 1, MAX_LENGTH))
