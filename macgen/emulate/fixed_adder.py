"""Additions into a fixed-point accumulator, on arrays of 64-bit integers or of binary64 values."""

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from macgen.emulate.value_range import ValueRange
from macgen.numerics import FixedFormat, Rounding
from macgen.numerics.arrays import integer_rounding
from macgen.spec import MacSpec


@dataclass(frozen=True)
class FixedPlan:
    """How sums are formed in a fixed-point accumulator.

    Attributes:
        acc: the accumulator's format.
        rounding: `rne`, `rtz`, `floor`, `drop` or one at random, of the bits below the accumulator's last.
        overflow: `saturate` or `wrap`.
        cut_bits: fraction bits of a product below the accumulator's last.
        scale_a: power of two that makes the left operands integers, products then count units of
            2**-(frac_bits + cut_bits).
        scale_b: power of two that makes the right operands integers.
    """

    acc: FixedFormat
    rounding: Rounding
    overflow: str
    cut_bits: int
    scale_a: int
    scale_b: int

    @property
    def dtype(self) -> Any:
        """Type of all arrays."""
        return np.int64 if self.acc.signed else np.uint64

    @classmethod
    def choose(cls, spec: MacSpec) -> Self | None:
        """Return the plan for a spec with a fixed-point accumulator and finite operands, or None where sums may
        exceed 64 bits (62 unless they wrap and no bits are cut).
        """
        acc = spec.acc
        assert isinstance(acc, FixedFormat)
        if spec.rounding == "odd":
            return None
        products = ValueRange.of_products(spec.a, spec.b)
        cut_bits = max(acc.lsb_exponent - products.lsb_exponent, 0)
        raised = max(products.lsb_exponent - acc.lsb_exponent, 0)
        if acc.width + cut_bits > (64 if spec.overflow == "wrap" and cut_bits == 0 else 62):
            return None
        scale_a, scale_b = raised - spec.a.lsb_exponent, -spec.b.lsb_exponent
        if max(spec.a.max_exponent + scale_a, spec.b.max_exponent + scale_b) > 61:
            return None
        return cls(acc, spec.rounding, spec.overflow, cut_bits, scale_a, scale_b)

    def operands(self, A: NDArray[np.float64], B: NDArray[np.float64]) -> tuple[NDArray[Any], NDArray[Any]]:
        """Return values as integers whose products count the plan's units."""
        return np.ldexp(A, self.scale_a).astype(self.dtype), np.ldexp(B, self.scale_b).astype(self.dtype)


class FixedAdder:
    """Adds arrays of integers of any shape in place.

    Parameters:
        plan: units, rounding and overflow.
    """

    def __init__(self, plan: FixedPlan) -> None:
        self._plan = plan
        integer = plan.dtype
        self.dtype: Any = integer
        self._cut = integer(plan.cut_bits)
        self._cut_mask = integer((1 << plan.cut_bits) - 1)
        self._unused = integer(64 - plan.acc.width)
        self._lowest, self._largest = integer(plan.acc.min_integer), integer(plan.acc.max_integer)
        self._one, self._sign_shift = integer(1), integer(63)
        counted = min(plan.rounding.random_bits, plan.cut_bits)  # random bits that can carry
        self._counted, self._beneath = integer(counted), integer(plan.cut_bits - counted)
        self._uncounted = np.uint32(plan.rounding.random_bits - counted)

    def step(self, acc: NDArray[Any], product: NDArray[Any], random: NDArray[Any] | None = None) -> None:
        """Replace `acc` by R(acc + product), with these random numbers; `product` is used up."""
        plan = self._plan
        if plan.rounding == "drop" and plan.cut_bits:
            self._cut_toward_zero(product, np.empty_like(product))
            self.fold(acc, product)
            return
        np.left_shift(acc, self._cut, out=acc)
        np.add(acc, product, out=acc)
        if plan.cut_bits:
            if plan.rounding == "rne":
                self._cut_to_nearest(acc, product, self._cut)
            elif random is not None:
                self._round_at_random(acc, product, random)
            elif plan.rounding == "floor":
                np.right_shift(acc, self._cut, out=acc)
            else:
                self._cut_toward_zero(acc, product)
        self._limit(acc)

    def _cut_to_nearest(self, value: NDArray[Any], scratch: NDArray[Any], bits: Any) -> None:
        """Cut some bits, at least one: half less one, and one more above an odd integer, carry as ties to even do."""
        np.right_shift(value, bits, out=scratch)
        np.bitwise_and(scratch, self._one, out=scratch)
        np.add(value, self.dtype((1 << int(bits) >> 1) - 1), out=value)
        np.add(value, scratch, out=value)
        np.right_shift(value, bits, out=value)

    def _cut_toward_zero(self, value: NDArray[Any], scratch: NDArray[Any]) -> None:
        if self._plan.acc.signed:  # the shift rounds down; toward zero is up for negative values
            np.right_shift(value, self._sign_shift, out=scratch)
            np.bitwise_and(scratch, self._cut_mask, out=scratch)
            np.add(value, scratch, out=value)
        np.right_shift(value, self._cut, out=value)

    def _round_at_random(self, value: NDArray[Any], sign: NDArray[Any], random: NDArray[Any]) -> None:
        """Round all but the bits that random ones are added to, add, and cut the rest; on magnitudes."""
        if self._plan.acc.signed:
            np.right_shift(value, self._sign_shift, out=sign)
            np.bitwise_xor(value, sign, out=value)
            np.subtract(value, sign, out=value)
        if self._beneath and self._plan.rounding.beneath == "rne":
            self._cut_to_nearest(value, np.empty_like(value), self._beneath)
        else:
            np.right_shift(value, self._beneath, out=value)
        np.add(value, np.right_shift(random, self._uncounted).astype(self.dtype), out=value)
        np.right_shift(value, self._counted, out=value)
        if self._plan.acc.signed:
            np.bitwise_xor(value, sign, out=value)
            np.subtract(value, sign, out=value)

    def fold(self, outer: NDArray[Any], inner: NDArray[Any], random: NDArray[Any] | None = None) -> None:
        """Replace `outer` by R(outer + inner), which is exact but for the range."""
        np.add(outer, inner, out=outer)
        self._limit(outer)

    def values(self, acc: NDArray[Any]) -> NDArray[np.float64]:
        """Return accumulators as values; above 53 bits the nearest doubles."""
        return np.asarray(np.ldexp(acc.astype(np.float64), self._plan.acc.lsb_exponent))

    def _limit(self, acc: NDArray[Any]) -> None:
        if self._plan.overflow == "wrap":
            np.left_shift(acc, self._unused, out=acc)
            np.right_shift(acc, self._unused, out=acc)
        else:
            np.minimum(acc, self._largest, out=acc)
            np.maximum(acc, self._lowest, out=acc)


@dataclass(frozen=True)
class FixedValuePlan:
    """How sums are formed in a fixed-point format where all of them are exact in binary64.

    Attributes:
        acc: the format that is rounded to.
        rounding: `rne`, `rtz`, `floor`, `drop` or one at random.
        overflow: `saturate` or `wrap`.
    """

    acc: FixedFormat
    rounding: Rounding
    overflow: str

    @classmethod
    def choose(cls, acc: FixedFormat, addends: ValueRange, rounding: Rounding, overflow: str) -> Self | None:
        """Return the plan to add addends to an accumulator, or None where a sum may have more than 53 bits."""
        bits = rounding.random_bits
        lsb, top = min(addends.lsb_exponent, acc.lsb_exponent), max(addends.top_exponent, acc.max_exponent + 1) + 1
        if rounding == "odd" or top - lsb > 53 or top - acc.lsb_exponent + bits > 53 or lsb < -900 or top > 900:
            return None
        return cls(acc, rounding, overflow)


class FixedValueAdder:
    """Adds arrays of values in place; infinities and NaN may be among the addends.

    Parameters:
        plan: format, rounding and overflow.
    """

    dtype: Any = np.float64

    def __init__(self, plan: FixedValuePlan) -> None:
        self._plan = plan
        self._unit = 2.0**plan.acc.lsb_exponent
        self._random_scale = 2.0**plan.rounding.random_bits

    def step(self, acc: NDArray[Any], addend: NDArray[Any], random: NDArray[Any] | None = None) -> None:
        """Replace `acc` by R(acc + addend), with these random numbers; `addend` is used up."""
        if self._plan.rounding == "drop":
            for number in (acc, addend):
                np.divide(number, self._unit, out=number)
                np.trunc(number, out=number)
                np.multiply(number, self._unit, out=number)
        np.add(acc, addend, out=acc)
        self.round(acc, random)

    fold = step

    def round(self, x: NDArray[Any], random: NDArray[Any] | None = None) -> None:
        """Replace exact values by R of them."""
        acc = self._plan.acc
        np.divide(x, self._unit, out=x)
        if random is not None:
            np.multiply(x, self._random_scale, out=x)
            integer_rounding(self._plan.rounding.beneath)(x, out=x)
            np.add(x, np.copysign(random, x), out=x)
            np.divide(x, self._random_scale, out=x)
        integer_rounding(self._plan.rounding)(x, out=x)
        if self._plan.overflow == "wrap":
            period = 2.0**acc.width
            np.subtract(x, np.floor((x - acc.min_integer) / period) * period, out=x, where=np.isfinite(x))
        np.clip(x, acc.min_integer, acc.max_integer, out=x)
        np.copyto(x, acc.max_integer, where=np.isnan(x))
        np.multiply(x, self._unit, out=x)
        np.add(x, 0, out=x)  # fixed point has no -0

    def values(self, acc: NDArray[Any]) -> NDArray[np.float64]:
        """Return accumulators as values."""
        return acc
