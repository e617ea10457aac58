"""The compressor: elements in, what is kept and what is sent out."""

from typing import Any

from amaranth.hdl import Cat, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from macgen.compress.rtl.bins import Bins
from macgen.compress.rtl.element import STAGES, Element
from macgen.compress.rtl.mean import Mean
from macgen.compress.rtl.selector import Selector, sent_ports
from macgen.compress.spec import CompressSpec
from macgen.rtl.parts.hierarchy import submodule

LATENCY = STAGES + 4
"""Cycles from the one in which a bin's last beat is taken to the first one with what is kept of it."""


def compressor_ports(spec: CompressSpec) -> dict[str, Any]:
    """Return the members of a compressor."""
    lanes, width = spec.lanes, spec.width
    return {
        "in_valid": In(1),
        "in_ready": Out(1),
        "in_kept": In(lanes * width),
        "in_sent": In(lanes),
        "in_scale": In(width),
        "in_gradient": In(lanes * width),
        "in_last": In(1),
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


class Compressor(wiring.Component):
    """Compress gradients: a group of lanes a cycle, two bins buffered.

    Members:
        in_valid, in_ready: handshake of the elements; ready does not depend on valid.
        in_kept: accumulated gradients of the last step, lane 0 lowest.
        in_sent: whether each lane's was sent.
        in_scale: the layer's scale in the last step, with every beat.
        in_gradient: new gradients, lane 0 lowest.
        in_last: the layer's last beat; lanes beyond its end hold 0.
        kept_valid, kept_ready: handshake of what is kept, in the order of the elements.
        kept_data: accumulated gradients, lane 0 lowest.
        kept_sent: whether each lane's is sent.
        kept_overflow: whether each lane's is the end of the range.
        kept_last: the layer's last beat.
        out_valid, out_ready: handshake of what is sent.
        out_index: number of the group in its bin; that of groups in a bin: nothing of the bin is sent.
        out_sent: whether each lane's element is sent.
        out_sign: whether each is negative.
        out_end: the bin's last beat.
        out_last: the layer's last beat.
        out_scale: the layer's scale, with `out_last`.
    """

    def __init__(self, spec: CompressSpec) -> None:
        self.spec = spec
        super().__init__(compressor_ports(spec))

    def elaborate(self, platform: object) -> Module:
        m = Module()
        spec, lanes, width = self.spec, self.spec.lanes, self.spec.width
        word = spec.word_bits

        # -- Elements: three stages, which move unless the last one cannot go into the buffer
        move = Signal()
        valid = Signal(STAGES)
        last = Signal(STAGES, reset_less=True)
        m.d.comb += self.in_ready.eq(move)
        with m.If(move):
            m.d.sync += [valid.eq(Cat(self.in_valid, valid[:-1])), last.eq(Cat(self.in_last, last[:-1]))]
        elements = [
            submodule(m, platform, f"element_{lane}", "element", lambda: Element(spec)) for lane in range(lanes)
        ]
        for lane, element in enumerate(elements):
            m.d.comb += [
                element.move.eq(move),
                element.kept.eq(self.in_kept.word_select(lane, width)),
                element.sent.eq(self.in_sent[lane]),
                element.scale.eq(self.in_scale),
                element.gradient.eq(self.in_gradient.word_select(lane, width)),
            ]

        # -- Buffer: a layer's last group waits until the scale of the layer before has left
        bins = submodule(m, platform, "buffer", "buffer", lambda: Bins(spec))
        awaited = Signal()
        mean = submodule(m, platform, "scale", "mean", lambda: Mean(spec))
        selector = submodule(m, platform, "selector", "selector", lambda: Selector(spec))
        m.d.comb += [
            bins.valid.eq(valid[-1]),
            bins.data.eq(Cat(Cat(each.code, each.overflow, each.ahead) for each in elements)),
            bins.magnitudes.eq(Cat(each.magnitude for each in elements)),
            bins.last.eq(last[-1]),
            bins.held.eq(awaited),
            move.eq(~valid[-1] | bins.take),
        ]
        m.d.sync += awaited.eq((bins.take & last[-1]) | (awaited & ~selector.mean_taken))

        # -- Scale: the mean of the bins' largest magnitudes
        m.d.comb += [
            mean.add.eq(bins.closed),
            mean.largest.eq(bins.closed_largest),
            mean.last.eq(bins.closed_last),
            mean.taken.eq(selector.mean_taken),
        ]

        # -- Second pass: the words that were read, with what is known of their bin
        group = Signal()
        index = Signal(len(bins.read_index), reset_less=True)
        end = Signal(name="ends_bin", reset_less=True)
        last_group = Signal(name="ends_layer", reset_less=True)
        largest = Signal(width, reset_less=True)
        m.d.comb += bins.step.eq(~group | selector.take)
        with m.If(bins.step):
            m.d.sync += [
                group.eq(bins.read),
                index.eq(bins.read_index),
                end.eq(bins.read_end),
                last_group.eq(bins.read_last),
                largest.eq(bins.read_largest),
            ]
        words = [bins.read_data.word_select(lane, word) for lane in range(lanes)]
        m.d.comb += [
            selector.group.eq(group),
            selector.index.eq(index),
            selector.bin_end.eq(end),
            selector.layer_end.eq(last_group),
            selector.codes.eq(Cat(each[:width] for each in words)),
            selector.overflows.eq(Cat(each[width] for each in words)),
            selector.aheads.eq(Cat(each[width + 1 :] for each in words)),
            selector.largest.eq(largest),
            selector.mean_ready.eq(mean.ready),
            selector.mean.eq(mean.mean),
        ]

        # -- Streams: what is kept, and what is sent
        for name, member in self.signature.members.items():
            if name.startswith(("kept_", "out_")):
                port, inside = getattr(self, name), getattr(selector, name)
                m.d.comb += inside.eq(port) if member.flow == In else port.eq(inside)
        return m
