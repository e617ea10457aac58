"""What is seen of quantised operands: codes or codes less zero points, in whatever layout they reach the layer."""

import numpy as np
import pytest
from onnx import TensorProto

from macgen.network.measurement import OperandStatistics
from macgen.network.operand_statistics import ENGINES, measure_here
from macgen.numerics import parse_format
from macgen.width.goal import Goal
from macgen.width.network_plan import plan_network
from tests.network.models import constant, model, node, saved, value

BYTE = TensorProto.UINT8


@pytest.fixture(params=ENGINES)
def engine(request):
    return request.param


def planned(network, a, b):
    (row,) = plan_network(network, Goal(a=a, b=b), kinds=("forward",)).rows
    return row.plan


def least(low, high):
    """Return the least signed width that holds both."""
    return next(width for width in range(1, 99) if -(1 << (width - 1)) <= low and high < 1 << (width - 1))


# -- zero points -------------------------------------------------------------------------------------------------------


def products_of_bytes(folder, codes, zero, dtype="uint8"):
    """Return the network of a product of bytes; the input's codes are 0 to 127, their zero point 128."""
    nodes = [node("QLinearMatMul", "x s x_zero w s w_zero s y_zero", "y")]
    weights = [
        constant("w", codes, dtype), constant("s", 1, "float32"), constant("x_zero", 128, "uint8"),
        constant("w_zero", zero, dtype), constant("y_zero", 0, "uint8"),
    ]  # fmt: skip
    k = len(codes)
    path = saved(folder, model(nodes, [value("x", ("N", k), BYTE)], weights, [value("y", None, BYTE)]))
    return measure_here(path, np.arange(k).reshape(1, k) % 128)


CODES = np.repeat(np.resize([[125], [130], [128], [133]], (80, 1)), 3, axis=1)
"""Weights of 80 products; less 128 their magnitudes sum to 20 * 10, their codes to 20 * 516 = 10320."""


def test_raw_codes_are_bounded(tmp_path):
    """What the ports carry sums to up to 10320 * 255 = 2 631 600, beyond int17 and int22."""
    found = planned(products_of_bytes(tmp_path, CODES, 128), "uint8", "uint8")
    assert 2**21 < 10320 * 255 == 2_631_600 < 2**22
    assert (found.chosen.method, str(found.chosen.acc)) == ("weights", "uint22")
    assert found.warnings == (
        "measured integers are taken as they are stored for a uint8 and b uint8: sums are of these, and what zero "
        "points add to them is left to what follows",
    )


@pytest.mark.parametrize(
    ("a", "b", "acc", "stored"),
    [
        # Less their zero points weights are -3, 2, 0, 5: of both signs they sum to -60 and 140.
        ("uint8", "int8", f"int{least(-60 * 255, 140 * 255)}", "a uint8"),
        ("int8", "int8", f"int{least(-(60 * 127 + 140 * 128), 60 * 128 + 140 * 127)}", None),
        ("int8", "int4", f"int{least(-(60 * 127 + 140 * 128), 60 * 128 + 140 * 127)}", None),
        # Only as codes do they fit 12 unsigned bits.
        ("int8", "uint12", f"int{least(-10320 * 128, 10320 * 127)}", "b uint12"),
    ],
)
def test_what_a_format_carries(a, b, acc, stored, tmp_path):
    found = planned(products_of_bytes(tmp_path, CODES, 128), a, b)
    assert (found.chosen.method, str(found.chosen.acc)) == ("weights", acc)
    assert ("" if stored is None else f"taken as they are stored for {stored}: ") in "".join(found.warnings)
    assert bool(found.warnings) is (stored is not None)


def test_signed_weights_are_no_unsigned_ones(tmp_path):
    """Neither they nor their codes fit: the format's own bound is left, and it is said."""
    codes = np.resize([[-3], [4]], (80, 1))
    found = planned(products_of_bytes(tmp_path, codes, 0, "int8"), "uint8", "uint8")
    assert (found.chosen.method, str(found.chosen.acc)) == ("exact", "uint23")  # 80 * 255 * 255 = 5 202 000
    assert "operands reach from -3 to 4, beyond b uint8, which holds 0 to 255" in found.warnings[0]


def test_codes_of_signed_weights_with_a_zero_point(tmp_path):
    """Weights 95 to 100 with zero point 95: int8 is their own type and carries the codes; int9 is not."""
    codes = np.resize([[95], [100]], (80, 1))
    network = products_of_bytes(tmp_path, codes, 95, "int8")
    high = 40 * 195
    assert planned(network, "uint8", "int8").chosen.acc == parse_format(f"int{least(0, high * 255)}")
    assert planned(network, "uint8", "int9").chosen.acc == parse_format(f"int{least(0, 40 * 5 * 255)}")


def test_negative_real_numbers_are_no_unsigned_ones(engine, tmp_path):
    made = model([node("MatMul", "x w", "y")], [value("x", ("N", 2))], [constant("w", [[1], [2]], "float32")])
    network = measure_here(saved(tmp_path, made), np.array([[-0.5, 1.5]]), engine=engine)
    found = planned(network, "uint8", "int8")
    assert "operands reach from -64 to 192, beyond a uint8, which holds 0 to 255" in found.warnings[0]
    assert planned(network, "int8", "int8").warnings == ()


# -- layouts -----------------------------------------------------------------------------------------------------------

WEIGHTS = np.random.default_rng(3).integers(-128, 128, (5, 300))
"""(N, K)."""


def quantised(*between, w, inputs="x", weights=(), **dequantise):
    """Return a model of x (N, 300) and weights of int8, with operations between DequantizeLinear and the product."""
    nodes = [
        node("QuantizeLinear", "x sx zx", "xq"), node("DequantizeLinear", "xq sx zx", "xd"),
        node("DequantizeLinear", "w sw zw", "wd", **dequantise), *between,
    ]  # fmt: skip
    scales = [constant("sx", 1, "float32"), constant("zx", 0, "int8"), constant("w", w, "int8")]
    return model(nodes, [value("x", (2, 300))], [*scales, *weights], opset=21)


PER_TENSOR = (constant("sw", 1, "float32"), constant("zw", 0, "int8"))
BY_ROW = (constant("sw", [1, 2, 3, 4, 5], "float32"), constant("zw", [0, 1, 2, 3, 4], "int8"))


@pytest.mark.parametrize(
    ("between", "w", "weights", "axis"),
    [
        ([node("Gemm", "xd wd", "y", transB=1)], WEIGHTS, PER_TENSOR, 0),
        ([node("Transpose", "wd", "wt"), node("MatMul", "xd wt", "y")], WEIGHTS, PER_TENSOR, 0),
        ([node("Transpose", "wd", "wt", perm=[1, 0]), node("Identity", "wt", "wi"), node("MatMul", "xd wi", "y")],
         WEIGHTS, PER_TENSOR, 0),
        ([node("Reshape", "wd shape", "wr"), node("Transpose", "wr", "wt"), node("MatMul", "xd wt", "y")],
         WEIGHTS.reshape(5, 3, 100), (*PER_TENSOR, constant("shape", [5, 300])), 0),
        ([node("Squeeze", "wd", "wr"), node("Transpose", "wr", "wt"), node("MatMul", "xd wt", "y")],
         WEIGHTS.reshape(1, 5, 300), PER_TENSOR, 0),
        ([node("Gemm", "xd wd", "y", transB=1)], WEIGHTS, BY_ROW, 0),
        ([node("Transpose", "wd", "wt"), node("MatMul", "xd wt", "y")], WEIGHTS, BY_ROW, 0),
        ([node("Transpose", "wd", "wt", perm=[2, 0, 1]), node("Reshape", "wt shape", "wr"),
          node("MatMul", "xd wr", "y")],
         WEIGHTS.T.reshape(100, 3, 5).transpose(1, 2, 0), (*BY_ROW, constant("shape", [300, 5])), 1),
    ],
)  # fmt: skip
def test_layouts(between, w, weights, axis, engine, tmp_path):
    """One product, written in several ways: figures and width are the same, and those of the weights' own rows."""
    path = saved(tmp_path, quantised(*between, w=w, weights=weights, axis=axis))
    (layer,) = (network := measure_here(path, np.ones((2, 300)), engine=engine)).layers
    less = WEIGHTS if weights[0].dims == [] else WEIGHTS - np.arange(5)[:, None]
    assert layer.measured.weight_l1 == np.abs(less).sum(axis=1).max()
    by_sign = [np.maximum(sign * less, 0).sum(axis=1).max() for sign in (-1, 1)]
    assert layer.measured.weight_range == tuple(by_sign)
    assert layer.measured.b == OperandStatistics(
        np.mean(less != 0), less.min(), less.max(), np.abs(less[less != 0]).min(), np.sqrt(np.mean(less**2)), "int8"
    )
    # Weights of -132 and the like are no int8.
    b = "int8" if weights[0].dims == [] else "int9"
    found = planned(network, "int8", b)
    ends = [(-(p * 128 + n * 127), p * 127 + n * 128) for n, p in zip(
        -np.minimum(less, 0).sum(axis=1), np.maximum(less, 0).sum(axis=1), strict=True)]  # fmt: skip
    assert (found.chosen.method, found.chosen.acc.width) == ("weights", max(least(*pair) for pair in ends))
    assert found.chosen.acc.width < found.answer("exact", None).acc.width


@pytest.mark.parametrize("rows_are_outputs", [True, False])
def test_blocks(rows_are_outputs, engine, tmp_path):
    """A scale and a zero point for each block of 64 products, the last one of 44."""
    zeros = np.random.default_rng(4).integers(-3, 4, (5, 5))
    scales = np.ones((5, 5))
    less = WEIGHTS - np.repeat(zeros, 64, axis=1)[:, :300]
    if rows_are_outputs:
        between, axis = [node("Transpose", "wd", "wt"), node("MatMul", "xd wt", "y")], 1
    else:
        between, axis = [node("MatMul", "xd wd", "y")], 0
    turn = np.asarray if rows_are_outputs else np.transpose
    weights = constant("sw", turn(scales), "float32"), constant("zw", turn(zeros), "int8")
    made = quantised(*between, w=turn(WEIGHTS), weights=weights, axis=axis, block_size=64)
    (layer,) = measure_here(saved(tmp_path, made), np.ones((2, 300)), engine=engine).layers
    assert layer.measured.weight_l1 == np.abs(less).sum(axis=1).max()
    assert layer.measured.weight_range == tuple(np.maximum(sign * less, 0).sum(axis=1).max() for sign in (-1, 1))
    assert (layer.measured.b.lowest, layer.measured.b.highest) == (less.min(), less.max())
    assert layer.measured.codes.weight_l1 == np.abs(WEIGHTS).sum(axis=1).max()


def test_activations_in_another_layout(engine, tmp_path):
    """Keys that are turned after they were quantised, as in attention."""
    nodes = [
        node("QuantizeLinear", "x s z", "q"), node("DequantizeLinear", "q s z", "d"),
        node("Transpose", "d", "t", perm=[0, 2, 1]), node("MatMul", "d t", "y"),
    ]  # fmt: skip
    weights = [constant("s", 0.5, "float32"), constant("z", 1, "int8")]
    made = model(nodes, [value("x", (1, 2, 3))], weights, opset=21)
    (layer,) = measure_here(saved(tmp_path, made), np.array([[[0, 1, 2], [-1, 4, 0]]]), engine=engine).layers
    for seen in (layer.measured.a, layer.measured.b):
        assert seen == OperandStatistics(4 / 6, -2.0, 8.0, 2.0, ((4 + 16 + 4 + 64) / 6) ** 0.5, "int8")


@pytest.mark.parametrize(
    "between",
    [
        [node("Relu", "wd", "wr")],
        [node("Cast", "wd", "wi", to=TensorProto.INT8), node("Cast", "wi", "wr", to=TensorProto.FLOAT)],
    ],
    ids=["Relu", "Cast"],
)
def test_what_changes_values_is_no_layout(engine, between, tmp_path):
    between = [*between, node("Gemm", "xd wr", "y", transB=1)]
    path = saved(tmp_path, quantised(*between, w=WEIGHTS, weights=PER_TENSOR))
    (layer,) = measure_here(path, np.ones((2, 300)), engine=engine).layers
    assert (layer.measured.weight_l1, layer.measured.b.dtype) == (None, "float32")
