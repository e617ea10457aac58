"""One run of the testbench in a simulator, as a process of its own."""

from __future__ import annotations

import importlib.util
import json
import os
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

from macgen import tools
from macgen.bundle.opening import OpenBundle
from macgen.bundle.subject import Subject
from macgen.compress.spec import CompressSpec
from macgen.errors import ToolError
from macgen.share import share_directory
from macgen.simulate.simulators import version_of
from macgen.spec_fields import Interface

DEFAULT_TIMEOUT = 1800.0

VERDICTS = ("AssertionError", "MismatchError", "ProtocolError")
"""Exceptions by which a test says that the array is wrong. Any other one says that the test did not get that far."""


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
        tiles: tiles compared completely; of a unit that compresses gradients, layers.
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


def testbench_of(subject: Subject) -> str:
    """Return the test modules, separated by commas, that verify what a bundle holds.

    Raises:
        ToolError: they need a package that is missing.
    """
    if isinstance(subject, CompressSpec):
        return "sim.test_compress"
    if subject.interface != Interface.AXI_STREAM:
        modules = ["sim.test_mac", *["sim.test_modes"] * bool(subject.modes)]
        modules += ["sim.test_counters"] * (subject.counters is not None)
        return ",".join([*modules, *["sim.test_preload"] * subject.preload])
    if importlib.util.find_spec("cocotbext") is None or importlib.util.find_spec("cocotbext.axi") is None:
        raise ToolError(
            "the testbench of AXI4-Stream ports needs the package cocotbext-axi, which is missing: "
            "python -m pip install 'macgen[axi]'"
        )
    return "sim.test_mac,sim.test_axi"


def simulate(
    bundle: OpenBundle, simulator: str, module: str, work: tools.Work, settings: Mapping[str, str], timeout: float
) -> tuple[SimulatorRun, list[str]]:
    """Run test modules on a bundle in a process of its own; return what it did and its notes.

    Raises:
        ToolError: the simulator failed or ran out of time, or a test broke off and none found a difference.
    """
    statistics, log = work.path / "statistics.json", work.path / "log.txt"
    command: list[str | Path] = [sys.executable, share_directory("sim") / "run.py", bundle.copy(work.path / "bundle")]
    command += ["--trust", "--simulator", simulator, "--module", module, "--work", work.path]
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

    def failure(what: str) -> ToolError:
        message = f"(exit code {code}): {tools.last_message(log)}; its log is {log}"
        return ToolError(f"simulation with {simulator} {what} {message}")

    try:
        tests, broken = read_results(work.path / "results.xml")
        if broken and all(test.passed or test in broken for test in tests):
            raise ToolError(
                f"the testbench broke off in {broken[0].name} with {simulator}, which is no difference of the array: "
                f"{' '.join(broken[0].message.split())}; its log is {log}"
            )
        done = json.loads(statistics.read_text(encoding="utf-8"))
    except (OSError, json.JSONDecodeError, ElementTree.ParseError):
        raise failure("did not end normally") from None
    if code not in (0, 1) or not tests:
        raise failure("failed")
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


def read_results(path: Path) -> tuple[tuple[TestOutcome, ...], tuple[TestOutcome, ...]]:
    """Read cocotb's xUnit file: all tests, and those of them that ended with an exception that is no verdict.

    Raises:
        OSError, ElementTree.ParseError: there is none, or it is damaged.
    """
    outcomes, broken = [], []
    for case in ElementTree.parse(path).iter("testcase"):
        if case.find("skipped") is not None:
            continue
        problem = case.find("failure")
        problem = case.find("error") if problem is None else problem
        message = "" if problem is None else problem.get("message", "")
        breaks = problem is not None and problem.get("type") not in VERDICTS
        if problem is not None and breaks:
            message = f"{problem.get('type', 'an error')}: {message}"
        outcomes.append(TestOutcome(case.get("name", ""), problem is None, message, float(case.get("time", 0))))
        if breaks:
            broken.append(outcomes[-1])
    return tuple(outcomes), tuple(broken)
