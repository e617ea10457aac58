"""Which proved kernels there are to compute a spec's results on arrays: a plan for each place that rounds."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from macgen.emulate.carrier import CARRIERS, FLOAT64, Carrier
from macgen.emulate.fixed_adder import FixedAdder, FixedPlan, FixedValueAdder, FixedValuePlan
from macgen.emulate.float_adder import FloatAdder, FloatPlan
from macgen.emulate.value_range import OVERFLOW_SPECIAL, ValueRange
from macgen.numerics import FloatFormat, Format, LaneSumKind, Rounding
from macgen.spec import MacSpec


class Adder(Protocol):
    """What adds arrays in place; see FloatAdder."""

    dtype: Any

    def step(self, acc: NDArray[Any], addend: NDArray[Any], random: NDArray[Any] | None = None) -> None:
        """Replace `acc` by R(acc + addend)."""

    def fold(self, outer: NDArray[Any], inner: NDArray[Any], random: NDArray[Any] | None = None) -> None:
        """Replace `outer` by R(outer + inner)."""

    def values(self, acc: NDArray[Any]) -> NDArray[np.float64]:
        """Return accumulators as values."""
        ...


class Rounder(Protocol):
    """What rounds arrays of exact values in place; see FloatAdder."""

    dtype: Any

    def round(self, x: NDArray[Any], random: NDArray[Any] | None = None) -> None:
        """Replace `x` by R(x)."""


Shape = tuple[int, int]
Operands = Callable[[NDArray[np.float64], NDArray[np.float64]], tuple[NDArray[Any], NDArray[Any]]]


@dataclass(frozen=True)
class KernelChoice:
    """The proved kernels that form the sums of a spec's inner and outer accumulators.

    Attributes:
        inner: makes the adder of products for arrays of a shape.
        operands: brings operands into its type.
        product: makes what rounds products, in the same type; None: they are exact.
        outer: makes the adder of chunk sums; None: the inner one's `fold`.
        split: whether that is a FloatAdder that takes chunk sums times scales as `long_products` does.
    """

    inner: Callable[[Shape], Adder]
    operands: Operands
    product: Callable[[Shape], Rounder] | None = None
    outer: Callable[[Shape], Adder] | None = None
    split: bool = False


def choose(spec: MacSpec, length: int, bound: float, *, finite_scales: bool) -> KernelChoice | None:
    """Return the fastest proved kernels, or None where none is.

    Parameters:
        spec: the array.
        length: products in one result.
        bound: a bound of the sum of their magnitudes, infinite if some operand may be infinite or NaN.
        finite_scales: whether no scale is infinite or NaN.
    """
    if spec.exponent_bits is not None or spec.bulk_bits is not None:
        return None
    plain = spec.product is None and spec.lanes == 1 and spec.aligned_bits is None
    inner = (_plain(spec, length, bound) if plain else None) or _general(spec, math.isfinite(bound))
    if inner is None or not (spec.has_outer_adder or (spec.aligned_bits is not None and spec.chunk is not None)):
        return inner
    chunk_sums = ValueRange.of_format(spec.acc)
    held = [chunk_sums]
    if spec.scale is not None:
        held += [chunk_sums.scaled(spec.scale), chunk_sums.scaled(spec.scale).scaled(spec.scale)]
    specials = not (math.isfinite(bound) and finite_scales) or spec.overflow in OVERFLOW_SPECIAL
    outer = _adder(spec, spec.outer_format, held, spec.fold_rounding, specials=specials)
    if outer is not None:
        return KernelChoice(inner.inner, inner.operands, inner.product, outer)
    split = _split_adder(spec, held, specials=specials)
    return None if split is None else KernelChoice(inner.inner, inner.operands, inner.product, split, split=True)


def choose_out(spec: MacSpec) -> Callable[[Shape], FloatAdder | FixedValueAdder] | None:
    """Return what makes the rounder of results to `out`, or None where none is proved right."""
    rounding = spec.fold_rounding.of_numbers
    return _adder(spec, spec.out_format, [ValueRange.of_format(spec.outer_format)], rounding, specials=True)


def _plain(spec: MacSpec, length: int, bound: float) -> KernelChoice | None:
    """Return the kernels of exact products that are added one at a time."""
    if isinstance(spec.acc, FloatFormat):
        float_plan = FloatPlan.choose(spec, length, bound)
        return None if float_plan is None else KernelChoice(partial(FloatAdder, float_plan), float_plan.operands)
    fixed_plan = FixedPlan.choose(spec) if math.isfinite(bound) else None
    return None if fixed_plan is None else KernelChoice(lambda _: FixedAdder(fixed_plan), fixed_plan.operands)


def _general(spec: MacSpec, finite: bool) -> KernelChoice | None:
    """Return the kernels of products that are rounded, of lanes, or of infinities into fixed point."""
    for carrier in CARRIERS:
        if (kernels := _within(carrier, spec, finite)) is not None:
            return kernels
    return None


def _within(carrier: Carrier, spec: MacSpec, finite: bool) -> KernelChoice | None:
    addend = ValueRange.of_products(spec.a, spec.b)
    if not all(carrier.holds(values) for values in (addend, *map(ValueRange.of_format, (spec.a, spec.b)))):
        return None
    specials = not finite or spec.overflow in OVERFLOW_SPECIAL
    product = None
    if spec.product is not None:
        product = _adder_within(carrier, spec, spec.product, addend, spec.rounding.of_numbers, specials=specials)
        if product is None:
            return None
        addend = ValueRange.of_format(spec.product)
    aligned = None if spec.aligned_bits is None else (spec.aligned_bits, spec.lanes)
    if aligned is None and spec.lane_sum.kind is not LaneSumKind.TREE:
        addend = addend.summed(spec.lanes)
    inner = _adder_within(carrier, spec, spec.acc, addend, spec.rounding, specials=specials, aligned=aligned)
    if inner is None:
        return None
    return KernelChoice(inner, lambda a, b: (a.astype(carrier.dtype), b.astype(carrier.dtype)), product)


def _adder(
    spec: MacSpec, fmt: Format, held: list[ValueRange], rounding: Rounding, *, specials: bool
) -> Callable[[Shape], FloatAdder | FixedValueAdder] | None:
    """Return what makes the adder of the last of some numbers into a format; its type holds all of them."""
    for carrier in CARRIERS:
        if all(carrier.holds(values) for values in held):
            make = _adder_within(carrier, spec, fmt, held[-1], rounding, specials=specials)
            if make is not None:
                return make
    return None


def _split_adder(spec: MacSpec, held: list[ValueRange], *, specials: bool) -> Callable[[Shape], FloatAdder] | None:
    """Return what makes the adder of chunk sums whose product with two float scales one float64 does not hold, but that
    with the first scale it does."""
    fmt, rounding = spec.outer_format, spec.fold_rounding
    if not isinstance(fmt, FloatFormat) or not isinstance(spec.scale, FloatFormat) or rounding == "drop":
        return None
    if not all(map(FLOAT64.holds, held[:-1])):
        return None
    overflow = spec.overflow_into(fmt)
    plan = FloatPlan.within(FLOAT64, fmt, held[-1], rounding, overflow, specials=specials, split=True)
    return None if plan is None else partial(FloatAdder, plan)


def _adder_within(
    carrier: Carrier,
    spec: MacSpec,
    fmt: Format,
    addends: ValueRange,
    rounding: Rounding,
    *,
    specials: bool,
    aligned: tuple[int, int] | None = None,
) -> Callable[[Shape], FloatAdder | FixedValueAdder] | None:
    overflow = spec.overflow_into(fmt)
    if isinstance(fmt, FloatFormat):
        plan = FloatPlan.within(carrier, fmt, addends, rounding, overflow, specials=specials, aligned=aligned)
        return None if plan is None else partial(FloatAdder, plan)
    fixed_plan = FixedValuePlan.choose(fmt, addends, rounding, overflow) if carrier is FLOAT64 else None
    return None if fixed_plan is None else lambda _: FixedValueAdder(fixed_plan)
