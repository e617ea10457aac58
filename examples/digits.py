"""A digits classifier, trained in float32, computed by the generated Verilog with a 12-bit accumulator.

    python examples/digits.py --output build/digits

Trains a small network on scikit-learn's handwritten digits, quantises weights and activations to E5M2, builds an array
and runs both layers for every test image through its Verilog in simulation. The simulation compares each result and
flag with the golden model.
"""

import argparse
import time
import warnings
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier

import macgen
from macgen.bundle import build
from macgen.interrupts import run_program
from macgen.numerics import Format
from macgen.simulate.matmul import MatmulResult, run_matmul
from macgen.simulate.simulators import SimulatorChoice
from macgen.spec import MacSpec

SEED = 20260101
HIDDEN = 96

Matrix = NDArray[np.float64]


@dataclass(frozen=True)
class Layer:
    """A fully connected layer; the bias is the last row of the weights, met by a constant 1 after the inputs.

    Attributes:
        weights: (inputs + 1, outputs).
    """

    weights: Matrix

    def operands(self, inputs: Matrix) -> Matrix:
        """Return the inputs with the constant 1, (samples, inputs + 1)."""
        return np.hstack([inputs, np.ones((len(inputs), 1))])


def train() -> tuple[list[Layer], Matrix, NDArray[np.int64]]:
    """Return the layers of a trained network, and images and labels that it has not seen."""
    pixels, labels = load_digits(return_X_y=True)
    seen, unseen, seen_labels, unseen_labels = train_test_split(
        (pixels / 16).astype(np.float32), labels, test_size=0.25, random_state=SEED, stratify=labels
    )
    network = MLPClassifier((HIDDEN,), alpha=1e-3, max_iter=60, random_state=SEED)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # 60 epochs are enough here
        network.fit(seen, seen_labels)
    layers = [Layer(np.vstack([w, b])) for w, b in zip(network.coefs_, network.intercepts_, strict=True)]
    return layers, unseen, unseen_labels


def float32_classes(layers: list[Layer], images: Matrix) -> NDArray[np.int64]:
    """Return the classes that the network gives in float32."""
    x = images
    for index, layer in enumerate(layers):
        x = np.asarray(layer.operands(x).astype(np.float32) @ layer.weights.astype(np.float32))
        x = np.maximum(x, 0) if index < len(layers) - 1 else x
    return np.asarray(x.argmax(axis=1))


def codes(values: Matrix, fmt: Format) -> NDArray[np.unsignedinteger]:
    """Return values rounded to a format, as codes."""
    return np.asarray(fmt.encode(fmt.quantize(values)))


def hardware_classes(
    layers: list[Layer], images: Matrix, spec: MacSpec, bundle: Path, simulator: SimulatorChoice, console: Console
) -> tuple[NDArray[np.int64], list[MatmulResult]]:
    """Return the classes that the Verilog gives, and what was simulated for each layer."""
    x, runs = images, []
    for index, layer in enumerate(layers):
        a, b = codes(layer.operands(x), spec.a), codes(layer.weights, spec.b)
        with console.status(f"layer {index + 1}: {a.shape[0]} x {a.shape[1]} x {b.shape[1]} through the Verilog"):
            run = run_matmul(bundle, a, b, simulator=simulator)
        x = spec.acc.decode(run.codes)
        x = np.maximum(x, 0) if index < len(layers) - 1 else x
        runs.append(run)
    return np.asarray(x.argmax(axis=1)), runs


def main() -> int:
    """Train, build, simulate, and print the two accuracies."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--output", type=Path, default=Path("build/digits"), help="directory of the bundle")
    parser.add_argument("--simulator", default="auto", help="icarus, verilator or auto")
    parser.add_argument("--side", type=int, default=8, help="rows and columns of the array (default: %(default)s)")
    parser.add_argument("--images", type=int, help="how many of the 450 test images are computed (default: all)")
    parser.add_argument("--preset", default="default", help="preset that gives the formats and the chunk length")
    arguments = parser.parse_args()
    console = Console()

    spec = replace(macgen.presets[arguments.preset], rows=arguments.side, cols=arguments.side)
    with console.status("training"):
        layers, images, labels = train()
    images, labels = images[: arguments.images], labels[: arguments.images]
    build(spec, arguments.output, force=True)
    started = time.monotonic()
    classes, runs = hardware_classes(layers, images, spec, arguments.output, arguments.simulator, console)
    seconds = time.monotonic() - started

    layer_table = Table(title="Layers through the Verilog, every result and flag equal to the golden model's")
    for heading in ("layer", "products a sum", "sums", "tiles", "cycles", "comparisons", "simulator"):
        layer_table.add_column(heading, justify="left" if heading in ("layer", "simulator") else "right")
    for index, (layer, run) in enumerate(zip(layers, runs, strict=True)):
        cells = (len(layer.weights), run.codes.size, run.tiles, run.cycles, run.comparisons)
        layer_table.add_row(str(index + 1), *(f"{cell:,}" for cell in cells), run.simulator)
    console.print(layer_table)

    accuracy_table = Table(title=f"Digits: {len(labels)} test images, simulated in {seconds:.0f} s")
    for heading in ("arithmetic", "right", "accuracy"):
        accuracy_table.add_column(heading, justify="left" if heading == "arithmetic" else "right")
    hardware = f"{spec.a} x {spec.b} into {spec.acc} ({spec.acc.width} bits), chunk {spec.chunk}, in Verilog"
    for name, given in (("float32", float32_classes(layers, images)), (hardware, classes)):
        right = int((given == labels).sum())
        accuracy_table.add_row(name, str(right), f"{right / len(labels):.2%}")
    console.print(accuracy_table)
    return 0


if __name__ == "__main__":
    run_program(main)
