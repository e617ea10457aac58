"""Verilog that is written around emitted modules for proofs: modules, instances, packed vectors, delays."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from amaranth.hdl import Shape
from amaranth.lib import wiring

Ports = Mapping[str, tuple[str, int]]
"""Port name to direction and width."""


# -- modules -----------------------------------------------------------------------------------------------------------


def module(name: str, ports: Ports, body: str) -> str:
    """Return a module with a body, whose lines are indented."""
    declared = ",\n".join(f"  {direction} wire [{width - 1}:0] {port}" for port, (direction, width) in ports.items())
    return f"module {name}(\n{declared}\n);\n{body}endmodule\n"


def instance(module: str, name: str, connections: Mapping[str, str]) -> str:
    """Return an instance with its connections, port to net."""
    ports = ", ".join(f".{port}({net})" for port, net in connections.items())
    return f"  {module} {name}({ports});\n"


def wire(name: str, width: int) -> str:
    """Return the declaration of a wire."""
    return f"  wire [{width - 1}:0] {name};\n"


def delayed(signal: str, cycles: int, reset: bool, width: int = 1) -> str:
    """Return registers `<signal>_1` ... that hold a signal's value of so many cycles before."""
    text = f"  wire [{width - 1}:0] {signal}_0 = {signal};\n"
    for cycle in range(1, cycles + 1):
        before = f"{signal}_{cycle - 1}"
        value = f"begun ? {before} : {width}'d0" if reset else before
        text += f"  reg [{width - 1}:0] {signal}_{cycle};\n  always @(posedge clk) {signal}_{cycle} <= {value};\n"
    return text


def joined(parts: Iterable[str]) -> str:
    """Return a concatenation, the first part highest."""
    return f"{{{', '.join(parts)}}}"


def part(vector: str, index: int, width: int) -> str:
    """Return the slice of a vector that is its element of this index."""
    return f"{vector}[{(index + 1) * width - 1}:{index * width}]"


def conjunction(parts: Sequence[str]) -> str:
    """Return the conjunction of conditions of one bit each, a line each; flat, since there may be many."""
    return "(&{" + ",\n    ".join(parts) + "})"


def decoded(bit: str, vector: str, bits: int, before: str = "") -> str:
    """Return Verilog for the bit that all of a vector's bits are; any bit where they disagree."""
    return (
        before + f"  wire [{bits - 1}:0] {bit}_bits = {vector};\n"
        f"  (* anyseq *) wire {bit}_any;\n"
        f"  wire {bit} = &{bit}_bits ? 1'b1 : ~|{bit}_bits ? 1'b0 : {bit}_any;\n"
    )


# -- interfaces --------------------------------------------------------------------------------------------------------


def width_of(signature: wiring.Signature) -> int:
    """Return the width of a vector that holds all members of an interface."""
    return sum(member_width(item) for item in signature.members.values())


def member_width(item: Any) -> int:
    """Return the width of a signature's member."""
    width: int = Shape.cast(item.shape).width
    return width


def wires(bundle: str, signature: wiring.Signature) -> str:
    """Return the declarations of wires `<bundle>__<member>`, one for each member."""
    return "".join(wire(f"{bundle}__{key}", member_width(item)) for key, item in signature.members.items())


def to_wires(interface: str, bundle: str, signature: wiring.Signature) -> dict[str, str]:
    """Return the connections of an interface's ports with such wires."""
    return {f"{interface}__{key}": f"{bundle}__{key}" for key in signature.members}


def to_vector(interface: str, vector: str, signature: wiring.Signature) -> dict[str, str]:
    """Return the connections of an interface's ports with the parts of a vector, the first member lowest."""
    connections, low = {}, 0
    for key, item in signature.members.items():
        connections[f"{interface}__{key}"] = f"{vector}[{low + member_width(item) - 1}:{low}]"
        low += member_width(item)
    return connections
