"""Scales that bring a layer's operands onto their formats' grids, and what they are chosen from."""

from __future__ import annotations

import math
from dataclasses import dataclass
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
    """The largest magnitudes of a layer in the float32 run; arrays are (..., 1, N), one for each output channel.

    Attributes:
        a: of the operands a.
        b: of the operands b, by channel.
        product: an upper bound of the products, by channel.
        result: of the results, by channel.
        integers: whether both operands are integers by their type.
    """

    a: float = 0.0
    b: Array | None = None
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

    The largest operand seen just fits its format. Where products then reach beyond `product`, or `HEADROOM` times the
    largest result beyond a float accumulator, operands in float formats get smaller by a power of two, both alike.
    Integers that a fixed-point format holds are taken as they are. Where the spec has scales of its own for each
    chunk, operands come to about 1 and the chunks' scales do the rest.

    Parameters:
        spec: the arithmetic.
        seen: what the float32 run has shown.
        rule: powers of two or not, for tensors or channels.
        weights: whether b holds weights, which alone can have a scale for each channel.
    """
    assert seen.b is not None
    assert seen.result is not None
    assert seen.product is not None
    by_channel = seen.b if weights and rule.per == "channel" else np.full_like(seen.b, seen.b.max(initial=0.0))
    if spec.scale is not None:
        return Scales(
            _power(1 / seen.a if seen.a > 0 else 1.0),
            np.vectorize(_power)(1 / np.where(by_channel > 0, by_channel, 1.0)),
        )
    a = _scale(seen.a, spec.a, rule, seen.integers)
    b = np.vectorize(lambda most: _scale(most, spec.b, rule, seen.integers), otypes=[float])(by_channel)
    excess = float(np.max(_excess(spec, seen, a * b), initial=1.0))
    shift = math.ceil(math.log2(excess)) if excess > 1 else 0
    movable = [isinstance(fmt, FloatFormat) for fmt in (spec.a, spec.b)]
    if all(movable):
        a, b = a / 2.0 ** -(-shift // 2), b / 2.0 ** (shift // 2)
    elif any(movable):
        a, b = (a / 2.0**shift, b) if movable[0] else (a, b / 2.0**shift)
    return Scales(a, b)


def _scale(most: float, fmt: Format, rule: ScaleRule, integers: bool) -> float:
    if integers and isinstance(fmt, FixedFormat) and most <= fmt.max_integer:
        return 2.0**-fmt.frac_bits
    if most <= 0:
        return 1.0
    return _power(fmt.max / most) if rule.kind == "pow2" else fmt.max / most


def _power(value: float) -> float:
    """Return the largest power of two that is no larger."""
    return math.ldexp(1.0, math.frexp(value)[1] - 1)


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
    """Return rows as a spec with scales takes them: one scale for each chunk of a row.

    Parameters:
        x: (rows, K) values.
        fmt: of the operands.
        scale: of the scales.
        chunk: products a chunk; None: all are one.

    Returns:
        (rows, K) values to be rounded to `fmt`, and (rows, chunks) scales: of those that the scales' format has, the
        smallest with which the largest value of the chunk fits; the largest of all where none is large enough.
    """
    rows, length = x.shape
    size = length if chunk is None else chunk
    chunks = -(-length // size)
    padded = np.zeros((rows, chunks * size))
    padded[:, :length] = np.abs(x)
    wanted = padded.reshape(rows, chunks, size).max(axis=2) / fmt.max
    grid = _positive_values(scale)
    scales = grid[np.minimum(np.searchsorted(grid, wanted), len(grid) - 1)]
    return x / np.repeat(scales, size, axis=1)[:, :length], scales


def _positive_values(scale: ScaleFormat | FloatFormat) -> Array:
    values = np.asarray(scale.decode(np.arange(1 << scale.width)), dtype=np.float64)
    values = values[np.isfinite(values) & (values > 0)]
    return np.unique(values[(values > 2.0**-500) & (values < 2.0**500)])
