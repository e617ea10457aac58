"""Scales that bring a layer's operands onto their formats' grids, and what they are chosen from."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from macgen.errors import MacgenError, shown
from macgen.numerics import FixedFormat, FloatFormat, Format, ScaleFormat
from macgen.spec import MacSpec

Array = NDArray[Any]

ScaleKind = Literal["pow2", "amax"]
"""`pow2`: the power of two with which the largest operand just fits its format; `amax`: the number with which it is
the format's largest."""

Per = Literal["tensor", "channel"]
"""`tensor`: one scale for each operand; `channel`: of weights, one for each output channel."""

HEADROOM = 2.0
"""How many times as large as the largest result a layer's accumulator is to hold: sums on the way are larger."""


@dataclass(frozen=True)
class ScaleRule:
    """How scales are chosen.

    Parameters:
        kind: powers of two or any number.
        per: for a whole tensor or for each output channel of weights.

    Raises:
        MacgenError: one is not of these.
    """

    kind: ScaleKind = "pow2"
    per: Per = "tensor"

    def __post_init__(self) -> None:
        for name, value, choices in (("scales", self.kind, get_args(ScaleKind)), ("per", self.per, get_args(Per))):
            if value not in choices:
                raise MacgenError(f"{name} {shown(value)} is not one of {', '.join(choices)}")

    def __str__(self) -> str:
        kind = "powers of two" if self.kind == "pow2" else "largest value to largest value"
        per = "one for each tensor" if self.per == "tensor" else "one for each activation and output channel of weights"
        return f"{kind}, {per}"


@dataclass
class Seen:
    """The ends of what a layer computed in the float32 run; arrays are (..., 1, N), one for each output channel.

    Attributes:
        a_least: the lowest operand a, or 0.
        a_most: the largest one, or 0.
        b_least: the lowest operands b, or 0, by channel.
        b_most: the largest ones, or 0, by channel.
        product: an upper bound of the products' magnitudes, by channel.
        result: the largest magnitudes of results, by channel.
        integers: whether both operands are integers by their type.
    """

    a_least: float = 0.0
    a_most: float = 0.0
    b_least: Array | None = None
    b_most: Array | None = None
    product: Array | None = None
    result: Array | None = None
    integers: bool = False


@dataclass(frozen=True)
class Scales:
    """What the operands of a layer are multiplied by.

    Attributes:
        a: the operands a.
        b: the operands b, by channel: (..., 1, N).
    """

    a: float
    b: Array

    @property
    def both(self) -> Array:
        """What the results are to be divided by, (..., 1, N)."""
        return self.a * self.b


def choose_scales(spec: MacSpec, seen: Seen, rule: ScaleRule, weights: bool) -> Scales:
    """Return the scales of a layer.

    The largest and the lowest operand seen just fit their format. Where products then reach beyond `product`, or
    `HEADROOM` times the largest result beyond a float accumulator, operands in float formats get smaller by a power of
    two, both alike.
    Integers that a fixed-point format holds are taken as they are. Where the spec has scales of its own for each
    chunk or block, operands come to about 1 and those scales do the rest.

    Parameters:
        spec: the arithmetic.
        seen: what the float32 run has shown.
        rule: powers of two or not, for tensors or channels.
        weights: whether b holds weights, which alone can have a scale for each channel.
    """
    assert seen.b_least is not None
    assert seen.b_most is not None
    least, most = seen.b_least, seen.b_most
    if not (weights and rule.per == "channel"):
        least, most = np.full_like(least, least.min(initial=0.0)), np.full_like(most, most.max(initial=0.0))
    if spec.scale is not None:
        sizes = np.asarray(max(-seen.a_least, seen.a_most)), np.maximum(-least, most)
        for_a, for_b = (_power(1 / np.where(size > 0, size, 1.0)) for size in sizes)
        return Scales(float(for_a), for_b)
    a = float(_scale(np.asarray(seen.a_least), np.asarray(seen.a_most), spec.a, rule, seen.integers))
    b = _scale(least, most, spec.b, rule, seen.integers)
    excess = float(np.max(_excess(spec, seen, a * b), initial=1.0))
    shift = math.ceil(math.log2(excess)) if excess > 1 else 0
    movable = [isinstance(fmt, FloatFormat) for fmt in (spec.a, spec.b)]
    if all(movable):
        a, b = a / 2.0 ** -(-shift // 2), b / 2.0 ** (shift // 2)
    elif any(movable):
        a, b = (a / 2.0**shift, b) if movable[0] else (a, b / 2.0**shift)
    return Scales(a, b)


def check_signs(layer: str, spec: MacSpec, seen: Seen) -> None:
    """Refuse negative operands in a format that has no negative numbers: no scale helps them.

    Raises:
        MacgenError: the sentence names the layer.
    """
    assert seen.b_least is not None
    for which, fmt, least in (("a", spec.a, seen.a_least), ("b", spec.b, float(seen.b_least.min(initial=0.0)))):
        if least < 0 and ends(fmt)[0] == 0:
            raise MacgenError(
                f"layer {shown(layer)} has operands {which} down to {least:.6g}, where format {fmt} has no negative "
                f"numbers; accepted are formats that have"
            )


def _scale(least: Array, most: Array, fmt: Format, rule: ScaleRule, integers: bool) -> Array:
    low, high = ends(fmt)
    with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
        by_most = np.where(most > 0, high / most, np.inf)
        # An unsigned format has nothing for negative operands, whatever their scale.
        by_least = np.where((least < 0) & (low < 0), low / least, np.inf)
    largest = np.minimum(by_most, by_least)
    scale = np.where(np.isfinite(largest), _power(largest) if rule.kind == "pow2" else largest, 1.0)
    if integers and isinstance(fmt, FixedFormat):
        held = (least >= fmt.min_integer) & (most <= fmt.max_integer)
        scale = np.where(held, 2.0**-fmt.frac_bits, scale)
    return scale


@lru_cache(64)
def ends(fmt: Format) -> tuple[float, float]:
    """Return a format's lowest and largest finite value."""
    return (fmt.min if isinstance(fmt, FixedFormat) else -fmt.max), fmt.max


def _power(values: Array) -> Array:
    """Return the largest powers of two that are no larger."""
    return np.asarray(np.ldexp(1.0, np.frexp(values)[1] - 1))


def _excess(spec: MacSpec, seen: Seen, both: Array) -> Array:
    """Return how many times as large as they may be products and results are, by channel."""
    assert seen.result is not None
    assert seen.product is not None
    found = np.zeros_like(both)
    if isinstance(spec.product, FloatFormat):
        found = np.maximum(found, seen.product * both / spec.product.max)
    for fmt in {spec.acc, spec.outer_format, spec.out_format}:
        if isinstance(fmt, FloatFormat):
            found = np.maximum(found, HEADROOM * seen.result * both / fmt.max)
    if isinstance(spec.acc, FloatFormat):  # a single product may be larger than the sum
        found = np.maximum(found, seen.product * both / spec.acc.max)
    return found


def block_scales(x: Array, fmt: Format, scale: ScaleFormat | FloatFormat, chunk: int | None) -> tuple[Array, Array]:
    """Return rows as a spec with scales takes them: one scale for each chunk of a row, or block.

    Parameters:
        x: (rows, K) values.
        fmt: of the operands.
        scale: of the scales.
        chunk: products a chunk or block; None: all are one.

    Returns:
        (rows, K) values to be rounded to `fmt`, and (rows, chunks) scales: of those that the scales' format has, the
        smallest with which the largest value of the chunk fits; the largest of all where none is large enough.
    """
    rows, length = x.shape
    size = length if chunk is None else chunk
    chunks = -(-length // size)
    least, most = ends(fmt)
    wanted = np.zeros((rows, chunks * size))
    wanted[:, :length] = np.where(x < 0, x / least if least else 0.0, x / most)
    wanted = wanted.reshape(rows, chunks, size).max(axis=2)
    scales = _smallest_from(scale, wanted)
    return x / np.repeat(scales, size, axis=1)[:, :length], scales


def _smallest_from(scale: ScaleFormat | FloatFormat, wanted: Array) -> Array:
    """Return the smallest positive values of a format that are no smaller; its largest of infinite ones and NaN."""
    # Scales beyond would take operands out of binary64.
    wanted = np.maximum(np.fmin(wanted, 2.0**500), 2.0**-500)
    if isinstance(scale, ScaleFormat):
        fraction, exponent = np.frexp(wanted)
        exponent = exponent - (fraction == 0.5)
        return np.asarray(np.ldexp(1.0, np.clip(exponent, -scale.bias, scale.nan_code - 1 - scale.bias)))
    return np.maximum(-scale.quantize(-wanted, "floor"), scale.min_subnormal)
