"""`macgen report`: what a built array costs."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click

from macgen.cli.bundles import TRUST_HELP, holds_unit, look_at
from macgen.cli.files import STANDARD, check_writable, write_file
from macgen.cli.parameters import gemm_size, integer

if TYPE_CHECKING:
    from rich.console import Console

    from macgen.cost.estimate import Report
    from macgen.cost.fpga.report import FpgaReport
    from macgen.cost.unit import UnitReport
    from macgen.system.scheduling import Schedule

Record = TypeVar("Record", "Report", "FpgaReport", "UnitReport")

EXAMPLES = ((64, 64, 576), (1, 1000, 512))
"""Matrix products of a page for which none are chosen: of a convolution and of a fully connected layer."""


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
    "--clock-gating",
    is_flag=True,
    help="Put registers with a common enable behind a clock gate of the Liberty file, in both arrays.",
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
    help="Place and route on an FPGA instead (ecp5, ice40), or count its cells (xilinx, gowin, nexus); with "
    "--html the page has both.",
)
@click.option(
    "--device",
    metavar="NAME[:PACKAGE]",
    help="Part for --fpga: 12k, 25k, 45k, 85k; hx1k, hx8k, lp1k, lp8k, up5k.  [default: 25k, hx8k]",
)
@click.option(
    "--seeds", type=integer, metavar="N", help="Placements for --fpga, of which the median counts.  [default: 3]"
)
@click.option(
    "--html",
    metavar="FILE",
    help="Write a page, too, with what each module takes and matrix products on the array; - for stdout.",
)
@click.option(
    "--gemm",
    "gemms",
    metavar="MxNxK",
    multiple=True,
    help="A matrix product for the page; repeatable.  [default: 64x64x576 and 1x1000x512]",
)
@click.option("--network", metavar="NAME", help="Instead, a network of the papers: resnet18, resnet32 or alexnet.")
@click.option("--trust", is_flag=True, help=TRUST_HELP)
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
def report(
    directory: Path,
    liberty: tuple[Path, ...],
    dont_use: tuple[str, ...],
    clock_gating: bool,
    data: Path | None,
    clock_mhz: float | None,
    seed: int,
    fpga: str | None,
    device: str | None,
    seeds: int | None,
    html: str | None,
    gemms: tuple[str, ...],
    network: str | None,
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

    With --html all of it stands on one page that needs nothing beside it.

    \b
    Examples:
      macgen report build/mac12
      macgen report build/mac12 --liberty nangate45.lib.gz --clock-mhz 600
      macgen report build/mac12 --liberty slow.lib --liberty fast.lib --dont-use '*_X1'
      macgen report build/mac12 --liberty nangate45.lib.gz --clock-gating
      macgen report build/mac12 --data layer3.npz --json
      macgen report build/mac12 --fpga ecp5 --device 45k
      macgen report build/mac12 --liberty nangate45.lib.gz --html mac12.html
    """
    if fpga is None:
        _refuse("goes with --fpga only", device=device, seeds=seeds)
    elif html is None and (liberty or dont_use or clock_gating or data is not None):
        raise click.UsageError(
            "--liberty, --dont-use, --clock-gating and --data do not go with --fpga, unless there is --html"
        )
    if html is None:
        _refuse("goes with --html only", gemm=gemms or None, network=network)
    elif html == STANDARD:
        _refuse("does not go with --html -; accepted is --html FILE", json=as_json or None)
    else:
        check_writable("html", html)

    def price_gates() -> "Report":
        from macgen.cli import console
        from macgen.cost.estimate import DEFAULT_CLOCK_MHZ
        from macgen.cost.estimate import report as make_report

        with console.progress(f"Pricing {click.format_filename(directory)}") as stage:
            return make_report(
                directory,
                liberty=liberty or None,
                dont_use=dont_use,
                clock_gating=clock_gating,
                data=data,
                clock_mhz=DEFAULT_CLOCK_MHZ if clock_mhz is None else clock_mhz,
                seed=seed,
                by_block=html is not None,
                trust=trust,
                progress=stage,
            )

    from macgen.presentation.cost_table import print_report
    from macgen.presentation.fpga_table import print_fpga_report

    if html is not None:
        if holds_unit(look_at(directory, trust)):
            raise click.UsageError("--html goes with arrays only")
        schedule = _products(directory, gemms, network)
        schedule(None)  # what is wrong with the products is said before the long part
        place = None if fpga is None else _placer(directory, fpga, device, seeds, clock_mhz, trust)
        gates = price_gates()
        placed = None if place is None else place()
        from macgen.presentation.cost_page import cost_page

        page = cost_page(gates, schedule(gates), fpga=placed, examples=not gemms and network is None)
        write_file("html", html, page)
        if html == STANDARD:
            return
        if placed is None:
            _print(gates, print_report, as_json)
        else:
            _print(placed, print_fpga_report, as_json)
    elif fpga is not None:
        _print(_placer(directory, fpga, device, seeds, clock_mhz, trust)(), print_fpga_report, as_json)
    elif holds_unit(look_at(directory, trust)):
        if data is not None or dont_use or clock_gating or len(liberty) > 1:
            raise click.UsageError("--data, --dont-use, --clock-gating and several --liberty go with arrays only")
        _report_unit(directory, liberty[0] if liberty else None, clock_mhz, trust, as_json)
    else:
        _print(price_gates(), print_report, as_json)


def _refuse(why: str, **options: object) -> None:
    for option, value in options.items():
        if value is not None:
            raise click.UsageError(f"--{option} {why}")


def _print(record: Record, print_record: "Callable[[Record, Console], None]", as_json: bool) -> None:
    """Print a record as JSON, or as people read it."""
    import json

    from macgen.cli import console

    if as_json:
        click.echo(json.dumps(record.to_dict(), indent=2))
    else:
        print_record(record, console.output())


def _products(directory: Path, gemms: tuple[str, ...], network: str | None) -> "Callable[[Report | None], Schedule]":
    """Return what lays the page's matrix products out on the array, with their energy where a report has it."""
    from macgen.system.scheduling import schedule

    sizes = [gemm_size(text) for text in gemms] if gemms or network is not None else EXAMPLES
    return lambda report: schedule(directory, gemms=sizes, network=network, report=report)


def _report_unit(directory: Path, liberty: Path | None, clock_mhz: float | None, trust: bool, as_json: bool) -> None:
    """Print what a unit that compresses gradients costs."""
    from macgen.cli import console
    from macgen.cost.unit import DEFAULT_CLOCK_MHZ, report_unit
    from macgen.presentation.unit_table import print_unit_report

    with console.progress(f"Pricing {click.format_filename(directory)}") as stage:
        clock = DEFAULT_CLOCK_MHZ if clock_mhz is None else clock_mhz
        result = report_unit(directory, liberty=liberty, clock_mhz=clock, trust=trust, progress=stage)
    _print(result, print_unit_report, as_json)


def _placer(
    directory: Path,
    family: str,
    device: str | None,
    seeds: int | None,
    clock_mhz: float | None,
    trust: bool,
) -> "Callable[[], FpgaReport]":
    """Check what is asked for of an FPGA, and return what finds out what the array takes there."""
    from typing import cast

    from macgen.cli import console
    from macgen.cost.fpga.place_and_route import TARGET_MHZ
    from macgen.cost.fpga.report import DEFAULT_SEEDS, fpga_report, part_for
    from macgen.cost.fpga_cells import Family

    checked = cast(Family, family)
    count = DEFAULT_SEEDS if seeds is None else seeds
    target = TARGET_MHZ if clock_mhz is None else clock_mhz
    part_for(checked, device, count, target)

    def place() -> "FpgaReport":
        look_at(directory, trust)
        with console.progress(f"Placing {click.format_filename(directory)}") as stage:
            return fpga_report(
                directory, family=checked, device=device, seeds=count, target_mhz=target, trust=trust, progress=stage
            )

    return place
