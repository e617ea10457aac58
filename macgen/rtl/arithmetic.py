"""The arithmetic that follows from a spec: what is added, by which adders, and what becomes of the sums."""

from dataclasses import dataclass, replace
from functools import cached_property
from types import SimpleNamespace
from typing import Any

from amaranth.hdl import Shape, Value
from amaranth.lib import wiring

from macgen.numerics import FixedFormat, FloatFormat, Format, Lfsr
from macgen.numerics.flags import FLAG_BITS
from macgen.rtl.terms import TermPlan
from macgen.rtl.units.aligned import AlignedAdder, AlignedLanes, Aligner
from macgen.rtl.units.bulk import BulkWindow, bulk_window
from macgen.rtl.units.conversion import Conversion
from macgen.rtl.units.datapath import AnyDatapath, FloatDatapath, datapath_of
from macgen.rtl.units.exact_number import Addend, Window
from macgen.rtl.units.exponents import ExponentAdder, References, ReferenceWindow, ReferredLanes
from macgen.rtl.units.multiplier import Multiplier, Scaler
from macgen.rtl.units.packed_multiplier import PackedMultiplier
from macgen.rtl.units.rounded_sum import RoundedSum
from macgen.rtl.units.start import start_signals
from macgen.rtl.units.tree_node import NodeGeometry
from macgen.spec import MacSpec
from macgen.spec_fields import least_int_bits
from macgen.spec_modes import narrows


@dataclass(frozen=True)
class Arithmetic:
    """The formats, adders and random numbers of one array; see Design.

    Attributes:
        spec: the array.
    """

    spec: MacSpec

    # -- modes -------------------------------------------------------------------------------------------------------

    @cached_property
    def modes(self) -> tuple[MacSpec, ...]:
        """The spec in each mode, `full` first."""
        return tuple(self.spec.mode(number) for number in range(len(self.spec.mode_names)))

    def _by_mode(self, field: str) -> tuple[Format, ...]:
        """Return a format in each mode; none where all modes have the same."""
        formats = tuple(getattr(mode, field) for mode in self.modes)
        return formats if narrows(formats) else ()

    # -- what is added -----------------------------------------------------------------------------------------------

    @cached_property
    def product_rounding(self) -> Conversion | None:
        """The rounding of products to `product`; None where they stay exact."""
        spec, fmt = self.spec, self.spec.product
        if fmt is None:
            return None
        exact = Addend.of_product(*spec.port_formats, integer=isinstance(fmt, FixedFormat))
        overflow, modes = spec.overflow_into(fmt), self._by_mode("product")
        return Conversion(RoundedSum(exact, fmt, spec.rounding, overflow, prefix="rounding_", modes=modes))

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
        modes, preloads = self._by_mode("acc"), spec.preload and not spec.has_outer_adder
        sums = RoundedSum(addend, spec.acc, spec.rounding, spec.overflow, self.folds_in_loop, modes=modes)
        return datapath_of(replace(sums, preloads=preloads))

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

    def multiplier(self) -> Multiplier | PackedMultiplier:
        """Make the multiplier of a lane."""
        if self.spec.packs:
            return self._packed_multiplier()
        zeros = None if self.terms is None else self.terms.operand_zeros
        last = self.bulk_window is not None
        return Multiplier(*self.spec.port_formats, self.exact_product, zeros, zeros_last=last)

    def _packed_multiplier(self) -> PackedMultiplier:
        a, b = self.spec.port_formats
        assert isinstance(a, FixedFormat)
        assert isinstance(b, FixedFormat)
        shifts = []
        for number in range(len(self.modes)):
            lsb = Addend.of_product(*self.spec.on_wires(number).port_formats, integer=True).lsb_exponent
            shifts.append(lsb - self.exact_product.lsb_exponent)
        return PackedMultiplier(a, b, self.exact_product, self.spec.packed, shifts)

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
        overflow, modes = spec.overflow_into(fmt), self._by_mode("outer_format")
        sums = RoundedSum(addend, fmt, spec.fold_rounding, overflow, prefix="outer_", modes=modes)
        return datapath_of(replace(sums, preloads=spec.preload))

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
        overflow, modes = spec.overflow_into(fmt), self._by_mode("out_format")
        return Conversion(RoundedSum(states, fmt, spec.fold_rounding, overflow, prefix="out_", modes=modes))

    def out_number(self) -> wiring.Component:
        """Make the converter from a state of `results` to the numbers that `out` rounds."""
        return self.results.number(integer=isinstance(self.spec.out_format, FixedFormat))

    @property
    def start_bits(self) -> int:
        """Width of a start value on its way to its PE: the state's members, then whether it is a signalling NaN, where
        it can be; 0 without preloaded accumulators."""
        return self.result_bits - FLAG_BITS + start_signals(self.results) if self.spec.preload else 0

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
