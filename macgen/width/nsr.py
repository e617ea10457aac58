"""Noise-to-signal ratio of a floating-point sum whose every addition is rounded: a closed form.

It knows the rounding mode, which the variance retention ratio does not. Against bit-exact accumulators of normally
distributed addends with more bits than the accumulator's it is, for `rne` and from one addend on, within 7 % (12 % with
chunks) where it gives less than 0.05. Products of two normally distributed operands, more of them small, make up to
20 % less noise than it says, and so do short sums of addends with few bits, which are often exact.
"""

import math
from dataclasses import dataclass

from macgen.errors import MacgenError, check_integer, shown
from macgen.width.checks import MAX_FORMULA_MAN_BITS, MAX_LENGTH, check_real, checked_lengths, levels

VALID_BELOW = 0.05
"""The closed form is fitted where it gives less than this."""

_RNE = 0.541 / 24
"""A uniform error of half a unit in the last place either way has 1/12 of that unit's square as its variance (a
stochastic one 1/6). The mean square of the unit of a normal sum of i unit variances is 0.541 i / 4^m_acc, averaged over
its place in a binade; i = 1 to n add up to n (n + 1) / 2, over a variance of n."""

_DROP = 6 * _RNE
_DROP_IN_CHUNKS = 9 * _RNE
"""Upper bounds, over rounding to nearest. Measured: 3 to 5.9 times, the most where two long products are added; with
chunks up to 7 times, since chunk sums and folds both lean toward zero, and errors that lean the same way add up to as
much as twice what independent ones make."""


@dataclass(frozen=True)
class NoiseEstimate:
    """What the closed form says.

    Attributes:
        nsr: E[(s - s_ideal)^2] / Var(s_ideal).
    """

    nsr: float

    @property
    def valid(self) -> bool:
        """Whether it is within the range in which the closed form was fitted, below 0.05."""
        return self.nsr < VALID_BELOW


def estimate(n: int, m_acc: int, rounding: str = "rne", chunk: int | None = None) -> NoiseEstimate:
    """Return the noise-to-signal ratio 0.541 (n + 1) / (24 * 4^m_acc); twice that for stochastic rounding; for an
    adder that aligns and drops six times that, with chunks nine times, as an upper bound.

    With chunks n + 1 becomes the sum over both levels, (chunk + 1) + (ceil(n / chunk) + 1); a chunk of n or more is no
    chunk.
    Products are independent with zero mean, the exponent range is wide enough, and stochastic rounding has random bits
    enough to be unbiased.

    Parameters:
        n: length of the accumulation, 1 to 2**40.
        m_acc: mantissa bits of the accumulator, without the hidden one, 1 to 64.
        rounding: `rne`, `drop` (an upper bound) or `stochastic` (also `stochastic:r`, r random bits).
        chunk: products per chunk, 1 to 2**40; None: no chunks.

    Raises:
        MacgenError: an argument is refused, or the rounding has no closed form here.
    """
    m_acc = check_integer("m_acc", m_acc, 1, MAX_FORMULA_MAN_BITS)
    n, chunk = checked_lengths(n, chunk)
    return NoiseEstimate(math.ldexp(_at_no_bits(n, rounding, chunk), -2 * m_acc))


def min_man_bits(n: int, target: float, rounding: str = "rne", chunk: int | None = None) -> int:
    """Return the smallest accumulator mantissa, at least 1 bit, whose noise-to-signal ratio is at most the target.

    That is ceil(0.5 log2(0.0225 (n + 1) / target)), for stochastic rounding with half a bit more before the ceiling.
    Only for targets below 0.05 is the closed form in its range.

    Parameters:
        n, rounding, chunk: as of `estimate`.
        target: largest ratio accepted, above 0 and at most 1.

    Raises:
        MacgenError: an argument is refused, the rounding has no closed form, or more than 64 bits are needed.
    """
    target = check_real("target", target, 0, 1)
    n, chunk = checked_lengths(n, chunk)
    at_no_bits = _at_no_bits(n, rounding, chunk)
    for m_acc in range(1, MAX_FORMULA_MAN_BITS + 1):
        if math.ldexp(at_no_bits, -2 * m_acc) <= target:
            return m_acc
    raise MacgenError(
        f"target {target:g} needs more than {MAX_FORMULA_MAN_BITS} mantissa bits at n {n}; accepted are targets from "
        f"{math.ldexp(at_no_bits, -2 * MAX_FORMULA_MAN_BITS):.2g}"
    )


def best_chunk(n: int) -> int:
    """Return the power of two that makes chunk + ceil(n / chunk) smallest, near sqrt(n); of two such the larger one.

    The rounding noise of a chunked accumulation grows with that sum (Wang et al., NeurIPS 2018, arXiv
    1812.08011); the larger chunk has fewer folds.

    Parameters:
        n: length of the accumulation, 1 to 2**40.

    Raises:
        MacgenError: n is refused.
    """
    n = check_integer("n", n, 1, MAX_LENGTH)
    powers = (1 << exponent for exponent in range(n.bit_length() + 1))
    return min(powers, key=lambda chunk: (chunk - (-n // chunk), -chunk))


def _at_no_bits(n: int, rounding: str, chunk: int | None) -> float:
    """Return the ratio at m_acc = 0, from which each bit takes a factor of four."""
    lengths = levels(n, chunk)
    return _factor(rounding, len(lengths) > 1) * sum(length + 1 for length in lengths)


def _factor(rounding: str, chunked: bool) -> float:
    if not isinstance(rounding, str):
        raise MacgenError(f"rounding {shown(rounding)} is not one of rne, drop, stochastic")
    if rounding == "rne":
        return _RNE
    if rounding.partition(":")[0] == "stochastic":
        return 2 * _RNE
    if rounding == "drop":
        return _DROP_IN_CHUNKS if chunked else _DROP
    if rounding in ("rtz", "floor"):
        module = "truncation" if rounding == "rtz" else "flooring"
        raise MacgenError(
            f"rounding {rounding!r} has another closed form, since its errors do not average out; accepted are rne, "
            f"drop and stochastic (macgen.width.{module} has the other)"
        )
    raise MacgenError(f"rounding {shown(rounding)} is not one of rne, drop, stochastic")
