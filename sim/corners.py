"""Dot products built against the accumulator's precision and range: ties, cancellation, swamping, overflow, underflow.

A corner is written down as a sequence of products, each a multiple of a power of two relative to the accumulator's
value and to the unit in its last place, and becomes operand codes where the operand formats have such a product.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from random import Random

import numpy as np

from macgen.numerics import FixedFormat, FloatFormat, Format
from macgen.spec import MacSpec
from sim.operands import Tile

Pair = tuple[int, int]
"""Codes of a left and a right operand."""

MOST_REPEATS = 600
"""Largest products that are summed to reach overflow; where it takes more, TOO_FEW_REPEATS are summed."""

TOO_FEW_REPEATS = 40


@dataclass(frozen=True)
class Term:
    """The product (-1)**sign * significand * 2**exponent."""

    sign: int
    significand: int
    exponent: int

    @property
    def negated(self) -> "Term":
        """The product of the other sign."""
        return Term(1 - self.sign, self.significand, self.exponent)


@dataclass(frozen=True)
class Corner:
    """A named sequence of products, as operand codes."""

    name: str
    pairs: tuple[Pair, ...]

    @property
    def length(self) -> int:
        """Products in the sequence."""
        return len(self.pairs)


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
def operands_of(a: Format, b: Format, term: Term) -> Pair | None:
    """Return operand codes with exactly this product, or None if there are none (or none is found quickly)."""
    if term.significand == 0:
        return a.zero_code(), b.zero_code()
    shift = (term.significand & -term.significand).bit_length() - 1
    odd, exponent = term.significand >> shift, term.exponent + shift
    for left, right in _factors(odd, _significand_bits(a), _significand_bits(b)):
        low = max(a.lsb_exponent, exponent + right.bit_length() - 1 - b.max_exponent)
        high = min(a.max_exponent - left.bit_length() + 1, exponent - b.lsb_exponent)
        for split in sorted(range(low, high + 1), key=lambda e: abs(2 * e - low - high))[:8]:
            for a_sign in (0, 1):
                a_code = exact_code(a, a_sign, left, split)
                b_code = exact_code(b, term.sign ^ a_sign, right, exponent - split)
                if a_code is not None and b_code is not None:
                    return a_code, b_code
    return None


def _significand_bits(fmt: Format) -> int:
    """Return the width of which every magnitude is a number of the format."""
    return fmt.precision if isinstance(fmt, FloatFormat) else fmt.width - fmt.signed


def _factors(odd: int, a_bits: int, b_bits: int) -> Iterator[tuple[int, int]]:
    """Yield ways to write an odd number as a product of factors of limited width."""
    for left in range(1, min(1 << a_bits, 1 << 12), 2):
        if odd % left == 0 and (odd // left).bit_length() <= b_bits:
            yield left, odd // left


def _odd_products(a: Format, b: Format, bits: int) -> list[int]:
    """Return a few odd products of two significands that have exactly so many bits."""
    found: list[int] = []
    for left in range(1, min(1 << _significand_bits(a), 1 << 12), 2):
        for right in (((1 << (bits - 1)) // left) | 1, ((1 << bits) // left - 1) | 1):
            if right.bit_length() <= _significand_bits(b) and (left * right).bit_length() == bits:
                found.append(left * right)
    return sorted(set(found))[:: max(1, len(set(found)) // 4)]


def _ulp_exponent(acc: Format, exponent: int) -> int:
    """Return the exponent of the last bit of an accumulator whose leading bit has this exponent."""
    if isinstance(acc, FloatFormat):
        return max(exponent - acc.man_bits, acc.lsb_exponent)
    return acc.lsb_exponent


def _anchors(spec: MacSpec) -> list[int]:
    """Return exponents of accumulator values to build corners about: middle, top, bottom, edge of the subnormals."""
    lowest = spec.a.lsb_exponent + spec.b.lsb_exponent
    highest = spec.a.max_exponent + spec.b.max_exponent
    acc = spec.acc
    middle = min(max(0, acc.lsb_exponent + 3), highest, acc.max_exponent)
    wanted = [middle, highest, acc.max_exponent, acc.max_exponent - 1, acc.lsb_exponent - 1, acc.lsb_exponent]
    wanted += [acc.lsb_exponent + 1, lowest + 5]
    if isinstance(acc, FloatFormat):
        wanted += [acc.min_exponent - 1, acc.min_exponent, acc.min_exponent + 1, lowest + acc.precision + 4]
    return [e for e in dict.fromkeys(wanted) if lowest <= e <= min(highest, acc.max_exponent)]


def _patterns(spec: MacSpec, exponent: int) -> Iterator[tuple[str, list[Term]]]:
    """Yield named sequences of products about an accumulator value of 2**exponent; most start with loading it."""
    ulp = _ulp_exponent(spec.acc, exponent)
    lowest = spec.a.lsb_exponent + spec.b.lsb_exponent
    least = max(lowest, _least_exponent(spec.acc))  # of what stays in the accumulator

    def plus(significand: int, e: int) -> Term:
        return Term(0, significand, e)

    def minus(significand: int, e: int) -> Term:
        return Term(1, significand, e)

    one, unit, half = plus(1, exponent), plus(1, ulp), plus(1, ulp - 1)
    yield "tie, even accumulator", [one, half]
    yield "tie, odd accumulator", [one, unit, half]
    yield "tie, even again", [one, unit, unit, half]
    yield "two ties", [one, half, half]
    for bits in (1, 2, 3, 5, 8):
        yield "just above a tie", [one, plus((1 << bits) + 1, ulp - 1 - bits)]
        yield "just below a tie", [one, plus((1 << bits) - 1, ulp - 1 - bits)]
        yield "just above a tie, odd accumulator", [one, unit, plus((1 << bits) + 1, ulp - 1 - bits)]
        yield "just below a tie, odd accumulator", [one, unit, plus((1 << bits) - 1, ulp - 1 - bits)]
        yield "a little less, next binade", [one, minus(1, ulp - 1 - bits)]
        yield "subtracted, above a tie of the next binade", [one, minus((1 << bits) + 1, ulp - 2 - bits)]
        yield "subtracted, below a tie of the next binade", [one, minus((1 << bits) - 1, ulp - 2 - bits)]
        yield "subtracted from an odd accumulator", [one, unit, minus((1 << bits) + 1, ulp - 1 - bits)]
    yield "subtracted half a unit", [one, minus(1, ulp - 1)]
    yield "subtracted tie of the next binade", [one, minus(1, ulp - 2)]
    yield "far below, sticky bit only", [one, plus(1, lowest)]
    yield "far below, subtracted", [one, minus(1, lowest)]
    yield "far below a tie", [plus(1, least), one, half]
    yield "far below, against a tie", [minus(1, least), one, half]
    yield "exact zero", [one, one.negated]
    yield "exact zero, then the other sign", [one, one.negated, one.negated]
    for left in range(max(exponent - 60, ulp), exponent):
        # What is left is normalised only if the next product can still be added without losing bits.
        yield f"cancellation to bit {left - ulp}", [one, plus(1, left), one.negated]
        finest = _ulp_exponent(spec.acc, left)
        yield f"cancellation to bit {left - ulp}, and a unit more", [one, plus(1, left), one.negated, plus(1, finest)]
    yield "cancellation after a tie", [one, unit, half, one.negated]
    yield "cancellation of one bit", [plus(3, exponent - 1), minus(1, exponent)]
    yield "swamping", [one, *[plus(1, ulp - 2)] * 6, one.negated]
    yield "small ones first", [*[plus(1, ulp - 2)] * 6, one, one.negated]
    bits = min(max(exponent - ulp + 1, 0), 60)
    ones = _parts(spec, (1 << bits) - 1, exponent - bits + 1)
    yield "all ones, carry out by a tie", [*ones, half]
    yield "all ones, just below a tie", [*ones, plus(3, ulp - 3)]
    yield "all ones, carry out by a unit", [*ones, unit]
    if isinstance(spec.acc, FloatFormat):
        for product in _odd_products(spec.a, spec.b, spec.acc.precision + 1):
            tie = plus(product, exponent - spec.acc.precision)
            yield "a product that is a tie", [tie]
            yield "a product that is a tie, sticky accumulator", [plus(1, least), tie]
            yield "a product that is a tie, negative sticky accumulator", [minus(1, least), tie]
        for product in _odd_products(spec.a, spec.b, spec.acc.precision + 2):
            yield "a product off a tie", [plus(product, exponent - spec.acc.precision - 1)]


def _parts(spec: MacSpec, value: int, exponent: int) -> list[Term]:
    """Return the fewest products that are sure to exist and sum up to value * 2**exponent, the highest bits first."""
    width = max(_significand_bits(spec.a), _significand_bits(spec.b))
    parts = []
    while value:
        low = max(value.bit_length() - width, 0)
        parts.append(Term(0, value >> low, exponent + low))
        value &= (1 << low) - 1
    return parts


def _exact_ends(spec: MacSpec) -> Iterator[tuple[str, list[Term]]]:
    """Yield sums that reach the ends of fixed-point accumulators exactly, and pass them by one, also within a chunk."""
    acc = spec.acc
    if not isinstance(acc, FixedFormat):
        return
    lsb = acc.lsb_exponent
    large = max(sum(_largest_exponent(fmt) for fmt in (spec.a, spec.b)), lsb)
    zero, unit = Term(0, 0, lsb), Term(0, 1, lsb)
    for end in {acc.max_integer, acc.min_integer} - {0}:
        repeats, rest = divmod(abs(end), 1 << (large - lsb))
        if repeats > MOST_REPEATS:
            continue
        terms = [Term(0, 1, large)] * repeats + _parts(spec, rest, lsb)
        if spec.chunk is not None:  # so that what follows is in one chunk, where it fits
            terms += [zero] * (-len(terms) % spec.chunk)
        for name, more in (("", []), (", and one more", [unit]), (", one more, and back", [unit, unit.negated])):
            sum_to_end = [*terms, *more]
            yield f"exactly {end}{name}", [term.negated for term in sum_to_end] if end < 0 else sum_to_end


def _deep_cancellations(spec: MacSpec) -> Iterator[tuple[str, list[Term]]]:
    """Yield sums in which a product wider than the accumulator meets its own leading bits: the rest remains alone.

    One remainder of every length, positive and negative, at a few exponents.
    """
    if not isinstance(spec.acc, FloatFormat):
        return
    a_bits, b_bits, rng = _significand_bits(spec.a), _significand_bits(spec.b), Random(0)
    extra = a_bits + b_bits - spec.acc.precision
    if extra <= 0:
        return
    found: dict[int, tuple[int, int]] = {}
    for _ in range(6000):
        product = rng.getrandbits(a_bits) * rng.getrandbits(b_bits)
        if product.bit_length() == a_bits + b_bits:
            for leading in (product >> extra << extra, (product >> extra) + 1 << extra):
                remainder = product - leading
                found.setdefault(int(math.copysign(remainder.bit_length(), remainder)), (product, leading))
    lowest = spec.acc.min_exponent
    for exponent in (0, lowest + 1, lowest + extra // 2, lowest + extra, lowest + a_bits + b_bits + 1):
        for length, (product, leading) in found.items():
            lsb = exponent - product.bit_length() + 1
            loaded = [part.negated for part in _parts(spec, leading, lsb)]
            terms = [*loaded, Term(0, product, lsb)]
            yield f"cancellation to the last {length} bits, 2^{exponent}", terms
            unit = Term(int(length < 0), 1, _ulp_exponent(spec.acc, lsb + abs(length) - 1))
            yield f"cancellation to the last {length} bits, and a unit more, 2^{exponent}", [*terms, unit]


def _subnormal_operands(spec: MacSpec) -> Iterator[Corner]:
    """Yield products of a subnormal operand of every length and a large one, alone and after a sum."""
    a_top, b_top = spec.a.largest_code(0), spec.b.largest_code(0)
    for fmt, pair in ((spec.a, lambda code: (code, b_top)), (spec.b, lambda code: (a_top, code))):
        if isinstance(fmt, FloatFormat):
            for bits in range(1, fmt.man_bits + 1):
                for code in ((1 << bits) - 1, 1 << (bits - 1)):
                    yield Corner(f"subnormal {fmt} operand of {bits} bits", (pair(code),))
                    yield Corner(f"subnormal {fmt} operand of {bits} bits, twice", (pair(code),) * 2)


def _extremes(spec: MacSpec) -> Iterator[Corner]:
    """Yield runs of the largest and smallest products of both signs, long enough to overflow where that is possible."""
    ends = [(fmt.largest_code(0), fmt.largest_code(1) if _is_signed(fmt) else None) for fmt in (spec.a, spec.b)]
    (a_top, a_low), (b_top, b_low) = ends
    runs = {
        "largest": (a_top, b_top),
        "lowest by a": None if a_low is None else (a_low, b_top),
        "lowest by b": None if b_low is None else (a_top, b_low),
        "largest of two negatives": None if a_low is None or b_low is None else (a_low, b_low),
    }
    pairs = {name: pair for name, pair in runs.items() if pair is not None}
    count = products_to_overflow(spec) + 2
    count = count if count <= MOST_REPEATS else TOO_FEW_REPEATS
    for name, pair in pairs.items():
        yield Corner(f"{name} products until they overflow", (pair,) * count)
        for other_name, other in pairs.items():
            if other != pair:
                yield Corner(f"{name}, then {other_name}", (pair,) * count + (other,) * count)
    smallest = [exact_code(fmt, sign, 1, _least_exponent(fmt)) for fmt in (spec.a, spec.b) for sign in (0, 1)]
    for a_code in smallest[:2]:
        for b_code in smallest[2:]:
            if a_code is not None and b_code is not None:
                for repeats in (1, 2, 5):
                    yield Corner("smallest products", ((a_code, b_code),) * repeats)
                yield Corner("smallest after largest", ((a_top, b_top), (a_code, b_code)))


def _largest_exponent(fmt: Format) -> int:
    """Return the exponent of the largest positive power of two."""
    number = fmt.number(fmt.largest_code(0))
    return number.exponent + number.significand.bit_length() - 1


def _least_exponent(fmt: Format) -> int:
    """Return the exponent of the smallest positive number."""
    if isinstance(fmt, FloatFormat) and fmt.subnormals == "flush":
        return fmt.min_exponent
    return fmt.lsb_exponent


def _is_signed(fmt: Format) -> bool:
    return isinstance(fmt, FloatFormat) or fmt.signed


def products_to_overflow(spec: MacSpec) -> int:
    """Return how many of the largest products overflow the accumulator."""
    a, b, acc = (fmt.number(fmt.largest_code(0)).to_fraction() for fmt in (spec.a, spec.b, spec.acc))
    return math.floor(acc / (a * b)) + 1


def corners(spec: MacSpec) -> list[Corner]:
    """Return the corner dot products that a spec's operands can make, each once, both signs."""
    found: dict[tuple[Pair, ...], Corner] = {}
    sums = [
        (f"{name}, 2^{exponent}", terms) for exponent in _anchors(spec) for name, terms in _patterns(spec, exponent)
    ]
    for name, terms in (*sums, *_exact_ends(spec), *_deep_cancellations(spec)):
        for sign, signed in (("", terms), ("negative: ", [term.negated for term in terms])):
            pairs = _to_pairs(spec, signed)
            if pairs is not None:
                found.setdefault(pairs, Corner(f"{sign}{name}", pairs))
    for corner in (*_extremes(spec), *_subnormal_operands(spec)):
        found.setdefault(corner.pairs, corner)
    return list(found.values())


def _to_pairs(spec: MacSpec, terms: Sequence[Term]) -> tuple[Pair, ...] | None:
    pairs: list[Pair] = []
    for term in terms:
        pair = operands_of(spec.a, spec.b, term)
        if pair is None:
            return None
        pairs.append(pair)
    return tuple(pairs)


def at_chunk_starts(spec: MacSpec, corner: Corner, chunk: int) -> Corner:
    """Return a corner with its products at the starts of chunks, zeros between: the folds make its additions."""
    zero = (spec.a.zero_code(), spec.b.zero_code())
    pairs = [p for pair in corner.pairs for p in (pair, *[zero] * (chunk - 1))]
    return Corner(f"{corner.name}, by folds", tuple(pairs[: len(pairs) - chunk + 1]))


def to_tiles(spec: MacSpec, dots: Sequence[Corner]) -> Iterator[Tile]:
    """Yield tiles that have one corner on each PE of the diagonal (other PEs get the mixtures).

    Corners of equal length share a tile, so none has to be padded.
    """
    by_length: dict[int, list[Corner]] = {}
    for corner in dots:
        by_length.setdefault(corner.length, []).append(corner)
    for length, group in sorted(by_length.items()):
        for start in range(0, len(group), min(spec.rows, spec.cols)):
            rows = [group[(start + row) % len(group)] for row in range(spec.rows)]
            cols = [group[(start + col) % len(group)] for col in range(spec.cols)]
            a = np.array([[a_code for a_code, _ in corner.pairs] for corner in rows], dtype=np.int64)
            b = np.array([[b_code for _, b_code in corner.pairs] for corner in cols], dtype=np.int64).T
            names = "; ".join(dict.fromkeys(corner.name for corner in rows[: min(spec.rows, spec.cols)]))
            yield Tile(f"corners K={length}: {names}", a, b)
