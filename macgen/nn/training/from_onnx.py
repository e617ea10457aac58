"""Classifiers of ONNX files as modules of torch, so that they can be trained."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch.nn import functional

from macgen.errors import MacgenError, shown, shown_path
from macgen.network.onnx_file import load_external_data, onnx_module, read_model
from macgen.network.onnx_strides import paddings

if TYPE_CHECKING:
    from onnx import NodeProto

Arrays = dict[str, np.ndarray[Any, Any]]
Step = tuple[str, Callable[..., Any] | None, tuple[str, ...], str]
"""The name of a layer or none, what is computed before it or in place of one, of which values, and the result."""

_ELEMENTWISE: dict[str, Callable[..., Any]] = {
    "Relu": functional.relu,
    "Sigmoid": torch.sigmoid,
    "Tanh": torch.tanh,
    "Add": torch.add,
    "Sub": torch.sub,
    "Mul": torch.mul,
    "Div": torch.div,
    "Identity": lambda x: x,
    "Dropout": lambda x, *more: x,
}
_LAST = ("Softmax", "LogSoftmax")
"""Left out at the end: the cross entropy has them."""

_POOLS: dict[str, tuple[Callable[..., Any], ...]] = {
    "MaxPool": (functional.max_pool1d, functional.max_pool2d),
    "AveragePool": (functional.avg_pool1d, functional.avg_pool2d),
}

ACCEPTED = (
    *_ELEMENTWISE,
    *_LAST,
    *_POOLS,
    "BatchNormalization",
    "Clip",
    "Concat",
    "Constant",
    "Conv",
    "Flatten",
    "Gemm",
    "GlobalAveragePool",
    "LeakyRelu",
    "MatMul",
    "Reshape",
    "Transpose",
)
"""Operations that are known."""


class OnnxNetwork(torch.nn.Module):
    """A network of an ONNX file; its layers have the names of the file's nodes, with _ for a point.

    Weights, biases and the statistics of batch normalisation are the file's, and train. Dropout passes everything on.
    A softmax at the end is left out, so that the outputs are what the cross entropy takes.

    Parameters:
        path: of the file.

    Raises:
        MacgenError: the file is no model, has several inputs, or an operation that is not known.
        ToolError: the package onnx is missing.
    """

    def __init__(self, path: str | Path) -> None:
        super().__init__()
        model = read_model(path)
        load_external_data(model, path)
        graph, self._file = model.graph, shown_path(path)
        to_array = onnx_module("onnx.numpy_helper").to_array
        self._arrays: Arrays = {each.name: np.array(to_array(each)) for each in graph.initializer}
        inputs = [each.name for each in graph.input if each.name not in self._arrays]
        if len(inputs) != 1 or not graph.output:
            raise MacgenError(f"model {self._file} has the inputs {shown(inputs)}; accepted are networks of one input")
        self._input, self._output = inputs[0], graph.output[0].name
        self._used: dict[str, str] = {}
        self._steps: list[Step] = []
        for node in graph.node:
            self._add(node)
        del self._arrays, self._used

    def forward(self, x: Any) -> Any:
        """Return the first output of the file's network for its input."""
        values = {self._input: x}
        for layer, function, given, made in self._steps:
            operands = tuple(values[name] if name in values else getattr(self, name) for name in given)
            if function is not None:
                operands = (function(*operands),)
            values[made] = getattr(self, layer)(*operands) if layer else operands[0]
        return values[self._output]

    # -- one node ------------------------------------------------------------------------------------------------------

    def _add(self, node: NodeProto) -> None:
        options = _options(node)
        if node.domain not in ("", "ai.onnx") or node.op_type not in ACCEPTED:
            raise self._refused(node, "is not known", f"accepted are {', '.join(sorted(ACCEPTED))}")
        if node.op_type == "Constant":
            value = options.get("value")
            if value is None:
                raise self._refused(node, "has no tensor", "accepted are constants of one")
            self._arrays[node.output[0]] = np.array(onnx_module("onnx.numpy_helper").to_array(value))
            return
        if node.op_type in _LAST:
            if node.output[0] != self._output:
                raise self._refused(node, "is not at the end", "accepted is one that gives the output")
            self._output = node.input[0]
            return
        if node.op_type in ("Conv", "Gemm", "MatMul", "BatchNormalization"):
            self._add_layer(node, options)
            return
        step, taken = self._function(node, options)
        self._steps.append(("", step, tuple(self._name(name) for name in node.input[:taken]), node.output[0]))

    def _add_layer(self, node: NodeProto, options: Mapping[str, Any]) -> None:
        made = {
            "Conv": self._convolution,
            "Gemm": self._linear,
            "MatMul": self._linear,
            "BatchNormalization": self._normalisation,
        }[node.op_type](node, options)
        name = (node.name or node.output[0]).replace(".", "_")
        if name in self._modules or hasattr(self, name):
            name = f"{name}_{len(self._modules)}"
        self.add_module(name, made[0])
        before = made[1] if len(made) > 1 else None
        self._steps.append((name, before, (self._name(node.input[0]),), node.output[0]))

    def _convolution(self, node: NodeProto, options: Mapping[str, Any]) -> tuple[Any, ...]:
        weight, bias = self._weight(node, 1), self._weight(node, 2) if len(node.input) > 2 and node.input[2] else None
        rank = weight.ndim - 2
        if rank not in (1, 2):
            raise self._refused(node, f"is of {rank} dimensions", "accepted are convolutions of one or two")
        pads, before = self._padding(node, options, weight.shape[2:], 0.0)
        kind = (torch.nn.Conv1d, torch.nn.Conv2d)[rank - 1]
        groups = options.get("group", 1)
        layer = kind(
            weight.shape[1] * groups,
            weight.shape[0],
            tuple(weight.shape[2:]),
            stride=tuple(options.get("strides", (1,) * rank)),
            padding=pads,
            dilation=tuple(options.get("dilations", (1,) * rank)),
            groups=groups,
            bias=bias is not None,
        )
        return _filled(layer, weight, bias), before

    def _linear(self, node: NodeProto, options: Mapping[str, Any]) -> tuple[Any, ...]:
        weight = self._weight(node, 1)
        plain = all(options.get(name, 1.0) == 1.0 for name in ("alpha", "beta")) and not options.get("transA", 0)
        bias = self._weight(node, 2).reshape(-1) if len(node.input) > 2 and node.input[2] else None
        if weight.ndim != 2 or not plain:
            raise self._refused(node, "is no fully connected layer", "accepted are x W and x W + b, of two dimensions")
        weight = weight if options.get("transB", 0) else weight.T
        if bias is not None and len(bias) != len(weight):
            bias = np.broadcast_to(bias, len(weight))
        return (_filled(torch.nn.Linear(weight.shape[1], weight.shape[0], bias=bias is not None), weight, bias),)

    def _normalisation(self, node: NodeProto, options: Mapping[str, Any]) -> tuple[Any, ...]:
        scale, bias, mean, variance = (self._weight(node, number) for number in range(1, 5))
        layer = _AnyBatchNorm(len(scale), eps=options.get("epsilon", 1e-5), momentum=1 - options.get("momentum", 0.9))
        _filled(layer, scale, bias)
        layer.running_mean.copy_(torch.from_numpy(np.array(mean)))
        layer.running_var.copy_(torch.from_numpy(np.array(variance)))
        return (layer,)

    def _function(self, node: NodeProto, options: Mapping[str, Any]) -> tuple[Callable[..., Any], int]:
        """Return what an operation without weights computes, and of how many inputs."""
        op = node.op_type
        if op in _ELEMENTWISE:
            return _ELEMENTWISE[op], 1 if op == "Dropout" else len(node.input)
        if op == "LeakyRelu":
            slope = options.get("alpha", 0.01)
            return (lambda x: functional.leaky_relu(x, slope)), 1
        if op == "Clip":
            ends = [None if len(node.input) <= i or not node.input[i] else float(self._array(node, i)) for i in (1, 2)]
            ends = [options.get(name, end) for name, end in zip(("min", "max"), ends, strict=True)]
            return (lambda x: torch.clamp(x, *ends)), 1
        if op == "Concat":
            return (lambda *parts: torch.cat(parts, options["axis"])), len(node.input)
        if op == "Flatten" and options.get("axis", 1) == 1:
            return (lambda x: x.flatten(1)), 1
        if op == "Transpose" and options.get("perm", (1,))[0] == 0:
            return (lambda x: x.permute(*options["perm"])), 1
        if op == "GlobalAveragePool":
            return (lambda x: x.mean(tuple(range(2, x.dim())), keepdim=True)), 1
        if op == "Reshape":
            sizes = [int(each) for each in self._array(node, 1).reshape(-1)]
            if sizes and sizes.count(-1) - (sizes[0] == -1) <= 0:  # examples come first, however many there are
                return (lambda x: x.reshape(len(x), *(n or x.shape[i] for i, n in enumerate(sizes) if i))), 1
            if len(sizes) == 2 and sizes[1] == -1:
                return (lambda x: x.flatten(1)), 1
        if op in _POOLS:
            return self._pool(node, options), 1
        raise self._refused(node, "moves examples", "accepted are operations on each example alone")

    def _pool(self, node: NodeProto, options: Mapping[str, Any]) -> Callable[..., Any]:
        kernel = tuple(options["kernel_shape"])
        if len(kernel) > 2 or options.get("ceil_mode", 0) or any(size != 1 for size in options.get("dilations", ())):
            raise self._refused(
                node, "is of a kind that is not known", "accepted are poolings in one or two dimensions"
            )
        maximal = node.op_type == "MaxPool"
        pads, before = self._padding(node, options, kernel, -float("inf") if maximal else 0.0)
        padded = before is not None or any(pads)
        if padded and not maximal and not options.get("count_include_pad", 0):
            raise self._refused(node, "leaves padding out of its mean", "accepted are those that count it")
        function, strides = _POOLS[node.op_type][len(kernel) - 1], tuple(options.get("strides", (1,) * len(kernel)))
        return lambda x: function(x if before is None else before(x), kernel, strides, pads)

    def _padding(
        self, node: NodeProto, options: Mapping[str, Any], kernel: Sequence[int], value: float
    ) -> tuple[tuple[int, ...], Callable[[Any], Any] | None]:
        """Return the zeros on both sides of each dimension, or none and what pads before where it is not as simple."""
        what = f"{node.op_type} {_name(node)} of model {self._file}"

        def before(x: Any) -> Any:
            sides = paddings(options, kernel, x.shape[2:], what)
            return functional.pad(x, [side for dimension in reversed(sides) for side in dimension], value=value)

        if options.get("auto_pad", b"NOTSET") in (b"SAME_UPPER", b"SAME_LOWER"):
            return (0,) * len(kernel), before
        sides = paddings(options, kernel, kernel, what)  # they do not depend on the input's size
        if all(first == last for first, last in sides):
            return tuple(first for first, _ in sides), None
        return (0,) * len(kernel), before

    # -- tensors of the file -------------------------------------------------------------------------------------------

    def _array(self, node: NodeProto, number: int) -> np.ndarray[Any, Any]:
        name = node.input[number] if len(node.input) > number else ""
        if name not in self._arrays:
            raise self._refused(node, f"computes its input {number}", "accepted is one that the file has")
        return self._arrays[name]

    def _weight(self, node: NodeProto, number: int) -> np.ndarray[Any, Any]:
        value, name = self._array(node, number), node.input[number]
        if name in self._used and value.ndim > 1:
            raise self._refused(
                node,
                f"shares the weights {shown(name)} with {self._used[name]}",
                "accepted are weights that are used once",
            )
        self._used[name] = shown(node.name or node.output[0])
        if value.dtype.kind != "f":
            raise self._refused(node, f"has weights of {value.dtype}", "accepted are floating-point networks")
        return value.astype(np.float32)

    def _name(self, name: str) -> str:
        """Return where a step finds an input: a value, or a constant of this module, which is made."""
        if name not in self._arrays:
            return name
        key, value = f"constant_{len(self._used)}", torch.from_numpy(np.array(self._arrays[name]))
        self._used[key] = name
        if value.is_floating_point() and value.dim() <= 1:  # such as the bias after a MatMul
            self.register_parameter(key, torch.nn.Parameter(value.float()))
        else:
            self.register_buffer(key, value)
        return key

    def _refused(self, node: NodeProto, what: str, accepted: str) -> MacgenError:
        return MacgenError(f"node {_name(node)} of model {self._file}, {node.op_type}, {what}; {accepted}")


class _AnyBatchNorm(torch.nn.modules.batchnorm._BatchNorm):
    """Batch normalisation of any number of dimensions."""

    def _check_input_dim(self, input: Any) -> None:
        pass


def _filled(layer: Any, weight: np.ndarray[Any, Any], bias: np.ndarray[Any, Any] | None) -> Any:
    with torch.no_grad():
        layer.weight.copy_(torch.from_numpy(np.array(weight)))
        if bias is not None:
            layer.bias.copy_(torch.from_numpy(np.array(bias)))
    return layer


def _name(node: NodeProto) -> str:
    return shown(node.name or (node.output[0] if node.output else ""))


def _options(node: NodeProto) -> dict[str, Any]:
    value = onnx_module("onnx.helper").get_attribute_value
    found = {attribute.name: value(attribute) for attribute in node.attribute}
    return {
        name: tuple(each) if isinstance(each, Sequence) and not isinstance(each, bytes) else each
        for name, each in found.items()
    }
