"""Einsum against NumPy's: on ones it counts the products of every sum."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from macgen.errors import MacgenError
from macgen.network import from_onnx
from macgen.network.operand_statistics import measure_here
from tests.network.models import constant, model, node, of_kind, saved, value, weight


def gemms(layer):
    return [(gemm.kind, gemm.length, gemm.outputs) for gemm in layer.gemms]


def counted(folder, equation, shapes, weights=()):
    """Return the network of an Einsum whose operands are inputs that depend on weights; or weights, by their number."""
    names, nodes, kept, inputs = [], [], [weight("slope", 1)], []
    for number, shape in enumerate(shapes):
        if number in weights:
            kept.append(weight(f"w{number}", *shape))
            names.append(f"w{number}")
        else:
            inputs.append(value(f"x{number}", shape))
            nodes.append(node("PRelu", f"x{number} slope", f"h{number}"))
            names.append(f"h{number}")
    nodes.append(node("Einsum", " ".join(names), "y", name="sum", equation=equation))
    return from_onnx(saved(folder, model(nodes, inputs, kept)))


@pytest.mark.parametrize(
    ("equation", "forward"),
    [
        ("bij,bjk->bik", ("forward", 4, 30)),
        ("bij, bjk->kib", ("forward", 4, 30)),
        ("bij,bjk", ("forward", 8, 15)),  # without a result, the labels that occur once
        ("...ij,...jk->...ik", ("forward", 4, 30)),
        ("...ij,bjk->...ik", None),
        ("...ij,...jk", ("forward", 4, 30)),
        ("b...j,bj...->b...", None),
    ],
)
def test_two_operands(equation, forward, tmp_path):
    shapes = (2, 3, 4), (2, 4, 5) if equation != "b...j,bj...->b..." else (2, 4, 3)
    (layer,) = counted(tmp_path, equation, shapes).layers
    y = np.einsum(equation.replace(" ", ""), *(np.ones(shape) for shape in shapes))
    assert gemms(layer)[0] == ("forward", y.max(), y.size) == (forward or gemms(layer)[0])
    assert gemms(layer)[1:] == [("backward", y.sum() // math.prod(x), math.prod(x)) for x in shapes]


@pytest.mark.parametrize(
    ("equation", "shapes", "weights", "expected"),
    [
        # (x0 x1) x2: 4 products, then 5
        ("ij,jk,kl->il", [(3, 4), (4, 5), (5, 6)], (), [
            [("forward", 4, 15), ("backward", 5, 12), ("backward", 3, 20)],
            [("forward", 5, 18), ("backward", 6, 15), ("backward", 3, 30)]]),
        ("ij,jk,kl->il", [(3, 4), (4, 5), (5, 6)], (1, 2), [
            [("forward", 4, 15), ("backward", 5, 12), ("gradient", 3, 20)],
            [("forward", 5, 18), ("backward", 6, 15), ("gradient", 3, 30)]]),
        # Of two constants nothing is left to do; what comes of them are weights.
        ("ij,jk,kl->il", [(3, 4), (4, 5), (5, 6)], (0, 1), [
            [("forward", 5, 18), ("backward", 3, 30), ("gradient", 6, 15)]]),
        # The label k is needed later, so that the first product sums nothing.
        ("ik,jk,lk->ijl", [(2, 4), (3, 4), (5, 4)], (), [
            [("forward", 1, 24), ("backward", 3, 8), ("backward", 2, 12)],
            [("forward", 4, 30), ("backward", 5, 24), ("backward", 6, 20)]]),
        ("...i,ij,...j->...", [(7, 2, 4), (4, 5), (1, 2, 5)], (), [
            [("forward", 4, 70), ("backward", 5, 56), ("backward", 14, 20)],
            [("forward", 5, 14), ("backward", 1, 70), ("backward", 7, 10)]]),
    ],
)  # fmt: skip
def test_three_operands(equation, shapes, weights, expected, tmp_path):
    network = counted(tmp_path, equation, shapes, weights)
    assert [gemms(layer) for layer in network.layers] == expected
    names = ["sum.1", "sum.2"] if len(expected) == 2 else ["sum.2"]
    assert [layer.name for layer in network.layers] == names
    assert "Einsum" not in "".join(network.skipped)


@st.composite
def equations(draw):
    count = draw(st.integers(2, 4))
    sizes = {label: draw(st.integers(1, 3)) for label in "abcd"}
    hidden = draw(st.lists(st.integers(1, 3), max_size=2))
    terms, shapes = [], []
    for _ in range(count):
        labels = draw(st.permutations("abcd"))[: draw(st.integers(0, 3))]
        at = draw(st.integers(0, len(labels)))
        seen = [draw(st.sampled_from([1, size])) for size in hidden]  # ONNX: as many axes in all operands
        terms.append("".join(labels[:at]) + "..." + "".join(labels[at:]))
        shapes.append((*(sizes[label] for label in labels[:at]), *seen, *(sizes[label] for label in labels[at:])))
    named = sorted(set("".join(terms)) - {"."})
    out = "..." + "".join(label for label in named if draw(st.booleans()))
    return draw(st.sampled_from([",".join(terms), f"{','.join(terms)}->{out}"])), shapes


@settings(max_examples=60)
@given(equations())
def test_any_equation(tmp_path_factory, case):
    """The products of all steps together are those of the definition, and the last step's results are its result's."""
    equation, shapes = case
    network = counted(tmp_path_factory.mktemp("einsum"), equation, shapes)
    y = np.einsum(equation, *(np.ones(shape) for shape in shapes))
    assert len(network.layers) == len(shapes) - 1
    assert math.prod(layer.forward.length for layer in network.layers) == y.max()
    assert network.layers[-1].forward.outputs == y.size


def test_weights_of_quantised_operands(tmp_path):
    """Each output sums a row of the weights; the axis of 1 is that of the ellipsis."""
    codes = np.array([[[1, -2, 3], [-4, 5, 6]]])
    nodes = [node("DequantizeLinear", "x s", "xd"), node("DequantizeLinear", "w s", "wd"),
             node("Einsum", "xd wd", "y", equation="...k,...nk->...n")]  # fmt: skip
    made = model(nodes, [value("x", (7, 3), 3)], [constant("w", codes, "int8"), constant("s", 1, "float32")])
    (layer,) = measure_here(saved(tmp_path, made), np.ones((7, 3))).layers
    assert gemms(layer) == [("forward", 3, 14), ("gradient", 7, 6)]
    assert (layer.measured.weight_l1, layer.measured.weight_range) == (15, (4, 11))


def test_three_operands_are_not_measured(tmp_path):
    nodes = [node("Einsum", "x w v", "y", equation="ij,jk,kl->il")]
    path = saved(tmp_path, model(nodes, [value("x", (2, 3))], [weight("w", 3, 3), weight("v", 3, 3)]))
    assert [layer.measured for layer in measure_here(path, np.ones((2, 3))).layers] == [None, None]


@pytest.mark.parametrize("equation", ["ij->ji", "ii->i"])
def test_one_operand_multiplies_nothing(equation, tmp_path):
    nodes = [node("Einsum", "x", "y", equation=equation), node("MatMul", "x w", "z")]
    made = model(nodes, [value("x", (4, 4))], [weight("w", 4, 4)], [value("y"), value("z")])
    network = from_onnx(saved(tmp_path, made))
    assert [layer.op for layer in network.layers] == ["MatMul"]
    assert sum(network.skipped.values()) == 1
    assert of_kind(network.layers[0], "gradient")[0].length == 4
    assert network.uncounted == ()


def test_empty_third_operand(tmp_path):
    nodes = [node("Einsum", "x w p", "y", equation="ij,jk,kl->il"), node("MatMul", "x w", "z")]
    inputs = [value("x", (2, 3)), value("p", (3, "P"))]
    made = model(nodes, inputs, [weight("w", 3, 3)], [value("y"), value("z")])
    assert from_onnx(saved(tmp_path, made), dims={"P": 0}).skipped == {"Einsum without elements": 1}


@pytest.mark.parametrize("equation", ["ij,kj->il", "ij,jk->ik", "...j,kj...->k"])
def test_equations_that_do_not_fit(equation, tmp_path):
    with pytest.raises(MacgenError, match=r"^Einsum 'sum' of model "):
        counted(tmp_path, equation, [(2, 3), (4, 5)])
