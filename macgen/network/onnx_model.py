"""Networks from ONNX files: every convolution and matrix product with its accumulation lengths."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from macgen.errors import MacgenError, check_type, shown, shown_path
from macgen.network.dequantized import stored_formats
from macgen.network.gemm import Layer, Network, conv_layer, linear_layer, matmul_layer
from macgen.network.onnx_attention import ATTENTIONS
from macgen.network.onnx_einsum import einsum_layers
from macgen.network.onnx_file import all_nodes, attributes, operator_name, printable, read_model, subgraphs
from macgen.network.onnx_inputs import Inputs, size_inputs
from macgen.network.onnx_operation import Built as _Built
from macgen.network.onnx_operation import Operands
from macgen.network.onnx_operation import Operation as _Context
from macgen.network.onnx_shapes import ShapeWalk
from macgen.network.onnx_strides import scatters
from macgen.network.onnx_tensors import Tensors
from macgen.network.operator_table import kind_of, operator_key
from macgen.network.quantized_formats import QuantizedFormats, Stated
from macgen.network.stand_ins import STAND_INS
from macgen.network.weight_sums import Outputs, TransposedKernel

if TYPE_CHECKING:
    from onnx import ModelProto, NodeProto


@dataclass(frozen=True)
class LayerNode:
    """A layer with the names of its tensors in the graph.

    Attributes:
        layer: the layer, of the batch in the graph.
        operands: names of the operands a and b.
        zeros: names of their zero points; empty: none.
        weight: which operand holds weights; None: neither.
        outputs: which of the weights each output sums.
        exposed: whether the tensors are the main graph's, so that a run can show them.
        output: name of the node's first result, which tells it from all others of its graph.
    """

    layer: Layer
    operands: tuple[str, str]
    zeros: tuple[str, str]
    weight: Literal["a", "b"] | None
    outputs: Outputs
    exposed: bool
    output: str = ""


@dataclass(frozen=True)
class FoundLayers:
    """The layers of a model in the order of computation, what was passed over (as in `Network`), and all tensors."""

    nodes: list[LayerNode]
    skipped: dict[str, int]
    uncounted: tuple[str, ...]
    unknown: tuple[str, ...]
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
    **{key: stand_in.operands for key, stand_in in STAND_INS.items()},
    **{key: rule.operands for key, rule in ATTENTIONS.items()},
}
"""The operations that are counted, by their key in the tables of operators."""

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
        "SimplifiedLayerNormalization",
        "channels_last::BatchNormalization",
        "com.microsoft::EmbedLayerNormalization",
        "com.microsoft::GatherBlockQuantized",
        "com.microsoft::GroupNorm",
        "com.microsoft::SkipGroupNorm",
        "com.microsoft::SkipLayerNormalization",
        "com.microsoft::SkipSimplifiedLayerNormalization",
    }
)


def from_onnx(path: str | Path, *, batch: int | None = None, dims: Mapping[str, int] | None = None) -> Network:
    """Return the network of an ONNX file. Only the file itself is read, no external data.

    Counted are Conv, ConvInteger, QLinearConv (any number of dimensions, groups, strides, dilations), ConvTranspose,
    DeformConv, Gemm, MatMul, MatMulInteger, QLinearMatMul, Einsum (of n operands as n - 1 layers), and as several
    layers LSTM, GRU, RNN (inputs, recurrence) and Attention (scores, values); of onnxruntime's and QONNX's operators
    those in `STAND_INS` and `ATTENTIONS`. Local functions are written out, and of an If whose condition follows from
    the shapes the branch taken is walked. Everything else that is computed from the inputs is in the network's
    `skipped`: other operations by name; of the counted ones, those in bodies of Loop, Scan and If as `Loop/MatMul`, and
    elsewhere with the reason, as `MatMul of unknown shape` where sizes depend on data or on an unknown operation. Those
    of them that have multiply-accumulates are named in `uncounted`, operators of which nothing is known in `unknown`.

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
    return Network(Path(path).stem, inputs.batch * inputs.repeat, layers, found.skipped, found.uncounted, found.unknown)


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
    formats = QuantizedFormats(model)
    found: list[LayerNode] = []
    skipped: Counter[str] = Counter()
    kinds: dict[str, str] = {}
    taken: set[str] = set()
    makers: dict[str, NodeProto] = {}
    for node, tensors in walk.nodes():
        formats.note(node, tensors)
        makers.update({output: node for output in node.output if output})
        for graph in subgraphs(node):
            for inner in all_nodes(graph):
                kind = kind_of(operator_key(inner))
                if kind != "none":
                    passed = f"{operator_name(node)}/{operator_name(inner)}"
                    skipped[passed] += 1
                    kinds[passed] = kind
        kind = kind_of(operator_key(node))
        layers, reason = _layers_of(node, tensors, name) if kind == "counted" else ([], "")
        computed = any(output not in tensors.constants for output in node.output if output)
        if not layers and (kind == "counted" or computed):
            passed = operator_name(node) + reason
            skipped[passed] += 1
            kinds[passed] = "none" if kind == "counted" and _has_no_products(node, reason) else kind
        for item in layers:
            unique = _unique(item.layer.name, taken)
            exposed = item.exposed and tensors is walk.tensors
            stated = _formats(formats, makers, node, item, tensors) if len(layers) == 1 else (None, None)
            # By name, a is the activation operand wherever there are weights.
            stated = stated[::-1] if item.weight == "a" else stated
            layer = replace(item.layer, name=unique, formats=stated)
            found.append(replace(item, layer=layer, exposed=exposed))
    if not found:
        passed = ", ".join(f"{op} {count}" for op, count in skipped.items())
        raise MacgenError(
            f"model {name} has no layer that can be counted among {shown(passed, 200)}; accepted are models with "
            f"{', '.join(op for op in OPERANDS if '::' not in op)}"
        )
    uncounted = tuple(passed for passed, kind in kinds.items() if kind in ("counted", "uncounted"))
    unknown = tuple(passed for passed, kind in kinds.items() if kind == "unknown")
    return FoundLayers(found, dict(skipped), uncounted, unknown, walk.tensors)


def _formats(
    quantized: QuantizedFormats, makers: Mapping[str, NodeProto], node: NodeProto, layer: LayerNode, tensors: Tensors
) -> Stated:
    """Return the formats that quantisers and annotations state for operands, else those in which they are stored."""
    a, b = quantized.of_operands(node, layer.operands)
    a_stored, b_stored = stored_formats(makers, tensors, layer.operands)
    stand_in = STAND_INS.get(operator_key(node))
    return a or a_stored, b or (None if stand_in is not None and stand_in.packed else b_stored)


def _has_no_products(node: NodeProto, reason: str) -> bool:
    """Whether a counted operation has no multiply-accumulates when the network runs: an Einsum of one operand, say."""
    alone = sum(map(bool, node.input)) < 2 and not OPERANDS[operator_key(node)].packed
    return reason in (" without elements", " of constants") or alone


def _unique(name: str, taken: set[str]) -> str:
    unique, number = name, 2
    while unique in taken:
        unique, number = f"{name}#{number}", number + 1
    taken.add(unique)
    return unique


def _layers_of(node: NodeProto, tensors: Tensors, model: str) -> tuple[list[LayerNode], str]:
    """Return a node's layers, or none and the reason why."""
    key = operator_key(node)
    where, stand_in = OPERANDS[key], STAND_INS.get(key)
    a, b = (_input(node, index) for index in (where.a, where.b))
    if where.packed and not b:
        b = a
    needed = node.input if where.needed is None else [a, b, *(_input(node, index) for index in where.needed)]
    shapes = [tensors.shape(source) for source in needed if source]
    shapes += [tensors.shape(output) for output in node.output[:1] if output]
    a_shape, b_shape = tensors.shape(a), tensors.shape(b)
    if not (a and b and node.output) or a_shape is None or b_shape is None or None in shapes:
        return [], " of unknown shape"
    operands = [a, b] if key != "Einsum" else list(node.input)
    if any(0 in (tensors.shape(tensor) or ()) for tensor in (*operands, node.output[0])):
        return [], " without elements"
    weight: Literal["a", "b"] | None
    weight = "b" if b in tensors.constants else "a" if a in tensors.constants else None
    if all(operand in tensors.constants for operand in operands):
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
        inputs=tuple(tensors.shape(source) if source else None for source in node.input),
        constants=tuple(source in tensors.constants for source in node.input),
        learned=tuple(source in tensors.learned for source in node.input),
    )
    if stand_in is not None:
        context = stand_in.view(context)
    build = ATTENTIONS[key].build if key in ATTENTIONS else _BUILDERS[stand_in.op if stand_in is not None else key]
    layers, outputs = build(context)
    if not layers:
        return [], " of unknown kind"
    if context.order is not None and isinstance(outputs, tuple):
        outputs = tuple(context.order[axis] for axis in outputs)
    zeros = tuple(_input(node, index) for index in (where.a_zero, where.b_zero))
    if len(operands) > 2:  # what is multiplied is no tensor of the graph
        a = b = ""
    exposed = bool(a) and len(layers) == 1 and (stand_in is None or stand_in.exposed)
    output = next((output for output in node.output if output), "")
    found = [LayerNode(layer, (a, b), (zeros[0], zeros[1]), weight, outputs, exposed, output) for layer in layers]
    return found, ""


def _input(node: NodeProto, index: int | None) -> str:
    return node.input[index] if index is not None and index < len(node.input) else ""


# -- single operations ---------------------------------------------------------------------------------------------


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
    dimensions = scatters(
        node.given,
        node.b[2:],
        in_size,
        node.out[2:],
        transposed=transposed,
        what=f"{op} {shown(node.name)} of model {node.model}",
    )
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
        # The offsets of a DeformConv can have an input take part in any number of outputs.
        scatters=None if op == "DeformConv" else dimensions,
        input_gradient=node.input_gradient,
        op=op,
    )
    return [layer], TransposedKernel(groups, dimensions) if transposed else (0,)


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
    "Einsum": einsum_layers,
}
