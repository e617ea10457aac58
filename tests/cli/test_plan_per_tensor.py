"""`macgen plan --per-tensor`, and what `macgen build` makes of its plan."""

import json

import numpy as np
import pytest

from macgen import verbs
from macgen.errors import MacgenError
from macgen.width.plan_file import load_plan
from macgen.width.tensors import plan_tensors
from tests.cli.runner import invoke, refused
from tests.optional import need_package
from tests.width.test_tensors import FOUND

NETWORK = """
import torch

def network():
    return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(16, 8), torch.nn.Tanh(), torch.nn.Linear(8, 3))

def number():
    return 3

def failing():
    return 1 / 0

def asking(size):
    return torch.nn.Linear(16, size)

def leaving():
    raise SystemExit(3)

def deep():
    return torch.nn.Sequential(network(), torch.nn.Unflatten(1, (3, 1)))
"""


@pytest.fixture
def statistics(tmp_path):
    file = tmp_path / "found.json"
    file.write_text(FOUND.to_json())
    return file


def test_plans_of_statistics(tmp_path, statistics):
    result = invoke("plan", "--per-tensor", statistics, "--json", tmp_path / "plan.json")
    plan = plan_tensors(FOUND)
    assert load_plan(tmp_path / "plan.json") == plan
    for layer in plan.layers:
        assert str(layer.weights) in result.stdout
        assert str(layer.master) in result.stdout
    assert f"{plan.costs.multiplications:,} full adders" in result.stdout
    more = json.loads(invoke("plan", "--per-tensor", statistics, "--mismatch", "0.00001", "--json", "-").stdout)
    bits = 4  # a limit 250 times as small takes log2 sqrt(250) = 3.98 bits, rounded up
    assert more["layers"][0]["formats"]["activations"] == f"ufix1.{plan.layers[0].activations.frac_bits + bits}"


def test_arrays_of_a_plan(tmp_path):
    plan = plan_tensors(FOUND)
    (tmp_path / "plan.json").write_text(plan.to_json())
    options = ("build", "--plan", tmp_path / "plan.json", "--rows", 1, "--cols", 1, "--layer")
    result = invoke(*options, "two:gradient", "-o", tmp_path / "one")
    manifest = json.loads((tmp_path / "one" / "manifest.json").read_text())
    spec = plan.spec("two:gradient")
    assert (manifest["spec"]["a"], manifest["spec"]["out"]) == (str(spec.a), str(spec.out))
    assert "codes" not in result.stdout
    whole = invoke(*options, "two", "-o", tmp_path / "two")
    assert "One array for the codes of 3 GEMMs" in " ".join(whole.stdout.split())


def test_plans_of_models(tmp_path):
    need_package("torch").set_num_threads(1)  # such small operations wait for each other longer than they take
    rng = np.random.default_rng(1)
    y = rng.integers(0, 3, 24)
    np.savez(tmp_path / "data.npz", x=rng.normal(size=(24, 4, 4)) + y.reshape(-1, 1, 1), y=y)
    (tmp_path / "network.py").write_text(NETWORK)
    options = ("--data", tmp_path / "data.npz", "--batch", 8, "--epochs", 1)
    found = invoke("plan", "--per-tensor", f"{tmp_path}/network.py:network", *options, "--json", "-")
    plan = json.loads(found.stdout)
    assert (plan["network"], plan["batch"], plan["learning_rate"]) == ("network", 8, 0.05)
    assert [layer["name"] for layer in plan["layers"]] == ["1", "3"]
    again = invoke("plan", "--per-tensor", f"{tmp_path}/network.py:network", *options, "--json", "-")
    assert again.stdout == found.stdout
    for name, sentence in (
        ("network.py:number", "returns 3; accepted are FILE.py:FUNCTION"),
        ("network.py:none", "has no function 'none'"),
        ("other.py:network", "is no file"),
        ("network.py", "names no function"),
        ("network.py:failing", "cannot be run (ZeroDivisionError: 'division by zero'); accepted are"),
        ("network.py:asking", "cannot be run (TypeError: "),
        ("network.py:leaving", "cannot be run (SystemExit: '3'); accepted are"),
        ("network.py:deep", "model has outputs (1, 3, 1) of torch.float32 for examples x (1, 4, 4); accepted are"),
    ):
        assert sentence in refused("plan", "--per-tensor", f"{tmp_path}/{name}", *options)
    (tmp_path / "broken.py").write_text("1 / 0\n")
    assert "cannot be run (ZeroDivisionError" in refused("plan", "--per-tensor", f"{tmp_path}/broken.py:f", *options)
    (tmp_path / "broken.py").write_text("import sys\nsys.exit()\n")
    assert "cannot be run (SystemExit" in refused("plan", "--per-tensor", f"{tmp_path}/broken.py:f", *options)
    good = ("plan", "--per-tensor", f"{tmp_path}/network.py:network", *options)
    assert refused(*good, "--seed", -1) == "seed -1 is not an integer from 0 to 2^63 - 1"
    with pytest.raises(MacgenError, match=f"seed {10**23} is not an integer from 0 to"):
        verbs.plan_per_tensor(f"{tmp_path}/network.py:network", data=tmp_path / "data.npz", batch=8, seed=10**23)
    assert refused(*good, "--learning-rate", "1e-300") == "learning-rate 1e-300 is not from 2^-200 to 2^200"
    for arrays, sentence in (
        ({"x": np.ones((3, 4))}, "lacks x or y"),
        ({"x": np.ones((3, 4)), "y": np.ones(2, int)}, "x of float64 (3, 4) and y of int64 (2,)"),
        ({"x": np.ones(()), "y": np.ones(2, int)}, "x of float64 () and y of int64 (2,)"),
        ({"x": np.ones((8, 4, 4)), "y": np.full(8, 3)}, "y has the class 3; accepted are 0 to 2, of the model's 3"),
        ({"x": np.ones((8, 5)), "y": np.ones(8, int)}, "model does not take examples x of the shape (1, 5) (RuntimeEr"),
        ({"x": np.full((8, 4, 4), 1e300), "y": np.ones(8, int)}, "not finite in float32"),
        ({"x": np.ones((8, 4, 4)), "y": np.full(8, 2**64 - 1, np.uint64)}, "beyond int64"),
    ):
        np.savez(tmp_path / "data.npz", **arrays)
        assert sentence in refused(*good)


def test_refused_options(statistics):
    assert refused("plan", "--per-tensor").startswith("per-tensor lacks a model; accepted are")
    assert refused("plan", "--per-tensor", statistics, "--chunk", 64) == (
        "chunk 64 does not go with per-tensor; accepted is one of the two"
    )
    assert refused("plan", "--per-tensor", statistics, "--epochs", 2).startswith("epochs 2 does not go with ")
    assert refused("plan", "--per-tensor", "network.py:network").startswith("per-tensor lacks data; accepted is ")
    assert refused("plan", "--length", 64, "--seed", 1) == (
        "seed 1 is given without per-tensor; accepted is it with --per-tensor"
    )
    assert refused("plan", "--per-tensor", statistics, "--mismatch", 2) == "mismatch 2.0 is not from 2^-200 to 1"


def test_networks_of_onnx_do_not_run_on_formats_of_tensors(tmp_path):
    from macgen.nn.settings import make_settings

    with pytest.raises(MacgenError, match="plan has formats for each tensor"):
        make_settings([], None, plan_tensors(FOUND), ())
