"""Which results of cells get a wire of their own: those that several read, those too long to inline; and its name."""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from macgen.bundle.names import KEYWORDS
from macgen.bundle.verilog.expressions import Binary, Choice, Constant, Expression, Reference, Signed, Unary
from macgen.bundle.verilog.logic import Logic
from macgen.bundle.verilog.netlist import BITWISE, Bit, Bits, Cell, Wire
from macgen.bundle.verilog.ownership import Ownership

_JOINED = {
    "&": "and", "|": "or", "^": "xor", "+": "plus", "-": "minus", "*": "times", "==": "is", "!=": "is_not",
    "<": "below", "<=": "up_to", ">": "above", ">=": "from",
}  # fmt: skip
_ALONE = {
    "~": "not_{}", "-": "minus_{}", "&": "{}_all", "|": "{}_any", "^": "{}_parity", "~&": "{}_not_all", "~|": "{}_none",
}  # fmt: skip
_NOUNS = {
    "&": "both", "|": "either", "^": "differing", "+": "sum", "-": "difference", "*": "product", ">>": "shifted",
    "==": "equal", "!=": "unequal", "<": "less", "<=": "at_most", ">": "greater", ">=": "at_least",
}  # fmt: skip
_NAME_LENGTH = 28


@dataclass(eq=False, slots=True)
class Temporaries:
    """Gives wires to cells without an owner.

    Attributes:
        names: the owners so far; gets the new ones.
        logic: writes operands, for names that tell what is done.
        roots: words that are read by other than cells, each with the name of what it makes.
        forced: cells to give a wire although only one reads them.
    """

    names: Ownership
    logic: Logic
    roots: list[tuple[str, Bits]]
    forced: set[Cell]
    _taken: set[str] = field(default_factory=set)
    _readers: dict[Cell, list[Cell | str]] = field(default_factory=lambda: defaultdict(list))

    def give(self, reserved: Iterable[str]) -> None:
        """Make the wires; `reserved` are names that they must not have."""
        self._taken = set(reserved)
        for name, word in self.roots:
            self._read(name, word)
        for cell in self.names.netlist.cells:
            self._read(cell, cell.inputs())
        order = _from_sources(self.names)
        for cell in self._to_be_named(order):
            missing = tuple(
                bit for bit in cell.output if bit not in self.names.owner and bit in self.names.netlist.live
            )
            wire = Wire(self._name(cell), missing)
            self.names.netlist.wires[wire.name] = wire
            self.names.owners[wire.name] = wire
            self.names.owner.update((bit, (wire, place)) for place, bit in enumerate(missing))

    def _to_be_named(self, order: list[Cell]) -> list[Cell]:
        """Return cells that get wires, sources first."""
        owner, live = self.names.owner, self.names.netlist.live
        uses: dict[Cell, list[tuple[int, int]]] = defaultdict(list)
        places = {bit: place for cell in order for place, bit in enumerate(cell.output)}

        def use(word: Bits) -> None:
            position = 0
            while position < len(word):
                bit = word[position]
                cell = self.names.driver.get(bit)
                if bit in owner or not isinstance(cell, Cell):
                    position += 1
                    continue
                low = places[bit]
                length = 1
                while word[position + length : position + length + 1] == cell.output[
                    low + length : low + length + 1
                ] != (()) and (word[position + length] not in owner):
                    length += 1
                if len(cell.output) == 1:  # a bit next to itself is written as one
                    while position + length < len(word) and word[position + length] == bit:
                        length += 1
                uses[cell].append((low, low + min(length, len(cell.output))))
                position += length

        for _, word in self.roots:
            use(word)
        named = []
        for cell in reversed(order):
            slices = list(_owned_runs(cell, self.names))
            free = [place for place, bit in enumerate(cell.output) if bit not in owner and bit in live]
            if free:
                found = uses[cell]
                whole = found == [(0, len(cell.output))] and len(free) == len(cell.output)
                complete = cell.kind in BITWISE or all(bit in live for bit in cell.output)
                if (cell.kind == "$not" or (whole and complete)) and cell not in self.forced:
                    slices += found
                else:
                    named.append(cell)
                    slices.append((free[0], free[-1] + 1))
            for low, high in slices:
                for word in cell.words:
                    use(word[low:high] if cell.kind in BITWISE else word)
                if cell.kind == "$mux":
                    use((cell.select,))
        return named[::-1]

    def _read(self, reader: Cell | str, bits: Iterable[Bit]) -> None:
        """Note what reads the cells that give some bits."""
        for driver in dict.fromkeys(self.names.driver.get(bit) for bit in bits):
            if isinstance(driver, Cell):
                self._readers[driver].append(reader)

    # -- names ---------------------------------------------------------------------------------------------------------

    def _name(self, cell: Cell) -> str:
        for weak in self.names.weak:
            if weak not in self.names.owners and self.names.netlist.wires[weak].bits == cell.output:
                return weak
        expression = self.logic.operation(cell, 0, len(cell.output))
        told = _told(expression)
        if told is not None and len(told) <= _NAME_LENGTH:
            return self._unique(told)
        return self._unique(f"{self._consumer(cell)}_{_noun(expression)}")

    def _consumer(self, cell: Cell) -> str:
        """Return the name of the nearest named thing that a cell's result goes into."""
        seen: set[Cell] = {cell}
        level: list[Cell] = [cell]
        while level:
            following: list[Cell] = []
            for reader in (reader for reached in level for reader in self._readers[reached]):
                if isinstance(reader, str):
                    return reader
                if (owned := next((bit for bit in reader.output if bit in self.names.owner), None)) is not None:
                    return self.names.owner[owned][0].name
                if reader not in seen:
                    seen.add(reader)
                    following.append(reader)
            level = following
        return self.names.netlist.name

    def _unique(self, name: str) -> str:
        unique, number = name, 2
        while unique in self._taken or unique in KEYWORDS or unique.startswith("unused"):
            unique, number = f"{name}_{number}", number + 1
        self._taken.add(unique)
        return unique


def _told(expression: Expression) -> str | None:
    """Return a name that tells what is done with what."""
    match expression:
        case Binary(operator=operator, operands=(left, right)) if operator in _JOINED:
            names = (_as_name(left), str(right.value) if isinstance(right, Constant) else _as_name(right))
            return None if None in names else f"{names[0]}_{_JOINED[operator]}_{names[1]}"
        case Unary(operator=operator, operand=operand) if (name := _as_name(operand)) is not None:
            return _ALONE[operator].format(name)
    return None


def _noun(expression: Expression) -> str:
    """Return a word for what an expression is."""
    match expression:
        case Binary(operator=operator):
            return _NOUNS[operator]
        case Unary(operator=operator):
            return _ALONE[operator].strip("{}_")
        case Choice():
            return "chosen"
    return "part"


def _as_name(word: Expression) -> str | None:
    """Return what an operand is called in a name."""
    match word:
        case Unary(operator="~", operand=Reference()):
            return f"not_{_as_name(word.operand)}"
        case Signed(operand=operand):
            return _as_name(operand)
        case Reference():
            return re.sub(r"\W+|__+", "_", word.text()).strip("_")
    return None


def _owned_runs(cell: Cell, names: Ownership) -> Iterator[tuple[int, int]]:
    """Yield the runs of places of a cell's output that one owner each has; all of it, if it is not bitwise."""
    owned = [names.owner.get(bit, (None, 0)) for bit in cell.output]
    if cell.kind not in BITWISE:
        if any(wire is not None for wire, _ in owned):
            yield 0, len(owned)
        return
    start = 0
    for place in range(1, len(owned) + 1):
        wire, position = owned[start]
        if place == len(owned) or owned[place] != (wire, position + place - start):
            if wire is not None:
                yield start, place
            start = place


def _from_sources(names: Ownership) -> list[Cell]:
    """Return all cells, those that give something before those that take it."""
    order: list[Cell] = []
    state: dict[Cell, bool] = {}
    for root in names.netlist.cells:
        stack: list[tuple[Cell, Iterator[Bit]]] = []
        if root not in state:
            state[root] = False
            stack.append((root, root.inputs()))
        while stack:
            cell, inputs = stack[-1]
            for bit in inputs:
                driver = names.driver.get(bit)
                if isinstance(driver, Cell) and driver not in state:
                    state[driver] = False
                    stack.append((driver, driver.inputs()))
                    break
            else:
                stack.pop()
                state[cell] = True
                order.append(cell)
    return order
