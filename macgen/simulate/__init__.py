"""The cocotb testbench on a bundle: verify it, or multiply matrices with it."""
