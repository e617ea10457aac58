"""Bit-parallel simulation of a mapped netlist, cycle by cycle without delays, with the toggles of every net counted.

A 64-bit word holds 64 lanes, which are independent runs with stimuli of their own. Gates of one function at one level
are evaluated at once by array indexing.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from macgen.cost.library.boolean import Expression
from macgen.cost.netlist.levels import Nets
from macgen.cost.netlist.netlist import CONSTANT_1, Netlist
from macgen.errors import MacgenError

Words = NDArray[np.uint64]

_ONES = np.uint64(0xFFFF_FFFF_FFFF_FFFF)
_MOST_PASSES = 16  # until asynchronous resets that depend on one another have settled


@dataclass(frozen=True, eq=False)
class Activity:
    """How often each net of a netlist switched.

    Attributes:
        cycles: clock cycles counted, over all lanes.
        toggles: for each net, toggles per cycle.
        duty: for each net, the fraction of cycles at the end of which it is 1; of a gated clock, those let through.
    """

    cycles: int
    toggles: NDArray[np.float64]
    duty: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class _Step:
    """Gates of one function at one level, whose outputs are rows `start` to `stop` of the values."""

    expression: Expression
    variables: tuple[str, ...]
    inputs: tuple[Nets, ...]
    start: int
    stop: int


@dataclass(frozen=True, eq=False)
class _Register:
    """Flip-flops of one cell type, by rows of the values."""

    states: Nets
    inputs: tuple[Nets, ...]
    next_state: Expression
    clear: Expression | None
    preset: Expression | None
    gates: Nets | None  # rows of 1 where the clock is let through; None where it always is


class NetlistSimulator:
    """A netlist in simulation: set input ports, `tick`, get output ports.

    All flip-flops must be clocked by the rising edge of one input port, directly or through one clock gate. They start
    at their initial values, or at 0.

    Parameters:
        netlist: the netlist.
        lanes: independent runs, a multiple of 64.

    Raises:
        MacgenError: the flip-flops do not have one input port as their clock, the netlist has a combinational loop or
            a cell that cannot be simulated, or `lanes` is no multiple of 64.
    """

    def __init__(self, netlist: Netlist, lanes: int = 64) -> None:
        if lanes < 64 or lanes % 64:
            raise MacgenError(f"lanes {lanes} is not a positive multiple of 64")
        self.netlist = netlist
        self.lanes = lanes
        levels = netlist.levels
        self.clock = clock_port(netlist)
        # Rows in the order of evaluation: then each step writes one slice.
        driven = np.zeros(levels.net_count, bool)
        for gates in levels.gates:
            driven[gates.outputs] = True
        order = np.concatenate([np.flatnonzero(~driven), *(gates.outputs for gates in levels.gates)])
        self._row = np.empty(levels.net_count, np.int32)
        self._row[order] = np.arange(levels.net_count, dtype=np.int32)
        self._steps = []
        start = levels.net_count - int(driven.sum())
        for gates in levels.gates:
            stop = start + len(gates.outputs)
            variables = tuple(f"v{place}" for place in range(len(gates.inputs)))
            inputs = tuple(self._row[nets] for nets in gates.inputs)
            self._steps.append(_Step(gates.expression, variables, inputs, start, stop))
            start = stop
        # The row of a gated clock says whether it is let through this cycle.
        self._clock_gates = [
            (self._row[gates.outputs], [self._row[nets] for nets in gates.enables]) for gates in levels.clock_gates
        ]
        self._gated = _gated_clocks(netlist)
        self._registers = [
            _Register(
                self._row[group.states],
                tuple(self._row[nets] for nets in group.inputs),
                group.next_state,
                group.clear,
                group.preset,
                self._gates_of(group.clocks),
            )
            for group in levels.flip_flops
        ]
        self._asynchronous = [group for group in self._registers if group.clear or group.preset]
        self._values = np.zeros((levels.net_count, lanes // 64), np.uint64)
        self._values[self._row[CONSTANT_1]] = _ONES
        self._values[self._row[netlist.ones_at_start]] = _ONES
        self._settled = False
        self._previous: Words | None = None
        self._counted = 0
        self._toggles = np.zeros(levels.net_count, np.int64)
        self._ones = np.zeros(levels.net_count, np.int64)

    def set(self, port: str, bits: ArrayLike) -> None:
        """Set an input port.

        Parameters:
            port: name of the port.
            bits: zeros and ones of shape (width, lanes), (width, 1) or (1, 1), from the least significant bit.
        """
        nets = self._port(port, "input")
        array = np.broadcast_to(np.asarray(bits, np.uint8), (len(nets), self.lanes))
        self._values[self._row[nets]] = np.packbits(array, axis=1, bitorder="little").view("<u8")
        self._settled = False

    def get(self, port: str) -> NDArray[np.uint8]:
        """Return the bits of a port as zeros and ones of shape (width, lanes), from the least significant bit."""
        self.settle()
        words = self._values[self._row[self._port(port)]].astype("<u8")
        return np.unpackbits(words.view(np.uint8), axis=1, bitorder="little")

    def settle(self) -> None:
        """Evaluate all gates, and asynchronous resets and sets."""
        if self._settled:
            return
        for _ in range(_MOST_PASSES):
            for step in self._steps:
                values = {
                    name: self._values.take(rows, 0) for name, rows in zip(step.variables, step.inputs, strict=True)
                }
                self._values[step.start : step.stop] = step.expression.evaluate(values, _ONES)
            for rows, enables in self._clock_gates:
                self._values[rows] = np.bitwise_or.reduce([self._values[enable] for enable in enables])
            if not self._force_states():
                self._settled = True
                return
        raise MacgenError(f"the asynchronous resets of netlist {self.netlist.top} do not settle")

    def tick(self) -> None:
        """Settle, count if counting is on, and let the clock rise."""
        self.settle()
        if self._previous is not None:
            self._toggles += np.bitwise_count(self._values ^ self._previous).sum(axis=1, dtype=np.int64)
            self._ones += np.bitwise_count(self._values).sum(axis=1, dtype=np.int64)
            self._counted += 1
            np.copyto(self._previous, self._values)
        # All next states before the first is stored: flip-flops feed one another.
        nexts = [self._forced(group, self._next_states(group)) for group in self._registers]
        for group, states in zip(self._registers, nexts, strict=True):
            self._values[group.states] = states
        self._settled = False

    def start_counting(self) -> None:
        """Count toggles from the values that are now, forgetting earlier counts."""
        self.settle()
        self._previous = self._values.copy()
        self._counted = 0
        self._toggles[:] = 0
        self._ones[:] = 0

    def activity(self) -> Activity:
        """Return what was counted since `start_counting`.

        Raises:
            MacgenError: nothing was.
        """
        if not self._counted:
            raise MacgenError(f"no cycle of netlist {self.netlist.top} has been counted")
        cycles = self._counted * self.lanes
        rows = self._row[: self.netlist.net_count]
        toggles, duty = self._toggles[rows] / cycles, self._ones[rows] / cycles
        # A clock that is let through rises and falls in its cycle.
        toggles[self._gated] = 2 * duty[self._gated]
        return Activity(cycles, toggles, duty)

    def _port(self, name: str, direction: str | None = None) -> Nets:
        port = self.netlist.ports.get(name)
        if port is None or (direction is not None and port.direction != direction) or name == self.clock:
            kind = f"{direction} port" if direction else "port"
            raise MacgenError(f"netlist {self.netlist.top} has no {kind} {name!r} besides the clock")
        return port.nets

    def _evaluated(self, group: _Register, expression: Expression) -> Words:
        values = {f"v{place}": self._values.take(rows, 0) for place, rows in enumerate(group.inputs)}
        words: Words = expression.evaluate(values, _ONES)
        return words

    def _gates_of(self, clocks: Nets) -> Nets | None:
        gated = np.isin(clocks, self._gated)
        return np.where(gated, self._row[clocks], self._row[CONSTANT_1]) if gated.any() else None

    def _next_states(self, group: _Register) -> Words:
        states = self._evaluated(group, group.next_state)
        if group.gates is None:
            return states
        held = self._values[group.states]
        changed: Words = held ^ ((held ^ states) & self._values[group.gates])
        return changed

    def _forced(self, group: _Register, states: Words) -> Words:
        """Return states after asynchronous sets and resets; a reset wins over a set."""
        if group.preset is not None:
            states = states | self._evaluated(group, group.preset)
        if group.clear is not None:
            states = states & ~self._evaluated(group, group.clear)
        return states

    def _force_states(self) -> bool:
        """Apply asynchronous sets and resets; return whether a state changed."""
        changed = False
        for group in self._asynchronous:
            before = self._values[group.states]
            states = self._forced(group, before)
            if not np.array_equal(states, before):
                self._values[group.states] = states
                changed = True
        return changed


def _gated_clocks(netlist: Netlist) -> Nets:
    """Return the nets that clock gates drive.

    Raises:
        MacgenError: one of them clocks another.
    """
    gates = netlist.levels.clock_gates
    outputs = np.concatenate([np.zeros(0, np.int32), *(group.outputs for group in gates)])
    if any(np.isin(group.clocks, outputs).any() for group in gates):
        raise MacgenError(f"a clock gate of netlist {netlist.top} drives another; accepted is one before a flip-flop")
    return outputs


def clock_port(netlist: Netlist) -> str | None:
    """Return the name of the input port that clocks all flip-flops, maybe through clock gates, or None without any."""
    levels = netlist.levels
    nets = [group.clocks for group in levels.flip_flops] + [gates.clocks for gates in levels.clock_gates]
    clocks = np.setdiff1d(np.concatenate([np.zeros(0, np.int32), *nets]), _gated_clocks(netlist))
    if not len(clocks):
        return None
    for name, port in netlist.ports.items():
        if port.direction == "input" and len(port.nets) == 1 and len(clocks) == 1 and port.nets[0] == clocks[0]:
            return name
    found = f"the flip-flops of netlist {netlist.top} have {len(clocks)} clock nets"
    raise MacgenError(f"{found}; accepted is one, an input port by itself")


def to_bits(codes: ArrayLike, width: int) -> NDArray[np.uint8]:
    """Return the bits of unsigned codes of shape (lanes,), as zeros and ones of shape (width, lanes)."""
    array = np.asarray(codes, np.uint64)
    return (array[None, :] >> np.arange(width, dtype=np.uint64)[:, None] & np.uint64(1)).astype(np.uint8)


def from_bits(bits: ArrayLike) -> NDArray[np.uint64]:
    """Return the unsigned codes of shape (lanes,) whose bits, up to 64, are given in shape (width, lanes)."""
    array = np.asarray(bits, np.uint64)
    codes: NDArray[np.uint64] = (array << np.arange(len(array), dtype=np.uint64)[:, None]).sum(axis=0, dtype=np.uint64)
    return codes
