"""What the mutation tests change is what they name."""

import pytest

from tests.mutants import connect, drive, edit, keep_in_reset, load, random_mutants

TEXT = """\
module first (
  input  wire a,   // one; of two
  output wire b
);
  // Comment: x = y;
  wire [3:0] x = a ? 4'h1
    : 4'h2;
  assign b = |x;
  wire unused_x_below;
  wire [2:0] y;
  assign {y, unused_x_below} = x + 4'd1;
  second inner (
    .clk(a), .in({x, y}),
    .out()
  );
  always @(posedge a) begin
    if (b) begin
      r <= 1'b0;
      s <= 1'b1;
    end else if (x[0]) begin
      r <= ~r;
      s <= r & s;
    end
  end
endmodule

module second (
  input wire clk
);
  wire [3:0] x = 4'h0;
endmodule
"""


def changed(mutant):
    """Return the lines that a mutant has other than the text, each without what stands around it."""
    old, new = TEXT.splitlines(), mutant.verilog.splitlines()
    return [line.strip() for line in new if line not in old], [line.strip() for line in old if line not in new]


def test_a_wire_is_driven_by_another_expression_however_it_is_laid_out():
    mutant = drive(TEXT, "x", "~{}", module="first")
    assert "wire [3:0] x = ~(a ? 4'h1\n    : 4'h2);" in mutant.verilog
    assert "wire [3:0] x = 4'h0;" in mutant.verilog
    assert changed(drive(TEXT, "x", "4'h7"))[0] == ["wire [3:0] x = 4'h7;", "wire [3:0] x = 4'h7;"]
    assert changed(drive(TEXT, "b", "1'b0")) == (["assign b = 1'b0;"], ["assign b = |x;"])
    assert changed(drive(TEXT, "y", "x"))[0] == ["assign {y, unused_x_below} = x;"]


def test_a_register_takes_another_value_but_by_its_reset():
    assert changed(load(TEXT, "r", "{} | s")) == (["r <= (~r) | s;"], ["r <= ~r;"])


def test_a_register_keeps_its_value_in_reset():
    assert changed(keep_in_reset(TEXT, "r")) == ([""], ["r <= 1'b0;"])


def test_a_port_is_connected_to_another_expression():
    assert changed(connect(TEXT, "inner", "in", "{} + 7'd1"))[0] == [".clk(a), .in(({x, y}) + 7'd1),"]
    assert changed(connect(TEXT, "inner", "clk", "b"))[0] == [".clk(b), .in({x, y}),"]


def test_a_part_of_an_expression_is_changed():
    assert changed(edit(TEXT, "y", r"4'd1", "4'd2"))[0] == ["assign {y, unused_x_below} = x + 4'd2;"]
    assert changed(edit(TEXT, "s", "&", "|"))[0] == ["s <= r | s;"]


@pytest.mark.parametrize(
    "change",
    [
        lambda: drive(TEXT, "nothing", "1'b0"),
        lambda: drive(TEXT, "b", "1'b0", module="second"),
        lambda: drive(TEXT, "clk", "1'b0"),
        lambda: load(TEXT, "x", "1'b0"),
        lambda: keep_in_reset(TEXT, "x"),
        lambda: connect(TEXT, "inner", "other", "a"),
        lambda: edit(TEXT, "y", "4'd9", "4'd2"),
    ],
)
def test_what_is_not_there_cannot_be_changed(change):
    with pytest.raises(LookupError, match=r"no module|nothing in y matches"):
        change()


def test_random_mutants_are_all_different_and_never_the_text_itself():
    mutants = random_mutants(TEXT, 100, seed=1)
    texts = {mutant.verilog for mutant in mutants}
    assert len(texts) == len(mutants) == 3
    assert TEXT not in texts
    assert mutants == random_mutants(TEXT, 100, seed=1)
