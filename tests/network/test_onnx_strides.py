"""Strided convolutions of ONNX files, against onnxruntime: on ones it counts the products of every sum."""

import math

import numpy as np
import onnxruntime
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from onnx import numpy_helper

from macgen.errors import MacgenError
from macgen.network import from_onnx
from macgen.network.operand_statistics import measure_here
from macgen.numerics import parse_format
from macgen.width.goal import Goal
from macgen.width.network_plan import plan_network
from tests.network.models import model, node, of_kind, saved, value, weight


def transposed(x, w, **attributes):
    """Return a model with one transposed convolution that is no first layer."""
    nodes = [node("PRelu", "x slope", "h"), node("ConvTranspose", "h w", "y", name="up", **attributes)]
    return model(nodes, [value("x", x)], [weight("w", *w), numpy_helper.from_array(np.ones(1, np.float32), "slope")])


def run(op, x, w, **attributes):
    made = model([node(op, "x w", "y", **attributes)], [value("x", x.shape), value("w", w.shape)])
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(made.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return session.run(None, {"x": x.astype(np.float32), "w": w.astype(np.float32)})[0]


@pytest.mark.parametrize(
    ("x", "w", "attributes", "length", "bits"),
    [
        ((1, 64, 8, 8), (64, 32, 4, 4), {"strides": [4, 4]}, 64, 22),
        ((1, 128, 8, 8), (128, 64, 2, 2), {"strides": [2, 2]}, 128, 23),
        ((1, 12, 8, 8), (12, 6, 3, 3), {"strides": [2, 2], "pads": [1] * 4, "output_padding": [1, 1]}, 48, 21),
        ((1, 8, 6, 6), (8, 4, 3, 3), {"strides": [2, 2], "dilations": [2, 2]}, 72, 22),
        ((1, 8, 6, 1), (8, 4, 3, 3), {}, 24, 20),
    ],
)
def test_taps_that_meet(x, w, attributes, length, bits, tmp_path):
    """Width by hand: the least int that holds 2^14 times the length, the largest sum of products of int8."""
    network = from_onnx(saved(tmp_path, transposed(x, w, **attributes)))
    planned = plan_network(network, Goal(a="int8", b="int8"), kinds=("forward",))
    assert (
        network.layers[0].forward.length == run("ConvTranspose", np.ones(x), np.ones(w), **attributes).max() == length
    )
    assert bits == (length << 14).bit_length() + 1
    assert planned.rows[0].plan.chosen.acc == parse_format(f"int{bits}")


@st.composite
def cases(draw):
    small = st.integers(1, 4)
    dims = draw(st.integers(1, 2))
    kernel, stride, dilation, size = ([draw(small) for _ in range(dims)] for _ in range(4))
    groups = draw(st.integers(1, 2))
    attributes = {"strides": stride, "dilations": dilation, "group": groups}
    return groups, kernel, size, attributes, dims


def transposed_attributes(draw, kernel, size, attributes, dims):
    reached = [s * (n - 1) + d * (k - 1) + 1 for s, n, d, k in
               zip(attributes["strides"], size, attributes["dilations"], kernel, strict=True)]  # fmt: skip
    extra = [draw(st.integers(0, s - 1)) for s in attributes["strides"]]
    if draw(st.booleans()):
        first = [draw(st.integers(0, min(3, n - 1))) for n in reached]
        last = [draw(st.integers(0, min(3, n - f - 1))) for n, f in zip(reached, first, strict=True)]
        return {"pads": first + last, "output_padding": extra}
    # No smaller than the input: onnx infers no other shapes.
    return {"output_shape": [draw(st.integers(max(size, n - 3), n)) for size, n in zip(size, reached, strict=True)]}


@settings(max_examples=60)
@given(cases(), st.data())
def test_transposed_convolutions(tmp_path_factory, case, data):
    """Lengths, and the sums of magnitudes and by sign of the weights that each output sums."""
    groups, kernel, size, attributes, dims = case
    attributes |= transposed_attributes(data.draw, kernel, size, attributes, dims)
    shape = (2 * groups, 2, *kernel)
    codes = np.random.default_rng(math.prod(kernel)).integers(-128, 128, shape)
    ones = np.ones((1, 2 * groups, *size))
    counts = run("ConvTranspose", ones, np.ones(shape), **attributes)
    nodes = [
        node("DequantizeLinear", "x s", "xd"), node("DequantizeLinear", "w s", "wd"),
        node("ConvTranspose", "xd wd", "y", **attributes),
    ]  # fmt: skip
    scale = numpy_helper.from_array(np.float32(1), "s")
    made = model(nodes, [value("x", ones.shape, 3)], [numpy_helper.from_array(codes.astype(np.int8), "w"), scale])
    path = saved(tmp_path_factory.mktemp("up"), made)
    (layer,) = measure_here(path, ones.astype(np.int8), engine="onnxruntime").layers
    assert layer.forward.length == max(counts.max(), 1)
    assert layer.forward.outputs == counts.size
    assert layer.measured.weight_l1 == run("ConvTranspose", ones, abs(codes), **attributes).max()
    assert layer.measured.weight_range == tuple(
        run("ConvTranspose", ones, np.maximum(sign * codes, 0), **attributes).max() for sign in (-1, 1)
    )


@settings(max_examples=40)
@given(cases(), st.data())
def test_input_gradients_of_convolutions(tmp_path_factory, case, data):
    """The gradient of an input sums what it takes part in: the outputs that are not zero where it alone is 1."""
    groups, kernel, size, attributes, dims = case
    padding = {"pads": data.draw(st.lists(st.integers(0, 4), min_size=2 * dims, max_size=2 * dims))}
    attributes |= data.draw(st.sampled_from([{"auto_pad": "SAME_UPPER"}, {"auto_pad": "SAME_LOWER"}, padding]))
    if "pads" not in attributes:
        attributes["dilations"] = [1] * dims  # onnxruntime does not take both
    else:
        size = [max(n, d * (k - 1) + 1) for n, d, k in zip(size, attributes["dilations"], kernel, strict=True)]
    shape = (2 * groups, 3, *kernel)
    nodes = [node("PRelu", "x slope", "h"), node("Conv", "h w", "y", **attributes)]
    slope = numpy_helper.from_array(np.ones(1, np.float32), "slope")
    path = saved(
        tmp_path_factory.mktemp("conv"),
        model(nodes, [value("x", (1, 3 * groups, *size))], [weight("w", *shape), slope]),
    )
    positions = math.prod(size)
    single = np.zeros((positions, 3 * groups, *size))
    single[:, 0] = np.eye(positions).reshape(positions, *size)
    uses = run("Conv", single, np.ones(shape), **attributes).sum(axis=tuple(range(1, 2 + dims)))
    assume(uses.any())
    (layer,) = from_onnx(path).layers
    assert of_kind(layer, "backward")[0].length == uses.max()


def test_sizes_that_cannot_be_meant(tmp_path):
    """What onnx's inference lets pass."""
    made = model(
        [node("Conv", "x w", "y", name="c", strides=[1 << 40])], [value("x", (1, 1, 9))], [weight("w", 1, 1, 3)]
    )
    said = r"^Conv 'c' of model '.*' has strides \[1099511627776\]; accepted are 1 integers from 1 to 2147483647$"
    with pytest.raises(MacgenError, match=said):
        from_onnx(saved(tmp_path, made))
