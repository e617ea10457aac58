"""The step of a GPU's matrix unit in NumPy's integers: many dot products at a time, nothing of macgen's arithmetic.

Numbers are a sign, an integer and its exponent; sums count units of 2^(E - F) in 64 bits.
"""

import numpy as np

ZERO_EXPONENT = -126
NAN, PLUS, MINUS = 1, 2, 4


class Numbers:
    """Decoded codes of one float format: `significand * 2**(exponent - man_bits)`, zeros with an exponent of -126."""

    def __init__(self, codes, exp_bits, man_bits, bias, kind):
        codes = np.asarray(codes).astype(np.int64)
        magnitude = codes & ((1 << (exp_bits + man_bits)) - 1)
        field, mantissa = magnitude >> man_bits, magnitude & ((1 << man_bits) - 1)
        self.man_bits = man_bits
        self.sign = np.where(codes >> (exp_bits + man_bits) & 1, -1, 1)
        self.significand = np.where(field > 0, mantissa + (1 << man_bits), mantissa)
        self.exponent = np.where(magnitude == 0, ZERO_EXPONENT, np.maximum(field, 1) - bias)
        self.special = np.zeros(codes.shape, np.int64)
        if kind in ("ieee", "quiet"):
            top = field == (1 << exp_bits) - 1
            infinite = np.where(self.sign > 0, PLUS, MINUS)
            self.special = np.where(top, np.where(mantissa == 0, infinite, NAN), 0)
        elif kind == "fn":
            self.special = np.where(magnitude == (1 << (exp_bits + man_bits)) - 1, NAN, 0)

    @classmethod
    def of(cls, codes, fmt):
        if not hasattr(fmt, "man_bits"):  # powers of two
            found = cls(np.ones(np.shape(codes), np.int64), 2, 0, 1, "finite")
            found.exponent = np.asarray(codes).astype(np.int64) - 127
            found.special = np.where(np.asarray(codes) == 255, NAN, 0)
            return found
        return cls(codes, fmt.exp_bits, fmt.man_bits, fmt.bias, str(fmt.encoding))


def product_kind(x, y):
    """Return what products are without a value: 0 where they have one."""
    zero_times = ((x.special & (PLUS | MINUS)) > 0) & (y.significand == 0) & (y.special == 0)
    zero_times |= ((y.special & (PLUS | MINUS)) > 0) & (x.significand == 0) & (x.special == 0)
    nan = zero_times | (((x.special | y.special) & NAN) > 0)
    infinite = np.where(x.sign * y.sign > 0, PLUS, MINUS)
    return np.where(nan, NAN, np.where((x.special | y.special) > 0, infinite, 0))


def dots(unit, a_codes, b_codes, scale_codes=()):
    """Return the results of (T, K) codes as values, and whether each raised `overflow`.

    Parameters:
        unit: a spec of a matrix unit, of which only the fields are read.
        a_codes, b_codes: K is a multiple of the lanes.
        scale_codes: (T, blocks) of both operands, if any.
    """
    fraction_bits, _, group = unit.lane_sum.removeprefix("exponents:").partition("/")
    fraction_bits, group, lanes = int(fraction_bits), int(group or 1), unit.lanes
    acc = _Sums(unit, len(a_codes))
    for start in range(0, a_codes.shape[1], lanes):
        part = slice(start, start + lanes)
        x, y = Numbers.of(a_codes[:, part], unit.a), Numbers.of(b_codes[:, part], unit.b)
        value = x.sign * y.sign * x.significand * y.significand
        reference, lsb = x.exponent + y.exponent, x.exponent + y.exponent - x.man_bits - y.man_bits
        special = product_kind(x, y)
        if group > 1:
            least = sum(1 - fmt.bias - fmt.man_bits for fmt in (unit.a, unit.b))
            value = (value << np.where(value == 0, 0, lsb - least)).reshape(len(value), -1, group).sum(axis=2)
            reference, lsb = np.zeros_like(value), np.full_like(value, least)
            special = np.zeros_like(value)
        for codes in scale_codes:
            block = unit.scale_block or lanes
            own = codes[:, start // block : (start + lanes) // block].repeat(block // group, axis=1)
            scale = Numbers.of(own, unit.scale)
            value, reference = value * scale.sign * scale.significand, reference + scale.exponent
            lsb = lsb + scale.exponent - scale.man_bits
            special |= scale.special
        acc.step(value, lsb, reference, special, fraction_bits)
    return acc.values(), acc.overflowed


class _Sums:
    """Accumulators: sign and significand together, exponent, and what is special about them."""

    def __init__(self, unit, count):
        fmt = unit.acc
        self.man_bits, self.least, self.most = fmt.man_bits, 1 - fmt.bias, fmt.bias
        self.nearest = str(unit.rounding) == "rne"
        self.value, self.exponent = np.zeros(count, np.int64), np.full(count, ZERO_EXPONENT)
        self.special, self.overflowed = np.zeros(count, np.int64), np.zeros(count, bool)

    def step(self, value, lsb, reference, special, fraction_bits):
        top = np.maximum(reference.max(axis=1), self.exponent)
        place = top - fraction_bits
        total = _cut(value, place[:, np.newaxis] - lsb).sum(axis=1)
        total += _cut(self.value, place - (self.exponent - self.man_bits))
        kinds = np.bitwise_or.reduce(special, axis=1) | self.special
        both = (kinds & (PLUS | MINUS)) == (PLUS | MINUS)
        kinds = np.where((kinds & NAN > 0) | both, NAN, kinds)
        magnitude = np.abs(total)
        lead = np.frexp(magnitude.astype(np.float64))[1] - 1 + place
        exponent = np.maximum(lead, self.least)
        down = exponent - self.man_bits - place
        kept = magnitude >> np.clip(down, 0, 62) << np.clip(-down, 0, 62)
        if self.nearest:
            rest = magnitude - (kept << np.clip(down, 0, 62))
            half = np.int64(1) << np.clip(down - 1, 0, 62)
            kept += (down > 0) & ((rest > half) | ((rest == half) & (kept & 1 == 1)))
        carried = kept >> (self.man_bits + 1) > 0
        kept, exponent = np.where(carried, kept >> 1, kept), exponent + carried
        over = (exponent > self.most) & (kinds == 0) & (kept > 0)
        self.overflowed |= over
        self.special = np.where(over, np.where(total > 0, PLUS, MINUS), kinds)
        self.value = np.where(self.special > 0, 0, np.sign(total) * kept)
        self.exponent = np.where(self.value == 0, ZERO_EXPONENT, exponent)

    def values(self):
        found = np.ldexp(self.value.astype(np.float64), self.exponent - self.man_bits)
        for kind, value in ((NAN, np.nan), (PLUS, np.inf), (MINUS, -np.inf)):
            found[self.special == kind] = value
        return found


def _cut(value, down):
    """Return values shifted right by so many bits toward zero, left by negative ones."""
    magnitude = np.abs(value) >> np.clip(down, 0, 62) << np.clip(-down, 0, 62)
    return np.sign(value) * magnitude
