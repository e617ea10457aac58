"""An array on an FPGA as people read it."""

import textwrap

from rich.console import Console
from rich.table import Table

from macgen.cost.fpga.report import FpgaReport
from macgen.presentation.tables import new_table, print_table


def print_fpga_report(report: FpgaReport, console: Console) -> None:
    """Print what an array takes on an FPGA and how fast it is, with what the figures hold for below."""
    print_table(fpga_table(report), console)
    for line in conditions(report):
        for part in textwrap.wrap(line, console.width, break_long_words=False, break_on_hyphens=False):
            console.print(part)


def fpga_table(report: FpgaReport) -> Table:
    """Return what an array takes on an FPGA, and its clock."""
    table = new_table()
    table.add_column(report.name)
    table.add_column("The array", justify="right")
    table.add_column("A PE", justify="right")
    kind = "LUT6" if report.family == "xilinx" else "LUT4"
    for label, count in (
        (kind, report.luts),
        ("Flip-flops", report.flip_flops),
        ("DSP blocks", report.dsps),
        ("Block RAMs", report.memories),
    ):
        table.add_row(label, f"{count:,}", f"{count / report.pes:,.1f}")
    if report.fmax_mhz is not None:
        table.add_row("Fmax (MHz)", f"{report.fmax_mhz:.1f}", "")
    return table


def conditions(report: FpgaReport) -> list[str]:
    """Return sentences on what the figures hold for."""
    lines = []
    path = report.worst_path
    if path is not None and report.target_mhz is not None:
        clocks = ", ".join(f"{clock:.1f}" for clock in report.placements_mhz.values())
        speed = "" if report.speed is None else f", speed {report.speed}"
        lines += [
            f"Worst path: in {path.module}, from {path.start} to {path.end}: {path.logic_ns:.2f} ns of logic, "
            f"{path.routing_ns:.2f} ns of wires.",
            f"Placed: {report.family} {report.device}, {report.package}{speed}, aiming at {report.target_mhz:g} MHz; "
            f"Fmax is the median of {clocks} MHz (seeds {', '.join(map(str, report.placements_mhz))}).",
            "Filled, with the harness: "
            + ", ".join(f"{used} of {there} {name}" for name, (used, there) in report.filled.items())
            + ".",
        ]
    lines.append(f"Tools: {report.tools}.")
    return [*lines, *(f"Note: {note}." for note in report.notes)]
