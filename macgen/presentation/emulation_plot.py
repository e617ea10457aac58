"""A network on an arithmetic as a picture: accuracy over width, or the noise of each layer next to the formulas'."""

import io
from typing import TYPE_CHECKING, Any

import numpy as np

from macgen.errors import MacgenError, ToolError, shown
from macgen.nn.results import Answers, Emulation, Run

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FILE_TYPES = ("svg", "png", "pdf")

# Of the Okabe-Ito palette; the marks differ too.
_MEASURED, _PREDICTED, _EXACT, _FLOAT = "#0072B2", "#D55E00", "#009E73", "#555555"
_LEAST = 1e-9
_LONGEST_NAME = 28


def figure_type(suffix: str) -> "tuple[str, type[Figure]]":
    """Return the type of a picture's file, and what draws it.

    Raises:
        MacgenError: the type is none of `FILE_TYPES`.
        ToolError: matplotlib is missing.
    """
    file_type = suffix.removeprefix(".").lower()
    if file_type not in FILE_TYPES:
        raise MacgenError(f"plot has the suffix {shown(suffix)}; accepted are .{', .'.join(FILE_TYPES)}")
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise ToolError("matplotlib is missing: --plot needs it; install it with pip install 'macgen[plot]'") from None
    return file_type, Figure


def draw_emulation(emulation: Emulation, suffix: str) -> bytes:
    """Draw an emulation: of a sweep accuracy (without labels, agreement with float32) and noise over the mantissa,
    else the noise of each layer.

    Parameters:
        emulation: what `macgen.nn.emulate` returned.
        suffix: `.svg`, `.png` or `.pdf`.

    Returns:
        The file's content.

    Raises:
        MacgenError: the suffix is another.
        ToolError: matplotlib is missing.
    """
    file_type, figure_class = figure_type(suffix)
    import matplotlib as mpl

    with mpl.rc_context({"svg.hashsalt": "macgen", "svg.fonttype": "none", "font.size": 11}):
        sweep = all(run.man_bits is not None for run in emulation.runs)
        if sweep:
            figure = figure_class(figsize=(8, 8), layout="constrained")
            upper, lower = figure.subplots(2, 1)
            _draw_accuracy(upper, emulation)
            _draw_sweep(lower, emulation)
        else:
            (run,) = emulation.runs
            figure = figure_class(figsize=(8, 2.5 + 0.28 * len(run.layers)), layout="constrained")
            _draw_layers(figure.subplots(), run)
        buffer = io.BytesIO()
        no_date: dict[str, Any] = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}.get(file_type, {})
        figure.savefig(buffer, format=file_type, dpi=100, metadata=no_date)
    return buffer.getvalue()


def share(answers: Answers) -> float:
    """Return the accuracy or, without labels, the agreement with float32."""
    return answers.agreement if answers.accuracy is None else answers.accuracy


def _draw_accuracy(axes: "Axes", emulation: Emulation) -> None:
    widths = [run.man_bits or 0 for run in emulation.runs]
    axes.plot(widths, [share(run.answers) for run in emulation.runs], "o-", color=_MEASURED, label="on the accumulator")
    axes.axhline(share(emulation.exact.answers), color=_EXACT, linestyle="--", label="exact sums of the same operands")
    axes.axhline(share(emulation.float32), color=_FLOAT, linestyle=":", label="float32")
    axes.set_ylabel("agreement with float32" if emulation.float32.accuracy is None else "accuracy")
    axes.set_ylim(0, 1.02)
    axes.set_title(f"{emulation.examples} examples; operands {_operands(emulation)}")
    _finish(axes, widths)


def _draw_sweep(axes: "Axes", emulation: Emulation) -> None:
    """Draw the largest NSR of all layers, measured and predicted."""
    widths = [run.man_bits or 0 for run in emulation.runs]
    measured = [max((layer.measured for layer in run.layers), default=0.0) for run in emulation.runs]
    predicted = [
        max((p.nsr for x in run.layers if (p := x.predicted) is not None), default=np.nan) for run in emulation.runs
    ]
    errors = [run.error for run in emulation.runs]
    axes.semilogy(widths, np.maximum(measured, _LEAST), "o-", color=_MEASURED, label="largest NSR of a layer, measured")
    axes.semilogy(widths, np.maximum(predicted, _LEAST), "s--", color=_PREDICTED, label="the same, predicted")
    axes.semilogy(widths, np.maximum(errors, _LEAST), "^:", color=_FLOAT, label="error of the network's result")
    axes.set_ylabel("noise-to-signal ratio")
    _finish(axes, widths)


def _finish(axes: "Axes", widths: list[int]) -> None:
    axes.set_xlabel("mantissa bits of the accumulator")
    axes.set_xticks(widths)
    axes.grid(alpha=0.3)
    axes.legend(loc="best")


def _operands(emulation: Emulation) -> str:
    spec = emulation.exact.layers[0].spec
    return f"{spec.a} x {spec.b}"


def _draw_layers(axes: "Axes", run: Run) -> None:
    places = np.arange(len(run.layers))
    axes.plot([max(layer.measured, _LEAST) for layer in run.layers], places, "o", color=_MEASURED, label="NSR measured")
    predicted = [np.nan if (p := layer.predicted) is None else max(p.nsr, _LEAST) for layer in run.layers]
    axes.plot(predicted, places, "|", markersize=11, markeredgewidth=2, color=_PREDICTED, label="NSR predicted")
    alone = [np.nan if layer.alone_error is None else max(layer.alone_error, _LEAST) for layer in run.layers]
    if not np.isnan(alone).all():
        axes.plot(alone, places, "^", color=_FLOAT, label="error of the result, this layer alone")
    axes.set_xscale("log")
    axes.set_yticks(places, [_short(layer.name) for layer in run.layers], fontsize=8)
    axes.set_ylim(len(places) - 0.5, -0.5)
    axes.set_xlabel("noise-to-signal ratio")
    axes.set_title(run.label)
    axes.grid(alpha=0.3)
    figure = axes.get_figure(root=True)
    assert figure is not None
    figure.legend(loc="outside lower center", ncols=3, fontsize=9)


def _short(name: str) -> str:
    return name if len(name) <= _LONGEST_NAME else f"...{name[3 - _LONGEST_NAME :]}"
