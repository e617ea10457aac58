"""Verilog harnesses for the proofs of an array's control: what each PE does and when, arithmetic abstracted.

Of the turns of an interleaved array one is watched, any; the others do as they like.
"""

from __future__ import annotations

from collections.abc import Mapping

from macgen.numerics.flags import FLAG_BITS
from macgen.prove.formal.harness import (
    BEGUN,
    SOURCE_INPUTS,
    Harness,
    Property,
    harness_module,
    marks_of,
    rounds,
    slots,
    source,
)
from macgen.prove.formal.units import (
    LOOK_UP,
    AbstractUnits,
    Arithmetic,
    combines_lanes,
    raises_with_product,
    rounded,
    scaled,
    tree_flags,
    zero_state,
)
from macgen.prove.verilog_text import Ports, delayed, instance, joined
from macgen.rtl import Design
from macgen.spec import MacSpec

_RANDOM = "random numbers: that each addition takes the next ones"
_ORDER = ("step", "first", "fold", "fold_first", "done")


def _folded_before(spec: MacSpec) -> str:
    """With `fold = bubble` the total is read before the fold that goes before in the same turn has written it."""
    if spec.chunk is None:
        return ""
    return (
        "  wire folds_now = fold;\n"
        + delayed("folds_now", spec.interleave, True)
        + f"  wire folded_before = folds_now_{spec.interleave};\n"
    )


# -- a PE --------------------------------------------------------------------------------------------------------------


def pe_harness(design: Design, name: str, modules: Mapping[str, Ports]) -> Harness:
    """Return the proof that a PE does what `Control` says, arithmetic abstracted.

    Parameters:
        design: the array.
        name: its top module's name.
        modules: ports of the emitted modules.
    """
    spec, units, arithmetic = design.spec, AbstractUnits(design, name, modules), Arithmetic(design)
    ports = modules[f"{name}_pe"]
    marks = [mark for mark in _ORDER if mark in marks_of(ports, "control_in__")]
    state_bits = ports["result_out"][1] - FLAG_BITS
    stages, turns = spec.pipeline, spec.interleave
    scales = ("p", "q") if spec.scale is not None else ()
    inputs = {"shift": 1, "result_in": ports["result_in"][1], **{f"mark_{mark}": 1 for mark in marks}}
    inputs |= {"x": spec.lanes, "y": spec.lanes, **dict.fromkeys(scales, 1)}
    if "seed" in ports:
        inputs["seed"] = ports["seed"][1]
    legal = _obeyed_marks(spec)
    connections = {"clk": "clk", "rst": "~begun"}
    connections |= {port: port for port in ("shift", "result_in", "result_out", "seed") if port in ports}
    sides = [("a", "x"), ("b", "y"), *zip(("a_scale", "b_scale"), scales, strict=False)]
    passes = [f"(~begun | passed_{mark} == {mark}_1)" for mark in marks]
    outs = ""
    for operand, bit in sides:
        bits = ports[f"{operand}_in"][1]
        lanes = inputs[bit]
        each = bits // lanes
        connections[f"{operand}_in"] = joined(f"{{{each}{{{bit}[{lane}]}}}}" for lane in reversed(range(lanes)))
        connections[f"{operand}_out"] = f"{operand}_out"
        outs += f"  wire [{bits - 1}:0] {operand}_out;\n"
        later = joined(f"{{{each}{{{bit}_1[{lane}]}}}}" for lane in reversed(range(lanes)))
        passes.append(f"{operand}_out == {later}")
    connections |= {f"control_in__{mark}": mark for mark in marks}
    connections |= {f"control_out__{mark}": f"passed_{mark}" for mark in marks}
    finish = design.outer_cycles + turns - 1
    body = [
        *(f"  wire {mark} = {legal[mark]};\n" for mark in marks),
        *(f"  wire passed_{mark};\n" for mark in marks),
        outs,
        f"  wire [{ports['result_out'][1] - 1}:0] result_out;\n",
        BEGUN,
        arithmetic.any(),
        _folded_before(spec),
        instance(f"{name}_pe", "dut", connections),
        *(delayed(mark, stages, True) for mark in marks),
        *(delayed(bit, stages, False, inputs[bit]) for _, bit in sides),
        slots(turns),
        _product(spec),
        _interpreter(arithmetic, "_" + str(stages), finish),
        _results(spec, ports["result_out"][1], finish),
        f"""\
  wire [{state_bits - 1}:0] expected = {{{state_bits}{{result}}}} ^ {zero_state(design)};
  reg [{ports["result_out"][1] - 1}:0] result_before;
  reg kept = 0;
  always @(posedge clk) begin
    result_before <= result_out;
    kept <= begun & ~shift & ~finishes;
  end
  wire ok_passes = ~begun | ({" & ".join(passes)});
  wire ok_result = ~begun | ~result_known
    | (result_out | {{{arithmetic.results.deferred_by("result")}, {state_bits}'b0}})
      == {{result_flags | {arithmetic.results.deferred_by("result")}, expected}};
  wire ok_shift = (~begun | ~moved_known_0 | result_out == moved_0) & (~kept | result_out == result_before);
""",
    ]
    properties = (
        Property("passes", "a PE hands operands and control marks on, one cycle later"),
        Property("result", "a PE's result and flags are those of the marked products, each added once, in order"),
        Property("shift", "a result stays until it is shifted, and the one from below then takes its place"),
    )
    return Harness(
        name="PE",
        verilog=LOOK_UP + units.verilog + harness_module(inputs, body, properties),
        properties=properties,
        replaced=units.replaced,
        connections=units.connections("dut"),
        unproved=(_RANDOM,) if spec.random_bits else (),
    )


def _obeyed_marks(spec: MacSpec) -> dict[str, str]:
    """Return the marks that a PE has to obey, of marks that are any."""
    legal = {"step": "mark_step", "first": "mark_first & mark_step", "fold_first": "mark_fold_first"}
    folds = spec.chunk is not None or spec.has_outer_adder
    if spec.has_outer_adder:
        legal["fold"] = "mark_fold & mark_step"
    elif spec.fold == "bubble":
        # A fold needs the adder; only a product that starts a chunk can go beside it.
        legal["fold"] = "mark_fold & ~mark_step & (~folded_before | mark_fold_first)"
    else:
        legal["fold"] = "mark_fold & (~mark_step | mark_first)"
    return legal | {"done": f"mark_done & {'fold' if folds else 'step'}"}


def _product(spec: MacSpec) -> str:
    """Return Verilog for `product` and its flags, as they are when the adder takes them; see AbstractUnits."""
    last, products, text = spec.pipeline - 1, [], ""
    for lane in range(spec.lanes):
        text += f"  wire exact_{lane} = `LOOK_UP(product_table, x[{lane}], y[{lane}]);\n"
        text += delayed(f"exact_{lane}", last, False)
        products.append(f"exact_{lane}_{last}")
    flags = []
    if spec.product is not None:
        flags = [f"({product} ? rounding_flags : {FLAG_BITS}'b0)" for product in products]
        products = [rounded(product) for product in products]
    text += f"  wire [{spec.lanes - 1}:0] products = {joined(reversed(products))};\n"
    combined = combines_lanes(spec)
    text += f"  wire multiplied = {'^(products & lane_mask)' if combined else 'products[0]'};\n"
    if tree_flags(spec):
        flags.append(f"(multiplied ? lane_flags : {FLAG_BITS}'b0)")
    text += delayed("multiplied", 1, False) + "  wire product = multiplied_1;\n"
    if flags:
        text += f"  wire [{FLAG_BITS - 1}:0] multiplied_flags = {' | '.join(flags)};\n"
        text += delayed("multiplied_flags", 1, False, FLAG_BITS)
        text += f"  wire [{FLAG_BITS - 1}:0] product_flags = multiplied_flags_1;\n"
    return text


def _interpreter(arithmetic: Arithmetic, at: str, finish: int) -> str:
    """Return Verilog that follows the marks as `Control` defines them: sums of one-bit products, one-bit states.

    `known` registers say from when on a sum does not depend on what the PE held before. Where `mine` is set, a cycle is
    the watched turn's; `tile_sum` is its sum when it is done, which it is where `ends` is set, `finish` cycles later.

    Parameters:
        arithmetic: of the array.
        at: suffix of the marks and scales.
        finish: cycles from a mark `done` to the result.
    """
    spec, steps, flag_bits = arithmetic.spec, arithmetic.steps, arithmetic.flag_bits
    outer, chunks = spec.has_outer_adder, spec.chunk is not None
    begins = f"first{at}" if not chunks or outer or spec.fold == "overlap" else "1'b0"
    raised = " | product_flags" if raises_with_product(spec) else ""
    text = f"""\
  reg acc, acc_known = 0;
  reg [{flag_bits - 1}:0] acc_flags;
  wire base = {begins} ? 1'b0 : acc;
  wire sum = {steps.sum("base", "product")};
  wire [{flag_bits - 1}:0] sum_flags = ({begins} ? {flag_bits}'b0 : acc_flags) | {steps.deferred_by("base")}
    | {steps.raised("base", "product")}{raised};
  wire sum_known = {begins} | acc_known;
"""
    emptied = ""
    if chunks and not outer:
        # What `fold = overlap` leaves in the accumulator nobody reads: the next product starts a chunk.
        does = "acc <= 0; acc_flags <= 0; acc_known <= 1;" if spec.fold == "bubble" else "acc_known <= 0;"
        emptied = f"if (fold{at}) begin {does} end"
    text += f"""\
  always @(posedge clk) begin
    if (~begun) acc_known <= 0;
    else if (mine) begin
      {emptied}
      if (step{at}) begin acc <= sum; acc_flags <= sum_flags; acc_known <= sum_known; end
    end
  end
"""
    value, late = {"tile_sum": "sum", "tile_flags": "sum_flags", "tile_known": "sum_known"}, 0
    if chunks or outer:
        text += _folds(arithmetic, at, finish if outer else 0)
        value = {"tile_sum": "fold_sum", "tile_flags": "fold_flags", "tile_known": "fold_known"}
        late = finish if outer else 0
    text += f"  wire ends = mine & done{at};\n" + delayed("ends", finish, True)
    for signal, net in value.items():
        width = flag_bits if signal == "tile_flags" else 1
        text += f"  wire [{width - 1}:0] {signal} = {net};\n" + delayed(signal, finish - late, False, width)
    text += f"  wire ended = ends_{finish};\n"
    text += "".join(
        f"  wire [{flag_bits - 1 if 'flags' in s else 0}:0] {s}_ended = {s}_{finish - late};\n" for s in value
    )
    return text


def _folds(arithmetic: Arithmetic, at: str, late: int) -> str:
    """Return Verilog for what folds do to the total, some cycles later than their marks."""
    spec, steps, tables, flag_bits = arithmetic.spec, arithmetic.steps, arithmetic.folds, arithmetic.flag_bits
    if spec.has_outer_adder:
        what = scaled("sum", f"p{at}", f"q{at}") if spec.scale is not None else "sum"
        chunk = {
            "chunk_sum": what,
            "chunk_known": "sum_known",
            "chunk_flags": f"sum_flags | {steps.deferred_by('sum')}",
        }
    else:
        chunk = {
            "chunk_sum": "acc",
            "chunk_known": "acc_known",
            "chunk_flags": f"acc_flags | {steps.deferred_by('acc')}",
        }
    chunk |= {"folds": f"mine & fold{at}", "starts": f"fold_first{at}"}
    text = ""
    for signal, net in chunk.items():
        width = flag_bits if signal == "chunk_flags" else 1
        text += f"  wire [{width - 1}:0] {signal} = {net};\n"
        text += delayed(signal, late, signal == "folds", width)
    taken, taken_flags, starts = f"chunk_sum_{late}", f"chunk_flags_{late}", f"starts_{late}"
    total_flags = f"({starts} ? {flag_bits}'b0 : total_flags)"
    if spec.has_outer_adder:
        base = f"({starts} ? 1'b0 : total)"
        fold_sum = tables.sum(base, taken)
        flags = f"{tables.deferred_by(base)} | {tables.raised(base, taken)}"
    else:
        fold_sum = f"{starts} ? {taken} : {tables.sum(taken, 'total')}"
        flags = f"({starts} ? {flag_bits}'b0 : {tables.deferred_by('total')} | {tables.raised(taken, 'total')})"
    return (
        text
        + f"""\
  reg total, total_known = 0;
  reg [{flag_bits - 1}:0] total_flags;
  wire fold_sum = {fold_sum};
  wire [{flag_bits - 1}:0] fold_flags = {taken_flags} | {total_flags} | {flags};
  wire fold_known = chunk_known_{late} & ({starts} | total_known);
  always @(posedge clk) begin
    if (~begun) total_known <= 0;
    else if (folds_{late}) begin total <= fold_sum; total_flags <= fold_flags; total_known <= fold_known; end
  end
"""
    )


def _results(spec: MacSpec, bits: int, finish: int) -> str:
    """Return Verilog for the results' registers: sums of the watched turn, and what came from below."""
    turns, at = spec.interleave, f"_{spec.pipeline}"
    text = "  wire done_here = done" + at + ";\n" + delayed("done_here", finish, True)
    text += f"  wire finishes = done_here_{finish};\n"
    shown = {"result": ("tile_sum_ended", 1), "result_flags": ("tile_flags_ended", FLAG_BITS)}
    for turn in range(turns):
        text += f"  reg result_known_{turn} = 0, moved_known_{turn} = 0;\n  reg [{bits - 1}:0] moved_{turn};\n"
        text += "".join(f"  reg [{width - 1}:0] {name}_{turn};\n" for name, (_, width) in shown.items())
    text += "  always @(posedge clk) begin\n    if (finishes | shift) begin\n"
    for turn in range(turns - 1):
        names = [*shown, "result_known", "moved", "moved_known"]
        text += "".join(f"      {name}_{turn} <= {name}_{turn + 1};\n" for name in names)
    last = turns - 1
    text += "".join(f"      {name}_{last} <= {net};\n" for name, (net, _) in shown.items())
    text += f"      result_known_{last} <= ended & tile_known_ended;\n"
    text += (
        f"      moved_{last} <= result_in;\n      moved_known_{last} <= ~finishes;\n    end\n    if (~begun) begin\n"
    )
    text += "".join(f"      result_known_{turn} <= 0;\n      moved_known_{turn} <= 0;\n" for turn in range(turns))
    text += "    end\n  end\n  wire result = result_0, result_known = result_known_0;\n"
    return text + f"  wire [{FLAG_BITS - 1}:0] result_flags = result_flags_0;\n"


# -- the sequencer -----------------------------------------------------------------------------------------------------


def sequencer_harness(design: Design, name: str, modules: Mapping[str, Ports]) -> Harness:
    """Return the proof that the control marks make the sums of docs/arithmetic.md of the beats that are taken."""
    spec, ports = design.spec, modules[f"{name}_sequencer"]
    marks = [mark for mark in _ORDER if mark in marks_of(ports, "control__")]
    turns = spec.interleave
    # Of the flags one, any; the marks do not depend on what a PE counts on.
    arithmetic = Arithmetic(design, flag_bits=1, symmetric=False)
    steps, flag_bits = arithmetic.steps, arithmetic.flag_bits
    connections = {"clk": "clk", "rst": "~begun", "valid": "a_valid & b_valid", "first": "a_first", "last": "a_last"}
    connections |= {"busy": "busy", "accept": "accepts"} | {f"control__{mark}": mark for mark in marks}
    connections = {port: net for port, net in connections.items() if port in ports}
    beats = (spec.chunk or spec.lanes) // spec.lanes
    bits, age_bits, wait_bits = max((beats - 1).bit_length(), 1), (turns + 1).bit_length(), (3 * turns).bit_length()
    chunk_end = "last_c" if spec.chunk is None else f"(last_c | position == {beats - 1})"
    properties: tuple[Property, ...] = (
        Property("marked", "a beat is marked for the PEs exactly when the array takes it; one held is not"),
        Property("legal", "marks are such as a PE can obey: no product beside a fold but a chunk's first"),
        Property("sums", "each tile is finished once, with its beats' products in order, in chunks, from an empty sum"),
        Property("taken", f"a beat is taken within {3 * turns} cycles, a last one once no results wait"),
    )
    if spec.has_outer_adder:
        properties = (properties[0], Property("legal", "marks are such as a PE can obey"), *properties[2:])
    if spec.chunk is not None:
        properties += (Property("count", "the array knows where in its chunk a beat stands"),)
    if turns > 1:
        properties += (
            Property("turns", "each beat is marked in its turn's slot, and the turns' sums are done one by one"),
        )
    hardware = {"hardware_count": bits, "hardware_fresh": 1, "hardware_first_chunk": 1} if spec.chunk else {}
    hardware |= {f"hardware_{key}": (turns - 1).bit_length() for key in ("slot", "turn") if turns > 1}
    scales = {"p": 1, "q": 1} if spec.scale is not None else {}
    flags = {"product_flags": flag_bits} if raises_with_product(spec) else {}
    body = [
        *(f"  wire {mark};\n" for mark in marks),
        *(f"  wire [{width - 1}:0] {net};\n" for net, width in hardware.items()),
        "  wire accepts;\n  wire a_ready = accepts, b_ready = accepts;\n",
        BEGUN,
        arithmetic.any(),
        source(),
        _folded_before(spec),
        instance(f"{name}_sequencer", "dut", connections),
        slots(turns),
        # The interpreter takes the product in the cycle of the mark.
        _interpreter(arithmetic, "", 0),
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
  wire [{bits - 1}:0] position = start ? {bits}'d0 : count;
  wire chunk_end = {chunk_end};
  wire chunk_is_first = start | first_chunk;
  wire empty = {"start" if spec.chunk is None else "position == 0"};
  wire base_c = empty ? 1'b0 : sum_c;
  wire [{flag_bits - 1}:0] base_flags_c = empty ? {flag_bits}'b0 : sum_flags_c;
  wire next_c = {steps.sum("base_c", "product")};
  wire [{flag_bits - 1}:0] next_flags_c = base_flags_c | {steps.deferred_by("base_c")}
    | {steps.raised("base_c", "product")}{" | product_flags" if flags else ""};
{_contract_folds(arithmetic)}
  // A tile is due from its last beat until it is marked done, at most a slot of each turn after the last turn's beat.
  wire done_now = begun & ends;
  wire all_done = begun & done & slot == {turns - 1};
  reg due = 0, any_due = 0, busy = 0, checks = 0;
  reg [{age_bits - 1}:0] age = 0;
  wire held = opens & a_last & busy;
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
    busy <= accept & last_c | busy & ~(taken & ~any_due);
    checks <= done_now;
    wait_count <= begun & a_valid & b_valid & ~held & ~accept ? wait_count + 1 : 0;
  end
  wire ok_marked = ~begun | (step == accepts & (~accepts | (a_valid & b_valid & ~held)));
  wire ok_legal = ~begun | ({_legal(spec)});
  wire ok_sums = ~begun | ((~ends | due | accept_mine & last_c) & ~(due & accept_mine & last_c) & age <= {turns}
    & (~checks | (result_known & result == result_c
      & (result_flags | {arithmetic.results.deferred_by("result")})
        == (result_flags_c | {arithmetic.results.deferred_by("result_c")}))));
  wire ok_taken = wait_count < {3 * turns};
  // Known at once, this spares the solver finding out about every count.
  {_COUNT if spec.chunk is not None else ""}
""",
    ]
    if turns > 1:
        body.append(
            f"""\
  reg [{hardware["hardware_turn"] - 1}:0] next_done = 0;
  always @(posedge clk) if (begun & done) next_done <= next_done == {turns - 1} ? 0 : next_done + 1;
  wire ok_turns = ~begun | (hardware_slot == slot & hardware_turn == turn & (~accepts | slot == turn)
    & (~done | slot == next_done));
"""
        )
    inputs = {**SOURCE_INPUTS, "product": 1, "taken": 1, **scales, **flags}
    place = "position" if spec.fold == "bubble" and not spec.has_outer_adder else "count"
    return Harness(
        name="sequencer",
        verilog=LOOK_UP + harness_module(inputs, body, properties),
        properties=properties,
        connections=tuple(
            (net, f"dut.{place if net == 'hardware_count' else net.removeprefix('hardware_')}") for net in hardware
        ),
    )


# With `fold = bubble` a beat marked first, while it is offered, may have dropped what was there.
_COUNT = """\
  wire may_restart = first_c & (~opens | (a_valid & b_valid));
  wire ok_count = ~begun | (hardware_count == count & hardware_fresh == fresh
      & hardware_first_chunk == (fresh | first_chunk))
    | (may_restart & hardware_count == 0 & hardware_fresh & hardware_first_chunk);
"""


def _contract_folds(arithmetic: Arithmetic) -> str:
    """Return Verilog for the total, and the result, after a chunk's last beat."""
    spec, steps, tables, flag_bits = arithmetic.spec, arithmetic.steps, arithmetic.folds, arithmetic.flag_bits
    if not spec.has_outer_adder:
        return f"""\
  wire folded_c = chunk_is_first ? next_c : {tables.sum("next_c", "total_c")};
  wire [{flag_bits - 1}:0] folded_flags_c = next_flags_c | (chunk_is_first ? {flag_bits}'b0
    : {steps.deferred_by("next_c")} | total_flags_c | {tables.deferred_by("total_c")}
    | {tables.raised("next_c", "total_c")});"""
    return f"""\
  wire total_base_c = chunk_is_first ? 1'b0 : total_c;
  wire scaled_c = {scaled("next_c", "p", "q") if spec.scale is not None else "next_c"};
  wire folded_c = {tables.sum("total_base_c", "scaled_c")};
  wire [{flag_bits - 1}:0] folded_flags_c = next_flags_c | {steps.deferred_by("next_c")}
    | (chunk_is_first ? {flag_bits}'b0 : total_flags_c)
    | {tables.deferred_by("total_base_c")} | {tables.raised("total_base_c", "scaled_c")};"""


def _legal(spec: MacSpec) -> str:
    if spec.has_outer_adder:
        return "(~first | step) & (~fold | step) & (~done | fold)"
    if spec.chunk is None:
        return "(~first | step) & (~done | step)"
    if spec.fold == "bubble":
        return "~(fold & step) & (~done | fold) & ~(fold & folded_before & ~fold_first)"
    return "(~first | step) & (~done | fold) & (~(fold & step) | first)"
