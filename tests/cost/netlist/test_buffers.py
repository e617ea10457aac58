import pytest

from macgen.cost.library import liberty
from macgen.cost.netlist.buffers import MOST_LOAD, insert_buffers
from macgen.cost.netlist.netlist import read_netlist
from macgen.cost.netlist.simulator import NetlistSimulator
from tests.designs import module, netlist_file
from tests.optional import TINY_LIBERTY

TINY = liberty.read(TINY_LIBERTY)
LIMIT = MOST_LOAD * 2.0  # tiny.lib: an inverter takes 2.0 fF, a buffer too

LEAF = module(
    {"clk": ("input", [2]), "s": ("input", [3]), "q": ("output", [4])},
    [("NAND2", {"A": 3, "B": 4, "Y": 5}), ("NAND2", {"A": 3, "B": 5, "Y": 6}), ("DFF", {"D": 6, "CK": 2, "Q": 4})],
)
"""Its input s carries 4.0 fF."""


def broadcast(instances: int):
    """A top module with one inverter that drives input s of so many leaves."""
    cells = [("INV", {"A": 3, "Y": 4})]
    cells += [("leaf", {"clk": 2, "s": 4, "q": 10 + place}) for place in range(instances)]
    outputs = [10 + place for place in range(instances)]
    return module({"clk": ("input", [2]), "a": ("input", [3]), "q": ("output", outputs)}, cells)


def loads(modules) -> dict[int, float]:
    """Capacitance on each net of the top module, leaves at 4.0 fF."""
    total: dict[int, float] = {}
    for cell in modules["top"]["cells"].values():
        for pin, (bit,) in cell["connections"].items():
            if (cell["type"], pin) in (("leaf", "s"), ("BUF", "A")):
                total[bit] = total.get(bit, 0) + (4.0 if cell["type"] == "leaf" else 2.0)
    return total


@pytest.mark.parametrize(
    ("instances", "buffers"),
    [
        (1, 0),
        (4, 0),  # 16 fF: just what a net may carry
        (5, 2),  # four and one
        (32, 8),
        (33, 9 + 2),  # nine buffers of 2 fF are too many for one net again
        (300, 75 + 10 + 2),
    ],
)
def test_trees_are_as_small_as_the_limit_allows(instances, buffers):
    modules = {"top": broadcast(instances), "leaf": LEAF}
    assert insert_buffers(modules, "top", TINY) == buffers
    kinds = [cell["type"] for cell in modules["top"]["cells"].values()]
    assert kinds.count("BUF") == buffers
    assert kinds.count("leaf") == instances
    assert max(loads(modules).values()) <= LIMIT


def test_the_netlist_computes_the_same(tmp_path):
    def outputs(buffered: bool):
        modules = {"top": broadcast(40), "leaf": LEAF}
        if buffered:
            assert insert_buffers(modules, "top", TINY) > 0
        run = NetlistSimulator(read_netlist(netlist_file(tmp_path, **modules), "top", TINY))
        seen = []
        for bit in (0, 1, 1, 0, 0, 1, 0, 1, 1, 1):
            run.set("a", [[bit]])
            run.tick()
            seen.append(run.get("q")[:, 0].tolist())
        return seen

    assert outputs(buffered=True) == outputs(buffered=False)
    assert len({tuple(row) for row in outputs(buffered=True)}) > 1


def test_loads_add_up_through_the_hierarchy():
    # Each row carries 3 x 4 fF on its input, so the top net carries 3 x 12 fF: one buffer for each row.
    rows = [("leaf", {"clk": 2, "s": 3, "q": 10 + place}) for place in range(3)]
    row = module({"clk": ("input", [2]), "s": ("input", [3]), "q": ("output", [10])}, rows)
    cells = [("row", {"clk": 2, "s": 3, "q": 10 + place}) for place in range(3)]
    top = module({"clk": ("input", [2]), "s": ("input", [3]), "q": ("output", [10])}, cells)
    modules = {"top": top, "row": row, "leaf": LEAF}
    assert insert_buffers(modules, "top", TINY) == 0  # each row is too much to share a buffer
    modules["top"] = module(
        {"clk": ("input", [2]), "s": ("input", [3]), "q": ("output", [10])},
        [*cells, *[("INV", {"A": 3, "Y": 20 + place}) for place in range(6)]],
    )
    assert insert_buffers(modules, "top", TINY) == 4  # a row each, and the six inverters


def test_the_clock_gets_no_buffers():
    modules = {"top": broadcast(4), "leaf": LEAF}
    modules["top"]["cells"].update(
        {
            f"more{place}": {"type": "leaf", "connections": {"clk": [2], "s": ["0"], "q": [100 + place]}}
            for place in range(90)
        }
    )
    assert insert_buffers(modules, "top", TINY) == 0


def test_nets_within_one_module_are_left_alone():
    cells = [("INV", {"A": 2, "Y": 10 + place}) for place in range(50)]
    modules = {"top": module({"a": ("input", [2])}, cells)}
    assert insert_buffers(modules, "top", TINY) == 0
