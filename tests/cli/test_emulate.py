"""macgen emulate: the tables, the files, and one sentence for whatever is refused."""

import errno
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from macgen.cli.files import write_file
from macgen.errors import MacgenError
from macgen.nn import emulation
from macgen.presentation import emulation_plot, emulation_table
from tests.cli.runner import command, invoke, refused
from tests.network.models import constant, model, node, saved, value
from tests.nn.test_emulation import X, in_float32, perceptron

OPERANDS = ("--a", "e4m3fn", "--b", "e4m3fn", "--acc", "e6m4", "--chunk", "none")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("emulate")
    saved(folder, perceptron())
    np.save(folder / "x.npy", X)
    np.save(folder / "y.npy", in_float32(perceptron()).argmax(axis=1))
    np.savez(folder / "named.npz", x=X)
    np.save(folder / "words.npy", np.array(["one", "two"]))
    return folder


@pytest.fixture(autouse=True)
def _there(folder, monkeypatch):
    monkeypatch.chdir(folder)
    monkeypatch.setattr(emulation, "measure", lambda *arguments: None)


def test_accuracy_and_layers():
    result = invoke("emulate", "model.onnx", "--data", "x.npy", "--labels", "y.npy", *OPERANDS)
    assert result.exit_code == 0, result.stderr
    assert result.stderr == ""
    lines = result.stdout.splitlines()
    assert lines[0].split() == ["Accumulator", "Right", "As", "float32", "Result's", "error", "Hurts", "most"]
    assert lines[1].split() == ["float32", "100.0%"]
    assert lines[3].startswith("e6m4, no chunks")
    headings = ["Layer", "Length", "Non-zero", "NSR", "predicted"]
    (row,) = [line.split() for line in lines if line.startswith("Layer")]
    assert row == [*headings, "Saturated", "Flushed", "Swamped", "Alone"]
    (first,) = [line.split() for line in lines if line.startswith("first ")]
    assert first[1:3] == ["16", "1.00"]
    assert first[4] == "0.0015"  # 0.541 / 24 * 17 / 4^4
    assert "40 examples; operands e4m3fn x e4m3fn, scaled by powers of two, one for each tensor" in result.stdout
    assert "alone on its arithmetic, it makes the largest error of the result (16 examples)." in result.stdout


def test_without_labels_and_by_name():
    result = invoke("emulate", "model.onnx", "--data", "named.npz", "--preset", "lba-m7e4", "--alone", "0")
    assert result.exit_code == 0, result.stderr
    assert "Right" not in result.stdout
    assert "its sums have the largest NSR" in result.stdout
    assert "e4m7finite:bias=10:none, chunks of 16" in result.stdout


def test_a_sweep_with_its_files(folder):
    result = invoke(
        "emulate", "model.onnx", "--data", "x.npy", "--labels", "y.npy", *OPERANDS, "--sweep-mantissa", "2..4",
        "--per", "channel", "--scales", "amax", "--json", "sweep.json", "--plot", "sweep.svg",
    )  # fmt: skip
    assert result.exit_code == 0, result.stderr
    assert [line.split(",")[0] for line in result.stdout.splitlines() if line.startswith("e6m")] == [
        "e6m2",
        "e6m3",
        "e6m4",
    ]
    values = json.loads((folder / "sweep.json").read_text())
    assert [run["man_bits"] for run in values["runs"]] == [2, 3, 4]
    picture = (folder / "sweep.svg").read_text()
    assert "mantissa bits of the accumulator" in picture
    assert "accuracy" in picture
    assert not (folder / "sweep.json.part").exists()


def test_a_plan_from_the_planner(folder):
    planned = invoke(
        "plan", "model.onnx", "--data", "x.npy", "--only", "forward", "--a", "e4m3fn", "--b", "e4m3fn",
        "--json", "plan.json",
    )  # fmt: skip
    assert planned.exit_code == 0, planned.stderr
    result = invoke(
        "emulate", "model.onnx", "--data", "x.npy", "--plan", "plan.json", "--plot", "layers.png", "--json", "-"
    )
    assert result.exit_code == 0, result.stderr
    (run,) = json.loads(result.stdout)["runs"]
    chosen = {row["layer"]: row["acc"] for row in json.loads((folder / "plan.json").read_text())["rows"]}
    assert {layer["layer"]: layer["spec"]["acc"] for layer in run["layers"]} == chosen
    assert (folder / "layers.png").read_bytes().startswith(b"\x89PNG")
    with (folder / "plan.json").open("rb") as stream:
        again = invoke("emulate", "model.onnx", "--data", "x.npy", "--plan", "-", "--json", "-", input=stream.read())
    assert again.stdout == result.stdout


def test_killed_and_taken_up_again(folder):
    """Killed as hard as can be, the same command goes on, and its results are those of one run."""
    arguments = ("emulate", "model.onnx", "--data", "x.npy", *OPERANDS, "--batch", "1", "--json", "run.json")
    part = folder / "run.json.part"
    with subprocess.Popen(command(*arguments), cwd=folder, stdout=subprocess.DEVNULL) as process:
        deadline = time.monotonic() + 120
        while not part.exists() or part.read_bytes().count(b"\n") < 5:
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
    kept = part.read_bytes().count(b"\n")
    assert invoke(*arguments).exit_code == 0
    resumed = (folder / "run.json").read_text()
    assert not part.exists()
    assert invoke(*arguments).exit_code == 0
    assert (folder / "run.json").read_text() == resumed
    assert kept >= 5


def test_each_output_is_given_whatever_becomes_of_others(folder, monkeypatch):
    """The picture cannot be drawn, the JSON file not be written: the rest is there, and what was computed stays."""
    arguments = ("emulate", "model.onnx", "--data", "x.npy", *OPERANDS, "--json", "out.json", "--plot", "out.svg")

    def no_picture(*arguments):
        raise MacgenError("no picture today")

    with monkeypatch.context() as patched:
        patched.setattr(emulation_plot, "draw_emulation", no_picture)
        result = invoke(*arguments)
    assert (result.exit_code, result.stderr) == (2, "macgen: error: no picture today\n")
    assert "e6m4, no chunks" in result.stdout
    assert json.loads((folder / "out.json").read_text())["examples"] == 40

    def full(option, path, data):
        if option == "json":
            raise MacgenError("json: no space left")
        write_file(option, path, data)

    with monkeypatch.context() as patched:
        patched.setattr("macgen.cli.emulate.write_file", full)
        result = invoke(*arguments)
    assert (result.exit_code, result.stderr) == (2, "macgen: error: json: no space left\n")
    assert "e6m4, no chunks" in result.stdout
    assert (folder / "out.svg").exists()
    assert (folder / "out.json.part").exists()
    assert invoke(*arguments).exit_code == 0
    assert not (folder / "out.json.part").exists()


def test_files_are_there_though_nobody_reads_standard_output(folder, monkeypatch):
    arguments = ("emulate", "model.onnx", "--data", "x.npy", *OPERANDS, "--json", "read.json", "--plot", "read.svg")

    def closed(*arguments):
        raise BrokenPipeError(errno.EPIPE, "Broken pipe")

    with monkeypatch.context() as patched:
        patched.setattr(emulation_table, "print_emulation", closed)
        assert invoke(*arguments).exit_code == 1
    for name in ("read.json", "read.svg", "read.json.part"):
        assert (folder / name).exists()
    assert "e6m4, no chunks" in invoke(*arguments).stdout
    assert not (folder / "read.json.part").exists()


def test_a_picture_that_fails_takes_nothing_with_it(folder, monkeypatch):
    def damaged(*arguments):
        raise ValueError("a fault of the drawing")

    arguments = ("emulate", "model.onnx", "--data", "x.npy", *OPERANDS, "--json", "kept.json", "--plot", "kept.svg")
    printed = []
    monkeypatch.setattr(emulation_plot, "draw_emulation", damaged)
    monkeypatch.setattr(emulation_table, "print_emulation", lambda *arguments: printed.append(1))
    with pytest.raises(ValueError, match="a fault of the drawing"):
        invoke(*arguments)
    assert printed == [1]
    assert (folder / "kept.json").exists()
    assert (folder / "kept.json.part").exists()


def test_beside_a_device_nothing_is_kept():
    result = invoke("emulate", "model.onnx", "--data", "x.npy", *OPERANDS, "--json", "/dev/null")
    assert result.exit_code == 0, result.stderr
    assert not Path("/dev/null.part").exists()


def test_a_refused_command_does_not_stand_in_the_way(folder):
    options = ("--data", "x.npy", *OPERANDS, "--json", "later.json")
    assert "labels have the shape" in refused("emulate", "model.onnx", *options, "--labels", "x.npy")
    assert not (folder / "later.json.part").exists()
    (folder / "later.json.part").write_text(json.dumps({"macgen emulate": "another"}) + "\n")
    assert invoke("emulate", "model.onnx", *options, "--labels", "y.npy").exit_code == 0


@pytest.mark.parametrize(("arguments", "message"), [
    (("--data", "none.npy"), "none.npy"),
    (("--data", "x.npy", "--labels", "named.npz"), "labels 'named.npz' holds arrays by name; accepted is an .npy"),
    (("--data", "x.npy", "--labels", "none.npy"), "labels 'none.npy' does not exist; accepted is an .npy or .npz"),
    (("--data", "x.npy", "--labels", "words.npy"), "labels 'words.npy' holds other than numbers; accepted is an .npy"),
    (("--data", "x.npy", "--labels", "x.npy"), "labels have the shape (40, 16); accepted is (40,)"),
    (("--data", "x.npy", "--preset", "fp7"), "preset 'fp7' is unknown"),
    (("--data", "x.npy", "--preset", "fp16", "--plan", "p"), "preset 'fp16' and plan 'p' are both given"),
    (("--data", "x.npy", "--plan", "none.json"), "plan 'none.json' is no file"),
    (("--data", "x.npy", "--plan", "p", "--acc", "e6m4"), "acc 'e6m4' does not go with plan 'p', which"),
    (("--data", "x.npy", "--sweep-mantissa", "5"), "sweep-mantissa '5' is not LOW..HIGH; accepted are such as 2..10"),
    (("--data", "x.npy", "--sweep-mantissa", "5..2"), "sweep-mantissa '5..2' has no widths"),
    (("--data", "x.npy", "--sweep-mantissa", "0..2"), "sweep-mantissa 0 is not an integer from 1 to 52"),
    (("--data", "x.npy", "--preset", "int8", "--sweep-mantissa", "2..3"), "sweep-mantissa does not go with acc int28"),
    (("--data", "x.npy", "--plot", "p.txt"), "plot has the suffix '.txt'; accepted are .svg, .png, .pdf"),
    (("--data", "x.npy", "--plot", "p.svg", "--json", "p.svg"), "json and plot are both 'p.svg'"),
    (("--data", "x.npy", "--json", "model.onnx"), "model and json are both 'model.onnx'; accepted are two files"),
    (("--data", "x.npy", "--json", "./x.npy"), "data and json are both './x.npy'; accepted are two files"),
    (("--data", "x.npy", "--labels", "y.npy", "--json", "y.npy"), "labels and json are both 'y.npy'"),
    (("--data", "x.npy", "--spec", "s.svg", "--plot", "s.svg"), "spec and plot are both 's.svg'"),
    (("--data", "x.npy", "--plan", "words.npy", "--json", "words.npy"), "plan and json are both 'words.npy'"),
    (("--data", "x.npy", "--plot", "nowhere/p.svg"), "plot 'nowhere/p.svg' cannot be written (No such file"),
    (("--data", "x.npy", "--plot", "x.npy/p.svg"), "plot 'x.npy/p.svg' cannot be written (Not a directory"),
    (("--data", "x.npy", "--json", "nowhere/r.json"), "json 'nowhere/r.json' cannot be written (No such file"),
    (("--data", "x.npy", "--json", "."), "json '.' cannot be written (Is a directory"),
    (("--data", "x.npy", "--result", "q"), "result 'q' is not one of model 'model.onnx''s"),
    (("--data", "x.npy", "--batch", "0"), "batch 0 is not an integer from 1"),
    (("--data", "x.npy", "--acc", "e2m4"), "acc e2m4 is too narrow"),
], ids=lambda value: " ".join(value[2:]) if isinstance(value, tuple) else "")  # fmt: skip
def test_refused(arguments, message, folder):
    before = sorted(os.listdir(folder))
    assert message in refused("emulate", "model.onnx", *arguments)
    assert sorted(os.listdir(folder)) == before


def test_an_input_under_another_name_is_not_overwritten(folder, tmp_path):
    (tmp_path / "link.json").symlink_to(folder / "x.npy")
    text = refused("emulate", "model.onnx", "--data", "x.npy", "--json", tmp_path / "link.json")
    assert text == f"data and json are both '{tmp_path}/link.json'; accepted are two files"


def test_a_model_that_is_none(tmp_path):
    (tmp_path / "bad.onnx").write_bytes(b"not a model")
    assert "is damaged or no ONNX model" in refused("emulate", tmp_path / "bad.onnx", "--data", "x.npy")
    saved(tmp_path, model([node("Relu", "x", "y")], [value("x", (2, 2))]))
    np.save(tmp_path / "x.npy", np.ones((2, 2)))
    text = refused("emulate", tmp_path / "model.onnx", "--data", tmp_path / "x.npy")
    assert "has no layer that can be counted" in text


def test_a_damaged_model_does_not_take_macgen_down(tmp_path, monkeypatch):
    """The first run is in a process of its own, whatever onnxruntime does there."""
    monkeypatch.undo()
    made = model([node("MatMul", "x w", "h"), node("Reshape", "h size", "y")], [value("x", (2, 2))],
                 [constant("w", np.ones((2, 2)), "float32"), constant("size", [4])])  # fmt: skip
    made.graph.node[1].attribute.add(name="allowzero", type=2, i=7)
    path = saved(tmp_path, made)
    np.save(tmp_path / "x.npy", np.ones((2, 2)))
    text = refused("emulate", path, "--data", tmp_path / "x.npy")
    assert "model.onnx" in text


def test_without_its_packages(monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    assert "pip install 'macgen[onnx]'" in refused("emulate", "model.onnx", "--data", "x.npy")
    monkeypatch.setitem(sys.modules, "onnx", None)
    assert "pip install 'macgen[onnx]'" in refused("emulate", "model.onnx", "--data", "x.npy")
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    assert "pip install 'macgen[plot]'" in refused("emulate", "model.onnx", "--data", "x.npy", "--plot", "p.svg")
