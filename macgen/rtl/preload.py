"""Preloaded accumulators: how start values reach the PEs, and when (docs/arithmetic.md section 11)."""

from collections.abc import Sequence
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from macgen.numerics.flags import FLAG_BITS
from macgen.rtl.design import Design


class Preloader(wiring.Component):
    """Take the start values of a tile, one beat a row and turn, and tell when dot products may start from them.

    Members:
        valid: a beat is offered.
        ready: it is taken if it is.
        shift: the start values move up by one register.
        starts: dot products start from them.
        used: the last PE has its own of the last turn.
        loaded: all are there, and no dot product has started from them.
    """

    def __init__(self, beats: int) -> None:
        self._beats = beats
        inputs = {name: In(1) for name in ("valid", "starts", "used")}
        super().__init__(inputs | {name: Out(1) for name in ("ready", "shift", "loaded")})

    def elaborate(self, platform: object) -> Module:
        m = Module()

        # -- Count beats: until each PE has a start value for each turn
        full = Signal()
        count = Signal(max((self._beats - 1).bit_length(), 1))
        last = Signal()
        m.d.comb += [self.ready.eq(~full), self.shift.eq(self.valid & ~full), last.eq(count == self._beats - 1)]
        with m.If(self.shift):
            m.d.sync += count.eq(Mux(last, 0, count + 1))

        # -- Hold: from the beat that starts dot products until the last PE has its start value, no more are taken
        started = Signal()
        m.d.comb += self.loaded.eq(full & ~started)
        m.d.sync += [
            full.eq((full | (self.shift & last)) & ~self.used),
            started.eq((started | self.starts) & ~self.used),
        ]
        return m


class StartRegisters:
    """The start values in a PE, one for each turn: a part of the column's shift register towards row 0.

    Parameters:
        m, design: of the PE.
        shift: the start values move up by one register.
        from_below: those of the PE below.
        starts: a dot product starts: the first one is used, and the next turn's becomes the first.

    Attributes:
        value: the first one, a state of `Design.results`.
        flags: that it raises.
        to_above: for the PE above.
    """

    def __init__(self, m: Module, design: Design, *, shift: Value, from_below: Value, starts: Value) -> None:
        # -- Start registers: one for each turn, a part of the column's shift register
        moves = Signal(name="start_moves")
        m.d.comb += moves.eq(shift | starts)
        source = from_below
        for turn in reversed(range(design.spec.interleave)):
            register = Signal(design.start_bits, name=f"start_{turn}", reset_less=True)
            with m.If(moves):
                m.d.sync += register.eq(source)
            source = register
        value, invalid = design.unpack_result(source)
        self.value: SimpleNamespace = value
        self.flags: Value = Cat(Const(0, FLAG_BITS - 1), invalid) if len(invalid) else Const(0, FLAG_BITS)
        self.to_above = source


def stack_starts(m: Module, parts: Sequence[Any], shift: Value) -> None:
    """Connect the start values of rows or of bands, which move up as the results do."""
    # -- Start values: from the row below
    for part in parts:
        m.d.comb += part.start_shift.eq(shift)
    for above, below in pairwise(parts):
        m.d.comb += above.start_in.eq(below.start_out)
