"""`macgen plan`: how wide the accumulators of a network have to be."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from macgen.cli.files import STANDARD, write_file
from macgen.cli.parameters import SectionedCommand, integer, integer_or
from macgen.errors import MacgenError, shown, shown_path

if TYPE_CHECKING:
    from macgen.network.gemm import Network
    from macgen.width.network_plan import NetworkPlan
    from macgen.width.planning import Goal


@click.command(
    cls=SectionedCommand,
    sections={
        "What is summed": ["model", "length", "network", "batch", "dims", "data", "only"],
        "Arithmetic": ["a", "b", "chunk", "rounding"],
        "Criteria": ["nsr", "limit", "reading", "nzr", "overflow_probability", "monte_carlo"],
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
@click.option("--a", metavar="FORMAT", default="e5m2", help="Format of the left operands.  [default: e5m2]")
@click.option("--b", metavar="FORMAT", default="e5m2", help="Format of the right operands.  [default: e5m2]")
@click.option(
    "--chunk",
    type=integer_or("none", "auto"),
    metavar="N|none|auto",
    default="none",
    help="Products a chunk; auto: the power of two near sqrt(length), where the noise is least.  [default: none]",
)
@click.option(
    "--rounding", metavar="rne|rtz|drop|stochastic:R", default="rne", help="Rounding of the adder.  [default: rne]"
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
@click.option("--json", "json_path", metavar="FILE", help="Write the plan for macgen build --plan; - for stdout.")
@click.option("--plot", metavar="FILE", help="Draw VRR and lengths (.svg, .png, .pdf).")
def plan(
    model: Path | None,
    length: int | None,
    network: str | None,
    batch: int | None,
    dims: tuple[str, ...],
    data: Path | None,
    only: tuple[str, ...],
    nzr: float | None,
    monte_carlo: int | None,
    json_path: str | None,
    plot: str | None,
    **goal_options: Any,
) -> None:
    """Compute how wide accumulators have to be: for one length, for a network of the papers, or for an ONNX model.

    Every method's width is shown, without chunks and with them; the rounding says which one decides.

    \b
    Examples:
      macgen plan --length 4608 --a e5m2 --b e5m2 --chunk 64
      macgen plan --network resnet18 --batch 256 --chunk 64 --json plan.json
      macgen plan model.onnx --batch 32 --data images.npy --plot widths.svg

    docs/widths.md says when to trust which method.
    """
    from macgen.cli import console
    from macgen.presentation.plan_table import print_plan

    given = [name for name, value in (("length", length), ("network", network), ("model", model)) if value is not None]
    if len(given) != 1:
        raise MacgenError(
            f"{' and '.join(given) or 'nothing'} given to plan for; accepted is one of --length N, --network NAME and "
            f"a file MODEL.onnx"
        )
    for name, value, with_ in (
        ("batch", batch, ("network", "model")),
        ("dim", dims or None, ("model",)),
        ("data", data, ("model",)),
        ("only", only or None, ("network", "model")),
        ("nzr", nzr, ("length",)),
        ("monte-carlo", monte_carlo, ("length",)),
    ):
        if value is not None and given[0] not in with_:
            what = shown(value[0] if isinstance(value, tuple) else value)
            raise MacgenError(f"{name} {what} does not go with {given[0]}; accepted is it with {' or '.join(with_)}")
    if plot is not None and json_path is not None and Path(plot).absolute() == Path(json_path).absolute():
        raise MacgenError(f"json and plot are both {shown_path(plot)}; accepted are two files")
    goal = goal_from(goal_options)
    files: dict[tuple[str, str], bytes] = {}
    with console.progress("Planning") as stage:
        if length is not None:
            planned = _plan_length(length, goal, 1.0 if nzr is None else nzr, monte_carlo, stage)
        else:
            planned = _plan_network(_network(model, network, batch, dims, data, stage), goal, only, stage)
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


def goal_from(options: dict[str, Any]) -> "Goal":
    """Return the goal that options say; those not given are its defaults."""
    from macgen.width.planning import Goal

    values = {name: value for name, value in options.items() if value is not None}
    if values.get("chunk") == "none":
        values["chunk"] = None
    return Goal(**values)


def _plan_length(length: int, goal: "Goal", nzr: float, trials: int | None, stage: Any) -> "NetworkPlan":
    from dataclasses import replace

    from macgen.width.network_plan import plan_length
    from macgen.width.planning import with_monte_carlo

    planned = plan_length(length, goal, nzr=nzr)
    if trials is None:
        return planned
    (row,) = planned.rows
    confirmed = with_monte_carlo(
        row.plan, trials=trials, progress=lambda done, all_: stage(f"{done} of {all_} trials of a width")
    )
    return replace(planned, rows=(replace(row, plan=confirmed),))


def _network(
    model: Path | None, name: str | None, batch: int | None, dims: Sequence[str], data: Path | None, stage: Any
) -> "Network":
    if model is None:
        from macgen.network.papers import paper_network

        assert name is not None
        return paper_network(name, 1 if batch is None else batch)
    if data is None:
        from macgen.network.onnx_model import from_onnx

        stage(f"reading {click.format_filename(model)}")
        return from_onnx(model, batch=batch, dims=_dimensions(dims))
    if batch is not None or dims:
        raise MacgenError(
            f"{'batch' if batch is not None else 'dim'} does not go with data {shown_path(data)}, whose shape says it; "
            f"accepted is one of them"
        )
    from macgen.network.measure import measure
    from macgen.network.samples import load_samples

    stage(f"running {click.format_filename(model)} on the samples")
    return measure(model, load_samples(data))


def _dimensions(texts: Sequence[str]) -> dict[str, int]:
    sizes: dict[str, int] = {}
    for text in texts:
        name, equals, size = text.rpartition("=")
        if not (name and equals and size.isascii() and size.isdigit() and len(size) <= 18):
            raise MacgenError(f"dim {shown(text)} is not NAME=N; accepted are such as seq=128")
        if sizes.setdefault(name, int(size)) != int(size):
            raise MacgenError(f"dim {shown(name)} is both {sizes[name]} and {int(size)}; accepted is one size")
    return sizes


def _plan_network(network: "Network", goal: "Goal", only: Sequence[str], stage: Any) -> "NetworkPlan":
    from macgen.network.gemm import KINDS
    from macgen.width.network_plan import plan_network

    for kind in only:
        if kind not in KINDS:
            raise MacgenError(f"only {shown(kind)} is not one of {', '.join(KINDS)}")
    kinds = [kind for kind in KINDS if kind in only] or KINDS
    return plan_network(network, goal, kinds=kinds, progress=lambda done, all_: stage(f"{done} of {all_} GEMMs"))
