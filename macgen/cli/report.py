"""`macgen report`: what a built array costs."""

from pathlib import Path

import click

from macgen.cli.bundles import TRUST_HELP, holds_unit, look_at
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
    help="Clock that synthesis aims at and power is given for.  [default: 500; with --fpga 200]",
)
@click.option("--seed", type=integer, metavar="N", default=1, help="Seed of the random operands.  [default: 1]")
@click.option(
    "--fpga",
    metavar="FAMILY",
    help="Place and route on an FPGA instead (ecp5, ice40), or count its cells (xilinx, gowin, nexus).",
)
@click.option(
    "--device",
    metavar="NAME[:PACKAGE]",
    help="Part for --fpga: 12k, 25k, 45k, 85k; hx1k, hx8k, lp1k, lp8k, up5k.  [default: 25k, hx8k]",
)
@click.option(
    "--seeds", type=integer, metavar="N", help="Placements for --fpga, of which the median counts.  [default: 3]"
)
@click.option("--trust", is_flag=True, help=TRUST_HELP)
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
def report(
    directory: Path,
    liberty: tuple[Path, ...],
    dont_use: tuple[str, ...],
    data: Path | None,
    clock_mhz: float | None,
    seed: int,
    fpga: str | None,
    device: str | None,
    seeds: int | None,
    trust: bool,
    as_json: bool,
) -> None:
    """Synthesize the Verilog of a bundle: cells, depth, LUTs, area, timing and power.

    DIR is what `macgen build` wrote. Every figure stands next to that of the same array with an FP32 accumulator
    (int32 for integer operands). For the power estimate the synthesized netlist computes real tiles, its toggles are
    counted per net, and its results are compared with the golden model.

    Of a unit that compresses gradients the two ends are priced, and its memory is left out.

    With --fpga the array gets registers round its ports, and is placed and routed by nextpnr, three times: LUTs,
    flip-flops, DSPs, block RAMs, the clock and where its worst path lies.

    \b
    Examples:
      macgen report build/mac12
      macgen report build/mac12 --liberty nangate45.lib.gz --clock-mhz 600
      macgen report build/mac12 --liberty slow.lib --liberty fast.lib --dont-use '*_X1'
      macgen report build/mac12 --data layer3.npz --json
      macgen report build/mac12 --fpga ecp5 --device 45k
    """
    import json

    if fpga is not None:
        if liberty or dont_use or data is not None:
            raise click.UsageError("--liberty, --dont-use and --data do not go with --fpga")
        _report_fpga(directory, fpga, device, seeds, clock_mhz, trust, as_json)
        return
    for option, value in (("--device", device), ("--seeds", seeds)):
        if value is not None:
            raise click.UsageError(f"{option} goes with --fpga only")

    from macgen.cli import console
    from macgen.cost.estimate import DEFAULT_CLOCK_MHZ
    from macgen.cost.estimate import report as make_report
    from macgen.presentation.cost_table import print_report

    if holds_unit(look_at(directory, trust)):
        if data is not None or dont_use or len(liberty) > 1:
            raise click.UsageError("--data, --dont-use and several --liberty go with arrays only")
        _report_unit(directory, liberty[0] if liberty else None, clock_mhz, trust, as_json)
        return
    with console.progress(f"Pricing {click.format_filename(directory)}") as stage:
        result = make_report(
            directory,
            liberty=liberty or None,
            dont_use=dont_use,
            data=data,
            clock_mhz=DEFAULT_CLOCK_MHZ if clock_mhz is None else clock_mhz,
            seed=seed,
            trust=trust,
            progress=stage,
        )
    if as_json:
        click.echo(json.dumps(result.to_dict(), indent=2))
    else:
        print_report(result, console.output())


def _report_unit(directory: Path, liberty: Path | None, clock_mhz: float | None, trust: bool, as_json: bool) -> None:
    """Print what a unit that compresses gradients costs."""
    import json

    from macgen.cli import console
    from macgen.cost.unit import DEFAULT_CLOCK_MHZ, report_unit
    from macgen.presentation.unit_table import print_unit_report

    with console.progress(f"Pricing {click.format_filename(directory)}") as stage:
        clock = DEFAULT_CLOCK_MHZ if clock_mhz is None else clock_mhz
        result = report_unit(directory, liberty=liberty, clock_mhz=clock, trust=trust, progress=stage)
    if as_json:
        click.echo(json.dumps(result.to_dict(), indent=2))
    else:
        print_unit_report(result, console.output())


def _report_fpga(
    directory: Path,
    family: str,
    device: str | None,
    seeds: int | None,
    clock_mhz: float | None,
    trust: bool,
    as_json: bool,
) -> None:
    """Print what the array takes on an FPGA."""
    import json
    from typing import cast

    from macgen.cli import console
    from macgen.cost.fpga.place_and_route import TARGET_MHZ
    from macgen.cost.fpga.report import DEFAULT_SEEDS, FAMILIES, fpga_report
    from macgen.cost.fpga_cells import Family
    from macgen.errors import check_choice
    from macgen.presentation.fpga_table import print_fpga_report

    check_choice("fpga", family, FAMILIES)
    look_at(directory, trust)
    with console.progress(f"Placing {click.format_filename(directory)}") as stage:
        result = fpga_report(
            directory,
            family=cast(Family, family),
            device=device,
            seeds=DEFAULT_SEEDS if seeds is None else seeds,
            target_mhz=TARGET_MHZ if clock_mhz is None else clock_mhz,
            trust=trust,
            progress=stage,
        )
    if as_json:
        click.echo(json.dumps(result.to_dict(), indent=2))
    else:
        print_fpga_report(result, console.output())
