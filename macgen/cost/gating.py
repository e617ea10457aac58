"""Clock gating in synthesis: registers with a common enable behind an integrated clock gate of the library."""

from macgen.cost.library.liberty import Library
from macgen.errors import MacgenError

LEAST_REGISTERS = 4
"""Flip-flops with one enable that are worth a gate, which is about as large as one of them and its multiplexer."""


def gating_command(library: Library) -> str:
    """Return Yosys's command that gates clocks with the library's smallest gate, those without a test pin first.

    Raises:
        MacgenError: the library has no such cell.
    """
    found = [
        (len(cell.clock_gate.test), cell.area, cell.name, cell.clock_gate)
        for cell in library.cells.values()
        if cell.clock_gate is not None and not cell.dont_use
    ]
    if not found:
        raise MacgenError(
            f"Liberty library {library.name} has no clock gate (clock_gating_integrated_cell : latch_posedge), which "
            f"clock-gating needs"
        )
    *_, name, gate = min(found, key=lambda item: item[:3])
    test = "".join(f" -tie_lo {pin}" for pin in gate.test)
    pins = f"{gate.enable}:{gate.clock}:{gate.output}"
    return f"clockgate -pos {name} {pins}{test} -min_net_size {LEAST_REGISTERS}"
