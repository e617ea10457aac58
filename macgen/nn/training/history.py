"""Scales of operands from the tensors before: an exponent shared by a tensor, managed between iterations.

After Flexpoint (Koester et al., NeurIPS 2017, arXiv 1711.02213): hardware need not look at a tensor before it rounds
it.
"""

from __future__ import annotations

import math
import statistics

LENGTH = 16
"""Tensors that are remembered."""

MARGIN, DEVIATIONS, OFFSET = 2.0, 3.0, 100 / 2**15
"""The next tensor is expected to reach at most MARGIN (largest + DEVIATIONS deviations of the maxima remembered +
OFFSET of what the last scale had room for): the paper's alpha, beta and gamma, which is 100 units of 16 bits."""

EXPONENTS = range(32)
"""A value is what its format holds times 2**-e, and five bits hold e."""


class History:
    """The largest magnitudes of an operand's last tensors, and the scale that is expected to fit the next.

    Attributes:
        maxima: of the last tensors, at most `LENGTH`, as far as their format held them.
        exponents: the smallest and the largest exponent of a scale so far; empty: there was none.
        last: the exponent of the last scale, in a list; empty: there was none.
    """

    def __init__(self) -> None:
        self.maxima: list[float] = []
        self.exponents: list[int] = []
        self.last: list[int] = []

    def scale(self, largest: float, end: float) -> float:
        """Return the scale of the next tensor, a power of two with an exponent of `EXPONENTS`, and remember the tensor.

        The first tensor is looked at, and one after zeros only. From then on the scale follows from those before alone.
        Where a tensor goes beyond its format, the others are forgotten, and it counts with twice what its format held.
        With MARGIN and OFFSET the next tensor gets eight times the room, as long as its exponent is one of `EXPONENTS`.

        Parameters:
            largest: magnitude in the tensor.
            end: largest value of its format.
        """
        expected = self._expected(end) or largest
        if not expected:
            return 1.0
        exponent = min(max(math.frexp(end / expected)[1] - 1, EXPONENTS[0]), EXPONENTS[-1])
        scale = 2.0**exponent
        self.last = [exponent]
        self.exponents = [min([exponent, *self.exponents]), max([exponent, *self.exponents])]
        if largest * scale > end:
            self.maxima = [2 * end / scale]
        else:
            self.maxima = [*self.maxima, largest][-LENGTH:]
        return scale

    def _expected(self, end: float) -> float:
        if not any(self.maxima):
            return 0.0
        room = OFFSET * end / 2.0 ** self.last[0]
        return MARGIN * (max(self.maxima) + DEVIATIONS * statistics.pstdev(self.maxima) + room)

    def state(self) -> dict[str, list[float] | list[int]]:
        """Return what is remembered, as values that JSON has."""
        return {"maxima": [*self.maxima], "exponents": [*self.exponents], "last": [*self.last]}

    def load_state(self, state: dict[str, list[float] | list[int]]) -> None:
        """Go on from what `state` returned."""
        self.maxima = [float(each) for each in state["maxima"]]
        self.exponents = [int(each) for each in state["exponents"]]
        self.last = [int(each) for each in state["last"]]
