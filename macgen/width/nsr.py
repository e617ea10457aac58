"""Noise-to-signal ratio of a floating-point sum whose every addition is rounded: a closed form.

It knows the rounding mode, which the variance retention ratio does not. Against bit-exact accumulators of normally
distributed addends with more bits than the accumulator's it is, for `rne` and from one addend on, within 7 % (12 % with
chunks) where it gives less than 0.05. Products of two normally distributed operands, more of them small, make up to
20 % less noise than it says, and so do short sums of addends with few bits, which are often exact.
"""

from dataclasses import dataclass

from macgen.errors import MacgenError, check_integer, shown
from macgen.numerics import RoundingKind
from macgen.width.checks import MAX_FORMULA_MAN_BITS, MAX_LENGTH, check_real, checked_lengths
from macgen.width.formulas.noise import ClosedForm, closed_form

VALID_BELOW = 0.05
"""The closed form is fitted where it gives less than this."""


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
    enough to be unbiased. To nearest beneath r random bits the factor is 2 - 4^-r, of which two is a bound: few bits
    are as good as many, while products below half a unit of the last one are rare.

    Parameters:
        n: length of the accumulation, 1 to 2**40.
        m_acc: mantissa bits of the accumulator, without the hidden one, 1 to 64.
        rounding: `rne`, `drop` (an upper bound) or `stochastic` (also with its random bits, as of a spec).
        chunk: products per chunk, 1 to 2**40; None: no chunks.

    Raises:
        MacgenError: an argument is refused, or the rounding has no closed form here.
    """
    m_acc = check_integer("m_acc", m_acc, 1, MAX_FORMULA_MAN_BITS)
    n, chunk = checked_lengths(n, chunk)
    return NoiseEstimate(_form(rounding).nsr(n, m_acc, chunk))


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
    form = _form(rounding)
    if (m_acc := form.least_man_bits(n, target, chunk)) <= MAX_FORMULA_MAN_BITS:
        return m_acc
    raise MacgenError(
        f"target {target:g} needs more than {MAX_FORMULA_MAN_BITS} mantissa bits at n {n}; accepted are targets from "
        f"{form.nsr(n, MAX_FORMULA_MAN_BITS, chunk):.2g}"
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
    return closed_form(RoundingKind.RNE).choose_chunk(check_integer("n", n, 1, MAX_LENGTH))


def _form(rounding: object) -> ClosedForm:
    kind = rounding.partition(":")[0] if isinstance(rounding, str) else None
    if kind is not None and (rounding in ("rne", "drop") or kind == "stochastic"):
        return closed_form(RoundingKind(kind))
    if kind is not None and rounding in ("rtz", "floor"):
        module = "truncation" if rounding == "rtz" else "flooring"
        raise MacgenError(
            f"rounding {rounding!r} has another closed form, since its errors do not average out; accepted are rne, "
            f"drop and stochastic (macgen.width.{module} has the other)"
        )
    raise MacgenError(f"rounding {shown(rounding)} is not one of rne, drop, stochastic")
