"""What an array costs: area, timing, power and energy, next to the same array with an FP32 accumulator."""
