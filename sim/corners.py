"""Dot products built against a format's precision and range: ties, cancellation, swamping, overflow, underflow.

A corner is written down as a sequence of addends, each a multiple of a power of two relative to the sum's value and to
the unit in its last place, and becomes operand codes (and scales) where the formats have such a product.
"""

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from random import Random

import numpy as np

from macgen.numerics import FixedFormat, FloatFormat, Format, ScaleFormat
from macgen.spec import MacSpec
from sim.addends import (
    Addend,
    Aim,
    Pair,
    Place,
    exact_code,
    factors_of,
    least_power,
    odd_products,
    scale_code,
    scale_exponents,
    significand_bits,
)
from sim.operands import Tile, one_of, special_codes

MOST_REPEATS = 600
"""Largest products that are summed to reach overflow; where it takes more, TOO_FEW_REPEATS are summed."""

TOO_FEW_REPEATS = 40


@dataclass(frozen=True)
class Corner:
    """A named sequence of products, as operand codes.

    Attributes:
        name: what the corner is.
        pairs: of operands.
        scales: of each chunk; with `scale_place = lanes` of each product until it is spread, then of each block; where
            there are none the scales, if the spec has any, are 1.
    """

    name: str
    pairs: tuple[Pair, ...]
    scales: tuple[Pair, ...] = ()

    @property
    def length(self) -> int:
        """Products in the sequence."""
        return len(self.pairs)


def _ulp_exponent(acc: Format, exponent: int) -> int:
    """Return the exponent of the last bit of an accumulator whose leading bit has this exponent."""
    if isinstance(acc, FloatFormat):
        return max(exponent - acc.man_bits, acc.lsb_exponent)
    return acc.lsb_exponent


def _anchors(aim: Aim) -> list[int]:
    """Return exponents of sums to build corners about: middle, top, bottom, edge of the subnormals."""
    lowest, highest, fmt = aim.lowest, aim.highest, aim.format
    middle = min(max(0, fmt.lsb_exponent + 3), highest, fmt.max_exponent)
    wanted = [middle, highest, fmt.max_exponent, fmt.max_exponent - 1, fmt.lsb_exponent - 1, fmt.lsb_exponent]
    wanted += [fmt.lsb_exponent + 1, lowest + 5]
    if isinstance(fmt, FloatFormat):
        wanted += [fmt.min_exponent - 1, fmt.min_exponent, fmt.min_exponent + 1, lowest + fmt.precision + 4]
    return [e for e in dict.fromkeys(wanted) if lowest <= e <= min(highest, fmt.max_exponent)]


def _patterns(aim: Aim, exponent: int) -> Iterator[tuple[str, list[Addend]]]:
    """Yield named sequences of addends about a sum of 2**exponent; most start with loading it."""
    ulp = _ulp_exponent(aim.format, exponent)
    lowest = aim.lowest
    least = max(lowest, least_power(aim.format))  # of what stays in the accumulator

    def plus(significand: int, e: int) -> Addend:
        return Addend(0, significand, e)

    def minus(significand: int, e: int) -> Addend:
        return Addend(1, significand, e)

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
        finest = _ulp_exponent(aim.format, left)
        yield f"cancellation to bit {left - ulp}, and a unit more", [one, plus(1, left), one.negated, plus(1, finest)]
    yield "cancellation after a tie", [one, unit, half, one.negated]
    yield "cancellation of one bit", [plus(3, exponent - 1), minus(1, exponent)]
    yield "swamping", [one, *[plus(1, ulp - 2)] * 6, one.negated]
    yield "small ones first", [*[plus(1, ulp - 2)] * 6, one, one.negated]
    bits = min(max(exponent - ulp + 1, 0), 60)
    ones = _parts(aim, (1 << bits) - 1, exponent - bits + 1)
    yield "all ones, carry out by a tie", [*ones, half]
    yield "all ones, just below a tie", [*ones, plus(3, ulp - 3)]
    yield "all ones, carry out by a unit", [*ones, unit]
    if isinstance(aim.format, FloatFormat):
        precision = aim.format.precision
        for product in odd_products(aim, precision + 1):
            tie = plus(product, exponent - precision)
            yield "a product that is a tie", [tie]
            yield "a product that is a tie, sticky accumulator", [plus(1, least), tie]
            yield "a product that is a tie, negative sticky accumulator", [minus(1, least), tie]
        for product in odd_products(aim, precision + 2):
            yield "a product off a tie", [plus(product, exponent - precision - 1)]
    cut_bits = aim.spec.aligned_bits or aim.spec.exponent_bits or aim.spec.bulk_bits
    if aim.place == "steps" and cut_bits is not None:
        yield from _cuts(exponent, cut_bits)


def _cuts(exponent: int, bits: int) -> Iterator[tuple[str, list[Addend]]]:
    """Yield sums about 2**exponent whose addends are cut so many bits below it (docs/arithmetic.md section 2)."""
    place = exponent - bits
    one = Addend(0, 1, exponent)
    for name, significand, low in (("on", 1, place), ("below", 1, place - 1), ("on and below", 3, place - 1)):
        for sign in (0, 1):
            small = Addend(sign, significand, low)
            yield f"{'less' if sign else 'and'} what lies {name} the cut", [one, small]
            yield f"{'less' if sign else 'and'} twice what lies {name} the cut", [one, small, small]
            yield f"{'less' if sign else 'and'} what lay {name} the cut before", [small, one]
            yield f"cancellation, {'less' if sign else 'and'} what lies {name} the cut", [one, one.negated, small]


def _parts(aim: Aim, value: int, exponent: int) -> list[Addend]:
    """Return the fewest addends that are sure to exist and sum up to value * 2**exponent, the highest bits first."""
    parts = []
    while value:
        low = max(value.bit_length() - aim.width, 0)
        parts.append(Addend(0, value >> low, exponent + low))
        value &= (1 << low) - 1
    return parts


def _exact_ends(aim: Aim) -> Iterator[tuple[str, list[Addend]]]:
    """Yield sums that reach the ends of fixed-point formats exactly, and pass them by one, also within a chunk."""
    spec, fmt = aim.spec, aim.format
    if not isinstance(fmt, FixedFormat):
        return
    lsb = fmt.lsb_exponent
    large = max(aim.largest_power, lsb)
    zero, unit = Addend(0, 0, lsb), Addend(0, 1, lsb)
    for end in {fmt.max_integer, fmt.min_integer} - {0}:
        repeats, rest = divmod(abs(end), 1 << (large - lsb))
        if repeats > MOST_REPEATS:
            continue
        addends = [Addend(0, 1, large)] * repeats + _parts(aim, rest, lsb)
        if spec.chunk is not None and not aim.by_chunks:  # so that what follows is in one chunk, where it fits
            addends += [zero] * (-len(addends) % spec.chunk)
        for name, more in (("", []), (", and one more", [unit]), (", one more, and back", [unit, unit.negated])):
            sum_to_end = [*addends, *more]
            yield f"exactly {end}{name}", [addend.negated for addend in sum_to_end] if end < 0 else sum_to_end


def _deep_cancellations(aim: Aim) -> Iterator[tuple[str, list[Addend]]]:
    """Yield sums in which a product wider than the accumulator meets its own leading bits: the rest remains alone.

    One remainder of every length, positive and negative, at a few exponents.
    """
    spec, fmt = aim.spec, aim.format
    if not isinstance(fmt, FloatFormat) or aim.passed:
        return
    a_bits, b_bits, rng = significand_bits(spec.a), significand_bits(spec.b), Random(0)
    extra = a_bits + b_bits - fmt.precision
    if extra <= 0:
        return
    found: dict[int, tuple[int, int]] = {}
    for _ in range(6000):
        product = rng.getrandbits(a_bits) * rng.getrandbits(b_bits)
        if product.bit_length() == a_bits + b_bits:
            for leading in (product >> extra << extra, (product >> extra) + 1 << extra):
                remainder = product - leading
                found.setdefault(int(math.copysign(remainder.bit_length(), remainder)), (product, leading))
    lowest = fmt.min_exponent
    for exponent in (0, lowest + 1, lowest + extra // 2, lowest + extra, lowest + a_bits + b_bits + 1):
        for length, (product, leading) in found.items():
            lsb = exponent - product.bit_length() + 1
            loaded = [part.negated for part in _parts(aim, leading, lsb)]
            addends = [*loaded, Addend(0, product, lsb)]
            yield f"cancellation to the last {length} bits, 2^{exponent}", addends
            unit = Addend(int(length < 0), 1, _ulp_exponent(fmt, lsb + abs(length) - 1))
            yield f"cancellation to the last {length} bits, and a unit more, 2^{exponent}", [*addends, unit]


def _roundings_of_products(spec: MacSpec) -> Iterator[tuple[str, list[Addend]]]:
    """Yield single products about the ends of the range and the last places of the format that they are rounded to."""
    fmt = spec.product
    if fmt is None:
        return
    bits = significand_bits(spec.a) + significand_bits(spec.b)
    exponents = [0, fmt.max_exponent, fmt.max_exponent + 1, fmt.lsb_exponent - 2, fmt.lsb_exponent - 1]
    exponents += [fmt.lsb_exponent, fmt.lsb_exponent + 1]
    if isinstance(fmt, FloatFormat):
        exponents += [fmt.min_exponent - 1, fmt.min_exponent]
    exact = Aim(spec.replace(product=None, acc="fp64", overflow="saturate", modes=()), "steps")
    for exponent in dict.fromkeys(exponents):
        for width in range(1, bits + 1):
            for product in odd_products(exact, width):
                yield f"a product of {width} bits rounded, 2^{exponent}", [Addend(0, product, exponent - width + 1)]


def _subnormal_operands(spec: MacSpec) -> Iterator[Corner]:
    """Yield products of a subnormal operand of every length and a large one, alone and after a sum."""
    a_top, b_top = spec.a.largest_code(0), spec.b.largest_code(0)
    for fmt, pair in ((spec.a, lambda code: (code, b_top)), (spec.b, lambda code: (a_top, code))):
        if isinstance(fmt, FloatFormat):
            for bits in range(1, fmt.man_bits + 1):
                for code in ((1 << bits) - 1, 1 << (bits - 1)):
                    yield Corner(f"subnormal {fmt} operand of {bits} bits", (pair(code),))
                    yield Corner(f"subnormal {fmt} operand of {bits} bits, twice", (pair(code),) * 2)


def _extremes(aim: Aim) -> Iterator[Corner]:
    """Yield runs of the largest and smallest addends of both signs, long enough to overflow where that is possible."""
    spec, scale = aim.spec, aim.scale
    ends = [(fmt.largest_code(0), fmt.largest_code(1) if _is_signed(fmt) else None) for fmt in (spec.a, spec.b)]
    (a_top, a_low), (b_top, b_low) = ends
    runs = {
        "largest": (a_top, b_top),
        "lowest by a": None if a_low is None else (a_low, b_top),
        "lowest by b": None if b_low is None else (a_top, b_low),
        "largest of two negatives": None if a_low is None or b_low is None else (a_low, b_low),
    }
    pairs = {name: pair for name, pair in runs.items() if pair is not None}
    count = aim.repeats + 2
    count = count if count <= MOST_REPEATS else TOO_FEW_REPEATS
    largest: tuple[Pair, ...] = ()
    smallest_scales: tuple[Pair, ...] = ()
    if scale is not None:
        top = scale.nan_code - 1 if isinstance(scale, ScaleFormat) else scale.largest_code(0)
        largest, smallest_scales = ((top, top),), ((scale_code(scale, scale_exponents(scale)[0]),) * 2,)
    for name, pair in pairs.items():
        yield Corner(f"{name} products until they overflow", (pair,) * count, largest * count)
        for other_name, other in pairs.items():
            if other != pair:
                run = (pair,) * count + (other,) * count
                yield Corner(f"{name}, then {other_name}", run, largest * len(run))
    smallest = [exact_code(fmt, sign, *_smallest(fmt)) for fmt in (spec.a, spec.b) for sign in (0, 1)]
    for a_code in smallest[:2]:
        for b_code in smallest[2:]:
            if a_code is not None and b_code is not None:
                for repeats in (1, 2, 5):
                    yield Corner("smallest products", ((a_code, b_code),) * repeats, smallest_scales * repeats)
                after = (a_top, b_top), (a_code, b_code)
                yield Corner("smallest after largest", after, largest + smallest_scales)


def _specials(spec: MacSpec) -> Iterator[Corner]:
    """Yield every infinity, NaN and largest number of an operand's format, each before and after every other."""
    tops = (spec.a.largest_code(0), spec.b.largest_code(0))
    special: dict[Pair, str] = {}
    for place, fmt in enumerate((spec.a, spec.b)):
        numbers = {code: fmt.number(code) for code in special_codes(fmt)}
        ends = {fmt.largest_code(0), fmt.largest_code(1)}
        if all(number.kind == "finite" for number in numbers.values()):
            continue
        for code, number in numbers.items():
            if number.kind != "finite" or code in ends:
                name = f"{'-' if number.sign else ''}{'largest' if number.kind == 'finite' else number.kind}"
                special[(code, tops[1]) if place == 0 else (tops[0], code)] = name
    for (first, first_name), (second, second_name) in itertools.product(special.items(), repeat=2):
        yield Corner(f"special: {first_name}, then {second_name}", (first, second))


def _smallest(fmt: Format) -> tuple[int, int]:
    """Return the significand of the smallest positive number, and the exponent of its last bit."""
    if isinstance(fmt, FloatFormat) and fmt.subnormals == "none":
        least = fmt.number(1)
        return least.significand, least.exponent
    return 1, least_power(fmt)


def _is_signed(fmt: Format) -> bool:
    return isinstance(fmt, FloatFormat) or fmt.signed


@lru_cache(4)
def corners(spec: MacSpec, place: Place = "steps") -> tuple[Corner, ...]:
    """Return the corner dot products that a spec's operands can make, each once, both signs.

    Those for steps have their products one after the other; of the others each product is for a chunk of its own,
    where the outer accumulator has its own adder or folds are asked for; see `spread`.
    """
    aim = Aim(spec, place)
    found: dict[tuple[object, ...], Corner] = {}
    sums = [
        (f"{name}, 2^{exponent}", addends) for exponent in _anchors(aim) for name, addends in _patterns(aim, exponent)
    ]
    more = _roundings_of_products(spec) if place == "steps" else ()
    for name, addends in (*sums, *_exact_ends(aim), *_deep_cancellations(aim), *more):
        for sign, signed in (("", addends), ("negative: ", [addend.negated for addend in addends])):
            factors = [factors_of(aim, addend) for addend in signed]
            known = [pair for pair in factors if pair is not None]
            if len(known) == len(factors):
                pairs = tuple(pair for pair, _ in known)
                scales = () if aim.scale is None else tuple(scale for _, scale in known)
                found.setdefault((pairs, scales), Corner(f"{sign}{name}", pairs, scales))
    for corner in (*_extremes(aim), *_specials(spec), *(_subnormal_operands(spec) if place == "steps" else ())):
        found.setdefault((corner.pairs, corner.scales), corner)
    return tuple(found.values())


def spread(spec: MacSpec, corner: Corner, every: int, at: int = 0) -> Corner:
    """Return a corner with its products so many elements apart, zeros between.

    Parameters:
        spec: the array.
        corner: the products.
        every: distance: the chunk's length, so that folds make the additions, or the lanes, so that each step takes one
            product.
        at: elements before the first product.
    """
    zero = (spec.a.zero_code(), spec.b.zero_code())
    pairs = [p for pair in corner.pairs for p in (*[zero] * at, pair, *[zero] * (every - at - 1))]
    length = len(pairs) - (every - at - 1)
    scales = corner.scales
    if spec.block is not None and scales:  # what has no product has scales that do not lead
        of_blocks = [(0, 0)] * spec.scale_count(length)
        for index, pair in enumerate(scales):
            of_blocks[(index * every + at) // spec.block] = pair
        scales = tuple(of_blocks)
    return Corner(f"{corner.name}, {every} apart", tuple(pairs[:length]), scales)


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
            name = f"corners K={length}: {names}"
            if spec.scale is None:
                yield Tile(name, a, b)
                continue
            ones = ((one_of(spec.scale),) * 2,) * spec.scale_count(length)
            a_scales = np.array([[code for code, _ in corner.scales or ones] for corner in rows], dtype=np.int64)
            b_scales = np.array([[code for _, code in corner.scales or ones] for corner in cols], dtype=np.int64).T
            yield Tile(name, a, b, a_scales, b_scales)
