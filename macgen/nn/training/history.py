"""Scales of operands from the tensors before: an exponent shared by a tensor, managed between iterations.

After Flexpoint (Koester et al., NeurIPS 2017, arXiv 1711.02213): hardware need not look at a tensor before it rounds
it. The constant gamma that the paper adds to what it expects is left out.
"""

from __future__ import annotations

import math
import statistics

LENGTH = 16
"""Tensors that are remembered."""

MARGIN, DEVIATIONS = 2.0, 3.0
"""The next tensor is expected to reach at most MARGIN (largest + DEVIATIONS deviations) of the maxima remembered."""


class History:
    """The largest magnitudes of an operand's last tensors, and the scale that is expected to fit the next.

    Attributes:
        maxima: of the last tensors, at most `LENGTH`, as far as their format held them.
        exponents: the smallest and the largest exponent of a scale so far; empty: there was none.
    """

    def __init__(self) -> None:
        self.maxima: list[float] = []
        self.exponents: list[int] = []

    def scale(self, largest: float, end: float) -> float:
        """Return the scale of the next tensor, a power of two, and remember the tensor.

        The first tensor is looked at. From then on the scale follows from those before alone. Where a tensor goes
        beyond its format, the others are forgotten, and it counts with twice what its format held. With MARGIN the
        scale of the next tensor is a quarter of this one's, so it gets four times the room.

        Parameters:
            largest: magnitude in the tensor.
            end: largest value of its format.
        """
        expected = self._expected() or largest
        if not expected:
            return 1.0
        exponent = math.frexp(end / expected)[1] - 1
        scale = 2.0**exponent
        self.exponents = [min([exponent, *self.exponents]), max([exponent, *self.exponents])]
        if largest * scale > end:
            self.maxima = [2 * end / scale]
        else:
            self.maxima = [*self.maxima, largest][-LENGTH:]
        return scale

    def _expected(self) -> float:
        if not self.maxima:
            return 0.0
        return MARGIN * (max(self.maxima) + DEVIATIONS * statistics.pstdev(self.maxima))

    def state(self) -> dict[str, list[float] | list[int]]:
        """Return what is remembered, as values that JSON has."""
        return {"maxima": [*self.maxima], "exponents": [*self.exponents]}

    def load_state(self, state: dict[str, list[float] | list[int]]) -> None:
        """Go on from what `state` returned."""
        self.maxima = [float(each) for each in state["maxima"]]
        self.exponents = [int(each) for each in state["exponents"]]
