"""What a unit that compresses gradients costs: its two ends, and its memory apart."""

import os
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from macgen import tools
from macgen.bundle.opening import open_bundle
from macgen.compress.spec import CompressSpec
from macgen.cost import synthesize, timing
from macgen.errors import MacgenError, ToolError, check_function, check_path, is_real, shown

DEFAULT_CLOCK_MHZ = 500.0


@dataclass(frozen=True)
class End:
    """What one end costs, without its memory.

    Attributes:
        name: `compressor` or `expander`.
        total_cells: cells, flip-flops included.
        gate_equivalents: size in two-input NAND gates.
        flip_flops: number of flip-flops.
        depth: gates on the longest path.
        area_um2: cell area; None without a Liberty file.
        minimum_period_ns: None where it is not known; `period_unavailable` says why.
        luts: look-up tables for each FPGA family.
    """

    name: str
    total_cells: int
    gate_equivalents: float
    flip_flops: int
    depth: int
    area_um2: float | None
    minimum_period_ns: float | None
    period_unavailable: str | None
    luts: dict[str, int]


@dataclass(frozen=True)
class UnitReport:
    """The cost of a unit.

    Attributes:
        name: of the unit.
        spec: as JSON values.
        ends: the compressor, and the expander where there is a receiver.
        memory_words, memory_bits: of the buffer of two bins: words, and bits in all.
        conditions: what the figures hold for; of what there is nothing to say, None.
        notes: sentences on what is unusual.
    """

    name: str
    spec: dict[str, Any]
    ends: tuple[End, ...]
    memory_words: int
    memory_bits: int
    conditions: dict[str, str | None]
    notes: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return the report as JSON values."""
        return asdict(self)


def report_unit(
    bundle: str | os.PathLike[str],
    *,
    liberty: str | os.PathLike[str] | None = None,
    clock_mhz: float = DEFAULT_CLOCK_MHZ,
    trust: bool = False,
    progress: Callable[[str], None] = lambda _: None,
) -> UnitReport:
    """Synthesize the two ends of a unit. The memory of its buffer is left out: a block RAM or a macro is its place.

    Parameters:
        bundle: what `build` returned, or its directory; only read.
        liberty: Liberty file, plain or gzipped; None for generic gates.
        clock_mhz: clock that synthesis aims at.
        trust: accept Verilog that macgen did not write.
        progress: is called with what is being done.

    Raises:
        MacgenError: an argument is refused, or the bundle holds an array.
        ToolError: Yosys failed; its log is kept and named.
    """
    check_function("progress", progress)
    opened = open_bundle(bundle, trust=trust)
    spec = opened.manifest.subject
    if not isinstance(spec, CompressSpec):
        raise MacgenError(f"bundle {opened.manifest.name} holds an array; accepted is what macgen compress writes")
    if not is_real(clock_mhz) or not 1e-3 <= clock_mhz <= 1e5:
        raise MacgenError(f"clock-mhz {shown(clock_mhz)} is not from 0.001 to 100000")
    file = None if liberty is None else check_path("liberty", liberty)
    with tools.work_directory(None, "report") as work:
        verilog = work.path / "unit.v"
        verilog.write_bytes(opened.verilog)
        work.keep = False
        try:
            names = ["compressor", *(["expander"] if spec.learners else [])]
            found = [_end(name, opened.manifest.name, verilog, file, 1e3 / clock_mhz, progress) for name in names]
        except ToolError:
            work.keep = True  # with the log that it names
            raise
    ends, conditions = tuple(end for end, _ in found), found[0][1]
    notes = [*opened.notes]
    notes += [
        f"the {end.name} does not reach {clock_mhz:g} MHz: its minimum period is {end.minimum_period_ns:.2f} ns"
        for end in ends
        if end.minimum_period_ns is not None and end.minimum_period_ns > 1e3 / clock_mhz
    ]
    words = 2 * spec.groups
    bits = words * spec.lanes * spec.word_bits
    return UnitReport(opened.manifest.name, spec.to_dict(), ends, words, bits, conditions, tuple(notes))


def _end(
    name: str, unit: str, verilog: Path, liberty: Path | None, period_ns: float, progress: Callable[[str], None]
) -> tuple[End, dict[str, str | None]]:
    """Return what one end costs, and what that holds for."""
    progress(f"{name}: synthesis")
    top, place = f"{unit}_{name}", verilog.parent / name
    source = _without_memory(verilog, top, f"{unit}_memory", place)
    gates = synthesize.synthesize_gates(
        [source], top, workdir=place / "gates", liberty_file=liberty, period_ns=period_ns
    )
    luts: dict[str, int] = {}
    for family in synthesize.REPORTED:
        progress(f"{name}: synthesis for {family}")
        luts[family] = synthesize.synthesize_luts([source], top, workdir=place / family, family=family).luts
    progress(f"{name}: timing")
    times = timing.analyse(gates)
    end = End(
        name=name,
        total_cells=gates.total_cells,
        gate_equivalents=gates.gate_equivalents,
        flip_flops=gates.flip_flops,
        depth=gates.depth,
        area_um2=gates.area,
        minimum_period_ns=times.minimum_period_ns,
        period_unavailable=times.unavailable,
        luts=luts,
    )
    return end, {"synthesis": gates.tool, "library": gates.library, "timing": times.tool}


def _without_memory(verilog: Path, top: str, memory: str, place: Path) -> Path:
    """Write one end as one module; what its memory is connected to becomes ports."""
    place.mkdir()
    run = synthesize.Yosys(place, synthesize.DEFAULT_TIMEOUT)
    (place / "unit.v").write_bytes(verilog.read_bytes())
    run.yosys(
        "evert",
        [
            "read_verilog unit.v",
            f"blackbox {memory}",
            f"hierarchy -check -top {top}",
            "proc",
            "flatten -noscopeinfo",
            "expose -evert",
            "opt_clean",
            "rename -hide w:*.*",
            "write_verilog -noattr everted.v",
        ],
    )
    return place / "everted.v"
