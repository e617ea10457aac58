"""Proofs about the emitted Verilog: exhaustive comparison of the arithmetic, formal proofs of the control."""
