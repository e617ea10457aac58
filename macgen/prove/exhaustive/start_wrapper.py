"""Verilog around the emitted module that makes an accumulator state of a start value."""

from __future__ import annotations

from macgen.numerics.flags import FLAG_BITS
from macgen.prove.verilog_text import instance, module, to_vector, width_of, wire
from macgen.rtl import Design
from macgen.rtl.units.start import start_signals


def start_module(design: Design, name: str, output: str) -> str:
    """Return the module that makes a state of a start value's code, with the flags that a sum starts with.

    Those are what the emitted module raises and what its state holds, as those of an addition do.

    Parameters:
        design: an array with preloaded accumulators.
        name: its top module's name.
        output: the module that gives the code of such a state, and the flags that it holds.
    """
    arithmetic, signals = design.results, start_signals(design.results)
    state = to_vector("value", "state", arithmetic.value)
    invalid = {"invalid": "invalid"} if signals else {}
    raised = f"{{invalid, {FLAG_BITS - 1}'d0}}" if signals else f"{FLAG_BITS}'d0"
    return module(
        f"{name}_exhaustive_start",
        {
            "code": ("input", arithmetic.rounded_sum.acc.width),
            "state": ("output", width_of(arithmetic.value)),
            "flags": ("output", FLAG_BITS),
        },
        wire("invalid", 1) * signals
        + wire("held", FLAG_BITS)
        + instance(f"{name}_start", "start", {"code": "code"} | invalid | state)
        + instance(output, "output_of_start", {"flags": "held"} | state)
        + f"  assign flags = {raised} | held;\n",
    )
