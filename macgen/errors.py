"""The two exceptions macgen raises on purpose, everything else is a bug; how text and values are shown.

Then checks of single arguments, which return NumPy's integers and truth values as Python's.
"""

import math
import os
from collections.abc import Iterable, Sequence
from numbers import Integral, Real
from pathlib import Path
from typing import TypeVar

_Word = TypeVar("_Word", bound=str)

MAX_COUNT = (1 << 63) - 1
"""Largest seed, and largest number of draws or tiles: what every tool that is handed it takes."""


class MacgenError(ValueError):
    """Input that macgen refuses: one sentence naming the field, the value and what is accepted (CLI exit code 2)."""


class ToolError(MacgenError):
    """An external tool is missing, failed or ran out of time; the sentence names it and its log (exit code 2)."""


def escaped(text: str, keep: str = "") -> str:
    """Return a text as a terminal shows it without obeying it: what does not print is written as in Python's strings.

    Parameters:
        text: such as a name that a file brought along.
        keep: characters that stay all the same.
    """
    if text.isprintable():
        return text
    return "".join(
        char if char.isprintable() or char in keep else char.encode("unicode_escape").decode() for char in text
    )


def shown(value: object, longest: int = 80) -> str:
    """Return how a refused value appears in an error's sentence: its repr on one line, cut when it is long."""
    try:
        text = repr(value)
    except ValueError:  # Python prints no integers of more than 4300 digits
        text = f"an enormous {type(value).__name__}"
    text = " ".join(text.splitlines())
    return text if len(text) <= longest else text[:longest] + "..."


def shown_path(path: object) -> str:
    """Return how a file or directory appears in an error's sentence: longer than other values, for it is looked up."""
    return shown(str(path) if isinstance(path, Path) else path, 300)


def significant(value: float, digits: int = 3) -> str:
    """Return how a measured or estimated figure appears: with so many digits that count, zeros at its end included.

    Digits before the point all stay; what is far from 1 has an exponent.
    """
    rounded = f"{value:.{digits - 1}e}"
    if not math.isfinite(value) or not -5 <= (exponent := int(rounded.partition("e")[2])) < 15:
        return rounded
    return f"{value:,.{max(0, digits - 1 - exponent)}f}"


def check_type(field: str, value: object, types: type | tuple[type, ...], accepted: str) -> None:
    """Refuse what is of none of some types; `accepted` says in words what is.

    Raises:
        MacgenError: it is not.
    """
    if not isinstance(value, types):
        raise MacgenError(f"{field} {shown(value)} is of type {type(value).__name__}; accepted is {accepted}")


def check_choice(field: str, value: object, choices: Iterable[str]) -> None:
    """Refuse what is none of some words.

    Raises:
        MacgenError: it is not.
    """
    words = tuple(choices)
    if not isinstance(value, str) or value not in words:
        raise MacgenError(f"{field} {shown(value)} is not one of {', '.join(words)}")


def check_choices(field: str, values: object, choices: Sequence[_Word]) -> tuple[_Word, ...]:
    """Return a collection of some words as a tuple.

    Raises:
        MacgenError: it is none, or has others.
    """
    try:
        words: tuple[_Word, ...] = tuple(values)  # type: ignore[arg-type]
    except TypeError:
        accepted = ", ".join(choices)
        raise MacgenError(f"{field} {shown(values)} is no collection; accepted are some of {accepted}") from None
    for word in words:
        check_choice(field, word, choices)
    return words


def check_function(field: str, value: object) -> None:
    """Refuse what cannot be called.

    Raises:
        MacgenError: it cannot.
    """
    if not callable(value):
        raise MacgenError(f"{field} {shown(value)} is no function; accepted is one that is told what is done")


def check_flag(field: str, value: object) -> bool:
    """Return what is true or false, Python's or NumPy's, as Python's.

    Raises:
        MacgenError: it is neither.
    """
    if type(value).__name__ != "bool":  # also NumPy's, which is not loaded for this
        raise MacgenError(f"{field} {shown(value)} is not true or false")
    return bool(value)


def check_integer(field: str, value: object, low: int, high: int | None = None, also: str = "") -> int:
    """Refuse what is no integer from low to high (None: without end); `also` ends the sentence.

    Returns:
        The integer, Python's own where NumPy's was given.

    Raises:
        MacgenError: it is not.
    """
    if is_integer(value):
        number: int = int(value)  # type: ignore[call-overload]
        if low <= number and (high is None or number <= high):
            return number
    accepted = f"from {low}" if high is None else f"from {low} to {_power(high)}"
    raise MacgenError(f"{field} {shown(value)} is not an integer {accepted}{also}")


def check_path(field: str, value: object) -> Path:
    """Return a path that a text or a path object names.

    Raises:
        MacgenError: it is neither, or no path of this system.
    """
    try:
        path = os.fspath(value)  # type: ignore[call-overload]
        if isinstance(path, str) and b"\0" not in os.fsencode(path):
            return Path(path)
    except (TypeError, ValueError):  # no path; characters that no file's name has
        pass
    raise MacgenError(f"{field} {shown_path(value)} is no path; accepted is the name of a file or directory")


def is_integer(value: object) -> bool:
    """Return whether a value is an integer, Python's or NumPy's, and no truth value."""
    return not isinstance(value, bool) and isinstance(value, Integral)


def is_real(value: object) -> bool:
    """Return whether a value is a real number that compares with Python's, also NumPy's, and no truth value."""
    return not isinstance(value, bool) and isinstance(value, Real)


def _power(value: int) -> str:
    for less in (0, 1):
        power = value + less
        if power > 1 << 20 and power & (power - 1) == 0:
            return f"2^{power.bit_length() - 1}{' - 1' * less}"
    return str(value)
