"""A network on an arithmetic as a picture: accuracy over width, or the noise of each layer next to the formulas'."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from macgen.nn.results import Answers, Emulation, Run
from macgen.presentation.drawing import content, file_type_of, new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Of the Okabe-Ito palette; the marks differ too.
_COLOURS = ("#0072B2", "#D55E00", "#CC79A7", "#56B4E9")
_MARKS = "os^D"
_EXACT, _FLOAT = "#009E73", "#555555"
_LEAST = 1e-9
_LONGEST_NAME = 28


def draw_emulation(
    emulation: Emulation, suffix: str, *, title: str | None = None, planned: Sequence[int] = (), chance: float = 0.0
) -> bytes:
    """Draw an emulation: of sweeps accuracy (without labels, agreement with float32) and noise over the mantissa, else
    the noise of each layer in every run.

    Parameters:
        emulation: what `macgen.nn.emulate` returned.
        suffix: `.svg`, `.png` or `.pdf`.
        title: above a sweep; None: examples and operands.
        planned: mantissa bits that a plan has at most, one for each chunk length of a sweep, to be marked; a star is
            what the plan's own run is right in.
        chance: accuracy of the best constant guess, to be marked in a sweep; 0: not.

    Returns:
        The file's content.

    Raises:
        MacgenError: the suffix is another.
        ToolError: matplotlib is missing.
    """
    file_type = file_type_of(suffix)
    curves = _curves(emulation)
    height = 8 if curves else 2.2 + 0.3 * len(emulation.runs) + 0.28 * len(emulation.runs[0].layers)
    with new_figure(8, height) as figure:
        if curves:
            upper, lower = figure.subplots(2, 1, sharex=True)
            _draw_accuracy(upper, emulation, curves, planned, chance)
            _draw_noise(lower, curves)
            spec = emulation.exact.layers[0].spec
            upper.set_title(title or f"{emulation.examples} examples; operands {spec.a} x {spec.b}")
        else:
            _draw_layers(figure, emulation.runs)
        return content(figure, file_type)


def _curves(emulation: Emulation) -> dict[str, list[Run]]:
    """Return the runs of sweeps by what is the same in each."""
    found: dict[str, list[Run]] = {}
    for run in emulation.runs:
        if run.man_bits is not None:
            found.setdefault(run.label.partition(", ")[2], []).append(run)
    return found


def _share(answers: Answers) -> float:
    return answers.agreement if answers.accuracy is None else answers.accuracy


def _draw_accuracy(
    axes: "Axes", emulation: Emulation, curves: dict[str, list[Run]], planned: Sequence[int], chance: float
) -> None:
    for number, (name, runs) in enumerate(curves.items()):
        colour, mark = _COLOURS[number % len(_COLOURS)], _MARKS[number % len(_MARKS)]
        widths = [run.man_bits or 0 for run in runs]
        axes.plot(widths, [_share(run.answers) for run in runs], f"{mark}-", color=colour, label=name)
        if number < len(planned):
            # Two plans of the same width stand side by side.
            place = planned[number] + 0.04 * (number - (len(planned) - 1) / 2)
            axes.axvline(place, color=colour, linestyle=":", label=f"plan, {name}: up to {planned[number]} bits")
            # Its layers have accumulators of their own, most of them narrower: what comes of that is another point.
            by_plan = [_share(run.answers) for run in emulation.runs if run.label == f"plan, {name}"]
            axes.plot([place] * len(by_plan), by_plan, "*", color=colour, markersize=14, markeredgecolor="black")
    axes.axhline(_share(emulation.exact.answers), color=_EXACT, linestyle="--", label="exact sums of the same operands")
    axes.axhline(_share(emulation.float32), color=_FLOAT, linestyle="-.", linewidth=1, label="float32")
    if chance:
        axes.axhline(chance, color="#AAAAAA", linewidth=1, label="best constant guess")
    axes.set_xticks(sorted({run.man_bits or 0 for runs in curves.values() for run in runs}))
    axes.set_ylabel("agreement with float32" if emulation.float32.accuracy is None else "accuracy")
    axes.set_ylim(0, 1.02)
    axes.grid(alpha=0.3)
    axes.legend(loc="best", fontsize=9)


def _draw_noise(axes: "Axes", curves: dict[str, list[Run]]) -> None:
    """Draw the median NSR of the layers and the largest one, measured and predicted; without those that lose nothing.

    Sums with one product that is not zero, such as those of one-hot vectors, are exact on every accumulator.
    """
    for number, (name, runs) in enumerate(curves.items()):
        colour, mark = _COLOURS[number % len(_COLOURS)], _MARKS[number % len(_MARKS)]
        runs = [run for run in runs if any(layer.measured for layer in run.layers)]
        if not runs:
            continue
        widths = [run.man_bits or 0 for run in runs]
        measured = [[max(layer.measured, _LEAST) if layer.measured else np.nan for layer in run.layers] for run in runs]
        predicted = [[_predicted(layer) if layer.measured else np.nan for layer in run.layers] for run in runs]
        axes.semilogy(widths, np.nanmedian(measured, axis=1), f"{mark}-", color=colour, label=f"median layer, {name}")
        if not np.isnan(predicted).all():
            axes.semilogy(widths, np.nanmedian(predicted, axis=1), "--", color=colour, label=f"predicted, {name}")
        axes.fill_between(widths, np.nanmin(measured, axis=1), np.nanmax(measured, axis=1), color=colour, alpha=0.12)
    axes.set_ylabel("noise-to-signal ratio of sums")
    axes.set_xlabel("mantissa bits of the accumulator (shaded: all layers that lose anything)")
    axes.grid(alpha=0.3)
    if axes.lines:
        axes.legend(loc="best", fontsize=9)


def _predicted(layer: Any) -> float:
    return np.nan if layer.predicted is None else max(layer.predicted.nsr, _LEAST)


def _draw_layers(figure: "Figure", runs: Sequence[Run]) -> None:
    """Draw each run in a colour of its own, its marks beside those of the others."""
    axes = figure.subplots()
    names = [layer.name for layer in runs[0].layers]
    for number, run in enumerate(runs):
        colour = _COLOURS[number % len(_COLOURS)]
        places = np.arange(len(names)) + 0.6 * ((number + 0.5) / len(runs) - 0.5)
        what = "" if len(runs) == 1 else f", {run.label}"
        measured = [max(layer.measured, _LEAST) for layer in run.layers]
        axes.plot(measured, places, _MARKS[number % len(_MARKS)], color=colour, label=f"NSR measured{what}")
        predicted = [_predicted(layer) for layer in run.layers]
        bar: dict[str, Any] = {"markersize": 11 if len(runs) == 1 else 8, "markeredgewidth": 2}
        other = _COLOURS[1] if len(runs) == 1 else colour
        axes.plot(predicted, places, "|", color=other, label=f"NSR predicted{what}", **bar)
        alone = [np.nan if layer.alone_error is None else max(layer.alone_error, _LEAST) for layer in run.layers]
        if not np.isnan(alone).all():
            label = f"error of the result, this layer alone{what}"
            axes.plot(alone, places, "x", color=_FLOAT if len(runs) == 1 else colour, label=label)
    axes.set_xscale("log")
    axes.set_yticks(np.arange(len(names)), [_short(name) for name in names], fontsize=8)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.set_xlabel("noise-to-signal ratio")
    axes.set_title(runs[0].label if len(runs) == 1 else "Noise of each layer")
    axes.grid(alpha=0.3)
    figure.legend(loc="outside lower center", ncols=3 if len(runs) == 1 else 2, fontsize=9)


def _short(name: str) -> str:
    return name if len(name) <= _LONGEST_NAME else f"...{name[3 - _LONGEST_NAME :]}"
