"""A step of a tiny accumulator straight from the contract's words: search in enumerated values, exact fractions.

Shares no arithmetic with macgen: codes are decoded here, and the nearest value is found by looking at all of them.
"""

from bisect import bisect_right
from fractions import Fraction
from functools import cache

OVERFLOW, UNDERFLOW, INVALID = 1, 2, 4
NAN, SIGNALLING, INFINITY = "nan", "signalling", "infinity"


def decode(fmt, code):
    """Return (sign, value): the magnitude as a fraction, or NAN, SIGNALLING, INFINITY."""
    sign, rest = divmod(code, 2 ** (fmt.exp_bits + fmt.man_bits))
    x, f = divmod(rest, 2**fmt.man_bits)
    all_ones = 2**fmt.exp_bits - 1
    if fmt.encoding == "ieee" and x == all_ones:
        if f == 0:
            return sign, INFINITY
        return sign, NAN if f >= 2 ** (fmt.man_bits - 1) else SIGNALLING
    if fmt.encoding == "fn" and x == all_ones and f == 2**fmt.man_bits - 1:
        return sign, NAN
    if fmt.encoding == "fnuz" and sign == 1 and x == 0 and f == 0:
        return sign, NAN
    if x == 0:
        return sign, Fraction(f if fmt.subnormals == "gradual" else 0) * Fraction(2) ** (1 - fmt.bias - fmt.man_bits)
    return sign, (2**fmt.man_bits + f) * Fraction(2) ** (x - fmt.bias - fmt.man_bits)


def multiply(a, b):
    """Return the decoded product; an invalid operation's NaN is SIGNALLING, for it raises the same flag."""
    sign, values = a[0] ^ b[0], (a[1], b[1])
    if SIGNALLING in values or (INFINITY in values and 0 in values):
        return sign, SIGNALLING
    if NAN in values:
        return sign, NAN
    return sign, INFINITY if INFINITY in values else a[1] * b[1]


class Accumulator:
    """R and the special values of one float accumulator.

    Parameters:
        fmt: a small format.
        rounding: `rne`, `rtz`, `drop` or `stochastic:r`.
        overflow: `saturate` or `infinity`.
        octaves: how far beyond the format's own range sums may lie.
    """

    def __init__(self, fmt, rounding, overflow, octaves=40):
        self.fmt, self.rounding, self.overflow = fmt, rounding, overflow
        decoded = {code: decode(fmt, code) for code in range(2**fmt.width)}
        top = 2 ** (fmt.width - 1)
        self.finite = {c: v for c, (s, v) in decoded.items() if isinstance(v, Fraction) and s == 0}
        self.code_of = {value: code for code, value in reversed(self.finite.items())}
        self.sign_bit = top
        self.largest = max(self.finite.values())
        self.min_normal = Fraction(2) ** (1 - fmt.bias)
        lsb = 1 - fmt.bias - fmt.man_bits
        # Each grid: magnitudes in ascending order, and which of them end in an even digit.
        subnormals = range(2**fmt.man_bits + 1)
        self.subnormal_grid = [n * Fraction(2) ** lsb for n in subnormals], [n % 2 == 0 for n in subnormals]
        significands = range(2**fmt.man_bits, 2 ** (fmt.man_bits + 1))
        exponents = range(lsb - octaves, lsb + 2**fmt.exp_bits + octaves)
        self.unbounded = (
            [n * Fraction(2) ** e for e in exponents for n in significands],
            [n % 2 == 0 for _ in exponents for n in significands],
        )
        self.round_to_finite = cache(self.round_to_finite)

    def nearest(self, magnitude, grid, random):
        values, even = grid
        index = bisect_right(values, magnitude)
        below, above = values[index - 1], values[index]
        if self.rounding.startswith("stochastic:"):
            numbers = 2 ** int(self.rounding.partition(":")[2])
            share = (magnitude - below) / (above - below)
            return above if int(share * numbers) >= numbers - random else below
        if self.rounding != "rne" or below == magnitude:
            return below
        if magnitude - below != above - magnitude:
            return min(below, above, key=lambda value: abs(value - magnitude))
        # With one significand bit no digit is even; IEEE 754-2019 4.3.1 takes the larger magnitude then.
        return below if even[index - 1] else above

    def round_to_finite(self, total, random):
        """Return (code, flags) of a finite exact sum."""
        fmt = self.fmt
        if total == 0:
            return 0, 0
        sign, magnitude = int(total < 0), abs(total)
        rounded = self.nearest(magnitude, self.unbounded, random)
        if rounded > self.largest:
            if self.overflow == "infinity" and self.rounding not in ("rtz", "drop"):
                return sign * self.sign_bit + (2**fmt.exp_bits - 1) * 2**fmt.man_bits, OVERFLOW
            return self.end_of_range(sign), OVERFLOW
        flags = 0
        if rounded < self.min_normal:
            if fmt.subnormals == "flush":
                return 0, UNDERFLOW
            rounded = self.nearest(magnitude, self.subnormal_grid, random)
            flags = UNDERFLOW if rounded != magnitude else 0
        if rounded == 0 and fmt.encoding == "fnuz":
            sign = 0
        return sign * self.sign_bit + self.code_of[rounded], flags

    def end_of_range(self, sign):
        return sign * self.sign_bit + self.code_of[self.largest]

    def infinity(self, sign):
        return sign * self.sign_bit + (2**self.fmt.exp_bits - 1) * 2**self.fmt.man_bits

    def not_a_number(self, flags):
        fmt = self.fmt
        if fmt.encoding == "ieee":
            return (2**fmt.exp_bits - 1) * 2**fmt.man_bits + 2 ** (fmt.man_bits - 1), flags
        if fmt.encoding == "fn":
            return self.sign_bit - 1, flags
        if fmt.encoding == "fnuz":
            return self.sign_bit, flags
        return self.end_of_range(0), INVALID

    def add(self, acc, addend, random=0):
        """Return (code, flags) of the sum of two decoded terms, rounded with a random number."""
        (acc_sign, acc_value), (sign, value) = acc, addend
        if SIGNALLING in (acc_value, value):
            return self.not_a_number(INVALID)
        if NAN in (acc_value, value):
            return self.not_a_number(0)
        if acc_value == INFINITY:
            if value == INFINITY and sign != acc_sign:
                return self.not_a_number(INVALID)
            return self.infinity(acc_sign), 0
        if value == INFINITY:
            if self.fmt.encoding == "ieee":
                return self.infinity(sign), 0
            return self.end_of_range(sign), OVERFLOW
        if self.rounding == "drop":
            acc_value, value = self.cut(acc_value, value), self.cut(value, acc_value)
        return self.round_to_finite((-1) ** acc_sign * acc_value + (-1) ** sign * value, random)

    def cut(self, value, other):
        """Return a magnitude without what lies below the last place of the larger of the two."""
        place = Fraction(2) ** (1 - self.fmt.bias - self.fmt.man_bits - (40 if self.fmt.subnormals == "flush" else 0))
        while max(value, other) >= place * 2 ** (self.fmt.man_bits + 1):
            place *= 2
        return value // place * place
