"""Choices that a format or a spec names: read once, each meaning documented where its word stands.

Every choice is a string too: it equals, hashes, prints and goes into JSON as the word that names it.
"""

import re
from enum import EnumType, StrEnum
from typing import Any, Never, Self

from macgen.errors import MacgenError, shown
from macgen.numerics.rounding import NumberRounding, PlainRounding, Stochastic

MAX_RANDOM_BITS = 32
MAX_ALIGNED_BITS = 64
MAX_GROUP = 64


class _ChoiceType(EnumType):
    """Refuses what is no word before the search for it, which compares and prints whatever it is given."""

    def __call__(cls, value: object, *args: Any, **kwargs: Any) -> Any:
        return super().__call__(value, *args, **kwargs) if isinstance(value, str) else cls._missing_(value)  # type: ignore[attr-defined]


class Choice(StrEnum, metaclass=_ChoiceType):
    """One of a few words.

    Raises:
        MacgenError: `Overflow("clamp")`: there is no such word; the sentence names the class as the field.
    """

    @classmethod
    def _missing_(cls, value: object) -> Never:
        field = re.sub("(?<=[a-z])(?=[A-Z])", "_", cls.__name__).lower()
        raise MacgenError(f"{field} {shown(value)} is not one of {', '.join(cls)}")

    def __repr__(self) -> str:
        return repr(self.value)


class Encoding(Choice):
    """What a float format's codes at the top of the exponent range mean (docs/arithmetic.md section 1)."""

    IEEE = "ieee"
    """The largest exponent field is for infinities and NaN, as in IEEE 754."""
    FN = "fn"
    """No infinity; NaN is the code of all ones but the sign: OCP OFP8 E4M3."""
    FNUZ = "fnuz"
    """No infinity, no -0; NaN is the code that -0 would have."""
    FINITE = "finite"
    """No infinity, no NaN: the elements of OCP Microscaling."""
    QUIET = "quiet"
    """As `ieee`, but no NaN is signalling: OCP OFP8 E5M2."""


class Subnormals(Choice):
    """What a float format's codes of the exponent field 0 mean (docs/arithmetic.md section 1)."""

    GRADUAL = "gradual"
    """Subnormal numbers: below the smallest normal one the distance of numbers stays the same."""
    FLUSH = "flush"
    """Zero."""
    NONE = "none"
    """Normal numbers, but for the least one, which is zero."""


class Overflow(Choice):
    """What becomes of a result that is too large (docs/arithmetic.md section 3)."""

    SATURATE = "saturate"
    """The largest finite value of its sign."""
    INFINITY = "infinity"
    """Infinity where IEEE 754 says so: `rtz` never makes one of a finite number, `floor` none of a positive one. Floats
    with infinities only."""
    TO_INFINITY = "to-infinity"
    """Infinity, in every rounding. Floats with infinities only."""
    NAN = "nan"
    """NaN, in every rounding. Floats that have NaN and no infinities only."""
    WRAP = "wrap"
    """The value modulo 2**width. Fixed point only."""


class RoundingKind(Choice):
    """What a rounding of sums does (docs/arithmetic.md section 3)."""

    RNE = "rne"
    """To the nearest value, of two equally near ones to that with an even last bit."""
    RTZ = "rtz"
    """Toward zero."""
    FLOOR = "floor"
    """Toward minus infinity."""
    ODD = "odd"
    """To odd: toward zero and, where that is inexact, the last bit becomes 1."""
    DROP = "drop"
    """Align and drop: the addends are cut, toward zero, at the larger one's last place before they are added."""
    STOCHASTIC = "stochastic"
    """A random number is added to the first bits below the last place, then they are cut."""


class LaneSumKind(Choice):
    """How a step adds the products of its lanes (docs/arithmetic.md section 2)."""

    FUSED = "fused"
    """Exactly, and the sum of accumulator and products is rounded once."""
    TREE = "tree"
    """By a balanced binary tree, each of whose nodes rounds to the accumulator's format."""
    ALIGNED = "aligned"
    """Accumulator and products are cut at one place, W bits below the largest one's leading bit, then added exactly."""
    EXPONENTS = "exponents"
    """Likewise, but F bits below the largest sum of the factors' exponents: no product is normalised first."""
    BULK = "bulk"
    """Products alone are cut to odd, F bits below the largest sum of their factors' exponents; their exact sum is
    rounded to the accumulator's format, then added: RISC-V bulk normalisation."""


class _ParsedText(str):
    """A text that says which of several kinds, and for one of them a number; immutable."""

    __slots__ = ()

    def __setattr__(self, name: str, value: object) -> Never:
        raise AttributeError(f"{type(self).__name__} is immutable")

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (str(self),)


class Rounding(_ParsedText):
    """How sums are rounded: `rne`, `rtz`, `floor`, `odd`, `drop`, `stochastic:R` or `stochastic:R:nearest`.

    Parameters:
        text: the rounding.
        field: what a refusal calls it.

    Attributes:
        kind: which of the six.
        random_bits: R, the bits of a random number, 1 to 32; 0 for the others.
        beneath: how a sum is rounded to the R bits that a random number is added to: `rne` with `:nearest`, else `rtz`.

    Raises:
        MacgenError: it is none of them.
    """

    __slots__ = ("beneath", "kind", "random_bits")
    kind: RoundingKind
    random_bits: int
    beneath: PlainRounding

    def __new__(cls, text: str, *, field: str = "rounding") -> Self:  # noqa: D102
        if isinstance(text, cls):
            return text
        kind, bits, nearest = _parts_of_rounding(text)
        if kind is None:
            raise MacgenError(
                f"{field} {shown(text)} is not one of rne, rtz, floor, odd, drop, stochastic:r[:nearest] with r from "
                f"1 to {MAX_RANDOM_BITS}"
            )
        self = super().__new__(cls, text)
        parts = {"kind": kind, "random_bits": bits, "beneath": "rne" if nearest else "rtz"}
        for name, value in parts.items():
            object.__setattr__(self, name, value)
        return self

    @property
    def of_numbers(self) -> "Rounding":
        """How single numbers are rounded where sums are rounded so: what `drop` cuts before it adds, it cuts here."""
        return Rounding("rtz") if self.kind is RoundingKind.DROP else self

    @property
    def bits_below(self) -> int:
        """How many bits below the last place are looked at one by one; of those beneath only whether one is set."""
        if self.random_bits:
            return self.random_bits + (self.beneath == "rne")
        return int(self.kind is RoundingKind.RNE)

    def with_random(self, number: int) -> NumberRounding:
        """Return how one number is rounded with one random number, which only roundings at random look at."""
        match self.kind:
            case RoundingKind.STOCHASTIC:
                return Stochastic(self.random_bits, number, self.beneath)
            case RoundingKind.RNE:
                return "rne"
            case RoundingKind.FLOOR:
                return "floor"
            case RoundingKind.ODD:
                return "odd"
        return "rtz"


class LaneSum(_ParsedText):
    """How a step adds the products of its lanes: `fused`, `tree`, `aligned:W`, `exponents:F`, `exponents:F/G` or
    `bulk:F`.

    Parameters:
        text: the way.

    Attributes:
        kind: which of the five.
        aligned_bits: W of `aligned:W`, 1 to 64; None for the others.
        exponent_bits: F of `exponents:F`, 1 to 64; None for the others.
        group: G of `exponents:F/G`, 2 to 64, the products that are added exactly before they are aligned; else 1.
        bulk_bits: F of `bulk:F`, 1 to 64; None for the others.

    Raises:
        MacgenError: it is none of them.
    """

    __slots__ = ("aligned_bits", "bulk_bits", "exponent_bits", "group", "kind")
    kind: LaneSumKind
    aligned_bits: int | None
    exponent_bits: int | None
    group: int
    bulk_bits: int | None

    def __new__(cls, text: str) -> Self:  # noqa: D102
        if isinstance(text, cls):
            return text
        kind, numbers = _kind_and_numbers(text)
        if kind is None:
            raise MacgenError(
                f"lane_sum {shown(text)} is not one of fused, tree, aligned:W with W from 1 to {MAX_ALIGNED_BITS}, "
                f"exponents:F, exponents:F/G or bulk:F with F from 1 to {MAX_ALIGNED_BITS} and G from 2 to {MAX_GROUP}"
            )
        self = super().__new__(cls, text)
        bits = numbers[0] if numbers else None
        of_kind = {name: bits if kind is own else None for name, own in _BITS_OF_KINDS.items()}
        for name, value in (of_kind | {"kind": kind, "group": numbers[1] if len(numbers) > 1 else 1}).items():
            object.__setattr__(self, name, value)
        return self


_STOCHASTIC = re.compile("stochastic:([1-9][0-9]?)(:nearest)?")
_LANE_SUM = re.compile("(aligned|exponents|bulk):([1-9][0-9]?)(?:/([1-9][0-9]?))?")
_BITS_OF_KINDS = {
    "aligned_bits": LaneSumKind.ALIGNED,
    "exponent_bits": LaneSumKind.EXPONENTS,
    "bulk_bits": LaneSumKind.BULK,
}


def _kind_and_numbers(text: object) -> tuple[LaneSumKind | None, tuple[int, ...]]:
    """Return the kind that a lane sum's text names and the numbers behind it; no kind for what is refused."""
    if not isinstance(text, str):
        return None, ()
    if text in (LaneSumKind.FUSED, LaneSumKind.TREE):
        return LaneSumKind(text), ()
    match = _LANE_SUM.fullmatch(text)
    if match is None or int(match[2]) > MAX_ALIGNED_BITS:
        return None, ()
    kind = LaneSumKind(match[1])
    if match[3] is None:
        return kind, (int(match[2]),)
    if kind is not LaneSumKind.EXPONENTS or not 2 <= int(match[3]) <= MAX_GROUP:
        return None, ()
    return kind, (int(match[2]), int(match[3]))


def _parts_of_rounding(text: object) -> tuple[RoundingKind | None, int, bool]:
    """Return the kind that a rounding's text names, its random bits and whether `:nearest` follows them; no kind for
    what is refused."""
    if not isinstance(text, str):
        return None, 0, False
    if match := _STOCHASTIC.fullmatch(text):
        bits = int(match[1])
        return (RoundingKind.STOCHASTIC if bits <= MAX_RANDOM_BITS else None), bits, match[2] is not None
    words = (kind for kind in RoundingKind if kind == text and kind is not RoundingKind.STOCHASTIC)
    return next(words, None), 0, False
