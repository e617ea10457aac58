"""The four verbs of the Python surface: the records that the commands print, and no name that hides one."""

import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import macgen
from macgen.errors import MacgenError
from macgen.network.papers import paper_network
from macgen.prove.exhaustive import prover as exhaustive
from macgen.prove.formal import prover as formal
from macgen.simulate import verify as simulate
from macgen.width.goal import Goal
from tests.cli.runner import invoke

ROOT = Path(__file__).parents[1]

EVERY_VERB = """
import importlib, pkgutil, sys
import macgen
for module in pkgutil.walk_packages(macgen.__path__, "macgen."):
    if not module.name.endswith("__main__"):
        importlib.import_module(module.name)
planned = macgen.plan(length=64, a="int2", b="int2")
spec = macgen.MacSpec(a="int2", b="int2", acc="int32", rows=1, cols=1)  # its own baseline
bundle = macgen.build(spec, sys.argv[1])
result = macgen.verify(bundle, simulator="icarus", tiles=1)
report = macgen.report(bundle)
print(planned.widest, result.passed, report.cost == report.baseline)
"""


def test_every_verb_does_its_work_after_every_module_is_imported(tmp_path):
    """`macgen.report` would be a module if there were one of this name."""
    command = [sys.executable, "-c", EVERY_VERB, str(tmp_path / "mac")]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=500)
    assert result.stdout == "int10 True True\n", result.stderr


CLIENT = """
import macgen

spec = macgen.MacSpec(a="e5m2", b="e5m2", acc="e6m5", chunk=64, rounding="stochastic:13", overflow="infinity")
wider = spec.replace(acc="e6m9", lane_sum="tree")
bits: int = spec.acc.width + spec.rounding.random_bits + (wider.lane_sum.aligned_bits or 0)
bundle = macgen.build(spec, "build/mac12", force=True)
cells: int = macgen.report(bundle).cost.total_cells
passed: bool = macgen.verify(bundle, tiles=3).passed
complete: bool = macgen.verify("build/mac12", exhaustive=True, pairs=10, trust=True).complete
unproved: tuple[str, ...] = macgen.verify(bundle, formal=True).unproved
best: str = str(macgen.plan(length=4608, chunk="auto").widest)
layers = macgen.plan("model.onnx", dims={"batch": 8}, only=("forward",)).rows
"""

WRONG = {
    'macgen.MacSpec(a="e5m2", b="e5m2")': 'Missing named argument "acc"',
    'macgen.MacSpec(a=5, b="e5m2", acc="e6m5")': 'Argument "a" to "MacSpec" has incompatible type "int"',
    'macgen.verify("mac", formal=True, tiles=3)': "No overload variant",
    'macgen.plan(length="64")': 'Argument "length" to "plan" has incompatible type "str"',
    "macgen.presets['default'].acc.colour": 'has no attribute "colour"',
    "macgen.prove_all": 'Module has no attribute "prove_all"',
}


def checked(tmp_path, text):
    """Return what mypy says of a program that uses macgen."""
    (tmp_path / "client.py").write_text(text)
    command = [sys.executable, "-m", "mypy", "--strict", "--no-error-summary", "--cache-dir", str(ROOT / ".mypy_cache")]
    environment = os.environ | {"MYPYPATH": str(ROOT)}
    result = subprocess.run([*command, "client.py"], cwd=tmp_path, capture_output=True, text=True, env=environment)
    return result.stdout


def test_a_program_that_uses_the_verbs_is_well_typed(tmp_path):
    assert checked(tmp_path, CLIENT) == ""


def test_a_program_that_misuses_them_is_not(tmp_path):
    said = checked(tmp_path, "import macgen\n" + "\n".join(WRONG))
    for line, part in enumerate(WRONG.values(), start=2):
        assert any(text.startswith(f"client.py:{line}: error: ") and part in text for text in said.splitlines()), part


# -- plan ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "arguments"),
    [
        (("--length", 4608), {"length": 4608}),
        (("--length", 512, "--chunk", "auto", "--nzr", 0.5), {"length": 512, "chunk": "auto", "nzr": 0.5}),
        (
            (
                "--length",
                900,
                "--rounding",
                "drop",
                "--nsr",
                0.02,
                "--limit",
                40,
                "--reading",
                "total",
                "--a",
                "e4m3fn",
            ),
            {"length": 900, "rounding": "drop", "nsr": 0.02, "limit": 40.0, "reading": "total", "a": "e4m3fn"},
        ),
        (
            ("--network", "resnet32", "--batch", 4, "--only", "forward", "--overflow-probability", 0.001),
            {"network": "resnet32", "batch": 4, "only": ["forward"], "overflow_probability": 0.001},
        ),
    ],
)
def test_a_plan_is_the_commands(options, arguments):
    assert macgen.plan(**arguments).to_json() == invoke("plan", *options, "--json", "-").stdout


def test_a_network_of_ones_own_is_planned():
    network = paper_network("alexnet", 2)
    assert macgen.plan(network=network, chunk=64) == macgen.plan(network="alexnet", batch=2, chunk=64)
    assert macgen.plan(network=network).goal == Goal()


def test_a_plan_tells_how_far_it_is():
    reported = []
    macgen.plan(length=30, monte_carlo=10, progress=reported.append)
    assert reported[0] == "10 of 10 trials of a width"


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({}, "nothing given to plan for; accepted is one of --length N, --network NAME and a file MODEL.onnx"),
        ({"length": 5, "network": "resnet18"}, "length and network given to plan for; accepted is one of "),
        ({"length": 5, "dims": {"seq": 4}}, "dim 'seq=4' does not go with length; accepted is it with model"),
        ({"length": 5, "data": Path("x.npy")}, "data 'x.npy' does not go with length; accepted is it with model"),
        ({"network": "resnet18", "nzr": 0.5}, "nzr 0.5 does not go with network; accepted is it with length"),
        ({"network": "resnet18", "only": ["all"]}, "only 'all' is not one of forward, backward, gradient"),
        ({"network": paper_network("alexnet", 1), "batch": 2}, "batch 2 does not go with a network of your own"),
        ({"length": 5, "rounding": "up"}, "rounding 'up' is not one of rne, rtz, floor, odd, drop, stochastic:r"),
    ],
)
def test_plans_refused(arguments, sentence):
    with pytest.raises(MacgenError) as caught:
        macgen.plan(**arguments)
    assert str(caught.value).startswith(sentence)


# -- verify ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def ways(monkeypatch):
    """Replace the three ways to verify by ones that return their names and arguments."""

    def replace(module, name):
        monkeypatch.setattr(module, name, lambda bundle, **options: (name, bundle, options))

    replace(simulate, "verify")
    replace(exhaustive, "exhaustive")
    replace(formal, "formal")


def test_each_way_gets_its_arguments(ways):
    name, path, options = macgen.verify("mac")
    assert (name, path, options) == (
        "verify",
        Path("mac"),
        {"simulator": "auto", "seed": 1, "tiles": None, "trust": False},
    )
    name, _, options = macgen.verify("mac", simulator="all", seed=0, tiles=0)
    assert (name, options) == ("verify", {"simulator": "all", "seed": 0, "tiles": 0, "trust": False})
    name, _, options = macgen.verify("mac", exhaustive=True)
    del options["progress"]
    assert (name, options) == ("exhaustive", {"seed": 1, "draws": exhaustive.DRAWN_PAIRS, "trust": False})
    name, _, options = macgen.verify("mac", exhaustive=True, pairs=7, seed=3, trust=True, progress=print)
    assert (name, options) == ("exhaustive", {"seed": 3, "draws": 7, "trust": True, "progress": print})
    assert macgen.verify("mac", formal=True, progress=print) == (
        "formal",
        Path("mac"),
        {"trust": False, "progress": print},
    )


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"pairs": 5}, "pairs 5 does not go with a simulation; accepted is it with exhaustive"),
        ({"exhaustive": True, "tiles": 5}, "tiles 5 does not go with exhaustive; accepted is one of the two"),
        ({"exhaustive": True, "simulator": "all"}, "simulator 'all' does not go with exhaustive; accepted is one of"),
        ({"formal": True, "seed": 1}, "seed 1 does not go with formal; accepted is one of the two"),
        ({"formal": True, "exhaustive": True}, "exhaustive True does not go with formal; accepted is one of the two"),
    ],
)
def test_verifications_refused(ways, arguments, sentence):
    with pytest.raises(MacgenError) as caught:
        macgen.verify("mac", **arguments)
    assert str(caught.value).startswith(sentence)


# -- records ---------------------------------------------------------------------------------------------------------


def test_records_become_json():
    log = Path("/tmp/log")
    outcome = simulate.SimulatorRun("icarus", "12.0", (), 5, 1, 2, 3, 0.5, log)
    phase = exhaustive.Phase("steps", 1, 2, 3, 4, True, "", 0.5)
    for record in (
        simulate.VerifyResult((outcome,), 1, ()),
        exhaustive.ExhaustiveResult((phase,), None, 5, 1, compile_seconds=1.0, seconds=2.0, notes=(), log=log),
        formal.FormalResult((), (), None, None, log, (), 1.0),
    ):
        values = json.loads(json.dumps(record.to_dict()))
        assert values["passed"] is record.passed is True
        assert {field.name for field in dataclasses.fields(record)} < set(values)
        assert (values.get("log") or values["runs"][0]["log"]) == str(log)
