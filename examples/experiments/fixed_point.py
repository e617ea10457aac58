"""16-bit fixed point, to nearest and at random: Gupta et al., ICML 2015, arXiv 1502.02551.

    python examples/experiments/fixed_point.py

Weights, activations and gradients are fixI.F. Each GEMM sums exactly in 48 bits and converts its results once, as the
paper's array does; the weights' update rounds, too. All of this is to nearest, or at random with the shift registers
that the generated hardware has.
"""

from __future__ import annotations

from dataclasses import asdict
from functools import partial
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
from macgen.numerics import FixedFormat
from macgen.spec import MacSpec

HIDDEN, BATCH, LEARNING_RATE = 256, 100, 0.1
FORMATS = ("fix8.8", "fix6.10")
ROUNDINGS = ("nearest", "random")
LOSSES = ("mean", "sum")


def network(seed: int) -> Any:
    """Return a network of two fully connected layers."""
    torch.manual_seed(seed)
    return torch.nn.Sequential(
        torch.nn.Flatten(), torch.nn.Linear(784, HIDDEN), torch.nn.ReLU(), torch.nn.Linear(HIDDEN, 10)
    )


def arithmetic(fmt: FixedFormat, rounding: str) -> nn.Arithmetic:
    """Return GEMMs as the paper's array computes them."""
    random = rounding == "random"
    spec = MacSpec(
        a=fmt,
        b=fmt,
        acc=FixedFormat(48 - 2 * fmt.frac_bits, 2 * fmt.frac_bits),  # exact: it rounds nothing
        out=fmt,
        rounding="rtz",
        outer_rounding=f"stochastic:{fmt.frac_bits}" if random else "rne",
        rows=28,
        cols=28,
    )
    # Weights and activations are on the format's grid already; of the operands only the gradient of the loss is not.
    return nn.Arithmetic.of(spec).replace(scales="one", gradient_rounding="stochastic:16" if random else "rne")


def run(images: Images, fmt: str | None, rounding: str, loss: str, seed: int, epochs: int) -> dict[str, Any]:
    """Train once; as a mean over the batch, the loss has gradients a hundred times smaller than as a sum."""
    model, master, update = network(seed), None, "rne"
    if fmt is not None:
        made = FixedFormat.parse(fmt)
        nn.convert(model, arithmetic(made, rounding), seed=seed)
        master, update = made, "stochastic:20" if rounding == "random" else "rne"
    optimizer = nn.Optimizer(
        model,
        lambda parameters: torch.optim.SGD(parameters, lr=LEARNING_RATE / (BATCH if loss == "sum" else 1)),
        master=master,
        rounding=update,
        seed=seed,
    )
    curve = train(model, optimizer, images, epochs=epochs, batch=BATCH, seed=seed, mean=loss == "mean")
    updates = optimizer.updates.values()
    moved = sum(each.values for each in updates)
    stalled = sum(each.stalled for each in updates) / moved if moved else 0.0
    return {**asdict(curve), "accuracy": curve.accuracies[-1], "loss": curve.losses[-1], "stalled": stalled}


def main() -> None:
    """Train in float32 and in each format, print a table and draw the losses."""
    given = options(__doc__ or "")
    images = load_images(given.data)
    images = images.first(1000, 500) if given.quick else images.first(given.images or 10000, 10000)
    epochs = 1 if given.quick else 4
    record = Record(given.output / f"fixed_point{'_quick' if given.quick else ''}.json")
    kinds: list[tuple[str | None, str, str]] = [(None, "float32", "mean")]
    kinds += [(fmt, rounding, loss) for loss in LOSSES for fmt in FORMATS for rounding in ROUNDINGS]
    kinds = kinds[:1] + [each for each in kinds[1:] if given.only in ", ".join(map(str, each))]
    rows, lines = [], {}
    for fmt, rounding, loss in kinds:
        name = rounding if fmt is None else f"{fmt} {rounding}, {loss}"
        runs = [
            record.run(run_name(images, epochs, name, seed), partial(run, images, fmt, rounding, loss, seed, epochs))
            for seed in seeds_of(given)
        ]
        end, of_end = spread([each["loss"] for each in runs])
        stalled = spread([each["stalled"] for each in runs])[0]
        rows.append([name, right(runs), f"{end:.3f} ± {of_end:.3f}", f"{stalled:.1%}"])
        lines[name] = (list(range(1, epochs + 1)), [each["accuracies"] for each in runs])
    table(
        f"{images.name}, {len(images.train_y)} images, {epochs} epochs, {given.seeds} seeds",
        ["arithmetic", "right", "loss", "updates lost"],
        rows,
    )
    plot(given.output / "fixed_point.svg", "Fixed point: to nearest and at random", ("epoch", "right"), lines)


if __name__ == "__main__":
    run_experiment(main)
