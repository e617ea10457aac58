"""The modes of a MacSpec: narrower formats between which an array changes while it runs (docs/arithmetic.md 10)."""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Self

from macgen.errors import MacgenError, check_type, shown
from macgen.numerics import FixedFormat, FloatFormat, Format, LaneSum, Overflow, as_format
from macgen.numerics.embedding import obstacle
from macgen.spec_accumulator import knows_overflow

FULL = "full"
"""The name of the first mode, which is the spec itself."""

MAX_MODES = 8
"""With `full`."""

MODE_FIELDS = ("a", "b", "product", "acc", "outer", "out")
"""Fields of a spec that a mode may have narrower."""

PACKED = (2, 4)
"""How many elements a packed mode may have in the bits of one operand."""

_NAME = re.compile(r"[a-z][a-z0-9_-]{0,31}", re.ASCII)
_ACCEPTED = "such as low:acc=e6m3 or p8:a=fix4.4,b=fix4.4,packed=2"


@dataclass(frozen=True)
class Mode:
    """A mode but `full`; its text is `NAME:FIELD=FORMAT,...`, with `packed=P` at the end where it is packed.

    Attributes:
        name: a lower-case letter, then up to 31 such letters, digits, `-` and `_`.
        formats: fields of the spec and the formats that they have in this mode, in the order of `MODE_FIELDS`.
        packed: elements that stand in the bits of one operand of `full`.
    """

    name: str
    formats: tuple[tuple[str, Format], ...]
    packed: int = 1

    @classmethod
    def parse(cls, text: object) -> Self:
        """Return the mode that a text describes; one that was made otherwise is held against its text.

        Raises:
            MacgenError: it describes none.
        """
        if isinstance(text, cls):
            if type(text.packed) is not int:
                raise MacgenError(f"modes have a Mode with packed {shown(text.packed)}; accepted are 1, 2 and 4")
            try:
                text = str(text)
            except (AttributeError, TypeError, ValueError):
                raise MacgenError(f"modes have a Mode of no formats; accepted is a text {_ACCEPTED}") from None
        check_type("modes", text, str, f"a text {_ACCEPTED}")
        assert isinstance(text, str)
        name, colon, rest = text.partition(":")
        if not colon:
            raise MacgenError(f"modes {shown(text)} has no colon behind its name; accepted is a text {_ACCEPTED}")
        if not _NAME.fullmatch(name):
            raise MacgenError(
                f"modes has the name {shown(name)}; accepted are a lower-case letter and up to 31 more, digits, - and _"
            )
        found: dict[str, Format] = {}
        packed: int | None = None
        for item in rest.split(","):
            field, equals, value = item.partition("=")
            if field not in (*MODE_FIELDS, "packed") or not equals:
                raise MacgenError(
                    f"mode {name} has {shown(item)}; accepted is FIELD=FORMAT with one of {', '.join(MODE_FIELDS)}, or "
                    f"packed={' or '.join(map(str, PACKED))}"
                )
            if field in found or (field == "packed" and packed is not None):
                raise MacgenError(f"mode {name} has {field} twice; accepted is each field once")
            if field == "packed":
                packed = _packed(name, value)
            else:
                found[field] = as_format(f"mode {name}: {field}", value)
        return cls(name, tuple((field, found[field]) for field in MODE_FIELDS if field in found), packed or 1)

    def __str__(self) -> str:
        items = [f"{field}={fmt}" for field, fmt in self.formats]
        return f"{self.name}:{','.join(items + [f'packed={self.packed}'] * (self.packed != 1))}"


def _packed(name: str, text: str) -> int:
    if text not in map(str, PACKED):
        accepted = " and ".join(map(str, PACKED))
        raise MacgenError(f"mode {name} has packed {shown(text)}; accepted are {accepted}")
    return int(text)


def parse_modes(modes: object) -> tuple[Mode, ...]:
    """Return modes, given as texts or as they are.

    Raises:
        MacgenError: one is refused, there are too many, or two have one name.
    """
    if not isinstance(modes, Sequence) or isinstance(modes, str | bytes):  # the order decides the modes' numbers
        raise MacgenError(f"modes {shown(modes)} is no list; accepted is a list of texts {_ACCEPTED}")
    found = tuple(Mode.parse(mode) for mode in modes)
    if len(found) >= MAX_MODES:
        raise MacgenError(f"modes are {len(found)}; accepted are up to {MAX_MODES - 1} beside {FULL}")
    names = [FULL, *(mode.name for mode in found)]
    for name in names:
        if names.count(name) > 1:
            raise MacgenError(f"modes has the name {name!r} twice; accepted is each name once ({FULL} is the spec)")
    return found


def check_embedding(mode: Mode, wide: Mapping[str, Format | None]) -> None:
    """Refuse a mode with a format that does not embed in the spec's, but for operands that are packed.

    Parameters:
        mode: the mode.
        wide: the spec's formats by field; None: there is none of its own.

    Raises:
        MacgenError: there is such a one.
    """
    for field, fmt in mode.formats:
        container = wide[field]
        if mode.packed > 1 and field in ("a", "b"):
            continue
        if container is None:
            raise MacgenError(
                f"mode {mode.name} has {field} {fmt}, but the spec has no {field} of its own; accepted are the fields "
                f"that it has"
            )
        if (why := obstacle(fmt, container)) is not None:
            raise MacgenError(
                f"mode {mode.name} has {field} {fmt}, which does not embed in {container}: {why}; accepted are formats "
                f"whose numbers are all numbers of {container}"
            )


def check_packing(mode: Mode, wide: Mapping[str, Format | None], *, lane_sum: LaneSum) -> None:
    """Refuse a packed mode whose products the multiplier and the adder of the spec do not hold.

    Parameters:
        mode: the mode.
        wide: see `check_embedding`.
        lane_sum: the spec's.

    Raises:
        MacgenError: there is something that does not go with it.
    """
    packed = f"mode {mode.name}, which is packed,"
    if wide["product"] is not None:
        raise MacgenError(f"{packed} does not go with product {wide['product']}; accepted are exact products")
    if lane_sum != "fused":
        raise MacgenError(f"{packed} does not go with lane_sum {str(lane_sum)!r}; accepted is fused")
    narrow = dict(mode.formats)
    pairs = []
    for field in ("a", "b", "acc"):
        container = wide[field]
        fmt = narrow.get(field, container)
        if not isinstance(container, FixedFormat):
            raise MacgenError(f"{packed} does not go with {field} {container}; accepted are arrays of fixed point")
        if not isinstance(fmt, FixedFormat):
            raise MacgenError(f"{packed} has {field} {fmt}; accepted are fixed-point formats")
        if field == "acc":
            continue
        if container.width % mode.packed:
            raise MacgenError(
                f"{packed} does not go with {field} {container}; accepted are widths that {mode.packed} divides"
            )
        if fmt.width * mode.packed != container.width or fmt.signed != container.signed:
            raise MacgenError(
                f"{packed} has {field} {fmt}; accepted are formats with the sign of {container} and exactly "
                f"{container.width // mode.packed} bits"
            )
        pairs.append((fmt, container))
    least, largest, last = _products(*(fmt for fmt, _ in pairs))
    least_wide, largest_wide, last_wide = _products(*(container for _, container in pairs))
    if last < last_wide or mode.packed * least < least_wide or mode.packed * largest > largest_wide:
        raise MacgenError(
            f"{packed} has sums of {mode.packed} products of {pairs[0][0]} and {pairs[1][0]}, which do not fit a "
            f"product of {pairs[0][1]} and {pairs[1][1]}; accepted are formats whose sums do, at both ends"
        )


def _products(a: FixedFormat, b: FixedFormat) -> tuple[Fraction, Fraction, Fraction]:
    """Return the least and the largest product of any codes of two formats, and the place of their last bit."""
    ends = [
        [Fraction(number) / Fraction(2) ** fmt.frac_bits for number in (fmt.min_integer - fmt.narrow, fmt.max_integer)]
        for fmt in (a, b)
    ]
    products = [x * y for x in ends[0] for y in ends[1]]
    return min(products), max(products), Fraction(1) / Fraction(2) ** (a.frac_bits + b.frac_bits)


def check_choices_of_modes(
    mode: Mode,
    *,
    wide: Mapping[str, Format | None],
    overflow: Overflow,
    drops: Collection[str],
    rounds_lanes: bool,
    folds_overlap: bool,
) -> None:
    """Refuse what does not go with a mode's narrower formats.

    Parameters:
        mode: the mode.
        wide: see `check_embedding`.
        overflow: the spec's; a format that does not know it saturates.
        drops: fields whose formats are rounded to by `drop`.
        rounds_lanes: whether several products are rounded before the accumulator.
        folds_overlap: whether chunks are folded in the accumulator's adder, with `fold = overlap`.

    Raises:
        MacgenError: there is such a thing.
    """
    for field, fmt in mode.formats:
        container = wide[field]
        if field in ("a", "b") or container is None or fmt == container:
            continue
        if knows_overflow(fmt, overflow) != knows_overflow(container, overflow):
            raise MacgenError(
                f"mode {mode.name} has {field} {fmt}, where overflow {overflow!r} is not what it is in {container}; "
                f"accepted are formats with the same choices of overflow"
            )
        if field in drops and isinstance(fmt, FloatFormat):
            raise MacgenError(
                f"rounding 'drop' does not go with mode {mode.name}, whose {field} {fmt} is a narrower float; accepted "
                f"are fixed-point formats, or another rounding"
            )
        if rounds_lanes and field == "acc":
            raise MacgenError(
                f"mode {mode.name} has acc {fmt}, to which several products are rounded before they are added; "
                f"accepted are modes with the spec's acc, or lane_sum fused, aligned:W or exponents:F"
            )
        if folds_overlap and field == "acc":
            raise MacgenError(
                f"fold 'overlap' does not go with mode {mode.name}, whose acc {fmt} is narrower; accepted is bubble"
            )


def narrows(formats: tuple[Format, ...]) -> bool:
    """Return whether a field's formats, by mode, differ."""
    return len(set(formats)) > 1


def range_in(fmt: FixedFormat, container: FixedFormat) -> tuple[int, int]:
    """Return the ends of a fixed-point format's range in units of a container's last bit."""
    shift = container.frac_bits - fmt.frac_bits
    return fmt.min_integer << shift, fmt.max_integer << shift
