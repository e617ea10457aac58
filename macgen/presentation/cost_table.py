"""The report as people read it."""

from rich.console import Console
from rich.table import Table

from macgen.cost.estimate import Cost, Report, figures

_ROWS = {
    "cells": ("Cells", "{:,.0f}"),
    "gate_equivalents": ("Gate equivalents (NAND2)", "{:,.0f}"),
    "flip_flops": ("Flip-flops", "{:,.0f}"),
    "depth": ("Logic depth (gates)", "{:,.0f}"),
    "area_um2": ("Area (um2)", "{:,.0f}"),
    "minimum_period_ns": ("Minimum period (ns)", "{:.3f}"),
    "luts_ice40": ("LUT4, iCE40", "{:,.0f}"),
    "luts_ecp5": ("LUT4, ECP5", "{:,.0f}"),
    "luts_xilinx": ("LUT6, Xilinx 7", "{:,.0f}"),
    "power_mw": ("Power (mW)", "{:.3g}"),
    "energy_per_mac_pj": ("Energy per MAC (pJ)", "{:.3g}"),
}


def print_report(report: Report, console: Console) -> None:
    """Print a report as a table, with what its figures hold for below."""
    baseline = report.baseline
    table = Table(box=None, padding=(0, 2, 0, 0))
    table.add_column(report.name)
    table.add_column(f"{report.cost.acc} accumulator", justify="right")
    if baseline is not None:
        table.add_column(f"{baseline.acc} accumulator", justify="right")
        table.add_column("Ratio", justify="right")
    own = figures(report.cost)
    other = {} if baseline is None else figures(baseline)
    for name, (label, form) in _ROWS.items():
        if name in own:
            cells = [form.format(own[name])]
            if baseline is not None:
                cells += [form.format(other[name]) if name in other else "-", _ratio(report, name)]
            table.add_row(label, *cells)
    console.print(table)
    for line in _conditions(report):
        console.print(line)


def _ratio(report: Report, name: str) -> str:
    return f"{report.ratios[name]:.2f}" if name in report.ratios else "-"


def _conditions(report: Report) -> list[str]:
    c = report.conditions
    lines = [
        f"Synthesis: {c['synthesis']}, library {c['library']}, {c['voltage']:g} V, aiming at {c['clock_mhz']:g} MHz; "
        f"LUTs without multiplier blocks, before packing.",
        f"Power: {c['clock_mhz']:g} MHz, {c['data']}; {c['delay_model']}; input slew {c['slew_ns']:g} ns, "
        f"{c['wire_ff']:g} fF a wire, no clock tree; {_shares(report.cost)}.",
        f"Checked: {report.cost.results_checked} results of the netlist equal the golden model.",
    ]
    if report.cost.minimum_period_ns is not None:
        lines.append(f"Timing: {c['timing']}, ports timed, ideal clock and wires.")
    else:
        lines.append(f"No timing: {report.cost.period_unavailable}.")
    if report.baseline_unavailable is not None:
        lines.append(f"No baseline: {report.baseline_unavailable}.")
    return [*lines, *(f"Note: {note}." for note in report.notes)]


def _shares(cost: Cost) -> str:
    parts = {name: value for name, value in cost.power_mw.items() if name != "total"}
    return ", ".join(f"{name} {value / cost.power_mw['total']:.0%}" for name, value in parts.items())
