"""Drives the operand streams a and b, each with its own random gaps; holds valid until ready."""

from collections import deque
from dataclasses import dataclass
from random import Random
from typing import Any

from sim.model import pack_columns
from sim.operands import Tile


class ProtocolError(AssertionError):
    """The array broke the rules of its streams."""


@dataclass(frozen=True, slots=True)
class Beat:
    """One step of a tile on both streams: the words of a and b, and the marks of a."""

    a: int
    b: int
    first: int
    last: int


def beats_of(tile: Tile, a_bits: int, b_bits: int, *, mark_first: bool = True, finish: bool = True) -> list[Beat]:
    """Return the beats of a tile.

    Parameters:
        tile: the operands.
        a_bits: width of a code of a.
        b_bits: width of a code of b.
        mark_first: whether the first beat carries the mark (needed only where a tile is dropped by the next one).
        finish: whether the last beat carries the mark `last`; without it the sums stay unfinished.
    """
    a_words, b_words = pack_columns(tile.a, a_bits), pack_columns(tile.b.T, b_bits)
    end = tile.length - 1
    return [
        Beat(a, b, int(mark_first and k == 0), int(finish and k == end))
        for k, (a, b) in enumerate(zip(a_words, b_words, strict=True))
    ]


class Driver:
    """Feeds both operand streams; the testbench calls `step` at each rising clock edge.

    Parameters:
        a: handles of stream a (valid, ready, data, first, last).
        b: handles of stream b (valid, ready, data).
        rng: source of gaps and of the data driven in them.

    Attributes:
        gap_a: probability that stream a pauses, in each cycle in which it could offer a beat.
        gap_b: the same for stream b.
        accepted: beats that the array has taken.
        offered: whether both streams offer a beat.
        just_finished: whether the beat taken at this edge was the last of a tile.
    """

    def __init__(self, a: Any, b: Any, rng: Random) -> None:
        self._a, self._b, self._rng = a, b, rng
        self._queue: deque[Beat] = deque()
        self._a_bits, self._b_bits = len(a.data), len(b.data)
        self._a_valid = self._b_valid = False
        self._first = self._last = -1  # the marks as they are driven; at the start, not at all
        self.gap_a = self.gap_b = 0.0
        self.accepted = 0
        self.just_finished = False
        self.idle()

    @property
    def waiting(self) -> int:
        """Beats that the array has not taken."""
        return len(self._queue)

    @property
    def offered(self) -> bool:
        """Whether both streams offer a beat."""
        return self._a_valid and self._b_valid

    def send(self, beats: list[Beat]) -> None:
        """Add beats to those that wait."""
        self._queue.extend(beats)

    def drop(self) -> None:
        """Forget all beats that wait, and stop offering."""
        self._queue.clear()
        self.idle()

    def idle(self) -> None:
        """Offer nothing from now on until the next step."""
        self._a_valid = self._b_valid = False
        self._disturb_a()
        self._disturb_b()

    def step(self) -> None:
        """Take note of what moved at this edge and drive the next cycle."""
        a_moved = self._a_valid and bool(self._a.ready.value)
        b_moved = self._b_valid and bool(self._b.ready.value)
        if a_moved != b_moved:
            raise ProtocolError(
                f"beat {self.accepted}: the array took a beat of stream {'a' if a_moved else 'b'} alone "
                f"(a_valid={self._a_valid:d}, b_valid={self._b_valid:d})"
            )
        self.just_finished = False
        if a_moved:
            self.just_finished = self._queue.popleft().last == 1
            self.accepted += 1
        self._offer_a(a_moved)
        self._offer_b(b_moved)

    def _offer_a(self, moved: bool) -> None:
        if self._a_valid and not moved:
            return
        if self._queue and not (self.gap_a and self._rng.random() < self.gap_a):
            beat = self._queue[0]
            self._a.data.value = beat.a
            self._mark(beat.first, beat.last)
            if not self._a_valid:
                self._a.valid.value = 1
                self._a_valid = True
        elif self._a_valid:
            self._a_valid = False
            self._disturb_a()

    def _offer_b(self, moved: bool) -> None:
        if self._b_valid and not moved:
            return
        if self._queue and not (self.gap_b and self._rng.random() < self.gap_b):
            self._b.data.value = self._queue[0].b
            if not self._b_valid:
                self._b.valid.value = 1
                self._b_valid = True
        elif self._b_valid:
            self._b_valid = False
            self._disturb_b()

    def _mark(self, first: int, last: int) -> None:
        """Drive the marks that change: a write takes longer than to see that there is nothing to write."""
        if first != self._first:
            self._a.first.value = self._first = first
        if last != self._last:
            self._a.last.value = self._last = last

    def _disturb_a(self) -> None:
        """Without valid, drive what must not be taken."""
        self._a.valid.value = 0
        self._a.data.value = self._rng.getrandbits(self._a_bits)
        self._mark(1, 1)

    def _disturb_b(self) -> None:
        self._b.valid.value = 0
        self._b.data.value = self._rng.getrandbits(self._b_bits)
