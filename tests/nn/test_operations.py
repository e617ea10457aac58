"""Every operation cut out of its model computes what onnxruntime computes, and on a spec what golden does."""

import itertools

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from macgen import golden
from macgen.errors import MacgenError
from macgen.nn import operations
from macgen.nn.arithmetic import Float32, OnSpec
from macgen.nn.cut_model import run_whole
from macgen.nn.model import EmulatedModel
from macgen.nn.scaling import Scales
from macgen.numerics import parse_format
from macgen.spec import MacSpec
from tests.network.models import model, node, saved, value

DTYPES = {"float32": TensorProto.FLOAT, "int8": TensorProto.INT8, "uint8": TensorProto.UINT8}


def array(*shape, seed=0, dtype="float32"):
    values = np.random.default_rng(seed).normal(size=shape)
    return values.astype("float32") if dtype == "float32" else (40 * values + 60 * (dtype == "uint8")).astype(dtype)


def constants(**arrays):
    return [numpy_helper.from_array(np.asarray(x), name) for name, x in arrays.items()]


def case(made_node, weights, *shapes, dtype="float32", out="y"):
    """Return a model of one node whose inputs are x0, x1, ... of these shapes, the first axis open, and the inputs."""
    inputs = {f"x{number}": array(*shape, seed=number, dtype=dtype) for number, shape in enumerate(shapes)}
    values = [value(name, x.shape, DTYPES[dtype]) for name, x in inputs.items()]
    elements = {"y": TensorProto.FLOAT}
    if made_node.op_type in ("MatMulInteger", "ConvInteger"):
        elements["y"] = TensorProto.INT32
    if made_node.op_type.startswith("QLinear"):
        elements["y"] = DTYPES[dtype]
    outputs = [value(name, None, elements["y"]) for name in out.split()]
    return model([made_node], values, weights, outputs), inputs


def conv(op="Conv", shapes=((2, 4, 9, 7), (6, 4, 3, 2)), bias=6, **attributes):
    x, w = shapes
    weights = constants(w=array(*w, seed=8), b=array(bias, seed=9))
    return case(node(op, "x0 w b", "y", **attributes), weights, x)


def recurrent(op, gates, inputs="x0 w r b", out="y h", directions=1, **attributes):
    size, hidden, steps, batch = 5, 3, 4, 2
    arrays = {
        "w": array(directions, gates * hidden, size, seed=3),
        "r": array(directions, gates * hidden, hidden, seed=4),
        "b": array(directions, 2 * gates * hidden, seed=5),
        "h0": array(directions, batch, hidden, seed=6),
        "c0": array(directions, batch, hidden, seed=7),
        "p": array(directions, 3 * hidden, seed=8),
    }
    taken = constants(**{name: arrays[name] for name in inputs.split() if name in arrays})
    made = helper.make_node(
        op, [name if name != "-" else "" for name in inputs.split()], out.split(), hidden_size=hidden, **attributes
    )
    return case(made, taken, (steps, batch, size), out=out)


def integers(op, x, w, **attributes):
    weights = constants(
        w=array(*w, seed=1, dtype="int8"), zx=np.uint8(7), zw=np.int8(-3), sx=np.float32(0.02), sw=np.float32(0.01),
        sy=np.float32(0.3), zy=np.uint8(100), bias=np.arange(w[0], dtype=np.int32) * 50,
    )  # fmt: skip
    names = "x0 w zx zw" if op.endswith("Integer") else "x0 sx zx w sw zw sy zy"
    if op == "QLinearConv":
        names += " bias"
    used = [item for item in weights if item.name in names.split()]
    return case(node(op, names, "y", **attributes), used, x, dtype="uint8")


CASES = {
    "conv": conv(),
    "conv-strides": conv(strides=[2, 3], pads=[1, 0, 2, 1], dilations=[2, 1]),
    "conv-groups": conv(shapes=((2, 4, 9, 7), (6, 2, 3, 2)), group=2),
    "conv-depthwise": conv(shapes=((2, 4, 9, 7), (4, 1, 3, 2)), bias=4, group=4, pads=[1, 1, 1, 1]),
    "conv-same": conv(auto_pad="SAME_LOWER", strides=[2, 2]),
    "conv-valid": conv(auto_pad="VALID"),
    "conv-1d": conv(shapes=((2, 3, 11), (5, 3, 4)), bias=5, pads=[3, 1]),
    "conv-3d": conv(shapes=((1, 2, 4, 5, 6), (3, 2, 2, 3, 2)), bias=3),
    "up": conv("ConvTranspose", ((2, 4, 5, 3), (4, 6, 3, 2)), strides=[2, 3], pads=[1, 0, 0, 1]),
    "up-groups": conv("ConvTranspose", ((2, 4, 5, 3), (4, 3, 3, 3)), group=2, strides=[2, 2], output_padding=[1, 1]),
    "up-dilated": conv("ConvTranspose", ((1, 2, 5, 4), (2, 6, 3, 3)), dilations=[2, 3], strides=[3, 2]),
    "up-same": conv("ConvTranspose", ((1, 2, 5, 4), (2, 6, 3, 3)), auto_pad="SAME_UPPER", strides=[2, 2]),
    "gemm": case(node("Gemm", "x0 w c", "y", transB=1, alpha=0.5, beta=2.0),
                 constants(w=array(6, 5, seed=1), c=array(6, seed=2)), (3, 5)),
    "gemm-turned": case(node("Gemm", "w x0", "y", transA=1), constants(w=array(5, 6, seed=1)), (5, 4)),
    "matmul": case(node("MatMul", "x0 w", "y"), constants(w=array(5, 6, seed=1)), (2, 3, 5)),
    "matmul-left": case(node("MatMul", "w x0", "y"), constants(w=array(4, 5, seed=1)), (2, 5, 3)),
    "matmul-vector": case(node("MatMul", "w x0", "y"), constants(w=array(4, 5, seed=1)), (5,)),
    "matmul-stacks": case(node("MatMul", "x0 x1", "y"), [], (2, 1, 3, 5), (4, 5, 6)),
    "matmul-weight-stack": case(node("MatMul", "x0 w", "y"), constants(w=array(2, 5, 6, seed=1)), (3, 2, 4, 5)),
    "einsum": case(node("Einsum", "x0 w", "y", equation="bik,kj->bji"), constants(w=array(5, 6, seed=1)), (2, 3, 5)),
    "einsum-batch": case(node("Einsum", "x0 x1", "y", equation="bhid,bhjd->bhij"), [], (2, 3, 4, 5), (2, 3, 6, 5)),
    "einsum-summed": case(node("Einsum", "x0 x1", "y", equation="ij,jk->k"), [], (3, 4), (4, 5)),
    "einsum-three": case(node("Einsum", "x0 x1 x2", "y", equation="ij,jk,kl->il"), [], (2, 3), (3, 4), (4, 5)),
    "einsum-dots": case(node("Einsum", "x0 x1", "y", equation="...ij,...jk->...ik"), [], (2, 3, 4), (1, 4, 5)),
    "lstm": recurrent("LSTM", 4, out="y h c"),
    "lstm-full": recurrent("LSTM", 4, "x0 w r b - h0 c0 p", "y h c", 2, direction="bidirectional"),
    "lstm-reverse": recurrent("LSTM", 4, "x0 w r", "y h c", direction="reverse"),
    "gru": recurrent("GRU", 3),
    "gru-after": recurrent("GRU", 3, "x0 w r b - h0", linear_before_reset=1),
    "rnn": recurrent("RNN", 1, "x0 w r b - h0", activations=["Relu"]),
    "matmul-integer": integers("MatMulInteger", (3, 5), (5, 6)),
    "conv-integer": integers("ConvInteger", (1, 2, 6, 5), (4, 2, 3, 2), pads=[1, 1, 1, 1]),
    "qlinear-matmul": integers("QLinearMatMul", (3, 5), (5, 6)),
    "qlinear-conv": integers("QLinearConv", (1, 2, 6, 5), (4, 2, 3, 2), pads=[1, 1, 1, 1], strides=[2, 1]),
}  # fmt: skip


def test_every_operation_has_a_case():
    assert {made.graph.node[0].op_type for made, _ in CASES.values()} == set(operations.OPERATIONS)


@pytest.mark.parametrize("name", CASES)
def test_as_onnxruntime(name, tmp_path):
    made, feed = CASES[name]
    emulated = EmulatedModel(saved(tmp_path, made), feed)
    (batch,) = emulated.batches
    results = emulated.run(batch.feed, [Float32()] * len(emulated.layers))
    for output, expected in run_whole(made, "model")(feed).items():
        assert results[output].dtype == expected.dtype
        if expected.dtype.kind == "f":
            np.testing.assert_allclose(results[output], expected, rtol=1e-4, atol=1e-5)
        else:
            np.testing.assert_array_equal(results[output], expected)


class Counting(Float32):
    """Notes which sums are computed."""

    def __init__(self):
        self.macs, self.longest = 0, 0

    def matmul(self, a, b, *rest):
        self.macs += a.size * b.shape[1]
        self.longest = max(self.longest, a.shape[1])
        return super().matmul(a, b, *rest)

    def each(self, a, b):
        self.macs += a.size
        self.longest = max(self.longest, a.shape[2])
        return super().each(a, b)


@pytest.mark.parametrize("name", CASES)
def test_sums_are_as_long_as_the_planner_says(name, tmp_path):
    """And as many, but for the borders of transposed convolutions, where padding takes part."""
    made, feed = CASES[name]
    emulated = EmulatedModel(saved(tmp_path, made), feed)
    products = [Counting() for _ in emulated.layers]
    emulated.run(emulated.batches[0].feed, products)
    for layer, counted in zip(emulated.layers, products, strict=True):
        assert counted.longest == layer.layer.forward.length
        if layer.layer.op != "ConvTranspose":
            assert counted.macs == layer.layer.forward.macs


def quantised(fmt, x):
    return parse_format(fmt).quantize(x)


@pytest.mark.parametrize("spec", [
    MacSpec(a="e4m3fn", b="e5m2", acc="e6m3", chunk=4),
    MacSpec(a="int8", b="int8", acc="int16", overflow="wrap"),
    MacSpec(a="e3m4finite", b="e3m4finite", acc="e5m4", product="e5m3", rounding="rtz"),
], ids=["rne", "wrap", "products"])  # fmt: skip
@pytest.mark.parametrize("transposed", [False, True])
def test_a_convolution_is_golden_on_each_output(spec, transposed, tmp_path):
    """Each output's products in the order of the weights, padding included, one dot product at a time."""
    op, shapes = (
        ("ConvTranspose", ((1, 3, 4, 3), (3, 2, 3, 3))) if transposed else ("Conv", ((1, 3, 4, 4), (2, 3, 3, 3)))
    )
    made, feed = conv(op, shapes, bias=2, strides=[2, 1], pads=[1, 1, 1, 1])
    emulated = EmulatedModel(saved(tmp_path, made), feed)
    scales = Scales(4.0, np.full((1, 1, 2), 8.0))
    result = emulated.run(emulated.batches[0].feed, [OnSpec("y", spec, scales)])["y"]
    x = spec.a.quantize(feed["x0"] * 4.0)[0]
    w = spec.b.quantize(np.asarray(numpy_helper.to_array(made.graph.initializer[0]), np.float64) * 8.0)
    bias = numpy_helper.to_array(made.graph.initializer[1])
    expected = np.zeros(result.shape)
    for channel, row, column in np.ndindex(result.shape[1:]):
        a, b = [], []
        for source, up, across in itertools.product(range(3), range(3), range(3)):
            if transposed:  # output = 2 input + tap - 1
                if (row + 1 - up) % 2:
                    continue
                place = (row + 1 - up) // 2, column + 1 - across
                tap = w[source, channel, up, across]
            else:
                place = 2 * row + up - 1, column + across - 1
                tap = w[channel, source, up, across]
            inside = all(0 <= p < size for p, size in zip(place, x.shape[1:], strict=True))
            a.append(x[source][place] if inside else 0.0)
            b.append(tap)
        code, _ = golden.dot(spec, spec.a.encode(a), spec.b.encode(b))
        expected[0, channel, row, column] = np.float32(spec.out_format.decode(code) / 32) + bias[channel]
    np.testing.assert_array_equal(result, expected.astype(np.float32))


def test_depthwise_is_golden(tmp_path):
    spec = MacSpec(a="e4m3fn", b="e4m3fn", acc="e6m3")
    made, feed = conv(shapes=((1, 4, 5, 5), (4, 1, 3, 3)), bias=4, group=4)
    emulated = EmulatedModel(saved(tmp_path, made), feed)
    result = emulated.run(emulated.batches[0].feed, [OnSpec("y", spec, Scales(1.0, np.ones((4, 1, 1))))])["y"]
    x, w = feed["x0"][0], numpy_helper.to_array(made.graph.initializer[0])
    bias = numpy_helper.to_array(made.graph.initializer[1])
    for channel, row, column in np.ndindex(4, 3, 3):
        a, b = (spec.a.quantize(v).reshape(-1) for v in (x[channel, row : row + 3, column : column + 3], w[channel]))
        code, _ = golden.dot(spec, spec.a.encode(a), spec.b.encode(b))
        assert result[0, channel, row, column] == np.float32(spec.acc.decode(code)) + bias[channel]


@pytest.mark.parametrize("op", ["MatMul", "Gemm", "Einsum"])
def test_results_of_integer_matrices_are_rounded(op, tmp_path):
    """Sums of a network of int32 that come out a little below an integer are that integer, and not one less."""
    attributes = {"equation": "ij,jk->ik"} if op == "Einsum" else {}
    x, w = np.array([[3, -3]], np.int32), np.array([[5, -4], [0, 0]], np.int32)
    made = model([node(op, "x w", "y", **attributes)], [value("x", ("N", 2), TensorProto.INT32)], constants(w=w),
                 [value("y", None, TensorProto.INT32)])  # fmt: skip
    emulated = EmulatedModel(saved(tmp_path, made), x)
    scales = Scales(127 / 3 - 0.1, np.full((1, 1), 127 / 5))  # 127 x 127 / (scales) is 15.04, 127 x -102 / ... -12.08
    y = emulated.run(emulated.batches[0].feed, [OnSpec("y", MacSpec(a="int8", b="int8", acc="int32"), scales)])["y"]
    assert y.dtype == np.int32
    assert y.tolist() == [[15, -12]]
    scales = Scales(127 / 3 + 0.1, np.full((1, 1), 127 / 5))  # 14.96 and -12.02
    y = emulated.run(emulated.batches[0].feed, [OnSpec("y", MacSpec(a="int8", b="int8", acc="int32"), scales)])["y"]
    assert y.tolist() == [[15, -12]]


def test_integers_beyond_their_type(tmp_path):
    """Infinite sums and such as int64 does not hold are its ends; NaN is 0."""
    made = model([node("MatMul", "x w", "y")], [value("x", ("N", 2), TensorProto.INT64)],
                 constants(w=np.ones((2, 1), np.int64)), [value("y", None, TensorProto.INT64)])  # fmt: skip
    emulated = EmulatedModel(saved(tmp_path, made), np.ones((4, 2), np.int64))

    class Given(Float32):
        def matmul(self, a, b, *rest):
            return np.array([[np.inf], [-np.inf], [np.nan], [2.0**63]])

    y = emulated.run(emulated.batches[0].feed, [Given()])["y"]
    assert y[:, 0].tolist() == [(1 << 63) - 1024, -(1 << 63), 0, (1 << 63) - 1024]


@pytest.mark.parametrize(("made_node", "weights", "x"), [
    (node("Conv", "x w", "y"), constants(w=np.full((1, 2, 1), 1.0)), np.array([[[1.0], [2.0**-30]]])),
    (node("MatMul", "x w", "y"), constants(w=np.full((1, 2, 1), 1.0)), np.array([[[1.0, 2.0**-30]]])),
], ids=["conv", "matmul"])  # fmt: skip
def test_networks_of_float64_keep_it(made_node, weights, x, tmp_path):
    made = model([made_node], [value("x", ("N", *x.shape[1:]), TensorProto.DOUBLE)], weights,
                 [value("y", None, TensorProto.DOUBLE)])  # fmt: skip
    emulated = EmulatedModel(saved(tmp_path, made), x)
    spec = MacSpec(a="fp32", b="fp32", acc="e11m52")
    for products in (Float32(), OnSpec("y", spec, Scales(1.0, np.ones((1, 1, 1))))):
        y = emulated.run(emulated.batches[0].feed, [products])["y"]
        assert y.ravel().tolist() == [1 + 2.0**-30]


@pytest.mark.parametrize(("attributes", "message"), [
    ({"clip": 1.0}, "clip 1.0; accepted is it without"),
    ({"activations": ["Elu", "Tanh"]}, "activations ['Elu', 'Tanh']; accepted are 2 of Sigmoid, Tanh and Relu"),
])  # fmt: skip
def test_cells_that_are_not_supported(attributes, message, tmp_path):
    made, feed = recurrent("GRU", 3, **attributes)
    emulated = EmulatedModel(saved(tmp_path, made), feed)
    with pytest.raises(MacgenError) as error:
        emulated.run(emulated.batches[0].feed, [Float32()] * 2)
    assert message in str(error.value)


def test_a_layer_that_cannot_run_is_named(tmp_path):
    made = model(
        [helper.make_node("FusedMatMul", ["x", "w"], ["y"], name="fused", domain="com.microsoft")],
        [value("x", (2, 4))],
        constants(w=array(4, 3)),
        domains=["com.microsoft"],
    )
    with pytest.raises(MacgenError, match=r"layer 'fused' of model .* cannot be run: com.microsoft::FusedMatMul is no"):
        EmulatedModel(saved(tmp_path, made), array(2, 4))
