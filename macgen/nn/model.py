"""A model whose counted operations run on products of one's own, and the examples that it is given."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from macgen.errors import MacgenError, check_integer, shown, shown_path
from macgen.network.onnx_branches import take_branches
from macgen.network.onnx_file import load_external_data, read_model
from macgen.network.onnx_inputs import graph_inputs
from macgen.network.onnx_model import LayerNode, find_layers
from macgen.network.samples import Samples, count_of, fit_samples
from macgen.nn import operations
from macgen.nn.arithmetic import Products
from macgen.nn.cut_model import CutModel, run_whole

if TYPE_CHECKING:
    from onnx import ModelProto, NodeProto

Array = NDArray[Any]
Feed = Mapping[str, Array]

BATCH_VALUES = 1 << 25
"""Values of all tensors of one run together, from which the number of examples that are computed together follows."""

MOST_TOGETHER = 256

_TOLERANCE = 1e-3
"""Of the results' root mean square: how far the cut model may be from the whole one in float32."""

_DIFFERENT = 0.1
"""Share of integer results that may differ: near a tie, rounding goes to one of two integers, or an argmax moves."""


@dataclass(frozen=True)
class Batch:
    """Examples that are computed together.

    Attributes:
        rows: which of all examples.
        feed: the model's inputs.
    """

    rows: slice
    feed: Feed

    @property
    def examples(self) -> int:
        """Their number."""
        return int(self.rows.stop - self.rows.start)


class EmulatedModel:
    """An ONNX model that can be run with any products.

    Parameters:
        path: the file; weights in other files are read if these lie in its folder.
        samples: inputs as `load_samples` returns them; the shapes of all layers follow from them.
        batch: examples that are computed together; None: as many as memory suggests, up to 256.

    Attributes:
        name: how sentences call the model.
        layers: the layers in the order of computation, each with its node's operands.
        weights: which operand of each layer holds weights.
        passed_over: operations with multiply-accumulates, or of which it is not known, that stay in float32, and how
            often each occurs.
        batches: the examples.
        examples: their number.
        macs: multiply-accumulates of one example; of a batch, where the model fixes it.

    Raises:
        MacgenError: the file or the samples are refused, or a layer cannot run on an arithmetic.
        ToolError: a package is missing.
    """

    def __init__(self, path: str | Path, samples: Samples, *, batch: int | None = None) -> None:
        if batch is not None:
            check_integer("batch", batch, 1)
        model = read_model(path)
        self.name = shown_path(path)
        _, feeds = fit_samples(model, self.name, samples)
        one = _Slicer(model, feeds[0])
        first = feeds[0] if len(feeds) > 1 or not one.axes else one.part(slice(0, 1))
        inputs, _ = fit_samples(model, self.name, first)
        self._model = take_branches(model, self.name, inputs)
        found = find_layers(self._model, self.name, inputs)
        load_external_data(self._model, path)
        self.layers: Sequence[LayerNode] = found.nodes
        self.passed_over = {name: found.skipped[name] for name in (*found.uncounted, *found.unknown)}
        self._check_operations()
        self._of_node: dict[str, list[int]] = {}
        for index, layer in enumerate(self.layers):
            self._of_node.setdefault(layer.output, []).append(index)
        nodes = {output: node for node in self._model.graph.node for output in node.output}
        self.weights: Sequence[operations.Weight] = [
            weight
            for output in self._of_node
            for weight in operations.weights_of(nodes[output], found.tensors.constants)
        ]
        values = sum(count_of(found.tensors.shape(tensor)) for tensor in found.tensors.types)
        self._slice = one
        self.macs = sum(layer.layer.forward.macs for layer in self.layers)
        self.batches = _batches(feeds, one, batch or max(1, min(MOST_TOGETHER, BATCH_VALUES // max(values, 1))))
        self.examples = self.batches[-1].rows.stop
        self._cut = CutModel(self._model, self.name, self._of_node)

    @property
    def outputs(self) -> list[str]:
        """The names of the model's results."""
        return self._cut.outputs

    def run(
        self, feed: Feed, products: Sequence[Products], *, first_layer: int | None = None, keep: bool = False
    ) -> dict[str, Array]:
        """Return the model's results by name.

        Parameters:
            feed: the inputs; with a first layer, what a run with `keep` returned.
            products: of each layer.
            first_layer: the layer from which on anything can differ from the run that the feed is from.
            keep: whether what passed between the layers is returned too.

        Raises:
            MacgenError: onnxruntime refuses a part of the model, or an operation its inputs.
        """

        def compute(node: NodeProto, inputs: Sequence[Array | None]) -> Sequence[Array]:
            indices = self._of_node[next(output for output in node.output if output)]
            own = [products[index] for index in indices]
            weights = [self.weights[index] for index in indices]
            return operations.compute(node, inputs, own, weights, self._what(node, indices[0]))

        first = 0 if first_layer is None else self._cut.stage_of(self.layers[first_layer].output)
        return self._cut.run(feed, compute, first=first, keep=keep)

    @property
    def digest(self) -> bytes:
        """What tells the model from others: a hash of its graph and weights, wherever they are stored."""
        return hashlib.sha256(self._model.SerializeToString(deterministic=True)).digest()

    def first(self, count: int) -> Batch:
        """Return the first examples, at most a batch of them; just a batch, where the model fixes it."""
        batch = self.batches[0]
        if not self._slice.axes or count >= batch.examples:
            return batch
        return Batch(slice(0, count), self._slice.part(slice(0, count)))

    def check_cut(self, feed: Feed, results: Mapping[str, Array]) -> None:
        """Compare the results of a run in float32 with those of the whole model in onnxruntime.

        Raises:
            MacgenError: they differ by more than rounding.
        """
        whole = run_whole(self._model, self.name)(feed)
        for output, expected in whole.items():
            if not _agree(np.asarray(results[output]), np.asarray(expected)):
                raise MacgenError(
                    f"result {shown(output)} of model {self.name} is not what onnxruntime computes once the layers are "
                    f"taken out; accepted are models whose layers are ONNX's"
                )

    def _check_operations(self) -> None:
        nodes = {output: node for node in self._model.graph.node for output in node.output}
        for layer in self.layers:
            if (reason := operations.refusal(nodes[layer.output])) is not None:
                raise MacgenError(f"layer {shown(layer.layer.name)} of model {self.name} cannot be run: {reason}")

    def _what(self, node: NodeProto, index: int) -> str:
        return f"{node.op_type} {shown(self.layers[index].layer.name)} of model {self.name}"


def _agree(found: Array, expected: Array) -> bool:
    """Whether results of the cut model are those of the whole one but for rounding; of strings, it is not known."""
    if found.shape != expected.shape or expected.dtype.kind not in "biuf":
        return found.shape == expected.shape
    with np.errstate(invalid="ignore"):
        error = np.asarray(found, np.float64) - np.asarray(expected, np.float64)
    kept = np.isfinite(error)
    if not kept.any():
        return True
    if expected.dtype.kind in "biu":
        tie = expected.dtype.itemsize == 1 and expected.dtype.kind != "b"  # of a quantised result
        return bool(np.mean(np.abs(error) > tie) <= _DIFFERENT)
    size = np.sqrt(np.mean(np.square(expected[kept], dtype=np.float64)))
    return bool(np.sqrt(np.mean(error[kept] ** 2)) <= _TOLERANCE * size + 1e-6)


class _Slicer:
    """Which axes of a model's inputs count examples: those that are open under the name of the first one's."""

    def __init__(self, model: ModelProto, feed: Feed) -> None:
        self._feed = feed
        self.axes: dict[str, int] = {}
        inputs = graph_inputs(model)
        first = next((value for value in inputs if value.type.tensor_type.shape.dim), None)
        self.count = 1 if first is None else feed[first.name].shape[0]
        dim = None if first is None else first.type.tensor_type.shape.dim[0]
        if dim is None or (dim.HasField("dim_value") and dim.dim_value > 0):
            return
        symbol = "" if dim.dim_param in ("?", "-1") else dim.dim_param
        for value in inputs:
            for axis, other in enumerate(value.type.tensor_type.shape.dim):
                is_open = not other.HasField("dim_value") or other.dim_value <= 0
                same = other.dim_param == symbol if symbol else axis == 0
                if is_open and same and feed[value.name].shape[axis] == self.count:
                    self.axes.setdefault(value.name, axis)

    def part(self, rows: slice) -> Feed:
        """Return some examples."""
        return {
            name: x[(slice(None),) * self.axes[name] + (rows,)] if name in self.axes else x
            for name, x in self._feed.items()
        }


def _batches(feeds: Sequence[Feed], one: _Slicer, size: int) -> list[Batch]:
    if len(feeds) > 1 or not one.axes:
        return [Batch(slice(number * one.count, (number + 1) * one.count), feed) for number, feed in enumerate(feeds)]
    starts = range(0, one.count, size)
    return [Batch(slice(start, min(start + size, one.count)), one.part(slice(start, start + size))) for start in starts]
