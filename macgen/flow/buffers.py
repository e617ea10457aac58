"""Buffer trees on nets that reach into several instances, which mapping module by module cannot see as a whole.

ABC buffers what drives many pins within one module. A net from one module into hundreds of instances of another, such as
an array's stall signal, is a bare wire to it.
"""

from collections.abc import Mapping
from typing import Any

from macgen.flow.liberty import Library

MOST_LOAD = 8.0
"""Load that a net may carry before it gets buffers, in input capacitances of the library's smallest inverter."""


def insert_buffers(modules: dict[str, Any], top: str, library: Library) -> int:
    """Insert trees of the library's smallest buffer where a net of instances carries too much, in place.

    Parameters:
        modules: the modules of a mapped netlist in Yosys's JSON; changed.
        top: the top module.
        library: the library that the netlist is mapped to.

    Returns:
        How many buffers were inserted, instances of the same module counted once.
    """
    buffer, inverter = library.buffer, library.inverter
    if buffer is None or inverter is None:
        return 0
    pins = (buffer.inputs[0].name, buffer.outputs[0].name)
    limit = MOST_LOAD * inverter.inputs[0].capacitance
    buffer_load = buffer.inputs[0].capacitance
    loads: dict[str, dict[tuple[str, int], float]] = {}  # of each module's input bits
    inserted = 0

    def visit(name: str) -> None:
        nonlocal inserted
        module = modules[name]
        sinks: dict[int, list[tuple[float, list[Any], int]]] = {}
        across: set[int] = set()
        for cell in module["cells"].values():
            kind = cell["type"]
            if kind in modules and kind not in loads:
                visit(kind)
            for pin, bits in cell["connections"].items():
                for place, bit in enumerate(bits):
                    load = _load(kind, pin, place, library, loads)
                    if load is not None and isinstance(bit, int):
                        sinks.setdefault(bit, []).append((load, bits, place))
                        if kind in modules:
                            across.add(bit)
        clocks = _clock_nets(module, modules, library)
        fresh = 1 + max((bit for bits in _all_bits(module) for bit in bits if isinstance(bit, int)), default=1)
        for bit in sorted(across - clocks):
            tree = sinks[bit]
            while sum(load for load, _, _ in tree) > limit and len(tree) > 1:
                tree, groups = [], _groups(tree, limit)
                if len(groups) == 1:
                    tree = groups[0]
                    break
                for group in groups:
                    for _, bits, place in group:
                        bits[place] = fresh
                    connections: dict[str, list[Any]] = {pins[0]: [bit], pins[1]: [fresh]}
                    module["cells"][f"$buffer{fresh}"] = {
                        "type": buffer.name,
                        "port_directions": {pins[0]: "input", pins[1]: "output"},
                        "connections": connections,
                        "attributes": {},
                        "parameters": {},
                        "hide_name": 1,
                    }
                    tree.append((buffer_load, connections[pins[0]], 0))
                    fresh += 1
                    inserted += 1
            sinks[bit] = tree
        loads[name] = {
            (port, place): sum(load for load, _, _ in sinks.get(bit, []))
            for port, description in module["ports"].items()
            if description["direction"] == "input"
            for place, bit in enumerate(description["bits"])
        }

    visit(top)
    return inserted
