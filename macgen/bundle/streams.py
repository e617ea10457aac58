"""The ports of each stream as the manifest names them, for the testbench and other people's tools."""

from typing import Any

from macgen.compress.spec import CompressSpec
from macgen.numerics.flags import FLAG_BITS
from macgen.rtl import Design
from macgen.rtl.axi_layout import fields_of
from macgen.spec_fields import Interface

_MEMBERS = {
    "a": ["valid", "ready", "data", "first", "last"],
    "b": ["valid", "ready", "data"],
    "c": ["valid", "ready", "data", "flags", "first", "last"],
    "d": ["valid", "ready", "data"],
}

_AXI = {"valid": "tvalid", "ready": "tready", "data": "tdata", "last": "tlast", "first": "tuser", "flags": "tuser"}


def streams_of(design: Design) -> dict[str, dict[str, Any]]:
    """Return by stream the ports of its members, its lanes and their bits; see Manifest."""
    spec = design.spec
    sides = {"a": (spec.rows, spec.a.width), "b": (spec.cols, spec.b.width), "c": (spec.cols, spec.out_format.width)}
    if spec.preload:
        sides["d"] = spec.cols, spec.outer_format.width
    streams: dict[str, dict[str, Any]] = {}
    for stream, (lanes, bits) in sides.items():
        streams[stream] = {**_ports(design, stream), "lanes": lanes, "lane_bits": bits}
        operands = stream in ("a", "b")
        if operands and spec.scale is not None:
            streams[stream] |= {"scale": _port(design, stream, "scale"), "scale_bits": spec.scale.width}
            if spec.scales_in_beat > 1:
                streams[stream]["scale_codes"] = spec.scales_in_beat
        if operands and spec.lanes > 1:
            streams[stream]["codes"] = spec.lanes
        if spec.interface == Interface.AXI_STREAM:
            streams[stream] |= _fields(design, stream)
    if spec.modes:
        streams["a"] |= {"mode": _port(design, "a", "mode"), "mode_bits": design.mode_bits}
    streams["c"]["flag_bits"] = FLAG_BITS
    return streams


def counters_of(design: Design) -> dict[str, str]:
    """Return the ports of the array's counters by what they count, and of `clear`; none without counters."""
    return {port.removeprefix("count_"): port for port in design.count_signature}


def _ports(design: Design, stream: str) -> dict[str, str]:
    members = _MEMBERS[stream]
    if design.spec.interface == Interface.AXI_STREAM:
        members = [member for member in members if stream == "a" or member != "first"]
        members += ["last"] if stream == "b" else []
    return {member: _port(design, stream, member) for member in members}


def _port(design: Design, stream: str, member: str) -> str:
    if design.spec.interface == Interface.AXI_STREAM:
        return f"{'m' if stream == 'c' else 's'}_axis_{stream}_{_AXI.get(member, 'tdata')}"
    return f"{stream}_{member}"


def _fields(design: Design, stream: str) -> dict[str, int]:
    """Return how codes lie in tdata."""
    data, *scale = fields_of(design, stream)
    found = {"field_bits": data.field_bits}
    for fields in scale:
        found |= {"scale_field_bits": fields.field_bits, "scale_low": fields.low}
    return found


def compress_streams_of(spec: CompressSpec) -> dict[str, dict[str, Any]]:
    """Return the same of a unit that compresses gradients; of its learners' streams also how many there are."""
    sent = ["index", *(["sent"] if spec.lanes > 1 else []), "sign", "end", "last", "scale"]
    members: dict[str, tuple[list[str], int]] = {
        "in": (["kept", "sent", "scale", "gradient", "last"], spec.width),
        "kept": (["data", "sent", "overflow", "last"], spec.width),
        "out": (sent, spec.index_bits),
    }
    if spec.learners:
        members |= {"peer": (sent, spec.index_bits), "sum": (["data", "end", "last"], spec.sum_bits)}
    streams: dict[str, dict[str, Any]] = {}
    for stream, (names, bits) in members.items():
        ports = {name: f"{stream}_{name}" for name in ("valid", "ready", *names)}
        streams[stream] = {**ports, "lanes": spec.lanes, "lane_bits": bits}
    if spec.learners:
        streams["peer"]["learners"] = spec.learners
    return streams
