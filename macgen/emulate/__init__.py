"""The array model: matrix products and many dot products on values, bit-equal to golden and fast. NumPy only."""

from macgen.emulate.products import dots, matmul

__all__ = ["dots", "matmul"]
