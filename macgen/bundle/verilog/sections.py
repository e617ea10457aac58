"""The reading order of a module: its logic and its instances in sections, one for each stage of the source."""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from macgen.bundle.verilog.expressions import Expression, Reference
from macgen.bundle.verilog.landmarks import NOWHERE, Place
from macgen.bundle.verilog.module import Block, Declared, Definition, Description, Part
from macgen.bundle.verilog.netlist import Bits

Item = Declared | Definition | Part

RESETS = frozenset({"rst", "rst_n", "aresetn"})
"""The names that the array's reset has in the top module and inside."""


@dataclass
class Section:
    """What stands together.

    Attributes:
        title: of the stage, and what it does; empty: there is none.
        items: wires that instances drive before their instance and before what reads them, wires with what they are
            before what reads them.
    """

    title: str
    items: list[Item] = field(default_factory=list)


def sections_of(description: Description, places: Mapping[str, Place]) -> list[Section]:
    """Return all sections of a module, in the order of the source as far as what is read comes first."""
    return _Arrangement(description, places).sections()


def sorted_blocks(description: Description, places: Mapping[str, Place]) -> list[Block]:
    """Return the registers' blocks, control before data, both in the order of the source."""

    def place(block: Block) -> Place:
        return min(places.get(load.target.name, NOWHERE) for load in block.loads)

    return sorted(description.blocks, key=lambda block: (not is_control(block), place(block)))


def is_control(block: Block) -> bool:
    """Return whether the array's reset resets registers; others may be cleared by marks, but need no reset."""
    return block.reset is not None and not RESETS.isdisjoint(_names(block.reset))


def _names(expression: Expression) -> Iterator[str]:
    for item in expression.walk():
        if isinstance(item, Reference):
            yield item.name


class _Arrangement:
    def __init__(self, description: Description, places: Mapping[str, Place]) -> None:
        self._description = description
        self._places = dict(places)
        self._inputs = {name for name, wire in description.netlist.wires.items() if wire.direction == "input"}
        self._parts = {part.name: part for part in description.parts}
        # Signals that go out under a port's name have said where they belong.
        self._twins: dict[Bits, list[Place]] = defaultdict(list)
        for name, wire in description.netlist.wires.items():
            if name in places and not wire.direction and name.partition("__")[0] not in self._parts:
                self._twins[wire.bits].append(places[name])
        self._reads: dict[str, list[str]] = {
            name: list(_names(definition.expression)) for name, definition in description.definitions.items()
        }
        self._driven: dict[str, list[str]] = {}
        for part in description.parts:
            self._reads[part.name] = [name for value in part.inputs.values() for name in _names(value)]
            outputs = [name for value in part.outputs.values() if value is not None for name in _names(value)]
            self._driven[part.name] = sorted(outputs, key=lambda name: places.get(name, NOWHERE))
            prefix = f"{part.name}__"
            ports = [place for name, place in places.items() if name.startswith(prefix)]
            if ports and part.name in places:  # where its ports are first connected
                self._places[part.name] = Place(min(ports).order, places[part.name].section)
            self._places |= {name: self._places[part.name] for name in outputs if part.name in self._places}
        self._readers: dict[str, list[str]] = defaultdict(list)
        for reader, names in self._reads.items():
            for name in names:
                self._readers[name].append(reader)
        for block in description.blocks:
            for load in block.loads:
                for expression in (load.value, *(item for item in (block.enable, block.reset) if item is not None)):
                    for name in _names(expression):
                        self._readers[name].append(load.target.name)

    def sections(self) -> list[Section]:
        found = {name: self._place(name) for name in self._reads}
        first: dict[str, int] = {}
        for place in found.values():
            first[place.section] = min(first.get(place.section, place.order), place.order)
        order = sorted(found, key=lambda name: (first[found[name].section], found[name], self._is_output(name), name))
        sections: list[Section] = []
        self._done: set[str] = set()
        for name in order:
            items = list(self._with_needs(name))
            if not items:
                continue
            if not sections or sections[-1].title != found[name].section:
                sections.append(Section(found[name].section))
            sections[-1].items += items
        return sections

    def _is_output(self, name: str) -> bool:
        wire = self._description.netlist.wires.get(name)
        return wire is not None and bool(wire.direction)

    def _place(self, name: str) -> Place:
        """Return the place of a definition or an instance, or of what it has to do with if it has none of its own."""
        if self._is_output(name):
            sources = [self._places[source] for source in self._sources(name) if source in self._places]
            return max([*sources, *self._twins[self._description.netlist.wires[name].bits]], default=NOWHERE)
        if name not in self._reads:  # a register
            return self._places.get(name, NOWHERE)
        if name not in self._places:
            readers = [self._place(reader) for reader in self._readers[name] if reader != name]
            self._places[name] = min(readers, default=NOWHERE)
        return self._places[name]

    def _sources(self, name: str) -> Iterator[str]:
        """Yield the names that an output is made from, through names without a place."""
        for source in self._reads.get(name, ()):
            if source in self._reads and (self._is_output(source) or source not in self._places):
                yield from self._sources(source)
            elif source in self._places and source not in self._inputs:
                yield source

    def _with_needs(self, name: str) -> Iterator[Item]:
        """Yield what a definition or an instance reads, as far as it has not been there, and then it."""
        if name in self._done:
            return
        self._done.add(name)
        for needed in self._reads[name]:
            yield from self._declarations([needed])
            if needed in self._description.definitions:
                yield from self._with_needs(needed)
        if name in self._parts:
            yield from self._declarations(self._driven[name])
            yield self._parts[name]
        else:
            yield self._description.definitions[name]

    def _declarations(self, names: list[str]) -> Iterator[Item]:
        for name in names:
            if name in self._description.wires and name not in self._done and not self._is_output(name):
                self._done.add(name)
                yield self._description.wires[name]
