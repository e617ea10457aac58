"""The hardware's float types, in whose arrays and vectors accumulators are kept, and which numbers they hold."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from macgen.emulate.value_range import ValueRange


@dataclass(frozen=True)
class Carrier:
    """A hardware float type in whose arrays accumulators are kept.

    Attributes:
        dtype: the type.
        bits: unsigned integers of its size.
        precision: significand bits.
        min_exponent: exponent of the smallest normal number.
        max_exponent: exponent of the largest number.
    """

    dtype: type[np.floating[Any]]
    bits: type[np.unsignedinteger[Any]]
    precision: int
    min_exponent: int
    max_exponent: int

    def holds(self, numbers: ValueRange) -> bool:
        """Return whether all such numbers are values, with room to round sums of their size by adding a larger one."""
        above = self.max_exponent - self.precision
        in_range = numbers.lsb_exponent >= self.min_exponent and numbers.top_exponent <= above
        return in_range and numbers.precision <= self.precision

    def represents(self, numbers: ValueRange) -> bool:
        """Return whether all such numbers are values, subnormal ones included."""
        in_range = (
            numbers.lsb_exponent > self.min_exponent - self.precision and numbers.top_exponent <= self.max_exponent
        )
        return in_range and numbers.precision <= self.precision

    @property
    def exponent_mask(self) -> int:
        """The bits of the exponent field."""
        return 2 * self.max_exponent + 1 << (self.precision - 1)

    @property
    def sign_shift(self) -> int:
        """Position of the sign bit."""
        return np.dtype(self.bits).itemsize * 8 - 1


FLOAT32 = Carrier(np.float32, np.uint32, 24, -126, 127)
FLOAT64 = Carrier(np.float64, np.uint64, 53, -1022, 1023)
CARRIERS = (FLOAT32, FLOAT64)
"""From the fastest."""
