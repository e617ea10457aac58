"""What is known about all products of two formats, and about a product of matrices, before computing it."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from macgen.numerics import FloatFormat, Format
from macgen.spec import MacSpec


def significant_bits(fmt: Format) -> int:
    """Return how many significant bits a finite value of a format has at most."""
    return fmt.precision if isinstance(fmt, FloatFormat) else max(fmt.width - fmt.signed, 1)


@dataclass(frozen=True)
class Products:
    """Bounds of the finite products of two formats.

    Attributes:
        precision: most significant bits of a product.
        lsb_exponent: every product is a multiple of 2 to this power.
        top_exponent: every magnitude is below 2 to this power.
    """

    precision: int
    lsb_exponent: int
    top_exponent: int

    @classmethod
    def of(cls, a: Format, b: Format) -> "Products":
        """Return the bounds for operands of two formats."""
        return cls(
            significant_bits(a) + significant_bits(b),
            a.lsb_exponent + b.lsb_exponent,
            a.max_exponent + b.max_exponent + 2,
        )


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


def sums_are_exact(spec: MacSpec, bound: float) -> bool:
    """Return whether no addition of a matrix product rounds or overflows, in any order, in `acc` and in binary64.

    All partial sums are multiples of the product grid and no larger than `magnitude_bound`; that is enough when the
    accumulator's grid near zero is no coarser than the products' and its significand holds the bound.
    """
    acc, lsb = spec.acc, Products.of(spec.a, spec.b).lsb_exponent
    if isinstance(acc, FloatFormat):
        finest = acc.sum_exponent
        precision = min(acc.precision, 53)
    else:
        finest, precision = acc.lsb_exponent, 53
    return lsb >= max(finest, -1022) and bound <= min(acc.max, np.ldexp(1.0, min(precision + lsb, 1023)))
