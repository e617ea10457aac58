"""`macgen build`: from options, a preset or a spec file to a bundle on disk."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from macgen.cli.parameters import EXIT_FAILED, ROUNDINGS, SectionedCommand, integer, integer_or, word_of_path
from macgen.cli.spec_file import read_spec, standard_input
from macgen.errors import MacgenError, shown, shown_path

if TYPE_CHECKING:
    from collections.abc import Sequence

    from macgen.bundle.bundle import Bundle
    from macgen.spec import MacSpec
    from macgen.width.goal import Sum

_PLANNED = ("a", "b", "acc_bits", "acc", "subnormals", "chunk", "rounding")
"""What a plan's width was computed for, and that width."""

_NONE = ("chunk", "product", "scale", "scale_block", "outer", "out", "outer_rounding", "counters")
"""Options that take the word `none`: without it, or as the field before it."""


@click.command(
    cls=SectionedCommand,
    sections={
        "Where to start": ["preset", "spec", "plan", "layer", "widest"],
        "Number formats": [
            "a",
            "b",
            "acc_bits",
            "acc",
            "length",
            "subnormals",
            "product",
            "scale",
            "scale_place",
            "scale_block",
            "outer",
            "out",
        ],
        "Arithmetic": ["chunk", "rounding", "outer_rounding", "overflow", "lanes", "lane_sum", "modes"],
        "Hardware": ["rows", "cols", "interleave", "fold", "pipeline", "outer_cycles", "counters", "preload"],
        "Ports": ["interface", "reset", "reset_active", "clock_enable"],
        "Hand-over": ["clock_mhz", "io_share", "meet", "liberty", "fpga", "device"],
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
    "--plan",
    metavar="FILE",
    help="Start from what macgen plan --json wrote: its formats, rounding and chunk length; - reads stdin.",
)
@click.option(
    "--layer", metavar="NAME", help="With --plan: the accumulator of this layer, or of one of its GEMMs (NAME:forward)."
)
@click.option("--max", "widest", is_flag=True, help="With --plan: the accumulator that does for all layers.  [default]")
@click.option(
    "--a", metavar="FORMAT", help="Operands streamed to the rows, up to 32 bits: e5m2, e4m3fn, fp16, int8 ..."
)
@click.option("--b", metavar="FORMAT", help="Operands streamed to the columns.")
@click.option(
    "--acc-bits",
    type=integer_or("auto"),
    metavar="N|auto",
    help="Width of the accumulator. Float operands: 1 sign, 6 exponent, N-7 mantissa bits, N from 8 to 59. Integer or "
    "fixed-point operands: two's complement, N up to 256. auto: as macgen plan --length computes it.",
)
@click.option("--length", type=integer, metavar="N", help="With auto: products of the longest dot product.")
@click.option(
    "--acc", metavar="FORMAT", help="Format of the accumulator, where --acc-bits does not say it: e5m8, int20 ..."
)
@click.option(
    "--subnormals",
    metavar="gradual|flush|none",
    help="Float accumulators: keep subnormal sums, make them +0 (smaller), or have normal numbers in their codes.",
)
@click.option("--product", metavar="FORMAT|exact", help="Round each product to this format before it is added.")
@click.option(
    "--scale",
    metavar="FORMAT|none",
    help="Give each chunk of a row of A and of a column of B a scale: a power of two (e8m0fnu, up to 8 bits), or a "
    "float of up to 32 bits (e4m3fn, bf16).",
)
@click.option(
    "--scale-place",
    metavar="outer|lanes",
    help="What has a scale: each chunk, whose sum it multiplies, or each block of lanes, with --lane-sum exponents:F.",
)
@click.option(
    "--scale-block",
    type=integer_or("none"),
    metavar="N|none",
    help="Lanes that share a scale, 1 to 64, with --scale-place lanes.  [default: all of them]",
)
@click.option(
    "--outer", metavar="FORMAT|none", help="Format of the accumulator of chunk sums.  [default: the accumulator's]"
)
@click.option("--out", metavar="FORMAT|none", help="Format of the results.  [default: the last accumulator's]")
@click.option(
    "--chunk",
    type=integer_or("none", "auto"),
    metavar="N|none|auto",
    help="Products summed before the sum is folded into the outer accumulator, 1 to 1048576. auto: near sqrt(length).",
)
@click.option(
    "--rounding",
    metavar=ROUNDINGS,
    help="Round to nearest even, toward zero, toward minus infinity, to odd, align and drop, or at random with R bits, "
    "1 to 32.",
)
@click.option(
    "--outer-rounding",
    metavar=f"{ROUNDINGS}|none",
    help="Rounding of the accumulator of chunk sums, and of results with a format of their own.  [default: --rounding]",
)
@click.option(
    "--overflow",
    metavar="saturate|infinity|to-infinity|nan|wrap",
    help="Sums that are too large: the largest value, infinity (float formats that have it; as IEEE 754 says, or in "
    "every rounding), NaN (those that have it and no infinity), or modulo 2^N (fixed point).",
)
@click.option(
    "--lanes", type=integer, metavar="N", help="Products that a step adds, 1 to 64; chunks are multiples of it."
)
@click.option(
    "--lane-sum",
    metavar="fused|tree|aligned:W|exponents:F|exponents:F/G|bulk:F",
    help="How a step adds them: exactly, rounded once; by a tree of rounding adders; all cut W bits, 1 to 64, below "
    "the largest one's leading bit; or F bits, 1 to 64, below the largest sum of the factors' exponents, as GPUs do, "
    "of G products added exactly first; or products alone, cut to odd likewise and rounded, as RISC-V does.",
)
@click.option(
    "--mode",
    "modes",
    metavar="NAME:FIELD=FORMAT,...",
    multiple=True,
    help="A mode between which and the others the array changes while it runs, with narrower formats for some of a, b, "
    "product, acc, outer, out, such as low:acc=e6m3; with packed=2 or 4 as many elements stand in the bits of a "
    "fixed-point operand, such as p8:a=fix4.4,b=fix4.4,packed=2. Up to 7.",
)
@click.option("--rows", type=integer, metavar="N", help="Rows of the array, 1 to 256.")
@click.option("--cols", type=integer, metavar="N", help="Columns of the array, 1 to 256.")
@click.option(
    "--interleave",
    type=integer,
    metavar="N",
    help="Independent tiles that take turns in each unit, 1 to 4: an addition may take as many cycles.",
)
@click.option(
    "--fold",
    metavar="bubble|overlap",
    help="Fold a chunk in a cycle of its own (smaller), or while the next chunk starts (no stall).",
)
@click.option("--pipeline", type=integer, metavar="N", help="Register stages from the operands to the adder, 1 to 3.")
@click.option(
    "--outer-cycles",
    type=integer,
    metavar="N",
    help="Cycles that an addition of an outer accumulator with an adder of its own takes, 1 to 4: its stages.",
)
@click.option(
    "--counters",
    metavar="P|P/E|none",
    help="Count additions that saturate, are flushed to zero or swamped: with P bits in each unit, 1 to 24, for each "
    "result, and with E bits, up to 64 (32 unless said), at ports of the array for all of them.",
)
@click.option(
    "--preload",
    is_flag=True,
    default=None,
    help="Give the array a stream of start values, such as biases or partial sums: each sum starts from one.",
)
@click.option(
    "--interface",
    metavar="native|axi-stream",
    help="Ports: valid, ready, data and marks of each stream; or AXI4-Stream, with registers at every port.",
)
@click.option("--reset", metavar="sync|async", help="A reset takes effect at a clock edge, or at once.")
@click.option(
    "--reset-active", metavar="high|low", help="Level of the reset's port that resets.  [default: high; AXI: low]"
)
@click.option(
    "--clock-enable",
    is_flag=True,
    default=None,
    help="Give the array a port without which a clock edge changes nothing, but for a reset.",
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
    help="With --clock-mhz: share of the period taken outside before inputs and after outputs; native ports "
    "meet at most 0.475.  [default: 0.2]",
)
@click.option(
    "--meet",
    is_flag=True,
    help="With --clock-mhz: choose --pipeline and --interleave so that one PE reaches that clock, by measuring. Exit "
    "code 1 if none does.",
)
@click.option(
    "--liberty", metavar="FILE", type=click.Path(path_type=Path), help="With --meet: in this library's cells."
)
@click.option("--fpga", metavar="ecp5|ice40", help="With --meet: placed and routed on this family.")
@click.option("--device", metavar="NAME[:PACKAGE]", help="With --meet --fpga: on this part, as in macgen report.")
@click.option(
    "-o", "--output", metavar="DIR", type=click.Path(path_type=Path), help="Bundle directory.  [default: build/NAME]"
)
@click.option(
    "--name",
    metavar="NAME",
    help="Name of the top module: a Verilog identifier.  [default: the directory's name, else made of the formats]",
)
@click.option("--force", is_flag=True, help="Replace the bundle if there is one in the directory, and nothing else.")
def build(
    preset: str | None,
    spec: str | None,
    plan: str | None,
    layer: str | None,
    widest: bool,
    length: int | None,
    clock_mhz: float | None,
    io_share: float | None,
    meet: bool,
    liberty: Path | None,
    fpga: str | None,
    device: str | None,
    output: Path | None,
    name: str | None,
    force: bool,
    **options: Any,
) -> None:
    """Generate an array of multiply-accumulate units with the accumulator you ask for.

    Every field comes from the preset or the spec file unless an option replaces it.

    \b
    Examples:
      macgen build --acc-bits 12 --chunk 64 -o build/mac12
      macgen build --preset fp16 --rows 16 --cols 16
      macgen build --a int8 --b int8 --acc-bits 24 --overflow saturate
      macgen build --acc-bits auto --length 4608 --chunk 64
      macgen build --a e4m3fn --b e4m3fn --acc e6m9 --scale e8m0fnu --chunk 32 --outer fp32
      macgen build --preset fp16-fp32 --lanes 4 --lane-sum tree
      macgen build --plan plan.json --layer block4.1.conv2
      macgen build --acc-bits 16 --mode low:acc=e6m3 --mode mid:acc=e6m6
      macgen build --preset int8 --clock-mhz 170 --meet --fpga ecp5

    The directory gets rtl/NAME.v (plain Verilog-2001, nothing else needed), constraints/ (SDC, XDC), NAME.core
    (FuseSoC) and manifest.json (spec, ports, latency, versions, hashes). It appears whole or not at all.
    """
    from macgen.bundle.bundle import build as build_bundle
    from macgen.cli import console
    from macgen.cli.arguments import about_outer, name_and_directory, replace_auto, resolve_spec, warnings_of_plan

    given = {option: value for option, value in options.items() if value is not None and value != ()}
    given |= {option: None for option in _NONE if given.get(option) == "none"}
    base, sums, remarks = _base(preset, spec, plan, layer, widest)
    planned = _PLANNED if base.outer is None else (*_PLANNED, "outer")
    if plan is not None and (others := [option for option in planned if option in given]):
        raise MacgenError(
            f"{others[0].replace('_', '-')} {shown(options[others[0]])} does not go with plan {shown_path(plan)}, "
            f"which was made for its own; accepted is a plan made with it"
        )
    given, reasons = replace_auto(base, given, length)
    if plan is not None:
        reasons = (*remarks, *warnings_of_plan(base, given))
    resolved = resolve_spec(base, given)
    reasons += about_outer(resolved, length, sums)
    name, directory = name_and_directory(resolved, name, output)
    if meet:
        if met := [option for option in ("pipeline", "interleave") if option in given]:
            raise MacgenError(
                f"{met[0]} {given[met[0]]} does not go with meet, which chooses it; accepted is one of the two"
            )
        resolved, is_met = _meet(resolved, clock_mhz, liberty, fpga, device)
        if not is_met:
            click.get_current_context().exit(EXIT_FAILED)
    elif lone := [option for option, value in (("liberty", liberty), ("fpga", fpga), ("device", device)) if value]:
        raise MacgenError(f"{lone[0]} is given without meet; accepted is it with --clock-mhz F --meet")
    with console.progress(f"Generating {name}"):
        built = build_bundle(resolved, directory, name=name, force=force, clock_mhz=clock_mhz, io_share=io_share)
    _summarize(built, reasons)


def _meet(
    spec: "MacSpec", clock_mhz: float | None, liberty: Path | None, fpga: str | None, device: str | None
) -> "tuple[MacSpec, bool]":
    """Return an array with stages and turns for a clock, and whether it meets it; print what was measured."""
    from typing import cast

    from macgen.cli import console
    from macgen.cost.fpga.parts import PlacedFamily
    from macgen.cost.meeting import meet
    from macgen.presentation.meeting_table import print_trials

    if clock_mhz is None:
        raise MacgenError("meet is given without clock-mhz; accepted is it with --clock-mhz F")
    with console.progress(f"Measuring for {clock_mhz:g} MHz") as stage:
        family = cast("PlacedFamily | None", fpga)
        choice = meet(spec, clock_mhz, liberty=liberty, fpga=family, device=device, progress=stage)
    print_trials(choice, clock_mhz, console.output())
    return choice.spec, choice.met


def _base(
    preset: str | None, path: str | None, plan: str | None, layer: str | None, widest: bool
) -> "tuple[MacSpec, Sequence[Sum], Sequence[str]]":
    """Return the spec to start from and, with a plan, the dot products that it is for, and what to know of it."""
    given = [(name, value) for name, value in (("preset", preset), ("spec", path), ("plan", plan)) if value is not None]
    if len(given) > 1:
        both = " and ".join(f"{name} {shown(value)}" for name, value in given)
        raise MacgenError(f"{both} are both given; accepted is one of them")
    if plan is None and (layer is not None or widest):
        what = "max" if layer is None else f"layer {shown(layer)}"
        raise MacgenError(f"{what} is given without plan; accepted is it with --plan FILE")
    if layer is not None and widest:
        raise MacgenError(f"layer {shown(layer)} and max are both given; accepted is one of them")
    if plan is not None:
        from macgen.width.plan_file import load_plan, read_plan

        loaded = read_plan(standard_input("plan"), "plan '-'") if plan == "-" else load_plan(plan)
        return loaded.spec(layer), loaded.sums(layer), loaded.remarks(layer)
    if path is not None:
        return read_spec(path), (), ()
    from macgen.catalogue import preset as find_preset

    return find_preset("default" if preset is None else preset), (), ()


def _summarize(built: "Bundle", reasons: "Sequence[str]") -> None:
    from rich.table import Table

    from macgen.cli import console

    manifest, spec = built.manifest, built.manifest.spec
    chunk = "no chunks" if spec.chunk is None else f"chunks of {spec.chunk}"
    if spec.chunk is not None and not spec.has_outer_adder:
        chunk += f", folded with {spec.fold}"
    stages = f"{spec.pipeline} register stage{'s' if spec.pipeline > 1 else ''}"
    rows = {
        "Array": f"{spec.rows} x {spec.cols} units, {stages} before the adder",
        "Timing": f"results {manifest.latency} cycles after a tile's last operands",
        "Operands": f"{spec.a} x {spec.b}, {spec.a.width} x {spec.b.width} bits",
        "Accumulator": f"{spec.acc}, {spec.acc.width} bits, {spec.rounding}, {spec.overflow}, {chunk}",
    }
    if spec.extras:
        rows["More"] = "; ".join(spec.extras)
    where = click.format_filename(built.directory)
    out = console.output()
    table = Table.grid(padding=(0, 2))
    for title, text in rows.items():
        table.add_row(title, text)
    out.print(f"Built {manifest.name} in {where}")
    out.print(table)
    for reason in reasons:
        out.print(f"{reason}.")
    out.print("Files: " + ", ".join([*manifest.files, "manifest.json"]))
    word = word_of_path(built.directory)
    out.print(f"Next:  macgen verify {word}\n       macgen report {word}")
