"""Verilog harnesses for the proofs of an array's control: what each PE does, when, and how results leave.

Arithmetic is abstracted. An accumulator state, an addend and a product carry one bit each, in every bit of their
vectors, and the adder and the multiplier are any function of such bits, the same one everywhere (a table that the
solver chooses). Vectors whose bits disagree decode to any bit. A beat that is lost, repeated or out of order, and a
member that a multiplexer forgets, then change a result for some function.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from amaranth.hdl import Shape

from macgen.flow.formal_harness import (
    BEGUN,
    SOURCE_INPUTS,
    Harness,
    Ports,
    Property,
    decoded,
    delayed,
    harness_module,
    instance,
    joined,
    marks_of,
    module,
    source,
)
from macgen.numerics.flags import FLAG_BITS
from macgen.rtl.datapath import datapath
from macgen.spec import MacSpec

_LOOK_UP = """\
`define LOOK_UP(t, i, j) ((i) ? ((j) ? t[3] : t[2]) : ((j) ? t[1] : t[0]))
`define TOLD(i) ((i) ? told_table : 3'b0)
`define RAISED(i, j) ((i) ? ((j) ? flag_table[11:9] : flag_table[8:6]) : ((j) ? flag_table[5:3] : flag_table[2:0]))
"""
_TABLES = ("product_table", 4), ("sum_table", 4), ("flag_table", 4 * FLAG_BITS), ("told_table", FLAG_BITS)
_ANY_TABLES = "".join(f"  (* anyconst *) wire [{width - 1}:0] {name};\n" for name, width in _TABLES)


# With `fold = bubble` the total is read before the fold that goes before has written it.
_FOLDED_BEFORE = """\
  reg folded_before;
  always @(posedge clk) folded_before <= begun & fold;
"""


# -- a PE --------------------------------------------------------------------------------------------------------------


def pe_harness(spec: MacSpec, name: str, modules: Mapping[str, Ports]) -> Harness:
    """Return the proof that a PE does what `Control` says, arithmetic abstracted.

    Parameters:
        spec: the array.
        name: its top module's name.
        modules: ports of the emitted modules.
    """
    abstract = _abstract_units(spec, name, modules)
    ports = modules[f"{name}_pe"]
    marks = marks_of(ports, "control_in__")
    state_bits = ports["result_out"][1] - FLAG_BITS
    stages = spec.pipeline
    inputs = {"shift": 1, "result_in": ports["result_in"][1], **{f"mark_{mark}": 1 for mark in marks}, "x": 1, "y": 1}
    if "seed" in ports:
        inputs["seed"] = ports["seed"][1]
    legal = {
        "step": "mark_step",
        "first": "mark_first & mark_step",
        # A fold needs the adder; only a product that starts a chunk can go beside it.
        "fold": "mark_fold & ~mark_step & (~folded_before | mark_fold_first)"
        if spec.fold == "bubble"
        else "mark_fold & (~mark_step | mark_first)",
        "fold_first": "mark_fold_first",
        "done": f"mark_done & {'fold' if spec.chunk is not None else 'step'}",
    }
    connections = {
        "clk": "clk",
        "rst": "~begun",
        "shift": "shift",
        "result_in": "result_in",
        "result_out": "result_out",
    }
    for operand, bit in (("a", "x"), ("b", "y")):
        connections[f"{operand}_in"] = f"{{{ports[f'{operand}_in'][1]}{{{bit}}}}}"
        connections[f"{operand}_out"] = f"{operand}_out"
    connections |= {f"control_in__{mark}": mark for mark in marks}
    connections |= {f"control_out__{mark}": f"passed_{mark}" for mark in marks}
    if "seed" in ports:
        connections["seed"] = "seed"
    delays = "".join(
        delayed(signal, stages, reset)
        for signal, reset in [*((mark, True) for mark in marks), ("x", False), ("y", False)]
    )
    passed = " & ".join(f"(~begun | passed_{mark} == {mark}_1)" for mark in marks)
    zero = _zero_state(spec)
    body = [
        *(
            f"  wire {mark} = {legal[mark]};\n"
            for mark in sorted(marks, key=["step", "first", "fold", "fold_first", "done"].index)
        ),
        *(f"  wire passed_{mark};\n" for mark in marks),
        f"  wire [{ports['a_out'][1] - 1}:0] a_out;\n  wire [{ports['b_out'][1] - 1}:0] b_out;\n",
        f"  wire [{ports['result_out'][1] - 1}:0] result_out;\n",
        BEGUN,
        _ANY_TABLES,
        _FOLDED_BEFORE if spec.chunk is not None else "",
        instance(f"{name}_pe", "dut", connections),
        delays,
        f"  wire product = `LOOK_UP(product_table, x_{stages}, y_{stages});\n",
        _interpreter(spec, "_" + str(stages), "product"),
        f"  wire [{state_bits - 1}:0] expected = {{{state_bits}{{result}}}} ^ {zero};\n",
        f"""\
  reg [{ports["result_in"][1] - 1}:0] shifted_in;
  reg [{ports["result_out"][1] - 1}:0] result_before;
  reg shifted = 0, kept = 0;
  always @(posedge clk) begin
    shifted_in <= result_in;
    result_before <= result_out;
    shifted <= begun & shift & ~finishes;
    kept <= begun & ~shift & ~finishes;
  end
  wire ok_passes = ~begun | (({passed})
    & a_out == {{{ports["a_out"][1]}{{x_1}}}} & b_out == {{{ports["b_out"][1]}{{y_1}}}});
  wire ok_result = ~begun | ~result_known
    | (result_out | {{`TOLD(result), {state_bits}'b0}}) == {{result_flags | `TOLD(result), expected}};
  wire ok_shift = (~shifted | result_out == shifted_in) & (~kept | result_out == result_before);
""",
    ]
    properties = (
        Property("passes", "a PE hands operands and control marks on, one cycle later"),
        Property("result", "a PE's result and flags are those of the marked products, each added once, in order"),
        Property("shift", "a result stays until it is shifted, and the one from below then takes its place"),
    )
    return Harness(
        name="PE",
        verilog=_LOOK_UP + abstract.verilog + harness_module(inputs, body, properties),
        properties=properties,
        replaced=abstract.modules,
        connections=tuple((f"dut.{place}", table) for place, table in abstract.tables),
    )


def _interpreter(spec: MacSpec, at: str, product: str) -> str:
    """Return Verilog that follows the marks as `Control` defines them: sums of one-bit products, one-bit states.

    `known` registers say from when on a sum does not depend on what the PE held before.
    """
    begins = f"first{at}" if spec.chunk is None or spec.fold == "overlap" else "1'b0"
    text = f"""\
  reg acc, total, result, acc_known = 0, total_known = 0, result_known = 0;
  reg [{FLAG_BITS - 1}:0] acc_flags, total_flags, result_flags;
  wire base = {begins} ? 1'b0 : acc;
  wire sum = `LOOK_UP(sum_table, base, {product});
  wire [{FLAG_BITS - 1}:0] sum_flags = ({begins} ? {FLAG_BITS}'b0 : acc_flags) | `TOLD(base) | `RAISED(base, {product});
  wire sum_known = {begins} | acc_known;
"""
    if spec.chunk is None:
        return (
            text
            + f"""\
  wire finishes = done{at};
  always @(posedge clk) begin
    if (~begun) begin acc_known <= 0; result_known <= 0; end
    else begin
      if (step{at}) begin acc <= sum; acc_flags <= sum_flags; acc_known <= sum_known; end
      if (done{at}) begin result <= sum; result_flags <= sum_flags; result_known <= sum_known; end
      else if (shift) result_known <= 0;
    end
  end
"""
        )
    # What `fold = overlap` leaves in the accumulator nobody reads: the next product starts a chunk.
    emptied = "acc <= 0; acc_flags <= 0; acc_known <= 1;" if spec.fold == "bubble" else "acc_known <= 0;"
    return (
        text
        + f"""\
  wire finishes = done{at};
  wire fold_sum = fold_first{at} ? acc : `LOOK_UP(sum_table, acc, total);
  wire [{FLAG_BITS - 1}:0] fold_flags = acc_flags | `TOLD(acc)
    | (fold_first{at} ? {FLAG_BITS}'b0 : total_flags | `TOLD(total) | `RAISED(acc, total));
  wire fold_known = acc_known & (fold_first{at} | total_known);
  always @(posedge clk) begin
    if (~begun) begin acc_known <= 0; total_known <= 0; result_known <= 0; end
    else begin
      if (fold{at}) begin total <= fold_sum; total_flags <= fold_flags; total_known <= fold_known; {emptied} end
      if (step{at}) begin acc <= sum; acc_flags <= sum_flags; acc_known <= sum_known; end
      if (done{at}) begin result <= fold_sum; result_flags <= fold_flags; result_known <= fold_known; end
      else if (shift) result_known <= 0;
    end
  end
"""
    )


@dataclass(frozen=True)
class _Abstract:
    verilog: str
    modules: tuple[str, ...]
    tables: tuple[tuple[str, str], ...]


def _abstract_units(spec: MacSpec, name: str, modules: Mapping[str, Ports]) -> _Abstract:
    """Return one-bit versions of the arithmetic modules, which leave every port as it is."""
    zero = datapath(spec).zero
    texts: dict[str, str] = {}
    tables: list[tuple[str, str]] = []

    def ports(unit: str, prefix: str, direction: str) -> dict[str, int]:
        found = modules[f"{name}_{unit}"]
        return {
            port: width for port, (way, width) in sorted(found.items()) if port.startswith(prefix) and way == direction
        }

    def add(unit: str, body: str) -> None:
        texts[unit] = module(f"{name}_{unit}", modules[f"{name}_{unit}"], body)

    def constant(members: Mapping[str, int], prefix: str) -> str:
        return joined(f"{width}'d{zero.get(port[len(prefix) :], 0)}" for port, width in members.items())

    def state_in(unit: str, prefix: str) -> str:
        members = ports(unit, prefix, "input")
        return decoded("s", f"{joined(members)} ^ {constant(members, prefix)}", sum(members.values()))

    def state_out(unit: str, prefix: str, bit: str) -> str:
        members = ports(unit, prefix, "output")
        bits = sum(members.values())
        return f"  assign {joined(members)} = {{{bits}{{{bit}}}}} ^ {constant(members, prefix)};\n"

    def addend_in(unit: str) -> str:
        members = ports(unit, "operand__", "input")
        bits = sum(members.values())
        return f"  wire [{bits - 1}:0] addend = {joined(members)};\n  wire there = addend[0];\n" + decoded(
            "v", f"addend[{bits - 1}:1]", bits - 1
        )

    def addend_out(unit: str, there: str, bit: str) -> str:
        members = ports(unit, "operand__", "output")
        return f"  assign {joined(members)} = {{{{{sum(members.values()) - 1}{{{bit} & {there}}}}}, {there}}};\n"

    products = ports("multiplier", "product__", "output")
    bits = sum(products.values())
    add(
        "multiplier",
        "  wire [3:0] product_table;\n"
        + decoded("x", "a", spec.a.width)
        + decoded("y", "b", spec.b.width)
        + f"  assign {joined(products)} = {{{bits}{{`LOOK_UP(product_table, x, y)}}}};\n",
    )
    members = ports("product", "product__", "input")
    add("product", decoded("v", joined(members), sum(members.values())) + addend_out("product", "present", "v"))
    add_body = (
        "  wire [3:0] sum_table;\n"
        f"  wire [{4 * FLAG_BITS - 1}:0] flag_table;\n"
        "  wire sum = there ? `LOOK_UP(sum_table, s, v) : s;\n"
        f"  assign flags = there ? `RAISED(s, v) : {FLAG_BITS}'b0;\n"
    )
    # A state tells flags of the addition that made it, which count from then on.
    told = f"  wire [{FLAG_BITS - 1}:0] told_table;\n"
    settles = told + "  assign settled = `TOLD(s);\n"
    add(
        "adder",
        state_in("adder", "acc__") + addend_in("adder") + add_body + settles + state_out("adder", "result__", "sum"),
    )
    if f"{name}_folded" in modules:
        add(
            "folded",
            state_in("folded", "value__")
            + told
            + "  assign flags = `TOLD(s);\n"
            + addend_out("folded", "present", "s"),
        )
        tables.append(("folded.told_table", "told_table"))
    if f"{name}_loaded" in modules:
        load = "  wire s = 1'b0;\n" + addend_in("loaded") + add_body + state_out("loaded", "value__", "sum")
        add("loaded", load)
    tables.append(("multiplier.product_table", "product_table"))
    adders = ["adder"]
    if spec.chunk is not None and spec.fold == "overlap":
        adders.append("loader")
    tables += [
        (f"{adder}.told_table", "told_table") for adder in adders if f"{name}_loaded" not in modules or adder == "adder"
    ]
    tables += [(f"{adder}.{table}", table) for adder in adders for table in ("sum_table", "flag_table")]
    return _Abstract("".join(texts.values()), tuple(f"{name}_{unit}" for unit in texts), tuple(tables))


def _zero_state(spec: MacSpec) -> str:
    """Return the empty accumulator as it stands in a packed result, member 0 lowest."""
    arithmetic = datapath(spec)
    widths = {key: Shape.cast(item.shape).width for key, item in arithmetic.value.members.items()}
    return joined(f"{width}'d{arithmetic.zero.get(key, 0)}" for key, width in reversed(widths.items()))


# -- the sequencer -----------------------------------------------------------------------------------------------------


def sequencer_harness(spec: MacSpec, name: str, modules: Mapping[str, Ports]) -> Harness:
    """Return the proof that the control marks make the sums of docs/arithmetic.md of the beats that are taken."""
    ports = modules[f"{name}_sequencer"]
    marks = marks_of(ports, "control__")
    connections = {"clk": "clk", "rst": "~begun", "valid": "a_valid & b_valid", "first": "a_first", "last": "a_last"}
    connections |= {"busy": "busy", "accept": "accepts"} | {f"control__{mark}": mark for mark in marks}
    connections = {port: net for port, net in connections.items() if port in ports}
    bits = max(((spec.chunk or 1) - 1).bit_length(), 1)
    chunk_end = "a_last" if spec.chunk is None else f"(a_last | position == {spec.chunk - 1})"
    properties: tuple[Property, ...] = (
        Property("marked", "a beat is marked for the PEs exactly when the array takes it; one held is not"),
        Property("legal", "marks are such as a PE can obey: no product beside a fold but a chunk's first"),
        Property("sums", "each tile is finished once, with its beats' products in order, in chunks, from an empty sum"),
        Property("taken", "a beat is taken within 3 cycles, a last one once no results wait"),
    )
    if spec.chunk is not None:
        properties += (Property("count", "the array knows where in its chunk a beat stands"),)
    body = [
        *(f"  wire {mark};\n" for mark in marks),
        "  wire accepts;\n  wire a_ready = accepts, b_ready = accepts;\n  wire shift = 1'b0;\n",
        BEGUN,
        _ANY_TABLES,
        source(),
        _FOLDED_BEFORE if spec.chunk is not None else "",
        instance(f"{name}_sequencer", "dut", connections),
        # The interpreter takes the product in the cycle of the mark.
        _interpreter(spec, "", "product"),
        f"""\
  // The contract, a beat at a time.
  wire accept = begun & accepts;
  reg fresh = 1, first_chunk;
  reg [{bits - 1}:0] count = 0;
  wire [{bits - 1}:0] hardware_count;
  reg sum_c, total_c, result_c;
  reg [{FLAG_BITS - 1}:0] sum_flags_c, total_flags_c, result_flags_c;
  wire start = a_first | fresh;
  wire [{bits - 1}:0] position = start ? {bits}'d0 : count;
  wire chunk_end = {chunk_end};
  wire chunk_is_first = start | first_chunk;
  wire empty = {"start" if spec.chunk is None else "position == 0"};
  wire base_c = empty ? 1'b0 : sum_c;
  wire [{FLAG_BITS - 1}:0] base_flags_c = empty ? {FLAG_BITS}'b0 : sum_flags_c;
  wire next_c = `LOOK_UP(sum_table, base_c, product);
  wire [{FLAG_BITS - 1}:0] next_flags_c = base_flags_c | `TOLD(base_c) | `RAISED(base_c, product);
  wire folded_c = chunk_is_first ? next_c : `LOOK_UP(sum_table, next_c, total_c);
  wire [{FLAG_BITS - 1}:0] folded_flags_c =
    next_flags_c
    | (chunk_is_first ? {FLAG_BITS}'b0 : `TOLD(next_c) | total_flags_c | `TOLD(total_c) | `RAISED(next_c, total_c));
  // A tile is due from its last beat until it is marked done.
  wire done_now = begun & done;
  reg due = 0, due_long = 0, busy = 0, checks = 0;
  wire held = a_last & busy;
  reg [1:0] wait_count = 0;
  always @(posedge clk) begin
    if (accept) begin
      fresh <= a_last;
      count <= chunk_end ? {bits}'d0 : position + {bits}'d1;
      first_chunk <= chunk_is_first & ~chunk_end;
      sum_c <= next_c;
      sum_flags_c <= next_flags_c;
      if (chunk_end) begin total_c <= folded_c; total_flags_c <= folded_flags_c; end
      if (a_last) begin result_c <= folded_c; result_flags_c <= folded_flags_c; end
    end
    due <= (due | accept & a_last) & ~done_now;
    due_long <= due & ~done_now;
    // The results are taken some time after the tile is done.
    busy <= accept & a_last | busy & ~(taken & ~due);
    checks <= done_now;
    wait_count <= begun & a_valid & b_valid & ~held & ~accept ? wait_count + 1 : 0;
  end
  wire ok_marked = ~begun | (step == accepts & (~accepts | (a_valid & b_valid & ~held)));
  wire ok_legal = ~begun | ({_legal(spec)});
  wire ok_sums = ~begun | ((~done | due | accept & a_last) & ~(due & accept & a_last) & ~due_long
    & (~checks | (result_known & result == result_c
      & (result_flags | `TOLD(result)) == (result_flags_c | `TOLD(result_c)))));
  wire ok_taken = wait_count < 3;
  // Known at once, this spares the solver finding out about every count.
  wire ok_count = ~begun | hardware_count == count | (hardware_count == 0 & a_valid & b_valid & a_first);
""",
    ]
    inputs = {**SOURCE_INPUTS, "product": 1, "taken": 1}
    return Harness(
        name="sequencer",
        verilog=_LOOK_UP + harness_module(inputs, body, properties),
        properties=properties,
        connections=(("hardware_count", "dut.position" if spec.fold == "bubble" else "dut.count"),)
        if spec.chunk is not None
        else (),
    )


def _legal(spec: MacSpec) -> str:
    if spec.chunk is None:
        return "(~first | step) & (~done | step)"
    if spec.fold == "bubble":
        return "~(fold & step) & (~done | fold) & ~(fold & folded_before & ~fold_first)"
    return "(~first | step) & (~done | fold) & (~(fold & step) | first)"
