"""A schedule as a roofline: multiply-accumulates a cycle against multiply-accumulates a byte."""

from __future__ import annotations

from macgen.presentation.drawing import COLOURS, LIMIT_COLOUR, MARKS, content, file_type_of, new_figure
from macgen.system.scheduling import Schedule, peak
from macgen.system.traffic import operand_bytes, result_bytes


def draw_roofline(schedule: Schedule, suffix: str) -> bytes:
    """Draw a schedule's products below the array's roof.

    Each product has two marks: filled, with the bytes that pass the array's ports, and hollow, with those of its
    matrices, each moved once. The roof is flat at the array's multiply-accumulates a cycle; it slopes where the ports,
    a beat and a row of results a cycle, would limit. A mark's height over its place is the bytes a cycle that it asks
    for.

    Parameters:
        schedule: what is drawn.
        suffix: `.svg`, `.png` or `.pdf`.

    Returns:
        The file's content.

    Raises:
        MacgenError: the suffix is another.
        ToolError: matplotlib is missing.
    """
    file_type = file_type_of(suffix)
    most, ports = peak(schedule.spec), operand_bytes(schedule.spec) + result_bytes(schedule.spec)
    with new_figure(8, 5.5) as figure:
        axes = figure.subplots()
        places: list[float] = []
        for kind, colour in COLOURS.items():
            rows = [row for row in schedule.rows if row.kind == kind]
            heights = [row.macs / row.cycles.total for row in rows]
            streamed = [row.macs / (row.traffic.operands + row.traffic.results) for row in rows]
            once = [row.macs / row.traffic.once for row in rows]
            if rows:
                axes.loglog(streamed, heights, MARKS[kind], color=colour, label=f"{kind}, bytes at the ports")
                axes.loglog(
                    once, heights, MARKS[kind], color=colour, fillstyle="none", label=f"{kind}, each matrix moved once"
                )
            places += streamed + once
        left, right = min(*places, most / ports) / 2, max(*places, most / ports) * 2
        label = f"roof: {most:,} a cycle, {ports:g} bytes a cycle at the ports"
        axes.loglog([left, most / ports, right], [left * ports, most, most], color=LIMIT_COLOUR, label=label)
        what = schedule.network or schedule.name or "matrix products"
        axes.set_title(f"{what} on {schedule.spec.rows} x {schedule.spec.cols} units: {schedule.utilisation:.0%} used")
        axes.set_xlabel("multiply-accumulates a byte")
        axes.set_ylabel("multiply-accumulates a cycle")
        axes.grid(alpha=0.3, which="both")
        axes.legend(loc="best")
        return content(figure, file_type)
