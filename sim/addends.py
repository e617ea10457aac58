"""What corners are made of: products of operands (and scales) that have exactly a wanted value."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from typing import Literal

from macgen.numerics import FloatFormat, Format, ScaleFormat
from macgen.spec import MacSpec
from macgen.spec_fields import Scale

Pair = tuple[int, int]
"""Codes of a left and a right operand, or of their scales."""

Place = Literal["steps", "folds", "results"]
"""What rounds: the accumulator in its steps, the outer accumulator, or the conversion of results."""


@dataclass(frozen=True)
class Addend:
    """The product (-1)**sign * significand * 2**exponent."""

    sign: int
    significand: int
    exponent: int

    @property
    def negated(self) -> "Addend":
        """The product of the other sign."""
        return Addend(1 - self.sign, self.significand, self.exponent)


@dataclass(frozen=True)
class Aim:
    """The place in an array that corners are built for, and the addends that can reach it."""

    spec: MacSpec
    place: Place

    @property
    def format(self) -> Format:
        """What is rounded to."""
        spec = self.spec
        return {"steps": spec.acc, "folds": spec.outer_format, "results": spec.out_format}[self.place]

    @property
    def by_chunks(self) -> bool:
        """Whether each addend is a chunk sum of its own."""
        return self.place == "folds" or (self.place == "results" and self.spec.has_outer_adder)

    @property
    def scale(self) -> Scale | None:
        """The format of the scales of each addend, if it has any."""
        scaled = self.spec.scales_lanes if self.place == "steps" else self.spec.scales_chunks and self.by_chunks
        return self.spec.scale if scaled else None

    @property
    def passed(self) -> list[Format]:
        """The formats that a product is rounded to on its way."""
        product = [] if self.spec.product is None else [self.spec.product]
        return product + [self.spec.acc] * self.by_chunks

    @property
    def lowest(self) -> int:
        """The exponent of the smallest addend's last bit."""
        spec = self.spec
        lowest = max([spec.a.lsb_exponent + spec.b.lsb_exponent, *(fmt.lsb_exponent for fmt in self.passed)])
        return lowest + 2 * scale_exponents(self.scale)[0]

    @property
    def highest(self) -> int:
        """The exponent of the largest addend's first bit, or one less."""
        spec = self.spec
        highest = min([spec.a.max_exponent + spec.b.max_exponent, *(fmt.max_exponent for fmt in self.passed)])
        return highest + 2 * scale_exponents(self.scale)[1]

    @property
    def width(self) -> int:
        """Bits of which every magnitude is an addend's significand."""
        width = max(significand_bits(self.spec.a), significand_bits(self.spec.b))
        return min([width, *(significand_bits(fmt) for fmt in self.passed)])

    @property
    def largest(self) -> Fraction:
        """The largest addend."""
        a, b = (largest_of(fmt) for fmt in (self.spec.a, self.spec.b))
        addend = min([a * b, *(largest_of(fmt) for fmt in self.passed)])
        return addend * (1 if self.scale is None else largest_of(self.scale) ** 2)

    @property
    def largest_power(self) -> int:
        """The exponent of the largest addend that is a product of powers of two."""
        power = sum(floor_log2(largest_of(fmt)) for fmt in (self.spec.a, self.spec.b))
        return min([power, *(floor_log2(largest_of(fmt)) for fmt in self.passed)]) + 2 * scale_exponents(self.scale)[1]

    @property
    def repeats(self) -> int:
        """How many of the largest addends overflow."""
        return math.floor(largest_of(self.format) / self.largest) + 1


def largest_of(fmt: Format | ScaleFormat) -> Fraction:
    """Return the largest number of a format; of one that has no positive one, as int1, the largest magnitude."""
    if isinstance(fmt, ScaleFormat):
        return fmt.number(fmt.nan_code - 1).to_fraction()
    return fmt.number(fmt.largest_code(0)).to_fraction() or -fmt.number(fmt.largest_code(1)).to_fraction()


def floor_log2(x: Fraction) -> int:
    """Return the exponent of the largest power of two that is not larger than a positive number."""
    exponent = x.numerator.bit_length() - x.denominator.bit_length()
    return exponent if Fraction(2) ** exponent <= x else exponent - 1


@lru_cache
def scale_exponents(fmt: Scale | None) -> tuple[int, int]:
    """Return the exponents of the smallest and the largest power of two among scales."""
    if fmt is None:
        return 0, 0
    if isinstance(fmt, ScaleFormat):
        return -fmt.bias, fmt.nan_code - 1 - fmt.bias
    return least_power(fmt), fmt.max_exponent


def scale_code(fmt: Scale, exponent: int) -> int:
    """Return the code of 2**exponent."""
    if isinstance(fmt, ScaleFormat):
        return exponent + fmt.bias
    code = exact_code(fmt, 0, 1, exponent)
    if code is None:  # no assertion: those say that the array is wrong
        raise LookupError(f"{fmt} has no code of 2^{exponent}")
    return code


@lru_cache(1 << 14)
def exact_code(fmt: Format, sign: int, significand: int, exponent: int) -> int | None:
    """Return the code of (-1)**sign * significand * 2**exponent, or None if the format does not have this number."""
    code = fmt.round(sign, significand, exponent, "rtz", "saturate").code
    number = fmt.number(code)
    if number.kind != "finite" or number.sign != sign:
        return None
    shift = number.exponent - exponent
    kept, wanted = (number.significand << max(shift, 0)), (significand << max(-shift, 0))
    return code if kept == wanted else None


@lru_cache(1 << 14)
def operands_of(a: Format, b: Format, addend: Addend) -> Pair | None:
    """Return operand codes with exactly this product, or None if there are none (or none is found quickly)."""
    if addend.significand == 0:
        return a.zero_code(), b.zero_code()
    shift = (addend.significand & -addend.significand).bit_length() - 1
    odd, exponent = addend.significand >> shift, addend.exponent + shift
    for left, right in _factors(odd, significand_bits(a), significand_bits(b)):
        low = max(a.lsb_exponent, exponent + right.bit_length() - 1 - b.max_exponent)
        high = min(a.max_exponent - left.bit_length() + 1, exponent - b.lsb_exponent)
        for split in sorted(range(low, high + 1), key=lambda e: abs(2 * e - low - high))[:8]:
            for a_sign in (0, 1):
                a_code = exact_code(a, a_sign, left, split)
                b_code = exact_code(b, addend.sign ^ a_sign, right, exponent - split)
                if a_code is not None and b_code is not None:
                    return a_code, b_code
    return None


def factors_of(aim: Aim, addend: Addend) -> tuple[Pair, Pair] | None:
    """Return operand codes and codes of scales with exactly this product; without scales the latter are (0, 0)."""
    spec, scale = aim.spec, aim.scale
    if scale is None:
        pair = operands_of(spec.a, spec.b, addend)
        return None if pair is None else (pair, (0, 0))
    low, high = (2 * end for end in scale_exponents(scale))
    middle = (spec.a.lsb_exponent + spec.b.lsb_exponent + spec.a.max_exponent + spec.b.max_exponent) // 2
    wanted = min(max(addend.exponent + addend.significand.bit_length() // 2 - middle, low), high)
    near = sorted(range(max(wanted - 8, low), min(wanted + 8, high) + 1), key=lambda s: abs(s - wanted))
    for shift in near:
        pair = operands_of(spec.a, spec.b, Addend(addend.sign, addend.significand, addend.exponent - shift))
        if pair is not None:
            return pair, (scale_code(scale, shift // 2), scale_code(scale, shift - shift // 2))
    return None


def significand_bits(fmt: Format) -> int:
    """Return the width of which every magnitude is a number of the format, of one sign at least (int1 has -1 only)."""
    return fmt.precision if isinstance(fmt, FloatFormat) else max(fmt.width - fmt.signed, 1)


def _factors(odd: int, a_bits: int, b_bits: int) -> Iterator[tuple[int, int]]:
    """Yield ways to write an odd number as a product of factors of limited width."""
    for left in range(1, min(1 << a_bits, 1 << 12), 2):
        if odd % left == 0 and (odd // left).bit_length() <= b_bits:
            yield left, odd // left


def odd_products(aim: Aim, bits: int) -> list[int]:
    """Return a few odd products of two significands that have exactly so many bits."""
    a, b = aim.spec.a, aim.spec.b
    found: list[int] = []
    if any(significand_bits(fmt) < bits for fmt in aim.passed):
        return found
    for left in range(1, min(1 << significand_bits(a), 1 << 12), 2):
        for right in (((1 << (bits - 1)) // left) | 1, ((1 << bits) // left - 1) | 1):
            if right.bit_length() <= significand_bits(b) and (left * right).bit_length() == bits:
                found.append(left * right)
    return sorted(set(found))[:: max(1, len(set(found)) // 4)]


def least_power(fmt: Format) -> int:
    """Return the exponent of the smallest power of two."""
    return fmt.sum_exponent if isinstance(fmt, FloatFormat) else fmt.lsb_exponent
