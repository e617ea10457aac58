"""One mapped netlist at several corners of its cell library, and cells of a library that are not to be used."""

import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path

from macgen.cost import power, timing
from macgen.cost.library import liberty, liberty_grammar
from macgen.cost.netlist.simulator import Activity
from macgen.cost.synthesize import GateSynthesis
from macgen.errors import MacgenError, shown, shown_path

_CELL = re.compile(r'(\bcell\s*\(\s*"?([^")\s]+)"?\s*\)\s*\{)')


@dataclass(frozen=True)
class Corner:
    """What a netlist costs at one corner.

    Attributes:
        library: the library's name, as its file says it.
        file: the Liberty file's name.
        voltage: in V.
        minimum_period_ns: None where it is not known.
        power_mw: at the report's clock.
        leakage_mw: the part of it that leaks.
    """

    library: str
    file: str
    voltage: float
    minimum_period_ns: float | None
    power_mw: float
    leakage_mw: float


def at_corners(
    gates: GateSynthesis, activity: Activity, files: Sequence[Path], *, clock_mhz: float, workdir: Path
) -> tuple[Corner, ...]:
    """Return what a netlist costs at each corner; it is mapped once, to the first one's cells.

    Parameters:
        gates: the mapped design, with its files still in place.
        activity: how often its nets toggle.
        files: a Liberty file for each corner.
        clock_mhz: clock for the power.
        workdir: directory for the timing of all of them, made if need be.

    Raises:
        MacgenError: a file is refused, or lacks cells of the netlist.
        ToolError: OpenSTA failed; its log is in `workdir`.
    """
    found = []
    for place, file in enumerate(files):
        library = liberty.read(file)
        _check_cells(gates, library, file)
        netlist = replace(gates.netlist, library=library)
        verilog = None
        if gates.verilog is not None:
            directory = workdir / f"corner{place}"
            directory.mkdir(parents=True, exist_ok=True)
            verilog = directory / gates.verilog.name
            shutil.copyfile(gates.verilog, verilog)
            (directory / "library.lib").write_text(liberty_grammar.read_text(file), encoding="utf-8")
        times = timing.analyse(replace(gates, netlist=netlist, verilog=verilog, library=library.name))
        estimate = power.estimate(netlist, activity, clock_mhz=clock_mhz)
        found.append(
            Corner(
                library=library.name,
                file=file.name,
                voltage=library.voltage,
                minimum_period_ns=times.minimum_period_ns,
                power_mw=estimate.total,
                leakage_mw=estimate.leakage,
            )
        )
    return tuple(found)


def _check_cells(gates: GateSynthesis, library: liberty.Library, file: Path) -> None:
    for name, pins in gates.netlist.pins.items():
        cell = library.cells.get(name)
        if cell is None or not pins.keys() <= cell.pins.keys():
            raise MacgenError(
                f"liberty {shown_path(file)} has no cell {name} with the pins of {gates.netlist.library.name}'s, to "
                f"which the array is mapped; accepted are files of the same cells at other corners"
            )


def without_cells(file: Path, patterns: Sequence[str], target: Path) -> Path:
    """Write a Liberty file in which some cells are marked as not to be used, and return it.

    Parameters:
        file: the Liberty file, plain or gzipped; only read.
        patterns: of names of cells, with * and ?.
        target: where to write.

    Raises:
        MacgenError: the file cannot be read, or a pattern matches no cell.
    """
    text = liberty_grammar.read_text(file)
    names = {match[2] for match in _CELL.finditer(text)}
    for pattern in patterns:
        if not any(fnmatchcase(name, pattern) for name in names):
            raise MacgenError(
                f"dont-use {shown(pattern)} matches no cell of liberty {shown_path(file)}; accepted are names of its "
                f"cells, with * and ?"
            )

    def mark(match: re.Match[str]) -> str:
        unused = any(fnmatchcase(match[2], pattern) for pattern in patterns)
        return f"{match[1]} dont_use : true;" if unused else match[1]

    target.write_text(_CELL.sub(mark, text), encoding="utf-8")
    return target
