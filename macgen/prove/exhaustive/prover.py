"""Proves the arithmetic of a bundle's Verilog: every accumulator state with every product, every fold, every result.

Verilator compiles the emitted modules, and a C++ program drives them and compares them with a model of
docs/arithmetic.md (`cpp/`). A sample of its comparisons goes to the golden model, which so answers for that model.
"""

from __future__ import annotations

import contextlib
import json
import os
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from macgen import tools
from macgen.bundle.opening import open_bundle
from macgen.errors import MAX_COUNT, check_function, check_integer, check_path
from macgen.prove.exhaustive.difference import first_difference
from macgen.prove.exhaustive.program import check_widths, compile_program
from macgen.spec_modes import FULL

DEFAULT_TIMEOUT = 3600.0
MOST_PAIRS = 10**9
"""Pairs up to which a space is driven completely."""

DRAWN_PAIRS = 10**8
"""Pairs drawn where it is not."""


@dataclass(frozen=True)
class Phase:
    """One kind of comparison.

    Attributes:
        name: `products` (operand codes to the adder's operand), `start values` (codes to states), `loads` (a product
            into an empty accumulator), `steps`, `chunk sums` (times scales, to the outer adder's operand), `folds`,
            `swaps` (folds of a chunk of one product with the total in the accumulator's place) or `results`.
        states: distinct accumulator states that were driven; of folds, swaps and results, and of start values where
            there are folds, totals. 0 for products.
        addends: distinct products, of folds chunk sums, of swaps loaded states; 0 where products were drawn from too
            many to list.
        pairs: pairs driven.
        sums: additions driven: of stochastic rounding a pair has one for each of its random numbers.
        complete: whether these were all pairs.
        numbers: which random numbers they had: `every`, `switches` (both sides of each at which the contract's
            result changes, both ends and one more) or `drawn`; empty where the hardware takes none.
        seconds: wall time.
        mode: the mode in which the array was.
    """

    name: str
    states: int
    addends: int
    pairs: int
    sums: int
    complete: bool
    numbers: str
    seconds: float
    mode: str = FULL


@dataclass(frozen=True)
class ExhaustiveResult:
    """What `exhaustive` found.

    Attributes:
        phases: what was compared, in order; after a difference no more.
        difference: one sentence on the first difference, None where there is none.
        audited: comparisons that golden repeated.
        seed: the seed of all that was drawn.
        compile_seconds: wall time until the program ran.
        seconds: wall time in all.
        notes: sentences on what is unusual.
        log: the program's log; None where it was in a temporary directory and nothing differs.
    """

    phases: tuple[Phase, ...]
    difference: str | None
    audited: int
    seed: int
    compile_seconds: float
    seconds: float
    notes: tuple[str, ...]
    log: Path | None

    @property
    def passed(self) -> bool:
        """Whether nothing differs."""
        return self.difference is None

    @property
    def differs(self) -> str | None:
        """What differs: `step`, `fold`, `result` or another of the model's words; None where nothing does."""
        return None if self.difference is None else self.difference.partition(":")[0]

    @property
    def complete(self) -> bool:
        """Whether every pair of every phase was driven."""
        return all(phase.complete for phase in self.phases)

    @property
    def at_switches(self) -> bool:
        """Whether a phase drove both sides of the random numbers at which rounding changes, but not all numbers."""
        return any(phase.numbers == "switches" for phase in self.phases)

    @property
    def pairs(self) -> int:
        """Pairs driven in all."""
        return sum(phase.pairs for phase in self.phases)

    @property
    def sums(self) -> int:
        """Additions driven in all."""
        return sum(phase.sums for phase in self.phases)

    def to_dict(self) -> dict[str, Any]:
        """Return the result as JSON values."""
        values = {"passed": self.passed, "complete": self.complete, "pairs": self.pairs, **asdict(self)}
        return values | {"log": None if self.log is None else str(self.log)}


def exhaustive(
    bundle: str | Path,
    *,
    seed: int = 1,
    draws: int = DRAWN_PAIRS,
    most: int = MOST_PAIRS,
    workdir: str | Path | None = None,
    timeout: float = DEFAULT_TIMEOUT,
    trust: bool = False,
    progress: Callable[[str], None] = lambda _: None,
) -> ExhaustiveResult:
    """Compare the loop of a bundle's PE with the numeric contract, in every state that it can reach where that can be.

    Parameters:
        bundle: directory that `macgen build` wrote; only read.
        seed: seed of what is drawn.
        draws: steps, folds, swaps and results to draw where a space is too large.
        most: pairs up to which a space is not.
        workdir: directory for the build and the logs, made if need be; None for a temporary one, which is kept only
            when something differs.
        timeout: limit in seconds of the comparison, and of each command before it.
        trust: accept Verilog that macgen did not write; it is run as it is, see `macgen.bundle.open_bundle`.
        progress: is called with what is being done.

    Returns:
        What was compared. A difference is a result, not an error.

    Raises:
        MacgenError: the bundle or an argument is refused.
        ToolError: a tool is missing, failed or ran out of time; the sentence names the log.
    """
    started = time.monotonic()
    check_function("progress", progress)
    opened = open_bundle(check_path("bundle", bundle).resolve(), trust=trust)
    manifest = opened.manifest
    spec = manifest.spec
    seed = check_integer("seed", seed, 0, MAX_COUNT)
    draws, most = check_integer("draws", draws, 1, MAX_COUNT), check_integer("most", most, 0, MAX_COUNT)
    tools.check_timeout(timeout)
    for number in range(len(spec.mode_names)):
        check_widths(spec.mode(number))
    tools.require_all("verilator", "g++", "perl", needed_by="exhaustive verification")
    with tools.work_directory(workdir, "exhaustive") as work:
        compile_seconds, phases, audited = 0.0, list[Phase](), 0
        difference: str | None = None
        for number, mode in enumerate(spec.mode_names):
            # A mode after another has a directory of its own in that of the first.
            path = work.path / f"mode_{number}" if number else work.path
            path.mkdir(exist_ok=True)
            progress("compiling")
            begun, verilog = time.monotonic(), path / "array.v"
            verilog.write_bytes(opened.verilog)
            program = compile_program(spec, number, manifest.name, verilog, path, timeout)
            compile_seconds += time.monotonic() - begun
            log, result = path / "log.txt", path / "result.json"
            threads = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
            command: list[str | Path] = [program, *map(str, (threads, most, draws, seed)), result]
            with _last_line_shown(log, progress):
                tools.run(command, cwd=path, log=log, timeout=timeout, name="exhaustive verification")
            found = json.loads(result.read_text(encoding="utf-8"))
            progress("golden model")
            phases += [Phase(**phase, mode=mode) for phase in found["phases"]]
            audited += len(found["audit"])
            difference = first_difference(spec.mode(number), found)
            if difference is not None:
                difference += f" in mode {mode}" if spec.modes else ""
                break
        work.keep = difference is not None
    return ExhaustiveResult(
        phases=tuple(phases),
        difference=difference,
        audited=audited,
        seed=seed,
        compile_seconds=compile_seconds,
        seconds=time.monotonic() - started,
        notes=opened.notes,
        log=log if workdir is not None or difference is not None else None,
    )


@contextlib.contextmanager
def _last_line_shown(log: Path, progress: Callable[[str], None]) -> Iterator[None]:
    """Report the last line of a growing log as progress."""
    stop = threading.Event()

    def show() -> None:
        while not stop.wait(0.5):
            with contextlib.suppress(OSError, IndexError):
                progress(log.read_text(encoding="utf-8", errors="replace").splitlines()[1:][-1])

    thread = threading.Thread(target=show, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
