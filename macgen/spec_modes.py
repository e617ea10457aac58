"""The modes of a MacSpec: narrower formats between which an array changes while it runs (docs/arithmetic.md 10)."""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Self

from macgen.errors import MacgenError, check_type, shown
from macgen.numerics import FixedFormat, FloatFormat, Format, Overflow, as_format
from macgen.numerics.embedding import obstacle
from macgen.spec_accumulator import knows_overflow

FULL = "full"
"""The name of the first mode, which is the spec itself."""

MAX_MODES = 8
"""With `full`."""

MODE_FIELDS = ("a", "b", "product", "acc", "outer", "out")
"""Fields of a spec that a mode may have narrower."""

_NAME = re.compile(r"[a-z][a-z0-9_-]{0,31}", re.ASCII)
_ACCEPTED = "such as low:acc=e6m3 or p8:a=fix4.4,b=fix4.4"


@dataclass(frozen=True)
class Mode:
    """A mode but `full`; its text is `NAME:FIELD=FORMAT,...`.

    Attributes:
        name: a lower-case letter, then up to 31 such letters, digits, `-` and `_`.
        formats: fields of the spec and the formats that they have in this mode, in the order of `MODE_FIELDS`.
    """

    name: str
    formats: tuple[tuple[str, Format], ...]

    @classmethod
    def parse(cls, text: object) -> Self:
        """Return the mode that a text describes; one that was made otherwise is held against its text.

        Raises:
            MacgenError: it describes none.
        """
        if isinstance(text, cls):
            try:
                text = str(text)
            except (TypeError, ValueError):
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
        for item in rest.split(","):
            field, equals, fmt = item.partition("=")
            if field not in MODE_FIELDS or not equals:
                raise MacgenError(
                    f"mode {name} has {shown(item)}; accepted is FIELD=FORMAT with one of {', '.join(MODE_FIELDS)}"
                )
            if field in found:
                raise MacgenError(f"mode {name} has {field} twice; accepted is each field once")
            found[field] = as_format(f"mode {name}: {field}", fmt)
        return cls(name, tuple((field, found[field]) for field in MODE_FIELDS if field in found))

    def __str__(self) -> str:
        return f"{self.name}:{','.join(f'{field}={fmt}' for field, fmt in self.formats)}"


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
    """Refuse a mode with a format that does not embed in the spec's.

    Parameters:
        mode: the mode.
        wide: the spec's formats by field; None: there is none of its own.

    Raises:
        MacgenError: there is such a one.
    """
    for field, fmt in mode.formats:
        container = wide[field]
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
