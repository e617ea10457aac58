"""The shapes that the walk finds, against the shapes of the tensors of a run."""

import numpy as np
import onnx
import pytest
from onnx.reference import ReferenceEvaluator

from macgen.network.onnx_file import read_model
from macgen.network.onnx_inputs import size_inputs
from macgen.network.onnx_shapes import ShapeWalk
from tests.network.models import constant, model, node, saved, trained, value


def walked(path, batch, dims):
    made = read_model(path)
    inputs = size_inputs(made, "model", batch, dims)
    walk = ShapeWalk(made, "model", inputs.shapes, inputs.dimensions, ())
    for _ in walk.nodes():
        pass
    return made, walk.tensors


@pytest.mark.parametrize(("part", "shape"), [("_rec_", (2, 3, 48, 64)), ("_cls_", (3, 3, 48, 96))])
def test_every_tensor_of_a_trained_network(part, shape):
    made, tensors = walked(trained(part), shape[0], {"x:2": shape[2], "x:3": shape[3]})
    names = [name for item in made.graph.node for name in item.output]
    del made.graph.output[:]
    made.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names)
    run = ReferenceEvaluator(made).run(None, {"x": np.zeros(shape, dtype=np.float32)})
    assert {name: tensors.shape(name) for name in names} == {n: x.shape for n, x in zip(names, run, strict=True)}
    for name, x in zip(names, run, strict=True):
        if name in tensors.values:
            np.testing.assert_array_equal(tensors.values[name], x)
            assert tensors.values[name].dtype == x.dtype
    assert any(name in tensors.values and name not in tensors.constants for name in names)


@pytest.mark.parametrize("start", [None, 0, 1, -2, 5, -9])
@pytest.mark.parametrize("end", [None, 0, 2, -1, 9, -9])
def test_shapes_of_shapes(start, end, tmp_path):
    """Bounds as in Python's slices, as the standard has them."""
    attributes = {key: v for key, v in (("start", start), ("end", end)) if v is not None}
    made = model([node("Shape", "x", "y", **attributes), node("Size", "x", "n")], [value("x", (2, 3, 5))])
    _, tensors = walked(saved(tmp_path, made), None, {})
    expected = ReferenceEvaluator(made).run(["n"], {"x": np.zeros((2, 3, 5), np.float32)})
    assert tensors.values["n"] == expected[0] == 30
    np.testing.assert_array_equal(tensors.values["y"], np.array((2, 3, 5)[start:end]))


@pytest.mark.parametrize(("chosen", "shape"), [(True, (2,)), (False, (3,))])
def test_the_branch_of_a_known_condition(chosen, shape, tmp_path):
    branches = {
        f"{name}_branch": onnx.helper.make_graph(
            [node("Add", f"x {name}_c", f"{name}_y")], name, [], [value(f"{name}_y")], [constant(f"{name}_c", c, "f")]
        )
        for name, c in (("then", [1, 2]), ("else", [1, 2, 3]))
    }
    made = model([node("If", "c", "y", **branches)], [value("x", (1,))], [constant("c", chosen, "bool")])
    _, tensors = walked(saved(tmp_path, made), None, {})
    assert tensors.shape("y") == shape


def test_an_unknown_condition_leaves_the_shape_open(tmp_path):
    branches = {
        f"{name}_branch": onnx.helper.make_graph(
            [node("Add", f"x {name}_c", f"{name}_y")], name, [], [value(f"{name}_y")], [constant(f"{name}_c", c, "f")]
        )
        for name, c in (("then", [1, 2]), ("else", [1, 2, 3]))
    }
    made = model([node("If", "c", "y", **branches)], [value("x", (1,)), value("c", (), onnx.TensorProto.BOOL)])
    _, tensors = walked(saved(tmp_path, made), None, {})
    assert tensors.shape("y") is None


def test_large_tensors_are_not_computed(tmp_path):
    """A shape of 2**36 elements is known without any of them."""
    made = model([node("ConstantOfShape", "s", "y"), node("Range", "zero many one", "z")], [value("x", (1,))],
                 [constant("s", [1 << 18, 1 << 18]), constant("zero", 0), constant("many", 1 << 30),
                  constant("one", 1)])  # fmt: skip
    _, tensors = walked(saved(tmp_path, made), None, {})
    assert tensors.shape("y") == (1 << 18, 1 << 18)
    assert tensors.shape("z") == (1 << 30,)
    assert not {"y", "z"} & set(tensors.values)
