"""The counters of a MacSpec: how wide an array counts what happens in its additions (docs/arithmetic.md section 9)."""

import re
from dataclasses import dataclass
from typing import Self

from macgen.errors import MacgenError, check_integer, is_integer, shown

MAX_PE_BITS = 24
MAX_EDGE_BITS = 64
DEFAULT_EDGE_BITS = 32

_TEXT = re.compile(r"([0-9]{1,4})(?:/([0-9]{1,4}))?", re.ASCII)
_ACCEPTED = "the bits of a PE's counters, such as 8, or with those of the edge's 8/32"


@dataclass(frozen=True)
class Counters:
    """How wide counters are; the text is `P` or `P/E`.

    Attributes:
        pe_bits: of the counters in each PE, which count a dot product: 1 to 24.
        edge_bits: of those at the array's edge, which count all results since they were cleared: from P to 64.
    """

    pe_bits: int
    edge_bits: int = DEFAULT_EDGE_BITS

    @classmethod
    def parse(cls, value: object) -> Self | None:
        """Return what a width or a text describes, one that was made otherwise checked; None and `none`: no counters.

        Raises:
            MacgenError: it describes none.
        """
        if value is None or (isinstance(value, str) and value == "none"):
            return None
        if isinstance(value, cls):
            pe_bits, edge_bits = value.pe_bits, value.edge_bits
        elif isinstance(value, str):
            found = _TEXT.fullmatch(value)
            if found is None:
                raise MacgenError(f"counters {shown(value)} is no text P or P/E; accepted are {_ACCEPTED}")
            pe_bits, edge_bits = int(found[1]), int(found[2] or DEFAULT_EDGE_BITS)
        elif is_integer(value):
            pe_bits, edge_bits = int(value), DEFAULT_EDGE_BITS  # type: ignore[call-overload]
        else:
            raise MacgenError(f"counters {shown(value)} is no text and no width; accepted are {_ACCEPTED}")
        pe_bits = check_integer("counters", pe_bits, 1, MAX_PE_BITS)
        return cls(pe_bits, check_integer("counters: bits at the edge", edge_bits, pe_bits, MAX_EDGE_BITS))

    def __str__(self) -> str:
        return str(self.pe_bits) if self.edge_bits == DEFAULT_EDGE_BITS else f"{self.pe_bits}/{self.edge_bits}"

    @property
    def pe_largest(self) -> int:
        """The count at which a PE's counter stays."""
        return (1 << self.pe_bits) - 1

    @property
    def edge_largest(self) -> int:
        """The count at which a counter at the edge stays."""
        return (1 << self.edge_bits) - 1


def check_choices_of_counters(*, cuts_terms: str | None, overlaps: bool) -> None:
    """Refuse what does not go with counters.

    Parameters:
        cuts_terms: a `lane_sum` by which a step cuts its addends before it adds them, else None.
        overlaps: whether chunks are folded in the accumulator's adder while the next one starts.

    Raises:
        MacgenError: there is such a thing.
    """
    if cuts_terms is not None:
        raise MacgenError(
            f"counters do not go with lane_sum {cuts_terms!r}, of whose products hardware has no exact sum; accepted "
            f"are fused, tree and bulk:F"
        )
    if overlaps:
        raise MacgenError(
            "counters do not go with fold 'overlap' where chunks are folded in the accumulator's adder; accepted is "
            "bubble"
        )
