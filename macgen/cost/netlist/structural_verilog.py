"""Writes a mapped netlist as the plainest structural Verilog, which every timing analyser reads.

Nets are scalars, assignments join single bits, constants come from the library's tie cells where it has some.
Yosys's own writer joins nets by concatenations on the left of assignments, which OpenSTA refuses.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from macgen.cost.library.liberty import Library
from macgen.cost.netlist.cell_models import identifier

Bit = int | str


def structural_verilog(modules: Mapping[str, Any], top: str, library: Library) -> str:
    """Return the Verilog of a netlist of library cells.

    Parameters:
        modules: the modules of a mapped netlist in Yosys's JSON.
        top: the top module; only it and what it contains is written.
        library: the cells.
    """
    order: dict[str, None] = {}

    def visit(name: str) -> None:
        order[name] = None
        for cell in modules[name]["cells"].values():
            if cell["type"] in modules and cell["type"] not in order:
                visit(cell["type"])

    visit(top)
    ties = tie_cells(library)
    return "\n".join(line for name in order for line in _module(name, modules, library, ties))


def tie_cells(library: Library) -> dict[str, tuple[str, str]]:
    """Return for `0` and `1` the cell that drives this constant, and its output pin, as far as the library has them."""
    ties: dict[str, tuple[str, str]] = {}
    for cell in library.cells.values():
        if not cell.inputs and len(cell.outputs) == 1 and (function := cell.outputs[0].function) is not None:
            ties.setdefault(str(function.truth_table(())), (cell.name, cell.outputs[0].name))
    return ties


def _module(
    name: str, modules: Mapping[str, Any], library: Library, ties: Mapping[str, tuple[str, str]]
) -> Iterator[str]:
    module = modules[name]
    driven = _public_names(module)
    ports: Mapping[str, Any] = module["ports"]
    names = _Names(ports)
    nets: dict[Bit, str] = {}
    aliases: list[tuple[str, Bit]] = []
    for direction in ("input", "output"):
        for port, description in ports.items():
            if description["direction"] == direction:
                bits = description["bits"]
                for place, bit in enumerate(bits):
                    text = port if len(bits) == 1 else f"{port}[{place}]"
                    if isinstance(bit, str) or bit in nets:
                        aliases.append((text, bit))
                    else:
                        nets[bit] = text
    wires: list[str] = []
    instances: list[str] = []

    def text_of(bit: Bit) -> str:
        if isinstance(bit, str):
            bit = "1" if bit == "1" else "0"  # what is undefined is 0, as in the netlist simulation
        if bit not in nets:
            if isinstance(bit, str) and bit not in ties:
                return f"1'b{bit}"
            nets[bit] = names.plain(f"n{bit}" if isinstance(bit, int) else f"constant_{bit}")
            wires.append(nets[bit])
            if isinstance(bit, str):
                cell, pin = ties[bit]
                instances.append(f"  {cell} {names.plain(f'tie_{bit}')} (.{pin}({nets[bit]}));")
        return nets[bit]

    for original, cell in module["cells"].items():
        pins = ", ".join(
            f".{pin}({_concatenation([*map(text_of, bits)])})" for pin, bits in cell["connections"].items()
        )
        called = original
        if original.startswith("$") and cell["type"] in library.cells:
            outputs = (cell["connections"].get(pin.name, [None])[0] for pin in library.cells[cell["type"]].outputs)
            called = next((driven[bit] for bit in outputs if bit in driven), original)
        instances.append(f"  {identifier(cell['type'])} {names.plain(called)} ({pins});")
    assignments = [f"  assign {text} = {text_of(bit)};" for text, bit in aliases]
    yield f"module {name} ({', '.join(ports)});"
    for port, description in ports.items():
        width = len(description["bits"])
        yield f"  {description['direction']} {'' if width == 1 else f'[{width - 1}:0] '}{port};"
    yield from (f"  wire {wire};" for wire in wires)
    yield from instances
    yield from assignments
    yield "endmodule\n"


def _public_names(module: Mapping[str, Any]) -> dict[Bit, str]:
    """Return names that the design gave to nets: a cell that tools numbered is better known by what it drives."""
    found: dict[Bit, str] = {}
    for name, net in module.get("netnames", {}).items():
        if not net.get("hide_name"):
            for place, bit in enumerate(net["bits"]):
                if isinstance(bit, int):
                    found.setdefault(bit, name if len(net["bits"]) == 1 else f"{name}[{place}]")
    return found


def _concatenation(texts: Sequence[str]) -> str:
    """Join bits, given from the least significant one, as the argument of a pin."""
    return texts[0] if len(texts) == 1 else f"{{{', '.join(reversed(texts))}}}"


class _Names:
    """Plain identifiers within a module, as near to the given names as can be."""

    def __init__(self, taken: Iterable[str]) -> None:
        self._taken = set(taken)

    def plain(self, name: str) -> str:
        """Return an identifier, no keyword, that no earlier call has returned."""
        stem = re.sub(r"[^A-Za-z0-9_]+", "_", name).strip("_")
        # With a digit at its end it is no keyword.
        stem = stem if re.fullmatch(r"[A-Za-z].*\d", stem) else f"u_{stem}_0"
        candidate = stem
        count = 0
        while candidate in self._taken:
            count += 1
            candidate = f"{stem}_{count}"
        self._taken.add(candidate)
        return candidate
