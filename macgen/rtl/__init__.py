"""The hardware of a MacSpec as Amaranth components."""

from macgen.rtl.array import ArrayCore, MacArray, Skew
from macgen.rtl.axi_stream import AxiArray, RegisterSlice, core_module, top_of
from macgen.rtl.control import Control
from macgen.rtl.design import Design
from macgen.rtl.parts.hierarchy import Modules
from macgen.rtl.pe import Pe
from macgen.rtl.rows import Band, Row
from macgen.rtl.sequencer import Sequencer

__all__ = [
    "ArrayCore",
    "AxiArray",
    "Band",
    "Control",
    "Design",
    "MacArray",
    "Modules",
    "Pe",
    "RegisterSlice",
    "Row",
    "Sequencer",
    "Skew",
    "core_module",
    "top_of",
]
