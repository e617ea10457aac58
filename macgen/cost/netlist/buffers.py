"""Buffer trees on nets that reach into several instances, which mapping module by module cannot see as a whole.

ABC buffers what drives many pins within one module. A net from one module into hundreds of instances of another, such
as the stall signal of an array, is a bare wire to it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from macgen.cost.library.liberty import Cell, Library

MOST_LOAD = 8.0
"""What a net may carry before it gets buffers, in input capacitances of the library's smallest inverter."""


@dataclass(frozen=True)
class _Sink:
    """A pin on a net: its capacitance in fF, and the place that names the net."""

    load: float
    bits: list[Any]
    place: int


@dataclass(frozen=True)
class _Input:
    """One bit of a module's or cell's input: its capacitance in fF, and whether flip-flops take it as their clock."""

    load: float
    is_clock: bool


def insert_buffers(modules: dict[str, Any], top: str, library: Library) -> int:
    """Insert trees of the library's smallest buffer where a net of instances carries too much.

    The clock is left as it is: no clock tree.

    Parameters:
        modules: the modules of a mapped netlist in Yosys's JSON; changed in place.
        top: the top module.
        library: the library that the netlist is mapped to.

    Returns:
        How many buffers were inserted; one in a module counts once, however many instances the module has.
    """
    if library.buffer is None or library.inverter is None:
        return 0
    inserter = _Inserter(modules, library, library.buffer, MOST_LOAD * library.inverter.inputs[0].capacitance)
    inserter.visit(top)
    return inserter.inserted


class _Inserter:
    """Goes through the modules from the leaves upwards, so that the load of every instance's input is known."""

    def __init__(self, modules: dict[str, Any], library: Library, buffer: Cell, limit: float) -> None:
        self.modules = modules
        self.library = library
        self.buffer = buffer
        self.limit = limit
        self.inputs: dict[str, dict[tuple[str, int], _Input]] = {}
        self.inserted = 0
        self.last_net: dict[int, int] = {}  # by identity of the module

    def visit(self, name: str) -> None:
        module = self.modules[name]
        sinks: dict[int, list[_Sink]] = {}
        clocks: set[int] = set()
        across: set[int] = set()  # nets that reach into instances of modules
        for cell in module["cells"].values():
            kind = cell["type"]
            if kind not in self.inputs:
                self.learn(kind)
            for pin, bits in cell["connections"].items():
                for place, bit in enumerate(bits):
                    found = self.inputs[kind].get((pin, place))
                    if found is None or not isinstance(bit, int):
                        continue
                    sinks.setdefault(bit, []).append(_Sink(found.load, bits, place))
                    if found.is_clock:
                        clocks.add(bit)
                    if kind in self.modules:
                        across.add(bit)
        for bit in sorted(across - clocks):
            sinks[bit] = self.tree(module, bit, sinks[bit])
        self.inputs[name] = {
            (port, place): _Input(sum(sink.load for sink in sinks.get(bit, [])), bit in clocks)
            for port, description in module["ports"].items()
            if description["direction"] == "input"
            for place, bit in enumerate(description["bits"])
        }

    def learn(self, kind: str) -> None:
        """Find out what the inputs of a cell or module carry."""
        if kind in self.modules:
            self.visit(kind)
            return
        cell = self.library.cells[kind]
        clock: Sequence[str] = () if cell.flip_flop is None else tuple(cell.flip_flop.clocked_on.variables)
        if cell.clock_gate is not None:
            clock = (cell.clock_gate.clock,)
        self.inputs[kind] = {(pin.name, 0): _Input(pin.capacitance, pin.name in clock) for pin in cell.inputs}

    def tree(self, module: dict[str, Any], bit: int, sinks: Sequence[_Sink]) -> list[_Sink]:
        """Put buffers before sinks of a net until it carries little enough; return the sinks that it then has."""
        sinks = list(sinks)
        source, target = self.buffer.inputs[0], self.buffer.outputs[0]
        while sum(sink.load for sink in sinks) > self.limit:
            groups = self.groups(sinks)
            if len(groups) == len(sinks):
                break  # each pin is a load by itself: buffers would only lengthen the way
            sinks = []
            for group in groups:
                net = self.new_net(module)
                for sink in group:
                    sink.bits[sink.place] = net
                connections = {source.name: [bit], target.name: [net]}
                module["cells"][f"buffer_{net}"] = {
                    "hide_name": 1,
                    "type": self.buffer.name,
                    "parameters": {},
                    "attributes": {},
                    "port_directions": {source.name: "input", target.name: "output"},
                    "connections": connections,
                }
                sinks.append(_Sink(source.capacitance, connections[source.name], 0))
                self.inserted += 1
        return sinks

    def groups(self, sinks: Sequence[_Sink]) -> list[list[_Sink]]:
        """Split sinks, in their order, into groups that a buffer may carry."""
        groups: list[list[_Sink]] = []
        carried = self.limit
        for sink in sinks:
            if carried + sink.load > self.limit:
                groups.append([])
                carried = 0.0
            groups[-1].append(sink)
            carried += sink.load
        return groups

    def new_net(self, module: dict[str, Any]) -> int:
        if id(module) not in self.last_net:
            named = [*module["netnames"].values(), *module["ports"].values()]
            bits = [bit for description in named for bit in description["bits"]]
            bits += [bit for cell in module["cells"].values() for nets in cell["connections"].values() for bit in nets]
            self.last_net[id(module)] = max(bit for bit in bits if isinstance(bit, int))
        self.last_net[id(module)] += 1
        return self.last_net[id(module)]
