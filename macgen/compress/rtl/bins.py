"""The buffer of two bins: one is filled while the other is read."""

from amaranth.hdl import Const, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from macgen.compress.spec import CompressSpec
from macgen.rtl.parts.bits import extend
from macgen.rtl.parts.hierarchy import NamedConstant, submodule
from macgen.rtl.parts.memory import TwoPortMemory


class BinMemory(TwoPortMemory):
    """Words of two bins: of each lane code, overflow and magnitude ahead."""


class Bins(wiring.Component):
    """Fill one bin and find its largest magnitude, while the other one is read.

    Members:
        valid: a group is offered.
        data: words of its lanes, lane 0 lowest.
        magnitudes: of its elements, lane 0 lowest.
        last: it is the layer's last one.
        held: a layer's last group has to wait.
        take: the group is taken.
        closed: a bin was completed in the cycle before.
        closed_largest: its largest magnitude.
        closed_last: it is the layer's last one.
        step: the next group is read, if there is one.
        read: there is one.
        read_index: its number in its bin.
        read_end: it is its bin's last one.
        read_last: it is its layer's last one.
        read_largest: the largest magnitude of its bin.
        read_data: its words, a cycle later.
    """

    def __init__(self, spec: CompressSpec) -> None:
        self._spec, word = spec, spec.word_bits
        lanes, index = spec.lanes, max((spec.groups - 1).bit_length(), 1)
        self.constants = {
            "LAST_GROUP": NamedConstant(index, spec.groups - 1, "of a full bin, counted from 0"),
            "GROUPS": NamedConstant(max((2 * spec.groups - 1).bit_length(), 1), spec.groups, "of a bin"),
        }
        super().__init__(
            {
                "valid": In(1),
                "data": In(lanes * word),
                "magnitudes": In(lanes * spec.width),
                "last": In(1),
                "held": In(1),
                "take": Out(1),
                "closed": Out(1),
                "closed_largest": Out(spec.width),
                "closed_last": Out(1),
                "step": In(1),
                "read": Out(1),
                "read_index": Out(index),
                "read_end": Out(1),
                "read_last": Out(1),
                "read_largest": Out(spec.width),
                "read_data": Out(lanes * word),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        spec, groups, width = self._spec, self._spec.groups, self._spec.width
        index = len(self.read_index)

        # -- Fill: a group goes to the bin at work, unless it is still being read
        into = Signal()
        count = Signal(index)
        full = Signal(2)
        occupied = Signal()
        closes = Signal()
        m.d.comb += [
            occupied.eq(Mux(into, full[1], full[0])),
            self.take.eq(self.valid & ~occupied & ~(self.last & self.held)),
            closes.eq(self.take & (self.last | (count == groups - 1))),
        ]
        with m.If(self.take):
            m.d.sync += count.eq(Mux(closes, 0, count + 1))
        with m.If(closes):
            m.d.sync += into.eq(~into)

        # -- Largest: of the bin so far and the lanes of this group
        so_far = Signal(width)
        largest: Value = so_far
        for lane in range(spec.lanes):
            magnitude = self.magnitudes.word_select(lane, width)
            larger = Signal(width, name=f"larger_{lane}")
            m.d.comb += larger.eq(Mux(magnitude > largest, magnitude, largest))
            largest = larger
        with m.If(self.take):
            m.d.sync += so_far.eq(Mux(closes, 0, largest))

        # -- Close: what is known of a bin once it is complete
        closed = Signal(name="was_closed")
        closed_last = Signal(name="was_last", reset_less=True)
        closed_largest = Signal(width, name="was_largest", reset_less=True)
        tops = [Signal(index, name=f"top_{bank}", reset_less=True) for bank in range(2)]
        lasts = [Signal(name=f"last_{bank}", reset_less=True) for bank in range(2)]
        largests = [Signal(width, name=f"largest_{bank}", reset_less=True) for bank in range(2)]
        m.d.sync += [closed.eq(closes), closed_last.eq(self.last), closed_largest.eq(largest)]
        m.d.comb += [
            self.closed.eq(closed),
            self.closed_last.eq(closed_last),
            self.closed_largest.eq(closed_largest),
        ]
        for bank in range(2):
            with m.If(closes & (into == bank)):
                m.d.sync += [tops[bank].eq(count), lasts[bank].eq(self.last), largests[bank].eq(largest)]

        # -- Read: group by group of the bin that was completed first
        out = Signal(name="out_of")
        place = Signal(index)
        ends = Signal()
        steps = Signal()
        m.d.comb += [
            self.read.eq(Mux(out, full[1], full[0])),
            self.read_index.eq(place),
            ends.eq(place == Mux(out, tops[1], tops[0])),
            self.read_end.eq(ends),
            self.read_last.eq(ends & Mux(out, lasts[1], lasts[0])),
            self.read_largest.eq(Mux(out, largests[1], largests[0])),
            steps.eq(self.read & self.step),
        ]
        with m.If(steps):
            m.d.sync += place.eq(Mux(ends, 0, place + 1))
        with m.If(steps & ends):
            m.d.sync += out.eq(~out)
        for bank in range(2):
            m.d.sync += full[bank].eq((full[bank] | (closes & (into == bank))) & ~(steps & ends & (out == bank)))

        # -- Memory: the second bin lies above the first
        words = submodule(m, platform, "memory", "memory", lambda: BinMemory(2 * groups, spec.lanes * spec.word_bits))
        bits = len(words.write_address)
        write_address = Signal(bits)
        read_address = Signal(bits)
        m.d.comb += [
            write_address.eq(extend(count, bits) + Mux(into, Const(groups, bits), Const(0, bits))),
            read_address.eq(extend(place, bits) + Mux(out, Const(groups, bits), Const(0, bits))),
            words.write.eq(self.take),
            words.write_address.eq(write_address),
            words.write_data.eq(self.data),
            words.read.eq(steps),
            words.read_address.eq(read_address),
            self.read_data.eq(words.read_data),
        ]
        return m
