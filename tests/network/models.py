"""ONNX models for the tests: built here, or shipped in installed packages."""

import importlib.util
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

LIGHT = sorted((Path(onnx.__file__).parent / "backend/test/data/light").glob("*.onnx"))
"""Topologies without weights that the onnx package ships."""


def trained(part):
    """Return the trained network of rapidocr-onnxruntime whose file name has a part; the package is not imported."""
    (folder,) = importlib.util.find_spec("rapidocr_onnxruntime").submodule_search_locations
    (path,) = [path for path in (Path(folder) / "models").glob("*.onnx") if part in path.name]
    return path


def weight(name, *shape, dtype="float32", seed=0):
    values = np.random.default_rng(seed).integers(-3, 4, shape)
    return numpy_helper.from_array(np.asarray(values, dtype=dtype), name)


def constant(name, values, dtype="int64"):
    return numpy_helper.from_array(np.asarray(values, dtype=dtype), name)


def value(name, shape=None, element=TensorProto.FLOAT):
    return helper.make_tensor_value_info(name, element, shape)


def of_kind(layer, kind):
    """Return a layer's GEMMs of one kind."""
    return [gemm for gemm in layer.gemms if gemm.kind == kind]


def count_macs(network, *kinds):
    """Return a network's multiply-accumulates of some kinds; of all, if none is given."""
    return sum(gemm.macs for _, gemm in network.gemms() if not kinds or gemm.kind in kinds)


def node(op, inputs, outputs, **attributes):
    return helper.make_node(op, inputs.split(), outputs.split(), **attributes)


def model(nodes, inputs, weights=(), outputs=None, opset=17, functions=(), domains=()):
    """Return a model; the outputs are the last node's unless given."""
    if outputs is None:
        outputs = [value(name) for name in nodes[-1].output]
    graph = helper.make_graph(nodes, "graph", inputs, outputs, initializer=list(weights))
    opsets = [helper.make_opsetid("", opset), *(helper.make_opsetid(domain, 1) for domain in domains)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8, functions=list(functions))


def saved(folder, made, name="model.onnx"):
    path = Path(folder) / name
    path.write_bytes(made if isinstance(made, bytes) else made.SerializeToString())
    return path


def rich_model():
    """Return a small model with every kind of layer, a function, branches, a loop and shapes computed from shapes."""
    then_branch = helper.make_graph([node("MatMul", "pool w8", "then_y")], "then", [], [value("then_y")])
    else_branch = helper.make_graph([node("MatMul", "pool w8b", "else_y")], "else", [], [value("else_y")])
    body = helper.make_graph(
        [node("MatMul", "state w8", "next_state"), node("Identity", "go", "go_on")],
        "body",
        [value("i", [], TensorProto.INT64), value("go", [], TensorProto.BOOL), value("state")],
        [value("go_on", [], TensorProto.BOOL), value("next_state")],
    )
    function = helper.make_function(
        "local", "Activation", ["x"], ["y"], [node("Relu", "x", "y")], [helper.make_opsetid("", 17)]
    )
    nodes = [
        node("Conv", "x w_conv b_conv", "conv_y", name="conv", strides=[2, 2], pads=[1, 1, 1, 1]),
        node("Activation", "conv_y", "relu_y", domain="local"),
        node("ConvTranspose", "relu_y w_up", "up_y", name="up", strides=[2, 2]),
        node("Conv", "up_y w_depth", "depth_y", name="depthwise", group=8, auto_pad="SAME_UPPER"),
        node("GlobalAveragePool", "depth_y", "mean"),
        node("Shape", "mean", "mean_shape"),
        node("Slice", "mean_shape zero one", "rows"),
        node("Concat", "rows minus", "pool_shape", axis=0),
        node("Reshape", "mean pool_shape", "pool"),
        node("Gather", "mean_shape zero_d", "row_count", axis=0),
        node("Greater", "row_count zero_d", "any_rows"),
        node("If", "any_rows", "chosen", name="if", then_branch=then_branch, else_branch=else_branch),
        node("Loop", "trips any_rows chosen", "looped", body=body),
        node("Gemm", "chosen w_fc b_fc", "fc_y", name="fc", transB=1),
        node("Unsqueeze", "fc_y zero", "sequence"),
        node("LSTM", "sequence w_lstm r_lstm", "lstm_y", name="lstm", hidden_size=3),
        node("Split", "fc_y", "q k", axis=1),
        node("Einsum", "q k", "scores", name="scores", equation="ab,cb->ac"),
        node("Transpose", "k", "k_t", perm=[1, 0]),
        node("MatMul", "q k_t", "scores_too", name="attention"),
        node("Mystery", "scores", "mystery", domain="foo.bar"),
        node("MatMul", "mystery w8", "lost"),
        node("DynamicQuantizeLinear", "chosen", "codes scale zero_point"),
        node("MatMulInteger", "codes w_int zero_point", "products", name="integer"),
    ]
    weights = [
        weight("w_conv", 8, 3, 3, 3), weight("b_conv", 8), weight("w_up", 8, 8, 2, 2), weight("w_depth", 8, 1, 3, 3),
        weight("w8", 8, 8), weight("w8b", 8, 8, seed=1), weight("w_fc", 6, 8), weight("b_fc", 6),
        weight("w_lstm", 1, 12, 6), weight("r_lstm", 1, 12, 3), weight("w_int", 8, 4, dtype="int8"),
        constant("zero", [0]), constant("one", [1]), constant("minus", [-1]), constant("zero_d", 0),
        constant("trips", 3),
    ]  # fmt: skip
    outputs = [value("products", None, TensorProto.INT32), value("lstm_y"), value("looped"), value("lost")]
    return model(
        nodes, [value("x", ["N", 3, 12, 12])], weights, outputs, functions=[function], domains=["local", "foo.bar"]
    )
