"""The array model: matrix products and many dot products on values, bit-equal to golden and fast. NumPy only."""

from macgen.emulate.api import dots, matmul

__all__ = ["dots", "matmul"]
