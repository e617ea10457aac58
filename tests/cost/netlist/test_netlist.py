from itertools import pairwise

import pytest

from macgen.cost.library import liberty
from macgen.cost.netlist.netlist import CONSTANT_0, CONSTANT_1, read_netlist
from macgen.errors import MacgenError
from tests.designs import module, netlist_file
from tests.optional import TINY_LIBERTY

TINY = liberty.read(TINY_LIBERTY)


def inverters(count: int, first: int, last: int) -> list:
    """A chain of inverters from net `first` over new nets from 100 to net `last`."""
    nets = [first, *range(100, 100 + count - 1), last]
    return [("INV", {"A": source, "Y": target}) for source, target in pairwise(nets)]


def read(directory, **modules):
    return read_netlist(netlist_file(directory, **modules), "top", TINY)


@pytest.mark.parametrize("length", [1, 2, 17])
def test_depth_of_a_chain(length, tmp_path):
    top = module({"a": ("input", [2]), "y": ("output", [3])}, inverters(length, 2, 3))
    netlist = read(tmp_path, top=top)
    assert netlist.levels.depth == length
    assert netlist.cell_counts() == {"INV": length}


def test_depth_is_between_registers(tmp_path):
    # port -> 2 inverters -> register -> 3 inverters -> register -> port; the complement output is no gate.
    cells = [
        *[("INV", {"A": a, "Y": y}) for a, y in [(2, 10), (10, 11), (20, 21), (21, 22), (22, 23)]],
        ("DFFR", {"D": 11, "CK": 3, "RN": "1", "Q": 40, "QN": 20}),
        ("DFF", {"D": 23, "CK": 3, "Q": 4}),
    ]
    top = module({"a": ("input", [2]), "clk": ("input", [3]), "y": ("output", [4])}, cells)
    assert read(tmp_path, top=top).levels.depth == 3


def test_depth_takes_the_longest_of_several_paths(tmp_path):
    # The XOR gets one input directly and one through four inverters; a tie cell is no gate.
    cells = [
        *inverters(4, 2, 10),
        ("TIE1", {"Y": 11}),
        ("NAND2", {"A": 2, "B": 11, "Y": 12}),
        ("XOR2", {"A": 12, "B": 10, "Y": 3}),
    ]
    top = module({"a": ("input", [2]), "y": ("output", [3])}, cells)
    assert read(tmp_path, top=top).levels.depth == 5


def test_hierarchy_is_multiplied(tmp_path):
    leaf = module({"i": ("input", [2]), "o": ("output", [3])}, [*inverters(3, 2, 3), ("HA", {"A": 2, "B": 3, "S": 9})])
    pair = module({"i": ("input", [2]), "o": ("output", [3])}, [("leaf", {"i": 2, "o": 5}), ("leaf", {"i": 5, "o": 3})])
    cells = [("pair", {"i": 2, "o": 6}), ("pair", {"i": 6, "o": 7}), ("leaf", {"i": 7, "o": 8}), *inverters(1, 8, 3)]
    netlist = read(tmp_path, top=module({"a": ("input", [2]), "y": ("output", [3])}, cells), pair=pair, leaf=leaf)
    assert netlist.cell_counts() == {"HA": 5, "INV": 16}
    assert netlist.levels.depth == 16
    # Nets: two constants, one input, an output of each inverter, two of each half adder (one of them unconnected).
    assert netlist.net_count == 3 + 16 + 2 * 5


def test_nets_with_two_names_are_one(tmp_path):
    # The inner module passes its input through and drives constants.
    inner = module({"i": ("input", [2]), "o": ("output", [2]), "zero": ("output", ["0"]), "one": ("output", ["1"])}, [])
    top = module(
        {"a": ("input", [2]), "y": ("output", [3]), "c": ("output", [4, 5])},
        [("inner", {"i": 2, "o": 10, "zero": 4, "one": 5}), ("inner", {"i": 10, "o": 3, "zero": 20, "one": 21})],
    )
    netlist = read(tmp_path, top=top, inner=inner)
    assert netlist.ports["y"].nets.tolist() == netlist.ports["a"].nets.tolist()
    assert netlist.ports["c"].nets.tolist() == [CONSTANT_0, CONSTANT_1]
    assert netlist.net_count == 3


def test_outputs_of_an_instance_may_be_left_open(tmp_path):
    inner = module({"i": ("input", [2]), "o": ("output", [3]), "p": ("output", [4])}, [*inverters(2, 2, 3)])
    top = module(
        {"a": ("input", [2]), "y": ("output", [3])}, [("inner", {"i": 2, "o": 3}), ("inner", {"i": 2, "p": 9})]
    )
    assert read(tmp_path, top=top, inner=inner).cell_counts() == {"INV": 4}


def test_initial_values(tmp_path):
    top = module(
        {"clk": ("input", [2]), "q": ("output", [3, 4])},
        [("DFF", {"D": 3, "CK": 2, "Q": 3}), ("DFF", {"D": 4, "CK": 2, "Q": 4})],
        init={3: "1", 4: "0"},
    )
    netlist = read(tmp_path, top=top)
    assert netlist.ones_at_start.tolist() == [netlist.ports["q"].nets[0]]


def test_a_loop_is_refused(tmp_path):
    cells = [("NAND2", {"A": 2, "B": 4, "Y": 5}), ("INV", {"A": 5, "Y": 4}), ("INV", {"A": 4, "Y": 3})]
    netlist = read(tmp_path, top=module({"a": ("input", [2]), "y": ("output", [3])}, cells))
    with pytest.raises(MacgenError, match="the netlist has a combinational loop: 3 gates wait for one another"):
        _ = netlist.levels


@pytest.mark.parametrize(
    ("cell", "problem"),
    [
        (("NAND9", {"Y": 3}), "netlist module top has a cell 'NAND9', which library tiny does not have"),
        (("LATCH", {"D": 2, "G": 2, "Q": 3}), "cell LATCH cannot be simulated, as it has a latch group"),
        (("TBUF", {"A": 2, "EN": 2, "Y": 3}), "cell TBUF cannot be simulated, as it has a three-state output"),
        (("inner", {"o": 3}), "input i of netlist module inner is not connected in an instance"),
        (("both", {"io": 3}), "port io of netlist module both is inout, which is not supported"),
    ],
)
def test_cells_beyond_simulation_are_refused(cell, problem, tmp_path):
    inner = module({"i": ("input", [2]), "o": ("output", [3])}, inverters(1, 2, 3))
    both = module({"io": ("inout", [2])}, [])
    with pytest.raises(MacgenError, match=problem):
        read(tmp_path, top=module({"a": ("input", [2]), "y": ("output", [3])}, [cell]), inner=inner, both=both)


@pytest.mark.parametrize("text", ["", "[]", "{", '{"modules": {}}', '{"creator": "Yosys"}'])
def test_broken_files(text, tmp_path):
    path = tmp_path / "netlist.json"
    path.write_text(text)
    with pytest.raises(
        MacgenError, match=r"netlist .*netlist\.json (cannot be read as Yosys's JSON|has no module 'top')"
    ):
        read_netlist(path, "top", TINY)


def test_missing_file(tmp_path):
    with pytest.raises(MacgenError, match="cannot be read"):
        read_netlist(tmp_path / "nothing.json", "top", TINY)
