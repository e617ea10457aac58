"""Bundles with other ports than the native ones, simulated and proved: right ones pass, wrong ones do not."""

import dataclasses
import importlib.util
from pathlib import Path

import pytest

import macgen
from macgen import MacSpec
from macgen.bundle.bundle import build
from macgen.errors import ToolError
from macgen.prove.formal import prover
from macgen.prove.formal.axi import axi_harness
from macgen.prove.formal.prover import formal
from macgen.simulate.verify import verify
from tests.optional import need

AXI = {"interface": "axi-stream"}
SMALL = MacSpec(a="int4", b="int4", acc="int12", rows=2, cols=1, **AXI)

SPECS = {
    "int8": macgen.presets["int8-int32"].replace(rows=1, cols=1, **AXI),
    "default": macgen.presets["default"].replace(**AXI),
    "mxfp8": macgen.presets["mxfp8"].replace(rows=2, cols=2, **AXI),
    "turns": macgen.presets["default"].replace(rows=2, cols=2, interleave=2, **AXI),
    "lanes": macgen.presets["default"].replace(rows=2, cols=2, lanes=4, **AXI),
    "lane scales": macgen.MacSpec(
        a="e2m1finite",
        b="e2m1finite",
        acc="e5m4",
        lanes=4,
        lane_sum="exponents:6/2",
        scale="e3m1",
        scale_place="lanes",
        scale_block=2,
        rows=2,
        cols=1,
        **AXI,
    ),
    "async": macgen.presets["default"].replace(rows=2, cols=2, reset="async", clock_enable=True, **AXI),
    "low": macgen.presets["default"].replace(rows=2, cols=2, reset="async", reset_active="low", clock_enable=True),
    "enable": SMALL.replace(interface="native", clock_enable=True),
}


@pytest.mark.thinned("int8")
@pytest.mark.parametrize("name", SPECS)
def test_ports_pass_with_pauses_of_every_kind(name, tmp_path):
    need("iverilog")
    bundle = build(SPECS[name], tmp_path / "dut")
    result = verify(bundle, simulator="icarus", tiles=4)
    assert result.passed, [test.message for run in result.runs for test in run.failed]
    tests = {test.name.partition("/")[0] for test in result.runs[0].tests}
    packets = [name for name in tests if name.startswith("packets")]
    assert bool(packets) == (SPECS[name].interface == "axi-stream")


@pytest.mark.prove
def test_ports_pass_under_verilator(tmp_path):
    need("verilator")
    result = verify(build(SPECS["async"], tmp_path / "dut"), simulator="verilator", tiles=2)
    assert result.passed, [test.message for run in result.runs for test in run.failed]


MUTANTS = {
    "a beat is lost": ("slice_b", "offers <= ~moves | holds_more | i_valid;", "offers <= ~moves | i_valid;"),
    "payload changes while it waits": ("slice_c", "if (moves) begin", "if (1'b1) begin"),
    "a column's code in another's place": (
        None,
        "{s_axis_b_tdata[11:8], s_axis_b_tdata[3:0]}",
        "{s_axis_b_tdata[3:0], s_axis_b_tdata[11:8]}",
    ),
    "a packet without its end": (
        None,
        "assign m_axis_c_tlast = slice_c__o_payload[30]",
        "assign m_axis_c_tlast = 1'b0",
    ),
}


def mutant(directory: Path, name: str) -> Path:
    """Return a bundle with one mistake in its Verilog."""
    module, right, wrong = MUTANTS[name]
    bundle = build(SMALL.replace(acc="int12", cols=2), directory / "dut")
    text = bundle.verilog.read_text()
    start = text.index("module dut (" if module is None else f"module dut_{module} (")
    head, tail = text[:start], text[start:]
    assert right in tail
    bundle.verilog.write_text(head + tail.replace(right, wrong, 1))
    return bundle.directory


@pytest.mark.thinned("a beat is lost")
@pytest.mark.parametrize("name", MUTANTS)
def test_mistakes_of_ports_are_disproved(name, tmp_path, monkeypatch):
    monkeypatch.setattr(prover, "HARNESSES", (axi_harness,))
    result = formal(mutant(tmp_path, name), trust=True, workdir=tmp_path / "work")
    assert [proof.outcome for proof in result.proofs] == ["fails"]


@pytest.mark.prove
@pytest.mark.parametrize("name", MUTANTS)
def test_mistakes_of_ports_are_found_in_simulation(name, tmp_path):
    need("iverilog")
    assert not verify(mutant(tmp_path, name), simulator="icarus", tiles=4, trust=True).passed


@pytest.mark.thinned(2)
@pytest.mark.parametrize("fields", [{"interleave": 2}, {}])
def test_ports_are_proved(fields, tmp_path, monkeypatch):
    monkeypatch.setattr(prover, "HARNESSES", (axi_harness,))
    result = formal(build(SMALL.replace(**fields), tmp_path / "dut"))
    assert [(proof.outcome, proof.depth) for proof in result.proofs] == [("proved", 1)]


@pytest.mark.prove
@pytest.mark.parametrize("name", SPECS)
def test_all_is_proved_whatever_the_ports(name, tmp_path):
    spec = dataclasses.replace(SPECS[name], rows=2, cols=1)
    assert formal(build(spec, tmp_path / "dut")).passed


def test_a_missing_package_is_named(tmp_path, monkeypatch):
    bundle = build(SMALL, tmp_path / "dut")
    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *rest: None if name == "cocotbext" else found(name, *rest)
    )
    with pytest.raises(ToolError) as caught:
        verify(bundle)
    assert str(caught.value) == (
        "the testbench of AXI4-Stream ports needs the package cocotbext-axi, which is missing: "
        "python -m pip install 'macgen[axi]'"
    )
