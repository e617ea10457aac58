"""An array in one of its modes, for a wrapper that drives it, and Verilog of the mode's codes as the array's."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

from macgen.numerics import FixedFormat, Format
from macgen.numerics.embedding import low_bits
from macgen.prove.verilog_text import joined
from macgen.rtl import Design
from macgen.rtl.parts.modes import mode_port
from macgen.spec import MacSpec


@dataclass(frozen=True)
class InMode:
    """An array in one of its modes.

    Attributes:
        design: the array.
        number: the mode's.
    """

    design: Design
    number: int

    @property
    def spec(self) -> MacSpec:
        """The spec that the array is in this mode."""
        return self.design.modes[self.number]

    def mode_of(self, keys: Sequence[Hashable]) -> dict[str, str]:
        """Return the connection of the input `mode` of a unit that has such keys of each mode; see `mode_port`."""
        return dict.fromkeys(mode_port(keys), f"{self.design.mode_bits}'d{self.number}")


def operand_code(in_mode: InMode, field: str, lane: int) -> str:
    """Return a mode's operand codes, of a vector of them, as the code that a lane of the array takes."""
    wide, narrow = (getattr(spec, field) for spec in (in_mode.design.spec, in_mode.spec))
    packed = in_mode.design.spec.packed[in_mode.number]
    if packed > 1:
        elements = [
            f"{field}[{first + narrow.width - 1}:{first}]"
            for first in range(lane * wide.width, (lane + 1) * wide.width, narrow.width)
        ]
        # Concatenations begin with the highest one; those of b are turned.
        return joined(elements if field == "b" else reversed(elements))
    return embedded(field, lane * narrow.width, narrow, wide)


def embedded(vector: str, start: int, narrow: Format, wide: Format) -> str:
    """Return a mode's code, the bits of a vector from one on, as the array's."""
    top = start + narrow.width - 1
    code = f"{vector}[{top}:{start}]"
    if narrow == wide:
        return code
    low = low_bits(narrow, wide)
    parts = [code, *([f"{low}'d0"] if low else [])]
    if (missing := wide.width - narrow.width - low) > 0:
        repeats = isinstance(wide, FixedFormat) and wide.signed
        parts.insert(0, f"{{{missing}{{{vector}[{top}]}}}}" if repeats else f"{missing}'d0")
    return joined(parts)


def narrowed(vector: str, narrow: Format, wide: Format) -> tuple[str, str]:
    """Return the array's code as a mode's, and whether it is such a one; nothing where the formats are the same."""
    if narrow == wide:
        return vector, ""
    low = low_bits(narrow, wide)
    return f"{vector}[{low + narrow.width - 1}:{low}]", f"({vector} == {embedded(vector, low, narrow, wide)})"
