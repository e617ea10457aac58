"""Accumulators of 12 bits and fewer: Blumenfeld, Hubara and Soudry, ICLR 2024, arXiv 2401.14110.

    python examples/experiments/narrow_floats.py

First, a deep network trained in float32 gets MxE4 products and accumulators in its forward GEMMs, in chunks of 16, cut
toward zero. Its answers get worse at once; fine-tuning brings them back, without underflow first, then with it.
Second, a fully connected network is trained from the start on M4E3 (8 bits), with each way in which gradients can pass
such an accumulator.
"""

from __future__ import annotations

import copy
import itertools
import math
from dataclasses import asdict
from functools import cache, partial
from typing import Any

from common import (
    Images,
    Record,
    accuracy,
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
from macgen.nn.scaling import ends
from macgen.numerics import FloatFormat
from macgen.spec import MacSpec

BATCH, CHUNK = 64, 16
OPERANDS = FloatFormat.parse("e3m4finite")
APPROXIMATIONS = ("identity", "overflow", "difference", "recursive-overflow", "recursive-difference")


def deep(seed: int, width: int = 16, blocks: int = 8) -> Any:
    """Return a network of many convolutions, each followed by batch normalisation."""
    torch.manual_seed(seed)
    layers: list[Any] = [torch.nn.AvgPool2d(2)]
    channels = 1
    for block in range(blocks):
        stride = 2 if block == blocks // 2 else 1
        layers += [
            torch.nn.Conv2d(channels, width, 3, stride=stride, padding=1, bias=False),
            torch.nn.BatchNorm2d(width),
            torch.nn.ReLU(),
        ]
        channels = width
    return torch.nn.Sequential(*layers, torch.nn.Flatten(), torch.nn.Linear(width * 49, 10))


def connected(seed: int) -> Any:
    """Return a fully connected network."""
    torch.manual_seed(seed)
    sizes = [196, 64, 64, 64, 10]
    layers: list[Any] = [torch.nn.AvgPool2d(2), torch.nn.Flatten()]
    for before, after in itertools.pairwise(sizes):
        layers += [torch.nn.Linear(before, after), torch.nn.ReLU()]
    return torch.nn.Sequential(*layers[:-1])


def arithmetics(model: Any, x: Any, man_bits: int, exp_bits: int, *, underflow: bool) -> dict[str, nn.Arithmetic]:
    """Return the forward GEMMs of each layer, their bias so that the largest result of some images fits twice.

    Products have two binades less at the top, as in the paper. Without underflow the exponent field has four bits more,
    all of them below.
    """
    largest: dict[str, float] = {}
    hooks = []

    def look(name: str, layer: Any, given: Any, result: Any) -> None:
        scales = [
            2.0 ** math.floor(math.log2(ends(OPERANDS)[1] / float(value.detach().abs().max())))
            for value in (given[0], layer.weight)
        ]
        largest[name] = float(result.detach().abs().max()) * scales[0] * scales[1]

    for name, layer in model.named_modules():
        if isinstance(layer, (torch.nn.Conv2d, torch.nn.Linear)):
            hooks.append(layer.register_forward_hook(lambda *given, name=name: look(name, *given)))
    with torch.no_grad():
        model.eval()(x)
    for hook in hooks:
        hook.remove()
    return {
        name: nn.Arithmetic(forward=_spec(man_bits, exp_bits, math.ceil(math.log2(2 * size)), underflow))
        for name, size in largest.items()
    }


def _spec(man_bits: int, exp_bits: int, top: int, underflow: bool) -> MacSpec:
    """Return a spec whose accumulator ends at 2**top."""
    bits = exp_bits if underflow else exp_bits + 4

    def fmt(top: int) -> FloatFormat:
        return FloatFormat(bits, man_bits, bias=(1 << bits) - top, encoding="finite", subnormals="none")

    return MacSpec(a=OPERANDS, b=OPERANDS, product=fmt(top - 2), acc=fmt(top), chunk=CHUNK, rounding="rtz")


# -- a trained network ----------------------------------------------------------------------------------------------


@cache
def trained(images: Images, seed: int, epochs: int) -> tuple[Any, float]:
    """Return a network trained in float32, which is not to be changed, and its share of right answers."""
    model = deep(seed)
    train(model, _adam(model, 2e-3), images, epochs=epochs, batch=BATCH, seed=seed)
    return model, accuracy(model, images)


def _adam(model: Any, rate: float) -> nn.Optimizer:
    return nn.Optimizer(model, lambda p: torch.optim.Adam(p, lr=rate))


def tune(images: Images, man_bits: int, seed: int, epochs: int, steps: int) -> dict[str, Any]:
    """Convert a trained network and fine-tune it: most of the steps without underflow, the last fifth with it."""
    original, before = trained(images, seed, epochs)
    model, x = copy.deepcopy(original), images.train_x[:256]

    def on(underflow: bool) -> None:
        plain = nn.convert(copy.deepcopy(model), nn.Arithmetic())
        nn.convert(model, arithmetics(plain, x, man_bits, 4, underflow=underflow), headroom="measured")

    found: dict[str, Any] = {"float": before, "stopped": ""}
    for name, underflow in (("without", False), ("zero_shot", True)):
        on(underflow)
        found[name] = accuracy(model, images)
    for underflow, share in ((False, 0.8), (True, 0.2)):
        on(underflow)
        few = images.first(max(BATCH, int(steps * share) * BATCH), len(images.test_y))
        curve = train(model, _adam(model, 2e-4), few, epochs=1, batch=BATCH, seed=seed + 100)
        found["stopped"] = found["stopped"] or curve.stopped
    on(True)  # the weights have moved
    found["tuned"] = accuracy(model, images)
    plain = nn.convert(copy.deepcopy(model), nn.Arithmetic())
    return {**found, "tuned_in_float": accuracy(plain, images)}


# -- from the start ---------------------------------------------------------------------------------------------------


def from_the_start(images: Images, approximation: Any, seed: int, epochs: int) -> dict[str, Any]:
    """Train on 8-bit products and accumulators with one way for gradients to pass them."""
    model = connected(seed)
    if approximation != "float32":
        own = arithmetics(model, images.train_x[:256], 4, 3, underflow=True)
        nn.convert(model, own, headroom="measured", approximation=approximation)
    curve = train(model, _adam(model, 1e-3), images, epochs=epochs, batch=BATCH, seed=seed)
    return {**asdict(curve), "accuracy": curve.accuracies[-1], "loss": curve.losses[-1]}


def main() -> None:
    """Run both parts, print their tables and draw the second one."""
    given = options(__doc__ or "")
    images = load_images(given.data)
    images = images.first(128, 200) if given.quick else images.first(given.images or 1500, 1000)
    epochs, steps = (1, 2) if given.quick else (3, 40)
    record = Record(given.output / f"narrow_floats{'_quick' if given.quick else ''}.json")
    rows = []
    for man_bits in (7, 4) if given.quick else (7, 6, 4):
        if given.only not in f"M{man_bits}E4":
            continue
        runs = [
            record.run(
                run_name(images, epochs, f"deep M{man_bits}E4, {steps} steps", seed),
                partial(tune, images, man_bits, seed, epochs, steps),
            )
            for seed in seeds_of(given)
        ]
        shares = [right(runs, key) for key in ("float", "without", "zero_shot", "tuned", "tuned_in_float")]
        rows.append([f"M{man_bits}E4", *shares])
    head = ["accumulator", "float32", "no underflow", "zero-shot", "fine-tuned", "the same in float32"]
    table(f"{images.name}, nine layers, trained in float32; right answers", head, rows)
    rows, lines = [], {}
    epochs = 1 if given.quick else 3
    for name in ("float32", *APPROXIMATIONS):
        if given.only not in f"M4E3 {name}":
            continue
        runs = [
            record.run(
                run_name(images, epochs, f"M4E3 {name}", seed), partial(from_the_start, images, name, seed, epochs)
            )
            for seed in seeds_of(given)
        ]
        loss, of_loss = spread([each["loss"] for each in runs])
        rows.append([name, right(runs), f"{loss:.3f} ± {of_loss:.3f}"])
        lines[name] = (list(range(1, epochs + 1)), [each["accuracies"] for each in runs])
    table(f"{images.name}, four layers, trained on M4E3", ["gradients", "right", "loss"], rows)
    plot(given.output / "narrow_floats.svg", "Gradients through 8-bit accumulators", ("epoch", "right"), lines)


if __name__ == "__main__":
    run_experiment(main)
