"""`macgen compress`: a bundle of a unit that compresses gradients with AdaComp."""

import re
from pathlib import Path
from typing import TYPE_CHECKING

import click

from macgen.cli.parameters import SectionedCommand, integer, word_of_path
from macgen.errors import MacgenError

if TYPE_CHECKING:
    from macgen.bundle.bundle import Bundle
    from macgen.compress.spec import CompressSpec


@click.command(
    cls=SectionedCommand,
    sections={
        "Arithmetic": ["bin_", "format_"],
        "Hardware": ["lanes", "learners", "most_bins"],
        "Hand-over": ["clock_mhz", "io_share"],
        "Output": ["output", "name", "force"],
    },
)
@click.option(
    "--bin",
    "bin_",
    type=integer,
    metavar="N",
    default=50,
    help="Elements of a bin, 1 to 4096; two are buffered. The paper takes 50 for convolutions, 500 for fully connected "
    "layers.  [default: 50]",
)
@click.option(
    "--format",
    "format_",
    metavar="FORMAT",
    default="fix4.12",
    help="Of gradients and of what is kept: signed fixed point of 2 to 32 bits.  [default: fix4.12]",
)
@click.option(
    "--lanes", type=integer, metavar="N", help="Elements a cycle, 1 to 16; bins are multiples of it.  [default: 1]"
)
@click.option(
    "--learners",
    type=integer,
    metavar="N",
    help="Streams that the receiver sums, up to 32; 0: there is no receiver.  [default: 4]",
)
@click.option(
    "--most-bins", type=integer, metavar="N", help="Bins of a layer at most, up to 16777215.  [default: 1048575]"
)
@click.option(
    "--clock-mhz",
    type=float,
    metavar="F",
    help="Clock that the constraints ask for; with LibreLane's config.json.  [default: 100, without it]",
)
@click.option(
    "--io-share",
    type=float,
    metavar="X",
    help="With --clock-mhz: share of the period taken outside before inputs and after outputs.  [default: 0.2]",
)
@click.option(
    "-o", "--output", metavar="DIR", type=click.Path(path_type=Path), help="Bundle directory.  [default: build/NAME]"
)
@click.option(
    "--name",
    metavar="NAME",
    help="Name of the top module: a Verilog identifier.  [default: the directory's name, else made of bin and format]",
)
@click.option("--force", is_flag=True, help="Replace the bundle if there is one in the directory, and nothing else.")
def compress(
    bin_: int,
    format_: str,
    lanes: int | None,
    learners: int | None,
    most_bins: int | None,
    clock_mhz: float | None,
    io_share: float | None,
    output: Path | None,
    name: str | None,
    force: bool,
) -> None:
    """Generate a unit that compresses gradients with AdaComp, and sums what several learners sent.

    Of each bin it sends the elements that reach the largest accumulated gradient, as signs of one scale, and keeps the
    rest for the next step. docs/compress.md says exactly what.

    \b
    Examples:
      macgen compress --bin 50 --format fix4.12 -o build/ada50
      macgen compress --bin 500 --format fix4.12 --lanes 4 --learners 8
      macgen verify build/ada50

    The directory gets the same files as that of macgen build.
    """
    from macgen.bundle.bundle import build
    from macgen.bundle.names import check_name
    from macgen.cli import console
    from macgen.compress.spec import CompressSpec

    options = {"lanes": lanes, "learners": learners, "most_bins": most_bins}
    given = {option: value for option, value in options.items() if value is not None}
    spec = CompressSpec(format_, bin_, **given)
    if name is None and output is not None:
        try:
            name = check_name(output.absolute().name)
        except MacgenError:
            name = None
    name = check_name(default_name(spec) if name is None else name)
    directory = Path("build") / name if output is None else output
    with console.progress(f"Generating {name}"):
        built = build(spec, directory, name=name, force=force, clock_mhz=clock_mhz, io_share=io_share)
    _summarize(built, spec)


def default_name(spec: "CompressSpec") -> str:
    """Return a name for a unit, made of its bins and its format: a plain identifier."""
    lanes = f"_l{spec.lanes}" if spec.lanes > 1 else ""
    return re.sub(r"[^A-Za-z0-9_]", "_", f"adacomp_b{spec.bin}_{str(spec.format).replace('-', 'm')}{lanes}")


def _summarize(built: "Bundle", spec: "CompressSpec") -> None:
    from rich.table import Table

    from macgen.cli import console

    each = "an element" if spec.lanes == 1 else f"{spec.lanes} elements"
    rows = {
        "Compressor": f"{spec.format}, bins of {spec.bin}, {each} a cycle",
        "Buffer": f"two bins, {2 * spec.groups} words of {spec.lanes * spec.word_bits} bits",
        "Sends": f"{spec.beat_bits} bits a beat, a scale of {spec.width} bits a layer",
        "Timing": f"what is kept comes {built.manifest.latency} cycles after a bin's last beat",
    }
    if spec.learners:
        learners = "one learner" if spec.learners == 1 else f"{spec.learners} learners"
        rows["Receiver"] = f"{learners}, sums of {spec.sum_bits} bits"
    out = console.output()
    table = Table.grid(padding=(0, 2))
    for title, text in rows.items():
        table.add_row(title, text)
    out.print(f"Built {built.manifest.name} in {click.format_filename(built.directory)}")
    out.print(table)
    out.print("Files: " + ", ".join([*built.manifest.files, "manifest.json"]))
    word = word_of_path(built.directory)
    out.print(f"Next:  macgen verify {word}\n       macgen report {word}")
