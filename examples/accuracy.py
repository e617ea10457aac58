"""Accuracy of trained networks over the width of the accumulator, with and without chunks, next to the plan.

    python examples/accuracy.py files direction recognition speech --output build/accuracy

Runs the network of each task in float32, with exact sums of narrow operands, and on accumulators of every mantissa
width, bit for bit as the hardware computes them. Each task gives a table (TASK.md), a picture (TASK.svg, TASK.png), all
figures (TASK.json), and what macgen emulate takes (TASK.npz, TASK-labels.npy, plans). What an interrupted run has
computed is not computed again.
"""

import argparse
import sys
import time
from pathlib import Path

import numpy as np
from accuracy_data import TASKS, Task
from rich.console import Console

import macgen
from macgen.errors import MacgenError, significant
from macgen.interrupts import run_program
from macgen.nn import Emulation, Run, emulate
from macgen.numerics import FloatFormat
from macgen.presentation.emulation_plot import draw_emulation
from macgen.width.network_plan import NetworkPlan
from macgen.width.nsr import VALID_BELOW

POINT = 0.01
"""By how much less often than exact sums an accumulator may be right that counts as wide enough."""


def plans(name: str, task: Task, options: argparse.Namespace) -> dict[Path, NetworkPlan]:
    """Return the plans of a task without chunks and with them, measured on a few examples, by their files."""
    few = options.output / f"{name}-few.npz"
    first = {key: x[: task.few] if len(x) == len(task.labels) else x for key, x in task.samples.items()}
    np.savez(few, allow_pickle=False, **first)
    found = {}
    for chunk in (None, options.chunk):
        plan = macgen.plan(task.model, data=few, only=["forward"], a=options.a, b=options.b, chunk=chunk)
        path = options.output / f"{name}-plan-{chunk or 'none'}.json"
        path.write_text(plan.to_json(), encoding="utf-8")
        found[path] = plan
    return found


def run(
    name: str, task: Task, planned: dict[Path, NetworkPlan], options: argparse.Namespace, console: Console
) -> Emulation:
    """Return the task's network on all accumulators, taken up where an earlier run stopped."""
    low, high = options.widths
    specs = [macgen.MacSpec(a=options.a, b=options.b, acc=f"e6m{high}", chunk=chunk) for chunk in (None, options.chunk)]
    begun = time.monotonic()
    with console.status(name) as status:

        def tell(done: int, steps: int, what: str) -> None:
            status.update(f"{name}: {what}, step {done} of {steps}, {time.monotonic() - begun:.0f} s")

        return emulate(
            task.model,
            task.samples,
            spec=specs,
            plan=list(planned),
            labels=task.labels,
            sweep_mantissa=range(low, high + 1),
            scales=options.scales,
            per=options.per,
            decide=task.decide,
            batch=task.batch,
            record=options.output / f"{name}.part",
            progress=tell,
        )


def widest_bits(plan: NetworkPlan) -> int:
    """Return the mantissa bits that do for all layers by a plan."""
    widest = plan.widest
    assert isinstance(widest, FloatFormat)
    return widest.man_bits


def table(task: Task, done: Emulation, planned: dict[Path, NetworkPlan]) -> str:
    """Return the figures of a task as a table in Markdown."""
    spec = done.exact.layers[0].spec
    lines = [
        f"{task.title}. Right: float32 {done.float32.accuracy:.1%}, exact sums of {spec.a} x {spec.b} operands "
        f"{done.exact.answers.accuracy:.1%}, best constant guess {task.chance:.1%}.",
        "",
        "| accumulator | right | as float32 | layers' NSR, median (predicted) | largest (predicted) |",
        "|---|---|---|---|---|",
    ]
    lines += [f"| {each.label} | {' | '.join(cells(each))} |" for each in done.runs]
    for plan in planned.values():
        chunk = "no chunks" if plan.goal.chunk is None else f"chunks of {plan.goal.chunk}"
        runs = [each for each in done.runs if each.man_bits is not None and each.label.endswith(chunk)]
        lines += [
            "",
            f"With {chunk}, the plan has {widest_bits(plan)} mantissa bits for the layer that needs most. "
            f"{enough(done.exact, runs)} {ratios(runs)}",
        ]
    return "\n".join(lines) + "\n"


def enough(exact: Run, runs: list[Run]) -> str:
    """Return a sentence on the narrowest accumulator that, as all wider ones, is about as often right as exact sums."""
    least = (exact.answers.accuracy or 0.0) - POINT
    bits = None
    for each in sorted(runs, key=lambda one: -(one.man_bits or 0)):
        if (each.answers.accuracy or 0.0) < least:
            break
        bits = each.man_bits
    start = "Within a point of exact sums"
    return f"{start} are {bits} bits and more." if bits is not None else f"{start} is none of these widths."


def ratios(runs: list[Run]) -> str:
    """Return a sentence on the measured NSR of layers over the predicted one, where the formulas are to hold."""
    pairs = [(layer.measured, layer.predicted) for each in runs for layer in each.layers]
    found = [one / other.nsr for one, other in pairs if one > 0 and other is not None and other.valid]
    if not found:
        return "No prediction is in the range in which the formulas hold."
    low, middle, high = (significant(float(value), 2) for value in np.percentile(found, [5, 50, 95]))
    return (
        f"Measured over predicted NSR, of {len(found)} layers and widths with at most {VALID_BELOW} predicted: median "
        f"{middle}, 5th to 95th percentile {low} to {high}."
    )


def cells(each: Run) -> list[str]:
    """Return what a table shows of a run; its NSR is that of layers that lose anything."""
    losing = [layer for layer in each.layers if layer.measured > 0]
    measured = [layer.measured for layer in losing] or [0.0]
    predicted = [layer.predicted.nsr for layer in losing if layer.predicted is not None] or [0.0]
    pairs = [(np.median(measured), np.median(predicted)), (max(measured), max(predicted))]
    return [
        f"{each.answers.accuracy:.1%}",
        f"{each.answers.agreement:.1%}",
        *(f"{significant(float(one), 2)} ({significant(float(other), 2)})" for one, other in pairs),
    ]


def main() -> int:
    """Run the tasks that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("tasks", nargs="+", choices=[*TASKS], help="which networks")
    parser.add_argument("--output", type=Path, default=Path("build/accuracy"), help="directory of what is made")
    counts = ", ".join(f"{name} {count}" for name, (_, count) in TASKS.items())
    parser.add_argument("--examples", type=int, help=f"how many (default: {counts})")
    parser.add_argument("--widths", type=int, nargs=2, default=(1, 8), help="mantissa bits from, to (default: 1 8)")
    parser.add_argument("--chunk", type=int, default=64, help="products a chunk (default: %(default)s)")
    parser.add_argument("--a", default="e4m3fn", help="format of the activations (default: %(default)s)")
    parser.add_argument("--b", default="e4m3fn", help="format of the weights (default: %(default)s)")
    parser.add_argument("--scales", default="pow2", help="pow2 or amax (default: %(default)s)")
    parser.add_argument("--per", default="tensor", help="tensor or channel (default: %(default)s)")
    options = parser.parse_args()
    options.output.mkdir(parents=True, exist_ok=True)
    console = Console()
    for name in options.tasks:
        make, count = TASKS[name]
        try:
            task = make(options.examples or count)
            np.savez(options.output / f"{name}.npz", allow_pickle=False, **task.samples)
            np.save(options.output / f"{name}-labels.npy", task.labels)
            planned = plans(name, task, options)
            done = run(name, task, planned, options, console)
        except MacgenError as error:
            print(f"accuracy.py: {name}: {error}", file=sys.stderr)
            return 2
        (options.output / f"{name}.json").write_text(done.to_json(), encoding="utf-8")
        text = table(task, done, planned)
        (options.output / f"{name}.md").write_text(text, encoding="utf-8")
        for suffix in (".svg", ".png"):
            bits = [widest_bits(plan) for plan in planned.values()]
            picture = draw_emulation(done, suffix, title=task.title, planned=bits, chance=task.chance)
            (options.output / name).with_suffix(suffix).write_bytes(picture)
        console.print(text, markup=False, highlight=False)
    return 0


if __name__ == "__main__":
    run_program(main)
