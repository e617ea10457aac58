"""The flow with tools that do not do what they should, and how its results are read."""

import sys

import pytest

from macgen import tools
from macgen.bundle.manifest import Port
from macgen.cost.fpga.harness import harness_verilog
from macgen.cost.fpga.parts import find_part
from macgen.cost.fpga.place_and_route import _check_room, _routed, _worst_path
from macgen.errors import MacgenError, ToolError

PART, PACKAGE = find_part("ecp5", None)

GOOD = 'open("nextpnr-7.json", "w").write(\'{"fmax": {"clk": {"achieved": 150.5}}}\')'


def routed(tmp_path, program, timeout=30.0):
    """Run a program as nextpnr."""
    work = tmp_path / "a 'work\" dir"
    work.mkdir()
    tool = tools.Tool("nextpnr-ecp5", "", "", tmp_path, "1", (sys.executable, "-c", program))
    return _routed(tool, work, PART, PACKAGE, 7, 200.0, timeout), work


def test_options_reach_the_tool_one_by_one(tmp_path):
    report, work = routed(tmp_path, f"import sys; print(sys.argv[1:]); {GOOD}")
    assert report["fmax"]["clk"]["achieved"] == 150.5
    said = (work / "nextpnr-7.log").read_text().splitlines()[-1]
    for words in ("'--25k', '--package', 'CABGA381', '--speed', '6'", "'--seed', '7'", "'--freq', '200'"):
        assert words in said


@pytest.mark.parametrize(
    ("program", "timeout", "sentence"),
    [
        ("import sys; print('ERROR: no such net'); sys.exit(3)", 30.0, "failed with exit code 3: ERROR: no such net"),
        ("import os; os.kill(os.getpid(), 9)", 30.0, "was ended by SIGKILL: it printed nothing"),
        ("import time; time.sleep(60)", 0.3, "was stopped after its limit of 0.3 s"),
        ("pass", 30.0, "gave no report that macgen can read"),
        ("open('nextpnr-7.json', 'w').write('{\"fmax\": {}')", 30.0, "gave no report that macgen can read"),
        ("open('nextpnr-7.json', 'w').write('{\"fmax\": {}}')", 30.0, "gave no report that macgen can read"),
    ],
)
def test_a_tool_that_fails_hangs_or_gives_nothing(program, timeout, sentence, tmp_path):
    with pytest.raises(ToolError) as caught:
        routed(tmp_path, program, timeout)
    log = tmp_path / "a 'work\" dir" / "nextpnr-7.log"
    assert str(caught.value) == f"nextpnr-ecp5 {sentence}; its log is {log}"
    assert log.is_file()


def test_a_tool_that_cannot_be_started(tmp_path):
    tool = tools.Tool("nextpnr-ecp5", "", "", tmp_path, "1", (str(tmp_path / "gone"),))
    with pytest.raises(ToolError, match="nextpnr-ecp5 cannot be started: No such file"):
        _routed(tool, tmp_path, PART, PACKAGE, 1, 200.0, 30.0)


def test_a_part_that_is_too_small_by_what_the_tool_packed(tmp_path):
    program = "print('Info: \\t  TRELLIS_COMB: 30000/24288   123%'); print('ERROR: no'); raise SystemExit(1)"
    with pytest.raises(MacgenError) as caught:
        routed(tmp_path, program)
    assert str(caught.value) == (
        "device 25k is too small: the array needs 30000 LUTs of its 24288; ecp5 45k has room for it"
    )
    assert not isinstance(caught.value, ToolError)


@pytest.mark.parametrize(
    ("needed", "sentence"),
    [
        ({"luts": 1, "dsps": 29}, "the array needs 29 DSPs of its 28; ecp5 45k has room for it"),
        (
            {"luts": 90_000, "dsps": 256},
            "the array needs 90000 LUTs of its 24288 and 256 DSPs of its 28; no ecp5 part that macgen knows has room",
        ),
    ],
)
def test_a_part_that_is_too_small(needed, sentence):
    with pytest.raises(MacgenError) as caught:
        _check_room(PART, {"memories": 0, **needed})
    assert str(caught.value) == f"device 25k is too small: {sentence}"


def test_the_worst_path_is_in_the_module_with_most_of_its_delay():
    verilog = (
        "module mac (\n);\nendmodule\n\nmodule mac_pe (\n);\n  //\nendmodule\n\nmodule mac_adder (\n);\n//\nendmodule\n"
    )
    cells = {
        "dut.q_TRELLIS_FF_Q_1": {"attributes": {"src": "design0.v:2.1-3.4|design0.v:7.3"}},
        "carry": {"attributes": {"src": "design1.v:1.1|x.v:9.9|design0.v:7.3|design0.v:12.1-12.2"}},
        "lut": {"attributes": {}},
    }
    steps = [("clk-to-q", "dut.q_TRELLIS_FF_Q_1", 0.5), ("routing", "carry$CCU2_COMB1", 1.5)]
    steps += [("logic", "carry$CCU2_COMB1", 0.5), ("routing", "lut", 9.0), ("setup", "dut.q_TRELLIS_FF_Q_1", 0.25)]
    path = [{"type": kind, "delay": delay, "from": {"cell": cell}, "to": {"cell": cell}} for kind, cell, delay in steps]
    short = {"from": "clk", "to": "clk", "path": path[:1]}
    outside = {"from": "<async>", "to": "clk", "path": [*path, *path]}
    report = {"critical_paths": [outside, short, {"from": "clk", "to": "clk", "path": path}]}
    worst = _worst_path(report, cells, verilog, "mac")
    assert (worst.module, worst.start, worst.end) == ("mac_adder", "q", "q")
    assert (worst.logic_ns, worst.routing_ns) == (1.25, 10.5)


def test_the_harness_has_a_register_at_every_port_and_three_pins():
    ports = [Port("aclk", "input", 1), Port("rst", "input", 1), Port("x", "input", 4), Port("y", "output", 3)]
    text = harness_verilog(ports, "aclk", "mac", "round")
    assert "module round (input wire clk, input wire serial_in, output wire serial_out);" in text
    assert "reg [4:0] taken;" in text
    assert "mac dut (.aclk(clk), .rst(taken[0:0]), .x(taken[4:1]), .y(given[2:0]));" in text
