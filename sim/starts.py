"""Drives stream d, the start values of preloaded accumulators, with random gaps; holds valid until ready."""

from collections import deque
from collections.abc import Sequence
from random import Random
from typing import Any

import numpy as np

from macgen.spec import MacSpec
from sim.model import pack_columns, starts_of
from sim.operands import Tile


def start_words(spec: MacSpec, tiles: Sequence[Tile]) -> list[int]:
    """Return the beats of stream d of a round: row by row, of each row turn by turn."""
    in_order = np.stack([starts_of(spec, tile).astype(object) for tile in tiles]).swapaxes(0, 1)
    return pack_columns(in_order.reshape(-1, spec.cols).T, spec.outer_format.width)


class StartDriver:
    """Feeds start values; the testbench calls `step` at each rising clock edge.

    Parameters:
        d: handles of stream d (valid, ready, data).
        rng: source of gaps and of the data driven in them.

    Attributes:
        gap: probability that the stream pauses, in each cycle in which it could offer a beat.
        accepted: beats that the array has taken.
    """

    def __init__(self, d: Any, rng: Random) -> None:
        self._d, self._rng = d, rng
        self._queue: deque[int] = deque()
        self._valid = False
        self.gap = 0.0
        self.accepted = 0
        self.drop()

    @property
    def waiting(self) -> int:
        """Beats that the array has not taken."""
        return len(self._queue)

    def send(self, words: Sequence[int]) -> None:
        """Add beats to those that wait."""
        self._queue.extend(words)

    def drop(self) -> None:
        """Forget all beats that wait, and stop offering."""
        self._queue.clear()
        self._idle()

    def step(self) -> None:
        """Take note of what moved at this edge and drive the next cycle."""
        if self._valid:
            if not bool(self._d.ready.value):
                return
            self._queue.popleft()
            self.accepted += 1
        if self._queue and not (self.gap and self._rng.random() < self.gap):
            self._d.data.value = self._queue[0]
            self._d.valid.value = 1
            self._valid = True
        elif self._valid:
            self._idle()

    def _idle(self) -> None:
        """Without valid, drive what must not be taken."""
        self._valid = False
        self._d.valid.value = 0
        self._d.data.value = self._rng.getrandbits(len(self._d.data))
