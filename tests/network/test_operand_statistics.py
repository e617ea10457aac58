"""Measured sparsity and ranges: figures counted by hand, and the two engines against each other."""

import dataclasses
import sys

import numpy as np
import pytest
from onnx import TensorProto, helper

from macgen.errors import MacgenError, ToolError
from macgen.network import Measurement, OperandStatistics, from_onnx
from macgen.network.operand_statistics import ENGINES, measure_here
from tests.network.models import constant, model, node, of_kind, rich_model, saved, trained, value, weight

BYTE = TensorProto.UINT8
SIGNED = TensorProto.INT8


@pytest.fixture(params=ENGINES)
def engine(request):
    return request.param


def test_by_hand(engine, tmp_path):
    """x w = [[-2, 2], [12, -4]], of which Relu leaves 2 and 12."""
    nodes = [
        node("MatMul", "x w", "h", name="first"),
        node("Relu", "h", "r"),
        node("MatMul", "r v", "y", name="second"),
    ]
    weights = [
        constant("w", [[2, -2], [0, 1], [4, 0]], "float32"), constant("v", [[0.5, 0, 0], [0, 0, -0.25]], "float32")
    ]  # fmt: skip
    path = saved(tmp_path, model(nodes, [value("x", ("N", 3))], weights))
    network = measure_here(path, np.array([[1, 4, -1], [0, -4, 3]]), engine=engine)
    first, second = network.layers
    assert first.measured == Measurement(
        OperandStatistics(nonzero=5 / 6, lowest=-4.0, highest=4.0, smallest=1.0, rms=(43 / 6) ** 0.5, dtype="float32"),
        OperandStatistics(nonzero=4 / 6, lowest=-2.0, highest=4.0, smallest=1.0, rms=(25 / 6) ** 0.5, dtype="float32"),
    )
    assert second.measured == Measurement(
        OperandStatistics(nonzero=2 / 4, lowest=0.0, highest=12.0, smallest=2.0, rms=37**0.5, dtype="float32"),
        OperandStatistics(
            nonzero=2 / 6, lowest=-0.25, highest=0.5, smallest=0.25, rms=(0.3125 / 6) ** 0.5, dtype="float32"
        ),
    )
    assert second.measured.nonzero_products == pytest.approx(1 / 6)
    plain = from_onnx(path, batch=2)
    assert (
        dataclasses.replace(
            network, layers=tuple(dataclasses.replace(layer, measured=None) for layer in network.layers)
        )
        == plain
    )


def test_integers_and_zero_points(engine, tmp_path):
    """Codes 3 stand for zero; the weights' columns have zero points of their own."""
    nodes = [node("MatMulInteger", "x w x_zero w_zero", "y", name="int")]
    weights = [
        constant("w", [[1, 5], [0, -4], [2, 5]], "int8"), constant("x_zero", 3, "uint8"),
        constant("w_zero", [1, 5], "int8"),
    ]  # fmt: skip
    path = saved(tmp_path, model(nodes, [value("x", ("N", 3), BYTE)], weights,
                                 [value("y", None, TensorProto.INT32)]))  # fmt: skip
    (layer,) = measure_here(path, np.array([[3, 4, 255], [0, 3, 3]]), engine=engine).layers
    # w less its zero points: [[0, 0], [-1, -9], [1, 0]]
    assert layer.measured == Measurement(
        OperandStatistics(3 / 6, -3.0, 252.0, 1.0, ((1 + 252**2 + 9) / 6) ** 0.5, "uint8"),
        OperandStatistics(3 / 6, -9.0, 1.0, 1.0, (83 / 6) ** 0.5, "int8"),
        weight_l1=9,
        weight_range=(9, 1),
        codes=Measurement(
            OperandStatistics(5 / 6, 0.0, 255.0, 3.0, ((9 + 16 + 255**2 + 9 + 9) / 6) ** 0.5, "uint8"),
            OperandStatistics(5 / 6, -4.0, 5.0, 1.0, (71 / 6) ** 0.5, "int8"),
            weight_l1=14,
            weight_range=(4, 10),
        ),
    )


def test_quantised_convolution(engine, tmp_path):
    """Zero points by output channel, and the largest sum of magnitudes over one channel's weights."""
    nodes = [node("QLinearConv", "x s x_zero w s2 w_zero s x_zero", "y", name="conv")]
    weights = [
        constant("w", [[[[1, 2], [3, 4]]], [[[-9, -9], [-9, -8]]]], "int8"), constant("s", 0.5, "float32"),
        constant("s2", [0.5, 0.25], "float32"), constant("x_zero", 128, "uint8"), constant("w_zero", [0, -9], "int8"),
    ]  # fmt: skip
    path = saved(tmp_path, model(nodes, [value("x", (1, 1, 4, 4), BYTE)], weights, [value("y", None, BYTE)]))
    (layer,) = measure_here(path, np.full((1, 1, 4, 4), 126), engine=engine).layers
    assert (layer.measured.weight_l1, layer.measured.weight_range) == (10, (0, 10))
    assert layer.measured.b == OperandStatistics(5 / 8, 0.0, 4.0, 1.0, (31 / 8) ** 0.5, "int8")
    assert layer.measured.a == OperandStatistics(1.0, -2.0, -2.0, 2.0, 2.0, "uint8")


def test_operands_from_dequantize_linear(engine, tmp_path):
    """The usual form of quantised networks (of set 21 because the reference evaluator begins there)."""
    nodes = [
        node("QuantizeLinear", "x sx zx", "xq"),
        node("DequantizeLinear", "xq sx zx", "xd"),
        node("DequantizeLinear", "w sw zw", "wd", axis=1),
        node("MatMul", "xd wd", "h", name="quantised"),
        node("MatMul", "x wd", "y", name="half"),
    ]
    weights = [
        constant("w", [[1, 0], [-7, 100]], "int8"), constant("sw", [0.5, 2], "float32"), constant("zw", [0, 0], "int8"),
        constant("sx", 0.5, "float32"), constant("zx", 10, "uint8"),
    ]  # fmt: skip
    path = saved(tmp_path, model(nodes, [value("x", ("N", 2))], weights, [value("h"), value("y")], opset=21))
    quantised, half = measure_here(path, np.array([[0, 1.5], [-1, 8]]), engine=engine).layers
    assert quantised.measured.a == OperandStatistics(3 / 4, -2.0, 16.0, 2.0, (269 / 4) ** 0.5, "uint8")
    assert quantised.measured.b == OperandStatistics(3 / 4, -7.0, 100.0, 1.0, (10050 / 4) ** 0.5, "int8")
    assert (quantised.measured.weight_l1, quantised.measured.weight_range) == (100, (7, 100))
    assert half.measured.b == OperandStatistics(3 / 4, -3.5, 200.0, 0.5, ((0.25 + 12.25 + 40000) / 4) ** 0.5, "float32")
    assert (half.measured.weight_l1, half.measured.weight_range) == (None, None)


def test_operations_of_onnxruntime(tmp_path):
    """A turned matrix with a zero point for each of its rows, turned dequantised weights, channels last."""
    nodes = [
        helper.make_node("QGemm", ["x", "s", "x_zero", "w", "sw", "w_zero"], ["g"], transB=1, domain="com.microsoft"),
        helper.make_node("DequantizeLinear", ["x", "s", "x_zero"], ["xd"], domain="com.microsoft"),
        helper.make_node("DequantizeLinear", ["w", "sw", "w_zero"], ["wd"], axis=0, domain="com.microsoft"),
        helper.make_node("FusedMatMul", ["xd", "wd"], ["f"], transB=1, domain="com.microsoft"),
        helper.make_node(
            "QLinearConv",
            ["image", "s", "x_zero", "k", "s", "k_zero", "s", "x_zero"],
            ["c"],
            channels_last=1,
            domain="com.microsoft",
        ),
        helper.make_node(
            "MatMulNBits", ["f", "n", "ns"], ["y"], K=2, N=2, bits=4, block_size=16, domain="com.microsoft"
        ),
    ]
    weights = [
        constant("w", [[1, 0, 2], [5, -4, 5]], "int8"), constant("w_zero", [1, 5], "int8"),
        constant("sw", [1, 1], "float32"), constant("s", 1, "float32"), constant("x_zero", 3, "uint8"),
        constant("k", [[[[1]], [[2]]], [[[-9]], [[3]]]], "int8"), constant("k_zero", 0, "int8"),
        weight("n", 2, 1, 8, dtype="uint8"), weight("ns", 2, 1),
    ]  # fmt: skip
    inputs = [value("x", (2, 3), BYTE), value("image", (1, 2, 2, 2), BYTE)]
    made = model(nodes, inputs, weights, [value("y"), value("c", None, BYTE)], domains=["com.microsoft"])
    made.graph.output.append(value("g"))
    samples = {"x": np.array([[3, 4, 255], [0, 3, 3]]), "image": np.full((1, 2, 2, 2), 4)}
    network = measure_here(saved(tmp_path, made), samples, engine="onnxruntime")
    gemm, product, conv, packed = network.layers
    # w less its zero points: [[0, -1, 1], [0, -9, 0]]
    for layer in (gemm, product):
        assert layer.measured.a == OperandStatistics(3 / 6, -3.0, 252.0, 1.0, ((1 + 252**2 + 9) / 6) ** 0.5, "uint8")
        assert layer.measured.b == OperandStatistics(3 / 6, -9.0, 1.0, 1.0, (83 / 6) ** 0.5, "int8")
        assert (layer.measured.weight_l1, layer.measured.weight_range) == (9, (9, 1))
    assert (conv.measured.weight_l1, conv.measured.weight_range) == (12, (9, 3))
    assert (packed.measured, str(packed.formats[1])) == (None, "int4")


def test_weights_on_the_left(engine, tmp_path):
    """The activation operand is `a` whatever the order; a row of integer weights makes an output."""
    nodes = [node("MatMulInteger", "w x", "y")]
    weights = [constant("w", [[1, -2, 0], [4, 0, 0]], "int8")]
    path = saved(tmp_path, model(nodes, [value("x", (3, "N"), SIGNED)], weights, [value("y", None, 6)]))
    (layer,) = measure_here(path, np.full((3, 5), 7), engine=engine).layers
    assert layer.measured.a == OperandStatistics(1.0, 7.0, 7.0, 7.0, 7.0, "int8")
    assert layer.measured.b.nonzero == 0.5
    assert (layer.measured.weight_l1, layer.measured.weight_range) == (4, (2, 4))
    assert [gemm.kind for gemm in layer.gemms] == ["forward", "gradient"]


def test_a_fixed_batch_runs_several_times(engine, tmp_path):
    """As one run of a model with an open batch, also where two layers share their input."""
    nodes = [node("MatMul", "x w", "q"), node("MatMul", "x w2", "k"), node("MatMul", "q kt", "y")]
    nodes.insert(2, node("Transpose", "k", "kt", perm=[0, 2, 1]))
    weights = [weight("w", 4, 4), weight("w2", 4, 4, seed=2)]
    x = np.random.default_rng(5).integers(-2, 3, (6, 3, 4))
    networks = [
        measure_here(saved(tmp_path, model(nodes, [value("x", (n, 3, 4))], weights)), x, engine=engine)
        for n in (1, 2, 6, "N")
    ]
    assert all(network == networks[0] for network in networks)
    assert networks[0].batch == 6
    assert networks[0].layers[0].measured.a.rms == pytest.approx(np.sqrt(np.mean(np.square(x))))
    assert of_kind(networks[0].layers[2], "gradient") == []
    assert networks[0].layers[2].measured.weight_l1 is None


def test_all_zero(engine, tmp_path):
    path = saved(tmp_path, model([node("MatMul", "x w", "y")], [value("x", ("N", 4))], [weight("w", 4, 4)]))
    (layer,) = measure_here(path, np.zeros((2, 4)), engine=engine).layers
    assert layer.measured.a == OperandStatistics(0.0, 0.0, 0.0, 0.0, 0.0, "float32")
    assert layer.measured.nonzero_products == 0.0


@pytest.mark.parametrize(("part", "shape"), [("_rec_", (1, 3, 48, 64)), ("_cls_", (2, 3, 48, 192))])
def test_engines_agree_on_trained_networks(part, shape):
    """Old batch normalisation among them, which the reference evaluator alone computes as in training."""
    x = np.random.default_rng(3).normal(size=shape)
    networks = [measure_here(trained(part), x, engine=engine) for engine in ENGINES]
    for one, other in zip(*(network.layers for network in networks), strict=True):
        for which in "ab":
            left, right = (dataclasses.asdict(getattr(layer.measured, which)) for layer in (one, other))
            assert left.pop("dtype") == right.pop("dtype") == "float32"
            smallest = left.pop("smallest"), right.pop("smallest")  # after a subtraction there is little left of it
            assert np.isclose(*smallest, rtol=0.05, atol=1e-6)
            assert left == pytest.approx(right, rel=1e-4)
    assert {layer.measured.nonzero_products == 1.0 for layer in networks[0].layers} == {True, False}


@pytest.mark.parametrize("opset", [7, 8, 9, 13, 14, 15])
def test_batch_normalisation_is_inference(opset, tmp_path):
    nodes = [node("BatchNormalization", "x s b m v", "n"), node("MatMul", "n w", "y")]
    weights = [constant(name, [c] * 3, "float32") for name, c in (("s", 2), ("b", 1), ("m", 3), ("v", 4))]
    made = model(nodes, [value("x", ("N", 3, 4))], [*weights, weight("w", 4, 4)], opset=opset)
    x = np.random.default_rng(1).normal(size=(2, 3, 4))
    for engine in ENGINES:
        (layer,) = measure_here(saved(tmp_path, made), x, engine=engine).layers
        expected = 2 * (x - 3) / np.sqrt(4 + 1e-5) + 1
        assert layer.measured.a.largest == pytest.approx(np.abs(expected).max(), rel=1e-5)


def test_functions_and_branches(tmp_path):
    """What the main graph makes is measured; the branch's product and the recurrence are not."""
    made = rich_model()
    for item in [item for item in made.graph.node if item.domain == "foo.bar" or "mystery" in item.input]:
        made.graph.node.remove(item)
    made.graph.output.remove(next(output for output in made.graph.output if output.name == "lost"))
    x = np.random.default_rng(2).normal(size=(2, 3, 12, 12))
    networks = [measure_here(saved(tmp_path, made), x, engine=engine) for engine in ENGINES]
    for network in networks:
        unmeasured = [layer.name for layer in network.layers if layer.measured is None]
        assert unmeasured == ["then_y", "lstm.input", "lstm.recurrent"]
    for one, other in zip(*(network.layers for network in networks), strict=True):
        if one.measured is not None:
            assert one.measured.a.rms == pytest.approx(other.measured.a.rms, rel=1e-3)
            assert one.measured.weight_l1 == other.measured.weight_l1


# -- refusals ----------------------------------------------------------------------------------------------------------


def test_infinities(engine, tmp_path):
    nodes = [node("Div", "x z", "d"), node("MatMul", "d w", "y", name="late")]
    made = model(nodes, [value("x", ("N", 4))], [constant("z", 0, "float32"), weight("w", 4, 4)])
    with pytest.raises(MacgenError, match=r"^layer 'late' of model '.*' has operands that are infinite or NaN on the"):
        measure_here(saved(tmp_path, made), np.ones((1, 4)), engine=engine)


def test_what_an_engine_cannot_run(engine, tmp_path):
    nodes = [node("MatMul", "x w", "y"), node("Mystery", "y", "z", domain="foo.bar")]
    made = model(nodes, [value("x", ("N", 4))], [weight("w", 4, 4)], domains=["foo.bar"])
    with pytest.raises(MacgenError, match=rf"^model '.*' cannot be run by {engine}: ") as error:
        measure_here(saved(tmp_path, made), np.ones((1, 4)), engine=engine)
    assert "\n" not in str(error.value)


def test_too_many_values(engine, tmp_path):
    nodes = [node("Expand", "x s", "e"), node("MatMul", "e w", "y")]
    weights = [constant("s", [1 << 15, 1 << 15, 1, 1], "int64"), weight("w", 4, 4)]
    made = model(nodes, [value("x", ("N", 4))], weights)
    with pytest.raises(MacgenError, match=r"has tensors of \d+ values on the samples; accepted are at most 1073741824"):
        measure_here(saved(tmp_path, made), np.ones((1, 4)), engine=engine)


def test_engines(monkeypatch, tmp_path):
    path = saved(tmp_path, model([node("MatMul", "x w", "y")], [value("x", ("N", 4))], [weight("w", 4, 4)]))
    x = np.ones((1, 4))
    with pytest.raises(MacgenError, match=r"^engine 'torch' is not one of onnxruntime, reference$"):
        measure_here(path, x, engine="torch")
    best = measure_here(path, x)
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    assert measure_here(path, x) == best
    with pytest.raises(ToolError, match=r"^the package onnxruntime, which runs models, is missing: pip install"):
        measure_here(path, x, engine="onnxruntime")


def test_an_old_model_lists_its_weights_among_the_inputs(engine, tmp_path):
    made = model([node("MatMul", "x w", "y")], [value("x", ("N", 4)), value("w", (4, 4))], [weight("w", 4, 4)])
    made.graph.input.append(helper.make_tensor_value_info("w2", TensorProto.FLOAT, (2,)))
    made.graph.initializer.append(weight("w2", 2))
    (layer,) = measure_here(saved(tmp_path, made), np.ones((3, 4)), engine=engine).layers
    assert of_kind(layer, "gradient")[0].length == 3
