"""Static timing of a Liberty-mapped netlist with OpenSTA, where it is found: minimum clock period and worst path.

Ports are timed like registers, with no delay outside, so that paths from and to them count.
"""

import re
from dataclasses import dataclass

from macgen import tools
from macgen.cost.netlist.simulator import clock_port
from macgen.cost.synthesize import GateSynthesis
from macgen.errors import ToolError

DEFAULT_TIMEOUT = 1800.0

MOST_CELLS = 1_000_000
"""Netlists above this are not timed: OpenSTA keeps each cell of the flat design in memory, and takes minutes."""

_NUMBER = r"(-?\d+\.\d+)"
_POINT = re.compile(rf"^\s*{_NUMBER}\s+{_NUMBER}\s+[\^v]\s+(\S+)\s+\((\S+)\)$", re.MULTILINE)
_SLACK = re.compile(rf"^\s*{_NUMBER}\s+slack \(", re.MULTILINE)


@dataclass(frozen=True)
class PathPoint:
    """One pin on a path: its name, its cell's type, the delay from the point before, and the time since the clock."""

    pin: str
    cell: str
    delay_ns: float
    time_ns: float


@dataclass(frozen=True)
class Timing:
    """The timing of a netlist, or why there is none.

    Attributes:
        unavailable: None, or the reason why nothing else is known.
        tool: OpenSTA's version.
        minimum_period_ns: least clock period at which every path meets its setup time.
        path: the worst path.
    """

    unavailable: str | None
    tool: str | None = None
    minimum_period_ns: float | None = None
    path: tuple[PathPoint, ...] = ()


def analyse(synthesis: GateSynthesis, *, timeout: float = DEFAULT_TIMEOUT) -> Timing:
    """Return the minimum clock period of a netlist that was mapped to a Liberty file.

    Clock and wires are ideal. Inputs are driven by the library's smallest buffer, outputs carry four inverters.

    Parameters:
        synthesis: the mapped design, with its files still in place.
        timeout: limit in seconds.

    Raises:
        ToolError: OpenSTA fails or exceeds its time; its log is beside the netlist.
    """
    if synthesis.verilog is None:
        return Timing("generic gates have no delays; a Liberty file gives them")
    sta = tools.find("sta")
    if not sta.available:
        return Timing(f"OpenSTA is missing ({sta.problem or sta.install_hint})")
    if synthesis.total_cells > MOST_CELLS:
        return Timing(f"{synthesis.total_cells} cells are more than the {MOST_CELLS} that are timed")
    clock = clock_port(synthesis.netlist)
    if clock is None:
        return Timing("the netlist has no flip-flops")
    workdir = synthesis.verilog.parent
    library = synthesis.netlist.library
    driver, inverter = library.buffer, library.inverter
    assert driver is not None
    assert inverter is not None
    ports = synthesis.netlist.ports
    inputs = " ".join(name for name, port in ports.items() if port.direction == "input" and name != clock)
    period = 1.0
    commands = [
        "read_liberty library.lib",
        f"read_verilog {synthesis.verilog.name}",
        f"link_design {synthesis.netlist.top}",
        "set_cmd_units -time ns -capacitance fF",
        f"create_clock -name clock -period {period} [get_ports {{{clock}}}]",
        f"set inputs [get_ports {{{inputs}}}]",
        "set_input_delay 0 -clock clock $inputs",
        f"set_driving_cell -lib_cell {driver.name} $inputs",
        "set_output_delay 0 -clock clock [all_outputs]",
        f"set_load {4 * inverter.inputs[0].capacitance:.4f} [all_outputs]",
        "report_checks -path_delay max -format full -digits 5",
    ]
    # OpenSTA goes on after an error and exits with 0, so the script has to look for itself.
    script = "\n".join(["if {[catch {", *commands, '} message]} {puts "Error: $message"; exit 1}', ""])
    (workdir / "timing.tcl").write_text(script, encoding="utf-8")
    log = workdir / "timing.log"
    tools.run(
        [*sta.command, "-no_init", "-no_splash", "-exit", "timing.tcl"],
        cwd=workdir,
        log=log,
        timeout=timeout,
        env=sta.environment(),
        name="OpenSTA",
    )
    report = log.read_text(encoding="utf-8", errors="replace")
    paths = paths_of(report)
    if not paths or re.search("^(Error|Warning: .*black box)", report, re.MULTILINE):
        raise ToolError(f"OpenSTA could not time {synthesis.verilog}; its log is {log}")
    slack, path = min(paths, key=lambda found: found[0])
    return Timing(
        unavailable=None, tool=f"OpenSTA {sta.version}", minimum_period_ns=round(period - slack, 5), path=path
    )


def paths_of(report: str) -> list[tuple[float, tuple[PathPoint, ...]]]:
    """Return slack and points of each path that OpenSTA printed: there is one for each group of paths.

    Paths to asynchronous resets are a group of their own, which comes first, however short they are.
    """
    found = []
    for text in report.split("Startpoint:")[1:]:
        if slack := _SLACK.search(text):
            points = (
                PathPoint(pin, cell, float(delay), float(time)) for delay, time, pin, cell in _POINT.findall(text)
            )
            found.append((float(slack[1]), tuple(points)))
    return found
