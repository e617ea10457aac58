"""The measuring process: the same figures as here, and one sentence for whatever goes wrong there."""

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from onnx import TensorProto, helper

from macgen.errors import MacgenError, ToolError
from macgen.network import load_samples, measure
from macgen.network.operand_statistics import ENGINES, measure_here
from tests.network.models import constant, model, node, saved, trained, value, weight
from tests.processes import in_session, wait_until


def test_the_same_figures(tmp_path):
    x = np.random.default_rng(4).normal(size=(1, 3, 48, 192))
    np.savez(tmp_path / "x.npz", x=x)
    assert measure(trained("_cls_"), load_samples(tmp_path / "x.npz")) == measure_here(trained("_cls_"), x)


def test_integers_and_names(tmp_path):
    """Weights with an L1 norm and a stated format, layers that stay unmeasured or uncounted, names with slashes."""
    nodes = [node("MatMulInteger", "gpu/x w zx zw", "h"), node("Cast", "h", "c", to=1), node("Unsqueeze", "c end", "e"),
             node("DFT", "e", "d", axis=1), node("Unsqueeze", "c one", "s"),
             node("RNN", "s w_rnn r_rnn", "y", hidden_size=2)]  # fmt: skip
    weights = [weight("w", 4, 4, dtype="int8"), constant("one", [0]), constant("end", [2]), weight("w_rnn", 1, 2, 4),
               weight("r_rnn", 1, 2, 2), constant("zx", 0, "int8"), constant("zw", 1, "int8")]  # fmt: skip
    made = model(nodes, [value("gpu/x", ("N", 4), TensorProto.INT8)], weights)
    made.graph.quantization_annotation.add(tensor_name="w").quant_parameter_tensor_names.add(
        key="finn_datatype", value="INT3"
    )
    path = saved(tmp_path, made)
    network = measure(path, {"gpu/x": np.ones((2, 4))}, engine="reference")
    assert network.layers[0].measured.weight_l1 is not None
    assert network.layers[0].measured.codes.weight_l1 is not None
    assert network.layers[1].measured is None
    assert str(network.layers[0].formats[1]) == "int3"
    assert network.uncounted == ("DFT",)
    assert network == measure_here(path, np.ones((2, 4)))


def endless():
    """Return a model whose loop runs 2**62 times."""
    body = helper.make_graph(
        [node("Add", "state one", "next_state"), node("Identity", "go", "go_on")],
        "body",
        [value("i", [], TensorProto.INT64), value("go", [], TensorProto.BOOL), value("state", (1, 4))],
        [value("go_on", [], TensorProto.BOOL), value("next_state", (1, 4))],
    )
    nodes = [
        node("Loop", "trips yes x", "looped", body=body),
        node("Reshape", "looped shape", "result"),
        node("MatMul", "result w", "y"),
    ]
    weights = [
        constant("trips", 1 << 62),
        constant("yes", True, "bool"),
        constant("one", 1, "float32"),
        constant("shape", [1, 4]),
    ]
    return model(nodes, [value("x", (1, 4))], [*weights, weight("w", 4, 4)])


@pytest.mark.parametrize("engine", ENGINES)
def test_without_end(engine, tmp_path):
    path = saved(tmp_path, endless())
    with pytest.raises(MacgenError, match=r"^model '.*' ran longer than 2 s; accepted are fewer samples or more time$"):
        measure(path, np.ones((1, 4)), engine=engine, time_limit=2)


@pytest.mark.parametrize("engine", ENGINES)
def test_the_process_ends_with_its_parent(engine, tmp_path):
    """Of a parent that is ended by a signal, neither the process nor its folder stays."""
    path = saved(tmp_path, endless())
    (tmp_path / "tmp").mkdir()
    call = f"measure({str(path)!r}, numpy.ones((1, 4)), engine={engine!r})"
    script = f"import numpy; from macgen.network import measure; {call}"
    parent = subprocess.Popen(
        [sys.executable, "-c", script], start_new_session=True, env={**os.environ, "TMPDIR": str(tmp_path / "tmp")}
    )
    try:
        wait_until(lambda: len(in_session(parent.pid)) == 4)  # two of them shells that wait for the parent's end
        time.sleep(1)  # in the loop, or nearly so
        parent.terminate()
        assert parent.wait() == -signal.SIGTERM
        wait_until(lambda: not in_session(parent.pid))
        assert os.listdir(tmp_path / "tmp") == []
    finally:
        for process in in_session(parent.pid):
            os.kill(process, signal.SIGKILL)


def test_the_process_limits_itself(tmp_path):
    """What a parent that lives on but does nothing, as one that was stopped, leaves running."""
    np.savez(tmp_path / "samples.npz", np.ones((1, 4)))
    request = {"path": str(saved(tmp_path, endless())), "names": ["x"], "engine": "reference", "time_limit": 2}
    (tmp_path / "request.json").write_text(json.dumps(request))
    script = "import os; os.cpu_count = lambda: 1; from macgen.network.measure import answer; answer()"
    with subprocess.Popen([sys.executable, "-c", script, str(tmp_path)], stdin=subprocess.PIPE) as process:
        try:
            assert process.wait(60) in (-signal.SIGXCPU, -signal.SIGKILL)
        finally:
            process.kill()


def test_nothing_in_the_current_folder_is_run(monkeypatch, tmp_path):
    path = saved(tmp_path, model([node("MatMul", "x w", "y")], [value("x", (1, 4))], [weight("w", 4, 4)]))
    for module in ("json", "numpy", "onnx", "onnxruntime"):
        (tmp_path / f"{module}.py").write_text(f"open({str(tmp_path / 'marker')!r}, 'w'); raise SystemExit(1)\n")
    monkeypatch.chdir(tmp_path)
    assert measure(path, np.ones((1, 4))).layers[0].measured is not None
    assert not (tmp_path / "marker").exists()


def test_a_process_that_dies(monkeypatch, tmp_path):
    """What happens when an engine takes its process down."""
    (tmp_path / "sitecustomize.py").write_text(f"import os; os.kill(os.getpid(), {int(signal.SIGSEGV)})\n")
    monkeypatch.syspath_prepend(tmp_path)
    path = saved(tmp_path, model([node("MatMul", "x w", "y")], [value("x", (1, 4))], [weight("w", 4, 4)]))
    with pytest.raises(MacgenError) as error:
        measure(path, np.ones((1, 4)))
    assert str(error.value).replace(repr(str(path)), "PATH") == (
        "model PATH cannot be run: its process ended with signal SIGSEGV; accepted are models that the engine can run"
    )


def test_sentences_are_handed_on(monkeypatch, tmp_path):
    path = saved(tmp_path, model([node("MatMul", "x w", "y")], [value("x", (1, 4))], [weight("w", 4, 4)]))
    for samples, engine, sentence in (
        (np.ones((1, 5)), None, "samples of input 'x' have shape (1, 5); accepted is 4 in place of 5 at axis 1"),
        (np.array(["a"]), None, "samples are of types ['<U1']; accepted are numbers"),
        ({}, None, "samples are for inputs []; accepted are exactly ['x']"),
        (np.ones((1, 4)), "torch", "engine 'torch' is not one of onnxruntime, reference"),
    ):
        with pytest.raises(MacgenError) as error:
            measure(path, samples, engine=engine)
        assert str(error.value) == sentence
        assert not isinstance(error.value, ToolError)
    (tmp_path / "onnxruntime.py").write_text("raise ImportError\n")
    monkeypatch.setattr("sys.path", [str(tmp_path), *sys.path])
    with pytest.raises(ToolError, match=r"^the package onnxruntime, which runs models, is missing: pip install"):
        measure(path, np.ones((1, 4)), engine="onnxruntime")


def test_nothing_is_left_behind(monkeypatch, tmp_path):
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "tmp"))
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))
    path = saved(tmp_path, model([node("MatMul", "x w", "y")], [value("x", (1, 4))], [weight("w", 4, 4)]))
    assert measure(path, np.ones((1, 4))).layers[0].measured is not None
    assert os.listdir(tmp_path / "tmp") == []
