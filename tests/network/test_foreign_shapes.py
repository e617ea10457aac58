"""Shapes and types of onnxruntime's operators against a run of onnxruntime, of QONNX's against its definitions."""

import importlib
import random
from collections import Counter

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from macgen.errors import MacgenError
from macgen.network import from_onnx
from macgen.network.onnx_file import read_model
from macgen.network.onnx_inputs import size_inputs
from macgen.network.onnx_shapes import ShapeWalk
from tests.network.models import constant, model, node, saved, value, weight
from tests.network.test_onnx_file import mutated, replaced

FLOAT, UINT8, INT8, INT32 = TensorProto.FLOAT, TensorProto.UINT8, TensorProto.INT8, TensorProto.INT32
DTYPES = {FLOAT: "float32", UINT8: "uint8", INT8: "int8", INT32: "int32"}


def walked(path):
    made = read_model(path)
    inputs = size_inputs(made, "model", None, {})
    walk = ShapeWalk(made, "model", inputs.shapes, inputs.dimensions, ())
    for _ in walk.nodes():
        pass
    return walk.tensors


def foreign(op, inputs, outputs="y", domain="com.microsoft", **attributes):
    """Return a node; `-` stands for an input or a result that is left out."""
    names = [[name.replace("-", "") for name in text.split()] for text in (inputs, outputs)]
    return helper.make_node(op, *names, domain=domain, **attributes)


def made_of(item, inputs, weights=()):
    outputs = [onnx.ValueInfoProto(name=name) for name in item.output if name]
    return model([item], inputs, weights, outputs, domains=[item.domain] if item.domain else [])


X = value("x", (2, 3, 8, 9))
IMAGE = value("x", (2, 8, 9, 3))  # channels last
S, S2, ZU, ZI = (constant("s", 0.5, "float32"), constant("s2", 0.25, "float32"), constant("zu", 3, "uint8"),
                 constant("zi", 0, "int8"))  # fmt: skip
BYTES = value("x", (2, 5, 16), UINT8)
HALVES = value("x", (2, 5, 32))
PAST = [value(name, (2, 4, 6, 8)) for name in ("pk", "pv")]
ATTENTION = [value("q", (2, 5, 32)), value("k", (2, 5, 16)), value("v", (2, 5, 16))]

CASES = [
    (foreign("Gelu", "x"), [X], []),
    (foreign("BiasGelu", "x b"), [HALVES], [weight("b", 32)]),
    (foreign("SimplifiedLayerNormalization", "x b", domain=""), [HALVES], [weight("b", 32)]),
    (foreign("SkipLayerNormalization", "x x b b", "y - - z"), [HALVES], [weight("b", 32)]),
    (foreign("SkipSimplifiedLayerNormalization", "x x b", "y - - z"), [HALVES], [weight("b", 32)]),
    (foreign("QuantizeLinear", "x s z16"), [HALVES], [S, constant("z16", 3, "uint16")]),
    (foreign("QuantizeLinear", "x s"), [HALVES], [S]),
    (foreign("DequantizeLinear", "x s zu"), [BYTES], [S, ZU]),
    (foreign("FusedConv", "x w", activation="Relu", strides=[2, 1], pads=[1, 0, 0, 1]), [X], [weight("w", 4, 3, 3, 2)]),
    (foreign("FusedConv", "x w", group=3, auto_pad="SAME_UPPER", strides=[2, 2]), [X], [weight("w", 6, 1, 3, 3)]),
    (foreign("QLinearConv", "x s zu w s zi s zu", channels_last=1, dilations=[2, 1]), [value("x", (2, 8, 9, 3), UINT8)],
     [S, ZU, ZI, weight("w", 4, 3, 3, 2, dtype="int8")]),
    (foreign("QLinearConv", "x s zu w s zi s zi"), [value("x", (2, 3, 8, 9), INT8)],
     [S, ZI, constant("zu", 0, "int8"), weight("w", 4, 3, 3, 2, dtype="int8")]),
    (foreign("QLinearAveragePool", "x s zu s zu", kernel_shape=[2, 3], strides=[2, 2], channels_last=1),
     [value("x", (2, 8, 9, 3), UINT8)], [S, ZU]),
    (foreign("QLinearAveragePool", "x s zu s zu", kernel_shape=[3, 3], ceil_mode=1, strides=[2, 2]),
     [value("x", (2, 3, 8, 9), UINT8)], [S, ZU]),
    (foreign("QLinearGlobalAveragePool", "x s zu s zu", channels_last=0), [value("x", (2, 3, 8, 9), UINT8)], [S, ZU]),
    (foreign("QLinearGlobalAveragePool", "x s zu s zu", channels_last=1), [value("x", (2, 8, 9, 3), UINT8)], [S, ZU]),
    (foreign("FusedMatMul", "x y0"), [value("x", (7, 5)), value("y0", (5, 3))], []),
    (foreign("FusedMatMul", "x y0", transA=1, transB=1), [value("x", (2, 5, 7)), value("y0", (3, 5))], []),
    (foreign("FusedMatMul", "x y0", transBatchA=1), [value("x", (7, 2, 4, 5)), value("y0", (2, 4, 5, 3))], []),
    (foreign("FusedMatMul", "x y0", transBatchB=1, transB=1), [value("x", (2, 4, 7, 5)), value("y0", (3, 2, 4, 5))],
     []),
    (foreign("FusedMatMul", "x y0", transA=1), [value("x", (5,)), value("y0", (5, 3))], []),
    (foreign("FusedGemm", "x y0", transA=1, transB=1, activation="Relu"), [value("x", (5, 7)), value("y0", (3, 5))],
     []),
    (foreign("QGemm", "x s zu w s zi - s zu", transB=1), [value("x", (7, 16), UINT8)],
     [S, ZU, ZI, weight("w", 4, 16, dtype="int8")]),
    (foreign("QGemm", "x s zu w s zi", transA=1), [value("x", (16, 7), UINT8)],
     [S, ZU, ZI, weight("w", 16, 4, dtype="int8")]),
    (foreign("MatMulIntegerToFloat", "x w s s"), [BYTES], [S, weight("w", 16, 4, dtype="int8")]),
    (foreign("DynamicQuantizeMatMul", "x w s"), [HALVES], [S, weight("w", 32, 4, dtype="int8")]),
    (foreign("MatMulNBits", "x w scales", K=32, N=6, bits=4, block_size=16), [HALVES],
     [weight("w", 6, 2, 8, dtype="uint8"), weight("scales", 6, 2)]),
    (foreign("MatMulBnb4", "x w scales", K=32, N=6, block_size=16, quant_type=1), [HALVES],
     [weight("w", 96, dtype="uint8"), weight("scales", 12)]),
    (foreign("GatherBlockQuantized", "w i scales", block_size=16, quantize_axis=1), [value("i", (2, 3), INT32)],
     [weight("w", 10, 16, dtype="uint8"), weight("scales", 10, 2)]),
    (foreign("EmbedLayerNormalization", "i - w w - b b", mask_index_type=0), [value("i", (2, 5), INT32)],
     [weight("w", 10, 16), weight("b", 16)]),
    (foreign("QLinearAdd", "x s zu c s zu s zu"), [BYTES], [S, ZU, constant("c", np.ones((5, 1)), "uint8")]),
    (foreign("QLinearMul", "c s zu x s zu s zu"), [BYTES], [S, ZU, constant("c", np.ones((5, 1)), "uint8")]),
    (foreign("QLinearSigmoid", "x s zu s zu"), [BYTES], [S, ZU]),
    (foreign("QLinearConcat", "s zu x s zu c s zu", axis=-1), [BYTES],
     [S, ZU, constant("c", np.ones((2, 5, 3)), "uint8")]),
    (foreign("Attention", "x w b", "y", num_heads=4, qkv_hidden_sizes=[16, 16, 32]), [HALVES],
     [weight("w", 32, 64), weight("b", 64)]),
    (foreign("Attention", "x w b - past", "y p", num_heads=4), [HALVES, value("past", (2, 2, 4, 6, 8))],
     [weight("w", 32, 96), weight("b", 96)]),
    (foreign("QAttention", "x w b s s2 - zu zi", num_heads=4), [BYTES],
     [S, S2, ZU, ZI, weight("w", 16, 48, dtype="int8"), weight("b", 48)]),
    (foreign("MultiHeadAttention", "q k v", num_heads=4),
     [value("q", (2, 5, 32)), value("k", (2, 7, 32)), value("v", (2, 7, 48))], []),
    (foreign("MultiHeadAttention", "q k v - - - pk pv", "y a b", num_heads=4),
     [value("q", (2, 5, 32)), value("k", (2, 5, 32)), value("v", (2, 5, 32)), *PAST], []),
    (foreign("GroupQueryAttention", "q k v - - lengths total", "y a b", num_heads=4, kv_num_heads=2), ATTENTION,
     [constant("lengths", [4, 4], "int32"), constant("total", 5, "int32")]),
    (foreign("GroupQueryAttention", "q - - - - lengths total", "y a b", num_heads=4, kv_num_heads=2),
     [value("q", (2, 5, 64))], [constant("lengths", [4, 4], "int32"), constant("total", 5, "int32")]),
]  # fmt: skip


@pytest.mark.parametrize(
    ("item", "inputs", "weights"), CASES, ids=[f"{n}-{item.op_type}" for n, (item, _, _) in enumerate(CASES)]
)
def test_results_are_as_onnxruntime_has_them(item, inputs, weights, tmp_path):
    made = made_of(item, inputs, [w for w in weights if w.name in item.input])
    tensors = walked(saved(tmp_path, made))
    runtime = importlib.import_module("onnxruntime")
    options = runtime.SessionOptions()
    options.log_severity_level = 4
    session = runtime.InferenceSession(made.SerializeToString(), options, providers=["CPUExecutionProvider"])
    shapes = {v.name: [dim.dim_value for dim in v.type.tensor_type.shape.dim] for v in inputs}
    feed = {v.name: np.zeros(shapes[v.name], DTYPES[v.type.tensor_type.elem_type]) for v in inputs}
    names = [name for name in item.output if name]
    for name, x in zip(names, session.run(names, feed), strict=True):
        assert tensors.shape(name) == x.shape
        assert helper.tensor_dtype_to_np_dtype(tensors.types[name].tensor_type.elem_type) == x.dtype


@pytest.mark.parametrize(
    ("item", "x", "weights", "shape"),
    [
        (foreign("NhwcConv", "x w", pads=[1] * 4), (2, 8, 9, 3), [weight("w", 4, 3, 3, 2)], (2, 8, 10, 4)),
        (foreign("NhwcFusedConv", "x w", strides=[2, 2]), (2, 8, 9, 3), [weight("w", 4, 3, 3, 2)], (2, 3, 4, 4)),
        (foreign("NhwcMaxPool", "x", kernel_shape=[2, 2]), (2, 8, 9, 3), [], (2, 7, 8, 3)),
        (foreign("MultiHeadAttention", "x", num_heads=4), (2, 5, 4, 3, 8), [], (2, 5, 32)),
        (foreign("MultiHeadAttention", "x w", num_heads=4), (2, 5, 32), [weight("w", 2, 7, 4, 2, 8)], (2, 5, 32)),
        (foreign("MatMulNBitsMlp", "x", K=32, N=80), (2, 5, 32), [], (2, 5, 80)),
        (foreign("MatMulBlockQuantizedFp8Weight", "x w"), (2, 5, 32), [weight("w", 6, 32)], (2, 5, 6)),
        (foreign("QMoE", "x w", k=2), (2, 5, 32), [weight("w", 10, 4)], (2, 5, 32)),
    ],
    ids=lambda item: item.op_type if isinstance(item, onnx.NodeProto) else None,
)
def test_results_that_the_cpu_does_not_compute(item, x, weights, shape, tmp_path):
    """As onnxruntime's schemas describe them."""
    assert walked(saved(tmp_path, made_of(item, [value("x", x)], weights))).shape("y") == shape


# -- QONNX -----------------------------------------------------------------------------------------------------------

GENERAL, LAST = "qonnx.custom_op.general", "qonnx.custom_op.channels_last"


def qonnx(item, x, weights):
    known = [S, constant("z", 0.0, "float32"), constant("n", 4.0, "float32"), *weights]
    return made_of(item, [value("x", x)], [w for w in known if w.name in item.input])


QONNX = [
        (foreign("Quant", "x s z n", domain="onnx.brevitas"), (2, 3, 8, 9), [], (2, 3, 8, 9)),
        (foreign("IntQuant", "x s z n", domain=GENERAL), (2, 3), [], (2, 3)),
        (foreign("BipolarQuant", "x s", domain="finn.custom_op.general"), (2, 3), [], (2, 3)),
        (foreign("Trunc", "x s z n n", domain="onnx.brevitas"), (2, 3), [], (2, 3)),
        (foreign("FloatQuant", "x s n n n s", domain="onnx.brevitas"), (2, 3), [], (2, 3)),
        (foreign("MultiThreshold", "x t", domain=GENERAL, out_dtype="UINT2"), (2, 3, 8, 8), [weight("t", 3, 3)],
         (2, 3, 8, 8)),
        (foreign("Conv", "x w", domain=LAST, kernel_shape=[3, 2], strides=[2, 1], pads=[1, 0, 1, 0], dilations=[1, 1],
                 group=1), (2, 8, 9, 3), [weight("w", 4, 3, 2, 3)], (2, 4, 8, 4)),
        (foreign("MaxPool", "x", domain=LAST, kernel_shape=[2, 2], strides=[2, 2]), (2, 8, 9, 3), [], (2, 4, 4, 3)),
        (foreign("MaxPoolNHWC", "x", domain=GENERAL, kernel_shape=[2, 2], strides=[2, 2], pads=[0] * 4, ceil_mode=1),
         (2, 8, 9, 3), [], (2, 4, 5, 3)),
        (foreign("QuantAvgPool2d", "x", domain=GENERAL, kernel=3, stride=2, ibits=4, obits=4, data_layout="NHWC"),
         (2, 8, 9, 3), [], (2, 3, 4, 3)),
        (foreign("QuantAvgPool2d", "x", domain=GENERAL, kernel=3, stride=2, ibits=4, obits=4), (2, 3, 8, 9), [],
         (2, 3, 3, 4)),
        (foreign("Im2Col", "x", domain=GENERAL, kernel_size=[3, 2], stride=[2, 1], pad_amount=[1, 0, 1, 0],
                 input_shape="(2, 8, 9, 3)"), (2, 8, 9, 3), [], (2, 4, 8, 18)),
        (foreign("XnorPopcountMatMul", "x w", domain=GENERAL), (2, 8), [weight("w", 8, 5)], (2, 5)),
]  # fmt: skip


@pytest.mark.parametrize(
    ("item", "x", "weights", "shape"),
    QONNX,
    ids=lambda item: item.op_type if isinstance(item, onnx.NodeProto) else None,
)
def test_results_of_qonnx(item, x, weights, shape, tmp_path):
    assert walked(saved(tmp_path, qonnx(item, x, weights))).shape("y") == shape


def test_unknown_sizes_pass_through(tmp_path):
    """Of a tensor of which one size depends on data, the others stay known behind a quantiser."""
    nodes = [
        node("NonZero", "x", "i"),
        node("Cast", "i", "f", to=FLOAT),
        foreign("Quant", "f s z n", "q", "onnx.brevitas"),
        node("MatMul", "w q", "y"),
    ]
    weights = [S, constant("z", 0.0, "float32"), constant("n", 4.0, "float32"), weight("w", 5, 2)]
    made = model(nodes, [value("x", (4, 3))], weights, domains=["onnx.brevitas"])
    tensors = walked(saved(tmp_path, made))
    assert tensors.shape("y") is None
    assert tensors.types["y"].tensor_type.shape.dim[0].dim_value == 5


@pytest.mark.parametrize(
    ("item", "sentence"),
    [
        (
            foreign("FusedConv", "x w"),
            r"^FusedConv 'y' of model model does not fit operands of the shapes '\[2, 3\],",
        ),
        (foreign("MatMulNBits", "x w s", K=3), r"^MatMulNBits 'y' .*: N None is not a positive integer$"),
        (
            foreign("QLinearConcat", "s z x s z", axis="last"),
            r"^QLinearConcat 'y' of model model does not fit .*: axis 'last' is not an integer$",
        ),
    ],
)
def test_refused(item, sentence, tmp_path):
    weights = [w for w in (weight("w", 4, 3, 3, 3), S, constant("z", 0, "uint8")) if w.name in item.input]
    with pytest.raises(MacgenError, match=sentence):
        walked(saved(tmp_path, made_of(item, [value("x", (2, 3))], weights)))


def retyped(made, rng):
    """Return a model with an attribute of another kind or size."""
    changed = onnx.ModelProto.FromString(made.SerializeToString())
    (item,) = changed.graph.node
    if item.attribute:
        chosen = rng.choice(item.attribute)
        values = [b"x", 1.5, -1, 0, 3, 1 << 62, [1, 2], [-1, 0, 3], [0.5], [b"a"], [1 << 40] * 2]
        chosen.CopyFrom(helper.make_attribute(chosen.name, rng.choice(values)))
    return changed.SerializeToString()


def test_fuzz(tmp_path):
    """Whatever is wrong is one sentence, or leaves shapes and layers open."""
    rng = random.Random(11)
    bases = [made_of(item, inputs, [w for w in ws if w.name in item.input]) for item, inputs, ws in CASES]
    bases += [qonnx(item, x, weights) for item, x, weights, _ in QONNX]
    counts = Counter()
    for _ in range(600):
        made, how = rng.choice(bases), rng.choice([mutated, replaced, retyped])
        path = saved(tmp_path, how(made.SerializeToString() if how is mutated else made, rng))
        try:
            from_onnx(path)
            counts["read"] += 1
        except MacgenError as error:
            assert "\n" not in str(error)
            assert len(str(error)) < 700
            counts["refused"] += 1
    assert min(counts.values()) > 100
