"""The noise-to-signal ratio that the formulas of `macgen.width` give for the sums of a spec."""

from __future__ import annotations

from dataclasses import dataclass

from macgen.errors import MacgenError
from macgen.numerics import FixedFormat, FloatFormat, Format, Rounding
from macgen.spec import MacSpec
from macgen.width import bounds, nsr, truncation
from macgen.width.formulas.chunks import nonzero


@dataclass(frozen=True)
class Prediction:
    """What the formulas say of a layer's sums.

    Attributes:
        nsr: E[(s - s_exact)^2] / Var(s_exact).
        valid: whether the ratio is one for which the formulas were fitted, at most 0.05.
    """

    nsr: float
    valid: bool


def predicted_nsr(spec: MacSpec, length: int, nzr: float) -> Prediction | None:
    """Return the noise-to-signal ratio of a spec's sums, or None where no formula describes them.

    Taken to be independent and so added: the rounding of products, of sums in the accumulator (`lanes` of them at a
    time, fused), of chunk sums in the outer accumulator, and of results. Saturation, flushing and wrapping are not
    described. Fixed-point accumulators lose nothing if they hold every sum.

    Parameters:
        spec: the arithmetic.
        length: products of a sum.
        nzr: share of products that are not zero, 0 to 1.
    """
    if (spec.lanes > 1 and spec.lane_sum != "fused") or spec.aligns:
        return None
    if nzr <= 0:
        return Prediction(0.0, True)
    counted, chunk = nonzero(length, spec.chunk, nzr)
    inner = counted if chunk is None else chunk
    folds = -(-counted // inner)
    inner, counted = -(-inner // spec.lanes), -(-counted // spec.lanes)
    try:
        if spec.has_outer_adder:
            parts = [_of_sum(spec, spec.acc, inner, None, spec.rounding)]
            if folds > 1 or spec.outer_format != spec.acc:
                parts.append(_of_sum(spec, spec.outer_format, folds, None, spec.fold_rounding))
        else:
            parts = [_of_sum(spec, spec.acc, counted, None if chunk is None else inner, spec.rounding)]
        if isinstance(spec.product, FloatFormat):
            parts.append(_formula(spec.product.man_bits, 1, None, spec.rounding))
        if isinstance(spec.out, FloatFormat) and spec.out != spec.outer_format:
            parts.append(_formula(spec.out.man_bits, 1, None, spec.fold_rounding))
    except MacgenError:
        return None
    if any(part is None for part in parts):
        return None
    total = sum(part for part in parts if part is not None)
    return Prediction(total, total <= nsr.VALID_BELOW)


def _of_sum(spec: MacSpec, acc: Format, length: int, chunk: int | None, rounding: Rounding) -> float | None:
    if isinstance(acc, FloatFormat):
        return _formula(acc.man_bits, length, chunk, rounding)
    exact = bounds.exact_format(spec.a, spec.b, length)
    return 0.0 if _holds(acc, exact) else None


def _holds(acc: FixedFormat, sums: FixedFormat) -> bool:
    return acc.frac_bits >= sums.frac_bits and acc.min <= sums.min and acc.max >= sums.max


def _formula(man_bits: int, length: int, chunk: int | None, rounding: Rounding) -> float:
    if rounding == "rtz":
        return truncation.nsr(length, man_bits, chunk)
    return nsr.estimate(length, man_bits, rounding, chunk).nsr
