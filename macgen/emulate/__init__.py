"""The array model: whole matrix products on values, bit-equal to the golden model and fast. NumPy only."""

from macgen.emulate.api import matmul

__all__ = ["matmul"]
