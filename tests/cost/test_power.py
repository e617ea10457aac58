import numpy as np
import pytest

from macgen.cost.library import liberty
from macgen.cost.netlist.netlist import read_netlist
from macgen.cost.netlist.simulator import Activity, NetlistSimulator, to_bits
from macgen.cost.power import estimate, typical_slew
from macgen.cost.synthesize import generic_library, synthesize_gates
from tests.designs import GRID, module, netlist_file, verilog
from tests.optional import TINY_LIBERTY

TINY = liberty.read(TINY_LIBERTY)
VOLTAGE = 1.2


def netlist(directory, ports, cells, library=TINY):
    return read_netlist(netlist_file(directory, top=module(ports, cells)), "top", library)


def rates(design, by_port):
    """An activity in which the nets of ports toggle so often a cycle, and the others never."""
    toggles = np.zeros(design.net_count)
    for name, rate in by_port.items():
        toggles[design.ports[name].nets] = rate
    return Activity(64, toggles, np.full(design.net_count, 0.5))


def test_one_inverter_by_hand(tmp_path):
    # Two inverters on the first one's output: it drives 2 x 2.0 fF and 3 fF of wire.
    cells = [("INV", {"A": 2, "Y": 3}), ("INV", {"A": 3, "Y": 4}), ("INV", {"A": 3, "Y": 5})]
    design = netlist(tmp_path, {"a": ("input", [2]), "y": ("output", [3])}, cells)
    power = estimate(design, rates(design, {"y": 0.25}), clock_mhz=100, slew_ns=0.01, wire_ff=3.0)
    internal = (1.0 + 0.5) / 2  # fJ: 1 at the rise and 0.5 at the fall, at slew 0.01 and any load
    switching = (2 * 2.0 + 3.0) * VOLTAGE**2 / 2
    assert power.combinational == pytest.approx(0.25 * (internal + switching) * 100e6 * 1e-15 * 1e3)
    assert power.registers == power.clock == 0
    assert power.leakage == pytest.approx(3 * 1e-6)  # 1 nW each
    assert power.total == pytest.approx(power.combinational + power.leakage)
    # At 100 MHz a cycle has 10 ns: mW x 10 ns = 10 pJ.
    assert power.energy_per_cycle == pytest.approx(power.total * 10)
    assert power.conditions.library == "tiny"
    assert power.conditions.voltage == VOLTAGE
    assert power.conditions.clock_mhz == 100
    assert power.conditions.slew_ns == 0.01
    assert power.conditions.wire_ff == 3.0
    assert "no glitches" in power.conditions.delay_model


def test_energy_belongs_to_the_module_that_drives_the_net(tmp_path):
    # Two instances of an inverter, one after the other, and one inverter of the top's own on the port.
    inside = module({"a": ("input", [2]), "y": ("output", [3])}, [("INV", {"A": 2, "Y": 3})])
    cells = [("INV", {"A": 2, "Y": 3}), ("stage", {"a": 3, "y": 4}), ("stage", {"a": 4, "y": 5})]
    top = module({"a": ("input", [2]), "y": ("output", [5]), "m": ("output", [4])}, cells)
    design = read_netlist(netlist_file(tmp_path, top=top, stage=inside), "top", TINY)
    assert (design.modules, design.instances) == (("top", "stage"), (1, 2))
    assert design.by_module({"INV": 3.0}).tolist() == [3.0, 6.0]
    power = estimate(design, rates(design, {"a": 0.5, "m": 0.25}), clock_mhz=1000, slew_ns=0.01)
    switching = 2.0 * VOLTAGE**2 / 2  # each net has one pin of 2 fF
    assert power.modules["top"] == pytest.approx(0.5 * switching * 1e-3 + 1e-6)
    assert power.modules["stage"] == pytest.approx(0.25 * (0.75 + switching) * 1e-3 + 2e-6)
    assert sum(power.modules.values()) == pytest.approx(power.total)


def test_the_clocks_energy_belongs_to_the_module_of_its_pins(tmp_path):
    inside = module({"c": ("input", [2]), "d": ("input", [3])}, [("DFF", {"D": 3, "CK": 2, "Q": 4})])
    ports = {"clk": ("input", [2]), "d": ("input", [3])}
    top = module(ports, [("register", {"c": 2, "d": 3})])
    design = read_netlist(netlist_file(tmp_path, top=top, register=inside), "top", TINY)
    power = estimate(design, rates(design, {"d": 0.5}), clock_mhz=1000, slew_ns=0.01)
    assert power.modules["top"] == pytest.approx(0.5 * 1.8 * VOLTAGE**2 / 2 * 1e-3)  # the port drives D
    clock = 2 + 4 + 1.0 * VOLTAGE**2
    assert power.modules["register"] == pytest.approx((clock + 0.5 * 2) * 1e-3 + 7e-6)
    assert sum(power.modules.values()) == pytest.approx(power.total)


def test_input_ports_pay_for_the_pins_they_drive(tmp_path):
    design = netlist(tmp_path, {"a": ("input", [2]), "y": ("output", [3])}, [("INV", {"A": 2, "Y": 3})])
    power = estimate(design, rates(design, {"a": 1.0}), clock_mhz=1000, slew_ns=0.01)
    assert power.combinational == pytest.approx(2.0 * VOLTAGE**2 / 2 * 1e-3)


@pytest.mark.parametrize(("a", "b", "energy"), [(0.5, 0.0, 0.9), (0.0, 0.5, 1.5), (0.1, 0.3, 1.35), (0.0, 0.0, 1.2)])
def test_energy_is_that_of_the_inputs_that_toggle(a, b, energy, tmp_path):
    # NAND2 from A: 1.2 and 0.6 fJ; from B at slew 0.01 ns and load 1 fF: 2.4 and 0.6 fJ; the mean where none toggles.
    ports = {"a": ("input", [2]), "b": ("input", [3]), "y": ("output", [4])}
    design = netlist(tmp_path, ports, [("NAND2", {"A": 2, "B": 3, "Y": 4})])
    activity = rates(design, {"a": a, "b": b, "y": 1.0})
    power = estimate(design, activity, clock_mhz=1000, slew_ns=0.01, wire_ff=0.0)
    inputs = (a * 2.0 + b * 2.5) * VOLTAGE**2 / 2
    # The output drives nothing: the load is 0, and the table goes on along its line, 2.4 to 4.8 fJ over 20 fF.
    energy -= (b / (a + b) if a + b else 0.5) * 2.4 / 20 / 2
    assert power.combinational == pytest.approx((energy + inputs) * 1e-3)


def test_flip_flop_by_hand(tmp_path):
    ports = {"clk": ("input", [2]), "d": ("input", [3]), "q": ("output", [4])}
    cells = [("DFF", {"D": 3, "CK": 2, "Q": 4}), ("INV", {"A": 4, "Y": 5})]
    design = netlist(tmp_path, ports, cells)
    activity = rates(design, {"d": 0.4, "q": 0.2})
    power = estimate(design, activity, clock_mhz=1000, slew_ns=0.01)
    # Clock: 2 fJ at the rise, 4 at the fall, and 1 fF charged once a cycle.
    assert power.clock == pytest.approx((2 + 4 + 1.0 * VOLTAGE**2) * 1e-3)
    # D: 1 or 3 fJ an edge as the clock is high or low, by the file; Q: 4 at the rise, 2 at the fall, into 2 fF.
    assert power.registers == pytest.approx((0.4 * 2 + 0.2 * (3 + 2.0 * VOLTAGE**2 / 2)) * 1e-3)
    assert power.combinational == pytest.approx(0.4 * 1.8 * VOLTAGE**2 / 2 * 1e-3)  # the port drives D
    assert power.leakage == pytest.approx((7 + 1) * 1e-6)


def test_both_outputs_of_a_flip_flop_draw_energy(tmp_path):
    def registers(pins):
        ports = {"clk": ("input", [2]), "rn": ("input", [3]), "q": ("output", [4])}
        design = netlist(tmp_path, ports, [("DFFR", {"D": 4, "CK": 2, "RN": 3, **pins})])
        run = NetlistSimulator(design)
        run.set("rn", [[1]])
        run.start_counting()
        for _ in range(8):
            run.tick()
        return estimate(design, run.activity(), clock_mhz=1000, slew_ns=0.01).registers

    # D is the complement: Q toggles each cycle, and so does QN, whether or not a net is on it.
    toggles = 7 / 8
    data = 1.8 * VOLTAGE**2 / 2 + 2  # the net to D, and D's own energy
    assert registers({"QN": 4}) == pytest.approx(toggles * (3 + 3 + data) * 1e-3)


def test_slew_is_the_librarys_own_unless_stated(tmp_path):
    design = netlist(tmp_path, {"a": ("input", [2]), "y": ("output", [3])}, [("INV", {"A": 2, "Y": 3})])
    activity = rates(design, {"y": 1.0})
    assert typical_slew(TINY) == 0.01
    assert estimate(design, activity, clock_mhz=1).conditions.slew_ns == 0.01
    slow = estimate(design, activity, clock_mhz=1000, slew_ns=0.1)
    fast = estimate(design, activity, clock_mhz=1000, slew_ns=0.01)
    assert slow.combinational - fast.combinational == pytest.approx(0.75e-3)
    assert typical_slew(generic_library()) == 0.0


def test_power_grows_with_the_clock_but_leakage_does_not(tmp_path):
    design = synthesize_gates(verilog(tmp_path, GRID), "grid", workdir=tmp_path / "work")
    run = NetlistSimulator(design.netlist)
    rng = np.random.default_rng(6)
    run.set("rst", [[0]])
    for cycle in range(40):
        run.set("a", to_bits(rng.integers(0, 256, 64), 8))
        run.set("b", to_bits(rng.integers(0, 256, 64), 8))
        if cycle == 8:
            run.start_counting()
        run.tick()
    slow, fast = (estimate(design.netlist, run.activity(), clock_mhz=clock) for clock in (100, 1000))
    for part in ("combinational", "registers", "clock"):
        assert getattr(fast, part) == pytest.approx(10 * getattr(slow, part))
        assert getattr(slow, part) > 0
    assert fast.leakage == slow.leakage > 0


def test_quiet_operands_draw_less(tmp_path):
    design = synthesize_gates(verilog(tmp_path, GRID), "grid", workdir=tmp_path / "work", liberty_file=TINY_LIBERTY)

    def power(most):
        run = NetlistSimulator(design.netlist)
        rng = np.random.default_rng(7)
        run.set("rst", [[0]])
        run.start_counting()
        for _ in range(40):
            run.set("a", to_bits(rng.integers(0, most, 64), 8))
            run.set("b", to_bits(rng.integers(0, most, 64), 8))
            run.tick()
        return estimate(design.netlist, run.activity(), clock_mhz=500)

    zero, some, random = power(1), power(16), power(256)
    assert zero.combinational == zero.registers == 0
    assert zero.clock == some.clock == random.clock > 0
    assert 0 < some.combinational < random.combinational
