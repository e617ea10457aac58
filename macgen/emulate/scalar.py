"""Dot products one at a time in exact fractions: for every spec, where no compiler makes the exact kernel."""

import math
from collections.abc import Iterator, Sequence
from fractions import Fraction
from itertools import repeat
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from macgen.emulate.counts import Counts, Events
from macgen.emulate.random_numbers import States, shifts_to_next
from macgen.numerics import Flags, FloatFormat, Format, LaneSumKind, Lfsr, Rounding, RoundingKind, ScaleFormat
from macgen.spec import MacSpec
from macgen.spec_fields import RandomPlace, Scale

Special = Literal["+inf", "-inf", "nan", "signalling"]
Value = Fraction | Special
"""An exact finite value; or an infinity, a quiet NaN, or what raises `invalid` as a signalling NaN does."""

Result = tuple[int, Flags]
"""A code and its flags."""

_NONE, _LOST = Flags(0), Flags.OVERFLOW | Flags.UNDERFLOW


class Scalar:
    """The dot products of one spec.

    Parameters:
        spec: the array.

    Attributes:
        counts: what happened in all of them so far.
    """

    def __init__(self, spec: MacSpec) -> None:
        self.counts = Counts()
        self._spec = spec

    def dot(
        self,
        row: NDArray[np.float64],
        column: NDArray[np.float64],
        scales: Sequence[NDArray[np.float64]] = (),
        state: int = 0,
        preload: float | None = None,
    ) -> Result:
        """Return the code and flags of a dot product of values, with one scale of each for each chunk.

        Parameters:
            row, column: values on their grids.
            scales: those of the row and of the column, where the spec has any.
            state: of the register of random numbers, where it has any.
            preload: the start value, where the spec has preloaded accumulators.
        """
        spec, flags = self._spec, _NONE
        numbers = _random_numbers(spec, state) if spec.random_bits else repeat(0)

        def number(place: RandomPlace) -> int:
            return next(numbers) if spec.random_place == place else 0

        a, b = (list(map(_exact, values.tolist())) for values in (row, column))
        exact_scales = [list(map(_exact, values.tolist())) for values in scales]
        chunk, of_blocks = spec.chunk or len(a), exact_scales if spec.scales_lanes else []
        outer, inner_start = spec.outer_format.zero_code(), spec.acc.zero_code()
        adds_first = spec.has_outer_adder
        if preload is not None:
            outer = int(spec.outer_format.encode(preload))
            adds_first = adds_first or spec.chunk is not None
            inner_start = inner_start if adds_first else outer
        for index, start in enumerate(range(0, len(a), chunk)):
            inner = inner_start
            for first in range(start, min(start + chunk, len(a)), spec.lanes):
                lanes = slice(first, min(first + spec.lanes, start + chunk))
                scales_of_step = [some[_blocks(spec, lanes)] for some in of_blocks]
                inner, raised = self._step(inner, a[lanes], b[lanes], number("steps"), scales_of_step)
                flags |= raised
            if not adds_first and index == 0:
                outer = inner
                continue
            addend = _value(spec.acc, inner)
            for of_operand in exact_scales if spec.scales_chunks else ():
                addend = _times(addend, of_operand[index])
            rounding = spec.fold_rounding if spec.has_outer_adder else spec.rounding
            random = number("chunks" if spec.has_outer_adder else "steps")
            before, terms = outer, [_value(spec.outer_format, outer), addend]
            outer, raised = _rounded_sum(spec, spec.outer_format, rounding, terms, random)
            self.counts += Counts(folds=_events(before == outer, terms[0], [addend], raised))
            flags |= raised
        if spec.out_format == spec.outer_format:
            return outer, flags
        out, raised = _rounded_sum(
            spec, spec.out_format, spec.fold_rounding, [_value(spec.outer_format, outer)], number("out")
        )
        return out, flags | raised

    def _step(
        self, inner: int, a: Sequence[Value], b: Sequence[Value], random: int, scales: Sequence[Sequence[Value]]
    ) -> Result:
        """Return the accumulator's code after a step, and the flags of all its roundings."""
        spec, acc, earlier = self._spec, _value(self._spec.acc, inner), _NONE
        products: list[Value] = [_times(x, y) for x, y in zip(a, b, strict=True)]
        if spec.product is not None:
            rounded = [_rounded_sum(spec, spec.product, spec.rounding, [product], 0) for product in products]
            products = [_value(spec.product, code) for code, _ in rounded]
            earlier = _joined(rounded)
        if spec.lane_sum.kind is LaneSumKind.TREE and spec.lanes > 1:
            products += [Fraction(0)] * (spec.lanes - len(products))
            while len(products) > 1:
                pairs = zip(products[::2], products[1::2], strict=True)
                nodes = [_rounded_sum(spec, spec.acc, spec.rounding, pair, 0) for pair in pairs]
                products = [_value(spec.acc, code) for code, _ in nodes]
                earlier |= _joined(nodes)
        if spec.bulk_bits is not None:
            node, earlier = _bulk_sum(spec, a, b)
            products = [_value(spec.acc, node)]
        if spec.exponent_bits is not None:
            products, references = _terms(spec, a, b, scales)
        terms = [acc, *products]
        if spec.exponent_bits is not None:
            if isinstance(acc, Fraction) and isinstance(_total(products), Fraction):
                largest = max(_reference(spec.acc, acc), *references)
                terms = _cut(terms, largest - spec.exponent_bits)
        elif spec.aligned_bits is not None:
            terms = _cut(terms, _largest_binade(terms) - spec.aligned_bits)
        elif spec.rounding.kind is RoundingKind.DROP and isinstance(total := _total(products), Fraction):
            terms = [acc, total]
        code, raised = _rounded_sum(spec, spec.acc, spec.rounding, terms, random)
        self.counts += Counts(steps=_events(code == inner, acc, products, raised))
        return code, earlier | raised


def dot_products(
    spec: MacSpec,
    a: NDArray[np.float64],
    b: NDArray[np.float64],
    scales: tuple[NDArray[np.float64], NDArray[np.float64]] | None,
    states: States | None,
    preload: NDArray[np.float64] | None = None,
    *,
    pairwise: bool,
) -> tuple[NDArray[np.float64], NDArray[np.uint8], Counts]:
    """Return results as values, with flags and counts.

    Parameters:
        spec: the array.
        a, b: (M, K) and (N, K) values on their grids.
        scales: (M, chunks) and (N, chunks) of them, where the spec has any.
        states: of registers, of the results' shape, where the spec has random numbers.
        preload: start values, of the results' shape, where the spec has preloaded accumulators.
        pairwise: whether result i is of row i of both, (M,); else results are (M, N).
    """
    of_spec = Scalar(spec)
    shape = (len(a),) if pairwise else (len(a), len(b))
    codes: NDArray[Any] = np.empty(shape, dtype=object)
    flags = np.empty(shape, np.uint8)
    for place in np.ndindex(*shape):
        i, j = place[0], place[-1]
        of_rows = () if scales is None else (scales[0][i], scales[1][j])
        state = 0 if states is None else int(states[place])
        start = None if preload is None else float(preload[place])
        codes[place], raised = of_spec.dot(a[i], b[j], of_rows, state, start)
        flags[place] = raised.value
    return spec.out_format.decode(codes), flags, of_spec.counts


# -- values --------------------------------------------------------------------------------------------------------


def _exact(x: float) -> Value:
    if math.isfinite(x):
        return Fraction(x)
    return "nan" if math.isnan(x) else _infinity(x < 0)


def _infinity(negative: bool) -> Special:
    return "-inf" if negative else "+inf"


def _value(fmt: Format | Scale, code: int) -> Value:
    number = fmt.number(code)
    if number.kind == "finite":
        return number.to_fraction()
    return "nan" if number.is_nan else _infinity(number.sign == 1)


def _times(a: Value, b: Value) -> Value:
    if isinstance(a, Fraction) and isinstance(b, Fraction):
        return a * b
    factors = {a, b}
    if "signalling" in factors or (0 in factors and factors & {"+inf", "-inf"}):
        return "signalling"
    if "nan" in factors:
        return "nan"
    return _infinity(_is_negative(a) != _is_negative(b))


def _is_negative(x: Value) -> bool:
    return x < 0 if isinstance(x, Fraction) else x == "-inf"


def _total(terms: Sequence[Value]) -> Value:
    """Return an exact sum; where infinities or NaN are among the terms, what they make of it."""
    specials = {x for x in terms if not isinstance(x, Fraction)}
    if "signalling" in specials:
        return "signalling"
    if "nan" in specials:
        return "nan"
    if len(specials) == 2:
        return "signalling"
    return specials.pop() if specials else sum((x for x in terms if isinstance(x, Fraction)), Fraction(0))


def _binade(x: Fraction) -> int:
    """Return the exponent of a value that is not zero; its denominator is a power of two."""
    return abs(x.numerator).bit_length() - x.denominator.bit_length()


def _largest_binade(terms: Sequence[Value]) -> int:
    return max((_binade(x) for x in terms if isinstance(x, Fraction) and x), default=0)


def _cut(terms: Sequence[Value], place: int) -> list[Value]:
    """Return terms without what lies below 2**place."""
    unit = Fraction(2) ** place
    return [math.trunc(x / unit) * unit if isinstance(x, Fraction) else x for x in terms]


# -- terms of `exponents:F` ------------------------------------------------------------------------------------------


def _blocks(spec: MacSpec, lanes: slice) -> slice:
    """Return which blocks the products of a step lie in."""
    block = spec.block or spec.lanes
    return slice(lanes.start // block, -(-lanes.stop // block))


def _reference(fmt: Format | Scale, x: Value) -> int:
    """Return the reference exponent of a value; of infinities and NaN none is asked for."""
    if not isinstance(x, Fraction):
        return 0
    if isinstance(fmt, ScaleFormat):
        return _binade(x)
    assert isinstance(fmt, FloatFormat)
    return max(_binade(x), fmt.min_exponent) if x else min(fmt.min_exponent, -126)


def _terms(
    spec: MacSpec, a: Sequence[Value], b: Sequence[Value], scales: Sequence[Sequence[Value]]
) -> tuple[list[Value], list[int]]:
    """Return the terms of a step and their reference exponents, with what missing lanes and blocks are."""
    group, zero = spec.lane_sum.group, Fraction(0)
    a, b = ([*of_lanes, *[zero] * (spec.lanes - len(of_lanes))] for of_lanes in (a, b))
    terms: list[Value] = []
    references: list[int] = []
    for first in range(0, spec.lanes, group):
        products = [_times(x, y) for x, y in zip(a[first : first + group], b[first : first + group], strict=True)]
        term = _total(products)
        reference = _reference(spec.a, a[first]) + _reference(spec.b, b[first]) if group == 1 else 0
        if spec.block is not None and spec.scale is not None:
            block = first // spec.block
            for of_operand in scales:
                scale = of_operand[block] if block < len(of_operand) else _value(spec.scale, 0)
                term = _times(term, scale)
                reference += _reference(spec.scale, scale)
        terms.append(term)
        references.append(reference)
    return terms, references


def _bulk_sum(spec: MacSpec, a: Sequence[Value], b: Sequence[Value]) -> Result:
    """Return the rounded sum of products that are cut to odd below the largest of their reference exponents."""
    products = [_times(x, y) for x, y in zip(a, b, strict=True)]
    if isinstance(_total(products), Fraction):
        counting = [pair for pair, product in zip(zip(a, b, strict=True), products, strict=True) if product]
        if counting:
            assert spec.bulk_bits is not None
            largest = max(_reference(spec.a, x) + _reference(spec.b, y) for x, y in counting)
            products = [_cut_to_odd(x, largest - spec.bulk_bits) for x in products]
    elif {"+inf", "-inf"} <= set(products):
        products.append("signalling")  # invalid beside a quiet NaN, too
    return _rounded_sum(spec, spec.acc, spec.rounding, products, 0)


def _cut_to_odd(x: Value, place: int) -> Value:
    """Return a number without what lies below 2**place, where its last bit becomes 1 if there is any."""
    if not isinstance(x, Fraction):
        return x
    scaled = abs(x) / Fraction(2) ** place
    kept = math.floor(scaled)
    kept |= kept != scaled
    return (-kept if x < 0 else kept) * Fraction(2) ** place


# -- rounding ------------------------------------------------------------------------------------------------------


def _rounded_sum(spec: MacSpec, fmt: Format, rounding: Rounding, terms: Sequence[Value], random: int) -> Result:
    """Return R(sum of the terms) in a format."""
    if rounding.kind is RoundingKind.DROP and len(terms) == 2:
        terms = _cut(terms, _last_place(fmt, terms))
    total, overflow = _total(terms), spec.overflow_into(fmt)
    if isinstance(total, Fraction):
        if total == 0:
            return fmt.zero_code(), _NONE
        exponent = 1 - total.denominator.bit_length()
        rounded = fmt.round(int(total < 0), abs(total.numerator), exponent, rounding.with_random(random), overflow)
        raised = (Flags.OVERFLOW if rounded.overflow else _NONE) | (Flags.UNDERFLOW if rounded.underflow else _NONE)
        return rounded.code, raised
    if total in ("nan", "signalling"):
        if isinstance(fmt, FloatFormat) and fmt.has_nan:
            return fmt.nan_code, Flags.INVALID if total == "signalling" else _NONE
        return fmt.largest_code(0), Flags.INVALID
    sign = int(total == "-inf")
    if isinstance(fmt, FloatFormat):
        if fmt.has_infinity:
            return fmt.infinity_code(sign), _NONE
        if overflow == "nan":
            return fmt.nan_code, Flags.OVERFLOW
    return fmt.largest_code(sign), Flags.OVERFLOW


def _last_place(fmt: Format, terms: Sequence[Value]) -> int:
    """Return the exponent of the place at which `drop` cuts terms."""
    if not isinstance(fmt, FloatFormat):
        return fmt.lsb_exponent
    place = _largest_binade(terms) - fmt.man_bits
    return max(place, fmt.lsb_exponent) if fmt.subnormals == "gradual" else place


def _joined(results: Sequence[Result]) -> Flags:
    flags = _NONE
    for _, raised in results:
        flags |= raised
    return flags


def _events(unchanged: bool, before: Value, addends: Sequence[Value], raised: Flags) -> Events:
    """Return the events of one addition."""
    numbers = isinstance(before, Fraction) and before != 0 and isinstance(total := _total(addends), Fraction) and total
    return Events(
        additions=1,
        saturated=int(Flags.OVERFLOW in raised),
        flushed=int(Flags.UNDERFLOW in raised),
        swamped=int(unchanged and bool(numbers) and not raised & _LOST),
    )


def _random_numbers(spec: MacSpec, state: int) -> Iterator[int]:
    lfsr, shifts = Lfsr.of(spec.random_bits), shifts_to_next(spec)
    while True:
        yield state % (1 << spec.random_bits)
        state = lfsr.advance(state, shifts)
