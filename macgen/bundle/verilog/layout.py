"""Expressions and statements as lines of text."""

import textwrap
from collections.abc import Sequence

from macgen.bundle.verilog.expressions import OR, PRIMARY, Binary, Choice, Concatenation, Expression, Unary

WIDTH = 120
"""Characters of a line."""
INDENT = "  "
_MANY = 6
COMMENT_WIDTH = 118
"""The same of a line with a comment."""


def statement(head: str, expression: Expression, indent: str, end: str = ";") -> list[str]:
    """Return the lines of `head expression end`, broken at the outermost operators where one line is too short."""
    return _broken(f"{head} ", expression, end, indent)


def _broken(head: str, expression: Expression, tail: str, indent: str) -> list[str]:
    flat = f"{indent}{head}{expression.text()}{tail}"
    if len(flat) <= WIDTH:
        return [flat]
    inner = indent + INDENT
    match expression:
        case Concatenation(items=items):
            return [f"{indent}{head}{{", *_listed(items, inner), f"{indent}}}{tail}"]
        case Unary(operator=operator, operand=operand) if operand.parts:
            return _broken(f"{head}{operator}(", operand, f"){tail}", indent)
        case Choice():
            parts = _arms(expression, inner)
        case Binary(operator=operator, operands=operands):
            parts = _operands(operator, operands, inner)
        case _:
            return [flat]
    lines = [f"{indent}{head.rstrip()}"] if head.strip() else []
    lines += parts
    lines[-1] += tail
    return lines


def _arms(expression: Expression, indent: str) -> list[str]:
    """Return a chain of choices, each on a line of its own."""
    lines: list[str] = []
    head = ""
    while isinstance(expression, Choice):
        arm = f"{head}{expression.condition.within(OR)} ? {expression.if_true.within(OR)}"
        if len(indent) + len(arm) <= WIDTH:
            lines.append(indent + arm)
        else:
            lines += _broken(head, expression.condition, " ?", indent)
            lines += _within(expression.if_true, "", indent + INDENT * 2, OR)
        expression, head = expression.if_false, ": "
    return lines + _broken(head, expression, "", indent)


def _operands(operator: str, operands: Sequence[Expression], indent: str) -> list[str]:
    """Return operands, each on a line of its own, or several if they are many and short."""
    texts = Binary(operands[0].width, operator, tuple(operands)).operand_texts()
    if len(operands) > _MANY and max(map(len, texts)) <= WIDTH // 2:
        return _filled([texts[0], *(f"{operator} {text}" for text in texts[1:])], indent)
    lines = []
    for index, (operand, text) in enumerate(zip(operands, texts, strict=True)):
        head = f"{operator} " if index else ""
        if len(indent) + len(head) + len(text) <= WIDTH:
            lines.append(f"{indent}{head}{text}")
        else:
            lines += _within(operand, head, indent, PRIMARY)
    return lines


def _within(expression: Expression, head: str, indent: str, level: int) -> list[str]:
    """Return an expression in parentheses if it needs some where something binds so closely."""
    if expression.level >= level:
        return _broken(head, expression, "", indent)
    return _broken(f"{head}(", expression, ")", indent)


def _listed(items: Sequence[Expression], indent: str) -> list[str]:
    """Return the items of a concatenation, as many on a line as fit."""
    lines: list[str] = []
    whole = False
    for index, item in enumerate(items):
        comma = "," if index < len(items) - 1 else ""
        text = f"{item.text()}{comma}"
        fits = len(indent) + len(text) <= WIDTH
        if lines and fits and whole and len(lines[-1]) + 1 + len(text) <= WIDTH:
            lines[-1] += f" {text}"
        else:
            lines += [indent + text] if fits else _broken("", item, comma, indent)
        whole = fits
    return lines


def _filled(pieces: Sequence[str], indent: str) -> list[str]:
    """Put as many pieces on a line as fit."""
    lines: list[str] = []
    for piece in pieces:
        if lines and len(lines[-1]) + 1 + len(piece) <= WIDTH:
            lines[-1] += f" {piece}"
        else:
            lines.append(indent + piece)
    return lines


def wrapped(statements: Sequence[str], indent: str) -> list[str]:
    """Return short statements, as many on a line as fit."""
    return _filled(statements, indent)


def filled(items: Sequence[str], indent: str) -> list[str]:
    """Return items with commas between them, as many on a line as fit."""
    return _filled([*(f"{item}," for item in items[:-1]), *items[-1:]], indent)


def remark(text: str, indent: str) -> list[str]:
    """Return a comment on lines of its own."""
    return textwrap.wrap(text, COMMENT_WIDTH, initial_indent=f"{indent}// ", subsequent_indent=f"{indent}// ")


def commented(line: str, text: str, column: int) -> list[str]:
    """Return a line with a comment after it, which begins in a column and takes more lines if it is long."""
    if not text:
        return [line]
    first, *others = textwrap.wrap(text, max(COMMENT_WIDTH - column - 3, 30))
    return [f"{line:<{column}}// {first}", *(f"{'':<{column}}// {other}" for other in others)]
