"""The array's input side: takes beats, counts chunks, tells the PEs what to do."""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from macgen.rtl.bits import is_zero
from macgen.rtl.pe import Control
from macgen.spec import MacSpec


class Sequencer(wiring.Component):
    """Turn the marks of the input streams into PE control.

    Members:
        valid: both operand streams offer a beat.
        first, last: the marks of the offered beat.
        busy: results wait to be taken; a beat with `last` is held until they are.
        accept: the beat is taken.
        control: what the PEs do, in the same cycle.
    """

    def __init__(self, spec: MacSpec) -> None:
        self._spec = spec
        super().__init__(
            {
                "valid": In(1),
                "first": In(1),
                "last": In(1),
                "busy": In(1),
                "accept": Out(1),
                "control": Out(Control(spec)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        fresh = Signal(init=1)  # the next beat starts dot products, marked or not
        held = Signal()
        m.d.comb += [held.eq(self.last & self.busy), self.control.step.eq(self.accept)]
        with m.If(self.accept):
            m.d.sync += fresh.eq(self.last)
        if self._spec.chunk is None:
            m.d.comb += [
                self.accept.eq(self.valid & ~held),
                self.control.first.eq(self.accept & (self.first | fresh)),
                self.control.done.eq(self.accept & self.last),
            ]
            if self._spec.has_outer_adder:  # which then has one sum to add
                m.d.comb += [self.control.fold.eq(self.control.done), self.control.fold_first.eq(1)]
            return m

        beats = self._spec.chunk // self._spec.lanes
        count = Signal(max((beats - 1).bit_length(), 1))  # beats of this chunk taken so far
        restart = Signal()
        position = Signal.like(count)
        chunk_end = Signal()
        first_chunk = Signal(init=1)
        if self._spec.has_outer_adder:
            m.d.comb += [
                restart.eq(self.first & ~fresh),
                position.eq(Mux(restart, 0, count)),
                chunk_end.eq(self.last | (position == beats - 1)),
                self.accept.eq(self.valid & ~held),
                self.control.first.eq(self.accept & is_zero(position)),
                self.control.fold.eq(self.accept & chunk_end),
                self.control.fold_first.eq(first_chunk | restart),
                self.control.done.eq(self.accept & self.last),
            ]
            with m.If(self.accept):
                m.d.sync += [
                    count.eq(Mux(chunk_end, 0, position + 1)),
                    first_chunk.eq(Mux(chunk_end, self.last, first_chunk | restart)),
                ]
            return m
        fold_due = Signal()
        fold_first = Signal(init=1)
        done_due = Signal()
        m.d.comb += [
            restart.eq(self.first & ~fresh),
            chunk_end.eq(self.last | (position == beats - 1)),
        ]
        m.d.sync += fold_due.eq(self.accept & chunk_end)
        with m.If(self.accept):
            m.d.sync += count.eq(Mux(chunk_end, 0, position + 1))
            with m.If(chunk_end):
                m.d.sync += [
                    fold_first.eq(first_chunk | restart),
                    first_chunk.eq(self.last),
                    done_due.eq(self.last),
                ]
            with m.Elif(restart):
                m.d.sync += first_chunk.eq(1)
        m.d.comb += [self.control.fold_first.eq(fold_first), self.control.done.eq(fold_due & done_due)]
        if self._spec.fold == "overlap":
            m.d.comb += [
                position.eq(Mux(restart, 0, count)),
                self.accept.eq(self.valid & ~held),
                self.control.fold.eq(fold_due),
                self.control.first.eq(self.accept & (position == 0)),
            ]
            return m

        # A fold takes a cycle for itself. So does the dropping of unfinished sums, also after reset: the chunk sums
        # are folded into a total that nobody reads, which empties the accumulators.
        drop = Signal()
        empty = Signal()
        m.d.comb += [
            position.eq(count),
            drop.eq(~fold_due & (~empty | (self.valid & restart))),
            self.accept.eq(self.valid & ~held & ~fold_due & ~drop),
            self.control.fold.eq(fold_due | drop),
        ]
        m.d.sync += empty.eq(1)
        with m.If(drop):
            m.d.comb += self.control.fold_first.eq(1)
            m.d.sync += [fresh.eq(1), first_chunk.eq(1), count.eq(0)]
        return m
