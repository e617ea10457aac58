"""Library cells as Verilog modules that do what their Liberty functions say, without delays."""

import re
from collections.abc import Iterable, Iterator

from macgen.cost.library.boolean import Expression
from macgen.cost.library.clock_gates import ClockGate
from macgen.cost.library.liberty import Cell, FlipFlop, Library
from macgen.errors import MacgenError


def identifier(name: str) -> str:
    """Return a name as Verilog takes it: one of other characters is escaped, up to a blank."""
    return name if re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name) else f"\\{name} "


def cell_models(library: Library, names: Iterable[str]) -> str:
    """Return the Verilog of cells.

    A flip-flop starts with a random state, as one without a reset does when power is switched on. One that would take
    an undefined value, which logic of gates spreads further than hardware can, takes a random one, too.

    Parameters:
        library: the cells.
        names: of those that are needed.

    Raises:
        MacgenError: a cell has something besides functions and one flip-flop, or the library has it not.
    """
    lines: list[str] = []
    for name in sorted(names):
        cell = library.cells.get(name)
        if cell is None:
            raise MacgenError(f"library {library.name} has no cell {name!r}; accepted are netlists of its cells")
        if cell.unsupported is not None:
            raise MacgenError(f"cell {name} cannot be simulated, as it has {cell.unsupported}")
        lines += _module(cell)
    return "\n".join([*lines, ""])


def _module(cell: Cell) -> Iterator[str]:
    gate = cell.clock_gate
    outputs = [pin for pin in cell.outputs if pin.function is not None or gate is not None]
    ports = [f"input {identifier(pin.name)}" for pin in cell.inputs]
    ports += [f"output {identifier(pin.name)}" for pin in outputs]
    yield f"module {identifier(cell.name)} ({', '.join(ports)});"
    if cell.flip_flop is not None:
        yield from _flip_flop(cell.flip_flop)
    if gate is not None:
        yield from _clock_gate(gate)
    for pin in outputs:
        if pin.function is not None and gate is None:
            yield f"  assign {identifier(pin.name)} = {_text(pin.function)};"
    yield "endmodule"


def _clock_gate(gate: ClockGate) -> Iterator[str]:
    """A latch that is open while the clock is low, and an AND; an undefined enable lets the clock through."""
    enable = " | ".join(identifier(name) for name in (gate.enable, *gate.test))
    clock, output = identifier(gate.clock), identifier(gate.output)
    yield "  reg passes;"
    yield "  initial passes = 1'b1;"
    yield f"  always @({clock} or {enable.replace(' | ', ' or ')}) if (!{clock}) passes = ({enable}) !== 1'b0;"
    yield f"  assign {output} = {clock} & passes;"


def _flip_flop(flip_flop: FlipFlop) -> Iterator[str]:
    state, inverted = identifier(flip_flop.state), identifier(flip_flop.inverted_state)
    yield f"  reg {state};"
    yield f"  wire {inverted} = ~{state};"
    yield f"  initial {state} = $random;"
    # A clock of its own wire would lag behind that of other cells.
    edge = "negedge" if flip_flop.clocked_on.program[1:] == ("!",) else "posedge"
    clock = identifier(flip_flop.clocked_on.program[0])
    if flip_flop.clocked_on.program[1:] not in ((), ("!",)):
        clock = "clocked_on"
        yield f"  wire clocked_on = {_text(flip_flop.clocked_on)};"
    events, choices = [f"{edge} {clock}"], []
    for name, value, condition in (("clear", 0, flip_flop.clear), ("preset", 1, flip_flop.preset)):
        if condition is not None:
            yield f"  wire is_{name} = {_text(condition)};"
            events.append(f"posedge is_{name}")
            choices.append(f"if (is_{name}) {state} <= 1'b{value}; else ")
    following = _text(flip_flop.next_state)
    taken = f"^({following}) === 1'bx ? $random : {following}"
    yield f"  always @({' or '.join(events)}) {''.join(choices)}{state} <= {taken};"


def _text(expression: Expression) -> str:
    """Return an expression in Verilog's syntax."""
    stack: list[str] = []
    for token in expression.program:
        if token == "!":
            stack.append(f"~{stack.pop()}")
        elif token in "&|^":
            right, left = stack.pop(), stack.pop()
            stack.append(f"({left} {token} {right})")
        else:
            stack.append(f"1'b{token}" if token in "01" else identifier(token))
    return stack[0]
