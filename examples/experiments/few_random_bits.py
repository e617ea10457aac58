"""How few random bits train: `stochastic:4` cut beneath its bits, against to nearest beneath them.

    python examples/experiments/few_random_bits.py

The network of training_widths.py, whose longest sum has 100 352 products, with E5M2 operands and E6M5 accumulators
without chunks in all three GEMMs. They round to nearest, or with 13, four or one random bits of the hardware's shift
registers. What is beneath these bits is cut (`stochastic:4`), or rounded to nearest first (`stochastic:4:nearest`, the
correction of arXiv 2504.20634). Before that: how much of each layer's weight gradient such sums keep.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

from common import (
    Images,
    Record,
    load_images,
    loss_of,
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
from training_widths import BATCH, LEARNING_RATE, OPERANDS, network

from macgen import nn
from macgen.spec import MacSpec

ROUNDINGS = (
    "rne",
    "stochastic:13",
    "stochastic:4",
    "stochastic:4:nearest",
    "stochastic:1",
    "stochastic:1:nearest",
)
TRAINED = tuple(rounding for rounding in ROUNDINGS if rounding != "stochastic:1")
"""One random bit that is cut keeps next to nothing of long gradients already."""

WIDE = MacSpec(a=OPERANDS, b=OPERANDS, acc="fp32")


def narrow(rounding: str) -> MacSpec:
    """Return the accumulator that all are compared in."""
    return MacSpec(a=OPERANDS, b=OPERANDS, acc="e6m5", rounding=rounding)


# -- one gradient ------------------------------------------------------------------------------------------------------


def slopes(images: Images, rounding: str, seed: int, batches: int) -> dict[str, Any]:
    """Return how much of each layer's weight gradient is kept: the slope over FP32 sums of the same operands.

    Forward and backward GEMMs are in float32, so that all gradients are of the same network and outputs.

    Parameters:
        images: to train with.
        rounding: of the gradient GEMM.
        seed: of the weights and of the random numbers.
        batches: how many are looked at, all with the first weights.
    """
    sums = {}
    for name, spec in (("exact", WIDE), ("rounded", narrow(rounding))):
        model = nn.convert(network(seed), nn.Arithmetic(gradient=spec), seed=seed)
        found = []
        for batch in range(batches):
            model.zero_grad()
            loss_of(model, images, torch.arange(batch * BATCH, (batch + 1) * BATCH) % len(images.train_y)).backward()
            found.append([layer.weight.grad.double().flatten() for layer in nn.layers(model).values()])
        sums[name] = [torch.cat(each) for each in zip(*found, strict=True)]
    pairs = list(zip(sums["exact"], sums["rounded"], strict=True))
    return {
        "slopes": [float(exact @ rounded / (exact @ exact)) for exact, rounded in pairs],
        "noises": [float((rounded - exact).square().sum() / exact.square().sum()) for exact, rounded in pairs],
    }


def compare_gradients(images: Images, record: Record, given: Any) -> None:
    """Print and draw the slopes of each layer's gradient."""
    batches = 1 if given.quick else 8
    rows, lines = [], {}
    for rounding in ROUNDINGS:
        if given.only not in rounding:
            continue
        runs = [
            record.run(
                run_name(images, 0, f"{batches} gradients, {rounding}", seed),
                partial(slopes, images, rounding, seed, batches),
            )
            for seed in seeds_of(given)
        ]
        layers = [
            tuple(zip(*each, strict=True))
            for each in zip(*(zip(r["slopes"], r["noises"], strict=True) for r in runs), strict=True)
        ]
        cells = [f"{spread(s)[0]:.3f} ± {spread(s)[1]:.3f}, {spread(noise)[0]:.3f}" for s, noise in layers]
        rows.append([rounding, *cells])
        lines[rounding] = ([1, 2, 3, 4], [each["slopes"] for each in runs])
    lengths = [128 * 784, 128 * 196, 128 * 49, 128]
    head = ["rounding", *(f"{length} products" for length in lengths)]
    table("Weight gradients of each layer: slope over FP32 sums, noise-to-signal ratio", head, rows)
    axes = (f"layer, of sums of {', '.join(map(str, lengths))} products", "slope over FP32 sums")
    plot(given.output / "few_random_bits.svg", "What sums in e6m5 keep of a weight gradient", axes, lines)


# -- training ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Descent:
    """An optimizer, and the roundings that are trained with it.

    Attributes:
        end: of its runs' names.
        make: returns it, given parameters.
        roundings: beside float32, and FP32 sums.
    """

    end: str
    make: Callable[[Any], Any]
    roundings: tuple[str, ...]


DESCENTS = {
    "Adam": Descent("", lambda p: torch.optim.Adam(p, lr=LEARNING_RATE), TRAINED),
    "plain descent": Descent(
        ", plain descent", lambda p: torch.optim.SGD(p, lr=0.1), ("stochastic:4", "stochastic:4:nearest")
    ),
}
"""Adam's steps do not depend on how large gradients are; those of plain descent do."""


def run(images: Images, spec: MacSpec | None, make: Callable[[Any], Any], seed: int, epochs: int) -> dict[str, Any]:
    """Train once."""
    model = network(seed)
    if spec is not None:
        nn.convert(model, spec, seed=seed)
    curve = train(model, nn.Optimizer(model, make), images, epochs=epochs, batch=BATCH, seed=seed)
    return {**asdict(curve), "accuracy": curve.accuracies[-1], "loss": curve.losses[-1]}


def compare_trainings(images: Images, epochs: int, which: str, record: Record, given: Any) -> None:
    """Train with each rounding and print a table."""
    descent = DESCENTS[which]
    kinds: list[tuple[str, MacSpec | None]] = [("float32", None), ("fp32 sums", WIDE)]
    kinds += [(rounding, narrow(rounding)) for rounding in descent.roundings if given.only in rounding]
    rows = []
    base: list[float] = []
    for name, spec in kinds:
        runs = [
            record.run(
                run_name(images, epochs, f"{name}{descent.end}", seed),
                partial(run, images, spec, descent.make, seed, epochs),
            )
            for seed in seeds_of(given)
        ]
        base = base or [each["loss"] for each in runs]
        apart, of_apart = spread([each["loss"] - own for each, own in zip(runs, base, strict=True)])
        loss, of_loss = spread([each["loss"] for each in runs])
        rows.append([name, right(runs), f"{loss:.3f} ± {of_loss:.3f}", f"{apart:+.3f} ± {of_apart:.3f}"])
    table(
        f"{images.name}, {len(images.train_y)} images, {epochs} epochs, {given.seeds} seeds: {which}, e5m2 into e6m5",
        ["rounding of all sums", "right", "training loss", "loss, less float32's of its seed"],
        rows,
    )


def main() -> None:
    """Look at gradients, then train with both optimizers."""
    given = options(__doc__ or "")
    images = load_images(given.data)
    images = images.first(256, 200) if given.quick else images.first(given.images or 3000, 2000)
    record = Record(given.output / f"few_random_bits{'_quick' if given.quick else ''}.json")
    compare_gradients(images, record, given)
    for which in DESCENTS:
        compare_trainings(images, 1 if given.quick else 2, which, record, given)


if __name__ == "__main__":
    run_experiment(main)
