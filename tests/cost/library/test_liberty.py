import gzip
import math
import re
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from macgen import tools
from macgen.cost.library import boolean, liberty, liberty_grammar
from macgen.errors import MacgenError
from tests.optional import TINY_LIBERTY, osu018

MINIMAL = """library (l) {
  nom_voltage : 1.0;
  capacitive_load_unit (1, ff);
  power_lut_template (t) {
    variable_1 : input_transition_time;  index_1 ("1, 2");
  }
  cell (INV) {
    area : 2;
    pin (A) { direction : input; capacitance : 1; }
    pin (Y) {
      direction : output;
      function : "!A";
      internal_power () { related_pin : "A"; rise_power (t) { values ("1, 2"); } }
    }
  }
}
"""


def read(text: str, path: Path) -> liberty.Library:
    path.write_text(text)
    return liberty.read(path)


@pytest.fixture(scope="module")
def tiny() -> liberty.Library:
    return liberty.read(TINY_LIBERTY)


def test_units_voltage_and_capacitances(tiny):
    # By hand: capacitances are in pF, leakage in uW, and the operating conditions override nom_voltage.
    assert tiny.voltage == 1.2
    assert tiny.cells["NAND2"].pins["B"].capacitance == pytest.approx(2.5)
    assert tiny.cells["NAND2"].leakage == pytest.approx(1.5)
    assert tiny.cells["NAND2"].area == 1.25


def test_leakage_is_the_mean_over_states_where_none_is_stated(tiny):
    assert tiny.cells["DFF"].leakage == pytest.approx((8 + 6) / 2)


def test_functions(tiny):
    def table(cell: str, pin: str, *variables: str) -> int:
        function = tiny.cells[cell].pins[pin].function
        assert function is not None
        return function.truth_table(variables)

    assert table("INV", "Y", "A") == 0b01
    assert table("MUX2", "Y", "A", "B", "S") == 0b1100_1010
    assert table("AOI21", "Y", "A", "B", "C") == 0b0000_0111
    assert table("HA", "S", "A", "B") == 0b0110
    assert table("HA", "CO", "A", "B") == 0b1000
    assert table("TIE1", "Y") == 1


def test_flip_flops(tiny):
    flip_flop = tiny.cells["DFFR"].flip_flop
    assert flip_flop is not None
    assert flip_flop.next_state == boolean.parse("D")
    assert flip_flop.clocked_on == boolean.parse("CK")
    assert flip_flop.clear == boolean.parse("!RN")
    assert flip_flop.preset is None
    assert tiny.cells["DFFR"].pins["QN"].function == boolean.parse(flip_flop.inverted_state)


def test_cells_beyond_simulation_are_marked(tiny):
    reasons = {cell.name: cell.unsupported for cell in tiny.cells.values() if cell.unsupported}
    assert reasons == {"LATCH": "a latch group", "TBUF": "a three-state output"}


def test_energy_table_with_slew_first(tiny):
    # BUF, rise: 2 fJ/V^2 at slew 0.01 ns and twice that at 0.1 ns, at any load; in 1 pF x (1 V)^2 = 1000 fJ units.
    (energy,) = tiny.cells["BUF"].pins["Y"].energies
    assert energy.related_pin == "A"
    assert energy.rise(0.01, np.array([1.0, 3.0, 50.0])) == pytest.approx([2.0, 2.0, 2.0])
    assert energy.rise(0.055, np.array([1.0])) == pytest.approx([3.0])
    assert energy.fall(0.1, np.array([1.0])) == pytest.approx([2.0])


def test_energy_table_with_load_first(tiny):
    # NAND2 from pin B: rows are loads 1 and 21 fF, columns slews 0.01, 0.1 and 0.4 ns.
    energy = next(energy for energy in tiny.cells["NAND2"].pins["Y"].energies if energy.related_pin == "B")
    assert energy.rise.slews == pytest.approx((0.01, 0.1, 0.4))
    assert energy.rise.loads == pytest.approx((1.0, 21.0))
    assert energy.rise(0.01, np.array([1.0, 21.0, 11.0])) == pytest.approx([2.4, 4.8, 3.6])
    assert energy.rise(0.4, np.array([1.0])) == pytest.approx([7.2])
    assert energy.rise(0.1, np.array([41.0])) == pytest.approx([8.4])  # beyond the table: on along the line
    assert energy.fall(0.3, np.array([7.0])) == pytest.approx([0.6])  # a scalar


def test_one_table_for_both_edges(tiny):
    first, second = tiny.cells["DFF"].pins["D"].energies
    assert first.rise(0.1, np.array([0.0])) == first.fall(0.1, np.array([0.0])) == pytest.approx([2.0])
    assert second.rise(0.01, np.array([0.0])) == pytest.approx([3.0])


def test_smallest_cells(tiny):
    assert tiny.nand2.name == "NAND2"
    assert tiny.buffer is not None
    assert tiny.buffer.name == "BUF"
    assert tiny.inverter is not None
    assert tiny.inverter.name == "INV"


def test_gzipped_file_reads_the_same(tiny, tmp_path):
    packed = tmp_path / "tiny.lib.gz"
    packed.write_bytes(gzip.compress(TINY_LIBERTY.read_bytes()))
    assert list(liberty.read(packed).cells) == list(tiny.cells)


def yosys_areas(path: Path, cells: list[str], tmp_path: Path) -> dict[str, float]:
    """What Yosys reads as the area of each cell, from its statistics of modules with one instance each."""
    (tmp_path / "library.lib").write_text(liberty_grammar.read_text(path))
    modules = "".join(f"(* keep *) module only_{cell}; (* keep *) {cell} u (); endmodule\n" for cell in cells)
    (tmp_path / "cells.v").write_text(modules)
    yosys = tools.require("yosys")
    script = "read_liberty -lib library.lib; read_verilog cells.v; stat -liberty library.lib"
    log = tmp_path / "log"
    tools.run([*yosys.command, "-p", script], cwd=tmp_path, log=log, timeout=300, env=yosys.environment())
    return {
        name: float(area)
        for name, area in re.findall(r"Chip area for module '\\only_(\w+)': ([\d.]+)", log.read_text())
    }


def check_against_yosys(path: Path, tmp_path: Path) -> None:
    library = liberty.read(path)
    areas = yosys_areas(path, list(library.cells), tmp_path)
    assert len(areas) >= len(library.cells) - 1 > 10
    # Yosys prints no area of 0, which osu018's LATCH has.
    assert {name: areas.get(name, 0) for name in library.cells} == pytest.approx(
        {name: cell.area for name, cell in library.cells.items()}
    )


def test_areas_equal_those_yosys_reads(tmp_path):
    check_against_yosys(TINY_LIBERTY, tmp_path)


def test_areas_of_a_real_library_equal_those_yosys_reads(tmp_path):
    check_against_yosys(osu018(), tmp_path)


def test_a_real_library():
    library = liberty.read(osu018())
    assert library.voltage == 1.8
    assert library.nand2.name == "NAND2X1"
    assert {name for name, cell in library.cells.items() if cell.unsupported} == {"LATCH", "TBUFX1", "TBUFX2"}
    cell = library.cells["DFFPOSX1"]
    assert cell.pins["D"].capacitance == pytest.approx(8.82947)
    (clock_energy,) = cell.pins["CLK"].energies
    assert clock_energy.fall(0.24, np.array([0.0])) == pytest.approx([129.769])  # the file says 0.129769 pJ
    assert library.cells["FAX1"].pins["YC"].function is not None


@pytest.mark.parametrize(
    ("old", "new", "line", "problem"),
    [
        ("cell (INV) {", "cell (INV {", 7, r"'\)' expected, found '{'"),
        ("area : 2;", "area : two;", 7, "area 'two' is not a number"),
        ("capacitance : 1;", "capacitance : nan;", 9, "capacitance 'nan' is not a number"),
        ('"!A"', '"!A &"', 10, "function: Boolean expression '!A &' ends where an operand is expected"),
        ('"!A"', '"!A', 13, "unexpected '\"'"),
        ("rise_power (t)", "rise_power (u)", 13, "table template 'u' is not defined in the library"),
        ('values ("1, 2")', 'values ("1, 2, 3")', 13, "the table has 3 values, but its axes ask for 2 finite ones"),
        ('values ("1, 2")', 'values ("1, x")', 13, "'x' in a table is not a number"),
        ('index_1 ("1, 2")', 'index_1 ("2, 1")', 13, "the points of a table's axis do not ascend"),
        ("input_transition_time", "temperature", 13, "a power table over 'temperature' is not supported"),
        ("(1, ff)", "(1, farad)", 1, "capacitive_load_unit '1, farad' is not a positive number and ff or pf"),
        ("nom_voltage : 1.0", "nom_voltage : 0", 1, "the library states no positive nom_voltage"),
        ("cell (INV)", "cell ()", 7, "the cell has no name"),
        ("cell (INV)", "shell (INV)", 1, "the library has no cells"),
        ("  }\n}\n", "  }\n", 16, "the name of an attribute or group expected, found 'the end of the file'"),
        ("area : 2;", "area : {", 8, "the value of an attribute expected, found '{'"),
        ("cell (INV)", "/* cell (INV)", 7, "unexpected '/'"),
        ("area : 2;", "a (x) {" * 60, 8, "groups are nested more than 40 deep"),
        *(
            ("area : 2;", f"area : {text};", 7, f"area '{text}' is not a number")
            for text in ("nan", "-inf", "1e999", "1e31", "1_0", "0x2", "1.2.3", "\u0662")
        ),
        ("area : 2;", "area : -2;", 7, "area '-2' is not a number from 0"),
        ("area : 2;", "cell_leakage_power : -2;", 7, "cell_leakage_power '-2' is not a number from 0"),
        ("area : 2;", "leakage_power () { value : -2; }", 7, "the mean leakage of the cell's states is -2; accepted"),
        ("capacitance : 1;", "capacitance : -1;", 9, "capacitance '-1' is not a number from 0"),
        ("nom_voltage : 1.0", "nom_voltage : -1", 1, "the library states no positive nom_voltage"),
        *(
            ("(1, ff)", f"({text}, ff)", 1, f"capacitive_load_unit '{text}, ff' is not a positive number and ff or pf")
            for text in ("nan", "-1", "0", "inf", "1e400", "1e-40", "x")
        ),
        *(
            ("nom_voltage : 1.0;", f'nom_voltage : 1; {unit}_unit : "{text}";', 1, f"{unit}_unit '{text}' is not a pos")
            for unit, text in (
                ("voltage", "1.2.3V"),
                ("voltage", "0V"),
                ("voltage", "-1V"),
                ("voltage", "1e999V"),
                ("voltage", "nanV"),
                ("time", "0ns"),
                ("time", "1..0ns"),
                ("leakage_power", "infnW"),
                ("leakage_power", "1e-99nW"),
            )
        ),
        ('"!A"', '"' + "(" * 1000 + "A" + ")" * 1000 + '"', 10, r"function: Boolean .* nested more than 40 deep"),
        ('values ("1, 2")', 'values ("1, nan")', 13, "'nan' in a table is not a number"),
        ('values ("1, 2")', 'values ("1, 1e300")', 13, "'1e300' in a table is not a number"),
    ],
)
def test_malformed_files_name_line_and_problem(old, new, line, problem, tmp_path):
    assert old in MINIMAL
    with pytest.raises(MacgenError, match=rf"^Liberty file .*bad\.lib line {line}: {problem}") as caught:
        read(MINIMAL.replace(old, new, 1), tmp_path / "bad.lib")
    assert "\n" not in str(caught.value)


def test_the_malformed_ones_start_from_a_sound_one(tmp_path):
    assert read(MINIMAL, tmp_path / "good.lib").cells["INV"].area == 2


@pytest.mark.parametrize("data", [b"", b"\x1f\x8b\x08broken", b"cell (INV) {}", b"\xff\xfe\x00binary"])
def test_other_files_are_refused(data, tmp_path):
    path = tmp_path / "other.lib"
    path.write_bytes(data)
    with pytest.raises(MacgenError, match=r"^Liberty file .*other\.lib"):
        liberty.read(path)


@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzip"])
def test_files_that_are_too_large(pack, tmp_path, monkeypatch):
    path = tmp_path / "large.lib"
    monkeypatch.setattr(liberty_grammar, "MAX_BYTES", 1000)
    path.write_bytes(pack(MINIMAL.encode() + b" " * (1000 - len(MINIMAL))))
    assert "INV" in liberty.read(path).cells
    path.write_bytes(pack(MINIMAL.encode() + b" " * (1001 - len(MINIMAL))))
    with pytest.raises(
        MacgenError, match=r"large\.lib has more than 1000 bytes, unpacked; accepted are at most as many$"
    ):
        liberty.read(path)


def test_unpacking_ends_at_the_limit(tmp_path, monkeypatch):
    path = tmp_path / "bomb.lib.gz"
    path.write_bytes(gzip.compress(bytes(1 << 26), 1))
    monkeypatch.setattr(liberty_grammar, "MAX_BYTES", 1 << 20)
    tracemalloc.start()
    with pytest.raises(MacgenError, match="more than 1048576 bytes"):
        liberty.read(path)
    assert tracemalloc.get_traced_memory()[1] < 1 << 23
    tracemalloc.stop()


def test_missing_file(tmp_path):
    with pytest.raises(MacgenError, match=r"nothing\.lib cannot be read: No such file or directory"):
        liberty.read(tmp_path / "nothing.lib")


def test_comments_to_the_end_of_the_line(tmp_path):
    text = MINIMAL.replace("area : 2;", "area : 2; // area : 3;\n// }")
    assert read(text, tmp_path / "l.lib").cells["INV"].area == 2


def test_a_library_without_a_nand_has_no_unit(tmp_path):
    with pytest.raises(MacgenError, match="Liberty library l has no two-input NAND cell with an area"):
        _ = read(MINIMAL, tmp_path / "l.lib").nand2


def check_damaged(data, sound, tmp_path_factory):
    """A sound file with some bytes changed, left out or put in, packed or not: a library, or a sentence."""
    where = bytearray(sound)
    put = st.text(alphabet='{}();:,"/*\\!&0a\n -.e', max_size=5).map(str.encode) | st.binary(max_size=3)
    if data.draw(st.integers(0, 3)) == 0:
        where = bytearray(gzip.compress(where))
    for _ in range(data.draw(st.integers(1, 3))):
        start = data.draw(st.integers(0, len(where)))
        where[start : start + data.draw(st.integers(0, 40))] = data.draw(put)
    path = tmp_path_factory.getbasetemp() / "damaged.lib"
    path.write_bytes(where)
    try:
        library = liberty.read(path)
    except MacgenError as error:
        assert "damaged.lib" in str(error)
        assert "\n" not in str(error)
    else:
        assert library.voltage > 0
        assert all(0 <= cell.area < math.inf and 0 <= cell.leakage < math.inf for cell in library.cells.values())


@given(data=st.data())
def test_damaged_files_give_a_sentence_or_a_library(data, tmp_path_factory):
    check_damaged(data, MINIMAL.encode(), tmp_path_factory)


@pytest.mark.prove
@given(data=st.data())
@settings(max_examples=3000)
def test_many_damaged_files_give_a_sentence_or_a_library(data, tmp_path_factory):
    check_damaged(data, data.draw(st.sampled_from([MINIMAL.encode(), TINY_LIBERTY.read_bytes()])), tmp_path_factory)
