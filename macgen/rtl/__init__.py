"""The hardware of a MacSpec as Amaranth components."""

from macgen.rtl.array import ArrayCore, MacArray, Row, Skew
from macgen.rtl.control import Control
from macgen.rtl.design import Design
from macgen.rtl.parts.hierarchy import Modules
from macgen.rtl.pe import Pe
from macgen.rtl.sequencer import Sequencer

__all__ = ["ArrayCore", "Control", "Design", "MacArray", "Modules", "Pe", "Row", "Sequencer", "Skew"]
