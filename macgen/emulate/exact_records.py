"""A spec as the records of integers that the C++ of the exact kernel reads, and how wide its integers have to be."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from macgen.emulate.alignment import bits_above
from macgen.emulate.random_numbers import shifts_to_next
from macgen.numerics import FixedFormat, FloatFormat, Format, LaneSumKind, Lfsr, Rounding, ScaleFormat
from macgen.spec import MacSpec
from macgen.spec_fields import Scale
from macgen.spec_lanes import exact_sum_bits, largest_product

_SUBNORMALS = {"gradual": 0, "flush": 1, "none": 2}
_ROUNDINGS = {"rne": 0, "rtz": 1, "drop": 1, "floor": 2, "stochastic": 3, "odd": 4}
_OVERFLOWS = {"saturate": 0, "infinity": 1, "wrap": 2, "nan": 3, "to-infinity": 4}
_LANE_SUMS = {
    LaneSumKind.FUSED: 0,
    LaneSumKind.TREE: 1,
    LaneSumKind.ALIGNED: 2,
    LaneSumKind.EXPONENTS: 3,
    LaneSumKind.BULK: 4,
}
_PLACES = {None: 0, "steps": 1, "chunks": 2, "out": 3}

_FORMAT_WORDS, _TARGET_WORDS = 14, 19


def spec_record(spec: MacSpec) -> NDArray[np.int64]:
    """Return a spec as `Spec` of cpp/exact.h."""
    products_lsb = spec.a.lsb_exponent + spec.b.lsb_exponent if spec.product is None else spec.product.lsb_exponent
    register = [0, 0, 0, 0, 0, 0]
    if spec.random_bits:
        lfsr = Lfsr.of(spec.random_bits)
        register = [lfsr.width, shifts_to_next(spec), *lfsr.taps]
    return np.array(
        [
            *_format(spec.a),
            *_format(spec.b),
            *([0] * _FORMAT_WORDS if spec.scale is None else _format(spec.scale)),
            *([0] * _TARGET_WORDS if spec.product is None else _target(spec, spec.product, spec.rounding.of_numbers)),
            *_target(spec, spec.acc, spec.rounding),
            *_target(spec, spec.outer_format, spec.fold_rounding if spec.has_outer_adder else spec.rounding),
            *_target(spec, spec.out_format, spec.fold_rounding.of_numbers),
            spec.product is not None,
            spec.scales_chunks,
            spec.has_outer_adder,
            spec.out_format != spec.outer_format,
            spec.has_outer_adder or (spec.preload and spec.chunk is not None),
            spec.lanes,
            _LANE_SUMS[spec.lane_sum.kind],
            spec.aligned_bits or spec.exponent_bits or spec.bulk_bits or 0,
            spec.lane_sum.group,
            spec.block or 0,
            products_lsb,
            products_lsb + (2 * _lsb_exponent(spec.scale) if spec.scale is not None and spec.scales_lanes else 0),
            spec.chunk or 0,
            _PLACES[spec.random_place],
            spec.random_bits,
            *register,
        ],
        np.int64,
    )


def format_record(fmt: Format | Scale) -> NDArray[np.int64]:
    """Return a format as `Format` of cpp/rounding.h."""
    return np.array(_format(fmt), np.int64)


def _format(fmt: Format | Scale) -> list[Any]:
    if isinstance(fmt, FixedFormat):
        ends = [0, fmt.lsb_exponent, fmt.max_exponent, 0]
        is_narrow = fmt.min_integer == -fmt.max_integer
        return [True, False, *ends, fmt.lsb_exponent, 0, False, False, False, fmt.width, fmt.signed, is_narrow]
    if isinstance(fmt, ScaleFormat):
        ends = [0, -fmt.bias, fmt.nan_code - 1 - fmt.bias, 1]
        return [False, True, *ends, -fmt.bias, _SUBNORMALS["flush"], False, True, False, fmt.width, False, False]
    largest = fmt.number(fmt.max_code).significand
    has_negative_zero = fmt.zero_code(1) != fmt.zero_code(0)
    return [
        *[False, False, fmt.man_bits, fmt.min_exponent, fmt.max_exponent, largest, fmt.lsb_exponent],
        *[_SUBNORMALS[fmt.subnormals], fmt.has_infinity, fmt.has_nan, has_negative_zero, fmt.width, True, False],
    ]


def _lsb_exponent(scale: Scale) -> int:
    return -scale.bias if isinstance(scale, ScaleFormat) else scale.lsb_exponent


def _target(spec: MacSpec, fmt: Format, rounding: Rounding) -> list[Any]:
    kind = str(rounding.kind)
    overflow = _OVERFLOWS[spec.overflow_into(fmt)]
    return [*_format(fmt), _ROUNDINGS[kind], rounding.random_bits, rounding.beneath == "rne", kind == "drop", overflow]


# -- widths --------------------------------------------------------------------------------------------------------


def sum_bits(spec: MacSpec) -> int:
    """Return how many bits the integers need in which a spec's sums are formed.

    A float sum is formed with the highest bit of its larger term three below the top. What is cut of the smaller one
    then lies at least two places below all that rounding looks at, and nothing is cut of terms that can cancel.
    """
    product = _bits(spec.a) + _bits(spec.b)
    needed = [product + 3]
    addend = product
    if spec.product is not None:
        needed.append(_needed(spec.product, spec.rounding, product))
        addend = _bits(spec.product)
        needed.append(addend + 3)
    match spec.lane_sum.kind:
        case LaneSumKind.ALIGNED:
            assert spec.aligned_bits is not None
            addend = spec.aligned_bits + 1 + (spec.lanes + 1).bit_length()
        case LaneSumKind.EXPONENTS:
            assert spec.exponent_bits is not None
            term, above = _term_bits(spec), bits_above(spec)
            needed.append(term + 3)
            addend = spec.exponent_bits + above + (spec.lanes + 1).bit_length()
        case LaneSumKind.BULK:
            assert spec.bulk_bits is not None
            in_window = spec.bulk_bits + 2 + (spec.lanes + 1).bit_length()
            needed.append(_needed(spec.acc, spec.rounding, in_window))
            addend = _bits(spec.acc)
        case LaneSumKind.TREE if spec.lanes > 1:
            needed.append(_needed(spec.acc, spec.rounding, addend))
            addend = _bits(spec.acc)
        case LaneSumKind.FUSED if spec.lanes > 1:
            addend = spec.fused_bits
    needed.append(_needed(spec.acc, spec.rounding, addend))
    chunk_sum = _bits(spec.acc) + (2 * _bits(spec.scale) if spec.scale is not None and spec.scales_chunks else 0)
    needed.append(_needed(spec.outer_format, spec.fold_rounding, chunk_sum))
    needed.append(_needed(spec.out_format, spec.fold_rounding, _bits(spec.outer_format)))
    return max(needed)


def _term_bits(spec: MacSpec) -> int:
    """Return how many bits a term of `exponents:F` has."""
    term = _bits(spec.a) + _bits(spec.b)
    if spec.lane_sum.group > 1:
        term = exact_sum_bits(spec.lane_sum.group, *largest_product(spec.a, spec.b))
    return term + (2 * _bits(spec.scale) if spec.scale is not None and spec.scales_lanes else 0)


def _bits(fmt: Format | Scale) -> int:
    """Return how many bits the significand of a number of a format has at most."""
    if isinstance(fmt, FloatFormat):
        return fmt.precision
    return 1 if isinstance(fmt, ScaleFormat) else fmt.width


def _needed(fmt: Format, rounding: Rounding, addend: int) -> int:
    """Return how many bits a sum into a format needs, whose addend has so many."""
    at_random = rounding.bits_below if rounding.random_bits else 0
    if isinstance(fmt, FixedFormat):
        return max(fmt.width, addend) + max(at_random + 1, 2) + 4
    return max(fmt.precision + at_random + 6, addend + 3)
