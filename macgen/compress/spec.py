"""CompressSpec: what a unit that compresses gradients is (docs/compress.md)."""

from dataclasses import KW_ONLY, asdict, dataclass, fields
from typing import Any, Self

from macgen.errors import MacgenError, check_integer, check_type, shown
from macgen.numerics import FixedFormat, Format, as_format

MAX_WIDTH = 32
MAX_BIN = 4096
MAX_LANES = 16
MAX_LEARNERS = 32
MAX_BINS = (1 << 24) - 1
DEFAULT_BINS = (1 << 20) - 1
DEFAULT_LEARNERS = 4
ELEMENT_BITS = 32
"""Bits of a gradient that is not compressed."""

UNIT = "adacomp"
"""What a manifest calls such a unit."""


@dataclass(frozen=True)
class CompressSpec:
    """A unit that compresses gradients with AdaComp, and sums what several learners sent.

    Parameters:
        format: of gradients and of what is kept: signed fixed point of 2 to 32 bits, such as `fix4.12`.
        bin: elements of a bin, 1 to 4096; the paper takes 50 for convolutions and 500 for fully connected layers.
        lanes: elements a cycle, 1 to 16, a divisor of `bin`.
        learners: streams that the receiver sums, up to 32; 0: there is no receiver.
        most_bins: bins of a layer at most, up to 2^24 - 1.

    Raises:
        MacgenError: a field is refused.
    """

    format: FixedFormat
    bin: int
    _: KW_ONLY
    lanes: int = 1
    learners: int = DEFAULT_LEARNERS
    most_bins: int = DEFAULT_BINS

    def __init__(
        self,
        format: Format | str,
        bin: int,
        *,
        lanes: int = 1,
        learners: int = DEFAULT_LEARNERS,
        most_bins: int = DEFAULT_BINS,
    ) -> None:
        found = as_format("format", format)
        if not isinstance(found, FixedFormat) or not found.signed or found.narrow or not 2 <= found.width <= MAX_WIDTH:
            raise MacgenError(
                f"format {shown(str(found))} is no format of gradients; accepted is signed fixed point of 2 to "
                f"{MAX_WIDTH} bits that is not narrow, such as fix4.12"
            )
        bin = check_integer("bin", bin, 1, MAX_BIN, ": two bins are buffered")
        lanes = check_integer("lanes", lanes, 1, MAX_LANES)
        if bin % lanes:
            accepted = ", ".join(str(each) for each in range(1, MAX_LANES + 1) if bin % each == 0)
            raise MacgenError(f"lanes {lanes} does not divide bin {bin}; accepted are {accepted}")
        for field, value in (
            ("format", found),
            ("bin", bin),
            ("lanes", lanes),
            ("learners", check_integer("learners", learners, 0, MAX_LEARNERS)),
            ("most_bins", check_integer("most_bins", most_bins, 1, MAX_BINS)),
        ):
            object.__setattr__(self, field, value)

    def __repr__(self) -> str:
        more = "".join(f", {name}={value}" for name, value in self._chosen().items())
        return f"CompressSpec({str(self.format)!r}, {self.bin}{more})"

    def __str__(self) -> str:
        more = "".join(f", {name} {value}" for name, value in self._chosen().items())
        return f"{self.format}, bins of {self.bin}{more}"

    def _chosen(self) -> dict[str, int]:
        """Return the fields that are not the default."""
        names = ("lanes", "learners", "most_bins")
        return {name: getattr(self, name) for name in names if getattr(self, name) != getattr(type(self), name)}

    # -- widths ----------------------------------------------------------------------------------------------------

    @property
    def width(self) -> int:
        """Bits of a code, and of a scale."""
        return self.format.width

    @property
    def lowest(self) -> int:
        """The lowest integer of the format."""
        return -(1 << self.width - 1)

    @property
    def largest_scale(self) -> int:
        """The largest scale, which is the magnitude of the lowest integer."""
        return 1 << self.width - 1

    @property
    def groups(self) -> int:
        """Groups of lanes in a full bin; as an index: nothing is sent."""
        return self.bin // self.lanes

    @property
    def index_bits(self) -> int:
        """Bits of an index."""
        return self.groups.bit_length()

    @property
    def beat_bits(self) -> int:
        """Bits of a beat that count as sent."""
        return self.index_bits + self.lanes + (self.lanes if self.lanes > 1 else 0) + 1

    @property
    def word_bits(self) -> int:
        """Bits that are buffered of an element: its code, the magnitude that decides, and its overflow."""
        return 2 * self.width + 2

    @property
    def sum_bits(self) -> int:
        """Bits of a sum over all learners."""
        return (self.learners << self.width - 1).bit_length() + 1

    # -- JSON ------------------------------------------------------------------------------------------------------

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as JSON values, with the unit's name before them."""
        return {"unit": UNIT, **asdict(self), "format": str(self.format)}

    @classmethod
    def from_dict(cls, values: object) -> Self:
        """Return the spec that a mapping such as `to_dict`'s describes; fields with defaults may be absent.

        Raises:
            MacgenError: it is no mapping, a key is unknown or missing, or a value is refused.
        """
        check_type("spec", values, dict, "an object with the fields of CompressSpec")
        assert isinstance(values, dict)
        known = ["unit", *(field.name for field in fields(cls))]
        for key in values:
            if key not in known:
                raise MacgenError(f"spec has the unknown key {shown(key)}; accepted are {', '.join(known)}")
        for key in ("unit", "format", "bin"):
            if key not in values:
                raise MacgenError(f"spec lacks the key {key!r}; accepted are specs with at least unit, format, bin")
        if values["unit"] != UNIT:
            raise MacgenError(f"unit {shown(values['unit'])} is unknown; accepted is {UNIT}")
        return cls(**{key: value for key, value in values.items() if key != "unit"})
