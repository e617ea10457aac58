import numpy as np
import pytest

from macgen.cost.library import liberty
from macgen.cost.netlist.netlist import read_netlist
from macgen.cost.netlist.simulator import NetlistSimulator, from_bits, to_bits
from macgen.cost.synthesize import synthesize_gates
from macgen.errors import MacgenError
from tests.designs import GRID, module, netlist_file, verilog
from tests.optional import TINY_LIBERTY, osu018

TINY = liberty.read(TINY_LIBERTY)
LANES = 128


def simulator(directory, ports, cells, init=None, lanes=64):
    netlist = read_netlist(netlist_file(directory, top=module(ports, cells, init)), "top", TINY)
    return NetlistSimulator(netlist, lanes)


@pytest.mark.parametrize("library", ["generic", "tiny", "osu018"])
def test_a_synthesized_array_computes_what_python_computes(library, tmp_path):
    file = {"generic": lambda: None, "tiny": lambda: TINY_LIBERTY, "osu018": osu018}[library]()
    design = synthesize_gates(verilog(tmp_path, GRID), "grid", workdir=tmp_path / "work", liberty_file=file)
    run = NetlistSimulator(design.netlist, LANES)
    rng = np.random.default_rng(2)
    sums = np.zeros((4, LANES), np.int64)
    seen = sums
    for cycle in range(60):
        a, b = rng.integers(0, 256, (2, LANES))
        reset = rng.random(LANES) < 0.05 if cycle else np.ones(LANES, bool)
        run.set("a", to_bits(a, 8))
        run.set("b", to_bits(b, 8))
        run.set("rst", reset[None])
        if cycle > 1:
            out = run.get("sums")
            assert [from_bits(out[12 * i : 12 * i + 12]).tolist() for i in range(4)] == seen.tolist()
        run.tick()
        seen = sums
        products = [(a >> 4 * (i >> 1) & 15) * (b >> 4 * (i & 1) & 15) for i in range(4)]
        sums = np.where(reset, 0, (sums + np.array(products)) % 4096)


def test_toggles_and_duty_of_an_inverter_by_hand(tmp_path):
    run = simulator(tmp_path, {"a": ("input", [2]), "y": ("output", [3])}, [("INV", {"A": 2, "Y": 3})])
    run.set("a", [[0]])
    run.start_counting()
    lane_by_lane = np.zeros((1, 64), np.uint8)
    lane_by_lane[0, :16] = 1  # in the second cycle a quarter of the lanes rises, and falls again in the fourth
    for bits in ([[0]], lane_by_lane, lane_by_lane, [[0]], [[0]]):
        run.set("a", bits)
        run.tick()
    activity = run.activity()
    netlist = run.netlist
    (a,), (y,) = netlist.ports["a"].nets, netlist.ports["y"].nets
    assert activity.cycles == 5 * 64
    assert activity.toggles[a] == activity.toggles[y] == pytest.approx(2 * 16 / (5 * 64))
    assert activity.duty[a] == pytest.approx(2 * 16 / (5 * 64))
    assert activity.duty[y] == pytest.approx(1 - 2 * 16 / (5 * 64))
    assert activity.toggles[:2].tolist() == [0, 0]
    assert activity.duty[:2].tolist() == [0, 1]


def test_toggles_of_a_binary_counter_by_hand(tmp_path):
    # Two flip-flops count 0, 1, 2, 3: bit 0 toggles each cycle, bit 1 every second, the XOR before it with bit 0.
    cells = [
        ("INV", {"A": 3, "Y": 5}),
        ("XOR2", {"A": 3, "B": 4, "Y": 6}),
        ("DFF", {"D": 5, "CK": 2, "Q": 3}),
        ("DFF", {"D": 6, "CK": 2, "Q": 4}),
    ]
    run = simulator(tmp_path, {"clk": ("input", [2]), "q": ("output", [3, 4])}, cells, init={3: "1"})
    assert from_bits(run.get("q")).tolist() == [1] * 64
    run.start_counting()
    counts = []
    for _ in range(9):
        counts.append(int(from_bits(run.get("q"))[0]))
        run.tick()
    assert counts == [1, 2, 3, 0, 1, 2, 3, 0, 1]
    low, high = run.netlist.ports["q"].nets
    # The first counted cycle has the values that counting started with: 8 changes in 9 cycles.
    assert run.activity().toggles[low] == pytest.approx(8 / 9)
    assert run.activity().toggles[high] == pytest.approx(4 / 9)
    run.start_counting()
    run.tick()
    assert run.activity().cycles == 64


@pytest.mark.parametrize("kind", ["DFFR", "DFFQN"])
def test_inverted_outputs(kind, tmp_path):
    # DFFQN stores !D and shows the complement of that; DFFR has both outputs.
    pins = {"D": 4, "CK": 2, "QN": 3} | ({"RN": "1"} if kind == "DFFR" else {})
    ports = {"clk": ("input", [2]), "d": ("input", [4]), "q": ("output", [3])}
    run = simulator(tmp_path, ports, [(kind, pins)])
    for bit in (0, 1, 1, 0):
        run.set("d", [[bit]])
        run.tick()
        assert run.get("q").tolist() == [[bit if kind == "DFFQN" else 1 - bit] * 64]


def test_asynchronous_reset_acts_at_once(tmp_path):
    ports = {
        "clk": ("input", [2]),
        "d": ("input", [4]),
        "rn": ("input", [5]),
        "q": ("output", [3]),
        "y": ("output", [7]),
    }
    cells = [
        ("DFFR", {"D": 4, "CK": 2, "RN": 5, "Q": 3}),
        # A second one that the first one resets, through a gate.
        ("BUF", {"A": 3, "Y": 6}),
        ("DFFR", {"D": "1", "CK": 2, "RN": 6, "Q": 7}),
    ]
    run = simulator(tmp_path, ports, cells)
    run.set("rn", [[1]])
    run.set("d", [[1]])
    run.tick()
    run.tick()
    assert run.get("q").all()
    assert run.get("y").all()
    some = np.arange(64)[None] % 3 == 0
    run.set("rn", ~some)
    assert run.get("q").tolist() == run.get("y").tolist() == (~some).astype(int).tolist()
    run.set("rn", [[1]])
    assert run.get("q").tolist() == (~some).astype(int).tolist()


def test_generic_flip_flops_with_asynchronous_reset_and_enable(tmp_path):
    text = """module top(input clk, input rst, input rstn, input en, input [2:0] d, output reg [2:0] q);
      always @(posedge clk or posedge rst) if (rst) q[0] <= 1'b0; else if (en) q[0] <= d[0];
      always @(posedge clk or negedge rstn) if (!rstn) q[1] <= 1'b1; else q[1] <= d[1];
      always @(posedge clk) if (rst) q[2] <= 1'b1; else if (en) q[2] <= d[2];
    endmodule"""
    design = synthesize_gates(verilog(tmp_path, text), "top", workdir=tmp_path / "work")
    run = NetlistSimulator(design.netlist)
    rng = np.random.default_rng(3)
    run.set("rst", [[1]])
    run.set("rstn", [[0]])
    run.tick()
    q = [np.zeros(64, int), np.ones(64, int), np.ones(64, int)]
    for _ in range(50):
        rst, rstn, en, *d = rng.integers(0, 2, (6, 64))
        run.set("rst", rst[None])
        run.set("rstn", rstn[None])
        run.set("en", en[None])
        run.set("d", d)
        q[0] = np.where(rst, 0, q[0])
        q[1] = np.where(rstn, q[1], 1)
        # Now and then nobody looks before the clock rises.
        if rng.random() < 0.7:
            assert run.get("q").tolist() == [bits.tolist() for bits in q]
        run.tick()
        q = [
            np.where(rst, 0, np.where(en, d[0], q[0])),
            np.where(rstn, d[1], 1),
            np.where(rst, 1, np.where(en, d[2], q[2])),
        ]


def test_lanes_are_independent_and_packed_in_order():
    codes = np.random.default_rng(4).integers(0, 1 << 63, 70, dtype=np.uint64)
    assert from_bits(to_bits(codes, 64)).tolist() == codes.tolist()
    assert to_bits([6], 4).tolist() == [[0], [1], [1], [0]]


def test_every_lane_keeps_its_own_values(tmp_path):
    run = simulator(tmp_path, {"a": ("input", [2]), "y": ("output", [3])}, [("INV", {"A": 2, "Y": 3})], lanes=192)
    bits = np.random.default_rng(5).integers(0, 2, (1, 192))
    run.set("a", bits)
    assert run.get("y").tolist() == (1 - bits).tolist()
    assert run.get("a").tolist() == bits.tolist()


CLOCK_ERROR = "the flip-flops of netlist top have {} clock nets; accepted is one, an input port by itself"


@pytest.mark.parametrize(
    ("cells", "problem"),
    [
        ([("DFF", {"D": 3, "CK": 2, "Q": 4}), ("DFF", {"D": 3, "CK": 3, "Q": 5})], CLOCK_ERROR.format(2)),
        ([("INV", {"A": 2, "Y": 6}), ("DFF", {"D": 3, "CK": 6, "Q": 4})], CLOCK_ERROR.format(1)),
    ],
)
def test_other_clocks_are_refused(cells, problem, tmp_path):
    with pytest.raises(MacgenError, match=problem):
        simulator(tmp_path, {"clk": ("input", [2]), "d": ("input", [3]), "q": ("output", [4, 5])}, cells)


def test_falling_edge_is_refused(tmp_path):
    text = "module top(input clk, input d, output reg q); always @(negedge clk) q <= d; endmodule"
    design = synthesize_gates(verilog(tmp_path, text), "top", workdir=tmp_path / "work")
    with pytest.raises(MacgenError, match=CLOCK_ERROR.format(1)):
        NetlistSimulator(design.netlist)


@pytest.mark.parametrize("lanes", [0, 1, 63, 65, -64])
def test_wrong_lanes(lanes, tmp_path):
    with pytest.raises(MacgenError, match=f"lanes {lanes} is not a positive multiple of 64"):
        simulator(tmp_path, {"a": ("input", [2]), "y": ("output", [2])}, [], lanes=lanes)


def test_wrong_ports_and_nothing_counted(tmp_path):
    ports = {"clk": ("input", [2]), "d": ("input", [3]), "q": ("output", [4])}
    run = simulator(tmp_path, ports, [("DFF", {"D": 3, "CK": 2, "Q": 4})])
    for name in ("q", "clk", "nothing"):
        with pytest.raises(MacgenError, match=f"netlist top has no input port '{name}' besides the clock"):
            run.set(name, [[0]])
    with pytest.raises(MacgenError, match="netlist top has no port 'e' besides the clock"):
        run.get("e")
    with pytest.raises(MacgenError, match="no cycle of netlist top has been counted"):
        run.activity()
