"""Verilog harnesses for the proofs of a unit that compresses gradients: what is sent and kept is what came in.

Three proofs share it. Of one element: what it becomes, and that what is sent of it and what is left are what was kept,
exactly. Of the way through the unit: with elements of any values, each leaves once, in order and unchanged, and is sent
if it reaches its bin's largest magnitude. All of them hold for bins of any size, as the memory is any but for one word,
which may be every one: nothing writes over it until it has been read.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from macgen.compress.spec import CompressSpec
from macgen.prove.formal.compress_way import INDUCTION, way
from macgen.prove.formal.harness import BEGUN, Harness, Property, clocks, harness_module
from macgen.prove.verilog_text import Ports, instance, wire


def compress_harnesses(spec: CompressSpec, name: str, modules: Mapping[str, Ports]) -> Iterator[Harness]:
    """Yield the proofs of a unit.

    Parameters:
        spec: the unit.
        name: its top module's name.
        modules: ports of the emitted modules.
    """
    yield _residue(spec, name)
    yield _element(spec, name, modules)
    yield way(spec, name, modules)


# -- one element ---------------------------------------------------------------------------------------------------


def _signed(value: str, width: int, bits: int) -> str:
    """Return a value of so many bits with its sign put before it."""
    return f"{{{{{bits - width}{{{value}[{width - 1}]}}}}, {value}}}"


def _residue(spec: CompressSpec, name: str) -> Harness:
    width, wide = spec.width, spec.width + 2
    properties = (Property("exact", "what is sent plus what is left is what was kept, for every scale"),)
    body = [
        wire("rest", width),
        instance(f"{name}_residue", "dut", {"kept": "kept", "sent": "sent", "scale": "scale", "rest": "rest"}),
        f"""\
  wire [{wide - 1}:0] whole = {_signed("kept", width, wide)};
  wire [{wide - 1}:0] left = {_signed("rest", width, wide)};
  wire [{wide - 1}:0] magnitude = {{2'b00, scale}};
  wire [{wide - 1}:0] went = ~sent | kept == 0 ? {wide}'d0 : kept[{width - 1}] ? -magnitude : magnitude;
  wire is_scale = scale <= {width}'d{spec.largest_scale};
  wire ok_exact = ~is_scale | went + left == whole;
""",
    ]
    inputs = {"kept": width, "sent": 1, "scale": width}
    return Harness("residue", harness_module(inputs, body, properties), properties, depth=None)


def _element(spec: CompressSpec, name: str, modules: Mapping[str, Ports]) -> Harness:
    """Return the proof of the three stages, stage by stage; the residue is that of the proof before."""
    ports = modules[f"{name}_element"]
    width, wide = spec.width, spec.width + 2
    inside = {"left": width, "brought": width, "accumulated": width, "was_outside": 1, "added": width}
    properties = (
        Property("accumulates", "the gradient is added to the residue; outside the range it is the end, and flagged"),
        Property("magnitudes", "the magnitudes are those of that sum, and of that sum plus the gradient"),
    )
    outputs = {port: bits for port, (direction, bits) in ports.items() if direction == "output"}
    inputs = {
        port: bits for port, (direction, bits) in ports.items() if direction == "input" and port not in ("clk", "rst")
    }
    high, low = (1 << width - 1) - 1, 1 << width - 1
    body = [
        BEGUN,
        *(wire(port, bits) for port, bits in outputs.items()),
        *(wire(f"dut_{net}", bits) for net, bits in inside.items()),
        instance(f"{name}_element", "dut", {**clocks(ports), **{port: port for port in [*inputs, *outputs]}}),
        f"""\
  reg [2:0] seen = 0;
  reg [{width - 1}:0] gradient_1, gradient_2, code_2, code_3, gradient_3;
  reg outside_2, outside_3;
  wire [{wide - 1}:0] sum = {_signed("dut_left", width, wide)} + {_signed("gradient_1", width, wide)};
  wire above = ~sum[{wide - 1}] & sum > {wide}'d{high};
  wire below = sum[{wide - 1}] & -sum > {wide}'d{low};
  wire [{wide - 1}:0] following = {_signed("code_3", width, wide)} + {_signed("gradient_3", width, wide)};
  always @(posedge clk) begin
    if (~begun) seen <= 0;
    else if (move) begin
      seen <= {{seen[1:0], 1'b1}};
      gradient_1 <= gradient;
      gradient_2 <= gradient_1;
      gradient_3 <= gradient_2;
      code_2 <= above ? {width}'d{high} : below ? {width}'d{low} : sum[{width - 1}:0];
      outside_2 <= above | below;
      code_3 <= code_2;
      outside_3 <= outside_2;
    end
  end
  wire ok_accumulates = ~begun | ((~seen[0] | dut_brought == gradient_1)
    & (~seen[1] | (dut_added == gradient_2 & dut_accumulated == code_2 & dut_was_outside == outside_2))
    & (~seen[2] | (code == code_3 & overflow == outside_3)));
  wire ok_magnitudes = ~begun | ~seen[2]
    | (magnitude == (code_3[{width - 1}] ? -code_3 : code_3)
    & {{1'b0, ahead}} == (following[{wide - 1}] ? -following : following));
""",
    ]
    return Harness(
        "element",
        harness_module(inputs, body, properties),
        properties,
        connections=tuple((f"dut_{net}", f"dut.{net}") for net in inside),
        depth=INDUCTION,
    )
