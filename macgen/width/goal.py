"""What an accumulator is for: the operands' formats, rounding and limits (Goal), and one dot product (Sum)."""

import sys
from dataclasses import dataclass
from typing import Literal

from macgen.emulate.value_range import ValueRange
from macgen.errors import MacgenError, check_integer, check_type, shown
from macgen.numerics import FixedFormat, Format, Rounding, as_format
from macgen.spec_fields import MAX_CHUNK, check_operand
from macgen.width import bounds, exponent, nsr, variance
from macgen.width.checks import MAX_LENGTH, check_real
from macgen.width.formulas import ranges
from macgen.width.formulas.noise import closed_form

DEFAULT_NSR = 0.01
"""Rounding noise 20 dB below the sum. In sums of E5M2 products `rne` then needs as many bits as the VRR's criterion
asks for at 128 products, 1 to 2 less from 200 to 50 000, and 5 less at three million."""

LARGEST_NSR = nsr.VALID_BELOW
"""Largest noise-to-signal ratio that a goal may be: up to it the closed forms hold."""


@dataclass(frozen=True, init=False)
class Goal:
    """What an accumulator is for, the length aside.

    Parameters:
        a, b: formats of the operands, or their strings.
        chunk: products a chunk; None: no chunks; `auto`: the power of two that is best, near sqrt(length), with
            `floor` near (4 length)^(1/3).
        outer: format of an accumulator of chunk sums of its own, or its string: the accumulator then starts anew with
            each chunk and is planned for a chunk's length; None: one format for both.
        rounding: of the adder, as in MacSpec.
        nsr: largest noise-to-signal ratio accepted, above 0 and at most `LARGEST_NSR`.
        limit: of v(n) in the VRR's criterion.
        reading: of that criterion for chunks, `per-level` (the paper's practice) or `total` (the safe one).
        overflow_probability: of an overflow in one dot product, above 0 and at most 0.5.

    Raises:
        MacgenError: a field is refused.
    """

    a: Format
    b: Format
    chunk: int | Literal["auto"] | None
    outer: Format | None
    rounding: Rounding
    nsr: float
    limit: float
    reading: variance.Reading
    overflow_probability: float

    def __init__(
        self,
        *,
        a: Format | str = "e5m2",
        b: Format | str = "e5m2",
        chunk: int | Literal["auto"] | None = None,
        outer: Format | str | None = None,
        rounding: Rounding | str = "rne",
        nsr: float = DEFAULT_NSR,
        limit: float = variance.LIMIT,
        reading: variance.Reading = "per-level",
        overflow_probability: float = exponent.OVERFLOW_PROBABILITY,
    ) -> None:
        a, b = as_format("a", a), as_format("b", b)
        check_operand("a", a)
        check_operand("b", b)
        variance.check_reading(reading)
        open_chunk = chunk is None or (isinstance(chunk, str) and chunk == "auto")
        self.__dict__.update(  # the instance is frozen
            a=a,
            b=b,
            chunk=chunk if open_chunk else check_integer("chunk", chunk, 1, MAX_CHUNK),
            outer=None if outer is None else as_format("outer", outer),
            rounding=Rounding(rounding),
            nsr=check_real("nsr", nsr, 0, LARGEST_NSR),
            limit=check_real("limit", limit, 1, variance.MOST_LIMIT),
            reading=reading,
            overflow_probability=check_real("overflow_probability", overflow_probability, 0, 0.5),
        )
        closed_form(self.rounding.kind)  # refuses one that has none

    @property
    def formats(self) -> tuple[Format, Format]:
        """Both operands' formats."""
        return self.a, self.b

    @property
    def product_man_bits(self) -> int:
        """m_p: mantissa bits of an exact product, without the hidden one."""
        return max(ValueRange.of_products(*self.formats).precision - 1, 1)

    def chunk_for(self, length: int) -> int | None:
        """Return the chunk length for a dot product.

        Raises:
            MacgenError: its length is refused.
        """
        if self.chunk == "auto":
            length = check_integer("n", length, 1, MAX_LENGTH)
            return min(closed_form(self.rounding.kind).choose_chunk(length), MAX_CHUNK)
        return self.chunk


@dataclass(frozen=True, kw_only=True)
class Sum:
    """A dot product to plan for.

    Parameters:
        length: products, 1 to 2**40.
        nzr: share of products that are not zero, above 0 and at most 1.
        rms: of the products, zeros included; None: `exponent.default_rms` of both operands times sqrt(nzr).
        weight_l1: largest sum of the magnitudes of one output's integer weights (b), if known; in units of b's last
            bit.
        weight_range: largest magnitude of the sum of one output's negative integer weights and largest sum of its
            positive ones, if known and in the same units; not without weight_l1.
        reach: lowest and highest of the operands a and b as their formats are to carry them, if known.

    Raises:
        MacgenError: a field is refused.
    """

    length: int
    nzr: float = 1.0
    rms: float | None = None
    weight_l1: int | None = None
    weight_range: tuple[int, int] | None = None
    reach: tuple[ranges.Range | None, ranges.Range | None] = (None, None)

    def __post_init__(self) -> None:
        self.__dict__.update(  # the instance is frozen
            length=check_integer("length", self.length, 1, MAX_LENGTH),
            nzr=check_real("nzr", self.nzr, 0, 1),
            rms=None if self.rms is None else check_real("rms", self.rms, 0, sys.float_info.max),
            weight_l1=None if self.weight_l1 is None else check_integer("weight_l1", self.weight_l1, 0),
            weight_range=None if self.weight_range is None else _norms(self.weight_range),
            reach=_reach(self.reach),
        )

    def weights_fit(self, b: FixedFormat) -> bool:
        """Return whether known weights are within their format: of others it is not known what the array is given.

        Raises:
            MacgenError: the format is no fixed-point one.
        """
        check_type("b", b, FixedFormat, "a FixedFormat")
        negative = self.weight_range is not None and self.weight_range[0] > 0
        reach = self.reach[1]
        return (reach is None or ranges.carries(b, reach)) and (b.signed or not negative)

    def range_by_weights(self, a: Format, b: Format) -> ranges.Range | None:
        """Return between what the sums of any of its products lie by its weights, whatever the other operands.

        Returns:
            The range in units of the last bit of exact products; None where no weights are known or `b` does not hold
            them.
        """
        l1 = self.weight_l1
        if l1 is None or not isinstance(a, FixedFormat) or not isinstance(b, FixedFormat) or not self.weights_fit(b):
            return None
        negative, positive = (self.weight_range or (l1, l1)) if b.signed else (0, l1)
        x = ranges.operand_range(a)
        low, high = positive * min(x[0], 0) - negative * x[1], positive * x[1] - negative * min(x[0], 0)
        reach = l1 * max(map(abs, x))
        return max(low, -reach), min(high, reach)


def _norms(pair: object) -> tuple[int, int]:
    if not isinstance(pair, tuple) or len(pair) != 2:
        raise MacgenError(f"weight_range {shown(pair)} is no pair; accepted are two integers from 0")
    return check_integer("weight_range", pair[0], 0), check_integer("weight_range", pair[1], 0)


def _reach(pair: object) -> tuple[ranges.Range | None, ranges.Range | None]:
    if not isinstance(pair, tuple) or len(pair) != 2:
        raise MacgenError(f"reach {shown(pair)} is no pair; accepted are two ranges, or None")
    a, b = (None if limits is None else bounds.checked_range("reach", limits) for limits in pair)
    return a, b


def why_chunk(chunk: int, length: int, rounding: str) -> str:
    """Return, as a clause, why an automatic chunk length is what it is."""
    if rounding == "floor":
        return f"of all powers of two, {chunk} makes the drift of {length} products by floor least; chunks drift alike"
    grows = "truncation's noise grows with nearly its square" if rounding == "rtz" else "the noise grows with it"
    least = chunk + -(-length // chunk)
    return f"of all powers of two, {chunk} makes chunk + ceil({length} / chunk) = {least} least; {grows}"
