"""Runs the cocotb testbench of `sim/` on a bundle: every result and flag against the golden model."""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

from macgen import tools
from macgen.bundle.opening import OpenBundle, open_bundle
from macgen.compress.spec import CompressSpec
from macgen.errors import MAX_COUNT, check_flag, check_integer, check_path
from macgen.simulate.session import DEFAULT_TIMEOUT, SimulatorRun, simulate, testbench_of
from macgen.simulate.simulators import SimulatorChoice, choose


@dataclass(frozen=True)
class VerifyResult:
    """What `verify` found.

    Attributes:
        runs: one per simulator.
        seed: the seed of all random choices.
        notes: sentences on what is unusual: Verilog that is not what was built, tests that were cut short.
        holds: what the bundle holds: an `array`, or a `unit` that compresses gradients.
    """

    runs: tuple[SimulatorRun, ...]
    seed: int
    notes: tuple[str, ...]
    holds: Literal["array", "unit"] = "array"

    @property
    def passed(self) -> bool:
        """Whether every test passed in every simulator."""
        return all(run.passed for run in self.runs)

    @property
    def comparisons(self) -> int:
        """Result codes and flags compared, by all simulators together."""
        return sum(run.comparisons for run in self.runs)

    def to_dict(self) -> dict[str, Any]:
        """Return the result as JSON values."""
        values = {"passed": self.passed, "comparisons": self.comparisons, **asdict(self)}
        for run, values_of_run in zip(self.runs, values["runs"], strict=True):
            values_of_run |= {"passed": run.passed, "log": None if run.log is None else str(run.log)}
        return values


def verify(
    bundle: str | os.PathLike[str],
    *,
    simulator: SimulatorChoice = "auto",
    seed: int = 1,
    tiles: int | None = None,
    workdir: str | Path | None = None,
    timeout: float = DEFAULT_TIMEOUT,
    stop_at_first_failure: bool = False,
    trust: bool = False,
) -> VerifyResult:
    """Test a bundle's Verilog against the golden model, bit for bit.

    Parameters:
        bundle: what `build` returned, or its directory; only read.
        simulator: which simulator, see SimulatorChoice.
        seed: seed of all random choices.
        tiles: random tiles of the main random test; None for the testbench's default.
        workdir: directory for the build and the logs, made if need be; None for a temporary one, which is kept only
            when something fails.
        timeout: limit in seconds for each simulator.
        stop_at_first_failure: leave out the tests after the first failing one.
        trust: accept Verilog that macgen did not write; it is run as it is, see `macgen.bundle.open_bundle`.

    Returns:
        What was tested and found. A failing test is a result, not an error.

    Raises:
        MacgenError: the bundle or an argument is refused.
        ToolError: a simulator is missing, failed or ran out of time; the sentence names the log.
    """
    tools.check_timeout(timeout)
    seed, tiles = checked_draws(seed, tiles)
    stop_at_first_failure = check_flag("stop_at_first_failure", stop_at_first_failure)
    opened = open_bundle(check_path("bundle", bundle).resolve(), trust=trust)
    return verify_opened(
        opened,
        simulator=simulator,
        seed=seed,
        tiles=tiles,
        workdir=workdir,
        timeout=timeout,
        stop_at_first_failure=stop_at_first_failure,
    )


def checked_draws(seed: int, tiles: int | None) -> tuple[int, int | None]:
    """Return a seed and a number of random tiles.

    Raises:
        MacgenError: one of them is refused.
    """
    seed = check_integer("seed", seed, 0, MAX_COUNT)
    return seed, None if tiles is None else check_integer("tiles", tiles, 0, MAX_COUNT)


def verify_opened(
    opened: OpenBundle,
    *,
    simulator: SimulatorChoice,
    seed: int,
    tiles: int | None,
    workdir: str | Path | None,
    timeout: float,
    stop_at_first_failure: bool = False,
) -> VerifyResult:
    """Test the Verilog of a bundle that was looked at; for all else see `verify`."""
    settings = {"MACGEN_SEED": str(seed)}
    if tiles is not None:
        settings["MACGEN_TILES"] = str(tiles)
    if stop_at_first_failure:
        settings["COCOTB_MAX_FAILURES"] = "1"
    testbench = testbench_of(opened.manifest.subject)
    runs: list[SimulatorRun] = []
    notes = list(opened.notes)
    for name in choose(simulator, opened.manifest.subject):
        with tools.work_directory(workdir, name) as work:
            run, more = simulate(opened, name, testbench, work, settings, timeout)
            if run.passed and workdir is None:
                run = replace(run, log=None)
            work.keep = not run.passed
        runs.append(run)
        notes += [note for note in more if note not in notes]
    holds: Literal["array", "unit"] = "unit" if isinstance(opened.manifest.subject, CompressSpec) else "array"
    return VerifyResult(tuple(runs), seed, tuple(notes), holds)
