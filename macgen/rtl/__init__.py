"""The hardware of a MacSpec as Amaranth components."""

from macgen.rtl.accumulation import Control
from macgen.rtl.array import MacArray, Row, Skew, array_latency, array_signature
from macgen.rtl.parts.hierarchy import Modules
from macgen.rtl.pe import Pe
from macgen.rtl.sequencer import Sequencer

__all__ = ["Control", "MacArray", "Modules", "Pe", "Row", "Sequencer", "Skew", "array_latency", "array_signature"]
