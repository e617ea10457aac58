"""Sizes that a model states as sums or products of others, such as `past_sequence_length + sequence_length`."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

_LONGEST = 200  # characters; so that parentheses are not nested deeply either
_TOKEN = re.compile(r"\s*(?:(\d+)|([^\W\d][\w.]*)|(//|[-+*/()]))")


class _NoCalculation(Exception):  # noqa: N818 - no error: the size stays open
    """The text is no calculation."""


def parts(text: str) -> frozenset[str]:
    """Return the names that a calculation is made of; none if the text is a single name or no calculation."""
    found: set[str] = set()
    try:
        _Calculation(text, found.add).value()
    except _NoCalculation:
        return frozenset()
    return frozenset(found - {text.strip()})


def symbolic_size(text: str, sizes: Mapping[str, int]) -> int | None:
    """Return the size of a dimension that has a name or is calculated from named ones; None: it is not known.

    Known are integers, names, `+`, `-`, `*`, `//`, `/` without a remainder, and parentheses.

    Parameters:
        text: as the model states it.
        sizes: sizes by name; one of the whole text counts more than those of its parts.
    """
    if text in sizes:
        return sizes[text]

    try:
        value = _Calculation(text, sizes.get).value()
    except _NoCalculation:
        return None
    return value if value is not None and value >= 0 else None


@dataclass
class _Calculation:
    """One reading of a text.

    Attributes:
        text: what is read.
        size_of: returns the size of a name; None: it is not known.
    """

    text: str
    size_of: Callable[[str], int | None]

    def value(self) -> int | None:
        """Return what it comes to; None: it is not known, or a division leaves a remainder or is by 0."""
        self._tokens = list(self._split()) if len(self.text) <= _LONGEST else []
        value = self._sum()
        if self._tokens:
            raise _NoCalculation
        return value

    def _split(self) -> Iterator[str]:
        at, text = 0, self.text.rstrip()
        while at < len(text):
            match = _TOKEN.match(text, at)
            if match is None:
                raise _NoCalculation
            yield match[0].strip()
            at = match.end()

    def _next(self, *accepted: str) -> str | None:
        return self._tokens.pop(0) if self._tokens and self._tokens[0] in accepted else None

    def _sum(self) -> int | None:
        value = self._product()
        while sign := self._next("+", "-"):
            value = _calculated(value, sign, self._product())
        return value

    def _product(self) -> int | None:
        value = self._factor()
        while sign := self._next("*", "//", "/"):
            value = _calculated(value, sign, self._factor())
        return value

    def _factor(self) -> int | None:
        if self._next("-"):
            return _calculated(0, "-", self._factor())
        if self._next("("):
            value = self._sum()
            if not self._next(")"):
                raise _NoCalculation
            return value
        if not self._tokens or self._tokens[0] in ("+", "*", "/", "//", ")"):
            raise _NoCalculation
        token = self._tokens.pop(0)
        return int(token) if token[0].isdecimal() else self.size_of(token)


def _calculated(one: int | None, sign: str, other: int | None) -> int | None:
    if one is None or other is None or ("/" in sign and other == 0):
        return None
    if sign == "+":
        return one + other
    if sign == "-":
        return one - other
    if sign == "*":
        return one * other
    return one // other if sign == "//" or one % other == 0 else None
