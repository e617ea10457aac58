"""MacSpec: the one description of a MAC array, from which model, hardware and reports come."""

import dataclasses
import json
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, Self

from macgen.errors import MacgenError, check_flag, check_integer, check_type, shown
from macgen.numerics import (
    Format,
    LaneSum,
    Overflow,
    Rounding,
    as_format,
)
from macgen.spec_accumulator import check_accumulator, check_signs
from macgen.spec_counters import Counters, check_choices_of_counters
from macgen.spec_facts import SpecFacts
from macgen.spec_fields import (
    MAX_CHUNK,
    MAX_INTERLEAVE,
    MAX_LANES,
    MAX_OUTER_CYCLES,
    MAX_PIPELINE,
    MAX_SCALE_BLOCK,
    MAX_SIDE,
    Fold,
    Interface,
    Reset,
    ResetActive,
    Scale,
    ScalePlace,
    check_operand,
    parse_reset_active,
    parse_scale,
)
from macgen.spec_json import json_type, object_of_distinct_keys
from macgen.spec_lanes import check_lanes
from macgen.spec_modes import MODE_FIELDS, Mode, check_choices_of_modes, check_embedding, check_packing, parse_modes
from macgen.spec_outer import check_choices_of_outer_cycles
from macgen.spec_preload import check_choices_of_preload


@dataclass(frozen=True, init=False, repr=False)
class MacSpec(SpecFacts):
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
        modes: narrower formats between which the array changes while it runs, at most 7 beside `full`: texts such as
            `low:acc=e6m3` or `half:a=fix4.4,b=fix4.4` (docs/arithmetic.md section 10).
        counters: bits of the counters in each PE of additions that saturate, are flushed or swamped, 1 to 24, or a text
            with those of the array's, `8/32` (docs/arithmetic.md section 9); None: nothing is counted.
        preload: whether each dot product starts from a value that a stream of its own brings (docs/arithmetic.md
            section 11).
        outer_cycles: that an addition of an outer accumulator with an adder of its own takes, 1 to 4: its adder is cut
            into as many stages; a full chunk has at least as many steps.

    Raises:
        MacgenError: a field is refused, or the fields contradict each other (docs/arithmetic.md section 6).
    """

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
        modes: Sequence[Mode | str] = (),
        counters: Counters | int | str | None = None,
        preload: bool = False,
        outer_cycles: int = 1,
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
            modes=parse_modes(modes),
            counters=Counters.parse(counters),
            preload=check_flag("preload", preload),
            outer_cycles=outer_cycles,
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
        if self.counters is not None:
            cuts = self.aligned_bits is not None or self.exponent_bits is not None
            folds = self.chunk is not None and not self.has_outer_adder
            check_choices_of_counters(
                cuts_terms=str(self.lane_sum) if cuts else None, overlaps=folds and self.fold == "overlap"
            )
        if self.preload:
            check_choices_of_preload(self)
        if self.outer_cycles > 1:
            check_choices_of_outer_cycles(self)
        self._check_modes()

    def __repr__(self) -> str:
        """Return the call that makes this spec, without the fields that are what they are by default."""
        defaults = self.__init__.__kwdefaults__  # type: ignore[misc]
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        given = [
            f"{name}={value if isinstance(value, int) else _texts(value) if name == 'modes' else str(value)!r}"
            for name, value in values.items()
            if name not in defaults or value != defaults[name]
        ]
        return f"{type(self).__name__}({', '.join(given)})"

    @property
    def core(self) -> Self:
        """The spec of the same array with native ports, a synchronous reset, active high, and no clock enable."""
        return self.replace(interface=Interface.NATIVE, reset=Reset.SYNC, reset_active=None, clock_enable=False)

    def mode(self, which: int | str) -> Self:
        """Return the spec that the array is in one of its modes: an ordinary spec, without modes.

        Parameters and errors: see `mode_number`.
        """
        number = self.mode_number(which)
        return self._derived(self.modes[number - 1]) if number else self.replace(modes=())

    def on_wires(self, which: int | str) -> Self:
        """Return a spec without modes whose operands stand in a beat as the array takes those of a mode.

        Of a packed mode that is the mode's own spec: it has more lanes and narrower codes, and so as many bits. Of any
        other one it is `full`, in whose formats the mode's codes are embedded. Parameters and errors: see
        `mode_number`.
        """
        number = self.mode_number(which)
        return self.mode(number if self.packed[number] > 1 else 0)

    def replace(self, **changes: Any) -> Self:
        """Return the spec with some fields replaced; formats and choices may be strings here too.

        Raises:
            MacgenError: a field is refused, or the fields now contradict each other.
        """
        return dataclasses.replace(self, **changes)

    # -- checks --------------------------------------------------------------------------------------------------

    def _check_integers(self) -> None:
        for field, low, high in (
            ("rows", 1, MAX_SIDE),
            ("cols", 1, MAX_SIDE),
            ("lanes", 1, MAX_LANES),
            ("interleave", 1, MAX_INTERLEAVE),
            ("pipeline", 1, MAX_PIPELINE),
            ("outer_cycles", 1, MAX_OUTER_CYCLES),
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

    def _check_modes(self) -> None:
        wide = {field: getattr(self, field) for field in MODE_FIELDS}
        folds = self.chunk is not None and not self.has_outer_adder
        for mode in self.modes:
            check_embedding(mode, wide)
            if mode.packed > 1:
                check_packing(mode, wide, lane_sum=self.lane_sum)
            try:
                derived = self._derived(mode)
            except MacgenError as error:
                raise MacgenError(f"mode {mode.name}: {error}") from None
            for what, mine, other in (
                ("an outer accumulator with an adder of its own", derived.has_outer_adder, self.has_outer_adder),
                (
                    "an out other than the outer accumulator's",
                    derived.out_format != derived.outer_format,
                    self.out_format != self.outer_format,
                ),
            ):
                if mine != other:
                    raise MacgenError(
                        f"mode {mode.name} {'has' if mine else 'lacks'} {what}, unlike the spec; accepted are modes "
                        f"that agree with it on that"
                    )
            check_choices_of_modes(
                mode,
                wide=wide,
                overflow=self.overflow,
                drops=[
                    *(["product", "acc"] if self.rounding == "drop" else []),
                    *(["outer", "out"] if self.fold_rounding == "drop" else []),
                ],
                rounds_lanes=self.rounds_lanes,
                folds_overlap=folds and self.fold == "overlap",
            )
        if self.modes and self.interface == Interface.AXI_STREAM:
            raise MacgenError(
                f"interface {self.interface!r} does not go with modes {', '.join(self.mode_names)}; accepted is native"
            )

    def _derived(self, mode: Mode) -> Self:
        return self.replace(modes=(), lanes=self.lanes * mode.packed, **dict(mode.formats))

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
        return {name: _json_value(value) for name, value in values.items()}

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
            raise MacgenError(f"spec is {json_type(values)}; accepted is an object with the fields of MacSpec")
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

_LATER_FIELDS = (
    "scale_place",
    "scale_block",
    "interface",
    "reset",
    "reset_active",
    "clock_enable",
    "modes",
    "counters",
    "preload",
    "outer_cycles",
)
"""They came after the others: a spec without them reads as it did before."""


def check_spec(spec: object) -> None:
    """Refuse what is no MacSpec.

    Raises:
        MacgenError: it is none.
    """
    check_type("spec", spec, MacSpec, "a MacSpec, such as macgen.presets['default']")


def _texts(modes: tuple[Mode, ...]) -> list[str]:
    return [str(mode) for mode in modes]


def _json_value(value: Any) -> Any:
    if isinstance(value, tuple):
        return _texts(value)
    return value if value is None or isinstance(value, int) else str(value)


def _is_exact(product: Format | str) -> bool:
    return isinstance(product, str) and product == "exact"
