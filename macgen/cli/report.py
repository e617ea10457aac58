"""`macgen report`: what a built array costs."""

from pathlib import Path

import click

from macgen.cli.bundles import TRUST_HELP, look_at
from macgen.cli.parameters import integer


@click.command()
@click.argument("directory", metavar="DIR", type=click.Path(path_type=Path))
@click.option(
    "--liberty",
    metavar="FILE",
    multiple=True,
    type=click.Path(path_type=Path),
    help="Map to the cells of this Liberty file (.lib, .lib.gz): area in um2, timing, tabulated energies. Further "
    "files have the same cells at other corners.  [default: generic gates with built-in energies]",
)
@click.option(
    "--dont-use",
    metavar="PATTERN",
    multiple=True,
    help="Cells of the Liberty file that synthesis is not to use, with * and ?; may be repeated.",
)
@click.option(
    "--data",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Operands for the power estimate: an .npz with real matrices a (M, K) and b (K, N).  [default: random]",
)
@click.option(
    "--clock-mhz",
    type=float,
    metavar="F",
    default=500.0,
    help="Clock that synthesis aims at and power is given for.  [default: 500]",
)
@click.option("--seed", type=integer, metavar="N", default=1, help="Seed of the random operands.  [default: 1]")
@click.option("--trust", is_flag=True, help=TRUST_HELP)
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
def report(
    directory: Path,
    liberty: tuple[Path, ...],
    dont_use: tuple[str, ...],
    data: Path | None,
    clock_mhz: float,
    seed: int,
    trust: bool,
    as_json: bool,
) -> None:
    """Synthesize the Verilog of a bundle: cells, depth, LUTs, area, timing and power.

    DIR is what `macgen build` wrote. Every figure stands next to that of the same array with an FP32 accumulator
    (int32 for integer operands). For the power estimate the synthesized netlist computes real tiles, its toggles are
    counted per net, and its results are compared with the golden model.

    \b
    Examples:
      macgen report build/mac12
      macgen report build/mac12 --liberty nangate45.lib.gz --clock-mhz 600
      macgen report build/mac12 --liberty slow.lib --liberty fast.lib --dont-use '*_X1'
      macgen report build/mac12 --data layer3.npz --json
    """
    import json

    from macgen.cli import console
    from macgen.cost.estimate import report as make_report
    from macgen.presentation.cost_table import print_report

    look_at(directory, trust)
    with console.progress(f"Pricing {click.format_filename(directory)}") as stage:
        result = make_report(
            directory,
            liberty=liberty or None,
            dont_use=dont_use,
            data=data,
            clock_mhz=clock_mhz,
            seed=seed,
            trust=trust,
            progress=stage,
        )
    if as_json:
        click.echo(json.dumps(result.to_dict(), indent=2))
    else:
        print_report(result, console.output())
