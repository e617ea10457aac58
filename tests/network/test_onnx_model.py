"""Networks from ONNX files: real topologies, trained networks, and each operation alone."""

import math
from collections import Counter

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from macgen.errors import MacgenError
from macgen.network import from_onnx
from tests.network.models import (
    LIGHT,
    constant,
    count_macs,
    model,
    node,
    of_kind,
    rich_model,
    saved,
    trained,
    value,
    weight,
)


def gemms(layer):
    return [(gemm.kind, gemm.length, gemm.outputs) for gemm in layer.gemms]


def forward_lengths(network):
    return [layer.forward.length for layer in network.layers]


def saved_layers(folder, *arguments, **options):
    return from_onnx(saved(folder, model(*arguments, **options))).layers


# -- topologies that ship with onnx ----------------------------------------------------------------------------------


def light(name):
    (path,) = [path for path in LIGHT if name in path.name]
    return path


def inferred_macs(path):
    """Return forward multiply-accumulates by onnx's own inference of the whole model and the plain formula."""
    inferred = onnx.shape_inference.infer_shapes(onnx.load(path))
    values = (*inferred.graph.value_info, *inferred.graph.input, *inferred.graph.output)
    shapes = {v.name: [dim.dim_value for dim in v.type.tensor_type.shape.dim] for v in values}
    total = 0
    for item in inferred.graph.node:
        if item.op_type in ("Conv", "Gemm"):
            weights, result = shapes[item.input[1]], shapes[item.output[0]]
            assert item.op_type == "Conv" or helper.get_attribute_value(
                next(a for a in item.attribute if a.name == "transB")
            )
            total += math.prod(result) * math.prod(weights[1:])
    return total


def test_there_are_nine():
    assert len(LIGHT) == 9


@pytest.mark.parametrize("path", LIGHT, ids=lambda path: path.stem)
def test_topologies(path):
    network = from_onnx(path, batch=32)
    ops = Counter(item.op_type for item in onnx.load(path).graph.node)
    assert Counter(layer.op for layer in network.layers) == {op: n for op, n in ops.items() if op in ("Conv", "Gemm")}
    assert network.batch == 32
    assert count_macs(network, "forward") == count_macs(network, "gradient") == 32 * inferred_macs(path)
    first = network.layers[0].forward.macs
    assert count_macs(network, "backward") == count_macs(network, "forward") - first
    assert network.skipped["Relu"] == ops["Relu"]
    assert not set(network.skipped) & {"Conv", "Gemm", "ConstantOfShape"}
    assert not [op for op in network.skipped if " " in op]


def test_alexnet():
    """Krizhevsky's first network: the second, fourth and fifth convolution see half of the channels."""
    network = from_onnx(light("alexnet"), batch=64)
    assert forward_lengths(network) == [363, 1200, 2304, 1728, 1728, 9216, 4096, 4096]
    gradients = [of_kind(layer, "gradient")[0].length for layer in network.layers]
    assert gradients == [64 * size for size in (54 * 54, 26 * 26, 12 * 12, 12 * 12, 12 * 12, 1, 1, 1)]


def test_vgg19():
    network = from_onnx(light("vgg19"))
    assert forward_lengths(network) == (
        [27, 576, 576, 1152, 1152] + [2304] * 4 + [4608] * 7 + [512 * 7 * 7, 4096, 4096]
    )
    assert count_macs(network, "forward") == 19_632_062_464


def test_resnet50():
    network = from_onnx(light("resnet50"))
    stage = {64: (64, 576, 64), 128: (256, 512, 1152, 128), 256: (512, 1024, 2304, 256), 512: (1024, 2048, 4608, 512)}
    assert set(forward_lengths(network)) == {147, 2048, 256} | {n for lengths in stage.values() for n in lengths}
    assert count_macs(network, "forward") == 4_089_184_256


# -- trained networks ------------------------------------------------------------------------------------------------


def run_macs(path, x):
    """Return forward multiply-accumulates of every layer by running the network and looking at the real tensors."""
    made = onnx.load(path)
    wanted = [item.output[0] for item in made.graph.node if item.op_type in ("Conv", "ConvTranspose", "MatMul")]
    wanted += [name for item in made.graph.node if item.op_type in ("Conv", "ConvTranspose", "MatMul")
               for name in item.input[:2]]  # fmt: skip
    known = {tensor.name: numpy_helper.to_array(tensor) for tensor in made.graph.initializer}
    wanted = sorted(set(wanted) - set(known) - {made.graph.input[0].name})
    del made.graph.output[:]
    made.graph.output.extend(onnx.ValueInfoProto(name=name) for name in wanted)
    known |= {made.graph.input[0].name: x}
    known |= dict(zip(wanted, ReferenceEvaluator(made).run(None, {made.graph.input[0].name: x}), strict=True))
    counts = []
    for item in made.graph.node:
        if item.op_type == "Conv":
            counts.append(known[item.output[0]].size * known[item.input[1]][0].size)
        elif item.op_type == "ConvTranspose":
            counts.append(known[item.input[0]].size * known[item.input[1]][0].size)
        elif item.op_type == "MatMul":
            counts.append(known[item.output[0]].size * known[item.input[0]].shape[-1])
    return counts


@pytest.mark.parametrize(
    ("part", "shape", "layers"),
    [("_det_", (2, 3, 64, 96), 64), ("_rec_", (2, 3, 48, 64), 51), ("_cls_", (2, 3, 48, 192), 54)],
)
def test_trained_networks(part, shape, layers):
    """Exported with open sizes, constants in nodes, and shapes computed by casts, slices and concatenations."""
    path = trained(part)
    symbols = [dim.dim_param for dim in onnx.load(path).graph.input[0].type.tensor_type.shape.dim]
    dims = {f"x:{axis}": shape[axis] for axis in (2, 3)}
    network = from_onnx(path, batch=shape[0], dims=dims)
    assert len(network.layers) == layers
    assert [layer.forward.macs for layer in network.layers] == run_macs(path, np.zeros(shape, dtype=np.float32))
    assert not [op for op in network.skipped if " " in op or "/" in op]
    if part == "_det_":
        by_symbol = {symbols[2]: shape[2], symbols[3]: shape[3], symbols[0]: shape[0]}
        assert from_onnx(path, dims=by_symbol) == network


def test_attention_of_a_trained_network():
    """Eight heads of 15 features on 40 places of 2 lines of 320 pixels."""
    network = from_onnx(trained("_rec_"), batch=2, dims={"x:2": 48, "x:3": 320})
    products = [layer for layer in network.layers if layer.op == "MatMul" and not of_kind(layer, "gradient")]
    assert [gemms(layer) for layer in products[:2]] == [
        [("forward", 15, 2 * 8 * 40 * 40), ("backward", 40, 2 * 8 * 40 * 15), ("backward", 40, 2 * 8 * 15 * 40)],
        [("forward", 40, 2 * 8 * 40 * 15), ("backward", 15, 2 * 8 * 40 * 40), ("backward", 40, 2 * 8 * 40 * 15)],
    ]
    assert len(products) == 4


# -- operations ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("x", "w", "attributes", "expected"),
    [
        ((2, 3, 8), (4, 3, 3), {}, [("forward", 9, 48), ("gradient", 12, 36)]),
        ((2, 4, 8, 9), (6, 2, 3, 3), {"group": 2}, [("forward", 18, 504), ("gradient", 84, 108)]),
        ((2, 4, 8, 8), (4, 1, 3, 3), {"group": 4, "pads": [1, 1, 1, 1]}, [("forward", 9, 512), ("gradient", 128, 36)]),
        ((1, 3, 9, 9), (2, 3, 3, 3), {"dilations": [2, 2]}, [("forward", 27, 50), ("gradient", 25, 54)]),
        ((1, 3, 9, 9), (2, 3, 3, 3), {"strides": [2, 2]}, [("forward", 27, 32), ("gradient", 16, 54)]),
        ((2, 3, 5, 6, 7), (4, 3, 1, 2, 3), {}, [("forward", 18, 1000), ("gradient", 250, 72)]),
    ],
)
def test_conv(x, w, attributes, expected, tmp_path):
    (layer,) = saved_layers(
        tmp_path, [node("Conv", "x w", "y", name="c", **attributes)], [value("x", x)], [weight("w", *w)]
    )
    assert (layer.name, layer.op, gemms(layer)) == ("c", "Conv", expected)


def test_conv_transpose(tmp_path):
    nodes = [node("Identity", "x", "x1"), node("ConvTranspose", "x1 w", "y", strides=[2, 2], group=2)]
    (layer,) = saved_layers(tmp_path, nodes, [value("x", (2, 4, 5, 5))], [weight("w", 4, 3, 2, 2)])
    assert gemms(layer) == [("forward", 2, 2 * 6 * 10 * 10), ("gradient", 2 * 25, 4 * 3 * 4)]
    assert layer.forward.macs == 2 * 25 * 4 * 3 * 4


@pytest.mark.parametrize("trans_a", [0, 1])
@pytest.mark.parametrize("trans_b", [0, 1])
def test_gemm(trans_a, trans_b, tmp_path):
    nodes = [node("Gemm", "x w", "y", transA=trans_a, transB=trans_b)]
    shapes = [(7, 5), (5, 3)]
    x, w = shapes[0][:: -1 if trans_a else 1], shapes[1][:: -1 if trans_b else 1]
    (layer,) = saved_layers(tmp_path, nodes, [value("x", x)], [weight("w", *w)])
    assert gemms(layer) == [("forward", 5, 21), ("gradient", 7, 15)]


@pytest.mark.parametrize(
    ("x", "w", "expected"),
    [
        ((5,), (5, 3), [("forward", 5, 3), ("gradient", 1, 15)]),
        ((7, 5), (5,), [("forward", 5, 7), ("gradient", 7, 5)]),
        ((5,), (5,), [("forward", 5, 1), ("gradient", 1, 5)]),
        ((4, 7, 5), (5, 3), [("forward", 5, 84), ("gradient", 28, 15)]),
        ((2, 1, 7, 5), (4, 5, 3), [("forward", 5, 168), ("gradient", 14, 60)]),
    ],
)
def test_matmul(x, w, expected, tmp_path):
    (layer,) = saved_layers(tmp_path, [node("MatMul", "x w", "y")], [value("x", x)], [weight("w", *w)])
    assert gemms(layer) == expected


def test_quantised_operations(tmp_path):
    byte = TensorProto.UINT8
    nodes = [
        node("ConvInteger", "x w x_zero", "y1"),
        node("QLinearConv", "x s x_zero w s w_zero s y_zero", "y2"),
        node("MatMulInteger", "m v", "y3"),
        node("QLinearMatMul", "m s x_zero v s w_zero s y_zero", "y4"),
    ]
    weights = [
        weight("w", 4, 3, 3, 3, dtype="int8"), weight("v", 8, 5, dtype="int8"), constant("s", 0.5, "float32"),
        constant("x_zero", 3, "uint8"), constant("y_zero", 3, "uint8"), constant("w_zero", 0, "int8"),
    ]  # fmt: skip
    inputs = [value("x", (2, 3, 6, 6), byte), value("m", (7, 8), byte)]
    outputs = [value("y1", None, TensorProto.INT32), value("y2", None, byte), value("y4", None, byte)]
    layers = saved_layers(tmp_path, nodes, inputs, weights, outputs)
    conv, product = [("forward", 27, 128), ("gradient", 32, 108)], [("forward", 8, 35), ("gradient", 7, 40)]
    assert [(layer.op, gemms(layer)) for layer in layers] == [
        ("ConvInteger", conv), ("QLinearConv", conv), ("MatMulInteger", product), ("QLinearMatMul", product)
    ]  # fmt: skip


def test_rich_model(tmp_path):
    """Functions are written out, the branch taken is walked, loops and unknown operations are passed over."""
    network = from_onnx(saved(tmp_path, rich_model(), "rich.onnx"), batch=2)
    assert (network.name, network.batch) == ("rich", 2)
    assert {layer.name: gemms(layer) for layer in network.layers} == {
        "conv": [("forward", 27, 576), ("gradient", 72, 216)],
        "up": [("forward", 8, 2304), ("backward", 32, 576), ("gradient", 72, 256)],
        "depthwise": [("forward", 9, 2304), ("backward", 9, 2304), ("gradient", 288, 72)],
        "then_y": [("forward", 8, 16), ("backward", 8, 16), ("gradient", 2, 64)],
        "fc": [("forward", 8, 12), ("backward", 6, 16), ("gradient", 2, 48)],
        "lstm.input": [("forward", 6, 24), ("backward", 12, 12), ("gradient", 2, 72)],
        "lstm.recurrent": [("forward", 3, 24), ("backward", 12, 6), ("gradient", 2, 36)],
        "scores": [("forward", 3, 4), ("backward", 2, 6), ("backward", 2, 6)],
        "attention": [("forward", 3, 4), ("backward", 2, 6), ("backward", 2, 6)],
        "integer": [("forward", 8, 8), ("backward", 4, 16), ("gradient", 2, 32)],
    }
    assert network.skipped == {
        **dict.fromkeys(
            ["Relu", "GlobalAveragePool", "Shape", "Slice", "Concat", "Reshape", "Gather", "Greater", "Loop/MatMul"], 1
        ),
        **dict.fromkeys(["Loop", "Unsqueeze", "Split", "Transpose", "foo.bar::Mystery", "DynamicQuantizeLinear"], 1),
        "MatMul of unknown shape": 1,
    }


def test_embedding_needs_a_gradient(tmp_path):
    nodes = [node("Gather", "table ids", "e"), node("MatMul", "e w", "y")]
    (layer,) = saved_layers(
        tmp_path, nodes, [value("ids", (2, 5), TensorProto.INT64)], [weight("table", 100, 8), weight("w", 8, 4)]
    )
    assert gemms(layer) == [("forward", 8, 40), ("backward", 4, 80), ("gradient", 10, 32)]


def test_computed_weights(tmp_path):
    """Weights that are transposed, dequantised or filled in count as weights, and what computes them is no work."""
    nodes = [
        node("DequantizeLinear", "w s", "w_real"),
        node("Transpose", "w_real", "w_turned", perm=[1, 0]),
        node("MatMul", "x w_turned", "h"),
        node("ConstantOfShape", "shape", "ones"),
        node("MatMul", "h ones", "y"),
        node("MatMul", "w_turned ones", "unused"),
    ]
    weights = [weight("w", 6, 4, dtype="int8"), constant("s", 0.5, "float32"), constant("shape", [6, 3])]
    network = from_onnx(saved(tmp_path, model(nodes, [value("x", (2, 4))], weights, [value("y")])))
    assert forward_lengths(network) == [4, 6]
    assert all(of_kind(layer, "gradient") for layer in network.layers)
    assert network.skipped == {"MatMul of constants": 1}


def test_names_are_unique(tmp_path):
    nodes = [node("MatMul", f"{a} w", b, name="same") for a, b in ("xa", "ab", "bc")]
    layers = saved_layers(tmp_path, nodes, [value("x", (2, 4))], [weight("w", 4, 4)])
    assert [layer.name for layer in layers] == ["same", "same#2", "same#3"]


def test_names_are_printable(tmp_path):
    """What a terminal or a table would take for more than text, and what fills it."""
    hostile = "\x1b[2J\x1b]0;title\x07\n\t\u202e"
    shown = r"\x1b[2J\x1b]0;title\x07\n\t\u202e"
    long = "start" + "x" * 500 + "end"
    nodes = [
        node("MatMul", "x w", "a", name=hostile),
        node("MatMul", "a w", "b", name=long),
        node("MatMul", "b w", "c", name=long.replace("x" * 500, "x" * 499)),
        node("RNN", "s w_rnn r_rnn", "r", name="été\n", hidden_size=2),
        node(f"Op{hostile}", "c", "d", domain=hostile),
        node(f"{long}1", "c", "e", domain="foo"),
        node(f"{long}2", "c", "f", domain="foo"),
    ]
    inputs = [value("x", (2, 4)), value("s", (1, 2, 4))]
    weights = [weight("w", 4, 4), weight("w_rnn", 1, 2, 4), weight("r_rnn", 1, 2, 2)]
    network = from_onnx(saved(tmp_path, model(nodes, inputs, weights, domains=[hostile, "foo"])))
    names = [layer.name for layer in network.layers]
    assert (names[0], *names[3:]) == (shown, r"été\n.input", r"été\n.recurrent")
    assert len(set(names)) == len(names)
    assert all(name.startswith("startxx") and 90 < len(name) < 110 for name in names[1:3])
    assert names[1].endswith("xxend")
    assert len(network.skipped) == 3
    assert network.skipped[f"{shown}::Op{shown}"] == 1
    assert all(name.isprintable() and len(name) < 110 for name in (*names, *network.skipped))


def test_a_stated_shape_helps_behind_an_unknown_operation(tmp_path):
    nodes = [node("Mystery", "x", "m", domain="foo.bar"), node("MatMul", "m w", "y")]
    made = model(nodes, [value("x", ("N", 7))], [weight("w", 4, 5)], domains=["foo.bar"])
    made.graph.value_info.append(value("m", ("N", 4)))
    network = from_onnx(saved(tmp_path, made), batch=6)
    assert gemms(network.layers[0]) == [("forward", 4, 30), ("gradient", 6, 20)]


# -- open dimensions and batches --------------------------------------------------------------------------------------


def two_inputs(*first_dimensions):
    nodes = [node("MatMul", "a w", "aw"), node("MatMul", "aw b", "y")]
    inputs = [value("a", (first_dimensions[0], "seq", 4)), value("b", (first_dimensions[1], 4, "?"))]
    return model(nodes, inputs, [weight("w", 4, 4)])


def test_open_dimensions(tmp_path):
    path = saved(tmp_path, two_inputs("N", "N"))
    network = from_onnx(path, batch=3, dims={"seq": 5, "b:2": 7})
    assert network == from_onnx(path, dims={"N": 3, "seq": 5, "b:2": 7})
    assert network == from_onnx(path, batch=3, dims={"a:1": 5, "b:2": 7})
    assert gemms(network.layers[1])[0] == ("forward", 4, 3 * 5 * 7)
    assert network.batch == 3


def test_a_fixed_batch_is_counted(tmp_path):
    """The reshape holds the batch of 2 as a constant."""
    nodes = [node("Reshape", "x s", "r"), node("MatMul", "r w", "h"), node("MatMul", "h w", "y")]
    made = model(nodes, [value("x", (2, 2, 2))], [weight("w", 4, 4), constant("s", [2, 4])])
    path = saved(tmp_path, made)
    network = from_onnx(path, batch=6)
    assert network.batch == 6
    assert gemms(network.layers[1]) == [("forward", 4, 24), ("backward", 4, 24), ("gradient", 6, 16)]
    assert from_onnx(path).batch == 2
    with pytest.raises(MacgenError, match=r"batch 3 is not a multiple of 2, which model '.*' fixes$"):
        from_onnx(path, batch=3)


def test_a_dimension_of_a_fixed_size_can_be_replaced(tmp_path):
    path = saved(tmp_path, model([node("Conv", "x w", "y")], [value("x", (1, 3, 224, 224))], [weight("w", 4, 3, 3, 3)]))
    assert from_onnx(path, dims={"x:2": 34, "x:3": 18}).layers[0].forward.outputs == 4 * 32 * 16


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({}, "model PATH has inputs of open size; accepted with --dim N=SIZE --dim seq=SIZE --dim b:2=SIZE (or --batch "
             "SIZE for the first)"),
        ({"batch": 2}, "model PATH has inputs of open size; accepted with --dim seq=SIZE --dim b:2=SIZE"),
        ({"batch": 0}, "batch 0 is not an integer from 1 to 2^24"),
        ({"dims": {"T": 3}}, "dim 'T' is no dimension of model PATH; accepted are 'N, seq, a:0, a:1, a:2, b:0, b:1, "
                             "b:2'"),
        ({"dims": {"seq": -1}}, "dim 'seq' of -1 is not an integer from 0 to 2^31 - 1"),
        ({"dims": {"seq": 2.5}}, "dim 'seq' of 2.5 is not an integer from 0 to 2^31 - 1"),
        ({"batch": 1 << 20, "dims": {"seq": 1 << 30, "b:2": 1}}, "input 'a' of model PATH of shape (1048576, "
                                                                "1073741824, 4) has more than 2**40 elements; accepted "
                                                                "are at most as many"),
    ],
)  # fmt: skip
def test_refused_sizes(options, sentence, tmp_path):
    path = saved(tmp_path, two_inputs("N", "N"))
    with pytest.raises(MacgenError) as error:
        from_onnx(path, **options)
    assert str(error.value).replace(repr(str(path)), "PATH") == sentence


def test_an_empty_dimension_is_passed_over(tmp_path):
    """As the past of a decoder's first token."""
    nodes = [node("MatMul", "past w", "y"), node("MatMul", "x w", "z")]
    made = model(nodes, [value("x", (2, 4)), value("past", ("P", 4))], [weight("w", 4, 4)], [value("y"), value("z")])
    network = from_onnx(saved(tmp_path, made), dims={"P": 0})
    assert forward_lengths(network) == [4]
    assert network.skipped == {"MatMul without elements": 1}


def test_a_model_that_holds_another_batch(tmp_path):
    nodes = [node("Reshape", "x s", "r"), node("MatMul", "r w", "y")]
    path = saved(tmp_path, model(nodes, [value("x", ("N", 2, 2))], [weight("w", 4, 4), constant("s", [1, 4])]))
    assert from_onnx(path, batch=1).batch == 1
    with pytest.raises(
        MacgenError, match=r"^Reshape 'r' of model '.*' cannot make shape \(1, 4\) of \(8, 2, 2\); accep"
    ):
        from_onnx(path, batch=8)


def test_dimensions_that_a_shell_would_read_otherwise_are_quoted(tmp_path):
    made = model([node("MatMul", "x w", "y")], [value("x", ("N", "past + now", "$d", 4))], [weight("w", 4, 4)])
    with pytest.raises(MacgenError) as error:
        from_onnx(saved(tmp_path, made))
    assert "accepted with --dim N=SIZE --dim 'past + now=SIZE' --dim '$d=SIZE' (or --batch" in str(error.value)
