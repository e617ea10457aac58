"""The second pass over a bin: which elements are sent, and the two streams that leave."""

from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from macgen.compress.spec import CompressSpec
from macgen.rtl.parts.bits import extend
from macgen.rtl.parts.hierarchy import NamedConstant


def sent_ports(spec: CompressSpec, prefix: str, flow: Any, streams: int = 1) -> dict[str, Any]:
    """Return the members of a stream of what is sent, but for its handshake and its scale; or of several together."""
    lanes = {f"{prefix}_sent": flow(streams * spec.lanes)} if spec.lanes > 1 else {}
    return {
        f"{prefix}_index": flow(streams * spec.index_bits),
        **lanes,
        f"{prefix}_sign": flow(streams * spec.lanes),
        f"{prefix}_end": flow(streams),
        f"{prefix}_last": flow(streams),
    }


class Selector(wiring.Component):
    """Decide of each element whether it is sent. All elements go to one stream, those that are sent to another.

    What is sent waits until the next group that sends something, or its bin's end: only then is it known whether it is
    marked `end`.

    Members:
        group: a group is there.
        index: its number in its bin.
        bin_end, layer_end: it is its bin's, its layer's last one.
        codes, overflows: of its elements, lane 0 lowest.
        aheads: magnitudes that decide, lane 0 lowest.
        largest: the largest magnitude of its bin.
        take: it is taken.
        mean_ready: the layer's scale is known.
        mean: it.
        mean_taken: it leaves.
        kept_valid, kept_ready: handshake of what is kept.
        kept_data: accumulated gradients.
        kept_sent, kept_overflow: of each lane.
        kept_last: the layer's last beat.
        out_valid, out_ready: handshake of what is sent.
        out_index: of the group in its bin.
        out_sent, out_sign: of each lane.
        out_end: the bin's last beat.
        out_last: the layer's last beat.
        out_scale: with `out_last`.
    """

    def __init__(self, spec: CompressSpec) -> None:
        self._spec = spec
        lanes, width = spec.lanes, spec.width
        self.constants = {
            "NOTHING": NamedConstant(spec.index_bits, spec.groups, "is sent of the bin: no group's number")
        }
        super().__init__(
            {
                "group": In(1),
                "index": In(max((spec.groups - 1).bit_length(), 1)),
                "bin_end": In(1),
                "layer_end": In(1),
                "codes": In(lanes * width),
                "overflows": In(lanes),
                "aheads": In(lanes * (width + 1)),
                "largest": In(width),
                "take": Out(1),
                "mean_ready": In(1),
                "mean": In(width),
                "mean_taken": Out(1),
                "kept_valid": Out(1),
                "kept_ready": In(1),
                "kept_data": Out(lanes * width),
                "kept_sent": Out(lanes),
                "kept_overflow": Out(lanes),
                "kept_last": Out(1),
                "out_valid": Out(1),
                "out_ready": In(1),
                **sent_ports(spec, "out", Out),
                "out_scale": Out(width),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        spec, lanes, width, bits = self._spec, self._spec.lanes, self._spec.width, self._spec.index_bits

        # -- Choose: what is not 0 and, a gradient ahead, reaches the largest magnitude
        chosen = Signal(lanes)
        for lane in range(lanes):
            code, ahead = self.codes.word_select(lane, width), self.aheads.word_select(lane, width + 1)
            m.d.comb += chosen[lane].eq(code.any() & (ahead >= Cat(self.largest, Const(0, 1))))
        valid = Signal()
        index = Signal(len(self.index), name="group_index", reset_less=True)
        end = Signal(name="group_end", reset_less=True)
        last = Signal(name="group_last", reset_less=True)
        codes = Signal(lanes * width, name="group_codes", reset_less=True)
        overflows = Signal(lanes, name="group_overflows", reset_less=True)
        sent = Signal(lanes, name="group_sent", reset_less=True)
        sign = Signal(lanes, name="group_sign", reset_less=True)
        negative = Cat(self.codes.word_select(lane, width)[-1] for lane in range(lanes))
        with m.If(self.take):
            m.d.sync += [
                index.eq(self.index),
                end.eq(self.bin_end),
                last.eq(self.layer_end),
                codes.eq(self.codes),
                overflows.eq(self.overflows),
                sent.eq(chosen),
                sign.eq(chosen & negative),
            ]

        # -- Move: a group goes on when both streams have room for what it brings
        leaves = Signal()
        pushes = Signal()
        moves = Signal()
        kept_free = Signal()
        out_free = Signal()
        waiting_closed = Signal()
        waiting_last = Signal(reset_less=True)
        waiting_index = Signal(len(index), reset_less=True)
        waiting_sent = Signal(lanes)
        waiting_sign = Signal(lanes)
        some_wait = Signal()
        some_sent = Signal()
        kept_valid = Signal(name="kept_full")
        out_valid = Signal(name="out_full")
        m.d.comb += [
            kept_free.eq(~kept_valid | self.kept_ready),
            out_free.eq(~out_valid | self.out_ready),
            some_wait.eq(waiting_sent.any() & ~waiting_closed),
            some_sent.eq(sent.any()),
            leaves.eq(waiting_closed & out_free & (~waiting_last | self.mean_ready)),
            moves.eq(valid & kept_free & (~waiting_closed | leaves) & (~(some_wait & some_sent) | out_free)),
            pushes.eq(moves & some_wait & some_sent),
            self.take.eq(self.group & (~valid | moves)),
            self.mean_taken.eq(leaves & waiting_last),
        ]
        m.d.sync += valid.eq(self.take | (valid & ~moves))

        # -- Keep: every element goes to the stream of what is kept
        kept_data = Signal(lanes * width, name="keeps_data", reset_less=True)
        kept_sent = Signal(lanes, name="keeps_sent", reset_less=True)
        kept_overflow = Signal(lanes, name="keeps_overflow", reset_less=True)
        kept_last = Signal(name="keeps_last", reset_less=True)
        m.d.sync += kept_valid.eq(moves | (kept_valid & ~self.kept_ready))
        with m.If(moves):
            m.d.sync += [kept_data.eq(codes), kept_sent.eq(sent), kept_overflow.eq(overflows), kept_last.eq(last)]
        m.d.comb += [
            self.kept_valid.eq(kept_valid),
            self.kept_data.eq(kept_data),
            self.kept_sent.eq(kept_sent),
            self.kept_overflow.eq(kept_overflow),
            self.kept_last.eq(kept_last),
        ]

        # -- Wait: what is sent, until it is known whether more of its bin follows
        with m.If(moves):
            m.d.sync += [waiting_closed.eq(end), waiting_last.eq(last)]
        with m.Elif(leaves):
            m.d.sync += waiting_closed.eq(0)
        with m.If(moves & some_sent):
            m.d.sync += [waiting_index.eq(index), waiting_sent.eq(sent), waiting_sign.eq(sign)]
        with m.Elif(leaves):
            m.d.sync += [waiting_sent.eq(0), waiting_sign.eq(0)]

        # -- Send: with the mark of its bin's end, and at the layer's end with the scale
        out_index = Signal(bits, name="sends_index", reset_less=True)
        out_sent = Signal(lanes, name="sends_sent", reset_less=True)
        out_sign = Signal(lanes, name="sends_sign", reset_less=True)
        out_end = Signal(name="sends_end", reset_less=True)
        out_last = Signal(name="sends_last", reset_less=True)
        out_scale = Signal(width, name="sends_scale", reset_less=True)
        emits = Signal()
        m.d.comb += emits.eq(leaves | pushes)
        m.d.sync += out_valid.eq(emits | (out_valid & ~self.out_ready))
        with m.If(emits):
            m.d.sync += [
                out_index.eq(Mux(waiting_sent.any(), extend(waiting_index, bits), Const(spec.groups, bits))),
                out_sent.eq(waiting_sent),
                out_sign.eq(waiting_sign),
                out_end.eq(waiting_closed),
                out_last.eq(waiting_closed & waiting_last),
                out_scale.eq(self.mean),
            ]
        m.d.comb += [
            self.out_valid.eq(out_valid),
            self.out_index.eq(out_index),
            self.out_sign.eq(out_sign),
            self.out_end.eq(out_end),
            self.out_last.eq(out_last),
            self.out_scale.eq(out_scale),
        ]
        if lanes > 1:
            m.d.comb += self.out_sent.eq(out_sent)
        return m
