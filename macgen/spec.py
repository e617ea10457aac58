"""MacSpec: the one description of a MAC array, from which model, hardware and reports come."""

import dataclasses
import json
from dataclasses import dataclass, fields
from typing import Any, Self

from macgen.errors import MacgenError, check_flag, check_integer, check_type, shown
from macgen.numerics import (
    FixedFormat,
    FloatFormat,
    Format,
    LaneSum,
    LaneSumKind,
    Overflow,
    Rounding,
    as_format,
)
from macgen.spec_accumulator import check_accumulator, check_signs, knows_overflow, largest_addend
from macgen.spec_fields import (
    MAX_CHUNK,
    MAX_INTERLEAVE,
    MAX_LANES,
    MAX_PIPELINE,
    MAX_SCALE_BLOCK,
    MAX_SIDE,
    Fold,
    Interface,
    RandomPlace,
    Reset,
    ResetActive,
    Scale,
    ScalePlace,
    check_operand,
    parse_reset_active,
    parse_scale,
)
from macgen.spec_lanes import check_lanes, exact_sum_bits


@dataclass(frozen=True, init=False)
class MacSpec:
    """One output-stationary array of multiply-accumulate units; validated, immutable, comparable and hashable.

    Parameters:
        a: format of the left operands (rows of A); a format or its string.
        b: format of the right operands (columns of B); a format or its string.
        acc: format of the accumulators, and of the results unless `outer` or `out` says otherwise.
        product: format to which each product is rounded; None or `exact`: products are exact.
        scale: format of the scales that each chunk of a row of A and of a column of B has, such as `e8m0fnu`, or a
            float format of up to 32 bits; a chunk sum is multiplied by both as it enters the outer accumulator.
            None: no scales.
        scale_place: `outer`, as `scale` says; or `lanes`: each block of elements has a scale, and their products are
            multiplied by both before a step aligns them.
        scale_block: elements of a block, 1 to 64, with `scale_place = lanes`; None: `lanes`.
        chunk: products summed before the sum is folded into the outer accumulator, 1 to 2**20; None: no chunks.
        outer: format of the outer accumulator, which takes the chunk sums; None: `acc`.
        out: format of the results; None: the outer accumulator's.
        rounding: of every addition, and of products: `rne` (to nearest, ties to even), `rtz` (toward zero), `floor`
            (toward minus infinity), `odd` (to the odd one of the two neighbours), `drop` (align and drop: the addends
            are cut at the larger one's last place before they are added) or `stochastic:r` (a random number of r bits,
            1 to 32, is added to those below the last place; with `:nearest` behind it, to nearest beneath these).
        outer_rounding: of what enters the outer accumulator, and of the conversion to `out`; None: `rounding`.
        overflow: `saturate`, `infinity` (accumulators with infinities; as IEEE 754 says), `to-infinity` (those, in
            every rounding), `nan` (those with NaN and no infinities) or `wrap` (fixed-point accumulators); a format
            here that does not know it saturates.
        lanes: products that a step takes, 1 to 64; chunks are multiples of it.
        lane_sum: how a step adds them: `fused`, rounded once; `tree`, a balanced binary tree whose nodes round;
            `aligned:W`, all addends cut at W fraction bits below the largest one's leading bit; `exponents:F`, at F
            bits below the largest sum of the factors' exponents; `exponents:F/G`, of exact sums of G products;
            `bulk:F`, products alone cut likewise, but to odd, their sum rounded, then added: RISC-V bulk normalisation.
        rows: rows of PEs, 1 to 256.
        cols: columns of PEs, 1 to 256.
        interleave: independent accumulations that take turns in each PE, 1 to 4: an addition may take as many cycles.
        pipeline: register stages from the operands to the adder, 1 to 3: before it, after the multiplier, before that.
        fold: `bubble` or `overlap`; the results are the same, the cycles and the area are not. An outer accumulator
            with an adder of its own never takes a bubble.
        interface: `native` or `axi-stream`: how the ports of the Verilog carry the streams.
        reset: `sync` or `async`: whether a reset waits for a clock edge.
        reset_active: `high` or `low`; None: low with `axi-stream`, as its specification wants, else high.
        clock_enable: whether the Verilog has a port without which a clock edge does not count.

    Raises:
        MacgenError: a field is refused, or the fields contradict each other (docs/arithmetic.md section 6).
    """

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

    def __init__(
        self,
        *,
        a: Format | str,
        b: Format | str,
        acc: Format | str,
        product: Format | str | None = None,
        scale: Scale | str | None = None,
        scale_place: ScalePlace | str = "outer",
        scale_block: int | None = None,
        chunk: int | None = None,
        outer: Format | str | None = None,
        out: Format | str | None = None,
        rounding: Rounding | str = "rne",
        outer_rounding: Rounding | str | None = None,
        overflow: Overflow | str = "saturate",
        lanes: int = 1,
        lane_sum: LaneSum | str = "fused",
        rows: int = 4,
        cols: int = 4,
        interleave: int = 1,
        pipeline: int = 1,
        fold: Fold | str = "bubble",
        interface: Interface | str = "native",
        reset: Reset | str = "sync",
        reset_active: ResetActive | str | None = None,
        clock_enable: bool = False,
    ) -> None:
        self.__dict__.update(  # the instance is frozen
            a=as_format("a", a),
            b=as_format("b", b),
            acc=as_format("acc", acc),
            product=None if product is None or _is_exact(product) else as_format("product", product),
            scale=None if scale is None else parse_scale(scale),
            scale_place=ScalePlace(scale_place),
            scale_block=scale_block,
            chunk=chunk,
            outer=None if outer is None else as_format("outer", outer),
            out=None if out is None else as_format("out", out),
            rounding=Rounding(rounding),
            outer_rounding=None if outer_rounding is None else Rounding(outer_rounding, field="outer_rounding"),
            overflow=Overflow(overflow),
            lanes=lanes,
            lane_sum=LaneSum(lane_sum),
            rows=rows,
            cols=cols,
            interleave=interleave,
            pipeline=pipeline,
            fold=Fold(fold),
            interface=Interface(interface),
            reset=Reset(reset),
            reset_active=parse_reset_active(reset_active, Interface(interface)),
            clock_enable=check_flag("clock_enable", clock_enable),
        )
        self._check_integers()
        for field in ("a", "b"):
            check_operand(field, getattr(self, field))
        check_accumulator(a=self.a, b=self.b, product=self.product, acc=self.acc, overflow=self.overflow)
        check_lanes(
            lanes=self.lanes,
            lane_sum=self.lane_sum,
            a=self.a,
            b=self.b,
            product=self.product,
            acc=self.acc,
            rounding=self.rounding,
            scale=self.scale,
            place=self.scale_place,
            block=self.scale_block,
            fused_bits=self.fused_bits,
        )
        check_signs((self.a, self.b), {field: getattr(self, field) for field in ("product", "acc", "outer", "out")})
        self._check_random_places()

    def __repr__(self) -> str:
        """Return the call that makes this spec, without the fields that are what they are by default."""
        defaults = self.__init__.__kwdefaults__  # type: ignore[misc]
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        given = [
            f"{name}={value if isinstance(value, int) else str(value)!r}"
            for name, value in values.items()
            if name not in defaults or value != defaults[name]
        ]
        return f"{type(self).__name__}({', '.join(given)})"

    # -- what follows from the fields ----------------------------------------------------------------------------

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
    def core(self) -> Self:
        """The spec of the same array with native ports, a synchronous reset, active high, and no clock enable."""
        return self.replace(interface=Interface.NATIVE, reset=Reset.SYNC, reset_active=None, clock_enable=False)

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
        if self.interface == Interface.AXI_STREAM:
            found.append("AXI4-Stream ports")
        if self.reset == Reset.ASYNC:
            found.append("asynchronous reset")
        if self.reset_active is not None:
            found.append(f"reset active {self.reset_active}")
        if self.clock_enable:
            found.append("clock enable")
        return tuple(found)

    def replace(self, **changes: Any) -> Self:
        """Return the spec with some fields replaced; formats and choices may be strings here too.

        Raises:
            MacgenError: a field is refused, or the fields now contradict each other.
        """
        return dataclasses.replace(self, **changes)

    def overflow_into(self, fmt: Format) -> Overflow:
        """Return what becomes of a result too large for one of the spec's formats.

        Raises:
            MacgenError: this is no format.
        """
        check_type("format", fmt, (FloatFormat, FixedFormat), "a format, such as parse_format's")
        return self.overflow if knows_overflow(fmt, self.overflow) else Overflow.SATURATE

    # -- checks --------------------------------------------------------------------------------------------------

    def _roundings(self) -> list[tuple[RandomPlace, Rounding]]:
        """Return every kind of rounding with the place that it would be."""
        found: list[tuple[RandomPlace, Rounding]] = [("steps", self.rounding)]
        found += [("steps", self.rounding)] * ((self.product is not None) + self.rounds_lanes)
        if self.has_outer_adder:
            found.append(("chunks", self.fold_rounding))
        if self.out_format != self.outer_format:
            found.append(("out", self.fold_rounding))
        return found

    def _check_integers(self) -> None:
        for field, low, high in (
            ("rows", 1, MAX_SIDE),
            ("cols", 1, MAX_SIDE),
            ("lanes", 1, MAX_LANES),
            ("interleave", 1, MAX_INTERLEAVE),
            ("pipeline", 1, MAX_PIPELINE),
        ):
            self.__dict__[field] = check_integer(field, getattr(self, field), low, high)
        if self.chunk is not None:
            self.__dict__["chunk"] = check_integer("chunk", self.chunk, 1, MAX_CHUNK, also=" or none")
            if self.chunk % self.lanes:
                raise MacgenError(f"chunk {self.chunk} is not a multiple of lanes {self.lanes}, as it has to be")
        if self.scale_block is not None:
            self.__dict__["scale_block"] = check_integer(
                "scale_block", self.scale_block, 1, MAX_SCALE_BLOCK, also=" or none"
            )

    def _check_random_places(self) -> None:
        if sum(rounding.random_bits > 0 for _, rounding in self._roundings()) > 1:
            raise MacgenError(
                f"rounding {self.rounding!r} with outer_rounding {self.fold_rounding!r} would round at random in more "
                f"than one place (product, lane_sum tree, acc, outer, out); accepted is one"
            )

    # -- JSON ----------------------------------------------------------------------------------------------------

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as JSON values, formats as strings; of the later ones only what is not the default."""
        defaults = self.__init__.__kwdefaults__  # type: ignore[misc]
        names = [field.name for field in fields(self)]
        values = {
            name: getattr(self, name)
            for name in names
            if name not in _LATER_FIELDS or getattr(self, name) != defaults[name]
        }
        values["product"] = values["product"] or "exact"
        return {
            name: value if value is None or isinstance(value, int) else str(value) for name, value in values.items()
        }

    def to_json(self) -> str:
        """Return the fields as a JSON text; `from_json` reads it back to an equal spec."""
        return json.dumps(self.to_dict(), indent=2) + "\n"

    @classmethod
    def from_dict(cls, values: object) -> Self:
        """Return the spec that a mapping such as `to_dict`'s describes; fields with defaults may be absent.

        Raises:
            MacgenError: it is no mapping, a key is unknown or missing, or a value is refused.
        """
        if not isinstance(values, dict):
            raise MacgenError(f"spec is {_json_type(values)}; accepted is an object with the fields of MacSpec")
        known = [field.name for field in fields(cls)]
        for key in values:
            if key not in known:
                raise MacgenError(f"spec has the unknown key {shown(key)}; accepted are {', '.join(known)}")
        for key in _REQUIRED_FIELDS:
            if key not in values:
                raise MacgenError(
                    f"spec lacks the key {key!r}; accepted are specs with at least {', '.join(_REQUIRED_FIELDS)}"
                )
        return cls(**values)

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Return the spec that a JSON text describes.

        Raises:
            MacgenError: the text is no JSON, or `from_dict` refuses it.
        """
        check_type("spec", text, (str, bytes, bytearray), "a JSON text, such as MacSpec.to_json writes")
        try:
            values = json.loads(text, object_pairs_hook=object_of_distinct_keys)
        except MacgenError:
            raise
        except (ValueError, RecursionError) as error:
            raise MacgenError(f"spec is not valid JSON ({error}); accepted is what MacSpec.to_json writes") from None
        return cls.from_dict(values)


_REQUIRED_FIELDS = ("a", "b", "acc")

_LATER_FIELDS = ("scale_place", "scale_block", "interface", "reset", "reset_active", "clock_enable")
"""They came after the others: a spec without them reads as it did before."""


def check_spec(spec: object) -> None:
    """Refuse what is no MacSpec.

    Raises:
        MacgenError: it is none.
    """
    check_type("spec", spec, MacSpec, "a MacSpec, such as macgen.presets['default']")


def _is_exact(product: Format | str) -> bool:
    return isinstance(product, str) and product == "exact"


def object_of_distinct_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return a JSON object, for `json.loads`.

    Raises:
        MacgenError: a key stands there twice.
    """
    values: dict[str, Any] = {}
    for key, value in pairs:
        if key in values:
            raise MacgenError(f"spec has the key {shown(key)} twice; accepted is each key once")
        values[key] = value
    return values


def _json_type(value: object) -> str:
    names = {list: "a list", str: "a string", bool: "a boolean", int: "a number", float: "a number", type(None): "null"}
    return names.get(type(value), "no object")
