"""Exact arithmetic on decoded numbers: products, sums, and what a cut leaves."""

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Literal

from macgen.errors import MacgenError
from macgen.numerics import Format, Number, ScaleFormat, shift_right

CACHED_CODES = 1 << 16


def multiply(a: Number, b: Number) -> Number:
    """Return the exact product; `signalling` stands for a NaN that raises `invalid` (also 0 times infinity)."""
    sign = a.sign ^ b.sign
    if a.kind == "finite" and b.kind == "finite":
        return Number("finite", sign, a.significand * b.significand, a.exponent + b.exponent)
    zero_times_infinity = "infinite" in (a.kind, b.kind) and (is_zero(a) or is_zero(b))
    if "signalling" in (a.kind, b.kind) or zero_times_infinity:
        return Number("signalling", sign)
    if "nan" in (a.kind, b.kind):
        return Number("nan", sign)
    return Number("infinite", sign)


def exact_sum(addends: Sequence[Number]) -> tuple[int, int]:
    """Return the sum of finite numbers as an integer and the power of two that it counts."""
    total, lsb = 0, addends[0].exponent
    for _, sign, significand, exponent in addends:
        if exponent < lsb:
            total, lsb = total << (lsb - exponent), exponent
        magnitude = significand << (exponent - lsb)
        total += -magnitude if sign else magnitude
    return total, lsb


def largest_exponent(addends: Sequence[Number]) -> int:
    """Return the exponent of the largest magnitude's binade; 0 if all are zero."""
    return max((x.exponent + x.significand.bit_length() - 1 for x in addends if x.significand), default=0)


def cut_all(addends: Sequence[Number], last_place: int) -> tuple[Number, ...]:
    """Return finite numbers without what lies below a place."""
    return tuple(_cut(addend, last_place) for addend in addends)


def _cut(x: Number, last_place: int, rounding: Literal["rtz", "odd"] = "rtz") -> Number:
    if x.exponent >= last_place:
        return x
    kept, _ = shift_right(x.significand, last_place - x.exponent, rounding)
    return Number("finite", x.sign, kept, last_place)


def cut_all_to_odd(addends: Sequence[Number], last_place: int) -> tuple[Number, ...]:
    """Return finite numbers cut at a place, where the last bit of those that lose something becomes 1."""
    return tuple(_cut(addend, last_place, "odd") for addend in addends)


def is_zero(x: Number) -> bool:
    """Return whether a number is a zero."""
    return x.kind == "finite" and x.significand == 0


def decoder(name: str, fmt: Format | ScaleFormat) -> Callable[[int], Number]:
    """Return the format's scalar decoder with a memory, its errors naming the operand."""

    @lru_cache(CACHED_CODES)
    def decode(code: int) -> Number:
        try:
            return fmt.number(code)
        except MacgenError as error:
            raise MacgenError(f"{name}: {error}") from None

    return decode
