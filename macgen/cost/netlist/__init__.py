"""A synthesized netlist: read, buffered, levelled, simulated."""
