"""What is known about all numbers that are added, and about a product of matrices, before computing it."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from macgen.numerics import FixedFormat, FloatFormat, Format, ScaleFormat
from macgen.spec import MacSpec

OVERFLOW_SPECIAL = ("infinity", "to-infinity", "nan")
"""What becomes of numbers that are too large and is none itself."""


def significant_bits(fmt: Format) -> int:
    """Return how many significant bits a finite value of a format has at most."""
    return fmt.precision if isinstance(fmt, FloatFormat) else max(fmt.width - fmt.signed, 1)


@dataclass(frozen=True)
class OperandFacts:
    """What is known of an operand's values.

    Attributes:
        least: no finite magnitude but zero is smaller; infinite where all are zero.
        largest: no finite magnitude is larger.
        finite: whether there are no infinities and no NaN.
    """

    least: float
    largest: float
    finite: bool = True


@dataclass(frozen=True)
class ValueRange:
    """Bounds of finite numbers, such as the products of two formats.

    Attributes:
        precision: most significant bits of a number.
        lsb_exponent: every one is a multiple of 2 to this power.
        top_exponent: every magnitude is below 2 to this power.
    """

    precision: int
    lsb_exponent: int
    top_exponent: int

    @classmethod
    def of_products(cls, a: Format, b: Format) -> "ValueRange":
        """Return the bounds of the products of two formats."""
        return cls(
            significant_bits(a) + significant_bits(b),
            a.lsb_exponent + b.lsb_exponent,
            a.max_exponent + b.max_exponent + 2,
        )

    @classmethod
    def of_format(cls, fmt: Format) -> "ValueRange":
        """Return the bounds of a format's numbers."""
        return cls(significant_bits(fmt), fmt.lsb_exponent, fmt.max_exponent + 1)

    @classmethod
    def of_values(cls, fmt: Format | ScaleFormat, facts: "OperandFacts") -> "ValueRange":
        """Return the bounds of some of a format's numbers."""
        if isinstance(fmt, ScaleFormat):
            precision, lsb, top = 1, -fmt.bias, fmt.bias + 1
        else:
            precision, lsb, top = significant_bits(fmt), fmt.lsb_exponent, fmt.max_exponent + 1
        if facts.largest == 0:
            return cls(1, lsb, lsb + 1)
        top = min(top, math.frexp(facts.largest)[1])
        if not isinstance(fmt, FixedFormat):
            lsb = max(lsb, math.frexp(facts.least)[1] - precision)
        return cls(min(precision, top - lsb), lsb, top)

    def times(self, other: "ValueRange") -> "ValueRange":
        """Return the bounds of these numbers' products with others."""
        precision = self.precision + other.precision
        if 1 in (self.precision, other.precision):
            precision -= 1  # powers of two
        return ValueRange(precision, self.lsb_exponent + other.lsb_exponent, self.top_exponent + other.top_exponent)

    def scaled(self, scale: ScaleFormat | FloatFormat) -> "ValueRange":
        """Return the bounds of these numbers' products with scales."""
        if isinstance(scale, FloatFormat):
            other = ValueRange.of_format(scale)
            precision = self.precision + other.precision
            return ValueRange(precision, self.lsb_exponent + other.lsb_exponent, self.top_exponent + other.top_exponent)
        return ValueRange(self.precision, self.lsb_exponent - scale.bias, self.top_exponent + scale.bias)

    def summed(self, count: int) -> "ValueRange":
        """Return the bounds of the exact sums of up to so many of these numbers."""
        if count == 1:
            return self
        top = self.top_exponent + (count - 1).bit_length()
        return ValueRange(top - self.lsb_exponent, self.lsb_exponent, top)


def magnitude_bound(A: NDArray[np.float64], B: NDArray[np.float64]) -> float:
    """Return a bound of the sum of |a * b| over k for every element of A @ B.

    Parameters:
        A: (M, K) finite values.
        B: (K, N) finite values.
    """
    a, b = np.abs(A), np.abs(B)
    with np.errstate(over="ignore", invalid="ignore", under="ignore"):
        bounds = a.sum(axis=1).max() * b.max(), a.max() * b.sum(axis=0).max()
        # The sums round K times and underflow by less than one subnormal; the slack covers both.
        return float(min(bounds) * (1 + 2.0**-50 * A.shape[1]) + 2.0**-1060)


def products_bound(A: NDArray[np.float64], B: NDArray[np.float64]) -> float:
    """Return a bound of the sum of |a * b| over k for every row of A and B, both (T, K) and finite."""
    with np.errstate(over="ignore", under="ignore"):
        return float(np.einsum("tk,tk->t", np.abs(A), np.abs(B)).max() * (1 + 2.0**-50 * A.shape[1]) + 2.0**-1060)


def grown_bound(bound: float, length: int, spec: MacSpec) -> float:
    """Return a bound of every sum after the roundings, infinite where one may exceed the accumulator's range.

    Cutting toward zero, of sums or of the terms of `drop` and `aligned:W`, makes no bound larger. Other roundings add
    at most half a unit in the last place to nearest, else a whole one. A sum on the grid of subnormals or fixed point
    counts with that unit.
    """
    acc, kind = spec.acc, str(spec.rounding.kind)
    chunk = min(spec.chunk or length, length)
    steps = chunk + -(-length // chunk) + spec.lanes  # one result's roundings after one another
    roundings = [(acc, steps, 2 * length)] + ([] if spec.product is None else [(spec.product, 1, length)])
    for fmt, relative, absolute in reversed(roundings):
        if kind in ("rtz", "drop") or not bound < math.inf:
            break
        if isinstance(fmt, FloatFormat):
            bound *= math.exp(min(relative * 2.0 ** ((kind != "rne") - fmt.precision), 700))
        bound += absolute * 2.0 ** max(fmt.lsb_exponent, -1074)
    bound *= 1 + 2.0**-30
    formats = {acc} if spec.has_outer_adder else {acc, spec.outer_format}
    return bound if all(bound <= fmt.max for fmt in formats) else math.inf


def sums_are_exact(spec: MacSpec, bound: float) -> bool:
    """Return whether no addition of a matrix product rounds or overflows, in any order, in its accumulators and in
    binary64.

    All partial sums are multiples of the product grid and no larger than `magnitude_bound`; that is enough when an
    accumulator's grid near zero is no coarser than the products' and its significand holds the bound.
    """
    if spec.product is not None or spec.scale is not None or spec.aligns:
        return False
    lsb = ValueRange.of_products(spec.a, spec.b).lsb_exponent
    return all(_holds_sums(fmt, lsb, bound) for fmt in {spec.acc, spec.outer_format})


def _holds_sums(fmt: Format, lsb: int, bound: float) -> bool:
    """Return whether all multiples of 2**lsb up to a bound are values, of the format and in binary64."""
    if isinstance(fmt, FixedFormat):
        finest, precision = fmt.lsb_exponent, 53
    else:
        finest, precision = fmt.sum_exponent, min(fmt.precision, 53)
    return lsb >= max(finest, -1022) and bound <= min(fmt.max, np.ldexp(1.0, min(precision + lsb, 1023)))
