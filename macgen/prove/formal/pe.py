"""Verilog harness for the proof of a PE: what it does and when, arithmetic abstracted."""

from __future__ import annotations

from collections.abc import Mapping

from macgen.numerics.flags import FLAG_BITS
from macgen.prove.formal.harness import (
    BEGUN,
    Harness,
    Property,
    clocks,
    harness_module,
    marks_of,
    slots,
)
from macgen.prove.formal.interpreter import MARKS, folded_before, folded_lately, interpreter
from macgen.prove.formal.starts import pe_starts
from macgen.prove.formal.tables import LOOK_UP, Arithmetic, combines_lanes, lane_flags, rounded, scaled
from macgen.prove.formal.units import AbstractUnits, zero_state
from macgen.prove.verilog_text import Ports, delayed, instance, joined, part
from macgen.rtl import Design
from macgen.spec import MacSpec

_ENABLE = "clock enable: that nothing moves without it, as every clock edge has it here"
_RANDOM = "random numbers: that each addition takes the next ones"


def pe_harness(design: Design, name: str, modules: Mapping[str, Ports]) -> Harness:
    """Return the proof that a PE does what `Control` says, arithmetic abstracted.

    Parameters:
        design: the array.
        name: its top module's name.
        modules: ports of the emitted modules.
    """
    spec, units, arithmetic = design.spec, AbstractUnits(design, name, modules), Arithmetic(design)
    ports = modules[f"{name}_pe"]
    marks = [mark for mark in MARKS if mark in marks_of(ports, "control_in__")]
    state_bits = ports["result_out"][1] - FLAG_BITS
    stages, turns = spec.pipeline, spec.interleave
    scales = ("p", "q") if spec.scale is not None else ()
    inputs = {"shift": 1, "result_in": ports["result_in"][1], **{f"mark_{mark}": 1 for mark in marks}}
    inputs |= {"x": spec.lanes, "y": spec.lanes, **dict.fromkeys(scales, spec.scales_in_beat)}
    if "seed" in ports:
        inputs["seed"] = ports["seed"][1]
    modes = _modes(design, name, modules)
    legal = _obeyed_marks(spec)
    of_starts, start_ports, start_registers, start_moved = pe_starts(design, ports, zero_state(design))
    inputs |= of_starts
    connections = clocks(ports) | start_ports
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
    finish = design.outer_latency + turns - 1
    follows = []
    if "control_in__mode" in ports:
        mode_bits = ports["control_in__mode"][1]
        inputs["mode"] = mode_bits
        connections |= {"control_in__mode": "mode", "control_out__mode": "passed_mode"}
        passes.append("(~begun | passed_mode == mode_1)")
        latest = max(stages, *(late for late, _ in modes.values()))
        follows.append(f"  wire [{mode_bits - 1}:0] passed_mode;\n")
        follows.append(delayed("mode", latest, True, mode_bits))
        if spec.has_outer_adder:
            follows.append("  wire fold_taken = fold;\n" + delayed("fold_taken", latest, True))
    body = [
        *(f"  wire {mark} = {legal[mark]};\n" for mark in marks),
        *(f"  wire passed_{mark};\n" for mark in marks),
        outs,
        f"  wire [{ports['result_out'][1] - 1}:0] result_out;\n",
        BEGUN,
        arithmetic.any(),
        folded_before(spec),
        folded_lately(spec),
        instance(f"{name}_pe", "dut", connections),
        *follows,
        *(delayed(mark, stages, True) for mark in marks),
        *(delayed(bit, stages, False, inputs[bit]) for _, bit in sides),
        slots(turns),
        start_registers,
        _product(design),
        interpreter(arithmetic, "_" + str(stages), finish),
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
    properties: tuple[Property, ...] = (
        Property("passes", "a PE hands operands and control marks on, one cycle later"),
        Property("result", "a PE's result and flags are those of the marked products, each added once, in order"),
        Property("shift", "a result stays until it is shifted, and the one from below then takes its place"),
    )
    if spec.preload:
        properties += (Property("starts", "start values move up when they are shifted and when a dot product starts"),)
        body.append(f"  wire ok_starts = ~begun | {start_moved};\n")
    if modes:
        properties += (
            Property(
                "mode", "what multiplies, or rounds a product, a sum or a chunk sum, is told the mode of its marks"
            ),
        )
        same = []
        for index, (late, when) in enumerate(modes.values()):
            body.append(f"  wire [{mode_bits - 1}:0] mode_at_{index};\n")
            same.append(f"({f'~{when}_{late} | ' if when else ''}mode_at_{index} == mode_{late})")
        body.append(f"  wire ok_mode = ~begun | ({' & '.join(same)});\n")
    return Harness(
        name="PE",
        verilog=LOOK_UP + units.verilog + harness_module(inputs, body, properties),
        properties=properties,
        replaced=units.replaced,
        connections=(
            *units.connections("dut"),
            *((f"mode_at_{index}", f"dut.{place}.mode") for index, place in enumerate(modes)),
        ),
        unproved=(*([_RANDOM] if spec.random_bits else []), *([_ENABLE] if spec.clock_enable else [])),
    )


def _modes(design: Design, name: str, modules: Mapping[str, Ports]) -> dict[str, tuple[int, str]]:
    """Return by place in a PE what takes the mode: how many cycles after its mark, and which mark there has to be."""
    spec, stages = design.spec, design.spec.pipeline
    begins = stages + spec.interleave - 1
    early = design.window is None and spec.fold == "bubble"
    rounding, multiplier = (
        [unit] if spec.lanes == 1 else [f"{unit}_{lane}" for lane in range(spec.lanes)]
        for unit in ("rounding", "multiplier")
    )
    found = {
        "adder": ("adder", stages, ""),
        "aligned_adder": ("aligned_adder", stages, ""),
        "folded": ("folded", stages - 1 if early else stages, ""),
        **dict.fromkeys(multiplier, ("multiplier", int(stages == 3), "")),
        **dict.fromkeys(rounding, ("rounding", stages - 1, "")),
        "outer.number": ("number", begins + 1, "fold_taken"),
        "outer.adder": ("outer_adder", begins + 2, "fold_taken"),
    }
    return {
        place: (late, when)
        for place, (unit, late, when) in found.items()
        if "mode" in modules.get(f"{name}_{unit}", {}) and (unit not in ("number",) or spec.has_outer_adder)
    }


def _obeyed_marks(spec: MacSpec) -> dict[str, str]:
    """Return the marks that a PE has to obey, of marks that are any."""
    legal = {"step": "mark_step", "first": "mark_first & mark_step", "fold_first": "mark_fold_first"}
    legal["begins"] = "mark_begins & mark_step"
    folds = spec.chunk is not None or spec.has_outer_adder
    if spec.has_outer_adder:
        legal["fold"] = "mark_fold & mark_step"
        if spec.outer_cycles > 1:
            legal["fold"] += " & ~folded_lately"
    elif spec.fold == "bubble":
        # A fold needs the adder; only a product that starts a chunk can go beside it.
        legal["fold"] = "mark_fold & ~mark_step & (~folded_before | mark_fold_first)"
    else:
        legal["fold"] = "mark_fold & (~mark_step | mark_first)"
    return legal | {"done": f"mark_done & {'fold' if folds else 'step'}"}


def _product(design: Design) -> str:
    """Return Verilog for `product` and its flags, as they are when the adder takes them; see AbstractUnits."""
    spec, terms = design.spec, design.terms
    last, products, text = spec.pipeline - 1, [], ""
    for lane in range(spec.lanes):
        text += f"  wire exact_{lane} = `LOOK_UP(product_table, x[{lane}], y[{lane}]);\n"
        text += delayed(f"exact_{lane}", last, False)
        products.append(f"exact_{lane}_{last}")
    flags = []
    if spec.product is not None:
        flags = [f"({product} ? rounding_flags : {FLAG_BITS}'b0)" for product in products]
        products = [rounded(product) for product in products]
    if terms is not None and spec.block is not None:
        made = []
        for index in range(terms.count):
            group = products[index * terms.group : (index + 1) * terms.group]
            block = index * terms.group // spec.block
            mask = part("group_mask", index, terms.group)
            text += f"  wire group_{index} = ^({joined(reversed(group))} & {mask});\n"
            text += f"  wire term_{index} = {scaled(f'group_{index}', f'p_{last}[{block}]', f'q_{last}[{block}]')};\n"
            made.append(f"term_{index}")
        products = made
    text += f"  wire [{len(products) - 1}:0] products = {joined(reversed(products))};\n"
    combined = combines_lanes(spec)
    text += f"  wire multiplied = {'^(products & lane_mask)' if combined else 'products[0]'};\n"
    if lane_flags(spec):
        flags.append(f"(multiplied ? lane_flags : {FLAG_BITS}'b0)")
    text += delayed("multiplied", 1, False) + "  wire product = multiplied_1;\n"
    if flags:
        text += f"  wire [{FLAG_BITS - 1}:0] multiplied_flags = {' | '.join(flags)};\n"
        text += delayed("multiplied_flags", 1, False, FLAG_BITS)
        text += f"  wire [{FLAG_BITS - 1}:0] product_flags = multiplied_flags_1;\n"
    return text


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
