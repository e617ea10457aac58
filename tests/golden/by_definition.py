"""Dot products of tiny formats straight from the contract's words: search in enumerated values, exact fractions.

Shares no arithmetic with macgen: codes are decoded here, the nearest value is found by looking at all of them, and
random numbers come from registers that are shifted bit by bit.
"""

import math
from bisect import bisect_right
from fractions import Fraction
from functools import cache

OVERFLOW, UNDERFLOW, INVALID = 1, 2, 4
NAN, SIGNALLING, INFINITY = "nan", "signalling", "infinity"
IEEE = ("ieee", "quiet")


@cache
def decode(fmt, code):
    """Return (sign, value): the magnitude as a fraction, or NAN, SIGNALLING, INFINITY."""
    if hasattr(fmt, "frac_bits"):
        integer = code - (2**fmt.width if fmt.signed and code >= 2 ** (fmt.width - 1) else 0)
        return int(integer < 0), abs(integer) * Fraction(2) ** -fmt.frac_bits
    if not hasattr(fmt, "man_bits"):  # a scale
        return 0, NAN if code == 2**fmt.exp_bits - 1 else Fraction(2) ** (code - 2 ** (fmt.exp_bits - 1) + 1)
    sign, rest = divmod(code, 2 ** (fmt.exp_bits + fmt.man_bits))
    x, f = divmod(rest, 2**fmt.man_bits)
    all_ones = 2**fmt.exp_bits - 1
    if fmt.encoding in IEEE and x == all_ones:
        if f == 0:
            return sign, INFINITY
        return sign, NAN if fmt.encoding == "quiet" or f >= 2 ** (fmt.man_bits - 1) else SIGNALLING
    if fmt.encoding == "fn" and x == all_ones and f == 2**fmt.man_bits - 1:
        return sign, NAN
    if fmt.encoding == "fnuz" and sign == 1 and x == 0 and f == 0:
        return sign, NAN
    if fmt.subnormals == "none":  # field 0 is a binade, whose power of two alone is missing
        return sign, (2**fmt.man_bits + f if x or f else 0) * Fraction(2) ** (x - fmt.bias - fmt.man_bits)
    if x == 0:
        return sign, Fraction(f if fmt.subnormals == "gradual" else 0) * Fraction(2) ** (1 - fmt.bias - fmt.man_bits)
    return sign, (2**fmt.man_bits + f) * Fraction(2) ** (x - fmt.bias - fmt.man_bits)


def multiply(a, b):
    """Return the decoded product; an invalid operation's NaN is SIGNALLING, for it raises the same flag."""
    sign, special = a[0] ^ b[0], specials(a, b)
    if not special:
        return sign, a[1] * b[1]
    if SIGNALLING in special or (INFINITY in special and not (a[1] and b[1])):
        return sign, SIGNALLING
    return sign, NAN if NAN in special else INFINITY


def specials(*addends):
    """Return which of NAN, SIGNALLING and INFINITY are among decoded addends; to ask of each fraction takes long."""
    return [value for _, value in addends if isinstance(value, str)]


class Rounded:
    """The sums that are rounded to a format, and the special values among their addends.

    Parameters:
        fmt: the format.
        rounding: `rne`, `rtz`, `floor`, `odd`, `drop`, `stochastic:r` or `stochastic:r:nearest`.
        overflow: `saturate`, `infinity`, `to-infinity`, `nan` or `wrap`.
    """

    def __init__(self, fmt, rounding, overflow):
        self.fmt, self.rounding, self.overflow = fmt, rounding, overflow

    def add(self, acc, addend, random=0):
        """Return (code, flags) of the sum of two decoded addends, rounded with a random number."""
        return self.sum([acc, addend], random)

    def sum(self, addends, random=0, aligned=None):
        """Return (code, flags) of the sum of decoded addends; `drop` takes all but the first for one."""
        if special := specials(*addends):
            if SIGNALLING in special:
                return self.not_a_number(INVALID)
            if NAN in special:
                return self.not_a_number(0)
            infinite = {sign for sign, value in addends if value == INFINITY}
            if len(infinite) == 2:
                return self.not_a_number(INVALID)
            (sign,) = infinite
            if getattr(self.fmt, "encoding", None) in IEEE:
                return self.infinity(sign), 0
            if self.overflow == "nan":
                return self.not_a_number(0)[0], OVERFLOW
            return self.end_of_range(sign), OVERFLOW
        signed = [-value if sign else value for sign, value in addends]
        if aligned is not None and any(signed):
            exponent = binade(max(map(abs, signed)))
            signed = [math.trunc(x / Fraction(2) ** (exponent - aligned)) * Fraction(2) ** (exponent - aligned)
                      for x in signed]  # fmt: skip
        if self.rounding == "drop" and len(signed) > 1:
            two = signed[0], sum(signed[1:])
            cut = [self.cut(abs(x), abs(y)) for x, y in (two, two[::-1])]
            signed = [-magnitude if x < 0 else magnitude for x, magnitude in zip(two, cut, strict=True)]
        return self.round_to_finite(sum(signed), random)


def random_bits(rounding):
    """Return r of `stochastic:r` and `stochastic:r:nearest`, else 0."""
    word, _, rest = rounding.partition(":")
    return int(rest.partition(":")[0]) if word == "stochastic" else 0


def goes_up(rounding, share, random):
    """Return whether a magnitude that lies so far between its neighbours goes to the upper one with a random number."""
    numbers = 2 ** random_bits(rounding)
    scaled = share * numbers
    return (round(scaled) if rounding.endswith(":nearest") else int(scaled)) + random >= numbers  # of ties to even


def binade(x):
    """Return e of the 2**e that is the largest power of two not above a positive x."""
    exponent = 0
    while Fraction(2) ** exponent > x:
        exponent -= 1
    while Fraction(2) ** (exponent + 1) <= x:
        exponent += 1
    return exponent


class FixedPoint(Rounded):
    """R of an integer or fixed-point format."""

    def round_to_finite(self, total, random):
        """Return (code, flags) of a finite exact sum."""
        fmt = self.fmt
        scaled = abs(total) * Fraction(2) ** fmt.frac_bits
        below, rest = scaled.numerator // scaled.denominator, scaled % 1
        if self.rounding == "rne":
            up = rest > Fraction(1, 2) or (rest == Fraction(1, 2) and below % 2 == 1)
        elif self.rounding.startswith("stochastic:"):
            up = goes_up(self.rounding, rest, random)
        elif self.rounding == "odd":
            up = rest > 0 and below % 2 == 0
        else:
            up = self.rounding == "floor" and total < 0 and rest > 0
        integer = (below + up) * (-1 if total < 0 else 1)
        low = -(2 ** (fmt.width - 1)) if fmt.signed else 0
        high = 2 ** (fmt.width - 1) - 1 if fmt.signed else 2**fmt.width - 1
        if low <= integer <= high:
            return integer % 2**fmt.width, 0
        if self.overflow != "wrap":
            integer = high if integer > high else low
        return integer % 2**fmt.width, OVERFLOW

    def end_of_range(self, sign):
        width = self.fmt.width
        if not self.fmt.signed:
            return 0 if sign else 2**width - 1
        return 2 ** (width - 1) if sign else 2 ** (width - 1) - 1

    def not_a_number(self, flags):
        del flags  # it has none: invalid whatever the NaN
        return self.end_of_range(0), INVALID

    def cut(self, value, other):
        """Return a magnitude without what lies below the format's last place, whatever the other one is."""
        del other
        return math.floor(value * Fraction(2) ** self.fmt.frac_bits) * Fraction(2) ** -self.fmt.frac_bits


class Accumulator(Rounded):
    """R of a float format.

    Parameters:
        fmt: a small format.
        rounding, overflow: as above, but not `wrap`.
        octaves: how far beyond the format's own range sums may lie.
    """

    def __init__(self, fmt, rounding, overflow, octaves=40):
        super().__init__(fmt, rounding, overflow)
        decoded = {code: decode(fmt, code) for code in range(2**fmt.width)}
        top = 2 ** (fmt.width - 1)
        self.finite = {c: v for c, (s, v) in decoded.items() if isinstance(v, Fraction) and s == 0}
        self.code_of = {value: code for code, value in reversed(self.finite.items())}
        self.sign_bit = top
        self.largest = max(self.finite.values())
        self.min_normal = Fraction(2) ** (1 - fmt.bias)
        if fmt.subnormals == "none":
            self.min_normal = min(value for value in self.finite.values() if value)
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
        self.round_to_finite, self.last_place = cache(self.round_to_finite), cache(self.last_place)

    def nearest(self, magnitude, sign, grid, random):
        values, even = grid
        index = bisect_right(values, magnitude)
        below, above = values[index - 1], values[index]
        if self.rounding.startswith("stochastic:"):
            return above if goes_up(self.rounding, (magnitude - below) / (above - below), random) else below
        if self.rounding == "floor" and sign and below != magnitude:
            return above
        if self.rounding == "odd" and below != magnitude and even[index - 1]:
            return above
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
        factor = Fraction(1)  # that brings it among the numbers that were listed; to round is the same everywhere
        while magnitude * factor >= self.unbounded[0][-1]:
            factor /= 2**64
        while magnitude * factor < self.unbounded[0][0]:
            factor *= 2**64
        rounded = self.nearest(magnitude * factor, sign, self.unbounded, random) / factor
        if rounded > self.largest:
            if self.overflow == "nan":
                return self.not_a_number(0)[0], OVERFLOW
            stays = self.rounding in ("rtz", "odd", "drop", *([] if sign else ["floor"]))
            if self.overflow == "to-infinity" or (self.overflow == "infinity" and not stays):
                return sign * self.sign_bit + (2**fmt.exp_bits - 1) * 2**fmt.man_bits, OVERFLOW
            return self.end_of_range(sign), OVERFLOW
        flags = 0
        if rounded < self.min_normal:
            if fmt.subnormals != "gradual":
                return 0, UNDERFLOW
            rounded = self.nearest(magnitude, sign, self.subnormal_grid, random)
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
        if fmt.encoding in IEEE:
            return (2**fmt.exp_bits - 1) * 2**fmt.man_bits + 2 ** (fmt.man_bits - 1), flags
        if fmt.encoding == "fn":
            return self.sign_bit - 1, flags
        if fmt.encoding == "fnuz":
            return self.sign_bit, flags
        return self.end_of_range(0), INVALID

    def cut(self, value, other):
        """Return a magnitude without what lies below the last place of the larger of the two."""
        place = self.last_place(max(value, other))
        return value // place * place

    def last_place(self, magnitude):
        """Return what the last place of a magnitude weighs."""
        place = Fraction(2) ** (1 - self.fmt.bias - self.fmt.man_bits - (0 if self.fmt.subnormals == "gradual" else 40))
        while magnitude >= place * 2 ** (self.fmt.man_bits + 1):
            place *= 2
        return place


@cache
def rounded(fmt, rounding, overflow):
    """Return how sums are rounded to a format; what it does not know as overflow saturates."""
    if hasattr(fmt, "frac_bits"):
        return FixedPoint(fmt, rounding, "wrap" if overflow == "wrap" else "saturate")
    known = ("infinity", "to-infinity") if fmt.encoding in IEEE else () if fmt.encoding == "finite" else ("nan",)
    return Accumulator(fmt, rounding, overflow if overflow in known else "saturate", octaves=60)


def reference_exponent(fmt, code):
    """Return e(x) of a number, from the fields of its code."""
    if not hasattr(fmt, "man_bits"):  # a power-of-two scale
        return code - (2 ** (fmt.exp_bits - 1) - 1)
    x, f = divmod(code % 2 ** (fmt.exp_bits + fmt.man_bits), 2**fmt.man_bits)
    least = -fmt.bias if fmt.subnormals == "none" else 1 - fmt.bias
    if x == 0 and (f == 0 or fmt.subnormals == "flush"):
        return min(-126, least)
    return least if x == 0 else x - fmt.bias


class Definition:
    """Section 2, from the fields of a spec and nothing that macgen derives from them."""

    def __init__(self, spec):
        self.spec = spec
        self.outer_format = spec.outer or spec.acc
        self.out_format = spec.out or self.outer_format
        outer_rounding = spec.outer_rounding or spec.rounding
        same_adder = self.outer_format == spec.acc and (outer_rounding == spec.rounding or spec.chunk is None)
        self.of_lanes = spec.scale is not None and spec.scale_place == "lanes"
        self.own_adder = (spec.scale is not None and not self.of_lanes) or not same_adder
        self.acc = rounded(spec.acc, spec.rounding, spec.overflow)
        self.outer = rounded(self.outer_format, outer_rounding if self.own_adder else spec.rounding, spec.overflow)
        self.out = rounded(self.out_format, outer_rounding, spec.overflow)
        self.product = spec.product and rounded(spec.product, spec.rounding, spec.overflow)
        self.random_bits = max(random_bits(spec.rounding), random_bits(outer_rounding))
        self.steps_draw = spec.rounding.startswith("stochastic:")
        self.folds_draw = self.own_adder and outer_rounding.startswith("stochastic:")
        out_rounds = self.out_format != self.outer_format and not self.folds_draw
        self.out_draws = out_rounds and outer_rounding.startswith("stochastic:") and not self.steps_draw

    def dot(self, a_codes, b_codes, numbers, a_scales=(), b_scales=()):
        """Return (code, flags); `numbers` is the iterator of random numbers."""
        spec = self.spec
        flags, outer, chunk = 0, 0, spec.chunk or len(a_codes)
        for index, start in enumerate(range(0, len(a_codes), chunk)):
            inner = 0
            for first in range(start, min(start + chunk, len(a_codes)), spec.lanes):
                lanes = range(first, min(first + spec.lanes, start + chunk, len(a_codes)))
                number = next(numbers) if self.steps_draw else 0
                scales = []
                if self.of_lanes:
                    block = spec.scale_block or spec.lanes
                    blocks = range(lanes[0] // block, lanes[-1] // block + 1)
                    scales = [[codes[i] for i in blocks] for codes in (a_scales, b_scales)]
                codes = [[of_operand[k] for k in lanes] for of_operand in (a_codes, b_codes)]
                inner, raised = self.step(inner, *codes, number, *scales)
                flags |= raised
            if not self.own_adder and index == 0:
                outer = inner
                continue
            number = next(numbers) if self.folds_draw or (self.steps_draw and not self.own_adder) else 0
            scales = (a_scales[index], b_scales[index]) if spec.scale is not None and not self.of_lanes else ()
            outer, raised = self.fold(outer, inner, number, *scales)
            flags |= raised
        result, raised = self.convert(outer, next(numbers) if self.out_draws else 0)
        return result, flags | raised

    def step(self, acc, a_codes, b_codes, number, a_scales=(), b_scales=()):
        """Return the accumulator's code and flags after products of up to as many lanes as there are."""
        if self.spec.lane_sum.startswith("exponents:"):
            return self.step_by_exponents(acc, a_codes, b_codes, number, a_scales, b_scales)
        spec, flags, products = self.spec, 0, []
        for a, b in zip(a_codes, b_codes, strict=True):
            product = multiply(decode(spec.a, a), decode(spec.b, b))
            if self.product:
                code, raised = self.product.sum([product])  # a single addend: `drop` is `rtz`
                product, flags = decode(spec.product, code), flags | raised
            products.append(product)
        aligned = int(spec.lane_sum.partition(":")[2]) if spec.lane_sum.startswith("aligned:") else None
        if spec.lane_sum.startswith("bulk:"):
            sums, flags = self.bulk(a_codes, b_codes, products)
            products = [sums]
        if spec.lane_sum == "tree" and spec.lanes > 1:
            products += [(0, Fraction(0))] * (spec.lanes - len(products))
            sums, raised = self.tree(products)
            products, flags = [sums], flags | raised
        code, raised = self.acc.sum([decode(spec.acc, acc), *products], number, aligned)
        return code, flags | raised

    def step_by_exponents(self, acc, a_codes, b_codes, number, a_scales, b_scales):
        """The same with `exponents:F` or `exponents:F/G`: every term with its reference exponent, one by one."""
        spec = self.spec
        bits, _, group = spec.lane_sum.removeprefix("exponents:").partition("/")
        pairs = list(zip(a_codes, b_codes, strict=True)) + [(0, 0)] * (spec.lanes - len(a_codes))
        addends, references = [decode(spec.acc, acc)], [reference_exponent(spec.acc, acc)]
        for lane in range(0, spec.lanes, int(group or 1)):
            if group:
                signed = [(-1) ** s * v for s, v in (multiply(decode(spec.a, a), decode(spec.b, b))
                                                     for a, b in pairs[lane : lane + int(group)])]  # fmt: skip
                value, reference = (int(sum(signed) < 0), abs(sum(signed))), 0
            else:
                a, b = pairs[lane]
                value = multiply(decode(spec.a, a), decode(spec.b, b))
                reference = reference_exponent(spec.a, a) + reference_exponent(spec.b, b)
            if self.of_lanes:
                block = lane // (spec.scale_block or spec.lanes)
                for codes in (a_scales, b_scales):
                    scale = codes[block] if block < len(codes) else 0
                    value = multiply(value, decode(spec.scale, scale))
                    reference += reference_exponent(spec.scale, scale)
            addends.append(value)
            references.append(reference)
        if not specials(*addends):
            unit = Fraction(2) ** (max(references) - int(bits))
            addends = [(sign, value // unit * unit) for sign, value in addends]
        return self.acc.sum(addends, number)

    def bulk(self, a_codes, b_codes, products):
        """Return the rounded sum of products with `bulk:F`, and its flags."""
        spec = self.spec
        if specials(*products):
            infinite = {sign for sign, value in products if value == INFINITY}
            code, flags = self.acc.sum(products)
            return decode(spec.acc, code), flags | (INVALID if len(infinite) == 2 else 0)
        pairs = zip(a_codes, b_codes, products, strict=True)
        references = [reference_exponent(spec.a, a) + reference_exponent(spec.b, b) for a, b, (_, p) in pairs if p]
        if references:
            unit = Fraction(2) ** (max(references) - int(spec.lane_sum.partition(":")[2]))
            cut = []
            for sign, value in products:
                count = value // unit
                if count * unit != value and count % 2 == 0:
                    count += 1
                cut.append((sign, count * unit))
            products = cut
        code, flags = self.acc.sum(products)
        return decode(spec.acc, code), flags

    def tree(self, addends):
        """Return the rounded sum of both halves' sums and its flags; a single product is none."""
        if len(addends) == 1:
            return addends[0], 0
        half = len(addends) // 2
        (left, left_flags), (right, right_flags) = self.tree(addends[:half]), self.tree(addends[half:])
        code, flags = self.acc.sum([left, right])
        return decode(self.spec.acc, code), flags | left_flags | right_flags

    def fold(self, outer, inner, number=0, a_scale=None, b_scale=None):
        """Return the outer accumulator's code and flags after a chunk's sum."""
        addend = decode(self.spec.acc, inner)
        for scale in (a_scale, b_scale):
            if scale is not None:
                addend = multiply(addend, decode(self.spec.scale, scale))
        return self.outer.sum([decode(self.outer_format, outer), addend], number)

    def convert(self, outer, number=0):
        """Return the result's code and flags."""
        if self.out_format == self.outer_format:
            return outer, 0
        return self.out.sum([decode(self.outer_format, outer)], number)


REGISTERS = {19: ((19, 18, 17, 14), 0x779B9, 427627, 247695), 32: ((32, 30, 26, 25), 0x9E3779B9, None, None)}
"""By width: taps, seed of PE (0, 0), shifts from row to row and column to column; too many to do one by one of 32."""


@cache
def seed(width, row, col):
    """Return the register of PE (row, col) after a reset (section 7)."""
    taps, state, down, right = REGISTERS[width]
    for _ in range(row * down + col * right if row or col else 0):
        state = shifted(state, width, taps)
    return state


def shifted(state, width, taps):
    """Return the register after one shift."""
    entering = sum(state >> (tap - 1) & 1 for tap in taps) % 2
    return (state << 1 | entering) % 2**width


def random_numbers(bits, row, col, interleave=1, turn=0):
    """Yield the numbers of one turn of a PE: of the register's, every so manieth."""
    width = 19 if bits <= 19 else 32
    state, taps, index = seed(width, row, col), REGISTERS[width][0], 0
    while True:
        if index % interleave == turn:
            yield state % 2**bits
        for _ in range(bits):
            state = shifted(state, width, taps)
        index += 1
