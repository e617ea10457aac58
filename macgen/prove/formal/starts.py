"""Start values of preloaded accumulators in the proofs: the registers of a PE, and how they get there.

A start value on its way is one bit, as a state is, in a pattern of bits that the solver chooses or in its complement.
"""

from __future__ import annotations

from macgen.numerics.flags import FLAG_BITS
from macgen.prove.formal.interpreter import begins_dot
from macgen.prove.verilog_text import Ports, decoded, delayed, joined, module
from macgen.rtl import Design


def start_delay(design: Design) -> int:
    """Return the cycles from the one in which a PE gets the marks of a first step to the one that uses its start."""
    spec = design.spec
    return spec.pipeline + spec.interleave if spec.has_outer_adder else spec.pipeline - 1


def abstract_starts(design: Design, ports: Ports) -> str:
    """Return Verilog for the start values in a PE that does what its proof says; nothing without them.

    They are patterns of bits, or their complements, as its results are. `uses_start` is set when it uses one.
    """
    if not design.spec.preload:
        return ""
    bits, late, last = ports["start_in"][1], start_delay(design), design.spec.interleave - 1
    text = decoded("start_below", "start_in ^ start_pattern", bits, f"  wire [{bits - 1}:0] start_pattern;\n")
    text += "".join(f"  reg start_{turn};\n" for turn in range(last + 1))
    text += f"  wire begins_here_0 = {begins_dot(design.spec, '', 'control_in__')};\n"
    for cycle in range(1, late + 1):
        text += f"  reg begins_here_{cycle};\n"
        text += f"  always @(posedge clk) begins_here_{cycle} <= ~rst & begins_here_{cycle - 1};\n"
    moves = "".join(f" start_{turn} <= start_{turn + 1};" for turn in range(last))
    return (
        text
        + f"""\
  wire uses_start = begins_here_{late};
  assign start_out = start_pattern ^ {{{bits}{{start_0}}}};
  always @(posedge clk) if (uses_start | start_shift) begin start_{last} <= start_below;{moves} end
"""
    )


def abstract_start(name: str, ports: Ports, members: list[str]) -> str:
    """Return a converter of start values whose state is a pattern of bits, or its complement as the code's bits are.

    Parameters:
        name: its module's.
        ports: of it.
        members: of a state, the lowest one first.
    """
    packed = ["invalid"] * ("invalid" in ports) + [f"value__{key}" for key in reversed(members)]
    bits = sum(ports[port][1] for port in packed)
    return module(
        name,
        ports,
        f"  wire [{bits - 1}:0] start_pattern;\n"
        + decoded("x", "code", ports["code"][1])
        + f"  assign {joined(packed)} = start_pattern ^ {{{bits}{{x}}}};\n",
    )


def pe_starts(design: Design, ports: Ports, zero: str) -> tuple[dict[str, int], dict[str, str], str, str]:
    """Return what the proof of a PE has for its start values: nothing without preloaded accumulators.

    The registers stand for a state and its flag, a bit each. `start_value`, `start_flags` and `start_known` are as the
    interpreter wants them.

    Parameters:
        design: the array.
        ports: of its PE.
        zero: the empty accumulator, packed.

    Returns:
        Inputs, connections of ports, Verilog, and the condition that start values move as they shall.
    """
    spec = design.spec
    if not spec.preload:
        return {}, {}, "", ""
    bits = ports["start_in"][1]
    state_bits = ports["result_out"][1] - FLAG_BITS
    signals, turns, late = bits > state_bits, spec.interleave, start_delay(design)
    inputs = {"start_shift": 1, "start_bit": 1} | ({"start_invalid": 1} if signals else {})

    def packed(value: str, invalid: str) -> str:
        return joined([*([invalid] if signals else []), f"{{{state_bits}{{{value}}}}} ^ {zero}"])

    connections = {
        "start_shift": "start_shift",
        "start_in": packed("start_bit", "start_invalid"),
        "start_out": "start_out",
    }
    # Used when a first step's product goes to the operand register; the interpreter takes that step a cycle later. With
    # an outer adder it is used one slot before the earliest fold ends.
    later = spec.interleave if spec.has_outer_adder else 1
    text = f"  wire [{bits - 1}:0] start_out;\n  wire begins_here = {begins_dot(spec, '')};\n"
    text += delayed("begins_here", late, True) + f"  wire start_moves = start_shift | begins_here_{late};\n"
    kinds = {"start": "start_bit", **({"signal": "start_invalid"} if signals else {}), "known": "1'b1"}
    text += "".join(f"  reg {kind}_{turn};\n" for kind in kinds for turn in range(turns)).replace("known_", "held_")
    text += "  always @(posedge clk) begin\n    if (start_moves) begin\n"
    for kind, source in kinds.items():
        register = "held" if kind == "known" else kind
        for turn in range(turns):
            text += f"      {register}_{turn} <= {source if turn == turns - 1 else f'{register}_{turn + 1}'};\n"
    text += "    end\n    if (~begun) begin " + "".join(f"held_{turn} <= 0; " for turn in range(turns)) + "end\n  end\n"
    used = {
        "value": ("start_0", 1),
        "flags": (f"{{signal_0, {FLAG_BITS - 1}'d0}}" if signals else f"{FLAG_BITS}'d0", FLAG_BITS),
        "known": ("held_0", 1),
    }
    for name, (net, width) in used.items():
        text += f"  wire [{width - 1}:0] first_{name} = {net};\n" + delayed(f"first_{name}", later, False, width)
        text += f"  wire [{width - 1}:0] start_{name} = first_{name}_{later};\n"
    return inputs, connections, text, f"(~held_0 | start_out == {packed('start_0', 'signal_0')})"
