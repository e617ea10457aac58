"""A plan as a picture: where the variance retention ratio leaves 1, and which lengths a width reaches."""

import math
from typing import TYPE_CHECKING

import numpy as np

from macgen.errors import MacgenError
from macgen.numerics import FloatFormat
from macgen.presentation.drawing import COLOURS, LIMIT_COLOUR, MARKS, content, file_type_of, new_figure
from macgen.presentation.plan_table import chunks_in_words
from macgen.width import variance
from macgen.width.goal import Sum
from macgen.width.network_plan import NetworkPlan
from macgen.width.planning import plan as plan_sum

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_WIDTHS_BEYOND = 3
_LEAST_LN_V = 1e-3
_SHORTEST, _LENGTHS = 8, 80


def draw_plan(plan: NetworkPlan, suffix: str) -> bytes:
    """Draw a plan.

    Upper panel: VRR and ln v of the longest accumulation without chunks, against the mantissa width, with the first
    width that passes. Lower panel: the longest accumulation that each width passes by the VRR (the knee), what the
    deciding method needs, and every GEMM at the width that was chosen for it.

    Parameters:
        plan: with float accumulators.
        suffix: `.svg`, `.png` or `.pdf`.

    Returns:
        The file's content.

    Raises:
        MacgenError: the suffix is another, or the accumulators are fixed-point, which VRR does not concern.
        ToolError: matplotlib is missing.
    """
    file_type = file_type_of(suffix)
    if not all(isinstance(row.plan.chosen.acc, FloatFormat) for row in plan.rows):
        raise MacgenError(
            f"plot of acc {plan.widest} has nothing to show, since exact sums keep all variance; accepted are plans "
            f"with a float operand"
        )
    with new_figure(8, 9) as figure:
        upper, lower = figure.subplots(2, 1)
        _draw_vrr(upper, plan)
        _draw_lengths(lower, plan)
        return content(figure, file_type)


def _draw_vrr(axes: "Axes", plan: NetworkPlan) -> None:
    length = max(row.gemm.length for row in plan.rows)
    m_p = plan.goal.product_man_bits
    needed = variance.min_man_bits(length, m_p, limit=plan.goal.limit)
    widths = np.arange(1, needed + _WIDTHS_BEYOND + 1)
    ratios = [variance.vrr(int(m), m_p, length) for m in widths]
    ln_v = np.array([variance.ln_v(int(m), m_p, length) for m in widths])
    axes.plot(widths, ratios, "o-", color=COLOURS["forward"], label="VRR (left axis)")
    axes.set_ylim(0, 1.05)
    axes.set_ylabel("variance retention ratio")
    axes.set_xlabel("mantissa bits of the accumulator")
    axes.set_title(f"Longest sum, {length:,} products of {plan.goal.a} x {plan.goal.b} (m_p = {m_p}), no chunks")
    other = axes.twinx()
    other.semilogy(
        widths,
        np.where(ln_v >= _LEAST_LN_V, ln_v, np.nan),
        "s--",
        color=COLOURS["backward"],
        label="ln v(n) above 0.001 (right axis)",
    )
    other.axhline(math.log(plan.goal.limit), color=LIMIT_COLOUR, linewidth=1, linestyle=":")
    other.set_ylabel("ln v(n) = n (1 - VRR)")
    axes.axvline(
        needed, color=LIMIT_COLOUR, linewidth=1, label=f"first width with v(n) < {plan.goal.limit:g}: {needed}"
    )
    axes.set_xticks(widths)
    axes.grid(alpha=0.3)
    handles, labels = (
        first + second for first, second in zip(*(a.get_legend_handles_labels() for a in (axes, other)), strict=True)
    )
    axes.legend(handles, labels, loc="lower left")


def _draw_lengths(axes: "Axes", plan: NetworkPlan) -> None:
    m_p = plan.goal.product_man_bits
    chosen = {(row.gemm.kind, row.gemm.length, row.plan.chosen.man_bits) for row in plan.rows}
    longest = max(n for _, n, _ in chosen)
    most = max(max(bits or 0 for _, _, bits in chosen), variance.min_man_bits(longest, m_p, limit=plan.goal.limit))
    widths = np.arange(1, most + 2)
    knees = [variance.knee(int(m), m_p, plan.goal.limit) for m in widths]
    axes.semilogy(widths, knees, color=LIMIT_COLOUR, label="knee of the VRR, no chunks")
    lengths = np.unique(np.geomspace(_SHORTEST, 2 * max(longest, _SHORTEST), _LENGTHS).astype(int))
    needed = [plan_sum(plan.goal, Sum(length=int(n))).chosen for n in lengths]
    methods = " or ".join(dict.fromkeys(answer.method for answer in needed))
    label = f"needed: {methods}, {plan.goal.rounding}, {chunks_in_words(plan.goal)}"
    axes.semilogy([answer.man_bits or 0 for answer in needed], lengths, "--", color=LIMIT_COLOUR, label=label)
    for kind, colour in COLOURS.items():
        points = sorted((bits or 0, n) for which, n, bits in chosen if which == kind)
        if points:
            x, y = zip(*points, strict=True)
            axes.semilogy(x, y, MARKS[kind], color=colour, alpha=0.8, label=f"{kind}, at the width chosen")
    name = plan.network or "one dot product"
    axes.set_title(f"{name}: accumulation lengths and the widths they need")
    axes.set_xlabel("mantissa bits of the accumulator")
    axes.set_ylabel("accumulation length (products)")
    axes.set_xticks(widths)
    axes.grid(alpha=0.3)
    axes.legend(loc="best")
