"""Layers against their definition: every product of an input and a weight that an output sums, listed one by one."""

import itertools
import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from macgen.errors import MacgenError
from macgen.network import Gemm, Layer, Network, conv_layer, linear_layer, matmul_layer
from tests.network.models import count_macs, of_kind


def conv_products(batch, in_channels, out_channels, kernel, in_size, out_size, groups, stride, transposed):
    """Yield (input, weight, output) of each multiplication, by the definition of a convolution without padding."""
    # A transposed convolution takes the same steps with the roles of input and output changed.
    wide, narrow = (out_size, in_size) if transposed else (in_size, out_size)
    per_group = in_channels // groups, out_channels // groups
    for n, group in itertools.product(range(batch), range(groups)):
        for c, m in itertools.product(range(per_group[0]), range(per_group[1])):
            for step in itertools.product(*map(range, narrow)):
                for tap in itertools.product(*map(range, kernel)):
                    at = tuple(p * s + t for p, s, t in zip(step, stride, tap, strict=True))
                    assert all(i < size for i, size in zip(at, wide, strict=True))
                    source, target = (step, at) if transposed else (at, step)
                    channels = group * per_group[0] + c, group * per_group[1] + m
                    yield (n, channels[0], *source), (group, c, m, *tap), (n, channels[1], *target)


@st.composite
def convolutions(draw):
    dimensions = draw(st.integers(1, 3))
    small = st.integers(1, 3 if dimensions < 3 else 2)
    groups = draw(st.integers(1, 2))
    kernel, narrow, stride = (tuple(draw(small) for _ in range(dimensions)) for _ in range(3))
    wide = tuple((size - 1) * s + k for size, s, k in zip(narrow, stride, kernel, strict=True))
    transposed = draw(st.booleans())
    return {
        "batch": draw(st.integers(1, 2)),
        "in_channels": groups * draw(st.integers(1, 2)),
        "out_channels": groups * draw(st.integers(1, 2)),
        "kernel": kernel,
        "in_size": narrow if transposed else wide,
        "out_size": wide if transposed else narrow,
        "groups": groups,
        "transposed": transposed,
    }, stride


@given(convolutions())
def test_convolutions(case):
    sizes, stride = case
    layer = conv_layer("conv", **sizes)
    products = list(conv_products(**sizes, stride=stride))
    inputs, weights, outputs = (Counter(column) for column in zip(*products, strict=True))
    forward, backward, gradient = layer.gemms
    assert [gemm.kind for gemm in layer.gemms] == ["forward", "backward", "gradient"]
    assert {gemm.macs for gemm in layer.gemms} == {len(products)}
    # The gradient of an operand sums, for each of its elements, over the products that the element takes part in.
    assert set(weights.values()) == {gradient.length}
    assert gradient.outputs == len(weights)
    dense, strided = (outputs, inputs)[:: -1 if sizes["transposed"] else 1]
    exact, bound = (forward, backward)[:: -1 if sizes["transposed"] else 1]
    assert set(dense.values()) == {exact.length}
    assert exact.outputs == len(dense)
    assert max(strided.values()) <= bound.length
    assert bound.outputs >= len(strided)  # no product reaches inputs that the stride leaves out
    wide = math.prod(sizes["out_size" if sizes["transposed"] else "in_size"])
    assert bound.outputs == sizes["batch"] * wide * sizes["out_channels" if sizes["transposed"] else "in_channels"]
    enough = all(n >= k for n, k in zip(sizes["in_size" if sizes["transposed"] else "out_size"], sizes["kernel"],
                                        strict=True))  # fmt: skip
    if enough and set(stride) == {1}:
        assert max(strided.values()) == bound.length


@st.composite
def matrix_stacks(draw):
    size = st.integers(1, 3)
    m, k, n = draw(size), draw(size), draw(size)
    stack = draw(st.lists(size, max_size=2))
    stacks = [[draw(st.sampled_from([1, s])) for s in stack][draw(st.integers(0, len(stack))) :] for _ in "ab"]
    a, b = (*stacks[0], m, k), (*stacks[1], k, n)
    return (k,) if draw(st.booleans()) and not stacks[0] else a, (k,) if draw(st.booleans()) and not stacks[1] else b


@given(matrix_stacks())
def test_matrix_products(shapes):
    """The lengths by counting: the gradient of sum(y) counts, for each element, the products it takes part in."""
    a_shape, b_shape = shapes
    layer = matmul_layer("matmul", a_shape=a_shape, b_shape=b_shape)
    forward, left, right = layer.gemms
    y = np.matmul(np.ones(a_shape), np.ones(b_shape))
    assert (forward.kind, forward.length, forward.outputs) == ("forward", int(y.max()), y.size)
    assert forward.macs == left.macs == right.macs == int(y.sum())
    for gemm, shape in ((left, a_shape), (right, b_shape)):
        assert gemm.kind == "backward"
        assert (gemm.length, gemm.outputs) == (int(y.sum()) // math.prod(shape), math.prod(shape))
    for gemm in layer.gemms:
        assert gemm.products * gemm.rows * gemm.cols == gemm.outputs


def test_attention():
    """8 examples, 12 heads, 128 queries and 96 keys of 64 features."""
    layer = matmul_layer("qk", a_shape=(8, 12, 128, 64), b_shape=(8, 12, 64, 96))
    assert layer.gemms == (
        Gemm("forward", 64, 8 * 12 * 128 * 96, rows=128, cols=96),
        Gemm("backward", 96, 8 * 12 * 128 * 64, rows=128, cols=64),
        Gemm("backward", 128, 8 * 12 * 64 * 96, rows=64, cols=96),
    )
    assert [gemm.products for gemm in layer.gemms] == [8 * 12] * 3


def test_weights_shared_by_a_batch():
    layer = matmul_layer("fc", a_shape=(8, 10, 64), b_shape=(64, 32), weight="b")
    assert layer.gemms == linear_layer("fc", batch=80, inputs=64, outputs=32, op="MatMul").gemms
    gemms = (
        Gemm("forward", 64, 2560, rows=80, cols=32),
        Gemm("backward", 32, 5120, rows=80, cols=64),
        Gemm("gradient", 80, 2048, rows=64, cols=32),
    )
    assert layer.gemms == gemms
    left = matmul_layer("fc", a_shape=(32, 64), b_shape=(8, 64, 10), weight="a")
    assert left.gemms == gemms  # of the transposed product, so that weights are the right matrix here, too


def test_groups_are_products_of_their_own():
    """8 examples of 16 x 16 positions, 12 channels to 24 in 3 groups, 3 x 3 taps."""
    layer = conv_layer(
        "conv", batch=8, in_channels=12, out_channels=24, kernel=(3, 3), out_size=(16, 16), in_size=(16, 16), groups=3
    )
    assert [(gemm.kind, gemm.products, gemm.rows, gemm.cols, gemm.length) for gemm in layer.gemms] == [
        ("forward", 3, 8 * 256, 8, 4 * 9),
        ("backward", 3, 8 * 256, 4, 8 * 9),
        ("gradient", 3, 4 * 9, 8, 8 * 256),
    ]


def test_gemms_of_unknown_shape():
    gemm = Gemm("forward", 5, 12)
    assert (gemm.rows, gemm.cols, gemm.products) == (0, 0, 0)
    assert Gemm("forward", 5, 12, rows=3, cols=2).products == 2


def test_a_first_layer_has_no_backward():
    layer = linear_layer("fc", batch=2, inputs=3, outputs=4, input_gradient=False)
    assert [gemm.kind for gemm in layer.gemms] == ["forward", "gradient"]
    assert of_kind(layer, "backward") == []


@given(convolutions(), st.integers(1, 4))
def test_larger_batches(case, factor):
    sizes, _ = case
    larger = {**sizes, "batch": sizes["batch"] * factor}
    assert conv_layer("conv", **sizes).batched(factor) == conv_layer("conv", **larger)


@pytest.mark.parametrize("shapes", [((8, 12, 128, 64), (8, 12, 64, 96)), ((4, 7, 6), (6, 5))])
def test_larger_batches_of_matrix_products(shapes):
    a, b = shapes
    weight = "b" if len(b) == 2 else None
    larger = (3 * a[0], *a[1:]), b if weight else (3 * b[0], *b[1:])
    expected = matmul_layer("m", a_shape=larger[0], b_shape=larger[1], weight=weight)
    assert matmul_layer("m", a_shape=a, b_shape=b, weight=weight).batched(3) == expected


def test_totals():
    layers = (linear_layer("a", batch=2, inputs=3, outputs=4), linear_layer("b", batch=2, inputs=4, outputs=5))
    network = Network("two", 2, layers)
    assert (
        count_macs(network, "forward")
        == count_macs(network, "backward")
        == count_macs(network, "gradient")
        == 2 * (12 + 20)
    )
    assert count_macs(network) == 3 * count_macs(network, "forward")
    assert [(layer.name, gemm.kind) for layer, gemm in network.gemms()][::3] == [("a", "forward"), ("b", "forward")]
    assert all(isinstance(layer, Layer) for layer, _ in network.gemms())


CONV = {"batch": 1, "in_channels": 4, "out_channels": 4, "kernel": (3,), "out_size": (8,)}


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: Gemm("sideways", 1, 1), "kind 'sideways' is not one of forward, backward, gradient"),
        (lambda: Gemm("forward", 0, 1), "length 0 is not an integer from 1"),
        (lambda: Gemm("forward", 1, True), "outputs True is not an integer from 1"),
        (lambda: Gemm("forward", 2, 2, 5), "macs 5 are more than 2 dot products of 2 products hold; accepted are at "
                                           "most 4"),
        (lambda: Gemm("forward", 2, 2, -1), "macs -1 is not an integer from 1"),
        (lambda: Gemm("forward", 2, 12, rows=5, cols=2), "rows 5 and cols 2 do not make up 12 dot products; accepted "
                                                         "are two whose product divides it, or 0 for both"),
        (lambda: Gemm("forward", 2, 12, rows=3), "rows 3 and cols 0 do not make up 12 dot products; accepted are two "
                                                 "whose product divides it, or 0 for both"),
        (lambda: conv_layer("c", **{**CONV, "batch": 0}), "batch of layer 'c' 0 is not an integer from 1"),
        (lambda: conv_layer("c", **{**CONV, "kernel": (3.0,)}), "kernel of layer 'c' 3.0 is not an integer from 1"),
        (lambda: conv_layer("c", **CONV, groups=3), "in_channels 4 of layer 'c' is not a multiple of groups 3"),
        (lambda: conv_layer("c", **CONV, in_size=(8, 8)), "in_size (8, 8) of layer 'c' is of 2 dimensions; accepted "
                                                          "are those of kernel, 1"),
        (lambda: linear_layer("l", batch=1, inputs=-3, outputs=1), "size k of layer 'l' -3 is not an integer from 1"),
        (lambda: matmul_layer("m", a_shape=(2, 3), b_shape=(4, 5)), "shapes (2, 3) and (4, 5) of layer 'm' do not fit; "
                                                                    "accepted are (..., M, K) and (..., K, N)"),
        (lambda: matmul_layer("m", a_shape=(2, 1, 3), b_shape=(3, 3, 5)), "shapes (2, 1, 3) and (3, 3, 5) of layer 'm' "
                                                                          "do not broadcast; accepted are equal sizes, "
                                                                          "or 1"),
        (lambda: matmul_layer("m", a_shape=(), b_shape=(3,)), "shapes () and (3,) of layer 'm' do not fit; accepted "
                                                              "are (..., M, K) and (..., K, N)"),
    ],
)  # fmt: skip
def test_refusals(make, sentence):
    with pytest.raises(MacgenError) as error:
        make()
    assert str(error.value) == sentence
