"""The report as people read it."""

from rich.console import Console
from rich.table import Table

from macgen.cost.estimate import Report, figures
from macgen.cost.pricing import Cost
from macgen.errors import significant
from macgen.presentation.tables import new_table, print_table

_whole, _thousandths = "{:,.0f}".format, "{:,.3f}".format

_ROWS = {
    "cells": ("Cells", _whole),
    "gate_equivalents": ("Gate equivalents (NAND2)", _whole),
    "flip_flops": ("Flip-flops", _whole),
    "depth": ("Logic depth (gates)", _whole),
    "area_um2": ("Area (um2)", _whole),
    "counter_gate_equivalents": ("Of it counters: NAND2", _whole),
    "counter_flip_flops": ("Of it counters: flip-flops", _whole),
    "counter_area_um2": ("Of it counters: um2", _whole),
    "minimum_period_ns": ("Minimum period (ns)", _thousandths),
    "luts_ice40": ("LUT4, iCE40", _whole),
    "luts_ecp5": ("LUT4, ECP5", _whole),
    "luts_xilinx": ("LUT6, Xilinx 7", _whole),
    "dsps_ecp5": ("DSP, ECP5", _whole),
    "dsps_xilinx": ("DSP, Xilinx 7", _whole),
    "power_mw": ("Power (mW)", significant),
    "energy_per_mac_pj": ("Energy per MAC (pJ)", significant),
}


def print_report(report: Report, console: Console) -> None:
    """Print a report as a table, with what its figures hold for below."""
    print_table(figures_table(report), console)
    if report.cost.corners:
        print_table(corners_table(report), console)
    if report.cost.modes:
        print_table(modes_table(report.cost), console)
    for line in conditions(report):
        console.print(line)


def figures_table(report: Report) -> Table:
    """Return the array's figures next to the baseline's."""
    baseline = report.baseline
    table = new_table()
    table.add_column(report.name)
    table.add_column(f"{report.cost.acc} accumulator", justify="right")
    if baseline is not None:
        table.add_column(f"{baseline.acc} accumulator", justify="right")
        table.add_column("Ratio", justify="right")
    own = figures(report.cost)
    other = {} if baseline is None else figures(baseline)
    for name, (label, form) in _ROWS.items():
        if name in own:
            cells = [form(own[name])]
            if baseline is not None:
                cells += [form(other[name]) if name in other else "-", ratio(report, name)]
            table.add_row(label, *cells)
    return table


def corners_table(report: Report) -> Table:
    """Return the array's figures and the baseline's at each corner."""
    table = new_table("Corner", "V")
    costs = [report.cost] if report.baseline is None else [report.cost, report.baseline]
    for cost in costs:
        for what in ("ns", "mW", "leakage mW"):
            table.add_column(f"{cost.acc}: {what}", justify="right")
    for place, corner in enumerate(report.cost.corners):
        cells = [corner.file, f"{corner.voltage:g}"]
        for cost in costs:
            own = cost.corners[place]
            period = "-" if own.minimum_period_ns is None else _thousandths(own.minimum_period_ns)
            cells += [period, significant(own.power_mw), significant(own.leakage_mw)]
        table.add_row(*cells)
    return table


def modes_table(cost: Cost) -> Table:
    """Return what a multiply-accumulate takes in each mode."""
    parts = {"logic": "combinational", "registers": "registers", "clock": "clock"}
    table = new_table("Mode", "Energy per MAC (pJ)", *(f"of it {part} (pJ)" for part in parts))
    for mode in cost.modes:
        shares = [significant(getattr(mode, share) * mode.energy_per_mac_pj) for share in parts.values()]
        table.add_row(mode.name, significant(mode.energy_per_mac_pj), *shares)
    return table


def label(name: str) -> str:
    """Return what a figure of `figures` is called."""
    return _ROWS[name][0]


def ratio(report: Report, name: str) -> str:
    """Return a figure's ratio to the baseline's as it is printed."""
    return f"{report.ratios[name]:.2f}" if name in report.ratios else "-"


def conditions(report: Report) -> list[str]:
    """Return sentences on what the figures hold for."""
    c = report.conditions
    gated = ", gated clocks" if c["clock_gating"] else ""
    lines = [
        f"Synthesis: {c['synthesis']}, library {c['library']}, {c['voltage']:g} V, aiming at {c['clock_mhz']:g} MHz; "
        f"LUTs before packing, those of iCE40 without multiplier blocks.",
        f"Power: {c['clock_mhz']:g} MHz, {c['data']}; {c['delay_model']}; input slew {c['slew_ns']:g} ns, "
        f"{c['wire_ff']:g} fF a wire, no clock tree{gated}; {_shares(report.cost)}.",
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
