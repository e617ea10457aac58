"""What is known of a dot product's operands, measured or stated by the model, as it is planned for."""

import math
from collections.abc import Iterator
from typing import Any

from macgen.errors import check_type
from macgen.network.gemm import Layer
from macgen.network.measurement import Measurement, OperandStatistics
from macgen.network.operand_format import OperandFormat
from macgen.numerics import FixedFormat, Format, parse_format
from macgen.width import bounds
from macgen.width.goal import Goal, Sum


def measured_sum(length: int, measured: Measurement, goal: Goal) -> Sum:
    """Return a dot product with what was measured of its operands.

    Operands are taken as they were, scaled by a power of two where the largest does not fit its format; real numbers
    for a fixed-point format always, so that the largest just fits. Integer weights that were measured as integers bound
    the sum by their own sums. A fixed-point format that is the integers' own type is taken to carry them as they are
    stored, and so is one that holds them only in this way; any other one carries them less their zero points. What does
    not fit a fixed-point format is named in the plan's warnings.

    Raises:
        MacgenError: an argument is refused.
    """
    check_type("measured", measured, Measurement, "a Measurement")
    check_type("goal", goal, Goal, "a Goal")
    carried = [_carried(measured, goal, which) for which in "ab"]
    rms, reach = 1.0, list[bounds.Range | None]()
    for statistics, fmt in zip((carried[0].a, carried[1].b), goal.formats, strict=True):
        scale = _scale(statistics, fmt)
        rms *= statistics.rms * scale
        reach.append(_reach(statistics, fmt, scale))
    nzr = carried[0].a.nonzero * carried[1].b.nonzero
    l1, by_sign = carried[1].weight_l1, carried[1].weight_range
    known: dict[str, Any] = {
        "weight_l1": None if l1 is None else _in_codes(l1, goal.b),
        "weight_range": None if by_sign is None else tuple(_in_codes(total, goal.b) for total in by_sign),
        "reach": tuple(reach),
    }
    if nzr <= 0 or rms <= 0:  # nothing but zeros: any accumulator does
        return Sum(length=length, **known)
    return Sum(length=length, nzr=nzr, rms=rms, **known)


def stated_reach(layer: Layer, goal: Goal) -> tuple[bounds.Range | None, bounds.Range | None]:
    """Return between which integers the operands of a layer lie by their stated formats, where that can be told.

    Unsigned integers that a signed format carries may be less their zero points.
    """

    def reach(stated: OperandFormat | None, fmt: Format) -> bounds.Range | None:
        own = None if stated is None else parse_format(str(stated))
        if not isinstance(own, FixedFormat) or not isinstance(fmt, FixedFormat):
            return None
        if fmt.signed and not own.signed and fmt.int_bits >= own.int_bits:
            return None
        return bounds.operand_range(own)

    a, b = layer.formats
    return reach(a, goal.a), reach(b, goal.b)


def notes(measured: Measurement, goal: Goal) -> Iterator[str]:
    """Yield, as a sentence without its full stop, which formats carry integers without their zero points subtracted."""
    stored = [
        f"{which} {fmt}"
        for which, fmt in zip("ab", goal.formats, strict=True)
        if (carried := _carried(measured, goal, which)) is not measured
        and getattr(carried, which) != getattr(measured, which)
    ]
    if stored:
        yield (
            f"measured integers are taken as they are stored for {' and '.join(stored)}: sums are of these, and what "
            f"zero points add to them is left to what follows"
        )


def _carried(measured: Measurement, goal: Goal, which: str) -> Measurement:
    """Return the measurement, less zero points or as stored, in which an operand is what its format carries."""
    fmt, codes = getattr(goal, which), measured.codes
    if codes is None or not isinstance(fmt, FixedFormat):
        return measured
    plain, stored = getattr(measured, which), getattr(codes, which)
    if not stored.integers:
        return measured
    own = str(fmt) == stored.dtype
    fits, stored_fits = (bounds.carries(fmt, (int(x.lowest), int(x.highest))) for x in (plain, stored))
    return codes if stored_fits and (own or not fits) else measured


def _in_codes(total: int, fmt: Format) -> int:
    """Return a sum of a model's integers, which are values, as a sum of the integers that a fixed-point port carries.

    Where these are fewer, the quotient is exact if the port carries the integers at all.
    """
    if not isinstance(fmt, FixedFormat):
        return total
    return total << fmt.frac_bits if fmt.frac_bits >= 0 else total >> -fmt.frac_bits


def _scale(statistics: OperandStatistics, fmt: Format) -> float:
    """Return the power of two that an operand is multiplied by."""
    real = isinstance(fmt, FixedFormat) and not statistics.integers
    if statistics.largest > fmt.max or (real and statistics.largest > 0):
        return float(2.0 ** -math.ceil(math.log2(statistics.largest / fmt.max)))
    return 1.0


def _reach(statistics: OperandStatistics, fmt: Format, scale: float) -> bounds.Range | None:
    """Return the lowest and the highest of integers; of scaled real numbers, if they are negative and cannot be."""
    if not isinstance(fmt, FixedFormat):
        return None
    if statistics.integers:
        return int(statistics.lowest), int(statistics.highest)
    if fmt.signed or statistics.lowest >= 0:
        return None
    return min(math.floor(statistics.lowest * scale), -1), math.floor(max(statistics.highest * scale, 0))
