"""Proves presets in full, and prints tables of figures for docs/verification.md.

    python benchmarks/prove.py [PRESET...]

Each preset, all of them where none is named, is built with its defaults and then verified exhaustively, formally and in
every simulator that is there. A line tells of each one that is done; the tables come last. Exits with 1 when something
differs or is not proved. `make prove` does it for one preset of each family, `make prove-all` for all.
"""

import os
import sys
from functools import partial

from rich.console import Console
from rich.status import Status

from macgen import presets, tools
from macgen.bundle import build
from macgen.catalogue import preset
from macgen.errors import MacgenError
from macgen.interrupts import run_program
from macgen.lifetime import temporary_directory
from macgen.prove.exhaustive.prover import ExhaustiveResult, Phase, exhaustive
from macgen.prove.formal.prover import FormalResult, formal
from macgen.simulate.simulators import SIMULATORS
from macgen.simulate.verify import VerifyResult, verify

PROOFS = ("PE", "sequencer", "operands", "results", "bounds", "totals")
TOLD = Console(stderr=True, highlight=False)


def processor_seconds() -> float:
    """Return the processor time of this process and of all that it has waited for."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def tell(status: Status, name: str, what: str) -> None:
    """Show what is being done with a preset."""
    status.update(f"{name}: {what}")


def number(count: int) -> str:
    """Write a number as the documentation does."""
    return f"{count:,}".replace(",", " ")


def extent(phase: Phase | None) -> str:
    """Say how much of a phase's space was driven."""
    if phase is None:
        return "-"
    if not phase.complete:
        return "drawn"
    sums = {"switches": f", {number(phase.sums)} sums at switches", "every": f", {number(phase.sums)} sums"}
    return f"{number(phase.pairs)}, all{sums.get(phase.numbers, '')}"


def exhaustive_row(name: str, result: ExhaustiveResult, seconds: float) -> list[str]:
    """Return a line of the first table."""
    phases = {phase.name: phase for phase in result.phases}
    products, steps = phases.pop("products", None), phases.pop("steps")
    folds = phases.pop("folds", None)
    distinct = f"{number(products.addends)} of {number(products.pairs)}" if products is not None else "drawn"
    others = ", ".join(f"{other}: {extent(phase)}" for other, phase in phases.items()) or "-"
    return [f"`{name}`", distinct, number(steps.states), extent(steps), extent(folds), others, f"{seconds:.0f}"]


def formal_row(name: str, result: FormalResult) -> list[str]:
    """Return a line of the second table."""
    seconds = {proof.name: f"{proof.seconds:.1f}" for proof in result.proofs}
    return [f"`{name}`", *(seconds.get(proof, "-") for proof in PROOFS), f"{result.seconds:.0f}"]


def simulated_row(name: str, result: VerifyResult) -> list[str]:
    """Return a line of the third table."""
    runs = {run.simulator: f"{run.seconds:.0f}" for run in result.runs}
    first = result.runs[0]
    compared = [number(first.tiles), number(first.cycles), number(first.comparisons)]
    return [f"`{name}`", *compared, *(runs.get(simulator, "-") for simulator in SIMULATORS)]


def markdown(head: list[str], rows: list[list[str]]) -> str:
    """Return a table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines).replace("| --- ", "|---").replace("--- |", "---|")


def main(names: list[str]) -> int:
    """Prove the presets of these names, all if there are none, and print what was found."""
    specs = {name: preset(name) for name in names or presets}
    proved: list[list[str]] = []
    formally: list[list[str]] = []
    simulated: list[list[str]] = []
    wrong: list[str] = []
    for place, (name, spec) in enumerate(specs.items(), 1):
        with temporary_directory() as directory, TOLD.status(name) as status:
            bundle = directory.path / "mac"
            build(spec, bundle)
            started = processor_seconds()
            pairs = exhaustive(bundle, progress=partial(tell, status, name))
            seconds = processor_seconds() - started
            proofs = formal(bundle, progress=partial(tell, status, name))
            tell(status, name, "simulation")
            runs = verify(bundle, simulator="all")
        problems = [text for text in (pairs.difference, proofs.problem) if text is not None]
        problems += [f"{run.simulator}: {test.name}: {test.message}" for run in runs.runs for test in run.failed]
        wrong += [f"{name}: {problem}" for problem in problems]
        proved.append(exhaustive_row(name, pairs, seconds))
        formally.append(formal_row(name, proofs))
        simulated.append(simulated_row(name, runs))
        spent = processor_seconds() - started
        verdict = "; ".join(problems) or "proved"
        TOLD.print(f"{place} of {len(specs)}: {name}: {verdict} ({spent:.0f} processor seconds)", soft_wrap=True)
    head = ["preset", "products", "states", "steps", "folds", "others", "processor seconds"]
    print(markdown(head, proved), end="\n\n")
    print(markdown(["preset", *PROOFS, "seconds in all"], formally), end="\n\n")
    print(markdown(["preset", "tiles", "cycles", "compared", *SIMULATORS], simulated), end="\n\n")
    found = [tool for tool in tools.all_tools() if tool.available]
    print(f"Processors: {os.cpu_count()}; {', '.join(f'{tool.name} {tool.version}' for tool in found)}.")
    for problem in wrong:
        print(f"Failed: {problem}")
    return 1 if wrong else 0


def program() -> int:
    """Run `main` on the command line's presets."""
    try:
        return main(sys.argv[1:])
    except MacgenError as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    run_program(program)
