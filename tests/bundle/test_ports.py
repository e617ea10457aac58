"""The Verilog of every choice of ports: linters are content, and it is the netlist that came out of Amaranth."""

import re
import subprocess

import pytest

from macgen import tools
from macgen.bundle.verilog import to_verilog
from macgen.rtl import Design, Modules, top_of
from macgen.spec import MacSpec
from tests.bundle.equivalence import modules_of, prove_equal
from tests.bundle.test_verilog import lint, slang
from tests.optional import need

SMALL = MacSpec(a="int4", b="int4", acc="int12", rows=2, cols=2)

SPECS = {
    "axi": SMALL.replace(interface="axi-stream"),
    "axi-turns": SMALL.replace(interface="axi-stream", interleave=2, reset="async", clock_enable=True),
    "scales": MacSpec(
        a="e4m3fn", b="e2m1", acc="e6m9", chunk=4, outer="fp32", scale="e4m0fnu", lanes=2, rows=2, cols=1,
        interface="axi-stream",
    ),
    "async": SMALL.replace(reset="async", chunk=4),
    "low": SMALL.replace(reset_active="low"),
    "async-low-enable": SMALL.replace(reset="async", reset_active="low", clock_enable=True, chunk=4),
    "enable": SMALL.replace(clock_enable=True, interleave=2),
    "counted": MacSpec(a="e3m1", b="e3m1", acc="e4m2", chunk=4, rows=2, cols=3, counters="3/5"),
    "counted-axi": MacSpec(
        a="e3m1", b="e3m1", acc="e4m2fn", chunk=4, outer="e4m3", out="e4m1", scale="e3m1", lanes=2, interleave=2,
        rows=1, cols=1, interface="axi-stream", reset="async", clock_enable=True, counters=3,
    ),
}  # fmt: skip

_BLOCK = re.compile(r"^  always @\((?P<events>[^)]*)\) begin\n(?P<body>.*?)^  end$", re.M | re.S)


@pytest.mark.parametrize("name", ["axi-turns", "async-low-enable", "enable"])
def test_every_register_obeys_clock_enable_and_reset(name):
    """An enable in every clocked block, and where there is a reset, it is an event if it is asynchronous."""
    text = re.sub(r"//.*", "", to_verilog(SPECS[name], "dut"))
    clocked = [block for block in _BLOCK.finditer(text) if "posedge" in block["events"]]
    assert len(clocked) == len(re.findall(r"always @\(posedge", text)) > 8
    has_event = SPECS[name].reset == "async"
    reset = 0
    for block in clocked:
        assert re.search(r"\b(clk_en|aclken)\b", block["body"]), block[0]
        resets = re.search(r"\b(rst|rst_n|aresetn)\b", block["body"]) is not None
        is_event = re.search(r"edge (rst|rst_n|aresetn)\b", block["events"]) is not None
        assert is_event == (resets and has_event), block[0]
        reset += resets
    assert 0 < reset < len(clocked)


every_choice = pytest.mark.parametrize("name", SPECS)


@pytest.mark.thinned("axi-turns")
@every_choice
def test_linters_have_nothing_to_say(name, tmp_path):
    text = to_verilog(SPECS[name], "dut")
    assert lint(text, tmp_path) == (0, "")
    assert slang(text, tmp_path)
    need("iverilog")
    command = [*tools.require("iverilog").command, "-g2001", "-Wall", "-t", "null", "-s", "dut", "dut.v"]
    process = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert (process.returncode, process.stdout, process.stderr) == (0, "", "")


@pytest.mark.prove
@every_choice
def test_printed_modules_are_amaranth_s(name):
    design = Design(SPECS[name])
    rtlil, verilog = Modules("dut", design.clocking).convert(top_of(design)), to_verilog(SPECS[name], "dut")
    golds, gates = modules_of(rtlil), modules_of(verilog)
    assert golds.keys() == gates.keys()
    # The proof knows no reset. A register that holds 0 from its reset on, which is not printed, may hold 1 there for as
    # long as the clock is not enabled.
    unknown = {"dut_sequencer"} if SPECS[name].clock_enable and SPECS[name].chunk else set()
    prove_equal(rtlil, verilog, list(golds.keys() - unknown))


@pytest.mark.thinned("axi-turns", "async-low-enable")
@every_choice
def test_every_register_has_its_reset_and_its_enable(name):
    """Of the text: asynchronous resets stand in the list of events, and no block forgets the clock enable."""
    spec = SPECS[name]
    text = re.sub(r"//[^\n]*", "", to_verilog(spec, "dut"))
    head = r"always @\(posedge (\w+)( or (?:posedge|negedge) \w+)?\) begin\n"
    blocks = re.findall(head + r"(.*?)\n  end\n", text, re.DOTALL)
    assert blocks
    resets = 0
    for clock, event, body in blocks:
        assert clock in ("clk", "aclk")
        reset = re.match(r"\s*if \((~?)(rst|rst_n)\) begin", body)
        resets += reset is not None
        low = spec.reset_active == "low" and reset is not None and reset[2] == "rst_n"
        wanted = f" or {'negedge rst_n' if low else 'posedge rst'}" if reset and spec.reset == "async" else ""
        assert event == wanted
        if spec.clock_enable:
            assert re.search(r"if \([^\n]*\bclk_en\b[^\n]*\) begin", body), body
    assert resets
