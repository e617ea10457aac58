"""A network on an arithmetic as people read it: accuracy, then what each layer does."""

from rich.console import Console

from macgen.errors import significant
from macgen.nn.results import Answers, Emulation, LayerResult, Run
from macgen.presentation.tables import new_table, print_table

_LAYER_WIDTH = 24
_EVENTS = ("saturated", "flushed", "swamped")


def print_emulation(emulation: Emulation, console: Console) -> None:
    """Print the accuracy of every run, the layers of the last one, and what the figures mean."""
    _print_runs(emulation, console)
    for run in emulation.runs if len(emulation.runs) == 1 else ():
        console.print()
        _print_layers(run, console)
    for line in _conclusions(emulation):
        console.print(line)


def _print_runs(emulation: Emulation, console: Console) -> None:
    labelled = emulation.float32.right is not None
    table = new_table()
    table.add_column("Accumulator", overflow="fold")
    if labelled:
        table.add_column("Right", justify="right")
    table.add_column("As float32", justify="right")
    table.add_column("Result's error", justify="right")
    table.add_column("Hurts most", overflow="fold", min_width=_LAYER_WIDTH)
    table.add_row("float32", *([_right(emulation.float32)] if labelled else []), "", "", "")
    for run in (emulation.exact, *emulation.runs):
        worst = run.worst
        table.add_row(
            run.label,
            *([_right(run.answers)] if labelled else []),
            f"{run.answers.agreement:.1%}",
            significant(run.error, 2) + ("*" if run.lost else ""),
            "" if run.exact or worst is None else worst.name,
        )
    print_table(table, console, [table.columns[-1]])


def _right(answers: Answers) -> str:
    return f"{answers.accuracy:.1%}" if answers.accuracy is not None else "-"


def _print_layers(run: Run, console: Console) -> None:
    counted = any(layer.share(_EVENTS[0]) is not None for layer in run.layers)
    alone = any(layer.alone_error is not None for layer in run.layers)
    planned = len({layer.spec for layer in run.layers}) > 1
    table = new_table()
    table.add_column("Layer", overflow="fold", min_width=min(_LAYER_WIDTH, max(len(x.name) for x in run.layers)))
    if planned:
        table.add_column("Accumulator")
    table.add_column("Length", justify="right")
    table.add_column("Non-zero", justify="right")
    table.add_column("NSR", justify="right")
    table.add_column("predicted", justify="right")
    for event in _EVENTS if counted else ():
        table.add_column(event.capitalize(), justify="right")
    if alone:
        table.add_column("Alone", justify="right")
    for layer in run.layers:
        table.add_row(
            layer.name,
            *([str(layer.spec.acc)] if planned else []),
            f"{layer.length:,}",
            f"{layer.nonzero:.2f}",
            significant(layer.measured, 2) + ("*" if layer.tally.lost else ""),
            _predicted(layer),
            *([_share(layer.share(event)) for event in _EVENTS] if counted else []),
            *([significant(layer.alone_error or 0.0, 2) + ("*" if layer.alone_lost else "")] if alone else []),
        )
    print_table(table, console, [table.columns[-1]] if alone else [])


def _predicted(layer: LayerResult) -> str:
    predicted = layer.predicted
    if predicted is None:
        return "-"
    return significant(predicted.nsr, 2) + ("" if predicted.valid else "!")


def _share(share: float | None) -> str:
    return "-" if share is None else "0" if share == 0 else f"{share:.1%}" if share >= 0.001 else f"{share:.0e}"


def _how(worst: LayerResult, examples: int) -> str:
    if worst.alone_error is None:
        return (
            "the largest share of its sums is infinite or NaN" if worst.tally.lost else "its sums have the largest NSR"
        )
    does = (
        "makes the most values of the result infinite or NaN"
        if worst.alone_lost
        else "makes the largest error of the result"
    )
    return f"alone on its arithmetic, it {does} ({examples} examples)"


def _conclusions(emulation: Emulation) -> list[str]:
    spec = emulation.exact.layers[0].spec
    lines = [
        f"{emulation.examples} examples; operands {spec.a} x {spec.b}, scaled by {emulation.scales}; all but the "
        f"layers in float32.",
        "Exact sums: operands in their formats, nothing lost in sums. Result's error: squared differences from "
        "float32's result, over its squares.",
    ]
    runs = emulation.runs
    if len(runs) == 1:
        lines.append(
            "NSR: noise of the sums against exact sums of the same operands; predicted by the formulas of macgen plan."
        )
        if any((p := layer.predicted) is not None and not p.valid for layer in runs[0].layers):
            lines.append("!: beyond the range in which the formulas hold, 0.05.")
        if (worst := runs[0].worst) is not None:
            if runs[0].layers[0].counts:
                lines.append(
                    "Saturated, flushed, swamped: shares of additions; a swamped one leaves the accumulator as it was."
                )
            lines.append(f"Hurts most: {worst.name}; {_how(worst, emulation.alone_examples)}.")
    if any(run.lost or any(layer.tally.lost or layer.alone_lost for layer in run.layers) for run in runs):
        lines.append("*: without values that are infinite or NaN.")
    if emulation.passed_over:
        names = ", ".join(f"{count} {name}" for name, count in emulation.passed_over.items())
        lines.append(f"In float32, though they have or may have multiply-accumulates: {names}.")
    return lines
