"""Quality of results on a standard-cell library: `python benchmarks/qor.py --liberty FILE [--only TABLE]`.

Four tables. The catalogue: an array of one PE as it is built, next to the same with an accumulator of 32 bits, as
`macgen report` measures them. The units: multiplier, product register, adder, accumulator, flags and output converter,
without the array's registers, which is what a multiply-accumulate unit of another library would be replaced by; with
the figures of such peers. Exact sums: units with a fixed-point (Kulisch) accumulator that no sum of 4096 products
exceeds, next to rounded ones of the same operands. The folds: what chunks add to a PE. All synthesis is with the recipe
of `macgen report`.

What the tools make of a design depends on the order of its statements, which means nothing: by itself that moves area x
period by up to 8 %. All but the catalogue is therefore synthesized in several orders, and the figures are geometric
means.
"""

import argparse
import random
import re
import sys
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import geometric_mean
from typing import Any

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from rich.console import Console
from rich.table import Table

import macgen
from macgen import tools
from macgen.bundle import build
from macgen.bundle.verilog import rtlil_to_verilog
from macgen.cost import synthesize, timing
from macgen.cost.estimate import report
from macgen.interrupts import run_program
from macgen.lifetime import temporary_directory
from macgen.numerics import parse_format
from macgen.numerics.flags import FLAG_BITS
from macgen.rtl import Design, Modules
from macgen.rtl.parts.hierarchy import submodule
from macgen.rtl.parts.interfaces import connect_members, delayed_members, member, random_port
from macgen.rtl.parts.pipeline import delay, delayed
from macgen.rtl.pe import Pe
from macgen.rtl.units.multiplier import Multiplier
from macgen.spec import MacSpec
from macgen.width.bounds import exact_format

AIM_NS = 0.5
"""Period that the units are synthesized for: shorter than any can reach."""

E6M5 = MacSpec(a="e5m2", b="e5m2", acc="e6m5")
E6M9 = E6M5.replace(acc="e6m9")
FP32 = MacSpec(a="fp32", b="fp32", acc="fp32", overflow="infinity")
FP16 = MacSpec(a="fp16", b="fp16", acc="fp16", overflow="infinity")

ORDERS = 6
"""In how many orders of its statements a unit is synthesized; the first is that in which it is emitted."""

FMA, PIPELINED = "fused multiply-add", "multiplier, register, adder"

PEERS = {
    (FMA, "e6m5"): (1513.0, 1.785),
    (FMA, "e6m9"): (1993.0, 1.992),
    (PIPELINED, "e6m9"): (1477.0, 1.229),
    (FMA, "e5m2 -> fp32"): (3909.0, 2.698),
    (FMA, "fp16"): (3294.0, 2.285),
    (FMA, "fp32"): (9268.0, 3.406),
}
"""Berkeley HardFloat (Release 1), rounding to nearest even: um2 and ns in Nangate 45 typical, from Yosys 0.70 and
OpenSTA 2.0.17 with the recipe of `macgen report`, as means over the same orders. Recoded operand registers (or product
register, of mulRecFN) and accumulator, flags, converters from and to the interchange format before the one and after
the other; operands narrower than the accumulator are widened. Without a step the product is 0, as in `Unit`."""

UNITS: list[tuple[str, MacSpec, tuple[str, str], float | None]] = [
    ("e5m2 -> e6m5", E6M5, (FMA, "e6m5"), 0.40),
    ("e5m2 -> e6m5, 13 random bits", E6M5.replace(rounding="stochastic:13"), (FMA, "e6m5"), None),
    ("e5m2 -> e6m5, 4 random bits, to nearest", E6M5.replace(rounding="stochastic:4:nearest"), (FMA, "e6m5"), None),
    ("e5m2 -> e6m9", E6M9, (FMA, "e6m9"), 0.40),
    ("", E6M9, (PIPELINED, "e6m9"), 0.80),
    ("e5m2 -> e6m5, 2 interleaved", E6M5.replace(interleave=2), (FMA, "e6m5"), 0.28),
    ("e5m2 -> e6m9, 2 interleaved", E6M9.replace(interleave=2), (FMA, "e6m9"), 0.28),
    ("e5m2 -> fp32", E6M5.replace(acc="fp32"), (FMA, "e5m2 -> fp32"), 0.50),
    ("fp16 -> fp16", FP16, (FMA, "fp16"), 0.70),
    ("fp32 -> fp32", FP32, (FMA, "fp32"), 0.75),
]
"""Name, unit, peer, and the share of the peer's area x period that the unit is to stay below, if one was set.

The peer of the stochastic units rounds to nearest: it has no random numbers."""

NARROW = {"FP8": "e4m3fn", "FP6": "e3m2finite", "FP4": "e2m1finite"}
"""Operands whose exact sums are measured next to those rounded to ROUNDED."""

ROUNDED = ("e6m9", "e6m5")

LENGTH = 4096
"""Products that an exact accumulator has room for."""

FOLDS: dict[str, dict[str, Any]] = {
    "no chunks": {"chunk": None},
    "bubble": {"chunk": 64},
    "overlap": {"chunk": 64, "fold": "overlap"},
}


class Unit(wiring.Component):
    """A multiply-accumulate unit by itself: product register, accumulator, flags, output converter.

    Members:
        a, b: operands.
        step: they are accumulated.
        first: their product starts a new sum.
        random: with stochastic rounding the random number, when the addition ends.
        code, flags: of the sum so far.
    """

    def __init__(self, spec: MacSpec) -> None:
        self._spec, self._arithmetic = spec, Design(spec).steps
        super().__init__(
            {
                "a": In(spec.a.width),
                "b": In(spec.b.width),
                "step": In(1),
                "first": In(1),
                **random_port(self._arithmetic.random_bits),
                "code": Out(spec.acc.width),
                "flags": Out(FLAG_BITS),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Return the logic."""
        m = Module()
        arithmetic = self._arithmetic
        multiplier = submodule(
            m,
            platform,
            "multiplier",
            "multiplier",
            lambda: Multiplier(self._spec.a, self._spec.b, arithmetic.rounded_sum.addend),
        )
        product = submodule(m, platform, "product", "product", arithmetic.product)
        adder = submodule(m, platform, "adder", "adder", lambda: arithmetic.adder(self._spec.interleave))
        output = submodule(m, platform, "code_output", "output", arithmetic.output)
        if arithmetic.random_bits:
            m.d.comb += adder.random.eq(self.random)
        # With `pipeline` = 2 the raw product has registers, too.
        step, first, raw = self.step, self.first, multiplier.product
        m.d.comb += [multiplier.a.eq(self.a), multiplier.b.eq(self.b)]
        for _ in range(self._spec.pipeline - 1):
            raw = delayed_members(m, "raw", raw, raw.signature, 1)
            step, first = delay(m, "raw", step=step, first=first)
        m.d.comb += product.present.eq(step)
        connect_members(m, product.product, raw)
        for name, item in arithmetic.operand.members.items():
            register = Signal(item.shape, name=f"operand_{name}", reset_less=True)
            m.d.sync += register.eq(getattr(product.operand, name))
            m.d.comb += getattr(adder.operand, name).eq(register)
        for name, item in arithmetic.value.members.items():
            register = Signal(item.shape, name=f"acc_{name}", reset_less=True)
            m.d.sync += register.eq(Mux(first, arithmetic.zero.get(name, 0), member(adder.result, name)))
            m.d.comb += getattr(adder.acc, name).eq(register)
            m.d.comb += getattr(output.value, name).eq(register)
        flags = Signal(FLAG_BITS, reset_less=True)
        before = delayed(m, "before", flags | adder.deferred_flags, self._spec.interleave - 1)
        m.d.sync += flags.eq(Mux(first, 0, before | adder.flags))
        m.d.comb += [self.code.eq(output.code), self.flags.eq(flags | output.flags)]
        return m


def reordered(verilog: str, seed: int) -> str:
    """Return Verilog with the assignments of each module in another order; with seed 0 as it is."""
    if seed == 0:
        return verilog
    modules = []
    for module in verilog.split("endmodule"):
        lines = module.split("\n")
        places = [place for place, line in enumerate(lines) if re.fullmatch(r"  assign .*;", line)]
        order = random.Random(seed).sample(places, len(places))
        text = dict(zip(places, (lines[place] for place in order), strict=True))
        modules.append("\n".join(text.get(place, line) for place, line in enumerate(lines)))
    return "endmodule".join(modules)


@dataclass(frozen=True)
class Measured:
    """A unit's figures, geometric means over the orders of its statements.

    Attributes:
        area: in um2.
        period: the minimum, in ns.
        scatter: by how much the product of both differs from its mean at most.
    """

    area: float
    period: float
    scatter: float

    @property
    def product(self) -> float:
        """Area x period in um2 ns."""
        return self.area * self.period


def measured(component: wiring.Component, liberty: Path) -> Measured:
    """Synthesize a component in several orders of its statements."""
    return measured_verilog(rtlil_to_verilog(Modules("unit").convert(component), "unit"), liberty)


def measured_verilog(verilog: str, liberty: Path) -> Measured:
    """Synthesize the module `unit` in several orders of its statements."""
    orders = [reordered(verilog, seed) for seed in range(ORDERS)]
    each = tools.side_by_side(*(partial(area_and_period, order, liberty) for order in orders))
    area, period = (geometric_mean(values) for values in zip(*each, strict=True))
    return Measured(area, period, max(abs(a * p / (area * period) - 1) for a, p in each))


def area_and_period(verilog: str, liberty: Path) -> tuple[float, float]:
    """Return um2 and minimum period in ns of the module `unit`."""
    with temporary_directory() as directory:
        source = directory.path / "unit.v"
        source.write_text(verilog, encoding="utf-8")
        gates = synthesize.synthesize_gates(
            [source], "unit", workdir=directory.path / "work", liberty_file=liberty, period_ns=AIM_NS
        )
        period = timing.analyse(gates).minimum_period_ns
    assert gates.area is not None
    assert period is not None
    return gates.area, period


def unit_table(liberty: Path) -> Table:
    """Measure the units."""
    table = Table(title="One multiply-accumulate unit, product registered, without chunks, next to HardFloat")
    for heading in ("function", "um2", "ns", "um2 ns", "scatter", "peer", "um2", "ns", "ratio of um2 ns", "aim"):
        table.add_column(heading, justify="right")
    units: dict[MacSpec, Measured] = {}
    for name, spec, (kind, function), aim in UNITS:
        if spec not in units:
            units[spec] = measured(Unit(spec), liberty)
        unit = units[spec]
        peer_area, peer_period = PEERS[kind, function]
        ratio = unit.product / (peer_area * peer_period)
        figures = (f"{unit.area:.0f}", f"{unit.period:.2f}", f"{unit.product:.0f}", f"{unit.scatter:.1%}")
        table.add_row(
            name,
            *(figures if name else [""] * len(figures)),
            kind,
            f"{peer_area:.0f}",
            f"{peer_period:.2f}",
            f"{ratio:.2f}",
            "-" if aim is None else f"{aim:.2f} {'met' if ratio <= aim else 'missed'}",
        )
    return table


def exact_table(liberty: Path) -> Table:
    """Measure units that sum exactly next to those that round each sum."""
    table = Table(title=f"Exact sums of {LENGTH} products next to rounded ones: one unit, as above")
    for heading in ("operands", "accumulator", "um2", "ns", "um2 ns", "scatter", "exact's um2 ns to it"):
        table.add_column(heading, justify="right")
    for name, operand in NARROW.items():
        exact = exact_format(parse_format(operand), parse_format(operand), LENGTH)
        first: Measured | None = None
        for acc in (str(exact), *ROUNDED):
            unit = measured(Unit(MacSpec(a=operand, b=operand, acc=acc)), liberty)
            first = first or unit
            table.add_row(
                f"{name}, {operand}",
                acc,
                f"{unit.area:.0f}",
                f"{unit.period:.2f}",
                f"{unit.product:.0f}",
                f"{unit.scatter:.1%}",
                f"{first.product / unit.product:.2f}",
            )
    return table


def fold_table(liberty: Path) -> Table:
    """Measure what the chunk fold adds to a PE."""
    table = Table(title="One PE of the array, with and without chunk fold")
    for heading in ("accumulator", "fold", "um2", "ns", "area", "period"):
        table.add_column(heading, justify="right")
    for acc in ("e6m5", "e6m9"):
        base: Measured | None = None
        for fold, fields in FOLDS.items():
            pe = measured(Pe(Design(MacSpec(a="e5m2", b="e5m2", acc=acc, **fields))), liberty)
            base = base or pe
            table.add_row(
                acc,
                fold,
                f"{pe.area:.0f}",
                f"{pe.period:.2f}",
                f"{pe.area / base.area:.2f}",
                f"{pe.period / base.period:.2f}",
            )
    return table


def catalogue_table(liberty: Path, console: Console) -> Table:
    """Measure the presets as arrays of one PE, next to the same with an accumulator of 32 bits."""
    table = Table(title="Presets as arrays of one PE; in brackets next to an accumulator of 32 bits")
    for heading in ("preset", "um2", "ns", "um2 ns", "pJ a MAC"):
        table.add_column(heading, justify="right")
    for name, spec in macgen.presets.items():
        with temporary_directory() as directory, console.status(name):
            bundle = directory.path / "mac"
            build(spec.replace(rows=1, cols=1), bundle)
            result = report(bundle, liberty=liberty)
        cost, ratios = result.cost, result.ratios
        assert cost.area_um2 is not None
        assert cost.minimum_period_ns is not None
        product = ratios["area_um2"] * ratios["minimum_period_ns"]
        table.add_row(
            name,
            f"{cost.area_um2:.0f} ({ratios['area_um2']:.2f})",
            f"{cost.minimum_period_ns:.2f} ({ratios['minimum_period_ns']:.2f})",
            f"{cost.area_um2 * cost.minimum_period_ns:.0f} ({product:.2f})",
            f"{cost.energy_per_mac_pj:.2f} ({ratios['energy_per_mac_pj']:.2f})",
        )
    return table


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description="Area, period and energy of macgen's units on a Liberty file.")
    parser.add_argument("--liberty", type=Path, required=True, help="Liberty file, plain or gzipped")
    parser.add_argument("--only", choices=["units", "exact", "folds", "catalogue"], help="one table")
    options = parser.parse_args()
    console = Console(width=None if sys.stdout.isatty() else 160)
    console.print(
        f"{options.liberty.name}; macgen {macgen.__version__}, Yosys {tools.require('yosys').version}, OpenSTA "
        f"{tools.require('sta').version}; ports timed, ideal clock and wires"
    )
    for name, make in (("units", unit_table), ("exact", exact_table), ("folds", fold_table)):
        if options.only in (None, name):
            with console.status(name):
                table = make(options.liberty)
            console.print(table)
    if options.only in (None, "catalogue"):
        console.print(catalogue_table(options.liberty, console))


if __name__ == "__main__":
    run_program(main)
