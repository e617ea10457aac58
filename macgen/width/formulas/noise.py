"""The noise that rounding every sum makes, as closed forms, one for each kind of rounding.

`macgen.width.nsr` tells of roundings whose errors average out, `truncation` of `rtz` and `flooring` of `floor`.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

from macgen.errors import MacgenError
from macgen.numerics import RoundingKind
from macgen.width.formulas.chunks import levels

_RNE = 0.541 / 24
"""A uniform error of half a unit in the last place either way has 1/12 of that unit's square as its variance (a
stochastic one 1/6). The mean square of the unit of a normal sum of i unit variances is 0.541 i / 4^m_acc, averaged over
its place in a binade; i = 1 to n add up to n (n + 1) / 2, over a variance of n."""

_DROP = 6 * _RNE
_DROP_IN_CHUNKS = 9 * _RNE
"""Upper bounds, over rounding to nearest. Measured: 3 to 5.9 times, the most where two long products are added; with
chunks up to 7 times, since chunk sums and folds both lean toward zero, and errors that lean the same way add up to as
much as twice what independent ones make."""

_LOSS = 0.5 / math.log(4)
"""Half a unit in the last place, over a significand that is log-uniform between 1 and 2: 1/2 * E[1/significand]."""

_SPREAD = 0.541 / 3 - _LOSS**2
"""Variance of a cut, over 4^-m_acc and the sum's mean square: a third of the last place's mean square less the square
of the mean."""

_SMALL = 1e-5

_MEAN_MAGNITUDE = math.sqrt(2 / math.pi)
"""Of a normal number of unit variance."""

_ZETA = 0.2079
"""-zeta(-1/2), the constant of the sum of square roots (Euler and Maclaurin)."""


@dataclass(frozen=True)
class ClosedForm:
    """A closed form of the noise that one kind of rounding makes.

    Attributes:
        nsr: the noise-to-signal ratio, of the length, the mantissa bits and the chunk length (or None).
        choose_chunk: the power of two as a chunk length that is best for a length.
        what: what becomes of the sums.
        leans: whether `what` is part of the reason for a width: errors that lean one way ask for more than others.
    """

    nsr: Callable[[int, int, int | None], float]
    choose_chunk: Callable[[int], int]
    what: str
    leans: bool = False

    def least_man_bits(self, n: int, target: float, chunk: int | None) -> int:
        """Return the smallest mantissa, at least 1 bit, whose noise-to-signal ratio is at most a target above 0."""
        m_acc = 1
        while self.nsr(n, m_acc, chunk) > target:  # ends: each bit takes a factor of two or four
            m_acc += 1
        return m_acc


def closed_form(kind: RoundingKind) -> ClosedForm:
    """Return the closed form of a rounding's noise.

    Raises:
        MacgenError: there is none.
    """
    if kind not in _CLOSED_FORMS:
        words = ", ".join("stochastic:r" if known == "stochastic" else known for known in _CLOSED_FORMS)
        raise MacgenError(f"rounding {kind!r} has no closed form of its noise; accepted are {words}")
    return _CLOSED_FORMS[kind]


# -- errors that average out -----------------------------------------------------------------------------------------


def _averaging(factor: float, factor_in_chunks: float, what: str) -> ClosedForm:
    def ratio(n: int, m_acc: int, chunk: int | None) -> float:
        lengths = levels(n, chunk)
        factors = factor_in_chunks if len(lengths) > 1 else factor
        return math.ldexp(factors * sum(length + 1 for length in lengths), -2 * m_acc)

    return ClosedForm(ratio, _shortest_sums, what)


def _shortest_sums(n: int) -> int:
    """Return the power of two that makes chunk + ceil(n / chunk) smallest; of two such the larger one."""
    powers = (1 << exponent for exponent in range(n.bit_length() + 1))
    return min(powers, key=lambda chunk: (chunk - (-n // chunk), -chunk))


# -- toward zero -----------------------------------------------------------------------------------------------------


def kept_by_truncation(n: int, m_acc: int, chunk: int | None) -> float:
    """Return Var(sum) / Var(ideal sum) where every sum is truncated."""
    return _moments(math.ldexp(_LOSS, -m_acc), levels(n, chunk))[1]


def _truncation(n: int, m_acc: int, chunk: int | None) -> float:
    loss, lengths = math.ldexp(_LOSS, -m_acc), levels(n, chunk)
    mean, square = _moments(loss, lengths)
    cuts = (sum(lengths) + 1) / 2  # that a product meets, on average
    spread = math.ldexp(_SPREAD, -2 * m_acc) * cuts * square
    if loss * 2 * cuts < _SMALL:  # the series' first term, too large by no more than that; 1 - 2 + 1 keeps no digits
        return loss**2 * (cuts**2 + sum((length - 1) * (length + 1) for length in lengths) / 12) + spread
    return min(1 - 2 * mean + square + spread, 1.0)


def _moments(loss: float, lengths: tuple[int, ...]) -> tuple[float, float]:
    """Return the mean of the products' final weights and of their squares.

    Of n additions, a product meets 1 to n. A fold counts half a cut less: the first one cuts nothing.
    """

    def mean(loss: float) -> float:
        terms = (math.expm1(-loss * length) / (length * math.expm1(-loss)) for length in lengths)
        return math.exp(-loss * (len(lengths) + 1) / 2) * math.prod(terms)

    return mean(loss), mean(2 * loss)


# -- toward minus infinity -------------------------------------------------------------------------------------------


def drift(n: int, m_acc: int, chunk: int | None) -> float:
    """Return by how many standard deviations of the ideal sum flooring makes the mean of the sums too low."""
    return math.ldexp(sum(_mean_drifts(n, levels(n, chunk))) / math.sqrt(n), -m_acc)


def _flooring(n: int, m_acc: int, chunk: int | None) -> float:
    rounding = _CLOSED_FORMS[RoundingKind.RNE].nsr(n, m_acc, chunk)
    return math.ldexp(_square_drift(n, chunk), -2 * m_acc) + rounding


def _least_drift(n: int) -> int:
    """Return the power of two as a chunk length that makes the drift's noise least; of two the larger one."""
    powers = (1 << exponent for exponent in range((n - 1).bit_length() + 1))
    return min(powers, key=lambda chunk: (_square_drift(n, chunk), -chunk))


def _square_drift(n: int, chunk: int | None) -> float:
    """Return the mean square of the drift over the variance of the sum, at m_acc = 0."""
    lengths = levels(n, chunk)
    spread = _mean_square(lengths[0]) - _mean(lengths[0]) ** 2
    if len(lengths) == 1:
        return _mean_square(n) / n
    inner, outer = lengths
    spread = spread * n / inner + inner * (_mean_square(outer) - _mean(outer) ** 2)
    return (sum(_mean_drifts(n, lengths)) ** 2 + spread) / n


def _mean_drifts(n: int, lengths: tuple[int, ...]) -> tuple[float, ...]:
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


_CLOSED_FORMS = {
    RoundingKind.RNE: _averaging(_RNE, _RNE, "every sum rounded to nearest"),
    RoundingKind.RTZ: ClosedForm(_truncation, _shortest_sums, "every sum truncated", leans=True),
    RoundingKind.FLOOR: ClosedForm(_flooring, _least_drift, "every sum rounded down", leans=True),
    RoundingKind.DROP: _averaging(_DROP, _DROP_IN_CHUNKS, "at most, where the adder aligns and drops"),
    RoundingKind.STOCHASTIC: _averaging(2 * _RNE, 2 * _RNE, "every sum rounded at random"),
}
