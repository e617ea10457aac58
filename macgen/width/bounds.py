"""Exact bounds: accumulators that hold every possible sum of products without loss. Python integers only.

An accumulator starts at zero and takes the products one after another, so a range here always holds zero and every
partial sum too. "Exact" means smallest: one bit less overflows on some operands. The published formulas stand beside
them; they are never smaller.
"""

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from macgen.errors import MacgenError, check_flag, check_integer, check_type, is_integer, shown
from macgen.numerics import FixedFormat, FloatFormat, Format, as_format
from macgen.width.formulas import ranges
from macgen.width.formulas.ranges import Range as Range

# -- ranges ----------------------------------------------------------------------------------------------------------


def operand_range(fmt: Format) -> Range:
    """Return the lowest and the largest finite value of a format in units of 2**lsb_exponent."""
    return ranges.operand_range(as_format("format", fmt))


def holds(fmt: FixedFormat, values: Range) -> bool:
    """Return whether a fixed-point format reaches both ends of a range of integers."""
    return ranges.holds(_fixed("format", fmt), checked_range("values", values))


def sum_range(a: Range, b: Range, n: int) -> Range:
    """Return the lowest and the largest sum of up to n products of operands from two ranges, zero among them.

    Parameters:
        a: lowest and largest left operand.
        b: lowest and largest right operand.
        n: largest number of products, at least 1.

    Raises:
        MacgenError: n or a range is refused.
    """
    a, b = checked_range("a", a), checked_range("b", b)
    return ranges.sum_range(a, b, check_integer("n", n, 1))


def sum_range_of_weights(weights: Iterable[int] | NDArray[Any], x: Range) -> Range:
    """Return the lowest and the largest sum of products of known weights and inputs from a range.

    Zero is taken to be among the inputs (padding supplies it), so the order of the weights does not matter.

    Parameters:
        weights: the integer weights of one dot product, also as a one-dimensional NumPy array.
        x: lowest and largest input.

    Raises:
        MacgenError: a weight is no integer or the range is refused.
    """
    x = checked_range("x", x)
    positive, negative = _signed_norms(weights)
    low, high = min(0, x[0]), max(0, x[1])
    return positive * low - negative * high, positive * high - negative * low


def carries(fmt: FixedFormat, values: Range) -> bool:
    """Return whether every integer of a range is a number of a fixed-point format.

    Where the last bit counts 2 or more, only a range of one integer can be.
    """
    return ranges.carries(_fixed("format", fmt), checked_range("values", values))


# -- widths ----------------------------------------------------------------------------------------------------------


def bits(sums: Range, signed: bool = True) -> int:
    """Return the smallest width whose integers hold a range, at least 1.

    Parameters:
        sums: lowest and largest integer.
        signed: two's complement, or unsigned.

    Raises:
        MacgenError: the range is refused, or negative for unsigned integers.
    """
    limits, signed = checked_range("sums", sums), check_flag("signed", signed)
    if not signed and limits[0] < 0:
        raise MacgenError(f"sums {shown(sums)} are negative; accepted for unsigned are sums from 0")
    return ranges.bits(limits, signed)


def exact_bits(a: Format, b: Format, n: int) -> int:
    """Return the smallest two's complement width that holds every sum of up to n products exactly, in any formats.

    The last bit counts 2**(a.lsb_exponent + b.lsb_exponent). Infinities and NaN are left out. Both operands unsigned
    need one bit less in an unsigned accumulator, see `exact_format`.

    Parameters:
        a: format of the left operands.
        b: format of the right operands.
        n: number of products, at least 1.

    Raises:
        MacgenError: n is refused.
    """
    a, b = as_format("a", a), as_format("b", b)
    return bits(sum_range(operand_range(a), operand_range(b), n))


def exact_format(a: Format, b: Format, n: int) -> FixedFormat:
    """Return the smallest fixed-point format that holds every sum of up to n products of two formats exactly.

    Unsigned where both operands are. For float operands this is the Kulisch accumulator of the pair.

    Parameters:
        a: format of the left operands.
        b: format of the right operands.
        n: number of products, at least 1.

    Raises:
        MacgenError: n is refused, or the format would have more bits than `FixedFormat` takes.
    """
    a, b = as_format("a", a), as_format("b", b)
    return ranges.exact_format(a, b, check_integer("n", n, 1))


def exact_bits_of_weights(weights: Iterable[int] | NDArray[Any], x: FixedFormat) -> int:
    """Return the smallest two's complement width that holds every sum of products with known integer weights.

    Parameters:
        weights: the integer weights of one dot product, also as a one-dimensional NumPy array.
        x: format of the inputs; the width counts its last bit.

    Raises:
        MacgenError: a weight is no integer.
    """
    return bits(sum_range_of_weights(weights, operand_range(_fixed("x", x))))


# -- the published formulas ------------------------------------------------------------------------------------------


def a2q_bits(x: FixedFormat, w: FixedFormat, n: int) -> int:
    """Return A2Q's data-type bound on the accumulator width (arXiv 2308.13504).

    P >= alpha + phi(alpha) + 1, alpha = log2 n + N + M - 1 - [x signed], phi(t) = log2(1 + 2^-t): with integers, the
    bit length of n 2^(N + M - 1 - [x signed]), plus 1. It equals `exact_bits` for signed inputs. For unsigned ones it
    takes 2^N for the largest input, 2^N - 1, and is a bit too large where a power of two lies between (of 1-bit inputs
    one or two bits).

    Parameters:
        x: format of the inputs, N bits, signed or not.
        w: format of the weights, M bits, signed.
        n: number of products, at least 1.

    Raises:
        MacgenError: n is refused or the weights are unsigned, for which the formula is not stated.
    """
    x, w, n = _fixed("x", x), _fixed("w", w), check_integer("n", n, 1)
    if not w.signed:
        raise MacgenError(f"w {w} is unsigned; accepted are signed weights")
    return (n << (x.width + w.width - 1 - x.signed)).bit_length() + 1


def a2q_bits_of_weights(l1_norm: int, x: FixedFormat) -> int:
    """Return A2Q's weight bound on the accumulator width: the same formula, alpha = log2(sum |w|) + N - [x signed].

    `exact_bits_of_weights` is never larger: it knows how the weights' signs are divided.

    Parameters:
        l1_norm: sum of the integer weights' magnitudes, at least 0; see `l1_norm`.
        x: format of the inputs, N bits, signed or not.

    Raises:
        MacgenError: the norm is refused.
    """
    l1_norm, x = check_integer("l1_norm", l1_norm, 0), _fixed("x", x)
    return (l1_norm << (x.width - x.signed)).bit_length() + 1


def l1_norm(weights: Iterable[int] | NDArray[Any]) -> int:
    """Return the sum of the magnitudes of integer weights.

    Raises:
        MacgenError: a weight is no integer.
    """
    return sum(_signed_norms(weights))


def kulisch_bits(a: FloatFormat, b: FloatFormat, n: int) -> int:
    """Return the usual width of a fixed-point (Kulisch) accumulator for sums of n products of floats.

    2^Ea + Ma + 2^Eb + Mb + ceil(log2 n) - 1 bits, sign included: the whole exponent field of both counts as numbers.
    `exact_bits` leaves out infinities and NaN and is one to three bits smaller for the usual formats.

    Parameters:
        a: format of the left operands.
        b: format of the right operands.
        n: number of products, at least 1.

    Raises:
        MacgenError: n is refused.
    """
    for name, fmt in (("a", a), ("b", b)):
        check_type(name, fmt, FloatFormat, "a FloatFormat")
    n = check_integer("n", n, 1)
    return (1 << a.exp_bits) + a.man_bits + (1 << b.exp_bits) + b.man_bits + (n - 1).bit_length() - 1


# -- checks ----------------------------------------------------------------------------------------------------------


def _fixed(field: str, fmt: FixedFormat) -> FixedFormat:
    check_type(field, fmt, FixedFormat, "a FixedFormat")
    return fmt


def checked_range(field: str, limits: Range) -> Range:
    """Return a range as Python's integers.

    Raises:
        MacgenError: it is no pair of integers, the lowest first.
    """
    integers = isinstance(limits, tuple) and all(map(is_integer, limits))
    if not integers or len(limits) != 2 or limits[0] > limits[1]:
        raise MacgenError(f"{field} {shown(limits)} is not a range; accepted are two integers, the lowest first")
    return int(limits[0]), int(limits[1])


def _signed_norms(weights: Iterable[int] | NDArray[Any]) -> Range:
    """Return the sums of the magnitudes of the positive and of the negative weights."""
    check_type("weights", weights, Iterable, "a sequence of integers")
    if isinstance(weights, np.ndarray):
        if weights.ndim != 1:
            raise MacgenError(f"weights have the shape {weights.shape}; accepted are those of one dot product")
        weights = weights.tolist()  # Python integers, which do not overflow
    positive = negative = 0
    for k, weight in enumerate(weights):
        if not is_integer(weight):
            raise MacgenError(f"weight[{k}] {shown(weight)} is not an integer")
        weight = int(weight)
        if weight > 0:
            positive += weight
        else:
            negative -= weight
    return positive, negative
