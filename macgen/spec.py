"""MacSpec: the one description of a MAC array, from which model, hardware and reports come."""

import json
import math
from dataclasses import dataclass, fields
from typing import Any, Literal, Self, get_args

from macgen.errors import MacgenError, shown
from macgen.numerics import (
    OVERFLOWS,
    FixedFormat,
    FloatFormat,
    Format,
    Overflow,
    check_sum_rounding,
    parse_format,
    random_bits,
)

Fold = Literal["bubble", "overlap"]
"""When a finished chunk sum is folded into the outer accumulator: `bubble`, in one cycle between chunks in which no
product is taken (smaller), or `overlap`, while the next chunk's first product is loaded (no stall)."""

FOLDS: tuple[Fold, ...] = get_args(Fold)

MAX_SIDE = 256
MAX_CHUNK = 1 << 20
MAX_PIPELINE = 2
MAX_OPERAND_WIDTH = 32


class _FormatField:
    """A field that takes a format or its string and always gives the format."""

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, instance: object | None, owner: type) -> Format:
        if instance is None:
            raise AttributeError(self._name)  # tells dataclass that the field has no default
        fmt: Format = instance.__dict__[self._name]
        return fmt

    def __set__(self, instance: object, value: Format | str) -> None:
        try:
            fmt = value if isinstance(value, (FloatFormat, FixedFormat)) else parse_format(value)
        except MacgenError as error:
            raise MacgenError(f"{self._name}: {error}") from None
        instance.__dict__[self._name] = fmt


@dataclass(frozen=True, kw_only=True)
class MacSpec:
    """One output-stationary array of multiply-accumulate units; validated, immutable, comparable and hashable.

    Parameters:
        a: format of the left operands (rows of A); a format or its string.
        b: format of the right operands (columns of B); a format or its string.
        acc: format of the accumulators, inner and outer, and of the results; a format or its string.
        chunk: products summed before the sum is folded into the outer accumulator, 1 to 2**20; None: no chunks.
        rounding: of every addition: `rne` (to nearest, ties to even), `rtz` (toward zero), `drop` (align and drop:
            the addends are cut at the larger one's last place before they are added) or `stochastic:r` (a random
            number of r bits, 1 to 32, is added to those below the last place).
        overflow: `saturate`, `infinity` (accumulators with infinities) or `wrap` (fixed-point accumulators).
        rows: rows of PEs, 1 to 256.
        cols: columns of PEs, 1 to 256.
        pipeline: register stages from the operands to the adder, 1 or 2.
        fold: `bubble` or `overlap`; the results are the same, the cycles and the area are not.

    Raises:
        MacgenError: a field is refused, or the fields contradict each other (docs/arithmetic.md section 6).
    """

    a: _FormatField = _FormatField()
    b: _FormatField = _FormatField()
    acc: _FormatField = _FormatField()
    chunk: int | None = None
    rounding: str = "rne"
    overflow: Overflow = "saturate"
    rows: int = 4
    cols: int = 4
    pipeline: int = 1
    fold: Fold = "bubble"

    def __post_init__(self) -> None:
        for field, low, high in (("rows", 1, MAX_SIDE), ("cols", 1, MAX_SIDE), ("pipeline", 1, MAX_PIPELINE)):
            self._require_integer(field, low, high)
        if self.chunk is not None:
            self._require_integer("chunk", 1, MAX_CHUNK, " or none")
        check_sum_rounding(self.rounding)
        for field, choices in (("overflow", OVERFLOWS), ("fold", FOLDS)):
            value = getattr(self, field)
            if value not in choices:
                raise MacgenError(f"{field} {shown(value)} is not one of {', '.join(choices)}")
        for field in ("a", "b"):
            check_operand(field, getattr(self, field))
        if isinstance(self.acc, FloatFormat):
            self._check_float_accumulator(self.acc)
        else:
            self._check_fixed_accumulator(self.acc)

    @property
    def random_bits(self) -> int:
        """Bits of the random number that each addition takes: r of `stochastic:r`, else 0."""
        return random_bits(self.rounding)

    def _require_integer(self, field: str, low: int, high: int, extra: str = "") -> None:
        value = getattr(self, field)
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise MacgenError(f"{field} {shown(value)} is not an integer from {low} to {high}{extra}")

    def _check_float_accumulator(self, acc: FloatFormat) -> None:
        if self.overflow == "wrap" or (self.overflow == "infinity" and not acc.has_infinity):
            accepted = "saturate or infinity" if acc.has_infinity else "saturate"
            raise MacgenError(f"overflow {self.overflow!r} does not go with acc {acc}; accepted is {accepted}")
        for field, operand in (("a", self.a), ("b", self.b)):
            if acc.max_exponent < operand.max_exponent:
                raise MacgenError(
                    f"acc {acc} is too narrow: its largest exponent is {acc.max_exponent}, but products of {field} "
                    f"{operand} reach beyond {operand.max_exponent}; accepted is an acc that reaches as far as the "
                    f"operands"
                )

    def _check_fixed_accumulator(self, acc: FixedFormat) -> None:
        if self.overflow == "infinity":
            raise MacgenError(f"overflow 'infinity' does not go with acc {acc}; accepted is saturate or wrap")
        if not acc.signed and any(isinstance(fmt, FloatFormat) or fmt.signed for fmt in (self.a, self.b)):
            raise MacgenError(
                f"acc {acc} is unsigned, but a {self.a} or b {self.b} is signed; accepted is a signed acc"
            )
        least = least_int_bits(self.a, self.b, acc.frac_bits, acc.signed)
        if acc.int_bits < least:
            raise MacgenError(
                f"acc {acc} is too narrow: it ends at {acc.max:g}, but products of a {self.a} and b {self.b} reach "
                f"beyond; accepted are at least {least} bits before the point"
            )

    # -- JSON ----------------------------------------------------------------------------------------------------

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as JSON values, formats as strings."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: str(value) if name in _FORMAT_FIELDS else value for name, value in values.items()}

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
        for key in _FORMAT_FIELDS:
            if key not in values:
                raise MacgenError(
                    f"spec lacks the key {key!r}; accepted are specs with at least {', '.join(_FORMAT_FIELDS)}"
                )
        return cls(**values)

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Return the spec that a JSON text describes.

        Raises:
            MacgenError: the text is no JSON, or `from_dict` refuses it.
        """
        try:
            values = json.loads(text, object_pairs_hook=object_of_distinct_keys)
        except MacgenError:
            raise
        except (ValueError, RecursionError) as error:
            raise MacgenError(f"spec is not valid JSON ({error}); accepted is what MacSpec.to_json writes") from None
        return cls.from_dict(values)


_FORMAT_FIELDS = ("a", "b", "acc")


def check_operand(field: str, fmt: Format) -> None:
    """Refuse a format that is too wide for an operand.

    Raises:
        MacgenError: it has more than `MAX_OPERAND_WIDTH` bits.
    """
    if fmt.width > MAX_OPERAND_WIDTH:
        raise MacgenError(f"{field} {fmt} has {fmt.width} bits; accepted are operands of up to {MAX_OPERAND_WIDTH}")


def least_int_bits(a: Format, b: Format, frac_bits: int, signed: bool) -> int:
    """Return how many bits before the point a fixed-point accumulator needs to hold every finite product of a and b."""
    ends = [[fmt.number(fmt.largest_code(sign)).to_fraction() for sign in (0, 1)] for fmt in (a, b)]
    products = [x * y * (1 << frac_bits) for x in ends[0] for y in ends[1]]
    lowest, largest = math.floor(min(products)), math.ceil(max(products))
    bits = max(largest.bit_length(), (-lowest - 1).bit_length() if lowest else 0) + signed
    return max(bits - frac_bits, int(signed))


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
