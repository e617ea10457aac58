"""Verilog around the emitted modules at the ends of a sum: of a start value a state is made, of a state a result."""

from __future__ import annotations

from macgen.numerics.flags import FLAG_BITS
from macgen.prove.exhaustive.in_mode import InMode, narrowed
from macgen.prove.verilog_text import Ports, instance, module, to_vector, to_wires, width_of, wire, wires
from macgen.rtl import Design
from macgen.rtl.units.exact_number import ExactNumber
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


def result_module(in_mode: InMode, name: str) -> str:
    """Return the module that converts a total to a result.

    Parameters:
        in_mode: an array whose results have another format than its totals, in one of its modes.
        name: its top module's name.
    """
    design, narrow = in_mode.design, in_mode.spec.out_format
    value = design.results.value
    assert design.out is not None
    number = ExactNumber(design.out.rounded_sum.addend)
    random: Ports = {"random": ("input", design.out_random_bits)} if design.out_random_bits else {}
    flags: Ports = {"flags": ("output", FLAG_BITS)}
    numbers = to_wires("number", "number", number)
    wide = design.out.rounded_sum.acc
    body = wires("number", number) + wire("right", wide.width)
    of_number, of_unit = in_mode.mode_of(design.results.reader_keys), in_mode.mode_of(design.out.rounded_sum.formats)
    ports = to_vector("value", "state", value) | of_number | numbers
    body += instance(f"{name}_out_number", f"{name}_out_number_unit", ports)
    ports = {port: port for port in (*random, *flags)} | {"code": "right"} | of_unit | numbers
    body += instance(f"{name}_out_conversion", f"{name}_out_conversion_unit", ports)
    code, embeds = narrowed("right", narrow, wide)
    body += f"  assign code = {f'{embeds} ? {code} : ~{code}' if embeds else code};\n"
    inputs: Ports = {"state": ("input", width_of(value)), **random}
    return module(f"{name}_exhaustive_result", {**inputs, "code": ("output", narrow.width), **flags}, body)
