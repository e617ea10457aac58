"""Verilog harnesses for the proofs of the whole array: how operands reach the PEs and results leave them."""

from __future__ import annotations

from collections.abc import Mapping

from macgen.numerics.flags import FLAG_BITS
from macgen.prove.formal.harness import (
    BEGUN,
    SOURCE_INPUTS,
    Harness,
    Property,
    clocks,
    harness_module,
    marks_of,
    rounds,
    source,
)
from macgen.prove.formal.starts import abstract_starts
from macgen.prove.verilog_text import Ports, conjunction, decoded, delayed, instance, joined, module, part
from macgen.rtl import Design, core_module


def abstract_pe(design: Design, name: str, ports: Ports) -> str:
    """Return a PE that does what the proof of the PE says.

    A finished sum is any bit; on its way it is a pattern of bits or the pattern's complement. The pattern is any, so
    that it matters which bit goes where.
    """
    spec, marks = design.spec, _widths_of_marks(ports)
    bits = ports["result_out"][1]
    last = spec.interleave - 1
    stages = spec.pipeline + last + design.outer_latency
    passed = [port[: -len("_in")] for port in ports if port in ("a_in", "b_in", "a_scale_in", "b_scale_in")]
    moves = "".join(f" result_{turn} <= result_{turn + 1};" for turn in range(last))
    return module(
        f"{name}_pe",
        ports,
        "".join(f"  reg [{ports[f'{key}_in'][1] - 1}:0] {key};\n  assign {key}_out = {key};\n" for key in passed)
        + "".join(
            f"  reg [{width - 1}:0] {mark};\n  assign control_out__{mark} = {mark};\n" for mark, width in marks.items()
        )
        + "".join(f"  reg result_{turn};\n" for turn in range(spec.interleave))
        + abstract_starts(design, ports)
        + decoded("below", "result_in ^ pattern", bits, f"  wire [{bits - 1}:0] pattern;\n")
        + f"""\
  (* anyseq *) wire finished;
  reg [{stages - 1}:0] done_stages;
  wire finishes = done_stages[{stages - 1}];
  assign result_out = pattern ^ {{{bits}{{result_0}}}};
  always @(posedge clk) begin
    done_stages <= rst ? {stages}'d0 : {{done_stages, control_in__done}};
    if (finishes | shift) begin result_{last} <= finishes ? finished : below;{moves} end
"""
        + "".join(f"    {key} <= {key}_in;\n" for key in passed)
        + "".join(f"    {mark} <= control_in__{mark} & {{{width}{{~rst}}}};\n" for mark, width in marks.items())
        + "  end\n",
    )


def _widths_of_marks(ports: Ports) -> dict[str, int]:
    """Return a PE's control marks and their widths."""
    return {mark: ports[f"control_in__{mark}"][1] for mark in marks_of(ports, "control_in__")}


def _masked(design: Design, key: str) -> str:
    """Return Verilog for a stream's codes as PEs get them.

    That is without the bits that the beat's mode does without; packed elements of b are in the opposite order.
    """
    dropped = design.dropped_bits(key[0]) if key.endswith("_data") else (0,)
    turns = key == "b_data" and design.spec.packs
    if not any(dropped) and not turns:
        return key
    width, (count, bits) = getattr(design.spec, key[0]).width, design.operand_vectors[key]
    used = f"{{{width}{{1'b1}}}}"
    for number, low in enumerate(dropped):
        used = f"beat_mode == {number} ? {{{{{width - low}{{1'b1}}}}, {low}'d0}} : {used}" if low else used
    codes = key
    for number, packed in enumerate(design.spec.packed if turns else ()):
        if packed > 1:
            each = width // packed
            elements = [
                part(key, first + index, each)
                for first in reversed(range(0, count * bits // each, packed))
                for index in range(packed)
            ]
            codes = f"beat_mode == {number} ? {joined(elements)} : {codes}"
    return f"({codes}) & {{{count * bits // width}{{{used}}}}}"


def core_instance(design: Design, name: str, modules: Mapping[str, Ports]) -> str:
    """Return Verilog for the array as `dut`, its ports on nets of their names, of which it declares the outputs."""
    spec, core = design.spec, core_module(design, name)
    connections = clocks(modules[core])
    for port in ("a_valid", "a_ready", "a_first", "a_last", "b_valid", "b_ready", *design.operand_vectors):
        connections[port] = port
    for port in ("c_valid", "c_ready", "c_data", "c_flags", "c_first", "c_last", *(["a_mode"] if spec.modes else [])):
        connections[port] = port
    connections |= {port: port for port in design.start_signature}
    return (
        "  wire a_ready, b_ready, c_valid, c_first, c_last;\n"
        + "  wire d_ready;\n" * spec.preload
        + f"  wire [{spec.cols * spec.out_format.width - 1}:0] c_data;\n"
        f"  wire [{spec.cols * FLAG_BITS - 1}:0] c_flags;\n" + instance(core, "dut", connections)
    )


def start_inputs(design: Design) -> dict[str, int]:
    """Return the inputs that are stream d, of an array with preloaded accumulators."""
    if not design.spec.preload:
        return {}
    return {"d_valid": 1, "d_data": design.spec.cols * design.spec.outer_format.width}


# Whether a beat starts dot products, and whether their start values are there.
STARTING = """\
  wire loaded;
  reg fresh = 1;
  wire start = first_c | fresh;
  always @(posedge clk) if (accept & closes) fresh <= last_c;
"""


def feed_harness(design: Design, name: str, modules: Mapping[str, Ports]) -> Harness:
    """Return the proof that every PE gets its row's and its column's operands together with the marks of their beat."""
    spec, ports = design.spec, modules[f"{name}_pe"]
    marks = _widths_of_marks(ports)
    operands = design.operand_vectors
    # Scales of chunks count where a chunk ends.
    counts = {key: "fold" if key.endswith("_scale") and spec.scales_chunks else "step" for key in operands}
    longest = spec.rows + spec.cols - 1
    body = [BEGUN, core_instance(design, name, modules)]
    body += [f"  wire [{width - 1}:0] mark_{mark};\n" for mark, width in marks.items()]
    connections = [(f"mark_{mark}", f"dut.sequencer.control__{mark}") for mark in marks]
    if spec.modes:
        body.append(f"  wire [{design.mode_bits - 1}:0] beat_mode;\n")
        connections.append(("beat_mode", "dut.sequencer.beat_mode"))
    body += [delayed(f"mark_{mark}", longest, True, width) for mark, width in marks.items()]
    for key, (count, width) in operands.items():
        body.append(f"  wire [{count * width - 1}:0] used_{key} = {_masked(design, key)};\n")
        body.append(delayed(f"used_{key}", longest, False, count * width))
    fed = []
    for row in range(spec.rows):
        for col in range(spec.cols):
            place, late, pe = f"{row}_{col}", row + col + 1, f"dut.{design.path_of_pe(row, col)}"
            body += [f"  wire [{width - 1}:0] {mark}_{place};\n" for mark, width in marks.items()]
            connections += [(f"{mark}_{place}", f"{pe}.control_in__{mark}") for mark in marks]
            same = [f"{mark}_{place} == mark_{mark}_{late}" for mark in marks]
            for key, (_, width) in operands.items():
                port = key.removesuffix("_data")
                body.append(f"  wire [{width - 1}:0] {port}_{place};\n")
                connections.append((f"{port}_{place}", f"{pe}.{port}_in"))
                sent = part(f"used_{key}_{late}", row if key[0] == "a" else col, width)
                same.append(f"(~{counts[key]}_{place} | {port}_{place} == {sent})")
            fed.append(f"({' & '.join(same)})")
    body.append(f"  wire ok_fed = ~begun | {conjunction(fed)};\n")
    scales = ", and at a chunk's end its scales," if spec.scales_chunks else " and scales" if spec.scales_lanes else ""
    claim = f"each PE gets the operands{scales} of its row and column with the marks of their beat"
    properties = (Property("fed", claim),)
    inputs = {"a_valid": 1, "b_valid": 1, "a_first": 1, "a_last": 1, "c_ready": 1}
    inputs |= {key: count * width for key, (count, width) in operands.items()} | start_inputs(design)
    if spec.modes:
        inputs["a_mode"] = design.mode_bits
    return Harness(
        name="operands",
        verilog=abstract_pe(design, name, ports) + harness_module(inputs, body, properties),
        properties=properties,
        replaced=(f"{name}_pe",),
        connections=tuple(connections),
        depth=longest + 2,
    )


def _abstract_outputs(design: Design, name: str, modules: Mapping[str, Ports]) -> dict[str, str]:
    """Return output converters with any code, that tell no flags; of one with random numbers these remain."""
    texts = {}
    for unit in ("output",) if design.out is None else ("out_number", "out_conversion"):
        ports = modules[f"{name}_{unit}"]
        text = ""
        for port, (direction, width) in ports.items():
            if direction == "output":
                any_value = f"  (* anyseq *) wire [{width - 1}:0] any_{port};\n  assign {port} = any_{port};\n"
                text += "  assign flags = 0;\n" if port == "flags" else any_value
        texts[f"{name}_{unit}"] = module(f"{name}_{unit}", ports, text)
    return texts


def drain_harness(design: Design, name: str, modules: Mapping[str, Ports]) -> Harness:
    """Return the proof that a tile's results leave row by row, once, and the next tile's never overtake them.

    With `interleave` a row's beats are its turns'.
    """
    spec, ports = design.spec, modules[f"{name}_pe"]
    turns, cols = spec.interleave, spec.cols
    beats = spec.rows * turns
    bits = ports["result_out"][1]
    latency = design.latency
    limit = 3 * turns
    random = design.out_random_bits > 0
    beat_bits, age_bits = max((beats - 1).bit_length(), 1), (latency + 2).bit_length()
    got_bits = turns.bit_length()
    shown = [f"bit_{c}" for c in range(cols)] + ([f"random_{c}" for c in range(cols)] if random else [])
    random_bits = modules[f"{name}_out_conversion"]["random"][1] if random else 0
    shown_bits = cols * (1 + random_bits)
    unstarted = " | start & ~loaded" if spec.preload else ""
    body = [
        *(f"  wire [{count * width - 1}:0] {key} = 0;\n" for key, (count, width) in design.operand_vectors.items()),
        BEGUN,
        source(),
        core_instance(design, name, modules),
        "  wire accept = begun & a_valid & a_ready;\n",
        rounds(turns),
        *([STARTING] if spec.preload else []),
        f"""\
  wire taken = begun & c_valid & c_ready;
  reg waiting = 0, shown = 0;
  reg [{beat_bits - 1}:0] beat = 0;
  reg [{age_bits - 1}:0] age = 0;
  reg [{limit.bit_length() - 1}:0] wait_count = 0;
  reg was_first, was_last;
  reg [{shown_bits - 1}:0] was_shown;
  wire [{shown_bits - 1}:0] is_shown;
  assign is_shown = {{{", ".join(reversed(shown))}}};
  (* anyconst *) wire [{bits - 1}:0] pattern;
  always @(posedge clk) begin
    waiting <= accept & last_c | waiting & ~(taken & beat == {beats - 1});
    if (taken) beat <= beat == {beats - 1} ? {beat_bits}'d0 : beat + {beat_bits}'d1;
    age <= accept & closes & last_c ? 1 : age != 0 & ~c_valid ? age + 1 : 0;
    wait_count <= begun & a_valid & b_valid & ~(opens & (a_last & waiting{unstarted})) & ~accept ? wait_count + 1 : 0;
    shown <= begun & c_valid & ~c_ready;
    was_first <= c_first;
    was_last <= c_last;
    was_shown <= is_shown;
  end
""",
    ]
    connections: list[tuple[str, str]] = []
    if spec.preload:
        connections.append(("loaded", "dut.preloader.loaded"))
    once, complete, chain, offered = [], [], [], []
    for r in range(spec.rows):
        for c in range(cols):
            place = f"{r}_{c}"
            pe = f"dut.{design.path_of_pe(r, c)}"
            connections += [(f"finishes_{place}", f"{pe}.finishes"), (f"finished_{place}", f"{pe}.finished")]
            connections += [(f"{pe}.pattern", "pattern")]
            connections += [(f"held_{place}_{turn}", f"{pe}.result_{turn}") for turn in range(turns)]
            leaves = f"taken & beat == {beats - 1}"
            counted = f"begun & (finishes_{place} | got_{place} & ~({leaves}))"
            if turns > 1:
                counted = f"~begun | {leaves} ? 0 : got_{place} + finishes_{place}"
            body.append(f"""\
  wire finishes_{place}, finished_{place};
  reg [{got_bits - 1}:0] got_{place} = 0;
  always @(posedge clk) got_{place} <= {counted};
""")
            for turn in range(turns):
                body.append(f"  wire held_{place}_{turn};\n  reg result_{place}_{turn};\n")
                body.append(
                    f"  always @(posedge clk) if (finishes_{place} & got_{place} == {turn}) "
                    f"result_{place}_{turn} <= finished_{place};\n"
                )
                index = r * turns + turn
                own = f"result_{place}_{turn}"
                # Before the first beat a PE may have some of its turns' results, the last one in the last register.
                for got in range(turn + 1, turns + 1):
                    at = turns - got + turn
                    chain.append(f"(~(got_{place} == {got} & beat == 0) | held_{place}_{at} == {own})")
                for left in range(1, index + 1):
                    row, at = divmod(index - left, turns)
                    chain.append(f"(~(got_{place} == {turns} & beat == {left}) | held_{row}_{c}_{at} == {own})")
                offered.append(f"(beat != {index} | bit_{c} == {own})")
            once.append(f"~(finishes_{place} & (got_{place} == {turns} | ~waiting))")
            complete.append(f"got_{place} == {turns}")
    for c in range(cols):
        packed = [f"value__{key}" for key in reversed(list(design.results.value.members))]
        unit = "output" if design.out is None else "result"
        for port in packed:
            body.append(f"  wire [{modules[f'{name}_{unit}'][port][1] - 1}:0] {port}_{c};\n")
            connections.append((f"{port}_{c}", f"dut.output_{c}.{port}"))
        flags = part("c_flags", c, FLAG_BITS)
        value = ", ".join(f"{port}_{c}" for port in packed)
        body.append(decoded(f"bit_{c}", f"{{{flags}, {value}}} ^ pattern", bits))
        body.append(f"  wire [{spec.out_format.width - 1}:0] code_{c};\n")
        connections.append((f"code_{c}", f"dut.output_{c}.code"))
        offered.append(f"{part('c_data', c, spec.out_format.width)} == code_{c}")
        if random:
            body.append(f"  wire [{random_bits - 1}:0] random_{c};\n")
            connections.append((f"random_{c}", f"dut.output_{c}.conversion.random"))
    body.append(
        f"""\
  wire ok_together = ~begun | (a_ready == b_ready & (~a_ready | (a_valid & b_valid)));
  wire ok_taken = wait_count < {limit};
  wire ok_last_held = ~(accept & opens & a_last & waiting);
  wire ok_stable = ~shown | (c_valid & c_first == was_first & c_last == was_last & is_shown == was_shown);
  wire ok_rows = ~begun | ~c_valid | (waiting & c_first == (beat == 0) & c_last == (beat == {beats - 1}));
  wire ok_kept = ~begun | ({conjunction(once)} & {conjunction(chain)});
  wire ok_results = ~begun | ~c_valid | ({conjunction(complete)} & {conjunction(offered)});
  wire ok_latency = age <= {latency} & (age == {latency} | ~(begun & c_valid & beat == 0 & age != 0));
"""
    )
    inputs = {**SOURCE_INPUTS, "c_ready": 1} | start_inputs(design)
    properties: tuple[Property, ...] = ()
    if spec.modes:
        inputs["a_mode"] = design.mode_bits
    unit = "output" if design.out is None else "result"
    if "mode" in modules[f"{name}_{unit}"]:
        properties = (Property("mode", "what converts a tile's results is told the mode of its beats"),)
        nets = ["beat_mode", *(f"mode_of_{c}" for c in range(cols))]
        body += [f"  wire [{design.mode_bits - 1}:0] {net};\n" for net in nets]
        connections.append(("beat_mode", "dut.sequencer.beat_mode"))
        connections += [(f"mode_of_{c}", f"dut.output_{c}.mode") for c in range(cols)]
        same = conjunction([f"(mode_of_{c} == due_mode)" for c in range(cols)])
        body.append(f"""\
  reg [{design.mode_bits - 1}:0] due_mode;
  always @(posedge clk) if (accept & last_c) due_mode <= beat_mode;
  wire ok_mode = ~begun | ~c_valid | {same};
""")
    first = ", one that starts dot products once their start values are there" if spec.preload else ""
    often = "tile" if turns == 1 else "turn"
    which = "row r's results" if turns == 1 else f"turn r % {turns} of row r / {turns}'s results"
    properties = (
        Property("together", "a and b move together, only when both are offered"),
        Property(
            "taken", f"beats offered on a and b are taken within {limit} cycles, a last one once no results wait{first}"
        ),
        Property("last_held", "a last beat is not taken while results wait"),
        Property("stable", "a result beat that is not taken stays, payload and marks unchanged"),
        Property("rows", f"a tile gives {beats} result beats, marked first and last, and none without a tile"),
        Property("kept", f"each PE finishes once a {often}, and no result is overwritten before it has left"),
        Property("results", f"result beat r has {which}, each in its column"),
        Property("latency", f"results are offered exactly {latency} cycles after the last beat"),
        *properties,
    )
    outputs = _abstract_outputs(design, name, modules)
    return Harness(
        name="results",
        verilog=abstract_pe(design, name, ports) + "".join(outputs.values()) + harness_module(inputs, body, properties),
        properties=properties,
        replaced=(f"{name}_pe", *outputs),
        connections=tuple(connections),
    )
