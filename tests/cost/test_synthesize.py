import gzip
import json
import re

import pytest

from macgen import tools
from macgen.cost import synthesize
from macgen.cost.synthesize import synthesize_gates, synthesize_luts
from macgen.errors import MacgenError, ToolError
from tests.designs import GRID, verilog
from tests.optional import TINY_LIBERTY, osu018

FLATTEN = "setattr -mod -unset keep_hierarchy unit; flatten -noscopeinfo"


def yosys(directory, script: str) -> str:
    """What Yosys prints for a script."""
    tool = tools.require("yosys")
    log = directory / "check.log"
    tools.run([*tool.command, "-p", script], cwd=directory, log=log, timeout=300, env=tool.environment())
    return log.read_text()


def statistics(directory, script: str) -> dict:
    """Yosys's own statistics of a design, multiplied through the hierarchy by Yosys."""
    yosys(directory, f"{script}; tee -o stat.json stat -json")
    text = (directory / "stat.json").read_text()
    return json.loads(text[text.index("{") :])["design"]["num_cells_by_type"]


@pytest.mark.parametrize("liberty_file", [None, TINY_LIBERTY])
def test_totals_equal_yosys_statistics(liberty_file, tmp_path):
    work = tmp_path / "work"
    design = synthesize_gates(verilog(tmp_path, GRID), "grid", workdir=work, liberty_file=liberty_file)
    kept = "read_json netlist.json; hierarchy -top grid; "
    expected = statistics(work, kept)
    expected.pop("unit", None)
    assert dict(design.cells) == expected
    assert statistics(work, f"{kept} {FLATTEN}") == dict(design.cells)
    assert design.total_cells == sum(expected.values())
    # The registers: four sums of 12 bits, and the gathered 48.
    assert design.flip_flops == 96


def test_one_unit_is_mapped_and_counted_four_times(tmp_path):
    design = synthesize_gates(verilog(tmp_path, GRID), "grid", workdir=tmp_path / "work")
    modules = json.loads((tmp_path / "work" / "netlist.json").read_text())["modules"]
    assert set(modules) == {"grid", "unit"}
    inside = len(modules["unit"]["cells"])
    outside = sum(cell["type"] != "unit" for cell in modules["grid"]["cells"].values())
    assert outside == 48  # nothing but the registers of the dissolved module
    assert design.total_cells == 4 * inside + outside


def check_area(liberty_file, tmp_path):
    work = tmp_path / "work"
    design = synthesize_gates(verilog(tmp_path, GRID), "grid", workdir=work, liberty_file=liberty_file)
    text = yosys(work, "read_json netlist.json; hierarchy -top grid; " + FLATTEN + "; stat -liberty library.lib")
    area = re.findall(r"Chip area for module '\\grid': ([\d.]+)", text)
    assert design.area == pytest.approx(float(area[-1]))
    assert design.gate_equivalents == pytest.approx(design.area / design.netlist.library.nand2.area)
    return design


def test_area_equals_the_one_that_yosys_finds(tmp_path):
    assert check_area(TINY_LIBERTY, tmp_path).library == "tiny"


def test_area_in_a_real_library(tmp_path):
    assert check_area(osu018(), tmp_path).library == "osu018_stdcells"


def test_gzipped_liberty_gives_the_same(tmp_path):
    packed = tmp_path / "tiny.lib.gz"
    packed.write_bytes(gzip.compress(TINY_LIBERTY.read_bytes()))
    sources = verilog(tmp_path, GRID)
    plain = synthesize_gates(sources, "grid", workdir=tmp_path / "plain", liberty_file=TINY_LIBERTY)
    unpacked = synthesize_gates(sources, "grid", workdir=tmp_path / "packed", liberty_file=packed)
    assert unpacked.cells == plain.cells


def test_generic_gate_equivalents_by_hand(tmp_path):
    text = "module top(input clk, input a, b, output reg q); always @(posedge clk) q <= ~(a & b); endmodule"
    design = synthesize_gates(verilog(tmp_path, text), "top", workdir=tmp_path / "work")
    assert dict(design.cells) == {"$_DFF_P_": 1, "$_NAND_": 1}
    assert design.gate_equivalents == 7.0
    assert design.depth == 1
    assert design.area is None


def test_a_longer_period_needs_no_more_area(tmp_path):
    sources = verilog(tmp_path, GRID)
    areas = [
        synthesize_gates(
            sources, "grid", workdir=tmp_path / "work", liberty_file=TINY_LIBERTY, period_ns=period_ns
        ).area
        for period_ns in (0.2, 50.0)
    ]
    assert areas[1] < areas[0]


ALONE = {
    "ice40": "synth_ice40 -noflatten -top unit",
    "ecp5": "synth_ecp5 -noflatten -nodsp -top unit",
    "xilinx": "synth_xilinx -family xc7 -noiopad -noclkbuf -nodsp -top unit",
}


@pytest.mark.thinned("ice40")
@pytest.mark.parametrize("family", ["ice40", "ecp5", "xilinx"])
def test_luts_are_multiplied_through_the_hierarchy(family, tmp_path):
    sources = verilog(tmp_path, GRID)
    design = synthesize_luts(sources, "grid", workdir=tmp_path / "work", family=family)
    alone = statistics(
        tmp_path, f"read_verilog source.v; hierarchy -top unit; proc; flatten -noscopeinfo; {ALONE[family]}"
    )
    for kind, count in alone.items():
        outside = 48 if kind in ("SB_DFF", "TRELLIS_FF", "FDRE") else 0
        if kind not in ("GND", "VCC"):
            assert design.cells.get(kind, 0) == 4 * count + outside, kind
    assert design.flip_flops == 96
    assert design.dsps == design.memories == 0


@pytest.mark.thinned("ice40-9-7", "ecp5-9-4")
@pytest.mark.parametrize(
    ("family", "luts", "carries"),
    [
        # 8 bits of an adder: a LUT each beside the carries, and on the ECP5 two to a carry cell; a 4-input AND.
        ("ice40", 8 + 1, 7),
        ("ecp5", 8 + 1, 4),
        ("xilinx", 8 + 1, 2),
    ],
)
def test_luts_by_hand(family, luts, carries, tmp_path):
    text = """module top(input clk, input [7:0] a, b, output reg [7:0] q, output reg r);
      always @(posedge clk) begin q <= a + b; r <= a[0] & a[3] & b[2] & b[7]; end
    endmodule"""
    design = synthesize_luts(verilog(tmp_path, text), "top", workdir=tmp_path / "work", family=family)
    assert design.luts == luts
    assert abs(design.carries - carries) <= 1
    assert design.flip_flops == 9


MULTIPLY = """module top(input clk, input signed [15:0] a, b, output reg signed [31:0] q);
  always @(posedge clk) q <= a * b;
endmodule"""


@pytest.mark.thinned("ice40", "ecp5")
@pytest.mark.parametrize("family", ["ice40", "ecp5", "xilinx"])
def test_multiplier_blocks_on_request(family, tmp_path):
    work = tmp_path / "work"
    design = synthesize_luts(verilog(tmp_path, MULTIPLY), "top", workdir=work, family=family, dsp=True)
    assert design.dsps == 1
    assert design.luts == 0


@pytest.mark.thinned("ecp5")
@pytest.mark.parametrize("family", ["ice40", "ecp5", "xilinx", "gowin", "nexus"])
def test_multipliers_that_stay_out_of_blocks(family, tmp_path):
    text = f'(* use_dsp = "no" *)\n{MULTIPLY}'
    design = synthesize_luts(verilog(tmp_path, text), "top", workdir=tmp_path / "work", family=family, dsp=True)
    assert design.dsps == 0 < design.luts


def test_verilog_that_does_not_parse_is_told_with_the_log(tmp_path):
    sources = verilog(tmp_path, "module top(input a; endmodule")
    with pytest.raises(
        ToolError, match=r"^Yosys failed with exit code 1: design0\.v:1: ERROR: .*; its log is .*\.log$"
    ):
        synthesize_gates(sources, "top", workdir=tmp_path / "work")


def test_missing_modules_are_named(tmp_path):
    sources = verilog(tmp_path, "module top(input a); nothing u(.a(a)); endmodule")
    with pytest.raises(ToolError, match=r"Yosys failed with exit code 1: ERROR: Module `.nothing' referenced"):
        synthesize_luts(sources, "top", workdir=tmp_path / "work", family="ice40")


@pytest.mark.parametrize("top", ["", "top; shell ls", "9top", "to p", "tóp"])
def test_wrong_top(top, tmp_path):
    with pytest.raises(MacgenError, match="is not a plain Verilog identifier"):
        synthesize_gates(verilog(tmp_path, GRID), top, workdir=tmp_path / "work")


def test_missing_source(tmp_path):
    with pytest.raises(MacgenError, match=r"Verilog file .*nothing\.v cannot be read: No such file"):
        synthesize_gates([tmp_path / "nothing.v"], "top", workdir=tmp_path / "work")


def test_a_library_without_inverter(tmp_path):
    text = TINY_LIBERTY.read_text().replace("A'\"", 'A"')
    path = tmp_path / "odd.lib"
    path.write_text(text)
    with pytest.raises(MacgenError, match="Liberty library tiny has no inverter, which technology mapping needs"):
        synthesize_gates(verilog(tmp_path, GRID), "grid", workdir=tmp_path / "work", liberty_file=path)


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        (r"\bff \(IQ, ?IQN\)", "ff_bank (IQ, IQN, 1)", "has no flip-flop (a group ff), which arrays need"),
        (r"\b(cell|intrinsic)_rise\b", "other", "states no delays (cell_rise), which technology mapping needs"),
    ],
)
def test_a_library_without_flip_flops_or_delays(old, new, sentence, tmp_path):
    text, changes = re.subn(old, new, TINY_LIBERTY.read_text())
    assert changes
    path = tmp_path / "odd.lib"
    path.write_text(text)
    with pytest.raises(MacgenError) as caught:
        synthesize_gates(verilog(tmp_path, GRID), "grid", workdir=tmp_path / "work", liberty_file=path)
    assert str(caught.value) == f"Liberty library tiny {sentence}"


def test_the_generic_library_has_every_gate_that_is_asked_for():
    cells = synthesize.generic_library().cells
    assert {f"$_{gate}_" for gate in synthesize._GENERIC_GATES.split(",")} < set(cells)
    assert cells["$_NAND_"].area == 1.0
