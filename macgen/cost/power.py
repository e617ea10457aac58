"""Power of a mapped netlist from toggle counts: tabulated internal energies, switched capacitance, clock and leakage.

A toggle of a net costs C V^2 / 2 for its load C (the pins on it, and a stated wire capacitance), and the driving cell's
internal energy at that load and a stated input slew; the rise's and the fall's energy are averaged. Where a table
distinguishes the input that causes the toggle, the inputs weigh as often as they toggle themselves; where it
distinguishes states (`when`), these weigh alike.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from macgen.cost.library.liberty import Cell, InternalEnergy, Library, Pin
from macgen.cost.netlist.levels import Nets
from macgen.cost.netlist.netlist import CONSTANT_1, Netlist
from macgen.cost.netlist.simulator import Activity

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Conditions:
    """What a power figure holds for.

    Attributes:
        library: name of the cell library.
        voltage: supply in V.
        clock_mhz: clock frequency.
        slew_ns: input slew at which internal energies are taken.
        wire_ff: wire capacitance added to each net.
        delay_model: what the toggle counts do not see.
    """

    library: str
    voltage: float
    clock_mhz: float
    slew_ns: float
    wire_ff: float
    delay_model: str = "zero delay: no glitches"


@dataclass(frozen=True)
class Power:
    """A power estimate, in mW at the stated clock.

    Attributes:
        combinational: gates and the nets they or the input ports drive.
        registers: flip-flops' outputs and data pins, and the nets they drive.
        clock: clock pins of the flip-flops, clock gates, and the nets to them, without a clock tree.
        leakage: all cells, at any clock.
        modules: all of it by the module that cells stand in, the top first. A net's energy is that of the cell that
            drives it; the input ports' is the top's, but for the clock's, which is that of the pins it drives.
        conditions: what the figures hold for.
    """

    combinational: float
    registers: float
    clock: float
    leakage: float
    modules: Mapping[str, float]
    conditions: Conditions

    @property
    def total(self) -> float:
        """All of it, in mW."""
        return self.combinational + self.registers + self.clock + self.leakage

    @property
    def energy_per_cycle(self) -> float:
        """Energy of one clock cycle in pJ, leakage included."""
        return self.total / self.conditions.clock_mhz * 1e3


def typical_slew(library: Library) -> float:
    """Return a slew (ns) in the lower third of the library's tables, where slews of a sized netlist lie; 0 without."""
    for cell in (library.nand2, *library.cells.values()):
        for pin in cell.pins.values():
            for energy in pin.energies:
                if slews := energy.rise.slews or energy.fall.slews:
                    return slews[len(slews) // 3]
    return 0.0


def estimate(
    netlist: Netlist,
    activity: Activity,
    *,
    clock_mhz: float,
    slew_ns: float | None = None,
    wire_ff: float = 0.0,
) -> Power:
    """Return the power that a netlist draws.

    Parameters:
        netlist: the netlist; its library has the energies.
        activity: how often each of its nets toggles.
        clock_mhz: clock frequency.
        slew_ns: input slew at which internal energies are taken; None for `typical_slew`.
        wire_ff: wire capacitance of each net that has a pin on it, the clock's too.
    """
    library = netlist.library
    slew = typical_slew(library) if slew_ns is None else slew_ns
    load = _loads(netlist, wire_ff)
    gates = netlist.levels.clock_gates
    clocks = [group.clocks for group in netlist.levels.flip_flops] + [group.clocks for group in gates]
    gated = [group.outputs for group in gates]
    is_clock = np.zeros(netlist.net_count, bool)
    is_register_output = np.zeros(netlist.net_count, bool)
    for nets in clocks:
        is_clock[nets] = True
    # The clock rises and falls once a cycle; behind a gate, once in each that is let through.
    rates = activity.toggles.copy()
    is_root = is_clock.copy()
    for nets in gated:
        is_root[nets] = False
    rates[is_root] = 2
    combinational = registers = clock = 0.0  # fJ a cycle
    count = len(netlist.modules)
    by_module = np.zeros(count)  # fJ a cycle
    driver = np.zeros(netlist.net_count, np.int32)
    for kind, pins in netlist.pins.items():
        cell = library.cells[kind]
        homes = netlist.homes[kind]
        energy = np.zeros(len(homes))
        for pin in cell.pins.values():
            if pin.name not in pins or not pin.energies:
                continue
            nets = pins[pin.name]
            if is_clock[nets].all():
                edges = rates[nets] * _mean(pin.energies, slew, load[nets])
                clock += float(edges.sum())
                by_module += np.bincount(homes, edges, count)
            else:
                energy += rates[nets] * _per_toggle(pin, pins, rates, slew, load[nets])
        by_module += np.bincount(homes, energy, count)
        if cell.clock_gate is not None:
            clock += float(energy.sum())
        elif cell.flip_flop is None:
            combinational += float(energy.sum())
        else:
            registers += float(energy.sum())
        for pin in cell.outputs:
            driver[pins[pin.name]] = homes
            is_register_output[pins[pin.name]] = cell.flip_flop is not None
    per_farad = library.voltage**2 / 2
    switching = per_farad * load * rates
    switching[is_clock] = 0
    registers += float(switching[is_register_output].sum())
    combinational += float(switching[~is_register_output].sum())
    by_module += np.bincount(driver, switching, count)
    clock += float(per_farad * (rates * load)[is_clock].sum())
    by_module += per_farad * _switched_by_clock(netlist, is_clock, rates, wire_ff)
    leakages = netlist.by_module({kind: library.cells[kind].leakage for kind in netlist.pins})
    leakage = float(leakages.sum())
    milliwatts = clock_mhz * 1e-6  # fJ a cycle
    of_modules = by_module * milliwatts + leakages * 1e-6
    return Power(
        combinational=combinational * milliwatts,
        registers=registers * milliwatts,
        clock=clock * milliwatts,
        leakage=leakage * 1e-6,
        modules=dict(zip(netlist.modules, of_modules.tolist(), strict=True)),
        conditions=Conditions(library.name, library.voltage, clock_mhz, slew, wire_ff),
    )


def _loads(netlist: Netlist, wire_ff: float) -> Array:
    """Capacitance of each net in fF; none for the constants."""
    load = np.zeros(netlist.net_count)
    for kind, pins in netlist.pins.items():
        cell: Cell = netlist.library.cells[kind]
        for name, nets in pins.items():
            load += cell.pins[name].capacitance * np.bincount(nets, minlength=netlist.net_count)
    load[load > 0] += wire_ff
    load[: CONSTANT_1 + 1] = 0
    return load


def _switched_by_clock(netlist: Netlist, is_clock: NDArray[np.bool_], rates: Array, wire_ff: float) -> Array:
    """Capacitance that the clock switches in a cycle, in fF, by the module of the pins on it; wires are the top's."""
    loads = np.zeros(len(netlist.modules))
    for kind, pins in netlist.pins.items():
        for name, nets in pins.items():
            on_clock = is_clock[nets]
            edges = np.bincount(netlist.homes[kind][on_clock], rates[nets[on_clock]], len(loads))
            loads += netlist.library.cells[kind].pins[name].capacitance * edges
    loads[0] += wire_ff * float(rates[is_clock].sum())
    return loads


def _mean(energies: Sequence[InternalEnergy], slew: float, load: Array) -> Array:
    """Mean energy of an edge in fJ at each load."""
    total = sum(energy.rise(slew, load) + energy.fall(slew, load) for energy in energies)
    return np.asarray(total, np.float64) / (2 * len(energies))


def _per_toggle(pin: Pin, pins: Mapping[str, Nets], rates: Array, slew: float, load: Array) -> Array:
    """Energy in fJ of a toggle of a pin of each cell of one type."""
    by_cause: dict[str | None, list[InternalEnergy]] = {}
    for energy in pin.energies:
        by_cause.setdefault(energy.related_pin, []).append(energy)
    means = [_mean(energies, slew, load) for energies in by_cause.values()]
    weights = [
        rates[pins[cause]] if cause is not None and cause in pins else np.zeros(load.shape) for cause in by_cause
    ]
    total = np.sum(weights, axis=0)
    weighted = np.sum([weight * mean for weight, mean in zip(weights, means, strict=True)], axis=0)
    return np.asarray(np.where(total > 0, weighted / np.where(total > 0, total, 1), np.mean(means, axis=0)))
