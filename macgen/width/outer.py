"""Whether an outer accumulator is wide enough for every sum: decidable where nothing is rounded before it."""

from dataclasses import dataclass
from fractions import Fraction

from macgen.errors import check_type
from macgen.numerics import FixedFormat, FloatFormat, Format
from macgen.numerics.fixed_format import MAX_WIDTH
from macgen.spec import MacSpec, check_spec
from macgen.width.formulas import ranges
from macgen.width.goal import Sum


@dataclass(frozen=True)
class Verdict:
    """What is known of an outer accumulator.

    Attributes:
        holds: whether it holds every sum exactly; None: not decidable.
        reason: a sentence, without its full stop, that says so.
        bits: width of the smallest fixed-point format that holds every sum; None: not decidable.
    """

    holds: bool | None
    reason: str
    bits: int | None = None


def judge(spec: MacSpec, dot: Sum) -> Verdict | None:
    """Say whether a spec's outer accumulator holds every sum of a dot product, whatever its operands.

    That is decidable where chunk sums reach it as they are: without scales, and with a fixed-point accumulator that
    has the products' fraction bits. Infinities and NaN are left out. It holds every sum if it has all multiples of the
    products' last bit up to the largest one. (Some of them are no sums. That matters for formats of a few bits only.)

    Parameters:
        spec: the array.
        dot: its dot product; known weights count where `b` holds them and products are exact.

    Returns:
        The verdict; None where the spec names no outer accumulator.

    Raises:
        MacgenError: an argument is refused.
    """
    check_spec(spec)
    check_type("dot", dot, Sum, "a Sum")
    if spec.outer is None:
        return None
    known = dot.range_by_weights(spec.a, spec.b)
    sums = _sums(spec, dot.length, known)
    if sums is None:
        reason = (
            f"the width is that of the inner accumulator, and nothing says whether outer {spec.outer} is wide enough"
        )
        return Verdict(None, reason)
    limits, lsb_exponent = sums
    what = f"sum of {dot.length} products" + " with these weights" * (sums != _sums(spec, dot.length, None))
    needed, bits = _exact_format(limits, lsb_exponent)
    reaches, exactly = _holds(spec.outer, limits, lsb_exponent)
    if reaches and exactly:
        return Verdict(True, f"outer {spec.outer} holds every {what}", bits)
    if reaches:
        reason = (
            f"outer {spec.outer} reaches every {what}, but lacks numbers between them; it takes {needed} to hold all"
        )
    else:
        reason = f"outer {spec.outer} does not hold every {what}: it takes {needed}"
    return Verdict(False, reason, bits)


def _sums(spec: MacSpec, length: int, known: ranges.Range | None) -> tuple[ranges.Range, int] | None:
    """Return between what the sums of chunk sums lie, and the exponent of the unit it counts; None: not decidable."""
    acc = spec.acc
    if spec.product is None:
        one = ranges.sum_range(ranges.operand_range(spec.a), ranges.operand_range(spec.b), 1)
        lsb_exponent = spec.a.lsb_exponent + spec.b.lsb_exponent
    else:
        one, lsb_exponent, known = ranges.operand_range(spec.product), spec.product.lsb_exponent, None
    if spec.scale is not None or isinstance(acc, FloatFormat) or acc.lsb_exponent > lsb_exponent:
        return None
    finer = lsb_exponent - acc.lsb_exponent

    def exact(count: int) -> ranges.Range:
        low, high = count * min(one[0], 0), count * max(one[1], 0)
        return (low, high) if known is None else (max(low, min(known[0], 0)), min(high, max(known[1], 0)))

    def held(count: int) -> ranges.Range:
        low, high = exact(count)
        return max(low << finer, acc.min_integer), min(high << finer, acc.max_integer)

    chunk = min(spec.chunk or length, length)
    low, high = exact(length)
    if held(chunk) == tuple(end << finer for end in exact(chunk)):
        return (low, high), lsb_exponent
    if spec.overflow == "wrap":  # sums that have wrapped lie anywhere
        return None
    chunks, rest = divmod(length, chunk)  # a chunk sum that saturates is between zero and the exact one's ends
    least, most = (chunks * full + last for full, last in zip(held(chunk), held(rest), strict=True))
    return (max(least, low << finer), min(most, high << finer)), acc.lsb_exponent


def _holds(outer: Format, limits: ranges.Range, lsb_exponent: int) -> tuple[bool, bool]:
    """Return whether a format reaches all integers in a range, in units of a power of two, and whether it has all."""
    unit = Fraction(2) ** lsb_exponent
    ends = [outer.number(outer.largest_code(sign)).to_fraction() for sign in (1, 0)]
    reaches = ends[0] <= limits[0] * unit and limits[1] * unit <= ends[1]
    if isinstance(outer, FixedFormat):
        return reaches, outer.lsb_exponent <= lsb_exponent
    largest = max(-limits[0], limits[1])
    return reaches, largest <= 1 << outer.precision and outer.sum_exponent <= lsb_exponent


def _exact_format(limits: ranges.Range, lsb_exponent: int) -> tuple[str, int]:
    """Return the smallest fixed-point format that has all integers in a range, in units of a power of two, in words.

    Returns:
        It, and its width.
    """
    low, high = (end << max(lsb_exponent, 0) for end in limits)
    frac_bits, signed = max(-lsb_exponent, 0), low < 0
    width = max(ranges.bits((low, high), signed), frac_bits + signed)
    return (str(FixedFormat(width - frac_bits, frac_bits, signed)) if width <= MAX_WIDTH else f"{width} bits"), width
