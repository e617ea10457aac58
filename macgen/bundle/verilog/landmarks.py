"""Where signals belong in the reading order of a module: the stage of the source in which each is made.

A stage begins with a comment `# -- Title: text` and ends with the next one of the same function.
"""

import ast
import io
import re
import tokenize
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from macgen.rtl.parts.hierarchy import Source

_LANDMARK = re.compile(r"# -- ([A-Z][^:]*: .*)")


class Place(NamedTuple):
    """Where something belongs.

    Attributes:
        order: among all of its module.
        section: title and text of its stage; empty: it has none.
        line: of its file; of a register's names the one made first is its own.
    """

    order: int
    section: str
    line: int = 0


NOWHERE = Place(1 << 30, "")
"""The place of what no source makes."""


def places_of(sources: Mapping[str, Source]) -> dict[str, Place]:
    """Return the places of a module's signals and instances.

    Parameters:
        sources: by name, where each is made, in the order of the module's statements. What is made outside of any
            stage, by a helper say, belongs to the stage of what comes before it.
    """
    places: dict[str, Place] = {}
    section = ""
    for order, (name, source) in enumerate(sources.items()):
        section = _landmarks(source.file).section(source.line) or section
        places[name] = Place(order, section, source.line)
    return places


@dataclass(frozen=True)
class _Landmarks:
    """The landmarks of a file: line, column, text; and the lines that its functions take, outer ones first."""

    marks: tuple[tuple[int, int, str], ...]
    functions: tuple[tuple[int, int], ...]
    indents: tuple[int, ...]

    def section(self, line: int) -> str:
        """Return the text of the last landmark above a line, in the same function and not deeper inside."""
        function, indent = self._function(line), self.indents[line - 1]
        found = ""
        for at, column, text in self.marks:
            if at <= line and column <= indent and self._function(at) == function is not None:
                found = text
        return found

    def _function(self, line: int) -> tuple[int, int] | None:
        inside = [function for function in self.functions if function[0] <= line <= function[1]]
        return max(inside) if inside else None


@lru_cache(None)
def _landmarks(file: str) -> _Landmarks:
    text = Path(file).read_text(encoding="utf-8")
    marks = []
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        found = _LANDMARK.fullmatch(token.string) if token.type == tokenize.COMMENT else None
        if found:
            marks.append((*token.start, found[1]))
    functions = [
        (node.lineno, node.end_lineno or node.lineno)
        for node in ast.walk(ast.parse(text))
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
    ]
    indents = tuple(len(line) - len(line.lstrip()) for line in text.splitlines())
    return _Landmarks(tuple(marks), tuple(sorted(functions)), indents)
