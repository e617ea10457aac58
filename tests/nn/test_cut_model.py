"""A model in parts computes what it does whole, in as few parts as can be."""

import sys

import numpy as np
import pytest
from onnx import TensorProto, helper

from macgen.errors import MacgenError, ToolError
from macgen.nn.cut_model import CutModel, run_whole
from tests.network.models import constant, model, node, value

MATRICES = [constant(f"w{number}", np.random.default_rng(number).normal(size=(3, 3)), "float32") for number in range(3)]
X = np.random.default_rng(9).normal(size=(2, 3)).astype("float32")


def product(made_node, inputs):
    return [inputs[0] @ inputs[1]]


def diamond():
    """Return two products side by side, and one of what comes of both."""
    nodes = [node("Relu", "x", "r"), node("MatMul", "r w0", "a"), node("MatMul", "x w1", "b"), node("Tanh", "a", "t"),
             node("Add", "t b", "s"), node("MatMul", "s w2", "c"), node("Add", "c r", "y")]  # fmt: skip
    return model(nodes, [value("x", (2, 3))], MATRICES, [value("y"), value("a")])


def test_equal_to_the_whole():
    cut = CutModel(diamond(), "m", {"a", "b", "c"})
    results = cut.run({"x": X}, product)
    assert list(results) == ["y", "a"]
    for name, expected in run_whole(diamond(), "m")({"x": X}).items():
        np.testing.assert_allclose(results[name], expected, rtol=1e-5, atol=1e-6)


def test_as_few_parts_as_can_be():
    cut = CutModel(diamond(), "m", {"a", "b", "c"})
    assert [cut.stage_of(name) for name in "abc"] == [0, 0, 1]


def test_a_run_goes_on_from_a_stage():
    cut = CutModel(diamond(), "m", {"a", "b", "c"})
    kept = cut.run({"x": X}, product, keep=True)
    seen = []

    def doubled(made_node, inputs):
        seen.append(made_node.output[0])
        return [2 * (inputs[0] @ inputs[1])]

    results = cut.run(kept, doubled, first=1)
    assert seen == ["c"]
    np.testing.assert_allclose(results["y"], 2 * kept["c"] + np.maximum(X, 0), rtol=1e-5)


def test_sequences_pass_from_part_to_part():
    nodes = [node("MatMul", "x w0", "a"), node("SequenceConstruct", "a x", "s"), node("MatMul", "a w1", "b"),
             node("SequenceInsert", "s b", "t"), node("ConcatFromSequence", "t", "y", axis=0)]  # fmt: skip
    whole = model(nodes, [value("x", (2, 3))], MATRICES[:2], [value("y")])
    results = CutModel(whole, "m", {"a", "b"}).run({"x": X}, product)
    np.testing.assert_allclose(results["y"], run_whole(whole, "m")({"x": X})["y"], rtol=1e-5, atol=1e-6)


def test_an_empty_sequence_between_parts_is_named():
    nodes = [node("MatMul", "x w0", "a"), node("SequenceEmpty", "", "s"), node("MatMul", "a w1", "b"),
             node("SequenceInsert", "s b", "t"), node("ConcatFromSequence", "t", "y", axis=0)]  # fmt: skip
    cut = CutModel(model(nodes, [value("x", (2, 3))], MATRICES[:2], [value("y")]), "m", {"a", "b"})
    with pytest.raises(MacgenError, match="tensor 's' of model m is an empty sequence, which cannot pass"):
        cut.run({"x": X}, product)


def test_graphs_within_nodes_take_tensors_of_other_parts():
    graphs = [helper.make_graph([node(op, "a w1", "z")], op, [], [value("z")]) for op in ("Add", "Sub")]
    nodes = [
        node("MatMul", "x w0", "a"),
        helper.make_node("If", ["yes"], ["y"], then_branch=graphs[0], else_branch=graphs[1]),
    ]
    made = model(nodes, [value("x", (3, 3)), value("yes", [], TensorProto.BOOL)], MATRICES)
    x = np.eye(3, dtype="float32")
    for yes in (True, False):
        feed = {"x": x, "yes": np.array(yes)}
        np.testing.assert_array_equal(
            CutModel(made, "m", {"a"}).run(feed, product)["y"], run_whole(made, "m")(feed)["y"]
        )


def test_a_result_may_be_an_input_or_a_weight():
    made = model([node("MatMul", "x w0", "a")], [value("x", (2, 3))], MATRICES, [value("a"), value("x"), value("w1")])
    results = CutModel(made, "m", {"a"}).run({"x": X}, product)
    np.testing.assert_array_equal(results["x"], X)
    assert results["w1"].shape == (3, 3)


def test_what_onnxruntime_refuses_is_a_sentence():
    made = model(
        [node("Relu", "x", "r"), node("Reshape", "r size", "y")], [value("x", (2, 3))], [constant("size", [5])]
    )
    with pytest.raises(MacgenError, match=r"^model m cannot be run by onnxruntime: .*Reshape"):
        run_whole(made, "m")({"x": X})


def test_a_weight_without_its_values():
    made = diamond()
    made.graph.initializer[2].ClearField("raw_data")
    with pytest.raises(MacgenError, match="weight 'w2' of model m has no readable values"):
        CutModel(made, "m", {"a", "b", "c"}).run({"x": X}, product)


def test_without_onnxruntime(monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(ToolError, match=r"onnxruntime, which runs models, is missing: pip install 'macgen\[onnx\]'"):
        CutModel(diamond(), "m", {"a"})
