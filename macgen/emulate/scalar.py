"""Matrix products one element at a time in exact fractions: slow, for every spec and operand."""

import math
from collections.abc import Iterator
from fractions import Fraction
from itertools import repeat
from typing import Any

import numpy as np
from numpy.typing import NDArray

from macgen.emulate.random_numbers import States
from macgen.numerics import FloatFormat, Format, Lfsr, Rounding, Stochastic
from macgen.spec import MacSpec

Value = Fraction | float
"""An exact finite value, or an infinity or NaN."""


def matmul(
    spec: MacSpec, A: NDArray[np.float64], B: NDArray[np.float64], states: States | None = None
) -> NDArray[np.float64]:
    """Return the product of A (M, K) and B (K, N) as values (M, N); states (M, N) of random numbers."""
    rows = [[_exact(x) for x in row] for row in A.tolist()]
    columns = [[_exact(x) for x in column] for column in B.T.tolist()]
    codes: NDArray[Any] = np.empty((len(rows), len(columns)), dtype=object)
    for m, row in enumerate(rows):
        for n, column in enumerate(columns):
            numbers = repeat(0) if states is None else _random_numbers(spec.random_bits, int(states[m, n]))
            codes[m, n] = _dot(spec, row, column, numbers)
    return spec.acc.decode(codes)


def _exact(x: float) -> Value:
    return Fraction(x) if math.isfinite(x) else x


def _random_numbers(bits: int, state: int) -> Iterator[int]:
    lfsr = Lfsr.of(bits)
    while True:
        yield state % (1 << bits)
        state = lfsr.advance(state, bits)


def _dot(spec: MacSpec, row: list[Value], column: list[Value], random: Iterator[int]) -> int:
    chunk = spec.chunk or len(row)
    outer = None
    for start in range(0, len(row), chunk):
        inner = spec.acc.zero_code()
        for a, b in zip(row[start : start + chunk], column[start : start + chunk], strict=True):
            exact = isinstance(a, Fraction) and isinstance(b, Fraction)
            inner = _add(spec, inner, a * b if exact else float(a) * float(b), next(random))
        outer = inner if outer is None else _add(spec, outer, _value(spec, inner), next(random))
    assert outer is not None
    return outer


def _value(spec: MacSpec, code: int) -> Value:
    number = spec.acc.number(code)
    if number.kind == "finite":
        return number.to_fraction()
    return math.nan if number.is_nan else -math.inf if number.sign else math.inf


def _add(spec: MacSpec, code: int, addend: Value, random: int) -> int:
    acc, value = spec.acc, _value(spec, code)
    if isinstance(value, Fraction) and isinstance(addend, Fraction):
        if spec.rounding == "drop":
            place = _last_place(acc, max(abs(value), abs(addend)))
            value, addend = (math.trunc(x / place) * place for x in (value, addend))
        total = value + addend
        if total == 0:
            return acc.zero_code()
        exponent = 1 - total.denominator.bit_length()
        rounding: Rounding | Stochastic = "rne" if spec.rounding == "rne" else "rtz"
        if spec.random_bits:
            rounding = Stochastic(spec.random_bits, random)
        return acc.round(int(total < 0), abs(total.numerator), exponent, rounding, spec.overflow).code
    special = sum(x for x in (value, addend) if not isinstance(x, Fraction))
    if math.isnan(special):
        return acc.nan_code if isinstance(acc, FloatFormat) and acc.has_nan else acc.largest_code(0)
    sign = int(special < 0)
    if isinstance(acc, FloatFormat) and acc.has_infinity:
        return acc.infinity_code(sign)
    return acc.largest_code(sign)


def _last_place(acc: Format, larger: Fraction) -> Fraction:
    """Return the unit at which `drop` cuts addends, the larger magnitude of which is given."""
    if not isinstance(acc, FloatFormat):
        return Fraction(2) ** acc.lsb_exponent
    binade = larger.numerator.bit_length() - larger.denominator.bit_length()  # the denominator is a power of two
    return Fraction(2) ** max(binade - acc.man_bits, acc.lsb_exponent)
