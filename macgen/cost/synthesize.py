"""Synthesis with Yosys and ABC: to generic gates, to the cells of a Liberty file, or to the LUTs of an FPGA family.

An array holds one PE many times. Modules with registers that stand several times in a design therefore stay modules,
are mapped once, and totals are multiplied through the hierarchy; everything else is dissolved into its parent, so that
logic is optimised across the boundaries that only the source text has.
"""

import json
import re
import shutil
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from macgen import tools
from macgen.cost.fpga_cells import Family, LutSynthesis, counted_cells
from macgen.cost.gating import gating_command
from macgen.cost.library import liberty, liberty_grammar
from macgen.cost.netlist.buffers import insert_buffers
from macgen.cost.netlist.cell_models import cell_models
from macgen.cost.netlist.hierarchy import read_modules, repeated_modules, total_cells
from macgen.cost.netlist.netlist import Netlist, read_netlist
from macgen.cost.netlist.structural_verilog import structural_verilog, tie_cells
from macgen.errors import MacgenError

DEFAULT_TIMEOUT = 3600.0

GENERIC_LIBRARY = Path(__file__).parent / "library" / "generic45.lib"
"""Sizes (in NAND2), functions and energies of the generic gates, in the same form as any other library."""

_GENERIC_GATES = "AND,NAND,OR,NOR,XOR,XNOR,MUX,AOI3,OAI3,AOI4,OAI4"

MAPPING_RECIPE = (
    "strash",
    "ifraig",
    "scorr",
    "dc2",
    "strash",
    *("if -g -K 6", "strash", "dc2") * 2,
    "dch -f",
    "map -B 0.9 -D {picoseconds}",
    "topo",
    "buffer -c",
    "topo",
    "upsize -D {picoseconds}",
    "dnsize -D {picoseconds}",
)
"""ABC's script for Liberty files: merge equivalent logic, re-express it twice for delay (`if -g`), map, buffer, size.

It aims for speed, and gives back only in sizes what a long period leaves over. Against Yosys's own script, on MACs and
arrays with E6M5, E6M9 and FP32 accumulators in 45 nm and 0.18 um libraries, timed by OpenSTA: 11 to 34 % less delay for
4 to 16 % more area, and always a smaller product of both.
"""

LOGIC_SHARE = 0.8
"""Part of the clock period that ABC is given, which knows neither the flip-flops' delay and setup time nor all loads.
Measured in 45 nm and 0.18 um libraries: with 0.8 every period that can be reached was, with 0.85 some were missed."""


REPORTED: tuple[Family, ...] = ("ice40", "ecp5", "xilinx")
"""Families that every report counts LUTs for."""

_FAMILY_COMMANDS: dict[Family, str] = {
    "ice40": "synth_ice40 -noflatten",
    "ecp5": "synth_ecp5 -noflatten",
    "xilinx": "synth_xilinx -family xc7 -noiopad -noclkbuf",
    "gowin": "synth_gowin -noflatten -noiopads -family gw2a",
    "nexus": "synth_nexus -noflatten -noiopad -family lifcl",
}
"""Pads and clock buffers are left out, as the array is a part of a design and not the whole chip."""

_FAMILY_PARTS: dict[Family, tuple[str, ...]] = {
    "ice40": ("",),
    "ecp5": ("",),
    "xilinx": ("-run begin:map_memory", "-run map_ffram:"),
    "gowin": ("",),
    "nexus": ("",),
}
"""An array holds no memories: to read what 7 series maps them to takes two of five seconds and changes nothing."""

_DSP_OPTIONS: dict[Family, tuple[str, str]] = {
    "ice40": ("", "-dsp"),
    **dict.fromkeys(("ecp5", "xilinx", "gowin", "nexus"), ("-nodsp", "")),
}
"""What to add without and with multiplier blocks."""


@dataclass(frozen=True)
class GateSynthesis:
    """A design in gates.

    Attributes:
        tool: Yosys's version.
        library: the library's name.
        cells: number of cells of each type, in the whole hierarchy.
        flip_flops: how many of the cells are flip-flops.
        area: um2; None for generic gates.
        gate_equivalents: size in two-input NAND gates.
        depth: gates on the longest path between registers or ports, inverters and buffers counted.
        netlist: the flat netlist, for simulation.
        verilog: the mapped netlist as Verilog, for timing analysis; None for generic gates.
    """

    tool: str
    library: str
    cells: Mapping[str, int]
    flip_flops: int
    area: float | None
    gate_equivalents: float
    depth: int
    netlist: Netlist
    verilog: Path | None

    @property
    def total_cells(self) -> int:
        """Number of cells, flip-flops included."""
        return sum(self.cells.values())


@cache
def generic_library() -> liberty.Library:
    """The library of the generic gates."""
    return liberty.read(GENERIC_LIBRARY)


def synthesize_gates(
    sources: Sequence[Path],
    top: str,
    *,
    workdir: Path,
    liberty_file: Path | None = None,
    period_ns: float = 1.0,
    keep_modules: bool = False,
    clock_gating: bool = False,
    timeout: float = DEFAULT_TIMEOUT,
) -> GateSynthesis:
    """Map a design to gates.

    Parameters:
        sources: Verilog files.
        top: the top module.
        workdir: directory for scripts, logs and netlists; made if it does not exist.
        liberty_file: Liberty file, plain or gzipped; None for generic gates, which have no delays.
        period_ns: clock period to aim at, with a Liberty file.
        keep_modules: dissolve none, so that it is known what each costs; logic is then not optimised across them.
        clock_gating: put registers with a common enable behind a clock gate, which the library must have.
        timeout: limit in seconds for each run of Yosys.

    Raises:
        MacgenError: the Liberty file is refused, or the mapped netlist is one that cannot be levelised.
        ToolError: Yosys is missing, fails or exceeds its time; the log is in `workdir`.
    """
    if liberty_file is None:
        if clock_gating:
            raise MacgenError("clock-gating is given without liberty; accepted is it with a Liberty file")
        library = generic_library()
        mapping = [
            # Enables and synchronous resets become gates, as in a library of plain flip-flops.
            "dfflegalize -cell $_DFF_P_ 01 -cell $_DFF_P??_ 01",
            f"abc -g {_GENERIC_GATES}",
        ]
    else:
        library = liberty.read(liberty_file)
        mapping = _liberty_mapping(library, workdir, liberty_file, period_ns)
        if clock_gating:
            mapping.insert(0, gating_command(library))
    run = Yosys(workdir, timeout)
    design = read_design(sources, top, run, keep_all=keep_modules)
    finish = ["setundef -zero", "opt_clean -purge", "write_json netlist.json"]
    run.yosys("synthesis", [*design, f"synth -noabc -top {top}", *mapping, *finish])
    verilog = None if liberty_file is None else _buffered_verilog(run, top, library)
    netlist = read_netlist(workdir / "netlist.json", top, library)
    cells = netlist.cell_counts()
    size = sum(count * library.cells[name].area for name, count in cells.items())
    return GateSynthesis(
        tool=f"Yosys {tools.require('yosys').version}",
        library=library.name,
        cells=cells,
        flip_flops=sum(count for name, count in cells.items() if library.cells[name].flip_flop is not None),
        area=None if liberty_file is None else size,
        gate_equivalents=size / library.nand2.area,
        depth=netlist.levels.depth,
        netlist=netlist,
        verilog=verilog,
    )


def gate_level_verilog(workdir: Path, top: str, liberty_file: Path | None) -> str:
    """Return what `synthesize_gates` left in a directory as Verilog, with models of the cells that it has.

    Parameters:
        workdir: the directory.
        top: the top module.
        liberty_file: Liberty file that it was mapped to; None for generic gates.

    Raises:
        MacgenError: a cell cannot be simulated.
    """
    library = generic_library() if liberty_file is None else liberty.read(liberty_file)
    modules = read_modules(workdir / "netlist.json")
    text = structural_verilog(modules, top, library)
    # With a flow that ties constants to cells, these stand in the text alone.
    used = {*total_cells(modules, top), *(name for name, _ in tie_cells(library).values())}
    return f"{text}\n{cell_models(library, used)}"


def synthesize_luts(
    sources: Sequence[Path],
    top: str,
    *,
    workdir: Path,
    family: Family,
    dsp: bool = False,
    timeout: float = DEFAULT_TIMEOUT,
) -> LutSynthesis:
    """Map a design to an FPGA family.

    Parameters:
        sources: Verilog files.
        top: the top module.
        workdir: directory for scripts, logs and netlists; made if it does not exist.
        family: `ice40`, `ecp5`, `xilinx` (7 series), `gowin` (GW2A) or `nexus` (CrossLink-NX).
        dsp: whether multipliers may go into multiplier blocks; without, LUT counts compare like with like.
        timeout: limit in seconds for each run of Yosys.

    Raises:
        ToolError: Yosys is missing, fails or exceeds its time; the log is in `workdir`.
    """
    run = Yosys(workdir, timeout)
    design = read_design(sources, top, run, has_blocks=dsp)
    command = f"{_FAMILY_COMMANDS[family]} {_DSP_OPTIONS[family][dsp]} -top {top}"
    commands = [f"{command} {part}".rstrip() for part in _FAMILY_PARTS[family]]
    run.yosys("synthesis", [*design, *commands, "write_json netlist.json"])
    return counted_cells(read_modules(workdir / "netlist.json"), top, family)


# -- Yosys -------------------------------------------------------------------------------------------------------------


_first_run = threading.Lock()
_has_run: list[bool] = []


@dataclass(frozen=True)
class Yosys:
    """Runs of Yosys in one directory. File names in scripts are relative to it: the wheel's Yosys cannot see /tmp."""

    workdir: Path
    timeout: float

    def yosys(self, name: str, commands: Sequence[str]) -> None:
        """Run a script, whose log gets its name."""
        yosys = tools.require("yosys")
        (self.workdir / f"{name}.ys").write_text("\n".join([*commands, ""]), encoding="utf-8")
        with _first_run:
            # The wheel's Yosys compiles itself once on a machine; let one do that and not all that run side by side.
            if not _has_run:
                self.run([*yosys.command, "-V"], "version", yosys)
                _has_run.append(True)
        self.run([*yosys.command, "-s", f"{name}.ys"], name, yosys)
        tools.check_written(commands, cwd=self.workdir, log=self.workdir / f"{name}.log", name="Yosys")

    def run(self, command: Sequence[str], name: str, yosys: tools.Tool) -> None:
        """Run a command of Yosys, whose log gets this name."""
        tools.run(
            command,
            cwd=self.workdir,
            log=self.workdir / f"{name}.log",
            timeout=self.timeout,
            env=yosys.environment(),
            name="Yosys",
        )


def read_design(
    sources: Sequence[Path],
    top: str,
    run: Yosys,
    kept: Sequence[str] = (),
    has_blocks: bool = False,
    keep_all: bool = False,
) -> list[str]:
    """Return the commands that read a design and dissolve all modules but the repeated ones and those to be kept.

    What the modules are before that stands in `hierarchy.json` then.

    Parameters:
        sources: Verilog files.
        top: the top module.
        run: where to run what is needed for it.
        kept: modules to be kept as well.
        has_blocks: whether multipliers may go into DSP blocks. Those in modules with the attribute `use_dsp = "no"`
            then become adders first: Vivado obeys it, Yosys does not know it.
        keep_all: dissolve no module.
    """
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", top):
        raise MacgenError(f"top module {top!r} is not a plain Verilog identifier")
    run.workdir.mkdir(parents=True, exist_ok=True)
    names = []
    for place, source in enumerate(sources):
        names.append(f"design{place}.v")
        try:
            shutil.copyfile(source, run.workdir / names[-1])
        except OSError as error:
            raise MacgenError(f"Verilog file {source} cannot be read: {error.strerror or error}") from error
    commands = [f"read_verilog {' '.join(names)}", f"hierarchy -check -top {top}", "proc"]
    run.yosys("hierarchy", [*commands, "write_json hierarchy.json"])
    repeated = repeated_modules(read_modules(run.workdir / "hierarchy.json"), top)
    for module in ["*"] if keep_all else [*repeated, *kept]:
        commands.append(f"setattr -mod -set keep_hierarchy 1 {module}")
    if has_blocks:
        commands += ["select -set soft A:use_dsp=no", "alumacc @soft", "maccmap @soft"]
    return [*commands, "flatten -noscopeinfo"]


def _liberty_mapping(library: liberty.Library, workdir: Path, liberty_file: Path, period_ns: float) -> list[str]:
    """Write what ABC needs for a library, and return the commands that map to it."""
    workdir.mkdir(parents=True, exist_ok=True)
    driver, inverter = library.buffer, library.inverter
    lacks = None
    text = liberty_grammar.read_text(liberty_file)
    if driver is None or inverter is None:
        lacks = "has no inverter, which technology mapping needs"
    elif all(cell.flip_flop is None for cell in library.cells.values()):
        lacks = "has no flip-flop (a group ff), which arrays need"
    elif re.search(r"\b(cell_rise|intrinsic_rise)\b", text) is None:
        lacks = "states no delays (cell_rise), which technology mapping needs"
    if driver is None or inverter is None or lacks is not None:
        raise MacgenError(f"Liberty library {library.name} {lacks}")
    # Without a driver and a load ABC neither buffers nor sizes. Four inverters are the usual measure of a load.
    load = 4 * inverter.inputs[0].capacitance
    (workdir / "library.lib").write_text(text, encoding="utf-8")
    (workdir / "constraints.abc").write_text(
        f"set_driving_cell {driver.name}\nset_load {load:.4f} [all_outputs]\n", encoding="utf-8"
    )
    picoseconds = f"{LOGIC_SHARE * period_ns * 1000:.0f}"
    recipe = [step.format(picoseconds=picoseconds) for step in MAPPING_RECIPE]
    (workdir / "recipe.abc").write_text("\n".join([*recipe, ""]), encoding="utf-8")
    return [
        "dfflibmap -liberty library.lib",
        f"abc -liberty library.lib -D {picoseconds} -constr constraints.abc -script recipe.abc",
    ]


def _buffered_verilog(run: Yosys, top: str, library: liberty.Library) -> Path:
    """Put buffers into netlist.json where modules meet, and write it as Verilog for timing analysis."""
    path = run.workdir / "netlist.json"
    design = json.loads(path.read_text(encoding="utf-8"))
    insert_buffers(design["modules"], top, library)
    path.write_text(json.dumps(design), encoding="utf-8")
    verilog = path.with_suffix(".v")
    verilog.write_text(structural_verilog(design["modules"], top, library), encoding="utf-8")
    return verilog
