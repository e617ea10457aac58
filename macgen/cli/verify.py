"""`macgen verify`: simulate a bundle against the golden model, prove its step in every state, or its control."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click
from click.core import ParameterSource

from macgen import verbs
from macgen.cli.bundles import TRUST_HELP, look_at
from macgen.cli.parameters import EXIT_FAILED, integer

if TYPE_CHECKING:
    from macgen.prove.exhaustive.prover import ExhaustiveResult
    from macgen.prove.formal.prover import FormalResult
    from macgen.simulate.verify import VerifyResult


@click.command()
@click.argument("directory", metavar="DIR", type=click.Path(path_type=Path))
@click.option(
    "--simulator",
    metavar="auto|icarus|verilator|all",
    default="auto",
    help="auto: Icarus where it is found, else Verilator; all: each that is found.  [default: auto]",
)
@click.option(
    "--seed", type=integer, metavar="N", default=1, help="Seed of all random operands and gaps.  [default: 1]"
)
@click.option(
    "--tiles", type=integer, metavar="N", help="Random tiles to stream, 0 or more.  [default: the testbench's]"
)
@click.option(
    "--netlist",
    is_flag=True,
    help="Simulate what synthesis makes of the Verilog, of cells that do what their functions say.",
)
@click.option(
    "--liberty",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="With --netlist: map to the cells of this Liberty file (.lib, .lib.gz).  [default: generic gates]",
)
@click.option(
    "--clock-gating",
    is_flag=True,
    help="With --netlist --liberty: put registers with a common enable behind a clock gate of the library.",
)
@click.option(
    "--exhaustive",
    is_flag=True,
    help="Instead of streams, drive a PE's step with every accumulator state and every product, every chunk fold, and "
    "every conversion of results.",
)
@click.option(
    "--pairs",
    type=integer,
    metavar="N",
    help="With --exhaustive: steps, folds, swaps, results to draw where there are more than 10^9.  "
    "[default: 100000000]",
)
@click.option(
    "--formal",
    is_flag=True,
    help="Instead of streams, prove stream protocol, order of the sums, reset and range of the sums for all time; of a "
    "unit that compresses gradients that nothing is lost.",
)
@click.option("--trust", is_flag=True, help=TRUST_HELP)
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
@click.pass_context
def verify(
    ctx: click.Context,
    directory: Path,
    simulator: Any,
    seed: int,
    tiles: int | None,
    netlist: bool,
    liberty: Path | None,
    clock_gating: bool,
    exhaustive: bool,
    pairs: int | None,
    formal: bool,
    trust: bool,
    as_json: bool,
) -> None:
    """Simulate the Verilog of a bundle and compare every result and flag with the golden model, bit for bit.

    DIR is what `macgen build` or `macgen compress` wrote. Its Verilog is first compared with what macgen writes of its
    spec; other Verilog may do anything when it runs, and is refused without --trust.

    Corner operands (zeros, subnormals, extremes, ties, cancellation, infinities, NaN), all chunk lengths and random
    operands run with random gaps and back-pressure. Exits with 1 when a result differs; the log then stays and is
    named.

    \b
    Example:
      macgen verify build/mac12 --simulator all --seed 7
      macgen verify build/mac12 --exhaustive
      macgen verify build/mac12 --formal
      macgen verify build/mac12 --netlist --liberty cells.lib
    """
    from macgen.cli import console

    if formal:
        _verify_formally(ctx, directory, exhaustive, trust, as_json)
        return
    given = {
        name
        for name in ("simulator", "tiles", "netlist")
        if ctx.get_parameter_source(name) is not ParameterSource.DEFAULT
    }
    if exhaustive and given:
        raise click.UsageError(f"--{min(given)} does not go with --exhaustive, which Verilator compiles")
    if pairs is not None and not exhaustive:
        raise click.UsageError("--pairs goes with --exhaustive only")
    if liberty is not None and not netlist:
        raise click.UsageError("--liberty goes with --netlist only")
    if clock_gating and liberty is None:
        raise click.UsageError("--clock-gating goes with --liberty only")
    look_at(directory, trust)
    if exhaustive:
        with console.progress(f"Proving {click.format_filename(directory)}") as tell:
            driven = verbs.verify(directory, exhaustive=True, seed=seed, pairs=pairs, trust=trust, progress=tell)
        _show(ctx, driven, as_json, _print_phases)
        return
    with console.progress(f"Simulating {click.format_filename(directory)}") as tell:
        simulated = verbs.verify(
            directory,
            simulator=simulator,
            seed=seed,
            tiles=tiles,
            netlist=netlist,
            liberty=liberty,
            clock_gating=clock_gating,
            trust=trust,
            progress=tell,
        )
    _show(ctx, simulated, as_json, _print_tables)


def _verify_formally(ctx: click.Context, directory: Path, exhaustive: bool, trust: bool, as_json: bool) -> None:
    from macgen.cli import console

    given = ("simulator", "seed", "tiles", "pairs", "netlist", "liberty", "clock_gating")
    others = {name for name in given if ctx.get_parameter_source(name) is not ParameterSource.DEFAULT}
    if exhaustive:
        others.add("exhaustive")
    if others:
        raise click.UsageError(f"--{min(others).replace('_', '-')} does not go with --formal, which draws no operands")
    look_at(directory, trust)
    with console.progress(f"Proving {click.format_filename(directory)}") as tell:
        proved = verbs.verify(directory, formal=True, trust=trust, progress=tell)
    _show(ctx, proved, as_json, _print_proofs)


R = TypeVar("R", "VerifyResult", "ExhaustiveResult", "FormalResult")


def _show(ctx: click.Context, result: R, as_json: bool, print_: Callable[[R], None]) -> None:
    import json

    if as_json:
        click.echo(json.dumps(result.to_dict(), indent=2))
    else:
        print_(result)
    if not result.passed:
        ctx.exit(EXIT_FAILED)


def _print_proofs(result: "FormalResult") -> None:
    from rich.table import Column

    from macgen.cli import console
    from macgen.presentation.tables import new_table, print_table

    out = console.output()
    claim = Column("Claim", overflow="fold")
    table = new_table("Proof", "Property", claim, "Method", "Depth", "Seconds", "Result")
    for proof in result.proofs:
        for place, item in enumerate(proof.properties):
            how = ["", "", "", ""] if place else [proof.name, proof.method, str(proof.depth), f"{proof.seconds:.1f}"]
            # The properties of a proof hold together: of one that fails, the others stay open.
            outcome = proof.outcome if proof.outcome != "fails" or item == proof.failing else "open"
            table.add_row(how[0], item.name, item.claim, *how[1:], outcome)
    print_table(table, out)
    for note in result.notes:
        out.print(f"Note: {note}")
    for sentence in result.unproved:
        out.print(f"Not proved: {sentence}")
    count = sum(len(proof.properties) for proof in result.proofs)
    if result.passed:
        out.print(f"Proved: {count} properties, from any state on through one cycle of reset, for all time.")
    else:
        failed = any(proof.outcome == "fails" for proof in result.proofs)
        out.print(f"{'Failed' if failed else 'Undecided'}: {result.problem}")


def _print_phases(result: "ExhaustiveResult") -> None:
    from rich.table import Column

    from macgen.cli import console
    from macgen.presentation.tables import new_table, print_table

    out = console.output()
    space = Column("Space", overflow="fold")
    table = new_table("What", "States", "Addends", "Pairs", space, "Seconds", "Result")
    for phase in result.phases:
        counts = [f"{count:,}" if count else "-" for count in (phase.states, phase.addends)]
        driven = "complete" if phase.complete else "sampled"
        if phase.complete and phase.numbers == "switches":
            driven = "complete, R at switches"
        failed = not result.passed and phase is result.phases[-1]
        verdict = "differs" if failed else "equal"
        mode = f"{phase.mode}: " if any(other.mode != phase.mode for other in result.phases) else ""
        table.add_row(f"{mode}{phase.name}", *counts, f"{phase.pairs:,}", driven, f"{phase.seconds:.1f}", verdict)
    print_table(table, out)
    if result.difference is not None:
        out.print(result.difference)
    if result.log is not None:
        out.print(f"Log: {click.format_filename(result.log)}")
    for note in result.notes:
        out.print(f"Note: {note}")
    audited = f"{result.audited:,} of them repeated by the golden model"
    if not result.passed:
        counted = f"{result.pairs:,} pairs, seed {result.seed}"
        out.print(f"Failed: the {result.differs} differs from the numeric contract ({counted}).")
    elif result.complete:
        numbers = ""
        if any(phase.numbers for phase in result.phases):
            at = "at the switches of their rounding" if result.at_switches else "with every random number"
            numbers = f" {at} ({result.sums:,} sums)"
        out.print(f"Proved: all {result.pairs:,} pairs equal the numeric contract{numbers}, {audited}.")
    else:
        out.print(f"Verified: {result.pairs:,} pairs equal the numeric contract, {audited} (seed {result.seed}).")


def _print_tables(result: "VerifyResult") -> None:
    from macgen.cli import console
    from macgen.presentation.tables import new_table, print_table

    out = console.output()
    unit = result.holds == "unit"
    compared_with, values = ("definition", "values") if unit else ("golden model", "results and flags")
    table = new_table(
        "Simulator", "Tests", "Layers" if unit else "Tiles", "Beats", "Cycles", "Compared", "Seconds", "Result"
    )
    for run in result.runs:
        counts = [f"{count:,}" for count in (len(run.tests), run.tiles, run.beats, run.cycles, run.comparisons)]
        verdict = "equal" if run.passed else f"{len(run.failed)} failed"
        table.add_row(f"{run.simulator} {run.version}", *counts, f"{run.seconds:.1f}", verdict)
    print_table(table, out)
    for run in result.runs:
        for test in run.failed:
            out.print(f"{run.simulator}: {test.name}: {test.message}")
        if run.log is not None:
            out.print(f"{run.simulator}: log {click.format_filename(run.log)}")
    for note in result.notes:
        out.print(f"Note: {note}")
    compared = f"{result.comparisons:,} {values}"
    if result.passed:
        out.print(f"Verified: {compared} equal the {compared_with} (seed {result.seed}).")
    else:
        out.print(
            f"Failed: the {result.holds} differs from the {compared_with} ({compared} compared, seed {result.seed})."
        )
