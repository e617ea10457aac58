"""Cells as Verilog, simulated with Icarus: functions, clocks, clears, presets, and what is undefined."""

import itertools
import subprocess

import pytest

from macgen.cost.library import liberty
from macgen.cost.netlist.cell_models import cell_models, identifier
from macgen.cost.synthesize import generic_library
from macgen.errors import MacgenError
from tests.optional import TINY_LIBERTY, need, osu018

FLIP_FLOPS = """library (ff) { nom_voltage : 1.0; capacitive_load_unit (1, ff);
  cell (RISES) { area : 1; ff (IQ, IQN) { next_state : "D & E"; clocked_on : "C"; }
    pin (D) { direction : input; capacitance : 1; } pin (E) { direction : input; capacitance : 1; }
    pin (C) { direction : input; capacitance : 1; }
    pin (Q) { direction : output; function : "IQ"; } pin (N) { direction : output; function : "IQN"; } }
  cell (FALLS) { area : 1; ff (IQ, IQN) { next_state : "D"; clocked_on : "!C"; clear : "!R"; preset : "S"; }
    pin (D) { direction : input; capacitance : 1; } pin (C) { direction : input; capacitance : 1; }
    pin (R) { direction : input; capacitance : 1; } pin (S) { direction : input; capacitance : 1; }
    pin (Q) { direction : output; function : "IQ"; } }
  cell (NAND) { area : 1; pin (A) { direction : input; capacitance : 1; }
    pin (B) { direction : input; capacitance : 1; } pin (Y) { direction : output; function : "!(A & B)"; } }
}
"""


def simulated(directory, text, statements, declarations=""):
    """What a test bench around cells prints."""
    (directory / "cells.v").write_text(text)
    (directory / "bench.v").write_text(f"module bench;\n{declarations}\ninitial begin\n{statements}\nend\nendmodule\n")
    program = directory / "bench"
    subprocess.run(
        ["iverilog", "-g2001", "-Wall", "-o", program, directory / "cells.v", directory / "bench.v"],
        check=True, timeout=120,
    )  # fmt: skip
    return subprocess.run(["vvp", program], capture_output=True, text=True, check=True, timeout=120).stdout.split()


@pytest.mark.parametrize("library", ["generic", "tiny", pytest.param("osu018", marks=pytest.mark.prove)])
def test_every_cells_function(library, tmp_path):
    need("iverilog")
    file = {"tiny": lambda: TINY_LIBERTY, "osu018": osu018}.get(library)
    cells = generic_library() if file is None else liberty.read(file())
    states = (None, None)
    plain = [
        cell
        for cell in cells.cells.values()
        if cell.unsupported is None and (cell.flip_flop, cell.clock_gate) == states
    ]
    instances, statements, wanted = [], [], []
    for number, cell in enumerate(plain):
        inputs = tuple(pin.name for pin in cell.inputs)
        outputs = [pin for pin in cell.outputs if pin.function is not None]
        pins = [f".{identifier(name)}(i[{place}])" for place, name in enumerate(inputs)]
        pins += [f".{identifier(pin.name)}(o{number}[{place}])" for place, pin in enumerate(outputs)]
        instances.append(
            f"wire [{len(outputs) - 1}:0] o{number}; {identifier(cell.name)} c{number} ({', '.join(pins)});"
        )
        for row in range(1 << len(inputs)):
            statements.append(f'i = {row}; #1 $display("%b", o{number});')
            # Bit `row` of the table is the value where bit j of the row is that of input j.
            wanted.append("".join(str(pin.function.truth_table(inputs) >> row & 1) for pin in reversed(outputs)))
    text = cell_models(cells, [cell.name for cell in plain])
    assert simulated(tmp_path, text, "\n".join(statements), "\n".join(["reg [9:0] i;", *instances])) == wanted


def test_flip_flops(tmp_path):
    need("iverilog")
    (tmp_path / "ff.lib").write_text(FLIP_FLOPS)
    library = liberty.read(tmp_path / "ff.lib")
    declarations = """reg c, d, e, r, s; wire q, n, f;
        RISES rises (.D(d), .E(e), .C(c), .Q(q), .N(n)); FALLS falls (.D(d), .C(c), .R(r), .S(s), .Q(f));"""
    drive = 'c = {}; d = {}; e = {}; r = {}; s = {}; #1 $display("%b%b%b", q, n, f);'
    steps = [
        ((0, 1, 1, 0, 0), None),  # cleared; what rises is what it was when the power came on
        ((1, 1, 1, 0, 0), "100"),  # rises, loads 1; the other one stays cleared
        ((1, 1, 1, 1, 0), "100"),
        ((0, 1, 1, 1, 0), "101"),  # falls, loads 1
        ((1, 1, 0, 1, 0), "011"),  # loads D & E
        ((1, 0, 1, 0, 0), "010"),  # cleared without a clock
        ((1, 0, 1, 1, 1), "011"),  # preset without a clock
        ((0, 0, 1, 1, 0), "010"),
    ]
    text = cell_models(library, ["RISES", "FALLS"])
    printed = simulated(tmp_path, text, "\n".join(drive.format(*values) for values, _ in steps), declarations)
    for (values, wanted), got in itertools.zip_longest(steps, printed):
        assert got == wanted or wanted is None, values
    assert printed[0] in ("010", "100")  # defined, whatever it is


def test_what_is_undefined_is_taken_as_something(tmp_path):
    need("iverilog")
    (tmp_path / "ff.lib").write_text(FLIP_FLOPS)
    text = cell_models(liberty.read(tmp_path / "ff.lib"), ["RISES", "NAND"])
    declarations = """reg c, d; wire q, n, y; integer k;
        RISES rises (.D(d), .E(1'b1), .C(c), .Q(q), .N(n)); NAND nand_0 (.A(d), .B(q), .Y(y));"""
    statements = 'for (k = 0; k < 40; k = k + 1) begin c = 0; #1 c = 1; #1 $display("%b", q); end'
    assert set(simulated(tmp_path, text, statements, declarations)) == {"0", "1"}


def test_cells_that_are_not_there_are_refused():
    with pytest.raises(MacgenError) as error:
        cell_models(generic_library(), ["$_TBUF_"])
    assert str(error.value) == "library generic45 has no cell '$_TBUF_'; accepted are netlists of its cells"
