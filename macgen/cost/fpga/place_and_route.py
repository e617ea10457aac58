"""Place and route: from Verilog through Yosys and nextpnr to what a part is filled with and how fast it runs."""

import json
import re
import statistics
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

from macgen import tools
from macgen.bundle.subject import Port
from macgen.cost.fpga.harness import harness_verilog
from macgen.cost.fpga.multiplier_registers import move_registers_into_multipliers
from macgen.cost.fpga.parts import SPEED, Part, PlacedFamily, larger_part
from macgen.cost.fpga_cells import counted_cells
from macgen.cost.netlist.hierarchy import read_modules
from macgen.cost.synthesize import Yosys, read_design
from macgen.errors import MacgenError, ToolError

DEFAULT_TIMEOUT = 3600.0

TARGET_MHZ = 200.0
"""Clock that placement aims at; a higher one changes little, a lower one lets it stop early."""

_SYNTHESIS: Mapping[PlacedFamily, str] = {"ecp5": "synth_ecp5 -noflatten", "ice40": "synth_ice40 -noflatten"}
_CELLS = {
    "luts": r"TRELLIS_COMB|ICESTORM_LC",
    "dsps": r"MULT18X18D|ICESTORM_DSP",
    "memories": r"DP16KD|ICESTORM_RAM",
}
_GIVEN_BY_NEXTPNR = r"(\$CCU2_COMB\d|_LC|_DFFLC|\$CARRY)$"
"""What nextpnr adds to the names of cells when it packs them."""

_UTILISATION = re.compile(r"^Info:\s+(\w+):\s*(\d+)/\s*(\d+)\s+\d+%", re.MULTILINE)


@dataclass(frozen=True)
class WorstPath:
    """The path that limits the clock.

    Attributes:
        module: of the array, in which most of its delay arises; that of the whole array if it is between modules.
        start, end: the registers, with the instances they are in.
        logic_ns, routing_ns: delay in cells, setup and clock-to-output included, and on wires.
    """

    module: str
    start: str
    end: str
    logic_ns: float
    routing_ns: float


@dataclass(frozen=True)
class Placement:
    """An array on a part.

    Attributes:
        tools: Yosys's and nextpnr's versions.
        luts, flip_flops, dsps, memories: of the array alone, those inside carry chains included.
        filled: by kind of cell, how many of the part's are taken and how many it has, the harness included.
        seeds: of the placements.
        fmax_mhz: of each.
        worst: path of the placement with the median clock.
    """

    tools: str
    luts: int
    flip_flops: int
    dsps: int
    memories: int
    filled: Mapping[str, tuple[int, int]]
    seeds: tuple[int, ...]
    fmax_mhz: tuple[float, ...]
    worst: WorstPath

    @property
    def median_mhz(self) -> float:
        """The median of the clocks; of two in the middle the lower."""
        return statistics.median_low(self.fmax_mhz)

    def to_dict(self) -> dict[str, Any]:
        """Return the placement as JSON values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Any) -> Self:
        """Return the placement that `to_dict` gave the values of."""
        return cls(
            **{
                **values,
                "filled": {name: (int(used), int(there)) for name, (used, there) in values["filled"].items()},
                "seeds": tuple(values["seeds"]),
                "fmax_mhz": tuple(values["fmax_mhz"]),
                "worst": WorstPath(**values["worst"]),
            }
        )


def place(
    verilog: Path,
    ports: Sequence[Port],
    clock: str,
    top: str,
    *,
    workdir: Path,
    part: Part,
    package: str,
    seeds: Sequence[int],
    target_mhz: float = TARGET_MHZ,
    timeout: float = DEFAULT_TIMEOUT,
    progress: Callable[[str], None] = lambda _: None,
) -> Placement:
    """Synthesize an array in its harness, place and route it.

    Parameters:
        verilog: its text.
        ports: of its top module.
        clock: the one that is its clock.
        top: that module.
        workdir: for scripts, logs and netlists.
        part, package: where it goes.
        seeds: of the placements.
        target_mhz: clock to aim at.
        timeout: limit in seconds for each run of a tool.
        progress: is called with what is being done.

    Raises:
        MacgenError: the array is too large for the part.
        ToolError: a tool is missing, fails or exceeds its time; the log is in `workdir`.
    """
    nextpnr = tools.require(f"nextpnr-{part.family}")
    run = Yosys(workdir, timeout)
    harness = f"{top}_harness"
    workdir.mkdir(parents=True, exist_ok=True)
    text = workdir / "harness.v"
    text.write_text(harness_verilog(ports, clock, top, harness), encoding="utf-8")
    progress(f"synthesis for {part.family}")
    design = read_design([verilog, text], harness, run, kept=(top,), has_blocks=part.dsps > 0)
    dsp = " -dsp" if part.family == "ice40" and part.dsps else ""
    commands = [
        *design,
        f"{_SYNTHESIS[part.family]}{dsp} -top {harness}",
        "write_json mapped.json",
        "setattr -mod -unset keep_hierarchy *",
        "flatten -noscopeinfo",
        "opt_clean -purge",
        "write_json flat.json",
    ]
    run.yosys("synthesis", commands)
    counts = counted_cells(read_modules(workdir / "mapped.json"), top, part.family)
    moved = 0
    if part.family == "ecp5":
        flat = json.loads((workdir / "flat.json").read_text(encoding="utf-8"))
        moved = move_registers_into_multipliers(flat["modules"][harness])
        (workdir / "flat.json").write_text(json.dumps(flat), encoding="utf-8")
    needed = {"luts": max(counts.luts, counts.flip_flops - moved), "dsps": counts.dsps, "memories": counts.memories}
    _check_room(part, needed)
    reports = []
    for seed in seeds:
        progress(f"place and route, seed {seed}")
        reports.append(_routed(nextpnr, workdir, part, package, seed, target_mhz, timeout))
    clocks = [_clock(report) for report in reports]
    middle = reports[clocks.index(statistics.median_low(clocks))]
    cells = read_modules(workdir / "flat.json")[harness]["cells"]
    return Placement(
        tools=f"Yosys {tools.require('yosys').version}, nextpnr {nextpnr.version}",
        luts=counts.luts,
        flip_flops=counts.flip_flops - moved,
        dsps=counts.dsps,
        memories=counts.memories,
        filled={
            name: (found["used"], found["available"])
            for name, found in middle["utilization"].items()
            if found["used"] and re.fullmatch("|".join([*_CELLS.values(), "TRELLIS_FF"]), name)
        },
        seeds=tuple(seeds),
        fmax_mhz=tuple(round(clock, 1) for clock in clocks),
        worst=_worst_path(middle, cells, verilog.read_text(encoding="utf-8"), top),
    )


def _check_room(part: Part, needed: Mapping[str, int]) -> None:
    """Refuse what a part cannot hold, and say what can."""
    words = {"luts": "LUTs", "dsps": "DSPs", "memories": "block RAMs"}
    lacking = [
        f"{needed[key]} {words[key]} of its {getattr(part, key)}" for key in words if needed[key] > getattr(part, key)
    ]
    if not lacking:
        return
    other = larger_part(part, **needed)
    hint = (
        f"{part.family} {other.name} has room for it" if other else f"no {part.family} part that macgen knows has room"
    )
    raise MacgenError(f"device {part.name} is too small: the array needs {' and '.join(lacking)}; {hint}")


def _routed(
    nextpnr: tools.Tool, workdir: Path, part: Part, package: str, seed: int, target_mhz: float, timeout: float
) -> Any:
    """Run nextpnr and return its report."""
    log, report = workdir / f"nextpnr-{seed}.log", workdir / f"nextpnr-{seed}.json"
    speed = (
        ["--speed", str(SPEED), "--lpf-allow-unconstrained"] if part.family == "ecp5" else ["--pcf-allow-unconstrained"]
    )
    command = [
        *nextpnr.command,
        *(f"--{part.name}", "--package", package, *speed),
        *("--json", "flat.json", "--seed", str(seed), "--freq", f"{target_mhz:g}", "--timing-allow-fail"),
        *("--report", report.name),
    ]
    code = tools.run(
        command,
        cwd=workdir,
        log=log,
        timeout=timeout,
        env=nextpnr.environment(),
        name=f"nextpnr-{part.family}",
        check=False,
    )
    if code != 0:
        used = _used(log.read_text(encoding="utf-8", errors="replace"))
        _check_room(
            part,
            {
                key: max((n for name, n in used.items() if re.fullmatch(pattern, name)), default=0)
                for key, pattern in _CELLS.items()
            },
        )
        raise ToolError(f"{nextpnr.name} {tools.ended(code)}: {tools.last_message(log)}; its log is {log}")
    try:
        found = json.loads(report.read_text(encoding="utf-8"))
        _clock(found)
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        raise ToolError(f"{nextpnr.name} gave no report that macgen can read; its log is {log}") from None
    return found


def _used(log: str) -> Mapping[str, int]:
    """Return by kind of cell how many a design takes, as the log of a run that failed has it."""
    return {name: int(used) for name, used, _ in _UTILISATION.findall(log)}


def _clock(report: Any) -> float:
    """Return the clock that a placement reaches."""
    (clock,) = report["fmax"].values()
    return float(clock["achieved"])


def _module_of_line(verilog: str) -> list[str]:
    """Return by line, counted from 1, the module that it is in."""
    modules, module = [""], ""
    for line in verilog.splitlines():
        if found := re.match(r"module (\w+)", line):
            module = found[1]
        modules.append(module)
    return modules


def _worst_path(report: Any, cells: Mapping[str, Any], verilog: str, top: str) -> WorstPath:
    """Return the slowest path between registers.

    Cells of carry chains and registers know the line of the Verilog that they come from; the LUTs before and after them
    have only a name, which is that of some signal on the way, and count for none.

    Parameters:
        report: nextpnr's.
        cells: those of the netlist that it was given.
        verilog: text of the array.
        top: its module.
    """
    paths = [path["path"] for path in report["critical_paths"] if path["from"] == path["to"]]
    steps = max(paths, key=lambda steps: sum(float(step["delay"]) for step in steps))
    modules = _module_of_line(verilog)
    delays: dict[str, float] = defaultdict(float)
    kinds = {"logic": 0.0, "routing": 0.0}
    for step in steps:
        delay = float(step["delay"])
        kinds["routing" if step["type"] == "routing" else "logic"] += delay
        cell = cells.get(re.sub(_GIVEN_BY_NEXTPNR, "", step["to"]["cell"]))
        source = "" if cell is None else cell["attributes"].get("src", "")
        if lines := re.findall(r"\bdesign0\.v:(\d+)", source):
            # Also those of the instances that it is in; modules stand before those inside them.
            delays[modules[max(map(int, lines))]] += delay
    return WorstPath(
        module=max(delays, key=lambda module: delays[module], default=top),
        start=_register(steps[0]["from"]["cell"]),
        end=_register(steps[-1]["to"]["cell"]),
        logic_ns=round(kinds["logic"], 2),
        routing_ns=round(kinds["routing"], 2),
    )


def _register(cell: str) -> str:
    """Return a register's name from that of one of its flip-flops, or a cell's as it is."""
    return re.sub(r"(_TRELLIS_FF|_SB_DFF).*$", "", cell).removeprefix("dut.")
