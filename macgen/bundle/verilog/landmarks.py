"""Where signals belong in the reading order of a module: the stage of the source in which each is made.

A stage begins with a comment `# -- Title: text` and ends with the next one of the same function.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from macgen.rtl.parts.hierarchy import Source

_LANDMARK = re.compile(r"\s*# -- ([A-Z][^:]*: .*)")
_FUNCTION = re.compile(r"(async )?def ")


class Place(NamedTuple):
    """Where something belongs.

    Attributes:
        order: among all of its module.
        section: title and text of its stage; empty: it has none.
        made: its file, counted from the module's first, and the line there; of a register's names the one made first is
            its own.
    """

    order: int
    section: str
    made: tuple[int, int] = (0, 0)


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
    files: dict[str, int] = {}
    for order, (name, source) in enumerate(sources.items()):
        section = _landmarks(source.file).section(source.line) or section
        places[name] = Place(order, section, (files.setdefault(source.file, len(files)), source.line))
    return places


@dataclass(frozen=True)
class _Landmarks:
    """The landmarks of a file, by line; and of every line the function that it is in and how far it is indented.

    Attributes:
        marks: line and text.
        functions: by line the line of the innermost `def`; 0: it is in none.
        indents: by line.
    """

    marks: tuple[tuple[int, str], ...]
    functions: tuple[int, ...]
    indents: tuple[int, ...]

    def section(self, line: int) -> str:
        """Return the text of the last landmark above a line, in the same function and not deeper inside."""
        function = self.functions[line - 1]
        found = ""
        for at, text in self.marks:
            if at <= line and self.indents[at - 1] <= self.indents[line - 1] and self.functions[at - 1] == function:
                found = text
        return found


@lru_cache(None)
def _landmarks(file: str) -> _Landmarks:
    lines = Path(file).read_text(encoding="utf-8").splitlines()
    indents = tuple(len(line) - len(line.lstrip()) for line in lines)
    found = [(number, _LANDMARK.fullmatch(line)) for number, line in enumerate(lines, 1)]
    return _Landmarks(tuple((number, mark[1]) for number, mark in found if mark), functions(lines), indents)


def functions(lines: Sequence[str]) -> tuple[int, ...]:
    """Return of each line of a Python source the line of the innermost `def` that it is inside; 0: of none.

    By indentation, as ruff's format leaves it: a parser would take most of the time in which an array is written.
    """
    inside: list[tuple[int, int]] = []  # how far the open functions are indented, and their lines
    found = []
    for number, line in enumerate(lines, 1):
        code = line.lstrip()
        indent = len(line) - len(code)
        while code and not code.startswith(")") and inside and indent <= inside[-1][0]:
            inside.pop()
        if _FUNCTION.match(code):
            inside.append((indent, number))
        found.append(inside[-1][1] if inside else 0)
    return tuple(found)
