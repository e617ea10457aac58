"""Small Verilog designs and hand-written netlists that several tests of the flow use."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

GRID = """
module grid(input clk, input rst, input [7:0] a, input [7:0] b, output [47:0] sums);
  // Row i multiplies the i-th nibble of a, column j the j-th nibble of b.
  wire [11:0] s00, s01, s10, s11;
  unit u00(.clk(clk), .rst(rst), .a(a[3:0]), .b(b[3:0]), .sum(s00));
  unit u01(.clk(clk), .rst(rst), .a(a[3:0]), .b(b[7:4]), .sum(s01));
  unit u10(.clk(clk), .rst(rst), .a(a[7:4]), .b(b[3:0]), .sum(s10));
  unit u11(.clk(clk), .rst(rst), .a(a[7:4]), .b(b[7:4]), .sum(s11));
  gather g(.clk(clk), .in({s11, s10, s01, s00}), .out(sums));
endmodule

module gather(input clk, input [47:0] in, output reg [47:0] out);
  always @(posedge clk) out <= in;
endmodule

module unit(input clk, input rst, input [3:0] a, input [3:0] b, output reg [11:0] sum);
  wire [7:0] product;
  times t(.a(a), .b(b), .p(product));
  always @(posedge clk) if (rst) sum <= 12'd0; else sum <= sum + product;
endmodule

module times(input [3:0] a, input [3:0] b, output [7:0] p);
  assign p = a * b;
endmodule
"""
"""A 2 x 2 array of multiply-accumulate units, each with a submodule, and a top level with registers of its own."""


def verilog(directory: Path, text: str) -> list[Path]:
    """Write a Verilog file, and return it as a list of sources."""
    path = directory / "source.v"
    path.write_text(text)
    return [path]


Connections = Mapping[str, int | str]


def module(
    ports: Mapping[str, tuple[str, Sequence[int | str]]],
    cells: Sequence[tuple[str, Mapping[str, int | str | Sequence[int | str]]]],
    init: Mapping[int, str] | None = None,
) -> dict[str, Any]:
    """A module of Yosys's JSON; cells are pairs of type and connections, one net or several for each pin."""
    return {
        "attributes": {},
        "ports": {name: {"direction": direction, "bits": list(bits)} for name, (direction, bits) in ports.items()},
        "cells": {
            f"cell{place}": {
                "type": kind,
                "connections": {pin: [net] if isinstance(net, int | str) else list(net) for pin, net in pins.items()},
            }
            for place, (kind, pins) in enumerate(cells)
        },
        "netnames": {
            f"net{net}": {"bits": [net], "attributes": {"init": value}} for net, value in (init or {}).items()
        },
    }


def netlist_file(directory: Path, **modules: Mapping[str, Any]) -> Path:
    """Write modules as Yosys's JSON."""
    path = directory / "netlist.json"
    path.write_text(json.dumps({"modules": modules}))
    return path
