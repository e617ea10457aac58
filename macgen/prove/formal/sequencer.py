"""Verilog harness for the proof of the sequencer: its marks make the sums of the contract of the beats taken."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from macgen.prove.formal.harness import (
    BEGUN,
    SOURCE_INPUTS,
    Harness,
    Property,
    clocks,
    harness_module,
    marks_of,
    rounds,
    sampled_mode,
    slots,
    source,
)
from macgen.prove.formal.interpreter import MARKS, folded_before, folded_lately, interpreter
from macgen.prove.formal.tables import LOOK_UP, Arithmetic, raises_with_product, scaled
from macgen.prove.verilog_text import Ports, instance
from macgen.rtl import Design
from macgen.spec import MacSpec


def sequencer_harness(design: Design, name: str, modules: Mapping[str, Ports]) -> Harness:
    """Return the proof that the control marks make the sums of docs/arithmetic.md of the beats that are taken."""
    spec, ports = design.spec, modules[f"{name}_sequencer"]
    marks = [mark for mark in MARKS if mark in marks_of(ports, "control__")]
    turns = spec.interleave
    # Of the flags one, any; the marks do not depend on what a PE counts on.
    arithmetic = Arithmetic(design, flag_bits=1, symmetric=False)
    steps, flag_bits = arithmetic.steps, arithmetic.flag_bits
    connections = {**clocks(ports), "valid": "a_valid & b_valid", "first": "a_first", "last": "a_last"}
    connections |= {"busy": "busy", "accept": "accepts"} | {f"control__{mark}": mark for mark in marks}
    connections |= {"mode": "a_mode", "beat_mode": "beat_mode", "control__mode": "mode"}
    connections |= {"loaded": "loaded", "starts": "starts_dots"}
    connections = {port: net for port, net in connections.items() if port in ports}
    sum_starts = spec.preload and spec.chunk is None and not spec.has_outer_adder
    from_start = ("start_value", "start_flags") if sum_starts else ("1'b0", f"{flag_bits}'b0")
    waits = 3 * turns + spec.outer_cycles - 1
    beats = [(spec.chunk or mode.lanes) // mode.lanes for mode in design.modes]
    bits, age_bits, wait_bits = (
        max((max(beats) - 1).bit_length(), 1),
        (turns + 1).bit_length(),
        waits.bit_length(),
    )
    # Results cannot leave before the outer addition ends, as the proof of the results says.
    late = " & ~folded_lately" if spec.outer_cycles > 1 else ""
    chunk_end = "last_c" if spec.chunk is None else f"(last_c | position == {_last_beat(beats)})"
    properties: tuple[Property, ...] = (
        Property("marked", "a beat is marked for the PEs exactly when the array takes it; one held is not"),
        Property("legal", "marks are such as a PE can obey: no product beside a fold but a chunk's first"),
        Property("sums", "each tile is finished once, with its beats' products in order, in chunks, from an empty sum"),
        Property("taken", f"a beat is taken within {waits} cycles, a last one once no results wait"),
    )
    if spec.has_outer_adder:
        properties = (properties[0], Property("legal", "marks are such as a PE can obey"), *properties[2:])
    if spec.chunk is not None:
        properties += (Property("count", "the array knows where in its chunk a beat stands"),)
    if turns > 1:
        properties += (
            Property("turns", "each beat is marked in its turn's slot, and the turns' sums are done one by one"),
        )
    modes = ports["mode"][1] if spec.modes else 0  # bits of a mode's number
    if modes:
        claim = "what a beat and a fold are told is the mode that came with the beat that started their tile"
        properties += (Property("mode", claim),)
    begins = "control__begins" in ports
    if begins:
        properties += (
            Property("begins", "a beat is marked as its dot product's first where it starts one, and only there"),
        )
    if spec.preload:
        properties += (
            Property("starts", "a beat that starts dot products waits for their start values, and uses them"),
        )
    hardware = {"hardware_count": bits, "hardware_fresh": 1} if spec.chunk else {}
    # With a start value each chunk's sum is folded alike, where the accumulator's adder does it.
    knows_first = spec.has_outer_adder or not spec.preload
    hardware |= {"hardware_first_chunk": 1} if spec.chunk and knows_first else {}
    hardware |= {f"hardware_{key}": (turns - 1).bit_length() for key in ("slot", "turn") if turns > 1}
    scales = {"p": 1, "q": 1} if spec.scales_chunks else {}
    flags = {"product_flags": flag_bits} if raises_with_product(spec) else {}
    body = [
        *(f"  wire {mark};\n" for mark in marks),
        *(f"  wire [{width - 1}:0] {net};\n" for net, width in hardware.items()),
        *(f"  wire [{modes - 1}:0] {net};\n" for net in ("beat_mode", "mode") if modes),
        "  wire accepts;\n  wire a_ready = accepts, b_ready = accepts;\n",
        BEGUN,
        arithmetic.any(),
        source(),
        *(["  wire starts_dots, start_known = 1'b1;\n"] if spec.preload else []),
        folded_before(spec),
        folded_lately(spec),
        instance(f"{name}_sequencer", "dut", connections),
        slots(turns),
        # The interpreter takes the product in the cycle of the mark.
        interpreter(arithmetic, "", 0),
        f"""\
  reg result, result_known = 0;
  reg [{flag_bits - 1}:0] result_flags;
  always @(posedge clk) begin
    if (ended) begin result <= tile_sum_ended; result_flags <= tile_flags_ended; end
    result_known <= begun & (ended ? tile_known_ended : result_known);
  end
  // The contract, a round of beats at a time, and of the watched turn's a beat at a time.
  wire accept = begun & accepts;
{rounds(turns)}  wire accept_mine = accept & turn == watched;
  reg fresh = 1, first_chunk;
  reg [{bits - 1}:0] count = 0;
  reg sum_c, total_c, result_c;
  reg [{flag_bits - 1}:0] sum_flags_c, total_flags_c, result_flags_c;
  wire start = first_c | fresh;
{sampled_mode(spec, modes) if modes else ""}  wire [{bits - 1}:0] position = start ? {bits}'d0 : count;
  wire chunk_end = {chunk_end};
  wire chunk_is_first = start | first_chunk;
  wire empty = {"start" if spec.chunk is None else "position == 0"};
  wire base_c = empty ? {from_start[0]} : sum_c;
  wire [{flag_bits - 1}:0] base_flags_c = empty ? {from_start[1]} : sum_flags_c;
  wire next_c = {steps.sum("base_c", "product")};
  wire [{flag_bits - 1}:0] next_flags_c = base_flags_c | {steps.deferred_by("base_c")}
    | {steps.raised("base_c", "product")}{" | product_flags" if flags else ""};
{_contract_folds(arithmetic)}
  // A tile is due from its last beat until it is marked done, at most a slot of each turn after the last turn's beat.
  wire done_now = begun & ends;
  wire all_done = begun & done & slot == {turns - 1};
  reg due = 0, any_due = 0, busy = 0, checks = 0;
  reg [{age_bits - 1}:0] age = 0;
  wire held = opens & a_last & busy{" | opens & start & ~loaded" if spec.preload else ""};
  reg [{wait_bits - 1}:0] wait_count = 0;
  always @(posedge clk) begin
    if (accept & closes) begin
      fresh <= last_c;
      count <= chunk_end ? {bits}'d0 : position + {bits}'d1;
      first_chunk <= chunk_is_first & ~chunk_end;
    end
    if (accept_mine) begin
      sum_c <= next_c;
      sum_flags_c <= next_flags_c;
      if (chunk_end) begin total_c <= folded_c; total_flags_c <= folded_flags_c; end
      if (last_c) begin result_c <= folded_c; result_flags_c <= folded_flags_c; end
    end
    due <= (due | accept_mine & last_c) & ~done_now;
    any_due <= (any_due | accept & last_c) & ~all_done;
    age <= all_done ? 0 : accept & closes & last_c ? 1 : age == 0 ? 0 : age + 1;
    // The results are taken some time after the tile is done.
    busy <= accept & last_c | busy & ~(taken & ~any_due{late});
    checks <= done_now;
    wait_count <= begun & a_valid & b_valid & ~held & ~accept ? wait_count + 1 : 0;
  end
  wire ok_marked = ~begun | (step == accepts & (~accepts | (a_valid & b_valid & ~held)));
  wire ok_legal = ~begun | ({_legal(spec)});
  wire ok_sums = ~begun | ((~ends | due | accept_mine & last_c) & ~(due & accept_mine & last_c) & age <= {turns}
    & (~checks | (result_known & result == result_c
      & (result_flags | {arithmetic.results.deferred_by("result")})
        == (result_flags_c | {arithmetic.results.deferred_by("result_c")}))));
  wire ok_taken = wait_count < {waits};
  // Known at once, this spares the solver finding out about every count.
  {_count(knows_first) if spec.chunk is not None else ""}
""",
    ]
    if modes:
        of_mark = "(step ? mode == mode_c : mode == tile_mode)" if "control__mode" in ports else "1'b1"
        body.append(f"  wire ok_mode = ~begun | ((~accepts | beat_mode == mode_c) & {of_mark});\n")
    if begins:
        body.append("  wire ok_begins = ~begun | begins == (accepts & start);\n")
    if turns > 1:
        body.append(
            f"""\
  reg [{hardware["hardware_turn"] - 1}:0] next_done = 0;
  always @(posedge clk) if (begun & done) next_done <= next_done == {turns - 1} ? 0 : next_done + 1;
  wire ok_turns = ~begun | (hardware_slot == slot & hardware_turn == turn & (~accepts | slot == turn)
    & (~done | slot == next_done));
"""
        )
    if spec.preload:
        body.append(
            "  wire ok_starts = ~begun | (starts_dots == (accepts & opens & start) & (~starts_dots | loaded));\n"
        )
    inputs = {**SOURCE_INPUTS, "product": 1, "taken": 1, **scales, **flags}
    if spec.preload:
        inputs |= {"loaded": 1, "start_value": 1, "start_flags": flag_bits}
    if modes:
        inputs["a_mode"] = modes
    return Harness(
        name="sequencer",
        verilog=LOOK_UP + harness_module(inputs, body, properties),
        properties=properties,
        connections=tuple((net, f"dut.{net.removeprefix('hardware_')}") for net in hardware),
    )


def _count(knows_first: bool) -> str:
    """Return Verilog for the property `count`: of arrays that know the first chunk, that too.

    With `fold = bubble` a beat marked first, while it is offered, may have dropped what was there.
    """
    same, restarted = "", ""
    if knows_first:
        same, restarted = "\n      & hardware_first_chunk == (fresh | first_chunk)", " & hardware_first_chunk"
    return f"""\
  wire may_restart = first_c & (~opens | (a_valid & b_valid));
  wire ok_count = ~begun | (hardware_count == count & hardware_fresh == fresh{same})
    | (may_restart & hardware_count == 0 & hardware_fresh{restarted});
"""


def _last_beat(beats: Sequence[int]) -> str:
    """Return Verilog for the place of a chunk's last beat, by the mode `mode_c`, of each mode's beats of a chunk."""
    place = str(beats[0] - 1)
    for number, count in enumerate(beats):
        place = f"mode_c == {number} ? {count - 1} : {place}" if count != beats[0] else place
    return f"({place})"


def _contract_folds(arithmetic: Arithmetic) -> str:
    """Return Verilog for the total, and the result, after a chunk's last beat."""
    spec, steps, tables, flag_bits = arithmetic.spec, arithmetic.steps, arithmetic.folds, arithmetic.flag_bits
    if spec.preload and (spec.chunk is not None or spec.has_outer_adder):
        # A start value is the one of the beat that starts the dot product.
        text = f"""\
  reg started_c;
  reg [{flag_bits - 1}:0] started_flags_c;
  wire begin_c = start ? start_value : started_c;
  wire [{flag_bits - 1}:0] begin_flags_c = start ? start_flags : started_flags_c;
  always @(posedge clk) if (accept_mine) begin started_c <= begin_c; started_flags_c <= begin_flags_c; end
  wire total_base_c = chunk_is_first ? begin_c : total_c;
  wire scaled_c = {scaled("next_c", "p", "q") if spec.scales_chunks else "next_c"};
"""
        total = ("scaled_c", "total_base_c")
        total = total[::-1] if spec.has_outer_adder else total
        return f"""{text}\
  wire folded_c = {tables.sum(*total)};
  wire [{flag_bits - 1}:0] folded_flags_c = next_flags_c | {steps.deferred_by("next_c")}
    | (chunk_is_first ? begin_flags_c : total_flags_c)
    | {tables.deferred_by("total_base_c")} | {tables.raised(*total)};"""
    if not spec.has_outer_adder:
        return f"""\
  wire folded_c = chunk_is_first ? next_c : {tables.sum("next_c", "total_c")};
  wire [{flag_bits - 1}:0] folded_flags_c = next_flags_c | (chunk_is_first ? {flag_bits}'b0
    : {steps.deferred_by("next_c")} | total_flags_c | {tables.deferred_by("total_c")}
    | {tables.raised("next_c", "total_c")});"""
    return f"""\
  wire total_base_c = chunk_is_first ? 1'b0 : total_c;
  wire scaled_c = {scaled("next_c", "p", "q") if spec.scales_chunks else "next_c"};
  wire folded_c = {tables.sum("total_base_c", "scaled_c")};
  wire [{flag_bits - 1}:0] folded_flags_c = next_flags_c | {steps.deferred_by("next_c")}
    | (chunk_is_first ? {flag_bits}'b0 : total_flags_c)
    | {tables.deferred_by("total_base_c")} | {tables.raised("total_base_c", "scaled_c")};"""


def _legal(spec: MacSpec) -> str:
    if spec.has_outer_adder:
        apart = " & ~(fold & folded_lately)" if spec.outer_cycles > 1 else ""
        return "(~first | step) & (~fold | step) & (~done | fold)" + apart
    if spec.chunk is None:
        return "(~first | step) & (~done | step)"
    if spec.fold == "bubble":
        return "~(fold & step) & (~done | fold) & ~(fold & folded_before & ~fold_first)"
    return "(~first | step) & (~done | fold) & (~(fold & step) | first)"
