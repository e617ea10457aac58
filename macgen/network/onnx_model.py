"""Networks from ONNX files: every convolution and matrix product with its accumulation lengths."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from macgen.errors import MacgenError, check_type, shown, shown_path
from macgen.network.gemm import Layer, Network, contraction_layer, conv_layer, linear_layer, matmul_layer
from macgen.network.onnx_file import (
    STANDARD_DOMAINS,
    all_nodes,
    attributes,
    operator_name,
    printable,
    read_model,
    subgraphs,
)
from macgen.network.onnx_inputs import Inputs, size_inputs
from macgen.network.onnx_shapes import ShapeWalk, Tensors

if TYPE_CHECKING:
    from onnx import ModelProto, NodeProto


@dataclass(frozen=True)
class Operands:
    """Where an operation takes its two operands from.

    Attributes:
        a: index of the activation operand among the inputs (the left one of a matrix product).
        b: index of the other.
        a_zero: index of the first one's zero point; None: it has none.
        b_zero: index of the second one's.
    """

    a: int = 0
    b: int = 1
    a_zero: int | None = None
    b_zero: int | None = None


@dataclass(frozen=True)
class LayerNode:
    """A layer with the names of its tensors in the graph.

    Attributes:
        layer: the layer, of the batch in the graph.
        operands: names of the operands a and b.
        zeros: names of their zero points; empty: none.
        weight: which operand holds weights; None: neither.
        output_axes: the dimensions of the weights that tell outputs apart, from the end if negative.
        exposed: whether the tensors are the main graph's, so that a run can show them.
    """

    layer: Layer
    operands: tuple[str, str]
    zeros: tuple[str, str]
    weight: Literal["a", "b"] | None
    output_axes: tuple[int, ...]
    exposed: bool


@dataclass(frozen=True)
class FoundLayers:
    """The layers of a model in the order of computation, how often other operations occur, and all tensors."""

    nodes: list[LayerNode]
    skipped: dict[str, int]
    tensors: Tensors


_CONV = ("Conv", "ConvInteger", "QLinearConv", "ConvTranspose")
_MATMUL = ("MatMul", "MatMulInteger", "QLinearMatMul")
_RECURRENT = {"LSTM": 4, "GRU": 3, "RNN": 1}  # gates

OPERANDS: Mapping[str, Operands] = {
    "Conv": Operands(),
    "ConvTranspose": Operands(),
    "ConvInteger": Operands(a_zero=2, b_zero=3),
    "QLinearConv": Operands(a=0, b=3, a_zero=2, b_zero=5),
    "Gemm": Operands(),
    "MatMul": Operands(),
    "MatMulInteger": Operands(a_zero=2, b_zero=3),
    "QLinearMatMul": Operands(a=0, b=3, a_zero=2, b_zero=5),
    "Einsum": Operands(),
    **{op: Operands() for op in _RECURRENT},
}
"""The operations that are counted."""

# Besides them, the operations whose constants training learns, so that they need the gradient of their results.
_PARAMETRIC = frozenset(
    {
        "BatchNormalization",
        "Gather",
        "GroupNormalization",
        "InstanceNormalization",
        "LayerNormalization",
        "PRelu",
        "RMSNormalization",
    }
)


def from_onnx(path: str | Path, *, batch: int | None = None, dims: Mapping[str, int] | None = None) -> Network:
    """Return the network of an ONNX file. Only the file itself is read, no external data.

    Counted are Conv, ConvInteger, QLinearConv (any number of dimensions, groups, strides, dilations), ConvTranspose,
    Gemm, MatMul, MatMulInteger, QLinearMatMul, Einsum of two operands, and LSTM, GRU and RNN as one layer for the
    inputs and one for the recurrence; local functions are written out, and of an If whose condition follows from the
    shapes the branch taken is walked. Everything else that is computed from the inputs is in the network's `skipped`:
    other operations by name; of the counted ones, those in bodies of Loop, Scan and If as `Loop/MatMul`, and elsewhere
    with the reason, as `MatMul of unknown shape` where sizes depend on data or on an unknown operation.

    Parameters:
        path: the file.
        batch: examples that are computed together; the first dimension of the first input counts as the batch. If the
            file fixes it, only multiples of the fixed size are accepted. None: as the file or `dims` says.
        dims: sizes of open dimensions by name, or by `input:axis`.

    Raises:
        MacgenError: the file cannot be read, is damaged or contradicts itself, an open dimension has no size, or no
            layer is found.
        ToolError: the package onnx is missing.
    """
    if dims is not None:
        check_type("dims", dims, Mapping, "a mapping of names to sizes")
    model = read_model(path)
    name = shown_path(path)
    inputs = size_inputs(model, name, batch, dims or {})
    found = find_layers(model, name, inputs)
    layers = tuple(node.layer.batched(inputs.repeat) for node in found.nodes)
    return Network(Path(path).stem, inputs.batch * inputs.repeat, layers, found.skipped)


def find_layers(model: ModelProto, name: str, inputs: Inputs) -> FoundLayers:
    """Return the layers of a model.

    Parameters:
        model: as `read_model` returns it.
        name: how sentences call the model.
        inputs: the sizes of its inputs.

    Raises:
        MacgenError: the graph contradicts itself (see `ShapeWalk`), a layer's attributes do, or there is no layer.
    """
    walk = ShapeWalk(model, name, inputs.shapes, inputs.dimensions, {*OPERANDS, *_PARAMETRIC})
    found: list[LayerNode] = []
    skipped: Counter[str] = Counter()
    taken: set[str] = set()
    for node, tensors in walk.nodes():
        counted = node.op_type in OPERANDS and node.domain in STANDARD_DOMAINS
        for graph in subgraphs(node):
            for inner in all_nodes(graph):
                if inner.op_type in OPERANDS and inner.domain in STANDARD_DOMAINS:
                    skipped[f"{operator_name(node)}/{inner.op_type}"] += 1
        layers, reason = _layers_of(node, tensors, name) if counted else ([], "")
        computed = any(output not in tensors.constants for output in node.output if output)
        if not layers and (counted or computed):
            skipped[operator_name(node) + reason] += 1
        for item in layers:
            unique = _unique(item.layer.name, taken)
            exposed = item.exposed and tensors is walk.tensors
            found.append(replace(item, layer=replace(item.layer, name=unique), exposed=exposed))
    if not found:
        passed = ", ".join(f"{op} {count}" for op, count in skipped.items())
        raise MacgenError(
            f"model {name} has no layer that can be counted among {shown(passed, 200)}; accepted are models with "
            f"{', '.join(OPERANDS)}"
        )
    return FoundLayers(found, dict(skipped), walk.tensors)


def _unique(name: str, taken: set[str]) -> str:
    unique, number = name, 2
    while unique in taken:
        unique, number = f"{name}#{number}", number + 1
    taken.add(unique)
    return unique


def _layers_of(node: NodeProto, tensors: Tensors, model: str) -> tuple[list[LayerNode], str]:
    """Return a node's layers, or none and the reason why."""
    where = OPERANDS[node.op_type]
    a, b = (_input(node, index) for index in (where.a, where.b))
    shapes = [tensors.shape(source) for source in node.input if source]
    shapes += [tensors.shape(output) for output in node.output[:1] if output]
    a_shape, b_shape = tensors.shape(a), tensors.shape(b)
    if not (a and b and node.output) or a_shape is None or b_shape is None or None in shapes:
        return [], " of unknown shape"
    if any(shape is not None and 0 in shape for shape in (a_shape, b_shape, tensors.shape(node.output[0]))):
        return [], " without elements"
    weight: Literal["a", "b"] | None
    weight = "b" if b in tensors.constants else "a" if a in tensors.constants else None
    if a in tensors.constants and b in tensors.constants:
        return [], " of constants"
    name = printable(node.name or next((output for output in node.output if output), node.op_type))
    context = _Context(
        node=node,
        name=name,
        a=a_shape,
        b=b_shape,
        out=tensors.shape(node.output[0]) or (),
        weight=weight,
        input_gradient=any(source in tensors.learned for source in (a, b)),
        given=attributes(node),
        model=model,
    )
    layers, output_axes = _BUILDERS[node.op_type](context)
    if not layers:
        return [], " of unknown kind"
    zeros = tuple(_input(node, index) for index in (where.a_zero, where.b_zero))
    return [
        LayerNode(layer, (a, b), (zeros[0], zeros[1]), weight, output_axes, exposed=node.op_type not in _RECURRENT)
        for layer in layers
    ], ""


def _input(node: NodeProto, index: int | None) -> str:
    return node.input[index] if index is not None and index < len(node.input) else ""


# -- single operations ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Context:
    """A node with all shapes known; the shapes have no zeros."""

    node: NodeProto
    name: str
    a: tuple[int, ...]
    b: tuple[int, ...]
    out: tuple[int, ...]
    weight: Literal["a", "b"] | None
    input_gradient: bool
    given: Mapping[str, Any]
    model: str

    def refusal(self, accepted: str) -> MacgenError:
        return MacgenError(
            f"{self.node.op_type} {shown(self.name)} of model {self.model} cannot have operands of shapes {self.a} and "
            f"{self.b}; accepted are {accepted}"
        )


_Built = tuple[list[Layer], tuple[int, ...]]


def _conv(node: _Context) -> _Built:
    op = node.node.op_type
    transposed = op == "ConvTranspose"
    groups = node.given.get("group", 1)
    if not isinstance(groups, int) or groups < 1:
        raise MacgenError(
            f"{op} {shown(node.name)} of model {node.model} has group {shown(groups)}; accepted are positive integers"
        )
    if len(node.a) < 3 or not len(node.a) == len(node.b) == len(node.out):
        raise node.refusal("an input (N, C, D1, ...) and weights (M, C / group, k1, ...)")
    batch, in_channels, *in_size = node.a
    if in_channels != (node.b[0] if transposed else node.b[1] * groups):
        raise node.refusal(f"as many channels in both, in {shown(groups)} groups")
    kernel = node.given.get("kernel_shape")
    if kernel is not None and kernel != list(node.b[2:]):
        raise node.refusal(f"weights of its kernel_shape {shown(kernel)}")
    layer = conv_layer(
        node.name,
        batch=batch,
        in_channels=in_channels,
        out_channels=node.b[1] * groups if transposed else node.b[0],
        kernel=node.b[2:],
        out_size=node.out[2:],
        in_size=in_size,
        groups=groups,
        transposed=transposed,
        input_gradient=node.input_gradient,
        op=op,
    )
    # The weights of a transposed convolution are (C, M / group, ...): outputs of different groups share a column, and
    # the largest sum over a whole column bounds them from above.
    return [layer], (1,) if transposed else (0,)


def _gemm(node: _Context) -> _Built:
    if len(node.a) != 2 or len(node.b) != 2:
        raise node.refusal("matrices")
    a = node.a[::-1] if node.given.get("transA") else node.a
    b = node.b[::-1] if node.given.get("transB") else node.b
    layer = matmul_layer(
        node.name, a_shape=a, b_shape=b, weight=node.weight, input_gradient=node.input_gradient, op=node.node.op_type
    )
    if node.weight == "a":
        return [layer], (1 if node.given.get("transA") else 0,)
    return [layer], (0 if node.given.get("transB") else 1,)


def _matmul(node: _Context) -> _Built:
    layer = matmul_layer(
        node.name,
        a_shape=node.a,
        b_shape=node.b,
        weight=node.weight,
        input_gradient=node.input_gradient,
        op=node.node.op_type,
    )
    summed = -1 if node.weight == "a" or len(node.b) == 1 else -2
    rank = len(node.a if node.weight == "a" else node.b)
    return [layer], tuple(axis for axis in range(rank) if axis - rank != summed)


def _einsum(node: _Context) -> _Built:
    equation = node.given.get("equation", b"")
    text = equation.decode(errors="replace").replace(" ", "") if isinstance(equation, bytes) else ""
    left, arrow, out = text.partition("->")
    terms = left.split(",")
    if len(node.node.input) != 2 or len(terms) != 2 or not left.replace(",", "").isalpha():
        return [], ()  # one operand, three, or an ellipsis
    if not arrow:
        out = "".join(sorted(label for label in set("".join(terms)) if left.count(label) == 1))
    sizes: dict[str, int] = {}
    for term, shape in zip(terms, (node.a, node.b), strict=True):
        if len(term) != len(shape) or any(
            sizes.setdefault(label, size) != size for label, size in zip(term, shape, strict=True)
        ):
            raise node.refusal(f"shapes that fit the equation {shown(text)}")
    if not set(out) <= set(sizes):
        raise node.refusal(f"equations whose result has only their operands' labels, not {shown(text)}")
    layer = contraction_layer(
        node.name,
        node.node.op_type,
        sizes,
        (terms[0], terms[1], out),
        weight=node.weight,
        input_gradient=node.input_gradient,
    )
    weights = terms[0] if node.weight == "a" else terms[1]
    return [layer], tuple(axis for axis, label in enumerate(weights) if label in out)


def _recurrent(node: _Context) -> _Built:
    gates = _RECURRENT[node.node.op_type]
    if len(node.a) != 3 or len(node.b) != 3 or node.b[1] % gates or node.a[2] != node.b[2]:
        raise node.refusal(f"an input (T, N, I) and weights (D, {gates}H, I)")
    directions, rows, inputs = node.b
    steps = node.a[0] * node.a[1]
    op = node.node.op_type
    of_inputs = linear_layer(
        f"{node.name}.input",
        batch=steps,
        inputs=inputs,
        outputs=directions * rows,
        input_gradient=node.input_gradient,
        op=op,
    )
    of_state = matmul_layer(
        f"{node.name}.recurrent",
        a_shape=(directions, steps, rows // gates),
        b_shape=(directions, rows // gates, rows),
        weight="b",
        op=op,
    )
    return [of_inputs, of_state], (0, 1)


_BUILDERS: Mapping[str, Callable[[_Context], _Built]] = {
    **dict.fromkeys(_CONV, _conv),
    **dict.fromkeys(_MATMUL, _matmul),
    **dict.fromkeys(_RECURRENT, _recurrent),
    "Gemm": _gemm,
    "Einsum": _einsum,
}
