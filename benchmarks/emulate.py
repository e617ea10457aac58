"""How fast `emulate.matmul` is: GMAC/s of presets and other kinds, next to NumPy's float32 product and to APyTypes.

    python benchmarks/emulate.py [--size 512] [--repeats 7]

All ways take turns in one run, so that a busy machine slows them alike; the figures are medians of whole calls, the
check that operands lie on their grids included. "Per core-second" divides by the processor time of all threads instead:
on a busy machine it says what a quiet one would give per core. Seed 0. Needs the packages of the `test` extra.
"""

import os
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import apytypes as apy
import click
import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track
from rich.table import Table

import macgen
from macgen import MacSpec, emulate, golden, presets
from macgen.interrupts import run_program

BASELINE = "NumPy float32 A @ B (BLAS)"
PEER_SIZE, GOLDEN_SIZE = 96, 16
OTHER_SPECS = {
    "e4m3fn -> e6m5, sums rounded to odd": MacSpec(a="e4m3fn", b="e4m3fn", acc="e6m5", chunk=64),
    "e5m2 -> e6m9, rtz": MacSpec(a="e5m2", b="e5m2", acc="e6m9", chunk=64, rounding="rtz"),
    "e2m1finite -> fp32": MacSpec(a="e2m1finite", b="e2m1finite", acc="fp32", chunk=64),
    "int8 -> int20, saturating": MacSpec(a="int8", b="int8", acc="int20"),
    "4 lanes fused": MacSpec(a="e4m3fn", b="e4m3fn", acc="e6m9", lanes=4, chunk=64),
    "8 lanes tree": MacSpec(a="e5m2", b="e5m2", acc="e6m9", lanes=8, lane_sum="tree", chunk=64),
}

Matrix = NDArray[np.float64]


@dataclass
class Contestant:
    """One way to multiply, the number of its multiply-accumulates, and its calls' (wall, processor) seconds."""

    name: str
    macs: int
    call: Callable[[], object]
    times: list[tuple[float, float]]

    @property
    def speed(self) -> float:
        """Median GMAC/s."""
        return self.macs / statistics.median(wall for wall, _ in self.times) / 1e9

    @property
    def core_speed(self) -> float:
        """Median GMAC per second of processor time."""
        return self.macs / statistics.median(processor for _, processor in self.times) / 1e9


def operands(spec: MacSpec, size: int) -> tuple[Matrix, Matrix]:
    """Return two square matrices as layers have them: normally distributed, on the operands' grids."""
    rng = np.random.default_rng(0)
    scales = [1.0 if isinstance(fmt, macgen.FloatFormat) else fmt.max / 4 for fmt in (spec.a, spec.b)]
    a, b = (rng.standard_normal((size, size)) * scale for scale in scales)
    return spec.a.quantize(a), spec.b.quantize(b)


def contestants(size: int) -> list[Contestant]:
    """Return the baselines and every preset."""
    wang = presets["wang2018"]
    a, b = operands(wang, size)
    a32, b32 = a.astype(np.float32), b.astype(np.float32)
    few_a, few_b = (apy.APyFloatArray.from_float(x[:PEER_SIZE, :PEER_SIZE], 5, 2) for x in (a, b))
    codes_a, codes_b = (wang.a.encode(x[:GOLDEN_SIZE, :GOLDEN_SIZE]) for x in (a, b))

    def apytypes() -> object:
        with apy.APyFloatAccumulatorContext(6, 9, quantization=apy.QuantizationMode.TIES_EVEN):
            return few_a @ few_b

    entries = [
        Contestant(BASELINE, size**3, lambda: a32 @ b32, []),
        Contestant(f"APyTypes {apy.__version__}, e5m2 -> e6m9, no chunks", PEER_SIZE**3, apytypes, []),
        Contestant("golden.matmul, wang2018", GOLDEN_SIZE**3, lambda: golden.matmul(wang, codes_a, codes_b), []),
    ]
    for name, spec in {**presets, **OTHER_SPECS}.items():
        x, y = operands(spec, size)
        call = partial(emulate.matmul, spec, x, y)
        if spec.scale is not None:
            chunks = -(-size // (spec.chunk or size))
            call = partial(call, A_scales=np.ones((size, chunks)), B_scales=np.ones((chunks, size)))
        entries.append(Contestant(name, size**3, call, []))
    return entries


@click.command(help=__doc__)
@click.option("--size", default=512, show_default=True, type=click.IntRange(PEER_SIZE), help="M = K = N.")
@click.option("--repeats", default=7, show_default=True, type=click.IntRange(1), help="Calls of each way.")
def main(size: int, repeats: int) -> None:
    """Measure and print the table."""
    console = Console()
    entries = contestants(size)
    for entry in entries:
        entry.call()
    for _ in track(range(repeats), "measuring", console=console, transient=True, disable=not console.is_terminal):
        for entry in entries:
            wall, processor = time.perf_counter(), time.process_time()
            entry.call()
            entry.times.append((time.perf_counter() - wall, time.process_time() - processor))
    baseline, peer = entries[0].speed, entries[1].speed
    table = Table(
        title=f"{size} x {size} x {size}, {os.cpu_count()} processors, NumPy {np.__version__}, medians of {repeats}"
    )
    table.add_column("way")
    for heading in ("GMAC/s", "of float32 BLAS", "times APyTypes", "GMAC per core-second"):
        table.add_column(heading, justify="right")
    for entry in entries:
        ratios = f"{entry.speed / baseline:.2%}", f"{entry.speed / peer:.2g}"
        table.add_row(entry.name, f"{entry.speed:.3g}", *ratios, f"{entry.core_speed:.3g}")
    console.print(table)


if __name__ == "__main__":
    run_program(main)
