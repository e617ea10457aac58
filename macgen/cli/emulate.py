"""`macgen emulate`: what a network of an ONNX file computes on an arithmetic, bit for bit."""

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import click

from macgen.cli.files import STANDARD, check_writable, write_file
from macgen.cli.parameters import ROUNDINGS, SectionedCommand, integer, integer_or
from macgen.errors import MacgenError, shown, shown_path

_ARITHMETIC = ("a", "b", "acc", "rounding")


@click.command(
    cls=SectionedCommand,
    sections={
        "What is run": ["data", "labels", "result", "batch"],
        "Arithmetic": ["preset", "spec", "plan", "a", "b", "acc", "chunks", "rounding", "sweep"],
        "Scales of operands": ["scales", "per"],
        "Output": ["alone", "json_path", "plot"],
        "Speed": ["threads"],
    },
)
@click.argument("model", metavar="MODEL.onnx", type=click.Path(path_type=Path))
@click.option(
    "--data",
    metavar="FILE",
    type=click.Path(path_type=Path),
    required=True,
    help="Inputs (.npy, or .npz by input name); the first axis counts examples.",
)
@click.option(
    "--labels",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="The right answers (.npy): the index of the largest value along the last axis of the result; where that has "
    "one value, whether it is above one half; of a result of classes (int64) or truth values, these.",
)
@click.option("--result", metavar="NAME", help="The model's result that is compared.  [default: its first]")
@click.option("--batch", type=integer, metavar="N", help="Examples computed together.  [default: as memory suggests]")
@click.option(
    "--preset", metavar="NAME", help="The arithmetic of all layers (macgen presets lists them).  [default: default]"
)
@click.option(
    "--spec", metavar="FILE", help="The same from a JSON file, as macgen presets NAME prints it; - reads stdin."
)
@click.option(
    "--plan",
    metavar="FILE",
    help="Each layer on the accumulator that macgen plan --json wrote for it; - reads stdin.",
)
@click.option("--a", metavar="FORMAT", help="Format of the activations (of the left operands).")
@click.option("--b", metavar="FORMAT", help="Format of the weights (of the right operands).")
@click.option("--acc", metavar="FORMAT", help="Format of the accumulator: e6m5, int20 ...")
@click.option(
    "--chunk",
    "chunks",
    type=integer_or("none"),
    metavar="N|none",
    multiple=True,
    help="Products summed before a sum is folded; repeatable, one run each.",
)
@click.option("--rounding", metavar=ROUNDINGS, help="Rounding of the adder.")
@click.option(
    "--sweep-mantissa",
    "sweep",
    metavar="LOW..HIGH",
    help="Run accumulators with so many mantissa bits each; --plot draws accuracy over width.",
)
@click.option(
    "--scales",
    type=click.Choice(["pow2", "amax"]),
    default="pow2",
    show_default=True,
    help="Powers of two, or the number that makes the largest operand the format's largest.",
)
@click.option(
    "--per",
    type=click.Choice(["tensor", "channel"]),
    default="tensor",
    show_default=True,
    help="One scale for each tensor, or of weights for each output channel.",
)
@click.option(
    "--alone",
    type=integer,
    metavar="N",
    help="Examples on which each layer runs alone on the arithmetic, to see which hurts most and to count additions; "
    "at most those computed together; 0: none.  [default: 1 to 16, by the model's size; 0 of several runs]",
)
@click.option(
    "--json",
    "json_path",
    metavar="FILE",
    help="Write all figures; - for stdout. On the way, what is done stands in FILE.part, from which the same command "
    "goes on after an interrupt.",
)
@click.option(
    "--plot",
    metavar="FILE",
    help="Draw the noise of the layers in each run or, of a sweep, accuracy (.svg, .png, .pdf).",
)
@click.option("--threads", type=integer, metavar="N", help="Threads of the products.  [default: one per processor]")
def emulate(
    model: Path,
    data: Path,
    labels: Path | None,
    preset: str | None,
    spec: str | None,
    plan: str | None,
    chunks: tuple[int | str, ...],
    sweep: str | None,
    json_path: str | None,
    plot: str | None,
    **options: Any,
) -> None:
    """Run an ONNX model with every convolution and matrix product on an arithmetic, bit for bit, the rest in float32.

    Prints accuracy and agreement with float32 and, for each layer, the noise of its sums next to what the formulas of
    macgen plan predict.

    \b
    Examples:
      macgen emulate model.onnx --preset lba-m7e4 --data x.npy --labels y.npy
      macgen emulate model.onnx --data x.npy --a e4m3fn --b e4m3fn --acc e6m5 --chunk 64
      macgen emulate model.onnx --data x.npy --chunk none --chunk 64 --sweep-mantissa 2..8
      macgen plan model.onnx --data x.npy --only forward --json plan.json
      macgen emulate model.onnx --data x.npy --plan plan.json --json run.json --plot run.svg

    docs/accuracy.md shows it on trained networks.
    """
    from macgen.cli import console
    from macgen.presentation.emulation_table import print_emulation

    _check_apart(
        {"json": json_path, "plot": plot}, {"model": model, "data": data, "labels": labels, "spec": spec, "plan": plan}
    )
    given = {name: value for name in _ARITHMETIC if (value := options.pop(name)) is not None}
    arithmetic = _arithmetic(preset, spec, plan, given, chunks)
    if plot is not None:
        from macgen.presentation.drawing import check_drawable

        check_drawable(Path(plot).suffix)
        check_writable("plot", plot)
    part = None
    if json_path is not None and json_path != STANDARD:
        check_writable("json", json_path)
        if Path(json_path).is_file() or not Path(json_path).exists():  # beside a device or a pipe it has no place
            part = Path(f"{json_path}.part")
    from macgen.nn.emulation import emulate as run

    with console.progress_bar("Emulating") as progress:
        done = run(
            model,
            data,
            labels=None if labels is None else _labels(labels),
            sweep_mantissa=() if sweep is None else _sweep(sweep),
            record=part,
            progress=progress,
            **arithmetic,
            **options,
        )

    def write_json() -> None:
        if json_path is not None and json_path != STANDARD:
            write_file("json", json_path, done.to_json().encode())

    def draw() -> None:
        if plot is not None:
            from macgen.presentation.emulation_plot import draw_emulation

            write_file("plot", plot, draw_emulation(done, Path(plot).suffix))

    def print_it() -> None:
        if json_path == STANDARD:
            write_file("json", STANDARD, done.to_json().encode())
        else:
            print_emulation(done, console.output())

    _give_all(write_json, draw, print_it)  # a closed standard output ends the program
    if part is not None:
        part.unlink(missing_ok=True)


def _check_apart(written: Mapping[str, str | None], read: Mapping[str, Path | str | None]) -> None:
    """Refuse a file that is written and is another one of the command's, under whatever name."""
    files = {name: os.path.realpath(path) for name, path in {**read, **written}.items() if path not in (None, STANDARD)}
    for name in written:
        for other, file in files.items():
            if other != name and files.get(name) == file and (Path(file).is_file() or not Path(file).exists()):
                first, second = (name, other) if other in written else (other, name)
                raise MacgenError(f"{first} and {second} are both {shown_path(written[name])}; accepted are two files")


def _give_all(*outputs: Callable[[], None]) -> None:
    """Give every output, also where another cannot be given: what they hold may have taken hours.

    Raises:
        Exception: that of the output that could not be given.
        MacgenError: of several, their reasons.
    """
    errors = []
    for give in outputs:
        try:
            give()
        except Exception as error:  # of a picture, whatever matplotlib raises
            errors.append(error)
    if len(errors) == 1:
        raise errors[0]
    if errors:
        raise MacgenError("; ".join(str(error) for error in errors)) from errors[0]


def _arithmetic(
    preset: str | None, spec: str | None, plan: str | None, given: dict[str, Any], chunks: tuple[int | str, ...]
) -> dict[str, Any]:
    """Return the specs or the plan, as `macgen.nn.emulate` takes it."""
    from macgen.cli.spec_file import read_spec, standard_input

    named = [(name, value) for name, value in (("preset", preset), ("spec", spec), ("plan", plan)) if value is not None]
    if len(named) > 1:
        both = " and ".join(f"{name} {shown(value)}" for name, value in named)
        raise MacgenError(f"{both} are both given; accepted is one of them")
    if plan is not None:
        from macgen.width.plan_file import load_plan, read_plan

        for name, value in [*given.items(), *(("chunk", chunk) for chunk in chunks)]:
            raise MacgenError(
                f"{name} {shown(value)} does not go with plan {shown_path(plan)}, which was made for its own; accepted "
                f"is a plan made with it"
            )
        return {"plan": read_plan(standard_input("plan"), "plan '-'") if plan == STANDARD else load_plan(plan)}
    from macgen.catalogue import preset as find_preset
    from macgen.cli.arguments import resolve_spec

    base = read_spec(spec) if spec is not None else find_preset("default" if preset is None else preset)
    options = [{"chunk": None if chunk == "none" else chunk} for chunk in chunks] or [{}]
    return {"spec": [resolve_spec(base, {**given, **option}) for option in options]}


def _labels(path: Path) -> Any:
    from macgen.network.samples import read_arrays

    loaded = read_arrays("labels", path)
    if isinstance(loaded, dict):
        raise MacgenError(f"labels {shown_path(path)} holds arrays by name; accepted is an .npy file with one")
    return loaded


def _sweep(text: str) -> range:
    low, dots, high = text.partition("..")
    if not (dots and all(part.isascii() and part.isdigit() and len(part) < 3 for part in (low, high))):
        raise MacgenError(f"sweep-mantissa {shown(text)} is not LOW..HIGH; accepted are such as 2..10")
    if int(low) > int(high):
        raise MacgenError(f"sweep-mantissa {shown(text)} has no widths; accepted are such as 2..10")
    return range(int(low), int(high) + 1)
