"""Models without the `If` nodes whose condition is known: the branch taken stands in their place."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from macgen.network.onnx_file import onnx_module, subgraphs
from macgen.network.onnx_inputs import Inputs
from macgen.network.onnx_shapes import ShapeWalk

if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto, NodeProto


def take_branches(model: ModelProto, name: str, inputs: Inputs) -> ModelProto:
    """Return a model in which each `If` of the main graph whose condition follows from the shapes is its branch.

    Tensors within a branch are renamed, `IF/TENSOR`, because two branches may use the same names; nodes keep theirs,
    and nameless ones get that of their first result, by which lists call them.

    Parameters:
        model: as `read_model` returns it; not changed.
        name: how sentences call the model.
        inputs: the sizes of its inputs.

    Raises:
        MacgenError: the graph contradicts itself (see `ShapeWalk`).
    """
    while True:
        walk = ShapeWalk(model, name, inputs.shapes, inputs.dimensions, ())
        for _ in walk.nodes():
            pass
        if not walk.taken:
            return model
        written = type(model)()
        written.CopyFrom(model)
        del written.graph.node[:]
        for node in model.graph.node:
            branch = walk.taken.get(node.output[0]) if node.op_type == "If" and node.output else None
            if branch is None:
                written.graph.node.append(node)
            else:
                _write_out(written.graph, node, branch)
        model = written


def _write_out(graph: GraphProto, node: NodeProto, branch: GraphProto) -> None:
    """Append a branch to a graph under names of its own, its results under those of the `If`."""
    helper = onnx_module("onnx.helper")
    results = {value.name: output for value, output in zip(branch.output, node.output, strict=True)}
    made = set(_made(branch))
    new = {inner: f"{node.output[0]}/{inner}" for inner in made}
    copied = type(branch)()
    copied.CopyFrom(branch)
    for item in copied.node:
        if not item.name:
            item.name = next((output for output in item.output if output), item.op_type)
    _rename(copied, new)
    for tensor in copied.initializer:
        tensor.name = new[tensor.name]
    for sparse in copied.sparse_initializer:
        sparse.values.name = new[sparse.values.name]
    graph.initializer.extend(copied.initializer)
    graph.sparse_initializer.extend(copied.sparse_initializer)
    graph.node.extend(copied.node)
    for value, output in results.items():
        graph.node.append(helper.make_node("Identity", [new.get(value, value)], [output]))


def _made(graph: GraphProto) -> Iterator[str]:
    yield from (tensor.name for tensor in graph.initializer)
    yield from (sparse.values.name for sparse in graph.sparse_initializer)
    for node in graph.node:
        yield from (output for output in node.output if output)


def _rename(graph: GraphProto, new: Mapping[str, str]) -> None:
    """Rename tensors where nodes take and make them; in graphs within, unless these have the name for their own."""
    for node in graph.node:
        for names in (node.input, node.output):
            names[:] = [new.get(item, item) for item in names]
        for inner in subgraphs(node):
            own = {*_made(inner), *(value.name for value in inner.input)}
            seen = {old: item for old, item in new.items() if old not in own}
            _rename(inner, seen)
            for value in inner.output:
                value.name = seen.get(value.name, value.name)
