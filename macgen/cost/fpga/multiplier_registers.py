"""Registers round ECP5's multiplier blocks move into them: Yosys does this for other families, but not for ECP5.

A block has registers at its inputs and at its output. Without them a signal goes through the block and the wires to and
from it in one cycle, at some 145 MHz with speed grade 6.
"""

from collections import defaultdict
from typing import Any

_BLOCK = "MULT18X18D"
_FLIP_FLOP = "TRELLIS_FF"
_WIDTH = {"A": 18, "B": 18, "P": 36}

_PLAIN = {"CLKMUX": "CLK", "LSRMUX": "LSR", "REGSET": "RESET"}


def move_registers_into_multipliers(module: dict[str, Any]) -> int:
    """Use the blocks' own registers in a flat netlist of Yosys's JSON, and return how many flip-flops are gone.

    A register moves if it has neither an enable nor a reset and begins with 0, as a block's does. A product's has to be
    the only reader of the product. A factor's stays where others read it, too; the block then has its own.

    Parameters:
        module: the netlist, which is changed.
    """
    cells: dict[str, Any] = module["cells"]
    driver: dict[int, str] = {}
    readers: dict[int, list[str]] = defaultdict(list)
    for name, cell in cells.items():
        for port, bits in cell["connections"].items():
            for bit in bits:
                if isinstance(bit, int):
                    if cell["port_directions"][port] == "output":
                        driver[bit] = name
                    else:
                        readers[bit].append(name)
    for port in module["ports"].values():
        for bit in port["bits"]:
            if isinstance(bit, int):
                readers[bit].append("")

    def registers(names: list[str]) -> list[Any] | None:
        """Return flip-flops if they are that, plain, and of one clock."""
        found = [cells.get(name) for name in names if name not in removed]
        plain = [cell for cell in found if cell is not None and _is_plain(cell)]
        clocks = {cell["connections"]["CLK"][0] for cell in plain}
        return plain if len(plain) == len(names) and len(clocks) == 1 else None

    removed: set[str] = set()
    for block in [cell for cell in cells.values() if cell["type"] == _BLOCK]:
        for side, width in _WIDTH.items():
            wires = block["connections"]
            bits = {f"{side}{place}": wires[f"{side}{place}"][0] for place in range(width) if f"{side}{place}" in wires}
            if side == "P":
                used = {port: readers[bit] for port, bit in bits.items() if isinstance(bit, int) and readers[bit]}
                if any(len(names) != 1 for names in used.values()):
                    continue
                flip_flops = registers([names[0] for names in used.values()])
                register, inner, outer = "REG_OUTPUT_CLK", "DI", "Q"
            else:
                used = {port: [driver.get(bit, "")] for port, bit in bits.items() if bit != "0"}
                flip_flops = registers([names[0] for names in used.values()])
                register, inner, outer = f"REG_INPUT{side}_CLK", "Q", "DI"
            if not flip_flops or not _takes_clock(block, flip_flops[0]["connections"]["CLK"][0]):
                continue
            if any(bits[port] != cell["connections"][inner][0] for port, cell in zip(used, flip_flops, strict=True)):
                continue  # the product's reader takes it elsewhere
            for port, cell in zip(used, flip_flops, strict=True):
                wires[port] = [cell["connections"][outer][0]]
            wires["CLK0"] = list(flip_flops[0]["connections"]["CLK"])
            wires |= {"CE0": ["1"], "RST0": ["0"]}
            block["port_directions"] |= dict.fromkeys(("CLK0", "CE0", "RST0"), "input")
            block["parameters"][register] = "CLK0"
            if side == "P":
                removed |= {names[0] for names in used.values()}
            else:
                for bit, name in {bits[port]: names[0] for port, names in used.items()}.items():
                    reads = any(bit in others for others in wires.values())  # as the other factor
                    readers[bit] = [reader for reader in readers[bit] if reads or cells.get(reader) is not block]
                    if not readers[bit]:
                        removed.add(name)
    for name in removed:
        del cells[name]
    return len(removed)


def _is_plain(cell: Any) -> bool:
    values = {name: str(value).strip() for name, value in cell["parameters"].items()}
    wires = cell["connections"]
    return (
        cell["type"] == _FLIP_FLOP
        and values.get("CEMUX", "1") == "1"
        and all(values.get(name, value) == value for name, value in _PLAIN.items())
        and wires.get("LSR", ["0"]) == ["0"]
        and "CE" not in wires
    )


def _takes_clock(block: Any, clock: int) -> bool:
    return bool(block["connections"].get("CLK0", [clock]) == [clock])
