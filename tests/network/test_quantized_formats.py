"""Formats that a model states: QONNX's quantisers against their definition, exhaustively where that is small."""

import itertools

import numpy as np
import pytest
from onnx import StringStringEntryProto, TensorAnnotation, helper

from macgen.network import from_onnx
from macgen.network.operand_format import OperandFormat, integer_format
from macgen.network.quantized_formats import annotated_format, float_format, packed_format, quant_format
from macgen.numerics import FloatFormat, as_format, parse_format
from tests.network.models import constant, model, node, saved, value, weight
from tests.network.test_foreign_shapes import foreign


def quantised(signed, narrow, bits, zero, steps=4000):
    """Return all integers, less the zero point, that the definition of QONNX's IntQuant gives for some reals."""
    low = -(2 ** (bits - 1)) + narrow if signed else 0
    high = 2 ** (bits - 1) - 1 if signed else 2**bits - 1 - narrow
    x = np.linspace(-(2**bits) - 1, 2**bits + 1, steps) - zero
    if signed and bits == 1:
        return set(np.where(x + zero >= 0, 1.0, -1.0) - zero)
    return set(np.round(np.clip(x + zero, low, high)) - zero)


def codes(given):
    """Return the least and the largest number of a format."""
    fmt = as_format("format", given.name)
    return int(fmt.min) + given.narrow, int(fmt.max)


@pytest.mark.parametrize("bits", range(1, 9))
def test_integers_of_quantisers(bits):
    for signed, narrow, zero in itertools.product((0, 1), (0, 1), (-3, 0, 1, 128)):
        if narrow and bits == 1:
            continue  # no integer is left, or one
        given = quant_format(signed, narrow, np.array(float(bits)), np.array(float(zero)))
        least, most = codes(given)
        values = quantised(signed, narrow, bits, zero)
        assert min(values) >= least, (signed, narrow, zero)
        assert max(values) <= most, (signed, narrow, zero)
        smaller = integer_width(min(values), max(values))
        assert as_format("format", given.name).width == smaller, (signed, narrow, zero)
        assert given.narrow == (given.name.startswith("int") and min(values) > least - given.narrow)


def integer_width(low, high):
    """Return the fewest bits that hold a range, by trying."""
    return next(
        n for n in range(1, 40) if (low >= 0 and high < 2**n) or (low >= -(2 ** (n - 1)) and high < 2 ** (n - 1))
    )


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        ((1, 0, 4, 0), "int4"),
        ((1, 1, 4, 0), "int4narrow"),
        ((0, 0, 4, 0), "uint4"),
        ((0, 1, 4, 0), "uint4"),
        ((1, 0, 1, 0), "int2narrow"),  # -1 and 1
        ((0, 0, 8, 128), "int8"),
        ((1, 0, [2, 8, 4], 0), "int8"),
    ],
)
def test_names(arguments, name):
    signed, narrow, bits, zero = arguments
    assert str(quant_format(signed, narrow, np.array(bits, float), np.array(zero, float))) == name


@pytest.mark.parametrize("bits", [None, 0, 2.5, 33, np.nan, []])
def test_bits_that_say_nothing(bits):
    assert quant_format(1, 0, None if bits is None else np.array(bits, float), np.array(0.0)) is None
    assert quant_format(1, 0, np.array(4.0), None if bits in (None, []) else np.array(0.5)) is None


@pytest.mark.parametrize(
    ("name", "infinities", "nan"),
    [
        ("e4m3fn", 0, 1),
        ("e5m2", 1, 1),
        ("e4m3finite", 0, 0),
        ("e2m1finite", 0, 0),
        ("e2m3finite", 0, 0),
        ("e3m4", 1, 1),
    ],
)
def test_floats(name, infinities, nan):
    fmt = FloatFormat.parse(name)
    parts = [np.array(float(x)) for x in (fmt.exp_bits, fmt.man_bits, fmt.bias, fmt.max)]
    given = {"has_inf": infinities, "has_nan": nan}
    assert float_format(given, *parts) == OperandFormat(name)
    # What the largest value says goes before what the attributes say: E4M3 that is said to have no NaN holds 448 too.
    reaching = float_format({"has_inf": 1, "has_nan": 1}, *parts)
    assert FloatFormat.parse(reaching.name).max >= fmt.max
    # Another bias is a power of two more in the scale.
    moved = [*parts[:2], parts[2] + 3, parts[3] / 8]
    assert float_format(given, *moved) == OperandFormat(name)
    assert float_format(given, *parts[:3], parts[3] * 4) is None
    assert float_format(given, *parts[:3], None) is None


@pytest.mark.parametrize("given", [{}, {"has_nan": 1}, {"has_inf": 1, "has_nan": 1}], ids=str)
def test_floats_are_formats_of_macgen(given):
    """Of E1M0 with NaN, or E11 without infinity, it has none."""
    named = set()
    for exponent in range(1, 12):
        for mantissa in range(53):
            bias = max((1 << (exponent - 1)) - 1, 0)
            for largest in (2.0**-bias, 1.0, 2.0**bias):
                found = float_format(given, *(np.array(float(x)) for x in (exponent, mantissa, bias, largest)))
                if found is not None:
                    parse_format(found.name)
                    named.add(found.name)
    assert len(named) > 300


def test_packed_weights():
    assert str(packed_format(4, zero_points=False)) == "int4"
    assert str(packed_format(4, zero_points=True)) == "int5narrow"
    assert packed_format("4", zero_points=False) is None


@pytest.mark.parametrize(
    ("text", "name"),
    [("INT4", "int4"), ("UINT2", "uint2"), ("BIPOLAR", "int2narrow"), ("TERNARY", "int2narrow"), ("BINARY", "uint1"),
     ("SCALEDINT<8>", "int8"), ("FIXED<6,2>", "int6"), ("FLOAT32", None), ("INT99", None), ("INT0", None)],
)  # fmt: skip
def test_annotations(text, name):
    assert annotated_format(text) == (name and integer_named(name))


def integer_named(name):
    return OperandFormat(name.removesuffix("narrow"), name.endswith("narrow"))


@pytest.mark.parametrize(
    ("low", "high", "name"), [(0, 0, "uint1"), (-1, -1, "int1"), (-1, 0, "int1"), (-5, -2, "int4")]
)
def test_ranges(low, high, name):
    assert integer_format(low, high).name == name


# -- models ----------------------------------------------------------------------------------------------------------

SCALE, ZERO = constant("s", 0.25, "float32"), constant("z", 0.0, "float32")
FOUR, THREE = constant("n4", 4.0, "float32"), constant("n3", 3.0, "float32")
BREVITAS = "onnx.brevitas"


def quant(source, bits, result, domain=BREVITAS, **attributes):
    return foreign("Quant", f"{source} s z {bits}", result, domain, **attributes)


def formats(folder, nodes, inputs, weights, domains=(BREVITAS,), annotations=()):
    made = model(nodes, inputs, [SCALE, ZERO, FOUR, THREE, *weights], domains=domains)
    for name, kind in annotations:
        entry = StringStringEntryProto(key="finn_datatype", value=kind)
        made.graph.quantization_annotation.append(
            TensorAnnotation(tensor_name=name, quant_parameter_tensor_names=[entry])
        )
    network = from_onnx(saved(folder, made))
    assert (network.uncounted, network.unknown) == ((), ())
    return [tuple(None if x is None else str(x) for x in layer.formats) for layer in network.layers]


def test_a_network_of_brevitas(tmp_path):
    """Weights and activations quantised, pooled, turned and flattened; every layer says its formats."""
    nodes = [
        quant("x", "n8", "xq", signed=1, narrow=0),
        quant("w", "n4", "wq", signed=1, narrow=1),
        node("Conv", "xq wq", "c"),
        node("Relu", "c", "r"),
        quant("r", "n3", "rq", signed=0, narrow=0),
        node("MaxPool", "rq", "p", kernel_shape=[2, 2], strides=[2, 2]),
        node("Flatten", "p", "f"),
        foreign("BipolarQuant", "v s", "vq", BREVITAS),
        node("Gemm", "f vq", "g", transB=1),
        node("MatMul", "g u", "y"),
    ]
    weights = [weight("w", 4, 3, 3, 3), weight("v", 10, 36), weight("u", 10, 2), constant("n8", 8.0, "float32")]
    assert formats(tmp_path, nodes, [value("x", (1, 3, 8, 8))], weights) == [
        ("int8", "int4narrow"), ("uint3", "int2narrow"), (None, None)
    ]  # fmt: skip


def test_truncation_has_the_sign_of_what_it_truncates(tmp_path):
    """Version 1 of Trunc does not say it; its operand is a mean of unsigned integers."""
    nodes = [
        quant("x", "n4", "q", signed=0),
        node("GlobalAveragePool", "q", "m"),
        foreign("Trunc", "m s z n4 n3", "t", BREVITAS),
        node("Flatten", "t", "f"),
        quant("w", "n4", "wq"),
        node("MatMul", "f wq", "y"),
        foreign("Trunc", "y s z n4 s n3", "t2", BREVITAS, signed=1, narrow=1),
        node("MatMul", "t2 v", "y2"),
    ]
    weights = [weight("w", 3, 5), weight("v", 5, 5)]
    assert formats(tmp_path, nodes, [value("x", (1, 3, 8, 8))], weights) == [("uint3", "int4"), ("int3narrow", None)]


def test_channels_last_and_annotations(tmp_path):
    """As FINN prepares a network: data types in annotations and thresholds instead of quantisers."""
    general, last = "qonnx.custom_op.general", "qonnx.custom_op.channels_last"
    nodes = [
        foreign("MultiThreshold", "x t", "h", general, out_dtype="UINT2", data_layout="NHWC"),
        foreign("Conv", "h w", "y", last, kernel_shape=[3, 3], strides=[1, 1], pads=[0] * 4, dilations=[1, 1], group=1),
    ]
    weights = [weight("t", 3, 3), weight("w", 4, 3, 3, 3)]
    assert formats(
        tmp_path, nodes, [value("x", (1, 8, 8, 3))], weights, [general, last], [("w", "INT3"), ("h", "UINT2")]
    ) == [("uint2", "int3")]


@pytest.mark.parametrize(("signed", "name"), [(1, "uint3"), (0, "uint4")])
def test_rectified_integers(signed, name, tmp_path):
    nodes = [quant("x", "n4", "q", signed=signed), node("Relu", "q", "r"), node("MatMul", "r w", "y")]
    assert formats(tmp_path, nodes, [value("x", (2, 5))], [weight("w", 5, 2)]) == [(name, None)]


def test_weights_on_the_left_come_second(tmp_path):
    nodes = [quant("x", "n4", "q"), quant("w", "n3", "wq"), node("MatMul", "wq q", "y")]
    assert formats(tmp_path, nodes, [value("x", (5, 2))], [weight("w", 4, 5)]) == [("int4", "int3")]


def test_float_quantisers(tmp_path):
    """FP8 as Brevitas exports it, scale and bias aside."""
    parts = {"e": 4.0, "m": 3.0, "b": 7.0, "most": 448.0}
    nodes = [
        foreign("FloatQuant", "x s e m b most", "q", BREVITAS, has_inf=0, has_nan=1),
        helper.make_node("MatMul", ["q", "w"], ["y"]),
    ]
    weights = [weight("w", 5, 2), *(constant(name, x, "float32") for name, x in parts.items())]
    assert formats(tmp_path, nodes, [value("x", (2, 5))], weights) == [("e4m3fn", None)]


def test_hostile_quantisers_say_nothing(tmp_path):
    """Attributes and bit widths of the wrong kind."""
    general = "qonnx.custom_op.general"
    nodes = [
        foreign("Quant", "x s z", "a", BREVITAS),
        foreign("Quant", "a s z n", "b", BREVITAS, signed="yes"),
        foreign("MultiThreshold", "b t", "c", general, out_dtype=3),
        foreign("FloatQuant", "c s n n n n", "d", BREVITAS),
        foreign("Trunc", "d", "e", BREVITAS),
        node("MatMul", "e w", "y"),
    ]
    weights = [weight("w", 5, 2), weight("t", 3, 3), constant("n", [1 + 2j], "complex64")]
    assert formats(tmp_path, nodes, [value("x", (2, 5))], weights, [BREVITAS, general]) == [(None, None)]
