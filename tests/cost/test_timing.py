import dataclasses

import pytest

from macgen import tools
from macgen.cost import timing
from macgen.cost.synthesize import synthesize_gates
from macgen.errors import ToolError
from tests.designs import GRID, verilog
from tests.optional import TINY_LIBERTY, need, osu018, replace_find

CHAIN = """module top(input clk, input a, output reg q);
  reg p;
  always @(posedge clk) begin p <= a; q <= ~p; end
endmodule"""


def synthesize(directory, text=CHAIN, top="top", liberty_file=TINY_LIBERTY, **options):
    return synthesize_gates(
        verilog(directory, text), top, workdir=directory / "w", liberty_file=liberty_file, **options
    )


def test_minimum_period_by_hand(tmp_path):
    need("sta")
    design = synthesize(tmp_path)
    assert dict(design.cells) == {"DFF": 2, "INV": 1}
    result = timing.analyse(design)
    # tiny.lib: delay = base + 0.2 slew + R load, transition = 0.8 base + 0.1 slew + 1.5 R load; ideal clock, slew 0.
    to_q, slew = 0.1 + 2.0 * 0.002, 0.08 + 1.5 * 2.0 * 0.002  # the register drives an inverter of 2.0 fF
    through = 0.02 + 0.2 * slew + 2.0 * 0.0018  # the inverter drives D
    assert result.unavailable is None
    assert result.minimum_period_ns == pytest.approx(to_q + through + 0.05, abs=2e-5)
    assert [point.cell for point in result.path] == ["DFF", "DFF", "INV", "DFF"]
    assert result.path[1].time_ns == pytest.approx(to_q, abs=2e-5)
    assert result.tool is not None
    assert result.tool.startswith("OpenSTA ")


def test_paths_from_and_to_ports_count(tmp_path):
    need("sta")
    text = """module top(input clk, input [3:0] a, output y, output reg q);
      assign y = ~^a; always @(posedge clk) q <= a[0];
    endmodule"""
    result = timing.analyse(synthesize(tmp_path, text))
    assert result.path[0].pin == "a[0]" or result.path[0].pin.startswith("a[")
    assert result.path[-1].pin == "y"


def test_buses_between_modules(tmp_path):
    need("sta")
    result = timing.analyse(synthesize(tmp_path, GRID, "grid"))
    assert result.minimum_period_ns is not None
    assert any(point.pin.startswith("u") for point in result.path)


def test_a_shorter_target_gives_a_shorter_period(tmp_path):
    need("sta")
    fast, slow = (
        timing.analyse(synthesize(tmp_path, GRID, "grid", osu018(), period_ns=period)).minimum_period_ns
        for period in (1.0, 100.0)
    )
    assert fast < slow


def test_a_period_that_can_be_reached_is(tmp_path):
    need("sta")

    def reached(period_ns: float) -> float:
        period = timing.analyse(synthesize(tmp_path, GRID, "grid", osu018(), period_ns=period_ns)).minimum_period_ns
        assert period is not None
        return period

    least = reached(0.5)
    for period_ns in (1.15 * least, 1.5 * least):
        assert reached(period_ns) <= period_ns


def test_generic_gates_have_no_timing(tmp_path):
    result = timing.analyse(synthesize(tmp_path, liberty_file=None))
    assert result == timing.Timing("generic gates have no delays; a Liberty file gives them")


def test_missing_tool_is_said_and_no_error(tmp_path, monkeypatch):
    design = synthesize(tmp_path)
    replace_find(monkeypatch, lambda name: tools.Tool(name, "timing", "apt install opensta"))
    assert timing.analyse(design).unavailable == "OpenSTA is missing (apt install opensta)"


def test_too_many_cells_are_said(tmp_path, monkeypatch):
    need("sta")
    monkeypatch.setattr(timing, "MOST_CELLS", 2)
    assert timing.analyse(synthesize(tmp_path)).unavailable == "3 cells are more than the 2 that are timed"


def test_netlist_without_registers(tmp_path):
    need("sta")
    design = synthesize(tmp_path, "module top(input a, output y); assign y = ~a; endmodule")
    assert timing.analyse(design).unavailable == "the netlist has no flip-flops"


def test_failure_names_the_log(tmp_path):
    need("sta")
    design = synthesize(tmp_path)
    design.verilog.write_text("module top(input clk")
    with pytest.raises(ToolError, match=r"OpenSTA .*timing\.log"):
        timing.analyse(design)
    missing = dataclasses.replace(design, verilog=design.verilog.with_name("nothing.v"))
    with pytest.raises(ToolError, match=r"OpenSTA .*timing\.log"):
        timing.analyse(missing)


def test_the_worst_path_counts_whatever_group_it_is_in():
    text = """Startpoint: rst_n (input port clocked by clock)
Endpoint: q_0 (recovery check against rising-edge clock clock)
Path Group: asynchronous
Path Type: max

   0.00000    0.00000 ^ rst_n (in)
   0.10000    0.10000 ^ q_0/RN (DFFR)
              0.10000   data arrival time
              0.60000   slack (MET)

Startpoint: q_0 (rising edge-triggered flip-flop clocked by clock)
Endpoint: q_1 (rising edge-triggered flip-flop clocked by clock)
Path Group: clock
Path Type: max

   0.00000    0.00000 ^ q_0/CK (DFFR)
   1.75000    1.75000 v q_0/Q (DFFR)
   0.25000    2.00000 v q_1/D (DFFR)
              2.00000   data arrival time
             -1.12500   slack (VIOLATED)
"""
    paths = timing.paths_of(text)
    assert [slack for slack, _ in paths] == [0.6, -1.125]
    assert [point.pin for point in min(paths, key=lambda path: path[0])[1]] == ["q_0/CK", "q_0/Q", "q_1/D"]


def test_an_asynchronous_reset_does_not_hide_the_worst_path(tmp_path):
    need("sta")
    library = osu018()
    texts = {}
    for name, event in (("sync", ""), ("async", " or posedge rst")):
        text = "module top(input clk, rst, input [4:0] a, b, output reg [9:0] p); reg [4:0] x, y; "
        text += f"always @(posedge clk{event}) if (rst) begin x <= 0; y <= 0; p <= 0; end else begin "
        text += "x <= a; y <= b; p <= x * y; end endmodule"
        directory = tmp_path / name
        directory.mkdir()
        design = synthesize_gates(verilog(directory, text), "top", workdir=directory / "w", liberty_file=library)
        texts[name] = timing.analyse(design).minimum_period_ns
    assert 0.8 < texts["async"] / texts["sync"] < 1.2
