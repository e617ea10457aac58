"""The operations that run on the arithmetic: a node's inputs to its results, its products computed by a layer each."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from macgen.errors import MacgenError, shown
from macgen.network.onnx_einsum import parsed_equation
from macgen.network.onnx_file import attributes
from macgen.network.onnx_operation import Operation
from macgen.network.operator_table import operator_key
from macgen.nn.arithmetic import Products, working_type
from macgen.nn.convolutions import convolve, convolve_transposed
from macgen.nn.recurrent import recur

if TYPE_CHECKING:
    from onnx import NodeProto

Array = NDArray[Any]
Weight = Literal["a", "b"] | None
"""Which operand of a layer holds weights; None: neither."""


@dataclass(frozen=True)
class Call:
    """A node that is to be computed.

    Attributes:
        node: the node.
        given: its attributes.
        inputs: its inputs; None: left out.
        products: of its layers, in their order.
        weights: which operand of each layer holds weights.
        what: how sentences call it.
    """

    node: NodeProto
    given: Mapping[str, Any]
    inputs: Sequence[Array | None]
    products: Sequence[Products]
    weights: Sequence[Weight]
    what: str

    def input(self, index: int) -> Array:
        """Return an input that has to be there."""
        x = self.optional(index)
        if x is None:
            raise MacgenError(f"{self.what} lacks its input {index}; accepted are complete nodes")
        return x

    def optional(self, index: int) -> Array | None:
        """Return an input that may be left out."""
        return self.inputs[index] if index < len(self.inputs) else None


def refusal(node: NodeProto) -> str | None:
    """Return why a node with counted multiply-accumulates cannot run on the arithmetic; None if it can."""
    if operator_key(node) not in OPERATIONS:
        accepted = ", ".join(OPERATIONS)
        return f"{operator_key(node)} is no operation that runs on the arithmetic; accepted are {accepted}"
    return None


def weights_of(node: NodeProto, constants: Collection[str]) -> list[Weight]:
    """Return which operand of each of a node's layers holds weights: one that is the same whatever the input.

    Parameters:
        node: of an operation in `OPERATIONS`.
        constants: the tensors that are.
    """
    key = operator_key(node)
    if key == "Einsum":
        left, *others = (source in constants for source in node.input)
        found: list[Weight] = []
        for right in others:
            if not (left and right):  # of constants alone: no layer
                found.append("b" if right else "a" if left else None)
            left = left and right
        return found
    if key in _SIDES:
        a, b = (node.input[index] in constants for index in _SIDES[key])
        return ["b" if b else "a" if a else None]
    return ["b" if node.input[index] in constants else None for index in _KERNELS[key]]


_SIDES = {"Gemm": (0, 1), "MatMul": (0, 1), "MatMulInteger": (0, 1), "QLinearMatMul": (0, 3)}
"""The inputs either of which may hold weights."""

_KERNELS = {
    "Conv": (1,), "ConvInteger": (1,), "ConvTranspose": (1,), "QLinearConv": (3,), "GRU": (1, 2), "LSTM": (1, 2),
    "RNN": (1, 2),
}  # fmt: skip
"""The operands b of each layer where they alone may."""


def compute(
    node: NodeProto,
    inputs: Sequence[Array | None],
    products: Sequence[Products],
    weights: Sequence[Weight],
    what: str,
) -> list[Array]:
    """Return a node's results.

    Parameters:
        node: of an operation in `OPERATIONS`.
        inputs: its inputs; None: left out.
        products: of its layers, in their order.
        weights: which operand of each layer holds weights.
        what: how sentences call it.

    Raises:
        MacgenError: the inputs do not fit the operation, or an attribute is refused.
    """
    call = Call(node, attributes(node), inputs, products, weights, what)
    return OPERATIONS[operator_key(node)](call)


# -- matrices ----------------------------------------------------------------------------------------------------------


def multiply(products: Products, a: Array, b: Array, weight: Weight = "b") -> Array:
    """Return the product of stacks of matrices, as NumPy's `matmul` shapes and broadcasts them.

    Weights on the left change places with the activations, so that weights are always the operands b.
    """
    one_row, one_column = a.ndim == 1, b.ndim == 1
    a = a[np.newaxis] if one_row else a
    b = b[:, np.newaxis] if one_column else b
    if weight == "a":
        y = np.swapaxes(_product(products, np.swapaxes(b, -1, -2), np.swapaxes(a, -1, -2)), -1, -2)
    else:
        y = _product(products, a, b)
    y = y[..., 0, :] if one_row else y
    return y[..., 0] if one_column else y


def _product(products: Products, a: Array, b: Array) -> Array:
    qa, qb = products.operands(a, b)
    if b.ndim == 2:
        rows = qa.reshape(-1, qa.shape[-1])
        return np.asarray(products.matmul(rows, qb).reshape(*qa.shape[:-1], qb.shape[-1]))
    stack = np.broadcast_shapes(qa.shape[:-2], qb.shape[:-2])
    y = np.empty((*stack, qa.shape[-2], qb.shape[-1]), dtype=working_type(a))
    left = np.broadcast_to(qa, (*stack, *qa.shape[-2:]))
    right = np.broadcast_to(qb, (*stack, *qb.shape[-2:]))
    extra = len(stack) - (qb.ndim - 2)
    for index in np.ndindex(stack):
        own = tuple(0 if size == 1 else i for i, size in zip(index[extra:], qb.shape[:-2], strict=True))
        y[index] = products.matmul(left[index], right[index], own)
    return y


def _matmul(call: Call) -> list[Array]:
    a, b = call.input(0), call.input(1)
    return [_typed(multiply(call.products[0], a, b, call.weights[0]), a.dtype)]


def _gemm(call: Call) -> list[Array]:
    a, b, c = call.input(0), call.input(1), call.optional(2)
    left = a.T if call.given.get("transA") else a
    right = b.T if call.given.get("transB") else b
    y = multiply(call.products[0], left, right, call.weights[0]) * call.given.get("alpha", 1.0)
    if c is not None:
        y = y + c * call.given.get("beta", 1.0)
    return [_typed(y, a.dtype)]


def _einsum(call: Call) -> list[Array]:
    operands = [call.input(index) for index in range(len(call.inputs))]
    shapes = tuple(x.shape for x in operands)
    operation = Operation(
        node=call.node, name=call.node.name, a=shapes[0], b=shapes[1], out=(), weight=None, input_gradient=False,
        given=call.given, model=call.what, inputs=shapes,
    )  # fmt: skip
    equation = parsed_equation(operation)
    if equation is None:
        raise MacgenError(f"{call.what} has the equation {shown(call.given.get('equation'))}; accepted are ONNX's")
    labels = {label: number for number, label in enumerate(equation.sizes)}
    terms = []
    for x, term in zip(operands, equation.terms, strict=True):
        kept = [axis for axis, label in enumerate(term) if label is not None]
        x = x.reshape([x.shape[axis] for axis in kept])
        numbers = [labels[label] for label in term if label is not None]
        terms.append((np.einsum(x, numbers, list(dict.fromkeys(numbers))), list(dict.fromkeys(numbers))))
    size = dict(enumerate(equation.sizes.values()))
    out = [labels[label] for label in equation.out]
    (left, own), *others = terms
    # A product whose operands are both constant is no layer.
    layers = list(zip(call.products, call.weights, strict=True))[::-1]
    for number, (right, its) in enumerate(others):
        later = {label for _, names in others[number + 1 :] for label in names}
        kept_labels = [label for label in dict.fromkeys([*own, *its]) if label in out or label in later]
        last = len(others) - number
        products, weight = layers[last - 1] if last <= len(layers) else (None, None)
        left, own = _contract(products, left, own, right, its, kept_labels, size, weight), kept_labels
    return [_typed(np.einsum(left, own, out), operands[0].dtype)]


def _contract(
    products: Products | None,
    left: Array,
    own: list[int],
    right: Array,
    its: list[int],
    kept: list[int],
    size: Mapping[int, int],
    weight: Weight,
) -> Array:
    """Return a sum of products over the labels that are not kept, as a stack of matrix products."""
    if products is None:
        return np.asarray(np.einsum(left, own, right, its, kept))
    stack = [label for label in kept if label in own and label in its]
    rows = [label for label in kept if label not in its]
    columns = [label for label in kept if label not in own]
    summed = [label for label in dict.fromkeys([*own, *its]) if label not in kept]

    def arranged(x: Array, names: list[int], order: list[int]) -> Array:
        """Return an operand with the axes of an order; one that it has not is repeated."""
        x = np.einsum(x, names, [label for label in order if label in names])
        x = x[tuple(slice(None) if label in names else np.newaxis for label in order)]
        return np.broadcast_to(x, [size[label] for label in order])

    a = arranged(left, own, [*stack, *rows, *summed])
    b = arranged(right, its, [*stack, *summed, *columns])
    stacks = [size[label] for label in stack]
    a = a.reshape(*stacks, -1, int(np.prod([size[label] for label in summed], initial=1)))
    b = b.reshape(*stacks, a.shape[-1], -1)
    y = multiply(products, a, b, weight).reshape([size[label] for label in (*stack, *rows, *columns)])
    return np.asarray(np.einsum(y, [*stack, *rows, *columns], kept))


# -- convolutions ------------------------------------------------------------------------------------------------------


def _with_bias(y: Array, bias: Array | None) -> Array:
    return y if bias is None else y + bias.reshape(1, -1, *(1,) * (y.ndim - 2))


def _conv(call: Call) -> list[Array]:
    x = call.input(0)
    sums = convolve(call.products[0], x, call.input(1), call.given, call.what)
    return [_with_bias(sums, call.optional(2)).astype(x.dtype, copy=False)]


def _conv_transpose(call: Call) -> list[Array]:
    x = call.input(0)
    sums = convolve_transposed(call.products[0], x, call.input(1), call.given, call.what)
    return [_with_bias(sums, call.optional(2)).astype(x.dtype, copy=False)]


# -- integers ----------------------------------------------------------------------------------------------------------


def _less_zero(x: Array, zero: Array | None, axis: int) -> Array:
    """Return integers less their zero points: one, or one for each index along an axis."""
    x = x.astype(np.int64)
    if zero is None:
        return x
    zero = zero.astype(np.int64)
    if zero.size == 1:
        return x - zero.reshape(())
    if zero.ndim == 1:
        zero = zero.reshape([-1 if place == axis % x.ndim else 1 for place in range(x.ndim)])
    return x - zero


def _whole(y: Array, dtype: Any = np.int32) -> Array:
    """Return the nearest integers that a type holds, as float64; of NaN, 0."""
    limits = np.iinfo(dtype)
    most = float(limits.max)
    most = most if most <= limits.max else float(np.nextafter(most, 0))  # 2^63 is beyond int64
    return np.clip(np.rint(np.nan_to_num(np.asarray(y, np.float64), posinf=np.inf, neginf=-np.inf)), limits.min, most)


def _typed(y: Array, dtype: np.dtype[Any]) -> Array:
    """Return sums in the type of a result; a cast alone would cut what lies between integers."""
    return np.asarray(_whole(y, dtype) if dtype.kind in "iu" else y).astype(dtype, copy=False)


def _matmul_integer(call: Call) -> list[Array]:
    a = _less_zero(call.input(0), call.optional(2), -2)
    b = _less_zero(call.input(1), call.optional(3), -1)
    return [_whole(multiply(call.products[0], a, b, call.weights[0])).astype(np.int32)]


def _conv_integer(call: Call) -> list[Array]:
    x, w = _less_zero(call.input(0), call.optional(2), 1), _less_zero(call.input(1), call.optional(3), 0)
    return [_whole(convolve(call.products[0], x, w, call.given, call.what)).astype(np.int32)]


def _requantized(call: Call, y: Array, scale: Array, zero: Array | None) -> Array:
    """Return real values as the integers of a quantised result."""
    dtype = np.dtype(np.uint8) if zero is None else zero.dtype
    shift = 0 if zero is None else int(zero.reshape(()))
    return _typed(np.rint(y / float(scale.reshape(()))) + shift, dtype)


def _qlinear_matmul(call: Call) -> list[Array]:
    a, b = _less_zero(call.input(0), call.optional(2), -2), _less_zero(call.input(3), call.optional(5), -1)
    a_scale, b_scale = call.input(1), call.input(4)
    a_scale = a_scale.reshape(-1, 1) if a_scale.ndim == 1 and a_scale.size > 1 else a_scale
    sums = _whole(multiply(call.products[0], a, b, call.weights[0])) * a_scale * b_scale
    return [_requantized(call, sums, call.input(6), call.optional(7))]


def _qlinear_conv(call: Call) -> list[Array]:
    x, w = _less_zero(call.input(0), call.optional(2), 1), _less_zero(call.input(3), call.optional(5), 0)
    scale = call.input(1).reshape(()) * call.input(4).reshape(-1)
    sums = _with_bias(_whole(convolve(call.products[0], x, w, call.given, call.what)), call.optional(8))
    real = sums * scale.reshape(1, -1, *(1,) * (sums.ndim - 2))
    return [_requantized(call, real, call.input(6), call.optional(7))]


def _recurrent(call: Call) -> list[Array]:
    inputs = [call.optional(index) for index in range(8)]
    return recur(call.node.op_type, call.products, inputs, call.given, call.what)


OPERATIONS: Mapping[str, Callable[[Call], list[Array]]] = {
    "Conv": _conv,
    "ConvInteger": _conv_integer,
    "ConvTranspose": _conv_transpose,
    "Einsum": _einsum,
    "GRU": _recurrent,
    "Gemm": _gemm,
    "LSTM": _recurrent,
    "MatMul": _matmul,
    "MatMulInteger": _matmul_integer,
    "QLinearConv": _qlinear_conv,
    "QLinearMatMul": _qlinear_matmul,
    "RNN": _recurrent,
}
"""The operations that run on the arithmetic, by their key in the tables of operators."""
