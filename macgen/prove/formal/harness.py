"""What the formal proofs share: their description, and the streams around an array."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from macgen.prove.verilog_text import Ports, module
from macgen.spec import MacSpec


@dataclass(frozen=True)
class Property:
    """One claim.

    Attributes:
        name: short, an identifier: the harness drives `ok_<name>`, which is never 0.
        claim: what is claimed, in words.
    """

    name: str
    claim: str


@dataclass(frozen=True)
class Harness:
    """What one run of the solver proves.

    Attributes:
        name: of the proof.
        verilog: the top module `harness`, and modules that replace emitted ones.
        properties: what it claims.
        replaced: emitted modules of which it has its own version.
        connections: pairs of signals to connect after flattening: one without a driver, its driver.
        depth: length up to which temporal induction is tried; 0: property directed reachability, which finds
            invariants itself;
            None: the properties are combinational.
        cycles: how many cycles a combinational property's addition takes.
        unproved: sentences on what of the spec the properties leave out.
    """

    name: str
    verilog: str
    properties: tuple[Property, ...]
    replaced: tuple[str, ...] = ()
    connections: tuple[tuple[str, str], ...] = ()
    depth: int | None = 0
    cycles: int = 1
    unproved: tuple[str, ...] = ()


# Any state at all, then one cycle of reset.
BEGUN = """\
  reg begun = 0;
  always @(posedge clk) begun <= 1;
"""


def clocks(ports: Ports) -> dict[str, str]:
    """Return the connections of a module's clock, reset and clock enable: one cycle of reset, every edge counts."""
    nets = dict.fromkeys(("clk", "aclk"), "clk") | {"rst": "~begun"} | dict.fromkeys(("rst_n", "aresetn"), "begun")
    nets |= dict.fromkeys(("clk_en", "aclken"), "1'b1")
    return {port: net for port, net in nets.items() if port in ports}


def source() -> str:
    """Return Verilog for a source of beats that keeps what it offers until it is taken, as stream protocols demand."""
    return """\
  reg a_held = 0, b_held = 0, held_first, held_last;
  wire a_valid = a_held | a_offer;
  wire b_valid = b_held | b_offer;
  wire a_first = a_held ? held_first : first_offer;
  wire a_last = a_held ? held_last : last_offer;
  always @(posedge clk) begin
    a_held <= begun & a_valid & ~a_ready;
    b_held <= begun & b_valid & ~b_ready;
    held_first <= a_first;
    held_last <= a_last;
  end
"""


def slots(turns: int) -> str:
    """Return Verilog that counts the turns' slots from reset on; `mine` says that it is that of `watched`, any turn."""
    if turns == 1:
        return "  wire watched = 1'b0, slot = 1'b0, mine = 1'b1;\n"
    bits, last = (turns - 1).bit_length(), turns - 1
    return f"""\
  (* anyconst *) wire [{bits - 1}:0] watched;
  reg [{bits - 1}:0] slot = 0;
  always @(posedge clk) slot <= ~begun | slot == {last} ? {bits}'d0 : slot + {bits}'d1;
  wire mine = slot == watched;
"""


def rounds(turns: int) -> str:
    """Return Verilog that counts the turns of the beats that `accept` says are taken, and knows the round's marks."""
    if turns == 1:
        counter = "  wire turn = 1'b0;\n"
    else:
        bits, last = (turns - 1).bit_length(), turns - 1
        counter = f"  reg [{bits - 1}:0] turn = 0;\n"
        counter += f"  always @(posedge clk) if (accept) turn <= turn == {last} ? {bits}'d0 : turn + {bits}'d1;\n"
    return (
        counter
        + f"""\
  wire opens = turn == 0, closes = turn == {turns - 1};
  reg opened_first, opened_last;
  always @(posedge clk) if (accept & opens) begin opened_first <= a_first; opened_last <= a_last; end
  wire first_c = opens ? a_first : opened_first;
  wire last_c = opens ? a_last : opened_last;
"""
    )


SOURCE_INPUTS = {"a_offer": 1, "b_offer": 1, "first_offer": 1, "last_offer": 1}


def harness_module(inputs: Mapping[str, int], body: Iterable[str], properties: Sequence[Property]) -> str:
    """Return the module `harness`, which asserts `ok_<name>` of each property."""
    ports = {"clk": ("input", 1), **{name: ("input", width) for name, width in inputs.items()}}
    checks = "".join(f"  always @* check_{item.name}: assert (ok_{item.name});\n" for item in properties)
    return module("harness", ports, "".join(body) + checks)


def sampled_mode(spec: MacSpec, bits: int) -> str:
    """Return Verilog for the mode `mode_c` of the offered beat, `tile_mode` that of the last one taken.

    It needs `a_mode`, `opens`, `accept` and whether a beat starts dot products, `start`.
    """
    last = len(spec.modes)
    beyond = f"a_mode > {last} ? {bits}'d0 : a_mode" if last + 1 < 1 << bits else "a_mode"
    return f"""\
  reg [{bits - 1}:0] tile_mode = 0;
  wire [{bits - 1}:0] mode_c = opens & start ? ({beyond}) : tile_mode;
  always @(posedge clk) tile_mode <= ~begun ? {bits}'d0 : accept ? mode_c : tile_mode;
"""


def marks_of(ports: Ports, prefix: str) -> list[str]:
    """Return the names of the control marks among ports, without the prefix."""
    return [port[len(prefix) :] for port in ports if port.startswith(prefix)]
