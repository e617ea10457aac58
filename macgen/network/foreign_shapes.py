"""Shapes of the results of operators that are not ONNX's own: onnxruntime's (com.microsoft) and QONNX's.

Sizes that are not known stay unknown where they only pass through; elsewhere a result is left open. Sources: the
schemas registered in onnxruntime 1.32 and the operators of qonnx 1.0.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

from macgen.errors import MacgenError, shown
from macgen.network.foreign_node import (
    FLOAT,
    INT32,
    UINT8,
    Foreign,
    Open,
    Result,
    Rule,
    Sizes,
    all_channels_last,
    as_onnx,
    broadcast,
    channels_first,
    channels_last,
    features_of,
    gemm,
    known_sizes,
    matmul,
    same,
    says_channels_last,
    window,
)
from macgen.network.onnx_file import attributes, one_line, tensor_type
from macgen.network.operator_table import operator_key

if TYPE_CHECKING:
    from onnx import NodeProto, TypeProto

    from macgen.network.onnx_tensors import Tensors


def foreign_types(node: NodeProto, tensors: Tensors, text: str) -> dict[str, TypeProto]:
    """Return the types of a node's results, as far as they follow.

    Parameters:
        node: of an operator that ONNX has no schema of.
        tensors: what is known before it.
        text: how sentences call the node.

    Raises:
        MacgenError: the operands do not fit each other.
    """
    rule = _RULES.get(operator_key(node))
    if rule is None:
        return {}
    types = tuple(tensors.types.get(name) if name else None for name in node.input)
    try:
        pairs = zip(
            node.output, rule(Foreign(attributes(node), types)), strict=False
        )  # optional results may be left out
        return {name: tensor_type(*result) for name, result in pairs if name and result is not None}
    except Open:
        return {}
    except Exception as error:  # ValueError, or what ONNX's inference raises
        known = [tensors.shape(name) for name in node.input if name]
        shapes = ", ".join("unknown" if shape is None else str(list(shape)) for shape in known)
        raise MacgenError(
            f"{text} does not fit operands of the shapes {shown(shapes, 120)}: {one_line(error)}"
        ) from None


# -- single operators -----------------------------------------------------------------------------------------------


def _bnb4(node: Foreign) -> list[Result | None]:
    return [(node.element(0), [*node.sizes(0)[:-1], node.count("N" if node.given.get("transB", 1) else "K")])]


def _rows_are_outputs(node: Foreign) -> list[Result | None]:
    return [(node.element(0), [*node.sizes(0)[:-1], node.sizes(1)[0]])]


def _embedding(node: Foreign) -> list[Result | None]:
    batch, positions = node.sizes(0)
    sizes = [batch, positions, node.sizes(2)[1]]
    return [(node.element(2), sizes), (INT32, [batch]), (node.element(2), sizes)]


def _gathered(node: Foreign) -> list[Result | None]:
    """GatherBlockQuantized: of data of bytes, each holds 8 / bits values of the last axis."""
    data, axis = node.sizes(0), node.integer("gather_axis", 0)
    if node.element(0) == UINT8 and data and data[-1] is not None:
        data = [*data[:-1], data[-1] * 8 // node.integer("bits", 4)]
    axis %= max(1, len(data))
    return [(node.element(2), [*data[:axis], *node.sizes(1), *data[axis + 1 :]])]


def _concatenated(node: Foreign) -> list[Result | None]:
    """QLinearConcat: scale and zero point of the result, then of each part itself, its scale and its zero point."""
    shapes = [known_sizes(node.sizes(index)) for index in range(2, len(node.types), 3)]
    axis = node.integer("axis", 0)
    sizes: Sizes = list(shapes[0])
    sizes[axis] = sum(shape[axis] for shape in shapes)
    return [(node.element(2), sizes)]


def _global_pool(node: Foreign) -> list[Result | None]:
    sizes = node.sizes(0)
    ones: Sizes = [1] * (len(sizes) - 2)
    last = says_channels_last(node)
    return [(node.element(0), [sizes[0], *ones, sizes[-1]] if last else [*sizes[:2], *ones])]


def _reduced(node: Foreign) -> list[Result | None]:
    sizes = node.sizes(0)
    axes = {axis % len(sizes) for axis in node.given.get("axes") or range(len(sizes))}
    kept = bool(node.given.get("keepdims", 1))
    return [
        (node.element(0), [1 if axis in axes else size for axis, size in enumerate(sizes) if kept or axis not in axes])
    ]


# -- attention -------------------------------------------------------------------------------------------------------


def _projecting_attention(past: int, element: int) -> Rule:
    """Attention and QAttention: the result, and keys and values (2, N, heads, positions, size)."""

    def rule(node: Foreign) -> list[Result | None]:
        batch, positions, _ = node.sizes(0)
        heads, features = node.count("num_heads"), node.sizes(1)[1]
        hidden: Sizes = list(node.given.get("qkv_hidden_sizes") or [None if features is None else features // 3] * 3)
        size = None if hidden[1] is None else hidden[1] // heads
        before: int | None = node.sizes(past)[3] if node.has(past) else 0
        total = None if before is None or positions is None else before + positions
        total = before if node.given.get("past_present_share_buffer") and node.has(past) else total
        # Keys and values in one tensor are of one size.
        present = (node.element(element), [2, batch, heads, total, size]) if hidden[1] == hidden[2] else None
        return [(node.element(element), [batch, positions, hidden[2]]), present]

    return rule


def _multi_head_attention(node: Foreign) -> list[Result | None]:
    element, heads, query = node.element(0), node.count("num_heads"), node.sizes(0)
    if len(query) == 5:
        batch, positions, _, size = query[0], query[1], query[3], query[4]
        keys, value_size = positions, size
    else:
        batch, positions, features = query
        size = None if features is None else features // heads
        key = node.sizes(1)
        keys = key[2] if len(key) == 4 else key[1]
        value_size = size
        if node.has(2):
            value = node.sizes(2)
            value_size = value[3] if len(value) == 4 else None if value[2] is None else value[2] // heads
    before: int | None = node.sizes(6)[2] if node.has(6) else 0
    total = None if before is None or keys is None else before + keys
    values = None if value_size is None else heads * value_size
    return [
        (element, [batch, positions, values]),
        (element, [batch, heads, total, size]),
        (element, [batch, heads, total, value_size]),
    ]


def _grouped_attention(node: Foreign) -> list[Result | None]:
    element, heads, shared = node.element(0), node.count("num_heads"), node.count("kv_num_heads")
    batch, positions, features = node.sizes(0)
    together = heads if node.has(1) else heads + 2 * shared
    size = None if features is None else features // together
    new = node.sizes(1)[1] if node.has(1) else positions
    before: int | None = node.sizes(3)[2] if node.has(3) else 0
    total = None if before is None or new is None else before + new
    # Where past and present share a buffer, its size is that of both, which only what the file states can tell.
    present = (node.element(3, element), [batch, shared, total, size])
    return [(element, [batch, positions, None if size is None else heads * size]), present, present]


# -- QONNX -----------------------------------------------------------------------------------------------------------


def _average_pool_2d(node: Foreign) -> list[Result | None]:
    """QuantAvgPool2d: a square kernel, no padding."""
    last = node.given.get("data_layout", b"NCHW") == b"NHWC"
    sides = {"kernel_shape": [node.count("kernel")] * 2, "strides": [node.count("stride")] * 2}
    sizes = node.sizes(0)
    pooled = as_onnx("AveragePool", sides, [channels_first(sizes) if last else sizes])
    return [(node.element(0), channels_last(pooled) if last else pooled)]


def _patches(node: Foreign) -> list[Result | None]:
    """Im2Col: (N, H, W, C) to (N, positions, positions, kernel * C)."""
    batch, _, _, channels = node.sizes(0)
    kernel = list(node.given["kernel_size"])
    given = {
        "kernel_shape": kernel,
        "strides": list(node.given["stride"]),
        "pads": list(node.given.get("pad_amount", [0] * 4)),
        "dilations": list(node.given.get("dilations", [1, 1])),
    }
    sizes = channels_last(as_onnx("Conv", given, [channels_first(node.sizes(0)), [1, channels, *kernel]]))
    return [(node.element(0), [batch, *sizes[1:3], None if channels is None else math.prod(kernel) * channels])]


_LIKE_FIRST = (
    # onnxruntime has these in operator sets in which ONNX does not have them yet, too.
    *("LayerNormalization", "MeanVarianceNormalization", "ThresholdedRelu"),
    *("Affine", "ImageScaler", "ParametricSoftplus", "Scale", "ScaledTanh", "SimplifiedLayerNormalization"),
    *(
        f"com.microsoft::{name}"
        for name in (
            "BiasAdd", "BiasDropout", "BiasGelu", "BiasSoftmax", "DecoderAttention", "FastGelu", "Gelu",
            "GemmaRotaryEmbedding", "GroupNorm", "Inverse", "LongformerAttention", "MoE", "QLinearLeakyRelu",
            "QLinearSigmoid", "QLinearSoftmax", "QMoE", "QuickGelu", "RotaryEmbedding", "ScaledSiLU", "SkipGroupNorm",
            "Trilu",
        )
    ),
    *(
        f"qonnx::{name}"
        for name in ("BipolarQuant", "DebugMarker", "FloatQuant", "MultiThreshold", "Quant", "Trunc")
    ),
    "channels_last::BatchNormalization",
)  # fmt: skip

_RULES: Mapping[str, Rule] = {
    **dict.fromkeys(_LIKE_FIRST, same(0)),
    "com.microsoft::SkipLayerNormalization": same(0, None, None, 0),
    "com.microsoft::SkipSimplifiedLayerNormalization": same(0, None, None, 0),
    "com.microsoft::EmbedLayerNormalization": _embedding,
    "com.microsoft::GatherBlockQuantized": _gathered,
    "com.microsoft::QuantizeLinear": lambda node: [(node.element(2, UINT8), node.sizes(0))],
    "com.microsoft::DequantizeLinear": lambda node: [(node.element(1), node.sizes(0))],
    "com.microsoft::BiasSplitGelu": lambda node: [
        (node.element(0), [size if axis < 2 or size is None else size // 2 for axis, size in enumerate(node.sizes(0))])
    ],
    # convolutions and poolings
    "com.microsoft::FusedConv": window("Conv", 0, 1),
    "com.microsoft::NhwcConv": window("Conv", 0, 1, last=True),
    "com.microsoft::NhwcFusedConv": window("Conv", 0, 1, last=True),
    "com.microsoft::QLinearConv": window("Conv", 0, 3, last=says_channels_last, element=7),
    "com.microsoft::MaxpoolWithMask": window("MaxPool", 0),
    "com.microsoft::NhwcMaxPool": window("MaxPool", 0, last=True),
    "com.microsoft::QLinearAveragePool": window("AveragePool", 0, last=says_channels_last),
    "com.microsoft::QLinearGlobalAveragePool": _global_pool,
    "com.microsoft::QLinearReduceMean": _reduced,
    # matrix products
    "com.microsoft::FusedMatMul": matmul(),
    "com.microsoft::FusedMatMulActivation": matmul(),
    "com.microsoft::TransposeMatMul": matmul(),
    "com.microsoft::GemmFastGelu": matmul(),
    "com.microsoft::DynamicQuantizeMatMul": matmul(),
    "com.microsoft::MatMulInteger16": matmul(element=lambda _: INT32),
    "com.microsoft::MatMulIntegerToFloat": matmul(element=lambda node: node.element(2)),
    "com.microsoft::FusedGemm": gemm(),
    "com.microsoft::GemmFloat8": gemm(element=lambda node: node.integer("dtype", FLOAT)),
    "com.microsoft::QGemm": gemm(b=3, element=lambda node: node.element(8)),
    "com.microsoft::MatMulNBits": features_of("N"),
    "com.microsoft::MatMulNBitsMlp": features_of("N", like_input=True),
    "com.microsoft::MatMulNBitsQLoRA": features_of("N"),
    "com.microsoft::MatMulNBitsQkv": features_of("Nq", "Nkv", "Nkv", like_input=True),
    "com.microsoft::MatMulPacked": features_of("N"),
    "com.microsoft::MatMulBnb4": _bnb4,
    "com.microsoft::MatMulBlockQuantizedFp8Weight": _rows_are_outputs,
    # attention
    "com.microsoft::Attention": _projecting_attention(past=4, element=0),
    "com.microsoft::QAttention": _projecting_attention(past=8, element=3),
    "com.microsoft::MultiHeadAttention": _multi_head_attention,
    "com.microsoft::GroupQueryAttention": _grouped_attention,
    # elementwise on integers
    "com.microsoft::QLinearAdd": broadcast(0, 3, like=0),
    "com.microsoft::QLinearMul": broadcast(0, 3, like=0),
    "com.microsoft::QLinearWhere": broadcast(0, 1, 4, like=1),
    "com.microsoft::QLinearConcat": _concatenated,
    "com.microsoft::MulInteger": broadcast(0, 2, like=0, element=INT32),
    # QONNX
    "qonnx::Im2Col": _patches,
    "qonnx::MaxPoolNHWC": window("MaxPool", 0, last=True),
    "qonnx::QuantAvgPool2d": _average_pool_2d,
    "qonnx::XnorPopcountMatMul": matmul(),
    "channels_last::Conv": all_channels_last,
    "channels_last::MaxPool": window("MaxPool", 0, last=True),
}
