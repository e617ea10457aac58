"""`macgen plan`: how wide the accumulators of a network have to be."""

from pathlib import Path
from typing import Any

import click

from macgen import verbs
from macgen.cli.files import STANDARD, write_file
from macgen.cli.parameters import SectionedCommand, dimensions, integer, integer_or
from macgen.errors import MacgenError, shown, shown_path


@click.command(
    cls=SectionedCommand,
    sections={
        "What is summed": ["length", "network", "batch", "dims", "data", "only"],
        "Arithmetic": ["a", "b", "chunk", "outer", "rounding"],
        "Criteria": ["nsr", "limit", "reading", "nzr", "overflow_probability", "monte_carlo"],
        "Every tensor": ["per_tensor", "epochs", "learning_rate", "seed", "mismatch"],
        "Output": ["json_path", "plot"],
    },
)
@click.argument("model", required=False, metavar="[MODEL.onnx]", type=click.Path(path_type=Path))
@click.option("--length", type=integer, metavar="N", help="One dot product of N products.")
@click.option("--network", metavar="NAME", help="A network of the papers: resnet18, resnet32 or alexnet.")
@click.option(
    "--batch",
    type=integer,
    metavar="N",
    help="Examples computed together, which weight gradients sum over.  [default: 1, or as the model says]",
)
@click.option("--dim", "dims", metavar="NAME=N", multiple=True, help="Size of an open dimension of the model.")
@click.option(
    "--data",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Sample inputs (.npy, or .npz by input name): the model runs once, and the non-zero ratios and ranges of its "
    "operands are used.",
)
@click.option("--only", metavar="KIND", multiple=True, help="Only forward, backward or gradient GEMMs; repeatable.")
@click.option(
    "--a", metavar="FORMAT", help="Format of the left operands.  [default: that of a quantised model, else e5m2]"
)
@click.option(
    "--b", metavar="FORMAT", help="Format of the right operands.  [default: that of a quantised model, else e5m2]"
)
@click.option(
    "--chunk",
    type=integer_or("none", "auto"),
    metavar="N|none|auto",
    default="none",
    help="Products a chunk; auto: the power of two with the least noise, near sqrt(length).  [default: none]",
)
@click.option(
    "--outer",
    metavar="FORMAT|none",
    default="none",
    help="Accumulator of chunk sums: the other one is planned for a chunk, and for integers and fixed point it is said "
    "whether this one is wide enough.  [default: none]",
)
@click.option(
    "--rounding",
    metavar="rne|rtz|floor|drop|stochastic:R[:nearest]",
    default="rne",
    help="Rounding of the adder.  [default: rne]",
)
@click.option(
    "--nsr",
    type=float,
    metavar="X",
    help="Largest noise-to-signal ratio accepted, up to 0.05.  [default: 0.01, 20 dB below the sum]",
)
@click.option("--limit", type=float, metavar="V", help="Limit of v(n) in the VRR's criterion.  [default: 50]")
@click.option(
    "--reading",
    metavar="per-level|total",
    help="VRR of chunks: each level by its own length, or both by the whole (1 to 4 bits more).  [default: per-level]",
)
@click.option(
    "--nzr", type=float, metavar="X", help="With --length: share of products that are not zero.  [default: 1]"
)
@click.option(
    "--overflow-probability",
    type=float,
    metavar="P",
    help="Of an overflow in a dot product; sets the exponent bits.  [default: 1e-6]",
)
@click.option(
    "--monte-carlo",
    type=integer,
    metavar="TRIALS",
    help="With --length: let the bit-exact accumulator on random operands decide the mantissa.",
)
@click.option(
    "--per-tensor",
    is_flag=True,
    help="A fixed-point format for each tensor of a training: of FILE.py:FUNCTION, which returns a model of torch, "
    "or of an ONNX file, with --data FILE.npz (x and y); or from a JSON file of what macgen.nn.measure returned.",
)
@click.option("--epochs", type=integer, metavar="N", help="With --per-tensor: of the training.  [default: 2]")
@click.option(
    "--learning-rate", type=float, metavar="X", help="With --per-tensor: of gradient descent.  [default: 0.05]"
)
@click.option("--seed", type=integer, metavar="N", help="With --per-tensor: of the order of examples.  [default: 0]")
@click.option(
    "--mismatch",
    type=float,
    metavar="X",
    help="With --per-tensor: how often quantised weights and activations may change an answer.  [default: 0.0025]",
)
@click.option("--json", "json_path", metavar="FILE", help="Write the plan for macgen build --plan; - for stdout.")
@click.option("--plot", metavar="FILE", help="Draw VRR and lengths (.svg, .png, .pdf).")
def plan(
    model: Path | None,
    dims: tuple[str, ...],
    chunk: Any,
    outer: str,
    per_tensor: bool,
    epochs: int | None,
    learning_rate: float | None,
    seed: int | None,
    mismatch: float | None,
    json_path: str | None,
    plot: str | None,
    **options: Any,
) -> None:
    """Compute how wide accumulators have to be: for one length, for a network of the papers, or for an ONNX model.

    Every method's width is shown, without chunks and with them; the rounding says which one decides.

    \b
    Examples:
      macgen plan --length 4608 --a e5m2 --b e5m2 --chunk 64
      macgen plan --network resnet18 --batch 256 --chunk 64 --json plan.json
      macgen plan model.onnx --batch 32 --data images.npy --plot widths.svg
      macgen plan --per-tensor network.py:network --data images.npz --json plan.json

    docs/widths.md says when to trust which method.
    """
    from macgen.cli import console
    from macgen.presentation.plan_table import print_plan

    training = {"epochs": epochs, "learning_rate": learning_rate, "seed": seed, "mismatch": mismatch}
    if per_tensor:
        _plan_tensors(model, json_path, {**training, "batch": options["batch"], "data": options["data"]})
        return
    if lone := [name for name, value in training.items() if value is not None]:
        name = lone[0].replace("_", "-")
        raise MacgenError(f"{name} {training[lone[0]]} is given without per-tensor; accepted is it with --per-tensor")
    if plot is not None and json_path is not None and Path(plot).absolute() == Path(json_path).absolute():
        raise MacgenError(f"json and plot are both {shown_path(plot)}; accepted are two files")
    files: dict[tuple[str, str], bytes] = {}
    with console.progress("Planning") as stage:
        planned = verbs.plan(
            model,
            dims=dimensions(dims),
            chunk=None if chunk == "none" else chunk,
            outer=None if outer == "none" else outer,
            progress=stage,
            **options,
        )
        if plot is not None:
            from macgen.presentation.plan_plot import draw_plan

            stage("drawing")
            files["plot", plot] = draw_plan(planned, Path(plot).suffix)
    if json_path is not None:
        files["json", json_path] = planned.to_json().encode()
    for (option, path), content in files.items():
        write_file(option, path, content)
    if json_path != STANDARD:
        print_plan(planned, console.output())


_OF_TENSORS = ("model", "per_tensor", "json_path", "batch", "data", "epochs", "learning_rate", "seed", "mismatch")


def _plan_tensors(model: Path | None, json_path: str | None, options: dict[str, Any]) -> None:
    from macgen.cli import console
    from macgen.presentation.tensor_table import print_tensors

    context = click.get_current_context()
    for name, value in context.params.items():
        if name not in _OF_TENSORS and context.get_parameter_source(name) != click.core.ParameterSource.DEFAULT:
            option = {"dims": "dim"}.get(name, name.replace("_", "-"))
            raise MacgenError(f"{option} {shown(value)} does not go with per-tensor; accepted is one of the two")
    if model is None:
        raise MacgenError(
            "per-tensor lacks a model; accepted are FILE.py:FUNCTION, an ONNX file, and a JSON file of statistics"
        )
    with console.progress("Planning") as stage:
        planned = verbs.plan_per_tensor(model, progress=stage, **options)
    if json_path is not None:
        write_file("json", json_path, planned.to_json().encode())
    if json_path != STANDARD:
        print_tensors(planned, console.output())
