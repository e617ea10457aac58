"""What a run of a network on an arithmetic comes to."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from macgen.nn.arithmetic import Tally
from macgen.nn.prediction import Prediction, predicted_nsr
from macgen.spec import MacSpec

SCHEMA = 1


@dataclass(frozen=True)
class Answers:
    """How the network's answers compare.

    Attributes:
        counted: answers.
        same: as in float32.
        right: by the labels; None: there are none.
    """

    counted: int
    same: int
    right: int | None

    @property
    def accuracy(self) -> float | None:
        """Share of right answers; None without labels."""
        return None if self.right is None else self.right / self.counted

    @property
    def agreement(self) -> float:
        """Share of answers that are those of float32."""
        return self.same / self.counted


@dataclass(frozen=True)
class LayerResult:
    """A layer on one arithmetic.

    Attributes:
        name: as the planner has it.
        op: its operation.
        spec: its arithmetic.
        length: products of its longest sum.
        scales: what its operands a were multiplied by, and b at least and at most.
        tally: what happened in it.
        alone_error: error of the network's result, over the result in float32, where only this layer runs on its
            arithmetic; None: not measured.
        alone_lost: values of the result that are infinite or NaN then; they are not in the error.
        counts: its additions there, and those that saturated, were flushed or swamped; empty: not counted.
    """

    name: str
    op: str
    spec: MacSpec
    length: int
    scales: tuple[float, float, float]
    tally: Tally
    alone_error: float | None
    alone_lost: int = 0
    counts: Mapping[str, int] = field(default_factory=dict)

    @property
    def nonzero(self) -> float:
        """Share of products that are not zero."""
        return self.tally.nonzero / self.tally.macs if self.tally.macs else 0.0

    @property
    def measured(self) -> float:
        """Noise-to-signal ratio of the sums: squared differences from the exact sums of the same operands, over those.

        Infinite where there is noise and no signal.
        """
        if self.tally.noise == 0:
            return 0.0
        return self.tally.noise / self.tally.signal if self.tally.signal else math.inf

    @property
    def predicted(self) -> Prediction | None:
        """What the formulas of `macgen.width` say with this share of products."""
        return predicted_nsr(self.spec, self.length, self.nonzero)

    def share(self, event: str) -> float | None:
        """Return the share of additions that saturated, were flushed or swamped; None where they were not counted."""
        additions = self.counts.get("additions", 0)
        return self.counts.get(event, 0) / additions if additions else None


@dataclass(frozen=True)
class Run:
    """The network on one arithmetic.

    Attributes:
        label: what is told apart by it: the accumulator, or `plan`.
        man_bits: mantissa bits of the accumulator in a sweep; None: no sweep.
        exact: whether sums were exact, so that only the operands' formats count.
        error: squared differences of the network's result from that in float32, over the squares of that one.
        lost: values of the result that are infinite or NaN; they are not in the error.
        answers: how the answers compare.
        layers: each layer.
    """

    label: str
    man_bits: int | None
    exact: bool
    error: float
    lost: int
    answers: Answers
    layers: tuple[LayerResult, ...]

    @property
    def worst(self) -> LayerResult | None:
        """The layer that hurts most: that loses most of the result alone, then by `alone_error`.

        Where no layer ran alone, that with the largest share of lost sums, then by their noise.
        """
        alone = [layer for layer in self.layers if layer.alone_error is not None]
        if alone:
            return max(alone, key=lambda layer: (layer.alone_lost, layer.alone_error))
        return max(self.layers, key=lambda layer: (layer.tally.lost_share, layer.measured), default=None)


@dataclass(frozen=True)
class Emulation:
    """A network in float32, with exact sums of narrow operands, and on each arithmetic.

    Attributes:
        model: the file's name.
        result: name of the result that is compared.
        examples: how many.
        batch: examples computed together at most.
        alone_examples: examples on which each layer ran alone; 0: none did.
        scales: how operands were scaled, in words.
        float32: its answers.
        exact: with operands in their formats and exact sums.
        runs: on each arithmetic.
        passed_over: operations with multiply-accumulates, or of which it is not known, that stayed in float32.
    """

    model: str
    result: str
    examples: int
    batch: int
    alone_examples: int
    scales: str
    float32: Answers
    exact: Run
    runs: tuple[Run, ...]
    passed_over: dict[str, int]

    def to_json(self) -> str:
        """Return all of it as a JSON text; what is infinite is null."""
        values = {
            "schema": SCHEMA,
            "model": self.model,
            "result": self.result,
            "examples": self.examples,
            "batch": self.batch,
            "alone_examples": self.alone_examples,
            "scales": self.scales,
            "float32": _answers(self.float32),
            "exact_sums": _run(self.exact),
            "runs": [_run(run) for run in self.runs],
            "in_float32": self.passed_over,
        }
        return json.dumps(values, indent=2, allow_nan=False) + "\n"


def _answers(answers: Answers) -> dict[str, Any]:
    return {
        "answers": answers.counted,
        "right": answers.right,
        "accuracy": answers.accuracy,
        "same_as_float32": answers.same,
        "agreement": answers.agreement,
    }


def _run(run: Run) -> dict[str, Any]:
    worst = run.worst
    return {
        "label": run.label,
        "man_bits": run.man_bits,
        "error": _finite(run.error),
        "lost": run.lost,
        **_answers(run.answers),
        "worst_layer": None if worst is None else worst.name,
        "layers": [_layer(layer) for layer in run.layers],
    }


def _layer(layer: LayerResult) -> dict[str, Any]:
    predicted = layer.predicted
    return {
        "layer": layer.name,
        "op": layer.op,
        "length": layer.length,
        "spec": layer.spec.to_dict(),
        "macs": layer.tally.macs,
        "nonzero": layer.nonzero,
        "nsr": _finite(layer.measured),
        "nsr_predicted": None if predicted is None else _finite(predicted.nsr),
        "prediction_valid": None if predicted is None else predicted.valid,
        "results": layer.tally.results,
        "lost": layer.tally.lost,
        "scales": dict(zip(("a", "b_least", "b_most"), map(_finite, layer.scales), strict=True)),
        "counts": dict(layer.counts),
        "alone_error": _finite(layer.alone_error),
        "alone_lost": None if layer.alone_error is None else layer.alone_lost,
    }


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None
