"""How many bits: macgen's figures next to reference figures, and how long they take.

    python benchmarks/widths.py [--quick] [--trials 4000]

The references of the variance retention ratio are the formulas of arXiv 1901.06588 (Lemma 1 and Theorem 1), recomputed
term by term by another program, and the widths of its table as others quote them. Those of the accumulators are own
measurements by another program on other random operands, 2000 to 4000 trials. Products have 5 mantissa bits, as of E5M2
times E5M2: normally distributed e6m5 operands times one. Seed 1 everywhere.
"""

import os
import platform
import subprocess
import sys
import time
from dataclasses import dataclass

import click
import numpy as np
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

import macgen
from macgen import MacSpec
from macgen.interrupts import run_program
from macgen.network.gemm import Kind
from macgen.network.papers import paper_network
from macgen.width import monte_carlo, nsr, truncation, variance
from macgen.width.goal import Goal
from macgen.width.network_plan import plan_network

PRODUCT_BITS, CHUNK, SEED = 5, 64, 1
FORWARD: tuple[Kind, ...] = ("forward",)
LONG = 16384

VRR = {
    (4, 64): 0.96494622,
    (5, 256): 0.95983711,
    (6, 576): 0.99116739,
    (6, 1024): 0.94529047,
    (7, 1152): 0.99788910,
    (7, 4096): 0.92169089,
    (8, 4608): 0.99886711,
    (8, 16384): 0.89263995,
    (9, 16384): 0.99944346,
    (10, 65536): 0.99964244,
}
VRR_FULL_SWAMPING = {(6, 576): 0.93860046, (7, 1152): 0.99821657, (8, 4608): 0.99326331}
LN_V = {(6, 576): 5.0876, (7, 1152): 2.4318, (8, 4608): 5.2203}
KNEES = {3: 33, 4: 76, 5: 196, 6: 534, 7: 1486, 8: 3919, 9: 10160, 10: 26560}
PRINTED_WIDTHS = {"conv0": (9, 6), "block1": (7, 5), "block2": (8, 5), "block3": (8, 5), "block4": (9, 6)}
"""Of the paper's table, ResNet-18, forward: mantissa bits without chunks and with chunks of 64."""


@dataclass(frozen=True)
class Measured:
    """Reference measurements of one accumulator: variance kept and noise, by rounding."""

    n: int
    m_acc: int
    rne: tuple[float, float]
    drop: tuple[float, float]
    rtz_vrr: float


MEASURED = (
    Measured(256, 4, (0.973, 2.2e-2), (0.713, 6.8e-2), 0.094),
    Measured(1024, 5, (0.956, 2.3e-2), (0.735, 6.1e-2), 0.046),
    Measured(4096, 6, (0.963, 2.2e-2), (0.735, 6.1e-2), 0.025),
    Measured(16384, 7, (0.988, 2.2e-2), (0.725, 6.3e-2), 0.013),
    Measured(1024, 6, (0.991, 5.7e-3), (0.839, 2.0e-2), 0.099),
    Measured(4096, 8, (0.996, 1.5e-3), (0.917, 5.0e-3), 0.117),
)
CLOSED_FORM = (
    (256, 4, None),
    (256, 6, None),
    (1024, 6, None),
    (4096, 7, None),
    (16384, 8, None),
    (1024, 4, 32),
    (4608, 5, 16),
    (4608, 5, 64),
    (4608, 5, 256),
    (16384, 5, 128),
)
TABLE_SCRIPT = """
from macgen.network.papers import paper_network
from macgen.width.network_plan import plan_network
from macgen.width.goal import Goal
plan_network(paper_network("resnet18", 256), Goal(chunk=64))
"""


def simulate(n: int, m_acc: int, rounding: str, chunk: int | None, trials: int) -> monte_carlo.Estimate:
    """Return what the bit-exact accumulator does to products with 5 mantissa bits; its exponent is wide enough."""
    spec = MacSpec(a=f"e6m{PRODUCT_BITS}", b="e2m1", acc=f"e8m{m_acc}", rounding=rounding, chunk=chunk)
    return monte_carlo.simulate(spec, n, trials=trials, seed=SEED, samples=(None, [1.0]))


def table(title: str, *headings: str) -> Table:
    """Return an empty table of right-aligned figures."""
    result = Table(title=title)
    for heading in headings:
        result.add_column(heading, justify="right")
    return result


def vrr_table() -> Table:
    """Return the retention ratios next to the reference's."""
    result = table("Variance retention ratio, products of 5 mantissa bits", "what", "m_acc", "n", "reference", "macgen")
    result.add_column("difference", justify="right")
    for what, references, digits in (("VRR", VRR, 8), ("VRR, lemma 1", VRR_FULL_SWAMPING, 8), ("ln v", LN_V, 4)):
        for (m_acc, n), reference in references.items():
            if what == "VRR":
                value = variance.vrr(m_acc, PRODUCT_BITS, n)
            elif what == "ln v":
                value = variance.ln_v(m_acc, PRODUCT_BITS, n)
            else:
                value = variance.vrr_full_swamping(m_acc, n)
            figures = f"{reference:.{digits}f}", f"{value:.{digits}f}", f"{value - reference:+.0e}"
            result.add_row(what, str(m_acc), str(n), *figures)
    for m_acc, reference in KNEES.items():
        knee = variance.knee(m_acc, PRODUCT_BITS)
        result.add_row("largest n, v < 50", str(m_acc), "", str(reference), str(knee), f"{knee - reference:+d}")
    return result


def width_table() -> Table:
    """Return the widths of ResNet-18's forward GEMMs next to those that the paper prints."""
    planned = plan_network(paper_network("resnet18", 256), Goal(chunk=CHUNK), kinds=FORWARD)
    title = f"ResNet-18, forward, mantissa bits by VRR: no chunks / chunks of {CHUNK}"
    result = table(title, "layers", "longest sum", "arXiv 1901.06588's table", "macgen", "difference")
    for name, printed in PRINTED_WIDTHS.items():
        rows = [row for row in planned.rows if row.layer.startswith(name)]
        answers = [[row.plan.answer("vrr", chunk) for row in rows] for chunk in (None, CHUNK)]
        widths = [max(item.man_bits or 0 for item in column if item is not None) for column in answers]
        differences = (f"{ours - theirs:+d}" for ours, theirs in zip(widths, printed, strict=True))
        longest = max(row.gemm.length for row in rows)
        figures = "{} / {}".format(*printed), "{} / {}".format(*widths), " / ".join(differences)
        result.add_row(name, str(longest), *figures)
    return result


def rounding_table(trials: int, quick: bool, bar: Progress) -> Table:
    """Return what the three roundings keep, each figure with the reference's in parentheses."""
    headings = "VRR formula", "rne: VRR", "rne: NSR", "drop: VRR", "drop: NSR", "rtz: VRR", "rtz: closed form"
    result = table(f"Bit-exact accumulators (reference), {trials} trials", "n", "m_acc", *headings)
    rows = [row for row in MEASURED if not (quick and row.n >= LONG)]
    for row in bar.track(rows, description="roundings"):
        found = {name: simulate(row.n, row.m_acc, name, None, trials) for name in ("rne", "drop", "rtz")}
        cells = [f"{variance.vrr(row.m_acc, PRODUCT_BITS, row.n):.3f}"]
        for estimate, (vrr, noise) in ((found["rne"], row.rne), (found["drop"], row.drop)):
            cells += [f"{estimate.vrr.value:.3f} ({vrr:.3f})", f"{estimate.nsr.value:.1e} ({noise:.1e})"]
        cells += [f"{found['rtz'].vrr.value:.3f} ({row.rtz_vrr:.3f})", f"{truncation.vrr(row.n, row.m_acc):.3f}"]
        result.add_row(str(row.n), str(row.m_acc), *cells)
    return result


def noise_table(trials: int, quick: bool, bar: Progress) -> Table:
    """Return the closed form of the rounding noise next to the bit-exact accumulator's."""
    headings = "rounding", "n", "chunk", "m_acc", "closed form", "measured", "95 % interval", "difference"
    result = table(f"Noise-to-signal ratio, {trials} trials", *headings)
    cases = [case for case in CLOSED_FORM if not (quick and case[0] >= LONG)]
    pairs = [(rounding, *case) for rounding in ("rne", "stochastic:16") for case in cases]
    for rounding, n, m_acc, chunk in bar.track(pairs, description="noise"):
        closed = nsr.estimate(n, m_acc, rounding, chunk).nsr
        found = simulate(n, m_acc, rounding, chunk, trials).nsr
        interval = f"{found.low:.2e} to {found.high:.2e}"
        figures = f"{closed:.2e}", f"{found.value:.2e}", interval, f"{found.value / closed - 1:+.0%}"
        result.add_row(rounding, str(n), str(chunk or "none"), str(m_acc), *figures)
    return result


def time_table() -> Table:
    """Return how long a table of a network and a Monte Carlo run take."""
    result = table("Time", "what", "seconds", "to be under")
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", TABLE_SCRIPT], check=True)
    taken = time.perf_counter() - start
    result.add_row("plans of all of ResNet-18, batch 256, in a new process", f"{taken:.2f}", "2")
    goal = Goal(chunk=CHUNK)
    spec = plan_network(paper_network("resnet18", 256), goal, kinds=FORWARD).rows[-1].plan.spec()
    start = time.perf_counter()
    monte_carlo.simulate(spec, 4096, trials=4000, seed=SEED)
    taken = time.perf_counter() - start
    what = f"Monte Carlo, 4000 trials, n = 4096, {spec.a} x {spec.b} -> {spec.acc}, chunks of {CHUNK}"
    result.add_row(what, f"{taken:.2f}", "30")
    return result


@click.command(help=__doc__)
@click.option("--quick", is_flag=True, help=f"Leave out simulated sums of {LONG} products and more.")
@click.option("--trials", default=4000, show_default=True, type=click.IntRange(2), help="Sums of each figure.")
def main(quick: bool, trials: int) -> None:
    """Compute and print the tables."""
    console = Console()
    versions = f"NumPy {np.__version__}, Python {platform.python_version()}"
    console.print(f"macgen {macgen.__version__}, {versions}, {os.cpu_count()} processors, seed {SEED}")
    console.print(vrr_table())
    console.print(width_table())
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
        tables = rounding_table(trials, quick, bar), noise_table(trials, quick, bar)
    console.print(*tables, time_table(), sep="\n")


if __name__ == "__main__":
    run_program(main)
