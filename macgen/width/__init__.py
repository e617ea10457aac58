"""How many bits an accumulator needs: variance retention ratio, rounding noise, exact bounds. No hardware, no files."""

from macgen.width import bounds, nsr, variance
from macgen.width.variance import vrr

__all__ = ["bounds", "nsr", "variance", "vrr"]
