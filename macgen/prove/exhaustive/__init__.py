"""Every accumulator state with every product, on the emitted Verilog, against a C++ model of the contract."""
