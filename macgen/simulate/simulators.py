"""The two simulators: which one a choice means, its version, its environment."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Literal, get_args

from macgen import tools
from macgen.bundle.subject import Subject
from macgen.compress.spec import CompressSpec
from macgen.errors import MacgenError, shown

SimulatorChoice = Literal["auto", "icarus", "verilator", "all"]
"""`auto`: Icarus where it is found and the array is small, else Verilator; `all`: each that is found."""


SIMULATORS: Mapping[str, str] = {"icarus": "iverilog", "verilator": "verilator"}
"""cocotb's name of each simulator, and the tool's."""


SMALL_ARRAY = 16
"""PEs up to which Icarus, which needs no compile, is done sooner than Verilator (2 000 cycles/s at 16 PEs)."""


def check_simulator(simulator: object) -> None:
    """Refuse what is no choice of simulators.

    Raises:
        MacgenError: it is none.
    """
    choices = get_args(SimulatorChoice)
    if not isinstance(simulator, str) or simulator not in choices:
        raise MacgenError(f"simulator {shown(simulator)} is unknown; accepted are {', '.join(choices)}")


def choose(simulator: str, subject: Subject) -> tuple[str, ...]:
    """Return the names of the simulators that a choice means for what a bundle holds on this machine.

    Raises:
        MacgenError: the choice is unknown.
        ToolError: the simulator is missing, or something that it needs.
    """
    check_simulator(simulator)
    found = tuple(name for name, tool in SIMULATORS.items() if tools.find(tool).available)
    small = isinstance(subject, CompressSpec) or subject.rows * subject.cols <= SMALL_ARRAY
    auto = "icarus" if "icarus" in found and (small or "verilator" not in found) else "verilator"
    names = {"auto": (auto,), "all": found or ("verilator",)}.get(simulator, (simulator,))
    needed = [SIMULATORS[name] for name in names] + ["g++", "make", "perl"] * ("verilator" in names)
    instead = " (that with icarus needs iverilog alone)" if simulator == "auto" and not found else ""
    tools.require_all(*needed, needed_by=f"simulation with {' and '.join(names)}{instead}")
    return names


def version_of(simulator: str) -> str:
    """Return the version of a simulator that `choose` returned."""
    return tools.require(SIMULATORS[simulator]).version or "unknown"


def simulator_environment(simulator: str, links: Path) -> dict[str, str]:
    """Return this process's environment with the simulator first on the PATH.

    Parameters:
        simulator: as `choose` returned it.
        links: a directory for links to executables of other names than the simulator's own; made if need be.
    """
    name = SIMULATORS[simulator]
    tool = tools.require(name)
    environment = tool.environment()
    if not tool.variables:  # found on the PATH or named by the user
        executable = Path(tool.command[0]).absolute()
        places = [str(executable.parent), environment.get("PATH", os.defpath)]
        if executable.name != name:
            links.mkdir(parents=True, exist_ok=True)
            (links / name).unlink(missing_ok=True)
            (links / name).symlink_to(executable)
            places.insert(0, str(links))
        environment["PATH"] = os.pathsep.join(places)
    return environment
