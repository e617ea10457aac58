"""Boolean expressions in Liberty's syntax, evaluated on Python integers or on arrays of machine words alike."""

import itertools
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from macgen.errors import MacgenError, shown

_DEEPEST = 40  # parentheses within parentheses; real libraries need about four

_TOKEN = re.compile(r"""\s*(?:(?P<name>[A-Za-z_$][\w$]*(?:\[\d+\])?|[01](?!\w))|(?P<sign>['!^&*|+()]))""")


@dataclass(frozen=True)
class Expression:
    """A Boolean expression as a postfix program: variable names, the constants `0` and `1`, and `!`, `&`, `|`, `^`."""

    program: tuple[str, ...]

    @property
    def variables(self) -> tuple[str, ...]:
        """Names of the variables, each once, in the order of first use."""
        return tuple(dict.fromkeys(token for token in self.program if token not in "!&|^01"))

    def evaluate(self, values: Mapping[str, Any], ones: Any) -> Any:
        """Return the value, bit by bit.

        Parameters:
            values: value of each variable; integers or NumPy arrays of one unsigned type.
            ones: a word with all bits set, which bounds the complement.
        """
        stack: list[Any] = []
        for token in self.program:
            if token == "!":
                stack.append(stack.pop() ^ ones)
            elif token in "&|^":
                right, left = stack.pop(), stack.pop()
                stack.append(left & right if token == "&" else left | right if token == "|" else left ^ right)
            elif token in "01":
                stack.append(ones if token == "1" else ones ^ ones)
            else:
                stack.append(values[token])
        return stack[0]

    def truth_table(self, variables: tuple[str, ...]) -> int:
        """Return the value for every assignment; bit i is the one where bit j of i is the value of variable j."""
        rows = 1 << len(variables)
        masks = (sum(1 << row for row in range(rows) if row >> place & 1) for place in range(len(variables)))
        return int(self.evaluate(dict(zip(variables, masks, strict=True)), (1 << rows) - 1))

    def is_equivalent(self, other: "Expression") -> bool:
        """Whether another expression has the same value up to a renaming of its variables (few variables only)."""
        mine, theirs = self.variables, other.variables
        if len(mine) != len(theirs):
            return False
        table = self.truth_table(mine)
        return any(other.truth_table(order) == table for order in itertools.permutations(theirs))


@cache
def parse(text: str) -> Expression:
    """Return the expression that a Liberty `function`, `when`, `next_state` ... string denotes.

    Not is `!A` or `A'`; then, from strong to weak: `A ^ B`, `A & B` (also `A * B` and `A B`), `A | B` (also `A + B`).

    Raises:
        MacgenError: the text is no such expression.
    """
    tokens: list[str] = []
    position = 0
    end = len(text.rstrip())
    while position < end:
        match = _TOKEN.match(text, position)
        if match is None:
            raise MacgenError(f"Boolean expression {shown(text)} has an unexpected {text[position:].strip()[0]!r}")
        tokens.append(match["name"] or match["sign"])
        position = match.end()
    if max(itertools.accumulate(((token == "(") - (token == ")") for token in tokens), initial=0)) > _DEEPEST:
        raise MacgenError(f"Boolean expression {shown(text)} has parentheses nested more than {_DEEPEST} deep")
    program: list[str] = []
    rest = _or(tokens, 0, program, text)
    if rest != len(tokens):
        raise MacgenError(f"Boolean expression {shown(text)} has an unexpected {tokens[rest]!r}")
    return Expression(tuple(program))


def _or(tokens: list[str], at: int, program: list[str], text: str) -> int:
    at = _and(tokens, at, program, text)
    while at < len(tokens) and tokens[at] in "|+":
        at = _and(tokens, at + 1, program, text)
        program.append("|")
    return at


def _and(tokens: list[str], at: int, program: list[str], text: str) -> int:
    at = _xor(tokens, at, program, text)
    while at < len(tokens) and tokens[at] not in "|+)":
        at = _xor(tokens, at + 1 if tokens[at] in "&*" else at, program, text)
        program.append("&")
    return at


def _xor(tokens: list[str], at: int, program: list[str], text: str) -> int:
    at = _not(tokens, at, program, text)
    while at < len(tokens) and tokens[at] == "^":
        at = _not(tokens, at + 1, program, text)
        program.append("^")
    return at


def _not(tokens: list[str], at: int, program: list[str], text: str) -> int:
    inverted = False
    while at < len(tokens) and tokens[at] == "!":
        inverted, at = not inverted, at + 1
    if at == len(tokens):
        raise MacgenError(f"Boolean expression {shown(text)} ends where an operand is expected")
    if tokens[at] == "(":
        at = _or(tokens, at + 1, program, text)
        if at == len(tokens) or tokens[at] != ")":
            raise MacgenError(f"Boolean expression {shown(text)} lacks a closing parenthesis")
    elif tokens[at] in "&*|+^')":
        raise MacgenError(f"Boolean expression {shown(text)} has an unexpected {tokens[at]!r}")
    else:
        program.append(tokens[at])
    at += 1
    while at < len(tokens) and tokens[at] == "'":
        inverted, at = not inverted, at + 1
    if inverted:
        program.append("!")
    return at
