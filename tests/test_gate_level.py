"""The synthesized netlist in the testbench: right ones pass, wrong ones fail."""

import re

import pytest

import macgen
from macgen import MacSpec, gate_level
from macgen.errors import MacgenError
from tests.cli.runner import invoke, refused
from tests.optional import TINY_LIBERTY, need, osu018

SMALL = MacSpec(a="int2", b="int2", acc="int4", chunk=2, rows=1, cols=1)
ARRAYS = {
    "small": SMALL,
    "default": macgen.presets["default"].replace(rows=2, cols=2),
    "random, turns": MacSpec(
        a="e5m2", b="e4m3fn", acc="e5m4", rounding="stochastic:6", chunk=4, interleave=2, rows=2, cols=1
    ),
    "scales, lanes": MacSpec(
        a="e4m3fn", b="e2m1finite", acc="e6m4", scale="e8m0fnu", chunk=4, lanes=2, outer="bf16", rows=1, cols=2
    ),
}  # fmt: skip


@pytest.mark.thinned("small-generic", prove=2)
@pytest.mark.parametrize("library", ["generic", "tiny", "osu018"])
@pytest.mark.parametrize("name", ARRAYS)
def test_netlists_pass(name, library, tmp_path):
    need("iverilog")
    file = {"generic": lambda: None, "tiny": lambda: TINY_LIBERTY, "osu018": osu018}[library]()
    bundle = macgen.build(ARRAYS[name], tmp_path / "array")
    told = []
    result = macgen.verify(bundle, netlist=True, liberty=file, simulator="icarus", tiles=2, progress=told.append)
    assert result.passed, [test for run in result.runs for test in run.failed]
    assert result.comparisons > 500
    cells = {"generic": "generic45", "tiny": "tiny", "osu018": "osu018_stdcells"}[library]
    assert re.fullmatch(
        rf"what was simulated is a netlist of [\d,]+ cells of {cells}, synthesized by Yosys .*", result.notes[0]
    )
    assert told == ["synthesis", "simulation"]


@pytest.mark.prove
def test_verilator_takes_netlists_too(tmp_path):
    bundle = macgen.build(SMALL, tmp_path / "array")
    result = invoke("verify", bundle.directory, "--netlist", "--simulator", "verilator", "--tiles", 1)
    assert result.exit_code == 0
    assert "Note: what was simulated is a netlist of " in result.stdout


@pytest.mark.prove
def test_a_wrong_netlist_fails(tmp_path, monkeypatch):
    need("iverilog")
    right = gate_level.gate_level_verilog

    def wrong(*arguments):
        """One exclusive or becomes an or."""
        text, count = re.subn(r"\\\$_XOR_ ", r"\\$_OR_ ", right(*arguments), count=1)
        assert count == 1
        return text

    monkeypatch.setattr(gate_level, "gate_level_verilog", wrong)
    bundle = macgen.build(SMALL, tmp_path / "array")
    assert not macgen.verify(bundle, netlist=True, simulator="icarus", tiles=2).passed


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"liberty": "x.lib"}, "liberty 'x.lib' does not go without netlist; accepted is it with netlist"),
        ({"netlist": True, "formal": True}, "netlist True does not go with formal; accepted is one of the two"),
        ({"netlist": True, "exhaustive": True}, "netlist True does not go with exhaustive; accepted is one of the two"),
        ({"netlist": 1}, "netlist 1 is not true or false"),
        ({"netlist": True, "seed": -1}, "seed -1 is not an integer from 0 to 2^63 - 1"),
        ({"netlist": True, "simulator": "spice"}, "simulator 'spice' is unknown; accepted are "),
        ({"netlist": True, "liberty": 3}, "liberty 3 is no path; accepted is the name of a file or directory"),
        ({"netlist": True}, "bundle '/nowhere' "),
    ],
)
def test_refusals(arguments, sentence):
    with pytest.raises(MacgenError) as error:
        macgen.verify("/nowhere", **arguments)
    assert str(error.value).startswith(sentence)


def test_options_that_do_not_go_together(tmp_path):
    hint = " (see macgen verify --help)"
    assert refused("verify", tmp_path, "--liberty", "x.lib") == f"--liberty goes with --netlist only{hint}"
    assert refused("verify", tmp_path, "--netlist", "--formal").startswith("--netlist does not go with --formal, ")
    assert refused("verify", tmp_path, "--netlist", "--exhaustive").startswith("--netlist does not go with --exhaus")
