"""The report of a unit that compresses gradients as people read it."""

from collections.abc import Callable

from rich.console import Console

from macgen.cost.unit import End, UnitReport
from macgen.presentation.tables import new_table, print_table


def print_unit_report(report: UnitReport, console: Console) -> None:
    """Print the costs of both ends as a table, with what they hold for below."""
    table = new_table()
    table.add_column(report.name)
    for end in report.ends:
        table.add_column(end.name.capitalize(), justify="right")
    rows = {label: [value(end) for end in report.ends] for label, value in _ROWS.items()}
    for label, values in rows.items():
        if any(values):
            table.add_row(label, *(value or "-" for value in values))
    print_table(table, console)
    console.print(
        f"Beside them a memory of two ports: {report.memory_words} words, {report.memory_bits:,} bits in all."
    )
    for title, text in report.conditions.items():
        if text is not None:
            console.print(f"{title.capitalize()}: {text}")
    unavailable = {end.period_unavailable for end in report.ends} - {None}
    for reason in unavailable:
        console.print(f"No period: {reason}")
    for note in report.notes:
        console.print(f"Note: {note}")


def _period(end: End) -> str:
    return "" if end.minimum_period_ns is None else f"{end.minimum_period_ns:,.3f}"


_ROWS: dict[str, Callable[[End], str]] = {
    "Cells": lambda end: f"{end.total_cells:,}",
    "Gate equivalents (NAND2)": lambda end: f"{end.gate_equivalents:,.0f}",
    "Flip-flops": lambda end: f"{end.flip_flops:,}",
    "Logic depth (gates)": lambda end: f"{end.depth:,}",
    "Area (um2)": lambda end: "" if end.area_um2 is None else f"{end.area_um2:,.0f}",
    "Minimum period (ns)": _period,
    "LUT4, iCE40": lambda end: f"{end.luts['ice40']:,}",
    "LUT4, ECP5": lambda end: f"{end.luts['ecp5']:,}",
    "LUT6, Xilinx 7": lambda end: f"{end.luts['xilinx']:,}",
}
