"""The output-stationary array: rows of PEs, operand skew, streams in and out."""

from collections.abc import Sequence
from functools import partial
from itertools import islice, product
from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from macgen.numerics import Lfsr
from macgen.rtl.counting import EdgeCounters, connect_counts
from macgen.rtl.design import Design
from macgen.rtl.outer import Result
from macgen.rtl.parts.bits import is_zero
from macgen.rtl.parts.hierarchy import submodule
from macgen.rtl.parts.interfaces import connect_members
from macgen.rtl.parts.modes import by_mode, dropped_places
from macgen.rtl.parts.pipeline import delayed
from macgen.rtl.preload import Preloader, stack_starts
from macgen.rtl.rows import Band, Row, stack_bands, stack_counts, stack_rows, stack_scales
from macgen.rtl.sequencer import Sequencer
from macgen.rtl.units.packed_multiplier import turned
from macgen.rtl.units.start import StartValue
from macgen.spec import MacSpec


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
        a_mode: number of the mode of the dot products that this beat starts; not looked at on other beats. Numbers
            beyond the last mode's mean `full`, 0.
        b_valid, b_ready: handshake of stream b; it moves with stream a.
        b_data: operand codes, column 0 lowest. With lanes one code for each, lane 0 lowest.
        a_scale: codes of scales, row 0 lowest; those of the beat that ends a chunk count. With scales of lanes one for
            each block, that of the lowest lanes lowest; those of every beat count.
        b_scale: codes of scales, column 0 lowest; likewise.
        d_valid, d_ready: handshake of stream d, the start values, one beat for each row and turn, in the order of c.
            The beat of the operands that starts dot products waits until all of theirs have been taken.
        d_data: codes of start values, column 0 lowest.
        c_valid, c_ready: handshake of stream c, the results.
        c_data: result codes, column 0 lowest.
        c_flags: three flags, column 0 lowest: overflow (bit 0), underflow, invalid.
        c_first: the beat is the tile's row 0.
        c_last: it is its last row.
        count_clear: the counters start at 0.
        count_steps_saturated, count_steps_flushed, count_steps_swamped: steps in which that happened, of results that
            were taken.
        count_folds_saturated, count_folds_flushed, count_folds_swamped: folds likewise.
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
            skew_a.i.eq(self._masked(m, "a", self.a_data, sequencer)),
            skew_b.i.eq(self._masked(m, "b", self._turned(m, sequencer), sequencer)),
        ]
        if spec.modes:
            m.d.comb += sequencer.mode.eq(self.a_mode)

        parts = self._rows(m, platform)
        if design.seed_bits:
            self._seed(m, parts)
        if design.bands:
            stack_bands(m, parts, sequencer.control, skew_a.o, skew_b.o)
        else:
            stack_rows(m, design, parts, sequencer.control, skew_a.o, skew_b.o)
        if spec.scale is not None:
            self._feed_scales(m, platform, parts, design.scale_bits)
        self._drain(m, platform, parts, sequencer)
        if spec.preload:
            self._preload(m, platform, parts, sequencer)
        if design.all_count_bits:
            stack_counts(m, parts)
            self._count(m, platform, parts)
        return m

    def _count(self, m: Module, platform: object, parts: Sequence[Any]) -> None:
        """Add the counts of results that leave."""
        # -- Counters: what happened in the results taken since they were cleared
        edge = submodule(m, platform, "counters", "counters", lambda: EdgeCounters(self.design))
        m.d.comb += [
            edge.taken.eq(self.c_valid & self.c_ready),
            edge.counts.eq(parts[0].counts_out),
            edge.clear.eq(self.count_clear),
        ]
        m.d.comb += [getattr(self, name).eq(getattr(edge, name)) for name in self.design.count_ports]

    def _of_last_turn(self, m: Module, event: Value, name: str) -> Value:
        """Return an event of all turns, one after the other, where it is the last turn's."""
        turns = self.spec.interleave
        if turns == 1:
            return event

        # -- Turns: which one's event comes next, from turn 0 on
        turn = Signal(range(turns), name=name)
        last_turn = turn == turns - 1
        with m.If(event):
            m.d.sync += turn.eq(Mux(last_turn, 0, turn + 1))
        return event & last_turn

    def _preload(self, m: Module, platform: object, parts: Sequence[Any], sequencer: Any) -> None:
        """Feed start values, whose codes become states at the array's edge."""
        design, spec = self.design, self.spec

        # -- Start values: each column's code becomes a state, which moves up from the last row
        preloader = submodule(m, platform, "preloader", "preloader", lambda: Preloader(spec.rows * spec.interleave))
        states: list[Value] = []
        for col in range(spec.cols):
            start = submodule(m, platform, f"start_{col}", "start", lambda: StartValue(design.results))
            m.d.comb += start.code.eq(self.d_data.word_select(col, spec.outer_format.width))
            states += [getattr(start.value, name) for name in design.results.value.members]
            states += [start.invalid] if "invalid" in start.signature.members else []
        m.d.comb += parts[-1].start_in.eq(Cat(*states))
        stack_starts(m, parts, preloader.shift)

        # -- Used: the last PE has its start value, and so has every other
        marks = parts[-1].control_out
        used: Value = marks.begins if "begins" in design.control.widths else marks.first
        if "fold_first" in design.control.widths and "begins" not in design.control.widths:
            used = used & marks.fold_first
        # With a reset: no use of before it may come after it.
        used = self._of_last_turn(m, delayed(m, "start_used", used, design.start_cycles, resets=True), "start_turn")
        m.d.comb += [
            preloader.valid.eq(self.d_valid),
            self.d_ready.eq(preloader.ready),
            preloader.starts.eq(sequencer.starts),
            preloader.used.eq(used),
            sequencer.loaded.eq(preloader.loaded),
        ]

    def _turned(self, m: Module, sequencer: Any) -> Value:
        """Return the codes of stream b, where a mode packs elements with those of each in the opposite order."""
        if not self.spec.packs:
            return self.b_data

        # -- Turn: the elements of packed codes, so that the multiplier finds their products at one place
        codes = Signal(len(self.b_data), name="b_turned")
        width = self.spec.b.width
        for index in range(len(codes) // width):
            code = self.b_data.word_select(index, width)
            m.d.comb += codes.word_select(index, width).eq(
                by_mode(sequencer.beat_mode, self.design.spec.packed, partial(turned, code))
            )
        return codes

    def _masked(self, m: Module, stream: str, codes: Value, sequencer: Any) -> Value:
        """Return a stream's codes without the last bits that the beat's mode does without."""
        dropped = self.design.dropped_bits(stream)
        if not any(dropped):
            return codes

        # -- Mask: the last bits of each code, where the mode does without them
        width = getattr(self.spec, stream).width
        used = Signal(width, name=f"{stream}_used")
        low = dropped_places(sequencer.beat_mode, dropped)
        m.d.comb += used.eq(Cat(~low, Const(-1, width - len(low))))
        return codes & used.replicate(len(codes) // width)

    def _rows(self, m: Module, platform: object) -> list[Any]:
        """Return the rows or, of a large array, bands of them."""
        design, spec = self.design, self.spec

        # -- Rows: operands and marks come from the row above, results from the row below
        if not design.bands:
            return [submodule(m, platform, f"row_{row}", "row", lambda: Row(design)) for row in range(spec.rows)]
        bands = []
        for index, rows in enumerate(design.bands):
            kind = "band" if rows == design.bands[0] else f"band_of_{rows}"
            bands.append(submodule(m, platform, f"band_{index}", kind, partial(Band, design, rows)))
        return bands

    def _seed(self, m: Module, parts: Sequence[Any]) -> None:
        """Give the PEs of rows or bands their seeds."""
        lfsr, width = Lfsr.of(self.spec.random_bits), self.design.seed_bits
        places = product(range(self.spec.rows), range(self.spec.cols))
        for part in parts:
            count = len(part.seeds) // width
            m.d.comb += part.seeds.eq(Cat(*(Const(lfsr.seed(*place), width) for place in islice(places, count))))

    def _feed_scales(self, m: Module, platform: object, parts: Sequence[Any], width: int) -> None:
        """Connect the scales of rows or bands."""
        spec = self.spec

        # -- Feed scales: beside the operands
        skew_a = submodule(m, platform, "skew_a_scale", "skew_a_scale", lambda: Skew(spec.rows, width))
        skew_b = submodule(m, platform, "skew_b_scale", "skew_b_scale", lambda: Skew(spec.cols, width))
        m.d.comb += [skew_a.i.eq(self.a_scale), skew_b.i.eq(self.b_scale)]
        stack_scales(m, parts, skew_a.o, skew_b.o)

    def _drain(self, m: Module, platform: object, parts: Sequence[Any], sequencer: Any) -> None:
        """Offer the results once the last PE has its own; hold the next tile's until then."""
        design, spec = self.design, self.spec

        # -- Complete: the last PE has its result, and so has every other
        cycles = spec.pipeline + spec.interleave - 2 + design.outer_latency
        complete = delayed(m, "complete", parts[-1].control_out.done, cycles, resets=True)
        complete = self._of_last_turn(m, complete, "turn")

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
        for part in parts:
            m.d.comb += part.shift.eq(taken)

        if spec.rounds_by_mode:
            # -- Mode of the results: that of the tile whose last beat was taken; the next one's is held until they left
            result_mode = Signal(design.mode_bits)
            with m.If(sequencer.ending):
                m.d.sync += result_mode.eq(sequencer.beat_mode)

        # -- Convert: each column's state becomes a code at the array's edge
        codes, flags = [], []
        for col in range(spec.cols):
            value, col_flags = design.unpack_result(parts[0].result_out.word_select(col, design.result_bits))
            if design.out is None:
                output = submodule(m, platform, f"output_{col}", "output", design.results.output)
            else:
                output = submodule(m, platform, f"output_{col}", "result", lambda: Result(design))
            if bits := design.out_random_bits:
                lfsr = Lfsr.of(bits)
                m.d.comb += [output.taken.eq(taken), output.seed.eq(Const(lfsr.seed(0, col), lfsr.width))]
            connect_members(m, output.value, value)
            if "mode" in output.signature.members:
                m.d.comb += output.mode.eq(result_mode)
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
        d: in, with preloaded accumulators; payload `data[col]`.
        c: out; payload `data[col]`, `flags[col]` with `overflow`, `underflow` and `invalid`, `first`, `last`.
        count_clear and others of this kind: with counters those of `ArrayCore`.

    Parameters:
        spec: the array.
    """

    def __init__(self, spec: MacSpec) -> None:
        self.spec, self.design = spec, Design(spec)
        flows = {name: Out if name == "c" else In for name in self.design.streams}
        members = {name: flow(self.design.streams[name]) for name, flow in flows.items()}
        super().__init__({**members, **self.design.count_signature})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        core = submodule(m, platform, "core", "core", lambda: ArrayCore(self.design))
        for name in self.design.streams:
            flow, outside = Out if name == "c" else In, getattr(self, name)
            inside = {"valid": outside.valid, "ready": outside.ready}
            inside |= {field: outside.payload[field] for field, _ in outside.payload.shape()}
            for field, value in inside.items():
                port = getattr(core, f"{name}_{field}")
                into = (flow == In) != (field == "ready")  # readies run against their streams
                m.d.comb += port.eq(value) if into else value.eq(port)
        connect_counts(m, self, core, self.design)
        return m
