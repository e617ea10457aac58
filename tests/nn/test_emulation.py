"""A whole network on an arithmetic: scales, accuracy, what each layer does, and a run that was interrupted."""

import functools
import itertools
import json

import numpy as np
import onnx
import pytest
from onnx import TensorProto, numpy_helper

import macgen
from macgen import golden
from macgen.errors import MacgenError
from macgen.nn import emulate, emulation, operations
from macgen.nn.model import EmulatedModel
from macgen.spec import MacSpec
from macgen.width.goal import Goal
from macgen.width.plan_file import parse_plan
from tests.network.models import constant, model, node, saved, trained, value

RANDOM = np.random.default_rng(7)
X = RANDOM.normal(size=(40, 16)).astype("float32")
SPEC = MacSpec(a="e4m3fn", b="e4m3fn", acc="e6m4")
INTEGERS = MacSpec(a="int8", b="int8", acc="int32")


def perceptron(hidden=32, classes=5, open_batch=True):
    """Return a network of two layers: its first sums are of 16 products, its second ones of `hidden`."""
    random = np.random.default_rng(1)
    weights = [
        numpy_helper.from_array(random.normal(size=shape).astype("float32"), name)
        for name, shape in (("w1", (16, hidden)), ("b1", (hidden,)), ("w2", (hidden, classes)))
    ]
    nodes = [node("Gemm", "x w1 b1", "h", name="first"), node("Relu", "h", "r"),
             node("MatMul", "r w2", "z", name="second"), node("Softmax", "z", "y", axis=-1)]  # fmt: skip
    return model(nodes, [value("x", ("N" if open_batch else 8, 16))], weights, [value("y"), value("z")])


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return saved(tmp_path_factory.mktemp("model"), perceptron())


@pytest.fixture(autouse=True)
def _in_this_process(monkeypatch):
    """The first run in a process of its own, which has tests of its own, takes a second each time."""
    monkeypatch.setattr(emulation, "measure", lambda *arguments: None)


def in_float32(made):
    from macgen.nn.cut_model import run_whole

    return run_whole(made, "m")({"x": X})["y"]


def test_by_golden_step_by_step(path):
    """The whole network computed from golden, with the scales that the result states."""
    result = emulate(path, X, spec=SPEC, alone=0)
    made = perceptron()
    w1, b1, w2 = (numpy_helper.to_array(tensor) for tensor in made.graph.initializer)

    def product(a, b, scales):
        a, b = SPEC.a.quantize(a * scales[0]), SPEC.b.quantize(b * scales[1])
        codes, _ = golden.matmul(SPEC, SPEC.a.encode(a), SPEC.b.encode(b))
        return (SPEC.acc.decode(codes) / (scales[0] * scales[1])).astype("float32")

    scales = [layer.scales for layer in result.runs[0].layers]
    hidden = np.maximum(product(X, w1.astype(float), scales[0]) + b1, 0)
    z = product(hidden, w2.astype(float), scales[1])
    expected = np.exp(z - z.max(axis=1, keepdims=True))
    expected = expected / expected.sum(axis=1, keepdims=True)
    reference = in_float32(made)
    error = ((expected - reference) ** 2).sum() / (reference.astype(float) ** 2).sum()
    (run,) = result.runs
    assert run.error == pytest.approx(error, rel=1e-4)
    assert run.answers.same == (expected.argmax(axis=1) == reference.argmax(axis=1)).sum()


def test_noise_is_near_its_prediction(path):
    """For sums of 16 and 32 products; the closed form may be a fifth too high, and the sample is small."""
    (run,) = emulate(path, X, spec=SPEC, alone=0).runs
    for layer in run.layers:
        assert 0.5 < layer.measured / layer.predicted.nsr < 1.4
    assert [layer.length for layer in run.layers] == [16, 32]
    assert run.layers[1].nonzero < 0.8  # behind a Relu


def test_accuracy_against_labels(path):
    labels = in_float32(perceptron()).argmax(axis=1)
    labels[:10] = (labels[:10] + 1) % 5  # wrong ones
    result = emulate(path, X, spec=SPEC.replace(acc="e8m20"), labels=labels)
    assert result.float32.accuracy == 0.75
    assert result.float32.agreement == 1.0
    assert result.runs[0].answers.accuracy == pytest.approx(0.75, abs=0.1)
    assert result.exact.answers.right == result.runs[0].answers.right


def test_a_sweep_gets_better_with_every_bit(path):
    result = emulate(path, X, spec=SPEC, sweep_mantissa=range(2, 9, 2))
    assert [run.man_bits for run in result.runs] == [2, 4, 6, 8]
    assert [str(run.layers[0].spec.acc) for run in result.runs] == ["e6m2", "e6m4", "e6m6", "e6m8"]
    noise = [run.layers[1].measured for run in result.runs]
    assert all(8 < wide / narrow < 32 for wide, narrow in itertools.pairwise(noise))  # 16 a step
    assert result.alone_examples == 0
    assert result.runs[-1].error == pytest.approx(result.exact.error, rel=0.1)


def test_with_and_without_chunks_and_by_plan_in_one_run(path):
    planned = macgen.plan(path, batch=1, only=["forward"], a="e4m3fn", b="e4m3fn", chunk=8).to_json()
    plan = parse_plan(planned, "plan")
    specs = [SPEC, SPEC.replace(chunk=8)]
    result = emulate(path, X, spec=specs, plan=plan, sweep_mantissa=[3, 5])
    assert [run.label for run in result.runs] == [
        "e6m3, no chunks", "e6m5, no chunks", "e6m3, chunks of 8", "e6m5, chunks of 8", "plan, chunks of 8"
    ]  # fmt: skip
    assert [run.man_bits for run in result.runs] == [3, 5, 3, 5, None]
    alone = emulate(path, X, spec=specs[1], sweep_mantissa=[5], alone=0)
    assert result.runs[3] == alone.runs[0]
    assert result.runs[2].layers[1].measured < result.runs[0].layers[1].measured


def test_each_layer_on_its_planned_accumulator(path, tmp_path):
    plan = tmp_path / "plan.json"
    planned = macgen.plan(path, batch=1, only=["forward"], a="e4m3fn", b="e4m3fn", nsr=0.04)
    plan.write_text(planned.to_json())
    (run,) = emulate(path, X, plan=plan).runs
    assert [str(layer.spec.acc) for layer in run.layers] == [str(row.plan.chosen.acc) for row in planned.rows]
    assert [layer.spec.acc.man_bits for layer in run.layers] == [2, 3]
    assert run.label == "plan, no chunks"


def test_a_plan_of_another_model(path, tmp_path):
    other = macgen.plan(length=5)
    (tmp_path / "plan.json").write_text(other.to_json())
    with pytest.raises(MacgenError, match=r"^plan has no forward GEMM of layer 'first'; accepted is a plan of this"):
        emulate(path, X, plan=tmp_path / "plan.json")


def test_the_layer_that_hurts_most_alone(tmp_path):
    """A layer whose sums cancel: long, of ones and minus ones, on an accumulator that swamps them."""
    ones = np.ones((64, 4), "float32")
    ones[1::2] = -1
    weights = [constant("w1", np.eye(16, 64), "float32"), constant("shift", np.full(64, 50), "float32"),
               constant("w2", ones, "float32")]  # fmt: skip
    nodes = [node("MatMul", "x w1", "h", name="first"), node("Add", "h shift", "s"),
             node("MatMul", "s w2", "y", name="second")]  # fmt: skip
    path = saved(tmp_path, model(nodes, [value("x", ("N", 16))], weights))
    (run,) = emulate(path, X, spec=SPEC.replace(a="fp16", acc="e6m7")).runs
    assert run.worst.name == "second"
    errors = [layer.alone_error for layer in run.layers]
    assert errors[1] > 10 * errors[0]
    assert errors[1] == pytest.approx(run.error, rel=0.5)


def test_batches_change_nothing(path):
    whole, parts = (emulate(path, X, spec=SPEC, batch=batch, alone=3) for batch in (None, 7))
    assert (whole.batch, parts.batch) == (40, 7)
    assert parts.runs[0].error == pytest.approx(whole.runs[0].error, rel=1e-6)
    assert parts.runs[0].layers[1].tally.macs == whole.runs[0].layers[1].tally.macs
    assert parts.runs[0].layers[1].alone_error == pytest.approx(whole.runs[0].layers[1].alone_error)


def test_a_model_that_fixes_its_batch(tmp_path, path):
    fixed = saved(tmp_path, perceptron(open_batch=False))
    assert emulate(fixed, X, spec=SPEC).runs[0].error == pytest.approx(emulate(path, X, spec=SPEC).runs[0].error)


def test_examples_along_another_axis(tmp_path):
    """A state (2, N, 3) beside inputs (N, 3), and a number for all."""
    nodes = [node("ReduceSum", "state axis", "s", keepdims=0), node("Add", "x s", "a"), node("MatMul", "a w", "m"),
             node("Mul", "m factor", "y")]  # fmt: skip
    made = model(nodes, [value("x", ("N", 3)), value("state", (2, "N", 3)), value("factor", [])],
                 [constant("axis", [0]), constant("w", RANDOM.normal(size=(3, 4)), "float32")])  # fmt: skip
    samples = {"x": X[:9, :3], "state": RANDOM.normal(size=(2, 9, 3)), "factor": np.array(2.0)}
    loaded = EmulatedModel(saved(tmp_path, made), samples, batch=4)
    assert [batch.feed["state"].shape for batch in loaded.batches] == [(2, 4, 3), (2, 4, 3), (2, 1, 3)]
    np.testing.assert_array_equal(loaded.batches[1].feed["state"][0], samples["state"][0, 4:8].astype("float32"))


def test_answers_of_ones_own(path):
    result = emulate(path, X, spec=SPEC, decide=lambda y: y[:, 0] > 0.5, labels=np.zeros(40, bool))
    assert result.float32.accuracy == (in_float32(perceptron())[:, 0] <= 0.5).mean()


def test_another_result(path):
    assert emulate(path, X, spec=SPEC, result="z").result == "z"
    with pytest.raises(MacgenError, match=r"^result 'q' is not one of model .*'s: \['y', 'z'\]$"):
        emulate(path, X, spec=SPEC, result="q")


@pytest.mark.parametrize(("result", "expected"), [
    (np.float32([[0.1, 0.7, 0.2], [3, -1, 2]]), [1, 0]),
    (np.float32([[0.4], [0.6]]), [False, True]),
    (np.float32([0.4, 0.6]), [False, True]),
    (np.uint8([[1, 200, 3], [9, 8, 7]]), [1, 0]),  # quantised scores
    (np.int32([[1, 200, 3], [9, 8, 7]]), [1, 0]),
    (np.uint8([4, 7]), [4, 7]),
    (np.int64([4, 0]), [4, 0]),  # ArgMax
    (np.int64([[4], [0]]), [4, 0]),
    (np.int64([[4, 1], [0, 2]]), [[4, 1], [0, 2]]),  # of each pixel
    (np.array([[True, False], [False, False]]), [[True, False], [False, False]]),
])  # fmt: skip
def test_what_is_an_answer(result, expected):
    answers = emulation._decide(result)
    assert answers.tolist() == expected
    assert (answers.dtype.kind == "b") == isinstance(np.ravel(expected)[0], np.bool_)


def classifier(folder, *, last, out, w=None):
    """Return a model whose answers come of an ArgMax or another operation behind its only layer."""
    w = np.random.default_rng(0).normal(size=(16, 4)) if w is None else w
    made = model([node("MatMul", "x w", "h", name="first"), last], [value("x", ("N", 16))],
                 [constant("w", w, "float32")], [out])  # fmt: skip
    return saved(folder, made)


def argmax_model(folder):
    return classifier(
        folder, last=node("ArgMax", "h", "y", axis=1, keepdims=0), out=value("y", ["N"], TensorProto.INT64)
    )


def test_classes_are_answers(tmp_path):
    path = argmax_model(tmp_path)
    w = np.random.default_rng(0).normal(size=(16, 4)).astype("float32")
    labels = (X @ w).argmax(axis=1)
    labels[0] = (labels[0] + 1) % 4
    result = emulate(path, X, spec=SPEC, labels=labels, alone=0)
    assert result.float32.right == 39
    assert result.runs[0].answers.same < 40


def test_results_that_are_no_numbers(tmp_path):
    path = classifier(
        tmp_path, last=node("Cast", "h", "y", to=TensorProto.STRING), out=value("y", None, TensorProto.STRING)
    )
    with pytest.raises(MacgenError, match=r"^result 'y' of model .*' holds no numbers; accepted are results of"):
        emulate(path, X, spec=SPEC)


def test_what_stays_in_float32_is_named(tmp_path):
    made = perceptron()
    made.graph.node.insert(0, node("DFT", "x3", "d", axis=1))
    made.graph.node.insert(0, node("Unsqueeze", "x last", "x3"))
    made.graph.initializer.append(constant("last", [2]))
    made.graph.output.append(value("d"))
    assert emulate(saved(tmp_path, made), X, spec=SPEC).passed_over == {"DFT": 1}


def integer_model(folder, op, x_type, w, zero=None):
    """Return a model of one integer operation, with a zero point of x."""
    weights = [numpy_helper.from_array(w, "w"), *([] if zero is None else [numpy_helper.from_array(zero, "zero")])]
    shape = ("N", w.shape[-2]) if op == "MatMulInteger" else ("N", *w.shape[1:])
    nodes = [node(op, "x w" if zero is None else "x w zero", "y", name="first")]
    return saved(folder, model(nodes, [value("x", shape, x_type)], weights, [value("y", None, TensorProto.INT32)]))


@pytest.mark.parametrize(("x_type", "zero"), [(TensorProto.INT8, None), (TensorProto.UINT8, np.uint8(128))])
def test_the_lowest_int8_is_no_reason_to_halve_operands(x_type, zero, tmp_path):
    """-128 times weights that have -128, too: an int8 array whose sums fit computes what the model does."""
    random = np.random.default_rng(0)
    w = random.integers(-128, 128, (32, 8)).astype("int8")
    x = random.integers(-128, 128, (5, 32))
    x[0, 0] = w[0, 0] = -128
    x = x.astype("int8") if zero is None else (x + 128).astype("uint8")
    result = emulate(integer_model(tmp_path, "MatMulInteger", x_type, w, zero), x, spec=INTEGERS, alone=0)
    assert result.runs[0].layers[0].scales == (1.0, 1.0, 1.0)
    assert (result.exact.error, result.runs[0].error) == (0, 0)


@pytest.mark.parametrize("op", ["MatMulInteger", "ConvInteger"])
def test_integer_sums_beyond_float32(op, tmp_path):
    """Odd sums above 2^24, which float32 does not hold, come out as they are."""
    x = np.random.default_rng(1).integers(101, 128, (3, 2048)).astype("uint8")
    w = np.full((2048, 2), 127, "int8")
    expected = x.astype(np.int64) @ w
    assert (expected > 1 << 24).all()
    assert (expected % 2).any()
    if op == "ConvInteger":
        x, w, expected = x[..., np.newaxis], np.ascontiguousarray(w.T)[..., np.newaxis], expected[..., np.newaxis]
    path = integer_model(tmp_path, op, TensorProto.UINT8, w)
    result = emulate(path, x, spec=INTEGERS, decide=lambda y: y, labels=expected, alone=0)
    assert result.float32.accuracy == result.exact.answers.accuracy == result.runs[0].answers.accuracy == 1.0


def test_integer_results_that_are_cut_wrongly(tmp_path, monkeypatch):
    path = integer_model(tmp_path, "MatMulInteger", TensorProto.UINT8, np.ones((4, 2), "int8"))
    monkeypatch.setitem(operations.OPERATIONS, "MatMulInteger", lambda call: [np.full((3, 2), 7, np.int32)])
    with pytest.raises(MacgenError, match=r"^result 'y' of model .* is not what onnxruntime computes once the layers"):
        emulate(path, np.ones((3, 4), "uint8"), spec=INTEGERS)


@pytest.mark.prove
def test_a_trained_network():
    """The text-direction network: all 54 layers, depthwise convolutions among them."""
    x = np.random.default_rng(0).normal(size=(1, 3, 48, 32)).astype("float32")
    (run,) = emulate(trained("_cls_"), x, spec=MacSpec(a="fp16", b="fp16", acc="e8m12"), alone=0).runs
    assert len(run.layers) == 54
    assert run.error < 1e-4


def test_examples_on_which_layers_ran_alone(tmp_path, path):
    """A fixed batch is whole; else there are at most as many as are computed together."""
    fixed = emulate(saved(tmp_path, perceptron(open_batch=False)), X, spec=SPEC, alone=1)
    assert fixed.alone_examples == 8
    assert fixed.runs[0].layers[0].counts["additions"] == 8 * 16 * 32
    assert emulate(path, X, spec=SPEC, batch=3, alone=5).alone_examples == 3
    assert emulate(path, X, spec=SPEC, alone=100).alone_examples == 40
    assert emulate(path, X, spec=SPEC, alone=0).alone_examples == 0


def two_layers(folder):
    """Return a model whose first layer has large sums of small operands, and whose second has sums near 1."""
    weights = [constant("w", np.ones((16, 4)), "float32"), constant("v", np.eye(4) + 0.3, "float32"),
               constant("small", 0.01, "float32")]  # fmt: skip
    nodes = [node("MatMul", "x w", "h", name="first"), node("Mul", "h small", "s"),
             node("MatMul", "s v", "y", name="second")]  # fmt: skip
    return saved(folder, model(nodes, [value("x", ("N", 16))], weights))


def test_a_layer_that_loses_the_result_hurts_most(tmp_path):
    """Alone, the first makes everything infinite, which is in no error; the second only rounds."""
    x = np.repeat(np.float32([[1.0] * 8 + [-1.0] * 7 + [-0.5]]), 3, axis=0)
    spec = MacSpec(a="fp16", b="fp16", acc="e5m4", overflow="infinity")
    (run,) = emulate(two_layers(tmp_path), x, spec=spec, alone=3).runs
    first, second = run.layers
    assert (first.alone_lost, first.alone_error) == (12, 0)
    assert second.alone_lost == 0
    assert second.alone_error > 0
    assert run.worst.name == "first"
    (run,) = emulate(two_layers(tmp_path), x, spec=spec, alone=0).runs
    assert run.worst.name == "first"


def test_scales_of_each_arithmetic(path):
    """An accumulator whose largest number is small has smaller operands."""
    wide, narrow = emulate(path, X, spec=[SPEC, SPEC.replace(acc="e5m4")]).runs
    assert all(one.scales[0] * one.scales[1] > other.scales[0] * other.scales[1]
               for one, other in zip(wide.layers, narrow.layers, strict=True))  # fmt: skip
    again = emulate(path, X, spec=SPEC.replace(acc="e5m4"), alone=0).runs[0]
    assert [layer.scales for layer in narrow.layers] == [layer.scales for layer in again.layers]


def first_of_each(result):
    return result.reshape(len(result), -1)[:, 0]


EINSUM_WEIGHTS = {
    "w": RANDOM.normal(size=(6, 16)), "v": RANDOM.normal(size=(16, 3)), "u": RANDOM.normal(size=(3, 16)),
    "s": RANDOM.normal(size=(16,)),
}  # fmt: skip


@pytest.mark.parametrize(("equation", "inputs", "weights"), [
    ("nj,jk->nk", "x v", ["b"]),
    ("ij,nj->ni", "w x", ["a"]),
    ("ij,jk,nk->ni", "w v z", ["a"]),
    ("nj,jk,kl->nl", "x v u", ["b", "b"]),
    ("ij,nj,jk->nik", "w x v", ["a", "b"]),
    ("nj,ij,mj->nim", "x w x", ["b", None]),
    ("nj,jk,k->n", "x v t", ["b", "b"]),
])  # fmt: skip
def test_weights_anywhere_in_an_einsum(equation, inputs, weights, tmp_path):
    """Examples are in batches of unequal size, weights have a scale for each channel wherever they stand."""
    arrays = [constant(name, x, "float32") for name, x in {**EINSUM_WEIGHTS, "t": [1.0, -2.0, 0.5]}.items()]
    nodes = [node("Identity", "y0", "y")]
    x = X[:8, :3] if "z" in inputs else X[:8]
    made = model([node("Einsum", inputs.replace("z", "x"), "y0", equation=equation, name="ein"), *nodes],
                 [value("x", ("N", x.shape[1]))], arrays, [value("y")])  # fmt: skip
    path = saved(tmp_path, made)
    batch = 8 if "m" in equation else 3
    assert EmulatedModel(path, x).weights == weights
    whole, parts = (
        emulate(path, x, spec=SPEC.replace(acc="e8m20"), per="channel", batch=each, alone=2, decide=first_of_each)
        for each in (8, batch)
    )
    assert whole.runs[0].error < 0.01
    assert parts.runs[0].error == pytest.approx(whole.runs[0].error, rel=1e-6)
    for layer in whole.runs[0].layers:
        assert layer.scales[1] > 0


@pytest.mark.parametrize("op", ["Conv", "ConvTranspose", "LSTM"])
@pytest.mark.parametrize("per", ["tensor", "channel"])
def test_weights_that_are_computed(op, per, tmp_path):
    """Of the input, and so as many as examples: they have one scale, whatever batches there are."""
    if op == "LSTM":  # states' weights are computed, inputs' are not
        weights = [constant("w", RANDOM.normal(size=(1, 16, 16)), "float32"), constant("sx", [-1, 4, 16]),
                   constant("sr", [-1, 16, 4])]  # fmt: skip
        nodes = [node("Reshape", "x sx", "s"), node("Reshape", "x sx0", "r0"), node("ReduceMean", "r0", "r", axes=[0]),
                 node("LSTM", "s w r", "y0", hidden_size=4, name="cell"),
                 node("Reshape", "y0 sy", "y")]  # fmt: skip
        weights += [constant("sx0", [-1, 16, 4]), constant("sy", [-1, 16])]
        x = RANDOM.normal(size=(7, 64)).astype("float32")
        expected = ["b", None]
    else:
        weights = [constant("k", RANDOM.normal(size=(1, 4, 3, 3)), "float32"), constant("shape", [-1, 4, 2, 2]),
                   constant("back", [-1, 4])]  # fmt: skip
        nodes = [
            node("Reshape", "x shape", "w"),
            node("Conv", "k w", "y0", name="conv"),
            node("Reshape", "y0 back", "y"),
        ]
        if op == "ConvTranspose":
            nodes[1:2] = [
                node("Transpose", "w", "turned", perm=[1, 0, 2, 3]),
                node("ConvTranspose", "k turned", "y0", name="up"),
            ]
            weights[2] = constant("back", [-1, 16])
        x, expected = X[:7], [None]
    made = model(nodes, [value("x", ("N", x.shape[1]))], weights)
    path = saved(tmp_path, made)
    assert EmulatedModel(path, x).weights == expected
    result = emulate(path, x, spec=SPEC.replace(acc="e8m20"), per=per, batch=3 if op != "LSTM" else 7, alone=0)
    assert result.runs[0].error < 0.02
    for layer, weight in zip(result.runs[0].layers, expected, strict=True):
        assert weight or layer.scales[1] == layer.scales[2]


# -- a long run --------------------------------------------------------------------------------------------------------


def test_an_interrupted_run_goes_on(path, tmp_path, monkeypatch):
    """Interrupted after each of its steps: nothing is computed twice, and the results are those of one run."""
    expected = emulate(path, X, spec=SPEC, batch=16, alone=4)
    computed = []
    original = EmulatedModel.run

    def counting(self, feed, products, **options):
        if any(isinstance(each, emulation.OnSpec) for each in products):
            computed.append(1)
        return original(self, feed, products, **options)

    monkeypatch.setattr(EmulatedModel, "run", counting)
    steps = 0
    while True:

        def stop_at_next(done, all_steps, text, last=steps):
            if done > last:
                raise KeyboardInterrupt

        try:
            result = emulate(path, X, spec=SPEC, batch=16, alone=4, record=tmp_path / "run.part", progress=stop_at_next)
            break
        except KeyboardInterrupt:
            steps += 1
    assert result == expected
    assert steps == 3 + 3 + 3 + 2 - 1
    assert len(computed) == 3 + 3 + 2


@pytest.mark.parametrize("change", [
    {"spec": SPEC.replace(chunk=4)}, {"data": X[:39]}, {"labels": np.zeros(40, int)}, {"scales": "amax"},
    {"batch": 11}, {"alone": 1}, {"result": "z"},
], ids=lambda change: next(iter(change)))  # fmt: skip
def test_a_record_of_another_run_is_refused(change, path, tmp_path):
    arguments = {"data": X, "spec": SPEC, "batch": 16, "alone": 0}
    emulate(path, **arguments, record=tmp_path / "run.part")
    with pytest.raises(MacgenError, match="is there, and not of this run"):
        emulate(path, **{**arguments, **change}, record=tmp_path / "run.part")


def test_a_record_of_other_answers_is_refused(path, tmp_path):
    """Whatever decides: a function that a call made has no name that tells it from others."""

    def of_sign(sign, result):
        return (sign * result).argmax(axis=-1)

    arguments = {"spec": SPEC, "alone": 0, "record": tmp_path / "run.part"}
    first = emulate(path, X, decide=functools.partial(of_sign, 1), **arguments)
    assert emulate(path, X, decide=functools.partial(of_sign, 1), **arguments) == first
    with pytest.raises(MacgenError, match="is there, and not of this run"):
        emulate(path, X, decide=functools.partial(of_sign, -1), **arguments)


def test_a_record_of_other_weights_is_refused(tmp_path):
    """Weights in a file of their own are the model, too."""
    made = perceptron()
    path = tmp_path / "model.onnx"
    onnx.save(made, path, save_as_external_data=True, location="weights", size_threshold=0)
    emulate(path, X, spec=SPEC, alone=0, record=tmp_path / "run.part")
    weights = np.fromfile(tmp_path / "weights", "float32")
    (weights * np.float32(0.5)).tofile(tmp_path / "weights")
    with pytest.raises(MacgenError, match="is there, and not of this run"):
        emulate(path, X, spec=SPEC, alone=0, record=tmp_path / "run.part")


def test_a_refused_run_leaves_no_record(path, tmp_path):
    with pytest.raises(MacgenError, match="labels have the shape"):
        emulate(path, X, spec=SPEC, labels=np.zeros(39), record=tmp_path / "run.part")
    assert not list(tmp_path.iterdir())
    emulate(path, X, spec=SPEC, labels=np.zeros(40), alone=0, record=tmp_path / "run.part")


# -- what is refused ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("arguments", "message"), [
    ({}, "nothing given to run on; accepted are a spec and a plan"),
    ({"spec": [SPEC, SPEC]}, "e6m4, no chunks is given twice; accepted is each arithmetic once"),
    ({"spec": [SPEC, SPEC.replace(a="e5m2")]},
     "operands are [{('e4m3fn', 'e4m3fn')}, {('e5m2', 'e4m3fn')}]; accepted are those of one pair of formats"),
    ({"spec": MacSpec(a="int8", b="int8", acc="int32"), "sweep_mantissa": [3]},
     "sweep-mantissa does not go with acc int32; accepted are float accumulators"),
    ({"spec": SPEC, "sweep_mantissa": [0]}, "sweep-mantissa 0 is not an integer from 1 to 52"),
    ({"spec": SPEC, "alone": -1}, "alone -1 is not an integer from 0"),
    ({"spec": SPEC, "batch": 0}, "batch 0 is not an integer from 1"),
    ({"spec": SPEC, "labels": [1, 2]}, "labels have the shape (2,); accepted is (40,), one for each answer"),
    ({"spec": SPEC, "labels": [np.nan] * 40}, "labels hold infinities or NaN; accepted are right answers"),
    ({"spec": SPEC, "per": "row"}, "per 'row' is not one of tensor, channel"),
])  # fmt: skip
def test_arguments_that_are_refused(arguments, message, path):
    with pytest.raises(MacgenError) as error:
        emulate(path, X, **arguments)
    assert str(error.value) == message


@pytest.mark.parametrize(("labels", "message"), [
    (["one"] * 40, "labels are of type <U3; accepted are such as the answers: int64"),
    ([None] * 40, "labels are of type object; accepted are such as the answers: int64"),
    ([0.5] * 40, "labels hold 0.5, which is no answer; accepted are integers from 0 to 4, indices along the"),
    ([4] * 39 + [5], "labels hold 5, which is no answer; accepted are integers from 0 to 4, indices along the"),
    ([-1] + [0] * 39, "labels hold -1, which is no answer; accepted are integers from 0 to 4, indices along the"),
])  # fmt: skip
def test_labels_that_are_no_answers(labels, message, path):
    with pytest.raises(MacgenError) as error:
        emulate(path, X, spec=SPEC, labels=labels)
    assert str(error.value).startswith(message)


@pytest.mark.parametrize(("labels", "answers", "refused"), [
    ([1, 0], [True, False], False),
    ([1.0, 0.0], [True, False], False),
    ([2, 0], [True, False], True),
    ([0.7, 0.0], [True, False], True),
    ([77.0, -5.0], [1, 2], False),  # of classes, whose number is not known
    ([1.5, 1.0], [1, 2], True),
    ([True, False], [1, 0], False),
    ([0.3, 7.0], [0.1, 0.2], False),
    (["a", "b"], ["b", "c"], False),
    (["a", "b"], [0.1, 0.2], True),
])  # fmt: skip
def test_labels_of_the_answers_kind(labels, answers, refused):
    try:
        emulation._check_kind(np.array(labels), np.array(answers), None)
        assert not refused
    except MacgenError:
        assert refused


def test_a_plan_has_no_sweep(path):
    plan = macgen.width.plan_file.PlanFile(Goal(), ())
    with pytest.raises(MacgenError, match=r"^sweep-mantissa does not go with plan, which has widths of its own"):
        emulate(path, X, plan=plan, sweep_mantissa=[2])


def test_operands_that_are_not_finite(tmp_path):
    nodes = [node("Log", "x", "l"), node("MatMul", "l w", "y", name="first")]
    made = model(nodes, [value("x", ("N", 16))], [constant("w", np.ones((16, 2)), "float32")])
    with pytest.raises(MacgenError, match=r"^layer 'first' has operands that are infinite or NaN on the samples"):
        emulate(saved(tmp_path, made), X, spec=SPEC)


@pytest.mark.parametrize("which", ["a", "b"])
def test_negative_operands_in_unsigned_formats(which, path):
    spec = MacSpec(**{"a": "int8", "b": "int8", "acc": "int32", which: "uint8"})
    expected = (
        rf"^layer 'first' has operands {which} down to -[\d.]+, where format uint8 has no negative numbers; accepted"
    )
    with pytest.raises(MacgenError, match=expected):
        emulate(path, X, spec=spec)


def test_a_result_without_an_axis_of_examples(tmp_path):
    made = perceptron()
    made.graph.node.append(node("ReduceMean", "y", "mean", keepdims=0))
    made.graph.output.append(value("mean"))
    with pytest.raises(MacgenError, match=r"has the shape \(\) for 40 examples; accepted are results whose first axis"):
        emulate(saved(tmp_path, made), X, spec=SPEC, result="mean")


def test_a_model_that_is_cut_wrongly(path, monkeypatch):
    monkeypatch.setitem(operations.OPERATIONS, "MatMul", lambda call: [call.input(0) @ call.input(1) * 1.01])
    with pytest.raises(MacgenError, match=r"^result 'y' of model .* is not what onnxruntime computes once the layers"):
        emulate(path, X, spec=SPEC)


# -- JSON --------------------------------------------------------------------------------------------------------------


def test_json(path):
    values = json.loads(emulate(path, X, spec=SPEC, labels=np.zeros(40, int)).to_json())
    assert values["examples"] == 40
    assert values["scales"] == "powers of two, one for each tensor"
    (run,) = values["runs"]
    assert run["worst_layer"] in ("first", "second")
    first, second = run["layers"]
    assert (first["layer"], first["length"], first["macs"]) == ("first", 16, 40 * 16 * 32)
    assert second["nsr_predicted"] == pytest.approx(0.541 / 24 * (round(second["nonzero"] * 32) + 1) / 4**4)
    assert values["exact_sums"]["layers"][0]["nsr"] == 0


def test_a_result_without_numbers_left(tmp_path):
    """Sums that all become infinite on the way to small results: what is lost is counted, and no figure is infinite."""
    weights = [constant("w", np.ones((64, 2)), "float32")]
    path = saved(tmp_path, model([node("MatMul", "x w", "y")], [value("x", ("N", 64))], weights))
    x = np.repeat(np.float32([[1.0] * 32 + [-1.0] * 31 + [-0.5]]), 3, axis=0)
    spec = MacSpec(a="fp16", b="fp16", acc="fp16", overflow="infinity")
    result = emulate(path, x, spec=spec, alone=1)
    assert result.runs[0].lost == 6
    run = json.loads(result.to_json())["runs"][0]
    assert (run["lost"], run["error"], run["layers"][0]["alone_error"]) == (6, 0, 0)


def test_infinite_errors_are_null(tmp_path):
    """A reference of zeros only: the first class, and errors on an arithmetic that has another class at times."""
    path = argmax_model(tmp_path)
    w = np.random.default_rng(0).normal(size=(16, 4)).astype("float32")
    x = np.random.default_rng(5).normal(size=(400, 16)).astype("float32")
    x = x[(x @ w).argmax(axis=1) == 0]
    result = emulate(path, x, spec=MacSpec(a="e2m1", b="e2m1", acc="e5m1"), alone=16)
    assert result.runs[0].layers[0].alone_error == np.inf
    run = json.loads(result.to_json())["runs"][0]
    assert run["error"] is run["layers"][0]["alone_error"] is None
