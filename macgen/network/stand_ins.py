"""Operations that are one of ONNX's older ones in another layout, or with more done to the result.

Each is seen as the operation that stands for it: the shapes of its operands are brought into that one's order.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from macgen.network.onnx_operation import Operands, Operation, Shape


@dataclass(frozen=True)
class StandIn:
    """How an operation is counted as another one.

    Attributes:
        op: the operation of ONNX that stands for it.
        operands: where it takes its operands from.
        view: returns it as the other one would have it.
        exposed: whether the operands' tensors hold what is multiplied, so that a run can show it.
        packed: whether an element of b holds several weights, so that its type is not theirs.
    """

    op: str
    operands: Operands
    view: Callable[[Operation], Operation] = lambda operation: operation
    exposed: bool = True
    packed: bool = False


def channels_first(shape: Shape) -> tuple[Shape, tuple[int, ...]]:
    """Return a shape (N, D1, ..., C) as (N, C, D1, ...), and which axis each of its axes was."""
    order = (0, len(shape) - 1, *range(1, len(shape) - 1)) if len(shape) > 1 else tuple(range(len(shape)))
    return tuple(shape[axis] for axis in order), order


def _channels_last(operation: Operation) -> Operation:
    """Data (N, D1, ..., C), weights (M, C / group, k1, ...)."""
    return replace(operation, a=channels_first(operation.a)[0], out=channels_first(operation.out)[0])


def _all_channels_last(operation: Operation) -> Operation:
    """Data (N, D1, ..., C), weights (M, k1, ..., C / group)."""
    weights, order = channels_first(operation.b)
    return replace(_channels_last(operation), b=weights, order=order)


def _channels_last_if_said(operation: Operation) -> Operation:
    return _channels_last(operation) if operation.given.get("channels_last") else operation


def matrix_order(rank: int, *, turned: bool, batch_turned: bool) -> tuple[int, ...]:
    """Return the axes of a matrix stack in the order (..., rows, columns).

    Parameters:
        rank: of the tensor; one of rank 1 is never turned.
        turned: whether its last two axes change places (transA, transB).
        batch_turned: whether its first axis goes behind those of the stack first (transBatchA, transBatchB).
    """
    order = list(range(rank))
    if batch_turned and rank > 2:
        order.insert(rank - 2, order.pop(0))
    if turned and rank > 1:
        order[-2:] = reversed(order[-2:])
    return tuple(order)


def _turned(operation: Operation) -> Operation:
    """Matrices that transA and transB turn, and stacks whose axes transBatchA and transBatchB move."""
    orders = {}
    for which, shape in (("A", operation.a), ("B", operation.b)):
        turned, batch_turned = (bool(operation.given.get(f"{name}{which}")) for name in ("trans", "transBatch"))
        orders[which] = matrix_order(len(shape), turned=turned, batch_turned=batch_turned)
    return replace(
        operation,
        a=tuple(operation.a[axis] for axis in orders["A"]),
        b=tuple(operation.b[axis] for axis in orders["B"]),
        order=orders["A" if operation.weight == "a" else "B"],
    )


def _attributes_shape(operation: Operation) -> Operation:
    """Packed weights, whose size only the attributes K and N say."""
    features = operation.count("K"), operation.count("N")
    # MatMulBnb4 has weights (N, K), as the layer's forward pass multiplies by them, and with transB = 0 the other way.
    return replace(operation, b=features if operation.given.get("transB", 1) else features[::-1])


def _rows_are_outputs(operation: Operation) -> Operation:
    """Weights (N, K)."""
    return replace(operation, b=operation.b[::-1]) if len(operation.b) == 2 else operation


def _depthwise(operation: Operation) -> Operation:
    """Every channel convolved by itself, which no attribute says."""
    groups = operation.b[0] if operation.b else 1
    return replace(operation, given={**operation.given, "group": groups})


_PAIR = Operands(needed=())
_FIRST_AND_FOURTH = Operands(a=0, b=3, a_zero=2, b_zero=5, needed=())

STAND_INS: Mapping[str, StandIn] = {
    "CausalConvWithState": StandIn("Conv", _PAIR, _depthwise),
    # What it multiplies by its weights is interpolated from its input.
    "DeformConv": StandIn("Conv", _PAIR, exposed=False),
    "com.microsoft::FusedConv": StandIn("Conv", _PAIR),
    "com.microsoft::NhwcConv": StandIn("Conv", _PAIR, _channels_last),
    "com.microsoft::NhwcFusedConv": StandIn("Conv", _PAIR, _channels_last),
    "com.microsoft::QLinearConv": StandIn("QLinearConv", _FIRST_AND_FOURTH, _channels_last_if_said),
    "channels_last::Conv": StandIn("Conv", _PAIR, _all_channels_last),
    "com.microsoft::FusedGemm": StandIn("Gemm", _PAIR),
    "com.microsoft::GemmFloat8": StandIn("Gemm", _PAIR),
    "com.microsoft::QGemm": StandIn("Gemm", _FIRST_AND_FOURTH),
    "com.microsoft::FusedMatMul": StandIn("MatMul", _PAIR, _turned),
    "com.microsoft::FusedMatMulActivation": StandIn("MatMul", _PAIR, _turned),
    "com.microsoft::TransposeMatMul": StandIn("MatMul", _PAIR, _turned),
    "com.microsoft::GemmFastGelu": StandIn("MatMul", _PAIR),
    "com.microsoft::MatMulInteger16": StandIn("MatMul", _PAIR),
    "com.microsoft::MatMulIntegerToFloat": StandIn("MatMul", Operands(a_zero=4, b_zero=5, needed=())),
    "com.microsoft::DynamicQuantizeMatMul": StandIn("MatMul", Operands(b_zero=3, needed=())),
    "com.microsoft::MatMulNBits": StandIn("MatMul", _PAIR, _attributes_shape, exposed=False, packed=True),
    "com.microsoft::MatMulBnb4": StandIn("MatMul", _PAIR, _attributes_shape, exposed=False, packed=True),
    "com.microsoft::MatMulBlockQuantizedFp8Weight": StandIn("MatMul", _PAIR, _rows_are_outputs, exposed=False),
    "qonnx::XnorPopcountMatMul": StandIn("MatMul", _PAIR),
}
"""By their key in the tables of operators."""
