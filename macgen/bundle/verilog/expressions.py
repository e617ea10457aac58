"""Verilog expressions: what they are made from, and their text.

Every expression has exactly the width that its place asks for: what stands on both sides of an operator, in both arms
of a choice and on both sides of an assignment is equally wide, and unsigned. So the width of no context changes what
an operator gives, and no tool extends or cuts anything by itself.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

# Higher binds more closely (IEEE 1364-2001 table 5-4).
CHOICE, OR, XOR, AND, EQUAL, ORDER, SHIFT, SUM, PRODUCT, UNARY, PRIMARY = range(11)
_LEVELS = {
    "|": OR, "^": XOR, "&": AND, "==": EQUAL, "!=": EQUAL, "<": ORDER, "<=": ORDER, ">": ORDER, ">=": ORDER,
    "<<": SHIFT, ">>": SHIFT, "+": SUM, "-": SUM, "*": PRODUCT,
}  # fmt: skip
INVERSES = {"==": "!=", "!=": "==", "<": ">=", ">=": "<", ">": "<=", "<=": ">"}


@dataclass(frozen=True)
class Expression(ABC):
    """Anything with a width; `origin` is the cell that it was made from, if from one."""

    width: int
    origin: Any = field(default=None, kw_only=True, compare=False, repr=False)

    @property
    def level(self) -> int:
        """How closely its outermost operator binds."""
        return PRIMARY

    @property
    def parts(self) -> tuple["Expression", ...]:
        """What it is made of."""
        return ()

    @abstractmethod
    def text(self) -> str:
        """Return it on one line."""

    def within(self, level: int) -> str:
        """Return it as a part of something that binds so closely."""
        return self.text() if self.level >= level else f"({self.text()})"

    def walk(self) -> Iterator["Expression"]:
        """Yield it and all that it is made of."""
        yield self
        for part in self.parts:
            yield from part.walk()


@dataclass(frozen=True)
class Constant(Expression):
    """A number; `name` is that of a localparam."""

    value: int
    decimal: bool = False
    name: str = ""

    def text(self) -> str:
        if self.name:
            return self.name
        if self.width == 1:
            return f"1'b{self.value}"
        if self.decimal:
            return f"{self.width}'d{self.value}"
        if self.width <= 3:
            return f"{self.width}'b{self.value:0{self.width}b}"
        if self.value == 0:
            return f"{self.width}'h0"
        return f"{self.width}'h{self.value:0{(self.width + 3) // 4}x}"


@dataclass(frozen=True)
class Reference(Expression):
    """Bits `high` to `low` of a wire, or all of it."""

    name: str
    high: int
    low: int
    whole: bool

    def text(self) -> str:
        if self.whole:
            return self.name
        return f"{self.name}[{self.high}]" if self.high == self.low else f"{self.name}[{self.high}:{self.low}]"


@dataclass(frozen=True)
class Concatenation(Expression):
    """Parts next to each other, the highest first."""

    items: tuple[Expression, ...]

    @property
    def parts(self) -> tuple[Expression, ...]:
        return self.items

    def text(self) -> str:
        return "{" + ", ".join(item.text() for item in self.items) + "}"


@dataclass(frozen=True)
class Repetition(Expression):
    """An expression some times next to itself."""

    count: int
    item: Expression

    @property
    def parts(self) -> tuple[Expression, ...]:
        return (self.item,)

    def text(self) -> str:
        return f"{{{self.count}{{{self.item.text()}}}}}"


@dataclass(frozen=True)
class Unary(Expression):
    """`~`, `-`, or a reduction: `&`, `|`, `^`, `~&`, `~|`, `~^`."""

    operator: str
    operand: Expression

    @property
    def level(self) -> int:
        return UNARY

    @property
    def parts(self) -> tuple[Expression, ...]:
        return (self.operand,)

    @property
    def reduces(self) -> bool:
        """Whether it makes one bit of many."""
        return self.operator not in ("~", "-")

    def text(self) -> str:
        return self.operator + self.operand.within(PRIMARY)


@dataclass(frozen=True)
class Binary(Expression):
    """Two operands, or more of an operator that groups from the left."""

    operator: str
    operands: tuple[Expression, ...]

    @property
    def level(self) -> int:
        return _LEVELS[self.operator]

    @property
    def parts(self) -> tuple[Expression, ...]:
        return self.operands

    def operand_texts(self) -> list[str]:
        """Return its operands, with parentheses where they are not a matter of course."""
        return [self._operand(operand) for operand in self.operands]

    @staticmethod
    def _operand(operand: Expression) -> str:
        plain = operand.level == PRIMARY or (isinstance(operand, Unary) and operand.operator == "~")
        return operand.text() if plain else f"({operand.text()})"

    def text(self) -> str:
        return f" {self.operator} ".join(self.operand_texts())


@dataclass(frozen=True)
class Choice(Expression):
    """`condition ? if_true : if_false`."""

    condition: Expression
    if_true: Expression
    if_false: Expression

    @property
    def level(self) -> int:
        return CHOICE

    @property
    def parts(self) -> tuple[Expression, ...]:
        return (self.condition, self.if_true, self.if_false)

    def arms(self) -> tuple[list[tuple[str, str]], str]:
        """Return the conditions of a chain of choices with what is chosen, and what is if none holds."""
        chain: list[tuple[str, str]] = []
        last: Expression = self
        while isinstance(last, Choice):
            chain.append((last.condition.within(OR), last.if_true.within(OR)))
            last = last.if_false
        return chain, last.text()

    def text(self) -> str:
        chain, last = self.arms()
        return "".join(f"{condition} ? {chosen} : " for condition, chosen in chain) + last


@dataclass(frozen=True)
class Signed(Expression):
    """The same bits as a signed number; stands in comparisons only, which are of one bit."""

    operand: Expression

    @property
    def parts(self) -> tuple[Expression, ...]:
        return (self.operand,)

    def text(self) -> str:
        return f"$signed({self.operand.text()})"


# -- what is the same, said more simply --------------------------------------------------------------------------------


def concatenation(items: Sequence[Expression]) -> Expression:
    """Return expressions next to each other, the highest first; equal ones, and constants, are put together."""
    merged: list[Expression] = []
    for item in items:
        last = merged[-1] if merged else None
        if isinstance(item, Constant) and isinstance(last, Constant):
            merged[-1] = Constant(last.width + item.width, last.value << item.width | item.value)
        elif last is not None and item == (last.item if isinstance(last, Repetition) else last):
            count = last.count + 1 if isinstance(last, Repetition) else 2
            merged[-1] = Repetition(item.width * count, count, item)
        else:
            merged.append(item)
    if len(merged) == 1:
        return merged[0]
    merged = [_short_zeros(item) for item in merged]
    return Concatenation(sum(item.width for item in merged), tuple(merged))


def _short_zeros(item: Expression) -> Expression:
    if isinstance(item, Constant) and item.value == 0 and item.width > 3:
        return replace(item, decimal=True)
    return item


def negation(operand: Expression, origin: Any = None) -> Expression:
    """Return all bits inverted."""
    if isinstance(operand, Unary) and operand.operator == "~":
        return operand.operand
    if isinstance(operand, Unary) and operand.reduces:
        operator = operand.operator[1:] if operand.operator.startswith("~") else f"~{operand.operator}"
        return Unary(1, operator, operand.operand, origin=origin)
    if isinstance(operand, Binary) and operand.operator in INVERSES:
        return replace(operand, operator=INVERSES[operand.operator], origin=origin)
    if isinstance(operand, Constant):
        return Constant(operand.width, operand.value ^ ((1 << operand.width) - 1))
    return Unary(operand.width, "~", operand, origin=origin)


def chain(operator: str, operands: Sequence[Expression], origin: Any = None) -> Expression:
    """Return operands joined by `&`, `|` or `^`, which may be grouped in any way."""
    joined: list[Expression] = []
    for operand in operands:
        if isinstance(operand, Binary) and operand.operator == operator:
            joined += operand.operands
        else:
            joined.append(operand)
    if len(joined) == 1:
        return joined[0]
    return Binary(joined[0].width, operator, tuple(joined), origin=origin)


def reduction(operator: str, operand: Expression, origin: Any = None) -> Expression:
    """Return the bits joined by `&`, `|` or `^`."""
    if operand.width == 1:
        return operand
    if isinstance(operand, Repetition) and operator != "^":
        return reduction(operator, operand.item, origin)
    if isinstance(operand, Concatenation):
        # Constants that change nothing are left out.
        neutral = 1 if operator == "&" else 0
        items = [
            item
            for item in operand.items
            if not (isinstance(item, Constant) and item.value == neutral * ((1 << item.width) - 1))
        ]
        if items:
            return chain(operator, [reduction(operator, item) for item in items], origin)
    return Unary(1, operator, operand, origin=origin)


def equality(left: Expression, right: Expression, origin: Any = None) -> Expression:
    """Return whether two are equal; of several with a constant, each by itself where all are single bits."""
    if isinstance(left, Constant):
        left, right = right, left
    if isinstance(right, Constant):
        if left.width == 1:
            return left if right.value else negation(left)
        if isinstance(left, Concatenation) and all(item.width == 1 for item in left.items):
            places = range(left.width - 1, -1, -1)
            bits = [
                item if right.value >> place & 1 else negation(item)
                for item, place in zip(left.items, places, strict=True)
            ]
            return chain("&", bits, origin)
        right = replace(right, decimal=not right.name)
    return Binary(1, "==", (left, right), origin=origin)


def choice(condition: Expression, if_true: Expression, if_false: Expression, origin: Any = None) -> Expression:
    """Return one of two; by `&` and `|` where one of them is a constant bit."""
    if isinstance(condition, Unary) and condition.operator == "~":
        condition, if_true, if_false = condition.operand, if_false, if_true
    if if_true.width == 1:
        if isinstance(if_true, Constant):
            if isinstance(if_false, Constant) and if_true.value != if_false.value:
                return condition if if_true.value else negation(condition)
            operator, when = ("|", condition) if if_true.value else ("&", negation(condition))
            return chain(operator, [when, if_false], origin)
        if isinstance(if_false, Constant):
            operator, when = ("|", negation(condition)) if if_false.value else ("&", condition)
            return chain(operator, [when, if_true], origin)
    return Choice(if_true.width, condition, if_true, if_false, origin=origin)
