"""The text of a module."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from macgen.bundle.verilog.expressions import Constant, Expression, Reference
from macgen.bundle.verilog.layout import INDENT, filled, statement
from macgen.bundle.verilog.module import Block, Declared, Definition, Description, Part
from macgen.bundle.verilog.netlist import Wire


def print_module(description: Description, places: Mapping[str, tuple[str, int]]) -> str:
    """Return a module's text."""
    return "\n".join(_Printer(description, places).lines()) + "\n"


def _range(high: int, low: int) -> str:
    return "" if high == low == 0 else f"[{high}:{low}] "


@dataclass(eq=False)
class _Printer:
    description: Description
    places: Mapping[str, tuple[str, int]]

    def lines(self) -> Iterator[str]:
        netlist = self.description.netlist
        yield f"module {netlist.name} ("
        ports = self._ports()
        for index, wire in enumerate(ports):
            register = self.description.registers.get(wire.name)
            kind = "reg" if register else "wire"
            value = f" = {register.initial.text()}" if register and register.initial else ""
            comma = "," if index < len(ports) - 1 else ""
            yield f"{INDENT}{wire.direction} {kind} {_range(len(wire.bits) - 1, 0)}{wire.name}{value}{comma}"
        yield ");"
        for declared in self.description.registers.values():
            if not netlist.wires[declared.name].direction:
                value = f" = {declared.initial.text()}" if declared.initial else ""
                yield f"{INDENT}reg {_range(declared.high, declared.low)}{declared.name}{value};"
        for wire in self.description.wires.values():
            if not netlist.wires[wire.name].direction:
                yield f"{INDENT}wire {_range(wire.high, wire.low)}{wire.name};"
        for definition in self._ordered():
            yield from self._definition(definition)
        for block in self.description.blocks:
            yield from self._block(block)
        for part in self.description.parts:
            yield from self._part(part)
        yield "endmodule"

    def _ports(self) -> list[Wire]:
        wires = [wire for wire in self.description.netlist.wires.values() if wire.direction]
        return sorted(wires, key=lambda wire: (wire.name not in ("clk", "rst"), self._place(wire.name)))

    def _place(self, name: str) -> tuple[str, int, str]:
        return (*self.places.get(name, ("~", 0)), name)

    def _ordered(self) -> list[Definition]:
        definitions = self.description.definitions
        order: list[Definition] = []
        done: set[str] = set()

        def visit(name: str, path: tuple[str, ...] = ()) -> None:
            if name in path:
                raise AssertionError(f"{self.description.netlist.name}: loop {path} {name}")
            if name in done or name not in definitions:
                return
            for item in definitions[name].expression.walk():
                if isinstance(item, Reference):
                    visit(item.name, (*path, name))
            done.add(name)
            order.append(definitions[name])

        for name in sorted(definitions, key=self._place):
            visit(name)
        return order

    def _definition(self, definition: Definition) -> Iterator[str]:
        name, direction = definition.name, self.description.netlist.wires[definition.name].direction
        expression = definition.expression
        if definition.below or definition.above:
            target = [name]
            for suffix, width in (("above", definition.above), ("below", definition.below)):
                if width:
                    unused = f"unused_{name}_{suffix}"
                    yield f"{INDENT}wire {_range(width - 1, 0)}{unused};"
                    target = [unused, *target] if suffix == "above" else [*target, unused]
            if not direction:
                yield f"{INDENT}wire {_range(definition.high, definition.low)}{name};"
            yield from statement(f"assign {{{', '.join(target)}}} =", expression, INDENT)
        elif direction:
            yield from statement(f"assign {name} =", expression, INDENT)
        else:
            yield from statement(f"wire {_range(definition.high, definition.low)}{name} =", expression, INDENT)

    def _block(self, block: Block) -> Iterator[str]:
        yield f"{INDENT}always @(posedge {block.clock.text()}) begin"
        inner = INDENT * 2
        loads = [line for load in block.loads for line in statement(f"{load.target.text()} <=", load.value, inner + INDENT)]
        if block.reset is None and block.enable is None:
            for load in block.loads:
                yield from statement(f"{load.target.text()} <=", load.value, inner)
        elif block.reset is None:
            assert block.enable is not None
            yield f"{inner}if ({block.enable.text()}) begin"
            yield from loads
            yield f"{inner}end"
        else:
            reset = block.reset.text()
            if block.enable_first:
                assert block.enable is not None
                reset = f"{block.enable.within(10)} & {block.reset.within(10)}"
            yield f"{inner}if ({reset}) begin"
            for load in block.loads:
                assert load.reset_value is not None
                yield f"{inner}{INDENT}{load.target.text()} <= {load.reset_value.text()};"
            yield f"{inner}end else begin" if block.enable is None else f"{inner}end else if ({block.enable.text()}) begin"
            yield from loads
            yield f"{inner}end"
        yield f"{INDENT}end"

    def _part(self, part: Part) -> Iterator[str]:
        yield f"{INDENT}{part.module} {part.name} ("
        connections = {**part.inputs, **part.outputs}
        texts = [f".{port}({item.text() if item else ''})" for port, item in sorted(connections.items())]
        yield from filled(texts, INDENT * 2)
        yield f"{INDENT});"
