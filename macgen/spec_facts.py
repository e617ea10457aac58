"""The fields of a MacSpec, and what follows from them."""

import dataclasses
from dataclasses import dataclass

from macgen.errors import check_choice, check_integer, check_type
from macgen.numerics import FixedFormat, FloatFormat, Format, LaneSum, LaneSumKind, Overflow, Rounding
from macgen.spec_accumulator import knows_overflow, largest_addend
from macgen.spec_counters import Counters
from macgen.spec_fields import Fold, Interface, RandomPlace, Reset, ResetActive, Scale, ScalePlace
from macgen.spec_lanes import exact_sum_bits
from macgen.spec_modes import FULL, Mode


@dataclass(frozen=True, init=False)
class SpecFacts:
    """The fields, and what follows from them; see MacSpec, which checks them."""

    a: Format
    b: Format
    acc: Format
    product: Format | None
    scale: Scale | None
    scale_place: ScalePlace
    scale_block: int | None
    chunk: int | None
    outer: Format | None
    out: Format | None
    rounding: Rounding
    outer_rounding: Rounding | None
    overflow: Overflow
    lanes: int
    lane_sum: LaneSum
    rows: int
    cols: int
    interleave: int
    pipeline: int
    fold: Fold
    interface: Interface
    reset: Reset
    reset_active: ResetActive | None
    clock_enable: bool
    modes: tuple[Mode, ...]
    counters: Counters | None
    preload: bool
    outer_cycles: int

    @property
    def outer_format(self) -> Format:
        """Format of the outer accumulator."""
        return self.acc if self.outer is None else self.outer

    @property
    def out_format(self) -> Format:
        """Format of the results."""
        return self.outer_format if self.out is None else self.out

    @property
    def port_formats(self) -> tuple[Format, Format]:
        """What the array takes the operands' codes for: `a` and `b`, with the lowest value that narrow formats lack."""
        a, b = (
            dataclasses.replace(fmt, narrow=False) if isinstance(fmt, FixedFormat) else fmt for fmt in (self.a, self.b)
        )
        return a, b

    @property
    def fold_rounding(self) -> Rounding:
        """Rounding of what enters the outer accumulator, and of the conversion to `out`."""
        return self.rounding if self.outer_rounding is None else self.outer_rounding

    @property
    def has_outer_adder(self) -> bool:
        """Whether chunk sums go to an adder of their own: the accumulator's cannot fold them."""
        folds_otherwise = self.chunk is not None and self.fold_rounding != self.rounding
        return self.scales_chunks or self.outer_format != self.acc or folds_otherwise

    @property
    def scales_chunks(self) -> bool:
        """Whether each chunk has scales, by which its sum is multiplied."""
        return self.scale is not None and self.scale_place is ScalePlace.OUTER

    @property
    def scales_lanes(self) -> bool:
        """Whether each block of elements has scales, by which their products are multiplied."""
        return self.scale is not None and self.scale_place is ScalePlace.LANES

    @property
    def block(self) -> int | None:
        """Elements that have a scale of their own with `scale_place = lanes`, else None."""
        return (self.scale_block or self.lanes) if self.scales_lanes else None

    @property
    def scales_in_beat(self) -> int:
        """Scales that each row and each column has in a beat: 0 without scales, several where blocks of lanes have."""
        if self.scale is None:
            return 0
        return 1 if self.block is None else self.lanes // self.block

    def scale_count(self, length: int) -> int:
        """Return how many scales each operand of a dot product of so many products has.

        Raises:
            MacgenError: the length is refused.
        """
        length = check_integer("length", length, 1)
        if self.scale is None:
            return 0
        return -(-length // (self.block or self.chunk or length))

    @property
    def exponent_bits(self) -> int | None:
        """F of `lane_sum = exponents:F`, else None."""
        return self.lane_sum.exponent_bits

    @property
    def aligned_bits(self) -> int | None:
        """W of `lane_sum = aligned:W`, else None."""
        return self.lane_sum.aligned_bits

    @property
    def bulk_bits(self) -> int | None:
        """F of `lane_sum = bulk:F`, else None."""
        return self.lane_sum.bulk_bits

    @property
    def aligns(self) -> bool:
        """Whether a step cuts its addends at one place before it adds them: `aligned:W`, `exponents:F`, `bulk:F`."""
        return any(bits is not None for bits in (self.aligned_bits, self.exponent_bits, self.bulk_bits))

    @property
    def rounds_lanes(self) -> bool:
        """Whether what a step adds has been rounded to the accumulator's format: `tree` of several lanes, `bulk:F`."""
        return self.bulk_bits is not None or (self.lane_sum.kind is LaneSumKind.TREE and self.lanes > 1)

    @property
    def fused_bits(self) -> int:
        """Bits of the magnitude of an exact sum of as many products as there are lanes."""
        _, largest, lsb = largest_addend(self.a, self.b, self.product)
        return exact_sum_bits(self.lanes, largest, lsb)

    @property
    def random_place(self) -> RandomPlace | None:
        """Where stochastic rounding takes place, if anywhere."""
        places = [place for place, rounding in self._roundings() if rounding.random_bits]
        return places[0] if places else None

    @property
    def random_bits(self) -> int:
        """Bits of the random numbers of stochastic rounding: its r, else 0."""
        return max(rounding.random_bits for _, rounding in self._roundings())

    @property
    def reset_level(self) -> ResetActive:
        """The level of the reset's port that resets."""
        lower = self.interface == Interface.AXI_STREAM
        return self.reset_active or (ResetActive.LOW if lower else ResetActive.HIGH)

    @property
    def mode_names(self) -> tuple[str, ...]:
        """The modes' names, in the order of their numbers; `full` is the spec itself."""
        return (FULL, *(mode.name for mode in self.modes))

    def mode_number(self, which: int | str) -> int:
        """Return the number of a mode.

        Parameters:
            which: its number, or its name; 0 is `full`, the spec itself.

        Raises:
            MacgenError: there is no such mode.
        """
        names = self.mode_names
        if isinstance(which, str):
            check_choice("mode", which, names)
            return names.index(which)
        return check_integer("mode", which, 0, len(names) - 1)

    @property
    def rounds_by_mode(self) -> bool:
        """Whether something is rounded to another format in one mode than in another."""
        rounded = [item for mode in self.modes for item in mode.formats if item[0] not in ("a", "b")]
        return any(fmt != getattr(self, field) for field, fmt in rounded)

    @property
    def packed(self) -> tuple[int, ...]:
        """Of each mode, `full` first, how many elements stand in the bits of an operand."""
        return (1, *(mode.packed for mode in self.modes))

    @property
    def packs(self) -> bool:
        """Whether in a mode that is more than one."""
        return any(count > 1 for count in self.packed)

    @property
    def extras(self) -> tuple[str, ...]:
        """What the array does beyond rounded sums of exact products, in a few words each."""
        found = []
        if self.product is not None:
            found.append(f"products rounded to {self.product}")
        if self.lanes > 1:
            found.append(f"{self.lanes} lanes, {self.lane_sum}")
        elif self.aligns:
            found.append(self.lane_sum)
        if self.scale is not None:
            found.append(f"scales {self.scale}" + (f" of {self.block} lanes" if self.scales_lanes else ""))
        if self.has_outer_adder:
            found.append(f"chunk sums into {self.outer_format}, {self.fold_rounding}")
        if self.out_format != self.outer_format:
            found.append(f"results {self.out_format}, {self.fold_rounding}")
        if self.interleave > 1:
            found.append(f"{self.interleave} turns")
        if self.modes:
            found.append(f"modes {', '.join(self.mode_names)}")
        if self.counters is not None:
            found.append(f"counters {self.counters}")
        if self.preload:
            found.append("preloaded accumulators")
        if self.outer_cycles > 1:
            found.append(f"outer additions of {self.outer_cycles} cycles")
        if self.interface == Interface.AXI_STREAM:
            found.append("AXI4-Stream ports")
        if self.reset == Reset.ASYNC:
            found.append("asynchronous reset")
        if self.reset_active is not None:
            found.append(f"reset active {self.reset_active}")
        if self.clock_enable:
            found.append("clock enable")
        return tuple(found)

    def overflow_into(self, fmt: Format) -> Overflow:
        """Return what becomes of a result too large for one of the spec's formats.

        Raises:
            MacgenError: this is no format.
        """
        check_type("format", fmt, (FloatFormat, FixedFormat), "a format, such as parse_format's")
        return self.overflow if knows_overflow(fmt, self.overflow) else Overflow.SATURATE

    def _roundings(self) -> list[tuple[RandomPlace, Rounding]]:
        """Return every kind of rounding with the place that it would be."""
        found: list[tuple[RandomPlace, Rounding]] = [("steps", self.rounding)]
        found += [("steps", self.rounding)] * ((self.product is not None) + self.rounds_lanes)
        if self.has_outer_adder:
            found.append(("chunks", self.fold_rounding))
        if self.out_format != self.outer_format:
            found.append(("out", self.fold_rounding))
        return found
