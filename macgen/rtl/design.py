"""All that follows from a spec: `MacSpec` says what an array does, `Design` how wide all is and how long it takes.

It is made once and handed down; components only wire.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

from amaranth.hdl import unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from macgen.numerics import Flags, FloatFormat
from macgen.numerics.embedding import low_bits
from macgen.numerics.flags import FLAG_BITS
from macgen.rtl.arithmetic import Arithmetic
from macgen.rtl.control import Control
from macgen.rtl.parts.clocking import Clocking
from macgen.rtl.parts.modes import mode_bits
from macgen.spec_fields import Interface, Reset, ResetActive

LARGE_ARRAY = 4096
"""PEs up to which an array has its rows side by side in one module; a larger one has bands of them."""

BAND_ROWS = 16

SLICE_CYCLES = 2
"""Cycles that a tile takes longer through AXI4-Stream ports: a register slice at each end."""


@dataclass(frozen=True)
class Design(Arithmetic):
    """The widths, formats, adders and latencies of one array.

    Attributes:
        spec: the array.
    """

    # -- cycles ------------------------------------------------------------------------------------------------------

    @property
    def adder_cycles(self) -> int:
        """Cycles that an addition by an outer adder takes: its stages."""
        return max(self.spec.interleave, self.spec.outer_cycles)

    @property
    def registers_scaled(self) -> bool:
        """Whether a chunk sum times its scales waits in a register before it is aligned for the outer adder."""
        return self.spec.outer_cycles > 1 and self.spec.scales_chunks and isinstance(self.spec.scale, FloatFormat)

    @property
    def outer_latency(self) -> int:
        """Cycles from the one that ends a chunk to the one in which its addition by an outer adder ends; 0 without."""
        return 1 + self.registers_scaled + self.adder_cycles if self.spec.has_outer_adder else 0

    @property
    def latency(self) -> int:
        """Cycles from the one that takes a tile's (the last turn's) last beat to the first with its results."""
        spec = self.spec
        fold = self.outer_latency + (spec.interleave if self.folds_in_loop else 0)
        return spec.rows + spec.cols + spec.pipeline + fold + spec.interleave - 1

    @property
    def port_latency(self) -> int:
        """The same at the top module's ports; with register slices there, the least: the core may take a beat later."""
        return self.latency + (SLICE_CYCLES if self.spec.interface == Interface.AXI_STREAM else 0)

    # -- modes -------------------------------------------------------------------------------------------------------

    @property
    def mode_bits(self) -> int:
        """Width of a mode's number; 0 without modes."""
        return mode_bits(len(self.modes))

    def dropped_bits(self, field: str) -> tuple[int, ...]:
        """Return of `a` or `b` how many of a code's last bits each mode does without."""
        formats = [
            (getattr(mode, field), getattr(self.spec.on_wires(number), field)) for number, mode in enumerate(self.modes)
        ]
        return tuple(low_bits(narrow, wide) for narrow, wide in formats)

    # -- counters ----------------------------------------------------------------------------------------------------

    @cached_property
    def counted(self) -> dict[str, tuple[str, ...]]:
        """By kind of addition the events that are counted: those that can happen; empty without counters."""
        if self.spec.counters is None:
            return {}
        of_steps, of_folds = self.steps.events, self.results.events
        if self.folds_in_loop:
            # States are added to states: in fixed point exactly.
            of_folds = of_steps if isinstance(self.spec.acc, FloatFormat) else ("saturated",)
        return {"steps": of_steps, "folds": of_folds if self.folds_in_loop or self.outer is not None else ()}

    @property
    def pe_count_bits(self) -> int:
        """Width of a count in a PE; 0 without counters."""
        return 0 if self.spec.counters is None else self.spec.counters.pe_bits

    def count_bits(self, *kinds: str) -> int:
        """Return the width of a PE's counts of some kinds of additions, side by side."""
        return sum(len(self.counted[kind]) * self.pe_count_bits for kind in kinds)

    @property
    def all_count_bits(self) -> int:
        """Width of all of a PE's counts."""
        return self.count_bits(*self.counted)

    @cached_property
    def count_ports(self) -> dict[str, int]:
        """The ports of the counters at the array's edge, in the order of a PE's counts, and their widths."""
        if self.spec.counters is None:
            return {}
        names = [f"count_{kind}_{event}" for kind, events in self.counted.items() for event in events]
        return dict.fromkeys(names, self.spec.counters.edge_bits)

    @property
    def count_signature(self) -> dict[str, Any]:
        """The members of the array's ports that belong to counters; none without them."""
        if self.spec.counters is None:
            return {}
        return {"count_clear": In(1), **{name: Out(width) for name, width in self.count_ports.items()}}

    def counts_members(self, columns: int = 1) -> dict[str, Any]:
        """Return the members that pass counts on, of so many columns; none without counters."""
        if self.spec.counters is None:
            return {}
        width = columns * self.all_count_bits
        return {"counts_in": In(width), "counts_out": Out(width)}

    # -- start values ------------------------------------------------------------------------------------------------

    def start_members(self, columns: int = 1) -> dict[str, Any]:
        """Return the members that pass start values on, of so many columns; none without preloaded accumulators."""
        if not self.spec.preload:
            return {}
        width = columns * self.start_bits
        return {"start_shift": In(1), "start_in": In(width), "start_out": Out(width)}

    @property
    def start_signature(self) -> dict[str, Any]:
        """The members of the array's ports that are stream d; none without preloaded accumulators."""
        if not self.spec.preload:
            return {}
        data = self.spec.cols * self.spec.outer_format.width
        return {"d_valid": In(1), "d_ready": Out(1), "d_data": In(data)}

    @property
    def start_cycles(self) -> int:
        """Cycles from the one in which a PE hands on a first step's marks to the one that uses its start value."""
        spec = self.spec
        return spec.pipeline + spec.interleave - 1 if spec.has_outer_adder else max(spec.pipeline - 2, 0)

    # -- ports -------------------------------------------------------------------------------------------------------

    @property
    def a_bits(self) -> int:
        """Width of a row's operand codes in a beat: one for each lane."""
        return self.spec.lanes * self.spec.a.width

    @property
    def b_bits(self) -> int:
        """The same of a column."""
        return self.spec.lanes * self.spec.b.width

    @property
    def scale_bits(self) -> int:
        """Width of a row's or a column's scales in a beat: one, or with `scale_place = lanes` one for each block."""
        return 0 if self.spec.scale is None else self.spec.scales_in_beat * self.spec.scale.width

    @cached_property
    def operand_vectors(self) -> dict[str, tuple[int, int]]:
        """What comes with a beat: by port, how many rows or columns it has codes for, and the bits of each."""
        spec = self.spec
        vectors = {"a_data": (spec.rows, self.a_bits), "b_data": (spec.cols, self.b_bits)}
        if spec.scale is not None:
            vectors |= {"a_scale": (spec.rows, self.scale_bits), "b_scale": (spec.cols, self.scale_bits)}
        return vectors

    @cached_property
    def control(self) -> Control:
        """The marks that PEs get."""
        return Control(self.spec)

    @cached_property
    def bands(self) -> tuple[int, ...]:
        """Of an array that has bands of rows, the rows of each; all but the last have as many.

        The wires between rows make up most of an array's Verilog and of the time in which it is written. With bands
        there are those of one band and those between bands, and not those between all rows.
        """
        rows = self.spec.rows
        if rows * self.spec.cols <= LARGE_ARRAY or rows <= BAND_ROWS:
            return ()
        whole, rest = divmod(rows, BAND_ROWS)
        return (*[BAND_ROWS] * whole, *([rest] if rest else []))

    def path_of_pe(self, row: int, col: int) -> str:
        """Return the names of the instances, with dots, that lead from the core to a PE."""
        if not self.bands:
            return f"row_{row}.pe_{col}"
        band, inside = divmod(row, BAND_ROWS)
        return f"band_{band}.row_{inside}.pe_{col}"

    def scale_ports(self, columns: int = 1) -> dict[str, Any]:
        """Return the members that pass scales on, of so many columns; none without scales."""
        if self.spec.scale is None:
            return {}
        width = self.scale_bits
        return {
            "a_scale_in": In(width),
            "b_scale_in": In(columns * width),
            "a_scale_out": Out(width),
            "b_scale_out": Out(columns * width),
        }

    @cached_property
    def signature(self) -> wiring.Signature:
        """The flat ports of the array, those of the Verilog; see ArrayCore."""
        spec = self.spec
        a_scale, b_scale = (
            {} if spec.scale is None else {f"{side}_scale": In(lanes * self.scale_bits)}
            for side, lanes in (("a", spec.rows), ("b", spec.cols))
        )
        return wiring.Signature(
            {
                "a_valid": In(1),
                "a_ready": Out(1),
                "a_data": In(spec.rows * self.a_bits),
                **a_scale,
                "a_first": In(1),
                "a_last": In(1),
                **({"a_mode": In(self.mode_bits)} if spec.modes else {}),
                "b_valid": In(1),
                "b_ready": Out(1),
                "b_data": In(spec.cols * self.b_bits),
                **b_scale,
                **self.start_signature,
                "c_valid": Out(1),
                "c_ready": In(1),
                "c_data": Out(spec.cols * spec.out_format.width),
                "c_flags": Out(spec.cols * FLAG_BITS),
                "c_first": Out(1),
                "c_last": Out(1),
                **self.count_signature,
            }
        )

    @property
    def clocking(self) -> Clocking:
        """The clock, reset and clock enable of the Verilog's top module."""
        spec = self.spec
        low, axi = spec.reset_level == ResetActive.LOW, spec.interface == Interface.AXI_STREAM
        enable = ("aclken" if axi else "clk_en") if spec.clock_enable else None
        reset = "aresetn" if axi else "rst_n" if low else "rst"
        return Clocking("aclk" if axi else "clk", reset, low, spec.reset == Reset.ASYNC, enable)

    @cached_property
    def streams(self) -> dict[str, stream.Signature]:
        """The signatures of the array's streams `a`, `b` and `c`, and of `d` if there is one; see MacArray."""
        spec = self.spec
        codes_a, codes_b = (data.ArrayLayout(unsigned(fmt.width), spec.lanes) for fmt in (spec.a, spec.b))
        scales_a, scales_b = (self._scale_fields(side) for side in (spec.rows, spec.cols))
        mode = {"mode": self.mode_bits} if spec.modes else {}
        a = {"data": data.ArrayLayout(codes_a, spec.rows), **scales_a, "first": 1, "last": 1, **mode}
        b = {"data": data.ArrayLayout(codes_b, spec.cols), **scales_b}
        flags = data.StructLayout({flag.name.lower(): 1 for flag in Flags if flag.name})
        c = {
            "data": data.ArrayLayout(unsigned(spec.out_format.width), spec.cols),
            "flags": data.ArrayLayout(flags, spec.cols),
            "first": 1,
            "last": 1,
        }
        fields = {"a": a, "b": b, "c": c}
        if spec.preload:
            fields["d"] = {"data": data.ArrayLayout(unsigned(spec.outer_format.width), spec.cols)}
        return {name: stream.Signature(data.StructLayout(of)) for name, of in fields.items()}

    def _scale_fields(self, side: int) -> dict[str, Any]:
        """Return the field of a stream's scales, of so many rows or columns; none without scales."""
        spec = self.spec
        if spec.scale is None:
            return {}
        of_one: Any = unsigned(spec.scale.width)
        if spec.scales_lanes:
            of_one = data.ArrayLayout(of_one, spec.scales_in_beat)
        return {"scale": data.ArrayLayout(of_one, side)}
