"""Which closed form says what noise a rounding of sums makes, and in which words."""

from collections.abc import Callable
from dataclasses import dataclass

from macgen.errors import MacgenError
from macgen.numerics import Rounding, RoundingKind
from macgen.width import flooring, nsr, truncation


@dataclass(frozen=True)
class ClosedForm:
    """A closed form of the noise that one kind of rounding makes.

    Attributes:
        nsr: the noise-to-signal ratio, of the length, the mantissa bits, the rounding and the chunk length (or None).
        min_man_bits: the smallest mantissa, of the length, the largest ratio, the rounding and the chunk length.
        best_chunk: the chunk length that is best for a length.
        what: what becomes of the sums.
        leans: whether `what` is part of the reason for a width: errors that lean one way ask for more than others.
    """

    nsr: Callable[[int, int, str, int | None], float]
    min_man_bits: Callable[[int, float, str, int | None], int]
    best_chunk: Callable[[int], int]
    what: str
    leans: bool = False


def _averaging(what: str) -> ClosedForm:
    """Return the form of errors that average out."""

    def ratio(n: int, m_acc: int, rounding: str, chunk: int | None) -> float:
        return nsr.estimate(n, m_acc, rounding, chunk).nsr

    return ClosedForm(ratio, nsr.min_man_bits, nsr.best_chunk, what)


_CLOSED_FORMS = {
    RoundingKind.RNE: _averaging("every sum rounded to nearest"),
    RoundingKind.RTZ: ClosedForm(
        lambda n, m_acc, _, chunk: truncation.nsr(n, m_acc, chunk),
        lambda n, target, _, chunk: truncation.min_man_bits(n, target, chunk),
        nsr.best_chunk,
        "every sum truncated",
        leans=True,
    ),
    RoundingKind.FLOOR: ClosedForm(
        lambda n, m_acc, _, chunk: flooring.nsr(n, m_acc, chunk),
        lambda n, target, _, chunk: flooring.min_man_bits(n, target, chunk),
        flooring.best_chunk,
        "every sum rounded down",
        leans=True,
    ),
    RoundingKind.DROP: _averaging("at most, where the adder aligns and drops"),
    RoundingKind.STOCHASTIC: _averaging("every sum rounded at random"),
}


def closed_form(rounding: Rounding) -> ClosedForm:
    """Return the closed form of a rounding's noise.

    Raises:
        MacgenError: there is none.
    """
    if rounding.kind not in _CLOSED_FORMS:
        words = ", ".join("stochastic:r" if kind == "stochastic" else kind for kind in _CLOSED_FORMS)
        raise MacgenError(f"rounding {rounding!r} has no closed form of its noise; accepted are {words}")
    return _CLOSED_FORMS[rounding.kind]
