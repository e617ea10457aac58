"""Additions into a float accumulator on arrays of float32 or float64, each equal to one rounding of the exact sum.

This is the way without a compiler; with one, vector kernels add, and only results are rounded to `out` here.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from macgen.emulate.carrier import CARRIERS, Carrier
from macgen.emulate.value_range import OVERFLOW_SPECIAL, ValueRange, grown_bound
from macgen.numerics import FloatFormat, Rounding
from macgen.numerics.arrays import integer_rounding
from macgen.spec import MacSpec


@dataclass(frozen=True)
class FloatPlan:
    """How sums are formed and rounded into a float accumulator with p significand bits; `choose` proves it right.

    Let the carrier (float32 or float64) have q significand bits, and products s. The carrier holds every operand,
    product, accumulator and sum without overflow or subnormals, s <= q and q >= p + 2. Each addition rounds to the
    carrier first and then to the accumulator's grid; with r random bits to that of 2**-r units in the last place, by
    truncation and q >= p + r + 1, or to nearest and q >= p + r + 2. The two roundings equal one in four cases:

    - The first is exact: all sums are multiples of a power of two that is less than q bits below the largest one.
    - `rne` with s <= p and q >= 2p + 2: double rounding of a sum of two p-bit numbers is innocuous (Figueroa, "When is
      double rounding innocuous?", 1995). On the subnormal grid too: a sum there that needs more than q bits has a
      product smaller than a sixteenth of the grid, and both roundings return the accumulator.
      The premise s <= p matters: a longer product can be a tie by itself, and an accumulator too small for the carrier
      to notice must break it (E4M3 products into E6M5).
    - `drop`: the addends are cut first, and what remains of them adds up exactly in p + 1 bits.
    - Otherwise the first rounding is *to odd* (Boldo and Melquiond, "Emulation of FMA and correctly rounded sums",
      2008): the error of the sum (TwoSum, Knuth) is folded into the last bit as a sticky bit, which q >= p + 2 makes
      harmless for every rounding of the second step.

    Attributes:
        acc: the accumulator's format.
        carrier: the type of all arrays.
        rounding: `rne`, `rtz`, `floor`, `drop` or one at random.
        overflow: `saturate`, `infinity`, `to-infinity` or `nan`; None when it is known that no sum exceeds the largest
            value.
        specials: whether infinities and NaN can occur.
        to_odd: whether sums are rounded to odd.
        subnormal_grid: whether sums can be rounded on the grid of the subnormals.
    """

    acc: FloatFormat
    carrier: Carrier
    rounding: Rounding
    overflow: str | None
    specials: bool
    to_odd: bool
    subnormal_grid: bool

    @classmethod
    def choose(cls, spec: MacSpec, length: int, bound: float) -> Self | None:
        """Return the plan for a spec with a float accumulator, or None where no carrier is proved right.

        Parameters:
            spec: the formats, rounding and overflow.
            length: products in one result.
            bound: a bound of the sum of their magnitudes, infinite if some operand may be infinite or NaN.
        """
        acc = spec.acc
        assert isinstance(acc, FloatFormat)
        products = ValueRange.of_products(spec.a, spec.b)
        overflows = grown_bound(bound, length, spec) == math.inf
        for carrier in CARRIERS:
            plan = cls.within(
                carrier,
                acc,
                products,
                spec.rounding,
                spec.overflow if overflows else None,
                specials=not math.isfinite(bound) or (overflows and spec.overflow in OVERFLOW_SPECIAL),
            )
            if plan is not None and all(carrier.holds(ValueRange.of_format(fmt)) for fmt in (spec.a, spec.b)):
                return plan
        return None

    @classmethod
    def within(
        cls,
        carrier: Carrier,
        acc: FloatFormat,
        addends: ValueRange,
        rounding: Rounding,
        overflow: str | None,
        *,
        specials: bool,
        aligned: tuple[int, int] | None = None,
        split: bool = False,
    ) -> Self | None:
        """Return the plan to add addends to an accumulator within a carrier, or None where it is not proved right.

        Parameters:
            carrier: the type.
            acc: the format that is rounded to.
            addends: what is added.
            rounding: of sums.
            overflow: `saturate`, `infinity`, `to-infinity` or `nan`; None when no sum can be too large.
            specials: whether infinities and NaN can occur.
            aligned: W of `aligned:W` and how many addends there are beside the accumulator: all are cut before they
                are added, and what is left of them adds up exactly.
            split: whether each addend is given as the carrier's nearest number and what remains of it.
        """
        if rounding == "odd":
            return None
        p, q, bits = acc.precision, carrier.precision, rounding.random_bits
        lsb = min(addends.lsb_exponent, acc.lsb_exponent)
        top = max(addends.top_exponent, acc.max_exponent + 1) + 1
        exact = top - lsb <= q
        if aligned is not None:
            places, count = aligned
            if places + 1 + count.bit_length() > q:
                return None
            lsb, top, exact = lsb - places, top + count.bit_length(), True
        precision = min(addends.precision, q) if split else addends.precision
        if not carrier.holds(ValueRange(precision, lsb, top)) or q < p + 1 + max(rounding.bits_below, 1):
            return None
        looks_below = bits > 0 or rounding == "floor"  # the bits below the place, or half the subnormals' unit
        if looks_below and acc.lsb_exponent - 1 - bits < carrier.min_exponent:
            return None
        if rounding == "floor" and lsb - acc.lsb_exponent < carrier.min_exponent:
            return None  # a negative sum over the unit in the last place might become 0, which is not rounded down
        innocuous = rounding == "rne" and addends.precision <= p and q >= 2 * p + 2
        return cls(
            acc=acc,
            carrier=carrier,
            rounding=rounding,
            overflow=overflow,
            specials=specials,
            to_odd=not (exact or innocuous or rounding == "drop"),
            subnormal_grid=acc.subnormals == "gradual" and addends.lsb_exponent < acc.lsb_exponent,
        )

    def operands(self, A: NDArray[np.float64], B: NDArray[np.float64]) -> tuple[NDArray[Any], NDArray[Any]]:
        """Return values in the carrier's type, exactly."""
        return A.astype(self.carrier.dtype), B.astype(self.carrier.dtype)


class FloatAdder:
    """Adds arrays of one shape in place.

    Parameters:
        plan: how, proved right.
        shape: of all arrays.
    """

    def __init__(self, plan: FloatPlan, shape: tuple[int, ...]) -> None:
        self._plan = plan
        carrier, acc = plan.carrier, plan.acc
        real, self._bits = carrier.dtype, carrier.bits
        self.dtype: Any = real
        self._exponent_mask = carrier.bits(carrier.exponent_mask)
        self._sign_shift = carrier.bits(carrier.sign_shift)
        self._magnitude_mask = carrier.bits((1 << carrier.sign_shift) - 1)
        self._one = carrier.bits(1)
        # Adding and subtracting 1.5 * 2**(e + q - p), where 2**e <= |sum| < 2**(e+1), rounds to p bits.
        self._magic = real(1.5 * 2.0 ** (carrier.precision - acc.precision))
        self._ulp = real(2.0**-acc.man_bits)
        self._min_normal = real(acc.min_normal)
        least_binade = 2.0**acc.min_exponent
        # `drop` cuts smaller addends where it cuts those of this binade: at the subnormals' grid or, without one, below
        # all of them.
        least_cut = acc.min_exponent if acc.subnormals == "gradual" else carrier.min_exponent + acc.man_bits
        self._least_cut_binade = real(2.0**least_cut)
        self._max = real(acc.max)
        # Sums below half the smallest normal number are flushed wherever they are rounded to. Those above, which are
        # tiny unless they round up to it at full precision, have half its unit where more than a half is rounded up.
        rounds_far = plan.rounding.random_bits or plan.rounding == "floor"
        self._least_unit = real(least_binade / (2 if acc.subnormals == "flush" and rounds_far else 1))
        self._random_scale = real(2.0**plan.rounding.random_bits)
        self._tiniest = np.finfo(real).tiny
        self._scratch = [np.empty(shape, real) for _ in range(1 if plan.rounding == "drop" else 2 * plan.to_odd)]

    def step(
        self,
        acc: NDArray[Any],
        addend: NDArray[Any],
        random: NDArray[Any] | None = None,
        rest: NDArray[Any] | None = None,
    ) -> None:
        """Replace `acc` by R(acc + addend + rest), with these random numbers; `addend` and `rest` are used up."""
        plan = self._plan
        total = self._scratch[0] if self._scratch else acc
        np.add(acc, addend, out=total)
        special, passed = None, None
        if plan.specials and not (finite := np.isfinite(total)).all():
            special = ~finite
            passed = total[special]
        if rest is not None:
            self._join(acc, addend, rest)
        if plan.to_odd:
            self._round_to_odd(acc, addend)
        elif plan.rounding == "drop":
            self._add_cut(acc, addend)
        self._round(acc, addend, random)
        if special is not None and passed is not None:
            acc[special] = self._resolve(passed)

    fold = step

    def step_aligned(
        self, acc: NDArray[Any], addends: Sequence[NDArray[Any]], places: int, random: NDArray[Any] | None = None
    ) -> None:
        """Replace `acc` by R of its sum with addends, all cut at a number of bits below the largest's exponent."""
        total, unit = acc.copy(), np.abs(acc)
        for addend in addends:
            np.add(total, addend, out=total)
            np.maximum(unit, np.abs(addend), out=unit)
        special = ~np.isfinite(total) if self._plan.specials else None
        np.bitwise_and(unit.view(self._bits), self._exponent_mask, out=unit.view(self._bits))
        np.maximum(unit, self._tiniest, out=unit)  # where all are zero
        np.multiply(unit, self.dtype(2.0**-places), out=unit)
        np.maximum(unit, self._tiniest, out=unit)
        np.divide(acc, unit, out=acc)
        np.trunc(acc, out=acc)
        for addend in addends:
            np.divide(addend, unit, out=addend)
            np.trunc(addend, out=addend)
            np.add(acc, addend, out=acc)
        np.multiply(acc, unit, out=acc)
        self._round(acc, unit, random)
        if special is not None and special.any():
            acc[special] = self._resolve(total[special])

    def round(self, x: NDArray[Any], random: NDArray[Any] | None = None) -> None:
        """Replace exact values by R of them."""
        special = ~np.isfinite(x) if self._plan.specials else None
        passed = x[special] if special is not None and special.any() else None
        self._round(x, np.empty_like(x), random)
        if passed is not None:
            x[special] = self._resolve(passed)

    def _round(self, acc: NDArray[Any], scratch: NDArray[Any], random: NDArray[Any] | None) -> None:
        if self._plan.rounding == "rne" and not self._plan.subnormal_grid:
            self._round_by_magic(acc, scratch)
        else:
            self._round_by_division(acc, scratch, random)
        self._limit(acc, scratch)

    def values(self, acc: NDArray[Any]) -> NDArray[np.float64]:
        """Return accumulators as values."""
        return acc.astype(np.float64)

    def _add_cut(self, acc: NDArray[Any], addend: NDArray[Any]) -> None:
        """Replace `acc` by the sum of both, each cut toward zero at the larger one's last place."""
        (unit,) = self._scratch
        np.maximum(np.abs(acc), np.abs(addend), out=unit)
        np.bitwise_and(unit.view(self._bits), self._exponent_mask, out=unit.view(self._bits))
        np.maximum(unit, self._least_cut_binade, out=unit)
        np.multiply(unit, self._ulp, out=unit)
        for number in (acc, addend):
            np.divide(number, unit, out=number)
            np.trunc(number, out=number)
        np.add(acc, addend, out=acc)
        np.multiply(acc, unit, out=acc)

    def _join(self, acc: NDArray[Any], addend: NDArray[Any], rest: NDArray[Any]) -> None:
        """Make `acc` the sum of `acc` and `addend` rounded to nearest, and `addend` its error plus the rest, rounded to
        odd; the first scratch array is the sum of these two, rounded to nearest.

        Rounded to odd, they give what all three do. The error and the rest have more bits than one number only where
        the sum is inexact. Then it has cancelled by one bit at most, and both together are below twice its last place.
        """
        total = self._scratch[0]
        nearest, part = total.copy(), total - acc
        error = (acc - (total - part)) + (addend - part)
        np.add(error, rest, out=total)
        self._round_to_odd(error, rest)
        acc[...], addend[...] = nearest, error
        np.add(acc, addend, out=total)

    def _round_to_odd(self, acc: NDArray[Any], addend: NDArray[Any]) -> None:
        """Replace `acc` by the sum rounded to odd, given the sum rounded to nearest in the first scratch array."""
        total, part = self._scratch
        np.subtract(total, acc, out=part)
        np.subtract(addend, part, out=addend)
        np.subtract(total, part, out=part)
        np.subtract(acc, part, out=acc)
        np.add(acc, addend, out=addend)  # the error of total
        sum_bits, error, opposite = total.view(self._bits), addend.view(self._bits), part.view(self._bits)
        np.bitwise_xor(sum_bits, error, out=opposite)
        np.right_shift(opposite, self._sign_shift, out=opposite)
        np.bitwise_and(error, self._magnitude_mask, out=error)
        np.minimum(error, self._one, out=error)  # 1 where the sum is inexact
        np.bitwise_and(opposite, error, out=opposite)
        np.subtract(sum_bits, opposite, out=sum_bits)  # toward zero, where total was rounded away from it
        np.bitwise_or(sum_bits, error, out=acc.view(self._bits))

    def _round_by_magic(self, acc: NDArray[Any], scratch: NDArray[Any]) -> None:
        """Round to nearest even, p significant bits; an exact zero becomes +0."""
        np.bitwise_and(acc.view(self._bits), self._exponent_mask, out=scratch.view(self._bits))
        np.multiply(scratch, self._magic, out=scratch)
        np.add(acc, scratch, out=acc)
        np.subtract(acc, scratch, out=acc)

    def _round_by_division(self, acc: NDArray[Any], ulp: NDArray[Any], random: NDArray[Any] | None) -> None:
        """Round to multiples of the unit in the last place; a result of zero keeps its sum's sign."""
        plan = self._plan
        np.add(acc, 0, out=acc)  # an exact zero is +0
        np.bitwise_and(acc.view(self._bits), self._exponent_mask, out=ulp.view(self._bits))
        np.maximum(ulp, self._least_unit, out=ulp)
        np.multiply(ulp, self._ulp, out=ulp)
        np.divide(acc, ulp, out=acc)
        if random is not None:
            np.multiply(acc, self._random_scale, out=acc)
            integer_rounding(plan.rounding.beneath)(acc, out=acc)
            np.add(acc, np.copysign(random.astype(self.dtype), acc), out=acc)
            np.divide(acc, self._random_scale, out=acc)
        integer_rounding(plan.rounding)(acc, out=acc)
        np.multiply(acc, ulp, out=acc)
        if plan.acc.encoding == "fnuz":
            np.add(acc, 0, out=acc)

    def _limit(self, acc: NDArray[Any], scratch: NDArray[Any]) -> None:
        """Apply the ends of the range to finite results."""
        plan = self._plan
        if plan.acc.subnormals != "gradual":
            np.abs(acc, out=scratch)
            np.copyto(acc, 0, where=scratch < self._min_normal)
        if plan.overflow == "nan":
            np.abs(acc, out=scratch)
            np.copyto(acc, np.nan, where=scratch > self._max)
        elif plan.overflow == "to-infinity" or (
            plan.overflow == "infinity" and (plan.rounding == "rne" or plan.rounding.random_bits)
        ):
            np.abs(acc, out=scratch)
            if (over := scratch > self._max).any():
                acc[over] = np.copysign(self.dtype(np.inf), acc[over])
        elif plan.overflow is not None:
            np.minimum(acc, self._max, out=acc)
            if plan.overflow == "infinity" and plan.rounding == "floor":
                np.copyto(acc, -np.inf, where=acc < -self._max)
            else:
                np.maximum(acc, -self._max, out=acc)

    def _resolve(self, special: NDArray[Any]) -> NDArray[Any]:
        """Return what infinite and NaN sums become in the accumulator (docs/arithmetic.md section 4)."""
        acc = self._plan.acc
        if self._plan.overflow == "nan":
            special = np.full_like(special, np.nan)
        elif not acc.has_infinity:
            special = np.clip(special, -self._max, self._max)
        return special if acc.has_nan else np.where(np.isnan(special), self._max, special)
