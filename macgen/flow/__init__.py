"""External tools behind plain functions: simulation, synthesis, timing and power. One file each."""
