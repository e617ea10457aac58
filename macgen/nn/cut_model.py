"""A model cut at the nodes that run on the arithmetic; what lies between them is run in float32 by onnxruntime."""

from __future__ import annotations

import contextlib
import importlib
import os
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from macgen.errors import MacgenError, ToolError, shown
from macgen.network.onnx_file import one_line, onnx_module, subgraphs

if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto, NodeProto, ValueInfoProto

Array = NDArray[Any]

Compute = Callable[["NodeProto", Sequence[Array | None]], Sequence[Array]]
"""Computes a node that stands apart: its inputs (None: left out), its results."""


@dataclass
class _Stage:
    """What can be computed one after the other: a part of the graph, then the nodes that stand apart.

    Attributes:
        nodes: of the part, in the order of computation.
        apart: the nodes after it.
        takes: tensors that the part takes from before.
        gives: tensors that it makes for others.
        done: tensors that nothing needs after this stage.
    """

    nodes: list[NodeProto] = field(default_factory=list)
    apart: list[NodeProto] = field(default_factory=list)
    takes: list[str] = field(default_factory=list)
    gives: list[str] = field(default_factory=list)
    done: list[str] = field(default_factory=list)


class CutModel:
    """A model whose named nodes are computed by a function, all others by onnxruntime.

    A node's stage is the number of apart nodes that the longest path to it passes; so the graph has as few parts as it
    can have.

    Parameters:
        model: as `read_model` returns it, its external data read; not changed.
        name: how sentences call it.
        apart: the first result of each node that stands apart, by which it is known.

    Raises:
        ToolError: the package onnxruntime is missing.
    """

    def __init__(self, model: ModelProto, name: str, apart: Collection[str]) -> None:
        self._model = model
        self._name = name
        self._runtime = _onnxruntime()
        self._weights = {tensor.name: tensor for tensor in model.graph.initializer}
        self._sparse = {sparse.values.name: sparse for sparse in model.graph.sparse_initializer}
        self._values: dict[str, Array] = {}
        self._sessions: dict[int, Any] = {}
        self.outputs = [value.name for value in model.graph.output]
        self._stages = self._cut(set(apart))
        self._stage_of = {
            next(output for output in node.output if output): number
            for number, stage in enumerate(self._stages)
            for node in stage.apart
        }

    def stage_of(self, output: str) -> int:
        """Return the stage of the apart node with this first result."""
        return self._stage_of[output]

    def run(
        self,
        feed: Mapping[str, Array],
        compute: Compute,
        *,
        first: int = 0,
        keep: bool = False,
    ) -> dict[str, Array]:
        """Return the model's results by name.

        Parameters:
            feed: the inputs; with `first`, what a run with `keep` returned.
            compute: computes the nodes that stand apart.
            first: the stage whose apart nodes are computed first; what comes before is taken from the feed.
            keep: whether all tensors that passed between stages are returned too.

        Raises:
            MacgenError: onnxruntime refuses a part, or `compute` a node.
        """
        tensors = dict(feed)
        for number, stage in enumerate(self._stages[first:], start=first):
            if number > first or first == 0:
                self._run_part(number, stage, tensors)
            for node in stage.apart:
                inputs = [self._tensor(source, tensors) if source else None for source in node.input]
                results = compute(node, inputs)
                tensors.update((output, x) for output, x in zip(node.output, results, strict=False) if output)
            if not keep:
                for tensor in stage.done:
                    tensors.pop(tensor, None)
        return tensors if keep else {output: self._tensor(output, tensors) for output in self.outputs}

    # -- cutting -------------------------------------------------------------------------------------------------------

    def _cut(self, apart: set[str]) -> list[_Stage]:
        ready: dict[str, int] = {}
        stages: dict[int, _Stage] = {}
        taken: dict[str, set[int]] = {}  # by which stages' parts or apart nodes; used to know what a part must give
        made_in_part: dict[str, int] = {}
        last: dict[str, int] = {}
        for node in self._model.graph.node:
            sources = _sources(node)
            number = max((ready.get(source, 0) for source in sources), default=0)
            stage = stages.setdefault(number, _Stage())
            is_apart = next((output for output in node.output if output), "") in apart
            for source in sources:
                last[source] = max(last.get(source, 0), number)
                if is_apart or made_in_part.get(source) != number:
                    taken.setdefault(source, set()).add(number)
            for output in filter(None, node.output):
                ready[output] = number + is_apart
                if not is_apart:
                    made_in_part[output] = number
            (stage.apart if is_apart else stage.nodes).append(node)
        result = [stages.setdefault(number, _Stage()) for number in range(max(stages, default=0) + 1)]
        for number, stage in enumerate(result):
            own = {output for node in stage.nodes for output in node.output}
            needed = dict.fromkeys(source for node in stage.nodes for source in _sources(node))
            stage.takes = [x for x in needed if x not in own and x not in self._weights and x not in self._sparse]
            stage.gives = [x for x in own if x and (x in taken or x in self.outputs)]
            stage.done = [x for x, end in last.items() if end == number and x not in self.outputs]
        return result

    def _tensor(self, name: str, tensors: Mapping[str, Array]) -> Array:
        if name in tensors:
            return tensors[name]
        if name not in self._values:
            try:
                self._values[name] = np.asarray(onnx_module("onnx.numpy_helper").to_array(self._weights[name]))
            except Exception:  # by type and kind of damage: ValueError, TypeError, KeyError, ...
                raise MacgenError(
                    f"weight {shown(name)} of model {self._name} has no readable values; accepted are dense weights "
                    f"that are complete"
                ) from None
        return self._values[name]

    # -- running the parts ---------------------------------------------------------------------------------------------

    def _run_part(self, number: int, stage: _Stage, tensors: dict[str, Array]) -> None:
        if not stage.gives:
            return
        feed = {source: tensors[source] for source in stage.takes}
        with self._refused():
            if number not in self._sessions:
                self._sessions[number] = self._session(stage, feed)
            results = self._sessions[number].run(stage.gives, feed)
        tensors.update(zip(stage.gives, results, strict=True))

    def _session(self, stage: _Stage, feed: Mapping[str, Array]) -> Any:
        onnx = onnx_module()
        model = onnx.ModelProto(ir_version=self._model.ir_version, opset_import=self._model.opset_import)
        graph: GraphProto = model.graph
        graph.name = "part"
        graph.node.extend(stage.nodes)
        sources = {source for node in stage.nodes for source in _sources(node)}
        graph.initializer.extend(tensor for name, tensor in self._weights.items() if name in sources)
        graph.sparse_initializer.extend(sparse for name, sparse in self._sparse.items() if name in sources)
        for name, x in feed.items():
            graph.input.append(self._input(name, x))
        graph.output.extend(onnx.ValueInfoProto(name=name) for name in stage.gives)
        options = self._runtime.SessionOptions()
        options.log_severity_level = 4
        return self._runtime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])

    def _input(self, name: str, x: object) -> ValueInfoProto:
        """Return what a part says of a value that it takes: a tensor, or a sequence of them, which comes as a list."""
        helper = onnx_module().helper
        if isinstance(x, list) and x and isinstance(x[0], np.ndarray):
            make, dtype = helper.make_tensor_sequence_value_info, x[0].dtype
        elif x is not None and not isinstance(x, (list, dict)):
            make, dtype = helper.make_tensor_value_info, np.asarray(x).dtype
        else:
            if isinstance(x, list):
                kind = "a sequence of maps" if x else "an empty sequence"
            else:
                kind = "a map" if isinstance(x, dict) else "a value that may be missing"
            raise MacgenError(
                f"tensor {shown(name)} of model {self._name} is {kind}, which cannot pass from one part of the model "
                f"to the next; accepted are tensors and sequences of at least one"
            )
        value: ValueInfoProto = make(name, helper.np_dtype_to_tensor_dtype(dtype), None)
        return value

    @contextlib.contextmanager
    def _refused(self) -> Iterator[None]:
        try:
            yield
        except MacgenError:
            raise
        except MemoryError:
            raise MacgenError(
                f"model {self._name} needs more memory than there is; accepted are fewer examples at a time"
            ) from None
        except Exception as error:  # onnxruntime raises classes of its own
            raise MacgenError(f"model {self._name} cannot be run by onnxruntime: {one_line(error)}") from None


def run_whole(model: ModelProto, name: str) -> Callable[[Mapping[str, Array]], dict[str, Array]]:
    """Return a function that runs a model uncut.

    Raises:
        MacgenError: onnxruntime refuses the model.
        ToolError: it is missing.
    """
    cut = CutModel(model, name, ())

    def nothing_apart(node: NodeProto, inputs: Sequence[Array | None]) -> Sequence[Array]:
        raise AssertionError(node.name)

    return lambda feed: cut.run(feed, nothing_apart)


def _sources(node: NodeProto) -> list[str]:
    """Return the tensors that a node takes, those that graphs within take from outside included."""
    found = dict.fromkeys(filter(None, node.input))
    for graph in subgraphs(node):
        own = {value.name for value in graph.input} | {tensor.name for tensor in graph.initializer}
        own |= {sparse.values.name for sparse in graph.sparse_initializer}
        for inner in graph.node:
            found.update(dict.fromkeys(source for source in _sources(inner) if source not in own))
            own.update(inner.output)
        found.update((value.name, None) for value in graph.output if value.name not in own)
    return list(found)


def _onnxruntime() -> Any:
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # it would report the model's name and more to its makers
    try:
        return importlib.import_module("onnxruntime")
    except ImportError:
        raise ToolError("the package onnxruntime, which runs models, is missing: pip install 'macgen[onnx]'") from None
