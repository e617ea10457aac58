"""Sparsity and ranges of every layer's operands while the network computes sample inputs, in this very process."""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from macgen.errors import MacgenError, ToolError, shown, shown_path
from macgen.network.gemm import Network
from macgen.network.measurement import Measurement
from macgen.network.onnx_file import (
    STANDARD_DOMAINS,
    all_nodes,
    load_external_data,
    one_line,
    onnx_module,
    opset_versions,
    read_model,
)
from macgen.network.onnx_model import LayerNode, find_layers
from macgen.network.operand_figures import Gathered
from macgen.network.operand_views import views
from macgen.network.samples import Samples, count_of, fit_samples

if TYPE_CHECKING:
    from onnx import ModelProto

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
    seen = {node.layer.name: views(makers, found.tensors.shape, node) for node in found.nodes if node.exposed}
    each = dict.fromkeys(each for pair in seen.values() for view in pair for each in (view, view.codes))
    gathered = Gathered(model)
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
        if node.layer.name in seen:
            a, b = seen[node.layer.name]
            # By name, a is the activation operand wherever there are weights.
            measured = gathered.measurement(*((b, a) if node.weight == "a" else (a, b)))
            _check_finite(measured, node, name)
        layers.append(replace(node.layer.batched(inputs.repeat), measured=measured))
    return Network(
        Path(path).stem, inputs.batch * inputs.repeat, tuple(layers), found.skipped, found.uncounted, found.unknown
    )


def _check_finite(measured: Measurement, node: LayerNode, name: str) -> None:
    if not all(np.isfinite([x.rms, x.largest]).all() for x in (measured.a, measured.b)):
        raise MacgenError(
            f"layer {shown(node.layer.name)} of model {name} has operands that are infinite or NaN on the samples; "
            f"accepted are finite ones"
        )


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
