"""The Verilog of an array: Amaranth's RTLIL through Yosys, printed for people to read."""

from macgen.bundle.verilog.emit import describe, rtlil_to_verilog, to_verilog

__all__ = ["describe", "rtlil_to_verilog", "to_verilog"]
