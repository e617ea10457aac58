"""Fixed point for every tensor of a training: Sakr and Shanbhag, ICLR 2019, arXiv 1812.11732.

    python examples/experiments/per_tensor.py

A training in float32 of another seed is watched, and formats of all tensors planned from it. Networks train on the
plan, and on plans with two and four bits fewer in one kind of tensor at a time. Which these are is settled before any
of them trains, and all are shown. The plan is kept: macgen build --plan takes it.
"""

from __future__ import annotations

import hashlib
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
from macgen.width.tensor_file import load_statistics
from macgen.width.tensors import TENSORS, TensorPlan, plan_tensors

BATCH, LEARNING_RATE = 50, 0.1
SEED_OF_PLAN = 1000
"""Of the training that is watched: of none of those that are compared."""


NETWORKS = ("fully connected", "convolutional")


def network(which: str, seed: int) -> Any:
    """Return a network of three fully connected layers, or of two convolutions and two of these."""
    torch.manual_seed(seed)
    if which == "fully connected":
        return torch.nn.Sequential(
            torch.nn.Flatten(),
            torch.nn.Linear(784, 64),
            torch.nn.ReLU(),
            torch.nn.Linear(64, 32),
            torch.nn.ReLU(),
            torch.nn.Linear(32, 10),
        )
    return torch.nn.Sequential(
        torch.nn.Conv2d(1, 16, 3, stride=2, padding=1),
        torch.nn.ReLU(),
        torch.nn.Conv2d(16, 32, 3, stride=2, padding=1),
        torch.nn.ReLU(),
        torch.nn.Flatten(),
        torch.nn.Linear(32 * 49, 64),
        torch.nn.ReLU(),
        torch.nn.Linear(64, 10),
    )


def descent(parameters: list[Any]) -> Any:
    """Return plain gradient descent, which the criterion of updates is about."""
    return torch.optim.SGD(parameters, lr=LEARNING_RATE)


def planned(which: str, images: Images, epochs: int, given: Any) -> TensorPlan:
    """Return the plan; what was measured is kept next to it, and taken again where it is of the same training."""
    what = f"{which}, {images.name}, {len(images.train_y)} images, {epochs} epochs"
    end = f"_{which.split()[0]}{'_quick' if given.quick else ''}"
    file = given.output / f"per_tensor_statistics{end}.json"
    found = load_statistics(file) if file.is_file() else None
    if found is None or found.network != what:
        found = nn.measure(
            network(which, SEED_OF_PLAN),
            images.train_x,
            images.train_y,
            make=descent,
            epochs=epochs,
            batch=BATCH,
            seed=SEED_OF_PLAN,
            network=what,
            examples=5 if given.quick else 100,
        )
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(found.to_json(), "utf-8")
    plan = plan_tensors(found)
    (given.output / f"per_tensor_plan{end}.json").write_text(plan.to_json(), "utf-8")
    return plan


def run(which: str, images: Images, plan: TensorPlan | None, seed: int, epochs: int) -> dict[str, Any]:
    """Train once."""
    model = network(which, seed)
    if plan is not None:
        nn.convert(model, plan)
    optimizer = nn.Optimizer(model, descent, master=None if plan is None else plan.masters)
    curve = train(model, optimizer, images, epochs=epochs, batch=BATCH, seed=seed)
    return {**asdict(curve), "accuracy": curve.accuracies[-1], "loss": curve.losses[-1]}


def kind_name(which: str, name: str, plan: TensorPlan | None) -> str:
    """Return the name of a kind of runs, with a digest of its plan: on another plan it is another kind."""
    digest = "" if plan is None else f" ({hashlib.sha256(plan.to_json().encode()).hexdigest()[:12]})"
    return f"{which}, {name}{digest}"


def compare(which: str, images: Images, epochs: int, record: Record, given: Any) -> None:
    """Plan, train on the plan and on narrower ones, print two tables and draw the losses."""
    plan = planned(which, images, epochs, given)
    kinds: list[tuple[str, TensorPlan | None]] = [("float32", None), ("as planned", plan)]
    for bits in (2,) if given.quick else (2, 4):
        kinds += [(f"{bits} fewer: {tensor.replace('_', ' ')}", plan.fewer(tensor, bits)) for tensor in TENSORS]
    rows, lines = [], {}
    base: list[float] = []
    for name, each in kinds:
        runs = [
            record.run(
                run_name(images, epochs, kind_name(which, name, each), seed),
                partial(run, which, images, each, seed, epochs),
            )
            for seed in seeds_of(given)
        ]
        losses = [one["loss"] for one in runs]
        base = base or losses
        loss, of_loss = spread(losses)
        away = f"{(loss - spread(base)[0]) / spread(base)[1]:+.1f}" if given.seeds > 1 and spread(base)[1] else ""
        cost = plan.float_costs if each is None else each.costs
        rows.append([name, right(runs), f"{loss:.3f} ± {of_loss:.3f}", away, f"{cost.multiplications / 1e6:.1f}"])
        lines[name] = (list(range(1, epochs + 1)), [one["losses"] for one in runs])
    table(
        f"{which}: the plan",
        ["layer", *(tensor.replace("_", " ") for tensor in TENSORS), "master copy"],
        [[layer.name, *(str(getattr(layer, t)) for t in TENSORS), str(layer.master)] for layer in plan.layers],
    )
    table(
        f"{which}: {images.name}, {len(images.train_y)} images, {epochs} epochs, {given.seeds} seeds",
        ["formats", "right", "training loss", "in deviations of float32", "million full adders"],
        rows,
    )
    file = given.output / f"per_tensor_{which.split()[0]}.svg"
    plot(file, f"Fixed point for every tensor, {which}", ("epoch", "training loss"), lines, log=True)


def main() -> None:
    """Compare for both networks, or for the one that `--only` names."""
    given = options(__doc__ or "")
    images = load_images(given.data)
    images = images.first(250, 200) if given.quick else images.first(given.images or 4000, 2000)
    epochs = 1 if given.quick else 4
    record = Record(given.output / f"per_tensor{'_quick' if given.quick else ''}.json")
    for which in NETWORKS:
        if given.only in which:
            compare(which, images, epochs, record, given)


if __name__ == "__main__":
    run_experiment(main)
