"""The two exceptions macgen raises on purpose, everything else is a bug; and how they show a refused value."""

from pathlib import Path


class MacgenError(ValueError):
    """Input that macgen refuses: one sentence naming the field, the value and what is accepted (CLI exit code 2)."""


class ToolError(MacgenError):
    """An external tool is missing, failed or ran out of time; the sentence names it and its log (exit code 2)."""


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
