"""How fast `emulate.matmul` is: whole calls beside NumPy's float32 product and APyTypes, against the targets.

    OPENBLAS_THREAD_TIMEOUT=4 python benchmarks/emulate.py [--repeats 9] [--threads 2] [--no-layers]

The variable has the threads of NumPy's OpenBLAS sleep when they have nothing to do. By default they wait busily for
2^26 cycles after each product. That is longer than a call takes here, and with two threads it halves the speed of
whatever is measured next.

Shapes are 256 x 1024 x 256 and the convolutions of a ResNet-18 block of each width, as matrix products. Operands are
float32 or int8 arrays, as a network has them; a call checks that they lie on their grids. All ways take turns in one
run, so that a busy machine slows them alike; the figures are medians. "Per core-second" divides by the processor time
of all threads: on a busy machine it says what a quiet one would give per core, and its ratio to float32 BLAS does not
depend on who else is at work. Monte Carlo is the trials of `macgen.width`, with and without kernels. First calls are
those of a fresh process, with an empty and with a filled cache folder; later ones follow in the same process, and the
difference is what a first call costs. Seed 0. Needs the packages of the `test` extra.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any
from unittest import mock

import apytypes as apy
import click
import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track
from rich.table import Table

import macgen
from macgen import MacSpec, emulate, presets
from macgen.emulate import exact, vectors
from macgen.interrupts import run_program
from macgen.width import monte_carlo

TRIED = "wang2018"
PEER_SIZE = 96
SQUARE = (256, 1024, 256)
LAYERS = {  # (output positions, products, output channels) of one image
    "64 channels, 56 x 56": (3136, 576, 64),
    "128 channels, 28 x 28": (784, 1152, 128),
    "256 channels, 14 x 14": (196, 2304, 256),
    "512 channels, 7 x 7": (49, 4608, 512),
}

Matrix = NDArray[Any]


@dataclass(frozen=True)
class Class:
    """A class of specs with its targets: least shares of float32 BLAS and multiples of APyTypes."""

    name: str
    spec: MacSpec
    of_blas: float | None = None
    of_peer: float | None = None


CLASSES = [
    Class("rne, 6 bits: default", presets["default"], 1 / 5, 200),
    Class("rne, 10 bits: wang2018", presets["wang2018"], 1 / 5, 200),
    Class("fp32 of bf16", presets["bf16-fp32"], 1 / 1.5, 500),
    Class("fp32 of fp16", presets["fp16-fp32"], 1 / 1.5, 500),
    Class("int8-int32, wraps", presets["int8-int32"], 1, 1000),
    Class("lanes aligned by exponents: hopper-e4m3", presets["hopper-e4m3"], 1 / 6),
    Class("the same: hopper-fp16", presets["hopper-fp16"]),
    Class("the same into FP16: hopper-fp16-fp16", presets["hopper-fp16-fp16"]),
    Class("the same with scales of lanes: blackwell-nvfp4", presets["blackwell-nvfp4"]),
    Class("rtz", MacSpec(a="e5m2", b="e5m2", acc="e6m9", chunk=64, rounding="rtz"), 1 / 12, 80),
    Class("rtz, rounded products: lba-m7e4", presets["lba-m7e4"], 1 / 12, 80),
    Class("stochastic: sr-e6m5", presets["sr-e6m5"], 1 / 12, 80),
    Class("fp16 into fp16", presets["fp16"], 1 / 16),
    Class("scales: mxfp8", presets["mxfp8"], 1 / 10),
    Class("scales: nvfp4", presets["nvfp4"], 1 / 10),
    Class("Kulisch e4m3", presets["kulisch-e4m3"], 1 / 5),
    Class("odd: e4m3fn into e6m5", MacSpec(a="e4m3fn", b="e4m3fn", acc="e6m5", chunk=64)),
    Class("drop", MacSpec(a="e5m2", b="e5m2", acc="e6m9", chunk=64, rounding="drop")),
    Class("4 lanes fused", MacSpec(a="e4m3fn", b="e4m3fn", acc="e6m9", lanes=4, chunk=64)),
    Class("8 lanes tree", MacSpec(a="e5m2", b="e5m2", acc="e6m9", lanes=8, lane_sum="tree", chunk=64)),
    Class("fixed point: gupta2015", presets["gupta2015"]),
]


@dataclass
class Contestant:
    """One way to multiply, the number of its multiply-accumulates, and its calls' (wall, processor) seconds."""

    name: str
    macs: int
    call: Callable[[], object]
    times: list[tuple[float, float]] = field(default_factory=list)

    def measure(self) -> None:
        """Call once."""
        wall, processor = time.perf_counter(), time.process_time()
        self.call()
        self.times.append((time.perf_counter() - wall, time.process_time() - processor))

    @property
    def speed(self) -> float:
        """Median GMAC/s."""
        return self.macs / statistics.median(wall for wall, _ in self.times) / 1e9

    @property
    def core_speed(self) -> float:
        """Median GMAC per second of processor time."""
        return self.macs / statistics.median(processor for _, processor in self.times) / 1e9


def operands(spec: MacSpec, shape: tuple[int, int, int]) -> tuple[Matrix, Matrix, dict[str, Any]]:
    """Return normally distributed operands on their grids, and scales around 1."""
    rng = np.random.default_rng(0)
    rows, length, columns = shape
    sides = ((spec.a, (rows, length)), (spec.b, (length, columns)))
    values = []
    for fmt, size in sides:
        largest = 1.0 if isinstance(fmt, macgen.FloatFormat) else fmt.max / 4
        x = fmt.quantize(rng.standard_normal(size) * largest)
        values.append(x.astype(np.int8 if str(fmt) == "int8" else np.float32))
    if spec.scale is None:
        return values[0], values[1], {}
    count = spec.scale_count(length)
    scales = (np.exp2(rng.integers(-2, 3, size)) for size in ((rows, count), (count, columns)))
    return values[0], values[1], dict(zip(("A_scales", "B_scales"), scales, strict=True))


def blas(shape: tuple[int, int, int]) -> Contestant:
    """Return NumPy's float32 product."""
    rng = np.random.default_rng(0)
    a = rng.standard_normal(shape[:2], np.float32)
    b = rng.standard_normal(shape[1:], np.float32)
    return Contestant("float32 BLAS", int(np.prod(shape)), lambda: a @ b)


def peer() -> Contestant:
    """Return APyTypes' accumulator context."""
    few = [
        apy.APyFloatArray.from_float(x[:PEER_SIZE, :PEER_SIZE], 5, 2) for x in operands(presets["wang2018"], SQUARE)[:2]
    ]

    def call() -> object:
        with apy.APyFloatAccumulatorContext(6, 9, quantization=apy.QuantizationMode.TIES_EVEN):
            return few[0] @ few[1]

    return Contestant(f"APyTypes {apy.__version__}", PEER_SIZE**3, call)


def contestants(shape: tuple[int, int, int], threads: int) -> list[Contestant]:
    """Return all classes."""

    def entry(some: Class) -> Contestant:
        a, b, scales = operands(some.spec, shape)
        return Contestant(some.name, int(np.prod(shape)), lambda: emulate.matmul(some.spec, a, b, threads, **scales))

    return [entry(some) for some in CLASSES]


def first_calls(name: str) -> list[tuple[float, float]]:
    """Return the seconds of a class' first and later calls with an empty cache folder, and with a filled one."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, __file__, "--first", name]
        environment = {**os.environ, "XDG_CACHE_HOME": folder}
        runs = (subprocess.run(command, env=environment, capture_output=True, check=True, text=True) for _ in range(6))
        empty, *filled = (tuple(json.loads(run.stdout)) for run in runs)
        return [
            empty,
            (statistics.median(first for first, _ in filled), statistics.median(later for _, later in filled)),
        ]


def without_compiler(call: Callable[[], object]) -> None:
    """Call as where there is no compiler."""
    with (
        mock.patch.object(vectors, "available", return_value=False),
        mock.patch.object(exact, "kernel", return_value=None),
    ):
        call()


def trials(repeats: int) -> Table:
    """Return the seconds of `width.simulate` as `macgen plan --monte-carlo` calls it, compiled and in NumPy."""
    table = Table(title=f"4000 sums of 1024 products of {TRIED}, processor seconds, medians of {repeats}")
    for heading in ("operands", "compiled", "NumPy", "ratio"):
        table.add_column(heading, justify="right" if heading != "operands" else "left")
    values = np.random.default_rng(0).normal(size=1 << 16)
    for name, samples in (("drawn from samples, as plan does", (values, values)), ("normally distributed", None)):

        def call(samples: tuple[Matrix, Matrix] | None = samples) -> object:
            return monte_carlo.simulate(presets[TRIED], 1024, trials=4000, samples=samples)

        ways = Contestant("compiled", 1, call), Contestant("NumPy", 1, partial(without_compiler, call))
        call()
        for _ in range(repeats):
            for way in ways:
                way.measure()
        seconds = [statistics.median(processor for _, processor in way.times) for way in ways]
        table.add_row(name, *(f"{some:.3f}" for some in seconds), f"{seconds[1] / seconds[0]:.1f}")
    return table


def table_of(title: str, baseline: Contestant, other: Contestant, entries: list[Contestant]) -> Table:
    """Return the figures beside the targets."""
    table = Table(title=title)
    table.add_column("class")
    for heading in ("GMAC/s", "of BLAS", "per core", "of BLAS per core", "target", "x APyTypes", "target"):
        table.add_column(heading, justify="right")
    for entry in (baseline, other):
        table.add_row(entry.name, f"{entry.speed:.3g}", "", f"{entry.core_speed:.3g}")
    for some, entry in zip(CLASSES, entries, strict=True):
        table.add_row(
            some.name,
            f"{entry.speed:.3g}",
            f"1/{baseline.speed / entry.speed:.2f}",
            f"{entry.core_speed:.3g}",
            f"1/{baseline.core_speed / entry.core_speed:.2f}",
            f"1/{1 / some.of_blas:.3g}" if some.of_blas else "",
            f"{entry.core_speed / other.core_speed:.0f}",
            f"{some.of_peer:.0f}" if some.of_peer else "",
        )
    return table


@click.command(help=__doc__)
@click.option("--repeats", default=9, show_default=True, type=click.IntRange(1), help="Calls of each way.")
@click.option("--threads", default=2, show_default=True, type=click.IntRange(1), help="Threads of each call.")
@click.option("--layers/--no-layers", default=True, show_default=True, help="Also the layers of ResNet-18.")
@click.option("--first", hidden=True, help="Print the seconds of a class' first call.")
def main(repeats: int, threads: int, layers: bool, first: str | None) -> None:
    """Measure and print the tables."""
    if first is not None:
        (spec,) = (some.spec for some in CLASSES if some.name == first)
        a, b, scales = operands(spec, SQUARE)
        calls = Contestant(first, 1, lambda: emulate.matmul(spec, a, b, **scales))
        for _ in range(6):
            calls.measure()
        walls = [wall for wall, _ in calls.times]
        print(json.dumps([walls[0], statistics.median(walls[1:])]))
        return
    console = Console(width=120 if not sys.stdout.isatty() else None)
    for name, shape in {"": SQUARE, **(LAYERS if layers else {})}.items():
        baseline, other, entries = blas(shape), peer(), contestants(shape, threads)
        everyone = [baseline, other, *entries]
        for entry in everyone:
            entry.call()
        for _ in track(range(repeats), "measuring", console=console, transient=True, disable=not console.is_terminal):
            for entry in everyone:
                entry.measure()
        title = f"{' x '.join(map(str, shape))} {name}, {threads} threads, medians of {repeats}"
        console.print(table_of(title, baseline, other, entries))
    console.print(trials(repeats))
    table = Table(title=f"first calls, {' x '.join(map(str, SQUARE))}, milliseconds")
    for heading in ("class", "empty cache folder", "filled", "later calls", "filled less later"):
        table.add_column(heading, justify="right" if heading != "class" else "left")
    for some in CLASSES[:7]:
        (empty, _), (filled, later) = first_calls(some.name)
        table.add_row(some.name, *(f"{1e3 * seconds:.1f}" for seconds in (empty, filled, later, filled - later)))
    console.print(table)


if __name__ == "__main__":
    run_program(main)
