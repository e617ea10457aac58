"""Pipeline stages and turns for a clock: measured step by step, not guessed."""

import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from pathlib import Path

from macgen import tools
from macgen.bundle.bundle import build
from macgen.bundle.contents import verilog_of
from macgen.cost import timing
from macgen.cost.fpga.parts import PlacedFamily, find_part
from macgen.cost.fpga.report import fpga_report
from macgen.cost.kept import Kept
from macgen.cost.synthesize import synthesize_gates
from macgen.errors import MacgenError, check_function, check_path, check_type, is_real, shown
from macgen.spec import MacSpec
from macgen.spec_fields import MAX_INTERLEAVE, MAX_PIPELINE

WORTH = 1.02
"""A step that gains no more than 2 % has gained nothing: placements differ by as much."""


@dataclass(frozen=True)
class Trial:
    """What one choice gave.

    Attributes:
        pipeline, interleave: the choice.
        mhz: clock that an array of one PE reaches with it.
    """

    pipeline: int
    interleave: int
    mhz: float


@dataclass(frozen=True)
class Choice:
    """Stages and turns for a clock.

    Attributes:
        spec: the array with the first choice that meets the clock, or else with the fastest.
        met: whether it meets the clock.
        trials: all that was measured, by stages and turns. Among them is each choice with up to one stage and one turn
            more than the chosen one.
    """

    spec: MacSpec
    met: bool
    trials: tuple[Trial, ...]


def meet(
    spec: MacSpec,
    clock_mhz: float,
    *,
    liberty: str | os.PathLike[str] | None = None,
    fpga: PlacedFamily | None = None,
    device: str | None = None,
    progress: Callable[[str], None] = lambda _: None,
) -> Choice:
    """Choose `pipeline` and `interleave` of an array so that it reaches a clock.

    One PE is measured, with its streams: on an FPGA as `macgen report --fpga` does, or with OpenSTA in the cells of a
    Liberty file. Both are kept in the user's cache folder. A large array is slower by some per cent.

    Parameters:
        spec: the array; its own `pipeline` and `interleave` do not count.
        clock_mhz: the clock.
        liberty: Liberty file, plain or gzipped.
        fpga: `ecp5` or `ice40`; one of this and `liberty` is given.
        device: the part, with `fpga`.
        progress: is called with what is being done.

    Raises:
        MacgenError: an argument is refused, or outer additions take several cycles.
        ToolError: a tool is missing, fails or exceeds its time; its log is kept and named.
    """
    check_type("spec", spec, MacSpec, "a MacSpec")
    check_function("progress", progress)
    if not is_real(clock_mhz) or not 1 <= clock_mhz <= 1e5:
        raise MacgenError(f"clock-mhz {shown(clock_mhz)} is not from 1 to 100000")
    if spec.outer_cycles > 1:
        raise MacgenError(f"outer_cycles {spec.outer_cycles} does not go with meet, which chooses turns; accepted is 1")
    if (liberty is None) == (fpga is None):
        raise MacgenError("liberty and fpga are both given or both left out; accepted is one of them")
    library = None if liberty is None else check_path("liberty", liberty)
    if fpga is not None:
        find_part(fpga, device)
    elif device is not None:
        raise MacgenError(f"device {shown(device)} goes with fpga only")

    def measure(pipeline: int, interleave: int) -> float:
        progress(f"pipeline {pipeline}, interleave {interleave}")
        one = spec.replace(rows=1, cols=1, pipeline=pipeline, interleave=interleave)
        with tools.work_directory(None, "meet") as work:
            if fpga is not None:
                bundle = build(one, work.path / "mac", name="mac")
                work.keep = False
                placed = fpga_report(bundle, family=fpga, device=device)
                assert placed.fmax_mhz is not None
                return placed.fmax_mhz
            assert library is not None
            clock = _with_cells(one, library, float(clock_mhz), work.path)
            work.keep = False
            return clock

    (pipeline, interleave), trials = search(float(clock_mhz), measure)
    chosen = spec.replace(pipeline=pipeline, interleave=interleave)
    met = any(
        (trial.pipeline, trial.interleave) == (pipeline, interleave) and trial.mhz >= clock_mhz for trial in trials
    )
    return Choice(chosen, met, trials)


def search(clock_mhz: float, measure: Callable[[int, int], float]) -> tuple[tuple[int, int], tuple[Trial, ...]]:
    """Find stages and turns for a clock, from none on, each step where it gains more.

    Where neither a stage nor a turn gains anything by itself, both are taken: turns of `fp16` gain nothing before its
    products have a second stage. Of a choice that meets the clock its neighbours are measured, too: they tell what is
    to be had for a register more, and what one less would have lost.

    Parameters:
        clock_mhz: the clock.
        measure: gives the clock of so many stages and turns.

    Returns:
        The first choice that meets the clock, or else the fastest; and all that were measured, in their order.
    """
    known: dict[tuple[int, int], float] = {}

    def clock(choice: tuple[int, int]) -> float:
        if choice not in known:
            known[choice] = measure(*choice)
        return known[choice]

    at = (1, 1)
    while clock(at) < clock_mhz:
        stages, turns = at
        single = [(stages + 1, turns), (stages, turns + 1)]
        steps = [(p, i) for p, i in single if p <= MAX_PIPELINE and i <= MAX_INTERLEAVE]
        met = next((step for step in steps if clock(step) >= clock_mhz), None)
        if met is not None:
            at = met
            break
        best = max(steps, key=clock, default=None)
        if len(steps) == len(single) and best is not None and clock(best) <= WORTH * clock(at):
            best = (stages + 1, turns + 1)
        if best is None or (len(steps) < len(single) and clock(best) <= WORTH * clock(at)):
            break
        at = best
    if clock(at) < clock_mhz:
        at = max(known, key=lambda choice: known[choice])
    else:
        stages, turns = (min(count + 1, most) for count, most in zip(at, (MAX_PIPELINE, MAX_INTERLEAVE), strict=True))
        for neighbour in product(range(1, stages + 1), range(1, turns + 1)):
            clock(neighbour)
    return at, tuple(Trial(*choice, mhz) for choice, mhz in sorted(known.items()))


def _with_cells(spec: MacSpec, library: Path, clock_mhz: float, workdir: Path) -> float:
    """Return the clock that an array reaches in the cells of a library, measured now or by an earlier run."""
    text = verilog_of(spec, "mac")
    try:
        cells = hashlib.sha256(library.read_bytes()).hexdigest()
    except OSError as error:
        raise MacgenError(f"liberty {library} cannot be read: {error.strerror or error}") from error
    kept = Kept((text, cells, clock_mhz, tools.require("yosys").version, tools.find("sta").version))
    if (known := kept.load(lambda values: float(values["mhz"]))) is not None:
        return known
    verilog = workdir / "array.v"
    verilog.write_text(text, encoding="utf-8")
    gates = synthesize_gates(
        [verilog], "mac", workdir=workdir / "gates", liberty_file=library, period_ns=1e3 / clock_mhz
    )
    times = timing.analyse(gates)
    if times.minimum_period_ns is None:
        raise MacgenError(f"a clock cannot be met that is not known: {times.unavailable}")
    mhz = 1e3 / times.minimum_period_ns
    kept.save({"mhz": mhz})
    return mhz
