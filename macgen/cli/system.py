"""`macgen system`: matrix products larger than a built array, tile by tile."""

from pathlib import Path

import click

from macgen.cli.files import STANDARD, check_writable, write_file
from macgen.cli.parameters import SectionedCommand, dimensions, gemm_size, integer
from macgen.errors import MacgenError, shown_path


@click.command(
    cls=SectionedCommand,
    sections={
        "What is computed": ["gemms", "network", "batch", "dims", "only"],
        "The array": ["mode", "report"],
        "Output": ["json_path", "plot"],
    },
)
@click.argument("directory", metavar="DIR", type=click.Path(path_type=Path))
@click.argument("model", required=False, metavar="[MODEL.onnx]", type=click.Path(path_type=Path))
@click.option(
    "--gemm",
    "gemms",
    metavar="MxNxK",
    multiple=True,
    help="A product of an M x K matrix and a K x N matrix; repeatable.",
)
@click.option("--network", metavar="NAME", help="A network of the papers: resnet18, resnet32 or alexnet.")
@click.option(
    "--batch", type=integer, metavar="N", help="Examples computed together.  [default: 1, or as the model says]"
)
@click.option("--dim", "dims", metavar="NAME=N", multiple=True, help="Size of an open dimension of the model.")
@click.option(
    "--only",
    metavar="KIND",
    multiple=True,
    help="Which GEMMs: forward, backward or gradient; repeatable.  [default: forward]",
)
@click.option(
    "--report",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="What macgen report DIR --json printed: it gives the energy.",
)
@click.option("--mode", metavar="NAME", help="The mode in which the array works.  [default: full]")
@click.option("--json", "json_path", metavar="FILE", help="Write the figures; - for stdout.")
@click.option("--plot", metavar="FILE", help="Draw the roofline (.svg, .png, .pdf).")
def system(
    directory: Path,
    model: Path | None,
    gemms: tuple[str, ...],
    network: str | None,
    batch: int | None,
    dims: tuple[str, ...],
    only: tuple[str, ...],
    report: Path | None,
    mode: str | None,
    json_path: str | None,
    plot: str | None,
) -> None:
    """Show how a built array works through matrix products, or through every layer of a network.

    DIR is what `macgen build` wrote. For each product: its tiles, exact cycles, how much of the array is used, bytes a
    cycle at its ports, and bytes a cycle if each matrix is moved once. Nothing is simulated.

    \b
    Examples:
      macgen system build/mac12 --gemm 64x64x576 --gemm 1x1000x512
      macgen system build/mac12 --network resnet18 --plot roofline.svg
      macgen system build/mac12 model.onnx --batch 8 --report report.json --json system.json

    docs/system.md says what the figures mean.
    """
    import json

    from macgen.cli import console
    from macgen.presentation.system_table import print_schedule
    from macgen.system.scheduling import schedule

    if plot is not None and json_path is not None and Path(plot).absolute() == Path(json_path).absolute():
        raise MacgenError(f"json and plot are both {shown_path(plot)}; accepted are two files")
    if plot is not None:
        from macgen.presentation.drawing import file_type_of

        file_type_of(Path(plot).suffix)
        check_writable("plot", plot)
    if json_path is not None and json_path != STANDARD:
        check_writable("json", json_path)
    files: dict[tuple[str, str], bytes] = {}
    with console.progress(f"Laying out on {click.format_filename(directory)}") as stage:
        found = schedule(
            directory,
            gemms=[gemm_size(text) for text in gemms],
            network=network,
            model=model,
            batch=batch,
            dims=dimensions(dims) or None,
            only=only or None,
            report=report,
            mode=mode or 0,
            progress=stage,
        )
        if plot is not None:
            from macgen.presentation.system_plot import draw_roofline

            stage("drawing")
            files["plot", plot] = draw_roofline(found, Path(plot).suffix)
    if json_path is not None:
        files["json", json_path] = (json.dumps(found.to_dict(), indent=2) + "\n").encode()
    for (option, path), content in files.items():
        write_file(option, path, content)
    if json_path != STANDARD:
        print_schedule(found, console.output())
