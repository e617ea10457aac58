"""Operations that are counted as another one: lengths by hand."""

import importlib
from collections import Counter

import numpy as np
import pytest

from macgen.network import from_onnx
from macgen.network.stand_ins import matrix_order
from tests.network.models import constant, model, node, of_kind, saved, trained, value, weight
from tests.network.test_foreign_shapes import foreign

S, ZU, ZI = constant("s", 0.5, "float32"), constant("zu", 3, "uint8"), constant("zi", 0, "int8")
CODES = 2
LAST = "qonnx.custom_op.channels_last"
CONV = [("forward", 18, 2 * 4 * 6 * 7), ("gradient", 2 * 6 * 7, 4 * 18)]


def gemms(layer):
    return [(gemm.kind, gemm.length, gemm.outputs) for gemm in layer.gemms]


@pytest.mark.parametrize(
    ("item", "x", "weights", "expected"),
    [
        (foreign("DeformConv", "x w o", domain="", group=2), value("x", (2, 4, 8, 8)),
         [weight("w", 6, 2, 3, 3), weight("o", 2, 18, 6, 6)],
         [("forward", 18, 2 * 6 * 36), ("gradient", 2 * 36, 6 * 18)]),
        (foreign("CausalConvWithState", "x w", "y p", domain=""), value("x", (2, 6, 20)), [weight("w", 6, 1, 4)],
         [("forward", 4, 2 * 6 * 20), ("gradient", 2 * 20, 6 * 4)]),
        (foreign("FusedConv", "x w", activation="Relu"), value("x", (2, 3, 8, 8)), [weight("w", 4, 3, 3, 2)], CONV),
        (foreign("NhwcFusedConv", "x w"), value("x", (2, 8, 8, 3)), [weight("w", 4, 3, 3, 2)], CONV),
        (foreign("Conv", "x w", domain=LAST, group=1), value("x", (2, 8, 8, 3)), [weight("w", 4, 3, 2, 3)], CONV),
        (foreign("Conv", "x w", domain=LAST, group=8), value("x", (1, 5, 8)), [weight("w", 8, 3, 1)],
         [("forward", 3, 8 * 3), ("gradient", 3, 8 * 3)]),
        (foreign("QLinearConv", "x s zu w s zi s zu", channels_last=1), value("x", (2, 8, 8, 3), CODES),
         [S, ZU, ZI, weight("w", 4, 3, 3, 2, dtype="int8")], CONV),
        (foreign("FusedMatMul", "x w", transA=1, transB=1), value("x", (2, 5, 7)), [weight("w", 3, 5)],
         [("forward", 5, 2 * 7 * 3), ("gradient", 14, 15)]),
        (foreign("FusedMatMul", "x w", transBatchA=1), value("x", (7, 2, 4, 5)), [weight("w", 2, 4, 5, 3)],
         [("forward", 5, 2 * 4 * 7 * 3), ("gradient", 7, 2 * 4 * 15)]),
        (foreign("FusedGemm", "x w", transB=1), value("x", (7, 5)), [weight("w", 3, 5)],
         [("forward", 5, 21), ("gradient", 7, 15)]),
        (foreign("QGemm", "x s zu w s zi", transB=1), value("x", (7, 5), CODES),
         [S, ZU, ZI, weight("w", 3, 5, dtype="int8")], [("forward", 5, 21), ("gradient", 7, 15)]),
        (foreign("MatMulIntegerToFloat", "x w s s"), value("x", (2, 7, 5), CODES), [S, weight("w", 5, 3, dtype="int8")],
         [("forward", 5, 42), ("gradient", 14, 15)]),
        (foreign("DynamicQuantizeMatMul", "x w s"), value("x", (7, 5)), [S, weight("w", 5, 3, dtype="int8")],
         [("forward", 5, 21), ("gradient", 7, 15)]),
        (foreign("MatMulNBits", "x w s", K=512, N=96, bits=4, block_size=32), value("x", (2, 7, 512)),
         [S, weight("w", 96, 16, 16, dtype="uint8")], [("forward", 512, 14 * 96), ("gradient", 14, 512 * 96)]),
        (foreign("MatMulBnb4", "x w s", K=512, N=96, transB=0), value("x", (7, 96)), [S, weight("w", 8, dtype="uint8")],
         [("forward", 96, 7 * 512), ("gradient", 7, 512 * 96)]),
        (foreign("MatMulBlockQuantizedFp8Weight", "x w s"), value("x", (7, 5)), [S, weight("w", 3, 5)],
         [("forward", 5, 21), ("gradient", 7, 15)]),
        (foreign("XnorPopcountMatMul", "x w", domain="finn.custom_op.general"), value("x", (7, 5)), [weight("w", 5, 3)],
         [("forward", 5, 21), ("gradient", 7, 15)]),
    ],
    ids=lambda item: item.op_type if hasattr(item, "op_type") else None,
)  # fmt: skip
def test_layers(item, x, weights, expected, tmp_path):
    made = model([item], [x], weights, [value("y")], opset=27, domains=[item.domain] if item.domain else [])
    network = from_onnx(saved(tmp_path, made))
    (layer,) = network.layers
    assert (layer.op, gemms(layer), network.skipped) == (item.op_type, expected, {})


@pytest.mark.parametrize(("operator", "given"), [("MatMulBnb4", {}), ("MatMulNBits", {"bits": 9})])
def test_the_type_that_weights_are_packed_in_is_not_theirs(operator, given, tmp_path):
    item = foreign(operator, "x w s", K=512, N=96, block_size=32, **given)
    weights = [weight("w", 96, 16, 16, dtype="uint8"), weight("s", 96, 16)]
    made = model([item], [value("x", (7, 512))], weights, [value("y")], domains=["com.microsoft"])
    (layer,) = from_onnx(saved(tmp_path, made)).layers
    assert layer.formats == (None, None)


def test_an_attention_of_one_packed_input_is_not_passed_over_in_silence(tmp_path):
    """Of unknown shape, behind an operation that nobody knows."""
    nodes = [node("Mystery", "x", "m", domain="foo"), foreign("MultiHeadAttention", "m", "h", num_heads=4),
             node("MatMul", "x v", "y")]  # fmt: skip
    made = model(nodes, [value("x", (2, 5))], [weight("v", 5, 3)], domains=["foo", "com.microsoft"])
    network = from_onnx(saved(tmp_path, made))
    assert any("MultiHeadAttention" in passed for passed in network.uncounted)


def test_packed_weights_then_a_product(tmp_path):
    """A language model's layer: what comes behind packed weights has its shape."""
    nodes = [
        foreign("SkipSimplifiedLayerNormalization", "x x g", "n - - r"),
        foreign("MatMulNBits", "n w s", "h", K=512, N=96, bits=4, block_size=32),
        foreign("Gelu", "h", "e"),
        node("MatMul", "e v", "y"),
    ]
    weights = [weight("g", 512), weight("w", 96, 16, 16, dtype="uint8"), weight("s", 96, 16), weight("v", 96, 40)]
    made = model(nodes, [value("x", (1, 7, 512))], weights, domains=["com.microsoft"])
    network = from_onnx(saved(tmp_path, made))
    assert [layer.forward.length for layer in network.layers] == [512, 96]
    assert all(of_kind(layer, "backward") for layer in network.layers)  # weights precede both
    assert network.skipped == {"com.microsoft::SkipSimplifiedLayerNormalization": 1, "com.microsoft::Gelu": 1}
    assert (network.uncounted, network.unknown) == ((), ())


def test_a_network_that_onnxruntime_optimised(tmp_path):
    """Its fusions (FusedConv, FusedMatMul, QuickGelu, LayerNormalization of any set) change no length and no size."""
    runtime = importlib.import_module("onnxruntime")
    options = runtime.SessionOptions()
    options.graph_optimization_level = runtime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    options.optimized_model_filepath = str(tmp_path / "optimised.onnx")
    options.log_severity_level = 4
    runtime.InferenceSession(str(trained("_rec_")), options, providers=["CPUExecutionProvider"])
    plain, optimised = (
        from_onnx(path, batch=2, dims={"x:2": 48, "x:3": 64})
        for path in (trained("_rec_"), tmp_path / "optimised.onnx")
    )
    forward = [
        Counter((layer.forward.length, layer.forward.outputs) for layer in network.layers)
        for network in (plain, optimised)
    ]
    assert forward[0] == forward[1]
    assert {"FusedConv", "FusedMatMul"} <= {layer.op for layer in optimised.layers}
    assert (optimised.uncounted, optimised.unknown) == ((), ())


@pytest.mark.parametrize("rank", range(1, 5))
@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("batch_turned", [False, True])
def test_orders_of_axes(rank, turned, batch_turned):
    """The first axis goes before the last, then the last two change places."""
    x = np.zeros(range(2, rank + 2))
    expected = x
    if batch_turned and rank > 2:
        expected = np.moveaxis(expected, 0, -2)
    if turned and rank > 1:
        expected = np.swapaxes(expected, -1, -2)
    assert np.transpose(x, matrix_order(rank, turned=turned, batch_turned=batch_turned)).shape == expected.shape
