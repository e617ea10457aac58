"""Expressions and statements as lines of text."""

import textwrap
from collections.abc import Sequence

from macgen.bundle.verilog.expressions import Binary, Choice, Concatenation, Expression

WIDTH = 120
"""Characters of a line."""
INDENT = "  "
COMMENT_WIDTH = 118
"""The same of a line with a comment."""


def statement(head: str, expression: Expression, indent: str, end: str = ";") -> list[str]:
    """Return the lines of `head expression end`, broken at the outermost operators where one line is too short."""
    flat = f"{indent}{head} {expression.text()}{end}"
    if len(flat) <= WIDTH:
        return [flat]
    inner = indent + INDENT
    pieces = _pieces(expression)
    if len(pieces) == 1:
        return [flat]
    if isinstance(expression, Concatenation):
        return [f"{indent}{head} {{", *_filled(pieces, inner), f"{indent}}}{end}"]
    lines = [f"{indent}{head}", *(line for piece in pieces for line in _fitted(piece, inner))]
    lines[-1] += end
    return lines


def _pieces(expression: Expression) -> list[str]:
    """Return the texts that stand on lines of their own."""
    if isinstance(expression, Choice):
        chain, last = expression.arms()
        texts = [f"{condition} ? {chosen}" for condition, chosen in chain] + [last]
        return [texts[0], *(f": {text}" for text in texts[1:])]
    if isinstance(expression, Binary):
        first, *others = expression.operand_texts()
        return [first, *(f"{expression.operator} {operand}" for operand in others)]
    if isinstance(expression, Concatenation):
        texts = [item.text() for item in expression.items]
        return [*(f"{text}," for text in texts[:-1]), texts[-1]]
    return [expression.text()]


def _filled(pieces: Sequence[str], indent: str) -> list[str]:
    """Put as many pieces on a line as fit."""
    lines: list[str] = []
    for piece in pieces:
        if lines and len(lines[-1]) + 1 + len(piece) <= WIDTH:
            lines[-1] += f" {piece}"
        else:
            lines.append(indent + piece)
    return lines


def _fitted(piece: str, indent: str) -> list[str]:
    """Break a piece that is too long for a line at spaces between its parts."""
    if len(indent) + len(piece) <= WIDTH:
        return [indent + piece]
    return _filled_at_spaces(piece, indent)


def _filled_at_spaces(piece: str, indent: str) -> list[str]:
    lines = [indent]
    for word in piece.split(" "):
        if len(lines[-1]) + 1 + len(word) > WIDTH and lines[-1].strip():
            lines.append(indent + INDENT)
        lines[-1] += word if not lines[-1].strip() else f" {word}"
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
