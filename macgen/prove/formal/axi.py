"""Verilog harness for the proof of AXI4-Stream ports: from them to the core and back no beat is lost or changed."""

from __future__ import annotations

from collections.abc import Mapping

from macgen.prove.formal.harness import BEGUN, Harness, Property, clocks, harness_module
from macgen.prove.verilog_text import Ports, conjunction, instance, joined, module, wire
from macgen.rtl import Design
from macgen.rtl.axi_layout import Fields, fields_of
from macgen.rtl.axi_stream import round_depth
from macgen.spec_fields import Interface

_INDUCTION = 12
"""Cycles up to which induction is tried; one is enough for what is right."""

_DEPTH = 2
"""Beats that a register slice holds, but for that of stream a with turns."""


def axi_harness(design: Design, name: str, modules: Mapping[str, Ports]) -> Harness | None:
    """Return the proof of the register slices and of the fields of tdata; None without AXI4-Stream ports.

    The core is any: it takes operands and offers results whenever it likes.

    Parameters:
        design: the array.
        name: its top module's name.
        modules: ports of the emitted modules.
    """
    if design.spec.interface != Interface.AXI_STREAM:
        return None
    top, core = modules[name], modules[f"{name}_core"]
    inner = {port: width for port, (_, width) in core.items() if port not in clocks(core)}
    outside = {port: width for port, (_, width) in top.items() if port not in clocks(top)}
    inputs = {port: width for port, width in outside.items() if top[port][0] == "input"}
    body = [
        BEGUN,
        *(wire(port, width) for port, width in outside.items() if port not in inputs),
        *(wire(f"core_{port}", width) for port, width in inner.items()),
        instance(name, "dut", {**clocks(top), **{port: port for port in outside}}),
    ]
    given = {stream: _packed(fields_of(design, stream), f"s_axis_{stream}_tdata") for stream in "ab"}
    given["a"] = joined(["s_axis_a_tlast", "s_axis_a_tuser", given["a"]])
    wanted = {
        stream: joined(f"core_{fields.port}" for fields in reversed(fields_of(design, stream))) for stream in "ab"
    }
    wanted["a"] = joined(["core_a_first", wanted["a"]])
    bits = {stream: sum(fields.count * fields.bits for fields in fields_of(design, stream)) for stream in "abc"}
    bits["a"] += 2
    turns = design.spec.interleave
    depths = {"a": round_depth(turns), "b": _DEPTH, "c": _DEPTH}
    for stream in "ab":
        prefix = f"s_axis_{stream}_t"
        comes = (f"{prefix}valid", f"{prefix}ready", given[stream])
        taken = (f"core_{stream}_valid", f"core_{stream}_ready")
        body.append(_queue(stream, bits[stream], depths[stream], comes, taken))
    # The core knows with the first turn's beat whether the round's last one, turns - 1 behind it, ends the packet.
    a_last = f"(count_a >= {turns} & beat_a_{turns - 1}[{bits['a'] - 1}])"
    ends = [f"(count_a > {place} & beat_a_{place}[{bits['a'] - 1}])" for place in range(turns - 1)]
    a_known = " | ".join([f"count_a >= {turns}", *ends])
    (codes,) = fields_of(design, "c")
    flags = outside["m_axis_c_tuser"]
    inside = ("core_c_valid", "core_c_ready", "{core_c_last, core_c_flags, core_c_data}")
    body.append(_queue("c", bits["c"] + flags + 1, _DEPTH, inside, ("m_axis_c_tvalid", "m_axis_c_tready")))
    body.append(f"""\
  wire [{outside["m_axis_c_tdata"] - 1}:0] c_fields = {_fields(codes, "beat_c_0")};
  wire [{flags - 1}:0] c_flags = beat_c_0[{bits["c"] + flags - 1}:{bits["c"]}];
  reg waited = 0, was_last;
  reg [{outside["m_axis_c_tdata"] - 1}:0] was_data;
  reg [{flags - 1}:0] was_flags;
  always @(posedge clk) begin
    waited <= begun & m_axis_c_tvalid & ~m_axis_c_tready;
    was_data <= m_axis_c_tdata;
    was_flags <= m_axis_c_tuser;
    was_last <= m_axis_c_tlast;
  end
  wire ok_operands = ~begun | ((core_a_valid == ({a_known})) & (core_b_valid == (count_b != 0))
    & (~core_a_valid | {{core_a_last, {wanted["a"]}}} == {{{a_last}, beat_a_0[{bits["a"] - 2}:0]}})
    & (~core_b_valid | {wanted["b"]} == beat_b_0));
  wire ok_results = ~begun | ((m_axis_c_tvalid == (count_c != 0)) & (~m_axis_c_tvalid
    | (m_axis_c_tdata == c_fields & m_axis_c_tuser == c_flags & m_axis_c_tlast == beat_c_0[{bits["c"] + flags}])));
  wire ok_taken = ~begun | ((s_axis_a_tready == (count_a != {depths["a"]})) & (s_axis_b_tready == (count_b != {_DEPTH}))
    & (core_c_ready == (count_c != {_DEPTH})));
  wire ok_stable = ~waited | (m_axis_c_tvalid & m_axis_c_tdata == was_data & m_axis_c_tuser == was_flags
    & m_axis_c_tlast == was_last);
""")
    held, connections = _held(bits | {"c": bits["c"] + flags + 1}, depths)
    body.append(held)
    properties = (
        Property("operands", "each beat of s_axis_a and s_axis_b reaches the core once, in order, all codes in place"),
        Property("results", "each result beat leaves on m_axis_c once, in order, codes, flags and tlast in place"),
        Property(
            "taken",
            "each stream takes a beat whenever its register slice has room, and the core is offered what is there",
        ),
        Property("held", "a register slice holds the beats that came and have not left"),
        Property("stable", "a beat on m_axis_c that is not taken stays, payload unchanged"),
    )
    return Harness(
        name="AXI4-Stream",
        verilog=_abstract_core(name, core) + harness_module(inputs, body, properties),
        properties=properties,
        replaced=(f"{name}_core",),
        connections=(*((f"core_{port}", f"dut.core.{port}") for port in inner), *connections),
        depth=_INDUCTION,
    )


def _held(bits: Mapping[str, int], depths: Mapping[str, int]) -> tuple[str, list[tuple[str, str]]]:
    """Return Verilog for `ok_held`, which makes the proof one by induction, and what to connect for it.

    Parameters:
        bits: of each stream's beats.
        depths: of its register slice.
    """
    text, same = "", []
    connections: list[tuple[str, str]] = []

    def register(stream: str, name: str, width: int) -> str:
        nonlocal text
        net = f"slice_{stream}_{name}"
        text += wire(net, width)
        connections.append((net, f"dut.slice_{stream}.{name}"))
        return net

    for stream, depth in depths.items():
        count, width = f"count_{stream}", bits[stream]
        same.append(f"count_{stream} <= {depth}")
        if depth == _DEPTH:
            same += [
                f"{register(stream, 'offers', 1)} == ({count} != 0)",
                f"{register(stream, 'holds_more', 1)} == ({count} == {_DEPTH})",
                f"({count} == 0 | {register(stream, 'offered', width)} == beat_{stream}_0)",
                f"({count} != {_DEPTH} | {register(stream, 'more', width)} == beat_{stream}_1)",
            ]
            continue
        same.append(f"{register(stream, 'count', depth.bit_length())} == {count}")
        for place in range(depth):
            beat, ends = register(stream, f"beat_{place}", width - 1), register(stream, f"ends_{place}", 1)
            model = f"beat_{stream}_{place}"
            same.append(f"({count} <= {place} | {beat} == {model}[{width - 2}:0])")
            same.append(f"{ends} == ({count} > {place} & {model}[{width - 1}])")
    return text + f"  wire ok_held = ~begun | {conjunction(same)};\n", connections


def _abstract_core(name: str, ports: Ports) -> str:
    """Return a core that does anything."""
    outputs = {port: width for port, (direction, width) in ports.items() if direction == "output"}
    body = "".join(
        f"  (* anyseq *) wire [{width - 1}:0] any_{port};\n  assign {port} = any_{port};\n"
        for port, width in outputs.items()
    )
    return module(f"{name}_core", ports, body)


def _queue(stream: str, bits: int, depth: int, put: tuple[str, str, str], take: tuple[str, str]) -> str:
    """Return Verilog for a queue of what a stream's register slice has to hold: `count_<stream>`, `beat_<stream>_0` ...

    Parameters:
        stream: its name.
        bits: of a beat.
        depth: how many beats it holds.
        put: valid, ready and beat where beats come in.
        take: valid and ready where they leave.
    """
    valid, ready, beat = put
    text = f"""\
  reg [3:0] count_{stream};
  wire [{bits - 1}:0] comes_{stream} = {beat};
  wire put_{stream} = {valid} & {ready}, take_{stream} = {take[0]} & {take[1]};
  wire [3:0] left_{stream} = count_{stream} - take_{stream};
  always @(posedge clk) count_{stream} <= begun ? left_{stream} + put_{stream} : 4'd0;
  wire [{bits - 1}:0] beat_{stream}_{depth} = 0;
"""
    for place in reversed(range(depth)):
        text += f"""\
  reg [{bits - 1}:0] beat_{stream}_{place};
  always @(posedge clk)
    if (put_{stream} & left_{stream} == {place}) beat_{stream}_{place} <= comes_{stream};
    else if (take_{stream}) beat_{stream}_{place} <= beat_{stream}_{place + 1};
"""
    return text


def _packed(fields: tuple[Fields, ...], tdata: str) -> str:
    """Return the codes of fields side by side."""
    parts = [
        f"{tdata}[{low + item.bits - 1}:{low}]"
        for item in fields
        for low in range(item.low, item.high, item.field_bits)
    ]
    return joined(reversed(parts))


def _fields(fields: Fields, codes: str) -> str:
    """Return the fields of codes that stand in the low bits of a vector."""
    padding, parts = fields.field_bits - fields.bits, []
    for index in range(fields.count):
        high, low = (index + 1) * fields.bits - 1, index * fields.bits
        above = f"{{{padding}{{{codes}[{high}]}}}}, " if fields.signed else f"{padding}'d0, "
        parts.append(f"{above if padding else ''}{codes}[{high}:{low}]")
    return joined(reversed(parts))
