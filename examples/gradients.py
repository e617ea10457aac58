"""Compression of the gradients of a real training run, by what `macgen compress` would send of them.

    python examples/gradients.py --output build/gradients.npz

Trains a small network on scikit-learn's handwritten digits, in NumPy. Four learners have a quarter of each batch; each
compresses its gradients with AdaComp and keeps the rest, and all take the mean of what was sent. The same network is
trained without compression, too. Gradients of learner 0 in some steps are written to a file, rounded to fix4.12.
"""

import argparse
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from macgen.compress import CompressSpec, Learner
from macgen.interrupts import run_program

SEED = 20260101
HIDDEN = 96
LEARNERS = 4
BATCH = 128
EPOCHS = 30
RATE = 0.2
BINS = (50, 500)
RECORDED = range(0, 300, 60)
"""Steps whose gradients are written."""

Matrix = NDArray[np.float64]


@dataclass
class Training:
    """A training run.

    Attributes:
        accuracy: on digits that it has not seen.
        elements: gradients of all learners in all steps.
        bits: bits that were sent of them; 0: they were not compressed.
        steps: how many there were.
        recorded: gradients of learner 0 by name, integers of the format.
    """

    accuracy: float
    elements: int
    bits: int
    steps: int
    recorded: dict[str, NDArray[np.int16]]


def gradients(weights: list[Matrix], inputs: Matrix, labels: NDArray[np.int64]) -> list[Matrix]:
    """Return the gradients of the mean cross entropy; the bias is the last row of each layer's weights."""
    ones = np.ones((len(inputs), 1))
    first = np.hstack([inputs, ones])
    hidden = np.maximum(first @ weights[0], 0)
    second = np.hstack([hidden, ones])
    logits = second @ weights[1]
    error = np.exp(logits - logits.max(axis=1, keepdims=True))
    error /= error.sum(axis=1, keepdims=True)
    error[np.arange(len(labels)), labels] -= 1
    error /= len(labels)
    return [first.T @ (error @ weights[1][:-1].T * (hidden > 0)), second.T @ error]


def train(spec: CompressSpec | None) -> Training:
    """Train the network; None: without compression."""
    pixels, digits = load_digits(return_X_y=True)
    seen, unseen, seen_labels, unseen_labels = train_test_split(
        pixels / 16, digits, test_size=0.25, random_state=SEED, stratify=digits
    )
    rng = np.random.default_rng(SEED)
    shapes = ((65, HIDDEN), (HIDDEN + 1, 10))
    weights = [rng.normal(0, np.sqrt(2 / shape[0]), shape) for shape in shapes]
    learners = [] if spec is None else [[Learner(spec, shape) for shape in shapes] for _ in range(LEARNERS)]
    result = Training(0.0, 0, 0, 0, {})
    for _ in range(EPOCHS):
        order = rng.permutation(len(seen))
        for start in range(0, len(order) - BATCH + 1, BATCH):
            parts = np.split(order[start : start + BATCH], LEARNERS)
            for item, part in enumerate(parts):
                own = gradients(weights, seen[part], seen_labels[part])
                if item == 0:
                    totals = [np.zeros_like(matrix) for matrix in weights]
                for layer, gradient in enumerate(own):
                    result.elements += gradient.size
                    if spec is None:
                        totals[layer] += gradient
                        continue
                    sent = learners[item][layer].step_real(gradient)
                    result.bits += sent.bits
                    totals[layer] += np.ldexp(sent.gradients.astype(np.float64), -spec.format.frac_bits)
                    if item == 0 and result.steps in RECORDED:
                        scaled = np.rint(np.ldexp(gradient, spec.format.frac_bits))
                        result.recorded[f"step{result.steps}_layer{layer}"] = scaled.astype(np.int16)
            for matrix, total in zip(weights, totals, strict=True):
                matrix -= RATE * total / LEARNERS
            result.steps += 1
    hidden = np.maximum(np.hstack([unseen, np.ones((len(unseen), 1))]) @ weights[0], 0)
    answers = (np.hstack([hidden, np.ones((len(unseen), 1))]) @ weights[1]).argmax(axis=1)
    result.accuracy = float((answers == unseen_labels).mean())
    return result


def main() -> int:
    """Train, print what compression does, and write gradients."""
    parser = argparse.ArgumentParser(description="Measures AdaComp on the gradients of a training run.")
    parser.add_argument("--output", type=Path, default=Path("build/gradients.npz"), help="default: %(default)s")
    options = parser.parse_args()
    table = Table("Bins of", "Accuracy", "Bits an element", "Compression")
    plain = train(None)
    table.add_row("not compressed", f"{plain.accuracy:.1%}", "32", "1")
    recorded: dict[str, NDArray[np.int16]] = {}
    for bin_ in BINS:
        run = train(CompressSpec("fix4.12", bin_))
        each = run.bits / run.elements
        table.add_row(str(bin_), f"{run.accuracy:.1%}", f"{each:.3f}", f"{32 / each:.1f}")
        recorded |= run.recorded if bin_ == BINS[0] else {}
    Console().print(table)
    options.output.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(options.output, allow_pickle=False, **recorded)
    print(f"{len(recorded)} layers' gradients, {options.output.stat().st_size} bytes: {options.output}")
    return 0


if __name__ == "__main__":
    run_program(main)
