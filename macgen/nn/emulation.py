"""A network on an arithmetic, over examples: in float32 first, then with exact sums, then as each spec computes it."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from macgen.errors import MacgenError, check_integer, shown
from macgen.network.measure import measure
from macgen.network.samples import Samples, load_samples
from macgen.nn.arithmetic import Float32, OnSpec, Products, Tally, Watched
from macgen.nn.model import Batch, EmulatedModel
from macgen.nn.record import Record
from macgen.nn.results import Answers, Emulation, LayerResult, Run
from macgen.nn.scaling import Per, ScaleKind, ScaleRule, Scales, check_signs, choose_scales
from macgen.nn.settings import Plans, Setting, Specs, make_settings
from macgen.version import __version__

Array = NDArray[Any]

Decide = Callable[[Array], Array]
"""Returns the answers of a batch's result: an array whose first axis counts examples."""

Progress = Callable[[int, int, str], None]
"""Told the steps done, all steps, and what is being done."""

ALONE_EXAMPLES = 16
ALONE_MACS = 1 << 30
"""Examples on which each layer runs alone: as many as have so many multiply-accumulates, up to 16."""


def emulate(
    model: str | Path,
    data: Samples | str | Path,
    *,
    spec: Specs = None,
    plan: Plans = None,
    labels: ArrayLike | None = None,
    sweep_mantissa: Collection[int] = (),
    scales: ScaleKind = "pow2",
    per: Per = "tensor",
    result: str | None = None,
    decide: Decide | None = None,
    batch: int | None = None,
    alone: int | None = None,
    threads: int | None = None,
    record: str | Path | None = None,
    progress: Progress = lambda done, steps, text: None,
) -> Emulation:
    """Run a network with every layer that the planner counts on an arithmetic, all else in float32 by onnxruntime.

    The network runs in float32 first, which gives the scales of all operands, then with operands in their formats and
    exact sums, then on each arithmetic. Layers get inputs as the narrow network computes them.

    Parameters:
        model: an ONNX file.
        data: its inputs, as `macgen.network.load_samples` reads them, or the file.
        spec: the arithmetic of all layers, or several, one run each; all with the same operands.
        plan: what `macgen plan --json` wrote of this model, or several: each layer on its own accumulator.
        labels: the right answers, of the shape of the answers.
        sweep_mantissa: with a spec, mantissa bits that its accumulator has instead, one run each.
        scales: of operands, see `ScaleKind`.
        per: `tensor`, or `channel` for a scale of each output channel of weights.
        result: name of the model's result that is compared; None: the first.
        decide: makes answers of a batch's result; a record knows it by those of the float32 run. None: truth values and
            int64, such as an ArgMax has, are answers themselves. Else it is the index of the largest value along the
            last axis; where that has one value or there is one axis, whether it is above one half, or the integer.
        batch: examples computed together; None: as many as memory suggests. With stochastic rounding, random numbers
            begin anew with each product of a batch.
        alone: examples on which each layer runs alone on the arithmetic, all others in float32, to see which hurts
            most; there, additions are counted too. At most those that are computed together; all of these, where the
            model fixes the batch. None: 1 to 16, as many as have 2**30 multiply-accumulates, and 0 of several
            arithmetics.
        threads: as for `macgen.emulate.matmul`.
        record: a file to which results are written as they come; if it is there, an interrupted run goes on.
        progress: told what is being done.

    Raises:
        MacgenError: an argument, the model or the data is refused, or a layer cannot be run.
        ToolError: a package is missing.
    """
    rule = ScaleRule(scales, per)
    samples = load_samples(data) if isinstance(data, (str, Path)) else data
    loaded = EmulatedModel(model, samples, batch=batch)
    settings = make_settings([layer.layer for layer in loaded.layers], spec, plan, sweep_mantissa)
    chosen = _result(loaded, result)
    right = None if labels is None else np.asarray(labels)
    if right is not None and right.dtype.kind == "f" and not np.isfinite(right).all():
        raise MacgenError("labels hold infinities or NaN; accepted are right answers")
    if alone is None:
        alone = 0 if len(settings) > 1 else max(1, min(ALONE_EXAMPLES, ALONE_MACS // loaded.macs))
    check_integer("alone", alone, 0)
    few = loaded.first(alone) if alone else None
    measure(model, loaded.batches[0].feed)  # in a process of its own: a damaged model may take it down
    run = _fingerprint(loaded, settings, rule, right, (chosen, alone))
    kept = Record(None if record is None else Path(record), run)
    try:
        return _Work(loaded, settings, rule, chosen, decide or _decide, right, few, threads, kept, progress).done()
    finally:
        kept.close()


def _result(model: EmulatedModel, result: str | None) -> str:
    if result is None:
        return model.outputs[0]
    if result not in model.outputs:
        raise MacgenError(f"result {shown(result)} is not one of model {model.name}'s: {shown(model.outputs, 300)}")
    return result


def _fingerprint(
    model: EmulatedModel,
    settings: Sequence[Setting],
    rule: ScaleRule,
    labels: Array | None,
    choices: tuple[object, ...],
) -> str:
    digest = hashlib.sha256(model.digest)
    for batch in model.batches:
        for name, x in sorted(batch.feed.items()):
            digest.update(f"{name} {x.dtype} {x.shape} {batch.rows}".encode())
            digest.update(np.ascontiguousarray(x).tobytes())
    if labels is not None:
        digest.update(f"{labels.dtype} {labels.shape}".encode() + np.ascontiguousarray(labels).tobytes())
    for setting in settings:
        digest.update("".join(spec.to_json() for spec in setting.specs).encode())
    digest.update(f"{__version__} {rule} {choices}".encode())
    return digest.hexdigest()


def _decide(result: Array) -> Array:
    """Return the answers of a result, as `emulate` says."""
    if _is_index(result):
        return np.asarray(result.argmax(axis=-1))
    values = result[..., 0] if result.ndim > 1 and result.shape[-1] == 1 else result
    return np.asarray(values if result.dtype.kind in "biu" else values > 0.5)


def _is_index(result: Array) -> bool:
    """Whether answers are indices along the last axis."""
    one = result.ndim < 2 or result.shape[-1] == 1
    return not (one or result.dtype.kind == "b" or result.dtype == np.int64)


def _check_kind(labels: Array, answers: Array, classes: int | None) -> None:
    """Refuse labels that no answer can equal.

    Parameters:
        labels: finite, or no numbers.
        answers: of a batch.
        classes: how many there are; None: not known.

    Raises:
        MacgenError: they are of another kind, or beyond the classes.
    """
    if labels.dtype.kind not in "biuf" or answers.dtype.kind not in "biuf":
        if labels.dtype.kind != answers.dtype.kind:
            raise MacgenError(f"labels are of type {labels.dtype}; accepted are such as the answers: {answers.dtype}")
        return
    if answers.dtype.kind == "f":
        return
    if answers.dtype.kind == "b":
        never, accepted = (labels != 0) & (labels != 1), "truth values, or 0 and 1"
    elif classes is None:
        never, accepted = labels != np.rint(labels.astype(np.float64)), "integers"
    else:
        values = labels.astype(np.float64)
        never = (values != np.rint(values)) | (values < 0) | (values >= classes)
        accepted = f"integers from 0 to {classes - 1}, indices along the result's last axis"
    if never.any():
        raise MacgenError(f"labels hold {shown(labels[never][0].item())}, which is no answer; accepted are {accepted}")


@dataclass(frozen=True)
class _Alone:
    """What a layer does that runs alone on its arithmetic.

    Attributes:
        error: of the network's result; None: it did not run alone.
        lost: values of the result that are infinite or NaN.
        counts: its additions.
    """

    error: float | None
    lost: int
    counts: Mapping[str, int]


class _Work:
    """One call of `emulate`: its pieces, each computed once and kept in the record."""

    def __init__(
        self,
        model: EmulatedModel,
        settings: Sequence[Setting],
        rule: ScaleRule,
        result: str,
        decide: Decide,
        labels: Array | None,
        few: Batch | None,
        threads: int | None,
        record: Record,
        progress: Progress,
    ) -> None:
        self._model = model
        self._settings = settings
        self._rule = rule
        self._result = result
        self._decide = decide
        self._labels = labels
        self._few = few
        self._threads = threads
        self._record = record
        self._progress = progress
        exact = Setting("exact sums", None, settings[0].specs, exact=True)
        self._all = [exact, *settings]
        layers = len(model.layers) if few else 0
        self._steps = len(model.batches) * (1 + len(self._all)) + layers * len(settings)
        self._done = 0
        self._float: list[Array] = []

    def done(self) -> Emulation:
        """Compute everything and return it."""
        seen = self._in_float32()
        runs = []
        for setting in self._all:
            scales = []
            layers = zip(self._model.layers, self._model.weights, setting.specs, seen, strict=True)
            for layer, weight, spec, each in layers:
                check_signs(layer.layer.name, spec, each)
                scales.append(choose_scales(spec, each, self._rule, weight is not None))
            runs.append(self._run(setting, scales))
        return Emulation(
            model=self._model.name,
            result=self._result,
            examples=self._model.examples,
            batch=max(batch.examples for batch in self._model.batches),
            alone_examples=0 if self._few is None else self._few.examples,
            scales=str(self._rule),
            float32=self._answers([self._piece_of(x, x, batch) for x, batch in self._float_results()]),
            exact=runs[0],
            runs=tuple(runs[1:]),
            passed_over=self._model.passed_over,
        )

    # -- pieces --------------------------------------------------------------------------------------------------------

    def _in_float32(self) -> list[Any]:
        layers = zip(self._model.layers, self._model.weights, strict=True)
        watched = [Watched(layer.layer.name, weight is not None) for layer, weight in layers]
        for number, batch in enumerate(self._model.batches):
            self._step("float32")
            results = self._model.run(batch.feed, watched)
            if number == 0:
                self._model.check_cut(batch.feed, results)
                self._check_labels(np.asarray(results[self._result]), batch)
            self._float.append(np.asarray(results[self._result]))
        if self._decide is not _decide:
            answers = repr([np.asarray(self._decide(result)).tolist() for result in self._float])
            self._record.check("answers in float32", hashlib.sha256(answers.encode()).hexdigest())
        for each in watched:
            if each.seen.result is None:
                raise MacgenError(
                    f"model {self._model.name} does not run all of its layers; accepted are models that do"
                )
        return [each.seen for each in watched]

    def _check_labels(self, result: Array, batch: Batch) -> None:
        if result.dtype.kind not in "biuf":
            raise MacgenError(
                f"result {shown(self._result)} of model {self._model.name} holds no numbers; accepted are results of "
                f"integers, floats and truth values"
            )
        answers, count = self._decide(result), batch.examples
        if answers.shape[:1] != (count,):
            raise MacgenError(
                f"result {shown(self._result)} of model {self._model.name} has the shape {result.shape} for {count} "
                f"examples; accepted are results whose first axis counts examples"
            )
        expected = (self._model.examples, *answers.shape[1:])
        if self._labels is not None and self._labels.shape != expected:
            raise MacgenError(
                f"labels have the shape {self._labels.shape}; accepted is {expected}, one for each answer"
            )
        if self._labels is not None:
            classes = result.shape[-1] if self._decide is _decide and _is_index(result) else None
            _check_kind(self._labels, answers, classes)

    def _run(self, setting: Setting, scales: Sequence[Scales]) -> Run:
        pieces = []
        for number, batch in enumerate(self._model.batches):
            self._step(setting.label)
            name = f"{setting.label}/{number}"
            piece = self._record.get(name)
            if piece is None:
                products = [self._products(index, setting, scales) for index in range(len(scales))]
                results = self._model.run(batch.feed, products)
                piece = self._piece_of(np.asarray(results[self._result]), self._float[number], batch)
                piece["layers"] = [asdict(each.tally) for each in products]
                self._record.put(name, piece)
            pieces.append(piece)
        alone = [_Alone(None, 0, {})] * len(scales)
        if self._few is not None and not setting.exact:
            alone = self._each_alone(self._few, setting, scales)
        layers = []
        for index, (layer, spec, own) in enumerate(zip(self._model.layers, setting.specs, alone, strict=True)):
            tally = Tally()
            for piece in pieces:
                tally.add(Tally(**piece["layers"][index]))
            layers.append(
                LayerResult(
                    name=layer.layer.name,
                    op=layer.layer.op,
                    spec=spec,
                    length=layer.layer.forward.length,
                    scales=(scales[index].a, float(scales[index].b.min()), float(scales[index].b.max())),
                    tally=tally,
                    alone_error=own.error,
                    alone_lost=own.lost,
                    counts=own.counts,
                )
            )
        return Run(
            label=setting.label,
            man_bits=setting.man_bits,
            exact=setting.exact,
            error=_ratio(sum(piece["error"] for piece in pieces), sum(piece["signal"] for piece in pieces)),
            lost=sum(piece["lost"] for piece in pieces),
            answers=self._answers(pieces),
            layers=tuple(layers),
        )

    def _products(self, index: int, setting: Setting, scales: Sequence[Scales], *, counts: bool = False) -> OnSpec:
        name, spec = self._model.layers[index].layer.name, setting.specs[index]
        return OnSpec(name, spec, scales[index], exact=setting.exact, counts=counts, threads=self._threads)

    def _each_alone(self, few: Batch, setting: Setting, scales: Sequence[Scales]) -> list[_Alone]:
        """Return what becomes of the network's result with only one layer on its arithmetic, for each layer."""
        kept: dict[str, Array] | None = None
        found: list[_Alone] = []
        for index in range(len(scales)):
            self._step(f"{setting.label}, layer {index + 1} alone")
            name = f"{setting.label}/alone/{index}"
            piece = self._record.get(name)
            if piece is None:
                products: list[Products] = [Float32()] * len(scales)
                if kept is None:
                    kept = self._model.run(few.feed, products, keep=True)
                reference = np.asarray(kept[self._result], np.float64)
                products[index] = own = self._products(index, setting, scales, counts=True)
                result = np.asarray(self._model.run(kept, products, first_layer=index)[self._result], np.float64)
                piece = {**_errors(result, reference), "counts": own.tally.counts}
                self._record.put(name, piece)
            found.append(_Alone(_ratio(piece["error"], piece["signal"]), piece["lost"], piece["counts"]))
        return found

    def _piece_of(self, result: Array, reference: Array, batch: Batch) -> dict[str, Any]:
        answers, expected = self._decide(result), self._decide(reference)
        right = None if self._labels is None else int(np.sum(answers == self._labels[batch.rows]))
        piece = _errors(np.asarray(result, np.float64), np.asarray(reference, np.float64))
        return {**piece, "counted": answers.size, "same": int(np.sum(answers == expected)), "right": right}

    def _float_results(self) -> list[tuple[Array, Batch]]:
        return list(zip(self._float, self._model.batches, strict=True))

    def _answers(self, pieces: Sequence[Mapping[str, Any]]) -> Answers:
        right = None if self._labels is None else sum(piece["right"] for piece in pieces)
        return Answers(sum(piece["counted"] for piece in pieces), sum(piece["same"] for piece in pieces), right)

    def _step(self, text: str) -> None:
        self._progress(self._done, self._steps, text)
        self._done += 1


def _errors(result: Array, reference: Array) -> dict[str, Any]:
    with np.errstate(all="ignore"):
        kept = np.isfinite(result) & np.isfinite(reference)
        wrong, signal = (result - reference)[kept], reference[kept]
    return {
        "error": float(np.square(wrong).sum()),
        "signal": float(np.square(signal).sum()),
        "lost": int(result.size - kept.sum()),
    }


def _ratio(error: float, signal: float) -> float:
    return 0.0 if error == 0 else error / signal if signal else math.inf
