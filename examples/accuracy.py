"""Accuracy of trained networks over the width of the accumulator, with and without chunks, next to the plan.

    python examples/accuracy.py files direction recognition speech --output build/accuracy

Runs the network of each task in float32, with exact sums of narrow operands, and on accumulators of every mantissa
width, bit for bit as the hardware computes them. Each task gives a table (TASK.md), a picture (TASK.svg), all figures
(TASK-CHUNK.json), and what macgen emulate takes (TASK.npz, TASK-labels.npy). What an interrupted run has computed is
not computed again.
"""

import argparse
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from accuracy_data import TASKS, Task
from matplotlib.figure import Figure
from rich.console import Console

import macgen
from macgen.errors import MacgenError, significant
from macgen.nn import Emulation, Run, emulate
from macgen.numerics import FloatFormat
from macgen.width.network_plan import NetworkPlan

COLOURS = {None: "#0072B2", "chunks": "#D55E00"}  # of the Okabe-Ito palette


@dataclass(frozen=True)
class Curve:
    """A sweep of accumulators.

    Attributes:
        chunk: products a chunk; None: no chunks.
        sweep: accuracy at each width.
        planned: the plan for the whole network.
        by_plan: accuracy with each layer on its own planned accumulator.
    """

    chunk: int | None
    sweep: Emulation
    planned: NetworkPlan
    by_plan: Run

    @property
    def planned_bits(self) -> int:
        """Mantissa bits that do for all layers by the plan."""
        widest = self.planned.widest
        assert isinstance(widest, FloatFormat)
        return widest.man_bits

    @property
    def title(self) -> str:
        """How legends and tables call it."""
        return "no chunks" if self.chunk is None else f"chunks of {self.chunk}"


def curve(name: str, task: Task, chunk: int | None, options: argparse.Namespace, console: Console) -> Curve:
    """Return a sweep of one task, taken up where an earlier run stopped."""
    spec = macgen.MacSpec(a=options.a, b=options.b, acc=f"e6m{options.widths[1]}", chunk=chunk)
    where = options.output / f"{name}-{chunk or 'none'}"
    few = options.output / f"{name}-few.npz"
    only = {key: x[: task.few] if len(x) == len(task.labels) else x for key, x in task.samples.items()}
    np.savez(few, allow_pickle=False, **only)
    planned = macgen.plan(task.model, data=few, only=["forward"], a=options.a, b=options.b, chunk=chunk)
    plan = where.with_name(f"{where.name}-plan.json")
    plan.write_text(planned.to_json(), encoding="utf-8")
    shared = {
        "labels": task.labels, "decide": task.decide, "batch": task.batch, "scales": options.scales, "per": options.per
    }  # fmt: skip
    begun = time.monotonic()
    with console.status(f"{name}") as status:

        def tell(done: int, steps: int, what: str) -> None:
            status.update(f"{name}: {what}, step {done} of {steps}, {time.monotonic() - begun:.0f} s")

        low, high = options.widths
        sweep = emulate(
            task.model, task.samples, spec=spec, sweep_mantissa=range(low, high + 1),
            record=where.with_name(f"{where.name}.part"), progress=tell, **shared,
        )  # fmt: skip
        by_plan = emulate(
            task.model, task.samples, plan=plan, alone=0,
            record=where.with_name(f"{where.name}-plan.part"), progress=tell, **shared,
        )  # fmt: skip
    where.with_suffix(".json").write_text(sweep.to_json(), encoding="utf-8")
    return Curve(chunk, sweep, planned, by_plan.runs[0])


def largest(run: Run) -> tuple[float, float]:
    """Return the largest noise-to-signal ratio of a run's layers, measured and predicted."""
    predicted = [layer.predicted.nsr for layer in run.layers if layer.predicted is not None]
    return max(layer.measured for layer in run.layers), max(predicted)


def table(task: Task, curves: list[Curve]) -> str:
    """Return the figures of a task as a table in Markdown."""
    first = curves[0].sweep
    accuracy = [
        f"{answers.accuracy:.1%}" for answers in (first.float32, first.exact.answers) if answers.accuracy is not None
    ]
    lines = [
        f"{task.title}. Right: float32 {accuracy[0]}, exact sums of {first.exact.layers[0].spec.a} x "
        f"{first.exact.layers[0].spec.b} operands {accuracy[1]}, best constant guess {task.chance:.1%}.",
        "",
        "| mantissa | "
        + " | ".join(f"{item.title}: right | as float32 | largest NSR (predicted)" for item in curves)
        + " |",
        "|---|" + "---|" * 3 * len(curves),
    ]
    for runs in zip(*(reversed(item.sweep.runs) for item in curves), strict=True):
        cells = [str(runs[0].man_bits)]
        for run in runs:
            measured, predicted = (significant(value, 2) for value in largest(run))
            cells += [f"{run.answers.accuracy:.1%}", f"{run.answers.agreement:.1%}", f"{measured} ({predicted})"]
        lines.append("| " + " | ".join(cells) + " |")
    cells = ["plan, each layer"]
    for item in curves:
        measured, predicted = (significant(value, 2) for value in largest(item.by_plan))
        answers = item.by_plan.answers
        cells += [f"{answers.accuracy:.1%}", f"{answers.agreement:.1%}", f"{measured} ({predicted})"]
    lines.append("| " + " | ".join(cells) + " |")
    for item in curves:
        lines += ["", f"plan, {item.title}: {item.planned_bits} mantissa bits do for all layers."]
    return "\n".join(lines) + "\n"


def draw(task: Task, curves: list[Curve], path: Path) -> None:
    """Draw accuracy, and the layers' largest noise, over the mantissa's width."""
    import matplotlib as mpl

    with mpl.rc_context({"svg.hashsalt": "macgen", "svg.fonttype": "none", "font.size": 11}):
        figure = Figure(figsize=(8, 8), layout="constrained")
        upper, lower = figure.subplots(2, 1, sharex=True)
        for item, colour, mark in zip(curves, COLOURS.values(), "os", strict=True):
            bits = [run.man_bits or 0 for run in item.sweep.runs]
            upper.plot(
                bits, [run.answers.accuracy or 0 for run in item.sweep.runs], f"{mark}-", color=colour, label=item.title
            )
            upper.axvline(
                item.planned_bits, color=colour, linestyle=":", label=f"plan, {item.title}: {item.planned_bits} bits"
            )
            noise = [largest(run) for run in item.sweep.runs]
            lower.semilogy(bits, [x for x, _ in noise], f"{mark}-", color=colour, label=f"measured, {item.title}")
            lower.semilogy(bits, [x for _, x in noise], "--", color=colour, label=f"predicted, {item.title}")
        first = curves[0].sweep
        upper.axhline(first.exact.answers.accuracy or 0, color="#009E73", linestyle="--", label="exact sums")
        upper.axhline(first.float32.accuracy or 0, color="#555555", linestyle="-.", linewidth=1, label="float32")
        upper.axhline(task.chance, color="#AAAAAA", linewidth=1, label="best constant guess")
        spec = first.exact.layers[0].spec
        upper.set(ylabel="accuracy", ylim=(0, 1.02), title=f"{task.title}; operands {spec.a} x {spec.b}")
        lower.set(xlabel="mantissa bits of the accumulator", ylabel="largest noise-to-signal ratio of a layer")
        lower.set_xticks(bits)
        for axes in (upper, lower):
            axes.grid(alpha=0.3)
            axes.legend(loc="best", fontsize=9)
        metadata = {"Date": None} if path.suffix == ".svg" else None
        figure.savefig(path, dpi=100, metadata=metadata)


def main() -> int:
    """Run the tasks that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("tasks", nargs="+", choices=[*TASKS], help="which networks")
    parser.add_argument("--output", type=Path, default=Path("build/accuracy"), help="directory of what is made")
    parser.add_argument("--examples", type=int, help="how many (default: 600, 400, 100 and 2000)")
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
            curves = [curve(name, task, chunk, options, console) for chunk in (None, options.chunk)]
        except MacgenError as error:
            print(f"accuracy.py: {name}: {error}", file=sys.stderr)
            return 2
        text = table(task, curves)
        (options.output / f"{name}.md").write_text(text, encoding="utf-8")
        for suffix in (".svg", ".png"):
            draw(task, curves, (options.output / name).with_suffix(suffix))
        console.print(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
