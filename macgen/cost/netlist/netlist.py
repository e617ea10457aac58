"""A mapped netlist as arrays, read from Yosys's JSON and flattened.

Every instance of a module is inlined at once by array indexing, so that millions of cells take seconds.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from macgen.cost.library.liberty import Cell, Library
from macgen.cost.netlist.hierarchy import instance_counts
from macgen.cost.netlist.levels import Levels, Nets, levelise
from macgen.errors import MacgenError

CONSTANT_0, CONSTANT_1 = 0, 1
"""The nets that hold the constants in every netlist."""

_UNCONNECTED = -1


@dataclass(frozen=True)
class Port:
    """A port of the top module; `nets` from the least significant bit."""

    direction: str
    nets: Nets


@dataclass(frozen=True, eq=False)
class Netlist:
    """A flat netlist of library cells.

    Attributes:
        top: name of the top module.
        library: the library of its cells.
        net_count: number of nets; nets 0 and 1 are the constants.
        ports: ports of the top module.
        pins: for each cell type and pin, the net of each cell of the type.
        ones_at_start: nets that flip-flops with an initial value of 1 drive.
        modules: names of the modules that cells stand in, the top first; those dissolved by synthesis are no modules.
        homes: for each cell type, the place in `modules` of the one that each cell of the type stands in.
        instances: how often each module stands in the design.
    """

    top: str
    library: Library
    net_count: int
    ports: Mapping[str, Port]
    pins: Mapping[str, Mapping[str, Nets]]
    ones_at_start: Nets
    modules: tuple[str, ...]
    homes: Mapping[str, Nets]
    instances: tuple[int, ...]

    def by_module(self, sizes: Mapping[str, float]) -> NDArray[np.float64]:
        """Sum of a figure that each cell type has, such as its area, over the cells of each module."""
        total = np.zeros(len(self.modules))
        for kind, homes in self.homes.items():
            total += sizes[kind] * np.bincount(homes, minlength=len(self.modules))
        return total

    def cell_counts(self) -> dict[str, int]:
        """Number of cells of each type."""
        return {name: len(next(iter(pins.values()))) for name, pins in sorted(self.pins.items())}

    @cached_property
    def levels(self) -> Levels:
        """The functions of the cells in an order in which they can be evaluated.

        Raises:
            MacgenError: the netlist has a combinational loop or a cell that cannot be simulated.
        """
        return levelise(self.library, self.pins, self.net_count)


# -- flattening --------------------------------------------------------------------------------------------------------


@dataclass
class _Flat:
    """A module with everything below it inlined; nets are numbered from 0, the first two are the constants."""

    net_count: int = 2
    ports: dict[str, Port] = field(default_factory=dict)
    pins: dict[str, dict[str, list[Nets]]] = field(default_factory=dict)
    homes: dict[str, list[Nets]] = field(default_factory=dict)
    same: list[Nets] = field(default_factory=list)
    ones_at_start: list[Nets] = field(default_factory=list)

    def add_cells(self, kind: str, pins: Mapping[str, Nets], homes: Nets) -> None:
        """Add cells of one type; a pin without a net gets a new one if it is -1."""
        target = self.pins.setdefault(kind, {})
        self.homes.setdefault(kind, []).append(homes)
        for pin, nets in pins.items():
            target.setdefault(pin, []).append(nets)

    def new_nets(self, count: int) -> Nets:
        start = self.net_count
        self.net_count += count
        return np.arange(start, start + count, dtype=np.int32)


def read_netlist(path: Path, top: str, library: Library) -> Netlist:
    """Read a netlist that Yosys's `write_json` wrote; hierarchy in it is flattened.

    Parameters:
        path: the JSON file.
        top: the top module.
        library: the cells of the netlist.

    Raises:
        MacgenError: the file cannot be read, or has a cell that the library lacks or that cannot be simulated.
    """
    try:
        modules = json.loads(path.read_text(encoding="utf-8"))["modules"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise MacgenError(f"netlist {path} cannot be read as Yosys's JSON: {error}") from error
    if top not in modules:
        raise MacgenError(f"netlist {path} has no module {top!r}")
    flattener = _Flattener(modules, library)
    flat = flattener.flatten(top)
    canonical, count = _merge(flat.net_count, flat.same)
    return Netlist(
        top=top,
        library=library,
        net_count=count,
        ports={name: Port(port.direction, canonical[port.nets]) for name, port in flat.ports.items()},
        pins={
            kind: {pin: canonical[np.concatenate(nets)] for pin, nets in pins.items()}
            for kind, pins in flat.pins.items()
        },
        ones_at_start=np.unique(canonical[np.concatenate([np.zeros(0, np.int32), *flat.ones_at_start])]),
        modules=tuple(flattener.places),
        homes={kind: np.concatenate(homes) for kind, homes in flat.homes.items()},
        instances=instance_counts(modules, top, flattener.places),
    )


class _Flattener:
    """Flattens modules from the leaves upwards, each once."""

    def __init__(self, modules: Mapping[str, Any], library: Library) -> None:
        self.modules = modules
        self.library = library
        self.done: dict[str, _Flat] = {}
        self.places: dict[str, int] = {}

    def flatten(self, name: str) -> _Flat:
        if name in self.done:
            return self.done[name]
        module = self.modules[name]
        self.places[name] = len(self.places)
        flat = _Flat()
        numbers: dict[int | str, int] = {"0": CONSTANT_0, "1": CONSTANT_1, "x": CONSTANT_0, "z": CONSTANT_0}

        def nets_of(bits: Sequence[int | str]) -> list[int]:
            for bit in bits:
                if bit not in numbers:
                    numbers[bit] = flat.net_count
                    flat.net_count += 1
            return [numbers[bit] for bit in bits]

        for port, description in module["ports"].items():
            nets = np.array(nets_of(description["bits"]), np.int32)
            flat.ports[port] = Port(description["direction"], nets)
        by_kind: dict[str, list[dict[str, list[int]]]] = {}
        for cell in module["cells"].values():
            if cell["type"] != "$scopeinfo":
                connections = {pin: nets_of(bits) for pin, bits in cell["connections"].items()}
                by_kind.setdefault(cell["type"], []).append(connections)
        starts = [
            net
            for description in module["netnames"].values()
            for net, value in zip(
                nets_of(description["bits"]), reversed(description.get("attributes", {}).get("init", "")), strict=False
            )
            if value == "1" and net > CONSTANT_1
        ]
        flat.ones_at_start.append(np.array(starts, np.int32))
        for kind, instances in by_kind.items():
            if kind in self.library.cells:
                self.add_leaves(flat, self.library.cells[kind], instances, self.places[name])
            elif kind in self.modules:
                self.inline(flat, self.flatten(kind), kind, instances)
            else:
                raise MacgenError(
                    f"netlist module {name} has a cell {kind!r}, which library {self.library.name} does not have"
                )
        self.done[name] = flat
        return flat

    def add_leaves(self, flat: _Flat, cell: Cell, instances: Sequence[Mapping[str, list[int]]], home: int) -> None:
        if cell.unsupported is not None:
            raise MacgenError(f"cell {cell.name} cannot be simulated, as it has {cell.unsupported}")
        pins: dict[str, Nets] = {}
        for pin in (*cell.inputs, *cell.outputs):
            missing = CONSTANT_0 if pin.direction == "input" else _UNCONNECTED
            nets = np.array([instance.get(pin.name, [missing])[0] for instance in instances], np.int32)
            # Pins that drive nothing switch all the same, so they get nets of their own.
            unconnected = nets == _UNCONNECTED
            nets[unconnected] = flat.new_nets(int(unconnected.sum()))
            pins[pin.name] = nets
        flat.add_cells(cell.name, pins, np.full(len(instances), home, np.int32))

    def inline(self, flat: _Flat, child: _Flat, kind: str, instances: Sequence[Mapping[str, list[int]]]) -> None:
        """Add all instances of one module; row i of `nets` maps the child's nets to those of instance i."""
        nets = np.empty((len(instances), child.net_count), np.int32)
        nets[:, CONSTANT_0], nets[:, CONSTANT_1] = CONSTANT_0, CONSTANT_1
        bound = np.zeros(child.net_count, bool)
        bound[: CONSTANT_1 + 1] = True
        for name, port in child.ports.items():
            if port.direction not in ("input", "output"):
                raise MacgenError(f"port {name} of netlist module {kind} is {port.direction}, which is not supported")
            if not all(name in instance or port.direction == "output" for instance in instances):
                raise MacgenError(f"input {name} of netlist module {kind} is not connected in an instance")
            width = len(port.nets)
            outside = np.array(
                [instance.get(name) or [_UNCONNECTED] * width for instance in instances], np.int32
            ).reshape(len(instances), width)
            unconnected = outside == _UNCONNECTED
            outside[unconnected] = flat.new_nets(int(unconnected.sum()))
            for place, inside in enumerate(port.nets):
                if bound[inside]:
                    # A constant or a second name: the two outer nets are one.
                    flat.same.append(np.stack([outside[:, place], nets[:, inside]], axis=1))
                else:
                    nets[:, inside] = outside[:, place]
                    bound[inside] = True
        free = np.flatnonzero(~bound)
        nets[:, free] = flat.new_nets(len(instances) * len(free)).reshape(len(instances), len(free))
        for leaf, pins in child.pins.items():
            homes = np.tile(np.concatenate(child.homes[leaf]), len(instances))
            flat.add_cells(leaf, {pin: nets[:, np.concatenate(parts)].ravel() for pin, parts in pins.items()}, homes)
        flat.same.extend(nets[:, pairs].reshape(-1, 2) for pairs in child.same)
        flat.ones_at_start.extend(nets[:, part].ravel() for part in child.ones_at_start)


def _merge(count: int, same: Sequence[Nets]) -> tuple[Nets, int]:
    """Number nets anew so that nets which are the same have one number; return the new numbers and how many there are.

    The least number of a set stands for it, which keeps the constants in their places.
    """
    parent = np.arange(count, dtype=np.int32)
    pairs = np.unique(np.concatenate([np.zeros((0, 2), np.int32), *same]), axis=0)
    for left, right in pairs[pairs[:, 0] != pairs[:, 1]].tolist():
        roots = []
        for net in (left, right):
            root = net
            while parent[root] != root:
                root = parent[root]
            while parent[net] != root:
                parent[net], net = root, parent[net]
            roots.append(root)
        parent[max(roots)] = min(roots)
    while not np.array_equal(parent, parent[parent]):
        parent = parent[parent]
    used, canonical = np.unique(parent, return_inverse=True)
    return canonical.astype(np.int32), len(used)
