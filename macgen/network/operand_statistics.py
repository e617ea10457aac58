"""Sparsity and ranges of every layer's operands while the network computes sample inputs, in this very process."""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from macgen.errors import MacgenError, ToolError, shown, shown_path
from macgen.network.gemm import Measurement, Network, OperandStatistics
from macgen.network.onnx_file import (
    STANDARD_DOMAINS,
    all_nodes,
    attributes,
    load_external_data,
    one_line,
    onnx_module,
    opset_versions,
    read_model,
)
from macgen.network.onnx_model import LayerNode, find_layers
from macgen.network.operator_table import operator_key
from macgen.network.samples import Samples, count_of, fit_samples
from macgen.network.weight_sums import Outputs, sums_by_sign

if TYPE_CHECKING:
    from onnx import ModelProto, NodeProto

Engine = Literal["onnxruntime", "reference"]
"""What runs the network: onnxruntime, or the evaluator of the onnx package, which is slow and needs nothing else."""

ENGINES: tuple[Engine, ...] = get_args(Engine)

MAX_VALUES = 1 << 30
"""Elements of all tensors of one run together, because those of all layers are held at once."""

Array = NDArray[Any]


def measure_here(path: str | Path, samples: Samples, *, engine: Engine | None = None) -> Network:
    """Return what `macgen.network.measure` does, without its protection from what the engine may do.

    Parameters:
        path: as there.
        samples: as there.
        engine: as there.

    Raises:
        MacgenError: the file or the samples are refused, the network cannot be run, needs more than 2**30 values at
            once, or computes infinities or NaN.
        ToolError: the engine's package is missing.
    """
    if engine is not None and engine not in ENGINES:
        raise MacgenError(f"engine {shown(engine)} is not one of {', '.join(ENGINES)}")
    model = read_model(path)
    name = shown_path(path)
    inputs, feeds = fit_samples(model, name, samples)
    found = find_layers(model, name, inputs)
    values = sum(count_of(found.tensors.shape(tensor)) for tensor in found.tensors.types)
    if values > MAX_VALUES:
        raise MacgenError(
            f"model {name} has tensors of {values} values on the samples; accepted are at most {MAX_VALUES}, so "
            f"give fewer or smaller examples"
        )
    load_external_data(model, path)
    makers = {output: node for node in model.graph.node for output in node.output}
    views = {node.layer.name: _views(makers, node) for node in found.nodes if node.exposed}
    each = dict.fromkeys(view for pair in views.values() for view in pair)
    gathered = _Gathered(model)
    wanted = {tensor for view in each for tensor in (view.tensor, view.zero) if tensor}
    computed = sorted(wanted & set(makers))
    run = _runner(model, name, computed, engine)
    for number, feed in enumerate(feeds):
        tensors = {**feed, **dict(zip(computed, run(feed), strict=True))}
        for view in each:
            if number == 0 or view.tensor not in found.tensors.constants:
                gathered.add(view, tensors)
    layers = []
    for node in found.nodes:
        measured = None
        if node.layer.name in views:
            a, b = views[node.layer.name]
            weight = {"a": a, "b": b}.get(node.weight or "")
            # By name, a is the activation operand wherever there are weights.
            left, right = (b, a) if node.weight == "a" else (a, b)
            measured = Measurement(
                _checked(gathered.statistics(left), node, name),
                _checked(gathered.statistics(right), node, name),
                *((None, None) if weight is None else gathered.weight_sums(weight)),
            )
        layers.append(replace(node.layer.batched(inputs.repeat), measured=measured))
    return Network(
        Path(path).stem, inputs.batch * inputs.repeat, tuple(layers), found.skipped, found.uncounted, found.unknown
    )


def _checked(statistics: OperandStatistics, node: LayerNode, name: str) -> OperandStatistics:
    if not np.isfinite(statistics.rms) or not np.isfinite(statistics.largest):
        raise MacgenError(
            f"layer {shown(node.layer.name)} of model {name} has operands that are infinite or NaN on the samples; "
            f"accepted are finite ones"
        )
    return statistics


# -- which tensors -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _View:
    """A tensor as a layer's multipliers see it.

    Attributes:
        tensor: its name.
        zero: name of its zero point; empty: none.
        zero_axis: the axis along which a zero point of one dimension runs.
        outputs: of weights, which of them each output sums; None: activations.
    """

    tensor: str
    zero: str
    zero_axis: int
    outputs: Outputs | None


def _views(makers: Mapping[str, NodeProto], node: LayerNode) -> tuple[_View, _View]:
    """Return how a layer sees its operands: the integers, if both come from DequantizeLinear."""
    conv = "Conv" in node.layer.op
    zero_axes = (1, 0) if conv else (-2, -1)
    if node.weight == "b" and isinstance(node.outputs, tuple) and node.outputs:  # one zero point for each output
        zero_axes = (zero_axes[0], node.outputs[-1])
    pair = [
        _View(tensor, zero, axis, node.outputs if node.weight == which else None)
        for which, tensor, zero, axis in zip("ab", node.operands, node.zeros, zero_axes, strict=True)
    ]
    origins = [_dequantized(makers.get(view.tensor)) for view in pair]
    if all(origin is not None for origin in origins):
        for index, origin in enumerate(origins):
            assert origin is not None
            zero = origin.input[2] if len(origin.input) > 2 else ""
            axis = attributes(origin).get("axis", 1)
            pair[index] = replace(pair[index], tensor=origin.input[0], zero=zero, zero_axis=axis)
    return pair[0], pair[1]


def _dequantized(maker: NodeProto | None) -> NodeProto | None:
    """Return the node that makes a tensor if it is a DequantizeLinear that does not work in blocks."""
    if maker is None or operator_key(maker) not in ("DequantizeLinear", "com.microsoft::DequantizeLinear"):
        return None
    return None if attributes(maker).get("block_size") else maker


# -- what they hold ------------------------------------------------------------------------------------------------


@dataclass
class _Sums:
    """Figures of one view over all runs."""

    count: int = 0
    nonzero: int = 0
    largest: float = 0.0
    smallest: float = float("inf")
    squares: float = 0.0
    dtype: str = ""
    l1: int | None = None
    negative: int = 0
    positive: int = 0


class _Gathered:
    """Figures of all views.

    Parameters:
        model: the model; its initializers are read.
    """

    def __init__(self, model: ModelProto) -> None:
        self._weights = {tensor.name: tensor for tensor in model.graph.initializer}
        self._sums: dict[_View, _Sums] = {}

    def add(self, view: _View, tensors: Mapping[str, Array]) -> None:
        """Take in a view's values of one run."""
        sums = self._sums.setdefault(view, _Sums())
        x = self._values(view.tensor, tensors)
        sums.dtype = x.dtype.name
        integer = sums.dtype.startswith(("int", "uint"))
        x = x.astype(np.int64 if integer else np.float64)
        if view.zero:
            zero = self._values(view.zero, tensors).astype(x.dtype)
            if zero.ndim == 1 and zero.size > 1 and x.ndim > 1:
                zero = np.moveaxis(zero.reshape((1,) * (x.ndim - 1) + (-1,)), -1, view.zero_axis)
            x = x - (zero.reshape(()) if zero.size == 1 else zero)
        magnitudes = np.abs(x)
        nonzero = magnitudes[magnitudes != 0]
        sums.count += x.size
        sums.nonzero += nonzero.size
        if nonzero.size:
            sums.largest = max(sums.largest, float(nonzero.max()))
            sums.smallest = min(sums.smallest, float(nonzero.min()))
            with np.errstate(over="ignore"):
                sums.squares += float(np.square(nonzero.astype(np.float64)).sum())
        if integer and view.outputs is not None:
            negative, positive = sums_by_sign(x, view.outputs)
            sums.l1 = max(sums.l1 or 0, int((negative + positive).max()))
            sums.negative = max(sums.negative, int(negative.max()))
            sums.positive = max(sums.positive, int(positive.max()))

    def statistics(self, view: _View) -> OperandStatistics:
        """Return a view's figures over all runs."""
        sums = self._sums[view]
        return OperandStatistics(
            nonzero=sums.nonzero / sums.count,
            largest=sums.largest,
            smallest=sums.smallest if sums.nonzero else 0.0,
            rms=float(np.sqrt(sums.squares / sums.count)),
            dtype=sums.dtype,
        )

    def weight_sums(self, view: _View) -> tuple[int | None, tuple[int, int] | None]:
        """Return `weight_l1` and `weight_range` of a `Measurement`."""
        sums = self._sums[view]
        return sums.l1, None if sums.l1 is None else (sums.negative, sums.positive)

    def _values(self, name: str, tensors: Mapping[str, Array]) -> Array:
        if name in tensors:
            return np.asarray(tensors[name])
        try:
            return np.asarray(onnx_module("onnx.numpy_helper").to_array(self._weights[name]))
        except Exception:  # by type and kind of damage: ValueError, TypeError, KeyError, ...
            raise MacgenError(
                f"weight {shown(name)} has no readable values; accepted are dense weights that are complete"
            ) from None


# -- running -------------------------------------------------------------------------------------------------------


def _runner(
    model: ModelProto, name: str, outputs: list[str], engine: Engine | None
) -> Callable[[Mapping[str, Array]], list[Any]]:
    """Return a function that runs a model on inputs by name and gives the named tensors; the model is changed."""
    onnx = onnx_module()
    wanted = list(outputs) or [next(output for output in model.graph.node[-1].output if output)]
    del model.graph.output[:]
    del model.graph.value_info[:]  # sizes of the batch that the file was exported for
    model.graph.output.extend(onnx.ValueInfoProto(name=tensor) for tensor in wanted)
    if engine is None:
        engine = "onnxruntime" if importlib.util.find_spec("onnxruntime") is not None else "reference"

    @contextlib.contextmanager
    def refused() -> Iterator[None]:
        try:
            with np.errstate(all="ignore"):
                yield
        except MemoryError:
            raise MacgenError(f"model {name} needs more memory than there is; accepted are fewer examples") from None
        except Exception as error:  # the engines raise what their operations raise
            raise MacgenError(f"model {name} cannot be run by {engine}: {one_line(error)}") from None

    if engine == "onnxruntime":
        try:
            runtime: Any = importlib.import_module("onnxruntime")
        except ImportError:
            raise ToolError("the package onnxruntime, which runs models, is missing: pip install onnxruntime") from None
        options = runtime.SessionOptions()
        options.log_severity_level = 4
        options.graph_optimization_level = runtime.GraphOptimizationLevel.ORT_DISABLE_ALL  # keeps every tensor
        with refused():
            session = runtime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    else:
        _settle_batch_norm(model)
        with refused():
            session = onnx_module("onnx.reference").ReferenceEvaluator(model)

    def run(feed: Mapping[str, Array]) -> list[Any]:
        with refused():
            results: list[Any] = session.run(wanted, dict(feed))
        return results if outputs else []

    return run


def _settle_batch_norm(model: ModelProto) -> None:
    """Make the reference evaluator compute batch normalisation as inference where it does not.

    Before operator set 14, one output means inference; the evaluator (onnx 1.23) goes by attributes instead.
    """
    version = opset_versions(model)[""]
    make_attribute = onnx_module("onnx.helper").make_attribute
    for node in all_nodes(model.graph):
        if node.op_type == "BatchNormalization" and node.domain in STANDARD_DOMAINS and version < 14:
            kept = [item for item in node.attribute if item.name not in ("momentum", "is_test")]
            if len([output for output in node.output if output]) == 1:
                # With a momentum of 1, the running mean and variance that it normalises by stay the given ones.
                kept.append(make_attribute("momentum", 1.0) if version >= 9 else make_attribute("is_test", 1))
                del node.attribute[:]
                node.attribute.extend(kept)
