"""The hardware of a CompressSpec as Amaranth components."""

from macgen.compress.rtl.compressor import Compressor
from macgen.compress.rtl.expander import Expander
from macgen.compress.rtl.unit import Unit

__all__ = ["Compressor", "Expander", "Unit"]
