"""What the commands print: tables and text on standard output, progress on standard error."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.text import Text

from macgen.errors import escaped

FILE_WIDTH = 120
"""Columns of what is written to a file or a pipe."""


class _Printing(Console):
    """Prints what is no printable character, such as the beginning of a terminal's command, as an escape."""

    def render_str(self, text: str, **options: Any) -> Text:
        return super().render_str(escaped(text, keep="\n"), **options)


def output() -> Console:
    """Return a console for results; text is printed as it stands, never read as markup or obeyed by a terminal."""
    console = _Printing(markup=False, emoji=False, highlight=False, soft_wrap=True)
    if not console.is_terminal:
        console.width = FILE_WIDTH
    return console


@contextmanager
def progress_bar(text: str) -> Iterator[Callable[[int, int, str], None]]:
    """Show a bar with what is being done, for how long and for how long it will be, if standard error is a terminal.

    Yields a function that is told the steps done, all steps, and what is being done.
    """
    console = Console(stderr=True, markup=False, emoji=False)
    if not console.is_terminal:
        yield lambda done, steps, what: None
        return
    from macgen.cli.progress_line import ProgressLine

    text = escaped(text)
    with ProgressLine(console, counted=True) as bar:
        task = bar.add_task(text, total=None)

        def tell(done: int, steps: int, what: str) -> None:
            bar.update(task, completed=done, total=steps, description=f"{text}: {escaped(what)}")

        yield tell


@contextmanager
def progress(text: str) -> Iterator[Callable[[str], None]]:
    """Show a spinner, what is being done and for how long, if standard error is a terminal.

    Yields a function that changes what is shown after the text.
    """
    console = Console(stderr=True, markup=False, emoji=False)
    if not console.is_terminal:
        yield lambda _: None
        return
    from macgen.cli.progress_line import ProgressLine

    text = escaped(text)
    with ProgressLine(console, counted=False) as bar:
        task = bar.add_task(text, total=None)
        yield lambda stage: bar.update(task, description=f"{text}: {escaped(stage)}")
