"""Cells of a netlist as Verilog expressions."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from macgen.bundle.verilog.expressions import (
    Binary,
    Choice,
    Constant,
    Expression,
    Reference,
    Repetition,
    Signed,
    Unary,
    chain,
    choice,
    concatenation,
    equality,
    negation,
    reduction,
)
from macgen.bundle.verilog.netlist import BITWISE, MODULAR, Bit, Bits, Cell, Wire
from macgen.bundle.verilog.ownership import Ownership

_CHAINS = {"$and": "&", "$or": "|", "$xor": "^"}
_REDUCTIONS = {"$reduce_and": "&", "$reduce_or": "|", "$reduce_bool": "|", "$reduce_xor": "^"}
_OPERATORS = {
    "$add": "+", "$sub": "-", "$mul": "*", "$lt": "<", "$le": "<=", "$gt": ">", "$ge": ">=",
}  # fmt: skip


@dataclass(eq=False, slots=True)
class Logic:
    """Writes words of a netlist as expressions.

    Attributes:
        names: which wire a bit is read from; bits without an owner are written as what gives them.
        aliases: by its first bit, wires that own nothing but may be read where a word is just theirs.
        constants: by width and value, names of constants.
        ranges: by wire, its highest and lowest place, where these are known.
    """

    names: Ownership
    aliases: dict[Bit, list[Wire]] = field(default_factory=dict)
    constants: Mapping[tuple[int, int], str] = field(default_factory=dict)
    ranges: dict[str, tuple[int, int]] = field(default_factory=dict)
    _places: dict[Bit, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for cell in self.names.netlist.cells:
            self._places.update((bit, place) for place, bit in enumerate(cell.output))

    def word(self, bits: Bits, *, defining: Wire | None = None, aliases: bool = True) -> Expression:
        """Return the expression of a word.

        Parameters:
            bits: the word.
            defining: a wire that must not be read, as the word is what it is made of.
            aliases: whether wires may be read that own nothing.
        """
        items: list[Expression] = []
        position = 0
        while position < len(bits):
            item = self._item(bits[position:], defining, aliases)
            items.append(item)
            position += item.width
        items.reverse()
        result = concatenation(items)
        if isinstance(result, Constant) and (result.width, result.value) in self.constants:
            return replace(result, name=self.constants[result.width, result.value])
        return result

    def _item(self, bits: Bits, defining: Wire | None, aliases: bool) -> Expression:
        """Return the expression of the lowest bits of a word, as many as belong together."""
        first = bits[0]
        if first not in self.names.driver:  # a constant, or a bit that nobody reads
            for alias in self.aliases.get(first, ()) if aliases else ():
                if alias is not defining and bits[: len(alias.bits)] == alias.bits:
                    return self.reference(alias, len(alias.bits) - 1, 0)
            return Constant(1, int(first == "1"))
        wire, place = self.names.owner.get(first, (None, 0))
        if wire is not None and (wire is not defining or not isinstance(self.names.driver[first], Cell)):
            length = 1
            while length < len(bits) and self.names.owner.get(bits[length]) == (wire, place + length):
                length += 1
            if aliases:
                for alias in self.aliases.get(first, ()):
                    if alias is not defining and len(alias.bits) >= length and bits[: len(alias.bits)] == alias.bits:
                        return self.reference(alias, len(alias.bits) - 1, 0)
            return self.reference(wire, place + length - 1, place)
        cell = self.names.driver[first]
        assert isinstance(cell, Cell)
        low = self._places[first]
        length = 1
        while (
            length < len(bits)
            and low + length < len(cell.output)
            and bits[length] == cell.output[low + length]
            and self.names.owner.get(bits[length], (None, 0))[0] is wire
        ):
            length += 1
        return self.operation(cell, low, low + length)

    def reference(self, wire: Wire, high: int, low: int) -> Reference:
        """Return bits of a wire."""
        top, bottom = self.ranges.get(wire.name, (len(wire.bits) - 1, 0))
        return Reference(high - low + 1, wire.name, high, low, (high, low) == (top, bottom))

    def operation(self, cell: Cell, low: int, high: int) -> Expression:
        """Return what a cell does, for its output's bits from `low` up to but not with `high`.

        Of cells that are not bitwise these have to be all bits.
        """
        kind = cell.kind
        assert kind in BITWISE or (low, high) == (0, len(cell.output)), kind
        if kind in BITWISE:
            words = [self.word(word[low:high]) for word in cell.words]
            if kind == "$mux":
                return choice(self.word((cell.select,)), words[1], words[0], origin=cell)
            if kind == "$not":
                return negation(words[0], origin=cell)
            if kind == "$xnor":
                return negation(chain("^", words), origin=cell)
            return chain(_CHAINS[kind], words, origin=cell)
        words = [self.word(word) for word in cell.words]
        if kind in _REDUCTIONS:
            return reduction(_REDUCTIONS[kind], words[0], origin=cell)
        if kind == "$logic_not":
            return _is_zero(words[0], cell)
        if kind in ("$eq", "$ne"):
            equal = equality(words[0], words[1], origin=cell)
            return negation(equal, origin=cell) if kind == "$ne" else equal
        if kind == "$neg":
            return Unary(words[0].width, "-", words[0], origin=cell)
        if kind in MODULAR:
            words = [_decimal(word) for word in words]
            first = words[0]
            if kind == "$add" and isinstance(first, Binary) and first.operator == "+":
                words = [*first.operands, words[1]]  # it groups from the left
            return Binary(first.width, _OPERATORS[kind], tuple(words), origin=cell)
        if kind == "$shr":
            return Binary(words[0].width, ">>", tuple(words), origin=cell)
        words = [Signed(word.width, word) if cell.signed else _decimal(word) for word in words]
        return Binary(1, _OPERATORS[kind], tuple(words), origin=cell)


def _is_zero(word: Expression, cell: Cell) -> Expression:
    if word.width == 1:
        return negation(word, origin=cell)
    if isinstance(word, Reference | Choice | Binary | Repetition):
        return Binary(1, "==", (word, Constant(word.width, 0, decimal=True)), origin=cell)
    return negation(reduction("|", word), origin=cell)


def _decimal(word: Expression) -> Expression:
    """Show a constant that counts, and is not negative, in the ten's system."""
    if isinstance(word, Constant) and not word.name and word.width > 1 and word.value < 1 << (word.width - 1):
        return replace(word, decimal=True)
    return word
