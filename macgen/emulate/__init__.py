"""The array model: matrix products and many dot products on values, bit-equal to golden and fast."""

from macgen.emulate.counts import Counts, Events
from macgen.emulate.products import dots, matmul, numbers_taken

__all__ = ["Counts", "Events", "dots", "matmul", "numbers_taken"]
