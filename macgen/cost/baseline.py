"""The array that another is compared with: the same with an accumulator of 32 bits."""

from macgen.numerics import FixedFormat, FloatFormat, Format, LaneSum
from macgen.spec import MacSpec


def baseline_accumulator(spec: MacSpec) -> Format:
    """Return the accumulator to compare with: FP32, or 32 bits of fixed point for fixed-point operands."""
    if isinstance(spec.acc, FloatFormat) or isinstance(spec.a, FloatFormat) or isinstance(spec.b, FloatFormat):
        return FloatFormat.parse("fp32")
    return FixedFormat(32 - spec.acc.frac_bits, spec.acc.frac_bits, signed=spec.acc.signed)


def baseline_spec(spec: MacSpec) -> MacSpec:
    """Return the same array with exact products and the accumulator to compare with, which takes no random numbers.

    Aligned sums keep at least as many bits as FP32 has.

    Raises:
        MacgenError: the operands do not fit it.
    """
    acc = baseline_accumulator(spec)
    # Sums of fixed-point products that become floats do so there, too; all else is added in `acc`.
    to_float = isinstance(acc, FixedFormat) and isinstance(spec.outer_format, FloatFormat)
    return spec.replace(
        acc=acc,
        product=None,
        lane_sum=_wide(spec.lane_sum),
        outer=FloatFormat.parse("fp32") if to_float else None,
        overflow="saturate" if isinstance(acc, FloatFormat) and spec.overflow == "wrap" else spec.overflow,
        rounding="rne" if spec.rounding.random_bits else spec.rounding,
        outer_rounding=None,
        modes=(),
    )


def _wide(lane_sum: LaneSum) -> str:
    """Return a way to add lanes that keeps as many bits as FP32 has."""
    bits = lane_sum.aligned_bits or lane_sum.exponent_bits or lane_sum.bulk_bits
    if bits is None:
        return lane_sum
    group = f"/{lane_sum.group}" if lane_sum.group > 1 else ""
    return f"{lane_sum.kind}:{max(bits, 24)}{group}"
