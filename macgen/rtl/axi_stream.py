"""The array behind AXI4-Stream ports: register slices round the core, so that no input reaches an output at once."""

from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from macgen.rtl.array import ArrayCore
from macgen.rtl.axi_layout import axi_signature, fields_of
from macgen.rtl.counting import connect_counts
from macgen.rtl.design import Design
from macgen.rtl.parts.hierarchy import submodule
from macgen.spec_fields import Interface


class RegisterSlice(wiring.Component):
    """Hold up to two beats of a stream: every output comes from a register, and a beat can move in every cycle.

    Members:
        i_valid, i_ready, i_payload: the stream in.
        o_valid, o_ready, o_payload: the same, a cycle later.
    """

    def __init__(self, width: int) -> None:
        self._width = width
        super().__init__(
            {
                "i_valid": In(1),
                "i_ready": Out(1),
                "i_payload": In(width),
                "o_valid": Out(1),
                "o_ready": In(1),
                "o_payload": Out(width),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()

        # -- Hold: a beat on offer, and one more that came while it was not taken
        offers = Signal()
        holds_more = Signal()
        offered = Signal(self._width, reset_less=True)
        more = Signal(self._width, reset_less=True)
        m.d.comb += [
            self.i_ready.eq(~holds_more),
            self.o_valid.eq(offers),
            self.o_payload.eq(offered),
        ]

        # -- Move: the next beat is offered once the one on offer is taken, or if there was none
        moves = Signal()
        m.d.comb += moves.eq(self.o_ready | ~offers)
        m.d.sync += [
            offers.eq(~moves | holds_more | self.i_valid),
            holds_more.eq(~moves & (holds_more | self.i_valid)),
        ]
        with m.If(moves):
            m.d.sync += offered.eq(Mux(holds_more, more, self.i_payload))
        with m.If(~holds_more):
            m.d.sync += more.eq(self.i_payload)
        return m


class RoundSlice(wiring.Component):
    """Hold beats until the end of their round is known, of which the core has to know with the first turn's beat.

    A packet ends with the last turn's beat. So a beat is offered once those of the other turns are there, or the end of
    the packet is.

    Members:
        i_valid, i_ready, i_payload: the stream in.
        i_last: the beat ends the packet.
        o_valid, o_ready, o_payload: the same, some cycles later.
        o_last: of the first turn's beat: the round's last one ends the packet.
    """

    def __init__(self, width: int, turns: int) -> None:
        self._width, self._turns = width, turns
        super().__init__(
            {
                "i_valid": In(1),
                "i_ready": Out(1),
                "i_payload": In(width),
                "i_last": In(1),
                "o_valid": Out(1),
                "o_ready": In(1),
                "o_payload": Out(width),
                "o_last": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        depth = round_depth(self._turns)

        # -- Hold: the beats of a round, and one more, so that a beat can move in every cycle
        count = Signal(range(depth + 1))
        beats = [Signal(self._width, name=f"beat_{place}", reset_less=True) for place in range(depth)]
        ends = [Signal(name=f"ends_{place}") for place in range(depth)]
        m.d.comb += [
            self.i_ready.eq(count != depth),
            self.o_payload.eq(beats[0]),
            self.o_last.eq(ends[self._turns - 1]),
            self.o_valid.eq((count >= self._turns) | Cat(*ends[: self._turns - 1]).any()),
        ]

        # -- Move: all beats move up when the first is taken, and the one that comes goes behind them
        put = Signal()
        take = Signal()
        left = Signal.like(count)
        m.d.comb += [
            put.eq(self.i_valid & self.i_ready),
            take.eq(self.o_valid & self.o_ready),
            left.eq(count - take),
        ]
        m.d.sync += count.eq(left + put)
        for place in range(depth):
            comes = put & (left == place)
            with m.If(comes):
                m.d.sync += beats[place].eq(self.i_payload)
            end_above: Value = Const(0, 1)  # nothing is above the last place, which keeps its beat
            if place + 1 < depth:
                end_above = ends[place + 1]
                with m.Elif(take):
                    m.d.sync += beats[place].eq(beats[place + 1])
            m.d.sync += ends[place].eq(Mux(comes, self.i_last, Mux(take, end_above, ends[place])))
        return m


def round_depth(turns: int) -> int:
    """Return how many beats the register slice of stream a holds."""
    return turns + 1


class AxiArray(wiring.Component):
    """An array with AXI4-Stream ports: it computes tiles of the product A B.

    The ports are those of the Verilog. A code is in the low bits of a field of tdata of whole bytes. What lies above it
    is not looked at in operands; in results it is 0, or the sign of a two's complement number.

    Element k of all dot products of a tile enters in one beat of each operand stream: column k of A, row k of B. The
    two streams may come at different times. After the beat with s_axis_a_tlast the tile leaves, row by row. With
    `interleave` the beats of as many tiles alternate, and their results within each row; a packet is all of them. It is
    whole rounds, a beat for each tile, and starts again only with the first tile's beat.

    Members:
        s_axis_a_tvalid, s_axis_a_tready: handshake; a beat moves at a clock edge with both.
        s_axis_a_tdata: operand codes, row 0 lowest. With lanes one code for each, lane 0 lowest; then the scales of all
            rows, where there are any, in the order of the operands.
        s_axis_a_tlast: the beat ends the dot products; with `interleave` those of all tiles of the packet: it is the
            last tile's.
        s_axis_a_tuser: the beat starts dot products; unfinished ones are dropped. Implied after reset and after tlast,
            so that it may be tied to 0. With `interleave` only with the first tile's beat.
        s_axis_b_tvalid, s_axis_b_tready: handshake.
        s_axis_b_tdata: operand codes, column 0 lowest. With lanes one code for each, lane 0 lowest; then the scales of
            all columns.
        s_axis_b_tlast: not looked at, as s_axis_a_tlast says it.
        m_axis_c_tvalid, m_axis_c_tready: handshake.
        m_axis_c_tdata: result codes, column 0 lowest.
        m_axis_c_tlast: the beat is the tile's last row.
        m_axis_c_tuser: three flags, column 0 lowest: overflow (bit 0), underflow, invalid.
        count_clear: the counters start at 0.
        count_steps_saturated, count_steps_flushed, count_steps_swamped: steps in which that happened, of results that
            have left the core.
        count_folds_saturated, count_folds_flushed, count_folds_swamped: folds likewise.
    """

    def __init__(self, design: Design) -> None:
        self.design, self.spec = design, design.spec
        self._fields = {stream: fields_of(design, stream) for stream in "abc"}
        super().__init__(axi_signature(design))

    def elaborate(self, platform: object) -> Module:
        m = Module()

        # -- Operands: from each stream's fields through a register slice to the core
        core = submodule(m, platform, "core", "core", lambda: ArrayCore(self.design))
        given = {stream: self._codes(stream, getattr(self, f"s_axis_{stream}_tdata")) for stream in "ab"}
        wanted = {stream: Cat(*(getattr(core, codes.port) for codes in self._fields[stream])) for stream in "ab"}
        given["a"] = Cat(given["a"], self.s_axis_a_tuser)
        wanted["a"] = Cat(wanted["a"], core.a_first)
        if (turns := self.spec.interleave) > 1:
            width = len(given["a"])
            piece = submodule(m, platform, "slice_a", "slice_a", lambda: RoundSlice(width, turns))
            m.d.comb += [piece.i_last.eq(self.s_axis_a_tlast), core.a_last.eq(piece.o_last)]
            pieces = {"a": piece}
        else:
            given["a"], wanted["a"] = Cat(given["a"], self.s_axis_a_tlast), Cat(wanted["a"], core.a_last)
            pieces = {"a": self._slice(m, platform, "a", len(given["a"]))}
        pieces["b"] = self._slice(m, platform, "b", len(given["b"]))
        for stream, piece in pieces.items():
            m.d.comb += [
                piece.i_valid.eq(getattr(self, f"s_axis_{stream}_tvalid")),
                getattr(self, f"s_axis_{stream}_tready").eq(piece.i_ready),
                piece.i_payload.eq(given[stream]),
                getattr(core, f"{stream}_valid").eq(piece.o_valid),
                piece.o_ready.eq(getattr(core, f"{stream}_ready")),
                wanted[stream].eq(piece.o_payload),
            ]

        # -- Results: from the core through a register slice into fields
        results = Cat(core.c_data, core.c_flags, core.c_last)
        piece = self._slice(m, platform, "c", len(results))
        codes, flags = len(core.c_data), len(core.c_flags)
        (fields_c,) = self._fields["c"]
        m.d.comb += [
            piece.i_valid.eq(core.c_valid),
            core.c_ready.eq(piece.i_ready),
            piece.i_payload.eq(results),
            self.m_axis_c_tvalid.eq(piece.o_valid),
            piece.o_ready.eq(self.m_axis_c_tready),
            self.m_axis_c_tdata.eq(fields_c.fields(piece.o_payload[:codes])),
            self.m_axis_c_tuser.eq(piece.o_payload[codes : codes + flags]),
            self.m_axis_c_tlast.eq(piece.o_payload[-1]),
        ]
        connect_counts(m, self, core, self.design)
        return m

    def _codes(self, stream: str, tdata: Value) -> Value:
        return Cat(*(codes.taken_from(tdata) for codes in self._fields[stream]))

    @staticmethod
    def _slice(m: Module, platform: object, stream: str, width: int) -> Any:
        name = f"slice_{stream}"
        return submodule(m, platform, name, name, lambda: RegisterSlice(width), 1)


def core_module(design: Design, name: str) -> str:
    """Return the module of the array without register slices in the Verilog whose top module has this name."""
    return f"{name}_core" if design.spec.interface == Interface.AXI_STREAM else name


def top_of(design: Design) -> wiring.Component:
    """Return the component that the top module of a bundle is."""
    return AxiArray(design) if design.spec.interface == Interface.AXI_STREAM else ArrayCore(design)
