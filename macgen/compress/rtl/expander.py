"""The receiver: what several learners sent, summed element by element."""

from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from macgen.compress.rtl.selector import sent_ports
from macgen.compress.spec import CompressSpec
from macgen.rtl.parts.bits import extend, is_zero
from macgen.rtl.parts.hierarchy import NamedConstant, submodule


def expander_ports(spec: CompressSpec) -> dict[str, Any]:
    """Return the members of an expander."""
    learners = spec.learners
    return {
        "peer_valid": In(learners),
        "peer_ready": Out(learners),
        **sent_ports(spec, "peer", In, learners),
        "peer_scale": In(learners * spec.width),
        "sum_valid": Out(1),
        "sum_ready": In(1),
        "sum_data": Out(spec.lanes * spec.sum_bits),
        "sum_end": Out(1),
        "sum_last": Out(1),
        "fault": Out(1),
    }


class Peer(wiring.Component):
    """One learner's stream: what its next beat adds to the group at work, and whether that is known yet.

    Members:
        valid: a beat is offered.
        index, sent, sign, bin_end, layer_end: it.
        scale: of its layer.
        place: the group at work.
        place_last: it is its bin's last one.
        advance: the group is done, and the next one follows.
        ready: the beat is taken.
        known: what the learner adds to the group is known.
        adds: of each lane, lane 0 lowest.
        layer_ends: the bin's beats so far, this one included if it is of this group, were marked `last`.
        fault: the beat is out of order.
    """

    def __init__(self, spec: CompressSpec) -> None:
        self._spec = spec
        lanes, bits = spec.lanes, spec.index_bits
        self.constants = {"NOTHING": NamedConstant(bits, spec.groups, "is sent of the bin: no group's number")}
        super().__init__(
            {
                "valid": In(1),
                "index": In(bits),
                **({"sent": In(lanes)} if lanes > 1 else {}),
                "sign": In(lanes),
                "bin_end": In(1),
                "layer_end": In(1),
                "scale": In(spec.width),
                "place": In(bits),
                "place_last": In(1),
                "advance": In(1),
                "ready": Out(1),
                "known": Out(1),
                "adds": Out(lanes * (spec.width + 1)),
                "layer_ends": Out(1),
                "fault": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        spec, width = self._spec, self._spec.width

        # -- Compare: the beat is of this group, of a later one, or of none: then it is dropped at once
        done = Signal()
        fresh = Signal(init=1)
        ended = Signal()
        offered = Signal()
        possible = Signal()
        here = Signal()
        nothing = Signal()
        later = Signal()
        dropped = Signal()
        before_last = self.index < spec.groups - 1 if spec.groups > 1 else Const(0, 1)
        m.d.comb += [
            offered.eq(self.valid & ~done),
            possible.eq(before_last | ((self.index == spec.groups - 1) & self.bin_end)),
            here.eq(possible & (self.index == self.place)),
            nothing.eq(self.index == spec.groups),
            later.eq(possible & (self.index > self.place)),
            dropped.eq(offered & ~here & ~later),
            self.fault.eq(dropped & ~(nothing & fresh & self.bin_end)),
            self.known.eq(done | (offered & (here | later))),
        ]

        # -- Take: with its group, or at once where it adds nothing
        taken = Signal()
        m.d.comb += [
            taken.eq(dropped | (offered & here & self.advance)),
            self.ready.eq(taken),
            self.layer_ends.eq(ended | (offered & here & self.layer_end)),
        ]
        starts = Signal()
        m.d.comb += starts.eq(self.advance & self.place_last)
        m.d.sync += [
            done.eq((done | (taken & self.bin_end)) & ~starts),
            ended.eq((ended | (taken & self.layer_end)) & ~starts),
            fresh.eq((fresh & ~taken) | starts),
        ]

        # -- Add: the scale with each lane's sign
        for lane in range(spec.lanes):
            term = Signal(width + 1, name=f"term_{lane}")
            some = offered & here & (self.sent[lane] if spec.lanes > 1 else Const(1, 1))
            negative = self.sign[lane]
            m.d.comb += [
                term.eq((Cat(self.scale, Const(0, 1)) ^ negative.replicate(width + 1)) + extend(negative, width + 1)),
                self.adds.word_select(lane, width + 1).eq(term & some.replicate(width + 1)),
            ]
        return m


class Expander(wiring.Component):
    """Sum what several learners sent: every element of every bin, a group of lanes a cycle.

    Members:
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
        super().__init__(expander_ports(spec))

    def elaborate(self, platform: object) -> Module:
        m = Module()
        spec, bits = self.spec, self.spec.index_bits

        # -- Learners: each one's next beat, compared with the group at work
        place = Signal(bits)
        place_last = Signal()
        advance = Signal()
        peers = [submodule(m, platform, f"peer_{item}", "peer", lambda: Peer(spec)) for item in range(spec.learners)]
        for item, peer in enumerate(peers):
            m.d.comb += [
                peer.valid.eq(self.peer_valid[item]),
                self.peer_ready[item].eq(peer.ready),
                peer.index.eq(self.peer_index.word_select(item, bits)),
                peer.sign.eq(self.peer_sign.word_select(item, spec.lanes)),
                peer.bin_end.eq(self.peer_end[item]),
                peer.layer_end.eq(self.peer_last[item]),
                peer.scale.eq(self.peer_scale.word_select(item, spec.width)),
                peer.place.eq(place),
                peer.place_last.eq(place_last),
                peer.advance.eq(advance),
            ]
            if spec.lanes > 1:
                m.d.comb += peer.sent.eq(self.peer_sent.word_select(item, spec.lanes))

        # -- Advance: once it is known of all learners what they add to the group
        valid = Signal()
        known = Signal()
        m.d.comb += [
            place_last.eq(place == spec.groups - 1),
            known.eq(Cat(peer.known for peer in peers).all()),
            advance.eq(known & (~valid | self.sum_ready)),
        ]
        with m.If(advance):
            m.d.sync += place.eq(Mux(place_last, 0, place + 1))
        m.d.sync += valid.eq(advance | (valid & ~self.sum_ready))

        # -- Add: the learners' terms of each lane
        sums = []
        for lane in range(spec.lanes):
            terms = [peer.adds.word_select(lane, spec.width + 1).as_signed() for peer in peers]
            while len(terms) > 1:
                pairs = [terms[at : at + 2] for at in range(0, len(terms), 2)]
                terms = [
                    extend(pair[0], spec.sum_bits) + extend(pair[1], spec.sum_bits) if len(pair) == 2 else pair[0]
                    for pair in pairs
                ]
                terms = [term[: spec.sum_bits].as_signed() for term in terms]
            total = Signal(signed(spec.sum_bits), name=f"total_{lane}")
            m.d.comb += total.eq(terms[0])
            sums.append(total)

        # -- Send: sums and marks
        data = Signal(spec.lanes * spec.sum_bits, name="sums", reset_less=True)
        end = Signal(name="ends_bin", reset_less=True)
        last = Signal(name="ends_layer", reset_less=True)
        ends = Signal(spec.learners)
        fault = Signal(name="faulty")
        m.d.comb += ends.eq(Cat(peer.layer_ends for peer in peers))
        with m.If(advance):
            m.d.sync += [data.eq(Cat(*sums)), end.eq(place_last), last.eq(place_last & ends.any())]
        disagree = Signal()
        m.d.comb += disagree.eq(advance & place_last & ends.any() & ~ends.all())
        m.d.sync += fault.eq(fault | disagree | ~is_zero(Cat(peer.fault for peer in peers)))
        m.d.comb += [
            self.sum_valid.eq(valid),
            self.sum_data.eq(data),
            self.sum_end.eq(end),
            self.sum_last.eq(last),
            self.fault.eq(fault),
        ]
        return m
