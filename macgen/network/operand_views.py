"""What a layer's multipliers see: of quantised operands the integers, brought into the operand's layout."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from macgen.network.dequantized import Moved, ShapeOf, dequantized
from macgen.network.onnx_file import attributes
from macgen.network.onnx_model import LayerNode
from macgen.network.weight_sums import Outputs

if TYPE_CHECKING:
    from onnx import NodeProto

Array = NDArray[Any]


@dataclass(frozen=True)
class View:
    """A tensor as a layer's multipliers see it.

    Attributes:
        tensor: its name.
        zero: name of its zero point; empty: none.
        zero_axis: the axis along which a zero point of one dimension runs, or along which those of blocks follow.
        block: elements that share a zero point along that axis; 0: no blocks.
        moves: what is done to the tensor, less its zero point.
        outputs: of weights, which of them each output sums; None: activations.
    """

    tensor: str
    zero: str
    zero_axis: int
    block: int
    moves: tuple[Moved, ...]
    outputs: Outputs | None

    @property
    def codes(self) -> View:
        """The same tensor, its zero point not subtracted."""
        return replace(self, zero="")

    def values(self, x: Array, zero: Array | None) -> Array:
        """Return what the multipliers see.

        Parameters:
            x: the tensor.
            zero: its zero points, if it has some: one, one for each index along an axis, one for each block along it,
                or of a shape that broadcasts.
        """
        if zero is not None and zero.size == 1:
            x = x - zero.reshape(())
        elif zero is not None:
            if zero.ndim == 1 and x.ndim > 1:
                zero = np.moveaxis(zero.reshape((1,) * (x.ndim - 1) + (-1,)), -1, self.zero_axis)
            elif self.block and zero.ndim == x.ndim:
                each = np.arange(x.shape[self.zero_axis]) // self.block
                zero = zero.take(each, axis=self.zero_axis)
            x = x - zero
        for move in self.moves:
            x = move(x)
        return x


def views(makers: Mapping[str, NodeProto], shape_of: ShapeOf, node: LayerNode) -> tuple[View, View]:
    """Return how a layer sees its operands: the integers, if both come from DequantizeLinear.

    Parameters:
        makers: the nodes of the graph by their results.
        shape_of: returns a tensor's shape, or None where it is not known.
        node: the layer.
    """
    conv = "Conv" in node.layer.op
    zero_axes = (1, 0) if conv else (-2, -1)
    if node.weight == "b" and isinstance(node.outputs, tuple) and node.outputs:  # one zero point for each output
        zero_axes = (zero_axes[0], node.outputs[-1])
    pair = [
        View(tensor, zero, axis, 0, (), node.outputs if node.weight == which else None)
        for which, tensor, zero, axis in zip("ab", node.operands, node.zeros, zero_axes, strict=True)
    ]
    origins = [dequantized(makers, shape_of, view.tensor) for view in pair]
    if all(origin is not None for origin in origins):
        for index, origin in enumerate(origins):
            assert origin is not None
            source = origin.node
            zero = source.input[2] if len(source.input) > 2 else ""
            given = attributes(source)
            pair[index] = replace(
                pair[index],
                tensor=source.input[0],
                zero=zero,
                zero_axis=given.get("axis", 1),
                block=given.get("block_size", 0),
                moves=origin.moves,
            )
    return pair[0], pair[1]
