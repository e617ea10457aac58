"""Formats that a model states, where --a and --b are left out."""

import pytest
from onnx import TensorProto

import macgen
from macgen.errors import MacgenError
from macgen.network import from_onnx
from macgen.network.gemm import Gemm, Layer, Network
from macgen.network.operand_format import OperandFormat
from macgen.numerics import parse_format
from macgen.width.goal import Goal
from macgen.width.network_plan import plan_network
from macgen.width.stated import stated_formats
from tests.network.models import constant, model, node, saved, value, weight
from tests.network.test_foreign_shapes import foreign


def network(*pairs):
    """Return a network of layers of 80 products with these formats of their operands; None: real numbers."""
    layers = [
        Layer(f"l{number}", "MatMul", (Gemm("forward", 80, 10),), formats=tuple(
            None if name is None else OperandFormat(name.removesuffix("narrow"), name.endswith("narrow"))
            for name in pair))
        for number, pair in enumerate(pairs)
    ]  # fmt: skip
    return Network("stated", 1, tuple(layers))


def planned(*pairs, **options):
    found = macgen.plan(network=network(*pairs), **options)
    warnings = dict.fromkeys(text for row in found.rows for text in row.plan.warnings)
    return f"{found.goal.a} x {found.goal.b}", str(found.widest), [*warnings]


@pytest.mark.parametrize(
    ("pairs", "operands", "acc"),
    [
        ([("uint8", "int8")], "uint8 x int8", "int23"),  # 80 * 255 * 128 = 2 611 200 < 2^22
        ([("uint8", "uint8")], "uint8 x uint8", "uint23"),  # 80 * 255 * 255 = 5 202 000
        ([("int4", "int4"), ("int8", "int4")], "int8 x int4", "int18"),  # 80 * 128 * 8 = 81 920
        # One array takes both kinds of weights, -128 to 255: 80 * 255 * 255 < 2^23.
        ([("uint8", "int8"), ("uint8", "uint8")], "uint8 x int9narrow", "int24"),
        ([("int8", "uint4"), ("int8", "int4")], "int8 x int5narrow", "int19"),  # 80 * 128 * 15 = 153 600 < 2^18
        # Narrow only if none takes the lowest value: 80 * 128 * 127 = 1 300 480 < 2^21.
        ([("int8", "int8narrow"), ("int8", "int4")], "int8 x int8narrow", "int22"),
        ([("int8", "int8narrow"), ("int8", "uint7")], "int8 x int8narrow", "int22"),
        ([("int8", "int8narrow"), ("int8", "int8")], "int8 x int8", "int22"),
        ([("e4m3fn", "e4m3fn")], "e4m3fn x e4m3fn", None),
        ([(None, None)], "e5m2 x e5m2", None),
        ([(None, "int4")], "e5m2 x e5m2", None),  # real numbers times integers
        ([], "e5m2 x e5m2", None),
    ],
)
def test_formats_are_taken_from_the_model(pairs, operands, acc):
    if not pairs:
        assert stated_formats(network()).format("a") is None
        return
    found, widest, warnings = planned(*pairs)
    assert found == operands
    assert acc is None or widest == acc
    assert warnings == []


def test_what_is_given_counts():
    assert planned(("uint8", "int8"), a="int8")[0] == "int8 x int8"
    assert planned(("uint8", "int8"), b="int4")[0] == "uint8 x int4"
    assert planned(("uint8", "int8"), a="e5m2", b="e4m3")[0] == "e5m2 x e4m3"


def test_layers_that_state_nothing_are_named():
    _, _, warnings = planned((None, None), ("int8", "int8"), *[(None, "int8")] * 3)
    assert warnings == [
        "the model states no formats for both operands of 4 of its layers (l0, l2, l3, ...): they are planned as "
        "int8 x int8 like the others"
    ]
    assert planned((None, None), ("int8", "int8"), a="int8", b="int8")[2] == []


def test_formats_that_no_one_holds():
    said = "operands a of the model are e4m3fn and int8, which no one format holds; accepted is --a FORMAT, which says"
    with pytest.raises(MacgenError, match=f"^{said}"):
        planned(("e4m3fn", "int8"), ("int8", "int8"))
    assert planned(("e4m3fn", "int8"), ("int8", "int8"), a="int8")[0] == "int8 x int8"


@pytest.mark.parametrize(
    ("stated", "a", "b", "warned"),
    [
        (("uint8", "int8"), "uint8", "uint8", "from -128 to 127, beyond b uint8, which holds 0 to 255"),
        (("uint8", "int8"), "int8", "int8", None),  # perhaps less their zero points
        (("uint8", "int8"), "int4", "int8", "from 0 to 255, beyond a int4, which holds -8 to 7"),
        (("int8", "int8"), "e5m2", "int16", None),
    ],
)
def test_formats_that_do_not_hold_the_models_operands(stated, a, b, warned):
    (row,) = plan_network(network(stated), Goal(a=a, b=b)).rows
    assert row.plan.warnings == (
        () if warned is None else (f"operands reach {warned}: the plan is for operands that fit",)
    )


def test_narrow_integers_reach_less():
    (row,) = plan_network(network(("int8narrow", None)), Goal(a="int4", b="int8")).rows
    assert "reach from -127 to 127, beyond a int4" in row.plan.warnings[0]
    (row,) = plan_network(network(("int8", None)), Goal(a="int8narrow", b="int8")).rows
    assert "reach from -128 to 127, beyond a int8narrow, which holds -127 to 127" in row.plan.warnings[0]


# -- from files --------------------------------------------------------------------------------------------------------

BYTE, SIGNED, NIBBLE, E4M3 = TensorProto.UINT8, TensorProto.INT8, TensorProto.INT4, TensorProto.FLOAT8E4M3FN


def formats(folder, *arguments, **options):
    made = from_onnx(saved(folder, model(*arguments, **options)))
    return [tuple(None if fmt is None else str(fmt) for fmt in layer.formats) for layer in made.layers]


def test_integer_operations(tmp_path):
    nodes = [
        node("MatMulInteger", "x w zx zw", "y1"), node("QLinearMatMul", "x s zx w s zw s zx", "y2"),
        node("MatMulInteger", "wt xt", "y3"), node("MatMul", "f v", "y4"), node("DynamicQuantizeLinear", "f", "c r z"),
        node("ConvInteger", "image k", "y5"), node("MatMulInteger", "c w z", "y6"),
    ]  # fmt: skip
    weights = [
        weight("w", 4, 3, dtype="int8"), weight("wt", 3, 4, dtype="int8"), constant("s", 1, "float32"),
        constant("zx", 128, "uint8"), constant("zw", 0, "int8"), weight("v", 4, 3), weight("k", 2, 1, 3, dtype="uint8"),
    ]  # fmt: skip
    inputs = [value("x", (2, 4), BYTE), value("xt", (4, 2), BYTE), value("f", (2, 4)), value("image", (1, 1, 9), BYTE)]
    outputs = [value(f"y{n}", None, kind) for n, kind in enumerate((6, BYTE, 6, 1, 6, 6), start=1)]
    # Of a product whose weights are on the left, a is the activations all the same.
    assert formats(tmp_path, nodes, inputs, weights, outputs) == [
        ("uint8", "int8"), ("uint8", "int8"), ("uint8", "int8"), (None, None), ("uint8", "uint8"), ("uint8", "int8"),
    ]  # fmt: skip


def test_dequantised_operands(tmp_path):
    nodes = [
        node("QuantizeLinear", "x s zx", "q"), node("DequantizeLinear", "q s zx", "xd"),
        node("DequantizeLinear", "w s", "wd"), node("Transpose", "wd", "wt"), node("MatMul", "xd wt", "y1"),
        node("MatMul", "x wt", "y2"),
        node("QuantizeLinear", "x s z8", "q8"), node("DequantizeLinear", "q8 s z8", "xd8"),
        node("Transpose", "xd8", "t8"), node("MatMul", "xd8 t8", "y3"),
    ]  # fmt: skip
    weights = [
        weight("w", 3, 4, dtype="int8"), constant("s", 1, "float32"), constant("zx", 0, "uint8"),
    ]  # fmt: skip
    weights[0].data_type, weights[0].raw_data = NIBBLE, bytes(6)
    weights.append(constant("z8", 0, "uint8"))
    weights[-1].name, weights[-1].data_type, weights[-1].raw_data = "z8", E4M3, bytes(1)
    outputs = [value("y1"), value("y2"), value("y3")]
    assert formats(tmp_path, nodes, [value("x", (2, 4))], weights, outputs, opset=21) == [
        ("uint8", "int4"), (None, "int4"), ("e4m3fn", "e4m3fn"),
    ]  # fmt: skip


def test_a_quantised_model_is_planned_in_its_types(tmp_path):
    nodes = [node("MatMulInteger", "x w", "y")]
    path = saved(tmp_path, model(nodes, [value("x", (1, 80), BYTE)], [weight("w", 80, 2, dtype="int8")],
                                 [value("y", None, TensorProto.INT32)]))  # fmt: skip
    found = macgen.plan(path, only=("forward",))
    assert (found.goal.a, found.goal.b) == (parse_format("uint8"), parse_format("int8"))
    assert str(found.rows[0].plan.chosen.acc) == "int23"


@pytest.mark.parametrize(("length", "acc"), [(1024, "int25"), (9, "int19")])
@pytest.mark.parametrize("domain", ["onnx.brevitas", "qonnx.custom_op.general"])
def test_narrow_quantisers_save_a_bit(tmp_path, domain, length, acc):
    """1024 * 128 * 127 < 2^24, where 1024 * 128 * 128 is 2^24; 9 * 128 * 127 = 146 304 is above 2^17 either way."""
    nodes = [
        foreign("Quant", "x s z n8", "xq", domain, signed=1, narrow=0),
        foreign("Quant", "w s z n8", "wq", domain, signed=1, narrow=1),
        node("MatMul", "xq wq", "y"),
    ]
    weights = [
        weight("w", length, 2), constant("s", 0.25, "float32"), constant("z", 0.0, "float32"),
        constant("n8", 8.0, "float32"),
    ]  # fmt: skip
    path = saved(tmp_path, model(nodes, [value("x", (1, length))], weights, domains=(domain,)))
    found = macgen.plan(path, only=("forward",))
    assert (str(found.goal.a), str(found.goal.b), str(found.widest)) == ("int8", "int8narrow", acc)
    assert str(macgen.plan(path, only=("forward",), a="int8", b="int8").widest) == {1024: "int26", 9: "int19"}[length]
