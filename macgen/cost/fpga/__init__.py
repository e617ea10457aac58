"""An array on an FPGA: synthesized, placed and routed with open tools, as one would find it in a design."""
