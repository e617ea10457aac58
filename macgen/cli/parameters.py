"""What the commands' options share: how they are read and how their help is laid out."""

import os
import re
import shlex
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from macgen.errors import MacgenError, shown

EXIT_FAILED = 1
"""Exit code of a command that ran, and whose answer is no."""

ROUNDINGS = "rne|rtz|floor|odd|drop|stochastic:R[:nearest]"
"""What stands for the value of an option that takes the roundings of a spec."""


def integer(text: str) -> int:
    """Read an option's decimal integer; what the option is for checks its range."""
    if not re.fullmatch(r"[+-]?[0-9]{1,18}", str(text)):
        raise click.BadParameter(f"{shown(text)} is not an integer")
    return int(text)


def integer_or(*words: str) -> Callable[[str], int | str]:
    """Return a reader of decimal integers and of the words that stand for something else."""

    def read(text: str) -> int | str:
        if text in words:
            return text
        if not re.fullmatch(r"[+-]?[0-9]{1,18}", text):
            raise click.BadParameter(f"{shown(text)} is not an integer or {' or '.join(words)}")
        return int(text)

    return read


def dimensions(texts: Sequence[str]) -> dict[str, int]:
    """Return the sizes of dimensions, each given as NAME=N.

    Raises:
        MacgenError: a text is something else, or a name has two sizes.
    """
    sizes: dict[str, int] = {}
    for text in texts:
        name, equals, size = text.rpartition("=")
        if not (name and equals and size.isascii() and size.isdigit() and len(size) <= 18):
            raise MacgenError(f"dim {shown(text)} is not NAME=N; accepted are such as seq=128")
        if sizes.setdefault(name, int(size)) != int(size):
            raise MacgenError(f"dim {shown(name)} is both {sizes[name]} and {int(size)}; accepted is one size")
    return sizes


def word_of_path(path: Path) -> str:
    """Return a path as a command line that is printed has it: one word of a shell, no option, no control characters."""
    text = str(path)
    if text.startswith("-"):
        text = f"./{text}"
    if text.isprintable():
        return shlex.quote(text)
    codes = "".join(
        char if char.isprintable() and char not in "'\\" else "".join(f"\\{byte:03o}" for byte in os.fsencode(char))
        for char in text
    )
    return f"$'{codes}'"


class SectionedCommand(click.Command):
    """A command whose help shows its options in titled sections.

    Parameters:
        sections: title to parameter names; options not named come last, under "Other options". Arguments have no line
            of their own: what they are the text says.
    """

    def __init__(self, *args: Any, sections: Mapping[str, Sequence[str]], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._sections = sections

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the sections; called by click."""
        records = {
            parameter.name: record
            for parameter in self.get_params(ctx)
            if isinstance(parameter, click.Option) and (record := parameter.get_help_record(ctx))
        }
        for title, names in self._sections.items():
            with formatter.section(title):
                formatter.write_dl([records.pop(name) for name in names if name in records])
        with formatter.section("Other options"):
            formatter.write_dl(list(records.values()))


def gemm_size(text: str) -> tuple[int, int, int]:
    """Return rows, columns and length of a product that `MxNxK` names.

    Raises:
        MacgenError: it names none.
    """
    if not re.fullmatch(r"[0-9]{1,18}(x[0-9]{1,18}){2}", text):
        raise MacgenError(f"gemm {shown(text)} is not MxNxK; accepted are such as 64x64x576")
    rows, cols, length = map(int, text.split("x"))
    return rows, cols, length
