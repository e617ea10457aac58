"""All that follows from a spec: `MacSpec` says what an array does, `Design` how wide all is and how long it takes.

It is made once and handed down; components only wire.
"""

from dataclasses import dataclass, replace
from functools import cached_property
from types import SimpleNamespace
from typing import Any

from amaranth.hdl import Shape, Value, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from macgen.numerics import FixedFormat, Flags, FloatFormat, Lfsr
from macgen.numerics.flags import FLAG_BITS
from macgen.rtl.control import Control
from macgen.rtl.parts.clocking import Clocking
from macgen.rtl.terms import TermPlan
from macgen.rtl.units.aligned import AlignedAdder, AlignedLanes, Aligner
from macgen.rtl.units.bulk import BulkWindow, bulk_window
from macgen.rtl.units.conversion import Conversion
from macgen.rtl.units.datapath import AnyDatapath, FloatDatapath, datapath_of
from macgen.rtl.units.exact_number import Addend, Window
from macgen.rtl.units.exponents import ExponentAdder, References, ReferenceWindow, ReferredLanes
from macgen.rtl.units.multiplier import Multiplier, Scaler
from macgen.rtl.units.rounded_sum import RoundedSum
from macgen.rtl.units.tree_node import NodeGeometry
from macgen.spec import MacSpec
from macgen.spec_fields import Interface, Reset, ResetActive, least_int_bits

LARGE_ARRAY = 4096
"""PEs up to which an array has its rows side by side in one module; a larger one has bands of them."""

BAND_ROWS = 16

SLICE_CYCLES = 2
"""Cycles that a tile takes longer through AXI4-Stream ports: a register slice at each end."""


@dataclass(frozen=True)
class Design:
    """The widths, formats, adders and latencies of one array.

    Attributes:
        spec: the array.
    """

    spec: MacSpec

    # -- what is added -----------------------------------------------------------------------------------------------

    @cached_property
    def product_rounding(self) -> Conversion | None:
        """The rounding of products to `product`; None where they stay exact."""
        spec, fmt = self.spec, self.spec.product
        if fmt is None:
            return None
        exact = Addend.of_product(*spec.port_formats, integer=isinstance(fmt, FixedFormat))
        return Conversion(RoundedSum(exact, fmt, spec.rounding, spec.overflow_into(fmt), prefix="rounding_"))

    @cached_property
    def exact_product(self) -> Addend:
        """Products as the multiplier leaves them."""
        return self.product if self.product_rounding is None else self.product_rounding.rounded_sum.addend

    @cached_property
    def product(self) -> Addend:
        """Products, rounded if the spec says so."""
        spec = self.spec
        # Where the nodes of a tree cut products, that is toward zero, for which magnitudes are meant.
        cut = spec.lanes > 1 and spec.lane_sum == "tree" and spec.rounding == "drop"
        integer = isinstance(spec.acc, FixedFormat) and not cut
        if self.product_rounding is not None:
            return self.product_rounding.rounded_sum.rounded(integer=integer)
        if self.terms is not None:
            return self.terms.product
        if spec.bulk_bits is not None:
            return replace(Addend.of_product(*spec.port_formats, integer=False), has_zero_exponents=True)
        # Only where nothing else has to be aligned before the accumulator.
        normalised = isinstance(spec.acc, FloatFormat) and spec.lanes == 1 and spec.aligned_bits is None
        product = Addend.of_product(*spec.port_formats, integer=integer, normalised=normalised)
        return replace(product, has_tiny_pairs=normalised and self._has_tiny_pairs)

    @property
    def _has_tiny_pairs(self) -> bool:
        """Whether products of two subnormal operands are so small that of each a sum depends on the sign alone.

        They are all below a quarter of the accumulator's subnormal grid or, where rounding tells b bits below it apart,
        a 2**(b + 1)-th of it. Rounding on the grid looks at a 2**b-th; whether a number just below the smallest normal
        one is tiny is decided by rounding one place lower.
        """
        formats = (self.spec.a, self.spec.b, self.spec.acc)
        floats = [fmt for fmt in formats if isinstance(fmt, FloatFormat) and fmt.subnormals == "gradual"]
        if len(floats) < 3:
            return False
        a, b, acc = floats
        below = max(self.spec.rounding.bits_below, 1) + 1
        return a.min_exponent + b.min_exponent <= acc.lsb_exponent - below

    @cached_property
    def _product_sum(self) -> RoundedSum:
        """The sum of products, one by one, in an accumulator of their own."""
        return RoundedSum(self.product, self.spec.acc, self.spec.rounding, self.spec.overflow)

    @cached_property
    def first_nodes(self) -> NodeGeometry:
        """With `lane_sum = tree` the nodes that add products."""
        spec = self.spec
        return NodeGeometry(self.product, self._product_sum.states, spec.acc, spec.rounding, spec.overflow, first=True)

    @cached_property
    def later_nodes(self) -> NodeGeometry:
        """With `lane_sum = tree` the nodes that add other nodes' sums."""
        return replace(self.first_nodes, addend=self.first_nodes.result, first=False)

    @cached_property
    def bulk_window(self) -> BulkWindow | None:
        """With `lane_sum = bulk:F` where the products are cut, else None."""
        bits = self.spec.bulk_bits
        return None if bits is None else bulk_window(self.product, self.spec.lanes, bits)

    @cached_property
    def bulk_rounding(self) -> Conversion:
        """With `lane_sum = bulk:F` the rounding of the products' sum to the accumulator's format."""
        assert self.bulk_window is not None
        spec, total = self.spec, Addend.of_window(self.bulk_window)
        return Conversion(RoundedSum(total, spec.acc, spec.rounding, spec.overflow, prefix="lane_"))

    @property
    def combines_lanes(self) -> bool:
        """Whether something makes of the lanes' products what a step adds to the accumulator."""
        return self.window is None and (self.spec.lanes > 1 or self.bulk_window is not None)

    @cached_property
    def window(self) -> Window | None:
        """Where a step cuts its addends, the products and, last, the accumulator; None where it cuts nothing."""
        spec = self.spec
        if self.terms is not None:
            return self.terms.window
        if spec.aligned_bits is None:
            return None
        acc, grid = self._product_sum.states, self._product_sum.lsb_exponent
        acc = replace(acc, lsb_exponent=max(acc.lsb_exponent, grid))
        return Window((*[self.product] * spec.lanes, acc), spec.aligned_bits, grid)

    @cached_property
    def terms(self) -> TermPlan | None:
        """With `lane_sum = exponents:F` what a step adds to the accumulator."""
        return None if self.spec.exponent_bits is None else TermPlan(self.spec)

    # -- adders ------------------------------------------------------------------------------------------------------

    @cached_property
    def steps(self) -> AnyDatapath:
        """The accumulator and the adder of what a step adds to it: a product, or what the lanes' become."""
        spec, addend = self.spec, self.product
        if self.window is not None:
            addend = Addend.of_window(self.window)
        elif self.bulk_window is not None:
            addend = self.bulk_rounding.rounded_sum.rounded(integer=False)
        elif spec.lanes > 1:
            addend = self.first_nodes.result if spec.lane_sum == "tree" else Addend.of_sum(addend, spec.lanes)
        return datapath_of(RoundedSum(addend, spec.acc, spec.rounding, spec.overflow, self.folds_in_loop))

    @cached_property
    def operand(self) -> wiring.Signature:
        """What the adder of steps takes besides the accumulator."""
        match self.window:
            case None:
                return self.steps.operand
            case ReferenceWindow():
                return ReferredLanes(self.window)
        return AlignedLanes(self.window, self.spec.lanes)

    def aligner(self) -> Aligner | References:
        """Make what compares the lanes before the accumulator, where a step cuts its addends."""
        assert self.window is not None
        if isinstance(self.window, ReferenceWindow):
            return References(self.window)
        return Aligner(self.window, self.spec.lanes)

    def aligned_adder(self) -> AlignedAdder | ExponentAdder:
        """Make the adder of steps that cut their addends."""
        assert self.window is not None
        assert isinstance(self.steps, FloatDatapath)
        if isinstance(self.window, ReferenceWindow):
            return ExponentAdder(self.steps.geometry, self.window, self.spec.interleave)
        return AlignedAdder(self.steps.geometry, self.window, self.spec.interleave)

    def multiplier(self) -> Multiplier:
        """Make the multiplier of a lane."""
        zeros = None if self.terms is None else self.terms.operand_zeros
        last = self.bulk_window is not None
        return Multiplier(*self.spec.port_formats, self.exact_product, zeros, zeros_last=last)

    @property
    def folds_in_loop(self) -> bool:
        """Whether chunk sums are folded in the accumulator's own loop, and not by an outer adder."""
        return self.spec.chunk is not None and not self.spec.has_outer_adder

    @property
    def folds_overlap(self) -> bool:
        """Whether that happens in the cycle in which a product starts the next chunk."""
        return self.folds_in_loop and self.spec.fold == "overlap"

    @property
    def loads_products(self) -> bool:
        """Whether a chunk's first product then becomes the accumulator as it is."""
        return self.folds_overlap and self.window is None and self.steps.loads_exactly and self._holds_products

    @property
    def _holds_products(self) -> bool:
        """Whether a fixed-point accumulator holds products also of the codes that narrow operands lack.

        Of a narrow accumulator this is not claimed: products are proved to have its bits, not to leave one code out.
        """
        spec, acc = self.spec, self.spec.acc
        if not isinstance(acc, FixedFormat) or acc.narrow:
            return isinstance(acc, FloatFormat)
        if spec.product is not None:
            return True
        least = least_int_bits(*spec.port_formats, frac_bits=acc.frac_bits, signed=acc.signed)
        return least <= acc.int_bits

    @cached_property
    def outer(self) -> AnyDatapath | None:
        """The outer accumulator and its own adder, of chunk sums times scales; None without one."""
        spec, fmt = self.spec, self.spec.outer_format
        if not spec.has_outer_adder:
            return None
        addend = self.chunk_sum
        if spec.scale is not None and spec.scales_chunks:
            addend = Scaler.scaled_addend(addend, spec.scale)
        return datapath_of(RoundedSum(addend, fmt, spec.fold_rounding, spec.overflow_into(fmt), prefix="outer_"))

    @property
    def _takes_integers(self) -> bool:
        """Whether the outer adder takes chunk sums as signed integers."""
        fixed = isinstance(self.spec.acc, FixedFormat) and isinstance(self.spec.outer_format, FixedFormat)
        return fixed and not self.spec.scales_chunks

    @cached_property
    def chunk_sum(self) -> Addend:
        """Chunk sums on their way to the outer adder, or to scales."""
        return self.steps.states(integer=self._takes_integers)

    def chunk_number(self) -> wiring.Component:
        """Make the converter from an accumulator state to `chunk_sum`."""
        return self.steps.number(integer=self._takes_integers)

    # -- results -----------------------------------------------------------------------------------------------------

    @property
    def results(self) -> AnyDatapath:
        """The accumulator whose states leave the PEs."""
        return self.steps if self.outer is None else self.outer

    @cached_property
    def out(self) -> Conversion | None:
        """The rounding of results to `out`; None where that is their format already."""
        spec, fmt = self.spec, self.spec.out_format
        if fmt == spec.outer_format:
            return None
        states = self.results.states(integer=isinstance(fmt, FixedFormat))
        return Conversion(RoundedSum(states, fmt, spec.fold_rounding, spec.overflow_into(fmt), prefix="out_"))

    def out_number(self) -> wiring.Component:
        """Make the converter from a state of `results` to the numbers that `out` rounds."""
        return self.results.number(integer=isinstance(self.spec.out_format, FixedFormat))

    @cached_property
    def result_bits(self) -> int:
        """Width of a finished sum on its way to the output: the accumulator state's members, then the flags."""
        return sum(Shape.cast(item.shape).width for item in self.results.value.members.values()) + FLAG_BITS

    def unpack_result(self, packed: Value) -> tuple[Any, Value]:
        """Take a finished sum apart into the accumulator state and the flags."""
        value, low = {}, 0
        for name, item in self.results.value.members.items():
            shape = Shape.cast(item.shape)
            part = packed[low : low + shape.width]
            value[name] = part.as_signed() if shape.signed else part
            low += shape.width
        return SimpleNamespace(**value), packed[low:]

    # -- random numbers ----------------------------------------------------------------------------------------------

    @property
    def pe_random_bits(self) -> int:
        """Bits of the random numbers that a PE takes, 0 where it takes none."""
        return (self.results if self.spec.random_place == "chunks" else self.steps).random_bits

    @property
    def seed_bits(self) -> int:
        """Width of a PE's seed, 0 where it takes no random numbers."""
        return Lfsr.of(self.pe_random_bits).width if self.pe_random_bits else 0

    @property
    def draws_two(self) -> bool:
        """Whether a PE may take two random numbers in a cycle, for a fold and for the product that it takes beside."""
        return self.folds_overlap and self.spec.random_place == "steps"

    @property
    def out_random_bits(self) -> int:
        """Bits of the random numbers that the conversion of results takes, 0 where it takes none."""
        return 0 if self.out is None else self.out.random_bits

    @property
    def out_seed_bits(self) -> int:
        """Width of a column's seed, 0 where the conversion of results takes no random numbers."""
        return Lfsr.of(self.out_random_bits).width if self.out_random_bits else 0

    # -- cycles ------------------------------------------------------------------------------------------------------

    @property
    def outer_cycles(self) -> int:
        """Cycles from the one that ends a chunk to the one in which its addition by an outer adder ends; 0 without."""
        return 1 + self.spec.interleave if self.spec.has_outer_adder else 0

    @property
    def latency(self) -> int:
        """Cycles from the one that takes a tile's (the last turn's) last beat to the first with its results."""
        spec = self.spec
        fold = self.outer_cycles + (spec.interleave if self.folds_in_loop else 0)
        return spec.rows + spec.cols + spec.pipeline + fold + spec.interleave - 1

    @property
    def port_latency(self) -> int:
        """The same at the top module's ports; with register slices there, the least: the core may take a beat later."""
        return self.latency + (SLICE_CYCLES if self.spec.interface == Interface.AXI_STREAM else 0)

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
                "b_valid": In(1),
                "b_ready": Out(1),
                "b_data": In(spec.cols * self.b_bits),
                **b_scale,
                "c_valid": Out(1),
                "c_ready": In(1),
                "c_data": Out(spec.cols * spec.out_format.width),
                "c_flags": Out(spec.cols * FLAG_BITS),
                "c_first": Out(1),
                "c_last": Out(1),
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
        """The signatures of the array's streams `a`, `b` and `c`; see MacArray."""
        spec = self.spec
        codes_a, codes_b = (data.ArrayLayout(unsigned(fmt.width), spec.lanes) for fmt in (spec.a, spec.b))
        scales_a, scales_b = (self._scale_fields(side) for side in (spec.rows, spec.cols))
        a = {"data": data.ArrayLayout(codes_a, spec.rows), **scales_a, "first": 1, "last": 1}
        b = {"data": data.ArrayLayout(codes_b, spec.cols), **scales_b}
        flags = data.StructLayout({flag.name.lower(): 1 for flag in Flags if flag.name})
        c = {
            "data": data.ArrayLayout(unsigned(spec.out_format.width), spec.cols),
            "flags": data.ArrayLayout(flags, spec.cols),
            "first": 1,
            "last": 1,
        }
        return {name: stream.Signature(data.StructLayout(fields)) for name, fields in (("a", a), ("b", b), ("c", c))}

    def _scale_fields(self, side: int) -> dict[str, Any]:
        """Return the field of a stream's scales, of so many rows or columns; none without scales."""
        spec = self.spec
        if spec.scale is None:
            return {}
        of_one: Any = unsigned(spec.scale.width)
        if spec.scales_lanes:
            of_one = data.ArrayLayout(of_one, spec.scales_in_beat)
        return {"scale": data.ArrayLayout(of_one, side)}
