"""Sums of numbers that are cut at one place: how they are added exactly, and the numbers of `aligned:W` and
`exponents:F` in a carrier.
"""

from dataclasses import dataclass, replace
from typing import Literal

from macgen.emulate.carrier import FLOAT32, Carrier
from macgen.emulate.value_range import ValueRange
from macgen.numerics import FloatFormat, Rounding
from macgen.spec import MacSpec
from macgen.spec_lanes import exact_sum_bits, largest_product

Whole = Literal["integers", "values", "halves"]
"""`Whole` of vector_steps.h."""

MOST_OF_HALVES = 38
"""Most bits of a sum whose upper part above 16 bits, and the sum of whose lower parts, float32 holds exactly."""

ZERO_EXPONENT = -126
"""Reference exponent of zero in formats whose smallest normal number is not smaller."""


@dataclass(frozen=True)
class Cut:
    """Terms and accumulator of a step, cut at a place below the largest exponent among them.

    Attributes:
        places: W of `aligned:W`, F of `exponents:F`.
        terms: how many there are beside the accumulator.
        above: terms are below 2 to the largest exponent and this; the accumulator below 2 to that and 1.
    """

    places: int
    terms: int
    above: int

    @classmethod
    def of(cls, spec: MacSpec) -> "Cut | None":
        """Return how a spec cuts, if it does."""
        if spec.exponent_bits is None:
            return None if spec.aligned_bits is None else cls(spec.aligned_bits, spec.lanes, 1)
        return cls(spec.exponent_bits, -(-spec.lanes // spec.lane_sum.group), bits_above(spec))

    def whole(self, carrier: Carrier, rounding: Rounding) -> Whole | None:
        """Return how a carrier adds the integers that are left, or None where their sums may be too large for it.

        Integers with more bits than the carrier has are rounded as they are converted to it. Where the rule rounds in
        the same direction, that and the rule are one rounding; to nearest they would be two.
        """
        total = self.places + self.above + self.terms.bit_length()  # magnitudes are below 2 to this power
        integer_bits = 31 if carrier is FLOAT32 else 63
        if total <= carrier.precision:
            return "integers" if carrier is FLOAT32 else "values"
        if total <= integer_bits and "rne" not in (rounding, rounding.beneath):
            return "integers"
        halves = carrier is FLOAT32 and self.together > 1 and total <= MOST_OF_HALVES
        return "halves" if halves else None

    @property
    def together(self) -> int:
        """How many terms have sums that a signed integer of 32 bits holds; their magnitudes are below a power of 2."""
        return 1 << max(31 - self.places - self.above, 0)


def bits_above(spec: MacSpec) -> int:
    """Return B so that a term of `exponents:F` is below 2 to its reference exponent and B."""
    above, group = 2, spec.lane_sum.group  # two significands below 2, their product is not normalised
    if group > 1:
        largest, lsb_exponent = largest_product(spec.a, spec.b)
        above = max(exact_sum_bits(group, largest, lsb_exponent) + lsb_exponent, 1)
    return above + (2 if spec.scales_lanes and isinstance(spec.scale, FloatFormat) else 0)


@dataclass(frozen=True)
class Alignment:
    """The numbers with which a kernel aligns, as `Alignment` of vector_steps.h has them."""

    least_binade: float
    unit: float
    inverse: int
    least: int = 0
    zero_acc: float = 0.0
    least_acc: float = 0.0
    together: int = 0


def alignment(
    carrier: Carrier,
    spec: MacSpec,
    cut: Cut,
    lsb_exponent: int,
    operands: tuple[ValueRange, ValueRange],
    scales: tuple[ValueRange, ...] = (),
) -> Alignment | None:
    """Return the numbers of a step in a carrier, or None where some exponent is beyond it.

    Where the largest exponent is so small that nothing is cut, a larger one may stand for it: so no exponent is less
    than the least.

    Parameters:
        carrier: the type.
        spec: the array.
        cut: how its steps cut.
        lsb_exponent: every term is a multiple of 2 to this power.
        operands: bounds of both operands' numbers.
        scales: bounds of the scales that belong to lanes.
    """
    acc = spec.acc
    assert isinstance(acc, FloatFormat)
    least = min(lsb_exponent, acc.max_exponent - acc.man_bits) + cut.places
    if not carrier.min_exponent + cut.places <= least <= carrier.max_exponent:
        return None
    inverse = 2 * carrier.max_exponent + cut.places << (carrier.precision - 1)
    found = Alignment(2.0**least, 2.0**-cut.places, inverse, least, together=cut.together)
    if spec.exponent_bits is None:
        return found
    top = sum(_top_reference(spec.scale, values) for values in scales)
    for fmt, values in zip((spec.a, spec.b), operands, strict=True):
        assert isinstance(fmt, FloatFormat)
        if fmt.min_exponent < carrier.min_exponent > values.lsb_exponent:
            return None  # subnormal numbers of the carrier that are normal ones of the format
        top += _top_reference(fmt, values) if spec.lane_sum.group == 1 else 0
    if top > carrier.max_exponent - carrier.precision:
        return None

    def power(exponent: int) -> float:  # what the carrier cannot have is below the least exponent
        return 2.0**exponent if exponent >= carrier.min_exponent else 0.0

    return replace(found, zero_acc=power(zero_reference(acc)), least_acc=power(acc.min_exponent))


def _top_reference(fmt: object, values: ValueRange) -> int:
    """Return the largest reference exponent that some of a format's numbers can have."""
    return max(values.top_exponent - 1, fmt.min_exponent if isinstance(fmt, FloatFormat) else -(1 << 14))


def zero_reference(fmt: object) -> int:
    """Return the reference exponent of a format's zeros (docs/arithmetic.md section 2)."""
    assert isinstance(fmt, FloatFormat)
    return min(ZERO_EXPONENT, fmt.min_exponent)
