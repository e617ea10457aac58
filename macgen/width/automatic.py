"""What `auto` means: the accumulator and the chunk length that the theory gives an array for its longest sum."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

from macgen.errors import check_flag, check_type
from macgen.numerics import Format, ScaleFormat
from macgen.width.goal import Goal, Sum, why_chunk
from macgen.width.planning import plan


@dataclass(frozen=True, kw_only=True)
class Outline:
    """An array of which something is still to be chosen; the fields are those of MacSpec, as they were given.

    Attributes:
        chunk: products a chunk, `auto` where they are to be chosen.
        a, b, product, scale, scale_place, outer, rounding, lanes, lane_sum: see MacSpec.
    """

    a: Format | str
    b: Format | str
    product: Format | str | None
    scale: Format | ScaleFormat | str | None
    scale_place: str
    outer: Format | str | None
    chunk: int | Literal["auto"] | None
    rounding: str
    lanes: int
    lane_sum: str


@dataclass(frozen=True, kw_only=True)
class Chosen:
    """What was chosen for an outline.

    Attributes:
        acc: the accumulator; None where it was not asked for.
        acc_reason: why this one: a sentence without its full stop.
        chunk: the chunk length, the outline's or the chosen one.
        chunk_reason: why, where it was chosen: a clause.
        warnings: sentences, without their full stop, on what the width does not cover; `outer.judge` has the one on
            the outer accumulator.
    """

    acc: Format | None = None
    acc_reason: str | None = None
    chunk: int | None
    chunk_reason: str | None = None
    warnings: tuple[str, ...] = ()


def choose(outline: Outline, longest: Sum, *, acc: bool) -> Chosen:
    """Choose what an outline leaves open.

    An automatic chunk length is the power of two of `Goal.chunk_for`, rounded up to a multiple of the lanes.

    Parameters:
        outline: the array.
        longest: its longest dot product.
        acc: whether the accumulator is to be chosen.

    Raises:
        MacgenError: a field is refused, or no accumulator is wide enough.
    """
    check_type("outline", outline, Outline, "an Outline")
    check_type("longest", longest, Sum, "a Sum")
    acc = check_flag("acc", acc)
    goal = Goal(a=outline.a, b=outline.b, chunk=outline.chunk, rounding=outline.rounding)
    chunk, chunk_reason = goal.chunk_for(longest.length), None
    if chunk is not None and outline.chunk == "auto":
        chunk_reason = why_chunk(chunk, longest.length, goal.rounding)
        if chunk % outline.lanes:
            chunk += -chunk % outline.lanes
            chunk_reason += f"; {chunk} is the next multiple of {outline.lanes} lanes"
    if not acc:
        return Chosen(chunk=chunk, chunk_reason=chunk_reason)
    summed, summed_in_chunks = longest.length, chunk
    if outline.outer is not None and chunk is not None:  # the accumulator starts anew with each chunk
        summed, summed_in_chunks = min(chunk, summed), None
    planned = plan(replace(goal, chunk=summed_in_chunks), replace(longest, length=summed))
    return Chosen(
        acc=planned.chosen.acc,
        acc_reason=f"Chosen for sums of {summed} products: {planned.chosen.acc}, {planned.chosen.reason}",
        chunk=chunk,
        chunk_reason=chunk_reason,
        warnings=(*planned.warnings, *beyond_theory(outline)),
    )


def beyond_theory(outline: Outline) -> Iterator[str]:
    """Yield, for each thing that the theory of widths does not know, a sentence (without its full stop)."""
    if outline.scale is not None and outline.scale_place == "lanes":
        yield f"the width is that for sums without scales, but a step adds products scaled by {outline.scale}"
    elif outline.scale is not None and outline.outer is None:
        yield (
            f"the width is that for sums without scales, but the outer accumulator takes those scaled by "
            f"{outline.scale}"
        )
    if outline.product not in (None, "exact"):
        yield f"the width is that for exact products, not for ones rounded to {outline.product}"
    if outline.lane_sum != "fused" and (outline.lanes > 1 or outline.lane_sum != "tree"):
        yield f"the width is that for one rounding a step, not for lane_sum {outline.lane_sum}"
