"""Which results of cells get a wire of their own, and its name: those that several read, and those too long to inline."""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from macgen.bundle.verilog.expressions import Constant, Expression, Reference, Unary
from macgen.bundle.verilog.logic import Logic
from macgen.bundle.verilog.netlist import BITWISE, Bit, Bits, Cell, Wire
from macgen.bundle.verilog.ownership import Ownership

_JOINED = {
    "$and": "and", "$or": "or", "$xor": "xor", "$xnor": "xnor", "$add": "plus", "$sub": "minus", "$mul": "times",
    "$eq": "is", "$ne": "is_not", "$lt": "below", "$le": "up_to", "$gt": "above", "$ge": "from",
}  # fmt: skip
_ALONE = {
    "$not": "not_{}", "$neg": "minus_{}", "$reduce_and": "{}_all", "$reduce_or": "{}_any", "$reduce_bool": "{}_any",
    "$reduce_xor": "{}_parity", "$logic_not": "{}_is_zero", "$shr": "{}_shifted",
}  # fmt: skip
_NOUNS = {
    "$and": "both", "$or": "either", "$xor": "differing", "$xnor": "same", "$mux": "chosen", "$add": "sum",
    "$sub": "difference", "$mul": "product", "$neg": "negated", "$shr": "shifted", "$not": "inverse",
    "$reduce_and": "all", "$reduce_or": "any", "$reduce_bool": "any", "$reduce_xor": "parity", "$logic_not": "none",
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
    _readers: dict[Bit, list[Cell | str]] = field(default_factory=lambda: defaultdict(list))

    def give(self, reserved: Iterable[str]) -> None:
        """Make the wires; `reserved` are names that they must not have."""
        self._taken = set(reserved)
        for name, word in self.roots:
            for bit in word:
                self._readers[bit].append(name)
        for cell in self.names.netlist.cells:
            for bit in cell.inputs():
                self._readers[bit].append(cell)
        order = _from_sources(self.names)
        for cell in self._to_be_named(order):
            missing = tuple(
                bit for bit in cell.output if bit not in self.names.owner and bit in self.names.netlist.live
            )
            wire = Wire(self._unique(self._name(cell)), missing)
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

    # -- names ---------------------------------------------------------------------------------------------------------

    def _name(self, cell: Cell) -> str:
        for weak in self.names.weak:
            if self.names.netlist.wires[weak].bits == cell.output and weak not in self._taken:
                return weak
        told = self._told(cell)
        if told is not None and len(told) <= _NAME_LENGTH:
            return told
        return f"{self._consumer(cell)}_{_NOUNS.get(cell.kind, 'holds')}"

    def _told(self, cell: Cell) -> str | None:
        """Return a name that tells what a cell does with what."""
        words = [_as_name(self.logic.word(word), index) for index, word in enumerate(cell.words)]
        if None in words or cell.kind == "$mux":
            return None
        if cell.kind in _ALONE:
            return _ALONE[cell.kind].format(words[0])
        return f"{words[0]}_{_JOINED[cell.kind]}_{words[1]}"

    def _consumer(self, cell: Cell) -> str:
        """Return the name of the nearest named thing that a cell's result goes into."""
        seen: set[Cell] = {cell}
        level: list[Cell] = [cell]
        while level:
            following: list[Cell] = []
            for reached in level:
                for bit in reached.output:
                    for reader in self._readers[bit]:
                        if isinstance(reader, str):
                            return reader
                        owned = [self.names.owner[bit][0].name for bit in reader.output if bit in self.names.owner]
                        if owned:
                            return owned[0]
                        if reader not in seen:
                            seen.add(reader)
                            following.append(reader)
            level = following
        return self.names.netlist.name

    def _unique(self, name: str) -> str:
        unique, number = name, 2
        while unique in self._taken:
            unique, number = f"{name}_{number}", number + 1
        self._taken.add(unique)
        return unique


def _as_name(word: Expression, index: int) -> str | None:
    """Return what an operand is called in a name."""
    if isinstance(word, Unary) and word.operator == "~" and isinstance(word.operand, Reference):
        return f"not_{_as_name(word.operand, 0)}"
    if isinstance(word, Constant) and index:
        return str(word.value) if not word.name else word.name.lower()
    if isinstance(word, Reference):
        text = word.text()
        return re.sub(r"_+", "_", re.sub(r"[\[\]:]", "_", text)).strip("_")
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
