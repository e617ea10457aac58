"""Verilog harnesses for the proofs of the whole array: how operands reach the PEs and results leave them."""

from __future__ import annotations

from collections.abc import Mapping

from macgen.flow.formal_harness import (
    BEGUN,
    SOURCE_INPUTS,
    Harness,
    Ports,
    Property,
    conjunction,
    decoded,
    delayed,
    harness_module,
    instance,
    marks_of,
    module,
    part,
    source,
)
from macgen.numerics.flags import FLAG_BITS
from macgen.rtl.array import array_latency
from macgen.rtl.datapath import datapath
from macgen.spec import MacSpec


def _abstract_pe(name: str, ports: Ports, stages: int) -> str:
    """Return a PE that does what the proof of the PE says.

    A finished sum is any bit; on its way it is a pattern of bits or the pattern's complement. The pattern is any, so
    that it matters which bit goes where.
    """
    marks = marks_of(ports, "control_in__")
    bits = ports["result_out"][1]
    return module(
        f"{name}_pe",
        ports,
        f"  reg [{ports['a_in'][1] - 1}:0] a;\n  reg [{ports['b_in'][1] - 1}:0] b;\n  reg result;\n"
        + "".join(f"  reg {mark};\n  assign control_out__{mark} = {mark};\n" for mark in marks)
        + decoded("below", "result_in ^ pattern", bits, f"  wire [{bits - 1}:0] pattern;\n")
        + f"""\
  (* anyseq *) wire finished;
  reg [{stages - 1}:0] done_stages;
  wire finishes = done_stages[{stages - 1}];
  assign a_out = a;
  assign b_out = b;
  assign result_out = pattern ^ {{{bits}{{result}}}};
  always @(posedge clk) begin
    a <= a_in;
    b <= b_in;
    done_stages <= rst ? {stages}'d0 : {{done_stages, control_in__done}};
    if (finishes) result <= finished;
    else if (shift) result <= below;
"""
        + "".join(f"    {mark} <= control_in__{mark} & ~rst;\n" for mark in marks)
        + "  end\n",
    )


def _top_instance(spec: MacSpec, name: str) -> str:
    connections = {"clk": "clk", "rst": "~begun"}
    for port in ("a_valid", "a_ready", "a_data", "a_first", "a_last", "b_valid", "b_ready", "b_data"):
        connections[port] = port
    for port in ("c_valid", "c_ready", "c_data", "c_flags", "c_first", "c_last"):
        connections[port] = port
    return (
        "  wire a_ready, b_ready, c_valid, c_first, c_last;\n"
        f"  wire [{spec.cols * spec.acc.width - 1}:0] c_data;\n"
        f"  wire [{spec.cols * FLAG_BITS - 1}:0] c_flags;\n" + instance(name, "dut", connections)
    )


def feed_harness(spec: MacSpec, name: str, modules: Mapping[str, Ports]) -> Harness:
    """Return the proof that every PE gets its row's and its column's operands together with the marks of their beat."""
    ports = modules[f"{name}_pe"]
    marks = marks_of(ports, "control_in__")
    longest = spec.rows + spec.cols - 1
    body = [BEGUN, _top_instance(spec, name), *(f"  wire mark_{mark};\n" for mark in marks)]
    connections = [(f"mark_{mark}", f"dut.sequencer.control__{mark}") for mark in marks]
    body += [delayed(f"mark_{mark}", longest, True) for mark in marks]
    body += [delayed("a_data", longest, False, spec.rows * spec.a.width)]
    body += [delayed("b_data", longest, False, spec.cols * spec.b.width)]
    fed = []
    for row in range(spec.rows):
        for col in range(spec.cols):
            place, late = f"{row}_{col}", row + col + 1
            body.append(f"  wire [{spec.a.width - 1}:0] a_{place};\n  wire [{spec.b.width - 1}:0] b_{place};\n")
            body += [f"  wire {mark}_{place};\n" for mark in marks]
            connections += [(f"{key}_{place}", f"dut.row_{row}.pe_{col}.{key}_in") for key in ("a", "b")]
            connections += [(f"{mark}_{place}", f"dut.row_{row}.pe_{col}.control_in__{mark}") for mark in marks]
            same = " & ".join(f"{mark}_{place} == mark_{mark}_{late}" for mark in marks)
            a, b = part(f"a_data_{late}", row, spec.a.width), part(f"b_data_{late}", col, spec.b.width)
            fed.append(f"({same} & (~step_{place} | (a_{place} == {a} & b_{place} == {b})))")
    body.append("  wire ok_fed = ~begun | (" + "\n    & ".join(fed) + ");\n")
    properties = (Property("fed", "each PE gets the operands of its row and column with the marks of their beat"),)
    inputs = {"a_valid": 1, "b_valid": 1, "a_first": 1, "a_last": 1, "c_ready": 1}
    inputs |= {"a_data": spec.rows * spec.a.width, "b_data": spec.cols * spec.b.width}
    return Harness(
        name="operands",
        verilog=_abstract_pe(name, ports, spec.pipeline) + harness_module(inputs, body, properties),
        properties=properties,
        replaced=(f"{name}_pe",),
        connections=tuple(connections),
        depth=longest + 2,
    )


def _abstract_output(name: str, modules: Mapping[str, Ports]) -> str:
    """Return an output converter with any code, that tells no flags."""
    ports = modules[f"{name}_output"]
    code = f"  (* anyseq *) wire [{ports['code'][1] - 1}:0] any;\n  assign code = any;\n"
    return module(f"{name}_output", ports, code + ("  assign flags = 0;\n" if "flags" in ports else ""))


def drain_harness(spec: MacSpec, name: str, modules: Mapping[str, Ports]) -> Harness:
    """Return the proof that a tile's results leave row by row, once, and the next tile's never overtake them."""
    ports = modules[f"{name}_pe"]
    rows, cols = spec.rows, spec.cols
    bits = ports["result_out"][1]
    latency = array_latency(spec)
    row_bits, age_bits = max((rows - 1).bit_length(), 1), (latency + 2).bit_length()
    body = [
        f"  wire [{spec.rows * spec.a.width - 1}:0] a_data = 0;\n",
        f"  wire [{spec.cols * spec.b.width - 1}:0] b_data = 0;\n",
        BEGUN,
        source(),
        _top_instance(spec, name),
        f"""\
  wire accept = begun & a_valid & a_ready;
  wire taken = begun & c_valid & c_ready;
  reg waiting = 0, shown = 0;
  reg [{row_bits - 1}:0] row = 0;
  reg [{age_bits - 1}:0] age = 0;
  reg [1:0] wait_count = 0;
  reg was_first, was_last;
  reg [{cols - 1}:0] was_bits;
  (* anyconst *) wire [{bits - 1}:0] pattern;
  always @(posedge clk) begin
    waiting <= accept & a_last | waiting & ~(taken & row == {rows - 1});
    if (taken) row <= row == {rows - 1} ? {row_bits}'d0 : row + {row_bits}'d1;
    age <= accept & a_last ? 1 : waiting & ~c_valid ? age + 1 : 0;
    wait_count <= begun & a_valid & b_valid & ~(a_last & waiting) & ~accept ? wait_count + 1 : 0;
    shown <= begun & c_valid & ~c_ready;
    was_first <= c_first;
    was_last <= c_last;
    was_bits <= {{{", ".join(f"bit_{c}" for c in reversed(range(cols)))}}};
  end
""",
    ]
    connections: list[tuple[str, str]] = []
    once, complete, chain, offered = [], [], [], []
    for r in range(rows):
        for c in range(cols):
            place = f"{r}_{c}"
            pe = f"dut.row_{r}.pe_{c}"
            connections += [(f"finishes_{place}", f"{pe}.finishes"), (f"finished_{place}", f"{pe}.finished")]
            connections += [(f"held_{place}", f"{pe}.result"), (f"{pe}.pattern", "pattern")]
            body.append(f"""\
  wire finishes_{place}, finished_{place}, held_{place};
  reg got_{place} = 0, result_{place};
  always @(posedge clk) begin
    got_{place} <= begun & (finishes_{place} | got_{place} & ~(taken & row == {rows - 1}));
    if (finishes_{place}) result_{place} <= finished_{place};
  end
""")
            once.append(f"~(finishes_{place} & (got_{place} | ~waiting))")
            complete.append(f"got_{place}")
            for above in range(r + 1):
                chain.append(f"(~(got_{place} & row == {r - above}) | held_{above}_{c} == result_{place})")
            offered.append(f"(row != {r} | bit_{c} == result_{place})")
    for c in range(cols):
        packed = [f"value__{key}" for key in reversed(list(datapath(spec).value.members))]
        for port in packed:
            body.append(f"  wire [{modules[f'{name}_output'][port][1] - 1}:0] {port}_{c};\n")
            connections.append((f"{port}_{c}", f"dut.output_{c}.{port}"))
        flags = part("c_flags", c, FLAG_BITS)
        value = ", ".join(f"{port}_{c}" for port in packed)
        body.append(decoded(f"bit_{c}", f"{{{flags}, {value}}} ^ pattern", bits))
        body.append(f"  wire [{spec.acc.width - 1}:0] code_{c};\n")
        connections.append((f"code_{c}", f"dut.output_{c}.code"))
        offered.append(f"{part('c_data', c, spec.acc.width)} == code_{c}")
    body.append(
        f"""\
  wire ok_together = ~begun | (a_ready == b_ready & (~a_ready | (a_valid & b_valid)));
  wire ok_taken = wait_count < 3;
  wire ok_last_held = ~(accept & a_last & waiting);
  wire ok_stable = ~shown | (c_valid & c_first == was_first & c_last == was_last
    & {{{", ".join(f"bit_{c}" for c in reversed(range(cols)))}}} == was_bits);
  wire ok_rows = ~begun | ~c_valid | (waiting & c_first == (row == 0) & c_last == (row == {rows - 1}));
  wire ok_kept = ~begun | ({conjunction(once)} & {conjunction(chain)});
  wire ok_results = ~begun | ~c_valid | ({conjunction(complete)} & {conjunction(offered)});
  wire ok_latency = age <= {latency} & (age == {latency} | ~(begun & c_valid & row == 0 & age != 0));
"""
    )
    properties = (
        Property("together", "a and b move together, only when both are offered"),
        Property("taken", "beats offered on a and b are taken within 3 cycles, a last one once no results wait"),
        Property("last_held", "a last beat is not taken while results wait"),
        Property("stable", "a result beat that is not taken stays, payload and marks unchanged"),
        Property("rows", f"a tile gives {rows} result beats, marked first and last, and none without a tile"),
        Property("kept", "each PE finishes once a tile, and no result is overwritten before it has left"),
        Property("results", "result beat r has row r's results, each in its column"),
        Property("latency", f"results are offered exactly {latency} cycles after the last beat"),
    )
    return Harness(
        name="results",
        verilog=_abstract_pe(name, ports, spec.pipeline)
        + _abstract_output(name, modules)
        + harness_module({**SOURCE_INPUTS, "c_ready": 1}, body, properties),
        properties=properties,
        replaced=(f"{name}_pe", f"{name}_output"),
        connections=tuple(connections),
    )
