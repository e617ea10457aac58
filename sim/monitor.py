"""Takes the result stream c with random back-pressure and watches its rules."""

from collections.abc import Callable
from random import Random
from typing import Any

from sim.driver import ProtocolError


class Monitor:
    """Receives result beats; the testbench calls `step` at each rising clock edge.

    Parameters:
        c: handles of stream c (valid, ready, data, flags, last, and first, without which the beat after a last one
            counts as marked).
        rng: source of the back-pressure.
        on_beat: called with data, flags, first and last of each beat taken.

    Attributes:
        on_beat: as above; may be replaced.
        back_pressure: probability of not being ready, in each cycle.
        taken: beats taken.
        valid: whether the array offered a beat at the last edge.
    """

    def __init__(self, c: Any, rng: Random, on_beat: Callable[[int, int, int, int], None]) -> None:
        self._c, self._rng, self.on_beat = c, rng, on_beat
        self._ready = False
        self._held: tuple[int, int, int, int] | None = None
        self._first = getattr(c, "first", None)
        self._starts = 1
        self.back_pressure = 0.0
        self.taken = 0
        self.valid = False
        self.refuse()

    def refuse(self) -> None:
        """Be not ready from now on until the next step, and expect no beat to be held, as in a reset."""
        self._ready = False
        self._held = None
        self._starts = 1
        self._c.ready.value = 0

    def step(self) -> None:
        """Take note of what moved at this edge and choose ready for the next cycle."""
        self.valid = bool(self._c.valid.value)
        if self.valid:
            self._receive()
        elif self._held is not None:
            raise ProtocolError(f"result beat {self.taken} was withdrawn: valid fell before ready")
        ready = not (self.back_pressure and self._rng.random() < self.back_pressure)
        if ready != self._ready:
            self._ready = ready
            self._c.ready.value = int(ready)

    def _receive(self) -> None:
        c = self._c
        first = self._starts if self._first is None else _word(self._first)
        payload = (_word(c.data), _word(c.flags), first, _word(c.last))
        if self._held is not None and payload != self._held:
            raise ProtocolError(
                f"result beat {self.taken} changed while it waited: (data, flags, first, last) was "
                f"{_hexadecimal(self._held)}, is {_hexadecimal(payload)}"
            )
        if self._ready:
            self._held = None
            self._starts = payload[3]
            self.taken += 1
            self.on_beat(*payload)
        else:
            self._held = payload


def _word(handle: Any) -> int:
    """Return a port's value; ports of one bit have a type of their own, hence by its text."""
    return int(str(handle.value), 2)


def _hexadecimal(payload: tuple[int, int, int, int]) -> str:
    return "(" + ", ".join(f"{word:#x}" for word in payload) + ")"
