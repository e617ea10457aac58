"""Which presets the tests take that make or run hardware of each: of the matrix units of GPUs some of every kind."""

from macgen.catalogue import presets
from macgen.matrix_units import matrix_units

UNITS = frozenset(matrix_units())
FEW_UNITS = ("volta-fp16", "ada-e4m3-fp16", "cdna2-bf16", "blackwell-nvfp4")
"""Alignment by exponents into FP32 and FP16, a tree, groups with scales."""
MORE_UNITS = ("ampere-tf32", "hopper-e4m3", "blackwell-mxfp8", "blackwell-mxfp4", "deepseek-v3")

BUILT = tuple(name for name in presets if name not in UNITS or name in FEW_UNITS + MORE_UNITS)
"""All others, and these units: what `make prove` takes."""
FEW = tuple(name for name in BUILT if name not in MORE_UNITS)
"""What `make test` takes of them."""
