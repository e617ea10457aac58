"""Matrix products one element at a time in exact fractions: slow, for every spec and operand."""

import math
from collections.abc import Iterator, Sequence
from fractions import Fraction
from itertools import repeat
from typing import Any

import numpy as np
from numpy.typing import NDArray

from macgen.emulate.random_numbers import States, shifts_to_next
from macgen.numerics import FloatFormat, Format, LaneSumKind, Lfsr, Rounding, RoundingKind
from macgen.spec import MacSpec
from macgen.spec_fields import RandomPlace

Value = Fraction | float
"""An exact finite value, or an infinity or NaN."""

Values = NDArray[np.float64]


def matmul(
    spec: MacSpec,
    A: Values,
    B: Values,
    states: States | None = None,
    scales: tuple[Values, Values] | None = None,
) -> Values:
    """Return the product of A (M, K) and B (K, N) as values (M, N).

    Parameters:
        spec: the array.
        A, B: values on their grids.
        states: (M, N) of random numbers, where the spec has any.
        scales: (M, chunks) of A and (chunks, N) of B, where the spec has any.
    """
    rows = [[_exact(x) for x in row] for row in A.tolist()]
    columns = [[_exact(x) for x in column] for column in B.T.tolist()]
    row_scales: list[list[Value]] = [[]] * len(rows)
    column_scales: list[list[Value]] = [[]] * len(columns)
    if scales is not None:
        row_scales = [[_exact(x) for x in row] for row in scales[0].tolist()]
        column_scales = [[_exact(x) for x in column] for column in scales[1].T.tolist()]
    codes: NDArray[Any] = np.empty((len(rows), len(columns)), dtype=object)
    for m, row in enumerate(rows):
        for n, column in enumerate(columns):
            numbers = repeat(0) if states is None else _random_numbers(spec, int(states[m, n]))
            chunk_scales = list(zip(row_scales[m], column_scales[n], strict=True))
            codes[m, n] = _dot(spec, row, column, chunk_scales, numbers)
    return spec.out_format.decode(codes)


def _exact(x: float) -> Value:
    return Fraction(x) if math.isfinite(x) else x


def _random_numbers(spec: MacSpec, state: int) -> Iterator[int]:
    lfsr, shifts = Lfsr.of(spec.random_bits), shifts_to_next(spec)
    while True:
        yield state % (1 << spec.random_bits)
        state = lfsr.advance(state, shifts)


def _dot(
    spec: MacSpec,
    row: Sequence[Value],
    column: Sequence[Value],
    scales: Sequence[tuple[Value, Value]],
    random: Iterator[int],
) -> int:
    """Return the code of one dot product."""

    def number(place: RandomPlace) -> int:
        return next(random) if spec.random_place == place else 0

    def into(fmt: Format, rounding: Rounding, addends: Sequence[Value], place: RandomPlace) -> int:
        return _rounded_sum(spec, fmt, rounding, addends, number(place))

    chunk = spec.chunk or len(row)
    outer = spec.outer_format.zero_code()
    for index, start in enumerate(range(0, len(row), chunk)):
        inner = spec.acc.zero_code()
        for first in range(start, min(start + chunk, len(row)), spec.lanes):
            lanes = slice(first, min(first + spec.lanes, start + chunk))
            products = [_product(spec, a, b) for a, b in zip(row[lanes], column[lanes], strict=True)]
            inner = _step(spec, inner, products, number("steps"))
        if spec.has_outer_adder:
            addend = _value(spec.acc, inner)
            for scale in scales[index] if scales else ():
                addend = _times(addend, scale)
            addends = [_value(spec.outer_format, outer), addend]
            outer = into(spec.outer_format, spec.fold_rounding, addends, "chunks")
        elif index == 0:
            outer = inner
        else:
            outer = into(spec.acc, spec.rounding, [_value(spec.acc, code) for code in (outer, inner)], "steps")
    if spec.out_format == spec.outer_format:
        return outer
    return into(spec.out_format, spec.fold_rounding, [_value(spec.outer_format, outer)], "out")


def _product(spec: MacSpec, a: Value, b: Value) -> Value:
    exact = _times(a, b)
    if spec.product is None:
        return exact
    return _value(spec.product, _rounded_sum(spec, spec.product, spec.rounding, [exact], 0))


def _step(spec: MacSpec, inner: int, products: list[Value], random: int) -> int:
    """Return the accumulator's code after a step."""
    acc = _value(spec.acc, inner)
    if spec.lane_sum.kind is LaneSumKind.TREE and spec.lanes > 1:
        nodes = products + [Fraction(0)] * (spec.lanes - len(products))
        while len(nodes) > 1:
            pairs = zip(nodes[::2], nodes[1::2], strict=True)
            nodes = [_value(spec.acc, _rounded_sum(spec, spec.acc, spec.rounding, pair, 0)) for pair in pairs]
        return _rounded_sum(spec, spec.acc, spec.rounding, [acc, *nodes], random)
    addends = [acc, *products]
    if spec.aligned_bits is not None and all(isinstance(x, Fraction) for x in addends):
        place = Fraction(2) ** (max((_binade(x) for x in addends if x), default=0) - spec.aligned_bits)
        addends = [math.trunc(x / place) * place for x in addends]
    elif spec.rounding.kind is RoundingKind.DROP:
        addends = [acc, _total(products)]
    return _rounded_sum(spec, spec.acc, spec.rounding, addends, random)


def _times(a: Value, b: Value) -> Value:
    if isinstance(a, Fraction) and isinstance(b, Fraction):
        return a * b
    signs = ((x > 0) - (x < 0) if isinstance(x, Fraction) else x for x in (a, b))  # a fraction may exceed binary64
    return math.prod(map(float, signs))


def _total(addends: Sequence[Value]) -> Value:
    """Return an exact sum; where infinities or NaN are among the addends, what they make of it."""
    special = [x for x in addends if not isinstance(x, Fraction)]
    return sum(special) if special else sum((Fraction(x) for x in addends), Fraction(0))


def _value(fmt: Format, code: int) -> Value:
    number = fmt.number(code)
    if number.kind == "finite":
        return number.to_fraction()
    return math.nan if number.is_nan else -math.inf if number.sign else math.inf


def _rounded_sum(spec: MacSpec, fmt: Format, rounding: Rounding, addends: Sequence[Value], random: int) -> int:
    """Return the code of R(sum of the addends) in a format."""
    if rounding.kind is RoundingKind.DROP and len(addends) == 2 and all(isinstance(x, Fraction) for x in addends):
        place = _last_place(fmt, addends)
        addends = [math.trunc(x / place) * place for x in addends]
    total = _total(addends)
    if isinstance(total, Fraction):
        if total == 0:
            return fmt.zero_code()
        mode = rounding.with_random(random)
        exponent = 1 - total.denominator.bit_length()
        return fmt.round(int(total < 0), abs(total.numerator), exponent, mode, spec.overflow_into(fmt)).code
    if math.isnan(total):
        return fmt.nan_code if isinstance(fmt, FloatFormat) and fmt.has_nan else fmt.largest_code(0)
    sign = int(total < 0)
    if isinstance(fmt, FloatFormat) and fmt.has_infinity:
        return fmt.infinity_code(sign)
    if isinstance(fmt, FloatFormat) and spec.overflow_into(fmt) == "nan":
        return fmt.nan_code
    return fmt.largest_code(sign)


def _last_place(fmt: Format, addends: Sequence[Value]) -> Fraction:
    """Return the unit at which `drop` cuts finite addends."""
    if not isinstance(fmt, FloatFormat):
        return Fraction(2) ** fmt.lsb_exponent
    place = max((_binade(x) for x in addends if x), default=0) - fmt.man_bits
    return Fraction(2) ** (max(place, fmt.lsb_exponent) if fmt.subnormals == "gradual" else place)


def _binade(x: Value) -> int:
    """Return the exponent of a finite value that is not zero; its denominator is a power of two."""
    magnitude = abs(Fraction(x))
    return magnitude.numerator.bit_length() - magnitude.denominator.bit_length()
