"""Networks of ONNX files as modules of torch: the same outputs as ONNX's reference, and what is not known refused."""

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from macgen.errors import MacgenError
from macgen.width.tensors import plan_tensors
from tests.network.models import constant, model, node, saved, value
from tests.optional import need_package

torch = need_package("torch")

from macgen import nn  # noqa: E402
from macgen.nn.training.from_onnx import OnnxNetwork  # noqa: E402

torch.set_num_threads(1)


def numbers(name, *shape, seed=0):
    return numpy_helper.from_array(np.random.default_rng(seed).normal(size=shape).astype("f4") / 3, name)


def convolutional():
    """Every operation that is known, strides, dilations, unequal pads, groups, a bias after a product."""
    nodes = [
        node("Conv", "x w1 b1", "c1", name="/first/conv.0/Conv", pads=[0, 1, 1, 1], strides=[2, 1]),
        node("BatchNormalization", "c1 scale shift mean variance", "n1", epsilon=1e-3),
        node("Relu", "n1", "r1"),
        node("Conv", "r1 w2", "c2", group=2, pads=[2, 2, 2, 2], dilations=[2, 2]),
        node("LeakyRelu", "c2", "l2", alpha=0.2),
        node("Add", "l2 r1", "sum"),
        node("Clip", "sum low high", "k"),
        node("MaxPool", "k", "p", kernel_shape=[2, 2], strides=[2, 2], pads=[0, 0, 0, 1]),
        node("AveragePool", "p", "v", kernel_shape=[2, 2], strides=[1, 1]),
        node("Transpose", "v", "t", perm=[0, 2, 3, 1]),
        node("Reshape", "t flat", "f"),
        node("Dropout", "f", "d"),
        node("Gemm", "d w3 b3", "g", transB=1),
        node("Tanh", "g", "h"),
        node("Sigmoid", "g", "s"),
        node("Concat", "h s", "both", axis=1),
        node("MatMul", "both w4", "m"),
        node("Add", "m b4", "logits"),
        node("Softmax", "logits", "y"),
    ]
    weights = [
        numbers("w1", 4, 1, 3, 3, seed=1),
        numbers("b1", 4, seed=2),
        numbers("scale", 4, seed=3),
        numbers("shift", 4, seed=4),
        numbers("mean", 4, seed=5),
        constant("variance", [0.5, 1.0, 1.5, 2.0], "float32"),
        numbers("w2", 4, 2, 3, 3, seed=6),
        constant("low", -1.0, "float32"),
        constant("high", 2.0, "float32"),
        constant("flat", [0, -1]),
        numbers("w3", 6, 8, seed=7),
        numbers("b3", 6, seed=8),
        numbers("w4", 12, 3, seed=9),
        numbers("b4", 3, seed=10),
    ]
    return model(nodes, [value("x", [None, 1, 8, 6])], weights)


def test_outputs_are_those_of_onnx(tmp_path):
    made = convolutional()
    x = np.random.default_rng(0).normal(size=(5, 1, 8, 6)).astype("f4")
    (expected,) = ReferenceEvaluator(made).run(None, {"x": x})
    network = OnnxNetwork(saved(tmp_path, made)).eval()
    found = network(torch.from_numpy(x)).softmax(1).detach().numpy()
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)
    names = [name for name, module in network.named_modules() if isinstance(module, torch.nn.Linear | torch.nn.Conv2d)]
    assert names == ["/first/conv_0/Conv", "c2", "g", "m"]
    assert len([*network.parameters()]) == 2 + 2 + 1 + 2 + 1 + 1  # the bias after MatMul trains, too


@pytest.mark.parametrize("auto_pad", ["SAME_UPPER", "SAME_LOWER", "VALID"])
@pytest.mark.parametrize("sizes", [(8, 6), (7, 9)])
def test_padding_that_follows_from_the_size(tmp_path, auto_pad, sizes):
    """Kernels of even and odd sizes, smaller than their stride, in both dimensions differently."""
    nodes = [
        node("Conv", "x w1", "c", auto_pad=auto_pad, strides=[2, 1]),
        node("Conv", "c w2", "d", auto_pad=auto_pad, strides=[1, 2]),
        node("MaxPool", "d", "m", auto_pad=auto_pad, kernel_shape=[2, 2], strides=[1, 2]),
        node("AveragePool", "m", "y", auto_pad=auto_pad, kernel_shape=[2, 1], count_include_pad=1),
    ]
    weights = [numbers("w1", 4, 1, 3, 2, seed=1), numbers("w2", 4, 4, 1, 1, seed=2)]
    path = saved(tmp_path, model(nodes, [value("x", [None, 1, *sizes])], weights))
    x = np.random.default_rng(0).normal(size=(2, 1, *sizes)).astype("f4")
    # Not ONNX's reference: it pads maxima with SAME_LOWER otherwise.
    (expected,) = need_package("onnxruntime").InferenceSession(path).run(None, {"x": x})
    found = OnnxNetwork(path)(torch.from_numpy(x)).detach().numpy()
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)


def test_dilated_padding_that_follows_from_the_size(tmp_path):
    made = model(
        [node("Conv", "x w", "y", auto_pad="SAME_LOWER", dilations=[2], strides=[3])],
        [value("x", [None, 1, 11])],
        [constant("w", [[[1.0, 1.0]]], "float32")],
    )
    x = torch.arange(1.0, 12).reshape(1, 1, 11)
    # Four outputs reach over 3 * 3 + 2 + 1 = 12 inputs: a zero before the first one, taps two apart.
    assert OnnxNetwork(saved(tmp_path, made))(x).tolist() == [[[2.0, 3.0 + 5.0, 6.0 + 8.0, 9.0 + 11.0]]]


def test_plans_of_tensors_of_a_network(tmp_path):
    network = OnnxNetwork(saved(tmp_path, convolutional()))
    y = torch.arange(24) % 3
    x = torch.randn(24, 1, 8, 6, generator=torch.Generator().manual_seed(1)) + y.reshape(-1, 1, 1, 1)
    found = nn.measure(
        network, x, y, make=lambda p: torch.optim.SGD(p, lr=0.02), epochs=1, batch=8, samples=2, examples=3
    )
    plan = plan_tensors(found)
    assert [layer.name for layer in plan.layers] == ["/first/conv_0/Conv", "c2", "g", "m"]
    nn.convert(network, plan)
    assert nn.layers(network)["g"].gemms.arithmetic.forward == plan.spec("g:forward")


@pytest.mark.parametrize(
    ("nodes", "weights", "sentence"),
    [
        ([node("Erf", "x", "y")], [], "node 'y' of model .*, Erf, is not known; accepted are Add, AveragePool"),
        ([node("MatMul", "x x", "y")], [], "MatMul, computes its input 1; accepted is one that the file has"),
        ([node("Gemm", "x w", "y", alpha=2.0)], [numbers("w", 4, 4)], "is no fully connected layer"),
        (
            [node("MatMul", "x w", "z"), node("MatMul", "z w", "y")],
            [numbers("w", 4, 4)],
            "shares the weights 'w' with 'z'",
        ),
        ([node("Transpose", "x", "y", perm=[1, 0])], [], "Transpose, moves examples"),
        ([node("Reshape", "x s", "y")], [constant("s", [2, -1, 2])], "Reshape, moves examples"),
        ([node("Softmax", "x", "z"), node("Relu", "z", "y")], [], "Softmax, is not at the end"),
        ([node("MatMul", "x w", "y")], [constant("w", np.eye(4), "int8")], "has weights of int8"),
        (
            [node("AveragePool", "x", "y", kernel_shape=[3], auto_pad="SAME_UPPER")],
            [],
            "AveragePool, leaves padding out of its mean",
        ),
        (
            [node("Conv", "x w", "y", auto_pad="SAME")],
            [numbers("w", 4, 4, 3)],
            "Conv 'y' of model .* has auto_pad .*SAME.*; accepted are NOTSET, SAME_UPPER, SAME_LOWER, VALID",
        ),
        ([node("Conv", "x w", "y", pads=[1 << 40, 0])], [numbers("w", 4, 4, 3)], r"has pads \[1099511627776, 0\]"),
        ([node("Conv", "x w", "y")], [numbers("w", 4, 4, 3, 3, 3)], "is of 3 dimensions"),
        ([node("Constant", "", "y", value_float=1.0)], [], "has no tensor"),
    ],
)
def test_refused_networks(tmp_path, nodes, weights, sentence):
    path = saved(tmp_path, model(nodes, [value("x", [None, 4])], weights))
    with pytest.raises(MacgenError, match=sentence):
        OnnxNetwork(path)


def test_networks_of_several_inputs_are_refused(tmp_path):
    made = model([node("Add", "x z", "y")], [value("x", [None, 4]), value("z", [None, 4])])
    with pytest.raises(MacgenError, match=r"has the inputs \['x', 'z'\]"):
        OnnxNetwork(saved(tmp_path, made))


def test_constants_are_nodes_too(tmp_path):
    tensor = numpy_helper.from_array(np.array([1.0, 2.0], "f4"))
    made = model(
        [helper.make_node("Constant", [], ["c"], value=tensor), node("Mul", "x c", "y")], [value("x", [None, 2])]
    )
    assert onnx.__version__
    assert OnnxNetwork(saved(tmp_path, made))(torch.ones(1, 2)).tolist() == [[1.0, 2.0]]
