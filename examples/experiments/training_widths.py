"""Is the accumulator that `plan` predicts wide enough to train, and does a narrower one show?

    python examples/experiments/training_widths.py

A convolutional network with E5M2 operands in all three GEMMs; its longest sum, of a weights' gradient, has 100 352
products. Each GEMM of each layer has the accumulator that `plan` gives it; then all of them, or those of one kind of
GEMM, get one, two and three bits less. The widths that the VRR asks for are tried, too, and sums that are cut (`rtz`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from functools import cache, partial
from typing import Any

from common import (
    Images,
    Record,
    load_images,
    options,
    plot,
    right,
    run_experiment,
    run_name,
    seeds_of,
    spread,
    table,
    torch,
    train,
)

from macgen import nn
from macgen.network.gemm import KINDS, Gemm, Kind, Layer, Network
from macgen.numerics import FloatFormat
from macgen.spec import MacSpec
from macgen.width.goal import Goal
from macgen.width.network_plan import plan_network

BATCH, LEARNING_RATE = 128, 0.003
OPERANDS = "e5m2"


def network(seed: int) -> Any:
    """Return a network whose first layers have many outputs, so that their gradients are long sums."""
    torch.manual_seed(seed)
    return torch.nn.Sequential(
        torch.nn.Conv2d(1, 8, 3, padding=1),
        torch.nn.ReLU(),
        torch.nn.Conv2d(8, 16, 3, stride=2, padding=1),
        torch.nn.ReLU(),
        torch.nn.Conv2d(16, 32, 3, stride=2, padding=1),
        torch.nn.ReLU(),
        torch.nn.Flatten(),
        torch.nn.Linear(32 * 49, 10),
    )


@cache
def _shapes() -> Network:
    """Return the network's GEMMs, as they are counted in one step of training."""
    spec = MacSpec(a=OPERANDS, b=OPERANDS, acc="fp32")
    model = nn.convert(network(0), spec)
    model(torch.rand(BATCH, 1, 28, 28)).square().sum().backward()
    layers = []
    for name, gemms in nn.counters(model).items():
        found = [
            Gemm(kind, each.macs // each.results, each.results)  # type: ignore[arg-type]
            for kind, each in gemms.items()
            if each.results
        ]
        layers.append(Layer(name, type(nn.layers(model)[name]).__name__, tuple(found)))
    return Network("experiment", BATCH, tuple(layers))


def planned(
    chunk: int | None, rounding: str, fewer: int, kinds: Sequence[Kind], method: str | None = None
) -> dict[str, nn.Arithmetic]:
    """Return the plan's accumulators, some bits narrower in some kinds of GEMMs, at least one of mantissa.

    Parameters:
        chunk: products of a chunk; None: no chunks.
        rounding: of the sums.
        fewer: bits of mantissa.
        kinds: of the GEMMs that get them.
        method: whose answers are taken; None: those that the plan chooses.
    """
    specs: dict[str, dict[str, Any]] = {}
    for row in plan_network(_shapes(), Goal(a=OPERANDS, b=OPERANDS, chunk=chunk, rounding=rounding)).rows:
        answers = [each for each in row.plan.answers if each.method == method] or [row.plan.chosen]
        acc = answers[-1].acc  # with a chunk there is an answer without it, too, and it comes first
        assert isinstance(acc, FloatFormat)
        if row.gemm.kind in kinds:
            acc = replace(acc, man_bits=max(1, acc.man_bits - fewer))
        spec = MacSpec(a=OPERANDS, b=OPERANDS, acc=acc, chunk=row.plan.chosen.chunk, rounding=rounding)
        specs.setdefault(row.layer, {})[row.gemm.kind] = spec
    return {name: nn.Arithmetic(**each) for name, each in specs.items()}


def run(images: Images, arithmetic: Any, seed: int, epochs: int) -> dict[str, Any]:
    """Train once."""
    model = network(seed)
    if arithmetic is not None:
        nn.convert(model, arithmetic)
    optimizer = nn.Optimizer(model, lambda p: torch.optim.Adam(p, lr=LEARNING_RATE))
    curve = train(model, optimizer, images, epochs=epochs, batch=BATCH, seed=seed)
    return {**asdict(curve), "accuracy": curve.accuracies[-1], "loss": curve.losses[-1]}


def main() -> None:
    """Train with each accumulator, print a table and draw accuracies."""
    given = options(__doc__ or "")
    images = load_images(given.data)
    images = images.first(256, 200) if given.quick else images.first(given.images or 2000, 1000)
    epochs = 1 if given.quick else 2
    record = Record(given.output / f"training_widths{'_quick' if given.quick else ''}.json")
    wide = nn.Arithmetic.of(MacSpec(a=OPERANDS, b=OPERANDS, acc="fp32"))
    kinds: list[tuple[str, Any]] = [("float32", None), (f"{OPERANDS} into fp32", wide)]
    bits = {"rne": (0, 3) if given.quick else (0, 1, 2, 3), "rtz": () if given.quick else (0,)}
    for rounding, fewer in bits.items():
        for chunk in (None, 64):
            label = f"{rounding}, {'no chunks' if chunk is None else f'chunks of {chunk}'}"
            kinds += [(f"{label}, {n} fewer", planned(chunk, rounding, n, KINDS)) for n in fewer]
            if rounding == "rtz" or chunk is None:
                kinds.append((f"{label}, the VRR's", planned(chunk, rounding, 0, KINDS, "vrr")))
            if rounding == "rne" and not given.quick:
                kinds += [(f"{label}, 3 fewer {kind}", planned(chunk, rounding, 3, [kind])) for kind in KINDS]
    kinds = kinds[:1] + [each for each in kinds[1:] if given.only in each[0]]
    rows: list[list[str]] = []
    lines: dict[str, dict[int, list[float]]] = {}
    base: list[float] = []
    for name, arithmetic in kinds:
        runs = [
            record.run(
                run_name(images, epochs, name, seed),
                partial(run, images, arithmetic, seed, epochs),
            )
            for seed in seeds_of(given)
        ]
        base = base or [each["accuracy"] for each in runs]
        accuracy, (loss, of_loss) = (
            spread([each["accuracy"] for each in runs])[0],
            spread([each["loss"] for each in runs]),
        )
        away = (accuracy - spread(base)[0]) / max(spread(base)[1], 1e-9)
        widths = "" if not isinstance(arithmetic, dict) else mantissas(arithmetic)
        below = f"{away:+.1f}" if given.seeds > 1 else ""
        rows.append([name, widths, right(runs), below, f"{loss:.3f} ± {of_loss:.3f}"])
        curve, _, end = name.rpartition(", ")
        if end.endswith(" fewer"):
            lines.setdefault(curve, {})[int(end.removesuffix(" fewer"))] = [each["accuracy"] for each in runs]
    table(
        f"{images.name}, {len(images.train_y)} images, {epochs} epochs, {given.seeds} seeds",
        ["accumulators", "mantissa bits of each layer's GEMMs", "right", "in deviations of float32", "loss"],
        rows,
    )
    drawn = {
        name: (list(values), list(map(list, zip(*values.values(), strict=True)))) for name, values in lines.items()
    }
    plot(
        given.output / "training_widths.svg",
        "Accumulators narrower than planned",
        ("bits fewer than planned", "right"),
        drawn,
    )


def mantissas(arithmetic: dict[str, nn.Arithmetic]) -> str:
    """Return the mantissa bits of each layer's accumulators: forward/backward/gradient."""
    return " ".join(
        "/".join("-" if (spec := each.spec(kind)) is None else str(spec.acc).partition("m")[2] for kind in KINDS)
        for each in arithmetic.values()
    )


if __name__ == "__main__":
    run_experiment(main)
