"""Where the integers of a quantised operand are: behind DequantizeLinear, and behind what only changes a layout."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from macgen.network.onnx_file import attributes, onnx_module
from macgen.network.operand_format import OperandFormat
from macgen.network.operator_table import operator_key

if TYPE_CHECKING:
    from onnx import NodeProto

    from macgen.network.onnx_tensors import Tensors

ShapeOf = Callable[[str], tuple[int, ...] | None]
Array = NDArray[Any]

_DEQUANTIZE = ("DequantizeLinear", "com.microsoft::DequantizeLinear")
_RESHAPE = ("Reshape", "Flatten", "Squeeze", "Unsqueeze")
_REALS = ("FLOAT", "FLOAT16", "DOUBLE", "BFLOAT16")
_FURTHEST = 64  # operations between DequantizeLinear and a layer

_STORED = {
    **{f"{kind.upper()}{bits}": f"{kind}{bits}" for kind in ("int", "uint") for bits in (2, 4, 8, 16, 32)},
    "FLOAT8E4M3FN": "e4m3fn",
    "FLOAT8E4M3FNUZ": "e4m3fnuz",
    "FLOAT8E5M2": "e5m2",
    "FLOAT8E5M2FNUZ": "e5m2fnuz",
    "FLOAT4E2M1": "e2m1finite",
}


@dataclass(frozen=True)
class Moved:
    """A step that changes a tensor's layout and no value.

    Attributes:
        shape: of the result.
        order: the axes of the tensor in their new order, before it is given that shape; None: as they are.
    """

    shape: tuple[int, ...]
    order: tuple[int, ...] | None = None

    def __call__(self, x: Array) -> Array:
        """Return the tensor in its new layout."""
        return (x if self.order is None else x.transpose(self.order)).reshape(self.shape)


@dataclass(frozen=True)
class Origin:
    """A DequantizeLinear and what lies between it and an operand.

    Attributes:
        node: it.
        moves: in the order of computation.
    """

    node: NodeProto
    moves: tuple[Moved, ...]


def dequantized(makers: Mapping[str, NodeProto], shape_of: ShapeOf, tensor: str) -> Origin | None:
    """Return the DequantizeLinear whose result a tensor is, perhaps in another layout; None: there is none."""
    moves: list[Moved] = []
    for _ in range(_FURTHEST):
        maker = makers.get(tensor)
        key = "" if maker is None or not maker.input else operator_key(maker)
        if maker is None or key in _DEQUANTIZE:
            return None if maker is None else Origin(maker, tuple(reversed(moves)))
        shape = shape_of(tensor)
        if key == "Transpose" and shape is not None:
            order = attributes(maker).get("perm") or range(len(shape))[::-1]
            moves.append(Moved(shape, tuple(order)))
        elif key in _RESHAPE and shape is not None:
            moves.append(Moved(shape))
        elif not (key == "Identity" or (key == "Cast" and _gives_reals(maker))):
            return None
        tensor = maker.input[0]
    return None


def _gives_reals(cast: NodeProto) -> bool:
    """Whether a Cast keeps the values: one to integers cuts them off."""
    element: Any = onnx_module().TensorProto.DataType
    return attributes(cast).get("to") in [element.Value(name) for name in _REALS]


def stored_formats(
    makers: Mapping[str, NodeProto], tensors: Tensors, operands: tuple[str, str]
) -> tuple[OperandFormat | None, OperandFormat | None]:
    """Return the formats in which two operands are stored, zero points not subtracted; None: real numbers.

    Parameters:
        makers: the nodes so far by their results.
        tensors: what is known of the tensors.
        operands: their names.
    """
    origins = [dequantized(makers, tensors.shape, operand) for operand in operands]
    names = [
        operand if origin is None else origin.node.input[0] for operand, origin in zip(operands, origins, strict=True)
    ]
    first, second = (_stored(name, tensors) for name in names)
    return first, second


def _stored(name: str, tensors: Tensors) -> OperandFormat | None:
    kind = tensors.types.get(name)
    if kind is None or not kind.HasField("tensor_type"):
        return None
    element: Any = onnx_module().TensorProto.DataType
    try:
        stored = _STORED.get(element.Name(kind.tensor_type.elem_type))
    except ValueError:  # of a type that this onnx does not know
        return None
    return None if stored is None else OperandFormat(stored)
