"""Which computation in float32 or float64 vectors is exact for a spec and its data: a plan for each place."""

import math
from dataclasses import dataclass, replace
from typing import Any

from macgen.emulate.alignment import Alignment, Cut, alignment
from macgen.emulate.carrier import CARRIERS, FLOAT32, Carrier
from macgen.emulate.value_range import OVERFLOW_SPECIAL, OperandFacts, ValueRange, grown_bound
from macgen.emulate.vector_rounding import RoundingPlan, Terms, fixed_rounding, float_rounding
from macgen.numerics import FloatFormat, Format, LaneSumKind, Rounding
from macgen.spec import MacSpec

MOST_MIN_EXPONENT = FLOAT32.max_exponent - FLOAT32.precision
"""Exponent of the smallest normal number of formats that plans are made for; no format of use has more."""


PLANNED = (LaneSumKind.FUSED, LaneSumKind.TREE, LaneSumKind.ALIGNED, LaneSumKind.EXPONENTS)
"""Sums of lanes that there are plans for; others take the exact kernel."""


@dataclass(frozen=True)
class VectorPlan:
    """How a spec's matrix products are computed for some data.

    Attributes:
        carrier: the type of operands, products and inner accumulators.
        product: how products are rounded; None: they are exact.
        inner: how steps, nodes and folds of the accumulator's own adder are rounded.
        outer: how chunk sums are added by another adder; None: the inner one folds.
        copies: whether the first chunk's sum is copied to the outer accumulator.
        lsb_exponent: every term of a step is a multiple of 2 to this power.
        alignment: the numbers with which steps are aligned, if they are.
    """

    carrier: Carrier
    product: RoundingPlan | None
    inner: RoundingPlan
    outer: RoundingPlan | None
    copies: bool
    lsb_exponent: int
    alignment: Alignment | None = None

    scales = (1.0, 1.0)  # of operands, when they are packed

    @property
    def dtype(self) -> Any:
        """Type of packed operands."""
        return self.carrier.dtype


def choose_vectors(
    spec: MacSpec, length: int, a: OperandFacts, b: OperandFacts, bound: float, scales: tuple[OperandFacts, ...] = ()
) -> VectorPlan | None:
    """Return the fastest proved plan, or None where none is.

    Parameters:
        spec: the array.
        length: products in one result.
        a, b: what is known of the operands.
        bound: a bound of the sum of their products' magnitudes.
        scales: what is known of both operands' scales.
    """
    formats = [fmt for fmt in (spec.product, spec.acc, spec.outer_format) if isinstance(fmt, FloatFormat)]
    if any(fmt.min_exponent > MOST_MIN_EXPONENT for fmt in formats):
        return None  # what rounds sums on the subnormal grid would be beyond the carrier
    of_lanes, of_chunks = (scales, ()) if spec.scales_lanes else ((), scales)
    for scale in of_lanes:
        bound *= math.ldexp(1.0, math.frexp(scale.largest)[1])
    plans = [_within(carrier, spec, length, a, b, bound, of_lanes) for carrier in CARRIERS]
    found = [plan for plan in plans if plan is not None]
    if not found:
        return None
    plan = min(found, key=lambda plan: plan.inner.odd and not spec.aligns)  # of equals the first
    if not (spec.has_outer_adder or (spec.aligns and spec.chunk is not None)):
        return plan
    if not isinstance(spec.acc, FloatFormat):
        sums = ValueRange.of_format(spec.acc)
    else:
        known = max(spec.acc.lsb_exponent, min(plan.lsb_exponent, spec.acc.max_exponent - spec.acc.man_bits))
        sums = ValueRange(spec.acc.precision, known, spec.acc.max_exponent + 1)
    held = [sums]
    for scale in of_chunks:
        assert spec.scale is not None
        held.append(held[-1].times(ValueRange.of_values(spec.scale, scale)))
    specials = not all(facts.finite for facts in (a, b, *of_chunks)) or spec.overflow in OVERFLOW_SPECIAL
    for carrier in CARRIERS:
        if all(carrier.represents(some) for some in held):
            terms = Terms(held[-1], specials=specials)
            outer = _rounding(carrier, spec, spec.outer_format, spec.fold_rounding, terms)
            if outer is not None:
                return replace(plan, outer=outer, copies=not spec.has_outer_adder)
    return None


def _within(
    carrier: Carrier,
    spec: MacSpec,
    length: int,
    a: OperandFacts,
    b: OperandFacts,
    bound: float,
    scales: tuple[OperandFacts, ...],
) -> VectorPlan | None:
    """Return the plan of products and steps in a carrier; scales of lanes are multiplied with operands beforehand."""
    operands = ValueRange.of_values(spec.a, a), ValueRange.of_values(spec.b, b)
    addends = operands[0].times(operands[1]).summed(spec.lane_sum.group)
    held = [*operands, addends]
    factors = tuple(ValueRange.of_values(spec.scale, scale) for scale in scales if spec.scale is not None)
    if factors:
        held += [values.times(factor) for values, factor in zip(operands, factors, strict=True)]
        addends = addends.times(factors[0]).times(factors[1])
        held.append(addends)
    if not all(carrier.represents(values) for values in held):
        return None
    finite = all(facts.finite for facts in (a, b, *scales))
    product = None
    if spec.product is not None:
        terms = Terms(addends, alone=True, specials=not finite)
        product = _rounding(carrier, spec, spec.product, spec.rounding.of_numbers, terms)
        if product is None:
            return None
        addends = ValueRange.of_format(spec.product)
    tree = spec.lane_sum.kind is LaneSumKind.TREE and spec.lanes > 1
    cut = Cut.of(spec)
    if cut is not None and not finite:
        return None
    if cut is not None and product is not None and product.ends in ("not_a_number", "infinite", "infinite_down"):
        return None  # products that are too large become what has no binade to be aligned with
    if cut is None and not tree:
        addends = addends.summed(spec.lanes)
        if not carrier.represents(addends):
            return None
    grown = grown_bound(bound, length, spec) if finite else math.inf
    specials = not finite or spec.overflow in OVERFLOW_SPECIAL
    terms = Terms(addends, bound=grown, specials=specials, cut=cut)
    inner = _rounding(carrier, spec, spec.acc, spec.rounding, terms)
    if inner is None:
        return None
    if product is not None and {product.mode, inner.mode} == {"nearest", "down"}:
        return None
    if product is not None and product.mode == "down" and inner.mode is None:
        return None  # x - x would be -0, and the rule `none` leaves that alone
    plan = VectorPlan(carrier, product, inner, None, True, addends.lsb_exponent)
    if cut is None:
        return plan
    aligned = alignment(carrier, spec, cut, plan.lsb_exponent, operands, factors)
    return None if aligned is None else replace(plan, alignment=aligned)


def _rounding(carrier: Carrier, spec: MacSpec, fmt: Format, rounding: Rounding, terms: Terms) -> RoundingPlan | None:
    overflow = None if terms.bound < math.inf else str(spec.overflow_into(fmt))
    if isinstance(fmt, FloatFormat):
        return float_rounding(carrier, fmt, rounding, overflow, terms)
    return fixed_rounding(carrier, fmt, rounding, overflow, terms)
