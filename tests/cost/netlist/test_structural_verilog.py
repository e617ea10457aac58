import re

import numpy as np
import pytest

from macgen import tools
from macgen.cost.library import liberty
from macgen.cost.netlist.netlist import read_netlist
from macgen.cost.netlist.simulator import NetlistSimulator, from_bits, to_bits
from macgen.cost.netlist.structural_verilog import structural_verilog, tie_cells
from macgen.cost.synthesize import synthesize_gates
from tests.designs import GRID, module, verilog
from tests.optional import TINY_LIBERTY

TINY = liberty.read(TINY_LIBERTY)


def reread(directory, top):
    """The netlist that Yosys reads from netlist.v, flat."""
    yosys = tools.require("yosys")
    script = f"""read_liberty -lib library.lib
        read_verilog netlist.v
        hierarchy -check -top {top}
        flatten -noscopeinfo
        opt_clean
        write_json again.json"""
    (directory / "again.ys").write_text(script)
    arguments = [*yosys.command, "-s", "again.ys"]
    tools.run(arguments, cwd=directory, log=directory / "again.log", timeout=300, env=yosys.environment())
    return read_netlist(directory / "again.json", top, TINY)


def test_the_text_is_the_netlist(tmp_path):
    design = synthesize_gates(verilog(tmp_path, GRID), "grid", workdir=tmp_path / "w", liberty_file=TINY_LIBERTY)
    again = reread(tmp_path / "w", "grid")
    counts = again.cell_counts()
    assert {name: counts[name] for name in design.cells} == dict(design.cells)
    assert again.levels.depth == design.depth
    first, second = NetlistSimulator(design.netlist), NetlistSimulator(again)
    rng = np.random.default_rng(8)
    for cycle in range(30):
        a, b = rng.integers(0, 256, (2, 64))
        for run in (first, second):
            run.set("rst", [[cycle == 0]])
            run.set("a", to_bits(a, 8))
            run.set("b", to_bits(b, 8))
            run.tick()
        if cycle > 1:
            assert first.get("sums").tolist() == second.get("sums").tolist()
    assert len(set(from_bits(second.get("sums")).tolist())) > 10


def test_flip_flops_have_the_names_of_their_registers(tmp_path):
    text = "module top(input clk, input [1:0] d, output q); reg [1:0] state; always @(posedge clk) state <= d; "
    text += "assign q = ^state; endmodule"
    synthesize_gates(verilog(tmp_path, text), "top", workdir=tmp_path / "w", liberty_file=TINY_LIBERTY)
    found = re.findall(r"^  DFF\w* (\w+) ", (tmp_path / "w" / "netlist.v").read_text(), re.MULTILINE)
    assert sorted(found) == ["state_0", "state_1"]


def test_passing_through_constants_and_permutations(tmp_path):
    text = """module top(input clk, input [3:0] a, output [7:0] y, output [3:0] z, output w);
      reg [3:0] q;
      wire [1:0] k, unused;
      wire [3:0] open;
      always @(posedge clk) q <= a;
      assign y = {q[1:0], a[1:0], 2'b01, q[3:2]};
      sub s0(.clk(clk), .i({a[0], q[2:1], 1'b1}), .o(z), .p(k));
      sub s1(.clk(clk), .i({q[0], k, 1'b0}), .o(open), .p(unused));
      assign w = open[3] ^ unused[1];
    endmodule
    module sub(input clk, input [3:0] i, output [3:0] o, output [1:0] p);
      reg [3:0] r;
      always @(posedge clk) r <= i ^ {i[0], i[3:1]};
      assign o = {r[1:0], i[3], 1'b1};
      assign p = {i[0], r[0]};
    endmodule"""
    synthesize_gates(verilog(tmp_path, text), "top", workdir=tmp_path / "w", liberty_file=TINY_LIBERTY)
    assert "module sub" in (tmp_path / "w" / "netlist.v").read_text()
    run = NetlistSimulator(reread(tmp_path / "w", "top"))
    rng = np.random.default_rng(9)
    q = r0 = r1 = None
    for _ in range(20):
        a = rng.integers(0, 16, 64)
        run.set("a", to_bits(a, 4))
        if r1 is not None:
            i0 = (a & 1) << 3 | (q >> 1 & 3) << 1 | 1
            k = (i0 & 1) << 1 | r0 & 1
            i1 = (q & 1) << 3 | k << 1
            y = (q & 3) << 6 | (a & 3) << 4 | 1 << 2 | q >> 2
            z = (r0 & 3) << 2 | (i0 >> 3) << 1 | 1
            assert from_bits(run.get("y")).tolist() == y.tolist()
            assert from_bits(run.get("z")).tolist() == z.tolist()
            assert from_bits(run.get("w")).tolist() == ((r1 >> 1 & 1) ^ (i1 & 1)).tolist()
        run.tick()
        if q is not None:
            i0 = (a & 1) << 3 | (q >> 1 & 3) << 1 | 1
            if r0 is not None:
                i1 = (q & 1) << 3 | ((i0 & 1) << 1 | r0 & 1) << 1
                r1 = i1 ^ ((i1 & 1) << 3 | i1 >> 1)
            r0 = i0 ^ ((i0 & 1) << 3 | i0 >> 1)
        q = a


def test_constants_come_from_tie_cells_where_there_are_some():
    cells = [("NAND2", {"A": "1", "B": "x", "Y": 2}), ("NAND2", {"A": "1", "B": "0", "Y": 3})]
    text = structural_verilog({"top": module({"y": ("output", [2, 3])}, cells)}, "top", TINY)
    assert tie_cells(TINY) == {"0": ("TIE0", "Y"), "1": ("TIE1", "Y")}
    assert text.count("TIE0") == text.count("TIE1") == 1
    assert "1'b" not in text
    without = liberty.Library(
        "bare", 1.0, {name: cell for name, cell in TINY.cells.items() if not name.startswith("TIE")}
    )
    text = structural_verilog({"top": module({"y": ("output", [2, 3])}, cells)}, "top", without)
    assert re.findall(r"1'b[01x]", text) == ["1'b1", "1'b0", "1'b1", "1'b0"]


@pytest.mark.parametrize("name", ["9", "$abc$12$auto", r"\escaped.name[3]", "module", "wire", "n2", "u_", "café", ""])
def test_every_name_becomes_a_plain_identifier(name):
    top = module({"n2": ("input", [2]), "y": ("output", [4])}, [("INV", {"A": 2, "Y": 3}), ("INV", {"A": 3, "Y": 4})])
    top["cells"] = dict(zip([name, f"{name}_0"], top["cells"].values(), strict=True))
    text = structural_verilog({"top": top}, "top", TINY)
    instances = re.findall(r"^  INV (\S+) \(", text, re.MULTILINE)
    declared = re.findall(r"^  (?:wire|input|output) (\S+);", text, re.MULTILINE)
    assert len({*instances, *declared}) == 5
    for identifier in (*instances, *declared):
        assert re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", identifier)
    assert not {*instances} & {"module", "wire"}
