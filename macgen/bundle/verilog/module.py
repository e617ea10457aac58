"""A module of a netlist as the statements of Verilog: which wire is what, what registers take, what instances get."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from macgen.bundle.verilog.expressions import Binary, Concatenation, Constant, Expression, Reference, negation
from macgen.bundle.verilog.landmarks import NOWHERE, Place
from macgen.bundle.verilog.logic import Logic
from macgen.bundle.verilog.netlist import BITWISE, Bit, Bits, Cell, Instance, Netlist, Register, Wire
from macgen.bundle.verilog.ownership import Ownership
from macgen.bundle.verilog.temporaries import Temporaries
from macgen.errors import ToolError

LONGEST = 240
"""Characters of an expression; what is longer gets wires for its parts."""
LONGEST_CONNECTION = 60
"""The same of what a port of an instance is connected to."""
_SHORTEST_PART, _LONGEST_PART = 24, 100
_MOST_ROUNDS = 100
"""In so many it settles which wires are read; a few are usual."""


@dataclass(frozen=True)
class Definition:
    """A wire or an output and what it is.

    Attributes:
        name, high, low: all places of it.
        below, above: bits of the expression, under and over these, that nobody reads.
    """

    name: str
    high: int
    low: int
    expression: Expression
    below: int = 0
    above: int = 0


@dataclass(frozen=True)
class Load:
    """What a register takes: its next value, and that of a reset."""

    target: Reference
    value: Expression
    reset_value: Constant | None


@dataclass(frozen=True)
class Block:
    """Registers with the same clock, reset and enable."""

    clock: Expression
    reset: Expression | None
    enable: Expression | None
    enable_first: bool
    asynchronous: bool
    loads: tuple[Load, ...]

    def expressions(self) -> Iterator[Expression]:
        """Yield all that is read."""
        yield from (item for item in (self.clock, self.reset, self.enable) if item is not None)
        for load in self.loads:
            yield load.value


@dataclass(frozen=True)
class Part:
    """An instance: what its inputs are connected to, and what reads its outputs (None: nothing)."""

    name: str
    module: str
    inputs: dict[str, Expression]
    outputs: dict[str, Expression | None]


@dataclass(frozen=True)
class Declared:
    """A wire or register that is declared by itself, with what a register holds after power-up."""

    name: str
    high: int
    low: int
    initial: Constant | None = None


@dataclass
class Description:
    """All of a module."""

    netlist: Netlist
    registers: dict[str, Declared] = field(default_factory=dict)
    wires: dict[str, Declared] = field(default_factory=dict)
    definitions: dict[str, Definition] = field(default_factory=dict)
    blocks: list[Block] = field(default_factory=list)
    parts: list[Part] = field(default_factory=list)

    def expressions(self) -> Iterator[Expression]:
        """Yield every expression that is read."""
        for definition in self.definitions.values():
            yield definition.expression
        for block in self.blocks:
            yield from block.expressions()
        for part in self.parts:
            yield from part.inputs.values()


def describe(
    netlist: Netlist, places: Mapping[str, Place], constants: Mapping[tuple[int, int], str], top: str
) -> Description:
    """Return a module's statements.

    Parameters:
        netlist: the module.
        places: by name, where a signal belongs.
        constants: by width and value, names of constants.
        top: the top module's name, which no wire gets.
    """
    forced: set[Cell] = set()
    wires = dict(netlist.wires)
    while True:
        netlist.wires = dict(wires)
        builder = _Builder(netlist, places, constants, top, forced)
        description = builder.describe()
        longer = _too_long(description) - forced
        if not longer:
            return description
        forced |= longer


def _too_long(description: Description) -> set[Cell]:
    """Return cells to give wires, so that expressions become shorter."""
    found: set[Cell] = set()
    for expression in description.expressions():
        excess = len(expression.text()) - LONGEST
        if excess > 0 and not _is_list(expression):
            found |= _large_parts(expression, excess)
    for part in description.parts:
        for item in part.inputs.values():
            if len(item.text()) > LONGEST_CONNECTION and item.parts:
                found |= {item.origin} if item.origin is not None else _large_parts(item, 1)
    return found


def _is_list(expression: Expression) -> bool:
    """Return whether an expression is long for the number of its parts alone."""
    return isinstance(expression, Binary | Concatenation) and all(
        len(part.text()) <= _LONGEST_PART for part in expression.parts
    )


def _large_parts(expression: Expression, excess: int) -> set[Cell]:
    """Return cells that large parts of an expression are made from which fit on a line, until it is short enough."""
    found: set[Cell] = set()
    waiting = list(expression.parts)
    candidates: list[Expression] = []
    while waiting:
        part = waiting.pop()
        length = len(part.text())
        if part.origin is not None and _SHORTEST_PART <= length <= _LONGEST_PART:
            candidates.append(part)
        elif length > _SHORTEST_PART:
            waiting += part.parts
    for part in sorted(candidates, key=lambda item: -len(item.text())):
        if excess <= 0:
            break
        found.add(part.origin)
        excess -= len(part.text()) - _SHORTEST_PART // 2
    return found


class _Builder:
    def __init__(
        self,
        netlist: Netlist,
        places: Mapping[str, Place],
        constants: Mapping[tuple[int, int], str],
        top: str,
        forced: set[Cell],
    ) -> None:
        self._netlist = netlist
        self._names = Ownership.of(netlist, places)
        self._logic = Logic(self._names, constants=constants)
        for wire in self._names.owners.values():
            if not wire.direction:
                self._declared(wire)
        self._aliases = self._find_aliases()
        instances = (instance.name for instance in netlist.instances)
        reserved = {top, netlist.name, *netlist.wires, *constants.values(), *instances}
        Temporaries(self._names, self._logic, list(self._roots()), forced).give(reserved)
        mixed = [wire for wire in self._names.owners.values() if not wire.direction and self._holds_others(wire)]
        for alias in [*self._aliases.values(), *mixed]:
            self._logic.aliases.setdefault(alias.bits[0], []).append(alias)
        for found in self._logic.aliases.values():
            found.sort(key=lambda wire: (-len(wire.bits), self._names.places.get(wire.name, NOWHERE), wire.name))

    def _find_aliases(self) -> dict[str, Wire]:
        """Return wires without bits of their own that are worth reading: slices of others, or several together."""
        owner, owners = self._names.owner, self._names.owners
        taken = {wire.bits for wire in owners.values()}
        found: dict[str, Wire] = {}
        places = self._names.places
        for wire in sorted(self._netlist.wires.values(), key=lambda wire: (places.get(wire.name, NOWHERE), wire.name)):
            if wire.direction or wire.name in owners or wire.name in self._names.weak or wire.bits in taken:
                continue
            if isinstance(wire.bits[0], str) or not all(isinstance(bit, str) or bit in owner for bit in wire.bits):
                continue
            taken.add(wire.bits)
            found[wire.name] = wire
        return found

    def _roots(self) -> Iterator[tuple[str, Bits]]:
        """Yield the words that are read by other than cells."""
        for wire in self._netlist.wires.values():
            if wire.direction == "output" and wire.name not in self._names.owners:
                yield wire.name, wire.bits
        for register in self._netlist.registers:
            name = self._names.owner[register.output[0]][0].name
            yield f"{name}_next", register.data
            for bit in register.controls():
                yield name, (bit,)
        for instance in self._netlist.instances:
            for port, bits in instance.inputs.items():
                yield f"{instance.name}__{port}", bits

    def describe(self) -> Description:
        """Write all expressions; places that nobody reads are left out in the end."""
        kept: dict[str, tuple[int, int]] | None = None
        known: list[str] = []
        for _ in range(_MOST_ROUNDS):
            description = self._write(kept)
            read = _places_read(description)
            inside = {
                name: (definition.high, definition.low)
                for name, definition in description.definitions.items()
                if not self._netlist.wires[name].direction
            }
            # A wire that lost places may be just another by now, which nobody read before and has been left out.
            known = known or list(inside)
            kept = {name: read[name] for name in known if name in read}
            if kept == inside:
                self._check_declared(description, read)
                return description
            self._logic.ranges |= kept
        raise ToolError(f"macgen cannot print module {self._netlist.name}: which of its wires are read does not settle")

    def _check_declared(self, description: Description, read: Mapping[str, tuple[int, int]]) -> None:
        """Raise ToolError if anything reads what is not declared, or bits that count are given by nothing."""
        declared = {
            wire.name: (len(wire.bits) - 1, 0) for wire in self._netlist.wires.values() if wire.direction == "input"
        }
        for items in (description.registers, description.wires, description.definitions):
            declared |= {name: (item.high, item.low) for name, item in items.items()}
        missing = [
            name
            for name, (high, low) in read.items()
            if name not in declared or high > declared[name][0] or low < declared[name][1]
        ]
        for wire in self._netlist.wires.values():
            if wire.direction == "output" and wire.name not in description.definitions:
                owned = [self._names.owner.get(bit) == (wire, place) for place, bit in enumerate(wire.bits)]
                missing += [] if all(owned) else [wire.name]
        if undriven := self._netlist.live - self._names.driver.keys():
            named = [wire.name for wire in self._netlist.wires.values() if not undriven.isdisjoint(wire.bits)]
            missing += named or ["a wire without a name"]
        if missing:
            raise ToolError(f"macgen cannot print module {self._netlist.name}: nothing gives all bits of {missing[0]}")

    def _write(self, kept: Mapping[str, tuple[int, int]] | None) -> Description:
        """Return all statements; of definitions only those in `kept`, with these places, unless it is None."""
        description = Description(self._netlist)
        for wire in [*self._names.owners.values(), *self._aliases.values()]:
            if wire.direction == "input":
                continue
            drivers = {type(self._names.driver[bit]) for bit in self._owned_bits(wire)}
            if drivers <= {Cell}:
                if wire.direction or kept is None or wire.name in kept:
                    self._define(description, wire, None if kept is None else kept.get(wire.name))
            elif drivers == {Register}:
                description.registers[wire.name] = self._declared(wire)
            else:
                description.wires[wire.name] = self._declared(wire)
        for wire in self._netlist.wires.values():
            if wire.direction == "output" and wire.name not in self._names.owners:
                expression = self._logic.word(wire.bits)
                description.definitions[wire.name] = Definition(wire.name, len(wire.bits) - 1, 0, expression)
        description.blocks = self._blocks()
        description.parts = [self._part(instance) for instance in self._netlist.instances]
        return description

    def _holds_others(self, wire: Wire) -> bool:
        """Return whether some of an owner's bits are constant or another's, so that it may be read as a whole."""
        owner = self._names.owner
        others = [bit for place, bit in enumerate(wire.bits) if owner.get(bit) != (wire, place)]
        made = {type(self._names.driver[bit]) for bit in self._owned_bits(wire)}
        elsewhere = all(isinstance(bit, str) or owner.get(bit, (wire, 0))[0] is not wire for bit in others)
        return made == {Cell} and bool(others) and elsewhere

    def _owned_bits(self, wire: Wire) -> list[Bit]:
        return [bit for bit in wire.bits if self._names.owner.get(bit, (None, 0))[0] is wire]

    def _define(self, description: Description, wire: Wire, places: tuple[int, int] | None) -> None:
        high, low = places or self._logic.ranges.get(wire.name, (len(wire.bits) - 1, 0))
        bits = wire.bits[low : high + 1]
        below = above = 0
        driver = self._names.driver.get(bits[0]) if self._names.owner.get(bits[0], (None, 0))[0] is wire else None
        if isinstance(driver, Cell) and driver.kind not in BITWISE:
            start = driver.output.index(bits[0])
            stop = start + len(bits)
            if driver.output[start:stop] == bits:
                below, above = start, len(driver.output) - stop
                bits = driver.output
        if below or above:
            assert isinstance(driver, Cell)
            expression = self._logic.operation(driver, 0, len(bits))
        else:
            expression = self._logic.word(bits, defining=wire, aliases=wire.name not in self._aliases)
        description.definitions[wire.name] = Definition(wire.name, high, low, expression, below, above)

    def _declared(self, wire: Wire) -> Declared:
        places = [place for place, bit in enumerate(wire.bits) if self._names.owner.get(bit) == (wire, place)]
        high, low = places[-1], places[0]
        self._logic.ranges[wire.name] = (high, low)
        initial = None
        values = [self._netlist.initial.get(bit) for bit in wire.bits[low : high + 1]]
        if any(value is not None for value in values):  # of the other bits nothing is promised
            initial = Constant(high - low + 1, int("".join(value or "0" for value in reversed(values)), 2))
        return Declared(wire.name, high, low, initial)

    def _blocks(self) -> list[Block]:
        groups: dict[tuple[object, ...], list[Register]] = defaultdict(list)
        for register in self._netlist.registers:
            key = (register.clock, register.reset, register.reset_high, register.enable, register.enable_high)
            groups[*key, register.enable_first, register.asynchronous].append(register)
        return [self._block(registers) for registers in groups.values()]

    def _block(self, registers: list[Register]) -> Block:
        first = registers[0]
        loads: dict[str, dict[int, tuple[Bit, str]]] = defaultdict(dict)
        for register in registers:
            resets = register.reset_value or ("0",) * len(register.output)
            for q, d, reset in zip(register.output, register.data, resets, strict=True):
                wire, place = self._names.owner[q]
                loads[wire.name][place] = (d, str(reset))
        written = []
        for name, bits in loads.items():
            for high, low in runs(bits):
                word = tuple(bits[place][0] for place in range(low, high + 1))
                reset_value = None
                if first.reset is not None:
                    text = "".join(bits[place][1] for place in range(high, low - 1, -1))
                    reset_value = Constant(high - low + 1, int(text, 2))
                target = self._logic.reference(self._netlist.wires[name], high, low)
                written.append(Load(target, self._logic.word(word), reset_value))
        return Block(
            clock=self._logic.word((first.clock,)),
            reset=self._control(first.reset, first.reset_high),
            enable=self._control(first.enable, first.enable_high),
            enable_first=first.enable_first,
            asynchronous=first.asynchronous,
            loads=tuple(written),
        )

    def _control(self, bit: Bit | None, high: bool) -> Expression | None:
        if bit is None:
            return None
        word = self._logic.word((bit,))
        return word if high else negation(word)

    def _part(self, instance: Instance) -> Part:
        outputs: dict[str, Expression | None] = {}
        for port, bits in instance.outputs.items():
            read = any(bit in self._netlist.live for bit in bits)
            outputs[port] = self._logic.word(bits, aliases=False) if read else None
        inputs = {port: self._logic.word(bits) for port, bits in instance.inputs.items()}
        return Part(instance.name, instance.module, inputs, outputs)


def runs(places: Iterable[int]) -> list[tuple[int, int]]:
    """Return highest and lowest of places next to each other."""
    found: list[tuple[int, int]] = []
    for place in sorted(places):
        if found and found[-1][0] == place - 1:
            found[-1] = (place, found[-1][1])
        else:
            found.append((place, place))
    return found


def _places_read(description: Description) -> dict[str, tuple[int, int]]:
    """Return by wire the highest and the lowest place that anything reads."""
    found: dict[str, tuple[int, int]] = {}
    for expression in description.expressions():
        for item in expression.walk():
            if isinstance(item, Reference):
                high, low = found.get(item.name, (item.high, item.low))
                found[item.name] = (max(high, item.high), min(low, item.low))
    return found
