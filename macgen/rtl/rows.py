"""Rows of PEs, and bands of rows, of which large arrays are made."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from amaranth.hdl import Cat, Module, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from macgen.rtl.design import Design
from macgen.rtl.parts.hierarchy import submodule
from macgen.rtl.parts.interfaces import connect_members
from macgen.rtl.pe import Pe
from macgen.rtl.preload import stack_starts


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
        counts_in, counts_out: with counters, as the results are.
        start_shift, start_in, start_out: with preloaded accumulators, as those of a PE, column 0 lowest.
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
                **design.counts_members(spec.cols),
                **design.start_members(spec.cols),
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
        if width := design.all_count_bits:
            # -- Counts: as the results
            m.d.comb += [pe.counts_in.eq(self.counts_in.word_select(col, width)) for col, pe in enumerate(pes)]
            m.d.comb += self.counts_out.eq(Cat(*(pe.counts_out for pe in pes)))
        if width := design.start_bits:
            # -- Start values: from below to above
            for col, pe in enumerate(pes):
                m.d.comb += [pe.start_shift.eq(self.start_shift), pe.start_in.eq(self.start_in.word_select(col, width))]
            m.d.comb += self.start_out.eq(Cat(*(pe.start_out for pe in pes)))
        connect_members(m, self.control_out, control)
        return m


class Band(wiring.Component):
    """Several rows of PEs, one below the other.

    Members:
        a_in: operands from the left, one code per row and lane, row 0 lowest, in it lane 0.
        control_in: marks for the first row, a cycle before its operands.
        control_below: marks of the last row, for the band below.
        control_out: marks of the last PE, to the right.
        b_in, b_out: operands from above, to below, one code per column and lane, column 0 lowest, in it lane 0.
        a_scale_in, b_scale_in, b_scale_out: with scales, beside the operands.
        shift: the results move up by one row.
        result_in, result_out: results from below, to above, column 0 lowest.
        counts_in, counts_out: with counters, as the results are.
        start_shift, start_in, start_out: with preloaded accumulators, as those of a PE, column 0 lowest.
        seeds: of the PEs that take random numbers, row 0 lowest, in it column 0.

    Parameters:
        design: of the array.
        rows: how many rows.
    """

    def __init__(self, design: Design, rows: int) -> None:
        self._design, self._rows, spec = design, rows, design.spec
        scales = design.scale_ports(spec.cols)
        if spec.scale is not None:
            del scales["a_scale_out"]  # which leaves on the right, where nothing is
            scales["a_scale_in"] = In(rows * design.scale_bits)
        super().__init__(
            {
                "a_in": In(rows * design.a_bits),
                "control_in": In(design.control),
                "control_below": Out(design.control),
                "control_out": Out(design.control),
                "b_in": In(spec.cols * design.b_bits),
                "b_out": Out(spec.cols * design.b_bits),
                **scales,
                "shift": In(1),
                "result_in": In(spec.cols * design.result_bits),
                "result_out": Out(spec.cols * design.result_bits),
                **design.counts_members(spec.cols),
                **design.start_members(spec.cols),
                **({"seeds": In(rows * spec.cols * design.seed_bits)} if design.seed_bits else {}),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        design, spec = self._design, self._design.spec

        # -- Rows: operands and marks come from the row above, results from the row below
        rows = [submodule(m, platform, f"row_{row}", "row", lambda: Row(design)) for row in range(self._rows)]
        for index, row in enumerate(rows):
            m.d.comb += row.shift.eq(self.shift)
            if width := spec.cols * design.seed_bits:
                m.d.comb += row.seeds.eq(self.seeds.word_select(index, width))
        control, b = stack_rows(m, design, rows, self.control_in, self.a_in, self.b_in)
        connect_members(m, self.control_below, control)
        connect_members(m, self.control_out, rows[-1].control_out)
        m.d.comb += [
            self.b_out.eq(b),
            rows[-1].result_in.eq(self.result_in),
            self.result_out.eq(rows[0].result_out),
        ]
        if spec.scale is not None:
            m.d.comb += self.b_scale_out.eq(stack_scales(m, rows, self.a_scale_in, self.b_scale_in))
        if design.all_count_bits:
            stack_counts(m, rows)
            m.d.comb += [rows[-1].counts_in.eq(self.counts_in), self.counts_out.eq(rows[0].counts_out)]
        if design.start_bits:
            stack_starts(m, rows, self.start_shift)
            m.d.comb += [rows[-1].start_in.eq(self.start_in), self.start_out.eq(rows[0].start_out)]
        return m


def stack_rows(m: Module, design: Design, rows: Sequence[Any], control: Any, a: Value, b: Value) -> tuple[Any, Value]:
    """Connect rows; control reaches each a cycle after the one above it, as the skewed operands do.

    Returns:
        What the row below them gets: the marks, which it delays, and its operands from above.
    """
    # -- Feed: marks and operands reach each row a cycle after the one above it
    for index, row in enumerate(rows):
        delayed = design.control.create(path=(f"control_{index}",))
        for name in delayed.signature.members:
            m.d.sync += getattr(delayed, name).eq(getattr(control, name))
        control = delayed
        connect_members(m, row.control_in, control)
        m.d.comb += [row.a_in.eq(a.word_select(index, design.a_bits)), row.b_in.eq(b)]
        b = row.b_out
    for above, below in pairwise(rows):
        m.d.comb += above.result_in.eq(below.result_out)
    return control, b


def stack_scales(m: Module, parts: Sequence[Any], a: Value, b: Value) -> Value:
    """Connect the scales of rows or of bands, which travel beside the operands; return those for what is below."""
    # -- Feed scales: beside the operands
    low = 0
    for part in parts:
        m.d.comb += [part.a_scale_in.eq(a[low : low + len(part.a_scale_in)]), part.b_scale_in.eq(b)]
        low += len(part.a_scale_in)
        b = part.b_scale_out
    return b


def stack_counts(m: Module, parts: Sequence[Any]) -> None:
    """Connect the counts of rows or of bands, which move up as the results do."""
    # -- Counts: as the results
    for above, below in pairwise(parts):
        m.d.comb += above.counts_in.eq(below.counts_out)


def stack_bands(m: Module, bands: Sequence[Any], control: Any, a: Value, b: Value) -> None:
    """Connect bands, each of which delays the marks for its rows."""
    # -- Feed: marks and operands go from band to band
    low = 0
    for band in bands:
        connect_members(m, band.control_in, control)
        m.d.comb += [band.a_in.eq(a[low : low + len(band.a_in)]), band.b_in.eq(b)]
        low += len(band.a_in)
        control, b = band.control_below, band.b_out
    for above, below in pairwise(bands):
        m.d.comb += above.result_in.eq(below.result_out)
