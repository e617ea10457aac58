"""`macgen build`: from options, a preset or a spec file to a bundle on disk."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from macgen.cli.parameters import SectionedCommand, integer, integer_or_none
from macgen.errors import MacgenError, shown

if TYPE_CHECKING:
    from macgen.emit.manifest import Manifest
    from macgen.spec import MacSpec

MAX_SPEC_BYTES = 1 << 20


@click.command(
    cls=SectionedCommand,
    sections={
        "Where to start": ["preset", "spec"],
        "Number formats": ["a", "b", "acc_bits", "acc", "subnormals"],
        "Arithmetic": ["chunk", "rounding", "overflow"],
        "Hardware": ["rows", "cols", "fold", "pipeline"],
        "Output": ["output", "name", "force"],
    },
)
@click.option(
    "--preset", metavar="NAME", help="Start from this preset (macgen presets lists them).  [default: default]"
)
@click.option(
    "--spec", metavar="FILE", help="Start from this JSON file, as macgen presets NAME prints it; - reads stdin."
)
@click.option(
    "--a", metavar="FORMAT", help="Operands streamed to the rows, up to 32 bits: e5m2, e4m3fn, fp16, int8 ..."
)
@click.option("--b", metavar="FORMAT", help="Operands streamed to the columns.")
@click.option(
    "--acc-bits",
    type=integer,
    metavar="N",
    help="Width of the accumulator. Float operands: 1 sign, 6 exponent, N-7 mantissa bits, N from 8 to 59. Integer or "
    "fixed-point operands: two's complement, N up to 256.",
)
@click.option(
    "--acc", metavar="FORMAT", help="Format of the accumulator, where --acc-bits does not say it: e5m8, int20 ..."
)
@click.option(
    "--subnormals",
    metavar="gradual|flush",
    help="Float accumulators: keep subnormal sums, or make them +0 (smaller).",
)
@click.option(
    "--chunk",
    type=integer_or_none,
    metavar="N|none",
    help="Products summed before the sum is folded into the outer accumulator, 1 to 1048576.",
)
@click.option(
    "--rounding",
    metavar="rne|rtz|drop|stochastic:R",
    help="Round to nearest even, toward zero, align and drop, or at random with R bits, 1 to 32.",
)
@click.option(
    "--overflow",
    metavar="saturate|infinity|wrap",
    help="Sums that are too large: the largest value, infinity (float formats that have it), or modulo 2^N (fixed "
    "point).",
)
@click.option("--rows", type=integer, metavar="N", help="Rows of the array, 1 to 256.")
@click.option("--cols", type=integer, metavar="N", help="Columns of the array, 1 to 256.")
@click.option(
    "--fold",
    metavar="bubble|overlap",
    help="Fold a chunk in a cycle of its own (smaller), or while the next chunk starts (no stall).",
)
@click.option("--pipeline", type=integer, metavar="N", help="Register stages from the operands to the adder, 1 or 2.")
@click.option(
    "-o", "--output", metavar="DIR", type=click.Path(path_type=Path), help="Bundle directory.  [default: build/NAME]"
)
@click.option(
    "--name",
    metavar="NAME",
    help="Name of the top module: a Verilog identifier.  [default: the directory's name, else made of the formats]",
)
@click.option("--force", is_flag=True, help="Replace the bundle if there is one in the directory.")
def build(
    preset: str | None, spec: str | None, output: Path | None, name: str | None, force: bool, **options: Any
) -> None:
    """Generate an array of multiply-accumulate units with the accumulator you ask for.

    Every field comes from the preset or the spec file unless an option replaces it.

    \b
    Examples:
      macgen build --acc-bits 12 --chunk 64 -o build/mac12
      macgen build --preset fp16 --rows 16 --cols 16
      macgen build --a int8 --b int8 --acc-bits 24 --overflow saturate

    The directory gets rtl/NAME.v (plain Verilog-2001, nothing else needed), constraints/ (SDC, XDC), NAME.core
    (FuseSoC) and manifest.json (spec, ports, latency, versions, hashes). It appears whole or not at all.
    """
    from macgen.cli import console
    from macgen.cli.arguments import name_and_directory, resolve_spec
    from macgen.emit.bundle import build as build_bundle

    given = {option: value for option, value in options.items() if value is not None}
    if given.get("chunk") == "none":
        given["chunk"] = None
    resolved = resolve_spec(_base(preset, spec), given)
    name, directory = name_and_directory(resolved, name, output)
    with console.progress(f"Generating {name}"):
        manifest = build_bundle(resolved, directory, name=name, force=force)
    _summarize(manifest, directory)


def _base(preset: str | None, path: str | None) -> "MacSpec":
    from macgen.catalogue import preset as find_preset

    if path is None:
        return find_preset("default" if preset is None else preset)
    if preset is not None:
        raise MacgenError(f"preset {shown(preset)} and spec {shown(path)} are both given; accepted is one of them")
    return _read_spec(path)


def _read_spec(path: str) -> "MacSpec":
    from macgen.spec import MacSpec

    accepted = f"accepted is a JSON file of up to {MAX_SPEC_BYTES} bytes"
    try:
        with click.open_file(path, "rb") as file:
            data = file.read(MAX_SPEC_BYTES + 1)
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        raise MacgenError(f"spec {shown(path)} is not UTF-8 text; {accepted}") from None
    except OSError as error:
        raise MacgenError(f"spec {shown(path)} cannot be read ({error.strerror}); {accepted}") from None
    if len(data) > MAX_SPEC_BYTES:
        raise MacgenError(f"spec {shown(path)} is larger than {MAX_SPEC_BYTES} bytes; {accepted}")
    try:
        return MacSpec.from_json(text)
    except MacgenError as error:
        raise MacgenError(f"spec {shown(path)}: {error}") from None


def _summarize(manifest: "Manifest", directory: Path) -> None:
    from rich.table import Table

    from macgen.cli import console

    spec = manifest.spec
    chunk = "no chunks" if spec.chunk is None else f"chunks of {spec.chunk}, folded with {spec.fold}"
    stages = f"{spec.pipeline} register stage{'s' if spec.pipeline > 1 else ''}"
    rows = {
        "Array": f"{spec.rows} x {spec.cols} units, {stages} before the adder",
        "Timing": f"results {manifest.latency} cycles after a tile's last operands",
        "Operands": f"{spec.a} x {spec.b}, {spec.a.width} x {spec.b.width} bits",
        "Accumulator": f"{spec.acc}, {spec.acc.width} bits, {spec.rounding}, {spec.overflow}, {chunk}",
    }
    where = click.format_filename(directory)
    out = console.output()
    table = Table.grid(padding=(0, 2))
    for title, text in rows.items():
        table.add_row(title, text)
    out.print(f"Built {manifest.name} in {where}")
    out.print(table)
    out.print("Files: " + ", ".join([*manifest.files, "manifest.json"]))
    out.print(f"Next:  macgen verify {where}\n       macgen report {where}")
