"""Which presets the tests take that go through all of them: of the units of GPUs and of RISC-V some of every kind."""

from macgen.catalogue import presets
from macgen.matrix_units import matrix_units
from macgen.riscv_units import riscv_units

UNITS = frozenset({**matrix_units(), **riscv_units()})
FEW_UNITS = ("volta-fp16", "ada-e4m3-fp16", "cdna2-bf16", "blackwell-nvfp4", "rvbna-e5m2-n4")
"""Alignment by exponents into FP32 and FP16, a tree, groups with scales, bulk normalisation."""
MORE_UNITS = ("ampere-tf32", "hopper-e4m3", "blackwell-mxfp8", "blackwell-mxfp4", "deepseek-v3", "rvbna-bf16-n8")

BUILT = tuple(name for name in presets if name not in UNITS or name in FEW_UNITS + MORE_UNITS)
"""All others, and these units: what `make prove` takes where hardware of each is made or run."""
FEW = tuple(name for name in BUILT if name not in MORE_UNITS)
"""What `make test` takes of them."""

SPECS = {name: spec for name, spec in presets.items() if name not in riscv_units() or name in BUILT}
"""What models are compared for: all but RISC-V's units that differ in format and number alone."""
