"""Reports made up by hand: what looks at them needs no synthesis."""

from typing import Any

from macgen.cost.blocks import Block
from macgen.cost.corners import Corner
from macgen.cost.estimate import Report
from macgen.cost.fpga.place_and_route import WorstPath
from macgen.cost.fpga.report import FpgaReport
from macgen.cost.input_file import InputFile
from macgen.cost.pricing import Cost, ModeCost
from macgen.cost.timing import PathPoint
from macgen.spec import MacSpec

SPEC = MacSpec(a="e5m2", b="e5m2", acc="e6m5", chunk=64, rows=2, cols=3)

HOSTILE = "\\pe\"><script>alert('x')</script>&amp;"
"""A name that Verilog allows, in a bundle that is trusted."""

CONDITIONS = {
    "synthesis": "Yosys 0.99",
    "timing": "OpenSTA 2.9",
    "data": "random operands",
    "library": "tiny",
    "voltage": 1.2,
    "clock_mhz": 500.0,
    "slew_ns": 0.01,
    "wire_ff": 0.0,
    "clock_gating": False,
    "delay_model": "zero delay: no glitches",
}


def cost(acc: str, scale: float, **changes: Any) -> Cost:
    """Return a cost, all of whose figures grow with `scale`."""
    parts = {"combinational": 1.5, "registers": 0.5, "clock": 0.75, "leakage": 0.25}
    power = {name: value * scale for name, value in {"total": 3.0, **parts}.items()}
    figures: dict[str, Any] = {
        "cells": {"INV": 1000},
        "total_cells": int(1234 * scale),
        "gate_equivalents": 2345.0 * scale,
        "flip_flops": int(120 * scale),
        "depth": int(30 * scale),
        "area_um2": 5678.0 * scale,
        "minimum_period_ns": 1.25 * scale,
        "period_unavailable": None,
        "luts": {"ecp5": int(400 * scale)},
        "dsps": {"ecp5": 0},
        "power_mw": power,
        "energy_per_mac_pj": 1.5 * scale,
        "results_checked": 6,
    }
    return Cost(acc=acc, **(figures | changes))


def report(**changes: Any) -> Report:
    """Return a report with all that a page can show, under a name that is hostile."""
    corners = (Corner("tiny", "fast.lib", 1.3, 1.0, 3.5, 0.5), Corner("tiny", "slow.lib", 1.1, 1.75, 2.5, 0.125))
    own = cost(
        "e6m5",
        1.0,
        corners=corners,
        modes=(ModeCost("full", 1.5, 0.5, 0.2, 0.25), ModeCost("low", 1.25, 0.4, 0.3, 0.25)),
        worst_path=(PathPoint("q_0/Q", "DFF", 0.25, 0.25), PathPoint(HOSTILE, "INV", 0.9, 1.15)),
        blocks=(Block(HOSTILE, 6, 2000.0, 5000.0, 2.0), Block("", 1, 400.0, 1000.0, 1.25)),
    )
    values: dict[str, Any] = {
        "name": HOSTILE,
        "spec": SPEC.to_dict(),
        "cost": own,
        "baseline": cost("e8m23", 2.0, corners=corners),
        "baseline_unavailable": None,
        "conditions": CONDITIONS,
        "notes": ("the array is hostile",),
        "tools": {"macgen": "0.2.0", "amaranth": "0.5.10"},
        "files": (InputFile("rtl/unit.v", "ab" * 32), InputFile(HOSTILE, "cd" * 32)),
    }
    return Report(**(values | changes))


FPGA = FpgaReport(
    name="unit",
    spec=SPEC.to_dict(),
    family="ecp5",
    device="25k",
    package="CABGA381",
    speed=6,
    pes=6,
    luts=1212,
    flip_flops=434,
    dsps=6,
    memories=0,
    filled={"LUT4": (1300, 24288)},
    fmax_mhz=87.6,
    placements_mhz={1: 86.5, 2: 87.6, 3: 88.7},
    worst_path=WorstPath(module="unit_adder", start="a", end="b", logic_ns=5.0, routing_ns=6.0),
    target_mhz=200.0,
    tools="nextpnr 0.11",
    notes=(),
)
