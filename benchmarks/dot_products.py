"""What exactness costs: dot products of GPUs' matrix units beside others of the same operands and lanes.

    python benchmarks/dot_products.py --liberty FILE [--only UNIT]...

Each unit is an array of one PE as it is built: the dot product of a step with its accumulator, registers and streams,
without chunks. Beside the unit's own sum, cut some bits below the largest exponent, stand the sum that is rounded once
(`fused`) and the exact one: a fixed-point (Kulisch) accumulator that holds every sum of 4096 products, converted to
fp32 where results leave. All are synthesized for 500 MHz, in one order of their statements, with the recipe of `macgen
report`; energy is that of normal random operands, toggles without glitches. Area and energy are also given per product.
"""

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

from rich.console import Console
from rich.table import Table

import macgen
from macgen import MacgenError, MacSpec, tools
from macgen.bundle.verilog import to_verilog
from macgen.cost import power, synthesize, timing
from macgen.cost.workload import random_workload, simulate
from macgen.interrupts import run_program
from macgen.lifetime import temporary_directory
from macgen.rtl import Design
from macgen.width.bounds import exact_format

CLOCK_MHZ = 500.0

LENGTH = 4096
"""Products that the exact accumulator has room for."""

UNITS = (
    "volta-fp16",
    "ampere-fp16",
    "ampere-bf16",
    "ampere-tf32",
    "ada-e4m3",
    "hopper-fp16",
    "hopper-e4m3",
    "hopper-e5m2",
    "blackwell-fp16",
    "blackwell-e4m3",
    "blackwell-mxfp8",
    "blackwell-mxfp4",
    "blackwell-nvfp4",
)


def sums(spec: MacSpec) -> Iterator[tuple[str, MacSpec | str]]:
    """Yield the ways to form a unit's dot products: a spec of each, or why there is none."""
    yield str(spec.lane_sum), spec
    if spec.scale is not None:
        yield "fused", "no sum of products with scales of their own is formed exactly"
        return
    for name, fields in (
        ("fused", {"lane_sum": "fused"}),
        ("exact", {"acc": None, "lane_sum": "fused", "out": "fp32", "rounding": "rne", "overflow": "saturate"}),
    ):
        try:
            if "acc" in fields:
                fields["acc"] = str(exact_format(spec.a, spec.b, LENGTH))
            other = spec.replace(**fields)
            Design(other)
        except MacgenError as error:
            yield name, str(error)
        else:
            yield name, other


def figures(spec: MacSpec, liberty: Path) -> tuple[float, float, float]:
    """Return um2, minimum period in ns, and pJ a product of an array of one PE."""
    with temporary_directory() as directory:
        source = directory.path / "mac.v"
        source.write_text(to_verilog(spec, "mac"), encoding="utf-8")
        gates = synthesize.synthesize_gates(
            [source], "mac", workdir=directory.path / "work", liberty_file=liberty, period_ns=1e3 / CLOCK_MHZ
        )
        period = timing.analyse(gates).minimum_period_ns
        run = simulate(spec, gates.netlist, random_workload(spec, seed=1))
        estimate = power.estimate(gates.netlist, run.activity, clock_mhz=CLOCK_MHZ)
    assert gates.area is not None
    assert period is not None
    return gates.area, period, estimate.energy_per_cycle * run.cycles_per_mac


def main() -> None:
    """Print the table, a row as soon as it is measured."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--liberty", type=Path, required=True, help="Liberty file, plain or gzipped")
    parser.add_argument("--only", action="append", choices=UNITS, help="this unit; repeatable")
    options = parser.parse_args()
    console = Console(width=None if sys.stdout.isatty() else 120)
    console.print(
        f"{options.liberty.name}; macgen {macgen.__version__}, Yosys {tools.require('yosys').version}, OpenSTA "
        f"{tools.require('sta').version}; ports timed, ideal clock and wires"
    )
    table = Table(title=f"Dot products of one PE, synthesized for {CLOCK_MHZ:g} MHz")
    for heading in ("unit", "lanes", "sum", "um2", "ns", "pJ a product", "um2 a product", "of the unit's um2 ns"):
        table.add_column(heading, justify="left" if heading in ("unit", "sum") else "right")
    missing = []
    for unit in options.only or UNITS:
        own = 0.0
        for name, spec in sums(macgen.presets[unit].replace(rows=1, cols=1)):
            if isinstance(spec, str):
                missing.append(f"{unit}, {name}: {spec}")
                continue
            with console.status(f"{unit}, {name}"):
                area, period, energy = figures(spec, options.liberty)
            own = own or area * period
            sizes = (f"{area:.0f}", f"{period:.2f}", f"{energy:.2f}", f"{area / spec.lanes:.0f}")
            table.add_row(unit, str(spec.lanes), name, *sizes, f"{area * period / own:.2f}")
            print(f"{unit}, {name}: {' '.join(sizes)}", file=sys.stderr, flush=True)
    console.print(table)
    for sentence in missing:
        console.print(sentence, markup=False)


if __name__ == "__main__":
    run_program(main)
