"""What an array takes on an FPGA, and how fast it runs there."""

import os
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from macgen import tools
from macgen.bundle.opening import OpenBundle, open_bundle
from macgen.cost.fpga.parts import SPEED, Part, find_part
from macgen.cost.fpga.place_and_route import DEFAULT_TIMEOUT, TARGET_MHZ, Placement, WorstPath, place
from macgen.cost.fpga_cells import Family
from macgen.cost.kept import Kept
from macgen.cost.synthesize import synthesize_luts
from macgen.errors import MacgenError, ToolError, check_choice, check_function, check_integer, is_real, shown
from macgen.spec import MacSpec
from macgen.spec_fields import MAX_INTERLEAVE, MAX_OUTER_CYCLES, MAX_PIPELINE

DEFAULT_SEEDS = 3
MOST_SEEDS = 99

FAMILIES: tuple[Family, ...] = ("ecp5", "ice40", "xilinx", "gowin", "nexus")
"""What `--fpga` accepts; the first two are placed and routed, of the others cells are counted."""


@dataclass(frozen=True)
class FpgaReport:
    """An array on an FPGA.

    Attributes:
        name: of the array.
        spec: as JSON values.
        family: the FPGA family.
        device, package, speed: the part; None where the array is not placed. iCE40's names tell their speed.
        pes: number of PEs.
        luts, flip_flops, dsps, memories: what the array takes, its harness not counted. Memories are block RAMs.
        filled: by kind of cell, how many are taken and how many the part has, with the harness.
        fmax_mhz: the median of all placements; None where the array is not placed.
        placements_mhz: clock of each, by its seed.
        worst_path: of the placement with the median clock; None where the array is not placed.
        target_mhz: clock that placement aimed at.
        tools: with their versions.
        notes: sentences (without their full stops) on what is unusual, and on what would not help.
    """

    name: str
    spec: dict[str, Any]
    family: Family
    device: str | None
    package: str | None
    speed: int | None
    pes: int
    luts: int
    flip_flops: int
    dsps: int
    memories: int
    filled: dict[str, tuple[int, int]]
    fmax_mhz: float | None
    placements_mhz: dict[int, float]
    worst_path: WorstPath | None
    target_mhz: float | None
    tools: str
    notes: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return the report as JSON values."""
        return asdict(self)


def fpga_report(
    bundle: str | os.PathLike[str],
    *,
    family: Family,
    device: str | None = None,
    seeds: int = DEFAULT_SEEDS,
    target_mhz: float = TARGET_MHZ,
    timeout: float = DEFAULT_TIMEOUT,
    trust: bool = False,
    progress: Callable[[str], None] = lambda _: None,
) -> FpgaReport:
    """Synthesize a bundle's Verilog for an FPGA, place and route it.

    What was measured is kept in the user's cache folder; the same array, part, seeds and tools give it at once.

    Parameters:
        bundle: what `build` returned, or its directory; only read.
        family: `ecp5` or `ice40`, which are placed and routed; `xilinx`, `gowin`, `nexus`, whose cells are counted.
        device: the part, perhaps with its package: `85k`, `25k:CABGA256`; None: the family's usual one.
        seeds: number of placements, of which the median counts.
        target_mhz: clock to aim at.
        timeout: limit in seconds for each run of a tool.
        trust: accept Verilog that macgen did not write.
        progress: is called with what is being done.

    Raises:
        MacgenError: an argument is refused, or the array is too large for the part.
        ToolError: a tool is missing, fails or exceeds its time; its log is kept and named.
    """
    check_function("progress", progress)
    place_on = part_for(family, device, seeds, target_mhz)
    seeds = int(seeds)
    tools.check_timeout(timeout)
    opened = open_bundle(bundle, trust=trust)
    tools.require("yosys")
    with tools.work_directory(None, "fpga") as work:
        work.keep = False
        try:
            if place_on is None:
                progress(f"synthesis for {family}")
                return _counted(opened, family, work.path, timeout)
            return _placed(opened, *place_on, seeds, float(target_mhz), work.path, timeout, progress)
        except ToolError:
            work.keep = any(work.path.rglob("*.log"))  # one that it names
            raise


def part_for(
    family: Family, device: str | None, seeds: int = DEFAULT_SEEDS, target_mhz: float = TARGET_MHZ
) -> tuple[Part, str] | None:
    """Check what `fpga_report` is asked for, and return the part and its package; None of families that are not placed.

    Raises:
        MacgenError: an argument is refused.
    """
    check_choice("fpga", family, FAMILIES)
    check_integer("seeds", seeds, 1, MOST_SEEDS)
    if not is_real(target_mhz) or not 1 <= target_mhz <= 1000:
        raise MacgenError(f"clock-mhz {shown(target_mhz)} is not from 1 to 1000, as --fpga takes it")
    if family == "ecp5" or family == "ice40":
        return find_part(family, device)
    if device is not None:
        raise MacgenError(f"device {shown(device)} does not go with fpga {family}, which is not placed; leave it out")
    return None


def _counted(opened: OpenBundle, family: Family, workdir: Path, timeout: float) -> FpgaReport:
    """Count the cells of an array in a family that is not placed."""
    spec = opened.manifest.spec
    verilog = workdir / "array.v"
    verilog.write_bytes(opened.verilog)
    found = synthesize_luts([verilog], opened.manifest.top, workdir=workdir, family=family, dsp=True, timeout=timeout)
    return FpgaReport(
        name=opened.manifest.name,
        spec=spec.to_dict(),
        family=family,
        device=None,
        package=None,
        speed=None,
        pes=spec.rows * spec.cols,
        luts=found.luts,
        flip_flops=found.flip_flops,
        dsps=found.dsps,
        memories=found.memories,
        filled={},
        fmax_mhz=None,
        placements_mhz={},
        worst_path=None,
        target_mhz=None,
        tools=found.tool,
        notes=(*opened.notes, f"{family} is not placed here, so that there is no clock"),
    )


def _placed(
    opened: OpenBundle,
    part: Part,
    package: str,
    seeds: int,
    target_mhz: float,
    workdir: Path,
    timeout: float,
    progress: Callable[[str], None],
) -> FpgaReport:
    """Place an array on a part, or look up what an earlier run found."""
    manifest, spec = opened.manifest, opened.manifest.spec
    nextpnr = tools.require(f"nextpnr-{part.family}")
    numbers = tuple(range(1, seeds + 1))
    versions = (tools.require("yosys").version, nextpnr.version)
    kept = Kept((opened.verilog, part, package, numbers, target_mhz, *versions))
    placement = kept.load(Placement.from_dict)
    if placement is None:
        verilog = workdir / "array.v"
        verilog.write_bytes(opened.verilog)
        placement = place(
            verilog,
            manifest.ports,
            manifest.clock,
            manifest.top,
            workdir=workdir,
            part=part,
            package=package,
            seeds=numbers,
            target_mhz=target_mhz,
            timeout=timeout,
            progress=progress,
        )
        kept.save(placement.to_dict())
    return FpgaReport(
        name=manifest.name,
        spec=spec.to_dict(),
        family=part.family,
        device=part.name,
        package=package,
        speed=SPEED if part.family == "ecp5" else None,
        pes=spec.rows * spec.cols,
        luts=placement.luts,
        flip_flops=placement.flip_flops,
        dsps=placement.dsps,
        memories=placement.memories,
        filled=dict(placement.filled),
        fmax_mhz=placement.median_mhz,
        placements_mhz=dict(zip(placement.seeds, placement.fmax_mhz, strict=True)),
        worst_path=placement.worst,
        target_mhz=target_mhz,
        tools=placement.tools,
        notes=(*opened.notes, *hints(spec, placement.worst.module.removeprefix(f"{manifest.top}_"))),
    )


_BEFORE_LOOP = {"multiplier", "product", "lanes", "fused_sum", "rounding", "aligner", "node", "later_node"}
_LOOP = {"adder", "aligned_adder", "outer_adder", "loaded"}
"""Modules of a PE, without the array's name."""


def hints(spec: MacSpec, module: str) -> list[str]:
    """Say which of more turns and more stages would not raise the clock.

    Parameters:
        spec: the array.
        module: in which its slowest path lies, without the array's name.
    """
    if module in _BEFORE_LOOP:
        more = (
            "pipeline has all its stages"
            if spec.pipeline == MAX_PIPELINE
            else f"pipeline {spec.pipeline + 1} may shorten it"
        )
        return [f"the slowest path lies before the addition, so that more turns (interleave) gain nothing; {more}"]
    if module in _LOOP:
        more = (
            "interleave is at its most"
            if spec.interleave == MAX_INTERLEAVE
            else f"interleave {spec.interleave + 1} may shorten it"
        )
        if spec.outer_cycles > 1:  # which turns do not go with
            more = f"interleave may shorten it, with outer_cycles 1 in place of {spec.outer_cycles}"
            if module == "outer_adder":
                more = "outer_cycles is at its most"
                if spec.outer_cycles < MAX_OUTER_CYCLES:
                    more = f"outer_cycles {spec.outer_cycles + 1} may shorten it"
        return [f"the slowest path lies in an addition, so that more stages (pipeline) gain nothing; {more}"]
    return []
