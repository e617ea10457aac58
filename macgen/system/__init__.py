"""Matrix products larger than the array: tiles, cycles, bytes and energy, and products of any size in the Verilog."""

from macgen.system.scheduling import Row, Schedule, schedule
from macgen.system.simulation import Run, Simulation, Stalls, compiled
from macgen.system.tiling import MatrixProduct, Tiling
from macgen.system.timing import Cycles, cycles
from macgen.system.verilog_product import matmul

__all__ = [
    "Cycles",
    "MatrixProduct",
    "Row",
    "Run",
    "Schedule",
    "Simulation",
    "Stalls",
    "Tiling",
    "compiled",
    "cycles",
    "matmul",
    "schedule",
]
