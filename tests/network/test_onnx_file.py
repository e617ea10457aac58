"""Hostile ONNX files: one sentence each, nothing read outside the model's folder, no hang, no crash."""

import os
import random
import resource
import subprocess
import sys

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from macgen.errors import MacgenError, ToolError
from macgen.network import from_onnx
from macgen.network.onnx_file import read_model
from macgen.network.onnx_shapes import ShapeWalk
from macgen.network.operand_statistics import measure_here
from tests.network.models import constant, model, node, rich_model, saved, value, weight


def sentence_of(path, **options):
    """Return the one line that refuses a file, PATH for its name."""
    with pytest.raises(MacgenError) as error:
        from_onnx(path, **options)
    text = str(error.value)
    assert "\n" not in text
    return text.replace(repr(str(path)), "PATH")


def product(*, name="w", dims=(4, 4), x=(2, 4)):
    made = model([node("MatMul", f"x {name}", "y")], [value("x", x)], [weight(name, 4, 4)])
    made.graph.initializer[0].dims[:] = dims
    return made


# -- files that are no models ----------------------------------------------------------------------------------------


def test_paths(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path, sentence in (
        (tmp_path / "none.onnx", "model PATH cannot be read: No such file or directory; accepted is an ONNX file"),
        (tmp_path, "model PATH is a folder; accepted is an ONNX file"),
        (tmp_path / "pipe", "model PATH is no regular file; accepted is an ONNX file"),
        ("/dev/null", "model PATH is no regular file; accepted is an ONNX file"),
    ):
        assert sentence_of(path) == sentence
    assert sentence_of("a\0b") == "model PATH cannot be read: it is no path; accepted is an ONNX file"


def test_a_file_of_more_than_2_gib(tmp_path):
    path = tmp_path / "large.onnx"
    with path.open("wb") as stream:
        stream.truncate(1 << 31)
    assert sentence_of(path) == "model PATH has 2147483648 bytes; accepted are at most 2147483647"


@pytest.mark.parametrize("data", [b"", b"\x08\x08", onnx.ModelProto(ir_version=8).SerializeToString()])
def test_no_graph(data, tmp_path):
    text = sentence_of(saved(tmp_path, data))
    assert text == "model PATH holds no graph with nodes; accepted is an ONNX model with one"


def test_no_model(tmp_path):
    for data in (b"solid text, no model\n", random.Random(1).randbytes(10_000), b"PK\x03\x04" * 99):
        assert sentence_of(saved(tmp_path, data)).startswith("model PATH ")


def test_truncated(tmp_path):
    data = rich_model().SerializeToString()
    for size in range(0, len(data), 23):
        assert "model PATH " in sentence_of(saved(tmp_path, data[:size]), batch=2)


def test_no_layers(tmp_path):
    text = sentence_of(saved(tmp_path, model([node("Relu", "x", "y")], [value("x", (1,))])))
    assert text.startswith("model PATH has no layer that can be counted among 'Relu 1'; accepted are models with Conv,")


# -- graphs that contradict themselves -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("nodes", "sentence"),
    [
        ([node("Add", "x c", "a", name="one"), node("Relu", "a", "c")],
         "Add 'one' of model PATH takes 'c', which nothing before it makes; accepted are graphs without cycles, in the "
         "order of computation"),
        ([node("Relu", "a", "a")],
         "Relu 'a' of model PATH takes 'a', which nothing before it makes; accepted are graphs without cycles, in the "
         "order of computation"),
        ([node("Relu", "x", "y"), node("Sigmoid", "x", "y")],
         "tensor 'y' of model PATH is made twice; accepted are names that are made once"),
        ([node("Relu", "x", "w")], "tensor 'w' of model PATH is made twice; accepted are names that are made once"),
    ],
)  # fmt: skip
def test_order_and_names(nodes, sentence, tmp_path):
    made = model([*nodes, node("MatMul", "x w", "z")], [value("x", (2, 4))], [weight("w", 4, 4)])
    assert sentence_of(saved(tmp_path, made)) == sentence


def test_two_weights_of_one_name(tmp_path):
    made = model([node("MatMul", "x w", "y")], [value("x", (2, 4))], [weight("w", 4, 4), weight("w", 4, 4)])
    assert sentence_of(saved(tmp_path, made)).startswith("tensor 'w' of model PATH is made twice")


@pytest.mark.parametrize(
    ("dims", "sentence"),
    [
        ((-4, 4), "weight 'w' of model PATH has a dimension of -4; accepted are sizes from 0 to 2147483647"),
        ((4, 1 << 62), "weight 'w' of model PATH has a dimension of 4611686018427387904; accepted are sizes from 0 to "
                       "2147483647"),
        ((4, 1 << 31), "weight 'w' of model PATH has a dimension of 2147483648; accepted are sizes from 0 to "
                       "2147483647"),
        ((1 << 30,) * 5, "weight 'w' of model PATH of shape (1073741824, 1073741824, 1073741824, 1073741824, "
                         "1073741824) has more than 2**40 elements; accepted are at most as many"),
        ((4, 5), "weight 'w' of model PATH does not hold the 20 values of its shape; accepted is an undamaged ONNX "
                 "file"),
        ((5, 4), "weight 'w' of model PATH does not hold the 20 values of its shape; accepted is an undamaged ONNX "
                 "file"),
    ],
)  # fmt: skip
def test_shapes_of_weights(dims, sentence, tmp_path):
    assert sentence_of(saved(tmp_path, product(dims=dims))) == sentence


@pytest.mark.parametrize("x", [(-2, 4), (1 << 62, 4), (1 << 30, 1 << 30)])
def test_shapes_of_inputs(x, tmp_path):
    assert sentence_of(saved(tmp_path, product(x=x))).startswith("input 'x' of model PATH ")


def test_results_that_cannot_be_meant(tmp_path):
    """65 536 times 65 536 times 65 536 elements of two small operands."""
    nodes = [node("Expand", "x s", "e"), node("MatMul", "x w", "y")]
    made = model(nodes, [value("x", (1, 4))], [constant("s", [1 << 16, 1 << 16, 1, 4]), weight("w", 4, 4)])
    assert from_onnx(saved(tmp_path, made))
    made.graph.initializer[0].CopyFrom(constant("s", [1 << 16, 1 << 16, 1 << 16, 4]))
    assert sentence_of(saved(tmp_path, made)).startswith("result 'e' of model PATH of shape (65536, 65536, 65536, 4)")


def test_operands_that_do_not_fit(tmp_path):
    text = sentence_of(saved(tmp_path, product(x=(2, 5))))
    assert text.startswith("MatMul 'y' of model PATH does not fit operands of the shapes '[2, 5], [4, 4]': [ShapeInfer")
    made = model([node("Conv", "x w", "y", group=2)], [value("x", (1, 4, 8))], [weight("w", 4, 4, 3)])
    assert sentence_of(saved(tmp_path, made)) == (
        "Conv 'y' of model PATH cannot have operands of shapes (1, 4, 8) and (4, 4, 3); accepted are as many channels "
        "in both, in 2 groups"
    )


@pytest.mark.parametrize(
    ("op", "attributes", "sentence"),
    [
        ("Conv", {"kernel_shape": [5, 5]},
         "Conv 'c' of model PATH cannot have operands of shapes (1, 2, 8, 8) and (2, 2, 3, 3); accepted are weights of "
         "its kernel_shape [5, 5]"),
        ("ConvTranspose", {"kernel_shape": [3, 2]},
         "ConvTranspose 'c' of model PATH cannot have operands of shapes (1, 2, 8, 8) and (2, 2, 3, 3); accepted are "
         "weights of its kernel_shape [3, 2]"),
        ("Conv", {"group": 0}, "Conv 'c' of model PATH has group 0; accepted are positive integers"),
        ("Conv", {"group": -1}, "Conv 'c' of model PATH has group -1; accepted are positive integers"),
    ],
)  # fmt: skip
def test_attributes_that_do_not_fit(op, attributes, sentence, tmp_path):
    nodes = [node(op, "x w", "y", name="c", **attributes)]
    made = model(nodes, [value("x", (1, 2, 8, 8))], [weight("w", 2, 2, 3, 3)], [value("y", (1, 2, 6, 6))])
    assert sentence_of(saved(tmp_path, made)) == sentence


def test_text_that_is_no_text(tmp_path):
    for text in (b"MatMul", b"weight-1"):
        data = product(name="weight-1").SerializeToString()
        assert text in data
        path = saved(tmp_path, data.replace(text, b"\xff" * len(text), 1))
        assert sentence_of(path) == "model PATH has names that are no UTF-8; accepted is an undamaged ONNX file"


# -- functions and graphs within ---------------------------------------------------------------------------------------


def with_functions(*bodies):
    """Return a model that calls F0; F<i> calls the functions of the numbers given, Relu if there are none."""
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("local", 1)]
    functions = []
    for number, calls in enumerate(bodies):
        names = ["x", *(f"t{k}" for k in range(len(calls))), "y"]
        nodes = [node(f"F{call}", a, b, domain="local") for call, a, b in zip(calls, names, names[1:], strict=False)]
        functions.append(
            helper.make_function("local", f"F{number}", ["x"], ["y"], [*nodes, node("Relu", names[-2], "y")], opsets)
        )
    nodes = [node("F0", "x", "h", domain="local"), node("MatMul", "h w", "y")]
    return model(nodes, [value("x", (2, 4))], [weight("w", 4, 4)], functions=functions, domains=["local"])


def test_functions(tmp_path):
    network = from_onnx(saved(tmp_path, with_functions((1, 1), (2,), ())))
    assert network.skipped == {"Relu": 1 + 2 + 2}


def test_functions_without_end(tmp_path):
    for bodies, sentence in (
        (((0,),), "function 'F0' of model PATH calls itself; accepted are functions that do not"),
        (((1,), (0,)), "function 'F0' of model PATH calls itself; accepted are functions that do not"),
        ([(k + 1, k + 1) for k in range(40)] + [()],
         "model PATH has more than 1048576 nodes with its functions; accepted are at most as many"),
        ([(k + 1,) for k in range(3000)] + [()],
         "functions of model PATH call each other too deeply; accepted are a few levels"),
    ):  # fmt: skip
        assert sentence_of(saved(tmp_path, with_functions(*bodies))) == sentence


def test_branches_within_branches(tmp_path):
    """As deep as Protocol Buffers lets them be."""
    inner = node("MatMul", "x w", "y0")
    for depth in range(1, 30):
        graph = helper.make_graph([inner], "g", [], [value(f"y{depth - 1}")])
        inner = node("If", "c", f"y{depth}", then_branch=graph, else_branch=graph)
        if depth == 8:  # each level holds the one below twice
            break
    made = model([inner], [value("x", (2, 4))], [weight("w", 4, 4), constant("c", True, "bool")])
    assert from_onnx(saved(tmp_path, made)).layers[0].forward.length == 4


# -- data in other files ---------------------------------------------------------------------------------------------


def outside(location, **entries):
    """Return a model whose 4 x 4 weights lie in another file."""
    made = product()
    tensor = made.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, text in {"location": location, **entries}.items():
        tensor.external_data.add(key=key, value=str(text))
    return made


WEIGHTS = np.arange(16, dtype=np.float32)


@pytest.fixture
def folder(tmp_path):
    """A model's folder beside a secret."""
    inside = tmp_path / "model"
    (inside / "data").mkdir(parents=True)
    (tmp_path / "secret").write_bytes(WEIGHTS.tobytes())
    (inside / "data" / "weights").write_bytes(b"1234" + WEIGHTS.tobytes())
    (inside / "link").symlink_to("../secret")
    (inside / "inner").symlink_to("data/weights")
    (inside / "up").symlink_to("..")
    (inside / "loop").symlink_to("loop")
    os.mkfifo(inside / "pipe")
    return inside


@pytest.mark.parametrize("location", ["../secret", "/etc/passwd", "link", "pipe", "none", "", "up/secret"])
def test_lengths_need_no_other_files(location, folder):
    """A pipe would block whoever opened it."""
    assert from_onnx(saved(folder, outside(location))).layers[0].forward.length == 4


@pytest.mark.parametrize("location", ["pipe", "data/weights"])
def test_constants_in_other_files_are_not_read(location, folder, monkeypatch):
    """Not even from the working directory, where the evaluator of small constants would look for them."""
    monkeypatch.chdir(folder)
    table = outside(location, offset=4, length=64).graph.initializer[0]
    single = outside(location, offset=4, length=4).graph.initializer[0]
    single.dims[:] = [1]
    nodes = [
        node("Constant", "", "s", value=table),
        node("Add", "x s", "a"),
        node("ConstantOfShape", "four", "f", value=single),
        node("Add", "a f", "b"),
        node("MatMul", "b w", "y"),
    ]
    made = model(nodes, [value("x", (4, 4))], [weight("w", 4, 4), constant("four", [4])])
    path = saved(folder, made)
    assert from_onnx(path).layers[0].forward.length == 4
    walk = ShapeWalk(read_model(path), "model", {"x": (4, 4)}, {}, ())
    for _ in walk.nodes():
        pass
    assert set(walk.tensors.values) == {"w", "four"}


@pytest.mark.parametrize("location", ["data/weights", "inner", "./data/../data/weights"])
def test_weights_in_the_folder_are_measured(location, folder):
    path = saved(folder, outside(location, offset=4, length=64))
    network = measure_here(path, np.ones((2, 4), np.float32), engine="reference")
    assert network.layers[0].measured.b.largest == 15.0


@pytest.mark.parametrize(
    ("location", "entries", "sentence"),
    [
        ("../secret", {}, "external data '../secret' of tensor 'w' lies outside the model's folder; accepted are files "
                          "in it"),
        ("/etc/passwd", {}, "external data '/etc/passwd' of tensor 'w' lies outside the model's folder; accepted are "
                            "files in it"),
        ("link", {}, "external data 'link' of tensor 'w' lies outside the model's folder; accepted are files in it"),
        ("up/secret", {}, "external data 'up/secret' of tensor 'w' lies outside the model's folder; accepted are "
                          "files in it"),
        ("pipe", {}, "external data 'pipe' of tensor 'w' is no regular file; accepted are files in the model's folder"),
        ("data", {}, "external data 'data' of tensor 'w' is no regular file; accepted are files in the model's folder"),
        ("", {}, "external data '' of tensor 'w' is no regular file; accepted are files in the model's folder"),
        ("none", {}, "external data 'none' of tensor 'w' cannot be read: No such file or directory; accepted are files "
                     "in the model's folder"),
        ("data/weights", {"offset": "x"}, "external data 'data/weights' of tensor 'w' has an offset or length that is "
                                          "no integer; accepted are integers"),
        ("data/weights", {"offset": 8}, "model '"),  # the engine tells
        *[("data/weights", entries, "external data 'data/weights' of tensor 'w' should hold ")
          for entries in ({"offset": 69}, {"offset": -1}, {"offset": 5, "length": 64}, {"length": -1},
                          {"length": 1 << 62}, {"offset": 1 << 62, "length": 0})],
    ],
)  # fmt: skip
def test_refused_external_data(location, entries, sentence, folder):
    path = saved(folder, outside(location, **entries))
    with pytest.raises(MacgenError) as error:
        measure_here(path, np.ones((2, 4), np.float32), engine="onnxruntime" if location == "link" else "reference")
    assert str(error.value).startswith(sentence)
    assert "\n" not in str(error.value)


def test_a_link_to_itself(folder):
    with pytest.raises(MacgenError, match=r"^external data 'loop' of tensor 'w' cannot be read: "):
        measure_here(saved(folder, outside("loop")), np.ones((2, 4), np.float32))


# -- everything at once ------------------------------------------------------------------------------------------------


def mutated(data, rng):
    changed = bytearray(data)
    for _ in range(rng.choice([1, 1, 2, 5, 20])):
        changed[rng.randrange(len(changed))] = rng.randrange(256)
    return bytes(changed)


EXTREMES = [0, -1, 1, 2, 7, 255, 2**31 - 1, 2**31, 2**40, 2**62, 2**63 - 1, -(2**63), -(2**31)]


def replaced(made, rng):
    """Return a model with some integers and names replaced, which stays a valid message."""
    changed = onnx.ModelProto()
    changed.CopyFrom(made)
    places = []

    def visit(message):
        for field, content in message.ListFields():
            many = content if field.type == field.TYPE_MESSAGE and hasattr(content, "add") else None
            if field.type == field.TYPE_MESSAGE:
                for inner in [content] if many is None else many:
                    visit(inner)
            elif field.type in (field.TYPE_INT64, field.TYPE_STRING):
                places.append((message, field))

    visit(changed)
    for _ in range(rng.choice([1, 1, 1, 2, 4])):
        message, field = rng.choice(places)
        new = rng.choice(EXTREMES if field.type == field.TYPE_INT64 else ["", "x", "pool", "Conv", "Reshape", "If"])
        if isinstance(getattr(message, field.name), (int, str)):
            setattr(message, field.name, new)
        else:
            content = getattr(message, field.name)
            content[rng.randrange(len(content))] = new
    return changed.SerializeToString()


@pytest.mark.parametrize("seed", range(4))
def test_fuzz(seed, tmp_path):
    rng = random.Random(seed)
    made = rich_model()
    data = made.SerializeToString()
    counts = {"refused": 0, "read": 0}
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for _ in range(200):
        path = saved(tmp_path, mutated(data, rng) if rng.random() < 0.5 else replaced(made, rng))
        try:
            from_onnx(path, batch=2)
            counts["read"] += 1
        except MacgenError as error:
            assert "\n" not in str(error)
            assert len(str(error)) < 700
            counts["refused"] += 1
    assert min(counts.values()) > 20
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100 << 10  # KiB


def test_without_the_package(monkeypatch, tmp_path):
    path = saved(tmp_path, product())
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(ToolError) as error:
        from_onnx(path)
    assert str(error.value) == "the package onnx, which reads models, is missing: pip install 'macgen[onnx]'"


def test_nothing_heavy_is_imported():
    code = "import sys, macgen.network; print(sorted({'onnx', 'onnxruntime', 'google.protobuf'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
