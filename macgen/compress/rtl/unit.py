"""The top module of a bundle: the compressor, and beside it the receiver of what other learners sent."""

from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In

from macgen.compress.rtl.compressor import Compressor, compressor_ports
from macgen.compress.rtl.expander import Expander, expander_ports
from macgen.compress.spec import CompressSpec
from macgen.rtl.parts.hierarchy import submodule


class Unit(wiring.Component):
    """A learner's two ends: its own gradients are compressed, those of all learners are summed.

    The two share nothing but clock and reset; each is a module that may be used alone.

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
        peer_valid, peer_ready: handshake of each learner's stream, learner 0 lowest; ready follows from valid.
        peer_index: number of the group in its bin, as `out_index`.
        peer_sent: whether each lane's element is sent.
        peer_sign: whether each is negative.
        peer_end: the bin's last beat.
        peer_last: the layer's last beat.
        peer_scale: the scale of the layer, with every beat.
        sum_valid, sum_ready: handshake of the sums.
        sum_data: of each lane, lane 0 lowest, in two's complement.
        sum_end: the bin's last group.
        sum_last: the layer's last group.
        fault: a beat was out of order, or learners did not agree on a layer's end; until reset.
    """

    def __init__(self, spec: CompressSpec) -> None:
        self.spec = spec
        super().__init__(unit_ports(spec))

    def elaborate(self, platform: object) -> Module:
        m = Module()

        # -- Compress: this learner's gradients
        compressor = submodule(m, platform, "compressor", "compressor", lambda: Compressor(self.spec))
        for name, member in compressor_ports(self.spec).items():
            port, inside = getattr(self, name), getattr(compressor, name)
            m.d.comb += inside.eq(port) if member.flow == In else port.eq(inside)
        if self.spec.learners:
            # -- Expand: what all learners sent
            expander = submodule(m, platform, "expander", "expander", lambda: Expander(self.spec))
            for name, member in expander_ports(self.spec).items():
                port, inside = getattr(self, name), getattr(expander, name)
                m.d.comb += inside.eq(port) if member.flow == In else port.eq(inside)
        return m


def unit_ports(spec: CompressSpec) -> dict[str, wiring.Member]:
    """Return the ports of a unit, but for clock and reset."""
    return {**compressor_ports(spec), **(expander_ports(spec) if spec.learners else {})}
