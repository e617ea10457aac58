"""An If whose condition is known becomes its branch, and the model computes what it did."""

import numpy as np
import pytest
from onnx import TensorProto, helper

from macgen.network.onnx_branches import take_branches
from macgen.network.onnx_inputs import size_inputs
from macgen.network.onnx_model import find_layers
from macgen.nn.cut_model import run_whole
from tests.network.models import constant, model, node, value


def branch(weight, result="y"):
    """Return a branch with a weight, whose name the other branch may have, too."""
    return helper.make_graph([node("MatMul", f"x {weight.name}", result)], "branch", [], [value(result)], [weight])


def branching(seed=0):
    """Return a model that takes its first branch for two rows; within, the branch takes one of its own."""
    random = np.random.default_rng(seed)
    first, second, third = (constant(name, random.normal(size=(3, 4)), "float32") for name in "wvw")
    inner = helper.make_node(
        "If", ["two"], ["z"], then_branch=branch(second, result="z"), else_branch=branch(second, result="z")
    )
    then_graph = helper.make_graph(
        [node("MatMul", "x w", "h"), inner, node("Add", "h z", "y")], "then", [], [value("y")], [first]
    )
    choice = helper.make_node("If", ["two"], ["chosen"], then_branch=then_graph, else_branch=branch(third))
    nodes = [node("Shape", "x", "shape"), node("Gather", "shape zero", "rows"), node("Equal", "rows number", "two"),
             choice, node("Relu", "chosen", "out")]  # fmt: skip
    weights = [constant("zero", 0), constant("number", 2)]
    return model(nodes, [value("x", ("N", 3))], weights)


@pytest.mark.parametrize("rows", [2, 5])
def test_the_same_results_and_layers(rows):
    made = branching()
    inputs = size_inputs(made, "m", rows, {})
    flat = take_branches(made, "m", inputs)
    assert not [item for item in flat.graph.node if item.op_type == "If"]
    feed = {"x": np.random.default_rng(1).normal(size=(rows, 3)).astype("float32")}
    np.testing.assert_array_equal(run_whole(flat, "m")(feed)["out"], run_whole(made, "m")(feed)["out"])
    names = [[layer.layer.name for layer in find_layers(each, "m", inputs).nodes] for each in (made, flat)]
    assert names[0] == names[1]
    assert len(names[0]) == (2 if rows == 2 else 1)


def test_graphs_within_a_branch_take_its_renamed_tensors():
    loop = helper.make_node("Loop", ["three", "", "x"], ["y"], body=helper.make_graph(
        [node("Identity", "go", "again"), node("Add", "state w", "next")], "body",
        [value("i", [], TensorProto.INT64), value("go", [], TensorProto.BOOL), value("state", (2, 2))],
        [value("again", [], TensorProto.BOOL), value("next", (2, 2))],
    ))  # fmt: skip
    graph = helper.make_graph([loop], "then", [], [value("y", (2, 2))], [constant("w", np.ones((2, 2)), "float32")])
    nodes = [helper.make_node("If", ["yes"], ["out"], then_branch=graph, else_branch=graph)]
    made = model(nodes, [value("x", (2, 2))], [constant("yes", True, "bool"), constant("three", 3)])
    flat = take_branches(made, "m", size_inputs(made, "m", None, {}))
    x = np.zeros((2, 2), "float32")
    np.testing.assert_array_equal(run_whole(flat, "m")({"x": x})["out"], x + 3)


def test_a_model_without_any_is_itself():
    made = model([node("Relu", "x", "y")], [value("x", (2, 2))])
    assert take_branches(made, "m", size_inputs(made, "m", None, {})) is made
