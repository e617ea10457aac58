"""Gated clocks: chosen cells, registers that keep their values, and energies by hand."""

import numpy as np
import pytest

import macgen
from macgen import MacSpec
from macgen.cost import power
from macgen.cost.library import liberty
from macgen.cost.netlist.simulator import NetlistSimulator
from macgen.cost.synthesize import synthesize_gates
from macgen.cost.timing import analyse
from macgen.errors import MacgenError
from tests.optional import TINY_LIBERTY, need

HELD = """
module held (input clk, input rst, input en, input [7:0] d, output reg [7:0] q, output reg [7:0] free);
  always @(posedge clk) begin
    free <= d;
    if (rst) q <= 8'h5a; else if (en) q <= d;
  end
endmodule
"""


def held(directory, gating=True):
    (directory / "held.v").write_text(HELD.replace("if (rst) q <= 8'h5a; else if", "if"), encoding="utf-8")
    return synthesize_gates(
        [directory / "held.v"],
        "held",
        workdir=directory / f"work{gating}",
        liberty_file=TINY_LIBERTY,
        clock_gating=gating,
    )


def test_the_gate_without_a_test_pin_is_taken_and_no_multiplexer_stays(tmp_path):
    plain, gated = held(tmp_path, False), held(tmp_path)
    assert gated.cells["GATE"] == 1
    assert "GATET" not in gated.cells
    assert gated.flip_flops == plain.flip_flops == 16
    assert gated.total_cells <= 18 < plain.total_cells


def test_gated_registers_hold_and_their_clock_is_counted(tmp_path):
    netlist = held(tmp_path).netlist
    run = NetlistSimulator(netlist)
    rng = np.random.default_rng(1)
    kept = np.zeros((8, 64), np.uint8)
    run.set("rst", [[0]])
    run.set("en", [[1]])
    run.set("d", kept)
    run.tick()
    run.start_counting()
    passed = 0
    for _ in range(50):
        d, en = rng.integers(0, 2, (8, 64), np.uint8), (rng.random((1, 64)) < 0.25).astype(np.uint8)
        run.set("d", d)
        run.set("en", en)
        run.tick()
        kept = np.where(en, d, kept)
        passed += int(en.sum())
        assert (run.get("q") == kept).all()
        assert (run.get("free") == d).all()
    activity = run.activity()
    gated = netlist.pins["GATE"]["GCK"]
    assert activity.toggles[gated] == pytest.approx([2 * passed / (50 * 64)])
    assert activity.duty[gated] == pytest.approx([passed / (50 * 64)])
    # The clock's energy by hand: pins on both nets, energies of pins with a table; fF, fJ, 1.2 V, slew 0.01 ns.
    used = power.estimate(netlist, activity, clock_mhz=1000, slew_ns=0.01)
    cells, rate = netlist.library.cells, float(activity.toggles[gated][0])
    pins = {kind: cells[kind].pins for kind in ("DFF", "GATE")}
    load = pins["DFF"]["CK"].capacitance * 8
    root = load + pins["GATE"]["CK"].capacitance
    zero = np.zeros(1)
    inside = {
        kind: float(sum(e.rise(0.01, zero) + e.fall(0.01, zero) for e in pins[kind]["CK"].energies)[0])
        / 2
        / max(1, len(pins[kind]["CK"].energies))
        for kind in pins
        if pins[kind]["CK"].energies
    }
    enable = activity.toggles[netlist.pins["GATE"]["E"]][0]
    expected = 1.2**2 / 2 * (2 * root + rate * load)
    expected += (16 + rate * 8) * inside.get("DFF", 0) + 2 * inside["GATE"]
    expected += rate * 3.0 + enable * 1.0
    assert used.clock == pytest.approx(expected * 1e-3)
    assert sum(used.modules.values()) == pytest.approx(used.total)


def test_opensta_sees_the_gated_clock(tmp_path):
    need("sta")
    times = analyse(held(tmp_path))
    assert times.minimum_period_ns is not None
    assert 0 < times.minimum_period_ns < 1


@pytest.mark.prove
def test_a_gated_array_computes_the_same_in_the_testbench(tmp_path):
    need("iverilog")
    bundle = macgen.build(macgen.presets["default"].replace(rows=1, cols=1), tmp_path / "array")
    result = macgen.verify(bundle, netlist=True, liberty=TINY_LIBERTY, clock_gating=True, simulator="icarus", tiles=2)
    assert result.passed, [test for run in result.runs for test in run.failed]
    assert "cells of tiny, with gated clocks" in result.notes[0]


@pytest.mark.prove
def test_the_report_gates_both_arrays(tmp_path):
    spec = MacSpec(a="int4", b="int4", acc="int12", rows=1, cols=1)
    bundle = macgen.build(spec, tmp_path / "array")
    report = macgen.report(bundle, liberty=TINY_LIBERTY, clock_gating=True)
    assert report.conditions["clock_gating"] is True
    assert report.cost.cells["GATE"] > 0
    assert report.baseline.cells["GATE"] > 0


def test_what_has_no_gate_is_refused(tmp_path):
    text = TINY_LIBERTY.read_text(encoding="utf-8").replace("clock_gating_integrated_cell", "comment")
    (tmp_path / "plain.lib").write_text(text, encoding="utf-8")
    (tmp_path / "held.v").write_text(HELD, encoding="utf-8")
    with pytest.raises(MacgenError, match=r"library tiny has no clock gate .* clock-gating needs"):
        synthesize_gates(
            [tmp_path / "held.v"],
            "held",
            workdir=tmp_path / "w",
            liberty_file=tmp_path / "plain.lib",
            clock_gating=True,
        )
    bundle = macgen.build(MacSpec(a="int2", b="int2", acc="int4", rows=1, cols=1), tmp_path / "array")
    for call in (macgen.report, macgen.verify):
        with pytest.raises(MacgenError, match="clock-gating is given without liberty; accepted is it with"):
            call(bundle, clock_gating=True)


def test_gates_of_other_kinds_are_none(tmp_path):
    text = TINY_LIBERTY.read_text(encoding="utf-8").replace(": latch_posedge;", ": latch_negedge;")
    (tmp_path / "other.lib").write_text(text, encoding="utf-8")
    cells = liberty.read(tmp_path / "other.lib").cells
    assert cells["GATE"].clock_gate is None
    assert cells["GATE"].unsupported is not None
    assert cells["GATET"].clock_gate.test == ("SE",)
