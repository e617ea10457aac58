"""The cocotb testbench of macgen's arrays: reads a bundle's manifest, drives operands, compares with golden."""
