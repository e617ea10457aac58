"""Precision that changes during training: two phases, steered by gradients or counters, toggling, Flexpoint; HALP.

    python examples/experiments/schedules.py

A network of six layers trains on 8-bit and 16-bit integers, with power-of-two scales and exact sums in all three GEMMs,
and on schedules of both. Energy is that of a multiply-accumulate in `macgen report`, times how many there are. Then a
strongly convex model, where HALP (De Sa et al., 2018, arXiv 1803.03383) applies: full gradients, and weights stored as
their distance from the last centre.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
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
from numpy.typing import NDArray

import macgen
from macgen import nn
from macgen.nn.random_source import RandomSource
from macgen.spec import MacSpec
from macgen.width.formulas.tensors import dot_product_adders

Array = NDArray[np.float64]

BATCH, LEARNING_RATE = 50, 0.05
NARROW = MacSpec(a="int8", b="int8", acc="int40", rows=2, cols=2)
WIDE = MacSpec(a="int16", b="int16", acc="int56", rows=2, cols=2)
FLOAT = MacSpec(a="fp32", b="fp32", acc="fp32", rows=2, cols=2)
PHASES = {"8 bits": NARROW, "16 bits": WIDE}


def network(seed: int) -> Any:
    """Return a network of four convolutions and two fully connected layers."""
    torch.manual_seed(seed)
    return torch.nn.Sequential(
        torch.nn.Conv2d(1, 8, 3, stride=2, padding=1),
        torch.nn.ReLU(),
        torch.nn.Conv2d(8, 16, 3, padding=1),
        torch.nn.ReLU(),
        torch.nn.Conv2d(16, 16, 3, stride=2, padding=1),
        torch.nn.ReLU(),
        torch.nn.Conv2d(16, 32, 3, stride=2, padding=1),
        torch.nn.ReLU(),
        torch.nn.Flatten(),
        torch.nn.Linear(32 * 16, 64),
        torch.nn.ReLU(),
        torch.nn.Linear(64, 10),
    )


class Toggle:
    """Two epochs of 8 bits, then one of 16, and again."""

    def wanted(self, look: Any) -> int:
        """Return the phase of an epoch."""
        return int(look.epoch % 3 == 2)


def schedules(epochs: int) -> dict[str, tuple[dict[str, Any], Any] | None]:
    """Return phases and rule of each kind of training; None: float32. All were settled before any trained."""
    history = {"16 bits": nn.Arithmetic.of(WIDE).replace(scales="history")}
    return {
        "float32": None,
        "fixed 8": ({"8 bits": NARROW}, nn.EpochRule(())),
        "fixed 16": ({"16 bits": WIDE}, nn.EpochRule(())),
        "two-phase": (PHASES, nn.EpochRule((max(1, 2 * epochs // 3),))),
        "by metrics": (PHASES, nn.MetricRule(spread=0.5)),
        "by counters": (PHASES, nn.CounterRule(flushed=0.5, calm=0.5)),
        "toggling": (PHASES, Toggle()),
        "Flexpoint": (history, nn.EpochRule(())),
    }


def energies(record: Record, quick: bool) -> tuple[dict[str, float], str]:
    """Return what a multiply-accumulate takes in each arithmetic, and the unit."""
    specs = {"8 bits": NARROW, "16 bits": WIDE, "float32": FLOAT}
    if quick:  # without synthesis: the full adders of its multiplication
        bits = {"8 bits": 8, "16 bits": 16, "float32": 24}
        return {name: dot_product_adders(1, width, width) / 1e6 for name, width in bits.items()}, "million adders"

    def reported(spec: MacSpec) -> dict[str, float]:
        with tempfile.TemporaryDirectory() as folder:
            bundle = macgen.build(spec, Path(folder) / "array")
            return {"picojoule": macgen.report(bundle).cost.energy_per_mac_pj}

    found = {name: record.run(f"energy of {name}", partial(reported, spec)) for name, spec in specs.items()}
    return {name: run["picojoule"] / 1e9 for name, run in found.items()}, "mJ"


def macs_of_an_example() -> float:
    """Return the multiply-accumulates of a step of training for one example, in all GEMMs."""
    model = nn.convert(network(0), NARROW)
    model(torch.rand(2, 1, 28, 28)).sum().backward()
    return sum(each.macs for gemms in nn.counters(model).values() for each in gemms.values()) / 2


def run(images: Images, kind: tuple[dict[str, Any], Any] | None, seed: int, epochs: int) -> dict[str, Any]:
    """Train once."""
    model, schedule = network(seed), None
    if kind is not None:
        phases, rule = kind
        nn.convert(model, next(iter(phases.values())))
        schedule = nn.Schedule(model, phases, rule)
    optimizer = nn.Optimizer(model, lambda p: torch.optim.SGD(p, lr=LEARNING_RATE, momentum=0.9))

    def look(epoch: int) -> None:
        if schedule is not None:
            schedule.look(epoch)

    curve = train(model, optimizer, images, epochs=epochs, batch=BATCH, seed=seed, each_epoch=look)
    taken = [] if schedule is None else [*schedule.taken]
    taken += [taken[-1] if taken else "float32"] * (epochs - len(taken))  # a run that was stopped is paid to its end
    exponents = [
        exponent
        for layer in nn.layers(model).values()
        for gemm in layer.gemms.state().values()
        for history in gemm["histories"].values()
        for exponent in history["exponents"]
    ]
    return {
        **asdict(curve),
        "accuracy": curve.accuracies[-1],
        "loss": curve.losses[-1],
        "phases": taken,
        "exponents": max(exponents) - min(exponents) + 1 if exponents else 0,
    }


# -- HALP --------------------------------------------------------------------------------------------------------------

RIDGE, RATE = 0.1, 0.3
"""Strong convexity of the convex model, and its learning rate."""


def convex(images: Images, kind: str, bits: int, seed: int, epochs: int) -> dict[str, Any]:
    """Minimise ridge-penalised multinomial regression, and return the gradient's norm before each epoch.

    Parameters:
        images: to train with.
        kind: `sgd` and `svrg` store weights on one grid from -1/2 to 1/2, `halp` their distance from the last centre on
            a grid that shrinks with the full gradient.
        bits: of a stored weight, rounded at random by the hardware's register; 0: float64.
        seed: of the order, and of the random numbers.
        epochs: each as many steps as there are examples, in batches of 20.
    """
    x = images.train_x.flatten(1).double().numpy()
    x = np.hstack([x / np.linalg.norm(x, axis=1, keepdims=True), np.ones((len(x), 1))])
    y = np.eye(10)[images.train_y.numpy()]
    random, source = np.random.default_rng(seed), RandomSource(16, seed)

    def slope(w: Array, rows: Any) -> Array:
        z = x[rows] @ w
        p = np.exp(z - z.max(axis=1, keepdims=True))
        p /= p.sum(axis=1, keepdims=True)
        return np.asarray(x[rows].T @ (p - y[rows]) / len(x[rows]) + RIDGE * w)

    def rounded(w: Array, step: float) -> Array:
        if not bits:
            return w
        numbers = source.take(w.size).reshape(w.shape) / 2.0**16
        return np.asarray(np.clip(np.floor(w / step + numbers), -(2 ** (bits - 1)), 2 ** (bits - 1) - 1) * step)

    every = slice(None)
    centre, norms = np.zeros((x.shape[1], 10)), []
    for _ in range(epochs):
        full = slope(centre, every)
        norms.append(float(np.linalg.norm(full)))
        halp = kind == "halp"
        step = norms[-1] / RIDGE / (2 ** (bits - 1) - 1) if halp and bits else 2.0**-bits
        base = centre if halp else np.zeros_like(centre)
        z = np.zeros_like(centre) if halp else centre
        for rows in np.array_split(random.permutation(len(x)), len(x) // 20):
            g = slope(base + z, rows)
            if kind != "sgd":
                g = g - slope(centre, rows) + full
            z = rounded(z - RATE * g, step)
        centre = base + z
    return {"norms": norms, "last": norms[-1]}


CONVEX: dict[str, tuple[str, int]] = {
    "SVRG, float64": ("svrg", 0),
    "SGD, float64": ("sgd", 0),
    "SGD, 8 bits": ("sgd", 8),
    "SVRG, 8 bits": ("svrg", 8),
    "HALP, 8 bits": ("halp", 8),
    "HALP, 16 bits": ("halp", 16),
}


def main() -> None:
    """Train on each schedule, print two tables and draw accuracies, energies and the norms of the convex model."""
    given = options(__doc__ or "")
    images = load_images(given.data)
    images = images.first(250, 200) if given.quick else images.first(given.images or 2000, 2000)
    epochs = 2 if given.quick else 6
    end = "_quick" if given.quick else ""
    record = Record(given.output / f"schedules{end}.json")
    of_mac, unit = energies(record, given.quick)
    macs = macs_of_an_example() * len(images.train_y)
    rows, lines, spent = [], {}, {}
    places = list(range(1, epochs + 1))
    for name, kind in schedules(epochs).items():
        if name != "float32" and given.only not in name:
            continue
        compute: Callable[[int], Any] = partial(_computed, images, kind, epochs)
        runs = [record.run(run_name(images, epochs, name, seed), partial(compute, seed)) for seed in seeds_of(given)]
        sums = [np.cumsum([macs * of_mac[phase] for phase in each["phases"]]).tolist() for each in runs]
        wide = spread([sum(phase != "8 bits" for phase in each["phases"]) for each in runs])[0]
        loss, of_loss = spread([each["loss"] for each in runs])
        energy = spread([each[-1] for each in sums])[0]
        rows.append([name, right(runs), f"{loss:.3f} ± {of_loss:.3f}", f"{wide:.1f} of {epochs}", f"{energy:.3g}"])
        if name == "Flexpoint":
            print(f"Flexpoint's exponents: {max(each['exponents'] for each in runs)} different ones")
        lines[name] = (places, [each["accuracies"] for each in runs])
        spent[name] = (places, sums)
    table(
        f"{images.name}, {len(images.train_y)} images, {epochs} epochs, {given.seeds} seeds",
        ["training", "right", "training loss", "epochs not in 8 bits", f"energy, {unit}"],
        rows,
    )
    plot(given.output / "schedules.svg", "Precision that changes", ("epoch", "right"), lines)
    plot(given.output / "schedules_energy.svg", "Energy of products and sums", ("epoch", unit), spent)
    _compare_convex(record, images.first(min(1000, len(images.train_y)), 1), given)


def _computed(images: Images, kind: Any, epochs: int, seed: int) -> dict[str, Any]:
    return run(images, kind, seed, epochs)


def _compare_convex(record: Record, images: Images, given: Any) -> None:
    epochs = 3 if given.quick else 30
    rows, lines = [], {}
    for name, (kind, bits) in CONVEX.items():
        runs = [
            record.run(
                run_name(images, epochs, f"convex, {name}", seed), partial(convex, images, kind, bits, seed, epochs)
            )
            for seed in seeds_of(given)
        ]
        mean, deviation = spread([each["last"] for each in runs])
        rows.append([name, f"{mean:.2e} ± {deviation:.0e}"])
        lines[name] = (list(range(epochs)), [each["norms"] for each in runs])
    table(f"Convex model, {len(images.train_y)} images, {epochs} epochs", ["weights", "norm of the gradient"], rows)
    plot(given.output / "halp.svg", "A strongly convex model", ("epoch", "norm of the gradient"), lines, log=True)


if __name__ == "__main__":
    run_experiment(main)
