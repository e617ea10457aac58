"""The clock that a bundle's constraints ask for, and how much of it the world outside takes."""

from dataclasses import dataclass

from macgen.errors import MacgenError, is_real, shown

LEAST_MHZ, MOST_MHZ = 1e-3, 1e5
IO_SHARE = 0.2
"""Share of the period that the outside takes before inputs and after outputs, where nothing else is said."""


@dataclass(frozen=True)
class Target:
    """What an array is handed over for.

    Attributes:
        clock_mhz: its clock.
        io_share: share of the period that is taken outside before inputs, and again after outputs, 0 to 0.9.

    Raises:
        MacgenError: a value is refused.
    """

    clock_mhz: float
    io_share: float = IO_SHARE

    def __post_init__(self) -> None:
        if not is_real(self.clock_mhz) or not LEAST_MHZ <= self.clock_mhz <= MOST_MHZ:
            raise MacgenError(f"clock-mhz {shown(self.clock_mhz)} is not from {LEAST_MHZ:g} to {MOST_MHZ:.0f}")
        if not is_real(self.io_share) or not 0 <= self.io_share <= 0.9:
            raise MacgenError(f"io-share {shown(self.io_share)} is not from 0 to 0.9")
        object.__setattr__(self, "clock_mhz", float(self.clock_mhz))
        object.__setattr__(self, "io_share", float(self.io_share))

    @property
    def period_ns(self) -> float:
        """The clock period."""
        return round(1e3 / self.clock_mhz, 4)


DEFAULT = Target(100.0)
"""What constraints start from where no clock was given; users set their own in one line of the file."""
