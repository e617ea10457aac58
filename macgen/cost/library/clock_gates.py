"""Clock gates of a library: integrated cells of a latch and an AND, which let whole cycles of the clock through."""

from collections.abc import Mapping
from dataclasses import dataclass

from macgen.cost.library.liberty_grammar import Group

_KIND = "latch_posedge"
"""Liberty's name for a latch that is open while the clock is low; `_precontrol` and `_postcontrol` add a test pin."""

_PLAIN = (_KIND, f"{_KIND}_precontrol", f"{_KIND}_postcontrol")


@dataclass(frozen=True)
class ClockGate:
    """The pins of a clock gate for registers of the rising edge.

    Attributes:
        clock: the input with the clock.
        enable: the input that lets the next cycle through.
        test: inputs that let it through, too; held at 0.
        output: the gated clock.
    """

    clock: str
    enable: str
    test: tuple[str, ...]
    output: str


def clock_gate(group: Group) -> ClockGate | None:
    """Return the clock gate that a cell's group describes; None for other cells, and for gates of other kinds."""
    if group.text("clock_gating_integrated_cell") not in _PLAIN:
        return None
    pins = _marked(group)
    if any(len(pins[mark]) != 1 for mark in ("clock", "enable", "out")):
        return None
    return ClockGate(pins["clock"][0], pins["enable"][0], tuple(pins["test"]), pins["out"][0])


def _marked(group: Group) -> Mapping[str, list[str]]:
    """Return the pins by what Liberty marks them as."""
    marks: dict[str, list[str]] = {"clock": [], "enable": [], "test": [], "out": []}
    for pin in group.find("pin"):
        for mark, names in marks.items():
            if pin.text(f"clock_gate_{mark}_pin").lower() == "true":
                names += pin.arguments
    return marks
