"""What the counters of an array have to show, and what they show (docs/arithmetic.md section 9)."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from macgen.bundle.manifest import Manifest
from macgen.numerics.events import ADDITIONS, EVENTS
from macgen.spec import MacSpec
from sim.driver import ProtocolError


class ExpectedCounters:
    """Adds the counts of results that leave, as the array's edge does. Needs no simulator.

    Parameters:
        spec: of the array, with counters.

    Attributes:
        shown: (2, 3) counts of steps and folds.
        seen: whether anything was ever counted.
    """

    def __init__(self, spec: MacSpec) -> None:
        assert spec.counters is not None
        self._counters = spec.counters
        self.shown = np.zeros((len(ADDITIONS), len(EVENTS)), np.uint64)
        self.seen = False

    def clear(self) -> None:
        """Start at 0."""
        self.shown[:] = 0

    def of_beat(self, counts: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return what a result beat adds, of the counts (cols, 2, 3) of its dot products."""
        return np.asarray(np.minimum(counts, self._counters.pe_largest).sum(axis=0))

    def add(self, counts: NDArray[np.int64]) -> None:
        """Add the counts of a result beat."""
        self.shown = self.after(self.shown, self.of_beat(counts))
        self.seen |= bool(counts.any())

    def after(self, shown: NDArray[np.uint64], added: NDArray[np.int64]) -> NDArray[np.uint64]:
        """Return what counters show after something is added."""
        return np.asarray(np.minimum(shown + added.astype(np.uint64), np.uint64(self._counters.edge_largest)))


class CounterPorts:
    """The ports of an array's counters.

    Parameters:
        dut: the array.
        manifest: of its bundle.
    """

    def __init__(self, dut: Any, manifest: Manifest) -> None:
        self._clear = getattr(dut, manifest.counters["clear"])
        self._ports = {
            (kind, event): getattr(dut, port)
            for kind, name in enumerate(ADDITIONS)
            for event, what in enumerate(EVENTS)
            if (port := manifest.counters.get(f"{name}_{what}")) is not None
        }
        self.clear(on=False)

    def clear(self, *, on: bool) -> None:
        """Clear from the next edge on, or clear no more."""
        self._clear.value = int(on)

    def by_name(self) -> dict[str, int]:
        """Return what they show by the names of the manifest."""
        shown = self.read().tolist()
        return {f"{ADDITIONS[kind]}_{EVENTS[event]}": shown[kind][event] for kind, event in self._ports}

    def read(self) -> NDArray[np.uint64]:
        """Return what they show, (2, 3); of what cannot happen 0.

        Raises:
            ProtocolError: a bit is neither 0 nor 1.
        """
        shown = np.zeros((len(ADDITIONS), len(EVENTS)), np.uint64)
        for (kind, event), port in self._ports.items():
            text = str(port.value)
            if not set(text) <= {"0", "1"}:
                raise ProtocolError(f"of the counters, {ADDITIONS[kind]}_{EVENTS[event]} shows {text}")
            shown[kind, event] = int(text, 2)
        return shown
