"""Compressed gradients: AdaComp (Chen et al., AAAI 2018, arXiv 1712.02679) with one, two and eight learners.

    python examples/experiments/adacomp.py

A network of two convolutions and two fully connected layers, all GEMMs on macgen's 12-bit array. Each learner computes
the gradients of its part of the batch and sends what the compressing unit sends of them; what is not sent it keeps.
All take the mean of what was sent. Bins have 50 elements in convolutions and 500 in fully connected layers. Biases are
sent as they are.
"""

from __future__ import annotations

from dataclasses import asdict
from functools import partial
from typing import Any

import numpy as np
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
from per_tensor import network

import macgen
from macgen import nn
from macgen.compress import CompressSpec, Learner

BATCH, LEARNING_RATE = 64, 0.1
FORMAT = "fix2.14"
BINS = {"convolutions": 50, "fully connected layers": 500}
PAPER_BITS = {"convolutions": 8, "fully connected layers": 16}
"""What the paper counts for each element that is sent, and nothing else."""

PAPER = {"convolutions": 40, "fully connected layers": 200}
"""Compression that the paper has of most networks, about."""

LEARNERS = (1, 2, 8)


class Exchange:
    """What learners send each other in place of gradients.

    Parameters:
        model: whose gradients they are.
        images: to train with.
        learners: how many share a batch.

    Attributes:
        learners: of each parameter that is compressed, by its name.
        counts: for each kind of layer: elements of all learners and steps, how many were sent, bits sent, and how many
            accumulated gradients went beyond the format.
    """

    def __init__(self, model: Any, images: Images, learners: int) -> None:
        self._model, self._images, self._count = model, images, learners
        self.counts = {kind: {"elements": 0, "sent": 0, "bits": 0, "overflows": 0} for kind in BINS}
        self._kinds: dict[str, str] = {}
        self.learners: dict[str, list[Learner]] = {}
        for name, layer in nn.layers(model).items():
            kind = "fully connected layers" if isinstance(layer, torch.nn.Linear) else "convolutions"
            spec, weight = CompressSpec(FORMAT, BINS[kind]), f"{name}.weight"
            self._kinds[weight] = kind
            self.learners[weight] = [Learner(spec, tuple(layer.weight.shape)) for _ in range(learners)]

    def gradients(self, rows: Any) -> Any:
        """Leave the mean of what all learners send of a batch in the parameters, and return the batch's loss."""
        parameters = dict(self._model.named_parameters())
        totals, loss = {name: torch.zeros_like(each) for name, each in parameters.items()}, torch.zeros(())
        for learner, own in enumerate(rows.tensor_split(self._count)):
            if not len(own):  # the last batch may have fewer images than there are learners
                continue
            self._model.zero_grad()
            part, share = loss_of(self._model, self._images, own), len(own) / len(rows)
            part.backward()
            loss += share * part.detach()
            for name, parameter in parameters.items():
                sent = self._sent(name, learner, parameter.grad) if name in self.learners else parameter.grad
                totals[name] += share * sent
        for name, parameter in parameters.items():
            parameter.grad = totals[name]
        return loss

    def _sent(self, name: str, number: int, gradient: Any) -> Any:
        """Return what a learner's gradient of a layer arrives as, and count it."""
        learner, count = self.learners[name][number], self.counts[self._kinds[name]]
        sent = learner.step_real(gradient.numpy())
        count["elements"] += sent.signs.size
        count["sent"] += int(np.count_nonzero(sent.signs))
        count["bits"] += sent.bits
        count["overflows"] += sent.overflows
        return torch.from_numpy(np.ldexp(sent.gradients, -learner.spec.format.frac_bits)).float()


def run(images: Images, spec: Any, learners: int, seed: int, epochs: int) -> dict[str, Any]:
    """Train once.

    Parameters:
        images: to train and test with.
        spec: of all GEMMs; None: float32.
        learners: how many compress; 0: nothing is compressed.
        seed: of weights and order.
        epochs: how often each image is shown.
    """
    model = network("convolutional", seed)
    nn.convert(model, nn.Arithmetic() if spec is None else spec)
    optimizer = nn.Optimizer(model, lambda p: torch.optim.SGD(p, lr=LEARNING_RATE))
    exchange = Exchange(model, images, learners)
    gradients = exchange.gradients if learners else None
    curve = train(model, optimizer, images, epochs=epochs, batch=BATCH, seed=seed, gradients=gradients)
    return {
        **asdict(curve),
        "accuracy": curve.accuracies[-1],
        "loss": curve.losses[-1],
        "counts": exchange.counts if learners else {},
    }


def rates(runs: list[dict[str, Any]], kind: str) -> list[str]:
    """Return how often the bits sent of a kind of layer go into 32 an element: of the stream, and as the paper counts.

    The third is the share of accumulated gradients beyond the format.
    """
    counts = [each["counts"][kind] for each in runs]
    stream = [32 * each["elements"] / each["bits"] for each in counts]
    paper = [32 * each["elements"] / (PAPER_BITS[kind] * each["sent"]) for each in counts]
    beyond = sum(each["overflows"] for each in counts) / sum(each["elements"] for each in counts)
    return [*(f"{spread(each)[0]:.0f} ± {spread(each)[1]:.0f}" for each in (stream, paper)), f"{beyond:.1g}"]


def main() -> None:
    """Train with each number of learners, print two tables and draw accuracies."""
    given = options(__doc__ or "")
    images = load_images(given.data)
    images = images.first(256, 200) if given.quick else images.first(given.images or 2000, 2000)
    epochs = 1 if given.quick else 4
    record = Record(given.output / f"adacomp{'_quick' if given.quick else ''}.json")
    array = macgen.presets["default"]
    kinds: dict[str, tuple[Any, int]] = {"float32, not compressed": (None, 0), "12 bits, not compressed": (array, 0)}
    kinds |= {f"12 bits, {count} learner{'s' if count > 1 else ''}": (array, count) for count in LEARNERS}
    rows, compressions, lines = [], [], {}
    base: list[float] = []
    for name, (spec, learners) in kinds.items():
        if name != "float32, not compressed" and given.only not in name:
            continue
        runs = [
            record.run(run_name(images, epochs, name, seed), partial(run, images, spec, learners, seed, epochs))
            for seed in seeds_of(given)
        ]
        base = base or [each["accuracy"] for each in runs]
        apart, of_apart = spread([each["accuracy"] - own for each, own in zip(runs, base, strict=True)])
        loss, of_loss = spread([each["loss"] for each in runs])
        rows.append([name, right(runs), f"{100 * apart:+.1f} ± {100 * of_apart:.1f}", f"{loss:.3f} ± {of_loss:.3f}"])
        lines[name] = (list(range(1, epochs + 1)), [each["accuracies"] for each in runs])
        if learners:
            compressions += [[str(learners), kind, *rates(runs, kind), str(PAPER[kind])] for kind in BINS]
    table(
        f"{images.name}, {len(images.train_y)} images, {epochs} epochs, {given.seeds} seeds",
        ["gradients", "right", "points above float32's of its seed", "training loss"],
        rows,
    )
    table(
        f"Compression, {FORMAT}",
        ["learners", "layers", "of the stream", "as the paper counts", "beyond the format", "the paper: about"],
        compressions,
    )
    plot(given.output / "adacomp.svg", "Compressed gradients", ("epoch", "right"), lines)


if __name__ == "__main__":
    run_experiment(main)
