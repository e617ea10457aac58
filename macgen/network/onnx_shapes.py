"""Shapes of every tensor of an ONNX graph, node by node, with the small tensors that shapes are computed from.

ONNX's own inference of a whole model needs the weights in memory, gives up at the first unusual shape computation and
does not say which node is at fault; so the graph is walked here and only single nodes are given to ONNX.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping
from typing import TYPE_CHECKING

import numpy as np

from macgen.errors import MacgenError, shown
from macgen.network.foreign_shapes import foreign_types
from macgen.network.onnx_file import (
    MAX_DIMENSION,
    STANDARD_DOMAINS,
    attributes,
    checked_shape,
    one_line,
    onnx_module,
    opset_versions,
    subgraphs,
    tensor_type,
)
from macgen.network.onnx_tensors import Tensors, sizes_of
from macgen.network.operator_table import operator_key
from macgen.network.symbolic_size import symbolic_size

if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto, NodeProto, TensorProto, ValueInfoProto

MAX_FOLDED = 4096
"""Elements of the largest tensor whose values are kept: shapes, indices and pads are far smaller."""

# Of what exporters compute shapes with, the operations that need no more memory than their operands and results.
_FOLDED = frozenset(
    {
        "Identity", "Cast", "ConstantOfShape", "Range",
        "Concat", "Expand", "Gather", "GatherND", "Reshape", "ScatterElements", "ScatterND", "Slice", "Squeeze",
        "Tile", "Transpose", "Unsqueeze",
        "Abs", "Add", "Ceil", "Div", "Floor", "Max", "Min", "Mod", "Mul", "Neg", "Sign", "Sqrt", "Sub",
        "And", "Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual", "Not", "Or", "Where",
        "ReduceMax", "ReduceMin", "ReduceProd", "ReduceSum",
    }
)  # fmt: skip
_RANDOM = frozenset(
    {"Bernoulli", "Multinomial", "RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike"}
)


class ShapeWalk:
    """The walk through one model's graph.

    Parameters:
        model: as `read_model` returns it; not changed.
        name: how sentences call the model.
        input_shapes: shape of each graph input that is a tensor and no weight.
        dimensions: sizes of symbolic dimensions; they are believed where the file itself states a shape by them.
        parametric: operators whose constant operands training learns, by their key in the tables of operators.

    Raises:
        MacgenError: a weight's shape cannot be meant, or a name is defined twice.
    """

    def __init__(
        self,
        model: ModelProto,
        name: str,
        input_shapes: Mapping[str, tuple[int, ...]],
        dimensions: Mapping[str, int],
        parametric: Collection[str],
    ) -> None:
        self._model = model
        self._name = name
        self._dimensions = dimensions
        self._parametric = parametric
        self._opsets = opset_versions(model)
        self._onnx = onnx_module()
        self._inference = onnx_module("onnx.shape_inference")
        self._schemas = onnx_module("onnx.defs")
        self._numpy_helper = onnx_module("onnx.numpy_helper")
        self._external = onnx_module("onnx.external_data_helper").uses_external_data
        self.tensors = Tensors()
        self.taken: dict[str, GraphProto] = {}
        """Of each `If` of the main graph whose condition is known, by its first result: the branch taken."""
        self._add_initializers(model.graph, self.tensors)
        for value in model.graph.input:
            if value.name in self.tensors.defined:
                continue
            self._define(value.name, self.tensors)
            if value.name in input_shapes:
                element = value.type.tensor_type.elem_type
                self.tensors.types[value.name] = tensor_type(element, input_shapes[value.name])
            elif not value.type.HasField("tensor_type"):
                self.tensors.types[value.name] = value.type

    def nodes(self) -> Iterator[tuple[NodeProto, Tensors]]:
        """Yield each node in order, with everything that is known once its own results are, branches included.

        Of an `If` whose condition is known, the branch taken is walked; other graphs within nodes are not.

        Raises:
            MacgenError: a node takes what nothing before it makes, makes what is there already, or does not fit its
                operands' shapes.
        """
        return self._walk(self._model.graph, self.tensors)

    def _walk(self, graph: GraphProto, tensors: Tensors) -> Iterator[tuple[NodeProto, Tensors]]:
        stated = {value.name: value for value in (*graph.value_info, *graph.output)}
        for node in graph.node:
            for source in node.input:
                if source and source not in tensors.defined:
                    raise MacgenError(
                        f"{self._text(node)} takes {shown(source)}, which nothing before it makes; accepted are graphs "
                        f"without cycles, in the order of computation"
                    )
            branch = self._branch(node, tensors)
            if branch is not None:
                if tensors is self.tensors:
                    self.taken[node.output[0]] = branch
                inner = tensors.copy()
                self._add_initializers(branch, inner)
                yield from self._walk(branch, inner)
                self._rename(node, branch, inner, tensors)
                continue
            self._infer(node, tensors)
            for output in node.output:
                if output:
                    self._define(output, tensors)
                    self._use_stated(output, stated, tensors)
                    sizes = sizes_of(tensors.types.get(output)) or ()
                    checked_shape((size for size in sizes if size is not None), f"result {self._of(output)}")
            self._check_reshape(node, tensors)
            self._fold(node, tensors)
            self._note_learned(node, tensors)
            yield node, tensors

    # -- definitions -----------------------------------------------------------------------------------------------

    def _define(self, name: str, tensors: Tensors) -> None:
        if name in tensors.defined:
            raise MacgenError(f"tensor {self._of(name)} is made twice; accepted are names that are made once")
        tensors.defined.add(name)

    def _add_initializers(self, graph: GraphProto, tensors: Tensors) -> None:
        for tensor in graph.initializer:
            self._define(tensor.name, tensors)
            self._add_constant(tensor.name, tensor, tensors)
        for sparse in graph.sparse_initializer:
            name = sparse.values.name
            self._define(name, tensors)
            shape = checked_shape(sparse.dims, f"weight {self._of(name)}")
            tensors.types[name] = tensor_type(sparse.values.data_type, shape)
            tensors.constants.add(name)

    def _add_constant(self, name: str, tensor: TensorProto, tensors: Tensors) -> None:
        shape = checked_shape(tensor.dims, f"weight {self._of(name)}")
        tensors.types[name] = tensor_type(tensor.data_type, shape)
        tensors.constants.add(name)
        text = tensor.data_type == tensor.STRING
        if math.prod(shape) <= MAX_FOLDED and not text and not self._external(tensor):
            try:
                tensors.values[name] = self._numpy_helper.to_array(tensor)
            except Exception:  # by type and kind of damage: ValueError, TypeError, KeyError, ...
                raise MacgenError(
                    f"weight {self._of(name)} does not hold the {math.prod(shape)} values of its shape; accepted is an "
                    f"undamaged ONNX file"
                ) from None

    def _use_stated(self, name: str, stated: Mapping[str, ValueInfoProto], tensors: Tensors) -> None:
        """Where inference found no shape, believe the one that the file states."""
        if name not in stated or sizes_of(tensors.types.get(name)) is not None:
            return
        kind = stated[name].type
        if not kind.HasField("tensor_type") or not kind.tensor_type.HasField("shape"):
            return
        sizes = [
            dim.dim_value
            if dim.HasField("dim_value") and dim.dim_value >= 0
            else symbolic_size(dim.dim_param, self._dimensions)
            for dim in kind.tensor_type.shape.dim
        ]
        tensors.types[name] = tensor_type(kind.tensor_type.elem_type, sizes)

    # -- single nodes ----------------------------------------------------------------------------------------------

    def _infer(self, node: NodeProto, tensors: Tensors) -> None:
        domain = "" if node.domain in STANDARD_DOMAINS else node.domain
        nested = any(subgraphs(node))
        if not nested and node.op_type not in _RANDOM and all(n in tensors.constants for n in node.input if n):
            tensors.constants.update(name for name in node.output if name)
        try:
            schema = self._schemas.get_schema(node.op_type, self._opsets.get(domain, 1), domain)
        except self._schemas.SchemaError:
            tensors.types.update(foreign_types(node, tensors, self._text(node)))
            return
        known = {name: tensors.types.get(name, self._onnx.TypeProto()) for name in node.input if name}
        if nested:  # what the graphs within take from outside
            known = {**tensors.types, **known}
        data = {
            name: self._numpy_helper.from_array(tensors.values[name], name)
            for name in node.input
            if name in tensors.values
        }
        opsets = [self._onnx.helper.make_opsetid(domain, version) for domain, version in self._opsets.items()]
        try:
            inferred = self._inference.infer_node_outputs(
                schema, node, known, data, opset_imports=opsets, ir_version=max(1, min(self._model.ir_version, 1 << 20))
            )
        except Exception as error:  # InferenceError, RuntimeError and others, by what is wrong
            if nested or any(name not in tensors.types for name in known):
                return  # unknown is not wrong, and the graphs within are not ours to judge
            shapes = ", ".join(str(sizes_of(tensors.types.get(name))) for name in node.input)
            raise MacgenError(
                f"{self._text(node)} does not fit operands of the shapes {shown(shapes, 120)}: {one_line(error)}"
            ) from None
        tensors.types.update((name, kind) for name, kind in inferred.items() if name in node.output)

    def _check_reshape(self, node: NodeProto, tensors: Tensors) -> None:
        """Refuse a target that does not hold the elements, which ONNX's inference lets pass."""
        if node.op_type != "Reshape" or node.domain not in STANDARD_DOMAINS or not (node.input and node.output):
            return
        before, after = tensors.shape(node.input[0]), tensors.shape(node.output[0])
        if before is not None and after is not None and math.prod(before) != math.prod(after):
            raise MacgenError(
                f"{self._text(node)} cannot make shape {shown(after)} of {shown(before)}; accepted are the batch and "
                f"the dimensions that the model was exported for, because it holds this shape as a constant"
            )

    def _fold(self, node: NodeProto, tensors: Tensors) -> None:
        """Compute the values of a small result of known operands."""
        if node.domain not in STANDARD_DOMAINS or len(node.output) != 1 or any(subgraphs(node)):
            return
        given = attributes(node)
        output = node.output[0]
        tensor_attributes = [value for value in given.values() if isinstance(value, self._onnx.TensorProto)]
        if any(self._external(tensor) for tensor in tensor_attributes):
            return  # the evaluator would read the file
        if node.op_type == "Constant" and "value" in given and tensor_attributes:
            self._add_constant(output, tensor_attributes[0], tensors)
        elif node.op_type == "Constant":
            numbers = next(
                (
                    given[key]
                    for key in ("value_int", "value_ints", "value_float", "value_floats")
                    if given.get(key) is not None
                ),
                None,
            )
            if numbers is not None and np.size(numbers) <= MAX_FOLDED:
                dtype = np.int64 if np.asarray(numbers).dtype.kind == "i" else np.float32
                tensors.values[output] = np.asarray(numbers, dtype=dtype)
        elif node.op_type in ("Shape", "Size") and node.input:
            shape = tensors.shape(node.input[0])
            if shape is not None and node.op_type == "Shape":
                start, end = given.get("start", 0), given.get("end", len(shape))
                tensors.values[output] = np.array(shape[start:end], dtype=np.int64)
            elif shape is not None:
                tensors.values[output] = np.array(math.prod(shape), dtype=np.int64)
        elif node.op_type in _FOLDED and all(name in tensors.values for name in node.input if name):
            expected = tensors.shape(output)
            if expected is None or math.prod(expected) > MAX_FOLDED:
                return
            evaluator = onnx_module("onnx.reference").ReferenceEvaluator
            try:
                with np.errstate(all="ignore"):
                    (result,) = evaluator(node, opsets=self._opsets).run(
                        None, {name: tensors.values[name] for name in node.input if name}
                    )
            except Exception:  # an operation of an old version, say: then the values stay unknown
                return
            if isinstance(result, (np.ndarray, np.generic)):
                tensors.values[output] = np.asarray(result)

    def _note_learned(self, node: NodeProto, tensors: Tensors) -> None:
        learns = operator_key(node) in self._parametric
        if any(name in tensors.learned or (learns and name in tensors.constants) for name in node.input):
            tensors.learned.update(name for name in node.output if name and name not in tensors.constants)

    # -- branches --------------------------------------------------------------------------------------------------

    def _branch(self, node: NodeProto, tensors: Tensors) -> GraphProto | None:
        if node.op_type != "If" or node.domain not in STANDARD_DOMAINS or len(node.input) != 1:
            return None
        condition = tensors.values.get(node.input[0])
        if condition is None or condition.size != 1:
            return None
        wanted = "then_branch" if bool(condition.reshape(())) else "else_branch"
        branch = next((item.g for item in node.attribute if item.name == wanted and item.HasField("g")), None)
        return branch if branch is not None and len(branch.output) == len(node.output) else None

    def _rename(self, node: NodeProto, branch: GraphProto, inner: Tensors, tensors: Tensors) -> None:
        """Give the results of an If what its branch's results are."""
        for output, value in zip(node.output, branch.output, strict=True):
            self._define(output, tensors)
            if value.name in inner.types:
                tensors.types[output] = inner.types[value.name]
            if value.name in inner.values:
                tensors.values[output] = inner.values[value.name]
            if value.name in inner.constants:
                tensors.constants.add(output)
            if value.name in inner.learned:
                tensors.learned.add(output)

    # -- sentences -------------------------------------------------------------------------------------------------

    def _of(self, name: str) -> str:
        return f"{shown(name)} of model {self._name}"

    def _text(self, node: NodeProto) -> str:
        label = node.name or next(iter(node.output), "")
        return f"{' '.join(shown(node.op_type)[1:-1].split())} {self._of(label)}"


__all__ = ["MAX_DIMENSION", "MAX_FOLDED", "ShapeWalk"]
