"""The two exceptions macgen raises on purpose, everything else is a bug; how text and values are shown; one check."""

import math
from pathlib import Path


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


def check_integer(field: str, value: object, low: int, high: int | None = None, also: str = "") -> None:
    """Refuse what is no integer from low to high (None: without end); `also` ends the sentence.

    Raises:
        MacgenError: it is not.
    """
    if isinstance(value, bool) or not isinstance(value, int) or value < low or (high is not None and value > high):
        accepted = f"from {low}" if high is None else f"from {low} to {_power(high)}"
        raise MacgenError(f"{field} {shown(value)} is not an integer {accepted}{also}")


def _power(value: int) -> str:
    for less in (0, 1):
        power = value + less
        if power > 1 << 20 and power & (power - 1) == 0:
            return f"2^{power.bit_length() - 1}{' - 1' * less}"
    return str(value)
