"""Registers that move into multiplier blocks, on netlists of Yosys: which move, and what the block is then."""

import json

import pytest

from macgen import tools
from macgen.cost.fpga.multiplier_registers import move_registers_into_multipliers
from tests.designs import verilog

REGISTERED = """
module top(input clk, input rst, input signed [7:0] a, b, output signed [15:0] q, output [7:0] handed_on);
  reg signed [7:0] x, y;
  reg signed [15:0] p;
  initial begin x = 0; y = 0; p = 0; end
  assign q = p;
  assign handed_on = {on};
  always @(posedge clk) begin x <= a; y <= b; p <= {product}; end
endmodule
"""


def mapped(tmp_path, *, on="8'h0", product="x * y"):
    """Return the netlist of a multiplier between registers."""
    verilog(tmp_path, REGISTERED.replace("{on}", on).replace("{product}", product))
    yosys = tools.require("yosys")
    script = "read_verilog source.v; synth_ecp5 -top top; write_json top.json"
    log = tmp_path / "log"
    tools.run([*yosys.command, "-p", script], cwd=tmp_path, log=log, timeout=300, env=yosys.environment())
    return json.loads((tmp_path / "top.json").read_text())["modules"]["top"]


def cells(netlist, kind):
    return [cell for cell in netlist["cells"].values() if cell["type"] == kind]


def test_all_three_registers_move_and_the_block_takes_their_inputs(tmp_path):
    netlist = mapped(tmp_path)
    ports = {name: port["bits"] for name, port in netlist["ports"].items()}
    assert len(cells(netlist, "TRELLIS_FF")) == 8 + 8 + 16
    buffered = {cell["connections"]["O"][0]: cell["connections"]["I"][0] for cell in cells(netlist, "IB")}
    assert move_registers_into_multipliers(netlist) == 32
    assert cells(netlist, "TRELLIS_FF") == []
    (block,) = cells(netlist, "MULT18X18D")
    assert [block["parameters"][f"REG_{place}_CLK"] for place in ("INPUTA", "INPUTB", "OUTPUT")] == ["CLK0"] * 3
    wires = {name: bits[0] for name, bits in block["connections"].items()}
    factors = [[buffered.get(wires[f"{side}{place}"], wires[f"{side}{place}"]) for place in range(8)] for side in "AB"]
    assert sorted(factors) == sorted([ports["a"], ports["b"]])
    assert (wires["CE0"], wires["RST0"]) == ("1", "0")


@pytest.mark.prove
def test_a_factor_that_is_handed_on_stays_and_the_block_has_a_copy(tmp_path):
    netlist = mapped(tmp_path, on="x")
    assert move_registers_into_multipliers(netlist) == 24
    assert len(cells(netlist, "TRELLIS_FF")) == 8


@pytest.mark.prove
@pytest.mark.parametrize(
    ("fields", "gone"),
    [
        ({"product": "rst ? 16'sd0 : x * y"}, 16),  # a register with a reset is none of the block's
        ({"on": "x[7:0] ^ p[7:0]", "product": "(x * y) + 16'sd3"}, 8),  # neither is one behind an adder
        ({"product": "x * x"}, 24 + 8),  # y has no reader, and is not there
    ],
)
def test_registers_that_are_no_blocks_stay(fields, gone, tmp_path):
    netlist = mapped(tmp_path, **fields)
    before = len(cells(netlist, "TRELLIS_FF"))
    moved = move_registers_into_multipliers(netlist)
    assert len(cells(netlist, "TRELLIS_FF")) == before - moved
    assert moved == min(gone, before)
