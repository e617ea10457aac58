"""What one array costs: synthesized, timed, simulated."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from macgen.bundle.contents import verilog_of
from macgen.cost import power, synthesize, timing
from macgen.cost.blocks import Block, blocks_of
from macgen.cost.corners import Corner, at_corners
from macgen.cost.workload import Run, Workload, simulate
from macgen.spec import MacSpec


@dataclass(frozen=True)
class ModeCost:
    """What one multiply-accumulate takes in a mode of an array.

    Attributes:
        name: the mode's.
        energy_per_mac_pj: all of the array's power counted.
        combinational, registers, clock: shares of it, from 0 to 1; the rest leaks.
    """

    name: str
    energy_per_mac_pj: float
    combinational: float
    registers: float
    clock: float


@dataclass(frozen=True)
class CountersCost:
    """What counters add to an array.

    Attributes:
        gate_equivalents: size in two-input NAND gates.
        flip_flops: number of flip-flops.
        area_um2: cell area; None without a Liberty file.
    """

    gate_equivalents: float
    flip_flops: int
    area_um2: float | None


@dataclass(frozen=True)
class Cost:
    """What one array costs.

    Attributes:
        acc: its accumulator.
        cells: number of cells of each type.
        total_cells: number of cells, flip-flops included.
        gate_equivalents: size in two-input NAND gates.
        flip_flops: number of flip-flops.
        depth: gates on the longest path.
        area_um2: cell area; None without a Liberty file.
        minimum_period_ns: None where it is not known; `period_unavailable` says why.
        luts: look-up tables for each FPGA family, beside the multiplier blocks.
        dsps: multiplier blocks for each FPGA family; iCE40's are not used, as most parts have none.
        power_mw: at the report's clock, with its parts.
        energy_per_mac_pj: of one multiply-accumulate, all of the array's power counted.
        results_checked: results of the netlist compared with the golden model, all equal.
        corners: the same netlist with each of several Liberty files; empty where there is one or none.
        modes: what a multiply-accumulate takes in each mode; empty where there is one.
        counters: what its counters add to the same array without them; None where it has none, and of a baseline.
        worst_path: the one that sets the minimum period, from clock to setup; empty where that is not known.
        blocks: what each module costs, of a second synthesis that optimises nothing across modules, so that their sum
            differs by some per cent; empty unless asked for.
    """

    acc: str
    cells: dict[str, int]
    total_cells: int
    gate_equivalents: float
    flip_flops: int
    depth: int
    area_um2: float | None
    minimum_period_ns: float | None
    period_unavailable: str | None
    luts: dict[str, int]
    dsps: dict[str, int]
    power_mw: dict[str, float]
    energy_per_mac_pj: float
    results_checked: int
    corners: tuple[Corner, ...] = ()
    modes: tuple[ModeCost, ...] = ()
    counters: CountersCost | None = None
    worst_path: tuple[timing.PathPoint, ...] = ()
    blocks: tuple[Block, ...] = ()


@dataclass(frozen=True)
class Pricer:
    """What prices arrays, each with the same flow.

    Attributes:
        work: directory of its own; files there have the labels of the arrays in their names.
        libraries: Liberty files as they are mapped to, without cells that are not to be used; none: generic gates.
        files: the same as they were given.
        clock_mhz: for power, and what synthesis aims at.
        workload: what is computed while power is counted.
        workload_of: makes the same of the spec of a mode.
        progress: told what begins.
        clock_gating: whether registers with a common enable get a gated clock.
    """

    work: Path
    libraries: Sequence[Path]
    files: Sequence[Path]
    clock_mhz: float
    workload: Workload
    workload_of: Callable[[MacSpec], Workload]
    progress: Callable[[str], None]
    clock_gating: bool = False

    def counters(self, spec: MacSpec, cost: Cost) -> CountersCost:
        """Return what counters add to the array without them, of the array's cost with them."""
        self.progress("array without counters: synthesis")
        verilog = self.work / "uncounted.v"
        verilog.write_text(verilog_of(spec.replace(counters=None), "uncounted"), encoding="utf-8")
        without = self._gates("uncounted", verilog, "uncounted")
        area = None if cost.area_um2 is None or without.area is None else cost.area_um2 - without.area
        return CountersCost(
            gate_equivalents=cost.gate_equivalents - without.gate_equivalents,
            flip_flops=cost.flip_flops - without.flip_flops,
            area_um2=area,
        )

    def _gates(self, label: str, verilog: Path, top: str) -> synthesize.GateSynthesis:
        return synthesize.synthesize_gates(
            [verilog],
            top,
            workdir=self.work / f"{label}-gates",
            liberty_file=self.libraries[0] if self.libraries else None,
            period_ns=1e3 / self.clock_mhz,
            clock_gating=self.clock_gating,
        )

    def cost(self, label: str, spec: MacSpec, verilog: Path, top: str) -> tuple[Cost, dict[str, Any]]:
        """Return an array's cost and what it holds for."""
        self.progress(f"{label}: synthesis")
        gates = self._gates(label, verilog, top)
        luts: dict[str, int] = {}
        dsps: dict[str, int] = {}
        for family in synthesize.REPORTED:
            self.progress(f"{label}: synthesis for {family}")
            workdir, dsp = self.work / f"{label}-{family}", family != "ice40"
            mapped = synthesize.synthesize_luts([verilog], top, workdir=workdir, family=family, dsp=dsp)
            luts[family], dsps[family] = mapped.luts, mapped.dsps
        self.progress(f"{label}: timing")
        times = timing.analyse(gates)
        self.progress(f"{label}: netlist simulation")
        run = simulate(spec, gates.netlist, self.workload)
        estimate = power.estimate(gates.netlist, run.activity, clock_mhz=self.clock_mhz)
        modes = [_mode_cost(spec, 0, estimate, run)] * bool(spec.modes)
        checked = run.results_checked
        for number in range(1, len(spec.mode_names)):
            self.progress(f"{label}: netlist simulation, mode {spec.mode_names[number]}")
            in_mode = simulate(spec, gates.netlist, self.workload_of(spec.mode(number)), number)
            used = power.estimate(gates.netlist, in_mode.activity, clock_mhz=self.clock_mhz)
            modes.append(_mode_cost(spec, number, used, in_mode))
            checked += in_mode.results_checked
        corners: tuple[Corner, ...] = ()
        if len(self.files) > 1:
            self.progress(f"{label}: corners")
            place = self.work / f"{label}-corners"
            corners = at_corners(gates, run.activity, self.files, clock_mhz=self.clock_mhz, workdir=place)
        cost = Cost(
            acc=str(spec.acc),
            cells=dict(gates.cells),
            total_cells=gates.total_cells,
            gate_equivalents=gates.gate_equivalents,
            flip_flops=gates.flip_flops,
            depth=gates.depth,
            area_um2=gates.area,
            minimum_period_ns=times.minimum_period_ns,
            period_unavailable=times.unavailable,
            luts=luts,
            dsps=dsps,
            power_mw={
                "total": estimate.total,
                "combinational": estimate.combinational,
                "registers": estimate.registers,
                "clock": estimate.clock,
                "leakage": estimate.leakage,
            },
            energy_per_mac_pj=estimate.energy_per_cycle * run.cycles_per_mac / (spec.rows * spec.cols),
            results_checked=checked,
            corners=corners,
            modes=tuple(modes),
            worst_path=times.path,
        )
        conditions = {
            "synthesis": gates.tool,
            "timing": times.tool,
            "data": self.workload.description,
            "clock_gating": self.clock_gating,
            **asdict(estimate.conditions),
        }
        return cost, conditions

    def blocks(self, label: str, spec: MacSpec, verilog: Path, top: str) -> tuple[Block, ...]:
        """Return what each module of an array costs."""
        self.progress(f"{label}: synthesis with its modules kept")
        return blocks_of(
            spec,
            verilog,
            top,
            workload=self.workload,
            workdir=self.work / f"{label}-blocks",
            liberty=self.libraries[0] if self.libraries else None,
            clock_mhz=self.clock_mhz,
            clock_gating=self.clock_gating,
        )


def _mode_cost(spec: MacSpec, number: int, estimate: power.Power, run: Run) -> ModeCost:
    """Return what a multiply-accumulate takes in a mode."""
    each = run.cycles_per_mac / (spec.rows * spec.cols)
    return ModeCost(
        name=spec.mode_names[number],
        energy_per_mac_pj=estimate.energy_per_cycle * each,
        combinational=estimate.combinational / estimate.total,
        registers=estimate.registers / estimate.total,
        clock=estimate.clock / estimate.total,
    )
