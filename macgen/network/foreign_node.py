"""A node of an operator that is not ONNX's own, what is known of its inputs, and the usual kinds of results."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from macgen.errors import shown
from macgen.network.onnx_file import onnx_module, tensor_type
from macgen.network.stand_ins import matrix_order

if TYPE_CHECKING:
    from onnx import TypeProto

Sizes = list[int | None]
Result = tuple[int, Sizes]
"""Element type, in ONNX's numbers, and sizes."""

FLOAT, UINT8, INT32 = 1, 2, 6

WINDOW = ("auto_pad", "ceil_mode", "dilations", "group", "kernel_shape", "pads", "strides")


class Open(Exception):  # noqa: N818 - no error: a result stays open
    """Something is not known that a result depends on."""


@dataclass(frozen=True)
class Foreign:
    """A node with what is known of its inputs.

    Attributes:
        given: the attributes.
        types: of the inputs; None: absent, or nothing is known.
    """

    given: Mapping[str, Any]
    types: tuple[TypeProto | None, ...]

    def has(self, index: int) -> bool:
        """Whether there is an input."""
        return index < len(self.types) and self.types[index] is not None

    def element(self, index: int, otherwise: int = FLOAT) -> int:
        """Return the element type of an input; `otherwise` if there is none."""
        kind = self.types[index] if self.has(index) else None
        return otherwise if kind is None else kind.tensor_type.elem_type

    def sizes(self, index: int) -> Sizes:
        """Return the sizes of an input."""
        kind = self.types[index] if self.has(index) else None
        if kind is None or not kind.tensor_type.HasField("shape"):
            raise Open
        return [
            dim.dim_value if dim.HasField("dim_value") and dim.dim_value >= 0 else None
            for dim in kind.tensor_type.shape.dim
        ]

    def count(self, name: str) -> int:
        """Return an attribute that is a size."""
        value = self.given.get(name)
        if not isinstance(value, int) or value < 1:
            raise ValueError(f"{name} {shown(value)} is not a positive integer")
        return value

    def integer(self, name: str, otherwise: int) -> int:
        """Return an attribute that is an integer; `otherwise` if it is absent."""
        value = self.given.get(name, otherwise)
        if not isinstance(value, int):
            text = value.decode(errors="replace") if isinstance(value, bytes) else value
            raise ValueError(f"{name} {shown(text)} is not an integer")
        return value


Rule = Callable[[Foreign], Sequence[Result | None]]
"""What each result is; None: open."""


# -- kinds of rules --------------------------------------------------------------------------------------------------


def same(*inputs: int | None) -> Rule:
    """Each result is like the input of this index."""

    def rule(node: Foreign) -> list[Result | None]:
        return [None if index is None else (node.element(index), node.sizes(index)) for index in inputs]

    return rule


def broadcast(*inputs: int, like: int, element: int | None = None) -> Rule:
    """One result, of elements as those of input `like`, and of the sizes to which the inputs broadcast."""

    def rule(node: Foreign) -> list[Result | None]:
        shapes = [known_sizes(node.sizes(index)) for index in inputs]
        return [(node.element(like) if element is None else element, list(np.broadcast_shapes(*shapes)))]

    return rule


def window(op: str, *inputs: int, last: Callable[[Foreign], bool] | bool = False, element: int = 0) -> Rule:
    """A convolution or pooling as ONNX's own; data with channels last if `last` says so."""

    def rule(node: Foreign) -> list[Result | None]:
        turned = last(node) if callable(last) else last
        shapes = [node.sizes(index) for index in inputs]
        if turned:
            shapes[0] = channels_first(shapes[0])
        given = {name: node.given[name] for name in WINDOW if node.given.get(name) is not None}
        sizes = as_onnx(op, given, shapes)
        return [(node.element(element), channels_last(sizes) if turned else sizes)]

    return rule


def says_channels_last(node: Foreign) -> bool:
    """Whether an attribute says that data has its channels last."""
    return bool(node.given.get("channels_last"))


def all_channels_last(node: Foreign) -> list[Result | None]:
    """QONNX's channels-last Conv, whose weights have their channels last too."""
    data, weights = channels_first(node.sizes(0)), channels_first(node.sizes(1))
    given = {name: node.given[name] for name in WINDOW if node.given.get(name) is not None}
    return [(node.element(0), channels_last(as_onnx("Conv", given, [data, weights])))]


def matmul(b: int = 1, element: Callable[[Foreign], int] = lambda node: node.element(0)) -> Rule:
    """A product of matrix stacks, turned as transA and the like say."""

    def rule(node: Foreign) -> list[Result | None]:
        shapes = []
        for which, index in (("A", 0), ("B", b)):
            sizes = node.sizes(index)
            turned, batch_turned = (bool(node.given.get(f"{name}{which}")) for name in ("trans", "transBatch"))
            shapes.append([sizes[axis] for axis in matrix_order(len(sizes), turned=turned, batch_turned=batch_turned)])
        return [(element(node), as_onnx("MatMul", {}, shapes))]

    return rule


def gemm(b: int = 1, element: Callable[[Foreign], int] = lambda node: node.element(0)) -> Rule:
    """A product of two matrices."""

    def rule(node: Foreign) -> list[Result | None]:
        left = node.sizes(0)[:: -1 if node.given.get("transA") else 1]
        right = node.sizes(b)[:: -1 if node.given.get("transB") else 1]
        return [(element(node), as_onnx("MatMul", {}, [left, right]))]

    return rule


def features_of(*names: str, like_input: bool = False) -> Rule:
    """The input with its last size replaced: by an attribute's, for each result; after them perhaps the input's own."""

    def rule(node: Foreign) -> list[Result | None]:
        element, sizes = node.element(0), node.sizes(0)
        results: list[Result | None] = [(element, [*sizes[:-1], node.count(name)]) for name in names]
        return [*results, (element, sizes)] if like_input else results

    return rule


# -- helpers -----------------------------------------------------------------------------------------------------------


def known_sizes(sizes: Sizes) -> tuple[int, ...]:
    """Return sizes that are all known; else raise Open."""
    if None in sizes:
        raise Open
    return tuple(size for size in sizes if size is not None)


def channels_first(sizes: Sizes) -> Sizes:
    """Return sizes (N, D1, ..., C) as (N, C, D1, ...)."""
    return [sizes[0], sizes[-1], *sizes[1:-1]]


def channels_last(sizes: Sizes) -> Sizes:
    """Return sizes (N, C, D1, ...) as (N, D1, ..., C)."""
    return [sizes[0], *sizes[2:], sizes[1]]


def as_onnx(op: str, given: Mapping[str, Any], shapes: Sequence[Sizes]) -> Sizes:
    """Return the sizes of the result of one of ONNX's operations on floats of these sizes."""
    onnx = onnx_module()
    names = [f"x{index}" for index in range(len(shapes))]
    node = onnx.helper.make_node(op, names, ["y"], **given)
    schema = onnx_module("onnx.defs").get_schema(op, 13, "")
    known = {name: tensor_type(FLOAT, sizes) for name, sizes in zip(names, shapes, strict=True)}
    inferred = onnx_module("onnx.shape_inference").infer_node_outputs(
        schema, node, known, opset_imports=[onnx.helper.make_opsetid("", 13)]
    )
    result = inferred.get("y")
    if result is None or not result.tensor_type.HasField("shape"):
        raise Open
    return [dim.dim_value if dim.HasField("dim_value") else None for dim in result.tensor_type.shape.dim]
