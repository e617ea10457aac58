"""Runs the cocotb testbench of `sim/` on a bundle: `verify` tests the array, `run_matmul` computes with it."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, get_args
from xml.etree import ElementTree

import numpy as np
from numpy.typing import ArrayLike, NDArray

from macgen.emit.manifest import Manifest, file_hash, load_manifest
from macgen.errors import MacgenError, ToolError, check_integer
from macgen.flow import tools
from macgen.numerics.arrays import checked_codes
from macgen.share import share_directory
from macgen.spec import MacSpec

SimulatorChoice = Literal["auto", "icarus", "verilator", "all"]
"""`auto`: Icarus where it is found and the array is small, else Verilator; `all`: each that is found."""

SIMULATORS: Mapping[str, str] = {"icarus": "iverilog", "verilator": "verilator"}
"""cocotb's name of each simulator, and the tool's."""

DEFAULT_TIMEOUT = 1800.0
SMALL_ARRAY = 16
"""PEs up to which Icarus, which needs no compile, is done sooner than Verilator (2 000 cycles/s at 16 PEs)."""

LARGE_PRODUCT = 400_000
"""Multiplications from which `run_matmul` prefers Verilator, whose compile then pays."""


@dataclass(frozen=True)
class TestOutcome:
    """One test of the testbench: its name, whether it passed, the reason if not, and its time."""

    __test__ = False  # not a test class of pytest

    name: str
    passed: bool
    message: str
    seconds: float


@dataclass(frozen=True)
class SimulatorRun:
    """The testbench run by one simulator.

    Attributes:
        simulator: `icarus` or `verilator`.
        version: the simulator's.
        tests: what became of each test.
        comparisons: result codes and flags compared with the golden model.
        tiles: tiles compared completely.
        beats: operand beats that the array took.
        cycles: clock cycles simulated.
        seconds: wall time, compile included.
        log: the log; None where it was in a temporary directory and all tests passed.
    """

    simulator: str
    version: str
    tests: tuple[TestOutcome, ...]
    comparisons: int
    tiles: int
    beats: int
    cycles: int
    seconds: float
    log: Path | None

    @property
    def failed(self) -> tuple[TestOutcome, ...]:
        """The tests that failed."""
        return tuple(test for test in self.tests if not test.passed)

    @property
    def passed(self) -> bool:
        """Whether every test passed."""
        return not self.failed


@dataclass(frozen=True)
class VerifyResult:
    """What `verify` found.

    Attributes:
        runs: one per simulator.
        seed: the seed of all random choices.
        notes: sentences on what is unusual: Verilog that is not what was built, tests that were cut short.
    """

    runs: tuple[SimulatorRun, ...]
    seed: int
    notes: tuple[str, ...]

    @property
    def passed(self) -> bool:
        """Whether every test passed in every simulator."""
        return all(run.passed for run in self.runs)

    @property
    def comparisons(self) -> int:
        """Result codes and flags compared, by all simulators together."""
        return sum(run.comparisons for run in self.runs)


# -- simulators ------------------------------------------------------------------------------------------------------


def choose(simulator: str, spec: MacSpec) -> tuple[str, ...]:
    """Return the names of the simulators that a choice means for an array on this machine.

    Raises:
        MacgenError: the choice is unknown.
        ToolError: the simulator is missing, or something that it needs.
    """
    if simulator not in get_args(SimulatorChoice):
        raise MacgenError(f"simulator {simulator!r} is unknown; accepted are {', '.join(get_args(SimulatorChoice))}")
    found = tuple(name for name, tool in SIMULATORS.items() if tools.find(tool).available)
    small = spec.rows * spec.cols <= SMALL_ARRAY
    auto = "icarus" if "icarus" in found and (small or "verilator" not in found) else "verilator"
    names = {"auto": (auto,), "all": found or ("verilator",)}.get(simulator, (simulator,))
    for name in names:
        for tool in (SIMULATORS[name], *(("g++", "make", "perl") if name == "verilator" else ())):
            tools.require(tool, needed_by=f"simulation with {name}")
    return names


def version_of(simulator: str) -> str:
    """Return the version of a simulator that `choose` returned."""
    return tools.require(SIMULATORS[simulator]).version or "unknown"


def simulator_environment(simulator: str) -> dict[str, str]:
    """Return this process's environment with the simulator first on the PATH."""
    tool = tools.require(SIMULATORS[simulator])
    environment = tool.environment()
    if not tool.variables:  # found on the PATH or named by the user
        directory = Path(tool.command[0]).parent
        environment["PATH"] = os.pathsep.join([str(directory), environment.get("PATH", os.defpath)])
    return environment


# -- verify ----------------------------------------------------------------------------------------------------------


def verify(
    bundle: str | Path,
    *,
    simulator: SimulatorChoice = "auto",
    seed: int = 1,
    tiles: int | None = None,
    workdir: str | Path | None = None,
    timeout: float = DEFAULT_TIMEOUT,
    stop_at_first_failure: bool = False,
) -> VerifyResult:
    """Test a bundle's Verilog against the golden model, bit for bit.

    Parameters:
        bundle: directory that `macgen build` wrote; only read.
        simulator: which simulator, see SimulatorChoice.
        seed: seed of all random choices.
        tiles: random tiles of the main random test; None for the testbench's default.
        workdir: directory for the build and the logs, made if need be; None for a temporary one, which is kept only
            when something fails.
        timeout: limit in seconds for each simulator.
        stop_at_first_failure: leave out the tests after the first failing one.

    Returns:
        What was tested and found. A failing test is a result, not an error.

    Raises:
        MacgenError: the bundle or an argument is refused.
        ToolError: a simulator is missing, failed or ran out of time; the sentence names the log.
    """
    directory = Path(bundle).resolve()
    manifest = load_manifest(directory)
    for name, number in (("seed", seed), ("tiles", 0 if tiles is None else tiles)):
        check_integer(name, number, 0)
    _check_timeout(timeout)
    settings = {"MACGEN_SEED": str(seed)}
    if tiles is not None:
        settings["MACGEN_TILES"] = str(tiles)
    if stop_at_first_failure:
        settings["COCOTB_MAX_FAILURES"] = "1"
    runs: list[SimulatorRun] = []
    notes = checksum_notes(directory, manifest)
    for name in choose(simulator, manifest.spec):
        with work_directory(workdir, name) as work:
            run, more = _simulate(directory, name, "sim.test_mac", work, settings, timeout)
            if run.passed and workdir is None:
                run = replace(run, log=None)
            work.keep = not run.passed
        runs.append(run)
        notes += [note for note in more if note not in notes]
    return VerifyResult(tuple(runs), seed, tuple(notes))


def checksum_notes(directory: Path, manifest: Manifest) -> list[str]:
    """Say so if the Verilog is not what was built: it is tested all the same."""
    if file_hash(directory / manifest.verilog) == manifest.files[manifest.verilog]:
        return []
    return [f"{manifest.verilog} was changed after it was built: its checksum is not the manifest's"]


# -- matrix products -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class MatmulResult:
    """A matrix product that the Verilog computed, every element equal to the golden model's.

    Attributes:
        codes: (M, N) result codes.
        flags: (M, N) flags.
        simulator: `icarus` or `verilator`.
        tiles: tiles of rows x cols that it took.
        beats: operand beats.
        cycles: clock cycles simulated.
        comparisons: codes and flags compared with the golden model.
        seconds: wall time, compile included.
    """

    codes: NDArray[Any]
    flags: NDArray[Any]
    simulator: str
    tiles: int
    beats: int
    cycles: int
    comparisons: int
    seconds: float


def run_matmul(
    bundle: str | Path,
    A: ArrayLike,
    B: ArrayLike,
    *,
    A_scales: ArrayLike | None = None,
    B_scales: ArrayLike | None = None,
    simulator: SimulatorChoice = "auto",
    workdir: str | Path | None = None,
    timeout: float = DEFAULT_TIMEOUT,
) -> MatmulResult:
    """Multiply two matrices of codes in a simulation of a bundle's Verilog; every result is compared with golden.

    Parameters:
        bundle: directory that `macgen build` wrote; only read.
        A: (M, K) codes of format a.
        B: (K, N) codes of format b. M and N need not be multiples of the array's rows and cols.
        A_scales: (M, chunks) codes of format scale, where the array has scales; else None.
        B_scales: (chunks, N) codes.
        simulator: `auto` means Icarus for small products and Verilator, which first compiles, for large ones.
        workdir: as for `verify`.
        timeout: limit in seconds.

    Returns:
        The product.

    Raises:
        MacgenError: an argument is refused, or a result is not the golden model's; the sentence names the log.
        ToolError: the simulator is missing, failed or ran out of time; the sentence names the log.
    """
    directory = Path(bundle).resolve()
    spec = load_manifest(directory).spec
    _check_timeout(timeout)
    a, b = np.asarray(A), np.asarray(B)
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[0] or 0 in a.shape + b.shape:
        raise MacgenError(f"A has the shape {a.shape} and B {b.shape}; accepted are (M, K) and (K, N)")
    a = checked_codes(a, spec.a.width, f"A, format {spec.a}")
    b = checked_codes(b, spec.b.width, f"B, format {spec.b}")
    chunks = 1 if spec.chunk is None else -(-a.shape[1] // spec.chunk)
    scales = {
        "a_scales": _checked_scales(spec, "A_scales", A_scales, (a.shape[0], chunks)),
        "b_scales": _checked_scales(spec, "B_scales", B_scales, (chunks, b.shape[1])),
    }
    if simulator == "auto" and a.shape[0] * b.size >= LARGE_PRODUCT and tools.find("verilator").available:
        simulator = "verilator"
    name = choose(simulator, spec)[0]
    with work_directory(workdir, name) as work:
        operands, results = work.path / "operands.npz", work.path / "results.npz"
        arrays = {"a": a, "b": b, **{name: codes for name, codes in scales.items() if codes is not None}}
        np.savez(operands, allow_pickle=False, **arrays)
        settings = {"MACGEN_OPERANDS": str(operands), "MACGEN_RESULTS": str(results)}
        run, _ = _simulate(directory, name, "sim.test_matmul", work, settings, timeout)
        if not run.passed:
            what = " ".join(line.strip() for line in run.failed[0].message.splitlines()[:2])
            raise MacgenError(
                f"the Verilog of {directory} does not compute what golden does: {what}; its log is {run.log}"
            )
        with np.load(results) as product:
            codes, flags = product["codes"], product["flags"]
        work.keep = False
    return MatmulResult(codes, flags, name, run.tiles, run.beats, run.cycles, run.comparisons, run.seconds)


def _checked_scales(spec: MacSpec, name: str, scales: ArrayLike | None, shape: tuple[int, int]) -> NDArray[Any] | None:
    if spec.scale is None or scales is None:
        if scales is not None:
            raise MacgenError(f"{name} are given, but the array has no scales; accepted is None")
        if spec.scale is not None:
            raise MacgenError(f"{name} are missing; accepted are codes of {spec.scale} of shape {shape}")
        return None
    codes = np.asarray(scales)
    if codes.shape != shape:
        raise MacgenError(f"{name} has the shape {codes.shape}; accepted is {shape}, a scale for each chunk")
    return checked_codes(codes, spec.scale.width, f"{name}, format {spec.scale}")


# -- one simulation --------------------------------------------------------------------------------------------------


@dataclass
class _Work:
    """A directory to work in; a temporary one is removed afterwards unless it is to be kept."""

    path: Path
    keep: bool = True


@contextlib.contextmanager
def work_directory(workdir: str | Path | None, simulator: str) -> Iterator[_Work]:
    """Give a fresh directory; after an error that names a log, or when told so, a temporary one stays."""
    if workdir is not None:
        path = Path(workdir).resolve() / simulator
        try:
            shutil.rmtree(path, ignore_errors=True)
            path.mkdir(parents=True)
        except OSError as error:
            raise MacgenError(
                f"workdir {workdir} cannot be written ({error.strerror}); accepted is a writable directory"
            ) from None
        yield _Work(path)
        return
    work = _Work(Path(tempfile.mkdtemp(prefix="macgen-")))
    try:
        yield work
    except MacgenError:
        raise
    except BaseException:
        work.keep = False
        raise
    finally:
        if not work.keep:
            shutil.rmtree(work.path, ignore_errors=True)


def _check_timeout(timeout: float) -> None:
    if not timeout > 0:
        raise MacgenError(f"timeout {timeout!r} is not a positive number of seconds")


def _simulate(
    bundle: Path, simulator: str, module: str, work: _Work, settings: Mapping[str, str], timeout: float
) -> tuple[SimulatorRun, list[str]]:
    """Run one test module in a process of its own; return what it did and its notes."""
    statistics, log = work.path / "statistics.json", work.path / "log.txt"
    command: list[str | Path] = [sys.executable, share_directory("sim") / "run.py", bundle]
    command += ["--simulator", simulator, "--module", module, "--work", work.path]
    environment = {**os.environ, **settings, "MACGEN_STATISTICS": str(statistics), "NO_COLOR": "1"}
    started = time.monotonic()
    code = tools.run(
        command,
        cwd=work.path,
        log=log,
        timeout=timeout,
        env=environment,
        name=f"simulation with {simulator}",
        check=False,
    )
    seconds = time.monotonic() - started
    try:
        tests = _read_results(work.path / "results.xml")
        done = json.loads(statistics.read_text(encoding="utf-8"))
    except (OSError, ValueError, ElementTree.ParseError):
        raise ToolError(
            f"simulation with {simulator} did not end normally (exit code {code}): {tools.last_message(log)}; its log "
            f"is {log}"
        ) from None
    if code not in (0, 1) or not tests:
        raise ToolError(
            f"simulation with {simulator} failed with exit code {code}: {tools.last_message(log)}; its log is {log}"
        )
    run = SimulatorRun(
        simulator=simulator,
        version=version_of(simulator),
        tests=tests,
        comparisons=done["comparisons"],
        tiles=done["tiles"],
        beats=done["beats"],
        cycles=done["cycles"],
        seconds=seconds,
        log=log,
    )
    return run, done["notes"]


def _read_results(path: Path) -> tuple[TestOutcome, ...]:
    """Read cocotb's xUnit file."""
    outcomes = []
    for case in ElementTree.parse(path).iter("testcase"):
        if case.find("skipped") is not None:
            continue
        problem = case.find("failure")
        problem = case.find("error") if problem is None else problem
        message = "" if problem is None else problem.get("message", "")
        outcomes.append(TestOutcome(case.get("name", ""), problem is None, message, float(case.get("time", 0))))
    return tuple(outcomes)
