"""Which way to round a sum in vectors of float32 or float64 is exact, and the numbers that it needs."""

import math
from dataclasses import dataclass, replace
from typing import Any, Literal

from macgen.emulate.alignment import Cut, Whole
from macgen.emulate.carrier import Carrier
from macgen.emulate.value_range import ValueRange
from macgen.numerics import FixedFormat, FloatFormat, Rounding

Mode = Literal["nearest", "toward_zero", "down"]
"""How the processor rounds."""

TWO_OPERATION_BITS = {24: 11, 53: 25}
"""Most significand bits for which `Rule.two_operations` rounds to nearest, by those of the carrier: q >= 2p + 2."""


@dataclass(frozen=True)
class Constants:
    """The numbers of a place that rounds, as `Constants` of vector_rounding.h has them."""

    largest: float = 0.0
    lowest: float = 0.0
    least_normal: float = 0.0
    least_binade: float = 0.0
    unit: float = 0.0
    place: float = 0.0
    random_place: float = 0.0
    random_unit: float = 0.0
    random_most: float = 0.0
    grid: float = 0.0
    period: float = 0.0
    keep: int = 0
    random_shift: int = 0


@dataclass(frozen=True)
class RoundingPlan:
    """How one place of a spec rounds, in vectors of a carrier with q significand bits.

    The carrier holds every term exactly. The processor rounds an inexact sum to q bits, then a rule rounds to the
    format's p. Both together are one rounding where

    - the sum is exact in the carrier: all sums are multiples of one power of two and less than 2**q of it;
    - `rne`: a term has at most p bits and q >= 2p + 2 (Figueroa, "When is double rounding innocuous?", 1995; on the
      grid of the subnormals, too: a sum there that needs more than q bits has a term smaller than a sixteenth of it);
    - `rne`: p = q, and the format's subnormals are no coarser than the terms: the processor's rounding is the only one;
    - `rne` otherwise: the first rounding is to odd and q >= p + 2 (Boldo and Melquiond, 2008);
    - `rtz`, `floor`, `stochastic:r`: the processor rounds in the same direction, and cutting twice is cutting once;
      with random numbers q >= p + r;
    - `stochastic:r:nearest`: beneath the random bits as `rne` to p + r bits, and q >= p + r + 2;
    - `rtz`: p = q, in the same way; the processor's rounding is the only one;
    - `drop`: the terms are cut first, and what is left of them adds up exactly in p + 1 bits.

    Terms that are cut at one place add up exactly as integers (`Cut.whole`). The integer, or its two halves, is such a
    sum.

    An accumulator is always a multiple of the terms' last place: a sum is one, and R leaves it alone or makes it a
    multiple of something larger. Only the largest value of the format may be none, and so counts as a term.

    Attributes:
        carrier: the type of all vectors.
        rule: `Rule` of vector_rounding.h.
        ends: `Ends` of vector_rounding.h.
        mode: how the processor has to round; None: it does not matter.
        flush: whether results below the smallest normal value become zero.
        grid: whether sums can be rounded on the grid of the subnormals.
        signed_zero: whether a result of zero keeps the sign of its sum.
        odd: whether sums are rounded to odd first.
        cut: whether terms are cut before they are added, as with `drop`.
        whole: how terms are added that are cut at one place.
        constants: the numbers of the rule.
    """

    carrier: Carrier
    rule: str
    ends: str
    mode: Mode | None
    flush: bool = False
    grid: bool = False
    signed_zero: bool = True
    odd: bool = False
    cut: bool = False
    whole: Whole = "integers"
    constants: Constants = Constants()


@dataclass(frozen=True)
class Terms:
    """What a place adds and rounds.

    Attributes:
        addends: bounds of what is added to the accumulator.
        alone: whether nothing is added: a product, say, is rounded.
        bound: no magnitude of a sum is larger; infinite where sums can exceed the format.
        specials: whether infinities or NaN can be among the terms.
        cut: how terms and accumulator are cut before they are added; their sum is then an integer.
    """

    addends: ValueRange
    alone: bool = False
    bound: float = math.inf
    specials: bool = False
    cut: Cut | None = None


# -- into floats ---------------------------------------------------------------------------------------------------


def float_rounding(
    carrier: Carrier, acc: FloatFormat, rounding: Rounding, overflow: str | None, terms: Terms
) -> RoundingPlan | None:
    """Return the plan to round into a float format, or None where none is proved right.

    Parameters:
        carrier: the type.
        acc: the format that is rounded to.
        rounding: `rne`, `rtz`, `floor`, `drop` or one at random.
        overflow: `saturate`, `infinity`, `to-infinity` or `nan`; None when no sum is too large.
        terms: what is added and rounded.
    """
    p, q, bits = acc.precision, carrier.precision, rounding.random_bits
    addends, kind = terms.addends, str(rounding.kind)
    lsb, top = addends.lsb_exponent, addends.top_exponent
    if not terms.alone:
        top = max(top, acc.max_exponent + 1) + 1
        if overflow is not None:
            lsb = min(lsb, acc.max_exponent - acc.man_bits)
        elif terms.bound < math.inf:
            top = min(top, math.frexp(terms.bound)[1])
    exact = top - lsb <= q
    ends = _float_ends(acc, kind, overflow, terms.specials)
    gradual = acc.subnormals == "gradual"
    flush = not gradual and (lsb < acc.min_exponent or acc.subnormals == "none")
    plan = RoundingPlan(carrier, "none", ends, None, flush=flush, signed_zero=acc.encoding != "fnuz")
    numbers = Constants(largest=acc.max, lowest=-acc.max, least_normal=acc.min_normal)

    summed = overflow is None and terms.cut is None and not terms.alone
    in_range = acc.max_exponent <= carrier.max_exponent or overflow is None
    in_range = in_range and (overflow is not None or top <= carrier.max_exponent)
    if summed and in_range and exact and acc.sum_exponent <= lsb and carrier.min_exponent - q < lsb:
        largest_exact = math.ldexp(1.0, min(min(p, q) + lsb, 1023))
        if terms.bound <= largest_exact:
            return replace(plan, flush=False, constants=numbers)  # all sums are values
    if kind == "odd":
        return None
    native = p == q and in_range and max(acc.lsb_exponent, carrier.min_exponent - q + 1) <= lsb
    if native and kind == "rne" and terms.cut is None:
        full = acc.max_exponent == carrier.max_exponent
        if ends == "infinite" and full:
            return replace(plan, ends="none", mode="nearest", constants=numbers)
        if ends != "largest" or not full:
            return replace(plan, mode="nearest", constants=numbers)
    if native and kind == "rtz" and terms.cut is None and ends == "none":
        return replace(plan, mode="toward_zero", constants=numbers)
    if not carrier.holds(ValueRange(min(addends.precision, q), lsb, top)):
        return None
    if terms.cut is not None:
        whole = terms.cut.whole(carrier, rounding)
        if whole is None:
            return None
        exact = whole != "halves"
        plan = replace(plan, whole=whole)
        if native and kind in ("rne", "rtz") and ends == "none":
            return replace(plan, mode="nearest" if kind == "rne" else "toward_zero", constants=numbers)
    if p == 1 and ends == "clamp" and terms.specials and kind not in ("rne", "floor"):
        return None  # NaN without its bits below the last place would be infinity
    if p == 1 and kind == "stochastic" and (terms.specials or ends == "not_a_number"):
        return None  # a random number reaches NaN's highest bit and carries into the sign: it would become a number
    unit = math.ldexp(1.0, q - p)
    word = 8 * carrier.dtype().itemsize
    grid = gradual and addends.lsb_exponent < acc.lsb_exponent
    least_binade = math.ldexp(1.0, acc.min_exponent) if grid and acc.min_exponent >= carrier.min_exponent else 0.0
    if grid and least_binade == 0.0:
        return None
    numbers = replace(numbers, unit=unit, least_binade=least_binade, keep=(1 << word) - (1 << (q - p)) if q >= p else 0)
    plan = replace(plan, grid=grid)

    def with_numbers(rule: str, mode: Mode, **changes: Any) -> RoundingPlan:
        return replace(plan, rule=rule, mode=mode, constants=replace(numbers, **changes))

    if kind == "rne":
        innocuous = terms.cut is None and addends.precision <= p and q >= 2 * p + 2
        if q < p + 2:
            return None
        odd = not (exact or innocuous or terms.alone)
        if p <= TWO_OPERATION_BITS[q] and not grid:
            return replace(with_numbers("two_operations", "nearest"), odd=odd)
        return replace(with_numbers("nearest", "nearest", place=1.5 * unit), odd=odd)
    if kind == "floor":
        return with_numbers("floored", "down", place=1.5 * unit) if q >= p + 2 else None
    if kind == "stochastic":
        if q < p + bits + grid or (grid and acc.lsb_exponent - rounding.bits_below < carrier.min_exponent):
            return None
        at_random = with_numbers(
            "random",
            "toward_zero",
            place=unit,
            random_place=math.ldexp(1.0, q - p - bits),
            random_unit=math.ldexp(1.0, -acc.man_bits - bits),
            random_shift=q - p - bits,
        )
        innocuous = terms.cut is None and addends.precision <= p + bits and q >= 2 * (p + bits) + 2 and not grid
        return _beneath(at_random, rounding, odd=not (exact or innocuous or terms.alone))
    if q < p + 1:
        return None
    if kind == "drop" and not terms.alone:
        least_cut = math.ldexp(1.0, acc.min_exponent) if gradual and acc.min_exponent >= carrier.min_exponent else 0.0
        if gradual and acc.min_exponent < carrier.min_exponent and lsb < acc.lsb_exponent:
            return None
        cut = with_numbers("truncated", "toward_zero", place=unit, least_binade=least_cut)
        return replace(cut, cut=True, grid=False)
    if grid and acc.lsb_exponent + q - 1 > carrier.max_exponent:
        return None
    finest = math.ldexp(1.0, acc.lsb_exponent + q - 1) if grid else 0.0
    return with_numbers("truncated", "toward_zero", grid=finest)


def _beneath(at_random: RoundingPlan, rounding: Rounding, *, odd: bool = False) -> RoundingPlan | None:
    """Return the plan to round at random that does beneath the random bits what the rounding says.

    To nearest, the processor rounds so, too. Where it also cuts at the place, nearly half of it is subtracted first:
    half of what the random number's last bit is worth makes that exact, and no tie.

    Parameters:
        at_random: the plan that cuts beneath them.
        rounding: at random.
        odd: whether sums have to be rounded to odd before they are rounded to nearest.
    """
    if rounding.beneath != "rne":
        return at_random
    numbers = at_random.constants
    if at_random.rule == "random" and numbers.random_shift < 2:
        return None
    changed = replace(
        numbers,
        place=1.5 * numbers.place,
        random_unit=numbers.random_unit / 2,
        random_most=float((1 << rounding.random_bits) - 1),
    )
    return replace(at_random, rule=f"{at_random.rule}_nearest", mode="nearest", odd=odd, constants=changed)


def _float_ends(acc: FloatFormat, kind: str, overflow: str | None, specials: bool) -> str:
    """Return what becomes of sums beyond the range."""
    if overflow is None:
        return "none"
    if overflow == "nan":
        return "not_a_number"
    if overflow == "to-infinity" or (overflow == "infinity" and kind in ("rne", "stochastic")):
        return "infinite"
    if overflow == "infinity" and kind == "floor":
        return "infinite_down"
    if not acc.has_nan:
        return "clamp_all"
    return "largest" if acc.has_infinity and specials else "clamp"


# -- into fixed point ----------------------------------------------------------------------------------------------


def fixed_rounding(
    carrier: Carrier, acc: FixedFormat, rounding: Rounding, overflow: str | None, terms: Terms
) -> RoundingPlan | None:
    """Return the plan to round into fixed point, or None where a sum may be inexact in the carrier.

    Parameters:
        carrier: the type.
        acc: the format that is rounded to.
        rounding: `rne`, `rtz`, `floor`, `drop` or one at random.
        overflow: `saturate` or `wrap`; None when no sum is too large.
        terms: what is added and rounded.
    """
    q, bits = carrier.precision, rounding.random_bits
    addends, kind = terms.addends, str(rounding.kind)
    lsb, top = min(addends.lsb_exponent, acc.lsb_exponent), addends.top_exponent
    if not terms.alone:
        top = max(top, acc.max_exponent + 1) + 1
        if overflow is None:
            top = min(top, math.frexp(terms.bound)[1])
            lsb = addends.lsb_exponent
    if terms.cut is not None or top - lsb > q:
        return None
    if lsb < carrier.min_exponent or max(top, acc.lsb_exponent + q) > carrier.max_exponent - 1:
        return None
    if overflow == "wrap" and (terms.specials or addends.top_exponent > acc.width + acc.lsb_exponent):
        return None
    unit = math.ldexp(1.0, acc.lsb_exponent)
    numbers = Constants(
        largest=acc.max_integer * unit,
        lowest=acc.min_integer * unit,
        period=math.ldexp(1.0, acc.width + acc.lsb_exponent),
    )
    if overflow is not None and acc.width > q:
        return None
    ends = {None: "none", "wrap": "wrap"}.get(overflow, "clamp_all")
    plan = RoundingPlan(carrier, "none", ends, None, signed_zero=False, constants=numbers)
    if addends.lsb_exponent >= acc.lsb_exponent and kind != "floor":
        return plan
    if kind == "odd":
        return None
    if (
        top - acc.lsb_exponent + bits > q - 2
        or acc.lsb_exponent - max(bits, rounding.bits_below) < carrier.min_exponent
    ):
        return plan if addends.lsb_exponent >= acc.lsb_exponent and terms.alone else None
    place = math.ldexp(1.0, acc.lsb_exponent + q - 1)

    def with_numbers(rule: str, mode: Mode, **changes: Any) -> RoundingPlan:
        return replace(plan, rule=rule, mode=mode, constants=replace(numbers, **changes))

    match kind:
        case "rne":
            return with_numbers("fixed_nearest", "nearest", place=1.5 * place)
        case "floor":
            return with_numbers("fixed_floored", "down", place=1.5 * place)
        case "stochastic":
            at_random = with_numbers(
                "fixed_random",
                "toward_zero",
                place=place,
                random_place=math.ldexp(1.0, acc.lsb_exponent - bits + q - 1),
                random_unit=math.ldexp(1.0, acc.lsb_exponent - bits),
            )
            return _beneath(at_random, rounding)
        case "drop" if not terms.alone:
            return replace(with_numbers("none", "toward_zero", place=place), cut=True)
    return with_numbers("fixed_truncated", "toward_zero", place=place)
