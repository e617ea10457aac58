"""What lanes, their sums and their scales have to have to do with each other in a MacSpec."""

from fractions import Fraction

from macgen.errors import MacgenError
from macgen.numerics import FixedFormat, FloatFormat, Format, LaneSum, LaneSumKind, Rounding
from macgen.spec_fields import MAX_FUSED_BITS, MAX_SCALE_BLOCK, Scale, ScalePlace

MAX_GROUP_TOP = 64
"""Sums of groups are below at most this power of two; their scales alone align them, so it widens what is aligned."""


def largest_product(a: Format, b: Format) -> tuple[Fraction, int]:
    """Return the largest finite magnitude of products of two formats, and the exponent of their grid."""
    largest = Fraction(1)
    for fmt in (a, b):
        largest *= max(abs(fmt.number(fmt.largest_code(sign)).to_fraction()) for sign in (0, 1))
    return largest, a.lsb_exponent + b.lsb_exponent


def exact_sum_bits(count: int, largest: Fraction, lsb_exponent: int) -> int:
    """Return the bits of the magnitude of an exact sum of numbers of a grid, none of which is larger."""
    return (count * largest / Fraction(2) ** lsb_exponent).numerator.bit_length()


def check_lanes(
    *,
    lanes: int,
    lane_sum: LaneSum,
    a: Format,
    b: Format,
    product: Format | None,
    acc: Format,
    rounding: Rounding,
    scale: Scale | None,
    place: ScalePlace,
    block: int | None,
    fused_bits: int,
) -> None:
    """Refuse lanes, their sum and their scales that do not fit each other.

    Parameters:
        lanes, lane_sum, a, b, product, acc, rounding, scale: fields of a spec.
        place, block: `scale_place` and `scale_block`.
        fused_bits: bits of the magnitude of the exact sum of the lanes' products.

    Raises:
        MacgenError: they do not.
    """
    if lane_sum == "tree" and lanes & (lanes - 1):
        raise MacgenError(f"lanes {lanes} is not a power of two, as lane_sum 'tree' needs")
    _check_aligned_lanes(lane_sum=lane_sum, a=a, b=b, acc=acc, product=product, rounding=rounding)
    _check_scales(scale=scale, place=place, block=block, lanes=lanes, lane_sum=lane_sum)
    _check_groups(lane_sum=lane_sum, a=a, b=b, place=place, block=block or lanes)
    if lane_sum == "fused" and lanes > 1 and fused_bits > MAX_FUSED_BITS:
        raise MacgenError(
            f"lane_sum 'fused' adds {lanes} products exactly, which takes {fused_bits} bits; accepted are formats with "
            f"which it takes up to {MAX_FUSED_BITS}, or tree, aligned:W"
        )


def _check_scales(*, scale: Scale | None, place: ScalePlace, block: int | None, lanes: int, lane_sum: LaneSum) -> None:
    """Refuse a place or blocks of scales that do not fit the lanes.

    Raises:
        MacgenError: they do not.
    """
    if place == "outer":
        if block is not None:
            raise MacgenError(f"scale_block {block} does not go with scale_place 'outer'; accepted is it with 'lanes'")
        return
    if scale is None:
        raise MacgenError("scale_place 'lanes' does not go with scale none; accepted is it with a format of scales")
    if lane_sum.kind is not LaneSumKind.EXPONENTS:
        raise MacgenError(
            f"scale_place 'lanes' does not go with lane_sum {lane_sum!r}; accepted are exponents:F and exponents:F/G"
        )
    if block is not None and lanes % block:
        raise MacgenError(
            f"scale_block {block} does not divide lanes {lanes}; accepted are divisors of lanes up to {MAX_SCALE_BLOCK}"
        )


def _check_aligned_lanes(
    *, lane_sum: LaneSum, a: Format, b: Format, acc: Format, product: Format | None, rounding: Rounding
) -> None:
    """Refuse formats and roundings of which `aligned:W`, `exponents:F` or `bulk:F` makes no sum.

    Raises:
        MacgenError: there is one.
    """
    if lane_sum.kind not in (LaneSumKind.ALIGNED, LaneSumKind.EXPONENTS, LaneSumKind.BULK):
        return
    rounds_twice = lane_sum.kind is LaneSumKind.BULK
    if isinstance(acc, FixedFormat) or rounding == "drop" or (rounds_twice and rounding.random_bits):
        roundings = "rne, rtz, floor or odd" if rounds_twice else "rne, rtz, floor, odd or stochastic:r"
        raise MacgenError(
            f"lane_sum {lane_sum!r} does not go with acc {acc} and rounding {rounding!r}; accepted are float "
            f"accumulators, and {roundings}"
        )
    if lane_sum.kind is LaneSumKind.ALIGNED:
        return
    for field, fmt in (("a", a), ("b", b)):
        if isinstance(fmt, FixedFormat):
            raise MacgenError(
                f"lane_sum {lane_sum!r} does not go with {field} {fmt}, which has no exponents; accepted are float "
                f"operands"
            )
    if product is not None:
        raise MacgenError(
            f"lane_sum {lane_sum!r} does not go with product {product}, as it aligns by the operands' exponents; "
            f"accepted are exact products"
        )


def _check_groups(*, lane_sum: LaneSum, a: Format, b: Format, place: ScalePlace, block: int) -> None:
    """Refuse groups of `exponents:F/G` that do not fit the scales or the operands.

    Parameters:
        lane_sum, a, b: fields of a spec.
        place: `scale_place`.
        block: elements that have a scale.

    Raises:
        MacgenError: they do not fit.
    """
    if lane_sum.group == 1:
        return
    if place != "lanes":
        raise MacgenError(
            f"lane_sum {lane_sum!r} does not go with scale_place {place!r}, as groups are aligned by their scales; "
            f"accepted is lanes"
        )
    if block % lane_sum.group:
        raise MacgenError(
            f"lane_sum {lane_sum!r} has groups that blocks of {block} lanes with one scale do not consist of; accepted "
            f"are divisors of {block}"
        )
    for field, fmt in (("a", a), ("b", b)):
        if isinstance(fmt, FloatFormat) and fmt.encoding != "finite":
            raise MacgenError(
                f"lane_sum {lane_sum!r} does not go with {field} {fmt}, which has infinities or NaN; accepted are "
                f"operands without"
            )
    largest, lsb_exponent = largest_product(a, b)
    bits = exact_sum_bits(lane_sum.group, largest, lsb_exponent)
    if bits > MAX_FUSED_BITS:
        raise MacgenError(
            f"lane_sum {lane_sum!r} adds {lane_sum.group} products exactly, which takes {bits} bits; accepted are "
            f"formats with which it takes up to {MAX_FUSED_BITS}, or exponents:F"
        )
    top = bits + lsb_exponent  # the least power of two that all sums are below
    if not 1 <= top <= MAX_GROUP_TOP:
        raise MacgenError(
            f"lane_sum {lane_sum!r} adds groups whose sums reach up to 2^{top}, so that their scales' exponents say "
            f"too little of them; accepted are operands with which that is 2^1 to 2^{MAX_GROUP_TOP}"
        )
