"""Drives the operand streams a and b, each with its own random gaps; holds valid until ready."""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

import numpy as np

from macgen.spec import MacSpec
from macgen.spec_fields import Interface
from sim.model import pack_columns
from sim.modes import mode_marks, operands_on_wires
from sim.operands import Codes, Tile


class ProtocolError(AssertionError):
    """The array broke the rules of its streams."""


@dataclass(frozen=True, slots=True)
class Beat:
    """What both streams carry in one cycle: the words of a and b, the marks of a, the words of the scales, the mode.

    `final` says that it is the last one of its tiles.
    """

    a: int
    b: int
    first: int
    last: int
    a_scale: int = 0
    b_scale: int = 0
    final: bool = False
    mode: int = 0


def beats_of(
    spec: MacSpec, tiles: Sequence[Tile], rng: Random, *, mark_first: bool = True, finish: bool = True
) -> list[Beat]:
    """Return the beats of tiles, one for each turn (docs/arithmetic.md section 8).

    Parameters:
        spec: the array.
        tiles: the operands, all of one length.
        rng: source of what the array must not look at: marks of turns but the first, scales of beats that end no
            chunk.
        mark_first: whether the first beat carries the mark (needed only where a tile is dropped by the next one).
        finish: whether the last beat carries the mark `last`; without it the sums stay unfinished.

    With AXI4-Stream ports `last` ends a packet, and stands with the last turn's beat; else with the first turn's.
    """
    packets = spec.interface == Interface.AXI_STREAM
    turns = [_beats_of_turn(spec, tile, rng) for tile in tiles]
    count = len(turns[0])
    beats = []
    modes = mode_marks(spec, tiles, rng)
    for k in range(count):
        first, last = int(mark_first and k == 0), int(finish and k == count - 1)
        for turn, words in enumerate(turns):
            marks = (first, last) if turn == 0 else (rng.getrandbits(1), rng.getrandbits(1))
            if packets:
                marks = (marks[0], last if turn == len(turns) - 1 else 0)
            a, b, a_scale, b_scale = words[k]
            final = bool(last) and turn == len(turns) - 1
            beats.append(Beat(a, b, *marks, a_scale, b_scale, final, next(modes)))
    return beats


def _beats_of_turn(spec: MacSpec, tile: Tile, rng: Random) -> list[tuple[int, int, int, int]]:
    """Return the words of a, b and the scales of both, a beat for each step."""
    of_mode, spec = spec.mode(tile.mode), spec.on_wires(tile.mode)
    a = _in_lanes(operands_on_wires(tile.a, of_mode.a, spec.a, rng), spec.lanes, spec.a.zero_code())
    b = _in_lanes(operands_on_wires(tile.b, of_mode.b, spec.b, rng).T, spec.lanes, spec.b.zero_code())
    a_words, b_words = pack_columns(a, spec.a.width), pack_columns(b, spec.b.width)
    beats = len(a_words)
    if spec.scale is None or tile.a_scales is None or tile.b_scales is None:
        return [(x, y, 0, 0) for x, y in zip(a_words, b_words, strict=True)]
    bits = spec.scale.width
    if spec.scales_lanes:
        scales = (_in_lanes(codes, spec.scales_in_beat, 0) for codes in (tile.a_scales, tile.b_scales.T))
        return list(zip(a_words, b_words, *(pack_columns(codes, bits) for codes in scales), strict=True))
    scale_words = pack_columns(tile.a_scales, bits), pack_columns(tile.b_scales.T, bits)
    steps = beats if spec.chunk is None else spec.chunk // spec.lanes
    a_scales, b_scales = (
        [
            words[k // steps] if k % steps == steps - 1 or k == beats - 1 else rng.getrandbits(rows * bits)
            for k in range(beats)
        ]
        for words, rows in zip(scale_words, (tile.a.shape[0], tile.b.shape[1]), strict=True)
    )
    return list(zip(a_words, b_words, a_scales, b_scales, strict=True))


def _in_lanes(codes: Codes, lanes: int, zero: int) -> Codes:
    """Return (rows * lanes, steps) codes of (rows, K) ones; zero codes fill up the last step."""
    rows, length = codes.shape
    filled = np.pad(codes, ((0, 0), (0, -length % lanes)), constant_values=zero)
    return filled.reshape(rows, -1, lanes).swapaxes(1, 2).reshape(rows * lanes, -1)


class Driver:
    """Feeds both operand streams; the testbench calls `step` at each rising clock edge.

    Parameters:
        a: handles of stream a (valid, ready, data, first, last; scale where the array has scales).
        b: handles of stream b (valid, ready, data; scale; with AXI4-Stream ports last, which nothing looks at).
        rng: source of gaps and of the data driven in them.
        together: whether the array has to take a beat of both streams in the same cycle.

    Attributes:
        gap_a: probability that stream a pauses, in each cycle in which it could offer a beat.
        gap_b: the same for stream b.
        accepted: beats that the array has taken of both streams.
        offered: whether both streams offer a beat.
        just_finished: whether the beat taken at this edge was the last of its tiles.
    """

    def __init__(self, a: Any, b: Any, rng: Random, *, together: bool = True) -> None:
        self._a, self._b, self._rng, self._together = a, b, rng, together
        self._a_queue: deque[Beat] = deque()
        self._b_queue: deque[Beat] = deque()
        self._b_last = getattr(b, "last", None)
        self._a_bits, self._b_bits = len(a.data), len(b.data)
        self._a_scale, self._b_scale = getattr(a, "scale", None), getattr(b, "scale", None)
        self._mode = getattr(a, "mode", None)
        self._a_valid = self._b_valid = False
        self._first = self._last = -1  # the marks as they are driven; at the start, not at all
        self.gap_a = self.gap_b = 0.0
        self.accepted = 0
        self.just_finished = False
        self.idle()

    @property
    def waiting(self) -> int:
        """Beats that the array has not taken of both streams."""
        return max(len(self._a_queue), len(self._b_queue))

    @property
    def offered(self) -> bool:
        """Whether both streams offer a beat."""
        return self._a_valid and self._b_valid

    def send(self, beats: list[Beat]) -> None:
        """Add beats to those that wait."""
        self._a_queue.extend(beats)
        self._b_queue.extend(beats)

    def drop(self) -> None:
        """Forget all beats that wait, and stop offering."""
        self._a_queue.clear()
        self._b_queue.clear()
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
        if a_moved != b_moved and self._together:
            raise ProtocolError(
                f"beat {self.accepted}: the array took a beat of stream {'a' if a_moved else 'b'} alone "
                f"(a_valid={self._a_valid:d}, b_valid={self._b_valid:d})"
            )
        self.just_finished = False
        before = self.waiting
        for moved, queue in ((a_moved, self._a_queue), (b_moved, self._b_queue)):
            beat = queue.popleft() if moved else None
            if beat is not None and self.waiting < before:  # taken of both streams
                self.just_finished = beat.final
                self.accepted += 1
        self._offer_a(a_moved)
        self._offer_b(b_moved)

    def _offer_a(self, moved: bool) -> None:
        if self._a_valid and not moved:
            return
        if self._a_queue and not (self.gap_a and self._rng.random() < self.gap_a):
            beat = self._a_queue[0]
            self._a.data.value = beat.a
            if self._a_scale is not None:
                self._a_scale.value = beat.a_scale
            self._mark(beat.first, beat.last)
            if self._mode is not None:
                self._mode.value = beat.mode
            if not self._a_valid:
                self._a.valid.value = 1
                self._a_valid = True
        elif self._a_valid:
            self._a_valid = False
            self._disturb_a()

    def _offer_b(self, moved: bool) -> None:
        if self._b_valid and not moved:
            return
        if self._b_queue and not (self.gap_b and self._rng.random() < self.gap_b):
            beat = self._b_queue[0]
            if self._b_last is not None:
                self._b_last.value = self._rng.getrandbits(1)
            self._b.data.value = beat.b
            if self._b_scale is not None:
                self._b_scale.value = beat.b_scale
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
        if self._a_scale is not None:
            self._a_scale.value = self._rng.getrandbits(len(self._a_scale))
        self._mark(1, 1)
        if self._mode is not None:
            self._mode.value = self._rng.getrandbits(len(self._mode))

    def _disturb_b(self) -> None:
        self._b.valid.value = 0
        if self._b_last is not None:
            self._b_last.value = 1
        self._b.data.value = self._rng.getrandbits(self._b_bits)
        if self._b_scale is not None:
            self._b_scale.value = self._rng.getrandbits(len(self._b_scale))
