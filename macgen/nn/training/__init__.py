"""Layers and training on the arithmetic: rules, products and counters without torch; layers, optimizer, checkpoints."""
