"""Properties of the emitted Verilog, proved for all time with Yosys' SAT solver."""
