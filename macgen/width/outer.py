"""Whether an outer accumulator is wide enough for every sum: decidable where nothing is rounded before it."""

from dataclasses import dataclass
from fractions import Fraction

from macgen.errors import check_integer, shown
from macgen.numerics import FixedFormat, FloatFormat, Format
from macgen.numerics.fixed_format import MAX_WIDTH
from macgen.spec import MacSpec, check_spec
from macgen.width import bounds


@dataclass(frozen=True)
class Verdict:
    """What is known of an outer accumulator.

    Attributes:
        holds: whether it holds every sum exactly; None: not decidable.
        reason: a sentence, without its full stop, that says so.
    """

    holds: bool | None
    reason: str


def judge(spec: MacSpec, length: int, totals: bounds.Range | None = None) -> Verdict | None:
    """Say whether a spec's outer accumulator holds the sums of all dot products of a length, whatever the operands.

    That is decidable where chunk sums reach it as they are: without scales, and with a fixed-point accumulator that
    has the products' fraction bits. Infinities and NaN are left out.

    Parameters:
        spec: the array.
        length: products of a dot product, at least 1.
        totals: lowest and largest sum of whole dot products, if more is known of them than the operands' formats say;
            in units of the last bit of exact products.

    Returns:
        The verdict; None where the spec names no outer accumulator.

    Raises:
        MacgenError: an argument is refused.
    """
    check_spec(spec)
    length = check_integer("length", length, 1)
    if spec.outer is None:
        return None
    sums = _sums(spec, length)
    if sums is None:
        reason = (
            f"the width is that of the inner accumulator, and nothing says whether outer {spec.outer} is wide enough"
        )
        return Verdict(None, reason)
    limits, lsb_exponent = sums
    if totals is not None:
        totals = bounds.checked_range("totals", totals)
    what = f"sum of {shown(length)} products"
    if totals is not None and spec.product is None and lsb_exponent == spec.a.lsb_exponent + spec.b.lsb_exponent:
        known = max(limits[0], totals[0]), min(limits[1], totals[1])
        what, limits = (f"{what} with these weights" if known != limits else what), known
    reaches, exactly = _holds(spec.outer, limits, lsb_exponent)
    if reaches and exactly:
        return Verdict(True, f"outer {spec.outer} holds every {what}")
    needed = _exact_format(limits, lsb_exponent)
    if reaches:
        return Verdict(
            False, f"outer {spec.outer} reaches every {what}, but rounds some; it takes {needed} to hold all"
        )
    return Verdict(False, f"outer {spec.outer} does not hold every {what}: it takes {needed}")


def _sums(spec: MacSpec, length: int) -> tuple[bounds.Range, int] | None:
    """Return between what the sums of chunk sums lie, and the exponent of the unit it counts; None: not decidable."""
    acc = spec.acc
    if spec.product is None:
        products = bounds.sum_range(bounds.operand_range(spec.a), bounds.operand_range(spec.b), 1)
        lsb_exponent = spec.a.lsb_exponent + spec.b.lsb_exponent
    else:
        low, high = bounds.operand_range(spec.product)
        products, lsb_exponent = (min(low, 0), max(high, 0)), spec.product.lsb_exponent
    if spec.scale is not None or isinstance(acc, FloatFormat) or acc.lsb_exponent > lsb_exponent:
        return None
    finer = lsb_exponent - acc.lsb_exponent
    chunk = min(spec.chunk or length, length)

    def held(count: int) -> bool:
        low, high = (count * end << finer for end in products)
        return acc.min_integer <= low and high <= acc.max_integer

    ends = products
    if not held(chunk):
        if spec.overflow == "wrap":  # sums that have wrapped lie anywhere
            return None
        ends, lsb_exponent = (products[0] << finer, products[1] << finer), acc.lsb_exponent

    def chunk_sum(count: int) -> bounds.Range:
        low, high = count * ends[0], count * ends[1]
        return (low, high) if ends is products else (max(low, acc.min_integer), min(high, acc.max_integer))

    chunks, rest = divmod(length, chunk)
    low, high = (chunks * full + last for full, last in zip(chunk_sum(chunk), chunk_sum(rest), strict=True))
    return (low, high), lsb_exponent


def _holds(outer: Format, limits: bounds.Range, lsb_exponent: int) -> tuple[bool, bool]:
    """Return whether a format reaches all integers in a range, in units of a power of two, and whether it has all."""
    unit = Fraction(2) ** lsb_exponent
    ends = [outer.number(outer.largest_code(sign)).to_fraction() for sign in (1, 0)]
    reaches = ends[0] <= limits[0] * unit and limits[1] * unit <= ends[1]
    if isinstance(outer, FixedFormat):
        return reaches, outer.lsb_exponent <= lsb_exponent
    largest = max(-limits[0], limits[1])
    return reaches, largest <= 1 << outer.precision and outer.sum_exponent <= lsb_exponent


def _exact_format(limits: bounds.Range, lsb_exponent: int) -> str:
    """Return the smallest fixed-point format that has all integers in a range, in units of a power of two, in words."""
    low, high = (end << max(lsb_exponent, 0) for end in limits)
    frac_bits, signed = max(-lsb_exponent, 0), low < 0
    width = max(bounds.bits((low, high), signed), frac_bits + signed)
    return str(FixedFormat(width - frac_bits, frac_bits, signed)) if width <= MAX_WIDTH else f"{width} bits"
