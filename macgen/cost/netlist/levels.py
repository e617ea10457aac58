"""The order in which a netlist's gates are evaluated: functions of cells, grouped by level, and the flip-flops."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from macgen.cost.library.boolean import Expression
from macgen.cost.library.liberty import Cell, Library
from macgen.errors import MacgenError

Nets = NDArray[np.int32]
"""Numbers of nets."""


@dataclass(frozen=True)
class Gates:
    """Gates of one function at one level: `inputs[i][k]` is the net of variable i of gate k.

    The variables of `expression` are `v0`, `v1` ...
    """

    level: int
    expression: Expression
    inputs: tuple[Nets, ...]
    outputs: Nets


@dataclass(frozen=True)
class FlipFlops:
    """Flip-flops of one cell type; variables `v0`, `v1` ... are the nets `inputs`."""

    cell: Cell
    clocks: Nets
    states: Nets
    inputs: tuple[Nets, ...]
    next_state: Expression
    clear: Expression | None
    preset: Expression | None


@dataclass(frozen=True)
class ClockGates:
    """Clock gates of one cell type; a cycle passes where one of `enables`, of which each holds a net a gate, is 1."""

    clocks: Nets
    enables: tuple[Nets, ...]
    outputs: Nets


@dataclass(frozen=True)
class Levels:
    """A netlist in an order in which it can be evaluated.

    Attributes:
        gates: the combinational functions, each after those that drive it.
        flip_flops: the flip-flops, by cell type.
        clock_gates: the clock gates, by cell type; their outputs are no functions.
        depth: gates on the longest path between registers or ports; inverters and buffers count, tie cells do not.
        net_count: number of nets, with those added for the states of flip-flops that drive no net directly.
    """

    gates: tuple[Gates, ...]
    flip_flops: tuple[FlipFlops, ...]
    clock_gates: tuple[ClockGates, ...]
    depth: int
    net_count: int


@dataclass(frozen=True)
class _Function:
    """One output function of the cells of one type, or of the flip-flops' states: what `levelise` puts in order."""

    expression: Expression
    inputs: tuple[Nets, ...]
    outputs: Nets
    is_gate: bool


def _numbered(expression: Expression, inverted: Mapping[str, str]) -> tuple[Expression, tuple[str, ...]]:
    """Rename the variables to `v0`, `v1` ..., so that equal functions of different cells are equal.

    Parameters:
        expression: the expression.
        inverted: variables that are the complement of another.

    Returns:
        The new expression, and the old name of each of its variables.
    """
    names: dict[str, str] = {}
    program: list[str] = []
    for token in expression.program:
        if token in "!&|^01":
            program.append(token)
        else:
            name = inverted.get(token, token)
            program.append(names.setdefault(name, f"v{len(names)}"))
            if token in inverted:
                program.append("!")
    return Expression(tuple(program)), tuple(names)


def levelise(library: Library, all_pins: Mapping[str, Mapping[str, Nets]], net_count: int) -> Levels:
    """Put the functions of cells in an order in which each comes after those that drive it.

    Parameters:
        library: the cells.
        all_pins: for each cell type and pin, the net of each cell of the type.
        net_count: number of nets.

    Raises:
        MacgenError: there is a combinational loop or a cell that cannot be simulated.
    """
    functions: list[_Function] = []
    flip_flops: list[FlipFlops] = []
    clock_gates: list[ClockGates] = []
    for kind, pins in all_pins.items():
        cell = library.cells[kind]
        if (gate := cell.clock_gate) is not None:
            enables = tuple(pins[name] for name in (gate.enable, *gate.test))
            clock_gates.append(ClockGates(pins[gate.clock], enables, pins[gate.output]))
            continue
        nets_of = dict(pins)
        inverted: dict[str, str] = {}
        if (register := cell.flip_flop) is not None:
            direct = next((pin for pin in cell.outputs if pin.function == Expression((register.state,))), None)
            count = len(next(iter(pins.values())))
            if direct is None:
                nets_of[register.state] = np.arange(net_count, net_count + count, dtype=np.int32)
                net_count += count
            else:
                nets_of[register.state] = pins[direct.name]
            inverted = {register.inverted_state: register.state}
            flip_flops.append(_flip_flops(cell, nets_of, inverted))
        else:
            direct = None
        for pin in cell.outputs:
            if pin is direct:
                continue
            if pin.function is None:
                raise MacgenError(f"output {pin.name} of cell {kind} has no function in library {library.name}")
            expression, names = _numbered(pin.function, inverted)
            missing = [name for name in names if name not in nets_of]
            if missing:
                raise MacgenError(f"the function of pin {pin.name} of cell {kind} uses {missing[0]!r}, which is no pin")
            inputs = tuple(nets_of[name] for name in names)
            functions.append(_Function(expression, inputs, nets_of[pin.name], register is None and bool(names)))
    ranks = _ranks(functions, net_count)
    depth = _depth(functions, ranks, net_count)
    return Levels(_in_order(functions, ranks), tuple(flip_flops), tuple(clock_gates), depth, net_count)


def _flip_flops(cell: Cell, nets_of: Mapping[str, Nets], inverted: Mapping[str, str]) -> FlipFlops:
    register = cell.flip_flop
    assert register is not None
    if len(register.clocked_on.program) != 1:
        raise MacgenError(
            f"flip-flop {cell.name} is not clocked by the rising edge of one pin, which the netlist simulation needs"
        )
    parts = [register.next_state, register.clear, register.preset]
    # One numbering for all functions: join them, rename, and split again.
    names: dict[str, str] = {}
    renamed: list[Expression | None] = []
    for part in parts:
        if part is None:
            renamed.append(None)
            continue
        expression, olds = _numbered(part, inverted)
        news = [names.setdefault(old, f"v{len(names)}") for old in olds]
        program = tuple(news[int(token[1:])] if token[0] == "v" else token for token in expression.program)
        renamed.append(Expression(program))
    next_state, clear, preset = renamed
    assert next_state is not None
    return FlipFlops(
        cell=cell,
        clocks=nets_of[register.clocked_on.program[0]],
        states=nets_of[register.state],
        inputs=tuple(nets_of[name] for name in names),
        next_state=next_state,
        clear=clear,
        preset=preset,
    )


def _ranks(functions: Sequence[_Function], net_count: int) -> list[NDArray[np.int32]]:
    """Return for each gate of each function the step in which all of its inputs are known, by Kahn's algorithm."""
    starts = np.cumsum([0, *(len(function.outputs) for function in functions)])
    total = int(starts[-1])
    driver = np.full(net_count, -1, np.int64)
    for function, start in zip(functions, starts, strict=False):
        driver[function.outputs] = np.arange(start, start + len(function.outputs))
    sources, targets = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
    for function, start in zip(functions, starts, strict=False):
        gates = np.arange(start, start + len(function.outputs))
        for nets in function.inputs:
            driven = driver[nets] >= 0
            sources.append(driver[nets][driven])
            targets.append(gates[driven])
    source, target = np.concatenate(sources), np.concatenate(targets)
    order = np.argsort(source, kind="stable")
    fanout = target[order]
    first = np.searchsorted(source[order], np.arange(total + 1))
    waiting = np.bincount(target, minlength=total)
    rank = np.full(total, -1, np.int32)
    ready = np.flatnonzero(waiting == 0)
    step = 0
    while len(ready):
        rank[ready] = step
        step += 1
        lengths = first[ready + 1] - first[ready]
        # The fan-outs of all ready gates: their slices of `fanout`, one after the other.
        offsets = np.repeat(first[ready] - np.concatenate([[0], np.cumsum(lengths)[:-1]]), lengths)
        reached, times = np.unique(fanout[offsets + np.arange(int(lengths.sum()))], return_counts=True)
        waiting[reached] -= times
        ready = reached[waiting[reached] == 0]
    if (rank < 0).any():
        raise MacgenError(f"the netlist has a combinational loop: {int((rank < 0).sum())} gates wait for one another")
    return [rank[start:stop] for start, stop in pairwise(starts)]


def _in_order(functions: Sequence[_Function], ranks: Sequence[NDArray[np.int32]]) -> tuple[Gates, ...]:
    """Gather the gates of equal function and rank."""
    parts: dict[tuple[int, tuple[str, ...]], list[tuple[_Function, NDArray[np.intp]]]] = {}
    for function, rank in zip(functions, ranks, strict=True):
        for level in np.unique(rank).tolist():
            members = np.flatnonzero(rank == level)
            parts.setdefault((level, function.expression.program), []).append((function, members))
    return tuple(
        Gates(
            level=level,
            expression=Expression(program),
            inputs=tuple(
                np.concatenate([function.inputs[place][members] for function, members in group])
                for place in range(len(group[0][0].inputs))
            ),
            outputs=np.concatenate([function.outputs[members] for function, members in group]),
        )
        for (level, program), group in sorted(parts.items(), key=lambda item: item[0])
    )


def _depth(functions: Sequence[_Function], ranks: Sequence[NDArray[np.int32]], net_count: int) -> int:
    """The largest number of gates on a path, where outputs of flip-flops and tie cells start a path."""
    depth = np.zeros(net_count, np.int32)
    for step in range(1 + max((int(rank.max(initial=-1)) for rank in ranks), default=-1)):
        for function, rank in zip(functions, ranks, strict=True):
            members = np.flatnonzero(rank == step)
            if len(members) and function.is_gate:
                deepest = np.max([depth[nets[members]] for nets in function.inputs], axis=0)
                depth[function.outputs[members]] = deepest + 1
    return int(depth.max(initial=0))
