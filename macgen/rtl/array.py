"""The output-stationary array: rows of PEs, operand skew, streams in and out."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from macgen.numerics import Lfsr
from macgen.rtl.design import Design
from macgen.rtl.outer import Result
from macgen.rtl.parts.bits import is_zero
from macgen.rtl.parts.hierarchy import submodule
from macgen.rtl.parts.interfaces import connect_members
from macgen.rtl.pe import Pe
from macgen.rtl.sequencer import Sequencer
from macgen.spec import MacSpec


class Row(wiring.Component):
    """One row of PEs.

    Members:
        a_in: operands from the left, one code per lane, lane 0 lowest.
        control_in: marks from the left, with the operands.
        control_out: marks of the last PE, to the right.
        b_in, b_out: operands from above, to below, one code per column and lane, column 0 lowest, in it lane 0.
        a_scale_in, a_scale_out, b_scale_in, b_scale_out: with scales, beside the operands.
        shift: the results move up by one row.
        result_in, result_out: results from below, to above, column 0 lowest.
        seeds: of the PEs that take random numbers, column 0 lowest.
    """

    def __init__(self, design: Design) -> None:
        self._design, spec = design, design.spec
        super().__init__(
            {
                "a_in": In(design.a_bits),
                "control_in": In(design.control),
                "control_out": Out(design.control),
                "b_in": In(spec.cols * design.b_bits),
                "b_out": Out(spec.cols * design.b_bits),
                **design.scale_ports(spec.cols),
                "shift": In(1),
                "result_in": In(spec.cols * design.result_bits),
                "result_out": Out(spec.cols * design.result_bits),
                **({"seeds": In(spec.cols * design.seed_bits)} if design.seed_bits else {}),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        design, spec = self._design, self._design.spec

        # -- PEs: operands and marks from the left, other operands from above
        pes = [submodule(m, platform, f"pe_{col}", "pe", lambda: Pe(design)) for col in range(spec.cols)]
        a: Value = self.a_in
        control: Any = self.control_in
        for col, pe in enumerate(pes):
            m.d.comb += [
                pe.a_in.eq(a),
                pe.b_in.eq(self.b_in.word_select(col, design.b_bits)),
                pe.shift.eq(self.shift),
                pe.result_in.eq(self.result_in.word_select(col, design.result_bits)),
            ]
            if width := design.seed_bits:
                m.d.comb += pe.seed.eq(self.seeds.word_select(col, width))
            connect_members(m, pe.control_in, control)
            a, control = pe.a_out, pe.control_out
        if spec.scale is not None:
            # -- Scales: beside the operands
            scale: Value = self.a_scale_in
            for col, pe in enumerate(pes):
                m.d.comb += [
                    pe.a_scale_in.eq(scale),
                    pe.b_scale_in.eq(self.b_scale_in.word_select(col, design.scale_bits)),
                ]
                scale = pe.a_scale_out
            m.d.comb += [self.a_scale_out.eq(scale), self.b_scale_out.eq(Cat(*(pe.b_scale_out for pe in pes)))]
        m.d.comb += [
            self.b_out.eq(Cat(*(pe.b_out for pe in pes))),
            self.result_out.eq(Cat(*(pe.result_out for pe in pes))),
        ]
        connect_members(m, self.control_out, control)
        return m


class Skew(wiring.Component):
    """Delay lane i by i + 1 cycles, so that operands meet in the array.

    Members:
        i: lanes, lane 0 lowest.
        o: the same lanes, delayed.
    """

    def __init__(self, lanes: int, width: int) -> None:
        self._lanes = lanes
        self._width = width
        super().__init__({"i": In(lanes * width), "o": Out(lanes * width)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        for lane in range(self._lanes):
            # -- Delay: a shift register for each lane, one stage longer than that of the lane before
            value = self.i.word_select(lane, self._width)
            stages = Signal((lane + 1) * self._width, name=f"lane_{lane}", reset_less=True)
            m.d.sync += stages.eq(Cat(value, stages[: -self._width]))
            m.d.comb += self.o.word_select(lane, self._width).eq(stages[-self._width :])
        return m


class ArrayCore(wiring.Component):
    """An array of rows x cols PEs with its streams: it computes tiles of the product A B.

    The ports are those of the Verilog.

    Element k of all dot products of a tile enters in one beat: column k of A on stream a, row k of B on stream b, both
    taken in the same cycle; with lanes as many elements, 0 where the dot products have no more. After the beat marked
    last the tile leaves on stream c, row by row, row 0 first. New tiles stream in meanwhile; the last beat of the next
    is held until the results have been taken. With `interleave` the beats of as many tiles alternate, and their results
    within each row (docs/arithmetic.md section 8).

    Members:
        a_valid, a_ready: handshake of stream a; a beat moves when both are high. Both operand streams move in the same
            cycle, so ready follows from both valids: a source must not wait for ready before it offers a beat.
        a_data: operand codes, row 0 lowest. With lanes one code for each, lane 0 lowest.
        a_first: the beat starts dot products; unfinished ones are dropped. Implied after reset and after a_last. Where
            folds take a bubble, it drops them when it is offered: also if it is withdrawn before the beat is taken.
        a_last: the beat ends the dot products.
        b_valid, b_ready: handshake of stream b; it moves with stream a.
        b_data: operand codes, column 0 lowest. With lanes one code for each, lane 0 lowest.
        a_scale: codes of scales, row 0 lowest; those of the beat that ends a chunk count. With scales of lanes one for
            each block, that of the lowest lanes lowest; those of every beat count.
        b_scale: codes of scales, column 0 lowest; likewise.
        c_valid, c_ready: handshake of stream c, the results.
        c_data: result codes, column 0 lowest.
        c_flags: three flags, column 0 lowest: overflow (bit 0), underflow, invalid.
        c_first: the beat is the tile's row 0.
        c_last: it is its last row.
    """

    def __init__(self, design: Design) -> None:
        self.design, self.spec = design, design.spec
        super().__init__(design.signature)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        design, spec = self.design, self.spec

        # -- Take beats: both streams in the same cycle; operands are skewed to meet in the array
        sequencer = submodule(m, platform, "sequencer", "sequencer", lambda: Sequencer(design))
        skew_a = submodule(m, platform, "skew_a", "skew_a", lambda: Skew(spec.rows, design.a_bits))
        skew_b = submodule(m, platform, "skew_b", "skew_b", lambda: Skew(spec.cols, design.b_bits))
        m.d.comb += [
            sequencer.valid.eq(self.a_valid & self.b_valid),
            sequencer.first.eq(self.a_first),
            sequencer.last.eq(self.a_last),
            self.a_ready.eq(sequencer.accept),
            self.b_ready.eq(sequencer.accept),
            skew_a.i.eq(self.a_data),
            skew_b.i.eq(self.b_data),
        ]

        # -- Rows: operands and marks come from the row above, results from the row below
        rows = [submodule(m, platform, f"row_{row}", "row", lambda: Row(design)) for row in range(spec.rows)]
        if width := design.seed_bits:
            lfsr = Lfsr.of(spec.random_bits)
            for index, row in enumerate(rows):
                seeds = [Const(lfsr.seed(index, col), width) for col in range(spec.cols)]
                m.d.comb += row.seeds.eq(Cat(*seeds))
        self._feed(m, rows, sequencer.control, skew_a.o, skew_b.o)
        if spec.scale is not None:
            self._feed_scales(m, platform, rows, design.scale_bits)
        self._drain(m, platform, rows, sequencer)
        return m

    def _feed(self, m: Module, rows: Sequence[Any], control: Any, a: Value, b: Value) -> None:
        """Connect the rows; control reaches each a cycle after the one above it, as the skewed operands do."""
        # -- Feed: marks and operands reach each row a cycle after the one above it
        for index, row in enumerate(rows):
            delayed = self.design.control.create(path=(f"control_{index}",))
            for name in delayed.signature.members:
                m.d.sync += getattr(delayed, name).eq(getattr(control, name))
            control = delayed
            connect_members(m, row.control_in, control)
            m.d.comb += [row.a_in.eq(a.word_select(index, self.design.a_bits)), row.b_in.eq(b)]
            b = row.b_out
        for above, below in pairwise(rows):
            m.d.comb += above.result_in.eq(below.result_out)

    def _feed_scales(self, m: Module, platform: object, rows: Sequence[Any], width: int) -> None:
        """Connect the rows' scales, which travel beside the operands."""
        spec = self.spec

        # -- Feed scales: beside the operands
        skew_a = submodule(m, platform, "skew_a_scale", "skew_a_scale", lambda: Skew(spec.rows, width))
        skew_b = submodule(m, platform, "skew_b_scale", "skew_b_scale", lambda: Skew(spec.cols, width))
        m.d.comb += [skew_a.i.eq(self.a_scale), skew_b.i.eq(self.b_scale)]
        b_scale: Value = skew_b.o
        for index, row in enumerate(rows):
            m.d.comb += [row.a_scale_in.eq(skew_a.o.word_select(index, width)), row.b_scale_in.eq(b_scale)]
            b_scale = row.b_scale_out

    def _drain(self, m: Module, platform: object, rows: Sequence[Any], sequencer: Any) -> None:
        """Offer the results once the last PE has its own; hold the next tile's until then."""
        design, spec = self.design, self.spec

        # -- Complete: the last PE has its result, and so has every other
        complete: Value = rows[-1].control_out.done
        for cycle in range(spec.pipeline + spec.interleave - 2 + design.outer_cycles):
            delayed = Signal(name=f"complete_{cycle}")
            m.d.sync += delayed.eq(complete)
            complete = delayed
        if spec.interleave > 1:  # the last turn's counts
            turn = Signal(range(spec.interleave))
            last_turn = turn == spec.interleave - 1
            with m.If(complete):
                m.d.sync += turn.eq(Mux(last_turn, 0, turn + 1))
            complete = complete & last_turn

        # -- Count rows: result beats of a tile that have left
        busy = Signal()
        beats = spec.rows * spec.interleave
        count = Signal(max((beats - 1).bit_length(), 1))
        m.d.comb += [
            sequencer.busy.eq(busy),
            self.c_first.eq(is_zero(count)),
            self.c_last.eq(count == beats - 1),
        ]
        taken = Signal()
        valid = Signal()
        m.d.comb += [self.c_valid.eq(valid), taken.eq(valid & self.c_ready)]

        # -- Wait: from a tile's last beat until its results have left, the next tile's last beat is held
        tile_ended = Signal()
        results_wait = Signal()
        tile_leaves = Signal()
        m.d.comb += [
            tile_ended.eq(busy | sequencer.ending),
            results_wait.eq(valid | complete),
            tile_leaves.eq(taken & self.c_last),
        ]
        m.d.sync += [busy.eq(tile_ended & ~tile_leaves), valid.eq(results_wait & ~tile_leaves)]
        with m.If(taken):
            m.d.sync += count.eq(Mux(tile_leaves, 0, count + 1))
        for row in rows:
            m.d.comb += row.shift.eq(taken)

        # -- Convert: each column's state becomes a code at the array's edge
        codes, flags = [], []
        for col in range(spec.cols):
            value, col_flags = design.unpack_result(rows[0].result_out.word_select(col, design.result_bits))
            if design.out is None:
                output = submodule(m, platform, f"output_{col}", "output", design.results.output)
            else:
                output = submodule(m, platform, f"output_{col}", "result", lambda: Result(design))
            if bits := design.out_random_bits:
                lfsr = Lfsr.of(bits)
                m.d.comb += [output.taken.eq(taken), output.seed.eq(Const(lfsr.seed(0, col), lfsr.width))]
            connect_members(m, output.value, value)
            codes.append(output.code)
            flags.append(col_flags | output.flags)
        m.d.comb += [self.c_data.eq(Cat(*codes)), self.c_flags.eq(Cat(*flags))]


class MacArray(wiring.Component):
    """The array as a component of a larger design: its streams are those of `amaranth.lib.stream`.

    `wiring.connect(m, source.o, array.a)` joins it to a source with a member `o` of the same signature,
    `Out(array.design.streams["a"])`. `ArrayCore`, whose ports are the streams' valids, readies and fields, says what
    they carry and when.

    Members:
        a: in; payload `data[row][lane]`, `first`, `last`, and with scales `scale[row]`, of lanes `scale[row][block]`.
        b: in; payload `data[col][lane]`, and with scales `scale[col]`, of lanes `scale[col][block]`.
        c: out; payload `data[col]`, `flags[col]` with `overflow`, `underflow` and `invalid`, `first`, `last`.

    Parameters:
        spec: the array.
    """

    def __init__(self, spec: MacSpec) -> None:
        self.spec, self.design = spec, Design(spec)
        a, b, c = (self.design.streams[name] for name in "abc")
        super().__init__({"a": In(a), "b": In(b), "c": Out(c)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        core = submodule(m, platform, "core", "core", lambda: ArrayCore(self.design))
        for name, flow in (("a", In), ("b", In), ("c", Out)):
            outside = getattr(self, name)
            inside = {"valid": outside.valid, "ready": outside.ready}
            inside |= {field: outside.payload[field] for field, _ in outside.payload.shape()}
            for field, value in inside.items():
                port = getattr(core, f"{name}_{field}")
                into = (flow == In) != (field == "ready")  # readies run against their streams
                m.d.comb += port.eq(value) if into else value.eq(port)
        return m
